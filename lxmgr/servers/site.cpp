#include "servers/site.h"

#include "base/text.h"
#include "version.h"

#include <arpa/inet.h>
#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>

namespace lxmgr::servers
{

namespace
{

constexpr int kMostRedirections = 5;

/// "https://host:port" of a URL, and the rest of it.
std::pair<std::string, std::string> divided(const std::string &url)
{
    const std::size_t slash = url.find('/', url.find("://") + 3);
    return slash == std::string::npos ? std::pair(url, std::string("/")) : std::pair(url.substr(0, slash), url.substr(slash));
}

Status checkUrl(const std::string &url)
{
    const client::HostPort end = TRY(client::hostOf(url));
    if (url.starts_with("http://") && !client::isThisHost(end.host))
        return Error(Code::Invalid, quoted(url) + ": http is not protected on its way; the address has to begin with https://");
    for (const unsigned char c : url)
        if (c <= ' ' || c >= 0x7f || c == '#' || c == '@')
            return Error(Code::Invalid, quoted(url) + " is no plain address");
    return {};
}

/// Where a redirection leads: to a URL, or to a path of the same host.
std::string target(const std::string &location, const std::string &from)
{
    return location.starts_with('/') && !location.starts_with("//") ? divided(from).first + location : location;
}

template <class Address> bool canConnect(int family, Address address)
{
    const Fd socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return socket && ::connect(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0;
}

/// Whether the kernel knows a way out; connect(2) of a UDP socket looks for one and sends nothing.
bool hasRoute()
{
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(443);
    ::inet_pton(AF_INET, "192.0.2.1", &four.sin_addr); // of nobody (RFC 5737): only a default route leads there
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(443);
    ::inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr);
    return canConnect(AF_INET, four) || canConnect(AF_INET6, six);
}

/// Plain TCP to this host.
Result<Fd> connectHere(const client::HostPort &end)
{
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(end.port);
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(end.port);
    six.sin6_addr = in6addr_loopback;
    const bool isSix = end.host == "::1";
    ::inet_pton(AF_INET, end.host == "localhost" ? "127.0.0.1" : end.host.c_str(), &four.sin_addr);
    Fd socket(::socket(isSix ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket)
        return Error::fromErrno(errno, "socket");
    const int done = isSix ? ::connect(socket.get(), reinterpret_cast<const sockaddr *>(&six), sizeof six)
                           : ::connect(socket.get(), reinterpret_cast<const sockaddr *>(&four), sizeof four);
    if (done < 0)
        return Error::fromErrno(errno, "connect", end.host + ":" + std::to_string(end.port)).as(Code::Unavailable);
    return socket;
}

} // namespace

Result<Site> Site::at(const std::string &url, std::string certificate, Patience patience)
{
    Site site;
    site.m_url = url;
    while (site.m_url.ends_with('/'))
        site.m_url.pop_back();
    TRY(checkUrl(site.m_url));
    site.m_certificate = std::move(certificate);
    site.m_patience = patience;
    return site;
}

Result<Fd> Site::connect(const std::string &origin)
{
    const client::HostPort end = TRY(client::hostOf(origin));
    if (origin.starts_with("http://"))
        return connectHere(end);
    if (m_patience.knownRoute && !client::isThisHost(end.host) && !hasRoute())
        return Error(Code::Unavailable, "this host has no route to the network");
    if (!m_tunnel)
        m_tunnel = TRY(client::Tunnel::startAsNobody());
    client::FarEnd far{end.host, end.port, {}, {}, m_patience.oldTls, m_patience.connectMs};
    if (origin == divided(m_url).first)
        far.certificate = m_certificate;
    return m_tunnel->connect(far);
}

Result<client::Response> Site::askAt(const std::string &url, client::Request &request)
{
    const auto [origin, path] = divided(url);
    const bool kept = m_connection && !m_connection->spent() && m_connectedTo == origin;
    if (!kept) {
        m_connection.reset();
        m_connection = client::Connection(TRY(connect(origin)));
        m_connectedTo = origin;
    }
    request.target = path;
    const std::string authority = origin.substr(origin.find("://") + 3);
    request.headers.set("Host", authority);
    Result<client::Response> response = m_connection->exchange(request);
    if (!response)
        m_connection.reset();
    return response;
}

Result<client::Response> Site::ask(const std::string &path, client::Request request)
{
    request.headers.set("User-Agent", "lxmgr/" LXMGR_VERSION);
    request.quietMs = m_patience.quietMs;
    request.cancelFd = m_patience.cancelFd;
    std::string url = m_url + "/" + path;
    for (int i = 0; i <= kMostRedirections; ++i) {
        client::Response response = TRY(askAt(url, request));
        const int status = response.head.status;
        if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
            return response;
        const std::string next = target(std::string(response.head.headers.value("Location")), url);
        TRY_IN("redirection", checkUrl(next)); // wherever it leads, it is no less protected there
        if (client::isThisHost(TRY(client::hostOf(next)).host) && !client::isThisHost(TRY(client::hostOf(m_url)).host))
            return Error(Code::Forbidden, "it redirects to this host itself: " + quoted(next));
        url = next;
    }
    return Error(Code::Unavailable, "more than " + std::to_string(kMostRedirections) + " redirections");
}

Result<std::string> Site::read(const std::string &path, std::uint64_t most)
{
    client::Request request;
    request.mostBody = most;
    auto answer = ask(path, std::move(request));
    if (!answer)
        return answer.error().code == Code::Invalid ? std::move(answer.error()).in(path) : answer.error();
    client::Response &response = *answer;
    const int status = response.head.status;
    if (status == 404 || status == 403)
        return Error(Code::NotFound, path + " is not there");
    if (status != 200)
        return Error(Code::Unavailable, path + ": the server answers with status " + std::to_string(status));
    return std::move(response.body);
}

} // namespace lxmgr::servers

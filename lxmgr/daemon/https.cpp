#include "daemon/https.h"

#include "base/log.h"
#include "base/text.h"
#include "daemon/poller.h"

#include <QTimer>

#include <arpa/inet.h>
#include <cerrno>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace lxmgr::daemon
{

namespace
{
using namespace std::chrono_literals;

constexpr int kBacklog = 128;
constexpr auto kRestartPause = 1s; // a tunnel that dies at once must not be started in a loop

/// "[2001:db8::1]:8443"
std::string textOf(const std::string &host, std::uint16_t port)
{
    return (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Fd> openSocket(const HttpsAddress &address)
{
    addrinfo hints{};
    hints.ai_family = address.host.empty() ? AF_INET6 : AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo *found = nullptr;
    const std::string port = std::to_string(address.port);
    if (const int failed = ::getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(), port.c_str(), &hints, &found); failed != 0)
        return Error(Code::Invalid, "core.https_address: " + quoted(address.host) + " is no address of this host: " + ::gai_strerror(failed));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
    Fd socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket && errno == EAFNOSUPPORT && address.host.empty())
        return openSocket({"0.0.0.0", address.port}); // a kernel without IPv6
    if (!socket)
        return Error::fromErrno(errno, "socket");
    const int on = 1;
    const int off = 0;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on); // from ":8443" to "[::1]:8443" while the old one still stands
    if (list->ai_family == AF_INET6)
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, address.host.empty() || address.host == "::" ? &off : &on, sizeof on);
    if (::bind(socket.get(), list->ai_addr, list->ai_addrlen) < 0 || ::listen(socket.get(), kBacklog) < 0) {
        const int reason = errno;
        Error error = Error::fromErrno(reason, "core.https_address: listen at", textOf(address.host, address.port)).as(Code::Unavailable);
        if (reason == EADDRINUSE)
            return std::move(error).hint("'ss -ltnp' says which program listens there; choose another port, or stop it");
        if (reason == EADDRNOTAVAIL)
            return std::move(error).hint("'ip address' lists the addresses of this host; ':8443' takes all of them");
        return error;
    }
    return socket;
}
} // namespace

Result<HttpsAddress> parseHttpsAddress(const std::string &text)
{
    HttpsAddress address;
    std::string port;
    const bool bracketed = text.starts_with('[');
    const std::size_t end = bracketed ? text.find(']') : std::string::npos;
    if (bracketed && end == std::string::npos)
        return Error(Code::Invalid, quoted(text) + " has a [ without a ]");
    if (bracketed) {
        address.host = text.substr(1, end - 1);
        if (end + 1 < text.size() && text[end + 1] != ':')
            return Error(Code::Invalid, quoted(text) + " is no address with a port, like [2001:db8::1]:8443");
        port = end + 1 < text.size() ? text.substr(end + 2) : "8443";
    } else if (std::ranges::count(text, ':') > 1) {
        address.host = text; // a bare IPv6 address
        port = "8443";
    } else {
        const std::size_t colon = text.find(':');
        address.host = text.substr(0, colon);
        port = colon == std::string::npos ? "8443" : text.substr(colon + 1);
    }
    if (text.empty() || address.host.find_first_of("/ @[]") != std::string::npos)
        return Error(Code::Invalid, quoted(text) + " is no address with a port, like :8443 or 192.0.2.1:8443");
    const auto number = TRY_IN("the port of " + quoted(text), parseUnsigned(port, 1, 65535));
    address.port = static_cast<std::uint16_t>(number);
    return address;
}

Https::Https(Server &server, tls::Identity identity, std::string fingerprint)
    : m_server(server), m_identity(std::move(identity)), m_fingerprint(std::move(fingerprint))
{
}

Status Https::listen(const std::string &text)
{
    std::optional<HttpsAddress> wanted;
    if (!text.empty())
        wanted = TRY_IN("core.https_address", parseHttpsAddress(text));
    const std::lock_guard lock(m_mutex);
    if (wanted == m_address)
        return {};
    Fd socket;
    std::shared_ptr<client::TunnelProcess> tunnel;
    if (wanted) {
        socket = TRY(openSocket(*wanted));
        tunnel = TRY(startTunnel(socket));
    }
    if (const auto old = std::exchange(m_tunnel, tunnel)) {
        (void)!old->send({"retire", {}, 0, {}, {}, {}}); // if it is gone, it accepts nothing either
        m_retired.push_back(old);
    }
    m_listening = std::move(socket);
    m_address = wanted;
    if (wanted)
        log::info("clients of the network are answered at " + textOf(wanted->host, wanted->port));
    return {};
}

Result<std::shared_ptr<client::TunnelProcess>> Https::startTunnel(const Fd &listening)
{
    auto tunnel = std::make_shared<client::TunnelProcess>(TRY(client::TunnelProcess::start()));
    TRY(tunnel->send({"serve", {}, 0, m_identity.certificate, m_identity.key, {}}, {listening.get()}));
    const api::TunnelReply ready = TRY(tunnel->receive()).first;
    if (!ready.error.empty())
        return Error(Code::Internal, "lxmgr-tunnel: " + ready.error);
    m_server.runOnServerThread([this, tunnel] {
        const Status watched = m_server.poller().watch(tunnel->control().get(), EPOLLIN, [this, tunnel](std::uint32_t) { heard(tunnel); });
        if (!watched)
            log::error("lxmgr-tunnel is not listened to: " + watched.error().message);
    });
    return tunnel;
}

/// On the server's thread.
void Https::heard(const std::shared_ptr<client::TunnelProcess> &tunnel)
{
    auto packet = tunnel->receive();
    if (packet && packet->second) {
        Peer peer;
        peer.address = packet->first.address;
        peer.certificate = packet->first.certificate;
        if (const auto fingerprint = tls::fingerprintOf(peer.certificate))
            peer.fingerprint = *fingerprint;
        else
            peer.certificate.clear();
        return m_server.adopt(std::move(packet->second), std::move(peer));
    }
    if (packet)
        return log::warning("lxmgr-tunnel: " + packet->first.error);
    m_server.poller().unwatch(tunnel->control().get());
    const std::lock_guard lock(m_mutex);
    std::erase(m_retired, tunnel);
    if (tunnel != m_tunnel)
        return;
    m_tunnel.reset();
    log::error("lxmgr-tunnel has ended, with the connections that it carried: starting another");
    QTimer::singleShot(kRestartPause, [this] {
        const std::lock_guard again(m_mutex);
        if (!m_address || m_tunnel)
            return;
        if (auto started = startTunnel(m_listening))
            m_tunnel = std::move(*started);
        else
            log::error("no client of the network is answered: " + started.error().message);
    });
}

std::vector<std::string> Https::addresses() const
{
    std::optional<HttpsAddress> address;
    {
        const std::lock_guard lock(m_mutex);
        address = m_address;
    }
    if (!address)
        return {};
    const bool all = address->host.empty() || address->host == "::";
    if (!all && address->host != "0.0.0.0")
        return {textOf(address->host, address->port)};
    std::vector<std::string> texts;
    ifaddrs *found = nullptr;
    if (::getifaddrs(&found) < 0)
        return {};
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(found, &::freeifaddrs);
    for (const ifaddrs *each = found; each; each = each->ifa_next) {
        if (!each->ifa_addr || (each->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        char text[INET6_ADDRSTRLEN] = "";
        if (each->ifa_addr->sa_family == AF_INET)
            ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in *>(each->ifa_addr)->sin_addr, text, sizeof text);
        else if (each->ifa_addr->sa_family == AF_INET6 && all) {
            const in6_addr &six = reinterpret_cast<const sockaddr_in6 *>(each->ifa_addr)->sin6_addr;
            if (!IN6_IS_ADDR_LINKLOCAL(&six))
                ::inet_ntop(AF_INET6, &six, text, sizeof text);
        }
        if (*text)
            texts.push_back(textOf(text, address->port));
    }
    return texts;
}

} // namespace lxmgr::daemon

#include "servers/linked.h"

#include "base/text.h"
#include "version.h"

#include <sys/utsname.h>

namespace lxmgr::servers
{

namespace
{

/// The host's part of a URL, and the path below it.
std::pair<std::string, std::string> divided(const std::string &url)
{
    const std::size_t scheme = url.find("://");
    const std::size_t slash = scheme == std::string::npos ? std::string::npos : url.find('/', scheme + 3);
    return slash == std::string::npos ? std::pair(url, std::string()) : std::pair(url.substr(0, slash), url.substr(slash + 1));
}

Result<client::Response> head(const std::string &url, Patience patience)
{
    patience.oldTls = true;
    const auto [origin, path] = divided(url);
    Site site = TRY(Site::at(origin, {}, patience));
    utsname host{};
    ::uname(&host);
    client::Request request;
    request.method = "HEAD";
    for (const char *family : {"LXD-Server-", "Incus-Server-"}) {
        request.headers.set(std::string(family) + "Architectures", host.machine);
        request.headers.set(std::string(family) + "Version", LXMGR_VERSION);
    }
    client::Response response = TRY(site.ask(path, std::move(request)));
    if (response.head.status != 200)
        return Error(response.head.status == 404 ? Code::NotFound : Code::Unavailable,
                     quoted(url) + ": the server answers with status " + std::to_string(response.head.status));
    return response;
}

} // namespace

Result<Linked> linkedImage(const std::string &url, const Patience &patience)
{
    const client::Response page = TRY(head(url, patience));
    const auto told = [&](const std::string &name) {
        const std::string_view incus = page.head.headers.value("Incus-Image-" + name);
        return std::string(incus.empty() ? page.head.headers.value("LXD-Image-" + name) : incus);
    };
    const std::string hash = told("Hash"), link = told("URL");
    if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos || link.empty())
        return Error(Code::Invalid, quoted(url) + " tells of no image (LXD-Image-Hash and LXD-Image-URL in the head of its answer)")
            .hint("download the file and import that");
    const std::string whole = link.starts_with("/") ? divided(url).first + link : link;
    const client::Response file = TRY(head(whole, patience));
    if (!file.head.contentLength || *file.head.contentLength == 0)
        return Error(Code::Invalid, quoted(whole) + ": the server does not say how large it is");
    Linked linked;
    const auto [origin, path] = divided(whole);
    linked.origin = origin;
    linked.offer.image.fingerprint = hash;
    linked.offer.image.size = static_cast<std::int64_t>(*file.head.contentLength);
    linked.offer.image.filename = path.substr(path.rfind('/') + 1);
    linked.offer.files = {{path, *file.head.contentLength}};
    return linked;
}

} // namespace lxmgr::servers

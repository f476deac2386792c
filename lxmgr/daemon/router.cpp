#include "daemon/router.h"

#include "api/operations.h"
#include "base/text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <pwd.h>
#include <unistd.h>
#include <vector>

namespace lxmgr::daemon
{

std::optional<Refusal> routeRequest(Request &request)
{
    Result<http::Target> target = http::parseTarget(request.head.target);
    if (!target)
        return Refusal{400, target.error().message, Code::Invalid};
    api::Match match;
    switch (api::matchRoute(request.head.method, target->segments, match)) {
    case api::Miss::NoPath:
        return Refusal{404, "not found", Code::NotFound};
    case api::Miss::NoVerb:
        return Refusal{501, "not implemented", Code::Unsupported};
    case api::Miss::None:
        break;
    }
    request.route = match.route;
    request.family = match.family;
    request.params = std::move(match.params);
    request.query = std::move(target->query);
    return std::nullopt;
}

namespace
{

/// "host:8443" of "https://host:8443".
std::string_view authorityOf(std::string_view origin)
{
    const std::size_t scheme = origin.find("://");
    return scheme == std::string_view::npos ? origin : origin.substr(scheme + 3);
}

/// "host" of "host:8443", an IPv6 address without its brackets.
std::string hostOf(std::string_view authority)
{
    if (authority.starts_with('['))
        return std::string(authority.substr(1, authority.find(']') - 1));
    return lower(authority.substr(0, authority.rfind(':')));
}

/// An address, or what this host calls itself. Any other name may have been given our address by whoever owns the name (DNS
/// rebinding), and would make his page one of ours to a browser.
bool namesThisHost(std::string_view authority)
{
    const std::string host = hostOf(authority);
    in6_addr six{};
    in_addr four{};
    if (::inet_pton(AF_INET, host.c_str(), &four) == 1 || ::inet_pton(AF_INET6, host.c_str(), &six) == 1 || host == "localhost")
        return true;
    char own[256] = "";
    ::gethostname(own, sizeof own - 1);
    const std::string name = lower(own);
    return !name.empty() && (host == name || host.starts_with(name + "."));
}

/// A page of another site must not use the certificate that a browser shows by itself. Programs send none of these fields.
bool foreignPage(const Request &request)
{
    if (!request.peer.remote())
        return false; // no browser reaches the unix socket
    const std::string_view origin = request.header("Origin"), site = request.header("Sec-Fetch-Site");
    if (origin.empty() && site.empty())
        return false;
    return site == "cross-site" || (!origin.empty() && authorityOf(origin) != request.header("Host")) || !namesThisHost(request.header("Host"));
}

/// Handlers that show of "all-projects" only what the caller may see.
bool listsAllProjects(api::RouteId route)
{
    using enum api::RouteId;
    constexpr api::RouteId kThese[] = {InstanceList, Events, OperationList, VolumeList, VolumeListOfType, ProfileList, ImageList, NetworkList, NetworkAclList};
    return std::ranges::find(kThese, route) != std::end(kThese);
}

} // namespace

std::optional<Refusal> checkAccess(const Request &request)
{
    const Refusal kNotAuthorized{403, "not authorized", Code::Forbidden};
    const api::Access access = request.route->access;
    if (foreignPage(request))
        return kNotAuthorized;
    if (access == api::Access::Public)
        return std::nullopt;
    switch (request.caller.kind) {
    case Principal::Kind::Trusted:
        return std::nullopt;
    case Principal::Kind::Restricted:
        if (access == api::Access::Admin)
            return kNotAuthorized;
        // A project he may not see is told from one that does not exist by nothing.
        if (request.route->scope == api::Scope::Host || request.caller.mayUse(request.project()) ||
            (request.query.flag("all-projects") && listsAllProjects(request.id())))
            return std::nullopt;
        return Refusal{404, "Project not found: " + quoted(request.project()), Code::NotFound};
    case Principal::Kind::Metrics:
        if (request.route->pattern == "/1.0/metrics")
            return std::nullopt;
        break;
    case Principal::Kind::Stranger:
        break;
    }
    return kNotAuthorized;
}

api::Requestor Peer::requestor() const
{
    if (remote())
        return {fingerprint, "tls", address};
    std::vector<char> buffer(4096);
    passwd entry{};
    passwd *found = nullptr;
    const bool known = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found;
    return {known ? std::string(entry.pw_name) : std::to_string(uid), "unix", "@"};
}

const std::string &Request::param(std::string_view name) const
{
    static const std::string kNone;
    for (const auto &[key, value] : params)
        if (key == name)
            return value;
    return kNone;
}

std::string Request::project() const
{
    const std::string_view name = query.value("project");
    return name.empty() ? "default" : std::string(name);
}

int Request::recursion() const
{
    const Result<std::uint64_t> depth = parseUnsigned(query.value("recursion"), 0, 2);
    return depth ? static_cast<int>(*depth) : 0;
}

} // namespace lxmgr::daemon

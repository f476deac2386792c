#include "daemon/router.h"

#include "base/text.h"

#include <pwd.h>
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

std::optional<Refusal> checkAccess(const Request &request)
{
    if (request.route->access != api::Access::Public && request.peer.uid == static_cast<uid_t>(-1))
        return Refusal{403, "not authorized", Code::Forbidden};
    return std::nullopt;
}

api::Requestor Peer::requestor() const
{
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

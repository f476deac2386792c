// What differs between two states of an instance.
#include "daemon/context.h"

#include "api/diff.h"
#include "base/text.h"
#include "http/target.h"

#include <cstdio>

namespace lxmgr::daemon
{

namespace
{

/// Lasts as long as the client waits.
class WhileWanted final : public Progress
{
public:
    explicit WhileWanted(const Responder &responder) : m_responder(responder) {}
    void report(const std::string &) override {}
    bool cancelled() const override { return m_responder.gone(); }

private:
    const Responder &m_responder;
};

std::string rawOf(const std::string &bytes) { return isValidUtf8(bytes) ? std::string() : http::percentEncode(bytes); }

api::DiffState stateOf(const diff::FileState &state)
{
    char mode[16], time[64];
    std::snprintf(mode, sizeof mode, "%04o", state.mode);
    std::snprintf(time, sizeof time, "%lld.%09u", static_cast<long long>(state.modified), state.modifiedNanos);
    api::DiffState result;
    result.type = diff::typeName(state.type);
    result.mode = mode;
    result.uid = state.uid;
    result.gid = state.gid;
    result.size = state.size;
    result.modified = time;
    result.target = state.target;
    result.targetRaw = rawOf(state.target);
    if (state.type == diff::FileType::CharDevice || state.type == diff::FileType::BlockDevice)
        result.device = std::to_string(state.major) + ":" + std::to_string(state.minor);
    return result;
}

api::DiffChange changeOf(const diff::Change &change)
{
    api::DiffChange result;
    result.change = diff::changeName(change.kind);
    result.path = change.path;
    result.pathRaw = rawOf(change.path);
    for (const diff::AspectName &row : diff::kAspects)
        if (change.aspects & row.aspect)
            result.what.emplace_back(row.name);
    if (change.before)
        result.before = stateOf(*change.before);
    if (change.after)
        result.after = stateOf(*change.after);
    return result;
}

api::DiffPackages packagesOf(const diff::Packages &packages)
{
    api::DiffPackages result{packages.manager, {}, packages.note};
    for (const diff::PackageChange &change : packages.changes)
        result.changes.push_back(
            {std::string(diff::changeName(change.kind)), change.name, change.architecture, change.before, change.after});
    return result;
}

api::DiffSide sideOf(const instances::DiffSide &side)
{
    using Kind = instances::DiffSide::Kind;
    return {side.kind == Kind::Current ? "current" : side.kind == Kind::Snapshot ? "snapshot" : "image", side.name};
}

std::string parameter(const Request &request, std::string_view name)
{
    const std::string *text = request.query.find(name);
    return text ? *text : std::string();
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const instances::DiffRequest wanted{parameter(request, "from"), parameter(request, "to")};
    if (wanted.from.empty() && !wanted.to.empty())
        return Error(Code::Invalid, "'to' names a snapshot to compare with another; name that one with 'from'");
    const instances::Diff found = TRY(context.manager.diff(keyOf(request), wanted, WhileWanted(responder)));
    api::Diff result{sideOf(found.from), sideOf(found.to), {}, false, {}, {}, found.found.warnings};
    const diff::Counts &counts = found.found.counts;
    result.counts = {counts.added, counts.modified, counts.deleted, counts.metadata};
    result.truncated = counts.all() > found.found.changes.size();
    for (const diff::Change &change : found.found.changes)
        result.changes.push_back(changeOf(change));
    for (const diff::Packages &packages : found.found.packages)
        result.packages.push_back(packagesOf(packages));
    responder.sync(result);
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceDiff, &get},
};

} // namespace

std::span<const HandlerRow> diffHandlers() { return kRows; }

} // namespace lxmgr::daemon

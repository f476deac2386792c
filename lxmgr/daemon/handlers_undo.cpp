// What can be undone: list, show, apply, free.
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"

#include "api/envelope.h"
#include "api/undo.h"
#include "base/text.h"

namespace lxmgr::daemon
{

namespace
{

/// In the project of the request: that of a volume may be in common with another.
std::string urlOfUndo(const Request &request, const store::UndoEntry &entry)
{
    return urlOf("lxmgr/undo", std::to_string(entry.id), request.project());
}

std::string describe(const store::UndoEntry &entry)
{
    switch (entry.kind) {
    case store::UndoKind::Delete: return "deletion of instance " + entry.object;
    case store::UndoKind::Snapshot: return "deletion of snapshot " + entry.object;
    case store::UndoKind::Restore: return "restore of instance " + entry.object;
    case store::UndoKind::Config: return "change of instance " + entry.object;
    case store::UndoKind::Profile: return "change of profile " + entry.object;
    case store::UndoKind::Volume: return "deletion of storage volume " + entry.object;
    case store::UndoKind::VolumeSnapshot: return "deletion of snapshot " + entry.object + " of a storage volume";
    case store::UndoKind::VolumeRestore: break;
    }
    return "restore of storage volume " + entry.object;
}

void fill(api::Undo &undo, const store::UndoEntry &entry)
{
    undo.id = entry.id;
    undo.kind = store::undoKindName(entry.kind);
    undo.object = entry.object;
    undo.project = entry.project;
    undo.description = describe(entry);
    undo.status = entry.status == store::UndoStatus::Kept ? "Kept" : "Working";
    undo.pool = entry.pool;
    undo.createdAt = timeOf(entry.createdAt);
    undo.expiresAt = timeOf(entry.expiresAt);
}

Result<store::UndoEntry> findEntry(Context &context, const Request &request)
{
    return context.undo.find(request.project(), TRY_IN("number", parseSigned(request.param("id"), 1, INT64_MAX)));
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const auto entries = TRY(store::listUndo(context.db, request.project()));
    const auto url = [&](const store::UndoEntry &entry) { return urlOfUndo(request, entry); };
    sendList(request, responder, entries, url, [](const store::UndoEntry &entry) {
        api::Undo undo;
        fill(undo, entry);
        return undo;
    });
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const store::UndoEntry entry = TRY(findEntry(context, request));
    const instances::UndoPreview preview = TRY(context.manager.previewUndo(entry));
    api::UndoFull full;
    fill(full, entry);
    full.obstacle = preview.obstacle;
    if (preview.usage)
        full.size = static_cast<std::int64_t>(preview.usage->count);
    for (const instances::UndoChange &change : preview.changes)
        full.changes.push_back({change.key, change.now, change.then});
    full.snapshots = preview.snapshots;
    full.config = preview.config;
    full.devices = preview.devices;
    full.profiles = preview.profiles;
    responder.sync(full);
    return {};
}

Status work(Context &context, const Request &request, const Responder &responder, const store::UndoEntry &entry, std::string description,
            std::function<Status(Task &)> body)
{
    TaskOptions options;
    options.project = request.project();
    options.description = std::move(description);
    options.resources = {{"undo", {urlOfUndo(request, entry)}}};
    const auto task = context.operations.run(std::move(options), [&context, body = std::move(body)](Task &running) -> Status {
        TRY(body(running));
        context.schedulesChanged();
        return {};
    });
    responder.async(task->snapshot(), request.project());
    return {};
}

Status apply(Context &context, Request &request, const Responder &responder)
{
    const store::UndoEntry entry = TRY(findEntry(context, request));
    const auto post = TRY(request.json<api::UndoPost>());
    return work(context, request, responder, entry, "Undoing the " + describe(entry), [&context, entry, name = post.name](Task &task) {
        return context.manager.applyUndo(task.project(), entry.id, name, task);
    });
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const store::UndoEntry entry = TRY(findEntry(context, request));
    return work(context, request, responder, entry, "Forgetting the " + describe(entry),
                [&context, entry](Task &task) -> Status {
                    TRY(context.undo.drop(task.project(), entry.id));
                    context.exports.sweep();
                    return {};
                });
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::UndoList,   &list  },
    {api::RouteId::UndoGet,    &get   },
    {api::RouteId::UndoApply,  &apply },
    {api::RouteId::UndoDelete, &remove},
};

} // namespace

std::span<const HandlerRow> undoHandlers() { return kRows; }

} // namespace lxmgr::daemon

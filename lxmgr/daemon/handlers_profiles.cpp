// Profiles: one by one, and many at once as they are to be.
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"

#include "api/envelope.h"
#include "api/operations.h"
#include "api/profiles.h"
#include "api/types.h"
#include "base/text.h"
#include "config/cloud_config.h"
#include "instances/undo_log.h"

#include <set>

namespace lxmgr::daemon
{

namespace
{

Result<store::Profile> findProfile(Context &context, const Request &request)
{
    auto profile = store::findProfile(context.db, request.project(), request.param("name"));
    if (!profile && profile.error().code == Code::NotFound)
        return Error(Code::NotFound, "Profile not found");
    return profile;
}

std::string etagOfProfile(const store::Profile &row)
{
    api::Profile writable;
    writable.description = row.description;
    writable.config = row.config;
    writable.devices = row.devices;
    return api::etagOf(api::toJson(writable));
}

/// `before`: what it is now; empty where it is new.
Status checkProfile(const store::Profile &profile, const StringMap &before)
{
    TRY(checkObjectName("profile", profile.name));
    TRY(config::parseInstanceConfig(profile.config, config::Holder::Profile));
    TRY(config::parseDevices(profile.devices, config::DeviceSet::Local));
    return config::checkCloudTexts(before, profile.config);
}

bool same(const store::Profile &one, const store::Profile &other)
{
    return one.description == other.description && one.config == other.config && one.devices == other.devices;
}

api::ProfilesChanged changed(std::vector<api::ProfileChange> profiles, const std::vector<instances::RestartNeeded> &later)
{
    api::ProfilesChanged answer{std::move(profiles), {}};
    for (const instances::RestartNeeded &each : later)
        answer.restartNeeded[each.instance] = each.keys;
    return answer;
}

enum class DryRun { No, Yes };

/// Records `wanted` in one transaction and brings them into force; what was can be undone. Dry: says what that would say, and changes nothing.
Result<std::vector<instances::RestartNeeded>> applyAll(Context &context, const std::string &project, std::vector<store::Profile> wanted, DryRun dry)
{
    std::vector<store::Profile> before;
    std::vector<std::int64_t> kept, made;
    instances::ProfileRecord record;
    record.write = [&] {
        return context.db.transaction([&]() -> Status {
            before.clear(), kept.clear(), made.clear(); // tried again where room had to be made
            for (const store::Profile &profile : wanted) {
                auto now = store::findProfile(context.db, project, profile.name);
                if (!now && now.error().code == Code::NotFound) {
                    made.push_back(TRY(store::insertProfile(context.db, profile)));
                    continue;
                }
                before.push_back(TRY(std::move(now)));
                kept.push_back(TRY(context.undo.keepProfile(before.back())));
                store::Profile after = profile;
                after.id = before.back().id;
                TRY(store::updateProfile(context.db, after));
            }
            return {};
        });
    };
    record.takeBack = [&] {
        return context.db.transaction([&]() -> Status {
            for (const store::Profile &profile : before)
                TRY(store::updateProfile(context.db, profile));
            for (const std::int64_t id : kept)
                TRY(store::deleteUndo(context.db, id));
            for (const std::int64_t id : made)
                TRY(store::deleteProfile(context.db, id));
            return {};
        });
    };
    return dry == DryRun::Yes ? context.manager.checkProfiles(project, wanted, record) : context.manager.changeProfiles(project, wanted, record);
}

/// Of its users those that the caller may see.
api::Profile shown(const Request &request, const store::Profile &row)
{
    api::Profile profile = toApi(row);
    profile.usedBy = visibleUrls(request, std::move(profile.usedBy));
    return profile;
}

Status profileList(Context &context, Request &request, const Responder &responder)
{
    const bool all = request.query.flag("all-projects");
    auto rows = TRY(store::listProfiles(context.db, all ? "" : request.project()));
    if (all)
        std::erase_if(rows, [&](const store::Profile &row) { return !request.caller.mayUse(row.project); });
    const auto url = [](const store::Profile &row) { return urlOf("profiles", row.name, row.project); };
    sendList(request, responder, rows, url, [&](const store::Profile &row) { return shown(request, row); });
    return {};
}

Status profileGet(Context &context, Request &request, const Responder &responder)
{
    const store::Profile row = TRY(findProfile(context, request));
    responder.sync(api::toJson(shown(request, row)), etagOfProfile(row));
    return {};
}

Status profileCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::ProfilePut>());
    store::Profile row;
    row.project = request.project();
    row.name = post.name;
    row.description = post.description.value_or("");
    row.config = post.config.value_or(StringMap{});
    row.devices = post.devices.value_or(DeviceMap{});
    TRY(checkProfile(row, {}));
    if (store::findProfile(context.db, row.project, row.name))
        return Error(Code::AlreadyExists, "profile " + quoted(row.name) + " already exists");
    (void)TRY(applyAll(context, row.project, {row}, DryRun::No));
    responder.created(urlOf("profiles", row.name, row.project));
    return {};
}

Status profileChange(Context &context, Request &request, const Responder &responder)
{
    store::Profile row = TRY(findProfile(context, request));
    const store::Profile before = row;
    TRY(api::checkEtag(request.ifMatch(), etagOfProfile(row)));
    const auto put = TRY(request.json<api::ProfilePut>());
    const bool replace = request.id() == api::RouteId::ProfilePut;
    if (put.description || replace)
        row.description = put.description.value_or("");
    if (replace) {
        row.config = put.config.value_or(StringMap{});
        row.devices = put.devices.value_or(DeviceMap{});
    } else {
        for (const auto &[name, value] : put.config.value_or(StringMap{}))
            row.config[name] = value;
        for (const auto &[name, device] : put.devices.value_or(DeviceMap{}))
            row.devices[name] = device;
    }
    TRY(checkProfile(row, before.config));
    std::vector<instances::RestartNeeded> later;
    if (!same(row, before))
        later = TRY(applyAll(context, row.project, {row}, DryRun::No));
    context.schedulesChanged();
    responder.sync(api::toJson(changed({}, later)));
    return {};
}

/// All that is given becomes so in one transaction; what is not given stays.
void announce(Context &context, const Request &request, const std::vector<api::ProfileChange> &changes)
{
    for (const api::ProfileChange &change : changes) {
        if (change.action == "keep")
            continue;
        api::Lifecycle event;
        event.action = change.action == "create" ? "profile-created" : "profile-updated";
        event.source = urlOf("profiles", change.name, request.project());
        event.requestor = request.peer.requestor();
        context.events.lifecycle(event, request.project());
    }
}

Status profilesApply(Context &context, Request &request, const Responder &responder)
{
    const auto put = TRY(request.json<api::ProfilesPut>());
    std::vector<store::Profile> wanted;
    std::vector<api::ProfileChange> changes;
    std::set<std::string> names;
    for (const api::ProfilePut &each : put.profiles) {
        store::Profile row;
        row.project = request.project();
        row.name = each.name;
        row.description = each.description.value_or("");
        row.config = each.config.value_or(StringMap{});
        row.devices = each.devices.value_or(DeviceMap{});
        const auto now = store::findProfile(context.db, row.project, row.name);
        if (!now && now.error().code != Code::NotFound)
            return now.error();
        TRY_IN("profile " + quoted(row.name), checkProfile(row, now ? now->config : StringMap{}));
        if (!names.insert(row.name).second)
            return Error(Code::Invalid, "profile " + quoted(row.name) + " is given twice");
        api::ProfileChange change{row.name, !now ? "create" : same(row, *now) ? "keep" : "change", {}, {}};
        for (const instances::UndoChange &one : instances::changesOf(now ? *now : store::Profile{}, {row.name, row.description, row.config, row.devices, {}}))
            change.changes.push_back({one.key, one.now, one.then});
        if (now)
            for (const store::Profile::User &user : now->usedBy)
                change.usedBy.push_back(urlOf("instances", user.instance, user.project));
        row.id = now ? now->id : 0;
        if (change.action != "keep")
            wanted.push_back(std::move(row));
        changes.push_back(std::move(change));
    }
    std::vector<instances::RestartNeeded> later;
    if (!wanted.empty())
        later = TRY(applyAll(context, request.project(), wanted, put.dryRun ? DryRun::Yes : DryRun::No));
    if (!put.dryRun) {
        context.schedulesChanged();
        announce(context, request, changes);
    }
    responder.sync(api::toJson(changed(std::move(changes), later)));
    return {};
}

Status profileRename(Context &context, Request &request, const Responder &responder)
{
    const store::Profile row = TRY(findProfile(context, request));
    const auto post = TRY(request.json<api::RenamePost>());
    TRY(checkObjectName("profile", post.name));
    if (row.name == "default")
        return Error(Code::Forbidden, "profile 'default' cannot be renamed");
    TRY(context.manager.renameProfile(row, post.name));
    responder.created(urlOf("profiles", post.name, row.project));
    return {};
}

Status profileDelete(Context &context, Request &request, const Responder &responder)
{
    const store::Profile row = TRY(findProfile(context, request));
    if (row.name == "default")
        return Error(Code::Forbidden, "profile 'default' cannot be deleted");
    const std::vector<std::string> images = TRY(store::imagesWithProfile(context.db, row.id)); // they bring it no more
    TRY(context.db.transaction([&]() -> Status {
        (void)TRY(context.undo.keepProfile(row));
        return store::deleteProfile(context.db, row.id);
    }));
    TRY(context.images.note(images));
    context.schedulesChanged();
    responder.sync();
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::ProfileList, &profileList},
    {api::RouteId::ProfileCreate, &profileCreate},
    {api::RouteId::ProfilesApply, &profilesApply},
    {api::RouteId::ProfileGet, &profileGet},
    {api::RouteId::ProfilePut, &profileChange},
    {api::RouteId::ProfilePatch, &profileChange},
    {api::RouteId::ProfilePost, &profileRename},
    {api::RouteId::ProfileDelete, &profileDelete},
};

} // namespace

std::span<const HandlerRow> profileHandlers() { return kRows; }

} // namespace lxmgr::daemon

// Profiles changed under the instances that use them: checked against each, recorded, then in force in those that run.
#include "instances/profiles.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/manager.h"
#include "instances/policy.h"
#include "instances/project_limits.h"
#include "instances/root_disk.h"

#include <algorithm>
#include <map>
#include <mutex>

namespace lxmgr::instances
{

Result<config::Expanded> expandedOf(store::Database &db, const store::Instance &row)
{
    std::vector<config::ProfileDocument> profiles;
    for (const std::string &name : row.profiles) {
        auto profile = store::findProfile(db, row.project, name);
        if (!profile && profile.error().code == Code::NotFound)
            return Error(Code::NotFound, "Profile not found: " + quoted(name));
        if (!profile)
            return profile.error();
        profiles.push_back({profile->name, profile->description, profile->config, profile->devices, {}});
    }
    return config::expand(profiles, row.config, row.devices);
}

/// An instance with a profile that changes.
struct Manager::ProfileUser {
    store::Instance row;
    store::Instance after; ///< With what the cards that come are to be called.
    config::Effective was, wanted;
    config::Expanded old, all;
    bool runs = false;

    InstanceKey key() const { return {row.project, row.name}; }
    bool replugs() const { return runs && withoutLimits(all.devices) != withoutLimits(old.devices); }
};

namespace
{

/// One of `profiles` by what it is to be, or else as it is recorded.
using Profiles = std::map<std::string, const store::Profile *>;

Result<config::Expanded> expandedWith(store::Database &db, const store::Instance &row, const Profiles &changed)
{
    std::vector<config::ProfileDocument> profiles;
    for (const std::string &name : row.profiles) {
        const auto found = changed.find(name);
        const store::Profile profile = found != changed.end() ? *found->second : TRY(store::findProfile(db, row.project, name));
        profiles.push_back({profile.name, profile.description, profile.config, profile.devices, {}});
    }
    return config::expand(profiles, row.config, row.devices);
}

} // namespace

namespace
{

/// What leads from one configuration to the other; "" takes a key away.
StringMap difference(const StringMap &from, const StringMap &to)
{
    StringMap changes;
    for (const auto &[key, value] : from)
        if (!to.contains(key))
            changes[key] = "";
    for (const auto &[key, value] : to)
        if (const auto old = from.find(key); old == from.end() || old->second != value)
            changes[key] = value;
    return changes;
}

} // namespace

std::vector<std::string> keysForRestart(const config::Expanded &old, const config::Expanded &now)
{
    std::vector<std::string> keys;
    const auto look = [&](const StringMap &one, const StringMap &other) {
        for (const auto &[key, value] : one) {
            const auto same = other.find(key);
            const config::KeyInfo *row = config::findInstanceKey(key);
            const bool changed = same == other.end() || same->second != value;
            if (changed && row && row->apply == config::Apply::Restart && std::ranges::find(keys, key) == keys.end())
                keys.push_back(key);
        }
    };
    look(now.config, old.config);
    look(old.config, now.config);
    std::ranges::sort(keys);
    return keys;
}

/// Whether the instance can be as the profiles would have it. Nothing is changed.
Status Manager::checkProfileUser(const ProfileUser &user)
{
    const config::Device *root = config::rootDisk(user.wanted.devices);
    if (!root)
        return Error(Code::Invalid, "it would be left without a root disk");
    if (root->as<config::DiskDevice>()->pool->text != user.row.pool)
        return Error(Code::Unsupported, "its root disk lies in pool " + quoted(user.row.pool) + " and cannot be moved by changing a profile");
    if (user.wanted.config.privileged.value_or(false) != (user.row.idRange.size == 0))
        return Error(Code::Unsupported, "its security.privileged was settled when it was created");
    TRY(checkProjectPolicy(m_s.db, user.row.project, user.all, user.wanted));
    TRY(checkDevices(user.wanted, TRY(diskSources(user.row.project, user.wanted.devices)), lentCards(user.wanted), m_s.paths));
    TRY(checkIdmap(user.row, user.wanted.config));
    if (user.runs)
        TRY(loadModules(user.wanted.config));
    TRY(planLimits(user.wanted, cgroup::PlanFor::Live, TRY(ioLimits(user.row, user.wanted))));
    TRY(checkInUse(user.key(), user.was, user.wanted));
    if (!user.replugs())
        return {};
    TRY(m_s.networks.checkNics(user.row.project, user.row.name, user.wanted.devices, user.was.devices));
    (void)TRY(planReplug(user.key(), user.old, user.all));
    return {};
}

Result<std::vector<Manager::ProfileUser>> Manager::usersOf(const std::string &project, const std::vector<store::Profile> &after)
{
    Profiles changed;
    for (const store::Profile &profile : after)
        changed[profile.name] = &profile;
    std::vector<ProfileUser> users;
    std::set<std::string> taken;
    std::vector<store::Instance> rows;
    for (const std::string &sharing : TRY(projectsWithProfilesOf(project)))
        std::ranges::move(TRY(store::listInstances(m_s.db, sharing)), std::back_inserter(rows));
    for (const store::Instance &row : rows) {
        const bool uses = std::ranges::any_of(row.profiles, [&](const std::string &name) { return changed.contains(name); });
        if (row.status != store::InstanceStatus::Ready || !uses)
            continue;
        ProfileUser user;
        user.row = row;
        user.old = TRY(expanded(row));
        user.all = TRY(expandedWith(m_s.db, row, changed));
        user.was = TRY(config::parseEffective(user.old));
        user.wanted = TRY_IN("instance " + quoted(row.name), config::parseEffective(user.all));
        user.runs = m_running->find(user.key()).has_value();
        user.after = row;
        if (user.replugs()) {
            user.after.config.merge(missingCardKeys(row.config, user.wanted.devices));
            for (auto &[name, function] : TRY_IN("instance " + quoted(row.name), chooseFunctions(user.wanted, user.old.devices, taken)))
                user.after.config[name] = function;
            TRY_IN("instance " + quoted(row.name),
                   settleNicNames(user.after, user.old, [&](const store::Instance &each) { return expandedWith(m_s.db, each, changed); }));
            user.all = TRY(expandedWith(m_s.db, user.after, changed));
            user.wanted = TRY(config::parseEffective(user.all));
        }
        users.push_back(std::move(user));
    }
    return users;
}

/// A network that is not the project's, and a size in a pool that counts none, are refused when they are given, not when somebody uses
/// the profile.
Status Manager::checkProfileSize(const store::Profile &after)
{
    const std::string home = TRY(store::homeOf(m_s.db, after.project, store::Shared::Profiles));
    TRY_IN("profile " + quoted(after.name), checkNetworks(m_s.db, home, after.devices));
    const auto wanted = TRY(sizeIn(after.devices));
    const std::string name = poolIn(after.devices);
    if (!wanted || wanted->count == 0 || name.empty())
        return {};
    const auto pool = m_s.pools.get(name); // one that is not there yet says so when it is used
    if (pool)
        TRY_IN("profile " + quoted(after.name) + ": root disk: size", (*pool)->canLimit());
    return {};
}

Result<std::vector<RestartNeeded>> Manager::checkProfileUsers(const std::vector<ProfileUser> &users)
{
    std::vector<RestartNeeded> later;
    for (const ProfileUser &user : users) {
        TRY_IN("instance " + quoted(user.row.name), checkProfileUser(user));
        if (auto keys = keysForRestart(user.old, user.all); user.runs && !keys.empty())
            later.push_back({user.row.name, std::move(keys)});
    }
    return later;
}

Result<std::vector<std::string>> Manager::projectsWithProfilesOf(const std::string &project)
{
    return store::projectsAt(m_s.db, TRY(store::homeOf(m_s.db, project, store::Shared::Profiles)), store::Shared::Profiles);
}

Result<std::vector<RestartNeeded>> Manager::checkProfiles(const std::string &project, const std::vector<store::Profile> &after, const ProfileRecord &record)
{
    for (const store::Profile &profile : after)
        TRY(checkProfileSize(profile));
    auto later = TRY(checkProfileUsers(TRY(usersOf(project, after))));
    TRY(checkLimits(m_s.db, TRY(projectsWithProfilesOf(project)), record.write));
    return later;
}

Status Manager::renameProfile(const store::Profile &row, const std::string &name)
{
    const std::lock_guard one(m_profilesMutex);
    TRY(store::renameProfile(m_s.db, row.id, name));
    for (const store::Profile::User &user : row.usedBy)
        if (const Status written = writeBackup({user.project, user.instance}); !written)
            log::warning("instance '" + user.instance + "': backup file: " + written.error().message + ", it says the old name of profile '" + name + "'");
    if (const Status noted = m_s.images.note(TRY(store::imagesWithProfile(m_s.db, row.id))); !noted)
        log::warning("images with profile '" + name + "': " + noted.error().message + ", what is noted beside them says its old name");
    return {};
}

Result<std::vector<RestartNeeded>> Manager::changeProfiles(const std::string &project, const std::vector<store::Profile> &after,
                                                           const ProfileRecord &record)
{
    const std::lock_guard one(m_profilesMutex);
    for (const store::Profile &profile : after)
        TRY(checkProfileSize(profile));
    const std::vector<ProfileUser> seen = TRY(usersOf(project, after));
    std::vector<std::shared_ptr<std::mutex>> mutexes;
    std::vector<std::unique_lock<std::mutex>> locks;
    for (const ProfileUser &user : seen) {
        mutexes.push_back(lockFor(user.key()));
        // Never waited for: another thread may hold one of these and wait for one that is ours already.
        locks.emplace_back(*mutexes.back(), std::try_to_lock);
        if (!locks.back().owns_lock())
            return Error(Code::WrongState, "instance " + quoted(user.row.name) + " uses the profile and is being worked on; try again");
    }
    const std::vector<ProfileUser> users = TRY(usersOf(project, after)); // as they are now that nobody else works on them
    if (users.size() != seen.size())
        return Error(Code::WrongState, "an instance with the profile came or went meanwhile; try again");
    const std::vector<RestartNeeded> later = TRY(checkProfileUsers(users));
    std::vector<Resize> resizes;
    for (const ProfileUser &user : users)
        if (TRY(sizeIn(user.all.devices)) != TRY(sizeIn(user.old.devices)))
            resizes.push_back({user.key(), user.row.pool, TRY(rootLimit(user.all.devices, user.row.pool))});
    std::vector<std::optional<Bytes>> limits;
    for (const Resize &each : resizes)
        limits.push_back(TRY(TRY(m_s.pools.get(each.pool))->limit(each.key.project, each.key.name)));

    Undo undo;
    undo.add("backup files", [&]() -> Status { // the last: by then the record is as it was
        for (const ProfileUser &user : users)
            TRY(writeBackup(user.key()));
        return {};
    });
    const std::vector<std::string> sharing = TRY(projectsWithProfilesOf(project));
    TRY(resize(after.empty() ? project : after.front().name, resizes, [&] { return withinLimits(m_s.db, sharing, record.write); }));
    for (std::size_t i = 0; i < resizes.size(); ++i)
        undo.add("size of " + resizes[i].key.name, [&, i]() -> Status {
            return TRY(m_s.pools.get(resizes[i].pool))->setLimit(resizes[i].key.project, resizes[i].key.name, limits[i]);
        });
    if (record.takeBack)
        undo.add("update record", makingRoom(m_s.db, record.takeBack));
    for (const ProfileUser &user : users) {
        const StringMap there = difference(user.row.config, user.after.config), back = difference(user.after.config, user.row.config);
        if (there.empty())
            continue;
        TRY_IN("instance " + quoted(user.row.name), store::setInstanceConfig(m_s.db, user.row.id, there));
        undo.add("names of " + user.row.name, makingRoom(m_s.db, [this, id = user.row.id, back] { return store::setInstanceConfig(m_s.db, id, back); }));
    }
    TRY(failpoint("profile.record"));
    for (const ProfileUser &user : users) {
        if (!user.runs)
            continue;
        TRY_IN("instance " + quoted(user.row.name), applyLive(user.row, user.was, user.wanted));
        undo.add("limits of " + user.row.name, [&] { return applyLive(user.row, user.wanted, user.was); });
        if (!user.replugs())
            continue;
        TRY_IN("instance " + quoted(user.row.name), applyDevices(user.after, user.old, user.all));
        undo.add("devices of " + user.row.name, [&] { return applyDevices(user.row, user.all, user.old); });
    }
    TRY(failpoint("profile.applied"));
    for (const ProfileUser &user : users)
        TRY_IN("instance " + quoted(user.row.name), writeBackup(user.key()));
    undo.keep();
    for (const ProfileUser &user : users) {
        if (user.runs)
            awaitDevices(user.key(), user.wanted.devices);
        m_s.emit({"instance-updated", user.key(), {}});
    }
    return later;
}

} // namespace lxmgr::instances

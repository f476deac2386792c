#include "store/instances.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT i.id, p.name, i.name, i.description, i.architecture, i.ephemeral, i.stateful, i.status, i.pool, i.image, "
    "i.created_at, i.last_used_at, "
    "coalesce(r.base, 0), coalesce(r.size, 0) "
    "FROM instances i JOIN projects p ON p.id = i.project_id LEFT JOIN id_ranges r ON r.instance_id = i.id ";
constexpr std::string_view kInsert = "INSERT INTO instances (project_id, name, description, architecture, ephemeral, "
                                     "stateful, status, pool, image, created_at, last_used_at) "
                                     "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view kUpdate =
    "UPDATE instances SET description=?, architecture=?, ephemeral=?, stateful=? WHERE id=?";
constexpr std::string_view kInsertProfile = "INSERT INTO instance_profiles (instance_id, position, profile_id) SELECT "
                                            "i.id, ?, f.id FROM instances i JOIN profiles f ON f.name=? JOIN projects p "
                                            "ON p.id = f.project_id AND p.name=? WHERE i.id=?";
constexpr std::string_view kSelectProfiles = "SELECT a.instance_id, f.name FROM instance_profiles a JOIN profiles f ON "
                                             "f.id = a.profile_id WHERE a.instance_id BETWEEN ? AND ? "
                                             "ORDER BY a.instance_id, a.position";
constexpr PartTable kConfig = {"instance_config", "instance_id"};
constexpr PartTable kDevices = {"instance_devices", "instance_id"};

constexpr std::pair<InstanceStatus, std::string_view> kStatusNames[] = {
    {InstanceStatus::Creating, "creating"},
    {InstanceStatus::Ready,    "ready"   },
    {InstanceStatus::Deleting, "deleting"},
};

std::string_view statusName(InstanceStatus status)
{
    return std::ranges::find(kStatusNames, status, &std::pair<InstanceStatus, std::string_view>::first)->second;
}
InstanceStatus statusFrom(const std::string &name) // the column's CHECK lets no other name in
{
    return std::ranges::find(kStatusNames, name, &std::pair<InstanceStatus, std::string_view>::second)->first;
}

std::string missing(std::int64_t id) { return "instance " + std::to_string(id) + " does not exist any more"; }

Instance readRow(const Statement &row)
{
    Instance instance;
    instance.id = row.integer(0);
    instance.project = row.text(1);
    instance.name = row.text(2);
    instance.description = row.text(3);
    instance.architecture = row.text(4);
    instance.ephemeral = row.flag(5);
    instance.stateful = row.flag(6);
    instance.status = statusFrom(row.text(7));
    instance.pool = row.text(8);
    instance.image = row.text(9);
    instance.createdAt = row.integer(10);
    instance.lastUsedAt = row.integer(11);
    instance.idRange = {static_cast<std::uint32_t>(row.integer(12)), static_cast<std::uint32_t>(row.integer(13))};
    return instance;
}

Status readProfiles(Database &db, std::vector<Instance> &instances)
{
    const OwnerSpan owners = spanOf(instances);
    Statement row = TRY(query(db, kSelectProfiles, owners.first, owners.last));
    Follower<Instance> follower(instances);
    while (TRY(row.next()))
        if (Instance *instance = follower.find(row.integer(0)))
            instance->profiles.push_back(row.text(1));
    return {};
}

/// `instances` sorted by id.
Status readParts(Database &db, std::vector<Instance> &instances)
{
    Follower<Instance> config(instances), devices(instances);
    const OwnerSpan owners = spanOf(instances);
    TRY(readStrings(db, kConfig, owners, [&](std::int64_t id) {
        Instance *instance = config.find(id);
        return instance != nullptr ? &instance->config : nullptr;
    }));
    TRY(readDevices(db, kDevices, owners, [&](std::int64_t id) {
        Instance *instance = devices.find(id);
        return instance != nullptr ? &instance->devices : nullptr;
    }));
    return readProfiles(db, instances);
}

template <class... Values>
Result<std::vector<Instance>> select(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<Instance> instances;
    {
        Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY i.id", values...));
        while (TRY(row.next()))
            instances.push_back(readRow(row));
    }
    TRY(readParts(db, instances));
    sortByName(instances);
    return instances;
}

Status writeProfiles(Database &db, std::int64_t id, const std::string &project, const std::vector<std::string> &profiles)
{
    const std::string home = TRY(homeOf(db, project, Shared::Profiles));
    TRY(run(db, "DELETE FROM instance_profiles WHERE instance_id=?", id));
    for (std::size_t i = 0; i < profiles.size(); ++i)
        TRY(named(change(db, "profile " + quoted(profiles[i]) + " does not exist", kInsertProfile,
                         static_cast<std::int64_t>(i), profiles[i], home, id),
                  "profile " + quoted(profiles[i]) + " is named twice"));
    return {};
}

Status writeParts(Database &db, std::int64_t id, const Instance &instance)
{
    TRY(writeStrings(db, kConfig, id, instance.config));
    TRY(writeDevices(db, kDevices, id, instance.devices));
    return writeProfiles(db, id, instance.project, instance.profiles);
}

} // namespace

Result<std::int64_t> insertInstance(Database &db, const Instance &instance)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, instance.project));
        const std::int64_t created = instance.createdAt != 0 ? instance.createdAt : unixMillis();
        TRY(named(run(db, kInsert, project, instance.name, instance.description, instance.architecture,
                      instance.ephemeral, instance.stateful, statusName(instance.status), instance.pool, instance.image,
                      created, instance.lastUsedAt),
                  titled("instance", instance.project, instance.name) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeParts(db, id, instance));
        return id;
    });
}

Result<Instance> findInstance(Database &db, const std::string &project, const std::string &name)
{
    return onlyRow(select(db, "WHERE p.name=? AND i.name=?", project, name),
                   titled("instance", project, name) + " does not exist");
}

Result<Instance> findInstance(Database &db, std::int64_t id) { return onlyRow(select(db, "WHERE i.id=?", id), missing(id)); }

Result<std::vector<Instance>> listInstances(Database &db, const std::string &project)
{
    return project.empty() ? select(db, "") : select(db, "WHERE p.name=?", project);
}

Result<std::vector<std::string>> listInstanceNames(Database &db, const std::string &project)
{
    Statement row = TRY(query(
        db, "SELECT i.name FROM instances i JOIN projects p ON p.id = i.project_id WHERE p.name=? ORDER BY i.name",
        project));
    std::vector<std::string> names;
    while (TRY(row.next()))
        names.push_back(row.text(0));
    return names;
}

Result<std::vector<Instance>> listInstancesIn(Database &db, InstanceStatus status)
{
    return select(db, "WHERE i.status=?", statusName(status));
}

Status updateInstance(Database &db, const Instance &instance)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missing(instance.id), kUpdate, instance.description, instance.architecture, instance.ephemeral,
                   instance.stateful, instance.id));
        return writeParts(db, instance.id, instance);
    });
}

Status setInstanceStatus(Database &db, std::int64_t id, InstanceStatus status)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE instances SET status=? WHERE id=?", statusName(status), id); });
}

Status setInstanceImage(Database &db, std::int64_t id, const std::string &image)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE instances SET image=? WHERE id=?", image, id); });
}

Status setInstancePool(Database &db, std::int64_t id, const std::string &pool)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE instances SET pool=? WHERE id=?", pool, id); });
}

Status setInstanceUsed(Database &db, std::int64_t id, std::int64_t at)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE instances SET last_used_at=? WHERE id=?", at, id); });
}

Status setInstanceConfig(Database &db, std::int64_t id, const StringMap &changes, Durability durability)
{
    return db.transaction(
        [&]() -> Status {
            TRY(change(db, missing(id), "UPDATE instances SET id=id WHERE id=?", id)); // is it there?
            for (const auto &[key, value] : changes) {
                if (value.empty())
                    TRY(run(db, "DELETE FROM instance_config WHERE instance_id=? AND key=?", id, key));
                else
                    TRY(run(db,
                            "INSERT INTO instance_config (instance_id, key, value) VALUES (?, ?, ?) "
                            "ON CONFLICT (instance_id, key) DO UPDATE SET value = excluded.value",
                            id, key, value));
            }
            return {};
        },
        durability);
}

Status moveInstance(Database &db, const Instance &instance)
{
    return db.transaction([&]() -> Status {
        const std::int64_t project = TRY(projectId(db, instance.project));
        TRY(run(db, "DELETE FROM instance_profiles WHERE instance_id=?", instance.id)); // they are of the project that it leaves
        TRY(named(change(db, missing(instance.id), "UPDATE instances SET project_id=?, name=? WHERE id=?", project, instance.name, instance.id),
                  titled("instance", instance.project, instance.name) + " already exists"));
        const auto value = instance.config.find("volatile.uuid");
        if (value != instance.config.end())
            TRY(run(db, "UPDATE undo SET project_id=? WHERE uuid=? AND kind<>'delete'", project, value->second));
        return updateInstance(db, instance);
    });
}

Status renameInstance(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&] {
        return named(change(db, missing(id), "UPDATE instances SET name=? WHERE id=?", name, id),
                     "instance " + quoted(name) + " already exists");
    });
}

Status deleteInstance(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missing(id), "DELETE FROM instances WHERE id=?", id); });
}

Result<std::vector<std::string>> instancesOfImage(Database &db, const std::string &fingerprint)
{
    Statement row = TRY(query(db,
                              "SELECT p.name || '/' || i.name FROM instances i JOIN projects p ON p.id = i.project_id "
                              "WHERE i.image=? ORDER BY 1",
                              fingerprint));
    std::vector<std::string> names;
    while (TRY(row.next()))
        names.push_back(row.text(0));
    return names;
}

} // namespace lxmgr::store

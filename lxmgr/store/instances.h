// Tables instances, instance_config, instance_devices, instance_profiles.
#pragma once

#include "store/id_ranges.h"
#include "store/projects.h"

namespace lxmgr::store
{

/// What is wanted, not what runs (that is asked of the monitors).
enum class InstanceStatus {
    Creating, ///< Before the first side effect of create; recovery undoes it.
    Ready,
    Deleting, ///< Before the first side effect of delete; recovery completes it.
};

struct Instance {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string name;
    std::string description;
    std::string architecture;
    bool ephemeral = false;
    bool stateful = false;
    InstanceStatus status = InstanceStatus::Creating;
    std::string pool;  ///< Of its root volume.
    std::string image; ///< Fingerprint it was made from, "" for none.
    std::int64_t createdAt = 0;
    std::int64_t lastUsedAt = 0; ///< 0: never started.
    StringMap config;            ///< Its own, volatile.* among them.
    DeviceMap devices;           ///< Its own.
    std::vector<std::string> profiles;
    IdRange idRange; ///< Size 0: privileged, none.
};

/// Writes the row and all its parts; fills createdAt when 0. `idRange` is not written: see allocateIdRange, in the same
/// transaction. AlreadyExists, NotFound (project, profile).
Result<std::int64_t> insertInstance(Database &db, const Instance &instance);
Result<Instance> findInstance(Database &db, const std::string &project, const std::string &name);
Result<Instance> findInstance(Database &db, std::int64_t id);
/// All of a project in the order of their names; "" gives all projects. Five queries, however many there are.
Result<std::vector<Instance>> listInstances(Database &db, const std::string &project);
/// Names only.
Result<std::vector<std::string>> listInstanceNames(Database &db, const std::string &project);
/// Of one status, all projects: what recovery looks for.
Result<std::vector<Instance>> listInstancesIn(Database &db, InstanceStatus status);

/// Replaces description, architecture, ephemeral, stateful, config, devices and profiles of `instance.id`.
Status updateInstance(Database &db, const Instance &instance);
Status setInstanceStatus(Database &db, std::int64_t id, InstanceStatus status);
Status setInstanceImage(Database &db, std::int64_t id, const std::string &image);
Status setInstancePool(Database &db, std::int64_t id, const std::string &pool);
Status setInstanceUsed(Database &db, std::int64_t id, std::int64_t at);
/// Sets single keys, an empty value unsets; for volatile.* and "config set".
Status setInstanceConfig(Database &db, std::int64_t id, const StringMap &changes,
                         Durability durability = Durability::Full);
/// Replaces project and name, too: it is in that project from now on, with what can be undone of it. AlreadyExists; NotFound:
/// the project has no profile of one of the names.
Status moveInstance(Database &db, const Instance &instance);
/// AlreadyExists.
Status renameInstance(Database &db, std::int64_t id, const std::string &name);
/// The row, its parts and its id range: last of all in a delete.
Status deleteInstance(Database &db, std::int64_t id);

/// "project/name" of those made from the image.
Result<std::vector<std::string>> instancesOfImage(Database &db, const std::string &fingerprint);

} // namespace lxmgr::store

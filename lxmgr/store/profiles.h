// Tables profiles, profile_config, profile_devices.
#pragma once

#include "store/projects.h"

namespace lxmgr::store
{

struct Profile {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string name;
    std::string description;
    StringMap config;
    DeviceMap devices;
    struct User {
        std::string project, instance;
    };
    std::vector<User> usedBy; ///< Also of projects that share it; read only.
};
/// "web1, db1".
std::string namesOf(const std::vector<Profile::User> &users);

/// Each of these looks in the project's home for profiles (homeOf()).
Result<Profile> findProfile(Database &db, const std::string &project, const std::string &name);
/// In the order of their names.
Result<std::vector<Profile>> listProfiles(Database &db, const std::string &project);
/// AlreadyExists.
Result<std::int64_t> insertProfile(Database &db, const Profile &profile);
/// Replaces description, config and devices of `profile.id`.
Status updateProfile(Database &db, const Profile &profile);
Status renameProfile(Database &db, std::int64_t id, const std::string &name);
/// WrongState while instances use it, naming them.
Status deleteProfile(Database &db, std::int64_t id);

} // namespace lxmgr::store

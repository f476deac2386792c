// Table projects. Every other object lives in one; "default" is made with the schema.
#pragma once

#include "store/database.h"

#include <map>
#include <vector>

namespace lxmgr::store
{

inline const std::string kDefaultProject = "default";

struct Project {
    std::int64_t id = 0;
    std::string name;
    std::string description;
    std::int64_t createdAt = 0; ///< Unix milliseconds, as all times in this room.
    StringMap config;
};

Result<Project> findProject(Database &db, const std::string &name);
Result<std::vector<Project>> listProjects(Database &db);
/// With its own profile "default", which is empty. AlreadyExists where the name is taken.
Result<std::int64_t> insertProject(Database &db, const Project &project);
/// What a project may have in common with project default: features.images=false, features.profiles=false, features.storage.volumes=false.
enum class Shared { Images, Profiles, Volumes };
/// The project whose images, profiles or custom volumes `project` uses: itself, or default.
Result<std::string> homeOf(Database &db, const std::string &project, Shared what);
/// That of every project, by its name.
Result<std::map<std::string, std::string>> homes(Database &db, Shared what);
/// All whose home that is.
Result<std::vector<std::string>> projectsAt(Database &db, const std::string &home, Shared what);
/// Replaces description and config of `project.id`. WrongState where features.* would change and something lives in it.
Status updateProject(Database &db, const Project &project);
/// WrongState while something lives in it: names of projects are part of where things lie. AlreadyExists.
Status renameProject(Database &db, const std::string &name, const std::string &to);
/// WrongState while something lives in it, apart from its profile "default".
Status deleteProject(Database &db, const std::string &name);

/// Now, for the time columns.
std::int64_t unixMillis();

} // namespace lxmgr::store

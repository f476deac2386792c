#include "store/projects.h"

#include "base/text.h"
#include "store/parts.h"
#include "store/profiles.h"

#include <algorithm>
#include <chrono>

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect = "SELECT id, name, description, created_at FROM projects";
constexpr std::string_view kInsert = "INSERT INTO projects (name, description, created_at) VALUES (?, ?, ?)";
constexpr std::string_view kDelete = "DELETE FROM projects WHERE name=?";

constexpr PartTable kConfig{"project_config", "project_id"};
constexpr std::string_view kDeleteDefaultProfile = "DELETE FROM profiles WHERE project_id=? AND name='default'";

Project readRow(const Statement &row) { return {row.integer(0), row.text(1), row.text(2), row.integer(3), {}}; }

Status checkEmpty(Database &db, const Project &project)
{
    for (const std::string_view table : {"instances", "volumes", "images"}) {
        Statement row = TRY(query(db, "SELECT 1 FROM " + std::string(table) + " WHERE project_id=? LIMIT 1", project.id));
        if (TRY(row.next()))
            return Error(Code::WrongState, "project " + quoted(project.name) + " is not empty: it has " + std::string(table));
    }
    return {};
}

struct Feature {
    Shared what;
    std::string_view key;
};
constexpr Feature kFeatures[] = {
    {Shared::Images,   "features.images"         },
    {Shared::Profiles, "features.profiles"       },
    {Shared::Volumes,  "features.storage.volumes"},
};

std::string_view keyOf(Shared what) { return std::ranges::find(kFeatures, what, &Feature::what)->key; }

bool shares(const Project &project, Shared what)
{
    const auto found = project.config.find(std::string(keyOf(what)));
    return found != project.config.end() && found->second == "false";
}

Status addDefaultProfile(Database &db, const Project &project)
{
    return run(db, "INSERT INTO profiles (project_id, name, description) VALUES (?, 'default', ?)", project.id, "Default profile of project " + project.name);
}

/// What its own profiles name would be another's from one moment to the next.
Status checkNoDevices(Database &db, const Project &project, const std::vector<std::string> &keys, const std::string &what)
{
    for (const Profile &profile : TRY(listProfiles(db, project.name)))
        for (const auto &[name, device] : profile.devices)
            if (profile.project == project.name && std::ranges::all_of(keys, [&](const std::string &key) { return device.contains(key); }))
                return Error(Code::WrongState, "project " + quoted(project.name) + " has profile " + quoted(profile.name) + " with " + what +
                                                   " (remove device " + quoted(name) + " first)");
    return {};
}

bool ownsNetworks(const Project &project)
{
    const auto found = project.config.find("features.networks");
    return found != project.config.end() && parseBool(found->second).value_or(false);
}

/// Its own profiles go or come with the feature.
Status changeFeatures(Database &db, const Project &before, const Project &after)
{
    const auto changes = [&](Shared what) { return shares(before, what) != shares(after, what); };
    const bool networks = ownsNetworks(before) != ownsNetworks(after);
    if (!networks && std::ranges::none_of(kFeatures, changes, &Feature::what))
        return {};
    if (after.name == kDefaultProject)
        return Error(Code::Forbidden, "features.*: what project default has is what others share");
    TRY_IN("features.* change while a project is empty only", checkEmpty(db, after));
    if (changes(Shared::Volumes))
        TRY(checkNoDevices(db, after, {"pool", "source"}, "a storage volume"));
    if (networks)
        TRY(checkNoDevices(db, after, {"network"}, "a network"));
    if (!changes(Shared::Profiles))
        return {};
    if (!shares(after, Shared::Profiles))
        return addDefaultProfile(db, after);
    Statement row = TRY(query(db, "SELECT name FROM profiles WHERE project_id=? AND name<>'default' LIMIT 1", after.id));
    if (TRY(row.next()))
        return Error(Code::WrongState, "project " + quoted(after.name) + " has profile " + quoted(row.text(0)) + " of its own (delete it first)");
    return run(db, kDeleteDefaultProfile, after.id);
}

Status readConfig(Database &db, Project &project)
{
    return readStrings(db, kConfig, onlyOwner(project.id), [&](std::int64_t) { return &project.config; });
}

} // namespace

Result<Project> findProject(Database &db, const std::string &name)
{
    Project project;
    {
        Statement row = TRY(query(db, std::string(kSelect) + " WHERE name=?", name));
        if (!TRY(row.next()))
            return Error(Code::NotFound, "project " + quoted(name) + " does not exist");
        project = readRow(row);
    }
    TRY(readConfig(db, project));
    return project;
}

Result<std::vector<Project>> listProjects(Database &db)
{
    std::vector<Project> projects;
    {
        Statement row = TRY(query(db, std::string(kSelect) + " ORDER BY name"));
        while (TRY(row.next()))
            projects.push_back(readRow(row));
    }
    for (Project &project : projects)
        TRY(readConfig(db, project));
    return projects;
}

Result<std::string> homeOf(Database &db, const std::string &project, Shared what)
{
    Statement row = TRY(query(db, "SELECT 1 FROM project_config c JOIN projects p ON p.id = c.project_id WHERE p.name=? AND c.key=? AND c.value='false'",
                              project, keyOf(what)));
    return TRY(row.next()) ? std::string(kDefaultProject) : project;
}

Result<std::map<std::string, std::string>> homes(Database &db, Shared what)
{
    std::map<std::string, std::string> all;
    for (const Project &project : TRY(listProjects(db)))
        all[project.name] = shares(project, what) ? kDefaultProject : project.name;
    return all;
}

Result<std::vector<std::string>> projectsAt(Database &db, const std::string &home, Shared what)
{
    std::vector<std::string> names;
    for (const auto &[project, at] : TRY(homes(db, what)))
        if (at == home)
            names.push_back(project);
    return names;
}

Result<std::int64_t> insertProject(Database &db, const Project &project)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t created = project.createdAt != 0 ? project.createdAt : unixMillis();
        TRY(named(run(db, kInsert, project.name, project.description, created),
                  "project " + quoted(project.name) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeStrings(db, kConfig, id, project.config));
        Project made = project;
        made.id = id;
        if (!shares(made, Shared::Profiles))
            TRY(addDefaultProfile(db, made));
        return id;
    });
}

Status updateProject(Database &db, const Project &project)
{
    return db.transaction([&]() -> Status {
        TRY(changeFeatures(db, TRY(findProject(db, project.name)), project));
        TRY(change(db, "project " + quoted(project.name) + " does not exist", "UPDATE projects SET description=? WHERE id=?", project.description, project.id));
        return writeStrings(db, kConfig, project.id, project.config);
    });
}

Status renameProject(Database &db, const std::string &name, const std::string &to)
{
    if (name == kDefaultProject)
        return Error(Code::Forbidden, "the default project cannot be renamed");
    return db.transaction([&]() -> Status {
        const Project project = TRY(findProject(db, name));
        TRY(checkEmpty(db, project));
        return named(run(db, "UPDATE projects SET name=? WHERE id=?", to, project.id), "project " + quoted(to) + " already exists");
    });
}

Status deleteProject(Database &db, const std::string &name)
{
    if (name == kDefaultProject)
        return Error(Code::Forbidden, "the default project cannot be deleted");
    return db.transaction([&]() -> Status {
        const Project project = TRY(findProject(db, name));
        TRY(checkEmpty(db, project));
        TRY(run(db, kDeleteDefaultProfile, project.id));
        Status done = change(db, "project " + quoted(name) + " does not exist", kDelete, name);
        if (!done && done.error().code == Code::WrongState)
            return Error(Code::WrongState, "project " + quoted(name) + " is not empty");
        return done;
    });
}

std::int64_t unixMillis()
{
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

} // namespace lxmgr::store

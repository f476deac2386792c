#include "store/projects.h"

#include "base/text.h"
#include "store/parts.h"

#include <chrono>

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect = "SELECT id, name, description, created_at FROM projects";
constexpr std::string_view kInsert = "INSERT INTO projects (name, description, created_at) VALUES (?, ?, ?)";
constexpr std::string_view kDelete = "DELETE FROM projects WHERE name=?";

Project readRow(const Statement &row) { return {row.integer(0), row.text(1), row.text(2), row.integer(3)}; }

} // namespace

Result<Project> findProject(Database &db, const std::string &name)
{
    Statement row = TRY(query(db, std::string(kSelect) + " WHERE name=?", name));
    if (!TRY(row.next()))
        return Error(Code::NotFound, "project " + quoted(name) + " does not exist");
    return readRow(row);
}

Result<std::vector<Project>> listProjects(Database &db)
{
    Statement row = TRY(query(db, std::string(kSelect) + " ORDER BY name"));
    std::vector<Project> projects;
    while (TRY(row.next()))
        projects.push_back(readRow(row));
    return projects;
}

Result<std::int64_t> insertProject(Database &db, const Project &project)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t created = project.createdAt != 0 ? project.createdAt : unixMillis();
        TRY(named(run(db, kInsert, project.name, project.description, created),
                  "project " + quoted(project.name) + " already exists"));
        return db.lastInsertId();
    });
}

Status deleteProject(Database &db, const std::string &name)
{
    if (name == kDefaultProject)
        return Error(Code::Forbidden, "the default project cannot be deleted");
    return db.transaction([&]() -> Status {
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

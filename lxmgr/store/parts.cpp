#include "store/parts.h"

#include "base/text.h"
#include "store/projects.h"

#include <limits>

namespace lxmgr::store
{

namespace
{

Status clear(Database &db, const PartTable &part, std::int64_t owner)
{
    return run(db, "DELETE FROM " + std::string(part.table) + " WHERE " + std::string(part.owner) + "=?", owner);
}

std::string selectSql(const PartTable &part, std::string_view columns, std::string_view order)
{
    const std::string owner(part.owner);
    return "SELECT " + owner + ", " + std::string(columns) + " FROM " + std::string(part.table) + " WHERE " + owner +
           " BETWEEN ? AND ? ORDER BY " + owner + ", " + std::string(order);
}

} // namespace

Status writeStrings(Database &db, const PartTable &part, std::int64_t owner, const StringMap &values)
{
    TRY(clear(db, part, owner));
    const std::string sql =
        "INSERT INTO " + std::string(part.table) + " (" + std::string(part.owner) + ", key, value) VALUES (?, ?, ?)";
    for (const auto &[key, value] : values)
        TRY(run(db, sql, owner, key, value));
    return {};
}

Status writeDevices(Database &db, const PartTable &part, std::int64_t owner, const DeviceMap &devices)
{
    TRY(clear(db, part, owner));
    const std::string sql = "INSERT INTO " + std::string(part.table) + " (" + std::string(part.owner) +
                            ", " + std::string(part.item) + ", key, value) VALUES (?, ?, ?, ?)";
    for (const auto &[device, keys] : devices)
        for (const auto &[key, value] : keys)
            TRY(run(db, sql, owner, device, key, value));
    return {};
}

Status readStrings(Database &db, const PartTable &part, OwnerSpan owners,
                   const std::function<StringMap *(std::int64_t)> &target)
{
    Statement rows = TRY(query(db, selectSql(part, "key, value", "key"), owners.first, owners.last));
    std::int64_t owner = std::numeric_limits<std::int64_t>::min();
    StringMap *map = nullptr;
    while (TRY(rows.next())) {
        if (rows.integer(0) != owner) {
            owner = rows.integer(0);
            map = target(owner);
        }
        if (map != nullptr)
            map->emplace_hint(map->end(), rows.text(1), rows.text(2));
    }
    return {};
}

Status readDevices(Database &db, const PartTable &part, OwnerSpan owners,
                   const std::function<DeviceMap *(std::int64_t)> &target)
{
    const std::string item(part.item);
    Statement rows = TRY(query(db, selectSql(part, item + ", key, value", item + ", key"), owners.first, owners.last));
    std::int64_t owner = std::numeric_limits<std::int64_t>::min();
    DeviceMap *devices = nullptr;
    StringMap *device = nullptr;
    std::string name;
    while (TRY(rows.next())) {
        if (rows.integer(0) != owner) {
            owner = rows.integer(0);
            devices = target(owner);
            device = nullptr;
        }
        if (devices == nullptr)
            continue;
        std::string row = rows.text(1);
        if (device == nullptr || row != name) {
            name = std::move(row);
            device = &devices->emplace_hint(devices->end(), name, StringMap{})->second;
        }
        device->emplace_hint(device->end(), rows.text(2), rows.text(3));
    }
    return {};
}

Result<std::int64_t> projectId(Database &db, const std::string &name)
{
    Statement row = TRY(query(db, "SELECT id FROM projects WHERE name=?", name));
    if (!TRY(row.next()))
        return Error(Code::NotFound, "project " + quoted(name) + " does not exist");
    return row.integer(0);
}

Status named(Status status, const std::string &text)
{
    if (!status && status.error().code == Code::AlreadyExists)
        return Error(Code::AlreadyExists, text);
    return status;
}

std::string titled(std::string_view kind, const std::string &project, const std::string &name)
{
    return std::string(kind) + " " + quoted(name) +
           (project == kDefaultProject ? "" : " in project " + quoted(project));
}

} // namespace lxmgr::store

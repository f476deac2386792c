// Parts: the key-value and device rows that belong to an object's row; inside this room only.
#pragma once

#include "store/statement.h"

#include <algorithm>
#include <functional>
#include <tuple>
#include <vector>

namespace lxmgr::store
{

/// A table (owner, key, value) or (owner, device, key, value), its owner's column, and what stands in place of "device".
struct PartTable {
    std::string_view table;
    std::string_view owner;
    std::string_view item = "device";
};

/// From `first` to `last`, so that one statement reads those of one owner or of all.
struct OwnerSpan {
    std::int64_t first = 0;
    std::int64_t last = INT64_MAX;
};
inline OwnerSpan onlyOwner(std::int64_t id) { return {id, id}; }

Status writeStrings(Database &db, const PartTable &part, std::int64_t owner, const StringMap &values);
Status writeDevices(Database &db, const PartTable &part, std::int64_t owner, const DeviceMap &devices);
/// `target` gives the map to put an owner's rows into, nullptr to pass over; called once an owner, in the order of ids.
Status readStrings(Database &db, const PartTable &part, OwnerSpan owners,
                   const std::function<StringMap *(std::int64_t)> &target);
Status readDevices(Database &db, const PartTable &part, OwnerSpan owners,
                   const std::function<DeviceMap *(std::int64_t)> &target);

/// Walks rows sorted by `id` beside owners that come in the order of ids.
template <class Row> class Follower
{
public:
    explicit Follower(std::vector<Row> &rows) : m_at(rows.begin()), m_end(rows.end()) {}
    Row *find(std::int64_t id)
    {
        while (m_at != m_end && m_at->id < id)
            ++m_at;
        return m_at != m_end && m_at->id == id ? &*m_at : nullptr;
    }

private:
    typename std::vector<Row>::iterator m_at, m_end;
};

/// The span of sorted rows' ids.
template <class Row> OwnerSpan spanOf(const std::vector<Row> &rows)
{
    return rows.empty() ? OwnerSpan{1, 0} : OwnerSpan{rows.front().id, rows.back().id};
}

template <class Row> void sortByName(std::vector<Row> &rows)
{
    std::ranges::sort(
        rows, [](const Row &a, const Row &b) { return std::tie(a.project, a.name) < std::tie(b.project, b.name); });
}

/// Its id. NotFound.
Result<std::int64_t> projectId(Database &db, const std::string &name);

/// An AlreadyExists of a constraint, told as `text`; every other error as it is.
Status named(Status status, const std::string &text);

/// The only row of a query by name. NotFound as `missing`.
template <class Row> Result<Row> onlyRow(Result<std::vector<Row>> rows, const std::string &missing)
{
    if (!rows)
        return std::move(rows.error());
    if (rows->empty())
        return Error(Code::NotFound, missing);
    return std::move(rows->front());
}

/// "instance 'web1'", with the project where it is not the default one.
std::string titled(std::string_view kind, const std::string &project, const std::string &name);

} // namespace lxmgr::store

#include "store/warnings.h"

#include "base/text.h"
#include "store/parts.h"

#include <algorithm>

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT w.uuid, w.type, w.instance_id, w.pool_id, w.network_id, w.image_id, w.volume_id, w.status, w.count, w.first_seen, w.last_seen, "
    "w.message, coalesce(i.name, s.name, n.name, m.fingerprint, v.name, ''), "
    "coalesce((SELECT name FROM projects WHERE id=coalesce(i.project_id, n.project_id, m.project_id, v.project_id)), ''), "
    "coalesce((SELECT name FROM storage_pools WHERE id=v.pool_id), '') FROM warnings w "
    "LEFT JOIN instances i ON i.id=w.instance_id LEFT JOIN storage_pools s ON s.id=w.pool_id LEFT JOIN networks n ON n.id=w.network_id "
    "LEFT JOIN images m ON m.id=w.image_id LEFT JOIN volumes v ON v.id=w.volume_id ";
constexpr std::string_view kOfSubject =
    "WHERE type=? AND ifnull(instance_id, 0)=? AND ifnull(pool_id, 0)=? AND ifnull(network_id, 0)=? AND ifnull(image_id, 0)=? AND ifnull(volume_id, 0)=?";
constexpr int kFirstSubject = 2; ///< Column of the select.

using Kind = WarningSubject::Kind;
constexpr Kind kKinds[] = {Kind::Instance, Kind::Pool, Kind::Network, Kind::Image, Kind::Volume}; // as the columns stand

constexpr std::pair<WarningStatus, std::string_view> kStatusNames[] = {
    {WarningStatus::New,          "new"         },
    {WarningStatus::Acknowledged, "acknowledged"},
    {WarningStatus::Resolved,     "resolved"    },
};
std::string_view statusName(WarningStatus status)
{
    return std::ranges::find(kStatusNames, status, &std::pair<WarningStatus, std::string_view>::first)->second;
}
WarningStatus statusFrom(const std::string &name) // the column's CHECK lets no other name in
{
    return std::ranges::find(kStatusNames, name, &std::pair<WarningStatus, std::string_view>::second)->first;
}

std::string missing(const std::string &uuid) { return "warning " + quoted(uuid) + " does not exist"; }

std::int64_t idAs(Kind kind, const WarningSubject &subject) { return subject.kind == kind ? subject.id : 0; }

/// `sql` with the type and the columns of the subject behind `values`.
template <class... Values>
Result<Statement> ofSubject(Database &db, std::string_view sql, const std::string &type, const WarningSubject &subject, const Values &...values)
{
    Statement statement = TRY(query(db, sql, values..., type));
    for (const Kind kind : kKinds)
        statement.bind(idAs(kind, subject));
    return statement;
}

Warning readRow(const Statement &row)
{
    Warning one;
    one.uuid = row.text(0);
    one.type = row.text(1);
    for (std::size_t i = 0; i < std::size(kKinds); ++i)
        if (const std::int64_t id = row.integer(kFirstSubject + static_cast<int>(i)); id != 0)
            one.subject = {kKinds[i], id};
    constexpr int next = kFirstSubject + static_cast<int>(std::size(kKinds));
    one.status = statusFrom(row.text(next));
    one.count = row.integer(next + 1);
    one.firstSeen = row.integer(next + 2);
    one.lastSeen = row.integer(next + 3);
    one.message = row.text(next + 4);
    one.name = row.text(next + 5);
    one.project = row.text(next + 6);
    one.pool = row.text(next + 7);
    return one;
}

template <class... Values> Result<std::vector<Warning>> select(Database &db, std::string_view where, const Values &...values)
{
    Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY w.last_seen DESC, w.id DESC", values...));
    std::vector<Warning> all;
    while (TRY(row.next()))
        all.push_back(readRow(row));
    return all;
}

} // namespace

Status noteWarning(Database &db, const std::string &uuid, const std::string &type, const WarningSubject &subject, const std::string &message)
{
    return db.transaction([&]() -> Status {
        const std::int64_t now = unixMillis();
        const std::string again = "UPDATE warnings SET count=count+1, message=?, last_seen=?, "
                                  "changed_at=iif(status='resolved', ?, changed_at), status=iif(status='resolved', 'new', status) ";
        TRY(TRY(ofSubject(db, again + std::string(kOfSubject), type, subject, message, now, now)).run());
        if (db.changes() > 0)
            return {};
        constexpr std::string_view kInsert =
            "INSERT INTO warnings (uuid, message, first_seen, last_seen, changed_at, status, count, "
            "type, instance_id, pool_id, network_id, image_id, volume_id) "
            "VALUES (?, ?, ?, ?, ?, 'new', 1, ?, nullif(?, 0), nullif(?, 0), nullif(?, 0), nullif(?, 0), nullif(?, 0))";
        return TRY(ofSubject(db, kInsert, type, subject, uuid, message, now, now, now)).run();
    });
}

Status resolveWarning(Database &db, const std::string &type, const WarningSubject &subject)
{
    {
        const std::string open = "SELECT id FROM warnings " + std::string(kOfSubject) + " AND status<>'resolved'";
        Statement row = TRY(ofSubject(db, open, type, subject));
        if (!TRY(row.next()))
            return {};
    }
    return db.transaction([&]() -> Status {
        const std::string resolve = "UPDATE warnings SET status='resolved', changed_at=? " + std::string(kOfSubject);
        return TRY(ofSubject(db, resolve, type, subject, unixMillis())).run();
    });
}

Status resolveWarnings(Database &db, const std::string &type)
{
    return db.transaction(
        [&] { return run(db, "UPDATE warnings SET status='resolved', changed_at=? WHERE type=? AND status<>'resolved'", unixMillis(), type); });
}

Result<std::vector<Warning>> listWarnings(Database &db) { return select(db, ""); }

Result<Warning> findWarning(Database &db, const std::string &uuid) { return onlyRow(select(db, "WHERE w.uuid=?", uuid), missing(uuid)); }

Result<std::int64_t> countWarnings(Database &db, WarningStatus status)
{
    Statement row = TRY(query(db, "SELECT count(*) FROM warnings WHERE status=?", statusName(status)));
    return TRY(row.next()) ? row.integer(0) : 0;
}

Status setWarningStatus(Database &db, const std::string &uuid, WarningStatus status)
{
    return db.transaction([&] {
        return change(db, missing(uuid), "UPDATE warnings SET status=?, changed_at=? WHERE uuid=?", statusName(status), unixMillis(), uuid);
    });
}

Status deleteWarning(Database &db, const std::string &uuid)
{
    return db.transaction([&] { return change(db, missing(uuid), "DELETE FROM warnings WHERE uuid=?", uuid); });
}

Status deleteResolvedWarnings(Database &db, std::int64_t time)
{
    return db.transaction([&] { return run(db, "DELETE FROM warnings WHERE status='resolved' AND changed_at<?", time); });
}

} // namespace lxmgr::store

// Database: the one SQLite connection, its transactions, migrations and copies. The table headers beside it hold the
// rows.
#pragma once

#include "base/result.h"
#include "base/types.h"

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace lxmgr::store
{

struct Migration {
    int version; ///< 1, 2, …: PRAGMA user_version once it is applied.
    std::string_view name;
    std::string_view sql;
};
/// The files of migrations/, in order.
std::span<const Migration> migrations();

/// Full: on disk before the call returns (anything a client is told is done). Relaxed: survives this process, but a
/// power cut may take it back (progress of work that would have died with the power too).
enum class Durability { Full, Relaxed };

class Statement;

/// Any thread; one at a time. Transactions are a few statements, never held over kernel work.
class Database
{
public:
    /// Opens or makes `path`, checks it and brings its schema up to date (a copy is left beside it first).
    /// Corrupt: damaged, or not ours. Unsupported: written by a newer lxmgr; not a byte is changed then.
    static Result<std::unique_ptr<Database>> open(const std::string &path) { return open(path, migrations()); }
    static Result<std::unique_ptr<Database>> open(const std::string &path, std::span<const Migration> schema);
    ~Database();
    Database(const Database &) = delete;
    Database &operator=(const Database &) = delete;

    /// All that `body` does, or nothing of it: an Error rolls back. `body` returns a Status or Result, touches only the
    /// database, and may be run again (on a full disk). Inside another transaction it is a part of that one.
    template <class Body>
    auto transaction(Body &&body, Durability durability = Durability::Full) -> std::invoke_result_t<Body>
    {
        using Out = std::invoke_result_t<Body>;
        Out out = Error(Code::Internal, "transaction did not run");
        const Status done = runTransaction(
            [&]() -> Status {
                out = body();
                if (!out)
                    return out.error();
                return {};
            },
            durability);
        if (!done)
            return done.error();
        return out;
    }

    /// Held while several statements must see one state.
    std::unique_lock<std::recursive_mutex> lock() { return std::unique_lock(m_mutex); }

    /// A checked copy at `path`, replacing a file there only when complete; safe while in use.
    Status copyTo(const std::string &path);
    /// PRAGMA integrity_check and foreign_key_check. Corrupt with the first finding.
    Status check();
    /// Makes the reserve file again, as large as there is room for; called at open and after deletions.
    void replenishReserve();
    int schemaVersion() const { return m_schemaVersion; }
    const std::string &path() const { return m_path; }

    // For the table files of this room.
    Result<Statement> prepare(std::string_view sql);
    std::int64_t lastInsertId() const;
    std::int64_t changes() const;

private:
    friend class Statement;
    friend class FreeingSpace;
    struct Connection;
    explicit Database(std::string path);
    Status runTransaction(const std::function<Status()> &body, Durability durability);
    Status runOnce(const std::function<Status()> &body, Durability durability);
    Status runNested(const std::function<Status()> &body);
    Status connect();
    Status migrate(std::span<const Migration> schema);
    Status applyMigration(const Migration &migration);
    Status execute(const std::string &sql);
    Result<std::int64_t> queryInteger(const std::string &sql);
    Error lastError();
    std::string reservePath() const;
    bool freeReserve();
    void keepLog();
    Status rewindLog();

    std::string m_path;
    std::unique_ptr<Connection> m_connection;
    std::recursive_mutex m_mutex;
    int m_schemaVersion = 0;
    int m_depth = 0;
    bool m_syncFailed = false;
    bool m_reserveMissing = false;
    std::uint64_t m_reserveGiven = 0; ///< Size of the reserve that was given up.
};

/// While it lives, this thread is making room: when the disk is full a transaction gives up the reserve file beside the
/// database (8 MiB; less on a small disk) and is run again, so that stop and delete work at 0 bytes free.
class FreeingSpace
{
public:
    explicit FreeingSpace(Database &database);
    ~FreeingSpace();
    /// `step` (a move to the trash, say), and once more without the reserve when the disk was too full for it.
    template <class Step> Status attempt(Step &&step)
    {
        Status done = step();
        if (!done && done.error().code == Code::NoSpace && m_database.freeReserve())
            done = step();
        return done;
    }
    FreeingSpace(const FreeingSpace &) = delete;
    FreeingSpace &operator=(const FreeingSpace &) = delete;

private:
    Database &m_database;
};

} // namespace lxmgr::store

// Opening, transactions and errors. Settings and their reasons: https://www.sqlite.org/pragma.html
#include "store/database.h"

#include "base/fd.h"
#include "base/text.h"
#include "store/statement.h"
#include "version.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unordered_map>

namespace lxmgr::store
{

namespace
{

constexpr std::int64_t kApplicationId = 1819831655; // "lxmg", set by the first migration
// The reserve: what opening and a deletion take, and a good deal more where there is room.
constexpr std::uint64_t kReserveLeast = 128 << 10;
constexpr std::uint64_t kReserveMost = 8 << 20;
constexpr std::uint64_t kReserveShare = 8; // of what is free
constexpr std::uint64_t kPage = 4096;      // of a database
constexpr std::uint64_t kLogKept = 1 << 20;
constexpr std::size_t kMaxCached = 256;

thread_local int t_freeingSpace = 0;

struct Closer {
    void operator()(sqlite3 *handle) const { sqlite3_close_v2(handle); }
};
using Handle = std::unique_ptr<sqlite3, Closer>;

bool isFull(int code, sqlite3 *handle)
{
    const int systemErrno = handle != nullptr ? sqlite3_system_errno(handle) : 0;
    return (code & 0xFF) == SQLITE_FULL ||
           ((code & 0xFF) == SQLITE_IOERR && (systemErrno == ENOSPC || systemErrno == EDQUOT));
}

std::string folderOf(const std::string &path)
{
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::uint64_t freeBytes(const std::string &folder)
{
    struct statvfs space = {};
    return ::statvfs(folder.c_str(), &space) == 0 ? std::uint64_t{space.f_bavail} * space.f_frsize : 0;
}

Error corrupt(const std::string &path, const std::string &why)
{
    return Error(Code::Corrupt, "database " + quoted(path) + ": " + why)
        .hint("nothing was changed and running guests are not touched; stop lxmgrd and put a good copy in its place, "
              "such as one of " +
              quoted(path + ".*bak"));
}

/// What an SQLite result code means to us. `handle` may be null.
Error errorOf(int code, sqlite3 *handle, const std::string &path, const std::string &text)
{
    if (isFull(code, handle))
        return Error(Code::NoSpace, "database " + quoted(path) + ": the disk is full")
            .hint(humanBytes(Bytes{freeBytes(folderOf(path))}) + " free; delete instances or images; that still works");
    switch (code & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return corrupt(path, text);
    case SQLITE_CONSTRAINT:
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID)
            return {Code::AlreadyExists, "database: " + text};
        return {code == SQLITE_CONSTRAINT_FOREIGNKEY ? Code::WrongState : Code::Internal, "database: " + text};
    default:
        break;
    }
    const int systemErrno = handle != nullptr ? sqlite3_system_errno(handle) : 0;
    const bool io = (code & 0xFF) == SQLITE_IOERR || (code & 0xFF) == SQLITE_CANTOPEN;
    return {Code::Internal,
            "database " + quoted(path) + ": " + text +
                (io && systemErrno != 0 ? std::string(": ") + strerrordesc_np(systemErrno) : ""),
            systemErrno};
}

Error errorOf(int code, sqlite3 *handle, const std::string &path)
{
    return errorOf(code, handle, path, handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
}

Result<Handle> openHandle(const std::string &path, int flags)
{
    sqlite3 *raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
    Handle handle(raw);
    if (code != SQLITE_OK)
        return errorOf(code, raw, path);
    sqlite3_busy_timeout(raw, 5000);
    return handle;
}

/// First column of the first row as text; "" where there is none.
Result<std::string> ask(sqlite3 *handle, const std::string &path, const char *sql)
{
    sqlite3_stmt *raw = nullptr;
    int code = sqlite3_prepare_v2(handle, sql, -1, &raw, nullptr);
    const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement(raw, &sqlite3_finalize);
    if (code == SQLITE_OK)
        code = sqlite3_step(raw);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return errorOf(code, handle, path);
    const auto *text = code == SQLITE_ROW ? reinterpret_cast<const char *>(sqlite3_column_text(raw, 0)) : nullptr;
    return std::string(text != nullptr ? text : "");
}

Result<std::int64_t> askNumber(sqlite3 *handle, const std::string &path, const char *sql)
{
    return parseSigned(TRY(ask(handle, path, sql)));
}

/// Makes the file so that nobody else can read it; true where it was there with something in it.
Result<bool> makeFile(const std::string &path)
{
    const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    struct stat info = {};
    if (!file || ::fstat(file.get(), &info) != 0)
        return Error::fromErrno(errno, "open", path);
    return info.st_size > 0;
}

/// The index of the log is in our memory and not in a mapped file, where a full btrfs ends a process that writes to it with
/// SIGBUS (sqlite.org/wal.html, "use of WAL without shared memory").
constexpr const char *kForUsAlone = "PRAGMA locking_mode=EXCLUSIVE";

/// For writing, as a first start that is killed on its way to WAL mode leaves a half-written page and the journal that takes
/// it back, and only who may write can do that. The log stays as it is.
Result<Handle> openToLook(const std::string &path)
{
    Handle handle = TRY(openHandle(path, SQLITE_OPEN_READWRITE));
    sqlite3_db_config(handle.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    TRY(ask(handle.get(), path, kForUsAlone));
    return handle;
}

/// Looks at a database without changing what is in it: is it ours, and not of a newer lxmgr?
Status inspect(const std::string &path, int newest)
{
    const Handle handle = TRY(openToLook(path));
    const auto version = TRY(askNumber(handle.get(), path, "PRAGMA user_version"));
    const auto application = TRY(askNumber(handle.get(), path, "PRAGMA application_id"));
    const auto tables = TRY(askNumber(handle.get(), path, "SELECT count(*) FROM sqlite_schema"));
    if (tables > 0 && application != kApplicationId)
        return Error(Code::Corrupt,
                     "database " + quoted(path) + ": it is not a database of lxmgr; nothing was changed");
    if (version <= newest)
        return {};
    const Result<std::string> writer = ask(handle.get(), path, "SELECT value FROM meta WHERE key = 'lxmgr_version'");
    return Error(Code::Unsupported, "database " + quoted(path) + ": it has schema " + std::to_string(version) +
                                        " of lxmgr " + (writer ? *writer : "newer than this") +
                                        "; this is lxmgr " LXMGR_VERSION ", which knows schemas up to " +
                                        std::to_string(newest))
        .hint("install that version again, or put " + quoted(path + ".schema-" + std::to_string(newest) + ".bak") +
              " in its place; nothing was changed");
}

Status syncPath(const std::string &path, int flags)
{
    const Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0)
        return Error::fromErrno(errno, "fsync", path);
    return {};
}

std::uint64_t sizeOf(const std::string &path)
{
    struct stat info = {};
    return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

/// Gives the file that has `has` bytes up to `wanted`: somebody may be quicker, and a file system keeps some for
/// itself.
void lengthen(const std::string &path, std::uint64_t has, std::uint64_t wanted)
{
    if (wanted <= has || wanted < kReserveLeast)
        return;
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file)
        return;
    for (std::uint64_t size = wanted; size > has && size >= kReserveLeast; size /= 2)
        if (::posix_fallocate(file.get(), 0, static_cast<off_t>(size)) == 0)
            return;
    if (has == 0 || ::ftruncate(file.get(), static_cast<off_t>(has)) != 0)
        ::unlink(path.c_str());
}

/// PRAGMA `check` says "ok" or its first finding.
Status runCheck(sqlite3 *handle, const std::string &path, const char *check)
{
    const std::string finding = TRY(ask(handle, path, check));
    if (finding != "ok")
        return corrupt(path, finding);
    return {};
}

} // namespace

struct Database::Connection {
    Handle handle;
    struct Cached {
        sqlite3_stmt *statement = nullptr;
        bool inUse = false;
    };
    std::unordered_map<std::string, Cached> cache;

    ~Connection()
    {
        for (auto &[sql, cached] : cache)
            sqlite3_finalize(cached.statement);
    }
};

Database::Database(std::string path) : m_path(std::move(path)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::string &path, std::span<const Migration> schema)
{
    const bool filled = TRY(makeFile(path));
    std::unique_ptr<Database> database(new Database(path));
    const auto attempt = [&]() -> Status {
        if (filled)
            TRY(inspect(path, schema.back().version));
        return database->connect();
    };
    Status connected = attempt();
    // Even reading needs a little room (of a log that is new): a full disk must not keep the daemon from starting and
    // deleting.
    if (!connected && connected.error().code == Code::NoSpace && database->freeReserve())
        connected = attempt();
    TRY(std::move(connected));
    TRY(database->migrate(schema));
    database->replenishReserve();
    return database;
}

Status Database::connect()
{
    m_connection = std::make_unique<Connection>();
    m_connection->handle = TRY(openHandle(m_path, SQLITE_OPEN_READWRITE));
    sqlite3 *handle = m_connection->handle.get();
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    // FULL: in WAL mode NORMAL may take back acknowledged commits at a power cut. What a large change adds to the log
    // is cut off again.
    TRY(execute(kForUsAlone));
    TRY(execute("PRAGMA cell_size_check=ON; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                "PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=1048576"));
    if (TRY(ask(handle, m_path, "PRAGMA journal_mode")) != "wal")
        return Error(Code::Unsupported, "database " + quoted(m_path) +
                                            ": this file system cannot hold it (no shared memory maps); "
                                            "put LXMGR_DIR on a local disk");
    return runCheck(handle, m_path, "PRAGMA quick_check(1)");
}

Status Database::migrate(std::span<const Migration> schema)
{
    const auto version = TRY(queryInteger("PRAGMA user_version"));
    m_schemaVersion = static_cast<int>(version);
    if (m_schemaVersion >= schema.back().version)
        return {};
    if (m_schemaVersion > 0)
        TRY_IN("copy before a change of the schema", copyTo(m_path + ".schema-" + std::to_string(version) + ".bak"));
    // A table is often rebuilt under its old name; foreign keys are checked at the end of each migration instead.
    TRY(execute("PRAGMA foreign_keys=OFF"));
    for (const Migration &migration : schema)
        if (migration.version > m_schemaVersion)
            TRY_IN("migration " + std::to_string(migration.version) + " (" + std::string(migration.name) + ")",
                   applyMigration(migration));
    return execute("PRAGMA foreign_keys=ON");
}

Status Database::applyMigration(const Migration &migration)
{
    TRY(transaction([&]() -> Status {
        TRY(execute(std::string(migration.sql)));
        TRY(execute("INSERT INTO meta (key, value) VALUES ('lxmgr_version', '" LXMGR_VERSION
                    "') ON CONFLICT (key) DO UPDATE SET value = excluded.value"));
        TRY(execute("PRAGMA user_version=" + std::to_string(migration.version)));
        const std::string broken = TRY(ask(m_connection->handle.get(), m_path, "PRAGMA foreign_key_check"));
        if (!broken.empty())
            return corrupt(m_path, "rows of " + quoted(broken) + " point at nothing");
        return {};
    }));
    m_schemaVersion = migration.version;
    return {};
}

Status Database::execute(const std::string &sql)
{
    const int code = sqlite3_exec(m_connection->handle.get(), sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK)
        return lastError();
    return {};
}

Result<std::int64_t> Database::queryInteger(const std::string &sql)
{
    return askNumber(m_connection->handle.get(), m_path, sql.c_str());
}

Error Database::lastError()
{
    sqlite3 *handle = m_connection->handle.get();
    const int code = sqlite3_extended_errcode(handle);
    // A failed fsync may have dropped the pages for good; the next one would succeed and mean nothing.
    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        m_syncFailed = true;
    return errorOf(code, handle, m_path);
}

Status Database::runTransaction(const std::function<Status()> &body, Durability durability)
{
    const auto guard = lock();
    if (m_depth > 0)
        return runNested(body);
    if (t_freeingSpace > 0 && m_reserveMissing)
        (void)rewindLog(); // a log that grows first would take the room that the database needs to take it in
    Status done = runOnce(body, durability);
    const auto isFullDisk = [&] { return !done && done.error().code == Code::NoSpace; };
    if (isFullDisk() && rewindLog()) // what the log has is room too
        done = runOnce(body, durability);
    if (isFullDisk() && t_freeingSpace > 0 && freeReserve()) {
        (void)rewindLog(); // it failed before for lack of space, or will again
        done = runOnce(body, durability);
    }
    if (done && m_reserveMissing && t_freeingSpace == 0)
        replenishReserve();
    return done;
}

Status Database::runOnce(const std::function<Status()> &body, Durability durability)
{
    if (m_syncFailed)
        return Error(Code::Internal,
                     "database " + quoted(m_path) +
                         ": the disk failed to keep an earlier change; it is read-only until lxmgrd starts again");
    if (durability == Durability::Relaxed)
        TRY(execute("PRAGMA synchronous=NORMAL"));
    Status done = execute("BEGIN IMMEDIATE");
    if (done) {
        ++m_depth;
        done = body();
        --m_depth;
        if (done)
            done = execute("COMMIT");
        // SQLite ends the transaction by itself after some errors, and keeps it open after others (a full disk at
        // COMMIT).
        if (!done && sqlite3_get_autocommit(m_connection->handle.get()) == 0)
            (void)execute("ROLLBACK"); // the first error is the one to tell
    }
    if (durability == Durability::Relaxed)
        TRY(execute("PRAGMA synchronous=FULL"));
    return done;
}

Status Database::runNested(const std::function<Status()> &body)
{
    const std::string name = "s" + std::to_string(m_depth);
    TRY(execute("SAVEPOINT " + name));
    ++m_depth;
    Status done = body();
    --m_depth;
    if (!done && sqlite3_get_autocommit(m_connection->handle.get()) == 0)
        (void)execute("ROLLBACK TO " + name); // the first error is the one to tell
    if (sqlite3_get_autocommit(m_connection->handle.get()) == 0) {
        const Status released = execute("RELEASE " + name);
        if (done && !released)
            return released;
    }
    return done;
}

Result<Statement> Database::prepare(std::string_view sql)
{
    auto guard = lock();
    auto &cache = m_connection->cache;
    const std::string key(sql);
    if (const auto found = cache.find(key); found != cache.end() && !found->second.inUse) {
        found->second.inUse = true;
        return Statement(*this, std::move(guard), found->second.statement, true);
    }
    sqlite3_stmt *statement = nullptr;
    if (sqlite3_prepare_v3(m_connection->handle.get(), key.c_str(), static_cast<int>(key.size()),
                           SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
        return lastError();
    const bool cached = cache.size() < kMaxCached && cache.try_emplace(key, Connection::Cached{statement, true}).second;
    return Statement(*this, std::move(guard), statement, cached);
}

std::int64_t Database::lastInsertId() const { return sqlite3_last_insert_rowid(m_connection->handle.get()); }
std::int64_t Database::changes() const { return sqlite3_changes64(m_connection->handle.get()); }

Status Database::check()
{
    const auto guard = lock();
    TRY(runCheck(m_connection->handle.get(), m_path, "PRAGMA integrity_check(1)"));
    const std::string broken = TRY(ask(m_connection->handle.get(), m_path, "PRAGMA foreign_key_check"));
    if (!broken.empty())
        return corrupt(m_path, "rows of " + quoted(broken) + " point at nothing");
    return {};
}

Status Database::copyTo(const std::string &path)
{
    const std::string part = path + ".part";
    if (::unlink(part.c_str()) != 0 && errno != ENOENT)
        return Error::fromErrno(errno, "unlink", part);
    const auto write = [&]() -> Status {
        {
            const auto guard = lock();
            TRY(run(*this, "VACUUM INTO ?", part));
        }
        {
            const Handle copy = TRY(openHandle(part, SQLITE_OPEN_READONLY));
            TRY(runCheck(copy.get(), part, "PRAGMA integrity_check(1)"));
        }
        if (::chmod(part.c_str(), 0600) != 0)
            return Error::fromErrno(errno, "chmod", part);
        TRY(syncPath(part, O_RDONLY));
        return ::rename(part.c_str(), path.c_str()) == 0 ? Status() : Status(Error::fromErrno(errno, "rename", part));
    };
    Status copied = write();
    if (!copied)
        (void)::unlink(part.c_str()); // on a full disk it would be in the way
    return copied ? syncPath(folderOf(path), O_RDONLY | O_DIRECTORY) : std::move(copied);
}

std::string Database::reservePath() const { return folderOf(m_path) + "/reserve"; }

/// A share of what is free, so that it never is what fills a disk; but what was given up is taken back whole.
void Database::replenishReserve()
{
    const auto guard = lock();
    keepLog();
    const std::string path = reservePath();
    const std::uint64_t has = sizeOf(path), available = freeBytes(folderOf(m_path));
    std::uint64_t wanted = std::min(kReserveMost, (available + has) / kReserveShare);
    wanted = std::max(wanted, std::min(m_reserveGiven, available));
    lengthen(path, has, wanted);
    const std::uint64_t reserve = sizeOf(path);
    m_reserveMissing = reserve == 0;
    // The pages that the log may gather must find room in the database at the cost of half a reserve, and in the blocks
    // kept for the log.
    sqlite3_wal_autocheckpoint(m_connection->handle.get(),
                               static_cast<int>(std::clamp<std::uint64_t>(reserve / 2 / kPage, 16, 200)));
}

bool Database::freeReserve()
{
    const auto guard = lock();
    m_reserveGiven = std::max(m_reserveGiven, sizeOf(reservePath()));
    m_reserveMissing = true;
    return ::unlink(reservePath().c_str()) == 0;
}

/// Blocks for the log that no other writer can take: a small change then needs nothing of the file system. They lie
/// beyond the end of the file, where SQLite does not look. (Its locks are on other files: this close drops none.)
void Database::keepLog()
{
    const std::uint64_t wanted = std::min(kLogKept, freeBytes(folderOf(m_path)) / kReserveShare);
    const Fd log(::open((m_path + "-wal").c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (log && wanted > 0)
        (void)::fallocate(log.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(wanted)); // not every one can
}

/// Copies the log into the database, so that the next change begins at its front again and need not make it longer.
Status Database::rewindLog() { return execute("PRAGMA wal_checkpoint(RESTART)"); }

FreeingSpace::FreeingSpace(Database &database) : m_database(database) { ++t_freeingSpace; }
FreeingSpace::~FreeingSpace()
{
    --t_freeingSpace;
    m_database.replenishReserve();
}

Statement::Statement(Database &database, std::unique_lock<std::recursive_mutex> lock, sqlite3_stmt *statement,
                     bool cached)
    : m_database(&database), m_lock(std::move(lock)), m_statement(statement), m_cached(cached)
{
}

Statement::Statement(Statement &&other) noexcept
    : m_database(other.m_database), m_lock(std::move(other.m_lock)),
      m_statement(std::exchange(other.m_statement, nullptr)), m_cached(other.m_cached), m_bound(other.m_bound),
      m_bindResult(other.m_bindResult)
{
}

Statement::~Statement()
{
    if (m_statement == nullptr)
        return;
    if (!m_cached) {
        sqlite3_finalize(m_statement);
        return;
    }
    sqlite3_reset(m_statement);
    sqlite3_clear_bindings(m_statement); // a large text need not stay in memory
    m_database->m_connection->cache.find(sqlite3_sql(m_statement))->second.inUse = false;
}

Statement &Statement::bind(std::int64_t value)
{
    const int code = sqlite3_bind_int64(m_statement, ++m_bound, value);
    m_bindResult = m_bindResult != SQLITE_OK ? m_bindResult : code;
    return *this;
}

Statement &Statement::bind(std::string_view value)
{
    // An empty view may have a null pointer, which SQLite would take for NULL.
    const char *text = value.data() != nullptr ? value.data() : "";
    const int code = sqlite3_bind_text64(m_statement, ++m_bound, text, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    m_bindResult = m_bindResult != SQLITE_OK ? m_bindResult : code;
    return *this;
}

Result<bool> Statement::next()
{
    if (m_bindResult != SQLITE_OK)
        return errorOf(m_bindResult, nullptr, m_database->m_path);
    const int code = sqlite3_step(m_statement);
    if (code == SQLITE_ROW)
        return true;
    if (code == SQLITE_DONE)
        return false;
    return m_database->lastError();
}

Status Statement::run()
{
    while (TRY(next()))
        ;
    return {};
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(m_statement, column); }

std::string Statement::text(int column) const
{
    const auto *bytes = reinterpret_cast<const char *>(sqlite3_column_text(m_statement, column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(m_statement, column)));
}

} // namespace lxmgr::store

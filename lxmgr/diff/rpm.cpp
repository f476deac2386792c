// rpm's database: a table of headers in SQLite. It is read from memory, as a process that is shut in opens no files by
// name, and SQLite would want to make some beside it.
#include "base/text.h"
#include "diff/packages.h"

#include <memory>
#include <optional>
#include <sqlite3.h>

namespace lxmgr::diff
{

namespace
{

// Tags and types of a header: rpm's documentation, "RPM v4 header format".
constexpr std::uint32_t kName = 1000, kVersion = 1001, kRelease = 1002, kEpoch = 1003, kArchitecture = 1022;
constexpr std::uint32_t kInt32 = 4, kString = 6;
constexpr std::size_t kEntry = 16;
constexpr std::uint32_t kMostEntries = 0x10000; ///< rpm's own bound.

/// The index: tag, type, offset and count of each; the data lies behind it.
class Header
{
public:
    static Result<Header> open(std::string_view blob)
    {
        Header header;
        if (blob.size() < 8)
            return Error(Code::Corrupt, "a header is cut off");
        const std::uint32_t entries = number(blob, 0), size = number(blob, 4);
        if (entries > kMostEntries || blob.size() - 8 < entries * kEntry || blob.size() - 8 - entries * kEntry < size)
            return Error(Code::Corrupt, "a header is cut off");
        header.m_index = blob.substr(8, entries * kEntry);
        header.m_data = blob.substr(8 + entries * kEntry, size);
        return header;
    }

    std::string text(std::uint32_t tag) const
    {
        const auto at = find(tag, kString);
        if (!at)
            return {};
        const std::string_view rest = m_data.substr(*at, kLongestPackageWord + 1);
        return std::string(rest.substr(0, rest.find('\0')));
    }

    std::optional<std::uint32_t> integer(std::uint32_t tag) const
    {
        const auto at = find(tag, kInt32);
        return at && m_data.size() - *at >= 4 ? std::optional(number(m_data, *at)) : std::nullopt;
    }

private:
    static std::uint32_t number(std::string_view bytes, std::size_t at)
    {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i)
            value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
        return value;
    }

    std::optional<std::size_t> find(std::uint32_t tag, std::uint32_t type) const
    {
        for (std::size_t entry = 0; entry < m_index.size(); entry += kEntry)
            if (number(m_index, entry) == tag && number(m_index, entry + 4) == type)
                if (const std::uint32_t at = number(m_index, entry + 8); at < m_data.size())
                    return at;
        return std::nullopt;
    }

    std::string_view m_index;
    std::string_view m_data;
};

struct CloseDatabase {
    void operator()(sqlite3 *database) const { ::sqlite3_close_v2(database); }
};
struct CloseStatement {
    void operator()(sqlite3_stmt *statement) const { ::sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, CloseStatement>;

Error unreadable(sqlite3 *database)
{
    return {Code::Corrupt, std::string("the database cannot be read: ") + ::sqlite3_errmsg(database)};
}

/// https://www.sqlite.org/security.html: what a database from elsewhere is to be opened with.
void distrust(sqlite3 *database, int &turns)
{
    ::sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    ::sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    ::sqlite3_limit(database, SQLITE_LIMIT_LENGTH, 64 << 20);
    ::sqlite3_limit(database, SQLITE_LIMIT_SQL_LENGTH, 64 << 10);
    ::sqlite3_limit(database, SQLITE_LIMIT_VDBE_OP, 25'000);
    ::sqlite3_limit(database, SQLITE_LIMIT_EXPR_DEPTH, 10);
    // A view called Packages could compute for ever.
    ::sqlite3_progress_handler(
        database, 1'000'000, [](void *left) { return --*static_cast<int *>(left) < 0 ? 1 : 0; }, &turns);
}

/// The file says whether a journal belongs to it (fileformat2, bytes 18 and 19); in memory there can be none.
void forgetJournal(std::string &file)
{
    for (const std::size_t at : {18, 19})
        if (file.size() > at && file[at] == 2)
            file[at] = 1;
}

} // namespace

Status parseRpmHeader(std::string_view blob, PackageSet &packages)
{
    const Header header = TRY(Header::open(blob));
    Package package{header.text(kName), header.text(kArchitecture), header.text(kVersion)};
    const std::string release = header.text(kRelease);
    if (package.name.empty() || package.version.empty())
        return Error(Code::Corrupt, "a header has no name or no version");
    if (!release.empty())
        package.version += "-" + release;
    if (const auto epoch = header.integer(kEpoch))
        package.version = std::to_string(*epoch) + ":" + package.version;
    const bool fits = package.name.size() <= kLongestPackageWord && package.version.size() <= 2 * kLongestPackageWord &&
                      package.architecture.size() <= kLongestPackageWord && packages.size() < kMostPackages;
    if (fits && package.name != "gpg-pubkey") // a key, kept there in the form of a package
        packages.insert(std::move(package));
    return {};
}

Status parseRpmDatabase(std::string file, PackageSet &packages)
{
    forgetJournal(file);
    sqlite3 *opened = nullptr;
    const int failed = ::sqlite3_open_v2(":memory:", &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, nullptr);
    const Database database(opened);
    if (failed != SQLITE_OK)
        return Error(Code::Internal, "no memory for SQLite");
    int turns = 20; // a database as large as we take needs one or two
    distrust(opened, turns);
    if (::sqlite3_deserialize(opened, "main", reinterpret_cast<unsigned char *>(file.data()),
                              static_cast<sqlite3_int64>(file.size()), static_cast<sqlite3_int64>(file.size()),
                              SQLITE_DESERIALIZE_READONLY) != SQLITE_OK)
        return unreadable(opened);
    sqlite3_stmt *prepared = nullptr;
    if (::sqlite3_prepare_v2(opened, "SELECT blob FROM Packages", -1, &prepared, nullptr) != SQLITE_OK)
        return unreadable(opened);
    const Statement statement(prepared);
    for (;;) {
        const int step = ::sqlite3_step(prepared);
        if (step == SQLITE_DONE)
            return {};
        if (step != SQLITE_ROW)
            return unreadable(opened);
        const auto *data = static_cast<const char *>(::sqlite3_column_blob(prepared, 0));
        const int size = ::sqlite3_column_bytes(prepared, 0);
        TRY(parseRpmHeader(data ? std::string_view(data, static_cast<std::size_t>(size)) : std::string_view(), packages));
    }
}

} // namespace lxmgr::diff

// Statement: one prepared statement in use; inside this room only.
#pragma once

#include "store/database.h"

#include <utility>

struct sqlite3_stmt;

namespace lxmgr::store
{

/// Holds the database's lock while it lives; goes back to the cache at its end. Binding problems show at next().
class Statement
{
public:
    Statement(Statement &&other) noexcept;
    Statement &operator=(Statement &&) = delete;
    ~Statement();

    /// Fills the next "?".
    Statement &bind(std::int64_t value);
    Statement &bind(std::string_view value);
    Statement &bind(const char *value) { return bind(std::string_view(value)); }
    Statement &bind(const std::string &value) { return bind(std::string_view(value)); }
    Statement &bind(bool value) { return bind(std::int64_t{value}); }
    Statement &bind(std::uint32_t value) { return bind(std::int64_t{value}); }

    /// Steps: true where there is a row to read.
    Result<bool> next();
    /// Steps to the end.
    Status run();
    /// Of the row, from 0.
    std::int64_t integer(int column) const;
    std::string text(int column) const;
    bool flag(int column) const { return integer(column) != 0; }

private:
    friend class Database;
    Statement(Database &database, std::unique_lock<std::recursive_mutex> lock, sqlite3_stmt *statement, bool cached);

    Database *m_database;
    std::unique_lock<std::recursive_mutex> m_lock;
    sqlite3_stmt *m_statement;
    bool m_cached;
    int m_bound = 0;
    int m_bindResult = 0;
};

/// A statement with its values, ready for next().
template <class... Values> Result<Statement> query(Database &db, std::string_view sql, const Values &...values)
{
    Statement statement = TRY(db.prepare(sql));
    (statement.bind(values), ...);
    return statement;
}

/// The same, run to its end.
template <class... Values> Status run(Database &db, std::string_view sql, const Values &...values)
{
    Statement statement = TRY(query(db, sql, values...));
    return statement.run();
}

/// A change that must hit a row: NotFound with `missing` where it does not.
template <class... Values>
Status change(Database &db, const std::string &missing, std::string_view sql, const Values &...values)
{
    TRY(run(db, sql, values...));
    if (db.changes() == 0)
        return Error(Code::NotFound, missing);
    return {};
}

} // namespace lxmgr::store

// KeptExports: exports that the server keeps as files ("backups" in the API), of instances and of custom volumes. Files lie
// in backups/ of the state folder under names that say nothing: what they are is in their rows, so that renaming moves no file.
//
// Life of one: reserve() records the wish, make() writes, reads back and names the file, then the row says that it is
// ready. Those of an instance go with it, once it cannot come back any more.
#pragma once

#include "base/fd.h"
#include "base/paths.h"
#include "images/export_writer.h"
#include "store/exports.h"

#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// What a new one is to be; its owner is the caller's to find.
struct KeepRequest {
    std::string name;           ///< "": backup0, or the next that is free.
    std::int64_t expiresAt = 0; ///< Unix milliseconds; 0: never.
};

/// By the row numbers of their instances.
using ExportsByInstance = std::map<std::int64_t, std::vector<store::Export>>;

class KeptExports
{
public:
    /// Makes <state>/backups (0700). Before anything else uses it: takes back what a crash left half made.
    static Result<std::unique_ptr<KeptExports>> open(const Paths &paths, store::Database &db);

    /// Those that are ready, the oldest first.
    Result<std::vector<store::Export>> list(const store::ExportOwner &owner);
    Result<ExportsByInstance> listOfInstances();
    /// NotFound; WrongState while it is being made.
    Result<store::Export> find(const store::ExportOwner &owner, const std::string &name);
    Result<Fd> openFile(const store::Export &row);

    /// Records that `row` is to be made, under the name it then has. AlreadyExists.
    Result<store::Export> reserve(store::Export row, const KeepRequest &request);
    using Write = std::function<Result<images::Exported>(const Fd &file)>;
    /// `write` puts the archive into the empty file it is given, reads it back, and may be called again. NoSpace says what
    /// is free. Nothing of one that fails is left once giveUp() was called.
    Status make(const store::Export &row, const Write &write);
    Status giveUp(const store::Export &row);

    /// AlreadyExists; NotFound, WrongState as with find().
    Status rename(const store::ExportOwner &owner, const std::string &from, const std::string &to);
    Status remove(const store::ExportOwner &owner, const std::string &name);

    /// When to look again, in Unix seconds; nullopt: nothing expires.
    std::optional<std::time_t> next();
    /// Removes those that have expired. What fails is logged, as in sweep().
    void removeExpired(std::time_t now);
    /// Removes the files of those that were dropped in the database.
    void sweep();

private:
    KeptExports(std::string path, store::Database &db, Fd folder)
        : m_path(std::move(path)), m_db(db), m_folder(std::move(folder))
    {
    }
    Status recover();
    Status finishRemove(const store::Export &row);

    std::string m_path;
    store::Database &m_db;
    Fd m_folder;
    std::mutex m_sweep; ///< One at a time removes what was dropped.
};

} // namespace lxmgr::instances

#include "instances/kept_exports.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/types.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "storage/tree.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <sys/statvfs.h>

namespace lxmgr::instances
{

namespace
{

constexpr const char *kFolder = "backups";
constexpr std::string_view kPart = ".part"; ///< Ends the name of a file that is being written.
constexpr std::string_view kNumbered = "backup";

std::string partOf(const store::Export &row) { return row.file + std::string(kPart); }

Status unlinkIfThere(const Fd &folder, const std::string &name)
{
    Status gone = sys::unlinkat(folder, name);
    return !gone && gone.error().errnum == ENOENT ? Status() : gone;
}

/// backup0, or the number after the highest there is.
std::string nextName(const std::vector<store::Export> &taken)
{
    std::uint64_t next = 0;
    for (const store::Export &one : taken)
        if (one.name.starts_with(kNumbered))
            if (const auto number = parseUnsigned(std::string_view(one.name).substr(kNumbered.size())))
                next = std::max(next, *number + 1);
    return std::string(kNumbered) + std::to_string(next);
}

std::string freeAt(const Fd &folder, const std::string &path)
{
    struct statvfs info {
    };
    if (!sys::call("fstatvfs", {}, [&] { return ::fstatvfs(folder.get(), &info); }))
        return path;
    return humanBytes(Bytes{static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize}) + " are free at " + path;
}

} // namespace

Result<std::unique_ptr<KeptExports>> KeptExports::open(const Paths &paths, store::Database &db)
{
    const Fd parent = TRY(path::openFolder(paths.stateDir));
    if (Status made = sys::mkdirat(parent, kFolder, 0700); !made && made.error().errnum != EEXIST)
        return std::move(made.error()).in("folder of kept exports");
    Fd folder = TRY_IN("folder of kept exports", path::open(parent, kFolder, O_RDONLY | O_DIRECTORY, path::Scope::Beneath));
    TRY(sys::fchmod(folder, 0700));
    std::unique_ptr<KeptExports> exports(new KeptExports(paths.stateDir + "/" + kFolder, db, std::move(folder)));
    TRY(exports->recover());
    return exports;
}

Status KeptExports::recover()
{
    for (const store::Export &row : TRY(store::listExportsIn(m_db, store::ExportStatus::Creating))) {
        log::info("backup '" + row.name + "' was cut off; taking it back");
        TRY(store::dropExport(m_db, row.id));
    }
    sweep();
    std::set<std::string> known;
    for (const store::Export &row : TRY(store::listExports(m_db)))
        known.insert(row.file);
    for (const std::string &name : TRY(path::list(m_folder))) {
        if (name.ends_with(kPart))
            TRY(unlinkIfThere(m_folder, name));
        else if (!known.contains(name)) // the database was lost, not the file
            log::warning("kept export '" + m_path + "/" + name + "' is in no list ('lxmgr import' makes an instance of it)");
    }
    return {};
}

Result<std::vector<store::Export>> KeptExports::list(const store::ExportOwner &owner)
{
    auto all = TRY(store::listExports(m_db, owner));
    std::erase_if(all, [](const store::Export &one) { return one.status != store::ExportStatus::Ready; });
    return all;
}

Result<ExportsByInstance> KeptExports::listOfInstances()
{
    ExportsByInstance all;
    for (store::Export &one : TRY(store::listExports(m_db)))
        if (one.status == store::ExportStatus::Ready && one.owner.kind == store::ExportOwner::Kind::Instance)
            all[one.owner.id].push_back(std::move(one));
    return all;
}

Result<store::Export> KeptExports::find(const store::ExportOwner &owner, const std::string &name)
{
    auto found = store::findExport(m_db, owner, name);
    if (!found && found.error().code == Code::NotFound)
        return Error(Code::NotFound, "Backup not found: " + quoted(name));
    if (found && found->status == store::ExportStatus::Creating)
        return Error(Code::WrongState, "backup " + quoted(name) + " is being made (wait until that is through, or cancel its operation)");
    return found;
}

Result<Fd> KeptExports::openFile(const store::Export &row)
{
    auto file = sys::openat(m_folder, row.file, O_RDONLY | O_NOFOLLOW);
    if (!file && file.error().errnum == ENOENT)
        return Error(Code::Corrupt, "backup " + quoted(row.name) + ": its file " + m_path + "/" + row.file + " is gone");
    return file;
}

Result<store::Export> KeptExports::reserve(store::Export row, const KeepRequest &request)
{
    if (!request.name.empty())
        TRY(checkObjectName("backup", request.name));
    row.file = storage::randomName();
    row.status = store::ExportStatus::Creating;
    row.createdAt = store::unixMillis();
    row.expiresAt = request.expiresAt;
    return m_db.transaction([&]() -> Result<store::Export> {
        row.name = request.name.empty() ? nextName(TRY(store::listExports(m_db, row.owner))) : request.name;
        row.id = TRY(store::insertExport(m_db, row));
        return row;
    });
}

Status KeptExports::make(const store::Export &row, const Write &write)
{
    TRY(failpoint("kept-export.record"));
    const std::string part = partOf(row);
    const Fd file = TRY(sys::openat(m_folder, part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    auto exported = write(file);
    if (!exported && exported.error().code == Code::NoSpace) {
        const auto written = sys::fstat(file);
        TRY(sys::unlinkat(m_folder, part)); // before it is asked what is free
        TRY(sys::call("ftruncate", {}, [&] { return ::ftruncate(file.get(), 0); }));
        return std::move(exported.error())
            .hint("more than " + humanBytes(Bytes{written ? static_cast<std::uint64_t>(written->st_size) : 0}) + " are needed, " +
                  freeAt(m_folder, m_path));
    }
    TRY(exported);
    TRY(failpoint("kept-export.written"));
    TRY(sys::fsync(file));
    TRY(sys::renameat2(m_folder, part, m_folder, row.file, RENAME_NOREPLACE));
    TRY(sys::fsync(m_folder));
    TRY(failpoint("kept-export.file"));
    TRY(store::finishExport(m_db, row.id, static_cast<std::int64_t>(exported->size.count)));
    return failpoint("kept-export.ready");
}

Status KeptExports::giveUp(const store::Export &row)
{
    TRY(store::dropExport(m_db, row.id));
    return finishRemove(row);
}

/// Each step may be repeated.
Status KeptExports::finishRemove(const store::Export &row)
{
    const store::FreeingSpace freeing(m_db);
    TRY(unlinkIfThere(m_folder, partOf(row)));
    TRY(unlinkIfThere(m_folder, row.file));
    TRY(failpoint("kept-export-delete.file"));
    Status gone = store::deleteExport(m_db, row.id);
    return !gone && gone.error().code == Code::NotFound ? Status() : gone;
}

Status KeptExports::rename(const store::ExportOwner &owner, const std::string &from, const std::string &to)
{
    TRY(checkObjectName("backup", to));
    return store::renameExport(m_db, TRY(find(owner, from)).id, to);
}

Status KeptExports::remove(const store::ExportOwner &owner, const std::string &name)
{
    const store::Export row = TRY(find(owner, name));
    const store::FreeingSpace freeing(m_db);
    TRY(store::dropExport(m_db, row.id));
    TRY(failpoint("kept-export-delete.record"));
    return finishRemove(row);
}

std::optional<std::time_t> KeptExports::next()
{
    if (const auto dropped = store::listExportsIn(m_db, store::ExportStatus::Deleting); dropped && !dropped->empty())
        return std::time_t{0}; // at once
    const auto expiry = store::nextExportExpiry(m_db);
    return expiry && *expiry > 0 ? std::optional(static_cast<std::time_t>(*expiry / 1000) + 1) : std::nullopt;
}

void KeptExports::removeExpired(std::time_t now)
{
    for (const store::Export &row :
         store::listExpiredExports(m_db, std::int64_t{now} * 1000).value_or(std::vector<store::Export>{}))
        if (const Status dropped = store::dropExport(m_db, row.id); !dropped)
            log::error("expired backup '" + row.name + "': " + dropped.error().message + ", ignoring");
    sweep();
}

void KeptExports::sweep()
{
    const std::lock_guard guard(m_sweep);
    for (const store::Export &row :
         store::listExportsIn(m_db, store::ExportStatus::Deleting).value_or(std::vector<store::Export>{}))
        if (const Status gone = finishRemove(row); !gone)
            log::error("backup '" + row.name + "': " + gone.error().message + ", ignoring");
}

} // namespace lxmgr::instances

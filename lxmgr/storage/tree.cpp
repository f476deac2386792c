#include "storage/tree.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "storage/btrfs_subvolume.h"
#include "trees/entries.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/openat2.h>
#include <set>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::storage
{

using trees::Entries;
using trees::FileId;
using trees::kFolderFlags;

namespace
{

constexpr unsigned kOpenLevels = 64;     ///< Folders a removal holds open at once.
constexpr unsigned kDeepestUsage = 1100; ///< Folders below are not counted: descriptors end somewhere.

/// Somebody else having removed it is as good.
Status unlessMissing(Status done) { return done || done.error().errnum == ENOENT ? Status() : done; }

struct Removal {
    const Fd &trash;
    const std::atomic<bool> &stop;
};

Status removeEntry(const Fd &parent, const std::string &name, unsigned level, const Removal &removal);

Status emptyFolder(const Fd &folder, unsigned level, const Removal &removal)
{
    Entries entries = TRY(Entries::open(folder));
    while (const trees::FolderEntry *entry = TRY(entries.next())) {
        if (removal.stop)
            return Error(Code::Cancelled, "removal was stopped");
        if (entry->type != DT_DIR && ::unlinkat(folder.get(), entry->name.c_str(), 0) == 0)
            continue;
        TRY(removeEntry(folder, entry->name, level, removal));
    }
    return {};
}

Status removeEntry(const Fd &parent, const std::string &name, unsigned level, const Removal &removal)
{
    if (level >= kOpenLevels)
        return renameNew(parent, name, removal.trash, std::string(kMovedUp) + randomName());
    const auto folder = sys::openat2(parent, name, kFolderFlags, 0, RESOLVE_NO_XDEV);
    if (!folder && folder.error().errnum == EXDEV)
        return Error(Code::WrongState, "something is mounted on the folder " + quoted(name) + " (unmount it)");
    if (!folder && (folder.error().errnum == ENOTDIR || folder.error().errnum == ELOOP))
        return unlessMissing(sys::unlinkat(parent, name));
    if (!folder)
        return unlessMissing(folder.error());
    // One call for the whole tree, and the only way for a read-only one. Where it is refused, emptying may still do.
    if (btrfs::isSubvolume(*folder) && btrfs::destroy(*folder))
        return {};
    // readdir(3) may pass over entries of a folder that changes under it: look again while it is not empty.
    for (int round = 0; round < 16; ++round) {
        TRY(emptyFolder(*folder, level + 1, removal));
        const Status removed = unlessMissing(sys::unlinkat(parent, name, AT_REMOVEDIR));
        if (removed || (removed.error().errnum != ENOTEMPTY && removed.error().errnum != EEXIST))
            return removed;
    }
    return Error(Code::Internal, "folder " + quoted(name) + " fills up as fast as it is emptied");
}

Status addUsage(const Fd &folder, std::set<FileId> &seen, std::uint64_t &blocks, unsigned level)
{
    Entries entries = TRY(Entries::open(folder));
    while (const trees::FolderEntry *entry = TRY(entries.next())) {
        struct stat info {
        };
        if (::fstatat(folder.get(), entry->name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
            continue; // gone since: a running guest may delete
        if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) && !seen.insert({info.st_dev, info.st_ino}).second)
            continue;
        blocks += static_cast<std::uint64_t>(info.st_blocks);
        if (!S_ISDIR(info.st_mode) || level > kDeepestUsage)
            continue;
        const Fd below(::openat(folder.get(), entry->name.c_str(), kFolderFlags));
        if (below)
            TRY(addUsage(below, seen, blocks, level + 1));
    }
    return {};
}

} // namespace

Result<Fd> makeFolderPath(const std::string &path, unsigned mode)
{
    if (path.empty() || path.front() != '/')
        return Error(Code::Invalid, quoted(path) + " is not an absolute path");
    Fd at = TRY(sys::open("/", kFolderFlags));
    for (const std::string &name : split(path, '/')) {
        if (name.empty())
            continue;
        const Status made = sys::mkdirat(at, name, mode);
        if (!made && made.error().errnum != EEXIST)
            return Error(made.error()).in(path);
        // Links are followed here: an administrator may well have put the state folder behind one.
        at = TRY_IN(path, sys::openat(at, name, O_RDONLY | O_DIRECTORY));
    }
    return at;
}

bool exists(const Fd &at, const std::string &name)
{
    return ::faccessat(at.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<std::vector<std::string>> namesIn(const Fd &folder)
{
    Entries entries = TRY(Entries::open(folder));
    std::vector<std::string> names;
    while (const trees::FolderEntry *entry = TRY(entries.next()))
        if (entry->name.front() != '.')
            names.push_back(entry->name);
    return names;
}

Result<bool> isEmpty(const Fd &folder) { return TRY(TRY(Entries::open(folder)).next()) == nullptr; }

Status renameNew(const Fd &from, const std::string &name, const Fd &to, const std::string &newName)
{
    Status renamed = sys::renameat2(from, name, to, newName, RENAME_NOREPLACE);
    if (renamed)
        return renamed;
    Error error = std::move(renamed.error());
    if (error.errnum == EEXIST || error.errnum == ENOTEMPTY)
        error.code = Code::AlreadyExists;
    if (error.errnum == ENOENT)
        error.code = Code::NotFound;
    return error;
}

Result<std::string> readSmallFile(const Fd &at, const std::string &name, std::size_t most)
{
    auto file = sys::openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file && file.error().errnum == ENOENT)
        return std::move(file.error()).as(Code::NotFound);
    return files::readAll(TRY(std::move(file)), most);
}

Status writeNewFile(const Fd &at, const std::string &name, const std::string &content)
{
    return files::writeAll(TRY(sys::openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)), content);
}

std::string randomName()
{
    unsigned char bytes[8] = {};
    // Eight bytes come at once and never fail once the pool is up (getrandom(2)); the names need only differ.
    [[maybe_unused]] const ssize_t got = ::getrandom(bytes, sizeof bytes, 0);
    return toHex(bytes);
}

Status removeTree(const Fd &parent, const std::string &name, const Fd &trash, const std::atomic<bool> &stop)
{
    return removeEntry(parent, name, 0, Removal{trash, stop});
}

Result<Bytes> treeUsage(const Fd &folder)
{
    std::set<FileId> seen;
    std::uint64_t blocks = 0;
    TRY(addUsage(folder, seen, blocks, 0));
    return Bytes{blocks * 512};
}

} // namespace lxmgr::storage

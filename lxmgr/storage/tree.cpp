#include "storage/tree.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <map>
#include <set>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

constexpr unsigned kOpenLevels = 64;    ///< Folders a removal holds open at once.
constexpr unsigned kDeepestCopy = 1100; ///< Images are refused beyond 1024.
constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// Somebody else having removed it is as good.
Status unlessMissing(Status done) { return done || done.error().errnum == ENOENT ? Status() : done; }

/// An open directory stream of its own, so that the caller's descriptor keeps its place.
class Entries
{
public:
    static Result<Entries> open(const Fd &folder)
    {
        Fd own = TRY(sys::openat(folder, ".", kFolderFlags));
        DIR *stream = ::fdopendir(own.get());
        if (!stream)
            return Error::fromErrno(errno, "fdopendir");
        (void)own.release(); // the stream owns it now
        return Entries(stream);
    }
    Entries(Entries &&other) noexcept : m_stream(std::exchange(other.m_stream, nullptr)) {}
    Entries &operator=(Entries &&) = delete;
    ~Entries()
    {
        if (m_stream)
            ::closedir(m_stream);
    }
    /// nullptr at the end; "." and ".." are left out.
    const dirent *next()
    {
        for (;;) {
            const dirent *entry = ::readdir(m_stream);
            if (!entry || (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0))
                return entry;
        }
    }
    void rewind() { ::rewinddir(m_stream); }

private:
    explicit Entries(DIR *stream) : m_stream(stream) {}
    DIR *m_stream;
};

struct Removal {
    const Fd &trash;
    const std::atomic<bool> &stop;
};

Status removeEntry(const Fd &parent, const std::string &name, unsigned level, const Removal &removal);

Status emptyFolder(const Fd &folder, unsigned level, const Removal &removal)
{
    Entries entries = TRY(Entries::open(folder));
    while (const dirent *entry = entries.next()) {
        if (removal.stop)
            return Error(Code::Cancelled, "removal was stopped");
        if (entry->d_type != DT_DIR && ::unlinkat(folder.get(), entry->d_name, 0) == 0)
            continue;
        TRY(removeEntry(folder, entry->d_name, level, removal));
    }
    return {};
}

Status removeEntry(const Fd &parent, const std::string &name, unsigned level, const Removal &removal)
{
    if (level >= kOpenLevels)
        return renameNew(parent, name, removal.trash, randomName());
    const auto folder = sys::openat(parent, name, kFolderFlags);
    if (!folder && (folder.error().errnum == ENOTDIR || folder.error().errnum == ELOOP))
        return unlessMissing(sys::unlinkat(parent, name));
    if (!folder)
        return unlessMissing(folder.error());
    // readdir(3) may pass over entries of a folder that changes under it: look again while it is not empty.
    for (int round = 0; round < 16; ++round) {
        TRY(emptyFolder(*folder, level + 1, removal));
        const Status removed = unlessMissing(sys::unlinkat(parent, name, AT_REMOVEDIR));
        if (removed || (removed.error().errnum != ENOTEMPTY && removed.error().errnum != EEXIST))
            return removed;
    }
    return Error(Code::Internal, "folder " + quoted(name) + " fills up as fast as it is emptied");
}

using FileId = std::pair<dev_t, ino_t>;

struct Copy {
    const Fd &top;                       ///< Of the target, for hard links.
    std::map<FileId, std::string> links; ///< Files with several names → path of the copy below `top`.
};

Status copyFolder(const Fd &from, const Fd &to, const std::string &path, unsigned level, Copy &copy);

Status copyData(const Fd &from, const Fd &to, std::uint64_t size)
{
    if (size == 0 || ::ioctl(to.get(), FICLONE, from.get()) == 0)
        return {};
    while (TRY(sys::call("copy_file_range", {}, [&] { return ::copy_file_range(from.get(), nullptr, to.get(), nullptr, 1U << 30, 0); })) > 0)
        continue;
    return {};
}

Status copyFile(const Fd &fromFolder, const Fd &toFolder, const std::string &name, std::uint64_t size)
{
    const Fd from = TRY(sys::openat(fromFolder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const Fd to = TRY(sys::openat(toFolder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    TRY(copyData(from, to, size));
    return copyAttributes(from, to);
}

/// What is neither file nor folder: link, fifo, socket, device node. Order: owner before mode, as chown(2) clears setuid bits.
Status copySpecial(const Fd &from, const Fd &to, const std::string &name, const struct stat &info)
{
    if (S_ISLNK(info.st_mode))
        TRY(sys::symlinkat(TRY(sys::readlinkat(from, name)), to, name));
    else
        TRY(sys::mknodat(to, name, info.st_mode, info.st_rdev));
    TRY(sys::fchownat(to, name, info.st_uid, info.st_gid));
    if (!S_ISLNK(info.st_mode))
        TRY(sys::fchmodat(to, name, info.st_mode & 07777));
    const timespec times[2] = {info.st_atim, info.st_mtim};
    TRY(sys::call("utimensat", name, [&] { return ::utimensat(to.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW); }));
    return {};
}

Status copySubfolder(const Fd &from, const Fd &to, const std::string &name, const std::string &path, unsigned level, Copy &copy)
{
    const Fd source = TRY(openFolder(from, name));
    const Fd target = TRY(makeFolder(to, name, 0700));
    TRY(copyFolder(source, target, path, level + 1, copy));
    return copyAttributes(source, target); // last: filling it changed its times
}

Status copyEntry(const Fd &from, const Fd &to, const std::string &name, const std::string &path, unsigned level, Copy &copy)
{
    const struct stat info = TRY(sys::fstatat(from, name));
    if (S_ISDIR(info.st_mode))
        return copySubfolder(from, to, name, path, level, copy);
    if (info.st_nlink > 1) {
        const auto [known, isNew] = copy.links.try_emplace({info.st_dev, info.st_ino}, path);
        if (!isNew)
            return sys::linkat(copy.top, known->second, to, name);
    }
    return S_ISREG(info.st_mode) ? copyFile(from, to, name, static_cast<std::uint64_t>(info.st_size)) : copySpecial(from, to, name, info);
}

Status copyFolder(const Fd &from, const Fd &to, const std::string &path, unsigned level, Copy &copy)
{
    if (level > kDeepestCopy)
        return Error(Code::Invalid, "folders are nested deeper than " + std::to_string(kDeepestCopy));
    Entries entries = TRY(Entries::open(from));
    while (const dirent *entry = entries.next()) {
        const std::string name = entry->d_name;
        TRY(copyEntry(from, to, name, path.empty() ? name : path + "/" + name, level, copy));
    }
    return {};
}

Status copyExtendedAttributes(const Fd &from, const Fd &to)
{
    char names[64 * 1024];
    const ssize_t length = ::flistxattr(from.get(), names, sizeof names);
    if (length < 0)
        return errno == EOPNOTSUPP ? Status() : Status(Error::fromErrno(errno, "flistxattr"));
    std::string value(64 * 1024, '\0');
    for (const char *name = names; name < names + length; name += std::strlen(name) + 1) {
        if (std::string_view(name).starts_with("trusted.overlay."))
            continue; // would act on the copy's own layers
        const auto size = static_cast<std::size_t>(
            TRY(sys::call("fgetxattr", name, [&] { return ::fgetxattr(from.get(), name, value.data(), value.size()); })));
        TRY(sys::call("fsetxattr", name, [&] { return ::fsetxattr(to.get(), name, value.data(), size, 0); }));
    }
    return {};
}

Status addUsage(const Fd &folder, std::set<FileId> &seen, std::uint64_t &blocks, unsigned level)
{
    Entries entries = TRY(Entries::open(folder));
    while (const dirent *entry = entries.next()) {
        struct stat info{};
        if (::fstatat(folder.get(), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
            continue; // gone since: a running guest may delete
        if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) && !seen.insert({info.st_dev, info.st_ino}).second)
            continue;
        blocks += static_cast<std::uint64_t>(info.st_blocks);
        if (!S_ISDIR(info.st_mode) || level > kDeepestCopy)
            continue;
        const Fd below(::openat(folder.get(), entry->d_name, kFolderFlags));
        if (below)
            TRY(addUsage(below, seen, blocks, level + 1));
    }
    return {};
}

} // namespace

Result<Fd> openFolder(const Fd &at, const std::string &name)
{
    auto folder = sys::openat(at, name, kFolderFlags);
    if (!folder && folder.error().errnum == ENOENT)
        return std::move(folder.error()).as(Code::NotFound);
    return folder;
}

Result<Fd> makeFolder(const Fd &at, const std::string &name, unsigned mode)
{
    const Status made = sys::mkdirat(at, name, mode);
    if (!made && made.error().errnum != EEXIST)
        return made.error();
    Fd folder = TRY(openFolder(at, name));
    TRY(sys::fchmod(folder, mode)); // mkdir(2) obeyed the umask, and an old folder may be too open
    return folder;
}

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

bool exists(const Fd &at, const std::string &name) { return ::faccessat(at.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

Result<std::vector<std::string>> namesIn(const Fd &folder)
{
    Entries entries = TRY(Entries::open(folder));
    std::vector<std::string> names;
    while (const dirent *entry = entries.next())
        if (entry->d_name[0] != '.')
            names.emplace_back(entry->d_name);
    return names;
}

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

Status copyTree(const Fd &from, const Fd &to)
{
    Copy copy{to, {}};
    TRY(copyFolder(from, to, "", 0, copy));
    return copyAttributes(from, to);
}

Status copyAttributes(const Fd &from, const Fd &to)
{
    const struct stat info = TRY(sys::fstat(from));
    TRY(sys::fchown(to, info.st_uid, info.st_gid));
    // After chown(2), which clears setuid bits and file capabilities.
    TRY(sys::fchmod(to, info.st_mode & 07777));
    TRY(copyExtendedAttributes(from, to));
    const timespec times[2] = {info.st_atim, info.st_mtim};
    TRY(sys::call("futimens", {}, [&] { return ::futimens(to.get(), times); }));
    return {};
}

Result<Bytes> treeUsage(const Fd &folder)
{
    std::set<FileId> seen;
    std::uint64_t blocks = 0;
    TRY(addUsage(folder, seen, blocks, 0));
    return Bytes{blocks * 512};
}

} // namespace lxmgr::storage

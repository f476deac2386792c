#include "storage/tree.h"

#include "base/text.h"

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

Error fail(std::string_view call, std::string_view object = {}) { return Error::fromErrno(errno, call, object); }

/// An open directory stream of its own, so that the caller's descriptor keeps its place.
class Entries
{
public:
    static Result<Entries> open(const Fd &folder)
    {
        Fd own(::openat(folder.get(), ".", kFolderFlags));
        if (!own)
            return fail("open folder");
        DIR *stream = ::fdopendir(own.get());
        if (!stream)
            return fail("fdopendir");
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
    Fd folder(::openat(parent.get(), name.c_str(), kFolderFlags));
    if (!folder && (errno == ENOTDIR || errno == ELOOP))
        return ::unlinkat(parent.get(), name.c_str(), 0) == 0 || errno == ENOENT ? Status() : Status(fail("remove", name));
    if (!folder)
        return errno == ENOENT ? Status() : Status(fail("open folder", name));
    // readdir(3) may pass over entries of a folder that changes under it: look again while it is not empty.
    for (int round = 0; round < 16; ++round) {
        TRY(emptyFolder(folder, level + 1, removal));
        if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT)
            return {};
        if (errno != ENOTEMPTY && errno != EEXIST)
            break;
    }
    return fail("remove folder", name);
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
    while (true) {
        const ssize_t done = ::copy_file_range(from.get(), nullptr, to.get(), nullptr, 1U << 30, 0);
        if (done == 0)
            return {};
        if (done < 0)
            return fail("copy_file_range");
    }
}

Status copyFile(const Fd &fromFolder, const Fd &toFolder, const std::string &name, std::uint64_t size)
{
    const Fd from(::openat(fromFolder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!from)
        return fail("open", name);
    const Fd to(::openat(toFolder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!to)
        return fail("create", name);
    TRY(copyData(from, to, size));
    return copyAttributes(from, to);
}

Status copyLink(const Fd &from, const Fd &to, const std::string &name, const struct stat &info)
{
    std::string target(static_cast<std::size_t>(info.st_size) + 1, '\0');
    const ssize_t length = ::readlinkat(from.get(), name.c_str(), target.data(), target.size());
    if (length < 0 || static_cast<std::size_t>(length) >= target.size())
        return fail("readlink", name);
    target.resize(static_cast<std::size_t>(length));
    if (::symlinkat(target.c_str(), to.get(), name.c_str()) < 0)
        return fail("symlink", name);
    return {};
}

/// What is neither file nor folder: link, fifo, socket, device node. Order: owner before mode, as chown(2) clears setuid bits.
Status copySpecial(const Fd &from, const Fd &to, const std::string &name, const struct stat &info)
{
    if (S_ISLNK(info.st_mode)) {
        TRY(copyLink(from, to, name, info));
    } else if (::mknodat(to.get(), name.c_str(), info.st_mode, info.st_rdev) < 0) {
        return fail("mknod", name);
    }
    if (::fchownat(to.get(), name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail("chown", name);
    if (!S_ISLNK(info.st_mode) && ::fchmodat(to.get(), name.c_str(), info.st_mode & 07777, 0) < 0)
        return fail("chmod", name);
    const timespec times[2] = {info.st_atim, info.st_mtim};
    if (::utimensat(to.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail("utimensat", name);
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
    struct stat info{};
    if (::fstatat(from.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
        return fail("stat", name);
    if (S_ISDIR(info.st_mode))
        return copySubfolder(from, to, name, path, level, copy);
    if (info.st_nlink > 1) {
        const auto [known, isNew] = copy.links.try_emplace({info.st_dev, info.st_ino}, path);
        if (!isNew)
            return ::linkat(copy.top.get(), known->second.c_str(), to.get(), name.c_str(), 0) == 0 ? Status() : Status(fail("link", path));
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
        return errno == EOPNOTSUPP ? Status() : Status(fail("flistxattr"));
    std::string value(64 * 1024, '\0');
    for (const char *name = names; name < names + length; name += std::strlen(name) + 1) {
        if (std::string_view(name).starts_with("trusted.overlay."))
            continue; // would act on the copy's own layers
        const ssize_t size = ::fgetxattr(from.get(), name, value.data(), value.size());
        if (size < 0 || ::fsetxattr(to.get(), name, value.data(), static_cast<std::size_t>(size), 0) < 0)
            return fail("copy attribute", name);
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
    Fd folder(::openat(at.get(), name.c_str(), kFolderFlags));
    if (folder)
        return folder;
    const bool missing = errno == ENOENT;
    Error error = fail("open folder", name);
    return missing ? std::move(error).as(Code::NotFound) : std::move(error);
}

Result<Fd> makeFolder(const Fd &at, const std::string &name, unsigned mode)
{
    const bool isNew = ::mkdirat(at.get(), name.c_str(), mode) == 0;
    if (!isNew && errno != EEXIST)
        return fail("mkdir", name);
    Fd folder = TRY(openFolder(at, name));
    if (::fchmod(folder.get(), mode) < 0) // mkdir(2) obeyed the umask, and an old folder may be too open
        return fail("chmod", name);
    return folder;
}

Result<Fd> makeFolderPath(const std::string &path, unsigned mode)
{
    if (path.empty() || path.front() != '/')
        return Error(Code::Invalid, quoted(path) + " is not an absolute path");
    Fd at(::open("/", kFolderFlags));
    if (!at)
        return fail("open", "/");
    for (const std::string &name : split(path, '/')) {
        if (name.empty())
            continue;
        if (::mkdirat(at.get(), name.c_str(), mode) < 0 && errno != EEXIST)
            return fail("mkdir", path);
        // Links are followed here: an administrator may well have put the state folder behind one.
        Fd next(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!next)
            return fail("open folder", path);
        at = std::move(next);
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
    if (::renameat2(from.get(), name.c_str(), to.get(), newName.c_str(), RENAME_NOREPLACE) == 0)
        return {};
    const int errnum = errno;
    Error error = Error::fromErrno(errnum, "rename " + quoted(name) + " to", newName);
    if (errnum == EEXIST || errnum == ENOTEMPTY)
        return std::move(error).as(Code::AlreadyExists);
    return errnum == ENOENT ? std::move(error).as(Code::NotFound) : std::move(error);
}

Result<std::string> readSmallFile(const Fd &at, const std::string &name, std::size_t most)
{
    const Fd file(::openat(at.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) {
        const bool missing = errno == ENOENT;
        Error error = fail("open", name);
        return missing ? std::move(error).as(Code::NotFound) : std::move(error);
    }
    std::string text(most, '\0');
    const ssize_t length = ::read(file.get(), text.data(), text.size());
    if (length < 0)
        return fail("read", name);
    text.resize(static_cast<std::size_t>(length));
    return text;
}

Status writeNewFile(const Fd &at, const std::string &name, const std::string &content)
{
    const Fd file(::openat(at.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file)
        return fail("create", name);
    if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
        return fail("write", name);
    return {};
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
    struct stat info{};
    if (::fstat(from.get(), &info) < 0)
        return fail("fstat");
    if (::fchown(to.get(), info.st_uid, info.st_gid) < 0)
        return fail("fchown");
    // After chown(2), which clears setuid bits and file capabilities.
    if (::fchmod(to.get(), info.st_mode & 07777) < 0)
        return fail("fchmod");
    TRY(copyExtendedAttributes(from, to));
    const timespec times[2] = {info.st_atim, info.st_mtim};
    if (::futimens(to.get(), times) < 0)
        return fail("futimens");
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

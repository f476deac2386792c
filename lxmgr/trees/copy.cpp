#include "trees/copy.h"

#include "base/text.h"
#include "kernel/sys.h"
#include "trees/entries.h"

#include <algorithm>
#include <linux/fs.h>
#include <map>
#include <set>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace lxmgr::trees
{

namespace
{

constexpr unsigned kDeepest = 1100; ///< Images are refused beyond 1024.
constexpr const char *kOpaque = "trusted.overlay.opaque";
constexpr std::string_view kOverlayMarks = "trusted.overlay.";

Status mergeFolder(const std::vector<Fd> &layers, const Fd &to, const std::string &path, unsigned level, Copy &copy);

/// What cannot be opened for reading (links, sockets, devices) is held by an O_PATH descriptor, which these calls
/// refuse: it is reached by the descriptor's own name then. ENOENT: a process in a guest has no /proc of its own.
template <class ByFd, class ByPath> auto onFile(const Fd &file, ByFd byFd, ByPath byPath)
{
    const auto result = byFd(file.get());
    return result == -1 && errno == EBADF ? byPath(("/proc/self/fd/" + std::to_string(file.get())).c_str()) : result;
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

Result<Attributes> attributesOf(const Fd &file)
{
    const auto list = [&](char *names, std::size_t size) {
        return onFile(
            file, [&](int fd) { return ::flistxattr(fd, names, size); },
            [&](const char *path) { return ::listxattr(path, names, size); });
    };
    Attributes attributes;
    const ssize_t have = list(nullptr, 0);
    // As most files; the buffers below are large. With ENOENT it is none that can have more than an ACL.
    if (have == 0 || (have < 0 && (errno == EOPNOTSUPP || errno == ENOENT)))
        return attributes;
    std::string buffer(64 * 1024, '\0');
    char *names = buffer.data();
    const ssize_t length = list(names, buffer.size());
    if (length < 0)
        return Error::fromErrno(errno, "listxattr");
    std::string value(64 * 1024, '\0');
    for (const char *name = names; name < names + length; name += std::strlen(name) + 1) {
        const long size = TRY(sys::call("getxattr", name, [&] {
            return onFile(
                file, [&](int fd) { return ::fgetxattr(fd, name, value.data(), value.size()); },
                [&](const char *path) { return ::getxattr(path, name, value.data(), value.size()); });
        }));
        attributes.emplace(name, value.substr(0, static_cast<std::size_t>(size)));
    }
    return attributes;
}

namespace
{

Status setAttributes(const Fd &file, const Attributes &attributes)
{
    for (const auto &attribute : attributes) {
        const char *name = attribute.first.c_str();
        const std::string &value = attribute.second;
        TRY(sys::call("setxattr", name, [&] {
            return onFile(
                file, [&](int fd) { return ::fsetxattr(fd, name, value.data(), value.size(), 0); },
                [&](const char *path) { return ::setxattr(path, name, value.data(), value.size(), 0); });
        }));
    }
    return {};
}

} // namespace

Status removeAttribute(const Fd &file, const std::string &name)
{
    TRY(sys::call("removexattr", name, [&] { return ::fremovexattr(file.get(), name.c_str()); }));
    return {};
}

/// Those marks are no part of what a guest sees, and would act on the other folder's own layers.
Attributes withoutOverlayMarks(Attributes attributes)
{
    std::erase_if(attributes, [](const auto &attribute) { return attribute.first.starts_with(kOverlayMarks); });
    return attributes;
}

/// Order: owner before mode, as chown(2) clears setuid bits and file capabilities; times last.
Status setAll(const Fd &to, const struct stat &info, const Attributes &attributes)
{
    TRY(sys::fchown(to, info.st_uid, info.st_gid));
    TRY(sys::fchmod(to, info.st_mode & 07777));
    TRY(setAttributes(to, attributes));
    const timespec times[2] = {info.st_atim, info.st_mtim};
    TRY(sys::call("futimens", {}, [&] { return ::futimens(to.get(), times); }));
    return {};
}

namespace
{

Status copyAll(const Fd &from, const Fd &to) { return setAll(to, TRY(sys::fstat(from)), TRY(attributesOf(from))); }

/// Between file systems of two kinds.
Status sendRange(const Fd &from, const Fd &to, off_t start, off_t end)
{
    TRY(sys::call("lseek", {}, [&] { return ::lseek(to.get(), start, SEEK_SET); }));
    while (start < end) {
        const auto length = static_cast<std::size_t>(std::min<off_t>(end - start, 1 << 30));
        if (TRY(sys::call("sendfile", {}, [&] { return ::sendfile(to.get(), from.get(), &start, length); })) == 0)
            return {}; // it was made shorter under us
    }
    return {};
}

Status copyRange(const Fd &from, const Fd &to, off_t start, off_t end)
{
    off_t in = start;
    off_t out = start;
    while (in < end) {
        const auto length = static_cast<std::size_t>(std::min<off_t>(end - in, 1 << 30));
        const auto copied = sys::call("copy_file_range", {},
                                      [&] { return ::copy_file_range(from.get(), &in, to.get(), &out, length, 0); });
        if (!copied && copied.error().errnum == EXDEV)
            return sendRange(from, to, in, end);
        if (!copied)
            return copied.error();
        if (*copied == 0)
            return {}; // it was made shorter under us
    }
    return {};
}

/// Shares the blocks where the file system can, else copies what is data and leaves the holes.
Status copyData(const Fd &from, const Fd &to, const struct stat &info)
{
    const off_t size = info.st_size;
    if (size == 0 || ::ioctl(to.get(), FICLONE, from.get()) == 0)
        return {};
    if (static_cast<off_t>(info.st_blocks) * 512 >= size)
        return copyRange(from, to, 0, size);
    for (off_t at = 0; at < size;) {
        const off_t data = ::lseek(from.get(), at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; // a hole to the end
        if (data < 0)
            return Error::fromErrno(errno, "lseek");
        at = TRY(sys::call("lseek", {}, [&] { return ::lseek(from.get(), data, SEEK_HOLE); }));
        TRY(copyRange(from, to, data, at));
    }
    return sys::ftruncate(to, size);
}

/// Of a copy with `marks`.
Result<Attributes> copiedAttributes(const Fd &from, Marks marks)
{
    Attributes attributes = TRY(attributesOf(from));
    return marks == Marks::Keep ? attributes : withoutOverlayMarks(std::move(attributes));
}

Status copyFile(const Fd &fromFolder, const Fd &toFolder, const std::string &name, Marks marks)
{
    const Fd from = TRY(sys::openat(fromFolder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME));
    const Fd to = TRY(sys::openat(toFolder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    const struct stat info = TRY(sys::fstat(from));
    TRY(copyData(from, to, info));
    return setAll(to, info, TRY(copiedAttributes(from, marks)));
}

/// What is neither file nor folder: link, fifo, socket, device node (overlay's whiteouts are device nodes too).
Status copySpecial(const Fd &fromFolder, const Fd &toFolder, const std::string &name, const struct stat &info,
                   Marks marks)
{
    if (S_ISLNK(info.st_mode))
        TRY(sys::symlinkat(TRY(sys::readlinkat(fromFolder, name)), toFolder, name));
    else
        TRY(sys::mknodat(toFolder, name, info.st_mode, info.st_rdev));
    TRY(sys::fchownat(toFolder, name, info.st_uid, info.st_gid));
    if (!S_ISLNK(info.st_mode))
        TRY(sys::fchmodat(toFolder, name, info.st_mode & 07777));
    const Fd from = TRY(sys::openat(fromFolder, name, O_PATH | O_NOFOLLOW));
    if (const Attributes attributes = TRY(copiedAttributes(from, marks)); !attributes.empty())
        TRY(setAttributes(TRY(sys::openat(toFolder, name, O_PATH | O_NOFOLLOW)), attributes));
    const timespec times[2] = {info.st_atim, info.st_mtim};
    TRY(sys::call("utimensat", name,
                  [&] { return ::utimensat(toFolder.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW); }));
    return {};
}

} // namespace

bool isWhiteout(const struct stat &info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

Status makeOpaque(const Fd &folder)
{
    TRY(sys::call("setxattr", kOpaque, [&] { return ::fsetxattr(folder.get(), kOpaque, "y", 1, 0); }));
    return {};
}

Status dropOpaque(const Fd &folder) { return isOpaque(folder) ? removeAttribute(folder, kOpaque) : Status(); }

bool isOpaque(const Fd &folder)
{
    char value = 0;
    return ::fgetxattr(folder.get(), kOpaque, &value, 1) == 1 && value == 'y';
}

Result<Stack> stackOf(const std::vector<Fd> &layers, std::size_t first, const std::string &name)
{
    Stack stack;
    for (std::size_t i = first; i < layers.size() && !stack.opaque; ++i) {
        auto folder = sys::openat(layers[i], name, kFolderFlags);
        if (!folder && folder.error().errnum == ENOENT)
            continue;
        if (!folder && (folder.error().errnum == ENOTDIR || folder.error().errnum == ELOOP) && i > first) {
            stack.opaque = true; // a whiteout or a file: the folder above stands in its place
            continue;
        }
        stack.folders.push_back(TRY(std::move(folder)));
        stack.opaque = isOpaque(stack.folders.back());
    }
    return stack;
}

namespace
{

Status copyFolder(const std::vector<Fd> &layers, std::size_t first, const Fd &to, const std::string &name,
                  const std::string &path, unsigned level, Copy &copy)
{
    const Stack stack = TRY(stackOf(layers, first, name));
    if (stack.folders.empty())
        return Error::fromErrno(ENOENT, "openat", name);
    const Fd target = TRY(makeFolder(to, name, 0700));
    TRY(mergeFolder(stack.folders, target, path, level + 1, copy));
    Attributes attributes = TRY(copiedAttributes(stack.folders.front(), copy.marks));
    if (copy.marks == Marks::Keep && stack.opaque && layers.size() > 1)
        attributes[kOpaque] = "y";
    return setAll(target, TRY(sys::fstat(stack.folders.front())), attributes); // last: filling it changed its times
}

} // namespace

Status copyEntry(const std::vector<Fd> &layers, std::size_t first, const Fd &to, const std::string &name,
                 const std::string &path, unsigned level, Copy &copy)
{
    const Fd &from = layers[first];
    const struct stat info = TRY(sys::fstatat(from, name));
    if (S_ISDIR(info.st_mode))
        return copyFolder(layers, first, to, name, path, level, copy);
    if (copy.marks == Marks::Drop && isWhiteout(info))
        return {};
    if (info.st_nlink > 1) {
        const auto known = copy.links.find({info.st_dev, info.st_ino});
        if (known != copy.links.end())
            return sys::linkat(copy.top, known->second, to, name);
    }
    TRY(S_ISREG(info.st_mode) ? copyFile(from, to, name, copy.marks) : copySpecial(from, to, name, info, copy.marks));
    if (info.st_nlink > 1)
        copy.links.emplace(FileId{info.st_dev, info.st_ino}, path);
    return {};
}

namespace
{

Status mergeFolder(const std::vector<Fd> &layers, const Fd &to, const std::string &path, unsigned level, Copy &copy)
{
    if (level > kDeepest)
        return Error(Code::Invalid, "folders are nested deeper than " + std::to_string(kDeepest));
    std::set<std::string> seen;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        Entries entries = TRY(Entries::open(layers[i]));
        while (const FolderEntry *entry = TRY(entries.next())) {
            const std::string name = entry->name;
            if (layers.size() > 1 && !seen.insert(name).second)
                continue; // hidden by a layer above
            Status copied = copyEntry(layers, i, to, name, path.empty() ? name : path + "/" + name, level, copy);
            const bool gone = !copied && copied.error().errnum == ENOENT && copy.source == Source::Changing &&
                              ::faccessat(layers[i].get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) < 0;
            if (!gone)
                TRY(copied);
        }
    }
    return {};
}

} // namespace

Status copyTree(const Fd &from, const Fd &to, Source source)
{
    std::vector<Fd> only;
    only.push_back(TRY(sys::openat(from, ".", kFolderFlags)));
    Copy copy{to, source, Marks::Keep, {}};
    TRY(mergeFolder(only, to, "", 0, copy));
    return copyAll(from, to);
}

Status mergeLayers(const std::vector<Fd> &layers, const Fd &to)
{
    Copy copy{to, Source::Still, Marks::Keep, {}};
    TRY(mergeFolder(layers, to, "", 0, copy));
    return copyAll(layers.front(), to);
}

Status copyAttributes(const Fd &from, const Fd &to)
{
    return setAll(to, TRY(sys::fstat(from)), withoutOverlayMarks(TRY(attributesOf(from))));
}

Result<bool> sameAttributes(const Fd &one, const Fd &other)
{
    const struct stat a = TRY(sys::fstat(one));
    const struct stat b = TRY(sys::fstat(other));
    if (a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_mode != b.st_mode ||
        a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec)
        return false;
    return withoutOverlayMarks(TRY(attributesOf(one))) == withoutOverlayMarks(TRY(attributesOf(other)));
}

} // namespace lxmgr::trees

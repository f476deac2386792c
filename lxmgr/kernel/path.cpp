#include "kernel/path.h"

#include "base/text.h"
#include "kernel/sys.h"

#include <algorithm>
#include <dirent.h>
#include <linux/openat2.h>
#include <memory>
#include <unistd.h>

namespace lxmgr::path
{

namespace
{

std::uint64_t resolveFlags(Scope scope)
{
    switch (scope) {
    case Scope::InRoot:
        return RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    case Scope::Beneath:
        return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    case Scope::NoSymlink:
        return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    case Scope::NoMount:
        return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    }
    return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
}

/// Without slashes at either end; the folder itself is ".".
std::string relative(const std::string &path)
{
    const std::size_t first = path.find_first_not_of('/');
    if (first == std::string::npos)
        return ".";
    return path.substr(first, path.find_last_not_of('/') - first + 1);
}

struct CloseDir {
    void operator()(DIR *dir) const { ::closedir(dir); }
};
using Directory = std::unique_ptr<DIR, CloseDir>;

/// A readable handle of `folder`, which may be O_PATH; the position of the other is not touched.
Result<Directory> openDirectory(const Fd &folder)
{
    Fd readable = TRY(sys::openat(folder, ".", O_RDONLY | O_DIRECTORY));
    DIR *dir = ::fdopendir(readable.get());
    if (!dir)
        return Error::fromErrno(errno, "fdopendir");
    (void)readable.release(); // the DIR owns it now
    return Directory(dir);
}

bool isDots(const std::string &name)
{
    return name == "." || name == "..";
}

constexpr int kMaxDepth = 4096;

Status removeContent(const Fd &folder, dev_t device, int depth);

Status removeEntry(const Fd &folder, const std::string &name, dev_t device, int depth)
{
    Status unlinked = sys::unlinkat(folder, name);
    if (unlinked || unlinked.error().errnum == ENOENT)
        return {};
    if (unlinked.error().errnum != EISDIR && unlinked.error().errnum != EPERM)
        return unlinked;
    auto child = sys::openat2(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, resolveFlags(Scope::NoMount));
    if (!child)
        return child.error().errnum == ENOTDIR ? unlinked : Status(std::move(child.error()));
    TRY(removeContent(*child, device, depth + 1));
    return sys::unlinkat(folder, name, AT_REMOVEDIR);
}

Status removeContent(const Fd &folder, dev_t device, int depth)
{
    if (depth > kMaxDepth)
        return Error(Code::Invalid, "the folders are nested too deep");
    if (TRY(sys::fstat(folder)).st_dev != device)
        return Error(Code::WrongState, "another file system is mounted here");
    for (const std::string &name : TRY(list(folder)))
        TRY_IN(quoted(name), removeEntry(folder, name, device, depth));
    return {};
}

Status walkBelow(const Fd &folder, const std::string &path, dev_t device, int depth,
                 const std::function<Status(const Entry &)> &visit)
{
    if (depth > kMaxDepth)
        return Error(Code::Invalid, quoted(path) + " is nested too deep");
    for (const std::string &name : TRY(list(folder))) {
        const std::string below = path.empty() ? name : path + "/" + name;
        const struct stat info = TRY(sys::fstatat(folder, name));
        TRY(visit({folder, name, below, info}));
        if (!S_ISDIR(info.st_mode) || info.st_dev != device)
            continue;
        const Fd child = TRY(open(folder, name, O_RDONLY | O_DIRECTORY, Scope::NoMount));
        TRY(walkBelow(child, below, device, depth + 1, visit));
    }
    return {};
}

} // namespace

Result<Fd> openFolder(const std::string &hostPath)
{
    return sys::open(hostPath, O_PATH | O_DIRECTORY);
}

Result<Fd> open(const Fd &root, const std::string &path, int flags, Scope scope, mode_t mode)
{
    return sys::openat2(root, relative(path), flags, mode, resolveFlags(scope));
}

Result<Parent> openParent(const Fd &root, const std::string &path, Scope scope)
{
    const std::string whole = relative(path);
    const std::size_t slash = whole.rfind('/');
    Parent parent;
    parent.name = slash == std::string::npos ? whole : whole.substr(slash + 1);
    if (isDots(parent.name) || path.empty())
        return Error(Code::Invalid, quoted(path) + " does not name a file");
    parent.folder = TRY(open(root, slash == std::string::npos ? "." : whole.substr(0, slash), O_PATH | O_DIRECTORY, scope));
    return parent;
}

Result<Fd> makeFolders(const Fd &root, const std::string &path, mode_t mode, Scope scope, std::optional<Owner> owner)
{
    if (auto there = open(root, path, O_PATH | O_DIRECTORY, scope); there || there.error().errnum != ENOENT)
        return there;
    std::string made;
    Fd folder = TRY(open(root, ".", O_PATH | O_DIRECTORY, scope));
    for (const std::string &part : split(relative(path), '/')) {
        if (part.empty() || part == ".")
            continue;
        made += made.empty() ? part : "/" + part;
        // Each step starts at the root again, so that a link on the way means what it means inside.
        auto next = open(root, made, O_PATH | O_DIRECTORY, scope);
        if (!next && next.error().errnum == ENOENT) {
            Status status = sys::mkdirat(folder, part, mode);
            if (!status && status.error().errnum != EEXIST)
                return std::move(status.error());
            if (status && owner)
                TRY(sys::fchownat(folder, part, owner->uid, owner->gid));
            next = open(root, made, O_PATH | O_DIRECTORY, scope);
        }
        folder = TRY(std::move(next));
    }
    return folder;
}

Result<std::vector<std::string>> list(const Fd &folder)
{
    const Directory dir = TRY(openDirectory(folder));
    std::vector<std::pair<ino_t, std::string>> found;
    for (;;) {
        errno = 0;
        const dirent *entry = ::readdir(dir.get());
        if (!entry && errno != 0)
            return Error::fromErrno(errno, "readdir");
        if (!entry)
            break;
        if (std::string name = entry->d_name; !isDots(name))
            found.emplace_back(entry->d_ino, std::move(name));
    }
    std::ranges::sort(found, {}, &std::pair<ino_t, std::string>::first);
    std::vector<std::string> names;
    names.reserve(found.size());
    for (auto &[inode, name] : found)
        names.push_back(std::move(name));
    return names;
}

Status removeTree(const Fd &folder, const std::string &name)
{
    if (name.empty() || isDots(name) || name.find('/') != std::string::npos)
        return Error(Code::Invalid, quoted(name) + " is not a name to remove");
    const dev_t device = TRY(sys::fstatat(folder, "", AT_EMPTY_PATH)).st_dev;
    for (int attempt = 0;; ++attempt) {
        Status status = removeEntry(folder, name, device, 0);
        if (status || status.error().errnum != ENOTEMPTY || attempt == 8)
            return status;
    }
}

Status walk(const Fd &folder, const std::function<Status(const Entry &)> &visit)
{
    return walkBelow(folder, {}, TRY(sys::fstatat(folder, "", AT_EMPTY_PATH)).st_dev, 0, visit);
}

Result<std::string> normalized(const std::string &path)
{
    std::string result;
    for (const std::string &part : split(path, '/')) {
        if (part.empty() || part == ".")
            continue;
        if (part == "..")
            return Error(Code::Invalid, quoted(path) + " must not have '..' in it");
        result += result.empty() ? part : "/" + part;
    }
    return result;
}

} // namespace lxmgr::path

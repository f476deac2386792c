#include "helper/program_root.h"

#include "base/text.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

namespace lxmgr::helper
{

namespace
{

/// Folders of the host that a program loads itself from; where one is a link, the same link is made.
constexpr const char *kProgramFolders[] = {"bin", "lib", "lib32", "lib64", "usr"};
/// Who else is asked: the loader's cache, and what borg calls the owner of a repository.
constexpr const char *kProgramFiles[] = {"etc/ld.so.cache", "etc/passwd", "etc/group", "dev/null"};

/// What is to be filled, as a mount of its own. Before the namespace is left that its descriptor is of.
Result<Fd> boundTarget(int target)
{
    Fd tree = TRY(sys::callFd("open_tree", "target", [&] {
        return ::syscall(SYS_open_tree, target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    }));
    TRY(sys::mount_setattr(tree, sys::Recursive::No, kNothingRuns, 0, nullptr, MS_PRIVATE));
    return tree;
}

struct Link {
    std::string name, target;
};

Status findPrograms(std::vector<Part> &parts, std::vector<Link> &links)
{
    const Fd host = TRY(sys::open("/", O_PATH | O_DIRECTORY));
    for (const std::string name : kProgramFolders) {
        const auto info = sys::fstatat(host, name);
        if (!info)
            continue; // not on every host
        if (S_ISLNK(info->st_mode))
            links.push_back({name, TRY(sys::readlinkat(host, name))});
        else
            parts.push_back({name, TRY(bound("/" + name, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV))});
    }
    for (const std::string name : kProgramFiles)
        if (sys::fstatat(host, name))
            parts.push_back({name, TRY(bound("/" + name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | (name == "dev/null" ? 0 : MOUNT_ATTR_RDONLY))), true});
    // Access control lists are read through /proc/self/fd.
    parts.push_back({"proc", TRY(bound("/proc", MOUNT_ATTR_RDONLY | kNothingRuns))});
    return {};
}

Status makePlace(const Fd &root, const Part &part)
{
    if (!part.isFile) {
        (void)TRY(path::makeFolders(root, part.at, 0755, path::Scope::NoMount));
        return {};
    }
    const std::size_t slash = part.at.rfind('/');
    (void)TRY(path::makeFolders(root, part.at.substr(0, slash), 0755, path::Scope::NoMount));
    (void)TRY(sys::openat(root, part.at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    return {};
}

} // namespace

Result<Fd> bound(const std::string &path, std::uint64_t attributes)
{
    Fd tree = TRY(sys::open_tree(sys::cwd(), path, sys::Recursive::No));
    TRY(sys::mount_setattr(tree, sys::Recursive::No, attributes, 0, nullptr, MS_PRIVATE));
    return tree;
}

Status enterProgramRoot(const Target *target, const std::function<Status(std::vector<Part> &parts)> &find,
                        const std::function<Status(const Fd &root)> &fill)
{
    std::vector<Part> parts;
    if (target)
        parts.push_back({target->at, TRY(boundTarget(target->fd))});
    TRY(sys::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS));
    TRY(sys::mount("", "/", "", MS_REC | MS_PRIVATE));
    std::vector<Link> links;
    TRY(findPrograms(parts, links));
    TRY(find(parts));
    const Fd empty = TRY(mount::create("tmpfs", {{"mode", "755"}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    TRY(sys::move_mount(empty, sys::cwd(), "/proc")); // some folder that every system has; hidden in this namespace only
    TRY(sys::chdir("/proc"));
    const Fd root = TRY(sys::open(".", O_RDONLY | O_DIRECTORY));
    TRY(sys::mkdirat(root, "tmp", 0700));
    TRY(fill(root));
    for (const Link &link : links)
        TRY(sys::symlinkat(link.target, root, link.name));
    for (const Part &part : parts) {
        TRY_IN(part.at, makePlace(root, part));
        TRY(sys::move_mount(part.mount, root, part.at));
    }
    TRY(sys::pivot_root(".", ".")); // pivot_root(2): the old root is on top of the new one then
    return sys::umount2(".", MNT_DETACH);
}

} // namespace lxmgr::helper

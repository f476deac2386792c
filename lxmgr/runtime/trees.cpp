#include "runtime/trees.h"

#include "base/text.h"
#include "kernel/host_path.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <iterator>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

namespace lxmgr::runtime
{

namespace
{

/// A detached copy of the mount at `path`, its owners translated unless the guest is privileged.
Result<Fd> mappedTree(const std::string &path, const Ids &ids, const Fd &userns, std::uint64_t attributes)
{
    Fd tree = TRY(sys::open_tree(sys::cwd(), path, sys::Recursive::No));
    Status mapped = sys::mount_setattr(tree, sys::Recursive::No, attributes, 0, ids.privileged() ? nullptr : &userns);
    if (!mapped)
        return std::move(mapped.error()).in("id-map " + quoted(path)).hint("its file system has no id-mapped mounts");
    return tree;
}

struct StandardNode {
    const char *name;
    unsigned major, minor;
};
constexpr StandardNode kStandardNodes[] = {
    {"null",    1, 3},
    {"zero",    1, 5},
    {"full",    1, 7},
    {"random",  1, 8},
    {"urandom", 1, 9},
    {"tty",     5, 0},
};

struct StandardLink {
    const char *name, *target;
};
constexpr StandardLink kStandardLinks[] = {
    {"fd",     "/proc/self/fd"  },
    {"stdin",  "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
    {"ptmx",   "pts/ptmx"       },
};

mode_t typeOf(const spec::DeviceNode &node) { return node.block ? S_IFBLK : S_IFCHR; }

bool isNode(const struct stat &info, const spec::DeviceNode &node)
{
    return (info.st_mode & S_IFMT) == typeOf(node) && info.st_rdev == makedev(node.major, node.minor);
}

/// What the guest's mounts go on: folders for pts, shm and mqueue, a file for console.
Status makeMountPoints(const Fd &dev, const Ids &ids)
{
    for (const char *folder : {"pts", "shm", "mqueue"}) {
        TRY(sys::mkdirat(dev, folder, 0755));
        TRY(sys::fchownat(dev, folder, ids.uid(0), ids.gid(0)));
    }
    TRY(sys::mknodat(dev, "console", S_IFREG | 0600, 0));
    return sys::fchownat(dev, "console", ids.uid(0), ids.gid(0));
}

} // namespace

Result<Fd> makeRoot(const spec::Rootfs &rootfs, const Ids &ids, const Fd &userns, Leftovers &leftovers)
{
    // nodev: an image's device nodes open nothing. Not nosuid: sudo has to work.
    const std::uint64_t attributes = (rootfs.hasNodes ? 0 : MOUNT_ATTR_NODEV) | (rootfs.readOnly ? MOUNT_ATTR_RDONLY : 0);
    if (rootfs.kind == spec::Rootfs::Kind::Directory)
        return mappedTree(rootfs.directory, ids, userns, attributes);
    // Of one layer with nothing to write to, overlay would make nothing else, and refuses to.
    if (rootfs.layer.empty() && rootfs.lower.size() == 1)
        return mappedTree(rootfs.lower.front(), ids, userns, attributes | MOUNT_ATTR_RDONLY);
    std::vector<Fd> lower;
    for (const std::string &layer : rootfs.lower)
        lower.push_back(TRY(mappedTree(layer, ids, userns, MOUNT_ATTR_RDONLY)));
    if (rootfs.layer.empty()) {
        Fd root = TRY(mount::overlay(lower, nullptr, 0, 0, static_cast<unsigned>(attributes | MOUNT_ATTR_RDONLY)));
        std::move(lower.begin(), lower.end(), std::back_inserter(leftovers));
        return root;
    }
    Fd layer = TRY(mappedTree(rootfs.layer, ids, userns, 0));
    Fd root = TRY(mount::overlay(lower, &layer, ids.uid(0), ids.gid(0), static_cast<unsigned>(attributes)));
    leftovers.push_back(std::move(layer));
    std::move(lower.begin(), lower.end(), std::back_inserter(leftovers));
    return root;
}

Result<Fd> makeDevices(const std::vector<spec::DeviceNode> &nodes, const Ids &ids)
{
    const mount::Options options = {
        {"mode",      "755"                     },
        {"size",      "1M"                      },
        {"nr_inodes", "4096"                    },
        {"uid",       std::to_string(ids.uid(0))},
        {"gid",       std::to_string(ids.gid(0))}
    };
    Fd dev = TRY(mount::create("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
    for (const StandardNode &node : kStandardNodes)
        TRY_IN(node.name, addNode(dev, {node.name, false, node.major, node.minor, 0666, 0, 0, {}}, ids));
    for (const StandardLink &link : kStandardLinks)
        TRY(sys::symlinkat(link.target, dev, link.name));
    TRY(makeMountPoints(dev, ids));
    for (const spec::DeviceNode &node : nodes)
        TRY_IN("device " + quoted(node.path), addNode(dev, node, ids));
    return dev;
}

Status addNode(const Fd &dev, const spec::DeviceNode &node, const Ids &ids)
{
    const path::Owner root{ids.uid(0), ids.gid(0)};
    if (const std::size_t slash = node.path.rfind('/'); slash != std::string::npos)
        TRY(path::makeFolders(dev, node.path.substr(0, slash), 0755, path::Scope::NoMount, root));
    const path::Parent parent = TRY(path::openParent(dev, node.path, path::Scope::NoMount));
    // Born with its mode: changing that later would go by a name, which the guest could have given to another file.
    const mode_t mask = ::umask(0);
    Status made = sys::mknodat(parent.folder, parent.name, typeOf(node) | (node.mode & 0777), makedev(node.major, node.minor));
    ::umask(mask);
    if (!made && made.error().errnum == EEXIST)
        return Error(Code::AlreadyExists, "there is something at /dev/" + node.path + " inside").hint("remove that inside, or choose another path");
    TRY(std::move(made));
    const Fd fresh = TRY(path::open(parent.folder, parent.name, O_PATH | O_NOFOLLOW, path::Scope::NoMount));
    if (!isNode(TRY(sys::fstat(fresh)), node))
        return Error(Code::WrongState, "the guest has put something else at /dev/" + node.path);
    return sys::fchownat(fresh, "", ids.uid(node.uid), ids.gid(node.gid));
}

Status removeNode(const Fd &dev, const spec::DeviceNode &node)
{
    const auto isAbsent = [](const Error &error) { return error.errnum == ENOENT || error.errnum == ENOTDIR; };
    auto opened = path::openParent(dev, node.path, path::Scope::NoMount);
    if (!opened && isAbsent(opened.error()))
        return {};
    const path::Parent parent = TRY(std::move(opened));
    const auto info = sys::fstatat(parent.folder, parent.name);
    if (!info && isAbsent(info.error()))
        return {};
    return isNode(TRY(info), node) ? sys::unlinkat(parent.folder, parent.name) : Status();
}

namespace
{

constexpr std::uint64_t kAnyAtime = MOUNT_ATTR__ATIME;

std::uint64_t attributesOf(const spec::Mount &mount)
{
    return mount.attributes | (mount.readOnly ? MOUNT_ATTR_RDONLY : 0) | (mount.nosuid ? MOUNT_ATTR_NOSUID : 0) |
           (mount.nodev ? MOUNT_ATTR_NODEV : 0);
}

/// With the host's rights: to remount a file system is up to who rules the user namespace it was made in.
Result<Fd> makeTmpfs(const spec::Mount &mount, const Ids &ids)
{
    mount::Options options = mount::parseOptions(mount.options);
    mount::Options owner = {{"uid", std::to_string(ids.uid(0))}, {"gid", std::to_string(ids.gid(0))}};
    for (auto &[key, value] : options)
        if (key == "uid" || key == "gid") {
            const auto id = static_cast<std::uint32_t>(TRY(parseUnsigned(value, 0, UINT32_MAX)));
            value = std::to_string(key == "uid" ? ids.uid(id) : ids.gid(id));
            std::erase_if(owner, [&](const auto &option) { return option.first == key; });
        }
    options.insert(options.end(), owner.begin(), owner.end());
    return mount::create("tmpfs", options, static_cast<unsigned>(attributesOf(mount)));
}

/// What is mounted is what was found below the folder, whoever changes names meanwhile.
Result<Fd> openSource(const spec::Mount &mount, sys::Recursive recursive)
{
    if (mount.beneath.empty())
        return sys::open_tree(sys::cwd(), mount.source, recursive);
    return sys::open_tree(TRY(path::openOnHost(mount.source, mount.beneath)), "", recursive);
}

Result<Fd> makeBind(const spec::Mount &mount, const Ids &ids, const Fd &userns)
{
    const sys::Recursive recursive = mount.recursive ? sys::Recursive::Yes : sys::Recursive::No;
    auto tree = openSource(mount, recursive);
    if (!tree)
        return tree.error().errnum == ENOENT ? std::move(tree.error()).as(Code::NotFound) : std::move(tree.error());
    // A slave also where it is to be shared: then it is so among the guest's own.
    const bool follows = mount.propagation == MS_SLAVE || mount.propagation == MS_SHARED;
    const std::uint64_t attributes = attributesOf(mount);
    const bool mapped = mount.idmapped && !ids.privileged();
    Status set = sys::mount_setattr(*tree, recursive, attributes, attributes & kAnyAtime ? kAnyAtime : 0, mapped ? &userns : nullptr,
                                    follows ? MS_SLAVE : MS_PRIVATE);
    if (!set && mapped && set.error().errnum == EINVAL)
        return std::move(set.error())
            .as(Code::Unsupported)
            .hint("the file system of the source has no id-mapped mounts");
    if (!set)
        return std::move(set.error());
    return tree;
}

} // namespace

Result<Fd> makeTree(const spec::Mount &mount, const Ids &ids, const Fd &userns)
{
    return mount.kind == spec::Mount::Kind::Tmpfs ? makeTmpfs(mount, ids) : makeBind(mount, ids, userns);
}

std::string sourceOf(const spec::Mount &mount) { return mount.kind == spec::Mount::Kind::Tmpfs ? "tmpfs" : quoted(mount.source); }

Status settlePropagation(const Fd &tree, const spec::Mount &mount)
{
    if (mount.propagation != MS_SHARED && mount.propagation != MS_UNBINDABLE)
        return {};
    return sys::mount_setattr(tree, mount.recursive ? sys::Recursive::Yes : sys::Recursive::No, 0, 0, nullptr, mount.propagation);
}

Result<Fd> mountTarget(const Fd &root, const spec::Mount &mount, bool isFolder)
{
    constexpr auto kInside = path::Scope::InRoot;
    auto target = path::open(root, mount.target, O_PATH, kInside);
    if (target || target.error().errnum != ENOENT || !mount.createTarget)
        return target;
    if (isFolder)
        return path::makeFolders(root, mount.target, 0755, kInside);
    if (const std::size_t slash = mount.target.rfind('/'); slash != std::string::npos)
        TRY(path::makeFolders(root, mount.target.substr(0, slash), 0755, kInside));
    TRY(path::open(root, mount.target, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, kInside, 0644));
    return path::open(root, mount.target, O_PATH, kInside);
}

} // namespace lxmgr::runtime

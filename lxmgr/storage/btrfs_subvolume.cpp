#include "storage/btrfs_subvolume.h"

#include "base/text.h"
#include "kernel/sys.h"
#include "storage/btrfs_quota.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <map>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <vector>

namespace lxmgr::storage::btrfs
{

namespace
{

constexpr std::size_t kMostNested = 1'000'000;
constexpr std::size_t kMostCopied = 4096; ///< Each costs a commit of some milliseconds.

/// A subvolume below another: where its entry is.
struct Nested {
    std::uint64_t id = 0;
    std::uint64_t parent = 0;    ///< Subvolume that holds the entry …
    std::uint64_t directory = 0; ///< … in the directory with this inode number …
    std::string name;            ///< … under this name.
};

template <class Argument>
Status control(const char *name, const std::string &object, const Fd &fd, unsigned long request, Argument &argument)
{
    TRY(sys::call(name, object, [&] { return ::ioctl(fd.get(), request, &argument); }));
    return {};
}

Status setName(btrfs_ioctl_vol_args_v2 &arguments, const std::string &name)
{
    if (name.size() > BTRFS_SUBVOL_NAME_MAX)
        return Error(Code::Invalid, "the name " + quoted(name) + " is too long for a subvolume");
    std::memcpy(arguments.name, name.c_str(), name.size() + 1);
    return {};
}

/// One ROOT_REF item: its key's offset is the child's id, its data a btrfs_root_ref and the name.
Result<Nested> parseReference(const btrfs_ioctl_search_header &header, const char *data)
{
    btrfs_root_ref reference{};
    if (header.len < sizeof reference)
        return Error(Code::Corrupt, "btrfs: a short reference to a subvolume");
    std::memcpy(&reference, data, sizeof reference);
    const std::size_t length = le16toh(reference.name_len);
    if (length > header.len - sizeof reference)
        return Error(Code::Corrupt, "btrfs: a reference to a subvolume is cut off");
    return Nested{header.offset, header.objectid, le64toh(reference.dirid),
                  std::string(data + sizeof reference, length)};
}

/// Appends the subvolumes directly inside the subvolume `parent`.
Status appendChildren(const Fd &anywhere, std::uint64_t parent, std::vector<Nested> &found)
{
    btrfs_ioctl_search_args search{};
    search.key.tree_id = BTRFS_ROOT_TREE_OBJECTID;
    search.key.min_objectid = search.key.max_objectid = parent;
    search.key.min_type = search.key.max_type = BTRFS_ROOT_REF_KEY;
    search.key.max_offset = search.key.max_transid = UINT64_MAX;
    for (;;) {
        search.key.nr_items = 4096;
        TRY(control("BTRFS_IOC_TREE_SEARCH", {}, anywhere, BTRFS_IOC_TREE_SEARCH, search));
        if (search.key.nr_items == 0)
            return {};
        const char *at = search.buf;
        for (std::uint32_t i = 0; i < search.key.nr_items; ++i) {
            btrfs_ioctl_search_header header{};
            std::memcpy(&header, at, sizeof header);
            if (header.type == BTRFS_ROOT_REF_KEY && header.objectid == parent)
                found.push_back(TRY(parseReference(header, at + sizeof header)));
            at += sizeof header + header.len;
            search.key.min_offset = header.offset + 1;
        }
        if (found.size() > kMostNested)
            return Error(Code::Unsupported, "more than a million subvolumes inside one");
    }
}

/// All subvolumes inside the subvolume `top`, each after the one it is in.
Result<std::vector<Nested>> nestedIn(const Fd &anywhere, std::uint64_t top)
{
    std::vector<Nested> found;
    TRY(appendChildren(anywhere, top, found));
    for (std::size_t i = 0; i < found.size(); ++i)
        TRY(appendChildren(anywhere, found[i].id, found));
    return found;
}

Status destroyById(const Fd &anywhere, std::uint64_t id)
{
    btrfs_ioctl_vol_args_v2 arguments{};
    arguments.flags = BTRFS_SUBVOL_SPEC_BY_ID;
    arguments.subvolid = id;
    TRY(control("BTRFS_IOC_SNAP_DESTROY_V2", std::to_string(id), anywhere, BTRFS_IOC_SNAP_DESTROY_V2, arguments));
    forgetQuota(anywhere, id);
    return {};
}

Status snapshotOne(const Fd &source, const Fd &at, const std::string &name)
{
    btrfs_ioctl_vol_args_v2 arguments{};
    arguments.fd = source.get();
    TRY(setName(arguments, name));
    return control("BTRFS_IOC_SNAP_CREATE_V2", name, at, BTRFS_IOC_SNAP_CREATE_V2, arguments);
}

/// The path of directory `inode` below the top of its subvolume, "" or with a slash at its end.
Result<std::string> pathOf(const Fd &anywhere, std::uint64_t subvolume, std::uint64_t inode)
{
    if (inode == BTRFS_FIRST_FREE_OBJECTID)
        return std::string();
    btrfs_ioctl_ino_lookup_args lookup{};
    lookup.treeid = subvolume;
    lookup.objectid = inode;
    TRY(control("BTRFS_IOC_INO_LOOKUP", {}, anywhere, BTRFS_IOC_INO_LOOKUP, lookup));
    return std::string(lookup.name, strnlen(lookup.name, sizeof lookup.name));
}

/// In a tree of our own that no guest reaches; the names are a guest's all the same.
Result<Fd> openBelow(const Fd &top, const std::string &path)
{
    return sys::openat2(top, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                        RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

Result<Access> accessOf(const Fd &subvolume)
{
    std::uint64_t flags = 0;
    TRY(control("BTRFS_IOC_SUBVOL_GETFLAGS", {}, subvolume, BTRFS_IOC_SUBVOL_GETFLAGS, flags));
    return flags & BTRFS_SUBVOL_RDONLY ? Access::ReadOnly : Access::ReadWrite;
}

/// One subvolume inside another, to be put where the copy of the outer one has an empty folder only. False: a guest at
/// work has moved or deleted it since it was listed.
Result<bool> fillOne(const Fd &source, const Fd &copy, const std::string &folder, const Nested &nested,
                     std::vector<Fd> &readOnly)
{
    const auto parent = openBelow(source, folder);
    const auto original = parent ? openBelow(*parent, nested.name) : Result<Fd>(parent.error());
    const auto target = openBelow(copy, folder);
    if (!original || !target || !isSubvolume(*original) || TRY(idOf(*original)) != nested.id)
        return false;
    const struct stat before = TRY(sys::fstat(*target));
    if (!sys::unlinkat(*target, nested.name, AT_REMOVEDIR))
        return false; // it came into being after the snapshot around it
    TRY(snapshotOne(*original, *target, nested.name));
    const timespec times[2] = {before.st_atim, before.st_mtim};
    TRY(sys::call("futimens", folder, [&] { return ::futimens(target->get(), times); }));
    if (TRY(accessOf(*original)) == Access::ReadOnly)
        readOnly.push_back(TRY(openBelow(*target, nested.name)));
    return true;
}

/// A snapshot leaves out the subvolumes inside: a guest's data would be missing from it.
Status fillNested(const Fd &source, const Fd &copy)
{
    const std::uint64_t top = TRY(idOf(source));
    const std::vector<Nested> nested = TRY(nestedIn(source, top));
    if (nested.size() > kMostCopied)
        return Error(Code::Unsupported, std::to_string(nested.size()) +
                                            " of them are more than a snapshot takes along (" +
                                            std::to_string(kMostCopied) + ")");
    std::map<std::uint64_t, std::string> places{
        {top, ""}
    }; // path of each that was copied
    std::vector<Fd> readOnly;
    for (const Nested &one : nested) {
        const auto parent = places.find(one.parent);
        const auto path = pathOf(source, one.parent, one.directory);
        if (parent == places.end() || !path)
            continue;
        const std::string folder = parent->second + *path;
        if (TRY(fillOne(source, copy, folder, one, readOnly)))
            places.emplace(one.id, folder + one.name + "/");
    }
    for (const Fd &subvolume : readOnly) // last: nothing can be put into these
        TRY(setAccess(subvolume, Access::ReadOnly));
    return {};
}

} // namespace

Result<std::uint64_t> idOf(const Fd &folder)
{
    btrfs_ioctl_ino_lookup_args lookup{};
    lookup.objectid = BTRFS_FIRST_FREE_OBJECTID;
    TRY(control("BTRFS_IOC_INO_LOOKUP", {}, folder, BTRFS_IOC_INO_LOOKUP, lookup));
    return lookup.treeid;
}

bool isBtrfs(const Fd &folder)
{
    struct statfs info {
    };
    return ::fstatfs(folder.get(), &info) == 0 && info.f_type == BTRFS_SUPER_MAGIC;
}

bool isSubvolume(const Fd &folder)
{
    struct stat info {
    };
    return ::fstat(folder.get(), &info) == 0 && info.st_ino == BTRFS_FIRST_FREE_OBJECTID && isBtrfs(folder);
}

Status createSubvolume(const Fd &at, const std::string &name)
{
    btrfs_ioctl_vol_args_v2 arguments{};
    TRY(setName(arguments, name));
    return control("BTRFS_IOC_SUBVOL_CREATE_V2", name, at, BTRFS_IOC_SUBVOL_CREATE_V2, arguments);
}

Status setAccess(const Fd &subvolume, Access access)
{
    std::uint64_t flags = access == Access::ReadOnly ? BTRFS_SUBVOL_RDONLY : 0;
    return control("BTRFS_IOC_SUBVOL_SETFLAGS", {}, subvolume, BTRFS_IOC_SUBVOL_SETFLAGS, flags);
}

Result<bool> hasNested(const Fd &subvolume)
{
    std::vector<Nested> found;
    TRY(appendChildren(subvolume, TRY(idOf(subvolume)), found));
    return !found.empty();
}

Status forgetOrigin(const Fd &subvolume)
{
    btrfs_ioctl_received_subvol_args nothing{};
    return control("BTRFS_IOC_SET_RECEIVED_SUBVOL", {}, subvolume, BTRFS_IOC_SET_RECEIVED_SUBVOL, nothing);
}

Result<std::optional<std::string>> pathOfInode(const Fd &subvolume, std::uint64_t inode)
{
    alignas(btrfs_data_container) char paths[8192] = {};
    btrfs_ioctl_ino_path_args lookup{};
    lookup.inum = inode;
    lookup.size = sizeof paths;
    lookup.fspath = reinterpret_cast<std::uintptr_t>(paths);
    const Status found = control("BTRFS_IOC_INO_PATHS", {}, subvolume, BTRFS_IOC_INO_PATHS, lookup);
    if (!found && found.error().errnum == ENOENT)
        return std::optional<std::string>();
    TRY(found);
    const auto *all = reinterpret_cast<const btrfs_data_container *>(paths);
    const std::size_t values = offsetof(btrfs_data_container, val);
    if (all->elem_cnt == 0 || values + all->val[0] >= sizeof paths)
        return Error(Code::Unsupported, "btrfs: the path of an inode is too long");
    const char *first = paths + values + all->val[0];
    return std::optional(std::string(first, strnlen(first, sizeof paths - values - all->val[0])));
}

Status send(const Fd &subvolume, const Fd *since, const Fd &to)
{
    btrfs_ioctl_send_args arguments{};
    arguments.send_fd = to.get();
    __u64 shared = since ? TRY(idOf(*since)) : 0;
    if (since) {
        arguments.parent_root = shared;
        arguments.clone_sources = &shared; // what the kernel may say is the same there
        arguments.clone_sources_count = 1;
    }
    return control("BTRFS_IOC_SEND", {}, subvolume, BTRFS_IOC_SEND, arguments);
}

Status snapshot(const Fd &source, const Fd &at, const std::string &name, Access access)
{
    TRY(snapshotOne(source, at, name));
    const Fd made = TRY(sys::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY_IN("subvolumes inside", fillNested(source, made));
    return access == Access::ReadOnly ? setAccess(made, access) : Status();
}

Status destroy(const Fd &subvolume)
{
    const std::uint64_t top = TRY(idOf(subvolume));
    const std::vector<Nested> nested = TRY(nestedIn(subvolume, top));
    if (!nested.empty())
        TRY(setAccess(subvolume, Access::ReadWrite)); // nothing goes out of a read-only one
    for (auto one = nested.rbegin(); one != nested.rend(); ++one)
        TRY(destroyById(subvolume, one->id));
    return destroyById(subvolume, top);
}

Result<DeviceInfo> deviceOf(const Fd &folder)
{
    btrfs_ioctl_dev_info_args info{};
    info.devid = 1;
    TRY(control("BTRFS_IOC_DEV_INFO", {}, folder, BTRFS_IOC_DEV_INFO, info));
    const auto *path = reinterpret_cast<const char *>(info.path);
    return DeviceInfo{std::string(path, strnlen(path, sizeof info.path)), Bytes{info.total_bytes}};
}

Status growToDevice(const Fd &folder)
{
    btrfs_ioctl_vol_args arguments{};
    std::strncpy(arguments.name, "1:max", sizeof arguments.name - 1);
    return control("BTRFS_IOC_RESIZE", {}, folder, BTRFS_IOC_RESIZE, arguments);
}

} // namespace lxmgr::storage::btrfs

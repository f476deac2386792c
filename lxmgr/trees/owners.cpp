#include "trees/owners.h"

#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <cerrno>
#include <cstring>
#include <endian.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <set>
#include <string>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace lxmgr::trees
{

namespace
{

constexpr const char *kCapability = "security.capability";
constexpr const char *kLists[] = {"system.posix_acl_access", "system.posix_acl_default"};
constexpr std::size_t kLongest = 64 * 1024; ///< Of an attribute: XATTR_SIZE_MAX.

Result<std::uint32_t> mapped(const std::vector<idmap::Range> &ranges, std::uint32_t id)
{
    for (const idmap::Range &range : ranges)
        if (id >= range.outside && id - range.outside < range.count)
            return range.inside + (id - range.outside);
    return Error(Code::Invalid, "belongs to id " + std::to_string(id) + ", which the instance did not have");
}

/// "" if there is none.
Result<std::string> attribute(const Fd &file, const char *name)
{
    std::string value(kLongest, '\0');
    const ssize_t size = ::fgetxattr(file.get(), name, value.data(), value.size());
    if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
        return std::string();
    if (size < 0)
        return Error::fromErrno(errno, "fgetxattr", name);
    value.resize(static_cast<std::size_t>(size));
    return value;
}

Status setAttribute(const Fd &file, const char *name, const std::string &value)
{
    TRY(sys::call("fsetxattr", name, [&] { return ::fsetxattr(file.get(), name, value.data(), value.size(), 0); }));
    return {};
}

/// The root that a capability counts for is the guest's: as one that names nobody, which counts for whoever mounts it.
std::string withoutRoot(std::string value)
{
    vfs_ns_cap_data data{};
    if (value.size() != sizeof data)
        return value;
    std::memcpy(&data, value.data(), sizeof data);
    data.magic_etc = htole32((le32toh(data.magic_etc) & ~VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_2);
    return {reinterpret_cast<const char *>(&data), sizeof(vfs_cap_data)};
}

Result<std::string> mappedList(std::string value, const OwnerMap &map)
{
    for (std::size_t at = sizeof(posix_acl_xattr_header); at + sizeof(posix_acl_xattr_entry) <= value.size(); at += sizeof(posix_acl_xattr_entry)) {
        posix_acl_xattr_entry row{};
        std::memcpy(&row, value.data() + at, sizeof row);
        const unsigned tag = le16toh(row.e_tag);
        if (tag != ACL_USER && tag != ACL_GROUP)
            continue;
        row.e_id = htole32(TRY(mapped(tag == ACL_USER ? map.uids : map.gids, le32toh(row.e_id))));
        std::memcpy(value.data() + at, &row, sizeof row);
    }
    return value;
}

/// A file or folder: chown(2) takes capabilities and the set-id bits away.
Status changeOpened(const Fd &file, const struct stat &info, const OwnerMap &map)
{
    const std::uint32_t uid = TRY(mapped(map.uids, info.st_uid));
    const std::uint32_t gid = TRY(mapped(map.gids, info.st_gid));
    const std::string capability = S_ISREG(info.st_mode) ? TRY(attribute(file, kCapability)) : std::string();
    TRY(sys::call("fchown", {}, [&] { return ::fchown(file.get(), uid, gid); }));
    for (const char *name : kLists)
        if (const std::string list = TRY(attribute(file, name)); !list.empty())
            TRY(setAttribute(file, name, TRY(mappedList(list, map))));
    if (info.st_mode & (S_ISUID | S_ISGID))
        TRY(sys::call("fchmod", {}, [&] { return ::fchmod(file.get(), info.st_mode & 07777); }));
    return capability.empty() ? Status() : setAttribute(file, kCapability, withoutRoot(capability));
}

Status changeEntry(const path::Entry &entry, const OwnerMap &map)
{
    const struct stat &info = entry.info;
    if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))
        return changeOpened(TRY(sys::openat(entry.folder, entry.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME)), info, map);
    return sys::fchownat(entry.folder, entry.name, TRY(mapped(map.uids, info.st_uid)), TRY(mapped(map.gids, info.st_gid)));
}

} // namespace

Status changeOwners(const Fd &top, const OwnerMap &map)
{
    std::set<ino_t> linked; // has been changed under another name
    TRY(path::walk(top, [&](const path::Entry &entry) -> Status {
        if (entry.info.st_nlink > 1 && !S_ISDIR(entry.info.st_mode) && !linked.insert(entry.info.st_ino).second)
            return {};
        TRY_IN(quoted(entry.path), changeEntry(entry, map));
        return {};
    }));
    return changeOpened(top, TRY(sys::fstat(top)), map);
}

} // namespace lxmgr::trees

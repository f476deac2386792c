#include "diff/attributes.h"

#include "kernel/sys.h"

#include <cerrno>
#include <cstring>
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

namespace lxmgr::diff
{

namespace
{

constexpr std::uint32_t kNobody = 65534; ///< How the kernel shows an id that has no name.

std::uint32_t read32(const std::string &bytes, std::size_t at)
{
    std::uint32_t number = 0;
    for (int i = 3; i >= 0; --i)
        number = number << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
    return number;
}

void write32(std::string &bytes, std::size_t at, std::uint32_t number)
{
    for (std::size_t i = 0; i < 4; ++i)
        bytes[at + i] = static_cast<char>(number >> (8 * i));
}

/// capabilities(7): version 3 names the root that they count for. Those of the guest's own root are version 2 inside.
std::string capabilitySeen(std::string value, const Ids &ids, std::uint32_t seen)
{
    if (value.size() != XATTR_CAPS_SZ_3 || (read32(value, 0) & VFS_CAP_REVISION_MASK) != VFS_CAP_REVISION_3)
        return value;
    const std::uint32_t root = idSeen(read32(value, XATTR_CAPS_SZ_2), ids, seen);
    write32(value, XATTR_CAPS_SZ_2, root);
    if (root != 0)
        return value;
    write32(value, 0, (read32(value, 0) & ~VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_2);
    return value.substr(0, XATTR_CAPS_SZ_2);
}

/// acl(5) as the kernel gives it: a version, then tag, permissions and id of each entry.
std::string accessListSeen(std::string value, const Ids &ids, std::uint32_t seen)
{
    constexpr std::size_t kHead = sizeof(posix_acl_xattr_header), kEntry = sizeof(posix_acl_xattr_entry);
    for (std::size_t at = kHead; at + kEntry <= value.size(); at += kEntry) {
        const unsigned tag = read32(value, at) & 0xffff;
        if (tag == ACL_USER || tag == ACL_GROUP)
            write32(value, at + 4, idSeen(read32(value, at + 4), ids, seen));
    }
    return value;
}

} // namespace

std::uint32_t idSeen(std::uint32_t id, const Ids &ids, std::uint32_t seen)
{
    if (ids.count > 0)
        id = id >= ids.base && id - ids.base < ids.count ? id - ids.base : kNobody;
    return seen == 0 || id < seen ? id : kNobody;
}

std::string valueSeen(const std::string &name, std::string value, const Ids &ids, std::uint32_t seen)
{
    if (name == "security.capability")
        return capabilitySeen(std::move(value), ids, seen);
    if (name == "system.posix_acl_access" || name == "system.posix_acl_default")
        return accessListSeen(std::move(value), ids, seen);
    return value;
}

Result<Attributes> attributesOf(const Fd &folder, const std::string &name, const Ids &ids, std::uint32_t seen)
{
    // Without a descriptor of the file, which for some could only be had by opening them.
    TRY(sys::fchdir(folder));
    Attributes attributes;
    const ssize_t have = ::llistxattr(name.c_str(), nullptr, 0);
    if (have == 0 || (have < 0 && errno == EOPNOTSUPP))
        return attributes; // as most files
    static std::string names(XATTR_LIST_MAX, '\0'), value(XATTR_SIZE_MAX, '\0');
    const long length = TRY(sys::call("llistxattr", {}, [&] {
        return ::llistxattr(name.c_str(), names.data(), names.size());
    }));
    for (const char *one = names.data(); one < names.data() + length; one += std::strlen(one) + 1) {
        const ssize_t size = ::lgetxattr(name.c_str(), one, value.data(), value.size());
        if (size < 0 && errno == ENODATA)
            continue; // taken away meanwhile, or not for us to see
        if (size < 0)
            return Error::fromErrno(errno, "lgetxattr", one);
        attributes.emplace(one, valueSeen(one, value.substr(0, static_cast<std::size_t>(size)), ids, seen));
    }
    return attributes;
}

} // namespace lxmgr::diff

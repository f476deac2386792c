#include "images/attributes.h"

#include "base/text.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <cstring>
#include <linux/capability.h>
#include <linux/posix_acl_xattr.h>
#include <linux/posix_acl.h>
#include <string>
#include <string_view>
#include <sys/xattr.h>

namespace lxmgr::images
{

namespace
{

constexpr std::string_view kCapability = "security.capability";
constexpr std::size_t kLongestValue = 64 * 1024;
constexpr std::uint32_t kNoId = 0xFFFFFFFFU;
constexpr std::uint32_t kHighestId = 65535; ///< What a guest's id map covers.

bool mayCarry(std::string_view name) { return name == kCapability || name.starts_with("user."); }
bool isAccessList(std::string_view name) { return name.starts_with("system.posix_acl_"); }

/// A file capability without the root it was bound to: whoever mounts the tree is that root (capabilities(7), version 3 → 2).
std::string unboundCapability(std::string value)
{
    vfs_ns_cap_data data{};
    if (value.size() != sizeof data)
        return value;
    std::memcpy(&data, value.data(), sizeof data);
    const std::uint32_t flags = data.magic_etc & ~static_cast<std::uint32_t>(VFS_CAP_REVISION_MASK);
    data.magic_etc = flags | VFS_CAP_REVISION_2;
    value.resize(sizeof(vfs_cap_data));
    std::memcpy(value.data(), &data, value.size());
    return value;
}

Status setOne(const Fd &file, const std::string &name, const std::string &value)
{
    if (::fsetxattr(file.get(), name.c_str(), value.data(), value.size(), 0) == 0)
        return {};
    return Error::fromErrno(errno, "set attribute", name);
}

struct Tag {
    int archive;
    std::uint16_t kernel;
};
constexpr Tag kTags[] = {
    {ARCHIVE_ENTRY_ACL_USER_OBJ, ACL_USER_OBJ},   {ARCHIVE_ENTRY_ACL_USER, ACL_USER}, {ARCHIVE_ENTRY_ACL_GROUP_OBJ, ACL_GROUP_OBJ},
    {ARCHIVE_ENTRY_ACL_GROUP, ACL_GROUP},         {ARCHIVE_ENTRY_ACL_MASK, ACL_MASK}, {ARCHIVE_ENTRY_ACL_OTHER, ACL_OTHER},
};

/// The list of kind `type` as the kernel stores it; "" when there is none beyond the mode.
std::string accessList(archive_entry *entry, int type)
{
    if (::archive_entry_acl_reset(entry, type) <= 3 && type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)
        return {};
    const posix_acl_xattr_header header{POSIX_ACL_XATTR_VERSION};
    std::string value(reinterpret_cast<const char *>(&header), sizeof header);
    // The kernel wants tags in rising order, which for one kind of owner is the order of kTags.
    for (const Tag &tag : kTags) {
        (void)::archive_entry_acl_reset(entry, type);
        int entryType = 0;
        int permissions = 0;
        int entryTag = 0;
        int id = -1;
        const char *name = nullptr;
        while (::archive_entry_acl_next(entry, type, &entryType, &permissions, &entryTag, &id, &name) == 0) {
            if (entryTag != tag.archive)
                continue;
            const bool named = tag.kernel == ACL_USER || tag.kernel == ACL_GROUP;
            const posix_acl_xattr_entry row{tag.kernel, static_cast<std::uint16_t>(permissions & 7),
                                            named ? static_cast<std::uint32_t>(id) : kNoId};
            value.append(reinterpret_cast<const char *>(&row), sizeof row);
        }
    }
    return value.size() > sizeof header ? value : std::string();
}

Status setAccessLists(archive_entry *entry, const Fd &file, bool isFolder)
{
    if ((::archive_entry_acl_types(entry) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E) == 0)
        return {};
    if (const std::string list = accessList(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS); !list.empty())
        TRY(setOne(file, "system.posix_acl_access", list));
    if (!isFolder)
        return {};
    if (const std::string list = accessList(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT); !list.empty())
        TRY(setOne(file, "system.posix_acl_default", list));
    return {};
}

/// A list in the kernel's own form, as some writers put it: its rows are known and its ids are those a guest has.
bool isGoodAccessList(std::string_view value)
{
    constexpr std::size_t kHeader = sizeof(posix_acl_xattr_header);
    constexpr std::size_t kRow = sizeof(posix_acl_xattr_entry);
    posix_acl_xattr_header header{};
    if (value.size() < kHeader || (value.size() - kHeader) % kRow != 0)
        return false;
    std::memcpy(&header, value.data(), kHeader);
    for (std::size_t at = kHeader; at < value.size(); at += kRow) {
        posix_acl_xattr_entry row{};
        std::memcpy(&row, value.data() + at, kRow);
        const bool known = std::ranges::any_of(kTags, [&](const Tag &tag) { return tag.kernel == row.e_tag; });
        if (!known || (row.e_id != kNoId && row.e_id > kHighestId))
            return false;
    }
    return header.a_version == POSIX_ACL_XATTR_VERSION;
}

void addAccessList(archive_entry *entry, int type, const std::string &value)
{
    for (std::size_t at = sizeof(posix_acl_xattr_header); at + sizeof(posix_acl_xattr_entry) <= value.size();
         at += sizeof(posix_acl_xattr_entry)) {
        posix_acl_xattr_entry row{};
        std::memcpy(&row, value.data() + at, sizeof row);
        for (const Tag &tag : kTags)
            if (tag.kernel == row.e_tag)
                ::archive_entry_acl_add_entry(entry, type, row.e_perm, tag.archive, static_cast<int>(row.e_id), nullptr);
    }
}

/// Calls `visit(name)` for each attribute of `file`.
template <class Visit> Status eachName(const Fd &file, Visit &&visit)
{
    std::string names(kLongestValue, '\0');
    const ssize_t length = ::flistxattr(file.get(), names.data(), names.size());
    if (length < 0)
        return errno == EOPNOTSUPP ? Status() : Status(Error::fromErrno(errno, "flistxattr"));
    names.resize(static_cast<std::size_t>(length));
    for (const std::string &name : split(names, '\0'))
        if (!name.empty())
            TRY(visit(name));
    return {};
}

} // namespace

Result<std::uint32_t> setAttributes(archive_entry *entry, const Fd &file, bool isFolder)
{
    TRY(setAccessLists(entry, file, isFolder));
    const bool hasLists = (::archive_entry_acl_types(entry) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E) != 0;
    std::uint32_t leftOut = 0;
    (void)::archive_entry_xattr_reset(entry);
    const char *name = nullptr;
    const void *data = nullptr;
    std::size_t size = 0;
    while (::archive_entry_xattr_next(entry, &name, &data, &size) == ARCHIVE_OK) {
        std::string value(static_cast<const char *>(data), std::min(size, kLongestValue + 1));
        const bool isList = isAccessList(name);
        if (isList && hasLists)
            continue; // came as an access list already
        if (isList ? !isGoodAccessList(value) : !mayCarry(name) || size > kLongestValue) {
            ++leftOut;
            continue;
        }
        TRY(setOne(file, name, name == kCapability ? unboundCapability(std::move(value)) : value));
    }
    return leftOut;
}

Status addAttributes(const Fd &file, archive_entry *entry)
{
    std::string value(kLongestValue, '\0');
    return eachName(file, [&](const std::string &name) -> Status {
        if (!mayCarry(name) && !isAccessList(name))
            return {};
        const ssize_t size = ::fgetxattr(file.get(), name.c_str(), value.data(), value.size());
        if (size < 0)
            return Error::fromErrno(errno, "read attribute", name);
        const std::string content = value.substr(0, static_cast<std::size_t>(size));
        if (name == "system.posix_acl_access")
            addAccessList(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, content);
        else if (name == "system.posix_acl_default")
            addAccessList(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, content);
        // Access lists in both forms: tar(1) as LXD and Incus run it takes only this one.
        const std::string plain = name == kCapability ? unboundCapability(content) : content;
        ::archive_entry_xattr_add_entry(entry, name.c_str(), plain.data(), plain.size());
        return {};
    });
}

Result<std::uint32_t> removeForeignAttributes(const Fd &file)
{
    std::uint32_t removed = 0;
    TRY(eachName(file, [&](const std::string &name) -> Status {
        if (mayCarry(name) || isAccessList(name))
            return {};
        ++removed;
        return ::fremovexattr(file.get(), name.c_str()) == 0 ? Status() : Status(Error::fromErrno(errno, "remove attribute", name));
    }));
    return removed;
}

} // namespace lxmgr::images

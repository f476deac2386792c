#include "storage/tree_holders.h"

#include "base/text.h"
#include "kernel/sys.h"
#include "storage/tree.h"

#include <functional>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

constexpr std::string_view kSealed = ":sealed";

/// Calls `visit` with each holder in the folder of an image, volume or snapshot, or in it itself. Looked for only where
/// we put them: what an image brought along ("templates") may look like one.
Status forEachHolderIn(const Fd &at, const std::string &name, const std::function<Status(const Fd &holder)> &visit)
{
    const auto folder = openFolder(at, name);
    if (!folder) // or it is a file
        return folder.error().code == Code::NotFound || folder.error().errnum == ENOTDIR || folder.error().errnum == ELOOP
                   ? Status()
                   : Status(folder.error());
    if (exists(*folder, kMountPoint) || exists(*folder, kTreeId)) {
        TRY(visit(*folder));
        return {};
    }
    if (exists(*folder, kTree))
        TRY(visit(TRY(openFolder(*folder, kTree))));
    if (!exists(*folder, kSnapshots))
        return {};
    const Fd snapshots = TRY(openFolder(*folder, kSnapshots));
    for (const std::string &snapshot : TRY(namesIn(snapshots)))
        if (const Fd own = TRY(openFolder(snapshots, snapshot)); exists(own, kTree))
            TRY(visit(TRY(openFolder(own, kTree))));
    return {};
}

} // namespace

Result<TreeHolders::Reference> TreeHolders::referenceOf(const Fd &holder)
{
    auto text = sys::readlinkat(holder, kTreeId);
    if (!text && text.error().errnum == ENOENT)
        return std::move(text.error()).as(Code::NotFound);
    Reference reference{TRY(std::move(text)), Access::ReadWrite};
    if (reference.id.ends_with(kSealed)) {
        reference.id.resize(reference.id.size() - kSealed.size());
        reference.access = Access::ReadOnly;
    }
    if (reference.id.size() != 16 || reference.id.find_first_not_of("0123456789abcdef") != std::string::npos)
        return Error(Code::Corrupt, "a link " + quoted(kTreeId) + " holds " + quoted(reference.id) + ", which names no tree");
    return reference;
}

Status TreeHolders::refer(const Fd &holder, const Reference &reference)
{
    const std::string text = reference.id + std::string(reference.access == Access::ReadOnly ? kSealed : "");
    const std::string name = randomName(); // a link is replaced by a rename only
    TRY(sys::symlinkat(text, holder, name));
    return sys::renameat2(holder, name, holder, kTreeId);
}

Status TreeHolders::make(const Fd &at, const std::string &name, std::optional<Bytes> size) const
{
    const Fd holder = TRY(makeFolder(at, name, 0700));
    (void)TRY(makeFolder(holder, kMountPoint, 0700));
    const Reference reference{randomName(), Access::ReadWrite};
    TRY(refer(holder, reference));
    return m_store->create(reference.id, size);
}

Status TreeHolders::makeLike(const Fd &like, const Fd &at, const std::string &name, Access access) const
{
    const Reference from = TRY(referenceOf(like));
    const Fd holder = TRY(makeFolder(at, name, 0700));
    (void)TRY(makeFolder(holder, kMountPoint, 0700));
    const Reference reference{randomName(), access};
    TRY(refer(holder, reference));
    return m_store->clone(from.id, reference.id, access);
}

bool TreeHolders::isMounted(const Fd &holder)
{
    struct statx info {
    };
    const int got = ::statx(holder.get(), kMountPoint, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &info);
    return got == 0 && (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0; // Linux 5.8
}

Result<Fd> TreeHolders::open(const Fd &holder) const
{
    const std::lock_guard lock(m_mounting);
    if (!isMounted(holder)) {
        const Reference reference = TRY(referenceOf(holder));
        const Fd tree = TRY_IN("tree " + reference.id, m_store->mount(reference.id, reference.access));
        TRY(sys::move_mount(tree, holder, kMountPoint));
    }
    return openFolder(holder, kMountPoint);
}

Status TreeHolders::seal(const Fd &holder) const
{
    const std::lock_guard lock(m_mounting);
    Reference reference = TRY(referenceOf(holder));
    reference.access = Access::ReadOnly;
    TRY(refer(holder, reference));
    if (!isMounted(holder))
        return {};
    return sys::mount_setattr(TRY(openFolder(holder, kMountPoint)), sys::Recursive::No, MOUNT_ATTR_RDONLY);
}

Status TreeHolders::move(const Fd &from, const Fd &to)
{
    (void)TRY(makeFolder(to, kMountPoint, 0700));
    return renameNew(from, kTreeId, to, kTreeId);
}

Status TreeHolders::unmount(const Fd &holder)
{
    while (isMounted(holder)) {
        const std::string path = "/proc/self/fd/" + std::to_string(holder.get()) + "/" + kMountPoint;
        Status gone = sys::umount2(path, UMOUNT_NOFOLLOW);
        if (!gone && gone.error().errnum == EBUSY)
            return std::move(gone.error()).as(Code::WrongState).hint("a program has files open in it");
        TRY(gone);
    }
    return {};
}

Status TreeHolders::release(const Fd &holder) const
{
    const std::lock_guard lock(m_mounting);
    TRY(unmount(holder));
    const auto reference = referenceOf(holder);
    if (!reference && reference.error().code == Code::NotFound)
        return {};
    TRY_IN("tree " + TRY(reference).id, m_store->destroy(reference->id));
    return sys::unlinkat(holder, kTreeId);
}

Status TreeHolders::reclaim(const Fd &at, const std::string &name) const
{
    return forEachHolderIn(at, name, [&](const Fd &holder) { return release(holder); });
}

Status TreeHolders::addIds(const Fd &at, const std::string &name, std::set<std::string> &ids)
{
    return forEachHolderIn(at, name, [&](const Fd &holder) -> Status {
        const auto reference = referenceOf(holder);
        if (!reference && reference.error().code == Code::NotFound)
            return {};
        ids.insert(TRY(reference).id);
        return {};
    });
}

Result<Bytes> TreeHolders::used(const Fd &holder) const { return m_store->used(TRY(referenceOf(holder)).id); }

Status TreeHolders::resize(const Fd &holder, std::optional<Bytes> size) const
{
    const std::lock_guard lock(m_mounting);
    const Reference reference = TRY(referenceOf(holder));
    Fd top = isMounted(holder) ? TRY(openFolder(holder, kMountPoint)) : Fd();
    Status resized = m_store->resize(reference.id, size, top ? &top : nullptr);
    if (resized || resized.error().code != Code::WrongState || !top)
        return resized;
    top.reset();
    TRY(unmount(holder));
    return m_store->resize(reference.id, size, nullptr);
}

Status TreeHolders::multiply(const Fd &holder, std::size_t times) const
{
    const auto size = TRY(m_store->size(TRY(referenceOf(holder)).id));
    return size ? resize(holder, Bytes{size->count * times}) : Status();
}

Status TreeHolders::flushAll(const Fd &at, const std::string &name)
{
    const Status flushed = forEachHolderIn(at, name, [&](const Fd &holder) -> Status {
        if (!isMounted(holder))
            return {};
        const Fd top = TRY(openFolder(holder, kMountPoint));
        return ::syncfs(top.get()) == 0 ? Status() : Status(Error::fromErrno(errno, "syncfs", "a tree"));
    });
    return !flushed && flushed.error().code == Code::NotFound ? Status() : flushed; // moved meanwhile: it was another's
}

} // namespace lxmgr::storage

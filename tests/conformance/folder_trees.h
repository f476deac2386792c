// Folders that stand for file systems: a store for the frame of drivers whose trees are file systems of their own, on
// hosts that have neither device mapper nor zfs.
#pragma once

#include "kernel/sys.h"
#include "storage/separate_trees.h"
#include "storage/tree.h"

#include <linux/mount.h>
#include <sys/statvfs.h>

namespace lxmgr::test
{

class FolderTrees final : public storage::TreeStore
{
public:
    explicit FolderTrees(std::string folder) : m_path(std::move(folder)) {}

    std::string_view driverName() const override { return "separate"; }
    Status check(const Fd &) const override { return {}; }
    Status create(const std::string &id, std::optional<Bytes>) override
    {
        return sys::mkdirat(TRY(top()), id, 0755);
    }
    Status clone(const std::string &from, const std::string &to, Access) override
    {
        const Fd all = TRY(top());
        const Fd original = TRY(storage::openFolder(all, from));
        TRY(sys::mkdirat(all, to, 0755));
        return storage::copyTree(original, TRY(storage::openFolder(all, to)), storage::Source::Changing);
    }
    Result<Fd> mount(const std::string &id, Access access) override
    {
        (void)TRY(storage::openFolder(TRY(top()), id));
        Fd tree = TRY(sys::open_tree(sys::cwd(), m_path + "/" + id, sys::Recursive::No));
        if (access == Access::ReadOnly)
            TRY(sys::mount_setattr(tree, sys::Recursive::No, MOUNT_ATTR_RDONLY));
        return tree;
    }
    Status destroy(const std::string &id) override
    {
        const Fd all = TRY(top());
        return storage::exists(all, id) ? storage::removeTree(all, id, all, m_never) : Status();
    }
    Result<std::vector<std::string>> list() const override { return storage::namesIn(TRY(top())); }
    Result<Bytes> used(const std::string &id) const override
    {
        return storage::treeUsage(TRY(storage::openFolder(TRY(top()), id)));
    }
    Result<std::optional<Bytes>> size(const std::string &) const override { return std::optional<Bytes>(); }
    Status canResize() const override { return Error(Code::Unsupported, "a folder has no size"); }
    Status resize(const std::string &, std::optional<Bytes>, const Fd *) override { return canResize(); }
    Result<storage::Space> space() const override
    {
        struct statvfs info {
        };
        if (::statvfs(m_path.c_str(), &info) < 0)
            return Error::fromErrno(errno, "statvfs", m_path);
        return storage::Space{Bytes{info.f_blocks * info.f_frsize}, Bytes{(info.f_blocks - info.f_bfree) * info.f_frsize},
                              Bytes{info.f_bavail * info.f_frsize}, info.f_files, info.f_favail};
    }

private:
    Result<Fd> top() const { return storage::makeFolderPath(m_path, 0700); }

    std::string m_path;
    std::atomic<bool> m_never = false;
};

} // namespace lxmgr::test

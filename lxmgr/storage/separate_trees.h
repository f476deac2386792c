// The frame of drivers whose trees are file systems of their own (lvm, zfs). What a pool is made of lies in plain folders
// as with every other driver, on a small file system that is mounted at the pool's folder; each root file system is a
// tree of a TreeStore with a random id that never changes.
//
// Where other drivers have a tree (an image's folder, "tree" of a volume or snapshot) there is a holder: a folder with
// the link "id", which names the tree, and the folder "fs", where it is mounted from its first use until it goes to the
// trash or the pool is closed. So renames, swaps, restores and what lies aside move holders and never touch a tree.
// A holder names its tree before that is made, so a tree that no holder names is what a power cut left.
#pragma once

#include "storage/driver.h"
#include "storage/folder_pool.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::storage
{

/// Where trees are kept: file systems by their ids (randomName()). Calls may be made from any thread.
class TreeStore
{
public:
    enum class Access { ReadWrite, ReadOnly };

    virtual ~TreeStore() = default;
    virtual std::string_view driverName() const = 0;
    /// Whether trees can be made here, and `pool` (the folder of the pool) lies on the store's own file system for it: in
    /// another folder no tree would be named, and all would be taken for rubbish. Unsupported, Unavailable.
    virtual Status check(const Fd &pool) const = 0;

    /// Makes an empty file system; of the store's usual size without one. AlreadyExists, NoSpace.
    virtual Status create(const std::string &id, std::optional<Bytes> size) = 0;
    /// Makes `to` as `from` is at this moment, which may be mounted and written to: all that was written is in it. As
    /// large as `from`. NotFound, AlreadyExists, NoSpace.
    virtual Status clone(const std::string &from, const std::string &to, Access access) = 0;
    /// A new detached mount of it; the frame attaches it. NotFound.
    virtual Result<Fd> mount(const std::string &id, Access access) = 0;
    /// Missing is no error. WrongState: it is in use; asked again later.
    virtual Status destroy(const std::string &id) = 0;
    /// The ids of all trees.
    virtual Result<std::vector<std::string>> list() const = 0;
    /// What it takes in the store, shared blocks counted. NotFound.
    virtual Result<Bytes> used(const std::string &id) const = 0;
    /// Most that it may hold; none where it ends with the store only. NotFound.
    virtual Result<std::optional<Bytes>> size(const std::string &id) const = 0;
    /// Unsupported: why trees have no size here.
    virtual Status canResize() const { return {}; }
    /// Makes it as large as said; without a size at least as large as the store makes a new one. `mounted`: its top, if
    /// it is mounted. WrongState: not while it is in use. Unsupported, Invalid: says what it cannot do.
    virtual Status resize(const std::string &id, std::optional<Bytes> size, const Fd *mounted) = 0;
    virtual Result<Space> space() const = 0;
};

/// The driver over the trees of `store`.
std::unique_ptr<Driver> makeSeparateTreesDriver(Place place, std::unique_ptr<TreeStore> store);

} // namespace lxmgr::storage

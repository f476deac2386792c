// Holders: folders that name a tree of a TreeStore and have it mounted (see separate_trees.h).
#pragma once

#include "storage/separate_trees.h"

#include <mutex>
#include <set>

namespace lxmgr::storage
{

constexpr const char *kTreeId = "id";     ///< In a holder: a link with the tree's id, and ":sealed" if it is for reading only.
constexpr const char *kMountPoint = "fs"; ///< In a holder: where the tree is mounted.

class TreeHolders
{
public:
    using Access = TreeStore::Access;

    explicit TreeHolders(std::unique_ptr<TreeStore> store) : m_store(std::move(store)) {}
    TreeStore &store() const { return *m_store; }

    /// Makes the holder `name` with a new tree, empty or as that of the holder `like` is now.
    Status make(const Fd &at, const std::string &name, std::optional<Bytes> size = std::nullopt) const;
    Status makeLike(const Fd &like, const Fd &at, const std::string &name, Access access) const;
    /// The tree's top; mounted if it is not yet.
    Result<Fd> open(const Fd &holder) const;
    /// The tree is for reading only from now on.
    Status seal(const Fd &holder) const;
    /// The tree of `from` becomes that of `to`, an empty folder.
    static Status move(const Fd &from, const Fd &to);
    /// Unmounts and destroys the trees of the folder `name` of an image, volume, snapshot or holder. WrongState: one is
    /// in use.
    Status reclaim(const Fd &at, const std::string &name) const;
    /// Adds the ids that such a folder names.
    static Status addIds(const Fd &at, const std::string &name, std::set<std::string> &ids);
    /// What the tree takes.
    Result<Bytes> used(const Fd &holder) const;
    /// The tree becomes as large as said.
    Status resize(const Fd &holder, std::optional<Bytes> size) const;
    /// … or `times` as large as it is.
    Status multiply(const Fd &holder, std::size_t times) const;
    /// Writes what waits in the mounted trees of such a folder to disk.
    static Status flushAll(const Fd &at, const std::string &name);

private:
    struct Reference {
        std::string id;
        Access access = Access::ReadWrite;
    };
    static Result<Reference> referenceOf(const Fd &holder);
    static Status refer(const Fd &holder, const Reference &reference);
    static bool isMounted(const Fd &holder);
    static Status unmount(const Fd &holder);
    Status release(const Fd &holder) const;

    std::unique_ptr<TreeStore> m_store;
    mutable std::mutex m_mounting;
};

} // namespace lxmgr::storage

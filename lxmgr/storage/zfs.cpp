// Driver "zfs": a tree is a dataset, a copy of it a clone. What the pool is made of lies on the dataset that is mounted at
// its folder, trees lie below that in "trees".
#include "base/text.h"
#include "storage/separate_trees.h"
#include "storage/zfs_dataset.h"
#include "storage/zfs_pool.h"

#include <mutex>

namespace lxmgr::storage
{

namespace
{

class ZfsTrees final : public TreeStore
{
public:
    std::string_view driverName() const override { return "zfs"; }

    Status check(const Fd &pool) const override
    {
        std::string dataset = TRY(zfs::datasetAt(pool));
        if (!TRY(zfs::isHome(dataset)))
            return Error(Code::Unsupported, "the dataset " + quoted(dataset) +
                                                " is no storage pool of lxmgr (give it as source, not the folder it is "
                                                "mounted at)");
        const std::lock_guard lock(m_mutex);
        m_home = std::move(dataset);
        return {};
    }

    Status create(const std::string &id, std::optional<Bytes> size) override
    {
        return zfs::createDataset(datasetOf(id), refquota(size));
    }

    Status clone(const std::string &from, const std::string &to, Access access) override
    {
        const std::lock_guard lock(m_family);
        return zfs::copyDataset(datasetOf(from), datasetOf(to), {{"readonly", access == Access::ReadOnly ? "on" : "off"}});
    }

    Result<Fd> mount(const std::string &id, Access access) override
    {
        return zfs::mountDataset(datasetOf(id), access == Access::ReadOnly ? zfs::MountAs::ReadOnly : zfs::MountAs::ReadWrite);
    }

    Status destroy(const std::string &id) override
    {
        const std::lock_guard lock(m_family);
        return zfs::destroyDataset(datasetOf(id));
    }

    /// What a copy that was cut off left goes, too.
    Result<std::vector<std::string>> list() const override
    {
        const std::lock_guard lock(m_family);
        TRY(zfs::destroyLoneSnapshots(zfs::treesIn(home())));
        return zfs::childrenOf(zfs::treesIn(home()));
    }

    Result<Bytes> used(const std::string &id) const override
    {
        // Figures are those of the last transaction group, which is seconds old.
        TRY(zfs::command("zpool", {"sync", zfs::poolOf(home())}));
        return TRY(bytesOf(datasetOf(id), {"referenced"})).front();
    }

    Result<std::optional<Bytes>> size(const std::string &id) const override
    {
        const Bytes most = TRY(bytesOf(datasetOf(id), {"refquota"})).front();
        return most.count == 0 ? std::optional<Bytes>() : most;
    }

    Status resize(const std::string &id, std::optional<Bytes> size, const Fd * /*mounted*/) override
    {
        const Bytes taken = size ? TRY(used(id)) : Bytes{};
        if (size && *size < taken)
            return Error(Code::Invalid, "a limit of " + humanBytes(*size) + " is below the " + humanBytes(taken) +
                                            " that the root file system takes; remove something inside, or give it more");
        return zfs::setProperties(datasetOf(id), refquota(size));
    }

    Result<Space> space() const override
    {
        const auto figures = TRY(bytesOf(home(), {"used", "available"}));
        return Space{Bytes{figures[0].count + figures[1].count}, figures[0], figures[1], 0, 0};
    }

private:
    /// A quota of the tree alone: its snapshots are trees of their own.
    static std::vector<zfs::Property> refquota(std::optional<Bytes> size)
    {
        return {{"refquota", size ? std::to_string(size->count) : "none"}};
    }

    static Result<std::vector<Bytes>> bytesOf(const std::string &dataset, const std::vector<std::string> &names)
    {
        std::vector<Bytes> figures;
        for (const std::string &value : TRY(zfs::valuesOf(dataset, names)))
            figures.push_back(Bytes{TRY(zfs::parseNumber(value))});
        return figures;
    }

    std::string home() const
    {
        const std::lock_guard lock(m_mutex);
        return m_home;
    }
    std::string datasetOf(const std::string &id) const { return zfs::treesIn(home()) + "/" + id; }

    mutable std::mutex m_mutex;
    mutable std::string m_home; ///< What check() found at the pool's folder.
    mutable std::mutex m_family; ///< Held while datasets come to depend on others, or cease to.
};

} // namespace

std::unique_ptr<Driver> makeZfsDriver(Place place)
{
    return makeSeparateTreesDriver(std::move(place), std::make_unique<ZfsTrees>());
}

} // namespace lxmgr::storage

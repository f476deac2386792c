#include "instances/pools.h"

#include "base/log.h"
#include "base/text.h"
#include "instances/warnings.h"
#include "kernel/files.h"
#include "kernel/lock.h"
#include "kernel/sys.h"
#include "storage/tree.h"
#include "storage/zfs_pool.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

const std::string kDefaultPool = "default";

std::string valueOf(const store::StoragePool &row, const char *key)
{
    const auto found = row.config.find(key);
    return found == row.config.end() ? std::string() : found->second;
}

storage::Backing::Kind kindOf(mode_t mode)
{
    if (S_ISBLK(mode))
        return storage::Backing::Kind::Device;
    return S_ISREG(mode) ? storage::Backing::Kind::File : storage::Backing::Kind::Folder;
}

/// Of the pool's folder: let go of by the kernel however this process ends.
Result<Fd> lockFolder(const std::string &folder)
{
    Fd lock = TRY(sys::open(folder, O_RDONLY | O_DIRECTORY));
    if (!TRY_IN(folder, files::lockExclusively(lock)))
        return Error(Code::WrongState, "another lxmgrd uses the folder " + quoted(folder));
    return lock;
}

} // namespace

Status Pools::ensureDefault()
{
    if (!TRY(store::listPools(m_db)).empty())
        return {};
    store::StoragePool row;
    row.name = kDefaultPool;
    row.description = "Made on first use";
    for (const char *driver : {"overlay", "dir"}) {
        row.driver = driver;
        const auto pool = TRY(storage::Driver::open({row.name, row.driver, {}}, m_paths.stateDir));
        const Status prepared = pool->prepare();
        if (prepared) {
            TRY(store::insertPool(m_db, row));
            return {};
        }
        if (prepared.error().code != Code::Unsupported)
            return prepared.error();
        log::warning("default pool: driver '" + row.driver + "': " + prepared.error().message + ", trying the next");
    }
    return Error(Code::Unsupported,
                 "no storage driver works below " + quoted(m_paths.stateDir) + " (LXMGR_DIR names another folder)");
}

Result<store::StoragePool> Pools::find(const std::string &name) const
{
    auto row = store::findPool(m_db, name);
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Storage pool not found: " + quoted(name));
    return row;
}

Result<storage::Backing> Pools::backingOf(const store::StoragePool &row) const
{
    storage::Backing backing;
    backing.source = valueOf(row, "source");
    backing.options = valueOf(row, "btrfs.mount_options");
    if (row.driver == "zfs") {
        const std::string named = valueOf(row, "zfs.pool_name");
        const bool isPath = backing.source.starts_with('/');
        backing.dataset = storage::zfs::homeIn(isPath ? named.empty() ? row.name : named : backing.source);
        backing.exports = parseBool(valueOf(row, "zfs.export")).value_or(true);
        if (!isPath) {
            backing.kind = storage::Backing::Kind::Dataset;
            backing.folder = stateFolder(row.name);
            return backing;
        }
    }
    if (backing.source.empty()) {
        backing.source = backing.folder = stateFolder(row.name);
        return backing;
    }
    if (row.driver == "lvm") {
        backing.group = valueOf(row, "lvm.vg_name");
        backing.thinPool = valueOf(row, "lvm.thinpool_name");
        if (!backing.source.starts_with('/')) {
            backing.kind = storage::Backing::Kind::Group;
            backing.folder = stateFolder(row.name);
            return backing;
        }
    }
    const auto info = sys::fstatat(sys::cwd(), backing.source, 0);
    if (!info)
        return Error(Code::Unavailable, "storage pool " + quoted(row.name) + ": its source " + quoted(backing.source) +
                                            " is missing (connect or mount it)");
    backing.kind = kindOf(info->st_mode);
    backing.folder = backing.isMounted() ? stateFolder(row.name) : backing.source;
    return backing;
}

/// A device's name may mean another disk after a boot, and a folder may be on a disk that was exchanged.
Status Pools::checkPoolFile(const store::StoragePool &row, const std::string &folder)
{
    const std::string file = folder + "/" + config::kPoolFile;
    const auto text = files::read(file, 1 << 20);
    if (!text && text.error().errnum == ENOENT)
        return {}; // a pool of an older version
    const auto document = config::readPoolDocument(TRY(text), file);
    if (!document) {
        log::warning(document.error().message + ", writing it anew");
        return {};
    }
    if (document->name != row.name || document->driver != row.driver)
        return Error(Code::WrongState, quoted(folder) + " holds the pool " + quoted(document->name) + " of driver " +
                                           quoted(document->driver) + " (was a disk exchanged?)");
    return {};
}

Status Pools::writePoolFile(const store::StoragePool &row, const std::string &folder)
{
    config::PoolDocument document{row.name, row.driver, row.description, row.config};
    for (const char *place : {"source", "zfs.pool_name"})
        document.config.erase(place);
    const std::string text = config::writePoolDocument(document);
    const std::string file = folder + "/" + config::kPoolFile;
    if (const auto now = files::read(file, 1 << 20); now && *now == text)
        return {};
    return files::replace(file, text);
}

Result<std::unique_ptr<storage::Driver>> Pools::openDriver(const store::StoragePool &row, const std::string &folder,
                                                           storage::VolumeKind kind) const
{
    const std::string options = valueOf(row, "volume.block.mount_options");
    return storage::Driver::open({row.name, row.driver, folder, kind, valueOf(row, "volume.block.filesystem"),
                                  options.empty() ? "discard" : options},
                                 m_paths.stateDir);
}

Result<Pools::Open> Pools::openPool(const store::StoragePool &row, const storage::Backing &backing) const
{
    TRY(storage::mountBacking(backing));
    if (backing.kind == storage::Backing::Kind::File) {
        // Cut off by a crash, or done by hand; else done already.
        const std::string size = valueOf(row, "size");
        const Bytes now = TRY(storage::fileSize(backing.source));
        TRY(storage::growFile(backing, size.empty() ? now : std::max(now, TRY(parseBytes(size)))));
    }
    if (!backing.isMounted() && valueOf(row, "source").empty())
        (void)TRY(storage::makeFolderPath(backing.folder, 0700));
    Open open;
    open.lock = TRY(lockFolder(backing.folder));
    TRY(checkPoolFile(row, backing.folder));
    open.driver = TRY(openDriver(row, backing.folder, storage::VolumeKind::Instance));
    TRY(open.driver->prepare());
    if (Status written = writePoolFile(row, backing.folder); !written)
        log::warning("storage pool '" + row.name + "': " + written.error().message + ", ignoring until the next start");
    return open;
}

Status Pools::checkNotClosing(const std::string &name) const
{
    if (m_closing.contains(name))
        return Error(Code::WrongState, "storage pool " + quoted(name) + " is being taken away");
    return {};
}

/// To one user. Whoever waits for the pool to be free hears of its return.
Pools::Use Pools::lend(const std::shared_ptr<storage::Driver> &driver)
{
    return Use(driver.get(), [this, held = driver](storage::Driver *) mutable {
        {
            const std::lock_guard lock(m_mutex);
            held.reset();
        }
        m_released.notify_all();
    });
}

Result<Pools::Use> Pools::openLocked(const store::StoragePool &row)
{
    Open open = TRY_IN("storage pool " + quoted(row.name), openPool(row, TRY(backingOf(row))));
    resolve(m_db, WarningType::PoolUnavailable, about(row));
    return lend(m_open.emplace(row.name, std::move(open)).first->second.driver);
}

Result<Pools::Use> Pools::get(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    TRY(checkNotClosing(name));
    if (const auto found = m_open.find(name); found != m_open.end())
        return lend(found->second.driver);
    return openLocked(TRY(find(name)));
}

Result<Pools::Use> Pools::custom(const std::string &name)
{
    const Use opened = TRY(get(name)); // and with it the entry is there
    const std::lock_guard lock(m_mutex);
    Open &open = m_open.at(name);
    if (!open.custom) {
        const std::string folder = open.driver->directory() + "/custom";
        std::unique_ptr<storage::Driver> driver = TRY(openDriver(TRY(find(name)), folder, storage::VolumeKind::Custom));
        TRY_IN("storage pool " + quoted(name), driver->prepare());
        open.custom = std::move(driver);
    }
    return lend(open.custom);
}

Result<Pools::Use> Pools::any()
{
    auto pool = get(kDefaultPool);
    if (pool || pool.error().code != Code::NotFound)
        return pool;
    const auto rows = TRY(store::listPools(m_db));
    if (rows.empty())
        return Error(Code::NotFound, "there is no storage pool (make one: lxmgr storage create default overlay)");
    return get(rows.front().name);
}

std::vector<Pools::Use> Pools::all()
{
    std::vector<Use> pools;
    const auto rows = store::listPools(m_db);
    if (!rows) {
        log::error("storage pools: " + rows.error().message);
        return pools;
    }
    for (const store::StoragePool &row : *rows) {
        if (const auto pool = get(row.name))
            pools.push_back(*pool);
        else if (pool.error().code == Code::WrongState) // it is being taken away
            log::warning(pool.error().message + ", ignoring");
        else
            warn(m_db, WarningType::PoolUnavailable, about(row), pool.error().message);
    }
    return pools;
}

Result<StringMap> Pools::volumeDefaults(const std::string &name) const
{
    const store::StoragePool row = TRY(find(name));
    return TRY(config::parsePoolConfig(row.driver, row.config)).volume;
}

/// volume.size where volumes cannot be limited would be a promise that nobody keeps.
Status Pools::checkVolumeSize(storage::Driver &driver, const config::PoolConfig &config)
{
    const auto size = config.volume.find("size");
    return size == config.volume.end() || TRY(parseBytes(size->second)).count == 0 ? Status() : driver.canLimit();
}

StringMap Pools::shownConfig(const store::StoragePool &row) const
{
    StringMap config = row.config;
    config.emplace("source", stateFolder(row.name));
    return config;
}

} // namespace lxmgr::instances

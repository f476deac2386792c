// Making, changing, deleting and letting go of storage pools.
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/pools.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "storage/btrfs_subvolume.h"
#include "storage/lvm_command.h"
#include "storage/lvm_group.h"
#include "storage/tree.h"
#include "storage/zfs_pool.h"
#include "store/undo.h"

#include <algorithm>
#include <cstdlib>
#include <unistd.h>

namespace lxmgr::instances
{

namespace
{

using storage::Backing;

constexpr const char *kCreate = "pool-create";
constexpr const char *kRemove = "pool-delete";
constexpr const char *kDetach = "pool-detach";
constexpr auto kPatience = std::chrono::seconds(10); ///< For operations that are about to end with a pool.
/// What drivers make in a pool's folder.
constexpr const char *kFolders[] = {"images", "containers", "volumes", "custom", "layers", "aside", "scratch", "trash"};

/// The path without links; only its last part may be missing.
Result<std::string> canonical(const std::string &path)
{
    const auto resolve = [](const std::string &text) -> Result<std::string> {
        const std::unique_ptr<char, decltype(&std::free)> real(::realpath(text.c_str(), nullptr), &std::free);
        if (!real)
            return Error::fromErrno(errno, "source", text).as(errno == ENOENT ? Code::NotFound : Code::Invalid);
        return std::string(real.get());
    };
    auto whole = resolve(path);
    if (whole || whole.error().code != Code::NotFound)
        return whole;
    const std::size_t slash = path.rfind('/');
    const std::string parent = TRY(resolve(slash == 0 ? "/" : path.substr(0, slash)));
    return (parent == "/" ? "" : parent) + path.substr(slash);
}

bool isBelow(const std::string &path, const std::string &folder)
{
    return path == folder || path.starts_with(folder == "/" ? folder : folder + "/");
}

bool onBtrfs(const std::string &path)
{
    const auto folder = sys::open(path, O_RDONLY | O_DIRECTORY);
    return folder && storage::btrfs::isBtrfs(*folder);
}

/// What the pool file in a folder says; nullopt for an empty folder. WrongState: it holds something else.
Result<std::optional<config::PoolDocument>> whatIsIn(const std::string &path)
{
    const auto folder = sys::open(path, O_RDONLY | O_DIRECTORY);
    if (!folder && folder.error().errnum == ENOENT)
        return std::optional<config::PoolDocument>();
    if (!folder)
        return folder.error();
    const std::string file = path + "/" + config::kPoolFile;
    const auto text = files::read(file, 1 << 20);
    if (text)
        return std::optional(TRY(config::readPoolDocument(*text, file)));
    if (text.error().errnum != ENOENT)
        return text.error();
    if (!TRY(storage::isEmpty(*folder)))
        return Error(Code::WrongState, quoted(path) + " is not empty and no storage pool of lxmgr");
    return std::optional<config::PoolDocument>();
}

/// How the journal writes them.
struct KindRow {
    Backing::Kind kind;
    char letter;
};
constexpr KindRow kKinds[] = {
    {Backing::Kind::Folder, 'd'},
    {Backing::Kind::Device, 'b'},
    {Backing::Kind::File,   'f'},
    {Backing::Kind::Group,  'g'},
    {Backing::Kind::Dataset, 'z'},
};

/// Where a pool is, as paths and names that no other may be at or below.
std::vector<std::string> placesOf(const Backing &backing)
{
    std::vector<std::string> places{backing.folder};
    if (backing.kind != Backing::Kind::Dataset) // of a zpool that was named we take a part only
        places.push_back(backing.source);
    if (backing.isLvm())
        places.push_back(backing.group);
    if (backing.isZfs())
        places.push_back(backing.dataset);
    return places;
}

Status removeEmpty(const Fd &at, const char *name)
{
    Status gone = sys::unlinkat(at, name, AT_REMOVEDIR);
    if (!gone && gone.error().errnum == ENOENT)
        return {};
    if (!gone && gone.error().errnum == ENOTEMPTY)
        return std::move(gone.error()).as(Code::WrongState);
    return gone;
}

/// Takes a pool's own folders out of its place, which must be empty; whatever else is there stays.
Status clearFolder(const std::string &path)
{
    const auto folder = sys::open(path, O_RDONLY | O_DIRECTORY);
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    if (const auto custom = sys::openat(*folder, "custom", O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
        for (const char *name : kFolders)
            TRY(removeEmpty(*custom, name));
    for (const char *name : kFolders)
        TRY(removeEmpty(*folder, name));
    Status gone = sys::unlinkat(*folder, config::kPoolFile);
    return !gone && gone.error().errnum == ENOENT ? Status() : gone;
}

Status removeFile(const std::string &path)
{
    Status gone = sys::unlinkat(sys::cwd(), path);
    return !gone && gone.error().errnum == ENOENT ? Status() : gone;
}

Status removeFolder(const std::string &path) { return removeEmpty(sys::cwd(), path.c_str()); }

/// What the place brings along counts where the request says nothing.
void takeOver(store::StoragePool &wanted, const config::PoolDocument &found)
{
    if (wanted.description.empty())
        wanted.description = found.description;
    for (const auto &[key, value] : found.config)
        wanted.config.emplace(key, value);
}

Status checkSameDriver(const store::StoragePool &wanted, const config::PoolDocument &found, const std::string &where)
{
    if (found.driver == wanted.driver)
        return {};
    return Error(Code::WrongState, quoted(where) + " holds the storage pool " + quoted(found.name) + " of driver " +
                                       quoted(found.driver) + " (take it over with that driver)");
}

} // namespace

/// btrfs, lvm and zfs without a source: a file below the state folder, or a folder there if that is on a btrfs already.
Result<Pools::Plan> Pools::planFile(store::StoragePool &wanted, const config::PoolConfig &config) const
{
    Plan plan;
    plan.backing.kind = Backing::Kind::File;
    plan.backing.source = diskFile(wanted.name);
    plan.backing.folder = stateFolder(wanted.name);
    plan.backing.options = config.mountOptions.value_or("");
    if (::access(plan.backing.source.c_str(), F_OK) == 0)
        return Error(Code::AlreadyExists, "the file " + quoted(plan.backing.source) +
                                              " is there already (source=… takes it over, or remove it)");
    plan.size = config.size ? *config.size : TRY(storage::defaultFileSize(m_paths.stateDir));
    wanted.config["source"] = plan.backing.source;
    wanted.config["size"] = formatBytes(plan.size);
    return plan;
}

/// A dataset of a zpool that the host has.
Result<Pools::Plan> Pools::planDataset(store::StoragePool &wanted, const config::PoolConfig &config) const
{
    Plan plan;
    plan.backing.kind = Backing::Kind::Dataset;
    plan.backing.source = *config.source;
    plan.backing.folder = stateFolder(wanted.name);
    plan.backing.dataset = storage::zfs::homeIn(*config.source);
    TRY(storage::zfs::checkDatasetName(plan.backing.dataset));
    const std::string zpool = storage::zfs::poolOf(*config.source);
    if (!TRY(storage::zfs::hasPool(zpool)))
        return Error(Code::NotFound, "this host has no zpool " + quoted(zpool) +
                                         " (zpool import; without a source one is made in a file)");
    if (config.zpoolExport)
        return Error(Code::Invalid, "zfs.export is for a zpool of the pool's own; " + quoted(zpool) + " is the host's");
    plan.origin = TRY(storage::zfs::isHome(plan.backing.dataset)) ? Origin::Adopted : Origin::Made;
    return plan;
}

/// Which zpool it is: to be made in a file or on a device, or found there.
Status Pools::checkZpool(store::StoragePool &wanted, const config::PoolConfig &config, Plan &plan) const
{
    std::string zpool = config.zpool.value_or(wanted.name);
    const bool isThere = ::access(plan.backing.source.c_str(), F_OK) == 0;
    const auto found = isThere ? TRY(storage::zfs::poolsOn(plan.backing.source)) : std::vector<std::string>();
    if (!found.empty() && plan.wipe == storage::Wipe::No) {
        if (found.size() > 1 || (config.zpool && *config.zpool != found.front()))
            return Error(Code::Invalid, quoted(plan.backing.source) + " holds the zpool " + quoted(found.front()) +
                                            " (import it, and give it as source)");
        zpool = found.front();
        plan.origin = Origin::Adopted;
    } else if (plan.backing.kind == Backing::Kind::File && isThere) {
        return Error(Code::Invalid, "the file " + quoted(plan.backing.source) +
                                        " holds no zpool that can be imported (without a source one is made)");
    }
    if (zpool.find('/') != std::string::npos || !storage::zfs::checkDatasetName(zpool))
        return Error(Code::Invalid, quoted(zpool) + " cannot be the name of a zpool: a letter first, then letters, digits, "
                                                    "'-', '_', '.' and ':' (zfs.pool_name=… is another name)");
    if (TRY(storage::zfs::hasPool(zpool)))
        return Error(Code::AlreadyExists, "this host has a zpool " + quoted(zpool) + " (zfs.pool_name=… is another name)");
    plan.backing.dataset = storage::zfs::homeIn(zpool);
    plan.backing.exports = config.zpoolExport.value_or(true);
    wanted.config["zfs.pool_name"] = zpool;
    return {};
}

Result<Pools::Plan> Pools::planSource(store::StoragePool &wanted, const config::PoolConfig &config) const
{
    Plan plan;
    const std::string path = TRY(canonical(*config.source));
    const auto info = sys::fstatat(sys::cwd(), path, 0);
    plan.backing.source = plan.backing.folder = path;
    plan.backing.options = config.mountOptions.value_or("");
    plan.wipe = config.wipe.value_or(false) ? storage::Wipe::Yes : storage::Wipe::No;
    if (!info && path.starts_with("/dev/"))
        return Error(Code::NotFound, "the device " + quoted(path) + " is not there");
    if (!info || S_ISDIR(info->st_mode)) {
        wanted.config["source"] = path;
        return plan;
    }
    plan.backing.kind = S_ISBLK(info->st_mode) ? Backing::Kind::Device : Backing::Kind::File;
    plan.backing.folder = stateFolder(wanted.name);
    if (plan.backing.kind == Backing::Kind::Device)
        plan.backing.source = *config.source; // a name below /dev/disk stays true when disks come in another order
    if (wanted.driver == "lvm" || wanted.driver == "zfs")
        return plan;
    if (wanted.driver != "btrfs")
        return Error(Code::Invalid, "source " + quoted(path) + " is no folder, which is what the driver " +
                                        quoted(wanted.driver) + " takes");
    const bool filled = TRY(storage::holdsBtrfs(path)) && plan.wipe == storage::Wipe::No;
    if (plan.backing.kind == Backing::Kind::File && !filled)
        return Error(Code::Invalid, "the file " + quoted(path) + " holds no btrfs (without a source one is made)");
    plan.origin = filled ? Origin::Adopted : Origin::Made;
    return plan;
}

/// A volume group that the host has.
Result<Pools::Plan> Pools::planGroup(const config::PoolConfig &config) const
{
    Plan plan;
    plan.backing.kind = Backing::Kind::Group;
    plan.backing.source = plan.backing.group = *config.source;
    TRY(storage::lvm::checkName("volume group", plan.backing.group));
    if (!TRY(storage::lvm::hasGroup(plan.backing.group)))
        return Error(Code::NotFound, "this host has no volume group " + quoted(plan.backing.group) +
                                         " (a block device as source makes one, no source one in a file)");
    return plan;
}

/// Which volume group and thin pool it is: to be made, or found there.
Status Pools::checkGroup(store::StoragePool &wanted, const config::PoolConfig &config, Plan &plan) const
{
    Backing &backing = plan.backing;
    backing.folder = stateFolder(wanted.name);
    backing.thinPool = config.thinPool.value_or(storage::lvm::kThinPool);
    plan.metadata = config.thinPoolMetadata.value_or(Bytes{});
    TRY(storage::lvm::checkName("thin pool", backing.thinPool));
    const bool isThere = backing.kind != Backing::Kind::Group && ::access(backing.source.c_str(), F_OK) == 0;
    const std::string found =
        isThere && plan.wipe == storage::Wipe::No ? TRY(storage::lvm::groupOn(backing.source)) : std::string();
    if (backing.kind != Backing::Kind::Group) {
        backing.group = found.empty() ? config.volumeGroup.value_or(wanted.name) : found;
        TRY(storage::lvm::checkName("volume group", backing.group));
        if (found.empty() && TRY(storage::lvm::hasGroup(backing.group)))
            return Error(Code::AlreadyExists, "this host has a volume group " + quoted(backing.group) +
                                                  " (lvm.vg_name=… is another name, source=… takes it)");
        if (!found.empty() && config.volumeGroup && *config.volumeGroup != found)
            return Error(Code::Invalid, quoted(backing.source) + " holds the volume group " + quoted(found));
        if (found.empty() && backing.kind == Backing::Kind::File && isThere)
            return Error(Code::Invalid, "the file " + quoted(backing.source) +
                                            " holds no volume group (without a source one is made)");
    }
    const auto home = storage::lvm::isHome(backing.group, found.empty() ? std::string() : backing.source);
    plan.origin = TRY(home) ? Origin::Adopted : Origin::Made;
    if (!found.empty() && plan.origin == Origin::Made)
        return Error(Code::WrongState, quoted(backing.source) + " holds the volume group " + quoted(found) +
                                           ", which is no storage pool of lxmgr (source=" + found + " makes one in it)");
    if (plan.origin == Origin::Adopted)
        backing.thinPool = TRY(storage::lvm::thinPoolOf(backing.group, found.empty() ? std::string() : backing.source));
    wanted.config["lvm.vg_name"] = backing.group;
    wanted.config["lvm.thinpool_name"] = backing.thinPool;
    return {};
}

/// Fills in what the configuration leaves open. Nothing is touched yet.
Result<Pools::Plan> Pools::plan(store::StoragePool &wanted) const
{
    const config::PoolConfig config = TRY(config::parsePoolConfig(wanted.driver, wanted.config));
    const bool isLvm = wanted.driver == "lvm", isZfs = wanted.driver == "zfs";
    const bool inFile = !config.source &&
                        (isLvm || isZfs || (wanted.driver == "btrfs" && (config.size || !onBtrfs(m_paths.stateDir))));
    Plan plan;
    if (inFile)
        plan = TRY(planFile(wanted, config));
    else if (isLvm && !config.source->starts_with('/'))
        plan = TRY(planGroup(config));
    else if (isZfs && !config.source->starts_with('/'))
        plan = TRY(planDataset(wanted, config));
    else if (config.source)
        plan = TRY(planSource(wanted, config));
    else
        plan.backing.source = plan.backing.folder = stateFolder(wanted.name);
    const Backing::Kind kind = plan.backing.kind;
    if (isLvm && kind == Backing::Kind::Folder)
        return Error(Code::Invalid, "source " + quoted(plan.backing.source) + " is a folder, and the driver 'lvm' takes a "
                                    "volume group, a block device or a file with a volume group in it");
    if (isLvm)
        TRY(checkGroup(wanted, config, plan));
    if (isZfs && kind == Backing::Kind::Folder)
        return Error(Code::Invalid, "source " + quoted(plan.backing.source) + " is a folder, and the driver 'zfs' takes a "
                                    "zpool, a dataset, a block device or a file with a zpool in it");
    if (isZfs && kind != Backing::Kind::Dataset)
        TRY(checkZpool(wanted, config, plan));
    if (config.size && kind != Backing::Kind::File)
        return Error(Code::Invalid, "size is for a pool in a file; this one is as large as what it is on");
    if (config.wipe && kind != Backing::Kind::Device)
        return Error(Code::Invalid, "source.wipe is for a block device");
    if (config.mountOptions && !plan.backing.isMounted())
        return Error(Code::Invalid,
                     "btrfs.mount_options is for a file system of the pool's own; a folder is mounted already");
    wanted.config.erase("source.wipe");
    TRY(checkApart(plan.backing));
    if (kind == Backing::Kind::Folder)
        if (const auto found = TRY(whatIsIn(plan.backing.folder))) {
            TRY(checkSameDriver(wanted, *found, plan.backing.folder));
            plan.origin = Origin::Adopted;
        }
    return plan;
}

/// Two pools in one place would each take the other's files for its own.
Status Pools::checkApart(const Backing &backing) const
{
    for (const store::StoragePool &row : TRY(store::listPools(m_db))) {
        const auto other = backingOf(row);
        if (!other)
            continue; // not there, so not in the way
        for (const std::string &mine : placesOf(backing))
            for (const std::string &theirs : placesOf(*other))
                if (isBelow(mine, theirs) || isBelow(theirs, mine))
                    return Error(Code::AlreadyExists, "source " + quoted(backing.source) +
                                                          " is where the storage pool " + quoted(row.name) + " is");
    }
    const bool ownPlace = isBelow(backing.source, m_paths.stateDir + "/storage-pools") ||
                          isBelow(backing.source, m_paths.stateDir + "/disks");
    const std::string state = TRY(canonical(m_paths.stateDir));
    if (!ownPlace && (isBelow(backing.source, state) || isBelow(state, backing.source)))
        return Error(Code::Invalid, "source " + quoted(backing.source) + " is not apart from the state folder " +
                                        quoted(m_paths.stateDir));
    return {};
}

Status Pools::makeBacking(const std::string &name, const Plan &plan) const
{
    const Backing &backing = plan.backing;
    if (backing.kind == Backing::Kind::Folder) {
        (void)TRY(storage::makeFolderPath(backing.folder, 0700));
        return {};
    }
    if (storage::isMountPoint(backing.folder))
        return Error(Code::WrongState, "something is mounted on " + quoted(backing.folder) + " already (unmount it)");
    if (backing.kind == Backing::Kind::File && plan.origin == Origin::Made) {
        (void)TRY(storage::makeFolderPath(m_paths.stateDir + "/disks", 0700));
        TRY(storage::makeFile(backing.source, plan.size));
    }
    if (backing.kind == Backing::Kind::Device && !(backing.isLvm() && plan.origin == Origin::Adopted)) {
        const auto alone = sys::open(backing.source, O_RDONLY | O_EXCL);
        if (!alone && alone.error().errnum == EBUSY)
            return Error(Code::WrongState,
                         "the device " + quoted(backing.source) + " is in use (mounted, or part of something)");
        if (!alone)
            return alone.error();
    }
    if (plan.origin == Origin::Made) {
        Status made = backing.isLvm()   ? storage::lvm::makePlace(backing, plan.wipe, plan.metadata)
                      : backing.isZfs() ? storage::zfs::makePlace(backing, plan.wipe)
                                      : storage::makeBtrfs(backing.source, name, plan.wipe);
        if (!made && made.error().code == Code::WrongState && backing.kind == Backing::Kind::Device)
            return std::move(made.error()).hint("source.wipe=true makes a new one in its place");
        TRY(made);
    }
    return storage::mountBacking(backing);
}

/// The other way round. Every part may be gone already.
Status Pools::takeAway(const Backing &backing, const std::string &name, Origin origin) const
{
    if (backing.kind == Backing::Kind::Folder && origin == Origin::Made)
        TRY(clearFolder(backing.folder));
    TRY(storage::unmountBacking(backing));
    if (backing.isLvm())
        TRY(origin == Origin::Made ? storage::lvm::removePlace(backing) : storage::lvm::leavePlace(backing));
    if (backing.isZfs())
        TRY(origin == Origin::Made ? storage::zfs::removePlace(backing) : storage::zfs::leavePlace(backing));
    if (backing.kind == Backing::Kind::File && origin == Origin::Made && backing.source == diskFile(name)) {
        TRY(removeFile(backing.source));
        (void)removeFolder(m_paths.stateDir + "/disks"); // unless another pool has its file there
    }
    if (backing.folder == stateFolder(name) && (backing.isMounted() || origin == Origin::Made))
        TRY(removeFolder(backing.folder));
    return {};
}

Status Pools::create(const store::StoragePool &request)
{
    const std::lock_guard change(m_changes);
    store::StoragePool wanted = request;
    TRY(checkObjectName("storage pool", wanted.name));
    if (find(wanted.name))
        return Error(Code::AlreadyExists, "storage pool " + quoted(wanted.name) + " already exists");
    TRY(storage::Driver::open({wanted.name, wanted.driver, {}}, m_paths.stateDir)); // knows the driver
    const Plan plan = TRY_IN("storage pool " + quoted(wanted.name), this->plan(wanted));

    const store::Operation journal = newJournal(kCreate, store::kDefaultProject, wanted.name, encode(plan.backing, plan.origin));
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("pool journal", [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); });
    TRY(failpoint("pool.create.record"));
    undo.add("pool place", [&] { return takeAway(plan.backing, wanted.name, plan.origin); });
    TRY_IN("storage pool " + quoted(wanted.name), makeBacking(wanted.name, plan));
    TRY(failpoint("pool.create.place"));
    if (const auto found = TRY_IN("storage pool " + quoted(wanted.name), whatIsIn(plan.backing.folder))) {
        TRY(checkSameDriver(wanted, *found, plan.backing.source));
        takeOver(wanted, *found);
        TRY_IN(config::kPoolFile, config::parsePoolConfig(wanted.driver, wanted.config));
        TRY(removeFile(plan.backing.folder + "/" + config::kPoolFile)); // it may have had another name
    }
    Open open = TRY_IN("storage pool " + quoted(wanted.name), openPool(wanted, plan.backing));
    TRY_IN("volume.size", checkVolumeSize(*open.driver, TRY(config::parsePoolConfig(wanted.driver, wanted.config))));
    TRY(failpoint("pool.create.folder"));
    TRY(m_db.transaction([&]() -> Status {
        TRY(store::insertPool(m_db, wanted));
        return store::finishOperation(m_db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    {
        const std::lock_guard lock(m_mutex);
        m_open.emplace(wanted.name, std::move(open));
    }
    return failpoint("pool.create.done");
}

Status Pools::change(const std::string &name, const std::string &description, const StringMap &config)
{
    const std::lock_guard change(m_changes);
    const store::StoragePool before = TRY(find(name));
    store::StoragePool after = before;
    after.description = description;
    after.config = config;
    std::erase_if(after.config, [](const auto &entry) { return entry.second.empty(); });
    // Clients write back the whole of what they were shown.
    if (const auto source = after.config.find("source");
        !before.config.contains("source") && source != after.config.end() && source->second == stateFolder(name))
        after.config.erase(source);
    const config::PoolConfig was = TRY(config::parsePoolConfig(before.driver, before.config));
    const config::PoolConfig now =
        TRY_IN("storage pool " + quoted(name), config::parsePoolConfig(before.driver, after.config));
    if (was.source != now.source || was.mountOptions != now.mountOptions || was.volumeGroup != now.volumeGroup ||
        was.thinPool != now.thinPool || was.thinPoolMetadata != now.thinPoolMetadata ||
        was.treeFileSystem != now.treeFileSystem || was.treeOptions != now.treeOptions || was.zpool != now.zpool || now.wipe)
        return Error(Code::Invalid,
                     "storage pool " + quoted(name) + ": its place and mount options were settled when it was created");
    const Backing backing = TRY(backingOf(before));
    if (now.size != was.size) {
        if (backing.kind != Backing::Kind::File)
            return Error(Code::Invalid, "size is for a pool in a file; this one is as large as what it is on");
        if (!now.size || *now.size < TRY(storage::fileSize(backing.source)))
            return Error(Code::Invalid, "storage pool " + quoted(name) +
                                            " cannot be made smaller (make another pool and move what is in it)");
    }
    const Use held = TRY(get(name));
    TRY_IN("volume.size", checkVolumeSize(*held, now));
    TRY(store::updatePool(m_db, after));
    TRY(failpoint("pool.change.record"));
    if (now.size != was.size) {
        if (Status grown = storage::growFile(backing, *now.size); !grown) {
            TRY(store::updatePool(m_db, before));
            return std::move(grown.error()).in("storage pool " + quoted(name));
        }
    }
    TRY(writePoolFile(after, backing.folder));
    return failpoint("pool.change.done");
}

/// Waits for what still works with the pool, and closes it. It stays in m_closing for the caller to take out.
Status Pools::close(const std::string &name)
{
    std::unique_lock lock(m_mutex);
    m_closing.insert(name);
    const auto found = m_open.find(name);
    if (found == m_open.end())
        return {};
    const Open &open = found->second;
    const auto isFree = [&] { return open.driver.use_count() == 1 && open.custom.use_count() <= 1; };
    if (!m_released.wait_for(lock, kPatience, isFree))
        return Error(Code::WrongState, "storage pool " + quoted(name) + " is in use by another operation");
    const Open closed = std::move(found->second); // ends outside the lock: the driver waits for its trash
    m_open.erase(found);
    lock.unlock();
    return {};
}

/// It may be opened again, or another of its name.
Status Pools::reopen(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    m_closing.erase(name);
    return {};
}

/// Each step may be repeated: recovery calls this again.
Status Pools::finishRemove(const store::StoragePool &row)
{
    const auto backing = backingOf(row);
    if (!backing && backing.error().code != Code::Unavailable)
        return backing.error();
    if (backing) {
        {
            const Use pool = TRY(get(row.name)), custom = TRY(this->custom(row.name));
            for (const Use &driver : {pool, custom}) {
                const auto volumes = TRY(driver->listVolumes());
                if (!volumes.empty())
                    return Error(Code::WrongState, "storage pool " + quoted(row.name) + " holds " +
                                                       quoted(volumes.front()) +
                                                       ", which nothing is known of (recover it, or let go of the pool "
                                                       "with 'lxmgr storage detach')");
            }
            for (const Use &driver : {pool, custom})
                for (const std::string &aside : TRY(driver->listAside()))
                    TRY(driver->deleteAside(aside));
            for (const std::string &image : TRY(pool->listImages()))
                TRY(pool->deleteImage(image));
            TRY(pool->emptyTrash());
            TRY(custom->emptyTrash());
        }
        TRY(failpoint("pool.delete.content"));
        TRY(close(row.name));
        TRY(clearFolder(backing->folder));
        TRY(takeAway(*backing, row.name, Origin::Made));
    }
    TRY(failpoint("pool.delete.place"));
    return m_db.transaction([&]() -> Status {
        TRY(store::deleteUndoIn(m_db, row.name));
        return store::deletePool(m_db, row.id);
    });
}

Status Pools::remove(const std::string &name)
{
    const std::lock_guard change(m_changes);
    const store::StoragePool row = TRY(find(name));
    const store::Operation journal = newJournal(kRemove, store::kDefaultProject, name);
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("pool journal", [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); });
    undo.add("pool open", [&] { return reopen(name); });
    TRY(failpoint("pool.delete.record"));
    TRY(finishRemove(row));
    undo.keep();
    TRY(reopen(name));
    TRY(failpoint("pool.delete.done"));
    return store::finishOperation(m_db, journal.id, store::OperationStatus::Success);
}

Status Pools::detach(const std::string &name, const std::function<Status()> &forget)
{
    const std::lock_guard change(m_changes);
    const store::StoragePool row = TRY(find(name));
    const auto backing = backingOf(row);
    const store::Operation journal =
        newJournal(kDetach, store::kDefaultProject, name, backing ? encode(*backing, Origin::Adopted) : std::string());
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("pool journal", [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); });
    undo.add("pool open", [&] { return reopen(name); });
    TRY(failpoint("pool.detach.record"));
    TRY(close(name));
    // Unmounting first: what is still in use says so here, and then nothing has been forgotten.
    if (backing)
        TRY(takeAway(*backing, name, Origin::Adopted));
    TRY(failpoint("pool.detach.place"));
    TRY(m_db.transaction([&]() -> Status {
        TRY(forget());
        TRY(store::deletePool(m_db, row.id));
        return store::finishOperation(m_db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    TRY(reopen(name));
    return failpoint("pool.detach.done");
}

std::string Pools::encode(const Backing &backing, Origin origin)
{
    const auto row = std::ranges::find(kKinds, backing.kind, &KindRow::kind);
    std::string text{row->letter, origin == Origin::Made ? 'm' : 'a'};
    text += backing.source;
    if (backing.isZfs())
        text += "\n" + backing.dataset;
    return backing.isLvm() ? text + "\n" + backing.group + "\n" + backing.thinPool : text; // no source has a "\n" in it
}

std::pair<Backing, Pools::Origin> Pools::decode(const store::Operation &journal) const
{
    const std::string &text = journal.arguments;
    Backing backing;
    const auto row = std::ranges::find(kKinds, text[0], &KindRow::letter);
    backing.kind = row == std::end(kKinds) ? Backing::Kind::File : row->kind;
    const auto parts = split(std::string_view(text).substr(2), '\n');
    backing.source = parts[0];
    if (parts.size() == 2)
        backing.dataset = parts[1];
    if (parts.size() == 3) {
        backing.group = parts[1];
        backing.thinPool = parts[2];
    }
    backing.folder = backing.isMounted() ? stateFolder(journal.object) : backing.source;
    return {backing, text[1] == 'm' ? Origin::Made : Origin::Adopted};
}

Status Pools::recoverOne(const store::Operation &journal)
{
    const auto row = find(journal.object);
    if (!row && row.error().code != Code::NotFound)
        return row.error();
    if (journal.type == kCreate && !row && journal.arguments.size() > 2) {
        log::info("storage pool '" + journal.object + "': its creation was cut off; taking it back");
        const auto [backing, origin] = decode(journal);
        TRY(takeAway(backing, journal.object, origin));
    }
    if (journal.type == kRemove && row) {
        log::info("storage pool '" + journal.object + "': its deletion was cut off; completing it");
        TRY(finishRemove(*row));
    }
    return {}; // a detached pool that was not forgotten yet is simply opened again
}

Status Pools::recover()
{
    for (const store::Operation &journal : TRY(store::listUnfinished(m_db))) {
        if (journal.type != kCreate && journal.type != kRemove && journal.type != kDetach)
            continue;
        if (Status done = recoverOne(journal); !done)
            log::error("storage pool '" + journal.object + "': " + done.error().message + ", ignoring");
        TRY(reopen(journal.object));
        TRY(store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart"));
    }
    return {};
}

} // namespace lxmgr::instances

// Importing an instance from an archive: record, trees, volume, snapshots, ready.
#include "base/failpoint.h"
#include "base/text.h"
#include "config/yaml.h"
#include "images/layout.h"
#include "images/unpack.h"
#include "instances/manager.h"
#include "instances/names.h"
#include "instances/root_disk.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace lxmgr::instances
{

namespace
{

constexpr std::uint64_t kLargest = 16ULL << 40; ///< Of a file: what ext4 can hold.
constexpr std::uint64_t kMostEntries = 50'000'000;

/// The profiles among `wanted` that are not in `there`.
std::vector<std::string> missingIn(const std::vector<std::string> &wanted, const std::vector<std::string> &there)
{
    std::vector<std::string> missing;
    for (const std::string &name : wanted)
        if (std::ranges::find(there, name) == there.end())
            missing.push_back(name);
    return missing;
}

} // namespace

/// What the archive's own host remembered is not true here; addresses and identity stay where nobody else has them.
StringMap importedConfig(const StringMap &config, const StringMap &changes)
{
    StringMap kept = config;
    std::erase_if(kept, [](const auto &entry) {
        const std::string &key = entry.first;
        return key.starts_with("volatile.") && key != "volatile.base_image" && key != "volatile.apply_template" &&
               key != "volatile.uuid" && !key.ends_with(".hwaddr") && !key.starts_with("volatile.cloud-init.");
    });
    for (const auto &[key, value] : changes) {
        if (value.empty())
            kept.erase(key);
        else
            kept[key] = value;
    }
    return kept;
}

Status makeDevice(const Fd &trees, const images::DeviceEntry &device)
{
    if (!S_ISCHR(device.mode) && !S_ISBLK(device.mode))
        return Error(Code::Invalid, "there is a node among the devices that is none");
    const path::Parent parent = TRY(path::openParent(trees, device.path, path::Scope::NoMount));
    const struct stat before = TRY(sys::fstat(parent.folder));
    TRY(sys::mknodat(parent.folder, parent.name, (device.mode & S_IFMT) | 0600, makedev(device.major, device.minor)));
    TRY(sys::fchownat(parent.folder, parent.name, device.uid, device.gid));
    TRY(sys::fchmodat(parent.folder, parent.name, device.mode & 07777));
    const timespec when{device.seconds, device.nanoseconds};
    const timespec times[2] = {when, when};
    const timespec folder[2] = {before.st_atim, before.st_mtim};
    TRY(sys::call("utimensat", parent.name,
                  [&] { return ::utimensat(parent.folder.get(), parent.name.c_str(), times, AT_SYMLINK_NOFOLLOW); }));
    TRY(sys::call("utimensat", {}, [&] { return ::utimensat(parent.folder.get(), ".", folder, 0); }));
    return {};
}

Result<images::UnpackLimits> importLimits(storage::Driver &pool)
{
    images::UnpackLimits limits;
    const std::uint64_t free = TRY(pool.space()).available.count;
    limits.room = Bytes{free - free / 20}; // the rest is for those who run
    limits.total = limits.perFile = Bytes{kLargest};
    limits.entries = kMostEntries;
    return limits;
}

std::string nodesLeftOut(std::uint64_t count)
{
    return std::to_string(count) + " device nodes left out: only a privileged instance can have them";
}

namespace
{

store::Snapshot snapshotRow(const config::ExportedInstance &from, const std::string &pool)
{
    store::Snapshot row;
    row.name = from.name;
    row.description = from.definition.description;
    row.architecture = from.definition.architecture;
    row.ephemeral = from.definition.ephemeral;
    row.config = importedConfig(from.definition.config, {});
    row.devices = from.definition.devices;
    row.expandedConfig = importedConfig(from.expandedConfig, {});
    row.expandedDevices = from.expandedDevices;
    row.profiles = from.definition.profiles;
    row.createdAt = from.createdAt;
    row.expiresAt = from.expiresAt;
    settleRoot(row, pool);
    return row;
}

} // namespace

Result<config::ExportIndex> Manager::lookAtImport(const Fd &file, Progress &progress)
{
    const images::Unpacked texts = TRY_IN(
        "import", images::unpackArchive({m_s.paths.helper, file, nullptr, nullptr, {}, images::UnpackWork::ExportTexts},
                                        progress));
    return config::readExport(texts.metadata, texts.backup);
}

/// The pool asked for, the one it came from, or the one its profiles name: the first that is here.
Result<std::string> Manager::importPool(const ImportRequest &request, const config::ExportIndex &index,
                                        const DeviceMap &expanded)
{
    if (!request.pool.empty()) {
        TRY(m_s.pools.get(request.pool));
        return request.pool;
    }
    std::vector<std::string> tried;
    for (const std::string &name : {index.pool, poolIn(expanded), std::string("default")}) {
        if (name.empty() || std::ranges::find(tried, name) != tried.end())
            continue;
        const auto pool = m_s.pools.get(name);
        if (pool)
            return name;
        if (pool.error().code != Code::NotFound)
            return pool.error();
        tried.push_back(name);
    }
    return Error(Code::NotFound, "Storage pool not found: " + join(tried, ", ") + " (say which one: --storage <pool>)");
}

/// Addresses and identity of an instance that is still here are not given twice.
Status Manager::dropTaken(StringMap &config)
{
    for (const store::Instance &other : TRY(store::listInstances(m_s.db, "")))
        std::erase_if(config, [&](const auto &entry) {
            const bool single = entry.first.ends_with(".hwaddr") || entry.first == "volatile.uuid";
            return single && std::ranges::any_of(other.config, [&](const auto &its) {
                       return its.first.starts_with("volatile.") && its.second == entry.second;
                   });
        });
    return {};
}

Result<store::Instance> Manager::importedRow(const ImportRequest &request, const config::ExportIndex &index,
                                             std::vector<std::string> &warnings)
{
    const config::ExportedInstance &from = index.instance;
    store::Instance row;
    row.project = request.project;
    row.name = request.name;
    row.description = from.definition.description;
    row.architecture = from.definition.architecture.empty() ? hostArchitecture() : from.definition.architecture;
    row.ephemeral = from.definition.ephemeral;
    row.profiles = from.definition.profiles;
    row.createdAt = from.createdAt;
    row.lastUsedAt = from.lastUsedAt;
    row.config = importedConfig(from.definition.config, request.config);
    row.devices = from.definition.devices;
    std::vector<std::string> there;
    for (const store::Profile &profile : TRY(store::listProfiles(m_s.db, row.project)))
        there.push_back(profile.name);
    if (const auto missing = missingIn(row.profiles, there); !missing.empty()) {
        if (from.expandedConfig.empty() && from.expandedDevices.empty())
            return Error(Code::NotFound, "Profile not found: " + join(missing, ", ") +
                                             " (create it first: the archive does not say what it brought)");
        // As with a snapshot whose profile is gone: what all of them brought becomes the instance's own.
        row.config = importedConfig(from.expandedConfig, request.config);
        row.devices = from.expandedDevices;
        std::erase_if(row.profiles,
                      [&](const std::string &name) { return std::ranges::find(there, name) == there.end(); });
        warnings.push_back("profile " + join(missing, ", ") +
                           " is not here; what it brought is now the instance's own");
    }
    TRY(dropTaken(row.config));
    const DeviceMap expandedDevices = TRY(expanded(row)).devices;
    row.pool = TRY(importPool(request, index, expandedDevices));
    settleRoot(row.devices, expandedDevices, row.pool);
    return row;
}

namespace
{

/// LXD writes a guest's ids on its host to disk and remembers the map, as JSON, which YAML is a superset of.
Result<trees::OwnerMap> ownersOnDisk(const StringMap &config)
{
    constexpr const char *kKey = "volatile.last_state.idmap";
    trees::OwnerMap map;
    const auto value = config.find(kKey);
    if (value == config.end() || value->second.empty())
        return map;
    const auto number = [&](const config::YamlNode &entry, const char *name) -> Result<std::uint32_t> {
        const config::YamlNode *node = entry.find(name);
        if (!node)
            return config::yamlError(kKey, entry, std::string(name) + " is missing");
        return static_cast<std::uint32_t>(TRY_IN(kKey, parseUnsigned(TRY(config::yamlText(*node, kKey, name)), 0, UINT32_MAX)));
    };
    for (const config::YamlNode &entry : TRY(config::parseYaml(value->second, kKey)).items) {
        const idmap::Range range{TRY(number(entry, "Nsid")), TRY(number(entry, "Hostid")), TRY(number(entry, "Maprange"))};
        for (const auto &[name, ranges] : {std::pair{"Isuid", &map.uids}, std::pair{"Isgid", &map.gids}})
            if (const config::YamlNode *node = entry.find(name); node && TRY(config::yamlBool(*node, kKey, name)))
                ranges->push_back(range);
    }
    return map;
}

/// The streams of an archive, unpacked as files and then each as what it holds.
Status receiveStreams(const NewTrees &trees, const std::string &helper, const Fd &file, const config::ExportIndex &index,
                      Progress &progress)
{
    const storage::Scratch streams = TRY(trees.pool.newScratch());
    const images::UnpackLimits limits = TRY(importLimits(trees.pool));
    const images::Unpacked unpacked = TRY(
        images::unpackArchive({helper, file, nullptr, &streams.directory(), limits, images::UnpackWork::ExportStreams}, progress));
    if (TRY(config::readExport(unpacked.metadata, unpacked.backup)) != index)
        return Error(Code::Invalid, "the archive changed while it was read");
    std::vector<storage::Driver::Stream> parts;
    for (const config::ExportedInstance &snapshot : index.snapshots)
        parts.push_back({"snapshots/" + snapshot.name, TRY(ownersOnDisk(snapshot.definition.config))});
    parts.push_back({"container", TRY(ownersOnDisk(index.instance.definition.config))});
    return trees.pool.takeStreams(trees.scratch, parts, [&](const std::string &part, const Fd &at, const std::string &name) -> Status {
        const Fd stream = TRY(path::open(streams.directory(), images::streamFile(part), O_RDONLY, path::Scope::NoMount));
        images::UnpackJob job{helper, stream, nullptr, &at, {}, images::UnpackWork::ReceiveStream};
        job.within = name;
        (void)TRY(images::unpackArchive(job, progress));
        return {};
    });
}

} // namespace

Result<Imported> Manager::importInstance(ImportRequest request, const config::ExportIndex &index, const Fd &file,
                                         Progress &progress)
{
    return importTrees(std::move(request), index, [&](const NewTrees &trees) -> Status {
        if (index.optimized) {
            if (trees.pool.driverName() != index.poolDriver)
                return Error(Code::Unsupported, "the archive holds streams of the storage driver " + quoted(index.poolDriver) + ", and storage pool " +
                                                    quoted(trees.pool.name()) + " is of the driver " + quoted(std::string(trees.pool.driverName())) +
                                                    " (give another: --storage <pool>; or export it again without --optimized-storage)");
            return receiveStreams(trees, m_s.paths.helper, file, index, progress);
        }
        const images::UnpackLimits limits = TRY(importLimits(trees.pool));
        const images::Unpacked unpacked = TRY(images::unpackArchive(
            {m_s.paths.helper, file, nullptr, &trees.folder, limits, images::UnpackWork::Export}, progress));
        if (TRY(config::readExport(unpacked.metadata, unpacked.backup)) != index)
            return Error(Code::Invalid, "the archive changed while it was read");
        for (const std::string &warning : unpacked.warnings)
            trees.warnings.push_back(warning);
        for (const images::DeviceEntry &device : unpacked.devices)
            if (trees.privileged)
                TRY(makeDevice(trees.folder, device));
        if (!trees.privileged && !unpacked.devices.empty())
            trees.warnings.push_back(nodesLeftOut(unpacked.devices.size()));
        return {};
    });
}

Result<Imported> Manager::importTrees(ImportRequest request, const config::ExportIndex &index, const FillTrees &fill)
{
    if (request.name.empty())
        request.name = index.name;
    TRY(checkInstanceName(request.name));
    for (const auto &[name, value] : request.config)
        if (name.starts_with("volatile.") && !value.empty())
            return Error(Code::Invalid, "config key " + quoted(name) + " is kept by the daemon and cannot be set");
    const InstanceKey key{request.project, request.name};
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    TRY(checkFree(key, "give another name: " + request.again));
    Imported imported{key.name, {}};
    auto checked = checkNew(TRY(importedRow(request, index, imported.warnings)));
    if (!checked)
        return std::move(checked.error()).in("import " + quoted(key.name)).hint("a key can be left out: --config <key>=");
    checked->birth = Birth::Imported;
    std::vector<store::Snapshot> snapshots;
    std::vector<std::string> names;
    for (const config::ExportedInstance &snapshot : index.snapshots) {
        snapshots.push_back(snapshotRow(snapshot, checked->row.pool));
        names.push_back(snapshot.name);
    }
    TRY(build(*checked, std::move(snapshots), [&]() -> Status {
        storage::Scratch trees = TRY(checked->pool->newVolumeTrees(names));
        const bool privileged = checked->wanted.config.privileged.value_or(false);
        TRY(fill({*checked->pool, trees, trees.directory(), privileged, imported.warnings}));
        TRY(failpoint("import.unpacked"));
        return checked->pool->createVolume(key.project, key.name, std::move(trees));
    }));
    return imported;
}

} // namespace lxmgr::instances

// Creating an instance: record, volume, backup file, ready.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "base/undo.h"
#include "config/cloud_config.h"
#include "instances/journal.h"
#include "instances/names.h"
#include "instances/policy.h"
#include "instances/project_limits.h"
#include "kernel/files.h"

namespace lxmgr::instances
{

namespace
{

/// A host without the file has promised nobody anything in it.
std::string readText(const char *path) { return files::read(path).value_or(std::string()); }

store::IdPool hostIdPool()
{
    return store::IdPool::fromHost(readText("/etc/subuid"), readText("/etc/subgid"), readText("/etc/passwd"), readText("/etc/group"));
}

/// The keys that tell people and clients which ids an instance has.
StringMap idMapKeys(const store::IdRange &range)
{
    const std::string tail = R"(,"Hostid":)" + std::to_string(range.base) + R"(,"Nsid":0,"Maprange":)" + std::to_string(range.size) + "}";
    const std::string map = R"([{"Isuid":true,"Isgid":false)" + tail + R"(,{"Isuid":false,"Isgid":true)" + tail + "]";
    return {{"volatile.idmap.base", std::to_string(range.base)}, {"volatile.idmap.current", map}, {"volatile.idmap.next", map}};
}

void addImageKeys(store::Instance &row, const store::Image &image)
{
    for (const auto &[name, value] : image.properties)
        row.config.emplace("image." + name, value);
}

} // namespace

Status Manager::record(const store::Instance &row, std::int64_t &id, const config::InstanceConfig &config)
{
    const bool privileged = config.privileged.value_or(false);
    const store::IdPool pool = privileged ? store::IdPool{} : hostIdPool();
    return m_s.db.transaction([&]() -> Status {
        id = TRY(store::insertInstance(m_s.db, row));
        TRY(store::adoptExports(m_s.db, uuidOf(row), id)); // of one that comes back
        if (!privileged) {
            std::optional<std::uint32_t> base;
            if (config.idmapBase)
                base = *config.idmapBase;
            const store::IdRange range = TRY(
                store::allocateIdRange(m_s.db, id, pool, config.idmapSize.value_or(store::kIdRangeSize), base));
            TRY(store::setInstanceConfig(m_s.db, id, idMapKeys(range)));
        }
        return {};
    });
}

Status Manager::checkFree(const InstanceKey &key, const std::string &cure) const
{
    const auto existing = find(key);
    if (existing)
        return Error(Code::AlreadyExists, "instance " + quoted(key.name) + " already exists (" + cure + ")");
    return existing.error().code == Code::NotFound ? Status() : Status(existing.error());
}

/// The row that `request` asks for. The caller holds the lock of its name.
Result<Manager::NewInstance> Manager::planNew(const CreateRequest &request)
{
    TRY(checkFree({request.project, request.name}, "choose another name, or delete it first"));
    store::Instance row;
    row.project = request.project;
    row.name = request.name;
    row.description = request.description;
    row.architecture = hostArchitecture();
    row.ephemeral = request.ephemeral;
    row.profiles = request.profiles.value_or(std::vector<std::string>{"default"});
    row.config = request.config;
    row.devices = request.devices;
    TRY(config::checkVolatileKept({}, config::withoutVolatile(row.config)));
    TRY(config::checkCloudTexts({}, row.config));
    NewInstance created = TRY(checkNew(std::move(row)));
    TRY(m_s.networks.checkNics(request.project, request.name, created.wanted.devices, {}));
    return created;
}

/// Checked in every way that needs no files: what can be wrong is found before an image is built or an archive unpacked.
Result<Manager::NewInstance> Manager::checkNew(store::Instance wanted)
{
    NewInstance created;
    created.row = std::move(wanted);
    store::Instance &row = created.row;
    const config::Expanded all = TRY(expanded(row));
    created.devices = all.devices;
    created.wanted = TRY(config::parseEffective(all));
    TRY(checkProjectPolicy(m_s.db, row.project, all, created.wanted));
    const config::Device *root = config::rootDisk(created.wanted.devices);
    if (!root)
        return Error(Code::Invalid, "instance " + quoted(row.name) +
                                        ": no root disk (a profile or a device of type disk with path=/ and pool=… must give one)");
    row.pool = root->as<config::DiskDevice>()->pool->text;
    created.pool = TRY(m_s.pools.get(row.pool));
    if (TRY(rootLimit(created.devices, row.pool)))
        TRY_IN("root disk of " + quoted(row.name) + ": size", created.pool->canLimit());
    for (const NicPlan &nic : TRY(planNics(created.wanted)))
        if (!nic.network.empty())
            TRY(m_s.networks.find(nic.network));
    TRY(checkDevices(created.wanted, TRY(diskSources(row.project, created.wanted.devices)), lentCards(created.wanted), m_s.paths));
    TRY(checkIdmap(row, created.wanted.config));
    TRY(planLimits(created.wanted, cgroup::PlanFor::Fresh));
    TRY(checkLimits(m_s.db, {row.project}, [&]() -> Status { // before an image is fetched; what counts is build()
        TRY(store::insertInstance(m_s.db, row));
        return {};
    }));
    return created;
}

/// Records the instance as being created, has its volume made, and records that it is ready. `snapshots` come to be with
/// their volume.
Status Manager::build(NewInstance &created, std::vector<store::Snapshot> snapshots, const std::function<Status()> &makeVolume)
{
    store::Instance &row = created.row;
    const InstanceKey key{row.project, row.name};
    addVolatile(row, created.wanted.devices, created.birth);
    TRY(withinLimits(m_s.db, {row.project}, [&]() -> Status {
        TRY(record(row, row.id, created.wanted.config));
        for (store::Snapshot &snapshot : snapshots) {
            snapshot.instanceId = row.id;
            snapshot.status = store::SnapshotStatus::Ready;
            TRY(store::insertSnapshot(m_s.db, snapshot));
        }
        return {};
    }));
    Undo undo;
    undo.add("create record", makingRoom(m_s.db, [&] { return store::deleteInstance(m_s.db, row.id); }));
    TRY(failpoint("create.record"));
    undo.add("create volume", makingRoom(m_s.db, [&] { return created.pool->deleteVolume(key.project, key.name); }));
    TRY_IN("create " + quoted(key.name), makeVolume());
    TRY(failpoint("create.volume"));
    TRY_IN("create " + quoted(key.name), limitRoot(key, created.devices, *created.pool));
    TRY(failpoint("create.limit"));
    TRY(writeBackup(key));
    TRY(failpoint("create.backup"));
    TRY(store::setInstanceStatus(m_s.db, row.id, store::InstanceStatus::Ready));
    undo.keep();
    TRY(failpoint("create.ready"));
    m_s.emit({"instance-created", key, {{"type", "container"}, {"storage-pool", row.pool}}});
    return {};
}

/// The image as far as it is here. NotFound: of that fingerprint there is none.
Result<std::optional<store::Image>> Manager::knownImage(const CreateRequest &request)
{
    if (request.remote)
        return m_s.images.knownRemote(request.project, *request.remote);
    if (request.fingerprint.empty())
        return m_s.images.known(request.project, request.alias, TRY(BuildChoice::from(request.options)));
    return std::optional(TRY(store::findImage(m_s.db, request.project, request.fingerprint)));
}

Result<std::string> Manager::createInstance(CreateRequest request, Progress &progress)
{
    if (request.name.empty())
        request.name = inventName();
    TRY(checkInstanceName(request.name));
    const InstanceKey key{request.project, request.name};
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const bool inherits = !request.profiles && !request.empty;
    std::optional<store::Image> known;
    if (!request.empty)
        known = TRY(knownImage(request));
    if (inherits && known && !known->profiles.empty())
        request.profiles = known->profiles;
    NewInstance created = TRY(planNew(request)); // before an image is fetched
    store::Instance &row = created.row;
    if (!request.empty) {
        const store::Image image = known            ? std::move(*known)
                                   : request.remote ? TRY(m_s.images.obtainRemote(key.project, *request.remote, progress))
                                                    : TRY(m_s.images.obtain(key.project, request.alias, TRY(BuildChoice::from(request.options)), progress));
        if (inherits && !image.profiles.empty() && image.profiles != row.profiles) { // it was here under another name
            request.profiles = image.profiles;
            created = TRY(planNew(request));
        }
        row.image = image.fingerprint;
        addImageKeys(row, image);
        TRY(store::setImageUsed(m_s.db, image.id, store::unixMillis()));
        TRY_IN("image " + quoted(image.fingerprint.substr(0, 12)), m_s.undo.withRoom(row.pool, [&] {
                   return m_s.images.ensureUnpacked(*created.pool, image.fingerprint, progress);
               }));
    }
    if (progress.cancelled())
        return Error(Code::Cancelled, "creating " + quoted(key.name) + " was cancelled");
    const auto image = row.image.empty() ? std::nullopt : std::optional(row.image);
    TRY(build(created, {}, [&] {
        return m_s.undo.withRoom(row.pool, [&] { return created.pool->createVolume(key.project, key.name, image); });
    }));
    return key.name;
}

Status Manager::undoCreate(const store::Instance &row)
{
    const auto pool = m_s.pools.get(row.pool);
    if (pool)
        TRY((*pool)->deleteVolume(row.project, row.name));
    else if (pool.error().code != Code::NotFound)
        return pool.error();
    return store::deleteInstance(m_s.db, row.id);
}

} // namespace lxmgr::instances

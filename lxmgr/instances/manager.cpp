// What all operations on instances share: finding, expanding, locking, describing.
#include "instances/manager.h"

#include "base/log.h"
#include "base/text.h"
#include "config/project_config.h"
#include "instances/root_disk.h"
#include "kernel/files.h"
#include "kernel/path.h"

#include <unistd.h>

namespace lxmgr::instances
{

Result<std::unique_ptr<Manager>> Manager::create(Services services)
{
    std::unique_ptr<Manager> manager(new Manager(std::move(services)));
    manager->m_layout = TRY(cgroup::Layout::probe());
    Manager *self = manager.get();
    manager->m_running = TRY(Running::create({[self](const GuestEnd &end) { self->onEnd(end); },
                                              [self](const InstanceKey &key, const spec::MonitorEvent &event) { self->onNews(key, event); }}));
    manager->m_cloudRuns = TRY(CloudRuns::create([self] { self->m_running->wakeWaiters(); }));
    manager->m_deviceWatch = TRY_IN("watch devices", DeviceWatch::create(manager->m_s.paths.uevents, [self] { self->devicesChanged(); }));
    return manager;
}

Manager::~Manager()
{
    if (m_layout)
        cgroup::removeEmpty(*m_layout, m_s.paths.cgroupBase);
}

Result<store::Instance> Manager::find(const InstanceKey &key) const
{
    auto row = store::findInstance(m_s.db, key.project, key.name);
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Instance not found: " + quoted(key.name));
    return row;
}

Result<store::Instance> Manager::readyRow(const InstanceKey &key)
{
    store::Instance row = TRY(find(key));
    if (row.status != store::InstanceStatus::Ready)
        return Error(Code::WrongState, "instance " + quoted(key.name) + " is being " +
                                           (row.status == store::InstanceStatus::Creating ? "created" : "deleted"));
    return row;
}

Result<config::Expanded> Manager::expanded(const store::Instance &row) { return expandedOf(m_s.db, row); }

Result<config::Effective> Manager::effective(const store::Instance &row) { return config::parseEffective(TRY(expanded(row))); }

Result<Described> Manager::describe(const InstanceKey &key)
{
    Described described;
    described.row = TRY(find(key));
    described.expanded = TRY(expanded(described.row));
    described.guest = m_running->find(key);
    return described;
}

Result<std::vector<Described>> Manager::describeAll(const std::string &project)
{
    std::vector<store::Instance> rows = TRY(store::listInstances(m_s.db, project));
    std::map<std::pair<std::string, std::string>, config::ProfileDocument> profiles;
    const auto profileOf = [&](const std::string &of, const std::string &name) -> const config::ProfileDocument & {
        auto &document = profiles[{of, name}];
        if (document.name.empty()) {
            document.name = name;
            if (auto row = store::findProfile(m_s.db, of, name)) {
                document.config = std::move(row->config);
                document.devices = std::move(row->devices);
            }
        }
        return document;
    };
    const std::map<InstanceKey, Guest> guests = m_running->all();
    std::vector<Described> all;
    all.reserve(rows.size());
    for (store::Instance &row : rows) {
        std::vector<config::ProfileDocument> own;
        for (const std::string &name : row.profiles)
            own.push_back(profileOf(row.project, name));
        Described described;
        described.expanded = config::expand(own, row.config, row.devices);
        if (const auto guest = guests.find({row.project, row.name}); guest != guests.end())
            described.guest = guest->second;
        described.row = std::move(row);
        all.push_back(std::move(described));
    }
    return all;
}

Status Manager::addRootState(const store::Instance &row, const config::Expanded &all, LiveState &state)
{
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    state.rootUsage = TRY(pool->countedUsage(row.project, row.name));
    state.rootLimit = TRY(pool->limit(row.project, row.name));
    state.root = rootIn(all.devices);
    return {};
}

Result<LiveState> Manager::state(const InstanceKey &key)
{
    if (const auto described = describe(key))
        return state(*described);
    LiveState bare; // being deleted, or damaged: what runs is told all the same
    bare.guest = m_running->find(key);
    return bare;
}

namespace
{

/// The process of that number, a way into its namespaces; NotFound where it is none of the guest of that control group.
Result<Fd> pinned(pid_t pid, const std::string &group)
{
    Fd pidfd = TRY(sys::pidfd_open(pid)); // First, so that what is read next is read of the process it pins.
    for (const std::string &line : split(TRY(files::read("/proc/" + std::to_string(pid) + "/cgroup")), '\n'))
        if ((line + "/").find("/" + group + "/") != std::string::npos)
            return pidfd;
    return Error(Code::NotFound, "process " + std::to_string(pid) + " is another's");
}

} // namespace

Result<LiveState> Manager::state(const Described &described)
{
    const InstanceKey key{described.row.project, described.row.name};
    LiveState state;
    state.guest = m_running->find(key);
    (void)addRootState(described.row, described.expanded, state); // a pool that is not there says nothing of its disks
    if (!state.guest)
        return state;
    if (auto usage = cgroup::usage(*m_layout, cgroupOf(m_s.paths, key.project, key.name)))
        state.usage = *usage;
    // The monitor is not asked: one that does not answer must hold up nobody who looks at all that there are.
    if (const auto init = pinned(state.guest->initPid, cgroupOf(m_s.paths, key.project, key.name)))
        if (auto interfaces = network::guestInterfaces(init->get()))
            state.interfaces = std::move(*interfaces);
    return state;
}

Result<std::vector<cgroup::IoUsage>> Manager::diskTraffic(const InstanceKey &key)
{
    return cgroup::ioUsage(*m_layout, cgroupOf(m_s.paths, key.project, key.name));
}

Result<spec::MonitorClient> Manager::monitor(const InstanceKey &key)
{
    TRY(readyRow(key));
    if (!m_running->find(key))
        return Error(Code::WrongState, "Instance is not running: " + quoted(key.name));
    return spec::MonitorClient::connect(spec::monitorSocket(m_s.paths.instanceRunDir(key.project, key.name)));
}

Result<spec::FilesClient> Manager::files(const InstanceKey &key)
{
    const store::Instance row = TRY(readyRow(key));
    if (m_running->find(key)) {
        spec::MonitorClient client = TRY(monitor(key));
        const spec::MonitorInfo info = TRY(client.info());
        return spec::FilesClient::forRunning(m_s.paths, info.initPidfd);
    }
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    const storage::RootTree tree = TRY(pool->root(key.project, key.name));
    return spec::FilesClient::forStopped(m_s.paths, rootfsOf(tree, false), idMapOf(row));
}

Result<DiskSources> Manager::diskSources(const std::string &project, const std::vector<config::Device> &devices)
{
    DiskSources sources = TRY(m_s.volumes.mounts(project, devices));
    const config::ProjectConfig allowed = TRY(config::parseProjectConfig(TRY(store::findProject(m_s.db, project)).config));
    for (const config::Device &device : devices) {
        const auto *disk = device.as<config::DiskDevice>();
        if (disk && disk->source && !disk->isRoot() && !disk->isVolume() && !disk->isTmpfs())
            sources[device.name] = {TRY_IN("device " + quoted(device.name), config::Codec<config::AbsolutePath>::parse(*disk->source)).text, false,
                                    TRY_IN("device " + quoted(device.name), config::folderAbove(allowed, *disk->source))};
    }
    return sources;
}

Result<std::string> Manager::consoleLog(const InstanceKey &key)
{
    TRY(readyRow(key));
    if (m_running->find(key)) {
        spec::MonitorClient client = TRY(monitor(key));
        return client.consoleLog();
    }
    const std::string file = logDir(key) + "/console.log";
    auto text = files::read(file);
    if (!text && text.error().errnum == ENOENT)
        return Error(Code::NotFound, "no console log: " + quoted(key.name) + " has not run yet");
    return text;
}

Status Manager::clearConsoleLog(const InstanceKey &key)
{
    TRY(readyRow(key));
    if (m_running->find(key)) {
        spec::MonitorClient client = TRY(monitor(key));
        return client.clearConsoleLog();
    }
    const std::string file = logDir(key) + "/console.log";
    if (::unlink(file.c_str()) < 0 && errno != ENOENT)
        return Error::fromErrno(errno, "unlink", file);
    return {};
}

Result<bool> Manager::waitBooted(const InstanceKey &key, std::chrono::milliseconds timeout)
{
    TRY(readyRow(key));
    if (!m_running->find(key))
        return Error(Code::WrongState, "Instance is not running: " + quoted(key.name));
    return m_running->waitBooted(key, std::chrono::steady_clock::now() + timeout);
}

Result<std::vector<Described>> Manager::instancesWith(const VolumeKey &key)
{
    std::vector<Described> users;
    for (const std::string &project : TRY(store::projectsAt(m_s.db, key.project, store::Shared::Volumes)))
        for (Described &instance : TRY(describeAll(project)))
            if (usesVolume(instance.expanded.devices, key))
                users.push_back(std::move(instance));
    return users;
}

Status Manager::checkVolumeIdle(const VolumeKey &key, const std::string &project, const std::string &cure)
{
    for (const Described &instance : TRY(instancesWith(key)))
        if (instance.guest)
            return Error(Code::WrongState, "storage volume " + quoted(key.name) + " is used by " +
                                               (instance.row.project == project ? "running instance " + quoted(instance.row.name)
                                                                                : "a running instance of another project") +
                                               " (" + cure + ")");
    return {};
}

} // namespace lxmgr::instances

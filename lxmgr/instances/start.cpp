// Starting an instance: plan, network, record, monitor.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/guest_api.h"
#include "instances/names.h"
#include "instances/own_view.h"
#include "instances/policy.h"
#include "instances/templates.h"
#include "instances/tpms.h"
#include "instances/warnings.h"
#include "kernel/mount_call.h"
#include "kernel/seccomp.h"
#include "kernel/sys.h"

#include <algorithm>
#include <sys/stat.h>

namespace lxmgr::instances
{

namespace
{

constexpr const char *kTemplateKey = "volatile.apply_template";

Status makeFolder(const std::string &path, mode_t mode)
{
    if (::mkdir(path.c_str(), mode) < 0 && errno != EEXIST)
        return Error::fromErrno(errno, "mkdir", path);
    return {};
}

/// Whatever the daemon's mask: others than root inside look for the socket.
Status makeGuestApiFolder(const std::string &path)
{
    TRY(makeFolder(path, 0755));
    return ::chmod(path.c_str(), 0755) < 0 ? Status(Error::fromErrno(errno, "chmod", path)) : Status();
}

seccomp::Policy seccompOf(const config::InstanceConfig &config)
{
    seccomp::Policy policy;
    policy.denyDefault = config.syscallsDenyDefault.value_or(true);
    policy.denyCompat = config.syscallsDenyCompat.value_or(true);
    if (config.syscallsDeny)
        policy.deny = config.syscallsDeny->lines;
    if (config.syscallsAllow)
        policy.allow = config.syscallsAllow->lines;
    return policy;
}

seccomp::Intercepts interceptsOf(const config::InstanceConfig &config)
{
    return {.mknod = config.interceptMknod.value_or(false),
            .setxattr = config.interceptSetxattr.value_or(false),
            .sysinfo = config.interceptSysinfo.value_or(false),
            .scheduler = config.interceptScheduler.value_or(false),
            .mount = config.interceptMount.value_or(false) && (config.mountAllowed || config.mountFuse)};
}

static_assert(std::ranges::equal(config::kMountableFileSystems, mount::kCallTypes));

/// That the kernel has them, or can load them now.
Status checkMountable(const config::InstanceConfig &config)
{
    if (!config.interceptMount.value_or(false))
        return {};
    for (const std::string &type : config.mountAllowed.value_or(config::FileSystemList{}).names) {
        auto opened = sys::fsopen(type);
        if (opened)
            continue;
        if (opened.error().errnum == ENODEV)
            return Error(Code::Unsupported, "security.syscalls.intercept.mount.allowed: this kernel has no file system " + quoted(type), ENODEV)
                .hint("load its module on the host, or name it in security.syscalls.intercept.mount.fuse with a program of the guest");
        return std::move(opened.error());
    }
    return {};
}

} // namespace

Result<Manager::Rendered> Manager::renderFiles(const store::Instance &row, const config::Expanded &expanded, storage::Driver &pool)
{
    Rendered rendered;
    const auto image = TRY(openTemplates(pool, row));
    if (!image)
        return rendered;
    const images::Metadata metadata = TRY_IN("metadata of " + quoted(row.name), images::readMetadata(*image));
    images::RenderContext context;
    context.instance = {{"name", row.name},
                        {"architecture", row.architecture},
                        {"privileged", row.idRange.size == 0 ? "true" : "false"},
                        {"ephemeral", row.ephemeral ? "true" : "false"},
                        {"type", "container"}};
    context.config = expanded.config;
    context.devices = expanded.devices;
    for (const images::TemplateRule &rule : metadata.templates)
        rendered.targets.insert(rule.target);
    for (const std::string &trigger : {valueOf(row.config, kTemplateKey), std::string("start")}) {
        if (trigger.empty())
            continue;
        context.trigger = trigger;
        for (images::RenderedFile &file : TRY(images::renderTemplates(metadata, *image, context)))
            rendered.files.push_back(std::move(file));
    }
    return rendered;
}

Status Manager::reserveNics(const store::Instance &row, const std::vector<NicPlan> &nics)
{
    for (const NicPlan &nic : nics) {
        if (nic.network.empty())
            continue;
        TRY(m_s.networks.ensureUp(nic.network));
        TRY(m_s.networks.reserve(nic.network, {row.name, nic.card.mac, nic.ipv4, nic.ipv6}));
    }
    return {};
}

Status Manager::releaseNics(const store::Instance &row)
{
    const auto now = effective(row);
    if (!now)
        return {}; // a profile is gone: nothing is known to be reserved
    for (const NicPlan &nic : TRY(planNics(*now)))
        if (!nic.network.empty() && !nic.card.mac.empty())
            TRY(m_s.networks.release(nic.network, nic.card.mac));
    return {};
}

Status Manager::startLocked(const InstanceKey &key)
{
    store::Instance row = TRY(readyRow(key));
    if (const auto guest = m_running->find(key))
        return Error(Code::WrongState, guest->frozen ? "The instance is frozen: " + quoted(key.name) + " (resume it instead)"
                                                     : "The instance is already running: " + quoted(key.name));
    TRY_IN("start " + quoted(key.name), checkComplete(row));
    // A profile may have got a card since it was last changed itself.
    StringMap given = missingCardKeys(row.config, TRY(effective(row)).devices);
    std::set<std::string> taken;
    for (auto &[name, function] : TRY_IN("start " + quoted(key.name), chooseFunctions(TRY(effective(row)), {}, taken)))
        given[name] = function;
    for (const auto &[name, value] : given)
        row.config[name] = value;
    const config::Expanded all = TRY(expanded(row));
    const config::Effective now = TRY(config::parseEffective(all));
    if (now.config.protectionStart.value_or(false))
        return Error(Code::WrongState, "The instance is protected from being started: " + quoted(key.name))
            .hint("lxmgr config set " + key.name + " security.protection.start=false");
    TRY_IN("start " + quoted(key.name), checkProjectPolicy(m_s.db, key.project, all, now));
    TRY_IN("start " + quoted(key.name), checkIdmap(row, now.config));
    TRY_IN("start " + quoted(key.name), loadModules(now.config));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    const storage::RootTree tree = TRY_IN("start " + quoted(key.name), pool->root(key.project, key.name));
    const Rendered rendered = TRY(renderFiles(row, all, *pool));
    CloudStart cloud = TRY_IN("start " + quoted(key.name), planCloudInit(row, all, rendered.targets));
    const std::vector<cgroup::IoLimit> disks = TRY_IN("start " + quoted(key.name), ioLimits(row, now));
    const std::vector<cgroup::Write> writes = TRY_IN("start " + quoted(key.name), planLimits(now, cgroup::PlanFor::Fresh, disks));
    const std::string filter = TRY(seccomp::compile(seccompOf(now.config)));
    TRY_IN("start " + quoted(key.name), checkMountable(now.config));
    const std::string intercepts = TRY_IN("start " + quoted(key.name), seccomp::compileIntercepts(interceptsOf(now.config)));
    const DiskSources sources = TRY_IN("start " + quoted(key.name), diskSources(key.project, now.devices));
    const std::vector<NicPlan> nics = TRY(planNics(now));
    std::vector<spec::Nic> cards;
    for (const NicPlan &nic : nics)
        cards.push_back(nic.card);
    TRY_IN("start " + quoted(key.name), checkCards(cards, cards, lentCards(now))); // the last run's may not have gone yet
    spec::LaunchSpec spec = TRY(plan({row, now, tree, sources, rendered.files, writes, filter, intercepts, m_s.paths, ownView(m_s.paths.lxcfs)}));
    spec.tpms = TRY_IN("start " + quoted(key.name), planTpms(row, now, pool->volumeDir(key.project, key.name), m_s.paths));
    std::ranges::move(cloud.seed, std::back_inserter(spec.files));
    spec.setup = std::move(cloud.setup);
    if (!cloud.hostname.empty())
        spec.hostname = cloud.hostname;
    TRY_IN("start " + quoted(key.name), checkProxies(key, spec.proxies));
    TRY_IN("start " + quoted(key.name), reserveNics(row, nics));
    TRY(failpoint("start.network"));
    TRY(makeFolder(m_s.paths.stateDir + "/logs", 0700));
    TRY(makeFolder(logDir(key), 0700));
    TRY(makeFolder(m_s.paths.runDir + "/instances", 0711));
    TRY(makeFolder(spec.runDir, 0700));
    TRY(makeGuestApiFolder(guestApiFolder(m_s.paths, key)));
    TRY_IN("start " + quoted(key.name), makeTpmFolders(spec.tpms, TRY(pool->openVolume(key.project, key.name))));
    // Recorded before the guest runs: a host that loses power right after has it come back.
    const std::string before = valueOf(row.config, kPowerKey);
    cloud.keys.merge(given);
    cloud.keys[kPowerKey] = "RUNNING";
    cloud.keys[kReadyKey] = "";
    TRY(store::setInstanceConfig(m_s.db, row.id, cloud.keys));
    Undo undo;
    undo.add("start record", [&] { return store::setInstanceConfig(m_s.db, row.id, {{kPowerKey, before}}); });
    TRY(failpoint("start.record"));
    undo.add("start guest", [&] {
        cleanUp(key);
        m_s.serveGuest(key);
        return Status{};
    });
    m_s.serveGuest(key); // before anything inside can ask
    TRY_IN("start " + quoted(key.name), filterNics(key, nics)); // before there is a card
    TRY_IN("start " + quoted(key.name), putNat(key, spec.proxies, nics));
    const spec::StartedGuest started = TRY_IN("start " + quoted(key.name), spec::startMonitor(m_s.paths, spec));
    undo.add("start follow", [&] { return cgroup::kill(*m_layout, spec.cgroup); });
    TRY(failpoint("start.monitor"));
    TRY(m_running->follow(key, spec::monitorSocket(spec.runDir)));
    undo.keep();
    placed(key, now.config);
    awaitDevices(key, now.devices);
    const StringMap changes = valueOf(row.config, kTemplateKey).empty() ? StringMap{} : StringMap{{kTemplateKey, ""}};
    if (!changes.empty())
        TRY(store::setInstanceConfig(m_s.db, row.id, changes, store::Durability::Relaxed));
    TRY(store::setInstanceUsed(m_s.db, row.id, store::unixMillis()));
    TRY(failpoint("start.ready"));
    beginCloudInit(key);
    resolve(m_s.db, WarningType::AutostartFailure, about(row));
    resolve(m_s.db, WarningType::RestartFailure, about(row));
    m_s.emit({"instance-started", key, {}});
    return {};
}

Status Manager::start(const InstanceKey &key)
{
    snapshotAtStartup(key);
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    return startLocked(key);
}

} // namespace lxmgr::instances

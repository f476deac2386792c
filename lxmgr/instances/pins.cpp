// limits.cpu as a count: the guests that run are spread over the host's CPUs, again whenever one comes, goes or changes.
#include "instances/manager.h"

#include "base/log.h"
#include "instances/plan.h"

#include <algorithm>

namespace lxmgr::instances
{

void Manager::placed(const InstanceKey &key, const config::InstanceConfig &config)
{
    const std::lock_guard guard(m_pinsMutex);
    const bool had = m_pins.erase(key) > 0;
    if (config.cpu) {
        cgroup::CpuPins &pins = m_pins[key] = {config.cpu->count, config.cpu->set, {}};
        if (config.cpuNodes)
            if (const auto host = cgroup::HostFacts::read(*m_layout, m_s.paths.cgroupBase)) {
                const bool balanced = config.cpuNodes->nodes.empty(); // then where it was bound to at its start
                const auto nodes = balanced ? host->guestNodes()[storage::volumeName(key.project, key.name)] : config.cpuNodes->nodes;
                pins.among = cgroup::cpusOn(nodes, host->cpus, host->nodes()).value_or(std::vector<unsigned>{});
            }
    }
    if (had || config.cpu)
        balanceCpus();
}

void Manager::unplaced(const InstanceKey &key)
{
    const std::lock_guard guard(m_pinsMutex);
    if (m_pins.erase(key) > 0)
        balanceCpus();
}

void Manager::balanceCpus()
{
    if (std::ranges::none_of(m_pins, [](const auto &each) { return each.second.count > 0; }))
        return;
    const auto host = cgroup::HostFacts::read(*m_layout, m_s.paths.cgroupBase);
    if (!host) {
        log::warning("limits.cpu: " + host.error().message + ", guests stay on their CPUs, ignoring");
        return;
    }
    std::map<InstanceKey, std::vector<unsigned>> before;
    std::vector<cgroup::CpuPins *> guests;
    for (auto &[key, pins] : m_pins) {
        before[key] = pins.cpus;
        guests.push_back(&pins);
    }
    cgroup::balance(guests, host->cpus);
    const std::string controller = m_layout->unified("cpuset") ? "" : "cpuset";
    for (auto &[key, pins] : m_pins) {
        if (pins.cpus == before[key])
            continue;
        const cgroup::Write row{controller, "cpuset.cpus", cgroup::formatCpuList(pins.cpus), true};
        const Status moved = cgroup::write(*m_layout, cgroupOf(m_s.paths, key.project, key.name), {&row, 1});
        if (moved)
            continue;
        log::warning("limits.cpu of '" + key.name + "': " + moved.error().message + ", it stays where it was until the next change");
        pins.cpus = before[key];
    }
}

} // namespace lxmgr::instances

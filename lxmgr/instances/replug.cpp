// Devices of an instance that runs: what can come and go live does, the rest is refused by name.
#include "instances/manager.h"

#include "base/text.h"
#include "base/undo.h"
#include "instances/proxies.h"
#include "instances/root_disk.h"

#include <algorithm>
#include <iterator>

namespace lxmgr::instances
{

namespace
{

/// Of `devices`, those that are not the same in `others`; the root's size has a way of its own.
std::vector<const config::Device *> changed(const config::Effective &effective, const DeviceMap &devices, const DeviceMap &others)
{
    std::vector<const config::Device *> found;
    for (const config::Device &device : effective.devices) {
        const auto here = devices.find(device.name), there = others.find(device.name);
        if (here == devices.end() || there == others.end() || here->second != there->second)
            found.push_back(&device);
    }
    return found;
}

Status checkLive(const InstanceKey &key, const std::vector<const config::Device *> &devices)
{
    for (const config::Device *device : devices) {
        const auto *disk = device->as<config::DiskDevice>();
        if (disk && disk->isRoot())
            return Error(Code::WrongState, "device " + quoted(device->name) + ": the root disk of " + quoted(key.name) +
                                               " can be changed only while it is stopped");
        if (device->as<config::TpmDevice>())
            return Error(Code::WrongState, "device " + quoted(device->name) + ": a TPM of " + quoted(key.name) +
                                               " comes, goes and changes only while it is stopped: what is inside has measured into it since it started")
                .hint("lxmgr stop " + key.name);
    }
    return {};
}

/// A mount that would come over another, or take another along, cannot be told from inside.
Status checkApart(const std::vector<spec::Mount> &stay, const std::vector<spec::Mount> &others)
{
    for (const spec::Mount &other : others)
        for (const spec::Mount &mount : stay)
            if (mount.target == other.target || mount.target.starts_with(other.target + "/"))
                return Error(Code::WrongState, "path " + quoted("/" + other.target) + ": another device is mounted at " +
                                                   quoted("/" + mount.target))
                    .hint("stop the instance to change what lies above it");
    return {};
}

/// What differs between the nodes that the guest has and those that the devices are on this host now.
Status planNodeChanges(const spec::LaunchSpec &running, const config::Effective &wanted, const Paths &paths, Missing missing,
                       spec::ReplugBody &body)
{
    std::vector<spec::DeviceNode> nodes;
    for (const config::Device &device : wanted.devices) {
        auto planned = planNodes(device, {paths, wanted.config.volatileKeys, &running});
        if (!planned && missing == Missing::Kept) {
            if (planned.error().code != Code::NotFound) // it may be looked at again; of what is gone nothing can be used
                std::ranges::copy_if(running.devices, std::back_inserter(nodes), [&](const spec::DeviceNode &node) { return node.device == device.name; });
            continue;
        }
        for (spec::DeviceNode &node : TRY(std::move(planned)))
            if (std::ranges::find(nodes, node.path, &spec::DeviceNode::path) == nodes.end()) // two may stand for the same
                nodes.push_back(std::move(node));
    }
    const auto contains = [](const std::vector<spec::DeviceNode> &list, const spec::DeviceNode &node) {
        return std::ranges::find(list, node) != list.end();
    };
    for (const spec::DeviceNode &node : running.devices)
        if (!node.device.empty() && !contains(nodes, node))
            body.removeNodes.push_back(node);
    for (const spec::DeviceNode &node : nodes)
        if (!contains(running.devices, node))
            body.addNodes.push_back(node);
    return {};
}

/// An older version did not write down whose a node is.
void nameNodes(spec::LaunchSpec &running, const config::Effective &was, const Paths &paths)
{
    for (const config::Device &device : was.devices)
        if (const auto nodes = planNodes(device, {paths, was.config.volatileKeys, &running}))
            for (const spec::DeviceNode &node : *nodes)
                for (spec::DeviceNode &there : running.devices)
                    if (there.device.empty() && there.path == node.path)
                        there.device = node.device;
}

/// A card that only lets other things through stays, and with it what the guest made of it.
void planCardChange(spec::Nic card, spec::ReplugBody &body)
{
    const auto old = std::ranges::find(body.unplug, card.device, &spec::Nic::device);
    if (old == body.unplug.end())
        return body.plug.push_back(std::move(card));
    spec::Nic now = card;
    now.index = old->index;
    now.hostMac = old->hostMac;
    now.hostMtu = old->hostMtu;
    now.hostUp = old->hostUp;
    spec::Nic same = now;
    same.routes = old->routes;
    same.ingress = old->ingress;
    same.egress = old->egress;
    same.isolated = old->isolated;
    same.hairpin = old->hairpin;
    same.vlan = old->vlan;
    same.vlans = old->vlans;
    if (same != *old)
        return body.plug.push_back(std::move(card));
    if (now != *old) {
        body.before.push_back(*old);
        body.after.push_back(std::move(now));
    }
    body.unplug.erase(old);
}

/// Of a card that itself is the same: other devices, proxies with nat, have come or gone.
void planHairpin(const spec::Nic &card, const spec::LaunchSpec &running, spec::ReplugBody &body)
{
    const auto old = std::ranges::find(running.nics, card.device, &spec::Nic::device);
    if (old == running.nics.end() || old->hairpin == card.hairpin)
        return;
    body.before.push_back(*old);
    body.after.push_back(*old);
    body.after.back().hairpin = card.hairpin;
}

/// All of `nics` that none of `others` is for its network.
std::vector<NicPlan> notAmong(const std::vector<NicPlan> &nics, const std::vector<NicPlan> &others)
{
    std::vector<NicPlan> found;
    for (const NicPlan &nic : nics)
        if (std::ranges::none_of(others, [&](const NicPlan &other) {
                return other.network == nic.network && other.card.mac == nic.card.mac && other.ipv4 == nic.ipv4 && other.ipv6 == nic.ipv6;
            }))
            found.push_back(nic);
    return found;
}

/// Until the replug is through both what goes and what comes is looked at.
std::vector<NicPlan> withOldPorts(std::vector<NicPlan> now, const std::vector<NicPlan> &old)
{
    for (const NicPlan &nic : old)
        if (std::ranges::none_of(now, [&](const NicPlan &other) {
                return other.filter.port == nic.filter.port && (!nic.filter.port.empty() || other.card.parent == nic.card.parent);
            }))
            now.push_back(nic);
    return now;
}

/// Compared as they are planned: the address of a card may be part of one.
void diffProxies(const std::vector<spec::Proxy> &running, const std::vector<spec::Proxy> &wanted, spec::ReplugBody &body)
{
    const auto isIn = [](const std::vector<spec::Proxy> &all, const spec::Proxy &proxy) {
        return std::ranges::any_of(all, [&](const spec::Proxy &each) { return isSame(each, proxy); });
    };
    for (const spec::Proxy &proxy : running)
        if (!isIn(wanted, proxy))
            body.closeProxies.push_back(proxy);
    for (const spec::Proxy &proxy : wanted)
        if (!isIn(running, proxy))
            body.openProxies.push_back(proxy);
}

std::vector<spec::Proxy> changedProxies(std::vector<spec::Proxy> proxies, const spec::ReplugBody &body)
{
    for (const spec::Proxy &gone : body.closeProxies)
        std::erase(proxies, gone);
    proxies.insert(proxies.end(), body.openProxies.begin(), body.openProxies.end());
    return proxies;
}

} // namespace

Status Manager::checkProxies(const InstanceKey &key, const std::vector<spec::Proxy> &wanted)
{
    if (wanted.empty())
        return {};
    TRY(m_s.networks.checkProxies(wanted));
    for (const auto &[other, guest] : m_running->all()) {
        const auto running = other == key ? Result<spec::LaunchSpec>(Error()) : spec::readLaunchSpec(m_s.paths.instanceRunDir(other.project, other.name));
        if (running) // else it has just ended
            TRY(checkProxiesFree(wanted, running->proxies, other.name));
    }
    return {};
}

Status Manager::putNat(const InstanceKey &key, const std::vector<spec::Proxy> &proxies, const std::vector<NicPlan> &nics)
{
    std::vector<std::string> networks;
    for (const NicPlan &nic : nics)
        if (!nic.network.empty())
            networks.push_back(nic.network);
    return m_s.networks.putProxies(storage::volumeName(key.project, key.name), proxies, networks);
}

Status Manager::settleNicNames(store::Instance &row, const config::Expanded &before, const Expand &expand)
{
    const spec::LaunchSpec running = TRY(spec::readLaunchSpec(m_s.paths.instanceRunDir(row.project, row.name)));
    const auto isFree = [](const DeviceMap &devices, const std::string &name) {
        const auto device = devices.find(name);
        return device != devices.end() && !device->second.contains("name");
    };
    const DeviceMap wanted = TRY(expand(row)).devices;
    for (const auto &[name, keys] : before.devices)
        if (!wanted.contains(name))
            row.config.erase("volatile." + name + ".name");
    for (const spec::Nic &nic : running.nics)
        if (isFree(wanted, nic.device))
            row.config["volatile." + nic.device + ".name"] = nic.guestName;
    for (const NicPlan &nic : TRY(planNics(TRY(config::parseEffective(TRY(expand(row)))))))
        if (isFree(wanted, nic.card.device))
            row.config["volatile." + nic.card.device + ".name"] = nic.card.guestName;
    return {};
}

Result<spec::ReplugBody> Manager::planReplug(const InstanceKey &key, const config::Expanded &before, const config::Expanded &after, Missing missing)
{
    const config::Effective was = TRY(config::parseEffective(before)), wanted = TRY(config::parseEffective(after));
    const DeviceMap oldDevices = withoutLimits(before.devices), newDevices = withoutLimits(after.devices);
    const auto gone = changed(was, oldDevices, newDevices), come = changed(wanted, newDevices, oldDevices);
    TRY(checkLive(key, gone));
    TRY(checkLive(key, come));
    spec::LaunchSpec running = TRY(spec::readLaunchSpec(m_s.paths.instanceRunDir(key.project, key.name)));
    spec::ReplugBody body;
    for (const config::Device *device : gone) {
        if (const auto *disk = device->as<config::DiskDevice>())
            for (const spec::Mount &mount : running.mounts)
                if (mount.target == disk->path->text.substr(1))
                    body.unmount.push_back(mount);
        for (const spec::Nic &nic : running.nics)
            if (nic.device == device->name)
                body.unplug.push_back(nic);
    }
    const DiskSources sources = TRY(diskSources(key.project, wanted.devices));
    for (const config::Device *device : come)
        for (spec::Mount &mount : TRY(planMounts(*device, sources)))
            body.mount.push_back(std::move(mount));
    for (const NicPlan &nic : TRY(planNics(wanted))) {
        if (std::ranges::find(come, nic.card.device, &config::Device::name) != come.end())
            planCardChange(nic.card, body);
        else
            planHairpin(nic.card, running, body);
    }
    const Lent lent = lentCards(wanted);
    TRY(checkCards(body.plug, body.unplug, lent));
    TRY(checkCards(body.after, body.before, lent));
    nameNodes(running, was, m_s.paths);
    TRY(planNodeChanges(running, wanted, m_s.paths, missing, body)); // of a card that is elsewhere there are none to be found
    for (const spec::Mount &mount : body.unmount)
        std::erase(running.mounts, mount);
    TRY(checkApart(running.mounts, body.unmount));
    TRY(checkApart(running.mounts, body.mount));
    diffProxies(running.proxies, TRY(planProxies(wanted)), body);
    TRY(checkProxies(key, body.openProxies));
    return body;
}

Status Manager::applyDevices(const store::Instance &row, const config::Expanded &before, const config::Expanded &after)
{
    const InstanceKey key{row.project, row.name};
    const spec::ReplugBody body = TRY(planReplug(key, before, after));
    const std::vector<NicPlan> old = TRY(planNics(TRY(config::parseEffective(before)))), now = TRY(planNics(TRY(config::parseEffective(after))));
    const auto releaseOthers = [this](const std::vector<NicPlan> &nics, const std::vector<NicPlan> &kept) -> Status {
        for (const NicPlan &nic : nics) {
            const auto same = [&](const NicPlan &other) { return other.network == nic.network && other.card.mac == nic.card.mac; };
            if (!nic.network.empty() && !nic.card.mac.empty() && std::ranges::none_of(kept, same))
                TRY(m_s.networks.release(nic.network, nic.card.mac));
        }
        return {};
    };
    const std::vector<spec::Proxy> running = TRY(spec::readLaunchSpec(m_s.paths.instanceRunDir(row.project, row.name))).proxies;
    Undo undo;
    undo.add("release addresses", [&] { return releaseOthers(now, old); });
    undo.add("reserve addresses", [&] { return reserveNics(row, notAmong(old, now)); });
    TRY(reserveNics(row, notAmong(now, old)));
    undo.add("filters", [&] { return filterNics(key, old); });
    TRY(filterNics(key, withOldPorts(now, old)));
    if (!body.empty()) {
        spec::MonitorClient monitor = TRY(spec::MonitorClient::connect(spec::monitorSocket(m_s.paths.instanceRunDir(row.project, row.name))));
        TRY(monitor.replug(body));
        undo.add("devices", [this, &row, &body]() -> Status {
            spec::MonitorClient again = TRY(spec::MonitorClient::connect(spec::monitorSocket(m_s.paths.instanceRunDir(row.project, row.name))));
            return again.replug(body.reversed());
        });
    }
    if (body.hasProxies()) {
        undo.add("rules of proxies", [&] { return putNat(key, running, old); });
        TRY(putNat(key, changedProxies(running, body), now));
    }
    TRY(filterNics(key, now));
    undo.keep();
    return releaseOthers(old, now);
}

} // namespace lxmgr::instances

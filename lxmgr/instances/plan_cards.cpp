#include "instances/plan_cards.h"

#include "base/text.h"
#include "kernel/sysfs.h"

#include <algorithm>
#include <linux/if_link.h>
#include <set>
#include <sys/socket.h>

namespace lxmgr::instances
{

namespace
{

bool isCard(const config::Device &device) { return device.as<config::NicDevice>() || device.as<config::InfinibandDevice>(); }

/// Name inside that is settled: as the device says, or as it got when it was plugged in.
std::string settledName(const config::Effective &effective, const config::Device &device)
{
    const auto *nic = device.as<config::NicDevice>();
    const auto &name = nic ? nic->name : device.as<config::InfinibandDevice>()->name;
    return name ? name->text : valueOf(effective.config.volatileKeys, device.name + ".name");
}

std::set<std::string> settledNames(const config::Effective &effective)
{
    std::set<std::string> names;
    for (const config::Device &device : effective.devices)
        if (isCard(device))
            names.insert(settledName(effective, device));
    return names;
}

std::uint32_t macvlanMode(config::MacvlanMode mode)
{
    switch (mode) {
    case config::MacvlanMode::Vepa:
        return MACVLAN_MODE_VEPA;
    case config::MacvlanMode::Private:
        return MACVLAN_MODE_PRIVATE;
    case config::MacvlanMode::Passthru:
        return MACVLAN_MODE_PASSTHRU;
    case config::MacvlanMode::Bridge:
        break;
    }
    return MACVLAN_MODE_BRIDGE;
}

/// The interface of the host that it is on, or is.
std::string parentOf(const config::NicDevice &nic)
{
    if (!nic.parent)
        return {};
    return nic.vlan && nic.kind() != config::NicKind::Bridged ? network::Vlan{nic.parent->text, nic.vlan->id}.name() : nic.parent->text;
}

/// All but its names and its MAC address.
spec::Nic planCard(const config::NicDevice &nic)
{
    spec::Nic card;
    card.mtu = nic.mtu.value_or(0);
    card.queueLength = nic.queueLength.value_or(0);
    const auto append = [](std::vector<std::string> &to, const auto &list) {
        if (list)
            to.insert(to.end(), list->items.begin(), list->items.end());
    };
    append(card.routes, nic.ipv4Routes);
    append(card.routes, nic.ipv6Routes);
    const auto most = [](const auto &both, const auto &one) { return both ? both->bits : one ? one->bits : 0; };
    card.ingress = most(nic.limitsMax, nic.limitsIngress);
    card.egress = most(nic.limitsMax, nic.limitsEgress);
    card.isolated = nic.portIsolation.value_or(false);
    if (nic.kind() == config::NicKind::Bridged) {
        card.bridge = nic.network ? nic.network->text : nic.parent ? nic.parent->text : std::string();
        if (nic.vlan)
            card.vlan = nic.vlan->id == 0 ? spec::Nic::kNoVlan : nic.vlan->id;
        if (nic.taggedVlans)
            card.vlans = nic.taggedVlans->ids;
        return card;
    }
    card.parent = parentOf(nic);
    if (nic.vlan) {
        card.vlan = nic.vlan->id;
        card.vlanOf = nic.parent->text;
    }
    if (nic.kind() == config::NicKind::Physical || nic.isVirtual())
        card.kind = spec::Nic::Kind::Physical;
    if (nic.kind() == config::NicKind::Macvlan) {
        card.kind = spec::Nic::Kind::Macvlan;
        card.mode = macvlanMode(nic.mode.value_or(config::MacvlanMode::Bridge));
    }
    if (nic.kind() == config::NicKind::Routed) {
        append(card.hostAddresses, nic.ipv4HostAddress);
        append(card.hostAddresses, nic.ipv6HostAddress);
        card.hostTable4 = nic.ipv4HostTable.value_or(0);
        card.hostTable6 = nic.ipv6HostTable.value_or(0);
        append(card.addresses, nic.ipv4Address);
        append(card.addresses, nic.ipv6Address);
        if (nic.ipv4Address && nic.ipv4Gateway != config::Gateway::None)
            card.gateways.push_back(AF_INET);
        if (nic.ipv6Address && nic.ipv6Gateway != config::Gateway::None)
            card.gateways.push_back(AF_INET6);
    }
    return card;
}

/// eth0, eth1, … for those that have no name, in the order of their devices.
class GuestNames
{
public:
    GuestNames(const config::Effective &effective, std::string prefix)
        : m_effective(effective), m_settled(settledNames(effective)), m_prefix(std::move(prefix)) {}

    std::string next(const config::Device &device)
    {
        std::string name = settledName(m_effective, device);
        const bool free = name.empty();
        while (free && m_settled.contains(m_prefix + std::to_string(m_next)))
            ++m_next;
        if (free)
            name = m_prefix + std::to_string(m_next);
        ++m_next;
        return name;
    }

private:
    const config::Effective &m_effective;
    std::set<std::string> m_settled;
    std::string m_prefix;
    unsigned m_next = 0;
};

spec::Nic planPort(const config::Device &device, const config::InfinibandDevice &port, const StringMap &volatileKeys)
{
    spec::Nic card;
    card.device = device.name;
    card.kind = spec::Nic::Kind::Physical;
    card.parent = lentInterface(device, volatileKeys);
    card.mtu = port.mtu.value_or(0);
    card.mac = port.hwaddr ? port.hwaddr->text : std::string();
    return card;
}

} // namespace

std::string lentInterface(const config::Device &device, const StringMap &volatileKeys)
{
    if (const auto *nic = device.as<config::NicDevice>()) {
        if (nic->isVirtual())
            return valueOf(volatileKeys, device.name + ".host_name");
        return nic->kind() == config::NicKind::Physical ? parentOf(*nic) : std::string();
    }
    const auto *port = device.as<config::InfinibandDevice>();
    if (!port || !port->parent)
        return {};
    return port->isVirtual() ? valueOf(volatileKeys, device.name + ".host_name") : port->parent->text;
}

std::optional<network::Vlan> vlanOf(const spec::Nic &card)
{
    return card.vlanOf.empty() ? std::nullopt : std::optional(network::Vlan{card.vlanOf, card.vlan});
}

const std::string *parentOfFunction(const config::Device &device)
{
    const auto *nic = device.as<config::NicDevice>();
    const auto *port = device.as<config::InfinibandDevice>();
    if (nic && nic->isVirtual())
        return &nic->parent->text;
    return port && port->isVirtual() ? &port->parent->text : nullptr;
}

Result<std::vector<std::string>> virtualFunctions(const config::Device &device, const Paths &paths)
{
    const std::string &parent = *parentOfFunction(device);
    return device.as<config::NicDevice>() ? sysfs::virtualCards(paths.sysfs, parent) : sysfs::virtualInfinibandPorts(paths.sysfs, parent);
}

Result<std::vector<NicPlan>> planNics(const config::Effective &effective)
{
    std::vector<NicPlan> nics;
    GuestNames ethernet(effective, "eth"), infiniband(effective, "ib");
    const bool hasNat = std::ranges::any_of(effective.devices, [](const config::Device &device) {
        const auto *proxy = device.as<config::ProxyDevice>();
        return proxy && proxy->nat.value_or(false);
    });
    for (const config::Device &device : effective.devices) {
        if (const auto *port = device.as<config::InfinibandDevice>()) {
            spec::Nic card = planPort(device, *port, effective.config.volatileKeys);
            card.guestName = infiniband.next(device);
            nics.push_back({std::move(card), {}, {}, {}, {}});
        }
        const auto *nic = device.as<config::NicDevice>();
        if (!nic)
            continue;
        NicPlan plan;
        spec::Nic &card = plan.card;
        card = planCard(*nic);
        card.device = device.name;
        if (nic->isVirtual())
            card.parent = lentInterface(device, effective.config.volatileKeys);
        plan.network = nic->network ? nic->network->text : std::string();
        if (nic->kind() == config::NicKind::Bridged && card.bridge.empty())
            return Error(Code::Invalid, "device " + quoted(device.name) + ": a nic needs network or parent");
        card.guestName = ethernet.next(device);
        if (nic->hwaddr || nic->hasOwnMac())
            card.mac = nic->hwaddr ? nic->hwaddr->text : valueOf(effective.config.volatileKeys, device.name + ".hwaddr");
        if (nic->hasHostEnd())
            card.hostName = nic->hostName ? nic->hostName->text : valueOf(effective.config.volatileKeys, device.name + ".host_name");
        if (nic->kind() == config::NicKind::Bridged) {
            card.hairpin = hasNat;
            plan.ipv4 = nic->ipv4Address ? nic->ipv4Address->items.front() : std::string();
            plan.ipv6 = nic->ipv6Address ? nic->ipv6Address->items.front() : std::string();
            plan.filter.ipv4 = nic->ipv4Filtering.value_or(false) ? plan.ipv4 : "";
            plan.filter.ipv6 = nic->ipv6Filtering.value_or(false) ? plan.ipv6 : "";
            plan.filter.checksMac = nic->macFiltering.value_or(false);
        }
        if (nic->hasHostEnd()) {
            plan.filter.port = card.hostName;
            plan.filter.bridge = card.bridge;
            plan.filter.mac = card.mac;
            if (nic->acls)
                plan.filter.acls = nic->acls->items;
            plan.filter.egress = {nic->aclEgressAction.value_or(config::AclAction::Reject), nic->aclEgressLogged.value_or(false)};
            plan.filter.ingress = {nic->aclIngressAction.value_or(config::AclAction::Reject), nic->aclIngressLogged.value_or(false)};
            plan.filter.priority = nic->limitsPriority.value_or(effective.config.networkPriority.value_or(0));
        }
        nics.push_back(std::move(plan));
    }
    return nics;
}

} // namespace lxmgr::instances

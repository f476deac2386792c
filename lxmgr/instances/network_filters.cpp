// What the cards of instances let through: in force from before a card is there until its instance ends.
#include "instances/networks.h"

#include "base/text.h"
#include "network/config.h"

#include <algorithm>

namespace lxmgr::instances
{

Status Networks::checkFilters(const config::Device &device, const std::vector<config::Device> &before) const
{
    const auto *nic = device.as<config::NicDevice>();
    const auto same = [&](const config::Device &old) {
        const auto *was = old.as<config::NicDevice>();
        return was && was->kind() == nic->kind() && was->network == nic->network && was->parent == nic->parent && was->acls == nic->acls &&
               was->vlan == nic->vlan && was->taggedVlans == nic->taggedVlans;
    };
    if (!nic || std::ranges::any_of(before, same))
        return {};
    if (nic->vlan && nic->kind() != config::NicKind::Bridged)
        TRY(network::checkVlanSupport());
    else if (nic->vlan || nic->taggedVlans)
        TRY(network::checkVlans(nic->network ? nic->network->text : nic->parent ? nic->parent->text : "", nic->network.has_value()));
    if (!nic->acls)
        return {};
    for (const std::string &name : nic->acls->items)
        TRY(aclOf(store::kDefaultProject, name));
    return nic->kind() == config::NicKind::Bridged ? network::filters::checkBridgeLists() : Status();
}

void Networks::adoptFilters(const std::string &owner)
{
    const std::lock_guard lock(m_filtersMutex);
    if (network::filters::present(owner, {}))
        m_filters.emplace(owner, std::vector<network::PortFilter>());
}

Result<network::PortFilter> Networks::withLists(network::PortFilter filter)
{
    filter.lists.clear();
    filter.servers.clear();
    if (filter.acls.empty())
        return filter;
    for (const std::string &name : filter.acls)
        filter.lists.push_back(TRY_IN("card " + quoted(filter.port), aclOf(store::kDefaultProject, name)));
    if (const auto row = store::findNetwork(m_db, store::kDefaultProject, filter.bridge)) {
        const network::BridgeConfig config = TRY(network::parseConfig(row->config));
        for (const network::FamilyConfig *family : {&config.ipv4, &config.ipv6})
            if (family->address)
                filter.servers.push_back(family->address->text());
    }
    return filter;
}

Status Networks::putFilters(const std::string &owner, std::vector<network::PortFilter> filters)
{
    for (network::PortFilter &filter : filters)
        filter = TRY(withLists(std::move(filter)));
    const auto now = m_filters.find(owner);
    if (now != m_filters.end() && now->second == filters && network::filters::present(owner, filters))
        return {};
    TRY(network::filters::apply(owner, filters));
    m_filters[owner] = std::move(filters);
    return {};
}

Status Networks::renewFilters(const std::function<bool(const network::PortFilter &)> &which)
{
    const std::lock_guard lock(m_filtersMutex);
    for (const auto &[owner, filters] : m_filters)
        if (std::ranges::any_of(filters, which))
            TRY_IN("instance " + quoted(owner), putFilters(owner, filters));
    return {};
}

Status Networks::setFilters(const std::string &owner, const std::vector<network::PortFilter> &filters)
{
    const std::lock_guard lock(m_filtersMutex);
    if (!filters.empty()) {
        TRY_IN("filters", putFilters(owner, filters));
        return {};
    }
    if (!m_filters.contains(owner))
        return {};
    TRY_IN("filters", network::filters::remove(owner));
    m_filters.erase(owner);
    return {};
}

} // namespace lxmgr::instances

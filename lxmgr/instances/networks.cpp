#include "instances/networks.h"

#include "base/text.h"
#include "network/interfaces.h"

namespace lxmgr::instances
{

Status Networks::ensureDefault()
{
    const std::lock_guard lock(m_mutex);
    if (const auto row = store::findNetwork(m_db, store::kDefaultProject, kDefaultNetwork))
        return {};
    store::Network row;
    row.name = kDefaultNetwork;
    row.description = "Made on first use";
    row.config = TRY_IN("network " + quoted(row.name), network::withDefaults({}));
    TRY(store::insertNetwork(m_db, row));
    return {};
}

Result<network::Network> Networks::find(const std::string &name)
{
    const auto row = store::findNetwork(m_db, store::kDefaultProject, name);
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Network not found: " + quoted(name));
    if (!row)
        return row.error();
    return network::Network{row->name, row->config, m_paths.stateDir + "/networks/" + row->name};
}

Result<network::Network> Networks::ensureUp(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    network::Network network = TRY(find(name));
    TRY_IN("network " + quoted(name), network::ensureUp(network));
    return network;
}

Status Networks::create(const store::Network &wanted)
{
    const std::lock_guard lock(m_mutex);
    TRY(network::checkName(wanted.name));
    TRY(network::validate(wanted.config));
    if (store::findNetwork(m_db, store::kDefaultProject, wanted.name) || network::hostInterface(wanted.name))
        return Error(Code::AlreadyExists, "Network interface " + quoted(wanted.name) + " already exists");
    store::Network row = wanted;
    row.config = TRY(network::withDefaults(wanted.config));
    TRY(store::insertNetwork(m_db, row));
    if (Status up = network::ensureUp(TRY(find(row.name))); !up) {
        TRY(network::tearDown(TRY(find(row.name))));
        TRY(store::deleteNetwork(m_db, TRY(store::findNetwork(m_db, store::kDefaultProject, row.name)).id));
        return std::move(up.error()).in("network " + quoted(row.name));
    }
    return {};
}

Status Networks::change(const std::string &name, const std::string &description, const network::Config &config)
{
    const std::lock_guard lock(m_mutex);
    TRY(find(name));
    TRY(network::validate(config));
    store::Network row = TRY(store::findNetwork(m_db, store::kDefaultProject, name));
    const store::Network before = row;
    row.description = description;
    row.config = TRY(network::withDefaults(config));
    TRY(store::updateNetwork(m_db, row));
    if (Status up = network::ensureUp(TRY(find(name))); !up) {
        TRY(store::updateNetwork(m_db, before));
        return std::move(up.error()).in("network " + quoted(name));
    }
    return {};
}

Status Networks::remove(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    TRY(network::tearDown(TRY(find(name))));
    return store::deleteNetwork(m_db, TRY(store::findNetwork(m_db, store::kDefaultProject, name)).id);
}

Status Networks::reserve(const std::string &name, const network::Reservation &reservation)
{
    const std::lock_guard lock(m_mutex);
    const network::Network network = TRY(find(name));
    TRY_IN("network " + quoted(name), network::reserve(network, reservation));
    return {};
}

Status Networks::release(const std::string &name, const std::string &mac)
{
    const std::lock_guard lock(m_mutex);
    const auto network = find(name);
    if (!network)
        return {};
    return network::release(*network, mac);
}

} // namespace lxmgr::instances

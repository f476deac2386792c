#include "instances/networks.h"

#include "base/log.h"
#include "base/text.h"
#include "config/network_document.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "network/interfaces.h"

#include <cerrno>

namespace lxmgr::instances
{

Status Networks::ensureDefault()
{
    const std::lock_guard lock(m_mutex);
    if (const auto row = store::findNetwork(m_db, store::kDefaultProject, kDefaultNetwork))
        return files::read(folderOf(row->name) + "/" + config::kNetworkFile) ? Status() : writeDocument(*row);
    auto lost = lostRow(kDefaultNetwork);
    if (!lost && lost.error().errnum != ENOENT)
        log::warning("network '" + kDefaultNetwork + "' gets new addresses: " + lost.error().message + ", ignoring");
    store::Network row;
    if (lost) {
        row = std::move(*lost);
    } else {
        row.name = kDefaultNetwork;
        row.description = "Made on first use";
        row.config = TRY_IN("network " + quoted(row.name), network::withDefaults({}));
    }
    TRY(store::insertNetwork(m_db, row));
    return writeDocument(row);
}

/// As its document says. ENOENT where there is none.
Result<store::Network> Networks::lostRow(const std::string &name) const
{
    const std::string file = folderOf(name) + "/" + config::kNetworkFile;
    const config::NetworkDocument document = TRY(config::readNetworkDocument(TRY(files::read(file)), file));
    if (document.name != name)
        return Error(Code::Corrupt, file + " is that of " + quoted(document.name));
    TRY_IN(file, network::checkName(document.name));
    TRY_IN(file, network::validate(document.config));
    store::Network row;
    row.name = document.name;
    row.description = document.description;
    row.config = document.config;
    return row;
}

Status Networks::writeDocument(const store::Network &row) const
{
    const Fd state = TRY(path::openFolder(m_paths.stateDir));
    const Fd folder = TRY(path::makeFolders(state, "networks/" + row.name, 0711, path::Scope::Beneath));
    // mkdir(2) obeyed the umask; the user of dnsmasq has to walk through both.
    for (const std::string &name : {std::string("networks"), "networks/" + row.name})
        TRY(sys::fchmodat(state, name, 0711));
    return files::replace(folder, config::kNetworkFile,
                          config::writeNetworkDocument({row.name, row.description, row.config}));
}

Status Networks::recoverLost(Apply apply, std::vector<Found> &found)
{
    const std::lock_guard lock(m_mutex);
    const auto folder = path::openFolder(m_paths.stateDir + "/networks");
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    for (const std::string &name : TRY(path::list(*folder))) {
        if (store::findNetwork(m_db, store::kDefaultProject, name))
            continue;
        const auto row = lostRow(name);
        if (!row && row.error().errnum == ENOENT)
            continue; // only leases are left of it
        Status done = row ? Status() : Status(row.error());
        if (done && apply == Apply::Yes)
            if (const auto inserted = store::insertNetwork(m_db, *row); !inserted)
                done = inserted.error();
        found.push_back(outcome({"network", "", name, "", {}, {}}, done, apply));
    }
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
    return writeDocument(row);
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
    return writeDocument(row);
}

Status Networks::remove(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    TRY(network::tearDown(TRY(find(name))));
    if (const auto folder = path::openFolder(folderOf(name)))
        if (Status gone = sys::unlinkat(*folder, config::kNetworkFile); !gone && gone.error().errnum != ENOENT)
            return gone;
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

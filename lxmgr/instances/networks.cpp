#include "instances/networks.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "config/network_document.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "network/interfaces.h"
#include "store/instances.h"
#include "store/profiles.h"

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
    return networkOf(*row);
}

Status Networks::bringUp(const network::Network &network)
{
    Status up = network::ensureUp(network);
    const std::lock_guard lock(m_brokenMutex);
    if (up)
        m_broken.erase(network.name);
    else
        m_broken.insert(network.name);
    return up ? Status() : std::move(up.error()).in("network " + quoted(network.name));
}

bool Networks::isBroken(const std::string &name) const
{
    const std::lock_guard lock(m_brokenMutex);
    return m_broken.contains(name);
}

Result<network::Network> Networks::ensureUp(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    network::Network network = TRY(find(name));
    TRY(bringUp(network));
    return network;
}

void Networks::recover()
{
    const std::lock_guard lock(m_mutex);
    if (const Status swept = sweepFolders(); !swept)
        log::error("networks: " + swept.error().message + ", ignoring");
    const auto rows = store::listNetworks(m_db, store::kDefaultProject);
    if (!rows) {
        log::error("networks: " + rows.error().message + ", ignoring");
        return;
    }
    for (const store::Network &row : *rows) {
        // One that no guest was ever on, the default one, waits for the first.
        if (row.name == kDefaultNetwork && !path::openFolder(folderOf(row.name) + "/hosts"))
            continue;
        Status up = bringUp(networkOf(row));
        if (up && !files::read(folderOf(row.name) + "/" + config::kNetworkFile))
            up = writeDocument(row);
        if (!up)
            log::error(up.error().message + ", ignoring");
    }
}

/// Folders that neither a row nor a document of a lost one stands for.
Status Networks::sweepFolders()
{
    const auto folder = path::openFolder(m_paths.stateDir + "/networks");
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    for (const std::string &name : TRY(path::list(*folder))) {
        const auto row = store::findNetwork(m_db, store::kDefaultProject, name);
        if (row || row.error().code != Code::NotFound || files::read(folderOf(name) + "/" + config::kNetworkFile) ||
            !network::checkName(name))
            continue;
        TRY(network::tearDown({name, {}, folderOf(name)}));
        TRY(removeFolder(name));
    }
    return {};
}

Status Networks::removeDocument(const std::string &name) const
{
    const auto folder = path::openFolder(folderOf(name));
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    Status gone = sys::unlinkat(*folder, config::kNetworkFile);
    return !gone && gone.error().errnum == ENOENT ? Status() : std::move(gone);
}

Status Networks::removeFolder(const std::string &name) const
{
    const auto folder = path::openFolder(m_paths.stateDir + "/networks");
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    return path::removeTree(*folder, name);
}

Status Networks::checkUnknown(const std::string &name)
{
    TRY(network::checkName(name));
    if (store::findNetwork(m_db, store::kDefaultProject, name) || network::hostInterface(name))
        return Error(Code::AlreadyExists, "Network interface " + quoted(name) + " already exists").hint("choose another name");
    return {};
}

namespace
{

/// The addresses that nics of `devices` were given on the network lie in its subnets.
Status checkAddressesOf(const network::Network &network, const std::string &owner, const DeviceMap &devices)
{
    const auto valueOf = [](const StringMap &keys, const std::string &key) {
        const auto found = keys.find(key);
        return found == keys.end() ? std::string() : found->second;
    };
    for (const auto &[device, keys] : devices)
        if (valueOf(keys, "network") == network.name)
            TRY_IN("device " + quoted(device) + " of " + owner,
                   network::checkReservation(network, {"", "", valueOf(keys, "ipv4.address"), valueOf(keys, "ipv6.address")}));
    return {};
}

} // namespace

Status Networks::checkFixedAddresses(const network::Network &network) const
{
    for (const store::Instance &row : TRY(store::listInstances(m_db, "")))
        TRY(checkAddressesOf(network, "instance " + quoted(row.name), row.devices));
    for (const store::Profile &row : TRY(store::listProfiles(m_db, "")))
        TRY(checkAddressesOf(network, "profile " + quoted(row.name), row.devices));
    return {};
}

Status Networks::create(const store::Network &wanted)
{
    const std::lock_guard lock(m_mutex);
    TRY(checkUnknown(wanted.name));
    TRY(network::validate(wanted.config));
    store::Network row = wanted;
    row.config = TRY(network::withDefaults(wanted.config));
    TRY(network::checkHost(networkOf(row)));
    row.id = TRY(store::insertNetwork(m_db, row));
    Undo undo;
    undo.add("forget network", [&] { return store::deleteNetwork(m_db, row.id); });
    TRY(failpoint("network.record"));
    undo.add("remove folder", [&] { return removeFolder(row.name); });
    undo.add("take network down", [&] { return network::tearDown(networkOf(row)); });
    TRY(bringUp(networkOf(row)));
    TRY(failpoint("network.up"));
    TRY(writeDocument(row));
    TRY(failpoint("network.document"));
    undo.keep();
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
    row.config = TRY(network::withAddresses(config));
    TRY(network::checkHost(networkOf(row), before.config));
    TRY(checkFixedAddresses(networkOf(row)));
    TRY(store::updateNetwork(m_db, row));
    Undo undo;
    undo.add("bring the network back as it was", [&]() -> Status {
        TRY(store::updateNetwork(m_db, before));
        TRY(network::releaseInterfaces(networkOf(before), row.config));
        TRY(bringUp(networkOf(before)));
        return writeDocument(before);
    });
    TRY(failpoint("network-update.record"));
    TRY(network::releaseInterfaces(networkOf(row), before.config));
    TRY(bringUp(networkOf(row)));
    TRY(failpoint("network-update.up"));
    TRY(writeDocument(row));
    undo.keep();
    return {};
}

Status Networks::rename(const std::string &name, const std::string &newName)
{
    const std::lock_guard lock(m_mutex);
    TRY(find(name));
    TRY(checkUnknown(newName));
    const store::Network before = TRY(store::findNetwork(m_db, store::kDefaultProject, name));
    store::Network row = before;
    row.name = newName;
    Undo undo;
    undo.add("bring the network back", [&]() -> Status {
        TRY(bringUp(networkOf(before)));
        return writeDocument(before);
    });
    // First, so that nobody takes what is left of the old name for a network whose row was lost.
    TRY(removeDocument(name));
    TRY(network::tearDown(networkOf(before)));
    TRY(failpoint("network-rename.down"));
    TRY(store::renameNetwork(m_db, row.id, newName));
    undo.add("rename back", [&] { return store::renameNetwork(m_db, row.id, name); });
    TRY(failpoint("network-rename.record"));
    undo.add("remove folder", [&] { return removeFolder(newName); });
    undo.add("take network down", [&] { return network::tearDown(networkOf(row)); });
    TRY(bringUp(networkOf(row)));
    TRY(writeDocument(row));
    undo.keep();
    TRY(removeFolder(name));
    return failpoint("network-rename.done");
}

Status Networks::remove(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    const network::Network network = TRY(find(name));
    const store::Network row = TRY(store::findNetwork(m_db, store::kDefaultProject, name));
    Undo undo;
    undo.add("bring the network back", [&]() -> Status {
        TRY(bringUp(network));
        return writeDocument(row);
    });
    TRY(removeDocument(name));
    TRY(network::tearDown(network));
    TRY(failpoint("network-delete.down"));
    TRY(store::deleteNetwork(m_db, row.id));
    undo.keep();
    TRY(failpoint("network-delete.record"));
    TRY(removeFolder(name));
    const std::lock_guard broken(m_brokenMutex);
    m_broken.erase(name);
    return {};
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

#include "instances/networks.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "config/network_document.h"
#include "instances/project_limits.h"
#include "instances/proxies.h"
#include "instances/warnings.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "network/config.h"
#include "network/interfaces.h"
#include "network/rules.h"
#include "store/instances.h"
#include "store/profiles.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

namespace lxmgr::instances
{

Status Networks::checkForward(const store::Network &row, const network::Forward &forward)
{
    const network::BridgeConfig config = TRY(network::parseConfig(row.config));
    return network::checkForward(config, forward);
}

Status Networks::replaceIfOther(const Fd &folder, const std::string &name, const std::string &text)
{
    const auto present = files::read(folder, name);
    return present && *present == text ? Status() : files::replace(folder, name, text);
}

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
    if (lost) {
        TRY(insertLost(row));
        return {};
    }
    row.id = TRY(store::insertNetwork(m_db, row));
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

/// Of a network that came back from its document.
Status Networks::insertLost(store::Network &row)
{
    const std::string file = folderOf(row.name) + "/" + config::kNetworkFile;
    const config::NetworkDocument document = TRY(config::readNetworkDocument(TRY(files::read(file)), file));
    return m_db.transaction([&]() -> Status {
        row.id = TRY(store::insertNetwork(m_db, row));
        for (const config::ForwardDocument &forward : document.forwards) {
            TRY_IN(file, checkForward(row, {forward.listenAddress, forward.config, forward.ports}));
            TRY(store::insertForward(m_db, {0, row.id, forward.listenAddress, forward.description, forward.config, forward.ports}));
        }
        return {};
    });
}

Status Networks::writeDocument(const store::Network &row) const
{
    const Fd state = TRY(path::openFolder(m_paths.stateDir));
    const Fd folder = TRY(path::makeFolders(state, "networks/" + row.name, 0711, path::Scope::Beneath));
    // mkdir(2) obeyed the umask; the user of dnsmasq has to walk through both.
    for (const std::string &name : {std::string("networks"), "networks/" + row.name})
        TRY(sys::fchmodat(state, name, 0711));
    config::NetworkDocument document{row.name, row.description, row.config};
    for (store::NetworkForward &forward : TRY(store::listForwards(m_db, row.id)))
        document.forwards.push_back({forward.listenAddress, forward.description, std::move(forward.config), std::move(forward.ports)});
    return replaceIfOther(folder, config::kNetworkFile, config::writeNetworkDocument(document));
}

Status Networks::recoverLost(Apply apply, std::vector<Found> &found)
{
    const std::lock_guard lock(m_mutex);
    TRY(recoverLostAcls(apply, found)); // before the networks that use them
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
        if (done && apply == Apply::Yes) {
            store::Network back = *row;
            done = insertLost(back);
        }
        found.push_back(outcome({"network", "", name, "", {}, {}}, done, apply));
    }
    return {};
}

Result<network::Network> Networks::networkOf(const store::Network &row) const
{
    network::Network network{row.name, row.config, folderOf(row.name)};
    if (row.id != 0)
        for (store::NetworkForward &forward : TRY(store::listForwards(m_db, row.id)))
            network.forwards.push_back({forward.listenAddress, std::move(forward.config), std::move(forward.ports)});
    for (const std::string &name : TRY(network::parseConfig(row.config)).acls)
        network.acls.push_back(TRY(aclOf(row.project, name)));
    return network;
}

Result<network::Acl> Networks::aclOf(const std::string &project, const std::string &name) const
{
    auto acl = TRY_IN("security.acls", store::findAcl(m_db, project, name));
    return network::Acl{std::move(acl.name), std::move(acl.ingress), std::move(acl.egress)};
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
    const bool wasBroken = isBroken(name);
    TRY(bringUp(network));
    if (wasBroken)
        resolve(m_db, WarningType::NetworkUnavailable, about(TRY(store::findNetwork(m_db, store::kDefaultProject, name))));
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
        const auto network = networkOf(row);
        Status up = network ? bringUp(*network) : Status(network.error());
        if (up)
            up = writeDocument(row); // a crash may have come before it was
        if (up)
            resolve(m_db, WarningType::NetworkUnavailable, about(row));
        else
            warn(m_db, WarningType::NetworkUnavailable, about(row), up.error().message);
    }
    const auto acls = store::listAcls(m_db, store::kDefaultProject);
    for (const store::NetworkAcl &acl : acls ? *acls : std::vector<store::NetworkAcl>())
        if (const Status written = writeAclDocument(acl); !written)
            log::error("network ACL '" + acl.name + "': " + written.error().message + ", ignoring");
}

Status Networks::watchRules()
{
    m_watch = TRY(network::foreign::Watch::create([this] { reassertRules(); }));
    return {};
}

void Networks::reassertRules()
{
    {
        const std::lock_guard filters(m_filtersMutex);
        for (const auto &[owner, wanted] : m_filters)
            if (!network::filters::present(owner, wanted))
                if (const Status made = network::filters::apply(owner, wanted); !made)
                    log::warning("instance '" + owner + "': filters: " + made.error().message + ", ignoring");
    }
    const std::lock_guard lock(m_mutex);
    const auto rows = store::listNetworks(m_db, store::kDefaultProject);
    for (const store::Network &row : rows ? *rows : std::vector<store::Network>()) {
        const auto network = networkOf(row);
        const Status made = network ? network::ensureRules(*network) : Status(network.error());
        follow(m_db, WarningType::NetworkRules, about(row), made, "network " + quoted(row.name) + ": rules");
    }
    for (const auto &[owner, owned] : m_proxies)
        if (const Status made = owned.rules.empty() ? Status() : network::ensureProxies(owner, owned.rules); !made)
            log::warning("proxies of '" + owner + "': rules: " + made.error().message + ", ignoring");
}

Status Networks::checkProxies(const std::vector<spec::Proxy> &proxies)
{
    if (proxies.empty())
        return {};
    for (const store::Network &row : TRY(store::listNetworks(m_db, store::kDefaultProject)))
        for (const store::NetworkForward &forward : TRY(store::listForwards(m_db, row.id)))
            TRY(checkForwardsFree(proxies, {forward.listenAddress, forward.config, forward.ports}, row.name));
    return {};
}

Status Networks::putProxies(const std::string &owner, const std::vector<spec::Proxy> &proxies, const std::vector<std::string> &networks)
{
    const std::lock_guard lock(m_mutex);
    const auto old = m_proxies.find(owner);
    const bool hadRules = old != m_proxies.end() && !old->second.rules.empty();
    if (proxies.empty() && old == m_proxies.end())
        return {};
    OwnedProxies wanted{proxies, networks, {}};
    if (const std::vector<network::Forward> forwards = natForwards(proxies); !forwards.empty()) {
        std::vector<network::Network> neighbours;
        for (const std::string &name : networks)
            neighbours.push_back(TRY(find(name)));
        wanted.rules = TRY(network::proxyRules(owner, forwards, neighbours));
        TRY(network::ensureProxies(owner, wanted.rules));
    } else if (hadRules) {
        TRY(network::removeProxies(owner));
    }
    if (proxies.empty())
        m_proxies.erase(old);
    else
        m_proxies[owner] = std::move(wanted);
    return {};
}

Result<std::vector<network::Problem>> Networks::proxyProblems(const std::string &name)
{
    const network::Network network = TRY(find(name));
    const std::lock_guard lock(m_mutex);
    std::vector<network::Problem> problems;
    for (const auto &[owner, owned] : m_proxies)
        if (std::ranges::find(owned.networks, name) != owned.networks.end())
            std::ranges::move(instances::proxyProblems(owned.proxies, owner, network.forwards, name), std::back_inserter(problems));
    return problems;
}

Status Networks::sweepProxies(const std::set<std::string> &owners)
{
    const std::lock_guard lock(m_mutex);
    return network::sweepProxies(owners);
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

/// A card's managed network and the addresses it has there; empty where it has none.
struct FixedAddresses {
    std::string network, ipv4, ipv6;
    bool asked4 = false, asked6 = false; ///< By DHCP: where the filter keeps the guest to its address, it may have set that itself.
    bool operator==(const FixedAddresses &) const = default;
};

FixedAddresses fixedAddresses(const config::Device &device)
{
    const auto *nic = device.as<config::NicDevice>();
    if (!nic || !nic->network)
        return {};
    const auto first = [](const auto &list) { return list ? list->items.front() : std::string(); };
    return {nic->network->text, first(nic->ipv4Address), first(nic->ipv6Address), nic->ipv4Address && !nic->ipv4Filtering.value_or(false),
            nic->ipv6Address && !nic->ipv6Filtering.value_or(false)};
}

Status checkAssigned(const network::Network &network, const FixedAddresses &own)
{
    TRY(network::checkReservation(network, {"", "", own.ipv4, own.ipv6}));
    if (own.asked4)
        TRY_IN("ipv4.address", network::checkGives(network, AF_INET));
    if (own.asked6)
        TRY_IN("ipv6.address", network::checkGives(network, AF_INET6));
    return {};
}

/// The addresses that nics of `devices` were given on the network are its to give.
Status checkAddressesOf(const network::Network &network, const std::string &owner, const DeviceMap &devices)
{
    const auto valueOf = [](const StringMap &keys, const std::string &key) {
        const auto found = keys.find(key);
        return found == keys.end() ? std::string() : found->second;
    };
    for (const auto &[name, keys] : devices) {
        if (valueOf(keys, "network") != network.name)
            continue;
        const config::Device device = TRY(config::parseDevice(name, keys));
        TRY_IN("device " + quoted(name) + " of " + owner, checkAssigned(network, fixedAddresses(device)));
    }
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
    TRY(network::checkHost(TRY(networkOf(row))));
    TRY(withinLimits(m_db, {row.project}, [&]() -> Status {
        row.id = TRY(store::insertNetwork(m_db, row));
        return {};
    }));
    Undo undo;
    undo.add("forget network", [&] { return store::deleteNetwork(m_db, row.id); });
    TRY(failpoint("network.record"));
    undo.add("remove folder", [&] { return removeFolder(row.name); });
    undo.add("take network down", [&]() -> Status { return network::tearDown(TRY(networkOf(row))); });
    TRY(bringUp(TRY(networkOf(row))));
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
    TRY(network::checkHost(TRY(networkOf(row)), before.config));
    const network::Network wanted = TRY(networkOf(row));
    TRY(checkFixedAddresses(wanted));
    for (const network::Forward &forward : wanted.forwards)
        TRY_IN("forward " + quoted(forward.listenAddress), checkForward(row, forward));
    const auto ofBridge = [&](const network::PortFilter &filter) { return filter.bridge == name; };
    TRY(store::updateNetwork(m_db, row));
    Undo undo;
    undo.add("bring the network back as it was", [&]() -> Status {
        TRY(store::updateNetwork(m_db, before));
        TRY(network::releaseInterfaces(TRY(networkOf(before)), row.config));
        TRY(bringUp(TRY(networkOf(before))));
        TRY(renewFilters(ofBridge));
        return writeDocument(before);
    });
    TRY(failpoint("network-update.record"));
    TRY(network::releaseInterfaces(TRY(networkOf(row)), before.config));
    TRY(bringUp(TRY(networkOf(row))));
    TRY(renewFilters(ofBridge)); // they name the addresses that answer for names
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
        TRY(bringUp(TRY(networkOf(before))));
        return writeDocument(before);
    });
    // First, so that nobody takes what is left of the old name for a network whose row was lost.
    TRY(removeDocument(name));
    TRY(network::tearDown(TRY(networkOf(before))));
    TRY(failpoint("network-rename.down"));
    TRY(store::renameNetwork(m_db, row.id, newName));
    undo.add("rename back", [&] { return store::renameNetwork(m_db, row.id, name); });
    TRY(failpoint("network-rename.record"));
    undo.add("remove folder", [&] { return removeFolder(newName); });
    undo.add("take network down", [&]() -> Status { return network::tearDown(TRY(networkOf(row))); });
    TRY(bringUp(TRY(networkOf(row))));
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

Result<store::Network> Networks::rowOf(const std::string &name) const
{
    auto row = store::findNetwork(m_db, store::kDefaultProject, name);
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Network not found");
    return row;
}

namespace
{

/// The one of both addresses that one of `devices` has, too; "" for none.
std::string sharedAddress(const DeviceMap &devices, const FixedAddresses &own)
{
    for (const auto &[device, keys] : devices)
        for (const auto &[key, address] : {std::pair{"ipv4.address", &own.ipv4}, {"ipv6.address", &own.ipv6}}) {
            const auto network = keys.find("network"), fixed = keys.find(key);
            if (!address->empty() && network != keys.end() && network->second == own.network && fixed != keys.end() && fixed->second == *address)
                return *address;
        }
    return {};
}

} // namespace

Status Networks::checkNics(const std::string &project, const std::string &instance, const std::vector<config::Device> &devices,
                           const std::vector<config::Device> &before)
{
    for (const config::Device &device : devices) {
        TRY_IN("device " + quoted(device.name), checkFilters(device, before));
        const FixedAddresses own = fixedAddresses(device);
        const bool known = std::ranges::any_of(before, [&](const config::Device &old) { return fixedAddresses(old) == own; });
        if ((own.ipv4.empty() && own.ipv6.empty()) || known)
            continue;
        TRY_IN("device " + quoted(device.name), checkAssigned(TRY(find(own.network)), own));
        for (const store::Instance &other : TRY(store::listInstances(m_db, "")))
            if (const std::string shared = sharedAddress(other.devices, own);
                (other.project != project || other.name != instance) && !shared.empty())
                return Error(Code::AlreadyExists, "device " + quoted(device.name) + ": address " + quoted(shared) + " of network " +
                                                      quoted(own.network) + " is that of instance " + quoted(other.name))
                    .hint("choose another one, or none for one that is free");
    }
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

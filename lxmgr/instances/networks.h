// Networks: the managed bridges, brought up when an instance first needs them and kept so.
#pragma once

#include "base/paths.h"
#include "config/devices.h"
#include "instances/found.h"
#include "network/filters.h"
#include "network/foreign.h"
#include "network/network.h"
#include "network/vlans.h"
#include "spec/launch.h"
#include "store/network_rules.h"

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// That an instance is on a VLAN of an interface of the host.
struct VlanUse {
    std::string device;
    network::Vlan vlan;
    bool whole = false; ///< Its interface itself is in the instance.
    bool operator==(const VlanUse &) const = default;
};

class Networks
{
public:
    Networks(const Paths &paths, store::Database &db) : m_paths(paths), m_db(db) {}

    /// The row of bridge "lxmgrbr0" is made where there is none, with the ranges it had before the database was lost, else
    /// with free private ones; nothing is brought up.
    Status ensureDefault();
    /// Networks whose document lies in the state folder and that the database does not know come back.
    Status recoverLost(Apply apply, std::vector<Found> &found);
    /// NotFound: no such network.
    Result<network::Network> find(const std::string &name);
    /// Link, addresses, firewall and dnsmasq of the network are as they should be.
    Result<network::Network> ensureUp(const std::string &name);
    /// At the start of the daemon: what a crash left of deleted networks goes, and those that were up come up again. A
    /// network that cannot is logged, and says so in its status.
    void recover();
    /// From now on rules that somebody else's firewall undid are made again as soon as it did, without anybody asking.
    Status watchRules();
    /// Whether the last attempt to bring it up failed.
    bool isBroken(const std::string &name) const;
    /// Checks, fills in free ranges, records and brings up. AlreadyExists: a network or an interface of the host has the name.
    Status create(const store::Network &wanted);
    /// New description and configuration, applied at once: the bridge stays, and guests keep their addresses where those are
    /// still of the network. Invalid: one that a device was given is not.
    Status change(const std::string &name, const std::string &description, const network::Config &config);
    /// The bridge is another one then. The caller has made sure that nobody uses it.
    Status rename(const std::string &name, const std::string &newName);
    /// Taken down and forgotten. The caller has made sure that nobody uses it.
    Status remove(const std::string &name);

    // Forwards, recorded and put in force at once.
    Result<std::vector<store::NetworkForward>> forwards(const std::string &name);
    /// AlreadyExists: some network has one on the address. The address it listens on, in its one form.
    Result<std::string> createForward(const std::string &name, store::NetworkForward wanted);
    Result<store::NetworkForward> findForward(const std::string &name, const std::string &listenAddress);
    /// All but its address.
    Status changeForward(const std::string &name, const store::NetworkForward &wanted);
    Status removeForward(const std::string &name, const std::string &listenAddress);

    // Access control lists; what uses one follows at once.
    Status createAcl(store::NetworkAcl wanted);
    Status changeAcl(store::NetworkAcl wanted);
    /// WrongState: a network, an instance's card or a profile's uses it; the same of the next.
    Status renameAcl(const std::string &project, const std::string &name, const std::string &newName);
    Status removeAcl(const std::string &project, const std::string &name);
    /// Names of the networks that each list is used by.
    Result<std::map<std::string, std::vector<std::string>>> aclUsers();

    /// The fixed addresses among `devices` that are not among `before` lie in their networks and are no other instance's; the access
    /// control lists that they name are there, and this kernel can have them where the card is.
    Status checkNics(const std::string &project, const std::string &instance, const std::vector<config::Device> &devices,
                     const std::vector<config::Device> &before);
    /// AlreadyExists: a forward of a network takes what one of them is to get.
    Status checkProxies(const std::vector<spec::Proxy> &proxies);
    /// Those of the running instance `owner` are known from now on, in place of those it had, and there are rules for those
    /// with nat=true. `networks`: those it is in, whose own guests get their answers by the way they asked.
    Status putProxies(const std::string &owner, const std::vector<spec::Proxy> &proxies, const std::vector<std::string> &networks);
    /// What stands against proxies to the guests of a network.
    Result<std::vector<network::Problem>> proxyProblems(const std::string &name);
    /// Rules of proxies of anybody else go.
    Status sweepProxies(const std::set<std::string> &owners);
    Status reserve(const std::string &name, const network::Reservation &reservation);
    /// What the cards of an instance ("project/name") let through from now on; none: nothing is looked at. They hold until
    /// the instance ends, and are made anew where somebody flushes them, or changes a list that they have.
    Status setFilters(const std::string &owner, const std::vector<network::PortFilter> &filters);
    /// Filters that an earlier daemon set, if any, are known again: they can be taken away.
    void adoptFilters(const std::string &owner);
    /// The VLANs of the host's interfaces that an instance ("project/name") is on from now on, in place of those before: their interfaces
    /// are made with the first instance on them and go with the last; one that was there already stays. WrongState: another instance
    /// has the interface for itself, or this one wants so; and as network::hasVlan().
    Status setVlans(const std::string &owner, const std::vector<VlanUse> &wanted);
    /// It is on them since an earlier daemon.
    void adoptVlans(const std::string &owner, const std::vector<VlanUse> &vlans);
    /// Interfaces that were made for instances that are no more go. After all were adopted.
    void sweepVlans();
    /// Idempotent; an unknown network is no error.
    Status release(const std::string &name, const std::string &mac);

private:
    static Status checkForward(const store::Network &row, const network::Forward &forward);
    /// AlreadyExists: a proxy of a running instance listens where it would.
    Status checkForwardFree(const network::Forward &forward) const;
    /// Nothing is written, and the disk not waited for, where it says so already.
    static Status replaceIfOther(const Fd &folder, const std::string &name, const std::string &text);
    std::string folderOf(const std::string &name) const { return m_paths.stateDir + "/networks/" + name; }
    std::string aclFolder() const { return m_paths.stateDir + "/network-acls"; }
    /// With its forwards and lists. NotFound names a list that does not exist.
    Result<network::Network> networkOf(const store::Network &row) const;
    Status writeAclDocument(const store::NetworkAcl &acl) const;
    Status removeAclDocument(const std::string &name) const;
    Status recoverLostAcls(Apply apply, std::vector<Found> &found);
    Result<store::Network> rowOf(const std::string &name) const;
    Status checkAclUnused(const std::string &name);
    Status putForward(const std::string &name, const std::function<Status(const store::Network &)> &change,
                      const std::function<Status(const store::Network &)> &undo);
    /// Networks and cards that use the list get it as it is now.
    Status bringUsersUp(const std::string &acl);
    /// With the lists that it names. The caller holds m_filtersMutex.
    Result<network::PortFilter> withLists(network::PortFilter filter);
    Status putFilters(const std::string &owner, std::vector<network::PortFilter> filters);
    /// Of every owner of such a one: with the lists and the network's addresses of now.
    Status renewFilters(const std::function<bool(const network::PortFilter &)> &which);
    Status checkFilters(const config::Device &device, const std::vector<config::Device> &before) const;
    Result<network::Acl> aclOf(const std::string &project, const std::string &name) const;
    void reassertRules();
    Result<store::Network> lostRow(const std::string &name) const;
    Status insertLost(store::Network &row);
    Status writeDocument(const store::Network &row) const;
    Status removeDocument(const std::string &name) const;
    Status removeFolder(const std::string &name) const;
    Status sweepFolders();
    // The caller holds m_vlansMutex.
    Status checkVlanFree(const std::string &owner, const VlanUse &use) const;
    Status ensureVlan(const network::Vlan &vlan) const;
    void dropVlan(const std::string &name) const;
    Status checkUnknown(const std::string &name);
    Status checkFixedAddresses(const network::Network &network) const;
    Status bringUp(const network::Network &network);

    const Paths &m_paths;
    store::Database &m_db;
    std::mutex m_mutex;
    struct OwnedProxies {
        std::vector<spec::Proxy> proxies;
        std::vector<std::string> networks;
        std::string rules; ///< "" where none has nat=true.
    };
    std::map<std::string, OwnedProxies> m_proxies; ///< Of running instances, by owner.
    mutable std::mutex m_brokenMutex; ///< A list of networks is not held up by one that is just coming up.
    std::set<std::string> m_broken;
    std::mutex m_vlansMutex;
    std::map<std::string, std::vector<VlanUse>> m_vlans; ///< By owner.
    std::mutex m_filtersMutex;
    std::map<std::string, std::vector<network::PortFilter>> m_filters; ///< In force, by owner.
    std::unique_ptr<network::foreign::Watch> m_watch; ///< Last: it uses all the others.
};

/// Access control lists that cards among them name.
std::set<std::string> listsOf(const DeviceMap &devices);

/// The VLANs that `cards` are on.
std::vector<VlanUse> vlansOf(const std::vector<spec::Nic> &cards);

inline const std::string kDefaultNetwork = "lxmgrbr0";

} // namespace lxmgr::instances

// Networks: the managed bridges, brought up when an instance first needs them and kept so.
#pragma once

#include "base/paths.h"
#include "instances/found.h"
#include "network/network.h"
#include "store/networks.h"

#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace lxmgr::instances
{

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
    Status reserve(const std::string &name, const network::Reservation &reservation);
    /// Idempotent; an unknown network is no error.
    Status release(const std::string &name, const std::string &mac);

private:
    std::string folderOf(const std::string &name) const { return m_paths.stateDir + "/networks/" + name; }
    network::Network networkOf(const store::Network &row) const { return {row.name, row.config, folderOf(row.name)}; }
    Result<store::Network> lostRow(const std::string &name) const;
    Status writeDocument(const store::Network &row) const;
    Status removeDocument(const std::string &name) const;
    Status removeFolder(const std::string &name) const;
    Status sweepFolders();
    Status checkUnknown(const std::string &name);
    Status checkFixedAddresses(const network::Network &network) const;
    Status bringUp(const network::Network &network);

    const Paths &m_paths;
    store::Database &m_db;
    std::mutex m_mutex;
    mutable std::mutex m_brokenMutex; ///< A list of networks is not held up by one that is just coming up.
    std::set<std::string> m_broken;
};

inline const std::string kDefaultNetwork = "lxmgrbr0";

} // namespace lxmgr::instances

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
    /// Checks, fills in free ranges, records and brings up. AlreadyExists: a network or an interface of the host has the name.
    Status create(const store::Network &wanted);
    /// New description and configuration, applied at once.
    Status change(const std::string &name, const std::string &description, const network::Config &config);
    /// Taken down and forgotten. The caller has made sure that nobody uses it.
    Status remove(const std::string &name);
    Status reserve(const std::string &name, const network::Reservation &reservation);
    /// Idempotent; an unknown network is no error.
    Status release(const std::string &name, const std::string &mac);

private:
    std::string folderOf(const std::string &name) const { return m_paths.stateDir + "/networks/" + name; }
    Result<store::Network> lostRow(const std::string &name) const;
    Status writeDocument(const store::Network &row) const;

    const Paths &m_paths;
    store::Database &m_db;
    std::mutex m_mutex;
};

inline const std::string kDefaultNetwork = "lxmgrbr0";

} // namespace lxmgr::instances

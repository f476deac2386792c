// Trust: the certificates that are believed, and what each may do. In memory, because every request over TLS asks.
#pragma once

#include "daemon/principal.h"
#include "daemon/server.h"
#include "store/certificates.h"

#include <chrono>
#include <deque>
#include <map>
#include <mutex>

namespace lxmgr::daemon
{

/// Whom failures are counted of: "192.0.2.7" of "192.0.2.7:40000"; of an IPv6 address the first 64 bits, "2001:db8::/64", for whoever
/// has one of those has all of them (RFC 6177).
std::string sourceOf(const std::string &address);

class Trust
{
public:
    /// Reads the table, and <stateDir>/server.ca with ca.crl where they are: then only certificates that this authority signed count.
    static Result<std::unique_ptr<Trust>> create(store::Database &db, const std::string &stateDir);

    /// core.trust_ca_certificates: what the authority signed is trusted without being listed.
    void setTrustAuthority(bool trust);
    Principal identify(const Peer &peer) const;

    std::vector<store::Certificate> list() const;
    /// By any unique beginning of the fingerprint. NotFound; Invalid where several begin so.
    Result<store::Certificate> find(const std::string &prefix) const;
    Status add(const store::Certificate &certificate);
    Status update(const store::Certificate &certificate);
    Status remove(const store::Certificate &certificate);
    /// After a change of projects' names.
    Status reload();

    /// A wrong token or password from `address`. Forbidden once there were too many from there in the last minute.
    Status countFailure(const std::string &address);
    Status checkFailures(const std::string &address) const;

private:
    Trust(store::Database &db, std::string authority, std::string revoked) : m_db(db), m_authority(std::move(authority)), m_revoked(std::move(revoked)) {}
    Status refresh();

    store::Database &m_db;
    const std::string m_authority, m_revoked; ///< PEM
    mutable std::mutex m_mutex;
    bool m_trustAuthority = false;
    std::vector<store::Certificate> m_certificates;
    std::map<std::string, std::deque<std::chrono::steady_clock::time_point>> m_failures; ///< By sourceOf().
};

} // namespace lxmgr::daemon

// Https: the way in from the network. The daemon owns the listening sockets, lxmgr-tunnel accepts on them and does the TLS; what comes
// out of it reaches the server as connections like any other.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "client/tunnel.h"
#include "daemon/server.h"
#include "tls/certificate.h"

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::daemon
{

struct HttpsAddress {
    std::string host; ///< "" for all addresses of the host.
    std::uint16_t port = 8443;
    bool operator==(const HttpsAddress &) const = default;
};
/// ":8443", "192.0.2.1", "192.0.2.1:443", "[2001:db8::1]:8443", "[::]"; Invalid otherwise.
Result<HttpsAddress> parseHttpsAddress(const std::string &text);

class Https
{
public:
    /// Outlives `server`, which holds what listens to the tunnel.
    Https(Server &server, tls::Identity identity, std::string fingerprint);

    /// Listens at core.https_address from now on and nowhere else; "" ends it. Connections that stand go on. Unavailable where the
    /// address is taken or not the host's: all is as before then. Any thread, but one at a time.
    Status listen(const std::string &address);
    /// "192.0.2.7:8443", one for each address of the host that is listened at.
    std::vector<std::string> addresses() const;
    const std::string &certificate() const { return m_identity.certificate; }
    const std::string &fingerprint() const { return m_fingerprint; }

private:
    /// One that accepts on `listening`.
    Result<std::shared_ptr<client::TunnelProcess>> startTunnel(const Fd &listening);
    void heard(const std::shared_ptr<client::TunnelProcess> &tunnel);

    Server &m_server;
    const tls::Identity m_identity;
    const std::string m_fingerprint;
    mutable std::mutex m_mutex;
    std::optional<HttpsAddress> m_address;
    Fd m_listening; ///< Kept here too: when the tunnel dies, nobody who connects notices.
    std::shared_ptr<client::TunnelProcess> m_tunnel;
    std::vector<std::shared_ptr<client::TunnelProcess>> m_retired; ///< Accept no more, but still carry.
};

} // namespace lxmgr::daemon

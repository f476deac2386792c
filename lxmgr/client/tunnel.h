// Tunnel: TLS connections to other hosts, each handed out as a plain local socket. A program of its own does the TLS, so that the
// client itself loads no TLS library at every start.
#pragma once

#include "api/tunnel.h"
#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace lxmgr::client
{

/// The far end of a connection.
struct FarEnd {
    std::string host; ///< A name or an address, IPv6 without brackets.
    std::uint16_t port = 8443;
    std::string certificate; ///< PEM: exactly this one is believed. Empty: what the host's certification authorities vouch for.
    std::string identityFolder; ///< With client.crt and client.key, which are made when missing. Empty: none is shown.
    bool oldTls = false; ///< TLS 1.2 is good enough: image servers are not all new.
    std::uint64_t timeout = 0; ///< ms until the handshake must be done; 0: 10 s.
};

/// lxmgr-tunnel as a child process, and the socket that it listens to us on.
class TunnelProcess
{
public:
    static Result<TunnelProcess> start();
    ~TunnelProcess(); ///< Ends it: it ends when its control socket does. Waits for that.
    TunnelProcess(TunnelProcess &&other) noexcept : m_control(std::move(other.m_control)), m_pid(std::exchange(other.m_pid, -1)) {}
    TunnelProcess &operator=(TunnelProcess &&other) noexcept;

    Status send(const api::TunnelRequest &request, const std::vector<int> &fds = {}) const;
    /// The next packet, with the descriptor that came along, if one did. Unavailable at the program's end.
    Result<std::pair<api::TunnelReply, Fd>> receive() const;
    const Fd &control() const { return m_control; }

private:
    TunnelProcess() = default;
    void end();

    Fd m_control; ///< SOCK_SEQPACKET
    pid_t m_pid = -1;
};

class Tunnel
{
public:
    /// Starts lxmgr-tunnel, which lies beside this program or in the libexec folder; it ends with us.
    static Result<Tunnel> start();
    /// The same for a daemon: as nobody, who reads no file of root's. It shows no identity then.
    static Result<Tunnel> startAsNobody();

    /// A stream socket behind which `end` is, after the handshake. Unavailable: not reached, with the reason; Forbidden: another
    /// certificate than expected, or one that nobody vouches for (the message has both fingerprints).
    Result<Fd> connect(const FarEnd &end);
    /// The certificate that `host` shows, PEM, whoever signed it: for a person to compare its fingerprint.
    Result<std::string> certificateOf(const std::string &host, std::uint16_t port);
    /// Our certificate in `folder`, PEM; made with its key when there is none.
    Result<std::string> identity(const std::string &folder);
    /// SHA-256 of the certificate's DER, 64 hex digits: what people compare. Invalid for what is no certificate.
    Result<std::string> fingerprint(const std::string &pem);

private:
    explicit Tunnel(TunnelProcess process) : m_process(std::move(process)) {}
    Result<api::TunnelReply> ask(const api::TunnelRequest &request, const std::vector<int> &fds = {});

    TunnelProcess m_process;
};

} // namespace lxmgr::client

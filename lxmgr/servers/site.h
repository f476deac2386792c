// Site: HTTP requests to a server of images, wherever that leads. https to everybody, plain http to this host alone.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "client/address.h"
#include "client/connection.h"
#include "client/tunnel.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace lxmgr::servers
{

/// How long is waited, and for whom.
struct Patience {
    std::uint64_t connectMs = 10'000;
    int quietMs = 60'000;      ///< Nothing may come for so long.
    int cancelFd = -1;         ///< Readable: Cancelled.
    bool oldTls = false;       ///< TLS 1.2 is good enough: file servers are not all new.
    bool knownRoute = false;   ///< Where the host has no route to the network, that is found out at once, and no name is looked up.
};

/// Not for several threads at once.
class Site
{
public:
    /// `url` is https://host[:port][/folder]; `certificate`, PEM, is the only one believed there; empty: what certification
    /// authorities vouch for. Invalid: another kind of address. Nothing is asked yet.
    static Result<Site> at(const std::string &url, std::string certificate, Patience patience);

    /// What `path` below the address holds, at most `most` bytes. NotFound for 404 and 403, which file servers say instead.
    Result<std::string> read(const std::string &path, std::uint64_t most);
    /// One request and its answer, whatever its status; redirections are followed.
    Result<client::Response> ask(const std::string &path, client::Request request);
    const std::string &url() const { return m_url; }
    const Patience &patience() const { return m_patience; }

private:
    Site() = default;
    Result<Fd> connect(const std::string &origin);
    Result<client::Response> askAt(const std::string &url, client::Request &request);

    std::string m_url; ///< Without a slash at its end.
    std::string m_certificate;
    Patience m_patience;
    std::optional<client::Tunnel> m_tunnel;
    std::optional<client::Connection> m_connection;
    std::string m_connectedTo; ///< "https://host:port"
};

} // namespace lxmgr::servers

// What is said to lxmgr-tunnel and what it answers: one packet of JSON each, over its control socket.
#pragma once

#include "api/fields.h"

namespace lxmgr::api
{

/// op "connect": TLS to host:port, for the stream socket that goes along. "certificate": what host:port shows. "identity": our own in
/// `folder`. "fingerprint": of `certificate`. "serve": accept on the listening sockets that go along, as `certificate` with `key`.
/// "nobody": give up all rights before connecting.
/// "retire": accept no more, end with the last connection.
struct TunnelRequest {
    std::string op;
    std::string host;
    std::uint64_t port = 0;
    std::string certificate; ///< PEM. connect: exactly this one is believed; empty: what certification authorities vouch for.
    std::string key;         ///< PEM
    std::string folder;      ///< connect: of the identity to show, "" for none.
    bool oldTls = false;     ///< connect: TLS 1.2 is good enough.
    std::uint64_t timeout = 0; ///< connect: ms until the handshake must be done; 0: 10 s.
};
template <> struct Fields<TunnelRequest> {
    static constexpr auto rows = std::tuple{
        Field{"op", &TunnelRequest::op},   Field{"host", &TunnelRequest::host},
        Field{"port", &TunnelRequest::port}, Field{"certificate", &TunnelRequest::certificate},
        Field{"key", &TunnelRequest::key}, Field{"folder", &TunnelRequest::folder},
        Field{"old_tls", &TunnelRequest::oldTls}, Field{"timeout", &TunnelRequest::timeout},
    };
};

/// The answer; and, while it serves, news of a client, whose stream socket goes along.
struct TunnelReply {
    std::string error; ///< "" for success.
    std::string code;  ///< Name of the error's code.
    std::string certificate; ///< PEM: the far end's, or our own; of a client "" where it showed none.
    std::string fingerprint;
    std::string address; ///< Of a client: "192.0.2.7:41234".
};
template <> struct Fields<TunnelReply> {
    static constexpr auto rows = std::tuple{
        Field{"error", &TunnelReply::error}, Field{"code", &TunnelReply::code}, Field{"certificate", &TunnelReply::certificate},
        Field{"fingerprint", &TunnelReply::fingerprint}, Field{"address", &TunnelReply::address},
    };
};

} // namespace lxmgr::api

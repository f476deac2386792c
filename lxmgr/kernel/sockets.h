// Sockets at a place of the caller's namespaces: listening, connecting, and who holds a place that is taken.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <sys/types.h>

namespace lxmgr::sockets
{

struct Place {
    enum class Kind { Tcp, Udp, Unix };
    Kind kind = Kind::Tcp;
    std::string address; ///< IPv4 or IPv6 address; of Unix a path, or "@name" in the abstract namespace.
    std::uint16_t port = 0;

    bool isFile() const { return kind == Kind::Unix && !address.starts_with('@'); }
    bool isStream() const { return kind != Kind::Udp; }
    /// "tcp 192.0.2.1:80", "udp [::1]:53", "unix '/run/x.sock'".
    std::string text() const;
};

/// As bind(2) and connect(2) want it.
struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;
    const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&storage); }
};
Result<Address> addressOf(const Place &place);

struct ListenOptions {
    bool foreign = false; ///< An address that no interface has yet will do (IP_FREEBIND, ip(7)).
    mode_t mode = 0644;   ///< Of a socket file; from its first moment on.
    uid_t uid = 0;
    gid_t gid = 0;
};
/// Non-blocking. AlreadyExists names who holds the place; the socket file of a listener that died is replaced.
/// NotFound: no interface has the address.
Result<Fd> listen(const Place &place, const ListenOptions &options);
/// Non-blocking; it may still be connecting (EINPROGRESS is no error). EAGAIN: a unix listener's queue is full.
Result<Fd> connect(Place::Kind kind, const Address &address);

/// Who listens there, in words: "nginx (process 123)". "another process" where /proc does not tell.
std::string holderOf(const Place &place);
/// What of /proc/net/{tcp,tcp6,udp,udp6} holds the place: the number of its socket, "" where none. Of TCP only those that
/// listen; a wildcard on either side holds all addresses of its port.
std::string socketIn(const std::string &table, const Place &place);

} // namespace lxmgr::sockets

#include "kernel/sockets.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/proc.h"
#include "kernel/sys.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstddef>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <span>
#include <sys/un.h>

namespace lxmgr::sockets
{

namespace
{

constexpr int kBacklog = 4096; // the kernel takes net.core.somaxconn where that is less

bool isIpv6(const Place &place) { return place.address.find(':') != std::string::npos; }

Result<Fd> create(int family, int type, const Place &place)
{
    return sys::callFd("socket", place.text(), [&] { return ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); });
}

Status setOption(const Fd &socket, int level, int name, int value)
{
    TRY(sys::call("setsockopt", std::to_string(name), [&] { return ::setsockopt(socket.get(), level, name, &value, sizeof value); }));
    return {};
}

/// Of UDP, which address a datagram came to: the answer has to come from there.
Status setInternetOptions(const Fd &socket, const Place &place, bool foreign)
{
    const bool six = isIpv6(place);
    const int level = six ? IPPROTO_IPV6 : IPPROTO_IP;
    if (six) // As others understand [::]: IPv4 too.
        TRY(setOption(socket, level, IPV6_V6ONLY, place.address == "::" ? 0 : 1));
    if (foreign)
        TRY(setOption(socket, level, six ? IPV6_FREEBIND : IP_FREEBIND, 1));
    if (place.kind == Place::Kind::Tcp) { // What it accepts has these too.
        TRY(setOption(socket, SOL_SOCKET, SO_KEEPALIVE, 1));
        TRY(setOption(socket, IPPROTO_TCP, TCP_NODELAY, 1));
        return setOption(socket, SOL_SOCKET, SO_REUSEADDR, 1); // not in TIME_WAIT's way; two listeners refuse each other all the same
    }
    return setOption(socket, level, six ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
}

/// Nobody accepts on it any more.
bool isStale(const Place &place, const Address &address)
{
    const auto info = sys::fstatat(sys::cwd(), place.address, AT_SYMLINK_NOFOLLOW);
    if (!info || !S_ISSOCK(info->st_mode))
        return false;
    const auto tried = connect(Place::Kind::Unix, address);
    return !tried && tried.error().errnum == ECONNREFUSED;
}

Status own(const Place &place, const ListenOptions &options)
{
    if (options.uid == 0 && options.gid == 0)
        return {};
    const Fd file = TRY(sys::open(place.address, O_PATH | O_NOFOLLOW));
    if (!S_ISSOCK(TRY(sys::fstat(file)).st_mode)) // swapped by somebody who may write to the folder
        return Error(Code::WrongState, quoted(place.address) + " is no socket any more");
    return sys::fchownat(file, "", options.uid, options.gid);
}

Status bindTo(const Fd &socket, const Place &place, const Address &address)
{
    TRY(sys::call("bind", place.text(), [&] { return ::bind(socket.get(), address.get(), address.length); }));
    return {};
}

Status bindFile(const Fd &socket, const Place &place, const Address &address, const ListenOptions &options)
{
    TRY(sys::fchmod(socket, options.mode)); // bind(2) gives the file the mode of the socket, less the umask
    Status bound = bindTo(socket, place, address);
    if (!bound && bound.error().errnum == EADDRINUSE && isStale(place, address)) {
        TRY(sys::unlinkat(sys::cwd(), place.address));
        bound = bindTo(socket, place, address);
    }
    if (!bound && bound.error().errnum == ENOENT)
        return std::move(bound.error()).as(Code::NotFound).hint("its folder has to be there");
    TRY(std::move(bound));
    Status owned = own(place, options);
    if (!owned)
        (void)sys::unlinkat(sys::cwd(), place.address); // the first error is the one to report
    return owned;
}

/// Who has the place, or why it cannot be had.
Error explained(Error error, const Place &place)
{
    if (error.errnum == EADDRINUSE)
        return Error(Code::AlreadyExists, place.text() + " is taken by " + holderOf(place), EADDRINUSE);
    if (error.errnum == EADDRNOTAVAIL)
        return Error(Code::NotFound, place.text() + ": no interface has this address (0.0.0.0 and [::] are all there are)", EADDRNOTAVAIL);
    return error;
}

Status bindAndListen(const Fd &socket, const Place &place, const ListenOptions &options)
{
    const Address address = TRY(addressOf(place));
    if (place.kind != Place::Kind::Unix)
        TRY(setInternetOptions(socket, place, options.foreign));
    TRY(place.isFile() ? bindFile(socket, place, address, options) : bindTo(socket, place, address));
    if (!place.isStream())
        return {};
    TRY(sys::call("listen", place.text(), [&] { return ::listen(socket.get(), kBacklog); }));
    return {};
}

// Who holds it

/// The address of a line of /proc/net: words of 32 bits, printed as this machine reads them.
std::string bytesOf(std::string_view hex)
{
    std::string bytes;
    for (std::size_t at = 0; at + 8 <= hex.size(); at += 8) {
        const auto word = static_cast<std::uint32_t>(std::strtoul(std::string(hex.substr(at, 8)).c_str(), nullptr, 16));
        bytes.append(reinterpret_cast<const char *>(&word), sizeof word);
    }
    return bytes;
}

std::string bytesOf(const Place &place)
{
    char bytes[sizeof(in6_addr)] = {};
    const bool six = isIpv6(place);
    if (::inet_pton(six ? AF_INET6 : AF_INET, place.address.c_str(), bytes) != 1)
        return {};
    return {bytes, six ? sizeof(in6_addr) : sizeof(in_addr)};
}

bool isAny(std::string_view bytes) { return std::ranges::all_of(bytes, [](char byte) { return byte == '\0'; }); }

bool overlaps(const std::string &one, const std::string &other) { return one == other || isAny(one) || isAny(other); }

std::string socketOfUnix(const std::string &table, const std::string &path)
{
    constexpr std::string_view kListens = "00010000"; // what it accepted has its name too
    for (const std::string &line : split(table, '\n'))
        if (const auto fields = words(line); fields.size() == 8 && fields[7] == path && fields[3] == kListens)
            return fields[6];
    return {};
}

std::string findSocket(const Place &place)
{
    constexpr const char *kFolder = "/proc/thread-self/net/";
    std::vector<const char *> tables = {"unix"};
    if (place.kind == Place::Kind::Tcp)
        tables = {"tcp", "tcp6"};
    if (place.kind == Place::Kind::Udp)
        tables = {"udp", "udp6"};
    for (const char *name : tables) {
        const auto table = files::read(std::string(kFolder) + name);
        const std::string found = !table                            ? ""
                                  : place.kind == Place::Kind::Unix ? socketOfUnix(*table, place.address)
                                                                    : socketIn(*table, place);
        if (!found.empty())
            return found;
    }
    return {};
}

bool holds(const std::string &pid, const std::string &link)
{
    const auto folder = sys::open("/proc/" + pid + "/fd", O_RDONLY | O_DIRECTORY);
    const auto names = folder ? path::list(*folder) : Result<std::vector<std::string>>(folder.error());
    return names && std::ranges::any_of(*names, [&](const std::string &name) {
        const auto target = sys::readlinkat(*folder, name);
        return target && *target == link;
    });
}

/// A proxy of ours is told by what it is for.
std::string describe(const std::string &pid)
{
    const std::vector<std::string> words = split(files::read("/proc/" + pid + "/cmdline").value_or(""), '\0');
    if (words.size() > 3 && words[0] == "lxmgr-monitor" && words[1] == "proxy")
        return "device " + quoted(words[3]) + " of instance " + quoted(words[2]);
    if (words.size() > 2 && words[0] == "lxmgr-monitor")
        return "a proxy of instance " + quoted(words[2]);
    const std::string name(trimmed(files::read("/proc/" + pid + "/comm").value_or("")));
    return (name.empty() ? "a process" : escaped(name)) + " (process " + pid + ")";
}

} // namespace

std::string Place::text() const
{
    if (kind == Kind::Unix)
        return "unix " + quoted(address);
    const std::string host = isIpv6(*this) ? "[" + address + "]" : address;
    return (kind == Kind::Tcp ? "tcp " : "udp ") + host + ":" + std::to_string(port);
}

Result<Address> addressOf(const Place &place)
{
    Address address;
    if (place.kind == Place::Kind::Unix) {
        sockaddr_un local{};
        local.sun_family = AF_UNIX;
        if (place.address.empty() || place.address.size() >= sizeof local.sun_path)
            return Error(Code::Invalid, quoted(place.address) + " is no path of a socket");
        place.address.copy(local.sun_path, sizeof local.sun_path - 1);
        if (!place.isFile())
            local.sun_path[0] = '\0';
        address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + place.address.size() + (place.isFile() ? 1 : 0));
        std::memcpy(&address.storage, &local, sizeof local);
        return address;
    }
    sockaddr_in four{};
    sockaddr_in6 six{};
    four.sin_family = AF_INET;
    six.sin6_family = AF_INET6;
    four.sin_port = six.sin6_port = htons(place.port);
    if (::inet_pton(AF_INET, place.address.c_str(), &four.sin_addr) == 1) {
        std::memcpy(&address.storage, &four, sizeof four);
        address.length = sizeof four;
    } else if (::inet_pton(AF_INET6, place.address.c_str(), &six.sin6_addr) == 1) {
        std::memcpy(&address.storage, &six, sizeof six);
        address.length = sizeof six;
    } else {
        return Error(Code::Invalid, quoted(place.address) + " is no address");
    }
    return address;
}

Result<Fd> listen(const Place &place, const ListenOptions &options)
{
    const int family = place.kind == Place::Kind::Unix ? AF_UNIX : isIpv6(place) ? AF_INET6 : AF_INET;
    Fd socket = TRY(create(family, place.isStream() ? SOCK_STREAM : SOCK_DGRAM, place));
    Status bound = bindAndListen(socket, place, options);
    if (!bound)
        return explained(std::move(bound.error()), place);
    return socket;
}

Result<Fd> connect(Place::Kind kind, const Address &address)
{
    const int type = (kind == Place::Kind::Udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
    Fd socket = TRY(sys::callFd("socket", {}, [&] { return ::socket(address.storage.ss_family, type, 0); }));
    if (kind == Place::Kind::Tcp) {
        TRY(setOption(socket, SOL_SOCKET, SO_KEEPALIVE, 1));
        TRY(setOption(socket, IPPROTO_TCP, TCP_NODELAY, 1));
    }
    auto connected = sys::call("connect", {}, [&] { return ::connect(socket.get(), address.get(), address.length); });
    if (!connected && connected.error().errnum != EINPROGRESS)
        return connected.error();
    return socket;
}

std::string socketIn(const std::string &table, const Place &place)
{
    constexpr std::string_view kListens = "0A"; // TCP_LISTEN
    const std::string wanted = bytesOf(place);
    std::string wider;
    for (const std::string &line : split(table, '\n')) {
        const std::vector<std::string> fields = words(line);
        const std::size_t colon = fields.size() > 9 ? fields[1].find(':') : std::string::npos;
        if (colon == std::string::npos || (place.kind == Place::Kind::Tcp && fields[3] != kListens))
            continue;
        const std::string address = bytesOf(std::string_view(fields[1]).substr(0, colon));
        if (std::strtoul(fields[1].c_str() + colon + 1, nullptr, 16) != place.port || !overlaps(address, wanted))
            continue;
        if (address == wanted)
            return fields[9];
        wider = fields[9];
    }
    return wider;
}

std::string holderOf(const Place &place)
{
    constexpr const char *kUnknown = "another process";
    const std::string number = findSocket(place);
    const auto proc = sys::open("/proc", O_RDONLY | O_DIRECTORY);
    if (number.empty() || number == "0" || !proc)
        return kUnknown;
    for (const std::string &pid : path::list(*proc).value_or(std::vector<std::string>()))
        if (parseUnsigned(pid) && holds(pid, "socket:[" + number + "]"))
            return describe(pid);
    return kUnknown;
}

} // namespace lxmgr::sockets

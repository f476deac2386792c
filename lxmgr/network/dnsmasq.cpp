#include "network/dnsmasq.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::network::dnsmasq
{

namespace
{

constexpr const char *kFolders[] = {"/usr/sbin/", "/usr/bin/", "/sbin/", "/usr/local/sbin/"};
constexpr std::size_t kMostHostFile = 4096;
constexpr off_t kMostLog = 1 << 20;

std::string pidFile(const Network &network) { return network.directory + "/dnsmasq.pid"; }
std::string logFile(const Network &network) { return network.directory + "/dnsmasq.log"; }
constexpr std::string_view kRawPrefix = "raw-";

/// Named after what is in it: other lines are other arguments, by which a server that has to be replaced is known.
std::string rawFile(const std::string &lines)
{
    std::uint64_t hash = 14695981039346656037U; // FNV-1a
    for (const char c : lines)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    std::array<unsigned char, 8> bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<unsigned char>(hash >> (56 - 8 * i));
    return std::string(kRawPrefix) + toHex(bytes) + ".conf";
}

std::string pidFileArgument(const Network &network) { return "--pid-file=" + pidFile(network); }

Result<std::string> program()
{
    std::vector<std::string> folders(std::begin(kFolders), std::end(kFolders));
    const char *const search = ::getenv("PATH");
    for (const std::string &folder : split(search ? search : "", ':'))
        if (folder.starts_with("/"))
            folders.push_back(folder + "/");
    for (const std::string &folder : folders)
        if (const std::string path = folder + "dnsmasq"; ::access(path.c_str(), X_OK) == 0)
            return path;
    return Error(Code::Unsupported, "There is no dnsmasq on this host, which gives guests their addresses")
        .hint("install the package dnsmasq-base (Debian, Ubuntu) or dnsmasq");
}

struct User {
    std::string name = "root";
    std::string group = "root";
    gid_t gid = 0;
};

std::optional<std::string> groupName(gid_t gid)
{
    group entry{};
    group *found = nullptr;
    std::array<char, 16384> buffer;
    if (::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
        return {};
    return std::string(found->gr_name);
}

std::optional<User> lookUp(const char *name)
{
    passwd entry{};
    passwd *found = nullptr;
    std::array<char, 16384> buffer;
    if (::getpwnam_r(name, &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
        return {};
    const std::optional<std::string> itsGroup = groupName(entry.pw_gid);
    return itsGroup ? std::optional(User{name, *itsGroup, entry.pw_gid}) : std::nullopt;
}

/// Others may walk through every folder on the way. A state folder in somebody's home, say, is closed to the server's user.
bool isReachable(const std::string &path)
{
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        const Result<struct stat> info = sys::fstatat(sys::cwd(), path.substr(0, slash), 0);
        if (!info) // Still to be made, by us, for all to walk through.
            return info.error().errnum == ENOENT;
        if (!(info->st_mode & S_IXOTH))
            return false;
    }
    return true;
}

/// Its own user where there is one and where that can read the reservations; root else.
User serverUser(const Network &network)
{
    if (isReachable(network.directory + "/"))
        for (const char *name : {"dnsmasq", "nobody"})
            if (std::optional<User> user = lookUp(name))
                return *user;
    return {};
}

// Arguments

std::string rangeArgument(const AddressRange &range, const FamilyConfig &family)
{
    const bool six = family.address->family == AF_INET6;
    // dnsmasq wants a length for IPv6 and a netmask, or nothing at all, for IPv4.
    return "--dhcp-range=" + range.first.text() + "," + range.last.text() +
           (six ? "," + std::to_string(family.address->prefix) : "") + "," + family.expiry;
}

/// All of the subnet but its number and broadcast address; dnsmasq leaves out the bridge's own by itself.
AddressRange wholeRange(const netlink::Address &address)
{
    AddressRange range = subnetOf(address);
    range.first.bytes.back() = static_cast<char>(range.first.bytes.back() + 1);
    range.last.bytes.back() = static_cast<char>(range.last.bytes.back() - 1);
    return range;
}

void addRanges(std::vector<std::string> &argv, const FamilyConfig &family)
{
    if (family.ranges.empty())
        argv.push_back(rangeArgument(wholeRange(*family.address), family));
    for (const AddressRange &range : family.ranges)
        argv.push_back(rangeArgument(range, family));
}

void addIpv4(std::vector<std::string> &argv, const BridgeConfig &config)
{
    if (!config.ipv4.dhcp)
        return;
    argv.insert(argv.end(), {"--dhcp-authoritative", "--dhcp-no-override", "--dhcp-rapid-commit"});
    addRanges(argv, config.ipv4);
    if (config.ipv4.gateway)
        argv.push_back("--dhcp-option=option:router," + config.ipv4.gateway->text());
    if (config.mtu != 1500)
        argv.push_back("--dhcp-option-force=26," + std::to_string(config.mtu));
    if (!config.search.empty())
        argv.push_back("--dhcp-option-force=119," + join(config.search, ","));
}

void addIpv6(std::vector<std::string> &argv, const Network &network, const BridgeConfig &config)
{
    argv.push_back("--enable-ra");
    if (!config.ipv6.routing) // An address, but no way out: no default route through the bridge.
        argv.push_back("--ra-param=" + network.name + ",0,0");
    if (config.ipv6.dhcp && config.ipv6.stateful)
        addRanges(argv, config.ipv6);
    else // Guests make their address from the prefix; their names follow the MAC in it.
        argv.push_back("--dhcp-range=::,constructor:" + network.name +
                       (config.ipv6.dhcp ? ",ra-stateless" : ",ra-only") + ",ra-names");
    if (!config.search.empty())
        argv.push_back("--dhcp-option=option6:domain-search," + join(config.search, ","));
}

void addNames(std::vector<std::string> &argv, const Network &network, const BridgeConfig &config)
{
    for (const FamilyConfig *family : {&config.ipv4, &config.ipv6})
        if (family->address) // "local": these names and numbers are never asked about elsewhere.
            argv.push_back("--domain=" + config.domain + "," + subnetText(*family->address) + ",local");
    argv.push_back("--domain=" + config.domain);
    argv.push_back("--local=/" + config.domain + "/");
    if (config.dns)
        argv.push_back("--interface-name=_gateway." + config.domain + "," + network.name);
}

// The running one

struct Running {
    Fd pidfd;
    pid_t pid = 0;
    std::vector<std::string> arguments;
};

bool isInThisNetns(pid_t pid)
{
    const Result<std::string> its = sys::readlinkat(sys::cwd(), "/proc/" + std::to_string(pid) + "/ns/net");
    const Result<std::string> ours = sys::readlinkat(sys::cwd(), "/proc/thread-self/ns/net");
    return its && ours && *its == *ours;
}

/// The process of the pid file, if it is a server of this very network: a pid may by now be somebody else's.
std::optional<Running> findRunning(const Network &network)
{
    const Result<std::string> text = files::read(pidFile(network), 64);
    const Result<std::uint64_t> pid = text ? parseUnsigned(trimmed(*text), 2, INT32_MAX) : Error();
    if (!pid)
        return {};
    Running running;
    running.pid = static_cast<pid_t>(*pid);
    Result<Fd> pidfd = sys::pidfd_open(running.pid); // First, so that what is read next is read of the process it pins.
    const Result<std::string> line = files::read("/proc/" + std::to_string(*pid) + "/cmdline");
    if (!pidfd || !line)
        return {};
    running.pidfd = std::move(*pidfd);
    running.arguments = split(*line, '\0');
    if (!running.arguments.empty() && running.arguments.back().empty())
        running.arguments.pop_back();
    if (std::ranges::find(running.arguments, pidFileArgument(network)) == running.arguments.end())
        return {};
    return running;
}

bool waitForEnd(const Fd &pidfd, int millis)
{
    pollfd event{pidfd.get(), POLLIN, 0};
    return ::poll(&event, 1, millis) == 1;
}

Status end(const Running &running)
{
    for (const int signal : {SIGTERM, SIGKILL}) {
        Status sent = sys::pidfd_send_signal(running.pidfd, signal);
        if (!sent && sent.error().errnum == ESRCH)
            return {};
        TRY(std::move(sent));
        if (waitForEnd(running.pidfd, 2000))
            return {};
    }
    return Error(Code::Timeout, "dnsmasq " + std::to_string(running.pid) + " does not end");
}

// Starting

/// Standard error of the server until it went into the background (or gave up).
Result<std::string> readToEnd(const Fd &pipe)
{
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        const long size = TRY(sys::call("read", "dnsmasq", [&] { return ::read(pipe.get(), buffer.data(), buffer.size()); }));
        if (size == 0)
            return text;
        if (text.size() < 64 * 1024)
            text.append(buffer.data(), static_cast<std::size_t>(size));
    }
}

Result<pid_t> spawn(const std::string &path, const std::vector<std::string> &argv, const Fd &standardError)
{
    std::vector<char *> pointers;
    for (const std::string &word : argv)
        pointers.push_back(const_cast<char *>(word.c_str()));
    pointers.push_back(nullptr);
    char environment[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char *variables[] = {environment, nullptr};

    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    ::posix_spawn_file_actions_adddup2(&actions, 0, 1);
    ::posix_spawn_file_actions_adddup2(&actions, standardError.get(), 2);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    const int result = ::posix_spawn(&pid, path.c_str(), &actions, &attributes, pointers.data(), variables);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (result != 0)
        return Error::fromErrno(result, "posix_spawn", path);
    return pid;
}

Status start(const Network &network, const std::vector<std::string> &argv)
{
    const std::string path = TRY(program());
    auto [reading, writing] = TRY(program::Pipe::create());
    const pid_t pid = TRY(spawn(path, argv, writing));
    writing.reset();
    const std::string said = TRY(readToEnd(reading));
    int status = 0;
    TRY(sys::call("waitpid", "dnsmasq", [&] { return ::waitpid(pid, &status, 0); }));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return {};
    return Error(Code::Unavailable, "dnsmasq for " + quoted(network.name) + " did not start: " +
                                        escaped(trimmed(said.empty() ? "it said nothing" : said)));
}

/// The administrator's lines, in a file that only root reads: the server does so before it becomes another user.
Status writeRaw(const Network &network, const BridgeConfig &config)
{
    const Fd folder = TRY(path::openFolder(network.directory));
    const std::string wanted = config.rawDnsmasq.empty() ? "" : rawFile(config.rawDnsmasq);
    for (const std::string &name : TRY(path::list(folder)))
        if (name.starts_with(kRawPrefix) && name != wanted)
            TRY(sys::unlinkat(folder, name));
    return wanted.empty() ? Status() : files::replace(folder, wanted, config.rawDnsmasq + "\n");
}

/// It only ever grows while one server runs; those are few lines (quiet-*).
Status trimLog(const Network &network)
{
    const Result<Fd> log = sys::open(logFile(network), O_WRONLY | O_NOFOLLOW);
    const Result<struct stat> info = log ? sys::fstat(*log) : Error();
    if (info && info->st_size > kMostLog)
        TRY(sys::ftruncate(*log, 0));
    return {};
}

} // namespace

std::string hostsFolder(const Network &network) { return network.directory + "/hosts"; }
std::string leaseFile(const Network &network) { return network.directory + "/dnsmasq.leases"; }

std::vector<std::string> arguments(const Network &network, const BridgeConfig &config)
{
    const User user = serverUser(network);
    std::vector<std::string> argv = {
        "dnsmasq",
        // Nothing of the host's own dnsmasq.
        "--conf-file=" + (config.rawDnsmasq.empty() ? "" : network.directory + "/" + rawFile(config.rawDnsmasq)),
        "--no-hosts",   // /etc/hosts says 127.0.1.1 for the host itself.
        "--no-ping",    // It would hold each new address back for three seconds.
        "--interface=" + network.name,
        "--except-interface=lo",
        "--bind-interfaces", // Beside another DNS server on this host.
        "--quiet-dhcp",
        "--quiet-dhcp6",
        "--quiet-ra",
        "--user=" + user.name,
        "--group=" + user.group,
        pidFileArgument(network),
        "--log-facility=" + logFile(network),
        "--dhcp-leasefile=" + leaseFile(network),
        "--dhcp-hostsdir=" + hostsFolder(network),
        "--dhcp-lease-max=65536",
        // Names come from us alone: a guest cannot take another's.
        "--dhcp-ignore-names=tag:!known",
    };
    for (const FamilyConfig *family : {&config.ipv4, &config.ipv6})
        if (family->address) // --interface says it, too, but of those that are there at its start: another one takes another server
            argv.push_back("--listen-address=" + family->address->text());
    addNames(argv, network, config);
    if (config.ipv4.address)
        addIpv4(argv, config);
    if (config.ipv6.address)
        addIpv6(argv, network, config);
    return argv;
}

Status checkProgram()
{
    TRY(program());
    return {};
}

Status checkLines(const std::string &lines)
{
    const std::string path = TRY(program());
    program::Pipe input = TRY(program::Pipe::create()), said = TRY(program::Pipe::create());
    program::FileActions actions;
    TRY(actions.inherit(input.read, 0));
    TRY(actions.inherit(said.write, 2));
    const pid_t pid = TRY(program::spawn({path, "--test", "--conf-file=-"}, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, actions));
    input.read.reset();
    said.write.reset();
    const Status written = files::writeAll(input.write, lines); // 64 KiB at most, which a pipe holds
    input.write.reset();
    const Result<std::string> text = readToEnd(said.read);
    const int status = program::waitFor(pid);
    TRY(written);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return {};
    return Error(Code::Invalid, "raw.dnsmasq: " + escaped(trimmed(text ? *text : "dnsmasq does not take it")));
}

Status makeFolders(const Network &network)
{
    const Fd top = TRY(path::openFolder("/"));
    const User user = serverUser(network);
    TRY(path::makeFolders(top, network.directory, 0711, path::Scope::InRoot));
    // mkdir(2) obeyed the daemon's umask; the server's own user has to walk through both.
    for (const std::string &folder : {network.directory.substr(0, network.directory.rfind('/')), network.directory})
        TRY(sys::fchmodat(top, folder, 0711));
    const Fd hosts = TRY(path::makeFolders(top, hostsFolder(network), 0750, path::Scope::InRoot));
    TRY(sys::fchmodat(top, hostsFolder(network), 0750));
    return sys::fchownat(hosts, "", 0, user.gid);
}

Status ensureRunning(const Network &network, const BridgeConfig &config)
{
    const std::vector<std::string> wanted = arguments(network, config);
    if (const std::optional<Running> running = findRunning(network)) {
        if (running->arguments == wanted && isInThisNetns(running->pid))
            return {};
        TRY(end(*running));
    }
    TRY(makeFolders(network));
    TRY(writeRaw(network, config));
    TRY(trimLog(network));
    return start(network, wanted);
}

bool isRunning(const Network &network) { return findRunning(network).has_value(); }

Status stop(const Network &network)
{
    const std::optional<Running> running = findRunning(network);
    return running ? end(*running) : Status();
}

Status reload(const Network &network)
{
    const std::optional<Running> running = findRunning(network);
    return running ? sys::pidfd_send_signal(running->pidfd, SIGHUP) : Status();
}

Result<std::string> hostLine(const Reservation &reservation)
{
    std::string line = TRY(netlink::parseMac(reservation.mac));
    if (!reservation.ipv4.empty())
        line += "," + TRY(netlink::parseAddress(reservation.ipv4)).text();
    if (!reservation.ipv6.empty())
        line += ",[" + TRY(netlink::parseAddress(reservation.ipv6)).text() + "]";
    TRY(checkInstanceName(reservation.instance));
    return line + "," + reservation.instance;
}

Result<Reservation> parseHostLine(const std::string &line)
{
    Reservation found;
    const std::vector<std::string> parts = split(trimmed(line), ',');
    if (parts.size() < 2)
        return Error(Code::Corrupt, "Not a reservation: " + quoted(line));
    found.mac = TRY(netlink::parseMac(parts.front()));
    found.instance = parts.back();
    for (const std::string &part : std::span(parts).subspan(1, parts.size() - 2))
        (part.starts_with("[") ? found.ipv6 : found.ipv4) = part.starts_with("[") ? part.substr(1, part.size() - 2) : part;
    return found;
}

std::vector<LeaseLine> parseLeases(const std::string &text)
{
    std::vector<LeaseLine> found;
    for (const std::string &line : split(text, '\n')) {
        const std::vector<std::string> parts = words(line);
        // "expiry mac address name client-id"; after "duid …" the second is a number, not a MAC.
        const Result<std::uint64_t> expiry = parts.size() == 5 ? parseUnsigned(parts[0]) : Error();
        const Result<netlink::Address> address = expiry ? netlink::parseAddress(parts[2]) : Error();
        if (!address)
            continue;
        const Result<std::string> mac = netlink::parseMac(parts[1]);
        found.push_back({*expiry, mac ? *mac : "", address->text(), parts[4], parts[3]});
    }
    return found;
}

namespace
{

void addOption(std::string &packet, int code, std::string_view value)
{
    packet += static_cast<char>(code);
    packet += static_cast<char>(value.size());
    packet += value;
}

std::string hexBytes(const std::string &text)
{
    std::string bytes;
    for (const std::string &part : split(text, ':'))
        bytes += static_cast<char>(std::strtoul(part.c_str(), nullptr, 16));
    return bytes;
}

std::string releasePacket(const netlink::Address &server, const std::string &address, const LeaseLine &lease)
{
    std::string packet("\x01\x01\x06\x00", 4);   // request, Ethernet, 6 octets, no hops
    packet += std::string("lxmg", 4);            // transaction: nobody answers
    packet += std::string(4, '\0') + address;    // seconds, flags; ciaddr
    packet += std::string(12, '\0');             // yiaddr, siaddr, giaddr
    packet += hexBytes(lease.mac) + std::string(10, '\0');
    packet += std::string(64 + 128, '\0');       // server name, file
    packet += "\x63\x82\x53\x63";                // RFC 2131: options follow
    addOption(packet, 53, "\x07");               // DHCPRELEASE
    addOption(packet, 54, server.bytes);
    if (lease.clientId != "*" && lease.clientId.size() < 3 * 255)
        addOption(packet, 61, hexBytes(lease.clientId));
    packet += '\xff';
    packet.resize(std::max<std::size_t>(packet.size(), 300), '\0');
    return packet;
}

} // namespace

Status releaseLease(const std::string &bridge, const netlink::Address &server, const LeaseLine &lease)
{
    const netlink::Address address = TRY(netlink::parseAddress(lease.address));
    const Fd socket = TRY(sys::callFd("socket", "udp", [] { return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }));
    // The packet goes over lo, but the server has to see it as the bridge's.
    TRY(sys::call("setsockopt", bridge, [&] {
        return ::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, bridge.c_str(), static_cast<socklen_t>(bridge.size() + 1));
    }));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(67);
    std::memcpy(&to.sin_addr, server.bytes.data(), sizeof to.sin_addr);
    const std::string packet = releasePacket(server, address.bytes, lease);
    TRY(sys::call("sendto", server.text(), [&] {
        return ::sendto(socket.get(), packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr *>(&to), sizeof to);
    }));
    return {};
}

} // namespace lxmgr::network::dnsmasq

// LaunchSpec: everything one start needs, resolved; the daemon plans it, the monitor executes it and decides nothing.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lxmgr::spec
{

/// `count` ids from `container` inside are those from `host` outside (user_namespaces(7)).
struct IdRange {
    std::uint32_t container = 0;
    std::uint32_t host = 0;
    std::uint32_t count = 0;
    bool operator==(const IdRange &) const = default;
};

/// Both empty: a privileged guest without a user namespace.
struct IdMap {
    std::vector<IdRange> uids;
    std::vector<IdRange> gids;
    bool operator==(const IdMap &) const = default;
};

/// The root file system, with the image's own ids on disk; the monitor id-maps it (or its layers).
struct Rootfs {
    enum class Kind : std::uint32_t { Directory = 0, Overlay = 1 };
    Kind kind = Kind::Directory;
    std::string directory;          ///< Directory: the tree.
    std::vector<std::string> lower; ///< Overlay: layers, topmost first.
    std::string layer;              ///< Overlay: folder that holds "upper" and "work"; empty: read-only.
    bool readOnly = false;
    bool hasNodes = false; ///< Device nodes in it open what the control group allows.
};

/// One more mount inside, made before the root is entered. `target` is resolved inside the guest's root.
struct Mount {
    enum class Kind : std::uint32_t { Bind = 0, Tmpfs = 1 };
    Kind kind = Kind::Bind;
    std::string source;  ///< Bind: path on the host, opened by the monitor.
    std::string beneath; ///< Bind: a folder above it that no link may lead out of; "" for none.
    std::string target;  ///< Below the guest's root, without leading slash.
    std::string options; ///< Tmpfs: "size=…,mode=…,uid=…"; ids are inside.
    bool readOnly = false;
    bool recursive = false;
    bool idmapped = false;   ///< Owners on the host are the guest's own numbers (shift).
    bool nosuid = false;
    bool nodev = true;
    bool optional = false;    ///< Passed over where the source cannot be opened at this start.
    bool createTarget = true; ///< Make a missing folder or file at `target`.
    std::uint64_t attributes = 0;  ///< More MOUNT_ATTR_* (mount_setattr(2)).
    std::uint64_t propagation = 0; ///< MS_SHARED, MS_SLAVE, MS_UNBINDABLE, or 0 for private. Never out of the guest.
    bool operator==(const Mount &) const = default;
};

/// A node the monitor makes on a tmpfs of its own and binds below the guest's /dev.
struct DeviceNode {
    std::string path; ///< Below /dev, e.g. "net/tun".
    bool block = false;
    std::uint32_t major = 0, minor = 0;
    std::uint32_t mode = 0666, uid = 0, gid = 0; ///< uid, gid: inside.
    std::string device; ///< Device name in the configuration; "" for what every guest has.
    bool operator==(const DeviceNode &) const = default;
};

/// A file written inside by the guest's root just before init starts (rendered image templates).
struct GuestFile {
    std::string path; ///< Absolute, inside.
    std::string content;
    std::uint32_t uid = 0, gid = 0;
    std::uint32_t mode = 0644; ///< An existing file keeps its own.
    bool createOnly = false;   ///< Leave an existing file alone.
    std::string onlyWith;      ///< Absolute, inside: written only where this is there; "" for always.
};

/// What the first boot of a guest without cloud-init makes in its root, just after `files`, with the rights of its own root.
/// Groups come first, then users, then files: these may belong to any of them.
struct GuestGroup {
    std::string name;
    std::vector<std::string> members;
};
struct GuestUser {
    std::string name; ///< One that exists already gets keys, password, sudo and groups only.
    std::string gecos, home, shell; ///< "": /home/<name>, and the first of bash and sh that is there.
    std::string primaryGroup;       ///< "": one of the user's name.
    std::vector<std::string> groups;
    std::vector<std::string> sudo;
    std::vector<std::string> keys;
    std::string passwordHash;
    bool locked = true;
    bool passwordOfNew = false; ///< One that exists already keeps its own.
    std::uint32_t uid = 0; ///< 0: the next free one.
    bool system = false;
    bool createHome = true;
};
/// Of a user that is there by then. It is not locked afterwards.
struct GuestPassword {
    std::string user;
    std::string hash;
    bool expired = false; ///< It has to be changed at the first login.
};
struct SetupFile {
    std::string path; ///< Absolute, inside.
    std::string content;
    std::string user, group;
    std::uint32_t mode = 0644;
    bool append = false;
};
struct GuestSetup {
    std::vector<GuestGroup> groups;
    std::vector<GuestUser> users;
    std::vector<SetupFile> files;
    std::string hosts; ///< Line for 127.0.1.1 in /etc/hosts, "" for none.
    std::vector<GuestPassword> passwords;
    std::string sshPasswords; ///< PasswordAuthentication of sshd_config(5): yes, no, "" for what it is.
    bool empty() const
    {
        return groups.empty() && users.empty() && files.empty() && hosts.empty() && passwords.empty() && sshPasswords.empty();
    }
};

/// A veth pair, made by the monitor with its peer born inside; or another kind of card.
struct Nic {
    enum class Kind : std::uint32_t { Veth = 0, Macvlan = 1, Physical = 2 };
    std::string device;    ///< Device name in the configuration, for errors.
    std::string hostName;  ///< Interface name outside.
    std::string guestName; ///< Interface name inside.
    std::string bridge;    ///< Outside end is attached to it; empty: left free.
    std::string mac;       ///< Of the inside end.
    std::uint32_t mtu = 0; ///< 0: the bridge's.
    Kind kind = Kind::Veth;
    std::string parent;     ///< Macvlan, Physical: interface of the host. Veth: one that answers for `addresses`; empty: none.
    std::uint32_t mode = 0; ///< Macvlan: MACVLAN_MODE_*.
    std::vector<std::string> addresses;   ///< Set inside; the host has routes to them.
    std::vector<std::uint32_t> gateways;  ///< AF_INET, AF_INET6: a default route of that family is set inside.
    std::vector<std::string> routes;      ///< Subnets that the host reaches by it.
    std::uint64_t ingress = 0, egress = 0; ///< Most bits a second to the guest, from it; 0: no limit.
    bool isolated = false;                 ///< Does not reach other such ports of the bridge.
    std::vector<std::string> hostAddresses; ///< Of the host's end, one a family; of a family that has none here it is the usual one.
    std::uint32_t hostTable4 = 0, hostTable6 = 0; ///< Routing tables that get the routes, too; 0: none.
    std::uint32_t queueLength = 0;                ///< Packets that may wait at either end; 0: the kernel's.
    bool hairpin = false;                  ///< What it sends may come back to it: it is reached by addresses of the host, from itself too.
    static constexpr std::uint32_t kNoVlan = 4095;
    /// Veth: of frames without a tag; kNoVlan: such are dropped; 0: as of any port of the bridge. Macvlan, Physical: of `parent`, on `vlanOf`.
    std::uint32_t vlan = 0;
    std::vector<std::uint32_t> vlans; ///< Veth: of frames with a tag.
    std::string vlanOf;               ///< The interface that `parent` is a VLAN of; empty: it is none.
    bool hasVlans() const { return kind == Kind::Veth && (vlan != 0 || !vlans.empty()); }
    // Known when it is plugged in.
    std::uint32_t index = 0; ///< Inside, of a card with no end on the host; 0: not known.
    std::string hostMac;     ///< Physical: what it had on the host, and gets back.
    std::uint32_t hostMtu = 0;
    bool hostUp = false;
    bool operator==(const Nic &) const = default;
};

/// One side of a proxy.
struct ProxyEnd {
    enum class Kind : std::uint32_t { Tcp = 0, Udp = 1, Unix = 2 };
    Kind kind = Kind::Tcp;
    std::string address;              ///< Of Unix: a path, or "@name".
    std::vector<std::uint32_t> ports; ///< {0} of Unix.
    bool operator==(const ProxyEnd &) const = default;
};

/// Connections that come in at `listen` go on to `connect`, on the other side of the guest's border.
struct Proxy {
    std::string device;
    bool inside = false;     ///< It listens inside.
    ProxyEnd listen, connect; ///< One port to connect to, or one for each that is listened on.
    bool nat = false;        ///< The daemon's firewall rules do it; kept here so that it knows what is in force.
    bool proxyProtocol = false;
    std::uint32_t uid = 0, gid = 0, mode = 0644;    ///< Of a socket file, ids as on the side that listens.
    std::uint32_t connectUid = 0, connectGid = 0;   ///< Who connects, as on the side that connects.
    std::string seccomp;                            ///< struct sock_filter[], what the forwarding process may do.
    bool operator==(const Proxy &) const = default;
};

/// An emulator of a TPM beside the guest, and the nodes it is inside.
struct Tpm {
    std::string device;
    std::string path, pathRm; ///< Below /dev; "" for none.
    std::string state;        ///< Folder on the host that it keeps what it knows in.
    std::string program;      ///< swtpm(8).
    std::string proxy;        ///< /dev/vtpmx.
    std::string sysfs;
    std::uint32_t id = 0; ///< User and group it runs as, on the host.
    bool operator==(const Tpm &) const = default;
};

/// `value` is written to `file` of the guest's limits folder under `controller` ("" is cgroup2), in the order given.
struct CgroupWrite {
    std::string controller;
    std::string file;
    std::string value;
    bool required = true; ///< false: a missing file is passed over (a refinement, not a limit).
    bool operator==(const CgroupWrite &) const = default;
};

struct ResourceLimit {
    std::uint32_t resource = 0; ///< RLIMIT_*
    std::uint64_t soft = 0, hard = 0;
};

/// A file system that is mounted for the guest (security.syscalls.intercept.mount).
struct InterceptedMount {
    std::string type;
    std::string program; ///< Of the guest, which mounts it by FUSE; "": the kernel's own.
    bool operator==(const InterceptedMount &) const = default;
};

struct LaunchSpec {
    std::string project;
    std::string instance;
    std::string runDir;    ///< 0700; the monitor's socket "monitor.sock", "exit" record and spec live here.
    std::string consoleLog; ///< File the console's ring buffer is saved to at the end; "" for none.
    std::string cgroup;    ///< Below each hierarchy's root, e.g. "lxmgr/web1".
    std::vector<CgroupWrite> cgroupWrites;
    IdMap idmap;
    Rootfs rootfs;
    std::vector<Mount> mounts;
    std::vector<DeviceNode> devices;
    std::vector<GuestFile> files;
    GuestSetup setup; ///< Of the first boot only.
    std::vector<Nic> nics;
    std::string hostname;
    std::vector<std::string> init;                                   ///< argv of PID 1.
    std::vector<std::pair<std::string, std::string>> environment;    ///< Of PID 1; nothing else is passed.
    std::vector<std::pair<std::string, std::string>> sysctls;        ///< "net.ipv4.ip_forward" → value.
    std::uint64_t boundingSet = 0;                                   ///< capabilities(7), bit per capability.
    std::string seccomp;                                             ///< struct sock_filter[], "" for none.
    std::vector<ResourceLimit> rlimits;
    std::int32_t oomScoreAdj = 0;
    bool nesting = false;
    std::uint64_t consoleBuffer = 1 << 20; ///< Bytes kept of the console.
    std::vector<Proxy> proxies;
    std::vector<Tpm> tpms;
    std::string intercepts;                ///< struct sock_filter[]: the system calls that the monitor's side carries out; "" for none.
    std::vector<InterceptedMount> interceptedMounts;
    bool shiftMounts = false;              ///< Their ids are the guest's, not the host's.
    std::uint32_t patience = 30'000;       ///< Milliseconds from clone to init; a start that takes longer is undone.
};

} // namespace lxmgr::spec

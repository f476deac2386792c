// Value types of configuration keys, each with the one parser and writer of its text form.
#pragma once

#include "base/result.h"
#include "base/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::config
{

/// limits.cpu: so many, or exactly these.
struct CpuLimit {
    std::uint32_t count = 0;        ///< 0: `set` counts.
    std::vector<std::uint32_t> set; ///< Sorted, no doubles.
    bool operator==(const CpuLimit &) const = default;
};

/// limits.cpu.nodes: NUMA nodes by their numbers, or "balanced".
struct NodeList {
    std::vector<std::uint32_t> nodes; ///< Sorted, no doubles; empty: the one that the fewest guests are bound to.
    bool operator==(const NodeList &) const = default;
};

/// limits.cpu.allowance: "50%" is a share under contention, "25ms/100ms" a hard quota.
struct CpuAllowance {
    std::uint32_t percent = 0; ///< Soft share, 1 to 100; 0: quota and period count.
    Millis quota, period;
    bool operator==(const CpuAllowance &) const = default;
};

/// limits.memory: bytes, or percent of the host's memory.
struct MemoryLimit {
    Bytes bytes;
    std::uint32_t percent = 0; ///< 1 to 100; 0: `bytes` count.
    bool operator==(const MemoryLimit &) const = default;
};

enum class MemoryEnforce { Hard, Soft };

/// limits.memory.swap: whether, or how much.
struct MemorySwap {
    bool allowed = true;
    std::optional<Bytes> most; ///< With `allowed`.
    bool operator==(const MemorySwap &) const = default;
};

/// boot.host_shutdown_action.
enum class ShutdownAction { Stop, ForceStop };

struct Seconds {
    std::uint32_t count = 0;
    auto operator<=>(const Seconds &) const = default;
};

/// limits.kernel.*: setrlimit(2) of PID 1; `kUnlimited` is RLIM_INFINITY.
struct KernelLimit {
    static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
    std::uint64_t soft = 0, hard = 0;
    bool operator==(const KernelLimit &) const = default;
};

/// The text forms below are checked for what they stand for, so that no other room needs to.
struct LineList {
    std::vector<std::string> lines; ///< Trimmed, empty ones dropped.
    bool operator==(const LineList &) const = default;
};
/// raw.idmap: ids of the host that are ids inside too, one by one or as ranges of equal length.
struct IdMapEntry {
    bool users = false, groups = false;
    std::uint32_t host = 0, inside = 0, count = 0;
    bool operator==(const IdMapEntry &) const = default;
};
struct IdMapList {
    std::vector<IdMapEntry> entries; ///< No id twice, on either side.
    bool operator==(const IdMapList &) const = default;
};
/// linux.kernel_modules: names, with commas between.
struct ModuleList {
    std::vector<std::string> names;
    bool operator==(const ModuleList &) const = default;
};
/// security.syscalls.intercept.mount.allowed: of kMountableFileSystems, with commas between.
inline constexpr std::string_view kMountableFileSystems[] = {"ext2", "ext3", "ext4", "squashfs", "xfs"};
struct FileSystemList {
    std::vector<std::string> names;
    bool operator==(const FileSystemList &) const = default;
};
/// security.syscalls.intercept.mount.fuse: "ext4=fuse2fs,ntfs=/bin/ntfs-3g".
struct FuseList {
    std::vector<std::pair<std::string, std::string>> programs; ///< By file system, none twice.
    bool operator==(const FuseList &) const = default;
};
struct MacAddress {
    std::string text; ///< Lower case, "10:66:6a:00:00:01", unicast.
    bool operator==(const MacAddress &) const = default;
};
/// Of an InfiniBand port: 20 bytes, or the last 8 of them (its GUID), which is all that is changed then.
struct InfinibandAddress {
    std::string text; ///< Lower case, colons between the bytes.
    bool operator==(const InfinibandAddress &) const = default;
};
struct InterfaceName {
    std::string text; ///< 1 to 15 of letters, digits, "-_.", as netdevice(7) takes them.
    bool operator==(const InterfaceName &) const = default;
};
/// Separated by commas in text; each in the one form of its family, none twice.
struct Ipv4List {
    std::vector<std::string> items; ///< "10.1.2.3"
    bool operator==(const Ipv4List &) const = default;
};
struct Ipv6List {
    std::vector<std::string> items; ///< "fd42::3"
    bool operator==(const Ipv6List &) const = default;
};
struct Ipv4Subnets {
    std::vector<std::string> items; ///< "10.1.2.0/24", without bits behind the prefix.
    bool operator==(const Ipv4Subnets &) const = default;
};
struct Ipv6Subnets {
    std::vector<std::string> items; ///< "fd42::/64"
    bool operator==(const Ipv6Subnets &) const = default;
};
/// Bits a second: "10Mbit", "512kbit", a plain number.
struct BitRate {
    std::uint64_t bits = 0; ///< At least kLeast: less does not let one packet through in time.
    static constexpr std::uint64_t kLeast = 8'000;
    static constexpr std::uint64_t kMost = 1'000'000'000'000;
    bool operator==(const BitRate &) const = default;
};
enum class Gateway { Auto, None };
/// Of frames without a tag (IEEE 802.1Q).
struct PortVlan {
    std::uint32_t id = 0; ///< 1 to 4094; 0: none, such frames do not pass.
    bool operator==(const PortVlan &) const = default;
};
struct VlanList {
    std::vector<std::uint32_t> ids; ///< 1 to 4094, sorted, no doubles; "5,10-12" in text.
    bool operator==(const VlanList &) const = default;
};
/// Names of access control lists, separated by commas, none twice.
struct AclNames {
    std::vector<std::string> items;
    bool operator==(const AclNames &) const = default;
};
/// What becomes of a packet.
enum class AclAction { Allow, Drop, Reject };
enum class MacvlanMode { Bridge, Vepa, Private, Passthru };
struct AbsolutePath {
    std::string text; ///< Starts with "/", no "." or ".." part, no double or trailing slash.
    bool operator==(const AbsolutePath &) const = default;
};
struct ObjectName {
    std::string text; ///< Of a pool or network.
    bool operator==(const ObjectName &) const = default;
};
struct HexId {
    std::string text; ///< Four hex digits, lower case: a vendor or a product.
    bool operator==(const HexId &) const = default;
};
struct PciAddress {
    std::string text; ///< "0000:00:02.0", lower case.
    bool operator==(const PciAddress &) const = default;
};
struct FileMode {
    std::uint32_t bits = 0;
    bool operator==(const FileMode &) const = default;
};

/// limits.read and its kin of a disk: bytes or operations in a second.
struct IoLimit {
    std::optional<Bytes> bytes;
    std::uint64_t operations = 0; ///< Without `bytes`.
    bool operator==(const IoLimit &) const = default;
};
/// How what is mounted later below a disk is seen (mount_namespaces(7)). Of what is bound it is all or nothing, so that
/// "rslave" is "slave".
struct Propagation {
    enum class Kind { Private, Shared, Slave, Unbindable };
    Kind kind = Kind::Private;
    bool recursive = false; ///< Only to be written as it was.
    bool operator==(const Propagation &) const = default;
};
/// raw.mount.options: those that cannot widen what a guest may do.
struct MountOptions {
    std::vector<std::string> names; ///< Of MountOption, as written: "noexec", "mode=1777".
    bool operator==(const MountOptions &) const = default;
};

/// How a type is written: `kType` (for help), `parse` (Invalid, quoting the text) and `format`; parse(format(x)) == x.
template <class T> struct Codec;

#define LXMGR_CODEC(Type, name)                                                                                        \
    template <> struct Codec<Type> {                                                                                   \
        static constexpr std::string_view kType = name;                                                                \
        static Result<Type> parse(std::string_view text);                                                              \
        static std::string format(const Type &value);                                                                  \
    }
LXMGR_CODEC(bool, "bool");
LXMGR_CODEC(std::uint32_t, "integer");
LXMGR_CODEC(std::int32_t, "integer");
LXMGR_CODEC(std::string, "string");
LXMGR_CODEC(Bytes, "size");
LXMGR_CODEC(Seconds, "seconds");
LXMGR_CODEC(CpuLimit, "count or set");
LXMGR_CODEC(NodeList, "numbers of nodes");
LXMGR_CODEC(CpuAllowance, "percent or ms/ms");
LXMGR_CODEC(MemoryLimit, "size or percent");
LXMGR_CODEC(MemoryEnforce, "hard or soft");
LXMGR_CODEC(MemorySwap, "bool or size");
LXMGR_CODEC(ShutdownAction, "stop or force-stop");
LXMGR_CODEC(KernelLimit, "soft[:hard]");
LXMGR_CODEC(LineList, "lines");
LXMGR_CODEC(IdMapList, "lines of ids");
LXMGR_CODEC(ModuleList, "names");
LXMGR_CODEC(FileSystemList, "file systems");
LXMGR_CODEC(FuseList, "programs");
LXMGR_CODEC(MacAddress, "MAC address");
LXMGR_CODEC(InfinibandAddress, "InfiniBand address");
LXMGR_CODEC(InterfaceName, "interface name");
LXMGR_CODEC(Ipv4List, "IPv4 addresses");
LXMGR_CODEC(Ipv6List, "IPv6 addresses");
LXMGR_CODEC(Ipv4Subnets, "IPv4 subnets");
LXMGR_CODEC(Ipv6Subnets, "IPv6 subnets");
LXMGR_CODEC(BitRate, "bits a second");
LXMGR_CODEC(Gateway, "auto or none");
LXMGR_CODEC(PortVlan, "number or none");
LXMGR_CODEC(VlanList, "numbers");
LXMGR_CODEC(AclNames, "names");
LXMGR_CODEC(AclAction, "allow, drop or reject");
LXMGR_CODEC(MacvlanMode, "bridge, vepa, private or passthru");
LXMGR_CODEC(AbsolutePath, "absolute path");
LXMGR_CODEC(ObjectName, "name");
LXMGR_CODEC(FileMode, "octal mode");
LXMGR_CODEC(HexId, "4 hex digits");
LXMGR_CODEC(PciAddress, "PCI address");
LXMGR_CODEC(IoLimit, "size or iops");
LXMGR_CODEC(Propagation, "private, shared, slave or unbindable");
LXMGR_CODEC(MountOptions, "mount options");
#undef LXMGR_CODEC

/// Letters, digits, "-_.", as in a log's line.
Status checkAclName(const std::string &name);

/// One that raw.mount.options may have.
struct MountOption {
    std::string_view name;
    bool tmpfsOnly = false;
    int base = 0; ///< Of its value; 0: it has none.
    std::uint32_t most = 0;
};
inline constexpr MountOption kMountOptions[] = {
    {"noatime"},
    {"nodev"},
    {"nodiratime"},
    {"noexec"},
    {"nosuid"},
    {"nosymfollow"},
    {"relatime"},
    {"ro"},
    {"strictatime"},
    {"gid", true, 10, 0xFFFFFFFE},
    {"mode", true, 8, 01777},
    {"nr_inodes", true, 10, 0x7FFFFFFF},
    {"uid", true, 10, 0xFFFFFFFE},
};
/// The row of "mode=1777"; nullptr: none.
const MountOption *findMountOption(std::string_view text);

} // namespace lxmgr::config

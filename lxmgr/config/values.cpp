#include "config/values.h"

#include "base/text.h"
#include "config/value_parts.h"

#include <algorithm>
#include <charconv>

namespace lxmgr::config
{

Result<std::vector<std::uint32_t>> parseNumbers(std::string_view text, std::uint32_t least, std::uint32_t most)
{
    std::vector<std::uint32_t> numbers;
    for (const std::string &part : split(text, ',')) {
        const std::size_t dash = part.find('-');
        const auto first = TRY(parseUnsigned(part.substr(0, dash), least, most));
        const auto last = dash == std::string::npos ? first : TRY(parseUnsigned(part.substr(dash + 1), first, most));
        for (std::uint64_t number = first; number <= last; ++number)
            numbers.push_back(static_cast<std::uint32_t>(number));
        if (numbers.size() > 2 * std::size_t{most})
            return Error(Code::Invalid, "names too much");
    }
    std::ranges::sort(numbers);
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    return numbers;
}

std::string formatNumbers(const std::vector<std::uint32_t> &numbers)
{
    std::string text;
    for (std::size_t from = 0; from < numbers.size();) {
        std::size_t to = from;
        while (to + 1 < numbers.size() && numbers[to + 1] == numbers[to] + 1)
            ++to;
        text += (text.empty() ? "" : ",") + std::to_string(numbers[from]);
        if (to > from)
            text += "-" + std::to_string(numbers[to]);
        from = to + 1;
    }
    return text;
}

namespace
{

constexpr std::size_t kMaxText = 512 * 1024; // cloud-init documents are the largest honest values
constexpr std::uint32_t kMaxCpu = 8191;      // CONFIG_NR_CPUS on the largest distribution kernels
constexpr std::uint64_t kLeastMemory = 1 << 20;

bool hasControl(std::string_view text)
{
    return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

Result<std::int64_t> parseMillis(std::string_view text, std::uint64_t most)
{
    if (!text.ends_with("ms"))
        return bad(text, "is not a time in ms");
    return static_cast<std::int64_t>(TRY(parseUnsigned(text.substr(0, text.size() - 2), 1, most)));
}

Result<std::uint32_t> parsePercent(std::string_view text)
{
    return static_cast<std::uint32_t>(TRY(parseUnsigned(text.substr(0, text.size() - 1), 1, 100)));
}

Result<std::uint64_t> parseKernelValue(std::string_view text)
{
    if (text == "unlimited")
        return KernelLimit::kUnlimited;
    return parseUnsigned(text, 0, KernelLimit::kUnlimited - 1);
}

std::string formatKernelValue(std::uint64_t value)
{
    return value == KernelLimit::kUnlimited ? "unlimited" : std::to_string(value);
}

} // namespace

Result<bool> Codec<bool>::parse(std::string_view text) { return parseBool(text); }
std::string Codec<bool>::format(const bool &value) { return value ? "true" : "false"; }

Result<std::uint32_t> Codec<std::uint32_t>::parse(std::string_view text)
{
    return static_cast<std::uint32_t>(TRY(parseUnsigned(text, 0, UINT32_MAX)));
}
std::string Codec<std::uint32_t>::format(const std::uint32_t &value) { return std::to_string(value); }

Result<std::int32_t> Codec<std::int32_t>::parse(std::string_view text)
{
    return static_cast<std::int32_t>(TRY(parseSigned(text, INT32_MIN, INT32_MAX)));
}
std::string Codec<std::int32_t>::format(const std::int32_t &value) { return std::to_string(value); }

Result<std::string> Codec<std::string>::parse(std::string_view text)
{
    if (text.size() > kMaxText)
        return Error(Code::Invalid, "is longer than 512KiB");
    if (text.find('\0') != std::string_view::npos || !isValidUtf8(text))
        return Error(Code::Invalid, "has a NUL or bytes that are not UTF-8");
    return std::string(text);
}
std::string Codec<std::string>::format(const std::string &value) { return value; }

Result<Bytes> Codec<Bytes>::parse(std::string_view text) { return parseBytes(text); }
std::string Codec<Bytes>::format(const Bytes &value) { return formatBytes(value); }

Result<Seconds> Codec<Seconds>::parse(std::string_view text)
{
    return Seconds{static_cast<std::uint32_t>(TRY(parseUnsigned(text, 0, 7 * 24 * 3600)))};
}
std::string Codec<Seconds>::format(const Seconds &value) { return std::to_string(value.count); }

Result<CpuLimit> Codec<CpuLimit>::parse(std::string_view text)
{
    constexpr std::string_view kWhat = "is neither a number of CPUs (2) nor a set of them (0-3 or 1,5)";
    CpuLimit limit;
    if (std::ranges::all_of(text, isDigit)) {
        const auto count = parseUnsigned(text, 1, kMaxCpu + 1);
        if (!count)
            return bad(text, kWhat);
        limit.count = static_cast<std::uint32_t>(*count);
        return limit;
    }
    const auto set = parseNumbers(text, 0, kMaxCpu);
    if (!set)
        return bad(text, kWhat);
    limit.set = *set;
    return limit;
}
std::string Codec<CpuLimit>::format(const CpuLimit &value)
{
    if (value.count != 0)
        return std::to_string(value.count);
    // A lone number would read as a count, so one CPU is written "3-3".
    return value.set.size() == 1 ? std::to_string(value.set[0]) + "-" + std::to_string(value.set[0]) : formatNumbers(value.set);
}

namespace
{
constexpr std::string_view kBalanced = "balanced";
} // namespace

Result<NodeList> Codec<NodeList>::parse(std::string_view text)
{
    if (text == kBalanced)
        return NodeList{};
    const auto nodes = parseNumbers(text, 0, kMaxCpu);
    if (!nodes)
        return bad(text, "is no list of NUMA nodes (0, 0-1 or 0,2), nor balanced");
    return NodeList{*nodes};
}
std::string Codec<NodeList>::format(const NodeList &value) { return value.nodes.empty() ? std::string(kBalanced) : formatNumbers(value.nodes); }

Result<CpuAllowance> Codec<CpuAllowance>::parse(std::string_view text)
{
    constexpr std::string_view kWhat =
        "is neither a share (1% to 100%) nor a quota (25ms/100ms, period at most 1000ms)";
    CpuAllowance allowance;
    if (text.ends_with('%')) {
        const auto percent = parsePercent(text);
        if (!percent)
            return bad(text, kWhat);
        allowance.percent = *percent;
        return allowance;
    }
    // The kernel takes periods of 1 ms to 1 s (sched_cfs_period, both layouts); the quota may be several CPUs' worth.
    const std::size_t slash = text.find('/');
    const auto quota = parseMillis(text.substr(0, slash), 1000 * (kMaxCpu + 1));
    const auto period =
        parseMillis(slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1), 1000);
    if (!quota || !period)
        return bad(text, kWhat);
    allowance.quota = Millis{*quota};
    allowance.period = Millis{*period};
    return allowance;
}
std::string Codec<CpuAllowance>::format(const CpuAllowance &value)
{
    if (value.percent != 0)
        return std::to_string(value.percent) + "%";
    return std::to_string(value.quota.count) + "ms/" + std::to_string(value.period.count) + "ms";
}

Result<MemoryLimit> Codec<MemoryLimit>::parse(std::string_view text)
{
    MemoryLimit limit;
    if (text.ends_with('%')) {
        const auto percent = parsePercent(text);
        if (!percent)
            return bad(text, "is not a share of the host's memory (1% to 100%)");
        limit.percent = *percent;
        return limit;
    }
    limit.bytes = TRY(parseBytes(text));
    if (limit.bytes.count < kLeastMemory)
        return bad(text, "is too little for a guest (at least 1MiB; a plain number counts bytes)");
    return limit;
}
std::string Codec<MemoryLimit>::format(const MemoryLimit &value)
{
    return value.percent != 0 ? std::to_string(value.percent) + "%" : formatBytes(value.bytes);
}

namespace
{
constexpr Word<MemoryEnforce> kEnforcements[] = {{"hard", MemoryEnforce::Hard}, {"soft", MemoryEnforce::Soft}};
constexpr Word<ShutdownAction> kShutdownActions[] = {{"stop", ShutdownAction::Stop}, {"force-stop", ShutdownAction::ForceStop}};
} // namespace

Result<MemoryEnforce> Codec<MemoryEnforce>::parse(std::string_view text) { return parseWord(text, kEnforcements); }
std::string Codec<MemoryEnforce>::format(const MemoryEnforce &value) { return formatWord(value, kEnforcements); }

Result<ShutdownAction> Codec<ShutdownAction>::parse(std::string_view text)
{
    return parseWord(text, kShutdownActions, " (stateful-stop needs checkpoints, which are not offered)");
}
std::string Codec<ShutdownAction>::format(const ShutdownAction &value) { return formatWord(value, kShutdownActions); }

Result<MemorySwap> Codec<MemorySwap>::parse(std::string_view text)
{
    if (const auto allowed = Codec<bool>::parse(text))
        return MemorySwap{*allowed, {}};
    const auto most = parseBytes(text);
    if (!most)
        return bad(text, "is neither true, false nor a size");
    return MemorySwap{true, *most};
}
std::string Codec<MemorySwap>::format(const MemorySwap &value)
{
    return value.most ? formatBytes(*value.most) : Codec<bool>::format(value.allowed);
}

Result<KernelLimit> Codec<KernelLimit>::parse(std::string_view text)
{
    const std::size_t colon = text.find(':');
    const auto soft = parseKernelValue(text.substr(0, colon));
    const auto hard = colon == std::string_view::npos ? soft : parseKernelValue(text.substr(colon + 1));
    if (!soft || !hard || *soft > *hard)
        return bad(text, "is not a limit (a number or unlimited, or soft:hard with soft not above hard)");
    return KernelLimit{*soft, *hard};
}
std::string Codec<KernelLimit>::format(const KernelLimit &value)
{
    const std::string soft = formatKernelValue(value.soft);
    return value.soft == value.hard ? soft : soft + ":" + formatKernelValue(value.hard);
}

Result<LineList> Codec<LineList>::parse(std::string_view text)
{
    LineList list;
    for (const std::string &line : split(text, '\n')) {
        const std::string_view entry = trimmed(line);
        if (entry.empty())
            continue;
        if (!std::ranges::all_of(entry, [](char c) { return isDigit(c) || (c >= 'a' && c <= 'z') || c == '_'; }))
            return bad(entry, "is not the name of a system call (one a line, nothing behind it)");
        list.lines.emplace_back(entry);
    }
    return list;
}
std::string Codec<LineList>::format(const LineList &value) { return join(value.lines, "\n"); }

Result<ModuleList> Codec<ModuleList>::parse(std::string_view text)
{
    const auto allowed = [](char c) { return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-'; };
    constexpr std::size_t kMost = 64, kLongest = 56; // MODULE_NAME_LEN
    ModuleList list;
    for (const std::string &part : split(text, ',')) {
        const std::string_view name = trimmed(part);
        if (name.empty())
            continue;
        if (name.size() > kLongest || name.front() == '-' || !std::ranges::all_of(name, allowed))
            return bad(name, "is not the name of a kernel module (names, with commas between)");
        list.names.emplace_back(name);
    }
    return list.names.size() <= kMost ? Result<ModuleList>(std::move(list)) : bad(text, "has more than 64 modules");
}
std::string Codec<ModuleList>::format(const ModuleList &value) { return join(value.names, ","); }

Result<FileSystemList> Codec<FileSystemList>::parse(std::string_view text)
{
    FileSystemList list;
    for (const std::string &part : split(text, ',')) {
        const std::string_view name = trimmed(part);
        if (std::ranges::find(kMountableFileSystems, name) == std::end(kMountableFileSystems))
            return bad(name, "is not a file system that can be mounted for a guest: ext2, ext3, ext4, squashfs or xfs "
                             "(others by a program of the guest: security.syscalls.intercept.mount.fuse)");
        if (std::ranges::find(list.names, name) == list.names.end())
            list.names.emplace_back(name);
    }
    return list;
}
std::string Codec<FileSystemList>::format(const FileSystemList &value) { return join(value.names, ","); }

Result<FuseList> Codec<FuseList>::parse(std::string_view text)
{
    constexpr std::string_view kWhat = "is not FILESYSTEM=PROGRAM (ext4=fuse2fs), a name or a path from the root inside";
    const auto isName = [](char c) { return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.' || c == '+'; };
    constexpr std::size_t kMost = 32, kLongest = 255, kLongestType = 63;
    FuseList list;
    for (const std::string &part : split(text, ',')) {
        const std::string_view entry = trimmed(part);
        const std::size_t equals = entry.find('=');
        const std::string_view type = entry.substr(0, equals), program = equals == std::string_view::npos ? "" : entry.substr(equals + 1);
        const bool isPath = program.starts_with('/');
        if (type.empty() || type.size() > kLongestType || !std::ranges::all_of(type, isName) || program.empty() || program.size() > kLongest ||
            program.starts_with('-') || !std::ranges::all_of(program, [&](char c) { return isName(c) || (c == '/' && isPath); }))
            return bad(entry, kWhat);
        if (std::ranges::find(list.programs, type, [](const auto &each) { return std::string_view(each.first); }) != list.programs.end())
            return bad(type, "is there twice");
        list.programs.emplace_back(type, program);
    }
    return list.programs.size() <= kMost ? Result<FuseList>(std::move(list)) : bad(text, "has more than 32 file systems");
}
std::string Codec<FuseList>::format(const FuseList &value)
{
    std::vector<std::string> parts;
    for (const auto &[type, program] : value.programs)
        parts.push_back(type + "=" + program);
    return join(parts, ",");
}

namespace
{

struct Ids {
    std::uint32_t first = 0, count = 0;
};

/// "1000" or "1000-1999".
Result<Ids> parseIds(std::string_view text)
{
    constexpr std::uint32_t kLast = 0xfffffffe; // (uid_t)-1 is nobody at all
    const std::size_t dash = text.find('-');
    const auto first = TRY(parseUnsigned(text.substr(0, dash), 0, kLast));
    const auto last = dash == std::string_view::npos ? first : TRY(parseUnsigned(text.substr(dash + 1), first, kLast));
    return Ids{static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last - first + 1)};
}

std::string formatIds(std::uint32_t first, std::uint32_t count)
{
    return count == 1 ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(std::uint64_t{first} + count - 1);
}

bool meet(std::uint32_t a, std::uint32_t b, const IdMapEntry &one, const IdMapEntry &other)
{
    const bool sameKind = (one.users && other.users) || (one.groups && other.groups);
    return sameKind && a < std::uint64_t{b} + other.count && b < std::uint64_t{a} + one.count;
}

Result<IdMapEntry> parseIdMapEntry(std::string_view line)
{
    const std::vector<std::string> parts = words(line);
    const auto host = parts.size() == 3 ? parseIds(parts[1]) : Result<Ids>(Error(Code::Invalid, "")),
               inside = parts.size() == 3 ? parseIds(parts[2]) : Result<Ids>(Error(Code::Invalid, ""));
    const bool known = !parts.empty() && (parts[0] == "both" || parts[0] == "uid" || parts[0] == "gid");
    if (!known || !host || !inside || host->count != inside->count)
        return bad(line, "is not 'both', 'uid' or 'gid', the host's ids and as many inside (\"both 1000 1000\", \"gid 100-109 200-209\")");
    if (host->first == 0)
        return bad(line, "would make the host's root one inside (security.privileged is for that)");
    return IdMapEntry{parts[0] != "gid", parts[0] != "uid", host->first, inside->first, host->count};
}

} // namespace

Result<IdMapList> Codec<IdMapList>::parse(std::string_view text)
{
    constexpr std::size_t kMost = 100; // user_namespaces(7): 340 lines, and each may cut the guest's own range in two
    IdMapList list;
    for (const std::string &line : split(text, '\n')) {
        if (trimmed(line).empty())
            continue;
        const IdMapEntry entry = TRY(parseIdMapEntry(trimmed(line)));
        for (const IdMapEntry &other : list.entries)
            if (meet(entry.host, other.host, entry, other) || meet(entry.inside, other.inside, entry, other))
                return bad(line, "has an id of another line");
        list.entries.push_back(entry);
        if (list.entries.size() > kMost)
            return Error(Code::Invalid, "more than 100 lines");
    }
    return list;
}
std::string Codec<IdMapList>::format(const IdMapList &value)
{
    std::vector<std::string> lines;
    for (const IdMapEntry &entry : value.entries)
        lines.push_back(std::string(!entry.groups ? "uid" : !entry.users ? "gid" : "both") + " " + formatIds(entry.host, entry.count) + " " +
                        formatIds(entry.inside, entry.count));
    return join(lines, "\n");
}

Result<AbsolutePath> Codec<AbsolutePath>::parse(std::string_view text)
{
    if (!text.starts_with('/') || text.size() >= 4096 || hasControl(text))
        return bad(text, "is not an absolute path");
    std::string path;
    for (const std::string &part : split(text, '/')) {
        if (part == "." || part == "..")
            return bad(text, "has a '" + part + "' in it; write the path it means");
        if (!part.empty())
            path += "/" + part;
    }
    return AbsolutePath{path.empty() ? "/" : path};
}
std::string Codec<AbsolutePath>::format(const AbsolutePath &value) { return value.text; }

Result<ObjectName> Codec<ObjectName>::parse(std::string_view text)
{
    std::string name(text);
    if (!checkObjectName("object", name))
        return bad(text, "is not a name (1 to 64 of letters, digits and -_.)");
    return ObjectName{std::move(name)};
}
std::string Codec<ObjectName>::format(const ObjectName &value) { return value.text; }

Result<FileMode> Codec<FileMode>::parse(std::string_view text)
{
    std::uint32_t bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 8);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size() || bits > 0777)
        return bad(text, "is not a file mode (octal, 0 to 0777)");
    return FileMode{bits};
}
std::string Codec<FileMode>::format(const FileMode &value)
{
    std::string text = "0000";
    for (int digit = 0; digit < 3; ++digit)
        text[3 - digit] = static_cast<char>('0' + ((value.bits >> (3 * digit)) & 7));
    return text;
}

namespace
{

std::string lowered(std::string_view text)
{
    std::string out(text);
    for (char &c : out)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
}

/// `shape` has an x for each hex digit.
bool hasShape(std::string_view text, std::string_view shape)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    if (text.size() != shape.size())
        return false;
    for (std::size_t i = 0; i < text.size(); ++i)
        if (shape[i] == 'x' ? kDigits.find(text[i]) == std::string_view::npos : text[i] != shape[i])
            return false;
    return true;
}

} // namespace

Result<HexId> Codec<HexId>::parse(std::string_view text)
{
    HexId id{lowered(text)};
    if (!hasShape(id.text, "xxxx"))
        return bad(text, "is not four hex digits (for example 046d, as lsusb and lspci -n print them)");
    return id;
}
std::string Codec<HexId>::format(const HexId &value) { return value.text; }

Result<PciAddress> Codec<PciAddress>::parse(std::string_view text)
{
    const std::string address = lowered(text);
    if (hasShape(address, "xx:xx.x"))
        return PciAddress{"0000:" + address};
    if (!hasShape(address, "xxxx:xx:xx.x"))
        return bad(text, "is not a PCI address (for example 0000:00:02.0)");
    return PciAddress{address};
}
std::string Codec<PciAddress>::format(const PciAddress &value) { return value.text; }

Result<IoLimit> Codec<IoLimit>::parse(std::string_view text)
{
    constexpr std::string_view kOperations = "iops";
    IoLimit limit;
    if (text.ends_with(kOperations)) {
        const auto count = parseUnsigned(text.substr(0, text.size() - kOperations.size()), 1, UINT32_MAX);
        if (!count)
            return bad(text, "is not a number of operations in a second (for example 500iops)");
        limit.operations = *count;
        return limit;
    }
    const auto bytes = parseBytes(text);
    if (!bytes || bytes->count == 0)
        return bad(text, "is not a limit of a disk (for example 10MB, in a second, or 500iops)");
    limit.bytes = *bytes;
    return limit;
}
std::string Codec<IoLimit>::format(const IoLimit &value)
{
    return value.bytes ? Codec<Bytes>::format(*value.bytes) : std::to_string(value.operations) + "iops";
}

namespace
{

constexpr std::pair<std::string_view, Propagation::Kind> kPropagations[] = {
    {"private",    Propagation::Kind::Private   },
    {"shared",     Propagation::Kind::Shared    },
    {"slave",      Propagation::Kind::Slave     },
    {"unbindable", Propagation::Kind::Unbindable},
};

} // namespace

Result<Propagation> Codec<Propagation>::parse(std::string_view text)
{
    for (const auto &[name, kind] : kPropagations)
        if (text == name || (text.starts_with('r') && text.substr(1) == name))
            return Propagation{kind, text != name};
    return bad(text, "is not a propagation (private, shared, slave, unbindable, or with an r before it)");
}
std::string Codec<Propagation>::format(const Propagation &value)
{
    for (const auto &[name, kind] : kPropagations)
        if (kind == value.kind)
            return (value.recursive ? "r" : "") + std::string(name);
    return {};
}

const MountOption *findMountOption(std::string_view text)
{
    const std::string_view name = text.substr(0, text.find('='));
    const auto row = std::ranges::find(kMountOptions, name, &MountOption::name);
    return row == std::end(kMountOptions) ? nullptr : &*row;
}

Result<MountOptions> Codec<MountOptions>::parse(std::string_view text)
{
    MountOptions options;
    for (const std::string &part : split(text, ',')) {
        const std::string option(trimmed(part));
        if (option.empty())
            continue;
        const MountOption *row = findMountOption(option);
        if (row == nullptr) {
            std::string known;
            for (const MountOption &each : kMountOptions)
                known += (known.empty() ? "" : ", ") + std::string(each.name);
            return bad(option, "is not a mount option that may be given (" + known + ")");
        }
        const std::size_t equals = option.find('=');
        if ((equals != std::string::npos) != (row->base != 0))
            return bad(option, row->base ? "needs a value" : "takes no value");
        if (row->base != 0) {
            const std::string value = option.substr(equals + 1);
            std::uint32_t number = 0;
            const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number, row->base);
            if (value.empty() || error != std::errc{} || end != value.data() + value.size() || number > row->most)
                return bad(option, "has a value that is not " + std::string(row->base == 8 ? "octal" : "a number") + ", or too large");
        }
        options.names.push_back(option);
    }
    if (options.names.empty())
        return bad(text, "has no mount option in it");
    return options;
}
std::string Codec<MountOptions>::format(const MountOptions &value) { return join(value.names, ","); }

} // namespace lxmgr::config

#include "spec/codec.h"

#include <concepts>
#include <cstring>
#include <tuple>
#include <type_traits>

namespace lxmgr::spec
{

namespace
{

template <class Struct, class Member> struct Field {
    std::uint16_t tag;
    Member Struct::*member;
};

/// The rows of each struct; a tag is never given another meaning.
template <class T> struct Fields;

// clang-format off
template <> struct Fields<IdRange> { static constexpr auto rows = std::tuple{
    Field{1, &IdRange::container}, Field{2, &IdRange::host}, Field{3, &IdRange::count}}; };
template <> struct Fields<IdMap> { static constexpr auto rows = std::tuple{
    Field{1, &IdMap::uids}, Field{2, &IdMap::gids}}; };
template <> struct Fields<Rootfs> { static constexpr auto rows = std::tuple{
    Field{1, &Rootfs::kind}, Field{2, &Rootfs::directory}, Field{3, &Rootfs::lower}, Field{4, &Rootfs::layer},
    Field{5, &Rootfs::readOnly}, Field{6, &Rootfs::hasNodes}}; };
template <> struct Fields<Mount> { static constexpr auto rows = std::tuple{
    Field{1, &Mount::kind}, Field{2, &Mount::source}, Field{3, &Mount::target}, Field{4, &Mount::options},
    Field{5, &Mount::readOnly}, Field{6, &Mount::recursive}, Field{7, &Mount::idmapped}, Field{8, &Mount::nosuid},
    Field{9, &Mount::nodev}, Field{10, &Mount::createTarget}, Field{11, &Mount::attributes},
    Field{12, &Mount::propagation}, Field{13, &Mount::optional}, Field{14, &Mount::beneath}}; };
template <> struct Fields<DeviceNode> { static constexpr auto rows = std::tuple{
    Field{1, &DeviceNode::path}, Field{2, &DeviceNode::block}, Field{3, &DeviceNode::major}, Field{4, &DeviceNode::minor},
    Field{5, &DeviceNode::mode}, Field{6, &DeviceNode::uid}, Field{7, &DeviceNode::gid},
    Field{8, &DeviceNode::device}}; };
template <> struct Fields<GuestFile> { static constexpr auto rows = std::tuple{
    Field{1, &GuestFile::path}, Field{2, &GuestFile::content}, Field{3, &GuestFile::uid}, Field{4, &GuestFile::gid},
    Field{5, &GuestFile::mode}, Field{6, &GuestFile::createOnly}, Field{7, &GuestFile::onlyWith}}; };
template <> struct Fields<GuestGroup> { static constexpr auto rows = std::tuple{
    Field{1, &GuestGroup::name}, Field{2, &GuestGroup::members}}; };
template <> struct Fields<GuestUser> { static constexpr auto rows = std::tuple{
    Field{1, &GuestUser::name}, Field{2, &GuestUser::gecos}, Field{3, &GuestUser::home}, Field{4, &GuestUser::shell},
    Field{5, &GuestUser::primaryGroup}, Field{6, &GuestUser::groups}, Field{7, &GuestUser::sudo}, Field{8, &GuestUser::keys},
    Field{9, &GuestUser::passwordHash}, Field{10, &GuestUser::locked}, Field{11, &GuestUser::uid},
    Field{12, &GuestUser::system}, Field{13, &GuestUser::createHome}, Field{14, &GuestUser::passwordOfNew}}; };
template <> struct Fields<GuestPassword> { static constexpr auto rows = std::tuple{
    Field{1, &GuestPassword::user}, Field{2, &GuestPassword::hash}, Field{3, &GuestPassword::expired}}; };
template <> struct Fields<SetupFile> { static constexpr auto rows = std::tuple{
    Field{1, &SetupFile::path}, Field{2, &SetupFile::content}, Field{3, &SetupFile::user}, Field{4, &SetupFile::group},
    Field{5, &SetupFile::mode}, Field{6, &SetupFile::append}}; };
template <> struct Fields<GuestSetup> { static constexpr auto rows = std::tuple{
    Field{1, &GuestSetup::groups}, Field{2, &GuestSetup::users}, Field{3, &GuestSetup::files}, Field{4, &GuestSetup::hosts},
    Field{5, &GuestSetup::passwords}, Field{6, &GuestSetup::sshPasswords}}; };
template <> struct Fields<Nic> { static constexpr auto rows = std::tuple{
    Field{1, &Nic::device}, Field{2, &Nic::hostName}, Field{3, &Nic::guestName}, Field{4, &Nic::bridge},
    Field{5, &Nic::mac}, Field{6, &Nic::mtu}, Field{7, &Nic::kind}, Field{8, &Nic::parent}, Field{9, &Nic::mode},
    Field{10, &Nic::addresses}, Field{11, &Nic::gateways}, Field{12, &Nic::routes}, Field{13, &Nic::index},
    Field{14, &Nic::hostMac}, Field{15, &Nic::hostMtu}, Field{16, &Nic::hostUp},
    Field{17, &Nic::ingress}, Field{18, &Nic::egress}, Field{19, &Nic::isolated}, Field{20, &Nic::hairpin},
    Field{21, &Nic::hostAddresses}, Field{22, &Nic::hostTable4}, Field{23, &Nic::hostTable6}, Field{24, &Nic::queueLength},
    Field{25, &Nic::vlan}, Field{26, &Nic::vlans}, Field{27, &Nic::vlanOf}}; };
template <> struct Fields<ProxyEnd> { static constexpr auto rows = std::tuple{
    Field{1, &ProxyEnd::kind}, Field{2, &ProxyEnd::address}, Field{3, &ProxyEnd::ports}}; };
template <> struct Fields<Proxy> { static constexpr auto rows = std::tuple{
    Field{1, &Proxy::device}, Field{2, &Proxy::inside}, Field{3, &Proxy::listen}, Field{4, &Proxy::connect},
    Field{5, &Proxy::nat}, Field{6, &Proxy::proxyProtocol}, Field{7, &Proxy::uid}, Field{8, &Proxy::gid},
    Field{9, &Proxy::mode}, Field{10, &Proxy::connectUid}, Field{11, &Proxy::connectGid}, Field{12, &Proxy::seccomp}}; };
template <> struct Fields<Tpm> { static constexpr auto rows = std::tuple{
    Field{1, &Tpm::device}, Field{2, &Tpm::path}, Field{3, &Tpm::pathRm}, Field{4, &Tpm::state},
    Field{5, &Tpm::program}, Field{6, &Tpm::proxy}, Field{7, &Tpm::sysfs}, Field{8, &Tpm::id}}; };
template <> struct Fields<CgroupWrite> { static constexpr auto rows = std::tuple{
    Field{1, &CgroupWrite::controller}, Field{2, &CgroupWrite::file}, Field{3, &CgroupWrite::value},
    Field{4, &CgroupWrite::required}}; };
template <> struct Fields<ResourceLimit> { static constexpr auto rows = std::tuple{
    Field{1, &ResourceLimit::resource}, Field{2, &ResourceLimit::soft}, Field{3, &ResourceLimit::hard}}; };
template <> struct Fields<InterceptedMount> { static constexpr auto rows = std::tuple{
    Field{1, &InterceptedMount::type}, Field{2, &InterceptedMount::program}}; };
template <> struct Fields<LaunchSpec> { static constexpr auto rows = std::tuple{
    Field{1, &LaunchSpec::project}, Field{2, &LaunchSpec::instance}, Field{3, &LaunchSpec::runDir},
    Field{4, &LaunchSpec::consoleLog}, Field{5, &LaunchSpec::cgroup}, Field{6, &LaunchSpec::cgroupWrites},
    Field{7, &LaunchSpec::idmap}, Field{8, &LaunchSpec::rootfs}, Field{9, &LaunchSpec::mounts},
    Field{10, &LaunchSpec::devices}, Field{11, &LaunchSpec::files}, Field{12, &LaunchSpec::nics},
    Field{13, &LaunchSpec::hostname}, Field{14, &LaunchSpec::init}, Field{15, &LaunchSpec::environment},
    Field{16, &LaunchSpec::sysctls}, Field{17, &LaunchSpec::boundingSet}, Field{18, &LaunchSpec::seccomp},
    Field{19, &LaunchSpec::rlimits}, Field{20, &LaunchSpec::oomScoreAdj}, Field{21, &LaunchSpec::nesting},
    Field{22, &LaunchSpec::consoleBuffer}, Field{23, &LaunchSpec::patience}, Field{24, &LaunchSpec::setup},
    Field{40, &LaunchSpec::proxies}, Field{41, &LaunchSpec::intercepts}, Field{42, &LaunchSpec::tpms},
    Field{43, &LaunchSpec::interceptedMounts}, Field{44, &LaunchSpec::shiftMounts}}; };

template <> struct Fields<Failure> { static constexpr auto rows = std::tuple{
    Field{1, &Failure::code}, Field{2, &Failure::errnum}, Field{3, &Failure::message}}; };
template <> struct Fields<LaunchedBody> { static constexpr auto rows = std::tuple{
    Field{1, &LaunchedBody::initPid}, Field{2, &LaunchedBody::monitorPid}}; };
template <> struct Fields<InfoBody> { static constexpr auto rows = std::tuple{
    Field{1, &InfoBody::monitorPid}, Field{2, &InfoBody::initPid}, Field{3, &InfoBody::state},
    Field{4, &InfoBody::startedAt}, Field{5, &InfoBody::booted}, Field{6, &InfoBody::boots},
    Field{7, &InfoBody::version}}; };
template <> struct Fields<ExecRequest> { static constexpr auto rows = std::tuple{
    Field{1, &ExecRequest::argv}, Field{2, &ExecRequest::environment}, Field{3, &ExecRequest::directory},
    Field{4, &ExecRequest::uid}, Field{5, &ExecRequest::gid}, Field{6, &ExecRequest::pty},
    Field{7, &ExecRequest::width}, Field{8, &ExecRequest::height}}; };
template <> struct Fields<ExecStartedBody> { static constexpr auto rows = std::tuple{Field{1, &ExecStartedBody::pid}}; };
template <> struct Fields<ExecExit> { static constexpr auto rows = std::tuple{
    Field{1, &ExecExit::exitCode}, Field{2, &ExecExit::error}}; };
template <> struct Fields<SignalBody> { static constexpr auto rows = std::tuple{Field{1, &SignalBody::signal}}; };
template <> struct Fields<WindowBody> { static constexpr auto rows = std::tuple{
    Field{1, &WindowBody::width}, Field{2, &WindowBody::height}}; };
template <> struct Fields<ReplugBody> { static constexpr auto rows = std::tuple{
    Field{1, &ReplugBody::unmount}, Field{2, &ReplugBody::mount}, Field{3, &ReplugBody::unplug},
    Field{4, &ReplugBody::plug}, Field{5, &ReplugBody::removeNodes}, Field{6, &ReplugBody::addNodes},
    Field{9, &ReplugBody::before}, Field{10, &ReplugBody::after},
    Field{20, &ReplugBody::closeProxies}, Field{21, &ReplugBody::openProxies}}; };
template <> struct Fields<LimitsBody> { static constexpr auto rows = std::tuple{Field{1, &LimitsBody::cgroupWrites}}; };
template <> struct Fields<TextBody> { static constexpr auto rows = std::tuple{Field{1, &TextBody::text}}; };
template <> struct Fields<MonitorEvent> { static constexpr auto rows = std::tuple{
    Field{1, &MonitorEvent::kind}, Field{2, &MonitorEvent::reason}, Field{3, &MonitorEvent::status},
    Field{4, &MonitorEvent::initPid}, Field{5, &MonitorEvent::message}}; };
template <> struct Fields<ExitRecord> { static constexpr auto rows = std::tuple{
    Field{1, &ExitRecord::reason}, Field{2, &ExitRecord::status}, Field{3, &ExitRecord::endedAt},
    Field{4, &ExitRecord::message}}; };
template <> struct Fields<FileRequest> { static constexpr auto rows = std::tuple{
    Field{1, &FileRequest::path}, Field{2, &FileRequest::other}, Field{3, &FileRequest::flags},
    Field{4, &FileRequest::mode}, Field{5, &FileRequest::uid}, Field{6, &FileRequest::gid},
    Field{7, &FileRequest::recursive}, Field{8, &FileRequest::noFollow}}; };
template <> struct Fields<FileStat> { static constexpr auto rows = std::tuple{
    Field{1, &FileStat::type}, Field{2, &FileStat::mode}, Field{3, &FileStat::uid}, Field{4, &FileStat::gid},
    Field{5, &FileStat::size}, Field{6, &FileStat::modified}}; };
template <> struct Fields<FileEntry> { static constexpr auto rows = std::tuple{
    Field{1, &FileEntry::name}, Field{2, &FileEntry::stat}}; };
template <> struct Fields<FileReplyBody> { static constexpr auto rows = std::tuple{
    Field{1, &FileReplyBody::stat}, Field{2, &FileReplyBody::target}, Field{3, &FileReplyBody::entries},
    Field{4, &FileReplyBody::created}}; };
template <> struct Fields<StoppedBody> { static constexpr auto rows = std::tuple{
    Field{1, &StoppedBody::rootfs}, Field{2, &StoppedBody::idmap}}; };
// clang-format on

using TextPair = std::pair<std::string, std::string>;

template <class T>
concept Number = std::integral<T> || std::is_enum_v<T>;

void putLength(std::string &out, std::size_t length)
{
    const std::uint32_t value = static_cast<std::uint32_t>(length);
    out.append(reinterpret_cast<const char *>(&value), sizeof value);
}

void write(std::string &out, const std::string &text) { out += text; }

void write(std::string &out, const TextPair &pair)
{
    putLength(out, pair.first.size());
    out += pair.first;
    out += pair.second;
}

template <Number T> void write(std::string &out, T value)
{
    const std::uint64_t number = static_cast<std::uint64_t>(value);
    out.append(reinterpret_cast<const char *>(&number), sizeof number);
}

template <class T> void write(std::string &out, const std::vector<T> &list);
template <class T>
requires requires { Fields<T>::rows; }
void write(std::string &out, const T &value);

/// Writes `value` behind its length, which is known only afterwards.
template <class T> void writeCounted(std::string &out, const T &value)
{
    const std::size_t at = out.size();
    putLength(out, 0);
    write(out, value);
    const std::uint32_t length = static_cast<std::uint32_t>(out.size() - at - sizeof(std::uint32_t));
    std::memcpy(out.data() + at, &length, sizeof length);
}

template <class T> void write(std::string &out, const std::vector<T> &list)
{
    for (const T &item : list)
        writeCounted(out, item);
}

template <class T>
requires requires { Fields<T>::rows; }
void write(std::string &out, const T &value)
{
    std::apply(
        [&](const auto &...row) {
            (..., (out.append(reinterpret_cast<const char *>(&row.tag), sizeof row.tag),
                   writeCounted(out, value.*(row.member))));
        },
        Fields<T>::rows);
}

/// Takes `size` bytes off the front of `in`.
bool take(std::string_view &in, std::size_t size, std::string_view &part)
{
    if (in.size() < size)
        return false;
    part = in.substr(0, size);
    in.remove_prefix(size);
    return true;
}

template <class T> bool takeNumber(std::string_view &in, T &number)
{
    std::string_view part;
    if (!take(in, sizeof number, part))
        return false;
    std::memcpy(&number, part.data(), sizeof number);
    return true;
}

bool takeCounted(std::string_view &in, std::string_view &part)
{
    std::uint32_t length = 0;
    return takeNumber(in, length) && take(in, length, part);
}

bool read(std::string_view in, std::string &text)
{
    text = in;
    return true;
}

bool read(std::string_view in, TextPair &pair)
{
    std::string_view first;
    if (!takeCounted(in, first))
        return false;
    pair = {std::string(first), std::string(in)};
    return true;
}

template <Number T> bool read(std::string_view in, T &value)
{
    std::uint64_t number = 0;
    if (in.size() != sizeof number || !takeNumber(in, number))
        return false;
    value = static_cast<T>(number);
    return true;
}

template <class T> bool read(std::string_view in, std::vector<T> &list);
template <class T>
requires requires { Fields<T>::rows; }
bool read(std::string_view in, T &value);

template <class T> bool read(std::string_view in, std::vector<T> &list)
{
    list.clear();
    while (!in.empty()) {
        std::string_view item;
        if (!takeCounted(in, item) || !read(item, list.emplace_back()))
            return false;
    }
    return true;
}

template <class T>
requires requires { Fields<T>::rows; }
bool read(std::string_view in, T &value)
{
    while (!in.empty()) {
        std::uint16_t tag = 0;
        std::string_view part;
        if (!takeNumber(in, tag) || !takeCounted(in, part))
            return false;
        bool good = true; // a tag of no row is of a newer version: skipped
        std::apply(
            [&](const auto &...row) {
                (..., (row.tag == tag ? void(good = read(part, value.*(row.member))) : void()));
            },
            Fields<T>::rows);
        if (!good)
            return false;
    }
    return true;
}

} // namespace

template <class T> std::string encode(const T &value)
{
    std::string out;
    write(out, value);
    return out;
}

template <class T> Result<T> decode(std::string_view bytes)
{
    T value;
    if (!read(bytes, value))
        return Error(Code::Corrupt, "the message is damaged");
    return value;
}

#define LXMGR_CODEC(Type)                                                                                              \
    template std::string encode<Type>(const Type &);                                                                   \
    template Result<Type> decode<Type>(std::string_view);
LXMGR_CODEC(LaunchSpec)
LXMGR_CODEC(Failure)
LXMGR_CODEC(LaunchedBody)
LXMGR_CODEC(InfoBody)
LXMGR_CODEC(ExecRequest)
LXMGR_CODEC(ExecStartedBody)
LXMGR_CODEC(ExecExit)
LXMGR_CODEC(SignalBody)
LXMGR_CODEC(WindowBody)
LXMGR_CODEC(ReplugBody)
LXMGR_CODEC(LimitsBody)
LXMGR_CODEC(Proxy)
LXMGR_CODEC(TextBody)
LXMGR_CODEC(MonitorEvent)
LXMGR_CODEC(ExitRecord)
LXMGR_CODEC(FileRequest)
LXMGR_CODEC(FileReplyBody)
LXMGR_CODEC(StoppedBody)
#undef LXMGR_CODEC

} // namespace lxmgr::spec

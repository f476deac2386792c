#include "runtime/listeners.h"

#include "base/undo.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "runtime/inside.h"
#include "spec/channel.h"

#include <sched.h>

namespace lxmgr::runtime
{

namespace
{

bool isFile(const spec::ProxyEnd &end) { return placeOf(end, 0).isFile(); }

Result<Listeners::File> identify(const std::string &path)
{
    const struct stat info = TRY(sys::fstatat(sys::cwd(), path));
    return Listeners::File{info.st_dev, info.st_ino};
}

/// In the namespaces of the calling process. After an error no file is left.
Result<Listeners> listenHere(const spec::Proxy &proxy, bool foreign)
{
    Listeners listeners;
    for (std::size_t i = 0; i < proxy.listen.ports.size(); ++i)
        listeners.sockets.push_back(TRY(sockets::listen(placeOf(proxy.listen, i), {foreign, proxy.mode, proxy.uid, proxy.gid})));
    if (isFile(proxy.listen))
        listeners.file = TRY(identify(proxy.listen.address));
    return listeners;
}

Status removeFile(const std::string &path, const Listeners::File &file)
{
    const auto now = identify(path);
    if (!now || now->device != file.device || now->inode != file.inode)
        return {}; // gone, or another's
    Status gone = sys::unlinkat(sys::cwd(), path);
    return !gone && gone.error().errnum == ENOENT ? Status() : gone;
}

/// The network first, while /proc is still the host's and tells who holds a port; a file is the guest's root's business.
Status enter(const spec::LaunchSpec &spec, const Guest &guest, bool file)
{
    TRY(sys::setns(guest.initPidfd, CLONE_NEWNET));
    if (!file)
        return {};
    return becomeGuestRoot(spec, guest);
}

Status makeFolder(const std::string &path)
{
    const Fd root = TRY(sys::open("/", O_PATH | O_DIRECTORY));
    const std::size_t slash = path.rfind('/');
    if (slash != 0)
        (void)TRY(path::makeFolders(root, path.substr(1, slash - 1), 0755, path::Scope::InRoot));
    return {};
}

Status sendSockets(spec::Channel &channel, const std::vector<Fd> &sockets)
{
    for (std::size_t at = 0; at < sockets.size(); at += spec::Channel::kMaxFds) {
        std::vector<int> fds;
        for (std::size_t i = at; i < std::min(at + spec::Channel::kMaxFds, sockets.size()); ++i)
            fds.push_back(sockets[i].get());
        TRY(channel.send(spec::MessageType::ProxyListener, {}, fds));
    }
    return {};
}

Result<Listeners> listenInside(const spec::LaunchSpec &spec, const Guest &guest, const spec::Proxy &proxy)
{
    Listeners listeners;
    const bool file = isFile(proxy.listen);
    TRY(inChild(
        [&](spec::Channel &channel) -> Status {
            TRY(enter(spec, guest, file));
            if (file)
                TRY(makeFolder(proxy.listen.address));
            const Listeners made = TRY(listenHere(proxy, true));
            TRY(sendSockets(channel, made.sockets));
            const std::string identity(made.file ? reinterpret_cast<const char *>(&*made.file) : "", made.file ? sizeof *made.file : 0);
            return channel.send(spec::MessageType::ProxyListener, identity);
        },
        [&](spec::Packet &packet) {
            for (Fd &fd : packet.fds)
                listeners.sockets.push_back(std::move(fd));
            if (packet.body.size() == sizeof(Listeners::File))
                packet.body.copy(reinterpret_cast<char *>(&listeners.file.emplace()), sizeof(Listeners::File));
        }));
    if (listeners.sockets.size() != proxy.listen.ports.size())
        return Error(Code::Internal, "the process that entered the guest brought too few sockets");
    return listeners;
}

} // namespace

sockets::Place placeOf(const spec::ProxyEnd &end, std::size_t port)
{
    using Kind = sockets::Place::Kind;
    const Kind kind = end.kind == spec::ProxyEnd::Kind::Tcp ? Kind::Tcp : end.kind == spec::ProxyEnd::Kind::Udp ? Kind::Udp : Kind::Unix;
    return {kind, end.address, static_cast<std::uint16_t>(end.ports[port < end.ports.size() ? port : 0])};
}

Result<Listeners> openListeners(const spec::LaunchSpec &spec, const Guest &guest, const spec::Proxy &proxy)
{
    return proxy.inside ? listenInside(spec, guest, proxy) : listenHere(proxy, false);
}

Result<bool> isThere(const spec::LaunchSpec &spec, const Guest &guest, const spec::Proxy &proxy, const Listeners &listeners)
{
    bool there = false;
    TRY(inChild(
        [&](spec::Channel &channel) -> Status {
            TRY(enter(spec, guest, true));
            const auto now = identify(proxy.listen.address);
            const bool same = now && now->device == listeners.file->device && now->inode == listeners.file->inode;
            return same ? channel.send(spec::MessageType::ProxyListener) : Status();
        },
        [&](spec::Packet &) { there = true; }));
    return there;
}

Status closeListeners(const spec::LaunchSpec &spec, const Guest &guest, const spec::Proxy &proxy, Listeners listeners)
{
    listeners.sockets.clear();
    if (!listeners.file)
        return {};
    if (!proxy.inside)
        return removeFile(proxy.listen.address, *listeners.file);
    if (guest.initPid == 0)
        return {};
    return inChild([&](spec::Channel &) -> Status {
        TRY(enter(spec, guest, true));
        return removeFile(proxy.listen.address, *listeners.file);
    });
}

} // namespace lxmgr::runtime

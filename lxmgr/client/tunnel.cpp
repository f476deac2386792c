#include "client/tunnel.h"

#include "base/log.h"
#include "base/packet.h"
#include "base/program_path.h"
#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace lxmgr::client
{

namespace
{

constexpr int kControl = 3; // what the program expects it as

Result<std::pair<Fd, Fd>> socketPair(int type)
{
    int ends[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
        return Error::fromErrno(errno, "socketpair");
    return std::pair{Fd(ends[0]), Fd(ends[1])};
}

} // namespace

Result<TunnelProcess> TunnelProcess::start()
{
    auto [ours, its] = TRY(socketPair(SOCK_SEQPACKET));
    std::string program = tunnelProgram();
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&files, its.get(), kControl);
    posix_spawn_file_actions_addclosefrom_np(&files, kControl + 1);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0); // <ctrl>+c is for the command in the guest, not for the way there
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    char *const argv[] = {program.data(), nullptr};
    TunnelProcess process;
    // Should it have that number here already, posix_spawn(3) clears its close-on-exec flag instead.
    const int error = ::posix_spawn(&process.m_pid, program.c_str(), &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
        process.m_pid = -1;
        return Error::fromErrno(error, "start", program).as(Code::Unavailable).hint("is lxmgr installed completely?");
    }
    process.m_control = std::move(ours);
    return process;
}

TunnelProcess &TunnelProcess::operator=(TunnelProcess &&other) noexcept
{
    if (this != &other) {
        end();
        m_control = std::move(other.m_control);
        m_pid = std::exchange(other.m_pid, -1);
    }
    return *this;
}

TunnelProcess::~TunnelProcess() { end(); }

void TunnelProcess::end()
{
    m_control.reset();
    int status = 0;
    if (m_pid > 0)
        while (::waitpid(m_pid, &status, 0) < 0 && errno == EINTR)
            continue;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM)
        log::warning(std::string("lxmgr-tunnel was ended by a signal: ") + ::strsignal(WTERMSIG(status)));
    m_pid = -1;
}

Status TunnelProcess::send(const api::TunnelRequest &request, const std::vector<int> &fds) const
{
    TRY_IN("lxmgr-tunnel", sendPacket(m_control, api::toJson(request), fds));
    return {};
}

Result<std::pair<api::TunnelReply, Fd>> TunnelProcess::receive() const
{
    TextPacket packet = TRY_IN("lxmgr-tunnel", receivePacket(m_control));
    Fd came = packet.fds.empty() ? Fd() : std::move(packet.fds.front());
    return std::pair{TRY_IN("lxmgr-tunnel", api::fromJson<api::TunnelReply>(packet.text)), std::move(came)};
}

Result<Tunnel> Tunnel::start() { return Tunnel(TRY(TunnelProcess::start())); }

Result<Tunnel> Tunnel::startAsNobody()
{
    Tunnel tunnel(TRY(TunnelProcess::start()));
    TRY(tunnel.ask({"nobody", {}, 0, {}, {}, {}, false, 0}));
    return tunnel;
}

Result<api::TunnelReply> Tunnel::ask(const api::TunnelRequest &request, const std::vector<int> &fds)
{
    TRY(m_process.send(request, fds));
    api::TunnelReply reply = TRY(m_process.receive()).first;
    if (reply.error.empty())
        return reply;
    const auto *const info = std::ranges::find(kCodes, reply.code, &CodeInfo::name);
    return Error(info == std::end(kCodes) ? Code::Internal : info->code, reply.error);
}

Result<Fd> Tunnel::connect(const FarEnd &end)
{
    auto [ours, its] = TRY(socketPair(SOCK_STREAM));
    TRY(ask({"connect", end.host, end.port, end.certificate, {}, end.identityFolder, end.oldTls, end.timeout}, {its.get()}));
    return std::move(ours);
}

Result<std::string> Tunnel::certificateOf(const std::string &host, std::uint16_t port)
{
    return TRY(ask({"certificate", host, port, {}, {}, {}, false, 0})).certificate;
}

Result<std::string> Tunnel::identity(const std::string &folder) { return TRY(ask({"identity", {}, 0, {}, {}, folder, false, 0})).certificate; }

Result<std::string> Tunnel::fingerprint(const std::string &pem) { return TRY(ask({"fingerprint", {}, 0, pem, {}, {}, false, 0})).fingerprint; }

} // namespace lxmgr::client

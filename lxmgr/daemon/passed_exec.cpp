#include "daemon/passed_exec.h"

#include "api/execution.h"
#include "base/text.h"
#include "kernel/sys.h"

#include <csignal>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/statfs.h>

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

constexpr std::size_t kStreams = 4; ///< Input, output, error, control.

Status checkControl(const Fd &fd)
{
    int domain = 0, type = 0;
    socklen_t size = sizeof(int);
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX ||
        ::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
        return Error(Code::Invalid, "the fourth descriptor of an exec is no unix socket of packets");
    return {};
}

/// One command. Everything but begin() runs on the server's thread.
class PassedExec : public std::enable_shared_from_this<PassedExec>
{
public:
    PassedExec(Context &context, std::shared_ptr<Task> task, Fd control)
        : m_poller(context.server.poller()), m_context(context), m_task(std::move(task)), m_control(std::move(control))
    {
    }

    /// A pool thread.
    void begin(const InstanceKey &key, const spec::ExecRequest &request, const std::vector<Fd> &streams)
    {
        auto client = m_context.manager.monitor(key);
        auto started = client ? client->exec(request, streams[0].get(), streams[1].get(), streams[2].get())
                              : Result<spec::ExecStarted>(client.error());
        if (!started)
            return m_task->finish(started.error());
        m_client = std::make_unique<spec::MonitorClient>(std::move(*client));
        m_pidfd = std::move(started->pidfd);
        m_context.server.runOnServerThread([self = shared_from_this()] { self->follow(); });
    }

private:
    void follow()
    {
        Status watched = m_poller.watch(m_client->fd(), EPOLLIN, [self = shared_from_this()](std::uint32_t) { self->commandEnded(); });
        if (watched)
            watched = m_poller.watch(m_control.get(), EPOLLIN, [self = shared_from_this()](std::uint32_t) { self->control(); });
        if (!watched) {
            signal(SIGKILL); // nobody would learn of its end
            end(watched);
        }
    }

    void control()
    {
        char text[4096];
        const ssize_t got = ::recv(m_control.get(), text, sizeof text, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) { // whom it was for is no longer there
            signal(SIGKILL);
            m_poller.unwatch(m_control.get());
            return;
        }
        const auto message = api::fromJson<api::ControlMessage>(std::string_view(text, static_cast<std::size_t>(got)));
        if (message && message->command == "signal") // others are passed over, as on a control websocket
            signal(message->signal);
    }

    void signal(int number)
    {
        if (m_pidfd && number > 0 && number < NSIG)
            (void)sys::pidfd_send_signal(m_pidfd, number); // it may have ended this instant
    }

    void commandEnded()
    {
        const auto exit = m_client->waitExec();
        if (exit)
            m_task->setMetadata("return", exit->exitCode);
        end(exit ? execResult(*exit) : Status(exit.error()));
    }

    void end(const Status &result)
    {
        const auto self = shared_from_this(); // the watches hold it
        m_poller.unwatch(m_client->fd());
        m_poller.unwatch(m_control.get());
        m_task->finish(result);
    }

    Poller &m_poller;
    Context &m_context;
    const std::shared_ptr<Task> m_task;
    const Fd m_control;
    std::unique_ptr<spec::MonitorClient> m_client;
    Fd m_pidfd;
};

} // namespace

Status checkPipe(const Fd &fd, int access, std::string_view what)
{
    struct statfs where{};
    const struct stat info = TRY(sys::fstat(fd));
    if (!S_ISFIFO(info.st_mode) || ::fstatfs(fd.get(), &where) < 0 || where.f_type != PIPEFS_MAGIC)
        return Error(Code::Invalid, std::string(what) + " is no pipe: only pipes are handed into a guest");
    const long flags = TRY(sys::call("fcntl", {}, [&] { return ::fcntl(fd.get(), F_GETFL); }));
    if ((flags & O_ACCMODE) != access)
        return Error(Code::Invalid, std::string(what) + " is the wrong end of a pipe");
    return {};
}

Status checkPassedStreams(const api::InstanceExecPost &post, const std::vector<Fd> &fds)
{
    if (fds.size() != kStreams)
        return Error(Code::Invalid, "lxmgr-pass-streams needs " + std::to_string(kStreams) + " descriptors with the request, on the unix socket; " +
                                        std::to_string(fds.size()) + " came");
    if (post.interactive || post.recordOutput)
        return Error(Code::Invalid, "lxmgr-pass-streams goes with neither interactive nor record-output");
    TRY(checkPipe(fds[0], O_RDONLY, "standard input"));
    TRY(checkPipe(fds[1], O_WRONLY, "standard output"));
    TRY(checkPipe(fds[2], O_WRONLY, "standard error"));
    return checkControl(fds[3]);
}

void execPassed(Context &context, const InstanceKey &key, const spec::ExecRequest &request, std::vector<Fd> fds,
                const std::shared_ptr<Task> &task)
{
    Fd control = std::move(fds.back());
    fds.pop_back();
    std::make_shared<PassedExec>(context, task, std::move(control))->begin(key, request, fds);
}

Status execResult(const spec::ExecExit &exit)
{
    if (exit.error.empty())
        return {};
    if (exit.exitCode == 127)
        return Error(Code::NotFound, "Command not found");
    if (exit.exitCode == 126)
        return Error(Code::Invalid, "Command not executable");
    return Error(Code::Internal, exit.error);
}

} // namespace lxmgr::daemon

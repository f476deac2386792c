#include "cli/signals.h"

#include "cli/terminal.h"
#include "client/session.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace lxmgr::cli
{

SignalStream::SignalStream(std::span<const int> signals)
{
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals)
        sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, &m_before);
    m_fd = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

SignalStream::~SignalStream() { ::sigprocmask(SIG_SETMASK, &m_before, nullptr); }

std::string SignalStream::nextMessage()
{
    signalfd_siginfo info{};
    if (::read(m_fd.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
        return {};
    if (info.ssi_signo != SIGWINCH)
        return client::signalMessage(static_cast<int>(info.ssi_signo));
    const Size size = terminalSize(STDOUT_FILENO);
    return client::resizeMessage(size.width, size.height);
}

} // namespace lxmgr::cli

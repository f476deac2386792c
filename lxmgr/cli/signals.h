// Signals of this program as control messages for a session in a guest.
#pragma once

#include "base/fd.h"

#include <csignal>
#include <span>
#include <string>

namespace lxmgr::cli
{

class SignalStream
{
public:
    static constexpr int kResizeOnly[] = {SIGWINCH};
    static constexpr int kForwarded[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT};

    /// Holds these signals back from the program as long as this lives.
    explicit SignalStream(std::span<const int> signals);
    ~SignalStream();
    SignalStream(const SignalStream &) = delete;
    SignalStream &operator=(const SignalStream &) = delete;

    /// Readable when one has come.
    int fd() const { return m_fd.get(); }
    /// The control message for the next one, empty for none.
    std::string nextMessage();

private:
    sigset_t m_before{};
    Fd m_fd;
};

} // namespace lxmgr::cli

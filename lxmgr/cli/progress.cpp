#include "cli/progress.h"

#include "api/operations.h"
#include "base/text.h"
#include "cli/terminal.h"

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

sigset_t interrupts()
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

} // namespace

std::string progressText(const api::Operation &operation)
{
    const api::Json::Object *metadata = operation.metadata.asObject();
    if (!metadata)
        return {};
    for (const auto &[name, value] : *metadata)
        if (name.ends_with("_progress") && value.asString())
            return escaped(*value.asString());
    return {};
}

Progress::Progress(Context &context, std::string what)
    : m_context(context), m_what(std::move(what)), m_terminal(isTerminal(STDERR_FILENO))
{
    const sigset_t set = interrupts();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    m_signals = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!m_signals)
        giveSignalsBack();
}

Progress::~Progress()
{
    if (m_terminal && !m_shown.empty())
        [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, "\r\x1b[K", 4);
    giveSignalsBack();
}

void Progress::giveSignalsBack()
{
    if (m_signals) {
        // One that is pending has been dealt with: it must not end the program now.
        signalfd_siginfo taken;
        while (::read(m_signals.get(), &taken, sizeof taken) > 0) {
        }
        m_signals.reset();
    }
    const sigset_t set = interrupts();
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

client::Watcher Progress::watcher()
{
    client::Watcher watcher;
    if (!m_context.globals().quiet)
        watcher.update = [this](const api::Operation &operation) { show(progressText(operation)); };
    watcher.cancelFd = m_signals.get();
    watcher.cancelling = [this] {
        m_context.warn("Cancelling; press <ctrl>+c again to leave at once");
        giveSignalsBack();
    };
    return watcher;
}

void Progress::show(const std::string &text)
{
    if (text.empty() || text == m_shown)
        return;
    m_shown = text;
    const std::string line = m_what + ": " + text;
    if (!m_terminal) {
        m_context.warn(line);
        return;
    }
    const std::string fitted = "\r\x1b[K" + clipped(line, static_cast<std::size_t>(terminalSize(STDERR_FILENO).width));
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, fitted.data(), fitted.size());
}

} // namespace lxmgr::cli

#include "support/process.h"

#include <QDeadlineTimer>
#include <QProcess>

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::test
{

QByteArray Run::told() const
{
    return "$ " + command.toUtf8() + "\nstatus " + QByteArray::number(status) + "\nstdout: " + out.left(8000)
           + "\nstderr: " + err.left(8000);
}

Run run(const QStringList &argv, const RunOptions &options)
{
    Run result;
    result.command = argv.join(' ');
    QProcess process;
    process.setProcessEnvironment(options.environment);
    if (!options.workingDirectory.isEmpty())
        process.setWorkingDirectory(options.workingDirectory);
    process.start(argv.first(), argv.mid(1));
    if (!process.waitForStarted()) {
        result.err = process.errorString().toUtf8();
        return result;
    }
    process.write(options.input);
    process.closeWriteChannel();
    const bool ended = process.waitForFinished(options.timeoutMs);
    if (!ended) {
        process.kill();
        process.waitForFinished(5000);
    }
    result.out = process.readAllStandardOutput();
    result.err = process.readAllStandardError();
    if (!ended)
        result.err += "\n(killed after " + QByteArray::number(options.timeoutMs) + " ms)";
    else // QProcess gives the signal's number as the exit code of a program that a signal ended.
        result.status = process.exitStatus() == QProcess::CrashExit ? 128 + process.exitCode() : process.exitCode();
    return result;
}

Terminal::Terminal(const QStringList &argv, const QProcessEnvironment &environment, int columns, int rows)
{
    std::vector<QByteArray> arguments, variables;
    for (const QString &argument : argv)
        arguments.push_back(argument.toUtf8());
    for (const QString &variable : environment.toStringList())
        variables.push_back(variable.toUtf8());
    std::vector<char *> argumentPointers, variablePointers;
    for (QByteArray &argument : arguments)
        argumentPointers.push_back(argument.data());
    for (QByteArray &variable : variables)
        variablePointers.push_back(variable.data());
    argumentPointers.push_back(nullptr);
    variablePointers.push_back(nullptr);

    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    m_pid = ::forkpty(&m_master, nullptr, nullptr, &size);
    if (m_pid == 0) { // only async-signal-safe calls from here
        ::execvpe(argumentPointers[0], argumentPointers.data(), variablePointers.data());
        ::_exit(127);
    }
    ::fcntl(m_master, F_SETFD, FD_CLOEXEC);
}

Terminal::~Terminal()
{
    if (m_pid > 0) {
        ::kill(m_pid, SIGKILL);
        ::waitpid(m_pid, nullptr, 0);
    }
    if (m_master >= 0)
        ::close(m_master);
}

void Terminal::type(const QByteArray &keys)
{
    [[maybe_unused]] const ssize_t written = ::write(m_master, keys.constData(), static_cast<size_t>(keys.size()));
}

void Terminal::resize(int columns, int rows)
{
    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    ::ioctl(m_master, TIOCSWINSZ, &size);
}

bool Terminal::readSome(int timeoutMs)
{
    pollfd wait{m_master, POLLIN, 0};
    if (::poll(&wait, 1, timeoutMs) <= 0)
        return false;
    char buffer[4096];
    const ssize_t count = ::read(m_master, buffer, sizeof buffer); // EIO: nobody has the other end any more
    if (count <= 0)
        return false;
    m_seen.append(buffer, count);
    return true;
}

bool Terminal::expect(const QByteArray &text, int timeoutMs)
{
    const QDeadlineTimer deadline(timeoutMs);
    for (;;) {
        const qsizetype at = m_seen.indexOf(text, m_matched);
        if (at >= 0) {
            m_matched = at + text.size();
            return true;
        }
        if (deadline.hasExpired() || !readSome(static_cast<int>(deadline.remainingTime())))
            return false;
    }
}

int Terminal::finish(int timeoutMs)
{
    const QDeadlineTimer deadline(timeoutMs);
    while (!deadline.hasExpired() && readSome(static_cast<int>(deadline.remainingTime())))
        ;
    int status = 0;
    while (::waitpid(m_pid, &status, WNOHANG) == 0) {
        if (deadline.hasExpired())
            return -1;
        ::poll(nullptr, 0, 5);
    }
    m_pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

} // namespace lxmgr::test

// lxmgrd: the daemon. It runs in the foreground, needs no arguments, and may be killed at any instruction.
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "kernel/files.h"
#include "version.h"

#include <CLI/CLI.hpp>
#include <QCoreApplication>
#include <QSocketNotifier>
#include <csignal>
#include <cstdio>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace
{

using namespace lxmgr;

/// Signals as bytes to read, so that they are met between two events and by no thread in the middle of something.
Fd signalSource()
{
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGPWR, SIGHUP})
        ::sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN); // NOLINT: ignoring cannot fail
    return Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int fail(const Error &error)
{
    std::fprintf(stderr, "Error: %s\n", error.message.c_str());
    return codeInfo(error.code).exitStatus;
}

/// oom_score_adj of the daemon and of what it starts, as its unit has it. Guests get their own (runtime/launch.cpp).
constexpr int kSparedScore = -500;

/// Where no unit has: when the host runs out of memory, others go before the monitors, whose end is that of a guest.
void beSpared()
{
    constexpr const char *kFile = "/proc/self/oom_score_adj";
    const auto text = files::read(kFile, 32);
    const auto now = text ? parseSigned(trimmed(*text)) : Result<std::int64_t>(text.error());
    if (now && *now > kSparedScore)
        (void)files::put(kFile, std::to_string(kSparedScore)); // in a container that may not, it is as it is
}

} // namespace

int main(int argc, char **argv)
{
    // A handful of arenas would each keep what a burst once needed.
    ::mallopt(M_ARENA_MAX, 2);
    ::mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    ::umask(0077);
    daemon::DaemonOptions settings;
    bool noDefaults = false, debug = false;
    CLI::App app{"lxmgrd, the daemon of lxmgr. SIGTERM ends it and leaves instances running; SIGPWR stops them first."};
    app.set_version_flag("--version", LXMGR_VERSION);
    app.add_option("--group", settings.group, "Group that may use the socket beside root");
    app.add_flag("--no-defaults", noDefaults, "Do not make the default pool, network and profile devices");
    app.add_flag("--debug", debug, "Log what is done step by step");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? 0 : codeInfo(Code::Usage).exitStatus;
    }
    if (debug)
        log::setLevel(log::Level::Debug);
    if (::geteuid() != 0)
        return fail(Error(Code::Forbidden, "lxmgrd needs to run as root (start it with sudo or from its service)"));
    beSpared();
    const Fd incoming = signalSource();
    QCoreApplication application(argc, argv);
    settings.paths = Paths::fromEnvironment();
    settings.defaults = !noDefaults;
    auto running = daemon::Daemon::create(settings);
    if (!running)
        return fail(running.error());
    QSocketNotifier notifier(incoming.get(), QSocketNotifier::Read);
    QObject::connect(&notifier, &QSocketNotifier::activated, [&] {
        signalfd_siginfo info{};
        while (::read(incoming.get(), &info, sizeof info) == sizeof info)
            if (info.ssi_signo != SIGHUP)
                (*running)->quit(info.ssi_signo == SIGPWR);
    });
    const int status = QCoreApplication::exec();
    log::info("lxmgrd ends; instances go on");
    return status;
}

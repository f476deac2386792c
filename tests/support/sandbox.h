// Sandbox: a daemon of a test's own, with its own folders, cgroup folder and network namespace; nothing of it stays.
#pragma once

#include "support/audit.h"
#include "support/process.h"

#include <QJsonObject>
#include <QProcess>

#include <functional>
#include <memory>

namespace lxmgr::test
{

struct Reply {
    int status = 0; ///< HTTP status, 0 where nobody answered.
    QJsonObject body;
    QByteArray raw;
};

class Uplink;

class Sandbox
{
public:
    Sandbox();
    ~Sandbox();
    Sandbox(const Sandbox &) = delete;
    Sandbox &operator=(const Sandbox &) = delete;

    /// Makes the folders and moves the calling thread into a network namespace of its own. Returns what the machine
    /// lacks (a reason to skip), "" when all is there. LXMGR_TEST_REQUIRE turns a named lack ("root") into a failure.
    QString create();
    /// The same for a second host, in the network namespace that the calling thread is in.
    QString createBeside();
    /// Connects the namespace to the machine's network until the sandbox ends, for tests that reach an archive.
    /// Returns why not, "" when connected.
    QString connectUplink();
    void disconnectUplink();

    /// Starts lxmgrd and waits until it answers. `extra` are variables for this start only; `wrapper` is put in front of
    /// the program.
    bool startDaemon(const QMap<QString, QString> &extra = {}, const QStringList &wrapper = {});
    /// Of what follows every startDaemon(): arguments of the daemon's own.
    void setDaemonArguments(QStringList arguments) { m_daemonArguments = std::move(arguments); }
    void stopDaemon(); ///< SIGTERM: guests run on.
    void killDaemon(); ///< SIGKILL.
    /// Waits for a daemon that ends by itself (a failpoint); false when it still runs after `timeoutMs`.
    bool daemonEnds(int timeoutMs = 20000);
    qint64 daemonPid() const;
    /// Deletes every instance and ends daemon, network helpers and whatever else is left; called by the destructor too.
    /// Returns what had to be removed by force: a test's clean-up fails on it.
    QStringList destroy();

    /// Runs `lxmgr args…` against this daemon.
    Run cli(const QStringList &args, const QByteArray &input = {}, int timeoutMs = 120000);
    /// Standard output of a command that must succeed, without white space at the ends; else the failure's text.
    QByteArray text(const QStringList &args, int timeoutMs = 120000);
    /// One request to the unix socket.
    Reply rest(const QByteArray &verb, const QByteArray &path, const QJsonObject &body = {}, int timeoutMs = 30000);
    /// Waits until `lxmgr list` says `state` (upper case) of `instance`, "" for no such instance.
    bool becomes(const QString &instance, const QByteArray &state, int timeoutMs = 20000);
    /// Waits until `check` holds.
    static bool eventually(const std::function<bool()> &check, int timeoutMs = 20000);
    /// Whether the process runs; one that waits to be reaped does not.
    static bool isAlive(int pid);
    QByteArray stateOf(const QString &instance);
    /// Host pid of the instance's init, 0 where it does not run.
    int initPid(const QString &instance);
    int monitorPid(const QString &instance);

    QProcessEnvironment environment() const;
    AuditScope scope() const;
    Holdings stock() const { return takeStock(scope()); }
    /// The same once nothing has changed for a moment: work in the background (emptying the trash) is through.
    Holdings settledStock() const;
    /// What a change since `before` still shows after the daemon had time to end its clean-up.
    QStringList leftSince(const Holdings &before, int timeoutMs = 10000);
    QString directory() const { return m_directory; }
    QString stateDir() const { return m_directory + "/state"; }
    QString runDir() const { return m_directory + "/run"; }
    QString configDir() const { return m_directory + "/etc"; }
    QString socket() const { return runDir() + "/unix.socket"; }
    QByteArray daemonLog() const;

    static QString program(const QString &name); ///< A program of this build: lxmgr, lxmgrd, lxmgr-monitor, lxmgr-probe.
    static QString sourceDir();
    static QString cacheDir(); ///< ${LXMGR_TEST_CACHE:-/var/cache/lxmgr-tests}

private:
    void keepFromImageServers();
    QString makeFolders(const QString &cgroup);

    QString m_directory;
    QString m_cgroupBase;
    QStringList m_daemonArguments;
    bool m_beside = false; ///< The network is another's.
    std::unique_ptr<QProcess> m_daemon;
    QStringList m_faults; ///< Of daemons that were to end: told by destroy().
    std::unique_ptr<Uplink> m_uplink;
    int m_machineNetwork = -1; ///< Open while the thread is in a network namespace of its own.
};

/// An image bootstrapped once and kept outside the tree (`template` "debian/13"). Imports it into the sandbox under that
/// alias; builds and exports it first where the cache has none for this template's text. Returns why not, "" when there.
QString provideImage(Sandbox &sandbox, const QString &templateName);

} // namespace lxmgr::test

/// Skips the test program when the machine lacks what a sandbox needs.
#define REQUIRE_SANDBOX(sandbox)                                                                                       \
    do {                                                                                                               \
        const QString lack = (sandbox).create();                                                                       \
        if (!lack.isEmpty() && qEnvironmentVariable("LXMGR_TEST_REQUIRE").contains("root"))                            \
            QFAIL(qPrintable(lack));                                                                                   \
        if (!lack.isEmpty())                                                                                           \
            QSKIP(qPrintable(lack));                                                                                   \
    } while (false)

/// Fails when something of the sandbox is there that was not there `before`.
#define NOTHING_LEFT_SINCE(sandbox, before)                                                                            \
    do {                                                                                                               \
        const QStringList left = (sandbox).leftSince(before);                                                          \
        QVERIFY2(left.isEmpty(), qPrintable("left behind:\n" + left.join('\n')));                                      \
    } while (false)

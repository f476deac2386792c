// The daemon and the monitors die; guests, records and the machine come out right.
#include "support/system_test.h"

#include <QDir>
#include <csignal>
#include <sys/stat.h>

using namespace lxmgr::test;

class TestRecovery : public SystemTest
{
    Q_OBJECT
private slots:
    void guestsRunOnWhenTheDaemonIsKilled();
    void execRunsOnWhenTheDaemonIsKilled();
    void newDaemonAdoptsWithinASecond();
    void terminatedDaemonLeavesItsGuests();
    void deadMonitorIsNoticedAndCleanedUp();
    void deadMonitorWithoutADaemonIsCleanedUpAtStart();
    void stopSeenWhileTheDaemonWasAway();
    void secondDaemonIsRefused();
    void clientStartsTheDaemon();
    void monitorShowsEvents();
    void idleDaemonSleeps();
    void monitorIsSmall();
    void descriptorsDoNotGrow();
    void shutdownStopsGuestsAndRemembersThem();
    void shutdownMayBeForced();
    void whatEndsUnaskedIsStartedAgain();
    void whatEndedWhileNoDaemonRanIsStartedAgain();
    void oneThatNeverStaysIsLeft();
};

void TestRecovery::shutdownMayBeForced()
{
    // Its init hears no signal: only force ends it before the test's patience does.
    launch("t1", {"-c", "boot.host_shutdown_action=force-stop", "-c", "boot.host_shutdown_timeout=600", "-c", "boot.autostart=false"});
    must({"exec", "t1", "--", "sh", "-c", "kill -STOP 1; exit 0"});
    const int init = m_box.initPid("t1");
    (void)m_box.rest("PUT", "/internal/shutdown", {}, 40000);
    QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(init); }));
    QVERIFY(m_box.daemonEnds());
    QVERIFY(m_box.startDaemon());
    must({"delete", "--force", "t1"});
}

void TestRecovery::whatEndsUnaskedIsStartedAgain()
{
    launch("t1", {"-c", "boot.autorestart=true"});
    const auto isAnother = [&](int init) {
        const int now = m_box.initPid("t1");
        return now != 0 && now != init;
    };
    int init = m_box.initPid("t1");
    QVERIFY(init > 0 && ::kill(init, SIGKILL) == 0);
    QVERIFY(Sandbox::eventually([&] { return isAnother(init); }));
    init = m_box.initPid("t1");
    const int monitor = m_box.monitorPid("t1");
    QVERIFY(monitor > 0 && ::kill(monitor, SIGKILL) == 0);
    QVERIFY(Sandbox::eventually([&] { return isAnother(init); }));
    must({"exec", "t1", "--", "true"});
    // Asked for, by whichever way: it stays where it is.
    must({"stop", "--force", "t1"});
    QVERIFY(!m_box.becomes("t1", "RUNNING", 1000));
    const Run started = m_box.cli({"config", "set", "t1", "security.protection.start=true"});
    RUN_OK(started);
    const Run refused = m_box.cli({"start", "t1"});
    QVERIFY2(!refused.ok() && refused.err.contains("security.protection.start"), refused.told());
    must({"config", "unset", "t1", "security.protection.start"});
    must({"start", "t1"});
}

void TestRecovery::whatEndedWhileNoDaemonRanIsStartedAgain()
{
    launch("t1", {"-c", "boot.autorestart=true", "-c", "boot.autostart=false"});
    launch("t2", {"-c", "boot.autostart=false"});
    const int first = m_box.initPid("t1"), second = m_box.initPid("t2");
    m_box.killDaemon();
    QVERIFY(first > 0 && second > 0);
    QVERIFY(::kill(first, SIGKILL) == 0 && ::kill(second, SIGKILL) == 0);
    QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(first) && !Sandbox::isAlive(second); }));
    QVERIFY(m_box.startDaemon());
    QVERIFY(m_box.becomes("t1", "RUNNING"));
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
    must({"exec", "t1", "--", "true"});
}

void TestRecovery::oneThatNeverStaysIsLeft()
{
    launch("t1", {"-c", "boot.autorestart=true"});
    int died = 0;
    QVERIFY(Sandbox::eventually([&] {
        const int init = m_box.initPid("t1");
        if (init > 0 && ::kill(init, SIGKILL) == 0)
            ++died;
        return m_box.daemonLog().contains("is not started again");
    }, 60000));
    QVERIFY2(died >= 11, QByteArray::number(died).constData());
    QVERIFY(m_box.becomes("t1", "STOPPED"));
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon());
    QVERIFY(!m_box.becomes("t1", "RUNNING", 1000));
    must({"start", "t1"});
    must({"stop", "--force", "t1"});
}

void TestRecovery::guestsRunOnWhenTheDaemonIsKilled()
{
    launch("t1");
    giveProbe("t1");
    must({"exec", "t1", "--", "sh", "-c", "/probe count /n >/dev/null 2>&1 </dev/null & exit 0"});
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/n"}).toInt() > 0; }));
    const int init = m_box.initPid("t1"), monitor = m_box.monitorPid("t1");
    const int count = inside("t1", {"cat", "/n"}).toInt();
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(m_box.initPid("t1"), init);
    QCOMPARE(m_box.monitorPid("t1"), monitor);
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/n"}).toInt() > count; }));
    must({"stop", "--force", "t1"});
}

void TestRecovery::execRunsOnWhenTheDaemonIsKilled()
{
    launch("t1");
    QProcess session;
    session.setProcessEnvironment(m_box.environment());
    session.start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "sh", "-c", "echo up; sleep 2; echo done > /done"});
    QVERIFY(session.waitForReadyRead());
    m_box.killDaemon();
    session.waitForFinished();
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/done"}) == "done"; }));
}

void TestRecovery::newDaemonAdoptsWithinASecond()
{
    for (const char *name : {"t1", "t2", "t3", "t4", "t5"})
        launch(name);
    m_box.killDaemon();
    QElapsedTimer timer;
    timer.start();
    QVERIFY(m_box.startDaemon());
    for (const char *name : {"t1", "t2", "t3", "t4", "t5"})
        QCOMPARE(m_box.stateOf(name), QByteArray("RUNNING"));
    qInfo("ready and listed after %lld ms", timer.elapsed());
}

void TestRecovery::terminatedDaemonLeavesItsGuests()
{
    launch("t1");
    const int init = m_box.initPid("t1");
    m_box.stopDaemon();
    QVERIFY(Sandbox::isAlive(init));
    QVERIFY(m_box.startDaemon());
    QCOMPARE(m_box.initPid("t1"), init);
}

void TestRecovery::deadMonitorIsNoticedAndCleanedUp()
{
    const Holdings before = m_box.settledStock();
    launch("t1");
    const int init = m_box.initPid("t1"), monitor = m_box.monitorPid("t1");
    QVERIFY(monitor > 1);
    ::kill(monitor, SIGKILL);
    QVERIFY(m_box.becomes("t1", "STOPPED", 5000));
    QVERIFY(!Sandbox::isAlive(init));
    must({"start", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    must({"delete", "--force", "--purge", "t1"});
    NOTHING_LEFT_SINCE(m_box, before);
}

void TestRecovery::deadMonitorWithoutADaemonIsCleanedUpAtStart()
{
    launch("t1");
    const int monitor = m_box.monitorPid("t1");
    m_box.killDaemon();
    ::kill(monitor, SIGKILL);
    QVERIFY(m_box.startDaemon());
    QVERIFY(m_box.becomes("t1", "STOPPED", 5000));
    must({"start", "t1"});
}

void TestRecovery::stopSeenWhileTheDaemonWasAway()
{
    launch("t1", {"--wait"});
    const int init = m_box.initPid("t1");
    m_box.killDaemon();
    ::kill(init, SIGUSR2); // busybox init: power-off
    QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(init); }));
    QVERIFY(m_box.startDaemon());
    QVERIFY(m_box.becomes("t1", "STOPPED", 5000));
}

void TestRecovery::secondDaemonIsRefused()
{
    RunOptions options;
    options.environment = m_box.environment();
    options.timeoutMs = 10000;
    const Run second = run({Sandbox::program("lxmgrd")}, options);
    QVERIFY2(second.status > 0, second.told());
    QVERIFY2(second.err.contains("lock") || second.err.contains("running") || second.err.contains("another"), second.told());
    QVERIFY(m_box.cli({"list"}).ok());
}

void TestRecovery::clientStartsTheDaemon()
{
    m_box.stopDaemon();
    const Run list = m_box.cli({"list", "-f", "csv"});
    int started = 0;
    const auto left = processesOf(m_box.scope());
    for (auto process = left.cbegin(); process != left.cend(); ++process)
        if (process.value().section(' ', 0, 0).endsWith("/lxmgrd"))
            started = process.key();
    if (started)
        ::kill(started, SIGTERM);
    QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(started); }));
    QVERIFY(m_box.startDaemon());
    RUN_OK(list);
    QVERIFY(started > 0);
}

void TestRecovery::monitorShowsEvents()
{
    QProcess events;
    events.setProcessEnvironment(m_box.environment());
    events.start(Sandbox::program("lxmgr"), {"monitor", "-f", "json", "--type", "lifecycle"});
    QVERIFY(events.waitForStarted());
    QTest::qWait(300);
    launch("t1");
    must({"stop", "--force", "t1"});
    QByteArray seen;
    QVERIFY(Sandbox::eventually([&] {
        events.waitForReadyRead(10);
        seen += events.readAllStandardOutput();
        return seen.contains("instance-stopped") || seen.contains("instance-shutdown");
    }));
    QVERIFY2(seen.contains("instance-created") && seen.contains("instance-started"), seen);
    events.kill();
    events.waitForFinished();
}

namespace
{
qint64 statusField(qint64 pid, const QByteArray &file, const QByteArray &field)
{
    QFile status(QString("/proc/%1/%2").arg(pid).arg(QString::fromUtf8(file)));
    if (!status.open(QIODevice::ReadOnly))
        return -1;
    for (const QByteArray &line : status.readAll().split('\n'))
        if (line.startsWith(field))
            return line.mid(field.size()).simplified().split(' ').first().toLongLong();
    return -1;
}

/// Voluntary context switches of all threads: each is a wake-up.
qint64 wakeUps(qint64 pid)
{
    qint64 sum = 0;
    for (const QString &thread : QDir(QString("/proc/%1/task").arg(pid)).entryList(QDir::Dirs | QDir::NoDotAndDotDot))
        sum += statusField(pid, "task/" + thread.toUtf8() + "/status", "voluntary_ctxt_switches:");
    return sum;
}
} // namespace

void TestRecovery::idleDaemonSleeps()
{
    launch("t1");
    const qint64 pid = m_box.daemonPid();
    qint64 before = -1, after = 0;
    // Threads of the pool end some seconds after their last work; then nothing may move.
    QVERIFY(Sandbox::eventually([&] {
        before = wakeUps(pid);
        QTest::qWait(3000);
        after = wakeUps(pid);
        return before == after;
    }, 60000));
    qInfo("daemon: %lld KiB PSS", statusField(pid, "smaps_rollup", "Pss:"));
}

void TestRecovery::monitorIsSmall()
{
    launch("t1");
    const qint64 pss = statusField(m_box.monitorPid("t1"), "smaps_rollup", "Pss:");
    qInfo("monitor: %lld KiB PSS", pss);
    QVERIFY(pss > 0);
}

void TestRecovery::descriptorsDoNotGrow()
{
    // A thread of the pool has an eventfd for as long as it lives, which is some seconds beyond its last work.
    const auto descriptors = [this] {
        const QString daemon = QString("/proc/%1/").arg(m_box.daemonPid());
        const auto threads = QDir(daemon + "task").entryList(QDir::Dirs | QDir::NoDotAndDotDot).size();
        return QDir(daemon + "fd").entryList(QDir::Files | QDir::System).size() - threads;
    };
    launch("t0");
    must({"delete", "--force", "t0"});
    const auto before = descriptors();
    for (int i = 0; i < 5; ++i) {
        launch("t1");
        RUN_OK(exec("t1", {"true"}));
        must({"delete", "--force", "t1"});
    }
    QVERIFY(Sandbox::eventually([&] { return descriptors() <= before + 2; }));
}

void TestRecovery::shutdownStopsGuestsAndRemembersThem()
{
    launch("t1", {"--wait"});
    must({"create", "busybox", "t2"});
    (void)m_box.rest("PUT", "/internal/shutdown", {}, 40000);
    QVERIFY(m_box.daemonEnds());
    QVERIFY(Sandbox::eventually([&] { return !processesOf(m_box.scope()).values().join(' ').contains("lxmgr-monitor"); }));
    QVERIFY(m_box.startDaemon());
    QVERIFY(m_box.becomes("t1", "RUNNING"));
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
}

QTEST_GUILESS_MAIN(TestRecovery)
#include "tst_recovery.moc"

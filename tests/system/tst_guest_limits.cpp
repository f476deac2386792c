// Limits seen to act, asked of the kernel by a probe inside: the one who takes too much pays, the guest lives.
#include "support/require.h"
#include "support/system_test.h"

#include <QFile>
#include <QRegularExpression>
#include <QThread>

using namespace lxmgr::test;

class TestLimits : public SystemTest
{
    Q_OBJECT
private slots:
    void memoryHogIsKilledAndTheGuestLives();
    void memoryLimitHoldsForEverythingInside();
    void processLimitStopsAForkBomb();
    void cpuAllowanceIsHeld();
    void cpuCountPins();
    void guestsAreSpreadOverTheCpus();
    void cpuPriorityIsAShareUnderContention();
    void swapPriorityIsKeptOrRefused();
    void devicesAreAnAllowList();
    void usageIsReported();
    void limitsCannotBeRaisedFromInside();
};

void TestLimits::memoryHogIsKilledAndTheGuestLives()
{
    launch("t1", {"-c", "limits.memory=64MiB"});
    giveProbe("t1");
    const int init = m_box.initPid("t1");
    RUN_ENDS(exec("t1", {"/probe", "eat", "200"}), 137);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(m_box.initPid("t1"), init);
    QCOMPARE(inside("t1", {"/probe", "eat", "20"}), QByteArray("ate"));
}

void TestLimits::memoryLimitHoldsForEverythingInside()
{
    launch("t1", {"-c", "limits.memory=64MiB"});
    giveProbe("t1");
    // A child of init, not of exec: 5 × 30 MiB at once do not fit.
    must({"exec", "t1", "--", "sh", "-c",
          "for i in 1 2 3 4 5; do (/probe eat 30 && echo survived; sleep 2) >> /ate 2>/dev/null & done; wait; exit 0"});
    const QByteArray survivors = inside("t1", {"sh", "-c", "grep -c survived /ate"});
    QVERIFY2(inside("t1", {"sh", "-c", "grep -c survived /ate; true"}).toInt() < 5, survivors);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
}

void TestLimits::processLimitStopsAForkBomb()
{
    launch("t1", {"-c", "limits.processes=30"});
    giveProbe("t1");
    const QByteArray got = inside("t1", {"/probe", "forks", "100"});
    QVERIFY2(got.endsWith("EAGAIN") && got.split(' ').first().toInt() <= 30, got);
    QCOMPARE(inside("t1", {"echo", "alive"}), QByteArray("alive"));
}

void TestLimits::cpuAllowanceIsHeld()
{
    launch("t1", {"-c", "limits.cpu.allowance=20ms/100ms"});
    giveProbe("t1");
    // Its own CPU clock against the wall: not how fast the machine is.
    const int used = inside("t1", {"/probe", "spin", "2000"}).toInt();
    QVERIFY2(used > 100 && used < 1000, QByteArray::number(used).constData());
}

void TestLimits::cpuCountPins()
{
    const auto says = [](const char *path) {
        QFile file(path);
        return file.open(QIODevice::ReadOnly) && file.readAll().contains("cpuset");
    };
    NEEDS("cpuset", says("/proc/cgroups") || says("/sys/fs/cgroup/cgroup.controllers"));
    launch("t1", {"-c", "limits.cpu=1"});
    const QByteArray one = inside("t1", {"sh", "-c", "grep Cpus_allowed_list /proc/self/status | cut -f2"});
    QVERIFY2(QRegularExpression("^\\d+$").match(QString::fromUtf8(one)).hasMatch(), one);
    must({"delete", "--force", "t1"});
    launch("t2", {"-c", "limits.cpu=0-0"});
    QCOMPARE(inside("t2", {"sh", "-c", "grep Cpus_allowed_list /proc/self/status | cut -f2"}), QByteArray("0"));
}

void TestLimits::guestsAreSpreadOverTheCpus()
{
    const auto cpus = [this](const char *name) {
        return inside(name, {"sh", "-c", "grep Cpus_allowed_list /proc/1/status | cut -f2"});
    };
    NEEDS("two CPUs", QThread::idealThreadCount() > 1);
    launch("t1", {"-c", "limits.cpu=0-0"});
    launch("t2", {"-c", "limits.cpu=1"});
    const QByteArray second = cpus("t2");
    QCOMPARE(cpus("t1"), QByteArray("0"));
    QVERIFY2(second != "0" && !second.contains(','), second);
    // Whoever has a set stays; the one with a count goes out of its way, and a change of another limit moves nobody.
    must({"config", "set", "t1", "limits.cpu=" + QString::fromUtf8(second + "-" + second)});
    QCOMPARE(cpus("t1"), second);
    QVERIFY2(cpus("t2") != second, cpus("t2"));
    const QByteArray now = cpus("t2");
    must({"config", "set", "t2", "limits.processes=100"});
    QCOMPARE(cpus("t2"), now);
    // The first has all CPUs again; two with a count of one each part.
    must({"config", "unset", "t1", "limits.cpu"});
    launch("t3", {"-c", "limits.cpu=1"});
    QVERIFY2(cpus("t3") != cpus("t2"), cpus("t3"));
}

void TestLimits::cpuPriorityIsAShareUnderContention()
{
    // On one CPU, both spinning: the low one gets a small part of the high one's time.
    launch("t1", {"-c", "limits.cpu=0-0", "-c", "limits.cpu.priority=1"});
    launch("t2", {"-c", "limits.cpu=0-0"});
    giveProbe("t1");
    giveProbe("t2");
    must({"exec", "t2", "--", "sh", "-c", "(/probe spin 4000 > /spun 2>&1 &) ; exit 0"});
    const int low = inside("t1", {"/probe", "spin", "2000"}).toInt();
    QVERIFY2(low < 700, QByteArray::number(low).constData());
    must({"config", "set", "t1", "limits.cpu.priority=10"});
    const Run refused = m_box.cli({"config", "set", "t1", "limits.cpu.priority=11"});
    QVERIFY2(!refused.ok() && refused.err.contains("0 to 10"), refused.told());
    QTRY_VERIFY_WITH_TIMEOUT(inside("t2", {"sh", "-c", "cat /spun"}).toInt() > 0, 20000);
    must({"exec", "t2", "--", "sh", "-c", "(/probe spin 3000 > /spun 2>&1 &) ; exit 0"});
    const int even = inside("t1", {"/probe", "spin", "2000"}).toInt();
    QVERIFY2(even > 2 * low, (QByteArray::number(low) + " then " + QByteArray::number(even)).constData());
}

void TestLimits::swapPriorityIsKeptOrRefused()
{
    launch("t1");
    const bool v1 = QFile::exists("/sys/fs/cgroup/memory/memory.swappiness");
    const Run set = m_box.cli({"config", "set", "t1", "limits.memory.swap.priority=0"});
    if (!v1) {
        QVERIFY2(!set.ok() && set.err.contains("limits.memory.swap.priority"), set.told());
        QCOMPARE(m_box.text({"config", "get", "t1", "limits.memory.swap.priority"}), QByteArray(""));
        return;
    }
    RUN_OK(set);
    const auto swappiness = [this] {
        QFile groups(QString("/proc/%1/cgroup").arg(m_box.initPid("t1")));
        if (!groups.open(QIODevice::ReadOnly))
            return QByteArray("no such process");
        const auto path = QRegularExpression(":memory:(.*)\\n").match(QString::fromUtf8(groups.readAll())).captured(1);
        QFile file("/sys/fs/cgroup/memory" + path + "/memory.swappiness");
        return file.open(QIODevice::ReadOnly) ? file.readAll().trimmed() : QByteArray("no file");
    };
    QCOMPARE(swappiness(), QByteArray("100"));
    must({"config", "unset", "t1", "limits.memory.swap.priority"});
    QCOMPARE(swappiness(), QByteArray("60"));
}

void TestLimits::devicesAreAnAllowList()
{
    launch("t1");
    giveProbe("t1");
    for (const char *allowed : {"/dev/null", "/dev/zero", "/dev/urandom", "/dev/tty", "/dev/fuse", "/dev/net/tun"})
        QVERIFY2(inside("t1", {"sh", "-c", QString("test -c %1 && echo there").arg(allowed)}) == "there", allowed);
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/zero"}), QByteArray("ok"));
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/net/tun", "w"}), QByteArray("ok"));
    QCOMPARE(inside("t1", {"/probe", "call", "mknod"}), QByteArray("EPERM"));
}

void TestLimits::usageIsReported()
{
    launch("t1", {"-c", "limits.memory=64MiB"});
    const Reply reply = m_box.rest("GET", "/1.0/instances/t1/state");
    QCOMPARE(reply.status, 200);
    const QJsonObject state = reply.body["metadata"].toObject();
    QVERIFY2(state["memory"].toObject()["usage"].toDouble() > 0, reply.raw);
    QVERIFY2(state["processes"].toInt() >= 1, reply.raw);
    QVERIFY2(state["cpu"].toObject()["usage"].toDouble() > 0, reply.raw);
}

void TestLimits::limitsCannotBeRaisedFromInside()
{
    launch("t1", {"-c", "limits.processes=30"});
    giveProbe("t1");
    (void)exec("t1", {"sh", "-c", "for f in $(find /sys/fs/cgroup -name pids.max -o -name memory.max -o -name cgroup.procs); do echo max > $f; done"});
    (void)exec("t1", {"sh", "-c", "mkdir -p /mnt; mount -t cgroup2 none /mnt && echo max > /mnt/pids.max"});
    (void)exec("t1", {"sh", "-c", "mount -t cgroup -o pids none /mnt && echo max > /mnt/pids.max"});
    QVERIFY(inside("t1", {"/probe", "forks", "100"}).endsWith("EAGAIN"));
}

QTEST_GUILESS_MAIN(TestLimits)
#include "tst_guest_limits.moc"

// Limits seen to act, asked of the kernel by a probe inside: the one who takes too much pays, the guest lives.
#include "support/require.h"
#include "support/system_test.h"

#include <QElapsedTimer>
#include <QFile>
#include <QRegularExpression>
#include <QThread>
#include <algorithm>

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
    void nodesAreKept();
    void cpuPriorityIsAShareUnderContention();
    void swapPriorityIsKeptOrRefused();
    void devicesAreAnAllowList();
    void usageIsReported();
    void limitsCannotBeRaisedFromInside();
    void everyLiveLimitReachesTheKernel_data();
    void everyLiveLimitReachesTheKernel();
    void limitsBelowWhatIsInUseAreRefused();
    void oomPriorityIsTheInits();
    void hugepagesAreKeptOrRefused();
    void diskPriorityIsKeptOrRefused();

private:
    QByteArray kernelValue(const QString &controller, const QString &file);
};

/// What the kernel has for "t1"; "no such file" where this host has none.
QByteArray TestLimits::kernelValue(const QString &controller, const QString &file)
{
    QFile groups(QString("/proc/%1/cgroup").arg(m_box.initPid("t1")));
    if (!groups.open(QIODevice::ReadOnly))
        return "no such process";
    const QString all = QString::fromUtf8(groups.readAll());
    const auto v1 = QRegularExpression(QString(":(?:[^:\n]*,)?%1(?:,[^:\n]*)?:(.*)\n").arg(controller)).match(all);
    QFile mounts("/proc/self/mountinfo");
    if (!mounts.open(QIODevice::ReadOnly))
        return "no mountinfo";
    const QString table = QString::fromUtf8(mounts.readAll());
    const auto mounted = [&](const QString &type, const QString &option) {
        for (const QString &line : table.split('\n')) {
            const QStringList parts = line.split(" - ");
            if (parts.size() == 2 && parts[1].startsWith(type + " ") &&
                (option.isEmpty() || parts[1].section(' ', -1).split(',').contains(option)))
                return parts[0].section(' ', 4, 4);
        }
        return QString();
    };
    QString path = mounted("cgroup", controller) + v1.captured(1) + "/";
    if (!v1.hasMatch()) { // on cgroup2 the guest's own folder is the payload below its limits
        const QString inner = QRegularExpression("^0::(.*)$", QRegularExpression::MultilineOption).match(all).captured(1);
        path = mounted("cgroup2", {}) + inner.left(inner.indexOf("/payload")) + "/";
    }
    QFile value(path + file);
    return value.open(QIODevice::ReadOnly) ? value.readAll().trimmed() : QByteArray("no such file");
}

void TestLimits::everyLiveLimitReachesTheKernel_data()
{
    QTest::addColumn<QString>("set"); // "key=value", several with a space between
    QTest::addColumn<QString>("controller");
    QTest::addColumn<QString>("v1file");
    QTest::addColumn<QByteArray>("v1value");
    QTest::addColumn<QString>("v2file");
    QTest::addColumn<QByteArray>("v2value");
    const auto row = [](const char *set, const char *controller, const char *v1file, const char *v1value, const char *v2file,
                        const char *v2value) {
        QTest::newRow(set) << set << controller << v1file << QByteArray(v1value) << v2file << QByteArray(v2value);
    };
    row("limits.cpu=0-0", "cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0");
    row("limits.cpu.allowance=50%", "cpu", "cpu.shares", "512", "cpu.weight", "50");
    row("limits.cpu.allowance=20ms/80ms", "cpu", "cpu.cfs_quota_us", "20000", "cpu.max", "20000 80000");
    row("limits.cpu.priority=5", "cpu", "cpu.shares", "512", "cpu.weight", "50");
    row("limits.memory=256MiB", "memory", "memory.limit_in_bytes", "268435456", "memory.max", "268435456");
    row("limits.memory=256MiB limits.memory.enforce=soft", "memory", "memory.soft_limit_in_bytes", "268435456", "memory.low",
        "268435456");
    row("limits.memory=256MiB limits.memory.swap=64MiB", "memory", "memory.memsw.limit_in_bytes", "335544320", "memory.swap.max",
        "67108864");
    row("limits.memory.swap=false", "memory", "memory.swappiness", "0", "memory.swap.max", "0");
    row("limits.processes=123", "pids", "pids.max", "123", "pids.max", "123");
}

void TestLimits::everyLiveLimitReachesTheKernel()
{
    QFETCH(QString, set);
    QFETCH(QString, controller);
    launch("t1");
    const bool v1 = !kernelValue("memory", "memory.limit_in_bytes").startsWith("no ");
    QFETCH(QString, v1file);
    QFETCH(QString, v2file);
    QFETCH(QByteArray, v1value);
    QFETCH(QByteArray, v2value);
    const QString file = v1 ? v1file : v2file;
    const QByteArray wanted = v1 ? v1value : v2value;
    const QByteArray before = kernelValue(controller, file);
    NEEDS("a control group file for this limit", before != "no such file");
    QElapsedTimer timer;
    timer.start();
    must(QStringList{"config", "set", "t1"} + set.split(' '));
    qInfo("%s: %lld ms with the client", qPrintable(set), timer.elapsed());
    QCOMPARE(kernelValue(controller, file), wanted);
    QStringList keys = set.split(' ');
    std::ranges::reverse(keys); // a later one may need an earlier one
    for (const QString &each : keys)
        must({"config", "unset", "t1", each.section('=', 0, 0)});
    QCOMPARE(kernelValue(controller, file), before);
}

void TestLimits::limitsBelowWhatIsInUseAreRefused()
{
    launch("t1", {"-c", "limits.memory=256MiB"});
    giveProbe("t1");
    must({"exec", "t1", "--", "sh", "-c", "(/probe hold 100 > /held 2>&1 &) ; exit 0"});
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/held"}) == "ate"; }));
    const bool swaps = [] {
        QFile file("/proc/meminfo");
        return file.open(QIODevice::ReadOnly) && !QRegularExpression("SwapFree:\\s+0 kB").match(QString::fromUtf8(file.readAll())).hasMatch();
    }();
    const QStringList lower = {"config", "set", "t1", "limits.memory=64MiB", "limits.memory.swap=" + QString(swaps ? "false" : "true")};
    const Run refused = m_box.cli(lower);
    QVERIFY2(!refused.ok() && refused.err.contains("limits.memory") && refused.err.contains("64MiB"), refused.told());
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.memory"}), QByteArray("256MiB"));
    QCOMPARE(inside("t1", {"sh", "-c", "pidof probe | wc -w"}), QByteArray("1")); // nobody was killed
    const Run tight = m_box.cli({"config", "set", "t1", "limits.processes=1"});
    QVERIFY2(!tight.ok() && tight.err.contains("limits.processes") && tight.err.contains("processes now"), tight.told());
    // Through a profile, too: nothing is changed for anybody.
    must({"profile", "create", "tight"});
    must({"profile", "add", "t1", "tight"});
    const Run all = m_box.cli({"profile", "set", "tight", "limits.processes=1"});
    QVERIFY2(!all.ok() && all.err.contains("t1") && all.err.contains("limits.processes"), all.told());
    must({"exec", "t1", "--", "sh", "-c", "kill -9 $(pidof probe)"});
    QVERIFY(Sandbox::eventually([&] { return m_box.cli(lower).ok(); }));
    must({"delete", "--force", "t1"});
    must({"profile", "delete", "tight"});
}

void TestLimits::oomPriorityIsTheInits()
{
    launch("t1", {"-c", "limits.memory.oom_priority=300"});
    QCOMPARE(inside("t1", {"cat", "/proc/1/oom_score_adj"}), QByteArray("300"));
    QCOMPARE(inside("t1", {"cat", "/proc/self/oom_score_adj"}), QByteArray("300"));
    // Daemon and monitor are spared for long; what a guest runs is not.
    launch("t2");
    QCOMPARE(inside("t2", {"cat", "/proc/1/oom_score_adj"}), QByteArray("0"));
    QCOMPARE(inside("t2", {"cat", "/proc/self/oom_score_adj"}), QByteArray("0"));
    QFile own(QString("/proc/%1/oom_score_adj").arg(m_box.monitorPid("t2")));
    QVERIFY(own.open(QIODevice::ReadOnly));
    const bool mayBeSpared = run({"sh", "-c", "echo -500 2> /dev/null > /proc/self/oom_score_adj"}).ok(); // not as root of a container
    QCOMPARE(own.readAll().trimmed(), QByteArray(mayBeSpared ? "-500" : "0"));
}

void TestLimits::hugepagesAreKeptOrRefused()
{
    launch("t1");
    const bool kept = [] { // turned on for guests, or on v1: this test turns on nothing for the whole machine
        QFile unified("/sys/fs/cgroup/cgroup.subtree_control");
        return QFile::exists("/sys/fs/cgroup/hugetlb/cgroup.procs") ||
               (unified.open(QIODevice::ReadOnly) && unified.readAll().contains("hugetlb"));
    }();
    const bool pages = QFile::exists("/sys/kernel/mm/hugepages/hugepages-2048kB");
    const Run odd = m_box.cli({"config", "set", "t1", "limits.hugepages.64KB=1MiB"});
    if (!QFile::exists("/sys/kernel/mm/hugepages/hugepages-64kB"))
        QVERIFY2(!odd.ok() && odd.err.contains("limits.hugepages.64KB"), odd.told());
    NEEDS("hugetlb control groups in use, huge pages of 2 MiB", kept && pages);
    must({"config", "set", "t1", "limits.hugepages.2MB=4MiB"});
    const QByteArray v1 = kernelValue("hugetlb", "hugetlb.2MB.limit_in_bytes");
    QCOMPARE(v1.startsWith("no ") ? kernelValue("hugetlb", "hugetlb.2MB.max") : v1, QByteArray("4194304"));
}

void TestLimits::diskPriorityIsKeptOrRefused()
{
    launch("t1");
    const Run set = m_box.cli({"config", "set", "t1", "limits.disk.priority=8"});
    if (!set.ok()) {
        QVERIFY2(set.err.contains("limits.disk.priority") && set.err.contains("bfq"), set.told());
        QCOMPARE(m_box.text({"config", "get", "t1", "limits.disk.priority"}), QByteArray(""));
        return;
    }
    const QByteArray v1 = kernelValue("blkio", "blkio.bfq.weight"), bfq = kernelValue("io", "io.bfq.weight");
    QVERIFY2(v1 == "160" || bfq.contains("160") || kernelValue("io", "io.weight").contains("160"), v1 + bfq);
}

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

void TestLimits::nodesAreKept()
{
    const auto allowed = [this](const char *what) {
        return inside("t1", {"sh", "-c", QString("grep %1_allowed_list /proc/1/status | cut -f2").arg(what)});
    };
    QFile list("/sys/devices/system/node/node0/cpulist");
    NEEDS("a NUMA node 0", list.open(QIODevice::ReadOnly));
    launch("t1", {"-c", "limits.cpu.nodes=0"});
    QCOMPARE(allowed("Mems"), QByteArray("0"));
    QCOMPARE(allowed("Cpus"), list.readAll().trimmed());
    const Run refused = m_box.cli({"config", "set", "t1", "limits.cpu.nodes=0,1000"});
    QVERIFY2(!refused.ok() && refused.err.contains("no NUMA node 1000"), refused.told());
    must({"config", "set", "t1", "limits.cpu=1"}); // among these
    QVERIFY2(!allowed("Cpus").contains('-'), allowed("Cpus"));
    must({"config", "unset", "t1", "limits.cpu.nodes"});
    must({"config", "unset", "t1", "limits.cpu"});
    QFile mine("/proc/self/status");
    QVERIFY(mine.open(QIODevice::ReadOnly));
    QVERIFY2(mine.readAll().contains("Mems_allowed_list:\t" + allowed("Mems") + "\n"), allowed("Mems"));
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
    const QStringList together = QThread::idealThreadCount() > 1 ? QStringList{"-c", "limits.cpu=0-0"} : QStringList{};
    launch("t1", together + QStringList{"-c", "limits.cpu.priority=1"});
    launch("t2", together);
    giveProbe("t1");
    giveProbe("t2");
    must({"exec", "t2", "--", "sh", "-c", "(/probe spin 4000 > /spun 2>&1 &) ; exit 0"});
    const int low = inside("t1", {"/probe", "spin", "2000"}).toInt();
    QVERIFY2(low < 700, QByteArray::number(low).constData());
    must({"config", "set", "t1", "limits.cpu.priority=10"});
    const Run refused = m_box.cli({"config", "set", "t1", "limits.cpu.priority=11"});
    QVERIFY2(!refused.ok() && refused.err.contains("0 to 10"), refused.told());
    QTRY_VERIFY_WITH_TIMEOUT(inside("t2", {"sh", "-c", "cat /spun"}).toInt() > 0, 60000);
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

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
    void softMemoryMayBeExceeded();
    void swapIsWhatAGuestMayHaveBeside_data();
    void swapIsWhatAGuestMayHaveBeside();
    void memoryMayBeAPartOfTheHosts();
    void cpuSharesCountUnderContention_data();
    void cpuSharesCountUnderContention();
    void kernelLimitsAreTheInits_data();
    void kernelLimitsAreTheInits();
    void kernelLimitsAct();
    void swapPriorityIsKeptOrRefused();
    void devicesAreAnAllowList();
    void usageIsReported();
    void limitsCannotBeRaisedFromInside();
    void everyLiveLimitReachesTheKernel_data();
    void everyLiveLimitReachesTheKernel();
    void aLimitIsChangedFast();
    void limitsBelowWhatIsInUseAreRefused();
    void oomPriorityIsTheInits();
    void hugepagesAreKeptOrRefused();
    void diskPriorityIsKeptOrRefused();
    void diskPriorityIsTheKernelsWhereADiskIsShared();

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

void TestLimits::aLimitIsChangedFast()
{
    launch("t1");
    qint64 best = 1'000'000, worst = 0; // µs; the record on disk is among it
    for (int i = 0; i < 30; ++i) {
        const QJsonObject change{{"config", QJsonObject{{"limits.processes", QString::number(200 + i)}}}};
        QElapsedTimer timer;
        timer.start();
        const Reply reply = m_box.rest("PATCH", "/1.0/instances/t1", change);
        const qint64 took = timer.nsecsElapsed() / 1000;
        QVERIFY2(reply.status == 200, reply.raw);
        QCOMPARE(kernelValue("pids", "pids.max"), QByteArray::number(200 + i));
        best = std::min(best, took);
        worst = std::max(worst, took);
    }
    qInfo("a limit is changed in %.1f to %.1f ms", static_cast<double>(best) / 1000, static_cast<double>(worst) / 1000);
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
    // What the kernel chooses by.
    const int first = inside("t1", {"cat", "/proc/1/oom_score"}).toInt(), second = inside("t2", {"cat", "/proc/1/oom_score"}).toInt();
    QVERIFY2(first > second + 100, QByteArray::number(first) + " and " + QByteArray::number(second));
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
    // There have to be some to see who gets how many.
    QFile pool("/proc/sys/vm/nr_hugepages");
    NEEDS("to set aside huge pages", pool.open(QIODevice::ReadWrite | QIODevice::Unbuffered));
    const QByteArray was = pool.readAll().trimmed();
    const auto putBack = qScopeGuard([&] { (void)pool.write(was); });
    NEEDS("to set aside huge pages", pool.write(QByteArray::number(was.toInt() + 6)) > 0);
    giveProbe("t1");
    QCOMPARE(inside("t1", {"/probe", "huge", "2"}), QByteArray("ok"));
    QVERIFY(inside("t1", {"/probe", "huge", "3"}) != "ok");
    must({"config", "unset", "t1", "limits.hugepages.2MB"});
    QCOMPARE(inside("t1", {"/probe", "huge", "3"}), QByteArray("ok"));
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

/// On a disk of its own whose scheduler shares it out.
void TestLimits::diskPriorityIsTheKernelsWhereADiskIsShared()
{
    const QString image = m_box.directory() + "/disk";
    RUN_OK(run({"truncate", "-s", "64M", image}));
    const QString loop = QString::fromUtf8(run({"losetup", "--find", "--show", image}).out.trimmed());
    NEEDS("a loop device", !loop.isEmpty());
    const QString queue = "/sys/block/" + loop.section('/', -1) + "/queue/";
    const QByteArray was = run({"sh", "-c", "sed 's/.*\\[\\(.*\\)\\].*/\\1/' " + queue + "scheduler"}).out.trimmed();
    const auto undone = qScopeGuard([&] {
        (void)run({"sh", "-c", "echo " + was + " > " + queue + "scheduler; losetup -d " + loop + "; rm -f '" + image + "'"});
    });
    NEEDS("the disk scheduler bfq", run({"sh", "-c", "echo bfq > " + queue + "scheduler"}).ok());
    launch("t1");
    if (const Run set = m_box.cli({"config", "set", "t1", "limits.disk.priority=1"}); !set.ok()) { // its bfq knows no groups
        QVERIFY2(set.err.contains("limits.disk.priority cannot be kept"), set.told());
        return;
    }
    const auto weight = [&] {
        const QByteArray v1 = kernelValue("blkio", "blkio.bfq.weight");
        return v1.startsWith("no ") ? kernelValue("io", "io.bfq.weight").replace("default ", "") : v1;
    };
    QCOMPARE(weight(), QByteArray("20"));
    must({"config", "set", "t1", "limits.disk.priority=10"});
    QCOMPARE(weight(), QByteArray("200"));
    must({"config", "unset", "t1", "limits.disk.priority"});
    QCOMPARE(weight(), QByteArray("100"));
    deleteAll();
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
    must({"config", "set", "t1", "limits.cpu.nodes=balanced"}); // it stays
    QCOMPARE(allowed("Mems"), QByteArray("0"));
    must({"restart", "--force", "t1"});
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.cpu.nodes"}), QByteArray("balanced"));
    QVERIFY2(QRegularExpression("^\\d+$").match(QString::fromUtf8(allowed("Mems"))).hasMatch(), allowed("Mems")); // on one
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

void TestLimits::softMemoryMayBeExceeded()
{
    launch("t1", {"-c", "limits.memory=64MiB", "-c", "limits.memory.enforce=soft"});
    giveProbe("t1");
    QCOMPARE(inside("t1", {"/probe", "eat", "150"}), QByteArray("ate"));
    must({"config", "set", "t1", "limits.memory.enforce=hard"});
    RUN_ENDS(exec("t1", {"/probe", "eat", "200"}), 137);
}

void TestLimits::swapIsWhatAGuestMayHaveBeside_data()
{
    QTest::addColumn<QString>("swap");
    QTest::addColumn<int>("ends"); // what takes 100 MiB where 64 are memory
    QTest::newRow("as much as there is") << "true" << 0;
    QTest::newRow("enough") << "128MiB" << 0;
    QTest::newRow("too little") << "8MiB" << 137;
    QTest::newRow("none") << "false" << 137;
}

void TestLimits::swapIsWhatAGuestMayHaveBeside()
{
    QFETCH(QString, swap);
    QFETCH(int, ends);
    QFile meminfo("/proc/meminfo");
    QVERIFY(meminfo.open(QIODevice::ReadOnly));
    if (QRegularExpression("SwapFree:\\s+(\\d+)").match(QString::fromUtf8(meminfo.readAll())).captured(1).toLongLong() < 128 * 1024)
        QSKIP("this host has less than 128 MiB of free swap, and a test turns on none");
    launch("t1", {"-c", "limits.memory=64MiB", "-c", "limits.memory.swap=" + swap});
    giveProbe("t1");
    RUN_ENDS(exec("t1", {"/probe", "eat", "100"}), ends);
    // On a guest that runs, the other way.
    must({"config", "set", "t1", QString("limits.memory.swap=") + (ends == 0 ? "false" : "true")});
    RUN_ENDS(exec("t1", {"/probe", "eat", "100"}), ends == 0 ? 137 : 0);
}

void TestLimits::memoryMayBeAPartOfTheHosts()
{
    QFile meminfo("/proc/meminfo");
    QVERIFY(meminfo.open(QIODevice::ReadOnly));
    const qint64 all = QRegularExpression("MemTotal:\\s+(\\d+)").match(QString::fromUtf8(meminfo.readAll())).captured(1).toLongLong() * 1024;
    launch("t1", {"-c", "limits.memory=10%"});
    const QByteArray v1 = kernelValue("memory", "memory.limit_in_bytes");
    const QByteArray said = v1.startsWith("no ") ? kernelValue("memory", "memory.max") : v1;
    QVERIFY2(qAbs(said.toLongLong() - all / 10) < 8192, said); // whole pages
    must({"config", "set", "t1", "limits.memory=20%"});
    QVERIFY(qAbs((v1.startsWith("no ") ? kernelValue("memory", "memory.max") : kernelValue("memory", "memory.limit_in_bytes")).toLongLong() - all / 5) < 8192);
}

void TestLimits::kernelLimitsAreTheInits_data()
{
    QTest::addColumn<QString>("value");
    QTest::addColumn<QString>("line"); // of /proc/PID/limits: proc_pid_limits(5)
    const auto row = [](const char *name, const char *value, const char *line) { QTest::newRow(name) << value << line; };
    row("as", "4294967296:8589934592", "Max address space 4294967296 8589934592 bytes");
    row("core", "1048576", "Max core file size 1048576 1048576 bytes");
    row("cpu", "1000:2000", "Max cpu time 1000 2000 seconds");
    row("data", "1073741824:unlimited", "Max data size 1073741824 unlimited bytes");
    row("fsize", "unlimited", "Max file size unlimited unlimited bytes");
    row("locks", "77", "Max file locks 77 77 locks");
    row("memlock", "unlimited", "Max locked memory unlimited unlimited bytes");
    row("nice", "20", "Max nice priority 20 20"); // more than the daemon has, as memlock and rtprio
    row("nofile", "345:678", "Max open files 345 678 files");
    row("nproc", "500", "Max processes 500 500 processes");
    row("rtprio", "5", "Max realtime priority 5 5");
    row("sigpending", "321", "Max pending signals 321 321 signals");
}

/// More than one has takes CAP_SYS_RESOURCE, which root of a container lacks.
static bool mayRaiseLimits() { return run({"sh", "-c", "grep -q '^CapEff.*[13579bdf].\\{6\\}$' /proc/self/status"}).ok(); }

void TestLimits::kernelLimitsAreTheInits()
{
    QFETCH(QString, value);
    QFETCH(QString, line);
    static const QStringList kRaised{"memlock", "nice", "rtprio"};
    NEEDS("CAP_SYS_RESOURCE", !kRaised.contains(QTest::currentDataTag()) || mayRaiseLimits());
    const QString key = QString("limits.kernel.%1").arg(QTest::currentDataTag());
    launch("t1", {"-c", key + "=" + value});
    const QByteArray all = inside("t1", {"sh", "-c", "tr -s ' ' < /proc/1/limits"});
    QVERIFY2(all.contains(line.toUtf8()), all);
    // What exec runs has them too.
    QVERIFY(inside("t1", {"sh", "-c", "tr -s ' ' < /proc/self/limits"}).contains(line.toUtf8()));
    // From the next start on, as is said.
    const Run later = m_box.cli({"config", "unset", "t1", key});
    QVERIFY2(later.ok() && later.err.contains(key.toUtf8()), later.told());
}

void TestLimits::kernelLimitsAct()
{
    // Above what the daemon has, also by the count of its user namespace (Linux 5.14).
    if (mayRaiseLimits()) {
        launch("t2", {"-c", "limits.kernel.memlock=unlimited"});
        giveProbe("t2");
        QCOMPARE(inside("t2", {"/probe", "lock", "64"}), QByteArray("ok"));
        must({"config", "set", "t2", "limits.kernel.memlock=1048576"});
        must({"restart", "--force", "t2"});
    } else {
        launch("t2", {"-c", "limits.kernel.memlock=1048576"});
        giveProbe("t2");
    }
    QVERIFY(inside("t2", {"/probe", "lock", "64"}) != "ok");
    launch("t1", {"-c", "limits.kernel.fsize=1048576", "-c", "limits.kernel.nofile=20", "-c", "limits.kernel.as=104857600"});
    giveProbe("t1");
    (void)exec("t1", {"dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3"});
    QCOMPARE(inside("t1", {"stat", "-c", "%s", "/big"}), QByteArray("1048576"));
    QVERIFY(!exec("t1", {"/probe", "eat", "200"}).ok()); // more than its address space
    QCOMPARE(inside("t1", {"/probe", "eat", "20"}), QByteArray("ate"));
    QVERIFY(!exec("t1", {"sh", "-c", "ulimit -n 21"}).ok() || inside("t1", {"sh", "-c", "ulimit -n"}) == "20");
}

void TestLimits::cpuSharesCountUnderContention_data()
{
    QTest::addColumn<QString>("low");
    QTest::addColumn<QString>("high");
    QTest::newRow("priority") << "limits.cpu.priority=1" << "limits.cpu.priority=10";
    QTest::newRow("allowance") << "limits.cpu.allowance=10%" << "limits.cpu.allowance=100%";
}

void TestLimits::cpuSharesCountUnderContention()
{
    QFETCH(QString, low);
    QFETCH(QString, high);
    // On one CPU, both spinning: the low one gets a small part of the high one's time.
    const QStringList together = QThread::idealThreadCount() > 1 ? QStringList{"-c", "limits.cpu=0-0"} : QStringList{};
    launch("t1", together + QStringList{"-c", low});
    launch("t2", together);
    giveProbe("t1");
    giveProbe("t2");
    must({"exec", "t2", "--", "sh", "-c", "(/probe spin 4000 > /spun 2>&1 &) ; exit 0"});
    const int little = inside("t1", {"/probe", "spin", "2000"}).toInt();
    QVERIFY2(little < 700, QByteArray::number(little).constData());
    must({"config", "set", "t1", high});
    const Run refused = m_box.cli({"config", "set", "t1", "limits.cpu.priority=11"});
    QVERIFY2(!refused.ok() && refused.err.contains("0 to 10"), refused.told());
    QTRY_VERIFY_WITH_TIMEOUT(inside("t2", {"sh", "-c", "cat /spun"}).toInt() > 0, 60000);
    must({"exec", "t2", "--", "sh", "-c", "(/probe spin 3000 > /spun 2>&1 &) ; exit 0"});
    const int even = inside("t1", {"/probe", "spin", "2000"}).toInt();
    QVERIFY2(even > 2 * little, (QByteArray::number(little) + " then " + QByteArray::number(even)).constData());
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

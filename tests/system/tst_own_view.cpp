// What a guest is told of memory, CPUs and uptime: its own limits where lxcfs runs, the host's figures where it does not.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QProcess>
#include <QStandardPaths>
#include <QTemporaryDir>

using namespace lxmgr::test;

class TestOwnView : public SystemTest
{
    Q_OBJECT
public:
    ~TestOwnView() override { endLxcfs(); }

private slots:
    void memoryIsWhatItMayUse();
    void cpusAreThoseItMayUse();
    void uptimeIsItsOwn();
    void itRunsOnAndStartsAgainWithoutIt();
    void withoutItTheHostIsSeen();

private:
    void prepare() override;
    /// Has lxcfs(1) and a daemon that knows of it; "" or why not.
    QString lxcfs();
    bool endLxcfs();
    quint64 totalKilobytes(const QString &name)
    {
        return inside(name, {"sh", "-c", "grep MemTotal /proc/meminfo | tr -s ' ' | cut -d' ' -f2"}).toULongLong();
    }
    QTemporaryDir m_home; // not the sandbox's: it is there from the first test to the last
    QString m_folder, m_lack;
    QProcess m_lxcfs;
};

void TestOwnView::prepare()
{
    m_folder = m_home.path() + "/lxcfs";
    QVERIFY(QDir().mkpath(m_folder));
    m_lack = lxcfs();
}

QString TestOwnView::lxcfs()
{
    if (QStandardPaths::findExecutable("lxcfs").isEmpty())
        return "lxcfs is not installed";
    // In a network of its own: it is none of the sandbox's processes.
    m_lxcfs.start("unshare", {"-n", "lxcfs", "-f", "-p", m_folder + ".pid", m_folder});
    if (!Sandbox::eventually([&] { return QFile::exists(m_folder + "/proc/meminfo") || m_lxcfs.state() == QProcess::NotRunning; }) ||
        m_lxcfs.state() == QProcess::NotRunning)
        return "lxcfs does not run here: " + QString::fromUtf8(m_lxcfs.readAllStandardError()).right(300);
    m_box.stopDaemon();
    return m_box.startDaemon({{"LXMGR_LXCFS", m_folder}}) ? QString() : QString("no daemon");
}

bool TestOwnView::endLxcfs()
{
    m_lxcfs.terminate();
    return (m_lxcfs.state() == QProcess::NotRunning || m_lxcfs.waitForFinished()) &&
           Sandbox::eventually([&] { return !QFile::exists(m_folder + "/proc"); });
}

#define NEEDS_LXCFS()                                                                                                  \
    if (!m_lack.isEmpty())                                                                                             \
    QSKIP(qPrintable(m_lack))

void TestOwnView::memoryIsWhatItMayUse()
{
    NEEDS_LXCFS();
    launch("t1", {"-c", "limits.memory=64MiB"});
    QCOMPARE(totalKilobytes("t1"), 65536ULL);
    must({"config", "set", "t1", "limits.memory=128MiB"});
    QCOMPARE(totalKilobytes("t1"), 131072ULL);
}

void TestOwnView::cpusAreThoseItMayUse()
{
    NEEDS_LXCFS();
    launch("t1", {"-c", "limits.cpu=0-0"});
    QCOMPARE(inside("t1", {"sh", "-c", "grep -c ^processor /proc/cpuinfo"}), QByteArray("1"));
    QCOMPARE(inside("t1", {"cat", "/sys/devices/system/cpu/online"}), QByteArray("0"));
    QCOMPARE(inside("t1", {"nproc"}), QByteArray("1"));
}

void TestOwnView::uptimeIsItsOwn()
{
    NEEDS_LXCFS();
    launch("t1");
    QFile host("/proc/uptime");
    QVERIFY(host.open(QIODevice::ReadOnly));
    const double ours = host.readAll().split(' ').value(0).toDouble();
    const QByteArray theirs = inside("t1", {"cut", "-d ", "-f1", "/proc/uptime"});
    QVERIFY2(theirs.toDouble() < 60 && theirs.toDouble() < ours, theirs);
}

void TestOwnView::itRunsOnAndStartsAgainWithoutIt()
{
    NEEDS_LXCFS();
    launch("t1", {"-c", "limits.memory=64MiB"});
    QCOMPARE(totalKilobytes("t1"), 65536ULL);
    QVERIFY(endLxcfs());
    QCOMPARE(inside("t1", {"echo", "alive"}), QByteArray("alive"));
    must({"exec", "t1", "--", "sh", "-c", "(sleep 0.1; reboot -f) >/dev/null 2>&1 & exit 0"});
    QVERIFY(Sandbox::eventually([&] { return totalKilobytes("t1") > 65536; })); // by its own hand, without the daemon
    must({"restart", "--force", "t1"});
    QVERIFY(totalKilobytes("t1") > 65536);
    m_lack = lxcfs();
    QCOMPARE(m_lack, QString());
}

void TestOwnView::withoutItTheHostIsSeen()
{
    QVERIFY(endLxcfs());
    QFile memory("/proc/meminfo");
    QVERIFY(memory.open(QIODevice::ReadOnly));
    const QByteArray line = memory.readAll().split('\n').value(0).simplified().split(' ').value(1);
    launch("t1", {"-c", "limits.memory=64MiB"});
    QCOMPARE(totalKilobytes("t1"), line.toULongLong());
}

QTEST_GUILESS_MAIN(TestOwnView)
#include "tst_own_view.moc"

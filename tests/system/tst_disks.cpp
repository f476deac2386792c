// Disks that are more than a bound folder: memory of a size that holds, mount options, propagation, limits of the block
// device below; each at a start and plugged into a guest that runs.
#include "support/system_test.h"

#include <QDir>

#include <functional>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

using namespace lxmgr::test;

class TestDisks : public SystemTest
{
    Q_OBJECT
private slots:
    void memoryHasASizeThatHolds_data() { bothWays(); }
    void memoryHasASizeThatHolds();
    void memoryIsAsItsOptionsSay_data() { bothWays(); }
    void memoryIsAsItsOptionsSay();
    void mountOptionsHold_data() { bothWays(); }
    void mountOptionsHold();
    void propagationIsAsSaid_data();
    void propagationIsAsSaid();
    void limitsAreTheKernels();
    void ratesAreHeld();
    void limitsComeAndGoWithTheirDisk();
    void limitsThatCannotBeAreRefused();

private:
    static void bothWays()
    {
        QTest::addColumn<bool>("live");
        QTest::newRow("at the start") << false;
        QTest::newRow("plugged") << true;
    }
    /// t1 with the disk: it comes with the guest, or once that runs.
    void launchWith(const QStringList &keys, bool live)
    {
        must({live ? "launch" : "create", "busybox", "t1"});
        must(QStringList{"config", "device", "add", "t1", "d", "disk"} + keys);
        if (!live)
            must({"start", "t1"});
    }
    QString folder(const QString &name)
    {
        const QString path = m_box.directory() + "/" + name;
        QDir().mkpath(path);
        return path;
    }
    /// What the kernel says of `file` in the folder of t1's limits, by the names it has on v1 and on v2.
    QByteArray limit(const QString &v1File);
    QByteArray disk() const
    {
        struct stat info {
        };
        ::stat(m_box.directory().toUtf8().constData(), &info);
        const QByteArray own = QByteArray::number(major(info.st_dev)) + ":" + QByteArray::number(minor(info.st_dev));
        QFile whole("/sys/dev/block/" + own + "/../dev");
        const bool isPart = QFile::exists("/sys/dev/block/" + own + "/partition") && whole.open(QIODevice::ReadOnly);
        return isPart ? whole.readAll().trimmed() : own;
    }
};

QByteArray TestDisks::limit(const QString &v1File)
{
    QFile groups(QString("/proc/%1/cgroup").arg(m_box.initPid("t1")));
    if (!groups.open(QIODevice::ReadOnly))
        return "no guest";
    QString path;
    for (const QByteArray &line : groups.readAll().split('\n'))
        if (line.split(':').value(1).split(',').contains("blkio"))
            path = "/sys/fs/cgroup/blkio" + QString::fromUtf8(line.split(':').value(2)) + "/" + v1File;
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll().trimmed().replace('\n', ", ") : "no file " + path.toUtf8();
}

void TestDisks::memoryHasASizeThatHolds()
{
    QFETCH(bool, live);
    launchWith({"source=tmpfs:", "path=/fast", "size=1MiB"}, live);
    QCOMPARE(inside("t1", {"stat", "-f", "-c", "%T", "/fast"}), "tmpfs");
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a", "/fast"}), "0:0 755");
    const QByteArray full = "dd if=/dev/zero of=/fast/x bs=64k count=64 2>/dev/null; stat -c %s /fast/x";
    QCOMPARE(inside("t1", {"sh", "-c", full}), "1048576");
    for (const char *options : {"remount,size=8m", "remount,rw,suid,dev,exec", "remount,bind,suid,dev"})
        QVERIFY2(exec("t1", {"mount", "-o", options, "/fast"}).status != 0, options);
    QCOMPARE(inside("t1", {"sh", "-c", full}), "1048576");
    QCOMPARE(inside("t1", {"sh", "-c", "rm /fast/x; echo a > /fast/y; chown 7:8 /fast/y; stat -c %u:%g /fast/y"}), "7:8");
    if (!live) {
        must({"restart", "t1", "--force"});
        QCOMPARE(inside("t1", {"ls", "/fast"}), "");
    }
    must({"config", "device", "remove", "t1", "d"});
    QCOMPARE(inside("t1", {"sh", "-c", "grep -c ' /fast ' /proc/mounts || true"}), "0");
    deleteAll();
}

void TestDisks::memoryIsAsItsOptionsSay()
{
    QFETCH(bool, live);
    const QStringList keys{"source=tmpfs:", "path=/fast", "raw.mount.options=mode=1777"};
    launchWith(keys, live);
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a", "/fast"}), "0:0 1777");
    must({"config", "device", "set", "t1", "d", "raw.mount.options=mode=700,uid=5,gid=6,noexec,nr_inodes=3"});
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a", "/fast"}), "5:6 700");
    QCOMPARE(inside("t1", {"sh", "-c", "cp /bin/busybox /fast/true; /fast/true 2>&1 | grep -o denied"}), "denied");
    QCOMPARE(inside("t1", {"sh", "-c", "cd /fast; touch a b c d 2>/dev/null; ls | wc -l"}), "2");
    deleteAll();
}

void TestDisks::mountOptionsHold()
{
    QFETCH(bool, live);
    launchWith({"source=" + folder("src"), "path=/src", "shift=true", "raw.mount.options=noexec,nosuid,nodiratime"}, live);
    QCOMPARE(inside("t1", {"sh", "-c", "cp /bin/busybox /src/true; /src/true 2>&1 | grep -o denied"}), "denied");
    const QByteArray options = inside("t1", {"sh", "-c", "grep ' /src ' /proc/mounts"});
    for (const char *option : {"noexec", "nosuid", "nodev", "nodiratime"})
        QVERIFY2(options.contains(option), options);
    QVERIFY(exec("t1", {"mount", "-o", "remount,bind,exec,suid", "/src"}).status != 0);
    must({"config", "device", "set", "t1", "d", "raw.mount.options=ro"});
    QVERIFY(exec("t1", {"touch", "/src/new"}).status != 0);
    const Run refused = m_box.cli({"config", "device", "set", "t1", "d", "raw.mount.options=dev"});
    QVERIFY2(refused.status != 0 && refused.err.contains("'dev' is not a mount option that may be given"), refused.err);
    deleteAll();
}

void TestDisks::propagationIsAsSaid_data()
{
    QTest::addColumn<QString>("propagation");
    QTest::addColumn<bool>("live");
    QTest::addColumn<QByteArray>("seen"); // of a mount made on the host below the source
    QTest::addColumn<QByteArray>("says"); // mountinfo inside
    for (const bool live : {false, true}) {
        const QByteArray how = live ? " plugged" : " at the start";
        QTest::newRow("none" + how) << "" << live << QByteArray("no") << QByteArray("");
        QTest::newRow("private" + how) << "private" << live << QByteArray("no") << QByteArray("");
        QTest::newRow("slave" + how) << "slave" << live << QByteArray("yes") << QByteArray("master");
        QTest::newRow("rslave" + how) << "rslave" << live << QByteArray("yes") << QByteArray("master");
        QTest::newRow("shared" + how) << "shared" << live << QByteArray("yes") << QByteArray("shared master");
        QTest::newRow("unbindable" + how) << "unbindable" << live << QByteArray("no") << QByteArray("unbindable");
    }
}

void TestDisks::propagationIsAsSaid()
{
    QFETCH(QString, propagation);
    QFETCH(bool, live);
    QFETCH(QByteArray, seen);
    QFETCH(QByteArray, says);
    // A shared mount of the host's with a folder in it that another is mounted on while the guest runs.
    const QByteArray source = folder("shared").toUtf8();
    QVERIFY(::mount("none", source.constData(), "tmpfs", 0, nullptr) == 0);
    QVERIFY(::mount("none", source.constData(), nullptr, MS_SHARED, nullptr) == 0);
    QDir().mkpath(source + "/below");
    const auto unmounted = qScopeGuard([&] {
        (void)::umount2((source + "/below").constData(), MNT_DETACH); // gone already where all went well
        (void)::umount2(source.constData(), MNT_DETACH);
    });
    QStringList keys{"source=" + source, "path=/src"};
    if (!propagation.isEmpty())
        keys.append("propagation=" + propagation);
    launchWith(keys, live);
    QVERIFY(::mount("none", (source + "/below").constData(), "tmpfs", 0, nullptr) == 0);
    QVERIFY(QFile(source + "/below/file").open(QIODevice::WriteOnly));
    QCOMPARE(inside("t1", {"sh", "-c", "test -e /src/below/file && echo yes || echo no"}), seen);
    QCOMPARE(inside("t1", {"sh", "-c", "grep ' /src ' /proc/self/mountinfo | grep -o -E 'shared|master|unbindable' | xargs"}), says);
    // What the guest mounts below it never reaches the host.
    QCOMPARE(inside("t1", {"sh", "-c", "mount -t tmpfs none /src && touch /src/inner"}), "");
    QVERIFY(!QFile::exists(source + "/inner"));
    QCOMPARE(inside("t1", {"umount", "/src"}), "");
    QVERIFY(::umount2((source + "/below").constData(), 0) == 0);
    deleteAll();
}

void TestDisks::limitsAreTheKernels()
{
    if (!QFile::exists("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device"))
        QSKIP("the blkio controller of control groups v1 is needed");
    const QByteArray device = disk();
    launch("t1", {"-d", "root,limits.read=10MB,limits.write=500iops"});
    QCOMPARE(limit("blkio.throttle.read_bps_device"), device + " 10000000");
    QCOMPARE(limit("blkio.throttle.write_iops_device"), device + " 500");
    QCOMPARE(limit("blkio.throttle.write_bps_device"), "");
    must({"config", "device", "set", "t1", "root", "limits.read=20MiB"});
    QCOMPARE(limit("blkio.throttle.read_bps_device"), device + " 20971520");
    // They stay through a change of other limits, and a reboot from inside.
    must({"config", "set", "t1", "limits.processes=200"});
    const int init = m_box.initPid("t1");
    (void)exec("t1", {"reboot"});
    QTRY_VERIFY_WITH_TIMEOUT(m_box.initPid("t1") > 0 && m_box.initPid("t1") != init && exec("t1", {"true"}).status == 0, 60000);
    QCOMPARE(limit("blkio.throttle.read_bps_device"), device + " 20971520");
    QCOMPARE(limit("blkio.throttle.write_iops_device"), device + " 500");
    must({"config", "device", "unset", "t1", "root", "limits.read"});
    must({"config", "device", "unset", "t1", "root", "limits.write"});
    QCOMPARE(limit("blkio.throttle.read_bps_device"), "");
    QCOMPARE(limit("blkio.throttle.write_iops_device"), "");
    must({"config", "device", "set", "t1", "root", "limits.max=1MiB"});
    QCOMPARE(limit("blkio.throttle.read_bps_device"), device + " 1048576");
    QCOMPARE(limit("blkio.throttle.write_bps_device"), device + " 1048576");
    deleteAll();
}

void TestDisks::ratesAreHeld()
{
    if (!QFile::exists("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device") && !QFile::exists("/sys/fs/cgroup/io.stat"))
        QSKIP("the controller blkio or io is needed");
    launch("t1", {"-d", "root,limits.read=900MB"}); // a root of its own
    giveProbe("t1");
    const auto written = [&] { return inside("t1", {"/probe", "direct", "/file", "2000"}).toLongLong(); }; // KiB in 2 s
    const qint64 before = written();
    must({"config", "device", "set", "t1", "root", "limits.write=1MiB"});
    const qint64 bytes = written();
    must({"config", "device", "set", "t1", "root", "limits.write=20iops"}); // of 64 KiB
    const qint64 operations = written();
    must({"config", "device", "unset", "t1", "root", "limits.write"});
    const qint64 after = written();
    const QByteArray told = QString("KiB in 2 s: %1, at 1 MiB a second %2, at 20 operations a second %3, then %4").arg(before).arg(bytes).arg(operations).arg(after).toUtf8();
    qInfo("%s", told.constData());
    QVERIFY2(bytes > 0 && bytes < 4096 && operations > 0 && operations < 5120 && after > 2 * bytes, told);
    deleteAll();
}

void TestDisks::limitsComeAndGoWithTheirDisk()
{
    if (!QFile::exists("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device"))
        QSKIP("the blkio controller of control groups v1 is needed");
    const QByteArray device = disk();
    launch("t1");
    must({"config", "device", "add", "t1", "d", "disk", "source=" + folder("src"), "path=/src", "limits.write=3MB"});
    QCOMPARE(limit("blkio.throttle.write_bps_device"), device + " 3000000");
    QCOMPARE(inside("t1", {"touch", "/tmp/here"}), "");
    // A change of the limit alone leaves the mount: the guest may hold something open in it.
    const QByteArray before = inside("t1", {"sh", "-c", "grep ' /src ' /proc/self/mountinfo | cut -d' ' -f1"});
    must({"config", "device", "set", "t1", "d", "limits.write=4MB"});
    QCOMPARE(limit("blkio.throttle.write_bps_device"), device + " 4000000");
    QCOMPARE(inside("t1", {"sh", "-c", "grep ' /src ' /proc/self/mountinfo | cut -d' ' -f1"}), before);
    must({"config", "device", "remove", "t1", "d"});
    QCOMPARE(limit("blkio.throttle.write_bps_device"), "");
    deleteAll();
}

void TestDisks::limitsThatCannotBeAreRefused()
{
    const QByteArray source = folder("memory").toUtf8();
    QVERIFY(::mount("none", source.constData(), "tmpfs", 0, nullptr) == 0);
    const auto unmounted = qScopeGuard([&] { (void)::umount2(source.constData(), MNT_DETACH); });
    launch("t1");
    const QByteArray before = m_box.text({"config", "show", "t1"});
    for (const auto &[keys, reason] : {std::pair{QStringList{"source=" + source, "path=/src", "limits.read=1MB"}, QByteArray("(tmpfs) has no block device")},
                                       std::pair{QStringList{"source=tmpfs:", "path=/src", "limits.read=1MB"}, QByteArray("no block device")},
                                       std::pair{QStringList{"source=tmpfs-overlay:", "path=/src"}, QByteArray("not supported yet")}}) {
        const Run refused = m_box.cli(QStringList{"config", "device", "add", "t1", "d", "disk"} + keys);
        QVERIFY2(refused.status != 0 && refused.err.contains(reason), refused.err);
        QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    }
    deleteAll();
}

QTEST_GUILESS_MAIN(TestDisks)
#include "tst_disks.moc"

// Storage pools as an administrator has them: made in folders, files and devices, changed, let go of and taken over,
// deleted; what would lose data is refused.
#include "support/system_test.h"

#include <QDir>
#include <QJsonArray>
#include <QJsonDocument>
#include <sys/stat.h>
#include <sys/statfs.h>

using namespace lxmgr::test;

namespace
{
constexpr long kBtrfsMagic = 0x9123683E;

long magicOf(const QString &path)
{
    struct statfs info {
    };
    return ::statfs(path.toUtf8().constData(), &info) == 0 ? info.f_type : 0;
}
} // namespace

class TestStoragePools : public SystemTest
{
    Q_OBJECT
private slots:
    void theDefaultPoolSaysWhereItIs();
    void driversSayWhatKeepsThem();
    void poolInAFolder_data();
    void poolInAFolder();
    void poolInAFile();
    void fileGrowsAndNeverShrinks();
    void poolOnADevice();
    void volumeGroupInAFile();
    void volumeGroupOnADevice();
    void volumeGroupOfTheHost();
    void thinVolumesGoThroughALife();
    void thinPoolThatIsFullSaysSo();
    void guestsRunInEveryPool_data();
    void guestsRunInEveryPool();
    void usedPoolIsNotDeleted();
    void detachedPoolIsTakenOverAgain();
    void runningGuestsHoldTheirPool();
    void keysAndFieldsChange();
    void whatCannotBeIsRefused_data();
    void whatCannotBeIsRefused();
    void twoPoolsNeverShareAPlace();
    void foreignFilesAreLeftAlone();
    void anotherDiskIsNotTakenForThePool();
    void poolComesBackAfterTheDaemon();
    void etagGuardsAgainstLostChanges();
    void lifecycleIsTold();

private:
    QString folder(const QString &name) { return m_box.directory() + "/" + name; }
    QJsonObject pool(const QString &name)
    {
        return m_box.rest("GET", "/1.0/storage-pools/" + name.toUtf8()).body["metadata"].toObject();
    }
    QByteArray refusal(const QStringList &args) { return m_box.cli(args).err; }
    bool hasBtrfs()
    {
        const QByteArray drivers = m_box.text({"storage", "drivers", "-f", "csv"});
        return drivers.contains("btrfs,YES");
    }
    bool hasLvm() { return m_box.text({"storage", "drivers", "-f", "csv"}).contains("lvm,YES"); }
    /// Names of the volumes of a group, blank when there is none.
    static QByteArray volumesOf(const QString &group)
    {
        return run({"lvs", "--config", "devices{use_devicesfile=0}", "--noheadings", "-o", "lv_name", group}).out;
    }
};

#define NEEDS_BTRFS()                                                                                                  \
    do {                                                                                                               \
        if (!hasBtrfs())                                                                                               \
            QSKIP("btrfs: not available here (lxmgr storage drivers says why)");                                       \
    } while (false)

#define NEEDS_LVM()                                                                                                    \
    do {                                                                                                               \
        if (!hasLvm())                                                                                                 \
            QSKIP("lvm: not available here (lxmgr storage drivers says why)");                                         \
    } while (false)

void TestStoragePools::theDefaultPoolSaysWhereItIs()
{
    const QJsonObject found = pool("default");
    QCOMPARE(found["config"].toObject()["source"].toString(), m_box.stateDir() + "/storage-pools/default");
    QCOMPARE(found["status"].toString(), "Created");
    QVERIFY(QFile::exists(m_box.stateDir() + "/storage-pools/default/pool.yaml"));
    const QByteArray info = m_box.text({"storage", "info", "default"});
    QVERIFY2(info.contains("driver: ") && info.contains("total space: "), info);
}

void TestStoragePools::driversSayWhatKeepsThem()
{
    const QByteArray all = m_box.text({"storage", "drivers", "-f", "csv"});
    QVERIFY2(all.contains("dir,YES"), all);
    const QByteArray zfs = all.mid(all.indexOf("zfs,")).split('\n').first();
    QVERIFY2(zfs.startsWith("zfs,YES") || zfs.contains("(package zfsutils-linux)") || zfs.contains("this kernel has no zfs"), zfs);
    const QByteArray lvm = all.mid(all.indexOf("lvm,")).split('\n').first();
    QVERIFY2(lvm.startsWith("lvm,YES") || lvm.contains("is not installed (package ") || lvm.contains("this kernel has no "), all);
}

void TestStoragePools::poolInAFolder_data()
{
    QTest::addColumn<QString>("driver");
    QTest::newRow("dir") << "dir";
    QTest::newRow("overlay") << "overlay";
}

void TestStoragePools::poolInAFolder()
{
    QFETCH(QString, driver);
    const QString place = folder("pool-" + driver);
    must({"storage", "create", "p1", driver, "source=" + place, "--description", "For a test"});
    struct stat info {
    };
    QCOMPARE(::stat(place.toUtf8().constData(), &info), 0);
    QCOMPARE(info.st_mode & 07777, 0700u); // files inside keep the image's ids: nobody may look in
    QCOMPARE(pool("p1")["config"].toObject()["source"].toString(), place);
    QCOMPARE(pool("p1")["description"].toString(), "For a test");
    must({"storage", "delete", "p1"});
    QVERIFY(QDir(place).isEmpty()); // given by the administrator: it stays, as empty as it was
    QDir().rmdir(place);
}

void TestStoragePools::poolInAFile()
{
    NEEDS_BTRFS();
    must({"storage", "create", "p1", "btrfs", "size=300MiB"});
    const QString place = m_box.stateDir() + "/storage-pools/p1", file = m_box.stateDir() + "/disks/p1.img";
    QCOMPARE(magicOf(place), kBtrfsMagic);
    QCOMPARE(QFileInfo(file).size(), 300 << 20);
    QCOMPARE(pool("p1")["config"].toObject()["source"].toString(), file);
    QCOMPARE(pool("p1")["config"].toObject()["size"].toString(), "300MiB");
    must({"storage", "delete", "p1"});
    QVERIFY(!QFile::exists(file));
    QVERIFY(!QFile::exists(place));
}

void TestStoragePools::fileGrowsAndNeverShrinks()
{
    NEEDS_BTRFS();
    must({"storage", "create", "p1", "btrfs", "size=300MiB"});
    const auto total = [&] {
        return m_box.rest("GET", "/1.0/storage-pools/p1/resources")
            .body["metadata"]
            .toObject()["space"]
            .toObject()["total"]
            .toDouble();
    };
    QCOMPARE(total(), 300.0 * (1 << 20));
    must({"storage", "set", "p1", "size=500MiB"});
    QCOMPARE(total(), 500.0 * (1 << 20));
    QVERIFY(refusal({"storage", "set", "p1", "size=400MiB"}).contains("cannot be made smaller"));
    QVERIFY(refusal({"storage", "unset", "p1", "size"}).contains("cannot be made smaller"));
    QCOMPARE(m_box.text({"storage", "get", "p1", "size"}), "500MiB");
    must({"storage", "delete", "p1"});
}

void TestStoragePools::poolOnADevice()
{
    NEEDS_BTRFS();
    const QString file = folder("disk.img");
    QVERIFY(run({"truncate", "-s", "300M", file}).ok());
    const QString device = QString::fromUtf8(run({"losetup", "--show", "-f", file}).out.trimmed());
    QVERIFY(device.startsWith("/dev/loop"));
    const auto freed = qScopeGuard([&] {
        (void)run({"losetup", "-d", device});
        QFile::remove(file);
    });
    must({"storage", "create", "p1", "btrfs", "source=" + device});
    QCOMPARE(magicOf(m_box.stateDir() + "/storage-pools/p1"), kBtrfsMagic);
    QVERIFY(
        refusal({"storage", "create", "p2", "btrfs", "source=" + device}).contains("where the storage pool 'p1' is"));
    must({"create", "busybox", "t1", "-s", "p1"});
    must({"delete", "t1"});
    must({"storage", "detach", "p1"});
    QVERIFY(!QFile::exists(m_box.stateDir() + "/storage-pools/p1"));
    must({"storage", "create", "p3", "btrfs", "source=" + device}); // another name: the pool is the same
    must({"storage", "delete", "p3"});
    must({"storage", "create", "p1", "btrfs", "source=" + device}); // an empty btrfs that a pool left is no data
    must({"storage", "delete", "p1"});

    QVERIFY(run({"mkfs.ext4", "-q", "-F", device}).ok());
    const QByteArray kept = refusal({"storage", "create", "p1", "btrfs", "source=" + device});
    QVERIFY2(kept.contains("source.wipe=true"), kept);
    must({"storage", "create", "p1", "btrfs", "source=" + device, "source.wipe=true"});
    QCOMPARE(m_box.text({"storage", "get", "p1", "source.wipe"}), ""); // nothing that should happen again
    must({"storage", "delete", "p1"});
}

void TestStoragePools::volumeGroupInAFile()
{
    NEEDS_LVM();
    must({"storage", "create", "p1", "lvm", "size=2GiB", "lvm.vg_name=lxmgr-test1"});
    const QString place = m_box.stateDir() + "/storage-pools/p1", file = m_box.stateDir() + "/disks/p1.img";
    QVERIFY(QFile::exists(file));
    QVERIFY2(volumesOf("lxmgr-test1").contains("lxmgr-pool"), volumesOf("lxmgr-test1"));
    QCOMPARE(m_box.text({"storage", "get", "p1", "lvm.thinpool_name"}), "lxmgr-thin");
    QVERIFY(refusal({"storage", "set", "p1", "lvm.vg_name=other"}).contains("settled when it was created"));
    must({"storage", "set", "p1", "size=3GiB"});
    const double total = m_box.rest("GET", "/1.0/storage-pools/p1/resources")
                             .body["metadata"]
                             .toObject()["space"]
                             .toObject()["total"]
                             .toDouble();
    QVERIFY2(total > 2.5 * (1 << 30), QByteArray::number(total));
    must({"storage", "delete", "p1"});
    QVERIFY(!QFile::exists(file) && !QFile::exists(place));
    QCOMPARE(volumesOf("lxmgr-test1"), "");
}

void TestStoragePools::volumeGroupOnADevice()
{
    NEEDS_LVM();
    const QString file = folder("disk.img");
    QVERIFY(run({"truncate", "-s", "2G", file}).ok());
    const QString device = QString::fromUtf8(run({"losetup", "--show", "-f", file}).out.trimmed());
    const auto freed = qScopeGuard([&] {
        (void)run({"losetup", "-d", device});
        QFile::remove(file);
    });
    QVERIFY(run({"mkfs.ext4", "-q", "-F", device}).ok());
    const QByteArray kept = refusal({"storage", "create", "p1", "lvm", "source=" + device, "lvm.vg_name=lxmgr-test2"});
    QVERIFY2(kept.contains("source.wipe=true"), kept);
    must({"storage", "create", "p1", "lvm", "source=" + device, "source.wipe=true", "lvm.vg_name=lxmgr-test2"});
    QVERIFY(refusal({"storage", "create", "p2", "lvm", "source=lxmgr-test2"}).contains("where the storage pool 'p1' is"));
    must({"storage", "detach", "p1"});
    must({"storage", "create", "p3", "lvm", "source=" + device});
    QCOMPARE(m_box.text({"storage", "get", "p3", "lvm.vg_name"}), "lxmgr-test2");
    must({"storage", "delete", "p3"});
    QCOMPARE(volumesOf("lxmgr-test2"), "");
}

void TestStoragePools::volumeGroupOfTheHost()
{
    NEEDS_LVM();
    QVERIFY(refusal({"storage", "create", "p1", "lvm", "source=lxmgr-nowhere"}).contains("no volume group 'lxmgr-nowhere'"));
    const QString file = folder("disk.img");
    QVERIFY(run({"truncate", "-s", "2G", file}).ok());
    const QString device = QString::fromUtf8(run({"losetup", "--show", "-f", file}).out.trimmed());
    const auto freed = qScopeGuard([&] {
        (void)run({"vgremove", "-y", "lxmgr-test3"});
        (void)run({"losetup", "-d", device});
        QFile::remove(file);
    });
    QVERIFY(run({"vgcreate", "lxmgr-test3", device}).ok());
    QVERIFY(run({"lvcreate", "-y", "-L", "100M", "-n", "mine", "lxmgr-test3"}).ok());
    must({"storage", "create", "p1", "lvm", "source=lxmgr-test3"});
    must({"create", "busybox", "t1", "-s", "p1"});
    must({"delete", "--purge", "t1"});
    must({"storage", "delete", "p1"});
    QCOMPARE(volumesOf("lxmgr-test3").trimmed(), "mine"); // what was there stays
}

void TestStoragePools::thinVolumesGoThroughALife()
{
    NEEDS_LVM();
    must({"storage", "create", "p1", "lvm", "size=4GiB", "lvm.vg_name=lxmgr-test4"});
    const QString file = m_box.stateDir() + "/disks/p1.img";
    launch("t1", {"-s", "p1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo one > /kept && cat /kept"}), "one");
    must({"snapshot", "t1", "s1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo two > /kept && cat /kept"}), "two");
    must({"copy", "t1", "t2"}); // of a running one
    must({"stop", "--force", "t1"});
    must({"restore", "t1", "s1"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/kept"}), "one");
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"cat", "/kept"}), "two");
    m_box.stopDaemon(); // guests go on, and so do the mounts
    QVERIFY(m_box.startDaemon());
    QCOMPARE(inside("t2", {"cat", "/kept"}), "two");
    must({"delete", "--force", "--purge", "t2"});
    must({"stop", "--force", "t1"});
    must({"storage", "detach", "p1"});
    QVERIFY(QFile::exists(file));
    QVERIFY(!QFile::exists(m_box.stateDir() + "/storage-pools/p1"));
    must({"storage", "create", "p1", "lvm", "source=" + file});
    must({"recover", "--yes"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/kept"}), "one");
    must({"stop", "--force", "t1"});
    must({"restore", "t1", "s1"});
    must({"delete", "--purge", "t1"});
    must({"storage", "delete", "p1"});
    QCOMPARE(volumesOf("lxmgr-test4"), "");
    QFile::remove(file);
}

void TestStoragePools::thinPoolThatIsFullSaysSo()
{
    NEEDS_LVM();
    must({"storage", "create", "p1", "lvm", "size=600MiB", "lvm.vg_name=lxmgr-test5"});
    launch("t1", {"-s", "p1"});
    // Up to the mark from which on nothing new is made, and not into the wall.
    for (int i = 0; i < 60 && !m_box.cli({"snapshot", "t1", "s" + QString::number(i)}).err.contains("% full"); ++i)
        (void)inside("t1", {"sh", "-c", QString("dd if=/dev/urandom of=/f%1 bs=1M count=16 && sync").arg(i)});
    const QByteArray refused = refusal({"copy", "t1", "t2"});
    QVERIFY2(refused.contains("% full") && refused.contains("make it larger"), refused);
    must({"storage", "set", "p1", "size=2GiB"});
    must({"copy", "t1", "t2"});
    must({"delete", "--force", "--purge", "t1", "t2"});
    must({"storage", "delete", "p1"});
}

void TestStoragePools::guestsRunInEveryPool_data()
{
    QTest::addColumn<QStringList>("create");
    QTest::newRow("dir") << QStringList{"dir"};
    QTest::newRow("overlay") << QStringList{"overlay"};
    QTest::newRow("btrfs in a file") << QStringList{"btrfs", "size=400MiB"};
}

void TestStoragePools::guestsRunInEveryPool()
{
    QFETCH(QStringList, create);
    if (create[0] == "btrfs")
        NEEDS_BTRFS();
    must(QStringList{"storage", "create", "p1"} + create);
    launch("t1", {"-s", "p1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo hello > /kept && cat /kept"}), "hello");
    must({"restart", "--force", "t1"});
    QCOMPARE(inside("t1", {"cat", "/kept"}), "hello");
    QVERIFY(pool("p1")["used_by"].toArray().contains("/1.0/instances/t1"));
    must({"delete", "--force", "t1"});
    must({"storage", "delete", "p1"});
}

void TestStoragePools::usedPoolIsNotDeleted()
{
    must({"storage", "create", "p1", "dir"});
    must({"create", "busybox", "t1", "-s", "p1"});
    const Run refused = m_box.cli({"storage", "delete", "p1"});
    QCOMPARE(refused.status, 6);
    QVERIFY2(refused.err.contains("/1.0/instances/t1"), refused.err);
    must({"delete", "t1"});
    must({"storage", "delete", "p1"});
    QVERIFY(refusal({"storage", "delete", "default"}).contains("/1.0/profiles/default"));
}

void TestStoragePools::detachedPoolIsTakenOverAgain()
{
    const Reply asked = m_box.rest("POST", "/1.0/lxmgr/storage-pools/default/detach", {{"force", true}}); // there is nothing to be asked
    QVERIFY2(asked.status == 400 && asked.raw.contains("takes none"), asked.raw);
    const QString place = folder("moved");
    must({"storage", "create", "p1", "dir", "source=" + place, "--description", "Kept"});
    must({"storage", "set", "p1", "user.owner=me"});
    must({"create", "busybox", "t1", "-s", "p1"});
    must({"storage", "detach", "p1"});
    QCOMPARE(m_box.stateOf("t1"), "");
    QVERIFY(QFile::exists(place + "/containers/t1/backup.yaml"));
    QVERIFY(refusal({"storage", "create", "p1", "overlay", "source=" + place}).contains("of driver 'dir'"));
    must({"storage", "create", "p1", "dir", "source=" + place});
    QCOMPARE(pool("p1")["description"].toString(), "Kept");
    QCOMPARE(m_box.text({"storage", "get", "p1", "user.owner"}), "me");
    QVERIFY(QFile::exists(place + "/containers/t1/backup.yaml"));
    // What no instance is known of is not lost by a deletion.
    const QByteArray refused = refusal({"storage", "delete", "p1"});
    QVERIFY2(refused.contains("holds 't1'"), refused);
    must({"storage", "detach", "p1"});
    QVERIFY(run({"rm", "-rf", place}).ok());
}

void TestStoragePools::runningGuestsHoldTheirPool()
{
    must({"storage", "create", "p1", "dir"});
    launch("t1", {"-s", "p1"});
    QVERIFY(refusal({"storage", "detach", "p1"}).contains("is running"));
    QCOMPARE(m_box.stateOf("t1"), "RUNNING");
    must({"delete", "--force", "t1"});
    must({"storage", "delete", "p1"});
}

void TestStoragePools::keysAndFieldsChange()
{
    must({"storage", "create", "p1", "dir"});
    must({"storage", "set", "p1", "user.a=1", "user.b=2"});
    must({"storage", "set", "p1", "-p", "description=Quick"});
    must({"storage", "unset", "p1", "user.a"});
    QCOMPARE(m_box.text({"storage", "get", "p1", "user.b"}), "2");
    QCOMPARE(m_box.text({"storage", "get", "p1", "-p", "description"}), "Quick");
    QVERIFY(!m_box.text({"storage", "show", "p1"}).contains("user.a"));
    must({"storage", "edit", "p1"}, "description: Slow\nconfig:\n  user.c: '3'\n");
    QCOMPARE(m_box.text({"storage", "get", "p1", "user.c"}), "3");
    QFile file(m_box.stateDir() + "/storage-pools/p1/pool.yaml");
    QVERIFY(file.open(QIODevice::ReadOnly));
    const QByteArray text = file.readAll();
    QVERIFY2(text.contains("description: Slow") && text.contains("user.c"), text);
    must({"storage", "delete", "p1"});
}

void TestStoragePools::whatCannotBeIsRefused_data()
{
    QTest::addColumn<QStringList>("words");
    QTest::addColumn<QByteArray>("reason");
    QTest::newRow("driver") << QStringList{"zebra"} << QByteArray("storage driver 'zebra' is not known");
    QTest::newRow("key") << QStringList{"dir", "sorce=/x"} << QByteArray("did you mean 'source'?");
    QTest::newRow("key of another driver")
        << QStringList{"dir", "size=1GiB"} << QByteArray("is not for the driver 'dir'");
    QTest::newRow("unsupported key") << QStringList{"dir", "rsync.bwlimit=1MB"}
                                     << QByteArray("'rsync.bwlimit' is not supported");
    QTest::newRow("relative") << QStringList{"dir", "source=x/y"} << QByteArray("source");
    QTest::newRow("no parent") << QStringList{"dir", "source=/nowhere/at/all"} << QByteArray("/nowhere/at");
    QTest::newRow("full folder") << QStringList{"dir", "source=/etc"} << QByteArray("is not empty and no storage pool");
    QTest::newRow("the root") << QStringList{"dir", "source=/"} << QByteArray("'/'");
    QTest::newRow("no device") << QStringList{"btrfs", "source=/dev/no-such-disk"} << QByteArray("is not there");
    QTest::newRow("a character device") << QStringList{"dir", "source=/dev/null"} << QByteArray("is no folder");
    QTest::newRow("too small") << QStringList{"btrfs", "size=1MiB"} << QByteArray("mkfs.btrfs");
}

void TestStoragePools::whatCannotBeIsRefused()
{
    QFETCH(QStringList, words);
    QFETCH(QByteArray, reason);
    if (words[0] == "btrfs")
        NEEDS_BTRFS();
    const Run refused = m_box.cli(QStringList{"storage", "create", "p1"} + words);
    QVERIFY(!refused.ok());
    QVERIFY2(refused.err.contains(reason), refused.err);
    QVERIFY(!m_box.text({"storage", "list", "-f", "csv"}).contains("p1"));
}

void TestStoragePools::twoPoolsNeverShareAPlace()
{
    const QString place = folder("one");
    must({"storage", "create", "p1", "dir", "source=" + place});
    QVERIFY(QFile::link(place, folder("link")));
    for (const QString &other : {place, place + "/", place + "/below", folder("link"), m_box.directory()}) {
        const Run refused = m_box.cli({"storage", "create", "p2", "dir", "source=" + other});
        QVERIFY2(!refused.ok(), qPrintable(other));
    }
    QFile::remove(folder("link"));
    for (const QString &other :
         {m_box.stateDir(), m_box.stateDir() + "/logs/x", m_box.stateDir() + "/storage-pools/default/x"})
        QVERIFY2(!m_box.cli({"storage", "create", "p2", "dir", "source=" + other}).ok(), qPrintable(other));
    must({"storage", "delete", "p1"});
    QDir().rmdir(place);
}

void TestStoragePools::foreignFilesAreLeftAlone()
{
    const QString place = folder("mine");
    must({"storage", "create", "p1", "dir", "source=" + place});
    QFile file(place + "/precious");
    QVERIFY(file.open(QIODevice::WriteOnly));
    file.close();
    must({"storage", "delete", "p1"});
    QCOMPARE(QDir(place).entryList(QDir::AllEntries | QDir::NoDotAndDotDot), QStringList{"precious"});
    QVERIFY(refusal({"storage", "create", "p1", "dir", "source=" + place}).contains("is not empty"));
    QVERIFY(run({"rm", "-r", place}).ok());
}

void TestStoragePools::anotherDiskIsNotTakenForThePool()
{
    const QString one = folder("one"), two = folder("two");
    must({"storage", "create", "p1", "dir", "source=" + one});
    must({"storage", "create", "p2", "dir", "source=" + two});
    m_box.stopDaemon();
    QVERIFY(QDir().rename(one, folder("three")) && QDir().rename(two, one) && QDir().rename(folder("three"), two));
    QVERIFY(m_box.startDaemon());
    QCOMPARE(pool("p1")["status"].toString(), "Unavailable");
    QVERIFY(refusal({"create", "busybox", "t1", "-s", "p1"}).contains("holds the pool 'p2'"));
    m_box.stopDaemon();
    QVERIFY(QDir().rename(one, folder("three")) && QDir().rename(two, one) && QDir().rename(folder("three"), two));
    QVERIFY(m_box.startDaemon());
    QCOMPARE(pool("p1")["status"].toString(), "Created");
    must({"storage", "delete", "p1", "p2"});
    QDir().rmdir(one);
    QDir().rmdir(two);
}

void TestStoragePools::poolComesBackAfterTheDaemon()
{
    NEEDS_BTRFS();
    must({"storage", "create", "p1", "btrfs", "size=400MiB"});
    launch("t1", {"-s", "p1"});
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon()); // found mounted
    QCOMPARE(inside("t1", {"echo", "on"}), "on");
    must({"stop", "--force", "t1"});
    m_box.stopDaemon();
    QVERIFY(run({"umount", m_box.stateDir() + "/storage-pools/p1"}).ok()); // as after a boot
    QVERIFY(m_box.startDaemon());
    QCOMPARE(magicOf(m_box.stateDir() + "/storage-pools/p1"), kBtrfsMagic);
    must({"start", "t1"});
    must({"delete", "--force", "t1"});
    must({"storage", "delete", "p1"});
}

void TestStoragePools::etagGuardsAgainstLostChanges()
{
    must({"storage", "create", "p1", "dir"});
    // An editor that lets somebody else be quicker.
    QProcessEnvironment environment = m_box.environment();
    environment.insert("EDITOR", folder("editor"));
    QFile editor(folder("editor"));
    QVERIFY(editor.open(QIODevice::WriteOnly));
    editor.write(
        ("#!/bin/sh\n" + Sandbox::program("lxmgr") + " storage set p1 user.a=1\necho 'description: lost' > \"$1\"\n")
            .toUtf8());
    editor.close();
    QVERIFY(editor.setPermissions(QFile::ReadOwner | QFile::ExeOwner));
    Terminal terminal({Sandbox::program("lxmgr"), "storage", "edit", "p1"}, environment);
    QCOMPARE(terminal.finish(), 13);
    QCOMPARE(m_box.text({"storage", "get", "p1", "user.a"}), "1");
    QFile::remove(folder("editor"));
    must({"storage", "delete", "p1"});
}

void TestStoragePools::lifecycleIsTold()
{
    QProcess monitor;
    monitor.setProcessEnvironment(m_box.environment());
    monitor.start(Sandbox::program("lxmgr"), {"monitor", "--type", "lifecycle", "-f", "json"});
    QVERIFY(monitor.waitForStarted());
    QByteArray told;
    const auto hears = [&](const QByteArray &action) {
        return Sandbox::eventually([&] {
            monitor.waitForReadyRead(50);
            told += monitor.readAllStandardOutput();
            return told.contains(action);
        });
    };
    // The first event may come before the monitor listens.
    QVERIFY(Sandbox::eventually([&] {
        m_box.cli({"storage", "set", "default", "user.x=1"});
        monitor.waitForReadyRead(50);
        told += monitor.readAllStandardOutput();
        return told.contains("storage-pool-updated");
    }));
    must({"storage", "unset", "default", "user.x"});
    must({"storage", "create", "p1", "dir"});
    QVERIFY2(hears("storage-pool-created"), told);
    must({"storage", "delete", "p1"});
    QVERIFY2(hears("storage-pool-deleted"), told);
    QVERIFY2(told.contains("/1.0/storage-pools/p1"), told);
    monitor.terminate();
    monitor.waitForFinished();
}

QTEST_GUILESS_MAIN(TestStoragePools)
#include "tst_storage_pools.moc"

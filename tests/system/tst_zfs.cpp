// Storage pools on zfs, as an administrator has them: in a file, on a dataset of the host; guests, snapshots and copies in
// them; let go of and taken over, deleted without a trace.
#include "support/require.h"
#include "support/system_test.h"

#include <QFileInfo>
#include <QJsonDocument>

using namespace lxmgr::test;

class TestZfs : public SystemTest
{
    Q_OBJECT
private slots:
    void poolInAFileGrowsAndGoes();
    void guestsSnapshotsAndCopiesStandOnTheirOwn();
    void detachedPoolIsTakenOverAgain();
    void poolOnADatasetOfTheHost();
    void whatCannotBeIsRefused();

private:
    static constexpr const char *kName = "lxmgr-test-p1";
    QByteArray zfs(const QStringList &args) { return run(args).out.trimmed(); }
    QByteArray refusal(const QStringList &args) { return m_box.cli(args).err; }
    QString file() { return m_box.stateDir() + "/disks/p1.img"; }
    void createInFile() { must({"storage", "create", "p1", "zfs", "size=400MiB", QString("zfs.pool_name=") + kName}); }
};

#define NEEDS_ZFS() NEEDS("zfs", m_box.text({"storage", "drivers", "-f", "csv"}).contains("zfs,YES"))

void TestZfs::poolInAFileGrowsAndGoes()
{
    NEEDS_ZFS();
    createInFile();
    QCOMPARE(QFileInfo(file()).size(), 400 << 20);
    QCOMPARE(m_box.text({"storage", "get", "p1", "zfs.pool_name"}), kName);
    QCOMPARE(zfs({"zfs", "get", "-H", "-o", "value", "mountpoint", QString(kName) + "/lxmgr"}), "legacy");
    const qint64 before = zfs({"zpool", "list", "-H", "-p", "-o", "size", kName}).toLongLong();
    must({"storage", "set", "p1", "size=800MiB"});
    QVERIFY(zfs({"zpool", "list", "-H", "-p", "-o", "size", kName}).toLongLong() > before);
    QVERIFY(refusal({"storage", "set", "p1", "size=500MiB"}).contains("cannot be made smaller"));
    must({"storage", "delete", "p1"});
    QVERIFY(!QFile::exists(file()));
    QVERIFY(!run({"zpool", "list", kName}).ok());
}

void TestZfs::guestsSnapshotsAndCopiesStandOnTheirOwn()
{
    NEEDS_ZFS();
    createInFile();
    launch("t1", {"-s", "p1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo one > /kept && cat /kept"}), "one");
    must({"snapshot", "t1", "s1"}); // in use
    QCOMPARE(inside("t1", {"sh", "-c", "echo two > /kept && cat /kept"}), "two");
    must({"copy", "t1/s1", "t2"});
    must({"stop", "--force", "t1"});
    must({"restore", "t1", "s1"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/kept"}), "one");
    must({"delete", "--force", "--purge", "t1"}); // the copy stands on it
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"cat", "/kept"}), "one");
    must({"delete", "--force", "--purge", "t2"});
    must({"storage", "delete", "p1"});
}

void TestZfs::detachedPoolIsTakenOverAgain()
{
    NEEDS_ZFS();
    createInFile();
    must({"create", "busybox", "t1", "-s", "p1"});
    must({"storage", "detach", "p1"});
    QVERIFY(!run({"zpool", "list", kName}).ok());
    QVERIFY(QFile::exists(file()));
    must({"storage", "create", "p1", "zfs", "source=" + file()});
    QCOMPARE(m_box.text({"storage", "get", "p1", "zfs.pool_name"}), kName);
    const QByteArray refused = refusal({"storage", "delete", "p1"});
    QVERIFY2(refused.contains("holds 't1'"), refused);
    must({"recover", "--yes"});
    must({"start", "t1"});
    must({"delete", "--force", "--purge", "t1"});
    must({"storage", "delete", "p1"});
    QVERIFY(!run({"zpool", "list", kName}).ok());
}

void TestZfs::poolOnADatasetOfTheHost()
{
    NEEDS_ZFS();
    const QString disk = m_box.directory() + "/zpool.img";
    QVERIFY(run({"truncate", "-s", "400M", disk}).ok());
    QVERIFY(run({"zpool", "create", "-m", "none", "-o", "cachefile=none", kName, disk}).ok());
    const QString source = QString("source=") + kName;
    QVERIFY(run({"zfs", "create", "-o", "mountpoint=legacy", QString(kName) + "/full/child", "-p"}).ok() ||
            run({"zfs", "create", "-p", QString(kName) + "/full/child"}).ok());
    QVERIFY(refusal({"storage", "create", "p1", "zfs", source + "/full"}).contains("has others below it"));
    must({"storage", "create", "p1", "zfs", source});
    QVERIFY(refusal({"storage", "create", "p2", "zfs", source}).contains("is where the storage pool 'p1' is"));
    must({"create", "busybox", "t1", "-s", "p1"});
    must({"delete", "--purge", "t1"});
    must({"storage", "delete", "p1"});
    QCOMPARE(zfs({"zfs", "list", "-H", "-r", "-o", "name", kName}).split('\n').size(), 3); // what was there
    QVERIFY(run({"zpool", "destroy", kName}).ok());
    QFile::remove(disk);
}

void TestZfs::whatCannotBeIsRefused()
{
    NEEDS_ZFS();
    QVERIFY(refusal({"storage", "create", "p1", "zfs", "source=/tmp"}).contains("is a folder"));
    QVERIFY(refusal({"storage", "create", "p1", "zfs", "source=lxmgr-test-nix"}).contains("no zpool 'lxmgr-test-nix'"));
    QVERIFY(refusal({"storage", "create", "p1", "zfs", "size=400MiB", "zfs.pool_name=1x"}).contains("zfs.pool_name"));
    QVERIFY(refusal({"storage", "create", "p1", "zfs", "zfs.clone_copy=false"}).contains("whole copies are not offered"));
    QVERIFY(!QFile::exists(file()));
}

QTEST_GUILESS_MAIN(TestZfs)
#include "tst_zfs.moc"

// Custom storage volumes: made, shared by guests, snapshotted, copied, moved; what would lose data is refused.
#include "support/system_test.h"

#include <QDateTime>
#include <QDir>
#include <QJsonArray>
#include <QJsonDocument>
#include <sys/stat.h>

using namespace lxmgr::test;

class TestVolumes : public SystemTest
{
    Q_OBJECT
private slots:
    void guestsShareAVolume_data() { pools(); }
    void guestsShareAVolume();
    void ownersAreTheGuestsNumbers();
    void unmappedOwnersAreTheHosts();
    void readonlyIsKept();
    void privilegedProgramsGetNoPrivilege();
    void snapshotsComeBack_data() { pools(); }
    void snapshotsComeBack();
    void copiesStandAlone_data() { pools(); }
    void copiesStandAlone();
    void volumesMoveBetweenPools();
    void aRefreshedCopyIsAsItsSource_data() { pools(); }
    void aRefreshedCopyIsAsItsSource();
    void whatIsUsedIsNotRefreshed();
    void expiredSnapshotsGo();
    void aFullDiskIsSaid();
    void listsShowAllTypes();
    void keysAndFieldsChange();
    void whatIsUsedStays();
    void runningGuestsGetThemAtOnce();
    void profilesAttachToo();
    void whatCannotBeIsRefused_data();
    void whatCannotBeIsRefused();
    void projectsKeepVolumesApart();
    void detachedPoolKeepsItsVolumes();
    void restWorksAsOthersExpect();

private:
    /// The folders for custom volumes come with the first one and stay.
    void prepare() override
    {
        must({"storage", "volume", "create", "default", "first"});
        must({"storage", "volume", "delete", "default", "first", "--purge"});
    }
    void pools()
    {
        QTest::addColumn<QStringList>("pool");
        QTest::newRow("overlay") << QStringList{"overlay"};
        QTest::newRow("dir") << QStringList{"dir"};
        QTest::newRow("btrfs") << QStringList{"btrfs", "size=400MiB"};
    }
    bool makePool(const QStringList &pool)
    {
        if (pool[0] == "btrfs" && !m_box.text({"storage", "drivers", "-f", "csv"}).contains("btrfs,YES"))
            return false;
        must(QStringList{"storage", "create", "p1"} + pool);
        return true;
    }
    QByteArray refusal(const QStringList &args) { return m_box.cli(args).err; }
    QByteArray ownersIn(const QString &instance, const QString &path)
    {
        return inside(instance, {"stat", "-c", "%u:%g %a", path});
    }
};

#define NEEDS_POOL(pool)                                                                                               \
    do {                                                                                                               \
        if (!makePool(pool))                                                                                           \
            QSKIP("btrfs: not available here (lxmgr storage drivers says why)");                                       \
    } while (false)

void TestVolumes::guestsShareAVolume()
{
    QFETCH(QStringList, pool);
    NEEDS_POOL(pool);
    must({"storage", "volume", "create", "p1", "data"});
    must({"create", "busybox", "t1"});
    must({"create", "busybox", "t2", "-s", "p1"});
    must({"storage", "volume", "attach", "p1", "data", "t1", "/srv/data"});
    must({"storage", "volume", "attach", "p1", "data", "t2", "shared", "/mnt"});
    must({"start", "t1"});
    must({"start", "t2"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo one > /srv/data/file && cat /srv/data/file"}), "one");
    QCOMPARE(inside("t2", {"cat", "/mnt/file"}), "one");
    QCOMPARE(inside("t2", {"sh", "-c", "echo two >> /mnt/file; chown 1000:1000 /mnt/file"}), "");
    QCOMPARE(inside("t1", {"cat", "/srv/data/file"}), "one\ntwo");
    QCOMPARE(ownersIn("t1", "/srv/data/file"), "1000:1000 644");
    QCOMPARE(ownersIn("t1", "/srv/data"), "0:0 711");
    deleteAll();
    must({"create", "busybox", "t3"}); // it outlives them
    must({"storage", "volume", "attach", "p1", "data", "t3", "/x"});
    must({"start", "t3"});
    QCOMPARE(inside("t3", {"cat", "/x/file"}), "one\ntwo");
    deleteAll();
    must({"storage", "volume", "delete", "p1", "data"});
    must({"storage", "delete", "p1"});
}

void TestVolumes::ownersAreTheGuestsNumbers()
{
    must({"storage", "volume", "create", "default", "www", "initial.uid=33", "initial.gid=34", "initial.mode=0750"});
    struct stat info {
    };
    const QString tree = m_box.stateDir() + "/storage-pools/default/custom/volumes/default:www/tree/rootfs";
    QCOMPARE(::stat(tree.toUtf8().constData(), &info), 0);
    QCOMPARE(info.st_uid, 33u); // as the guest's numbers: no range of one guest is on the disk
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "www", "t1", "/var/www"});
    must({"start", "t1"});
    QCOMPARE(ownersIn("t1", "/var/www"), "33:34 750");
    deleteAll();
    must({"storage", "volume", "delete", "default", "www"});
}

void TestVolumes::unmappedOwnersAreTheHosts()
{
    must({"storage", "volume", "create", "default", "raw", "security.unmapped=true"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "raw", "t1", "/raw"});
    must({"start", "t1"});
    QCOMPARE(ownersIn("t1", "/raw"), "65534:65534 711"); // nobody: the host's root is nobody's in there
    QVERIFY(!exec("t1", {"touch", "/raw/x"}).ok());
    deleteAll();
    must({"storage", "volume", "delete", "default", "raw"});
}

void TestVolumes::readonlyIsKept()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "data", "t1", "/data", "--readonly"});
    must({"start", "t1"});
    QVERIFY(!exec("t1", {"touch", "/data/x"}).ok());
    QVERIFY(!exec("t1", {"mount", "-o", "remount,bind,rw", "/data"}).ok());
    QVERIFY(!exec("t1", {"touch", "/data/x"}).ok());
    deleteAll();
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::privilegedProgramsGetNoPrivilege()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "data", "t1", "/data"});
    must({"start", "t1"});
    const QByteArray options = inside("t1", {"sh", "-c", "grep ' /data ' /proc/mounts"});
    QVERIFY2(options.contains("nosuid") && options.contains("nodev"), options);
    deleteAll();
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::snapshotsComeBack()
{
    QFETCH(QStringList, pool);
    NEEDS_POOL(pool);
    must({"storage", "volume", "create", "p1", "data"});
    launch("t1", {"-s", "p1"});
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "attach", "p1", "data", "t1", "/data"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo one > /data/a; sync; echo ok"}), "ok");
    must({"storage", "volume", "snapshot", "create", "p1", "data"}); // while it runs
    QCOMPARE(inside("t1", {"sh", "-c", "echo two > /data/a; echo b > /data/b; echo ok"}), "ok");
    must({"storage", "volume", "snapshot", "create", "p1", "data", "later", "--description", "With b"});
    const QByteArray list =
        m_box.text({"storage", "volume", "snapshot", "list", "p1", "data", "-f", "csv", "-c", "nd"});
    QCOMPARE(list, "later,With b\nsnap0,");
    QVERIFY(
        refusal({"storage", "volume", "snapshot", "restore", "p1", "data", "snap0"}).contains("running instance 't1'"));
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "snapshot", "restore", "p1", "data", "snap0"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "cat /data/a; ls /data"}), "one\na");
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "snapshot", "rename", "p1", "data", "later", "last"});
    must({"storage", "volume", "snapshot", "restore", "p1", "data", "last"});
    must({"storage", "volume", "snapshot", "delete", "p1", "data", "snap0"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "cat /data/a /data/b"}), "two\nb");
    QVERIFY(m_box.text({"storage", "volume", "snapshot", "show", "p1", "data", "last"}).contains("name: data/last"));
    deleteAll();
    must({"storage", "volume", "delete", "p1", "data"});
    must({"storage", "delete", "p1"});
}

void TestVolumes::copiesStandAlone()
{
    QFETCH(QStringList, pool);
    NEEDS_POOL(pool);
    must({"storage", "volume", "create", "default", "data", "user.x=1"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "data", "t1", "/data"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo one > /data/a; chown 7:8 /data/a; sync; echo ok"}), "ok");
    must({"storage", "volume", "snapshot", "create", "default", "data", "s1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo two > /data/a; sync; echo ok"}), "ok");
    must({"storage", "volume", "copy", "default/data", "p1/data"}); // into another pool
    must({"storage", "volume", "copy", "p1/data", "p1/again"});     // within one
    must({"storage", "volume", "copy", "p1/again/s1", "default/old"});
    must({"storage", "volume", "copy", "default/data", "default/alone", "--volume-only"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo three > /data/a; echo ok"}), "ok");
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "attach", "p1", "data", "t1", "d1", "/d1"});
    must({"storage", "volume", "attach", "p1", "again", "t1", "/d2"});
    must({"storage", "volume", "attach", "default", "old", "t1", "/d3"});
    must({"storage", "volume", "attach", "default", "alone", "t1", "/d4"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/data/a", "/d1/a", "/d2/a", "/d3/a", "/d4/a"}), "three\ntwo\ntwo\none\ntwo");
    QCOMPARE(ownersIn("t1", "/d2/a"), "7:8 644");
    QCOMPARE(m_box.text({"storage", "volume", "get", "p1", "again", "user.x"}), "1");
    QCOMPARE(m_box.text({"storage", "volume", "snapshot", "list", "p1", "again", "-f", "csv", "-c", "n"}), "s1");
    QCOMPARE(m_box.text({"storage", "volume", "snapshot", "list", "default", "alone", "-f", "csv", "-c", "n"}), "");
    QVERIFY(refusal({"storage", "volume", "copy", "default/data", "p1/data"}).contains("already exists"));
    deleteAll();
    for (const char *one : {"default/data", "default/old", "default/alone", "p1/data", "p1/again"})
        must(QStringList{"storage", "volume", "delete"} + QString(one).split('/'));
    must({"storage", "delete", "p1"});
}

void TestVolumes::volumesMoveBetweenPools()
{
    must({"storage", "create", "p1", "dir"});
    must({"storage", "volume", "create", "default", "data", "--description", "Kept"});
    must({"storage", "volume", "snapshot", "create", "default", "data", "s1"});
    must({"storage", "volume", "move", "default/data", "p1/moved"});
    QVERIFY(!m_box.text({"storage", "volume", "list", "default", "-f", "csv"}).contains("data"));
    QCOMPARE(m_box.text({"storage", "volume", "get", "p1", "moved", "-p", "description"}), "Kept");
    QCOMPARE(m_box.text({"storage", "volume", "snapshot", "list", "p1", "moved", "-f", "csv", "-c", "n"}), "s1");
    must({"storage", "volume", "move", "p1/moved", "p1/again"});
    must({"storage", "volume", "rename", "p1", "again", "last"});
    must({"storage", "volume", "delete", "p1", "last"});
    must({"storage", "delete", "p1"});
}

/// Within its pool and in another.
void TestVolumes::aRefreshedCopyIsAsItsSource()
{
    QFETCH(QStringList, pool);
    NEEDS_POOL(pool);
    must({"storage", "volume", "create", "default", "data"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "data", "t1", "/data"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo one > /data/a; echo gone > /data/b; chown 7:8 /data/a; sync; echo ok"}), "ok");
    for (const char *snapshot : {"s1", "s2"})
        must({"storage", "volume", "snapshot", "create", "default", "data", snapshot});
    const QStringList copies{"default/copy", "p1/copy"};
    for (const QString &copy : copies) {
        must({"storage", "volume", "copy", "default/data", copy, "--refresh"}); // the first time it is a plain copy
        must(QStringList{"storage", "volume", "set"} + copy.split('/') + QStringList{"user.own=1"});
    }
    QCOMPARE(inside("t1", {"sh", "-c", "echo two > /data/a; rm /data/b; mkdir /data/c; echo x > /data/c/d; sync; echo ok"}), "ok");
    must({"storage", "volume", "snapshot", "delete", "default", "data", "s1"});
    must({"storage", "volume", "snapshot", "create", "default", "data", "s3", "--description", "Newest"});
    for (const QString &copy : copies) {
        must({"storage", "volume", "copy", "default/data", copy, "--refresh"});
        const QStringList words = copy.split('/');
        QCOMPARE(m_box.text(QStringList{"storage", "volume", "snapshot", "list"} + words + QStringList{"-f", "csv", "-c", "nd"}),
                 "s2,\ns3,Newest");
        QCOMPARE(m_box.text(QStringList{"storage", "volume", "get"} + words + QStringList{"user.own"}), "1");
    }
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "attach", "default", "copy", "t1", "d1", "/d1"});
    must({"storage", "volume", "attach", "p1", "copy", "t1", "d2", "/d2"});
    must({"start", "t1"});
    for (const char *at : {"/d1", "/d2"}) {
        QCOMPARE(inside("t1", {"sh", "-c", QString("cd %1 && find . | sort && cat a c/d").arg(at)}), ".\n./a\n./c\n./c/d\ntwo\nx");
        QCOMPARE(ownersIn("t1", QString(at) + "/a"), "7:8 644");
    }
    must({"stop", "--force", "t1"});
    // Only the files, which keep their snapshots; and a state that was.
    must({"storage", "volume", "copy", "default/data/s2", "p1/copy", "--refresh"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "cat /d2/a /d2/b"}), "one\ngone");
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "snapshot", "restore", "p1", "copy", "s3"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "cat /d2/a"}), "two");
    deleteAll();
    for (const char *one : {"default/data", "default/copy", "p1/copy"})
        must(QStringList{"storage", "volume", "delete"} + QString(one).split('/'));
    deleteAll();
    must({"storage", "delete", "p1"});
}

void TestVolumes::whatIsUsedIsNotRefreshed()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"storage", "volume", "create", "default", "copy"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "copy", "t1", "/copy"});
    must({"start", "t1"});
    const QByteArray refused = refusal({"storage", "volume", "copy", "default/data", "default/copy", "--refresh"});
    QVERIFY2(refused.contains("used by running instance 't1' (stop it before refreshing it)"), refused);
    deleteAll();
    for (const char *name : {"data", "copy"})
        must({"storage", "volume", "delete", "default", name});
}

void TestVolumes::expiredSnapshotsGo()
{
    const QByteArray url = "/1.0/storage-pools/default/volumes/custom/data/snapshots";
    const auto names = [&] { return m_box.text({"storage", "volume", "snapshot", "list", "default", "data", "-f", "csv", "-c", "n"}); };
    const auto expiry = [&](const QByteArray &name) {
        return m_box.rest("GET", url + "/" + name).body["metadata"].toObject()["expires_at"].toString();
    };
    must({"storage", "volume", "create", "default", "data", "snapshots.expiry=2w", "snapshots.expiry.manual=1d"});
    for (const QStringList &extra : {QStringList{"soon"}, QStringList{"kept", "--no-expiry"}, QStringList{"later", "--expires", "1y"}})
        must(QStringList{"storage", "volume", "snapshot", "create", "default", "data"} + extra);
    QVERIFY(expiry("soon") < expiry("later"));
    QCOMPARE(expiry("kept"), QString());
    must({"storage", "volume", "snapshot", "create", "default", "data", "later", "--reuse"}); // a day by its key now
    QVERIFY(expiry("later").left(10) == expiry("soon").left(10));
    const QString past = QDateTime::currentDateTimeUtc().addSecs(1).toString(Qt::ISODate);
    QCOMPARE(m_box.rest("PATCH", url + "/soon", {{"expires_at", past}}).status, 200);
    QVERIFY(Sandbox::eventually([&] { return names() == "kept\nlater"; }));
    QCOMPARE(m_box.rest("PUT", url + "/kept", {{"expires_at", past}}).status, 200);
    QVERIFY(Sandbox::eventually([&] { return names() == "later"; }));
    QVERIFY(refusal({"storage", "volume", "set", "default", "data", "snapshots.schedule=@startup"}).contains("does not start"));
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::aFullDiskIsSaid()
{
    const QString image = m_box.directory() + "/small.img", small = m_box.directory() + "/small";
    QDir().mkpath(small);
    RUN_OK(run({"truncate", "-s", "24M", image}));
    RUN_OK(run({"mkfs.ext4", "-q", "-m", "0", image}));
    RUN_OK(run({"mount", "-o", "loop", image, small}));
    must({"storage", "create", "p1", "dir", "source=" + small + "/p1"});
    must({"storage", "volume", "create", "p1", "data"});
    (void)run({"dd", "if=/dev/zero", "of=" + small + "/fill", "bs=4k"}); // ends full
    const Run created = m_box.cli({"storage", "volume", "create", "p1", "more"});
    QCOMPARE(created.status, 10);
    QVERIFY2(created.err.contains("free in storage pool 'p1'"), created.told());
    const Run copied = m_box.cli({"storage", "volume", "copy", "p1/data", "p1/more"});
    QVERIFY2(copied.status == 10 && copied.err.contains("free in storage pool 'p1'"), copied.told());
    QCOMPARE(m_box.text({"storage", "volume", "list", "p1", "-f", "csv", "-c", "n"}), "data");
    must({"storage", "volume", "delete", "p1", "data"});
    QFile::remove(small + "/fill");
    must({"storage", "volume", "create", "p1", "more"});
    must({"storage", "volume", "delete", "p1", "more"});
    must({"storage", "delete", "p1"});
    RUN_OK(run({"umount", small}));
    QFile::remove(image);
    QDir(small).removeRecursively();
}

void TestVolumes::listsShowAllTypes()
{
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "create", "default", "data"});
    must({"storage", "volume", "snapshot", "create", "default", "data", "s1"});
    const QByteArray list = m_box.text({"storage", "volume", "list", "default", "-f", "csv"});
    QVERIFY2(list.contains("container,t1,") && list.contains("custom,data,") &&
                 list.contains("custom (snapshot),data/s1,") && list.contains("image,"),
             list);
    const QByteArray filtered =
        m_box.text({"storage", "volume", "list", "default", "type eq custom", "-f", "csv", "-c", "n"});
    QCOMPARE(filtered, "data\ndata/s1");
    QVERIFY(m_box.text({"storage", "volume", "show", "default", "container/t1"}).contains("type: container"));
    QVERIFY(m_box.text({"storage", "volume", "info", "default", "data"}).contains("Usage: "));
    deleteAll();
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::keysAndFieldsChange()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"storage", "volume", "set", "default", "data", "user.a=1", "snapshots.pattern=nightly-%d"});
    must({"storage", "volume", "set", "default", "data", "-p", "description=Uploads"});
    must({"storage", "volume", "unset", "default", "data", "user.a"});
    QCOMPARE(m_box.text({"storage", "volume", "get", "default", "data", "user.a"}), "");
    QCOMPARE(m_box.text({"storage", "volume", "get", "default", "data", "-p", "description"}), "Uploads");
    must({"storage", "volume", "snapshot", "create", "default", "data"});
    QCOMPARE(m_box.text({"storage", "volume", "snapshot", "list", "default", "data", "-f", "csv", "-c", "n"}),
             "nightly-0");
    must({"storage", "volume", "edit", "default", "data"}, "description: Other\nconfig:\n  user.c: '3'\n");
    QCOMPARE(m_box.text({"storage", "volume", "get", "default", "data", "user.c"}), "3");
    QFile file(m_box.stateDir() + "/storage-pools/default/custom/volumes/default:data/volume.yaml");
    QVERIFY(file.open(QIODevice::ReadOnly));
    const QByteArray text = file.readAll();
    QVERIFY2(text.contains("description: Other") && text.contains("nightly-0") && text.contains("user.c"), text);
    QVERIFY(refusal({"storage", "volume", "set", "default", "data", "initial.uid=5"}).contains("settled"));
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::whatIsUsedStays()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "data", "t1", "/data"});
    for (const QStringList &command : {
             QStringList{"delete", "default", "data"    },
             QStringList{"rename", "default", "data",     "x"},
             QStringList{"move",        "default/data",            "default/x"}
    }) {
        const QByteArray refused = refusal(QStringList{"storage", "volume"} + command);
        QVERIFY2(refused.contains("is used by /1.0/instances/t1"), refused);
    }
    QVERIFY(refusal({"storage", "volume", "attach", "default", "data", "t1", "/other"})
                .contains("has a device 'data' already"));
    must({"storage", "volume", "detach", "default", "data", "t1"});
    QVERIFY(refusal({"storage", "volume", "detach", "default", "data", "t1"}).contains("has no device"));
    must({"storage", "volume", "delete", "default", "data"});
    deleteAll();
}

void TestVolumes::runningGuestsGetThemAtOnce()
{
    must({"storage", "volume", "create", "default", "data"});
    launch("t1");
    must({"storage", "volume", "attach", "default", "data", "t1", "/data"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo x > /data/x; cat /data/x"}), "x");
    QVERIFY(refusal({"storage", "volume", "delete", "default", "data"}).contains("is used by /1.0/instances/t1"));
    must({"storage", "volume", "detach", "default", "data", "t1"});
    QCOMPARE(inside("t1", {"ls", "/data"}), "");
    deleteAll();
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::profilesAttachToo()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"storage", "volume", "attach-profile", "default", "data", "default", "/data"});
    QVERIFY(refusal({"storage", "volume", "delete", "default", "data"}).contains("/1.0/profiles/default"));
    launch("t1");
    QCOMPARE(inside("t1", {"sh", "-c", "echo x > /data/x; ls /data"}), "x");
    deleteAll();
    must({"storage", "volume", "detach-profile", "default", "data", "default"});
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::whatCannotBeIsRefused_data()
{
    QTest::addColumn<QStringList>("words");
    QTest::addColumn<QByteArray>("reason");
    const auto row = [](const char *tag, const QStringList &words, const char *reason) {
        QTest::newRow(tag) << words << QByteArray(reason);
    };
    row("no pool", {"create", "nowhere", "x"}, "Storage pool not found");
    row("name", {"create", "default", ".x"}, "storage volume");
    row("key", {"create", "default", "x", "inital.uid=1"}, "did you mean 'initial.uid'?");
    row("unsupported key", {"create", "default", "x", "zfs.blocksize=1"}, "'zfs.blocksize' is not supported");
    row("not shifted", {"create", "default", "x", "security.shifted=false"}, "is not offered");
    row("type", {"create", "default", "container/x"}, "only volumes of type 'custom'");
    row("no volume", {"show", "default", "x"}, "Storage volume not found");
    row("attach what is not there", {"attach", "default", "x", "t1", "/x"}, "Storage volume not found");
    row("attach nowhere", {"attach", "default", "x", "t1"}, "");
    row("a container's", {"delete", "default", "container/t1"}, "belongs to its instance");
    row("copy of nothing", {"copy", "default/x", "default/y"}, "Storage volume not found");
    row("copy to nowhere", {"copy", "default/x", "y"}, "is not <pool>/<volume>");
}

void TestVolumes::whatCannotBeIsRefused()
{
    QFETCH(QStringList, words);
    QFETCH(QByteArray, reason);
    const Run refused = m_box.cli(QStringList{"storage", "volume"} + words);
    QVERIFY(!refused.ok());
    QVERIFY2(refused.err.contains(reason), refused.err);
}

void TestVolumes::projectsKeepVolumesApart()
{
    must({"storage", "volume", "create", "default", "data"});
    QVERIFY(refusal({"storage", "volume", "create", "default", "data"}).contains("already exists"));
    QVERIFY(refusal({"storage", "volume", "list", "default", "--project", "other"}).contains("Project not found"));
    must({"storage", "volume", "delete", "default", "data"});
}

void TestVolumes::detachedPoolKeepsItsVolumes()
{
    const QString place = m_box.directory() + "/volumes-pool";
    must({"storage", "create", "p1", "dir", "source=" + place});
    must({"storage", "volume", "create", "p1", "data"});
    QVERIFY(refusal({"storage", "delete", "p1"}).contains("/1.0/storage-pools/p1/volumes/custom/data"));
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "p1", "data", "t1", "/data"});
    must({"start", "t1"});
    QVERIFY(refusal({"storage", "detach", "p1"}).contains("runs with a volume of the pool"));
    must({"stop", "--force", "t1"});
    must({"storage", "detach", "p1"});
    QVERIFY(QFile::exists(place + "/custom/volumes/default:data/volume.yaml"));
    QVERIFY(refusal({"start", "t1"}).contains("device 'data'")); // it says which device lacks what
    deleteAll();
    QVERIFY(run({"rm", "-rf", place}).ok());
}

void TestVolumes::restWorksAsOthersExpect()
{
    const QByteArray volumes = "/1.0/storage-pools/default/volumes";
    QCOMPARE(m_box
                 .rest("POST", volumes + "/custom",
                       {
                           {"name",   "v1"                        },
                           {"config", QJsonObject{{"user.a", "b"}}}
    })
                 .status,
             201);
    const Reply got = m_box.rest("GET", volumes + "/custom/v1");
    const QJsonObject volume = got.body["metadata"].toObject();
    QCOMPARE(volume["type"].toString(), "custom");
    QCOMPARE(volume["content_type"].toString(), "filesystem");
    QCOMPARE(volume["config"].toObject()["user.a"].toString(), "b");
    QCOMPARE(m_box
                 .rest("POST", volumes + "/custom/v1/snapshots",
                       {
                           {"name", "s1"}
    })
                 .status,
             202);
    QVERIFY(Sandbox::eventually([&] { return m_box.rest("GET", volumes + "/custom/v1/snapshots/s1").status == 200; }));
    QCOMPARE(m_box.rest("GET", volumes + "/custom/v1/snapshots/s1").body["metadata"].toObject()["name"].toString(),
             "v1/s1");
    QCOMPARE(m_box
                 .rest("PUT", volumes + "/custom/v1",
                       {
                           {"restore", "s1"}
    })
                 .status,
             200);
    QCOMPARE(m_box.rest("GET", volumes + "/custom/v1/state").body["metadata"].toObject().contains("usage"), true);
    QVERIFY(
        m_box.rest("GET", volumes).body["metadata"].toArray().contains("/1.0/storage-pools/default/volumes/custom/v1"));
    QCOMPARE(m_box
                 .rest("POST", volumes + "/custom/v1",
                       {
                           {"name", "v2"}
    })
                 .status,
             201);
    QCOMPARE(m_box.rest("GET", volumes + "/custom/v1").status, 404);
    QCOMPARE(m_box.rest("DELETE", volumes + "/custom/v2").status, 200);
}

QTEST_GUILESS_MAIN(TestVolumes)
#include "tst_volumes.moc"

// What was deleted or changed comes back.
#include "support/system_test.h"

#include <QDir>
#include <QJsonArray>

using namespace lxmgr::test;

class TestUndo : public SystemTest
{
    Q_OBJECT
private slots:
    void aDeletedInstanceComesBackWhole();
    void itComesBackUnderAnotherNameWhereItsOwnIsTaken();
    void whatItUsedMayBeGone();
    void aRestoreIsUndoneAndThatToo();
    void aRunningGuestGoesOnAfterwards();
    void aDeletedSnapshotComesBack();
    void changesComeBack();
    void profilesComeBack();
    void showSaysWhatItWouldDo();
    void itStaysWithTheInstanceNotWithTheName();
    void nothingIsKeptWhereNobodyWantsIt();
    void itExpires();
    void theImageStaysForWhatIsKept();
    void aPoolTakesItAlong();
    void aDetachedPoolKeepsIt();
    void recoverFindsItAgain();
    void spaceIsMadeTheOldestFirst();
    void otherClientsGoOn();
    void mistakesAreNamed();
    void whatLiesInAnotherPoolWaits();
    void aDeletedVolumeComesBackWhole_data();
    void aDeletedVolumeComesBackWhole();
    void aVolumesSnapshotComesBack();
    void aVolumesRestoreIsUndoneAndThatToo();
    void recoverFindsDeletedVolumes();

private:
    /// The folders for custom volumes come with the first one and stay.
    void prepare() override
    {
        must({"storage", "volume", "create", "default", "first"});
        must({"storage", "volume", "delete", "default", "first", "--purge"});
    }
    QByteArray config(const QString &instance, const QString &key) { return m_box.text({"config", "get", instance, key}); }
    QByteArray file(const QString &path) { return m_box.text({"file", "pull", path, "-"}); }
    QByteArray list() { return m_box.text({"undo", "list", "-c", "d", "-f", "csv"}); }
    QString number() { return QString::fromUtf8(m_box.text({"undo", "list", "-c", "i", "-f", "csv"}).split('\n').last()); }
    QStringList aside(const QString &pool = "default")
    {
        return QDir(m_box.stateDir() + "/storage-pools/" + pool + "/aside").entryList(QDir::Dirs | QDir::NoDotAndDotDot);
    }
};

void TestUndo::aDeletedInstanceComesBackWhole()
{
    must({"create", "busybox", "t1", "-c", "user.x=1", "-c", "limits.processes=99", "--description", "the shop"});
    must({"file", "push", "-", "t1/state", "--mode", "0604", "--uid", "12"}, "one");
    must({"snapshot", "t1", "s0", "--expires", "1y"});
    must({"file", "push", "-", "t1/state", "--mode", "0604"}, "two");
    const QByteArray before = m_box.text({"config", "show", "t1", "-e"}), snapshot = m_box.text({"snapshot", "show", "t1", "s0"});
    must({"delete", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    QCOMPARE(list(), QByteArray("deletion of instance t1"));
    const Run done = m_box.cli({"undo", "apply"});
    RUN_OK(done);
    QVERIFY2(done.out.contains("Undone: deletion of instance t1"), done.told());
    QCOMPARE(m_box.text({"config", "show", "t1", "-e"}), before); // ids and addresses among it
    QCOMPARE(m_box.text({"snapshot", "show", "t1", "s0"}), snapshot);
    QCOMPARE(file("t1/state"), QByteArray("two"));
    QCOMPARE(list(), QByteArray());
    QVERIFY(aside().isEmpty());
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"stat", "-c", "%a %u", "/state"}), QByteArray("604 12"));
    must({"restore", "t1", "s0"});
    QCOMPARE(file("t1/state"), QByteArray("one"));
}

void TestUndo::itComesBackUnderAnotherNameWhereItsOwnIsTaken()
{
    must({"create", "busybox", "t1", "-c", "user.x=old"});
    const QByteArray address = config("t1", "volatile.eth0.hwaddr"), ids = config("t1", "volatile.idmap.base");
    must({"delete", "t1"});
    must({"create", "busybox", "t1", "-c", "user.x=new"});
    const Run refused = m_box.cli({"undo", "apply"});
    QCOMPARE(refused.status, 5);
    QVERIFY2(refused.err.contains("lxmgr undo apply " + number().toUtf8() + " <name>"), refused.told());
    must({"undo", "apply", number(), "t2"});
    QCOMPARE(config("t2", "user.x"), QByteArray("old"));
    QCOMPARE(config("t1", "user.x"), QByteArray("new"));
    QCOMPARE(config("t2", "volatile.eth0.hwaddr"), address);
    QVERIFY(config("t2", "volatile.idmap.base") != config("t1", "volatile.idmap.base"));
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"hostname"}), QByteArray("t2"));
}

void TestUndo::whatItUsedMayBeGone()
{
    RUN_OK(m_box.cli({"query", "-X", "POST", "-d", R"({"name":"p","config":{"limits.processes":"77"}})", "/1.0/profiles"}));
    must({"create", "busybox", "t1", "-p", "default", "-p", "p"});
    must({"delete", "t1"});
    must({"query", "-X", "DELETE", "/1.0/profiles/p"});
    QCOMPARE(list(), QByteArray("change of profile p\ndeletion of instance t1"));
    must({"undo", "apply", QString::number(number().toInt() - 1)});
    QCOMPARE(config("t1", "limits.processes"), QByteArray("77")); // its own now
    QVERIFY(!m_box.text({"config", "show", "t1"}).contains("- p\n"));
    must({"start", "t1"});
}

void TestUndo::aRestoreIsUndoneAndThatToo()
{
    must({"create", "busybox", "t1"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"snapshot", "t1", "s0"});
    must({"file", "push", "-", "t1/state"}, "two");
    must({"config", "set", "t1", "user.x=two"});
    must({"restore", "t1", "s0"});
    QCOMPARE(file("t1/state"), QByteArray("one"));
    for (const char *state : {"two", "one", "two"}) {
        must({"undo", "apply"});
        QCOMPARE(file("t1/state"), QByteArray(state));
        QCOMPARE(config("t1", "user.x"), QByteArray(state == QByteArray("two") ? "two" : ""));
    }
    QCOMPARE(m_box.text({"snapshot", "list", "t1", "-c", "n", "-f", "csv"}), QByteArray("s0"));
}

void TestUndo::aRunningGuestGoesOnAfterwards()
{
    launch("t1");
    must({"snapshot", "t1", "s0"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /state"});
    must({"restore", "t1", "s0"});
    QVERIFY(!exec("t1", {"test", "-e", "/state"}).ok());
    must({"undo", "apply"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(inside("t1", {"cat", "/state"}), QByteArray("two"));
}

void TestUndo::aDeletedSnapshotComesBack()
{
    must({"create", "busybox", "t1", "-c", "user.x=1"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"snapshot", "t1", "s0"});
    const QByteArray before = m_box.text({"snapshot", "show", "t1", "s0"});
    must({"file", "push", "-", "t1/state"}, "two");
    must({"delete", "t1/s0"});
    must({"rename", "t1", "t2"});
    must({"undo", "apply"});
    QCOMPARE(m_box.text({"snapshot", "show", "t2", "s0"}), before);
    must({"snapshot", "delete", "t2", "s0"});
    must({"snapshot", "t2", "s0"});
    QCOMPARE(m_box.cli({"undo", "apply"}).status, 5);
    must({"undo", "apply", number(), "s1"});
    must({"restore", "t2", "s1"});
    QCOMPARE(file("t2/state"), QByteArray("one"));
}

void TestUndo::changesComeBack()
{
    launch("t1");
    must({"config", "set", "t1", "limits.processes=50"});
    must({"config", "set", "t1", "limits.processes=60", "user.x=1"});
    must({"config", "set", "t1", "limits.processes=60"}); // no change
    must({"config", "set", "t1", "-p", "description=new"});
    QCOMPARE(list().split('\n').size(), 3);
    must({"undo", "delete", number()});
    must({"undo", "apply"});
    QCOMPARE(config("t1", "limits.processes"), QByteArray("50"));
    QCOMPARE(config("t1", "user.x"), QByteArray());
    QVERIFY(m_box.text({"config", "show", "t1"}).contains("description: \"\"")); // the whole definition of that time
    must({"undo", "apply"});
    QCOMPARE(config("t1", "limits.processes"), QByteArray("60"));
}

void TestUndo::profilesComeBack()
{
    must({"query", "-X", "POST", "-d", R"({"name":"p","config":{"user.x":"1"}})", "/1.0/profiles"});
    must({"query", "-X", "PATCH", "-d", R"({"config":{"user.x":"2"}})", "/1.0/profiles/p"});
    must({"undo", "apply"});
    QVERIFY(m_box.text({"profile", "show", "p"}).contains("user.x: \"1\""));
    must({"undo", "apply"});
    QVERIFY(m_box.text({"profile", "show", "p"}).contains("user.x: \"2\""));
    must({"query", "-X", "DELETE", "/1.0/profiles/p"});
    must({"undo", "apply"});
    QVERIFY(m_box.text({"profile", "show", "p"}).contains("user.x: \"2\""));
    must({"query", "-X", "DELETE", "/1.0/profiles/p"});
}

void TestUndo::showSaysWhatItWouldDo()
{
    must({"create", "busybox", "t1", "-c", "user.x=old"});
    must({"config", "set", "t1", "user.x=new"});
    const QByteArray change = m_box.text({"undo", "show", number()});
    QVERIFY2(change.contains("key: user.x\n    now: new\n    then: old"), change);
    must({"snapshot", "t1", "s0"});
    must({"delete", "t1"});
    must({"create", "busybox", "t1"});
    const auto shown = m_box.rest("GET", "/1.0/lxmgr/undo/" + number().toUtf8()).body["metadata"].toObject();
    QCOMPARE(shown["snapshots"].toArray().at(0).toString(), QString("s0"));
    QCOMPARE(shown["config"].toObject()["user.x"].toString(), QString("new"));
    QVERIFY(shown["size"].toInt() > 0);
    QVERIFY(shown["obstacle"].toString().contains("'t1' already exists"));
}

void TestUndo::itStaysWithTheInstanceNotWithTheName()
{
    must({"create", "busybox", "t1", "-c", "user.x=old"});
    must({"config", "set", "t1", "user.x=new"});
    const QString change = number();
    must({"delete", "t1"});
    must({"create", "busybox", "t1", "-c", "user.x=other"});
    const Run refused = m_box.cli({"undo", "apply", change});
    QCOMPARE(refused.status, 3);
    QVERIFY2(refused.err.contains("undo its deletion first"), refused.told());
    must({"undo", "apply", number(), "t2"});
    must({"undo", "apply", change});
    QCOMPARE(config("t2", "user.x"), QByteArray("old"));
    QCOMPARE(config("t1", "user.x"), QByteArray("other"));
}

void TestUndo::nothingIsKeptWhereNobodyWantsIt()
{
    launch("t1", {"--ephemeral"});
    must({"stop", "--force", "t1"});
    QVERIFY(m_box.becomes("t1", ""));
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s0"});
    must({"delete", "--purge", "t1/s0"});
    must({"delete", "--purge", "t1"});
    must({"config", "set", "trash.expiry=0"});
    must({"create", "busybox", "t1"});
    must({"config", "set", "t1", "user.x=1"});
    must({"snapshot", "t1", "s0"});
    must({"restore", "t1", "s0"});
    must({"delete", "t1"});
    must({"config", "unset", "trash.expiry"});
    QCOMPARE(list(), QByteArray());
    QVERIFY(aside().isEmpty());
}

void TestUndo::itExpires()
{
    must({"create", "busybox", "t1"});
    must({"delete", "t1"});
    QCOMPARE(aside().size(), 1);
    // A week later, as far as the daemon can tell: its own clock is the machine's.
    m_box.stopDaemon();
    RUN_OK(run({"python3", "-c", "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE undo SET expires_at=1'); db.commit()",
                m_box.stateDir() + "/lxmgr.db"}));
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return list().isEmpty() && aside().isEmpty(); }));
}

void TestUndo::theImageStaysForWhatIsKept()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s0"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"delete", "t1"});
    must({"image", "delete", "busybox"});
    must({"undo", "apply"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/state"}), QByteArray("one"));
    must({"delete", "--force", "t1"});
    must({"undo", "delete", "--all"});
    QVERIFY(Sandbox::eventually(
        [&] { return QDir(m_box.stateDir() + "/storage-pools/default/images").entryList(QDir::Dirs | QDir::NoDotAndDotDot).isEmpty(); }));
    must({"template", "build", "busybox"});
    m_before = m_box.settledStock(); // another image than before
}

void TestUndo::aPoolTakesItAlong()
{
    for (const char *driver : {"dir", "btrfs"}) {
        must({"storage", "create", "p1", driver});
        must({"create", "busybox", "t1", "--storage", "p1"});
        must({"snapshot", "t1", "s0"});
        must({"restore", "t1", "s0"});
        must({"undo", "apply"});
        must({"delete", "t1"});
        must({"undo", "apply"});
        must({"delete", "t1"});
        must({"storage", "delete", "p1"});
        QCOMPARE(list(), QByteArray());
    }
}

void TestUndo::aDetachedPoolKeepsIt()
{
    const QString source = m_box.directory() + "/p1";
    must({"storage", "create", "p1", "dir", "source=" + source});
    must({"create", "busybox", "t1", "--storage", "p1", "-c", "user.x=1"});
    must({"delete", "t1"});
    must({"storage", "detach", "p1"});
    const Run refused = m_box.cli({"undo", "apply"});
    QVERIFY2(refused.err.contains("attach it again"), refused.told());
    must({"storage", "create", "p1", "dir", "source=" + source});
    must({"undo", "apply"});
    QCOMPARE(config("t1", "user.x"), QByteArray("1"));
    must({"delete", "--purge", "t1"});
    must({"storage", "delete", "p1"});
    QDir(source).removeRecursively();
}

void TestUndo::recoverFindsItAgain()
{
    must({"create", "busybox", "t1", "-c", "user.x=1"});
    must({"create", "busybox", "t2"});
    must({"delete", "t1"});
    m_box.stopDaemon();
    for (const char *name : {"lxmgr.db", "lxmgr.db-wal", "lxmgr.db-shm"})
        QFile::remove(m_box.stateDir() + "/" + name);
    QVERIFY(m_box.startDaemon());
    const Run found = m_box.cli({"recover", "--yes"});
    RUN_OK(found);
    QVERIFY2(found.out.contains("deleted instance"), found.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray()); // not among the living
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
    must({"undo", "apply"});
    QCOMPARE(config("t1", "user.x"), QByteArray("1"));
}

void TestUndo::spaceIsMadeTheOldestFirst()
{
    const QString image = m_box.directory() + "/small.img", small = m_box.directory() + "/small";
    QDir().mkpath(small);
    RUN_OK(run({"truncate", "-s", "200M", image}));
    RUN_OK(run({"mkfs.ext4", "-q", "-m", "0", image}));
    RUN_OK(run({"mount", "-o", "loop", image, small}));
    must({"storage", "create", "p1", "dir", "source=" + small + "/p1"});
    must({"create", "busybox", "t0"});
    must({"delete", "t0"}); // older, and in a pool with space: dropping it would help nobody
    const auto fill = [&](const char *name, const char *with) {
        return m_box.cli({"file", "push", "-", QString(name) + "/" + with}, QByteArray(10 << 20, 'x')).ok();
    };
    for (const char *name : {"t1", "t2", "t3"}) {
        must({"create", "busybox", name, "--storage", "p1"});
        for (const char *with : {"a", "b", "c", "d"})
            QVERIFY(fill(name, with));
        if (name != QByteArray("t3"))
            must({"delete", name});
    }
    QCOMPARE(list(), QByteArray("deletion of instance t0\ndeletion of instance t1\ndeletion of instance t2"));
    for (const char *with : {"e", "f", "g"})
        QVERIFY(fill("t3", with));
    must({"copy", "t3", "t4"}); // 70 MiB, where 200 hold 40 and 40 and 70
    QVERIFY2(!list().contains("t1") && list().contains("t0"), list());
    must({"delete", "--purge", "t4"});

    // Who fills the pool gets what is kept there.
    must({"create", "busybox", "t1", "--storage", "p1"});
    must({"delete", "t1"});
    for (char with = 'h'; with < 'z' && fill("t3", QByteArray(1, with).constData()); ++with)
        ;
    must({"config", "set", "t3", "user.x=1"}); // whatever happens makes the daemon look
    QVERIFY2(Sandbox::eventually([&] { return list().count("deletion") == 1; }), list());
    QVERIFY2(list().contains("t0"), list());
    must({"delete", "t3"});
    must({"undo", "delete", "--all"});
    must({"storage", "delete", "p1"});
    RUN_OK(run({"umount", small}));
    QFile::remove(image);
    QDir(small).removeRecursively();
}

void TestUndo::otherClientsGoOn()
{
    must({"create", "busybox", "t1"});
    const Reply deleted = m_box.rest("DELETE", "/1.0/instances/t1");
    QCOMPARE(deleted.status, 202);
    QVERIFY(m_box.becomes("t1", ""));
    const Reply all = m_box.rest("GET", "/1.0/lxmgr/undo");
    const QByteArray url = all.body["metadata"].toArray().at(0).toString().toUtf8();
    QCOMPARE(url, "/1.0/lxmgr/undo/" + number().toUtf8());
    QCOMPARE(m_box.rest("POST", url, {{"name", "t2"}}).status, 202);
    QVERIFY(m_box.becomes("t2", "STOPPED"));
    QCOMPARE(m_box.rest("GET", url).status, 404);
    const QJsonArray extensions = m_box.rest("GET", "/1.0").body["metadata"].toObject()["api_extensions"].toArray();
    QVERIFY(extensions.contains("lxmgr_undo"));
}

void TestUndo::mistakesAreNamed()
{
    QCOMPARE(m_box.cli({"undo", "apply"}).status, 3);
    QCOMPARE(m_box.cli({"undo", "apply", "99999"}).status, 3);
    QCOMPARE(m_box.cli({"undo", "show", "x"}).status, 4);
    QCOMPARE(m_box.cli({"undo", "delete"}).status, 2);
    QCOMPARE(m_box.cli({"config", "set", "trash.expiry=3q"}).status, 4);
    QCOMPARE(m_box.cli({"config", "set", "trash.expires=3d"}).status, 4);
    QCOMPARE(m_box.cli({"config", "set", "core.metrics_address=:8444"}).status, 9);
    must({"create", "busybox", "t1"});
    must({"config", "set", "t1", "user.x=1"});
    QCOMPARE(m_box.cli({"undo", "apply", number(), "t2"}).status, 4);
}

void TestUndo::whatLiesInAnotherPoolWaits()
{
    must({"storage", "create", "p2", "dir"});
    must({"create", "busybox", "t1"});
    must({"file", "push", "-", "t1/state"}, "first");
    must({"snapshot", "t1", "s0"});
    must({"file", "push", "-", "t1/state"}, "second");
    must({"restore", "t1", "s0"});
    must({"move", "t1", "-s", "p2"});
    const QString restored = number();
    const QByteArray shown = m_box.text({"undo", "show", restored});
    QVERIFY2(shown.contains("move it back first") && shown.contains("--storage default"), shown);
    const Run refused = m_box.cli({"undo", "apply", restored});
    RUN_ENDS(refused, 6);
    QCOMPARE(m_box.text({"file", "pull", "t1/state", "-"}), QByteArray("first"));
    must({"move", "t1", "-s", "default"});
    must({"undo", "apply", restored});
    QCOMPARE(m_box.text({"file", "pull", "t1/state", "-"}), QByteArray("second"));
    must({"delete", "t1"});
    must({"storage", "delete", "p2"});
}

void TestUndo::aDeletedVolumeComesBackWhole_data()
{
    QTest::addColumn<QStringList>("driver");
    QTest::newRow("overlay") << QStringList{"overlay"};
    QTest::newRow("dir") << QStringList{"dir"};
    QTest::newRow("btrfs") << QStringList{"btrfs", "size=300MiB"};
}

void TestUndo::aDeletedVolumeComesBackWhole()
{
    QFETCH(QStringList, driver);
    if (driver[0] == "btrfs" && !m_box.text({"storage", "drivers", "-f", "csv"}).contains("btrfs,YES"))
        QSKIP("btrfs: not available here (lxmgr storage drivers says why)");
    must(QStringList{"storage", "create", "p1"} + driver);
    must({"storage", "volume", "create", "p1", "data", "user.x=1", "snapshots.expiry=1y", "--description", "Uploads"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "p1", "data", "t1", "/data"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo one > /data/a; chown 7:8 /data/a; chmod 604 /data/a; sync; echo ok"}), QByteArray("ok"));
    must({"storage", "volume", "snapshot", "create", "p1", "data", "s0", "--description", "First"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo two > /data/a; echo ok"}), QByteArray("ok"));
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "detach", "p1", "data", "t1"});
    const QByteArray before = m_box.text({"storage", "volume", "show", "p1", "data"});
    const QByteArray snapshot = m_box.text({"storage", "volume", "snapshot", "show", "p1", "data", "s0"});
    must({"storage", "volume", "delete", "p1", "data"});
    QVERIFY(m_box.text({"storage", "volume", "list", "p1", "type eq custom", "-f", "csv"}).isEmpty());
    QVERIFY2(list().endsWith("deletion of storage volume data"), list());
    const QString kept = number();
    const QByteArray shown = m_box.text({"undo", "show", kept});
    QVERIFY2(shown.contains("user.x: \"1\"") && shown.contains("- s0") && shown.contains("pool: p1"), shown);
    // Its name is taken meanwhile, and attached.
    must({"storage", "volume", "create", "p1", "data"});
    must({"storage", "volume", "attach", "p1", "data", "t1", "/data"});
    const Run refused = m_box.cli({"undo", "apply", kept});
    RUN_ENDS(refused, 5);
    QVERIFY2(refused.err.contains("lxmgr undo apply " + kept.toUtf8() + " <name>"), refused.told());
    must({"undo", "apply", kept, "back"});
    QCOMPARE(m_box.text({"storage", "volume", "get", "p1", "back", "user.x"}), QByteArray("1"));
    must({"storage", "volume", "detach", "p1", "data", "t1"});
    must({"storage", "volume", "delete", "p1", "data", "--purge"});
    must({"storage", "volume", "rename", "p1", "back", "data"});
    QCOMPARE(m_box.text({"storage", "volume", "show", "p1", "data"}), before);
    QCOMPARE(m_box.text({"storage", "volume", "snapshot", "show", "p1", "data", "s0"}), snapshot);
    must({"storage", "volume", "delete", "p1", "data"});
    must({"undo", "apply"});
    QCOMPARE(m_box.text({"storage", "volume", "show", "p1", "data"}), before);
    must({"storage", "volume", "attach", "p1", "data", "t1", "/data"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "cat /data/a; stat -c '%a %u' /data/a"}), QByteArray("two\n604 7"));
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "snapshot", "restore", "p1", "data", "s0"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/data/a"}), QByteArray("one"));
    deleteAll();
    must({"storage", "volume", "delete", "p1", "data"});
    must({"storage", "delete", "p1"}); // what is kept goes with it
    QCOMPARE(list(), QByteArray());
}

void TestUndo::aVolumesSnapshotComesBack()
{
    must({"storage", "volume", "create", "default", "data", "user.x=1"});
    must({"storage", "volume", "snapshot", "create", "default", "data", "s0", "--description", "First"});
    must({"storage", "volume", "set", "default", "data", "user.x=2"});
    must({"storage", "volume", "snapshot", "create", "default", "data", "s1"});
    const QStringList show{"storage", "volume", "snapshot", "show", "default", "renamed", "s0"};
    must({"storage", "volume", "snapshot", "delete", "default", "data", "s0"});
    must({"storage", "volume", "rename", "default", "data", "renamed"});
    must({"undo", "apply"});
    const QByteArray back = m_box.text(show);
    QVERIFY2(back.contains("user.x: \"1\"") && back.contains("description: First") && back.contains("name: renamed/s0"), back);
    const QStringList names{"storage", "volume", "snapshot", "list", "default", "renamed", "-f", "csv", "-c", "n"};
    QCOMPARE(m_box.text(names), QByteArray("s0\ns1"));
    must({"storage", "volume", "snapshot", "delete", "default", "renamed", "s0"});
    must({"storage", "volume", "snapshot", "create", "default", "renamed", "s0"});
    RUN_ENDS(m_box.cli({"undo", "apply"}), 5);
    must({"undo", "apply", number(), "s2"});
    QVERIFY(m_box.text(names).contains("s2"));
    must({"storage", "volume", "snapshot", "delete", "default", "renamed", "s2", "--purge"});
    must({"storage", "volume", "snapshot", "delete", "default", "renamed", "s0"});
    const QString kept = number();
    must({"storage", "volume", "delete", "default", "renamed"});
    const Run refused = m_box.cli({"undo", "apply", kept});
    RUN_ENDS(refused, 3);
    QVERIFY2(refused.err.contains("undo its deletion first"), refused.told());
    must({"undo", "apply"});
    must({"storage", "create", "p1", "dir"});
    must({"storage", "volume", "move", "default/renamed", "p1/renamed"});
    const Run elsewhere = m_box.cli({"undo", "apply", kept});
    RUN_ENDS(elsewhere, 6);
    QVERIFY2(elsewhere.err.contains("lxmgr storage volume move p1/renamed default/renamed"), elsewhere.told());
    must({"storage", "volume", "move", "p1/renamed", "default/renamed"});
    must({"undo", "apply", kept});
    must({"storage", "volume", "delete", "default", "renamed", "--purge"});
    must({"storage", "delete", "p1"});
}

void TestUndo::aVolumesRestoreIsUndoneAndThatToo()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "data", "t1", "/data"});
    const auto state = [&] {
        must({"start", "t1"});
        const QByteArray text = inside("t1", {"cat", "/data/state"});
        must({"stop", "--force", "t1"});
        return text;
    };
    const auto write = [&](const char *text) {
        must({"start", "t1"});
        QCOMPARE(inside("t1", {"sh", "-c", QString("echo %1 > /data/state; sync; echo ok").arg(text)}), QByteArray("ok"));
        must({"stop", "--force", "t1"});
    };
    write("one");
    must({"storage", "volume", "snapshot", "create", "default", "data", "s0"});
    write("two");
    must({"storage", "volume", "snapshot", "restore", "default", "data", "s0"});
    QCOMPARE(state(), QByteArray("one"));
    for (const char *then : {"two", "one", "two"}) {
        must({"undo", "apply"});
        QCOMPARE(state(), QByteArray(then));
    }
    must({"start", "t1"});
    const Run refused = m_box.cli({"undo", "apply"});
    RUN_ENDS(refused, 6);
    QVERIFY2(refused.err.contains("used by running instance 't1'"), refused.told());
    must({"delete", "--force", "t1"});
    must({"storage", "volume", "delete", "default", "data", "--purge"});
}

void TestUndo::recoverFindsDeletedVolumes()
{
    must({"storage", "volume", "create", "default", "gone", "user.x=1"});
    must({"storage", "volume", "create", "default", "there"});
    must({"storage", "volume", "delete", "default", "gone"});
    m_box.stopDaemon();
    for (const char *name : {"lxmgr.db", "lxmgr.db-wal", "lxmgr.db-shm"})
        QFile::remove(m_box.stateDir() + "/" + name);
    QVERIFY(m_box.startDaemon());
    const Run found = m_box.cli({"recover", "--yes"});
    RUN_OK(found);
    QVERIFY2(found.out.contains("deleted storage volume"), found.told());
    QCOMPARE(m_box.text({"storage", "volume", "list", "default", "type eq custom", "-f", "csv", "-c", "n"}), QByteArray("there"));
    must({"undo", "apply"});
    QCOMPARE(m_box.text({"storage", "volume", "get", "default", "gone", "user.x"}), QByteArray("1"));
    for (const char *name : {"gone", "there"})
        must({"storage", "volume", "delete", "default", name});
}

QTEST_GUILESS_MAIN(TestUndo)
#include "tst_undo.moc"

// Copies and moves as a user has them.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>

using namespace lxmgr::test;

class TestCopies : public SystemTest
{
    Q_OBJECT
private slots:
    void aCopyIsAMachineOfItsOwn();
    void aCopyOfARunningGuestHasItsFiles();
    void snapshotsComeAlong();
    void snapshotsStayWithInstanceOnly();
    void aSnapshotBecomesAnInstance();
    void whatIsGivenCountsMoreThanTheSource();
    void theCopyOutlivesItsSource();
    void mistakesAreNamed();
    void refreshBringsFilesAndSnapshots();
    void refreshOfARunningCopyIsRefused();
    void refreshMakesWhatIsMissing();
    void refreshOfFilesLeavesTheSnapshots();
    void copiesGoToOtherPools_data() { poolPairs(); }
    void copiesGoToOtherPools();
    void refreshGoesAcrossPools_data() { poolPairs(); }
    void refreshGoesAcrossPools();
    void movesGoToOtherPools_data() { poolPairs(); }
    void movesGoToOtherPools();
    void layersAreSharedInAnotherPool();
    void copyOfARunningGuestGoesToAnotherPool();
    void aMoveSaysWhatItCannot();
    void aNameIsMadeUp();
    void moveRenames();

private:
    void poolPairs();
    bool makePools();
    void dropPools();
    QByteArray config(const QString &instance, const QString &key) { return m_box.text({"config", "get", instance, key}); }
    QByteArray file(const QString &path) { return m_box.text({"file", "pull", path, "-"}); }
    QByteArray snapshots(const QString &instance) { return m_box.text({"snapshot", "list", instance, "-c", "n", "-f", "csv"}); }
};

void TestCopies::aCopyIsAMachineOfItsOwn()
{
    must({"create", "busybox", "t1", "-c", "user.x=1", "-c", "limits.processes=99"});
    must({"file", "push", "-", "t1/state", "--mode", "0604", "--uid", "12"}, "one");
    must({"copy", "t1", "t2"});
    QCOMPARE(config("t2", "user.x"), QByteArray("1"));
    QCOMPARE(config("t2", "limits.processes"), QByteArray("99"));
    for (const char *key : {"volatile.uuid", "volatile.eth0.hwaddr", "volatile.idmap.base"}) {
        QVERIFY2(!config("t2", key).isEmpty(), key);
        QVERIFY2(config("t1", key) != config("t2", key), key);
    }
    QCOMPARE(config("t2", "volatile.base_image"), config("t1", "volatile.base_image"));
    must({"start", "t1"});
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"hostname"}), QByteArray("t2"));
    QCOMPARE(inside("t2", {"stat", "-c", "%a %u", "/state"}), QByteArray("604 12"));
    must({"exec", "t2", "--", "sh", "-c", "echo two > /state"});
    QCOMPARE(inside("t1", {"cat", "/state"}), QByteArray("one"));
}

void TestCopies::aCopyOfARunningGuestHasItsFiles()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo now > /state"}); // not flushed by anybody
    const int pid = m_box.initPid("t1");
    must({"copy", "t1", "t2"});
    QCOMPARE(m_box.initPid("t1"), pid);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
    QCOMPARE(file("t2/state"), QByteArray("now"));
}

void TestCopies::snapshotsComeAlong()
{
    must({"create", "busybox", "t1"});
    for (const char *state : {"a", "b"}) {
        must({"file", "push", "-", "t1/state"}, state);
        must({"snapshot", "t1", state, "--expires", "1y"});
    }
    must({"file", "push", "-", "t1/state"}, "c");
    must({"copy", "t1", "t2"});
    QCOMPARE(snapshots("t2"), QByteArray("a\nb"));
    QCOMPARE(file("t2/state"), QByteArray("c"));
    must({"restore", "t2", "a"});
    QCOMPARE(file("t2/state"), QByteArray("a"));
    QCOMPARE(file("t1/state"), QByteArray("c"));
    must({"delete", "t2/b"});
    QCOMPARE(snapshots("t1"), QByteArray("a\nb"));
}

void TestCopies::snapshotsStayWithInstanceOnly()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "a"});
    must({"copy", "t1", "t2", "--instance-only"});
    QCOMPARE(snapshots("t2"), QByteArray());
}

void TestCopies::aSnapshotBecomesAnInstance()
{
    must({"create", "busybox", "t1", "-c", "user.x=old"});
    must({"file", "push", "-", "t1/state"}, "old");
    must({"snapshot", "t1", "a"});
    must({"file", "push", "-", "t1/state"}, "new");
    must({"config", "set", "t1", "user.x=new"});
    must({"copy", "t1/a", "t2"});
    QCOMPARE(file("t2/state"), QByteArray("old"));
    QCOMPARE(config("t2", "user.x"), QByteArray("old"));
    QCOMPARE(snapshots("t2"), QByteArray());
    must({"delete", "t1/a"});
    must({"start", "t2"});
}

void TestCopies::whatIsGivenCountsMoreThanTheSource()
{
    QCOMPARE(m_box.rest("POST", "/1.0/profiles", {{"name", "web"}, {"config", QJsonObject{{"user.team", "web"}}}}).status, 201);
    must({"create", "busybox", "t1", "-c", "user.x=1", "-c", "user.y=1"});
    must({"copy", "t1", "t2", "-c", "user.x=2", "-p", "default", "-p", "web", "-d", "eth0,name=net9"});
    QCOMPARE(config("t2", "user.x"), QByteArray("2"));
    QCOMPARE(config("t2", "user.y"), QByteArray("1"));
    QCOMPARE(m_box.text({"config", "get", "t2", "user.team", "-e"}), QByteArray("web"));
    QVERIFY(m_box.text({"config", "device", "show", "t2"}).contains("name: net9"));
    must({"delete", "t2"});
    QCOMPARE(m_box.rest("DELETE", "/1.0/profiles/web").status, 200);
}

void TestCopies::theCopyOutlivesItsSource()
{
    must({"create", "busybox", "t1"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"snapshot", "t1", "a"});
    must({"copy", "t1", "t2"});
    must({"delete", "t1"});
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QCOMPARE(file("t2/state"), QByteArray("one"));
    must({"start", "t2"});
}

void TestCopies::mistakesAreNamed()
{
    must({"create", "busybox", "t1"});
    must({"create", "busybox", "t2"});
    const auto fails = [&](const QStringList &command, int status, const char *says) {
        const Run run = m_box.cli(command);
        QVERIFY2(run.status == status && run.err.contains(says), run.told());
    };
    fails({"copy", "t1", "t1"}, 4, "onto itself");
    fails({"copy", "t1", "t2"}, 5, "'t2' already exists");
    fails({"copy", "no", "t3"}, 3, "'no'");
    fails({"copy", "t1/no", "t3"}, 3, "'no' of 't1'");
    fails({"copy", "t1", "3t"}, 4, "3t");
    fails({"copy", "t1", "t3", "-c", "limits.memory=lots"}, 4, "limits.memory");
    fails({"copy", "t1", "t3", "-p", "nobody"}, 3, "nobody");
    fails({"move", "t1"}, 2, "where to");
    QCOMPARE(m_box.stateOf("t3"), QByteArray());
}

void TestCopies::refreshBringsFilesAndSnapshots()
{
    must({"create", "busybox", "t1", "-c", "user.x=1"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"snapshot", "t1", "a"});
    must({"copy", "t1", "t2"});
    must({"config", "set", "t2", "user.x=own"});
    must({"snapshot", "t2", "own"});
    must({"file", "push", "-", "t2/rubbish"}, "x");
    must({"file", "push", "-", "t1/state"}, "two");
    must({"snapshot", "t1", "b"});
    must({"delete", "t1/a"});
    const QByteArray uuid = config("t2", "volatile.uuid");
    must({"copy", "t1", "t2", "--refresh"});
    QCOMPARE(file("t2/state"), QByteArray("two"));
    RUN_ENDS(m_box.cli({"file", "pull", "t2/rubbish", "-"}), 3);
    QCOMPARE(snapshots("t2"), QByteArray("b"));
    QCOMPARE(config("t2", "user.x"), QByteArray("own")); // its definition is its own
    QCOMPARE(config("t2", "volatile.uuid"), uuid);
    QVERIFY(QFile::exists(m_box.stateDir() + "/storage-pools/default/containers/t2/backup.yaml"));
    QCOMPARE(QDir(m_box.stateDir() + "/storage-pools/default/containers").entryList(QDir::Dirs | QDir::NoDotAndDotDot), (QStringList{"t1", "t2"}));
    must({"start", "t2"});
}

void TestCopies::refreshOfARunningCopyIsRefused()
{
    must({"create", "busybox", "t1"});
    must({"copy", "t1", "t2"});
    must({"start", "t2"});
    RUN_ENDS(m_box.cli({"copy", "t1", "t2", "--refresh"}), 6);
    QCOMPARE(m_box.stateOf("t2"), QByteArray("RUNNING"));
}

void TestCopies::refreshMakesWhatIsMissing()
{
    must({"create", "busybox", "t1"});
    must({"copy", "t1", "t2", "--refresh"});
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
}

void TestCopies::refreshOfFilesLeavesTheSnapshots()
{
    must({"create", "busybox", "t1"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"snapshot", "t1", "a"});
    must({"copy", "t1", "t2", "--instance-only"});
    must({"file", "push", "-", "t2/own"}, "own");
    must({"snapshot", "t2", "own"});
    must({"file", "push", "-", "t1/state"}, "two");
    must({"copy", "t1", "t2", "--refresh", "--instance-only"});
    QCOMPARE(file("t2/state"), QByteArray("two"));
    RUN_ENDS(m_box.cli({"file", "pull", "t2/own", "-"}), 3);
    QCOMPARE(snapshots("t2"), QByteArray("own"));
    must({"copy", "t1/a", "t2", "--refresh"});
    QCOMPARE(file("t2/state"), QByteArray("one"));
    QCOMPARE(snapshots("t2"), QByteArray("own"));
    must({"restore", "t2", "own"});
    QCOMPARE(file("t2/own"), QByteArray("own"));
    must({"start", "t2"});
}

void TestCopies::poolPairs()
{
    QTest::addColumn<QString>("from");
    QTest::addColumn<QString>("to");
    for (const char *from : {"overlay", "dir", "btrfs"})
        for (const char *to : {"overlay", "dir", "btrfs"})
            QTest::addRow("%s to %s", from, to) << QString(from) << QString(to);
}

/// "p1" and "p2" with the drivers of the row.
bool TestCopies::makePools()
{
    QFETCH(QString, from);
    QFETCH(QString, to);
    const auto make = [&](const QString &name, const QString &driver) {
        QStringList command{"storage", "create", name, driver};
        if (driver == "btrfs")
            command << "size=300MiB";
        return m_box.cli(command).ok();
    };
    return make("p1", from) && make("p2", to);
}

void TestCopies::dropPools()
{
    deleteAll();
    for (const char *pool : {"p1", "p2"})
        must({"storage", "delete", pool});
}

void TestCopies::copiesGoToOtherPools()
{
    NEEDS("pools of these drivers", makePools());
    must({"create", "busybox", "t1", "-s", "p1"});
    for (const char *state : {"a", "b"}) {
        must({"file", "push", "-", "t1/state", "--mode", "0604", "--uid", "12"}, state);
        must({"snapshot", "t1", state});
    }
    must({"file", "push", "-", "t1/state"}, "c");
    must({"copy", "t1", "t2", "-s", "p2"});
    must({"copy", "t1/a", "t3", "-s", "p2"});
    must({"copy", "t1", "t4", "-s", "p2", "--instance-only"});
    QCOMPARE(snapshots("t2"), QByteArray("a\nb"));
    QCOMPARE(snapshots("t3"), QByteArray());
    QCOMPARE(snapshots("t4"), QByteArray());
    must({"delete", "t1"});
    QCOMPARE(file("t2/state"), QByteArray("c"));
    QCOMPARE(file("t3/state"), QByteArray("a"));
    QCOMPARE(file("t4/state"), QByteArray("c"));
    must({"restore", "t2", "b"});
    QCOMPARE(file("t2/state"), QByteArray("b"));
    QVERIFY(m_box.text({"config", "show", "t2", "-e"}).contains("pool: p2"));
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"stat", "-c", "%a %u", "/state"}), QByteArray("604 12"));
    dropPools();
}

void TestCopies::refreshGoesAcrossPools()
{
    NEEDS("pools of these drivers", makePools());
    must({"create", "busybox", "t1", "-s", "p1"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"file", "push", "-", "t1/old"}, "old");
    must({"snapshot", "t1", "a"});
    must({"copy", "t1", "t2", "-s", "p2"});
    must({"file", "push", "-", "t2/rubbish"}, "x");
    must({"file", "push", "-", "t1/state"}, "two");
    must({"file", "delete", "t1/old"});
    must({"snapshot", "t1", "b"});
    must({"file", "push", "-", "t1/more"}, "more");
    must({"copy", "t1", "t2", "--refresh"});
    QCOMPARE(snapshots("t2"), QByteArray("a\nb"));
    QCOMPARE(file("t2/state"), QByteArray("two"));
    QCOMPARE(file("t2/more"), QByteArray("more"));
    for (const char *gone : {"t2/rubbish", "t2/old"})
        RUN_ENDS(m_box.cli({"file", "pull", gone, "-"}), 3);
    must({"copy", "t1/a", "t2", "--refresh"});
    QCOMPARE(file("t2/old"), QByteArray("old"));
    QCOMPARE(snapshots("t2"), QByteArray("a\nb"));
    must({"copy", "t1", "t2", "--refresh", "--instance-only"});
    QCOMPARE(file("t2/state"), QByteArray("two"));
    must({"restore", "t2", "a"});
    QCOMPARE(file("t2/state"), QByteArray("one"));
    must({"start", "t2"});
    dropPools();
}

void TestCopies::movesGoToOtherPools()
{
    NEEDS("pools of these drivers", makePools());
    must({"create", "busybox", "t1", "-s", "p1", "-c", "user.x=1"});
    must({"file", "push", "-", "t1/state"}, "one");
    must({"snapshot", "t1", "a"});
    must({"file", "push", "-", "t1/state"}, "two");
    const QByteArray base = config("t1", "volatile.idmap.base"), address = config("t1", "volatile.eth0.hwaddr");
    must({"move", "t1", "t2", "-s", "p2"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    must({"storage", "delete", "p1"}); // nothing is left there
    QCOMPARE(config("t2", "volatile.idmap.base"), base);
    QCOMPARE(config("t2", "volatile.eth0.hwaddr"), address);
    QCOMPARE(file("t2/state"), QByteArray("two"));
    QCOMPARE(snapshots("t2"), QByteArray("a"));
    must({"restore", "t2", "a"});
    QCOMPARE(file("t2/state"), QByteArray("one"));
    must({"start", "t2"});
    must({"stop", "--force", "t2"});
    must({"move", "t2", "-s", "default"});
    QCOMPARE(file("t2/state"), QByteArray("one"));
    deleteAll();
    must({"storage", "delete", "p2"});
}

void TestCopies::layersAreSharedInAnotherPool()
{
    must({"storage", "create", "p2", "overlay"});
    must({"create", "busybox", "t1"});
    must({"file", "push", "-", "t1/large"}, QByteArray(3 << 20, 'x'));
    must({"snapshot", "t1", "a"});
    must({"copy", "t1", "t2", "-s", "p2"});
    must({"copy", "t1", "t3", "-s", "p2"});
    const auto layers = [&](const char *pool) {
        return QDir(m_box.stateDir() + "/storage-pools/" + pool + "/layers").entryList(QDir::Dirs | QDir::NoDotAndDotDot);
    };
    QCOMPARE(layers("p2"), layers("default")); // the very ones, once
    must({"copy", "t1", "t2", "--refresh"});
    QCOMPARE(layers("p2"), layers("default"));
    must({"delete", "t2", "t3"});
    QCOMPARE(layers("p2"), layers("default")); // kept with what can be undone
    must({"undo", "delete", "--all"});
    QCOMPARE(layers("p2"), QStringList());
    must({"storage", "delete", "p2"});
}

void TestCopies::copyOfARunningGuestGoesToAnotherPool()
{
    must({"storage", "create", "p2", "dir"});
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo now > /state"});
    const int pid = m_box.initPid("t1");
    must({"copy", "t1", "t2", "-s", "p2"});
    QCOMPARE(m_box.initPid("t1"), pid);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(file("t2/state"), QByteArray("now"));
    must({"exec", "t1", "--", "sh", "-c", "echo later > /state"});
    must({"copy", "t1", "t2", "--refresh"});
    QCOMPARE(file("t2/state"), QByteArray("later"));
    deleteAll();
    must({"storage", "delete", "p2"});
}

void TestCopies::aMoveSaysWhatItCannot()
{
    must({"storage", "create", "p2", "dir"});
    launch("t1");
    must({"create", "busybox", "t2"});
    RUN_ENDS(m_box.cli({"move", "t1", "-s", "p2"}), 6);
    RUN_ENDS(m_box.cli({"move", "t2", "-s", "nowhere"}), 3);
    RUN_ENDS(m_box.cli({"move", "t2", "-s", "default"}), 5);
    RUN_ENDS(m_box.cli({"move", "t2", "t1", "-s", "p2"}), 5);
    RUN_ENDS(m_box.cli({"move", "no", "-s", "p2"}), 3);
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
    deleteAll();
    must({"storage", "delete", "p2"});
}

void TestCopies::aNameIsMadeUp()
{
    must({"create", "busybox", "t1"});
    const QByteArray said = m_box.text({"copy", "t1"});
    const QByteArray name = said.mid(said.lastIndexOf(' ') + 1);
    QVERIFY2(said.contains("Instance name is: "), said);
    QCOMPARE(m_box.stateOf(QString::fromUtf8(name)), QByteArray("STOPPED"));
}

void TestCopies::moveRenames()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "a"});
    must({"move", "t1", "t2"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    must({"mv", "t2/a", "t2/b"});
    QCOMPARE(snapshots("t2"), QByteArray("b"));
}

QTEST_GUILESS_MAIN(TestCopies)
#include "tst_copies.moc"

// Copies and moves as a user has them.
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
    void aNameIsMadeUp();
    void moveRenames();

private:
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
    fails({"copy", "t1", "t2", "--refresh", "--instance-only"}, 9, "is not supported");
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

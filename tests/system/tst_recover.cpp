// The database is lost, or a pool comes from elsewhere: everything is read back from the pools.
#include "support/system_test.h"

#include <QDir>
#include <QJsonArray>

using namespace lxmgr::test;

class TestRecover : public SystemTest
{
    Q_OBJECT
private slots:
    void everythingComesBackWithoutTheDatabase();
    void aRunningGuestRunsOnWithoutTheDatabase();
    void nothingIsChangedWithoutYes();
    void whatIsKnownIsNotTouched();
    void aPoolFromElsewhereIsTakenOver();
    void takenIdsDoNotMatter();
    void whatCannotBeReadIsNamed();
    void profilesInUseStayAsTheyAre();
    void networksKeepTheirAddresses();
    void aDamagedNetworkGetsNewAddresses();
    void imagesComeBackWithTheirNames();
    void anImageWithoutItsNoteComesBackToo();
    void volumesComeBackBeforeTheirInstances();

private:
    void prepare() override
    {
        // The pool's folder of custom volumes is made with the first one.
        must({"storage", "volume", "create", "default", "v0"});
        must({"storage", "volume", "delete", "default", "v0", "--purge"});
    }
    void loseDatabase();
    QByteArray volume(const QString &name) { return (m_box.stateDir() + "/storage-pools/default/containers/" + name).toUtf8(); }
};

/// The daemon is stopped, its database deleted with all that belongs to it, and a new one made.
void TestRecover::loseDatabase()
{
    m_box.stopDaemon();
    QDir state(m_box.stateDir());
    for (const QString &file : state.entryList({"lxmgr.db*"}, QDir::Files))
        QVERIFY(state.remove(file));
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
}

void TestRecover::everythingComesBackWithoutTheDatabase()
{
    QCOMPARE(m_box.rest("POST", "/1.0/profiles", {{"name", "web"}, {"config", QJsonObject{{"user.team", "web"}}}}).status, 201);
    must({"create", "busybox", "t1", "-p", "default", "-p", "web", "-c", "user.x=1", "-c", "limits.processes=77", "--description", "the shop"});
    must({"file", "push", "-", "t1/state"}, "old");
    must({"snapshot", "t1", "good", "--expires", "1y"});
    must({"file", "push", "-", "t1/state"}, "new");
    must({"config", "set", "t1", "user.x=2"});
    must({"create", "busybox", "t2"});
    const QByteArray before = m_box.text({"config", "show", "t1"});
    const QByteArray snapshot = m_box.text({"snapshot", "list", "t1", "-f", "csv"});
    loseDatabase();
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    must({"recover", "--yes"});
    QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    QCOMPARE(m_box.text({"snapshot", "list", "t1", "-f", "csv"}), snapshot);
    QCOMPARE(m_box.text({"config", "get", "t1", "-e", "user.team"}), QByteArray("web"));
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/state"}), QByteArray("new"));
    must({"restore", "t1", "good"});
    QCOMPARE(inside("t1", {"cat", "/state"}), QByteArray("old"));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.x"}), QByteArray("1"));
    must({"delete", "-f", "t1", "t2"});
    QCOMPARE(m_box.rest("DELETE", "/1.0/profiles/web").status, 200);
}

void TestRecover::aRunningGuestRunsOnWithoutTheDatabase()
{
    launch("t1");
    const int pid = m_box.initPid("t1");
    loseDatabase();
    QVERIFY(Sandbox::isAlive(pid));
    must({"recover", "--yes"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(m_box.initPid("t1"), pid);
    QCOMPARE(inside("t1", {"echo", "here"}), QByteArray("here"));
    must({"stop", "--force", "t1"});
}

void TestRecover::nothingIsChangedWithoutYes()
{
    must({"create", "busybox", "t1"});
    loseDatabase();
    const Run shown = m_box.cli({"recover"});
    QVERIFY2(shown.out.contains("t1") && shown.out.contains("LOST") && shown.err.contains("--yes"), shown.told());
    QVERIFY(!shown.ok());
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    must({"recover", "--yes"});
    QVERIFY(m_box.text({"recover"}).contains("Nothing is lost"));
}

void TestRecover::whatIsKnownIsNotTouched()
{
    must({"create", "busybox", "t1", "-c", "user.x=1"});
    const QByteArray before = m_box.text({"config", "show", "t1"});
    QVERIFY(m_box.text({"recover", "--yes"}).contains("Nothing is lost"));
    QCOMPARE(m_box.text({"config", "show", "t1"}), before);
}

void TestRecover::aPoolFromElsewhereIsTakenOver()
{
    const QString folder = m_box.directory() + "/elsewhere", moved = m_box.directory() + "/moved";
    QVERIFY(QDir().mkpath(folder));
    must({"storage", "create", "far", "dir", "source=" + folder});
    must({"create", "busybox", "t1", "-s", "far"});
    must({"file", "push", "-", "t1/state"}, "here");
    must({"snapshot", "t1", "s"});
    loseDatabase();
    QVERIFY(QFile::rename(folder, moved));
    must({"storage", "create", "near", "dir", "source=" + moved});
    must({"recover", "--yes"});
    QCOMPARE(m_box.text({"file", "pull", "t1/state", "-"}), QByteArray("here"));
    must({"restore", "t1", "s"});
    must({"start", "t1"});
    must({"delete", "-f", "t1"});
    must({"storage", "delete", "near"});
    QVERIFY(QDir(moved).removeRecursively());
}

void TestRecover::takenIdsDoNotMatter()
{
    must({"create", "busybox", "t1"});
    const QByteArray base = m_box.text({"config", "get", "t1", "volatile.idmap.base"});
    loseDatabase();
    must({"create", "busybox", "t2", "-c", "security.idmap.base=" + base});
    must({"recover", "--yes"});
    QVERIFY(m_box.text({"config", "get", "t1", "volatile.idmap.base"}) != base);
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"stat", "-c", "%u", "/etc"}), QByteArray("0"));
}

void TestRecover::whatCannotBeReadIsNamed()
{
    must({"create", "busybox", "t1"});
    must({"create", "busybox", "t2"});
    must({"create", "busybox", "t3"});
    loseDatabase();
    QFile cut(volume("t1") + "/backup.yaml");
    QVERIFY(cut.resize(cut.size() / 2));
    QVERIFY(QFile::remove(volume("t2") + "/backup.yaml"));
    const Run run = m_box.cli({"recover", "--yes"});
    QVERIFY2(!run.ok() && run.err.contains("2 of "), run.told());
    QVERIFY2(run.out.contains("| backup.yaml:") && run.out.contains("no backup.yaml"), run.told());
    QCOMPARE(m_box.stateOf("t3"), QByteArray("STOPPED"));
    for (const char *name : {"t1", "t2"})
        QVERIFY(QDir(volume(name)).removeRecursively());
}

void TestRecover::profilesInUseStayAsTheyAre()
{
    must({"create", "busybox", "t1"});
    loseDatabase();
    must({"create", "busybox", "t2"}); // uses profile default
    QCOMPARE(m_box.rest("PATCH", "/1.0/profiles/default", {{"config", QJsonObject{{"user.mine", "yes"}}}}).status, 200);
    must({"recover", "--yes"});
    QCOMPARE(m_box.text({"config", "get", "t1", "-e", "user.mine"}), QByteArray("yes"));
    must({"delete", "t1", "t2"});
    QCOMPARE(m_box.rest("PATCH", "/1.0/profiles/default", {{"config", QJsonObject{{"user.mine", ""}}}}).status, 200);
}

void TestRecover::networksKeepTheirAddresses()
{
    const QJsonValue before = m_box.rest("GET", "/1.0/networks/lxmgrbr0").body["metadata"];
    QCOMPARE(m_box.rest("POST", "/1.0/networks", {{"name", "lxtest1"}, {"config", QJsonObject{{"ipv4.address", "10.77.88.1/24"}, {"ipv6.address", "none"}}}}).status, 201);
    const QJsonValue made = m_box.rest("GET", "/1.0/networks/lxtest1").body["metadata"];
    loseDatabase();
    QCOMPARE(m_box.rest("GET", "/1.0/networks/lxmgrbr0").body["metadata"].toObject()["config"], before.toObject()["config"]);
    must({"recover", "--yes"});
    QCOMPARE(m_box.rest("GET", "/1.0/networks/lxtest1").body["metadata"].toObject()["config"], made.toObject()["config"]);
    QCOMPARE(m_box.rest("DELETE", "/1.0/networks/lxtest1").status, 200);
    QVERIFY(m_box.text({"recover", "--yes"}).contains("Nothing is lost")); // what was deleted stays so
}

void TestRecover::aDamagedNetworkGetsNewAddresses()
{
    QFile document(m_box.stateDir() + "/networks/lxmgrbr0/network.yaml");
    const QJsonValue before = m_box.rest("GET", "/1.0/networks/lxmgrbr0").body["metadata"];
    QVERIFY(document.resize(document.size() / 2));
    loseDatabase();
    QVERIFY2(m_box.daemonLog().contains("gets new addresses"), m_box.daemonLog());
    QCOMPARE(m_box.rest("GET", "/1.0/networks/lxmgrbr0").status, 200);
    QCOMPARE(m_box.rest("PUT", "/1.0/networks/lxmgrbr0", {{"config", before.toObject()["config"]}, {"description", before.toObject()["description"]}}).status, 200);
    must({"recover", "--yes"});
}

void TestRecover::imagesComeBackWithTheirNames()
{
    must({"recover", "--yes"}); // what the tests before left lost
    const QByteArray print = m_box.text({"image", "list", "busybox", "-f", "csv", "-c", "F"});
    must({"image", "alias", "create", "other", print, "--description", "by another name"});
    must({"profile", "create", "web"});
    const auto shown = [&] { return m_box.rest("GET", "/1.0/images/" + print).body["metadata"].toObject(); };
    QCOMPARE(m_box.rest("PATCH", "/1.0/images/" + print, {{"public", true}, {"properties", QJsonObject{{"mine", "yes"}}},
                                                                {"profiles", QJsonArray{"web", "default"}}}).status, 200);
    must({"init", "--empty", "t0", "-p", "default", "-p", "web"}); // the profile comes back with who has it
    const QJsonObject before = shown();
    const QByteArray list = m_box.text({"image", "list", "-f", "csv", "-c", "F"});
    loseDatabase();
    QCOMPARE(m_box.text({"image", "list", "-f", "csv", "-c", "F"}), QByteArray());
    must({"recover", "--yes"});
    QCOMPARE(shown(), before);
    QCOMPARE(m_box.text({"image", "list", "-f", "csv", "-c", "F"}), list);
    QVERIFY(m_box.text({"image", "alias", "list", "other"}).contains("by another name"));
    must({"create", "other", "t1"});
    QCOMPARE(m_box.text({"list", "t1", "-f", "csv", "-c", "P"}).replace("\n", " ").replace("\"", ""), QByteArray("web default"));
    must({"delete", "--purge", "t0", "t1"});
    must({"profile", "delete", "web"});
    must({"image", "alias", "delete", "other"});
    loseDatabase();
    must({"recover", "--yes"});
    QCOMPARE(m_box.text({"image", "alias", "list", "other", "-f", "csv"}), QByteArray());
}

void TestRecover::anImageWithoutItsNoteComesBackToo()
{
    const QByteArray print = m_box.text({"image", "list", "busybox", "-f", "csv", "-c", "F"});
    QVERIFY(QFile::remove(m_box.stateDir() + "/images/" + print + ".yaml"));
    loseDatabase();
    must({"recover", "--yes"});
    const QJsonObject image = m_box.rest("GET", "/1.0/images/" + print).body["metadata"].toObject();
    QCOMPARE(image["properties"]["os"].toString(), QString("busybox"));
    must({"image", "alias", "create", "busybox", print});
    must({"create", "busybox", "t1"});
}

void TestRecover::volumesComeBackBeforeTheirInstances()
{
    must({"storage", "volume", "create", "default", "v1", "user.x=1"});
    must({"create", "busybox", "t1"});
    must({"storage", "volume", "attach", "default", "v1", "t1", "/srv"});
    must({"start", "t1"});
    inside("t1", {"sh", "-c", "echo old > /srv/file"});
    must({"storage", "volume", "snapshot", "create", "default", "v1", "good"});
    inside("t1", {"sh", "-c", "echo new > /srv/file"});
    must({"stop", "--force", "t1"});
    const QByteArray before = m_box.text({"storage", "volume", "show", "default", "v1"});
    const QByteArray snapshots = m_box.text({"storage", "volume", "snapshot", "list", "default", "v1", "-f", "csv"});
    loseDatabase();
    const Run lost = m_box.cli({"recover"});
    QVERIFY2(lost.out.contains("storage volume") && lost.out.contains("v1"), lost.told());
    must({"recover", "--yes"});
    QCOMPARE(m_box.text({"storage", "volume", "show", "default", "v1"}), before);
    QCOMPARE(m_box.text({"storage", "volume", "snapshot", "list", "default", "v1", "-f", "csv"}), snapshots);
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/srv/file"}), QByteArray("new"));
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "snapshot", "restore", "default", "v1", "good"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/srv/file"}), QByteArray("old"));
    must({"delete", "--force", "t1"});
    must({"storage", "volume", "delete", "default", "v1"});
    QVERIFY(m_box.text({"recover", "--yes"}).contains("Nothing is lost"));
}

QTEST_GUILESS_MAIN(TestRecover)
#include "tst_recover.moc"

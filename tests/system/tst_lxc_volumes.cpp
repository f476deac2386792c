// The unmodified `lxc` client of LXD 5.0 (package lxd-client) works with our storage pools and custom volumes; what it prints
// is what it prints of its own server.
#include "support/system_test.h"

#include <QStandardPaths>

using namespace lxmgr::test;

class TestLxcVolumes : public SystemTest
{
    Q_OBJECT
private slots:
    void poolsAreMadeAndChanged();
    void volumesAreMadeAndChanged();
    void snapshotsAreMadeAndChanged();
    void copiesGoWhereTheyAreSent();
    void volumesMove();
    void guestsAndProfilesGetThem();
    void rootDisksAreShown();
    void otherProjectsHaveTheirOwn();
    void whatCannotBeIsTold_data();
    void whatCannotBeIsTold();

private:
    void prepare() override
    {
        if (QStandardPaths::findExecutable("lxc").isEmpty())
            QSKIP("needs the lxc client of package lxd-client");
        must({"storage", "volume", "create", "default", "first"}); // the folders for custom volumes come with it and stay
        must({"storage", "volume", "delete", "default", "first", "--purge"});
        (void)lxc({"storage", "list"}); // greets who calls it for the first time
    }
    Run lxc(const QStringList &args, const QByteArray &input = {})
    {
        RunOptions options;
        options.environment = m_box.environment();
        options.environment.insert("LXD_SOCKET", m_box.socket());
        options.environment.insert("LXD_CONF", m_box.directory() + "/lxc-conf");
        options.input = input;
        options.timeoutMs = 120000;
        return run(QStringList{"lxc"} + args, options);
    }
    /// `lxc storage words…` and what it prints, without white space at the ends; the whole failure where it fails.
    QByteArray storage(const char *words, const QByteArray &input = {})
    {
        const Run done = lxc(QStringList{"storage"} + QString(words).split(' '), input);
        return done.ok() ? done.out.trimmed() : QByteArray(done.told());
    }
    QByteArray volume(const char *words, const QByteArray &input = {})
    {
        return storage(("volume " + QByteArray(words)).constData(), input);
    }
    QByteArray names(const char *pool) { return volume((QByteArray("list ") + pool + " type=custom -f csv -c n").constData()); }
    QByteArray field(const char *of, const QByteArray &name)
    {
        for (const QByteArray &line : volume((QByteArray("show ") + of).constData()).split('\n'))
            if (line.trimmed().startsWith(name + ": "))
                return line.trimmed().mid(name.size() + 2);
        return "no " + name;
    }
};

void TestLxcVolumes::poolsAreMadeAndChanged()
{
    QCOMPARE(storage("create p1 dir"), "Storage pool p1 created");
    QCOMPARE(storage("list -f csv"), "default,overlay," + (m_box.stateDir() + "/storage-pools/default").toUtf8() +
                                         ",Made on first use,1,CREATED\np1,dir," +
                                         (m_box.stateDir() + "/storage-pools/p1").toUtf8() + ",,0,CREATED");
    QCOMPARE(storage("set p1 user.x 1"), "");
    QCOMPARE(storage("set p1 user.x=2 user.y=3"), "");
    QCOMPARE(storage("get p1 user.x"), "2");
    QCOMPARE(storage("unset p1 user.x"), "");
    QCOMPARE(storage("get p1 user.x"), "");
    QCOMPARE(storage("edit p1", "description: Fast\nconfig:\n  user.z: \"4\"\n"), "");
    const QByteArray shown = storage("show p1");
    QVERIFY2(shown.contains("description: Fast\nname: p1\ndriver: dir\nused_by: []\nstatus: Created"), shown);
    QVERIFY2(shown.contains("user.z: \"4\"") && !shown.contains("user.y"), shown);
    QCOMPARE(volume("create p1 v1"), "Storage volume v1 created");
    const QByteArray info = storage("info p1");
    QVERIFY2(info.startsWith("info:\n  description: Fast\n  driver: dir\n  name: p1\n  space used: "), info);
    QVERIFY2(info.endsWith("used by:\n  volumes:\n  - v1"), info);
    QCOMPARE(volume("delete p1 v1"), "Storage volume v1 deleted");
    QCOMPARE(storage("delete p1"), "Storage pool p1 deleted");
}

void TestLxcVolumes::volumesAreMadeAndChanged()
{
    QCOMPARE(volume("create default v1 user.a=b"), "Storage volume v1 created");
    QCOMPARE(volume("list default type=custom -f csv"), "custom,v1,,filesystem,0");
    QCOMPARE(volume("get default v1 user.a"), "b");
    QCOMPARE(volume("set default v1 user.a c"), "");
    QCOMPARE(volume("set default v1 user.a=d user.b=e"), "");
    QCOMPARE(volume("get default v1 user.a"), "d");
    QCOMPARE(volume("unset default v1 user.a"), "");
    QCOMPARE(volume("get default v1 user.a"), "");
    QCOMPARE(volume("edit default v1", "description: Edited\nconfig:\n  user.c: \"3\"\n"), "");
    const QByteArray shown = volume("show default v1");
    QVERIFY2(shown.startsWith("config:\n  user.c: \"3\"\ndescription: Edited\nname: v1\ntype: custom\nused_by: []\nlocation: none\n"
                              "content_type: filesystem\nproject: default\ncreated_at: 20"),
             shown);
    QCOMPARE(volume("rename default v1 v2"), "Renamed storage volume from \"v1\" to \"v2\"");
    const QByteArray info = volume("info default v2");
    QVERIFY2(info.startsWith("Name: v2\nDescription: Edited\nType: custom\nContent type: filesystem\nUsage: "), info);
    QCOMPARE(volume("delete default v2"), "Storage volume v2 deleted");
    QCOMPARE(names("default"), "");
}

void TestLxcVolumes::snapshotsAreMadeAndChanged()
{
    QCOMPARE(volume("create default v1"), "Storage volume v1 created");
    QCOMPARE(volume("snapshot default v1"), "");
    QCOMPARE(volume("snapshot default v1 good"), "");
    QCOMPARE(volume("snapshot default v1 good --reuse"), "");
    QCOMPARE(volume("snapshot default v1 kept --no-expiry"), "");
    QCOMPARE(names("default"), "v1\nv1/snap0\nv1/good\nv1/kept");
    const QByteArray info = volume("info default v1");
    QVERIFY2(info.contains("Snapshots:\n+-------+-------------+------------+\n| NAME  | DESCRIPTION | EXPIRES AT |\n"
                           "+-------+-------------+------------+\n| good  |             |            |\n"),
             info);
    QCOMPARE(field("default v1/good", "expires_at"), "null");
    QCOMPARE(volume("edit default v1/good", "description: Edited\nexpires_at: 2050-01-02T03:04:05Z\n"), "");
    QCOMPARE(field("default v1/good", "description"), "Edited");
    QCOMPARE(field("default v1/good", "expires_at"), "2050-01-02T03:04:05Z");
    QVERIFY2(volume("info default v1").contains("| good  | Edited      | 2050/01/02 "), volume("info default v1"));
    QCOMPARE(volume("rename default v1/good v1/better"), "Renamed storage volume from \"v1/good\" to \"better\"");
    QCOMPARE(volume("restore default v1 better"), "");
    QCOMPARE(volume("delete default v1/better"), "Storage volume v1/better deleted");
    QCOMPARE(names("default"), "v1\nv1/snap0\nv1/kept");
    QCOMPARE(volume("set default v1 snapshots.expiry=2w snapshots.schedule=@daily"), "");
    QCOMPARE(volume("snapshot default v1 short"), "");
    QVERIFY2(field("default v1/short", "expires_at").startsWith("20"), field("default v1/short", "expires_at"));
    QCOMPARE(volume("snapshot default v1 long --no-expiry"), "");
    QCOMPARE(field("default v1/long", "expires_at"), "null");
    QCOMPARE(volume("delete default v1"), "Storage volume v1 deleted");
}

void TestLxcVolumes::copiesGoWhereTheyAreSent()
{
    const QByteArray copied = "Storage volume copied successfully!";
    QCOMPARE(storage("create p1 dir"), "Storage pool p1 created");
    QCOMPARE(volume("create default v1 user.a=b"), "Storage volume v1 created");
    QCOMPARE(volume("snapshot default v1 s0"), "");
    QCOMPARE(volume("copy default/v1 default/v2"), copied);
    QCOMPARE(volume("copy default/v1 default/v3 --volume-only"), copied);
    QCOMPARE(volume("copy default/v1/s0 default/v4"), copied);
    QCOMPARE(names("default"), "v1\nv1/s0\nv2\nv2/s0\nv3\nv4");
    QCOMPARE(volume("get default v2 user.a"), "b");
    QCOMPARE(volume("copy default/v1 p1/v1"), copied);
    QCOMPARE(volume("copy default/v1 p1/v2 --volume-only"), copied);
    QCOMPARE(volume("copy default/v1 p1/v3 --mode=push"), copied);
    QCOMPARE(volume("copy default/v1 p1/v4 --mode=relay"), copied);
    QCOMPARE(names("p1"), "v1\nv1/s0\nv2\nv3\nv3/s0\nv4\nv4/s0");
    QCOMPARE(volume("snapshot default v1 s1"), "");
    QCOMPARE(volume("delete default v1/s0"), "Storage volume v1/s0 deleted");
    QCOMPARE(volume("copy default/v1 p1/v1 --refresh"), copied);
    QCOMPARE(volume("copy default/v1 default/v2 --refresh"), copied);
    QCOMPARE(volume("copy default/v1 default/v3 --refresh --volume-only"), copied);
    QCOMPARE(names("p1"), "v1\nv1/s1\nv2\nv3\nv3/s0\nv4\nv4/s0");
    QCOMPARE(names("default"), "v1\nv1/s1\nv2\nv2/s1\nv3\nv4");
    for (const char *each : {"delete default v1", "delete default v2", "delete default v3", "delete default v4", "delete p1 v1",
                             "delete p1 v2", "delete p1 v3", "delete p1 v4"})
        QVERIFY2(volume(each).endsWith(" deleted"), each);
    QCOMPARE(storage("delete p1"), "Storage pool p1 deleted");
}

void TestLxcVolumes::volumesMove()
{
    const QByteArray moved = "Storage volume moved successfully!";
    QCOMPARE(storage("create p1 dir"), "Storage pool p1 created");
    QCOMPARE(volume("create default v1"), "Storage volume v1 created");
    QCOMPARE(volume("snapshot default v1 s0"), "");
    QCOMPARE(volume("move default/v1 p1/v2"), moved);
    QCOMPARE(names("default"), "");
    QCOMPARE(volume("move p1/v2 p1/v3"), moved);
    QCOMPARE(names("p1"), "v3\nv3/s0");
    QCOMPARE(volume("delete p1 v3"), "Storage volume v3 deleted");
    QCOMPARE(storage("delete p1"), "Storage pool p1 deleted");
}

void TestLxcVolumes::guestsAndProfilesGetThem()
{
    QCOMPARE(volume("create default v1"), "Storage volume v1 created");
    must({"create", "busybox", "t1"});
    QCOMPARE(volume("attach default v1 t1 /data"), "");
    QCOMPARE(volume("attach default v1 t1 again /again"), "");
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo x > /data/x; ls /again"}), "x");
    QCOMPARE(volume("list default type=custom -f csv"), "custom,v1,,filesystem,1");
    const QByteArray used = volume("delete default v1");
    QVERIFY2(used.contains("is used by /1.0/instances/t1"), used);
    must({"stop", "--force", "t1"});
    QCOMPARE(volume("detach default v1 t1 again"), "");
    QCOMPARE(volume("detach default v1 t1"), "");
    QCOMPARE(volume("attach-profile default v1 default /data"), "");
    QVERIFY2(volume("show default v1").contains("used_by:\n- /1.0/instances/t1\n- /1.0/profiles/default"), volume("show default v1"));
    QCOMPARE(volume("detach-profile default v1 default"), "");
    QCOMPARE(volume("delete default v1"), "Storage volume v1 deleted");
}

void TestLxcVolumes::rootDisksAreShown()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s0"});
    QCOMPARE(volume("list default type=container -f csv -c tnu"), "container,t1,1\ncontainer (snapshot),t1/s0,0");
    QVERIFY2(volume("info default container/t1").contains("\n| s0   |             |            |"), volume("info default container/t1"));
    QCOMPARE(field("default container/t1/s0", "name"), "t1/s0");
    const QByteArray refused = volume("delete default container/t1");
    QVERIFY2(refused.contains("belongs to its instance"), refused);
}

void TestLxcVolumes::otherProjectsHaveTheirOwn()
{
    m_box.stopDaemon();
    RUN_OK(run({"python3", "-c",
                "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
                "db.execute(\"INSERT OR IGNORE INTO projects (name, description, created_at) VALUES ('p', '', 0)\"); db.commit()",
                m_box.stateDir() + "/lxmgr.db"}));
    QVERIFY(m_box.startDaemon());
    QCOMPARE(volume("create default v1 --project p"), "Storage volume v1 created");
    QCOMPARE(volume("snapshot default v1 s0 --project p"), "");
    QCOMPARE(names("default"), "");
    QCOMPARE(volume("copy default/v1 default/v2 --project p --target-project default"), "Storage volume copied successfully!");
    QCOMPARE(names("default"), "v2\nv2/s0");
    QCOMPARE(volume("move default/v1 default/v3 --project p --target-project default"), "Storage volume moved successfully!");
    QCOMPARE(volume("list default type=custom --project p -f csv -c n"), "");
    QCOMPARE(volume("move default/v2 default/v2 --target-project p"), "Storage volume moved successfully!");
    QCOMPARE(volume("list default type=custom --all-projects -f csv -c en"), "default,v3\ndefault,v3/s0\np,v2\np,v2/s0");
    const QByteArray refused = volume("copy default/v3 default/v4 --target-project nobody");
    QVERIFY2(refused.contains("Project not found"), refused);
    QVERIFY2(volume("move default/v3 default/v4 --target-project nobody").contains("Project not found"), "moved");
    QCOMPARE(volume("delete default v2 --project p"), "Storage volume v2 deleted");
    QCOMPARE(volume("delete default v3"), "Storage volume v3 deleted");
    must({"undo", "delete", "--all", "--project", "p"});
}

void TestLxcVolumes::whatCannotBeIsTold_data()
{
    QTest::addColumn<QByteArray>("words");
    QTest::addColumn<QByteArray>("reason");
    const auto row = [](const char *words, const char *reason) { QTest::newRow(words) << QByteArray(words) << QByteArray(reason); };
    row("create nowhere v1", "Error: Storage pool not found");
    row("create default v1 --type block", "volumes of content type 'block' are not supported");
    row("create default v1 bad.key=1", "unknown storage volume key 'bad.key'");
    row("show default nobody", "Error: Storage volume not found: 'nobody'");
    row("show default nobody/s0", "Error: Storage volume not found: 'nobody'");
    row("restore default nobody s0", "Error: Storage volume not found: 'nobody'");
    row("delete default nobody", "Error: Storage volume not found: 'nobody'");
    row("copy default/nobody default/v2", "Error: Storage volume not found: 'nobody'");
}

void TestLxcVolumes::whatCannotBeIsTold()
{
    QFETCH(QByteArray, words);
    QFETCH(QByteArray, reason);
    const Run refused = lxc(QStringList{"storage", "volume"} + QString(words).split(' '));
    QVERIFY2(refused.status == 1 && refused.err.contains(reason), refused.told());
}

QTEST_GUILESS_MAIN(TestLxcVolumes)
#include "tst_lxc_volumes.moc"

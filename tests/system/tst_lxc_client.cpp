// The unmodified `lxc` client of LXD 5.0 (package lxd-client) drives our daemon.
#include "support/system_test.h"

#include <QStandardPaths>

using namespace lxmgr::test;

class TestLxcClient : public SystemTest
{
    Q_OBJECT
private slots:
    void listShowsOurs();
    void launchExecStopDelete();
    void exitStatusIsPassedOn();
    void infoAndConfig();
    void networks();
    void filesGoBothWays();
    void snapshots();
    void publish();
    void exportAndImport();
    void volumesAreExportedAndImported();
    void profiles();
    void errorsAreRead();
    void projectsAndMoves();

private:
    void prepare() override
    {
        if (QStandardPaths::findExecutable("lxc").isEmpty())
            QSKIP("needs the lxc client of package lxd-client");
        // The folders for custom volumes come with the first one and stay.
        must({"storage", "volume", "create", "default", "first"});
        must({"storage", "volume", "delete", "default", "first", "--purge"});
    }
    Run lxc(const QStringList &args, const QByteArray &input = {});
};

Run TestLxcClient::lxc(const QStringList &args, const QByteArray &input)
{
    RunOptions options;
    options.environment = m_box.environment();
    options.environment.insert("LXD_SOCKET", m_box.socket());
    options.environment.insert("LXD_CONF", m_box.directory() + "/lxc-conf");
    options.input = input;
    options.timeoutMs = 120000;
    return run(QStringList{"lxc"} + args, options);
}

void TestLxcClient::listShowsOurs()
{
    launch("t1");
    const Run list = lxc({"list", "-f", "csv", "-c", "ns"});
    RUN_OK(list);
    QCOMPARE(list.out.trimmed(), QByteArray("t1,RUNNING"));
    const Run table = lxc({"list"});
    RUN_OK(table);
    QVERIFY2(table.out.contains("CONTAINER"), table.told());
}

void TestLxcClient::launchExecStopDelete()
{
    // It asks its "local" remote for the alias, which must be an image of the store.
    const QByteArray print = m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n').first();
    const Run launched = lxc({"launch", QString::fromUtf8(print), "t1"});
    RUN_OK(launched);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    const Run hostname = lxc({"exec", "t1", "--", "hostname"});
    RUN_OK(hostname);
    QCOMPARE(hostname.out.trimmed(), QByteArray("t1"));
    RUN_OK(lxc({"stop", "t1", "--timeout", "20"}));
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    RUN_OK(lxc({"delete", "t1"}));
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    RUN_OK(lxc({"launch", "busybox", "t2"}));
    RUN_OK(lxc({"delete", "-f", "t2"}));
}

void TestLxcClient::exitStatusIsPassedOn()
{
    launch("t1");
    RUN_ENDS(lxc({"exec", "t1", "--", "sh", "-c", "exit 42"}), 42);
    RUN_ENDS(lxc({"exec", "t1", "--", "false"}), 1);
    const Run piped = lxc({"exec", "t1", "--", "cat"}, QByteArray(200'000, 'y'));
    RUN_OK(piped);
    QCOMPARE(piped.out.size(), 200'000);
    Terminal terminal({"lxc", "exec", "t1", "--", "sh", "-c", "tty; exit 5"}, [this] {
        QProcessEnvironment all = m_box.environment();
        all.insert("LXD_SOCKET", m_box.socket());
        all.insert("LXD_CONF", m_box.directory() + "/lxc-conf");
        return all;
    }());
    QVERIFY2(terminal.expect("/dev/pts/"), terminal.seen());
    QCOMPARE(terminal.finish(), 5);
}

void TestLxcClient::infoAndConfig()
{
    launch("t1");
    const Run info = lxc({"info", "t1"});
    RUN_OK(info);
    QVERIFY2(info.out.contains("Status: RUNNING"), info.told());
    RUN_OK(lxc({"config", "set", "t1", "user.from=lxc"}));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.from"}), QByteArray("lxc"));
    RUN_OK(lxc({"image", "list"}));
    RUN_OK(lxc({"profile", "list"}));
    RUN_OK(lxc({"network", "list"}));
    RUN_OK(lxc({"storage", "list"}));
}

void TestLxcClient::networks()
{
    RUN_OK(lxc({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"}));
    RUN_OK(lxc({"network", "set", "net1", "ipv4.nat=true"}));
    QCOMPARE(lxc({"network", "get", "net1", "ipv4.nat"}).out.trimmed(), QByteArray("true"));
    RUN_OK(lxc({"network", "unset", "net1", "ipv4.nat"}));
    QCOMPARE(lxc({"network", "get", "net1", "ipv4.nat"}).out.trimmed(), QByteArray());
    const Run netInfo = lxc({"network", "info", "net1"});
    RUN_OK(netInfo);
    QVERIFY2(netInfo.out.contains("10.77.0.1/24") && netInfo.out.contains("ID: 8000."), netInfo.out);
    RUN_OK(lxc({"network", "list-leases", "net1"}));
    RUN_OK(lxc({"network", "forward", "create", "net1", "198.51.100.1"}));
    RUN_OK(lxc({"network", "forward", "port", "add", "net1", "198.51.100.1", "tcp", "80", "10.77.0.9", "8080"}));
    QVERIFY(lxc({"network", "forward", "show", "net1", "198.51.100.1"}).out.contains("target_port: \"8080\""));
    QVERIFY(lxc({"network", "forward", "list", "net1"}).out.contains("198.51.100.1"));
    RUN_OK(lxc({"network", "forward", "port", "remove", "net1", "198.51.100.1", "tcp", "80"}));
    RUN_OK(lxc({"network", "forward", "delete", "net1", "198.51.100.1"}));
    RUN_OK(lxc({"network", "acl", "create", "web"}));
    RUN_OK(lxc({"network", "acl", "rule", "add", "web", "ingress", "action=allow", "protocol=tcp", "destination_port=80"}));
    QVERIFY(lxc({"network", "acl", "show", "web"}).out.contains("destination_port: \"80\""));
    RUN_OK(lxc({"network", "set", "net1", "security.acls=web"}));
    QVERIFY(!lxc({"network", "acl", "delete", "web"}).ok());
    RUN_OK(lxc({"network", "rename", "net1", "net2"}));
    RUN_OK(lxc({"network", "delete", "net2"}));
    RUN_OK(lxc({"network", "acl", "rename", "web", "www"}));
    RUN_OK(lxc({"network", "acl", "delete", "www"}));
}

void TestLxcClient::filesGoBothWays()
{
    launch("t1");
    RUN_OK(lxc({"file", "push", "-", "t1/root/x"}, "by lxc"));
    const Run pulled = lxc({"file", "pull", "t1/root/x", "-"});
    RUN_OK(pulled);
    QCOMPARE(pulled.out, QByteArray("by lxc"));
}

void TestLxcClient::snapshots()
{
    launch("t1");
    RUN_OK(lxc({"file", "push", "-", "t1/state"}, "old"));
    RUN_OK(lxc({"snapshot", "t1", "good"}));
    RUN_OK(lxc({"snapshot", "t1", "--no-expiry"}));
    RUN_OK(lxc({"file", "push", "-", "t1/state"}, "new"));
    const Run info = lxc({"info", "t1"});
    RUN_OK(info);
    QVERIFY2(info.out.contains("good") && info.out.contains("snap0"), info.told());
    RUN_OK(lxc({"restore", "t1", "good"}));
    QCOMPARE(lxc({"file", "pull", "t1/state", "-"}).out, QByteArray("old"));
    RUN_OK(lxc({"rename", "t1/good", "t1/better"}));
    RUN_OK(lxc({"config", "show", "t1/better"}));
    RUN_OK(lxc({"delete", "t1/better"}));
    QCOMPARE(m_box.text({"snapshot", "list", "t1", "-c", "n", "-f", "csv"}), QByteArray("snap0"));
}

void TestLxcClient::publish()
{
    launch("t1");
    RUN_OK(lxc({"file", "push", "-", "t1/file"}, "published"));
    RUN_OK(lxc({"snapshot", "t1", "good"}));
    RUN_OK(lxc({"publish", "t1/good", "--alias", "pub", "--compression", "none", "role=web"}));
    RUN_OK(lxc({"launch", "pub", "t2"}));
    QCOMPARE(lxc({"file", "pull", "t2/file", "-"}).out, QByteArray("published"));
    const Run running = lxc({"publish", "t1"}); // it asks for --force itself
    QVERIFY2(running.status == 1 && running.err.contains("--force"), running.told());
    RUN_OK(lxc({"publish", "t1", "--force", "--alias", "pub2"}));
    const Run info = lxc({"image", "info", "pub"});
    QVERIFY2(info.out.contains("role: web"), info.told());
    for (const char *name : {"pub", "pub2"})
        RUN_OK(lxc({"image", "delete", name}));
}

void TestLxcClient::exportAndImport()
{
    launch("t1");
    RUN_OK(lxc({"file", "push", "-", "t1/file"}, "exported"));
    RUN_OK(lxc({"snapshot", "t1", "good"}));
    const QString whole = m_box.directory() + "/whole.tar.gz", alone = m_box.directory() + "/alone.tar.zst";
    RUN_OK(lxc({"export", "t1", whole}));
    RUN_OK(lxc({"export", "t1", alone, "--instance-only", "--compression", "zstd"}));
    QCOMPARE(m_box.text({"export", "list", "t1"}).count("backup"), 0); // it deletes what it has fetched
    RUN_OK(lxc({"import", whole, "t2"}));
    RUN_OK(lxc({"import", alone, "t3", "--storage", "default"}));
    QCOMPARE(lxc({"file", "pull", "t2/good/file", "-"}).status, 1);
    QCOMPARE(lxc({"file", "pull", "t2/file", "-"}).out, QByteArray("exported"));
    QCOMPARE(lxc({"file", "pull", "t3/file", "-"}).out, QByteArray("exported"));
    QCOMPARE(m_box.text({"snapshot", "list", "t2", "-c", "n", "-f", "csv"}), QByteArray("good"));
    QCOMPARE(m_box.text({"snapshot", "list", "t3", "-c", "n", "-f", "csv"}), QByteArray());
    const Run refused = lxc({"export", "t1", whole, "--optimized-storage"});
    QVERIFY2(refused.status == 1 && refused.err.contains("optimized_storage"), refused.told());
    for (const QString &file : {whole, alone})
        QFile::remove(file);
}

void TestLxcClient::volumesAreExportedAndImported()
{
    const QString file = m_box.directory() + "/v1.tar.gz";
    must({"storage", "volume", "create", "default", "v1", "user.note=kept"});
    must({"storage", "volume", "snapshot", "create", "default", "v1", "s0"});
    RUN_OK(lxc({"storage", "volume", "export", "default", "v1", file}));
    QCOMPARE(m_box.text({"storage", "volume", "export", "list", "default", "v1", "-f", "csv"}), QByteArray());
    RUN_OK(lxc({"storage", "volume", "import", "default", file, "v2"}));
    QCOMPARE(m_box.text({"storage", "volume", "get", "default", "v2", "user.note"}), QByteArray("kept"));
    QCOMPARE(m_box.text({"storage", "volume", "snapshot", "list", "default", "v2", "-c", "n", "-f", "csv"}), QByteArray("s0"));
    for (const char *volume : {"v1", "v2"})
        must({"storage", "volume", "delete", "default", volume});
    QFile::remove(file);
}

void TestLxcClient::profiles()
{
    RUN_OK(lxc({"profile", "create", "web"}));
    RUN_OK(lxc({"profile", "set", "web", "limits.memory=64MiB"}));
    RUN_OK(lxc({"profile", "set", "web", "user.note", "old form"}));
    launch("t1", {"-p", "default", "-p", "web"});
    RUN_OK(lxc({"profile", "set", "web", "security.nesting=true"})); // answered with what needs a restart
    QCOMPARE(lxc({"profile", "get", "web", "limits.memory"}).out.trimmed(), QByteArray("64MiB"));
    RUN_OK(lxc({"profile", "edit", "web"}, "config:\n  limits.memory: 128MiB\ndescription: edited\ndevices: {}\n"));
    const Run show = lxc({"profile", "show", "web"});
    QVERIFY2(show.out.contains("limits.memory: 128MiB") && show.out.contains("description: edited") && show.out.contains("/1.0/instances/t1"), show.told());
    RUN_OK(lxc({"profile", "unset", "web", "limits.memory"}));
    RUN_OK(lxc({"profile", "device", "add", "web", "data", "disk", "source=/tmp", "path=/data", "readonly=true"}));
    QCOMPARE(inside("t1", {"sh", "-c", "test -d /data && echo there"}), QByteArray("there"));
    RUN_OK(lxc({"profile", "device", "remove", "web", "data"}));
    RUN_OK(lxc({"profile", "copy", "web", "shop"}));
    RUN_OK(lxc({"profile", "rename", "shop", "store"}));
    RUN_OK(lxc({"profile", "add", "t1", "store"}));
    RUN_OK(lxc({"profile", "remove", "t1", "store"}));
    RUN_OK(lxc({"profile", "assign", "t1", "default"}));
    RUN_OK(lxc({"profile", "delete", "web"}));
    RUN_OK(lxc({"profile", "delete", "store"}));
    QCOMPARE(m_box.text({"profile", "list", "-f", "csv", "-c", "n"}), QByteArray("default"));
}

void TestLxcClient::errorsAreRead()
{
    const Run missing = lxc({"start", "nobody"});
    QVERIFY2(missing.status == 1 && missing.err.contains("Error: ") && missing.err.toLower().contains("not found"), missing.told());
}

void TestLxcClient::projectsAndMoves()
{
    RUN_OK(lxc({"project", "create", "team", "-c", "features.images=false", "-c", "features.profiles=false", "-c", "features.storage.volumes=false", "-c",
                "limits.memory=200MiB"}));
    RUN_OK(lxc({"storage", "volume", "create", "default", "shared", "--project", "team"}));
    QVERIFY(lxc({"storage", "volume", "list", "default", "-f", "csv", "-c", "n"}).out.contains("shared"));
    RUN_OK(lxc({"init", "busybox", "t0", "--project", "team", "-c", "limits.memory=10MiB"}));
    RUN_OK(lxc({"storage", "volume", "attach", "default", "shared", "t0", "/mnt", "--project", "team"}));
    const Run shared = lxc({"storage", "volume", "show", "default", "shared"});
    QVERIFY2(shared.out.contains("/1.0/instances/t0?project=team"), shared.told());
    RUN_OK(lxc({"delete", "t0", "--project", "team"}));
    must({"undo", "delete", "--all", "--project", "team"});
    RUN_OK(lxc({"storage", "volume", "delete", "default", "shared", "--project", "team"}));
    launch("t1", {"-c", "limits.memory=100MiB"});
    must({"snapshot", "create", "t1", "s0"});
    must({"stop", "--force", "t1"});
    RUN_OK(lxc({"move", "t1", "--target-project", "team"}));
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    const Run list = lxc({"list", "--project", "team", "-f", "csv", "-c", "nsS"});
    QCOMPARE(list.out.trimmed(), QByteArray("t1,STOPPED,1"));
    const Run info = lxc({"project", "info", "team", "-f", "csv"});
    RUN_OK(info);
    QVERIFY2(info.out.toUpper().contains("MEMORY,200.00MIB,100.00MIB"), info.told());
    const Run more = lxc({"init", "busybox", "t2", "--project", "team", "-c", "limits.memory=101MiB"});
    QVERIFY2(!more.ok() && more.err.contains("limits.memory"), more.told());
    RUN_OK(lxc({"move", "t1", "t2", "--project", "team", "--target-project", "default"}));
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
    RUN_OK(lxc({"project", "delete", "team"}));
}

QTEST_GUILESS_MAIN(TestLxcClient)
#include "tst_lxc_client.moc"

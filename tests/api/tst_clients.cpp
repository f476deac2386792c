// The clients of other managers, unmodified, through their ordinary day on our daemon; one table of what worked.
#include "support/system_test.h"

#include <QFile>
#include <QJsonArray>
#include <QLocalSocket>
#include <QStandardPaths>

#include <functional>

using namespace lxmgr::test;

namespace
{

const QStringList kVerbs = {"launch", "list", "exec", "status", "terminal", "push", "pull", "edit", "config", "device", "profile",
                            "snapshot", "restore", "copy", "publish", "export", "import", "console", "monitor", "template", "rebuild", "project", "trust", "password", "remote", "rest"};

constexpr const char *kHttps = "https://127.0.0.1:8443";
constexpr const char *kPassword = "a password";

QString programOfIncus()
{
    const QString given = qEnvironmentVariable("LXMGR_TEST_INCUS");
    return given.isEmpty() ? QStandardPaths::findExecutable("incus") : given;
}

} // namespace

class TestClients : public SystemTest
{
    Q_OBJECT
private slots:
    void lxc();
    void incus();
    void pylxd();
    void ansible();
    void aSecretIsGoodForOneFetch();
    void sftpOfAStoppedOneEndsBeforeItStarts();
    void figuresAreNamedAsTheClientNamesThem();
    void keysAreDescribed();

public:
    ~TestClients() override { printTable(); }

private:
    void printTable() const;
    void prepare() override;
    /// A folder with client.crt and client.key, which are trusted.
    QString identityOf(const QString &name);
    /// The same of a client that is trusted with nothing.
    QString strangerOf(const QString &name);
    /// Takes back the trust that was given last.
    void forgetLast();
    QProcessEnvironment environment() const;
    Run client(const QStringList &argv, const QByteArray &input = {});
    /// The command-line clients differ in the few words `incus` has changed.
    void goThroughADay(const QString &name, const QString &program, bool isIncus);
    void record(const QString &name, const QString &verb, const QString &outcome) { m_table[name][verb] = outcome; }
    QByteArray failuresOf(const QString &name) const;

    QMap<QString, QMap<QString, QString>> m_table; ///< By client and verb; "ok", or what went wrong.
};

QProcessEnvironment TestClients::environment() const
{
    QProcessEnvironment all = m_box.environment();
    all.insert("LXD_SOCKET", m_box.socket());
    all.insert("INCUS_SOCKET", m_box.socket());
    all.insert("LXD_DIR", m_box.runDir());
    all.insert("LXD_CONF", m_box.directory() + "/lxc-conf");
    all.insert("INCUS_CONF", m_box.directory() + "/incus-conf");
    all.insert("HOME", m_box.directory());
    // The libraries of Python believe who is listed in these; the other clients ask, or are told by the token.
    for (const char *variable : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"})
        all.insert(variable, m_box.directory() + "/server.crt");
    return all;
}

Run TestClients::client(const QStringList &argv, const QByteArray &input)
{
    RunOptions options;
    options.environment = environment();
    options.input = input;
    options.timeoutMs = 60000;
    return run(argv, options);
}

void TestClients::prepare()
{
    must({"config", "set", "core.https_address=127.0.0.1:8443"});
    must({"config", "set", "core.trust_password", kPassword});
    QFile certificate(m_box.directory() + "/server.crt");
    QVERIFY(certificate.open(QIODevice::WriteOnly));
    certificate.write(m_box.rest("GET", "/1.0").body["metadata"].toObject()["environment"].toObject()["certificate"].toString().toUtf8());
}

QString TestClients::identityOf(const QString &name)
{
    RunOptions options;
    options.environment = m_box.environment();
    const QString folder = m_box.directory() + "/identity-" + name;
    options.environment.insert("LXMGR_CONF", folder);
    const Run added = run({Sandbox::program("lxmgr"), "remote", "add", "far", QString::fromUtf8(m_box.text({"config", "trust", "add", name, "-q"}))}, options);
    return added.ok() ? folder : QString::fromUtf8(added.told());
}

QString TestClients::strangerOf(const QString &name)
{
    RunOptions options;
    options.environment = m_box.environment();
    const QString folder = m_box.directory() + "/stranger-" + name;
    options.environment.insert("LXMGR_CONF", folder);
    const Run added = run({Sandbox::program("lxmgr"), "remote", "add", "far", kHttps, "--accept-certificate", "--token", "wrong"}, options);
    return added.err.contains("not authorized") ? folder : QString::fromUtf8(added.told());
}

void TestClients::forgetLast()
{
    const Reply all = m_box.rest("GET", "/1.0/certificates");
    m_box.rest("DELETE", all.body["metadata"].toArray().last().toString().toUtf8());
}

QByteArray TestClients::failuresOf(const QString &name) const
{
    QByteArray text;
    const auto &cells = m_table[name];
    for (auto cell = cells.begin(); cell != cells.end(); ++cell)
        if (cell.value() != "ok")
            text += (name + ": " + cell.key() + ": " + cell.value() + "\n").toUtf8();
    return text;
}

void TestClients::goThroughADay(const QString &name, const QString &program, bool isIncus)
{
    const QString work = m_box.directory() + "/" + name;
    QVERIFY(QDir().mkpath(work + "/tree/a/b"));
    QFile deep(work + "/tree/a/b/deep");
    QVERIFY(deep.open(QIODevice::WriteOnly));
    deep.write(QByteArray(700'000, 'd'));
    deep.close();
    QVERIFY(QFile::link("deep", work + "/tree/a/b/link"));

    QString verb, wrong;
    // Each command must end with `status`, and what it prints must have `text` in it.
    const auto expect = [&](const QStringList &args, const QByteArray &text = {}, const QByteArray &input = {}, int status = 0) {
        const Run result = client(QStringList{program} + args, input);
        if (wrong.isEmpty() && (result.status != status || !(result.out + result.err).contains(text)))
            wrong = QString::fromUtf8(result.told().left(600)).replace('\n', ' ') + " (expected '" + text + "')";
    };
    const auto begin = [&](const char *next) { verb = next; wrong.clear(); };
    const auto end = [&] { record(name, verb, wrong.isEmpty() ? "ok" : wrong); };
    const auto exec = [&](const QString &command, const QByteArray &text, int status = 0) { expect({"exec", "g1", "--", "sh", "-c", command}, text, {}, status); };

    begin("launch");
    expect({"launch", "busybox", "g1"});
    end();
    begin("list");
    expect({"list", "-f", "csv", "-c", "ns"}, "g1,RUNNING");
    expect({"list", "status=running", "-f", "json"}, "\"name\":\"g1\"");
    expect({"info", "g1"}, "g1");
    end();
    begin("exec");
    expect({"exec", "g1", "--", "hostname"}, "g1\n");
    expect({"exec", "g1", "--env", "A=b", "--cwd", "/tmp", "--", "sh", "-c", "echo $A $PWD"}, "b /tmp");
    expect({"exec", "g1", "--", "wc", "-c"}, "200000", QByteArray(200'000, 'y'));
    end();
    begin("status");
    exec("exit 42", {}, 42);
    expect({"exec", "g1", "--", "nothing-of-this-name"}, {}, {}, 127);
    end();
    begin("terminal");
    {
        Terminal terminal({program, "exec", "g1", "--", "sh", "-c", "tty; stty size; exit 5"}, environment(), 91, 33);
        if (!terminal.expect("/dev/pts/") || !terminal.expect("33 91") || terminal.finish() != 5)
            wrong = terminal.seen();
    }
    end();
    begin("push");
    expect({"file", "push", "-", "g1/root/one", "--mode", "600", "--uid", "7", "--gid", "8"}, {}, "by " + name.toUtf8());
    exec("stat -c '%a %u %g' /root/one", "600 7 8");
    expect({"file", "push", "-p", "-", "g1/root/new/folder/two"}, {}, "two");
    expect({"file", "push", "-r", work + "/tree", "g1/root/"});
    exec("readlink /root/tree/a/b/link; wc -c </root/tree/a/b/deep", "deep\n700000");
    end();
    begin("pull");
    expect({"file", "pull", "g1/root/one", "-"}, "by " + name.toUtf8());
    expect({"file", "pull", "g1/root/nothing", "-"}, {}, {}, 1);
    expect({"file", "pull", "-r", "g1/root/tree", work + "/back"});
    if (QFile back(work + "/back/tree/a/b/deep"); wrong.isEmpty() && (!back.open(QIODevice::ReadOnly) || back.readAll().count('d') != 700'000))
        wrong = "what was pulled is not what was pushed";
    end();
    begin("edit");
    expect({"file", "edit", "g1/root/one"}, {}, "edited"); // without a terminal it takes its input
    exec("cat /root/one", "edited");
    expect({"file", "delete", "g1/root/one"});
    exec("test -e /root/one", {}, 1);
    end();
    begin("config");
    expect({"config", "set", "g1", "user.note=" + name});
    expect({"config", "get", "g1", "user.note"}, name.toUtf8());
    expect({"config", "set", "g1", "limits.memory=64MiB"});
    expect({"config", "show", "g1"}, "limits.memory: 64MiB");
    expect({"config", "unset", "g1", "limits.memory"});
    expect({"config", "set", "g1", "limits.memory=abc"}, "limits.memory", {}, 1);
    end();
    begin("device");
    expect({"config", "device", "add", "g1", "data", "disk", "source=/tmp", "path=/data", "readonly=true"});
    exec("test -d /data && echo there", "there");
    expect({"config", "device", "remove", "g1", "data"});
    end();
    begin("profile");
    expect({"profile", "create", "p-" + name});
    expect({"profile", "edit", "p-" + name}, {}, "config:\n  user.a: b\ndescription: edited\ndevices: {}\n");
    expect({"profile", "show", "p-" + name}, "user.a: b");
    expect({"profile", "add", "g1", "p-" + name});
    expect({"profile", "remove", "g1", "p-" + name});
    expect({"profile", "delete", "p-" + name});
    end();
    begin("snapshot");
    exec("echo old >/root/state", {});
    expect(isIncus ? QStringList{"snapshot", "create", "g1", "s1"} : QStringList{"snapshot", "g1", "s1"});
    expect({"info", "g1"}, "s1");
    end();
    begin("restore");
    exec("echo new >/root/state", {});
    expect(isIncus ? QStringList{"snapshot", "restore", "g1", "s1"} : QStringList{"restore", "g1", "s1"});
    exec("cat /root/state", "old");
    end();
    begin("copy");
    expect({"copy", "g1/s1", "g2"});
    expect({"rename", "g2", "g3"});
    expect({"copy", "g1", "g4"});
    expect({"config", "show", "g4"}, "volatile.base_image");
    expect({"delete", "g3", "g4"});
    end();
    begin("publish");
    expect({"publish", "g1/s1", "--alias", "i-" + name, "--compression", "gzip", "role=web"});
    expect({"image", "info", "i-" + name}, "role: web");
    end();
    begin("export");
    expect({"image", "export", "i-" + name, work + "/image"});
    expect({"image", "delete", "i-" + name});
    expect({"export", "g1", work + "/g1.tar.gz"});
    end();
    begin("import");
    expect({"image", "import", work + "/image.tar.gz", "--alias", "again-" + name});
    expect({"init", "again-" + name, "g5"});
    expect({"import", work + "/g1.tar.gz", "g6"});
    expect({"file", "pull", "g6/root/state", "-"}, "old"); // of one that has never run
    expect({"delete", "g5", "g6"});
    expect({"image", "delete", "again-" + name});
    end();
    begin("console");
    expect({"console", "g1", "--show-log"}, "Please press Enter");
    {
        Terminal terminal({program, "console", "g1"}, environment());
        terminal.type("\r");
        if (!terminal.expect("# "))
            wrong = terminal.seen();
        terminal.type("\x01"); // the client looks at the first key of what it reads at once
        QTest::qWait(300);
        terminal.type("q");
        if (terminal.finish() != 0)
            wrong = terminal.seen();
    }
    end();
    begin("monitor");
    {
        Terminal terminal({program, "monitor", "--type=lifecycle", "--format=json"}, environment(), 500);
        if (!Sandbox::eventually([&] { // nothing tells when it has begun to listen
                client({program, "config", "set", "g1", "user.seen=yes"});
                client({program, "config", "unset", "g1", "user.seen"});
                return terminal.expect("instance-updated", 300);
            }))
            wrong = terminal.seen();
        terminal.type("\x03");
        terminal.finish();
    }
    end();
    begin("template");
    expect({"config", "template", "list", "g1"}, "hostname.tpl");
    expect({"config", "template", "create", "g1", "own.tpl"});
    expect({"config", "template", "edit", "g1", "own.tpl"}, {}, "for {{ instance.name }}\n");
    expect({"config", "template", "show", "g1", "own.tpl"}, "for {{ instance.name }}");
    expect({"config", "metadata", "edit", "g1"}, {},
           "architecture: x86_64\ncreation_date: 1\nexpiry_date: 0\nproperties: {color: red}\n"
           "templates:\n  /root/rendered:\n    when: [start]\n    create_only: false\n    template: own.tpl\n    properties: {}\n");
    expect({"config", "metadata", "show", "g1"}, "color: red");
    expect({"restart", "-f", "g1"});
    exec("cat /root/rendered", "for g1");
    expect({"config", "template", "delete", "g1", "own.tpl"});
    expect({"config", "template", "show", "g1", "own.tpl"}, {}, {}, 1);
    end();
    if (isIncus) {
        begin("rebuild");
        expect({"stop", "-f", "g1"});
        expect({"rebuild", "busybox", "g1"}, "snapshots", {}, 1);
        expect({"snapshot", "delete", "g1", "s1"});
        expect({"rebuild", "busybox", "g1"});
        expect({"file", "pull", "g1/root/state", "-"}, {}, {}, 1);
        expect({"start", "g1"});
        expect({"config", "get", "g1", "user.note"}, name.toUtf8());
        exec("hostname", "g1");
        end();
    }
    begin("project");
    expect({"project", "create", "team", "-c", "user.a=b"});
    expect({"project", "list"}, "team");
    expect({"project", "switch", "team"});
    expect({"list", "-f", "csv", "-c", "n"});
    expect({"profile", "list", "-f", "csv"}, "default");
    expect({"info", "g1"}, "not found", {}, 1);
    expect({"project", "switch", "default"});
    expect({"info", "g1"}, "g1");
    expect({"project", "set", "team", "limits.instances=1"});
    expect({"project", "show", "team"}, "limits.instances: \"1\"");
    expect({"project", "rename", "team", "crew"});
    expect({"project", "delete", "crew"});
    end();
    begin("trust");
    expect(isIncus ? QStringList{"config", "trust", "add", "friend"} : QStringList{"config", "trust", "add", "--name", "friend"}, "friend");
    expect({"config", "trust", "list-tokens"}, "friend");
    expect({"config", "trust", "revoke-token", "friend"});
    expect({"config", "trust", "list-tokens", "-f", "csv"}, "");
    {
        (void)identityOf(name + "-friend");
        expect({"config", "trust", "list"}, "client");
        const QString certificate = m_box.rest("GET", "/1.0/certificates").body["metadata"].toArray().last().toString().section('/', -1);
        expect({"config", "trust", "show", certificate}, "restricted: true");
        expect({"config", "trust", "edit", certificate}, {}, "name: renamed\ntype: client\nrestricted: true\nprojects: [default]\n");
        expect({"config", "trust", "show", certificate}, "name: renamed");
    }
    end();
    if (!isIncus) { // its newer client knows tokens only
        begin("password");
        const QStringList add = {"remote", "add", "pw", kHttps, "--accept-certificate"};
        expect(add + QStringList{"--password=wrong"}, "not authorized", {}, 1);
        expect(add + QStringList{QString("--password=") + kPassword});
        expect({"list", "pw:", "-f", "csv", "-c", "ns"}, "g1,RUNNING");
        expect({"config", "get", "pw:", "core.trust_password"}, "true");
        expect({"remote", "remove", "pw"});
        forgetLast();
        end();
    }
    begin("remote"); // over HTTPS
    expect({"remote", "add", "far", QString::fromUtf8(m_box.text({"config", "trust", "add", name, "-q"}))});
    expect({"remote", "list", "-f", "csv"}, "https://127.0.0.1:8443");
    expect({"list", "far:", "-f", "csv", "-c", "ns"}, "g1,RUNNING");
    expect({"exec", "far:g1", "--", "sh", "-c", "wc -c; exit 3"}, "300000", QByteArray(300'000, 'z'), 3);
    expect({"file", "push", "-", "far:g1/root/far"}, {}, "from far");
    expect({"file", "pull", "far:g1/root/far", "-"}, "from far");
    expect({"copy", "far:g1", "far:g2"});
    expect({"delete", "far:g2"});
    {
        Terminal terminal({program, "exec", "far:g1", "--", "sh", "-c", "tty; stty size; exit 6"}, environment(), 93, 31);
        if (!terminal.expect("/dev/pts/") || !terminal.expect("31 93") || terminal.finish() != 6)
            wrong = terminal.seen();
    }
    expect({"remote", "switch", "far"});
    expect({"list", "-f", "csv", "-c", "n"}, "g1");
    expect({"remote", "switch", "local"});
    expect({"remote", "remove", "far"});
    end();
    begin("rest");
    expect({"network", "list"}, "BRIDGE", {}, 0);
    if (!isIncus || !wrong.isEmpty()) { // LXD's table says "bridge"
        wrong.clear();
        expect({"network", "list"}, "bridge");
    }
    expect({"storage", "volume", "list", "default"}, "g1");
    expect({"warning", "list"});
    expect({"info", "--resources"}, "Memory:");
    expect({"operation", "list"});
    expect({"query", "/1.0/virtual-machines"}, "[]");
    expect({"query", "/1.0/cluster/members"}, "not clustered", {}, 1);
    expect({"delete", "-f", "g1"});
    expect({"list", "-f", "csv"});
    end();
    QDir(work).removeRecursively();
    QDir(m_box.directory() + (isIncus ? "/incus-conf" : "/lxc-conf")).removeRecursively();
    const QByteArray failures = failuresOf(name);
    QVERIFY2(failures.isEmpty(), failures.constData());
}

void TestClients::lxc()
{
    const QString program = QStandardPaths::findExecutable("lxc");
    if (program.isEmpty())
        QSKIP("needs the lxc client of package lxd-client");
    goThroughADay("lxc", program, false);
}

void TestClients::incus()
{
    const QString program = programOfIncus();
    if (program.isEmpty())
        QSKIP("needs the client of package incus-client, in PATH or named by LXMGR_TEST_INCUS");
    goThroughADay("incus", program, true);
}

void TestClients::pylxd()
{
    const QString python = "/usr/bin/python3"; // the one that Debian's packages are for
    if (!client({python, "-c", "import pylxd"}).ok())
        QSKIP("needs package python3-pylxd");
    const QString identity = identityOf("pylxd"), stranger = strangerOf("pylxd");
    const Run day = client({python, LXMGR_SOURCE_DIR "/tests/api/pylxd_day.py", "busybox", kHttps, identity + "/client.crt", identity + "/client.key",
                            stranger + "/client.crt", stranger + "/client.key", kPassword});
    forgetLast();
    RUN_OK(day);
    for (const QByteArray &line : day.out.split('\n'))
        if (kVerbs.contains(line.left(line.indexOf(' ')))) // the library prints warnings of its own
            record("pylxd", line.left(line.indexOf(' ')), line.mid(line.indexOf(' ') + 1));
    QCOMPARE(m_table["pylxd"].size(), 22);
    const QByteArray failures = failuresOf("pylxd");
    QVERIFY2(failures.isEmpty(), failures.constData());
}

void TestClients::ansible()
{
    if (QStandardPaths::findExecutable("ansible").isEmpty() || !client({"ansible-doc", "community.general.lxd_container"}).ok())
        QSKIP("needs package ansible");
    QString url = "unix:" + m_box.socket();
    const auto module = [&](const QString &verb, const QString &name, const QString &json, bool changes) {
        QString with = json;
        with.insert(1, "\"url\": \"" + url + "\", ");
        const Run result = client({"ansible", "localhost", "-c", "local", "-m", "community.general." + name, "-a", with});
        const bool good = result.ok() && result.out.contains(changes ? "CHANGED" : "SUCCESS");
        if (const QString before = m_table["ansible"].value(verb); before.isEmpty() || before == "ok")
            record("ansible", verb, good ? "ok" : QString::fromUtf8(result.told().left(600)).replace('\n', ' '));
    };
    const QString source = R"("source": {"type": "image", "mode": "local", "alias": "busybox"}, "type": "container")";
    module("launch", "lxd_container", R"({"name": "a1", "state": "started", "profiles": ["default"], )" + source + "}", true);
    QCOMPARE(m_box.stateOf("a1"), QByteArray("RUNNING"));
    module("launch", "lxd_container", R"({"name": "a1", "state": "started", "profiles": ["default"], )" + source + "}", false);
    module("config", "lxd_container", R"({"name": "a1", "state": "started", "config": {"user.note": "by ansible"}, "profiles": ["default"], )" + source + "}", true);
    QCOMPARE(m_box.text({"config", "get", "a1", "user.note"}), QByteArray("by ansible"));
    module("device", "lxd_container", R"({"name": "a1", "state": "started", "devices": {"data": {"type": "disk", "source": "/tmp", "path": "/data"}}, "config": {"user.note": "by ansible"}, )" + source + "}", true);
    QCOMPARE(inside("a1", {"sh", "-c", "test -d /data && echo there"}), QByteArray("there"));
    module("profile", "lxd_profile", R"({"name": "ap", "config": {"user.a": "b"}, "description": "by ansible"})", true);
    module("profile", "lxd_profile", R"({"name": "ap", "config": {"user.a": "c"}, "merge_profile": true})", true);
    QCOMPARE(m_box.text({"profile", "get", "ap", "user.a"}), QByteArray("c"));
    module("profile", "lxd_profile", R"({"name": "ap", "new_name": "aq"})", true);
    module("profile", "lxd_profile", R"({"name": "aq", "state": "absent"})", true);
    module("status", "lxd_container", R"({"name": "a1", "state": "frozen"})", true);
    QCOMPARE(m_box.stateOf("a1"), QByteArray("FROZEN"));
    module("status", "lxd_container", R"({"name": "a1", "state": "started"})", true);
    module("status", "lxd_container", R"({"name": "a1", "state": "restarted", "force_stop": true})", true);
    module("status", "lxd_container", R"({"name": "a1", "state": "stopped", "force_stop": true})", true);
    module("project", "lxd_project", R"({"name": "crew", "description": "by ansible"})", true);
    module("project", "lxd_project", R"({"name": "crew", "state": "absent"})", true);
    url = kHttps;
    const QString identity = identityOf("ansible");
    const QString shown = R"("client_cert": ")" + identity + R"(/client.crt", "client_key": ")" + identity + R"(/client.key", )";
    module("remote", "lxd_container", "{" + shown + R"("name": "a1", "state": "started"})", true);
    QCOMPARE(m_box.stateOf("a1"), QByteArray("RUNNING"));
    module("remote", "lxd_container", "{" + shown + R"("name": "a1", "state": "stopped", "force_stop": true})", true);
    const QString stranger = strangerOf("ansible");
    module("password", "lxd_container", R"({"client_cert": ")" + stranger + R"(/client.crt", "client_key": ")" + stranger + R"(/client.key", "trust_password": ")" + kPassword +
                                            R"(", "name": "a1", "state": "started"})", true);
    QCOMPARE(m_box.stateOf("a1"), QByteArray("RUNNING"));
    module("remote", "lxd_container", "{" + shown + R"("name": "a1", "state": "stopped", "force_stop": true})", true);
    forgetLast();
    url = "unix:" + m_box.socket();
    module("rest", "lxd_container", R"({"name": "a1", "state": "absent"})", true);
    QCOMPARE(m_box.stateOf("a1"), QByteArray());
    QDir(m_box.directory() + "/.ansible").removeRecursively();
    const QByteArray failures = failuresOf("ansible");
    QVERIFY2(failures.isEmpty(), failures.constData());
}

void TestClients::aSecretIsGoodForOneFetch()
{
    const QByteArray print = m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n').first();
    const Reply made = m_box.rest("POST", "/1.0/images/" + print + "/secret");
    QCOMPARE(made.status, 202);
    const QJsonObject operation = made.body["metadata"].toObject();
    QCOMPARE(operation["class"].toString(), QString("token"));
    const QByteArray secret = operation["metadata"].toObject()["secret"].toString().toUtf8();
    QCOMPARE(secret.size(), 64);
    const QByteArray image = "/1.0/images/" + print;
    QCOMPARE(m_box.rest("GET", image + "?secret=" + QByteArray(64, 'a')).status, 404);
    QCOMPARE(m_box.rest("GET", image + "?secret=" + secret).status, 200);
    QCOMPARE(m_box.rest("GET", image + "/export?secret=" + secret).status, 200);
    QCOMPARE(m_box.rest("GET", image + "/export?secret=" + secret).status, 404);
    QCOMPARE(m_box.rest("GET", image + "?secret=" + secret).status, 404);
}

void TestClients::sftpOfAStoppedOneEndsBeforeItStarts()
{
    must({"create", "busybox", "g1"});
    QCOMPARE(m_box.rest("GET", "/1.0/instances/g1/sftp").status, 400);
    QCOMPARE(m_box.rest("GET", "/1.0/instances/nobody/sftp").status, 404);
    const auto connect = [&] {
        auto client = std::make_unique<QLocalSocket>();
        client->connectToServer(m_box.socket());
        client->waitForConnected(5000);
        // The first packet right behind the request, as a client that does not wait for the answer sends it.
        client->write("GET /1.0/instances/g1/sftp HTTP/1.1\r\nHost: x\r\nUpgrade: sftp\r\nConnection: Upgrade\r\n\r\n" +
                      QByteArray("\0\0\0\5\1\0\0\0\3", 9));
        return client;
    };
    const auto speaks = [](QLocalSocket &client) {
        QByteArray seen;
        while (!seen.contains("limits@openssh.com") && client.waitForReadyRead(5000))
            seen += client.readAll();
        return seen.startsWith("HTTP/1.1 101 ") && seen.contains("limits@openssh.com");
    };
    const auto stopped = connect();
    QVERIFY(speaks(*stopped));
    must({"start", "g1"});
    QVERIFY(stopped->state() == QLocalSocket::UnconnectedState || stopped->waitForDisconnected(5000));
    const auto running = connect();
    QVERIFY(speaks(*running));
    must({"config", "set", "g1", "user.a=b"});
    QCOMPARE(running->state(), QLocalSocket::ConnectedState);
    must({"stop", "-f", "g1"});
    QVERIFY(running->state() == QLocalSocket::UnconnectedState || running->waitForDisconnected(5000));
    const auto deleted = connect();
    QVERIFY(speaks(*deleted));
    must({"delete", "g1", "--purge"});
    QVERIFY(deleted->state() == QLocalSocket::UnconnectedState || deleted->waitForDisconnected(5000));
}

void TestClients::figuresAreNamedAsTheClientNamesThem()
{
    launch("g1");
    const QByteArray all = m_box.rest("GET", "/1.0/metrics").raw;
    for (const char *name : {"\nincus_cpu_seconds_total{", "\nlxd_procs_total{name=\"g1\"", "\nlxd_memory_MemTotal_bytes{", "\nincus_network_receive_bytes_total{device=\"eth0\""})
        QVERIFY2(all.contains(name), all);
    QVERIFY(all.trimmed().endsWith("# EOF"));
    must({"stop", "-f", "g1"});
    QVERIFY(!m_box.rest("GET", "/1.0/metrics").raw.contains("name=\"g1\""));
}

void TestClients::keysAreDescribed()
{
    const QJsonObject configs = m_box.rest("GET", "/1.0/metadata/configuration").body["metadata"].toObject()["configs"].toObject();
    QVERIFY(configs["instance"].toObject()["limits"].toObject()["keys"].toArray().size() > 5);
    for (const char *object : {"server", "device-disk", "device-nic", "network-bridge", "storage-pool", "storage-volume"})
        QVERIFY2(configs.contains(object), object);
}

void TestClients::printTable() const
{
    QByteArray text = "client ";
    for (const QString &verb : kVerbs)
        text += " " + verb.toUtf8();
    text += "\n";
    for (const QString &client : QStringList{"lxc", "incus", "pylxd", "ansible"}) {
        text += client.leftJustified(8).toUtf8();
        for (const QString &verb : kVerbs) {
            const QString outcome = m_table[client].value(verb);
            text += (outcome.isEmpty() ? QString("-") : outcome == "ok" ? QString("ok") : QString("FAIL")).leftJustified(verb.size() + 1).toUtf8();
        }
        text += "\n";
    }
    std::fputs(text.constData(), stdout);
}

QTEST_GUILESS_MAIN(TestClients)
#include "tst_clients.moc"

// Profiles as an administrator has them: changed under running guests, kept as files, applied and written back.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QRandomGenerator>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

using namespace lxmgr::test;

class TestProfiles : public SystemTest
{
    Q_OBJECT
private slots:
    void oneGoesThroughALife();
    void instancesAreGivenThem();
    void aChangeActsInWhatRuns();
    void whatNeedsARestartIsSaid();
    void devicesAreItsToo();
    void aChangeThatOneCannotTakeChangesNothing_data();
    void aChangeThatOneCannotTakeChangesNothing();
    void backupFilesFollow();
    void changesAreUndone();
    void originsAreShown();
    void foldersAreAppliedInOneStep();
    void whatIsWrongInAFileIsSaidWithItsPlace_data();
    void whatIsWrongInAFileIsSaidWithItsPlace();
    void whatIsAppliedIsWhatIsWrittenBack();
    void shippedOnesWork_data();
    void shippedOnesWork();

private:
    QString folder(const QString &name = "profiles") const { return m_box.directory() + "/" + name; }
    void write(const QString &name, const QByteArray &text)
    {
        QVERIFY(QDir().mkpath(folder()));
        QFile file(folder() + "/" + name);
        QVERIFY(file.open(QIODevice::WriteOnly) && file.write(text) == text.size());
    }
    void dropAll()
    {
        deleteAll();
        for (const QByteArray &name : m_box.text({"profile", "list", "-f", "csv", "-c", "n"}).split('\n'))
            if (name != "default" && !name.isEmpty())
                must({"profile", "delete", QString::fromUtf8(name)});
        QDir(folder()).removeRecursively();
        QDir(folder("exported")).removeRecursively();
    }
    QByteArray refusal(const QStringList &command, const QByteArray &input = {})
    {
        const Run refused = m_box.cli(command, input);
        return refused.ok() ? "it was not refused: " + refused.out : refused.err;
    }
    QJsonObject profile(const QString &name) { return m_box.rest("GET", "/1.0/profiles/" + name.toUtf8()).body["metadata"].toObject(); }
    QByteArray table() { return m_box.text({"query", "/1.0/profiles?recursion=1"}); }
    /// The most memory that the probe can have inside, roughly, in MiB.
    bool canEat(const QString &instance, int mebibytes) { return exec(instance, {"/probe", "eat", QString::number(mebibytes)}).ok(); }
};

void TestProfiles::oneGoesThroughALife()
{
    must({"profile", "create", "web", "limits.memory=64MiB", "user.note=a: b", "--description", "The shops"});
    QCOMPARE(m_box.text({"profile", "get", "web", "limits.memory"}), QByteArray("64MiB"));
    QCOMPARE(m_box.text({"profile", "get", "web", "description", "-p"}), QByteArray("The shops"));
    QVERIFY(refusal({"profile", "create", "web"}).contains("'web' already exists"));
    must({"profile", "set", "web", "limits.processes=9", "limits.cpu=1"});
    must({"profile", "unset", "web", "limits.cpu"});
    QVERIFY(refusal({"profile", "unset", "web", "limits.cpu"}).contains("'limits.cpu' is not set"));
    must({"profile", "copy", "web", "web2"});
    QCOMPARE(profile("web2")["config"], profile("web")["config"]);
    must({"profile", "rename", "web2", "shop"});
    must({"profile", "edit", "shop"}, "config:\n  limits.memory: 32MiB\ndescription: edited\ndevices: {}\n");
    QCOMPARE(profile("shop")["config"].toObject(), (QJsonObject{{"limits.memory", "32MiB"}}));
    QVERIFY(refusal({"profile", "edit", "shop"}, "config:\n  limits.memry: 32MiB\n").contains("limits.memory"));
    must({"profile", "create", "piped", "--file", "-"}, "config:\n  limits.cpu: \"1\"\n");
    QCOMPARE(m_box.text({"profile", "get", "piped", "limits.cpu"}), QByteArray("1"));
    must({"profile", "delete", "web", "shop", "piped"});
    QCOMPARE(m_box.text({"profile", "list", "-f", "csv", "-c", "n"}), QByteArray("default"));
    QVERIFY(refusal({"profile", "delete", "default"}).contains("cannot be deleted"));
    QVERIFY(refusal({"profile", "rename", "default", "x"}).contains("cannot be renamed"));
    QVERIFY(refusal({"profile", "show", "web"}).contains("not found"));
    dropAll();
}

void TestProfiles::instancesAreGivenThem()
{
    must({"profile", "create", "a", "user.x=a"});
    must({"profile", "create", "b", "user.x=b"});
    must({"create", "busybox", "t1"});
    must({"profile", "add", "t1", "a"});
    must({"profile", "add", "t1", "b"});
    QCOMPARE(m_box.text({"config", "get", "-e", "t1", "user.x"}), QByteArray("b")); // the last one counts
    must({"profile", "assign", "t1", "default,b,a"});
    QCOMPARE(m_box.text({"config", "get", "-e", "t1", "user.x"}), QByteArray("a"));
    must({"profile", "remove", "t1", "a"});
    QCOMPARE(m_box.text({"config", "get", "-e", "t1", "user.x"}), QByteArray("b"));
    QVERIFY(refusal({"profile", "remove", "t1", "a"}).contains("has no profile 'a'"));
    QVERIFY(refusal({"profile", "add", "t1", "b"}).contains("already"));
    QVERIFY(refusal({"profile", "add", "t1", "none"}).contains("'none'"));
    QVERIFY(refusal({"profile", "assign", "t1", "b"}).contains("root disk"));
    QVERIFY(refusal({"profile", "assign", "t1", "default", "default"}).contains("twice"));
    QVERIFY(refusal({"profile", "delete", "b"}).contains("used by t1"));
    dropAll();
}

void TestProfiles::aChangeActsInWhatRuns()
{
    must({"profile", "create", "web", "limits.memory=128MiB"});
    launch("t1", {"-p", "default", "-p", "web"});
    launch("t2", {"-p", "default", "-p", "web", "-c", "limits.memory=128MiB"});
    giveProbe("t1");
    giveProbe("t2");
    const int init = m_box.initPid("t1");
    QVERIFY(canEat("t1", 64));
    const Run set = m_box.cli({"profile", "set", "web", "limits.memory=32MiB"});
    RUN_OK(set);
    QCOMPARE(set.err, QByteArray());
    QVERIFY(!canEat("t1", 64));
    QVERIFY(canEat("t2", 64)); // its own key counts more
    must({"profile", "set", "web", "limits.memory=128MiB"});
    QVERIFY(canEat("t1", 64));
    QCOMPARE(m_box.initPid("t1"), init);
    dropAll();
}

void TestProfiles::whatNeedsARestartIsSaid()
{
    must({"profile", "create", "web"});
    launch("t1", {"-p", "default", "-p", "web"});
    must({"create", "busybox", "t2", "-p", "default", "-p", "web"});
    const Run set = m_box.cli({"profile", "set", "web", "security.nesting=true", "limits.kernel.nofile=512", "limits.processes=50"});
    RUN_OK(set);
    QCOMPARE(set.err, QByteArray("Warning: t1 takes limits.kernel.nofile, security.nesting when it is started again\n"));
    const Run own = m_box.cli({"config", "set", "t1", "limits.kernel.nofile=256"});
    RUN_OK(own);
    QVERIFY2(own.err.contains("t1 takes limits.kernel.nofile when"), own.told());
    must({"restart", "--force", "t1"});
    QCOMPARE(inside("t1", {"sh", "-c", "ulimit -n"}), QByteArray("256"));
    dropAll();
}

void TestProfiles::devicesAreItsToo()
{
    must({"profile", "create", "web"});
    QVERIFY(QDir().mkpath(folder("data")));
    must({"profile", "device", "add", "web", "data", "disk", "source=" + folder("data"), "path=/data", "shift=true"});
    QCOMPARE(m_box.text({"profile", "device", "list", "web"}), QByteArray("data"));
    QCOMPARE(m_box.text({"profile", "device", "get", "web", "data", "path"}), QByteArray("/data"));
    must({"profile", "device", "set", "web", "data", "readonly=true"});
    launch("t1", {"-p", "default", "-p", "web"});
    QCOMPARE(exec("t1", {"touch", "/data/x"}).status, 1);
    must({"stop", "--force", "t1"});
    must({"profile", "device", "unset", "web", "data", "readonly"});
    must({"start", "t1"});
    QVERIFY(exec("t1", {"test", "-d", "/data"}).ok());
    // In one that runs a disk comes and goes at once.
    must({"profile", "device", "set", "web", "data", "path=/elsewhere"});
    QVERIFY(exec("t1", {"touch", "/elsewhere/x"}).ok());
    QCOMPARE(exec("t1", {"test", "-e", "/data/x"}).status, 1);
    QVERIFY(QFile::exists(folder("data") + "/x"));
    must({"profile", "device", "remove", "web", "data"});
    QCOMPARE(exec("t1", {"test", "-e", "/elsewhere/x"}).status, 1);
    QVERIFY(refusal({"profile", "device", "remove", "web", "data"}).contains("has no device 'data'"));
    QVERIFY(refusal({"profile", "device", "add", "web", "x", "disk", "path=/x", "pth=/y"}).contains("pth"));
    dropAll();
    QDir(folder("data")).removeRecursively();
}

void TestProfiles::aChangeThatOneCannotTakeChangesNothing_data()
{
    QTest::addColumn<QStringList>("command");
    QTest::addColumn<QByteArray>("why");
    QTest::newRow("a value that is none") << QStringList{"profile", "set", "web", "limits.memory=much"} << QByteArray("'much' is not a size");
    QTest::newRow("a key that is none") << QStringList{"profile", "set", "web", "limits.memry=1GiB"} << QByteArray("limits.memory");
    QTest::newRow("no such CPU") << QStringList{"profile", "set", "web", "limits.cpu=4000-4001"} << QByteArray("t1");
    QTest::newRow("privileges") << QStringList{"profile", "set", "web", "security.privileged=true"} << QByteArray("security.privileged was settled");
    QTest::newRow("a network card for a name that is taken")
        << QStringList{"profile", "device", "add", "web", "eth1", "nic", "nictype=p2p", "host_name=lxmgrbr0"} << QByteArray("instance 't1': device 'eth1': interface");
    QTest::newRow("a disk that is not there") << QStringList{"profile", "device", "add", "web", "data", "disk", "source=/nowhere", "path=/data"} << QByteArray("/nowhere");
    QTest::newRow("a device for a path that is taken")
        << QStringList{"profile", "device", "add", "web", "data", "disk", "pool=default", "path=/"} << QByteArray("root");
}

void TestProfiles::aChangeThatOneCannotTakeChangesNothing()
{
    QFETCH(QStringList, command);
    QFETCH(QByteArray, why);
    must({"profile", "create", "web", "limits.memory=64MiB"});
    launch("t1", {"-p", "default", "-p", "web"});
    const QByteArray before = table();
    const QByteArray told = refusal(command);
    QVERIFY2(told.startsWith("Error: ") && told.contains(why), told);
    QCOMPARE(table(), before);
    QVERIFY(m_box.text({"undo", "list", "-f", "csv"}).isEmpty());
    dropAll();
}

void TestProfiles::backupFilesFollow()
{
    must({"profile", "create", "web", "user.x=one"});
    must({"create", "busybox", "t1", "-p", "default", "-p", "web"});
    const auto backup = [&] {
        QFile file(m_box.stateDir() + "/storage-pools/default/containers/t1/backup.yaml");
        return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
    };
    QVERIFY(backup().contains("user.x: one"));
    must({"profile", "set", "web", "user.x=two"});
    QVERIFY2(backup().contains("user.x: two") && !backup().contains("user.x: one"), backup());
    must({"profile", "rename", "web", "shop"});
    QVERIFY2(backup().contains("name: shop") && !backup().contains("name: web"), backup());
    dropAll();
}

void TestProfiles::changesAreUndone()
{
    must({"profile", "create", "web", "limits.memory=128MiB"});
    launch("t1", {"-p", "default", "-p", "web"});
    giveProbe("t1");
    must({"profile", "set", "web", "limits.memory=32MiB"});
    QVERIFY(!canEat("t1", 64));
    must({"undo", "apply"}); // while it runs
    QCOMPARE(m_box.text({"profile", "get", "web", "limits.memory"}), QByteArray("128MiB"));
    QVERIFY(canEat("t1", 64));
    dropAll();
    must({"undo", "delete", "--all"});
}

void TestProfiles::originsAreShown()
{
    must({"profile", "create", "web", "limits.memory=64MiB", "user.note=two\nlines\n"});
    must({"create", "busybox", "t1", "-p", "default", "-p", "web", "-c", "limits.processes=33"});
    const QByteArray shown = m_box.text({"config", "show", "t1", "--expanded", "--origin"});
    for (const char *line : {"limits.memory: \"64MiB\"  # profile web", "limits.processes: \"33\"  # instance", "# profile web\n  user.note: |",
                             "network: lxmgrbr0  # profile default"})
        QVERIFY2(shown.contains(line), line + QByteArray(" is not in\n") + shown);
    QVERIFY(refusal({"config", "show", "t1", "--origin"}).contains("--expanded"));
    dropAll();
}

void TestProfiles::foldersAreAppliedInOneStep()
{
    must({"profile", "create", "web", "limits.memory=128MiB"});
    must({"profile", "create", "other", "user.kept=yes"});
    launch("t1", {"-p", "default", "-p", "web"});
    giveProbe("t1");
    write("web.yaml", "# a comment\nconfig:\n  limits.memory: 32MiB\ndescription: smaller\n");
    write("db.yaml", "name: db\nconfig:\n  limits.cpu: \"1\"\n");
    write("README", "no profile");
    const QByteArray before = table();
    const QByteArray plan = m_box.text({"profile", "plan", "-f", folder()});
    QVERIFY2(plan.contains("+ db\n    limits.cpu: 1\n") && plan.contains("~ web  (used by t1)\n") &&
                 plan.contains("    limits.memory: 128MiB -> 32MiB\n") && plan.endsWith("1 to create, 1 to change, 0 as they are"),
             plan);
    QCOMPARE(table(), before); // nothing is changed by looking
    QVERIFY(canEat("t1", 64));
    must({"profile", "apply", "-f", folder()});
    QVERIFY(!canEat("t1", 64));
    QCOMPARE(m_box.text({"profile", "get", "db", "limits.cpu"}), QByteArray("1"));
    QCOMPARE(m_box.text({"profile", "get", "other", "user.kept"}), QByteArray("yes")); // what has no file stays
    const QByteArray applied = table();
    QCOMPARE(m_box.text({"profile", "apply", "-f", folder()}), QByteArray());
    QCOMPARE(table(), applied);
    // One that cannot be keeps all of them from being.
    write("db.yaml", "config:\n  limits.cpu: \"2\"\n");
    write("web.yaml", "config:\n  security.privileged: \"true\"\n");
    QVERIFY(refusal({"profile", "plan", "-f", folder()}).contains("security.privileged"));
    QVERIFY(refusal({"profile", "apply", "-f", folder()}).contains("security.privileged"));
    QCOMPARE(table(), applied);
    // Without -f it is the folder of the configuration.
    QVERIFY(refusal({"profile", "plan"}).contains("profiles.d"));
    dropAll();
}

void TestProfiles::whatIsWrongInAFileIsSaidWithItsPlace_data()
{
    QTest::addColumn<QByteArray>("text");
    QTest::addColumn<QByteArray>("why");
    QTest::newRow("key") << QByteArray("config:\n  limits.memry: 1GiB\n") << QByteArray("web.yaml:2:3: unknown configuration key 'limits.memry' (did you mean 'limits.memory'?)");
    QTest::newRow("value") << QByteArray("config:\n  limits.memory: much\n") << QByteArray("web.yaml:2:");
    QTest::newRow("device") << QByteArray("devices:\n  d:\n    type: disc\n") << QByteArray("web.yaml:");
    QTest::newRow("device's key") << QByteArray("devices:\n  d:\n    type: disk\n    pth: /x\n    source: /x\n") << QByteArray("web.yaml:4:5:");
    QTest::newRow("field") << QByteArray("confg: {}\n") << QByteArray("web.yaml:1:1: unknown key 'confg'");
    QTest::newRow("no YAML") << QByteArray("config: [\n") << QByteArray("web.yaml:");
    QTest::newRow("nothing") << QByteArray() << QByteArray("web.yaml");
    QTest::newRow("name") << QByteArray("name: ../x\nconfig: {}\n") << QByteArray("web.yaml");
    QTest::newRow("name of another") << QByteArray("name: db\nconfig: {}\n") << QByteArray("db.yaml already");
    QTest::newRow("alias") << QByteArray("config: &a {}\ndevices: *a\n") << QByteArray("web.yaml:1:");
}

void TestProfiles::whatIsWrongInAFileIsSaidWithItsPlace()
{
    QFETCH(QByteArray, text);
    QFETCH(QByteArray, why);
    write("db.yaml", "config: {}\n");
    write("web.yaml", text);
    for (const char *verb : {"plan", "apply"}) {
        const QByteArray told = refusal({"profile", verb, "-f", folder()});
        QVERIFY2(told.startsWith("Error: ") && told.contains(why), told);
    }
    QCOMPARE(m_box.text({"profile", "list", "-f", "csv", "-c", "n"}), QByteArray("default"));
    dropAll();
}

/// Whatever profiles are applied: planned again there is nothing to do, and so there is for what is written back.
void TestProfiles::whatIsAppliedIsWhatIsWrittenBack()
{
    const QStringList values = {"plain", "with: colon", "# no comment", "\"quoted\"", "'single'", "true", "12", "0x1f", "~", "null", "two\nlines\n", " leading",
                                "trailing ", "grüße ✓", "a\\b", "{a: b}", "[x]", "- item", "&anchor", "*alias", "!tag", "%directive", "line\n\n\nend", "tab\there", "1e3", "2026-01-01"};
    const quint32 seed = qEnvironmentVariableIsSet("LXMGR_TEST_SEED") ? qEnvironmentVariableIntValue("LXMGR_TEST_SEED") : QRandomGenerator::global()->generate() >> 1;
    qInfo("LXMGR_TEST_SEED=%u", seed);
    QRandomGenerator random(seed);
    for (int round = 0; round < 8; ++round) {
        QJsonArray wanted;
        for (int i = 0; i < 3; ++i) {
            QJsonObject config, devices;
            for (int n = random.bounded(5); n > 0; --n)
                config["user.k" + QString::number(n)] = values[random.bounded(values.size())];
            if (random.bounded(2))
                config["limits.memory"] = QString::number(random.bounded(1, 900)) + "MiB";
            if (random.bounded(2))
                config["environment.GREETING"] = "hello  world";
            if (random.bounded(2))
                devices["d" + QString::number(i)] = QJsonObject{{"type", "disk"}, {"source", "/srv/some folder"}, {"path", "/mnt/x y"}, {"required", "false"}};
            if (random.bounded(2))
                devices["gone"] = QJsonObject{{"type", "none"}};
            wanted.append(QJsonObject{{"name", "p" + QString::number(i)}, {"description", values[random.bounded(values.size())]}, {"config", config}, {"devices", devices}});
        }
        const Reply put = m_box.rest("PUT", "/1.0/profiles", QJsonObject{{"profiles", wanted}});
        QVERIFY2(put.status == 200, put.raw);
        for (const QJsonValue &each : wanted) {
            const QJsonObject now = profile(each["name"].toString());
            for (const char *part : {"config", "devices", "description"})
                QCOMPARE(now[part], each[part]);
        }
        QDir(folder("exported")).removeRecursively();
        must({"profile", "export", folder("exported")});
        const QByteArray plan = m_box.text({"profile", "plan", "-f", folder("exported")});
        QVERIFY2(plan == "0 to create, 0 to change, 4 as they are", plan);
        // And into an empty server, as it were.
        const QByteArray before = table();
        must({"profile", "delete", "p0", "p1", "p2"});
        must({"profile", "apply", "-f", folder("exported")});
        QCOMPARE(table(), before);
    }
    dropAll();
}

void TestProfiles::shippedOnesWork_data()
{
    QTest::addColumn<QString>("name");
    for (const QString &file : QDir(Sandbox::sourceDir() + "/profiles").entryList({"*.yaml"}))
        if (file != "default.yaml")
            QTest::newRow(qPrintable(file)) << file.chopped(5);
}

void TestProfiles::shippedOnesWork()
{
    QFETCH(QString, name);
    must({"profile", "create", name, "--from", name});
    must({"profile", "create", "here"});
    // Fewer CPUs than a large one wants are no reason not to try the rest.
    const QByteArray cpus = m_box.text({"profile", "get", name, "limits.cpu"});
    if (cpus.toInt() > QThread::idealThreadCount())
        must({"profile", "set", "here", "limits.cpu=" + QString::number(QThread::idealThreadCount())});
    if (name == "gpu" && QDir("/sys/class/drm").entryList({"card*"}).isEmpty()) { // with cards it is tried in tst_host_devices
        const QByteArray refused = refusal({"launch", "busybox", "t1", "-p", "default", "-p", name});
        QVERIFY2(refused.contains("no graphics card like that is connected"), refused);
        dropAll();
        return;
    }
    // A socket of a user's, here of the one that is 1000 inside as well.
    const QByteArray desktop = (m_box.directory() + "/wayland-0").toUtf8();
    const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto closed = qScopeGuard([&] { ::close(server); });
    if (name == "gui") {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        qstrncpy(address.sun_path, desktop.constData(), sizeof address.sun_path);
        QVERIFY(::bind(server, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 && ::listen(server, 4) == 0);
        QVERIFY(::chown(desktop.constData(), 1000, 1000) == 0 && ::chmod(desktop.constData(), 0700) == 0);
        must({"profile", "device", "set", name, "wayland", "source=" + desktop});
    }
    launch("t1", {"-p", "default", "-p", name, "-p", "here"});
    giveProbe("t1");
    if (name == "gui") {
        const auto dial = [&](const char *user) { return m_box.text({"exec", "t1", "--user", user, "--", "sh", "-c", "/probe ask $WAYLAND_DISPLAY"}); };
        QVERIFY(dial("1001").contains("EACCES"));
        std::thread host([&] {
            const int guest = ::accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
            [[maybe_unused]] const ssize_t told = ::write(guest, "shown", 5);
            ::close(guest);
        });
        const QByteArray seen = dial("1000");
        ::shutdown(server, SHUT_RDWR); // nobody may have come
        host.join();
        QCOMPARE(seen, "shown");
        QCOMPARE(inside("t1", {"sh", "-c", "echo $DISPLAY $PULSE_SERVER"}), "unix:/mnt/gui/x11/X0 unix:/mnt/gui/pulse");
    }
    const auto key = [&](const char *which) { return m_box.text({"profile", "get", name, which}); };
    if (name == "small" || name == "locked-down")
        QVERIFY(!canEat("t1", 600));
    if (!key("limits.processes").isEmpty() && key("limits.processes").toInt() <= 500) {
        const QByteArray got = inside("t1", {"/probe", "forks", "600"});
        QVERIFY2(got.endsWith("EAGAIN") && got.split(' ').first().toInt() <= key("limits.processes").toInt(), got);
    }
    if (name == "docker") // mounts of its own in a user namespace of its own
        QVERIFY(exec("t1", {"unshare", "-Urmpf", "mount", "-t", "proc", "proc", "/proc"}).ok());
    if (name == "locked-down")
        QCOMPARE(inside("t1", {"sh", "-c", "ulimit -c"}), QByteArray("0"));
    if (key("security.protection.delete") == "true") {
        QVERIFY(refusal({"delete", "--force", "t1"}).contains("protect"));
        must({"config", "set", "t1", "security.protection.delete=false"});
    }
    dropAll();
}

QTEST_GUILESS_MAIN(TestProfiles)
#include "tst_profiles.moc"

// Instances as archives, as a user has them: exported, imported here and there, cut, damaged, refused.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QRegularExpression>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace lxmgr::test;

class TestExport : public SystemTest
{
    Q_OBJECT
private slots:
    void anInstanceComesBackWithItsSnapshots_data();
    void anInstanceComesBackWithItsSnapshots();
    void aRunningGuestIsExportedAsItWas();
    void aPausedGuestStaysPaused();
    void whatIsPackedStaysUntilItIs();
    void standardOutputGoesStraightIn();
    void theAnswerIsTheArchive();
    void archivesOfOthersAreImported_data();
    void archivesOfOthersAreImported();
    void devicesNeedAPrivilegedInstance();
    void theOthersImportOurs();
    void twoOfOneNameAreRefused();
    void addressesAreNotGivenTwice();
    void aProfileThatIsNotHereIsNoLoss();
    void poolsAreChosenOrNamed();
    void keysCanBeLeftOut();
    void badArchivesLeaveNothing_data();
    void badArchivesLeaveNothing();
    void whatIsNotSupportedIsNamed();
    void aFailedExportLeavesTheOldFile();
    void oneThatIsCancelledLeavesNothing();
    void anUploadThatFindsNoRoomSaysHowMuch();
    void templatesComeAlong();

private:
    QString path(const QString &name) const { return m_box.directory() + "/" + name; }
    QString sample(const QString &name) const { return Sandbox::sourceDir() + "/tests/data/exports/" + name; }
    QStringList names(const QString &instance);
    QByteArray pulled(const QString &file);
};

QStringList TestExport::names(const QString &instance)
{
    return QString::fromUtf8(m_box.text({"snapshot", "list", instance, "-c", "n", "-f", "csv"}))
        .split('\n', Qt::SkipEmptyParts);
}

QByteArray TestExport::pulled(const QString &file) { return m_box.text({"file", "pull", file, "-"}); }

void TestExport::anInstanceComesBackWithItsSnapshots_data()
{
    QTest::addColumn<QString>("compression");
    for (const char *name : {"", "zstd", "none"})
        QTest::newRow(*name ? name : "as usual") << QString(name);
}

void TestExport::anInstanceComesBackWithItsSnapshots()
{
    QFETCH(QString, compression);
    launch("t1", {"-c", "user.state=first"});
    must({"exec", "t1", "--", "sh", "-c",
          "mkdir -m 1777 /srv; echo one > /srv/a; chown 33:44 /srv/a; chmod 4750 /srv/a; ln /srv/a /srv/b; ln -s "
          "nowhere /srv/l; mkfifo /srv/p; sync"});
    must({"snapshot", "t1", "s0"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /srv/c; rm /etc/hostname; sync"});
    must({"config", "set", "t1", "user.state=second", "limits.processes=77"});
    must({"snapshot", "t1", "s1"});
    must({"exec", "t1", "--", "sh", "-c", "echo three > /srv/c; sync"});
    must({"stop", "--force", "t1"});
    const QStringList how = compression.isEmpty() ? QStringList() : QStringList{"--compression", compression};
    const Run exported = m_box.cli(QStringList{"export", "t1", path("")} + how);
    RUN_OK(exported);
    const QString file = path("t1.tar" + QString(compression.isEmpty() ? ".gz" : compression == "zstd" ? ".zst" : ""));
    QVERIFY2(exported.out.contains(file.toUtf8()) && QFile::exists(file), exported.told());
    const QByteArray mac = m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"});
    must({"delete", "t1"});

    must({"import", file});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    QCOMPARE(names("t1"), (QStringList{"s0", "s1"}));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.state"}), QByteArray("second"));
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.processes"}), QByteArray("77"));
    QCOMPARE(m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"}), mac); // nobody else has it now
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/srv/c"}), QByteArray("three"));
    QCOMPARE(inside("t1", {"stat", "-c", "%a %u %g %h", "/srv/a"}), QByteArray("4750 33 44 2"));
    QCOMPARE(inside("t1", {"stat", "-c", "%a", "/srv"}), QByteArray("1777"));
    QCOMPARE(inside("t1", {"readlink", "/srv/l"}), QByteArray("nowhere"));
    QCOMPARE(exec("t1", {"test", "-p", "/srv/p"}).status, 0);
    must({"restore", "t1", "s0"});
    QCOMPARE(m_box.text({"config", "get", "t1", "user.state"}), QByteArray("first"));
    QCOMPARE(inside("t1", {"cat", "/srv/a"}), QByteArray("one"));
    QCOMPARE(exec("t1", {"test", "-e", "/srv/c"}).status, 1);
    QCOMPARE(exec("t1", {"test", "-e", "/etc/hostname"}).status, 0);
    must({"snapshot", "t1", "s2"});
    QCOMPARE(names("t1"), (QStringList{"s0", "s1", "s2"}));
    QFile::remove(file);
}

void TestExport::aRunningGuestIsExportedAsItWas()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo early > /srv-file; sync"});
    const int init = m_box.initPid("t1");
    must({"export", "t1", path("live.tar.zst"), "--compression", "zstd", "--instance-only"});
    QCOMPARE(m_box.initPid("t1"), init);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QVERIFY(names("t1").isEmpty()); // nothing of the one that was held shows
    must({"import", path("live.tar.zst"), "t2"});
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"cat", "/srv-file"}), QByteArray("early"));
    QVERIFY(names("t2").isEmpty());
    QFile::remove(path("live.tar.zst"));
}

void TestExport::aPausedGuestStaysPaused()
{
    launch("t1");
    must({"pause", "t1"});
    must({"export", "t1", path("paused.tar.gz")});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("FROZEN"));
    must({"resume", "t1"});
    QFile::remove(path("paused.tar.gz"));
}

void TestExport::whatIsPackedStaysUntilItIs()
{
    launch("t1");
    must({"snapshot", "t1", "s0"});
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon({{"LXMGR_FAIL", "export.packed=sleep:5000"}}), m_box.daemonLog());
    QProcess exporting;
    exporting.setProcessEnvironment(m_box.environment());
    exporting.start(Sandbox::program("lxmgr"), {"export", "t1", "-"});
    QVERIFY(exporting.waitForReadyRead(20000)); // it has begun
    must({"stop", "--force", "t1"});             // nobody waits for an export with that
    for (const QStringList &command : {QStringList{"delete", "t1/s0"}, QStringList{"rename", "t1/s0", "t1/s1"}, QStringList{"delete", "t1"},
                                       QStringList{"rename", "t1", "t2"}}) {
        const Run refused = m_box.cli(command);
        RUN_ENDS(refused, 6);
        QVERIFY2(refused.err.contains("being exported"), refused.told());
    }
    // What the clock would delete stays too, and that is not asked over and over.
    const QByteArray soon = QDateTime::currentDateTimeUtc().toString(Qt::ISODate).toUtf8();
    QCOMPARE(m_box.rest("PUT", "/1.0/instances/t1/snapshots/s0", {{"expires_at", QString::fromUtf8(soon)}}).status, 202);
    QVERIFY(exporting.waitForFinished(20000));
    QCOMPARE(exporting.exitCode(), 0);
    QCOMPARE(m_box.daemonLog().count("deleting expired snapshot 's0'"), 1);
    QVERIFY(Sandbox::eventually([this] { return names("t1").isEmpty(); })); // its time is over as soon as it may go
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
}

void TestExport::standardOutputGoesStraightIn()
{
    must({"create", "busybox", "t1", "-c", "user.a=b"});
    const QString client = Sandbox::program("lxmgr");
    RunOptions options;
    options.environment = m_box.environment();
    const Run piped = run({"sh", "-c", client + " export t1 - | " + client + " import - t2"}, options);
    RUN_OK(piped);
    QVERIFY2(piped.out.contains("Imported t2"), piped.told());
    QCOMPARE(m_box.text({"config", "get", "t2", "user.a"}), QByteArray("b"));
}

void TestExport::theAnswerIsTheArchive()
{
    NEEDS("curl", QFile::exists("/usr/bin/curl"));
    must({"create", "busybox", "t1"});
    const QStringList ask{
        "curl", "-s", "-f", "--unix-socket", m_box.socket(), "-H", "Accept: application/octet-stream", "-X", "POST"};
    const Run good = run(ask + QStringList{"-d", R"({"compression_algorithm":"none"})", "-o", path("answer.tar"),
                                           "http://x/1.0/instances/t1/backups"});
    RUN_OK(good);
    const Run list = run({"tar", "-tf", path("answer.tar")});
    RUN_OK(list);
    QVERIFY2(list.out.startsWith("backup/index.yaml\nbackup/container/\n"), list.told());
    // curl knows a chunked answer that was cut off: status 18. It is never a whole one that is too short.
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon({
        {"LXMGR_FAIL", "export.packed=error"}
    }));
    const Run cut = run(ask + QStringList{"-o", path("answer.tar"), "http://x/1.0/instances/t1/backups"});
    RUN_ENDS(cut, 18);
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon());
    const Run missing = run(ask + QStringList{"http://x/1.0/instances/none/backups"});
    RUN_ENDS(missing, 22); // 404
    QFile::remove(path("answer.tar"));
}

void TestExport::archivesOfOthersAreImported_data()
{
    QTest::addColumn<QString>("file");
    QTest::newRow("LXD 5.0.2") << "lxd-5.0.2.tar.gz";
    QTest::newRow("Incus 6.0.4") << "incus-6.0.4.tar.gz";
}

void TestExport::archivesOfOthersAreImported()
{
    QFETCH(QString, file);
    const Run imported = m_box.cli({"import", sample(file)});
    RUN_OK(imported);
    QVERIFY2(imported.err.contains("3 device nodes left out"), imported.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    QCOMPARE(names("t1"), (QStringList{"s0", "s1"}));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.note"}), QByteArray("later"));
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.memory"}), QByteArray("64MiB"));
    QCOMPARE(pulled("t1/etc/app.conf"), QByteArray("third"));
    must({"restore", "t1", "s0"});
    QCOMPARE(pulled("t1/etc/app.conf"), QByteArray("first"));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.note"}), QByteArray("first: 'quoted'"));
    // And out again: what came in is what goes out.
    must({"export", "t1", path("again.tar"), "--compression", "none"});
    const Run list = run({"tar", "-tvf", path("again.tar"), "--numeric-owner"});
    RUN_OK(list);
    QVERIFY2(list.out.contains("1000/65535") && list.out.contains("templates/hostname.tpl") &&
                 list.out.contains("3145728"),
             list.told());
    QFile::remove(path("again.tar"));
}

void TestExport::devicesNeedAPrivilegedInstance()
{
    must({"import", sample("lxd-5.0.2.tar.gz"), "t1", "-c", "security.privileged=true"});
    must({"export", "t1", path("devices.tar"), "--compression", "none"});
    const Run list = run({"tar", "-tvf", path("devices.tar"), "backup/container/rootfs/root/null"});
    RUN_OK(list);
    QVERIFY2(list.out.startsWith("crw-------") && list.out.contains("1,3"), list.told());
    QFile::remove(path("devices.tar"));
}

/// LXD itself takes what we write, and makes of it what it made of its own.
void TestExport::theOthersImportOurs()
{
    NEEDS("lxd", QFile::exists("/usr/bin/lxd") && QFile::exists("/usr/bin/lxc"));
    NEEDS("jq", QFile::exists("/usr/bin/jq"));
    must({"import", sample("lxd-5.0.2.tar.gz"), "t1", "-c", "security.privileged=true"});
    must({"export", "t1", path("ours.tar.gz")});
    const QStringList import{Sandbox::sourceDir() + "/tests/support/peer-export.sh", "import", path("peer")};
    RunOptions options;
    options.timeoutMs = 180000;
    const Run theirs = run(import + QStringList{sample("lxd-5.0.2.tar.gz")}, options);
    const Run ours = run(import + QStringList{path("ours.tar.gz")}, options);
    RUN_OK(theirs);
    RUN_OK(ours);
    // Ours is privileged, as only such an instance can have the device nodes of theirs.
    QCOMPARE(QByteArray(ours.out).replace("\"security.privileged\":\"true\",", ""), theirs.out);
    RUN_OK(run({"rm", "-r", path("peer"), path("ours.tar.gz")}));
}

void TestExport::twoOfOneNameAreRefused()
{
    must({"create", "busybox", "t1"});
    const Run again = m_box.cli({"import", sample("lxd-5.0.2.tar.gz")});
    QVERIFY2(!again.ok() && again.err.contains("already exists") && again.err.contains("<name>"), again.told());
    must({"import", sample("lxd-5.0.2.tar.gz"), "t2"});
    QCOMPARE(names("t2"), (QStringList{"s0", "s1"}));
}

void TestExport::addressesAreNotGivenTwice()
{
    must({"create", "busybox", "t1"});
    must({"export", "t1", path("twin.tar.gz")});
    must({"import", path("twin.tar.gz"), "t2"});
    for (const char *key : {"volatile.eth0.hwaddr", "volatile.uuid", "volatile.eth0.host_name", "volatile.idmap.base"})
        QVERIFY2(m_box.text({"config", "get", "t1", key}) != m_box.text({"config", "get", "t2", key}), key);
    QFile::remove(path("twin.tar.gz"));
}

void TestExport::aProfileThatIsNotHereIsNoLoss()
{
    RUN_OK(run({"curl", "-s", "-f", "--unix-socket", m_box.socket(), "-d",
                R"({"name":"web","config":{"limits.processes":"55"},"devices":{}})", "http://x/1.0/profiles"}));
    must({"create", "busybox", "t1", "-p", "default", "-p", "web"});
    must({"export", "t1", path("web.tar.gz")});
    must({"delete", "t1"});
    QCOMPARE(m_box.rest("DELETE", "/1.0/profiles/web").status, 200);
    const Run imported = m_box.cli({"import", path("web.tar.gz")});
    RUN_OK(imported);
    QVERIFY2(imported.err.contains("profile web is not here"), imported.told());
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.processes"}), QByteArray("55"));
    QFile::remove(path("web.tar.gz"));
}

void TestExport::poolsAreChosenOrNamed()
{
    const Run wrong = m_box.cli({"import", sample("lxd-5.0.2.tar.gz"), "t1", "-s", "nowhere"});
    QVERIFY2(!wrong.ok() && wrong.err.contains("nowhere"), wrong.told());
    must({"import", sample("lxd-5.0.2.tar.gz"), "t1", "-s", "default"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
}

void TestExport::keysCanBeLeftOut()
{
    must({"import", sample("incus-6.0.4.tar.gz"), "t1", "-c", "limits.memory=", "-c", "user.note=mine"});
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.memory"}), QByteArray(""));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.note"}), QByteArray("mine"));
    const Run refused = m_box.cli({"import", sample("incus-6.0.4.tar.gz"), "t2", "-c", "volatile.uuid=x"});
    QVERIFY2(!refused.ok() && refused.err.contains("volatile.uuid"), refused.told());
    const Run unknown = m_box.cli({"import", sample("incus-6.0.4.tar.gz"), "t2", "-c", "limits.unknown=1"});
    QVERIFY2(!unknown.ok() && unknown.err.contains("limits.unknown") && unknown.err.contains("--config"),
             unknown.told());
}

void TestExport::badArchivesLeaveNothing_data()
{
    QTest::addColumn<QString>("change");
    QTest::addColumn<QByteArray>("why");
    QTest::newRow("cut in the middle") << "head -c 8000" << QByteArray("archive");
    QTest::newRow("cut at the end") << "head -c -40" << QByteArray("archive");
    QTest::newRow("cut between two entries") << "gzip -dc | head -c 1048576 | head -c $((512 * 40))" << QByteArray("");
    QTest::newRow("damaged") << "sed 's/x/y/4'" << QByteArray("");
    QTest::newRow("no archive") << "base64" << QByteArray("not a tar archive");
    QTest::newRow("nothing") << "head -c 0" << QByteArray("empty");
}

void TestExport::badArchivesLeaveNothing()
{
    QFETCH(QString, change);
    QFETCH(QByteArray, why);
    RUN_OK(run({"sh", "-c", "cat " + sample("lxd-5.0.2.tar.gz") + " | " + change + " > " + path("bad")}));
    const Run refused = m_box.cli({"import", path("bad")});
    QVERIFY2(!refused.ok() && refused.err.contains("Error: ") && refused.err.contains(why), refused.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray(""));
    QFile::remove(path("bad"));
    must({"import", sample("lxd-5.0.2.tar.gz")}); // the name and everything else is free
}

void TestExport::whatIsNotSupportedIsNamed()
{
    must({"create", "busybox", "t1"});
    for (const auto &[flags, why] : {
             std::pair(QStringList{"--optimized-storage"},
             "optimized_storage"),
             { QStringList{"--compression", "squashfs"},           "squashfs"},
             { QStringList{"--compression", "magic"},              "magic"}
    }) {
        const Run refused = m_box.cli(QStringList{"export", "t1", path("refused")} + flags);
        QVERIFY2(!refused.ok() && refused.err.contains(why), refused.told());
        QVERIFY(!QFile::exists(path("refused")));
    }
    RUN_ENDS(m_box.cli({"export", "none", path("refused")}), 3);
    RUN_ENDS(m_box.cli({"import", path("missing.tar.gz")}), 3);
    QVERIFY(!QFile::exists(path("refused")));
}

void TestExport::aFailedExportLeavesTheOldFile()
{
    must({"create", "busybox", "t1"});
    QFile old(path("kept.tar.gz"));
    QVERIFY(old.open(QIODevice::WriteOnly) && old.write("old") == 3);
    old.close();
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon({
        {"LXMGR_FAIL", "export.packed=error"}
    }));
    const Run failed = m_box.cli({"export", "t1", path("kept.tar.gz")});
    QVERIFY2(!failed.ok(), failed.told());
    QVERIFY(old.open(QIODevice::ReadOnly));
    QCOMPARE(old.readAll(), QByteArray("old"));
    old.close();
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon());
    must({"export", "t1", path("kept.tar.gz")});
    QVERIFY(QFile(path("kept.tar.gz")).size() > 1000);
    QCOMPARE(QDir(m_box.directory()).entryList({"kept*"}), QStringList{"kept.tar.gz"});
    QFile::remove(path("kept.tar.gz"));
}

/// The templates of an instance that came without an image work as those of an image do.
void TestExport::oneThatIsCancelledLeavesNothing()
{
    must({"create", "busybox", "t1"});
    const QString fifo = path("fifo"), file = path("cancelled.tar.gz");
    // A reader that never reads: the packer stands still with its pipe full, and so does the export.
    QCOMPARE(::mkfifo(fifo.toUtf8().constData(), 0600), 0);
    const int reader = ::open(fifo.toUtf8().constData(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    QProcess exporting;
    exporting.setProcessEnvironment(m_box.environment());
    exporting.start(Sandbox::program("lxmgr"), {"export", "t1", fifo, "--compression", "none"});
    QByteArray operation;
    QVERIFY(Sandbox::eventually([&] {
        const QJsonObject all = m_box.rest("GET", "/1.0/operations").body["metadata"].toObject();
        const QJsonArray running = all["running"].toArray();
        operation = running.isEmpty() ? QByteArray() : running.first().toString().toUtf8();
        return !operation.isEmpty();
    }));
    QCOMPARE(m_box.rest("DELETE", operation).status, 200);
    QVERIFY(exporting.waitForFinished(20000));
    QCOMPARE(exporting.exitCode(), 12);
    ::close(reader);
    must({"export", "t1", file}); // nothing holds it
    must({"delete", "t1"});
    QVERIFY(QFile::remove(fifo) && QFile::remove(file));
}

void TestExport::anUploadThatFindsNoRoomSaysHowMuch()
{
    NEEDS("curl", QFile::exists("/usr/bin/curl"));
    const QString small = path("small"), large = path("large");
    QVERIFY(QDir().mkdir(small));
    QCOMPARE(::mount("none", small.toUtf8().constData(), "tmpfs", 0, "size=48m"), 0);
    RUN_OK(run({"truncate", "-s", "100M", large}));
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon({{"LXMGR_DIR", small}}), m_box.daemonLog());
    const QStringList ask{"curl", "-s", "--unix-socket", m_box.socket(), "-H", "Content-Type: application/octet-stream", "-X", "POST"};
    const Run announced = run(ask + QStringList{"--data-binary", "@" + large, "http://x/1.0/instances"});
    const Run chunked = run(ask + QStringList{"-H", "Transfer-Encoding: chunked", "-T", large, "http://x/1.0/instances"});
    m_box.stopDaemon();
    QCOMPARE(::umount(small.toUtf8().constData()), 0);
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QVERIFY(QDir().rmdir(small) && QFile::remove(large));
    QVERIFY2(announced.out.contains("the upload takes 100.00MiB") && announced.out.contains("more than the"), announced.told());
    QVERIFY2(chunked.out.contains("of the upload were stored") && chunked.out.contains("are free at"), chunked.told());
}

void TestExport::templatesComeAlong()
{
    must({"create", "busybox", "t1"});
    must({"export", "t1", path("named.tar.gz")});
    must({"import", path("named.tar.gz"), "t2"});
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"cat", "/etc/hostname"}), QByteArray("t2"));
    QFile::remove(path("named.tar.gz"));
}

QTEST_GUILESS_MAIN(TestExport)
#include "tst_export.moc"

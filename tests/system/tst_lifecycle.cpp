// The life of a guest: made, started, stopped, paused, renamed, deleted, seen in every list format.
#include "support/system_test.h"

#include <QJsonArray>
#include <QJsonDocument>

using namespace lxmgr::test;

class TestLifecycle : public SystemTest
{
    Q_OBJECT
private slots:
    void launchGivesARunningSystemWithItsOwnInit();
    void createDoesNotStart();
    void startOfARunningOneFails();
    void stopIsClean();
    void stopForceEndsAGuestThatDoesNotListen();
    void restartGivesANewInit();
    void pauseHaltsAndResumeGoesOn();
    void rebootInsideRestarts();
    void poweroffInsideStops();
    void renameKeepsFiles();
    void deleteOfARunningOneIsRefused();
    void deleteProtectionHolds();
    void ephemeralGoesWhenItStops();
    void nameIsInventedWhenNoneIsGiven();
    void severalAtOnce();
    void filesLastOverAStop();
    void listSpeaksEveryFormat();
    void infoShowsWhatRuns();
    void backupFileLiesBesideTheInstance();
    void configurationIsGivenAtLaunch();
    void progressIsQuietWhenAsked();
    void consoleLogIsShownByInfo();
};

void TestLifecycle::launchGivesARunningSystemWithItsOwnInit()
{
    launch("t1");
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(inside("t1", {"hostname"}), QByteArray("t1"));
    QCOMPARE(inside("t1", {"cat", "/proc/1/comm"}), QByteArray("init"));
    QCOMPARE(inside("t1", {"id", "-u"}), QByteArray("0"));
    const int pid = m_box.initPid("t1");
    QVERIFY(pid > 0);
    QFile map(QString("/proc/%1/uid_map").arg(pid));
    QVERIFY(map.open(QIODevice::ReadOnly));
    const QList<QByteArray> fields = map.readAll().simplified().split(' ');
    QCOMPARE(fields.size(), 3); // one range
    QCOMPARE(fields[0], QByteArray("0"));
    QVERIFY(fields[1].toULongLong() >= 65536);
    QVERIFY(fields[2].toULongLong() >= 65536);
}

void TestLifecycle::createDoesNotStart()
{
    must({"create", "busybox", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    must({"start", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    must({"stop", "--force", "t1"});
    must({"delete", "t1"});
    must({"init", "busybox", "t2"}); // the old name of create
    QCOMPARE(m_box.stateOf("t2"), QByteArray("STOPPED"));
}

void TestLifecycle::startOfARunningOneFails()
{
    launch("t1");
    const Run again = m_box.cli({"start", "t1"});
    RUN_ENDS(again, 6);
    QVERIFY2(again.err.contains("running"), again.told());
}

void TestLifecycle::stopIsClean()
{
    launch("t1", {"--wait"});
    // init runs its shutdown actions on the way down: what they leave proves that nobody was killed.
    must({"exec", "t1", "--", "sh", "-c", "echo '::shutdown:/bin/touch /was-clean' >> /etc/inittab; kill -HUP 1; sleep 0.2"});
    must({"stop", "t1", "--timeout", "20"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    must({"start", "t1"});
    QCOMPARE(exec("t1", {"test", "-e", "/was-clean"}).status, 0);
}

void TestLifecycle::stopForceEndsAGuestThatDoesNotListen()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "for i in 1 2 3 4 5; do (trap '' TERM INT HUP USR1 USR2; sleep 1000) & done"});
    must({"stop", "--force", "t1"}, {}, 10000);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
}

void TestLifecycle::restartGivesANewInit()
{
    launch("t1");
    const int before = m_box.initPid("t1");
    must({"restart", "--force", "t1"});
    const int after = m_box.initPid("t1");
    QVERIFY(after > 0);
    QVERIFY(before != after);
    QCOMPARE(inside("t1", {"echo", "back"}), QByteArray("back"));
}

void TestLifecycle::pauseHaltsAndResumeGoesOn()
{
    launch("t1");
    giveProbe("t1");
    must({"exec", "t1", "--", "sh", "-c", "/probe count /n >/dev/null 2>&1 </dev/null & exit 0"});
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/n"}).toInt() > 0; }));
    must({"pause", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("FROZEN"));
    const QString file = "t1/n";
    const QByteArray first = m_box.text({"file", "pull", file, "-"});
    QTest::qWait(300);
    QCOMPARE(m_box.text({"file", "pull", file, "-"}), first);
    must({"resume", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/n"}).toInt() > first.toInt(); }));
}

void TestLifecycle::rebootInsideRestarts()
{
    launch("t1", {"--wait"});
    const int before = m_box.initPid("t1");
    (void)exec("t1", {"reboot"}); // its own end may come first
    QVERIFY(Sandbox::eventually([&] {
        const int now = m_box.initPid("t1");
        return now > 0 && now != before;
    }));
    QVERIFY(m_box.becomes("t1", "RUNNING"));
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"hostname"}) == "t1"; }));
}

void TestLifecycle::poweroffInsideStops()
{
    launch("t1", {"--wait"});
    (void)exec("t1", {"poweroff"});
    QVERIFY(m_box.becomes("t1", "STOPPED"));
    must({"start", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
}

void TestLifecycle::renameKeepsFiles()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo kept > /root/file; sync"});
    RUN_ENDS(m_box.cli({"rename", "t1", "t2"}), 6); // a running one keeps its name
    must({"stop", "--force", "t1"});
    must({"rename", "t1", "t2"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"cat", "/root/file"}), QByteArray("kept"));
    QCOMPARE(inside("t2", {"hostname"}), QByteArray("t2"));
}

void TestLifecycle::deleteOfARunningOneIsRefused()
{
    launch("t1");
    const Run refused = m_box.cli({"delete", "t1"});
    RUN_ENDS(refused, 6);
    QVERIFY2(refused.err.contains("--force"), refused.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    must({"delete", "--force", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
}

void TestLifecycle::deleteProtectionHolds()
{
    must({"create", "busybox", "t1", "-c", "security.protection.delete=true"});
    const Run refused = m_box.cli({"delete", "--force", "t1"});
    QVERIFY2(!refused.ok() && refused.err.contains("security.protection.delete"), refused.told());
    must({"config", "set", "t1", "security.protection.delete=false"});
}

void TestLifecycle::ephemeralGoesWhenItStops()
{
    launch("t1", {"--ephemeral"});
    must({"stop", "--force", "t1"});
    QVERIFY(m_box.becomes("t1", ""));
}

void TestLifecycle::nameIsInventedWhenNoneIsGiven()
{
    must({"launch", "busybox"});
    const QList<QByteArray> names = m_box.text({"list", "-f", "csv", "-c", "n"}).split('\n');
    QCOMPARE(names.size(), 1);
    QVERIFY(!names.first().isEmpty());
}

void TestLifecycle::severalAtOnce()
{
    for (const char *name : {"t1", "t2", "t3"})
        must({"create", "busybox", name});
    must({"start", "t1", "t2", "t3"});
    for (const char *name : {"t1", "t2", "t3"})
        QCOMPARE(m_box.stateOf(name), QByteArray("RUNNING"));
    must({"stop", "--force", "--all"});
    for (const char *name : {"t1", "t2", "t3"})
        QCOMPARE(m_box.stateOf(name), QByteArray("STOPPED"));
    must({"delete", "t1", "t2", "t3"});
}

void TestLifecycle::filesLastOverAStop()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo stays > /root/file; rm /etc/inittab.none 2>/dev/null; rm -r /var/empty 2>/dev/null; sync"});
    must({"stop", "--force", "t1"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/root/file"}), QByteArray("stays"));
}

void TestLifecycle::listSpeaksEveryFormat()
{
    must({"create", "busybox", "t1"});
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nst"}), QByteArray("t1,STOPPED,CONTAINER"));
    const QByteArray table = m_box.text({"list"});
    QVERIFY2(table.startsWith("+--") && table.contains("NAME") && table.contains("| t1 "), table);
    const QByteArray compact = m_box.text({"list", "-f", "compact"});
    QVERIFY2(compact.contains("NAME") && !compact.contains('|'), compact);
    const QJsonArray json = QJsonDocument::fromJson(m_box.text({"list", "-f", "json"})).array();
    QCOMPARE(json.size(), 1);
    QCOMPARE(json[0].toObject()["name"].toString(), QString("t1"));
    QCOMPARE(json[0].toObject()["status"].toString(), QString("Stopped"));
    const QByteArray yaml = m_box.text({"list", "-f", "yaml"});
    QVERIFY2(yaml.contains("name: t1"), yaml);
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n", "none"}), QByteArray());
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n", "t"}), QByteArray("t1"));
}

void TestLifecycle::infoShowsWhatRuns()
{
    launch("t1");
    const QByteArray info = m_box.text({"info", "t1"});
    for (const char *part : {"Name: t1", "Status: RUNNING", "Type: container", "PID: "})
        QVERIFY2(info.contains(part), info);
    QVERIFY2(info.contains("Memory (current)"), info);
    RUN_OK(m_box.cli({"info", "--resources"}));
    QVERIFY(m_box.text({"info"}).contains("api_extensions"));
}

void TestLifecycle::backupFileLiesBesideTheInstance()
{
    must({"create", "busybox", "t1", "-c", "limits.processes=77"});
    QFile backup(m_box.stateDir() + "/storage-pools/default/containers/t1/backup.yaml");
    QVERIFY(backup.open(QIODevice::ReadOnly));
    const QByteArray text = backup.readAll();
    QVERIFY2(text.contains("limits.processes") && text.contains("77") && text.contains("t1"), text);
    must({"config", "set", "t1", "limits.processes=78"});
    QFile again(backup.fileName());
    QVERIFY(again.open(QIODevice::ReadOnly));
    QVERIFY(again.readAll().contains("78"));
}

void TestLifecycle::configurationIsGivenAtLaunch()
{
    launch("t1", {"-c", "environment.COLOUR=blue", "-c", "user.note=a b"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo $COLOUR"}), QByteArray("blue"));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.note"}), QByteArray("a b"));
}

void TestLifecycle::progressIsQuietWhenAsked()
{
    const Run quiet = m_box.cli({"-q", "launch", "busybox", "t1"});
    RUN_OK(quiet);
    QCOMPARE(quiet.out + quiet.err, QByteArray());
    const Run plain = m_box.cli({"launch", "busybox", "t2"});
    RUN_OK(plain);
    QVERIFY2(!plain.out.contains('\r') && !plain.err.contains('\r') && !plain.err.contains('\x1b'), plain.told());
}

void TestLifecycle::consoleLogIsShownByInfo()
{
    launch("t1", {"--wait"});
    must({"exec", "t1", "--", "sh", "-c", "echo a-line-on-the-console > /dev/console"});
    // The monitor reads the terminal when it gets to it.
    QVERIFY(Sandbox::eventually([&] { return m_box.text({"console", "t1", "--show-log"}).contains("a-line-on-the-console"); }));
    RUN_OK(m_box.cli({"info", "t1", "--show-log"}));
}

QTEST_GUILESS_MAIN(TestLifecycle)
#include "tst_lifecycle.moc"

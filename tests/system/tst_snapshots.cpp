// Snapshots as a user has them: made, named, listed, restored, expired, made by the clock.
#include "support/system_test.h"

#include <QDateTime>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>

using namespace lxmgr::test;

class TestSnapshots : public SystemTest
{
    Q_OBJECT
private slots:
    void restoreBringsFilesAndDefinitionBack_data();
    void restoreBringsFilesAndDefinitionBack();
    void restoreOfARunningGuestStartsItAgain();
    void aRestoreThatFailsLeavesTheGuestRunning();
    void aRestoreThatCannotBeDoesNotStopTheGuest();
    void singleFilesComeBack_data();
    void singleFilesComeBack();
    void singleFilesThatCannotBeAreNamed();
    void singleFilesCutOffLeaveNothingBeside();
    void mountedOnesAreLookedInto();
    void theOthersOutliveARestore();
    void aGuestRunsOnAfterItsSnapshot();
    void aPausedGuestStaysPaused();
    void restoreOutlivesTheProfile();
    void namesFollowThePattern();
    void aTakenNameIsRefused();
    void reuseReplaces();
    void renameAndDelete();
    void listAndShowSpeakEveryFormat();
    void whatIsNotThereIsNamed();
    void theySurviveARestartOfTheDaemon();
    void renamingTheInstanceTakesThemAlong();
    void expiryDeletes();
    void expiryComesFromTheConfiguration();
    void startupSchedulesKeepTheNewest();
    void theClockMakesThem();
    void aClockThatLeapsAheadDeletesNothing();
    void aSnapshotCutOffLeavesTheGuestRunning();

protected:
    void prepare() override
    {
        // The folders for custom volumes come with the first one and stay.
        must({"storage", "volume", "create", "default", "first"});
        must({"storage", "volume", "delete", "default", "first", "--purge"});
    }

private:
    QStringList names(const QString &instance);
};

QStringList TestSnapshots::names(const QString &instance)
{
    return QString::fromUtf8(m_box.text({"snapshot", "list", instance, "-c", "n", "-f", "csv"})).split('\n', Qt::SkipEmptyParts);
}

void TestSnapshots::restoreBringsFilesAndDefinitionBack_data()
{
    QTest::addColumn<bool>("running");
    QTest::newRow("made while it ran") << true;
    QTest::newRow("made while it stood") << false;
}

void TestSnapshots::restoreBringsFilesAndDefinitionBack()
{
    QFETCH(bool, running);
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "mkdir /srv; echo one > /srv/a; chmod 640 /srv/a; chown 33:44 /srv/a; ln /srv/a /srv/b; rm /etc/hostname; sync"});
    must({"config", "set", "t1", "user.state=old"});
    if (!running)
        must({"stop", "--force", "t1"});
    must({"snapshot", "create", "t1", "good"});
    must({"config", "set", "t1", "user.state=new", "limits.processes=99"});
    must({"config", "set", "t1", "-p", "description=changed"});
    if (!running)
        must({"start", "t1"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /srv/a; rm /srv/b; mkdir /srv/new; touch /etc/hostname; rm -r /etc/init.d; sync"});
    const QByteArray mac = m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"});
    must({"stop", "--force", "t1"});
    must({"restore", "t1", "good"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/srv/a"}), QByteArray("one"));
    QCOMPARE(inside("t1", {"stat", "-c", "%a %u %g %h", "/srv/a"}), QByteArray("640 33 44 2"));
    QCOMPARE(exec("t1", {"test", "-e", "/srv/new"}).status, 1);
    QCOMPARE(exec("t1", {"test", "-d", "/etc/init.d"}).status, 0);
    QCOMPARE(m_box.text({"config", "get", "t1", "user.state"}), QByteArray("old"));
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.processes"}), QByteArray(""));
    QCOMPARE(m_box.text({"config", "get", "t1", "-p", "description"}), QByteArray(""));
    QCOMPARE(m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"}), mac); // it is still the same machine
}

void TestSnapshots::restoreOfARunningGuestStartsItAgain()
{
    launch("t1");
    must({"snapshot", "t1"});
    must({"exec", "t1", "--", "touch", "/later"});
    const int before = m_box.initPid("t1");
    must({"restore", "t1", "snap0"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QVERIFY(m_box.initPid("t1") != before);
    QCOMPARE(exec("t1", {"test", "-e", "/later"}).status, 1);
}

void TestSnapshots::aRestoreThatFailsLeavesTheGuestRunning()
{
    launch("t1");
    must({"snapshot", "t1", "s"});
    must({"exec", "t1", "--", "sh", "-c", "echo kept > /later; sync"});
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon({{"LXMGR_FAIL", "restore.record=error:EIO"}}), m_box.daemonLog());
    const Run failed = m_box.cli({"restore", "t1", "s"});
    QVERIFY2(!failed.ok() && failed.err.contains("restore 't1'"), failed.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(inside("t1", {"cat", "/later"}), QByteArray("kept"));
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog()); // and is not done by the next one
    QCOMPARE(inside("t1", {"cat", "/later"}), QByteArray("kept"));
}

void TestSnapshots::aRestoreThatCannotBeDoesNotStopTheGuest()
{
    const QJsonObject root{{"root", QJsonObject{{"type", "disk"}, {"path", "/"}, {"pool", "default"}}}};
    for (const char *name : {"web", "same"})
        QCOMPARE(m_box.rest("POST", "/1.0/profiles", {{"name", name}, {"devices", root}}).status, 201);
    launch("t1", {"-p", "web"});
    must({"snapshot", "t1", "s"});
    must({"config", "edit", "t1"}, "profiles: [same]\n"); // one that runs keeps its profiles from changing
    const int pid = m_box.initPid("t1");
    QCOMPARE(m_box.rest("PUT", "/1.0/profiles/web", {{"devices", QJsonObject{}}}).status, 200);
    const Run refused = m_box.cli({"restore", "t1", "s"});
    QVERIFY2(!refused.ok() && refused.err.contains("no root disk"), refused.told());
    QCOMPARE(m_box.initPid("t1"), pid);
    must({"delete", "-f", "t1"});
    for (const char *name : {"/1.0/profiles/web", "/1.0/profiles/same"})
        QCOMPARE(m_box.rest("DELETE", name).status, 200);
}

void TestSnapshots::singleFilesComeBack_data()
{
    QTest::addColumn<bool>("running");
    QTest::newRow("into a running guest") << true;
    QTest::newRow("into a stopped one") << false;
}

/// What is named is again as it was in every respect, what is not named stays as it is, what is mounted is not touched.
void TestSnapshots::singleFilesComeBack()
{
    QFETCH(bool, running);
    launch("t1");
    giveProbe("t1");
    must({"exec", "t1", "--", "sh", "-c",
          "mkdir -p /srv/d/sub/deep /srv/way/down /mnt/over; cd /srv; echo one > d/a; chown 33:44 d/a; chmod 4750 d/a; ln d/a d/sub/b; "
          "ln -s ../a d/sub/link; mkfifo d/fifo; echo same > d/same; echo x > way/down/file; chmod 711 way; chown 5:6 way/down; echo deep > d/sub/deep/f; "
          "echo under > /mnt/over/f; touch -d @981158400 d/sub; echo alone > single; sync"});
    must({"snapshot", "t1", "s"});
    must({"exec", "t1", "--", "sh", "-c",
          "cd /srv; echo two > d/a; chmod 600 d/a; rm d/sub/b d/fifo; rm -r d/sub/deep; echo file > d/sub/deep; mkdir d/sub/link2; rm d/sub/link; mkdir -p d/sub/link/x; "
          "echo new > d/new; rm -r way; echo changed > single; echo stays > other; mount -t tmpfs none /mnt/over; echo over > /mnt/over/f; sync"});
    const QByteArray same = inside("t1", {"stat", "-c", "%i", "/srv/d/same"});
    const int pid = m_box.initPid("t1");
    if (!running)
        must({"stop", "--force", "t1"});
    must({"restore", "t1", "s", "--files", "/srv/d", "/srv/way/down/file", "--files", "/mnt/over"});
    if (running)
        QCOMPARE(m_box.initPid("t1"), pid);
    else
        must({"start", "t1"});

    const auto is = [&](const QByteArray &path) { return inside("t1", {"stat", "-c", "%F %a %u:%g %h", path}); };
    QCOMPARE(is("/srv/d/a"), QByteArray("regular file 4750 33:44 2"));
    QCOMPARE(inside("t1", {"cat", "/srv/d/sub/b", "/srv/d/same", "/srv/d/sub/deep/f", "/srv/way/down/file"}), QByteArray("one\nsame\ndeep\nx"));
    QCOMPARE(inside("t1", {"readlink", "/srv/d/sub/link"}), QByteArray("../a"));
    QCOMPARE(is("/srv/d/fifo"), QByteArray("fifo 644 0:0 1"));
    QCOMPARE(inside("t1", {"stat", "-c", "%Y", "/srv/d/sub"}), QByteArray("981158400"));
    QCOMPARE(is("/srv/way").left(20), QByteArray("directory 711 0:0 3"));
    QCOMPARE(is("/srv/way/down"), QByteArray("directory 755 5:6 2"));
    QCOMPARE(inside("t1", {"ls", "-A", "/srv/d"}), QByteArray("a\nfifo\nsame\nsub"));
    QCOMPARE(inside("t1", {"ls", "-A", "/srv/d/sub"}), QByteArray("b\ndeep\nlink"));
    QCOMPARE(inside("t1", {"stat", "-c", "%i", "/srv/d/same"}), same); // what has not changed is not made anew
    QCOMPARE(inside("t1", {"cat", "/srv/single", "/srv/other"}), QByteArray("changed\nstays"));
    QCOMPARE(inside("t1", {"ls", "-A", "/srv"}), QByteArray("d\nother\nsingle\nway"));
    QCOMPARE(inside("t1", {"cat", "/mnt/over/f"}), QByteArray(running ? "over" : "under"));
}

void TestSnapshots::singleFilesThatCannotBeAreNamed()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo one > /srv-file; ln -s / /up; sync"});
    must({"snapshot", "t1", "s"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /srv-file; echo new > /later"});
    const QList<QPair<QStringList, QByteArray>> wrong = {
        {{"--files", "/srv-file", "/later"}, "snapshot 's' of 't1' has no '/later'"},
        {{"--files", "srv-file"}, "no absolute path"},
        {{"--files", "/srv/../srv-file"}, "leads upwards"},
        {{"--files", "/"}, "without naming any"},
        {{"/srv-file"}, "--files"},
    };
    for (const auto &[words, said] : wrong) {
        const Run refused = m_box.cli(QStringList{"restore", "t1", "s"} + words);
        QVERIFY2(!refused.ok() && refused.err.contains(said), refused.told());
        QCOMPARE(inside("t1", {"cat", "/srv-file", "/later"}), QByteArray("two\nnew"));
    }
    must({"restore", "t1", "s", "--files", "/up/srv-file"}); // links mean what they mean inside
    QCOMPARE(inside("t1", {"cat", "/srv-file"}), QByteArray("one"));
}

void TestSnapshots::singleFilesCutOffLeaveNothingBeside()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "mkdir -p /srv/d; echo one > /srv/d/a; sync"});
    must({"snapshot", "t1", "s"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /srv/d/a; mkdir /srv/.lxmgr-restore; echo half > /srv/.lxmgr-restore/d; sync"});
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon({{"LXMGR_FAIL", "restore-files.path=kill"}}), m_box.daemonLog());
    QVERIFY(!m_box.cli({"restore", "t1", "s", "--files", "/srv/d"}).ok());
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QCOMPARE(inside("t1", {"ls", "-A", "/srv"}), QByteArray("d"));
    QCOMPARE(inside("t1", {"cat", "/srv/d/a"}), QByteArray("two"));
    QVERIFY2(m_box.daemonLog().contains("restoring files of it was cut off"), m_box.daemonLog());
}

void TestSnapshots::mountedOnesAreLookedInto()
{
    launch("t1");
    giveProbe("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo one > /srv-file; chown 33:44 /srv-file; sync"});
    must({"snapshot", "t1", "s"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /srv-file; sync"});
    const QString place = QString::fromUtf8(m_box.text({"snapshot", "mount", "t1", "s"}));
    QCOMPARE(m_box.text({"snapshot", "mount", "t1", "s"}), place.toUtf8()); // it is mounted once
    QFile file(place + "/srv-file");
    QVERIFY(file.open(QIODevice::ReadOnly));
    QCOMPARE(file.readAll(), QByteArray("one\n"));
    QCOMPARE(QFileInfo(file).ownerId(), 33U);
    QCOMPARE(QFileInfo(m_box.runDir() + "/snapshots").permissions() & (QFile::ReadGroup | QFile::ExeGroup | QFile::ReadOther | QFile::ExeOther), QFile::Permissions());
    QVERIFY(!QFile(place + "/new").open(QIODevice::WriteOnly));
    QVERIFY(run({place + "/probe"}).status != 0); // nothing can be started there

    const QList<QStringList> refused = {{"snapshot", "delete", "t1", "s"}, {"snapshot", "rename", "t1", "s", "x"}, {"delete", "--force", "t1"}};
    for (const QStringList &words : refused) {
        const Run run = m_box.cli(words);
        QVERIFY2(!run.ok() && run.err.contains("lxmgr snapshot unmount t1 s"), run.told());
    }
    Run busy = m_box.cli({"snapshot", "unmount", "t1", "s"});
    QVERIFY2(!busy.ok() && busy.err.contains("files open"), busy.told());
    file.close();
    m_box.stopDaemon(); // the mount is the record
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    must({"snapshot", "unmount", "t1", "s"});
    busy = m_box.cli({"snapshot", "unmount", "t1", "s"});
    QVERIFY2(!busy.ok() && busy.err.contains("is not mounted"), busy.told());
    QVERIFY(!QFileInfo::exists(place));
    must({"snapshot", "delete", "t1", "s"});
}

void TestSnapshots::theOthersOutliveARestore()
{
    must({"create", "busybox", "t1"});
    for (const char *state : {"one", "two", "three"}) {
        must({"file", "push", "-", "t1/state"}, state);
        must({"snapshot", "t1", state});
    }
    for (const char *state : {"one", "three", "two", "one"}) {
        must({"restore", "t1", state});
        QCOMPARE(m_box.text({"file", "pull", "t1/state", "-"}), QByteArray(state));
    }
    must({"delete", "t1/one"});
    must({"restore", "t1", "three"});
    QCOMPARE(m_box.text({"file", "pull", "t1/state", "-"}), QByteArray("three"));
}

void TestSnapshots::aGuestRunsOnAfterItsSnapshot()
{
    launch("t1");
    giveProbe("t1");
    must({"exec", "t1", "--", "sh", "-c", "/probe count /n >/dev/null 2>&1 </dev/null & exit 0"});
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/n"}).toInt() > 0; }));
    const int pid = m_box.initPid("t1");
    must({"snapshot", "t1"});
    const int then = inside("t1", {"cat", "/n"}).toInt();
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/n"}).toInt() > then; }));
    QCOMPARE(m_box.initPid("t1"), pid);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
}

void TestSnapshots::aPausedGuestStaysPaused()
{
    launch("t1");
    must({"pause", "t1"});
    must({"snapshot", "t1"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("FROZEN"));
    must({"resume", "t1"});
}

void TestSnapshots::restoreOutlivesTheProfile()
{
    QCOMPARE(m_box.rest("POST", "/1.0/profiles", {{"name", "web"}, {"config", QJsonObject{{"user.team", "web"}, {"limits.processes", "321"}}}}).status, 201);
    must({"create", "busybox", "t1", "-p", "default", "-p", "web"});
    must({"snapshot", "t1"});
    must({"config", "edit", "t1"}, "profiles: [default]\n");
    QCOMPARE(m_box.rest("DELETE", "/1.0/profiles/web").status, 200);
    QCOMPARE(m_box.text({"config", "get", "t1", "-e", "user.team"}), QByteArray(""));
    must({"restore", "t1", "snap0"});
    QCOMPARE(m_box.text({"config", "get", "t1", "-e", "user.team"}), QByteArray("web"));
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.processes"}), QByteArray("321"));
    must({"start", "t1"});
}

void TestSnapshots::namesFollowThePattern()
{
    must({"create", "busybox", "t1"});
    QVERIFY(m_box.text({"snapshot", "t1"}).contains("t1/snap0"));
    must({"snapshot", "t1"});
    must({"delete", "t1/snap0"});
    must({"snapshot", "t1"}); // never an older number than that of a newer one
    QCOMPARE(names("t1"), (QStringList{"snap1", "snap2"}));
    must({"config", "set", "t1", "snapshots.pattern=day-{{ creation_date|date:'2006' }}-%d"});
    must({"snapshot", "t1"});
    QCOMPARE(names("t1").first(), "day-" + QString::number(QDate::currentDate().year()) + "-0");
    RUN_ENDS(m_box.cli({"config", "set", "t1", "snapshots.pattern=a/b"}), 4);
}

void TestSnapshots::aTakenNameIsRefused()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s"});
    const Run again = m_box.cli({"snapshot", "t1", "s"});
    RUN_ENDS(again, 5);
    QVERIFY2(again.err.contains("'s' of 't1' already exists"), again.told());
    must({"snapshot", "t1", "r"});
    RUN_ENDS(m_box.cli({"rename", "t1/r", "t1/s"}), 5);
    QCOMPARE(names("t1"), (QStringList{"r", "s"}));
}

void TestSnapshots::reuseReplaces()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s", "--reuse"}); // there is none yet
    must({"file", "push", "-", "t1/state"}, "newer");
    must({"snapshot", "t1", "s", "--reuse"});
    QCOMPARE(names("t1"), QStringList{"s"});
    must({"file", "delete", "t1/state"});
    must({"restore", "t1", "s"});
    QCOMPARE(m_box.text({"file", "pull", "t1/state", "-"}), QByteArray("newer"));
}

void TestSnapshots::renameAndDelete()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "a"});
    must({"snapshot", "t1", "b"});
    must({"rename", "t1/a", "t1/c"});
    must({"snapshot", "rename", "t1", "b", "d"});
    QCOMPARE(names("t1"), (QStringList{"c", "d"}));
    must({"restore", "t1", "c"});
    must({"snapshot", "delete", "t1", "c", "d"});
    QVERIFY(names("t1").isEmpty());
    RUN_ENDS(m_box.cli({"rename", "t1/c", "t2/c"}), 2);
}

void TestSnapshots::listAndShowSpeakEveryFormat()
{
    must({"create", "busybox", "t1", "-c", "user.x=1"});
    must({"snapshot", "t1", "s", "--expires", "1d"});
    const QJsonArray list = QJsonDocument::fromJson(m_box.text({"snapshot", "list", "t1", "-f", "json"})).array();
    QCOMPARE(list.size(), 1);
    QCOMPARE(list[0]["name"].toString(), "s");
    QCOMPARE(list[0]["config"]["user.x"].toString(), "1");
    QCOMPARE(list[0]["expanded_devices"]["root"]["pool"].toString(), "default");
    const QDateTime expires = QDateTime::fromString(list[0]["expires_at"].toString().left(19) + "Z", Qt::ISODate);
    QVERIFY(qAbs(QDateTime::currentDateTimeUtc().secsTo(expires) - 86400) < 4000); // a change of clocks may lie between
    QVERIFY(m_box.text({"snapshot", "show", "t1", "s"}).contains("user.x: \"1\""));
    QVERIFY(m_box.text({"config", "show", "t1/s"}).contains("user.x: \"1\""));
    QVERIFY(m_box.text({"info", "t1"}).contains("Snapshots:"));
    QCOMPARE(m_box.text({"list", "t1", "-c", "nS", "-f", "csv"}), QByteArray("t1,1"));
    const Reply full = m_box.rest("GET", "/1.0/instances/t1?recursion=1");
    QCOMPARE(full.body["metadata"]["snapshots"][0]["name"].toString(), "s");
    const Reply urls = m_box.rest("GET", "/1.0/instances/t1/snapshots");
    QCOMPARE(urls.body["metadata"][0].toString(), "/1.0/instances/t1/snapshots/s");
}

void TestSnapshots::whatIsNotThereIsNamed()
{
    must({"create", "busybox", "t1"});
    for (const QStringList &command : {QStringList{"restore", "t1", "no"}, QStringList{"delete", "t1/no"},
                                       QStringList{"rename", "t1/no", "t1/yes"}, QStringList{"snapshot", "show", "t1", "no"}}) {
        const Run run = m_box.cli(command);
        RUN_ENDS(run, 3);
        QVERIFY2(run.err.contains("'no' of 't1'"), run.told());
    }
    RUN_ENDS(m_box.cli({"snapshot", "none"}), 3);
    RUN_ENDS(m_box.cli({"snapshot", "t1", "a/b"}), 4);
    RUN_ENDS(m_box.cli({"snapshot", "t1", ".."}), 4);
    const Reply stateful = m_box.rest("POST", "/1.0/instances/t1/snapshots", {{"name", "s"}, {"stateful", true}});
    QVERIFY(stateful.body["error"].toString().contains("stateful"));
}

void TestSnapshots::theySurviveARestartOfTheDaemon()
{
    launch("t1");
    must({"snapshot", "t1", "s"});
    m_box.killDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QCOMPARE(names("t1"), QStringList{"s"});
    must({"restore", "t1", "s"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
}

void TestSnapshots::renamingTheInstanceTakesThemAlong()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s"});
    must({"rename", "t1", "t2"});
    QCOMPARE(names("t2"), QStringList{"s"});
    must({"restore", "t2", "s"});
}

void TestSnapshots::expiryDeletes()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "stays"});
    must({"snapshot", "t1", "goes"});
    const QString soon = QDateTime::currentDateTimeUtc().addSecs(2).toString(Qt::ISODate);
    QCOMPARE(m_box.rest("PUT", "/1.0/instances/t1/snapshots/goes", {{"expires_at", soon}}).status, 202);
    QVERIFY(Sandbox::eventually([&] { return names("t1") == QStringList{"stays"}; }));
}

void TestSnapshots::expiryComesFromTheConfiguration()
{
    must({"create", "busybox", "t1", "-c", "snapshots.expiry=2d"});
    must({"snapshot", "t1", "a"});
    must({"snapshot", "t1", "b", "--no-expiry"});
    must({"config", "set", "t1", "snapshots.expiry.manual=1y"});
    must({"snapshot", "t1", "c"});
    const QJsonArray list = QJsonDocument::fromJson(m_box.text({"snapshot", "list", "t1", "-f", "json"})).array();
    const auto year = [&](int i) { return list[i]["expires_at"].toString().left(4).toInt(); };
    const int now = QDate::currentDate().year();
    QVERIFY(year(0) >= now && year(0) <= now + 1);
    QCOMPARE(year(1), 1); // never
    QVERIFY(year(2) >= now + 1);
}

void TestSnapshots::startupSchedulesKeepTheNewest()
{
    must({"create", "busybox", "t1", "-c", "snapshots.schedule=boot: @startup keep=2; @never", "-c", "snapshots.pattern=boot%d"});
    must({"snapshot", "t1", "by-hand"}); // not the schedule's to delete
    for (int i = 0; i < 4; ++i) {
        must({"start", "t1"});
        must({"stop", "--force", "t1"});
    }
    QCOMPARE(names("t1"), (QStringList{"boot2", "boot3", "by-hand"}));
}

void TestSnapshots::theClockMakesThem()
{
    launch("t1", {"-c", "snapshots.schedule=each: * * * * * expiry=1d"});
    must({"create", "busybox", "t2", "-c", "snapshots.schedule=* * * * *"}); // stands still: none is made
    must({"storage", "volume", "create", "default", "data", "snapshots.schedule=each: * * * * * keep=1 expiry=1d", "snapshots.expiry=1y"});
    RUN_OK(m_box.cli({"storage", "volume", "snapshot", "create", "default", "data", "by-hand"})); // not the schedule's to delete
    QVERIFY(Sandbox::eventually([&] { return names("t1").contains("snap0"); }, 70000));
    const QStringList ofVolume{"storage", "volume", "snapshot", "list", "default", "data", "-f", "csv", "-c"};
    QVERIFY(Sandbox::eventually([&] { return m_box.text(ofVolume + QStringList{"n"}) == "by-hand\nsnap0"; }));
    const QByteArray until = m_box.text(ofVolume + QStringList{"nE"});
    QVERIFY2(until.split('\n').last().split(',').last() < until.split('\n').first().split(',').last(), until); // as the schedule says
    must({"storage", "volume", "delete", "default", "data"});
    const QJsonArray list = QJsonDocument::fromJson(m_box.text({"snapshot", "list", "t1", "-f", "json"})).array();
    QVERIFY(list[0]["expires_at"].toString() > list[0]["created_at"].toString());
    QVERIFY(names("t2").isEmpty());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
}

void TestSnapshots::aClockThatLeapsAheadDeletesNothing()
{
    const auto snapshots = [&] { return names("t1"); };
    const auto warned = [&] { return m_box.text({"warning", "list", "-f", "csv"}).contains("Clock leapt ahead"); };
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s0"});
    const QString soon = QDateTime::currentDateTimeUtc().addSecs(5).toString(Qt::ISODate);
    must({"query", "-X", "PATCH", "-d", "{\"expires_at\":\"" + soon + "\"}", "/1.0/instances/t1/snapshots/s0"});
    must({"snapshot", "t1", "s1", "--expires", "1y"});
    m_box.stopDaemon();
    // As if the server had last looked ten days ago, and no more than an instant of this boot had gone by since then.
    QFile file(m_box.stateDir() + "/clock");
    QVERIFY(file.open(QIODevice::ReadOnly));
    const QByteArray mark = file.readAll();
    file.close();
    const auto write = [&](const QByteArray &text) { return file.open(QIODevice::WriteOnly | QIODevice::Truncate) && file.write(text) == text.size() && (file.close(), true); };
    QStringList words = QString::fromUtf8(mark).simplified().split(' ');
    QCOMPARE(words.size(), 3);
    words[2] = QString::number(words[2].toLongLong() - 10 * 86400);
    QVERIFY(write(words.join(' ').toUtf8() + "\n"));
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QVERIFY(warned());
    QTest::qWait(7000); // s0 has expired by the wall clock
    QCOMPARE(snapshots(), (QStringList{"s0", "s1"}));
    QVERIFY(warned());
    m_box.stopDaemon();
    QVERIFY(write(mark)); // the clock is right
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QVERIFY(Sandbox::eventually([&] { return snapshots() == QStringList{"s1"}; }));
    QVERIFY(Sandbox::eventually([&] { return !warned(); }));
}

void TestSnapshots::aSnapshotCutOffLeavesTheGuestRunning()
{
    launch("t1");
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon({{"LXMGR_FAIL", "pause.paused=kill"}}), m_box.daemonLog());
    (void)m_box.cli({"snapshot", "t1", "s"}); // the guest is paused at that point
    QVERIFY(m_box.daemonEnds());
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(inside("t1", {"echo", "back"}), QByteArray("back"));
    QVERIFY(names("t1").isEmpty());
    must({"snapshot", "t1", "s"});
}

QTEST_GUILESS_MAIN(TestSnapshots)
#include "tst_snapshots.moc"

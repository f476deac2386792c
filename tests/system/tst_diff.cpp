// diff: what has changed in a guest, running and stopped, on each driver.
#include "support/system_test.h"

#include <QJsonArray>
#include <QJsonDocument>

using namespace lxmgr::test;

class TestDiff : public SystemTest
{
    Q_OBJECT
private slots:
    void everyKindOfChangeIsTold_data();
    void everyKindOfChangeIsTold();
    void snapshotsAreCompared_data();
    void snapshotsAreCompared();
    void packagesAreTold();
    void namesComeThrough();
    void whatIsMountedInsideDoesNotCount();
    void ownersAreTheGuestsOwn();
    void unknownStatesAreRefused();
    void anInstanceWithoutImageHasNothingToCompareWith();
    void aGuestThatCoversItsRootIsTold();

private:
    QJsonObject diff(const QString &instance, const QStringList &more = {});
    static QJsonObject changeOf(const QJsonObject &diff, const QString &path);
};

QJsonObject TestDiff::diff(const QString &instance, const QStringList &more)
{
    const Run run = m_box.cli(QStringList{"diff", instance, "--json"} + more);
    if (run.status != 0)
        qWarning("%s", run.told().constData());
    return QJsonDocument::fromJson(run.out).object();
}

QJsonObject TestDiff::changeOf(const QJsonObject &diff, const QString &path)
{
    for (const QJsonValue value : diff["changes"].toArray())
        if (value["path"].toString() == path)
            return value.toObject();
    return {};
}

void TestDiff::everyKindOfChangeIsTold_data()
{
    QTest::addColumn<bool>("running");
    QTest::addColumn<QString>("driver");
    for (const char *driver : {"overlay", "dir"}) {
        QTest::addRow("running, %s", driver) << true << driver;
        QTest::addRow("stopped, %s", driver) << false << driver;
    }
}

void TestDiff::everyKindOfChangeIsTold()
{
    QFETCH(bool, running);
    QFETCH(QString, driver);
    if (driver != "overlay")
        must({"storage", "create", "other", driver});
    launch("t1", driver == "overlay" ? QStringList() : QStringList{"-s", "other"});
    // The time of what is modified is put back: bytes count.
    must({"exec", "t1", "--", "sh", "-c",
          "echo new > /etc/added; touch -r /etc/passwd /tmp/stamp; sed s/root/toor/ /etc/passwd > /tmp/p; cat /tmp/p > "
          "/etc/passwd; touch -r /tmp/stamp /etc/passwd; rm /tmp/p /tmp/stamp; rm /etc/group; chmod 0711 /root; "
          "mkdir -p /srv/deep; ln -s one /srv/deep/link; true"});
    if (!running)
        must({"stop", "--force", "t1"});
    const QJsonObject all = diff("t1");
    QCOMPARE(all["from"]["kind"].toString(), "image");
    QCOMPARE(all["to"]["kind"].toString(), "current");
    QCOMPARE(changeOf(all, "/etc/added")["change"].toString(), "added");
    QCOMPARE(changeOf(all, "/etc/added").value("after")["size"].toInt(), 4);
    QCOMPARE(changeOf(all, "/etc/passwd")["change"].toString(), "modified");
    QCOMPARE(changeOf(all, "/etc/passwd")["what"].toArray(), QJsonArray{"content"});
    QCOMPARE(changeOf(all, "/etc/group")["change"].toString(), "deleted");
    QCOMPARE(changeOf(all, "/root")["change"].toString(), "metadata");
    QCOMPARE(changeOf(all, "/root")["what"].toArray(), QJsonArray{"mode"});
    QCOMPARE(changeOf(all, "/root").value("after")["mode"].toString(), "0711");
    QCOMPARE(changeOf(all, "/srv/deep/link").value("after")["target"].toString(), "one");
    QCOMPARE(changeOf(all, "/etc")["change"].toString(), ""); // its time alone
    QCOMPARE(all["warnings"].toArray(), QJsonArray());
    const QByteArray text = m_box.text({"diff", "t1"});
    QVERIFY2(text.contains("M  /etc/passwd  ("), text);
    QVERIFY2(text.contains("D  /etc/group"), text);
    QVERIFY2(text.contains("m  /root  (mode ") && text.contains("-> 0711)"), text);
    QVERIFY2(text.contains("A  /srv/deep/link  (symlink to one)"), text);
    QVERIFY2(text.contains("1 modified, 1 deleted, 1 metadata only"), text);
    if (driver != "overlay") {
        must({"delete", "--force", "t1"});
        must({"storage", "delete", "other"});
    }
}

void TestDiff::snapshotsAreCompared_data()
{
    QTest::addColumn<bool>("running");
    QTest::newRow("running") << true;
    QTest::newRow("stopped") << false;
}

void TestDiff::snapshotsAreCompared()
{
    QFETCH(bool, running);
    launch("t1");
    const auto touch = [&](const QString &name) {
        must({"file", "push", "-", "t1/root/" + name}, "x");
    };
    if (!running)
        must({"stop", "--force", "t1"});
    touch("first");
    must({"snapshot", "t1", "zz"});
    touch("second");
    must({"snapshot", "t1", "aa"});
    const QJsonObject none = diff("t1");
    QCOMPARE(none["from"]["name"].toString(), "aa"); // the newest, whatever its name
    if (!running)
        QCOMPARE(none["changes"].toArray(), QJsonArray());
    touch("third");
    const auto added = [&](const QStringList &words) {
        const QJsonObject all = diff("t1", words);
        QStringList names;
        for (const char *name : {"first", "second", "third"})
            if (changeOf(all, QString("/root/") + name)["change"] == "added")
                names << name;
            else if (changeOf(all, QString("/root/") + name)["change"] == "deleted")
                names << QString("-") + name;
        return names.join(' ');
    };
    QCOMPARE(added({}), "third");
    QCOMPARE(added({"zz"}), "second third");
    QCOMPARE(added({"zz", "aa"}), "second");
    QCOMPARE(added({"aa", "zz"}), "-second");
    const Run word = m_box.cli({"diff", "t1/zz", "aa"});
    RUN_ENDS(word, 0);
    QVERIFY2(word.out.contains("A  /root/second") && word.out.contains("snapshot zz -> snapshot aa: 1 added"), word.told());
}

void TestDiff::packagesAreTold()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "mkdir -p /lib/apk/db; printf 'P:musl\\nV:1.2\\nA:x86_64\\n\\n' > /lib/apk/db/installed"});
    const QJsonArray packages = diff("t1")["packages"].toArray();
    QCOMPARE(packages.size(), 1);
    QCOMPARE(packages[0]["manager"].toString(), "apk");
    QCOMPARE(packages[0]["changes"][0]["name"].toString(), "musl");
    QCOMPARE(packages[0]["changes"][0]["change"].toString(), "added");
    const QByteArray text = m_box.text({"diff", "t1", "--packages"});
    QCOMPARE(text, QByteArray("packages (apk):\nA  musl (x86_64) 1.2"));
}

void TestDiff::namesComeThrough()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "mkdir /srv; touch \"$(printf '/srv/a\\nb')\" \"$(printf '/srv/\\377')\" \"$(printf '/srv/\\033[2J')\""});
    const QJsonObject all = diff("t1");
    QCOMPARE(changeOf(all, "/srv/a\nb")["change"].toString(), "added");
    QVERIFY(!changeOf(all, "/srv/a\nb").contains("path_raw"));
    QCOMPARE(changeOf(all, QString("/srv/") + QChar(0xfffd))["path_raw"].toString(), "%2Fsrv%2F%FF");
    const QByteArray text = m_box.text({"diff", "t1"});
    QVERIFY2(text.contains("/srv/a\\x0ab") && text.contains("/srv/\\xff") && text.contains("/srv/\\x1b[2J"), text);
    QVERIFY2(!text.contains('\x1b'), text);
}

void TestDiff::whatIsMountedInsideDoesNotCount()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "mkdir /srv; mount -t tmpfs none /srv && touch /srv/on-tmpfs /root/on-root; true"});
    const QJsonObject all = diff("t1");
    QCOMPARE(changeOf(all, "/root/on-root")["change"].toString(), "added");
    QVERIFY(changeOf(all, "/srv/on-tmpfs").isEmpty());
    for (const QJsonValue value : all["changes"].toArray())
        QVERIFY2(!value["path"].toString().startsWith("/proc/") && !value["path"].toString().startsWith("/dev/"),
                 qPrintable(value["path"].toString()));
}

void TestDiff::ownersAreTheGuestsOwn()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "chown 33:34 /etc/passwd; mkdir /srv; echo x > /srv/x; chown 1000:1001 /srv/x"});
    for (const bool running : {true, false}) {
        if (!running)
            must({"stop", "--force", "t1"});
        const QJsonObject all = diff("t1");
        QCOMPARE(changeOf(all, "/etc/passwd")["what"].toArray(), QJsonArray{"owner"});
        QCOMPARE(changeOf(all, "/etc/passwd").value("before")["uid"].toInt(), 0);
        QCOMPARE(changeOf(all, "/etc/passwd").value("after")["uid"].toInt(), 33);
        QCOMPARE(changeOf(all, "/srv/x").value("after")["gid"].toInt(), 1001);
    }
}

void TestDiff::unknownStatesAreRefused()
{
    launch("t1");
    const Run snapshot = m_box.cli({"diff", "t1", "nosuch"});
    RUN_ENDS(snapshot, 3);
    QVERIFY2(snapshot.err.contains("Snapshot not found: 'nosuch' of 't1'"), snapshot.told());
    RUN_ENDS(m_box.cli({"diff", "nobody"}), 3);
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1/diff?to=x").status, 400);
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1/diff?from=..%2F..").status, 404);
}

void TestDiff::anInstanceWithoutImageHasNothingToCompareWith()
{
    must({"create", "--empty", "t1"});
    const Run run = m_box.cli({"diff", "t1"});
    RUN_ENDS(run, 3);
    QVERIFY2(run.err.contains("without an image"), run.told());
}

void TestDiff::aGuestThatCoversItsRootIsTold()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "mount -t tmpfs cover /"});
    const Run run = m_box.cli({"diff", "t1"});
    RUN_ENDS(run, 6);
    QVERIFY2(run.err.contains("over its root file system"), run.told());
}

QTEST_GUILESS_MAIN(TestDiff)
#include "tst_diff.moc"

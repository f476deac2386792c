// What goes wrong while nobody waits for an answer is kept as a warning, until it is put right or somebody has seen it.
#include "support/system_test.h"

#include <QDir>
#include <QJsonArray>
#include <QStandardPaths>
#include <QTcpServer>

using namespace lxmgr;
using namespace lxmgr::test;

class TestWarnings : public SystemTest
{
    Q_OBJECT
private slots:
    void anInstanceThatDoesNotComeBack();
    void aSnapshotThatWasDue();
    void aPoolWhoseDiskIsMissing();
    void anOperationThatCannotBeTakenBack();
    void anAddressThatIsNotToBeHad();
    void whatIsKnownIsNotListed();
    void otherClientsSeeThem();
    void onlyTwoStatesCanBeSet_data();
    void onlyTwoStatesCanBeSet();
    void theyGoWithTheirInstance();

private:
    /// What the server says of the type, {} for nothing.
    QJsonObject warning(const QString &type);
    void restart(const QString &fail = {});
    /// t1 is to run, and may not: the next daemon warns of it.
    void warnOfAutostart();
};

namespace
{
const QString kAutostart = "Failed to autostart instance";
const QString kSnapshot = "Failed to make scheduled snapshot";
const QString kPool = "Storage pool unavailable";
const QString kInterrupted = "Failed to take back an interrupted operation";
const QString kHttps = "Unable to listen on core.https_address";
} // namespace

QJsonObject TestWarnings::warning(const QString &type)
{
    for (const QJsonValue &value : m_box.rest("GET", "/1.0/warnings?recursion=1").body["metadata"].toArray())
        if (value.toObject()["type"] == type)
            return value.toObject();
    return {};
}

void TestWarnings::restart(const QString &fail)
{
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon(fail.isEmpty() ? QMap<QString, QString>{} : QMap<QString, QString>{{"LXMGR_FAIL", fail}}));
}

void TestWarnings::warnOfAutostart()
{
    launch("t1", {"-c", "boot.autostart=true"});
    must({"stop", "--force", "t1"});
    must({"config", "set", "t1", "security.protection.start=true"});
    restart();
    QVERIFY(Sandbox::eventually([&] { return !warning(kAutostart).isEmpty(); }));
}

void TestWarnings::anInstanceThatDoesNotComeBack()
{
    warnOfAutostart();
    QJsonObject told = warning(kAutostart);
    QCOMPARE(told["entity_url"].toString(), QString("/1.0/instances/t1"));
    QCOMPARE(told["project"].toString(), QString("default"));
    QCOMPARE(told["status"].toString(), QString("new"));
    QCOMPARE(told["severity"].toString(), QString("moderate"));
    QCOMPARE(told["count"].toInt(), 1);
    QVERIFY2(told["last_message"].toString().contains("security.protection.start"), qPrintable(told["last_message"].toString()));
    QCOMPARE(m_box.rest("GET", "/1.0/warnings?project=other").body["metadata"].toArray().size(), 0);
    QCOMPARE(m_box.rest("GET", "/1.0/warnings").body["metadata"].toArray(), QJsonArray{"/1.0/warnings/" + told["uuid"].toString()});

    restart();
    QVERIFY(Sandbox::eventually([&] { return warning(kAutostart)["count"].toInt() == 2; }));
    QCOMPARE(warning(kAutostart)["uuid"], told["uuid"]);
    QVERIFY(m_box.text({"query", "/1.0/metrics"}).contains("warnings_total 1"));

    must({"rename", "t1", "t2"});
    QCOMPARE(warning(kAutostart)["entity_url"].toString(), QString("/1.0/instances/t2"));
    must({"config", "unset", "t2", "security.protection.start"});
    must({"start", "t2"});
    QCOMPARE(warning(kAutostart)["status"].toString(), QString("resolved"));
    QVERIFY(m_box.text({"query", "/1.0/metrics"}).contains("warnings_total 0"));
}

void TestWarnings::aSnapshotThatWasDue()
{
    launch("t1", {"-c", "snapshots.schedule=@startup"});
    must({"stop", "--force", "t1"});
    restart("snapshot.record=error:ENOSPC");
    must({"start", "t1"});
    const QJsonObject told = warning(kSnapshot);
    QCOMPARE(told["entity_url"].toString(), QString("/1.0/instances/t1"));
    QCOMPARE(told["severity"].toString(), QString("high"));
    must({"stop", "--force", "t1"});
    restart();
    must({"start", "t1"});
    QCOMPARE(warning(kSnapshot)["status"].toString(), QString("resolved"));
}

void TestWarnings::aPoolWhoseDiskIsMissing()
{
    const QString folder = m_box.directory() + "/elsewhere";
    QVERIFY(QDir().mkpath(folder));
    must({"storage", "create", "p1", "dir", "source=" + folder});
    m_box.stopDaemon();
    QVERIFY(QDir().rename(folder, folder + ".away"));
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return !warning(kPool).isEmpty(); }));
    QCOMPARE(warning(kPool)["entity_url"].toString(), QString("/1.0/storage-pools/p1"));
    QCOMPARE(warning(kPool)["project"].toString(), QString());
    m_box.stopDaemon();
    QDir(folder).removeRecursively();
    QVERIFY(QDir().rename(folder + ".away", folder));
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return warning(kPool)["status"] == "resolved"; }));
    must({"storage", "delete", "p1"});
    QVERIFY(warning(kPool).isEmpty());
    QVERIFY(QDir(folder).removeRecursively());
}

void TestWarnings::anOperationThatCannotBeTakenBack()
{
    launch("t1");
    must({"stop", "--force", "t1"});
    restart("delete.record=kill");
    (void)m_box.cli({"delete", "t1"});
    QVERIFY(m_box.daemonEnds());
    QVERIFY(m_box.startDaemon({{"LXMGR_FAIL", "delete.network=error:EIO"}}));
    const QJsonObject told = warning(kInterrupted);
    QCOMPARE(told["status"].toString(), QString("new"));
    QCOMPARE(told["entity_url"].toString(), QString("/1.0/instances/t1"));
    restart();
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    QVERIFY(warning(kInterrupted).isEmpty()); // it went with its instance
}

void TestWarnings::anAddressThatIsNotToBeHad()
{
    must({"config", "set", "core.https_address=127.0.0.1:18443"});
    m_box.stopDaemon();
    QTcpServer other;
    QVERIFY(other.listen(QHostAddress::LocalHost, 18443));
    QVERIFY(m_box.startDaemon());
    QCOMPARE(warning(kHttps)["status"].toString(), QString("new"));
    QCOMPARE(warning(kHttps)["entity_url"].toString(), QString());
    other.close();
    must({"config", "set", "core.https_address=127.0.0.1:18444"});
    QCOMPARE(warning(kHttps)["status"].toString(), QString("resolved"));
    must({"config", "unset", "core.https_address"});
    must({"warning", "delete", "--all"});
    QVERIFY(warning(kHttps).isEmpty());
}

void TestWarnings::whatIsKnownIsNotListed()
{
    warnOfAutostart();
    const QString uuid = warning(kAutostart)["uuid"].toString();
    QVERIFY(m_box.text({"warning", "list", "-f", "csv", "-c", "te"}).contains("Failed to autostart instance,instances/t1"));
    must({"warning", "acknowledge", uuid});
    QCOMPARE(m_box.text({"warning", "list", "-f", "csv"}), QByteArray());
    QVERIFY(m_box.text({"warning", "list", "--all", "-f", "csv", "-c", "tS"}).contains("Failed to autostart instance,ACKNOWLEDGED"));
    restart(); // seen again, and known
    QVERIFY(Sandbox::eventually([&] { return warning(kAutostart)["count"].toInt() == 2; }));
    QCOMPARE(m_box.text({"warning", "list", "-f", "csv"}), QByteArray());
    QVERIFY(m_box.text({"warning", "show", uuid}).contains("status: acknowledged"));
    must({"warning", "delete", uuid});
    const Run gone = m_box.cli({"warning", "show", uuid});
    QVERIFY2(!gone.ok() && gone.err.contains("Warning not found"), gone.told());
}

/// The lxc of Debian, unmodified.
void TestWarnings::otherClientsSeeThem()
{
    if (QStandardPaths::findExecutable("lxc").isEmpty())
        QSKIP("no lxc (package lxd-client)");
    const auto lxc = [&](const QStringList &args) {
        RunOptions options;
        options.environment = m_box.environment();
        options.environment.insert("LXD_SOCKET", m_box.socket());
        options.environment.insert("LXD_CONF", m_box.directory() + "/lxc-conf");
        return run(QStringList{"lxc", "warning"} + args, options);
    };
    warnOfAutostart();
    const QString uuid = warning(kAutostart)["uuid"].toString();
    const Run listed = lxc({"list", "-f", "csv"});
    QVERIFY2(listed.ok() && listed.out.startsWith(uuid.toUtf8() + ",Failed to autostart instance,NEW,MODERATE,1,default,"), listed.told());
    const Run shown = lxc({"show", uuid});
    QVERIFY2(shown.ok() && shown.out.contains("entity_url: /1.0/instances/t1"), shown.told());
    RUN_OK(lxc({"ack", uuid}));
    QCOMPARE(lxc({"list", "-f", "csv"}).out, QByteArray());
    QVERIFY(lxc({"list", "--all", "-f", "csv"}).out.contains("ACKNOWLEDGED"));
    // That of 5.0 has a flag --all and wants one warning all the same: it prints how it is used, ends well and has asked no server.
    const Run all = lxc({"delete", "--all"});
    QVERIFY2(!all.ok() || all.out.contains("Usage:") == !warning(kAutostart).isEmpty(), all.told());
    RUN_OK(lxc({"delete", uuid}));
    QVERIFY(warning(kAutostart).isEmpty());
}

void TestWarnings::onlyTwoStatesCanBeSet_data()
{
    QTest::addColumn<QString>("status");
    QTest::addColumn<int>("answer");
    QTest::newRow("acknowledged") << "acknowledged" << 200;
    QTest::newRow("new") << "new" << 200;
    QTest::newRow("resolved is not for clients") << "resolved" << 400;
    QTest::newRow("none") << "" << 400;
    QTest::newRow("another") << "x" << 400;
}

void TestWarnings::onlyTwoStatesCanBeSet()
{
    QFETCH(QString, status);
    warnOfAutostart();
    const QByteArray path = "/1.0/warnings/" + warning(kAutostart)["uuid"].toString().toUtf8();
    QTEST(m_box.rest("PUT", path, {{"status", status}}).status, "answer");
    QFETCH(int, answer);
    QCOMPARE(warning(kAutostart)["status"].toString(), answer == 200 ? status : QString("new"));
}

void TestWarnings::theyGoWithTheirInstance()
{
    warnOfAutostart();
    must({"config", "unset", "t1", "security.protection.start"});
    must({"delete", "t1"});
    QVERIFY(warning(kAutostart).isEmpty());
}

QTEST_GUILESS_MAIN(TestWarnings)
#include "tst_warnings.moc"

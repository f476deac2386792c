// Every route that takes a body, from the table, with bodies that are none of its: refused as the client's fault, and the daemon lives on.
#include "api/routes.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QLocalSocket>
#include <QRegularExpression>

#include <algorithm>

using namespace lxmgr;
using namespace lxmgr::test;

class TestBodies : public SystemTest
{
    Q_OBJECT
private slots:
    void badBodiesAreRefused_data();
    void badBodiesAreRefused();
    void badPathsAreRefused_data();
    void badPathsAreRefused();
    void everyBodyIsFuzzed();

private:
    void prepare() override
    {
        m_keep = {"g1"};
        must({"create", "busybox", "g1"});
        must({"snapshot", "g1", "s1"});
    }
    int status(const QByteArray &verb, const QByteArray &path, const QByteArray &body);
};

/// The status of the answer, 0 where none came.
int TestBodies::status(const QByteArray &verb, const QByteArray &path, const QByteArray &body)
{
    QLocalSocket client;
    client.connectToServer(m_box.socket());
    if (!client.waitForConnected(5000))
        return 0;
    client.write(verb + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " +
                 QByteArray::number(body.size()) + "\r\n\r\n" + body);
    QByteArray answer;
    while (client.waitForReadyRead(20000))
        answer += client.readAll();
    return answer.mid(9, 3).toInt();
}

void TestBodies::badBodiesAreRefused_data()
{
    QTest::addColumn<QByteArray>("verb");
    QTest::addColumn<QByteArray>("path");
    const QMap<QString, QString> real = {{"name", "g1"}, {"snapshot", "s1"}, {"type", "custom"}, {"backup", "b0"}};
    for (const api::Route &route : api::kRoutes) {
        const bool hasBody = route.verb == api::Verb::Post || route.verb == api::Verb::Put || route.verb == api::Verb::Patch;
        const auto bodiless = {api::RouteId::InternalShutdown, api::RouteId::InstanceSnapshotMount};
        if (!hasBody || std::ranges::find(bodiless, route.id) != bodiless.end()) // they look at no body, and do it
            continue;
        QString path = QString::fromUtf8(route.pattern.data(), qsizetype(route.pattern.size())).replace("...}", "}");
        for (auto each = real.begin(); each != real.end(); ++each)
            path.replace("{" + each.key() + "}", path.startsWith("/1.0/instances") || each.key() != "name" ? each.value() : QString("default"));
        path.replace(QRegularExpression("\\{[a-z]+\\}"), "x");
        const QByteArray verb = QByteArray::fromStdString(std::string(api::verbName(route.verb)));
        QTest::newRow(verb + " " + path.toUtf8()) << verb << path.toUtf8();
    }
}

void TestBodies::badBodiesAreRefused()
{
    QFETCH(QByteArray, verb);
    QFETCH(QByteArray, path);
    const QList<QByteArray> bodies = {
        "{", "[1]", "5", "\"text\"", "{\"a\":1} trailing", "{\"a\":1,\"a\":2", QByteArray(200, '['), "{\"name\":\"\xff\xfe\"}",
        "{\"name\":{},\"config\":[1],\"source\":5,\"state\":\"x\",\"devices\":7,\"properties\":3,\"command\":5,\"options\":9,\"type\":[]}",
    };
    for (const QByteArray &body : bodies) {
        const int code = status(verb, path, body);
        const bool ours = code >= 500 && code != 501; // 501: what this version does not do
        if (code == 0 || ours)
            qWarning() << "body" << body.left(60);
        QVERIFY2(code != 0, "the daemon gave no answer");
        QVERIFY2(!ours, QByteArray::number(code));
    }
    QCOMPARE(m_box.rest("GET", "/1.0/instances/g1").status, 200);
}

void TestBodies::badPathsAreRefused_data()
{
    QTest::addColumn<QByteArray>("verb");
    QTest::addColumn<QByteArray>("path");
    QTest::addColumn<int>("expected");
    QTest::newRow("log outside") << QByteArray("GET") << QByteArray("/1.0/instances/g1/logs/..%2f..%2flxmgr.db") << 404;
    QTest::newRow("log with dots") << QByteArray("DELETE") << QByteArray("/1.0/instances/g1/logs/..") << 400;
    QTest::newRow("log of another kind") << QByteArray("GET") << QByteArray("/1.0/instances/g1/logs/backup.yaml") << 404;
    QTest::newRow("template outside") << QByteArray("GET") << QByteArray("/1.0/instances/g1/metadata/templates?path=../backup.yaml") << 400;
    QTest::newRow("template with a byte 0") << QByteArray("POST") << QByteArray("/1.0/instances/g1/metadata/templates?path=a%00b") << 400;
    QTest::newRow("hidden template") << QByteArray("POST") << QByteArray("/1.0/instances/g1/metadata/templates?path=.hidden") << 400;
    QTest::newRow("template of a long name") << QByteArray("POST") << "/1.0/instances/g1/metadata/templates?path=" + QByteArray(300, 'a') << 400;
    QTest::newRow("file above the root") << QByteArray("GET") << QByteArray("/1.0/instances/g1/files?path=/../../../../etc/shadow-of-the-host") << 404;
    QTest::newRow("file of a long name") << QByteArray("GET") << "/1.0/instances/g1/files?path=/" + QByteArray(5000, 'a') << 400;
    QTest::newRow("long instance name") << QByteArray("GET") << "/1.0/instances/" + QByteArray(3000, 'a') << 404;
    QTest::newRow("snapshot with a slash") << QByteArray("GET") << QByteArray("/1.0/instances/g1/snapshots/..%2fs1") << 404;
    QTest::newRow("export with dots") << QByteArray("GET") << QByteArray("/1.0/instances/g1/backups/..%2f..%2fx/export") << 404;
    QTest::newRow("SFTP without an upgrade") << QByteArray("GET") << QByteArray("/1.0/instances/g1/sftp") << 400;
    QTest::newRow("a warning") << QByteArray("GET") << QByteArray("/1.0/warnings/x") << 404;
    QTest::newRow("peers of no network") << QByteArray("GET") << QByteArray("/1.0/networks/nope/peers") << 404;
    QTest::newRow("buckets of no pool") << QByteArray("GET") << QByteArray("/1.0/storage-pools/nope/buckets") << 404;
}

void TestBodies::badPathsAreRefused()
{
    QFETCH(QByteArray, verb);
    QFETCH(QByteArray, path);
    QFETCH(int, expected);
    QCOMPARE(status(verb, path, {}), expected);
}

/// What the handlers read of requests against the list in the fuzz target.
void TestBodies::everyBodyIsFuzzed()
{
    QFile target(LXMGR_SOURCE_DIR "/tests/fuzz/bodies.cpp");
    QVERIFY(target.open(QIODevice::ReadOnly));
    const QString listed = QString::fromUtf8(target.readAll());
    const QRegularExpression body("request\\.json<api::(\\w+)>");
    int found = 0;
    for (const QString &name : QDir(LXMGR_SOURCE_DIR "/lxmgr/daemon").entryList({"*.cpp"})) {
        QFile file(LXMGR_SOURCE_DIR "/lxmgr/daemon/" + name);
        QVERIFY(file.open(QIODevice::ReadOnly));
        auto all = body.globalMatch(QString::fromUtf8(file.readAll()));
        while (all.hasNext()) {
            const QString type = all.next().captured(1);
            QVERIFY2(listed.contains(QRegularExpression("\\b" + type + "\\b")), qPrintable(name + ": " + type + " is not in tests/fuzz/bodies.cpp"));
            ++found;
        }
    }
    QVERIFY(found > 30);
}

QTEST_GUILESS_MAIN(TestBodies)
#include "tst_bodies.moc"

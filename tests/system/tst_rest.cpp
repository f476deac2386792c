// The REST API on the unix socket: envelopes, codes, operations and limits, without a client of ours between.
#include "support/system_test.h"

#include <QJsonArray>
#include <QLocalSocket>
#include <csignal>

using namespace lxmgr::test;

class TestApi : public SystemTest
{
    Q_OBJECT
private slots:
    void rootListsTheVersion();
    void serverObjectHasWhatClientsRead();
    void unknownPathsAndVerbsAreErrors_data();
    void unknownPathsAndVerbsAreErrors();
    void instanceLifeByOperations();
    void createStartInOneRequest();
    void recursionAndFilter();
    void aListAsksNeitherGuestsNorPools();
    void errorsCarryTheirCode();
    void failedOperationIsRead();
    void bodiesAreChecked_data();
    void bodiesAreChecked();
    void manyRequestsOnOneConnection();
    void hugeHeadersAreCutOff();
    void waitForBootedAnswers();
    void socketThatComesAfterTheEndIsNoStrangers();

private:
    std::unique_ptr<QLocalSocket> openSocket(const QByteArray &operation, const QString &secret, QByteArray &statusLine);
    QJsonObject finished(const Reply &accepted, int timeoutMs = 60000);
};

/// The operation of an accepted request, waited for.
QJsonObject TestApi::finished(const Reply &accepted, int timeoutMs)
{
    const QByteArray url = accepted.body["operation"].toString().toUtf8();
    return m_box.rest("GET", url + "/wait", {}, timeoutMs).body["metadata"].toObject();
}

void TestApi::rootListsTheVersion()
{
    const Reply root = m_box.rest("GET", "/");
    QCOMPARE(root.status, 200);
    QCOMPARE(root.body["type"].toString(), QString("sync"));
    QCOMPARE(root.body["metadata"].toArray(), QJsonArray{"/1.0"});
}

void TestApi::serverObjectHasWhatClientsRead()
{
    const QJsonObject server = m_box.rest("GET", "/1.0").body["metadata"].toObject();
    QCOMPARE(server["api_version"].toString(), QString("1.0"));
    QCOMPARE(server["auth"].toString(), QString("trusted"));
    QVERIFY(server["api_extensions"].toArray().size() > 20);
    QVERIFY(server["environment"].toObject().contains("kernel_version"));
    QVERIFY(server["config"].isObject());
}

void TestApi::unknownPathsAndVerbsAreErrors_data()
{
    QTest::addColumn<QByteArray>("verb");
    QTest::addColumn<QByteArray>("path");
    QTest::addColumn<int>("status");
    QTest::newRow("unknown path") << QByteArray("GET") << QByteArray("/1.0/teapots") << 404;
    QTest::newRow("unknown version") << QByteArray("GET") << QByteArray("/2.0") << 404;
    QTest::newRow("verb not there") << QByteArray("DELETE") << QByteArray("/1.0") << 501; // as LXD answers
    QTest::newRow("no such instance") << QByteArray("GET") << QByteArray("/1.0/instances/nobody") << 404;
    QTest::newRow("bad name") << QByteArray("GET") << QByteArray("/1.0/instances/..%2f..%2fetc") << 404;
    QTest::newRow("no such operation") << QByteArray("GET") << QByteArray("/1.0/operations/6c5b0b3c-9a5e-4a5a-8a53-6bf4b8f4d8a1") << 404;
    QTest::newRow("no such image") << QByteArray("GET") << QByteArray("/1.0/images/0123456789ab") << 404;
}

void TestApi::unknownPathsAndVerbsAreErrors()
{
    QFETCH(QByteArray, verb);
    QFETCH(QByteArray, path);
    QFETCH(int, status);
    const Reply reply = m_box.rest(verb, path);
    if (reply.status != status && path.contains("%2f"))
        QCOMPARE(reply.status, 400);
    else
        QVERIFY2(reply.status == status, (QByteArray::number(reply.status) + " " + reply.raw).constData());
    QCOMPARE(reply.body["type"].toString(), QString("error"));
    QCOMPARE(reply.body["error_code"].toInt(), reply.status);
    QVERIFY(!reply.body["error"].toString().isEmpty());
}

void TestApi::instanceLifeByOperations()
{
    const Reply made = m_box.rest("POST", "/1.0/instances",
                                  QJsonObject{{"name", "t1"}, {"source", QJsonObject{{"type", "image"}, {"alias", "busybox"}}}});
    QVERIFY2(made.status == 202, made.raw);
    QCOMPARE(made.body["type"].toString(), QString("async"));
    const QJsonObject create = finished(made);
    QCOMPARE(create["status_code"].toInt(), 200);
    QCOMPARE(create["class"].toString(), QString("task"));
    const QJsonObject start = finished(m_box.rest("PUT", "/1.0/instances/t1/state", QJsonObject{{"action", "start"}}));
    QCOMPARE(start["status"].toString(), QString("Success"));
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1").body["metadata"].toObject()["status_code"].toInt(), 103);
    const QJsonObject stop = finished(m_box.rest("PUT", "/1.0/instances/t1/state", QJsonObject{{"action", "stop"}, {"force", true}}));
    QCOMPARE(stop["status_code"].toInt(), 200);
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1").body["metadata"].toObject()["status_code"].toInt(), 102);
    QCOMPARE(finished(m_box.rest("DELETE", "/1.0/instances/t1"))["status_code"].toInt(), 200);
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1").status, 404);
}

void TestApi::createStartInOneRequest()
{
    const Reply made = m_box.rest("POST", "/1.0/instances",
                                  QJsonObject{{"name", "t1"}, {"start", true}, {"source", QJsonObject{{"type", "image"}, {"alias", "busybox"}}}});
    QCOMPARE(finished(made)["status_code"].toInt(), 200);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
}

void TestApi::recursionAndFilter()
{
    must({"create", "busybox", "t1", "-c", "user.x=1"});
    must({"create", "busybox", "t2"});
    QCOMPARE(m_box.rest("GET", "/1.0/instances").body["metadata"].toArray(), (QJsonArray{"/1.0/instances/t1", "/1.0/instances/t2"}));
    const QJsonArray full = m_box.rest("GET", "/1.0/instances?recursion=2").body["metadata"].toArray();
    QCOMPARE(full.size(), 2);
    QVERIFY(full[0].toObject()["state"].isObject());
    const QJsonArray some = m_box.rest("GET", "/1.0/instances?recursion=2&fields=name,state,nosuch").body["metadata"].toArray();
    QCOMPARE(some.size(), full.size());
    QCOMPARE(some[0].toObject().keys(), (QStringList{"name", "state"}));
    QCOMPARE(some[0].toObject()["name"], full[0].toObject()["name"]);
    const QJsonArray filtered = m_box.rest("GET", "/1.0/instances?recursion=1&filter=name%20eq%20t2").body["metadata"].toArray();
    QCOMPARE(filtered.size(), 1);
}

void TestApi::errorsCarryTheirCode()
{
    const Reply missing = m_box.rest("GET", "/1.0/instances/nobody");
    QCOMPARE(missing.body["metadata"].toObject()["code"].toString(), QString("not-found"));
}

void TestApi::failedOperationIsRead()
{
    const Reply made = m_box.rest("POST", "/1.0/instances",
                                  QJsonObject{{"name", "t1"}, {"source", QJsonObject{{"type", "image"}, {"alias", "no-such-image"}}}});
    if (made.status == 202) {
        const QJsonObject operation = finished(made);
        QCOMPARE(operation["status_code"].toInt(), 400);
        QVERIFY(operation["err"].toString().contains("no-such-image"));
    } else {
        QCOMPARE(made.status, 404);
    }
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1").status, 404);
}

void TestApi::bodiesAreChecked_data()
{
    QTest::addColumn<QJsonObject>("body");
    QTest::newRow("no source") << QJsonObject{{"name", "t1"}};
    QTest::newRow("wrong type") << QJsonObject{{"name", 5}, {"source", QJsonObject{{"type", "image"}, {"alias", "busybox"}}}};
    QTest::newRow("config is a list") << QJsonObject{{"name", "t1"}, {"config", QJsonArray{1}}, {"source", QJsonObject{{"type", "image"}, {"alias", "busybox"}}}};
    QTest::newRow("unknown source") << QJsonObject{{"name", "t1"}, {"source", QJsonObject{{"type", "teapot"}}}};
    QTest::newRow("virtual machine") << QJsonObject{{"name", "t1"}, {"type", "virtual-machine"}, {"source", QJsonObject{{"type", "image"}, {"alias", "busybox"}}}};
}

void TestApi::bodiesAreChecked()
{
    QFETCH(QJsonObject, body);
    const Reply reply = m_box.rest("POST", "/1.0/instances", body);
    const int status = reply.status == 202 ? finished(reply)["status_code"].toInt() : reply.status;
    QVERIFY2(status >= 400 && status < 500, reply.raw);
}

void TestApi::manyRequestsOnOneConnection()
{
    QLocalSocket socket;
    socket.connectToServer(m_box.socket());
    QVERIFY(socket.waitForConnected());
    QByteArray seen;
    for (int i = 0; i < 50; ++i)
        socket.write("GET /1.0/instances HTTP/1.1\r\nHost: x\r\n\r\n");
    QVERIFY(Sandbox::eventually([&] {
        socket.waitForReadyRead(50);
        seen += socket.readAll();
        return seen.count("HTTP/1.1 200") == 50;
    }));
}

void TestApi::hugeHeadersAreCutOff()
{
    QLocalSocket socket;
    socket.connectToServer(m_box.socket());
    QVERIFY(socket.waitForConnected());
    socket.write("GET /1.0 HTTP/1.1\r\nHost: x\r\nX-Long: " + QByteArray(4 << 20, 'x'));
    QByteArray seen;
    QVERIFY(Sandbox::eventually([&] {
        socket.waitForReadyRead(50);
        seen += socket.readAll();
        return seen.contains("HTTP/1.1 4") || socket.state() == QLocalSocket::UnconnectedState;
    }));
    QVERIFY(m_box.cli({"list"}).ok());
}

void TestApi::waitForBootedAnswers()
{
    launch("t1");
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1/wait?for=booted&timeout=20", {}, 30000).status, 200);
}

/// A websocket of an operation, up to the server's answer to the handshake.
std::unique_ptr<QLocalSocket> TestApi::openSocket(const QByteArray &operation, const QString &secret, QByteArray &statusLine)
{
    auto socket = std::make_unique<QLocalSocket>();
    socket->connectToServer(m_box.runDir() + "/unix.socket");
    socket->write("GET " + operation + "/websocket?secret=" + secret.toUtf8() +
                  " HTTP/1.1\r\nHost: lxmgr\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    while (!socket->canReadLine() && socket->waitForReadyRead(20000)) {
    }
    statusLine = socket->readLine().trimmed();
    return socket;
}

void TestApi::socketThatComesAfterTheEndIsNoStrangers()
{
    launch("late");
    const Reply accepted = m_box.rest("POST", "/1.0/instances/late/exec",
                                      {{"command", QJsonArray{"true"}}, {"wait-for-websocket", true}, {"interactive", false}});
    QVERIFY2(accepted.status == 202, accepted.raw);
    const QByteArray operation = accepted.body["operation"].toString().toUtf8();
    const QJsonObject secrets = accepted.body["metadata"].toObject()["metadata"].toObject()["fds"].toObject();
    std::vector<std::unique_ptr<QLocalSocket>> streams;
    QByteArray answer;
    for (const char *name : {"0", "1", "2"}) {
        streams.push_back(openSocket(operation, secrets[name].toString(), answer));
        QCOMPARE(answer, QByteArray("HTTP/1.1 101 Switching Protocols"));
    }
    QCOMPARE(finished(accepted)["metadata"].toObject()["return"].toInt(-1), 0);
    const auto control = openSocket(operation, secrets["control"].toString(), answer);
    QCOMPARE(answer, QByteArray("HTTP/1.1 101 Switching Protocols"));
    const QByteArray close = QByteArray::fromHex("880203e8"); // RFC 6455: a close frame with code 1000
    QByteArray after = control->readAll();
    while (!after.endsWith(close) && control->waitForReadyRead(20000))
        after += control->readAll();
    QVERIFY2(after.endsWith(close), after.toHex());
    (void)openSocket(operation, QString(64, 'a'), answer);
    QCOMPARE(answer, QByteArray("HTTP/1.1 403 Forbidden"));
}

void TestApi::aListAsksNeitherGuestsNorPools()
{
    for (const char *name : {"t1", "t2"})
        launch(name);
    const int monitor = m_box.monitorPid("t1"); // one that never answers holds nobody up
    const QString trace = m_box.directory() + "/trace";
    QProcess tracer;
    tracer.start("strace", {"-f", "-qq", "-e", "trace=%file,connect,setns", "-o", trace, "-p", QString::number(m_box.daemonPid())});
    if (!tracer.waitForStarted())
        QSKIP("needs strace");
    QVERIFY(Sandbox::eventually([&] { return !run({"sh", "-c", "grep -v '^TracerPid:\\s0' /proc/" + QString::number(m_box.daemonPid()) + "/status | grep TracerPid"}).out.isEmpty(); }));
    QCOMPARE(::kill(monitor, SIGSTOP), 0);
    const auto goesOn = qScopeGuard([&] { ::kill(monitor, SIGCONT); });
    const Reply names = m_box.rest("GET", "/1.0/instances"), all = m_box.rest("GET", "/1.0/instances?recursion=1");
    const Run table = m_box.cli({"list", "-f", "csv", "-c", "nst"});
    ::kill(static_cast<pid_t>(tracer.processId()), SIGINT);
    QVERIFY(tracer.waitForFinished());
    QCOMPARE(names.body["metadata"].toArray().size(), 2);
    QCOMPARE(all.body["metadata"].toArray().size(), 2);
    QVERIFY2(table.ok() && table.out.count("RUNNING") == 2, table.told());
    QFile file(trace);
    QVERIFY(file.open(QIODevice::ReadOnly));
    for (const QByteArray &line : file.readAll().split('\n'))
        for (const char *touched : {"/storage-pools", "/instances/", "/proc/", "setns(", "sun_path"})
            QVERIFY2(!line.contains(touched), line);
    // Addresses and use are asked of the kernel, and of nobody inside.
    const Run full = m_box.cli({"list", "-f", "csv"}, {}, 20000);
    QVERIFY2(full.ok() && full.out.count("RUNNING") == 2, full.told());
}

QTEST_GUILESS_MAIN(TestApi)
#include "tst_rest.moc"

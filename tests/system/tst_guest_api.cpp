// The guest API, asked from inside: a guest learns of itself, of nobody else, and within bounds.
#include "support/system_test.h"

#include <QJsonArray>
#include <QJsonDocument>

using namespace lxmgr::test;

class TestGuestApi : public SystemTest
{
    Q_OBJECT
private slots:
    void guestLearnsOfItself();
    void guestSeesWhatIsForItAlone();
    void everybodyInsideMayAskNobodyMayChangeTheSocket();
    void guestSaysThatItIsReady();
    void changesAreTold();
    void daemonThatComesBackServesAgain();
    void offAndOnWhileItRuns();
    void boundsHold();

private:
    /// Bytes as they come back from the guest's socket.
    QByteArray raw(const QString &name, const QByteArray &request, const QString &socket = "/dev/lxd/sock")
    {
        return exec(name, {"/probe", "ask", socket}, request).out;
    }
    struct Answer {
        int status = 0;
        QByteArray head, body;
    };
    Answer ask(const QString &name, const QByteArray &verb, const QByteArray &path, const QByteArray &body = {}, const QString &socket = "/dev/lxd/sock")
    {
        const QByteArray all = raw(name, verb + " " + path + " HTTP/1.1\r\nHost: lxd\r\nConnection: close\r\nContent-Length: " +
                                             QByteArray::number(body.size()) + "\r\n\r\n" + body, socket);
        const qsizetype end = all.indexOf("\r\n\r\n");
        return {all.mid(9, 3).toInt(), all.left(end), end < 0 ? all : all.mid(end + 4)};
    }
    QJsonDocument json(const QString &name, const QByteArray &path) { return QJsonDocument::fromJson(ask(name, "GET", path).body); }
    void give(const QString &name, const QStringList &extra = {})
    {
        launch(name, extra);
        giveProbe(name);
    }
};

void TestGuestApi::guestLearnsOfItself()
{
    give("t1", {"-c", "user.a=b c", "-c", "cloud-init.user-data=#cloud-config\n{}\n", "-c", "limits.processes=500", "-c", "user.meta-data=x: 1\n"});
    QCOMPARE(ask("t1", "GET", "/").body.trimmed(), QByteArray("[\"/1.0\"]"));
    const QJsonObject about = json("t1", "/1.0").object();
    QCOMPARE(about["api_version"].toString(), QString("1.0"));
    QCOMPARE(about["instance_type"].toString(), QString("container"));
    QCOMPARE(about["state"].toString(), QString("Started"));
    QCOMPARE(json("t1", "/1.0/config").array(), (QJsonArray{"/1.0/config/cloud-init.user-data", "/1.0/config/user.a", "/1.0/config/user.meta-data"}));
    const Answer value = ask("t1", "GET", "/1.0/config/user.a");
    QCOMPARE(value.status, 200);
    QCOMPARE(value.body, QByteArray("b c"));
    QVERIFY(!value.head.contains("application/json"));
    QCOMPARE(ask("t1", "GET", "/1.0/config/cloud-init.user-data").body, QByteArray("#cloud-config\n{}\n"));
    const QByteArray id = m_box.text({"config", "get", "t1", "volatile.cloud-init.instance-id"});
    QCOMPARE(ask("t1", "GET", "/1.0/meta-data").body, "#cloud-config\ninstance-id: " + id + "\nlocal-hostname: t1\nx: 1\n");
    const QJsonObject devices = json("t1", "/1.0/devices").object();
    QCOMPARE(devices["root"].toObject()["path"].toString(), QString("/"));
    QCOMPARE(devices["eth0"].toObject()["hwaddr"].toString().toUtf8(), m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"}));
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.a", {}, "/dev/incus/sock").body, QByteArray("b c"));
    // One connection, several requests, the later ones before the first is answered.
    const QByteArray both = raw("t1", "GET /1.0/config/user.a HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    QVERIFY2(both.contains("b c") && both.contains("[\"/1.0\"]"), both);
}

void TestGuestApi::guestSeesWhatIsForItAlone()
{
    give("t1", {"-c", "user.who=t1", "-c", "limits.processes=500"});
    give("t2", {"-c", "user.who=t2"});
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.who").body, QByteArray("t1"));
    QCOMPARE(ask("t2", "GET", "/1.0/config/user.who").body, QByteArray("t2"));
    const Answer forbidden = ask("t1", "GET", "/1.0/config/limits.processes");
    QCOMPARE(forbidden.status, 403);
    QCOMPARE(forbidden.body, QByteArray("not authorized\n"));
    QCOMPARE(ask("t1", "GET", "/1.0/config/volatile.uuid").status, 403);
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.none").status, 404);
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.who?project=other").body, QByteArray("t1"));
    QCOMPARE(ask("t1", "GET", "/1.0/instances").status, 404);
    QCOMPARE(ask("t1", "GET", "/1.0/../1.0").status, 400);
    QCOMPARE(ask("t1", "DELETE", "/1.0/config/user.who").status, 405);
    QCOMPARE(ask("t1", "PUT", "/1.0/config/user.who", "x").status, 405);
    QCOMPARE(ask("t1", "GET", "/1.0/images/0123/export").status, 403);
}

void TestGuestApi::everybodyInsideMayAskNobodyMayChangeTheSocket()
{
    give("t1", {"-c", "user.a=b"});
    QCOMPARE(inside("t1", {"stat", "-c", "%a %u %F", "/dev/lxd/sock"}), QByteArray("666 0 socket"));
    const Run other = m_box.cli({"exec", "t1", "--user", "1234", "--", "/probe", "ask", "/dev/lxd/sock"},
                                "GET /1.0/config/user.a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    QVERIFY2(other.out.endsWith("\r\n\r\nb"), other.told());
    for (const char *command : {"rm /dev/lxd/sock", "touch /dev/lxd/x", "mount -o remount,bind,rw /dev/lxd && touch /dev/lxd/x", "ln -s /etc /dev/incus/y"}) {
        const Run tried = exec("t1", {"sh", "-c", command});
        QVERIFY2(!tried.ok(), command);
    }
    QCOMPARE(inside("t1", {"ls", "/dev/lxd", "/dev/incus"}), QByteArray("/dev/incus:\nsock\n\n/dev/lxd:\nsock"));
}

void TestGuestApi::guestSaysThatItIsReady()
{
    give("t1");
    const int before = static_cast<int>(m_box.text({"config", "get", "t1", "volatile.last_state.ready"}).size());
    QCOMPARE(before, 0);
    QCOMPARE(ask("t1", "PATCH", "/1.0", "{\"state\":\"Ready\"}").status, 200);
    QCOMPARE(m_box.text({"config", "get", "t1", "volatile.last_state.ready"}), QByteArray("true"));
    QCOMPARE(json("t1", "/1.0").object()["state"].toString(), QString("Ready"));
    QCOMPARE(ask("t1", "PATCH", "/1.0", "{\"state\":\"Nice\"}").status, 400);
    QCOMPARE(ask("t1", "PATCH", "/1.0", "{\"state\":\"Started\"}").status, 200);
    QCOMPARE(json("t1", "/1.0").object()["state"].toString(), QString("Started"));
    QCOMPARE(ask("t1", "PATCH", "/1.0", "{\"state\":\"Ready\"}").status, 200);
    must({"restart", "--force", "t1"});
    QCOMPARE(json("t1", "/1.0").object()["state"].toString(), QString("Started"));
}

void TestGuestApi::changesAreTold()
{
    give("t1", {"-c", "user.a=old"});
    QProcess listener;
    listener.setProcessEnvironment(m_box.environment());
    listener.start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "/probe", "ask", "/dev/lxd/sock"});
    listener.write("GET /1.0/events?type=config,device HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    QByteArray seen;
    const auto shows = [&](const QByteArray &text) {
        return Sandbox::eventually([&] {
            listener.waitForReadyRead(50);
            seen += listener.readAllStandardOutput();
            return seen.contains(text);
        });
    };
    QVERIFY2(shows("101 Switching Protocols"), seen);
    must({"config", "set", "t1", "user.a=new", "limits.processes=400"});
    QVERIFY2(shows(R"("type":"config","metadata":{"key":"user.a","old_value":"old","value":"new"})"), seen);
    must({"config", "device", "add", "t1", "srv", "disk", "source=/tmp", "path=/srv"});
    QVERIFY2(shows(R"("metadata":{"action":"added","name":"srv")"), seen);
    must({"config", "device", "remove", "t1", "srv"});
    QVERIFY2(shows(R"("metadata":{"action":"removed","name":"srv")"), seen);
    QVERIFY2(!seen.contains("limits.processes"), seen);
    listener.closeWriteChannel();
    must({"stop", "--force", "t1"});
    QVERIFY(listener.waitForFinished());
}

void TestGuestApi::daemonThatComesBackServesAgain()
{
    give("t1", {"-c", "user.a=b"});
    const int init = m_box.initPid("t1");
    m_box.killDaemon();
    QCOMPARE(QByteArray(m_box.startDaemon() ? "up" : "down"), QByteArray("up"));
    QCOMPARE(m_box.initPid("t1"), init);
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.a").body, QByteArray("b"));
    m_box.stopDaemon();
    QCOMPARE(QByteArray(m_box.startDaemon() ? "up" : "down"), QByteArray("up"));
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.a").body, QByteArray("b"));
}

void TestGuestApi::offAndOnWhileItRuns()
{
    give("t1", {"-c", "security.devlxd=false", "-c", "user.a=b"});
    QCOMPARE(raw("t1", "x").trimmed(), QByteArray("ENOENT"));
    must({"config", "set", "t1", "security.devlxd=true"});
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.a").body, QByteArray("b"));
    must({"config", "set", "t1", "security.guestapi=false"});
    QCOMPARE(raw("t1", "x").trimmed(), QByteArray("ENOENT"));
    must({"config", "unset", "t1", "security.guestapi"});
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.a").body, QByteArray("b"));
    const Run images = m_box.cli({"config", "set", "t1", "security.devlxd.images=true"});
    QVERIFY2(!images.ok() && images.err.contains("'security.devlxd.images' is not supported"), images.told());
}

void TestGuestApi::boundsHold()
{
    give("t1", {"-c", "user.a=b"});
    QVERIFY(raw("t1", "GET /" + QByteArray(20000, 'x') + " HTTP/1.1\r\n\r\n").startsWith("HTTP/1.1 400"));
    QVERIFY(raw("t1", "PATCH /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + QByteArray(100000, ' ')).startsWith("HTTP/1.1 400"));
    QVERIFY(raw("t1", "\x16\x03\x01 hello\r\n\r\n").startsWith("HTTP/1.1 400"));
    // Some are held open; the one too many is closed, and room comes back with their end.
    QCOMPARE(inside("t1", {"sh", "-c",
                           "for i in $(seq 16); do (sleep 100 | /probe ask /dev/lxd/sock) & done; "
                           "until [ $(grep -c ' 0001 03 ' /proc/net/unix) -ge 16 ]; do sleep 0.1; done; echo full"}),
             QByteArray("full"));
    QCOMPARE(ask("t1", "GET", "/1.0/config/user.a").body, QByteArray());
    must({"exec", "t1", "--", "sh", "-c", "kill $(pidof probe); exit 0"});
    QVERIFY(Sandbox::eventually([&] { return ask("t1", "GET", "/1.0/config/user.a").body == "b"; }));
    // A flood is answered with 429, by which nobody else is kept waiting.
    give("t2", {"-c", "user.a=c"});
    const QByteArray flood = raw("t1", QByteArray("GET / HTTP/1.1\r\nHost: x\r\n\r\n").repeated(400) + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    QVERIFY2(flood.contains("429"), flood.right(300));
    QCOMPARE(ask("t2", "GET", "/1.0/config/user.a").body, QByteArray("c"));
    // … until it has been quiet for a while.
    QVERIFY(Sandbox::eventually([&] { return ask("t1", "GET", "/1.0").status == 200; }));
}

QTEST_GUILESS_MAIN(TestGuestApi)
#include "tst_guest_api.moc"

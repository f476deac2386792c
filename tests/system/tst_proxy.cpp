// Proxy devices: what goes through them in both directions, who is told what, and that nothing of them stays.
#include "support/system_test.h"

#include <QDir>
#include <QElapsedTimer>

#include <arpa/inet.h>
#include <csignal>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lxmgr::test;

namespace
{

/// A server on the host, until it goes out of scope.
class Answering
{
public:
    explicit Answering(const QStringList &words)
    {
        m_process.start(Sandbox::program("lxmgr-probe"), QStringList{"answer"} + words);
        m_ready = m_process.waitForStarted() && m_process.waitForReadyRead() && m_process.readAll() == "ready\n";
    }
    ~Answering()
    {
        m_process.kill();
        m_process.waitForFinished();
    }
    bool isReady() const { return m_ready; }
    QByteArray pid() const { return QByteArray::number(m_process.processId()); }

private:
    QProcess m_process;
    bool m_ready = false;
};

/// A TCP client of the test's own.
class Client
{
public:
    explicit Client(int port) : m_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(static_cast<std::uint16_t>(port));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        m_connected = ::connect(m_fd, reinterpret_cast<sockaddr *>(&to), sizeof to) == 0;
    }
    ~Client() { ::close(m_fd); }
    bool isConnected() const { return m_connected; }
    /// Sends that many bytes.
    bool push(std::size_t bytes)
    {
        const std::vector<char> block(1U << 20, 'x');
        while (bytes > 0) {
            const ssize_t sent = ::send(m_fd, block.data(), std::min(bytes, block.size()), MSG_NOSIGNAL);
            if (sent <= 0)
                return false;
            bytes -= static_cast<std::size_t>(sent);
        }
        return true;
    }
    QByteArray finish()
    {
        ::shutdown(m_fd, SHUT_WR);
        QByteArray answer;
        char part[4096];
        for (ssize_t got; (got = ::read(m_fd, part, sizeof part)) > 0;)
            answer.append(part, got);
        return answer;
    }

private:
    int m_fd;
    bool m_connected = false;
};

} // namespace

class TestProxy : public SystemTest
{
    Q_OBJECT
private slots:
    void everyPairIsCarried_data();
    void everyPairIsCarried();
    void rangesAndListsKeepTheirPorts();
    void silenceOfOneSideIsNotItsEnd();
    void theFirstLineTellsWhoConnected();
    void socketFilesHaveOwnerAndMode();
    void itConnectsAsWhoItIsTold();
    void pathsInsideAreTheGuests();
    void aTakenPortIsNamed();
    void anotherGuestsPortIsNamed();
    void aStartOnATakenPortLeavesNothing();
    void itComesAndGoesWhileTheGuestRuns();
    void whatForwardsHasNoRights();
    void itIsStartedAgainWhenItDies();
    void itNeedsNoDaemon();
    void aRebootKeepsIt();
    void itGoesWithTheGuest();
    void theShippedAgentWorks();
    void natIsDoneByTheFirewall();
    void natIsDoneByTheFirewallForIpv6();
    void natAndForwardsAreToldApart_data();
    void natAndForwardsAreToldApart();
    void theDoctorTellsWhatAProxyDoesNotGet();
    void natGoesWithAGuestThatEndsUnseen();
    void whatCannotBeIsRefused_data();
    void whatCannotBeIsRefused();
    void itIsFast();

private:
    void start(const QString &name = "t1", const QStringList &extra = {})
    {
        launch(name, extra);
        giveProbe(name);
    }
    void add(const QStringList &words, const QString &name = "t1") { must(QStringList{"config", "device", "add", name} + words); }
    void answerInside(const QStringList &words, const QString &name = "t1")
    {
        QCOMPARE(inside(name, QStringList{"/probe", "answer", "-d"} + words), "ready");
    }
    QByteArray ask(const QStringList &words) { return run(QStringList{Sandbox::program("lxmgr-probe"), "request"} + words).out.trimmed(); }
    QByteArray askInside(const QStringList &words, const QString &name = "t1") { return inside(name, QStringList{"/probe", "request"} + words); }
    QByteArray refusal(const QStringList &args)
    {
        const Run run = m_box.cli(args);
        return run.status == 0 ? QByteArray("it was done") : run.err;
    }
    QString path(const QString &name) const { return m_box.directory() + "/" + name; }
    /// Of what forwards for a running instance: device → process.
    QMap<QString, int> forwarders(const QString &instance = "t1")
    {
        QMap<QString, int> found;
        const QByteArray monitor = QByteArray::number(m_box.monitorPid(instance));
        for (const QString &entry : QDir("/proc").entryList(QDir::Dirs)) {
            QFile file("/proc/" + entry + "/cmdline");
            const QList<QByteArray> words = file.open(QIODevice::ReadOnly) ? file.readAll().split('\0') : QList<QByteArray>();
            if (words.value(0) == "lxmgr-monitor" && words.value(1) == "proxy" && statusOf(entry.toInt(), "PPid") == monitor)
                found.insert(QString::fromUtf8(words.value(3)), entry.toInt());
        }
        return found;
    }
    int forwarder(const QString &device) { return forwarders().value(device, 0); }
    static QByteArray statusOf(int pid, const QByteArray &field)
    {
        QFile file("/proc/" + QString::number(pid) + "/status");
        if (file.open(QIODevice::ReadOnly))
            for (const QByteArray &line : file.readAll().split('\n'))
                if (line.startsWith(field + ":"))
                    return line.mid(field.size() + 1).simplified();
        return {};
    }
    QByteArray tables() { return run({"nft", "list", "tables", "inet"}).out; }
};

void TestProxy::everyPairIsCarried_data()
{
    QTest::addColumn<QString>("from");
    QTest::addColumn<QString>("to");
    for (const char *from : {"tcp", "tcp6", "udp", "unix", "abstract"})
        for (const char *to : {"tcp", "udp", "unix", "abstract"})
            QTest::addRow("%s to %s", from, to) << QString(from) << QString(to);
}

void TestProxy::everyPairIsCarried()
{
    QFETCH(QString, from);
    QFETCH(QString, to);
    start();
    // kind → how the device says it, and how the probe does; `side` keeps the two sides' ports apart.
    const auto device = [&](const QString &kind, const QString &side) {
        return kind == "tcp"    ? "tcp:127.0.0.1:8" + side
               : kind == "tcp6" ? "tcp:[::1]:8" + side
               : kind == "udp"  ? "udp:127.0.0.1:8" + side
               : kind == "unix" ? "unix:" + path("s" + side)
                                : "unix:@" + m_box.directory() + side;
    };
    const auto words = [&](const QString &kind, const QString &side) {
        return kind == "tcp"    ? QStringList{"tcp", "127.0.0.1", "8" + side}
               : kind == "tcp6" ? QStringList{"tcp", "::1", "8" + side}
               : kind == "udp"  ? QStringList{"udp", "127.0.0.1", "8" + side}
               : kind == "unix" ? QStringList{"unix", path("s" + side), "0"}
                                : QStringList{"unix", "@" + m_box.directory() + side, "0"};
    };
    const auto holds = [](const QByteArray &answer, const QByteArray &text) { return answer.endsWith(text); };
    const QStringList once = to == "udp" ? QStringList{"-1"} : QStringList(); // datagrams have no end to be told
    // A stream server answers at the end of what was said, which datagrams have none of; and it cannot be told to a datagram's.
    const bool halfAnswered = from == "udp" && to != "udp";
    // The folder of a socket file is the same on both sides, so that one name does for both.
    must({"exec", "t1", "--", "mkdir", "-p", m_box.directory()});

    answerInside(words(to, "001"));
    add({"p", "proxy", "listen=" + device(from, "002"), "connect=" + device(to, "001")});
    if (halfAnswered) {
        must({"config", "device", "remove", "t1", "p"});
        return;
    }
    const QByteArray there = ask(once + words(from, "002") + QStringList{"hello in there"});
    QVERIFY2(holds(there, "hello in there"), there);

    Answering server(words(to, "003"));
    QVERIFY(server.isReady());
    add({"q", "proxy", "bind=instance", "listen=" + device(from, "004"), "connect=" + device(to, "003")});
    const QByteArray back = askInside(once + words(from, "004") + QStringList{"hello out there"});
    QVERIFY2(holds(back, "hello out there"), back);
    if (from == "tcp" && to == "tcp") // More than one datagram's or one pipe's worth, and one after the other.
        for (int i = 0; i < 50; ++i)
            QCOMPARE(ask(words(from, "002") << QString::number(i)), QByteArray("8001 ") + QByteArray::number(i));
    QFile::remove(path("s003"));
}

void TestProxy::rangesAndListsKeepTheirPorts()
{
    start();
    answerInside({"tcp", "127.0.0.1", "7000", "7001", "7005"});
    add({"same", "proxy", "listen=tcp:127.0.0.1:9000-9001,9005", "connect=tcp:127.0.0.1:7000-7001,7005"});
    add({"one", "proxy", "listen=tcp:0.0.0.0:9100-9102", "connect=tcp:127.0.0.1:7005"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "9000", "x"}), "7000 x");
    QCOMPARE(ask({"tcp", "127.0.0.1", "9001", "x"}), "7001 x");
    QCOMPARE(ask({"tcp", "127.0.0.1", "9005", "x"}), "7005 x");
    QCOMPARE(ask({"tcp", "127.0.0.1", "9004", "x"}), "ECONNREFUSED");
    QCOMPARE(ask({"tcp", "127.0.0.1", "9100", "x"}), "7005 x");
    QCOMPARE(ask({"tcp", "127.0.0.1", "9102", "x"}), "7005 x");
}

void TestProxy::silenceOfOneSideIsNotItsEnd()
{
    start();
    answerInside({"tcp", "127.0.0.1", "80"});
    add({"p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    Client waiting(8080); // says nothing yet, while the others are served
    QVERIFY(waiting.isConnected());
    Client client(8080);
    QVERIFY(client.push(32U << 20));
    QCOMPARE(client.finish(), "80 33554432 bytes");
    QVERIFY(waiting.push(5));
    QCOMPARE(waiting.finish(), "80 xxxxx");
    // Nobody behind it: the client learns that at once.
    add({"q", "proxy", "listen=tcp:127.0.0.1:8081", "connect=tcp:127.0.0.1:81"});
    QVERIFY(ask({"tcp", "127.0.0.1", "8081", "x"}).contains("ECONNRESET"));
}

void TestProxy::theFirstLineTellsWhoConnected()
{
    start();
    answerInside({"tcp", "127.0.0.1", "80"});
    add({"p", "proxy", "listen=tcp:[::]:8080", "connect=tcp:127.0.0.1:80", "proxy_protocol=true"});
    add({"u", "proxy", "listen=unix:" + path("u"), "connect=tcp:127.0.0.1:80", "proxy_protocol=true"});
    const QByteArray four = ask({"tcp", "127.0.0.1", "8080", "x"}), six = ask({"tcp", "::1", "8080", "x"});
    QVERIFY2(four.startsWith("80 PROXY TCP4 127.0.0.1 127.0.0.1 ") && four.endsWith(" 8080\r\nx"), four);
    QVERIFY2(six.startsWith("80 PROXY TCP6 ::1 ::1 ") && six.endsWith(" 8080\r\nx"), six);
    QCOMPARE(ask({"unix", path("u"), "0", "x"}), "80 PROXY UNKNOWN\r\nx");
}

void TestProxy::socketFilesHaveOwnerAndMode()
{
    start();
    answerInside({"tcp", "127.0.0.1", "80"});
    add({"p", "proxy", "listen=unix:" + path("s"), "connect=tcp:127.0.0.1:80", "uid=1234", "gid=2345", "mode=0620"});
    struct stat info {
    };
    QCOMPARE(::stat(path("s").toUtf8().constData(), &info), 0);
    QCOMPARE(info.st_uid, 1234U);
    QCOMPARE(info.st_gid, 2345U);
    QCOMPARE(info.st_mode & 07777U, 0620U);
    add({"q", "proxy", "bind=instance", "listen=unix:/run/a/b/s", "connect=tcp:127.0.0.1:1", "uid=12", "gid=23", "mode=0600"});
    QCOMPARE(inside("t1", {"stat", "-c", "%u %g %a", "/run/a/b/s"}), "12 23 600");
    QCOMPARE(inside("t1", {"stat", "-c", "%u %g %a", "/run/a/b"}), "0 0 755");
    must({"config", "device", "remove", "t1", "q"});
    QCOMPARE(inside("t1", {"ls", "/run/a/b"}), "");
    must({"config", "device", "remove", "t1", "p"});
    QVERIFY(!QFile::exists(path("s")));
    // What another put there in the meantime is left alone.
    add({"p", "proxy", "listen=unix:" + path("s"), "connect=tcp:127.0.0.1:80"});
    QVERIFY(QFile::remove(path("s")));
    QFile other(path("s"));
    QVERIFY(other.open(QIODevice::WriteOnly));
    must({"config", "device", "remove", "t1", "p"});
    QVERIFY(QFile::remove(path("s")));
}

void TestProxy::itConnectsAsWhoItIsTold()
{
    start();
    Answering server({"unix", path("host")});
    QVERIFY(server.isReady());
    QVERIFY(QFile(path("host")).setPermissions(QFile::Permissions::fromInt(0x6666)));
    QVERIFY(QFile(m_box.directory()).setPermissions(QFile::Permissions::fromInt(0x7755))); // to be walked through
    answerInside({"unix", "/run/inside"});
    add({"boss", "proxy", "bind=instance", "listen=unix:/run/boss", "connect=unix:" + path("host")});
    add({"user", "proxy", "bind=instance", "listen=unix:/run/user", "connect=unix:" + path("host"), "security.uid=1234", "security.gid=2345"});
    add({"in", "proxy", "listen=unix:" + path("in"), "connect=unix:/run/inside"});
    QCOMPARE(askInside({"unix", "/run/boss", "0", "x"}), "0 uid 0 gid 0 x");
    QCOMPARE(askInside({"unix", "/run/user", "0", "x"}), "0 uid 1234 gid 2345 x");
    QCOMPARE(ask({"unix", path("in"), "0", "x"}), "0 uid 0 gid 0 x");
    // What that user may not, it may not.
    QVERIFY(QFile(path("host")).setPermissions(QFile::Permissions::fromInt(0x6600)));
    QVERIFY(!askInside({"unix", "/run/user", "0", "x"}).contains("uid"));
    QCOMPARE(askInside({"unix", "/run/boss", "0", "x"}), "0 uid 0 gid 0 x");
    QFile::remove(path("host"));
}

void TestProxy::pathsInsideAreTheGuests()
{
    start();
    Answering trap({"unix", path("trap")});
    QVERIFY(trap.isReady());
    must({"exec", "t1", "--", "mkdir", "-p", m_box.directory()});
    QCOMPARE(inside("t1", {"ln", "-s", "/../../.." + path("trap"), "/run/link"}), "");
    add({"p", "proxy", "listen=unix:" + path("s"), "connect=unix:/run/link"});
    QVERIFY(!ask({"unix", path("s"), "0", "x"}).contains("uid")); // the host's is not reached
    answerInside({"unix", path("trap")});
    QVERIFY(ask({"unix", path("s"), "0", "y"}).contains("uid 0 gid 0 y"));
    // A listener: the link leads to a folder of the guest's.
    QCOMPARE(inside("t1", {"ln", "-s", "/../../.." + m_box.directory(), "/run/folder"}), "");
    add({"q", "proxy", "bind=instance", "listen=unix:/run/folder/deep/q", "connect=tcp:127.0.0.1:1"});
    QVERIFY(!QFile::exists(path("deep")));
    QCOMPARE(inside("t1", {"ls", path("deep")}), "q");
    QFile::remove(path("trap"));
}

void TestProxy::aTakenPortIsNamed()
{
    start();
    Answering server({"tcp", "127.0.0.1", "8080"}), datagrams({"udp", "::", "8080"}), file({"unix", path("s")});
    QVERIFY(server.isReady() && datagrams.isReady() && file.isReady());
    const QByteArray before = m_box.text({"config", "show", "t1"});
    const auto refused = [&](const QString &listen) {
        return refusal({"config", "device", "add", "t1", "p", "proxy", "listen=" + listen, "connect=tcp:127.0.0.1:80"});
    };
    const auto named = [](const Answering &who) { return "is taken by lxmgr-probe (process " + who.pid() + ")"; };
    QByteArray said = refused("tcp:0.0.0.0:8079-8080");
    QVERIFY2(said.contains("device 'p': tcp 0.0.0.0:8080 " + named(server)), said);
    QCOMPARE(ask({"tcp", "127.0.0.1", "8079", "x"}), "ECONNREFUSED"); // neither is the other one listened on
    said = refused("udp:127.0.0.1:8080");
    QVERIFY2(said.contains("udp 127.0.0.1:8080 " + named(datagrams)), said);
    said = refused("unix:" + path("s"));
    QVERIFY2(said.contains(named(file)), said);
    said = refused("tcp:198.51.100.1:80");
    QVERIFY2(said.contains("no interface has this address"), said);
    said = refused("unix:/nowhere/at/all");
    QVERIFY2(said.contains("its folder has to be there"), said);
    answerInside({"tcp", "127.0.0.1", "8081"});
    said = refusal({"config", "device", "add", "t1", "p", "proxy", "bind=instance", "listen=tcp:127.0.0.1:8081", "connect=tcp:127.0.0.1:80"});
    QVERIFY2(said.contains("tcp 127.0.0.1:8081 is taken by probe (process "), said);
    QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    QFile::remove(path("s"));
}

void TestProxy::anotherGuestsPortIsNamed()
{
    start();
    add({"web", "proxy", "listen=tcp:0.0.0.0:8080", "connect=tcp:127.0.0.1:80"});
    // A stopped one may have the same, until it is started.
    must({"create", "busybox", "t2", "-d", "www,type=proxy,listen=tcp:127.0.0.1:8080,connect=tcp:127.0.0.1:80"});
    const QByteArray said = refusal({"start", "t2"});
    QVERIFY2(said.contains("device 'www': tcp 127.0.0.1:8080 is taken by device 'web' of instance 't1'"), said);
    QCOMPARE(m_box.stateOf("t2"), "STOPPED");
    must({"stop", "t1", "--force"});
    must({"start", "t2"});
    const QByteArray other = refusal({"start", "t1"});
    QVERIFY2(other.contains("device 'web': tcp 0.0.0.0:8080 is taken by device 'www' of instance 't2'"), other);
}

void TestProxy::aStartOnATakenPortLeavesNothing()
{
    must({"create", "busybox", "t1", "-d", "a,type=proxy,listen=unix:" + path("a") + ",connect=tcp:127.0.0.1:1", "-d",
          "b,type=proxy,listen=tcp:127.0.0.1:8080,connect=tcp:127.0.0.1:80", "-d",
          "c,type=proxy,bind=instance,listen=unix:/dev/null/x,connect=tcp:127.0.0.1:1"});
    {
        Answering server({"tcp", "127.0.0.1", "8080"});
        QVERIFY(server.isReady());
        const QByteArray said = refusal({"start", "t1"});
        QVERIFY2(said.contains("start 't1': device 'b': tcp 127.0.0.1:8080 is taken by lxmgr-probe (process " + server.pid() + ")"), said);
        QCOMPARE(m_box.stateOf("t1"), "STOPPED");
        QVERIFY(!QFile::exists(path("a")));
    }
    // The next one is met only when the guest is there already.
    const QByteArray said = refusal({"start", "t1"});
    QVERIFY2(said.contains("start 't1': device 'c'"), said);
    QCOMPARE(m_box.stateOf("t1"), "STOPPED");
    QVERIFY(!QFile::exists(path("a")));
    must({"config", "device", "remove", "t1", "c"});
    must({"start", "t1"});
    QVERIFY(QFile::exists(path("a")));
}

void TestProxy::itComesAndGoesWhileTheGuestRuns()
{
    start();
    answerInside({"tcp", "127.0.0.1", "80", "81"});
    add({"p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "80 x");
    must({"config", "device", "set", "t1", "p", "connect=tcp:127.0.0.1:81"}); // the same port, in one go
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "81 x");
    // A change that fails leaves what was there.
    Answering server({"tcp", "127.0.0.1", "8090"});
    QVERIFY(server.isReady());
    QVERIFY(refusal({"config", "device", "set", "t1", "p", "listen=tcp:127.0.0.1:8090"}).contains("is taken by"));
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "81 x");
    // So does one of another device in the same change.
    const QByteArray said = refusal({"config", "device", "add", "t1", "d", "disk", "source=/nowhere", "path=/x"});
    QVERIFY2(said.contains("/nowhere"), said);
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "81 x");
    must({"config", "device", "remove", "t1", "p"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "ECONNREFUSED");
    QCOMPARE(forwarder("p"), 0);
    // By a profile.
    must({"profile", "create", "web"});
    must({"profile", "device", "add", "web", "p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    must({"profile", "add", "t1", "web"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "80 x");
    must({"profile", "device", "set", "web", "p", "connect=tcp:127.0.0.1:81"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "81 x");
    must({"profile", "remove", "t1", "web"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "ECONNREFUSED");
    must({"profile", "delete", "web"});
}

void TestProxy::whatForwardsHasNoRights()
{
    start();
    add({"tcp", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    add({"out", "proxy", "bind=instance", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    add({"file", "proxy", "bind=instance", "listen=tcp:127.0.0.1:8081", "connect=unix:/run/x"});
    add({"user", "proxy", "bind=instance", "listen=tcp:127.0.0.1:8082", "connect=unix:/run/x", "security.uid=1234"});
    for (const auto &[device, capabilities] : {std::pair{"tcp", "0000000000000000"}, {"out", "0000000000000000"},
                                               {"file", "0000000000000002"}, {"user", "0000000000000000"}}) {
        const int pid = forwarder(device);
        QVERIFY2(pid != 0, device);
        for (const char *set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
            const bool some = QByteArray(set) != "CapInh" && QByteArray(set) != "CapAmb";
            QCOMPARE(statusOf(pid, set), QByteArray(some ? capabilities : "0000000000000000"));
        }
        QCOMPARE(statusOf(pid, "Seccomp"), "2");
        QCOMPARE(statusOf(pid, "NoNewPrivs"), "1");
        QCOMPARE(statusOf(pid, "Groups"), "");
    }
    QVERIFY(statusOf(forwarder("tcp"), "Uid") == statusOf(m_box.initPid("t1"), "Uid")); // the guest's root
    QCOMPARE(statusOf(forwarder("user"), "Uid"), "1234 1234 1234 1234");
    // Nobody inside sees it.
    QVERIFY(!inside("t1", {"ps"}).contains("proxy"));
}

void TestProxy::itIsStartedAgainWhenItDies()
{
    start();
    answerInside({"tcp", "127.0.0.1", "80"});
    add({"p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    for (int round = 0; round < 2; ++round) {
        const int pid = forwarder("p");
        QVERIFY(pid != 0);
        QCOMPARE(::kill(pid, SIGKILL), 0);
        QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "80 x"); // it waits in the queue of the listener, which the monitor has
        QVERIFY(forwarder("p") != pid);
    }
}

void TestProxy::itNeedsNoDaemon()
{
    start();
    answerInside({"tcp", "127.0.0.1", "80"});
    add({"p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    Client client(8080);
    QVERIFY(client.push(10));
    const int pid = forwarder("p");
    m_box.killDaemon();
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "80 x");
    QVERIFY(client.push(10));
    QVERIFY(m_box.startDaemon());
    QCOMPARE(client.finish(), "80 xxxxxxxxxxxxxxxxxxxx");
    QCOMPARE(forwarder("p"), pid);
    add({"q", "proxy", "listen=tcp:127.0.0.1:8081", "connect=tcp:127.0.0.1:80"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8081", "x"}), "80 x");
    must({"config", "device", "remove", "t1", "p"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "ECONNREFUSED");
}

void TestProxy::aRebootKeepsIt()
{
    start();
    must({"exec", "t1", "--", "sh", "-c", "echo '/probe answer -d tcp 127.0.0.1 80' > /etc/again"});
    add({"p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    add({"q", "proxy", "bind=instance", "listen=unix:/run/q", "connect=tcp:127.0.0.1:8099"});
    Answering server({"tcp", "127.0.0.1", "8099"});
    QVERIFY(server.isReady());
    const int before = forwarder("p");
    (void)exec("t1", {"reboot"});
    QTRY_VERIFY_WITH_TIMEOUT(forwarder("p") != 0 && forwarder("p") != before && exec("t1", {"true"}).status == 0, 60000);
    answerInside({"tcp", "127.0.0.1", "80"});
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "80 x");
    QCOMPARE(askInside({"unix", "/run/q", "0", "x"}), "8099 x");
}

void TestProxy::itGoesWithTheGuest()
{
    start();
    const auto allGone = [](const QMap<QString, int> &pids) {
        return std::none_of(pids.begin(), pids.end(), [](int pid) { return Sandbox::isAlive(pid); });
    };
    add({"p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    add({"q", "proxy", "listen=unix:" + path("q"), "connect=tcp:127.0.0.1:80"});
    QMap<QString, int> both = forwarders();
    QCOMPARE(both.size(), 2);
    must({"stop", "t1"});
    QVERIFY(allGone(both));
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "ECONNREFUSED");
    QVERIFY(!QFile::exists(path("q")));
    must({"start", "t1"});
    both = forwarders();
    QCOMPARE(both.size(), 2);
    must({"stop", "t1", "--force"});
    QVERIFY(allGone(both));
    // Its monitor dies: so does all that depends on it. The socket file that is left is of nobody and is replaced.
    must({"start", "t1"});
    both = forwarders();
    QCOMPARE(both.size(), 2);
    QCOMPARE(::kill(m_box.monitorPid("t1"), SIGKILL), 0);
    QVERIFY(m_box.becomes("t1", "STOPPED"));
    QVERIFY(m_box.eventually([&] { return allGone(both); }));
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "ECONNREFUSED");
    must({"start", "t1"});
    QCOMPARE(forwarders().size(), 2);
    must({"stop", "t1", "--force"});
    QVERIFY(!QFile::exists(path("q")));
}

void TestProxy::theShippedAgentWorks()
{
    QFile shipped(Sandbox::sourceDir() + "/profiles/dev.yaml");
    QVERIFY(shipped.open(QIODevice::ReadOnly));
    QByteArray text;
    bool prose = false;
    for (QByteArray line : shipped.readAll().split('\n')) { // as the comment there says
        prose = line.startsWith("  # Your ssh agent") || (prose && !line.startsWith("  # agent:"));
        if (!prose && (line.startsWith("  # agent:") || line.startsWith("  #   ") || line.startsWith("  # environment.")))
            line.remove(2, 2);
        text += line + "\n";
    }
    const QString socket = path("agent/ssh-agent.sock");
    QVERIFY(QDir().mkpath(path("agent")));
    text.replace("/run/user/1000/ssh-agent.sock", socket.toUtf8());
    must({"profile", "create", "dev"});
    must({"profile", "edit", "dev"}, text);
    Answering agent({"unix", socket});
    QVERIFY(agent.isReady());
    for (const QString &mine : {socket, path("agent")})
        QCOMPARE(::chown(mine.toUtf8().constData(), 1000, 1000), 0);
    QVERIFY(QFile(path("agent")).setPermissions(QFile::Permissions::fromInt(0x7700)));
    QVERIFY(QFile(m_box.directory()).setPermissions(QFile::Permissions::fromInt(0x7755))); // to be walked through
    start("t1", {"-p", "default", "-p", "dev"});
    QCOMPARE(inside("t1", {"sh", "-c", "stat -c '%n %u %g %a' $SSH_AUTH_SOCK"}), "/run/ssh-agent.sock 1000 1000 600");
    QCOMPARE(askInside({"unix", "/run/ssh-agent.sock", "0", "x"}), "0 uid 1000 gid 1000 x");
    QCOMPARE(inside("t1", {"id", "-u", "dev"}), "1000");
    must({"delete", "--force", "t1"});
    must({"profile", "delete", "dev"});
    QFile::remove(socket);
}

void TestProxy::natIsDoneByTheFirewall()
{
    const QByteArray subnet = m_box.text({"network", "get", "lxmgrbr0", "ipv4.address"});
    const QString fixed = QString::fromUtf8(subnet.left(subnet.lastIndexOf('.'))) + ".77";
    RUN_OK(run({"ip", "address", "add", "192.0.2.7/32", "dev", "lo"}));
    start("t1", {"-d", "eth0,ipv4.address=" + fixed});
    start("t2");
    QTRY_VERIFY_WITH_TIMEOUT(inside("t1", {"ip", "-4", "address", "show", "eth0"}).contains(fixed.toUtf8()), 60000);
    QTRY_VERIFY_WITH_TIMEOUT(inside("t2", {"ip", "-4", "route"}).contains("default"), 60000);
    answerInside({"tcp", "0.0.0.0", "80", "81"});
    answerInside({"udp", "0.0.0.0", "53"});
    const QByteArray before = tables();
    add({"p", "proxy", "nat=true", "listen=tcp:192.0.2.7:8080-8081", "connect=tcp:" + fixed + ":80-81"});
    add({"q", "proxy", "nat=true", "listen=udp:192.0.2.7:53", "connect=udp:0.0.0.0:53"});
    QCOMPARE(forwarder("p"), 0);
    QCOMPARE(ask({"tcp", "192.0.2.7", "8080", "x"}), "80 x"); // from the host itself
    QCOMPARE(ask({"tcp", "192.0.2.7", "8081", "x"}), "81 x");
    QCOMPARE(ask({"udp", "192.0.2.7", "53", "x"}), "53 x");
    QCOMPARE(askInside({"tcp", "192.0.2.7", "8080", "x"}, "t2"), "80 x"); // from a neighbour
    QCOMPARE(askInside({"tcp", "192.0.2.7", "8080", "x"}, "t1"), "80 x"); // from the guest itself
    QCOMPARE(askInside({"udp", "192.0.2.7", "53", "x"}, "t1"), "53 x");
    // Another guest may not have the same.
    const QByteArray said = refusal({"config", "device", "add", "t2", "r", "proxy", "listen=tcp:0.0.0.0:8080", "connect=tcp:127.0.0.1:80"});
    QVERIFY2(said.contains("tcp 0.0.0.0:8080 is taken by device 'p' of instance 't1'"), said);
    // Somebody flushes the firewall: the rules come back by themselves.
    RUN_OK(run({"nft", "flush", "ruleset"}));
    QTRY_VERIFY_WITH_TIMEOUT(tables().contains("lxmgr_proxies"), 60000);
    QCOMPARE(ask({"tcp", "192.0.2.7", "8080", "x"}), "80 x");
    must({"config", "device", "remove", "t1", "p"});
    QVERIFY(!ask({"tcp", "192.0.2.7", "8080", "x"}).contains("80 x"));
    QCOMPARE(ask({"udp", "192.0.2.7", "53", "x"}), "53 x");
    must({"stop", "t1", "--force"});
    QCOMPARE(tables(), before);
    must({"start", "t1"});
    QVERIFY(tables().contains("lxmgr_proxies"));
    must({"delete", "--force", "t1", "t2"});
    QCOMPARE(tables(), before);
    RUN_OK(run({"ip", "address", "del", "192.0.2.7/32", "dev", "lo"}));
}

void TestProxy::natIsDoneByTheFirewallForIpv6()
{
    RUN_OK(run({"ip", "-6", "address", "add", "2001:db8::7/128", "dev", "lo"}));
    must({"network", "create", "lxmgrt2", "ipv4.address=none", "ipv6.address=fd42:77:9::1/64", "ipv6.dhcp.stateful=true"});
    start("t1", {"-d", "eth0,network=lxmgrt2,ipv6.address=fd42:77:9::77"});
    start("t2", {"-d", "eth0,network=lxmgrt2,ipv6.address=fd42:77:9::78"});
    // Busybox has no DHCPv6: what its client would do with the answer.
    for (const QString name : {"t1", "t2"})
        QCOMPARE(inside(name, {"sh", "-c", "ip -6 address add fd42:77:9::7" + QString(name == "t1" ? "7" : "8") + "/64 dev eth0"}), "");
    // Connected before that, a socket would have its link-local address for good.
    for (const QString name : {"t1", "t2"})
        QTRY_VERIFY_WITH_TIMEOUT(inside(name, {"sh", "-c", "ip -6 route | grep -q ^default && ip -6 address show eth0 | grep fd42:77:9::7 | grep -q -v tentative && echo yes"}) == "yes", 60000);
    answerInside({"tcp", "::", "80", "81"});
    answerInside({"udp", "::", "53"});
    const QByteArray before = tables();
    add({"p", "proxy", "nat=true", "listen=tcp:[2001:db8::7]:8080-8081", "connect=tcp:[fd42:77:9::77]:80-81"});
    add({"q", "proxy", "nat=true", "listen=udp:[2001:db8::7]:53", "connect=udp:[::]:53"});
    QCOMPARE(forwarder("p"), 0);
    QCOMPARE(ask({"tcp", "2001:db8::7", "8080", "x"}), "80 x"); // from the host itself
    QCOMPARE(ask({"tcp", "2001:db8::7", "8081", "x"}), "81 x");
    QCOMPARE(ask({"udp", "2001:db8::7", "53", "x"}), "53 x");
    QCOMPARE(askInside({"tcp", "2001:db8::7", "8080", "x"}, "t2"), "80 x"); // from a neighbour
    QCOMPARE(askInside({"tcp", "2001:db8::7", "8080", "x"}, "t1"), "80 x"); // from the guest itself
    QCOMPARE(askInside({"udp", "2001:db8::7", "53", "x"}, "t1"), "53 x");
    must({"config", "device", "remove", "t1", "p"});
    QVERIFY(!ask({"tcp", "2001:db8::7", "8080", "x"}).contains("80 x"));
    must({"delete", "--force", "t1", "t2"});
    QCOMPARE(tables(), before);
    // Where nobody gives a guest its address, nothing leads to it: said when it is chosen.
    must({"network", "unset", "lxmgrt2", "ipv6.dhcp.stateful"});
    const QByteArray said = refusal({"create", "busybox", "t1", "-d", "eth0,network=lxmgrt2,ipv6.address=fd42:77:9::77"});
    QVERIFY2(said.contains("ipv6.dhcp.stateful=true"), said);
    must({"network", "delete", "lxmgrt2"});
    RUN_OK(run({"ip", "-6", "address", "del", "2001:db8::7/128", "dev", "lo"}));
}

void TestProxy::natAndForwardsAreToldApart_data()
{
    QTest::addColumn<QStringList>("listen");
    QTest::addColumn<QString>("forward");
    QTest::addColumn<bool>("clash");
    const auto row = [](const char *tag, const QStringList &listen, const char *forward, bool clash) { QTest::newRow(tag) << listen << QString(forward) << clash; };
    row("the same port, by the firewall", {"nat=true", "listen=tcp:192.0.2.7:8080"}, "tcp 8080", true);
    row("the same port, by a process", {"listen=tcp:192.0.2.7:8080"}, "tcp 8000-8090", true);
    row("all ports", {"nat=true", "listen=tcp:192.0.2.7:8080"}, "", true);
    row("another port", {"nat=true", "listen=tcp:192.0.2.7:8080"}, "tcp 8081", false);
    row("another protocol", {"nat=true", "listen=tcp:192.0.2.7:8080"}, "udp 8080", false);
    row("another address", {"nat=true", "listen=tcp:192.0.2.8:8080"}, "tcp 8080", false);
    row("all addresses", {"listen=tcp:0.0.0.0:8080"}, "tcp 8080", false); // of which it only loses one
}

void TestProxy::natAndForwardsAreToldApart()
{
    QFETCH(QStringList, listen);
    QFETCH(QString, forward);
    QFETCH(bool, clash);
    const QByteArray subnet = m_box.text({"network", "get", "lxmgrbr0", "ipv4.address"});
    const QString fixed = QString::fromUtf8(subnet.left(subnet.lastIndexOf('.'))) + ".77";
    RUN_OK(run({"sh", "-c", "ip address add 192.0.2.7/32 dev lo; ip address add 192.0.2.8/32 dev lo"}));
    const QStringList proxy = QStringList{"config", "device", "add", "t1", "p", "proxy", "connect=tcp:0.0.0.0:80"} + listen;
    const QStringList create = QStringList{"network", "forward", "create", "lxmgrbr0", "192.0.2.7"} +
                               (forward.isEmpty() ? QStringList{"target_address=" + fixed} : QStringList());
    const QStringList port = QStringList{"network", "forward", "port", "add", "lxmgrbr0", "192.0.2.7"} + forward.split(' ') + QStringList{fixed};
    launch("t1", {"-d", "eth0,ipv4.address=" + fixed});
    // The forward is there first.
    must(create);
    if (!forward.isEmpty())
        must(port);
    const QByteArray before = m_box.text({"config", "show", "t1"}), rules = run({"nft", "list", "ruleset"}).out;
    QByteArray said = refusal(proxy);
    QVERIFY2(clash == said.contains("device 'p': tcp 192.0.2.7:8080 is taken by forward '192.0.2.7' of network 'lxmgrbr0'"), said);
    if (clash) {
        QCOMPARE(m_box.text({"config", "show", "t1"}), before);
        QCOMPARE(run({"nft", "list", "ruleset"}).out, rules);
        // Nor does one start with it.
        must({"stop", "--force", "t1"});
        must(proxy);
        said = refusal({"start", "t1"});
        QVERIFY2(said.contains("is taken by forward '192.0.2.7'"), said);
    }
    // The proxy is there first, also for a daemon that came after it.
    must({"network", "forward", "delete", "lxmgrbr0", "192.0.2.7"});
    if (clash)
        must({"start", "t1"});
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    said = refusal(create);
    if (!forward.isEmpty()) {
        QCOMPARE(said, "it was done");
        said = refusal(port);
    }
    QVERIFY2(clash == said.contains("tcp 192.0.2.7:8080 is taken by device 'p' of instance 't1'"), said);
    deleteAll();
    if (!clash || !forward.isEmpty())
        must({"network", "forward", "delete", "lxmgrbr0", "192.0.2.7"});
    RUN_OK(run({"sh", "-c", "ip address del 192.0.2.7/32 dev lo; ip address del 192.0.2.8/32 dev lo"}));
}

void TestProxy::theDoctorTellsWhatAProxyDoesNotGet()
{
    const QByteArray subnet = m_box.text({"network", "get", "lxmgrbr0", "ipv4.address"});
    const QString fixed = QString::fromUtf8(subnet.left(subnet.lastIndexOf('.'))) + ".77";
    launch("t1", {"-d", "eth0,ipv4.address=" + fixed});
    add({"p", "proxy", "listen=tcp:0.0.0.0:8080", "connect=tcp:127.0.0.1:80"});
    add({"q", "proxy", "nat=true", "listen=tcp:192.0.2.9:80", "connect=tcp:0.0.0.0:80"});
    must({"network", "forward", "create", "lxmgrbr0", "192.0.2.7"});
    must({"network", "forward", "port", "add", "lxmgrbr0", "192.0.2.7", "tcp", "8080", fixed});
    QByteArray said = m_box.cli({"network", "doctor", "lxmgrbr0"}).out;
    QVERIFY2(said.contains("device 'p' of instance 't1' gets nothing of what arrives for tcp 192.0.2.7:8080"), said);
    QVERIFY2(said.contains("device 'q' of instance 't1' is reached by nobody who does not send through this host"), said);
    QVERIFY2(said.contains("192.0.2.9 is no address of this host"), said);
    const QByteArray info = m_box.text({"info", "t1"});
    QVERIFY2(info.contains("Proxies:") && info.contains("tcp:0.0.0.0:8080") && info.contains("the firewall"), info);
    must({"network", "forward", "delete", "lxmgrbr0", "192.0.2.7"});
    must({"config", "device", "remove", "t1", "q"});
    said = m_box.cli({"network", "doctor", "lxmgrbr0"}).out;
    QVERIFY2(!said.contains("device '"), said);
    deleteAll();
}

void TestProxy::natGoesWithAGuestThatEndsUnseen()
{
    const QByteArray subnet = m_box.text({"network", "get", "lxmgrbr0", "ipv4.address"});
    const QString fixed = QString::fromUtf8(subnet.left(subnet.lastIndexOf('.'))) + ".78";
    const QByteArray before = tables();
    for (const char *name : {"t1", "t2"})
        launch(name, {"-d", "eth0,ipv4.address=" + (QByteArray(name) == "t1" ? fixed : fixed.chopped(1) + "9"), "-d",
                      QString("n,type=proxy,nat=true,listen=tcp:192.0.2.7:808%1,connect=tcp:0.0.0.0:80").arg(name + 1)});
    QCOMPARE(tables().count("lxmgr_proxies"), 2);
    const int init = m_box.initPid("t1");
    m_box.killDaemon();
    QCOMPARE(::kill(init, SIGKILL), 0);
    QVERIFY(m_box.eventually([&] { return !Sandbox::isAlive(init); }));
    QVERIFY(m_box.startDaemon());
    QTRY_COMPARE_WITH_TIMEOUT(tables().count("lxmgr_proxies"), 1, 60000);
    QVERIFY(tables().contains("t2"));
    must({"delete", "--force", "t1", "t2"});
    QCOMPARE(tables(), before);
}

void TestProxy::whatCannotBeIsRefused_data()
{
    QTest::addColumn<QStringList>("words");
    QTest::addColumn<QByteArray>("reason");
    const auto row = [](const char *tag, const QStringList &words, const char *reason) { QTest::newRow(tag) << words << QByteArray(reason); };
    row("no listen", {"connect=tcp:127.0.0.1:1"}, "listen: is missing");
    row("a name", {"listen=tcp:localhost:80", "connect=tcp:127.0.0.1:1"}, "a name is not looked up");
    row("ports that do not fit", {"listen=tcp:127.0.0.1:80", "connect=tcp:127.0.0.1:1-2"}, "has 2 ports for 1");
    row("nat to no fixed address", {"nat=true", "listen=tcp:192.0.2.7:80", "connect=tcp:10.0.0.1:1"},
        "none has '10.0.0.1' (set ipv4.address of its nic to that, or leave nat out)");
    row("nat to any fixed address", {"nat=true", "listen=tcp:192.0.2.7:80", "connect=tcp:0.0.0.0:1"}, "none has one");
    row("an id that is not there", {"listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:1", "security.uid=100000"}, "device 'p'");
    row("a key of nobody", {"listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:1", "lisen=x"}, "unknown key 'lisen' (did you mean 'listen'?)");
}

void TestProxy::whatCannotBeIsRefused()
{
    QFETCH(QStringList, words);
    QFETCH(QByteArray, reason);
    launch("t1");
    const QByteArray before = m_box.text({"config", "show", "t1"});
    const QByteArray said = refusal(QStringList{"config", "device", "add", "t1", "p", "proxy"} + words);
    QVERIFY2(said.contains(reason), said);
    QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    QCOMPARE(ask({"tcp", "127.0.0.1", "8080", "x"}), "ECONNREFUSED");
}

void TestProxy::itIsFast()
{
    start();
    answerInside({"tcp", "127.0.0.1", "80"});
    add({"p", "proxy", "listen=tcp:127.0.0.1:8080", "connect=tcp:127.0.0.1:80"});
    constexpr std::size_t kBytes = 1U << 28;
    QElapsedTimer timer;
    timer.start();
    Client client(8080);
    QVERIFY(client.push(kBytes));
    QCOMPARE(client.finish(), "80 " + QByteArray::number(static_cast<qulonglong>(kBytes)) + " bytes");
    qInfo("256 MiB in %lld ms", static_cast<long long>(timer.restart()));
    for (int i = 0; i < 500; ++i) {
        Client short1(8080);
        QVERIFY(short1.push(1));
        QCOMPARE(short1.finish(), "80 x");
    }
    qInfo("500 connections, one after the other, in %lld ms", static_cast<long long>(timer.elapsed()));
}

QTEST_GUILESS_MAIN(TestProxy)
#include "tst_proxy.moc"

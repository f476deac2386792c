// The managed bridge: an address by DHCP, names, ways between guests and the host, and no address without its link.
#include "support/require.h"
#include "support/system_test.h"

#include <QElapsedTimer>
#include <QJsonArray>
#include <QRegularExpression>
#include <algorithm>

using namespace lxmgr::test;

class TestNetwork : public SystemTest
{
    Q_OBJECT
private slots:
    void guestGetsAnAddressByDhcp();
    void guestsReachEachOtherByName();
    void startsLeaveNoAddressesOnTheHost();
    void hostReachesAGuest();
    void theHundredthStartsAsFastAsTheTenth();
    void guestHasOnlyItsOwnLinks();
    void listShowsTheAddress();
    void guestWithoutANetworkHasOnlyLoopback();
    void addressStaysOverARestart();
    void macIsKeptOverARestart();
    void bridgeKeepsWorkingWithoutTheDaemon();
    void foreignFirewallTablesAreLeftAlone();

private:
    QByteArray address(const QString &name);
};

/// The guest's IPv4 address once it has one.
QByteArray TestNetwork::address(const QString &name)
{
    QByteArray found;
    Sandbox::eventually([&] {
        found = inside(name, {"sh", "-c", "ip -4 -o addr show eth0 | tr -s ' ' | cut -d' ' -f4 | cut -d/ -f1"});
        return QRegularExpression("^\\d+\\.\\d+\\.\\d+\\.\\d+$").match(QString::fromUtf8(found)).hasMatch();
    });
    return found;
}

void TestNetwork::guestGetsAnAddressByDhcp()
{
    launch("t1");
    const QByteArray own = address("t1");
    QVERIFY2(own.startsWith("10."), own);
    const QByteArray route = inside("t1", {"sh", "-c", "ip route | grep default"});
    QVERIFY2(route.startsWith("default via 10."), route);
    const QByteArray resolver = inside("t1", {"cat", "/etc/resolv.conf"});
    QVERIFY2(resolver.contains("nameserver"), resolver);
    const QByteArray gateway = route.split(' ').value(2);
    QVERIFY2(exec("t1", {"ping", "-c", "1", "-W", "5", gateway}).ok(), route);
}

void TestNetwork::guestsReachEachOtherByName()
{
    launch("t1");
    launch("t2");
    const QByteArray own = address("t2");
    QVERIFY(!address("t1").isEmpty());
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"nslookup", "t2"}).contains(own); }));
    QVERIFY2(exec("t1", {"ping", "-c", "1", "-W", "5", own}).ok(), own);
}

/// Where they have some, everybody who keeps addresses (DHCP servers do) looks at all of them at each start.
void TestNetwork::startsLeaveNoAddressesOnTheHost()
{
    launch("t1");
    QVERIFY(!address("t1").isEmpty()); // the bridge has its own ones by then
    const auto addresses = [] { return run({"sh", "-c", "ip -o addr show | grep -vc ' lo '"}).out.trimmed(); };
    const QByteArray before = addresses();
    QProcess events;
    events.start("ip", {"-o", "monitor", "address"});
    QVERIFY(events.waitForStarted());
    launch("t2");
    launch("t3");
    QVERIFY(!address("t3").isEmpty());
    QCOMPARE(addresses(), before);
    events.terminate();
    events.waitForFinished();
    QCOMPARE(events.readAllStandardOutput(), QByteArray());
    // They are ports all the same, and a card that is no port has what it needs.
    QCOMPARE(run({"sh", "-c", "ip -o link show master lxmgrbr0 up | wc -l"}).out.trimmed(), QByteArray("3"));
    must({"config", "device", "add", "t3", "own", "nic", "nictype=p2p", "name=own0", "host_name=lxmgrtp2p"});
    must({"exec", "t3", "--", "ip", "link", "set", "own0", "up"});
    QVERIFY(Sandbox::eventually([] { return run({"ip", "-o", "-6", "addr", "show", "dev", "lxmgrtp2p"}).out.contains("fe80"); }));
}

void TestNetwork::hostReachesAGuest()
{
    launch("t1");
    const QByteArray own = address("t1");
    must({"exec", "t1", "--", "sh", "-c", "(echo from-the-guest | nc -l -p 8080) >/dev/null 2>&1 & exit 0"});
    QByteArray got;
    QVERIFY(Sandbox::eventually([&] {
        got = run({"busybox", "nc", "-w", "2", own, "8080"}).out;
        return got.contains("from-the-guest");
    }));
}

void TestNetwork::theHundredthStartsAsFastAsTheTenth()
{
    constexpr int kCount = 100, kPart = 10;
    QList<double> curve; // ms a guest, the median of each ten
    QStringList names;
    for (int i = 0; i < kCount; i += kPart) {
        QList<qint64> took;
        for (int each = 0; each < kPart; ++each) {
            names << QString("g%1").arg(i + each);
            must({"create", "busybox", names.last()});
            QElapsedTimer timer;
            timer.start();
            must({"start", names.last()});
            took << timer.nsecsElapsed() / 1000;
        }
        std::ranges::sort(took);
        curve << static_cast<double>(took[kPart / 2]) / 1000;
    }
    QByteArrayList texts;
    for (const double each : curve)
        texts << QByteArray::number(each, 'f', 1);
    const QByteArray told = "ms a start, by tens of guests on the bridge: " + texts.join(' ');
    qInfo("%s", told.constData());
    const QList<double> first = curve.mid(0, 3), last = curve.mid(kCount / kPart - 3);
    QVERIFY2(*std::ranges::min_element(last) < 2 * *std::ranges::max_element(first), told);
    must(QStringList{"delete", "--force"} + names, {}, 300000);
}

void TestNetwork::guestHasOnlyItsOwnLinks()
{
    launch("t1");
    const QByteArray links = inside("t1", {"sh", "-c", "ls /sys/class/net"});
    const QList<QByteArray> names = links.simplified().split(' ');
    QVERIFY2(names.contains("lo") && names.contains("eth0"), links);
    QVERIFY2(!names.contains("lxmgrbr0"), links);
}

void TestNetwork::listShowsTheAddress()
{
    launch("t1");
    const QByteArray own = address("t1");
    const QByteArray cell = m_box.text({"list", "-f", "csv", "-c", "4"});
    QVERIFY2(cell.contains(own + " (eth0)"), cell);
    const Reply state = m_box.rest("GET", "/1.0/instances/t1/state");
    const QJsonObject eth0 = state.body["metadata"].toObject()["network"].toObject()["eth0"].toObject();
    QCOMPARE(eth0["state"].toString(), QString("up"));
    QVERIFY2(state.raw.contains(own), state.raw);
}

void TestNetwork::guestWithoutANetworkHasOnlyLoopback()
{
    launch("t1", {"-d", "eth0,type=none"});
    QCOMPARE(inside("t1", {"sh", "-c", "ip -o link | grep -v sit0 | grep -v tunl0 | grep -c eth; true"}), QByteArray("0"));
    QCOMPARE(inside("t1", {"sh", "-c", "ping -c 1 -W 2 127.0.0.1 >/dev/null && echo up"}), QByteArray("up"));
}

void TestNetwork::addressStaysOverARestart()
{
    launch("t1");
    const QByteArray before = address("t1");
    must({"restart", "--force", "t1"});
    QCOMPARE(address("t1"), before);
}

void TestNetwork::macIsKeptOverARestart()
{
    launch("t1");
    const QByteArray before = inside("t1", {"cat", "/sys/class/net/eth0/address"});
    QCOMPARE(m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"}), before);
    must({"restart", "--force", "t1"});
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/eth0/address"}), before);
}

void TestNetwork::bridgeKeepsWorkingWithoutTheDaemon()
{
    launch("t1");
    const QByteArray own = address("t1");
    m_box.killDaemon();
    const Run ping = run({"busybox", "ping", "-c", "1", "-W", "5", own});
    QVERIFY(m_box.startDaemon());
    RUN_OK(ping);
    launch("t2");
    QVERIFY(address("t2").startsWith("10."));
}

void TestNetwork::foreignFirewallTablesAreLeftAlone()
{
    RunOptions rules;
    rules.input = "table inet foreign {\n chain input {\n  type filter hook input priority 10; policy accept;\n  counter\n }\n}\n";
    NEEDS("nftables of the inet family", run({"nft", "-f", "-"}, rules).ok());
    const QByteArray before = run({"nft", "-s", "list", "table", "inet", "foreign"}).out;
    launch("t1");
    must({"delete", "--force", "t1"});
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon());
    QCOMPARE(run({"nft", "-s", "list", "table", "inet", "foreign"}).out, before);
    RUN_OK(run({"nft", "delete", "table", "inet", "foreign"}));
}

QTEST_GUILESS_MAIN(TestNetwork)
#include "tst_networking.moc"

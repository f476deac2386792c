// Network cards of each kind, at the start of a guest and while it runs: what is seen from inside, what comes back, what is
// refused.
#include "support/system_test.h"

#include <QElapsedTimer>
#include <QFile>
#include <QJsonObject>
#include <QRegularExpression>

#include <csignal>

using namespace lxmgr::test;

namespace
{

constexpr const char *kMac = "02:00:5e:00:53:01"; ///< Of up0 on the host.

} // namespace

class TestNics : public SystemTest
{
    Q_OBJECT
private slots:
    void aFreeEndIsTheHosts();
    void macvlansReachEachOther();
    void routedOnesAreReachedFromBeyondTheHost();
    void theHostsEndOfRoutedOnesCanBeChosen();
    void routesEndWithTheGuest();
    void aCardOfTheHostIsLent();
    void aLentCardComesBack_data();
    void aLentCardComesBack();
    void aLentCardComesBackUnderAnotherName();
    void aLentCardGoesAlongInAReboot();
    void eachKindComesAndGoes_data();
    void eachKindComesAndGoes();
    void aFailingStepIsUndone_data();
    void aFailingStepIsUndone();
    void whatTheHostCannotGiveIsRefused_data();
    void whatTheHostCannotGiveIsRefused();
    void twoGuestsCannotHaveOneCard();
    void trafficIsLimited();
    void nothingIsLeftOfLimits_data();
    void nothingIsLeftOfLimits();
    void routesChangeWithoutTheGuestNoticing();
    void routesLeadThroughABridge_data();
    void routesLeadThroughABridge();
    void whatIsSpoofedDoesNotComeThrough_data();
    void whatIsSpoofedDoesNotComeThrough();
    void filtersStayInForce();
    void isolatedPortsDoNotReachEachOther();
    void vlansAreApart();
    void vlansOfCardsComeAndGo();
    void priorityGoesWithWhatTheGuestSends();
    void priorityAloneNeedsNoTableForBridges();
    void profilesBringCards();
    void aProfileThatOneCannotTakeChangesNothing();

private:
    void prepare() override
    {
        // What stands for a card of the host: the kernel would destroy it with a guest's namespace, which a real one survives.
        RUN_OK(run({"ip", "link", "add", "up0", "address", kMac, "mtu", "1450", "type", "veth", "peer", "name", "up1"}));
        RUN_OK(run({"ip", "link", "set", "up0", "up"}));
        RUN_OK(run({"ip", "link", "set", "up1", "up"}));
    }
    QByteArray host(const QString &command) { return run({"sh", "-c", command}).out.simplified(); }
    QByteArray guest(const QString &name, const QString &command) { return inside(name, {"sh", "-c", command}).simplified(); }
    bool reaches(const QString &name, const QString &address)
    {
        return Sandbox::eventually([&] { return exec(name, {"ping", "-c", "1", "-W", "1", address}).ok(); });
    }
    QByteArray refusal(const QStringList &args)
    {
        const Run run = m_box.cli(args);
        return run.ok() ? QByteArray("it was done") : run.err;
    }
    /// In how many ms `kib` go from the guest to `address` of the host, or the other way.
    qint64 poured(bool fromGuest, const QString &address, int kib)
    {
        const QString probe = Sandbox::program("lxmgr-probe"), lxmgr = Sandbox::program("lxmgr");
        QProcess sink;
        sink.setProcessEnvironment(m_box.environment());
        if (fromGuest)
            sink.start(probe, {"sink", address, "4000"});
        else
            sink.start(lxmgr, {"exec", "t1", "--", "/probe", "sink", address, "4000"});
        if (!sink.waitForReadyRead(20000))
            return -1;
        const QStringList pour = {"pour", address, "4000", QString::number(kib)};
        const QByteArray ms = fromGuest ? inside("t1", QStringList{"/probe"} + pour) : run(QStringList{probe} + pour).out.trimmed();
        sink.waitForFinished(20000);
        bool number = false;
        const qint64 value = ms.toLongLong(&number);
        return number ? value : -1;
    }
    QByteArray upLink() { return host("ip -o link show up0 | grep -oE '[<,]UP[,>]|mtu [0-9]+|link/ether [0-9a-f:]+'"); }
    const QByteArray m_asItWas = ",UP, mtu 1450 link/ether " + QByteArray(kMac);
};

void TestNics::aFreeEndIsTheHosts()
{
    launch("t1", {"-d", "lan,type=nic,nictype=p2p,host_name=lan-t1,name=lan0,mtu=1400,ipv4.routes=198.51.100.0/24,ipv6.routes=fd42:5::/64"});
    QCOMPARE(guest("t1", "cat /sys/class/net/lan0/mtu"), "1400");
    QVERIFY(host("ip route show dev lan-t1").contains("198.51.100.0/24 proto static scope link"));
    QVERIFY(host("ip -6 route show dev lan-t1").contains("fd42:5::/64 proto static"));
    QVERIFY(!host("ip -o link show lan-t1").contains("master"));
    QVERIFY(host("ip addr add 192.0.2.1/24 dev lan-t1 && echo done") == "done");
    QCOMPARE(guest("t1", "ip addr add 192.0.2.2/24 dev lan0; ip link set lan0 up; ip addr add 198.51.100.9/24 dev lo"), "");
    QVERIFY(reaches("t1", "192.0.2.1"));
    QVERIFY2(host("ip route get 198.51.100.9").contains("dev lan-t1"), host("ip route"));
    must({"stop", "--force", "t1"});
    QVERIFY(Sandbox::eventually([&] { return host("ip route show 198.51.100.0/24").isEmpty(); }));
}

void TestNics::macvlansReachEachOther()
{
    launch("t1", {"-d", "lan,type=nic,nictype=macvlan,parent=up0,name=lan0,hwaddr=02:00:5e:00:53:11"});
    launch("t2", {"-d", "lan,type=nic,nictype=macvlan,parent=up0,name=lan0,mtu=1300"});
    QCOMPARE(guest("t1", "cat /sys/class/net/lan0/address /sys/class/net/lan0/mtu"), "02:00:5e:00:53:11 1450");
    QCOMPARE(guest("t2", "cat /sys/class/net/lan0/mtu"), "1300");
    QCOMPARE(guest("t1", "ip addr add 192.0.2.11/24 dev lan0; ip link set lan0 up"), "");
    QCOMPARE(guest("t2", "ip addr add 192.0.2.12/24 dev lan0; ip link set lan0 up"), "");
    QVERIFY(reaches("t1", "192.0.2.12"));
    // In mode private they do not.
    must({"config", "device", "set", "t2", "lan", "mode=private"});
    QCOMPARE(guest("t2", "ip addr add 192.0.2.12/24 dev lan0; ip link set lan0 up"), "");
    QCOMPARE(exec("t1", {"ping", "-c", "1", "-W", "1", "192.0.2.12"}).status, 1);
}

void TestNics::routedOnesAreReachedFromBeyondTheHost()
{
    QCOMPARE(host("sysctl -qw net.ipv4.conf.up0.forwarding=1 net.ipv6.conf.up0.forwarding=1 net.ipv6.conf.up0.proxy_ndp=1"), "");
    // Somebody at the other end of the host's cable, who knows nothing of guests.
    launch("t2", {"-d", "eth0,type=nic,nictype=physical,parent=up1,name=far0"});
    QCOMPARE(guest("t2", "ip addr add 198.51.100.1/24 dev far0; ip -6 addr add fd42:7::1/64 dev far0; ip link set far0 up"), "");
    launch("t1", {"-d", "eth0,type=nic,nictype=routed,name=pub0,parent=up0,host_name=rt-t1,ipv4.address=198.51.100.7,ipv6.address=fd42:7::7"});
    QVERIFY(guest("t1", "ip -4 addr show pub0").contains("198.51.100.7/32"));
    QVERIFY2(guest("t1", "ip -6 addr show pub0").contains("fd42:7::7/128"), guest("t1", "ip -6 addr"));
    QVERIFY(guest("t1", "ip route").contains("default via 169.254.0.1 dev pub0"));
    QVERIFY(guest("t1", "ip -6 route").contains("default via fe80::1 dev pub0"));
    QVERIFY(reaches("t1", "169.254.0.1"));
    QCOMPARE(host("ip route add 198.51.100.1/32 dev up0; ip -6 route add fd42:7::1/128 dev up0"), "");
    QVERIFY2(reaches("t2", "198.51.100.7"), host("ip neigh show proxy; ip route"));
    QVERIFY(reaches("t2", "fd42:7::7"));
    QVERIFY(host("ip neigh show proxy").contains("198.51.100.7"));
    must({"stop", "--force", "t1"});
    QCOMPARE(host("ip neigh show proxy; ip -6 neigh show proxy"), "");
    QCOMPARE(host("ip route del 198.51.100.1/32 dev up0; ip -6 route del fd42:7::1/128 dev up0"), "");
    must({"stop", "--force", "t2"});
    QVERIFY(host("ip link set up1 up && echo done") == "done");
}

void TestNics::theHostsEndOfRoutedOnesCanBeChosen()
{
    const QString device = "eth0,type=nic,nictype=routed,name=pub0,host_name=rt-t1,ipv4.address=198.51.100.7,ipv4.routes=203.0.113.0/24,ipv4.host_address=192.0.2.250,"
                           "ipv4.host_table=100,ipv6.address=fd42:7::7,ipv6.host_address=fe80::42,ipv6.host_table=101,queue.tx.length=77";
    launch("t1", {"-d", device});
    QVERIFY2(guest("t1", "ip route").contains("default via 192.0.2.250 dev pub0"), guest("t1", "ip route"));
    QVERIFY2(guest("t1", "ip -6 route").contains("default via fe80::42 dev pub0"), guest("t1", "ip -6 route"));
    QVERIFY(reaches("t1", "192.0.2.250"));
    QCOMPARE(guest("t1", "cat /sys/class/net/pub0/tx_queue_len"), "77");
    QVERIFY(host("ip link show rt-t1").contains(" qlen 77"));
    const QByteArray table = "198.51.100.7 dev rt-t1 proto static scope link 203.0.113.0/24 via 198.51.100.7 dev rt-t1 proto static";
    QCOMPARE(host("ip route show table 100"), table);
    QVERIFY2(host("ip route").contains(table), host("ip route"));
    QVERIFY(host("ip -6 route show table 101").contains("fd42:7::7 dev rt-t1"));
    must({"config", "device", "set", "t1", "eth0", "ipv4.routes="}); // on the card that it has
    QCOMPARE(host("ip route show table 100"), "198.51.100.7 dev rt-t1 proto static scope link");
    must({"config", "device", "set", "t1", "eth0", "ipv4.host_table="});
    QCOMPARE(host("ip route show table 100 2>&1"), "");
    must({"stop", "--force", "t1"});
    QCOMPARE(host("ip -6 route show table 101 2>&1"), "");
}

/// The kernel takes a namespace apart in its own time, and not while somebody looks at it.
void TestNics::routesEndWithTheGuest()
{
    const QString device = "eth0,type=nic,nictype=routed,name=pub0,host_name=rt-%1,ipv4.address=198.51.100.7,ipv6.address=fd42:7::7,ipv6.host_table=101";
    launch("t1", {"-d", device.arg("t1")});
    QVERIFY(host("ip -6 route show table 101").contains("fd42:7::7 dev rt-t1"));
    QFile looksAt(QString("/proc/%1/ns/net").arg(m_box.initPid("t1")));
    QVERIFY(looksAt.open(QIODevice::ReadOnly));
    must({"stop", "--force", "t1"});
    QCOMPARE(host("ip route show 198.51.100.7; ip -6 route show table 101 2>&1"), "");
    launch("t2", {"-d", device.arg("t2")});
    QVERIFY(host("ip route show 198.51.100.7").contains("dev rt-t2"));
}

void TestNics::aCardOfTheHostIsLent()
{
    launch("t1", {"-d", "wan,type=nic,nictype=physical,parent=up0,name=wan0,mtu=1300,hwaddr=02:00:5e:00:53:21"});
    QCOMPARE(guest("t1", "cat /sys/class/net/wan0/address /sys/class/net/wan0/mtu"), "02:00:5e:00:53:21 1300");
    QVERIFY(upLink().isEmpty()); // not on the host
    QCOMPARE(guest("t1", "ip addr add 192.0.2.2/24 dev wan0; ip link set wan0 up"), "");
    QVERIFY(host("ip addr add 192.0.2.1/24 dev up1 && echo done") == "done");
    QVERIFY(reaches("t1", "192.0.2.1"));
    // The instance can be changed, and others made, while it is away.
    must({"config", "set", "t1", "user.x=y"});
    must({"init", "busybox", "t2", "-d", "wan,type=nic,nictype=physical,parent=up0"});
    QVERIFY(host("ip addr del 192.0.2.1/24 dev up1 && echo done") == "done");
    must({"config", "device", "remove", "t1", "wan"});
    QCOMPARE(upLink(), m_asItWas);
    QCOMPARE(guest("t1", "ls /sys/class/net"), "eth0 lo");
}

void TestNics::aLentCardComesBack_data()
{
    QTest::addColumn<QString>("how");
    for (const char *how : {"stop", "delete", "the guest ends", "its monitor dies", "its monitor dies while no daemon runs", "the daemon dies, then the guest ends"})
        QTest::newRow(how) << QString(how);
}

void TestNics::aLentCardComesBack()
{
    QFETCH(QString, how);
    launch("t1", {"-d", "wan,type=nic,nictype=physical,parent=up0,name=wan0"});
    // The guest does to it what it likes.
    QCOMPARE(guest("t1", "ip link set wan0 down; ip link set wan0 name up1; ip link set up1 address 02:00:5e:00:53:99 mtu 900; ip link set up1 up"), "");
    if (how == "stop")
        must({"stop", "--force", "t1"});
    else if (how == "delete")
        must({"delete", "--force", "t1"});
    else if (how == "the guest ends")
        ::kill(m_box.initPid("t1"), SIGKILL);
    else if (how == "its monitor dies")
        ::kill(m_box.monitorPid("t1"), SIGKILL);
    if (how.contains("daemon")) {
        const int monitor = m_box.monitorPid("t1"), init = m_box.initPid("t1");
        m_box.killDaemon();
        ::kill(how.startsWith("its monitor") ? monitor : init, SIGKILL);
        QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(init); }));
        QVERIFY(m_box.startDaemon());
    }
    QVERIFY2(Sandbox::eventually([&] { return upLink() == m_asItWas; }), upLink() + host("ip link"));
    QVERIFY(how == "delete" || m_box.becomes("t1", "STOPPED"));
    // And it can be lent again.
    if (how != "delete") {
        must({"start", "t1"});
        QVERIFY(upLink().isEmpty());
    }
}

void TestNics::aLentCardComesBackUnderAnotherName()
{
    launch("t1", {"-d", "wan,type=nic,nictype=physical,parent=up0,name=wan0"});
    QCOMPARE(host("ip link add up0 type bridge"), ""); // somebody takes its name meanwhile
    must({"stop", "--force", "t1"});
    QVERIFY(Sandbox::eventually([&] { return host("ip -o link").contains(kMac); }));
    QVERIFY(host("ip -o link show wan0").contains(kMac));
    QCOMPARE(host("ip link del up0; ip link set wan0 down; ip link set wan0 name up0; ip link set up0 up"), "");
    QCOMPARE(upLink(), m_asItWas);
}

void TestNics::aLentCardGoesAlongInAReboot()
{
    launch("t1", {"-d", "wan,type=nic,nictype=physical,parent=up0,name=wan0,mtu=1300"});
    QCOMPARE(guest("t1", "ip link set wan0 mtu 900"), "");
    (void)exec("t1", {"reboot"});
    QVERIFY2(Sandbox::eventually([&] { return guest("t1", "cat /sys/class/net/wan0/mtu") == "1300"; }), guest("t1", "ls /sys/class/net"));
    must({"stop", "--force", "t1"});
    QCOMPARE(upLink(), m_asItWas);
}

void TestNics::eachKindComesAndGoes_data()
{
    QTest::addColumn<QStringList>("keys");
    QTest::newRow("p2p") << QStringList{"nictype=p2p", "ipv4.routes=198.51.100.0/24"};
    QTest::newRow("macvlan") << QStringList{"nictype=macvlan", "parent=up0"};
    QTest::newRow("routed") << QStringList{"nictype=routed", "ipv4.address=198.51.100.7", "ipv4.gateway=none"};
    QTest::newRow("physical") << QStringList{"nictype=physical", "parent=up0"};
}

void TestNics::eachKindComesAndGoes()
{
    QFETCH(QStringList, keys);
    launch("t1");
    const QByteArray before = host("ip -o link | wc -l; ip route | sed 's/ linkdown//'");
    qint64 best = 1000;
    for (int round = 0; round < 5; ++round) {
        QElapsedTimer timer;
        timer.start();
        must(QStringList{"config", "device", "add", "t1", "lan", "nic", "name=lan0"} + keys);
        best = std::min(best, timer.elapsed());
        QCOMPARE(guest("t1", "ls /sys/class/net"), "eth0 lan0 lo");
        must({"config", "device", "remove", "t1", "lan"});
        QCOMPARE(guest("t1", "ls /sys/class/net"), "eth0 lo");
        QCOMPARE(host("ip -o link | wc -l; ip route | sed 's/ linkdown//'"), before);
    }
    qInfo("a %s card is plugged in %lld ms, with the command", QTest::currentDataTag(), static_cast<long long>(best));
    QVERIFY2(best < 50, QByteArray::number(best).constData());
    QCOMPARE(upLink(), m_asItWas);
}

void TestNics::aFailingStepIsUndone_data() { eachKindComesAndGoes_data(); }

void TestNics::aFailingStepIsUndone()
{
    QFETCH(QStringList, keys);
    launch("t1");
    must(QStringList{"config", "device", "add", "t1", "lan", "nic", "name=lan0"} + keys);
    QCOMPARE(guest("t1", "ip link add taken type bridge"), ""); // only the guest knows of it
    const QByteArray shown = m_box.text({"config", "show", "t1"}), routes = host("ip route | sed 's/ linkdown//'");
    const QByteArray refused = refusal({"config", "device", "set", "t1", "lan", "name=taken"});
    QVERIFY2(refused.contains("taken") && refused.contains("inside"), refused);
    QCOMPARE(m_box.text({"config", "show", "t1"}), shown);
    QCOMPARE(guest("t1", "ls /sys/class/net"), "eth0 lan0 lo taken");
    QCOMPARE(host("ip route | sed 's/ linkdown//'"), routes);
    // What was put back can be taken out.
    must({"config", "device", "remove", "t1", "lan"});
    QCOMPARE(guest("t1", "ls /sys/class/net"), "eth0 lo taken");
    QCOMPARE(upLink(), m_asItWas);
}

void TestNics::whatTheHostCannotGiveIsRefused_data()
{
    QTest::addColumn<QStringList>("keys");
    QTest::addColumn<QByteArray>("reason");
    const auto row = [](const char *tag, const QStringList &keys, const char *reason) { QTest::newRow(tag) << keys << QByteArray(reason); };
    row("no parent", {"nictype=macvlan", "parent=nowhere0"}, "no interface 'nowhere0'");
    row("no card", {"nictype=physical", "parent=nowhere0"}, "no interface 'nowhere0'");
    row("a bridge is no card", {"nictype=physical", "parent=lxmgrbr0"}, "cannot be moved");
    row("a port is in use", {"nictype=physical", "parent=port0"}, "nomaster");
    row("parent does not forward", {"nictype=routed", "parent=port0", "ipv4.address=198.51.100.7"}, "sysctl -w net/ipv4/conf/port0/forwarding=1");
    row("address is routed already", {"nictype=routed", "ipv4.address=198.51.100.99"}, "already, by interface 'port1'");
    row("route is there already", {"nictype=p2p", "ipv4.routes=203.0.113.0/24"}, "already, by interface 'port1'");
    row("host name is taken", {"nictype=p2p", "host_name=port1"}, "there already on the host");
    row("larger than the parent", {"nictype=macvlan", "parent=up0", "mtu=9000"}, "above that of 'up0', 1450");
    row("second default route", {"nictype=routed", "ipv4.address=198.51.100.7"}, "ipv4.gateway=none");
}

void TestNics::whatTheHostCannotGiveIsRefused()
{
    QFETCH(QStringList, keys);
    QFETCH(QByteArray, reason);
    RUN_OK(run({"sh", "-c", "ip link add port0 type veth peer name port1 && ip link set port0 master lxmgrbr0 && ip link set port1 up &&"
                            "ip route add 198.51.100.99/32 dev port1 && ip route add 203.0.113.0/24 dev port1 &&"
                            "echo 0 > /proc/sys/net/ipv4/conf/port0/forwarding"}));
    launch("t1");
    QVERIFY(Sandbox::eventually([&] { return guest("t1", "ip route").contains("default"); })); // of DHCP
    const QByteArray links = host("ip -o link | cut -d: -f2"), shown = m_box.text({"config", "show", "t1"});
    const QByteArray refused = refusal(QStringList{"config", "device", "add", "t1", "lan", "nic"} + keys);
    QVERIFY2(refused.contains(reason), refused);
    QCOMPARE(m_box.text({"config", "show", "t1"}), shown);
    QCOMPARE(host("ip -o link | cut -d: -f2"), links);
    QCOMPARE(guest("t1", "ls /sys/class/net"), "eth0 lo");
    RUN_OK(run({"ip", "link", "del", "port0"}));
}

void TestNics::twoGuestsCannotHaveOneCard()
{
    launch("t1", {"-d", "wan,type=nic,nictype=physical,parent=up0"});
    must({"init", "busybox", "t2", "-d", "wan,type=nic,nictype=physical,parent=up0"});
    const QByteArray refused = refusal({"start", "t2"});
    QVERIFY2(refused.contains("no interface 'up0'"), refused);
    must({"stop", "--force", "t1"});
    must({"start", "t2"});
    must({"stop", "--force", "t2"});
    QCOMPARE(upLink(), m_asItWas);
}

void TestNics::trafficIsLimited()
{
    launch("t1", {"-d", "lan,type=nic,nictype=p2p,host_name=lan-t1,name=lan0"});
    giveProbe("t1");
    QCOMPARE(host("ip addr add 192.0.2.1/24 dev lan-t1"), "");
    QCOMPARE(guest("t1", "ip addr add 192.0.2.2/24 dev lan0; ip link set lan0 up"), "");
    QVERIFY(reaches("t1", "192.0.2.1"));
    constexpr int kKib = 2560; // a second at 20 Mbit
    const qint64 out = poured(true, "192.0.2.1", kKib), in = poured(false, "192.0.2.2", kKib);
    QVERIFY2(out >= 0 && in >= 0, QByteArray::number(out) + " " + QByteArray::number(in));
    must({"config", "device", "set", "t1", "lan", "limits.egress=20Mbit"}); // the address inside stays
    const qint64 limitedOut = poured(true, "192.0.2.1", kKib), freeIn = poured(false, "192.0.2.2", kKib);
    must({"config", "device", "set", "t1", "lan", "limits.ingress=10Mbit"});
    const qint64 limitedIn = poured(false, "192.0.2.2", kKib);
    must({"config", "device", "set", "t1", "lan", "limits.max=40Mbit"});
    const qint64 bothOut = poured(true, "192.0.2.1", kKib), bothIn = poured(false, "192.0.2.2", kKib);
    must({"config", "device", "unset", "t1", "lan", "limits.max"});
    must({"config", "device", "unset", "t1", "lan", "limits.egress"});
    must({"config", "device", "unset", "t1", "lan", "limits.ingress"});
    const qint64 freedOut = poured(true, "192.0.2.1", kKib), freedIn = poured(false, "192.0.2.2", kKib);
    const QByteArray told = QString("2.5 MiB out: %1 ms, at 20Mbit %2, at 40Mbit %3, free again %4; in: %5 ms, with only the other limited %6, at 10Mbit %7, "
                                    "at 40Mbit %8, free again %9").arg(out).arg(limitedOut).arg(bothOut).arg(freedOut).arg(in).arg(freeIn)
                                .arg(limitedIn).arg(bothIn).arg(freedIn).toUtf8();
    qInfo("%s", told.constData());
    // The bucket is full at first: a part goes at once.
    QVERIFY2(limitedOut > 700 && limitedIn > 1400 && bothOut > 300 && bothIn > 300, told);
    QVERIFY2(limitedOut < 5000 && limitedIn < 10000, told);
    QVERIFY2(freeIn * 3 < limitedIn && freedOut * 2 < limitedOut && freedIn * 3 < limitedIn, told);
}

void TestNics::nothingIsLeftOfLimits_data()
{
    QTest::addColumn<QString>("how");
    for (const char *how : {"stop", "its monitor dies", "unplugged", "reboot"})
        QTest::newRow(how) << QString(how);
}

void TestNics::nothingIsLeftOfLimits()
{
    QFETCH(QString, how);
    const QByteArray before = host("ip -o link | wc -l");
    launch("t1", {"-d", "lan,type=nic,nictype=p2p,name=lan0,limits.max=20Mbit"});
    QCOMPARE(host("ip -o link show type ifb | wc -l"), "1");
    if (how == "stop")
        must({"stop", "--force", "t1"});
    else if (how == "its monitor dies")
        ::kill(m_box.monitorPid("t1"), SIGKILL);
    else if (how == "unplugged")
        must({"config", "device", "remove", "t1", "lan"});
    if (how == "reboot") {
        const int init = m_box.initPid("t1");
        (void)exec("t1", {"reboot"});
        QVERIFY(Sandbox::eventually([&] { return m_box.initPid("t1") != init && m_box.initPid("t1") > 0; }));
        QCOMPARE(host("ip -o link show type ifb | wc -l"), "1");
        return;
    }
    QVERIFY2(Sandbox::eventually([&] { return host("ip -o link show type ifb").isEmpty(); }), host("ip -o link"));
}

void TestNics::routesChangeWithoutTheGuestNoticing()
{
    launch("t1", {"-d", "lan,type=nic,nictype=p2p,host_name=lan-t1,name=lan0,ipv4.routes=198.51.100.0/24"});
    QCOMPARE(guest("t1", "ip addr add 192.0.2.2/24 dev lan0; ip link set lan0 up"), "");
    const QByteArray index = guest("t1", "cat /sys/class/net/lan0/ifindex");
    must({"config", "device", "set", "t1", "lan", "ipv4.routes=203.0.113.0/24"});
    QVERIFY(host("ip route show dev lan-t1").startsWith("203.0.113.0/24 proto static"));
    QCOMPARE(guest("t1", "cat /sys/class/net/lan0/ifindex"), index);
    QVERIFY(guest("t1", "ip addr show lan0").contains("192.0.2.2"));
    // What fails leaves them as they were.
    QCOMPARE(host("ip route add 198.51.100.0/24 dev up0"), "");
    QVERIFY(refusal({"config", "device", "set", "t1", "lan", "ipv4.routes=192.0.2.128/25,198.51.100.0/24"}).contains("by interface 'up0'"));
    QVERIFY(host("ip route show dev lan-t1").startsWith("203.0.113.0/24 proto static"));
    QCOMPARE(host("ip route del 198.51.100.0/24 dev up0"), "");
}

void TestNics::routesLeadThroughABridge_data()
{
    QTest::addColumn<QString>("how");
    for (const char *how : {"stop", "its monitor dies", "unplugged", "reboot"})
        QTest::newRow(how) << QString(how);
}

void TestNics::routesLeadThroughABridge()
{
    QFETCH(QString, how);
    must({"network", "create", "lxmgrt2", "ipv4.address=10.77.9.1/24", "ipv6.address=none"});
    launch("t1", {"-d", "lan,type=nic,network=lxmgrt2,name=lan0,ipv4.routes=198.51.100.0/24"});
    const auto routes = [&] { return host("ip route show proto static | sed 's/ linkdown//'"); };
    QCOMPARE(routes(), "198.51.100.0/24 dev lxmgrt2 scope link");
    QCOMPARE(guest("t1", "ip link set lan0 up; ip addr add 10.77.9.7/24 dev lan0; ip addr add 198.51.100.9/32 dev lan0"), "");
    // The answer has to come back by the route.
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"ping", "-c", "1", "-W", "1", "-I", "198.51.100.9", "10.77.9.1"}).ok(); }));
    must({"config", "device", "set", "t1", "lan", "ipv4.routes=203.0.113.0/24"});
    QCOMPARE(routes(), "203.0.113.0/24 dev lxmgrt2 scope link");
    QVERIFY(refusal({"config", "device", "add", "t1", "p", "nic", "nictype=p2p", "ipv4.routes=203.0.113.0/24"}).contains("by interface 'lxmgrt2'"));
    if (how == "stop")
        must({"stop", "--force", "t1"});
    else if (how == "its monitor dies")
        ::kill(m_box.monitorPid("t1"), SIGKILL);
    else if (how == "unplugged")
        must({"config", "device", "remove", "t1", "lan"});
    if (how == "reboot") {
        const int init = m_box.initPid("t1");
        (void)exec("t1", {"reboot"});
        QVERIFY(Sandbox::eventually([&] { return m_box.initPid("t1") != init && m_box.initPid("t1") > 0; }));
        QCOMPARE(routes(), "203.0.113.0/24 dev lxmgrt2 scope link");
        must({"stop", "--force", "t1"});
    }
    QVERIFY2(Sandbox::eventually([&] { return routes().isEmpty(); }), routes());
}

namespace
{

const QByteArray kOwnMac = "00163e010203", kOtherMac = "00163e999999";

QByteArray hex(const QByteArray &text) { return text.toHex(); }
QByteArray mark(const QByteArray &word) { return hex("mark:" + word + " "); }
QByteArray frame(const QByteArray &mac, const QByteArray &type, const QByteArray &payload) { return "ffffffffffff" + mac + type + payload; }

QByteArray arp(const QByteArray &frameMac, const QByteArray &senderMac, const QByteArray &senderIp, const QByteArray &word)
{
    return frame(frameMac, "0806", "0001080006040002" + senderMac + senderIp + "ffffffffffff" + "0a4d0901" + mark(word));
}

QByteArray number(unsigned value, int digits) { return QByteArray::number(value, 16).rightJustified(digits, '0'); }

/// With a right checksum: a kernel with br_netfilter looks at it.
QByteArray ipv4(const QByteArray &mac, const QByteArray &source, const QByteArray &word, const QByteArray &protocol = "fd", const QByteArray &before = "")
{
    const QByteArray body = before + mark(word);
    QByteArray header = "4500" + number(20 + static_cast<unsigned>(body.size()) / 2, 4) + "0000000040" + protocol + "0000" + source + "ffffffff";
    unsigned sum = 0;
    for (int i = 0; i < 40; i += 4)
        sum += header.mid(i, 4).toUInt(nullptr, 16);
    sum = (sum & 0xffff) + (sum >> 16);
    header.replace(20, 4, number(~((sum & 0xffff) + (sum >> 16)) & 0xffff, 4));
    return frame(mac, "0800", header + body);
}

QByteArray ipv6(const QByteArray &mac, const QByteArray &source, const QByteArray &word, const QByteArray &next = "3b", const QByteArray &before = "")
{
    const QByteArray body = before + mark(word);
    return frame(mac, "86dd", "60000000" + number(static_cast<unsigned>(body.size()) / 2, 4) + next + "ff" + source + "ff020000000000000000000000000001" + body);
}

const QByteArray kOwn4 = "0a4d0907", kOther4 = "0a4d0908";
const QByteArray kOwn6 = "fd420077000900000000000000000007", kOther6 = "fd420077000900000000000000000008";
const QByteArray kOwnLocal = "fe8000000000000002163efffe010203", kOtherLocal = "fe8000000000000000000000000000aa";

} // namespace

void TestNics::whatIsSpoofedDoesNotComeThrough_data()
{
    QTest::addColumn<QStringList>("keys");
    QTest::addColumn<QByteArray>("heard");
    const QByteArray addresses4 = "arpip ip4 dhcp4", addresses6 = "ip6 local6 na6 ra6 dhcp6", good = "arp4 good4 good6 goodlocal";
    QTest::newRow("nothing is looked at") << QStringList{} << "mac arpmac arpip ip4 dhcp4 ip6 local6 na6 namac ra6 dhcp6 " + good;
    QTest::newRow("mac") << QStringList{"security.mac_filtering=true"} << addresses4 + " " + addresses6 + " " + good;
    QTest::newRow("ipv4") << QStringList{"security.ipv4_filtering=true"} << addresses6 + " " + good;
    QTest::newRow("ipv6") << QStringList{"security.ipv6_filtering=true"} << addresses4 + " " + good;
    QTest::newRow("all") << QStringList{"security.mac_filtering=true", "security.ipv4_filtering=true", "security.ipv6_filtering=true"} << good;
}

void TestNics::whatIsSpoofedDoesNotComeThrough()
{
    QFETCH(QStringList, keys);
    QFETCH(QByteArray, heard);
    must({"network", "create", "lxmgrt2", "ipv4.address=10.77.9.1/24", "ipv6.address=fd42:77:9::1/64", "ipv6.dhcp.stateful=true"});
    launch("t1");
    giveProbe("t1");
    must(QStringList{"config", "device", "add", "t1", "lan", "nic", "network=lxmgrt2", "name=lan0", "hwaddr=00:16:3e:01:02:03", "ipv4.address=10.77.9.7",
                     "ipv6.address=fd42:77:9::7"} + keys);
    QCOMPARE(guest("t1", "ip link set lan0 up; ip addr add 10.77.9.7/24 dev lan0; ip -6 addr add fd42:77:9::7/64 dev lan0"), "");
    QVERIFY(reaches("t1", "10.77.9.1"));
    QVERIFY(reaches("t1", "fd42:77:9::1"));
    QProcess hears;
    hears.start(Sandbox::program("lxmgr-probe"), {"hear", "lxmgrt2"});
    QVERIFY(hears.waitForReadyRead(20000));
    const QByteArray udp67 = "00430044" "00140000" , udp547 = "02230222" "00140000";
    QStringList sent = {"/probe", "frames", "lan0"};
    for (const QByteArray &each :
         {ipv4(kOtherMac, kOwn4, "mac"), arp(kOwnMac, kOtherMac, kOwn4, "arpmac"), arp(kOwnMac, kOwnMac, kOther4, "arpip"), ipv4(kOwnMac, kOther4, "ip4"),
          ipv4(kOwnMac, kOwn4, "dhcp4", "11", udp67), ipv6(kOwnMac, kOther6, "ip6"), ipv6(kOwnMac, kOtherLocal, "local6"),
          ipv6(kOwnMac, kOwn6, "na6", "3a", "88000000" "20000000" + kOther6 + "0201" + kOwnMac),
          ipv6(kOwnMac, kOwn6, "namac", "3a", "88000000" "20000000" + kOwn6 + "0201" + kOtherMac), ipv6(kOwnMac, kOwnLocal, "ra6", "3a", "86000000" "4000070800000000" "00000000"),
          ipv6(kOwnMac, kOwn6, "dhcp6", "11", udp547), arp(kOwnMac, kOwnMac, kOwn4, "arp4"), ipv4(kOwnMac, kOwn4, "good4"), ipv6(kOwnMac, kOwn6, "good6"),
          ipv6(kOwnMac, kOwnLocal, "goodlocal"), frame(kOwnMac, "88b5", mark("end"))})
        sent << QString::fromLatin1(each);
    QCOMPARE(inside("t1", sent), "sent");
    QVERIFY(hears.waitForFinished(20000));
    QCOMPARE(hears.readAllStandardOutput().simplified().replace("ready", "").simplified(), heard);
}

void TestNics::filtersStayInForce()
{
    must({"network", "create", "lxmgrt2", "ipv4.address=10.77.9.1/24", "ipv6.address=none"});
    launch("t1");
    must({"config", "device", "add", "t1", "lan", "nic", "network=lxmgrt2", "name=lan0", "ipv4.address=10.77.9.7", "security.ipv4_filtering=true"});
    const auto filters = [&] { return host("nft list tables bridge | grep -c lxmgr_nics"); };
    QCOMPARE(filters(), "1");
    QCOMPARE(guest("t1", "ip link set lan0 up; ip addr add 10.77.9.7/24 dev lan0; ip addr add 10.77.9.8/24 dev lan0"), "");
    QVERIFY(reaches("t1", "10.77.9.1"));
    const auto spoofs = [&] { return exec("t1", {"ping", "-c", "1", "-W", "1", "-I", "10.77.9.8", "10.77.9.1"}).ok(); };
    QVERIFY(!spoofs());
    // Somebody reloads the machine's firewall.
    QCOMPARE(host("nft flush ruleset"), "");
    QVERIFY(Sandbox::eventually([&] { return filters() == "1"; }));
    QVERIFY(!spoofs());
    // Another daemon takes over; the guest reboots.
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    QCOMPARE(filters(), "1");
    QVERIFY(!spoofs());
    // Changed while it runs, without a new card.
    const QByteArray index = guest("t1", "cat /sys/class/net/lan0/ifindex");
    must({"config", "device", "unset", "t1", "lan", "security.ipv4_filtering"});
    QCOMPARE(filters(), "0");
    QCOMPARE(guest("t1", "cat /sys/class/net/lan0/ifindex"), index);
    QVERIFY(Sandbox::eventually([&] { return spoofs(); }));
    must({"config", "device", "set", "t1", "lan", "security.mac_filtering=true"});
    QCOMPARE(filters(), "1");
    must({"stop", "--force", "t1"});
    QVERIFY(Sandbox::eventually([&] { return filters() == "0"; }));
}

/// What leaves the host's end of t2's card and what the host routes on, counted by the priority it has there.
void TestNics::vlansAreApart()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
    const QString device = "lan,type=nic,network=net1,name=lan0,host_name=lan-%1,";
    // One of the host's is not changed for it.
    RUN_OK(run({"ip", "link", "add", "br9", "type", "bridge"}));
    const bool can = run({"ip", "-d", "link", "show", "br9"}).out.contains("vlan_default_pvid");
    const QByteArray others = refusal({"init", "busybox", "t9", "-d", "lan,type=nic,nictype=bridged,parent=br9,vlan=5"});
    RUN_OK(run({"ip", "link", "delete", "br9"}));
    if (!can) {
        QVERIFY2(others.contains("device 'lan'") && others.contains("CONFIG_BRIDGE_VLAN_FILTERING"), others);
        launch("t1", {"-d", device.arg("t1") + "mtu=1400"});
        const QByteArray before = m_box.text({"config", "show", "t1"});
        const QByteArray told = refusal({"config", "device", "set", "t1", "lan", "vlan=5"});
        QVERIFY2(told.contains("CONFIG_BRIDGE_VLAN_FILTERING"), told);
        QCOMPARE(m_box.text({"config", "show", "t1"}), before);
        QSKIP("this kernel does not filter VLANs: that it is refused was seen");
    }
    QVERIFY2(others.contains("br9") && others.contains("vlan_filtering 1"), others);
    const auto addressed = [&](const QString &name, const QString &vlan) {
        launch(name, {"-d", device.arg(name) + vlan});
        const QString own = "10.9.0." + name.mid(1);
        QCOMPARE(guest(name, "ip addr add " + own + "/24 dev lan0; ip link set lan0 up"), "");
    };
    const auto reachesNot = [&](const QString &name, const QString &address) { return !exec(name, {"ping", "-c", "1", "-W", "1", address}).ok(); };
    addressed("t1", "vlan=5");
    addressed("t2", "vlan=5");
    addressed("t3", "vlan=6");
    addressed("t4", "mtu=1400"); // of the bridge's own
    QVERIFY(reaches("t1", "10.9.0.2"));
    QVERIFY(reachesNot("t3", "10.9.0.1") && reachesNot("t4", "10.9.0.1") && reachesNot("t3", "10.9.0.4"));
    QCOMPARE(guest("t4", "ip addr add 10.77.0.200/24 dev lan0"), "");
    QVERIFY(reaches("t4", "10.77.0.1")); // the host is of that, too
    // On the card that it has.
    const QByteArray index = guest("t3", "cat /sys/class/net/lan0/ifindex");
    must({"config", "device", "set", "t3", "lan", "vlan=5"});
    QVERIFY(reaches("t3", "10.9.0.1"));
    must({"config", "device", "unset", "t3", "lan", "vlan"});
    QVERIFY(reaches("t3", "10.9.0.4"));
    QVERIFY(reachesNot("t3", "10.9.0.1"));
    QCOMPARE(guest("t3", "cat /sys/class/net/lan0/ifindex"), index);
    // With tags, and nothing without.
    must({"config", "device", "set", "t3", "lan", "vlan=none", "vlan.tagged=5,7-8"});
    QVERIFY(reachesNot("t3", "10.9.0.4"));
    QVERIFY(host("bridge -c=never vlan show dev lan-t3").endsWith("5 7-8") || host("bridge -c=never vlan show dev lan-t3").endsWith("5 7 8"));
    RUN_OK(run({"nsenter", "-t", QString::number(m_box.initPid("t3")), "-n", "sh", "-c",
                "ip addr flush dev lan0 && ip link add link lan0 name lan0.5 type vlan id 5 && ip addr add 10.9.0.3/24 dev lan0.5 && ip link set lan0.5 up"}));
    QVERIFY(reaches("t3", "10.9.0.1"));
    QVERIFY(reachesNot("t3", "10.9.0.4"));
}

void TestNics::vlansOfCardsComeAndGo()
{
    const QString shared = "lan,type=nic,nictype=macvlan,parent=up0,name=lan0,vlan=%1";
    const auto links = [&] { return host("ip -o link | cut -d: -f2 | cut -d@ -f1"); };
    if (!run({"sh", "-c", "ip link add link up1 name far5 type vlan id 5"}).ok()) {
        const QByteArray refused = refusal({"init", "busybox", "t1", "-d", shared.arg(5)});
        QVERIFY2(refused.contains("device 'lan'") && refused.contains("CONFIG_VLAN_8021Q"), refused);
        launch("t1");
        const QByteArray whole = refusal({"config", "device", "add", "t1", "wan", "nic", "nictype=physical", "parent=up0", "vlan=5"});
        QVERIFY2(whole.contains("device 'wan'") && whole.contains("CONFIG_VLAN_8021Q"), whole);
        must({"delete", "--force", "t1"});
        QVERIFY2(!links().contains("up0."), links());
        QSKIP("this kernel has no interfaces for VLANs: that they are refused was seen");
    }
    RUN_OK(run({"sh", "-c", "ip addr add 192.0.2.1/24 dev far5 && ip link set far5 up"}));
    const auto addressed = [&](const QString &name) {
        QCOMPARE(guest(name, "ip addr add 192.0.2.1" + name.mid(1) + "/24 dev lan0; ip link set lan0 up"), "");
    };
    const auto reachesNot = [&](const QString &name, const QString &address) { return !exec(name, {"ping", "-c", "1", "-W", "1", address}).ok(); };
    for (const auto &[name, vlan] : {std::pair{"t1", 5}, {"t2", 5}, {"t3", 6}}) {
        launch(name, {"-d", shared.arg(vlan)});
        addressed(name);
    }
    QVERIFY(reaches("t1", "192.0.2.1") && reaches("t1", "192.0.2.12"));
    QVERIFY(reachesNot("t3", "192.0.2.1") && reachesNot("t3", "192.0.2.11"));
    // The host says nothing on them, and tells what they are.
    QCOMPARE(host("cat /proc/sys/net/ipv4/conf/up0.5/arp_ignore /proc/sys/net/ipv6/conf/up0.5/disable_ipv6"), "8 1");
    const QJsonObject vlan = m_box.rest("GET", "/1.0/networks/up0.5/state").body["metadata"].toObject()["vlan"].toObject();
    QCOMPARE(vlan, (QJsonObject{{"lower_device", "up0"}, {"vid", 5}}));
    // Another one, under the running guest.
    must({"config", "device", "set", "t3", "lan", "vlan=5"});
    addressed("t3");
    QVERIFY(reaches("t3", "192.0.2.11"));
    QVERIFY(!links().contains("up0.6"));
    // The interface itself, where nobody else is on it.
    launch("t4", {"-d", "wan,type=nic,nictype=physical,parent=up0,name=lan0,vlan=7"});
    QVERIFY(guest("t4", "ls /sys/class/net").contains("lan0") && !links().contains("up0.7"));
    const QByteArray used = refusal({"config", "device", "add", "t4", "two", "nic", "nictype=physical", "parent=up0", "name=two0", "vlan=5"});
    QVERIFY2(used.contains("VLAN 5 of 'up0'") && used.contains("instance 't"), used);
    const QByteArray lent = refusal({"config", "device", "set", "t3", "lan", "vlan=7"});
    QVERIFY2(lent.contains("VLAN 7 of 'up0'") && lent.contains("instance 't4'"), lent);
    QVERIFY(reaches("t3", "192.0.2.11")); // as it was
    must({"config", "device", "set", "t4", "wan", "nictype=macvlan", "vlan=5"});
    QVERIFY(!links().contains("up0.7"));
    addressed("t4");
    QVERIFY(reaches("t4", "192.0.2.1"));
    // One of the host's own, by its name or another.
    RUN_OK(run({"sh", "-c", "ip link add link up0 name up0.9 type vlan id 9 && ip link add link up0 name mine type vlan id 8"}));
    const QByteArray mine = refusal({"config", "device", "set", "t4", "wan", "vlan=8"});
    QVERIFY2(mine.contains("interface 'mine' already") && mine.contains("parent=mine"), mine);
    must({"config", "device", "set", "t4", "wan", "vlan=9"});
    must({"delete", "--force", "t4"});
    QVERIFY(links().contains("up0.9"));
    RUN_OK(run({"sh", "-c", "ip link delete up0.9 && ip link delete mine"}));
    // A daemon that comes later knows whose they are, and what nobody is on any more.
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    must({"delete", "--force", "t1"});
    QVERIFY(reaches("t2", "192.0.2.13"));
    must({"config", "device", "add", "t2", "wan", "nic", "nictype=physical", "parent=up0", "name=wan0", "vlan=7"});
    const int inits[] = {m_box.initPid("t2"), m_box.initPid("t3")};
    QVERIFY(inits[0] > 1 && inits[1] > 1);
    m_box.killDaemon();
    for (const int init : inits)
        ::kill(init, SIGKILL);
    QVERIFY(m_box.startDaemon());
    QVERIFY2(Sandbox::eventually([&] { return !links().contains("up0."); }), links());
    RUN_OK(run({"ip", "link", "delete", "far5"}));
    QVERIFY(host("ls " + m_box.runDir() + "/vlans").isEmpty());
}

void TestNics::priorityGoesWithWhatTheGuestSends()
{
    must({"network", "create", "lxmgrt2", "ipv4.address=10.77.9.1/24", "ipv6.address=none"});
    must({"network", "create", "lxmgrt3", "ipv4.address=10.77.8.1/24", "ipv6.address=none"});
    launch("t1", {"-c", "limits.network.priority=3"});
    launch("t2");
    must({"config", "device", "add", "t1", "lan", "nic", "network=lxmgrt2", "name=lan0"});
    must({"config", "device", "add", "t2", "lan", "nic", "network=lxmgrt2", "name=lan0", "host_name=prio2"});
    must({"config", "device", "add", "t2", "far", "nic", "network=lxmgrt3", "name=lan1", "host_name=prio3"});
    QCOMPARE(guest("t1", "ip link set lan0 up; ip addr add 10.77.9.7/24 dev lan0; ip route add 10.77.8.0/24 via 10.77.9.1"), "");
    QCOMPARE(guest("t2", "ip link set lan0 up; ip addr add 10.77.9.8/24 dev lan0; ip link set lan1 up; ip addr add 10.77.8.8/24 dev lan1; "
                         "ip route add 10.77.9.0/25 via 10.77.8.1"), "");
    QCOMPARE(host("nft 'add table netdev lxmgrtest; add chain netdev lxmgrtest near { type filter hook egress device prio2 priority 0; }; "
                  "add chain netdev lxmgrtest far { type filter hook egress device prio3 priority 0; }'"), "");
    for (const char *chain : {"near", "far"})
        for (const char *priority : {"0:3", "0:7", "1:2"})
            QCOMPARE(host(QByteArray("nft add rule netdev lxmgrtest ") + chain + " ip protocol icmp meta priority " + priority + " counter"), "");
    /// One sign a rule: whether it has counted since the last time.
    const auto sends = [&](const char *address, const QByteArray &chain) -> QByteArray {
        const auto counts = [&] { return host("nft list chain netdev lxmgrtest " + chain + " | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'").split(' '); };
        const QByteArrayList before = counts();
        if (!reaches("t1", address))
            return "no answer";
        const QByteArrayList after = counts();
        QByteArray signs;
        for (int i = 0; i < after.size(); ++i)
            signs += before.value(i) == after[i] ? "-" : "+";
        return signs;
    };
    QCOMPARE(sends("10.77.9.8", "near"), "+--");
    QCOMPARE(sends("10.77.8.8", "far"), "+--"); // routed, where the kernel forgets what the bridge said
    // Changed while it runs, without a new card; the card's own word goes before the instance's.
    const QByteArray index = guest("t1", "cat /sys/class/net/lan0/ifindex");
    must({"config", "set", "t1", "limits.network.priority=7"});
    QCOMPARE(sends("10.77.9.8", "near"), "-+-");
    QCOMPARE(sends("10.77.8.8", "far"), "-+-");
    must({"config", "device", "set", "t1", "lan", "limits.priority=65538"});
    QCOMPARE(sends("10.77.9.8", "near"), "--+");
    QCOMPARE(sends("10.77.8.8", "far"), "--+");
    QCOMPARE(m_box.text({"config", "device", "get", "t1", "lan", "limits.priority"}).trimmed(), "65538");
    // Somebody takes the tables of one family away; another daemon takes over.
    QCOMPARE(host("for t in $(nft list tables inet | sed -n 's/^table inet //p' | grep nics); do nft delete table inet $t; done"), "");
    QTRY_COMPARE_WITH_TIMEOUT(sends("10.77.8.8", "far"), "--+", 20000);
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    QCOMPARE(sends("10.77.9.8", "near"), "--+");
    must({"config", "device", "unset", "t1", "lan", "limits.priority"});
    QCOMPARE(sends("10.77.9.8", "near"), "-+-");
    must({"config", "unset", "t1", "limits.network.priority"});
    QCOMPARE(sends("10.77.9.8", "near"), "---");
    QCOMPARE(sends("10.77.8.8", "far"), "---");
    QCOMPARE(host("nft list tables | grep -c nics"), "0");
    const QByteArray refused = refusal({"config", "set", "t1", "limits.network.priority=11"});
    QVERIFY2(refused.contains("limits.network.priority: '11' is not from 0 to 10"), refused);
    QCOMPARE(guest("t1", "cat /sys/class/net/lan0/ifindex"), index);
    QCOMPARE(host("nft delete table netdev lxmgrtest"), "");
}

void TestNics::priorityAloneNeedsNoTableForBridges()
{
    const auto tables = [&] { return host("nft list tables | grep nics | cut -d' ' -f2 | sort"); };
    launch("t1", {"-d", "eth0,type=none", "-d", "lan,type=nic,nictype=p2p,limits.priority=5"});
    QCOMPARE(tables(), "inet");
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    must({"config", "device", "add", "t1", "br", "nic", "network=lxmgrbr0", "security.mac_filtering=true"});
    QCOMPARE(tables(), "bridge inet");
    must({"config", "device", "remove", "t1", "br"});
    QCOMPARE(tables(), "inet");
    must({"stop", "--force", "t1"});
    QCOMPARE(tables(), "");
}

void TestNics::isolatedPortsDoNotReachEachOther()
{
    must({"network", "create", "lxmgrt2", "ipv4.address=10.77.9.1/24", "ipv6.address=none"});
    for (const char *name : {"t1", "t2"}) {
        launch(name);
        must({"config", "device", "add", name, "lan", "nic", "network=lxmgrt2", "name=lan0", "security.port_isolation=true"});
    }
    QCOMPARE(guest("t1", "ip link set lan0 up; ip addr add 10.77.9.7/24 dev lan0"), "");
    QCOMPARE(guest("t2", "ip link set lan0 up; ip addr add 10.77.9.8/24 dev lan0"), "");
    QVERIFY(reaches("t1", "10.77.9.1"));
    QVERIFY(reaches("t2", "10.77.9.1"));
    QCOMPARE(exec("t1", {"ping", "-c", "1", "-W", "1", "10.77.9.8"}).status, 1);
    must({"config", "device", "set", "t2", "lan", "security.port_isolation=false"});
    QVERIFY(reaches("t1", "10.77.9.8"));
}

void TestNics::profilesBringCards()
{
    must({"profile", "create", "web"});
    for (const char *name : {"t1", "t2"})
        launch(name, {"-p", "default", "-p", "web"});
    must({"init", "busybox", "t3", "-p", "default", "-p", "web"});
    must({"profile", "device", "add", "web", "lan", "nic", "nictype=p2p", "name=lan0", "mtu=1400"});
    for (const char *name : {"t1", "t2"})
        QCOMPARE(guest(name, "cat /sys/class/net/lan0/mtu"), "1400");
    QVERIFY(guest("t1", "cat /sys/class/net/lan0/address") != guest("t2", "cat /sys/class/net/lan0/address"));
    must({"start", "t3"}); // it was made before the card
    QCOMPARE(guest("t3", "cat /sys/class/net/lan0/mtu"), "1400");
    const QByteArray mac = guest("t1", "cat /sys/class/net/lan0/address");
    must({"profile", "device", "set", "web", "lan", "mtu=1300"});
    QCOMPARE(guest("t2", "cat /sys/class/net/lan0/mtu"), "1300");
    QCOMPARE(guest("t1", "cat /sys/class/net/lan0/address"), mac);
    must({"restart", "--force", "t1"});
    QCOMPARE(guest("t1", "cat /sys/class/net/lan0/address"), mac);
    must({"profile", "device", "remove", "web", "lan"});
    for (const char *name : {"t1", "t2", "t3"})
        QCOMPARE(guest(name, "ls /sys/class/net"), "eth0 lo");
    deleteAll();
    must({"profile", "delete", "web"});
}

void TestNics::aProfileThatOneCannotTakeChangesNothing()
{
    must({"profile", "create", "web"});
    for (const char *name : {"t1", "t2"})
        launch(name, {"-p", "default", "-p", "web"});
    QCOMPARE(guest("t2", "ip link add lan0 type bridge"), ""); // the first one can take it
    const QByteArray links = host("ip -o link | wc -l"), shown = m_box.text({"config", "show", "t1"});
    const QByteArray refused = refusal({"profile", "device", "add", "web", "lan", "nic", "nictype=p2p", "name=lan0", "limits.max=10Mbit"});
    QVERIFY2(refused.contains("'t2'") && refused.contains("inside"), refused);
    QCOMPARE(guest("t1", "ls /sys/class/net"), "eth0 lo");
    QCOMPARE(host("ip -o link | wc -l"), links);
    QCOMPARE(m_box.text({"config", "show", "t1"}), shown);
    QVERIFY(!m_box.text({"profile", "show", "web"}).contains("lan"));
    deleteAll();
    must({"profile", "delete", "web"});
}

QTEST_GUILESS_MAIN(TestNics)
#include "tst_nics.moc"

// Managed networks: made, changed under running guests, renamed, deleted and recovered; what cannot be is refused by name.
#include "support/system_test.h"

#include <QDir>
#include <QJsonArray>
#include <QJsonDocument>
#include <QRegularExpression>

using namespace lxmgr::test;

class TestNetworks : public SystemTest
{
    Q_OBJECT
private slots:
    void aNetworkIsMadeWithFreeRanges();
    void keysAreAsGiven();
    void guestsAreAttachedAndDetached();
    void profilesAreAttachedAndDetached();
    void changesLeaveGuestsConnected();
    void aFailedChangeIsUndone();
    void fixedAddressesHoldAChangeBack();
    void fixedIpv6AddressesAreThoseThatAreGiven();
    void usedNetworksStay();
    void renamedNetworksWork();
    void externalInterfacesBecomePorts();
    void rawLinesAreNamesOfTheirOwn();
    void leasesAreListed();
    void guestsHaveIpv6();
    void infoShowsTheBridge();
    void whatCannotBeIsRefused_data();
    void whatCannotBeIsRefused();
    void theHostsOwnAreShownAndLeftAlone();
    void networksComeUpWithTheDaemon();
    void aLostDatabaseKnowsThemAgain();
    void restWorksAsOthersExpect();

private:
    QByteArray address(const QString &name, const QString &interface = "eth0");
    QByteArray links() { return run({"ip", "-o", "link"}).out; }
    QByteArray rules() { return run({"nft", "list", "ruleset"}).out; }
    int serverPid(const QString &network);
};

QByteArray TestNetworks::address(const QString &name, const QString &interface)
{
    QByteArray found;
    Sandbox::eventually([&] {
        found = inside(name, {"sh", "-c", "ip -4 -o addr show " + interface + " | tr -s ' ' | cut -d' ' -f4 | cut -d/ -f1"});
        return QRegularExpression("^\\d+\\.\\d+\\.\\d+\\.\\d+$").match(QString::fromUtf8(found)).hasMatch();
    });
    return found;
}

int TestNetworks::serverPid(const QString &network)
{
    QFile file(m_box.stateDir() + "/networks/" + network + "/dnsmasq.pid");
    return file.open(QIODevice::ReadOnly) ? file.readAll().trimmed().toInt() : 0;
}

void TestNetworks::aNetworkIsMadeWithFreeRanges()
{
    QCOMPARE(m_box.text({"network", "create", "net1", "--description", "A first"}), QByteArray("Network net1 created"));
    const QByteArray shown = m_box.text({"network", "show", "net1"});
    QVERIFY2(QRegularExpression("ipv4.address: \"?10\\.\\d+\\.\\d+\\.1/22").match(QString::fromUtf8(shown)).hasMatch(), shown);
    QVERIFY2(shown.contains("ipv4.nat: \"true\"") && shown.contains("ipv6.address: fd42:") && shown.contains("ipv6.nat: \"true\""), shown);
    QVERIFY2(shown.contains("description: A first") && shown.contains("status: Created") && shown.contains("type: bridge"), shown);
    QVERIFY(links().contains(" net1: "));
    QVERIFY(rules().contains("table inet lxmgr_net1 "));
    launch("t1", {"-n", "net1"});
    QVERIFY2(address("t1").startsWith("10."), address("t1"));
    must({"delete", "--force", "t1"});
    const int server = serverPid("net1");
    QVERIFY(Sandbox::isAlive(server));
    QCOMPARE(m_box.text({"network", "delete", "net1"}), QByteArray("Network net1 deleted"));
    QVERIFY(!Sandbox::isAlive(server));
    QVERIFY(!links().contains(" net1: "));
    QVERIFY(!rules().contains("lxmgr_net1"));
    QVERIFY(!QDir(m_box.stateDir() + "/networks/net1").exists());
}

void TestNetworks::keysAreAsGiven()
{
    must({"network", "create", "net1", "ipv4.address=192.168.77.1/24", "ipv4.nat=true", "ipv6.address=none", "bridge.mtu=1400",
          "bridge.hwaddr=0a:16:3e:11:22:33", "ipv4.dhcp.ranges=192.168.77.40-192.168.77.40", "dns.domain=example.test", "user.note=x"});
    QCOMPARE(m_box.text({"network", "get", "net1", "ipv4.address"}), QByteArray("192.168.77.1/24"));
    QCOMPARE(m_box.text({"network", "get", "net1", "user.note"}), QByteArray("x"));
    const QByteArray link = run({"ip", "addr", "show", "net1"}).out;
    QVERIFY2(link.contains("mtu 1400") && link.contains("0a:16:3e:11:22:33") && link.contains("inet 192.168.77.1/24"), link);
    QVERIFY2(!link.contains("inet6"), link);
    launch("t1", {"-n", "net1"});
    QCOMPARE(address("t1"), QByteArray("192.168.77.40"));
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/eth0/mtu"}), QByteArray("1400"));
    const QByteArray resolver = inside("t1", {"cat", "/etc/resolv.conf"});
    QVERIFY2(resolver.contains("example.test") && resolver.contains("192.168.77.1"), resolver);
    QVERIFY(inside("t1", {"nslookup", "t1.example.test", "192.168.77.1"}).contains("192.168.77.40"));
}

void TestNetworks::guestsAreAttachedAndDetached()
{
    must({"network", "create", "net1"});
    must({"create", "busybox", "t1"});
    QCOMPARE(m_box.text({"network", "attach", "net1", "t1", "more", "eth5"}), QByteArray("Device more added to t1"));
    QCOMPARE(m_box.text({"config", "device", "get", "t1", "more", "network"}), QByteArray("net1"));
    must({"start", "t1"});
    QVERIFY(inside("t1", {"ls", "/sys/class/net"}).contains("eth5"));
    QCOMPARE(m_box.text({"network", "list", "-f", "csv", "-c", "nu"}).contains("net1,1"), true);
    must({"stop", "--force", "t1"});
    const Run again = m_box.cli({"network", "attach", "net1", "t1", "more"});
    QCOMPARE(again.status, 5);
    QCOMPARE(m_box.text({"network", "detach", "net1", "t1"}), QByteArray("Network net1 detached from t1"));
    QCOMPARE(m_box.cli({"network", "detach", "net1", "t1"}).status, 3);
    // A bridge of the host.
    RUN_OK(run({"ip", "link", "add", "hostbr", "type", "bridge"}));
    must({"network", "attach", "hostbr", "t1", "eth1"});
    QCOMPARE(m_box.text({"config", "device", "get", "t1", "eth1", "parent"}), QByteArray("hostbr"));
    QCOMPARE(m_box.text({"config", "device", "get", "t1", "eth1", "nictype"}), QByteArray("bridged"));
    must({"network", "detach", "hostbr", "t1"});
    RUN_OK(run({"ip", "link", "delete", "hostbr"}));
}

void TestNetworks::profilesAreAttachedAndDetached()
{
    must({"network", "create", "net1"});
    must({"network", "attach-profile", "net1", "default", "eth1", "eth1"});
    QVERIFY(m_box.text({"network", "show", "net1"}).contains("/1.0/profiles/default"));
    launch("t1");
    QVERIFY(inside("t1", {"ls", "/sys/class/net"}).contains("eth1"));
    const Run held = m_box.cli({"network", "delete", "net1"});
    QCOMPARE(held.status, 6);
    QVERIFY2(held.err.contains("/1.0/instances/t1") && held.err.contains("/1.0/profiles/default"), held.err);
    must({"delete", "--force", "t1"});
    must({"network", "detach-profile", "net1", "default"});
    must({"network", "delete", "net1"});
}

void TestNetworks::changesLeaveGuestsConnected()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
    launch("t1", {"-n", "net1"});
    const QByteArray own = address("t1");
    RUN_OK(run({"busybox", "ping", "-c", "1", "-W", "5", own}));
    const QByteArray bridge = run({"cat", "/sys/class/net/net1/ifindex"}).out;
    // A connection that lasts over all the changes.
    must({"exec", "t1", "--", "sh", "-c", "(tail -f /dev/null | nc -l -p 7000 > /got) >/dev/null 2>&1 & exit 0"});
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"netstat", "-ltn"}).contains(":7000"); }));
    QProcess talk;
    talk.start("busybox", {"nc", own, "7000"});
    QVERIFY(talk.waitForStarted());
    QVERIFY(Sandbox::eventually([&] {
        talk.write("before\n");
        talk.waitForBytesWritten(1000);
        return inside("t1", {"sh", "-c", "cat /got 2>/dev/null || true"}).contains("before");
    }));
    const int server = serverPid("net1");
    must({"network", "set", "net1", "ipv4.nat=true", "user.note=y"});
    QVERIFY(rules().contains("ip saddr 10.77.0.0/24 ip daddr != 10.77.0.0/24 masquerade"));
    QCOMPARE(serverPid("net1"), server); // nothing of its concern
    must({"network", "set", "net1", "ipv4.dhcp.expiry=2h", "dns.domain=other.test"});
    QVERIFY(serverPid("net1") != server);
    must({"network", "set", "net1", "bridge.hwaddr=0a:16:3e:44:55:66"});
    must({"network", "unset", "net1", "ipv4.nat"});
    QVERIFY(!rules().contains("ip daddr != 10.77.0.0/24"));
    must({"network", "set", "net1", "-p", "description=Changed"});
    QCOMPARE(run({"cat", "/sys/class/net/net1/ifindex"}).out, bridge);
    RUN_OK(run({"busybox", "ping", "-c", "1", "-W", "5", own}));
    RUN_OK(exec("t1", {"ping", "-c", "1", "-W", "5", "10.77.0.1"}));
    talk.write("after\n");
    talk.waitForBytesWritten(1000);
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"cat", "/got"}).contains("after"); }));
    talk.kill();
    talk.waitForFinished();
    QVERIFY(inside("t1", {"nslookup", "t1.other.test", "10.77.0.1"}).contains(own));
    // Edited as a whole.
    const QByteArray yaml = "config:\n  ipv4.address: 10.77.0.1/24\n  ipv6.address: none\n  ipv4.nat: \"true\"\ndescription: Edited\n";
    must({"network", "edit", "net1"}, yaml);
    QCOMPARE(m_box.text({"network", "get", "net1", "-p", "description"}), QByteArray("Edited"));
    QCOMPARE(m_box.text({"network", "get", "net1", "user.note"}), QByteArray());
    RUN_OK(run({"busybox", "ping", "-c", "1", "-W", "5", own}));
    // Other addresses: those who run keep theirs until their next lease, the bridge has the new one at once.
    // Names are asked for at another address of the same subnet, too.
    must({"network", "set", "net1", "ipv4.address=10.77.0.2/24"});
    QVERIFY(inside("t1", {"nslookup", "t1.lxmgr", "10.77.0.2"}).contains(own));
    must({"network", "set", "net1", "ipv4.address=10.78.0.1/24"});
    const QByteArray link = run({"ip", "addr", "show", "net1"}).out;
    QVERIFY2(link.contains("10.78.0.1/24") && !link.contains("10.77.0.1"), link);
    must({"restart", "--force", "t1"});
    QVERIFY2(address("t1").startsWith("10.78.0."), address("t1"));
}

void TestNetworks::aFailedChangeIsUndone()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
    const QByteArray before = m_box.text({"network", "show", "net1"}), table = run({"nft", "list", "table", "inet", "lxmgr_net1"}).out;
    // Words that dnsmasq understands but cannot act on.
    const Run failed = m_box.cli({"network", "set", "net1", "ipv4.address=10.78.0.1/24", "raw.dnsmasq=user=no-such-user"});
    QVERIFY2(!failed.ok(), failed.told());
    QVERIFY2(failed.err.contains("dnsmasq for 'net1' did not start"), failed.err);
    QCOMPARE(m_box.text({"network", "show", "net1"}), before);
    QCOMPARE(run({"nft", "list", "table", "inet", "lxmgr_net1"}).out, table);
    QVERIFY(Sandbox::isAlive(serverPid("net1")));
    launch("t1", {"-n", "net1"});
    QVERIFY2(address("t1").startsWith("10.77.0."), address("t1"));
}

void TestNetworks::fixedAddressesHoldAChangeBack()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
    must({"create", "busybox", "t1", "-n", "net1", "-d", "eth0,ipv4.address=10.77.0.9"});
    const Run held = m_box.cli({"network", "set", "net1", "ipv4.address=10.78.0.1/24"});
    QCOMPARE(held.status, 4);
    QVERIFY2(held.err.contains("'eth0'") && held.err.contains("'t1'") && held.err.contains("10.77.0.9"), held.err);
    must({"start", "t1"});
    QCOMPARE(address("t1"), QByteArray("10.77.0.9"));
    // Outside of the subnet, the bridge's own, and one that another has: refused before anything is there.
    must({"create", "busybox", "t2", "-n", "net1"});
    for (const char *wrong : {"10.78.0.9", "10.77.0.1", "10.77.0.9"}) {
        const QByteArray words = wrong == QByteArray("10.77.0.9") ? "'t1'" : wrong;
        const Run refused = m_box.cli({"launch", "busybox", "t3", "-n", "net1", "-d", QString("eth0,ipv4.address=") + wrong});
        QVERIFY2(!refused.ok() && refused.err.contains(words), refused.told());
        QCOMPARE(m_box.stateOf("t3"), QByteArray());
        const Run changed = m_box.cli({"config", "device", "set", "t2", "eth0", QString("ipv4.address=") + wrong});
        QVERIFY2(!changed.ok() && changed.err.contains(words), changed.told());
    }
    must({"config", "device", "set", "t2", "eth0", "ipv4.address=10.77.0.10"});
    must({"config", "set", "t1", "user.x=1"}); // its own is no hindrance
}

void TestNetworks::fixedIpv6AddressesAreThoseThatAreGiven()
{
    must({"network", "create", "net1", "ipv4.address=none", "ipv6.address=fd42:77::1/64"});
    const auto refused = [&](const QStringList &command, const QByteArray &words) {
        const Run run = m_box.cli(command);
        const bool said = !run.ok() && run.err.contains(words);
        if (!said)
            qWarning() << command << run.told();
        return said;
    };
    const QStringList first{"create", "busybox", "t1", "-n", "net1", "-d"};
    // Nobody gives it one here, unless it is told to take it itself.
    QVERIFY(refused(first + QStringList{"eth0,ipv6.address=fd42:77::9"}, "lxmgr network set net1 ipv6.dhcp.stateful=true"));
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    must(first + QStringList{"eth0,ipv6.address=fd42:77::9,security.ipv6_filtering=true"});
    must({"delete", "t1"});
    must({"network", "set", "net1", "ipv6.dhcp.stateful=true"});
    must(first + QStringList{"eth0,ipv6.address=fd42:77::9"});
    QVERIFY(refused({"network", "set", "net1", "ipv6.dhcp.stateful=false"}, "device 'eth0' of instance 't1'"));
    QVERIFY(refused({"network", "set", "net1", "ipv6.dhcp=false"}, "it has no DHCP"));
    for (const auto &[wrong, words] : {std::pair{"fd42:78::9", "is not in a subnet"}, {"fd42:77::1", "the bridge's own"}, {"fd42:77::9", "that of instance 't1'"}}) {
        QVERIFY(refused({"create", "busybox", "t2", "-n", "net1", "-d", QString("eth0,ipv6.address=") + wrong}, words));
        QCOMPARE(m_box.stateOf("t2"), QByteArray());
    }
}

void TestNetworks::usedNetworksStay()
{
    must({"network", "create", "net1"});
    must({"create", "busybox", "t1", "-n", "net1"});
    for (const QStringList &command : {QStringList{"network", "delete", "net1"}, {"network", "rename", "net1", "net2"}}) {
        const Run held = m_box.cli(command);
        QCOMPARE(held.status, 6);
        QVERIFY2(held.err.contains("/1.0/instances/t1"), held.err);
    }
    must({"delete", "t1"});
    must({"network", "delete", "net1"});
}

void TestNetworks::renamedNetworksWork()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24"});
    QCOMPARE(m_box.text({"network", "rename", "net1", "net2"}), QByteArray("Network net1 renamed to net2"));
    QVERIFY(!links().contains(" net1: ") && links().contains(" net2: "));
    QVERIFY(!rules().contains("lxmgr_net1") && rules().contains("lxmgr_net2"));
    QVERIFY(!QDir(m_box.stateDir() + "/networks/net1").exists());
    launch("t1", {"-n", "net2"});
    QVERIFY2(address("t1").startsWith("10.77.0."), address("t1"));
    must({"delete", "--force", "t1"});
    QCOMPARE(m_box.cli({"network", "rename", "net2", "lxmgrbr0"}).status, 5);
}

void TestNetworks::externalInterfacesBecomePorts()
{
    RUN_OK(run({"ip", "link", "add", "ext-a", "type", "veth", "peer", "name", "ext-b"}));
    RUN_OK(run({"ip", "addr", "add", "10.66.0.2/24", "dev", "ext-b"}));
    RUN_OK(run({"ip", "link", "set", "ext-b", "up"}));
    const Run configured = m_box.cli({"network", "create", "net1", "ipv4.address=none", "ipv6.address=none", "bridge.external_interfaces=ext-b"});
    QCOMPARE(configured.status, 4);
    QVERIFY2(configured.err.contains("ext-b") && configured.err.contains("10.66.0.2"), configured.err);
    const Run missing = m_box.cli({"network", "create", "net1", "bridge.external_interfaces=ext-c"});
    QCOMPARE(missing.status, 3);
    must({"network", "create", "net1", "ipv4.address=none", "ipv6.address=none", "bridge.external_interfaces=ext-a"});
    QVERIFY(run({"ip", "link", "show", "master", "net1"}).out.contains("ext-a"));
    launch("t1", {"-d", "lan,type=nic", "-d", "lan,network=net1", "-d", "lan,name=lan0"}); // no DHCP client looks after it
    must({"exec", "t1", "--", "sh", "-c", "ip addr add 10.66.0.3/24 dev lan0 && ip link set lan0 up"});
    RUN_OK(exec("t1", {"ping", "-c", "1", "-W", "5", "10.66.0.2"}));
    must({"network", "unset", "net1", "bridge.external_interfaces"});
    QVERIFY(!run({"ip", "link", "show", "master", "net1"}).out.contains("ext-a"));
    must({"network", "set", "net1", "bridge.external_interfaces=ext-a"});
    must({"delete", "--force", "t1"});
    must({"network", "delete", "net1"});
    QVERIFY(links().contains("ext-a")); // let go of, not deleted
    RUN_OK(run({"ip", "link", "delete", "ext-a"}));
}

void TestNetworks::rawLinesAreNamesOfTheirOwn()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "raw.dnsmasq=host-record=db.lxmgr,10.77.0.200\ncname=sql.lxmgr,db.lxmgr"});
    launch("t1", {"-n", "net1"});
    QVERIFY(!address("t1").isEmpty());
    QVERIFY(inside("t1", {"nslookup", "sql.lxmgr", "10.77.0.1"}).contains("10.77.0.200"));
    QVERIFY(run({"busybox", "nslookup", "t1.lxmgr", "10.77.0.1"}).out.contains("10.77.0.")); // the host asks too
    must({"network", "set", "net1", "raw.dnsmasq=host-record=db.lxmgr,10.77.0.201"});
    QVERIFY(inside("t1", {"nslookup", "db.lxmgr", "10.77.0.1"}).contains("10.77.0.201"));
    const Run wrong = m_box.cli({"network", "set", "net1", "raw.dnsmasq=no-such-option"});
    QCOMPARE(wrong.status, 4);
    QVERIFY2(wrong.err.contains("raw.dnsmasq") && wrong.err.contains("line 1"), wrong.err);
    must({"network", "unset", "net1", "raw.dnsmasq"});
    QVERIFY(!inside("t1", {"sh", "-c", "nslookup db.lxmgr 10.77.0.1 || true"}).contains("10.77.0.201"));
    QCOMPARE(QDir(m_box.stateDir() + "/networks/net1").entryList({"raw-*"}).size(), 0);
}

void TestNetworks::leasesAreListed()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
    launch("t1", {"-n", "net1"});
    launch("t2", {"-n", "net1", "-d", "eth0,ipv4.address=10.77.0.9"});
    const QByteArray own = address("t1");
    const QByteArray mac = m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"});
    QByteArray list; // The server writes its file just after it has answered.
    QVERIFY(Sandbox::eventually([&] {
        list = m_box.text({"network", "list-leases", "net1", "-f", "csv"});
        return list.contains(own);
    }));
    QVERIFY2(list.contains("t1," + mac + "," + own + ",DYNAMIC"), list);
    QVERIFY2(list.contains("10.77.0.9,STATIC") && list.contains("net1.gw,,10.77.0.1,GATEWAY"), list);
    must({"delete", "--force", "t1"});
    QVERIFY(Sandbox::eventually([&] { return !m_box.text({"network", "list-leases", "net1", "-f", "csv"}).contains(own); }));
}

void TestNetworks::guestsHaveIpv6()
{
    must({"network", "create", "net1", "ipv4.address=none", "ipv6.address=fd42:77:0:1::1/64"});
    launch("t1", {"-n", "net1"});
    const auto addresses = [&] { return inside("t1", {"ip", "-6", "addr", "show", "eth0"}); };
    QVERIFY2(Sandbox::eventually([&] { return addresses().contains("inet6 fd42:77:0:1:"); }), addresses());
    // An address is used once the guest is sure that it is the only one with it.
    const auto answers = [&](const char *who) { return Sandbox::eventually([&] { return exec("t1", {"ping", "-c", "1", "-W", "2", who}).ok(); }); };
    const QByteArray routes = inside("t1", {"ip", "-6", "route"});
    QVERIFY2(routes.contains("default via fe80:"), routes);
    QVERIFY(answers("fd42:77:0:1::1"));
    QVERIFY(Sandbox::eventually([&] { return m_box.text({"list", "-f", "csv", "-c", "6"}).contains("fd42:77:0:1:"); }));
    // Another prefix is advertised at once; the old one is given up.
    must({"network", "set", "net1", "ipv6.address=fd42:78:0:1::1/64"});
    QVERIFY2(Sandbox::eventually([&] { return addresses().contains("inet6 fd42:78:0:1:"); }), addresses());
    QVERIFY(answers("fd42:78:0:1::1"));
    // Without routing there is an address, but no way out.
    must({"network", "set", "net1", "ipv6.routing=false"});
    must({"restart", "--force", "t1"});
    QVERIFY2(Sandbox::eventually([&] { return addresses().contains("inet6 fd42:78:0:1:"); }), addresses());
    QVERIFY2(!inside("t1", {"ip", "-6", "route"}).contains("default"), inside("t1", {"ip", "-6", "route"}));
    QVERIFY(answers("fd42:78:0:1::1"));
    // Both families off: a plain bridge, on which nobody answers.
    must({"network", "set", "net1", "ipv6.address=none"});
    QVERIFY(!run({"ip", "addr", "show", "net1"}).out.contains("inet6"));
}

void TestNetworks::infoShowsTheBridge()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24"});
    launch("t1", {"-n", "net1"});
    const QByteArray info = m_box.text({"network", "info", "net1"});
    QVERIFY2(info.contains("inet: 10.77.0.1/24 (global)") && info.contains("Upper devices: veth"), info);
    QVERIFY2(QRegularExpression("ID: 8000\\.[0-9a-f]{12}").match(QString::fromUtf8(info)).hasMatch(), info);
    QVERIFY2(info.contains("resolvectl dns net1 10.77.0.1"), info);
    RUN_OK(m_box.cli({"network", "info", "lo"}));
}

void TestNetworks::whatCannotBeIsRefused_data()
{
    QTest::addColumn<QStringList>("arguments");
    QTest::addColumn<int>("status");
    QTest::addColumn<QString>("words");
    const auto row = [](const char *name, const QStringList &arguments, int status, const QString &words) {
        QTest::newRow(name) << arguments << status << words;
    };
    row("too long a name", {"abcdefghijklmnop"}, 4, "abcdefghijklmnop");
    row("blank in the name", {"a b"}, 4, "a b");
    row("quote in the name", {"a\"b"}, 4, "a");
    row("line in the name", {"a\nb"}, 4, "a");
    row("a digit first", {"1net"}, 4, "letter");
    row("a word of the kernel's", {"all"}, 4, "every interface");
    row("another one", {"default"}, 4, "every interface");
    row("a name of the host", {"lo"}, 5, "already exists");
    row("a name that is taken", {"lxmgrbr0"}, 5, "already exists");
    row("a type", {"net1", "--type", "ovn"}, 9, "ovn");
    row("an unknown key", {"net1", "ipv4.adress=none"}, 4, "ipv4.address");
    row("a key of others", {"net1", "bgp.ipv4.nexthop=1.2.3.4"}, 9, "bgp.ipv4.nexthop");
    row("a tunnel of another kind", {"net1", "tunnel.a.protocol=ipip"}, 4, "tunnel.a.protocol");
    row("a tunnel to nowhere", {"net1", "tunnel.a.protocol=gre", "tunnel.a.local=192.0.2.1"}, 4, "needs remote");
    row("half a tunnel", {"net1", "tunnel.a.protocol=vxlan", "tunnel.a.remote=192.0.2.1"}, 4, "local");
    row("too long a tunnel", {"network7", "tunnel.sevenlet.protocol=vxlan", "tunnel.sevenlet.local=192.0.2.2", "tunnel.sevenlet.remote=192.0.2.1"}, 4, "network7-sevenlet");
    row("no prefix", {"net1", "ipv4.address=10.1.2.1"}, 4, "prefix");
    row("the subnet's number", {"net1", "ipv4.address=10.1.2.0/24"}, 4, "number of the subnet");
    row("a range outside", {"net1", "ipv4.address=10.1.2.1/24", "ipv4.dhcp.ranges=10.1.3.1-10.1.3.9"}, 4, "outside");
    row("a gateway outside", {"net1", "ipv4.address=10.1.2.1/24", "ipv4.dhcp.gateway=10.9.9.9"}, 4, "outside");
    row("line in a domain", {"net1", "dns.domain=x\nserver=1.2.3.4"}, 4, "dns.domain");
    row("quote in a domain", {"net1", "dns.domain=x\" accept"}, 4, "dns.domain");
    row("line in a search", {"net1", "dns.search=a,b\nc"}, 4, "dns.search");
    row("line in an expiry", {"net1", "ipv4.dhcp.expiry=1h\nserver=1.2.3.4"}, 4, "ipv4.dhcp.expiry");
    row("line in a range", {"net1", "ipv4.address=10.1.2.1/24", "ipv4.dhcp.ranges=10.1.2.5-10.1.2.9\ninterface=eth0"}, 4, "ipv4.dhcp.ranges");
    row("quote in an interface", {"net1", "bridge.external_interfaces=a\";drop"}, 4, "bridge.external_interfaces");
    row("nothing dnsmasq knows", {"net1", "raw.dnsmasq=interface net0"}, 4, "raw.dnsmasq");
    row("a prefix that guests cannot use", {"net1", "ipv6.address=fd42:1:2:3::1/80"}, 4, "64");
}

void TestNetworks::whatCannotBeIsRefused()
{
    QFETCH(QStringList, arguments);
    QFETCH(int, status);
    QFETCH(QString, words);
    const QByteArray before = links(), table = rules();
    const Run refused = m_box.cli(QStringList{"network", "create"} + arguments);
    QCOMPARE(refused.status, status);
    QVERIFY2(refused.err.contains(words.toUtf8()), refused.err);
    QCOMPARE(refused.err.trimmed().count('\n'), 0);
    QCOMPARE(links(), before);
    QCOMPARE(rules(), table);
}

void TestNetworks::theHostsOwnAreShownAndLeftAlone()
{
    RUN_OK(run({"ip", "link", "add", "hostbr", "type", "bridge"}));
    RUN_OK(run({"ip", "addr", "add", "10.88.0.1/16", "dev", "hostbr"}));
    const QByteArray list = m_box.text({"network", "list", "-f", "csv", "-c", "ntms"});
    QVERIFY2(list.contains("hostbr,bridge,NO,") && list.contains("lo,loopback,NO,") && list.contains("lxmgrbr0,bridge,YES,CREATED"), list);
    QVERIFY(m_box.cli({"network", "set", "hostbr", "ipv4.nat=true"}).err.contains("not managed"));
    QVERIFY(m_box.cli({"network", "delete", "hostbr"}).err.contains("not managed"));
    // Addresses that are in use on the host.
    const Run overlap = m_box.cli({"network", "create", "net1", "ipv4.address=10.88.7.1/24"});
    QCOMPARE(overlap.status, 4);
    QVERIFY2(overlap.err.contains("10.88.0.1/16") && overlap.err.contains("hostbr"), overlap.err);
    RUN_OK(run({"ip", "link", "delete", "hostbr"}));
}

void TestNetworks::networksComeUpWithTheDaemon()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24"});
    m_box.stopDaemon();
    RUN_OK(run({"ip", "link", "delete", "net1"}));
    RUN_OK(run({"nft", "delete", "table", "inet", "lxmgr_net1"}));
    run({"kill", QString::number(serverPid("net1"))});
    QDir().mkpath(m_box.stateDir() + "/networks/gone"); // of a network whose deletion was cut off
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return run({"ip", "addr", "show", "net1"}).out.contains("10.77.0.1/24"); }));
    QVERIFY(Sandbox::eventually([&] { return rules().contains("lxmgr_net1") && Sandbox::isAlive(serverPid("net1")); }));
    QVERIFY(!QDir(m_box.stateDir() + "/networks/gone").exists());
}

void TestNetworks::aLostDatabaseKnowsThemAgain()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none", "--description", "Kept"});
    const QByteArray before = m_box.text({"network", "show", "net1"});
    m_box.stopDaemon();
    const QDir state(m_box.stateDir());
    for (const QString &file : state.entryList({"lxmgr.db*"}))
        QVERIFY(QFile::rename(state.filePath(file), m_box.directory() + "/" + file));
    QVERIFY(m_box.startDaemon());
    const QByteArray told = m_box.text({"recover", "--yes"});
    const QByteArray after = m_box.text({"network", "show", "net1"});
    must({"network", "set", "net1", "user.x=1"});
    must({"network", "delete", "net1"});
    QVERIFY2(told.contains("net1"), told);
    QCOMPARE(after, before);
    m_box.stopDaemon();
    for (const QString &file : state.entryList({"lxmgr.db*"}))
        QFile::remove(state.filePath(file));
    for (const QString &file : QDir(m_box.directory()).entryList({"lxmgr.db*"}))
        QVERIFY(QFile::rename(m_box.directory() + "/" + file, state.filePath(file)));
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return links().contains(" net1: "); }));
}

void TestNetworks::restWorksAsOthersExpect()
{
    const Reply made = m_box.rest("POST", "/1.0/networks", {{"name", "net1"}, {"config", QJsonObject{{"ipv4.address", "10.77.0.1/24"}}}});
    QCOMPARE(made.status, 201);
    const QJsonObject one = m_box.rest("GET", "/1.0/networks/net1").body["metadata"].toObject();
    for (const char *key : {"name", "description", "type", "managed", "status", "config", "used_by", "locations"})
        QVERIFY2(one.contains(key), key);
    QCOMPARE(m_box.rest("PATCH", "/1.0/networks/net1", {{"config", QJsonObject{{"user.a", "1"}}}}).status, 200);
    QCOMPARE(m_box.text({"network", "get", "net1", "ipv4.address"}), QByteArray("10.77.0.1/24"));
    QCOMPARE(m_box.rest("PATCH", "/1.0/networks/net1", {{"config", QJsonObject{{"user.a", ""}}}}).status, 200);
    QVERIFY(!m_box.text({"network", "show", "net1"}).contains("user.a"));
    const QJsonObject state = m_box.rest("GET", "/1.0/networks/net1/state").body["metadata"].toObject();
    for (const char *key : {"addresses", "counters", "hwaddr", "mtu", "state", "type", "bond", "bridge", "vlan", "ovn"})
        QVERIFY2(state.contains(key), key);
    QVERIFY(state["bridge"].toObject()["id"].toString().startsWith("8000."));
    QCOMPARE(m_box.rest("POST", "/1.0/networks/net1", {{"name", "net2"}}).status, 201);
    QCOMPARE(m_box.rest("GET", "/1.0/networks/net1").status, 404);
    QCOMPARE(m_box.rest("DELETE", "/1.0/networks/net2").status, 200);
    QCOMPARE(m_box.rest("DELETE", "/1.0/networks/net2").status, 404);
    QCOMPARE(m_box.rest("POST", "/1.0/networks", {{"name", "lo"}}).status, 409);
}

QTEST_GUILESS_MAIN(TestNetworks)
#include "tst_networks.moc"

// Rules of networks: forwards, access control lists, and living with the firewalls of others, whose real rule sets are loaded
// in this test's network namespace before and after there are guests.
#include "support/system_test.h"

#include <QJsonArray>
#include <QJsonDocument>
#include <QRegularExpression>

using namespace lxmgr::test;

class TestFirewalls : public SystemTest
{
    Q_OBJECT
public:
    ~TestFirewalls() override
    {
        for (QProcess *process : {&m_answers, &m_world}) {
            process->kill();
            process->waitForFinished();
        }
    }
private slots:
    void forwardsLeadToGuests();
    void forwardsAreKept();
    void badForwardsAreRefused_data();
    void badForwardsAreRefused();
    void listsAreObeyed();
    void listsOfCardsAreObeyed_data();
    void listsOfCardsAreObeyed();
    void listsAreKept();
    void badRulesAreRefused_data();
    void badRulesAreRefused();
    void guestsStayConnected_data();
    void guestsStayConnected();
    void guestsKeepIpv6();
    void networksDoNotStirEachOther();
    void whatOthersSayIsKept();
    void tunnelsLeadToOtherHosts_data();
    void tunnelsLeadToOtherHosts();
    void doctorNamesWhatBlocks();

private:
    void prepare() override;
    QByteArray address(const QString &name);
    bool reaches(const QString &name, const QString &where = "198.51.100.2", int port = 7070, int timeoutMs = 15000);
    bool worldReaches(const QString &where, int port, int timeoutMs = 8000);
    QByteArray rules() { return run({"nft", "-s", "list", "ruleset"}).out; }
    Run load(const QString &file);
    void unload();
    QByteArray others();
    QByteArrayList doctor(const QString &network = "net1");
    void serve(const QString &name, int port, const QString &word);

    QProcess m_world, m_answers;
};

/// "The world" is a network namespace beyond this one, where 198.51.100.2 answers on port 7070.
void TestFirewalls::prepare()
{
    // With the kernel's GRE come links of its own into every namespace, now and not in the middle of a test.
    (void)run({"unshare", "-n", "ip", "link", "add", "far0", "type", "gretap", "local", "192.0.2.1", "remote", "192.0.2.2"});
    m_world.start("unshare", {"-n", "sleep", "1000"});
    QVERIFY(m_world.waitForStarted());
    const QString pid = QString::number(m_world.processId());
    const QByteArray here = run({"readlink", "/proc/self/ns/net"}).out;
    QVERIFY(Sandbox::eventually([&] {
        const QByteArray there = run({"readlink", "/proc/" + pid + "/ns/net"}).out;
        return !there.isEmpty() && there != here;
    }));
    RUN_OK(run({"ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", pid}));
    RUN_OK(run({"ip", "addr", "add", "198.51.100.1/24", "dev", "up0"}));
    RUN_OK(run({"ip", "link", "set", "up0", "up"}));
    const QStringList there{"nsenter", "-t", pid, "-n"};
    RUN_OK(run(there + QStringList{"ip", "addr", "add", "198.51.100.2/24", "dev", "eth0"}));
    RUN_OK(run(there + QStringList{"ip", "link", "set", "eth0", "up"}));
    RUN_OK(run(there + QStringList{"ip", "link", "set", "lo", "up"}));
    m_answers.start("nsenter", {"-t", pid, "-n", "busybox", "nc", "-ll", "-p", "7070", "-e", "/bin/echo", "the-world"});
    QVERIFY(m_answers.waitForStarted());
}


QByteArray TestFirewalls::address(const QString &name)
{
    QByteArray found;
    Sandbox::eventually([&] {
        found = inside(name, {"sh", "-c", "ip -4 -o addr show eth0 | tr -s ' ' | cut -d' ' -f4 | cut -d/ -f1"});
        return QRegularExpression("^\\d+\\.\\d+\\.\\d+\\.\\d+$").match(QString::fromUtf8(found)).hasMatch();
    });
    return found;
}

/// Whether the guest gets an answer by TCP.
bool TestFirewalls::reaches(const QString &name, const QString &where, int port, int timeoutMs)
{
    return Sandbox::eventually([&] { return exec(name, {"nc", "-w", "2", where, QString::number(port)}).out.contains("the-world"); }, timeoutMs);
}

bool TestFirewalls::worldReaches(const QString &where, int port, int timeoutMs)
{
    const QStringList there{"nsenter", "-t", QString::number(m_world.processId()), "-n"};
    return Sandbox::eventually([&] { return run(there + QStringList{"busybox", "nc", "-w", "2", where, QString::number(port)}).out.contains("guest"); }, timeoutMs);
}

void TestFirewalls::serve(const QString &name, int port, const QString &word)
{
    must({"exec", name, "--", "sh", "-c", QString("nc -ll -p %1 -e /bin/echo %2 >/dev/null 2>&1 & exit 0").arg(port).arg(word)});
    QVERIFY(Sandbox::eventually([&] { return inside(name, {"netstat", "-ltn"}).contains(":" + QByteArray::number(port)); }));
}

/// Rules that the programs themselves made, as they were printed where these ran.
Run TestFirewalls::load(const QString &file)
{
    QFile text(Sandbox::sourceDir() + "/tests/data/firewalls/" + file);
    RunOptions options;
    if (text.open(QIODevice::ReadOnly))
        options.input = text.readAll();
    const Run done = run(file.endsWith(".nft") ? QStringList{"nft", "-f", "-"} : QStringList{file.section('.', 1) + "-nft-restore"}, options);
    const QString six = QString(file).replace(".iptables", ".ip6tables");
    return done.ok() && six != file && QFile::exists(Sandbox::sourceDir() + "/tests/data/firewalls/" + six) ? load(six) : done;
}

void TestFirewalls::unload()
{
    for (const char *table : {"ip filter", "ip nat", "ip6 filter", "inet firewalld"})
        (void)run(QStringList{"nft", "delete", "table"} + QString(table).split(' '));
}

/// The tables that are not ours.
QByteArray TestFirewalls::others()
{
    QByteArray text;
    for (const char *table : {"ip filter", "ip nat", "ip6 filter", "inet firewalld"})
        text += run(QStringList{"nft", "-s", "list", "table"} + QString(table).split(' ')).out;
    return text;
}

QByteArrayList TestFirewalls::doctor(const QString &network)
{
    QByteArrayList found;
    for (const QJsonValue &problem : m_box.rest("GET", "/1.0/lxmgr/networks/" + network.toUtf8() + "/doctor").body["metadata"].toArray()) {
        const QJsonObject one = problem.toObject();
        found << (one["what"].toString() + " | " + one["cause"].toString() + " | " + one["cure"].toString()).toUtf8();
    }
    return found;
}

void TestFirewalls::forwardsLeadToGuests()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none", "ipv4.nat=true"});
    launch("t1", {"-n", "net1", "-d", "eth0,ipv4.address=10.77.0.9"});
    launch("t2", {"-n", "net1", "-d", "eth0,ipv4.address=10.77.0.8"});
    QCOMPARE(address("t1"), QByteArray("10.77.0.9"));
    QCOMPARE(address("t2"), QByteArray("10.77.0.8"));
    serve("t1", 80, "guest-80");
    serve("t1", 2200, "guest-2200");
    serve("t2", 90, "guest-90");
    QCOMPARE(m_box.text({"network", "forward", "create", "net1", "198.51.100.1", "--description", "Web"}), QByteArray("Network forward 198.51.100.1 created"));
    QVERIFY(!worldReaches("198.51.100.1", 80, 1000));
    must({"network", "forward", "port", "add", "net1", "198.51.100.1", "tcp", "80,8000-8009", "10.77.0.9"});
    must({"network", "forward", "port", "add", "net1", "198.51.100.1", "tcp", "22", "10.77.0.9", "2200"});
    QVERIFY(worldReaches("198.51.100.1", 80));
    QVERIFY(worldReaches("198.51.100.1", 22));
    // From the host itself, and from a guest of the same network.
    QVERIFY(run({"busybox", "nc", "-w", "2", "198.51.100.1", "80"}).out.contains("guest-80"));
    QVERIFY(exec("t2", {"nc", "-w", "2", "198.51.100.1", "80"}).out.contains("guest-80"));
    must({"network", "forward", "set", "net1", "198.51.100.1", "target_address=10.77.0.8"});
    QVERIFY(worldReaches("198.51.100.1", 90));
    QVERIFY(worldReaches("198.51.100.1", 80)); // ports are not lost by it
    must({"network", "forward", "unset", "net1", "198.51.100.1", "target_address"});
    QVERIFY(!worldReaches("198.51.100.1", 90, 1000));
    QCOMPARE(m_box.text({"network", "forward", "list", "net1", "-f", "csv"}), QByteArray("198.51.100.1,Web,,2"));
    QCOMPARE(m_box.cli({"network", "forward", "port", "remove", "net1", "198.51.100.1", "tcp"}).status, 2);
    must({"network", "forward", "port", "remove", "net1", "198.51.100.1", "tcp", "80,8000-8009"});
    QVERIFY(!worldReaches("198.51.100.1", 80, 1000));
    QVERIFY(worldReaches("198.51.100.1", 22));
    QCOMPARE(m_box.text({"network", "forward", "delete", "net1", "198.51.100.1"}), QByteArray("Network forward 198.51.100.1 deleted"));
    QVERIFY(!worldReaches("198.51.100.1", 22, 1000));
    QVERIFY(!rules().contains("dnat"));
}

void TestFirewalls::forwardsAreKept()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=fd42:77::1/64"});
    must({"network", "forward", "create", "net1", "198.51.100.1"});
    must({"network", "forward", "port", "add", "net1", "198.51.100.1", "udp", "53", "10.77.0.9", "--description", "Names"});
    must({"network", "forward", "create", "net1", "2001:DB8::1", "target_address=fd42:77::9"});
    const QByteArray shown = m_box.text({"network", "forward", "show", "net1", "198.51.100.1"});
    QVERIFY2(shown.contains("description: Names") && shown.contains("listen_port: \"53\"") && shown.contains("protocol: udp"), shown);
    // Restarted, renamed, and with the database lost.
    m_box.stopDaemon();
    RUN_OK(run({"nft", "delete", "table", "inet", "lxmgr_net1"}));
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return rules().contains("dnat ip to 10.77.0.9"); }));
    must({"network", "rename", "net1", "net2"});
    QCOMPARE(m_box.text({"network", "forward", "show", "net2", "198.51.100.1"}), shown);
    QVERIFY(rules().contains("dnat ip6 to fd42:77::9"));
    // A subnet that the targets are not in.
    const Run held = m_box.cli({"network", "set", "net2", "ipv4.address=10.78.0.1/24"});
    QCOMPARE(held.status, 4);
    QVERIFY2(held.err.contains("198.51.100.1") && held.err.contains("10.77.0.9"), held.err);
    const Reply list = m_box.rest("GET", "/1.0/networks/net2/forwards?recursion=1");
    QCOMPARE(list.body["metadata"].toArray().size(), 2);
    QCOMPARE(m_box.rest("GET", "/1.0/networks/net2/forwards/2001%3Adb8%3A%3A1").body["metadata"].toObject()["config"].toObject()["target_address"].toString(),
             QString("fd42:77::9"));
}

void TestFirewalls::badForwardsAreRefused_data()
{
    QTest::addColumn<QStringList>("command");
    QTest::addColumn<int>("status");
    QTest::addColumn<QString>("words");
    const auto row = [](const char *name, const QStringList &command, int status, const char *words) { QTest::newRow(name) << command << status << QString(words); };
    row("no address", {"create", "net1", "x"}, 4, "listen_address");
    row("of the network itself", {"create", "net1", "10.77.0.7"}, 4, "in the network itself");
    row("a family it has not", {"create", "net1", "2001:db8::1"}, 4, "family");
    row("all addresses", {"create", "net1", "0.0.0.0"}, 4, "0.0.0.0");
    row("line in the address", {"create", "net1", "198.51.100.3\naccept"}, 4, "listen_address");
    row("taken", {"create", "net1", "198.51.100.1"}, 5, "already");
    row("a target elsewhere", {"create", "net1", "198.51.100.3", "target_address=192.0.2.1"}, 4, "subnet");
    row("an unknown key", {"create", "net1", "198.51.100.3", "target=10.77.0.9"}, 4, "target_address");
    row("no such network", {"create", "net9", "198.51.100.3"}, 3, "Network not found");
    row("port taken", {"port", "add", "net1", "198.51.100.1", "tcp", "70-90", "10.77.0.8"}, 5, "10.77.0.9");
    row("port of no number", {"port", "add", "net1", "198.51.100.1", "tcp", "http", "10.77.0.8"}, 4, "http");
    row("protocol", {"port", "add", "net1", "198.51.100.1", "icmp", "1", "10.77.0.8"}, 4, "protocol");
    row("quote in a port", {"port", "add", "net1", "198.51.100.1", "tcp", "81\" accept", "10.77.0.8"}, 4, "listen_port");
    row("port that is not there", {"port", "remove", "net1", "198.51.100.1", "udp"}, 3, "port");
}

void TestFirewalls::badForwardsAreRefused()
{
    QFETCH(QStringList, command);
    QFETCH(int, status);
    QFETCH(QString, words);
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
    must({"network", "forward", "create", "net1", "198.51.100.1"});
    must({"network", "forward", "port", "add", "net1", "198.51.100.1", "tcp", "80", "10.77.0.9"});
    const QByteArray before = rules(), shown = m_box.text({"network", "forward", "show", "net1", "198.51.100.1"});
    const Run refused = m_box.cli(QStringList{"network", "forward"} + command);
    QCOMPARE(refused.status, status);
    QVERIFY2(refused.err.contains(words.toUtf8()), refused.err);
    QCOMPARE(rules(), before);
    QCOMPARE(m_box.text({"network", "forward", "show", "net1", "198.51.100.1"}), shown);
}

void TestFirewalls::listsAreObeyed()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none", "ipv4.nat=true"});
    must({"network", "acl", "create", "web", "--description", "Web servers"});
    launch("t1", {"-n", "net1", "-d", "eth0,ipv4.address=10.77.0.9"});
    QCOMPARE(address("t1"), QByteArray("10.77.0.9"));
    serve("t1", 80, "guest-80");
    RUN_OK(run({"nsenter", "-t", QString::number(m_world.processId()), "-n", "ip", "route", "add", "10.77.0.0/24", "via", "198.51.100.1"}));
    QVERIFY(reaches("t1") && worldReaches("10.77.0.9", 80));
    // Without a rule nothing passes the border; addresses and names do.
    must({"network", "set", "net1", "security.acls=web"});
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1000));
    QVERIFY(!worldReaches("10.77.0.9", 80, 1000));
    QVERIFY(!run({"busybox", "nc", "-w", "2", "10.77.0.9", "80"}).out.contains("guest")); // the host is elsewhere too
    must({"restart", "--force", "t1"});
    QCOMPARE(address("t1"), QByteArray("10.77.0.9"));
    QVERIFY(inside("t1", {"nslookup", "t1.lxmgr", "10.77.0.1"}).contains("10.77.0.9"));
    serve("t1", 80, "guest-80");
    // Acts at once, one direction at a time.
    must({"network", "acl", "rule", "add", "web", "ingress", "action=allow", "protocol=tcp", "destination_port=80,443"});
    QVERIFY(worldReaches("10.77.0.9", 80));
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1000));
    must({"network", "acl", "rule", "add", "web", "egress", "action=allow", "destination=198.51.100.0/24", "state=logged"});
    QVERIFY(reaches("t1"));
    // What drops goes before what allows.
    must({"network", "acl", "rule", "add", "web", "egress", "action=drop", "protocol=tcp", "destination_port=7070"});
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1000));
    must({"network", "acl", "rule", "remove", "web", "egress", "action=drop"});
    QVERIFY(reaches("t1"));
    // What it logs is in the kernel's log, and a guest cannot fill that: each rule writes 20 lines at most, then 10 a second.
    {
        // Of namespaces other than the first the kernel logs nothing unless it is told to.
        const QStringList first = {"nsenter", "-t", "1", "-n"}, all = {"sysctl", "-n", "net.netfilter.nf_log_all_netns"};
        const QByteArray was = run(first + all).out.trimmed();
        const auto setAll = [&](const QByteArray &value) {
            return run(first + QStringList{"sysctl", "-q", "-w", "net.netfilter.nf_log_all_netns=" + QString::fromUtf8(value)}).ok();
        };
        const auto lines = [] { return run({"sh", "-c", "dmesg | grep 'lxmgr acl web: IN=net1' | grep -c 'PROTO=UDP'"}).out.toInt(); };
        const int before = lines();
        if (!was.isEmpty() && setAll("1")) {
            must({"network", "acl", "rule", "add", "web", "egress", "action=drop", "protocol=udp", "destination_port=7071", "state=logged"});
            const Run sent = exec("t1", {"sh", "-c", "for i in $(seq 200); do echo x | nc -u -w 0 198.51.100.2 7071 & done 2>/dev/null; wait"});
            const bool told = Sandbox::eventually([&] { return lines() > before; });
            const int more = lines() - before;
            QVERIFY(setAll(was));
            QVERIFY2(told && more < 150, sent.told() + QByteArray::number(more));
            must({"network", "acl", "rule", "remove", "web", "egress", "action=drop"});
        }
        const Run shown = m_box.cli({"network", "acl", "show-log", "web"});
        QVERIFY2(!shown.ok() && shown.err.contains("lxmgr acl web:"), shown.told());
    }
    must({"network", "set", "net1", "security.acls.default.ingress.action=allow"});
    must({"network", "acl", "rule", "remove", "web", "ingress"});
    QVERIFY(worldReaches("10.77.0.9", 80));
    const Run held = m_box.cli({"network", "acl", "delete", "web"});
    QCOMPARE(held.status, 6);
    QVERIFY2(held.err.contains("net1"), held.err);
    QVERIFY(m_box.text({"network", "acl", "show", "web"}).contains("/1.0/networks/net1"));
    must({"network", "unset", "net1", "security.acls"});
    QVERIFY(reaches("t1"));
    RUN_OK(run({"nsenter", "-t", QString::number(m_world.processId()), "-n", "ip", "route", "del", "10.77.0.0/24"}));
    must({"network", "acl", "delete", "web"});
}

void TestFirewalls::listsOfCardsAreObeyed_data()
{
    QTest::addColumn<QString>("device");
    QTest::addColumn<QString>("address");
    QTest::newRow("routed") << "eth0,type=nic,nictype=routed,name=pub0,host_name=t1-out,ipv4.address=10.78.0.9" << "10.78.0.9";
    QTest::newRow("p2p") << "eth0,type=nic,nictype=p2p,name=pub0,host_name=t1-out,ipv4.routes=10.79.0.0/24" << "10.79.0.9";
    QTest::newRow("bridged") << "eth0,type=nic,network=net1,host_name=t1-out,ipv4.address=10.77.0.9" << "10.77.0.9";
}

void TestFirewalls::listsOfCardsAreObeyed()
{
    QFETCH(QString, device);
    QFETCH(QString, address);
    const bool bridged = device.contains("network=");
    must({"network", "acl", "create", "web"});
    if (bridged) {
        must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
        RunOptions probe;
        probe.input = "add table bridge follows\nadd chain bridge follows p { type filter hook prerouting priority 0; }\n"
                      "add rule bridge follows p ct state established accept\ndelete table bridge follows\n";
        if (!run({"nft", "-f", "-"}, probe).ok()) {
            const Run refused = m_box.cli({"init", "busybox", "t1", "-d", device + ",security.acls=web"});
            QCOMPARE(refused.status, 9);
            QVERIFY2(refused.err.contains("device 'eth0'") && refused.err.contains("nf_conntrack_bridge") && refused.err.contains("nictype=routed"), refused.err);
            QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n"}), QByteArray());
            launch("t1", {"-d", device});
            const QByteArray before = m_box.text({"config", "show", "t1"});
            QCOMPARE(m_box.cli({"config", "device", "set", "t1", "eth0", "security.acls=web"}).status, 9);
            QCOMPARE(m_box.text({"config", "show", "t1"}), before);
            must({"network", "acl", "delete", "web"});
            QSKIP("this kernel does not follow connections through a bridge: that it is refused was seen");
        }
    }
    launch("t1", {"-d", device + ",security.acls=web"});
    if (device.contains("p2p")) {
        QCOMPARE(inside("t1", {"sh", "-c", "ip addr add 10.79.0.9/24 dev pub0; ip link set pub0 up; ip route add default via 10.79.0.1"}), QByteArray());
        RUN_OK(run({"sh", "-c", "ip addr add 10.79.0.1/32 dev t1-out; ip link set t1-out up; sysctl -qw net.ipv4.ip_forward=1"}));
    }
    if (bridged) // It gets an address, and names, all the same.
        QVERIFY(Sandbox::eventually([&] { return inside("t1", {"nslookup", "t1.lxmgr", "10.77.0.1"}).contains("10.77.0.9"); }));
    const QString subnet = address.section('.', 0, 2) + ".0/24";
    const QStringList route = {"nsenter", "-t", QString::number(m_world.processId()), "-n", "ip", "route"};
    RUN_OK(run(route + QStringList{"replace", subnet, "via", "198.51.100.1"}));
    serve("t1", 80, "guest-80");
    // Without a rule nothing passes, in either direction, nor from or to the host.
    const auto hostReaches = [&](int ms) {
        return Sandbox::eventually([&] { return run({"busybox", "nc", "-w", "2", address, "80"}).out.contains("guest"); }, ms);
    };
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1000));
    QVERIFY(!worldReaches(address, 80, 1000));
    QVERIFY(!hostReaches(1000));
    // Rules act at once, one direction at a time; answers come back.
    must({"network", "acl", "rule", "add", "web", "ingress", "action=allow", "protocol=tcp", "destination_port=80", "source=198.51.100.0/24"});
    QVERIFY(worldReaches(address, 80));
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1000));
    must({"network", "acl", "rule", "add", "web", "egress", "action=allow", "destination=198.51.100.0/24"});
    QVERIFY(reaches("t1"));
    if (bridged) { // between guests, too
        launch("t2", {"-d", "eth0,type=nic,network=net1"});
        QCOMPARE(this->address("t2").left(6), QByteArray("10.77."));
        const auto guestReaches = [&](int ms) {
            return Sandbox::eventually([&] { return exec("t2", {"nc", "-w", "2", address, "80"}).out.contains("guest"); }, ms);
        };
        QVERIFY(!guestReaches(1000));
        must({"network", "acl", "rule", "add", "web", "ingress", "action=allow", "protocol=tcp", "source=10.77.0.0/24"});
        QVERIFY(guestReaches(8000));
    }
    // A daemon that comes later knows them.
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    must({"network", "acl", "rule", "add", "web", "egress", "action=drop", "protocol=tcp", "destination_port=7070"});
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1000));
    must({"network", "acl", "rule", "remove", "web", "egress", "action=drop"});
    QVERIFY(reaches("t1"));
    if (bridged) // Names are asked for at the address that the network has by now.
        for (const char *server : {"10.77.0.2", "10.77.0.1"}) {
            must({"network", "set", "net1", QString("ipv4.address=%1/24").arg(server)});
            QVERIFY2(Sandbox::eventually([&] { return inside("t1", {"nslookup", "t1.lxmgr", server}).contains("10.77.0.9"); }), server);
        }
    // Who uses it is said, and that it cannot go.
    const Run held = m_box.cli({"network", "acl", "delete", "web"});
    QCOMPARE(held.status, 6);
    QVERIFY2(held.err.contains("instance 't1'"), held.err);
    QVERIFY(m_box.text({"network", "acl", "show", "web"}).contains("/1.0/instances/t1"));
    // What no list says is let through where that is asked for, on the card that it has.
    must({"network", "acl", "rule", "remove", "web", "egress", "--force"});
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1000));
    must({"config", "device", "set", "t1", "eth0", "security.acls.default.egress.action=allow"});
    QVERIFY(reaches("t1"));
    const Run missing = m_box.cli({"config", "device", "set", "t1", "eth0", "security.acls=web,nosuch"});
    QCOMPARE(missing.status, 3);
    QVERIFY2(missing.err.contains("nosuch") && missing.err.contains("eth0"), missing.err);
    must({"config", "device", "set", "t1", "eth0", "security.acls=", "security.acls.default.egress.action="});
    QVERIFY(hostReaches(8000));
    must({"network", "acl", "delete", "web"});
    must({"config", "device", "set", "t1", "eth0", "limits.priority=65541"}); // its table remains, for this
    must({"stop", "--force", "t1"});
    QVERIFY2(!run({"nft", "list", "tables"}).out.contains("nics"), run({"nft", "list", "tables"}).out);
    RUN_OK(run(route + QStringList{"del", subnet}));
}

void TestFirewalls::listsAreKept()
{
    QCOMPARE(m_box.text({"network", "acl", "create", "web", "user.a=1"}), QByteArray("Network ACL web created"));
    must({"network", "acl", "rule", "add", "web", "ingress", "action=allow", "protocol=icmp4", "icmp_type=8", "description=ping: \"yes\""});
    must({"network", "acl", "set", "web", "user.b=2"}); // rules are not lost by it
    must({"network", "acl", "unset", "web", "user.a"});
    const QByteArray shown = m_box.text({"network", "acl", "show", "web"});
    QVERIFY2(shown.contains("icmp_type: \"8\"") && shown.contains("state: enabled") && shown.contains("user.b: \"2\"") && !shown.contains("user.a"), shown);
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon());
    QCOMPARE(m_box.text({"network", "acl", "show", "web"}), shown);
    must({"network", "acl", "rename", "web", "www"});
    QCOMPARE(m_box.text({"network", "acl", "list", "-f", "csv"}), QByteArray("www,,0"));
    QVERIFY(QFile::exists(m_box.stateDir() + "/network-acls/www.yaml") && !QFile::exists(m_box.stateDir() + "/network-acls/web.yaml"));
    const Run missing = m_box.cli({"network", "create", "net1", "security.acls=nosuch"});
    QCOMPARE(missing.status, 3);
    QVERIFY2(missing.err.contains("nosuch"), missing.err);
    must({"network", "acl", "delete", "www"});
    QCOMPARE(m_box.rest("GET", "/1.0/network-acls/www").status, 404);
}

void TestFirewalls::badRulesAreRefused_data()
{
    QTest::addColumn<QStringList>("rule");
    QTest::addColumn<QString>("words");
    QTest::newRow("no action") << QStringList{"ingress", "source=10.0.0.1"} << "action";
    QTest::newRow("unknown field") << QStringList{"ingress", "action=allow", "sorce=10.0.0.1"} << "source";
    QTest::newRow("no address") << QStringList{"ingress", "action=allow", "source=10.0.0"} << "source";
    QTest::newRow("both families") << QStringList{"egress", "action=allow", "source=10.0.0.1", "destination=fd42::1"} << "make it two";
    QTest::newRow("port without protocol") << QStringList{"egress", "action=allow", "destination_port=80"} << "protocol";
    QTest::newRow("line in a field") << QStringList{"egress", "action=allow", "source=10.0.0.1\naccept"} << "source";
    QTest::newRow("quote in a field") << QStringList{"egress", "action=allow", "protocol=tcp\" accept"} << "protocol";
}

void TestFirewalls::badRulesAreRefused()
{
    QFETCH(QStringList, rule);
    QFETCH(QString, words);
    must({"network", "acl", "create", "web"});
    const Run refused = m_box.cli(QStringList{"network", "acl", "rule", "add", "web"} + rule);
    const QByteArray shown = m_box.text({"network", "acl", "show", "web"});
    must({"network", "acl", "delete", "web"});
    QCOMPARE(refused.status, 4);
    QVERIFY2(refused.err.contains(words.toUtf8()) && refused.err.contains("rule 1"), refused.err);
    QVERIFY2(shown.contains("ingress: []") && shown.contains("egress: []"), shown);
}

void TestFirewalls::guestsStayConnected_data()
{
    QTest::addColumn<QString>("file");
    QTest::addColumn<bool>("before");
    for (const char *name : {"docker.iptables", "ufw.iptables", "firewalld.nft"})
        for (const bool before : {true, false})
            QTest::addRow("%s %s", name, before ? "before" : "after") << QString(name) << before;
}

void TestFirewalls::guestsStayConnected()
{
    QFETCH(QString, file);
    QFETCH(bool, before);
    const Run probe = load(file);
    if (!probe.ok())
        QSKIP(("the kernel has not what these rules need: " + probe.err).constData());
    if (!before)
        unload();
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none", "ipv4.nat=true"});
    launch("t1", {"-n", "net1"});
    QVERIFY2(address("t1").startsWith("10.77.0."), address("t1"));
    QVERIFY(reaches("t1"));
    if (!before)
        RUN_OK(load(file)); // nobody tells us
    QVERIFY(reaches("t1"));
    QVERIFY(inside("t1", {"nslookup", "t1.lxmgr", "10.77.0.1"}).contains("10.77.0."));
    must({"restart", "--force", "t1"});
    QVERIFY2(address("t1").startsWith("10.77.0."), address("t1"));
    QVERIFY(reaches("t1"));
    QCOMPARE(doctor(), QByteArrayList());
    // Their owner makes them anew: "systemctl restart docker", "ufw reload", "firewall-cmd --reload".
    unload();
    RUN_OK(load(file));
    QVERIFY(reaches("t1"));
    QVERIFY(Sandbox::eventually([&] { return doctor().isEmpty(); })); // it lets pass some before ours are in it
    // iptables still understands its own table, and takes changes.
    if (file.endsWith(".iptables")) {
        const Run listed = run({"iptables-nft", "-S"});
        QVERIFY2(listed.ok() && listed.out.contains("-i net1") && !listed.err.contains("incompatible"), listed.told().constData());
        RUN_OK(run({"iptables-nft", "-A", "FORWARD", "-i", "other0", "-j", "ACCEPT"}));
        RUN_OK(run({"iptables-nft", "-D", "FORWARD", "-i", "other0", "-j", "ACCEPT"}));
    }
    must({"delete", "--force", "t1"});
    must({"network", "delete", "net1"});
    QVERIFY2(!rules().contains("lxmgr net1"), rules());
    unload();
}

void TestFirewalls::guestsKeepIpv6()
{
    for (const char *chain : {"INPUT", "FORWARD"})
        RUN_OK(run({"ip6tables-nft", "-P", chain, "DROP"}));
    const QStringList there{"nsenter", "-t", QString::number(m_world.processId()), "-n"};
    RUN_OK(run({"ip", "-6", "addr", "add", "2001:db8::1/64", "dev", "up0", "nodad"}));
    RUN_OK(run(there + QStringList{"ip", "-6", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad"}));
    // What lies beyond the host is the host's own affair.
    RUN_OK(run({"ip6tables-nft", "-A", "INPUT", "-i", "up0", "-p", "ipv6-icmp", "-j", "ACCEPT"}));
    must({"network", "create", "net1", "ipv4.address=none", "ipv6.address=fd42:77:0:1::1/64", "ipv6.nat=true"});
    launch("t1", {"-n", "net1"});
    QVERIFY(Sandbox::eventually([&] { return inside("t1", {"ip", "-6", "addr", "show", "eth0"}).contains("fd42:77:0:1:"); }));
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"ping", "-c", "1", "-W", "2", "2001:db8::2"}).ok(); }));
    QVERIFY(exec("t1", {"nslookup", "t1.lxmgr", "fd42:77:0:1::1"}).out.contains("fd42:77:0:1::1"));
    QCOMPARE(doctor(), QByteArrayList());
    must({"network", "forward", "create", "net1", "2001:db8::1"});
    must({"network", "forward", "delete", "net1", "2001:db8::1"});
    unload();
    RUN_OK(run({"ip", "-6", "addr", "del", "2001:db8::1/64", "dev", "up0"}));
    RUN_OK(run(there + QStringList{"ip", "-6", "addr", "del", "2001:db8::2/64", "dev", "eth0"}));
}

void TestFirewalls::networksDoNotStirEachOther()
{
    for (const char *name : {"net1", "net2", "net3"})
        must({"network", "create", name});
    RUN_OK(run({"nft", "add table inet somebody"}));
    RUN_OK(run({"nft", "delete table inet somebody"}));
    // After a change there is a round of rules, and then there is quiet.
    QVERIFY(Sandbox::eventually([&] { return run({"timeout", "2", "nft", "monitor"}).out.isEmpty(); }));
}

void TestFirewalls::whatOthersSayIsKept()
{
    // A rule of the administrator's in the place that Docker gives for it counts for guests too.
    const Run probe = load("docker.iptables");
    if (!probe.ok())
        QSKIP(("the kernel has not what these rules need: " + probe.err).constData());
    const QByteArray before = others();
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none", "ipv4.nat=true"});
    launch("t1", {"-n", "net1"});
    QVERIFY(!address("t1").isEmpty() && reaches("t1"));
    RUN_OK(run({"iptables-nft", "-I", "DOCKER-USER", "-p", "tcp", "--dport", "7070", "-j", "DROP"}));
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1500));
    RUN_OK(run({"iptables-nft", "-D", "DOCKER-USER", "1"}));
    QVERIFY(reaches("t1"));
    // Switched off by its key, and with the network: the table is as its owner made it.
    must({"network", "set", "net1", "ipv4.firewall=false"});
    QVERIFY(!others().contains("lxmgr net1"));
    QVERIFY(!reaches("t1", "198.51.100.2", 7070, 1500));
    must({"network", "unset", "net1", "ipv4.firewall"});
    QVERIFY(reaches("t1"));
    must({"delete", "--force", "t1"});
    must({"network", "delete", "net1"});
    (void)m_box.cli({"network", "show", "lxmgrbr0"});
    const QString left = QString::fromUtf8(others()).remove(QRegularExpression("[^\\n]*comment \"lxmgr lxmgrbr0\"\\n"));
    QCOMPARE(left.toUtf8(), before);
    unload();
}

void TestFirewalls::tunnelsLeadToOtherHosts_data()
{
    QTest::addColumn<QStringList>("far");
    QTest::addColumn<QStringList>("near");
    QTest::addColumn<QByteArray>("mtu");
    QTest::newRow("vxlan") << QStringList{"type", "vxlan", "id", "7", "local", "198.51.100.2", "remote", "198.51.100.1", "dstport", "4789"}
                           << QStringList{"tunnel.far.protocol=vxlan", "tunnel.far.id=7", "tunnel.far.port=4789"} << QByteArray("1450");
    QTest::newRow("gre") << QStringList{"type", "gretap", "local", "198.51.100.2", "remote", "198.51.100.1"} << QStringList{"tunnel.far.protocol=gre"}
                         << QByteArray("1462");
}

void TestFirewalls::tunnelsLeadToOtherHosts()
{
    QFETCH(QStringList, far);
    QFETCH(QStringList, near);
    QFETCH(QByteArray, mtu);
    const QStringList there{"nsenter", "-t", QString::number(m_world.processId()), "-n"};
    const QStringList create = QStringList{"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none", "tunnel.far.local=198.51.100.1",
                                           "tunnel.far.remote=198.51.100.2"} + near;
    const Run made = run(there + QStringList{"ip", "link", "add", "far0"} + far);
    if (!made.ok()) {
        const Run refused = m_box.cli(create);
        QCOMPARE(refused.status, 9);
        QVERIFY2(refused.err.contains("tunnel.far") && refused.err.contains("the kernel has no"), refused.err);
        QCOMPARE(m_box.cli({"network", "show", "net1"}).status, 3);
        QVERIFY(!run({"ip", "-o", "link"}).out.contains("net1"));
        QSKIP(("that it is refused was seen: " + made.err).constData());
    }
    RUN_OK(run(there + QStringList{"ip", "addr", "add", "10.77.0.200/24", "dev", "far0"}));
    RUN_OK(run(there + QStringList{"ip", "link", "set", "far0", "up"}));
    must(create);
    launch("t1", {"-n", "net1"});
    QVERIFY(!address("t1").isEmpty());
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/eth0/mtu"}), mtu);
    const auto answers = [&] { return exec("t1", {"ping", "-c", "1", "-W", "2", "-s", "1400", "10.77.0.200"}).ok(); };
    QVERIFY(Sandbox::eventually(answers));
    // Another one is made in its place at once; without it the other host is not there.
    must({"network", "set", "net1", "tunnel.far.remote=198.51.100.3"});
    QVERIFY(!answers());
    must({"network", "set", "net1", "tunnel.far.remote=198.51.100.2"});
    QVERIFY(Sandbox::eventually(answers));
    must({"delete", "--force", "t1"});
    must({"network", "rename", "net1", "net2"});
    const QByteArray ports = run({"ip", "link", "show", "master", "net2"}).out;
    QVERIFY2(ports.contains("net2-far"), ports);
    must({"network", "delete", "net2"});
    QVERIFY(!run({"ip", "-o", "link"}).out.contains("net2-far"));
    RUN_OK(run(there + QStringList{"ip", "link", "delete", "far0"}));
}

void TestFirewalls::doctorNamesWhatBlocks()
{
    must({"network", "create", "net1", "ipv4.address=10.77.0.1/24", "ipv6.address=none"});
    launch("t1", {"-n", "net1"});
    QCOMPARE(doctor(), QByteArrayList());
    QCOMPARE(m_box.text({"network", "doctor", "net1"}), QByteArray("net1: nothing found that keeps guests from anything"));
    const auto finds = [&](const char *words, const char *cure) {
        const QByteArrayList found = doctor();
        const bool all = std::any_of(found.begin(), found.end(), [&](const QByteArray &one) { return one.contains(words) && one.contains(cure); });
        if (!all)
            qWarning() << words << cure << found;
        return all;
    };
    RUN_OK(run({"sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"}));
    QVERIFY(finds("IPv4 forwarding is off", "sysctl -w net.ipv4.ip_forward=1"));
    QCOMPARE(m_box.cli({"network", "doctor", "net1"}).status, 1);
    RUN_OK(run({"sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"}));
    RUN_OK(run({"ip", "link", "set", "net1", "down"}));
    QVERIFY(finds("is down", "ip link set net1 up"));
    RUN_OK(run({"ip", "link", "set", "net1", "up"}));
    QByteArray port = run({"ip", "-o", "link", "show", "master", "net1"}).out.split(':').value(1).trimmed();
    port = port.left(port.indexOf('@'));
    RUN_OK(run({"ip", "link", "set", QString::fromUtf8(port), "mtu", "1400"}));
    QVERIFY(finds("mtu of 1400", "mtu=1500"));
    RUN_OK(run({"ip", "link", "set", QString::fromUtf8(port), "mtu", "1500"}));
    RUN_OK(run({"ip", "route", "add", "10.77.0.128/25", "via", "198.51.100.2"}));
    QVERIFY(finds("10.77.0.128/25", "ipv4.address=auto"));
    RUN_OK(run({"ip", "route", "del", "10.77.0.128/25"}));
    RUN_OK(run({"ip", "addr", "del", "10.77.0.1/24", "dev", "net1"}));
    QVERIFY(finds("lost its address 10.77.0.1", "ip addr add 10.77.0.1/24 dev net1"));
    RUN_OK(run({"ip", "addr", "add", "10.77.0.1/24", "dev", "net1"}));
    QFile pid(m_box.stateDir() + "/networks/net1/dnsmasq.pid");
    QVERIFY(pid.open(QIODevice::ReadOnly));
    const int server = pid.readAll().trimmed().toInt();
    RUN_OK(run({"kill", QString::number(server)}));
    QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(server); }));
    QVERIFY(finds("no dnsmasq runs", "ss -lntup"));
    must({"network", "set", "net1", "user.x=1"}); // brings it up again
    QCOMPARE(doctor(), QByteArrayList());
    // A table whose owner lets nobody else change it (firewalld 2.1 and later).
    QProcess owner;
    owner.start("nft", {"-i"});
    QVERIFY(owner.waitForStarted());
    owner.write("add table inet firewalld { flags owner; }\n"
                "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }\n"
                "add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited\n");
    QVERIFY(owner.waitForBytesWritten());
    QVERIFY(Sandbox::eventually([&] { return rules().contains("filter_FORWARD"); }));
    QVERIFY(Sandbox::eventually([&] { return !doctor().isEmpty(); }));
    QVERIFY(finds("'filter_FORWARD' of table 'inet firewalld'", "firewall-cmd --permanent --zone=trusted --add-interface=net1"));
    // Once its administrator did so, the zone decides.
    owner.write("add chain inet firewalld filter_FWD_trusted\nadd rule inet firewalld filter_FWD_trusted accept\n"
                "add chain inet firewalld filter_FORWARD_ZONES\n"
                "add rule inet firewalld filter_FORWARD_ZONES iifname \"net1\" goto filter_FWD_trusted\n"
                "insert rule inet firewalld filter_FORWARD jump filter_FORWARD_ZONES\n");
    QVERIFY(owner.waitForBytesWritten());
    QVERIFY(Sandbox::eventually([&] { return doctor().isEmpty(); }));
    owner.closeWriteChannel();
    owner.waitForFinished();
    (void)run({"nft", "delete", "table", "inet", "firewalld"});
    // The older iptables.
    if (run({"iptables-legacy", "-P", "FORWARD", "DROP"}).ok()) {
        QVERIFY(finds("older iptables", "iptables-legacy -I FORWARD -i net1 -j ACCEPT"));
        RUN_OK(run({"iptables-legacy", "-P", "FORWARD", "ACCEPT"}));
    }
    QCOMPARE(doctor(), QByteArrayList());
}

QTEST_GUILESS_MAIN(TestFirewalls)
#include "tst_firewalls.moc"

// A managed bridge in a network namespace of this test's own: DHCP by a real client, names, NAT, and what stays after whom.
#include "base/text.h"
#include "kernel/files.h"
#include "kernel/netlink.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "network/config.h"
#include "network/dnsmasq.h"
#include "network/firewall.h"
#include "network/interfaces.h"
#include "network/network.h"
#include "support/require.h"
#include "support/verify.h"

#include <QElapsedTimer>
#include <QProcess>
#include <QStandardPaths>
#include <QTemporaryDir>
#include <algorithm>
#include <csignal>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

using namespace lxmgr;

namespace
{

QString text(const std::string &bytes) { return QString::fromStdString(bytes); }

/// A dead one may wait for its parent, the machine's init, for a while.
bool lives(pid_t pid)
{
    const Result<proc::Stat> found = proc::stat(pid);
    return pid > 0 && found && found->state != 'Z';
}

} // namespace

class TestNetwork : public QObject
{
    Q_OBJECT

    QTemporaryDir m_folder;
    network::Network m_network;
    Fd m_home;  ///< The host's side.
    Fd m_guest; ///< The guest's.

    static Fd thisNetns() { return *sys::open("/proc/thread-self/ns/net", O_RDONLY); }
    void enter(const Fd &netns)
    {
        if (::setns(netns.get(), CLONE_NEWNET) != 0)
            qFatal("setns");
    }
    /// Runs in the guest's namespace; standard output and error together.
    QByteArray inGuest(const QStringList &argv, int *status = nullptr)
    {
        enter(m_guest);
        QProcess process;
        process.setProcessChannelMode(QProcess::MergedChannels);
        process.start(argv.first(), argv.mid(1));
        process.waitForFinished(20000);
        enter(m_home);
        if (status)
            *status = process.exitCode();
        return process.readAll();
    }

    pid_t serverPid() const
    {
        const Result<std::string> pid = files::read(m_network.directory + "/dnsmasq.pid");
        return pid ? static_cast<pid_t>(*parseUnsigned(trimmed(*pid))) : 0;
    }
    void plugGuestIn(const std::string &mac)
    {
        netlink::Veth veth;
        veth.hostName = "veth-t";
        veth.peerName = "eth0";
        veth.peerNetns = m_guest.get();
        veth.bridge = m_network.name;
        veth.mac = mac;
        VERIFY_OK(netlink::createVeth(veth));
        inGuest({"ip", "link", "set", "lo", "up"});
        inGuest({"ip", "link", "set", "eth0", "up"});
    }
    std::vector<network::Lease> dynamicLeases()
    {
        std::vector<network::Lease> found = *network::leases(m_network);
        std::erase_if(found, [](const network::Lease &row) { return row.type == network::Lease::Type::Gateway; });
        return found;
    }

    static Result<std::string> firewall() { return network::firewall::listChains(); }

private slots:
    void initTestCase()
    {
        NEEDS("root", ::unshare(CLONE_NEWNET) == 0);
        NEEDS("dnsmasq", !QStandardPaths::findExecutable("dnsmasq", {"/usr/sbin", "/usr/bin"}).isEmpty());
        NEEDS("busybox", !QStandardPaths::findExecutable("busybox").isEmpty());
        NEEDS("ip", !QStandardPaths::findExecutable("ip").isEmpty());
        m_home = thisNetns();
        QCOMPARE(::unshare(CLONE_NEWNET), 0);
        m_guest = thisNetns();
        enter(m_home);
        VERIFY_OK(netlink::setUp("lo"));
        ::chmod(m_folder.path().toUtf8().constData(), 0711);
    }
    void init()
    {
        static int count = 0;
        m_network.name = "lxmgrt" + std::to_string(++count);
        Result<network::Config> config = network::withDefaults({});
        VERIFY_OK(config);
        m_network.config = *config;
        m_network.directory = m_folder.path().toStdString() + "/" + m_network.name;
        VERIFY_OK(network::ensureUp(m_network));
    }
    void cleanup()
    {
        const pid_t pid = serverPid();
        if (netlink::linkExists("veth-t"))
            VERIFY_OK(netlink::deleteLink("veth-t"));
        VERIFY_OK(network::tearDown(m_network));
        VERIFY_OK(network::tearDown(m_network));
        QVERIFY(!netlink::linkExists(m_network.name));
        QVERIFY(!lives(pid));
        QVERIFY(firewall()->find("lxmgr_") == std::string::npos);
    }
    void everythingIsThereAndAgainIsQuick()
    {
        const Result<netlink::Link> bridge = netlink::link(m_network.name);
        VERIFY_OK(bridge);
        QCOMPARE(bridge->kind, std::string("bridge"));
        QVERIFY(std::ranges::any_of(bridge->addresses, [](const netlink::Address &a) { return a.text().starts_with("10."); }));
        QVERIFY(std::ranges::any_of(bridge->addresses, [](const netlink::Address &a) { return a.text().starts_with("fd42:"); }));
        QVERIFY(firewall()->find(network::firewall::tableName(m_network.name)) != std::string::npos);
        QCOMPARE(*files::read("/proc/sys/net/ipv4/ip_forward"), std::string("1\n"));
        const pid_t before = serverPid();
        QVERIFY(before > 1);
        QBENCHMARK { VERIFY_OK(network::ensureUp(m_network)); }
        QCOMPARE(serverPid(), before);
        QCOMPARE(network::diagnose(m_network).size(), std::size_t(0));
    }

    void guestGetsItsAddressAndNameWithinASecond()
    {
        VERIFY_OK(network::reserve(m_network, {"web1", "00:16:3e:00:00:01", "", ""}));
        plugGuestIn("00:16:3e:00:00:01");
        QElapsedTimer clock;
        clock.start();
        int status = -1;
        const QByteArray said = inGuest({"busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-s", "/bin/true",
                                         "-x", "hostname:stolen"}, &status);
        qInfo("lease after %lld ms", static_cast<long long>(clock.elapsed()));
        QVERIFY2(status == 0, said.constData());
        QVERIFY2(clock.elapsed() < 1000, said.constData());
        const std::vector<network::Lease> found = dynamicLeases();
        QCOMPARE(found.size(), std::size_t(1));
        QCOMPARE(found[0].hostname, std::string("web1"));
        QCOMPARE(found[0].mac, std::string("00:16:3e:00:00:01"));

        // Its name, asked by another guest (here the same), whole and short; not the one it made up.
        const network::BridgeConfig config = *network::parseConfig(m_network.config);
        const QString server = text(config.ipv4.address->text());
        const QString prefix = QString::number(config.ipv4.address->prefix);
        inGuest({"ip", "addr", "add", text(found[0].address) + "/" + prefix, "dev", "eth0"});
        for (const char *name : {"web1.lxmgr", "web1"}) {
            const QByteArray answer = inGuest({"busybox", "nslookup", name, server}, &status);
            QVERIFY2(answer.contains(found[0].address.c_str()), answer.constData());
        }
        QVERIFY(!inGuest({"busybox", "nslookup", "stolen.lxmgr", server}).contains(found[0].address.c_str()));
        const QByteArray reverse = inGuest({"busybox", "nslookup", text(found[0].address), server});
        QVERIFY2(reverse.contains("web1.lxmgr"), reverse.constData());

        // Deleted: lease and name go at once.
        VERIFY_OK(network::release(m_network, "00:16:3e:00:00:01"));
        QTRY_VERIFY(dynamicLeases().empty());
        QTRY_VERIFY(!inGuest({"busybox", "nslookup", "web1.lxmgr", server}).contains(found[0].address.c_str()));
        VERIFY_OK(network::release(m_network, "00:16:3e:00:00:01"));
        // The name is free for the next one.
        VERIFY_OK(network::reserve(m_network, {"web1", "00:16:3e:00:00:02", "", ""}));
    }

    void reservedAddressIsGivenAndGivenUp()
    {
        const network::BridgeConfig config = *network::parseConfig(m_network.config);
        netlink::Address wanted = *config.ipv4.address;
        wanted.bytes[3] = 77;
        VERIFY_OK(network::reserve(m_network, {"db1", "00:16:3e:00:00:03", wanted.text(), ""}));
        VERIFY_FAILS(Code::AlreadyExists, network::reserve(m_network, {"db2", "00:16:3e:00:00:04", wanted.text(), ""}));
        VERIFY_FAILS(Code::AlreadyExists, network::reserve(m_network, {"db1", "00:16:3e:00:00:04", "", ""}));
        VERIFY_FAILS(Code::Invalid, network::reserve(m_network, {"db2", "00:16:3e:00:00:04", "192.0.2.1", ""}));
        VERIFY_FAILS(Code::Invalid, network::reserve(m_network, {"a,b", "00:16:3e:00:00:04", "", ""}));
        plugGuestIn("00:16:3e:00:00:03");
        int status = -1;
        const QStringList udhcpc = {"busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-s", "/bin/true"};
        QByteArray said = inGuest(udhcpc, &status);
        QVERIFY2(said.contains(wanted.text().c_str()), said.constData());
        VERIFY_OK(network::release(m_network, "00:16:3e:00:00:03"));
        VERIFY_OK(network::reserve(m_network, {"db2", "00:16:3e:00:00:05", wanted.text(), ""}));
        VERIFY_OK(netlink::deleteLink("veth-t"));
        plugGuestIn("00:16:3e:00:00:05");
        said = inGuest(udhcpc, &status);
        QVERIFY2(said.contains(wanted.text().c_str()), said.constData());
    }

    void renamedGuestKeepsItsLease()
    {
        VERIFY_OK(network::reserve(m_network, {"old", "00:16:3e:00:00:06", "", ""}));
        VERIFY_OK(network::reserve(m_network, {"new", "00:16:3e:00:00:06", "", ""}));
        VERIFY_OK(network::reserve(m_network, {"old", "00:16:3e:00:00:07", "", ""}));
    }

    void ipv6ComesFromTheAdvertisement()
    {
        plugGuestIn("00:16:3e:00:00:08");
        QTRY_VERIFY_WITH_TIMEOUT(inGuest({"ip", "-6", "addr", "show", "dev", "eth0"}).contains("inet6 fd42:"), 10000);
        const QByteArray routes = inGuest({"ip", "-6", "route"});
        QVERIFY2(routes.contains("default via fe80:"), routes.constData());
    }

    void serverIsTakenOverNotDoubledAndReplacedWhenItDied()
    {
        const pid_t first = serverPid();
        VERIFY_OK(network::ensureUp(m_network));
        QCOMPARE(serverPid(), first);
        m_network.config["dns.domain"] = "example";
        VERIFY_OK(network::ensureUp(m_network));
        const pid_t second = serverPid();
        QVERIFY(second != first);
        QVERIFY(!lives(first));
        ::kill(second, SIGKILL);
        QTRY_VERIFY(!lives(second));
        QVERIFY(!network::diagnose(m_network).empty());
        VERIFY_OK(network::ensureUp(m_network));
        QVERIFY(serverPid() != second);
        // A pid that now is somebody else's is neither taken for ours nor killed.
        const pid_t other = serverPid();
        VERIFY_OK(files::replace(m_network.directory + "/dnsmasq.pid", std::to_string(::getpid()) + "\n"));
        VERIFY_OK(network::dnsmasq::stop(m_network));
        QVERIFY(!network::dnsmasq::isRunning(m_network));
        VERIFY_OK(files::replace(m_network.directory + "/dnsmasq.pid", std::to_string(other) + "\n"));
    }

    void rulesComeBackAfterSomebodyFlushedThem()
    {
        QProcess nft;
        nft.start("nft", {"flush", "ruleset"});
        NEEDS("nft", nft.waitForFinished());
        QVERIFY(firewall()->find("lxmgr_") == std::string::npos);
        VERIFY_OK(network::ensureUp(m_network));
        QVERIFY(firewall()->find(network::firewall::tableName(m_network.name)) != std::string::npos);
    }

    void othersTablesStayAndAreDiagnosed()
    {
        QProcess nft;
        nft.start("nft", {"add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy "
                          "drop; }; add chain ip filter DOCKER-USER"});
        NEEDS("nft", nft.waitForFinished() && nft.exitCode() == 0);
        const std::vector<network::Problem> found = network::diagnose(m_network);
        QCOMPARE(found.size(), std::size_t(1));
        QVERIFY2(found[0].cause.find("'FORWARD'") != std::string::npos, found[0].cause.c_str());
        QVERIFY2(found[0].cure.find("iptables -I FORWARD -i " + m_network.name) != std::string::npos, found[0].cure.c_str());
        VERIFY_OK(network::ensureUp(m_network)); // opens the chain for the bridge
        QCOMPARE(network::diagnose(m_network).size(), std::size_t(0));
        QVERIFY(firewall()->find("DOCKER-USER") != std::string::npos);
        nft.start("nft", {"delete table ip filter"});
        nft.waitForFinished();
    }

    void aChangeOfRulesIsOneTransaction()
    {
        VERIFY_OK(network::ensureUp(m_network));
        const std::uint32_t before = network::firewall::generation();
        QVERIFY(before != 0);
        VERIFY_OK(network::ensureUp(m_network)); // nothing to be done
        QCOMPARE(network::firewall::generation(), before);
        m_network.forwards.push_back({"192.0.2.7", {}, {}});
        for (int port = 0; port < 500; ++port)
            m_network.forwards[0].ports.push_back({{"protocol", "tcp"}, {"listen_port", std::to_string(1000 + port)},
                                                   {"target_address", network::parseConfig(m_network.config)->ipv4.address->text()},
                                                   {"target_port", std::to_string(2000 + port)}});
        VERIFY_OK(network::ensureUp(m_network));
        QCOMPARE(network::firewall::generation(), before + 1);
        m_network.forwards.clear();
        VERIFY_OK(network::ensureUp(m_network));
        QCOMPARE(network::firewall::generation(), before + 2);
    }

    void addressChangeIsFollowed()
    {
        m_network.config["ipv4.address"] = "10.250.1.1/24";
        m_network.config["ipv6.address"] = "none";
        VERIFY_OK(network::ensureUp(m_network));
        const netlink::Link bridge = *netlink::link(m_network.name);
        std::vector<std::string> global;
        for (const netlink::Address &address : bridge.addresses)
            if (address.scopeName() == "global")
                global.push_back(address.text());
        QCOMPARE(global, std::vector<std::string>{"10.250.1.1"});
    }

    void foreignInterfaceOfThatNameIsLeftAlone()
    {
        netlink::Veth veth;
        veth.hostName = "veth-t";
        veth.peerName = "veth-u";
        VERIFY_OK(netlink::createVeth(veth));
        network::Network other = m_network;
        other.name = "veth-u";
        other.directory += "-other";
        VERIFY_FAILS(Code::AlreadyExists, network::ensureUp(other));
        VERIFY_OK(network::tearDown(other));
        QVERIFY(netlink::linkExists("veth-u"));
    }

    void guestIsMasqueraded()
    {
        // A third namespace is "the world": 198.51.100.2 beyond 198.51.100.1.
        enter(m_home);
        QCOMPARE(::unshare(CLONE_NEWNET), 0);
        const Fd world = thisNetns();
        enter(m_home);
        netlink::Veth uplink;
        uplink.hostName = "uplink-t";
        uplink.peerName = "eth0";
        uplink.peerNetns = world.get();
        VERIFY_OK(netlink::createVeth(uplink));
        VERIFY_OK(netlink::addAddress("uplink-t", *netlink::parseAddress("198.51.100.1/24")));
        enter(world);
        const Status addressed = netlink::addAddress("eth0", *netlink::parseAddress("198.51.100.2/24"));
        const Status up = netlink::setUp("eth0");
        enter(m_home);
        VERIFY_OK(addressed);
        VERIFY_OK(up);
        plugGuestIn("00:16:3e:00:00:09");
        const network::BridgeConfig config = *network::parseConfig(m_network.config);
        netlink::Address own = *config.ipv4.address;
        own.bytes[3] = 50;
        inGuest({"ip", "addr", "add", text(own.text()) + "/" + QString::number(own.prefix), "dev", "eth0"});
        inGuest({"ip", "route", "add", "default", "via", text(config.ipv4.address->text())});
        // The world has no route back: an answer proves the source address was the host's.
        int status = -1;
        const QByteArray said = inGuest({"busybox", "ping", "-c", "1", "-W", "3", "198.51.100.2"}, &status);
        QVERIFY2(status == 0, said.constData());
        VERIFY_OK(netlink::deleteLink("uplink-t"));
    }

    void guestInterfacesNameTheirOuterEnd()
    {
        plugGuestIn("00:16:3e:00:00:0a");
        const Result<std::vector<network::Interface>> inside = network::guestInterfaces(m_guest.get());
        VERIFY_OK(inside);
        const auto eth0 = std::ranges::find(*inside, "eth0", &network::Interface::name);
        QVERIFY(eth0 != inside->end());
        QCOMPARE(eth0->hostName, std::string("veth-t"));
        QCOMPARE(eth0->typeName(), std::string_view("broadcast"));
        QVERIFY(eth0->up());
    }
};

QTEST_GUILESS_MAIN(TestNetwork)
#include "tst_network.moc"

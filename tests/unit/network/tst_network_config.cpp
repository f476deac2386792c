// A bridge's configuration, its firewall text, its server's arguments and files: all without touching a network.
#include "config/network_keys.h"
#include "network/config.h"
#include "network/dnsmasq.h"
#include "network/firewall.h"
#include "network/network.h"
#include "support/verify.h"

#include <algorithm>
#include <sys/socket.h>

using namespace lxmgr;
using namespace lxmgr::network;

class TestNetworkConfig : public QObject
{
    Q_OBJECT

    static Config good() { return {{"ipv4.address", "10.20.0.1/24"}, {"ipv4.nat", "true"}, {"ipv6.address", "fd42:1:2:3::1/64"}}; }

private slots:
    void everyKeyTakesAValueThatIsItsDefault_data()
    {
        QTest::addColumn<QString>("value");
        const QMap<QString, QString> special{{"bridge.hwaddr", "0a:16:3e:01:02:03"}, {"bridge.external_interfaces", "eth7, eth8"},
                                             {"dns.search", "lxmgr"}, {"ipv4.address", "auto"}, {"ipv6.address", "auto"},
                                             {"ipv4.dhcp.gateway", "10.20.0.1"}, {"ipv4.dhcp.ranges", "10.20.0.5-10.20.0.9"},
                                             {"ipv6.dhcp.ranges", "fd42::5-fd42::9"}, {"ipv4.nat", "true"}, {"ipv6.nat", "true"},
                                             {"raw.dnsmasq", "host-record=db.lxmgr,10.20.0.7\n"}};
        for (const auto &key : config::kNetworkKeys) {
            const QString name = QString::fromUtf8(key.name.data(), int(key.name.size()));
            QTest::addRow("%s", qPrintable(name)) << special.value(name, QString::fromUtf8(key.fallback.data(), int(key.fallback.size())));
        }
    }
    void everyKeyTakesAValueThatIsItsDefault()
    {
        QFETCH(QString, value);
        for (const NetworkKey &key : networkKeys())
            if (key.name == QTest::currentDataTag()) {
                BridgeConfig config;
                VERIFY_OK(key.read(config, value.toStdString()));
            }
    }

    void badValuesAreRefused_data()
    {
        QTest::addColumn<QString>("key");
        QTest::addColumn<QString>("value");
        QTest::addColumn<int>("code");
        const auto row = [](const char *key, const char *value, Code code = Code::Invalid) {
            QTest::addRow("%s=%s", key, value) << key << value << int(code);
        };
        row("ipv4.address", "10.20.0.1");
        row("ipv4.address", "10.20.0.0/24");
        row("ipv4.address", "10.20.0.1/31");
        row("ipv4.address", "fd42::1/64");
        row("ipv6.address", "10.20.0.1/24");
        row("ipv6.address", "fd42::1/80");
        row("ipv4.nat", "maybe");
        row("ipv4.dhcp.ranges", "10.20.0.9");
        row("ipv4.dhcp.ranges", "10.20.0.9-10.20.0.3");
        row("ipv4.dhcp.ranges", "10.21.0.3-10.21.0.9");
        row("ipv4.dhcp.gateway", "10.99.0.1");
        row("ipv4.dhcp.expiry", "soon");
        row("dns.domain", "a b");
        row("dns.domain", "-x");
        row("dns.domain", "x\nserver=1.2.3.4");
        row("dns.search", "ok.example,bad/one");
        row("dns.mode", "sometimes");
        row("dns.mode", "dynamic", Code::Unsupported);
        row("bridge.mtu", "100");
        row("bridge.hwaddr", "01:00:00:00:00:00");
        row("bridge.driver", "openvswitch", Code::Unsupported);
        row("ipv4.adress", "10.20.0.1/24");
        row("bridge.external_interfaces", "eth0,a b");
        row("bridge.external_interfaces", "eth0,eth0");
        row("bridge.external_interfaces", "vlan7/eth0/7", Code::Unsupported);
        row("raw.dnsmasq", "server=1.2.3.4\x01");
        row("tunnel.a.id", "1", Code::Unsupported);
    }
    void badValuesAreRefused()
    {
        QFETCH(QString, key);
        QFETCH(QString, value);
        QFETCH(int, code);
        Config config = good();
        config[key.toStdString()] = value.toStdString();
        const Status status = validate(config);
        VERIFY_FAILS(Code(code), status);
        QVERIFY2(status.error().message.find(key.toStdString()) != std::string::npos, status.error().message.c_str());
    }

    void unknownKeysNameTheNearest()
    {
        const Status status = validate({{"ipv4.adress", "none"}});
        QVERIFY2(status.error().message.find("ipv4.address") != std::string::npos, status.error().message.c_str());
        VERIFY_OK(validate({{"user.note", "anything"}}));
    }

    void subnets()
    {
        const netlink::Address address = *netlink::parseAddress("10.20.5.1/22");
        QCOMPARE(subnetOf(address).first.text(), std::string("10.20.4.0"));
        QCOMPARE(subnetOf(address).last.text(), std::string("10.20.7.255"));
        QCOMPARE(subnetText(address), std::string("10.20.4.0/22"));
        QVERIFY(contains(address, *netlink::parseAddress("10.20.6.200")));
        QVERIFY(!contains(address, *netlink::parseAddress("10.20.8.1")));
        QVERIFY(!contains(address, *netlink::parseAddress("fd42::1")));
        QCOMPARE(subnetText(*netlink::parseAddress("fd42:1:2:3::1/64")), std::string("fd42:1:2:3::/64"));
    }

    void pickedRangesAreFreeAndPrivate()
    {
        for (int i = 0; i < 50; ++i) {
            const Result<Subnets> free = pickSubnets();
            VERIFY_OK(free);
            QVERIFY(free->ipv4.text().starts_with("10."));
            QVERIFY(free->ipv6.text().starts_with("fd42:"));
            VERIFY_OK(validate({{"ipv4.address", free->ipv4.text() + "/" + std::to_string(free->ipv4.prefix)},
                                {"ipv6.address", free->ipv6.text() + "/64"}}));
        }
    }

    void defaultsKeepWhatIsGiven()
    {
        const Result<Config> config = withDefaults({{"ipv4.address", "10.9.0.1/24"}, {"ipv6.address", "none"}});
        VERIFY_OK(config);
        QCOMPARE(config->at("ipv4.address"), std::string("10.9.0.1/24"));
        QCOMPARE(config->count("ipv4.nat"), std::size_t(0));
        QCOMPARE(config->at("ipv6.address"), std::string("none"));
        const Result<Config> chosen = withDefaults({{"ipv4.address", "auto"}, {"ipv4.nat", "false"}});
        VERIFY_OK(chosen);
        QVERIFY(chosen->at("ipv4.address").starts_with("10."));
        QCOMPARE(chosen->at("ipv4.nat"), std::string("false"));
    }

    void firewallText()
    {
        const std::string text = firewall::rules("lxmgrbr0", *parseConfig(good()));
        const std::string expected = "add table inet lxmgr_lxmgrbr0\ndelete table inet lxmgr_lxmgrbr0\n";
        QCOMPARE(text.substr(0, expected.size()), expected);
        QVERIFY(text.find("ip saddr 10.20.0.0/24 ip daddr != 10.20.0.0/24 masquerade") != std::string::npos);
        QVERIFY(text.find("ip6 saddr") == std::string::npos); // ipv6.nat was not asked for
        QVERIFY(text.find("iifname \"lxmgrbr0\" meta nfproto ipv4 udp dport { 53, 67 } accept") != std::string::npos);
        QCOMPARE(firewall::tableName("br-1.x"), std::string("lxmgr_br_2d1_2ex"));
    }

    void foreignDropsAreFound()
    {
        const std::string listing = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n"
                                    "\t}\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
                                    "table inet lxmgr_x {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n\t}\n}\n";
        const std::vector<firewall::ForeignDrop> found = firewall::foreignDrops(listing);
        QCOMPARE(found.size(), std::size_t(1));
        QCOMPARE(found[0].table, std::string("ip filter"));
        QCOMPARE(found[0].chain, std::string("FORWARD"));
        QCOMPARE(found[0].hook, std::string("forward"));
    }

    void serverArguments()
    {
        const Network network{"lxmgrbr0", good(), "/var/lib/lxmgr/networks/lxmgrbr0"};
        const std::vector<std::string> argv = dnsmasq::arguments(network, *parseConfig(network.config));
        const auto has = [&](const char *word) { return std::ranges::find(argv, word) != argv.end(); };
        QVERIFY(has("--interface=lxmgrbr0"));
        QVERIFY(has("--no-ping"));
        QVERIFY(has("--dhcp-range=10.20.0.1,10.20.0.254,1h"));
        QVERIFY(has("--dhcp-range=::,constructor:lxmgrbr0,ra-stateless,ra-names"));
        QVERIFY(has("--domain=lxmgr,10.20.0.0/24,local"));
    }

    void reservationsRoundTrip()
    {
        const Reservation full{"web1", "00:16:3e:aa:bb:cc", "10.20.0.9", "fd42::9"};
        const Result<std::string> line = dnsmasq::hostLine(full);
        VERIFY_OK(line);
        QCOMPARE(*line, std::string("00:16:3e:aa:bb:cc,10.20.0.9,[fd42::9],web1"));
        const Result<Reservation> back = dnsmasq::parseHostLine(*line);
        VERIFY_OK(back);
        QVERIFY(back->instance == full.instance && back->mac == full.mac && back->ipv4 == full.ipv4 && back->ipv6 == full.ipv6);
        for (const char *name : {"a,b", "a b", "", "-a", "a\nb", "set:x"})
            VERIFY_FAILS(Code::Invalid, dnsmasq::hostLine({name, full.mac, "", ""}));
        VERIFY_FAILS(Code::Invalid, dnsmasq::hostLine({"web1", "00:16", "", ""}));
        VERIFY_FAILS(Code::Invalid, dnsmasq::hostLine({"web1", full.mac, "10.20.0.9,set:x", ""}));
    }

    void leaseFilesAreReadWithDoubt()
    {
        const auto found = dnsmasq::parseLeases("1700000000 00:16:3e:00:00:01 10.20.0.7 web1 01:00:16:3e:00:00:01\n"
                                                "garbage\n\n1 2 3 4 5\n"
                                                "1700000000 00:16:3e:00:00:02 10.20.0.8 \x1b[31m *\n"
                                                "duid 00:01:00:01\n1700000000 1234 fd42::7 web1 00:01\n");
        QCOMPARE(found.size(), std::size_t(3));
        QCOMPARE(found[0].clientId, std::string("01:00:16:3e:00:00:01"));
        QCOMPARE(found[1].address, std::string("10.20.0.8"));
        QCOMPARE(found[2].mac, std::string());
    }
};

QTEST_GUILESS_MAIN(TestNetworkConfig)
#include "tst_network_config.moc"

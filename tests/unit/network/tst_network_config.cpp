// A bridge's configuration, its firewall text, its server's arguments and files: all without touching a network.
#include "config/network_keys.h"
#include "kernel/netlink.h"
#include "network/config.h"
#include "network/dnsmasq.h"
#include "network/filters.h"
#include "network/firewall.h"
#include "network/foreign.h"
#include "network/network.h"
#include "network/rules.h"
#include "network/vlans.h"
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
        const QMap<QString, QString> special{{"bridge.hwaddr", "0a:16:3e:01:02:03"}, {"bridge.mtu", "1500"}, {"bridge.external_interfaces", "eth7, eth8"},
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

    void aPriorityAloneNeedsNoTableForBridges()
    {
        PortFilter p2p;
        p2p.port = "veth1";
        p2p.priority = 5;
        PortFilter bridged = p2p;
        bridged.bridge = "lxmgrbr0";
        bridged.mac = "00:16:3e:01:02:03";
        const auto hasBridge = [](const std::vector<PortFilter> &all, filters::Families families) {
            const auto text = filters::rules("default/t1", all, families);
            return text && text->find("meta priority set 0:5") != std::string::npos && text->find("bridge") != std::string::npos;
        };
        QVERIFY(!hasBridge({p2p}, filters::Families::Inet));
        QVERIFY(hasBridge({p2p}, filters::Families::Both)); // to remove what was there
        const auto both = filters::rules("default/t1", {p2p, bridged}, filters::Families::Both);
        QVERIFY(both && both->find("table bridge lxmgr_nics_3adefault_2ft1 {") != std::string::npos);
        const auto alone = filters::rules("default/t1", {p2p}, filters::Families::Both);
        QVERIFY(alone && alone->find("table bridge lxmgr_nics_3adefault_2ft1 {") == std::string::npos);
    }

    void vlansHaveNamesThatFit()
    {
        QCOMPARE((Vlan{"eth0", 5}.name()), std::string("eth0.5"));
        QCOMPARE((Vlan{"enp0s31f6", 4094}.name()), std::string("enp0s31f6.4094"));
        const std::string longer = Vlan{"enx001122334455", 4094}.name(), other = Vlan{"enx001122334456", 4094}.name();
        QVERIFY(longer.size() == 15 && longer.ends_with(".4094") && longer != other);
        VERIFY_OK(netlink::checkLinkName(longer));
    }

    void forwardsTakeWhatTheySay()
    {
        Forward forward{"192.0.2.7", {}, {{{"protocol", "tcp"}, {"listen_port", "80,8000-8010"}, {"target_address", "10.1.2.3"}}}};
        QVERIFY(takes(forward, "tcp", 80) && takes(forward, "tcp", 8005));
        QVERIFY(!takes(forward, "tcp", 81) && !takes(forward, "udp", 80));
        forward.config["target_address"] = "10.1.2.3";
        QVERIFY(takes(forward, "udp", 81));
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
        row("tunnel.a.id", "16777216");
        row("tunnel.a.protocol", "ipip");
        row("tunnel.a.colour", "red");
        row("tunnel.twelveletter.id", "1");
        row("tunnel.a.remote", "10.1.2.3/24");
        row("tunnel.a.interface", "a b");
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

    void tunnelsAreWhole()
    {
        Config config = good();
        config.insert({{"tunnel.a.protocol", "vxlan"}, {"tunnel.a.id", "7"}, {"tunnel.a.local", "192.0.2.1"}, {"tunnel.a.remote", "192.0.2.2"}});
        const Result<BridgeConfig> parsed = parseConfig(config);
        VERIFY_OK(parsed);
        QCOMPARE(parsed->tunnels.at("a").id, 7U);
        QCOMPARE(parsed->mtu, 1450U);
        const auto refused = [&](const char *key, const char *value) {
            Config other = config;
            other[key] = value;
            return !validate(other);
        };
        QVERIFY(refused("tunnel.a.group", "239.0.0.9"));
        QVERIFY(refused("tunnel.a.remote", "239.0.0.9"));
        QVERIFY(refused("tunnel.a.local", "fd42::1"));
        QVERIFY(refused("tunnel.a.local", ""));
        QVERIFY(refused("tunnel.b.protocol", "vxlan"));
        QVERIFY(refused("tunnel.b.id", "1"));
        QVERIFY(refused("tunnel.a.protocol", "gre")); // it has no id
        QVERIFY(refused("tunnel.b.protocol", "gre")); // to where?
        Config gre = good();
        gre.insert({{"tunnel.a.protocol", "gre"}, {"tunnel.a.local", "192.0.2.1"}, {"tunnel.a.remote", "192.0.2.2"}});
        QCOMPARE(parseConfig(gre)->mtu, 1462U);
        gre["tunnel.a.local"] = "fd42::1";
        VERIFY_FAILS(Code::Invalid, parseConfig(gre));
        gre["tunnel.a.remote"] = "fd42::2";
        QCOMPARE(parseConfig(gre)->mtu, 1434U);
        config.insert({{"tunnel.b.protocol", "vxlan"}, {"tunnel.b.interface", "eth0"}});
        QCOMPARE(parseConfig(config)->tunnels.at("b").group->text(), std::string("239.0.0.1"));
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
        const std::string text = *firewall::rules({"lxmgrbr0", good(), ""}, *parseConfig(good()));
        const std::string expected = "add table inet lxmgr_lxmgrbr0\ndelete table inet lxmgr_lxmgrbr0\n";
        QCOMPARE(text.substr(0, expected.size()), expected);
        QVERIFY(text.find("ip saddr 10.20.0.0/24 ip daddr != 10.20.0.0/24 masquerade") != std::string::npos);
        QVERIFY(text.find("ip6 saddr") == std::string::npos); // ipv6.nat was not asked for
        QVERIFY(text.find("iifname \"lxmgrbr0\" meta nfproto ipv4 udp dport { 53, 67 } accept") != std::string::npos);
        QCOMPARE(firewall::tableName("br-1.x"), std::string("lxmgr_br_2d1_2ex"));
        // An instance may have 63 bytes of name in a project of 63: nftables takes 255, and two stay apart.
        const std::string hyphens = "a" + std::string(61, '-');
        const std::string one = firewall::proxyTable(hyphens + "1_" + hyphens + "1"), other = firewall::proxyTable(hyphens + "1_" + hyphens + "2");
        QVERIFY(one.size() < 255 && one != other && one.starts_with(firewall::proxyTable("")));
    }

    void foreignChainsAreFound()
    {
        const std::string listing = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n"
                                    "\t}\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n\tchain DOCKER {\n\t}\n}\n"
                                    "table ip nat {\n\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}\n}\n"
                                    "table bridge filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority 0; policy drop;\n\t}\n}\n"
                                    "table inet lxmgr_x {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n\t}\n}\n";
        const std::vector<foreign::Chain> found = foreign::chains(listing);
        QCOMPARE(found.size(), std::size_t(2));
        QCOMPARE(found[0].title(), std::string("ip filter FORWARD"));
        QVERIFY(found[0].drops && !found[1].drops);
        QCOMPARE(found[1].hook, std::string("input"));
    }

    void foreignChainsAreOpenedWhereNobodyElseHasASay()
    {
        const BridgeConfig config = *parseConfig(good());
        const foreign::Chain forward{"ip", "filter", "FORWARD", "forward", true};
        const std::vector<std::string> wanted = foreign::wantedRules(forward, "br0", config);
        QCOMPARE(wanted, (std::vector<std::string>{"iifname \"br0\" accept comment \"lxmgr br0\"", "oifname \"br0\" accept comment \"lxmgr br0\""}));
        // Behind what others say, before what ends all packets.
        const std::vector<foreign::Rule> plain{{"counter packets 1 bytes 2 jump DOCKER-USER", "5"}};
        QCOMPARE(foreign::changes(forward, plain, "br0", wanted),
                 "add rule ip filter FORWARD " + wanted[0] + "\nadd rule ip filter FORWARD " + wanted[1] + "\n");
        const std::vector<foreign::Rule> ended{{"jump DOCKER-USER", "5"}, {"counter packets 1 bytes 2 reject with icmp host-prohibited", "9"}};
        QVERIFY(foreign::changes(forward, ended, "br0", wanted).starts_with("insert rule ip filter FORWARD handle 9 iifname"));
        QVERIFY(foreign::closes({"ip", "filter", "FORWARD", "forward", false}, ended));
        QVERIFY(!foreign::closes({"ip", "filter", "FORWARD", "forward", false}, plain));
        // Once there, nothing is to be done; behind the end they do nothing.
        std::vector<foreign::Rule> open{plain[0], {wanted[0], "6"}, {wanted[1], "7"}};
        QCOMPARE(foreign::changes(forward, open, "br0", wanted), std::string());
        open.insert(open.begin(), {"drop", "4"});
        QVERIFY(foreign::changes(forward, open, "br0", wanted).starts_with("delete rule ip filter FORWARD handle 6\ndelete rule ip filter FORWARD handle 7\n"));
        // Given up again; another bridge's stay.
        QCOMPARE(foreign::changes(forward, {{wanted[0], "6"}, {"iifname \"br00\" accept comment \"lxmgr br00\"", "7"}}, "br0", {}),
                 std::string("delete rule ip filter FORWARD handle 6\n"));
        // The host itself: only what the bridge's server answers, and first.
        const foreign::Chain input{"inet", "firewalld", "filter_INPUT", "input", false};
        for (const std::string &rule : foreign::wantedRules(input, "br0", config))
            QVERIFY2(rule.find(" dport ") != std::string::npos || rule.find("ipv6-icmp") != std::string::npos, rule.c_str());
        QVERIFY(foreign::wantedRules(input, "br0", *parseConfig({{"ipv4.address", "10.20.0.1/24"}, {"ipv4.firewall", "false"}})).empty());
    }

    void rulesAreReadWithTheirHandles()
    {
        const auto rules = foreign::rulesOf("table ip filter {\n\tchain FORWARD { # handle 2\n\t\ttype filter hook forward priority filter; policy drop;\n"
                                            "\t\tcounter packets 0 bytes 0 jump DOCKER-USER # handle 12\n\t\tcomment \"x # handle 9\" # handle 13\n\t}\n}\n");
        QCOMPARE(rules.size(), std::size_t(2));
        QCOMPARE(rules[0].text, std::string("counter packets 0 bytes 0 jump DOCKER-USER"));
        QCOMPARE(rules[0].handle, std::string("12"));
        QCOMPARE(rules[1].handle, std::string("13"));
    }

    void forwardsAreChecked_data()
    {
        QTest::addColumn<QString>("field");
        QTest::addColumn<QString>("value");
        const auto row = [](const char *field, const char *value) { QTest::addRow("%s=%s", field, value) << field << value; };
        row("protocol", "sctp");
        row("protocol", "tcp dport 1 accept");
        row("listen_port", "");
        row("listen_port", "0");
        row("listen_port", "65536");
        row("listen_port", "90-80");
        row("listen_port", "80\naccept");
        row("listen_port", "80 }; drop");
        row("target_port", "80,81");
        row("target_port", "80\"");
        row("target_address", "");
        row("target_address", "10.20.0.9:80");
        row("target_address", "10.20.0.9\naccept");
        row("target_address", "10.21.0.9");
        row("target_address", "10.20.0.1");
        row("target_address", "fd42:1:2:3::9");
        row("target_adress", "10.20.0.9");
    }
    void forwardsAreChecked()
    {
        QFETCH(QString, field);
        QFETCH(QString, value);
        StringMap port{{"protocol", "tcp"}, {"listen_port", "80"}, {"target_address", "10.20.0.9"}};
        const BridgeConfig config = *parseConfig(good());
        VERIFY_OK(checkForward(config, {"192.0.2.1", {}, {port}}));
        port[field.toStdString()] = value.toStdString();
        const Status status = checkForward(config, {"192.0.2.1", {}, {port}});
        VERIFY_FAILS(Code::Invalid, status);
        QVERIFY2(status.error().message.find(field.toStdString()) != std::string::npos, status.error().message.c_str());
    }

    void forwardsDoNotOverlap()
    {
        const BridgeConfig config = *parseConfig(good());
        const StringMap range{{"protocol", "tcp"}, {"listen_port", "80-90"}, {"target_address", "10.20.0.9"}};
        const StringMap one{{"protocol", "tcp"}, {"listen_port", "85"}, {"target_address", "10.20.0.8"}};
        const Status status = checkForward(config, {"192.0.2.1", {}, {range, one}});
        VERIFY_FAILS(Code::AlreadyExists, status);
        QVERIFY2(status.error().message.find("10.20.0.9") != std::string::npos, status.error().message.c_str());
        for (const char *wrong : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "10.20.0.7", "192.0.2.1/24", "::1", "ff02::1", "x", "192.0.2.1\naccept"})
            VERIFY_FAILS(Code::Invalid, listenAddress(config, wrong));
        QCOMPARE(*listenAddress(config, "2001:DB8::0:1"), std::string("2001:db8::1"));
    }

    void forwardText()
    {
        const Forward forward{"192.0.2.1", {{"target_address", "10.20.0.7"}},
                              {{{"protocol", "tcp"}, {"listen_port", "80,8000-8010"}, {"target_address", "10.20.0.9"}},
                               {{"protocol", "udp"}, {"listen_port", "53"}, {"target_address", "10.20.0.9"}, {"target_port", "5353"}},
                               {{"protocol", "tcp"}, {"listen_port", "1,2"}, {"target_address", "10.20.0.9"}, {"target_port", "11,12"}}}};
        QCOMPARE(*forwardRules({forward}), std::string("  ip daddr 192.0.2.1 tcp dport { 80, 8000-8010 } dnat ip to 10.20.0.9\n"
                                                       "  ip daddr 192.0.2.1 udp dport { 53 } dnat ip to 10.20.0.9:5353\n"
                                                       "  ip daddr 192.0.2.1 tcp dport 1 dnat ip to 10.20.0.9:11\n"
                                                       "  ip daddr 192.0.2.1 tcp dport 2 dnat ip to 10.20.0.9:12\n"
                                                       "  ip daddr 192.0.2.1 dnat ip to 10.20.0.7\n"));
        const Forward six{"2001:db8::1", {}, {{{"protocol", "tcp"}, {"listen_port", "80"}, {"target_address", "fd42:1:2:3::9"}, {"target_port", "81"}}}};
        QCOMPARE(*forwardRules({six}), std::string("  ip6 daddr 2001:db8::1 tcp dport { 80 } dnat ip6 to [fd42:1:2:3::9]:81\n"));
    }

    void listsAreChecked_data()
    {
        QTest::addColumn<QString>("field");
        QTest::addColumn<QString>("value");
        QTest::addColumn<int>("code");
        const auto row = [](const char *field, const char *value, Code code = Code::Invalid) {
            QTest::addRow("%s=%s", field, value) << field << value << int(code);
        };
        row("action", "");
        row("action", "accept\n drop");
        row("state", "on");
        row("protocol", "gre");
        row("source", "10.0.0.0/33");
        row("source", "10.0.0.9-10.0.0.1");
        row("source", "10.0.0.1,fd42::1");
        row("source", "10.0.0.1 }; accept");
        row("source", "@internal", Code::Unsupported);
        row("destination", "fd42::/64");
        row("destination_port", "http");
        row("source_port", "1;2");
        row("icmp_type", "8");
        row("sourc", "10.0.0.1");
    }
    void listsAreChecked()
    {
        QFETCH(QString, field);
        QFETCH(QString, value);
        QFETCH(int, code);
        StringMap rule{{"action", "allow"}, {"source", "10.0.0.1"}, {"destination", "10.20.0.0/24"}, {"protocol", "tcp"}, {"destination_port", "80"},
                       {"description", "free \" text\n"}};
        VERIFY_OK(checkAcl({"web", {rule}, {}}));
        rule[field.toStdString()] = value.toStdString();
        const Status status = checkAcl({"web", {}, {rule}});
        VERIFY_FAILS(Code(code), status);
        QVERIFY2(status.error().message.find("egress rule 1") != std::string::npos, status.error().message.c_str());
    }

    void listNamesAreChecked()
    {
        for (const char *name : {"", "a b", "a\"b", "a\nb", "1a", "a;b", "a/b"})
            VERIFY_FAILS(Code::Invalid, checkAcl({name, {}, {}}));
    }

    void listText()
    {
        Config config = good();
        config["security.acls"] = "web";
        config["security.acls.default.egress.action"] = "allow";
        config["security.acls.default.ingress.logged"] = "true";
        const StringMap allow{{"action", "allow"}, {"protocol", "tcp"}, {"destination_port", "80,443"}};
        const StringMap drop{{"action", "drop"}, {"source", "192.0.2.0/24,198.51.100.5-198.51.100.9"}, {"state", "logged"}};
        const StringMap off{{"action", "reject"}, {"protocol", "icmp4"}, {"icmp_type", "8"}, {"state", "disabled"}};
        const StringMap ping{{"action", "reject"}, {"protocol", "icmp4"}, {"icmp_type", "8"}};
        const std::string text = *firewall::rules({"br0", config, "", {}, {{"web", {allow, drop, off}, {ping}}}}, *parseConfig(config));
        const std::string matched = "  oifname \"br0\" meta protocol ip ip saddr { 192.0.2.0/24, 198.51.100.5-198.51.100.9 } ";
        const std::string order = matched + "limit rate 10/second burst 20 packets log prefix \"lxmgr acl web: \"\n" + matched + "drop\n"
                                  "  iifname \"br0\" meta protocol ip meta l4proto icmp icmp type 8 reject\n"
                                  "  oifname \"br0\" meta l4proto tcp tcp dport { 80, 443 } accept\n"
                                  "  oifname \"br0\" limit rate 10/second burst 20 packets log prefix \"lxmgr acl default: \"\n"
                                  "  oifname \"br0\" reject\n"
                                  "  iifname \"br0\" accept\n";
        QVERIFY2(text.find(order) != std::string::npos, text.c_str());
        QVERIFY2(text.find("iifname \"br0\" jump acl") != std::string::npos, text.c_str());
    }

    void listTextOfCards()
    {
        PortFilter card;
        card.port = "veth1";
        card.acls = {"web"};
        card.lists = {{"web", {{{"action", "reject"}, {"protocol", "tcp"}, {"destination_port", "22"}}}, {{{"action", "allow"}, {"destination", "fd42::/64"}}}}};
        card.egress.action = config::AclAction::Drop;
        card.ingress.logged = true;
        QVERIFY(!card.empty() && !card.checks());
        const auto holds = [](const std::string &text, std::initializer_list<const char *> parts) {
            std::size_t at = 0;
            for (const char *part : parts)
                if ((at = text.find(part, at)) == std::string::npos)
                    return false;
            return true;
        };
        const std::string routed = *filters::rules("default/t1", {card}, filters::Families::Both);
        QVERIFY2(routed.find("table bridge lxmgr_nics_3adefault_2ft1 {") == std::string::npos, routed.c_str());
        QVERIFY2(holds(routed, {"table inet lxmgr_nics_3adefault_2ft1 {", "chain from0 {", "ct state established,related accept", "udp sport 68 udp dport 67 accept",
                                "meta protocol ip6 ip6 daddr { fd42::/64 } accept\n  drop\n }", "chain to0 {", "meta l4proto tcp tcp dport { 22 } reject\n",
                                "log prefix \"lxmgr acl default: \"\n  reject\n }", "hook input priority filter", "iifname \"veth1\" jump from0",
                                "hook forward priority filter", "iifname \"veth1\" jump from0", "oifname \"veth1\" jump to0", "hook output priority filter",
                                "oifname \"veth1\" jump to0"}), routed.c_str());
        card.bridge = "br0";
        card.servers = {"10.20.0.1", "fd42::1"};
        const std::string bridged = *filters::rules("default/t1", {card}, filters::Families::Both);
        QVERIFY2(holds(bridged, {"table bridge lxmgr_nics_3adefault_2ft1 {", "chain from0 {", "ether type arp accept", "ether type != { ip, ip6 } drop",
                                 "ip daddr 10.20.0.1 udp dport 53 accept", "ip6 daddr fd42::1 tcp dport 53 accept", "chain to0 {",
                                 "tcp dport { 22 } drop\n", "  drop\n }", "hook prerouting priority 0", "iifname \"veth1\" jump from0",
                                 "hook postrouting priority 0", "oifname \"veth1\" jump to0"}), bridged.c_str());
        // A guest offers neither addresses nor routers by being let through everywhere.
        const std::string from = bridged.substr(bridged.find("chain from0"), bridged.find("chain to0") - bridged.find("chain from0"));
        QVERIFY2(from.find("nd-router-advert") == std::string::npos && from.find("sport 67") == std::string::npos, from.c_str());
        card.port = "veth1\" accept";
        VERIFY_FAILS(Code::Invalid, filters::rules("default/t1", {card}, filters::Families::Both));
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

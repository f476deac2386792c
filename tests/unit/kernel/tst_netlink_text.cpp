// Addresses, MACs and interface names as text.
#include "kernel/netlink.h"
#include "support/verify.h"

#include <sys/socket.h>

using namespace lxmgr;
using namespace lxmgr::netlink;

class TestNetlinkText : public QObject
{
    Q_OBJECT
private slots:
    void addresses()
    {
        const Result<Address> v4 = parseAddress("10.1.2.3/24");
        VERIFY_OK(v4);
        QCOMPARE(v4->family, AF_INET);
        QCOMPARE(v4->prefix, 24U);
        QCOMPARE(v4->text(), std::string("10.1.2.3"));
        QCOMPARE(parseAddress("fd42::1")->prefix, 128U);
        QCOMPARE(parseAddress("fd42:0::1/64")->text(), std::string("fd42::1"));
        for (const char *bad : {"", "10.1.2", "10.1.2.3/33", "10.1.2.3/", "fd42::1/129", "x", "10.1.2.3 "})
            VERIFY_FAILS(Code::Invalid, parseAddress(bad));
    }
    void macs()
    {
        QCOMPARE(*parseMac("00:16:3E:AA:bb:cc"), std::string("00:16:3e:aa:bb:cc"));
        for (const char *bad : {"", "00:16:3e:aa:bb", "00:16:3e:aa:bb:cc:dd", "0:16:3e:aa:bb:cc", "01:00:5e:00:00:01", "zz:16:3e:aa:bb:cc"})
            VERIFY_FAILS(Code::Invalid, parseMac(bad));
    }
    void addressesOfInfinibandPorts()
    {
        const std::string now = "a0:00:0f:c0:fe:80:00:00:00:00:00:00:4a:c8:f9:1b:aa:57:ef:19";
        QCOMPARE(fullAddress("00:11:22:33:44:55:66:77", now), std::string("a0:00:0f:c0:fe:80:00:00:00:00:00:00:00:11:22:33:44:55:66:77"));
        QCOMPARE(fullAddress(now, "x"), now);
        QCOMPARE(fullAddress("00:16:3e:aa:bb:cc", "00:16:3e:00:00:01"), std::string("00:16:3e:aa:bb:cc"));
    }
    void names()
    {
        for (const char *good : {"lxmgrbr0", "a", "veth1234567890a", "br-1.2_3"})
            VERIFY_OK(checkLinkName(good));
        for (const char *bad : {"", ".", "..", "a/b", "a b", "sixteen-letters-", "a\n"})
            VERIFY_FAILS(Code::Invalid, checkLinkName(bad));
    }
};

QTEST_GUILESS_MAIN(TestNetlinkText)
#include "tst_netlink_text.moc"

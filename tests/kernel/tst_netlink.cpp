// rtnetlink on the real kernel, in a network namespace of this test's own.
#include "kernel/netlink.h"
#include "kernel/sys.h"
#include "support/require.h"
#include "support/verify.h"

#include <algorithm>
#include <linux/if.h>
#include <sched.h>

using namespace lxmgr;
using namespace lxmgr::netlink;

class TestNetlink : public QObject
{
    Q_OBJECT

    /// A second namespace, as a guest's; the caller stays in its own.
    static Fd anotherNetns()
    {
        const Fd home = *sys::open("/proc/thread-self/ns/net", O_RDONLY);
        if (::unshare(CLONE_NEWNET) != 0)
            qFatal("unshare");
        Fd made = *sys::open("/proc/thread-self/ns/net", O_RDONLY);
        if (::setns(home.get(), CLONE_NEWNET) != 0)
            qFatal("setns");
        return made;
    }

private slots:
    void initTestCase() { NEEDS("root", ::unshare(CLONE_NEWNET) == 0); }
    void cleanup()
    {
        for (const char *name : {"veth-t1", "br-t1"})
            if (linkExists(name))
                VERIFY_OK(deleteLink(name));
    }

    void bridgeIsMadeAddressedAndRemoved()
    {
        VERIFY_OK(createBridge({"br-t1", "00:16:3e:01:02:03", 1400}));
        VERIFY_FAILS(Code::AlreadyExists, createBridge({"br-t1", "", 0}));
        const Address v4 = *parseAddress("10.9.8.1/24");
        const Address v6 = *parseAddress("fd42:1:2:3::1/64");
        for (int twice = 0; twice < 2; ++twice) {
            VERIFY_OK(addAddress("br-t1", v4));
            VERIFY_OK(addAddress("br-t1", v6));
        }
        VERIFY_OK(setUp("br-t1"));
        const Result<Link> found = netlink::link("br-t1");
        VERIFY_OK(found);
        QCOMPARE(found->kind, std::string("bridge"));
        QCOMPARE(found->mac, std::string("00:16:3e:01:02:03"));
        QCOMPARE(found->mtu, 1400U);
        QVERIFY(found->flags & IFF_UP);
        QCOMPARE(std::ranges::count(found->addresses, v4), 1);
        QCOMPARE(std::ranges::count(found->addresses, v6), 1);
        QCOMPARE(found->addresses[0].text(), std::string("10.9.8.1"));
        VERIFY_OK(deleteAddress("br-t1", v4));
        VERIFY_OK(deleteAddress("br-t1", v4));
        VERIFY_OK(deleteLink("br-t1"));
        VERIFY_FAILS(Code::NotFound, deleteLink("br-t1"));
        VERIFY_FAILS(Code::NotFound, netlink::link("br-t1"));
    }

    void vethPeerIsBornInTheOtherNamespace()
    {
        VERIFY_OK(createBridge({"br-t1", "", 1300}));
        const Fd guest = anotherNetns();
        Veth veth;
        veth.hostName = "veth-t1";
        veth.peerName = "eth0";
        veth.peerNetns = guest.get();
        veth.bridge = "br-t1";
        veth.mac = "00:16:3e:aa:bb:cc";
        VERIFY_OK(createVeth(veth));
        const Result<Link> outside = netlink::link("veth-t1");
        VERIFY_OK(outside);
        QVERIFY(outside->flags & IFF_UP);
        QCOMPARE(outside->master, netlink::link("br-t1")->index);
        QCOMPARE(outside->mtu, 1300U);
        const Result<std::vector<Link>> inside = links(guest.get());
        VERIFY_OK(inside);
        const auto eth0 = std::ranges::find(*inside, "eth0", &Link::name);
        QVERIFY(eth0 != inside->end());
        QCOMPARE(eth0->mac, std::string("00:16:3e:aa:bb:cc"));
        QCOMPARE(eth0->mtu, 1300U);
        QCOMPARE(eth0->peer, outside->index);
        QVERIFY(!linkExists("eth0"));
        VERIFY_FAILS(Code::AlreadyExists, createVeth(veth));
        veth.hostName = "veth-t2";
        veth.bridge = "br-none";
        VERIFY_FAILS(Code::NotFound, createVeth(veth));
        QVERIFY(!linkExists("veth-t2"));
    }

    void guestsInterfacesAreReadUnderAMillisecond()
    {
        const Fd guest = anotherNetns();
        QBENCHMARK { VERIFY_OK(links(guest.get())); }
    }

    void routesShowWhatIsCovered()
    {
        VERIFY_OK(createBridge({"br-t1", "", 0}));
        VERIFY_OK(addAddress("br-t1", *parseAddress("10.77.1.1/24")));
        VERIFY_OK(setUp("br-t1"));
        const Result<std::vector<Route>> found = routes();
        VERIFY_OK(found);
        QVERIFY(std::ranges::any_of(*found, [](const Route &route) {
            return route.destination.text() == "10.77.1.0" && route.destination.prefix == 24;
        }));
    }
};

QTEST_GUILESS_MAIN(TestNetlink)
#include "tst_netlink.moc"

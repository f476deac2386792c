// The contract's encoding: every field comes back, strangers are skipped, damage is told.
#include "spec/codec.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::spec;

namespace
{

LaunchSpec fullSpec()
{
    LaunchSpec spec;
    spec.project = "default";
    spec.instance = "web1";
    spec.runDir = "/run/x";
    spec.cgroup = "lxmgr/web1";
    spec.cgroupWrites = {
        {"memory", "memory.limit_in_bytes", "512", true },
        {"",       "pids.max",              "3",   false}
    };
    spec.idmap.uids = {
        {0,     1000000, 65536},
        {65536, 2000000, 1    }
    };
    spec.idmap.gids = {
        {0, 1000000, 65536}
    };
    spec.rootfs.kind = Rootfs::Kind::Overlay;
    spec.rootfs.lower = {"/a", "/b"};
    spec.rootfs.layer = "/c";
    spec.mounts.resize(2);
    spec.mounts[1].source = "/srv";
    spec.mounts[1].target = "srv";
    spec.mounts[1].nodev = false;
    spec.mounts[1].beneath = "/srv";
    spec.devices = {
        {"net/tun", false, 10, 200, 0600, 5, 6, "tun"}
    };
    spec.files = {
        {"/etc/hostname", std::string("web1\n\0x", 7), 1, 2, 0600, true, "/usr/bin/x"}
    };
    spec.setup.groups = {
        {"web", {"alice", "bob"}}
    };
    spec.setup.users.resize(2);
    spec.setup.users[1].name = "alice";
    spec.setup.users[1].locked = false;
    spec.setup.users[1].uid = 1234;
    spec.setup.files = {
        {"/a", "b", "root", "web", 0640, true}
    };
    spec.setup.hosts = "127.0.1.1 box";
    spec.nics = {
        {"eth0", "vethA", "eth0", "br0", "00:16:3e:00:00:01", 1400, Nic::Kind::Physical, "eno1", 4, {"192.0.2.7", "fd42::7"}, {2, 10},
         {"198.51.100.0/24"}, 1'000'000, 2'000'000, true, {"192.0.2.1"}, 100, 101, 500, true, 5, {10, 4094}, "eno2", 7, "00:16:3e:00:00:02", 1450, true}
    };
    spec.proxies.resize(1);
    spec.proxies[0].device = "http";
    spec.proxies[0].listen = {ProxyEnd::Kind::Udp, "::", {80, 65535}};
    spec.proxies[0].connect = {ProxyEnd::Kind::Unix, "@x", {0}};
    spec.proxies[0].mode = 0600;
    spec.tpms = {
        {"t", "tpm0", "tpmrm0", "/pool/web1/tpm.t", "/usr/bin/swtpm", "/dev/vtpmx", "/sys", 165535}
    };
    spec.init = {"/sbin/init", "", "--x"};
    spec.environment = {
        {"container", "lxc"},
        {"EMPTY",     ""   }
    };
    spec.sysctls = {
        {"net.ipv4.ip_forward", "1"}
    };
    spec.boundingSet = 0xfedcba9876543210;
    spec.seccomp = std::string(20, '\xff');
    spec.rlimits = {
        {7, 1024, 4096}
    };
    spec.interceptedMounts = {{"ext4", ""}, {"ntfs", "ntfs-3g"}};
    spec.shiftMounts = true;
    spec.oomScoreAdj = -7;
    spec.nesting = true;
    return spec;
}

} // namespace

class tst_codec : public QObject
{
    Q_OBJECT
private slots:
    void specComesBackWhole()
    {
        const LaunchSpec spec = fullSpec();
        const auto back = decode<LaunchSpec>(encode(spec));
        VERIFY_OK(back);
        // Field by field where it matters, and byte by byte for all.
        QCOMPARE(back->files[0].content, spec.files[0].content);
        QCOMPARE(back->files[0].onlyWith, std::string("/usr/bin/x"));
        QCOMPARE(back->setup.groups[0].members, spec.setup.groups[0].members);
        QVERIFY(back->setup.users[0].locked && !back->setup.users[1].locked && back->setup.users[1].uid == 1234);
        QVERIFY(back->setup.files[0].append && back->setup.files[0].mode == 0640);
        QCOMPARE(back->setup.hosts, spec.setup.hosts);
        QCOMPARE(back->oomScoreAdj, -7);
        QCOMPARE(back->init[1], std::string());
        QCOMPARE(back->environment[1].first, std::string("EMPTY"));
        QVERIFY(!back->mounts[1].nodev);
        QVERIFY(back->rootfs.kind == Rootfs::Kind::Overlay);
        QVERIFY(back->proxies == spec.proxies);
        QVERIFY(back->tpms == spec.tpms);
        QVERIFY(back->interceptedMounts == spec.interceptedMounts && back->shiftMounts);
        QCOMPARE(encode(*back), encode(spec));
    }

    void unknownFieldsAreSkipped()
    {
        std::string bytes = encode(SignalBody{15});
        const char stranger[] = {'\x77', '\x01', 3, 0, 0, 0, 'a', 'b', 'c'};
        bytes.append(stranger, sizeof stranger);
        const auto back = decode<SignalBody>(bytes);
        VERIFY_OK(back);
        QCOMPARE(back->signal, 15);
    }

    void missingFieldsKeepTheirDefaults()
    {
        const auto back = decode<LaunchSpec>("");
        VERIFY_OK(back);
        QCOMPARE(back->consoleBuffer, std::uint64_t(1) << 20);
    }

    void damageIsCorrupt()
    {
        const std::string whole = encode(fullSpec());
        std::size_t refused = 0;
        for (std::size_t length = 1; length < whole.size(); ++length)
            refused += !decode<LaunchSpec>(std::string_view(whole).substr(0, length));
        // A cut between two fields is a shorter spec, any other is damage.
        QVERIFY(refused > whole.size() - 30);
        for (std::size_t at = 0; at < whole.size(); ++at) {
            std::string bent = whole;
            bent[at] = static_cast<char>(bent[at] ^ 0x80);
            (void)decode<LaunchSpec>(bent); // must not crash or read outside: sanitizers watch
        }
    }
};

QTEST_APPLESS_MAIN(tst_codec)
#include "tst_codec.moc"

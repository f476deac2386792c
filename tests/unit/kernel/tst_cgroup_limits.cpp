// What each limit becomes on v1, v2 and hybrid hosts, and the folders made for it, on trees of plain files.
#include "kernel/cgroup_limits.h"
#include "kernel/files.h"
#include "support/verify.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>

#include <map>

using namespace lxmgr;
using namespace lxmgr::cgroup;

namespace
{

constexpr const char *kV2 = "31 23 0:27 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char *kV1 = "25 24 0:22 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                            "26 24 0:23 / /cg/memory rw - cgroup cgroup rw,memory\n"
                            "27 24 0:24 / /cg/pids rw - cgroup cgroup rw,pids\n"
                            "28 24 0:25 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
                            "29 24 0:26 / /cg/devices rw - cgroup cgroup rw,devices\n"
                            "30 24 0:27 / /cg/freezer rw - cgroup cgroup rw,freezer\n"
                            "32 24 0:28 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";

} // namespace

class TestCgroupLimits : public QObject
{
    Q_OBJECT

    QTemporaryDir m_folder;
    HostFacts m_host;

    std::string root() const { return m_folder.path().toStdString(); }
    void put(const QString &path, const QByteArray &content)
    {
        QDir().mkpath(QFileInfo(m_folder.path() + path).path());
        QFile file(m_folder.path() + path);
        if (!file.open(QIODevice::WriteOnly))
            qFatal("cannot write %s", qPrintable(path));
        file.write(content);
    }
    Layout layout(const char *mountInfo)
    {
        const bool v1 = std::string_view(mountInfo).find("cpuset") != std::string_view::npos;
        put("/cg/cgroup.controllers", v1 ? "hugetlb\n" : "cpuset cpu io memory hugetlb pids\n");
        Result<Layout> found = Layout::fromMountInfo(mountInfo, root());
        if (!found)
            qFatal("%s", found.error().message.c_str());
        return *found;
    }
    Layout v2() { return layout(kV2); }
    Layout v1() { return layout(kV1); }
    Layout hybrid() { return layout((std::string(kV1) + kV2).c_str()); }

    /// "controller:file=value" of each row, devices left out.
    QStringList plan(const Limits &limits, const Layout &on, PlanFor scope = PlanFor::Fresh)
    {
        Result<std::vector<Write>> writes = planLimits(limits, on, m_host, scope);
        if (!writes)
            return {QString("error: ") + writes.error().message.c_str()};
        QStringList rows;
        for (const Write &row : *writes)
            if (row.file != kDeviceProgram && row.file != kIoLimits)
                rows << QString::fromStdString(row.controller + ":" + row.file + "=" + row.value);
        return rows;
    }

private slots:
    void init()
    {
        m_host = {};
        m_host.cpus = {0, 1, 2, 3};
        m_host.cpuLoad = [] { return std::vector<unsigned>{2, 0, 1, 0}; };
        m_host.memory = Bytes{std::uint64_t(8) << 30};
        m_host.pidMax = 4'194'304;
    }

    void layoutsAreTold()
    {
        QCOMPARE(v2().kind(), Kind::V2);
        QCOMPARE(v1().kind(), Kind::V1);
        QCOMPARE(hybrid().kind(), Kind::Hybrid);
        QVERIFY(v2().unified("memory"));
        QVERIFY(!hybrid().unified("memory"));
        QVERIFY(hybrid().find("")->unified);
        QVERIFY(v1().find("name=systemd"));
        QVERIFY(!v1().has(""));
        VERIFY_FAILS(Code::Unsupported, Layout::fromMountInfo("21 1 0:5 / /proc rw - proc proc rw\n"));
    }

    void foreignBindsAndCopiesAreNoHierarchies()
    {
        const std::string text = std::string(kV2) + "90 23 0:27 /docker/x /other rw - cgroup2 cgroup2 rw\n" +
                                 "91 23 0:27 / /chroot/cg rw - cgroup2 cgroup2 rw\n";
        const Layout found = layout(text.c_str());
        QCOMPARE(found.hierarchies().size(), std::size_t(1));
    }

    void noLimitsButProcesses()
    {
        QCOMPARE(plan({}, v2()), QStringList{":pids.max=32768"});
        QCOMPARE(plan({}, v1()), QStringList{"pids:pids.max=32768"});
        m_host.pidMax = 32'768;
        QCOMPARE(plan({}, hybrid()), QStringList{"pids:pids.max=8192"});
    }

    void processes()
    {
        Limits limits;
        limits.processes = 500;
        QCOMPARE(plan(limits, v2()), QStringList{":pids.max=500"});
        limits.processes = 0;
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
    }

    void memory_data()
    {
        QTest::addColumn<quint64>("size");
        QTest::addColumn<int>("percent");
        QTest::addColumn<bool>("soft");
        QTest::addColumn<QString>("swap");
        QTest::addColumn<QStringList>("v2rows");
        QTest::addColumn<QStringList>("v1rows");
        const quint64 half = quint64(512) << 20;
        QTest::newRow("hard") << half << 0 << false << "true"
                              << QStringList{":memory.max=536870912", ":memory.swap.max=536870912"}
                              << QStringList{"memory:memory.limit_in_bytes=536870912",
                                             "memory:memory.memsw.limit_in_bytes=1073741824"};
        QTest::newRow("no swap") << half << 0 << false << "false"
                                 << QStringList{":memory.max=536870912", ":memory.swap.max=0"}
                                 << QStringList{"memory:memory.limit_in_bytes=536870912",
                                                "memory:memory.memsw.limit_in_bytes=536870912",
                                                "memory:memory.swappiness=0"};
        QTest::newRow("swap size") << half << 0 << false << "1048576"
                                   << QStringList{":memory.max=536870912", ":memory.swap.max=1048576"}
                                   << QStringList{"memory:memory.limit_in_bytes=536870912",
                                                  "memory:memory.memsw.limit_in_bytes=537919488"};
        QTest::newRow("soft") << half << 0 << true << "true" << QStringList{":memory.low=536870912"}
                              << QStringList{"memory:memory.soft_limit_in_bytes=536870912"};
        QTest::newRow("percent") << quint64(0) << 50 << true << "true" << QStringList{":memory.low=4294967250"}
                                 << QStringList{"memory:memory.soft_limit_in_bytes=4294967250"};
        QTest::newRow("only no swap") << quint64(0) << 0 << false << "false" << QStringList{":memory.swap.max=0"}
                                      << QStringList{"memory:memory.swappiness=0"};
    }
    void memory()
    {
        QFETCH(quint64, size);
        QFETCH(int, percent);
        QFETCH(bool, soft);
        QFETCH(QString, swap);
        QFETCH(QStringList, v2rows);
        QFETCH(QStringList, v1rows);
        Limits limits;
        if (size)
            limits.memory = Bytes{size};
        if (percent)
            limits.memoryPercent = percent;
        limits.memoryEnforce = soft ? MemoryEnforce::Soft : MemoryEnforce::Hard;
        limits.swap = swap != "false";
        if (swap.toULongLong())
            limits.swapBytes = Bytes{swap.toULongLong()};
        QCOMPARE(plan(limits, v2()), v2rows << ":pids.max=32768");
        QCOMPARE(plan(limits, v1()), v1rows << "pids:pids.max=32768");
        QCOMPARE(plan(limits, hybrid()), plan(limits, v1()));
    }

    void memoryWithoutSwapAccounting()
    {
        Limits limits;
        limits.memory = Bytes{1U << 30};
        m_host.swapAccounting = false;
        QCOMPARE(plan(limits, v1()).first(), QString("memory:memory.limit_in_bytes=1073741824"));
        limits.swapBytes = Bytes{1U << 20};
        QVERIFY(planLimits(limits, v1(), m_host)); // A host without swap keeps any bound.
        m_host.swap = Bytes{1U << 30};
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, v1(), m_host));
    }

    void senselessMemoryIsRefused()
    {
        Limits limits;
        limits.memory = Bytes{1000};
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
        limits.memory.reset();
        limits.memoryPercent = 101;
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
    }

    void cpuShareAndQuota()
    {
        Limits limits;
        limits.cpuPercent = 50;
        QCOMPARE(plan(limits, v2()).first(), QString(":cpu.weight=50"));
        QCOMPARE(plan(limits, v1()).first(), QString("cpu:cpu.shares=512"));
        limits.cpuPercent.reset();
        limits.cpuQuota = CpuQuota{{25}, {100}};
        QCOMPARE(plan(limits, v2()).first(), QString(":cpu.max=25000 100000"));
        QCOMPARE(plan(limits, v1()).mid(0, 2),
                 (QStringList{"cpu:cpu.cfs_period_us=100000", "cpu:cpu.cfs_quota_us=25000"}));
        limits.cpuQuota = CpuQuota{{0}, {100}};
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
        limits.cpuQuota = CpuQuota{{10}, {1001}};
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
    }

    void cpuPriorityScalesTheShare()
    {
        Limits limits;
        limits.cpuPriority = 5;
        QCOMPARE(plan(limits, v2()).first(), QString(":cpu.weight=50"));
        QCOMPARE(plan(limits, v1()).first(), QString("cpu:cpu.shares=512"));
        QCOMPARE(plan(limits, hybrid()).first(), QString("cpu:cpu.shares=512"));
        limits.cpuPercent = 50;
        limits.cpuPriority = 0;
        QCOMPARE(plan(limits, v2()).first(), QString(":cpu.weight=2"));
        QCOMPARE(plan(limits, v1()).first(), QString("cpu:cpu.shares=25"));
        limits.cpuPriority = 10;
        QCOMPARE(plan(limits, v2()).first(), QString(":cpu.weight=50"));
        limits.cpuPriority = 11;
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
    }

    void swapPriorityIsSwappinessOnV1Only()
    {
        Limits limits;
        limits.swapPriority = 0;
        QCOMPARE(plan(limits, v1()).first(), QString("memory:memory.swappiness=100"));
        limits.swapPriority = 10;
        QCOMPARE(plan(limits, hybrid()).first(), QString("memory:memory.swappiness=60"));
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, v2(), m_host));
        limits.swapPriority = 11;
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v1(), m_host));
    }

    void guestsAreSpreadAndOnlyTheSurplusMoves()
    {
        using Cpus = std::vector<unsigned>;
        const Cpus host = {0, 1, 2, 3};
        CpuPins chosen{0, {0}, {}}, one{1, {}, {}}, two{2, {}, {}}, all{9, {}, {}};
        CpuPins *const guests[] = {&chosen, &one, &two, &all};
        balance(guests, host);
        QCOMPARE(chosen.cpus, Cpus{0});
        QCOMPARE(one.cpus, Cpus{1});
        QCOMPARE(two.cpus, (Cpus{2, 3}));
        QCOMPARE(all.cpus, host);
        CpuPins a{1, {0}, {}}, b{1, {0}, {}}, c{1, {0}, {}}, d{1, {1}, {}};
        CpuPins *const crowd[] = {&a, &b, &c, &d};
        balance(crowd, host);
        std::map<unsigned, int> load;
        for (const CpuPins *guest : crowd)
            ++load[guest->cpus.at(0)];
        QCOMPARE(load.size(), std::size_t(4));
        QCOMPARE(d.cpus, Cpus{1}); // it was where it should be
        CpuPins lost{1, {7}, {}}; // a CPU that went offline
        CpuPins *const last[] = {&lost};
        balance(last, host);
        QCOMPARE(lost.cpus, Cpus{0});
    }

    void hugepages()
    {
        m_host.hugepageSizes = [] { return std::vector<std::string>{"2MB"}; };
        Limits limits;
        limits.hugepages["2MB"] = Bytes{4U << 20};
        QCOMPARE(plan(limits, v2()).mid(1), (QStringList{":hugetlb.2MB.max=4194304", ":hugetlb.2MB.rsvd.max=4194304"}));
        put("/cg/cgroup.controllers", "");
        const Layout v1only = *Layout::fromMountInfo((std::string(kV1) + "33 24 0:29 / /cg/hugetlb rw - cgroup cgroup rw,hugetlb\n"), root());
        QCOMPARE(plan(limits, v1only).mid(1), (QStringList{"hugetlb:hugetlb.2MB.limit_in_bytes=4194304",
                                                          "hugetlb:hugetlb.2MB.rsvd.limit_in_bytes=4194304"}));
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, v1(), m_host)); // no such controller
        limits.hugepages["64KB"] = Bytes{1U << 20};
        const auto writes = planLimits(limits, v2(), m_host);
        VERIFY_FAILS(Code::Unsupported, writes);
        QVERIFY2(QByteArray(writes.error().message.c_str()).contains("limits.hugepages.64KB"), writes.error().message.c_str());
    }

    void diskPriorityNeedsADiskThatIsSharedByWeight()
    {
        Limits limits;
        limits.diskPriority = 10;
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, v2(), m_host));
        m_host.diskShares = [] { return DiskShares{true, false}; };
        QCOMPARE(plan(limits, v2()).mid(1), (QStringList{":io.bfq.weight=200", ":io.weight=200"}));
        const std::string io = std::string(kV1) + "33 24 0:29 / /cg/blkio rw - cgroup cgroup rw,blkio\n";
        QCOMPARE(plan(limits, *Layout::fromMountInfo(io, root())).mid(1), QStringList{"blkio:blkio.bfq.weight=200"});
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, v1(), m_host)); // no such controller
        m_host.diskShares = [] { return DiskShares{false, true}; };
        limits.diskPriority = 0;
        QCOMPARE(plan(limits, v2()).mid(1), (QStringList{":io.bfq.weight=1", ":io.weight=1"}));
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, *Layout::fromMountInfo(io, root()), m_host)); // io.cost is cgroup2's
        limits.diskPriority = 11;
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
    }

    void cpuCountTakesTheLeastUsed()
    {
        Limits limits;
        limits.cpuCount = 2;
        QCOMPARE(plan(limits, v2()).first(), QString(":cpuset.cpus=1,3"));
        QCOMPARE(plan(limits, v1()).first(), QString("cpuset:cpuset.cpus=1,3"));
        limits.cpuCount = 99;
        QCOMPARE(plan(limits, v2()).first(), QString(":cpuset.cpus=0-3"));
        limits.cpuCount = 0;
        VERIFY_FAILS(Code::Invalid, planLimits(limits, v2(), m_host));
    }

    void cpuSetMustBeOnline()
    {
        Limits limits;
        limits.cpuSet = {0, 2};
        QCOMPARE(plan(limits, v2()).first(), QString(":cpuset.cpus=0,2"));
        limits.cpuSet = {0, 7};
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, v2(), m_host));
    }

    void nodesGiveTheirCpusAndMemory()
    {
        m_host.nodes = [] { return NodeCpus{{0, {0, 1}}, {1, {2, 3}}, {2, {8, 9}}}; };
        m_host.memoryNodes = [] { return std::vector<unsigned>{0, 1, 2}; };
        Limits limits;
        limits.cpuNodes = {1};
        QCOMPARE(plan(limits, v2()).mid(0, 2), (QStringList{":cpuset.cpus=2-3", ":cpuset.mems=1"}));
        QCOMPARE(plan(limits, v1()).mid(0, 3), (QStringList{"cpuset:cpuset.cpus=2-3", "cpuset:cpuset.memory_migrate=1", "cpuset:cpuset.mems=1"}));
        limits.cpuCount = 1; // CPU 1 and 3 are the least used, and 3 is on the node
        QCOMPARE(plan(limits, v2()).first(), QString(":cpuset.cpus=3"));
        limits.cpuCount.reset();
        limits.cpuNodes = {0, 1};
        QCOMPARE(plan(limits, v2()).mid(0, 2), (QStringList{":cpuset.cpus=0-3", ":cpuset.mems=0-1"}));
        limits.cpuNodes.clear(); // taken back
        QCOMPARE(plan(limits, v2(), PlanFor::Live).mid(0, 2), (QStringList{":cpuset.cpus=0-3", ":cpuset.mems=0-2"}));
    }

    void aBalancedGuestGetsTheEmptiestNodeAndStays()
    {
        m_host.nodes = [] { return NodeCpus{{0, {0, 1}}, {1, {2, 3}}, {2, {8, 9}}, {3, {}}}; };
        m_host.memoryNodes = [] { return std::vector<unsigned>{0, 1, 2}; };
        std::map<std::string, std::vector<unsigned>> guests;
        m_host.guestNodes = [&] { return guests; };
        Limits limits;
        limits.balancedNode = true;
        const auto mems = [&] { return plan(limits, v2()).value(1); };
        QCOMPARE(mems(), QString(":cpuset.mems=0"));
        guests = {{"a", {0}}, {"b", {0, 1}}, {"c", {0}}}; // node 2 has no CPU that may be used
        QCOMPARE(plan(limits, v2()).mid(0, 2), (QStringList{":cpuset.cpus=2-3", ":cpuset.mems=1"}));
        limits.group = "a"; // runs: it is not moved for others
        QCOMPARE(mems(), QString(":cpuset.mems=0"));
        limits.group = "b"; // on one of its two, and it does not count itself
        guests = {{"b", {0, 1}}, {"c", {0}}};
        QCOMPARE(mems(), QString(":cpuset.mems=1"));
        limits.cpuCount = 1;
        QCOMPARE(plan(limits, v2()).first(), QString(":cpuset.cpus=3"));
        m_host.memoryNodes = [] { return std::vector<unsigned>{2}; };
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, v2(), m_host));
    }

    void nodesThatDoNotFitAreRefused()
    {
        m_host.nodes = [] { return NodeCpus{{0, {0, 1}}, {1, {2, 3}}, {2, {8, 9}}}; };
        const auto said = [&](const Limits &limits) {
            const auto writes = planLimits(limits, v2(), m_host);
            return writes ? QByteArray("no error") : QByteArray(writes.error().message.c_str());
        };
        Limits limits;
        limits.cpuNodes = {0, 7};
        QVERIFY2(said(limits).contains("no NUMA node 7 (it has 0-2)"), said(limits));
        limits.cpuNodes = {2};
        QVERIFY2(said(limits).contains("no CPU of these nodes may be used"), said(limits));
        limits.cpuNodes = {0};
        limits.cpuSet = {1, 2};
        QVERIFY2(said(limits).contains("CPU 2 is on none of the nodes of limits.cpu.nodes"), said(limits));
    }

    void guestsStayOnTheirNodes()
    {
        using Cpus = std::vector<unsigned>;
        const Cpus host = {0, 1, 2, 3};
        CpuPins a{1, {}, {2, 3}}, b{1, {}, {2, 3}}, wide{2, {}, {2, 3}}, any{1, {}, {}};
        CpuPins *const guests[] = {&a, &b, &wide, &any};
        balance(guests, host);
        QCOMPARE(wide.cpus, (Cpus{2, 3}));
        QVERIFY(a.cpus != b.cpus && a.cpus.at(0) >= 2 && b.cpus.at(0) >= 2);
        QCOMPARE(any.cpus, Cpus{0}); // nobody is there, though the others could be spread over it
    }

    void missingControllersAreErrorsThatNameThem()
    {
        put("/cg/cgroup.controllers", "cpu pids\n");
        const Layout bare = *Layout::fromMountInfo(kV2, root());
        Limits limits;
        limits.memory = Bytes{1U << 30};
        const Result<std::vector<Write>> writes = planLimits(limits, bare, m_host);
        VERIFY_FAILS(Code::Unsupported, writes);
        QVERIFY(QByteArray(writes.error().message.c_str()).contains("limits.memory cannot be kept"));
        QVERIFY(QByteArray(writes.error().message.c_str()).contains("'memory'"));
        QVERIFY(planLimits({}, bare, m_host));
    }

    void liveTakesBackWhatIsNotSet()
    {
        QCOMPARE(plan({}, v2(), PlanFor::Live),
                 (QStringList{":cpuset.cpus=0-3", ":cpu.weight=100", ":cpu.max=max 100000", ":memory.max=max",
                              ":memory.low=0", ":memory.swap.max=max", ":pids.max=32768",
                              ":hugetlb.64KB.max=max", ":hugetlb.64KB.rsvd.max=max", ":hugetlb.1MB.max=max",
                              ":hugetlb.1MB.rsvd.max=max", ":hugetlb.2MB.max=max", ":hugetlb.2MB.rsvd.max=max",
                              ":hugetlb.1GB.max=max", ":hugetlb.1GB.rsvd.max=max", ":io.bfq.weight=100", ":io.weight=100"}));
        const QStringList rows = plan({}, hybrid(), PlanFor::Live);
        QVERIFY(rows.contains(":hugetlb.2MB.max=max")); // on cgroup2 also on a hybrid host
        QVERIFY(rows.contains("memory:memory.limit_in_bytes=-1"));
        QVERIFY(rows.contains("cpu:cpu.cfs_quota_us=-1"));
        QVERIFY(rows.contains("cpu:cpu.shares=1024"));
    }

    void devices()
    {
        const std::vector<Write> v1rows = *planLimits({}, v1(), m_host);
        QCOMPARE(v1rows.back().controller, std::string("devices"));
        QCOMPARE(v1rows.back().file, std::string(kDeviceProgram));
        QVERIFY(v1rows.back().value.find("c 1:3 rwm\n") != std::string::npos);
        const std::vector<Write> v2rows = *planLimits({}, v2(), m_host);
        QCOMPARE(v2rows.back().controller, std::string());
        QCOMPARE(v2rows.back().file, std::string(kDeviceProgram));
        QVERIFY(v2rows.back().value.find("c 136:* rwm\n") != std::string::npos);
        Limits all;
        all.allDevices = true;
        QCOMPARE(planLimits(all, v2(), m_host)->size(), std::size_t(1));
    }

    void deviceRulesRoundTrip()
    {
        for (const char *text : {"c 10:229 rwm", "b *:* m", "a *:* rw", "c 136:* r"})
            QCOMPARE(formatDeviceRule(parseDeviceRules(text)->at(0)), std::string(text));
        for (const char *bad : {"c 1 rwm", "x 1:3 rwm", "c 1:3 rx", "c 1:3", "c -1:3 r"})
            VERIFY_FAILS(Code::Invalid, parseDeviceRules(bad));
    }

    void cpuLists()
    {
        QCOMPARE(*parseCpuList("0-2,5"), (std::vector<unsigned>{0, 1, 2, 5}));
        QCOMPARE(*parseCpuList("3,1,1"), (std::vector<unsigned>{1, 3}));
        QCOMPARE(formatCpuList(*parseCpuList("0-2,5,7-8")), std::string("0-2,5,7-8"));
        for (const char *bad : {"a", "2-1", "1-", "0-99999", "1,,2"})
            VERIFY_FAILS(Code::Invalid, parseCpuList(bad));
    }

    void foldersOnAPlainTree()
    {
        put("/cg/cgroup.subtree_control", "cpu\n");
        const Layout on = v2();
        VERIFY_OK(create(on, "lxmgr/web1"));
        QVERIFY(exists(on, "lxmgr/web1"));
        QCOMPARE(cgroup::children(on, "lxmgr"), std::vector<std::string>{"web1"});
        // What was missing was asked for, on the way down.
        QCOMPARE(*files::read(root() + "/cg/cgroup.subtree_control"), std::string("+cpuset +io +memory +pids"));
        put("/cg/lxmgr/web1/memory.max", "max\n");
        const Write rows[] = {{"", "memory.max", "1000", true}, {"", "memory.swap.max", "0", false}};
        VERIFY_OK(write(on, "lxmgr/web1", rows));
        QCOMPARE(files::read(root() + "/cg/lxmgr/web1/memory.max")->substr(0, 4), std::string("1000"));
        const Write missing[] = {{"", "pids.max", "5", true}};
        VERIFY_FAILS(Code::Unsupported, write(on, "lxmgr/web1", missing));
    }

    void aControllerThatOneGuestNeedsIsTurnedOnThere()
    {
        const Layout on = v2();
        VERIFY_OK(create(on, "lxmgr/web1"));
        put("/cg/cgroup.subtree_control", "");
        put("/cg/lxmgr/cgroup.subtree_control", "");
        const Write pages[] = {{"", "hugetlb.2MB.max", "5", true}};
        VERIFY_FAILS(Code::Unsupported, write(on, "lxmgr/web1", pages)); // plain files: nothing appears
        QCOMPARE(*files::read(root() + "/cg/cgroup.subtree_control"), std::string("+hugetlb"));
        QCOMPARE(*files::read(root() + "/cg/lxmgr/cgroup.subtree_control"), std::string("+hugetlb"));
        put("/cg/cgroup.subtree_control", "");
        const Write refinement[] = {{"", "hugetlb.1GB.max", "max", false}};
        VERIFY_OK(write(on, "lxmgr/web1", refinement));
        QCOMPARE(*files::read(root() + "/cg/cgroup.subtree_control"), std::string());
    }

    void heldMemoryIsWhatCannotBeDropped()
    {
        const Layout on = v2();
        put("/cg/lxmgr/web1/memory.stat", "anon 100\nfile 5000\nshmem 20\nkernel_stack 3\nslab_reclaimable 700\n");
        QCOMPARE(heldMemory(on, "lxmgr/web1")->count, std::uint64_t(123));
        put("/cg/memory/lxmgr/web1/memory.stat", "rss 1\ntotal_rss 100\ntotal_cache 900\ntotal_shmem 20\n");
        QCOMPARE(heldMemory(hybrid(), "lxmgr/web1")->count, std::uint64_t(120));
    }
};

QTEST_GUILESS_MAIN(TestCgroupLimits)
#include "tst_cgroup_limits.moc"

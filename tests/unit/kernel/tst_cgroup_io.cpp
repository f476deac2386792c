// Limits of disks: as text, as rows for each kind of host, and written over what was there before.
#include "kernel/cgroup_limits.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "support/verify.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>

using namespace lxmgr;
using namespace lxmgr::cgroup;

class TestCgroupIo : public QObject
{
    Q_OBJECT

    QTemporaryDir m_folder;

    void put(const QString &name, const QByteArray &content)
    {
        QDir().mkpath(QFileInfo(m_folder.filePath(name)).path());
        QFile file(m_folder.filePath(name));
        QVERIFY(file.open(QIODevice::WriteOnly) && file.write(content) == content.size());
    }
    QByteArray content(const QString &name)
    {
        QFile file(m_folder.filePath(name));
        return file.open(QIODevice::ReadOnly) ? file.readAll().trimmed() : "no file";
    }
    Fd folder() { return *sys::open(m_folder.path().toStdString(), O_RDONLY | O_DIRECTORY); }

private slots:
    void textsRoundTrip()
    {
        const std::vector<IoLimit> limits = {
            {8, 0, 10, std::nullopt, std::nullopt, 20},
            {7, 3, std::nullopt, 5, 6, std::nullopt},
        };
        const std::string text = formatIoLimits(limits);
        QCOMPARE(QByteArray::fromStdString(text), "8:0 rbps=10 wbps=max riops=max wiops=20\n7:3 rbps=max wbps=5 riops=6 wiops=max\n");
        const auto parsed = parseIoLimits(text);
        VERIFY_OK(parsed);
        QVERIFY(*parsed == limits);
        for (const char *bad : {"8 rbps=1", "8:0 rbps", "8:0 speed=1", "8:0 rbps=x", "5000:0 rbps=1"})
            VERIFY_FAILS(Code::Invalid, parseIoLimits(bad));
    }

    void whatWasReadAndWrittenIsToldByDisk()
    {
        const std::vector<IoUsage> expected = {{8, 0, 100, 200, 3, 4}, {7, 1, 5, 0, 1, 0}};
        QVERIFY(parseIoStat("8:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n7:1 rbytes=5 wbytes=0 rios=1 wios=0\nnonsense\n8:1\n") == expected);
        QVERIFY(parseThrottleStat("8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:0 Total 300\n7:1 Read 5\n7:1 Write 0\nTotal 305\n",
                                  "8:0 Read 3\n8:0 Write 4\n7:1 Read 1\nTotal 8\n") == expected);
        QVERIFY(parseIoStat("").empty() && parseThrottleStat("Total 0\n", "").empty());
    }

    void ofTwoLimitsOfOneDiskTheSmallerHolds()
    {
        const std::vector<IoLimit> limits = {
            {8, 0, 10, std::nullopt, std::nullopt, 20},
            {8, 0, 7, 9, std::nullopt, 30},
        };
        QCOMPARE(QByteArray::fromStdString(formatIoLimits(limits)), "8:0 rbps=7 wbps=9 riops=max wiops=20\n");
    }

    void rowsAreThoseOfTheHost()
    {
        put("cg/cgroup.controllers", "cpuset cpu io memory pids\n");
        const std::string root = m_folder.path().toStdString();
        const auto v2 = Layout::fromMountInfo("31 23 0:27 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n", root);
        const auto v1 = Layout::fromMountInfo("33 24 0:29 / /cg/blkio rw - cgroup cgroup rw,blkio\n29 24 0:26 / /cg/devices rw - cgroup cgroup rw,devices\n", root);
        const auto bare = Layout::fromMountInfo("29 24 0:26 / /cg/devices rw - cgroup cgroup rw,devices\n", root);
        VERIFY_OK(v2);
        VERIFY_OK(v1);
        Limits limits;
        limits.io = {{8, 0, 10, std::nullopt, std::nullopt, std::nullopt}};
        HostFacts host;
        host.cpus = {0, 1};
        const auto rows = [&](const Layout &layout, PlanFor scope) {
            QStringList found;
            const auto planned = planLimits(limits, layout, host, scope);
            for (const Write &row : planned ? *planned : std::vector<Write>())
                if (row.file == kIoLimits)
                    found.append(QString::fromStdString(row.controller + "|" + row.value));
            return found.join("; ");
        };
        QCOMPARE(rows(*v2, PlanFor::Fresh), "|8:0 rbps=10 wbps=max riops=max wiops=max\n");
        QCOMPARE(rows(*v1, PlanFor::Fresh), "blkio|8:0 rbps=10 wbps=max riops=max wiops=max\n");
        VERIFY_FAILS(Code::Unsupported, planLimits(limits, *bare, host));
        limits.io.clear();
        QCOMPARE(rows(*v2, PlanFor::Fresh), "");
        QCOMPARE(rows(*v1, PlanFor::Live), "blkio|"); // what is there is taken back
        QCOMPARE(rows(*bare, PlanFor::Live), "");
    }

    void whatIsNotWantedIsTakenBack()
    {
        put("io.max", "8:0 rbps=1 wbps=max riops=max wiops=max\n");
        VERIFY_OK(writeIoMax(folder(), ""));
        QCOMPARE(content("io.max"), "8:0 rbps=max wbps=max riops=max wiops=max");
        VERIFY_OK(writeIoMax(folder(), "7:0 rbps=10 wbps=max riops=max wiops=max\n"));
        QCOMPARE(content("io.max"), "7:0 rbps=10 wbps=max riops=max wiops=max");
        for (const char *file : {"read_bps", "write_bps", "read_iops", "write_iops"})
            put(QString("blkio.throttle.%1_device").arg(file), "8:0 5\n");
        VERIFY_OK(writeIoThrottle(folder(), "8:0 rbps=6 wbps=max riops=max wiops=7\n"));
        QCOMPARE(content("blkio.throttle.read_bps_device"), "8:0 6");
        QCOMPARE(content("blkio.throttle.write_bps_device"), "8:0 0");
        QCOMPARE(content("blkio.throttle.write_iops_device"), "8:0 7");
    }

    void whereNothingWasNothingIsTakenBack()
    {
        const QTemporaryDir empty;
        const Fd there = *sys::open(empty.path().toStdString(), O_RDONLY | O_DIRECTORY);
        VERIFY_OK(writeIoMax(there, ""));
        VERIFY_OK(writeIoThrottle(there, ""));
        QVERIFY(!writeIoMax(there, "8:0 rbps=6 wbps=max riops=max wiops=max\n"));
    }

    void aTmpfsHasNoDisk()
    {
        const auto shm = sys::open("/dev/shm", O_PATH);
        if (!shm || files::read("/proc/self/mountinfo")->find(" /dev/shm ") == std::string::npos)
            QSKIP("a tmpfs on /dev/shm is needed");
        const auto below = diskBelow(*shm);
        VERIFY_FAILS(Code::Unsupported, below);
        QVERIFY2(below.error().message.find("no block device") != std::string::npos, below.error().message.c_str());
    }
};

QTEST_APPLESS_MAIN(TestCgroupIo)
#include "tst_cgroup_io.moc"

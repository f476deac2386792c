// Control groups on the real kernel, in whatever layout this host has: limits bite, kill, freeze and remove do what they say.
#include "kernel/cgroup_limits.h"
#include "kernel/files.h"
#include "support/require.h"
#include "support/verify.h"

#include <csignal>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::cgroup;

namespace
{

/// A process born in the guest's folders that runs `body` once all is in place; killed at the end.
class Child
{
public:
    template <class Body> Child(const Layout &layout, const std::string &path, Body body)
    {
        int gate[2];
        if (::pipe2(gate, O_CLOEXEC) != 0)
            qFatal("pipe2");
        const Result<Fd> folder = openPayload(layout, path, 0, 0);
        clone_args args{};
        args.exit_signal = SIGCHLD;
        if (folder && *folder) {
            args.flags = CLONE_INTO_CGROUP;
            args.cgroup = static_cast<std::uint64_t>(folder->get());
        }
        m_pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
        if (m_pid == 0) {
            char byte;
            ::close(gate[1]);
            (void)!::read(gate[0], &byte, 1);
            ::_exit(body());
        }
        ::close(gate[0]);
        m_attached = attach(layout, path, m_pid);
        ::close(gate[1]);
    }
    ~Child()
    {
        if (m_pid > 0) {
            ::kill(m_pid, SIGKILL);
            ::waitpid(m_pid, nullptr, 0);
        }
    }
    pid_t pid() const { return m_pid; }
    const Status &attached() const { return m_attached; }
    /// As waitpid(2) gives it.
    int wait()
    {
        int status = 0;
        ::waitpid(std::exchange(m_pid, -1), &status, 0);
        return status;
    }

private:
    pid_t m_pid = -1;
    Status m_attached;
};

int sleepForever()
{
    for (;;)
        ::pause();
}

bool canOpen(const char *path, int flags)
{
    const Fd fd(::open(path, flags | O_CLOEXEC));
    return static_cast<bool>(fd);
}

} // namespace

class TestCgroup : public QObject
{
    Q_OBJECT

    Layout m_layout;
    std::string m_base;
    std::string m_path;

    Status limit(const Limits &limits, PlanFor scope = PlanFor::Fresh)
    {
        const HostFacts host = TRY(HostFacts::read(m_layout, m_base));
        return write(m_layout, m_path, TRY(planLimits(limits, m_layout, host, scope)));
    }

private slots:
    void initTestCase()
    {
        NEEDS("root", ::geteuid() == 0);
        Result<Layout> layout = Layout::probe();
        VERIFY_OK(layout);
        m_layout = *layout;
        m_base = "lxmgr-t" + std::to_string(::getpid());
        m_path = m_base + "/guest";
        qInfo("layout: %s", std::string(kindName(m_layout.kind())).c_str());
    }
    void init() { VERIFY_OK(create(m_layout, m_path)); }
    void cleanup() { VERIFY_OK(remove(m_layout, m_path)); }
    void cleanupTestCase()
    {
        if (m_base.empty())
            return;
        VERIFY_OK(remove(m_layout, m_base));
        QVERIFY(!exists(m_layout, m_base));
    }

    void createIsIdempotentAndListed()
    {
        VERIFY_OK(create(m_layout, m_path));
        QCOMPARE(cgroup::children(m_layout, m_base), std::vector<std::string>{"guest"});
        QVERIFY(exists(m_layout, m_path));
    }

    void removeOfNothingIsFine() { VERIFY_OK(remove(m_layout, m_base + "/nobody")); }

    void processesAreBornInsideEveryHierarchy()
    {
        Child child(m_layout, m_path, &sleepForever);
        VERIFY_OK(child.attached());
        QCOMPARE(*processes(m_layout, m_path), std::vector<pid_t>{child.pid()});
        const std::string lines = *files::read("/proc/" + std::to_string(child.pid()) + "/cgroup");
        for (const QByteArray &line : QByteArray::fromStdString(lines).trimmed().split('\n'))
            QVERIFY2(line.contains(m_path.c_str()), line.constData());
        QVERIFY(events(m_layout, m_path)->populated);
    }

    void payloadIsDelegatedAndLimitsAreNot()
    {
        NEEDS("cgroup2", m_layout.find(""));
        VERIFY_OK(openPayload(m_layout, m_path, 1000000, 1000000));
        const std::string folder = m_layout.find("")->mountPoint + "/" + m_path;
        const auto owner = [](const std::string &path) {
            struct stat info = {};
            return ::stat(path.c_str(), &info) == 0 ? info.st_uid : ~0U;
        };
        QCOMPARE(owner(folder), 0U);
        QCOMPARE(owner(folder + "/cgroup.procs"), 0U);
        for (const char *file : {"", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"})
            QCOMPARE(owner(folder + "/payload" + file), 1000000U);
        QCOMPARE(owner(folder + "/payload/cgroup.freeze"), 0U);
    }

    void killEndsAllAndRemoveWaitsForThem()
    {
        Child one(m_layout, m_path, &sleepForever);
        Child two(m_layout, m_path, [] { return ::fork() >= 0 ? sleepForever() : 1; });
        VERIFY_OK(kill(m_layout, m_path));
        QVERIFY(WIFSIGNALED(one.wait()));
        QVERIFY(WIFSIGNALED(two.wait()));
        VERIFY_OK(remove(m_layout, m_path));
        QVERIFY(!exists(m_layout, m_path));
    }

    void removeSaysSoWhenProcessesStay()
    {
        Child child(m_layout, m_path, &sleepForever);
        VERIFY_FAILS(Code::WrongState, remove(m_layout, m_path, {50}));
        VERIFY_OK(create(m_layout, m_path));
    }

    void onlyEmptyOnesGo()
    {
        cgroup::removeEmpty(m_layout, m_base);
        QCOMPARE(cgroup::children(m_layout, m_base), std::vector<std::string>{"guest"});
        Child child(m_layout, m_path, &sleepForever);
        VERIFY_OK(child.attached());
        cgroup::removeEmpty(m_layout, m_path);
        QCOMPARE(*processes(m_layout, m_path), std::vector<pid_t>{child.pid()});
        VERIFY_OK(kill(m_layout, m_path));
        QVERIFY(WIFSIGNALED(child.wait()));
        VERIFY_OK(remove(m_layout, m_path));
        cgroup::removeEmpty(m_layout, m_base);
        QVERIFY(!exists(m_layout, m_base));
        cgroup::removeEmpty(m_layout, m_base); // nothing there is fine
    }

    void freezeStopsAndThawGoesOn()
    {
        const std::size_t size = 4096;
        auto *count = static_cast<volatile long *>(
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        Child child(m_layout, m_path, [count]() -> int {
            for (;;)
                *count = *count + 1;
        });
        QTRY_VERIFY(*count > 0);
        VERIFY_OK(freeze(m_layout, m_path));
        QVERIFY(events(m_layout, m_path)->frozen);
        const long before = *count;
        QTest::qWait(30);
        QCOMPARE(*count, before);
        VERIFY_OK(thaw(m_layout, m_path));
        QTRY_VERIFY(*count > before);
        QVERIFY(!events(m_layout, m_path)->frozen);
        ::munmap(const_cast<long *>(count), size);
    }

    void frozenGuestCanBeKilled()
    {
        Child child(m_layout, m_path, &sleepForever);
        VERIFY_OK(freeze(m_layout, m_path));
        VERIFY_OK(kill(m_layout, m_path));
        QVERIFY(WIFSIGNALED(child.wait()));
    }

    void eventsWakeAPoll()
    {
        NEEDS("cgroup2", m_layout.find(""));
        Result<Fd> fd = openEvents(m_layout, m_path);
        VERIFY_OK(fd);
        Child child(m_layout, m_path, &sleepForever);
        VERIFY_OK(files::readAll(*fd));
        VERIFY_OK(kill(m_layout, m_path));
        child.wait();
        pollfd event{fd->get(), POLLPRI, 0};
        QCOMPARE(::poll(&event, 1, 2000), 1);
        QVERIFY(!events(m_layout, m_path)->populated);
    }

    void allocatorOverItsMemoryLimitDies()
    {
        NEEDS("memory controller", m_layout.has("memory"));
        Limits limits;
        limits.memory = Bytes{32U << 20};
        limits.swap = false;
        VERIFY_OK(limit(limits));
        Child bystander(m_layout, m_path, &sleepForever);
        Child hog(m_layout, m_path, [] {
            const std::size_t size = 128U << 20;
            void *memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            std::memset(memory, 1, size);
            return 0;
        });
        const int status = hog.wait();
        QVERIFY(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        QCOMPARE(::kill(bystander.pid(), 0), 0);
        QCOMPARE(*processes(m_layout, m_path), std::vector<pid_t>{bystander.pid()});
        const Result<Usage> used = usage(m_layout, m_path);
        VERIFY_OK(used);
        QVERIFY(used->oomKills >= 1U);
        QCOMPARE(used->memoryLimit->count, std::uint64_t(32U << 20));
    }

    void limitsCanBeRaisedLoweredAndTakenBackWhileItRuns()
    {
        NEEDS("memory controller", m_layout.has("memory"));
        for (const std::uint64_t size : {64U << 20, 256U << 20, 32U << 20}) {
            Limits limits;
            limits.memory = Bytes{size};
            VERIFY_OK(limit(limits, PlanFor::Live));
            QCOMPARE(usage(m_layout, m_path)->memoryLimit->count, size);
        }
        VERIFY_OK(limit({}, PlanFor::Live));
        QVERIFY(!usage(m_layout, m_path)->memoryLimit);
    }

    void forksBeyondTheProcessLimitFail()
    {
        NEEDS("pids controller", m_layout.has("pids"));
        Limits limits;
        limits.processes = 3;
        VERIFY_OK(limit(limits));
        Child child(m_layout, m_path, [] {
            int made = 0;
            while (made < 10 && ::fork() >= 0) // Each child goes on with the loop too: none can get beyond the limit.
                ++made;
            return errno == EAGAIN && made < 10 ? 0 : 1;
        });
        QCOMPARE(WEXITSTATUS(child.wait()), 0);
        VERIFY_OK(kill(m_layout, m_path));
    }

    void cpuQuotaThrottles()
    {
        NEEDS("cpu controller", m_layout.has("cpu"));
        Limits limits;
        limits.cpuQuota = CpuQuota{{5}, {50}};
        VERIFY_OK(limit(limits));
        Child child(m_layout, m_path, [] { for (;;) { } return 0; });
        QTest::qWait(500);
        const std::uint64_t spent = *usage(m_layout, m_path)->cpuNanoseconds;
        // A tenth of half a second is 50 ms; unlimited it would be 500.
        QVERIFY2(spent < 200'000'000, QByteArray::number(qulonglong(spent)).constData());
    }

    void cpuSetPins()
    {
        NEEDS("cpuset controller", m_layout.has("cpuset"));
        Limits limits;
        limits.cpuCount = 1;
        VERIFY_OK(limit(limits));
        Child child(m_layout, m_path, &sleepForever);
        cpu_set_t set;
        QCOMPARE(::sched_getaffinity(child.pid(), sizeof set, &set), 0);
        QCOMPARE(CPU_COUNT(&set), 1);
    }

    void devicesOutsideTheListAreRefused()
    {
        VERIFY_OK(limit({}));
        Child listed(m_layout, m_path, [] { return canOpen("/dev/null", O_RDWR) && canOpen("/dev/urandom", O_RDONLY) ? 0 : 1; });
        QCOMPARE(WEXITSTATUS(listed.wait()), 0);
        Child other(m_layout, m_path, [] { return canOpen("/dev/kmsg", O_WRONLY) ? 1 : errno == EPERM ? 0 : 2; });
        QCOMPARE(WEXITSTATUS(other.wait()), 0);
    }

    void deviceListsChangeByTheirDifference()
    {
        NEEDS("devices controller", m_layout.has("devices") && !m_layout.unified("devices"));
        const std::string folder = m_layout.find("devices")->mountPoint + "/" + m_path;
        const auto apply = [&](const char *rules) {
            const Write row{"devices", std::string(kDeviceProgram), rules, true};
            return write(m_layout, m_path, {&row, 1});
        };
        const auto listed = [&] {
            QStringList lines = QString::fromStdString(*files::read(folder + "/devices.list")).split('\n', Qt::SkipEmptyParts);
            lines.sort();
            return lines.join(", ");
        };
        VERIFY_OK(apply("c 1:3 rwm\nc 1:5 rw\n"));
        QCOMPARE(listed(), "c 1:3 rwm, c 1:5 rw");
        // Somebody opens /dev/null all the while: what both lists have is never without.
        Child steady(m_layout, m_path, [] {
            for (int i = 0; i < 100'000; ++i)
                if (!canOpen("/dev/null", O_RDWR))
                    return 1;
            return 0;
        });
        for (int i = 0; i < 50; ++i) {
            VERIFY_OK(apply("c 1:3 rwm\nc 1:5 rm\nb 7:0 rwm\n"));
            QCOMPARE(listed(), "b 7:0 rwm, c 1:3 rwm, c 1:5 rm");
            VERIFY_OK(apply("c 1:3 rwm\nc 1:5 rw\n"));
            QCOMPARE(listed(), "c 1:3 rwm, c 1:5 rw");
        }
        QCOMPARE(WEXITSTATUS(steady.wait()), 0);
        VERIFY_OK(apply("a *:* rwm\n"));
        QCOMPARE(listed(), "a *:* rwm");
    }

    void deviceProgramIsReplacedNotStacked()
    {
        NEEDS("cgroup2", m_layout.find(""));
        const auto apply = [&](const char *rules) {
            const Write row{"", std::string(kDeviceProgram), rules, true};
            return write(m_layout, m_path, {&row, 1});
        };
        const auto opens = [&](const char *path) {
            Child child(m_layout, m_path, [path] { return canOpen(path, O_RDONLY) ? 0 : 1; });
            return WEXITSTATUS(child.wait()) == 0;
        };
        VERIFY_OK(apply("c 1:3 rwm\n"));
        QVERIFY(opens("/dev/null"));
        QVERIFY(!opens("/dev/zero"));
        VERIFY_OK(apply("c 1:5 r\n"));
        QVERIFY(opens("/dev/zero"));
        QVERIFY(!opens("/dev/null"));
        VERIFY_OK(apply("a *:* rwm\n"));
        QVERIFY(opens("/dev/null") && opens("/dev/zero"));
        VERIFY_FAILS(Code::Invalid, apply("c 1:x rwm\n"));
    }
};

QTEST_GUILESS_MAIN(TestCgroup)
#include "tst_cgroup.moc"

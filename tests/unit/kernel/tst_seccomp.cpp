// The system call filter, run by the kernel in a child: what is denied answers as the table says, the rest works.
#include "kernel/seccomp.h"
#include "support/require.h"
#include "support/verify.h"

#include <cerrno>
#include <functional>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lxmgr;

namespace
{

/// errno of `call` in a child under the filter; 0 when it worked.
int underFilter(const std::string &bytes, const std::function<long()> &call)
{
    const pid_t pid = ::fork();
    if (pid == 0) {
        const sock_fprog program{static_cast<unsigned short>(bytes.size() / sizeof(sock_filter)),
                                 reinterpret_cast<sock_filter *>(const_cast<char *>(bytes.data()))};
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
            ::_exit(255);
        ::_exit(call() == -1 ? errno : 0);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

} // namespace

class TestSeccomp : public QObject
{
    Q_OBJECT
private slots:
    void defaultDenies_data()
    {
        QTest::addColumn<std::function<long()>>("call");
        QTest::addColumn<int>("answer");
        const auto row = [](const char *name, int answer, std::function<long()> call) { QTest::newRow(name) << call << answer; };
        row("kexec_load", ENOSYS, [] { return ::syscall(SYS_kexec_load, 0, 0, nullptr, 0); });
        row("init_module", ENOSYS, [] { return ::syscall(SYS_init_module, nullptr, 0, ""); });
        row("open_by_handle_at", ENOSYS, [] { return ::syscall(SYS_open_by_handle_at, -1, nullptr, 0); });
        row("perf_event_open", ENOSYS, [] { return ::syscall(SYS_perf_event_open, nullptr, 0, 0, 0, 0); });
        row("bpf", EPERM, [] { return ::syscall(SYS_bpf, 0, nullptr, 0); });
        row("swapon", ENOSYS, [] { return ::syscall(SYS_swapon, "", 0); });
        row("umount2 forced", EACCES, [] { return ::syscall(SYS_umount2, "/nowhere", MNT_FORCE); });
        row("umount2 plain", ENOENT, [] { return ::syscall(SYS_umount2, "/nowhere", 0); });
        row("umount2 high bits", EACCES, [] { return ::syscall(SYS_umount2, "/nowhere", (1UL << 40) | MNT_FORCE); });
        row("socket vsock", EAFNOSUPPORT, [] { return ::syscall(SYS_socket, AF_VSOCK, SOCK_STREAM, 0); });
        row("socket audit", EAFNOSUPPORT, [] { return ::syscall(SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT); });
        row("socket route", 0, [] { return ::syscall(SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE); });
        row("socket inet", 0, [] { return ::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0); });
        row("ioctl TIOCSTI", EPERM, [] { return ::syscall(SYS_ioctl, -1, 0x5412, "x"); });
        row("ioctl other", EBADF, [] { return ::syscall(SYS_ioctl, -1, 0x5401, nullptr); });
        row("personality query", 0, [] { return ::syscall(SYS_personality, 0xffffffffUL); });
        row("personality linux32", 0, [] { return ::syscall(SYS_personality, PER_LINUX32); });
        row("personality odd", ENOSYS, [] { return ::syscall(SYS_personality, PER_SVR4); });
        row("personality executable data", ENOSYS, [] { return ::syscall(SYS_personality, READ_IMPLIES_EXEC); });
        row("getpid", 0, [] { return ::syscall(SYS_getpid); });
#ifdef __x86_64__
        row("x32 getpid", ENOSYS, [] { return ::syscall(0x40000000 | SYS_getpid); });
#endif
    }
    void defaultDenies()
    {
        QFETCH(std::function<long()>, call);
        QFETCH(int, answer);
        const Result<std::string> bytes = seccomp::compile({});
        VERIFY_OK(bytes);
        QCOMPARE(underFilter(*bytes, call), answer);
    }

#ifdef __x86_64__
    /// int 0x80 enters the 32-bit table: getpid is 20 there.
    static long compatGetpid()
    {
        long result;
        asm volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
        errno = result < 0 ? static_cast<int>(-result) : 0;
        return result < 0 ? -1 : result;
    }
    void compatCallsAreDeniedUnlessAllowed()
    {
        NEEDS("32-bit system calls", compatGetpid() > 0);
        QCOMPARE(underFilter(*seccomp::compile({}), &compatGetpid), ENOSYS);
        seccomp::Policy open;
        open.denyCompat = false;
        QCOMPARE(underFilter(*seccomp::compile(open), &compatGetpid), 0);
    }
#endif

    void ownRowsAreAdded()
    {
        seccomp::Policy policy;
        policy.deny = {"getppid errno 42", "uname", ""};
        const Result<std::string> bytes = seccomp::compile(policy);
        VERIFY_OK(bytes);
        QCOMPARE(underFilter(*bytes, [] { return ::syscall(SYS_getppid); }), 42);
        QCOMPARE(underFilter(*bytes, [] { return ::syscall(SYS_uname, nullptr); }), ENOSYS);
    }

    void allowListIsExclusive()
    {
        seccomp::Policy policy;
        policy.allow = {"exit_group", "exit", "getpid"};
        const Result<std::string> bytes = seccomp::compile(policy);
        VERIFY_OK(bytes);
        QCOMPARE(underFilter(*bytes, [] { return ::syscall(SYS_getpid); }), 0);
        QCOMPARE(underFilter(*bytes, [] { return ::syscall(SYS_getppid); }), ENOSYS);
    }

    void nothingDeniedIsNoFilter()
    {
        seccomp::Policy policy;
        policy.denyDefault = policy.denyCompat = false;
        QCOMPARE(*seccomp::compile(policy), std::string());
    }

    void badRowsAreRefused_data()
    {
        QTest::addColumn<QString>("row");
        for (const char *row : {"nosuchcall", "getpid errno", "getpid errno 0", "getpid errno 99999", "getpid kill"})
            QTest::newRow(row) << row;
    }
    void badRowsAreRefused()
    {
        QFETCH(QString, row);
        seccomp::Policy policy;
        policy.deny = {row.toStdString()};
        VERIFY_FAILS(Code::Invalid, seccomp::compile(policy));
    }
};

QTEST_GUILESS_MAIN(TestSeccomp)
#include "tst_seccomp.moc"

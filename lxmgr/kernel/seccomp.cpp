#include "kernel/seccomp.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/mount_call.h"
#include "kernel/sys.h"

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <map>
#include <memory>
#include <mutex>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

namespace lxmgr::seccomp
{

namespace
{

struct DeniedCall {
    std::string_view name;
    int answer;
};

// What a guest has no use for and what reaches the whole host. A name that this architecture has not is passed over.
// adjtimex and clock_adjtime are not here: reading the clock's state is harmless, setting it needs CAP_SYS_TIME.
// clang-format off
constexpr DeniedCall kDenied[] = {
    {"acct",              EPERM},
    {"bpf",               EPERM}, // systemd asks whether it may, and goes on without
    {"clock_settime",     ENOSYS},
    {"create_module",     ENOSYS},
    {"delete_module",     ENOSYS},
    {"finit_module",      ENOSYS},
    {"get_kernel_syms",   ENOSYS},
    {"init_module",       ENOSYS},
    {"ioperm",            ENOSYS},
    {"iopl",              ENOSYS},
    {"kexec_file_load",   ENOSYS},
    {"kexec_load",        ENOSYS},
    {"lookup_dcookie",    ENOSYS},
    {"nfsservctl",        ENOSYS},
    {"open_by_handle_at", ENOSYS}, // reads any file of a file system by number
    {"perf_event_open",   ENOSYS},
    {"query_module",      ENOSYS},
    {"settimeofday",      ENOSYS},
    {"stime",             ENOSYS},
    {"swapoff",           ENOSYS},
    {"swapon",            ENOSYS},
    {"_sysctl",           ENOSYS},
    {"sysfs",             ENOSYS},
    {"uselib",            ENOSYS},
    {"ustat",             ENOSYS},
    {"vm86",              ENOSYS},
    {"vm86old",           ENOSYS},
};

/// One or two arguments compared, each as the 32 bits the kernel looks at.
struct DeniedUse {
    std::string_view name;
    int answer;
    unsigned argument;
    std::uint32_t mask, value;
    int argument2 = -1;
    std::uint32_t mask2 = 0, value2 = 0;
};

constexpr std::uint32_t kAll = 0xffffffff;
constexpr DeniedUse kDeniedUses[] = {
    {"umount2", EACCES,       1, MNT_FORCE, MNT_FORCE}, // aborts what others do on that file system
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_ALG},
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_VSOCK},
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_X25},
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_RDS},
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_TIPC},
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_KCM},
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_CAN},
    {"socket",  EAFNOSUPPORT, 0, kAll,      AF_NETLINK, 2, kAll, NETLINK_AUDIT},
    {"ioctl",   EPERM,        1, kAll,      TIOCSTI},   // types into another's terminal
    {"ioctl",   EPERM,        1, kAll,      TIOCLINUX},
};

/// Execution domains a program may ask for; 0xffffffff asks which it has.
constexpr std::uint32_t kPersonalities[] = {
    PER_LINUX, PER_LINUX32, UNAME26, +PER_LINUX32 | +UNAME26, ADDR_NO_RANDOMIZE, +ADDR_NO_RANDOMIZE | +PER_LINUX32, 0xffffffff,
};
// clang-format on

using Filter = std::unique_ptr<void, decltype(&::seccomp_release)>;

Error failed(int result, std::string_view what) { return Error::fromErrno(-result, "seccomp", what); }

Status addRule(const Filter &filter, std::string_view name, std::uint32_t action, std::vector<scmp_arg_cmp> compare = {})
{
    const int number = ::seccomp_syscall_resolve_name(std::string(name).c_str());
    if (number == __NR_SCMP_ERROR)
        return Error(Code::Invalid, "No system call " + quoted(name));
    const int result = ::seccomp_rule_add_array(filter.get(), action, number, static_cast<unsigned>(compare.size()),
                                                compare.data());
    // EDOM: known, but not on this architecture. EEXIST: said twice.
    if (result != 0 && result != -EDOM && result != -EEXIST)
        return failed(result, name);
    return {};
}

Status denyDefaults(const Filter &filter)
{
    for (const DeniedCall &row : kDenied)
        TRY(addRule(filter, row.name, SCMP_ACT_ERRNO(static_cast<unsigned>(row.answer))));
    for (const DeniedUse &row : kDeniedUses) {
        std::vector<scmp_arg_cmp> compare = {{row.argument, SCMP_CMP_MASKED_EQ, row.mask, row.value}};
        if (row.argument2 >= 0)
            compare.push_back({static_cast<unsigned>(row.argument2), SCMP_CMP_MASKED_EQ, row.mask2, row.value2});
        TRY(addRule(filter, row.name, SCMP_ACT_ERRNO(static_cast<unsigned>(row.answer)), compare));
    }
    return {};
}

/// "name" or "name errno N".
Status denyRow(const Filter &filter, const std::string &row)
{
    const std::vector<std::string> parts = words(row);
    if (parts.empty())
        return {};
    std::uint64_t answer = ENOSYS;
    if (parts.size() == 3 && parts[1] == "errno")
        answer = TRY_IN("system call " + quoted(row), parseUnsigned(parts[2], 1, 4095));
    else if (parts.size() != 1)
        return Error(Code::Invalid, "Not a system call to deny: " + quoted(row) + " (a name, or \"NAME errno N\")");
    return addRule(filter, parts[0], SCMP_ACT_ERRNO(static_cast<unsigned>(answer)));
}

Status addRows(const Filter &filter, const Policy &policy)
{
    if (!policy.allow.empty()) {
        for (const std::string &name : policy.allow)
            if (!trimmed(name).empty())
                TRY(addRule(filter, trimmed(name), SCMP_ACT_ALLOW));
        return {};
    }
    if (policy.denyDefault)
        TRY(denyDefaults(filter));
    for (const std::string &row : policy.deny)
        TRY(denyRow(filter, row));
    return {};
}

#if defined(__x86_64__)
constexpr std::uint32_t kNativeArch = AUDIT_ARCH_X86_64;
constexpr std::uint32_t kCompatArchs[] = {SCMP_ARCH_X86};
#elif defined(__aarch64__)
constexpr std::uint32_t kNativeArch = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t kCompatArchs[] = {SCMP_ARCH_ARM};
#else
constexpr std::uint32_t kNativeArch = 0;
constexpr std::uint32_t kCompatArchs[] = {0};
#endif

/// x32 is never added: its numbers belong to no architecture of the filter and get the answer for those, ENOSYS.
Status addCompat(const Filter &filter, const Policy &policy)
{
    if (policy.denyCompat)
        return {};
    for (const std::uint32_t arch : kCompatArchs)
        if (const int result = arch ? ::seccomp_arch_add(filter.get(), arch) : 0; result != 0 && result != -EEXIST)
            return failed(result, "add architecture");
    return {};
}

/// personality(2) with a value outside the list: "none of these" is not to be said in libseccomp's terms (all conditions of a
/// rule are joined by "and", each argument once), so these few lines go in front of its program.
std::string personalityGate()
{
    constexpr int kNumber = static_cast<int>(offsetof(seccomp_data, nr));
    constexpr int kArch = static_cast<int>(offsetof(seccomp_data, arch));
    constexpr int kFirst = static_cast<int>(offsetof(seccomp_data, args)); // low half: little endian
    constexpr int kMost = std::size(kPersonalities);
    const int number = ::seccomp_syscall_resolve_name("personality");
    if (kNativeArch == 0 || number < 0)
        return {};
    const auto load = [](int offset) { return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); };
    const auto jump = [](std::uint32_t value, int yes, int no) {
        return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no));
    };
    std::vector<sock_filter> gate = {load(kArch), jump(kNativeArch, 0, kMost + 4), load(kNumber),
                                     jump(static_cast<std::uint32_t>(number), 0, kMost + 2), load(kFirst)};
    for (int i = 0; i < kMost; ++i)
        gate.push_back(jump(kPersonalities[i], kMost - i, 0));
    gate.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
    return {reinterpret_cast<const char *>(gate.data()), gate.size() * sizeof(sock_filter)};
}

Result<std::string> exported(const Filter &filter)
{
    const Fd file = TRY(sys::memfd_create("seccomp", 0));
    if (const int result = ::seccomp_export_bpf(filter.get(), file.get()); result != 0)
        return failed(result, "export");
    ::lseek(file.get(), 0, SEEK_SET);
    return files::readAll(file);
}

Result<std::string> build(const Policy &policy)
{
    const std::uint32_t otherwise = policy.allow.empty() ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS);
    const Filter filter(::seccomp_init(otherwise), &::seccomp_release);
    if (!filter)
        return Error(Code::Internal, "seccomp: no filter could be made");
    // Denied, not skipped: a call by an architecture that the rows below do not speak of.
    (void)::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    (void)::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2); // a binary tree by number; slower without, not wrong
    TRY(addCompat(filter, policy));
    TRY(addRows(filter, policy));
    const std::string program = TRY(exported(filter));
    return policy.denyDefault && policy.allow.empty() ? personalityGate() + program : program;
}

/// The nodes that runtime/intercept.cpp makes.
constexpr unsigned kNodes[][2] = {{0, 0}, {1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}};

Status askForNodes(const Filter &filter)
{
    for (const auto &node : kNodes)
        for (const auto &[name, mode] : {std::pair{"mknod", 1U}, {"mknodat", 2U}})
            if (::seccomp_syscall_resolve_name(name) >= 0) // not every architecture has mknod
                TRY(addRule(filter, name, SCMP_ACT_NOTIFY,
                            {{mode, SCMP_CMP_MASKED_EQ, S_IFMT, S_IFCHR}, {mode + 1, SCMP_CMP_MASKED_EQ, kAll, makedev(node[0], node[1])}}));
    return {};
}

/// Values of one byte alone: "y".
Status askForAttributes(const Filter &filter)
{
    for (const char *name : {"setxattr", "lsetxattr", "fsetxattr"})
        TRY(addRule(filter, name, SCMP_ACT_NOTIFY, {{3, SCMP_CMP_EQ, 1, 0}}));
    return {};
}

/// New mounts alone. A file system that is opened by fsopen(2) is never seen here, so programs are told that there is no such
/// call, and take the other way: mount(8) and systemd do.
Status askForMounts(const Filter &filter)
{
    TRY(addRule(filter, "mount", SCMP_ACT_NOTIFY, {{3, SCMP_CMP_MASKED_EQ, mount::kOtherCalls, 0}}));
    TRY(addRule(filter, "mount", SCMP_ACT_NOTIFY, {{3, SCMP_CMP_MASKED_EQ, mount::kMagicMask | mount::kOtherCalls, mount::kMagic}}));
    return addRule(filter, "fsopen", SCMP_ACT_ERRNO(ENOSYS));
}

} // namespace

Result<std::string> compileIntercepts(const Intercepts &intercepts)
{
    if (intercepts == Intercepts{})
        return std::string();
    constexpr unsigned kNotifies = 5; // seccomp_api_get(3)
    if (::seccomp_api_get() < kNotifies)
        return Error(Code::Unsupported, "This kernel cannot ask others about system calls (Linux 5.5), which security.syscalls.intercept.* needs");
    const Filter filter(::seccomp_init(SCMP_ACT_ALLOW), &::seccomp_release);
    if (!filter)
        return Error(Code::Internal, "seccomp: no filter could be made");
    // Of another word size: as without us.
    (void)::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
    if (intercepts.mknod)
        TRY(askForNodes(filter));
    if (intercepts.setxattr)
        TRY(askForAttributes(filter));
    if (intercepts.sysinfo)
        TRY(addRule(filter, "sysinfo", SCMP_ACT_NOTIFY));
    if (intercepts.scheduler)
        TRY(addRule(filter, "sched_setscheduler", SCMP_ACT_NOTIFY));
    if (intercepts.mount)
        TRY(askForMounts(filter));
    return exported(filter);
}

Result<std::string> compile(const Policy &policy)
{
    static std::mutex mutex;
    static std::map<Policy, std::string> cache;
    const std::lock_guard lock(mutex);
    if (const auto found = cache.find(policy); found != cache.end())
        return found->second;
    if (policy.denyDefault || !policy.deny.empty() || !policy.allow.empty() || policy.denyCompat)
        return cache.emplace(policy, TRY(build(policy))).first->second;
    return std::string();
}

} // namespace lxmgr::seccomp

#include "runtime/confine.h"

#include "base/text.h"
#include "kernel/caps.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cstring>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::runtime
{

void raiseOwnLimits(const std::vector<spec::ResourceLimit> &limits)
{
    for (const spec::ResourceLimit &limit : limits) {
        const auto resource = static_cast<__rlimit_resource_t>(limit.resource);
        rlimit own{};
        if (::getrlimit(resource, &own) != 0 || (own.rlim_cur >= limit.soft && own.rlim_max >= limit.hard))
            continue;
        own = {std::max<rlim_t>(own.rlim_cur, limit.soft), std::max<rlim_t>(own.rlim_max, limit.hard)};
        (void)::setrlimit(resource, &own); // the child tells of what it does not get
    }
}

Status setLimits(const std::vector<spec::ResourceLimit> &limits)
{
    for (const spec::ResourceLimit &limit : limits) {
        const rlimit values{limit.soft, limit.hard};
        auto set = sys::call("setrlimit", std::to_string(limit.resource),
                             [&] { return ::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &values); });
        if (!set && set.error().errnum == EPERM)
            return std::move(set.error()).as(Code::Unsupported).hint("the host's own limit is lower");
        TRY(std::move(set));
    }
    return {};
}

Status dropCapabilities(std::uint64_t keep)
{
    TRY(caps::limitBoundingSet(keep));
    return caps::clearInheritable(keep);
}

namespace
{

/// Copied for its alignment: the bytes came in a message.
std::vector<sock_filter> instructionsOf(std::string_view filter)
{
    std::vector<sock_filter> instructions(filter.size() / sizeof(sock_filter));
    std::memcpy(instructions.data(), filter.data(), instructions.size() * sizeof(sock_filter));
    return instructions;
}

} // namespace

Result<Fd> loadIntercepts(std::string_view filter)
{
    std::vector<sock_filter> instructions = instructionsOf(filter);
    const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
    const auto load = [&](unsigned long flags) {
        return sys::callFd("seccomp", "listener", [&] { return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program); });
    };
    // A caller whose call is being carried out is not interrupted by signals that do not kill it (Linux 5.19).
    constexpr unsigned long kWaitKillable = 1UL << 5; // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    auto listener = load(SECCOMP_FILTER_FLAG_NEW_LISTENER | kWaitKillable);
    if (!listener && listener.error().errnum == EINVAL)
        listener = load(SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (!listener && listener.error().errnum == EINVAL)
        return std::move(listener.error()).as(Code::Unsupported).hint("security.syscalls.intercept.* needs Linux 5.5");
    return listener;
}

Status loadSeccomp(std::string_view filter)
{
    if (filter.empty())
        return {};
    std::vector<sock_filter> instructions = instructionsOf(filter);
    const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
    // No SECCOMP_FILTER_FLAG_LOG: a denied call is the guest's business, not the host log's.
    TRY(sys::call("seccomp", {}, [&] { return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program); }));
    return {};
}

namespace
{

std::vector<char *> pointers(std::vector<std::string> &texts)
{
    std::vector<char *> result;
    for (std::string &text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

std::string pathVariable(const Environment &environment)
{
    for (const auto &[name, value] : environment)
        if (name == "PATH")
            return value;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

Error notExecuted(int errnum, const std::string &program)
{
    Error error = Error::fromErrno(errnum, "exec", program);
    return errnum == ENOENT || errnum == ENOTDIR ? std::move(error).as(Code::NotFound) : std::move(error);
}

} // namespace

Error execute(const std::vector<std::string> &argv, const Environment &environment)
{
    if (argv.empty() || argv[0].empty())
        return Error(Code::Invalid, "there is no program to run");
    if (Status closed = sys::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); !closed)
        return std::move(closed.error());
    std::vector<std::string> arguments = argv, variables;
    for (const auto &[name, value] : environment)
        variables.push_back(name + "=" + value);
    const std::vector<char *> argumentPointers = pointers(arguments), variablePointers = pointers(variables);
    if (argv[0].find('/') != std::string::npos) {
        ::execve(argv[0].c_str(), argumentPointers.data(), variablePointers.data());
        return notExecuted(errno, argv[0]);
    }
    int reason = ENOENT;
    for (const std::string &folder : split(pathVariable(environment), ':')) {
        ::execve((folder + "/" + argv[0]).c_str(), argumentPointers.data(), variablePointers.data());
        // As a shell: one that is there but cannot be run is told, unless a later folder has a good one.
        if (errno != ENOENT && errno != ENOTDIR)
            reason = errno;
    }
    return notExecuted(reason, argv[0]);
}

} // namespace lxmgr::runtime

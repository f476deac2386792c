#include "kernel/caps.h"

#include "kernel/sys.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::caps
{

Result<unsigned> last()
{
    // prctl tells an unknown one by EINVAL; no file of a /proc that may be someone else's is read.
    for (unsigned capability = 0; capability < 64; ++capability)
        if (::prctl(PR_CAPBSET_READ, capability, 0UL, 0UL, 0UL) < 0)
            return capability - 1;
    return 63U;
}

Status limitBoundingSet(std::uint64_t keep)
{
    const unsigned highest = TRY(last());
    for (unsigned capability = 0; capability <= highest; ++capability)
        if (!(keep >> capability & 1))
            TRY(sys::prctl("PR_CAPBSET_DROP", PR_CAPBSET_DROP, capability));
    return {};
}

Status clearInheritable(std::uint64_t keep)
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    TRY(sys::call("capget", {}, [&] { return ::syscall(SYS_capget, &header, data); }));
    for (unsigned word = 0; word < 2; ++word) {
        const std::uint32_t mask = static_cast<std::uint32_t>(keep >> (32 * word));
        data[word].permitted &= mask;
        data[word].effective = data[word].permitted;
        data[word].inheritable = 0;
    }
    TRY(sys::call("capset", {}, [&] { return ::syscall(SYS_capset, &header, data); }));
    return sys::prctl("PR_CAP_AMBIENT", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
}

} // namespace lxmgr::caps

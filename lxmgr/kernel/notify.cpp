#include "kernel/notify.h"

#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <linux/seccomp.h>
#include <sys/ioctl.h>

namespace lxmgr::notify
{

Result<std::optional<Call>> receive(const Fd &listener)
{
    seccomp_notif notice{}; // the kernel refuses one that is not all zero
    const auto received = sys::call("ioctl", "SECCOMP_IOCTL_NOTIF_RECV", [&] { return ::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &notice); });
    if (!received && received.error().errnum == ENOENT)
        return std::optional<Call>();
    TRY(received);
    Call call{notice.id, static_cast<pid_t>(notice.pid), notice.data.nr, {}};
    std::copy(std::begin(notice.data.args), std::end(notice.data.args), call.arguments.begin());
    return std::optional(call);
}

bool waits(const Fd &listener, std::uint64_t id) { return ::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0; }

Status answer(const Fd &listener, std::uint64_t id, const Answer &answer)
{
    seccomp_notif_resp response{};
    response.id = id;
    response.val = answer.value;
    response.error = -answer.errnum;
    response.flags = answer.goesOn ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    const auto sent = sys::call("ioctl", "SECCOMP_IOCTL_NOTIF_SEND", [&] { return ::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &response); });
    return sent || sent.error().errnum == ENOENT ? Status() : Status(sent.error());
}

} // namespace lxmgr::notify

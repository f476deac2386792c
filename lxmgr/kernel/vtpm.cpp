#include "kernel/vtpm.h"

#include "kernel/sys.h"

#include <fcntl.h>
#include <linux/vtpm_proxy.h>
#include <sys/ioctl.h>
#ifdef LXMGR_FAILPOINTS
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#endif

namespace lxmgr::vtpm
{

#ifdef LXMGR_FAILPOINTS
namespace
{

/// Of tests, where the kernel has no such devices: a socket whose other side sends one descriptor and three numbers.
Result<Device> standIn(const std::string &path)
{
    const Fd socket = TRY(sys::callFd("socket", path, [] { return ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0); }));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    TRY(sys::call("connect", path, [&] { return ::connect(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address); }));
    std::uint32_t numbers[3] = {};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{numbers, sizeof numbers};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    TRY(sys::call("recvmsg", path, [&] { return ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC); }));
    const cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == nullptr)
        return Error(Code::Internal, "the stand-in for /dev/vtpmx gave no device");
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return Device{Fd(fd), numbers[0], numbers[1], numbers[2]};
}

} // namespace
#endif

Result<Device> create(const std::string &proxy)
{
#ifdef LXMGR_FAILPOINTS
    struct stat info {
    };
    if (::stat(proxy.c_str(), &info) == 0 && S_ISSOCK(info.st_mode))
        return standIn(proxy);
#endif
    const Fd maker = TRY(sys::open(proxy, O_RDWR | O_CLOEXEC));
    vtpm_proxy_new_dev made{};
    made.flags = VTPM_PROXY_FLAG_TPM2;
    TRY(sys::call("VTPM_PROXY_IOC_NEW_DEV", proxy, [&] { return ::ioctl(maker.get(), VTPM_PROXY_IOC_NEW_DEV, &made); }));
    Device device{Fd(static_cast<int>(made.fd)), made.tpm_num, made.major, made.minor};
    TRY(sys::call("fcntl", "FD_CLOEXEC", [&] { return ::fcntl(device.server.get(), F_SETFD, FD_CLOEXEC); }));
    return device;
}

} // namespace lxmgr::vtpm

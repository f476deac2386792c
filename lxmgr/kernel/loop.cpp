#include "kernel/loop.h"

#include "kernel/sys.h"

#include <linux/loop.h>
#include <sys/ioctl.h>

namespace lxmgr::loop
{

namespace
{
constexpr int kAttempts = 50; ///< Somebody else may take the free device we were told of.
}

Result<Device> attach(const Fd &file)
{
    const Fd control = TRY(sys::open("/dev/loop-control", O_RDWR));
    for (int attempt = 1;; ++attempt) {
        const long number =
            TRY(sys::call("LOOP_CTL_GET_FREE", {}, [&] { return ::ioctl(control.get(), LOOP_CTL_GET_FREE); }));
        Device device;
        device.path = "/dev/loop" + std::to_string(number);
        device.fd = TRY(sys::open(device.path, O_RDWR));
        loop_config config{};
        config.fd = static_cast<__u32>(file.get());
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
        const auto set =
            sys::call("LOOP_CONFIGURE", device.path, [&] { return ::ioctl(device.fd.get(), LOOP_CONFIGURE, &config); });
        if (set)
            return device;
        if (set.error().errnum != EBUSY || attempt == kAttempts)
            return set.error();
    }
}

Status takeNewSize(const std::string &device)
{
    const Fd fd = TRY(sys::open(device, O_RDWR));
    TRY(sys::call("LOOP_SET_CAPACITY", device, [&] { return ::ioctl(fd.get(), LOOP_SET_CAPACITY); }));
    return {};
}

} // namespace lxmgr::loop

#include "kernel/loop.h"

#include "kernel/sys.h"

#include <dirent.h>
#include <linux/loop.h>
#include <memory>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>

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

Result<Device> findFor(const std::string &file)
{
    const struct stat wanted = TRY(sys::fstatat(sys::cwd(), file, 0));
    const auto close = [](DIR *folder) { ::closedir(folder); };
    const std::unique_ptr<DIR, decltype(close)> devices(::opendir("/sys/block"), close);
    while (const dirent *entry = devices ? ::readdir(devices.get()) : nullptr) {
        if (std::string_view(entry->d_name).substr(0, 4) != "loop")
            continue;
        std::string path = std::string("/dev/") + entry->d_name;
        auto device = sys::open(path, O_RDWR);
        loop_info64 info{};
        if (device && ::ioctl(device->get(), LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == wanted.st_ino &&
            info.lo_device == wanted.st_dev)
            return Device{std::move(*device), std::move(path)};
    }
    return Device();
}

Status takeNewSize(const std::string &device)
{
    const Fd fd = TRY(sys::open(device, O_RDWR));
    TRY(sys::call("LOOP_SET_CAPACITY", device, [&] { return ::ioctl(fd.get(), LOOP_SET_CAPACITY); }));
    return {};
}

} // namespace lxmgr::loop

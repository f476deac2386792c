// Loop devices: files as block devices. They clear themselves when their last user (a mount) has gone.
// Source: loop(4), LOOP_CONFIGURE of Linux 5.8.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>

namespace lxmgr::loop
{

struct Device {
    Fd fd; ///< Keeps the device until something is mounted from it.
    std::string path;
};
/// The file behind `file` (open for reading and writing) as a device, past the page cache where its file system can.
Result<Device> attach(const Fd &file);
/// The device that has the file behind it, held from before it was asked: else it might clear itself meanwhile. Without a
/// descriptor where none has.
Result<Device> findFor(const std::string &file);
/// The device takes notice that its file has grown.
Status takeNewSize(const std::string &device);

} // namespace lxmgr::loop

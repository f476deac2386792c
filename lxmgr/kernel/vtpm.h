// TPM devices that a process of ours answers for (drivers/char/tpm/tpm_vtpm_proxy.c, Linux 4.8).
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <string>

namespace lxmgr::vtpm
{

struct Device {
    Fd server;                ///< What answers reads its commands here. The device goes when it is closed.
    std::uint32_t number = 0; ///< 1 of /dev/tpm1.
    std::uint32_t major = 0, minor = 0;
};
/// Of version 2. `proxy`: /dev/vtpmx. There is nothing to open before somebody answers at `server`: the kernel asks first.
Result<Device> create(const std::string &proxy);

} // namespace lxmgr::vtpm

// Taking a tree that another host sends: what is different from what is here, as an overlay layer. What comes is not trusted.
#pragma once

#include "images/extract.h"
#include "migrate/stream.h"

#include <functional>
#include <vector>

namespace lxmgr::migrate
{

struct TakeOptions {
    images::UnpackLimits limits;
    bool devices = false; ///< Whether nodes of devices are to be made; by the caller, as this may not.
    std::function<void(std::uint64_t)> told; ///< Gets the bytes of files received, now and then.
};

struct Taken {
    std::uint64_t entries = 0;
    std::uint64_t files = 0; ///< Whose content came.
    std::uint64_t data = 0;  ///< Bytes of them.
    std::vector<images::DeviceEntry> devices; ///< Still to be made in the target.
    std::uint64_t devicesLeftOut = 0;
};

/// Makes in the empty folder `to` the layer that, laid on `base`, shows the tree that is sent; without a base the tree itself.
/// Two files of the same size, time, owner, mode and attributes are the same, and compared byte by byte only where that time
/// was set by hand (it has no fractions of a second). Invalid: what no sender of ours sends. NoSpace.
Result<Taken> takeTree(Stream &stream, const Fd *base, const Fd &to, const TakeOptions &options);

} // namespace lxmgr::migrate

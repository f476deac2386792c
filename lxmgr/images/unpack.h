// The daemon's side of unpacking: runs `lxmgr-helper unpack`, follows what it says, ends it when nobody wants it any more.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "images/store.h"

#include <string>
#include <vector>

namespace lxmgr::images
{

/// Descriptors the helper is born with.
enum HelperFd { kReportFd = 3, kFirstFd = 4, kSecondFd = 5, kTargetFd = 6 };

struct UnpackJob {
    std::string helper;           ///< Path of lxmgr-helper.
    const Fd &first;              ///< The image's file, or its metadata file.
    const Fd *second = nullptr;   ///< The root file system's file of a split image.
    const Fd *target = nullptr;   ///< Empty folder to unpack into; nullptr: only look.
    UnpackLimits limits;
};

struct Unpacked {
    std::string metadata;              ///< metadata.yaml as it stands or was made.
    std::vector<std::string> warnings; ///< What was left out.
};

/// Blocking; any thread. Invalid: not an image or a refused one, naming the entry; Cancelled; NoSpace.
Result<Unpacked> unpackImage(const UnpackJob &job, Progress &progress);

/// How limits go on the helper's command line, one place for both sides.
std::vector<std::string> limitArguments(const UnpackLimits &limits);
Status parseLimitArgument(const std::string &argument, UnpackLimits &limits);

} // namespace lxmgr::images

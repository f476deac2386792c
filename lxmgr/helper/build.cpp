// lxmgr-helper build: reads a job from descriptor 3, runs it confined, reports on standard output.
#include "base/log.h"
#include "helper/build_sandbox.h"
#include "helper/modes.h"
#include "images/build_job.h"
#include "kernel/files.h"

#include <fcntl.h>

namespace lxmgr::helper
{

namespace
{

constexpr int kJobFd = 3;
constexpr std::size_t kMostJob = 64U << 20;

} // namespace

int build(std::span<char *const>)
{
    const Fd file(kJobFd);
    ::fcntl(file.get(), F_SETFD, FD_CLOEXEC);
    const auto bytes = files::readAll(file, kMostJob);
    if (!bytes) {
        log::error("build: " + bytes.error().message);
        return 1;
    }
    const auto job = images::unpackJob(*bytes);
    if (!job) {
        log::error(job.error().message);
        return 1;
    }
    return runBuildJob(*job);
}

} // namespace lxmgr::helper

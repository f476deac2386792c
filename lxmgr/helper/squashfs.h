// squashfs images through the distribution's unsquashfs, inside the sandbox; the kernel never mounts one.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "images/inspect.h"
#include "images/store.h"

#include <functional>
#include <string>

namespace lxmgr::helper
{

/// Opens unsquashfs before the sandbox is entered. Unsupported: names the package that has it.
Result<Fd> openUnsquashfs();

/// The single file of an image. `file` is opened again by /proc/self/fd.
Result<images::Inspected> inspectSquashfs(const Fd &program, const Fd &file);

/// Puts all of `file` into `target`: as the folder rootfs, or as metadata.yaml, templates/ and rootfs/ if it has a metadata.yaml and
/// `layout` is Unified. Then removes or refuses what an image may not hold.
Status unpackSquashfs(const Fd &program, const Fd &file, const Fd &target, images::Layout layout, const images::UnpackLimits &limits);

} // namespace lxmgr::helper

// Builds an image tree from a template: bootstrap, packages, files and actions, all confined in namespaces of their
// own.
#pragma once

#include "base/progress.h"
#include "images/template.h"

#include <cstdint>

namespace lxmgr::images
{

struct BuildOptions {
    std::string mirror;    ///< Archive to use instead of the template's ("http://mirror/debian").
    std::string suite;     ///< Suite to bootstrap instead of the release.
    std::string directory; ///< Where the result goes: an empty folder or none yet, on the pool's file system (a
                           ///< storage::Scratch).
    std::uint32_t idBase =
        1879048192; ///< First of 65 536 host ids the build runs as: no instance's and nobody's on the host.
};

struct BuiltImage {
    std::string directory; ///< Holds metadata.yaml, templates/ and rootfs/ with 0-based ids.
    std::map<std::string, std::string>
        properties; ///< os, release, version, variant, architecture, description, serial, mirror.
    std::vector<std::string> aliases;
    std::string cacheKey;
};

/// Blocking; any thread. Spawns the confined helper and follows it; cancelling kills all of it. On any error nothing is
/// left in the folder. Unavailable: the mirror (host, reason and cure in the message) or a helper program is missing;
/// Cancelled; NoSpace.
Result<BuiltImage> build(const Paths &paths, const ResolvedImage &image, const BuildOptions &options,
                         Progress &progress = Progress::none());

/// The same from a definition already read (a file given by path).
Result<BuiltImage> build(const Paths &paths, const Template &definition, const ResolvedImage &image,
                         const BuildOptions &options, Progress &progress = Progress::none());

} // namespace lxmgr::images

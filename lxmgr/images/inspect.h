// What an image file says of itself, without unpacking it.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "images/layout.h"

#include <string>

namespace lxmgr::images
{

struct Inspected {
    Layout layout = Layout::Unified;
    std::string metadata; ///< metadata.yaml as it stands (checked), or made from what os-release and the programs say.
};

/// The single file of an image, a tar archive. Reads up to metadata.yaml; a plain root file system up to its os-release.
/// Invalid: not an image, with what it looks like.
Result<Inspected> inspectTar(const Fd &file);
/// What a single tar archive holds, by its first entry.
Result<Layout> tarLayout(const Fd &file);
/// The first file of a split image, a tar archive.
Result<Inspected> inspectMetadataTar(const Fd &file);
/// Whether `file`, the second file of a split image, starts as a tar archive.
Status checkRootfsTar(const Fd &file);

/// metadata.yaml for a root file system that came without one. Invalid if there is no sign of a system: neither
/// an os-release nor a program.
Result<std::string> guessedMetadata(const std::string &osRelease, const std::string &machine);

} // namespace lxmgr::images

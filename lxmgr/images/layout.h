// Where an entry of an image's archive belongs: metadata.yaml, templates/ or rootfs/.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lxmgr::images
{

/// What an archive holds.
enum class Layout {
    Unified,  ///< metadata.yaml, templates/, rootfs/
    Metadata, ///< metadata.yaml, templates/: first file of a split image
    Rootfs,   ///< the root file system at the top
};

/// Of a single archive, by the first entry that has a name: one of the three belongs to a unified image.
Layout guessLayout(const std::vector<std::string> &firstParts);

struct Place {
    enum class Kind { Metadata, Templates, Template, Rootfs, Other };
    Kind kind = Kind::Other;
    std::string path; ///< Below the image's folder.
};

/// `parts` as checkedParts gives them.
Place placeOf(const std::vector<std::string> &parts, Layout layout);

} // namespace lxmgr::images

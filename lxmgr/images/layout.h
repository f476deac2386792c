// Where an entry of an archive belongs: metadata.yaml, templates/ or rootfs/ of an image, or of an exported instance and
// each of its snapshots.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lxmgr::images
{

/// In an export of streams: the subvolumes that they are of.
inline constexpr const char *kStreamHeader = "optimized_header.yaml";
/// The file of the stream of a part ("container", "snapshots/<name>").
inline std::string streamFile(const std::string &part) { return part + ".bin"; }

/// What an archive holds.
enum class Layout {
    Unified,  ///< metadata.yaml, templates/, rootfs/
    Metadata, ///< metadata.yaml, templates/: first file of a split image
    Rootfs,   ///< the root file system at the top
    Export,   ///< backup/index.yaml, then backup/snapshots/<name>/ and backup/container/, each like a unified image
    StreamExport, ///< backup/index.yaml, then backup/snapshots/<name>.bin and backup/container.bin: streams of a storage driver
    VolumeExport, ///< backup/index.yaml, then backup/volume-snapshots/<name>/ and backup/volume/: trees of a custom volume
};
/// Of an instance, or of a volume.
constexpr bool isExport(Layout layout)
{
    return layout == Layout::Export || layout == Layout::StreamExport || layout == Layout::VolumeExport;
}

/// Of index.yaml and backup.yaml; both grow with the number of snapshots.
inline constexpr std::size_t kLongestExportText = 8 << 20;

/// Of a single archive, by the first entry that has a name: one of the three belongs to a unified image.
Layout guessLayout(const std::vector<std::string> &firstParts);

struct Place {
    enum class Kind { Metadata, Templates, Template, Rootfs, Other, Index, Backup, Folder, Header, Stream };
    Kind kind = Kind::Other;
    std::string path; ///< Below the image's folder.
    std::string part{}; ///< Of an export: "container" or "snapshots/<name>", with which `path` begins.
};

/// `parts` as checkedParts gives them.
Place placeOf(const std::vector<std::string> &parts, Layout layout);
/// The same for an export. Invalid: outside the layout; Unsupported: the stream of another storage driver, a volume.
Result<Place> exportPlaceOf(const std::vector<std::string> &parts);
/// The same for an export of a volume, whose trees are given the places that those of an instance have.
Result<Place> volumeExportPlaceOf(const std::vector<std::string> &parts);
/// The same for an export whose trees are streams: `path` is that of its file, `part` as above.
Result<Place> streamExportPlaceOf(const std::vector<std::string> &parts);
/// Any of the three.
Result<Place> exportPlaceOf(const std::vector<std::string> &parts, Layout layout);

} // namespace lxmgr::images

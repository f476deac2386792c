// Packing an instance in a process of its own, as an export or as an image: the daemon says what goes in,
// `lxmgr-helper export pack` mounts and packs.
#pragma once

#include "base/pieces.h"
#include "images/export_writer.h"
#include "images/layout.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::images
{

/// A part of an export by where it lies. Paths are absolute, and those of our own folders on the host.
struct ExportSource {
    std::string folder; ///< "container", or "snapshots/<name>".
    std::string backup;
    std::string metadata;
    std::string templates;           ///< Folder of the templates, "" for none.
    std::vector<std::string> layers; ///< The tree, or the layers of an overlay, topmost first.
};

struct ExportJob {
    Compression compression = Compression::Gzip;
    std::string index;
    std::vector<ExportSource> parts; ///< In the order of the archive.
    /// Or Unified: an image, of its one part's metadata, templates and tree; VolumeExport, of trees alone; StreamExport.
    Layout layout = Layout::Export;
    /// Of a StreamExport: the folder that has streamFile() of each part, and the text that goes before them.
    std::string streams = {}, header = {};
};

void putSource(PieceWriter &pieces, const ExportSource &part);
Result<ExportSource> takeSource(PieceReader &pieces);
std::string encodeExportJob(const ExportJob &job);
Result<ExportJob> decodeExportJob(std::string_view bytes);

/// How the result comes back from the helper.
std::string encodeExported(const Exported &exported);
Result<Exported> decodeExported(const std::string &text);

/// Blocking; any thread. `to` may be a pipe. Cancelled also when nobody reads it any more; NoSpace.
Result<Exported> packExport(const std::string &helper, const ExportJob &job, const Fd &to, Progress &progress);
/// Reads `file` back, decompressed and entry by entry. Corrupt: it is not what was exported.
Status verifyExport(const std::string &helper, const Fd &file, const Exported &exported, Progress &progress);

} // namespace lxmgr::images

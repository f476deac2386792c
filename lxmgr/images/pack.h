// Making the image file of a finished tree: a tar archive, compressed on all cores, hashed while it is written.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "images/export_writer.h"
#include "images/store.h"

#include <string>

namespace lxmgr::images
{

/// Writes metadata.yaml, templates/ and rootfs/ of the folder `tree` to `file` as a unified image; its SHA-256.
/// Sockets are left out, as in every tar archive. Cancelled; NoSpace.
Result<std::string> packTree(const Fd &tree, const Fd &file, Compression compression, Progress &progress);

/// What an image is made of where it does not lie in one folder.
struct ImageParts {
    std::string metadata;          ///< Text of metadata.yaml.
    const Fd *templates = nullptr; ///< Folder of the templates, if there are any.
    const Fd &rootfs;
};
/// The same of these; as Squashfs, the archive that sqfstar makes one of.
Result<Exported> packImage(const ImageParts &parts, const Fd &file, Compression compression, Progress &progress);

} // namespace lxmgr::images

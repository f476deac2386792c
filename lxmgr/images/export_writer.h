// Writing an instance, or a volume, as one tar archive in the layout of LXD and Incus: index.yaml, then each snapshot,
// then the instance.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "images/tar_writer.h"

#include <string>

namespace lxmgr::images
{

/// A root file system of an export and what lies beside it.
struct ExportPart {
    std::string folder;            ///< "container", or "snapshots/<name>".
    std::string backup;            ///< Text of its backup.yaml.
    std::string metadata;          ///< Text of metadata.yaml.
    const Fd *templates = nullptr; ///< Folder of the templates, if there are any.
    const Fd &rootfs;
};

struct Exported {
    Bytes size;
    std::string hash;    ///< SHA-256 of the file.
    std::string content; ///< ContentHash, which who reads it back compares.
    std::uint64_t socketsLeftOut = 0;
};

/// Closes an archive and says what came out.
Result<Exported> finish(TarWriter &tar);

class ExportWriter
{
public:
    /// Begins the archive with `index`; `to` may be a pipe, and outlives this.
    static Result<std::unique_ptr<ExportWriter>> open(const Fd &to, Compression compression, const std::string &index,
                                                      Progress &progress);
    /// The snapshots first, the oldest of them foremost, the instance last. Cancelled; NoSpace.
    Status add(const ExportPart &part);
    /// The same of a volume: its tree is all there is. `folder` is "volume", or "volume-snapshots/<name>".
    Status addVolume(const std::string &folder, const Fd &tree);
    /// Of an export of streams: `header` once, then each part's stream, which lies in the folder `streams`.
    Status addHeader(const std::string &header);
    Status addStream(const Fd &streams, const std::string &part);
    Result<Exported> close() { return finish(m_tar); }

private:
    ExportWriter(const Fd &to, Progress &progress) : m_tar(to, progress) {}
    TarWriter m_tar;
};

/// "gzip" where `name` is empty. Unsupported for squashfs, which is no stream.
Result<Compression> parseExportCompression(const std::string &name);

} // namespace lxmgr::images

#include "images/export_writer.h"

#include "base/text.h"
#include "images/layout.h"
#include "kernel/sys.h"

#include <fcntl.h>

namespace lxmgr::images
{

Result<std::unique_ptr<ExportWriter>> ExportWriter::open(const Fd &to, Compression compression,
                                                         const std::string &index, Progress &progress)
{
    std::unique_ptr<ExportWriter> writer(new ExportWriter(to, progress));
    TRY(writer->m_tar.open(compression, TarWriter::For::Export));
    TRY(writer->m_tar.addFile("backup/index.yaml", index, 0644));
    return writer;
}

Status ExportWriter::add(const ExportPart &part)
{
    const std::string folder = "backup/" + part.folder;
    TRY(m_tar.addEmptyFolder(folder, 0100)); // as LXD has it: for its root alone
    TRY(m_tar.addFile(folder + "/backup.yaml", part.backup, 0400));
    TRY(m_tar.addFile(folder + "/metadata.yaml", part.metadata, 0644));
    TRY_IN(part.folder, m_tar.addTree(part.rootfs, folder + "/rootfs"));
    if (part.templates)
        TRY_IN(part.folder, m_tar.addTree(*part.templates, folder + "/templates"));
    return {};
}

Status ExportWriter::addVolume(const std::string &folder, const Fd &tree)
{
    TRY_IN(folder, m_tar.addTree(tree, "backup/" + folder));
    return {};
}

Status ExportWriter::addHeader(const std::string &header)
{
    return m_tar.addFile(std::string("backup/") + kStreamHeader, header, 0644);
}

Status ExportWriter::addStream(const Fd &streams, const std::string &part)
{
    const std::string file = streamFile(part);
    const std::size_t slash = file.rfind('/');
    if (slash == std::string::npos)
        return m_tar.add(streams, file, "backup/" + file);
    const Fd folder = TRY(sys::openat(streams, file.substr(0, slash), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return m_tar.add(folder, file.substr(slash + 1), "backup/" + file);
}

Result<Exported> finish(TarWriter &tar)
{
    TRY(tar.close());
    Exported done;
    done.size = tar.size();
    done.hash = tar.hash();
    done.content = tar.contentHash();
    done.socketsLeftOut = tar.socketsLeftOut();
    return done;
}

Result<Compression> parseExportCompression(const std::string &name)
{
    if (name == "squashfs")
        return Error(
            Code::Unsupported,
            "compression \"squashfs\" is no stream; an export is a tar archive (gzip, zstd, xz, bzip2, lzma or none)");
    return name.empty() ? Result<Compression>(Compression::Gzip) : parseCompression(name);
}

} // namespace lxmgr::images

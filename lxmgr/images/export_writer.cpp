#include "images/export_writer.h"

#include "base/text.h"

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

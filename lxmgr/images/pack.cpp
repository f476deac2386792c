#include "images/pack.h"

#include "images/tar_writer.h"
#include "kernel/sys.h"

namespace lxmgr::images
{

Result<std::string> packTree(const Fd &tree, const Fd &file, Compression compression, Progress &progress)
{
    TarWriter writer(file, progress);
    TRY(writer.open(compression, TarWriter::For::Image));
    // metadata.yaml first: who wants to know what this is need not read on.
    TRY_IN("image tree", writer.add(tree, "metadata.yaml", "metadata.yaml"));
    if (sys::fstatat(tree, "templates"))
        TRY_IN("image tree", writer.add(tree, "templates", "templates"));
    TRY_IN("image tree", writer.add(tree, "rootfs", "rootfs"));
    TRY(writer.close());
    return writer.hash();
}

Result<Exported> packImage(const ImageParts &parts, const Fd &file, Compression compression, Progress &progress)
{
    TarWriter writer(file, progress);
    const bool forSquashfs = compression == Compression::Squashfs;
    TRY(writer.open(forSquashfs ? Compression::None : compression, forSquashfs ? TarWriter::For::Squashfs : TarWriter::For::Image));
    TRY(writer.addFile("metadata.yaml", parts.metadata, 0644));
    if (parts.templates)
        TRY_IN("templates", writer.addTree(*parts.templates, "templates"));
    TRY_IN("rootfs", writer.addTree(parts.rootfs, "rootfs"));
    return finish(writer);
}

} // namespace lxmgr::images

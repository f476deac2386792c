#include "instances/packing.h"

#include "kernel/files.h"
#include "kernel/sys.h"

#include <sys/stat.h>

namespace lxmgr::instances
{

namespace
{

constexpr std::size_t kLongestMetadata = 1 << 20;

} // namespace

std::vector<std::string> layersOf(const storage::RootTree &tree)
{
    if (tree.kind == storage::RootTree::Kind::Directory)
        return {tree.directory};
    std::vector<std::string> layers = tree.lower;
    if (!tree.layer.empty())
        layers.insert(layers.begin(), tree.layer + "/upper");
    return layers;
}

Result<Beside> besideOf(storage::Driver &pool, const store::Instance &row)
{
    std::string place = pool.volumeDir(row.project, row.name);
    Fd folder = TRY(pool.openVolume(row.project, row.name));
    if (!sys::fstatat(folder, "metadata.yaml") && !row.image.empty())
        if (auto image = pool.openImage(row.image)) {
            folder = std::move(*image);
            place = pool.directory() + "/images/" + row.image;
        }
    Beside beside;
    const auto text = files::read(folder, "metadata.yaml", kLongestMetadata);
    beside.metadata = text ? *text
                           : "architecture: " + row.architecture +
                                 "\ncreation_date: " + std::to_string(row.createdAt / 1000) + "\nproperties: {}\n";
    const auto templates = sys::fstatat(folder, "templates");
    if (templates && S_ISDIR(templates->st_mode))
        beside.templates = place + "/templates";
    return beside;
}

} // namespace lxmgr::instances

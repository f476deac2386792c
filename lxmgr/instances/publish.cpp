// Publishing: an instance, or a snapshot of one, becomes an image.
#include "base/failpoint.h"
#include "base/text.h"
#include "images/export_job.h"
#include "instances/manager.h"

namespace lxmgr::instances
{

namespace
{

/// The description of the image the instance came from, with what is new about this one.
Result<images::Metadata> metadataOf(const std::string &before, const store::Instance &row, const PublishRequest &request)
{
    images::Metadata metadata = TRY_IN("metadata of the instance", images::parseMetadata(before));
    metadata.architecture = row.architecture;
    metadata.creationDate = store::unixMillis() / 1000;
    metadata.expiryDate = request.expiresAt / 1000;
    metadata.properties.erase("serial"); // it names a build of that image
    for (const auto &[name, value] : request.properties) {
        if (value.empty())
            metadata.properties.erase(name);
        else
            metadata.properties[name] = value;
    }
    return metadata;
}

} // namespace

Result<store::Image> Manager::publish(const PublishRequest &request, Progress &progress)
{
    const InstanceKey &key = request.source;
    const auto lock = lockFor(key);
    std::unique_lock guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    const Beside beside = TRY(besideOf(*pool, row));
    const images::Metadata metadata = TRY(metadataOf(beside.metadata, row, request));

    KeptTree tree;
    if (request.snapshot.empty()) {
        tree = TRY_IN("publish " + quoted(key.name), keepTree(row, *pool, guard));
    } else {
        (void)TRY(readySnapshot(key, row.id, request.snapshot));
        tree.layers = layersOf(TRY(pool->snapshotRoot(key.project, key.name, request.snapshot)));
        tree.kept = keepVolume(key);
        guard.unlock();
    }
    images::ExportJob job;
    job.layout = images::Layout::Unified;
    job.compression = request.compression;
    job.parts.push_back({"", "", images::formatMetadata(metadata), beside.templates, tree.layers});
    const images::Image image = TRY_IN("publish " + quoted(key.name),
                                       m_s.images.files().take(metadata, [&](const Fd &file) -> Result<std::string> {
                                           return TRY(images::packExport(m_s.paths.helper, job, file, progress)).hash;
                                       }));
    TRY(failpoint("publish.packed"));
    return m_s.images.add(image, request.image);
}

} // namespace lxmgr::instances

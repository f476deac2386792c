#include "config/volume_export.h"

#include "base/text.h"
#include "config/documents.h"
#include "config/export_parts.h"

#include <algorithm>

namespace lxmgr::config
{

using namespace export_parts;

namespace
{

Status checkKind(const YamlNode &root)
{
    const std::string type = TRY(textOf(root, kIndexFile, "type"));
    if (type == "container" || type == "virtual-machine")
        return Error(Code::Unsupported, "the archive holds an instance, not a storage volume (lxmgr import)");
    if (type != "custom")
        return Error(Code::Unsupported, "the archive holds a " + quoted(type) + ", which is not known here");
    return checkNotOptimized(root);
}

Status checkContent(const YamlNode &node)
{
    const std::string content = TRY(textOf(node, kIndexFile, "content_type"));
    if (!content.empty() && content != "filesystem")
        return Error(Code::Unsupported, "the archive holds a volume of content type " + quoted(content) +
                                            "; only file systems can be imported");
    return {};
}

/// What a volume and a snapshot of one have in common.
template <class Document> Status readCommon(Document &document, const YamlNode &node)
{
    TRY(checkContent(node));
    document.name = TRY(textOf(node, kIndexFile, "name"));
    document.description = TRY(textOf(node, kIndexFile, "description"));
    if (const YamlNode *created = node.find("created_at"))
        document.createdAt = TRY(readTime(*created, kIndexFile, "created_at"));
    if (const YamlNode *config = node.find("config"))
        document.config = TRY(yamlStringMap(*config, kIndexFile, "config"));
    return {};
}

Result<VolumeSnapshotDocument> readSnapshot(const YamlNode &node)
{
    VolumeSnapshotDocument snapshot;
    TRY(readCommon(snapshot, node));
    snapshot.name = snapshot.name.substr(snapshot.name.rfind('/') + 1); // "v1/s1" in some
    if (const YamlNode *expires = node.find("expires_at"))
        snapshot.expiresAt = TRY(readTime(*expires, kIndexFile, "expires_at"));
    return snapshot;
}

/// Exactly the snapshots that the index lists, in its order, which is that of their age.
Status orderSnapshots(VolumeDocument &volume, const YamlNode &root)
{
    const YamlNode *list = root.find("snapshots");
    std::vector<VolumeSnapshotDocument> ordered;
    for (const std::string &name :
         list ? TRY(yamlStrings(*list, kIndexFile, "snapshots")) : std::vector<std::string>()) {
        TRY_IN(kIndexFile, checkObjectName("snapshot", name));
        const auto found = std::ranges::find(volume.snapshots, name, &VolumeSnapshotDocument::name);
        if (found == volume.snapshots.end())
            return Error(Code::Invalid, std::string(kIndexFile) + ": snapshot " + quoted(name) +
                                            " is listed and not described, or listed twice");
        ordered.push_back(std::move(*found));
        volume.snapshots.erase(found);
    }
    volume.snapshots = std::move(ordered);
    return {};
}

YamlNode volumeNode(const VolumeDocument &volume)
{
    YamlNode node = YamlNode::map();
    node.add("config", YamlNode::map(volume.config))
        .add("description", YamlNode::text(volume.description))
        .add("name", YamlNode::text(volume.name))
        .add("type", YamlNode::text("custom"))
        .add("used_by", emptyList())
        .add("location", YamlNode::text("none"))
        .add("content_type", YamlNode::text("filesystem"))
        .add("project", YamlNode::text(volume.project))
        .add("created_at", YamlNode::word(timeText(volume.createdAt, kNoTime)));
    return node;
}

YamlNode snapshotNode(const VolumeSnapshotDocument &snapshot)
{
    YamlNode node = YamlNode::map();
    node.add("description", YamlNode::text(snapshot.description))
        .add("expires_at", YamlNode::word(timeText(snapshot.expiresAt, kNoTime)))
        .add("name", YamlNode::text(snapshot.name))
        .add("config", YamlNode::map(snapshot.config))
        .add("content_type", YamlNode::text("filesystem"))
        .add("created_at", YamlNode::word(timeText(snapshot.createdAt, kNoTime)));
    return node;
}

} // namespace

Result<VolumeExportIndex> readVolumeExport(std::string_view text)
{
    const YamlNode root = TRY(parseIndex(text, kIndexFile));
    TRY(checkKind(root));
    VolumeExportIndex index;
    index.poolDriver = TRY(textOf(root, kIndexFile, "backend"));
    index.pool = TRY(textOf(root, kIndexFile, "pool"));
    const YamlNode *config = root.find("config");
    const YamlNode *volume = config ? config->find("volume") : nullptr;
    if (!volume)
        return yamlError(kIndexFile, root, "it describes no storage volume");
    TRY(readCommon(index.volume, *volume));
    index.volume.project = TRY(textOf(*volume, kIndexFile, "project"));
    index.volume.name = TRY(textOf(root, kIndexFile, "name"));
    TRY_IN(kIndexFile, checkObjectName("storage volume", index.volume.name));
    if (const YamlNode *snapshots = config->find("volume_snapshots")) {
        if (snapshots->items.size() > kMostSnapshots)
            return yamlError(kIndexFile, *snapshots, "more than " + std::to_string(kMostSnapshots) + " snapshots");
        for (const YamlNode &item : snapshots->items)
            index.volume.snapshots.push_back(TRY(readSnapshot(item)));
    }
    TRY(orderSnapshots(index.volume, root));
    return index;
}

std::string writeVolumeExport(const VolumeExportIndex &index)
{
    std::vector<std::string> names;
    YamlNode snapshots = YamlNode::sequence();
    for (const VolumeSnapshotDocument &snapshot : index.volume.snapshots) {
        names.push_back(snapshot.name);
        snapshots.items.push_back(snapshotNode(snapshot));
    }
    YamlNode config = YamlNode::map();
    config.add("volume", volumeNode(index.volume));
    if (!names.empty())
        config.add("volume_snapshots", std::move(snapshots));
    YamlNode root = YamlNode::map();
    root.add("name", YamlNode::text(index.volume.name))
        .add("backend", YamlNode::text(index.poolDriver))
        .add("pool", YamlNode::text(index.pool));
    if (!names.empty())
        root.add("snapshots", stringsNode(names));
    root.add("optimized", flag(false))
        .add("optimized_header", flag(false))
        .add("type", YamlNode::text("custom"))
        .add("config", std::move(config));
    return formatYaml(root);
}

} // namespace lxmgr::config

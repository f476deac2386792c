#include "config/export.h"

#include "base/text.h"
#include "config/documents.h"
#include "config/export_parts.h"

#include <algorithm>
#include <optional>
#include <set>

namespace lxmgr::config
{

using namespace export_parts;

namespace
{

constexpr const char *kBackupFile = "backup/container/backup.yaml";

// --- reading; keys that are not here are passed over, as every release adds some ---

template <class Document>
Status readKnown(Document &document, const YamlNode &root, const std::string &file,
                 std::span<const DocumentKey<Document>> rows)
{
    if (root.kind != YamlNode::Kind::Map)
        return yamlError(file, root, "it is not a map of keys and values");
    for (const DocumentKey<Document> &row : rows)
        if (const YamlNode *value = root.find(row.name))
            TRY(row.read(document, *value, file));
    return {};
}

using X = ExportedInstance;

constexpr DocumentKey<X> kInstanceRows[] = {
    {"name",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         const std::string name = TRY(yamlText(v, f, "name"));
         x.name = name.substr(name.find('/') == std::string::npos ? 0 : name.find('/') + 1); // "web1/s1" in old ones
         return {};
     }},
    {"project",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.project = TRY(yamlText(v, f, "project"));
         return {};
     }},
    {"created_at",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.createdAt = TRY(readTime(v, f, "created_at"));
         return {};
     }},
    {"last_used_at",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.lastUsedAt = TRY(readTime(v, f, "last_used_at"));
         return {};
     }},
    {"expires_at",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.expiresAt = TRY(readTime(v, f, "expires_at"));
         return {};
     }},
    {"architecture",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.definition.architecture = TRY(yamlText(v, f, "architecture"));
         return {};
     }},
    {"config",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.definition.config = TRY(yamlStringMap(v, f, "config"));
         return {};
     }},
    {"devices",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.definition.devices = TRY(yamlDeviceMap(v, f));
         return {};
     }},
    {"ephemeral",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.definition.ephemeral = TRY(yamlBool(v, f, "ephemeral"));
         return {};
     }},
    {"stateful",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.definition.stateful = TRY(yamlBool(v, f, "stateful"));
         return {};
     }},
    {"description",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.definition.description = TRY(yamlText(v, f, "description"));
         return {};
     }},
    {"profiles",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.definition.profiles = TRY(yamlStrings(v, f, "profiles"));
         return {};
     }},
    {"expanded_config",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.expandedConfig = TRY(yamlStringMap(v, f, "expanded_config"));
         return {};
     }},
    {"expanded_devices",
     [](X &x, const YamlNode &v, const std::string &f) -> Status {
         x.expandedDevices = TRY(yamlDeviceMap(v, f));
         return {};
     }},
    {"type",
     [](X &,  const YamlNode &v, const std::string &f) -> Status {
         const std::string type = TRY(yamlText(v, f, "type"));
         if (type == "virtual-machine")
             return Error(Code::Unsupported, "the archive holds a virtual machine; only containers can be imported");
         return {};
     }},
};

Result<X> readInstanceNode(const YamlNode &node, const std::string &file)
{
    X instance;
    TRY(readKnown<X>(instance, node, file, kInstanceRows));
    return instance;
}

Result<ProfileDocument> readProfileNode(const YamlNode &node, const std::string &file)
{
    ProfileDocument profile;
    if (const YamlNode *name = node.find("name"))
        profile.name = TRY(yamlText(*name, file, "name"));
    if (const YamlNode *description = node.find("description"))
        profile.description = TRY(yamlText(*description, file, "description"));
    if (const YamlNode *config = node.find("config"))
        profile.config = TRY(yamlStringMap(*config, file, "config"));
    if (const YamlNode *devices = node.find("devices"))
        profile.devices = TRY(yamlDeviceMap(*devices, file));
    TRY_IN(file, checkObjectName("profile", profile.name));
    return profile;
}

/// The configuration: "config" of index.yaml, or a whole backup.yaml.
Status readConfig(ExportIndex &index, const YamlNode &node, const std::string &file)
{
    const YamlNode *instance = node.find("container");
    if (!instance)
        instance = node.find("instance"); // LXD from 5.21 on, beside the old name
    if (!instance)
        return yamlError(file, node, "it describes no instance");
    index.instance = TRY(readInstanceNode(*instance, file));
    if (const YamlNode *snapshots = node.find("snapshots")) {
        if (snapshots->items.size() > kMostSnapshots)
            return yamlError(file, *snapshots, "more than " + std::to_string(kMostSnapshots) + " snapshots");
        for (const YamlNode &item : snapshots->items)
            index.snapshots.push_back(TRY(readInstanceNode(item, file)));
    }
    if (const YamlNode *profiles = node.find("profiles"))
        for (const YamlNode &item : profiles->items)
            index.profiles.push_back(TRY(readProfileNode(item, file)));
    return {};
}

Status checkKind(const YamlNode &root)
{
    const std::string type = TRY(textOf(root, kIndexFile, "type"));
    if (type == "virtual-machine")
        return Error(Code::Unsupported, "the archive holds a virtual machine; only containers can be imported");
    if (type == "custom" || type == "bucket")
        return Error(Code::Unsupported, "the archive holds a " +
                                            std::string(type == "bucket" ? "bucket" : "storage volume") +
                                            ", not an instance" + (type == "custom" ? " (lxmgr storage volume import)" : ""));
    if (!type.empty() && type != "container")
        return Error(Code::Unsupported, "the archive holds a " + quoted(type) + ", which is not known here");
    return {};
}

/// Exactly the snapshots that index.yaml lists, in its order, which is that of their age.
Status orderSnapshots(ExportIndex &index, const YamlNode &root)
{
    const YamlNode *list = root.find("snapshots");
    const std::vector<std::string> names =
        list ? TRY(yamlStrings(*list, kIndexFile, "snapshots")) : std::vector<std::string>();
    std::vector<X> ordered;
    for (const std::string &name : names) {
        TRY_IN(kIndexFile, checkObjectName("snapshot", name));
        const auto found = std::ranges::find(index.snapshots, name, &X::name);
        if (found == index.snapshots.end())
            return Error(Code::Invalid, std::string(kIndexFile) + ": snapshot " + quoted(name) +
                                            " is listed and not described, or listed twice");
        ordered.push_back(std::move(*found));
        index.snapshots.erase(found);
    }
    index.snapshots = std::move(ordered);
    return {};
}

// --- writing, in the order of keys LXD has ---

void addDefinition(YamlNode &node, const InstanceDocument &definition)
{
    node.add("architecture", YamlNode::text(definition.architecture))
        .add("config", YamlNode::map(definition.config))
        .add("devices", YamlNode::map(definition.devices))
        .add("ephemeral", flag(definition.ephemeral))
        .add("profiles", stringsNode(definition.profiles))
        .add("stateful", flag(definition.stateful));
}

YamlNode instanceNodeOf(const X &instance)
{
    YamlNode node = YamlNode::map();
    addDefinition(node, instance.definition);
    node.add("description", YamlNode::text(instance.definition.description))
        .add("created_at", YamlNode::word(timeText(instance.createdAt, kNoTime)))
        .add("expanded_config", YamlNode::map(instance.expandedConfig))
        .add("expanded_devices", YamlNode::map(instance.expandedDevices))
        .add("name", YamlNode::text(instance.name))
        .add("status", YamlNode::text("Stopped"))
        .add("status_code", YamlNode::word("102"))
        .add("last_used_at", YamlNode::word(timeText(instance.lastUsedAt, kNever)))
        .add("location", YamlNode::text("none"))
        .add("type", YamlNode::text("container"))
        .add("project", YamlNode::text(instance.project));
    return node;
}

YamlNode snapshotNodeOf(const X &snapshot)
{
    YamlNode node = YamlNode::map();
    node.add("expires_at", YamlNode::word(timeText(snapshot.expiresAt, kNoTime)));
    addDefinition(node, snapshot.definition);
    node.add("created_at", YamlNode::word(timeText(snapshot.createdAt, kNoTime)))
        .add("expanded_config", YamlNode::map(snapshot.expandedConfig))
        .add("expanded_devices", YamlNode::map(snapshot.expandedDevices))
        .add("last_used_at", YamlNode::word(timeText(snapshot.lastUsedAt, kNoTime)))
        .add("name", YamlNode::text(snapshot.name))
        .add("size", YamlNode::word("-1"));
    return node;
}

YamlNode poolNode(const ExportIndex &index)
{
    YamlNode node = YamlNode::map();
    node.add("config", YamlNode::map())
        .add("description", YamlNode::text(""))
        .add("name", YamlNode::text(index.pool))
        .add("driver", YamlNode::text(index.poolDriver))
        .add("used_by", emptyList())
        .add("status", YamlNode::text("Created"))
        .add("locations", stringsNode({"none"}));
    return node;
}

YamlNode profilesNode(const ExportIndex &index)
{
    YamlNode list = YamlNode::sequence();
    for (const ProfileDocument &profile : index.profiles) {
        YamlNode node = YamlNode::map();
        node.add("config", YamlNode::map(profile.config))
            .add("description", YamlNode::text(profile.description))
            .add("devices", YamlNode::map(profile.devices))
            .add("name", YamlNode::text(profile.name))
            .add("used_by", emptyList());
        list.items.push_back(std::move(node));
    }
    return list;
}

YamlNode volumeNode(const ExportIndex &index)
{
    YamlNode node = YamlNode::map();
    node.add("config", YamlNode::map())
        .add("description", YamlNode::text(""))
        .add("name", YamlNode::text(index.name))
        .add("type", YamlNode::text("container"))
        .add("used_by", emptyList())
        .add("location", YamlNode::text("none"))
        .add("content_type", YamlNode::text("filesystem"))
        .add("project", YamlNode::text(index.instance.project))
        .add("created_at", YamlNode::word(timeText(index.instance.createdAt, kNoTime)));
    return node;
}

YamlNode volumeSnapshotNode(const X &snapshot)
{
    YamlNode node = YamlNode::map();
    node.add("description", YamlNode::text(""))
        .add("expires_at", YamlNode::word(timeText(snapshot.expiresAt, kNoTime)))
        .add("name", YamlNode::text(snapshot.name))
        .add("config", YamlNode::map())
        .add("content_type", YamlNode::text("filesystem"))
        .add("created_at", YamlNode::word(timeText(snapshot.createdAt, kNoTime)));
    return node;
}

YamlNode configNode(const ExportIndex &index)
{
    YamlNode snapshots = YamlNode::sequence();
    YamlNode volumes = YamlNode::sequence();
    for (const X &snapshot : index.snapshots) {
        snapshots.items.push_back(snapshotNodeOf(snapshot));
        volumes.items.push_back(volumeSnapshotNode(snapshot));
    }
    YamlNode node = YamlNode::map();
    node.add("container", instanceNodeOf(index.instance));
    if (!snapshots.items.empty())
        node.add("snapshots", std::move(snapshots));
    node.add("pool", poolNode(index)).add("profiles", profilesNode(index)).add("volume", volumeNode(index));
    if (!volumes.items.empty())
        node.add("volume_snapshots", std::move(volumes));
    return node;
}

} // namespace

Result<bool> exportHasConfig(std::string_view index, const std::string &file)
{
    const YamlNode *config = TRY(parseIndex(index, file)).find("config");
    return config && config->kind == YamlNode::Kind::Map;
}

Result<ExportIndex> readExport(std::string_view indexText, std::string_view backup)
{
    const YamlNode root = TRY(parseIndex(indexText, kIndexFile));
    TRY(checkKind(root));
    ExportIndex index;
    index.name = TRY(textOf(root, kIndexFile, "name"));
    index.poolDriver = TRY(textOf(root, kIndexFile, "backend"));
    index.pool = TRY(textOf(root, kIndexFile, "pool"));
    if (const YamlNode *optimized = root.find("optimized"))
        index.optimized = TRY(yamlBool(*optimized, kIndexFile, "optimized"));
    TRY_IN(kIndexFile, checkInstanceName(index.name));
    const YamlNode *config = root.find("config");
    if (config && config->kind == YamlNode::Kind::Map)
        TRY(readConfig(index, *config, kIndexFile));
    else
        TRY(readConfig(index, TRY(parseIndex(backup, kBackupFile)), kBackupFile));
    TRY(orderSnapshots(index, root));
    if (index.instance.name.empty())
        index.instance.name = index.name;
    for (const std::string &profile : index.instance.definition.profiles)
        TRY_IN(kIndexFile, checkObjectName("profile", profile));
    return index;
}

std::string writeExportIndex(const ExportIndex &index)
{
    YamlNode root = YamlNode::map();
    root.add("name", YamlNode::text(index.name))
        .add("backend", YamlNode::text(index.poolDriver))
        .add("pool", YamlNode::text(index.pool));
    std::vector<std::string> snapshots;
    for (const X &snapshot : index.snapshots)
        snapshots.push_back(snapshot.name);
    if (!snapshots.empty())
        root.add("snapshots", stringsNode(snapshots));
    root.add("optimized", flag(index.optimized))
        .add("optimized_header", flag(index.optimized))
        .add("type", YamlNode::text("container"))
        .add("config", configNode(index));
    return formatYaml(root);
}

std::string writeStreamHeader(const ExportIndex &index)
{
    YamlNode list = YamlNode::sequence();
    const auto add = [&](const std::string &snapshot) {
        YamlNode one = YamlNode::map();
        one.add("path", YamlNode::text("/")).add("snapshot", YamlNode::text(snapshot)).add("readonly", flag(!snapshot.empty()));
        list.items.push_back(std::move(one));
    };
    for (const X &snapshot : index.snapshots)
        add(snapshot.name);
    add({});
    YamlNode root = YamlNode::map();
    root.add("subvolumes", std::move(list));
    return formatYaml(root);
}

Status checkStreamHeader(std::string_view header)
{
    constexpr const char *kFile = "optimized_header.yaml";
    const YamlNode root = TRY(parseYaml(header, kFile));
    if (root.kind != YamlNode::Kind::Map)
        return yamlError(kFile, root, "it is no list of subvolumes");
    const YamlNode *list = root.find("subvolumes");
    if (!list)
        return {};
    for (const YamlNode &item : list->items) {
        const std::string path = TRY(textOf(item, kFile, "path"));
        if (path != "/")
            return Error(Code::Unsupported, "the instance has a subvolume of its own at " + quoted(path) + "; export again without --optimized-storage");
    }
    return {};
}

std::string writeExportBackup(const ExportIndex &index, const ExportedInstance *snapshot)
{
    if (!snapshot)
        return formatYaml(configNode(index));
    ExportIndex alone = index;
    alone.snapshots = {*snapshot};
    alone.instance.definition = snapshot->definition;
    alone.instance.expandedConfig = snapshot->expandedConfig;
    alone.instance.expandedDevices = snapshot->expandedDevices;
    return formatYaml(configNode(alone));
}

} // namespace lxmgr::config

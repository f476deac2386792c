#include "config/backup.h"

#include "base/text.h"
#include "config/documents.h"

namespace lxmgr::config
{

namespace
{

constexpr std::uint64_t kVersion = 2; // 1 had no snapshots

Result<std::uint64_t> readNumber(const YamlNode &node, const std::string &file, const std::string &what,
                                 std::uint64_t most)
{
    const auto number = parseUnsigned(node.scalar, 0, most);
    if (node.kind != YamlNode::Kind::Scalar || !number)
        return yamlError(file, node, what + " must be a number");
    return *number;
}

/// config and devices as they were kept: a key this version does not know must not keep an instance from being
/// recovered.
Result<std::pair<StringMap, DeviceMap>> readKept(const YamlNode &node, const std::string &file)
{
    std::pair<StringMap, DeviceMap> kept;
    if (const YamlNode *config = node.find("config"))
        kept.first = TRY(yamlStringMap(*config, file, "config"));
    if (const YamlNode *devices = node.find("devices"))
        kept.second = TRY(yamlDeviceMap(*devices, file));
    return kept;
}

Result<std::string> readText(const YamlNode &node, const std::string &file, const std::string &key)
{
    const YamlNode *value = node.find(key);
    return value == nullptr ? std::string() : TRY(yamlText(*value, file, key));
}

Result<bool> readFlag(const YamlNode &node, const std::string &file, const std::string &key)
{
    const YamlNode *value = node.find(key);
    return value == nullptr ? false : TRY(yamlBool(*value, file, key));
}

Result<InstanceDocument> readKeptInstance(const YamlNode &node, const std::string &file)
{
    InstanceDocument instance;
    instance.architecture = TRY(readText(node, file, "architecture"));
    std::tie(instance.config, instance.devices) = TRY(readKept(node, file));
    instance.ephemeral = TRY(readFlag(node, file, "ephemeral"));
    instance.stateful = TRY(readFlag(node, file, "stateful"));
    instance.description = TRY(readText(node, file, "description"));
    if (const YamlNode *profiles = node.find("profiles"))
        instance.profiles = TRY(yamlStrings(*profiles, file, "profiles"));
    return instance;
}

Result<ProfileDocument> readKeptProfile(const YamlNode &node, const std::string &file)
{
    ProfileDocument profile;
    profile.name = TRY(readText(node, file, "name"));
    profile.description = TRY(readText(node, file, "description"));
    std::tie(profile.config, profile.devices) = TRY(readKept(node, file));
    return profile;
}

using B = BackupDocument;
template <std::string B::*Member, const auto &kName>
Status readMember(B &document, const YamlNode &value, const std::string &file)
{
    document.*Member = TRY(yamlText(value, file, kName));
    return {};
}
constexpr char kProject[] = "project", kName[] = "name", kPool[] = "pool", kDriver[] = "pool_driver",
               kImage[] = "image";

Status readIds(B &document, const YamlNode &value, const std::string &file)
{
    const YamlNode *base = value.find("base");
    const YamlNode *size = value.find("size");
    if (base == nullptr || size == nullptr)
        return yamlError(file, value, "idmap must have base and size");
    document.idBase = static_cast<std::uint32_t>(TRY(readNumber(*base, file, "base", UINT32_MAX)));
    document.idSize = static_cast<std::uint32_t>(TRY(readNumber(*size, file, "size", UINT32_MAX - document.idBase)));
    return {};
}

Status readProfiles(B &document, const YamlNode &value, const std::string &file)
{
    for (const YamlNode &item : value.items)
        document.profiles.push_back(TRY(readKeptProfile(item, file)));
    return {};
}

Result<std::int64_t> readTime(const YamlNode &node, const std::string &file, const std::string &key)
{
    const YamlNode *value = node.find(key);
    if (value == nullptr)
        return yamlError(file, node, key + " is missing");
    return static_cast<std::int64_t>(TRY(readNumber(*value, file, key, INT64_MAX)));
}

Result<BackupSnapshot> readSnapshot(const YamlNode &node, const std::string &file)
{
    const YamlNode *instance = node.find("instance");
    const YamlNode *expanded = node.find("expanded");
    if (instance == nullptr || expanded == nullptr)
        return yamlError(file, node, "a snapshot must have instance and expanded");
    BackupSnapshot snapshot;
    snapshot.name = TRY(readText(node, file, "name"));
    snapshot.createdAt = TRY(readTime(node, file, "created_at"));
    snapshot.expiresAt = TRY(readTime(node, file, "expires_at"));
    snapshot.schedule = TRY(readText(node, file, "schedule"));
    snapshot.instance = TRY(readKeptInstance(*instance, file));
    std::tie(snapshot.expandedConfig, snapshot.expandedDevices) = TRY(readKept(*expanded, file));
    return snapshot;
}

Status readSnapshots(B &document, const YamlNode &value, const std::string &file)
{
    for (const YamlNode &item : value.items)
        document.snapshots.push_back(TRY(readSnapshot(item, file)));
    return {};
}

constexpr DocumentKey<B> kKeys[] = {
    {"version", [](B &, const YamlNode &, const std::string &) -> Status { return {}; }},
    {"project", &readMember<&B::project, kProject>},
    {"name", &readMember<&B::name, kName>},
    {"created_at",
     [](B &d, const YamlNode &v, const std::string &f) -> Status {
         d.createdAt = static_cast<std::int64_t>(TRY(readNumber(v, f, "created_at", INT64_MAX)));
         return {};
     }},
    {"instance",
     [](B &d, const YamlNode &v, const std::string &f) -> Status {
         d.instance = TRY(readKeptInstance(v, f));
         return {};
     }},
    {"idmap", &readIds},
    {"pool", &readMember<&B::pool, kPool>},
    {"pool_driver", &readMember<&B::poolDriver, kDriver>},
    {"image", &readMember<&B::image, kImage>},
    {"expanded",
     [](B &d, const YamlNode &v, const std::string &f) -> Status {
         std::tie(d.expandedConfig, d.expandedDevices) = TRY(readKept(v, f));
         return {};
     }},
    {"profiles", &readProfiles},
    {"snapshots", &readSnapshots},
    {"complete", [](B &, const YamlNode &, const std::string &) -> Status { return {}; }}, // looked at before all else
};

/// They become paths and rows.
Status checkNames(const B &document, const std::string &file)
{
    TRY_IN(file, checkInstanceName(document.name));
    TRY_IN(file, checkObjectName("project", document.project));
    TRY_IN(file, checkObjectName("pool", document.pool));
    for (const std::string &profile : document.instance.profiles)
        TRY_IN(file, checkObjectName("profile", profile));
    for (const ProfileDocument &profile : document.profiles)
        TRY_IN(file, checkObjectName("profile", profile.name));
    for (const BackupSnapshot &snapshot : document.snapshots) {
        TRY_IN(file, checkObjectName("snapshot", snapshot.name));
        for (const std::string &profile : snapshot.instance.profiles)
            TRY_IN(file, checkObjectName("profile", profile));
    }
    const bool hex = document.image.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!document.image.empty() && (document.image.size() != 64 || !hex))
        return Error(Code::Invalid, file + ": image " + quoted(document.image) + " is not a fingerprint");
    return {};
}

Result<B> readChecked(std::string_view text, const std::string &file)
{
    const YamlNode root = TRY(parseYaml(text, file));
    TRY(checkDocument(root, file, "backup.yaml", kVersion));
    B document;
    TRY(readDocument<B>(document, root, file, kKeys, {}));
    TRY(checkNames(document, file));
    return document;
}

YamlNode keptNode(const StringMap &config, const DeviceMap &devices)
{
    YamlNode node = YamlNode::map();
    node.add("config", YamlNode::map(config)).add("devices", YamlNode::map(devices));
    return node;
}

YamlNode keptProfileNode(const ProfileDocument &profile)
{
    YamlNode node = YamlNode::map();
    node.add("name", YamlNode::text(profile.name)).add("description", YamlNode::text(profile.description));
    node.add("config", YamlNode::map(profile.config)).add("devices", YamlNode::map(profile.devices));
    return node;
}

YamlNode snapshotNode(const BackupSnapshot &snapshot)
{
    YamlNode node = YamlNode::map();
    node.add("name", YamlNode::text(snapshot.name))
        .add("created_at", YamlNode::word(std::to_string(snapshot.createdAt)))
        .add("expires_at", YamlNode::word(std::to_string(snapshot.expiresAt)))
        .add("schedule", YamlNode::text(snapshot.schedule))
        .add("instance", instanceNode(snapshot.instance))
        .add("expanded", keptNode(snapshot.expandedConfig, snapshot.expandedDevices));
    return node;
}

} // namespace

std::string writeBackup(const BackupDocument &document)
{
    YamlNode ids = YamlNode::map();
    ids.add("base", YamlNode::word(std::to_string(document.idBase)))
        .add("size", YamlNode::word(std::to_string(document.idSize)));
    YamlNode profiles = YamlNode::sequence();
    for (const ProfileDocument &profile : document.profiles)
        profiles.items.push_back(keptProfileNode(profile));
    YamlNode snapshots = YamlNode::sequence();
    for (const BackupSnapshot &snapshot : document.snapshots)
        snapshots.items.push_back(snapshotNode(snapshot));
    YamlNode root = YamlNode::map();
    root.add("version", YamlNode::word(std::to_string(kVersion)))
        .add("project", YamlNode::text(document.project))
        .add("name", YamlNode::text(document.name))
        .add("created_at", YamlNode::word(std::to_string(document.createdAt)))
        .add("instance", instanceNode(document.instance))
        .add("idmap", std::move(ids))
        .add("pool", YamlNode::text(document.pool))
        .add("pool_driver", YamlNode::text(document.poolDriver))
        .add("image", YamlNode::text(document.image))
        .add("expanded", keptNode(document.expandedConfig, document.expandedDevices))
        .add("profiles", std::move(profiles))
        .add("snapshots", std::move(snapshots))
        .add("complete", YamlNode::word("true"));
    return "# Written by lxmgr after each change, to rebuild a lost database from. Editing it changes nothing.\n" +
           formatYaml(root);
}

Result<BackupDocument> readBackup(std::string_view text, const std::string &file) { return asCorrupt(readChecked(text, file)); }

} // namespace lxmgr::config

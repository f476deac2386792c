#include "config/documents.h"

#include "base/text.h"
#include "config/devices.h"
#include "config/instance_config.h"

namespace lxmgr::config
{

namespace
{

Status checkConfig(const YamlNode &node, const std::string &file, Holder holder)
{
    for (const auto &[key, value] : node.entries) {
        if (const Status checked = checkInstanceKey(key, value.scalar, holder); !checked) {
            Error error = yamlKeyError(file, value, checked.error().message);
            return std::move(error).as(checked.error().code);
        }
    }
    return {};
}

Status checkDevices(const YamlNode &node, const DeviceMap &devices, const std::string &file)
{
    for (const auto &[name, value] : node.entries) {
        std::string badKey;
        const auto device = parseDevice(name, devices.at(name), &badKey);
        if (device)
            continue;
        const YamlNode *at = value.find(badKey);
        return yamlKeyError(file, at != nullptr ? *at : value, device.error().message).as(device.error().code);
    }
    return {};
}

template <class Document, Holder kHolder>
Status readConfig(Document &document, const YamlNode &value, const std::string &file)
{
    document.config = TRY(yamlStringMap(value, file, "config"));
    return checkConfig(value, file, kHolder);
}
template <class Document> Status readDevices(Document &document, const YamlNode &value, const std::string &file)
{
    document.devices = TRY(yamlDeviceMap(value, file));
    return checkDevices(value, document.devices, file);
}
template <class Document> Status readDescription(Document &document, const YamlNode &value, const std::string &file)
{
    document.description = TRY(yamlText(value, file, "description"));
    return {};
}

using I = InstanceDocument;
constexpr DocumentKey<I> kInstanceKeys[] = {
    {"architecture",
     [](I &d, const YamlNode &v, const std::string &f) -> Status {
         d.architecture = TRY(yamlText(v, f, "architecture"));
         return {};
     }},
    {"config", &readConfig<I, Holder::Instance>},
    {"devices", &readDevices<I>},
    {"ephemeral",
     [](I &d, const YamlNode &v, const std::string &f) -> Status {
         d.ephemeral = TRY(yamlBool(v, f, "ephemeral"));
         return {};
     }},
    {"profiles",
     [](I &d, const YamlNode &v, const std::string &f) -> Status {
         d.profiles = TRY(yamlStrings(v, f, "profiles"));
         return {};
     }},
    {"stateful",
     [](I &d, const YamlNode &v, const std::string &f) -> Status {
         d.stateful = TRY(yamlBool(v, f, "stateful"));
         return {};
     }},
    {"description", &readDescription<I>},
    {"name",
     [](I &d, const YamlNode &v, const std::string &f) -> Status {
         d.name = TRY(yamlText(v, f, "name"));
         return {};
     }},
};
// What the API adds when it shows an instance; nobody can change these by editing.
constexpr std::string_view kInstanceReadOnly[] = {
    "backups", "created_at", "expanded_config", "expanded_devices", "last_used_at", "location", "project",
    "restore", "snapshots",  "state",           "status",           "status_code",  "type"};

using P = ProfileDocument;
constexpr DocumentKey<P> kProfileKeys[] = {
    {"config", &readConfig<P, Holder::Profile>},
    {"description", &readDescription<P>},
    {"devices", &readDevices<P>},
    {"name",
     [](P &d, const YamlNode &v, const std::string &f) -> Status {
         d.name = TRY(yamlText(v, f, "name"));
         return {};
     }},
};
constexpr std::string_view kProfileReadOnly[] = {"project", "used_by"};

} // namespace

Result<std::int64_t> yamlMillis(const YamlNode &node, const std::string &file)
{
    const auto number = parseSigned(node.scalar, 0);
    if (node.kind != YamlNode::Kind::Scalar || !number)
        return yamlError(file, node, "it is no time in milliseconds");
    return *number;
}

Error unknownDocumentKey(const std::string &file, const std::string &key, const YamlNode &value,
                         std::span<const std::string_view> known)
{
    const auto near = nearest(key, known);
    return yamlKeyError(file, value, "unknown key " + quoted(key) + (near ? " (did you mean '" + *near + "'?)" : ""));
}

Status checkDocument(const YamlNode &root, const std::string &file, std::string_view name, std::uint64_t newest)
{
    const YamlNode *version = root.find("version");
    if (root.kind != YamlNode::Kind::Map || version == nullptr)
        return yamlError(file, root, "it has no version: it is not a " + std::string(name));
    const auto number = parseUnsigned(version->scalar, 0, UINT32_MAX);
    if (version->kind != YamlNode::Kind::Scalar || !number)
        return yamlError(file, *version, "version must be a number");
    if (*number > newest)
        return yamlError(file, *version,
                         "it has version " + std::to_string(*number) + ", this lxmgr reads up to " + std::to_string(newest))
            .as(Code::Unsupported);
    const YamlNode *complete = root.find("complete");
    if (complete == nullptr || complete->scalar != "true")
        return Error(Code::Invalid, file + ": its end is missing");
    return {};
}

YamlNode stringsNode(const std::vector<std::string> &texts)
{
    YamlNode node = YamlNode::sequence();
    for (const std::string &text : texts)
        node.items.push_back(YamlNode::text(text));
    return node;
}

YamlNode instanceNode(const InstanceDocument &document)
{
    YamlNode node = YamlNode::map();
    node.add("architecture", YamlNode::text(document.architecture))
        .add("config", YamlNode::map(document.config))
        .add("devices", YamlNode::map(document.devices))
        .add("ephemeral", YamlNode::word(document.ephemeral ? "true" : "false"))
        .add("profiles", stringsNode(document.profiles))
        .add("stateful", YamlNode::word(document.stateful ? "true" : "false"))
        .add("description", YamlNode::text(document.description));
    return node;
}

YamlNode profileNode(const ProfileDocument &document)
{
    YamlNode node = YamlNode::map();
    node.add("config", YamlNode::map(document.config))
        .add("description", YamlNode::text(document.description))
        .add("devices", YamlNode::map(document.devices))
        .add("name", YamlNode::text(document.name))
        .add("used_by", stringsNode(document.usedBy));
    return node;
}

Result<InstanceDocument> readInstance(std::string_view text, const std::string &file)
{
    const YamlNode root = TRY(parseYaml(text, file));
    InstanceDocument document;
    TRY(readDocument<I>(document, root, file, kInstanceKeys, kInstanceReadOnly));
    return document;
}

std::string writeInstance(const InstanceDocument &document) { return formatYaml(instanceNode(document)); }

Result<ProfileDocument> readProfile(std::string_view text, const std::string &file)
{
    const YamlNode root = TRY(parseYaml(text, file));
    ProfileDocument document;
    TRY(readDocument<P>(document, root, file, kProfileKeys, kProfileReadOnly));
    return document;
}

std::string writeProfile(const ProfileDocument &document) { return formatYaml(profileNode(document)); }

} // namespace lxmgr::config

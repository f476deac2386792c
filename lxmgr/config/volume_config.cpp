#include "config/volume_config.h"

#include "base/text.h"
#include "config/documents.h"
#include "config/findings.h"
#include "config/key_parse.h"
#include "config/volume_keys.h"

namespace lxmgr::config
{

namespace
{

constexpr std::uint64_t kVersion = 2; // 2: uuid, schedule

Status parseKey(VolumeConfig &config, const std::string &name, const std::string &value)
{
    return parseKeyOf<VolumeConfig>(config, kVolumeKeys, "storage volume key", kUnsupportedVolumeKeys, name, value);
}

using S = VolumeSnapshotDocument;
constexpr DocumentKey<S> kSnapshotKeys[] = {
    {"name",        &readText<&S::name, S>       },
    {"description", &readText<&S::description, S>},
    {"created_at",  &readMillis<&S::createdAt, S>},
    {"expires_at",  &readMillis<&S::expiresAt, S>},
    {"config",      &readTexts<&S::config, S>    },
    {"schedule",    &readText<&S::schedule, S>   },
};

using D = VolumeDocument;
Status readSnapshots(D &document, const YamlNode &value, const std::string &file)
{
    for (const YamlNode &item : value.items) {
        S snapshot;
        TRY(readDocument<S>(snapshot, item, file, kSnapshotKeys, {}));
        TRY_IN(file, checkObjectName("snapshot", snapshot.name));
        document.snapshots.push_back(std::move(snapshot));
    }
    return {};
}

constexpr DocumentKey<D> kKeys[] = {
    {"project",     &readText<&D::project, D>    },
    {"name",        &readText<&D::name, D>       },
    {"description", &readText<&D::description, D>},
    {"created_at",  &readMillis<&D::createdAt, D>},
    {"config",      &readTexts<&D::config, D>    },
    {"snapshots",   &readSnapshots               },
    {"uuid",        &readText<&D::uuid, D>       },
};

Result<D> readChecked(std::string_view text, const std::string &file)
{
    D document = TRY(readWhole<D>(text, file, kVolumeFile, kVersion, kKeys));
    TRY_IN(file, checkObjectName("project", document.project));
    TRY_IN(file, checkObjectName("storage volume", document.name));
    return document;
}

template <class Document> YamlNode commonNode(YamlNode node, const Document &document)
{
    node.add("name", YamlNode::text(document.name))
        .add("description", YamlNode::text(document.description))
        .add("created_at", YamlNode::word(std::to_string(document.createdAt)))
        .add("config", YamlNode::map(document.config));
    return node;
}

} // namespace

Result<VolumeConfig> parseVolumeConfig(const StringMap &config)
{
    Findings findings;
    VolumeConfig typed = TRY(parseKeys<VolumeConfig>(config, findings, &parseKey));
    if (!typed.shifted.value_or(true))
        findings.add(Error(Code::Unsupported,
                           "security.shifted: 'false' is not offered: every guest sees the owners in "
                           "a volume as its own numbers"));
    for (const Schedule &schedule : typed.snapshotsSchedule.value_or(ScheduleList{}).schedules)
        if (schedule.when == Schedule::When::Startup)
            findings.add(Error(Code::Invalid, "snapshots.schedule: '@startup' is for instances: a volume does not start (@daily, @hourly, "
                                              "or a line of crontab(5))"));
    if (typed.shifted && typed.unmapped.value_or(false))
        findings.add(Error(Code::Invalid, "security.shifted does not go together with security.unmapped"));
    TRY(findings.status());
    return typed;
}

std::string writeVolumeDocument(const VolumeDocument &document)
{
    YamlNode snapshots = YamlNode::sequence();
    for (const VolumeSnapshotDocument &snapshot : document.snapshots) {
        YamlNode node = commonNode(YamlNode::map(), snapshot);
        node.add("expires_at", YamlNode::word(std::to_string(snapshot.expiresAt)));
        if (!snapshot.schedule.empty())
            node.add("schedule", YamlNode::text(snapshot.schedule));
        snapshots.items.push_back(std::move(node));
    }
    YamlNode root = YamlNode::map();
    root.add("version", YamlNode::word(std::to_string(kVersion))).add("project", YamlNode::text(document.project));
    root = commonNode(std::move(root), document);
    root.add("uuid", YamlNode::text(document.uuid));
    root.add("snapshots", std::move(snapshots)).add("complete", YamlNode::word("true"));
    return "# Written by lxmgr after each change, to rebuild a lost database from. Editing it changes nothing.\n" +
           formatYaml(root);
}

Result<VolumeDocument> readVolumeDocument(std::string_view text, const std::string &file)
{
    return asCorrupt(readChecked(text, file));
}

} // namespace lxmgr::config

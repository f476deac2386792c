#include "config/image_document.h"

#include "base/text.h"
#include "config/documents.h"

namespace lxmgr::config
{

namespace
{

constexpr std::uint64_t kVersion = 1;

constexpr DocumentKey<ImageAliasDocument> kAliasKeys[] = {
    {"name",        &readText<&ImageAliasDocument::name, ImageAliasDocument>       },
    {"description", &readText<&ImageAliasDocument::description, ImageAliasDocument>},
};

Status readAliases(ImageRecord &record, const YamlNode &value, const std::string &file)
{
    for (const YamlNode &item : value.items) {
        ImageAliasDocument alias;
        TRY(readDocument<ImageAliasDocument>(alias, item, file, kAliasKeys, {}));
        record.aliases.push_back(std::move(alias));
    }
    return {};
}

constexpr DocumentKey<ImageRecord> kRecordKeys[] = {
    {"project",     &readText<&ImageRecord::project, ImageRecord> },
    {"filename",    &readText<&ImageRecord::filename, ImageRecord>},
    {"source",      &readText<&ImageRecord::source, ImageRecord>  },
    {"public",
     [](ImageRecord &record, const YamlNode &value, const std::string &file) -> Status {
         record.isPublic = TRY(yamlText(value, file, "public")) == "true";
         return {};
     }},
    {"uploaded_at", &readMillis<&ImageRecord::uploadedAt, ImageRecord>},
    {"expires_at",  &readMillis<&ImageRecord::expiresAt, ImageRecord>},
    {"properties", &readTexts<&ImageRecord::properties, ImageRecord>},
    {"aliases",     &readAliases                                  },
    {"cached",
     [](ImageRecord &record, const YamlNode &value, const std::string &file) -> Status {
         record.cached = TRY(yamlText(value, file, "cached")) == "true";
         return {};
     }},
    {"auto_update",
     [](ImageRecord &record, const YamlNode &value, const std::string &file) -> Status {
         record.autoUpdate = TRY(yamlText(value, file, "auto_update")) == "true";
         return {};
     }},
    {"profiles",
     [](ImageRecord &record, const YamlNode &value, const std::string &file) -> Status {
         for (const auto &[project, names] : value.entries)
             record.profiles[project] = TRY(yamlStrings(names, file, "profiles"));
         return {};
     }},
    {"origin", &readTexts<&ImageRecord::origin, ImageRecord>},
};

constexpr DocumentKey<ImageDocument> kKeys[] = {
    {"fingerprint", &readText<&ImageDocument::fingerprint, ImageDocument>},
    {"projects",
     [](ImageDocument &document, const YamlNode &value, const std::string &file) -> Status {
         for (const YamlNode &item : value.items) {
             ImageRecord record;
             TRY(readDocument<ImageRecord>(record, item, file, kRecordKeys, {}));
             TRY_IN(file, checkObjectName("project", record.project));
             document.projects.push_back(std::move(record));
         }
         return {};
     }},
};
} // namespace

std::string writeImageDocument(const ImageDocument &document)
{
    YamlNode projects = YamlNode::sequence();
    for (const ImageRecord &record : document.projects) {
        YamlNode aliases = YamlNode::sequence();
        for (const ImageAliasDocument &alias : record.aliases) {
            YamlNode node = YamlNode::map();
            node.add("name", YamlNode::text(alias.name)).add("description", YamlNode::text(alias.description));
            aliases.items.push_back(std::move(node));
        }
        YamlNode node = YamlNode::map();
        node.add("project", YamlNode::text(record.project))
            .add("filename", YamlNode::text(record.filename))
            .add("source", YamlNode::text(record.source))
            .add("public", YamlNode::word(record.isPublic ? "true" : "false"))
            .add("uploaded_at", YamlNode::word(std::to_string(record.uploadedAt)))
            .add("expires_at", YamlNode::word(std::to_string(record.expiresAt)))
            .add("properties", YamlNode::map(record.properties))
            .add("aliases", std::move(aliases));
        if (record.cached)
            node.add("cached", YamlNode::word("true"));
        if (record.autoUpdate)
            node.add("auto_update", YamlNode::word("true"));
        if (!record.profiles.empty()) {
            YamlNode profiles = YamlNode::map();
            for (const auto &[project, names] : record.profiles)
                profiles.add(project, stringsNode(names));
            node.add("profiles", std::move(profiles));
        }
        if (!record.origin.empty())
            node.add("origin", YamlNode::map(record.origin));
        projects.items.push_back(std::move(node));
    }
    YamlNode root = YamlNode::map();
    root.add("version", YamlNode::word(std::to_string(kVersion)))
        .add("fingerprint", YamlNode::text(document.fingerprint))
        .add("projects", std::move(projects))
        .add("complete", YamlNode::word("true"));
    return "# Written by lxmgr for a database that is lost. Editing it changes nothing.\n" + formatYaml(root);
}

Result<ImageDocument> readImageDocument(std::string_view text, const std::string &file)
{
    return asCorrupt(
        readWhole<ImageDocument>(text, file, "the description of an image", kVersion, kKeys));
}

} // namespace lxmgr::config

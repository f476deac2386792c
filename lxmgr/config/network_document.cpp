#include "config/network_document.h"

#include "config/documents.h"

namespace lxmgr::config
{

namespace
{

constexpr std::uint64_t kVersion = 1;

using D = NetworkDocument;
constexpr DocumentKey<D> kKeys[] = {
    {"name",
     [](D &document, const YamlNode &value, const std::string &file) -> Status {
         document.name = TRY(yamlText(value, file, "name"));
         return {};
     }},
    {"description",
     [](D &document, const YamlNode &value, const std::string &file) -> Status {
         document.description = TRY(yamlText(value, file, "description"));
         return {};
     }},
    {"config",
     [](D &document, const YamlNode &value, const std::string &file) -> Status {
         document.config = TRY(yamlStringMap(value, file, "config"));
         return {};
     }},
};
constexpr std::string_view kPassedOver[] = {"version", "complete"};

Result<D> readChecked(std::string_view text, const std::string &file)
{
    const YamlNode root = TRY(parseYaml(text, file));
    TRY(checkDocument(root, file, kNetworkFile, kVersion));
    D document;
    TRY(readDocument<D>(document, root, file, kKeys, kPassedOver));
    return document;
}

} // namespace

std::string writeNetworkDocument(const NetworkDocument &document)
{
    YamlNode root = YamlNode::map();
    root.add("version", YamlNode::word(std::to_string(kVersion)))
        .add("name", YamlNode::text(document.name))
        .add("description", YamlNode::text(document.description))
        .add("config", YamlNode::map(document.config))
        .add("complete", YamlNode::word("true"));
    return "# Written by lxmgr for a database that is lost. Editing it changes nothing.\n" + formatYaml(root);
}

Result<NetworkDocument> readNetworkDocument(std::string_view text, const std::string &file)
{
    return asCorrupt(readChecked(text, file));
}

} // namespace lxmgr::config

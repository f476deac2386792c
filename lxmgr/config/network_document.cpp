#include "config/network_document.h"

#include "config/documents.h"

namespace lxmgr::config
{

namespace
{

constexpr std::uint64_t kVersion = 1;

using D = NetworkDocument;
constexpr DocumentKey<D> kKeys[] = {
    {"name",        &readText<&D::name, D>       },
    {"description", &readText<&D::description, D>},
    {"config",      &readTexts<&D::config, D>    },
};

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
    return asCorrupt(readWhole<D>(text, file, kNetworkFile, kVersion, kKeys));
}

} // namespace lxmgr::config

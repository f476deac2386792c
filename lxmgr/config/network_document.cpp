#include "config/network_document.h"

#include "config/documents.h"

namespace lxmgr::config
{

namespace
{

constexpr std::uint64_t kVersion = 1;

YamlNode rowsNode(const std::vector<StringMap> &rows)
{
    YamlNode node = YamlNode::sequence();
    for (const StringMap &row : rows)
        node.items.push_back(YamlNode::map(row));
    return node;
}

Result<std::vector<StringMap>> readRows(const YamlNode &node, const std::string &file)
{
    std::vector<StringMap> rows;
    if (node.kind != YamlNode::Kind::Sequence && node.kind != YamlNode::Kind::Null)
        return yamlError(file, node, "this is not a list");
    for (const YamlNode &item : node.items)
        rows.push_back(TRY(yamlStringMap(item, file, "the item")));
    return rows;
}

template <auto Member, class Document> Status readRowsOf(Document &document, const YamlNode &value, const std::string &file)
{
    document.*Member = TRY(readRows(value, file));
    return {};
}

using F = ForwardDocument;
constexpr DocumentKey<F> kForwardKeys[] = {
    {"listen_address", &readText<&F::listenAddress, F>},
    {"description",    &readText<&F::description, F>  },
    {"config",         &readTexts<&F::config, F>      },
    {"ports",          &readRowsOf<&F::ports, F>      },
};

Status readForwards(NetworkDocument &document, const YamlNode &value, const std::string &file)
{
    if (value.kind != YamlNode::Kind::Sequence && value.kind != YamlNode::Kind::Null)
        return yamlError(file, value, "this is not a list");
    for (const YamlNode &item : value.items)
        TRY(readDocument<F>(document.forwards.emplace_back(), item, file, kForwardKeys, {}));
    return {};
}

using A = AclDocument;
constexpr DocumentKey<A> kAclKeys[] = {
    {"name",        &readText<&A::name, A>       },
    {"description", &readText<&A::description, A>},
    {"config",      &readTexts<&A::config, A>    },
    {"ingress",     &readRowsOf<&A::ingress, A>  },
    {"egress",      &readRowsOf<&A::egress, A>   },
};

constexpr const char *kHead = "# Written by lxmgr for a database that is lost. Editing it changes nothing.\n";

using D = NetworkDocument;
constexpr DocumentKey<D> kKeys[] = {
    {"name",        &readText<&D::name, D>       },
    {"description", &readText<&D::description, D>},
    {"config",      &readTexts<&D::config, D>    },
    {"forwards",    &readForwards                },
};

} // namespace

std::string writeNetworkDocument(const NetworkDocument &document)
{
    YamlNode root = YamlNode::map();
    root.add("version", YamlNode::word(std::to_string(kVersion)))
        .add("name", YamlNode::text(document.name))
        .add("description", YamlNode::text(document.description))
        .add("config", YamlNode::map(document.config));
    YamlNode forwards = YamlNode::sequence();
    for (const ForwardDocument &forward : document.forwards) {
        YamlNode node = YamlNode::map();
        node.add("listen_address", YamlNode::text(forward.listenAddress))
            .add("description", YamlNode::text(forward.description))
            .add("config", YamlNode::map(forward.config))
            .add("ports", rowsNode(forward.ports));
        forwards.items.push_back(std::move(node));
    }
    if (!document.forwards.empty())
        root.add("forwards", std::move(forwards));
    root.add("complete", YamlNode::word("true"));
    return kHead + formatYaml(root);
}

Result<NetworkDocument> readNetworkDocument(std::string_view text, const std::string &file)
{
    return asCorrupt(readWhole<D>(text, file, kNetworkFile, kVersion, kKeys));
}

std::string writeAclDocument(const AclDocument &document)
{
    YamlNode root = YamlNode::map();
    root.add("version", YamlNode::word(std::to_string(kVersion)))
        .add("name", YamlNode::text(document.name))
        .add("description", YamlNode::text(document.description))
        .add("config", YamlNode::map(document.config))
        .add("ingress", rowsNode(document.ingress))
        .add("egress", rowsNode(document.egress))
        .add("complete", YamlNode::word("true"));
    return kHead + formatYaml(root);
}

Result<AclDocument> readAclDocument(std::string_view text, const std::string &file)
{
    return asCorrupt(readWhole<A>(text, file, "a document of a network ACL", kVersion, kAclKeys));
}

} // namespace lxmgr::config

#include "config/pool_config.h"

#include "base/text.h"
#include "config/documents.h"
#include "config/findings.h"
#include "config/key_names.h"
#include "config/key_parse.h"
#include "config/pool_keys.h"
#include "config/volume_config.h"

namespace lxmgr::config
{

namespace
{

constexpr std::uint64_t kVersion = 1;

Status parseKey(PoolConfig &config, const std::string &driver, const std::string &name, const std::string &value)
{
    auto row = std::ranges::find(kPoolKeys, name, [](const PoolKey &each) { return each.key.name; });
    if (row == std::end(kPoolKeys)) // volume.block.filesystem is a key of the pool, not a default of "volume.*"
        row = std::ranges::find_if(kPoolKeys, [&](const PoolKey &each) { return matchesKey(each.key.name, name); });
    if (row == std::end(kPoolKeys)) {
        std::vector<std::string_view> known;
        for (const PoolKey &each : kPoolKeys)
            known.push_back(each.key.name);
        return unknownKey("storage pool key", name, known, kUnsupportedPoolKeys);
    }
    const std::vector<std::string> drivers = words(row->drivers);
    if (!drivers.empty() && std::ranges::find(drivers, driver) == drivers.end())
        return Error(Code::Invalid, "storage pool key " + quoted(name) + " is not for the driver " + quoted(driver) +
                                        " (" + join(drivers, ", ") + ")");
    const std::string_view suffix =
        row->key.isPrefix() ? std::string_view(name).substr(row->key.prefix().size()) : std::string_view();
    if (!value.empty())
        TRY_IN(name, row->key.field.parse(config, suffix, value));
    return {};
}

Status checkVolumeDefault(const std::string &name, const std::string &value)
{
    if (matchesKey("user.*", name))
        return Error(Code::Invalid, "storage pool key " + quoted("volume." + name) + ": texts of a volume have no default");
    TRY_IN("volume", parseVolumeConfig({{name, value}}));
    return {};
}

/// What a key alone cannot tell.
Status checkTogether(PoolConfig &config, const std::string &driver)
{
    const bool isName = config.source && !config.source->starts_with('/') && (driver == "lvm" || driver == "zfs");
    if (config.source && !isName)
        config.source = TRY_IN("source", Codec<AbsolutePath>::parse(*config.source)).text;
    if (config.useThinPool && !*config.useThinPool)
        return Error(Code::Unsupported, "lvm.use_thinpool: volumes that are not thin are not offered (their snapshots and "
                                        "copies would be whole ones; the driver dir does that)");
    if (isName && driver == "lvm" && config.volumeGroup && config.volumeGroup != config.source)
        return Error(Code::Invalid, "lvm.vg_name is for a volume group that is made; source names one already");
    if (config.treeFileSystem && *config.treeFileSystem != "ext4" && *config.treeFileSystem != "xfs")
        return Error(Code::Unsupported,
                     "volume.block.filesystem: " + quoted(*config.treeFileSystem) + " is not offered (ext4, xfs)");
    if (config.cloneCopy && !*config.cloneCopy)
        return Error(Code::Unsupported, "zfs.clone_copy: whole copies are not offered (a clone depends on nothing that is "
                                        "deleted later)");
    if (isName && driver == "zfs" && config.zpool && config.zpool != config.source)
        return Error(Code::Invalid, "zfs.pool_name is for a zpool that is made; source names one already");
    return {};
}

using D = PoolDocument;
constexpr DocumentKey<D> kKeys[] = {
    {"name",        &readText<&D::name, D>       },
    {"driver",      &readText<&D::driver, D>     },
    {"description", &readText<&D::description, D>},
    {"config",      &readTexts<&D::config, D>    },
};

Result<D> readChecked(std::string_view text, const std::string &file)
{
    D document = TRY(readWhole<D>(text, file, kPoolFile, kVersion, kKeys));
    TRY_IN(file, checkObjectName("storage pool", document.name));
    return document;
}

} // namespace

Result<PoolConfig> parsePoolConfig(const std::string &driver, const StringMap &config)
{
    Findings findings;
    const auto parse = [&](PoolConfig &into, const std::string &name, const std::string &value) { return parseKey(into, driver, name, value); };
    PoolConfig typed = TRY(parseKeys<PoolConfig>(config, findings, parse));
    for (const auto &[name, value] : typed.volume)
        findings.add(checkVolumeDefault(name, value));
    findings.add(checkTogether(typed, driver));
    TRY(findings.status());
    return typed;
}

std::string writePoolDocument(const PoolDocument &document)
{
    YamlNode root = YamlNode::map();
    root.add("version", YamlNode::word(std::to_string(kVersion)))
        .add("name", YamlNode::text(document.name))
        .add("driver", YamlNode::text(document.driver))
        .add("description", YamlNode::text(document.description))
        .add("config", YamlNode::map(document.config))
        .add("complete", YamlNode::word("true"));
    return "# Written by lxmgr: this folder is a storage pool. Editing it changes nothing.\n" + formatYaml(root);
}

Result<PoolDocument> readPoolDocument(std::string_view text, const std::string &file)
{
    return asCorrupt(readChecked(text, file));
}

} // namespace lxmgr::config

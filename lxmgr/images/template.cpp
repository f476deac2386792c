#include "images/template.h"

#include "base/text.h"
#include "images/template_yaml.h"

#include <algorithm>
#include <array>
#include <openssl/evp.h>

namespace lxmgr::images
{

namespace
{

using yaml::Reader;
using yaml::Row;

// --- architectures

struct ArchitectureName {
    std::string_view map, kernel, name;
};

// The presets of distrobuilder that we have a use for: what the distribution calls each machine.
constexpr ArchitectureName kArchitectureNames[] = {
    {"debian", "x86_64", "amd64"},     {"debian", "aarch64", "arm64"},      {"debian", "i686", "i386"},
    {"debian", "armv7l", "armhf"},     {"debian", "ppc64le", "ppc64el"},    {"debian", "s390x", "s390x"},
    {"debian", "riscv64", "riscv64"},  {"alpinelinux", "x86_64", "x86_64"}, {"alpinelinux", "aarch64", "aarch64"},
    {"alpinelinux", "i686", "x86"},    {"alpinelinux", "armv7l", "armv7"},  {"alpinelinux", "ppc64le", "ppc64le"},
    {"alpinelinux", "s390x", "s390x"}, {"archlinux", "x86_64", "x86_64"},   {"archlinux", "aarch64", "aarch64"},
    {"centos", "x86_64", "x86_64"},    {"centos", "aarch64", "aarch64"},    {"centos", "i686", "i386"},
};

Status readArchitectureMap(const Reader &in, const YAML::Node &node, Template &out)
{
    const std::string map = TRY(in.text(node));
    bool known = false;
    for (const ArchitectureName &row : kArchitectureNames)
        if (row.map == map) {
            out.architectureMap.emplace(row.kernel, row.name); // a name given under mappings.architectures wins
            known = true;
        }
    if (!known)
        return in.refused(node, "architecture_map " + quoted(map));
    return {};
}

Status readArchitectures(const Reader &in, const YAML::Node &node, Template &out)
{
    for (auto &[key, value] : TRY(in.textMap(node)))
        out.architectureMap[key] = value;
    return {};
}

// --- filters

template <class T, std::vector<std::string> Filter::*Member>
Status readFilter(const Reader &in, const YAML::Node &node, T &out)
{
    out.filter.*Member = TRY(in.textList(node));
    return {};
}

template <class T> constexpr std::array<Row<T>, 4> filterRows()
{
    return {{
        {"architectures", &readFilter<T, &Filter::architectures>},
        {"releases", &readFilter<T, &Filter::releases>},
        {"types", &readFilter<T, &Filter::types>},
        {"variants", &readFilter<T, &Filter::variants>},
    }};
}

/// True if no build of ours can ever use the entry: it is for virtual machines only.
bool onlyForMachines(const Filter &filter)
{
    return !filter.types.empty() && std::ranges::find(filter.types, "container") == filter.types.end();
}

// --- image

template <auto Member, class T> Status readText(const Reader &in, const YAML::Node &node, T &out)
{
    out.*Member = TRY(in.text(node));
    return {};
}
template <auto Member, class T> Status readList(const Reader &in, const YAML::Node &node, T &out)
{
    out.*Member = TRY(in.textList(node));
    return {};
}
template <auto Member, class T> Status readBool(const Reader &in, const YAML::Node &node, T &out)
{
    out.*Member = TRY(in.boolean(node));
    return {};
}
/// For keys that steer something which is no part of our result.
template <class T> Status passOver(const Reader &, const YAML::Node &, T &) { return {}; }

constexpr Row<Template> kImageKeys[] = {
    {"architecture", &readText<&Template::architecture, Template>},
    {"description", &readText<&Template::description, Template>},
    {"distribution", &readText<&Template::distribution, Template>},
    {"expiry", &readText<&Template::expiry, Template>},
    {"name", &passOver<Template>}, // names the output file of the other tool
    {"release", &readText<&Template::release, Template>},
    {"serial", &readText<&Template::serial, Template>},
    {"variant", &readText<&Template::variant, Template>},
};

Status readImage(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.map<Template>("image", node, kImageKeys, out);
}

// --- source

constexpr std::string_view kDownloaders[] = {"apk", "busybox", "debootstrap"};

Status readDownloader(const Reader &in, const YAML::Node &node, TemplateSource &out)
{
    out.downloader = TRY(in.text(node));
    if (std::ranges::find(kDownloaders, out.downloader) == std::end(kDownloaders))
        return in.refused(node, "downloader " + quoted(out.downloader) + "; there are apk, busybox, debootstrap");
    return {};
}

Status readSkipVerification(const Reader &in, const YAML::Node &node, TemplateSource &)
{
    if (TRY(in.boolean(node)))
        return in.refused(node, "skip_verification: signatures are always checked");
    return {};
}

Status readSourceVariant(const Reader &in, const YAML::Node &node, TemplateSource &out)
{
    out.variant = TRY(in.text(node));
    if (out.variant == "fakechroot")
        return in.refused(node, "source variant 'fakechroot'");
    return {};
}

constexpr Row<TemplateSource> kSourceKeys[] = {
    {"apt_sources", &readText<&TemplateSource::aptSources, TemplateSource>},
    {"components", &readList<&TemplateSource::components, TemplateSource>},
    {"downloader", &readDownloader},
    {"early_packages", &readList<&TemplateSource::earlyPackages, TemplateSource>},
    {"keys", &readList<&TemplateSource::keys, TemplateSource>},
    {"keyserver", &passOver<TemplateSource>}, // keys that are not here are an error of the build
    {"same_as", &passOver<TemplateSource>},   // which of debootstrap's scripts; mmdebstrap has none
    {"skip_verification", &readSkipVerification},
    {"suite", &readText<&TemplateSource::suite, TemplateSource>},
    {"url", &readText<&TemplateSource::url, TemplateSource>},
    {"variant", &readSourceVariant},
};

Status readSource(const Reader &in, const YAML::Node &node, Template &out)
{
    TRY(in.map<TemplateSource>("source", node, kSourceKeys, out.source));
    if (out.source.downloader.empty())
        return in.wrong(node, "source has no downloader");
    return {};
}

// --- targets: how other programs wrap the result

constexpr Row<Template> kTargetKeys[] = {
    {"incus", &passOver<Template>}, // sizes of virtual machine disks
    {"lxc", &passOver<Template>},   // raw LXC configuration
    {"lxd", &passOver<Template>},
};

Status readTargets(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.map<Template>("targets", node, kTargetKeys, out);
}

// --- files

constexpr std::string_view kGenerators[] = {"cloud-init", "dump", "hostname", "hosts", "remove", "template"};

template <std::optional<unsigned> TemplateFile::*Member, int Base, unsigned Most>
Status readNumber(const Reader &in, const YAML::Node &node, TemplateFile &out)
{
    out.*Member = static_cast<unsigned>(TRY(in.number(node, Base, Most)));
    return {};
}

Status readProperties(const Reader &in, const YAML::Node &node, TemplateFile &out)
{
    out.properties = TRY(in.textMap(node));
    return {};
}

constexpr Row<TemplateFile> kFileTemplateKeys[] = {
    {"properties", &readProperties},
    {"when", &readList<&TemplateFile::when, TemplateFile>},
};

Status readFileTemplate(const Reader &in, const YAML::Node &node, TemplateFile &out)
{
    TRY(in.map<TemplateFile>("template", node, kFileTemplateKeys, out));
    for (const std::string &when : out.when)
        if (when != "create" && when != "copy" && when != "rename" && when != "start")
            return in.wrong(node, "template runs at create, copy, rename or start, not at " + quoted(when));
    return {};
}

constexpr Row<TemplateFile> kFileKeys[] = {
    {"content", &readText<&TemplateFile::content, TemplateFile>},
    {"generator", &readText<&TemplateFile::generator, TemplateFile>},
    {"gid", &readNumber<&TemplateFile::gid, 10, 65535>},
    {"mode", &readNumber<&TemplateFile::mode, 8, 07777>},
    {"name", &readText<&TemplateFile::name, TemplateFile>},
    {"path", &readText<&TemplateFile::path, TemplateFile>},
    {"pongo", &readBool<&TemplateFile::pongo, TemplateFile>},
    {"template", &readFileTemplate},
    {"templated", &passOver<TemplateFile>}, // has a meaning for raw LXC images only
    {"uid", &readNumber<&TemplateFile::uid, 10, 65535>},
};

Status checkFile(const Reader &in, const YAML::Node &node, const TemplateFile &file)
{
    if (std::ranges::find(kGenerators, file.generator) == std::end(kGenerators))
        return in.refused(node, "generator " + quoted(file.generator) +
                                    "; there are cloud-init, dump, hostname, hosts, remove, template");
    const bool named = file.generator == "cloud-init" || file.generator == "template";
    if (named && (file.name.empty() || file.name.starts_with('.') || file.name.find('/') != std::string::npos))
        return in.wrong(node, "generator " + quoted(file.generator) + " needs a name that is one file name");
    if (file.path.empty() && file.generator != "cloud-init")
        return in.wrong(node, "generator " + quoted(file.generator) + " needs a path");
    if (!file.path.empty() && !file.path.starts_with('/'))
        return in.wrong(node, "path " + quoted(file.path) + " does not start with a slash");
    return {};
}

Status readFiles(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.list(node, [&](const YAML::Node &entry) -> Status {
        TemplateFile file;
        // Filters first: what only a virtual machine uses may hold keys that we do not know.
        TRY(in.mapPart<TemplateFile>(entry, filterRows<TemplateFile>(), file));
        if (onlyForMachines(file.filter))
            return {};
        TRY(in.map<TemplateFile>("files", entry, kFileKeys, file, filterRows<TemplateFile>()));
        TRY(checkFile(in, entry, file));
        out.files.push_back(std::move(file));
        return {};
    });
}

// --- packages

Status readSetAction(const Reader &in, const YAML::Node &node, TemplatePackages &out)
{
    const std::string action = TRY(in.text(node));
    if (action != "install" && action != "remove")
        return in.wrong(node, "packages are to 'install' or to 'remove', not to " + quoted(action));
    out.remove = action == "remove";
    return {};
}

constexpr Row<TemplatePackages> kSetKeys[] = {
    {"action", &readSetAction},
    {"early", &readBool<&TemplatePackages::early, TemplatePackages>},
    {"flags", &readList<&TemplatePackages::flags, TemplatePackages>},
    {"packages", &readList<&TemplatePackages::packages, TemplatePackages>},
};

Status checkPackages(const Reader &in, const YAML::Node &node, const TemplatePackages &set)
{
    for (const std::string &package : set.packages)
        if (package.empty() || package.starts_with('-'))
            return in.wrong(node, quoted(package) + " is no name of a package");
    return {};
}

Status readSets(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.list(node, [&](const YAML::Node &entry) -> Status {
        TemplatePackages set;
        TRY(in.map<TemplatePackages>("packages.sets", entry, kSetKeys, set, filterRows<TemplatePackages>()));
        TRY(checkPackages(in, entry, set));
        if (!onlyForMachines(set.filter))
            out.packages.push_back(std::move(set));
        return {};
    });
}

constexpr Row<TemplateRepository> kRepositoryKeys[] = {
    {"key", &readText<&TemplateRepository::key, TemplateRepository>},
    {"name", &readText<&TemplateRepository::name, TemplateRepository>},
    {"type", &readText<&TemplateRepository::type, TemplateRepository>},
    {"url", &readText<&TemplateRepository::url, TemplateRepository>},
};

Status readRepositories(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.list(node, [&](const YAML::Node &entry) -> Status {
        TemplateRepository repository;
        TRY(in.map<TemplateRepository>("packages.repositories", entry, kRepositoryKeys, repository,
                                       filterRows<TemplateRepository>()));
        if (repository.name.empty() || repository.name.starts_with('.') ||
            repository.name.find('/') != std::string::npos)
            return in.wrong(entry, "a repository needs a name that is one file name");
        if (!onlyForMachines(repository.filter))
            out.repositories.push_back(std::move(repository));
        return {};
    });
}

Status readManager(const Reader &in, const YAML::Node &node, Template &out)
{
    out.packageManager = TRY(in.text(node));
    if (out.packageManager != "apt" && out.packageManager != "apk")
        return in.refused(node, "package manager " + quoted(out.packageManager) + "; there are apk, apt");
    return {};
}

/// Lists without filters: how older definitions say it.
template <bool Remove> Status readPlainSet(const Reader &in, const YAML::Node &node, Template &out)
{
    TemplatePackages set;
    set.packages = TRY(in.textList(node));
    set.remove = Remove;
    TRY(checkPackages(in, node, set));
    out.packages.push_back(std::move(set));
    return {};
}

constexpr Row<Template> kPackagesKeys[] = {
    {"cleanup", &readBool<&Template::cleanupPackages, Template>},
    {"install", &readPlainSet<false>},
    {"manager", &readManager},
    {"remove", &readPlainSet<true>},
    {"repositories", &readRepositories},
    {"sets", &readSets},
    {"update", &readBool<&Template::updatePackages, Template>},
};

Status readPackages(const Reader &in, const YAML::Node &node, Template &out)
{
    TRY(in.map<Template>("packages", node, kPackagesKeys, out));
    if (out.packageManager.empty())
        return in.wrong(node, "packages has no manager");
    return {};
}

// --- actions, mappings, environment

constexpr std::string_view kTriggers[] = {"post-unpack", "post-update", "post-packages", "post-files"};

constexpr Row<TemplateAction> kActionKeys[] = {
    {"action", &readText<&TemplateAction::script, TemplateAction>},
    {"pongo", &readBool<&TemplateAction::pongo, TemplateAction>},
    {"trigger", &readText<&TemplateAction::trigger, TemplateAction>},
};

Status checkTrigger(const Reader &in, const YAML::Node &node, const std::string &trigger)
{
    if (std::ranges::find(kTriggers, trigger) == std::end(kTriggers))
        return in.refused(node, "trigger " + quoted(trigger) +
                                    "; there are post-unpack, post-update, post-packages, post-files");
    return {};
}

Status readActions(const Reader &in, const YAML::Node &node, Template &out)
{
    if (node.IsMap()) { // trigger: script, how older definitions say it
        for (const auto &entry : node) {
            TemplateAction action;
            action.trigger = TRY(in.text(entry.first));
            action.script = TRY(in.text(entry.second));
            TRY(checkTrigger(in, entry.first, action.trigger));
            out.actions.push_back(std::move(action));
        }
        return {};
    }
    return in.list(node, [&](const YAML::Node &entry) -> Status {
        TemplateAction action;
        TRY(in.map<TemplateAction>("actions", entry, kActionKeys, action, filterRows<TemplateAction>()));
        TRY(checkTrigger(in, entry, action.trigger));
        if (!onlyForMachines(action.filter))
            out.actions.push_back(std::move(action));
        return {};
    });
}

constexpr Row<Template> kMappingKeys[] = {
    {"architecture_map", &readArchitectureMap},
    {"architectures", &readArchitectures},
};

Status readMappings(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.map<Template>("mappings", node, kMappingKeys, out);
}

/// A list of {key: K, value: V}.
Status readVariables(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.list(node, [&](const YAML::Node &entry) -> Status {
        auto map = TRY(in.textMap(entry));
        if (map.size() != 2 || !map.contains("key") || !map.contains("value") || map["key"].empty() ||
            map["key"].find('=') != std::string::npos)
            return in.wrong(entry, "an environment variable is written as key: NAME and value: TEXT");
        out.environment.emplace_back(map["key"], map["value"]);
        return {};
    });
}

constexpr Row<Template> kEnvironmentKeys[] = {
    {"clear_defaults", &readBool<&Template::clearEnvironment, Template>},
    {"variables", &readVariables},
};

Status readEnvironment(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.map<Template>("environment", node, kEnvironmentKeys, out);
}

// --- release names: the sections that other readers of the format pass over

Status readReleaseAliases(const Reader &in, const YAML::Node &node, Template &out)
{
    if (!node.IsMap())
        return in.wrong(node, "release_aliases is no map");
    for (const auto &entry : node)
        out.releases.push_back({TRY(in.text(entry.first)), TRY(in.text(entry.second))});
    return {};
}

constexpr Row<Template> kSimplestreamKeys[] = {
    {"distro_name", &passOver<Template>},
    {"release_aliases", &readReleaseAliases},
    {"requirements", &passOver<Template>},
};

Status readSimplestream(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.map<Template>("simplestream", node, kSimplestreamKeys, out);
}

Status readArchives(const Reader &in, const YAML::Node &node, Template &out)
{
    out.archives = TRY(in.textMap(node));
    return {};
}

constexpr Row<Template> kOwnKeys[] = {
    {"archives", &readArchives},
    {"host_mirror", &readBool<&Template::hostMirror, Template>},
    {"keyrings", &readList<&Template::keyrings, Template>},
    {"releases", &readReleaseAliases},
    {"security_mirror", &readText<&Template::securityMirror, Template>},
    {"security_suite", &readBool<&Template::securitySuite, Template>},
    {"title", &readText<&Template::title, Template>},
    {"updates_suite", &readBool<&Template::updatesSuite, Template>},
    {"variants", &readList<&Template::variants, Template>},
};

Status readOwn(const Reader &in, const YAML::Node &node, Template &out)
{
    return in.map<Template>("lxmgr", node, kOwnKeys, out);
}

// --- the whole

constexpr Row<Template> kSections[] = {
    {"actions", &readActions},   {"environment", &readEnvironment},
    {"files", &readFiles},       {"image", &readImage},
    {"lxmgr", &readOwn},         {"mappings", &readMappings},
    {"packages", &readPackages}, {"simplestream", &readSimplestream},
    {"source", &readSource},     {"targets", &readTargets},
};

/// The variants that any entry is limited to, "default" (or the definition's own) first.
std::vector<std::string> usedVariants(const Template &definition)
{
    std::vector<std::string> all = {definition.variant.empty() ? "default" : definition.variant};
    const auto collect = [&](const auto &entries) {
        for (const auto &entry : entries)
            for (const std::string &variant : entry.filter.variants)
                if (std::ranges::find(all, variant) == all.end())
                    all.push_back(variant);
    };
    collect(definition.files);
    collect(definition.packages);
    collect(definition.repositories);
    collect(definition.actions);
    return all;
}

struct KnownDistribution {
    std::string_view name, url, keyring;
};

// What debootstrap knows by itself when a definition does not say it.
constexpr KnownDistribution kKnownDistributions[] = {
    {"debian", "http://deb.debian.org/debian", "debian-archive-keyring.gpg"},
    {"ubuntu", "http://archive.ubuntu.com/ubuntu", "ubuntu-archive-keyring.gpg"},
};

void fillDistribution(Template &definition)
{
    for (const KnownDistribution &known : kKnownDistributions) {
        if (lower(definition.distribution) != known.name)
            continue;
        if (definition.source.url.empty())
            definition.source.url = known.url;
        if (definition.keyrings.empty())
            definition.keyrings.emplace_back(known.keyring);
    }
}

Status checkWhole(const Reader &in, const YAML::Node &root, Template &out)
{
    if (out.distribution.empty())
        return in.wrong(root, "image has no distribution");
    if (out.source.downloader.empty())
        return in.wrong(root, "there is no source");
    if (out.packageManager.empty() && !out.packages.empty())
        return in.wrong(root, "packages has no manager");
    const bool debian = out.source.downloader == "debootstrap";
    if (!out.packageManager.empty() && (out.packageManager == "apt") != debian)
        return in.refused(root, "package manager " + quoted(out.packageManager) + " with downloader " +
                                    quoted(out.source.downloader));
    if (debian)
        fillDistribution(out);
    if (out.variants.empty())
        out.variants = usedVariants(out);
    if (out.title.empty())
        out.title = out.distribution;
    return {};
}

// --- overrides

Status readOwnKeys(const Reader &in, const YAML::Node &node, Template &out)
{
    out.source.keys = TRY(in.textList(node));
    out.ownKeys = true;
    return {};
}

Status readComponents(const Reader &in, const YAML::Node &node, Template &out)
{
    out.source.components = TRY(in.textList(node));
    return {};
}

constexpr Row<Template> kOverrideKeys[] = {
    {"components", &readComponents},
    {"keys", &readOwnKeys},
    {"mirror", &readText<&Template::mirror, Template>},
    {"security_mirror", &readText<&Template::securityMirror, Template>},
    {"suite", &readText<&Template::suite, Template>},
};

} // namespace

Status applyOverrides(Template &definition, const std::string &text, const std::string &file)
{
    const Reader in(file);
    TRY(in.map<Template>("", TRY(in.load(text)), kOverrideKeys, definition));
    definition.digest = textDigest(definition.digest + text);
    return {};
}

std::string textDigest(const std::string &text)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr);
    return toHex(std::span(digest).first(length));
}

Result<Template> parseTemplate(const std::string &name, const std::string &text, const std::string &file)
{
    const Reader in(file);
    const YAML::Node root = TRY(in.load(text));
    Template out;
    out.name = name;
    out.file = file;
    out.digest = textDigest(text);
    TRY(in.map<Template>("", root, kSections, out));
    TRY(checkWhole(in, root, out));
    return out;
}

} // namespace lxmgr::images

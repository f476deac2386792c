// Finding templates and understanding image names.
#include "base/text.h"
#include "images/template.h"
#include "kernel/files.h"
#include "kernel/path.h"

#include <algorithm>
#include <set>
#include <sys/utsname.h>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kMostText = 1 << 20;
constexpr std::string_view kSuffix = ".yaml";

// Servers that people write in front of an image's name; the templates answer to their names.
constexpr std::string_view kRemotes[] = {"images", "local"};

bool plainName(std::string_view name)
{
    return !name.empty() && name.size() <= 64 && std::isalnum(static_cast<unsigned char>(name.front())) &&
           std::ranges::all_of(
               name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '+'; });
}

std::set<std::string> namesIn(const std::string &folder)
{
    std::set<std::string> names;
    const auto opened = path::openFolder(folder);
    if (!opened)
        return names; // a folder that is not there holds nothing
    const auto listed = path::list(*opened);
    for (const std::string &name : listed.value_or(std::vector<std::string>()))
        if (name.ends_with(kSuffix) && plainName(std::string_view(name).substr(0, name.size() - kSuffix.size())))
            names.insert(name.substr(0, name.size() - kSuffix.size()));
    return names;
}

std::string shippedFile(const Paths &paths, const std::string &name)
{
    return paths.dataDir + "/templates/" + name + ".yaml";
}
std::string ownFile(const Paths &paths, const std::string &name)
{
    return paths.configDir + "/templates.d/" + name + ".yaml";
}

/// A definition has an image section; a file without one says something about the shipped template of its name.
bool isDefinition(const std::string &text)
{
    return text.starts_with("image:") || text.find("\nimage:") != std::string::npos;
}

Result<Template> loadNamed(const Paths &paths, const std::string &name)
{
    const auto own = files::read(ownFile(paths, name), kMostText);
    if (!own && own.error().errnum != ENOENT)
        return Error(own.error()).in("template " + quoted(name));
    if (own && isDefinition(*own))
        return parseTemplate(name, *own, ownFile(paths, name));
    const std::string text = TRY(files::read(shippedFile(paths, name), kMostText));
    Template definition = TRY(parseTemplate(name, text, shippedFile(paths, name)));
    if (own)
        TRY(applyOverrides(definition, *own, ownFile(paths, name)));
    return definition;
}

std::set<std::string> allNames(const Paths &paths)
{
    std::set<std::string> names = namesIn(paths.dataDir + "/templates");
    names.merge(namesIn(paths.configDir + "/templates.d"));
    return names;
}

Error noTemplate(const Paths &paths, const std::string &name)
{
    const std::set<std::string> all = allNames(paths);
    const std::vector<std::string> names(all.begin(), all.end());
    Error error(Code::NotFound, "no template " + quoted(name) + "; there are " + join(names, ", "));
    const std::vector<std::string_view> views(names.begin(), names.end());
    if (const auto near = nearest(name, views))
        return std::move(error).hint("did you mean " + quoted(*near) + "?");
    return error;
}

std::string hostArchitecture()
{
    utsname host{};
    ::uname(&host);
    return host.machine;
}

/// Which of `definition`'s releases `wanted` names, by either name; "" is the first.
Result<TemplateRelease> findRelease(const Template &definition, const std::string &wanted)
{
    if (definition.releases.empty()) {
        const std::string name = wanted.empty() ? definition.release : wanted;
        if (name.empty() && definition.source.downloader != "busybox")
            return Error(Code::Invalid, "template " + quoted(definition.name) + " has no release of its own")
                .hint("say which: " + definition.name + "/RELEASE");
        if (!name.empty() && !plainName(name))
            return Error(Code::Invalid, "release " + quoted(name) + " is no name of a release");
        return TemplateRelease{name, {}};
    }
    const std::string name = wanted.empty() ? definition.release : wanted;
    if (name.empty())
        return definition.releases.front();
    std::vector<std::string> known;
    for (const TemplateRelease &release : definition.releases) {
        if (lower(name) == release.name || name == release.version)
            return release;
        known.push_back(release.version.empty() ? release.name : release.version + " (" + release.name + ")");
    }
    return Error(Code::NotFound, "template " + quoted(definition.name) + " has no release " + quoted(name) +
                                     "; there are " + join(known, ", "));
}

Result<std::string> findVariant(const Template &definition, const std::string &wanted)
{
    if (wanted.empty())
        return definition.variants.front();
    if (std::ranges::find(definition.variants, wanted) == definition.variants.end())
        return Error(Code::NotFound, "template " + quoted(definition.name) + " has no variant " + quoted(wanted) +
                                         "; there are " + join(definition.variants, ", "));
    return wanted;
}

Result<std::string> findArchitecture(const Template &definition, const std::string &wanted)
{
    const std::string host = hostArchitecture();
    const std::string asked = wanted.empty() ? definition.architecture : wanted;
    const auto mapped = definition.architectureMap.find(host);
    if (asked.empty() || asked == host || (mapped != definition.architectureMap.end() && asked == mapped->second))
        return host;
    return Error(Code::Unsupported, "architecture " + quoted(asked) + " cannot be built here: this host is " + host);
}

std::vector<std::string> aliasesOf(const Template &definition, const TemplateRelease &release,
                                   const std::string &variant)
{
    const bool first = variant == definition.variants.front();
    const std::string tail = first ? "" : "/" + variant;
    std::vector<std::string> aliases;
    if (!release.version.empty())
        aliases.push_back(definition.name + "/" + release.version + tail);
    if (!release.name.empty())
        aliases.push_back(definition.name + "/" + release.name + tail);
    const std::string main = !definition.release.empty()   ? definition.release
                             : definition.releases.empty() ? release.name
                                                           : definition.releases.front().name;
    if (first && (main == release.name || main == release.version))
        aliases.push_back(definition.name);
    return aliases;
}

/// "images:debian/12" and "debian:12" as "debian/12".
Result<std::string> withoutRemote(const std::string &name)
{
    const std::size_t colon = name.find(':');
    if (colon == std::string::npos)
        return name;
    const std::string remote = name.substr(0, colon), rest = name.substr(colon + 1);
    if (std::ranges::find(kRemotes, remote) != std::end(kRemotes))
        return rest;
    return rest.empty() ? remote : remote + "/" + rest;
}

} // namespace

Result<std::vector<TemplateSummary>> listTemplates(const Paths &paths)
{
    std::vector<TemplateSummary> all;
    for (const std::string &name : allNames(paths)) {
        TemplateSummary summary;
        summary.name = name;
        const auto definition = loadNamed(paths, name);
        if (!definition) {
            summary.problem = definition.error().message;
            all.push_back(std::move(summary));
            continue;
        }
        summary.title = definition->title;
        summary.file = definition->file;
        summary.releases = definition->releases;
        summary.variants = definition->variants;
        const auto release = findRelease(*definition, {});
        summary.defaultRelease = release ? release->name : std::string();
        all.push_back(std::move(summary));
    }
    return all;
}

Result<Template> loadTemplate(const Paths &paths, const std::string &nameOrFile)
{
    if (nameOrFile.find('/') != std::string::npos) {
        const std::string file = nameOrFile;
        auto text = files::read(file, kMostText);
        if (!text)
            return std::move(text.error()).as(Code::NotFound);
        std::string name = file.substr(file.rfind('/') + 1);
        name.resize(name.ends_with(kSuffix) ? name.size() - kSuffix.size() : name.size());
        if (!plainName(name))
            return Error(Code::Invalid, quoted(name) + " is no name of a template");
        return parseTemplate(name, *text, file);
    }
    if (!plainName(nameOrFile) || !allNames(paths).contains(nameOrFile))
        return noTemplate(paths, nameOrFile);
    auto definition = loadNamed(paths, nameOrFile);
    if (!definition && definition.error().errnum == ENOENT) // only overrides of something that is not shipped
        return Error(Code::Invalid, ownFile(paths, nameOrFile) + ": there is no template " + quoted(nameOrFile) +
                                        " that this could change, and no image section");
    return definition;
}

Result<ResolvedImage> resolveTemplate(const Template &definition, const std::string &release,
                                      const std::string &variant, const std::string &architecture)
{
    const TemplateRelease found = TRY(findRelease(definition, release));
    ResolvedImage image;
    image.templateName = definition.name;
    image.release = found.name;
    image.version = found.version;
    image.variant = TRY(findVariant(definition, variant));
    image.architecture = TRY(findArchitecture(definition, architecture));
    image.aliases = aliasesOf(definition, found, image.variant);
    image.needsNetwork = definition.source.downloader != "busybox";
    const std::string parts =
        definition.name + "-" + (found.name.empty() ? "" : found.name + "-") + image.variant + "-" + image.architecture;
    image.cacheKey = parts + "-" + textDigest(definition.digest + parts).substr(0, 12);
    return image;
}

Result<ResolvedImage> resolveImageName(const Paths &paths, const std::string &name)
{
    const std::vector<std::string> parts = split(TRY(withoutRemote(name)), '/');
    if (parts.empty() || parts.size() > 4)
        return Error(Code::NotFound, "no image " + quoted(name))
            .hint("a template is named as TEMPLATE[/RELEASE[/VARIANT[/ARCHITECTURE]]]");
    if (!plainName(parts[0]) || !allNames(paths).contains(parts[0]))
        return noTemplate(paths, parts[0]);
    const Template definition = TRY(loadTemplate(paths, parts[0]));
    const auto part = [&](std::size_t index) { return index < parts.size() ? parts[index] : std::string(); };
    // "debian/13/amd64": an architecture may stand where the variant is left out.
    if (parts.size() == 3 && !findVariant(definition, part(2)) && findArchitecture(definition, part(2)))
        return resolveTemplate(definition, part(1), {}, part(2));
    return resolveTemplate(definition, part(1), part(2), part(3));
}

} // namespace lxmgr::images

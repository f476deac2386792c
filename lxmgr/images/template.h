// Templates: YAML files that say how to make an image from a distribution's own archive (distrobuilder's definition
// format).
#pragma once

#include "base/paths.h"
#include "base/result.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::images
{

/// Entries of a definition may be limited to releases, architectures, variants and types; empty lists admit all.
struct Filter {
    std::vector<std::string> releases, architectures, variants, types;
};

/// A release as the archive names it ("trixie") with the number people use for it ("13", or empty).
struct TemplateRelease {
    std::string name;
    std::string version;
};

struct TemplateSource {
    std::string downloader; ///< "debootstrap", "apk", "busybox".
    std::string url;        ///< The archive; may be overridden by mirror=.
    std::string suite;      ///< Instead of the release.
    std::string variant;    ///< debootstrap's variant, "" for the default.
    std::vector<std::string> components;
    std::vector<std::string> keys; ///< Armoured public keys or fingerprints; only these are trusted if given.
    std::vector<std::string> earlyPackages;
    std::string aptSources; ///< Instead of the source list that follows from url.
};

struct TemplateFile {
    Filter filter;
    std::string generator, path, name, content;
    std::optional<unsigned> mode, uid, gid;
    bool pongo = false; ///< Path and content are rendered at build time.
    std::map<std::string, std::string> properties;
    std::vector<std::string> when;
};

struct TemplatePackages {
    Filter filter;
    std::vector<std::string> packages;
    bool remove = false;
    bool early = false;
    std::vector<std::string> flags;
};

struct TemplateRepository {
    Filter filter;
    std::string name, url, type, key;
};

struct TemplateAction {
    Filter filter;
    std::string trigger; ///< post-unpack, post-update, post-packages, post-files
    bool pongo = false;
    std::string script;
};

/// One definition, checked: what is in here is carried out; anything else was refused when it was read.
struct Template {
    std::string name;   ///< "debian"
    std::string file;   ///< Where it was read from.
    std::string digest; ///< SHA-256 of its text and of the overrides that apply.
    std::string title;  ///< "Debian GNU/Linux"
    std::string distribution, release, architecture, variant, description, expiry, serial;
    std::vector<TemplateRelease> releases; ///< Known ones, newest first; empty: any name is passed on to the archive.
    std::vector<std::string> variants;     ///< Known ones, "default" first.
    bool hostMirror = false; ///< Take the archive the host's own package manager uses if it is this distribution.
    std::vector<std::string>
        keyrings;               ///< Files below images/keys or /usr/share/keyrings, used when `source.keys` is empty.
    std::string mirror, suite;  ///< From <config>/templates.d.
    std::string securityMirror; ///< Archive of <release>-security; "" for the same archive, "none" for none.
    std::map<std::string, std::string> archives; ///< Kernel's architecture → archive, where it is not source.url.
    bool ownKeys = false;                        ///< The keys are the administrator's: the guest is given them too.
    bool updatesSuite = false,
         securitySuite = false; ///< The archive has <release>-updates, <release>-security beside <release>.
    TemplateSource source;
    std::vector<TemplateFile> files;
    std::string packageManager;
    bool updatePackages = false, cleanupPackages = false;
    std::vector<TemplatePackages> packages;
    std::vector<TemplateRepository> repositories;
    std::vector<TemplateAction> actions;
    std::map<std::string, std::string> architectureMap; ///< Kernel's name → the distribution's.
    std::vector<std::pair<std::string, std::string>> environment;
    bool clearEnvironment = false;
};

/// One line of `template list`.
struct TemplateSummary {
    std::string name, title, file;
    std::string defaultRelease;
    std::vector<TemplateRelease> releases;
    std::vector<std::string> variants;
    std::string problem; ///< Why it cannot be used ("" if it can): a broken file is listed, not hidden.
};

/// Parses a definition. `file` names it in errors ("file:line:column: …"): Invalid for broken YAML, Unsupported for a
/// section, generator, downloader or key that is not carried out.
Result<Template> parseTemplate(const std::string &name, const std::string &text, const std::string &file);

/// Shipped templates (<data>/templates) and the host's own (<config>/templates.d), by name.
Result<std::vector<TemplateSummary>> listTemplates(const Paths &paths);

/// The template of that name, or the definition in that file when `nameOrFile` contains a slash. NotFound names the
/// nearest.
Result<Template> loadTemplate(const Paths &paths, const std::string &nameOrFile);

/// What an image name means: a template with release, variant and architecture settled.
struct ResolvedImage {
    std::string templateName;
    std::string release;      ///< "trixie"
    std::string version;      ///< "13" or ""
    std::string variant;      ///< "default"
    std::string architecture; ///< As the kernel says: "x86_64", "aarch64".
    std::string
        cacheKey; ///< Same key, same image: names the template's text, release, variant, architecture and options.
    std::vector<std::string>
        aliases; ///< Names it answers to, best first: "debian/13", "debian/trixie", and "debian" for the default.
    bool needsNetwork = true; ///< Whether a build takes anything from elsewhere.
};

/// "debian", "debian/12", "debian:12", "images:debian/12", "debian/bookworm/default", "ubuntu/24.04", "busybox".
/// NotFound says which templates or releases there are.
Result<ResolvedImage> resolveImageName(const Paths &paths, const std::string &name);

/// The same for a definition already read. Empty texts mean its defaults; `architecture` may be either name.
Result<ResolvedImage> resolveTemplate(const Template &definition, const std::string &release,
                                      const std::string &variant = {}, const std::string &architecture = {});

/// SHA-256 as hex.
std::string textDigest(const std::string &text);

/// Applies what <config>/templates.d/NAME.yaml says of an existing template: mirror, suite, security_mirror,
/// components, keys.
Status applyOverrides(Template &definition, const std::string &text, const std::string &file);

} // namespace lxmgr::images

#include "images/bootstrap.h"

#include "base/text.h"
#include "images/render.h"

#include <algorithm>
#include <ctime>

namespace lxmgr::images
{

namespace
{

using Kind = BuildStep::Kind;

// --- texts of a definition

/// "{{ image.release }}" and the like in a definition's own texts.
Result<std::string> rendered(const std::string &text, const std::map<std::string, std::string> &values,
                             const std::string &what)
{
    RenderContext context;
    context.values["image"] = values;
    return TRY_IN(what, renderText(text, context, {}, {}));
}

bool contains(const std::vector<std::string> &list, const std::string &word)
{
    return list.empty() || std::ranges::find(list, word) != list.end();
}

// --- steps

BuildStep run(const std::string &title, std::vector<std::string> argv, std::vector<std::string> environment)
{
    BuildStep step;
    step.title = title;
    step.argv = std::move(argv);
    step.environment = std::move(environment);
    return step;
}

BuildStep file(Kind kind, const std::string &path, const std::string &content = {}, std::uint32_t mode = 0644)
{
    BuildStep step;
    step.kind = kind;
    step.path = path;
    step.content = content;
    step.mode = mode;
    return step;
}

// --- Alpine's apk, the host's or the archive's own

constexpr const char *kApkPackage = "apk-tools-static";
constexpr const char *kApkInPackage = "sbin/apk.static";
constexpr const char *kFetchedIndex = "/tmp/APKINDEX.tar.gz";
constexpr const char *kFetchedApk = "/tmp/apk-tools-static.apk";
constexpr const char *kApkProgram = "/tmp/apk.static";

std::string apkFolder(const Archive &archive, const std::string &architecture)
{
    return archive.url + "/" + archive.suite + "/main/" + architecture + "/";
}

/// A file name that a signature can name a key by.
bool isKeyName(std::string_view name)
{
    return !name.empty() && name.size() <= 200 && name.front() != '.' &&
           name.find_first_of("/ \t") == std::string_view::npos && escaped(name) == name;
}

/// Only the definition's own keys are trusted if it has any, else the files it names. Signatures name their key, so the
/// first line of a key is its name.
Result<ApkKeys> apkKeys(const Template &definition, const BuildHost &host)
{
    ApkKeys keys;
    for (const std::string &key : definition.source.keys) {
        const std::size_t end = key.find('\n');
        const std::string name(trimmed(key.substr(0, end)));
        if (end == std::string::npos || !isKeyName(name) || key.find("-----BEGIN PUBLIC KEY-----") == std::string::npos)
            return Error(Code::Invalid,
                         definition.file + ": key " + quoted(key.substr(0, 60)) +
                             " is no public key of apk's: a line with its file name, then what is in the file");
        keys[name] = key.substr(end + 1) + "\n";
    }
    if (keys.empty())
        keys = host.keyrings;
    if (keys.empty())
        return Error(Code::Unavailable, "template " + quoted(definition.name) +
                                            ": no key to check the archive's signature with: none of " +
                                            join(definition.keyrings, ", ") +
                                            " is in images/keys or /usr/share/apk/keys")
            .hint("give the key in templates.d");
    return keys;
}

void addKeys(BuildJob &job, const ApkKeys &keys)
{
    for (const auto &[name, content] : keys)
        job.files.emplace_back("keys/" + name, content);
}

/// "Acquire::http::Proxy \"http://proxy:3142\";" in its two parts; {} for an option that is no proxy.
std::pair<std::string, std::string> proxyOf(const std::string &option)
{
    const std::size_t space = option.find(' ');
    if (space == std::string::npos || option.size() < space + 4 || option.find("Proxy") == std::string::npos)
        return {};
    return {option.substr(0, space), option.substr(space + 2, option.size() - space - 4)};
}

/// apk asks the environment for its proxies.
std::vector<std::string> proxyEnvironment(const Archive &archive)
{
    std::vector<std::string> environment;
    for (const std::string &option : archive.aptOptions) {
        const auto [name, value] = proxyOf(option);
        if (name == "Acquire::http::Proxy" || name == "Acquire::https::Proxy")
            if (value.find("://") != std::string::npos)
                environment.push_back((name == "Acquire::http::Proxy" ? "http_proxy=" : "https_proxy=") + value);
    }
    return environment;
}

constexpr const char *kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::vector<std::string> outsideEnvironment() { return {kPath, "HOME=/root", "LC_ALL=C.UTF-8", "TMPDIR=/tmp"}; }

std::vector<std::string> insideEnvironment(const Template &definition)
{
    std::vector<std::string> environment;
    if (!definition.clearEnvironment)
        environment = {kPath,        "HOME=/root",   "SHELL=/bin/sh",
                       "TERM=xterm", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"};
    for (const auto &[key, value] : definition.environment) {
        std::erase_if(environment, [&](const std::string &entry) { return entry.starts_with(key + "="); });
        environment.push_back(key + "=" + value);
    }
    return environment;
}

// --- the planner

class Planner
{
public:
    Planner(const Template &definition, const ResolvedImage &image, const Archive &archive, const BuildHost &host)
        : m_template(definition), m_image(image), m_archive(archive), m_host(host),
          m_values(imageValues(definition, image)), m_environment(insideEnvironment(definition))
    {
    }
    Result<BuildPlan> plan();

private:
    void add(BuildStep step) { m_plan.job.steps.push_back(std::move(step)); }
    Status bootstrap();
    Status debootstrap();
    Status apk();
    Status fetchApk();
    Status busybox();
    Status keys(std::string &signedBy);
    Status repositories();
    void sources();
    void packages();
    Status actions(const std::string &trigger);
    Status generators();
    Status generator(const TemplateFile &entry);
    void rule(const TemplateFile &entry, const std::string &name, const std::string &content,
              std::vector<std::string> when);
    void cloudInit(const TemplateFile &entry);
    void cleanUp();
    void properties();

    bool has(const Filter &filter) const { return admits(filter, m_template, m_image); }
    std::vector<std::string> early() const;
    std::string architecture() const { return m_values.at("architecture_mapped"); }

    const Template &m_template;
    const ResolvedImage &m_image;
    const Archive &m_archive;
    const BuildHost &m_host;
    const std::map<std::string, std::string> m_values;
    const std::vector<std::string> m_environment;
    BuildPlan m_plan;
    std::string m_ownKey; ///< Where the guest finds the key of an archive that no package of it brings; "" for none.
};

/// Packages that belong to the bootstrap: one run of the package manager instead of two.
std::vector<std::string> Planner::early() const
{
    std::vector<std::string> names = m_template.source.earlyPackages;
    for (const TemplatePackages &set : m_template.packages)
        if (set.early && !set.remove && has(set.filter))
            names.insert(names.end(), set.packages.begin(), set.packages.end());
    return names;
}

/// Only the definition's own keys are trusted if it has any, else the keyrings it names. Fingerprints pick from all
/// keyrings.
Status Planner::keys(std::string &signedBy)
{
    std::vector<std::string> fingerprints;
    std::size_t count = 0;
    std::string armoured;
    for (const std::string &key : m_template.source.keys) {
        if (key.find("BEGIN PGP PUBLIC KEY BLOCK") != std::string::npos) {
            m_plan.job.files.emplace_back("keys/" + std::to_string(count++) + ".asc", key + "\n");
            armoured += key + "\n";
            continue;
        }
        std::string hex = upper(key.starts_with("0x") ? key.substr(2) : key);
        std::erase(hex, ' ');
        if (hex.size() != 40 || hex.find_first_not_of("0123456789ABCDEF") != std::string::npos)
            return Error(Code::Invalid, m_template.file + ": key " + quoted(key.substr(0, 60)) +
                                            " is neither an armoured public key nor a fingerprint of 40 digits");
        fingerprints.push_back(hex);
    }
    if (armoured.empty())
        for (const auto &[name, content] : m_host.keyrings)
            m_plan.job.files.emplace_back("keys/" + name, content);
    if (m_plan.job.files.empty())
        return Error(Code::Unavailable, "template " + quoted(m_template.name) +
                                            ": no keyring to check the archive's signature with: none of " +
                                            join(m_template.keyrings, ", ") + " is in /usr/share/keyrings")
            .hint("install the package of that name");
    signedBy = join(fingerprints, ",");
    if (!armoured.empty() && !m_template.ownKeys)
        armoured.clear(); // the definition's archive brings its own keyring package
    if (!armoured.empty())
        m_ownKey = "/etc/apt/keyrings/" + m_template.name + "-archive.asc";
    if (!m_ownKey.empty())
        m_plan.job.files.emplace_back("own-key.asc", armoured);
    return {};
}

std::string variantOption(const std::string &variant)
{
    if (variant.empty() || variant == "default")
        return "--variant=debootstrap"; // what debootstrap does when it is told nothing
    return "--variant=" + variant;
}

Status Planner::debootstrap()
{
    std::string signedBy;
    TRY(keys(signedBy));
    const std::string lines =
        m_template.source.aptSources.empty()
            ? sourceLines(m_archive, signedBy)
            : TRY(rendered(m_template.source.aptSources, m_values, m_template.file + ": apt_sources"));
    // One /usr from the start: later a package would have to move what is there.
    for (const char *part : {"bin", "sbin", "lib"}) {
        add(file(Kind::Folder, "/usr/" + std::string(part), {}, 0755));
        add(file(Kind::Link, "/" + std::string(part), "usr/" + std::string(part)));
    }
    if (architecture() == "amd64") {
        add(file(Kind::Folder, "/usr/lib64", {}, 0755));
        add(file(Kind::Link, "/lib64", "usr/lib64"));
    }
    std::vector<std::string> argv = {
        "/usr/bin/mmdebstrap", "--mode=root", "--format=directory", variantOption(m_template.source.variant),
        "--architectures=" + architecture(),
        // The tree is not empty (links, cache), the keys are given, and the cache outlives the build.
        "--skip=check/empty,check/qemu,check/signed-by,chroot/mount/sys,essential/unlink,cleanup/apt/cache",
        "--keyring=/build/keys", "--aptopt=Acquire::Retries \"2\"", "--aptopt=Acquire::http::Timeout \"20\"",
        "--aptopt=Acquire::https::Timeout \"20\"", "--dpkgopt=force-unsafe-io"};
    for (const std::string &option : m_archive.aptOptions)
        argv.push_back("--aptopt=" + option);
    if (const auto names = early(); !names.empty())
        argv.push_back("--include=" + join(names, ","));
    argv.insert(argv.end(), {m_archive.suite, "/target"});
    for (const std::string &line : split(lines, '\n'))
        if (line.starts_with("deb "))
            argv.push_back(line);
    BuildStep step = run("bootstrap " + m_template.name + " " + m_image.release + " from " + hostOf(m_archive.url),
                         std::move(argv), outsideEnvironment());
    step.outside = true;
    m_plan.bootstrapStep = m_plan.job.steps.size();
    add(std::move(step));
    return {};
}

/// The archive's own static apk, checked against what its signed index said of it.
Status Planner::fetchApk()
{
    if (!m_host.apkTools)
        return Error(Code::Unavailable,
                     "template " + quoted(m_template.name) + ": there is no program apk on this host");
    const ApkEntry &entry = *m_host.apkTools;
    BuildStep fetch =
        fetchStep(m_archive, apkFolder(m_archive, architecture()) + entry.name + "-" + entry.version + ".apk",
                  kFetchedApk, kMostApk);
    fetch.title = "fetch " + entry.name + " " + entry.version + " from " + hostOf(m_archive.url);
    add(std::move(fetch));
    BuildStep check = file(Kind::ApkProgram, kFetchedApk, formatApkEntry(entry));
    check.title = "check " + entry.name;
    check.argv = {kApkInPackage, kApkProgram};
    check.outside = true;
    add(std::move(check));
    return {};
}

Status Planner::apk()
{
    std::string repositories;
    for (const std::string &component : m_archive.components)
        repositories += m_archive.url + "/" + m_archive.suite + "/" + component + "\n";
    m_plan.job.files.emplace_back("repositories", repositories);
    const ApkKeys keys = TRY(apkKeys(m_template, m_host));
    addKeys(m_plan.job, keys);
    if (m_host.apk.empty())
        TRY(fetchApk());
    std::vector<std::string> argv = {m_host.apk.empty() ? kApkProgram : m_host.apk,
                                     "--root=/target",
                                     "--initdb",
                                     "--arch=" + architecture(),
                                     "--keys-dir=/build/keys",
                                     "--repositories-file=/build/repositories",
                                     "--no-progress",
                                     "--no-cache",
                                     "add"};
    for (const std::string &name : early())
        argv.push_back(name);
    BuildStep step = run("bootstrap " + m_template.name + " " + m_image.release + " from " + hostOf(m_archive.url),
                         std::move(argv), outsideEnvironment());
    step.outside = true;
    // A static OpenSSL looks where Alpine has its authorities.
    step.environment.push_back("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt");
    std::ranges::move(proxyEnvironment(m_archive), std::back_inserter(step.environment));
    m_plan.bootstrapStep = m_plan.job.steps.size();
    add(std::move(step));
    add(file(Kind::Write, "/etc/apk/repositories", repositories));
    for (const auto &[name, content] : keys)
        add(file(Kind::Write, "/etc/apk/keys/" + name, content));
    return {};
}

/// A root of one static program: every applet is a link to it.
Status Planner::busybox()
{
    if (m_host.busybox.empty())
        return Error(Code::Unavailable,
                     "template " + quoted(m_template.name) + ": there is no static busybox on this host")
            .hint("install the package busybox-static");
    struct Folder {
        const char *path;
        std::uint32_t mode;
    };
    constexpr Folder kFolders[] = {
        {"/bin",      0755 },
        {"/sbin",     0755 },
        {"/usr/bin",  0755 },
        {"/usr/sbin", 0755 },
        {"/dev",      0755 },
        {"/proc",     0755 },
        {"/sys",      0755 },
        {"/run",      0755 },
        {"/root",     0700 },
        {"/tmp",      01777},
        {"/var",      0755 },
        {"/mnt",      0755 },
        {"/var/log",  0755 },
        {"/etc",      0755 },
        {"/home",     0755 }
    };
    for (const Folder &folder : kFolders)
        add(file(Kind::Folder, folder.path, {}, folder.mode));
    add(file(Kind::Copy, "/bin/busybox", m_host.busybox, 0755));
    m_plan.bootstrapStep = m_plan.job.steps.size();
    add(run("install busybox", {"/bin/busybox", "--install", "-s"}, m_environment));
    return {};
}

Status Planner::bootstrap()
{
    if (m_template.source.downloader == "debootstrap")
        return debootstrap();
    return m_template.source.downloader == "apk" ? apk() : busybox();
}

/// The guest's own list of sources, unless the definition brings one.
void Planner::sources()
{
    for (const TemplateRepository &repository : m_template.repositories)
        if (repository.name == "sources.list" && has(repository.filter))
            return;
    std::string signedBy = m_ownKey;
    if (signedBy.empty() && !m_template.keyrings.empty())
        signedBy = "/usr/share/keyrings/" + m_template.keyrings.front();
    if (!m_ownKey.empty()) {
        for (const auto &[name, content] : m_plan.job.files)
            if (name == "own-key.asc")
                add(file(Kind::Write, m_ownKey, content));
    }
    add(file(Kind::Remove, "/etc/apt/sources.list"));
    add(file(Kind::Write, "/etc/apt/sources.list.d/" + m_template.distribution + ".sources",
             sourceStanzas(m_archive, signedBy)));
    std::string checks; // of an archive whose dates the host does not check either
    for (const std::string &option : m_archive.aptOptions)
        if (option.starts_with("Acquire::Check-"))
            checks += option + "\n";
    if (!checks.empty())
        add(file(Kind::Write, "/etc/apt/apt.conf.d/90archive-dates", checks));
}

Status Planner::repositories()
{
    if (m_template.packageManager == "apt")
        sources();
    for (const TemplateRepository &repository : m_template.repositories) {
        if (!has(repository.filter))
            continue;
        const std::string content =
            TRY(rendered(repository.url, m_values, m_template.file + ": repository " + quoted(repository.name))) + "\n";
        if (m_template.packageManager == "apk") {
            add(file(Kind::Write, "/etc/apk/repositories", content));
            continue;
        }
        const bool main = repository.name == "sources.list";
        const bool suffixed = repository.name.ends_with(".list") || repository.name.ends_with(".sources");
        add(file(Kind::Write,
                 main ? "/etc/apt/sources.list"
                      : "/etc/apt/sources.list.d/" + repository.name + (suffixed ? "" : ".list"),
                 content));
        if (!repository.key.empty())
            add(file(Kind::Write, "/etc/apt/trusted.gpg.d/" + repository.name + ".asc", repository.key + "\n"));
    }
    return {};
}

constexpr const char *kPolicy = "/usr/sbin/policy-rc.d";

struct Manager {
    std::string_view name;
    std::vector<std::string> refresh, update, install, remove, clean;
};

const Manager &managerOf(const std::string &name)
{
    static const Manager kManagers[] = {
        {"apt",
         {"/usr/bin/apt-get", "-y", "update"},
         {"/usr/bin/apt-get", "-y", "-o", "Dpkg::Options::=--force-confold", "dist-upgrade"},
         {"/usr/bin/apt-get", "-y", "-o", "Dpkg::Options::=--force-confold", "install"},
         {"/usr/bin/apt-get", "-y", "--auto-remove", "remove"},
         {}}, // what apt fetched lies in a cache of ours
        {"apk",
         {"/sbin/apk", "--no-cache", "update"},
         {"/sbin/apk", "--no-cache", "upgrade"},
         {"/sbin/apk", "--no-cache", "add"},
         {"/sbin/apk", "--no-cache", "del", "--rdepends"},
         {}},
    };
    return name == "apk" ? kManagers[1] : kManagers[0];
}

void Planner::packages()
{
    const Manager &manager = managerOf(m_template.packageManager);
    const bool debootstrap = m_template.source.downloader == "debootstrap";
    std::vector<const TemplatePackages *> sets;
    for (const TemplatePackages &set : m_template.packages)
        if (has(set.filter) && !(set.early && !set.remove) && !set.packages.empty())
            sets.push_back(&set);
    if (sets.empty() && !m_template.updatePackages)
        return;
    if (debootstrap)
        add(file(Kind::Write, kPolicy, "#!/bin/sh\nexit 101\n",
                 0755)); // no daemon of a package starts while an image is made
    add(run("refresh package lists", manager.refresh, m_environment));
    if (m_template.updatePackages)
        add(run("update packages", manager.update, m_environment));
    // Neighbours with one action and the same flags are one run of the package manager.
    for (std::size_t i = 0; i < sets.size();) {
        std::vector<std::string> argv = sets[i]->remove ? manager.remove : manager.install;
        argv.insert(argv.end(), sets[i]->flags.begin(), sets[i]->flags.end());
        std::size_t next = i;
        for (; next < sets.size() && sets[next]->remove == sets[i]->remove && sets[next]->flags == sets[i]->flags;
             ++next)
            argv.insert(argv.end(), sets[next]->packages.begin(), sets[next]->packages.end());
        add(run(sets[i]->remove ? "remove packages" : "install packages", std::move(argv), m_environment));
        i = next;
    }
}

Status Planner::actions(const std::string &trigger)
{
    for (const TemplateAction &action : m_template.actions) {
        if (action.trigger != trigger || !has(action.filter))
            continue;
        const std::string script = action.pongo
                                       ? TRY(rendered(action.script, m_values, m_template.file + ": action " + trigger))
                                       : action.script;
        const std::string path = "/tmp/.lxmgr-" + trigger;
        add(file(Kind::Write, path, script + "\n", 0700));
        add(run("run " + trigger + " action", {path}, m_environment));
        add(file(Kind::Remove, path));
    }
    return {};
}

void Planner::rule(const TemplateFile &entry, const std::string &name, const std::string &content,
                   std::vector<std::string> when)
{
    TemplateRule rule;
    rule.target = entry.path;
    rule.source = name;
    rule.when = entry.when.empty() ? std::move(when) : entry.when;
    rule.properties = entry.properties;
    rule.uid = entry.uid;
    rule.gid = entry.gid;
    rule.mode = entry.mode;
    m_plan.rules.push_back(std::move(rule));
    m_plan.templates[name] = content;
}

struct CloudFile {
    std::string_view name, content, fallback;
};

constexpr CloudFile kCloudFiles[] = {
    {"meta-data",
     "#cloud-config\ninstance-id: {{ container.name }}\nlocal-hostname: {{ container.name }}\n{{ "
     "config_get(\"user.meta-data\", \"\") }}\n",                                                                       ""                   },
    {"network-config",
     "{% if config_get(\"user.network-config\", \"\") == \"\" %}version: 1\nconfig:\n  - type: physical\n    name: "
     "eth0\n    subnets:\n"
     "      - type: dhcp\n        control: auto{% else %}{{ config_get(\"user.network-config\", \"\") }}{% endif %}\n", ""                   },
    {"user-data",      "{{ config_get(\"user.user-data\", properties.default) }}\n",                                    "#cloud-config\n{}\n"},
    {"vendor-data",    "{{ config_get(\"user.vendor-data\", properties.default) }}\n",                                  "#cloud-config\n{}\n"},
};

/// Seed files of cloud-init's NoCloud source, rendered for every instance.
void Planner::cloudInit(const TemplateFile &entry)
{
    for (const CloudFile &row : kCloudFiles) {
        if (row.name != entry.name)
            continue;
        TemplateFile full = entry;
        if (full.path.empty())
            full.path = "/var/lib/cloud/seed/nocloud-net/" + entry.name;
        if (full.properties.empty() && !row.fallback.empty())
            full.properties["default"] = row.fallback;
        rule(full, "cloud-init-" + entry.name + ".tpl",
             entry.content.empty() ? std::string(row.content) : entry.content, {"create", "copy"});
    }
}

Status Planner::generator(const TemplateFile &given)
{
    TemplateFile entry = given;
    if (entry.pongo) {
        entry.path = TRY(rendered(entry.path, m_values, m_template.file + ": path"));
        entry.content = TRY(rendered(entry.content, m_values, m_template.file + ": content of " + entry.path));
    }
    if (entry.generator == "remove") {
        add(file(Kind::Remove, entry.path));
    } else if (entry.generator == "dump") {
        BuildStep step =
            file(Kind::Write, entry.path,
                 entry.content.empty() || entry.content.ends_with('\n') ? entry.content : entry.content + "\n",
                 entry.mode.value_or(0644));
        step.uid = entry.uid.value_or(0);
        step.gid = entry.gid.value_or(0);
        add(std::move(step));
    } else if (entry.generator == "template") {
        rule(entry, entry.name, entry.content, {"create", "copy"});
    } else if (entry.generator == "hostname") {
        rule(entry, "hostname.tpl", "{{ container.name }}\n", {"create", "copy", "rename"});
    } else if (entry.generator == "hosts") {
        rule(entry, "hosts.tpl", {}, {"create", "copy", "rename"});
        m_plan.hosts.push_back(entry.path);
    } else {
        bool known = false;
        for (const CloudFile &row : kCloudFiles)
            known = known || row.name == entry.name;
        if (!known)
            return Error(Code::Invalid, m_template.file + ": cloud-init has no file " + quoted(entry.name));
        cloudInit(entry);
    }
    return {};
}

Status Planner::generators()
{
    for (const TemplateFile &entry : m_template.files)
        if (has(entry.filter))
            TRY(generator(entry));
    return {};
}

/// What a build leaves that is nobody's.
void Planner::cleanUp()
{
    if (m_template.source.downloader == "debootstrap") {
        add(file(Kind::Remove, kPolicy));
        for (const char *path :
             {"/var/log/dpkg.log", "/var/log/apt/history.log", "/var/log/apt/term.log", "/var/log/alternatives.log",
              "/var/log/bootstrap.log", "/var/cache/ldconfig/aux-cache", "/var/lib/dbus/machine-id",
              "/var/cache/apt/pkgcache.bin", "/var/cache/apt/srcpkgcache.bin", "/var/lib/apt/lists"})
            add(file(Kind::Remove, path));
        add(file(Kind::Keep, "/etc/resolv.conf", m_host.resolvConf));
    }
    BuildStep step;
    step.kind = Kind::Leave;
    add(step);
    if (m_template.source.downloader == "debootstrap") {
        add(file(Kind::Folder, "/var/lib/apt/lists", {}, 0755));
        add(file(Kind::Folder, "/var/lib/apt/lists/partial", {}, 0700));
        add(file(Kind::Folder, "/var/cache/apt/archives/partial", {}, 0700));
    }
}

void Planner::properties()
{
    auto &out = m_plan.properties;
    for (const auto &[key, value] : {
             std::pair<std::string, std::string>{"os",           m_template.distribution       },
             {"release",      m_image.release               },
             {"version",      m_image.version               },
             {"variant",      m_image.variant               },
             {"architecture", architecture()                },
             {"description",  m_values.at("description")    },
             {"name",         m_values.at("name")           },
             {"serial",       m_values.at("serial")         },
             {"mirror",       withoutPassword(m_archive.url)},
             {"template",     m_template.name               }
    })
        if (!value.empty())
            out[key] = value;
}

Result<BuildPlan> Planner::plan()
{
    m_plan.archive = m_archive;
    m_plan.job.resolvConf = m_host.resolvConf;
    TRY(bootstrap());
    BuildStep enter;
    enter.kind = Kind::Enter;
    if (m_template.source.downloader == "busybox") // its folders are there before its first program runs
        m_plan.job.steps.insert(m_plan.job.steps.begin() + static_cast<std::ptrdiff_t>(m_plan.bootstrapStep), enter);
    else
        add(enter);
    TRY(repositories());
    TRY(actions("post-unpack"));
    packages();
    if (m_template.updatePackages)
        TRY(actions("post-update"));
    TRY(actions("post-packages"));
    TRY(generators());
    TRY(actions("post-files"));
    cleanUp();
    properties();
    return std::move(m_plan);
}

std::string serialNow()
{
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y%m%d_%H%M", &parts)};
}

} // namespace

std::map<std::string, std::string> imageValues(const Template &definition, const ResolvedImage &image)
{
    const auto mapped = definition.architectureMap.find(image.architecture);
    std::map<std::string, std::string> values = {
        {"distribution",             definition.distribution                                                         },
        {"release",                  image.release                                                                   },
        {"variant",                  image.variant                                                                   },
        {"architecture",             image.architecture                                                              },
        {"architecture_mapped",      mapped == definition.architectureMap.end() ? image.architecture : mapped->second},
        {"architecture_kernel",      image.architecture                                                              },
        {"architecture_personality", image.architecture                                                              },
        {"serial",                   definition.serial.empty() ? serialNow() : definition.serial                     },
    };
    std::string title = definition.title;
    if (title == definition.distribution && !title.empty())
        title = upper(title.substr(0, 1)) + title.substr(1);
    const std::string shown = image.version.empty() ? image.release : image.version + " (" + image.release + ")";
    values["description"] = definition.description.empty()
                                ? title + (shown.empty() ? "" : " " + shown) + " " + values["architecture_mapped"]
                                : definition.description;
    values["name"] = join(std::vector<std::string>{definition.distribution, image.release,
                                                   values["architecture_mapped"], image.variant, values["serial"]},
                          "-");
    return values;
}

bool admits(const Filter &filter, const Template &definition, const ResolvedImage &image)
{
    const auto mapped = definition.architectureMap.find(image.architecture);
    const std::string architecture = mapped == definition.architectureMap.end() ? image.architecture : mapped->second;
    return contains(filter.releases, image.release) && contains(filter.architectures, architecture) &&
           contains(filter.variants, image.variant) && contains(filter.types, "container");
}

BuildStep fetchStep(const Archive &archive, const std::string &url, const std::string &target, std::uint32_t most)
{
    std::vector<std::string> argv = {"/usr/lib/apt/apt-helper", "-oAPT::Sandbox::User=root", "-oAcquire::Retries=1",
                                     "-oAcquire::http::Timeout=15"};
    for (const std::string &option : archive.aptOptions)
        if (const auto [name, value] = proxyOf(option); !name.empty())
            argv.push_back("-o" + name + "=" + value);
    argv.insert(argv.end(), {"download-file", url, target});
    BuildStep step = run({}, std::move(argv), outsideEnvironment());
    step.outside = true;
    step.mostFile = most;
    return step;
}

Result<BuildJob> planApkSearch(const Template &definition, const ResolvedImage &image, const Archive &archive,
                               const BuildHost &host)
{
    BuildJob job;
    job.resolvConf = host.resolvConf;
    addKeys(job, TRY(apkKeys(definition, host)));
    const std::string architecture = imageValues(definition, image).at("architecture_mapped");
    BuildStep fetch =
        fetchStep(archive, apkFolder(archive, architecture) + "APKINDEX.tar.gz", kFetchedIndex, kMostApkIndex);
    fetch.title = "ask " + hostOf(archive.url) + " for the program apk";
    job.steps.push_back(std::move(fetch));
    BuildStep search = file(Kind::ApkIndex, kFetchedIndex, kApkPackage);
    search.title = "check the index of " + hostOf(archive.url);
    search.outside = true;
    job.steps.push_back(std::move(search));
    return job;
}

Result<BuildPlan> planBuild(const Template &definition, const ResolvedImage &image, const Archive &archive,
                            const BuildHost &host)
{
    return Planner(definition, image, archive, host).plan();
}

} // namespace lxmgr::images

#include "images/build.h"

#include "base/text.h"
#include "images/bootstrap.h"
#include "images/build_process.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/seccomp.h"
#include "kernel/sys.h"

#include <algorithm>
#include <ctime>
#include <sys/file.h>

namespace lxmgr::images
{

namespace
{

// --- what the host has

constexpr std::string_view kBusyboxPlaces[] = {"/usr/bin/busybox", "/bin/busybox", "/usr/local/bin/busybox",
                                               "/sbin/busybox"};
constexpr std::string_view kKeyringPlaces[] = {"/usr/share/keyrings", "/usr/share/apk/keys", "/etc/apt/trusted.gpg.d"};

/// A program without an interpreter in its ELF header runs in a tree that holds nothing else.
bool isStatic(const std::string &path)
{
    const auto text = files::read(path, 64U << 20);
    if (!text || !text->starts_with("\x7f"
                                    "ELF"))
        return false;
    return text->substr(0, 4096).find("/ld-") == std::string::npos;
}

std::string findBusybox()
{
    for (const std::string_view place : kBusyboxPlaces)
        if (isStatic(std::string(place)))
            return std::string(place);
    return {};
}

/// Keyrings by file name: the host's package of them wins, so that they are as new as the host is.
std::map<std::string, std::string> findKeyrings(const Paths &paths, const Template &definition)
{
    std::map<std::string, std::string> found;
    for (const std::string &name : definition.keyrings) {
        if (name.find('/') != std::string::npos)
            continue;
        std::vector<std::string> places;
        for (const std::string_view place : kKeyringPlaces)
            places.push_back(std::string(place) + "/" + name);
        places.push_back(paths.dataDir + "/images/keys/" + name);
        for (const std::string &place : places) {
            auto content = files::read(place, 4U << 20);
            if (!content)
                continue;
            found[name] = std::move(*content);
            break;
        }
    }
    return found;
}

bool exists(const std::string &path) { return sys::fstatat(sys::cwd(), path, 0).has_value(); }

constexpr const char *kApk = "/sbin/apk"; // on few hosts that are not Alpine

constexpr struct {
    std::string_view downloader, program, package;
} kPrograms[] = {
    {"debootstrap", "/usr/bin/mmdebstrap",     "mmdebstrap"},
    {"apk",         "/usr/lib/apt/apt-helper", "apt"       }, // fetches apk where there is none
};

Status checkPrograms(const Template &definition)
{
    if (definition.source.downloader == "apk" && ::access(kApk, X_OK) == 0)
        return {};
    for (const auto &row : kPrograms)
        if (row.downloader == definition.source.downloader && ::access(std::string(row.program).c_str(), X_OK) < 0)
            return Error(Code::Unavailable, "template " + quoted(definition.name) + " needs the program " +
                                                quoted(row.program) + ", which is not here")
                .hint("install the package " + std::string(row.package));
    return {};
}

/// apt's own view of its configuration, without running any of it as part of the build.
std::vector<std::string> hostAptOptions()
{
    if (!exists("/usr/bin/apt-config"))
        return {};
    const auto output = captureOutput({"/usr/bin/apt-config", "dump", "Acquire"}, {"PATH=/usr/bin:/bin", "LC_ALL=C"});
    return output ? usefulAptOptions(*output) : std::vector<std::string>();
}

BuildHost readHost(const Paths &paths, const Template &definition)
{
    BuildHost host;
    host.keyrings = findKeyrings(paths, definition);
    host.resolvConf = files::read("/etc/resolv.conf", 1 << 16).value_or(std::string());
    if (definition.source.downloader == "busybox") {
        host.busybox = findBusybox();
        return host;
    }
    if (::access(kApk, X_OK) == 0)
        host.apk = kApk;
    host.archives = readHostArchives();
    host.archives.aptOptions = hostAptOptions();
    return host;
}

// --- which suites an archive has

/// Asks a given mirror for the index of its suites; those that are not there are left out. The main one must be.
Status probeArchive(const Paths &paths, const Template &definition, Archive &archive, std::uint32_t idBase,
                    const std::string &resolvConf, Progress &progress)
{
    struct Probe {
        std::string url, suite;
    };
    std::vector<Probe> probes = {
        {archive.url, archive.suite}
    };
    if (archive.updates)
        probes.push_back({archive.url, archive.suite + "-updates"});
    if (!archive.securityUrl.empty())
        probes.push_back({archive.securityUrl, archive.suite + "-security"});
    BuildJob job;
    job.idBase = idBase;
    job.resolvConf = resolvConf;
    for (const Probe &probe : probes) {
        BuildStep step = fetchStep(archive, probe.url + "/dists/" + probe.suite + "/InRelease", "/tmp/InRelease", 0);
        step.mayFail = true;
        job.steps.push_back(std::move(step));
    }
    progress.report("ask " + hostOf(archive.url) + " which suites it has");
    const JobResult result = TRY(runJob(paths, job, progress));
    if (result.statuses.at(0) != 0)
        return explainFailure(result.lines, archive, definition.name);
    if (archive.updates)
        archive.updates = result.statuses.at(1) == 0;
    if (!archive.securityUrl.empty() && result.statuses.at(probes.size() - 1) != 0)
        archive.securityUrl.clear();
    return {};
}

// --- a host without apk

/// What the archive's signed index says of the static apk.
Result<ApkEntry> findApk(const Paths &paths, const Template &definition, const ResolvedImage &image,
                         const Archive &archive, const BuildHost &host, std::uint32_t idBase, Progress &progress)
{
    BuildJob job = TRY(planApkSearch(definition, image, archive, host));
    job.idBase = idBase;
    job.seccomp = TRY(seccomp::compile(seccomp::Policy{}));
    const JobResult result = TRY(runJob(paths, job, progress));
    if (result.failedStep)
        return explainFailure(result.lines, archive, definition.name);
    if (result.failed)
        return Error(*result.failed).in("template " + quoted(definition.name));
    return TRY_IN("index of " + hostOf(archive.url), parseApkEntry(result.lines.empty() ? "" : result.lines.back()));
}

// --- folders

/// The caches of one template and archive, locked; none when another build has them.
struct Caches {
    Fd lock;
    std::vector<BuildCache> list;
};

Result<Caches> openCaches(const Paths &paths, const ResolvedImage &image, const Archive &archive)
{
    Caches caches;
    const std::string name = image.templateName + "-" + image.release + "-" + image.architecture + "-" +
                             textDigest(archive.url + archive.suite).substr(0, 8);
    const Fd state = TRY(path::openFolder(paths.stateDir));
    const Fd all = TRY(path::makeFolders(state, "templates-cache", 0700, path::Scope::NoSymlink));
    const Fd folder = TRY(path::makeFolders(all, name, 0700, path::Scope::NoSymlink));
    caches.lock = TRY(sys::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (::flock(caches.lock.get(), LOCK_EX | LOCK_NB) != 0)
        return caches;
    const std::string base = paths.stateDir + "/templates-cache/" + name;
    // Packages only: lists are fetched and checked anew each time, so that what the archive says now is what counts.
    TRY(path::makeFolders(folder, "archives", 0755, path::Scope::NoSymlink));
    caches.list.push_back({base + "/archives", "/var/cache/apt/archives"});
    return caches;
}

/// Empties a folder but keeps it.
Status emptyFolder(const std::string &folder)
{
    const Fd opened = TRY(path::openFolder(folder));
    for (const std::string &name : TRY(path::list(opened)))
        TRY(path::removeTree(opened, name));
    return {};
}

Result<Fd> openResult(const std::string &directory)
{
    if (auto made = sys::mkdirat(sys::cwd(), directory, 0700); !made && made.error().errnum != EEXIST)
        return std::move(made.error());
    Fd folder = TRY(path::openFolder(directory));
    if (!TRY(path::list(folder)).empty())
        return Error(Code::Invalid, "build: the folder " + quoted(directory) + " is not empty");
    return folder;
}

// --- metadata

/// The tree's own file with a line for the instance, as the hosts generator promises.
std::string hostsTemplate(const Fd &rootfs, const std::string &path)
{
    std::string text = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost "
                       "ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";
    if (auto file = path::open(rootfs, path, O_RDONLY | O_NONBLOCK, path::Scope::InRoot))
        if (auto own = files::readAll(*file, 1 << 16); own && own->find("localhost") != std::string::npos)
            text = *own;
    if (!text.ends_with('\n'))
        text += '\n';
    return text + "127.0.1.1\t{{ container.name }}\n";
}

/// "30d", "1h 30m": seconds, 0 for none.
std::int64_t expirySeconds(const std::string &text)
{
    std::int64_t total = 0;
    for (const std::string &word : words(text)) {
        const auto number = parseUnsigned(std::string_view(word).substr(0, word.size() - 1), 0, 1'000'000);
        constexpr struct {
            char unit;
            std::int64_t seconds;
        } kUnits[] = {
            {'s', 1     },
            {'m', 60    },
            {'h', 3600  },
            {'d', 86400 },
            {'w', 604800}
        };
        for (const auto &unit : kUnits)
            if (number && word.back() == unit.unit)
                total += static_cast<std::int64_t>(*number) * unit.seconds;
    }
    return total;
}

Status writeMetadata(const Fd &folder, BuildPlan &plan, const Template &definition, const ResolvedImage &image)
{
    const Fd rootfs = TRY(path::open(folder, "rootfs", O_PATH | O_DIRECTORY, path::Scope::NoSymlink));
    for (const std::string &path : plan.hosts)
        plan.templates["hosts.tpl"] = hostsTemplate(rootfs, path);
    TRY(sys::mkdirat(folder, "templates", 0755));
    const Fd templates = TRY(path::open(folder, "templates", O_RDONLY | O_DIRECTORY, path::Scope::NoSymlink));
    for (const auto &[name, content] : plan.templates)
        TRY(files::replaceVolatile(templates, name, content, 0644));
    Metadata metadata;
    metadata.architecture = image.architecture;
    metadata.creationDate = std::time(nullptr);
    if (const std::int64_t expiry = expirySeconds(definition.expiry))
        metadata.expiryDate = metadata.creationDate + expiry;
    metadata.properties = plan.properties;
    metadata.templates = plan.rules;
    return files::replaceVolatile(folder, "metadata.yaml", formatMetadata(metadata), 0644);
}

// --- the whole

Status runPlan(const Paths &paths, BuildPlan &plan, const Template &definition, Progress &progress)
{
    const JobResult result = TRY(runJob(paths, plan.job, progress));
    if (!result.failed)
        return {};
    const bool archive = !plan.archive.url.empty() && result.failedStep && *result.failedStep <= plan.bootstrapStep;
    if (archive)
        return explainFailure(result.lines, plan.archive, definition.name);
    Error error = *result.failed;
    const std::size_t from = result.lines.size() - std::min<std::size_t>(result.lines.size(), 3);
    const std::vector<std::string> last(result.lines.begin() + static_cast<std::ptrdiff_t>(from), result.lines.end());
    if (!last.empty() && result.failedStep)
        error.message += ": " + join(last, " / ");
    return std::move(error).in("template " + quoted(definition.name));
}

Result<BuiltImage> buildInto(const Paths &paths, const Template &definition, const ResolvedImage &image,
                             const BuildOptions &options, Progress &progress, const Fd &folder)
{
    TRY(checkPrograms(definition)); // before anything is asked of the network
    BuildHost host = readHost(paths, definition);
    Archive archive;
    Caches caches;
    if (definition.source.downloader != "busybox") {
        archive = TRY(
            chooseArchive(definition, image.release, image.architecture, options.mirror, options.suite, host.archives));
    } else if (!options.mirror.empty() || !options.suite.empty()) {
        return Error(Code::Invalid,
                     "template " + quoted(definition.name) + " has no archive: mirror and suite mean nothing to it");
    }
    if (definition.source.downloader == "apk" && host.apk.empty())
        host.apkTools = TRY(findApk(paths, definition, image, archive, host, options.idBase, progress));
    BuildPlan plan = TRY(planBuild(definition, image, archive, host));
    if (archive.probe) {
        TRY(probeArchive(paths, definition, archive, options.idBase, host.resolvConf, progress));
        plan = TRY(planBuild(definition, image, archive, host));
    }
    if (definition.source.downloader == "debootstrap")
        caches = TRY_IN("package cache", openCaches(paths, image, archive));
    TRY(sys::mkdirat(folder, "rootfs", 0755));
    TRY(sys::fchmodat(folder, "rootfs", 0755)); // the daemon's umask is for its own files
    plan.job.rootfs = options.directory + "/rootfs";
    plan.job.idBase = options.idBase;
    plan.job.caches = caches.list;
    plan.job.seccomp = TRY(seccomp::compile(seccomp::Policy{}));
    TRY(runPlan(paths, plan, definition, progress));
    TRY_IN("image metadata", writeMetadata(folder, plan, definition, image));
    return BuiltImage{options.directory, plan.properties, image.aliases, image.cacheKey};
}

} // namespace

Result<BuiltImage> build(const Paths &paths, const Template &definition, const ResolvedImage &image,
                         const BuildOptions &options, Progress &progress)
{
    const Fd folder = TRY(openResult(options.directory));
    auto built = buildInto(paths, definition, image, options, progress, folder);
    if (!built)
        if (const Status emptied = emptyFolder(options.directory); !emptied)
            return Error(built.error()).hint("left behind: " + emptied.error().message);
    return built;
}

Result<BuiltImage> build(const Paths &paths, const ResolvedImage &image, const BuildOptions &options,
                         Progress &progress)
{
    return build(paths, TRY(loadTemplate(paths, image.templateName)), image, options, progress);
}

} // namespace lxmgr::images

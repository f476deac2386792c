// lxmgr-helper backup: becomes borg, shut in with the repository and what it is to store or to fill.
//
// The order: namespaces, then a root of our own with mounts of what is needed, then nothing of the host has a name any more.
// Ids stay as they are: files of a guest are stored with the owners they have on disk.
#include "backup/job.h"

#include "base/text.h"
#include "helper/modes.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "kernel/files.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <csignal>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

namespace lxmgr::helper
{

namespace
{

using namespace lxmgr::backup;

constexpr std::size_t kLongestJob = 1 << 30;
constexpr std::uint64_t kNothingRuns = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/// Folders of the host that a program loads itself from; where one is a link, the same link is made.
constexpr const char *kProgramFolders[] = {"bin", "lib", "lib32", "lib64", "usr"};
/// Who else is asked: the loader's cache, and what borg calls the owner of a repository.
constexpr const char *kProgramFiles[] = {"etc/ld.so.cache", "etc/passwd", "etc/group", "dev/null"};

std::uint64_t bit(unsigned capability) { return 1ULL << capability; }

/// What borg needs to read what others have closed, or to give files their owners and modes, and no more.
std::uint64_t capabilitiesOf(Use use)
{
    const std::uint64_t fills =
        bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FOWNER) | bit(CAP_FSETID) | bit(CAP_SETFCAP);
    switch (use) {
    case Use::Repository: return 0;
    case Use::Store: return bit(CAP_DAC_READ_SEARCH);
    case Use::Restore: return fills;
    case Use::RestoreAll: return fills | bit(CAP_MKNOD);
    }
    return 0;
}

/// A mount of its own, and where it goes below the new root.
struct Part {
    std::string at;
    Fd mount;
    bool isFile = false;
};

Result<Fd> bound(const std::string &path, std::uint64_t attributes)
{
    Fd tree = TRY(sys::open_tree(sys::cwd(), path, sys::Recursive::No));
    TRY(sys::mount_setattr(tree, sys::Recursive::No, attributes, 0, nullptr, MS_PRIVATE));
    return tree;
}

/// What is to be filled, as a mount of its own. Before the namespace is left that its descriptor is of.
Result<Fd> boundTarget()
{
    Fd tree = TRY(sys::callFd("open_tree", "target", [] {
        return ::syscall(SYS_open_tree, kTargetFd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    }));
    TRY(sys::mount_setattr(tree, sys::Recursive::No, kNothingRuns, 0, nullptr, MS_PRIVATE));
    return tree;
}

struct Link {
    std::string name, target;
};

Status findPrograms(std::vector<Part> &parts, std::vector<Link> &links)
{
    const Fd host = TRY(sys::open("/", O_PATH | O_DIRECTORY));
    for (const std::string name : kProgramFolders) {
        const auto info = sys::fstatat(host, name);
        if (!info)
            continue; // not on every host
        if (S_ISLNK(info->st_mode))
            links.push_back({name, TRY(sys::readlinkat(host, name))});
        else
            parts.push_back({name, TRY(bound("/" + name, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV))});
    }
    for (const std::string name : kProgramFiles)
        if (sys::fstatat(host, name))
            parts.push_back({name, TRY(bound("/" + name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | (name == "dev/null" ? 0 : MOUNT_ATTR_RDONLY))), true});
    // Access control lists are read through /proc/self/fd.
    parts.push_back({"proc", TRY(bound("/proc", MOUNT_ATTR_RDONLY | kNothingRuns))});
    return {};
}

std::string below(const char *place) { return place + 1; } // "/repository" → "repository"
std::string inTree(const std::string &path) { return below(kWork) + "/" + kTree + (path.empty() ? "" : "/" + path); }

bool fills(Use use) { return use == Use::Restore || use == Use::RestoreAll; }

Status findTrees(const Job &job, std::vector<Part> &parts)
{
    parts.push_back({below(kRepository), TRY_IN("repository", bound(job.repository, kNothingRuns))});
    parts.push_back({below(kBase), TRY(bound(job.base, kNothingRuns))});
    for (const images::ExportSource &source : job.sources) {
        if (source.layers.empty())
            return Error(Code::Corrupt, "the job of a backup names a tree without layers");
        parts.push_back({inTree(source.folder + "/rootfs"), TRY_IN(source.folder, mount::layersForReading(source.layers))});
        if (!source.templates.empty())
            parts.push_back({inTree(source.folder + "/templates"), TRY(bound(source.templates, MOUNT_ATTR_RDONLY | kNothingRuns))});
    }
    return {};
}

Status makePlace(const Fd &root, const Part &part)
{
    if (!part.isFile) {
        (void)TRY(path::makeFolders(root, part.at, 0755, path::Scope::NoMount));
        return {};
    }
    const std::size_t slash = part.at.rfind('/');
    (void)TRY(path::makeFolders(root, part.at.substr(0, slash), 0755, path::Scope::NoMount));
    (void)TRY(sys::openat(root, part.at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    return {};
}

Status writeText(const Fd &root, const std::string &at, const std::string &text)
{
    (void)TRY(path::makeFolders(root, at.substr(0, at.rfind('/')), 0755, path::Scope::NoMount));
    return files::writeAll(TRY(sys::openat(root, at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644)), text);
}

Status writeTexts(const Fd &root, const Job &job)
{
    if (job.sources.empty())
        return {};
    TRY(writeText(root, inTree("index.yaml"), job.index));
    for (const images::ExportSource &source : job.sources) {
        TRY(writeText(root, inTree(source.folder + "/backup.yaml"), source.backup));
        TRY(writeText(root, inTree(source.folder + "/metadata.yaml"), source.metadata));
    }
    return {};
}

/// "/" becomes a folder with what the job names in it.
Status enterRoot(const Job &job)
{
    std::vector<Part> parts;
    if (fills(job.use))
        parts.push_back({inTree({}), TRY(boundTarget())});
    TRY(sys::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS));
    TRY(sys::mount("", "/", "", MS_REC | MS_PRIVATE));
    std::vector<Link> links;
    TRY(findPrograms(parts, links));
    TRY(findTrees(job, parts));
    const Fd empty = TRY(mount::create("tmpfs", {{"mode", "755"}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    TRY(sys::move_mount(empty, sys::cwd(), "/proc")); // some folder that every system has; hidden in this namespace only
    TRY(sys::chdir("/proc"));
    const Fd root = TRY(sys::open(".", O_RDONLY | O_DIRECTORY));
    TRY(sys::mkdirat(root, "tmp", 0700));
    (void)TRY(path::makeFolders(root, inTree({}), 0755, path::Scope::NoMount));
    TRY(writeTexts(root, job));
    for (const Link &link : links)
        TRY(sys::symlinkat(link.target, root, link.name));
    for (const Part &part : parts) {
        TRY_IN(part.at, makePlace(root, part));
        TRY(sys::move_mount(part.mount, root, part.at));
    }
    TRY(sys::pivot_root(".", ".")); // pivot_root(2): the old root is on top of the new one then
    TRY(sys::umount2(".", MNT_DETACH));
    return sys::chdir(kWork);
}

std::vector<char *> pointers(const std::vector<std::string> &texts)
{
    std::vector<char *> all;
    for (const std::string &text : texts)
        all.push_back(const_cast<char *>(text.c_str()));
    all.push_back(nullptr);
    return all;
}

Status becomeBorg()
{
    const Fd file(kJobFd);
    TRY(sys::call("lseek", {}, [&] { return ::lseek(file.get(), 0, SEEK_SET); }));
    Job job = TRY(decode(TRY(files::readAll(file, kLongestJob))));
    TRY_IN("sandbox", enterRoot(job));
    const rlimit none{};
    TRY(sys::call("setrlimit", {}, [&] { return ::setrlimit(RLIMIT_CORE, &none); }));
    job.arguments.insert(job.arguments.begin(), job.program);
    const std::vector<char *> arguments = pointers(job.arguments), environment = pointers(job.environment);
    TRY(sys::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC));
    ::umask(077);
    TRY(images::shutInProgram(capabilitiesOf(job.use)));
    ::execve(job.program.c_str(), arguments.data(), environment.data());
    return Error::fromErrno(errno, "run", job.program).as(Code::Unavailable);
}

} // namespace

int backup(std::span<char *const>)
{
    ::umask(0);
    const Fd report(kReportFd);
    if (const Status done = becomeBorg(); !done)
        images::sendError(report, done.error());
    return 2;
}

} // namespace lxmgr::helper

// lxmgr-helper backup: becomes borg, shut in with the repository and what it is to store or to fill.
//
// The order: namespaces, then a root of our own with mounts of what is needed, then nothing of the host has a name any more.
// Ids stay as they are: files of a guest are stored with the owners they have on disk.
#include "backup/job.h"

#include "base/text.h"
#include "helper/modes.h"
#include "helper/program_root.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "kernel/files.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <sys/resource.h>
#include <unistd.h>

namespace lxmgr::helper
{

namespace
{

using namespace lxmgr::backup;

constexpr std::size_t kLongestJob = 1 << 30;

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
    const auto find = [&](std::vector<Part> &parts) { return findTrees(job, parts); };
    const auto fill = [&](const Fd &root) -> Status {
        (void)TRY(path::makeFolders(root, inTree({}), 0755, path::Scope::NoMount));
        return writeTexts(root, job);
    };
    const Target target{inTree({}), kTargetFd};
    TRY(enterProgramRoot(fills(job.use) ? &target : nullptr, find, fill));
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

// Repository: a folder of borg's, in which backups share what is the same in them.
//
// Why borg: chunks are deduplicated by content across guests and times, compressed and optionally encrypted; what a killed
// run had not committed is taken back by the next one without a hand; and it keeps all of a file system that a guest can
// have in it (restic records where it read from, and wants an `unlock` after a kill). It is fed a mounted tree: its
// import-tar would lose extended attributes, access control lists and capabilities.
#pragma once

#include "backup/output.h"
#include "backup/retention.h"
#include "base/progress.h"
#include "images/export_job.h"

#include <optional>
#include <string>
#include <vector>

namespace lxmgr::backup
{

struct Settings {
    std::string helper;
    std::string folder;         ///< Of the repository, absolute.
    std::string passphraseFile; ///< "": not encrypted.
    std::string base;           ///< Folder for what borg keeps for itself.
};

/// All calls block; any thread. One writer at a time is the caller's to see to; others of another host are kept out by borg.
class Repository
{
public:
    /// Unsupported: borg is not installed.
    static Result<Repository> open(Settings settings);

    /// Makes it where there is none yet, with what a crash left of an attempt before. Invalid: the folder holds something else.
    Status ensure();
    bool exists() const;

    struct Stored {
        Sizes sizes;
        std::vector<std::string> warnings;
    };
    /// `source` names the guest: what borg remembers of its files is kept apart from that of others.
    Result<Stored> store(const std::string &archive, const std::string &comment, const std::string &source,
                         const images::ExportJob &tree, Progress &progress) const;
    /// Those of unfinished runs, which are named after an archive, go.
    Status removeUnfinished(const std::string &archive) const;

    enum class Lock { Take, PassBy }; ///< PassBy while a writer of ours is at work.
    Result<std::vector<Archive>> list(Lock lock) const;
    Result<ArchiveInfo> info(const std::string &archive) const;
    Result<RepositoryInfo> info() const;
    /// Text of index.yaml.
    Result<std::string> index(const std::string &archive) const;

    /// Reads back all that the archive holds. Corrupt.
    Status verify(const std::string &archive, Progress &progress) const;
    /// The same for all of them, and for the repository itself.
    Status verifyAll(Progress &progress) const;

    enum class Nodes { LeaveOut, Make };
    struct Restored {
        std::vector<std::string> warnings;
        std::uint64_t nodesLeftOut = 0;
    };
    /// Fills `target` with "container/rootfs" and what is beside it, and with "snapshots/<name>/rootfs" of `snapshots`.
    Result<Restored> restore(const std::string &archive, const std::vector<std::string> &snapshots, const Fd &target, Nodes nodes,
                             Progress &progress) const;

    Status remove(const std::string &archive, Progress &progress) const;
    enum class Prune { Say, Do };
    /// Of the archives whose names begin with `prefix` those go that `retention` does not keep. The space comes free with compact().
    Result<std::vector<Pruned>> prune(const std::string &prefix, const Retention &retention, Prune how, Progress &progress) const;
    Status compact(Progress &progress) const;

private:
    Repository(Settings settings, std::string program) : m_settings(std::move(settings)), m_program(std::move(program)) {}
    Result<struct Job> job(std::vector<std::string> arguments, const std::string &source = {}) const;
    Result<struct Ended> runJob(std::vector<std::string> arguments, Progress &progress) const;

    Settings m_settings;
    std::string m_program;
};

} // namespace lxmgr::backup

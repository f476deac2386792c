// One run of borg: what it may see and do. The daemon says it, `lxmgr-helper backup` shuts it in with just that.
#pragma once

#include "images/export_job.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::backup
{

/// Descriptors the helper is born with, beside standard input, output and error, which become borg's.
enum HelperFd { kReportFd = 3, kJobFd = 4, kTargetFd = 5 };

// Where things lie for borg, whose "/" is an empty folder with these in it and what a program of the host needs.
inline constexpr const char *kRepository = "/repository";
inline constexpr const char *kBase = "/base"; ///< What it keeps for itself: cache, and which repositories it knows.
inline constexpr const char *kWork = "/work"; ///< Its working folder, with kTree in it: what is stored, or restored.
inline constexpr const char *kTree = "backup";

enum class Use {
    Repository, ///< Works on the repository alone.
    Store,      ///< Reads `sources`, whoever owns what is in them.
    Restore,    ///< Fills the target, but makes no device nodes.
    RestoreAll, ///< The same with device nodes.
};

struct Job {
    Use use = Use::Repository;
    std::string program;
    std::vector<std::string> arguments; ///< Behind the program's name.
    std::vector<std::string> environment;
    std::string repository; ///< Folders on the host, absolute.
    std::string base;
    std::string index; ///< Text of index.yaml.
    std::vector<images::ExportSource> sources;
};

std::string encode(const Job &job);
Result<Job> decode(std::string_view bytes);

} // namespace lxmgr::backup

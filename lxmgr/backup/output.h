// What borg prints, as JSON: lines on standard error while it works, one document on standard output at the end.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::backup
{

/// A line of --log-json --progress.
struct Line {
    enum class Kind {
        Other,
        Progress, ///< `text` is for people.
        Listed,   ///< Of --list.
        Warning,
        Error,
    };
    Kind kind = Kind::Other;
    std::string text;
    std::string id; ///< borg's name for the message, "LockTimeout".
};
/// A line that is no JSON is a warning: Python itself wrote it.
Line parseLine(const std::string &line);

/// The error a failed run ends with, from its lines; `status` as waitpid(2) gives it.
Error errorOf(const std::vector<Line> &errors, int status);

struct Archive {
    std::string name;
    std::string comment;
    std::int64_t createdAt = 0; ///< Unix milliseconds.
    bool operator==(const Archive &) const = default;
};
/// Of `borg list --json`, the oldest first.
Result<std::vector<Archive>> parseArchives(std::string_view json);

struct Sizes {
    std::uint64_t original = 0;
    std::uint64_t compressed = 0;
    std::uint64_t deduplicated = 0; ///< What is stored for it and for nothing else.
    std::uint64_t files = 0;        ///< Of an archive.
    bool operator==(const Sizes &) const = default;
};
/// Of `borg create --json`.
Result<Sizes> parseCreated(std::string_view json);

struct ArchiveInfo {
    Archive archive;
    Sizes sizes;
};
/// Of `borg info --json` on an archive.
Result<ArchiveInfo> parseArchiveInfo(std::string_view json);

struct RepositoryInfo {
    std::string id;
    std::string encryption; ///< "none", "repokey-blake2"
    Sizes sizes;            ///< Of all archives.
};
/// Of `borg info --json` on the repository.
Result<RepositoryInfo> parseRepositoryInfo(std::string_view json);

/// Which of `names` a line of `borg prune --list` is about, and whether it stays; nullopt: of none.
struct Pruned {
    std::string name;
    bool kept = false;
    std::string rule; ///< Of one that stays: "daily #1".
    bool operator==(const Pruned &) const = default;
};
std::optional<Pruned> parsePruned(const std::string &text);

} // namespace lxmgr::backup

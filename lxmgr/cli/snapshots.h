// Names of snapshots as people type them: "web1/snap0".
#pragma once

#include "base/result.h"

#include <optional>
#include <string>
#include <string_view>

namespace lxmgr::cli
{

struct SnapshotWord {
    std::string instance;
    std::string snapshot;
};
/// "web1/snap0" taken apart; nullopt for a word without "/".
std::optional<SnapshotWord> snapshotWord(const std::string &word);

/// "/1.0/instances/<instance>/snapshots/<snapshot>"; refuses what can be no name before anything is sent.
Result<std::string> snapshotPath(const std::string &instance, const std::string &snapshot);

} // namespace lxmgr::cli

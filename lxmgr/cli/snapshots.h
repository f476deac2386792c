// Names of snapshots as people type them: "web1/snap0".
#pragma once

#include "api/time.h"
#include "base/result.h"
#include "cli/arguments.h"

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

/// What --no-expiry and --expires say of a new snapshot; nothing where neither is given.
Result<std::optional<api::Time>> expiryOf(const Arguments &arguments);

} // namespace lxmgr::cli

// Extended attributes of one file in a form that can be compared: owners in them count as the guest sees them.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "diff/walk.h"

#include <cstdint>
#include <map>
#include <string>

namespace lxmgr::diff
{

/// `id` of a tree whose ids are `ids`, as a guest sees it that knows only the first `seen` (0: all).
std::uint32_t idSeen(std::uint32_t id, const Ids &ids, std::uint32_t seen);

using Attributes = std::map<std::string, std::string>;
/// Changes the working folder. `name` is one component; a link is not followed. Attributes only the host's root can see
/// (trusted.*) are not among them.
Result<Attributes> attributesOf(const Fd &folder, const std::string &name, const Ids &ids, std::uint32_t seen);

/// The value with owners in it (access lists, file capabilities) translated; as it is where it has none.
std::string valueSeen(const std::string &name, std::string value, const Ids &ids, std::uint32_t seen);

} // namespace lxmgr::diff

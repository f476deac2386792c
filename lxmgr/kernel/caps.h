// Capabilities (capabilities(7)): the bounding set, and the sets an exec starts from.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string_view>

namespace lxmgr::caps
{

/// The highest capability this kernel knows.
Result<unsigned> last();
/// Takes all capabilities not in `keep` (bit per capability) out of the bounding set. Needs CAP_SETPCAP.
Status limitBoundingSet(std::uint64_t keep);
/// Empties the inheritable and the ambient set, keeps effective and permitted within `keep`.
Status clearInheritable(std::uint64_t keep);

} // namespace lxmgr::caps

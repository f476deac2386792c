// The last steps before an exec into a guest, the same for PID 1 and for attached commands.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "spec/launch.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::runtime
{

/// In the monitor, before the clone: what a guest may have beyond us is ours, too. Its processes begin with that, they cannot
/// raise it, and its user namespace counts by it (Linux 5.14). What cannot be raised is told by setLimits().
void raiseOwnLimits(const std::vector<spec::ResourceLimit> &limits);
Status setLimits(const std::vector<spec::ResourceLimit> &limits);
/// Bounding set within `keep`; inheritable and ambient sets empty.
Status dropCapabilities(std::uint64_t keep);
/// `filter`: struct sock_filter[] as bytes; "" loads none.
Status loadSeccomp(std::string_view filter);
/// The same of a filter that asks: the descriptor that its calls are answered by. Before loadSeccomp(), which may forbid to
/// hand that over. Unsupported: this kernel has none (Linux 5.5).
Result<Fd> loadIntercepts(std::string_view filter);

using Environment = std::vector<std::pair<std::string, std::string>>;
/// Marks all descriptors but 0–2 close-on-exec and replaces the process. A program without a slash is looked up in PATH
/// of `environment`. Comes back only to say why it could not.
Error execute(const std::vector<std::string> &argv, const Environment &environment);

} // namespace lxmgr::runtime

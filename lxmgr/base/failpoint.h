// Failpoints: named places where a test stops, fails or delays a program. Builds without LXMGR_FAILPOINTS have none.
//
// LXMGR_FAIL is a list of "name=action" parted by commas; a program reads it once. Actions:
//   kill          SIGKILL to this process, as if it died between two instructions
//   error         an Internal error that names the point; error:ENOSPC is that errno's error
//   sleep:MS      go on after MS milliseconds
//   hang          never go on (until killed)
//   list:FILE     (name "*" only) append the name of every point passed to FILE, one a line
#pragma once

#include "base/result.h"

#include <string_view>

namespace lxmgr
{

#if LXMGR_FAILPOINTS
/// Passes the point `name` ("launch.record": operation.step, just after the step took effect). Any thread.
Status failpoint(std::string_view name);
#else
inline Status failpoint(std::string_view) { return {}; }
#endif

} // namespace lxmgr

// Gives memory back while the monitor idles: there may be a thousand of it.
#pragma once

namespace lxmgr::monitor
{

/// Returns free heap to the kernel, and unmaps the program's pages that are not written to: those still needed come back
/// from the page cache, the many that only a start needs do not. Tens of microseconds.
void releaseMemory();

} // namespace lxmgr::monitor

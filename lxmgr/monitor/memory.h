// Gives memory back while the monitor idles: there may be a thousand of it.
#pragma once

namespace lxmgr::monitor
{

/// Waits until `fd` is readable, for at most `timeout` milliseconds (-1: for ever). Once a moment has passed without
/// that, free heap goes back to the kernel, and the program's pages that are not written to are unmapped: the few that
/// are needed come back from the page cache, the many that only a start needs do not. No timer ticks while it waits.
void waitIdle(int fd, int timeout);

} // namespace lxmgr::monitor

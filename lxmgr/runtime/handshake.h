// What parent (monitor) and child (soon PID 1) say to each other between clone3(2) and exec.
//
//   parent                                     child
//   clone3 ─────────────────────────────────▶  joins the v1 control groups, still with the host root's uid
//   writes the id maps
//   makes root, /dev, folders (detached, their flags locked)
//   ── Mount [fd], once for each folder ────▶
//   ── Go [root, dev] ──────────────────────▶  becomes root inside, mounts all, changes root
//   makes interfaces, inner ends inside  ◀── Console [pty, devpts, notify]
//   ── Network ─────────────────────────────▶  sysctls, files, limits, capabilities, seccomp
//                                        ◀── Listener [seccomp], where system calls are intercepted
//                                        ◀── end of stream: exec closed the descriptor, init runs
//
// Failed may come from the child at any point instead; the parent's end of stream means it died, and so does the child.
// The parent waits no longer than LaunchSpec::patience for all of it, then kills the child.
#pragma once

#include "spec/channel.h"

#include <cstdint>

namespace lxmgr::runtime
{

enum class Handshake : std::uint32_t {
    Mount = 1,
    Go = 2,
    Console = 3,
    Network = 4,
    Failed = 5,
    Listener = 6, ///< Also from what exec runs.
};

constexpr spec::MessageType wire(Handshake stage) { return static_cast<spec::MessageType>(stage); }

} // namespace lxmgr::runtime

// Modes of lxmgr-helper: work on untrusted input that needs libraries the monitor must not carry.
//
// Two programs are spawned by the daemon. lxmgr-monitor is static and small, stays as long as its guest, and enters
// guests (modes "run" and "files"). lxmgr-helper lives for one job and may link libarchive, yaml-cpp and SQLite
// ("unpack", "export", "build", "diff", "backup"); it never enters a guest, so nothing of a guest can be loaded into it.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <functional>
#include <span>
#include <string_view>

namespace lxmgr::helper
{

/// `args` are those after the mode's name. The result is the exit status.
using ModeFunction = int (*)(std::span<char *const> args);

int unpack(std::span<char *const> args);   // unpack.cpp
int exported(std::span<char *const> args); // export.cpp
int build(std::span<char *const> args);    // build.cpp
int diff(std::span<char *const> args);     // diff.cpp
int backup(std::span<char *const> args);   // backup.cpp
int receive(std::span<char *const> args);  // receive.cpp
int migrateTree(std::span<char *const> args); // migrate.cpp

/// What modes that read archives do around `work`: signals, names and modes as they need them, and the daemon told on
/// `report` how it ended.
int readArchive(const Fd &report, const std::function<Status()> &work); // archive_mode.cpp

struct Mode {
    std::string_view name;
    ModeFunction run;
};

} // namespace lxmgr::helper

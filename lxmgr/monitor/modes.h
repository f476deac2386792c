// Modes of lxmgr-monitor. "unpack" and "build" are not here but in lxmgr-helper (helper/modes.h), because they link
// libarchive and yaml-cpp: this program must stay below 0.6 MiB and is static, so that it can enter guests safely.
// Put them in lxmgr/helper/unpack.cpp and lxmgr/helper/build.cpp; CMake there picks the files up.
#pragma once

#include <span>
#include <string_view>

namespace lxmgr::monitor
{

/// `args` are those after the mode's name. The result is the exit status.
using ModeFunction = int (*)(std::span<char *const> args);

int run(std::span<char *const> args);   // run.cpp: parent of one guest
int files(std::span<char *const> args); // files.cpp: files inside one guest
int proxy(std::span<char *const> args); // proxy.cpp: forwards for one device of one guest

struct Mode {
    std::string_view name;
    ModeFunction run;
};

} // namespace lxmgr::monitor

// A program of the host, started by a helper that has shut itself in: a single-threaded process may fork.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <functional>
#include <string>
#include <vector>

namespace lxmgr::helper
{

struct Ran {
    int exitCode = 0;
    std::string output;
    std::string words; ///< Its standard error.
};

/// Where the host has it: /usr/bin, /usr/sbin or /usr/local/bin. Before the helper shuts itself in; NotFound.
Result<Fd> openProgram(const std::string &name);

/// Runs `program` to its end with `arguments` (the first is its name), no environment, and `inherited` open. `watch` is
/// asked now and then, if it is given, and its error ends the program. Unavailable: it could not be started.
Result<Ran> runProgram(const Fd &program, const std::vector<std::string> &arguments, const std::vector<int> &inherited,
                       const std::function<Status()> &watch = {});

/// The name by which such a program opens what it inherited.
std::string pathOf(const Fd &fd);

} // namespace lxmgr::helper

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

/// Runs `program` to its end with `arguments` (the first is its name), no environment, and `inherited` open. `watch` is
/// asked now and then, and its error ends the program. Unavailable: it could not be started.
Result<Ran> runProgram(const Fd &program, const std::vector<std::string> &arguments, const std::vector<int> &inherited,
                       const std::function<Status()> &watch);

} // namespace lxmgr::helper

#include "base/program_path.h"

#include "version.h"

#include <climits>
#include <cstdlib>
#include <unistd.h>

namespace lxmgr
{

std::string programPath(const char *variable, const std::string &name, const std::string &folder)
{
    if (const char *given = std::getenv(variable); given && *given)
        return given;
    char self[PATH_MAX];
    const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
    const std::string exe(self, length > 0 ? static_cast<std::size_t>(length) : 0);
    std::string beside = exe.substr(0, exe.rfind('/')) + "/" + name;
    return ::access(beside.c_str(), X_OK) == 0 ? beside : folder + "/" + name;
}

std::string tunnelProgram() { return programPath("LXMGR_TUNNEL", "lxmgr-tunnel", LXMGR_LIBEXEC_DIR); }

} // namespace lxmgr

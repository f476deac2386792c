#include "base/paths.h"

#include "version.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <climits>
#include <unistd.h>

namespace lxmgr
{

namespace
{

std::string environment(const char *name, const std::string &otherwise)
{
    const char *value = std::getenv(name);
    return value && *value ? value : otherwise;
}

std::string programFolder()
{
    char path[PATH_MAX];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string exe(path, length > 0 ? static_cast<std::size_t>(length) : 0);
    return exe.substr(0, exe.rfind('/'));
}

/// The first of `candidates` that can be run, else the last.
std::string firstProgram(std::initializer_list<std::string> candidates)
{
    for (const std::string &path : candidates)
        if (::access(path.c_str(), X_OK) == 0)
            return path;
    return *(candidates.end() - 1);
}

/// FNV-1a, to tell state folders apart in a short name.
std::string shortHash(const std::string &text)
{
    std::uint32_t hash = 2166136261U;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    char hex[12];
    std::snprintf(hex, sizeof hex, "%08x", hash);
    return hex;
}

} // namespace

Paths Paths::fromEnvironment()
{
    const std::string here = programFolder();
    const std::string defaultState = "/var/lib/lxmgr";
    Paths paths;
    paths.stateDir = environment("LXMGR_DIR", defaultState);
    paths.runDir = environment("LXMGR_RUN_DIR", paths.stateDir == defaultState ? "/run/lxmgr" : paths.stateDir + "/run");
    paths.configDir = environment("LXMGR_CONFIG_DIR", "/etc/lxmgr");
    paths.dataDir = environment("LXMGR_DATA_DIR", LXMGR_DATA_DIR);
    paths.monitor = environment("LXMGR_MONITOR", firstProgram({here + "/lxmgr-monitor", LXMGR_LIBEXEC_DIR "/lxmgr-monitor"}));
    paths.helper = environment("LXMGR_HELPER", firstProgram({here + "/lxmgr-helper", LXMGR_LIBEXEC_DIR "/lxmgr-helper"}));
    paths.daemon = environment("LXMGRD", firstProgram({here + "/lxmgrd", LXMGR_SBIN_DIR "/lxmgrd"}));
    paths.sysfs = environment("LXMGR_SYSFS", "/sys");
    paths.lxcfs = environment("LXMGR_LXCFS", "/var/lib/lxcfs");
    paths.uevents = environment("LXMGR_UEVENTS", "");
    paths.cgroupBase = environment("LXMGR_CGROUP", paths.stateDir == defaultState ? "lxmgr" : "lxmgr-" + shortHash(paths.stateDir));
    return paths;
}

} // namespace lxmgr

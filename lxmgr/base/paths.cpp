#include "base/paths.h"

#include "base/program_path.h"
#include "version.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace lxmgr
{

namespace
{

std::string environment(const char *name, const std::string &otherwise)
{
    const char *value = std::getenv(name);
    return value && *value ? value : otherwise;
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
    const std::string defaultState = "/var/lib/lxmgr";
    Paths paths;
    paths.stateDir = environment("LXMGR_DIR", defaultState);
    paths.runDir = environment("LXMGR_RUN_DIR", paths.stateDir == defaultState ? "/run/lxmgr" : paths.stateDir + "/run");
    paths.configDir = environment("LXMGR_CONFIG_DIR", "/etc/lxmgr");
    paths.dataDir = environment("LXMGR_DATA_DIR", LXMGR_DATA_DIR);
    paths.monitor = programPath("LXMGR_MONITOR", "lxmgr-monitor", LXMGR_LIBEXEC_DIR);
    paths.helper = programPath("LXMGR_HELPER", "lxmgr-helper", LXMGR_LIBEXEC_DIR);
    paths.daemon = programPath("LXMGRD", "lxmgrd", LXMGR_SBIN_DIR);
    paths.sysfs = environment("LXMGR_SYSFS", "/sys");
    paths.lxcfs = environment("LXMGR_LXCFS", "/var/lib/lxcfs");
    paths.vtpmx = environment("LXMGR_VTPMX", "/dev/vtpmx");
    paths.swtpm = environment("LXMGR_SWTPM", "");
    paths.uevents = environment("LXMGR_UEVENTS", "");
    paths.cgroupBase = environment("LXMGR_CGROUP", paths.stateDir == defaultState ? "lxmgr" : "lxmgr-" + shortHash(paths.stateDir));
    return paths;
}

} // namespace lxmgr

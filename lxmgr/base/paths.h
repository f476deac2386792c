// Where things lie: state, sockets, configuration and shipped data; each can be moved by an environment variable.
#pragma once

#include <string>

namespace lxmgr
{

struct Paths {
    std::string stateDir;   ///< LXMGR_DIR, default /var/lib/lxmgr: database, pools, images, logs. 0711 root.
    std::string runDir;     ///< LXMGR_RUN_DIR, default /run/lxmgr: sockets and what dies with a boot. 0711 root.
    std::string configDir;  ///< LXMGR_CONFIG_DIR, default /etc/lxmgr: templates.d, profiles.d.
    std::string dataDir;    ///< LXMGR_DATA_DIR, default <prefix>/share/lxmgr: templates, image keys, shipped profiles.
    std::string monitor;    ///< LXMGR_MONITOR, else lxmgr-monitor beside this program or in libexec.
    std::string helper;     ///< LXMGR_HELPER, else lxmgr-helper beside this program or in libexec.
    std::string daemon;     ///< LXMGRD, else lxmgrd beside this program or in sbin.
    std::string sysfs;      ///< LXMGR_SYSFS, default /sys: where the host's USB devices and graphics cards are looked for.
    std::string lxcfs;      ///< LXMGR_LXCFS, default /var/lib/lxcfs: where lxcfs(1) is mounted, if it is.
    std::string vtpmx;      ///< LXMGR_VTPMX, default /dev/vtpmx: where TPM devices for swtpm(8) are made.
    std::string swtpm;      ///< LXMGR_SWTPM; "": swtpm where the host keeps programs.
    std::string uevents;    ///< LXMGR_UEVENTS: a socket of ours that news of devices comes to instead of the kernel's; "": the kernel's.
    std::string cgroupBase; ///< LXMGR_CGROUP, default "lxmgr": the folder of ours in every hierarchy.

    /// Reads the environment and /proc/self/exe. A state folder of its own gets a cgroup base of its own.
    static Paths fromEnvironment();

    std::string socket() const { return runDir + "/unix.socket"; }
    std::string database() const { return stateDir + "/lxmgr.db"; }
    std::string instanceRunDir(const std::string &project, const std::string &name) const
    {
        return runDir + "/instances/" + (project == "default" ? name : project + "_" + name);
    }
    std::string instanceLogDir(const std::string &project, const std::string &name) const
    {
        return stateDir + "/logs/" + (project == "default" ? name : project + "_" + name);
    }
};

} // namespace lxmgr

// lxmgr-helper: one job of the daemon's in a process of its own.
#include "base/log.h"
#include "helper/modes.h"
#include "kernel/files.h"

#include <string>
#include <sys/stat.h>

namespace
{

using namespace lxmgr;

constexpr helper::Mode kModes[] = {
    {"unpack", &helper::unpack  },
    {"export", &helper::exported},
    {"build",  &helper::build   },
    {"diff",   &helper::diff    },
    {"backup", &helper::backup  },
    {"receive", &helper::receive},
    {"migrate", &helper::migrateTree},
};

} // namespace

int main(int argc, char **argv)
{
    // The daemon's mask keeps its own files private; the trees made here get the modes they say.
    ::umask(022);
    // Nor is it spared as the daemon is when the host runs out of memory: its job can be done again.
    if (const auto score = files::read("/proc/self/oom_score_adj", 32); score && score->starts_with('-'))
        (void)files::put("/proc/self/oom_score_adj", "0"); // or it stays spared
    const std::string_view name = argc > 1 ? argv[1] : "";
    for (const helper::Mode &mode : kModes)
        if (mode.name == name)
            return mode.run(std::span<char *const>(argv + 2, static_cast<std::size_t>(argc - 2)));
    log::error("lxmgr-helper is run by lxmgrd, not by hand");
    return 2;
}

// lxmgr-monitor: parent of one guest (run), a visitor to its files (files), or what forwards for one of its proxies (proxy).
#include "base/log.h"
#include "kernel/sys.h"
#include "monitor/modes.h"

namespace
{

using namespace lxmgr;

constexpr monitor::Mode kModes[] = {
    {"run",   &monitor::run  },
    {"files", &monitor::files},
    {"proxy", &monitor::proxy}, // started by "run"
};

} // namespace

int main(int argc, char **argv)
{
    // 3 is the channel to who started us. Anything else was leaked to us, and would be to a guest's clone.
    if (!sys::close_range(4, ~0U))
        return 2;
    const std::string_view name = argc > 1 ? argv[1] : "";
    for (const monitor::Mode &mode : kModes)
        if (mode.name == name)
            return mode.run(std::span<char *const>(argv + 2, static_cast<std::size_t>(argc - 2)));
    log::error("lxmgr-monitor is run by lxmgrd, not by hand");
    return 2;
}

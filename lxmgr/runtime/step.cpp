#include "runtime/step.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace lxmgr::runtime
{

#ifdef LXMGR_FAILPOINTS
void traceStep(const char *who, const char *name)
{
    static const bool wanted = std::getenv("LXMGR_TRACE") != nullptr;
    if (!wanted)
        return;
    static timespec last{};
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const double spent = static_cast<double>(now.tv_sec - last.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec - last.tv_nsec) / 1e6;
    if (last.tv_sec != 0)
        std::fprintf(stderr, "%8.3f ms  %s: %s\n", spent, who, name);
    last = now;
}
#else
void traceStep(const char *, const char *) {}
#endif

} // namespace lxmgr::runtime

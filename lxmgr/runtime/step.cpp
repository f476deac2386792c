#include "runtime/step.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sys/resource.h>

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
    const double spent =
        static_cast<double>(now.tv_sec - last.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec - last.tv_nsec) / 1e6;
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const double cpu = static_cast<double>(usage.ru_stime.tv_usec + usage.ru_utime.tv_usec) / 1e3;
    // Time, processor time so far, and how often we waited or were put off so far.
    if (last.tv_sec != 0)
        std::fprintf(stderr, "%8.3f ms  cpu %6.3f  waits %3ld  preempted %3ld  %s: %s\n", spent, cpu, usage.ru_nvcsw,
                     usage.ru_nivcsw, who, name);
    last = now;
}
#else
void traceStep(const char *, const char *) {}
#endif

} // namespace lxmgr::runtime

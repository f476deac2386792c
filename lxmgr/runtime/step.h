// Steps: order is data. Each row gives its name to errors, to fault tests ("runtime.NAME") and to LXMGR_TRACE's timing.
#pragma once

#include "base/failpoint.h"
#include "base/result.h"

#include <span>
#include <string>

namespace lxmgr::runtime
{

template <class State> struct Step {
    const char *name;
    Status (*run)(State &);
};

/// Milliseconds since the last call in this process, with the step's name, on standard error; test builds only.
void traceStep(const char *who, const char *name);

template <class State> Status runStep(const char *who, const Step<State> &step, State &state)
{
    TRY_IN(step.name, step.run(state));
    TRY(failpoint(std::string(who) + "." + step.name));
    traceStep(who, step.name);
    return {};
}

template <class State> Status runSteps(const char *who, std::span<const Step<State>> steps, State &state)
{
    for (const Step<State> &step : steps)
        TRY(runStep(who, step, state));
    return {};
}

} // namespace lxmgr::runtime

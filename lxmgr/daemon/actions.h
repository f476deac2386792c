// What the events say of a request that was done by the time it was answered: a row per route. What operations do, they tell
// themselves at their end.
#pragma once

#include "api/operations.h"
#include "daemon/server.h"

#include <optional>
#include <string>

namespace lxmgr::daemon
{

/// A request whose success is an event.
class Action
{
public:
    /// nullopt: no event belongs to it. The request may go meanwhile.
    static std::optional<Action> of(const Request &request);

    /// The event, `location` being that of the answer ("" for none).
    api::Lifecycle event(const std::string &location) const;
    const std::string &project() const { return m_project; }

private:
    Action() = default;

    api::Lifecycle m_event;
    std::string m_project;
};

} // namespace lxmgr::daemon

// Progress of one state of an instance on its way: its name in front of what is said.
#pragma once

#include "base/progress.h"

#include <string>

namespace lxmgr::instances
{

class StateProgress final : public Progress
{
public:
    StateProgress(Progress &to, std::string what) : m_to(to), m_what(std::move(what)) {}
    void report(const std::string &text) override { m_to.report(m_what + ": " + text); }
    bool cancelled() const override { return m_to.cancelled(); }

private:
    Progress &m_to;
    const std::string m_what;
};

} // namespace lxmgr::instances

// Findings: all that is wrong with a set of keys, told at once.
#pragma once

#include "base/result.h"

namespace lxmgr::config
{

class Findings
{
public:
    void add(Error error)
    {
        // Something plainly wrong outweighs what is only not carried out.
        if (m_error.message.empty() || error.code == Code::Invalid)
            m_error.code = error.code;
        m_error.message += (m_error.message.empty() ? "" : "; ") + error.message;
    }
    void add(Status status)
    {
        if (!status)
            add(std::move(status.error()));
    }
    Status status() const
    {
        if (m_error.message.empty())
            return {};
        return m_error;
    }

private:
    Error m_error;
};

} // namespace lxmgr::config

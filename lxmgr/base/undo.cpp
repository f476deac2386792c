#include "base/undo.h"

#include "base/log.h"

namespace lxmgr
{

void Undo::run()
{
    while (!m_steps.empty()) {
        Step step = std::move(m_steps.back());
        m_steps.pop_back();
        if (Status done = step.action(); !done)
            log::warning("undo '" + step.what + "': " + done.error().message + ", ignoring");
    }
}

} // namespace lxmgr

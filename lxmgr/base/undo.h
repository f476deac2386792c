// Undo: what to do, backwards, unless the whole succeeds. A crash skips it: recovery calls the same named functions.
#pragma once

#include "base/result.h"

#include <functional>
#include <string>
#include <vector>

namespace lxmgr
{

class Undo
{
public:
    Undo() = default;
    Undo(const Undo &) = delete;
    Undo &operator=(const Undo &) = delete;
    ~Undo() { run(); }

    /// `what` names the step in the log when undoing it fails.
    void add(std::string what, std::function<Status()> action) { m_steps.push_back({std::move(what), std::move(action)}); }
    /// All went well: nothing is to be undone.
    void keep() { m_steps.clear(); }
    /// Undoes now, last step first; failures are logged and passed over.
    void run();

private:
    struct Step {
        std::string what;
        std::function<Status()> action;
    };
    std::vector<Step> m_steps;
};

} // namespace lxmgr

// The progress of an operation: one line that is rewritten on a terminal, plain lines elsewhere, nothing with --quiet.
#pragma once

#include "api/operations.h"
#include "cli/context.h"
#include "client/client.h"

#include <string>

namespace lxmgr::cli
{

/// What an operation says of itself: the value of the member of its metadata that ends in "_progress".
std::string progressText(const api::Operation &operation);

class Progress
{
public:
    /// From now on <ctrl>+c cancels the operation that is watched; a second one ends the program.
    Progress(Context &context, std::string what);
    ~Progress();
    Progress(const Progress &) = delete;
    Progress &operator=(const Progress &) = delete;

    client::Watcher watcher();

private:
    void show(const std::string &text);
    void giveSignalsBack();

    Context &m_context;
    std::string m_what;
    std::string m_shown;
    Fd m_signals;
    bool m_terminal;
};

} // namespace lxmgr::cli

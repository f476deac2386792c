// recover: what pools hold and the database does not know.
#include "api/undo.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/output.h"
#include "cli/terminal.h"

#include <algorithm>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

Result<std::vector<api::Recovered>> ask(Context &context, bool apply)
{
    const client::Answer answer =
        TRY(context.client().request("POST", "/internal/recover", api::toJson(api::RecoverPost{apply})));
    return client::Client::parse<std::vector<api::Recovered>>(answer.metadata);
}

void print(Context &context, const std::vector<api::Recovered> &all)
{
    Table table{{"KIND", "NAME", "POOL", "RESULT", "WHY"}, {}};
    for (const api::Recovered &one : all)
        table.rows.push_back({one.kind, one.project.empty() || one.project == "default" ? one.name : one.project + "/" + one.name,
                              one.pool, upperStatus(one.result), one.message});
    context.print(render(table, {}));
}

} // namespace

Result<int> recover(Context &context, const Arguments &arguments)
{
    if (!arguments.has("yes")) {
        const auto lost = TRY(ask(context, false));
        if (lost.empty()) {
            context.say("Nothing is lost: the database knows all that the pools hold");
            return 0;
        }
        print(context, lost);
        TRY(context.flush());
        if (!isTerminal(STDIN_FILENO) || !confirmed("Bring them back"))
            return Error(Code::Cancelled, "nothing was changed (--yes brings them back)");
    }
    const auto all = TRY(ask(context, true));
    if (all.empty())
        context.say("Nothing is lost: the database knows all that the pools hold");
    else
        print(context, all);
    const auto failed = std::ranges::count(all, "failed", &api::Recovered::result);
    if (failed > 0)
        return Error(Code::Internal, std::to_string(failed) + " of " + std::to_string(all.size()) + " could not be brought back, see above");
    return 0;
}

} // namespace lxmgr::cli

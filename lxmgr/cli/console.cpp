// console: the guest's console on this terminal, or what it has printed so far.
#include "api/execution.h"
#include "api/operations.h"
#include "cli/handlers.h"

#include "cli/attach.h"
#include "cli/context.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "client/session.h"

#include <optional>
#include <unistd.h>

namespace lxmgr::cli
{

Result<int> attachConsole(Context &context, const std::string &name)
{
    const bool terminal = isTerminal(STDIN_FILENO) && isTerminal(STDOUT_FILENO);
    const Size size = terminalSize(STDOUT_FILENO);
    const api::InstanceConsolePost post{.width = size.width, .height = size.height, .type = "console", .force = false};
    const client::Answer answer =
        TRY(context.client().request("POST", TRY(instancePath(name, "console")), api::toJson(post)));
    const api::Operation operation = TRY(client::Client::parse<api::Operation>(answer.metadata));
    if (terminal)
        context.say("To detach from the console, press: <ctrl>+a q");

    client::StreamPlan plan;
    plan.operation = answer.operation;
    plan.control = client::secretOf(operation, "control");
    plan.streams = {{client::secretOf(operation, "0"), STDIN_FILENO, STDOUT_FILENO}};
    plan.detach = client::DetachKeys{};
    SignalStream signals(SignalStream::kResizeOnly);
    plan.signalFd = signals.fd();
    plan.onSignal = [&signals] { return signals.nextMessage(); };
    std::optional<RawMode> raw;
    if (terminal)
        raw.emplace(STDIN_FILENO);
    const client::StreamEnd end = TRY(client::runStreams(context.client(), plan));
    raw.reset();
    if (terminal)
        context.print("\r\n");
    if (!end.detached && !end.operation.err.empty())
        return api::operationError(end.operation);
    return 0;
}

Result<int> console(Context &context, const Arguments &arguments)
{
    const std::string name = arguments.word(0);
    if (!arguments.has("show-log"))
        return attachConsole(context, name);
    client::Request request;
    request.target = context.client().target(TRY(instancePath(name, "console")));
    request.sink = [&](const http::ResponseHead &) -> client::Sink {
        return [&](std::string_view piece) -> Status {
            context.print(piece);
            return {};
        };
    };
    const client::Response response = TRY(context.client().exchange(request));
    if (response.head.status != 200)
        return client::refusal(response);
    return 0;
}

} // namespace lxmgr::cli

// exec and shell: a command in an instance, on this terminal or on pipes.
#include "api/execution.h"
#include "api/operations.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/keys.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "client/passed_streams.h"
#include "client/session.h"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

constexpr int kNotRunnable = 126;

enum class Mode { Interactive, Pipes };

Result<Mode> chosenMode(const Arguments &arguments)
{
    const std::string mode = arguments.value("mode", "auto");
    if (mode != "auto" && mode != "interactive" && mode != "non-interactive")
        return Error(Code::Usage, "--mode is auto, interactive or non-interactive, not " + quoted(mode));
    if (arguments.has("force-interactive") && arguments.has("force-noninteractive"))
        return Error(Code::Usage, "either -t or -T, not both");
    if (arguments.has("force-interactive") || mode == "interactive")
        return Mode::Interactive;
    if (arguments.has("force-noninteractive") || mode == "non-interactive" || arguments.has("disable-stdin"))
        return Mode::Pipes;
    return isTerminal(STDIN_FILENO) && isTerminal(STDOUT_FILENO) ? Mode::Interactive : Mode::Pipes;
}

Result<api::InstanceExecPost> execPost(const Arguments &arguments, std::vector<std::string> command, Mode mode)
{
    api::InstanceExecPost post;
    post.command = std::move(command);
    post.waitForWebsocket = true;
    post.interactive = mode == Mode::Interactive;
    if (const char *term = std::getenv("TERM"); term && *term)
        post.environment["TERM"] = term;
    for (const std::string &text : arguments.values("env")) {
        const KeyValue pair = TRY_IN("--env", keyValue(text));
        post.environment[pair.key] = pair.value;
    }
    if (mode == Mode::Interactive) {
        const Size size = terminalSize(STDOUT_FILENO);
        post.width = size.width;
        post.height = size.height;
    }
    post.cwd = arguments.value("cwd", "");
    if (const auto user = arguments.value("user"))
        post.user = static_cast<std::uint32_t>(TRY_IN("--user", parseUnsigned(*user, 0, 4294967294)));
    if (const auto group = arguments.value("group"))
        post.group = static_cast<std::uint32_t>(TRY_IN("--group", parseUnsigned(*group, 0, 4294967294)));
    return post;
}

client::StreamPlan planFor(const client::Answer &answer, const api::Operation &operation, Mode mode, int input)
{
    client::StreamPlan plan;
    plan.operation = answer.operation;
    plan.control = client::secretOf(operation, "control");
    if (mode == Mode::Interactive)
        plan.streams = {{client::secretOf(operation, "0"), input, STDOUT_FILENO}};
    else
        plan.streams = {{client::secretOf(operation, "0"), input, -1},
                        {client::secretOf(operation, "1"), -1, STDOUT_FILENO},
                        {client::secretOf(operation, "2"), -1, STDERR_FILENO}};
    return plan;
}

/// The command's exit status, or why there is none.
Result<int> exitStatus(const api::Operation &operation, const std::string &name, const std::string &command)
{
    const std::int64_t status = operation.metadata.integer("return", -1);
    if (operation.err.empty())
        return status >= 0 ? static_cast<int>(status) : 1;
    Error error = api::operationError(operation);
    if (status == kNotRunnable || status == kNotRunnable + 1) {
        const std::string line =
            "Error: " + quoted(command) + " in " + quoted(name) + ": " + escaped(error.message) + "\n";
        [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, line.data(), line.size());
        return static_cast<int>(status);
    }
    return error;
}

/// By websockets: on a terminal, or on another host.
Result<int> runBySockets(Context &context, const Arguments &arguments, const std::string &name, const api::InstanceExecPost &post,
                         const client::Answer &answer, Mode mode)
{
    const api::Operation operation = TRY(client::Client::parse<api::Operation>(answer.metadata));
    Fd null;
    int input = STDIN_FILENO;
    if (arguments.has("disable-stdin")) {
        null = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        input = null.get();
    }
    client::StreamPlan plan = planFor(answer, operation, mode, input);
    // In raw mode the terminal's keys reach the guest as bytes; on pipes the signals themselves are passed on.
    SignalStream signals(mode == Mode::Interactive ? std::span<const int>(SignalStream::kResizeOnly)
                                                   : SignalStream::kForwarded);
    plan.signalFd = signals.fd();
    plan.onSignal = [&signals] { return signals.nextMessage(); };
    std::optional<RawMode> raw;
    if (mode == Mode::Interactive && isTerminal(STDIN_FILENO))
        raw.emplace(STDIN_FILENO);
    const client::StreamEnd end = TRY(client::runStreams(context.client(), plan));
    raw.reset();
    return exitStatus(end.operation, name, post.command.front());
}

/// By pipes that go with the request. A daemon that does not know of that offers websockets.
Result<int> runByPipes(Context &context, const Arguments &arguments, const std::string &name, api::InstanceExecPost post)
{
    SignalStream signals(SignalStream::kForwarded);
    client::PassedStreams streams = TRY(
        client::PassedStreams::make(arguments.has("disable-stdin") ? -1 : STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO));
    post.passStreams = true;
    client::Request request;
    request.method = "POST";
    request.target = context.client().target(TRY(instancePath(name, "exec")));
    request.body = api::toJson(post);
    request.fds = streams.descriptors();
    const client::Answer answer = TRY(client::openEnvelope(TRY(context.client().exchange(request))));
    const api::Operation operation = TRY(client::Client::parse<api::Operation>(answer.metadata));
    if (!client::secretOf(operation, "0").empty())
        return runBySockets(context, arguments, name, post, answer, Mode::Pipes);
    const client::PassedStreams::Signals control{signals.fd(), [&signals] { return signals.nextMessage(); }};
    return exitStatus(TRY(streams.run(context.client(), answer.operation, control)), name, post.command.front());
}

Result<int> runIn(Context &context, const Arguments &arguments, const std::string &name,
                  std::vector<std::string> command, Mode mode)
{
    api::InstanceExecPost post = TRY(execPost(arguments, std::move(command), mode));
    if (mode == Mode::Pipes && !context.client().isRemote())
        return runByPipes(context, arguments, name, std::move(post));
    const client::Answer answer =
        TRY(context.client().request("POST", TRY(instancePath(name, "exec")), api::toJson(post)));
    return runBySockets(context, arguments, name, post, answer, mode);
}

} // namespace

Result<int> exec(Context &context, const Arguments &arguments)
{
    const Mode mode = TRY(chosenMode(arguments));
    return runIn(context, arguments, arguments.word(0), {arguments.words.begin() + 1, arguments.words.end()}, mode);
}

Result<int> shell(Context &context, const Arguments &arguments)
{
    const std::string user = arguments.value("user", "root");
    // $1 and not the name itself: nothing a user is called can become part of the script.
    const std::vector<std::string> command = {
        "/bin/sh", "-c",
        "if command -v su >/dev/null 2>&1; then exec su -l \"$1\"; fi; cd; exec sh -l", "sh", user};
    Arguments without = arguments;
    without.flags.erase("user"); // a name here, a number for exec
    const Mode mode = isTerminal(STDIN_FILENO) && isTerminal(STDOUT_FILENO) ? Mode::Interactive : Mode::Pipes;
    return runIn(context, without, arguments.word(0), command, mode);
}

} // namespace lxmgr::cli

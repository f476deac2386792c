// Commands and consoles: a task of class websocket whose sockets are coupled with pipes, a pty or the console's stream.
#include "daemon/context.h"
#include "daemon/passed_exec.h"

#include "api/envelope.h"
#include "api/execution.h"
#include "api/operations.h"
#include "base/text.h"
#include "kernel/path.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <QTimer>
#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

constexpr auto kConnectTime = std::chrono::seconds(5);
constexpr int kPipeful = 256 << 10;
constexpr const char *kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

Result<program::Pipe> makePipe()
{
    program::Pipe pipe = TRY(program::Pipe::create());
    (void)::fcntl(pipe.read.get(), F_SETPIPE_SZ, kPipeful); // as big as there is leave for
    return pipe;
}

Fd duplicate(const Fd &fd) { return Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); }

/// What the command gets beyond what the caller asks for: rest of the environment a login would have.
StringMap environmentOf(const instances::Described &described, const api::InstanceExecPost &post)
{
    StringMap environment;
    constexpr std::string_view kPrefix = "environment.";
    for (const auto &[name, value] : described.expanded.config)
        if (name.starts_with(kPrefix))
            environment[name.substr(kPrefix.size())] = value;
    for (const auto &[name, value] : post.environment)
        environment[name] = value;
    environment.emplace("PATH", kDefaultPath);
    environment.emplace("LANG", "C.UTF-8");
    if (post.user == 0) {
        environment.emplace("HOME", "/root");
        environment.emplace("USER", "root");
    }
    return environment;
}

spec::ExecRequest execRequest(const api::InstanceExecPost &post, const StringMap &environment)
{
    spec::ExecRequest request;
    request.argv = post.command;
    for (const auto &[name, value] : environment)
        request.environment.emplace_back(name, value);
    request.directory = post.cwd;
    request.uid = post.user;
    request.gid = post.group;
    request.pty = post.interactive;
    request.width = static_cast<std::uint32_t>(std::max(post.width, 0));
    request.height = static_cast<std::uint32_t>(std::max(post.height, 0));
    return request;
}

/// One exec with websockets. Everything but begin() runs on the server's thread.
class ExecSession : public std::enable_shared_from_this<ExecSession>
{
public:
    ExecSession(Context &context, InstanceKey key, spec::ExecRequest request, std::shared_ptr<Task> task)
        : m_context(context), m_key(std::move(key)), m_request(std::move(request)), m_task(std::move(task))
    {
    }

    void offer(api::Json &fds)
    {
        const std::vector<std::string> names = m_request.pty ? std::vector<std::string>{"0", "control"}
                                                             : std::vector<std::string>{"0", "1", "2", "control"};
        for (const std::string &name : names) {
            const std::string secret = newSecret();
            fds[name] = secret;
            m_task->addSocket({name, secret, false, [self = shared_from_this(), name](std::shared_ptr<WebSocket> socket) {
                                   self->connected(name, std::move(socket));
                               }});
        }
        m_context.server.runOnServerThread([self = shared_from_this()] {
            QTimer::singleShot(std::chrono::milliseconds(kConnectTime), [self] { self->connectTimeOver(); });
        });
    }

private:
    bool complete() const
    {
        if (m_request.pty)
            return m_sockets.contains("0") && m_sockets.contains("control");
        return m_sockets.contains("0") && m_sockets.contains("1") && m_sockets.contains("2");
    }

    void connected(const std::string &name, std::shared_ptr<WebSocket> socket)
    {
        if (name == "control") {
            socket->onText = [self = shared_from_this()](std::string_view text) { self->control(text); };
            socket->onBinary = [self = shared_from_this()](std::string_view text) { self->control(text); };
            socket->onClose = [self = shared_from_this()] { self->controlLost(); };
        }
        m_sockets[name] = std::move(socket);
        if (complete() && !m_begun) {
            m_begun = true;
            m_context.server.runOnPool([self = shared_from_this()] { self->begin(); });
        }
    }

    void connectTimeOver()
    {
        if (!m_begun)
            end(Error(Code::Timeout, "timed out waiting for the websockets of the command to connect"), -1);
    }

    Result<spec::ExecStarted> execute(spec::MonitorClient &client)
    {
        if (m_request.pty)
            return client.exec(m_request, -1, -1, -1);
        program::Pipe in = TRY(makePipe()), out = TRY(makePipe()), err = TRY(makePipe());
        auto started = TRY(client.exec(m_request, in.read.get(), out.write.get(), err.write.get()));
        m_stdin = std::move(in.write);
        m_stdout = std::move(out.read);
        m_stderr = std::move(err.read);
        return started;
    }

    /// A pool thread: asks the monitor, which answers when the command runs or could not be run.
    void begin()
    {
        auto client = m_context.manager.monitor(m_key);
        auto started = client ? execute(*client) : Result<spec::ExecStarted>(client.error());
        if (!started) {
            m_context.server.runOnServerThread([self = shared_from_this(), error = started.error()] { self->end(error, -1); });
            return;
        }
        m_client = std::make_unique<spec::MonitorClient>(std::move(*client));
        m_pidfd = std::move(started->pidfd);
        m_pty = std::move(started->ptyMaster);
        m_context.server.runOnServerThread([self = shared_from_this()] { self->couple(); });
    }

    void couple()
    {
        m_running = true;
        const auto counted = [self = shared_from_this()](PumpEnd) { self->pumpEnded(); };
        if (m_request.pty) {
            m_pumps = 1;
            Fd sink = duplicate(m_pty);
            m_sockets["0"]->pump({duplicate(m_pty), std::move(sink), true}, counted);
        } else {
            m_pumps = 2;
            m_sockets["0"]->pump({Fd(), std::move(m_stdin), false}, [](PumpEnd) {});
            m_sockets["1"]->pump({std::move(m_stdout), Fd(), true}, counted);
            m_sockets["2"]->pump({std::move(m_stderr), Fd(), true}, counted);
        }
        for (const std::string &message : std::exchange(m_early, {}))
            control(message);
        const Status watched = m_context.server.poller().watch(
            m_client->fd(), EPOLLIN, [self = shared_from_this()](std::uint32_t) { self->commandEnded(); });
        if (!watched)
            end(watched, -1);
        if (m_killEarly)
            signal(SIGKILL);
    }

    void commandEnded()
    {
        m_context.server.poller().unwatch(m_client->fd());
        const auto exit = m_client->waitExec();
        m_running = false;
        m_pidfd.reset();
        m_exit = exit ? execResult(*exit) : Status(exit.error());
        m_exitCode = exit ? exit->exitCode : -1;
        m_commandEnded = true;
        // A process in the background may hold the pipe open: what is there now is all that belongs to the command.
        for (const char *name : {"0", "1", "2"})
            if (m_sockets.contains(name) && (m_request.pty || name[0] != '0'))
                m_sockets[name]->drainPump();
        finishIfDone();
    }

    void pumpEnded()
    {
        --m_pumps;
        finishIfDone();
    }

    void finishIfDone()
    {
        if (m_commandEnded && m_pumps == 0)
            end(m_exit, m_exitCode);
    }

    void control(std::string_view text)
    {
        if (!m_running) {
            if (m_early.size() < 64 && !m_commandEnded)
                m_early.emplace_back(text);
            return;
        }
        const auto message = api::fromJson<api::ControlMessage>(text);
        if (!message)
            return; // undecodable ones are passed over, as the protocol says
        if (message->command == "window-resize")
            resize(message->args);
        else if (message->command == "signal")
            signal(message->signal);
    }

    void resize(const StringMap &args)
    {
        const auto number = [&](const char *name) -> std::uint64_t {
            const auto found = args.find(name);
            if (found == args.end())
                return 0;
            const auto value = parseUnsigned(found->second, 0, 65535);
            return value ? *value : 0;
        };
        winsize size{};
        size.ws_col = static_cast<unsigned short>(number("width"));
        size.ws_row = static_cast<unsigned short>(number("height"));
        if (m_pty && size.ws_col > 0 && size.ws_row > 0)
            ::ioctl(m_pty.get(), TIOCSWINSZ, &size);
    }

    void signal(int number)
    {
        if (m_pidfd && number > 0 && number < NSIG)
            (void)sys::pidfd_send_signal(m_pidfd, number); // it may have ended this instant
    }

    void controlLost()
    {
        if (m_running)
            signal(SIGKILL);
        else if (m_begun && !m_commandEnded)
            m_killEarly = true;
    }

    void end(const Status &result, int exitCode)
    {
        if (m_ended)
            return;
        m_ended = true;
        m_running = false;
        if (exitCode >= 0)
            m_task->setMetadata("return", exitCode);
        m_task->finish(result);
        for (auto &[name, socket] : m_sockets) {
            socket->onText = nullptr;
            socket->onBinary = nullptr;
            socket->onClose = nullptr;
            socket->close();
        }
        m_sockets.clear();
    }

    Context &m_context;
    const InstanceKey m_key;
    const spec::ExecRequest m_request;
    const std::shared_ptr<Task> m_task;
    std::map<std::string, std::shared_ptr<WebSocket>> m_sockets;
    std::vector<std::string> m_early;
    std::unique_ptr<spec::MonitorClient> m_client;
    Fd m_stdin, m_stdout, m_stderr, m_pty, m_pidfd;
    bool m_begun = false, m_running = false, m_commandEnded = false, m_ended = false, m_killEarly = false;
    int m_pumps = 0;
    Status m_exit;
    int m_exitCode = -1;
};

/// Without websockets: output goes nowhere or into files of the daemon's own.
Status execDetached(Context &context, const InstanceKey &key, const spec::ExecRequest &request, bool record, Task &task)
{
    const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    Fd out = duplicate(nothing), err = duplicate(nothing);
    if (record) {
        const Fd folder = TRY(path::openFolder(context.manager.logDir(key)));
        const std::string base = "exec_" + task.id();
        out = TRY(path::open(folder, base + ".stdout", O_WRONLY | O_CREAT | O_EXCL, path::Scope::NoSymlink, 0600));
        err = TRY(path::open(folder, base + ".stderr", O_WRONLY | O_CREAT | O_EXCL, path::Scope::NoSymlink, 0600));
        api::Json output = api::Json::object();
        output["1"] = "/1.0/instances/" + key.name + "/logs/" + base + ".stdout";
        output["2"] = "/1.0/instances/" + key.name + "/logs/" + base + ".stderr";
        task.setMetadata("output", std::move(output));
    }
    spec::MonitorClient client = TRY(context.manager.monitor(key));
    // Only pipes and sockets of ours are handed into a guest; the files stay behind a pipe.
    auto [outRead, outWrite] = TRY(makePipe());
    auto [errRead, errWrite] = TRY(makePipe());
    TRY(client.exec(request, nothing.get(), outWrite.get(), errWrite.get()));
    outWrite.reset();
    errWrite.reset();
    const auto drain = [](const Fd &from, const Fd &to) {
        char buffer[65536];
        for (ssize_t got = 0; (got = ::read(from.get(), buffer, sizeof buffer)) > 0;)
            if (::write(to.get(), buffer, static_cast<std::size_t>(got)) < 0)
                return;
    };
    std::thread errors([&, &from = errRead] { drain(from, err); });
    drain(outRead, out);
    errors.join();
    const spec::ExecExit exit = TRY(client.waitExec());
    task.setMetadata("return", exit.exitCode);
    return execResult(exit);
}

Status exec(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::InstanceExecPost>());
    const InstanceKey key = keyOf(request);
    const instances::Described described = TRY(context.manager.describe(key));
    if (post.command.empty() || post.command.front().empty())
        return Error(Code::Invalid, "request body: command is empty");
    if (!described.guest)
        return Error(Code::WrongState, "Instance is not running");
    if (described.guest->frozen)
        return Error(Code::WrongState, "Instance is frozen");
    if (post.waitForWebsocket && post.recordOutput)
        return Error(Code::Invalid, "record-output goes with wait-for-websocket=false only");
    if (post.interactive && !post.waitForWebsocket)
        return Error(Code::Invalid, "interactive needs wait-for-websocket");
    if (post.passStreams)
        TRY(checkPassedStreams(post, request.fds));
    const StringMap environment = environmentOf(described, post);
    const spec::ExecRequest wanted = execRequest(post, environment);

    TaskOptions options;
    options.project = key.project;
    options.description = "Executing command";
    options.resources = instanceResources(key);
    options.metadata["command"] = [&] {
        api::Json words = api::Json::array();
        for (const std::string &word : post.command)
            words.append(word);
        return words;
    }();
    options.metadata["environment"] = [&] {
        api::Json map = api::Json::object();
        for (const auto &[name, value] : environment)
            map[name] = value;
        return map;
    }();
    options.metadata["interactive"] = post.interactive;
    api::Lifecycle event;
    event.action = "instance-exec";
    event.source = urlOf("instances", key.name, key.project);
    event.context["command"] = options.metadata["command"];
    event.requestor = request.peer.requestor();
    context.events.lifecycle(event, key.project);
    if (post.passStreams) {
        const auto task = context.operations.add(std::move(options));
        responder.async(task->snapshot(), key.project);
        execPassed(context, key, wanted, std::move(request.fds), task);
        return {};
    }
    if (!post.waitForWebsocket) {
        const auto task = context.operations.run(std::move(options), [&context, key, wanted, record = post.recordOutput](Task &running) {
            return execDetached(context, key, wanted, record, running);
        });
        responder.async(task->snapshot(), key.project);
        return {};
    }
    options.operationClass = "websocket";
    const auto task = context.operations.add(std::move(options));
    api::Json fds = api::Json::object();
    std::make_shared<ExecSession>(context, key, wanted, task)->offer(fds);
    task->setMetadata("fds", std::move(fds));
    responder.async(task->snapshot(), key.project);
    return {};
}

/// One attached console. Everything but attach() runs on the server's thread.
class ConsoleSession : public std::enable_shared_from_this<ConsoleSession>
{
public:
    ConsoleSession(Context &context, InstanceKey key, const api::InstanceConsolePost &post, std::shared_ptr<Task> task)
        : m_context(context), m_key(std::move(key)), m_width(static_cast<unsigned>(std::max(post.width, 0))),
          m_height(static_cast<unsigned>(std::max(post.height, 0))), m_task(std::move(task))
    {
    }

    void offer(api::Json &fds)
    {
        for (const char *name : {"0", "control"}) {
            const std::string secret = newSecret();
            fds[name] = secret;
            m_task->addSocket({name, secret, false, [self = shared_from_this(), name = std::string(name)](std::shared_ptr<WebSocket> socket) {
                                   self->connected(name, std::move(socket));
                               }});
        }
        m_context.server.runOnServerThread([self = shared_from_this()] {
            QTimer::singleShot(std::chrono::milliseconds(kConnectTime), [self] {
                if (!self->m_data)
                    self->end(Error(Code::Timeout, "timed out waiting for the console's websocket to connect"));
            });
        });
    }

    /// Somebody else takes the console over.
    void evict()
    {
        m_context.server.runOnServerThread([self = shared_from_this()] { self->end(Error(Code::Cancelled, "the console was taken over")); });
    }
    const InstanceKey &key() const { return m_key; }
    std::function<void()> onEnd;

private:
    void connected(const std::string &name, std::shared_ptr<WebSocket> socket)
    {
        if (m_ended) {
            socket->close();
            return;
        }
        if (name == "control") {
            m_control = std::move(socket);
            m_control->onText = [self = shared_from_this()](std::string_view text) { self->control(text); };
            m_control->onBinary = [self = shared_from_this()](std::string_view text) { self->control(text); };
            m_control->onClose = [self = shared_from_this()] { self->end({}); };
            return;
        }
        m_data = std::move(socket);
        m_context.server.runOnPool([self = shared_from_this()] { self->attach(); });
    }

    void attach()
    {
        auto client = m_context.manager.monitor(m_key);
        auto stream = client ? client->attachConsole(m_width, m_height) : Result<Fd>(client.error());
        if (!stream) {
            m_context.server.runOnServerThread([self = shared_from_this(), error = stream.error()] { self->end(error); });
            return;
        }
        m_client = std::make_unique<spec::MonitorClient>(std::move(*client));
        m_stream = std::move(*stream);
        m_context.server.runOnServerThread([self = shared_from_this()] { self->couple(); });
    }

    void couple()
    {
        if (m_ended || !m_data)
            return;
        Fd sink = duplicate(m_stream);
        m_data->pump({std::move(m_stream), std::move(sink), true}, [self = shared_from_this()](PumpEnd) { self->end({}); });
    }

    void control(std::string_view text)
    {
        const auto message = api::fromJson<api::ControlMessage>(text);
        if (!message || message->command != "window-resize" || !m_client)
            return;
        const auto width = message->args.find("width"), height = message->args.find("height");
        if (width == message->args.end() || height == message->args.end())
            return;
        const auto columns = parseUnsigned(width->second, 1, 65535), rows = parseUnsigned(height->second, 1, 65535);
        if (columns && rows)
            (void)m_client->resizeConsole(static_cast<unsigned>(*columns), static_cast<unsigned>(*rows)); // a console without a size works
    }

    void end(const Status &result)
    {
        if (m_ended)
            return;
        m_ended = true;
        m_task->finish(result);
        for (auto *socket : {&m_data, &m_control}) {
            if (!*socket)
                continue;
            (*socket)->onText = nullptr;
            (*socket)->onBinary = nullptr;
            (*socket)->onClose = nullptr;
            (*socket)->close();
            socket->reset();
        }
        m_client.reset();
        if (onEnd)
            onEnd();
    }

    Context &m_context;
    const InstanceKey m_key;
    const unsigned m_width, m_height;
    const std::shared_ptr<Task> m_task;
    std::shared_ptr<WebSocket> m_data, m_control;
    std::unique_ptr<spec::MonitorClient> m_client;
    Fd m_stream;
    bool m_ended = false;
};

std::mutex g_consolesMutex;
std::map<InstanceKey, std::weak_ptr<ConsoleSession>> g_consoles; ///< One person at a console at a time.

Status console(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::InstanceConsolePost>());
    const InstanceKey key = keyOf(request);
    const instances::Described described = TRY(context.manager.describe(key));
    if (!post.type.empty() && post.type != "console")
        return Error(Code::Unsupported, "console type " + quoted(post.type) + " is not supported: containers have a text console");
    if (!described.guest)
        return Error(Code::WrongState, "Instance is not running");
    TaskOptions options;
    options.project = key.project;
    options.description = "Showing console";
    options.operationClass = "websocket";
    options.resources = instanceResources(key);
    {
        const std::lock_guard lock(g_consolesMutex);
        if (const auto other = g_consoles[key].lock()) {
            if (!post.force)
                return Error(Code::WrongState, "the console of " + quoted(key.name) + " is in use by somebody else (take it over with --force)");
            other->evict();
        }
    }
    const auto task = context.operations.add(std::move(options));
    const auto session = std::make_shared<ConsoleSession>(context, key, post, task);
    session->onEnd = [key, raw = session.get()] {
        const std::lock_guard lock(g_consolesMutex);
        const auto found = g_consoles.find(key);
        if (found != g_consoles.end() && found->second.lock().get() == raw)
            g_consoles.erase(found);
    };
    {
        const std::lock_guard lock(g_consolesMutex);
        g_consoles[key] = session;
    }
    api::Json fds = api::Json::object();
    session->offer(fds);
    task->setMetadata("fds", std::move(fds));
    responder.async(task->snapshot(), key.project);
    return {};
}

Status consoleLog(Context &context, Request &request, const Responder &responder)
{
    std::string text = TRY(context.manager.consoleLog(keyOf(request)));
    std::vector<BodyPart> parts;
    parts.emplace_back(std::move(text));
    responder.raw(200, {{"Content-Type", "application/octet-stream"}, {"Content-Disposition", "inline;filename="}}, std::move(parts));
    return {};
}

Status consoleClear(Context &context, Request &request, const Responder &responder)
{
    TRY(context.manager.clearConsoleLog(keyOf(request)));
    responder.sync();
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceExec, &exec},
    {api::RouteId::InstanceConsole, &console},
    {api::RouteId::InstanceConsoleLog, &consoleLog},
    {api::RouteId::InstanceConsoleClear, &consoleClear},
};

} // namespace

std::span<const HandlerRow> executionHandlers() { return kRows; }

} // namespace lxmgr::daemon

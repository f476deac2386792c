#include "cli/context.h"

#include "api/operations.h"
#include "base/text.h"
#include "cli/progress.h"

#include <cerrno>
#include <cstdlib>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

constexpr std::size_t kLarge = 64 * 1024;

Status writeAll(int fd, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t done = ::write(fd, bytes.data(), bytes.size());
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return Error::fromErrno(errno, "write to standard output");
        bytes.remove_prefix(static_cast<std::size_t>(done));
    }
    return {};
}

/// Completion asks for names with every press of a key: that must not start a daemon.
client::Client::Autostart autostart()
{
    const char *value = std::getenv("LXMGR_AUTOSTART");
    const Result<bool> wanted = value ? parseBool(value) : true;
    return wanted && !*wanted ? client::Client::Autostart::No : client::Client::Autostart::Yes;
}

} // namespace

Context::Context(Paths paths, Globals globals)
    : m_globals(std::move(globals)),
      m_client(
          {.paths = std::move(paths), .project = m_globals.project, .debug = m_globals.debug, .autostart = autostart()})
{
}

Result<Remotes *> Context::remotes()
{
    if (!m_remotes)
        m_remotes = TRY(Remotes::load(Remotes::userFolder()));
    return &*m_remotes;
}

Result<client::Client> Context::clientOf(const std::string &remote)
{
    const Remotes *const known = TRY(remotes());
    client::Client::Options options = m_client.options();
    options.dial = TRY(known->dialTo(remote));
    options.project = TRY(projectAt(remote));
    return client::Client(std::move(options));
}

Result<std::string> Context::projectAt(const std::string &remote)
{
    if (!m_globals.project.empty())
        return m_globals.project;
    if (const char *given = std::getenv("LXMGR_PROJECT"); given && *given)
        return std::string(given);
    return TRY(TRY(remotes())->get(remote)).project;
}

Status Context::use(const std::string &remote)
{
    if (remote == m_remote)
        m_client.setProject(TRY(projectAt(remote)));
    else
        m_client = TRY(clientOf(remote));
    m_remote = remote;
    return {};
}

void Context::flushLarge()
{
    if (m_out.size() >= kLarge)
        (void)flush(); // kept in m_written, which the last flush() returns
}

Status Context::flush()
{
    if (m_written)
        m_written = writeAll(STDOUT_FILENO, m_out);
    m_out.clear();
    return m_written;
}

void Context::say(std::string_view text)
{
    if (m_globals.quiet)
        return;
    printLine(text);
    (void)flush(); // as in flushLarge()
}

void Context::warn(std::string_view text)
{
    const std::string line = std::string(text) + "\n";
    // Standard error is all there is to complain on.
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, line.data(), line.size());
}

Result<std::string> instancePath(const std::string &name, std::string_view sub)
{
    if (name.find('/') != std::string::npos)
        return Error(Code::Usage, quoted(name) + " is a snapshot; this is done to instances");
    TRY(checkInstanceName(name));
    std::string text = client::path("/1.0/instances", {name});
    return sub.empty() ? text : text.append("/").append(sub);
}

Result<api::Operation> runWithProgress(Context &context, const std::string &method, const std::string &path,
                                       std::string body, std::string_view what, http::Headers headers)
{
    const client::Answer answer = TRY(context.client().request(method, path, std::move(body), {}, std::move(headers)));
    if (answer.operation.empty()) {
        tellRestarts(context, answer.metadata);
        api::Operation done;
        done.setStatus(api::StatusCode::Success);
        return done;
    }
    const api::Operation done = TRY(waitWithProgress(context, answer.operation, what));
    tellRestarts(context, done.metadata.dump());
    return done;
}

void tellRestarts(Context &context, const std::string &metadata)
{
    const auto answer = api::Json::parse(metadata);
    const api::Json *needed = answer && answer->asObject() ? answer->find("restart_needed") : nullptr;
    if (!needed || !needed->asObject())
        return;
    for (const auto &[instance, list] : *needed->asObject()) {
        std::vector<std::string> keys;
        if (const api::Json::Array *items = list.asArray())
            for (const api::Json &key : *items)
                keys.push_back(key.asString() ? *key.asString() : std::string());
        context.warn("Warning: " + escaped(instance) + " takes " + escaped(join(keys, ", ")) + " when it is started again");
    }
}

Result<api::Operation> waitWithProgress(Context &context, const std::string &operationUrl, std::string_view what)
{
    Progress progress(context, std::string(what));
    return context.client().wait(operationUrl, progress.watcher());
}

} // namespace lxmgr::cli

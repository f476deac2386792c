// monitor: the daemon's events as they come.
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/yaml.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>

namespace lxmgr::cli
{

namespace
{

constexpr std::string_view kLevels[] = {"debug", "info", "warning", "error"};
constexpr std::string_view kTypes[] = {"operation", "lifecycle", "logging"};

std::size_t levelOf(std::string_view name)
{
    if (name == "warn")
        name = "warning";
    return static_cast<std::size_t>(std::ranges::find(kLevels, name) - std::begin(kLevels));
}

/// "06:31:07 lifecycle instance-started /1.0/instances/web1"
std::string pretty(const api::Json &event)
{
    static const api::Json none;
    const std::string type = event.text("type");
    const api::Json &metadata = event.find("metadata") ? *event.find("metadata") : none;
    std::string text = event.text("timestamp").substr(11, 8) + " " + type + " ";
    if (type == "lifecycle")
        return text + metadata.text("action") + " " + metadata.text("source");
    if (type == "operation")
        return text + metadata.text("id").substr(0, 8) + " " + metadata.text("description") + ": " +
               metadata.text("status") + (metadata.text("err").empty() ? "" : " (" + metadata.text("err") + ")");
    return text + metadata.text("level") + " " + metadata.text("message");
}

class Printer
{
public:
    Printer(Context &context, const Arguments &arguments)
        : m_context(context), m_pretty(arguments.has("pretty")), m_json(arguments.value("format", "yaml") == "json"),
          m_level(levelOf(arguments.value("loglevel", "debug")))
    {
    }

    void add(std::string_view piece, bool last)
    {
        m_message.append(piece);
        if (!last)
            return;
        if (const Result<api::Json> event = api::Json::parse(m_message))
            show(*event);
        m_message.clear();
    }

private:
    void show(const api::Json &event)
    {
        const api::Json *metadata = event.find("metadata");
        if (event.text("type") == "logging" && metadata && levelOf(metadata->text("level")) < m_level)
            return;
        if (m_pretty)
            m_context.printLine(escaped(pretty(event)));
        else
            m_context.print(m_json ? event.dump() + "\n" : toYaml(event) + "\n");
    }

    Context &m_context;
    bool m_pretty;
    bool m_json;
    std::size_t m_level;
    std::string m_message;
};

Status check(const Arguments &arguments)
{
    for (const std::string &type : arguments.values("type"))
        if (std::ranges::find(kTypes, type) == std::end(kTypes))
            return Error(Code::Usage, "no events are of type " + quoted(type) + ": operation, lifecycle or logging");
    if (const auto level = arguments.value("loglevel"); level && levelOf(*level) == std::size(kLevels))
        return Error(Code::Usage, quoted(*level) + " is no level: debug, info, warning or error");
    if (const auto format = arguments.value("format"); format && *format != "yaml" && *format != "json")
        return Error(Code::Usage, quoted(*format) + " is no format of events: yaml or json");
    return {};
}

} // namespace

Result<int> monitor(Context &context, const Arguments &arguments)
{
    TRY(check(arguments));
    client::Parameters parameters;
    if (!arguments.values("type").empty())
        parameters.emplace_back("type", join(arguments.values("type"), ","));
    if (arguments.has("all-projects"))
        parameters.emplace_back("all-projects", "true");
    Printer printer(context, arguments);
    client::WebSocket events = TRY(context.client().openSocket(
        "/1.0/events", parameters, [&](http::Opcode, std::string_view piece, bool last) { printer.add(piece, last); }));
    TRY(events.finishOpening());
    for (;;) {
        TRY(context.flush());
        pollfd wait{events.fd().get(), POLLIN, 0};
        if (::poll(&wait, 1, -1) < 0 && errno != EINTR)
            return Error::fromErrno(errno, "poll");
        if (!TRY(events.receive()))
            return Error(Code::Unavailable, "the daemon has ended");
    }
}

} // namespace lxmgr::cli

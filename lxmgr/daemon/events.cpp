#include "daemon/events.h"

#include "api/operations.h"
#include "base/text.h"

#include <algorithm>

namespace lxmgr::daemon
{

namespace
{

struct TypeName {
    std::string_view name;
    unsigned type;
};
constexpr TypeName kTypes[] = {
    {"operation", Events::OperationType},
    {"lifecycle", Events::LifecycleType},
    {"logging",   Events::LoggingType  },
};

} // namespace

Result<unsigned> Events::parseTypes(std::string_view list)
{
    if (list.empty())
        return unsigned{OperationType | LifecycleType | LoggingType};
    unsigned types = 0;
    for (const std::string &word : split(list, ',')) {
        const auto *row = std::ranges::find(kTypes, word, &TypeName::name);
        if (row == std::end(kTypes))
            return Error(Code::Invalid, quoted(word) + " is not an event type (operation, lifecycle, logging)");
        types |= row->type;
    }
    return types;
}

void Events::subscribe(std::shared_ptr<WebSocket> socket, Wanted wanted)
{
    WebSocket *raw = socket.get();
    socket->onClose = [this, raw] {
        const std::lock_guard lock(m_mutex);
        std::erase_if(m_listeners, [raw](const Listener &listener) { return listener.socket.get() == raw; });
    };
    const std::lock_guard lock(m_mutex);
    m_listeners.push_back({std::move(socket), std::move(wanted)});
}

bool Events::wanted(unsigned type)
{
    const std::lock_guard lock(m_mutex);
    return std::ranges::any_of(m_listeners, [type](const Listener &listener) { return (listener.wanted.types & type) != 0; });
}

void Events::publish(unsigned type, About about, const std::string &project, const std::string &text)
{
    const auto isFor = [&](const Wanted &wanted) {
        if (about == About::Host && !wanted.host)
            return false;
        return (wanted.types & type) && (project.empty() || wanted.projects.empty() || wanted.projects.contains(project));
    };
    const SharedFrame frame = sharedTextFrame(text);
    const std::lock_guard lock(m_mutex);
    for (const Listener &listener : m_listeners)
        if (isFor(listener.wanted))
            listener.socket->sendFrame(frame);
}

void Events::operation(const api::Operation &operation, const std::string &project)
{
    if (!wanted(OperationType))
        return;
    api::OperationEvent event;
    event.timestamp = api::Time::now();
    event.metadata = operation;
    event.project = project;
    publish(OperationType, About::Project, project, api::toJson(event));
}

void Events::lifecycle(const api::Lifecycle &lifecycle, const std::string &project) { publishLifecycle(lifecycle, About::Project, project); }

void Events::hostLifecycle(const api::Lifecycle &lifecycle) { publishLifecycle(lifecycle, About::Host, "default"); }

void Events::publishLifecycle(const api::Lifecycle &lifecycle, About about, const std::string &project)
{
    if (!wanted(LifecycleType))
        return;
    api::Event event;
    event.type = "lifecycle";
    event.timestamp = api::Time::now();
    event.project = project;
    if (auto metadata = api::Json::parse(api::toJson(lifecycle)))
        event.metadata = std::move(*metadata);
    publish(LifecycleType, about, project, api::toJson(event));
}

void Events::logging(log::Level level, const std::string &line)
{
    if (!wanted(LoggingType))
        return;
    api::Event event;
    event.type = "logging";
    event.timestamp = api::Time::now();
    event.metadata["message"] = line;
    event.metadata["level"] = level == log::Level::Warning ? "warn" : std::string(log::levelName(level));
    event.metadata["context"] = api::Json::object();
    publish(LoggingType, About::Host, {}, api::toJson(event));
}

} // namespace lxmgr::daemon

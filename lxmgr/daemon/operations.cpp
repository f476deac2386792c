#include "daemon/operations.h"

#include "api/operations.h"
#include "base/text.h"
#include "daemon/audit.h"
#include "instances/names.h"

#include <QTimer>
#include <array>
#include <openssl/crypto.h>
#include <sys/random.h>

namespace lxmgr::daemon
{

namespace
{

// Clients ask for a finished operation for some seconds; a minute serves slow ones too.
constexpr auto kKeepEnded = std::chrono::seconds(60);
// Progress texts come by the hundred; people and sockets need a few a second.
constexpr auto kEventGap = std::chrono::milliseconds(100);

} // namespace

bool sameSecret(const std::string &a, const std::string &b)
{
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string newSecret()
{
    std::array<unsigned char, 32> bytes{};
    while (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    }
    return toHex(bytes);
}

Task::Task(Operations &owner, TaskOptions options)
    : m_list(owner), m_owner(OnBehalfOf::current()), m_id(instances::newUuid()), m_options(std::move(options)), m_created(api::Time::now()),
      m_updated(m_created)
{
}

api::Operation Task::snapshot() const
{
    const std::lock_guard lock(m_mutex);
    api::Operation operation;
    operation.id = m_id;
    operation.operationClass = m_options.operationClass;
    operation.description = m_options.description;
    operation.createdAt = m_created;
    operation.updatedAt = m_updated;
    operation.setStatus(m_status);
    if (!m_options.resources.empty())
        operation.resources = m_options.resources;
    operation.metadata = m_options.metadata;
    operation.mayCancel = m_options.mayCancel && !api::isFinal(operation.statusCode);
    operation.err = m_error.message;
    return operation;
}

api::Operation Task::publicSnapshot() const
{
    api::Operation operation = snapshot();
    operation.metadata.remove("fds");
    operation.metadata.remove("secret");
    const std::lock_guard lock(m_mutex);
    for (const Socket &socket : m_sockets) // those of a transfer stand in it by their names
        operation.metadata.remove(socket.name);
    return operation;
}

bool Task::knows(const std::string &secret) const
{
    const std::lock_guard lock(m_mutex);
    if (secret.empty())
        return false;
    return sameSecret(m_options.metadata.text("secret"), secret) ||
           std::ranges::any_of(m_sockets, [&](const Socket &socket) { return sameSecret(socket.secret, secret); });
}

bool Task::ended() const
{
    const std::lock_guard lock(m_mutex);
    return api::isFinal(static_cast<int>(m_status));
}

void Task::changed(bool throttled)
{
    {
        const std::lock_guard lock(m_mutex);
        const auto now = std::chrono::steady_clock::now();
        if (throttled && now - m_lastEvent < kEventGap)
            return;
        m_lastEvent = now;
        m_updated = api::Time::now();
    }
    m_list.m_events.operation(publicSnapshot(), m_options.project);
}

void Task::report(const std::string &text)
{
    {
        const std::lock_guard lock(m_mutex);
        m_options.metadata[m_options.progressKey] = text;
    }
    changed(true);
}

void Task::setMetadata(const std::string &key, api::Json value)
{
    const std::lock_guard lock(m_mutex);
    m_options.metadata[key] = std::move(value);
}

void Task::setResources(std::map<std::string, std::vector<std::string>> resources)
{
    const std::lock_guard lock(m_mutex);
    m_options.resources = std::move(resources);
}

void Task::finish(const Status &result)
{
    std::vector<std::function<void()>> waiters;
    {
        const std::lock_guard lock(m_mutex);
        if (api::isFinal(static_cast<int>(m_status)))
            return;
        if (result) {
            m_status = api::StatusCode::Success;
        } else {
            m_error = result.error();
            m_status = m_error.code == Code::Cancelled ? api::StatusCode::Cancelled : api::StatusCode::Failure;
            m_options.metadata["error_code"] = std::string(codeInfo(m_error.code).name);
        }
        waiters = std::move(m_waiters);
        m_onCancel = nullptr;
        // What is attached holds the session, which holds this task. A socket that comes now is late, not a stranger's: the
        // command was quicker than its client's last connection, which is taken and closed.
        for (Socket &socket : m_sockets)
            socket.attach = [](const std::shared_ptr<WebSocket> &late) { late->close(); };
    }
    changed(false);
    m_list.ended(shared_from_this());
    for (const auto &waiter : waiters)
        waiter();
}

Status Task::cancel()
{
    std::function<void()> onCancel;
    {
        const std::lock_guard lock(m_mutex);
        if (!m_options.mayCancel || api::isFinal(static_cast<int>(m_status)))
            return Error(Code::WrongState, "This operation can't be cancelled");
        onCancel = m_onCancel;
        m_cancelled = true;
    }
    if (onCancel)
        onCancel();
    return {};
}

bool Task::useUp()
{
    std::function<void()> onCancel;
    {
        const std::lock_guard lock(m_mutex);
        if (api::isFinal(static_cast<int>(m_status)) || m_cancelled.exchange(true))
            return false;
        onCancel = m_onCancel;
    }
    if (onCancel)
        onCancel();
    return true;
}

void Task::onCancel(std::function<void()> callback)
{
    {
        const std::lock_guard lock(m_mutex);
        m_onCancel = callback;
        if (!m_cancelled)
            return;
    }
    if (callback)
        callback();
}

void Task::note(const std::string &text)
{
    api::Json notes = api::Json::array();
    {
        const std::lock_guard lock(m_mutex);
        if (const api::Json *before = m_options.metadata.find("notes"))
            notes = *before;
    }
    notes.append(text);
    setMetadata("notes", std::move(notes));
}

void Task::setOnCancel(std::function<void()> onCancel)
{
    const std::lock_guard lock(m_mutex);
    m_onCancel = std::move(onCancel);
}

void Task::whenEnded(std::function<void()> callback)
{
    {
        const std::lock_guard lock(m_mutex);
        if (!api::isFinal(static_cast<int>(m_status))) {
            m_waiters.push_back(std::move(callback));
            return;
        }
    }
    callback();
}

void Task::addSocket(Socket socket)
{
    const std::lock_guard lock(m_mutex);
    m_sockets.push_back(std::move(socket));
}

Result<std::function<void(std::shared_ptr<WebSocket>)>> Task::takeSocket(const std::string &secret)
{
    const std::lock_guard lock(m_mutex);
    for (Socket &socket : m_sockets) {
        if (!sameSecret(socket.secret, secret))
            continue;
        if (socket.used)
            return Error(Code::WrongState, "websocket " + quoted(socket.name) + " is connected already");
        socket.used = true;
        return socket.attach;
    }
    return Error(Code::Forbidden, "not authorized");
}

Operations::Operations(Events &events, Server &server, std::function<void(const Task &)> ended)
    : m_events(events), m_server(server), m_ended(std::move(ended)), m_timer(std::make_unique<QTimer>())
{
    m_timer->setInterval(std::chrono::milliseconds(kKeepEnded));
    QObject::connect(m_timer.get(), &QTimer::timeout, [this] { forgetOld(); });
}

Operations::~Operations() = default;

std::shared_ptr<Task> Operations::add(TaskOptions options)
{
    auto task = std::make_shared<Task>(*this, std::move(options));
    {
        const std::lock_guard lock(m_mutex);
        m_tasks.emplace(task->id(), task);
    }
    m_events.operation(task->publicSnapshot(), task->project());
    return task;
}

std::shared_ptr<Task> Operations::run(TaskOptions options, std::function<Status(Task &)> work)
{
    std::shared_ptr<Task> task = add(std::move(options));
    m_server.runOnPool([task, work = std::move(work)] {
        const OnBehalfOf whom(task->owner());
        task->finish(work(*task));
    });
    return task;
}

std::shared_ptr<Task> Operations::find(const std::string &id) const
{
    const std::lock_guard lock(m_mutex);
    const auto found = m_tasks.find(id);
    return found == m_tasks.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Task>> Operations::list() const
{
    const std::lock_guard lock(m_mutex);
    std::vector<std::shared_ptr<Task>> tasks;
    for (const auto &[id, task] : m_tasks)
        tasks.push_back(task);
    return tasks;
}

std::size_t Operations::active() const
{
    std::size_t count = 0;
    for (const auto &task : list())
        count += task->ended() ? 0 : 1;
    return count;
}

void Operations::ended(const std::shared_ptr<Task> &task)
{
    if (m_ended && task->owner())
        m_ended(*task);
    m_server.runOnServerThread([this] {
        if (!m_timer->isActive())
            m_timer->start();
    });
}

void Operations::forgetOld()
{
    const auto now = api::Time::now();
    const std::lock_guard lock(m_mutex);
    bool endedLeft = false;
    std::erase_if(m_tasks, [&](const auto &entry) {
        if (!entry.second->ended())
            return false;
        const bool old = now.seconds - entry.second->snapshot().updatedAt.seconds >= kKeepEnded.count();
        endedLeft = endedLeft || !old;
        return old;
    });
    if (!endedLeft)
        m_timer->stop();
}

} // namespace lxmgr::daemon

// Operations: work that outlives its request. A Task says how far it is, may be cancelled, and ends in a result or an Error.
#pragma once

#include "api/operations.h"
#include "base/progress.h"
#include "daemon/events.h"
#include "daemon/server.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

class QTimer;

namespace lxmgr::daemon
{

struct TaskOptions {
    std::string project = "default";
    std::string description;
    std::string operationClass = "task";
    std::map<std::string, std::vector<std::string>> resources;
    api::Json metadata;
    bool mayCancel = false;
    std::string progressKey = "progress"; ///< Ends in "_progress" where clients are to show it.
};

class Operations;

class Task final : public Progress, public std::enable_shared_from_this<Task>
{
public:
    Task(Operations &owner, TaskOptions options);

    const std::string &id() const { return m_id; }
    const std::string &project() const { return m_options.project; }
    /// Who started it; nullptr: the daemon itself.
    const std::shared_ptr<const Peer> &owner() const { return m_owner; }
    api::Operation snapshot() const;
    /// Without the secrets that lead to its streams: for everybody but the one who started it.
    api::Operation publicSnapshot() const;
    /// Whether `secret` is one of them.
    bool knows(const std::string &secret) const;
    bool ended() const;

    // Progress.
    void report(const std::string &text) override;
    bool cancelled() const override { return m_cancelled; }
    void onCancel(std::function<void()> callback) override;
    void note(const std::string &text) override; ///< In metadata "notes".

    /// Listeners and waiters hear of it.
    void setMetadata(const std::string &key, api::Json value);
    void setResources(std::map<std::string, std::vector<std::string>> resources);
    /// The end; only the first counts.
    void finish(const Status &result);
    /// Asks it to end. WrongState where it cannot be cancelled or has ended. `onCancel` runs, on the caller's thread.
    Status cancel();
    void setOnCancel(std::function<void()> onCancel);
    /// Cancels it, whose secret was good for one time: true for one caller only, whoever comes at once.
    bool useUp();
    /// Runs `callback` once at the end (at once if it has ended); any thread.
    void whenEnded(std::function<void()> callback);

    /// Class websocket: what a connection that shows one of the secrets is for. `attach` runs on the server's thread.
    struct Socket {
        std::string name; ///< "0", "1", "2", "control"
        std::string secret;
        bool used = false;
        std::function<void(std::shared_ptr<WebSocket>)> attach;
    };
    void addSocket(Socket socket);
    /// Forbidden for a wrong secret, WrongState for one that was used.
    Result<std::function<void(std::shared_ptr<WebSocket>)>> takeSocket(const std::string &secret);

private:
    void changed(bool throttled);

    Operations &m_list;
    const std::shared_ptr<const Peer> m_owner;
    const std::string m_id;
    TaskOptions m_options;
    mutable std::mutex m_mutex;
    api::Time m_created, m_updated;
    api::StatusCode m_status = api::StatusCode::Running;
    Error m_error;
    std::chrono::steady_clock::time_point m_lastEvent;
    std::atomic<bool> m_cancelled{false};
    std::function<void()> m_onCancel;
    std::vector<std::function<void()>> m_waiters;
    std::vector<Socket> m_sockets;
};

class Operations
{
public:
    /// `ended` is told of each that somebody started, at its end.
    Operations(Events &events, Server &server, std::function<void(const Task &)> ended = {});
    ~Operations();

    /// A task in the list that nobody works on yet.
    std::shared_ptr<Task> add(TaskOptions options);
    /// A task that `work` is done for on the pool; its result ends it.
    std::shared_ptr<Task> run(TaskOptions options, std::function<Status(Task &)> work);
    std::shared_ptr<Task> find(const std::string &id) const;
    std::vector<std::shared_ptr<Task>> list() const;
    /// How many have not ended.
    std::size_t active() const;

private:
    friend class Task;
    void ended(const std::shared_ptr<Task> &task);
    void forgetOld();

    Events &m_events;
    Server &m_server;
    const std::function<void(const Task &)> m_ended;
    mutable std::mutex m_mutex;
    std::map<std::string, std::shared_ptr<Task>> m_tasks;
    std::unique_ptr<QTimer> m_timer; ///< Runs only while there are ended tasks to forget.
};

/// Compared in a time that does not tell where they differ.
bool sameSecret(const std::string &a, const std::string &b);
/// 32 random bytes in hex.
std::string newSecret();

} // namespace lxmgr::daemon

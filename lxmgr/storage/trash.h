// The trash of a pool: a deletion is one rename, the tree goes later on a thread of its own that waits for nobody.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace lxmgr::storage
{

class Trash
{
public:
    /// Gives back what the entry `name` of the trash has beside files. WrongState: it is in use, and waits for the next
    /// deletion or start.
    using Reclaim = std::function<Status(const Fd &trash, const std::string &name)>;

    /// `folder` is on the same file system as everything that is thrown in.
    explicit Trash(Fd folder, Reclaim reclaim = {}) : m_folder(std::move(folder)), m_reclaim(std::move(reclaim)) {}
    Trash(const Trash &) = delete;
    Trash &operator=(const Trash &) = delete;
    ~Trash(); ///< Stops between two files; the rest is left to the next start.

    /// Moves `name` of `parent` in; it is out of sight when this returns. Missing is no error.
    Status discard(const Fd &parent, const std::string &name);
    /// Starts removing in the background what is there.
    void kick();
    /// Removes all now, in this thread. What is in use stays: the error is about the first such.
    Status empty();
    const Fd &folder() const { return m_folder; }

private:
    void work();
    Status remove(const std::string &name);

    Fd m_folder;
    Reclaim m_reclaim;
    std::mutex m_mutex; ///< Guards the two below.
    std::thread m_thread;
    bool m_working = false;
    bool m_more = false;
    std::mutex m_removing; ///< Held by whoever removes.
    std::atomic<bool> m_stop = false;
};

} // namespace lxmgr::storage

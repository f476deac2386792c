// SharedDownloads: one download of an image at a time, whoever asks for it; and how a wait on the network ends when nobody wants it.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace lxmgr::instances
{

/// A descriptor that becomes readable when the work is cancelled; as long as this lives.
class Interrupt
{
public:
    static Result<Interrupt> of(Progress &progress);
    Interrupt(Interrupt &&other) noexcept : m_progress(std::exchange(other.m_progress, nullptr)), m_fd(std::move(other.m_fd)) {}
    Interrupt &operator=(Interrupt &&) = delete;
    ~Interrupt();
    int fd() const { return m_fd->get(); }

private:
    Interrupt(Progress &progress, std::shared_ptr<Fd> fd) : m_progress(&progress), m_fd(std::move(fd)) {}
    Progress *m_progress;
    std::shared_ptr<Fd> m_fd;
};

class SharedDownloads
{
public:
    using Work = std::function<Status(Progress &progress)>;

    /// Runs `work`, or waits for who is at work for the same `key` and tells of his progress; where he succeeded, and `source` was the
    /// same, that is the result. Who waits goes on with what was left when the other one fails or gives up. Cancelled, at once when
    /// `cancelFd` becomes readable.
    Status once(const std::string &key, const std::string &source, int cancelFd, Progress &progress, const Work &work);

private:
    struct Ongoing {
        bool busy = false;
        int users = 0;
        std::string source; ///< Of who is at work, or was.
        bool done = false;
        std::string text;
        std::set<int> waiting; ///< Descriptors (eventfd) of those who wait.
        void tell() const;
    };
    class Told;

    std::mutex m_mutex;
    std::map<std::string, Ongoing> m_ongoing;
};

} // namespace lxmgr::instances

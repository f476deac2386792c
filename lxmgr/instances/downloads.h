// SharedDownloads: one download of an image at a time, whoever asks for it.
#pragma once

#include "base/progress.h"
#include "base/result.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace lxmgr::instances
{

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

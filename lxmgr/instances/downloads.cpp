#include "instances/downloads.h"

#include "base/fd.h"

#include <cerrno>
#include <memory>
#include <poll.h>
#include <sys/eventfd.h>

namespace lxmgr::instances
{

void SharedDownloads::Ongoing::tell() const
{
    for (const int fd : waiting)
        ::eventfd_write(fd, 1);
}

/// What the one at work says, for all who wait.
class SharedDownloads::Told final : public Progress
{
public:
    Told(SharedDownloads &owner, Ongoing &ongoing, Progress &to) : m_owner(owner), m_ongoing(ongoing), m_to(to) {}
    void report(const std::string &text) override
    {
        {
            const std::lock_guard lock(m_owner.m_mutex);
            m_ongoing.text = text;
            m_ongoing.tell();
        }
        m_to.report(text);
    }
    bool cancelled() const override { return m_to.cancelled(); }
    void note(const std::string &text) override { m_to.note(text); }

private:
    SharedDownloads &m_owner;
    Ongoing &m_ongoing;
    Progress &m_to;
};

Status SharedDownloads::once(const std::string &key, const std::string &source, int cancelFd, Progress &progress, const Work &work)
{
    const Fd changed(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!changed)
        return Error::fromErrno(errno, "eventfd");
    std::unique_lock lock(m_mutex);
    Ongoing &ongoing = m_ongoing[key]; // it stays where it is while it has users
    ++ongoing.users;
    const auto leave = [&] {
        ongoing.waiting.erase(changed.get());
        if (--ongoing.users == 0)
            m_ongoing.erase(key);
    };
    ongoing.waiting.insert(changed.get());
    std::string told;
    while (ongoing.busy && !progress.cancelled()) {
        if (const std::string text = ongoing.text; text != told) {
            told = text;
            lock.unlock();
            progress.report(told);
        } else {
            lock.unlock();
            pollfd waits[] = {{changed.get(), POLLIN, 0}, {cancelFd, POLLIN, 0}};
            ::poll(waits, 2, -1); // whatever woke it: the state is looked at again
            eventfd_t count = 0;
            ::eventfd_read(changed.get(), &count);
        }
        lock.lock();
    }
    if (progress.cancelled()) {
        leave();
        return Error(Code::Cancelled, "the download was cancelled");
    }
    if (ongoing.done && ongoing.source == source) {
        leave();
        return {};
    }
    ongoing.waiting.erase(changed.get());
    ongoing.busy = true;
    ongoing.done = false;
    ongoing.source = source;
    lock.unlock();
    Told shared(*this, ongoing, progress);
    Status done = work(shared);
    lock.lock();
    ongoing.busy = false;
    ongoing.done = done.has_value();
    ongoing.text.clear();
    ongoing.tell();
    leave();
    return done;
}

} // namespace lxmgr::instances

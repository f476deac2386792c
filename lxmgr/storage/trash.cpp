#include "storage/trash.h"

#include "base/log.h"
#include "storage/project_quota.h"
#include "storage/tree.h"

#include <set>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

// ioprio_set(2). Written out: <linux/ioprio.h> of Linux 6.1.192 names a parameter "class", which no C++ compiler takes.
constexpr int kThisThread = 1;     // IOPRIO_WHO_PROCESS, with 0
constexpr int kIdleClass = 3 << 13; // IOPRIO_CLASS_IDLE, no level in it

} // namespace

Trash::~Trash()
{
    m_stop = true;
    if (m_thread.joinable())
        m_thread.join();
}

Status Trash::discard(const Fd &parent, const std::string &name)
{
    const Status moved = renameNew(parent, name, m_folder, randomName());
    if (!moved && moved.error().code == Code::NotFound)
        return {};
    TRY(moved);
    kick();
    return {};
}

void Trash::kick()
{
    const std::lock_guard lock(m_mutex);
    m_more = true;
    if (m_working || m_stop)
        return;
    if (m_thread.joinable())
        m_thread.join(); // it has left its loop: m_working is false
    m_working = true;
    m_thread = std::thread([this] { work(); });
}

/// Ends when the trash is empty, so that an idle daemon has no thread of it.
void Trash::work()
{
    // Behind everybody else: nobody waits for this. Best effort, as both only make it quieter.
    (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10);
    (void)::syscall(SYS_ioprio_set, kThisThread, 0, kIdleClass);
    for (;;) {
        {
            const std::lock_guard lock(m_mutex);
            if (!m_more || m_stop) {
                m_working = false;
                return;
            }
            m_more = false;
        }
        if (const Status removed = empty(); !removed && removed.error().code != Code::Cancelled)
            log::warning("trash: " + removed.error().message + ", ignoring until the next deletion or start");
    }
}

Status Trash::empty()
{
    const std::lock_guard lock(m_removing);
    Status inUse;
    std::set<std::string> waiting;
    for (;;) {
        auto names = TRY(namesIn(m_folder));
        std::erase_if(names, [&](const std::string &name) { return waiting.contains(name); });
        if (names.empty())
            return inUse;
        for (const std::string &name : names) {
            projects::forget(m_folder, name);
            Status removed = remove(name);
            if (removed)
                continue;
            if (removed.error().code != Code::WrongState)
                return removed;
            waiting.insert(name);
            inUse = std::move(removed);
        }
    }
}

Status Trash::remove(const std::string &name)
{
    if (m_reclaim && !name.starts_with(kMovedUp))
        TRY(m_reclaim(m_folder, name));
    return removeTree(m_folder, name, m_folder, m_stop);
}

} // namespace lxmgr::storage

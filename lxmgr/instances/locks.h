// NamedLocks: a mutex for each name that somebody holds or waits for, and none for the others.
#pragma once

#include <map>
#include <memory>
#include <mutex>

namespace lxmgr::instances
{

template <class Key> class NamedLocks
{
public:
    /// The mutex of `key`, the same for all who ask while one of them keeps it. Any thread.
    std::shared_ptr<std::mutex> get(const Key &key)
    {
        const std::lock_guard guard(m_mutex);
        if (m_locks.size() > kManyNames)
            std::erase_if(m_locks, [](const auto &entry) { return entry.second.expired(); });
        std::weak_ptr<std::mutex> &known = m_locks[key];
        std::shared_ptr<std::mutex> lock = known.lock();
        if (!lock)
            known = lock = std::make_shared<std::mutex>();
        return lock;
    }

private:
    static constexpr std::size_t kManyNames = 64; ///< Forgotten names are cleared out only beyond these.
    std::mutex m_mutex;
    std::map<Key, std::weak_ptr<std::mutex>> m_locks;
};

} // namespace lxmgr::instances

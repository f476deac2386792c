// Tells that devices of the host may have come or gone: by what the kernel says of them, and by folders that files are
// waited for in. What that means for whom is found out by others.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace lxmgr::instances
{

class DeviceWatch
{
public:
    /// `changed` is called on a thread of ours, for each of what may be many at once. `socket`: where news comes from instead
    /// of the kernel, as datagrams of the same text; "" for the kernel.
    static Result<std::unique_ptr<DeviceWatch>> create(const std::string &socket, std::function<void()> changed);
    ~DeviceWatch();
    /// From now on these; for one that is missing the nearest above it that is there.
    void watch(const std::set<std::string> &folders);

private:
    explicit DeviceWatch(std::function<void()> changed) : m_changed(std::move(changed)) {}
    void loop();
    bool takeNews();
    bool takeFiles();

    std::function<void()> m_changed;
    Fd m_news, m_files, m_quit;
    std::mutex m_mutex;
    std::map<std::string, int> m_watches; ///< By folder, of inotify(7).
    std::thread m_thread;
};

/// Whether a message of the kernel's ("add@/devices/…", then KEY=VALUE, a zero byte after each) is of something that has a node.
bool isOfNode(std::string_view message);

} // namespace lxmgr::instances

// Devices that running guests have when the host has them: put in and taken out as they come and go.
#include "instances/manager.h"

#include "base/log.h"
#include "base/text.h"

#include <set>

namespace lxmgr::instances
{

namespace
{

/// Folders on the host in which something may appear; nullopt: nothing of it is waited for.
template <char Kind> std::optional<std::string> awaited(const config::UnixDevice<Kind> *device)
{
    if (!device || device->required.value_or(true) || device->major)
        return std::nullopt;
    const std::string &path = device->outside()->text;
    return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
}

} // namespace

void Manager::awaitDevices(const InstanceKey &key, const std::vector<config::Device> &devices)
{
    std::set<std::string> folders;
    bool waits = false;
    for (const config::Device &device : devices) {
        for (const auto &folder : {awaited(device.as<config::UnixCharDevice>()), awaited(device.as<config::UnixBlockDevice>())})
            if (folder)
                folders.insert(*folder);
        waits = waits || device.as<config::UsbDevice>() || device.as<config::HotplugDevice>() || device.as<config::GpuDevice>();
    }
    waits = waits || !folders.empty();
    {
        const std::lock_guard guard(m_awaitedMutex);
        if (waits)
            m_awaited[key] = std::move(folders);
        else if (m_awaited.erase(key) == 0)
            return;
    }
    watchFolders();
    if (waits)
        devicesChanged(); // between the plan and the watch something may have come
}

void Manager::watchFolders()
{
    std::set<std::string> all;
    const std::lock_guard guard(m_awaitedMutex);
    for (const auto &[key, folders] : m_awaited)
        all.insert(folders.begin(), folders.end());
    m_deviceWatch->watch(all);
}

void Manager::devicesChanged()
{
    if (!m_devicesToSettle.exchange(true))
        m_s.later([this] { settleDevices(); });
}

void Manager::settleDevices()
{
    m_devicesToSettle = false; // what comes from here on is looked at again
    std::vector<InstanceKey> keys;
    {
        const std::lock_guard guard(m_awaitedMutex);
        for (const auto &[key, folders] : m_awaited)
            keys.push_back(key);
    }
    if (keys.empty())
        return;
    watchFolders(); // a folder may have come to be
    for (const InstanceKey &key : keys)
        if (Status settled = settleDevicesOf(key); !settled)
            log::warning("instance '" + key.name + "': its devices do not follow those of the host: " + settled.error().message + ", ignoring");
}

Status Manager::settleDevicesOf(const InstanceKey &key)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const auto row = find(key);
    if (!row || row->status != store::InstanceStatus::Ready || !m_running->find(key))
        return {};
    const config::Expanded all = TRY(expanded(*row));
    const spec::ReplugBody changes = TRY(planReplug(key, all, all, Missing::Kept));
    if (!changes.hasNodes())
        return {};
    TRY(limitAgain(*row, TRY(config::parseEffective(all)))); // before the nodes: what is there can be used
    spec::MonitorClient monitor = TRY(spec::MonitorClient::connect(spec::monitorSocket(m_s.paths.instanceRunDir(key.project, key.name))));
    return monitor.replug(changes);
}

} // namespace lxmgr::instances

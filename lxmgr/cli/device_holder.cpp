#include "cli/device_holder.h"

#include "api/types.h"
#include "base/text.h"

#include <algorithm>

namespace lxmgr::cli
{

Result<DeviceHolder> DeviceHolder::fetch(Context &context, std::string_view collection, const std::string &name)
{
    DeviceHolder holder;
    holder.m_path = client::path(collection, {name});
    holder.m_name = name;
    Versioned now = TRY(cli::fetch(context, holder.m_path));
    holder.m_etag = std::move(now.etag);
    for (const std::string_view field :
         {"architecture", "config", "devices", "ephemeral", "profiles", "stateful", "description"})
        if (const api::Json *value = now.object.find(field))
            holder.m_object[field] = *value;
    return holder;
}

Status DeviceHolder::add(const std::string &device, const api::StringMap &keys)
{
    if (const api::Json *devices = m_object.find("devices"); devices && devices->find(device))
        return Error(Code::AlreadyExists, quoted(m_name) + " has a device " + quoted(device) + " already");
    for (const auto &[key, value] : keys)
        m_object["devices"][device][key] = value;
    return {};
}

Status DeviceHolder::remove(const std::string &what, const api::StringMap &keys, const std::string &device)
{
    std::vector<std::string> found;
    const api::Json *devices = m_object.find("devices");
    if (devices && devices->asObject())
        for (const auto &[name, own] : *devices->asObject())
            if ((device.empty() || device == name) &&
                std::ranges::all_of(keys, [&](const auto &key) { return own.text(key.first) == key.second; }))
                found.push_back(name);
    if (found.empty())
        return Error(Code::NotFound, quoted(m_name) + " has no device" + (device.empty() ? "" : " " + quoted(device)) +
                                         " with " + what);
    if (found.size() > 1)
        return Error(Code::Usage, "several devices of " + quoted(m_name) + " have " + what + ": " + join(found, ", ") + "; name one");
    m_object["devices"].remove(found.front());
    return {};
}

} // namespace lxmgr::cli

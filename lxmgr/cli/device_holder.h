// An instance or profile that a device is added to or removed from: what attaching volumes and networks share.
#pragma once

#include "api/types.h"
#include "cli/editing.h"

namespace lxmgr::cli
{

class DeviceHolder
{
public:
    /// `collection`: "/1.0/instances" or "/1.0/profiles".
    static Result<DeviceHolder> fetch(Context &context, std::string_view collection, const std::string &name);
    /// AlreadyExists where it has one of that name.
    Status add(const std::string &device, const api::StringMap &keys);
    /// The device that has all of `keys`; `device` "": the only one. `what` says what they stand for.
    Status remove(const std::string &what, const api::StringMap &keys, const std::string &device);
    /// Written back, guarded by its ETag.
    Status store(Context &context) { return put(context, m_path, m_object, m_etag); }

private:
    std::string m_path, m_name, m_etag;
    api::Json m_object = api::Json::object();
};

} // namespace lxmgr::cli

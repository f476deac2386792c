// How the first boot of an instance ended, as far as its cloud-init.user-data is concerned.
#pragma once

#include "api/fields.h"

namespace lxmgr::api
{

/// What /1.0/instances/{name}/wait?for=cloud-init answers.
struct CloudInitResult {
    std::string status; ///< none, done, failed or interrupted.
    std::string message;
    std::vector<std::string> warnings;
};
template <> struct Fields<CloudInitResult> {
    using T = CloudInitResult;
    static constexpr auto rows = std::tuple{
        Field{"status", &T::status},
        Field{"message", &T::message},
        Field{"warnings", &T::warnings},
    };
};

} // namespace lxmgr::api

// What a move of an instance to another project says beside InstancePost.
#pragma once

#include "api/fields.h"
#include "api/types.h"

#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

/// POST /1.0/instances/X: what it is to be there.
struct MovedPut {
    std::optional<std::vector<std::string>> profiles; ///< Null: those of the same names.
    StringMap config;                                 ///< Over its own.
    Devices devices;
};
template <> struct Fields<MovedPut> {
    using T = MovedPut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"profiles", &T::profiles, E}, Field{"config", &T::config, E}, Field{"devices", &T::devices, E}};
};

} // namespace lxmgr::api

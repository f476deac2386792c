// What is said of a project to change it.
#pragma once

#include "api/fields.h"

namespace lxmgr::api
{

/// PUT and PATCH.
struct ProjectPut {
    std::optional<std::string> description;
    std::optional<std::map<std::string, std::string>> config;
};
template <> struct Fields<ProjectPut> {
    using T = ProjectPut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"description", &T::description, E}, Field{"config", &T::config, E}};
};

} // namespace lxmgr::api

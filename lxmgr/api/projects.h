// Projects as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/types.h"

namespace lxmgr::api
{

struct Project {
    std::string name, description;
    StringMap config;
    std::vector<std::string> usedBy;
};
template <> struct Fields<Project> {
    using T = Project;
    static constexpr auto rows = std::tuple{Field{"config", &T::config}, Field{"description", &T::description},
                                            Field{"name", &T::name}, Field{"used_by", &T::usedBy}};
};

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

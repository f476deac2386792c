// What many resources of the REST API are made of. Objects without "Post"/"Put" in their name are answers; those with it are request bodies.
#pragma once

#include "api/fields.h"

#include <map>
#include <string>
#include <tuple>

namespace lxmgr::api
{

using StringMap = std::map<std::string, std::string>;
using Devices = std::map<std::string, StringMap>;

/// The body of every rename.
struct RenamePost {
    std::string name;
};
template <> struct Fields<RenamePost> {
    static constexpr auto rows = std::tuple{Field{"name", &RenamePost::name}};
};

} // namespace lxmgr::api

// Names of keys against tables of them: patterns, and what is said of a name that is in none.
#pragma once

#include "base/text.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::config
{

/// "user.*" is matched by "user.x", not by "user.".
inline bool matchesKey(std::string_view pattern, std::string_view name)
{
    if (!pattern.ends_with('*'))
        return pattern == name;
    return name.size() >= pattern.size() && name.starts_with(pattern.substr(0, pattern.size() - 1));
}

/// `what`: "storage pool key".
inline Error unknownKey(const std::string &what, const std::string &name, std::span<const std::string_view> known,
                        std::span<const std::string_view> unsupported)
{
    for (const std::string_view pattern : unsupported)
        if (matchesKey(pattern, name))
            return {Code::Unsupported, what + " " + quoted(name) + " is not supported by this version"};
    const auto near = nearest(name, known);
    return {Code::Invalid, "unknown " + what + " " + quoted(name) + (near ? " (did you mean '" + *near + "'?)" : "")};
}

} // namespace lxmgr::config

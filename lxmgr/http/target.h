// Request targets: "/1.0/instances/c1?recursion=1" taken apart once, and put together.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::http
{

/// Query parameters, decoded, in order.
class Query
{
public:
    void add(std::string name, std::string value) { m_list.emplace_back(std::move(name), std::move(value)); }
    const std::string *find(std::string_view name) const;
    std::string_view value(std::string_view name) const;
    /// "1", "true", "yes", "on".
    bool flag(std::string_view name) const;
    auto begin() const { return m_list.begin(); }
    auto end() const { return m_list.end(); }
    bool empty() const { return m_list.empty(); }

private:
    std::vector<std::pair<std::string, std::string>> m_list;
};

struct Target {
    std::vector<std::string> segments; ///< Decoded one by one: "%2F" stays inside its segment.
    Query query;
};

/// Refuses (Invalid) what is no absolute path, bad escapes, NUL, "." and ".." segments, and empty segments inside.
/// A slash at the end is dropped.
Result<Target> parseTarget(std::string_view target);

/// Everything but unreserved characters (RFC 3986) as %XX: for one segment or one query value.
std::string percentEncode(std::string_view text);
enum class Plus { Literal, Space };
Result<std::string> percentDecode(std::string_view text, Plus plus = Plus::Literal);
/// "a=b&c=d" decoded; also the form of X-LXD-properties.
Result<Query> parseQuery(std::string_view text);

} // namespace lxmgr::http

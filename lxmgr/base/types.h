// Strong types: quantities and names that must not be mixed up.
#pragma once

#include "base/result.h"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace lxmgr
{

struct Bytes {
    std::uint64_t count = 0;
    auto operator<=>(const Bytes &) const = default;
};

struct Millis {
    std::int64_t count = 0;
    auto operator<=>(const Millis &) const = default;
};

/// Keys and values as people write them, before (or after) config gave them types.
using StringMap = std::map<std::string, std::string>;
/// "" where the key is not there.
std::string valueOf(const StringMap &map, const std::string &key);
/// Device name → its keys, among them "type".
using DeviceMap = std::map<std::string, StringMap>;

/// Checks an instance name: 1–63 letters, digits and hyphens, starting with a letter, not ending with a hyphen
/// (RFC 1123 host name, as LXD). Invalid with the rule that was broken.
Status checkInstanceName(const std::string &name);
/// Checks the name of a profile, pool, volume or project: 1–64 of letters, digits, "-_.", not starting with "." or "-".
Status checkObjectName(const std::string &what, const std::string &name);

/// A name that passed its check; `Tag` keeps kinds apart.
template <class Tag> class Name
{
public:
    static Result<Name> create(std::string text)
    {
        TRY(Tag::check(text));
        return Name(std::move(text));
    }
    const std::string &text() const { return m_text; }
    auto operator<=>(const Name &) const = default;

private:
    explicit Name(std::string text) : m_text(std::move(text)) {}
    std::string m_text;
};

struct InstanceTag {
    static Status check(const std::string &name) { return checkInstanceName(name); }
};
using InstanceName = Name<InstanceTag>;

} // namespace lxmgr

template <class Tag> struct std::hash<lxmgr::Name<Tag>> {
    std::size_t operator()(const lxmgr::Name<Tag> &name) const noexcept { return std::hash<std::string>{}(name.text()); }
};

// The row a configuration key is: parser, validation, YAML, help, completion and API metadata all read it.
#pragma once

#include "config/values.h"

#include <type_traits>
#include <vector>

namespace lxmgr::config
{

enum class Apply {
    Live,    ///< Takes effect at once on a running instance.
    Restart, ///< At the next start.
    Daemon,  ///< Kept by the daemon; people read it.
};
std::string_view applyName(Apply apply);

/// How one member of `Owner` is read from and written to text; made by `field<&Owner::member>`.
template <class Owner> struct Field {
    std::string_view type;
    /// `suffix` is what a prefix key ("user.*") has behind its prefix, else "".
    Status (*parse)(Owner &owner, std::string_view suffix, const std::string &value);
    /// Adds "name" (or each "prefix<suffix>") to `out` where the member is set.
    void (*format)(const Owner &owner, std::string_view name, StringMap &out);
};

template <class Owner> struct Key {
    std::string_view name; ///< "limits.memory", or a prefix with a star: "user.*".
    Field<Owner> field;
    Apply apply;
    std::string_view defaultText;
    std::string_view summary;

    constexpr bool isPrefix() const { return name.ends_with('*'); }
    constexpr std::string_view prefix() const { return name.substr(0, name.size() - 1); }
};

/// The same row without its type, for help, man page and API metadata.
struct KeyInfo {
    std::string_view group; ///< "instance", "nic", "disk", "unix-char" and the other types of device, "pool", "server".
    std::string_view name;
    std::string_view type;
    Apply apply;
    std::string_view defaultText;
    std::string_view summary;
};
/// Every key there is, group by group, sorted within each.
const std::vector<KeyInfo> &allKeys();

namespace detail
{
template <class Owner, class Member> Owner ownerOf(Member Owner::*);
template <class Owner, class Member> Member memberOf(Member Owner::*);

template <class T> struct FieldText { // std::optional<V>: one key, one value
    using Value = typename T::value_type;
    static constexpr std::string_view kType = Codec<Value>::kType;
    static Status parse(T &member, std::string_view, const std::string &text)
    {
        member = TRY(Codec<Value>::parse(text));
        return {};
    }
    static void format(const T &member, std::string_view name, StringMap &out)
    {
        if (member)
            out[std::string(name)] = Codec<Value>::format(*member);
    }
};

template <class Value> struct FieldText<std::map<std::string, Value>> { // a prefix key: a value for each suffix
    using T = std::map<std::string, Value>;
    static constexpr std::string_view kType = Codec<Value>::kType;
    static Status parse(T &member, std::string_view suffix, const std::string &text)
    {
        member[std::string(suffix)] = TRY(Codec<Value>::parse(text));
        return {};
    }
    static void format(const T &member, std::string_view name, StringMap &out)
    {
        const std::string prefix(name.substr(0, name.size() - 1));
        for (const auto &[suffix, value] : member)
            out[prefix + suffix] = Codec<Value>::format(value);
    }
};

template <auto Member> constexpr auto makeField()
{
    using Owner = decltype(ownerOf(Member));
    using Text = FieldText<decltype(memberOf(Member))>;
    return Field<Owner>{
        Text::kType,
        [](Owner &owner, std::string_view suffix, const std::string &value) {
            return Text::parse(owner.*Member, suffix, value);
        },
        [](const Owner &owner, std::string_view name, StringMap &out) { Text::format(owner.*Member, name, out); },
    };
}
} // namespace detail

template <auto Member> inline constexpr auto field = detail::makeField<Member>();

} // namespace lxmgr::config

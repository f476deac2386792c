// One key against a table of rows: typed, or refused by its name.
#pragma once

#include "config/findings.h"
#include "config/key_names.h"
#include "config/keys.h"

#include <algorithm>

namespace lxmgr::config
{

/// An empty value says nothing. `what` is "server key". Invalid, or Unsupported where `unsupported` names it.
template <class Owner>
Status parseKeyOf(Owner &config, std::span<const Key<Owner>> rows, const std::string &what, std::span<const std::string_view> unsupported,
                  const std::string &name, const std::string &value)
{
    const auto row = std::ranges::find_if(rows, [&](const Key<Owner> &each) { return matchesKey(each.name, name); });
    if (row == rows.end()) {
        std::vector<std::string_view> known;
        for (const Key<Owner> &each : rows)
            known.push_back(each.name);
        return unknownKey(what, name, known, unsupported);
    }
    const std::string_view suffix = row->isPrefix() ? std::string_view(name).substr(row->prefix().size()) : std::string_view();
    if (!value.empty())
        TRY_IN(name, row->field.parse(config, suffix, value));
    return {};
}

/// All keys of a map by `parse`, called with a Config, name and value; what is wrong with them is in `findings`. Invalid: too many.
template <class Config, class Parse> Result<Config> parseKeys(const StringMap &keys, Findings &findings, const Parse &parse)
{
    constexpr std::size_t kMost = 1024;
    if (keys.size() > kMost)
        return Error(Code::Invalid, "more than " + std::to_string(kMost) + " keys");
    Config typed;
    for (const auto &[name, value] : keys)
        findings.add(parse(typed, name, value));
    return typed;
}

} // namespace lxmgr::config

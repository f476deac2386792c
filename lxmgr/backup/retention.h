// Which backups are kept: so many of the last, of the days, weeks, months and years.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::backup
{

struct Retention {
    /// "daily" → 7, each at most once.
    std::vector<std::pair<std::string, std::uint32_t>> rules;
    bool empty() const { return rules.empty(); }
    bool operator==(const Retention &) const = default;
};

/// Words that stand in front of a number: last, hourly, daily, weekly, monthly, yearly.
std::span<const std::string_view> retentionRules();
/// "last=3 daily=7"; Invalid naming the word. At least one must be kept.
Result<Retention> parseRetention(std::string_view text);
std::string formatRetention(const Retention &retention);

} // namespace lxmgr::backup

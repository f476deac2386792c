#include "backup/retention.h"

#include "base/text.h"

#include <algorithm>

namespace lxmgr::backup
{

namespace
{

constexpr std::string_view kRules[] = {"last", "hourly", "daily", "weekly", "monthly", "yearly"};
constexpr std::uint64_t kMost = 100'000;

} // namespace

std::span<const std::string_view> retentionRules() { return kRules; }

Result<Retention> parseRetention(std::string_view text)
{
    Retention retention;
    for (const std::string &word : words(text)) {
        const std::size_t equals = word.find('=');
        const std::string rule = word.substr(0, equals);
        if (equals == std::string::npos || std::ranges::find(kRules, rule) == std::end(kRules))
            return Error(Code::Invalid, quoted(word) + " says nothing of what to keep (for example last=3 daily=7 weekly=4; also hourly, monthly, yearly)");
        if (std::ranges::find(retention.rules, rule, &std::pair<std::string, std::uint32_t>::first) != retention.rules.end())
            return Error(Code::Invalid, quoted(rule) + " is given twice");
        const std::uint64_t count = TRY_IN(rule, parseUnsigned(std::string_view(word).substr(equals + 1), 1, kMost));
        retention.rules.emplace_back(rule, static_cast<std::uint32_t>(count));
    }
    return retention;
}

std::string formatRetention(const Retention &retention)
{
    std::string text;
    for (const auto &[rule, count] : retention.rules)
        text += (text.empty() ? "" : " ") + rule + "=" + std::to_string(count);
    return text;
}

} // namespace lxmgr::backup

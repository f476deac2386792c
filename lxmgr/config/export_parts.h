// What index.yaml of an exported instance and of an exported volume have in common; for this room only.
#pragma once

#include "config/yaml.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lxmgr::config::export_parts
{

inline constexpr const char *kIndexFile = "backup/index.yaml";
inline constexpr std::size_t kMostSnapshots = 10'000;

// Points in time, "2026-11-25T18:57:43.361102599Z" or with an offset, as Unix milliseconds; the years 1 and 1970 say
// "none", which is 0.
inline constexpr const char *kNever = "1970-01-01T00:00:00Z";
inline constexpr const char *kNoTime = "0001-01-01T00:00:00Z";
Result<std::int64_t> readTime(const YamlNode &node, const std::string &file, const std::string &what);
std::string timeText(std::int64_t millis, const char *none);

/// "" where there is no such key.
Result<std::string> textOf(const YamlNode &node, const std::string &file, const std::string &key);
/// A map of keys and values.
Result<YamlNode> parseIndex(std::string_view text, const std::string &file);
/// Unsupported: it holds the stream of a storage driver.
Status checkNotOptimized(const YamlNode &root);

YamlNode flag(bool value);
YamlNode emptyList();

} // namespace lxmgr::config::export_parts

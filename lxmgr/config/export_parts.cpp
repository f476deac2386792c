#include "config/export_parts.h"

#include "base/text.h"
#include "config/documents.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace lxmgr::config::export_parts
{

namespace
{

constexpr std::int64_t kSecond = 1000;

} // namespace

Result<std::int64_t> readTime(const YamlNode &node, const std::string &file, const std::string &what)
{
    const std::string text = TRY(yamlText(node, file, what));
    if (text.empty())
        return 0;
    tm parts{};
    const char *rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest)
        rest = ::strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parts); // as older YAML writers put it
    if (!rest)
        return yamlError(file, node, what + " " + quoted(text) + " is not a time");
    std::int64_t millis = 0;
    if (*rest == '.') {
        int scale = 100;
        for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10)
            millis += (*rest - '0') * scale;
    }
    std::int64_t offset = 0;
    int hours = 0;
    int minutes = 0;
    char sign = 0;
    if (std::sscanf(rest, " %c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
        offset = (sign == '+' ? 1 : -1) * (hours * 60 + minutes) * 60;
    const std::int64_t seconds = static_cast<std::int64_t>(::timegm(&parts)) - offset;
    return seconds <= 0 ? 0 : seconds * kSecond + millis;
}

std::string timeText(std::int64_t millis, const char *none)
{
    if (millis <= 0)
        return none;
    const time_t seconds = millis / kSecond;
    tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::array<char, 8> fraction{};
    std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(millis % kSecond));
    return std::string(text.data(), length) + fraction.data();
}

Result<std::string> textOf(const YamlNode &node, const std::string &file, const std::string &key)
{
    const YamlNode *value = node.find(key);
    return value ? TRY(yamlText(*value, file, key)) : std::string();
}

Result<YamlNode> parseIndex(std::string_view text, const std::string &file)
{
    YamlNode root = TRY(parseYaml(text, file));
    if (root.kind != YamlNode::Kind::Map)
        return yamlError(file, root, "it is not the index of an export");
    return root;
}

Status checkNotOptimized(const YamlNode &root)
{
    const YamlNode *optimized = root.find("optimized");
    if (optimized && TRY(yamlBool(*optimized, kIndexFile, "optimized")))
        return Error(Code::Unsupported, "the archive holds the own stream of the storage driver " +
                                            quoted(TRY(textOf(root, kIndexFile, "backend"))) +
                                            "; export it again without --optimized-storage");
    return {};
}

YamlNode flag(bool value) { return YamlNode::word(value ? "true" : "false"); }

YamlNode emptyList() { return YamlNode::sequence(); }

} // namespace lxmgr::config::export_parts

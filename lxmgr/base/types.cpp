#include "base/types.h"

#include "base/text.h"

#include <algorithm>
#include <cctype>

namespace lxmgr
{

namespace
{
bool isAsciiAlnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 && static_cast<unsigned char>(c) < 128; }
bool isAsciiAlpha(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 && static_cast<unsigned char>(c) < 128; }
} // namespace

std::string valueOf(const StringMap &map, const std::string &key)
{
    const auto found = map.find(key);
    return found == map.end() ? std::string() : found->second;
}

Status checkInstanceName(const std::string &name)
{
    const auto bad = [&](const char *why) {
        return Error(Code::Invalid, "instance name " + quoted(name) + ": " + why +
                                        " (1 to 63 alphanumeric characters and hyphens, starting with a letter)");
    };
    if (name.empty())
        return bad("is empty");
    if (name.size() > 63)
        return bad("is longer than 63 characters");
    if (!isAsciiAlpha(name.front()))
        return bad("must start with a letter");
    if (name.back() == '-')
        return bad("must not end with a hyphen");
    if (!std::ranges::all_of(name, [](char c) { return isAsciiAlnum(c) || c == '-'; }))
        return bad("has a character that is not alphanumeric or a hyphen");
    return {};
}

Status checkObjectName(const std::string &what, const std::string &name)
{
    const auto bad = [&](const char *why) {
        return Error(Code::Invalid, what + " name " + quoted(name) + ": " + why + " (1 to 64 of letters, digits and -_.)");
    };
    if (name.empty())
        return bad("is empty");
    if (name.size() > 64)
        return bad("is longer than 64 characters");
    if (name.front() == '.' || name.front() == '-')
        return bad("must not start with '.' or '-'");
    if (!std::ranges::all_of(name, [](char c) { return isAsciiAlnum(c) || c == '-' || c == '_' || c == '.'; }))
        return bad("has a character outside letters, digits and -_.");
    return {};
}

} // namespace lxmgr

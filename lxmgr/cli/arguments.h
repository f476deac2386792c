// Arguments: what the user wrote after the command's name.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::cli
{

enum class Repeat { No, Yes };

class Arguments
{
public:
    std::vector<std::string> words;
    std::vector<std::string> remotes; ///< Of each word: what stood in front of it ("b" of "b:web1"), empty for nothing.
    std::string bareRemote;           ///< "b:" that stood for itself, in a command between hosts.
    /// Values by a flag's long name; a switch that was given has one empty value.
    std::map<std::string, std::vector<std::string>, std::less<>> flags;

    bool has(std::string_view flag) const { return flags.find(flag) != flags.end(); }
    /// The last value given.
    std::optional<std::string> value(std::string_view flag) const
    {
        const auto found = flags.find(flag);
        return found == flags.end() || found->second.empty() ? std::nullopt : std::optional(found->second.back());
    }
    std::string value(std::string_view flag, std::string_view otherwise) const
    {
        return value(flag).value_or(std::string(otherwise));
    }
    const std::vector<std::string> &values(std::string_view flag) const
    {
        static const std::vector<std::string> none;
        const auto found = flags.find(flag);
        return found == flags.end() ? none : found->second;
    }
    std::string remoteOf(std::size_t index) const { return index < remotes.size() ? remotes[index] : std::string(); }
    /// The word at `index`, empty where it was left out.
    std::string word(std::size_t index) const { return index < words.size() ? words[index] : std::string(); }
};

} // namespace lxmgr::cli

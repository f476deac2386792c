#include "cli/remote_words.h"

#include "base/text.h"

#include <algorithm>
#include <optional>

namespace lxmgr::cli
{

namespace
{

// Arguments that name an object of a server.
constexpr std::string_view kObjects[] = {"acl",      "alias",       "api-path", "filter",    "fingerprint", "image",   "instance", "name",    "network",
                                         "new-name", "new-profile", "number",   "operation", "pool",        "profile", "project",  "template"};
// Of these a colon may be part of the name itself ("debian:12"): what is no remote is left as it stands.
constexpr std::string_view kWithColons[] = {"alias", "filter", "image", "template"};
// Both ends may be on hosts of their own.
constexpr std::string_view kBetweenHosts[] = {"copy", "image copy", "move", "storage volume copy", "storage volume move"};
// The image has a server of its own, the command another.
constexpr std::string_view kFromImage[] = {"create", "launch"};
// What an image server can be asked.
constexpr std::string_view kOfImageServers[] = {"image copy", "image info", "image list"};

template <std::size_t N> bool isIn(const std::string_view (&list)[N], std::string_view word)
{
    return std::ranges::find(list, word) != std::end(list);
}

struct Slot {
    std::string name;
    bool optional = false, repeated = false;
};

bool isRemoteWord(std::string_view placeholder) { return placeholder.find("<remote>:") != std::string_view::npos; }

/// "<instance>[/<snapshot>]..." is of kind "instance".
std::vector<Slot> slotsOf(const Command &command)
{
    std::vector<Slot> slots;
    for (const std::string &word : words(command.arguments)) {
        if (word == "[--]")
            break; // what follows belongs to another program
        const std::size_t from = word.find('<') + 1;
        slots.push_back({isRemoteWord(word) ? std::string("remote:") : word.substr(from, word.find('>') - from), word.front() == '[',
                         word.find("...") != std::string::npos});
    }
    return slots;
}

struct Split {
    std::string remote, rest;
};
std::optional<Split> splitRemote(const std::string &word)
{
    const std::size_t colon = word.find(':');
    if (colon == std::string::npos || !isRemoteName(std::string_view(word).substr(0, colon)))
        return std::nullopt;
    return Split{word.substr(0, colon), word.substr(colon + 1)};
}

/// "b:" where the row has "[<remote>:]": the word goes.
Result<std::optional<std::string>> takeBare(const Command &command, Arguments &arguments, const Remotes &remotes)
{
    if (!std::ranges::any_of(words(command.arguments), isRemoteWord))
        return std::optional<std::string>();
    for (auto word = arguments.words.begin(); word != arguments.words.end(); ++word) {
        const auto found = splitRemote(*word);
        if (!found || !found->rest.empty())
            continue;
        TRY(remotes.get(found->remote));
        arguments.words.erase(word);
        return std::optional(found->remote);
    }
    return std::optional<std::string>();
}

Error twoHosts(const std::string &one, const std::string &other)
{
    return Error(Code::Unsupported, "one command works on one host: not on " + quoted(one) + " and " + quoted(other) + " at once");
}

/// The host that all the words are for.
Result<std::string> oneHost(const std::vector<WordKind> &kinds, const Arguments &arguments, const std::string &otherwise)
{
    std::optional<std::string> host;
    for (std::size_t i = 0; i < arguments.words.size(); ++i) {
        if (arguments.remotes[i].empty())
            continue;
        if (host && *host != arguments.remotes[i])
            return twoHosts(*host, arguments.remotes[i]);
        host = arguments.remotes[i];
    }
    if (!host)
        return otherwise;
    // "start b:web1 web2": whoever writes this may mean the web2 of this host, which must not be guessed.
    for (std::size_t i = 0; i < arguments.words.size(); ++i)
        for (std::size_t k = 0; k < arguments.words.size(); ++k)
            if (kinds[i].place == kinds[k].place && kinds[i].name != "filter" && arguments.remotes[i].empty() &&
                !arguments.remotes[k].empty() && *host != otherwise)
                return std::move(twoHosts(*host, otherwise)).hint("write " + *host + ":" + arguments.words[i] + " if that is meant");
    return *host;
}

} // namespace

std::vector<WordKind> wordKinds(const Command &command, const Arguments &arguments)
{
    std::vector<Slot> slots = slotsOf(command);
    std::erase_if(slots, [](const Slot &slot) { return slot.name == "remote:" && slot.optional; });
    if (arguments.has("empty"))
        std::erase_if(slots, [](const Slot &slot) { return slot.name == "image"; });
    std::size_t required = static_cast<std::size_t>(std::ranges::count(slots, false, &Slot::optional));
    std::size_t left = arguments.words.size();
    std::vector<WordKind> kinds;
    for (std::size_t at = 0; at < slots.size() && left > 0; ++at) {
        const Slot &slot = slots[at];
        const std::size_t behind = required - (slot.optional ? 0 : 1); // what later arguments cannot do without
        const std::size_t room = left > behind ? left - behind : 0;
        const std::size_t takes = slot.repeated ? room : std::min<std::size_t>(room, 1);
        required = behind;
        left -= takes;
        for (std::size_t i = 0; i < takes; ++i)
            kinds.push_back({slot.name, at, slot.optional});
    }
    kinds.resize(arguments.words.size(), WordKind{"", slots.size(), true});
    return kinds;
}

bool asksServer(const Command &command)
{
    return command.path != "completion" && command.path != "docs" && command.path != "help" && !command.path.starts_with("remote ");
}

Result<std::string> takeRemotes(const Command &command, Arguments &arguments, const Remotes &remotes)
{
    const std::string otherwise = remotes.defaultName();
    const std::optional<std::string> bare = TRY(takeBare(command, arguments, remotes));
    const std::vector<WordKind> all = wordKinds(command, arguments);
    std::vector<WordKind> kinds;
    std::vector<std::string> kept;
    std::optional<std::string> alone = bare; // a remote that stands for itself
    const bool fromImage = isIn(kFromImage, command.path);
    for (std::size_t i = 0; i < arguments.words.size(); ++i) {
        const WordKind &kind = all[i];
        std::string word = arguments.words[i];
        const auto found = isIn(kObjects, kind.name) ? splitRemote(word) : std::nullopt;
        std::string remote;
        if (found && (remotes.find(found->remote) || !isIn(kWithColons, kind.name))) {
            TRY(remotes.get(found->remote));
            const bool defaultImage = fromImage && kind.name == "image";
            if (found->rest.empty() && (kind.optional || arguments.has("all")) && !defaultImage) {
                if (alone && *alone != found->remote)
                    return twoHosts(*alone, found->remote);
                alone = found->remote;
                continue;
            }
            if (found->rest.empty() && !defaultImage)
                return Error(Code::Usage, "what is meant on " + quoted(found->remote) + "? (a name is missing behind " + quoted(word) + ")");
            remote = found->remote;
            word = found->rest;
        }
        kinds.push_back(kind);
        kept.push_back(std::move(word));
        arguments.remotes.push_back(std::move(remote));
    }
    arguments.words = std::move(kept);

    std::string target;
    if (isIn(kBetweenHosts, command.path)) {
        target = arguments.remoteOf(0).empty() ? otherwise : arguments.remoteOf(0);
        arguments.bareRemote = alone.value_or("");
    } else if (fromImage) {
        const bool named = arguments.words.size() > (arguments.has("empty") ? 0U : 1U);
        const std::string of = named ? arguments.remotes.back() : std::string();
        target = alone ? *alone : of.empty() ? otherwise : of;
    } else {
        target = TRY(oneHost(kinds, arguments, alone.value_or(otherwise)));
        if (alone && target != *alone)
            return twoHosts(*alone, target);
    }
    const Remote remote = TRY(remotes.get(target));
    if (remote.isImageServer() && !isIn(kOfImageServers, command.path))
        return Error(Code::Unsupported, "remote " + quoted(target) + " is an image server: it has images, and nothing else");
    return target;
}

} // namespace lxmgr::cli

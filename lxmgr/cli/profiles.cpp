// profile: what instances share, one by one, and as files that are kept under version control (plan, apply, export).
#include "api/instances.h"
#include "api/profiles.h"
#include "api/undo.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/editing.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/text_file.h"
#include "cli/yaml.h"
#include "config/yaml.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

using api::Profile;
using api::ProfilePut;

constexpr std::string_view kProfiles = "/1.0/profiles";
constexpr std::string_view kEditHelp =
    "# This is a profile. Lines that begin with '#' are left out.\n"
    "# Keys below 'config', devices below 'devices' and the description can be changed; running instances\n"
    "# take at once what they can take while they run.\n";
constexpr std::string_view kEnding = ".yaml";
constexpr std::size_t kLongestFile = 1 << 20;

// clang-format off
constexpr Column<Profile> kProfileColumns[] = {
    {'n', "NAME", "Its name.", [](const Profile &p) { return p.name; }},
    {'d', "DESCRIPTION", "What it is for.", [](const Profile &p) { return p.description; }},
    {'u', "USED BY", "How many instances use it.", [](const Profile &p) { return std::to_string(p.usedBy.size()); }},
};
// clang-format on

std::string profilePath(const std::string &name) { return client::path(kProfiles, {name}); }

/// What can be written back of a profile.
api::Json writable(const api::Json &profile)
{
    api::Json document = api::Json::object();
    for (const std::string_view field : {"config", "description", "devices"})
        if (const api::Json *value = profile.find(field))
            document[field] = *value;
    return document;
}

/// The profiles of an instance, written back.
Status changeList(Context &context, const std::string &instance, const std::function<Status(std::vector<std::string> &)> &change)
{
    const std::string path = TRY(instancePath(instance));
    const client::Answer answer = TRY(context.client().request("GET", path));
    auto profiles = TRY(client::Client::parse<api::Instance>(answer.metadata)).profiles;
    TRY(change(profiles));
    api::Json document = api::Json::object();
    const api::Json object = TRY(client::Client::parse<api::Json>(answer.metadata));
    for (const std::string_view field : {"architecture", "config", "devices", "ephemeral", "stateful", "description"})
        if (const api::Json *value = object.find(field))
            document[field] = *value;
    document["profiles"] = api::Json::array();
    for (const std::string &name : profiles)
        document["profiles"].append(name);
    return put(context, path, document, answer.etag);
}

/// Names of the files that are profiles, sorted.
Result<std::vector<std::string>> filesIn(const std::string &folder)
{
    const std::unique_ptr<DIR, int (*)(DIR *)> opened(::opendir(folder.c_str()), &::closedir);
    if (!opened)
        return Error::fromErrno(errno, "open", folder).hint("profiles are files <name>.yaml in it; -f names another folder");
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const dirent *entry = ::readdir(opened.get());
        if (!entry && errno != 0)
            return Error::fromErrno(errno, "read folder", folder); // or a profile would be taken for deleted
        if (!entry)
            break;
        if (const std::string name = entry->d_name; name.ends_with(kEnding) && name.front() != '.')
            names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
}

/// One of those that come with lxmgr, by its name.
Result<std::string> shippedFile(Context &context, const std::string &name)
{
    const std::string folder = context.paths().dataDir + "/profiles";
    TRY(checkObjectName("profile", name));
    const std::string file = folder + "/" + name + std::string(kEnding);
    if (::access(file.c_str(), F_OK) == 0)
        return file;
    std::vector<std::string> names;
    for (const std::string &one : TRY(filesIn(folder)))
        names.push_back(one.substr(0, one.size() - kEnding.size()));
    return Error(Code::NotFound, "no profile " + quoted(name) + " comes with lxmgr: " + join(names, ", "));
}

std::string none(const std::vector<std::string> &profiles) { return profiles.empty() ? "(none)" : join(profiles, ", "); }

} // namespace

ColumnSet profileColumns() { return describe<Profile>("profile list", "ndu", kProfileColumns); }

Result<int> profileList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", std::string(kProfiles), {}, {{"recursion", "1"}}));
    TRY(printList<Profile>(context, arguments, profileColumns(), kProfileColumns, answer.metadata));
    return 0;
}

Result<int> profileShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(profilePath(arguments.word(0))))));
    return 0;
}

Result<int> profileCreate(Context &context, const Arguments &arguments)
{
    api::Json document = api::Json::object();
    if (arguments.has("file") && arguments.has("from"))
        return Error(Code::Usage, "--file or --from, not both");
    if (arguments.has("file") || arguments.has("from")) {
        const std::string file = arguments.has("file") ? arguments.value("file", "") : TRY(shippedFile(context, arguments.value("from", "")));
        const std::string text = file == "-" ? TRY(readStandardInput()) : TRY(readTextFile(file, kLongestFile));
        const auto read = TRY(config::readProfile(text, file == "-" ? "standard input" : file));
        document = TRY(api::Json::parse(api::toJson(ProfilePut{{}, read.description, read.config, read.devices})));
    }
    document["name"] = arguments.word(0);
    if (arguments.has("description"))
        document["description"] = arguments.value("description", "");
    for (const std::string &word : std::span(arguments.words).subspan(1)) {
        const KeyValue pair = TRY(keyValue(word));
        document["config"][pair.key] = pair.value;
    }
    TRY(context.client().request("POST", std::string(kProfiles), document.dump()));
    context.say("Profile " + arguments.word(0) + " created");
    return 0;
}

Result<int> profileEdit(Context &context, const Arguments &arguments)
{
    const std::string path = profilePath(arguments.word(0));
    const Versioned now = TRY(fetch(context, path));
    TRY(edit(context, path, kEditHelp, writable(now.object), now.etag));
    return 0;
}

Result<int> profileCopy(Context &context, const Arguments &arguments)
{
    api::Json document = writable(TRY(context.client().get<api::Json>(profilePath(arguments.word(0)))));
    document["name"] = arguments.word(1);
    client::Parameters parameters;
    if (const std::string project = arguments.value("target-project", ""); !project.empty())
        parameters.push_back({"project", project});
    TRY(context.client().request("POST", std::string(kProfiles), document.dump(), parameters));
    context.say("Profile " + arguments.word(1) + " created");
    return 0;
}

Result<int> profileRename(Context &context, const Arguments &arguments)
{
    ProfilePut post;
    post.name = arguments.word(1);
    TRY(context.client().request("POST", profilePath(arguments.word(0)), api::toJson(post)));
    context.say("Profile " + arguments.word(0) + " renamed to " + post.name);
    return 0;
}

Result<int> profileDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &name : arguments.words) {
        TRY(context.client().request("DELETE", profilePath(name)));
        context.say("Profile " + name + " deleted");
    }
    return 0;
}

Result<int> profileAdd(Context &context, const Arguments &arguments)
{
    const std::string instance = arguments.word(0), profile = arguments.word(1);
    TRY(changeList(context, instance, [&](std::vector<std::string> &profiles) -> Status {
        if (std::ranges::find(profiles, profile) != profiles.end())
            return Error(Code::AlreadyExists, quoted(instance) + " has the profile " + quoted(profile) + " already");
        profiles.push_back(profile);
        return {};
    }));
    context.say("Profile " + profile + " added to " + instance);
    return 0;
}

Result<int> profileRemove(Context &context, const Arguments &arguments)
{
    const std::string instance = arguments.word(0), profile = arguments.word(1);
    TRY(changeList(context, instance, [&](std::vector<std::string> &profiles) -> Status {
        if (std::erase(profiles, profile) == 0)
            return Error(Code::NotFound, quoted(instance) + " has no profile " + quoted(profile) + ": " + none(profiles));
        return {};
    }));
    context.say("Profile " + profile + " removed from " + instance);
    return 0;
}

Result<int> profileAssign(Context &context, const Arguments &arguments)
{
    std::vector<std::string> wanted;
    for (const std::string &word : std::span(arguments.words).subspan(1))
        for (const std::string &name : split(word, ','))
            if (!name.empty())
                wanted.push_back(name);
    TRY(changeList(context, arguments.word(0), [&](std::vector<std::string> &profiles) -> Status {
        profiles = wanted;
        return {};
    }));
    context.say("Profiles of " + arguments.word(0) + ": " + none(wanted));
    return 0;
}

Result<int> profileGet(Context &context, const Arguments &arguments)
{
    TRY(getKey(context, arguments, profilePath(arguments.word(0)), arguments.word(1)));
    return 0;
}
Result<int> profileSet(Context &context, const Arguments &arguments)
{
    TRY(setKeys(context, arguments, profilePath(arguments.word(0)), std::span(arguments.words).subspan(1)));
    return 0;
}
Result<int> profileUnset(Context &context, const Arguments &arguments)
{
    const std::string path = profilePath(arguments.word(0));
    const Versioned now = TRY(fetch(context, path));
    api::Json document = writable(now.object);
    for (const std::string &key : std::span(arguments.words).subspan(1)) {
        if (arguments.has("property")) {
            if (key != "description")
                return Error(Code::Usage, quoted(key) + " is no field that can be unset: description");
            document[key] = "";
            continue;
        }
        const api::Json *config = document.find("config");
        if (!config || !config->find(key))
            return Error(Code::NotFound, quoted(key) + " is not set in profile " + quoted(arguments.word(0)));
        document["config"].remove(key);
    }
    TRY(put(context, path, document, now.etag));
    return 0;
}

// --- files

namespace
{

std::string folderOf(Context &context, const Arguments &arguments)
{
    return arguments.value("folder", context.paths().configDir + "/profiles.d");
}

/// Each file a profile, called as the file unless it says another name.
Result<api::ProfilesPut> readFolder(const std::string &folder)
{
    api::ProfilesPut wanted;
    std::map<std::string, std::string> seen; // name → file
    for (const std::string &file : TRY(filesIn(folder))) {
        const std::string path = folder + "/" + file;
        auto read = TRY(config::readProfile(TRY(readTextFile(path, kLongestFile)), path));
        const std::string name = read.name.empty() ? file.substr(0, file.size() - kEnding.size()) : read.name;
        if (const auto [other, isNew] = seen.emplace(name, path); !isNew)
            return Error(Code::Invalid, path + ": profile " + quoted(name) + " is in " + other->second + " already");
        TRY_IN(path, checkObjectName("profile", name));
        wanted.profiles.push_back({name, read.description, std::move(read.config), std::move(read.devices)});
    }
    if (wanted.profiles.empty())
        return Error(Code::NotFound, folder + " holds no profile (files <name>.yaml; -f names another folder)");
    return wanted;
}

std::string shown(const std::string &value) { return value.empty() ? "(unset)" : escaped(value); }

/// "web1" of "/1.0/instances/web1?project=x".
std::string lastPart(const std::string &url)
{
    const std::string path = url.substr(0, url.find('?'));
    return path.substr(path.rfind('/') + 1);
}

/// "+ web" and its keys, "~ web", and nothing for what stays.
void describe(Context &context, const api::ProfilesChanged &changed)
{
    std::size_t counts[3] = {};
    for (const api::ProfileChange &profile : changed.profiles) {
        ++counts[profile.action == "create" ? 0 : profile.action == "change" ? 1 : 2];
        if (profile.action == "keep")
            continue;
        const bool made = profile.action == "create";
        std::vector<std::string> users;
        for (const std::string &url : profile.usedBy)
            users.push_back(escaped(lastPart(url)));
        context.printLine(std::string(made ? "+ " : "~ ") + escaped(profile.name) + (users.empty() ? "" : "  (used by " + join(users, ", ") + ")"));
        for (const api::UndoChange &change : profile.changes)
            context.printLine("    " + escaped(change.key) + ": " + (made ? shown(change.then) : shown(change.now) + " -> " + shown(change.then)));
    }
    for (const auto &[instance, keys] : changed.restartNeeded)
        context.printLine("! " + escaped(instance) + " takes " + escaped(join(keys, ", ")) + " when it is started again");
    context.printLine(std::to_string(counts[0]) + " to create, " + std::to_string(counts[1]) + " to change, " + std::to_string(counts[2]) + " as they are");
}

Result<int> applyFolder(Context &context, const Arguments &arguments, bool dryRun)
{
    api::ProfilesPut wanted = TRY(readFolder(folderOf(context, arguments)));
    wanted.dryRun = dryRun;
    const client::Answer answer = TRY(context.client().request("PUT", std::string(kProfiles), api::toJson(wanted)));
    const auto changed = TRY(client::Client::parse<api::ProfilesChanged>(answer.metadata));
    if (arguments.has("format")) {
        TRY(printObject(context, arguments, TRY(client::Client::parse<api::Json>(answer.metadata))));
        return 0;
    }
    if (dryRun) {
        describe(context, changed);
        return 0;
    }
    for (const api::ProfileChange &profile : changed.profiles)
        if (profile.action != "keep")
            context.say("Profile " + profile.name + (profile.action == "create" ? " created" : " changed"));
    tellRestarts(context, answer.metadata);
    return 0;
}

} // namespace

Result<int> profilePlan(Context &context, const Arguments &arguments) { return applyFolder(context, arguments, true); }
Result<int> profileApply(Context &context, const Arguments &arguments) { return applyFolder(context, arguments, false); }

Result<int> profileExport(Context &context, const Arguments &arguments)
{
    const std::string folder = arguments.word(0).empty() ? folderOf(context, arguments) : arguments.word(0);
    if (::mkdir(folder.c_str(), 0755) < 0 && errno != EEXIST)
        return Error::fromErrno(errno, "mkdir", folder);
    const Fd opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened)
        return Error::fromErrno(errno, "open", folder);
    const auto profiles = TRY(context.client().get<std::vector<Profile>>(std::string(kProfiles), {{"recursion", "1"}}));
    for (const Profile &profile : profiles) {
        const std::string text = config::writeProfile({profile.name, profile.description, profile.config, profile.devices, {}});
        TRY_IN(folder, replaceTextFile(opened, profile.name + std::string(kEnding), text));
        context.say("Profile " + profile.name + " written to " + folder + "/" + profile.name + std::string(kEnding));
    }
    return 0;
}

} // namespace lxmgr::cli

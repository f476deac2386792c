// launch and create: what a new instance is made of.
#include "cli/handlers.h"

#include "api/cloud_init.h"
#include "api/instances.h"
#include "api/operations.h"
#include "api/profiles.h"
#include "api/types.h"
#include "base/text.h"
#include "cli/attach.h"
#include "cli/context.h"
#include "cli/image_source.h"
#include "cli/keys.h"
#include "cli/new_instance.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/yaml.h"

#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

constexpr std::string_view kWaitSeconds = "300";

/// "debian:12" and "images:debian/12" are what users of other managers type.
std::string imageAlias(std::string image)
{
    for (const std::string_view remote : {"images:", "local:"})
        if (image.starts_with(remote))
            return image.substr(remote.size());
    if (const std::size_t colon = image.find(':'); colon != std::string::npos && colon + 1 < image.size())
        image[colon] = '/';
    else if (image.ends_with(':'))
        image.pop_back();
    return image;
}

bool isFingerprint(std::string_view text)
{
    return text.size() >= 12 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// A YAML description on standard input, but only where that is a file: a pipe may be somebody else's, and never end.
Result<api::InstancesPost> describedInstance()
{
    struct stat info{};
    if (::fstat(STDIN_FILENO, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0)
        return api::InstancesPost();
    const api::Json document = TRY(fromYaml(TRY(readStandardInput()), "standard input"));
    static constexpr std::string_view kKnown[] = {"config", "devices", "profiles",     "description", "ephemeral",
                                                  "name",   "type",    "architecture", "stateful"};
    if (!document.isNull() && !document.asObject())
        return Error(Code::Invalid,
                     "standard input: an instance is described by keys such as 'config:' and 'devices:'");
    if (const api::Json::Object *members = document.asObject())
        for (const auto &[name, value] : *members)
            if (std::ranges::find(kKnown, name) == std::end(kKnown))
                return Error(Code::Invalid, "standard input: " + quoted(name) + " is no key of an instance");
    return TRY_IN("standard input", api::fromJson<api::InstancesPost>(document.isNull() ? "{}" : document.dump()));
}

/// Those it will get, as far as its image is there already.
Result<std::vector<std::string>> profilesFor(Context &context, const api::InstancesPost &post)
{
    if (post.profiles)
        return *post.profiles;
    const std::string &name = post.source.fingerprint.empty() ? post.source.alias : post.source.fingerprint;
    const auto fingerprint = post.source.server.empty() && !name.empty() ? fingerprintOf(context.client(), name) : Error(Code::NotFound, "");
    if (!fingerprint)
        return std::vector<std::string>{"default"};
    return TRY(context.client().get<api::Image>(client::path("/1.0/images", {*fingerprint}))).profiles;
}

/// What the profiles bring, asked only where an override needs it.
Result<api::Devices> inheritedDevices(Context &context, const api::InstancesPost &post)
{
    api::Devices inherited;
    if (std::ranges::all_of(post.devices, [](const auto &device) { return device.second.contains("type"); }))
        return inherited;
    for (const std::string &profile : TRY(profilesFor(context, post)))
        for (const auto &[name, keys] :
             TRY(context.client().get<api::Profile>(client::path("/1.0/profiles", {profile}))).devices)
            inherited[name] = keys;
    return inherited;
}

/// With -o an image is built from a template: "images:debian/12" is the one called debian/12, "ubuntu:24.04" ubuntu/24.04.
std::string asTemplate(const std::string &remote, const std::string &image)
{
    return remote.empty() || remote == "images" || remote == kLocalRemote ? image : remote + "/" + image;
}

/// An image that is on another server than the instance will be.
Status setRemoteSource(Context &context, api::InstancesPost &post, const std::string &remote, const std::string &image)
{
    const ImageOrigin origin = TRY(originOf(context, remote, image, Want::Source));
    post.source.type = "image";
    if (!origin.reachable) {
        post.source.fingerprint = TRY(carryImage(context, remote, *origin.image, false));
        return {};
    }
    nameOrigin(post.source, origin);
    return {};
}

Status setSource(Context &context, api::InstancesPost &post, const Arguments &arguments)
{
    if (arguments.has("empty")) {
        post.source.type = "none";
        return {};
    }
    const std::string remote = arguments.remoteOf(0);
    const bool elsewhere = !remote.empty() && remote != context.remote();
    if (elsewhere && arguments.values("option").empty())
        return setRemoteSource(context, post, remote, arguments.word(0));
    const std::string image = elsewhere ? asTemplate(remote, arguments.word(0)) : arguments.word(0);
    if (image.empty())
        return Error(Code::Usage, "an image is missing (or --empty for none)")
            .hint("'lxmgr template list' and 'lxmgr image list' show what there is");
    post.source.type = "image";
    (isFingerprint(image) ? post.source.fingerprint : post.source.alias) = imageAlias(image);
    if (!arguments.values("option").empty()) {
        post.source.options.emplace();
        for (const std::string &text : arguments.values("option")) {
            const KeyValue pair = TRY(keyValue(text));
            (*post.source.options)[pair.key] = pair.value;
        }
    }
    return {};
}

enum class Start { Yes, No };

struct Made {
    std::string name;
    std::string warnings; ///< As they were told.
};

/// Creates (and starts).
Result<Made> make(Context &context, const Arguments &arguments, Start start)
{
    const bool empty = arguments.has("empty");
    api::InstancesPost post = TRY(describedInstance());
    const std::string named = arguments.word(empty ? 0 : 1);
    if (!named.empty())
        post.name = named;
    if (!post.name.empty())
        TRY(checkInstanceName(post.name));
    TRY(addOptions(post, arguments));
    TRY(setSource(context, post, arguments));
    TRY(completeDevices(post, TRY(inheritedDevices(context, post))));
    post.type = "container";
    post.start = start == Start::Yes;

    context.say(post.name.empty() ? "Creating the instance" : "Creating " + post.name);
    const client::Answer answer = TRY(context.client().request("POST", "/1.0/instances", api::toJson(post)));
    if (post.name.empty()) {
        post.name = nameOf(TRY(client::Client::parse<api::Operation>(answer.metadata)));
        context.printLine("Instance name is: " + escaped(post.name));
        TRY(context.flush());
    }
    const api::Operation done = TRY(waitWithProgress(context, answer.operation, post.name));
    tellNotes(context, done);
    const std::string warnings = done.metadata.text("warnings");
    if (!warnings.empty())
        context.warn("Warning: " + escaped(warnings));
    return Made{post.name, warnings};
}

/// What cloud-init.user-data asks for is part of a launch: one that fails there has failed, though the instance stays.
Status waitForCloudInit(Context &context, const Arguments &arguments, const Made &made)
{
    const client::Answer answer = TRY(context.client().request("GET", TRY(instancePath(made.name, "wait")), {},
                                                               {{"for", "cloud-init"}, {"timeout", arguments.value("timeout", kWaitSeconds)}}));
    const auto result = TRY(client::Client::parse<api::CloudInitResult>(answer.metadata));
    for (const std::string &warning : result.warnings)
        if (made.warnings.find(warning) == std::string::npos)
            context.warn("Warning: " + escaped(warning));
    if (result.status == "failed" || result.status == "interrupted")
        return Error(Code::WrongState, "instance " + quoted(made.name) + " runs, but its first boot " +
                                           (result.status == "failed" ? "failed: " : "was interrupted: ") + result.message)
            .hint("/var/log/cloud-init-output.log in it says more");
    return {};
}

} // namespace

Status waitUntilBooted(Context &context, const Arguments &arguments, const std::string &name)
{
    const std::string seconds = arguments.value("timeout", kWaitSeconds);
    TRY_IN("--timeout", parseUnsigned(seconds, 0, 86400));
    TRY(context.client().request("GET", TRY(instancePath(name, "wait")),
                                 {
    },
                                 {{"for", "booted"}, {"timeout", seconds}}));
    return {};
}

Result<int> launch(Context &context, const Arguments &arguments)
{
    const Made made = TRY(make(context, arguments, Start::Yes));
    context.say("Starting " + made.name);
    if (arguments.has("wait")) {
        TRY(waitUntilBooted(context, arguments, made.name));
        TRY(waitForCloudInit(context, arguments, made));
    }
    return arguments.has("console") ? attachConsole(context, made.name) : Result<int>(0);
}

Result<int> create(Context &context, const Arguments &arguments)
{
    TRY(make(context, arguments, Start::No));
    return 0;
}

} // namespace lxmgr::cli

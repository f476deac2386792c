// storage volume: custom volumes, their snapshots, and attaching them to instances and profiles.
#include "api/operations.h"
#include "api/storage.h"
#include "api/types.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/device_holder.h"
#include "cli/editing.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/snapshots.h"
#include "cli/yaml.h"

namespace lxmgr::cli
{

namespace
{

using api::StorageVolume;
using api::StorageVolumeSnapshot;

constexpr std::string_view kPools = "/1.0/storage-pools";
constexpr std::string_view kEditHelp =
    "# This is the configuration of a storage volume. Lines that begin with '#' are left out.\n"
    "# Keys below 'config' and the description can be changed.\n";

// clang-format off
constexpr Column<StorageVolume> kColumns[] = {
    {'t', "TYPE", "custom, container or image.", [](const StorageVolume &v) { return v.type + (v.name.find('/') == std::string::npos ? "" : " (snapshot)"); }},
    {'n', "NAME", "Its name; <volume>/<snapshot> for a snapshot.", [](const StorageVolume &v) { return v.name; }},
    {'d', "DESCRIPTION", "What it is for.", [](const StorageVolume &v) { return v.description; }},
    {'c', "CONTENT-TYPE", "filesystem.", [](const StorageVolume &v) { return v.contentType; }},
    {'u', "USED BY", "How many instances and profiles have it.", [](const StorageVolume &v) { return std::to_string(v.usedBy.size()); }},
    {'e', "PROJECT", "Where it belongs.", [](const StorageVolume &v) { return v.project; }},
};
constexpr Column<StorageVolumeSnapshot> kSnapshotColumns[] = {
    {'n', "NAME", "Its name.", [](const StorageVolumeSnapshot &s) { return s.name.substr(s.name.find('/') + 1); }},
    {'d', "DESCRIPTION", "What it is for.", [](const StorageVolumeSnapshot &s) { return s.description; }},
    {'T', "TAKEN AT", "When it was made.", [](const StorageVolumeSnapshot &s) { return dateText(s.createdAt); }},
    {'E', "EXPIRES AT", "When it may go; empty: never.", [](const StorageVolumeSnapshot &s) { return s.expiresAt ? dateText(*s.expiresAt) : std::string(); }},
};
// clang-format on

/// "data", "custom/data", "container/web1".
struct VolumeWord {
    std::string type = "custom";
    std::string name;
};
VolumeWord volumeWord(const std::string &word)
{
    const std::size_t slash = word.find('/');
    if (slash == std::string::npos)
        return {"custom", word};
    return {word.substr(0, slash), word.substr(slash + 1)};
}

std::string volumePath(const std::string &pool, const std::string &volume,
                       std::initializer_list<std::string_view> sub = {})
{
    const VolumeWord word = volumeWord(volume);
    std::string path = client::path(kPools, {pool, "volumes", word.type, word.name});
    for (const std::string_view part : sub)
        path = client::path(path, {part});
    return path;
}

/// "[<device>] [<path>]": a path begins with "/".
Status attach(Context &context, const Arguments &arguments, std::string_view collection)
{
    const std::string pool = arguments.word(0), volume = volumeWord(arguments.word(1)).name;
    std::string device = volume, path;
    for (std::size_t i = 3; i < arguments.words.size(); ++i)
        (arguments.words[i].starts_with('/') ? path : device) = arguments.words[i];
    if (path.empty())
        return Error(Code::Usage, "where the volume is mounted inside is missing: lxmgr storage volume attach <pool> "
                                  "<volume> <instance> /path");
    TRY(context.client().request("GET", volumePath(pool, volume)));
    DeviceHolder holder = TRY(DeviceHolder::fetch(context, collection, arguments.word(2)));
    api::StringMap keys{
        {"type",   "disk"},
        {"pool",   pool  },
        {"source", volume},
        {"path",   path  }
    };
    if (arguments.has("readonly"))
        keys["readonly"] = "true";
    TRY(holder.add(device, keys));
    TRY(holder.store(context));
    context.say("Device " + device + " added to " + arguments.word(2));
    return {};
}

Status detach(Context &context, const Arguments &arguments, std::string_view collection)
{
    DeviceHolder holder = TRY(DeviceHolder::fetch(context, collection, arguments.word(2)));
    const std::string volume = volumeWord(arguments.word(1)).name;
    TRY(holder.remove("the volume " + quoted(volume), {{"pool", arguments.word(0)}, {"source", volume}}, arguments.word(3)));
    TRY(holder.store(context));
    context.say("Storage volume " + arguments.word(1) + " detached from " + arguments.word(2));
    return {};
}

} // namespace

ColumnSet volumeColumns() { return describe<StorageVolume>("storage volume list", "tndcu", kColumns); }
ColumnSet volumeSnapshotColumns()
{
    return describe<StorageVolumeSnapshot>("storage volume snapshot list", "ndTE", kSnapshotColumns);
}

Result<int> volumeList(Context &context, const Arguments &arguments)
{
    client::Parameters parameters{
        {"recursion", "1"}
    };
    if (arguments.words.size() > 1)
        parameters.push_back({"filter", join(std::span(arguments.words).subspan(1), " ")});
    if (arguments.has("all-projects"))
        parameters.push_back({"all-projects", "true"});
    const client::Answer answer = TRY(context.client().request(
        "GET", client::path(kPools, {arguments.word(0), "volumes"}), std::string(), parameters));
    TRY(printList<StorageVolume>(context, arguments, volumeColumns(), kColumns, answer.metadata));
    return 0;
}

Result<int> volumeShow(Context &context, const Arguments &arguments)
{
    const std::string path = volumePath(arguments.word(0), arguments.word(1));
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(path))));
    return 0;
}

Result<int> volumeInfo(Context &context, const Arguments &arguments)
{
    const auto volume = TRY(context.client().get<StorageVolume>(volumePath(arguments.word(0), arguments.word(1))));
    const auto state =
        TRY(context.client().get<api::StorageVolumeState>(volumePath(arguments.word(0), arguments.word(1), {"state"})));
    std::string text = "Name: " + volume.name + "\n";
    if (!volume.description.empty())
        text += "Description: " + escaped(volume.description) + "\n";
    text += "Type: " + volume.type + "\nContent type: " + volume.contentType + "\n";
    text += "Usage: " + humanBytes(Bytes{state.usage.used});
    if (state.usage.total > 0)
        text += " of " + humanBytes(Bytes{state.usage.total});
    text += "\nCreated: " + dateText(volume.createdAt) + "\n";
    if (!volume.usedBy.empty())
        text += "Used by:\n";
    for (const std::string &url : volume.usedBy)
        text += "- " + url + "\n";
    context.print(text);
    return 0;
}

Result<int> volumeCreate(Context &context, const Arguments &arguments)
{
    api::StorageVolumesPost post;
    post.name = volumeWord(arguments.word(1)).name;
    post.type = volumeWord(arguments.word(1)).type;
    post.contentType = "filesystem";
    post.description = arguments.value("description", "");
    for (std::size_t i = 2; i < arguments.words.size(); ++i) {
        const KeyValue pair = TRY(keyValue(arguments.words[i]));
        post.config[pair.key] = pair.value;
    }
    TRY(context.client().request("POST", client::path(kPools, {arguments.word(0), "volumes", post.type}),
                                 api::toJson(post)));
    context.say("Storage volume " + post.name + " created");
    return 0;
}

Result<int> volumeGet(Context &context, const Arguments &arguments)
{
    TRY(getKey(context, arguments, volumePath(arguments.word(0), arguments.word(1)), arguments.word(2)));
    return 0;
}
Result<int> volumeSet(Context &context, const Arguments &arguments)
{
    TRY(setKeys(context, arguments, volumePath(arguments.word(0), arguments.word(1)), std::span(arguments.words).subspan(2)));
    return 0;
}
Result<int> volumeUnset(Context &context, const Arguments &arguments)
{
    TRY(unsetKeys(context, arguments, volumePath(arguments.word(0), arguments.word(1)), arguments.word(1), std::span(arguments.words).subspan(2)));
    return 0;
}
Result<int> volumeEdit(Context &context, const Arguments &arguments)
{
    TRY(editKeys(context, volumePath(arguments.word(0), arguments.word(1)), kEditHelp));
    return 0;
}

Result<int> volumeRename(Context &context, const Arguments &arguments)
{
    api::StorageVolumePost post;
    post.name = volumeWord(arguments.word(2)).name;
    TRY(context.client().request("POST", volumePath(arguments.word(0), arguments.word(1)), api::toJson(post)));
    context.say("Storage volume " + arguments.word(1) + " renamed to " + post.name);
    return 0;
}

Result<int> volumeDelete(Context &context, const Arguments &arguments)
{
    const std::string path = volumePath(arguments.word(0), arguments.word(1));
    TRY(context.client().request("DELETE", arguments.has("purge") ? path + "?purge=1" : path));
    context.say("Storage volume " + arguments.word(1) + " deleted");
    return 0;
}

Result<int> volumeAttach(Context &context, const Arguments &arguments)
{
    TRY(instancePath(arguments.word(2)));
    TRY(attach(context, arguments, "/1.0/instances"));
    return 0;
}
Result<int> volumeAttachProfile(Context &context, const Arguments &arguments)
{
    TRY(attach(context, arguments, "/1.0/profiles"));
    return 0;
}
Result<int> volumeDetach(Context &context, const Arguments &arguments)
{
    TRY(instancePath(arguments.word(2)));
    TRY(detach(context, arguments, "/1.0/instances"));
    return 0;
}
Result<int> volumeDetachProfile(Context &context, const Arguments &arguments)
{
    TRY(detach(context, arguments, "/1.0/profiles"));
    return 0;
}

Result<int> volumeSnapshotCreate(Context &context, const Arguments &arguments)
{
    api::StorageVolumeSnapshotsPost post;
    post.name = arguments.word(2);
    post.description = arguments.value("description", "");
    post.expiresAt = TRY(expiryOf(arguments));
    const std::string path = volumePath(arguments.word(0), arguments.word(1), {"snapshots"});
    if (arguments.has("reuse") && post.name.empty())
        return Error(Code::Usage, "--reuse needs the name of the snapshot to make anew");
    if (arguments.has("reuse")) {
        const std::string older = volumePath(arguments.word(0), arguments.word(1), {"snapshots", post.name});
        const auto gone = runWithProgress(context, "DELETE", older, {}, "Deleting " + post.name);
        if (!gone && gone.error().code != Code::NotFound)
            return gone.error();
    }
    const api::Operation done =
        TRY(runWithProgress(context, "POST", path, api::toJson(post), "Snapshotting " + arguments.word(1)));
    if (!post.name.empty() || !done.resources)
        return 0;
    if (const auto list = done.resources->find("storage_volume_snapshots");
        list != done.resources->end() && !list->second.empty()) {
        const std::string url = list->second.front().substr(0, list->second.front().find('?'));
        context.say("Snapshot " + arguments.word(1) + "/" + url.substr(url.rfind('/') + 1) + " created");
    }
    return 0;
}

Result<int> volumeSnapshotList(Context &context, const Arguments &arguments)
{
    const std::string path = volumePath(arguments.word(0), arguments.word(1), {"snapshots"});
    const client::Answer answer = TRY(context.client().request("GET", path, std::string(),
                                                               {
                                                                   {"recursion", "1"}
    }));
    TRY(printList<StorageVolumeSnapshot>(context, arguments, volumeSnapshotColumns(), kSnapshotColumns,
                                         answer.metadata));
    return 0;
}

Result<int> volumeSnapshotShow(Context &context, const Arguments &arguments)
{
    const std::string path = volumePath(arguments.word(0), arguments.word(1), {"snapshots", arguments.word(2)});
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(path))));
    return 0;
}

Result<int> volumeSnapshotRename(Context &context, const Arguments &arguments)
{
    api::Json body = api::Json::object();
    body["name"] = arguments.word(3);
    TRY(runWithProgress(context, "POST",
                        volumePath(arguments.word(0), arguments.word(1), {"snapshots", arguments.word(2)}), body.dump(),
                        "Renaming"));
    return 0;
}

Result<int> volumeSnapshotDelete(Context &context, const Arguments &arguments)
{
    const std::string path = volumePath(arguments.word(0), arguments.word(1), {"snapshots", arguments.word(2)});
    TRY(runWithProgress(context, "DELETE", arguments.has("purge") ? path + "?purge=1" : path, {}, "Deleting"));
    return 0;
}

Result<int> volumeSnapshotRestore(Context &context, const Arguments &arguments)
{
    api::Json body = api::Json::object();
    body["restore"] = arguments.word(2);
    TRY(context.client().request("PUT", volumePath(arguments.word(0), arguments.word(1)), body.dump()));
    return 0;
}

} // namespace lxmgr::cli

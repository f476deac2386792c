// export and storage volume export: keep, list, show, get, rename, delete. Exports that the server keeps.
#include "api/instances.h"
#include "api/operations.h"
#include "api/types.h"
#include "api/volume_backups.h"
#include "base/text.h"
#include "cli/archive_file.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/kept_exports.h"
#include "cli/keys.h"
#include "cli/volume_handlers.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "config/snapshots.h"

#include <cerrno>
#include <ctime>
#include <unistd.h>

namespace lxmgr::cli
{

/// A kept export among those of all instances.
struct ListedExport : api::InstanceBackup {
    std::string instance;
};

} // namespace lxmgr::cli

namespace lxmgr::api
{

template <> struct Fields<cli::ListedExport> {
    static constexpr auto rows =
        std::tuple_cat(std::tuple{Field{"instance", &cli::ListedExport::instance}}, Fields<InstanceBackup>::rows);
};

} // namespace lxmgr::api

namespace lxmgr::cli
{

namespace
{

// clang-format off
constexpr Column<ListedExport> kColumns[] = {
    {'i', "INSTANCE", "Whose it is.", [](const ListedExport &e) { return e.instance; }},
    {'n', "NAME", "Its name.", [](const ListedExport &e) { return e.name; }},
    {'T', "TAKEN AT", "When it was made.", [](const ListedExport &e) { return dateText(e.createdAt); }},
    {'E', "EXPIRES AT", "When it is deleted; empty: never.", [](const ListedExport &e) { return dateText(e.expiresAt); }},
    {'s', "SIZE", "What the archive takes.", [](const ListedExport &e) { return sizeText(e.size); }},
    {'S', "SNAPSHOTS", "Whether those of the instance are in it.", [](const ListedExport &e) { return yesNo(!e.instanceOnly); }},
    {'c', "COMPRESSION", "How it is compressed.", [](const ListedExport &e) { return e.compressionAlgorithm; }},
};
// clang-format on

constexpr Column<api::StorageVolumeBackup> kVolumeColumns[] = {
    {'n', "NAME", "Its name.", [](const api::StorageVolumeBackup &e) { return e.name; }},
    {'T', "TAKEN AT", "When it was made.", [](const api::StorageVolumeBackup &e) { return dateText(e.createdAt); }},
    {'E', "EXPIRES AT", "When it is deleted; empty: never.", [](const api::StorageVolumeBackup &e) { return dateText(e.expiresAt); }},
    {'s', "SIZE", "What the archive takes.", [](const api::StorageVolumeBackup &e) { return sizeText(e.size); }},
    {'S', "SNAPSHOTS", "Whether those of the volume are in it.", [](const api::StorageVolumeBackup &e) { return yesNo(!e.volumeOnly); }},
    {'c', "COMPRESSION", "How it is compressed.", [](const api::StorageVolumeBackup &e) { return e.compressionAlgorithm; }},
};

/// A kept export, and what it is of.
struct Kept {
    std::string owner; ///< "web1", or the volume.
    std::string shown; ///< "web1/backup0"
    std::string path;
};
/// From "web1/backup0".
Result<Kept> keptOf(const std::string &word)
{
    const std::size_t slash = word.find('/');
    if (slash == std::string::npos)
        return Error(Code::Usage, quoted(word) + " is not <instance>/<export> (see: lxmgr export list " + word + ")");
    const std::string instance = word.substr(0, slash), name = word.substr(slash + 1);
    TRY(checkObjectName("export", name));
    return Kept{instance, word, client::path(TRY(instancePath(instance, "backups")), {name})};
}

std::string pathOfVolume(const Arguments &arguments)
{
    return client::path("/1.0/storage-pools", {arguments.word(0), "volumes", "custom", arguments.word(1), "backups"});
}
/// From the words <pool> <volume> <export>.
Result<Kept> keptOf(const Arguments &arguments)
{
    const std::string volume = arguments.word(1), name = arguments.word(2);
    TRY(checkObjectName("export", name));
    return Kept{volume, volume + "/" + name, client::path(pathOfVolume(arguments), {name})};
}

Result<std::string> listOfAll(Context &context)
{
    const auto instances = TRY(context.client().get<std::vector<api::InstanceFull>>(
        "/1.0/instances", {
                              {"recursion", "2"           },
                              {"fields",    "name,backups"}
    }));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const api::InstanceFull &instance : instances)
        for (const api::InstanceBackup &backup : instance.backups.value_or(std::vector<api::InstanceBackup>{})) {
            ListedExport listed;
            static_cast<api::InstanceBackup &>(listed) = backup;
            listed.instance = instance.name;
            writeJson(writer, listed);
        }
    writer.endArray();
    return json;
}

Result<std::string> listOf(Context &context, const std::string &instance)
{
    const auto backups = TRY(context.client().get<std::vector<api::InstanceBackup>>(
        TRY(instancePath(instance, "backups")), {
                                                    {"recursion", "1"}
    }));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const api::InstanceBackup &backup : backups) {
        ListedExport listed;
        static_cast<api::InstanceBackup &>(listed) = backup;
        listed.instance = instance;
        writeJson(writer, listed);
    }
    writer.endArray();
    return json;
}

/// Has the server keep one of what is at `path`.
Result<int> keep(Context &context, const Arguments &arguments, const std::string &path, const std::string &owner,
                 const std::string &name, const std::string &onlyIt)
{
    if (!name.empty())
        TRY(checkObjectName("export", name));
    api::Json body;
    body["name"] = name;
    body[onlyIt] = arguments.has(onlyIt == "volume_only" ? "volume-only" : "instance-only");
    body["compression_algorithm"] = arguments.value("compression", "");
    if (arguments.has("optimized-storage"))
        body["optimized_storage"] = true;
    if (const auto span = arguments.value("expires")) {
        const auto expiry = TRY_IN("--expires", config::Codec<config::SnapshotExpiry>::parse(*span));
        body["expires_at"] = api::Time::fromUnix(expiry.after(std::time(nullptr))).format();
    }
    const api::Operation done = TRY(runWithProgress(context, "POST", path, body.dump(), "Exporting " + owner));
    if (const std::string warnings = done.metadata.text("warnings"); !warnings.empty())
        context.warn("Warning: " + escaped(warnings));
    context.say("Keeping export " + owner + "/" + exportName(done) + ": " + sizeText(done.metadata.integer("size")));
    return 0;
}

Result<int> get(Context &context, const Kept &kept, const std::string &target, const std::string &again)
{
    const auto known = TRY(context.client().get<api::InstanceBackup>(kept.path));
    const std::string path =
        TRY(writeArchive(target, archiveName(kept.owner, known.compressionAlgorithm), again,
                         [&](int fd) { return downloadExport(context, kept.path, fd); }));
    if (!path.empty())
        context.say("Wrote " + kept.shown + " to " + path);
    return 0;
}

Result<int> rename(Context &context, const Kept &kept, const std::string &to)
{
    TRY(checkObjectName("export", to));
    TRY(runWithProgress(context, "POST", kept.path, api::toJson(api::RenamePost{to}), "Renaming " + kept.shown));
    return 0;
}

} // namespace

std::string exportName(const api::Operation &done)
{
    if (!done.resources)
        return {};
    const auto list = done.resources->find("backups");
    if (list == done.resources->end() || list->second.empty())
        return {};
    const std::string path = list->second.front().substr(0, list->second.front().find('?'));
    return path.substr(path.rfind('/') + 1);
}

Status downloadExport(Context &context, const std::string &path, int fd)
{
    client::Request request;
    request.target = context.client().target(client::path(path, {"export"}));
    request.sink = [fd](const http::ResponseHead &) -> client::Sink {
        return [fd](std::string_view piece) -> Status {
            while (!piece.empty()) {
                const ssize_t written = ::write(fd, piece.data(), piece.size());
                if (written < 0 && errno != EINTR)
                    return Error::fromErrno(errno, "write the archive");
                piece.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
            }
            return {};
        };
    };
    const client::Response response = TRY(context.client().exchange(request));
    return response.head.status == 200 ? Status() : Status(client::refusal(response));
}

ColumnSet exportColumns() { return describe<ListedExport>("export list", "inTEsS", kColumns); }
ColumnSet volumeExportColumns()
{
    return describe<api::StorageVolumeBackup>("storage volume export list", "nTEsS", kVolumeColumns);
}

Result<int> exportKeep(Context &context, const Arguments &arguments)
{
    const std::string instance = arguments.word(0);
    return keep(context, arguments, TRY(instancePath(instance, "backups")), instance, arguments.word(1), "instance_only");
}

Result<int> exportList(Context &context, const Arguments &arguments)
{
    const std::string json =
        TRY(arguments.words.empty() ? listOfAll(context) : listOf(context, arguments.word(0)));
    TRY(printList<ListedExport>(context, arguments, exportColumns(), kColumns, json));
    return 0;
}

Result<int> exportShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(TRY(keptOf(arguments.word(0))).path))));
    return 0;
}

Result<int> exportGet(Context &context, const Arguments &arguments)
{
    return get(context, TRY(keptOf(arguments.word(0))), arguments.word(1), "lxmgr export get " + arguments.word(0) + " -");
}

Result<int> exportRename(Context &context, const Arguments &arguments)
{
    return rename(context, TRY(keptOf(arguments.word(0))), arguments.word(1));
}

Result<int> exportDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &word : arguments.words)
        TRY(runWithProgress(context, "DELETE", TRY(keptOf(word)).path, {}, "Deleting " + word));
    return 0;
}

Result<int> volumeExportKeep(Context &context, const Arguments &arguments)
{
    return keep(context, arguments, pathOfVolume(arguments), arguments.word(1), arguments.word(2), "volume_only");
}

Result<int> volumeExportList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", pathOfVolume(arguments), {}, {{"recursion", "1"}}));
    TRY(printList<api::StorageVolumeBackup>(context, arguments, volumeExportColumns(), kVolumeColumns, answer.metadata));
    return 0;
}

Result<int> volumeExportShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(TRY(keptOf(arguments)).path))));
    return 0;
}

Result<int> volumeExportGet(Context &context, const Arguments &arguments)
{
    return get(context, TRY(keptOf(arguments)), arguments.word(3),
               "lxmgr storage volume export get " + arguments.word(0) + " " + arguments.word(1) + " " + arguments.word(2) + " -");
}

Result<int> volumeExportRename(Context &context, const Arguments &arguments)
{
    return rename(context, TRY(keptOf(arguments)), arguments.word(3));
}

Result<int> volumeExportDelete(Context &context, const Arguments &arguments)
{
    const Kept kept = TRY(keptOf(arguments));
    TRY(runWithProgress(context, "DELETE", kept.path, {}, "Deleting " + kept.shown));
    return 0;
}

} // namespace lxmgr::cli

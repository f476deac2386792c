// Context: the services a handler works with, and the table of handlers, one per route.
#pragma once

#include "api/images.h"
#include "api/instances.h"
#include "api/operations.h"
#include "api/storage.h"
#include "daemon/https.h"
#include "daemon/operations.h"
#include "daemon/server.h"
#include "daemon/trust.h"
#include "instances/backups.h"
#include "instances/manager.h"
#include "instances/volume_exchange.h"
#include "instances/volume_transfer.h"

#include <atomic>

namespace lxmgr::daemon
{

class FileSessions;

struct Context {
    const Paths &paths;
    store::Database &db;
    instances::Pools &pools;
    instances::Volumes &volumes;
    instances::Networks &networks;
    instances::ImageService &images;
    instances::UndoLog &undo;
    instances::KeptExports &exports;
    instances::Manager &manager;
    instances::Backups &backups;
    instances::VolumeExchange &volumeExchange;
    instances::VolumeTransfer &volumeTransfer;
    Operations &operations;
    Events &events;
    Server &server;
    Trust &trust;
    Https &https;
    std::atomic<bool> ready{false};
    std::function<void(bool stopGuests)> quit; ///< Ends the daemon; any thread.
    std::function<void()> schedulesChanged; ///< Snapshots or images may fall due or expire at other times than before; any thread.
    std::function<void(std::function<void()>)> whenReady; ///< Runs it once re-adoption and autostart are done.
    FileSessions *fileSessions = nullptr;
};

/// Answers the request, or returns the Error to answer with. A pool thread.
using RouteHandler = Status (*)(Context &context, Request &request, const Responder &responder);

/// A row for each RouteId, in their order; nullptr answers 501.
using HandlerTable = std::array<RouteHandler, api::kRouteCount>;
struct HandlerRow {
    api::RouteId route;
    RouteHandler handler;
};
std::span<const HandlerRow> serverHandlers();
std::span<const HandlerRow> certificateHandlers();
std::span<const HandlerRow> instanceHandlers();
std::span<const HandlerRow> snapshotHandlers();
std::span<const HandlerRow> exchangeHandlers();
std::span<const HandlerRow> keptExportHandlers();
std::span<const HandlerRow> backupHandlers();
std::span<const HandlerRow> executionHandlers();
std::span<const HandlerRow> fileHandlers();
/// Before something is done to the files of an instance that does not run: nobody is at work on them any more.
void endFileVisits(Context &context, const instances::InstanceKey &key);
std::span<const HandlerRow> diffHandlers();
std::span<const HandlerRow> metadataHandlers();
std::span<const HandlerRow> metricsHandlers();
std::span<const HandlerRow> absentHandlers();
std::span<const HandlerRow> imageHandlers();
std::span<const HandlerRow> imageSourceHandlers();
/// The operation whose secret an upload shows that somebody was asked to make (mode push): good for that image, in that project.
std::shared_ptr<Task> pushTokenOf(Context &context, const Request &request);
/// POST /1.0/images with mode push: a secret with which another server may upload the image.
Status expectPush(Context &context, const Request &request, const api::ImagesPost &post, const Responder &responder);
/// A token that a secret stands for, in `metadata`. Unavailable: too many have not been used.
Result<std::shared_ptr<Task>> newToken(Context &context, TaskOptions options);
/// POST /1.0/images with an image of another server.
Status copyImage(Context &context, const Request &request, const api::ImagesPost &post, const Responder &responder);
/// The image of another server that the source of a new instance names. Invalid, Forbidden: it may not be asked.
Result<instances::RemoteImage> remoteImageOf(Context &context, const Request &request, const api::InstanceSource &source);
/// Names that new images get: good ones that are not taken.
Result<std::vector<std::string>> newAliases(Context &context, const Request &request, const std::vector<api::ImageAlias> &aliases);
/// Profiles that an image is to bring. NotFound: there is no such one in the project; Invalid: one is given twice.
Result<std::vector<std::string>> imageProfiles(Context &context, const Request &request, const std::vector<std::string> &profiles);
std::span<const HandlerRow> configurationHandlers();
std::span<const HandlerRow> profileHandlers();
std::span<const HandlerRow> networkHandlers();
std::span<const HandlerRow> networkRuleHandlers();
std::span<const HandlerRow> storageHandlers();
/// The other form of creating one: from an archive that is uploaded.
Status importInstance(Context &context, Request &request, const Responder &responder);
std::span<const HandlerRow> volumeExchangeHandlers();
/// The same of a custom volume.
Status importVolume(Context &context, Request &request, const Responder &responder);
/// The custom volume that the request names, where it lies. NotFound: no such pool; Invalid: of another type.
Result<instances::VolumeKey> customVolumeOf(Context &context, const Request &request);
std::string urlOfCustomVolume(const instances::VolumeKey &key);
/// Whether an instance that runs has it.
Result<storage::InUse> volumeInUse(Context &context, const instances::VolumeKey &key);
/// A lifecycle event.
void announceVolume(Context &context, const api::Requestor &by, const char *action, const instances::VolumeKey &key);
/// What kept exports are compressed with where nobody says: backups.compression_algorithm.
Result<std::string> keptCompression(store::Database &db);
std::span<const HandlerRow> volumeHandlers();
/// Tells who listens, and looks anew for when snapshots fall due or expire.
void publishVolume(Context &context, const api::Requestor &by, const instances::VolumeEvent &event);
std::span<const HandlerRow> undoHandlers();
std::span<const HandlerRow> warningHandlers();
/// An instance, or a snapshot of it, leaves for another server. `target`: what that offers; null: it fetches it.
Status migrateOut(Context &context, const Request &request, const Responder &responder, const instances::SendRequest &wanted, const api::Json &target);
/// One comes from there, to be `target`.
Status migrateIn(Context &context, const Request &request, const Responder &responder, const api::InstancesPost &post, instances::CreateRequest target);
/// The same of custom volumes.
Status migrateVolumeOut(Context &context, const Request &request, const Responder &responder, const instances::VolumeSend &wanted, const api::Json &target);
Status migrateVolumeIn(Context &context, const Request &request, const Responder &responder, const api::StorageVolumeSource &source,
                       const store::Volume &target);
/// The instance was brought up to date with another. lxc then gives it the definition of that, with what is the daemon's own; the
/// first change soon after leaves that as it is.
void noteRefreshed(const instances::InstanceKey &key);
bool takeRefreshed(const instances::InstanceKey &key);
/// All of them; Internal where a route has no handler.
Result<HandlerTable> handlerTable();

/// {"instances": ["/1.0/instances/c1"], "containers": [...]}: both words, as clients of either age look for theirs.
std::map<std::string, std::vector<std::string>> instanceResources(const instances::InstanceKey &key);
/// For a project that a body names beside the one of the request: NotFound where the caller may not use it, as for one that is not there.
Status checkProject(const Request &request, const std::string &project);
/// Of a request that says all with its path. Invalid: its body asks for something.
Status checkNoBody(const Request &request);
/// Leaves out what lies in projects that the caller may not use.
std::vector<std::string> visibleUrls(const Request &request, std::vector<std::string> urls);
inline instances::InstanceKey keyOf(const Request &request) { return {request.project(), request.param("name")}; }
/// "?purge=1": what is deleted cannot be brought back (lxmgr_undo).
inline instances::Keep keepOf(const Request &request)
{
    return request.query.flag("purge") ? instances::Keep::No : instances::Keep::Yes;
}
/// Runs `work` as an operation on the instance that the request names, which must exist.
Status operate(Context &context, const Request &request, const Responder &responder, std::string description,
               std::function<Status(Task &)> work, bool mayCancel = false,
               std::map<std::string, std::vector<std::string>> resources = {});
/// `name` as a URL: with "?project=" outside the default project.
std::string urlOf(std::string_view collection, const std::string &name, const std::string &project);

} // namespace lxmgr::daemon

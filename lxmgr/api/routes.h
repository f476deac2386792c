// Every request the daemon answers, one row each: the router, the client, the documentation and the tests read this table.
#pragma once

#include "api/images.h"
#include "api/instances.h"
#include "api/networks.h"
#include "api/profiles.h"
#include "api/projects.h"
#include "api/server.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::api
{

enum class Verb { Get, Head, Post, Put, Patch, Delete };
std::string_view verbName(Verb verb);
std::optional<Verb> parseVerb(std::string_view method);

/// The least a caller must be allowed to do.
enum class Access {
    Public,  ///< Anybody who reaches a socket; the handler shows strangers no more than they may see.
    View,    ///< Read what is not secret.
    Operate, ///< Start, stop, enter, move files.
    Manage,  ///< Create, change, delete in a project.
    Admin,   ///< What concerns the host.
};
enum class Reply {
    Now,     ///< A sync envelope.
    Later,   ///< An operation.
    Either,  ///< One or the other.
    Raw,     ///< Bytes.
    Upgrade, ///< A websocket.
};
enum class Body {
    Json,   ///< None or JSON, at most 1 MiB.
    Upload, ///< Whatever comes; beyond 1 MiB it goes to a file.
};

enum class RouteId {
    Root,
    ServerGet,
    ServerPut,
    ServerPatch,
    Events,
    OperationList,
    OperationGet,
    OperationDelete,
    OperationWait,
    OperationWebsocket,
    InstanceList,
    InstanceCreate,
    InstancesPut,
    InstanceGet,
    InstancePut,
    InstancePatch,
    InstancePost,
    InstanceDelete,
    InstanceStateGet,
    InstanceStatePut,
    InstanceExec,
    InstanceConsole,
    InstanceConsoleLog,
    InstanceConsoleClear,
    InstanceFileGet,
    InstanceFileHead,
    InstanceFilePost,
    InstanceFileDelete,
    InstanceSftp,
    InstanceLogList,
    InstanceLogGet,
    InstanceLogDelete,
    InstanceMetadataGet,
    InstanceMetadataPut,
    InstanceMetadataPatch,
    InstanceTemplateGet,
    InstanceTemplatePost,
    InstanceTemplateDelete,
    InstanceRebuild,
    InstanceAccess,
    InstanceSnapshotList,
    InstanceSnapshotCreate,
    InstanceSnapshotGet,
    InstanceSnapshotPut,
    InstanceSnapshotPatch,
    InstanceSnapshotPost,
    InstanceSnapshotDelete,
    InstanceSnapshotMount,
    InstanceSnapshotUnmount,
    InstanceBackupList,
    InstanceBackupCreate,
    InstanceBackupGet,
    InstanceBackupPost,
    InstanceBackupDelete,
    InstanceBackupExport,
    InstanceWait,
    InstanceDiff,
    ImageList,
    ImageCreate,
    ImageGet,
    ImagePut,
    ImagePatch,
    ImageDelete,
    ImageExport,
    ImagePush,
    ImageSecret,
    ImageRefresh,
    ImageAliasList,
    ImageAliasCreate,
    ImageAliasGet,
    ImageAliasPut,
    ImageAliasPatch,
    ImageAliasPost,
    ImageAliasDelete,
    ProfileList,
    ProfileCreate,
    ProfilesApply,
    ProfileGet,
    ProfilePut,
    ProfilePatch,
    ProfilePost,
    ProfileDelete,
    ProjectList,
    ProjectCreate,
    ProjectGet,
    ProjectPut,
    ProjectPatch,
    ProjectPost,
    ProjectDelete,
    ProjectStateGet,
    NetworkList,
    NetworkCreate,
    NetworkGet,
    NetworkPut,
    NetworkPatch,
    NetworkRename,
    NetworkDelete,
    NetworkStateGet,
    NetworkLeases,
    NetworkForwardList,
    NetworkForwardCreate,
    NetworkForwardGet,
    NetworkForwardPut,
    NetworkForwardPatch,
    NetworkForwardDelete,
    NetworkPeerList,
    NetworkBalancerList,
    NetworkAclList,
    NetworkAclCreate,
    NetworkAclGet,
    NetworkAclPut,
    NetworkAclPatch,
    NetworkAclRename,
    NetworkAclDelete,
    NetworkZoneList,
    NetworkDoctor,
    PoolList,
    PoolCreate,
    PoolGet,
    PoolPut,
    PoolPatch,
    PoolDelete,
    PoolResources,
    BucketList,
    VolumeList,
    VolumeCreate,
    VolumeListOfType,
    VolumeCreateOfType,
    VolumeGet,
    VolumePut,
    VolumePatch,
    VolumePost,
    VolumeDelete,
    VolumeStateGet,
    VolumeSnapshotList,
    VolumeSnapshotCreate,
    VolumeSnapshotGet,
    VolumeSnapshotPut,
    VolumeSnapshotPatch,
    VolumeSnapshotPost,
    VolumeSnapshotDelete,
    VolumeBackupList,
    VolumeBackupCreate,
    VolumeBackupGet,
    VolumeBackupPost,
    VolumeBackupDelete,
    VolumeBackupExport,
    PoolDetach,
    DriverList,
    UndoList,
    UndoGet,
    UndoApply,
    UndoDelete,
    Resources,
    Cluster,
    ClusterMembers,
    Metrics,
    MetadataConfiguration,
    WarningList,
    WarningGet,
    WarningPut,
    WarningPatch,
    WarningDelete,
    CertificateList,
    CertificateCreate,
    CertificateGet,
    CertificatePut,
    CertificatePatch,
    CertificateDelete,
    TemplateList,
    TemplateGet,
    TemplateBuild,
    BackupList,
    BackupCreate,
    BackupGet,
    BackupDelete,
    BackupRestore,
    BackupVerify,
    RepositoryGet,
    RepositoryVerify,
    RepositoryPrune,
    InternalReady,
    InternalShutdown,
    InternalRecover,
};

/// Where the caller must be at home.
enum class Scope {
    Project, ///< In the project that "?project=" names.
    Host,    ///< In any: what it shows concerns all, or the handler shows each caller his own.
};

struct Route {
    RouteId id;
    Verb verb;
    std::string_view pattern; ///< "{name}" is one segment, "{name...}" all the rest.
    Access access;
    Reply reply;
    std::string_view summary;
    Body body = Body::Json;
    Scope scope = Scope::Project;
};

// clang-format off
inline constexpr Route kRoutes[] = {
    {RouteId::Root,                 Verb::Get,    "/",                                        Access::Public,  Reply::Now,     "Versions of the API."},
    {RouteId::ServerGet,            Verb::Get,    "/1.0",                                     Access::Public,  Reply::Now,     "The server: extensions, configuration, environment."},
    {RouteId::ServerPut,            Verb::Put,    "/1.0",                                     Access::Admin,   Reply::Now,     "Replace the server configuration."},
    {RouteId::ServerPatch,          Verb::Patch,  "/1.0",                                     Access::Admin,   Reply::Now,     "Change keys of the server configuration."},
    {RouteId::Events,               Verb::Get,    "/1.0/events",                              Access::View,    Reply::Upgrade, "Events as they happen."},
    {RouteId::OperationList,        Verb::Get,    "/1.0/operations",                          Access::View,    Reply::Now,     "Operations by status."},
    {RouteId::OperationGet,         Verb::Get,    "/1.0/operations/{id}",                     Access::View,    Reply::Now,     "One operation.", Body::Json, Scope::Host},
    {RouteId::OperationDelete,      Verb::Delete, "/1.0/operations/{id}",                     Access::Operate, Reply::Now,     "Cancel an operation.", Body::Json, Scope::Host},
    {RouteId::OperationWait,        Verb::Get,    "/1.0/operations/{id}/wait",                Access::Public,  Reply::Now,     "Wait until an operation has ended."},
    {RouteId::OperationWebsocket,   Verb::Get,    "/1.0/operations/{id}/websocket",           Access::Public,  Reply::Upgrade, "A stream of an operation, by its secret."},
    {RouteId::InstanceList,         Verb::Get,    "/1.0/instances",                           Access::View,    Reply::Now,     "Instances."},
    {RouteId::InstanceCreate,       Verb::Post,   "/1.0/instances",                           Access::Manage,  Reply::Later,   "Create an instance.", Body::Upload},
    {RouteId::InstancesPut,         Verb::Put,    "/1.0/instances",                           Access::Operate, Reply::Later,   "Change the state of all instances."},
    {RouteId::InstanceGet,          Verb::Get,    "/1.0/instances/{name}",                    Access::View,    Reply::Now,     "One instance."},
    {RouteId::InstancePut,          Verb::Put,    "/1.0/instances/{name}",                    Access::Manage,  Reply::Later,   "Replace the definition of an instance."},
    {RouteId::InstancePatch,        Verb::Patch,  "/1.0/instances/{name}",                    Access::Manage,  Reply::Now,     "Change parts of the definition of an instance."},
    {RouteId::InstancePost,         Verb::Post,   "/1.0/instances/{name}",                    Access::Manage,  Reply::Later,   "Rename an instance."},
    {RouteId::InstanceDelete,       Verb::Delete, "/1.0/instances/{name}",                    Access::Manage,  Reply::Later,   "Delete an instance."},
    {RouteId::InstanceStateGet,     Verb::Get,    "/1.0/instances/{name}/state",              Access::View,    Reply::Now,     "What an instance is doing: processes, memory, addresses."},
    {RouteId::InstanceStatePut,     Verb::Put,    "/1.0/instances/{name}/state",              Access::Operate, Reply::Later,   "Start, stop, restart, freeze or unfreeze."},
    {RouteId::InstanceExec,         Verb::Post,   "/1.0/instances/{name}/exec",               Access::Operate, Reply::Later,   "Run a command inside."},
    {RouteId::InstanceConsole,      Verb::Post,   "/1.0/instances/{name}/console",            Access::Operate, Reply::Later,   "Attach to the console."},
    {RouteId::InstanceConsoleLog,   Verb::Get,    "/1.0/instances/{name}/console",            Access::Operate, Reply::Raw,     "What the console has shown."},
    {RouteId::InstanceConsoleClear, Verb::Delete, "/1.0/instances/{name}/console",            Access::Operate, Reply::Now,     "Forget what the console has shown."},
    {RouteId::InstanceFileGet,      Verb::Get,    "/1.0/instances/{name}/files",              Access::Operate, Reply::Raw,     "A file, the names in a folder, or the target of a link."},
    {RouteId::InstanceFileHead,     Verb::Head,   "/1.0/instances/{name}/files",              Access::Operate, Reply::Raw,     "Owner, mode and type of a file."},
    {RouteId::InstanceFilePost,     Verb::Post,   "/1.0/instances/{name}/files",              Access::Operate, Reply::Now,     "Write a file, make a folder or a link.", Body::Upload},
    {RouteId::InstanceFileDelete,   Verb::Delete, "/1.0/instances/{name}/files",              Access::Operate, Reply::Now,     "Delete a file or an empty folder."},
    {RouteId::InstanceSftp, Verb::Get, "/1.0/instances/{name}/sftp", Access::Operate, Reply::Upgrade, "Files by SFTP version 3, on the connection itself."},
    {RouteId::InstanceLogList,      Verb::Get,    "/1.0/instances/{name}/logs",               Access::View,    Reply::Now,     "Log files."},
    {RouteId::InstanceLogGet,       Verb::Get,    "/1.0/instances/{name}/logs/{file}",        Access::Operate, Reply::Raw,     "A log file."},
    {RouteId::InstanceLogDelete,    Verb::Delete, "/1.0/instances/{name}/logs/{file}",        Access::Operate, Reply::Now,     "Delete a log file."},
    {RouteId::InstanceMetadataGet,  Verb::Get,    "/1.0/instances/{name}/metadata",           Access::View,    Reply::Now,     "The image metadata of an instance."},
    {RouteId::InstanceMetadataPut, Verb::Put, "/1.0/instances/{name}/metadata", Access::Manage, Reply::Now, "Replace the image metadata of an instance."},
    {RouteId::InstanceMetadataPatch, Verb::Patch, "/1.0/instances/{name}/metadata", Access::Manage, Reply::Now, "Change parts of the image metadata of an instance."},
    {RouteId::InstanceTemplateGet, Verb::Get, "/1.0/instances/{name}/metadata/templates", Access::View, Reply::Raw, "Names of the templates of an instance, or with ?path= the text of one."},
    {RouteId::InstanceTemplatePost, Verb::Post, "/1.0/instances/{name}/metadata/templates", Access::Manage, Reply::Now, "Write a template of an instance."},
    {RouteId::InstanceTemplateDelete, Verb::Delete, "/1.0/instances/{name}/metadata/templates", Access::Manage, Reply::Now, "Delete a template of an instance."},
    {RouteId::InstanceRebuild, Verb::Post, "/1.0/instances/{name}/rebuild", Access::Manage, Reply::Later, "Make the root file system of an instance anew, from an image or empty; its configuration stays."},
    {RouteId::InstanceAccess, Verb::Get, "/1.0/instances/{name}/access", Access::View, Reply::Now, "Who may do what with an instance."},
    {RouteId::InstanceSnapshotList, Verb::Get,    "/1.0/instances/{name}/snapshots",          Access::View,    Reply::Now,     "Snapshots."},
    {RouteId::InstanceSnapshotCreate,Verb::Post,  "/1.0/instances/{name}/snapshots",          Access::Manage,  Reply::Later,   "Make a snapshot."},
    {RouteId::InstanceSnapshotGet,  Verb::Get,    "/1.0/instances/{name}/snapshots/{snapshot}", Access::View,  Reply::Now,     "One snapshot."},
    {RouteId::InstanceSnapshotPut,  Verb::Put,    "/1.0/instances/{name}/snapshots/{snapshot}", Access::Manage, Reply::Later,  "Change when a snapshot expires."},
    {RouteId::InstanceSnapshotPatch,Verb::Patch,  "/1.0/instances/{name}/snapshots/{snapshot}", Access::Manage, Reply::Later,  "Change when a snapshot expires."},
    {RouteId::InstanceSnapshotPost, Verb::Post,   "/1.0/instances/{name}/snapshots/{snapshot}", Access::Manage, Reply::Later,  "Rename a snapshot."},
    {RouteId::InstanceSnapshotDelete,Verb::Delete,"/1.0/instances/{name}/snapshots/{snapshot}", Access::Manage, Reply::Later,  "Delete a snapshot."},
    {RouteId::InstanceSnapshotMount, Verb::Post,  "/1.0/instances/{name}/snapshots/{snapshot}/mount", Access::Admin, Reply::Now, "Mount a snapshot on the host, read-only; says where."},
    {RouteId::InstanceSnapshotUnmount, Verb::Delete, "/1.0/instances/{name}/snapshots/{snapshot}/mount", Access::Admin, Reply::Now, "Take that mount away."},
    {RouteId::InstanceBackupList,   Verb::Get,    "/1.0/instances/{name}/backups",            Access::View,    Reply::Now,     "Exports of an instance that the server keeps."},
    {RouteId::InstanceBackupCreate, Verb::Post,   "/1.0/instances/{name}/backups",            Access::Manage,  Reply::Either,  "Export an instance: into a file that the server keeps, as the answer, or into a file that is passed along (lxmgr_export)."},
    {RouteId::InstanceBackupGet,    Verb::Get,    "/1.0/instances/{name}/backups/{backup}",   Access::View,    Reply::Now,     "One kept export."},
    {RouteId::InstanceBackupPost,   Verb::Post,   "/1.0/instances/{name}/backups/{backup}",   Access::Manage,  Reply::Later,   "Rename a kept export."},
    {RouteId::InstanceBackupDelete, Verb::Delete, "/1.0/instances/{name}/backups/{backup}",   Access::Manage,  Reply::Later,   "Delete a kept export."},
    {RouteId::InstanceBackupExport, Verb::Get,    "/1.0/instances/{name}/backups/{backup}/export", Access::Manage, Reply::Raw, "The archive of a kept export."},
    {RouteId::InstanceWait,         Verb::Get,    "/1.0/instances/{name}/wait",               Access::View,    Reply::Now,     "Wait until an instance has booted (lxmgr_wait)."},
    {RouteId::InstanceDiff,         Verb::Get,    "/1.0/instances/{name}/diff",               Access::Operate, Reply::Now,     "What differs between two states of the root file system (lxmgr_diff)."},
    {RouteId::ImageList,            Verb::Get,    "/1.0/images",                              Access::Public,    Reply::Now,     "Images."},
    {RouteId::ImageCreate,          Verb::Post,   "/1.0/images",                              Access::Manage,  Reply::Later,   "Upload or publish an image.", Body::Upload},
    {RouteId::ImageGet,             Verb::Get,    "/1.0/images/{fingerprint}",                Access::Public,    Reply::Now,     "One image, by any unique beginning of its fingerprint."},
    {RouteId::ImagePut,             Verb::Put,    "/1.0/images/{fingerprint}",                Access::Manage,  Reply::Now,     "Replace the properties of an image."},
    {RouteId::ImagePatch,           Verb::Patch,  "/1.0/images/{fingerprint}",                Access::Manage,  Reply::Now,     "Change properties of an image."},
    {RouteId::ImageDelete,          Verb::Delete, "/1.0/images/{fingerprint}",                Access::Manage,  Reply::Later,   "Delete an image."},
    {RouteId::ImageExport,          Verb::Get,    "/1.0/images/{fingerprint}/export",         Access::Public,    Reply::Raw,     "The file, or the files, of an image."},
    {RouteId::ImagePush, Verb::Post, "/1.0/images/{fingerprint}/export", Access::Manage, Reply::Later, "Upload an image to another server, which has given a secret for it."},
    {RouteId::ImageSecret, Verb::Post, "/1.0/images/{fingerprint}/secret", Access::Manage, Reply::Later, "A secret with which an image can be fetched once."},
    {RouteId::ImageRefresh, Verb::Post, "/1.0/images/{fingerprint}/refresh", Access::Manage, Reply::Later, "Fetch what the server that an image came from has newer."},
    {RouteId::ImageAliasList,       Verb::Get,    "/1.0/images/aliases",                      Access::View,    Reply::Now,     "Aliases of images."},
    {RouteId::ImageAliasCreate,     Verb::Post,   "/1.0/images/aliases",                      Access::Manage,  Reply::Now,     "Create an alias."},
    {RouteId::ImageAliasGet,        Verb::Get,    "/1.0/images/aliases/{name...}",           Access::Public,    Reply::Now,     "One alias."},
    {RouteId::ImageAliasPut,        Verb::Put,    "/1.0/images/aliases/{name...}",           Access::Manage,  Reply::Now,     "Replace an alias."},
    {RouteId::ImageAliasPatch,      Verb::Patch,  "/1.0/images/aliases/{name...}",           Access::Manage,  Reply::Now,     "Change an alias."},
    {RouteId::ImageAliasPost,       Verb::Post,   "/1.0/images/aliases/{name...}",           Access::Manage,  Reply::Now,     "Rename an alias."},
    {RouteId::ImageAliasDelete,     Verb::Delete, "/1.0/images/aliases/{name...}",           Access::Manage,  Reply::Now,     "Delete an alias."},
    {RouteId::ProfileList,          Verb::Get,    "/1.0/profiles",                            Access::View,    Reply::Now,     "Profiles."},
    {RouteId::ProfileCreate,        Verb::Post,   "/1.0/profiles",                            Access::Manage,  Reply::Now,     "Create a profile."},
    {RouteId::ProfilesApply,        Verb::Put,    "/1.0/profiles",                            Access::Manage,  Reply::Now,     "Make profiles what they are to be, all or none (lxmgr_profiles_apply)."},
    {RouteId::ProfileGet,           Verb::Get,    "/1.0/profiles/{name}",                     Access::View,    Reply::Now,     "One profile."},
    {RouteId::ProfilePut,           Verb::Put,    "/1.0/profiles/{name}",                     Access::Manage,  Reply::Now,     "Replace a profile."},
    {RouteId::ProfilePatch,         Verb::Patch,  "/1.0/profiles/{name}",                     Access::Manage,  Reply::Now,     "Change parts of a profile."},
    {RouteId::ProfilePost,          Verb::Post,   "/1.0/profiles/{name}",                     Access::Manage,  Reply::Now,     "Rename a profile."},
    {RouteId::ProfileDelete,        Verb::Delete, "/1.0/profiles/{name}",                     Access::Manage,  Reply::Now,     "Delete a profile."},
    {RouteId::ProjectList,          Verb::Get,    "/1.0/projects",                            Access::View,    Reply::Now,     "Projects.", Body::Json, Scope::Host},
    {RouteId::ProjectCreate,        Verb::Post,   "/1.0/projects",                            Access::Admin,   Reply::Now,     "Create a project."},
    {RouteId::ProjectGet,           Verb::Get,    "/1.0/projects/{name}",                     Access::View,    Reply::Now,     "One project.", Body::Json, Scope::Host},
    {RouteId::ProjectPut,           Verb::Put,    "/1.0/projects/{name}",                     Access::Admin,   Reply::Now,     "Replace the configuration of a project."},
    {RouteId::ProjectPatch,         Verb::Patch,  "/1.0/projects/{name}",                     Access::Admin,   Reply::Now,     "Change keys of a project."},
    {RouteId::ProjectPost,          Verb::Post,   "/1.0/projects/{name}",                     Access::Admin,   Reply::Later,   "Rename a project."},
    {RouteId::ProjectDelete,        Verb::Delete, "/1.0/projects/{name}",                     Access::Admin,   Reply::Now,     "Delete a project that is empty."},
    {RouteId::ProjectStateGet,      Verb::Get,    "/1.0/projects/{name}/state",               Access::View,    Reply::Now,     "What a project uses, and how much it may.", Body::Json, Scope::Host},
    {RouteId::NetworkList,          Verb::Get,    "/1.0/networks",                            Access::View,    Reply::Now,     "Networks and the host's interfaces."},
    {RouteId::NetworkCreate,        Verb::Post,   "/1.0/networks",                            Access::Admin,   Reply::Now,     "Create a network."},
    {RouteId::NetworkGet,           Verb::Get,    "/1.0/networks/{name}",                     Access::View,    Reply::Now,     "One network."},
    {RouteId::NetworkPut,           Verb::Put,    "/1.0/networks/{name}",                     Access::Admin,   Reply::Now,     "Replace the configuration of a network."},
    {RouteId::NetworkPatch,         Verb::Patch,  "/1.0/networks/{name}",                     Access::Admin,   Reply::Now,     "Change keys of a network."},
    {RouteId::NetworkRename,        Verb::Post,   "/1.0/networks/{name}",                     Access::Admin,   Reply::Now,     "Rename a network."},
    {RouteId::NetworkDelete,        Verb::Delete, "/1.0/networks/{name}",                     Access::Admin,   Reply::Now,     "Delete a network."},
    {RouteId::NetworkStateGet,      Verb::Get,    "/1.0/networks/{name}/state",               Access::View,    Reply::Now,     "Addresses and counters of a network."},
    {RouteId::NetworkLeases,        Verb::Get,    "/1.0/networks/{name}/leases",              Access::Admin,   Reply::Now,     "Leases of a network."},
    {RouteId::NetworkForwardList,   Verb::Get,    "/1.0/networks/{name}/forwards",            Access::View,    Reply::Now,     "Forwards of a network."},
    {RouteId::NetworkForwardCreate, Verb::Post,   "/1.0/networks/{name}/forwards",            Access::Admin,   Reply::Now,     "Create a forward."},
    {RouteId::NetworkForwardGet,    Verb::Get,    "/1.0/networks/{name}/forwards/{address}",  Access::View,    Reply::Now,     "One forward."},
    {RouteId::NetworkForwardPut,    Verb::Put,    "/1.0/networks/{name}/forwards/{address}",  Access::Admin,   Reply::Now,     "Replace description, configuration and ports of a forward."},
    {RouteId::NetworkForwardPatch,  Verb::Patch,  "/1.0/networks/{name}/forwards/{address}",  Access::Admin,   Reply::Now,     "Change keys of a forward; ports are replaced as a whole."},
    {RouteId::NetworkForwardDelete, Verb::Delete, "/1.0/networks/{name}/forwards/{address}",  Access::Admin,   Reply::Now,     "Delete a forward."},
    {RouteId::NetworkPeerList, Verb::Get, "/1.0/networks/{name}/peers", Access::View, Reply::Now, "Peerings of a network: none."},
    {RouteId::NetworkBalancerList, Verb::Get, "/1.0/networks/{name}/load-balancers", Access::View, Reply::Now, "Load balancers of a network: none."},
    {RouteId::NetworkAclList,       Verb::Get,    "/1.0/network-acls",                        Access::View,    Reply::Now,     "Access control lists of networks."},
    {RouteId::NetworkAclCreate,     Verb::Post,   "/1.0/network-acls",                        Access::Admin,   Reply::Now,     "Create an access control list."},
    {RouteId::NetworkAclGet,        Verb::Get,    "/1.0/network-acls/{name}",                 Access::View,    Reply::Now,     "One access control list."},
    {RouteId::NetworkAclPut,        Verb::Put,    "/1.0/network-acls/{name}",                 Access::Admin,   Reply::Now,     "Replace an access control list."},
    {RouteId::NetworkAclPatch,      Verb::Patch,  "/1.0/network-acls/{name}",                 Access::Admin,   Reply::Now,     "Change parts of an access control list; rules of a direction are replaced as a whole."},
    {RouteId::NetworkAclRename,     Verb::Post,   "/1.0/network-acls/{name}",                 Access::Admin,   Reply::Now,     "Rename an access control list."},
    {RouteId::NetworkAclDelete,     Verb::Delete, "/1.0/network-acls/{name}",                 Access::Admin,   Reply::Now,     "Delete an access control list."},
    {RouteId::NetworkZoneList, Verb::Get, "/1.0/network-zones", Access::View, Reply::Now, "DNS zones: none."},
    {RouteId::NetworkDoctor,        Verb::Get,    "/1.0/lxmgr/networks/{name}/doctor",        Access::Admin,    Reply::Now,     "What keeps guests of a network from something, with cause and cure (lxmgr_network)."},
    {RouteId::PoolList,             Verb::Get,    "/1.0/storage-pools",                       Access::View,    Reply::Now,     "Storage pools.", Body::Json, Scope::Host},
    {RouteId::PoolCreate,           Verb::Post,   "/1.0/storage-pools",                       Access::Admin,   Reply::Now,     "Create a storage pool, or take one over."},
    {RouteId::PoolGet,              Verb::Get,    "/1.0/storage-pools/{name}",                Access::View,    Reply::Now,     "One storage pool.", Body::Json, Scope::Host},
    {RouteId::PoolPut,              Verb::Put,    "/1.0/storage-pools/{name}",                Access::Admin,   Reply::Now,     "Replace the configuration of a storage pool."},
    {RouteId::PoolPatch,            Verb::Patch,  "/1.0/storage-pools/{name}",                Access::Admin,   Reply::Now,     "Change keys of a storage pool."},
    {RouteId::PoolDelete,           Verb::Delete, "/1.0/storage-pools/{name}",                Access::Admin,   Reply::Now,     "Delete a storage pool that nothing uses."},
    {RouteId::PoolResources,        Verb::Get,    "/1.0/storage-pools/{name}/resources",      Access::View,    Reply::Now,     "Space of a storage pool.", Body::Json, Scope::Host},
    {RouteId::BucketList, Verb::Get, "/1.0/storage-pools/{name}/buckets", Access::View, Reply::Now, "Buckets of a storage pool: none."},
    {RouteId::VolumeList,           Verb::Get,    "/1.0/storage-pools/{name}/volumes", Access::View, Reply::Now, "Volumes of a storage pool, of all types."},
    {RouteId::VolumeCreate,         Verb::Post,   "/1.0/storage-pools/{name}/volumes", Access::Manage, Reply::Either, "Create, copy or import a custom volume.", Body::Upload},
    {RouteId::VolumeListOfType,     Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}", Access::View, Reply::Now, "Volumes of one type."},
    {RouteId::VolumeCreateOfType,   Verb::Post,   "/1.0/storage-pools/{name}/volumes/{type}", Access::Manage, Reply::Either, "Create, copy or import a custom volume.", Body::Upload},
    {RouteId::VolumeGet,            Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}", Access::View, Reply::Now, "One volume."},
    {RouteId::VolumePut,            Verb::Put,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}", Access::Manage, Reply::Now, "Replace the configuration of a volume, or restore a snapshot."},
    {RouteId::VolumePatch,          Verb::Patch,  "/1.0/storage-pools/{name}/volumes/{type}/{volume}", Access::Manage, Reply::Now, "Change keys of a volume."},
    {RouteId::VolumePost,           Verb::Post,   "/1.0/storage-pools/{name}/volumes/{type}/{volume}", Access::Manage, Reply::Now, "Rename a volume, or move it to another pool."},
    {RouteId::VolumeDelete,         Verb::Delete, "/1.0/storage-pools/{name}/volumes/{type}/{volume}", Access::Manage, Reply::Now, "Delete a volume that nothing uses."},
    {RouteId::VolumeStateGet,       Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}/state", Access::View, Reply::Now, "What a volume takes."},
    {RouteId::VolumeSnapshotList,   Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}/snapshots", Access::View, Reply::Now, "Snapshots of a volume."},
    {RouteId::VolumeSnapshotCreate, Verb::Post,   "/1.0/storage-pools/{name}/volumes/{type}/{volume}/snapshots", Access::Manage, Reply::Later, "Snapshot a volume."},
    {RouteId::VolumeSnapshotGet,    Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}/snapshots/{snapshot}", Access::View, Reply::Now, "One snapshot of a volume."},
    {RouteId::VolumeSnapshotPut,    Verb::Put,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}/snapshots/{snapshot}", Access::Manage, Reply::Now, "Replace description and expiry of a snapshot."},
    {RouteId::VolumeSnapshotPatch,  Verb::Patch,  "/1.0/storage-pools/{name}/volumes/{type}/{volume}/snapshots/{snapshot}", Access::Manage, Reply::Now, "Change description or expiry of a snapshot."},
    {RouteId::VolumeSnapshotPost,   Verb::Post,   "/1.0/storage-pools/{name}/volumes/{type}/{volume}/snapshots/{snapshot}", Access::Manage, Reply::Later, "Rename a snapshot of a volume."},
    {RouteId::VolumeSnapshotDelete, Verb::Delete, "/1.0/storage-pools/{name}/volumes/{type}/{volume}/snapshots/{snapshot}", Access::Manage, Reply::Later, "Delete a snapshot of a volume."},
    {RouteId::VolumeBackupList,     Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}/backups", Access::View, Reply::Now, "Exports of a volume that the server keeps."},
    {RouteId::VolumeBackupCreate,   Verb::Post,   "/1.0/storage-pools/{name}/volumes/{type}/{volume}/backups", Access::Manage, Reply::Either, "Export a volume: into a file that the server keeps, as the answer, or into a file that is passed along (lxmgr_export)."},
    {RouteId::VolumeBackupGet,      Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}/backups/{backup}", Access::View, Reply::Now, "One kept export of a volume."},
    {RouteId::VolumeBackupPost,     Verb::Post,   "/1.0/storage-pools/{name}/volumes/{type}/{volume}/backups/{backup}", Access::Manage, Reply::Later, "Rename a kept export of a volume."},
    {RouteId::VolumeBackupDelete,   Verb::Delete, "/1.0/storage-pools/{name}/volumes/{type}/{volume}/backups/{backup}", Access::Manage, Reply::Later, "Delete a kept export of a volume."},
    {RouteId::VolumeBackupExport,   Verb::Get,    "/1.0/storage-pools/{name}/volumes/{type}/{volume}/backups/{backup}/export", Access::Manage, Reply::Raw, "The archive of a kept export of a volume."},
    {RouteId::PoolDetach,           Verb::Post,   "/1.0/lxmgr/storage-pools/{name}/detach",   Access::Admin,   Reply::Now,     "Let go of a storage pool without losing what is in it (lxmgr_storage)."},
    {RouteId::DriverList,           Verb::Get,    "/1.0/lxmgr/storage-drivers",               Access::View,    Reply::Now,     "Storage drivers, and what keeps the host from using them (lxmgr_storage).", Body::Json, Scope::Host},
    {RouteId::UndoList,             Verb::Get,    "/1.0/lxmgr/undo",                          Access::View,    Reply::Now,     "What can be undone (lxmgr_undo)."},
    {RouteId::UndoGet,              Verb::Get,    "/1.0/lxmgr/undo/{id}",                     Access::View,    Reply::Now,     "What undoing would do, in full (lxmgr_undo)."},
    {RouteId::UndoApply,            Verb::Post,   "/1.0/lxmgr/undo/{id}",                     Access::Manage,  Reply::Later,   "Undo it (lxmgr_undo)."},
    {RouteId::UndoDelete,           Verb::Delete, "/1.0/lxmgr/undo/{id}",                     Access::Manage,  Reply::Later,   "Free what is kept for it; it cannot be undone any more (lxmgr_undo)."},
    {RouteId::Resources,            Verb::Get,    "/1.0/resources",                           Access::View,    Reply::Now,     "The host's hardware.", Body::Json, Scope::Host},
    {RouteId::Cluster,              Verb::Get,    "/1.0/cluster",                             Access::View,    Reply::Now,     "The cluster: none.", Body::Json, Scope::Host},
    {RouteId::ClusterMembers, Verb::Get, "/1.0/cluster/members", Access::View, Reply::Now, "Members of the cluster: an error, for there is none.", Body::Json, Scope::Host},
    {RouteId::Metrics, Verb::Get, "/1.0/metrics", Access::Admin, Reply::Raw, "Figures of the instances and the server, as OpenMetrics text."},
    {RouteId::MetadataConfiguration, Verb::Get, "/1.0/metadata/configuration", Access::Public, Reply::Now, "What can be configured: keys of every kind of object with their documentation."},
    {RouteId::WarningList,          Verb::Get,    "/1.0/warnings",                            Access::Admin,    Reply::Now,     "Warnings."},
    {RouteId::WarningGet, Verb::Get, "/1.0/warnings/{uuid}", Access::Admin, Reply::Now, "One warning."},
    {RouteId::WarningPut, Verb::Put, "/1.0/warnings/{uuid}", Access::Admin, Reply::Now, "Acknowledge a warning."},
    {RouteId::WarningPatch, Verb::Patch, "/1.0/warnings/{uuid}", Access::Admin, Reply::Now, "Acknowledge a warning."},
    {RouteId::WarningDelete, Verb::Delete, "/1.0/warnings/{uuid}", Access::Admin, Reply::Now, "Delete a warning."},
    {RouteId::CertificateList,      Verb::Get,    "/1.0/certificates",                        Access::View,    Reply::Now,     "Trusted certificates.", Body::Json, Scope::Host},
    {RouteId::CertificateCreate,    Verb::Post,   "/1.0/certificates",                        Access::Public,  Reply::Either,  "Trust a certificate, make a token for one, or (a stranger) redeem a token."},
    {RouteId::CertificateGet,       Verb::Get,    "/1.0/certificates/{fingerprint}",          Access::View,    Reply::Now,     "One trusted certificate, by any unique beginning of its fingerprint.", Body::Json, Scope::Host},
    {RouteId::CertificatePut,       Verb::Put,    "/1.0/certificates/{fingerprint}",          Access::Admin,   Reply::Now,     "Change what a certificate may do."},
    {RouteId::CertificatePatch,     Verb::Patch,  "/1.0/certificates/{fingerprint}",          Access::Admin,   Reply::Now,     "Change what a certificate may do."},
    {RouteId::CertificateDelete,    Verb::Delete, "/1.0/certificates/{fingerprint}",          Access::Admin,   Reply::Now,     "Trust a certificate no more; its connections end."},
    {RouteId::TemplateList,         Verb::Get,    "/1.0/lxmgr/templates",                     Access::View,    Reply::Now,     "Templates (lxmgr_templates).", Body::Json, Scope::Host},
    {RouteId::TemplateGet,          Verb::Get,    "/1.0/lxmgr/templates/{name}",              Access::View,    Reply::Now,     "One template with its text (lxmgr_templates).", Body::Json, Scope::Host},
    {RouteId::TemplateBuild,        Verb::Post,   "/1.0/lxmgr/templates/{name}/build",        Access::Admin,  Reply::Later,   "Build an image from a template (lxmgr_templates)."},
    {RouteId::BackupList,           Verb::Get,    "/1.0/lxmgr/backups",                       Access::Admin,    Reply::Now,     "Backups in the repository; ?instance= of one instance (lxmgr_backups)."},
    {RouteId::BackupCreate,         Verb::Post,   "/1.0/lxmgr/backups",                       Access::Admin,  Reply::Later,   "Back up an instance into the repository (lxmgr_backups)."},
    {RouteId::BackupGet,            Verb::Get,    "/1.0/lxmgr/backups/{instance}/{backup}",   Access::Admin,    Reply::Now,     "One backup: sizes, configuration, snapshots (lxmgr_backups)."},
    {RouteId::BackupDelete,         Verb::Delete, "/1.0/lxmgr/backups/{instance}/{backup}",   Access::Admin,  Reply::Later,   "Delete a backup (lxmgr_backups)."},
    {RouteId::BackupRestore,        Verb::Post,   "/1.0/lxmgr/backups/{instance}/{backup}/restore", Access::Admin, Reply::Later, "Make an instance of a backup; 'latest' is the newest (lxmgr_backups)."},
    {RouteId::BackupVerify,         Verb::Post,   "/1.0/lxmgr/backups/{instance}/{backup}/verify", Access::Admin, Reply::Later,  "Read back all that a backup holds (lxmgr_backups)."},
    {RouteId::RepositoryGet,        Verb::Get,    "/1.0/lxmgr/backup-repository",             Access::Admin,    Reply::Now,     "The backup repository: where it is, how large, whether encrypted (lxmgr_backups)."},
    {RouteId::RepositoryVerify,     Verb::Post,   "/1.0/lxmgr/backup-repository/verify",      Access::Admin,   Reply::Later,   "Read back all that the repository holds (lxmgr_backups)."},
    {RouteId::RepositoryPrune,      Verb::Post,   "/1.0/lxmgr/backup-repository/prune",       Access::Admin,  Reply::Later,   "Delete the backups that are too many (lxmgr_backups)."},
    {RouteId::InternalReady,        Verb::Get,    "/internal/ready",                          Access::Public,  Reply::Now,     "Answers once the daemon has adopted what runs."},
    {RouteId::InternalShutdown,     Verb::Put,    "/internal/shutdown",                       Access::Admin,   Reply::Now,     "Stop all instances, remember which ran, and end."},
    {RouteId::InternalRecover,      Verb::Post,   "/internal/recover",                        Access::Admin,   Reply::Now,     "Bring back what pools hold and the database does not know."},
};
// clang-format on

inline constexpr std::size_t kRouteCount = std::size(kRoutes);

constexpr bool routesAreInOrder()
{
    for (std::size_t i = 0; i < kRouteCount; ++i)
        if (static_cast<std::size_t>(kRoutes[i].id) != i)
            return false;
    return true;
}
static_assert(routesAreInOrder(), "kRoutes[i].id must be i, so that tables can be indexed by it");

constexpr const Route &route(RouteId id) { return kRoutes[static_cast<std::size_t>(id)]; }

/// Which word an instance path was asked under; URLs in the answer use the same.
enum class InstanceFamily { Instances, Containers, VirtualMachines };
std::string_view familyName(InstanceFamily family);

struct Match {
    const Route *route = nullptr;
    std::vector<std::pair<std::string_view, std::string>> params; ///< Name in the pattern → decoded value.
    InstanceFamily family = InstanceFamily::Instances;
};
enum class Miss {
    None,
    NoPath, ///< 404 "not found"
    NoVerb, ///< 501 "not implemented"
};
/// The row for `method` on the decoded `segments`; a literal segment wins over a "{name}". HEAD falls back to GET.
Miss matchRoute(std::string_view method, std::span<const std::string> segments, Match &match);

/// The URL of a route: each "{…}" replaced by the next of `values`, percent-encoded.
std::string routePath(RouteId id, std::initializer_list<std::string_view> values = {});

} // namespace lxmgr::api

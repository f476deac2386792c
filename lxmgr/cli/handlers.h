// One function a command; each family has a file of its own.
#pragma once

#include "cli/command.h"

namespace lxmgr::cli
{

// trust.cpp
Result<int> trustAdd(Context &context, const Arguments &arguments);
Result<int> trustAddCertificate(Context &context, const Arguments &arguments);
Result<int> trustList(Context &context, const Arguments &arguments);
Result<int> trustShow(Context &context, const Arguments &arguments);
Result<int> trustEdit(Context &context, const Arguments &arguments);
Result<int> trustRemove(Context &context, const Arguments &arguments);
Result<int> trustListTokens(Context &context, const Arguments &arguments);
Result<int> trustRevokeToken(Context &context, const Arguments &arguments);
// projects.cpp
Result<int> projectCreate(Context &context, const Arguments &arguments);
Result<int> projectList(Context &context, const Arguments &arguments);
Result<int> projectShow(Context &context, const Arguments &arguments);
Result<int> projectInfo(Context &context, const Arguments &arguments);
Result<int> projectGet(Context &context, const Arguments &arguments);
Result<int> projectSet(Context &context, const Arguments &arguments);
Result<int> projectUnset(Context &context, const Arguments &arguments);
Result<int> projectEdit(Context &context, const Arguments &arguments);
Result<int> projectRename(Context &context, const Arguments &arguments);
Result<int> projectSwitch(Context &context, const Arguments &arguments);
Result<int> projectGetCurrent(Context &context, const Arguments &arguments);
Result<int> projectDelete(Context &context, const Arguments &arguments);
// remote.cpp
Result<int> remoteAdd(Context &context, const Arguments &arguments);
Result<int> remoteList(Context &context, const Arguments &arguments);
Result<int> remoteRemove(Context &context, const Arguments &arguments);
Result<int> remoteRename(Context &context, const Arguments &arguments);
Result<int> remoteSwitch(Context &context, const Arguments &arguments);
Result<int> remoteGetDefault(Context &context, const Arguments &arguments);
Result<int> remoteSetUrl(Context &context, const Arguments &arguments);
// launch.cpp
Result<int> launch(Context &context, const Arguments &arguments);
Result<int> create(Context &context, const Arguments &arguments);
// lifecycle.cpp
Result<int> start(Context &context, const Arguments &arguments);
Result<int> stop(Context &context, const Arguments &arguments);
Result<int> restart(Context &context, const Arguments &arguments);
Result<int> pause(Context &context, const Arguments &arguments);
Result<int> resume(Context &context, const Arguments &arguments);
Result<int> deleteInstances(Context &context, const Arguments &arguments);
Result<int> renameInstance(Context &context, const Arguments &arguments);
// list.cpp, info.cpp
Result<int> listInstances(Context &context, const Arguments &arguments);
Result<int> info(Context &context, const Arguments &arguments);
// exec.cpp, console.cpp
Result<int> exec(Context &context, const Arguments &arguments);
Result<int> shell(Context &context, const Arguments &arguments);
Result<int> console(Context &context, const Arguments &arguments);
// exchange.cpp
Result<int> exportInstance(Context &context, const Arguments &arguments);
Result<int> importInstance(Context &context, const Arguments &arguments);
// kept_exports.cpp
Result<int> exportKeep(Context &context, const Arguments &arguments);
Result<int> exportList(Context &context, const Arguments &arguments);
Result<int> exportShow(Context &context, const Arguments &arguments);
Result<int> exportGet(Context &context, const Arguments &arguments);
Result<int> exportRename(Context &context, const Arguments &arguments);
Result<int> exportDelete(Context &context, const Arguments &arguments);
// backups.cpp
Result<int> backupCreate(Context &context, const Arguments &arguments);
Result<int> backupList(Context &context, const Arguments &arguments);
Result<int> backupShow(Context &context, const Arguments &arguments);
Result<int> backupInfo(Context &context, const Arguments &arguments);
Result<int> backupVerify(Context &context, const Arguments &arguments);
Result<int> backupRestore(Context &context, const Arguments &arguments);
Result<int> backupDelete(Context &context, const Arguments &arguments);
Result<int> backupPrune(Context &context, const Arguments &arguments);
// files.cpp
Result<int> filePush(Context &context, const Arguments &arguments);
Result<int> filePull(Context &context, const Arguments &arguments);
Result<int> fileEdit(Context &context, const Arguments &arguments);
Result<int> fileDelete(Context &context, const Arguments &arguments);
Result<int> fileMkdir(Context &context, const Arguments &arguments);
// diff.cpp
Result<int> diff(Context &context, const Arguments &arguments);
// config.cpp, devices.cpp
Result<int> configGet(Context &context, const Arguments &arguments);
Result<int> configSet(Context &context, const Arguments &arguments);
Result<int> configUnset(Context &context, const Arguments &arguments);
Result<int> configShow(Context &context, const Arguments &arguments);
Result<int> configEdit(Context &context, const Arguments &arguments);
Result<int> deviceAdd(Context &context, const Arguments &arguments);
Result<int> deviceGet(Context &context, const Arguments &arguments);
Result<int> deviceList(Context &context, const Arguments &arguments);
Result<int> deviceRemove(Context &context, const Arguments &arguments);
Result<int> deviceSet(Context &context, const Arguments &arguments);
Result<int> deviceShow(Context &context, const Arguments &arguments);
Result<int> deviceUnset(Context &context, const Arguments &arguments);
// recover.cpp
Result<int> recover(Context &context, const Arguments &arguments);
// copy.cpp
Result<int> copy(Context &context, const Arguments &arguments);
Result<int> move(Context &context, const Arguments &arguments);
// snapshots.cpp
Result<int> snapshotCreate(Context &context, const Arguments &arguments);
Result<int> snapshotList(Context &context, const Arguments &arguments);
Result<int> snapshotShow(Context &context, const Arguments &arguments);
Result<int> snapshotRestore(Context &context, const Arguments &arguments);
Result<int> snapshotMount(Context &context, const Arguments &arguments);
Result<int> snapshotUnmount(Context &context, const Arguments &arguments);
Result<int> snapshotRename(Context &context, const Arguments &arguments);
Result<int> snapshotDelete(Context &context, const Arguments &arguments);
// undo.cpp
Result<int> undoList(Context &context, const Arguments &arguments);
Result<int> undoShow(Context &context, const Arguments &arguments);
Result<int> undoApply(Context &context, const Arguments &arguments);
Result<int> undoDelete(Context &context, const Arguments &arguments);
// images.cpp
Result<int> imageList(Context &context, const Arguments &arguments);
Result<int> imageInfo(Context &context, const Arguments &arguments);
Result<int> imageImport(Context &context, const Arguments &arguments);
Result<int> imageExport(Context &context, const Arguments &arguments);
Result<int> imageEdit(Context &context, const Arguments &arguments);
Result<int> imageCopy(Context &context, const Arguments &arguments);
Result<int> imageRefresh(Context &context, const Arguments &arguments);
Result<int> imageDelete(Context &context, const Arguments &arguments);
Result<int> aliasCreate(Context &context, const Arguments &arguments);
Result<int> aliasList(Context &context, const Arguments &arguments);
Result<int> aliasDelete(Context &context, const Arguments &arguments);
Result<int> aliasRename(Context &context, const Arguments &arguments);
// publish.cpp
Result<int> publish(Context &context, const Arguments &arguments);
// templates.cpp
Result<int> templateList(Context &context, const Arguments &arguments);
Result<int> templateShow(Context &context, const Arguments &arguments);
Result<int> templateBuild(Context &context, const Arguments &arguments);
// profiles.cpp, devices.cpp
Result<int> profileList(Context &context, const Arguments &arguments);
Result<int> profileShow(Context &context, const Arguments &arguments);
Result<int> profileCreate(Context &context, const Arguments &arguments);
Result<int> profileEdit(Context &context, const Arguments &arguments);
Result<int> profileCopy(Context &context, const Arguments &arguments);
Result<int> profileRename(Context &context, const Arguments &arguments);
Result<int> profileDelete(Context &context, const Arguments &arguments);
Result<int> profileAdd(Context &context, const Arguments &arguments);
Result<int> profileRemove(Context &context, const Arguments &arguments);
Result<int> profileAssign(Context &context, const Arguments &arguments);
Result<int> profileGet(Context &context, const Arguments &arguments);
Result<int> profileSet(Context &context, const Arguments &arguments);
Result<int> profileUnset(Context &context, const Arguments &arguments);
Result<int> profilePlan(Context &context, const Arguments &arguments);
Result<int> profileApply(Context &context, const Arguments &arguments);
Result<int> profileExport(Context &context, const Arguments &arguments);
Result<int> profileDeviceAdd(Context &context, const Arguments &arguments);
Result<int> profileDeviceGet(Context &context, const Arguments &arguments);
Result<int> profileDeviceList(Context &context, const Arguments &arguments);
Result<int> profileDeviceRemove(Context &context, const Arguments &arguments);
Result<int> profileDeviceSet(Context &context, const Arguments &arguments);
Result<int> profileDeviceShow(Context &context, const Arguments &arguments);
Result<int> profileDeviceUnset(Context &context, const Arguments &arguments);
// warnings.cpp
Result<int> warningList(Context &context, const Arguments &arguments);
Result<int> warningShow(Context &context, const Arguments &arguments);
Result<int> warningAcknowledge(Context &context, const Arguments &arguments);
Result<int> warningDelete(Context &context, const Arguments &arguments);
// operations.cpp
Result<int> operationList(Context &context, const Arguments &arguments);
Result<int> operationShow(Context &context, const Arguments &arguments);
Result<int> operationDelete(Context &context, const Arguments &arguments);
// networks.cpp
Result<int> networkList(Context &context, const Arguments &arguments);
Result<int> networkListLeases(Context &context, const Arguments &arguments);
Result<int> networkShow(Context &context, const Arguments &arguments);
Result<int> networkInfo(Context &context, const Arguments &arguments);
Result<int> networkCreate(Context &context, const Arguments &arguments);
Result<int> networkGet(Context &context, const Arguments &arguments);
Result<int> networkSet(Context &context, const Arguments &arguments);
Result<int> networkUnset(Context &context, const Arguments &arguments);
Result<int> networkEdit(Context &context, const Arguments &arguments);
Result<int> networkRename(Context &context, const Arguments &arguments);
Result<int> networkDelete(Context &context, const Arguments &arguments);
Result<int> networkAttach(Context &context, const Arguments &arguments);
Result<int> networkAttachProfile(Context &context, const Arguments &arguments);
Result<int> networkDetach(Context &context, const Arguments &arguments);
Result<int> networkDetachProfile(Context &context, const Arguments &arguments);
// network_rules.cpp
Result<int> networkDoctor(Context &context, const Arguments &arguments);
Result<int> forwardList(Context &context, const Arguments &arguments);
Result<int> forwardShow(Context &context, const Arguments &arguments);
Result<int> forwardCreate(Context &context, const Arguments &arguments);
Result<int> forwardGet(Context &context, const Arguments &arguments);
Result<int> forwardSet(Context &context, const Arguments &arguments);
Result<int> forwardUnset(Context &context, const Arguments &arguments);
Result<int> forwardEdit(Context &context, const Arguments &arguments);
Result<int> forwardDelete(Context &context, const Arguments &arguments);
Result<int> forwardPortAdd(Context &context, const Arguments &arguments);
Result<int> forwardPortRemove(Context &context, const Arguments &arguments);
Result<int> aclList(Context &context, const Arguments &arguments);
Result<int> aclShow(Context &context, const Arguments &arguments);
Result<int> aclCreate(Context &context, const Arguments &arguments);
Result<int> aclGet(Context &context, const Arguments &arguments);
Result<int> aclSet(Context &context, const Arguments &arguments);
Result<int> aclUnset(Context &context, const Arguments &arguments);
Result<int> aclEdit(Context &context, const Arguments &arguments);
Result<int> aclRename(Context &context, const Arguments &arguments);
Result<int> aclShowLog(Context &context, const Arguments &arguments);
Result<int> aclDelete(Context &context, const Arguments &arguments);
Result<int> aclRuleAdd(Context &context, const Arguments &arguments);
Result<int> aclRuleRemove(Context &context, const Arguments &arguments);
// storage.cpp
Result<int> storageList(Context &context, const Arguments &arguments);
Result<int> storageShow(Context &context, const Arguments &arguments);
Result<int> storageInfo(Context &context, const Arguments &arguments);
Result<int> storageDrivers(Context &context, const Arguments &arguments);
Result<int> storageCreate(Context &context, const Arguments &arguments);
Result<int> storageGet(Context &context, const Arguments &arguments);
Result<int> storageSet(Context &context, const Arguments &arguments);
Result<int> storageUnset(Context &context, const Arguments &arguments);
Result<int> storageEdit(Context &context, const Arguments &arguments);
Result<int> storageDelete(Context &context, const Arguments &arguments);
Result<int> storageDetach(Context &context, const Arguments &arguments);
// volumes.cpp
Result<int> volumeList(Context &context, const Arguments &arguments);
Result<int> volumeShow(Context &context, const Arguments &arguments);
Result<int> volumeInfo(Context &context, const Arguments &arguments);
Result<int> volumeCreate(Context &context, const Arguments &arguments);
Result<int> volumeGet(Context &context, const Arguments &arguments);
Result<int> volumeSet(Context &context, const Arguments &arguments);
Result<int> volumeUnset(Context &context, const Arguments &arguments);
Result<int> volumeEdit(Context &context, const Arguments &arguments);
Result<int> volumeRename(Context &context, const Arguments &arguments);
Result<int> volumeDelete(Context &context, const Arguments &arguments);
Result<int> volumeAttach(Context &context, const Arguments &arguments);
Result<int> volumeAttachProfile(Context &context, const Arguments &arguments);
Result<int> volumeDetach(Context &context, const Arguments &arguments);
Result<int> volumeDetachProfile(Context &context, const Arguments &arguments);
Result<int> volumeCopy(Context &context, const Arguments &arguments);
Result<int> volumeMove(Context &context, const Arguments &arguments);
Result<int> volumeSnapshotCreate(Context &context, const Arguments &arguments);
Result<int> volumeSnapshotList(Context &context, const Arguments &arguments);
Result<int> volumeSnapshotShow(Context &context, const Arguments &arguments);
Result<int> volumeSnapshotRename(Context &context, const Arguments &arguments);
Result<int> volumeSnapshotDelete(Context &context, const Arguments &arguments);
Result<int> volumeSnapshotRestore(Context &context, const Arguments &arguments);
// monitor.cpp, query.cpp
Result<int> monitor(Context &context, const Arguments &arguments);
Result<int> query(Context &context, const Arguments &arguments);
// help.cpp, completion.cpp, docs.cpp
Result<int> version(Context &context, const Arguments &arguments);
Result<int> help(Context &context, const Arguments &arguments);
Result<int> completion(Context &context, const Arguments &arguments);
Result<int> docs(Context &context, const Arguments &arguments);

} // namespace lxmgr::cli

// The table of the keys of projects.
#pragma once

#include "config/project_config.h"

#include <algorithm>

namespace lxmgr::config
{

// clang-format off
inline constexpr Key<ProjectConfig> kProjectKeys[] = {
    {"features.images",          field<&ProjectConfig::ownImages>,   Apply::Live, "true",  "Images of its own; with false it uses those of project default, and adds to them. Changed while the project is empty."},
    {"features.networks",        field<&ProjectConfig::ownNetworks>, Apply::Live, "false", "Networks and ACLs of its own: with true it has none, for all bridges are in project default, and its NICs name an interface of the host (parent). Changed while the project is empty."},
    {"features.networks.zones",  field<&ProjectConfig::absent>,      Apply::Live, "false", "There are no network zones: false is all it can say."},
    {"features.profiles",        field<&ProjectConfig::ownProfiles>, Apply::Live, "true",  "Profiles of its own; with false it uses those of project default. Changed while the project is empty."},
    {"features.storage.volumes", field<&ProjectConfig::ownVolumes>,  Apply::Live, "true",  "Custom volumes of its own; with false it uses those of project default, whose limits.disk counts them, and who may use the project may do with them what he likes. Changed while the project is empty."},
    {"limits.containers",        field<&ProjectConfig::limitsContainers>, Apply::Live, "", "The most instances it may have."},
    {"limits.cpu",               field<&ProjectConfig::limitsCpu>,        Apply::Live, "", "The most CPUs that limits.cpu of all its instances may be together; each must have it."},
    {"limits.disk",              field<&ProjectConfig::limitsDisk>,       Apply::Live, "", "The most that the root disks of its instances and its custom volumes may be together by their size, which each must have."},
    {"limits.disk.pool.*",       field<&ProjectConfig::limitsDiskPool>,   Apply::Live, "", "The same of those in the storage pool of that name; 0: none may lie there."},
    {"limits.instances",         field<&ProjectConfig::limitsInstances>,  Apply::Live, "", "The most instances it may have."},
    {"limits.memory",            field<&ProjectConfig::limitsMemory>,     Apply::Live, "", "The most that limits.memory of all its instances may be together; each must have it, and not in percent."},
    {"limits.networks",          field<&ProjectConfig::limitsNetworks>,   Apply::Live, "", "Of project default, which all networks are in: the most there may be."},
    {"limits.processes",         field<&ProjectConfig::limitsProcesses>,  Apply::Live, "", "The most that limits.processes of all its instances may be together; each must have it."},
    {"limits.virtual-machines",  field<&ProjectConfig::limitsVirtualMachines>, Apply::Live, "", "There are no virtual machines: kept for tools that set it."},
    {"restricted",               field<&ProjectConfig::restricted>, Apply::Live, "false", "Whether restricted.* is kept to. With it, everything that leads to the host is refused unless a key below allows it."},
    {"restricted.backups",               field<&ProjectConfig::backups>,      Apply::Live, "block", "Exports and backups: block or allow."},
    {"restricted.cluster.target",        field<&ProjectConfig::absent>,       Apply::Live, "block", "There are no clusters: block is all it can say."},
    {"restricted.containers.interception", field<&ProjectConfig::interception>, Apply::Live, "block", "security.syscalls.intercept.*, but for those that the key below is about: block or allow."},
    {"restricted.containers.lowlevel",   field<&ProjectConfig::lowlevel>,     Apply::Live, "block", "Keys that reach into the host: raw.*, boot.host_*, linux.kernel_modules, limits.kernel.*, security.syscalls.* (of intercept: mount.allowed, mount.shift, sched_setscheduler): block or allow."},
    {"restricted.containers.nesting",    field<&ProjectConfig::nesting>,      Apply::Live, "block", "security.nesting: block or allow."},
    {"restricted.containers.privilege",  field<&ProjectConfig::privilege>,    Apply::Live, "unprivileged", "security.privileged: unprivileged or isolated (never), allow."},
    {"restricted.devices.disk",          field<&ProjectConfig::disk>,         Apply::Live, "managed", "Disks: block (the root alone), managed (volumes of pools), allow (paths of the host too)."},
    {"restricted.devices.disk.paths",    field<&ProjectConfig::diskPaths>,    Apply::Live, "", "With restricted.devices.disk=allow: the folders that sources on the host must lie below, with commas between; links may not lead out of them, and shift=true is refused. Unset: anywhere."},
    {"restricted.devices.gpu",           field<&ProjectConfig::gpu>,          Apply::Live, "block", "gpu devices: block or allow."},
    {"restricted.devices.infiniband",    field<&ProjectConfig::infiniband>,   Apply::Live, "block", "infiniband devices: block or allow."},
    {"restricted.devices.nic",           field<&ProjectConfig::nic>,          Apply::Live, "managed", "Network cards: block, managed (in managed networks), allow."},
    {"restricted.devices.pci",           field<&ProjectConfig::absent>,       Apply::Live, "block", "There are no such devices: block is all it can say."},
    {"restricted.devices.proxy",         field<&ProjectConfig::proxy>,        Apply::Live, "block", "proxy devices: block or allow."},
    {"restricted.devices.unix-block",    field<&ProjectConfig::unixBlock>,    Apply::Live, "block", "unix-block devices: block or allow."},
    {"restricted.devices.unix-char",     field<&ProjectConfig::unixChar>,     Apply::Live, "block", "unix-char devices: block or allow."},
    {"restricted.devices.unix-hotplug",  field<&ProjectConfig::unixHotplug>,  Apply::Live, "block", "unix-hotplug devices: block or allow."},
    {"restricted.devices.usb",           field<&ProjectConfig::usb>,          Apply::Live, "block", "usb devices: block or allow."},
    {"restricted.idmap.gid",             field<&ProjectConfig::groups>,       Apply::Live, "", "Ids of the host that raw.idmap may make groups inside without restricted.containers.lowlevel: 1000,2000-2999."},
    {"restricted.idmap.uid",             field<&ProjectConfig::users>,        Apply::Live, "", "The same for users."},
    {"restricted.images.servers",        field<&ProjectConfig::imageServers>, Apply::Live, "", "Hosts that images may be fetched from, with commas between. Unset: those of the server's images.servers."},
    {"restricted.networks.access",       field<&ProjectConfig::networks>,     Apply::Live, "", "The managed networks its cards may be in, with commas between. Unset: all."},
    {"restricted.networks.subnets",      field<&ProjectConfig::absent>,       Apply::Live, "block", "Networks are not of projects: block is all it can say."},
    {"restricted.networks.zones",        field<&ProjectConfig::absent>,       Apply::Live, "block", "There are no zones: block is all it can say."},
    {"restricted.snapshots",             field<&ProjectConfig::snapshots>,    Apply::Live, "block", "Snapshots: block or allow."},
    {"restricted.virtual-machines.lowlevel", field<&ProjectConfig::absent>,   Apply::Live, "block", "There are no virtual machines: block is all it can say."},
    {"user.*",                           field<&ProjectConfig::user>,         Apply::Live, "", "Free text for people and tools."},
};
// clang-format on
static_assert(std::ranges::is_sorted(kProjectKeys, {}, &Key<ProjectConfig>::name));

// Known elsewhere, not carried out here; "*" ends a prefix.
inline constexpr std::string_view kUnsupportedProjectKeys[] = {
    "backups.*", "features.*", "images.*", "limits.*", "network.*", "restricted.cluster.groups", "restricted.networks.integrations", "restricted.networks.uplinks",
};
static_assert(std::ranges::is_sorted(kUnsupportedProjectKeys));

} // namespace lxmgr::config

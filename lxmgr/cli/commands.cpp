// The command table: everything a user can type, in the order the help shows it.
#include "cli/handlers.h"

#include "base/text.h"

#include <algorithm>

namespace lxmgr::cli
{

namespace
{

// clang-format off
constexpr Flag kFormatFlag   = {"-f,--format", "format", "How to print: table, compact, csv, json or yaml (csv,header adds a header)."};
constexpr Flag kShowFormat   = {"--format", "format", "How to print: yaml (the default) or json."};
constexpr Flag kColumnsFlag  = {"-c,--columns", "columns", "Which columns to print, one letter each; see COLUMNS in the manual."};
constexpr Flag kAllFlag      = {"--all", "", "Do it to every instance of the project."};
constexpr Flag kRecursive    = {"-r,--recursive", "", "Folders with everything in them."};
constexpr Flag kParents      = {"-p,--create-dirs", "", "Make the folders that are missing on the way."};
constexpr Flag kUid          = {"--uid", "uid", "Owner, a number as the guest sees it."};
constexpr Flag kGid          = {"--gid", "gid", "Group, a number as the guest sees it."};
constexpr Flag kMode         = {"--mode", "mode", "Permissions in octal, 0644 for example."};
constexpr Flag kBuildOption  = {"-o,--option", "key=value", "How to build where a template is used: mirror=<url>, suite=<name>.", Repeat::Yes};
constexpr Flag kExpanded     = {"-e,--expanded", "", "With what the profiles bring."};
constexpr Flag kProperty     = {"-p,--property", "", "The key is a field of the instance (description, ephemeral), not a configuration key."};

constexpr Flag kPoolProperty = {"-p,--property", "", "The key is a field of the pool (description), not a configuration key."};

constexpr Flag kConfigFlag      = {"-c,--config", "key=value", "A configuration key of the new instance.", Repeat::Yes};
constexpr Flag kDeviceFlag      = {"-d,--device", "device,key=value", "A key of a device: eth0,ipv4.address=10.0.3.9 or root,readonly=true.", Repeat::Yes};
constexpr Flag kProfileFlag     = {"-p,--profile", "profile", "A profile to apply; the order counts. Without: default.", Repeat::Yes};
constexpr Flag kNoProfilesFlag  = {"--no-profiles", "", "No profile at all, not even default."};
constexpr Flag kEphemeralFlag   = {"-e,--ephemeral", "", "Delete the instance when it stops."};
constexpr Flag kNetworkFlag     = {"-n,--network", "network", "Put eth0 on this network."};
constexpr Flag kStorageFlag     = {"-s,--storage", "pool", "Put the root disk into this pool."};
constexpr Flag kDescriptionFlag = {"--description", "text", "What it is for."};
constexpr Flag kEmptyFlag       = {"--empty", "", "An instance with an empty root disk, without an image."};

constexpr Flag kGlobalFlags[] = {
    {"-q,--quiet", "", "No progress and no messages, only results and errors."},
    {"--debug", "", "Print each request and its answer on standard error."},
    {"--project", "project", "The project to work in."},
    {"-h,--help", "", "What the command does, with examples."},
};

constexpr CommandGroup kGroups[] = {
    {"config",        "", "Configuration keys and devices of instances"},
    {"config device", "", "Devices of an instance: network cards, disks, host devices"},
    {"snapshot",      "", "States of an instance to come back to", "create"},
    {"file",          "", "Files in an instance, running or stopped"},
    {"image",         "", "Images that instances are made from"},
    {"image alias",   "", "Names of images"},
    {"template",      "", "Recipes that build images from a distribution's own archive"},
    {"profile",       "", "Configuration shared by instances"},
    {"network",       "", "Networks that instances are plugged into"},
    {"storage",       "", "Pools that hold the disks of instances"},
    {"operation",     "", "Work going on in the daemon"},
};

constexpr Command kCommands[] = {
    // ---- instances
    {"launch", "", "<image> [<name>]", Group::Instances, &launch,
     "Create an instance from an image and start it",
     "The image is an alias or fingerprint of the local store, or a template that is built once and kept: debian, debian/12, ubuntu:24.04, busybox. Without a name one is made up and printed.\n\n"
     "A YAML description of the instance (config, devices, profiles, description) is read from standard input when that is a file.",
     {{"lxmgr launch debian web1", "Debian in its current stable release."},
      {"lxmgr launch ubuntu/24.04 db1 -c limits.memory=2GiB -c limits.cpu=2", "With limits."},
      {"lxmgr launch busybox t1 --ephemeral --wait", "Gone when it stops; returns once it has booted."},
      {"lxmgr launch debian/12 old -o mirror=http://deb.example.org/debian", "Built from a mirror of your own."},
      {"lxmgr launch debian web2 < web.yaml", "Keys and devices from a file."}},
     {kConfigFlag, kDeviceFlag, kProfileFlag, kNoProfilesFlag, kEphemeralFlag, kNetworkFlag, kStorageFlag, kDescriptionFlag, kBuildOption,
      {"--wait", "", "Return when the guest says that it has booted."},
      {"--timeout", "seconds", "How long --wait waits; 300 unless told."},
      {"--console", "", "Attach to the console at once."}}},
    {"create", "init", "[<image>] [<name>]", Group::Instances, &create,
     "Create an instance from an image without starting it",
     "Takes what 'lxmgr launch' takes. With --empty no image is named and the root disk stays empty.",
     {{"lxmgr create debian web1", ""},
      {"lxmgr create debian web1 -d eth0,ipv4.address=10.0.3.9", "With an address that stays."},
      {"lxmgr create --empty blank", "Nothing in it; fill it with 'lxmgr file push'."}},
     {kConfigFlag, kDeviceFlag, kProfileFlag, kNoProfilesFlag, kEphemeralFlag, kNetworkFlag, kStorageFlag, kDescriptionFlag, kBuildOption, kEmptyFlag}},
    {"start", "", "<instance>...", Group::Instances, &start,
     "Start instances",
     "A paused instance is resumed.",
     {{"lxmgr start web1", ""},
      {"lxmgr start --all", "Every instance that is stopped."},
      {"lxmgr start web1 --console", "And watch it boot."}},
     {kAllFlag, {"--console", "", "Attach to the console at once."},
      {"--wait", "", "Return when the guest says that it has booted."},
      {"--timeout", "seconds", "How long --wait waits; 300 unless told."}}},
    {"stop", "", "<instance>...", Group::Instances, &stop,
     "Stop instances",
     "The guest's init is asked to shut down and given its time; with --force everything in it is killed at once.",
     {{"lxmgr stop web1", ""},
      {"lxmgr stop web1 --timeout 30", "Fails where it takes longer; the instance runs on."},
      {"lxmgr stop --force web1 web2", "At once, like pulling the plug."}},
     {kAllFlag, {"-f,--force", "", "Kill it, unsaved data is lost."},
      {"--timeout", "seconds", "How long the guest may take; without it, as long as it needs."}}},
    {"restart", "", "<instance>...", Group::Instances, &restart,
     "Restart instances",
     "Stops and starts again; the guest keeps its address.",
     {{"lxmgr restart web1", ""}, {"lxmgr restart --force web1", "Without asking the guest."}},
     {kAllFlag, {"-f,--force", "", "Kill it first, unsaved data is lost."},
      {"--timeout", "seconds", "How long the guest may take to shut down."},
      {"--console", "", "Attach to the console at once."}}},
    {"pause", "freeze", "<instance>...", Group::Instances, &pause,
     "Pause instances",
     "Every process stands still until 'lxmgr resume'; memory stays used.",
     {{"lxmgr pause web1", ""}},
     {kAllFlag}},
    {"resume", "unfreeze", "<instance>...", Group::Instances, &resume,
     "Resume paused instances",
     "Goes on where 'lxmgr pause' stopped.",
     {{"lxmgr resume web1", ""}},
     {kAllFlag}},
    {"delete", "rm", "<instance>[/<snapshot>]...", Group::Instances, &deleteInstances,
     "Delete instances, or snapshots",
     "The root disk, its snapshots and everything in them is gone. A running instance is only deleted with --force.",
     {{"lxmgr delete web1", ""}, {"lxmgr delete -f web1 web2", "Even if they run."}, {"lxmgr delete -i web1", "Asks first."},
      {"lxmgr delete web1/snap0", "Only this snapshot."}},
     {{"-f,--force", "", "Stop it first where it runs."}, {"-i,--interactive", "", "Ask before each."}}},
    {"rename", "", "<instance>[/<snapshot>] <new-name>", Group::Instances, &renameInstance,
     "Rename a stopped instance, or a snapshot",
     "Host name and logs follow with the next start.",
     {{"lxmgr rename web1 web2", ""}, {"lxmgr rename web1/snap0 web1/before-upgrade", "A snapshot."}},
     {}},
    {"restore", "", "<instance> <snapshot>", Group::Instances, &snapshotRestore,
     "Go back to a snapshot",
     "The same as 'lxmgr snapshot restore'.",
     {{"lxmgr restore web1 snap0", ""}},
     {}},
    {"export", "", "<instance> [<file>]", Group::Instances, &exportInstance,
     "Write an instance with its snapshots to an archive",
     "One tar archive in the layout of LXD and Incus, which both import. A running guest stands still only for a moment and is exported as it was then. The file gets its name when all of it is there, was read back and compared; '-' is standard output. Without a file it is called after the instance, in the current folder. Sockets cannot be in an archive and are left out.",
     {{"lxmgr export web1", "To web1.tar.gz."},
      {"lxmgr export web1 /srv/backups/ --compression zstd", "Quick, and on all cores."},
      {"lxmgr export web1 - --instance-only | ssh other lxmgr import -", "To another host, without snapshots and without a file."}},
     {{"--instance-only", "", "Without its snapshots."},
      {"--compression", "name", "gzip (the default), zstd, xz, bzip2, lzma or none."},
      {"--optimized-storage", "", "In the storage driver's own form; refused, as no driver has one here."}}},
    {"import", "", "<file> [<name>]", Group::Instances, &importInstance,
     "Create an instance from an archive",
     "Takes what 'lxmgr export' writes, and what 'lxc export' and 'incus export' write of containers. '-' is standard input. Devices of nodes are left out unless the instance is privileged. Where a profile it used is not here, what the profiles brought becomes its own.",
     {{"lxmgr import web1.tar.gz", "Under the name it had."},
      {"lxmgr import web1.tar.gz web2 --storage fast", "Under another name, in another pool."},
      {"lxmgr import web1.tar.gz --config boot.autostart=", "Without a key that it has."}},
     {kStorageFlag,
      {"-c,--config", "key=value", "A configuration key in place of the archive's; without a value it is left out.", Repeat::Yes}}},
    {"snapshot create", "", "<instance> [<snapshot>]", Group::Instances, &snapshotCreate,
     "Make a snapshot of an instance, running or stopped",
     "Files, configuration and devices as they are now. A running guest stands still while its changed files are copied; memory is not in the snapshot. Without a name it gets one after snapshots.pattern, which is printed. 'create' may be left out.",
     {{"lxmgr snapshot web1", ""},
      {"lxmgr snapshot create web1 before-upgrade --no-expiry", "With a name, kept until it is deleted."},
      {"lxmgr snapshot web1 daily --reuse --expires 2w", "In place of an older one; gone after two weeks."}},
     {{"--no-expiry", "", "Keep it, whatever snapshots.expiry says."},
      {"--expires", "span", "How long to keep it: 2w, '1d 12H'."},
      {"--reuse", "", "Delete a snapshot of this name first."}}},
    {"snapshot list", "ls", "<instance>", Group::Instances, &snapshotList,
     "List the snapshots of an instance",
     "",
     {{"lxmgr snapshot list web1", ""}, {"lxmgr snapshot list web1 -f json", ""}},
     {kColumnsFlag, kFormatFlag}},
    {"snapshot show", "", "<instance> <snapshot>", Group::Instances, &snapshotShow,
     "Print what a snapshot holds as YAML",
     "Configuration, devices and profiles as they were, and what the profiles made of them then.",
     {{"lxmgr snapshot show web1 snap0", ""}},
     {kShowFormat}},
    {"snapshot restore", "", "<instance> <snapshot>", Group::Instances, &snapshotRestore,
     "Go back to a snapshot",
     "Files, configuration and devices are again as they were; everything newer is lost, snapshots stay. A running instance is stopped for it and started again. Where a profile it used is gone, what the profiles brought becomes its own.",
     {{"lxmgr snapshot restore web1 before-upgrade", ""}},
     {}},
    {"snapshot rename", "", "<instance> <snapshot> <new-name>", Group::Instances, &snapshotRename,
     "Rename a snapshot",
     "",
     {{"lxmgr snapshot rename web1 snap0 before-upgrade", ""}},
     {}},
    {"snapshot delete", "rm", "<instance> <snapshot>...", Group::Instances, &snapshotDelete,
     "Delete snapshots",
     "The instance and its other snapshots keep all they have.",
     {{"lxmgr snapshot delete web1 snap0 snap1", ""}},
     {{"-i,--interactive", "", "Ask before each."}}},
    {"list", "ls", "[<filter>...]", Group::Instances, &listInstances,
     "List instances",
     "A filter is a word that names begin with, a regular expression, or <key>=<value>: status=running, name=web.*, ipv4=10.0.3.0/24, config keys such as limits.memory=2GiB or user.team=web. All must match.",
     {{"lxmgr list", ""},
      {"lxmgr list web status=running", "Running instances whose name begins with web."},
      {"lxmgr list -c nsm4 -f csv", "Name, state, memory and address for a script."},
      {"lxmgr list -c n,user.team:TEAM:8", "A configuration key as a column, with title and width."},
      {"lxmgr list --format json", "What the API says, for a program."}},
     {kColumnsFlag, kFormatFlag, {"--fast", "", "Only what needs no question to a guest: columns nsacPt."},
      {"--all-projects", "", "Of every project."}}},
    {"info", "", "[<instance>]", Group::Instances, &info,
     "Show an instance, or the server",
     "Without an instance: what the server is and can do.",
     {{"lxmgr info web1", "State, addresses and use of processor, memory and network."},
      {"lxmgr info web1 --show-log", "Why it did not start."},
      {"lxmgr info --resources", "Processors, memory and disks of this machine."}},
     {{"--show-log", "", "The instance's log at the end."},
      {"--resources", "", "What the machine has."},
      {"--format", "format", "json or yaml: what the API says."}}},

    // ---- inside
    {"exec", "", "<instance> [--] <command>...", Group::Inside, &exec,
     "Run a command in an instance",
     "Its exit status becomes that of lxmgr; 126 says that it could not be run, 127 that it was not found, 128 and more that a signal ended it. On a terminal the command gets a terminal of its own, else three pipes.",
     {{"lxmgr exec web1 -- apt-get install -y nginx", ""},
      {"lxmgr exec web1 --env LANG=C --cwd /srv --user 1000 -- make", ""},
      {"tar c . | lxmgr exec web1 -- tar x -C /srv", "Standard input goes along."},
      {"lxmgr exec web1 -t -- top", "Force a terminal."}},
     {{"--env", "KEY=value", "A variable of the environment.", Repeat::Yes},
      {"--cwd", "folder", "Where it runs; the user's home unless told."},
      {"--user", "uid", "As which user, a number."},
      {"--group", "gid", "As which group, a number."},
      {"-t,--force-interactive", "", "With a terminal."},
      {"-T,--force-noninteractive", "", "With pipes."},
      {"-n,--disable-stdin", "", "Nothing on its standard input."},
      {"--mode", "mode", "auto, interactive or non-interactive."}}},
    {"shell", "", "<instance>", Group::Inside, &shell,
     "Open a login shell in an instance",
     "The user's own shell with a fresh environment ('su -l'), /bin/sh where there is no su.",
     {{"lxmgr shell web1", ""}, {"lxmgr shell web1 --user alice", "As alice."}},
     {{"--user", "name", "Whose shell; root unless told."}}},
    {"console", "", "<instance>", Group::Inside, &console,
     "Attach to the console of an instance",
     "Press <ctrl>+a q to leave it, <ctrl>+a twice to send <ctrl>+a.",
     {{"lxmgr console web1", ""}, {"lxmgr console web1 --show-log", "What it has printed since it started."}},
     {{"--show-log", "", "Print the console's past and end."}}},
    {"file push", "", "<source>... <instance>/<path>", Group::Inside, &filePush,
     "Copy files into an instance",
     "'-' as source is standard input. A path ending in / is a folder.",
     {{"lxmgr file push site.conf web1/etc/nginx/conf.d/", ""},
      {"lxmgr file push -r -p ./site web1/srv/www/", "A whole folder, making /srv/www."},
      {"date | lxmgr file push - web1/etc/made --mode 0600", "From standard input."}},
     {kRecursive, kParents, kUid, kGid, kMode}},
    {"file pull", "", "<instance>/<path>... <target>", Group::Inside, &filePull,
     "Copy files out of an instance",
     "'-' as target is standard output. What the guest offers is never followed out of the target folder.",
     {{"lxmgr file pull web1/etc/hosts .", ""},
      {"lxmgr file pull web1/var/log/syslog - | grep error", ""},
      {"lxmgr file pull -r web1/etc ./backup/", "A whole folder."}},
     {kRecursive, kParents}},
    {"file edit", "", "<instance>/<path>", Group::Inside, &fileEdit,
     "Edit a file of an instance",
     "In $VISUAL, $EDITOR or vi; from standard input where that is no terminal. Owner and mode stay.",
     {{"lxmgr file edit web1/etc/hosts", ""}},
     {}},
    {"file delete", "rm", "<instance>/<path>...", Group::Inside, &fileDelete,
     "Delete files in an instance",
     "Folders must be empty.",
     {{"lxmgr file delete web1/etc/motd", ""}},
     {}},
    {"file mkdir", "", "<instance>/<path>...", Group::Inside, &fileMkdir,
     "Make folders in an instance",
     "",
     {{"lxmgr file mkdir -p web1/srv/www/html --uid 33 --gid 33", ""}},
     {kParents, kUid, kGid, kMode}},

    // ---- configuration
    {"config get", "", "[<instance>] <key>", Group::Configuration, &configGet,
     "Print one key",
     "Without an instance: a key of the server.",
     {{"lxmgr config get web1 limits.memory", ""}, {"lxmgr config get web1 limits.cpu -e", "Also if a profile sets it."}},
     {kExpanded, kProperty}},
    {"config set", "", "[<instance>] <key>=<value>...", Group::Configuration, &configSet,
     "Set keys",
     "Limits act at once on a running instance; the manual says of each key when it acts. '-' as value reads it from standard input. Without an instance: keys of the server.",
     {{"lxmgr config set web1 limits.memory=1GiB limits.cpu=2", ""},
      {"lxmgr config set web1 user.note=- < note.txt", "A value from a file."},
      {"lxmgr config set web1 -p description='The shop'", "A field of the instance."}},
     {kProperty}},
    {"config unset", "", "[<instance>] <key>...", Group::Configuration, &configUnset,
     "Remove keys",
     "What a profile says counts again.",
     {{"lxmgr config unset web1 limits.memory", ""}},
     {kProperty}},
    {"config show", "", "[<instance>[/<snapshot>]]", Group::Configuration, &configShow,
     "Print the configuration as YAML",
     "Without an instance: the server's.",
     {{"lxmgr config show web1", ""}, {"lxmgr config show web1 -e", "With what the profiles bring."}, {"lxmgr config show web1/snap0", "As it was then."}},
     {kExpanded, kShowFormat}},
    {"config edit", "", "[<instance>]", Group::Configuration, &configEdit,
     "Edit the configuration as YAML",
     "In $VISUAL, $EDITOR or vi; from standard input where that is no terminal.",
     {{"lxmgr config edit web1", ""}, {"lxmgr config edit web1 < web1.yaml", ""}},
     {}},
    {"config device add", "", "<instance> <device> <type> [<key>=<value>...]", Group::Configuration, &deviceAdd,
     "Add a device to an instance",
     "The instance has to be stopped. Types and their keys are in the manual, section DEVICES.",
     {{"lxmgr config device add web1 src disk source=/home/alice/src path=/src", "A folder of the host."},
      {"lxmgr config device add web1 eth1 nic network=lxmgrbr0", "A second network card."}},
     {}},
    {"config device get", "", "<instance> <device> <key>", Group::Configuration, &deviceGet,
     "Print one key of a device",
     "",
     {{"lxmgr config device get web1 src source", ""}},
     {}},
    {"config device list", "ls", "<instance>", Group::Configuration, &deviceList,
     "List the devices of an instance",
     "Only its own; 'lxmgr config show -e' has those of its profiles too.",
     {{"lxmgr config device list web1", ""}},
     {}},
    {"config device remove", "rm", "<instance> <device>...", Group::Configuration, &deviceRemove,
     "Remove devices from an instance",
     "",
     {{"lxmgr config device remove web1 src", ""}},
     {}},
    {"config device set", "", "<instance> <device> <key>=<value>...", Group::Configuration, &deviceSet,
     "Set keys of a device",
     "",
     {{"lxmgr config device set web1 src readonly=true", ""}},
     {}},
    {"config device show", "", "<instance>", Group::Configuration, &deviceShow,
     "Print the devices of an instance as YAML",
     "",
     {{"lxmgr config device show web1", ""}},
     {kExpanded, kShowFormat}},
    {"config device unset", "", "<instance> <device> <key>...", Group::Configuration, &deviceUnset,
     "Remove keys of a device",
     "",
     {{"lxmgr config device unset web1 src readonly", ""}},
     {}},

    // ---- images
    {"image list", "ls", "[<filter>...]", Group::Images, &imageList,
     "List images",
     "A filter is the beginning of an alias or fingerprint, or <property>=<value>.",
     {{"lxmgr image list", ""}, {"lxmgr image list os=debian -c lfs", ""}, {"lxmgr image list -f json", ""}},
     {kColumnsFlag, kFormatFlag}},
    {"image info", "show", "<image>", Group::Images, &imageInfo,
     "Show an image",
     "",
     {{"lxmgr image info debian/13", ""}},
     {{"--format", "format", "json or yaml: what the API says."}}},
    {"image import", "", "<tarball> [<rootfs>] [<key>=<value>...]", Group::Images, &imageImport,
     "Import an image from files",
     "A tarball with metadata.yaml and rootfs/, a metadata tarball and a root file system, or a plain tarball of a root file system.",
     {{"lxmgr image import debian.tar.xz --alias my-debian", ""},
      {"lxmgr image import lxd.tar.xz rootfs.squashfs", "In two parts."}},
     {{"--alias", "alias", "A name for it.", Repeat::Yes}, {"--public", "", "Anybody who can reach the server may take it."}}},
    {"image export", "", "<image> [<target>]", Group::Images, &imageExport,
     "Write an image to a file",
     "The file is named after the fingerprint unless the target says otherwise; '-' is standard output.",
     {{"lxmgr image export debian/13 .", ""}, {"lxmgr image export debian/13 debian.tar.zst", ""}},
     {}},
    {"image delete", "rm", "<image>...", Group::Images, &imageDelete,
     "Delete images",
     "Instances made from them are not touched.",
     {{"lxmgr image delete debian/12", ""}},
     {}},
    {"image alias create", "", "<alias> <image>", Group::Images, &aliasCreate,
     "Give an image another name",
     "",
     {{"lxmgr image alias create web-base 3f2a9c10", ""}},
     {{"--description", "text", "What it is for."}}},
    {"image alias list", "ls", "[<filter>...]", Group::Images, &aliasList,
     "List the names of images",
     "",
     {{"lxmgr image alias list", ""}},
     {kColumnsFlag, kFormatFlag}},
    {"image alias delete", "rm", "<alias>...", Group::Images, &aliasDelete,
     "Remove names of images",
     "The image stays.",
     {{"lxmgr image alias delete web-base", ""}},
     {}},
    {"image alias rename", "", "<alias> <new-name>", Group::Images, &aliasRename,
     "Rename a name of an image",
     "",
     {{"lxmgr image alias rename web-base web-2026", ""}},
     {}},
    {"template list", "ls", "", Group::Images, &templateList,
     "List templates",
     "Shipped ones and those in /etc/lxmgr/templates.d.",
     {{"lxmgr template list", ""}},
     {kFormatFlag}},
    {"template show", "", "<template>", Group::Images, &templateShow,
     "Print a template",
     "",
     {{"lxmgr template show debian", ""}},
     {kShowFormat}},
    {"template build", "", "<template>[/<release>]", Group::Images, &templateBuild,
     "Build an image from a template",
     "'lxmgr launch' does this by itself the first time; here an image is built again, with what the archive has today.",
     {{"lxmgr template build debian/13", ""},
      {"lxmgr template build debian -o mirror=http://deb.example.org/debian -o suite=trixie", ""}},
     {kBuildOption}},

    // ---- objects
    {"profile list", "ls", "", Group::Objects, &profileList,
     "List profiles",
     "",
     {{"lxmgr profile list", ""}},
     {kColumnsFlag, kFormatFlag}},
    {"profile show", "", "<profile>", Group::Objects, &profileShow,
     "Print a profile as YAML",
     "",
     {{"lxmgr profile show default", ""}},
     {kShowFormat}},
    {"network list", "ls", "", Group::Objects, &networkList,
     "List networks",
     "",
     {{"lxmgr network list", ""}},
     {kColumnsFlag, kFormatFlag}},
    {"network show", "", "<network>", Group::Objects, &networkShow,
     "Print a network as YAML",
     "",
     {{"lxmgr network show lxmgrbr0", ""}},
     {kShowFormat}},
    {"storage create", "", "<pool> <driver> [<key>=<value>...]", Group::Objects, &storageCreate,
     "Create a storage pool, or take one over",
     "Without a source the pool is made below the state folder: a folder, or with btrfs a file with a btrfs in it. A source is an empty folder or one that is made, and with btrfs a block device as well, which is formatted (source.wipe=true where something is on it).\n\n"
     "A source that is a pool already, detached here or brought from another host, is taken over with what is in it.",
     {{"lxmgr storage create fast btrfs size=20GiB", "In a file that can grow."},
      {"lxmgr storage create disk2 btrfs source=/dev/sdb", "On a disk of its own."},
      {"lxmgr storage create data dir source=/srv/lxmgr", "In a folder."}},
     {kDescriptionFlag}},
    {"storage list", "ls", "", Group::Objects, &storageList,
     "List storage pools",
     "",
     {{"lxmgr storage list", ""}},
     {kColumnsFlag, kFormatFlag}},
    {"storage show", "", "<pool>", Group::Objects, &storageShow,
     "Print a storage pool as YAML",
     "",
     {{"lxmgr storage show default", ""}, {"lxmgr storage show default --resources", "How full it is."}},
     {{"--resources", "", "Space used and left."}, kShowFormat}},
    {"storage info", "", "<pool>", Group::Objects, &storageInfo,
     "Print how full a storage pool is and what uses it",
     "",
     {{"lxmgr storage info default", ""}},
     {{"--bytes", "", "Sizes as plain numbers."}}},
    {"storage drivers", "", "", Group::Objects, &storageDrivers,
     "List storage drivers and what keeps this host from using them",
     "",
     {{"lxmgr storage drivers", ""}},
     {kFormatFlag}},
    {"storage get", "", "<pool> <key>", Group::Objects, &storageGet,
     "Print one key of a storage pool",
     "",
     {{"lxmgr storage get fast size", ""}},
     {kPoolProperty}},
    {"storage set", "", "<pool> <key>=<value>...", Group::Objects, &storageSet,
     "Set keys of a storage pool",
     "A pool in a file grows at once with its size; it cannot be made smaller.",
     {{"lxmgr storage set fast size=40GiB", ""}, {"lxmgr storage set fast -p description='Quick and small'", ""}},
     {kPoolProperty}},
    {"storage unset", "", "<pool> <key>...", Group::Objects, &storageUnset,
     "Remove keys of a storage pool",
     "",
     {{"lxmgr storage unset fast user.owner", ""}},
     {kPoolProperty}},
    {"storage edit", "", "<pool>", Group::Objects, &storageEdit,
     "Edit the configuration of a storage pool as YAML",
     "In the editor that VISUAL or EDITOR names, or from standard input.",
     {{"lxmgr storage edit fast", ""}, {"lxmgr storage edit fast < fast.yaml", ""}},
     {}},
    {"storage delete", "rm", "<pool>...", Group::Objects, &storageDelete,
     "Delete storage pools that nothing uses",
     "A folder or device that was given as source stays, empty; what lxmgr made itself is removed.",
     {{"lxmgr storage delete fast", ""}},
     {}},
    {"storage detach", "", "<pool>", Group::Objects, &storageDetach,
     "Let go of a storage pool without losing what is in it",
     "Its instances, which must not run, are forgotten with it; nothing of them is removed. The same source given to 'storage create', here or on another host, takes the pool over again.",
     {{"lxmgr storage detach disk2", "The disk can be taken out now."}},
     {}},
    {"operation list", "ls", "", Group::Objects, &operationList,
     "List what the daemon is doing",
     "",
     {{"lxmgr operation list", ""}},
     {kColumnsFlag, kFormatFlag}},
    {"operation show", "", "<operation>", Group::Objects, &operationShow,
     "Print an operation as YAML",
     "",
     {{"lxmgr operation show 0b5c3c35-5f0c-4b6e-8f19-3b2e5d1b9d8e", ""}},
     {kShowFormat}},
    {"operation delete", "cancel,rm", "<operation>...", Group::Objects, &operationDelete,
     "Cancel operations",
     "What was half done is undone.",
     {{"lxmgr operation delete 0b5c3c35-5f0c-4b6e-8f19-3b2e5d1b9d8e", ""}},
     {}},

    // ---- client
    {"monitor", "", "", Group::Client, &monitor,
     "Print what happens as it happens",
     "Until interrupted. One YAML document or JSON line an event.",
     {{"lxmgr monitor --pretty", "One line an event."},
      {"lxmgr monitor --type lifecycle -f json", "What happens to instances, for a program."}},
     {{"--type", "type", "operation, lifecycle or logging; more than one is possible.", Repeat::Yes},
      {"--pretty", "", "One line an event."},
      {"--loglevel", "level", "With logging: debug, info, warning or error and above."},
      {"-f,--format", "format", "yaml or json."},
      {"--all-projects", "", "Of every project."}}},
    {"query", "", "<path>", Group::Client, &query,
     "Send a request to the API",
     "Prints what comes back as the metadata of the answer.",
     {{"lxmgr query /1.0/instances/web1/state", ""},
      {"lxmgr query -X PUT -d '{\"action\":\"stop\",\"force\":true}' --wait /1.0/instances/web1/state", ""}},
     {{"-X,--request", "method", "GET unless told."}, {"-d,--data", "json", "The body; '-' reads standard input."},
      {"--raw", "", "The whole answer as it came."}, {"--wait", "", "Wait for the operation and print its end."}}},
    {"version", "", "", Group::Client, &version,
     "Print the versions of client and server",
     "The server's only where it runs; none is started for it.",
     {{"lxmgr version", ""}},
     {}},
    {"completion", "", "<shell>", Group::Client, &completion,
     "Print a completion script for bash, zsh or fish",
     "",
     {{"lxmgr completion bash > /etc/bash_completion.d/lxmgr", ""},
      {"lxmgr completion zsh > ~/.zfunc/_lxmgr", ""},
      {"lxmgr completion fish > ~/.config/fish/completions/lxmgr.fish", ""}},
     {}},
    {"docs", "", "<file>", Group::Client, &docs,
     "Fill the tables of a manual page",
     "Copies the file to standard output with every line '@TABLE name@' replaced by that table; the manual is built with it. The tables: commands, command-list, global-flags, columns, instance-keys, device-keys, pool-keys, exit-statuses, environment, files.",
     {{"lxmgr docs man/lxmgr.1.in > lxmgr.1", ""}},
     {}},
    {"help", "", "[<command>...]", Group::Client, &help,
     "Show the help of a command",
     "",
     {{"lxmgr help launch", ""}, {"lxmgr help config device", "A family of commands."}},
     {}},
};
// clang-format on

template <std::size_t N> consteval bool fits(const Command (&rows)[N])
{
    for (const Command &row : rows)
        if (!row.run || row.summary.empty() || row.summary.ends_with('.') || row.examples[0].line.empty())
            return false;
    return true;
}
static_assert(fits(kCommands), "every command needs a handler, a summary without a full stop and an example");

} // namespace

std::span<const Command> commands() { return kCommands; }
std::span<const CommandGroup> commandGroups() { return kGroups; }
std::span<const Flag> globalFlags() { return kGlobalFlags; }

std::span<const Flag> flagsOf(const Command &command)
{
    const auto end = std::ranges::find_if(command.flags, [](const Flag &flag) { return flag.names.empty(); });
    return {std::begin(command.flags), end};
}

std::span<const Example> examplesOf(const Command &command)
{
    const auto end =
        std::ranges::find_if(command.examples, [](const Example &example) { return example.line.empty(); });
    return {std::begin(command.examples), end};
}

std::string_view groupTitle(Group group)
{
    switch (group) {
    case Group::Instances:
        return "Instances";
    case Group::Inside:
        return "Inside an instance";
    case Group::Configuration:
        return "Configuration";
    case Group::Images:
        return "Images and templates";
    case Group::Objects:
        return "Profiles, networks, storage, operations";
    case Group::Client:
        return "Others";
    }
    return "";
}

std::string_view longName(const Flag &flag) { return flag.names.substr(flag.names.find("--") + 2); }

std::string_view lastWord(std::string_view path) { return path.substr(path.rfind(' ') + 1); }

WordCount wordCount(std::string_view arguments)
{
    WordCount count;
    bool tail = false;
    for (const std::string &word : words(arguments)) {
        if (word == "[--]") {
            tail = true;
            continue;
        }
        if (tail && !count.tailFrom)
            count.tailFrom = count.most;
        const bool repeated = word.find("...") != std::string::npos;
        if (word.front() != '[')
            ++count.least;
        count.most = repeated || count.most == SIZE_MAX ? SIZE_MAX : count.most + 1;
    }
    return count;
}

} // namespace lxmgr::cli

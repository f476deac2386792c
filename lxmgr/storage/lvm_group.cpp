#include "storage/lvm_group.h"

#include "base/text.h"
#include "kernel/loop.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "storage/lvm_command.h"
#include "storage/tree.h"

#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::storage::lvm
{

namespace
{

constexpr std::string_view kPrefix = "lxmgr-";
constexpr std::uint64_t kHomeSize = 1ULL << 30; ///< Thin: names, metadata of images and backup.yaml need little.

bool isTagged(const Volume &volume) { return std::ranges::count(volume.tags, kTag) != 0; }

/// A file as a device for as long as this lives, or until something of its group is active.
struct Attached {
    loop::Device loop;
    std::string path; ///< Of the device; "" for a group that was named.
};

Result<Attached> attach(const Backing &backing)
{
    if (backing.kind == Backing::Kind::Device)
        return Attached{{}, backing.source};
    if (backing.kind != Backing::Kind::File)
        return Attached{};
    // Attached once more it would be a second device of the same content.
    loop::Device loop = TRY(loop::findFor(backing.source));
    if (!loop.fd)
        loop = TRY(loop::attach(TRY(sys::open(backing.source, O_RDWR))));
    std::string path = loop.path;
    return Attached{std::move(loop), std::move(path)};
}

/// What is at the path; "" is nothing.
Result<Attached> attach(const std::string &path)
{
    if (path.empty())
        return Attached{};
    const struct stat info = TRY(sys::fstatat(sys::cwd(), path, 0));
    Backing backing;
    backing.kind = S_ISREG(info.st_mode) ? Backing::Kind::File : Backing::Kind::Device;
    backing.source = path;
    return attach(backing);
}

Status missingIsFine(Status done) { return !done && done.error().code == Code::NotFound ? Status() : done; }

Result<std::vector<Volume>> volumesOrNone(const std::string &group)
{
    auto volumes = listVolumes(group);
    return !volumes && volumes.error().code == Code::NotFound ? Result<std::vector<Volume>>(std::vector<Volume>()) : volumes;
}

Result<bool> groupHasTag(const std::string &group)
{
    const auto tags = run("vgs", {"--noheadings", "-o", "vg_tags", group});
    if (!tags && tags.error().code == Code::NotFound)
        return false;
    return std::ranges::count(split(trimmed(TRY(tags)), ','), kTag) != 0;
}

Status makeGroup(const std::string &device, const std::string &group, Wipe wipe)
{
    std::vector<std::string> words;
    if (wipe == Wipe::Yes)
        words = {"--yes", "--force", "--force"};
    words.push_back(device);
    TRY(command("pvcreate", words, device));
    Status made = command("vgcreate", {"--addtag", kTag, group, device}, device);
    if (!made)
        (void)command("pvremove", {device}, device); // what could not be made is what is told
    return made;
}

Status makeThinPool(const Backing &backing, Bytes metadataSize)
{
    std::vector<std::string> words{"--yes", "--type", "thin-pool", "--extents", "100%FREE", "--addtag", kTag, "--name",
                                   backing.thinPool};
    if (metadataSize.count != 0)
        words.insert(words.end(), {"--poolmetadatasize", std::to_string(metadataSize.count) + "b"});
    words.push_back(backing.group);
    return command("lvcreate", words);
}

} // namespace

std::string volumeOf(const std::string &id) { return std::string(kPrefix) + id; }

std::optional<std::string> idOf(const std::string &volume)
{
    const std::string id = volume.starts_with(kPrefix) ? volume.substr(kPrefix.size()) : std::string();
    const bool good = id.size() == 16 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
    return good ? std::optional(id) : std::nullopt;
}

std::string devicePath(const std::string &group, const std::string &volume) { return "/dev/" + group + "/" + volume; }

Result<bool> hasGroup(const std::string &group)
{
    const auto found = run("vgs", {"--noheadings", "-o", "vg_name", group});
    if (!found && found.error().code == Code::NotFound)
        return false;
    (void)TRY(found);
    return true;
}

Result<bool> isHome(const std::string &group, const std::string &path)
{
    const Attached device = TRY(attach(path));
    const auto volumes = TRY(volumesOrNone(group));
    return std::ranges::any_of(volumes, [](const Volume &each) { return each.name == kHome; });
}

Result<std::string> thinPoolOf(const std::string &group, const std::string &path)
{
    const Attached device = TRY(attach(path));
    return TRY(findVolume(group, kHome)).pool;
}

Result<std::string> groupOn(const std::string &path)
{
    const Attached device = TRY(attach(path));
    const auto found = run("pvs", {"--noheadings", "-o", "vg_name", device.path}, device.path);
    if (!found && found.error().code != Code::Unsupported)
        return std::string(); // "Failed to find physical volume": another thing, or nothing, is on it
    return std::string(trimmed(TRY(found)));
}

Status makePlace(const Backing &backing, Wipe wipe, Bytes metadataSize)
{
    const Attached device = TRY(attach(backing));
    if (!device.path.empty())
        TRY(makeGroup(device.path, backing.group, wipe));
    const auto volumes = TRY(listVolumes(backing.group));
    if (std::ranges::none_of(volumes, [&](const Volume &each) { return each.name == backing.thinPool; }))
        TRY(makeThinPool(backing, metadataSize));
    TRY(command("lvcreate", {"--yes", "--virtualsize", std::to_string(kHomeSize) + "b", "--thinpool",
                             backing.group + "/" + backing.thinPool, "--addtag", kTag, "--setactivationskip", "y",
                             "--ignoreactivationskip", "--name", kHome}));
    const std::string home = devicePath(backing.group, kHome);
    TRY(tool("mkfs.ext4", "e2fsprogs", {"-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", home}));
    const Fd fs = TRY(mount::create("ext4", {{"source", home}}, 0));
    return sys::unlinkat(fs, "lost+found", AT_REMOVEDIR); // an empty folder is what a pool begins with
}

Status mountPlace(const Backing &backing)
{
    const Attached device = TRY(attach(backing)); // held until the volume that is mounted holds it
    Status active = command("lvchange", {"--activate", "y", "--ignoreactivationskip", backing.group + "/" + kHome});
    if (!active && active.error().code == Code::NotFound)
        return std::move(active.error()).as(Code::Unavailable).hint("the pool's volume group is missing");
    TRY(active);
    const Fd fs = TRY_IN("volume group " + quoted(backing.group),
                         mount::create("ext4", {{"source", devicePath(backing.group, kHome)}, {"discard", ""}}, 0));
    return sys::move_mount(fs, TRY(makeFolderPath(backing.folder, 0700)), "");
}

Status leavePlace(const Backing &backing)
{
    if (TRY(groupHasTag(backing.group)))
        return missingIsFine(command("vgchange", {"--activate", "n", backing.group}));
    std::vector<std::string> words{"--activate", "n"};
    for (const Volume &volume : TRY(volumesOrNone(backing.group)))
        if (volume.name == kHome || idOf(volume.name) || (volume.name == backing.thinPool && isTagged(volume)))
            words.push_back(backing.group + "/" + volume.name);
    return words.size() == 2 ? Status() : missingIsFine(command("lvchange", words));
}

Status removePlace(const Backing &backing)
{
    if (backing.kind == Backing::Kind::File && ::access(backing.source.c_str(), F_OK) != 0)
        return {};
    const Attached device = TRY(attach(backing));
    const bool isOurs = TRY(groupHasTag(backing.group));
    std::vector<std::string> words{"--yes"};
    std::string thinPool;
    for (const Volume &volume : TRY(volumesOrNone(backing.group))) {
        if (volume.name == kHome || idOf(volume.name))
            words.push_back(backing.group + "/" + volume.name);
        else if (volume.name == backing.thinPool && isTagged(volume))
            thinPool = backing.group + "/" + volume.name;
    }
    if (words.size() > 1)
        TRY(missingIsFine(command("lvremove", words)));
    if (!thinPool.empty())
        TRY(missingIsFine(command("lvremove", {"--yes", thinPool})));
    if (!isOurs)
        return {};
    TRY(missingIsFine(command("vgremove", {"--yes", backing.group})));
    if (!device.path.empty())
        (void)command("pvremove", {device.path}, device.path); // its label alone holds nobody up
    return {};
}

Status growPlace(const Backing &backing)
{
    const Attached device = TRY(attach(backing));
    if (device.path.empty())
        return {};
    TRY(loop::takeNewSize(device.path));
    TRY(command("pvresize", {device.path}, device.path));
    const std::string free{trimmed(TRY(run("vgs", {"--noheadings", "-o", "vg_free_count", backing.group})))};
    return free == "0" ? Status()
                       : command("lvextend", {"--extents", "+100%FREE", backing.group + "/" + backing.thinPool});
}

} // namespace lxmgr::storage::lvm

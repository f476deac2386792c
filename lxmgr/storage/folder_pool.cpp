#include "storage/folder_pool.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "kernel/sys.h"
#include "storage/project_quota.h"
#include "storage/tree.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

constexpr const char *kForgotten = "forgotten"; ///< In an image folder: deleted, but a volume is still layered on it.

Status checkFingerprint(const std::string &text)
{
    const bool good = text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
    return good ? Status()
                : Status(Error(Code::Invalid, quoted(text) + " is not an image fingerprint (64 hex digits)"));
}

/// The text of the link kImageOf. Volumes of older versions have a file there.
Result<std::string> readImageOf(const Fd &at, const std::string &name)
{
    auto text = sys::readlinkat(at, name);
    if (!text && text.error().errnum == EINVAL)
        return readSmallFile(at, name, 64);
    if (!text && text.error().errnum == ENOENT)
        return std::move(text.error()).as(Code::NotFound);
    return text;
}

/// Whether a commit of the database also commits earlier renames in `pool`.
bool sharesJournal(const Fd &pool, const std::string &databaseDir)
{
    struct stat ours {
    };
    struct stat theirs {
    };
    struct statfs kind {
    };
    if (::fstat(pool.get(), &ours) < 0 || ::stat(databaseDir.c_str(), &theirs) < 0 || ::fstatfs(pool.get(), &kind) < 0)
        return false;
    return ours.st_dev == theirs.st_dev && (kind.f_type == EXT4_SUPER_MAGIC || kind.f_type == XFS_SUPER_MAGIC);
}

} // namespace

Scratch::Scratch(std::unique_ptr<State> state) : m_state(std::move(state)) {}
Scratch::Scratch(Scratch &&) noexcept = default;
Scratch &Scratch::operator=(Scratch &&) noexcept = default;
Scratch::~Scratch()
{
    // A failure leaves it in scratch, where the next prepare() finds it.
    if (!m_state)
        return;
    m_state->directory.reset(); // or it would be in use
    (void)m_state->trash->discard(m_state->parent, m_state->name);
}
const std::string &Scratch::path() const { return m_state->path; }
const Fd &Scratch::directory() const { return m_state->directory; }
std::unique_ptr<Scratch::State> Scratch::take() && { return std::move(m_state); }

std::string volumeName(const std::string &project, const std::string &name)
{
    return project == "default" ? name : project + "_" + name;
}

std::string customVolumeName(const std::string &project, const std::string &name) { return project + ":" + name; }

Status makePlainRoot(const Fd &folder, const Fd *image)
{
    const Fd rootfs = TRY(makeFolder(TRY(makeFolder(folder, kTree, 0700)), "rootfs", 0755));
    return image ? copyTree(TRY(openFolder(*image, "rootfs")), rootfs) : Status();
}

Status copyPlainRoot(const Fd &from, const Fd &folder, InUse inUse)
{
    const Fd rootfs = TRY(openFolder(TRY(openFolder(from, kTree)), "rootfs"));
    const Fd copy = TRY(makeFolder(TRY(makeFolder(folder, kTree, 0700)), "rootfs", 0700));
    return copyTree(rootfs, copy, inUse == InUse::Yes ? Source::Changing : Source::Still);
}

RootTree plainRoot(const std::string &path)
{
    return {RootTree::Kind::Directory, path + "/" + kTree + "/rootfs", {}, {}, {}};
}

Error unsuitable(const FolderPool &pool, const std::string &why)
{
    return {Code::Unsupported, "storage pool " + quoted(pool.name()) + " on " + quoted(pool.directory()) + ": " + why};
}

Status FolderPool::prepare()
{
    const std::lock_guard lock(m_mutex);
    Folders folders;
    // The parents may be shared with others and keep their modes; the pool itself nobody may look into.
    const std::size_t slash = m_place.directory.rfind('/');
    const Fd parent = TRY_IN("storage pool " + quoted(m_place.name),
                             makeFolderPath(slash == 0 ? "/" : m_place.directory.substr(0, slash), 0711));
    folders.pool = TRY(makeFolder(parent, m_place.directory.substr(slash + 1), 0700));
    TRY(checkFileSystem(folders.pool));
    folders.images = TRY(makeFolder(folders.pool, "images", 0700));
    folders.volumes = TRY(makeFolder(folders.pool, volumesFolder(), 0700));
    folders.aside = TRY(makeFolder(folders.pool, "aside", 0700));
    folders.scratch = TRY(makeFolder(folders.pool, "scratch", 0700));
    folders.trash = std::make_shared<Trash>(TRY(makeFolder(folders.pool, "trash", 0700)), reclaimer());
    for (const std::string &name : TRY(namesIn(folders.scratch)))
        TRY(folders.trash->discard(folders.scratch, name));
    folders.trash->kick();
    folders.flushRenames = !sharesJournal(folders.pool, m_place.databaseDir);
    m_folders = std::move(folders);
    Status prepared = moveOldRoots();
    if (prepared)
        prepared = mendInterruptedRestores();
    if (prepared)
        prepared = prepareOwn(m_folders.pool);
    if (prepared)
        prepared = mendLimits();
    if (!prepared)
        m_folders = {};
    return prepared;
}

/// Older versions had a plain tree directly in the folder of its volume.
Status FolderPool::moveOldRoots() const
{
    for (const std::string &volume : TRY(namesIn(m_folders.volumes))) {
        const Fd folder = TRY(openFolder(m_folders.volumes, volume));
        if (exists(folder, "rootfs"))
            TRY_IN("volume " + quoted(volume),
                   renameNew(folder, "rootfs", TRY(makeFolder(folder, kTree, 0700)), "rootfs"));
    }
    return {};
}

Status FolderPool::needPrepared() const
{
    return m_folders.pool
               ? Status()
               : Status(Error(Code::WrongState, "storage pool " + quoted(m_place.name) + " is not prepared"));
}

Result<std::string> FolderPool::checkedVolume(const std::string &project, const std::string &name) const
{
    TRY(needPrepared());
    TRY(checkObjectName("project", project));
    TRY(m_place.kind == VolumeKind::Custom ? checkObjectName("storage volume", name) : checkInstanceName(name));
    return folderName(project, name);
}

std::string FolderPool::folderName(const std::string &project, const std::string &name) const
{
    return m_place.kind == VolumeKind::Custom ? customVolumeName(project, name) : volumeName(project, name);
}

const char *FolderPool::volumesFolder() const { return m_place.kind == VolumeKind::Custom ? "volumes" : "containers"; }

Error FolderPool::withFreeSpace(Error error) const
{
    if (error.code != Code::NoSpace)
        return error;
    const auto free = space();
    if (!free)
        return error;
    std::string text =
        humanBytes(free->available) + " free in storage pool " + quoted(m_place.name) + " at " + m_place.directory;
    if (free->inodesTotal != 0 && free->inodesFree < 1000)
        text += ", " + std::to_string(free->inodesFree) + " inodes free";
    return std::move(error).hint(text);
}

/// Of a copy that was cut off in `scratch`, which is gone when this returns: whoever asks next, the caller too, finds free
/// what it had taken. `need`: what the copy takes, as a walk says; asked only here.
Error FolderPool::withMissing(Error error, Scratch scratch, const Need &need) const
{
    if (error.code != Code::NoSpace)
        return error;
    (void)m_folders.trash->empty(); // what is being removed at this moment counts as free
    const auto takes = need();
    const auto begun = treeUsage(scratch.directory());
    const auto free = space();
    if (takes && begun && free && takes->count > begun->count + free->available.count)
        error = std::move(error).hint("it takes some " + humanBytes(*takes) + ", " +
                                      humanBytes(Bytes{takes->count - begun->count - free->available.count}) + " more than there are");
    {
        const Scratch cutOff = std::move(scratch);
    }
    (void)m_folders.trash->empty();
    return withFreeSpace(std::move(error));
}

/// A rename is durable once its folder is. ext4 and xfs have one journal, in order: the database's own commit that
/// follows takes our rename along when it lies on the same file system, and a create stays below a millisecond.
Status FolderPool::flushRename(const Fd &folder) const
{
    if (!m_folders.flushRenames || ::fsync(folder.get()) == 0)
        return {};
    return withFreeSpace(Error::fromErrno(errno, "fsync", m_place.directory));
}

/// For after renames only: with one journal the database's commit does it.
Status FolderPool::flushRenames() const { return m_folders.flushRenames ? flush() : Status(); }

Status FolderPool::flush() const
{
    if (::syncfs(m_folders.pool.get()) < 0)
        return withFreeSpace(Error::fromErrno(errno, "syncfs", m_place.directory));
    return {};
}

Status FolderPool::makeImageFolder(const Fd &at, const std::string &name) const
{
    (void)TRY(makeFolder(at, name, 0700));
    return {};
}

Result<Fd> FolderPool::openImageContent(const Fd &image) const { return sys::openat(image, ".", O_RDONLY | O_DIRECTORY); }

Result<Fd> FolderPool::openTree(const Fd &folder) const { return openFolder(folder, kTree); }

Result<Scratch> FolderPool::newScratch()
{
    TRY(needPrepared());
    std::string name = randomName();
    if (Status made = makeImageFolder(m_folders.scratch, name); !made)
        return withFreeSpace(std::move(made.error()));
    return scratchNamed(std::move(name), imageContent());
}

/// A scratch folder that becomes a volume or a snapshot.
Result<Scratch> FolderPool::newPlainScratch() const
{
    std::string name = randomName();
    if (auto made = makeFolder(m_folders.scratch, name, 0700); !made)
        return withFreeSpace(std::move(made.error()));
    return scratchNamed(std::move(name), {});
}

/// `content`: the path of what is filled in it, "" for itself.
Result<Scratch> FolderPool::scratchNamed(std::string name, const std::string &content) const
{
    auto state = std::make_unique<Scratch::State>();
    state->trash = m_folders.trash;
    state->parent = TRY(openFolder(m_folders.pool, "scratch"));
    state->path = m_place.directory + "/scratch/" + name + (content.empty() ? "" : "/") + content;
    state->directory = TRY(openFolder(state->parent, content.empty() ? name : name + "/" + content));
    state->name = std::move(name);
    return Scratch(std::move(state));
}

/// Moves a finished folder to its place; it goes to the trash if that is taken.
Status FolderPool::moveIn(Scratch scratch, const Fd &to, const std::string &name) const
{
    const auto state = std::move(scratch).take();
    Status moved = renameNew(state->parent, state->name, to, name);
    if (!moved)
        (void)state->trash->discard(state->parent, state->name); // the next prepare() finds what stays
    return moved;
}

Status FolderPool::addImage(const std::string &fingerprint, const Fill &fill)
{
    TRY(checkFingerprint(fingerprint));
    if (hasImage(fingerprint))
        return {};
    Scratch tree = TRY(newScratch());
    if (!isForgotten(fingerprint))
        if (Status filled = fill(tree.directory()); !filled)
            return withFreeSpace(std::move(filled.error()));
    return publishImage(fingerprint, std::move(tree));
}

Status FolderPool::addImage(const std::string &fingerprint, Scratch tree)
{
    TRY(checkFingerprint(fingerprint));
    return publishImage(fingerprint, std::move(tree));
}

Status FolderPool::publishImage(const std::string &fingerprint, Scratch tree)
{
    const bool remembered = isForgotten(fingerprint);
    if (!remembered)
        TRY(flush());
    const std::lock_guard lock(m_mutex);
    if (isForgotten(fingerprint)) {
        const Fd image = TRY(openFolder(m_folders.images, fingerprint));
        if (::unlinkat(image.get(), kForgotten, 0) < 0 && errno != ENOENT)
            return Error::fromErrno(errno, "remove", kForgotten);
        return flushRename(image);
    }
    if (remembered)
        return Error(Code::Unavailable, "image " + fingerprint + " was just removed; try again");
    const Status moved = moveIn(std::move(tree), m_folders.images, fingerprint);
    if (!moved && moved.error().code == Code::AlreadyExists)
        return {}; // somebody else was quicker; the name says that it is the same
    TRY(moved);
    TRY(protectImage(TRY(openFolder(m_folders.images, fingerprint)), Protection::On));
    return flushRename(m_folders.images);
}

bool FolderPool::isForgotten(const std::string &fingerprint) const
{
    return m_folders.images && exists(m_folders.images, fingerprint + "/" + kForgotten);
}

bool FolderPool::hasImage(const std::string &fingerprint) const
{
    return checkFingerprint(fingerprint) && m_folders.images && exists(m_folders.images, fingerprint) &&
           !isForgotten(fingerprint);
}

Result<Fd> FolderPool::openImage(const std::string &fingerprint) const
{
    TRY(needPrepared());
    TRY(checkFingerprint(fingerprint));
    return openImageContent(TRY(openFolder(m_folders.images, fingerprint)));
}

Result<std::vector<std::string>> FolderPool::listImages() const
{
    TRY(needPrepared());
    auto names = TRY(namesIn(m_folders.images));
    std::erase_if(names, [&](const std::string &name) { return !hasImage(name); });
    std::ranges::sort(names);
    return names;
}

Result<bool> FolderPool::imageInUse(const std::string &fingerprint) const
{
    if (!layersOnImage())
        return false;
    bool used = false;
    TRY(forEachHolder([&](const Fd &folder) -> Status {
        const auto origin = readImageOf(folder, kImageOf);
        used = used || (origin && *origin == fingerprint);
        return {};
    }));
    return used;
}

/// With the mutex held.
Status FolderPool::dropIfUnused(const std::string &fingerprint)
{
    if (!isForgotten(fingerprint) || TRY(imageInUse(fingerprint)))
        return {};
    return m_folders.trash->discard(m_folders.images, fingerprint);
}

Status FolderPool::deleteImage(const std::string &fingerprint)
{
    TRY(needPrepared());
    TRY(checkFingerprint(fingerprint));
    const std::lock_guard lock(m_mutex);
    if (!hasImage(fingerprint))
        return {};
    const Fd image = TRY(openFolder(m_folders.images, fingerprint));
    if (!TRY(imageInUse(fingerprint))) {
        TRY(protectImage(image, Protection::Off));
        return m_folders.trash->discard(m_folders.images, fingerprint);
    }
    return writeNewFile(image, kForgotten, "");
}

Status FolderPool::makeVolume(const Fd &folder, const std::optional<std::string> &image) const
{
    if (!image)
        return makeRoot(folder, nullptr);
    TRY(checkFingerprint(*image));
    const Fd imageFolder = TRY_IN("image " + *image, openFolder(m_folders.images, *image));
    TRY(sys::symlinkat(*image, folder, kImageOf));
    TRY_IN("image " + *image, makeRoot(folder, &imageFolder));
    // A copied tree must be on disk before the row says so; an empty layer has nothing to lose.
    return layersOnImage() ? Status() : flush();
}

/// Made aside and renamed in, so that it is there whole or not at all.
Status FolderPool::createVolume(const std::string &project, const std::string &name,
                                const std::optional<std::string> &image)
{
    const std::string volume = TRY(checkedVolume(project, name));
    if (exists(m_folders.volumes, volume))
        return Error(Code::AlreadyExists,
                     "volume " + quoted(volume) + " exists in storage pool " + quoted(m_place.name));
    // Taken in the order of use by deleteImage: from here to the rename the image has a user that can be seen.
    std::unique_lock lock(m_mutex, std::defer_lock);
    if (layersOnImage())
        lock.lock();
    Scratch scratch = TRY(newPlainScratch());
    if (Status made = makeVolume(scratch.directory(), image); !made)
        return withMissing(std::move(made.error()), std::move(scratch), [&]() -> Result<Bytes> {
            return image ? treeUsage(TRY(openFolder(m_folders.images, *image))) : Bytes{};
        });
    TRY(failpoint("volume.create.made"));
    TRY(moveIn(std::move(scratch), m_folders.volumes, volume));
    return flushRename(m_folders.volumes);
}

bool FolderPool::hasVolume(const std::string &project, const std::string &name) const
{
    const auto volume = checkedVolume(project, name);
    return volume && exists(m_folders.volumes, *volume);
}

Result<std::vector<std::string>> FolderPool::listVolumes() const
{
    TRY(needPrepared());
    auto names = TRY(namesIn(m_folders.volumes));
    std::ranges::sort(names);
    return names;
}

Status FolderPool::forEachHolder(const std::function<Status(const Fd &folder)> &visit) const
{
    for (const Fd *parent : {&m_folders.volumes, &m_folders.aside})
        for (const std::string &name : TRY(namesIn(*parent)))
            TRY_IN("volume " + quoted(name), visit(TRY(openFolder(*parent, name))));
    return {};
}

Result<FolderPool::Layers> FolderPool::layersOfAll(const Fd &folder) const
{
    Layers layers = TRY(layersOf(folder));
    const auto snapshots = openFolder(folder, kSnapshots);
    if (!snapshots)
        return layers;
    for (const std::string &name : TRY(namesIn(*snapshots)))
        layers.merge(TRY(layersOf(TRY(openFolder(*snapshots, name)))));
    return layers;
}

/// Moves the folder `name` of a volume, or of what lay aside, to the trash, and after it what nobody else needs. Missing
/// is no error. With the mutex held.
Status FolderPool::dropHolder(const Fd &parent, const std::string &name)
{
    const auto folder = openFolder(parent, name);
    if (!folder && folder.error().code == Code::NotFound)
        return {};
    // A damaged one can still be deleted: what it shared the next prepare() finds.
    const auto origin = folder ? readImageOf(*folder, kImageOf) : Result<std::string>(folder.error());
    const auto layers = folder ? layersOfAll(*folder) : Result<Layers>(folder.error());
    TRY(m_folders.trash->discard(parent, name));
    TRY(failpoint("volume.delete.moved"));
    TRY(flushRename(parent));
    if (layers)
        TRY(dropUnused(*layers));
    return origin ? dropIfUnused(*origin) : Status();
}

Status FolderPool::deleteVolume(const std::string &project, const std::string &name)
{
    const std::string volume = TRY(checkedVolume(project, name));
    const std::lock_guard lock(m_mutex);
    return dropHolder(m_folders.volumes, volume);
}

Status FolderPool::moveVolume(const std::string &project, const std::string &from, const std::string &toProject, const std::string &to)
{
    const std::string old = TRY(checkedVolume(project, from));
    const std::string now = TRY(checkedVolume(toProject, to));
    TRY_IN("volume " + quoted(old), renameNew(m_folders.volumes, old, m_folders.volumes, now));
    return flushRename(m_folders.volumes);
}

Status FolderPool::swapVolumes(const std::string &project, const std::string &one, const std::string &other)
{
    const std::string first = TRY(checkedVolume(project, one));
    const std::string second = TRY(checkedVolume(project, other));
    const std::lock_guard lock(m_mutex);
    for (const std::string &volume : {first, second})
        if (!exists(m_folders.volumes, volume))
            return Error(Code::NotFound, "volume " + quoted(volume) + " does not exist in storage pool " + quoted(name()));
    TRY(sys::renameat2(m_folders.volumes, first, m_folders.volumes, second, RENAME_EXCHANGE));
    return flushRename(m_folders.volumes);
}

Result<Fd> FolderPool::openVolume(const std::string &project, const std::string &name) const
{
    return openFolder(m_folders.volumes, TRY(checkedVolume(project, name)));
}

std::string FolderPool::volumeDir(const std::string &project, const std::string &name) const
{
    return m_place.directory + "/" + volumesFolder() + "/" + folderName(project, name);
}

Result<std::optional<std::string>> FolderPool::volumeImage(const std::string &project, const std::string &name) const
{
    const Fd volume = TRY(openVolume(project, name));
    auto origin = readImageOf(volume, kImageOf);
    if (!origin && origin.error().code == Code::NotFound)
        return std::optional<std::string>();
    std::string fingerprint = TRY(std::move(origin));
    if (!checkFingerprint(fingerprint))
        return Error(Code::Corrupt,
                     "volume " + quoted(name) + ": its file " + quoted(kImageOf) + " does not hold a fingerprint");
    return std::optional<std::string>(std::move(fingerprint));
}

std::string FolderPool::imagePath(const std::optional<std::string> &image) const
{
    return image ? m_place.directory + "/images/" + *image : std::string();
}

Result<RootTree> FolderPool::root(const std::string &project, const std::string &name) const
{
    const auto image = TRY(volumeImage(project, name));
    return rootOf(TRY(openVolume(project, name)), volumeDir(project, name), imagePath(image));
}

Result<Bytes> FolderPool::usageOf(const Fd &folder, Holder) const
{
    const auto counted = TRY(countedOf(folder));
    return counted ? *counted : treeUsage(TRY(openFolder(folder, ownPart(folder))));
}

Result<std::optional<Bytes>> FolderPool::countedOf(const Fd &folder) const
{
    const Fd tree = TRY(openFolder(folder, ownPart(folder)));
    const auto project = projects::projectOf(tree);
    const auto quota = project ? projects::quota(tree, *project) : Result<projects::Quota>(Error(Code::NotFound, ""));
    return quota ? std::optional(quota->used) : std::optional<Bytes>();
}

Result<std::optional<Bytes>> FolderPool::countedUsage(const std::string &project, const std::string &name) const
{
    return countedOf(TRY(openVolume(project, name)));
}

Result<Bytes> FolderPool::folderUsage(const Fd &tree)
{
    const auto project = projects::projectOf(tree);
    const auto counted = project ? projects::quota(tree, *project) : Result<projects::Quota>(projects::Quota{});
    return project && counted ? Result<Bytes>(counted->used) : treeUsage(tree);
}

Result<Bytes> FolderPool::usageOfAll(const Fd &folder) const { return treeUsage(folder); }

Result<Bytes> FolderPool::usage(const std::string &project, const std::string &name) const
{
    return usageOf(TRY(openVolume(project, name)), Holder::Volume);
}

Status FolderPool::checkStreams() const
{
    return Error(Code::Unsupported, "optimized_storage: storage pool " + quoted(m_place.name) + " is of the driver " +
                                        quoted(std::string(driverName())) + ", which has no form of its own (only btrfs has; leave it out)");
}

Result<Space> FolderPool::space() const
{
    TRY(needPrepared());
    struct statvfs info {
    };
    if (::fstatvfs(m_folders.pool.get(), &info) < 0)
        return Error::fromErrno(errno, "statvfs", m_place.directory);
    const auto bytes = [&](fsblkcnt_t blocks) { return Bytes{static_cast<std::uint64_t>(blocks) * info.f_frsize}; };
    return Space{bytes(info.f_blocks), bytes(info.f_blocks - info.f_bfree), bytes(info.f_bavail), info.f_files,
                 info.f_favail};
}

Status FolderPool::emptyTrash()
{
    TRY(needPrepared());
    return m_folders.trash->empty();
}

} // namespace lxmgr::storage

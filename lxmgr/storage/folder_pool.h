// What drivers over plain folders have in common: layout, images, snapshots, trash. A driver says how a root file
// system is made, copied and found.
#pragma once

#include "storage/driver.h"
#include "trees/copy.h"
#include "storage/trash.h"

#include <mutex>
#include <set>

namespace lxmgr::storage
{

/// In a volume folder: fingerprint of the image it was made from. The text of a symbolic link, which reaches the disk
/// with the journal; a file would be empty after a power cut.
constexpr const char *kImageOf = "image";
constexpr const char *kSnapshots = "snapshots"; ///< In a volume folder: its snapshots.
/// In a volume folder: the most its root file system may take, in bytes. The text of a symbolic link, as above.
constexpr const char *kLimit = "limit";
constexpr const char *kContainer = "container"; ///< In what newVolumeTrees() lays out: the volume itself.
/// In the folder of a volume or snapshot: what holds a root file system that is a tree of its own, as "rootfs". Not
/// that itself is swapped by a restore, as xfs touches the time of a directory that comes to another parent.
constexpr const char *kTree = "tree";
constexpr const char *kLayer = "layer"; ///< The same where it is a layer on others.

struct Scratch::State {
    std::shared_ptr<Trash> trash;
    Fd parent;
    std::string name;
    std::string path;
    Fd directory;
};

/// Where a driver keeps what it holds.
struct Place {
    std::string name;      ///< Of the pool.
    std::string directory; ///< The pool's folder, or "custom" in it.
    std::string
        databaseDir; ///< Of the database, whose commits make our renames durable if it is on the same file system.
    VolumeKind kind = VolumeKind::Instance;
    std::string treeFileSystem = {}; ///< See PoolConfig.
    std::string treeOptions = {};
};

class FolderPool : public Driver
{
public:
    explicit FolderPool(Place place) : m_place(std::move(place)) {}

    const std::string &name() const override { return m_place.name; }
    const std::string &directory() const override { return m_place.directory; }
    Status prepare() override;
    Result<Scratch> newScratch() override;
    Status addImage(const std::string &fingerprint, const Fill &fill) override;
    Status addImage(const std::string &fingerprint, Scratch tree) override;
    bool hasImage(const std::string &fingerprint) const override;
    Result<Fd> openImage(const std::string &fingerprint) const override;
    Result<std::vector<std::string>> listImages() const override;
    Status deleteImage(const std::string &fingerprint) override;
    Status createVolume(const std::string &project, const std::string &name,
                        const std::optional<std::string> &image) override;
    Result<Scratch> newVolumeTrees(const std::vector<std::string> &snapshots) override;
    Status createVolume(const std::string &project, const std::string &name, Scratch trees) override;
    bool hasVolume(const std::string &project, const std::string &name) const override;
    Result<std::vector<std::string>> listVolumes() const override;
    Status deleteVolume(const std::string &project, const std::string &name) override;
    Status moveVolume(const std::string &project, const std::string &from, const std::string &toProject, const std::string &to) override;
    Status swapVolumes(const std::string &project, const std::string &one, const std::string &other) override;
    Result<Fd> openVolume(const std::string &project, const std::string &name) const override;
    std::string volumeDir(const std::string &project, const std::string &name) const override;
    Result<RootTree> root(const std::string &project, const std::string &name) const override;
    Result<std::optional<std::string>> volumeImage(const std::string &project, const std::string &name) const override;
    Result<Bytes> usage(const std::string &project, const std::string &name) const override;
    Result<std::optional<Bytes>> countedUsage(const std::string &project, const std::string &name) const override;
    Status canLimit() const override;
    Status setLimit(const std::string &project, const std::string &name, std::optional<Bytes> limit) override;
    Result<std::optional<Bytes>> limit(const std::string &project, const std::string &name) const override;
    Status createSnapshot(const std::string &project, const std::string &name, const std::string &snapshot,
                          InUse inUse) override;
    bool hasSnapshot(const std::string &project, const std::string &name, const std::string &snapshot) const override;
    Result<std::vector<std::string>> listSnapshots(const std::string &project, const std::string &name) const override;
    Status deleteSnapshot(const std::string &project, const std::string &name, const std::string &snapshot) override;
    Status renameSnapshot(const std::string &project, const std::string &name, const std::string &from,
                          const std::string &to) override;
    Status restoreSnapshot(const std::string &project, const std::string &name, const std::string &snapshot,
                           const std::optional<std::string> &aside) override;
    Status copyVolume(const VolumeSource &from, const std::string &project, const std::string &name,
                      WithSnapshots with) override;
    bool layersOnImage() const override { return false; }
    bool sharesWithImages() const override { return layersOnImage(); }
    Status receiveVolume(const std::string &project, const std::string &name, const Arrival &arrival,
                         const Progress &progress) override;
    Result<RootTree> snapshotRoot(const std::string &project, const std::string &name,
                                  const std::string &snapshot) const override;
    Result<std::unique_ptr<Held>> hold(const std::string &project, const std::string &name, InUse inUse) override;
    Result<Fd> openSnapshot(const std::string &project, const std::string &name,
                            const std::string &snapshot) const override;
    Result<Bytes> snapshotUsage(const std::string &project, const std::string &name,
                                const std::string &snapshot) const override;
    Status setVolumeAside(const std::string &project, const std::string &name, const std::string &aside) override;
    Status bringVolumeBack(const std::string &aside, const std::string &project, const std::string &name) override;
    Status setSnapshotAside(const std::string &project, const std::string &name, const std::string &snapshot,
                            const std::string &aside) override;
    Status bringSnapshotBack(const std::string &aside, const std::string &project, const std::string &name,
                             const std::string &snapshot) override;
    Status bringContentBack(const std::string &aside, const std::string &project, const std::string &name,
                            const std::string &now) override;
    bool hasAside(const std::string &aside) const override;
    Result<std::vector<std::string>> listAside() const override;
    Result<Fd> openAside(const std::string &aside) const override;
    Result<Bytes> asideUsage(const std::string &aside) const override;
    Status deleteAside(const std::string &aside) override;
    Status checkStreams() const override;
    Status writeStream(const RootTree &, const RootTree *, const StreamTexts &, const Fd &) override { return checkStreams(); }
    Status takeStreams(const Scratch &, const std::vector<Stream> &, const Receive &) override { return checkStreams(); }
    Result<Space> space() const override;
    Status emptyTrash() override;

    /// Unsupported if the file system that holds `pool` cannot carry the driver.
    virtual Status checkFileSystem(const Fd &pool) const = 0;

protected:
    /// Makes the folders that only this driver has, drops what a crash left there. With the mutex held.
    virtual Status prepareOwn(const Fd & /*pool*/) { return {}; }

    /// Makes the empty folder `name` that may become an image.
    virtual Status makeImageFolder(const Fd &at, const std::string &name) const;
    enum class Protection { Off, On };
    /// Guards an image against being written to, and lifts that before it is moved.
    virtual Status protectImage(const Fd & /*image*/, Protection) const { return {}; }
    /// Where in the folder of an image what makes it lies: a path, or "" for the folder itself.
    virtual std::string imageContent() const { return {}; }
    /// The same opened.
    virtual Result<Fd> openImageContent(const Fd &image) const;

    enum class Holder { Volume, Snapshot };
    /// Makes the root file system in the new volume folder, from the folder of an image if there is one.
    virtual Status makeRoot(const Fd &volume, const Fd *image) const = 0;
    /// Makes the empty folder `name` that a root file system is put into, counted on its own where the file system can,
    /// and makes it the own part of the volume or snapshot `folder` once it is whole.
    virtual Status makeTreeFolder(const Fd &at, const std::string &name) const;
    virtual Status takeTree(const Fd &at, const std::string &name, const Fd &folder, Holder as) const;
    /// Makes a volume, with its snapshots, in its new folder from what newVolumeTrees() gave.
    virtual Status takeTrees(const Scratch &trees, const Fd &folder);
    /// What holds the root file system that is a tree of its own, as "rootfs".
    virtual Result<Fd> openTree(const Fd &folder) const;
    /// Where the root file system of a volume or snapshot is. `path`: of `folder`; `image`: path of the image's folder
    /// or "".
    virtual Result<RootTree> rootOf(const Fd &folder, const std::string &path, const std::string &image) const = 0;
    /// The one entry of the folder of a volume that makes its content: restoring swaps it.
    virtual std::string ownPart(const Fd &folder) const = 0;

    struct Original {
        const Fd &folder;
        Holder holder = Holder::Volume;
        InUse inUse = InUse::No;
    };
    /// Whether what was copied is on its way to the disk only.
    enum class Data { Settled, Fresh };
    /// Makes the own part of `original` once more in `folder`. First what takes long, without the mutex …
    virtual Result<Data> draftCopy(const Original &original, const Fd &folder, Holder as) const = 0;
    /// … and then, with the mutex held, what is quick and must be seen at once. WrongState: the original has changed
    /// since.
    virtual Status finishCopy(const Original &, const Fd & /*folder*/, Holder) { return {}; }

    /// Makes in the new volume folder `folder` what arrives, but for snapshots that it has already. `like`: the folder of
    /// arrival.like. Without the mutex …
    virtual Status draftArrival(const Arrival &arrival, const Fd &folder, const Fd *like, const Progress &progress);
    /// … and then, with the mutex held, what must be seen at once.
    virtual Status finishArrival(const Fd & /*folder*/) { return {}; }
    /// A root file system that others no longer write to.
    virtual Status sealRoot(const Fd & /*folder*/, Holder) const { return {}; }
    /// What is different of `state` from `base`, of which `before` is the state it is a copy of, into the empty folder `to`.
    static Status writeState(const Arrival::State &state, const std::vector<Fd> &base, const Arrival::State *before, trees::Source source, const Fd &to);
    /// Whether something of what arrives is to be kept though `error` ended it. `whole`: snapshots that have come.
    static bool keepsWhole(const Arrival &arrival, const std::vector<std::string> &whole, const Error &error);
    /// Whether `newest` is the last of the snapshots that arrive, and is not from an older copy.
    static bool hasJustCome(const Arrival &arrival, const Arrival::State *newest);
    /// Where in the folder of a volume a state of it lies.
    static Result<Fd> arrivalFolder(const Fd &folder, const Arrival::State &state);

    virtual Result<Bytes> usageOf(const Fd &folder, Holder holder) const;
    /// Of a folder with all there is in it, but for layers.
    virtual Result<Bytes> usageOfAll(const Fd &folder) const;
    /// What gives back what the trash holds beside files.
    virtual Trash::Reclaim reclaimer() const { return {}; }
    /// What the own part of `folder` counts with against a limit, where somebody counts.
    virtual Result<std::optional<Bytes>> countedOf(const Fd &folder) const;
    /// What its project counts for a tree that is a plain folder; where it is in none, the tree is walked.
    static Result<Bytes> folderUsage(const Fd &tree);

    /// Unsupported: why no tree in the folder `pool` can be limited, and the cure.
    virtual Status checkLimits(const Fd &pool) const;
    /// What may take long before the first limit of a pool, without the mutex.
    virtual Status beginLimits(const Fd & /*pool*/) const { return {}; }
    /// Limits the own part of `folder` (of a volume, or one that is about to be one's), in use or not; none: lifts what
    /// there is, if anything. In force when this returns; quick where it is so already. Invalid: overLimit(). With the
    /// mutex held, and a limit only where checkLimits() has nothing against it.
    virtual Status limitTree(const Fd &folder, std::optional<Bytes> limit) const;
    /// For drivers whose trees are plain folders: limits the one that is `tree`.
    Status limitFolder(const Fd &tree, std::optional<Bytes> limit) const;
    static Error overLimit(Bytes limit, Bytes used);
    /// The limit of the volume whose folder is `volume`.
    static Result<std::optional<Bytes>> limitOf(const Fd &volume);

    using Layers = std::set<std::string>;
    /// What `folder` needs of what it may share with others.
    virtual Result<Layers> layersOf(const Fd & /*folder*/) const { return Layers(); }
    /// Throws away those of `layers` that nobody needs any more. With the mutex held.
    virtual Status dropUnused(const Layers & /*layers*/) { return {}; }

    virtual Result<Bytes> layersUsage(const Layers & /*layers*/) const { return Bytes{}; }

    /// The same with its snapshots.
    Result<Layers> layersOfAll(const Fd &folder) const;
    /// Calls `visit` with the folder of each volume and of all that lies aside.
    Status forEachHolder(const std::function<Status(const Fd &folder)> &visit) const;
    Status discard(const Fd &parent, const std::string &name) { return m_folders.trash->discard(parent, name); }
    /// Everything written so far in the pool is on disk.
    virtual Status flush() const;
    /// What becomes a volume that newVolumeTrees() lays out.
    Result<Scratch> layOutTrees(Scratch scratch, const std::vector<std::string> &snapshots) const;
    Result<Scratch> newPlainScratch() const;
    Result<Scratch> scratchNamed(std::string name, const std::string &content) const;
    Status needPrepared() const;
    Error withFreeSpace(Error error) const;
    using Need = std::function<Result<Bytes>()>;
    Error withMissing(Error error, Scratch scratch, const Need &need) const;
    const Fd &folder() const { return m_folders.pool; }
    VolumeKind kind() const { return m_place.kind; }

private:
    class HeldVolume;
    void release(const Layers &layers);

    struct Folders {
        Fd pool, images, volumes, aside, scratch;
        std::shared_ptr<Trash> trash;
        bool flushRenames = true; ///< False where the database's commit carries them to disk.
    };

    struct SnapshotPlace { ///< Where a snapshot is, or would be.
        std::string volume;
        Fd volumeFolder;
        Fd snapshots; ///< None if the volume has not had a snapshot.
    };

    Result<std::string> checkedVolume(const std::string &project, const std::string &name) const;
    Result<SnapshotPlace> snapshotPlace(const std::string &project, const std::string &name,
                                        const std::string &snapshot) const;
    struct Ancestor { ///< What a state is made from.
        const Fd *folder = nullptr;          ///< None: the image, or nothing.
        const Arrival::State *original = nullptr; ///< Where it came from.
    };
    Status draftState(const Arrival &arrival, const Arrival::State &state, const Ancestor &from, const Fd &folder) const;
    Status keepAncestor(const Ancestor &from, const Fd &folder);
    Status moveIn(Scratch scratch, const Fd &to, const std::string &name) const;
    Result<Data> draftSnapshots(const Fd &volume, const Fd &copy) const;
    Status finishSnapshots(const Fd &volume, const Fd &copy);
    Status checkStillThere(const Fd &parent, const std::string &name, const Fd &folder) const;
    Status checkAside(const std::string &aside) const;
    Result<Fd> makeAside(const std::string &aside, const std::string &volume);
    Status replaceContent(const std::string &volume, const Fd &from, const std::string &aside);
    Status dropHolder(const Fd &parent, const std::string &name);
    Status recordLimit(const Fd &volume, std::optional<Bytes> limit) const;
    Status limitAs(const Fd &volume, const Fd &content) const;
    Status mendLimits() const;
    Status mendInterruptedRestores() const;
    std::string imagePath(const std::optional<std::string> &image) const;
    Status moveOldRoots() const;
    Status publishImage(const std::string &fingerprint, Scratch tree);
    Status makeVolume(const Fd &folder, const std::optional<std::string> &image) const;
    bool isForgotten(const std::string &fingerprint) const;
    Result<bool> imageInUse(const std::string &fingerprint) const;
    Status dropIfUnused(const std::string &fingerprint);
    Status flushRename(const Fd &folder) const;
    Status flushRenames() const;

    std::string folderName(const std::string &project, const std::string &name) const;
    const char *volumesFolder() const;

    const Place m_place;
    Folders m_folders;
    mutable std::mutex
        m_mutex; ///< Held while images and volumes come into and go out of being; never over unpacking or copying.
};

/// metadata.yaml and templates/ of a volume that was not made from an image, where it has them.
Status copyMetadata(const Fd &from, const Fd &folder);
Status removeMetadata(const Fd &folder);

/// A root file system as a tree of its own: of an image, or empty; as a copy of another; and where it is.
Status makePlainRoot(const Fd &folder, const Fd *image);
Status copyPlainRoot(const Fd &from, const Fd &folder, InUse inUse);
RootTree plainRoot(const std::string &path);
Status checkNotCancelled(const Progress &progress);
/// The folders a root file system is made of, topmost first.
Result<std::vector<Fd>> openLayers(const RootTree &tree);

/// How prepare() reports what a file system cannot do: "pool 'default' on '/x': …".
Error unsuitable(const FolderPool &pool, const std::string &why);

std::unique_ptr<Driver> makeOverlayDriver(Place place);
std::unique_ptr<Driver> makeBtrfsDriver(Place place);
std::unique_ptr<Driver> makeDirDriver(Place place);
std::unique_ptr<Driver> makeLvmDriver(Place place);
std::unique_ptr<Driver> makeZfsDriver(Place place);

} // namespace lxmgr::storage

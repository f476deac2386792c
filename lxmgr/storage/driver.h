// The one interface to a storage pool: images as immutable trees, volumes made from them, deletion that does not wait.
//
// Layout of a pool folder (0700: files on disk keep the image's own ids, so a setuid program in a tree is one of the
// host's):
//   images/<fingerprint>/{metadata.yaml,templates/,rootfs/}   shared, never written to after addImage
//   containers/<volume>/{backup.yaml,…}                       <name>, or <project>_<name> outside the default project
//   custom/                                                   the same once more for custom volumes, in "volumes"
//                                                             instead of "containers", each as <project>:<name>
//   containers/<volume>/{metadata.yaml,templates/}            of a volume that was not made from an image here
//   containers/<volume>/snapshots/<snapshot>/{backup.yaml,…}  so that renaming and deleting a volume takes them along
//   aside/<id>/                                               a volume or snapshot that is kept for a time after it was
//                                                             deleted, or what a volume held before it was restored
//   scratch/<random>/                                         trees being made; prepare() drops what a crash left
//   trash/<random>                                            renamed away, removed by a thread of its own
//
// Life of a volume: reserve the row, createVolume, root() → LaunchSpec, deleteVolume. Every call here is idempotent or
// says AlreadyExists/NotFound, so that recovery may simply call it again. All calls may be made from any thread.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/types.h"
#include "trees/owners.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::storage
{

/// What the volumes of a driver belong to: an instance each, or nobody in particular. A pool has a driver for either
/// kind, with folders of its own; that of custom volumes lies in "custom" of the pool's folder.
enum class VolumeKind { Instance, Custom };

struct PoolConfig {
    std::string name = "default";
    std::string driver = "overlay"; ///< A name of driverNames().
    std::string source;             ///< The pool's folder; empty: <state>/storage-pools/<name>.
    VolumeKind kind = VolumeKind::Instance;
    std::string treeFileSystem = {}; ///< Of lvm: what new trees are, "ext4" (or "") or "xfs".
    std::string treeOptions = {};    ///< Of lvm: mount options of the trees.
};

/// A root file system as the monitor mounts it (instances turns it into spec::Rootfs). Paths are absolute.
struct RootTree {
    enum class Kind { Directory, Overlay };
    Kind kind = Kind::Directory;
    std::string directory;          ///< Directory: the tree.
    std::vector<std::string> lower; ///< Overlay: layers, topmost first.
    std::string layer;              ///< Overlay: folder that holds "upper" and "work"; empty: to be mounted read-only.
    /// Overlay: names of the layers of `lower`, of the image's its fingerprint. Never given twice, so what has such a
    /// name in another pool is the same layer on the same ones.
    std::vector<std::string> identities = {};
};

/// Whether a guest runs on the volume. Its caller has frozen it, or takes what a power cut would have left.
enum class InUse { No, Yes };
enum class WithSnapshots { No, Yes };

/// What a copy is made from: a volume, or one of its snapshots.
struct VolumeSource {
    std::string project;
    std::string name;
    std::optional<std::string> snapshot;
    InUse inUse = InUse::No; ///< Of the volume; a snapshot never is.
};

/// A volume that comes from another pool.
struct Arrival {
    struct State {
        std::string snapshot; ///< Its name, "" for the volume.
        RootTree tree;
        bool isInLike = false; ///< `like` has this snapshot already.
        /// In place of `tree`: writes into the empty folder `to` the overlay layer that, laid on `base` (topmost first; none: the
        /// plain tree), shows the state. `before`: of which state here the base is an exact copy, if it is one.
        std::function<Status(const std::vector<Fd> &base, const std::string *before, const Fd &to)> write = {};
    };
    /// Where one with `write` ended early.
    struct Cut {
        bool happened = false;
        Error error;
        std::vector<std::string> snapshots; ///< That are there.
    };
    std::vector<State> snapshots; ///< The oldest first: each is kept as what differs from the one before it.
    State now;
    InUse inUse = InUse::No;          ///< Whether somebody writes to `now`.
    std::optional<std::string> image; ///< What it was made from.
    const Fd *beside = nullptr;       ///< Folder with its metadata.yaml and templates/, if it has any.
    /// A volume of the same name space that is not in use and has much in common with it: what is the same there is
    /// shared or copied from there.
    std::optional<std::string> like;
    WithSnapshots withSnapshotsOfLike = WithSnapshots::No; ///< They come along in place of `snapshots`.
    /// What comes whole is kept though what follows it does not come: the volume is then as `like`, or as the newest of its
    /// snapshots, and this says so. Without, or where there is nothing to keep, the whole fails.
    Cut *cut = nullptr;
};

struct Space {
    Bytes total;
    Bytes used;
    Bytes available; ///< To us, not counting what the file system keeps back for root.
    std::uint64_t inodesTotal = 0;
    std::uint64_t inodesFree = 0;
};

/// A folder below the pool to make a tree in. It is removed with this object unless addImage took it.
class Scratch
{
public:
    Scratch(Scratch &&) noexcept;
    Scratch &operator=(Scratch &&) noexcept;
    ~Scratch();
    const std::string &path() const;
    const Fd &directory() const;
    struct State;
    explicit Scratch(std::unique_ptr<State> state);
    std::unique_ptr<State> take() &&;

private:
    std::unique_ptr<State> m_state;
};

/// A volume as it was at one moment, which stays so for as long as this is there. It has no name, and a crash leaves
/// nothing of it. Must not outlive the driver.
class Held
{
public:
    virtual ~Held() = default;
    /// To be mounted read-only.
    virtual const RootTree &tree() const = 0;
};

class Driver
{
public:
    /// Makes the driver for `config`; touches nothing yet. Invalid: an unknown driver (naming those there are) or bad
    /// name.
    static Result<std::unique_ptr<Driver>> open(const PoolConfig &config, const std::string &stateDir);
    static std::vector<std::string_view> driverNames();

    Driver() = default;
    Driver(const Driver &) = delete;
    Driver &operator=(const Driver &) = delete;
    virtual ~Driver() =
        default; ///< Waits for the removal of the tree at hand; the rest stays in the trash for prepare().

    virtual std::string_view driverName() const = 0;
    virtual const std::string &name() const = 0;
    /// The pool's folder, absolute.
    virtual const std::string &directory() const = 0;

    /// Makes the folders and sets their modes, drops what a crash left in scratch, starts emptying the trash in the
    /// background. Unsupported: the file system cannot carry this driver, with what is missing.
    virtual Status prepare() = 0;

    /// An empty folder on the pool's own file system (image being unpacked or built).
    virtual Result<Scratch> newScratch() = 0;

    /// Makes image `fingerprint` from what `fill` puts into the empty folder it is given ("metadata.yaml",
    /// "templates/", "rootfs/"). Made durable (one syncfs) and visible at once or not at all. Is it there already,
    /// nothing is done. NoSpace: says how much is free; nothing stays.
    using Fill = std::function<Status(const Fd &directory)>;
    virtual Status addImage(const std::string &fingerprint, const Fill &fill) = 0;
    /// Takes a finished tree of newScratch() as image `fingerprint`: a rename, no copying.
    virtual Status addImage(const std::string &fingerprint, Scratch tree) = 0;
    /// False for one that deleteImage forgot.
    virtual bool hasImage(const std::string &fingerprint) const = 0;
    /// The image's folder (metadata.yaml, templates/, rootfs/), also of one that is forgotten but still used. NotFound.
    virtual Result<Fd> openImage(const std::string &fingerprint) const = 0;
    virtual Result<std::vector<std::string>> listImages() const = 0;
    /// Forgets the image; its tree stays for as long as a volume is layered on it. Missing is no error.
    virtual Status deleteImage(const std::string &fingerprint) = 0;

    /// Makes the volume of an instance from an image, or empty. AlreadyExists; NotFound: no such image.
    virtual Status createVolume(const std::string &project, const std::string &name,
                                const std::optional<std::string> &image) = 0;
    /// An empty folder for the trees of a volume that is about to be made from them: "container/", and
    /// "snapshots/<name>/" for each of `snapshots`, both to be filled with "rootfs/".
    virtual Result<Scratch> newVolumeTrees(const std::vector<std::string> &snapshots) = 0;
    /// Makes the volume of an instance, with its snapshots, from what newVolumeTrees() gave and somebody filled: on disk
    /// and visible at once or not at all. "metadata.yaml" and "templates/" beside the instance's rootfs, if they are
    /// there, come to lie in the volume's folder. AlreadyExists; Invalid: a tree is missing.
    virtual Status createVolume(const std::string &project, const std::string &name, Scratch trees) = 0;
    virtual bool hasVolume(const std::string &project, const std::string &name) const = 0;
    /// Folder names of all volumes ("web1", "project_web1").
    virtual Result<std::vector<std::string>> listVolumes() const = 0;
    /// Gone when this returns; the tree is removed in the background. Missing is no error.
    virtual Status deleteVolume(const std::string &project, const std::string &name) = 0;
    /// Another name, in the same project or another: one rename. NotFound, AlreadyExists.
    virtual Status moveVolume(const std::string &project, const std::string &from, const std::string &toProject, const std::string &to) = 0;
    Status renameVolume(const std::string &project, const std::string &from, const std::string &to) { return moveVolume(project, from, project, to); }
    /// Two volumes change places, with their snapshots, in one step. NotFound.
    virtual Status swapVolumes(const std::string &project, const std::string &one, const std::string &other) = 0;
    /// The volume's own folder, host side only: backup.yaml lies here. NotFound.
    virtual Result<Fd> openVolume(const std::string &project, const std::string &name) const = 0;
    virtual std::string volumeDir(const std::string &project, const std::string &name) const = 0;
    /// NotFound: no such volume.
    virtual Result<RootTree> root(const std::string &project, const std::string &name) const = 0;
    /// Fingerprint of the image the volume was made from; none for an empty one. NotFound: no such volume.
    virtual Result<std::optional<std::string>> volumeImage(const std::string &project,
                                                           const std::string &name) const = 0;
    /// What the volume itself takes (overlay: without the image, with all layers it shares with snapshots). Walks the
    /// tree.
    virtual Result<Bytes> usage(const std::string &project, const std::string &name) const = 0;

    /// What counts against the limit below, where that is known without a walk.
    virtual Result<std::optional<Bytes>> countedUsage(const std::string &project, const std::string &name) const = 0;

    // Limits: the most that the root file system of a volume may take, without its snapshots (overlay: what was written
    // since the last of them). A limit stays with the volume under any name and whatever its content is replaced by. A
    // volume that is made has none until it is set; a copy, too.

    /// Unsupported: volumes cannot be limited here, with what is missing and the cure. Changes nothing.
    virtual Status canLimit() const = 0;
    /// From now on, whether in use or not; none: as much as the pool has. Cut off by a crash, the limit is the old or
    /// the new one, and in force, from the next prepare() or call on. NotFound. Unsupported: as canLimit() says.
    /// Invalid: more is taken already, with both figures.
    virtual Status setLimit(const std::string &project, const std::string &name, std::optional<Bytes> limit) = 0;
    /// NotFound: no such volume.
    virtual Result<std::optional<Bytes>> limit(const std::string &project, const std::string &name) const = 0;

    // Snapshots. On disk when these return, with what the guest had written. The volume must not change hands meanwhile
    // (WrongState if it did); whether it may be in use is said at each.

    /// NotFound: no such volume; AlreadyExists. Nothing of a failed one stays.
    virtual Status createSnapshot(const std::string &project, const std::string &name, const std::string &snapshot,
                                  InUse inUse) = 0;
    virtual bool hasSnapshot(const std::string &project, const std::string &name,
                             const std::string &snapshot) const = 0;
    /// Names in alphabetical order. NotFound: no such volume.
    virtual Result<std::vector<std::string>> listSnapshots(const std::string &project,
                                                           const std::string &name) const = 0;
    /// Missing is no error. The volume may be in use.
    virtual Status deleteSnapshot(const std::string &project, const std::string &name, const std::string &snapshot) = 0;
    /// NotFound, AlreadyExists. The volume may be in use.
    virtual Status renameSnapshot(const std::string &project, const std::string &name, const std::string &from,
                                  const std::string &to) = 0;
    /// The volume, not in use, is again as the snapshot; every snapshot stays. What it held goes to the trash, or is put
    /// aside as `aside`: done already is then no error. NotFound.
    virtual Status restoreSnapshot(const std::string &project, const std::string &name, const std::string &snapshot,
                                   const std::optional<std::string> &aside = std::nullopt) = 0;
    /// Makes a volume from another or from a snapshot: the root file system, not the manager's own files such as
    /// backup.yaml. NotFound, AlreadyExists. Invalid: a snapshot has no snapshots to take along.
    virtual Status copyVolume(const VolumeSource &from, const std::string &project, const std::string &name,
                              WithSnapshots with) = 0;
    /// Whether a volume goes on needing the tree of its image, and without one costs with each snapshot as much as all it holds.
    virtual bool layersOnImage() const = 0;
    /// Whether a volume shares what it can with the tree of its image in the pool.
    virtual bool sharesWithImages() const = 0;
    /// Makes a volume as it is in another pool, or as another volume was: on disk and visible at once or not at all. For
    /// a driver of layers its image must be here. NotFound, AlreadyExists.
    virtual Status receiveVolume(const std::string &project, const std::string &name, const Arrival &arrival,
                                 const Progress &progress) = 0;
    /// To be mounted read-only. NotFound.
    virtual Result<RootTree> snapshotRoot(const std::string &project, const std::string &name,
                                          const std::string &snapshot) const = 0;
    /// Keeps what the volume is now without making a snapshot of it. NotFound.
    virtual Result<std::unique_ptr<Held>> hold(const std::string &project, const std::string &name, InUse inUse) = 0;
    /// The snapshot's own folder, host side only: its backup.yaml lies here. NotFound.
    virtual Result<Fd> openSnapshot(const std::string &project, const std::string &name,
                                    const std::string &snapshot) const = 0;
    /// What would come free with the snapshot (dir and btrfs: what it holds, shared blocks counted). Walks the tree.
    virtual Result<Bytes> snapshotUsage(const std::string &project, const std::string &name,
                                        const std::string &snapshot) const = 0;

    // What lies aside: out of sight of every call above, under an id of its own (randomName()). Images and layers that it
    // needs stay, as they do for volumes. Asked again after a crash, each says that it is done.

    /// Takes a volume out of use with its snapshots: one rename. NotFound: no such volume.
    virtual Status setVolumeAside(const std::string &project, const std::string &name, const std::string &aside) = 0;
    /// AlreadyExists: a volume of that name; NotFound: nothing of that id.
    virtual Status bringVolumeBack(const std::string &aside, const std::string &project, const std::string &name) = 0;
    /// The same with a snapshot.
    virtual Status setSnapshotAside(const std::string &project, const std::string &name, const std::string &snapshot,
                                    const std::string &aside) = 0;
    virtual Status bringSnapshotBack(const std::string &aside, const std::string &project, const std::string &name,
                                     const std::string &snapshot) = 0;
    /// The volume, not in use, holds again what restoreSnapshot() put aside; what it holds now is aside as `now` then.
    virtual Status bringContentBack(const std::string &aside, const std::string &project, const std::string &name,
                                    const std::string &now) = 0;
    virtual bool hasAside(const std::string &aside) const = 0;
    virtual Result<std::vector<std::string>> listAside() const = 0;
    /// Its own folder, host side only: backup.yaml of a volume lies here. NotFound.
    virtual Result<Fd> openAside(const std::string &aside) const = 0;
    /// What would come free with it (dir and btrfs: what it holds, shared blocks counted). Walks the tree.
    virtual Result<Bytes> asideUsage(const std::string &aside) const = 0;
    /// Missing is no error.
    virtual Status deleteAside(const std::string &aside) = 0;

    // Streams: states in the file system's own form, which another pool of the same driver takes with what they share.

    /// What lies beside a root file system at the top of a stream: names of regular files, and their texts.
    using StreamTexts = std::vector<std::pair<std::string, std::string>>;
    /// Unsupported: the driver has no such form.
    virtual Status checkStreams() const = 0;
    /// Writes to the empty file `to` what `state` is (of snapshotRoot() or Held::tree()), as what has changed since
    /// `since`, another such, if that is there. `beside` is put over what lies there. Unsupported: a guest has made
    /// subvolumes inside, which a stream leaves out. NoSpace.
    virtual Status writeStream(const RootTree &state, const RootTree *since, const StreamTexts &beside, const Fd &to) = 0;
    struct Stream {
        std::string part;       ///< "container", or "snapshots/<name>"
        trees::OwnerMap owners; ///< By which its files have other owners on disk than inside, where they do.
    };
    /// Makes in `trees`, of newVolumeTrees(), what streams hold: of each of `streams`, the oldest first. `receive` makes the
    /// subvolume that the stream of `part` describes in the empty folder `name` of `at`. Nobody vouches for what a stream
    /// holds: Invalid.
    using Receive = std::function<Status(const std::string &part, const Fd &at, const std::string &name)>;
    virtual Status takeStreams(const Scratch &trees, const std::vector<Stream> &streams, const Receive &receive) = 0;

    virtual Result<Space> space() const = 0;
    /// Removes now what deletions left; returns when all is gone.
    virtual Status emptyTrash() = 0;
};

/// Folder of an instance's volume: "<name>", or "<project>_<name>" outside the default project.
std::string volumeName(const std::string &project, const std::string &name);
/// Folder of a custom volume: "<project>:<name>", as their names may have a "_" in them.
std::string customVolumeName(const std::string &project, const std::string &name);

} // namespace lxmgr::storage

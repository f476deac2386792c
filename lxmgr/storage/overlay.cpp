// Driver "overlay": a volume is an empty upper layer on the image's tree. Needs no set-up and works on any local file
// system that can be id-mapped; creating takes the same time for any image.
//
// Snapshots and copies share sealed layers, which nobody writes to again:
//   layers/<id>/{upper/,work/,below}                  was the layer of a volume once, or is a copy of one
//   containers/<volume>/layer/{upper/,work/,below}    what is written now
//   containers/<volume>/snapshots/<s>/layer/below     nothing but the name of its topmost layer
// "below" is a symbolic link whose text is the id of the next layer down (none: the image is next), because a link
// reaches the disk with the journal and in order, where a new file may be empty after a power cut. It never changes, so
// an id stands for a whole chain.
//
// A layer of a volume that is not in use is sealed by swapping it with an empty one above it: one rename, at no moment
// is there less than the whole. A layer in use stays with its guest, as a mounted overlay does not notice a swap; its
// copy becomes the sealed one, which costs the changed data. Restoring and copying name a layer and make an empty one
// above it. Layers that no chain reaches go to the trash with the last name, or in prepare(). A chain of kMostLayers
// does not grow: its upper half is copied into one layer.
//
// A sealed layer is a lower one from then on, which is exact because ours are mounted without redirected folders and
// metadata copies (kernel/mount.cpp says so to the kernel, whatever its defaults): all that overlay remembers in a
// layer is then whiteouts and opaque folders, which it reads in lower layers as well.
#include "base/log.h"
#include "base/text.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/project_quota.h"
#include "storage/tree.h"

#include <cerrno>
#include <cstdio>
#include <linux/fs.h>
#include <linux/magic.h>
#include <map>
#include <sys/utsname.h>
#include <sys/vfs.h>

namespace lxmgr::storage
{

namespace
{

struct UnfitFileSystem {
    long magic;
    const char *name;
};

/// overlayfs refuses these as upper layer (no d_type, no whiteouts, or remote), or they cannot be id-mapped.
constexpr UnfitFileSystem kUnfit[] = {
    {OVERLAYFS_SUPER_MAGIC, "overlay" },
    {NFS_SUPER_MAGIC,       "nfs"     },
    {SMB_SUPER_MAGIC,       "smb"     },
    {CIFS_SUPER_MAGIC,      "cifs"    },
    {SMB2_SUPER_MAGIC,      "smb3"    },
    {MSDOS_SUPER_MAGIC,     "vfat"    },
    {V9FS_MAGIC,            "9p"      },
    {ECRYPTFS_SUPER_MAGIC,  "ecryptfs"},
    {RAMFS_MAGIC,           "ramfs"   },
    {SQUASHFS_MAGIC,        "squashfs"},
    {FUSE_SUPER_MAGIC,      "fuse"    },
};

constexpr std::size_t kMostLayers =
    64; ///< overlayfs takes 500, each costs a mount at every start and a look-up at every miss.
constexpr std::size_t kMerged = kMostLayers / 2;
constexpr const char *kBelow = "below";
constexpr const char *kOf =
    "of"; ///< In a copy that is not published yet: the topmost layer of the volume at that time.
constexpr const char *kSealed = "sealed"; ///< In scratch: the copy of a layer in use, on its way into layers.
constexpr const char *kHalf = "half";     ///< The same for the upper half of a long chain.
constexpr const char *kReceived = "received"; ///< The same for the layers of a volume from another pool, by their ids.

using Chain = std::vector<std::string>; ///< Ids, topmost first.

/// The id that the link `name` in a layer folder holds; none without such a link.
Result<std::optional<std::string>> readId(const Fd &layer, const char *name)
{
    const auto id = sys::readlinkat(layer, name);
    if (!id && id.error().errnum == ENOENT)
        return std::optional<std::string>();
    if (!id)
        return id.error();
    if (id->size() != 16 || id->find_first_not_of("0123456789abcdef") != std::string::npos)
        return Error(Code::Corrupt,
                     "the link " + quoted(name) + " of a layer holds " + quoted(*id) + ", which names no layer");
    return std::optional<std::string>(*id);
}

Status writeId(const Fd &layer, const char *name, const std::string &id) { return sys::symlinkat(id, layer, name); }

/// Linux 5.19 is the first that takes id-mapped mounts as overlay layers.
bool hasIdmappedLayers()
{
    utsname host{};
    int major = 0;
    int minor = 0;
    if (::uname(&host) < 0 || std::sscanf(host.release, "%d.%d", &major, &minor) != 2)
        return true; // it will say so itself
    return major > 5 || (major == 5 && minor >= 19);
}

class OverlayDriver final : public FolderPool
{
public:
    using FolderPool::FolderPool;
    std::string_view driverName() const override { return "overlay"; }

    Status checkFileSystem(const Fd &pool) const override
    {
        if (!hasIdmappedLayers())
            return unsuitable(*this, "id-mapped overlay layers need Linux 5.19 (the driver 'dir' works without)");
        struct statfs info {
        };
        if (::fstatfs(pool.get(), &info) < 0)
            return Error::fromErrno(errno, "statfs", directory());
        for (const UnfitFileSystem &unfit : kUnfit)
            if (info.f_type == unfit.magic)
                return unsuitable(
                    *this, std::string("a file system of type ") + unfit.name +
                               " cannot hold overlay layers (use the driver 'dir', or a folder on ext4, xfs or btrfs)");
        return {};
    }

    bool layersOnImage() const override { return true; }

protected:
    /// A volume without an image is a plain tree, as with the driver dir.
    std::string ownPart(const Fd &folder) const override { return exists(folder, kLayer) ? kLayer : kTree; }

    Status prepareOwn(const Fd &pool) override
    {
        m_layers = TRY(makeFolder(pool, "layers", 0700));
        const auto all = namesIn(m_layers);
        // What cannot be read may name any of them: better a full pool than a lost volume.
        if (const Status dropped = all ? dropUnused(Layers(all->begin(), all->end())) : Status(all.error()); !dropped)
            log::warning("storage pool " + quoted(name()) + ": unused layers: " + dropped.error().message +
                         ", ignoring until the next start");
        return {};
    }

    Status makeRoot(const Fd &volume, const Fd *image) const override
    {
        if (image)
            return makeLayer(volume, kLayer, TRY(openFolder(*image, "rootfs")), {});
        TRY(makeTreeFolder(volume, kTree));
        return makePlainRoot(volume, nullptr);
    }

    Result<RootTree> rootOf(const Fd &folder, const std::string &path, const std::string &image) const override
    {
        if (image.empty())
            return plainRoot(path);
        RootTree tree{RootTree::Kind::Overlay, {}, {}, path + "/" + kLayer, {}};
        tree.identities = TRY(chainBelow(TRY(openFolder(folder, kLayer))));
        for (const std::string &id : tree.identities)
            tree.lower.push_back(directory() + "/layers/" + id + "/upper");
        tree.lower.push_back(image + "/rootfs");
        tree.identities.push_back(image.substr(image.rfind('/') + 1));
        return tree;
    }

    Result<Data> draftCopy(const Original &original, const Fd &folder, Holder) const override
    {
        if (!exists(original.folder, kLayer)) {
            TRY(makeTreeFolder(folder, kTree));
            TRY(copyPlainRoot(original.folder, folder, original.inUse));
            return Data::Fresh;
        }
        if (original.holder == Holder::Snapshot)
            return Data::Settled;
        const Fd layer = TRY(openFolder(original.folder, kLayer));
        const Chain chain = TRY(chainBelow(layer));
        if (original.inUse == InUse::Yes)
            TRY(draftSealed(layer, folder, chain));
        else if (chain.size() >= kMostLayers)
            TRY(draftHalf(layer, folder, chain));
        return Data::Fresh; // what the guest wrote last, if nothing else
    }

    Status finishCopy(const Original &original, const Fd &folder, Holder as) override
    {
        if (!exists(original.folder, kLayer))
            return {};
        const Chain chain = TRY(sealedChain(original, folder));
        if (chain.empty())
            return Error(Code::Corrupt, "a snapshot names no layer");
        if (as == Holder::Snapshot)
            return writeId(TRY(makeFolder(folder, kLayer, 0700)), kBelow, chain.front());
        return makeLayer(folder, kLayer, TRY(openUpper(chain.front())), chain);
    }

    Status draftArrival(const Arrival &arrival, const Fd &folder, const Fd *like, const Progress &progress) override
    {
        if (!arrival.image)
            return FolderPool::draftArrival(arrival, folder, like, progress);
        const Received received{TRY(makeFolder(folder, kReceived, 0700)),
                                TRY_IN("image " + *arrival.image, openFolder(TRY(openImage(*arrival.image)), "rootfs"))};
        const bool liked = like && TRY(imageNameOf(*like)) == *arrival.image;
        const Chain ofLike = liked ? TRY(chainOf(*like)) : Chain();
        Base before{ofLike, nullptr};
        std::vector<std::string> whole;
        bool cut = false;
        for (const Arrival::State &state : arrival.snapshots) {
            const auto same = liked ? openFolder(*like, std::string(kSnapshots) + "/" + state.snapshot)
                                    : Result<Fd>(Error(Code::NotFound, state.snapshot));
            const bool known = same && state.isInLike;
            if (cut && !known)
                continue;
            const Base base = same ? Base{TRY(chainOf(*same)), nullptr} : before;
            Result<Chain> chain = base.chain;
            if (!known)
                chain = draftUnlessCancelled(arrival, state, base, received, progress);
            if (!chain && keepsWhole(arrival, whole, chain.error())) {
                cut = true;
                continue;
            }
            const Chain drafted = TRY_IN("snapshot " + quoted(state.snapshot), std::move(chain));
            TRY(writeId(TRY(makeFolder(TRY(arrivalFolder(folder, state)), kLayer, 0700)), kBelow, drafted.front()));
            before = {drafted, &state};
            whole.push_back(state.snapshot);
        }
        const Base kept = liked ? Base{ofLike, nullptr} : before;
        Result<Chain> chain = kept.chain;
        if (!cut)
            chain = draftUnlessCancelled(arrival, arrival.now, hasJustCome(arrival, before.original) ? before : kept, received, progress);
        if (!chain && keepsWhole(arrival, whole, chain.error())) {
            cut = true;
            chain = kept.chain;
        }
        const Chain drafted = TRY(std::move(chain));
        if (cut)
            arrival.cut->snapshots = whole;
        return makeLayer(folder, kLayer, TRY(received.upper(m_layers, drafted.front())), drafted);
    }

    Status finishArrival(const Fd &folder) override
    {
        if (!exists(folder, kReceived))
            return {};
        const Fd received = TRY(openFolder(folder, kReceived));
        for (const std::string &id : TRY(namesIn(received)))
            TRY(exists(m_layers, id) ? discard(received, id) : renameNew(received, id, m_layers, id));
        TRY(sys::unlinkat(folder, kReceived, AT_REMOVEDIR));
        // One that was to be shared may have gone with its last volume.
        if (const auto whole = layersOfAll(folder); !whole)
            return changedMeanwhile();
        return {};
    }

    Result<Layers> layersOf(const Fd &folder) const override
    {
        if (!exists(folder, kLayer))
            return Layers();
        const Chain chain = TRY(chainBelow(TRY(openFolder(folder, kLayer))));
        return Layers(chain.begin(), chain.end());
    }

    Status dropUnused(const Layers &layers) override
    {
        if (layers.empty())
            return {};
        Layers unused = layers;
        TRY(forEachHolder([&](const Fd &folder) -> Status {
            for (const std::string &id : TRY(layersOfAll(folder)))
                unused.erase(id);
            return {};
        }));
        for (const std::string &id : unused)
            TRY(discard(m_layers, id));
        return {};
    }

    Result<Bytes> layersUsage(const Layers &layers) const override
    {
        Bytes total;
        for (const std::string &id : layers)
            total.count += TRY(folderUsage(TRY(openFolder(m_layers, id)))).count;
        return total;
    }

    Result<Bytes> usageOf(const Fd &folder, Holder holder) const override
    {
        if (!exists(folder, kLayer) || holder == Holder::Volume) {
            Bytes total = TRY(FolderPool::usageOf(folder, holder));
            total.count += TRY(layersUsage(TRY(layersOf(folder)))).count;
            return total;
        }
        std::map<std::string, unsigned> users;
        TRY(forEachHolder([&](const Fd &each) { return countUsers(each, users); }));
        Bytes alone = TRY(FolderPool::usageOf(folder, holder));
        for (const std::string &id : TRY(layersOf(folder)))
            if (users[id] <= 1)
                alone.count += TRY(folderUsage(TRY(openFolder(m_layers, id)))).count;
        return alone;
    }

private:
    /// An empty layer of a volume. `like`: the folder whose attributes "/" inside shows, which are always those of the
    /// topmost layer.
    Status makeLayer(const Fd &at, const std::string &name, const Fd &like, const Chain &chain) const
    {
        TRY(makeTreeFolder(at, name));
        const Fd layer = TRY(openFolder(at, name));
        (void)TRY(makeFolder(layer, "work", 0700));
        TRY(copyAttributes(like, TRY(makeFolder(layer, "upper", 0755))));
        return chain.empty() ? Status() : writeId(layer, kBelow, chain.front());
    }

    /// The layer `name` in `at` takes the place of that of `volume`, which comes to lie there.
    Status exchange(const Fd &at, const std::string &name, const Fd &volume) const
    {
        if (const auto limit = TRY(limitOf(volume)))
            if (const Fd layer = TRY(openFolder(at, name)); projects::projectOf(layer))
                TRY(limitFolder(layer, limit));
        return sys::renameat2(at, name, volume, kLayer, RENAME_EXCHANGE);
    }

    /// Layers on their way in, and the image they lie on.
    struct Received {
        Fd folder;
        Fd image;

        Result<Fd> upper(const Fd &layers, const std::string &id) const
        {
            return openFolder(exists(folder, id) ? folder : layers, id + "/upper");
        }
    };

    struct Base { ///< What a state is the difference to.
        Chain chain;
        const Arrival::State *original = nullptr; ///< Where that came from.
    };

    Result<Chain> chainOf(const Fd &folder) const
    {
        return exists(folder, kLayer) ? chainBelow(TRY(openFolder(folder, kLayer))) : Result<Chain>(Chain());
    }

    static Result<std::string> imageNameOf(const Fd &volume)
    {
        auto name = sys::readlinkat(volume, kImageOf);
        return !name && name.error().errnum == ENOENT ? Result<std::string>("") : name;
    }

    Result<Chain> draftUnlessCancelled(const Arrival &arrival, const Arrival::State &state, const Base &base, const Received &received,
                                       const Progress &progress)
    {
        TRY(checkNotCancelled(progress));
        return draftChain(arrival, state, base, received);
    }

    /// The chain, drafted where it is not here, that shows what `state` shows.
    Result<Chain> draftChain(const Arrival &arrival, const Arrival::State &state, const Base &base,
                             const Received &received)
    {
        const std::vector<std::string> &names = state.tree.identities;
        if (state.tree.layer.empty() && names.size() > 1 && names.back() == *arrival.image)
            return draftSame(state.tree, received);
        return draftDifference(state, base.chain.size() < kMerged ? base : Base(), received);
    }

    /// The layers of another pool, each under its own name. What is here already is not looked at.
    Result<Chain> draftSame(const RootTree &tree, const Received &received) const
    {
        const Chain chain(tree.identities.begin(), tree.identities.end() - 1);
        for (std::size_t i = chain.size(); i-- > 0;) {
            if (exists(m_layers, chain[i]) || exists(received.folder, chain[i]))
                continue;
            const Fd layer = TRY(makeFolder(received.folder, chain[i], 0700));
            const Fd from = TRY(sys::open(tree.lower[i], O_RDONLY | O_DIRECTORY));
            TRY_IN("layer " + chain[i], copyTree(from, TRY(makeFolder(layer, "upper", 0700))));
            if (i + 1 < chain.size())
                TRY(writeId(layer, kBelow, chain[i + 1]));
        }
        return chain;
    }

    /// One layer of what is different, on `base`.
    Result<Chain> draftDifference(const Arrival::State &state, const Base &on, const Received &received)
    {
        const Chain &base = on.chain;
        std::vector<Fd> ours;
        for (const std::string &id : base)
            ours.push_back(TRY(received.upper(m_layers, id)));
        ours.push_back(TRY(sys::openat(received.image, ".", O_RDONLY | O_DIRECTORY)));
        const std::string id = randomName();
        const Fd layer = TRY(makeFolder(received.folder, id, 0700));
        const Fd upper = TRY(makeFolder(layer, "upper", 0700));
        if (Status written = writeState(state, ours, on.original, Source::Still, upper); !written) {
            (void)discard(received.folder, id); // else the next prepare() finds it
            return written.error();
        }
        if (!base.empty() && TRY(isEmpty(upper)) && TRY(sameAttributes(upper, ours.front()))) {
            TRY(discard(received.folder, id));
            return base;
        }
        Chain chain = base;
        if (!base.empty())
            TRY(writeId(layer, kBelow, base.front()));
        chain.insert(chain.begin(), id);
        return chain;
    }

    Result<Fd> openUpper(const std::string &id) const
    {
        return TRY_IN("layer " + id, openFolder(m_layers, id + "/upper"));
    }

    Status countUsers(const Fd &folder, std::map<std::string, unsigned> &users) const
    {
        for (const std::string &id : TRY(layersOf(folder)))
            ++users[id];
        const auto snapshots = openFolder(folder, kSnapshots);
        if (!snapshots)
            return {};
        for (const std::string &name : TRY(namesIn(*snapshots)))
            for (const std::string &id : TRY(layersOf(TRY(openFolder(*snapshots, name)))))
                ++users[id];
        return {};
    }

    /// The sealed layers below `layer`.
    Result<Chain> chainBelow(const Fd &layer) const
    {
        Chain chain;
        for (auto id = TRY(readId(layer, kBelow)); id;
             id = TRY_IN("layer " + *id, readId(TRY(openFolder(m_layers, *id)), kBelow))) {
            chain.push_back(*id);
            if (chain.size() > 2 * kMostLayers)
                return Error(Code::Corrupt, "the layers below each other do not end");
        }
        return chain;
    }

    /// A copy of the layer that a guest writes to.
    Status draftSealed(const Fd &layer, const Fd &folder, const Chain &chain) const
    {
        const Fd sealed = TRY(makeFolder(folder, kSealed, 0700));
        if (!chain.empty()) {
            TRY(writeId(sealed, kOf, chain.front()));
            TRY(writeId(sealed, kBelow, chain.front()));
        }
        return copyTree(TRY(openFolder(layer, "upper")), TRY(makeFolder(sealed, "upper", 0700)), Source::Changing);
    }

    /// The layer of a volume and the upper half of its long chain as one layer on the lower half.
    Status draftHalf(const Fd &layer, const Fd &folder, const Chain &chain) const
    {
        const Fd half = TRY(makeFolder(folder, kHalf, 0700));
        TRY(writeId(half, kOf, chain.front()));
        TRY(writeId(half, kBelow, chain[kMerged]));
        std::vector<Fd> layers;
        layers.push_back(TRY(openFolder(layer, "upper")));
        for (std::size_t i = 0; i < kMerged; ++i)
            layers.push_back(TRY(openUpper(chain[i])));
        return mergeLayers(layers, TRY(makeFolder(half, "upper", 0700)));
    }

    /// Moves what was drafted as `name` into layers. WrongState if the volume is on another chain by now.
    Result<std::string> publish(const Fd &folder, const char *name, const Chain &chain) const
    {
        const auto of = TRY(readId(TRY(openFolder(folder, name)), kOf));
        if (of.value_or("") != (chain.empty() ? "" : chain.front()))
            return changedMeanwhile();
        std::string id = randomName();
        TRY(renameNew(folder, name, m_layers, id));
        return id;
    }

    static Error changedMeanwhile() { return {Code::WrongState, "the volume was changed meanwhile"}; }

    /// The chain of sealed layers that shows what `original` shows.
    Result<Chain> sealedChain(const Original &original, const Fd &folder)
    {
        Chain chain = TRY(chainBelow(TRY(openFolder(original.folder, kLayer))));
        if (original.holder == Holder::Snapshot)
            return chain;
        if (original.inUse == InUse::No)
            return seal(original.folder, folder, std::move(chain));
        std::string id = TRY(publish(folder, kSealed, chain));
        chain.insert(chain.begin(), std::move(id));
        return chain;
    }

    Result<Chain> seal(const Fd &volume, const Fd &folder, Chain chain)
    {
        const Fd upper = TRY(openFolder(TRY(openFolder(volume, kLayer)), "upper"));
        if (!chain.empty() && TRY(isEmpty(upper)) && TRY(sameAttributes(upper, TRY(openUpper(chain.front())))))
            return chain; // nothing was written since the last time
        if (exists(folder, kHalf))
            return replaceByHalf(volume, folder, upper, std::move(chain));
        if (chain.size() >= kMostLayers)
            return changedMeanwhile();
        chain.insert(chain.begin(), randomName());
        TRY(makeLayer(m_layers, chain.front(), upper, chain));
        TRY(exchange(m_layers, chain.front(), volume));
        return chain;
    }

    /// What was merged, the layer of the volume among it, has no name any more after this.
    Result<Chain> replaceByHalf(const Fd &volume, const Fd &folder, const Fd &upper, Chain chain)
    {
        const Layers merged(chain.begin(), chain.begin() + kMerged);
        const std::string half = TRY(publish(folder, kHalf, chain));
        chain.erase(chain.begin(), chain.begin() + kMerged);
        chain.insert(chain.begin(), half);
        TRY(makeLayer(folder, kLayer, upper, chain));
        TRY(exchange(folder, kLayer, volume));
        TRY(discard(folder, kLayer));
        TRY(flush()); // the short chain must not be lost after the layers of the long one
        TRY(dropUnused(merged));
        return chain;
    }

    Fd m_layers;
};

} // namespace

std::unique_ptr<Driver> makeOverlayDriver(Place place) { return std::make_unique<OverlayDriver>(std::move(place)); }

} // namespace lxmgr::storage

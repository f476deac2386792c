// Why names of the upper layers are enough where both sides share the lower ones: a file that no layer above the shared
// ones names comes from these on both sides, or is hidden on one of them by a folder that stands for itself (opaque) in
// a layer above. Then it is missing on that side, and the two lists of names of the merged folders tell. Whiteouts and
// marks of overlay need not be understood for it, and cannot be read by a process without the host's rights.
#include "diff/walk.h"

#include "base/text.h"
#include "diff/attributes.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace lxmgr::diff
{

namespace
{

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kMostLinks = 1'000'000; ///< Files with several names that are remembered.

FileType typeOf(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return FileType::Folder;
    case S_IFLNK:
        return FileType::Link;
    case S_IFCHR:
        return FileType::CharDevice;
    case S_IFBLK:
        return FileType::BlockDevice;
    case S_IFIFO:
        return FileType::Pipe;
    case S_IFSOCK:
        return FileType::Socket;
    default:
        return FileType::File;
    }
}

/// A file of one side, with what is needed to look into it.
struct Found {
    FileState state;
    std::uint64_t inode = 0;
    std::uint64_t names = 1;
    bool isFolder() const { return state.type == FileType::Folder; }
};

bool isGone(const Error &error) { return error.errnum == ENOENT || error.errnum == ENOTDIR || error.errnum == ESTALE; }

class Comparer
{
public:
    Comparer(const Trees &trees, const Listener &listener)
        : m_ids{trees.before.ids, trees.after.ids}, m_listener(listener), m_one(kPiece, '\0'), m_other(kPiece, '\0')
    {
        // A guest with 65536 ids sees all others as one: then they are one on the other side too.
        m_idsSeen = std::max(m_ids[0].count, m_ids[1].count);
    }

    Status run(const Trees &trees)
    {
        const Found before = TRY(look(trees.before.root, ".", 0)), after = TRY(look(trees.after.root, ".", 1));
        compare(trees.before.root, trees.after.root, ".", "/", before, after);
        return folders(trees.before.root, trees.after.root, trees.layers ? &*trees.layers : nullptr, "", 0);
    }

private:
    using Names = std::vector<std::string>;

    Result<Found> look(const Fd &folder, const std::string &name, int side) const
    {
        const struct stat info = TRY(sys::fstatat(folder, name));
        Found found;
        FileState &state = found.state;
        state.type = typeOf(info.st_mode);
        state.mode = info.st_mode & 07777;
        state.uid = idSeen(info.st_uid, m_ids[side], m_idsSeen);
        state.gid = idSeen(info.st_gid, m_ids[side], m_idsSeen);
        state.modified = info.st_mtim.tv_sec;
        state.modifiedNanos = static_cast<std::uint32_t>(info.st_mtim.tv_nsec);
        if (state.type == FileType::File)
            state.size = static_cast<std::uint64_t>(info.st_size);
        if (state.type == FileType::Link)
            state.target = TRY(sys::readlinkat(folder, name));
        if (state.type == FileType::CharDevice || state.type == FileType::BlockDevice) {
            state.major = major(info.st_rdev);
            state.minor = minor(info.st_rdev);
        }
        found.inode = info.st_ino;
        found.names = found.isFolder() ? 1 : info.st_nlink;
        return found;
    }

    /// As look(); nothing where there is no such file (any more), or it cannot be looked at, which is told.
    std::optional<Found> lookIfThere(const Fd &folder, const std::string &name, const std::string &path, int side)
    {
        auto found = look(folder, name, side);
        if (found)
            return std::move(*found);
        if (!isGone(found.error()))
            warn(path, found.error());
        return std::nullopt;
    }

    void warn(const std::string &path, const Error &error)
    {
        m_listener.warning(quoted(path) + ": " + error.message);
    }

    Result<Names> namesIn(const Fd &folder) const
    {
        Names names = TRY(path::list(folder));
        std::sort(names.begin(), names.end());
        return names;
    }

    /// What has to be looked at in a folder that is on both sides, sorted.
    Result<Names> namesToCompare(const Fd &before, const Fd &after, const std::vector<Fd> *layers) const
    {
        const Names one = TRY(namesIn(before)), other = TRY(namesIn(after));
        Names names;
        if (!layers) {
            std::set_union(one.begin(), one.end(), other.begin(), other.end(), std::back_inserter(names));
            return names;
        }
        std::set_symmetric_difference(one.begin(), one.end(), other.begin(), other.end(), std::back_inserter(names));
        for (const Fd &layer : *layers)
            for (std::string &name : TRY(path::list(layer)))
                names.push_back(std::move(name));
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        return names;
    }

    /// Folders called `name` of the layers. None: what is in there comes from below on both sides.
    static Result<std::vector<Fd>> below(const std::vector<Fd> &layers, const std::string &name)
    {
        std::vector<Fd> folders;
        for (const Fd &layer : layers) {
            auto folder = sys::openat(layer, name, kFolderFlags);
            if (folder)
                folders.push_back(std::move(*folder));
            else if (!isGone(folder.error()) && folder.error().errnum != ELOOP)
                return folder.error();
        }
        return folders;
    }

    Status folders(const Fd &before, const Fd &after, const std::vector<Fd> *layers, const std::string &path,
                   unsigned level)
    {
        for (const std::string &name : TRY(namesToCompare(before, after, layers))) {
            const std::string place = path + "/" + name;
            const auto one = lookIfThere(before, name, place, 0), other = lookIfThere(after, name, place, 1);
            if (one && other)
                compare(before, after, name, place, *one, *other);
            if (one && other && one->isFolder() && other->isFolder()) {
                if (Status done = subfolders(before, after, layers, name, place, level + 1); !done)
                    warn(place, done.error());
                continue;
            }
            if (one)
                only(before, name, place, *one, other ? std::optional<ChangeKind>() : ChangeKind::Deleted, 0, level);
            if (other)
                only(after, name, place, *other, one ? std::optional<ChangeKind>() : ChangeKind::Added, 1, level);
        }
        return {};
    }

    Status subfolders(const Fd &before, const Fd &after, const std::vector<Fd> *layers, const std::string &name,
                      const std::string &path, unsigned level)
    {
        if (level > kDeepest)
            return Error(Code::Unsupported, "folders are nested deeper than " + std::to_string(kDeepest) +
                                                "; what is below was not compared");
        std::vector<Fd> own;
        if (layers) {
            own = TRY(below(*layers, name));
            if (own.empty())
                return {};
        }
        const Fd one = TRY(sys::openat(before, name, kFolderFlags)), other = TRY(sys::openat(after, name, kFolderFlags));
        return folders(one, other, layers ? &own : nullptr, path, level);
    }

    /// A file that only `side` has, with all that is below a folder. Without `kind` it was told already, as another type
    /// than on the other side.
    void only(const Fd &folder, const std::string &name, const std::string &path, const Found &found,
              std::optional<ChangeKind> kind, int side, unsigned level)
    {
        if (kind)
            tell(*kind, path, 0, side == 0 ? &found.state : nullptr, side == 1 ? &found.state : nullptr);
        if (!found.isFolder())
            return;
        if (Status done = allOf(folder, name, path, side, level + 1); !done)
            warn(path, done.error());
    }

    Status allOf(const Fd &parent, const std::string &name, const std::string &path, int side, unsigned level)
    {
        if (level > kDeepest)
            return Error(Code::Unsupported, "folders are nested deeper than " + std::to_string(kDeepest) +
                                                "; what is below was not looked at");
        const Fd folder = TRY(sys::openat(parent, name, kFolderFlags));
        for (const std::string &entry : TRY(namesIn(folder))) {
            const std::string place = path + "/" + entry;
            if (const auto found = lookIfThere(folder, entry, place, side))
                only(folder, entry, place, *found, side == 0 ? ChangeKind::Deleted : ChangeKind::Added, side, level);
        }
        return {};
    }

    void tell(ChangeKind kind, const std::string &path, std::uint32_t aspects, const FileState *before,
              const FileState *after)
    {
        Change change{kind, path, aspects, {}, {}};
        if (before)
            change.before = *before;
        if (after)
            change.after = *after;
        m_listener.change(std::move(change));
    }

    void compare(const Fd &before, const Fd &after, const std::string &name, const std::string &path, const Found &one,
                 const Found &other)
    {
        const auto aspects = aspectsOf(before, after, name, one, other);
        if (!aspects && !isGone(aspects.error()))
            warn(path, aspects.error());
        if (!aspects || *aspects == 0)
            return;
        tell(*aspects & kModifying ? ChangeKind::Modified : ChangeKind::Metadata, path, *aspects, &one.state,
             &other.state);
    }

    Result<std::uint32_t> aspectsOf(const Fd &before, const Fd &after, const std::string &name, const Found &one,
                                    const Found &other)
    {
        const FileState &a = one.state, &b = other.state;
        std::uint32_t aspects = 0;
        const auto note = [&](bool differs, Aspect aspect) { aspects |= differs ? std::uint32_t(aspect) : 0U; };
        note(a.mode != b.mode, kMode);
        note(a.uid != b.uid || a.gid != b.gid, kOwner);
        if (a.type != b.type)
            return aspects | kType;
        note((a.modified != b.modified || a.modifiedNanos != b.modifiedNanos) && a.type != FileType::Folder, kTime);
        note(a.target != b.target, kTarget);
        note(a.major != b.major || a.minor != b.minor, kDevice);
        note(linksDiffer(one, other), kLinks);
        note(TRY(attributesDiffer(before, after, name)), kAttributes);
        if (a.type == FileType::File)
            note(a.size != b.size || TRY(contentDiffers(before, after, name)), kContent);
        return aspects;
    }

    /// Files with several names belong together in pairs, one of each side.
    bool linksDiffer(const Found &one, const Found &other)
    {
        if (one.names != other.names)
            return true;
        if (one.names < 2)
            return false;
        if (m_pairs[0].size() >= kMostLinks) {
            if (!m_toldOfLinks)
                m_listener.warning("more than " + std::to_string(kMostLinks) +
                                   " files have several names; which names belong together was not compared for the rest");
            m_toldOfLinks = true;
            return false;
        }
        const auto there = m_pairs[0].try_emplace(one.inode, other.inode).first;
        const auto back = m_pairs[1].try_emplace(other.inode, one.inode).first;
        return there->second != other.inode || back->second != one.inode;
    }

    Result<bool> attributesDiffer(const Fd &before, const Fd &after, const std::string &name) const
    {
        return TRY(attributesOf(before, name, m_ids[0], m_idsSeen)) !=
               TRY(attributesOf(after, name, m_ids[1], m_idsSeen));
    }

    static Result<Fd> openFile(const Fd &folder, const std::string &name)
    {
        Fd file = TRY(sys::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
        if (!S_ISREG(TRY(sys::fstat(file)).st_mode))
            return Error(Code::WrongState, "it was replaced while it was looked at");
        return file;
    }

    /// Reads up to `size` bytes from `at`, fewer only at the end.
    static Result<std::size_t> readAt(const Fd &file, char *data, std::size_t size, off_t at)
    {
        std::size_t have = 0;
        while (have < size) {
            const long got = TRY(sys::call("pread", {}, [&] {
                return ::pread(file.get(), data + have, size - have, at + static_cast<off_t>(have));
            }));
            if (got == 0)
                break;
            have += static_cast<std::size_t>(got);
        }
        return have;
    }

    /// Where data begins at or behind `at`; nothing where only a hole is left.
    static Result<std::optional<off_t>> nextData(const Fd &file, off_t at)
    {
        const auto found = sys::call("lseek", {}, [&] { return ::lseek(file.get(), at, SEEK_DATA); });
        if (!found && found.error().errnum == ENXIO)
            return std::optional<off_t>();
        if (!found && found.error().errnum == EINVAL) // a file system that knows no holes
            return std::optional(at);
        return std::optional<off_t>(TRY(found));
    }

    /// Of two files as long as each other. Holes on both sides are not read: a guest may make them as long as it likes.
    Result<bool> contentDiffers(const Fd &before, const Fd &after, const std::string &name)
    {
        const Fd one = TRY(openFile(before, name)), other = TRY(openFile(after, name));
        for (off_t at = 0;;) {
            const std::size_t have = TRY(readAt(one, m_one.data(), kPiece, at));
            if (have != TRY(readAt(other, m_other.data(), kPiece, at)) ||
                std::memcmp(m_one.data(), m_other.data(), have) != 0)
                return true;
            at += static_cast<off_t>(have);
            if (have < kPiece)
                return false;
            const auto first = TRY(nextData(one, at)), second = TRY(nextData(other, at));
            if (!first && !second)
                return false;
            at = std::min(first.value_or(second.value_or(at)), second.value_or(first.value_or(at)));
        }
    }

    Ids m_ids[2];
    std::uint32_t m_idsSeen = 0;
    const Listener &m_listener;
    std::string m_one;
    std::string m_other;
    std::map<std::uint64_t, std::uint64_t> m_pairs[2]; ///< Inodes of files with several names, from side to side.
    bool m_toldOfLinks = false;
};

} // namespace

Status compareTrees(const Trees &trees, const Listener &listener)
{
    return Comparer(trees, listener).run(trees);
}

} // namespace lxmgr::diff

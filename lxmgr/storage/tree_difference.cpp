// The difference of two trees as an overlay layer, and the way back: a plain tree brought to what the layer shows. So the
// states of a volume that comes from another pool cost what changed between them, whatever drivers the two pools have.
#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "storage/tree.h"
#include "trees/entries.h"

#include <array>
#include <optional>
#include <set>
#include <unistd.h>

namespace lxmgr::storage
{

using namespace trees;

namespace
{

constexpr unsigned kDeepest = 1100; ///< As in copying.

/// One name in merged layers.
struct Found {
    std::size_t layer = 0;
    struct stat info {
    };
    FileId id() const { return {info.st_dev, info.st_ino}; }
};

/// What `name` is in the uppermost layer that has it; none: nothing, or a whiteout.
Result<std::optional<Found>> lookUp(const std::vector<Fd> &layers, const std::string &name)
{
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const auto info = sys::fstatat(layers[i], name);
        if (!info && info.error().errnum == ENOENT)
            continue;
        const Found found{i, TRY(info)};
        return isWhiteout(found.info) ? std::nullopt : std::optional(found);
    }
    return std::optional<Found>();
}

std::string joined(const std::string &path, const std::string &name) { return path.empty() ? name : path + "/" + name; }

std::string parentOf(const std::string &path)
{
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

Result<Fd> openEntry(const Fd &folder, const std::string &name, mode_t mode)
{
    const int how = S_ISREG(mode) ? O_RDONLY | O_NONBLOCK | O_NOATIME : O_PATH;
    return sys::openat(folder, name, how | O_NOFOLLOW | O_CLOEXEC);
}

Result<bool> sameBytes(const Fd &one, const Fd &other)
{
    static thread_local std::array<char, 1 << 17> a, b;
    for (off_t at = 0;;) {
        const long have = TRY(sys::call("pread", {}, [&] { return ::pread(one.get(), a.data(), a.size(), at); }));
        if (have == 0)
            return true; // the sizes are the same
        for (long done = 0; done < have;) {
            const long more = TRY(sys::call("pread", {}, [&] {
                return ::pread(other.get(), b.data() + done, static_cast<std::size_t>(have - done), at + done);
            }));
            if (more == 0)
                return false; // made shorter under us
            done += more;
        }
        if (std::memcmp(a.data(), b.data(), static_cast<std::size_t>(have)) != 0)
            return false;
        at += have;
    }
}

bool sameMetadata(const struct stat &a, const struct stat &b)
{
    return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid && a.st_rdev == b.st_rdev &&
           (S_ISDIR(a.st_mode) || a.st_size == b.st_size) && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
           a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

/// The same file at two times: no write and no change of owner, mode or name leaves the third time as it was.
bool isUntouched(const struct stat &a, const struct stat &b)
{
    return a.st_ino == b.st_ino && a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec &&
           sameMetadata(a, b);
}

/// Whether these are the same folders, of layers that nobody writes to.
Result<bool> sameFolders(const std::vector<Fd> &one, const std::vector<Fd> &other)
{
    if (one.size() != other.size())
        return false;
    for (std::size_t i = 0; i < one.size(); ++i) {
        const struct stat a = TRY(sys::fstat(one[i])), b = TRY(sys::fstat(other[i]));
        if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
            return false;
    }
    return true;
}

class Difference
{
public:
    Difference(const TreeDifference &what, const Fd &to)
        : m_base(what.base), m_tree(what.tree), m_to(to), m_copy{to, what.source, Marks::Drop, {}}
    {
    }

    Status write(const std::vector<Fd> &previous)
    {
        TRY(compareFolders(m_base, m_tree, previous, "", 0));
        TRY(linkLate());
        TRY(finishFolders());
        return setAll(m_to, TRY(sys::fstat(m_tree.front())),
                      withoutOverlayMarks(TRY(attributesOf(m_tree.front()))));
    }

private:
    Status compareFolders(const std::vector<Fd> &base, const std::vector<Fd> &tree, const std::vector<Fd> &previous,
                          const std::string &path, unsigned level)
    {
        if (level > kDeepest)
            return Error(Code::Invalid, "folders are nested deeper than " + std::to_string(kDeepest));
        if (TRY(sameFolders(previous, tree)))
            return {};
        std::set<std::string> there;
        std::set<std::string> seen;
        for (const Fd &layer : tree) {
            Entries entries = TRY(Entries::open(layer));
            while (const trees::FolderEntry *entry = TRY(entries.next())) {
                const std::string name = entry->name;
                if (!seen.insert(name).second)
                    continue; // hidden by a layer above
                const auto found = TRY(lookUp(tree, name));
                if (!found)
                    continue; // a whiteout, or gone since it was listed
                Status compared = compareEntry(base, tree, previous, *found, name, path, level);
                const bool gone = !compared && compared.error().errnum == ENOENT &&
                                  m_copy.source == Source::Changing && !TRY(lookUp(tree, name));
                if (gone)
                    continue;
                TRY(compared);
                there.insert(name);
            }
        }
        return dropOthers(base, there, path);
    }

    /// A whiteout for what the base has and the tree has not.
    Status dropOthers(const std::vector<Fd> &base, const std::set<std::string> &there, const std::string &path)
    {
        std::set<std::string> seen;
        for (const Fd &layer : base) {
            Entries entries = TRY(Entries::open(layer));
            while (const trees::FolderEntry *entry = TRY(entries.next())) {
                const std::string name = entry->name;
                if (there.contains(name) || !seen.insert(name).second || !TRY(lookUp(base, name)))
                    continue;
                TRY(sys::mknodat(*TRY(folderAt(path)), name, S_IFCHR, 0));
            }
        }
        return {};
    }

    Status compareEntry(const std::vector<Fd> &base, const std::vector<Fd> &tree, const std::vector<Fd> &previous,
                        const Found &found, const std::string &name, const std::string &path, unsigned level)
    {
        const std::string own = joined(path, name);
        const auto before = TRY(lookUp(base, name));
        const auto earlier = TRY(lookUp(previous, name));
        if (!S_ISDIR(found.info.st_mode)) {
            const bool untouched = earlier && isUntouched(earlier->info, found.info);
            return compareFile(base, before, tree, found, untouched ? Looked::IsUntouched : Looked::No, name, path);
        }
        if (!before || !S_ISDIR(before->info.st_mode)) {
            const Fd &parent = *TRY(folderAt(path));
            TRY(copyEntry(tree, found.layer, parent, name, own, level, m_copy));
            return m_base.empty() ? Status() : makeOpaque(TRY(openFolder(parent, name)));
        }
        const Stack was = TRY(stackOf(base, before->layer, name));
        const Stack now = TRY(stackOf(tree, found.layer, name));
        const Stack then = earlier && S_ISDIR(earlier->info.st_mode) ? TRY(stackOf(previous, earlier->layer, name)) : Stack();
        TRY(compareFolders(was.folders, now.folders, then.folders, own, level + 1));
        if (!TRY(sameAttributes(was.folders.front(), now.folders.front())))
            TRY(folderAt(own));
        return {};
    }

    enum class Looked { No, IsUntouched };

    Status compareFile(const std::vector<Fd> &base, const std::optional<Found> &before, const std::vector<Fd> &tree,
                       const Found &found, Looked looked, const std::string &name, const std::string &path)
    {
        const bool several = found.info.st_nlink > 1;
        if (several && m_copy.links.contains(found.id()))
            return write(tree, found, name, path);
        // Which names are one file counts too.
        const bool severalBefore = before && before->info.st_nlink > 1;
        const bool same = before && severalBefore == several && TRY(mayBeOneFile(*before, found, several)) &&
                          sameMetadata(before->info, found.info) &&
                          (looked == Looked::IsUntouched ||
                           TRY(sameFile(base[before->layer], *before, tree[found.layer], found, name)));
        if (!same)
            return write(tree, found, name, path);
        if (several) {
            Links &links = m_kept[found.id()];
            links.paths.push_back(joined(path, name));
            links.base = before->id();
            m_claimed[before->id()] = found.id();
        }
        return {};
    }

    /// Whether all names of the file so far were one file in the base, and no other's.
    Result<bool> mayBeOneFile(const Found &before, const Found &found, bool several) const
    {
        if (!several)
            return true;
        const auto kept = m_kept.find(found.id());
        const auto claimed = m_claimed.find(before.id());
        return (kept == m_kept.end() || kept->second.base == before.id()) &&
               (claimed == m_claimed.end() || claimed->second == found.id());
    }

    static Result<bool> sameFile(const Fd &base, const Found &before, const Fd &tree, const Found &found,
                                 const std::string &name)
    {
        const struct stat &a = before.info, &b = found.info;
        if (S_ISLNK(b.st_mode) && TRY(sys::readlinkat(base, name)) != TRY(sys::readlinkat(tree, name)))
            return false;
        const Fd one = TRY(openEntry(base, name, a.st_mode)), other = TRY(openEntry(tree, name, b.st_mode));
        if (withoutOverlayMarks(TRY(attributesOf(one))) != withoutOverlayMarks(TRY(attributesOf(other))))
            return false;
        const bool timeWasSet = S_ISREG(b.st_mode) && b.st_mtim.tv_nsec == 0;
        return timeWasSet ? sameBytes(one, other) : Result<bool>(true);
    }

    Status write(const std::vector<Fd> &tree, const Found &found, const std::string &name, const std::string &path)
    {
        return copyEntry(tree, found.layer, *TRY(folderAt(path)), name, joined(path, name), 0, m_copy);
    }

    /// Names that were as in the base, before another of the same file turned out not to be.
    Status linkLate()
    {
        for (const auto &[id, links] : m_kept) {
            const auto written = m_copy.links.find(id);
            if (written == m_copy.links.end())
                continue;
            for (const std::string &path : links.paths) {
                const std::size_t slash = path.rfind('/');
                const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
                TRY(sys::linkat(m_to, written->second, *TRY(folderAt(parentOf(path))), name));
            }
        }
        return {};
    }

    /// The folder `path` of the layer, made with all above it. Valid until the next call.
    Result<const Fd *> folderAt(const std::string &path)
    {
        if (path.empty())
            return &m_to;
        if (m_last && m_lastPath == path)
            return &m_last;
        Fd at = TRY(sys::openat(m_to, ".", kFolderFlags));
        std::string done;
        for (const std::string &name : split(path, '/')) {
            done = joined(done, name);
            if (exists(at, name)) {
                at = TRY(openFolder(at, name));
                continue;
            }
            at = TRY(makeFolder(at, name, 0700));
            m_made.insert(done);
        }
        m_last = std::move(at);
        m_lastPath = path;
        return &m_last;
    }

    /// Last: filling the folders changed their times.
    Status finishFolders()
    {
        for (const std::string &path : m_made) {
            std::vector<Fd> tree;
            const std::vector<Fd> *at = &m_tree;
            for (const std::string &name : split(path, '/')) {
                const auto found = TRY(lookUp(*at, name));
                if (!found)
                    return Error::fromErrno(ENOENT, "lookup", name);
                tree = std::move(TRY(stackOf(*at, found->layer, name)).folders);
                at = &tree;
            }
            TRY(setAll(*TRY(folderAt(path)), TRY(sys::fstat(tree.front())),
                       withoutOverlayMarks(TRY(attributesOf(tree.front())))));
        }
        return {};
    }

    struct Links {
        std::vector<std::string> paths;
        FileId base;
    };

    const std::vector<Fd> &m_base;
    const std::vector<Fd> &m_tree;
    const Fd &m_to;
    Copy m_copy;
    std::map<FileId, Links> m_kept;      ///< Files with several names, all as in the base so far.
    std::map<FileId, FileId> m_claimed;  ///< Those of the base → of the tree.
    std::set<std::string> m_made;
    std::string m_lastPath;
    Fd m_last;
};

Status applyFolder(const Fd &layer, const Fd &tree);

Status applyEntry(const Fd &layer, const Fd &tree, const std::string &name)
{
    const struct stat info = TRY(sys::fstatat(layer, name));
    const auto before = sys::fstatat(tree, name);
    if (!before && before.error().errnum != ENOENT)
        return before.error();
    if (isWhiteout(info)) {
        TRY(sys::unlinkat(layer, name));
        return before ? path::removeTree(tree, name) : Status();
    }
    if (!S_ISDIR(info.st_mode)) {
        if (before && S_ISDIR(before->st_mode))
            TRY(path::removeTree(tree, name));
        return sys::renameat2(layer, name, tree, name, 0);
    }
    const Fd folder = TRY(openFolder(layer, name));
    if (!isOpaque(folder) && before && S_ISDIR(before->st_mode)) {
        TRY(applyFolder(folder, TRY(openFolder(tree, name))));
        return sys::unlinkat(layer, name, AT_REMOVEDIR);
    }
    if (before)
        TRY(path::removeTree(tree, name));
    TRY(sys::renameat2(layer, name, tree, name, 0));
    // Without the mark, and with the times: xfs touches a folder that comes to another parent.
    const Attributes attributes = withoutOverlayMarks(TRY(attributesOf(folder)));
    TRY(dropOpaque(folder));
    return setAll(folder, info, attributes);
}

Status applyFolder(const Fd &layer, const Fd &tree)
{
    const struct stat info = TRY(sys::fstat(layer));
    const Attributes attributes = TRY(attributesOf(layer));
    Entries entries = TRY(Entries::open(layer));
    std::vector<std::string> names;
    while (const trees::FolderEntry *entry = TRY(entries.next()))
        names.push_back(entry->name);
    for (const std::string &name : names)
        TRY(applyEntry(layer, tree, name));
    for (const auto &[name, value] : TRY(attributesOf(tree)))
        if (!attributes.contains(name))
            TRY(removeAttribute(tree, name));
    return setAll(tree, info, attributes);
}

} // namespace

Status writeDifference(const TreeDifference &what, const Fd &to) { return Difference(what, to).write(what.previous); }

Status applyDifference(const Fd &layer, const Fd &tree) { return applyFolder(layer, tree); }

} // namespace lxmgr::storage

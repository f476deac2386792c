#include "monitor/put_back.h"

#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "trees/copy.h"
#include "trees/entries.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace lxmgr::monitor
{

namespace
{

using path::Scope;
using trees::Entries;
using trees::kFolderFlags;

/// A folder beside what is put back, for entries that are not whole yet.
constexpr const char *kDraft = ".lxmgr-restore";

Result<Fd> forReading(const Fd &folder) { return sys::openat(folder, ".", kFolderFlags); }

/// What the entry is at all, or nothing.
Result<std::optional<struct stat>> lookUp(const Fd &folder, const std::string &name)
{
    const auto info = sys::fstatat(folder, name);
    if (!info && info.error().errnum == ENOENT)
        return std::optional<struct stat>();
    return std::optional(TRY(info));
}

class PutBack
{
public:
    PutBack(const Fd &top, const std::function<bool()> &cancelled) : m_copy{top, trees::Source::Still, trees::Marks::Drop, {}}, m_cancelled(cancelled) {}

    /// `path`: of the entry, below the top.
    Status entry(const Fd &from, const Fd &to, const std::string &name, const std::string &path)
    {
        if (m_cancelled())
            return Error(Code::Cancelled, "restoring was stopped");
        const struct stat was = TRY(sys::fstatat(from, name));
        const auto now = TRY(lookUp(to, name));
        if (S_ISDIR(was.st_mode))
            return folder(from, to, name, path, now);
        if (now && TRY(isSame(from, was, to, *now, name)))
            return {};
        const Fd draft = TRY(trees::makeFolder(m_copy.top, kDraft, 0700));
        std::vector<Fd> source;
        source.push_back(TRY(forReading(from)));
        TRY(trees::copyEntry(source, 0, draft, name, path, 0, m_copy));
        if (now && S_ISDIR(now->st_mode))
            TRY(path::removeTree(to, name));
        return sys::renameat2(draft, name, to, name);
    }

private:
    /// Of a regular file size, time, owner, mode and attributes tell, but for a time that was set by hand. One of several
    /// names is made anew, as what it shares is to be the same again, too.
    static Result<bool> isSame(const Fd &from, const struct stat &was, const Fd &to, const struct stat &now, const std::string &name)
    {
        const bool alike = S_ISREG(was.st_mode) && S_ISREG(now.st_mode) && was.st_nlink == 1 && now.st_nlink == 1 &&
                           was.st_size == now.st_size && was.st_mtim.tv_nsec != 0;
        if (!alike)
            return false;
        constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
        return trees::sameAttributes(TRY(sys::openat(from, name, kFlags)), TRY(sys::openat(to, name, kFlags)));
    }

    Status folder(const Fd &from, const Fd &to, const std::string &name, const std::string &path, const std::optional<struct stat> &now)
    {
        if (now && !S_ISDIR(now->st_mode))
            TRY(sys::unlinkat(to, name));
        const Fd source = TRY(sys::openat(from, name, kFolderFlags));
        const Fd target = TRY(now && S_ISDIR(now->st_mode) ? sys::openat(to, name, kFolderFlags) : trees::makeFolder(to, name, 0700));
        TRY(removeNewer(source, target));
        for (const std::string &below : TRY(path::list(source)))
            TRY_IN(below, entry(source, target, below, path + "/" + below));
        return makeAlike(source, target); // last: filling it changed its times
    }

    static Status removeNewer(const Fd &source, const Fd &target)
    {
        for (const std::string &name : TRY(path::list(target)))
            if (!TRY(lookUp(source, name)))
                TRY(path::removeTree(target, name));
        return {};
    }

    static Status makeAlike(const Fd &source, const Fd &target)
    {
        const trees::Attributes attributes = TRY(trees::attributesOf(source));
        for (const auto &[name, value] : TRY(trees::attributesOf(target)))
            if (!attributes.contains(name))
                TRY(trees::removeAttribute(target, name));
        return trees::setAll(target, TRY(sys::fstat(source)), attributes);
    }

    trees::Copy m_copy;
    const std::function<bool()> &m_cancelled;
};

/// The folder that is to hold `path`; what is missing of the way there is made as it is below `source`.
Result<Fd> makeWay(const Fd &root, const Fd &source, const std::string &path)
{
    const std::vector<std::string> parts = split(TRY(path::normalized(path)), '/');
    std::string way;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        way += (i ? "/" : "") + parts[i];
        const auto there = path::open(root, way, O_RDONLY | O_DIRECTORY, Scope::InRoot);
        if (there)
            continue;
        if (there.error().errnum != ENOENT)
            return Error(there.error()).in(quoted("/" + way));
        const path::Parent parent = TRY(path::openParent(root, way, Scope::InRoot));
        const Fd made = TRY(trees::makeFolder(parent.folder, parent.name, 0700));
        TRY(trees::copyAttributes(TRY(path::open(source, way, O_RDONLY | O_DIRECTORY, Scope::InRoot)), made));
    }
    return forReading(TRY(path::openParent(root, path, Scope::InRoot)).folder);
}

} // namespace

Status putBack(const Fd &root, const Fd &source, const std::string &path, const std::function<bool()> &cancelled)
{
    const path::Parent from = TRY(path::openParent(source, path, Scope::InRoot));
    TRY(sys::fstatat(from.folder, from.name));
    const Fd top = TRY(makeWay(root, source, path));
    TRY(path::removeTree(top, kDraft));
    Status done = PutBack(top, cancelled).entry(TRY(forReading(from.folder)), top, from.name, from.name);
    Status dropped = path::removeTree(top, kDraft);
    return done ? std::move(dropped) : std::move(done);
}

Status dropHalfPutBack(const Fd &root, const std::string &path)
{
    const auto parent = path::openParent(root, path, Scope::InRoot);
    if (!parent)
        return parent.error().errnum == ENOENT ? Status() : Status(parent.error());
    return path::removeTree(parent->folder, kDraft);
}

} // namespace lxmgr::monitor

#include "migrate/take.h"

#include "base/text.h"
#include "images/fingerprint.h"
#include "kernel/sys.h"
#include "trees/copy.h"
#include "trees/entries.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace lxmgr::migrate
{

namespace
{

constexpr std::size_t kMostDevices = 4096; ///< As in archives.

std::string joined(const std::string &path, const std::string &name) { return path.empty() ? name : path + "/" + name; }

bool isDevice(mode_t mode) { return S_ISCHR(mode) || S_ISBLK(mode); }

Result<trees::Attributes> attributesOf(const Fd &file)
{
    trees::Attributes attributes = TRY(trees::attributesOf(file));
    std::erase_if(attributes, [](const auto &attribute) { return !goesAlong(attribute.first); });
    return attributes;
}

bool sameMetadata(const Entry &entry, const struct stat &info)
{
    const bool device = isDevice(entry.mode) && info.st_rdev != makedev(entry.major, entry.minor);
    return entry.mode == info.st_mode && entry.uid == info.st_uid && entry.gid == info.st_gid && !device &&
           (entry.kind != Kind::File || entry.size == static_cast<std::uint64_t>(info.st_size)) &&
           entry.modified.tv_sec == info.st_mtim.tv_sec && entry.modified.tv_nsec == info.st_mtim.tv_nsec;
}

struct stat statOf(const Entry &entry)
{
    struct stat info {
    };
    info.st_uid = entry.uid;
    info.st_gid = entry.gid;
    info.st_mode = entry.mode;
    info.st_atim = info.st_mtim = entry.modified;
    return info;
}

/// What is done about an entry once the sender's answers are there.
struct Step {
    enum class What {
        Enter, Leave,
        Keep,    ///< It is here.
        Make,    ///< From what the entry says.
        Receive, ///< A file, and its content comes.
        Check,   ///< A file, and its content comes if it is not what is here.
        Again,   ///< One more name of a file that is made.
        Hide,    ///< What is here and not there.
    };
    What what = What::Keep;
    Entry entry;
    bool same = false; ///< Enter: there is such a folder.
};

class Taker
{
public:
    Taker(Stream &stream, const Fd *base, const Fd &to, const TakeOptions &options) : m_stream(stream), m_base(base), m_to(to), m_options(options) {}

    Result<Taken> take()
    {
        while (TRY(takeBatch()) != Kind::TreeEnd) {
        }
        if (!m_rootSeen || !m_looked.empty() || !m_made.empty())
            return Error(Code::Invalid, "the other server ends the tree in the middle of a folder");
        TRY(linkLate());
        return std::move(m_taken);
    }

private:
    struct Looked { ///< A folder that is being compared.
        Fd base;    ///< The same here, if there is one.
        std::string path;
        std::set<std::string> seen;
    };
    struct Made { ///< A folder that is being made.
        Entry entry;
        std::string path;
        Fd fd; ///< Once something in it is different.
    };
    struct Names { ///< Of a file that has several, all as they are here so far.
        std::vector<std::string> paths;
        trees::FileId base;
    };

    // --- looking

    Result<Kind> takeBatch()
    {
        std::vector<Step> steps;
        std::size_t attributeBytes = 0;
        m_files = 0;
        m_answers.clear();
        for (;;) {
            Entry entry = TRY(takeEntry(m_stream));
            if (entry.kind == Kind::BatchEnd || entry.kind == Kind::TreeEnd) {
                TRY(answer());
                for (Step &step : steps)
                    TRY_IN(quoted(step.entry.name), carryOut(step));
                return entry.kind;
            }
            for (const auto &[name, value] : entry.attributes)
                attributeBytes += name.size() + value.size();
            if (steps.size() > 2 * kMostEntries + m_hidden || attributeBytes > 2 * kMostAttributeBytes)
                return Error(Code::Invalid, "the other server sends more at once than was agreed on");
            if (++m_taken.entries > m_options.limits.entries)
                return Error(Code::Invalid, "the tree has more than " + std::to_string(m_options.limits.entries) + " entries");
            TRY(look(std::move(entry), steps));
        }
    }

    Status answer()
    {
        TRY(m_stream.putNumber(m_answers.size()));
        for (const auto &[file, hash] : m_answers) {
            TRY(m_stream.putNumber(file));
            TRY(m_stream.putNumber(static_cast<std::uint64_t>(hash.empty() ? Wish::Want : Wish::Check)));
            if (!hash.empty())
                TRY(m_stream.putText(hash));
        }
        m_hidden = 0;
        return m_stream.flush();
    }

    Status look(Entry entry, std::vector<Step> &steps)
    {
        if (entry.kind == Kind::Leave)
            return leave(steps);
        const bool isRoot = entry.kind == Kind::Enter && !m_rootSeen;
        if (isRoot != m_looked.empty() || isRoot != entry.name.empty())
            return Error(Code::Invalid, "the other server sends an entry that is in no folder");
        if (!isRoot) {
            TRY(checkName(entry.name));
            if (m_looked.back().base)
                m_looked.back().seen.insert(entry.name);
        }
        if (entry.kind == Kind::Enter)
            return enter(std::move(entry), steps);
        Step step;
        step.what = TRY(compare(entry));
        step.entry = std::move(entry);
        steps.push_back(std::move(step));
        return {};
    }

    Status enter(Entry entry, std::vector<Step> &steps)
    {
        if (m_looked.size() > kDeepest)
            return Error(Code::Invalid, "folders are nested deeper than " + std::to_string(kDeepest));
        Looked looked;
        if (m_looked.empty()) {
            m_rootSeen = true;
            if (m_base)
                looked.base = TRY(sys::openat(*m_base, ".", trees::kFolderFlags));
        } else {
            looked.path = joined(m_looked.back().path, entry.name);
            if (m_looked.back().base)
                if (auto there = sys::openat(m_looked.back().base, entry.name, trees::kFolderFlags))
                    looked.base = std::move(*there);
        }
        Step step;
        step.what = Step::What::Enter;
        step.same = looked.base && sameMetadata(entry, TRY(sys::fstat(looked.base))) && TRY(attributesOf(looked.base)) == entry.attributes;
        step.entry = std::move(entry);
        steps.push_back(std::move(step));
        m_looked.push_back(std::move(looked));
        return {};
    }

    Status leave(std::vector<Step> &steps)
    {
        if (m_looked.empty())
            return Error(Code::Invalid, "the other server leaves a folder that it has not entered");
        const Looked looked = std::move(m_looked.back());
        m_looked.pop_back();
        if (looked.base) {
            trees::Entries entries = TRY(trees::Entries::open(looked.base));
            while (const trees::FolderEntry *entry = TRY(entries.next())) {
                if (looked.seen.contains(entry->name))
                    continue;
                Step step;
                step.what = Step::What::Hide;
                step.entry.name = entry->name;
                steps.push_back(std::move(step));
                ++m_hidden;
            }
        }
        Step step;
        step.what = Step::What::Leave;
        steps.push_back(std::move(step));
        return {};
    }

    Result<Step::What> compare(const Entry &entry)
    {
        using What = Step::What;
        const std::uint64_t file = entry.kind == Kind::File ? m_files++ : 0;
        if (entry.several && m_known.contains(entry.several))
            return What::Again;
        const Fd &base = m_looked.back().base;
        const auto before = base ? sys::fstatat(base, entry.name) : Result<struct stat>(Error(Code::NotFound, entry.name));
        const bool same = before && sameMetadata(entry, *before) && isOneFile(entry, *before) && TRY(sameContent(entry, base));
        if (!same) {
            if (entry.several)
                m_known.insert(entry.several);
            if (entry.kind != Kind::File)
                return What::Make;
            m_answers.emplace_back(file, "");
            return What::Receive;
        }
        if (entry.several) {
            Names &names = m_kept[entry.several];
            names.paths.push_back(joined(m_looked.back().path, entry.name));
            names.base = {before->st_dev, before->st_ino};
            m_claimed[names.base] = entry.several;
        }
        if (entry.kind != Kind::File || entry.untouched || entry.size == 0 || entry.modified.tv_nsec != 0)
            return What::Keep;
        images::Sha256 hash;
        TRY(images::hashFile(TRY(openFile(base, entry.name)), hash));
        m_answers.emplace_back(file, hash.finish());
        return What::Check;
    }

    /// Which names are one file counts too: all of them so far were one here, and no other's.
    bool isOneFile(const Entry &entry, const struct stat &before) const
    {
        if ((entry.several != 0) != (before.st_nlink > 1))
            return false;
        if (!entry.several)
            return true;
        const trees::FileId id{before.st_dev, before.st_ino};
        const auto kept = m_kept.find(entry.several);
        const auto claimed = m_claimed.find(id);
        return (kept == m_kept.end() || kept->second.base == id) && (claimed == m_claimed.end() || claimed->second == entry.several);
    }

    static Result<Fd> openFile(const Fd &folder, const std::string &name)
    {
        return sys::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    }

    /// As far as it can be told without the sender.
    static Result<bool> sameContent(const Entry &entry, const Fd &base)
    {
        if (entry.kind == Kind::Link)
            return TRY(sys::readlinkat(base, entry.name)) == entry.target;
        if (entry.kind != Kind::File)
            return true;
        return TRY(attributesOf(TRY(openFile(base, entry.name)))) == entry.attributes;
    }

    // --- making

    Status carryOut(Step &step)
    {
        using What = Step::What;
        switch (step.what) {
        case What::Enter: {
            Made made{std::move(step.entry), {}, {}};
            made.path = m_made.empty() ? "" : joined(m_made.back().path, made.entry.name);
            m_made.push_back(std::move(made));
            return step.same && m_made.size() > 1 ? Status() : Status(makeFolders());
        }
        case What::Leave: {
            const Made made = std::move(m_made.back());
            m_made.pop_back();
            return made.fd ? trees::setAll(made.fd, statOf(made.entry), made.entry.attributes) : Status();
        }
        case What::Keep:
            return {};
        case What::Hide:
            TRY(makeFolders());
            return sys::mknodat(m_made.back().fd, step.entry.name, S_IFCHR, 0);
        case What::Make:
            return makeEntry(step.entry);
        case What::Receive:
        case What::Check:
            return receive(step.entry);
        case What::Again:
            return makeAgain(step.entry);
        }
        return {};
    }

    /// The folder that is being made, with all above it.
    Status makeFolders()
    {
        for (std::size_t i = 0; i < m_made.size(); ++i) {
            if (m_made[i].fd)
                continue;
            if (i == 0) {
                m_made[i].fd = TRY(sys::openat(m_to, ".", trees::kFolderFlags));
                continue;
            }
            TRY(sys::mkdirat(m_made[i - 1].fd, m_made[i].entry.name, 0700));
            m_made[i].fd = TRY(trees::openFolder(m_made[i - 1].fd, m_made[i].entry.name));
        }
        return {};
    }

    Status makeEntry(const Entry &entry)
    {
        if (isDevice(entry.mode))
            return leaveDevice(entry);
        TRY(makeFolders());
        const Fd &folder = m_made.back().fd;
        if (entry.kind == Kind::Link)
            TRY(sys::symlinkat(entry.target, folder, entry.name));
        else
            TRY(sys::mknodat(folder, entry.name, (entry.mode & S_IFMT) | 0600, 0));
        TRY(sys::fchownat(folder, entry.name, entry.uid, entry.gid));
        if (entry.kind != Kind::Link)
            TRY(sys::fchmodat(folder, entry.name, entry.mode & 07777));
        const timespec times[2] = {entry.modified, entry.modified};
        TRY(sys::call("utimensat", entry.name, [&] { return ::utimensat(folder.get(), entry.name.c_str(), times, AT_SYMLINK_NOFOLLOW); }));
        remember(entry);
        return {};
    }

    /// Nodes of devices take a right that this process has not.
    Status leaveDevice(const Entry &entry)
    {
        if (!m_options.devices) {
            ++m_taken.devicesLeftOut;
            return {};
        }
        if (m_taken.devices.size() >= kMostDevices)
            return Error(Code::Invalid, "the tree has more than " + std::to_string(kMostDevices) + " devices");
        TRY(makeFolders());
        m_taken.devices.push_back({joined(m_made.back().path, entry.name), entry.mode, entry.major, entry.minor, entry.uid, entry.gid,
                                   entry.modified.tv_sec, entry.modified.tv_nsec});
        return {};
    }

    /// One more name of it can be made from now on.
    void remember(const Entry &entry)
    {
        if (entry.several)
            m_written.emplace(entry.several, joined(m_made.back().path, entry.name));
    }

    Status makeAgain(const Entry &entry)
    {
        const auto written = m_written.find(entry.several);
        if (written == m_written.end()) // a device that was left out
            return isDevice(entry.mode) ? leaveDevice(entry) : Status(Error(Code::Invalid, "the other server sends a name of a file that it has not sent"));
        TRY(makeFolders());
        return sys::linkat(m_to, written->second, m_made.back().fd, entry.name);
    }

    Status receive(const Entry &entry)
    {
        const std::uint64_t found = TRY(m_stream.number());
        if (found == static_cast<std::uint64_t>(Found::Same))
            return {};
        if (found != static_cast<std::uint64_t>(Found::Data))
            return Error(Code::Invalid, "the other server sends no answer about it");
        ++m_taken.files;
        if (entry.several)
            m_known.insert(entry.several);
        const std::string path = joined(m_made.back().path, entry.name);
        if (const auto kept = m_kept.find(entry.several); entry.several && kept != m_kept.end())
            std::erase(kept->second.paths, path);
        const bool again = entry.several && m_written.contains(entry.several);
        TRY(makeFolders());
        const Fd &folder = m_made.back().fd;
        if (again) {
            TRY(receiveContent(entry, nullptr));
            return sys::linkat(m_to, m_written.at(entry.several), folder, entry.name);
        }
        const Fd file = TRY(sys::openat(folder, entry.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        TRY(receiveContent(entry, &file));
        TRY(trees::setAll(file, statOf(entry), entry.attributes));
        remember(entry);
        return {};
    }

    Status receiveContent(const Entry &entry, const Fd *file)
    {
        std::uint64_t at = 0;
        while (const std::uint64_t head = TRY(m_stream.number())) {
            std::uint64_t left = head >> 1;
            if (left > entry.size - at)
                return Error(Code::Invalid, "the other server sends more of it than there is");
            if (head & kHole) {
                at += left;
                continue;
            }
            m_taken.data += left;
            if (m_taken.data > m_options.limits.room.count)
                return Error(Code::NoSpace, "there is too little room for it: no more than " + humanBytes(m_options.limits.room) + " can be taken", ENOSPC);
            while (left > 0) {
                const std::string_view piece = TRY(m_stream.bytes(left));
                if (file)
                    TRY(writeAt(*file, piece, at));
                at += piece.size();
                left -= piece.size();
            }
            m_options.told(m_taken.data);
        }
        if (at != entry.size)
            return Error(Code::Invalid, "the other server sends less of it than there is");
        return file && at > 0 ? sys::ftruncate(*file, static_cast<off_t>(at)) : Status();
    }

    static Status writeAt(const Fd &file, std::string_view bytes, std::uint64_t at)
    {
        while (!bytes.empty()) {
            const auto done = static_cast<std::size_t>(
                TRY(sys::call("write", {}, [&] { return ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)); })));
            bytes.remove_prefix(done);
            at += done;
        }
        return {};
    }

    // --- names that were as they are here, before another of the same file turned out not to be

    Status linkLate()
    {
        for (const auto &[several, names] : m_kept) {
            const auto written = m_written.find(several);
            if (written == m_written.end())
                continue;
            for (const std::string &path : names.paths) {
                const std::size_t slash = path.rfind('/');
                const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
                const Fd folder = TRY(folderAt(slash == std::string::npos ? "" : path.substr(0, slash)));
                const struct stat before = TRY(sys::fstat(folder));
                TRY(sys::linkat(m_to, written->second, folder, name));
                const timespec times[2] = {before.st_atim, before.st_mtim};
                TRY(sys::call("futimens", {}, [&] { return ::futimens(folder.get(), times); }));
            }
        }
        return {};
    }

    /// A folder that is not in the layer is as it is here, or it would be.
    Result<Fd> folderAt(const std::string &path)
    {
        Fd at = TRY(sys::openat(m_to, ".", trees::kFolderFlags));
        Fd base = TRY(sys::openat(*m_base, ".", trees::kFolderFlags));
        for (const std::string &name : split(path, '/')) {
            if (name.empty())
                continue;
            base = TRY(trees::openFolder(base, name));
            if (auto there = trees::openFolder(at, name)) {
                at = std::move(*there);
                continue;
            }
            const struct stat parent = TRY(sys::fstat(at));
            TRY(sys::mkdirat(at, name, 0700));
            Fd made = TRY(trees::openFolder(at, name));
            TRY(trees::setAll(made, TRY(sys::fstat(base)), TRY(attributesOf(base))));
            const timespec times[2] = {parent.st_atim, parent.st_mtim};
            TRY(sys::call("futimens", {}, [&] { return ::futimens(at.get(), times); }));
            at = std::move(made);
        }
        return at;
    }

    Stream &m_stream;
    const Fd *const m_base;
    const Fd &m_to;
    const TakeOptions &m_options;
    Taken m_taken;
    bool m_rootSeen = false;
    std::vector<Looked> m_looked;
    std::vector<Made> m_made;
    std::uint64_t m_files = 0;                                     ///< In this batch.
    std::vector<std::pair<std::uint64_t, std::string>> m_answers;  ///< In this batch: a file, and its hash where it may be the same.
    std::size_t m_hidden = 0;                                      ///< Steps of this batch that the sender has no part in.
    std::set<std::uint64_t> m_known;                               ///< Files with several names that are not as they are here.
    std::map<std::uint64_t, Names> m_kept;
    std::map<trees::FileId, std::uint64_t> m_claimed;              ///< Files here that are one of those.
    std::map<std::uint64_t, std::string> m_written;                ///< Where the first of its names was made.
};

} // namespace

Result<Taken> takeTree(Stream &stream, const Fd *base, const Fd &to, const TakeOptions &options)
{
    return Taker(stream, base, to, options).take();
}

} // namespace lxmgr::migrate

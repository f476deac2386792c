#include "migrate/send.h"

#include "base/text.h"
#include "images/fingerprint.h"
#include "kernel/sys.h"
#include "trees/copy.h"
#include "trees/entries.h"

#include <algorithm>
#include <cstring>
#include <linux/capability.h>
#include <memory>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <vector>

namespace lxmgr::migrate
{

namespace
{

constexpr const char *kCapability = "security.capability";
constexpr std::size_t kHashLength = 64;

/// A file capability without the root it was bound to, which the tree's mount says (capabilities(7), version 3 → 2).
std::string unbound(std::string value)
{
    vfs_ns_cap_data data{};
    if (value.size() != sizeof data)
        return value;
    std::memcpy(&data, value.data(), sizeof data);
    data.magic_etc = (data.magic_etc & ~static_cast<std::uint32_t>(VFS_CAP_REVISION_MASK)) | VFS_CAP_REVISION_2;
    value.resize(sizeof(vfs_cap_data));
    std::memcpy(value.data(), &data, value.size());
    return value;
}

Result<trees::Attributes> attributesOf(const Fd &file)
{
    trees::Attributes attributes = TRY(trees::attributesOf(file));
    std::erase_if(attributes, [](const auto &attribute) { return !goesAlong(attribute.first); });
    if (const auto found = attributes.find(kCapability); found != attributes.end())
        found->second = unbound(std::move(found->second));
    return attributes;
}

Result<Fd> openFile(const Fd &folder, const std::string &name)
{
    return sys::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/// No write and no change of owner, mode or name leaves the third time as it was.
bool isUntouched(const struct stat &a, const struct stat &b)
{
    return a.st_ino == b.st_ino && a.st_mode == b.st_mode && a.st_size == b.st_size && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
           a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

class Sender
{
public:
    Sender(Stream &stream, const std::function<void(std::uint64_t)> &told) : m_stream(stream), m_told(told) {}

    Result<Sent> send(const Fd &tree, const Fd *before)
    {
        Folder top{std::make_shared<Fd>(TRY(sys::openat(tree, ".", trees::kFolderFlags))), {}};
        if (before)
            top.before = TRY(sys::openat(*before, ".", trees::kFolderFlags));
        TRY(sendFolder(top, "", 0));
        TRY(endBatch(Kind::TreeEnd));
        return m_sent;
    }

private:
    struct Folder {
        std::shared_ptr<Fd> fd;
        Fd before; ///< The same in the earlier state, if that has it.
    };
    struct Offered { ///< A file of this batch.
        std::shared_ptr<Fd> folder;
        std::string name;
        std::uint64_t size;
    };

    Status sendFolder(const Folder &folder, const std::string &name, std::size_t level)
    {
        if (level > kDeepest)
            return Error(Code::Unsupported, "folders are nested deeper than " + std::to_string(kDeepest));
        Entry enter = entryOf(Kind::Enter, name, TRY(sys::fstat(*folder.fd)));
        enter.attributes = TRY(attributesOf(*folder.fd));
        TRY(put(enter));
        trees::Entries entries = TRY(trees::Entries::open(*folder.fd));
        while (const trees::FolderEntry *entry = TRY(entries.next()))
            TRY_IN(quoted(entry->name), sendEntry(folder, entry->name, level));
        return put(mark(Kind::Leave));
    }

    Status sendEntry(const Folder &folder, const std::string &name, std::size_t level)
    {
        const struct stat info = TRY(sys::fstatat(*folder.fd, name));
        if (S_ISDIR(info.st_mode)) {
            Folder below{std::make_shared<Fd>(TRY(trees::openFolder(*folder.fd, name))), {}};
            if (folder.before)
                if (auto before = trees::openFolder(folder.before, name))
                    below.before = std::move(*before);
            return sendFolder(below, name, level + 1);
        }
        if (trees::isWhiteout(info)) {
            ++m_sent.leftOut;
            return {};
        }
        Entry entry = entryOf(S_ISREG(info.st_mode) ? Kind::File : S_ISLNK(info.st_mode) ? Kind::Link : Kind::Node, name, info);
        if (info.st_nlink > 1)
            entry.several = numberOf({info.st_dev, info.st_ino});
        if (entry.kind == Kind::Link)
            entry.target = TRY(sys::readlinkat(*folder.fd, name));
        if (entry.kind == Kind::File) {
            entry.attributes = TRY(attributesOf(TRY(openFile(*folder.fd, name))));
            const auto before = folder.before ? sys::fstatat(folder.before, name) : Result<struct stat>(Error(Code::NotFound, name));
            entry.untouched = before && isUntouched(*before, info);
            m_offered.push_back({folder.fd, name, entry.size});
        }
        return put(entry);
    }

    static Entry mark(Kind kind)
    {
        Entry entry;
        entry.kind = kind;
        return entry;
    }

    static Entry entryOf(Kind kind, const std::string &name, const struct stat &info)
    {
        Entry entry;
        entry.kind = kind;
        entry.name = name;
        entry.mode = info.st_mode;
        entry.uid = info.st_uid;
        entry.gid = info.st_gid;
        entry.modified = info.st_mtim;
        entry.size = static_cast<std::uint64_t>(info.st_size);
        entry.major = major(info.st_rdev);
        entry.minor = minor(info.st_rdev);
        return entry;
    }

    std::uint64_t numberOf(const trees::FileId &id)
    {
        return m_several.emplace(id, m_several.size() + 1).first->second;
    }

    Status put(const Entry &entry)
    {
        TRY(putEntry(m_stream, entry));
        ++m_sent.entries;
        ++m_entries;
        for (const auto &[name, value] : entry.attributes)
            m_attributeBytes += name.size() + value.size();
        return m_entries >= kMostEntries || m_attributeBytes >= kMostAttributeBytes ? endBatch(Kind::BatchEnd) : Status();
    }

    /// Then it is the taker's turn, and after that the files that it wants.
    Status endBatch(Kind how)
    {
        TRY(putEntry(m_stream, mark(how)));
        TRY(m_stream.flush());
        struct Answer {
            std::uint64_t file;
            Wish wish;
            std::string hash;
        };
        std::vector<Answer> answers;
        const std::uint64_t count = TRY(m_stream.number());
        if (count > m_offered.size())
            return Error(Code::Invalid, "the other server asks for more files than there are");
        for (std::uint64_t i = 0; i < count; ++i) {
            Answer answer{TRY(m_stream.number()), static_cast<Wish>(TRY(m_stream.number())), {}};
            if (answer.file >= m_offered.size() || (answer.wish != Wish::Want && answer.wish != Wish::Check))
                return Error(Code::Invalid, "the other server asks for what there is not");
            if (answer.wish == Wish::Check)
                answer.hash = TRY(m_stream.text(kHashLength));
            answers.push_back(std::move(answer));
        }
        for (const Answer &answer : answers)
            TRY_IN(quoted(m_offered[answer.file].name), sendFile(m_offered[answer.file], answer.hash));
        TRY(m_stream.flush());
        m_offered.clear();
        m_entries = 0;
        m_attributeBytes = 0;
        return {};
    }

    Status sendFile(const Offered &file, const std::string &hash)
    {
        const Fd content = TRY(openFile(*file.folder, file.name));
        if (!hash.empty()) {
            images::Sha256 own;
            TRY(images::hashFile(content, own));
            if (own.finish() == hash)
                return m_stream.putNumber(static_cast<std::uint64_t>(Found::Same));
        }
        TRY(m_stream.putNumber(static_cast<std::uint64_t>(Found::Data)));
        TRY(sendContent(content, file.size));
        return m_stream.putNumber(0);
    }

    Status sendContent(const Fd &content, std::uint64_t size)
    {
        for (std::uint64_t at = 0; at < size;) {
            const off_t data = ::lseek(content.get(), static_cast<off_t>(at), SEEK_DATA);
            if (data < 0 && errno == ENXIO)
                return putHole(size - at);
            if (data < 0)
                return Error::fromErrno(errno, "lseek");
            if (std::uint64_t(data) > at)
                TRY(putHole(std::uint64_t(data) - at));
            const auto end = static_cast<std::uint64_t>(TRY(sys::call("lseek", {}, [&] { return ::lseek(content.get(), data, SEEK_HOLE); })));
            for (at = std::uint64_t(data); at < std::min(end, size);)
                at += TRY(sendPiece(content, at, std::min(end, size) - at));
        }
        return {};
    }

    Status putHole(std::uint64_t length) { return m_stream.putNumber(length << 1 | kHole); }

    Result<std::uint64_t> sendPiece(const Fd &content, std::uint64_t at, std::uint64_t most)
    {
        const std::size_t wanted = std::min<std::uint64_t>(most, kPiece);
        const long got = TRY(sys::call("pread", {}, [&] { return ::pread(content.get(), m_buffer.get(), wanted, static_cast<off_t>(at)); }));
        if (got == 0)
            return Error(Code::WrongState, "it was made shorter while it was read");
        TRY(m_stream.putNumber(std::uint64_t(got) << 1));
        TRY(m_stream.putBytes({m_buffer.get(), static_cast<std::size_t>(got)}));
        m_sent.data += static_cast<std::uint64_t>(got);
        m_told(m_stream.sent());
        return static_cast<std::uint64_t>(got);
    }

    Stream &m_stream;
    const std::function<void(std::uint64_t)> &m_told;
    Sent m_sent;
    std::vector<Offered> m_offered;
    std::size_t m_entries = 0, m_attributeBytes = 0;
    std::map<trees::FileId, std::uint64_t> m_several;
    std::unique_ptr<char[]> m_buffer = std::make_unique<char[]>(kPiece);
};

} // namespace

Result<Sent> sendTree(Stream &stream, const Fd &tree, const Fd *before, const std::function<void(std::uint64_t)> &told)
{
    return Sender(stream, told).send(tree, before);
}

} // namespace lxmgr::migrate

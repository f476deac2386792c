#include "monitor/sftp.h"

#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "monitor/guest_files.h"
#include "monitor/sftp_packets.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <limits>
#include <linux/fs.h>
#include <map>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <vector>

namespace lxmgr::monitor
{

namespace
{

using namespace sftp;
using path::Scope;

constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kEntriesInReply = 64;
constexpr std::size_t kEnough = 256 << 10; ///< Replies are sent before more packets are looked at.

// --- paths ----------------------------------------------------------------------------------------------------------

Result<std::string> pathIn(Fields &fields)
{
    const std::string_view text = fields.text();
    if (text.size() > SftpSession::kMostPath)
        return Error::fromErrno(ENAMETOOLONG, "path");
    if (text.find('\0') != std::string_view::npos)
        return Error(Code::Invalid, "a path has a byte 0");
    return std::string(text);
}

/// The absolute path without ".", ".." and double slashes. Links are left as they are: the file need not be there.
std::string absolute(const std::string &path)
{
    std::vector<std::string> parts;
    for (std::string &part : split(path, '/')) {
        if (part == ".." && !parts.empty())
            parts.pop_back();
        else if (!part.empty() && part != "." && part != "..")
            parts.push_back(std::move(part));
    }
    return "/" + join(parts, "/");
}

Status changeTimes(const Fd &file, std::pair<std::uint32_t, std::uint32_t> times)
{
    const timespec both[2] = {{times.first, 0}, {times.second, 0}};
    TRY(sys::call("utimensat", {}, [&] { return ::utimensat(file.get(), "", both, AT_EMPTY_PATH); }));
    return {};
}

/// The times last: every other change sets one.
Status applyAll(const Fd &file, const Attributes &to)
{
    if (to.size) {
        if (*to.size > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()))
            return Error::fromErrno(EFBIG, "ftruncate");
        TRY(sys::ftruncate(file, static_cast<off_t>(*to.size)));
    }
    TRY(applyTo(file, to.mode, to.uid, to.gid));
    if (to.times)
        TRY(changeTimes(file, *to.times));
    return {};
}

Result<struct statvfs> spaceAt(const Fd &file)
{
    struct statvfs info {
    };
    TRY(sys::call("fstatvfs", {}, [&] { return ::fstatvfs(file.get(), &info); }));
    return info;
}

struct CloseDir {
    void operator()(DIR *folder) const { ::closedir(folder); }
};

struct Handle {
    Fd file;
    std::unique_ptr<DIR, CloseDir> folder; ///< Of a folder, instead of `file`.
};

Outcome outcomeOf(const Error &error)
{
    switch (error.errnum) {
    case ENOENT:
        return Outcome::NoSuchFile;
    case EACCES:
    case EPERM:
    case EROFS:
        return Outcome::Denied;
    case EOPNOTSUPP:
    case ENOSYS:
        return Outcome::Unsupported;
    default:
        return error.code == Code::Unsupported ? Outcome::Unsupported : Outcome::Failure;
    }
}

} // namespace

// --- the session ----------------------------------------------------------------------------------------------------

class SftpSession::Impl
{
public:
    explicit Impl(const Fd &root) : m_root(root) {}

    Status packet(std::string_view bytes, std::string &output)
    {
        Fields fields(bytes);
        const Kind kind{fields.byte()};
        if (!m_begun)
            return begin(kind, fields, output);
        const std::uint32_t id = fields.number();
        if (!fields.good())
            return Error(Code::Invalid, "a packet has no request number");
        answer(kind, id, fields, output);
        return {};
    }

private:
    Status begin(Kind kind, Fields &fields, std::string &output)
    {
        if (kind != Kind::Init || fields.number() < kVersion || !fields.good())
            return Error(Code::Invalid, "the client does not speak SFTP version 3");
        m_begun = true;
        Reply reply(output, Kind::Version);
        reply.number(kVersion);
        for (const Extension &extension : kExtensions)
            reply.text(extension.name).text(extension.version);
        return {};
    }

    /// What a request is answered with when it does not append an answer of its own.
    using Request = Status (Impl::*)(std::uint32_t id, Fields &fields, std::string &output);
    struct RequestRow {
        Kind kind;
        Request serve;
    };
    struct Extension {
        std::string_view name, version;
        Request serve;
    };

    void answer(Kind kind, std::uint32_t id, Fields &fields, std::string &output)
    {
        const std::size_t before = output.size();
        Request serve = nullptr;
        for (const RequestRow &row : kRequests)
            if (row.kind == kind)
                serve = row.serve;
        if (kind == Kind::Extended) {
            const std::string_view name = fields.text();
            for (const Extension &extension : kExtensions)
                if (extension.name == name)
                    serve = extension.serve;
        }
        if (!serve)
            return status(output, id, Outcome::Unsupported, "the request is not known");
        const Status served = (this->*serve)(id, fields, output);
        if (!fields.good()) { // whatever was done with empty fields was refused, for no path is empty
            output.resize(before);
            return status(output, id, Outcome::BadMessage, "the request is cut off");
        }
        if (!served)
            return status(output, id, outcomeOf(served.error()), served.error().message);
        if (output.size() == before)
            status(output, id, Outcome::Ok, "");
    }

    static void status(std::string &output, std::uint32_t id, Outcome outcome, std::string_view message)
    {
        Reply(output, Kind::Status).number(id).number(static_cast<std::uint32_t>(outcome)).text(message).text("en");
    }

    Result<std::string> path(Fields &fields)
    {
        std::string text = TRY(pathIn(fields));
        if (!fields.good())
            return Error(Code::Invalid, "the request is cut off");
        return text.empty() ? "." : text;
    }

    // --- handles ---

    Result<std::string> keep(Handle handle)
    {
        if (m_handles.size() >= kMostHandles)
            return Error(Code::WrongState, std::to_string(kMostHandles) + " files are open; close one first");
        std::string name = std::to_string(m_nextHandle++);
        m_handles.emplace(name, std::move(handle));
        return name;
    }

    Result<Handle *> handle(Fields &fields)
    {
        const auto found = m_handles.find(fields.text());
        if (found == m_handles.end())
            return Error(Code::Invalid, "there is no such handle");
        return &found->second;
    }

    Result<const Fd *> file(Fields &fields)
    {
        Handle *found = TRY(handle(fields));
        if (!found->file)
            return Error(Code::Invalid, "the handle is one of a folder");
        return &found->file;
    }

    /// Folders too: clients open one to find out what it is.
    Status open(std::uint32_t id, Fields &fields, std::string &output)
    {
        constexpr std::uint32_t kReading = 1, kWriting = 2, kAppending = 4, kMaking = 8, kEmptying = 0x10, kNew = 0x20;
        spec::FileRequest request;
        request.path = TRY(path(fields));
        const std::uint32_t how = fields.number();
        const Attributes wanted = attributesIn(fields);
        if (!fields.good())
            return Error(Code::Invalid, "the request is cut off");
        request.flags = (how & kWriting) ? (how & kReading) ? O_RDWR : O_WRONLY : O_RDONLY;
        for (const auto &[bit, flag] : {std::pair{kAppending, O_APPEND}, std::pair{kMaking, O_CREAT}, std::pair{kEmptying, O_TRUNC}, std::pair{kNew, O_EXCL}})
            if (how & bit)
                request.flags |= flag;
        if ((request.flags & (O_TRUNC | O_CREAT | O_APPEND)) && !(how & kWriting))
            return Error::fromErrno(EINVAL, "open for reading only");
        if (m_handles.size() >= kMostHandles)
            return Error(Code::WrongState, std::to_string(kMostHandles) + " files are open; close one first");
        OpenedFile opened = TRY(openFile(m_root, request));
        if (opened.created) // the mode of a file that was there is not touched, as with open(2)
            TRY(applyTo(opened.fd, wanted.mode, wanted.uid, wanted.gid));
        Reply(output, Kind::Handle).number(id).text(TRY(keep({std::move(opened.fd), nullptr})));
        return {};
    }

    Status close(std::uint32_t, Fields &fields, std::string &)
    {
        const auto found = m_handles.find(fields.text());
        if (found == m_handles.end())
            return Error(Code::Invalid, "there is no such handle");
        m_handles.erase(found);
        return {};
    }

    Status read(std::uint32_t id, Fields &fields, std::string &output)
    {
        const Fd &from = *TRY(file(fields));
        const std::uint64_t offset = fields.big();
        std::string bytes(std::min<std::size_t>(fields.number(), kMostRead), '\0');
        if (offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()))
            return Error::fromErrno(EINVAL, "read");
        const long got = TRY(sys::call("pread", {}, [&] { return ::pread(from.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)); }));
        if (got == 0 && !bytes.empty())
            status(output, id, Outcome::End, "end of file");
        else
            Reply(output, Kind::Data).number(id).text({bytes.data(), static_cast<std::size_t>(got)});
        return {};
    }

    Status write(std::uint32_t, Fields &fields, std::string &)
    {
        const Fd &to = *TRY(file(fields));
        std::uint64_t offset = fields.big();
        std::string_view bytes = fields.text();
        if (offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) - kMostPacket)
            return Error::fromErrno(EFBIG, "write");
        while (!bytes.empty()) {
            const long done = TRY(sys::call("pwrite", {}, [&] { return ::pwrite(to.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)); }));
            bytes.remove_prefix(static_cast<std::size_t>(done));
            offset += static_cast<std::uint64_t>(done);
        }
        return {};
    }

    Status opendir(std::uint32_t id, Fields &fields, std::string &output)
    {
        if (m_handles.size() >= kMostHandles)
            return Error(Code::WrongState, std::to_string(kMostHandles) + " files are open; close one first");
        Fd opened = TRY(path::open(m_root, TRY(path(fields)), O_RDONLY | O_DIRECTORY | kAlways, Scope::InRoot));
        Handle handle;
        handle.folder.reset(::fdopendir(opened.get()));
        if (!handle.folder)
            return Error::fromErrno(errno, "fdopendir");
        (void)opened.release(); // the DIR's now
        Reply(output, Kind::Handle).number(id).text(TRY(keep(std::move(handle))));
        return {};
    }

    Status readdir(std::uint32_t id, Fields &fields, std::string &output)
    {
        Handle *opened = TRY(handle(fields));
        if (!opened->folder)
            return Error(Code::Invalid, "the handle is none of a folder");
        std::vector<std::pair<std::string, struct stat>> found;
        while (found.size() < kEntriesInReply) {
            errno = 0;
            const dirent *entry = ::readdir(opened->folder.get());
            if (!entry && errno != 0)
                return Error::fromErrno(errno, "readdir");
            if (!entry)
                break;
            std::string name = entry->d_name;
            struct stat info {
            };
            // One removed meanwhile is not listed.
            if (name != "." && name != ".." && ::fstatat(::dirfd(opened->folder.get()), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
                found.emplace_back(std::move(name), info);
        }
        if (found.empty()) {
            status(output, id, Outcome::End, "end of folder");
            return {};
        }
        Reply reply(output, Kind::Name);
        reply.number(id).number(static_cast<std::uint32_t>(found.size()));
        for (const auto &[name, info] : found) {
            reply.text(name).text(longName(name, info));
            addAttributes(reply, info);
        }
        return {};
    }

    // --- what files are ---

    Status attributes(std::uint32_t id, const Fd &of, std::string &output)
    {
        const struct stat info = TRY(sys::fstat(of));
        Reply reply(output, Kind::Attrs);
        reply.number(id);
        addAttributes(reply, info);
        return {};
    }

    Status stat(std::uint32_t id, Fields &fields, std::string &output)
    {
        return attributes(id, TRY(path::open(m_root, TRY(path(fields)), O_PATH, Scope::InRoot)), output);
    }

    Status lstat(std::uint32_t id, Fields &fields, std::string &output)
    {
        return attributes(id, TRY(path::open(m_root, TRY(path(fields)), O_PATH | O_NOFOLLOW, Scope::InRoot)), output);
    }

    Status fstat(std::uint32_t id, Fields &fields, std::string &output)
    {
        const Handle *opened = TRY(handle(fields));
        if (opened->file)
            return attributes(id, opened->file, output);
        const Fd folder(::fcntl(::dirfd(opened->folder.get()), F_DUPFD_CLOEXEC, 3));
        return attributes(id, folder, output);
    }

    Status change(const std::string &name, const Attributes &to, int follow)
    {
        const Fd there = TRY(path::open(m_root, name, O_PATH | follow, Scope::InRoot));
        const mode_t mode = TRY(sys::fstat(there)).st_mode;
        if (S_ISREG(mode) || S_ISDIR(mode))
            return applyAll(TRY(path::open(m_root, name, (to.size ? O_WRONLY : O_RDONLY) | follow | kAlways, Scope::InRoot)), to);
        // Links, devices, fifos and sockets are not opened: what O_PATH can do is owner and times. A link has no mode.
        if (to.size || (to.mode >= 0 && !S_ISLNK(mode)))
            return Error(Code::Invalid, "it is neither a file nor a folder");
        if (to.uid >= 0)
            TRY(sys::call("fchownat", name, [&] {
                return ::fchownat(there.get(), "", static_cast<uid_t>(to.uid), static_cast<gid_t>(to.gid), AT_EMPTY_PATH);
            }));
        if (to.times)
            TRY(changeTimes(there, *to.times));
        return {};
    }

    Status setstat(std::uint32_t, Fields &fields, std::string &)
    {
        const std::string name = TRY(path(fields));
        const Attributes to = attributesIn(fields);
        return fields.good() ? change(name, to, 0) : Status();
    }

    Status lsetstat(std::uint32_t, Fields &fields, std::string &)
    {
        const std::string name = TRY(path(fields));
        const Attributes to = attributesIn(fields);
        return fields.good() ? change(name, to, O_NOFOLLOW) : Status();
    }

    Status fsetstat(std::uint32_t, Fields &fields, std::string &)
    {
        const Fd &of = *TRY(file(fields));
        const Attributes to = attributesIn(fields);
        return fields.good() ? applyAll(of, to) : Status();
    }

    Status realpath(std::uint32_t id, Fields &fields, std::string &output)
    {
        const std::string whole = absolute(TRY(path(fields)));
        Reply(output, Kind::Name).number(id).number(1).text(whole).text(whole).number(0);
        return {};
    }

    Status readlink(std::uint32_t id, Fields &fields, std::string &output)
    {
        const path::Parent parent = TRY(path::openParent(m_root, TRY(path(fields)), Scope::InRoot));
        const std::string target = TRY(sys::readlinkat(parent.folder, parent.name));
        Reply(output, Kind::Name).number(id).number(1).text(target).text(target).number(0);
        return {};
    }

    // --- what there is ---

    Status unlink(const std::string &name, int flags)
    {
        const path::Parent parent = TRY(path::openParent(m_root, name, Scope::InRoot));
        return sys::unlinkat(parent.folder, parent.name, flags);
    }

    Status remove(std::uint32_t, Fields &fields, std::string &) { return unlink(TRY(path(fields)), 0); }
    Status rmdir(std::uint32_t, Fields &fields, std::string &) { return unlink(TRY(path(fields)), AT_REMOVEDIR); }

    Status mkdir(std::uint32_t, Fields &fields, std::string &)
    {
        const std::string name = TRY(path(fields));
        const Attributes wanted = attributesIn(fields);
        if (!fields.good())
            return {};
        const path::Parent parent = TRY(path::openParent(m_root, name, Scope::InRoot));
        TRY(sys::mkdirat(parent.folder, parent.name, 0700));
        const Fd folder = TRY(path::open(parent.folder, parent.name, O_RDONLY | O_DIRECTORY, Scope::NoSymlink));
        return applyTo(folder, wanted.mode >= 0 ? wanted.mode : 0755, std::max<std::int64_t>(wanted.uid, 0), std::max<std::int64_t>(wanted.gid, 0));
    }

    /// Two paths are read before anything is done: the second may be cut off.
    Result<std::pair<std::string, std::string>> twoPaths(Fields &fields)
    {
        std::string first = TRY(path(fields));
        std::string second = TRY(path(fields));
        return std::pair{std::move(first), std::move(second)};
    }

    Status renameTo(Fields &fields, unsigned flags)
    {
        const auto [from, to] = TRY(twoPaths(fields));
        const path::Parent source = TRY(path::openParent(m_root, from, Scope::InRoot));
        const path::Parent target = TRY(path::openParent(m_root, to, Scope::InRoot));
        return sys::renameat2(source.folder, source.name, target.folder, target.name, flags);
    }

    /// Version 3: an error where the new name is taken.
    Status rename(std::uint32_t, Fields &fields, std::string &) { return renameTo(fields, RENAME_NOREPLACE); }
    Status posixRename(std::uint32_t, Fields &fields, std::string &) { return renameTo(fields, 0); }

    Status hardlink(std::uint32_t, Fields &fields, std::string &)
    {
        const auto [from, to] = TRY(twoPaths(fields));
        const path::Parent source = TRY(path::openParent(m_root, from, Scope::InRoot));
        const path::Parent target = TRY(path::openParent(m_root, to, Scope::InRoot));
        return sys::linkat(source.folder, source.name, target.folder, target.name);
    }

    /// The target comes first, which is OpenSSH's order and everybody's since, not the draft's.
    Status symlink(std::uint32_t, Fields &fields, std::string &)
    {
        const auto [target, link] = TRY(twoPaths(fields));
        const path::Parent parent = TRY(path::openParent(m_root, link, Scope::InRoot));
        return sys::symlinkat(target, parent.folder, parent.name);
    }

    // --- extensions ---

    Status space(std::uint32_t id, const Fd &at, std::string &output)
    {
        const struct statvfs info = TRY(spaceAt(at));
        Reply reply(output, Kind::ExtendedReply);
        reply.number(id).big(info.f_bsize).big(info.f_frsize).big(info.f_blocks).big(info.f_bfree).big(info.f_bavail);
        reply.big(info.f_files).big(info.f_ffree).big(info.f_favail).big(info.f_fsid);
        reply.big((info.f_flag & ST_RDONLY ? 1U : 0U) | (info.f_flag & ST_NOSUID ? 2U : 0U)).big(info.f_namemax);
        return {};
    }

    Status statvfsAt(std::uint32_t id, Fields &fields, std::string &output)
    {
        return space(id, TRY(path::open(m_root, TRY(path(fields)), O_PATH, Scope::InRoot)), output);
    }

    Status fstatvfs(std::uint32_t id, Fields &fields, std::string &output) { return space(id, *TRY(file(fields)), output); }
    Status fsync(std::uint32_t, Fields &fields, std::string &) { return sys::fsync(*TRY(file(fields))); }

    Status limits(std::uint32_t id, Fields &, std::string &output)
    {
        Reply(output, Kind::ExtendedReply).number(id).big(kMostPacket).big(kMostRead).big(kMostRead).big(kMostHandles);
        return {};
    }

    static constexpr RequestRow kRequests[] = {
        {Kind::Open,     &Impl::open    },
        {Kind::Close,    &Impl::close   },
        {Kind::Read,     &Impl::read    },
        {Kind::Write,    &Impl::write   },
        {Kind::Lstat,    &Impl::lstat   },
        {Kind::Fstat,    &Impl::fstat   },
        {Kind::Setstat,  &Impl::setstat },
        {Kind::Fsetstat, &Impl::fsetstat},
        {Kind::Opendir,  &Impl::opendir },
        {Kind::Readdir,  &Impl::readdir },
        {Kind::Remove,   &Impl::remove  },
        {Kind::Mkdir,    &Impl::mkdir   },
        {Kind::Rmdir,    &Impl::rmdir   },
        {Kind::Realpath, &Impl::realpath},
        {Kind::Stat,     &Impl::stat    },
        {Kind::Rename,   &Impl::rename  },
        {Kind::Readlink, &Impl::readlink},
        {Kind::Symlink,  &Impl::symlink },
    };
    static constexpr Extension kExtensions[] = {
        {"posix-rename@openssh.com", "1", &Impl::posixRename},
        {"hardlink@openssh.com",     "1", &Impl::hardlink   },
        {"statvfs@openssh.com",      "2", &Impl::statvfsAt  },
        {"fstatvfs@openssh.com",     "2", &Impl::fstatvfs   },
        {"fsync@openssh.com",        "1", &Impl::fsync      },
        {"lsetstat@openssh.com",     "1", &Impl::lsetstat   },
        {"limits@openssh.com",       "1", &Impl::limits     },
    };

    const Fd &m_root;
    bool m_begun = false;
    std::map<std::string, Handle, std::less<>> m_handles;
    std::uint64_t m_nextHandle = 1;
};

SftpSession::SftpSession(const Fd &root) : m_impl(std::make_unique<Impl>(root)) {}
SftpSession::~SftpSession() = default;

Result<std::size_t> SftpSession::take(std::string_view input, std::string &output)
{
    std::size_t used = 0;
    while (input.size() - used >= 4 && output.size() < kEnough) {
        const std::uint32_t size = Fields(input.substr(used, 4)).number();
        if (size == 0 || size > kMostPacket)
            return Error(Code::Invalid, "a packet of " + std::to_string(size) + " bytes (1 to " + std::to_string(kMostPacket) + " may be)");
        if (input.size() - used - 4 < size)
            break;
        TRY(m_impl->packet(input.substr(used + 4, size), output));
        used += 4 + size;
    }
    return used;
}

// --- the connection -------------------------------------------------------------------------------------------------

namespace
{

/// False: one of `ends` has come first.
Result<bool> await(const Fd &socket, short events, std::array<int, 2> ends)
{
    pollfd waiting[3] = {{socket.get(), events, 0}, {ends[0], POLLIN | POLLRDHUP, 0}, {ends[1], POLLIN, 0}};
    TRY(sys::call("poll", {}, [&] { return ::poll(waiting, 3, -1); }));
    return waiting[1].revents == 0 && waiting[2].revents == 0;
}

bool mustWait(const Error &error) { return error.errnum == EAGAIN; }

/// False: over before all was sent.
Result<bool> sendAll(const Fd &socket, std::string_view bytes, std::array<int, 2> ends)
{
    while (!bytes.empty()) {
        const auto sent = sys::call("send", {}, [&] { return ::send(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
        if (!sent && !mustWait(sent.error()))
            return sent.error();
        if (sent)
            bytes.remove_prefix(static_cast<std::size_t>(*sent));
        else if (!TRY(await(socket, POLLOUT, ends)))
            return false;
    }
    return true;
}

/// False: over, or the client has sent its last byte.
Result<bool> receiveSome(const Fd &socket, std::string &input, std::array<int, 2> ends)
{
    char buffer[64 << 10];
    for (;;) {
        if (!TRY(await(socket, POLLIN, ends)))
            return false;
        const auto got = sys::call("recv", {}, [&] { return ::recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT); });
        if (!got && !mustWait(got.error()))
            return got.error();
        if (!got)
            continue;
        input.append(buffer, static_cast<std::size_t>(*got));
        return *got > 0;
    }
}

} // namespace

Status serveSftp(const Fd &root, const Fd &socket, const std::string &already, std::array<int, 2> ends)
{
    SftpSession session(root);
    std::string input = already, output;
    for (;;) {
        output.clear();
        const std::size_t used = TRY(session.take(input, output));
        input.erase(0, used);
        if (!TRY(sendAll(socket, output, ends)))
            return {};
        if (used == 0 && !TRY(receiveSome(socket, input, ends)))
            return {};
    }
}

} // namespace lxmgr::monitor

// file push, pull, edit, delete, mkdir.
//
// What a guest says of its files is not to be trusted: names with a slash are refused, and on this side everything is
// opened below the target folder's descriptor without following links.
#include "api/server.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "client/relay.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

constexpr int kDeepest = 256;

struct GuestPath {
    std::string instance;
    std::string path; ///< Absolute.
};

/// "web1/etc/hosts"
Result<GuestPath> guestPath(const std::string &text)
{
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos || slash == 0)
        return Error(Code::Usage, quoted(text) + " is no place in an instance: <instance>/<path>");
    GuestPath path{text.substr(0, slash), text.substr(slash)};
    TRY(checkInstanceName(path.instance));
    return path;
}

std::string joined(const std::string &folder, const std::string &name)
{
    return (folder.ends_with('/') ? folder : folder + "/") + name;
}

std::string baseName(std::string_view path)
{
    while (path.size() > 1 && path.ends_with('/'))
        path.remove_suffix(1);
    return std::string(path.substr(path.rfind('/') + 1));
}

std::string parentOf(const std::string &path)
{
    const std::size_t slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
}

struct Ownership {
    std::optional<std::string> uid;
    std::optional<std::string> gid;
    std::optional<std::string> mode;

    void addTo(http::Headers &headers) const
    {
        if (uid)
            headers.set("X-LXD-uid", *uid);
        if (gid)
            headers.set("X-LXD-gid", *gid);
        if (mode)
            headers.set("X-LXD-mode", *mode);
    }
};

std::string octal(mode_t mode)
{
    char text[8];
    std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode & 07777));
    return text;
}

Result<Ownership> ownership(const Arguments &arguments)
{
    Ownership owner{arguments.value("uid"), arguments.value("gid"), arguments.value("mode")};
    if (owner.uid)
        TRY_IN("--uid", parseUnsigned(*owner.uid, 0, 4294967294));
    if (owner.gid)
        TRY_IN("--gid", parseUnsigned(*owner.gid, 0, 4294967294));
    if (owner.mode) {
        if (owner.mode->empty() || owner.mode->size() > 5 ||
            owner.mode->find_first_not_of("01234567") != std::string::npos)
            return Error(Code::Usage, "--mode: " + quoted(*owner.mode) + " is no octal mode such as 0644");
        owner.mode = octal(static_cast<mode_t>(std::stoul(*owner.mode, nullptr, 8)));
    }
    return owner;
}

enum class Kind { File, Directory, Symlink };

struct GuestFile {
    Kind kind = Kind::File;
    mode_t mode = 0644;
    std::string uid;
    std::string gid;
    std::string text;               ///< Of a link or, where asked, of a file.
    std::vector<std::string> names; ///< Of a folder.
};

client::Sink sinkTo(int fd, std::string shown)
{
    return [fd, shown = std::move(shown)](std::string_view piece) -> Status {
        while (!piece.empty()) {
            const ssize_t done = ::write(fd, piece.data(), piece.size());
            if (done < 0 && errno != EINTR)
                return Error::fromErrno(errno, "write", shown);
            piece.remove_prefix(done > 0 ? static_cast<std::size_t>(done) : 0);
        }
        return {};
    };
}

/// Until the source has ended, or `answer` can be read: the other side wants no more then.
Status carryUntil(client::Relay &relay, const Fd &answer)
{
    while (!relay.ended()) {
        pollfd polls[] = {relay.wanted(), {answer.get(), POLLIN, 0}};
        if (::poll(polls, std::size(polls), -1) < 0 && errno != EINTR)
            return Error::fromErrno(errno, "poll");
        if (polls[1].revents != 0)
            return {};
        TRY(relay.serve(polls[0].revents));
    }
    return {};
}

class Guest
{
public:
    Guest(Context &context, std::string instance) : m_context(context), m_instance(std::move(instance)) {}

    Status put(const std::string &path, std::string_view type, const Ownership &owner, std::string body)
    {
        client::Request request = TRY(putRequest(path, type, owner));
        request.body = std::move(body);
        return expectOk(path, TRY(m_context.client().exchange(request)), true);
    }

    /// A file with what `from` gives until its end.
    Status putFrom(const std::string &path, const Ownership &owner, int from, std::optional<std::uint64_t> size)
    {
        client::Request request = TRY(putRequest(path, "file", owner));
        if (m_context.client().isRemote() || !TRY(takesPipes())) {
            request.source = client::sourceOf(from, "the file");
            request.sourceSize = size;
            return expectOk(path, TRY(m_context.client().exchange(request)), true);
        }
        client::LocalPipe pipe = TRY(client::LocalPipe::make(client::LocalPipe::Near::Writes));
        request.fds = {pipe.far.get()};
        const auto carry = [&](const Fd &answer) -> Status {
            const client::WithoutSigpipe quiet; // the answer says why nobody takes more
            pipe.far.reset();
            client::Relay relay(from, pipe.near.get());
            TRY(carryUntil(relay, answer));
            pipe.near.reset();
            return {};
        };
        return expectOk(path, TRY(m_context.client().exchangeWith(request, carry)), true);
    }

    /// A server without the extension would take the request for one with an empty body.
    Result<bool> takesPipes()
    {
        if (!m_takesPipes) {
            const auto server = TRY(m_context.client().get<api::Server>("/1.0"));
            m_takesPipes = std::ranges::find(server.apiExtensions, "lxmgr_passed_streams") != server.apiExtensions.end();
        }
        return *m_takesPipes;
    }

    /// What `path` is; the bytes of a file go to what `target` opens for them or, without, into `text`.
    struct Destination {
        int fd = -1;
        std::string shown;
    };
    using Target = std::function<Result<Destination>(const GuestFile &)>;
    Result<GuestFile> get(const std::string &path, const Target &target)
    {
        client::Request request = TRY(requestFor("GET", path));
        GuestFile file;
        Status opened;
        request.sink = [&](const http::ResponseHead &head) -> client::Sink {
            file = headOf(head);
            if (file.kind != Kind::File || !target)
                return [&file](std::string_view piece) -> Status {
                    file.text.append(piece);
                    return {};
                };
            const Result<Destination> to = target(file);
            if (to)
                return sinkTo(to->fd, to->shown);
            opened = to.error();
            return [&opened](std::string_view) -> Status { return opened; };
        };
        std::optional<client::LocalPipe> pipe;
        if (target && !m_context.client().isRemote()) {
            pipe = TRY(client::LocalPipe::make(client::LocalPipe::Near::Reads));
            request.fds = {pipe->far.get()};
        }
        const client::Response response = TRY(m_context.client().exchange(request));
        TRY(std::move(opened));
        if (response.head.status != 200)
            return missing(path, client::refusal(response), "does not exist");
        // A folder is the one kind that is answered in JSON; everything else went to the sink, or comes by the pipe.
        if (response.head.headers.value("Content-Type").starts_with("application/json"))
            TRY(readFolder(response, file));
        const std::string_view passed = response.head.headers.value(kPassed);
        if (pipe && !passed.empty()) {
            file = headOf(response.head);
            TRY(receive(path, *pipe, TRY(parseUnsigned(passed)), TRY(target(file))));
        }
        return file;
    }

    Status remove(const std::string &path)
    {
        client::Request request = TRY(requestFor("DELETE", path));
        return expectOk(path, TRY(m_context.client().exchange(request)), false);
    }

    /// Makes what is missing of `path` and the folders above it.
    Status makeFolders(const std::string &path, const Ownership &owner)
    {
        if (path == "/" || path.empty())
            return {};
        if (const Result<Kind> kind = kindOf(path)) {
            if (*kind == Kind::File)
                return Error(Code::Invalid, where(path) + " is a file, not a folder");
            return {};
        } else if (kind.error().code != Code::NotFound) {
            return kind.error();
        }
        Ownership above = owner;
        above.mode.reset(); // as mkdir -p does: the mode is for the last one
        TRY(makeFolders(parentOf(path), above));
        return put(path, "directory", owner, {});
    }

    Result<Kind> kindOf(const std::string &path)
    {
        client::Request request = TRY(requestFor("HEAD", path));
        const client::Response response = TRY(m_context.client().exchange(request));
        if (response.head.status == 404)
            return Error(Code::NotFound, where(path) + " does not exist");
        if (response.head.status != 200)
            return Error(Code::Unavailable,
                         where(path) + ": the daemon answered with status " + std::to_string(response.head.status));
        return headOf(response.head).kind;
    }

    std::string where(const std::string &path) const { return quoted(m_instance + path); }

private:
    /// What the daemon says of a file whose bytes come by the pipe: how many there are, or 0 where only the end will tell.
    static constexpr std::string_view kPassed = "X-LXMGR-passed";

    Result<client::Request> putRequest(const std::string &path, std::string_view type, const Ownership &owner)
    {
        client::Request request = TRY(requestFor("POST", path));
        request.headers.set("X-LXD-type", std::string(type));
        request.headers.set("Content-Type", "application/octet-stream");
        owner.addTo(request.headers);
        return request;
    }

    Status receive(const std::string &path, client::LocalPipe &pipe, std::uint64_t size, const Destination &to)
    {
        pipe.far.reset();
        client::Relay relay(pipe.near.get(), to.fd);
        TRY_IN(quoted(to.shown), carryUntil(relay, Fd()));
        if (relay.moved() < size)
            return Error(Code::Unavailable, where(path) + " ended after " + std::to_string(relay.moved()) + " of " + std::to_string(size) + " bytes");
        return {};
    }

    Result<client::Request> requestFor(std::string method, const std::string &path)
    {
        client::Request request;
        request.method = std::move(method);
        request.target = m_context.client().target(TRY(instancePath(m_instance, "files")), {{"path", path}});
        return request;
    }

    Status expectOk(const std::string &path, const client::Response &response, bool writing) const
    {
        const Result<client::Answer> answer = client::openEnvelope(response);
        return answer ? Status()
                      : missing(path, answer.error(),
                                writing ? "cannot be written: the folder it is to be in does not exist"
                                        : "does not exist");
    }

    /// A path that is not there in words; other refusals (an instance that is not there, too) say themselves what they
    /// are.
    Error missing(const std::string &path, Error error, std::string_view what) const
    {
        if (error.code == Code::NotFound && error.message.starts_with("Not Found"))
            return {Code::NotFound, where(path) + " " + std::string(what)};
        return std::move(error).in(where(path));
    }

    static GuestFile headOf(const http::ResponseHead &head)
    {
        GuestFile file;
        const auto value = [&](std::string_view name) {
            const std::string *text = head.headers.family(name);
            return text ? *text : std::string();
        };
        file.kind = value("type") == "directory" ? Kind::Directory
                    : value("type") == "symlink" ? Kind::Symlink
                                                 : Kind::File;
        if (const std::string mode = value("mode"); !mode.empty() && mode.size() < 8)
            file.mode = static_cast<mode_t>(std::strtoul(mode.c_str(), nullptr, 8)) & 07777;
        file.uid = value("uid");
        file.gid = value("gid");
        return file;
    }

    Status readFolder(const client::Response &response, GuestFile &file) const
    {
        const client::Answer answer = TRY(client::openEnvelope(response));
        file = headOf(response.head);
        file.kind = Kind::Directory;
        file.names = TRY(client::Client::parse<std::vector<std::string>>(answer.metadata));
        return {};
    }

    Context &m_context;
    std::string m_instance;
    std::optional<bool> m_takesPipes; ///< Once it has been asked.
};

// ---- push

/// Owner and mode of what is pushed: what the flags say, else the mode it has here.
Ownership withModeOf(Ownership owner, const struct stat &info)
{
    if (!owner.mode)
        owner.mode = octal(info.st_mode);
    return owner;
}

Status pushEntry(Guest &guest, int folder, const std::string &name, const std::string &shown, const std::string &target,
                 const Ownership &owner, int depth);

Status pushFolder(Guest &guest, Fd folder, const std::string &shown, const std::string &target, const Ownership &owner,
                  int depth)
{
    const std::unique_ptr<DIR, int (*)(DIR *)> listing(::fdopendir(::fcntl(folder.get(), F_DUPFD_CLOEXEC, 0)),
                                                       &::closedir);
    if (!listing)
        return Error::fromErrno(errno, "read folder", shown);
    for (;;) {
        errno = 0;
        const dirent *entry = ::readdir(listing.get());
        if (!entry && errno != 0)
            return Error::fromErrno(errno, "read folder", shown);
        if (!entry)
            return {};
        const std::string name = entry->d_name;
        if (name != "." && name != "..")
            TRY(pushEntry(guest, folder.get(), name, joined(shown, name), joined(target, name), owner, depth + 1));
    }
}

Status pushFile(Guest &guest, const Fd &file, const struct stat &info, const std::string &target,
                const Ownership &owner)
{
    const bool sized = S_ISREG(info.st_mode);
    return guest.putFrom(target, withModeOf(owner, info), file.get(),
                         sized ? std::optional(static_cast<std::uint64_t>(info.st_size)) : std::nullopt);
}

Status pushEntry(Guest &guest, int folder, const std::string &name, const std::string &shown, const std::string &target,
                 const Ownership &owner, int depth)
{
    if (depth > kDeepest)
        return Error(Code::Invalid, quoted(shown) + " is nested too deeply");
    struct stat info{};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
        return Error::fromErrno(errno, "open", shown).as(errno == ENOENT ? Code::NotFound : Code::Internal);
    if (S_ISLNK(info.st_mode)) {
        std::string link(PATH_MAX, '\0');
        const ssize_t length = ::readlinkat(folder, name.c_str(), link.data(), link.size());
        if (length < 0)
            return Error::fromErrno(errno, "readlink", shown);
        link.resize(static_cast<std::size_t>(length));
        return guest.put(target, "symlink", owner, std::move(link));
    }
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
        return Error(Code::Unsupported, quoted(shown) + " is neither a file, a folder nor a link");
    Fd fd(::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd)
        return Error::fromErrno(errno, "open", shown);
    if (S_ISREG(info.st_mode))
        return pushFile(guest, fd, info, target, owner);
    Ownership folderOwner = owner;
    folderOwner.mode = octal(info.st_mode); // --mode is about files: 0644 would lock everybody out of a folder
    TRY(guest.put(target, "directory", folderOwner, {}));
    return pushFolder(guest, std::move(fd), shown, target, owner, depth);
}

Status pushOne(Guest &guest, const Arguments &arguments, const std::string &source, const std::string &target)
{
    const Ownership owner = TRY(ownership(arguments));
    if (source == "-")
        return guest.putFrom(target, owner, STDIN_FILENO, std::nullopt);
    struct stat info{};
    if (::stat(source.c_str(), &info) < 0)
        return Error::fromErrno(errno, "open", source).as(errno == ENOENT ? Code::NotFound : Code::Internal);
    if (S_ISDIR(info.st_mode) && !arguments.has("recursive"))
        return Error(Code::Usage, quoted(source) + " is a folder").hint("use -r");
    if (S_ISDIR(info.st_mode))
        return pushEntry(guest, AT_FDCWD,
                         source.ends_with('/') && source.size() > 1 ? source.substr(0, source.size() - 1) : source,
                         source, target, owner, 0);
    const Fd file(::open(source.c_str(), O_RDONLY | O_CLOEXEC)); // what the user names is followed
    if (!file)
        return Error::fromErrno(errno, "open", source);
    return pushFile(guest, file, info, target, owner);
}

// ---- pull

Status checkGuestName(const std::string &name, const std::string &shown)
{
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos)
        return Error(Code::Corrupt, quoted(shown) + " has an entry with the impossible name " + quoted(name));
    return {};
}

/// Puts `path` of the guest as `name` below `folder`.
Status pullEntry(Guest &guest, const std::string &path, int folder, const std::string &name, const std::string &shown,
                 bool recursive, int depth)
{
    if (depth > kDeepest)
        return Error(Code::Invalid, guest.where(path) + " is nested too deeply");
    Fd file;
    const GuestFile got = TRY(guest.get(path, [&](const GuestFile &head) -> Result<Guest::Destination> {
        const int follow = depth == 0 ? 0 : O_NOFOLLOW; // a link that the user named himself is his to follow
        file = Fd(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | follow,
                           head.mode & 0777));
        if (!file)
            return Error::fromErrno(errno, "write", shown);
        return Guest::Destination{file.get(), shown};
    }));
    if (got.kind == Kind::File) {
        if (!file) // an empty one: nothing came that would have opened it
            file = Fd(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW,
                               got.mode & 0777));
        return file ? Status() : Error::fromErrno(errno, "write", shown);
    }
    if (got.kind == Kind::Symlink) {
        if (::symlinkat(got.text.c_str(), folder, name.c_str()) < 0)
            return Error::fromErrno(errno, "symlink", shown);
        return {};
    }
    if (!recursive)
        return Error(Code::Usage, guest.where(path) + " is a folder").hint("use -r");
    if (::mkdirat(folder, name.c_str(), 0700 | (got.mode & 0777)) < 0 && errno != EEXIST)
        return Error::fromErrno(errno, "mkdir", shown);
    const Fd below(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!below)
        return Error::fromErrno(errno, "open", shown);
    for (const std::string &entry : got.names) {
        TRY(checkGuestName(entry, guest.where(path)));
        TRY(pullEntry(guest, joined(path, entry), below.get(), entry, joined(shown, entry), recursive, depth + 1));
    }
    return {};
}

/// The folder to pull into and, where the target names the file itself, its name.
struct Target {
    Fd folder;
    std::string name;
};

Result<Target> targetFor(const Arguments &arguments, const std::string &text, bool several)
{
    const bool folderMeant = text.ends_with('/') || several;
    if (arguments.has("create-dirs")) {
        const std::string wanted = folderMeant ? text : parentOf("./" + text);
        for (std::size_t at = wanted.find('/', 1); at != std::string::npos; at = wanted.find('/', at + 1))
            ::mkdir(wanted.substr(0, at).c_str(), 0755); // what fails here fails to open below
        ::mkdir(wanted.c_str(), 0755);
    }
    Fd folder(::open(text.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder)
        return Target{std::move(folder), {}};
    if (folderMeant)
        return Error::fromErrno(errno, "open folder", text);
    const std::string parent = text.find('/') == std::string::npos ? "." : parentOf(text);
    folder = Fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder)
        return Error::fromErrno(errno, "open folder", parent);
    return Target{std::move(folder), baseName(text)};
}

Status pullToOutput(Context &context, Guest &guest, const std::string &path)
{
    const GuestFile got = TRY(guest.get(path, [](const GuestFile &) -> Result<Guest::Destination> {
        return Guest::Destination{STDOUT_FILENO, "standard output"};
    }));
    if (got.kind == Kind::Directory)
        return Error(Code::Usage, guest.where(path) + " is a folder, which cannot go to standard output");
    if (got.kind == Kind::Symlink)
        context.printLine(got.text);
    return {};
}

} // namespace

Result<int> filePush(Context &context, const Arguments &arguments)
{
    const GuestPath target = TRY(guestPath(arguments.words.back()));
    const std::span<const std::string> sources(arguments.words.begin(), arguments.words.end() - 1);
    Guest guest(context, target.instance);
    // A slash at its end, or several sources: the target is a folder.
    // With -r too: a tree keeps its name below the target, whether that exists or not (as lxc does it).
    const bool folder = target.path.ends_with('/') || sources.size() > 1 || arguments.has("recursive");
    if (arguments.has("create-dirs")) {
        Ownership owner = TRY(ownership(arguments));
        owner.mode.reset();
        const std::string wanted =
            folder ? (target.path.ends_with('/') ? target.path.substr(0, target.path.size() - 1) : target.path)
                   : parentOf(target.path);
        TRY(guest.makeFolders(wanted, owner));
    }
    for (const std::string &source : sources) {
        if (folder && source == "-")
            return Error(Code::Usage, "standard input needs a file name as target");
        TRY(pushOne(guest, arguments, source, folder ? joined(target.path, baseName(source)) : target.path));
    }
    return 0;
}

Result<int> filePull(Context &context, const Arguments &arguments)
{
    const std::string targetText = arguments.words.back();
    const std::span<const std::string> sources(arguments.words.begin(), arguments.words.end() - 1);
    std::optional<Target> target;
    if (targetText != "-")
        target = TRY(targetFor(arguments, targetText, sources.size() > 1));
    for (const std::string &source : sources) {
        GuestPath path = TRY(guestPath(source));
        while (path.path.size() > 1 && path.path.ends_with('/'))
            path.path.pop_back();
        Guest guest(context, path.instance);
        if (!target) {
            TRY(pullToOutput(context, guest, path.path));
            continue;
        }
        const std::string name =
            target->name.empty() ? baseName(path.path == "/" ? path.instance : path.path) : target->name;
        TRY(pullEntry(guest, path.path, target->folder.get(), name,
                      target->name.empty() ? joined(targetText, name) : targetText, arguments.has("recursive"), 0));
    }
    return 0;
}

Result<int> fileEdit(Context &context, const Arguments &arguments)
{
    const GuestPath path = TRY(guestPath(arguments.word(0)));
    Guest guest(context, path.instance);
    if (!isTerminal(STDIN_FILENO)) {
        TRY(guest.putFrom(path.path, {}, STDIN_FILENO, std::nullopt));
        return 0;
    }
    std::string before;
    Ownership owner;
    if (const Result<GuestFile> file = guest.get(path.path, {})) {
        if (file->kind == Kind::Directory)
            return Error(Code::Usage, guest.where(path.path) + " is a folder");
        before = file->text;
        owner = {file->uid, file->gid, octal(file->mode)};
    } else if (file.error().code != Code::NotFound) {
        return file.error();
    }
    const std::string name = baseName(path.path);
    const std::string suffix = name.find('.') == std::string::npos ? "" : name.substr(name.rfind('.'));
    const std::string after = TRY(editText(before, suffix));
    if (after != before)
        TRY(guest.put(path.path, "file", owner, after));
    return 0;
}

Result<int> fileDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &word : arguments.words) {
        const GuestPath path = TRY(guestPath(word));
        TRY(Guest(context, path.instance).remove(path.path));
    }
    return 0;
}

Result<int> fileMkdir(Context &context, const Arguments &arguments)
{
    const Ownership owner = TRY(ownership(arguments));
    for (const std::string &word : arguments.words) {
        const GuestPath path = TRY(guestPath(word));
        Guest guest(context, path.instance);
        if (arguments.has("create-dirs"))
            TRY(guest.makeFolders(path.path, owner));
        else
            TRY(guest.put(path.path, "directory", owner, {}));
    }
    return 0;
}

} // namespace lxmgr::cli

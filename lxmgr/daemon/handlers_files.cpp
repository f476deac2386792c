// Files inside an instance, running or stopped; paths are resolved inside it by a helper that has entered it.
#include "daemon/context.h"
#include "daemon/file_sessions.h"
#include "daemon/passed_exec.h"

#include "api/envelope.h"
#include "base/text.h"

#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{

using Type = spec::FileStat::Type;

/// The name of a file inside; clients leave the first slash out at times.
Result<std::string> pathOf(const Request &request)
{
    const std::string *path = request.query.find("path");
    if (!path || path->empty())
        return Error(Code::Invalid, "missing path argument");
    if (path->size() > 4096)
        return Error(Code::Invalid, "path is longer than 4096 bytes");
    return path->front() == '/' ? *path : "/" + *path;
}

std::string octal(std::uint32_t mode)
{
    char text[16];
    std::snprintf(text, sizeof text, "%04o", mode);
    return text;
}

std::string modified(std::int64_t nanoseconds, const char *format)
{
    const std::time_t seconds = nanoseconds / 1'000'000'000;
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[64];
    return {text, std::strftime(text, sizeof text, format, &utc)};
}

std::string_view typeName(Type type)
{
    return type == Type::Directory ? "directory" : type == Type::Symlink ? "symlink" : "file";
}

http::Headers headersOf(const spec::FileStat &stat)
{
    http::Headers headers;
    for (const char *family : {"X-LXD-", "X-Incus-"}) {
        const std::string prefix(family);
        headers.add(prefix + "uid", std::to_string(stat.uid));
        headers.add(prefix + "gid", std::to_string(stat.gid));
        headers.add(prefix + "mode", octal(stat.mode));
        headers.add(prefix + "type", std::string(typeName(stat.type)));
        headers.add(prefix + "modified", modified(stat.modified, "%Y-%m-%d %H:%M:%S +0000 UTC"));
    }
    headers.add("Last-Modified", modified(stat.modified, "%a, %d %b %Y %H:%M:%S GMT"));
    return headers;
}

Error asMissing(Error error)
{
    if (error.code == Code::NotFound)
        error.message = "Not Found: " + error.message;
    return error;
}

Result<std::int64_t> numberIn(const Request &request, std::string_view name)
{
    const std::string *text = request.familyHeader(name);
    if (!text || text->empty())
        return std::int64_t{-1};
    return static_cast<std::int64_t>(TRY_IN("header " + std::string(name), parseUnsigned(*text, 0, 4294967294)));
}

Result<std::int64_t> modeIn(const Request &request)
{
    const std::string *text = request.familyHeader("mode");
    if (!text || text->empty())
        return std::int64_t{-1};
    std::string_view digits = *text;
    if (digits.starts_with("0o"))
        digits.remove_prefix(2);
    std::int64_t mode = 0;
    for (const char digit : digits) {
        if (digit < '0' || digit > '7' || mode > 07777)
            return Error(Code::Invalid, "header mode: " + quoted(*text) + " is not an octal mode");
        mode = mode * 8 + (digit - '0');
    }
    return mode & 07777;
}

Status copyBody(const Request &request, const Fd &to)
{
    if (!request.bodyFile) {
        std::string_view rest = request.body;
        while (!rest.empty()) {
            const ssize_t written = ::write(to.get(), rest.data(), rest.size());
            if (written < 0)
                return Error::fromErrno(errno, "write");
            rest.remove_prefix(static_cast<std::size_t>(written));
        }
        return {};
    }
    off_t offset = 0;
    while (static_cast<std::uint64_t>(offset) < request.bodySize) {
        const ssize_t sent = ::sendfile(to.get(), request.bodyFile.get(), &offset, request.bodySize - static_cast<std::uint64_t>(offset));
        if (sent < 0)
            return Error::fromErrno(errno, "write");
        if (sent == 0)
            return Error(Code::Internal, "the upload ended early");
    }
    return {};
}

FileSessions::On stateOf(Context &context, const instances::InstanceKey &key)
{
    return context.manager.guest(key) ? FileSessions::On::Running : FileSessions::On::Stopped;
}

/// The pipe that came along with a request is where the bytes go to or come from, instead of a body.
Status checkTransferPipe(const Request &request, int access)
{
    if (request.fds.size() != 1)
        return Error(Code::Invalid, "one descriptor goes with a request for a file, not " + std::to_string(request.fds.size()));
    return checkPipe(request.fds.front(), access, "the descriptor that came along");
}

/// The client reads that many bytes of its pipe; of 0, as the kernel says of files it makes up, until the end.
constexpr const char *kPassed = "X-LXMGR-passed";

Status giveFile(Context &context, Request &request, const Responder &responder, spec::FilesClient files, const std::string &path,
                http::Headers headers)
{
    const instances::InstanceKey key = keyOf(request);
    TRY(checkTransferPipe(request, O_WRONLY));
    const auto on = stateOf(context, key);
    const spec::FileStat given = TRY(context.fileSessions->give(key, on, std::move(files), request, path));
    headers.add(kPassed, std::to_string(given.size));
    responder.raw(200, std::move(headers));
    return {};
}

Status takeFile(Context &context, Request &request, const Responder &responder, spec::FilesClient files, const std::string &path, bool append)
{
    const instances::InstanceKey key = keyOf(request);
    TRY(checkTransferPipe(request, O_RDONLY));
    const FileSessions::Taking taking{path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), TRY(modeIn(request)),
                                      TRY(numberIn(request, "uid")), TRY(numberIn(request, "gid"))};
    const auto on = stateOf(context, key);
    return context.fileSessions->take(key, on, std::move(files), request, taking, responder, [responder](const Status &taken) {
        if (taken)
            responder.sync();
        else
            responder.error(asMissing(taken.error()));
    });
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const std::string path = TRY(pathOf(request));
    spec::FilesClient files = TRY(context.manager.files(keyOf(request)));
    const auto found = files.stat(path);
    if (!found)
        return asMissing(found.error());
    http::Headers headers = headersOf(*found);
    if (found->type == Type::Directory) {
        std::string json;
        api::JsonWriter writer(json);
        writer.beginArray();
        for (const spec::FileEntry &entry : TRY(files.list(path)))
            writer.string(entry.name);
        writer.endArray();
        responder.syncWith(std::move(headers), std::move(json));
        return {};
    }
    headers.add("Content-Type", "application/octet-stream");
    const std::string base = path.substr(path.rfind('/') + 1);
    headers.add("Content-Disposition", "inline;filename=" + http::percentEncode(base));
    if (!request.fds.empty() && found->type == Type::File)
        return giveFile(context, request, responder, std::move(files), path, std::move(headers));
    std::vector<BodyPart> parts;
    if (found->type == Type::Symlink) {
        parts.emplace_back(TRY(files.readlink(path)));
    } else {
        spec::FilesClient::Opened opened = TRY(files.open(path, O_RDONLY));
        parts.emplace_back(FileRange{std::move(opened.fd), 0, opened.stat.size});
    }
    responder.raw(200, std::move(headers), std::move(parts));
    return {};
}

Status head(Context &context, Request &request, const Responder &responder)
{
    spec::FilesClient files = TRY(context.manager.files(keyOf(request)));
    const auto found = files.stat(TRY(pathOf(request)));
    if (!found)
        return asMissing(found.error());
    http::Headers headers = headersOf(*found);
    headers.add("Content-Type", "application/json");
    responder.raw(200, std::move(headers));
    return {};
}

/// Appending with sendfile(2) is EINVAL: the place to write at is sought by hand.
Status writeFile(spec::FilesClient &files, const Request &request, const std::string &path, bool append)
{
    const std::int64_t mode = TRY(modeIn(request)), uid = TRY(numberIn(request, "uid")), gid = TRY(numberIn(request, "gid"));
    const spec::FilesClient::Opened opened = TRY(files.open(path, O_WRONLY | O_CREAT | (append ? 0 : O_TRUNC), mode, uid, gid));
    if (append && ::lseek(opened.fd.get(), 0, SEEK_END) < 0)
        return Error::fromErrno(errno, "lseek", path);
    TRY_IN("file " + quoted(path), copyBody(request, opened.fd));
    return {};
}

Status post(Context &context, Request &request, const Responder &responder)
{
    const std::string path = TRY(pathOf(request));
    const std::string *given = request.familyHeader("type");
    const std::string type = given && !given->empty() ? *given : "file";
    const std::string *how = request.familyHeader("write");
    if (how && *how != "overwrite" && *how != "append" && !how->empty())
        return Error(Code::Invalid, "header write: " + quoted(*how) + " is neither overwrite nor append");
    spec::FilesClient files = TRY(context.manager.files(keyOf(request)));
    Status done;
    if (!request.fds.empty() && type == "file")
        return takeFile(context, request, responder, std::move(files), path, how && *how == "append");
    if (type == "file")
        done = writeFile(files, request, path, how && *how == "append");
    else if (type == "directory")
        done = files.mkdir(path, TRY(modeIn(request)), TRY(numberIn(request, "uid")), TRY(numberIn(request, "gid")));
    else if (type == "symlink")
        done = files.symlink(path, request.body, TRY(numberIn(request, "uid")), TRY(numberIn(request, "gid")));
    else
        return Error(Code::Invalid, "header type: " + quoted(type) + " is none of file, directory, symlink");
    if (!done)
        return asMissing(done.error());
    responder.sync();
    return {};
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const std::string path = TRY(pathOf(request));
    spec::FilesClient files = TRY(context.manager.files(keyOf(request)));
    if (const auto found = files.stat(path); !found)
        return asMissing(found.error());
    TRY(files.remove(path, request.query.flag("recursive")));
    responder.sync();
    return {};
}

/// Nothing of what the client says is read here: the helper in the guest gets the connection.
Status sftp(Context &context, Request &request, const Responder &responder)
{
    const instances::InstanceKey key = keyOf(request);
    TRY(context.manager.describe(key));
    if (request.head.upgrade != "sftp")
        return Error(Code::Invalid, "this is for connections that ask for \"Upgrade: sftp\"");
    const auto on = stateOf(context, key);
    return context.fileSessions->beginSftp(key, on, TRY(context.manager.files(key)), request, responder);
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceFileGet, &get},
    {api::RouteId::InstanceFileHead, &head},
    {api::RouteId::InstanceFilePost, &post},
    {api::RouteId::InstanceFileDelete, &remove},
    {api::RouteId::InstanceSftp, &sftp},
};

} // namespace

std::span<const HandlerRow> fileHandlers() { return kRows; }

void endFileVisits(Context &context, const instances::InstanceKey &key)
{
    if (!context.manager.guest(key))
        context.fileSessions->endStopped(key);
}

} // namespace lxmgr::daemon

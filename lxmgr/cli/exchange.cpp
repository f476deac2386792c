// export and import: instances as archives.
#include "api/objects.h"
#include "base/text.h"
#include "cli/archive_file.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "http/target.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

std::string exportBody(const Arguments &arguments)
{
    api::InstanceBackupsPost post;
    post.instanceOnly = arguments.has("instance-only");
    post.optimizedStorage = arguments.has("optimized-storage");
    post.compressionAlgorithm = arguments.value("compression", "");
    return api::toJson(post);
}

/// The daemon writes to `fd` itself.
Status exportTo(Context &context, const Arguments &arguments, int fd)
{
    client::Request request;
    request.method = "POST";
    request.target = context.client().target(TRY(instancePath(arguments.word(0), "backups")));
    request.body = exportBody(arguments);
    request.fds = {fd};
    const client::Answer answer = TRY(client::openEnvelope(TRY(context.client().exchange(request))));
    const api::Operation done = TRY(waitWithProgress(context, answer.operation, "Exporting " + arguments.word(0)));
    if (const std::string warnings = done.metadata.text("warnings"); !warnings.empty())
        context.warn("Warning: " + escaped(warnings));
    return {};
}

Result<Fd> openArchive(const std::string &path)
{
    if (path == "-")
        return Fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return Error::fromErrno(errno, "open", path).as(errno == ENOENT ? Code::NotFound : Code::Internal);
    struct stat info {
    };
    if (::fstat(file.get(), &info) == 0 && S_ISDIR(info.st_mode))
        return Error(Code::Unsupported, quoted(path) + " is a folder, not an archive");
    return file;
}

client::Source readFrom(const Fd &file)
{
    return [fd = file.get()](char *buffer, std::size_t size) -> Result<std::size_t> {
        for (;;) {
            const ssize_t got = ::read(fd, buffer, size);
            if (got >= 0)
                return static_cast<std::size_t>(got);
            if (errno != EINTR)
                return Error::fromErrno(errno, "read the archive");
        }
    };
}

Result<std::string> encodedKeys(const std::vector<std::string> &pairs)
{
    std::string encoded;
    for (const std::string &text : pairs) {
        const KeyValue pair = TRY(keyValue(text));
        encoded += (encoded.empty() ? "" : "&") + http::percentEncode(pair.key) + "=" + http::percentEncode(pair.value);
    }
    return encoded;
}

} // namespace

Result<int> exportInstance(Context &context, const Arguments &arguments)
{
    const std::string instance = arguments.word(0);
    const std::string name = archiveName(instance, arguments.value("compression", ""));
    const std::string path = TRY(writeArchive(arguments.word(1), name, "lxmgr export " + instance + " -",
                                              [&](int fd) { return exportTo(context, arguments, fd); }));
    if (!path.empty())
        context.say("Exported " + instance + " to " + path);
    return 0;
}

Result<int> importInstance(Context &context, const Arguments &arguments)
{
    const Fd file = TRY(openArchive(arguments.word(0)));
    struct stat info {
    };
    if (::fstat(file.get(), &info) < 0)
        return Error::fromErrno(errno, "stat", arguments.word(0));
    client::Request request;
    request.method = "POST";
    request.target = context.client().target("/1.0/instances");
    request.headers.set("Content-Type", "application/octet-stream");
    if (const std::string name = arguments.word(1); !name.empty()) {
        TRY(checkInstanceName(name));
        request.headers.set("X-LXD-name", name);
    }
    if (const auto pool = arguments.value("storage"))
        request.headers.set("X-LXD-pool", *pool);
    if (const std::string config = TRY(encodedKeys(arguments.values("config"))); !config.empty())
        request.headers.set("X-LXD-config", config);
    request.source = readFrom(file);
    if (S_ISREG(info.st_mode) && arguments.word(0) != "-")
        request.sourceSize = static_cast<std::uint64_t>(info.st_size);
    const client::Answer answer = TRY(client::openEnvelope(TRY(context.client().exchange(request))));
    const api::Operation done = TRY(waitWithProgress(context, answer.operation, "Importing"));
    if (const std::string warnings = done.metadata.text("warnings"); !warnings.empty())
        context.warn("Warning: " + escaped(warnings));
    std::string name = arguments.word(1);
    if (name.empty() && done.resources)
        if (const auto found = done.resources->find("instances");
            found != done.resources->end() && !found->second.empty())
            name = found->second.front().substr(found->second.front().rfind('/') + 1);
    context.say("Imported " + name);
    return 0;
}

} // namespace lxmgr::cli

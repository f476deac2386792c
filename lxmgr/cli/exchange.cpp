// export and import: instances and storage volumes as archives.
#include "api/operations.h"
#include "base/text.h"
#include "cli/archive_file.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/kept_exports.h"
#include "cli/keys.h"
#include "cli/volume_handlers.h"
#include "http/target.h"

#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

/// What a word of people's stands for.
struct Exported {
    std::string title; ///< "web1", or the volume.
    std::string path;  ///< Where its exports are asked for.
    std::string onlyIt; ///< The member of the request that leaves snapshots out.
};

void tellWarnings(Context &context, const api::Operation &done)
{
    if (const std::string warnings = done.metadata.text("warnings"); !warnings.empty())
        context.warn("Warning: " + escaped(warnings));
}

/// Another host cannot write here: it keeps the archive until it has been fetched, and at most a day where that is cut off.
Status exportThere(Context &context, api::Json body, const Exported &what, int fd)
{
    constexpr std::int64_t kDay = 86400;
    body["expires_at"] = api::Time::fromUnix(std::time(nullptr) + kDay).format();
    const api::Operation done = TRY(runWithProgress(context, "POST", what.path, body.dump(), "Exporting " + what.title));
    tellWarnings(context, done);
    const std::string kept = client::path(what.path, {exportName(done)});
    const Status fetched = downloadExport(context, kept, fd);
    const auto removed = runWithProgress(context, "DELETE", kept, {}, "Exporting " + what.title);
    if (!removed && fetched)
        context.warn("Warning: the server still keeps " + kept + ": " + escaped(removed.error().message));
    return fetched;
}

/// The daemon writes to `fd` itself.
Status exportTo(Context &context, const Arguments &arguments, const Exported &what, int fd)
{
    api::Json body;
    body[what.onlyIt] = arguments.has(what.onlyIt == "volume_only" ? "volume-only" : "instance-only");
    body["optimized_storage"] = arguments.has("optimized-storage");
    body["compression_algorithm"] = arguments.value("compression", "");
    if (context.client().isRemote())
        return exportThere(context, std::move(body), what, fd);
    client::Request request;
    request.method = "POST";
    request.target = context.client().target(what.path);
    request.body = body.dump();
    request.fds = {fd};
    const client::Answer answer = TRY(client::openEnvelope(TRY(context.client().exchange(request))));
    const api::Operation done = TRY(waitWithProgress(context, answer.operation, "Exporting " + what.title));
    tellWarnings(context, done);
    return {};
}

Result<int> exportAny(Context &context, const Arguments &arguments, const Exported &what, const std::string &target,
                      const std::string &again)
{
    const std::string name = archiveName(what.title, arguments.value("compression", ""));
    const std::string path = TRY(
        writeArchive(target, name, again, [&](int fd) { return exportTo(context, arguments, what, fd); }));
    if (!path.empty())
        context.say("Exported " + what.title + " to " + path);
    return 0;
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

Result<std::string> encodedKeys(const std::vector<std::string> &pairs)
{
    std::string encoded;
    for (const std::string &text : pairs) {
        const KeyValue pair = TRY(keyValue(text));
        encoded += (encoded.empty() ? "" : "&") + http::percentEncode(pair.key) + "=" + http::percentEncode(pair.value);
    }
    return encoded;
}

/// Uploads the archive to `url`; `kind` is what the answer names in its resources.
Result<int> importAny(Context &context, const Arguments &arguments, const std::string &url, const std::string &word,
                      const std::string &name, const std::string &kind)
{
    const Fd file = TRY(openArchive(word));
    struct stat info {
    };
    if (::fstat(file.get(), &info) < 0)
        return Error::fromErrno(errno, "stat", word);
    client::Request request;
    request.method = "POST";
    request.target = context.client().target(url);
    request.headers.set("Content-Type", "application/octet-stream");
    if (!name.empty())
        request.headers.set("X-LXD-name", name);
    if (const auto pool = arguments.value("storage"))
        request.headers.set("X-LXD-pool", *pool);
    if (const std::string config = TRY(encodedKeys(arguments.values("config"))); !config.empty())
        request.headers.set("X-LXD-config", config);
    request.source = client::sourceOf(file.get(), word);
    if (S_ISREG(info.st_mode) && word != "-")
        request.sourceSize = static_cast<std::uint64_t>(info.st_size);
    const client::Answer answer = TRY(client::openEnvelope(TRY(context.client().exchange(request))));
    const api::Operation done = TRY(waitWithProgress(context, answer.operation, "Importing"));
    tellWarnings(context, done);
    std::string given = name;
    if (given.empty() && done.resources)
        if (const auto found = done.resources->find(kind); found != done.resources->end() && !found->second.empty()) {
            const std::string path = found->second.front().substr(0, found->second.front().find('?'));
            given = path.substr(path.rfind('/') + 1);
        }
    context.say("Imported " + given);
    return 0;
}

} // namespace

Result<int> exportInstance(Context &context, const Arguments &arguments)
{
    const std::string instance = arguments.word(0);
    const Exported what{instance, TRY(instancePath(instance, "backups")), "instance_only"};
    return exportAny(context, arguments, what, arguments.word(1), "lxmgr export " + instance + " -");
}

Result<int> importInstance(Context &context, const Arguments &arguments)
{
    const std::string name = arguments.word(1);
    if (!name.empty())
        TRY(checkInstanceName(name));
    return importAny(context, arguments, "/1.0/instances", arguments.word(0), name, "instances");
}

Result<int> volumeExport(Context &context, const Arguments &arguments)
{
    const std::string pool = arguments.word(0), volume = arguments.word(1);
    const Exported what{volume, client::path("/1.0/storage-pools", {pool, "volumes", "custom", volume, "backups"}),
                        "volume_only"};
    return exportAny(context, arguments, what, arguments.word(2), "lxmgr storage volume export " + pool + " " + volume + " -");
}

Result<int> volumeImport(Context &context, const Arguments &arguments)
{
    const std::string name = arguments.word(2);
    if (!name.empty())
        TRY(checkObjectName("storage volume", name));
    return importAny(context, arguments, client::path("/1.0/storage-pools", {arguments.word(0), "volumes", "custom"}),
                     arguments.word(1), name, "storage_volumes");
}

} // namespace lxmgr::cli

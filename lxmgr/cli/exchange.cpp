// export and import: instances as archives.
#include "api/objects.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "http/target.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

struct Ending {
    std::string_view compression, ending;
};
constexpr Ending kEndings[] = {
    {"",      ".tar.gz"  },
    {"gzip",  ".tar.gz"  },
    {"zstd",  ".tar.zst" },
    {"xz",    ".tar.xz"  },
    {"bzip2", ".tar.bz2" },
    {"lzma",  ".tar.lzma"},
    {"none",  ".tar"     },
};

bool isFolder(const std::string &path)
{
    struct stat info {
    };
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

/// A pipe or a device: written to as it is, never replaced.
bool isSpecial(const std::string &path)
{
    struct stat info {
    };
    return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

/// A file that has no name until it is whole: whatever ends this program, nothing half is left.
class OutFile
{
public:
    static Result<OutFile> open(const std::string &path)
    {
        OutFile file;
        file.m_path = path;
        const std::size_t slash = path.rfind('/');
        const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
        file.m_fd = Fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
        if (!file.m_fd && (errno == EOPNOTSUPP || errno == EISDIR)) {
            // A file system without nameless files: a name that says what it is, removed where we can.
            file.m_part = path + ".part";
            file.m_fd = Fd(::open(file.m_part.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
        }
        if (!file.m_fd)
            return Error::fromErrno(errno, "write", path);
        return file;
    }
    OutFile(OutFile &&other) noexcept
        : m_path(std::move(other.m_path)), m_part(std::exchange(other.m_part, {})), m_fd(std::move(other.m_fd))
    {
    }
    OutFile &operator=(OutFile &&) = delete;
    ~OutFile()
    {
        if (!m_part.empty())
            ::unlink(m_part.c_str());
    }
    int fd() const { return m_fd.get(); }

    /// Gives it its name, in place of what had it.
    Status finish()
    {
        if (::fsync(m_fd.get()) < 0)
            return Error::fromErrno(errno, "write", m_path);
        if (m_part.empty()) {
            m_part = m_path + ".part";
            ::unlink(m_part.c_str());
            const std::string self = "/proc/self/fd/" + std::to_string(m_fd.get());
            if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, m_part.c_str(), AT_SYMLINK_FOLLOW) < 0)
                return Error::fromErrno(errno, "name", m_part);
        }
        if (::rename(m_part.c_str(), m_path.c_str()) < 0)
            return Error::fromErrno(errno, "name", m_path);
        m_part.clear();
        return {};
    }

private:
    OutFile() = default;
    std::string m_path, m_part;
    Fd m_fd;
};

Result<std::string> targetPath(const Arguments &arguments)
{
    const std::string instance = arguments.word(0);
    const std::string compression = arguments.value("compression", "");
    const auto *row = std::ranges::find(kEndings, compression, &Ending::compression);
    const std::string name =
        instance + std::string(row == std::end(kEndings) ? ".tar" : row->ending); // the daemon names a wrong one
    std::string target = arguments.word(1);
    if (target.empty())
        return name;
    if (target.ends_with('/') || isFolder(target))
        return target + (target.ends_with('/') ? "" : "/") + name;
    return target;
}

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
    if (isFolder(path))
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
    if (arguments.word(1) == "-") {
        if (::isatty(STDOUT_FILENO))
            return Error(Code::Usage, "an archive is nothing to be shown on a terminal")
                .hint("give a file, or send it on: lxmgr export " + arguments.word(0) + " - | …");
        TRY(exportTo(context, arguments, STDOUT_FILENO));
        return 0;
    }
    const std::string path = TRY(targetPath(arguments));
    if (isSpecial(path)) {
        const Fd special(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!special)
            return Error::fromErrno(errno, "write", path);
        TRY(exportTo(context, arguments, special.get()));
        return 0;
    }
    OutFile file = TRY(OutFile::open(path));
    TRY(exportTo(context, arguments, file.fd()));
    TRY(file.finish());
    context.say("Exported " + arguments.word(0) + " to " + path);
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

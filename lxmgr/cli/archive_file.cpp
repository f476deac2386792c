#include "cli/archive_file.h"

#include "base/fd.h"

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

} // namespace

std::string archiveName(const std::string &name, const std::string &compression)
{
    const auto *row = std::ranges::find(kEndings, compression, &Ending::compression);
    return name + std::string(row == std::end(kEndings) ? ".tar" : row->ending); // the daemon names a wrong one
}

Result<std::string> writeArchive(const std::string &word, const std::string &name, const std::string &pipe,
                                 const std::function<Status(int fd)> &write)
{
    if (word == "-") {
        if (::isatty(STDOUT_FILENO))
            return Error(Code::Usage, "an archive is nothing to be shown on a terminal")
                .hint("give a file, or send it on: " + pipe + " | …");
        TRY(write(STDOUT_FILENO));
        return std::string();
    }
    std::string path = word.empty() ? name : word;
    if (word.ends_with('/') || (!word.empty() && isFolder(word)))
        path = word + (word.ends_with('/') ? "" : "/") + name;
    if (isSpecial(path)) {
        const Fd special(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!special)
            return Error::fromErrno(errno, "write", path);
        TRY(write(special.get()));
        return std::string();
    }
    OutFile file = TRY(OutFile::open(path));
    TRY(write(file.fd()));
    TRY(file.finish());
    return path;
}

} // namespace lxmgr::cli

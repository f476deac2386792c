#include "daemon/spool.h"

#include "base/text.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{

std::uint64_t freeAt(const std::string &folder)
{
    struct statvfs info {
    };
    return ::statvfs(folder.c_str(), &info) == 0 && info.f_blocks > 0 ? std::uint64_t{info.f_bavail} * info.f_frsize
                                                                      : UINT64_MAX;
}

} // namespace

Result<Fd> openSpool(const std::string &folder, std::optional<std::uint64_t> expected)
{
    const std::uint64_t free = freeAt(folder);
    if (expected && *expected > free)
        return Error(Code::NoSpace, "the upload takes " + humanBytes(Bytes{*expected}) + ", " + humanBytes(Bytes{*expected - free}) +
                                        " more than the " + humanBytes(Bytes{free}) + " free at " + folder);
    Fd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file)
        return Error::fromErrno(errno, "open a temporary file in", folder);
    return file;
}

Error withMissing(Error error, const Fd &file, const std::string &folder, std::optional<std::uint64_t> expected)
{
    struct stat info {
    };
    if (error.code != Code::NoSpace || ::fstat(file.get(), &info) < 0)
        return error;
    const auto received = static_cast<std::uint64_t>(info.st_size);
    if (::ftruncate(file.get(), 0) < 0) // nobody reads it any more, and what is free is asked next
        return error;
    const std::string missing = expected && *expected > received ? ", " + humanBytes(Bytes{*expected - received}) + " were still to come" : "";
    return std::move(error).hint(humanBytes(Bytes{received}) + " of the upload were stored" + missing + "; " +
                                 humanBytes(Bytes{freeAt(folder)}) + " are free at " + folder + " without it");
}

Status writeAll(int fd, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return Error::fromErrno(errno, "write");
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
}

} // namespace lxmgr::daemon

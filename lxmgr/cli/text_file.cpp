#include "cli/text_file.h"

#include "base/text.h"

#include <cerrno>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

Result<std::string> readTextFile(const std::string &path, std::size_t most)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat info {
    };
    if (!file || ::fstat(file.get(), &info) < 0)
        return Error::fromErrno(errno, "open", path);
    if (!S_ISREG(info.st_mode))
        return Error(Code::Invalid, path + " is not a regular file");
    std::string text(most + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
        if (got < 0 && errno != EINTR)
            return Error::fromErrno(errno, "read", path);
        if (got == 0)
            break;
        size += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    if (size > most)
        return Error(Code::Invalid, path + " is longer than " + humanBytes(Bytes{most}));
    text.resize(size);
    return text;
}

Status replaceTextFile(const Fd &folder, const std::string &name, const std::string &text)
{
    const std::string part = "." + name + ".part";
    const Fd file(::openat(folder.get(), part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file)
        return Error::fromErrno(errno, "create", part);
    const auto failed = [&](const char *call) {
        Error error = Error::fromErrno(errno, call, name);
        (void)::unlinkat(folder.get(), part.c_str(), 0); // the first error is the one to report
        return error;
    };
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t wrote = ::write(file.get(), text.data() + done, text.size() - done);
        if (wrote < 0 && errno != EINTR)
            return failed("write");
        done += wrote > 0 ? static_cast<std::size_t>(wrote) : 0;
    }
    if (::fsync(file.get()) < 0 || ::renameat(folder.get(), part.c_str(), folder.get(), name.c_str()) < 0)
        return failed("write");
    return {};
}

} // namespace lxmgr::cli

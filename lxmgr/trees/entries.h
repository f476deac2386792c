// The entries of a folder, read through a descriptor.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/sys.h"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <utility>

namespace lxmgr::trees
{

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// An open directory stream of its own, so that the caller's descriptor keeps its place.
class Entries
{
public:
    static Result<Entries> open(const Fd &folder)
    {
        Fd own = TRY(sys::openat(folder, ".", kFolderFlags));
        DIR *stream = ::fdopendir(own.get());
        if (!stream)
            return Error::fromErrno(errno, "fdopendir");
        (void)own.release(); // the stream owns it now
        return Entries(stream);
    }
    Entries(Entries &&other) noexcept : m_stream(std::exchange(other.m_stream, nullptr)) {}
    Entries &operator=(Entries &&) = delete;
    ~Entries()
    {
        if (m_stream)
            ::closedir(m_stream);
    }
    /// nullptr at the end; "." and ".." are left out.
    const dirent *next()
    {
        for (;;) {
            const dirent *entry = ::readdir(m_stream);
            if (!entry || (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0))
                return entry;
        }
    }
    void rewind() { ::rewinddir(m_stream); }

private:
    explicit Entries(DIR *stream) : m_stream(stream) {}
    DIR *m_stream;
};

} // namespace lxmgr::trees

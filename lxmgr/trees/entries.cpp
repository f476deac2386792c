#include "trees/entries.h"

#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace lxmgr::trees
{

namespace
{

/// Enough to put in order, and no more memory than a guest's folder is worth.
constexpr std::size_t kMostRead = 32'768;

} // namespace

Result<Entries> Entries::open(const Fd &folder)
{
    Fd own = TRY(sys::openat(folder, ".", kFolderFlags));
    DIR *stream = ::fdopendir(own.get());
    if (!stream)
        return Error::fromErrno(errno, "fdopendir");
    (void)own.release(); // the stream owns it now
    return Entries(stream);
}

Status Entries::read()
{
    m_read.clear();
    m_given = 0;
    while (!m_ended && m_read.size() < kMostRead) {
        errno = 0;
        const dirent *entry = ::readdir(m_stream.get());
        if (!entry && errno != 0)
            return Error::fromErrno(errno, "readdir");
        m_ended = !entry;
        if (const std::string_view name = entry ? entry->d_name : "."; name != "." && name != "..")
            m_read.push_back({std::string(name), entry->d_ino, entry->d_type});
    }
    std::ranges::sort(m_read, {}, &FolderEntry::inode);
    return {};
}

Result<const FolderEntry *> Entries::next()
{
    if (m_given == m_read.size() && !m_ended)
        TRY(read());
    return m_given < m_read.size() ? &m_read[m_given++] : nullptr;
}

} // namespace lxmgr::trees

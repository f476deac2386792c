// The entries of a folder, read through a descriptor.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstddef>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <string>
#include <vector>

namespace lxmgr::trees
{

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

struct FolderEntry {
    std::string name;
    ino_t inode = 0;
    unsigned char type = DT_UNKNOWN; ///< As readdir(3) has it.
};

/// An open directory stream of its own, so that the caller's descriptor keeps its place. Entries come in the order of their
/// inodes (within many of them), in which file systems lay out what belongs to them: ext4 lists in the order of hashes, and a
/// disk that is asked in that order is many times slower.
class Entries
{
public:
    static Result<Entries> open(const Fd &folder);
    /// nullptr at the end; "." and ".." are left out. Valid until the next call. Fails where the folder cannot be read: what
    /// was listed is not all of it then.
    Result<const FolderEntry *> next();

private:
    explicit Entries(DIR *stream) : m_stream(stream, &::closedir) {}
    Status read();

    std::unique_ptr<DIR, int (*)(DIR *)> m_stream;
    std::vector<FolderEntry> m_read;
    std::size_t m_given = 0;
    bool m_ended = false;
};

} // namespace lxmgr::trees

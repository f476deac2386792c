#include "diff/changes.h"

namespace lxmgr::diff
{

std::string_view typeName(FileType type)
{
    constexpr std::string_view kNames[] = {"file",   "directory", "symlink", "character device", "block device",
                                           "fifo",   "socket"};
    return kNames[static_cast<std::size_t>(type)];
}

std::string_view changeName(ChangeKind kind)
{
    constexpr std::string_view kNames[] = {"added", "modified", "deleted", "metadata"};
    return kNames[static_cast<std::size_t>(kind)];
}

void Counts::add(ChangeKind kind)
{
    std::uint64_t *const counters[] = {&added, &modified, &deleted, &metadata};
    ++*counters[static_cast<std::size_t>(kind)];
}

} // namespace lxmgr::diff

#include "monitor/guest_files.h"

#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>

namespace lxmgr::monitor
{

using path::Scope;
using spec::FileRequest;

namespace
{

Result<OpenedFile> openNew(const Fd &root, const FileRequest &request, int flags)
{
    OpenedFile made{TRY(path::open(root, request.path, flags | O_CREAT | O_EXCL, Scope::InRoot, 0600)), true};
    TRY(applyTo(made.fd, request.mode >= 0 ? request.mode : 0644, std::max<std::int64_t>(request.uid, 0),
                std::max<std::int64_t>(request.gid, 0)));
    return made;
}

} // namespace

Status applyTo(const Fd &fd, std::int64_t mode, std::int64_t uid, std::int64_t gid)
{
    if (uid >= 0 || gid >= 0)
        TRY(sys::fchown(fd, static_cast<uid_t>(uid), static_cast<gid_t>(gid))); // -1 leaves it
    if (mode >= 0)
        TRY(sys::fchmod(fd, static_cast<mode_t>(mode) & 07777));
    return {};
}

Status refuseSpecial(const Fd &root, const std::string &path, int flags)
{
    const Fd there = TRY(path::open(root, path, O_PATH | (flags & O_NOFOLLOW), Scope::InRoot));
    const mode_t mode = TRY(sys::fstat(there)).st_mode;
    if (!S_ISREG(mode) && !S_ISDIR(mode))
        return Error(Code::Invalid, "it is neither a file nor a folder");
    return {};
}

Result<OpenedFile> openFile(const Fd &root, const FileRequest &request)
{
    constexpr int kAllowed = O_ACCMODE | O_TRUNC | O_APPEND | O_NOFOLLOW | O_DIRECTORY;
    const int flags = (request.flags & kAllowed) | kAlways;
    if (request.flags & O_CREAT) {
        auto made = openNew(root, request, flags & ~O_TRUNC);
        if (made || made.error().errnum != EEXIST || (request.flags & O_EXCL))
            return made;
    }
    if (Status plain = refuseSpecial(root, request.path, request.flags); !plain) {
        // A link to nothing yet is made through the link, as open(2) does.
        if (plain.error().errnum != ENOENT || !(request.flags & O_CREAT))
            return std::move(plain.error());
    }
    OpenedFile opened{TRY(path::open(root, request.path, flags | (request.flags & O_CREAT), Scope::InRoot, 0644)), false};
    TRY(applyTo(opened.fd, request.mode, request.uid, request.gid));
    return opened;
}

} // namespace lxmgr::monitor

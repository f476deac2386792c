// The one path primitive: paths that an image or a guest can influence are resolved below a descriptor, never as
// strings.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <functional>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace lxmgr::path
{

/// How far a resolution may go. Magic links (/proc/PID/fd/N) are never followed.
enum class Scope {
    InRoot,    ///< As chroot(2) would: "/" and ".." stop at the folder, links mean what they mean inside.
    Beneath,   ///< Leaving the folder is an error, absolute links too.
    NoSymlink, ///< Beneath, and no link anywhere, the last part included.
    NoMount,   ///< Beneath, no link, and no mount may be crossed.
};

/// Folder of our own on the host, by absolute path (links in it are the administrator's).
Result<Fd> openFolder(const std::string &hostPath);
/// `path` below `root`; leading slashes are dropped. `flags` as open(2).
Result<Fd> open(const Fd &root, const std::string &path, int flags, Scope scope, mode_t mode = 0);

/// The folder that holds the last part of `path`, and that part. Invalid for "", ".", ".." and "/".
struct Parent {
    Fd folder;
    std::string name;
};
Result<Parent> openParent(const Fd &root, const std::string &path, Scope scope);

struct Owner {
    uid_t uid = 0;
    gid_t gid = 0;
};
/// Makes missing folders and opens the last one (O_PATH). Existing ones are left as they are.
Result<Fd> makeFolders(const Fd &root, const std::string &path, mode_t mode, Scope scope,
                       std::optional<Owner> owner = {});

/// Names in `folder` without "." and "..", in the order of their inodes: the one in which a disk reads what belongs to them
/// quickest. `folder` may be O_PATH.
Result<std::vector<std::string>> list(const Fd &folder);
/// Removes `name` in `folder`, with all below it if it is a folder; crosses no mount, follows no link.
/// An absent name is no error. ENOTEMPTY races are tried again.
Status removeTree(const Fd &folder, const std::string &name);

/// Calls `visit` for everything below `folder` (not itself), folders before their content; crosses no mount.
struct Entry {
    const Fd &folder; ///< That holds it.
    const std::string &name;
    const std::string &path; ///< From where the walk began.
    const struct stat &info;
};
Status walk(const Fd &folder, const std::function<Status(const Entry &)> &visit);

/// "a/b" from "/a//./b/"; Invalid when a part is "..".
Result<std::string> normalized(const std::string &path);

} // namespace lxmgr::path

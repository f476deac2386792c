// What the confined helper is told to do: folders it may write to and steps to run one after the other. Pure data.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::images
{

/// One step. Paths are those of the tree being made unless `outside` is set: then of the confined view of the host.
struct BuildStep {
    enum class Kind : std::uint32_t {
        Run,        ///< argv, with `environment` and nothing else.
        Folder,     ///< path, mode, uid, gid; parents too; an existing one keeps its own.
        Write,      ///< path, content, mode, uid, gid; parents too. An existing file is replaced, a link too.
        Copy,       ///< content names a file outside; else as Write.
        Link,       ///< path, content: where it points.
        Remove,     ///< path; missing is fine, folders with all below.
        Keep,       ///< path: removed when its content is `content`.
        Enter,      ///< /proc, /dev, /run and /tmp inside, for the steps that run there.
        Leave,      ///< takes all mounts inside away again.
        ApkIndex,   ///< path: an APKINDEX.tar.gz outside, content: a package's name. Prints its entry.
        ApkProgram, ///< path: a package outside, content: its entry, argv: a file in it and where that goes outside.
    };
    Kind kind = Kind::Run;
    std::string title; ///< Said to the user when it begins; "" says nothing.
    bool outside = false;
    bool mayFail = false; ///< Reported, and the next step follows.
    std::vector<std::string> argv;
    std::vector<std::string> environment; ///< "NAME=value".
    std::string path, content;
    std::uint32_t mode = 0644, uid = 0, gid = 0;
    std::uint32_t mostFile = 0; ///< Run: bytes of the largest file the program may write; 0: as large as it likes.
};

/// A folder of the host's that the build may write to, shown under another name inside the tree.
struct BuildCache {
    std::string folder; ///< On the host.
    std::string target; ///< Inside the tree.
};

struct BuildJob {
    std::string rootfs;       ///< On the host; "" when no tree is made.
    std::uint32_t idBase = 0; ///< First of the 65 536 host ids.
    std::vector<BuildCache> caches;
    std::vector<std::pair<std::string, std::string>> files; ///< Seen outside as /build/<name>: content.
    std::string resolvConf;                                 ///< What /etc/resolv.conf says in the confined view.
    std::string seccomp;                                    ///< struct sock_filter[], "" for none.
    std::vector<BuildStep> steps;
};

std::string packJob(const BuildJob &job);
/// Corrupt when it was not written by the same version.
Result<BuildJob> unpackJob(std::string_view bytes);

/// What the helper says on its standard output, one line each.
struct BuildReport {
    enum class Kind { Title, Line, Ended, Failed, Done };
    Kind kind = Kind::Line;
    std::size_t step = 0; ///< Ended: which.
    int status = 0;       ///< Ended: exit status, 128+N for signal N.
    std::string text;     ///< Title, Line: what; Failed: the error.
    Code code = Code::Internal;
    int errnum = 0;
};
std::string formatReport(const BuildReport &report);
Result<BuildReport> parseReport(std::string_view line);

} // namespace lxmgr::images

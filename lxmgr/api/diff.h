// GET /1.0/instances/<name>/diff (lxmgr_diff): what differs between two states of a root file system.
//
// Paths and link texts are bytes. `path` is for people: what is not UTF-8 in it became U+FFFD. Then `path_raw` is there
// too, with all its bytes percent-encoded (RFC 3986), and nothing is lost.
#pragma once

#include "api/fields.h"

#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct DiffSide {
    std::string kind; ///< "current", "snapshot", "image"
    std::string name; ///< Of the snapshot, or the image's fingerprint.
};
template <> struct Fields<DiffSide> {
    static constexpr auto rows = std::tuple{Field{"kind", &DiffSide::kind}, Field{"name", &DiffSide::name}};
};

struct DiffCounts {
    std::uint64_t added = 0, modified = 0, deleted = 0, metadata = 0;
};
template <> struct Fields<DiffCounts> {
    using T = DiffCounts;
    static constexpr auto rows = std::tuple{Field{"added", &T::added}, Field{"modified", &T::modified},
                                            Field{"deleted", &T::deleted}, Field{"metadata", &T::metadata}};
};

struct DiffState {
    std::string type; ///< "file", "directory", "symlink", "character device", "block device", "fifo", "socket"
    std::string mode; ///< "0644"
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;
    std::string modified; ///< "1732560000.123456789", seconds since 1970
    std::string target, targetRaw;
    std::string device; ///< "8:0"
    bool operator==(const DiffState &) const = default;
};
template <> struct Fields<DiffState> {
    using T = DiffState;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type},         Field{"mode", &T::mode},          Field{"uid", &T::uid},
        Field{"gid", &T::gid},           Field{"size", &T::size},          Field{"modified", &T::modified},
        Field{"target", &T::target, E},  Field{"target_raw", &T::targetRaw, E}, Field{"device", &T::device, E},
    };
};

struct DiffChange {
    std::string change; ///< "added", "modified", "deleted", "metadata"
    std::string path, pathRaw;
    std::vector<std::string> what; ///< "type", "content", "target", "device", "mode", "owner", "time", "attributes", "links"
    std::optional<DiffState> before, after;
};
template <> struct Fields<DiffChange> {
    using T = DiffChange;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"change", &T::change},  Field{"path", &T::path},         Field{"path_raw", &T::pathRaw, E},
        Field{"what", &T::what, E},   Field{"before", &T::before, E}, Field{"after", &T::after, E},
    };
};

struct DiffPackage {
    std::string change; ///< "added", "modified" (another version), "deleted"
    std::string name, architecture;
    std::string before, after; ///< Versions.
    bool operator==(const DiffPackage &) const = default;
};
template <> struct Fields<DiffPackage> {
    using T = DiffPackage;
    static constexpr OmitEmpty E{};
    static constexpr auto rows =
        std::tuple{Field{"change", &T::change}, Field{"name", &T::name}, Field{"architecture", &T::architecture},
                   Field{"before", &T::before, E}, Field{"after", &T::after, E}};
};

struct DiffPackages {
    std::string manager; ///< "dpkg", "rpm", "apk"
    std::vector<DiffPackage> changes;
    std::string note; ///< Why nothing can be said, or not all.
};
template <> struct Fields<DiffPackages> {
    using T = DiffPackages;
    static constexpr auto rows = std::tuple{Field{"manager", &T::manager}, Field{"changes", &T::changes},
                                            Field{"note", &T::note, OmitEmpty{}}};
};

struct Diff {
    DiffSide from, to;
    DiffCounts counts; ///< Of all, listed or not.
    bool truncated = false;
    std::vector<DiffChange> changes;
    std::vector<DiffPackages> packages; ///< Of each package manager that is there.
    std::vector<std::string> warnings;  ///< What could not be compared.
};
template <> struct Fields<Diff> {
    using T = Diff;
    static constexpr auto rows = std::tuple{
        Field{"from", &T::from},         Field{"to", &T::to},         Field{"counts", &T::counts},
        Field{"truncated", &T::truncated}, Field{"changes", &T::changes}, Field{"packages", &T::packages},
        Field{"warnings", &T::warnings},
    };
};

} // namespace lxmgr::api

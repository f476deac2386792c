// What differs between two states of a root file system: files by path, packages by name. Paths, link texts and versions
// are the guest's bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::diff
{

enum class FileType : std::uint8_t { File, Folder, Link, CharDevice, BlockDevice, Pipe, Socket };
std::string_view typeName(FileType type);

/// One file in one of the two states.
struct FileState {
    FileType type = FileType::File;
    std::uint32_t mode = 0; ///< Permission bits.
    std::uint32_t uid = 0;  ///< As the guest sees it.
    std::uint32_t gid = 0;
    std::uint64_t size = 0;    ///< Of a file.
    std::int64_t modified = 0; ///< Seconds since 1970; a guest may set any.
    std::uint32_t modifiedNanos = 0;
    std::string target;      ///< Of a link.
    std::uint32_t major = 0; ///< Of a device.
    std::uint32_t minor = 0;
    bool operator==(const FileState &) const = default;
};

enum class ChangeKind : std::uint8_t { Added, Modified, Deleted, Metadata };
std::string_view changeName(ChangeKind kind);

/// What of a file that is on both sides differs, as bits. The first four make it modified, the others are metadata.
enum Aspect : std::uint32_t {
    kType = 1 << 0,
    kContent = 1 << 1,
    kTarget = 1 << 2,
    kDevice = 1 << 3,
    kMode = 1 << 4,
    kOwner = 1 << 5,
    kTime = 1 << 6, ///< Of the last change. Not of folders: it follows from what is in them.
    kAttributes = 1 << 7,
    kLinks = 1 << 8, ///< Which names are the same file.
};
inline constexpr std::uint32_t kModifying = kType | kContent | kTarget | kDevice;
struct AspectName {
    Aspect aspect;
    std::string_view name;
};
inline constexpr AspectName kAspects[] = {
    {kType,       "type"      },
    {kContent,    "content"   },
    {kTarget,     "target"    },
    {kDevice,     "device"    },
    {kMode,       "mode"      },
    {kOwner,      "owner"     },
    {kTime,       "time"      },
    {kAttributes, "attributes"},
    {kLinks,      "links"     },
};

struct Change {
    ChangeKind kind = ChangeKind::Modified;
    std::string path; ///< Absolute, inside.
    std::uint32_t aspects = 0;
    std::optional<FileState> before; ///< None of an added file.
    std::optional<FileState> after;  ///< None of a deleted one.
    bool operator==(const Change &) const = default;
};

struct PackageChange {
    ChangeKind kind = ChangeKind::Modified; ///< Added, Deleted, or Modified: another version.
    std::string name;
    std::string architecture;
    std::string before; ///< Version.
    std::string after;
    bool operator==(const PackageChange &) const = default;
};

/// Of one package manager that is on either side.
struct Packages {
    std::string manager; ///< "dpkg", "rpm" or "apk".
    std::vector<PackageChange> changes;
    std::string note; ///< Why nothing can be said, or not all.
    bool operator==(const Packages &) const = default;
};

struct Counts {
    std::uint64_t added = 0;
    std::uint64_t modified = 0;
    std::uint64_t deleted = 0;
    std::uint64_t metadata = 0;
    void add(ChangeKind kind);
    std::uint64_t all() const { return added + modified + deleted + metadata; }
    bool operator==(const Counts &) const = default;
};

struct Comparison {
    std::vector<Change> changes; ///< By folder, each in the order of its names' bytes.
    Counts counts;               ///< Of all, also of those that `changes` has no room for.
    std::vector<Packages> packages;
    std::vector<std::string> warnings; ///< What could not be compared.
};

} // namespace lxmgr::diff

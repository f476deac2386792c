// Unpacking tar archives into a folder, by descriptors only: nothing an archive says can reach outside (security-model I1-I5).
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "images/layout.h"
#include "images/store.h"

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

struct archive_entry;

namespace lxmgr::images
{

/// A device node that the sandbox may not make.
struct DeviceEntry {
    std::string path; ///< Below the target.
    std::uint32_t mode = 0; ///< With its kind.
    std::uint32_t major = 0, minor = 0;
    std::uint32_t uid = 0, gid = 0;
    std::int64_t seconds = 0, nanoseconds = 0; ///< When it was modified.
};

class TarReader;

class Extractor
{
public:
    /// `target` is empty and nobody else writes to it. `report` gets lines for people, now and then.
    Extractor(const Fd &target, UnpackLimits limits, std::function<void(const std::string &)> report);

    /// Puts what `file` holds into the target. Invalid names the entry that is refused.
    Status unpack(const Fd &file, Layout layout);
    /// What was seen of metadata.yaml; "" if it has not come by. Of an export: the instance's.
    const std::string &metadata() const { return m_metadata; }
    /// Of an export: index.yaml, the instance's backup.yaml, and its parts that have a root file system, or a stream of one.
    const std::string &index() const { return m_index; }
    const std::string &backup() const { return m_backup; }
    const std::set<std::string> &parts() const { return m_parts; }
    /// Of an export of streams: what it says of their subvolumes.
    const std::string &header() const { return m_header; }
    /// Of an export; of an image they are left out.
    const std::vector<DeviceEntry> &devices() const { return m_devices; }
    /// Machine of the first program seen in the root file system.
    const std::string &machine() const { return m_machine; }
    bool hasRootfs() const { return m_hasRootfs; }
    /// Times of folders, which filling them changed; call once at the end.
    Status finish();
    /// "12 device nodes, 3 extended attributes left out"; "" when all was taken.
    std::string leftOut() const;

private:
    struct Folder {
        std::string path;
        struct timespec time;
    };
    struct Limited {
        std::uint64_t entries = 0, bytes = 0, templates = 0;
    };

    Status unpackEntry(TarReader &tar, archive_entry *entry, Layout layout);
    Status unpackExportEntry(TarReader &tar, archive_entry *entry, Layout layout);
    Result<std::string> takeText(TarReader &tar, archive_entry *entry);
    Status takeDevice(archive_entry *entry, const Fd &folder, const std::string &name, const std::string &path);
    Status takeMetadata(TarReader &tar, archive_entry *entry);
    Status takeTemplate(TarReader &tar, archive_entry *entry, const std::string &path);
    Status takeRootfsEntry(TarReader &tar, archive_entry *entry, const Place &place, Layout layout);
    Status makeFile(TarReader &tar, archive_entry *entry, const Fd &folder, const std::string &name);
    Status writeData(TarReader &tar, archive_entry *entry, const Fd &file);
    Status makeFolder(archive_entry *entry, const Fd &folder, const std::string &name, const std::string &path);
    Status makeSymlink(archive_entry *entry, const Fd &folder, const std::string &name);
    Status makeHardLink(archive_entry *entry, const Fd &folder, const std::string &name, const std::string &part, Layout layout);
    Status checkWhole(const TarReader &tar) const;
    Status makeNode(archive_entry *entry, const Fd &folder, const std::string &name);
    Status finishFile(archive_entry *entry, const Fd &file, bool isFolder);
    Status checkOwner(archive_entry *entry) const;
    Status countEntry(const TarReader &tar);
    std::string stillNeeded(const TarReader &tar, const Fd &file) const;
    Status countBytes(const TarReader &tar, std::uint64_t bytes);
    Result<const Fd *> parentOf(const std::string &path);
    Status makeRoom(const Fd &folder, const std::string &name);
    void reportNow(bool always);

    const Fd &m_target;
    UnpackLimits m_limits;
    std::function<void(const std::string &)> m_report;
    std::string m_name; ///< Of the entry at hand, for errors.
    std::string m_metadata;
    std::string m_index, m_backup, m_header;
    std::set<std::string> m_parts;
    std::vector<DeviceEntry> m_devices;
    bool m_countHoles = true; ///< Whether zeros count as bytes: of an export they are holes, which cost nothing.
    std::string m_machine;
    bool m_hasRootfs = false;
    Limited m_used;
    std::uint64_t m_packedBefore = 0, m_expandedBefore = 0;
    std::uint32_t m_devicesLeftOut = 0, m_attributesLeftOut = 0, m_othersLeftOut = 0;
    std::int64_t m_reportedAt = 0;
    std::string m_parentPath; ///< The folder opened last: archives come folder by folder.
    Fd m_parent;
    std::vector<Folder> m_folders;
};

} // namespace lxmgr::images

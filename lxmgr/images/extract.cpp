#include "images/extract.h"

#include "base/text.h"
#include "images/archive.h"
#include "images/attributes.h"
#include "images/elf_machine.h"
#include "images/metadata.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kLongestMetadata = 1 << 20;
constexpr std::size_t kLongestTemplate = 1 << 20;
constexpr std::uint64_t kMostTemplates = 100;
constexpr std::uint64_t kRatioFrom = 1ULL << 30;
constexpr std::uint32_t kHighestId = 65535; ///< What a guest's id map covers.
constexpr std::size_t kMostDevices = 4096;
constexpr std::size_t kPage = 4096; ///< Zeros are left out in pieces of this.

timespec modified(archive_entry *entry) { return {::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry)}; }

Status setTime(const Fd &file, timespec time)
{
    const timespec times[2] = {time, time};
    return ::futimens(file.get(), times) == 0 ? Status() : Status(Error::fromErrno(errno, "futimens"));
}

/// Of what cannot be opened: links and nodes.
Status setTimeAt(const Fd &folder, const std::string &name, timespec time)
{
    const timespec times[2] = {time, time};
    TRY(sys::call("utimensat", name, [&] { return ::utimensat(folder.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW); }));
    return {};
}

/// An archive that would go through a link or a file is hostile or damaged, not a failure of ours.
Error asRefusal(Error error)
{
    switch (error.errnum) {
    case ELOOP:
    case ENOTDIR:
    case EXDEV:
    case EINVAL:
    case EEXIST:
    case EISDIR:
    case ENAMETOOLONG:
        return std::move(error).as(Code::Invalid);
    default:
        return error;
    }
}

/// A piece of a block that is all zeros, and becomes a hole, or has to be written.
struct Run {
    std::size_t size = 0;
    bool zero = false;
};

/// The page, or what is left of it, that begins at `at`.
std::span<const std::byte> pageAt(const TarReader::Block &block, std::size_t at)
{
    const std::size_t left = kPage - (block.offset + at) % kPage;
    return block.bytes.subspan(at, std::min(left, block.bytes.size() - at));
}

bool isZero(std::span<const std::byte> page) { return page.front() == std::byte{0} && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0; }

Run runAt(const TarReader::Block &block, std::size_t at)
{
    Run run;
    while (at + run.size < block.bytes.size()) {
        const auto page = pageAt(block, at + run.size);
        const bool zero = isZero(page);
        if (run.size != 0 && zero != run.zero)
            break;
        run.zero = zero;
        run.size += page.size();
    }
    return run;
}

Status writeRun(const Fd &file, const TarReader::Block &block, std::size_t at, std::size_t size)
{
    while (size > 0) {
        const auto written = static_cast<std::size_t>(TRY(sys::call("write", {}, [&] {
            return ::pwrite(file.get(), block.bytes.data() + at, size, static_cast<off_t>(block.offset + at));
        })));
        at += written;
        size -= written;
    }
    return {};
}

} // namespace

Extractor::Extractor(const Fd &target, UnpackLimits limits, std::function<void(const std::string &)> report)
    : m_target(target), m_limits(limits), m_report(std::move(report))
{
}

Status Extractor::unpack(const Fd &file, Layout layout)
{
    TarReader tar = TRY(TarReader::open(file));
    m_countHoles = !isExport(layout);
    while (archive_entry *entry = TRY(tar.next())) {
        m_name = TRY(entryName(entry));
        TRY(countEntry(tar));
        Status done = isExport(layout) ? unpackExportEntry(tar, entry, layout) : unpackEntry(tar, entry, layout);
        if (!done && done.error().code == Code::NoSpace)
            return std::move(done.error()).in("entry " + quoted(m_name)).hint(stillNeeded(tar, file));
        if (!done)
            return asRefusal(std::move(done.error())).in("entry " + quoted(m_name));
        reportNow(false);
    }
    if (isExport(layout))
        TRY(checkWhole(tar));
    m_packedBefore += tar.packedBytes();
    m_expandedBefore += tar.expandedBytes();
    reportNow(true);
    return {};
}

Status Extractor::unpackEntry(TarReader &tar, archive_entry *entry, Layout layout)
{
    const auto parts = TRY(checkedParts(m_name, m_limits.depth));
    const Place place = placeOf(parts, layout);
    switch (place.kind) {
    case Place::Kind::Metadata:
        return takeMetadata(tar, entry);
    case Place::Kind::Templates:
        return ::archive_entry_filetype(entry) == AE_IFDIR ? Status() : Status(Error(Code::Invalid, "templates is not a folder"));
    case Place::Kind::Template:
        return takeTemplate(tar, entry, place.path);
    case Place::Kind::Rootfs:
        return takeRootfsEntry(tar, entry, place, layout);
    default:
        if (!parts.empty())
            ++m_othersLeftOut;
        return {};
    }
}

Status Extractor::unpackExportEntry(TarReader &tar, archive_entry *entry, Layout layout)
{
    const Place place = TRY(exportPlaceOf(TRY(checkedParts(m_name, m_limits.depth)), layout));
    const bool isInstance = place.part == "container";
    switch (place.kind) {
    case Place::Kind::Index:
        if (!m_index.empty())
            return Error(Code::Invalid, "comes twice");
        m_index = TRY(takeText(tar, entry));
        return {};
    case Place::Kind::Backup: {
        std::string text = TRY(takeText(tar, entry));
        if (isInstance)
            m_backup = std::move(text);
        return {};
    }
    case Place::Kind::Metadata:
        if (isInstance)
            return takeMetadata(tar, entry);
        (void)TRY(takeText(tar, entry));
        return {};
    case Place::Kind::Template: // those of a snapshot are the instance's
        return isInstance ? takeTemplate(tar, entry, place.path) : Status();
    case Place::Kind::Header:
        m_header = TRY(takeText(tar, entry));
        return {};
    case Place::Kind::Stream:
        if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry))
            return Error(Code::Invalid, "is not a regular file");
        if (!m_parts.insert(place.part).second)
            return Error(Code::Invalid, "comes twice");
        return makeFile(tar, entry, *TRY(parentOf(place.path)), place.path.substr(place.path.rfind('/') + 1));
    case Place::Kind::Rootfs:
        m_parts.insert(place.part);
        return takeRootfsEntry(tar, entry, place, layout);
    default:
        return ::archive_entry_filetype(entry) == AE_IFDIR ? Status() : Status(Error(Code::Invalid, "is not a folder"));
    }
}

Result<std::string> Extractor::takeText(TarReader &tar, archive_entry *entry)
{
    if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry))
        return Error(Code::Invalid, "is not a regular file");
    std::string text = TRY(tar.read(kLongestExportText + 1));
    if (text.size() > kLongestExportText)
        return Error(Code::Invalid, "is longer than " + humanBytes(Bytes{kLongestExportText}));
    TRY(countBytes(tar, text.size()));
    return text;
}

/// A tar archive ends with a record of zeros. One that was cut between two entries has none and looks whole otherwise.
Status Extractor::checkWhole(const TarReader &tar) const
{
    const auto end = static_cast<std::uint64_t>(::archive_read_header_position(tar.handle()));
    return tar.expandedBytes() > end ? Status() : Status(Error(Code::Invalid, "the archive is cut off: its end is missing"));
}

Status Extractor::takeMetadata(TarReader &tar, archive_entry *entry)
{
    if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry))
        return Error(Code::Invalid, "is not a regular file");
    if (!m_metadata.empty())
        return Error(Code::Invalid, "comes twice");
    m_metadata = TRY(tar.read(kLongestMetadata + 1));
    (void)TRY(parseMetadata(m_metadata)); // also says when it is too long
    return countBytes(tar, m_metadata.size());
}

Status Extractor::takeTemplate(TarReader &tar, archive_entry *entry, const std::string &path)
{
    if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry))
        return Error(Code::Invalid, "is not a regular file");
    if (++m_used.templates > kMostTemplates)
        return Error(Code::Invalid, "more than " + std::to_string(kMostTemplates) + " templates");
    const std::string text = TRY(tar.read(kLongestTemplate + 1));
    if (text.size() > kLongestTemplate)
        return Error(Code::Invalid, "is longer than 1 MiB");
    TRY(countBytes(tar, text.size()));
    const Fd *folder = TRY(parentOf(path));
    const Fd file = TRY(sys::openat(*folder, path.substr(path.rfind('/') + 1), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    return files::writeAll(file, text);
}

Status Extractor::takeRootfsEntry(TarReader &tar, archive_entry *entry, const Place &place, Layout layout)
{
    const std::string &path = place.path;
    m_hasRootfs = true;
    const Fd *folder = TRY(parentOf(path));
    const std::string name = path.substr(path.rfind('/') + 1);
    if (::archive_entry_hardlink(entry))
        return makeHardLink(entry, *folder, name, place.part, layout);
    TRY(checkOwner(entry));
    switch (::archive_entry_filetype(entry)) {
    case AE_IFREG:
        return makeFile(tar, entry, *folder, name);
    case AE_IFDIR:
        return makeFolder(entry, *folder, name, path);
    case AE_IFLNK:
        return makeSymlink(entry, *folder, name);
    case AE_IFIFO:
    case AE_IFSOCK:
        return makeNode(entry, *folder, name);
    case AE_IFCHR:
    case AE_IFBLK:
        if (isExport(layout))
            return takeDevice(entry, *folder, name, path);
        ++m_devicesLeftOut; // a guest gets its devices from us
        return {};
    default:
        return Error(Code::Invalid, "is of a kind that is not known");
    }
}

Status Extractor::checkOwner(archive_entry *entry) const
{
    const la_int64_t uid = ::archive_entry_uid(entry);
    const la_int64_t gid = ::archive_entry_gid(entry);
    if (uid >= 0 && uid <= kHighestId && gid >= 0 && gid <= kHighestId)
        return {};
    return Error(Code::Invalid, "belongs to " + std::to_string(uid) + ":" + std::to_string(gid) + "; ids above 65535 cannot be given to a guest");
}

/// The folder that `path` is to be made in; missing ones are made. Links are never followed: an archive that lists things below
/// one is refused.
Result<const Fd *> Extractor::parentOf(const std::string &path)
{
    const auto slash = path.rfind('/');
    if (slash == std::string::npos)
        return &m_target;
    const std::string parent = path.substr(0, slash);
    if (m_parent && parent == m_parentPath)
        return &m_parent;
    auto folder = path::open(m_target, parent, O_RDONLY | O_DIRECTORY, path::Scope::NoMount);
    if (!folder && folder.error().errnum == ENOENT) {
        (void)TRY(path::makeFolders(m_target, parent, 0755, path::Scope::NoMount));
        folder = path::open(m_target, parent, O_RDONLY | O_DIRECTORY, path::Scope::NoMount);
    }
    m_parent = TRY(std::move(folder));
    m_parentPath = parent;
    return &m_parent;
}

/// An archive may list a name twice; the later one counts.
Status Extractor::makeRoom(const Fd &folder, const std::string &name)
{
    const Status removed = sys::unlinkat(folder, name);
    return removed || removed.error().errnum == ENOENT ? Status() : removed;
}

Status Extractor::makeFile(TarReader &tar, archive_entry *entry, const Fd &folder, const std::string &name)
{
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    auto file = sys::openat(folder, name, kFlags, 0600);
    if (!file && file.error().errnum == EEXIST) {
        TRY(makeRoom(folder, name));
        file = sys::openat(folder, name, kFlags, 0600);
    }
    const Fd made = TRY(std::move(file));
    TRY(writeData(tar, entry, made));
    return finishFile(entry, made, false);
}

Status Extractor::writeData(TarReader &tar, archive_entry *entry, const Fd &file)
{
    const la_int64_t size = ::archive_entry_size(entry);
    if (size < 0 || static_cast<std::uint64_t>(size) > m_limits.perFile.count)
        return Error(Code::Invalid, "is larger than a file of an image may be (" + humanBytes(m_limits.perFile) + ")");
    TarReader::Block block;
    std::uint64_t end = 0; ///< Of what is written.
    while (TRY(tar.readBlock(block))) {
        if (block.offset == 0 && m_machine.empty())
            m_machine = elfMachine({reinterpret_cast<const char *>(block.bytes.data()), std::min<std::size_t>(block.bytes.size(), 64)});
        std::uint64_t zeros = 0;
        for (std::size_t done = 0; done < block.bytes.size();) {
            const Run run = runAt(block, done);
            if (run.zero)
                zeros += run.size;
            else
                TRY(writeRun(file, block, done, run.size));
            done += run.size;
            end = run.zero ? end : block.offset + done;
        }
        TRY(countBytes(tar, block.bytes.size() - (m_countHoles ? 0 : zeros)));
        reportNow(false);
    }
    // A hole at the end has no block.
    return end < static_cast<std::uint64_t>(size) ? sys::ftruncate(file, size) : Status();
}

Status Extractor::makeFolder(archive_entry *entry, const Fd &folder, const std::string &name, const std::string &path)
{
    const Status made = sys::mkdirat(folder, name, 0700);
    if (!made && made.error().errnum != EEXIST)
        return made;
    const Fd own = TRY(path::open(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, path::Scope::NoMount));
    m_folders.push_back({path, modified(entry)});
    return finishFile(entry, own, true);
}

/// Owner before mode, mode before capabilities: each step undoes what comes after it.
Status Extractor::finishFile(archive_entry *entry, const Fd &file, bool isFolder)
{
    const auto uid = static_cast<uid_t>(::archive_entry_uid(entry));
    const auto gid = static_cast<gid_t>(::archive_entry_gid(entry));
    if (uid != 0 || gid != 0)
        TRY(sys::fchown(file, uid, gid));
    TRY(sys::fchmod(file, ::archive_entry_perm(entry) & 07777));
    m_attributesLeftOut += TRY(setAttributes(entry, file, isFolder));
    return isFolder ? Status() : setTime(file, modified(entry));
}

Status Extractor::makeSymlink(archive_entry *entry, const Fd &folder, const std::string &name)
{
    const char *target = ::archive_entry_symlink(entry);
    if (!target || !*target || std::string_view(target).size() >= 4096)
        return Error(Code::Invalid, "is a symbolic link without a target that can be used");
    Status made = sys::symlinkat(target, folder, name);
    if (!made && made.error().errnum == EEXIST) {
        TRY(makeRoom(folder, name));
        made = sys::symlinkat(target, folder, name);
    }
    TRY(made);
    TRY(sys::fchownat(folder, name, static_cast<uid_t>(::archive_entry_uid(entry)), static_cast<gid_t>(::archive_entry_gid(entry))));
    return setTimeAt(folder, name, modified(entry));
}

/// A hard link may only name a regular file that this archive brought; the target was empty before.
Status Extractor::makeHardLink(archive_entry *entry, const Fd &folder, const std::string &name, const std::string &part, Layout layout)
{
    const std::string target = ::archive_entry_hardlink(entry);
    Place place;
    if (!target.empty()) {
        const auto parts = TRY(checkedParts(target, m_limits.depth));
        place = isExport(layout) ? exportPlaceOf(parts, layout).value_or(Place()) : placeOf(parts, layout);
    }
    if (place.kind != Place::Kind::Rootfs || place.part != part)
        return Error(Code::Invalid, "is a hard link to " + quoted(target) + ", which is not in the root file system");
    const auto file = path::open(m_target, place.path, O_PATH | O_NOFOLLOW, path::Scope::NoMount);
    if (!file && file.error().errnum == ENOENT)
        return Error(Code::Invalid, "is a hard link to " + quoted(target) + ", which has not come before it");
    if (!file)
        return file.error();
    const struct stat info = TRY(sys::fstat(*file));
    if (!S_ISREG(info.st_mode))
        return Error(Code::Invalid, "is a hard link to " + quoted(target) + ", which is not a regular file");
    const auto slash = place.path.rfind('/');
    const Fd from = TRY(path::open(m_target, place.path.substr(0, slash), O_RDONLY | O_DIRECTORY, path::Scope::NoMount));
    Status made = sys::linkat(from, place.path.substr(slash + 1), folder, name);
    if (!made && made.error().errnum == EEXIST) {
        TRY(makeRoom(folder, name));
        made = sys::linkat(from, place.path.substr(slash + 1), folder, name);
    }
    return made;
}

Status Extractor::makeNode(archive_entry *entry, const Fd &folder, const std::string &name)
{
    const mode_t kind = ::archive_entry_filetype(entry) == AE_IFIFO ? S_IFIFO : S_IFSOCK;
    TRY(makeRoom(folder, name));
    TRY(sys::mknodat(folder, name, kind | 0600, 0));
    TRY(sys::fchownat(folder, name, static_cast<uid_t>(::archive_entry_uid(entry)), static_cast<gid_t>(::archive_entry_gid(entry))));
    TRY(sys::fchmodat(folder, name, ::archive_entry_perm(entry) & 07777));
    return setTimeAt(folder, name, modified(entry));
}

/// A whiteout, character device 0:0, opens nothing and may be made by anybody. Other nodes are for who is outside.
Status Extractor::takeDevice(archive_entry *entry, const Fd &folder, const std::string &name, const std::string &path)
{
    const auto major = static_cast<std::uint32_t>(::archive_entry_rdevmajor(entry));
    const auto minor = static_cast<std::uint32_t>(::archive_entry_rdevminor(entry));
    const mode_t kind = ::archive_entry_filetype(entry) == AE_IFCHR ? S_IFCHR : S_IFBLK;
    const auto uid = static_cast<uid_t>(::archive_entry_uid(entry));
    const auto gid = static_cast<gid_t>(::archive_entry_gid(entry));
    TRY(makeRoom(folder, name));
    if (kind == S_IFCHR && major == 0 && minor == 0) {
        TRY(sys::mknodat(folder, name, S_IFCHR, makedev(0, 0)));
        TRY(sys::fchownat(folder, name, uid, gid));
        TRY(sys::fchmodat(folder, name, ::archive_entry_perm(entry) & 07777));
        return setTimeAt(folder, name, modified(entry));
    }
    if (m_devices.size() >= kMostDevices)
        return Error(Code::Invalid, "more than " + std::to_string(kMostDevices) + " device nodes");
    const timespec time = modified(entry);
    m_devices.push_back({path, kind | (::archive_entry_perm(entry) & 07777U), major, minor, uid, gid, time.tv_sec, time.tv_nsec});
    return {};
}

Status Extractor::finish()
{
    // Deepest last in most archives; setting a time changes no other folder's, so the order does not matter.
    for (const Folder &folder : m_folders) {
        const auto own = path::open(m_target, folder.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, path::Scope::NoMount);
        if (own)
            TRY(setTime(*own, folder.time));
        else if (own.error().errnum != ENOENT && own.error().errnum != ENOTDIR && own.error().errnum != ELOOP)
            return own.error(); // replaced by a later entry otherwise
    }
    return {};
}

Status Extractor::countEntry(const TarReader &tar)
{
    if (++m_used.entries > m_limits.entries)
        return Error(Code::Invalid, "the archive holds more than " + std::to_string(m_limits.entries) + " entries");
    return countBytes(tar, 0);
}

Status Extractor::countBytes(const TarReader &tar, std::uint64_t bytes)
{
    m_used.bytes += bytes;
    if (m_used.bytes > m_limits.room.count)
        return Error(Code::NoSpace, "the archive does not fit into the " + humanBytes(m_limits.room) + " that may be taken of what is free");
    if (m_used.bytes > m_limits.total.count)
        return Error(Code::Invalid, "the archive expands to more than " + humanBytes(m_limits.total));
    // What is expanded counts even if it is not written: a hostile archive may only want to keep us busy.
    const std::uint64_t expanded = m_countHoles ? m_expandedBefore + tar.expandedBytes() : m_used.bytes;
    const std::uint64_t packed = m_packedBefore + tar.packedBytes();
    if (expanded > kRatioFrom && expanded / m_limits.ratio > packed)
        return Error(Code::Invalid, "the archive expands to more than " + std::to_string(m_limits.ratio) + " times its size");
    return {};
}

/// Judged by how far it came: what is packed alike in both parts of the archive is as large again.
std::string Extractor::stillNeeded(const TarReader &tar, const Fd &file) const
{
    const auto info = sys::fstat(file);
    const auto packed = static_cast<double>(tar.packedBytes());
    if (!info || packed <= 0)
        return "it takes more than " + humanBytes(Bytes{m_used.bytes});
    const double part = std::min(packed / static_cast<double>(std::max<off_t>(info->st_size, 1)), 1.0);
    const auto all = static_cast<std::uint64_t>(static_cast<double>(m_used.bytes) / part);
    return "unpacked were " + humanBytes(Bytes{m_used.bytes}) + ", about " + std::to_string(static_cast<int>(part * 100)) +
           " % of it: some " + humanBytes(Bytes{std::max<std::uint64_t>(all - m_used.bytes, 4096)}) + " more are needed";
}

std::string Extractor::leftOut() const
{
    std::vector<std::string> parts;
    if (m_devicesLeftOut != 0)
        parts.push_back(std::to_string(m_devicesLeftOut) + " device nodes");
    if (m_attributesLeftOut != 0)
        parts.push_back(std::to_string(m_attributesLeftOut) + " extended attributes");
    if (m_othersLeftOut != 0)
        parts.push_back(std::to_string(m_othersLeftOut) + " entries that belong to no part of an image");
    return parts.empty() ? std::string() : join(parts, ", ") + " left out";
}

void Extractor::reportNow(bool always)
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    const std::int64_t millis = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (!always && millis - m_reportedAt < 200)
        return;
    m_reportedAt = millis;
    m_report(humanBytes(Bytes{m_used.bytes}));
}

} // namespace lxmgr::images

#include "images/inspect.h"

#include "images/archive.h"
#include "images/elf_machine.h"
#include "images/metadata.h"

#include <archive_entry.h>
#include <ctime>
#include <sys/utsname.h>

namespace lxmgr::images
{

namespace
{

constexpr std::uint32_t kDepth = 1024;
constexpr std::size_t kLongestMetadata = 1 << 20;
constexpr std::size_t kLongestOsRelease = 64 * 1024;

Result<std::string> readMetadata(TarReader &tar, archive_entry *entry)
{
    if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry))
        return Error(Code::Invalid, "metadata.yaml is not a regular file");
    std::string text = TRY(tar.read(kLongestMetadata + 1));
    (void)TRY(parseMetadata(text)); // also says when it is too long
    return text;
}

/// What can be learnt of a plain root file system on the way.
struct Signs {
    std::string osRelease;
    std::string machine;
    bool complete() const { return !osRelease.empty() && !machine.empty(); }
};

Status look(TarReader &tar, archive_entry *entry, const std::vector<std::string> &parts, Signs &signs)
{
    if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_size(entry) <= 0)
        return {};
    const bool isOsRelease = parts.size() >= 2 && parts.back() == "os-release" && (parts.front() == "usr" || parts.front() == "etc");
    if (isOsRelease)
        signs.osRelease = TRY(tar.read(kLongestOsRelease));
    else if (signs.machine.empty())
        signs.machine = elfMachine(TRY(tar.read(20)));
    return {};
}

Result<std::string> inspectRest(TarReader &tar, archive_entry *entry, Layout layout)
{
    Signs signs;
    for (; entry; entry = TRY(tar.next())) {
        const auto parts = TRY(checkedParts(TRY(entryName(entry)), kDepth));
        if (layout != Layout::Rootfs && placeOf(parts, layout).kind == Place::Kind::Metadata)
            return readMetadata(tar, entry);
        if (layout == Layout::Rootfs && !signs.complete())
            TRY(look(tar, entry, parts, signs));
        if (signs.complete())
            break;
    }
    if (layout != Layout::Rootfs)
        return Error(Code::Invalid, "the archive holds no metadata.yaml");
    return guessedMetadata(signs.osRelease, signs.machine);
}

/// The first entry that is not the top folder itself.
Result<archive_entry *> firstEntry(TarReader &tar)
{
    for (archive_entry *entry = TRY(tar.next()); entry; entry = TRY(tar.next()))
        if (!TRY(checkedParts(TRY(entryName(entry)), kDepth)).empty())
            return entry;
    return Error(Code::Invalid, "the archive is empty");
}

} // namespace

Result<Inspected> inspectTar(const Fd &file)
{
    TarReader tar = TRY(TarReader::open(file));
    archive_entry *entry = TRY(firstEntry(tar));
    const Layout layout = guessLayout(TRY(checkedParts(TRY(entryName(entry)), kDepth)));
    return Inspected{layout, TRY(inspectRest(tar, entry, layout))};
}

Result<Layout> tarLayout(const Fd &file)
{
    TarReader tar = TRY(TarReader::open(file));
    return guessLayout(TRY(checkedParts(TRY(entryName(TRY(firstEntry(tar)))), kDepth)));
}

Result<Inspected> inspectMetadataTar(const Fd &file)
{
    TarReader tar = TRY(TarReader::open(file));
    archive_entry *entry = TRY(firstEntry(tar));
    return Inspected{Layout::Metadata, TRY(inspectRest(tar, entry, Layout::Metadata))};
}

Status checkRootfsTar(const Fd &file)
{
    TarReader tar = TRY(TarReader::open(file));
    return TRY(tar.next()) ? Status() : Status(Error(Code::Invalid, "the archive is empty"));
}

Result<std::string> guessedMetadata(const std::string &osRelease, const std::string &machine)
{
    if (osRelease.empty() && machine.empty())
        return Error(Code::Invalid, "not an image: neither metadata.yaml nor a root file system (no os-release, no program)");
    utsname host{};
    (void)::uname(&host); // fails for a bad address only
    return formatMetadata(guessMetadata(osRelease, machine.empty() ? host.machine : machine, ::time(nullptr)));
}

} // namespace lxmgr::images

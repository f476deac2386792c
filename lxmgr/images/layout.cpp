#include "images/layout.h"

#include "base/text.h"
#include "base/types.h"

namespace lxmgr::images
{

Layout guessLayout(const std::vector<std::string> &firstParts)
{
    const std::string &top = firstParts.front();
    return top == "metadata.yaml" || top == "templates" || top == "rootfs" ? Layout::Unified : Layout::Rootfs;
}

Place placeOf(const std::vector<std::string> &parts, Layout layout)
{
    const std::string path = join(parts, "/");
    if (layout == Layout::Rootfs)
        return {Place::Kind::Rootfs, path.empty() ? "rootfs" : "rootfs/" + path};
    if (path == "metadata.yaml")
        return {Place::Kind::Metadata, path};
    if (path == "templates")
        return {Place::Kind::Templates, path};
    if (parts.size() == 2 && parts.front() == "templates")
        return {Place::Kind::Template, path};
    if (!parts.empty() && parts.front() == "rootfs")
        return {Place::Kind::Rootfs, path};
    return {Place::Kind::Other, path};
}

namespace
{

Result<Place> inPart(const std::string &part, const std::vector<std::string> &rest)
{
    if (rest.empty())
        return Place{Place::Kind::Folder, part, part};
    if (rest.size() == 1 && rest.front() == "backup.yaml")
        return Place{Place::Kind::Backup, part + "/backup.yaml", part};
    Place place = placeOf(rest, Layout::Unified);
    if (place.kind == Place::Kind::Other)
        return Error(Code::Invalid, "belongs to no part of an export");
    place.path = part + "/" + place.path;
    place.part = part;
    return place;
}

} // namespace

namespace
{

/// The tree of a volume or a snapshot is the root file system of `part`.
Place inVolume(const std::string &part, const std::vector<std::string> &rest)
{
    Place place = placeOf(rest, Layout::Rootfs);
    return {place.kind, part + "/" + place.path, part};
}

} // namespace

Result<Place> volumeExportPlaceOf(const std::vector<std::string> &parts)
{
    if (parts.empty() || parts.front() != "backup")
        return Error(Code::Invalid, "is outside of backup/, so the archive is no export of a storage volume");
    const std::string second = parts.size() > 1 ? parts[1] : "";
    if (parts.size() == 1 || (parts.size() == 2 && second == "volume-snapshots"))
        return Place{Place::Kind::Folder, second, {}};
    if (parts.size() == 2 && second == "index.yaml")
        return Place{Place::Kind::Index, second, {}};
    if (second.ends_with(".bin") || second == "optimized_header.yaml" ||
        (parts.size() == 3 && second == "volume-snapshots" && parts[2].ends_with(".bin")))
        return Error(Code::Unsupported, "is the own stream of a storage driver; export again without --optimized-storage");
    if (second.ends_with(".img"))
        return Error(Code::Unsupported, "is a volume of blocks; only file systems can be imported");
    if (second == "container" || second == "snapshots" || second.starts_with("virtual-machine"))
        return Error(Code::Unsupported, "belongs to an instance, not to a storage volume (lxmgr import)");
    if (second == "volume")
        return inVolume("container", {parts.begin() + 2, parts.end()});
    if (second != "volume-snapshots")
        return Error(Code::Invalid, "belongs to no part of an export");
    TRY(checkObjectName("snapshot", parts[2]));
    return inVolume("snapshots/" + parts[2], {parts.begin() + 3, parts.end()});
}

Result<Place> streamExportPlaceOf(const std::vector<std::string> &parts)
{
    constexpr std::string_view kEnding = ".bin";
    if (parts.empty() || parts.front() != "backup")
        return Error(Code::Invalid, "is outside of backup/, so the archive is no export of an instance");
    const std::string second = parts.size() > 1 ? parts[1] : "";
    if (parts.size() == 1 || (parts.size() == 2 && second == "snapshots"))
        return Place{Place::Kind::Folder, second, {}};
    if (parts.size() == 2 && second == "index.yaml")
        return Place{Place::Kind::Index, second, {}};
    if (parts.size() == 2 && second == kStreamHeader)
        return Place{Place::Kind::Header, second, {}};
    if (parts.size() == 2 && second == streamFile("container"))
        return Place{Place::Kind::Stream, second, "container"};
    if (parts.size() == 2 && second.starts_with("container_") && second.ends_with(kEnding))
        return Error(Code::Unsupported, "is a subvolume made inside the instance; export again without --optimized-storage");
    if (parts.size() != 3 || second != "snapshots" || !parts[2].ends_with(kEnding))
        return Error(Code::Invalid, "belongs to no part of an export of streams");
    const std::string snapshot = parts[2].substr(0, parts[2].size() - kEnding.size());
    TRY(checkObjectName("snapshot", snapshot));
    return Place{Place::Kind::Stream, "snapshots/" + parts[2], "snapshots/" + snapshot};
}

Result<Place> exportPlaceOf(const std::vector<std::string> &parts, Layout layout)
{
    switch (layout) {
    case Layout::VolumeExport:
        return volumeExportPlaceOf(parts);
    case Layout::StreamExport:
        return streamExportPlaceOf(parts);
    default:
        return exportPlaceOf(parts);
    }
}

Result<Place> exportPlaceOf(const std::vector<std::string> &parts)
{
    if (parts.empty() || parts.front() != "backup")
        return Error(Code::Invalid, "is outside of backup/, so the archive is no export of an instance");
    const std::string second = parts.size() > 1 ? parts[1] : "";
    if (parts.size() == 1 || (parts.size() == 2 && second == "snapshots"))
        return Place{Place::Kind::Folder, second, {}};
    if (parts.size() == 2 && second == "index.yaml")
        return Place{Place::Kind::Index, second, {}};
    if (second.ends_with(".bin") || second == "optimized_header.yaml" || (parts.size() == 3 && second == "snapshots" && parts[2].ends_with(".bin")))
        return Error(Code::Unsupported, "is the own stream of a storage driver; export again without --optimized-storage");
    if (second.starts_with("virtual-machine") || second.ends_with(".img"))
        return Error(Code::Unsupported, "belongs to a virtual machine; only containers can be imported");
    if (second.starts_with("volume"))
        return Error(Code::Unsupported, "belongs to a storage volume, not to an instance");
    if (second == "container")
        return inPart("container", {parts.begin() + 2, parts.end()});
    if (second != "snapshots")
        return Error(Code::Invalid, "belongs to no part of an export");
    TRY(checkObjectName("snapshot", parts[2]));
    return inPart("snapshots/" + parts[2], {parts.begin() + 3, parts.end()});
}

} // namespace lxmgr::images

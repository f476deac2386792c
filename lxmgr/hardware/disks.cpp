// Disks and their partitions: block devices with hardware behind them.
#include "base/text.h"
#include "hardware/parts.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "kernel/sysfs_files.h"

#include <algorithm>
#include <map>

namespace lxmgr::hardware
{

namespace
{

using sysfs::attribute;

constexpr std::uint64_t kSector = 512; // in which the kernel counts, whatever the disk's are

std::uint64_t sizeOf(const Fd &folder) { return sysfs::largeNumber(attribute(folder, "size")).value_or(0) * kSector; }
bool isSet(const Fd &folder, const char *name) { return attribute(folder, name) == "1"; }

/// Links of /dev/disk/by-…: their names by what they lead to, the first by the alphabet.
std::map<std::string, std::string> linksIn(const std::string &path)
{
    std::map<std::string, std::string> found;
    const auto folder = sys::open(path, O_RDONLY | O_DIRECTORY);
    auto names = folder ? path::list(*folder) : Result<std::vector<std::string>>(Error(Code::NotFound, ""));
    if (!names)
        return found;
    std::ranges::sort(*names);
    for (const std::string &name : *names)
        found.emplace(sysfs::linkName(*folder, name), name);
    return found;
}

/// What udev has found out of a block device: "E:KEY=value" (its database, as `udevadm info` shows it).
std::map<std::string, std::string> udevOf(const Roots &roots, const std::string &device)
{
    std::map<std::string, std::string> found;
    const auto text = files::read(roots.run + "/udev/data/b" + device);
    for (const std::string &line : split(text ? *text : std::string(), '\n'))
        if (const std::size_t equals = line.find('='); line.starts_with("E:") && equals != std::string::npos)
            found[line.substr(2, equals - 2)] = line.substr(equals + 1);
    return found;
}

std::string typeOf(const Parent &parent, const Fd &device, const std::string &name)
{
    if (!parent.usb.empty())
        return "usb";
    if (name.starts_with("nvme"))
        return "nvme";
    if (parent.path.find("/ata") != std::string::npos)
        return "sata";
    return sysfs::linkName(device, "subsystem"); // scsi, virtio, mmc
}

std::vector<api::DiskPartition> partitionsOf(const std::string &path)
{
    std::vector<api::DiskPartition> found;
    for (const auto &[name, folder] : foldersIn(path))
        if (const auto number = sysfs::number(attribute(folder, "partition")))
            found.push_back({name, deviceNumber(folder), isSet(folder, "ro"), sizeOf(folder), *number});
    std::ranges::sort(found, {}, &api::DiskPartition::partition);
    return found;
}

} // namespace

api::DiskResources readDisks(const Roots &roots)
{
    api::DiskResources all;
    const std::string base = roots.sysfs + "/block";
    const auto blocks = sys::open(base, O_RDONLY | O_DIRECTORY);
    const auto ids = linksIn(roots.dev + "/disk/by-id"), paths = linksIn(roots.dev + "/disk/by-path");
    const auto nameIn = [](const std::map<std::string, std::string> &links, const std::string &disk) {
        const auto found = links.find(disk);
        return found == links.end() ? std::string() : found->second;
    };
    for (const auto &[name, folder] : foldersIn(base)) {
        const auto device = sys::openat(folder, "device", O_RDONLY | O_DIRECTORY);
        if (!device)
            continue; // of files, memory or other disks
        const auto link = sys::readlinkat(*blocks, name);
        const Parent parent = parentOf(link ? *link : name);
        api::Disk disk;
        disk.id = name;
        disk.device = deviceNumber(folder);
        auto udev = udevOf(roots, disk.device);
        // The first that says something.
        const auto said = [&](const Fd &one, const char *file, const Fd &other, const char *otherFile, const char *key) {
            std::string text = attribute(one, file).value_or("");
            if (text.empty())
                text = attribute(other, otherFile).value_or("");
            return text.empty() ? udev[key] : text;
        };
        disk.model = said(*device, "model", *device, "name", "ID_MODEL");
        disk.type = typeOf(parent, *device, name);
        disk.readOnly = isSet(folder, "ro");
        disk.removable = isSet(folder, "removable");
        disk.size = sizeOf(folder);
        disk.wwn = said(folder, "wwid", *device, "wwid", "ID_WWN");
        disk.numaNode = numaNode(*device);
        disk.devicePath = nameIn(paths, name);
        disk.deviceId = nameIn(ids, name);
        disk.blockSize = sysfs::number(attribute(folder, "queue/logical_block_size")).value_or(0);
        disk.firmwareVersion = said(*device, "firmware_rev", *device, "rev", "ID_REVISION");
        disk.rpm = isSet(folder, "queue/rotational") ? sysfs::number(udev["ID_ATA_ROTATION_RATE_RPM"]).value_or(0) : 0;
        disk.serial = said(*device, "serial", folder, "serial", "ID_SERIAL_SHORT");
        disk.partitions = partitionsOf(base + "/" + name);
        disk.pciAddress = parent.pci;
        disk.usbAddress = usbAddress(roots, parent.usb);
        all.total += std::max<std::size_t>(1, disk.partitions.size());
        all.disks.push_back(std::move(disk));
    }
    return all;
}

} // namespace lxmgr::hardware

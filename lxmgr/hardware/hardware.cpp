#include "hardware/hardware.h"

#include "base/text.h"
#include "hardware/parts.h"
#include "kernel/sys.h"
#include "kernel/sysfs_files.h"

#include <algorithm>
#include <cctype>
#include <sys/utsname.h>

namespace lxmgr::hardware
{

using sysfs::attribute;

api::Resources read(const Roots &roots)
{
    const Names names = readNames(roots.names);
    return {readProcessors(roots), readMemory(roots),           readGpus(roots, names), readNetworkCards(roots, names),
            readDisks(roots),      readUsb(roots, names),       readPci(roots, names),  readSystem(roots)};
}

api::Resources anonymous(api::Resources resources)
{
    for (api::NetworkCard &card : resources.network.cards) {
        for (api::NetworkPort &port : card.ports)
            port.address.clear();
        if (card.sriov)
            for (api::NetworkFunction &function : card.sriov->list)
                for (api::NetworkPort &port : function.ports)
                    port.address.clear();
    }
    for (api::Disk &disk : resources.storage.disks) {
        disk.serial.clear();
        disk.wwn.clear();
        disk.deviceId.clear();
        disk.devicePath.clear();
    }
    resources.system.uuid.clear();
    resources.system.serial.clear();
    if (resources.system.chassis)
        resources.system.chassis->serial.clear();
    if (resources.system.motherboard)
        resources.system.motherboard->serial.clear();
    return resources;
}

namespace
{

/// "0000:00:02.0"
bool isPciAddress(std::string_view part)
{
    const auto hex = [&](std::size_t at, std::size_t count) {
        return std::ranges::all_of(part.substr(at, count), [](unsigned char c) { return std::isxdigit(c); });
    };
    const std::size_t colon = part.find(':'); // a domain may have more than four digits
    return colon != std::string_view::npos && colon >= 4 && part.size() == colon + 8 && part[colon + 3] == ':' && part[colon + 6] == '.' && hex(0, colon) &&
           hex(colon + 1, 2) && hex(colon + 4, 2) && hex(colon + 7, 1);
}

/// "1-1.2"; an interface of one is "1-1.2:1.0".
bool isUsbName(std::string_view part)
{
    const std::size_t dash = part.find('-');
    return dash != std::string_view::npos && dash > 0 && dash + 1 < part.size() && part.find_first_not_of("0123456789") == dash &&
           part.substr(dash + 1).find_first_not_of("0123456789.") == std::string_view::npos;
}

} // namespace

std::vector<std::pair<std::string, Fd>> foldersIn(const std::string &path)
{
    auto found = sysfs::foldersIn(path);
    return found ? std::move(*found) : std::vector<std::pair<std::string, Fd>>();
}

Parent parentOf(const std::string &link)
{
    Parent parent;
    std::vector<std::string> parts = split(link, '/');
    while (!parts.empty() && parts.front() == "..")
        parts.erase(parts.begin());
    parent.path = join(parts, "/");
    if (!parts.empty())
        parts.pop_back(); // itself
    for (const std::string &part : parts) {
        if (isPciAddress(part)) {
            parent.pci = part;
            parent.usb.clear();
        } else if (isUsbName(part)) {
            parent.usb = part;
        }
    }
    return parent;
}

std::string usbAddress(const Roots &roots, const std::string &name)
{
    const auto folder = name.empty() ? Result<Fd>(Error(Code::NotFound, "")) : sys::open(roots.sysfs + "/bus/usb/devices/" + name, O_RDONLY | O_DIRECTORY);
    if (!folder)
        return {};
    const auto bus = sysfs::number(attribute(*folder, "busnum")), device = sysfs::number(attribute(*folder, "devnum"));
    return bus && device ? std::to_string(*bus) + ":" + std::to_string(*device) : std::string();
}

std::string driverVersion(const Fd &folder)
{
    if (sysfs::linkName(folder, "driver").empty())
        return {};
    if (const auto version = attribute(folder, "driver/module/version"))
        return *version;
    utsname host{}; // one that came with the kernel has the kernel's
    ::uname(&host);
    return host.release;
}

std::uint64_t numaNode(const Fd &folder) { return sysfs::number(attribute(folder, "numa_node")).value_or(0); } // -1 is none

std::string deviceNumber(const Fd &folder) { return attribute(folder, "dev").value_or(""); }

void describe(api::Hardware &hardware, const Fd &folder, const Names &names)
{
    hardware.driver = sysfs::linkName(folder, "driver");
    hardware.driverVersion = driverVersion(folder);
    hardware.numaNode = numaNode(folder);
    hardware.vendorId = sysfs::pciId(folder, "vendor").value_or("");
    hardware.productId = sysfs::pciId(folder, "device").value_or("");
    hardware.vendor = names.pci.vendor(hardware.vendorId);
    hardware.product = names.pci.product(hardware.vendorId, hardware.productId);
}

void describeUsb(api::Hardware &hardware, const Roots &roots, const std::string &device, const Names &names)
{
    const auto folder = sys::open(roots.sysfs + "/bus/usb/devices/" + device, O_RDONLY | O_DIRECTORY);
    if (!folder)
        return;
    hardware.usbAddress = usbAddress(roots, device);
    hardware.vendorId = attribute(*folder, "idVendor").value_or("");
    hardware.productId = attribute(*folder, "idProduct").value_or("");
    hardware.vendor = names.usb.vendor(hardware.vendorId);
    if (hardware.vendor.empty())
        hardware.vendor = attribute(*folder, "manufacturer").value_or("");
    hardware.product = names.usb.product(hardware.vendorId, hardware.productId);
    if (hardware.product.empty())
        hardware.product = attribute(*folder, "product").value_or("");
}

api::SystemResources readSystem(const Roots &roots)
{
    api::SystemResources system;
    const auto present = [](const Result<Fd> &folder) { return bool(folder); };
    const auto dmi = sys::open(roots.sysfs + "/class/dmi/id", O_RDONLY | O_DIRECTORY);
    const auto said = [&](const char *name) { return dmi ? attribute(*dmi, name).value_or("") : std::string(); };
    if (present(dmi)) {
        // The kinds of chassis of the System Management BIOS reference, 7.4.1, from 1.
        constexpr const char *kChassis[] = {
            "Other", "Unknown", "Desktop", "Low Profile Desktop", "Pizza Box", "Mini Tower", "Tower", "Portable", "Laptop", "Notebook", "Hand Held", "Docking Station",
            "All in One", "Sub Notebook", "Space-saving", "Lunch Box", "Main Server Chassis", "Expansion Chassis", "Sub Chassis", "Bus Expansion Chassis",
            "Peripheral Chassis", "RAID Chassis", "Rack Mount Chassis", "Sealed-case PC", "Multi-system Chassis", "Compact PCI", "Advanced TCA", "Blade", "Blade Enclosure",
            "Tablet", "Convertible", "Detachable", "IoT Gateway", "Embedded PC", "Mini PC", "Stick PC"};
        const std::uint32_t kind = sysfs::number(attribute(*dmi, "chassis_type")).value_or(0);
        system.uuid = lower(said("product_uuid"));
        system.vendor = said("sys_vendor");
        system.product = said("product_name");
        system.family = said("product_family");
        system.version = said("product_version");
        system.sku = said("product_sku");
        system.serial = said("product_serial");
        system.firmware = api::Firmware{said("bios_vendor"), said("bios_date"), said("bios_version")};
        const char *const chassis = kind >= 1 && kind <= std::size(kChassis) ? kChassis[kind - 1] : "";
        system.chassis = api::Chassis{said("chassis_vendor"), chassis, said("chassis_serial"), said("chassis_version")};
        system.motherboard = api::Motherboard{said("board_vendor"), said("board_name"), said("board_serial"), said("board_version")};
    }
    // systemd tells of a container (container-interface); the processor of a hypervisor.
    const auto run = sys::open(roots.run, O_RDONLY | O_DIRECTORY);
    const auto proc = sys::open(roots.proc, O_RDONLY | O_DIRECTORY);
    const std::string flags = proc ? attribute(*proc, "cpuinfo").value_or("") : std::string();
    if (run && attribute(*run, "systemd/container"))
        system.type = "container";
    else if (flags.find(" hypervisor") != std::string::npos || present(sys::open(roots.sysfs + "/hypervisor/properties", O_RDONLY | O_DIRECTORY)))
        system.type = "virtual-machine";
    else
        system.type = "physical";
    return system;
}

} // namespace lxmgr::hardware

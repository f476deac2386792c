// What is on PCI and USB, and graphics cards.
#include "hardware/parts.h"
#include "kernel/sys.h"
#include "kernel/sysfs_files.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace lxmgr::hardware
{

namespace
{

using sysfs::attribute;

std::uint64_t hex(const std::optional<std::string> &text)
{
    std::uint64_t value = 0;
    if (text)
        std::from_chars(text->data(), text->data() + text->size(), value, 16);
    return value;
}

/// The nodes that a graphics driver made below `device`/drm.
std::optional<api::Drm> drmOf(const std::string &device)
{
    std::optional<api::Drm> drm;
    for (const auto &[name, folder] : foldersIn(device + "/drm")) {
        const std::string number = deviceNumber(folder);
        if (number.empty())
            continue; // a connector
        if (!drm)
            drm.emplace();
        if (name.starts_with("card")) {
            drm->id = sysfs::number(name.substr(4)).value_or(0);
            drm->cardName = name;
            drm->cardDevice = number;
        } else if (name.starts_with("control")) {
            drm->controlName = name;
            drm->controlDevice = number;
        } else if (name.starts_with("render")) {
            drm->renderName = name;
            drm->renderDevice = number;
        }
    }
    return drm;
}

bool isGpu(const Fd &folder) { return attribute(folder, "class").value_or("").starts_with("0x03"); } // a display controller

api::GpuFunction gpu(const std::string &path, const std::string &address, const Fd &folder, const Names &names)
{
    api::GpuFunction found;
    found.pciAddress = address;
    describe(found, folder, names);
    found.drm = drmOf(path);
    return found;
}

} // namespace

api::OnBus<api::PciHardware> readPci(const Roots &roots, const Names &names)
{
    api::OnBus<api::PciHardware> all;
    for (const auto &[address, folder] : foldersIn(roots.sysfs + "/bus/pci/devices")) {
        api::Hardware said;
        describe(said, folder, names);
        all.devices.push_back({said.driver, said.driverVersion, said.numaNode, address, said.vendor, said.vendorId, said.product, said.productId,
                               sysfs::number(sysfs::linkName(folder, "iommu_group")).value_or(0)});
    }
    all.total = all.devices.size();
    return all;
}

api::OnBus<api::UsbHardware> readUsb(const Roots &roots, const Names &names)
{
    api::OnBus<api::UsbHardware> all;
    const std::string base = roots.sysfs + "/bus/usb/devices";
    for (const auto &[name, folder] : foldersIn(base)) {
        if (name.starts_with("usb") || !attribute(folder, "idVendor")) // a controller's own hub; an interface
            continue;
        api::Hardware said;
        describeUsb(said, roots, name, names);
        api::UsbHardware device;
        device.bus = sysfs::number(attribute(folder, "busnum")).value_or(0);
        device.device = sysfs::number(attribute(folder, "devnum")).value_or(0);
        device.vendor = said.vendor;
        device.vendorId = said.vendorId;
        device.product = said.product;
        device.productId = said.productId;
        device.speed = std::strtod(attribute(folder, "speed").value_or("0").c_str(), nullptr);
        for (const auto &[inner, interface] : foldersIn(base + "/" + name)) {
            const auto classId = attribute(interface, "bInterfaceClass"), subclassId = attribute(interface, "bInterfaceSubClass");
            if (!inner.starts_with(name + ":") || !classId)
                continue;
            device.interfaces.push_back({names.usb.deviceClass(*classId), hex(classId), sysfs::linkName(interface, "driver"),
                                         driverVersion(interface), hex(attribute(interface, "bInterfaceNumber")),
                                         names.usb.subclass(*classId, subclassId.value_or("")), hex(subclassId)});
        }
        all.devices.push_back(std::move(device));
    }
    all.total = all.devices.size();
    return all;
}

api::Cards<api::GpuCard> readGpus(const Roots &roots, const Names &names)
{
    api::Cards<api::GpuCard> all;
    const std::string base = roots.sysfs + "/bus/pci/devices/";
    for (const auto &[address, folder] : foldersIn(base)) {
        if (!isGpu(folder) || !sysfs::linkName(folder, "physfn").empty())
            continue;
        api::GpuCard card{gpu(base + address, address, folder, names), {}};
        if (const auto most = sysfs::number(attribute(folder, "sriov_totalvfs"))) {
            card.sriov.emplace();
            card.sriov->maximum = *most;
            card.sriov->current = sysfs::number(attribute(folder, "sriov_numvfs")).value_or(0);
            for (std::uint32_t i = 0; i < card.sriov->current; ++i) {
                const std::string function = sysfs::linkName(folder, "virtfn" + std::to_string(i));
                if (const auto own = sys::open(base + function, O_RDONLY | O_DIRECTORY); own && !function.empty())
                    card.sriov->list.push_back(gpu(base + function, function, *own, names));
            }
        }
        all.cards.push_back(std::move(card));
    }
    // Those of other buses: of a board, or on USB.
    const auto drm = sys::open(roots.sysfs + "/class/drm", O_RDONLY | O_DIRECTORY);
    for (const auto &[name, folder] : foldersIn(roots.sysfs + "/class/drm")) {
        if (!name.starts_with("card") || deviceNumber(folder).empty())
            continue;
        const auto link = drm ? sys::readlinkat(*drm, name) : Result<std::string>(Error(Code::NotFound, ""));
        const Parent parent = parentOf(link ? *link : std::string());
        if (parent.usb.empty() && !parent.pci.empty())
            continue;
        api::GpuCard card;
        const std::string device = roots.sysfs + "/class/drm/" + name + "/device";
        if (const auto own = sys::open(device, O_RDONLY | O_DIRECTORY))
            describe(card, *own, names);
        describeUsb(card, roots, parent.usb, names);
        card.drm = drmOf(device);
        all.cards.push_back(std::move(card));
    }
    all.total = all.cards.size();
    return all;
}

} // namespace lxmgr::hardware

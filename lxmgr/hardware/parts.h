// What hardware.cpp puts together: a function for each kind.
#pragma once

#include "base/fd.h"
#include "hardware/hardware.h"
#include "hardware/names.h"

namespace lxmgr::hardware
{

api::CpuResources readProcessors(const Roots &roots);
api::MemoryResources readMemory(const Roots &roots);
api::OnBus<api::PciHardware> readPci(const Roots &roots, const Names &names);
api::OnBus<api::UsbHardware> readUsb(const Roots &roots, const Names &names);
api::Cards<api::GpuCard> readGpus(const Roots &roots, const Names &names);
api::Cards<api::NetworkCard> readNetworkCards(const Roots &roots, const Names &names);
api::DiskResources readDisks(const Roots &roots);
api::SystemResources readSystem(const Roots &roots);

// --- for several of them ---

/// sysfs::foldersIn(), none where that fails.
std::vector<std::pair<std::string, Fd>> foldersIn(const std::string &path);

/// Where a device hangs, from the link that a class ("net", "block") has of it.
struct Parent {
    std::string pci;  ///< Address of the innermost PCI device that it belongs to, "" for none.
    std::string usb;  ///< Name ("1-1.2") of the USB device, where that is further in.
    std::string path; ///< The link, without the "../" it begins with.
};
Parent parentOf(const std::string &link);
/// "2:7", bus and device of a USB device by its name.
std::string usbAddress(const Roots &roots, const std::string &name);
/// Driver, ids and names of the device whose folder that is.
void describe(api::Hardware &hardware, const Fd &folder, const Names &names);
void describeUsb(api::Hardware &hardware, const Roots &roots, const std::string &device, const Names &names);
/// "" for none.
std::string driverVersion(const Fd &folder);
std::uint64_t numaNode(const Fd &folder);
/// "226:0", or "".
std::string deviceNumber(const Fd &folder);

} // namespace lxmgr::hardware

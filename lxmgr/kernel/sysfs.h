// Devices of the host as /sys tells of them: those on USB, what hangs behind one, graphics cards, InfiniBand ports.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::sysfs
{

/// A node below /dev.
struct Node {
    std::string path; ///< "bus/usb/001/004".
    bool block = false;
    unsigned major = 0, minor = 0;
    std::optional<std::uint32_t> mode; ///< That its driver wants for it.
    bool operator==(const Node &) const = default;
};

/// What is absent is not asked for.
struct UsbFilter {
    std::optional<std::string> vendor, product; ///< Four lower-case hex digits.
    std::optional<std::uint32_t> bus, device;
    std::optional<std::string> serial;
};
/// `root` is where sysfs is mounted. Sorted by path; empty where nothing is connected, or this host has no USB.
Result<std::vector<Node>> usbDevices(const std::string &root, const UsbFilter &filter);
/// Nodes that drivers made of the USB devices ("ttyUSB0", "hidraw1", "sda"), not those of the devices themselves.
Result<std::vector<Node>> behindUsb(const std::string &root, const UsbFilter &filter);

struct GpuFilter {
    std::optional<std::uint32_t> card;          ///< DRM number, 0 of "card0".
    std::optional<std::string> pci;             ///< "0000:00:02.0".
    std::optional<std::string> vendor, product; ///< Four lower-case hex digits.
};
/// Card and render nodes below dri/.
Result<std::vector<Node>> graphicsCards(const std::string &root, const GpuFilter &filter);

/// The nodes that belong to the InfiniBand port whose network interface is called `interface`: of its management datagrams
/// (umad, issm) and of its card's verbs. NotFound: there is no such interface, Invalid: it is no such port.
Result<std::vector<Node>> infinibandNodes(const std::string &root, const std::string &interface);
/// Network interfaces of the virtual functions (SR-IOV) of such a port, in their order; those that are on the host.
Result<std::vector<std::string>> virtualInfinibandPorts(const std::string &root, const std::string &interface);
/// The same of an Ethernet card. NotFound: there is no such interface.
Result<std::vector<std::string>> virtualCards(const std::string &root, const std::string &interface);

} // namespace lxmgr::sysfs

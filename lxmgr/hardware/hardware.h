// The host's hardware, as the kernel and the firmware tell of it.
#pragma once

#include "api/resources.h"

namespace lxmgr::hardware
{

/// Where it is read.
struct Roots {
    std::string sysfs = "/sys", proc = "/proc", dev = "/dev", run = "/run";
    /// Folders with pci.ids and usb.ids, which have the names; the first that is there counts.
    std::vector<std::string> names = {"/usr/share/misc", "/usr/share/hwdata"};
};

/// What cannot be read is left empty: a host has not everything.
api::Resources read(const Roots &roots);
/// The same without what tells this machine from another of its kind: uuid, serial numbers, addresses of cards.
api::Resources anonymous(api::Resources resources);

} // namespace lxmgr::hardware

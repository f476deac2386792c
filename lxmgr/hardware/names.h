// Names of vendors, products and classes, from the lists that pciutils and usbutils use too (pci.ids, usb.ids).
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lxmgr::hardware
{

/// One of the lists. Ids are lower-case hex: four digits, two of classes.
class NameList
{
public:
    NameList() = default;
    /// `text` as the list's file has it: "1234  Name" of a vendor, a tab before those of its products, "C 03  Name" of a class.
    explicit NameList(const std::string &text);

    /// "" where the list has none.
    std::string vendor(const std::string &id) const;
    std::string product(const std::string &vendor, const std::string &id) const;
    std::string deviceClass(const std::string &id) const;
    std::string subclass(const std::string &deviceClass, const std::string &id) const;

private:
    using Group = std::pair<std::string, std::map<std::string, std::string>>; ///< Name, and what belongs to it.
    std::map<std::string, Group> m_vendors, m_classes;
};

struct Names {
    NameList pci, usb;
};
/// The lists in the first of `folders` that has each; empty ones where none has.
Names readNames(const std::vector<std::string> &folders);

} // namespace lxmgr::hardware

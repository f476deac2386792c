#include "hardware/names.h"

#include "base/text.h"
#include "kernel/files.h"

#include <string_view>

namespace lxmgr::hardware
{

namespace
{

std::string nameIn(const std::map<std::string, std::string> &names, const std::string &id)
{
    const auto found = names.find(id);
    return found == names.end() ? std::string() : found->second;
}

template <class Groups> std::string nameOf(const Groups &groups, const std::string &id)
{
    const auto found = groups.find(id);
    return found == groups.end() ? std::string() : found->second.first;
}

template <class Groups> std::string nameWithin(const Groups &groups, const std::string &group, const std::string &id)
{
    const auto found = groups.find(group);
    return found == groups.end() ? std::string() : nameIn(found->second.second, id);
}

} // namespace

NameList::NameList(const std::string &text)
{
    Group *group = nullptr;
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.empty() || line.front() == '#' || line.starts_with("\t\t"))
            continue;
        const bool inner = line.front() == '\t';
        if (inner)
            line.remove_prefix(1);
        const bool isClass = !inner && line.starts_with("C ");
        if (isClass)
            line.remove_prefix(2);
        const std::size_t gap = line.find("  ");
        const std::string id(line.substr(0, gap));
        const bool isId = gap != std::string_view::npos && id.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (!isId) { // the lists of usb.ids that come behind the classes: terminals, languages, …
            group = inner ? group : nullptr;
            continue;
        }
        const std::string name(trimmed(line.substr(gap)));
        if (!inner) {
            group = &(isClass ? m_classes : m_vendors)[id];
            group->first = name;
        } else if (group) {
            group->second[id] = name;
        }
    }
}

std::string NameList::vendor(const std::string &id) const { return nameOf(m_vendors, id); }
std::string NameList::product(const std::string &vendor, const std::string &id) const { return nameWithin(m_vendors, vendor, id); }
std::string NameList::deviceClass(const std::string &id) const { return nameOf(m_classes, id); }
std::string NameList::subclass(const std::string &deviceClass, const std::string &id) const { return nameWithin(m_classes, deviceClass, id); }

Names readNames(const std::vector<std::string> &folders)
{
    const auto first = [&](const char *file) {
        for (const std::string &folder : folders)
            if (const auto text = files::read(folder + "/" + file))
                return NameList(*text);
        return NameList();
    };
    return {first("pci.ids"), first("usb.ids")};
}

} // namespace lxmgr::hardware

// What this host has mounted of control groups: /proc/PID/mountinfo (proc(5)) read once.
#include "base/text.h"
#include "kernel/cgroup.h"
#include "kernel/files.h"
#include "kernel/mount.h"

#include <algorithm>

namespace lxmgr::cgroup
{

namespace
{

constexpr std::string_view kFirstController[] = {"blkio",   "cpu",    "cpuacct", "cpuset", "devices",
                                                 "freezer", "hugetlb", "memory",  "pids"};

bool isController(const std::string &option)
{
    return option.starts_with("name=") || std::ranges::find(kFirstController, option) != std::end(kFirstController) ||
           option == "perf_event" || option == "net_cls" || option == "net_prio" || option == "rdma" || option == "misc";
}

/// One line: "36 35 98:0 / /mnt rw,noatime master:1 - cgroup cgroup rw,memory" → a hierarchy, or nothing.
std::optional<Hierarchy> parseLine(const std::string &line, const std::string &root)
{
    const std::vector<std::string> fields = words(line);
    const auto dash = std::ranges::find(fields, "-");
    if (fields.size() < 6 || fields.end() - dash < 4)
        return {};
    const std::string &type = dash[1];
    // A root other than "/" is a bind of some inner folder (a container engine's), not the hierarchy.
    if ((type != "cgroup" && type != "cgroup2") || fields[3] != "/")
        return {};
    Hierarchy found;
    found.unified = type == "cgroup2";
    found.mountPoint = root + mount::unescaped(fields[4]);
    if (found.unified)
        return found;
    std::ranges::copy_if(split(dash[3], ','), std::back_inserter(found.controllers), isController);
    return found;
}

} // namespace

std::string_view kindName(Kind kind)
{
    return kind == Kind::V2 ? "v2" : kind == Kind::V1 ? "v1" : "hybrid";
}

Result<Layout> Layout::probe() { return fromMountInfo(TRY(files::read("/proc/self/mountinfo"))); }

Result<Layout> Layout::fromMountInfo(std::string_view mountInfo, const std::string &root)
{
    Layout layout;
    for (const std::string &line : split(mountInfo, '\n')) {
        std::optional<Hierarchy> found = parseLine(line, root);
        const auto same = [&](const Hierarchy &other) {
            return other.unified == found->unified && other.controllers == found->controllers;
        };
        // The first mount of a hierarchy counts; later ones are copies (a chroot's, a build's).
        if (!found || (!found->unified && found->controllers.empty()) ||
            std::ranges::any_of(layout.m_hierarchies, same))
            continue;
        layout.m_hierarchies.push_back(std::move(*found));
    }
    if (layout.m_hierarchies.empty())
        return Error(Code::Unsupported, "No control group file system is mounted").hint("mount cgroup2 on /sys/fs/cgroup");
    for (Hierarchy &hierarchy : layout.m_hierarchies)
        if (hierarchy.unified)
            hierarchy.controllers = words(TRY(files::read(hierarchy.mountPoint + "/cgroup.controllers")));
    return layout;
}

Kind Layout::kind() const
{
    const bool v2 = std::ranges::any_of(m_hierarchies, &Hierarchy::unified);
    const bool v1 = std::ranges::any_of(m_hierarchies, [](const Hierarchy &h) { return !h.unified; });
    return v1 && v2 ? Kind::Hybrid : v2 ? Kind::V2 : Kind::V1;
}

const Hierarchy *Layout::find(std::string_view controller) const
{
    for (const Hierarchy &hierarchy : m_hierarchies)
        if (controller.empty() ? hierarchy.unified
                               : std::ranges::find(hierarchy.controllers, controller) != hierarchy.controllers.end())
            return &hierarchy;
    return nullptr;
}

bool Layout::unified(std::string_view controller) const
{
    const Hierarchy *hierarchy = find(controller);
    return hierarchy && hierarchy->unified;
}

} // namespace lxmgr::cgroup

// Which CPUs the guests with a count of them get, so that each CPU has as many as the next.
#include "kernel/cgroup_limits.h"

#include <algorithm>
#include <map>

namespace lxmgr::cgroup
{

namespace
{

using Load = std::map<unsigned, unsigned>;

bool isPlaced(const CpuPins &guest, std::span<const unsigned> cpus)
{
    return guest.cpus.size() == guest.count &&
           std::ranges::all_of(guest.cpus, [&](unsigned cpu) { return std::ranges::find(cpus, cpu) != cpus.end(); });
}

void add(Load &load, const std::vector<unsigned> &cpus)
{
    for (const unsigned cpu : cpus)
        if (const auto found = load.find(cpu); found != load.end())
            ++found->second;
}

/// Moves `guest` from its fullest CPU to the emptiest one it does not have, where that makes things more even.
bool moveOne(CpuPins &guest, Load &load)
{
    const auto byLoad = [&](unsigned left, unsigned right) { return load[left] < load[right]; };
    const auto from = std::ranges::max_element(guest.cpus, byLoad);
    auto to = load.end();
    for (auto each = load.begin(); each != load.end(); ++each)
        if (std::ranges::find(guest.cpus, each->first) == guest.cpus.end() && (to == load.end() || each->second < to->second))
            to = each;
    if (from == guest.cpus.end() || to == load.end() || load[*from] < to->second + 2)
        return false;
    --load[*from];
    ++to->second;
    *from = to->first;
    std::ranges::sort(guest.cpus);
    return true;
}

} // namespace

void balance(std::span<CpuPins *const> guests, std::span<const unsigned> cpus)
{
    Load load;
    for (const unsigned cpu : cpus)
        load[cpu] = 0;
    std::vector<CpuPins *> movable, homeless;
    for (CpuPins *guest : guests) {
        if (guest->count >= cpus.size()) {
            guest->cpus.assign(cpus.begin(), cpus.end()); // all of them: it weighs on none more than on another
            continue;
        }
        if (guest->count > 0)
            movable.push_back(guest);
        if (guest->count > 0 && !isPlaced(*guest, cpus))
            homeless.push_back(guest);
        else
            add(load, guest->cpus);
    }
    for (CpuPins *guest : homeless) {
        std::vector<unsigned> counts;
        for (const unsigned cpu : cpus)
            counts.push_back(load[cpu]);
        guest->cpus = balancedCpus(guest->count, cpus, counts);
        add(load, guest->cpus);
    }
    // Every move makes the sum of squares smaller, so this ends.
    for (bool moved = true; moved;) {
        moved = false;
        for (CpuPins *guest : movable)
            moved = moveOne(*guest, load) || moved;
    }
}

} // namespace lxmgr::cgroup

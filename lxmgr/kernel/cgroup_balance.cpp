// Which CPUs the guests with a count of them get, so that each CPU has as many as the next.
#include "kernel/cgroup_limits.h"

#include <algorithm>
#include <iterator>
#include <map>

namespace lxmgr::cgroup
{

namespace
{

using Load = std::map<unsigned, unsigned>;

bool has(std::span<const unsigned> cpus, unsigned cpu) { return std::ranges::find(cpus, cpu) != cpus.end(); }

bool isPlaced(const CpuPins &guest, std::span<const unsigned> cpus)
{
    return guest.cpus.size() == guest.count && std::ranges::all_of(guest.cpus, [&](unsigned cpu) { return has(cpus, cpu); });
}

/// Those of `cpus` that it may have.
std::vector<unsigned> openTo(const CpuPins &guest, std::span<const unsigned> cpus)
{
    std::vector<unsigned> mine;
    std::ranges::copy_if(cpus, std::back_inserter(mine), [&](unsigned cpu) { return guest.among.empty() || has(guest.among, cpu); });
    return mine;
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
        if (!has(guest.cpus, each->first) && (guest.among.empty() || has(guest.among, each->first)) &&
            (to == load.end() || each->second < to->second))
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
        const std::vector<unsigned> mine = openTo(*guest, cpus);
        if (guest->count > 0 && guest->count >= mine.size()) {
            guest->cpus = mine;
            if (mine.size() < cpus.size()) // on all of them it weighs on none more than on another
                add(load, mine);
            continue;
        }
        if (guest->count > 0)
            movable.push_back(guest);
        if (guest->count > 0 && !isPlaced(*guest, mine))
            homeless.push_back(guest);
        else
            add(load, guest->cpus);
    }
    for (CpuPins *guest : homeless) {
        const std::vector<unsigned> mine = openTo(*guest, cpus);
        std::vector<unsigned> counts;
        for (const unsigned cpu : mine)
            counts.push_back(load[cpu]);
        guest->cpus = balancedCpus(guest->count, mine, counts);
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

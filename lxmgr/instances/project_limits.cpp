#include "instances/project_limits.h"

#include "base/text.h"
#include "config/expand.h"
#include "config/project_config.h"
#include "config/volume_config.h"
#include "instances/backup_rows.h"
#include "instances/journal.h"
#include "instances/profiles.h"
#include "store/networks.h"
#include "store/operations.h"
#include "store/volumes.h"

#include <algorithm>
#include <map>

namespace lxmgr::instances
{

namespace
{

using config::ProjectConfig;

/// Nothing: it does not say, or in a way that is no figure.
using Amount = std::optional<std::int64_t>;

std::int64_t figure(Bytes size) { return static_cast<std::int64_t>(std::min<std::uint64_t>(size.count, INT64_MAX)); }

/// No sum is more than the most.
std::int64_t sum(std::int64_t one, std::int64_t other) { return one > INT64_MAX - other ? INT64_MAX : one + other; }

Amount cpusOf(const config::InstanceConfig &config)
{
    if (!config.cpu)
        return {};
    return config.cpu->count > 0 ? config.cpu->count : static_cast<std::int64_t>(config.cpu->set.size());
}

Amount memoryOf(const config::InstanceConfig &config)
{
    return config.memory && config.memory->percent == 0 ? Amount(figure(config.memory->bytes)) : Amount();
}

Amount processesOf(const config::InstanceConfig &config) { return config.processes ? Amount(*config.processes) : Amount(); }

Amount one(const config::InstanceConfig &) { return 1; }

/// Of those whose figure is in the configuration of an instance.
struct Resource {
    std::string_view key;
    std::optional<std::uint32_t> ProjectConfig::*number; ///< Or, of what is counted in bytes, …
    std::optional<Bytes> ProjectConfig::*bytes;
    Amount (*of)(const config::InstanceConfig &config);
};
constexpr Resource kResources[] = {
    {"limits.containers", &ProjectConfig::limitsContainers, nullptr,                      &one        },
    {"limits.cpu",        &ProjectConfig::limitsCpu,        nullptr,                      &cpusOf     },
    {"limits.instances",  &ProjectConfig::limitsInstances,  nullptr,                      &one        },
    {"limits.memory",     nullptr,                          &ProjectConfig::limitsMemory, &memoryOf   },
    {"limits.processes",  &ProjectConfig::limitsProcesses,  nullptr,                      &processesOf},
};

/// Somebody who takes of a resource.
struct Part {
    std::string who; ///< "instance 'web1'"
    Amount amount;
    std::string cure; ///< What would make it say.
};

struct Counted {
    std::string key;
    Amount limit;
    bool bytes = false;
    std::vector<Part> parts;

    std::int64_t total() const
    {
        std::int64_t all = 0;
        for (const Part &part : parts)
            all = sum(all, part.amount.value_or(0));
        return all;
    }
    std::string text(std::int64_t amount) const
    {
        return bytes ? formatBytes(Bytes{static_cast<std::uint64_t>(amount)}) : std::to_string(amount);
    }
};

/// What an instance is, or is about to be.
struct Taker {
    std::string who, name;
    std::vector<config::Effective> states; ///< None: what is recorded makes no sense.
};

Result<config::Effective> effectiveOf(store::Database &db, const store::Instance &row) { return config::parseEffective(TRY(expandedOf(db, row))); }

/// With a restore that is under way: it may come to its end, or not.
Result<std::vector<Taker>> takersOf(store::Database &db, const std::string &project)
{
    std::vector<Taker> takers;
    const std::vector<store::Operation> unfinished = TRY(store::listUnfinished(db));
    for (const store::Instance &row : TRY(store::listInstances(db, project))) {
        Taker taker{"instance " + quoted(row.name), row.name, {}};
        if (auto now = effectiveOf(db, row))
            taker.states.push_back(std::move(*now));
        for (const store::Operation &journal : unfinished) {
            if (journal.type != kRestoreOperation || journal.project != project || journal.object != row.name)
                continue;
            const auto snapshot = store::findSnapshot(db, row.id, journal.arguments.substr(0, journal.arguments.find('/')));
            const auto then = snapshot ? rowAsIn(db, row, *snapshot) : Result<store::Instance>(snapshot.error());
            if (auto soon = then ? effectiveOf(db, *then) : Result<config::Effective>(then.error()))
                taker.states.push_back(std::move(*soon));
        }
        takers.push_back(std::move(taker));
    }
    return takers;
}

/// The most of all states, nothing where one does not say.
template <class Of> Amount mostOf(const Taker &taker, const Of &of)
{
    Amount most = taker.states.empty() ? Amount() : Amount(0);
    for (const config::Effective &state : taker.states) {
        const Amount amount = of(state);
        if (!amount)
            return {};
        most = std::max(*most, *amount);
    }
    return most;
}

/// `pool`: only what lies there; "": all.
Counted countDisk(const std::string &key, const std::vector<Taker> &takers, const std::vector<store::Volume> &volumes, const std::string &pool)
{
    Counted counted{key, {}, true, {}};
    for (const Taker &taker : takers)
        counted.parts.push_back({taker.who,
                                 mostOf(taker,
                                        [&](const config::Effective &state) -> Amount {
                                            const config::Device *root = config::rootDisk(state.devices);
                                            const auto *disk = root ? root->as<config::DiskDevice>() : nullptr;
                                            if (!disk || (!pool.empty() && disk->pool->text != pool))
                                                return 0;
                                            return disk->size && disk->size->count > 0 ? Amount(figure(*disk->size)) : Amount();
                                        }),
                                 "give its root disk a size: lxmgr config device set " + taker.name + " root size=…"});
    for (const store::Volume &volume : volumes) {
        if (!pool.empty() && volume.pool != pool)
            continue;
        const auto config = config::parseVolumeConfig(volume.config);
        const Amount amount = config && config->size && config->size->count > 0 ? Amount(figure(*config->size)) : Amount();
        counted.parts.push_back({"storage volume " + quoted(volume.pool + "/" + volume.name), amount,
                                 "give it one: lxmgr storage volume set " + volume.pool + " " + volume.name + " size=…"});
    }
    return counted;
}

/// All there is a key for, whether the project has it or not.
Result<std::vector<Counted>> countAll(store::Database &db, const store::Project &project)
{
    const ProjectConfig config = TRY(config::parseProjectConfig(project.config));
    const std::vector<Taker> takers = TRY(takersOf(db, project.name));
    const std::vector<store::Volume> volumes = TRY(store::listVolumes(db, "", project.name));
    std::vector<Counted> all;
    for (const Resource &resource : kResources) {
        const std::string key(resource.key);
        Counted counted{key, {}, resource.bytes != nullptr, {}};
        if (resource.bytes && config.*resource.bytes)
            counted.limit = figure(*(config.*resource.bytes));
        if (resource.number && config.*resource.number)
            counted.limit = *(config.*resource.number);
        for (const Taker &taker : takers)
            counted.parts.push_back({taker.who,
                                     resource.of == &one ? Amount(1) : mostOf(taker, [&](const config::Effective &state) { return resource.of(state.config); }),
                                     "give it one, itself or by a profile, and no percentage: lxmgr config set " + taker.name + " " + key + "=…"});
        all.push_back(std::move(counted));
    }
    Counted disk = countDisk("limits.disk", takers, volumes, {});
    if (config.limitsDisk)
        disk.limit = figure(*config.limitsDisk);
    all.push_back(std::move(disk));
    for (const auto &[pool, limit] : config.limitsDiskPool) {
        Counted there = countDisk("limits.disk.pool." + pool, takers, volumes, pool);
        there.limit = figure(limit);
        all.push_back(std::move(there));
    }
    Counted networks{"limits.networks", {}, false, {}};
    if (config.limitsNetworks)
        networks.limit = *config.limitsNetworks;
    for (const store::Network &network : TRY(store::listNetworks(db, project.name)))
        networks.parts.push_back({"network " + quoted(network.name), 1, {}});
    all.push_back(std::move(networks));
    all.push_back({"limits.virtual-machines", config.limitsVirtualMachines ? Amount(*config.limitsVirtualMachines) : Amount(), false, {}});
    std::ranges::sort(all, {}, &Counted::key);
    return all;
}

bool hasLimits(const store::Project &project)
{
    return std::ranges::any_of(project.config, [](const auto &pair) { return pair.first.starts_with("limits."); });
}

/// Of those projects that have limits.
using Counts = std::map<std::string, std::vector<Counted>>;
Result<Counts> countsOf(store::Database &db, const std::vector<std::string> &projects)
{
    Counts counts;
    for (const std::string &name : projects)
        if (const store::Project project = TRY(store::findProject(db, name)); hasLimits(project))
            counts[name] = TRY(countAll(db, project));
    return counts;
}

std::string listed(const Counted &counted)
{
    constexpr std::size_t kMost = 10;
    std::vector<Part> parts = counted.parts;
    std::ranges::stable_sort(parts, std::greater<>(), &Part::amount);
    std::vector<std::string> words;
    for (const Part &part : parts)
        if (words.size() < kMost)
            words.push_back(part.who + " " + counted.text(part.amount.value_or(0)));
    return join(words, ", ") + (parts.size() > kMost ? " and " + std::to_string(parts.size() - kMost) + " more" : "");
}

/// `before`: the same, if it was counted.
Status judge(const std::string &project, const Counted *before, const Counted &now)
{
    if (!now.limit)
        return {};
    const bool sameLimit = before && before->limit == now.limit;
    const std::string limit = "project " + quoted(project) + ": " + now.key + "=" + now.text(*now.limit);
    const auto saidNothing = [&](const std::string &who) {
        return sameLimit && std::ranges::any_of(before->parts, [&](const Part &part) { return part.who == who && !part.amount; });
    };
    for (const Part &part : now.parts) {
        if (part.amount || saidNothing(part.who))
            continue;
        if (*now.limit == 0)
            return Error(Code::Forbidden, limit + " leaves nothing for " + part.who);
        return Error(Code::Forbidden, limit + " is for all together, and " + part.who + " does not say how much of it is for it").hint(part.cure);
    }
    if (now.total() <= *now.limit || (sameLimit && now.total() <= before->total()))
        return {};
    return Error(Code::Forbidden, limit + " would be exceeded: " + now.text(now.total()) + " in all (" + listed(now) + ")");
}

Status compare(const Counts &before, const Counts &now)
{
    for (const auto &[project, resources] : now) {
        const auto old = before.find(project);
        for (const Counted &resource : resources) {
            const Counted *was = nullptr;
            if (old != before.end())
                for (const Counted &each : old->second)
                    was = each.key == resource.key ? &each : was;
            TRY(judge(project, was, resource));
        }
    }
    return {};
}

} // namespace

Status withinLimits(store::Database &db, const std::vector<std::string> &projects, const std::function<Status()> &change)
{
    return db.transaction([&]() -> Status {
        const Counts before = TRY(countsOf(db, projects));
        TRY(change());
        return compare(before, TRY(countsOf(db, projects)));
    });
}

Status checkLimits(store::Database &db, const std::vector<std::string> &projects, const std::function<Status()> &change)
{
    bool limited = false;
    for (const std::string &name : projects)
        limited = limited || hasLimits(TRY(store::findProject(db, name)));
    if (!limited)
        return {};
    bool passed = false;
    Status done = db.transaction([&]() -> Status {
        TRY(withinLimits(db, projects, change));
        passed = true;
        return Error(Code::Cancelled, "only tried"); // takes all of it back
    });
    return passed ? Status() : done;
}

Result<std::vector<ProjectResource>> projectResources(store::Database &db, const std::string &project)
{
    const auto lock = db.lock();
    std::vector<ProjectResource> resources;
    for (const Counted &counted : TRY(countAll(db, TRY(store::findProject(db, project)))))
        resources.push_back({counted.key.substr(std::string_view("limits.").size()), counted.limit.value_or(-1), counted.total()});
    return resources;
}

} // namespace lxmgr::instances

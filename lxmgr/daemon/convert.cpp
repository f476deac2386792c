#include "daemon/convert.h"

#include "api/envelope.h"
#include "api/images.h"
#include "api/instance_state.h"
#include "api/instances.h"
#include "api/profiles.h"
#include "api/snapshots.h"
#include "daemon/context.h"

#include <net/if.h>
#include <sys/socket.h>

namespace lxmgr::daemon
{

namespace
{

api::StatusCode statusOf(const std::optional<instances::Guest> &guest)
{
    if (!guest)
        return api::StatusCode::Stopped;
    return guest->frozen ? api::StatusCode::Frozen : api::StatusCode::Running;
}

std::int64_t numberOf(const std::optional<Bytes> &bytes) { return bytes ? static_cast<std::int64_t>(bytes->count) : 0; }

void fill(api::Instance &to, instances::Described &&from)
{
    store::Instance &row = from.row;
    to.name = std::move(row.name);
    to.description = std::move(row.description);
    to.architecture = std::move(row.architecture);
    to.setStatus(statusOf(from.guest));
    to.createdAt = timeOf(row.createdAt);
    to.lastUsedAt = row.lastUsedAt == 0 ? api::Time::never() : timeOf(row.lastUsedAt);
    to.ephemeral = row.ephemeral;
    to.stateful = row.stateful;
    to.profiles = std::move(row.profiles);
    to.config = std::move(row.config);
    to.devices = std::move(row.devices);
    to.expandedConfig = std::move(from.expanded.config);
    to.expandedDevices = std::move(from.expanded.devices);
    to.project = std::move(row.project);
}

} // namespace

api::Time timeOf(std::int64_t millis)
{
    if (millis == 0)
        return {};
    api::Time time;
    time.seconds = millis / 1000;
    time.nanos = static_cast<std::int32_t>(millis % 1000) * 1000000;
    return time;
}

std::int64_t millisOf(const api::Time &time) { return time.isSet() ? time.seconds * 1000 + time.nanos / 1000000 : 0; }

api::Instance toApi(instances::Described described)
{
    api::Instance instance;
    fill(instance, std::move(described));
    return instance;
}

api::InstanceFull toApiFull(instances::Described described, const instances::LiveState &state,
                            const std::vector<store::Snapshot> *snapshots, const std::vector<store::Export> *exports)
{
    api::InstanceFull instance;
    fill(instance, std::move(described));
    instance.state = toApi(state);
    if (snapshots && !snapshots->empty()) {
        instance.snapshots.emplace();
        for (const store::Snapshot &snapshot : *snapshots)
            instance.snapshots->push_back(toApi(snapshot));
    }
    if (exports && !exports->empty()) {
        instance.backups.emplace();
        for (const store::Export &one : *exports)
            instance.backups->push_back(toApi(one));
    }
    return instance;
}

api::InstanceBackup toApi(const store::Export &row)
{
    return {row.name,      timeOf(row.createdAt), timeOf(row.expiresAt), row.withoutSnapshots, row.withoutSnapshots,
            row.optimized, row.compression,       row.size};
}

api::StorageVolumeBackup toVolumeBackup(const store::Export &row)
{
    return {row.name,      timeOf(row.createdAt), timeOf(row.expiresAt), row.withoutSnapshots,
            row.optimized, row.compression,       row.size};
}

api::Snapshot toApi(const store::Snapshot &row)
{
    api::Snapshot snapshot;
    snapshot.name = row.name;
    snapshot.architecture = row.architecture;
    snapshot.config = row.config;
    snapshot.devices = row.devices;
    snapshot.ephemeral = row.ephemeral;
    snapshot.profiles = row.profiles;
    snapshot.createdAt = timeOf(row.createdAt);
    snapshot.expiresAt = timeOf(row.expiresAt);
    snapshot.expandedConfig = row.expandedConfig;
    snapshot.expandedDevices = row.expandedDevices;
    return snapshot;
}

api::NicState nicState(const network::Interface &interface)
{
    api::NicState nic;
    for (const netlink::Address &address : interface.addresses)
        nic.addresses.push_back({address.family == AF_INET ? "inet" : "inet6", address.text(), std::to_string(address.prefix),
                                 address.scopeName()});
    const netlink::Counters &counters = interface.counters;
    nic.counters.bytesReceived = static_cast<std::int64_t>(counters.rxBytes);
    nic.counters.bytesSent = static_cast<std::int64_t>(counters.txBytes);
    nic.counters.packetsReceived = static_cast<std::int64_t>(counters.rxPackets);
    nic.counters.packetsSent = static_cast<std::int64_t>(counters.txPackets);
    nic.counters.errorsReceived = static_cast<std::int64_t>(counters.rxErrors);
    nic.counters.errorsSent = static_cast<std::int64_t>(counters.txErrors);
    nic.counters.packetsDroppedInbound = static_cast<std::int64_t>(counters.rxDropped);
    nic.counters.packetsDroppedOutbound = static_cast<std::int64_t>(counters.txDropped);
    nic.hwaddr = interface.mac;
    nic.hostName = interface.hostName;
    nic.mtu = static_cast<int>(interface.mtu);
    nic.state = interface.up() ? "up" : "down";
    nic.type = interface.typeName();
    return nic;
}

api::InstanceState toApi(const instances::LiveState &state)
{
    api::InstanceState out;
    out.setStatus(statusOf(state.guest));
    if (!state.root.empty() && (state.rootUsage || state.rootLimit))
        out.disk[state.root] = {numberOf(state.rootUsage), numberOf(state.rootLimit)};
    if (!state.guest)
        return out;
    out.pid = state.guest->initPid;
    out.startedAt = timeOf(state.guest->startedAt);
    out.processes = static_cast<std::int64_t>(state.usage.processes.value_or(0));
    out.cpu.usage = static_cast<std::int64_t>(state.usage.cpuNanoseconds.value_or(0));
    out.memory.usage = numberOf(state.usage.memory);
    out.memory.usagePeak = numberOf(state.usage.memoryPeak);
    out.memory.total = numberOf(state.usage.memoryLimit);
    out.memory.swapUsage = numberOf(state.usage.swap);
    out.memory.swapUsagePeak = numberOf(state.usage.swapPeak);
    out.network.emplace();
    for (const network::Interface &interface : state.interfaces)
        out.network->emplace(interface.name, nicState(interface));
    return out;
}

api::Image toApi(const store::Image &row)
{
    api::Image image;
    image.autoUpdate = row.autoUpdate;
    image.properties = row.properties;
    image.isPublic = row.isPublic;
    image.expiresAt = timeOf(row.expiresAt);
    image.profiles = row.profiles.empty() ? std::vector<std::string>{"default"} : row.profiles;
    for (const std::string &alias : row.aliases)
        image.aliases.push_back({alias, {}});
    image.architecture = row.architecture;
    image.cached = row.cached;
    image.filename = row.filename;
    if (row.origin && !row.origin->alias.empty())
        image.updateSource = api::ImageUpdateSource{row.origin->alias, row.origin->certificate, row.origin->protocol, row.origin->server, "container"};
    image.fingerprint = row.fingerprint;
    image.project = row.project;
    image.size = static_cast<std::int64_t>(row.size);
    image.createdAt = timeOf(row.createdAt);
    image.lastUsedAt = timeOf(row.lastUsedAt);
    image.uploadedAt = timeOf(row.uploadedAt);
    return image;
}

api::Profile toApi(const store::Profile &row)
{
    api::Profile profile;
    profile.name = row.name;
    profile.description = row.description;
    profile.config = row.config;
    profile.devices = row.devices;
    profile.project = row.project;
    for (const store::Profile::User &user : row.usedBy)
        profile.usedBy.push_back(urlOf("instances", user.instance, user.project));
    return profile;
}

std::string etagOf(const instances::Described &described)
{
    const store::Instance &row = described.row;
    api::Instance writable;
    writable.architecture = row.architecture;
    writable.config = row.config;
    writable.devices = row.devices;
    writable.ephemeral = row.ephemeral;
    writable.profiles = row.profiles;
    writable.description = row.description;
    return api::etagOf(api::toJson(writable));
}

} // namespace lxmgr::daemon

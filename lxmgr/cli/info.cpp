// info: one instance, the server, or what the machine has.
#include "api/instance_state.h"
#include "api/instances.h"
#include "api/snapshots.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/sheet.h"
#include "cli/yaml.h"

namespace lxmgr::cli
{

namespace
{

void describeDisks(Sheet &sheet, const api::InstanceState &state)
{
    bool disks = false;
    for (const auto &[name, disk] : state.disk)
        disks = disks || disk.usage > 0 || disk.total > 0;
    if (disks) {
        sheet.title(1, "Disk usage");
        for (const auto &[name, disk] : state.disk)
            sheet.line(2, name, sizeText(disk.usage) + (disk.total > 0 ? " of " + sizeText(disk.total) : ""));
    }
}

void describeUsage(Sheet &sheet, const api::InstanceState &state)
{
    sheet.line(1, "Processes", std::to_string(state.processes));
    describeDisks(sheet, state);
    sheet.title(1, "CPU usage");
    sheet.line(2, "CPU usage (in seconds)", std::to_string(state.cpu.usage / 1000000000));
    sheet.title(1, "Memory usage");
    sheet.line(2, "Memory (current)", sizeText(state.memory.usage));
    if (state.memory.usagePeak > 0)
        sheet.line(2, "Memory (peak)", sizeText(state.memory.usagePeak));
    if (state.memory.swapUsage > 0)
        sheet.line(2, "Swap (current)", sizeText(state.memory.swapUsage));
}

void describeNetwork(Sheet &sheet, const api::InstanceState &state)
{
    if (!state.network)
        return;
    sheet.title(1, "Network usage");
    for (const auto &[name, nic] : *state.network) {
        sheet.title(2, escaped(name));
        sheet.line(3, "Type", nic.type);
        sheet.line(3, "State", upper(nic.state));
        if (!nic.hostName.empty())
            sheet.line(3, "Host interface", nic.hostName);
        if (!nic.hwaddr.empty())
            sheet.line(3, "MAC address", nic.hwaddr);
        if (nic.mtu > 0)
            sheet.line(3, "MTU", std::to_string(nic.mtu));
        sheet.line(3, "Bytes received", sizeText(nic.counters.bytesReceived));
        sheet.line(3, "Bytes sent", sizeText(nic.counters.bytesSent));
        sheet.line(3, "Packets received", std::to_string(nic.counters.packetsReceived));
        sheet.line(3, "Packets sent", std::to_string(nic.counters.packetsSent));
        sheet.title(3, "IP addresses");
        for (const api::NetworkAddress &address : nic.addresses)
            sheet.line(4, address.family, address.address + "/" + address.netmask + " (" + address.scope + ")");
    }
}

std::string describe(const api::InstanceFull &instance)
{
    Sheet sheet;
    const bool running = instance.state && instance.status != "Stopped";
    sheet.line(0, "Name", instance.name);
    if (!instance.description.empty())
        sheet.line(0, "Description", instance.description);
    sheet.line(0, "Status", upperStatus(instance.status));
    sheet.line(0, "Type", instance.type + (instance.ephemeral ? " (ephemeral)" : ""));
    sheet.line(0, "Architecture", instance.architecture);
    if (running && instance.state->pid > 0)
        sheet.line(0, "PID", std::to_string(instance.state->pid));
    sheet.line(0, "Created", dateText(instance.createdAt));
    if (instance.lastUsedAt.isSet())
        sheet.line(0, "Last Used", dateText(instance.lastUsedAt));
    if (running) {
        sheet.title(0, "\nResources");
        describeUsage(sheet, *instance.state);
        describeNetwork(sheet, *instance.state);
    } else if (instance.state && !instance.state->disk.empty()) {
        sheet.title(0, "\nResources");
        describeDisks(sheet, *instance.state);
    }
    return sheet.text();
}

/// What listens for it, and where that leads. What stands against one, network doctor tells.
std::string proxyTable(const api::InstanceFull &instance)
{
    Table table{{"NAME", "LISTENS", "CONNECTS", "BY"}, {}};
    for (const auto &[name, device] : instance.expandedDevices) {
        if (valueOf(device, "type") != "proxy")
            continue;
        const bool inside = valueOf(device, "bind") == "instance" || valueOf(device, "bind") == "guest" || valueOf(device, "bind") == "container";
        const Result<bool> nat = parseBool(valueOf(device, "nat"));
        table.rows.push_back({name, valueOf(device, "listen") + (inside ? " (inside)" : ""), valueOf(device, "connect"),
                              nat && *nat ? "the firewall" : "a process"});
    }
    return table.rows.empty() ? std::string() : "\nProxies:\n" + render(table, {});
}

/// The table that `lxmgr snapshot list` prints.
std::string snapshotTable(const api::InstanceFull &instance)
{
    if (!instance.snapshots || instance.snapshots->empty())
        return std::string();
    Table table{{"NAME", "TAKEN AT", "EXPIRES AT"}, {}};
    for (const api::Snapshot &snapshot : *instance.snapshots)
        table.rows.push_back({snapshot.name, dateText(snapshot.createdAt), dateText(snapshot.expiresAt)});
    return "\nSnapshots:\n" + render(table, {});
}

/// What `lxmgr export list` prints of it.
std::string exportTable(const api::InstanceFull &instance)
{
    if (!instance.backups || instance.backups->empty())
        return std::string();
    Table table{{"NAME", "TAKEN AT", "EXPIRES AT", "SIZE"}, {}};
    for (const api::InstanceBackup &backup : *instance.backups)
        table.rows.push_back({backup.name, dateText(backup.createdAt), dateText(backup.expiresAt), sizeText(backup.size)});
    return "\nExports:\n" + render(table, {});
}

Status printLog(Context &context, const std::string &name)
{
    client::Request request;
    request.target = context.client().target(TRY(instancePath(name, "logs")) + "/lxc.log");
    context.print("\nLog:\n\n");
    request.sink = [&](const http::ResponseHead &) -> client::Sink {
        return [&](std::string_view piece) -> Status {
            context.print(piece);
            return {};
        };
    };
    const client::Response response = TRY(context.client().exchange(request));
    // Never started: there is no log, and that is no failure.
    if (response.head.status != 200 && response.head.status != 404)
        return client::refusal(response);
    return {};
}

Result<int> instanceInfo(Context &context, const Arguments &arguments, const std::string &name)
{
    const client::Answer answer = TRY(context.client().request("GET", TRY(instancePath(name)),
                                                               {
    },
                                                               {{"recursion", "1"}}));
    if (arguments.has("format")) {
        TRY(printObject(context, arguments, TRY(client::Client::parse<api::Json>(answer.metadata))));
        return 0;
    }
    const auto instance = TRY(client::Client::parse<api::InstanceFull>(answer.metadata));
    context.print(describe(instance));
    context.print(proxyTable(instance));
    context.print(snapshotTable(instance));
    context.print(exportTable(instance));
    if (arguments.has("show-log"))
        TRY(printLog(context, name));
    return 0;
}

} // namespace

Result<int> info(Context &context, const Arguments &arguments)
{
    const std::string name = arguments.word(0);
    if (!name.empty() && arguments.has("resources"))
        return Error(Code::Usage, "--resources is about the machine: leave the instance out");
    if (!name.empty())
        return instanceInfo(context, arguments, name);
    if (arguments.has("show-log"))
        return Error(Code::Usage, "--show-log needs an instance: lxmgr info <instance> --show-log");
    const std::string path = arguments.has("resources") ? "/1.0/resources" : "/1.0";
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(path))));
    return 0;
}

} // namespace lxmgr::cli

// network: managed bridges, the host's own interfaces beside them, and plugging instances and profiles in.
#include "api/instance_state.h"
#include "api/networks.h"
#include "api/types.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/device_holder.h"
#include "cli/editing.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/sheet.h"

namespace lxmgr::cli
{

namespace
{

using api::Network;
using api::NetworkLease;

constexpr std::string_view kNetworks = "/1.0/networks";
constexpr std::string_view kEditHelp =
    "# This is the configuration of a network. Lines that begin with '#' are left out.\n"
    "# Keys below 'config' and the description can be changed; guests stay connected meanwhile.\n";

std::string configValue(const Network &network, const std::string &key)
{
    const auto found = network.config.find(key);
    return found == network.config.end() ? std::string() : found->second;
}

// clang-format off
constexpr Column<Network> kNetworkColumns[] = {
    {'n', "NAME", "Its name.", [](const Network &n) { return n.name; }},
    {'t', "TYPE", "bridge, physical, loopback, ...", [](const Network &n) { return n.type; }},
    {'m', "MANAGED", "Whether lxmgr looks after it.", [](const Network &n) { return yesNo(n.managed); }},
    {'4', "IPV4", "Its address and range.", [](const Network &n) { return configValue(n, "ipv4.address"); }},
    {'6', "IPV6", "Its address and range.", [](const Network &n) { return configValue(n, "ipv6.address"); }},
    {'d', "DESCRIPTION", "What it is for.", [](const Network &n) { return n.description; }},
    {'u', "USED BY", "How many instances and profiles use it.", [](const Network &n) { return std::to_string(n.usedBy.size()); }},
    {'s', "STATE", "CREATED where it is managed, UNAVAILABLE where it could not be brought up.", [](const Network &n) { return upperStatus(n.status); }},
};
constexpr Column<NetworkLease> kLeaseColumns[] = {
    {'h', "HOSTNAME", "The guest's name.", [](const NetworkLease &l) { return l.hostname; }},
    {'m', "MAC ADDRESS", "Of its network card.", [](const NetworkLease &l) { return l.hwaddr; }},
    {'i', "IP ADDRESS", "What it was given.", [](const NetworkLease &l) { return l.address; }},
    {'t', "TYPE", "DYNAMIC, STATIC (as the device says) or GATEWAY (the bridge itself).", [](const NetworkLease &l) { return upper(l.type); }},
};
// clang-format on

std::string networkPath(const std::string &name) { return client::path(kNetworks, {name}); }

/// "[<device>] [<interface>]" after network and instance.
Status attach(Context &context, const Arguments &arguments, std::string_view collection)
{
    const auto network = TRY(context.client().get<Network>(networkPath(arguments.word(0))));
    const std::string device = arguments.word(2).empty() ? network.name : arguments.word(2);
    api::StringMap keys{{"type", "nic"}};
    if (network.managed) {
        keys["network"] = network.name;
    } else {
        keys["nictype"] = network.type == "bridge" ? "bridged" : "macvlan";
        keys["parent"] = network.name;
    }
    if (const std::string name = arguments.word(3); !name.empty())
        keys["name"] = name;
    DeviceHolder holder = TRY(DeviceHolder::fetch(context, collection, arguments.word(1)));
    TRY(holder.add(device, keys));
    TRY(holder.store(context));
    context.say("Device " + device + " added to " + arguments.word(1));
    return {};
}

Status detach(Context &context, const Arguments &arguments, std::string_view collection)
{
    const auto network = TRY(context.client().get<Network>(networkPath(arguments.word(0))));
    DeviceHolder holder = TRY(DeviceHolder::fetch(context, collection, arguments.word(1)));
    TRY(holder.remove("the network " + quoted(network.name),
                      {{"type", "nic"}, {network.managed ? "network" : "parent", network.name}}, arguments.word(2)));
    TRY(holder.store(context));
    context.say("Network " + network.name + " detached from " + arguments.word(1));
    return {};
}

/// How the host itself asks for the guests' names.
void describeNames(Sheet &sheet, const Network &network)
{
    const std::string own = configValue(network, network.config.contains("ipv4.address") && configValue(network, "ipv4.address") != "none"
                                                     ? "ipv4.address" : "ipv6.address");
    const std::string mode = configValue(network, "dns.mode");
    if (own.empty() || own == "none" || mode == "none")
        return;
    const std::string server = own.substr(0, own.find('/'));
    const std::string domain = network.config.contains("dns.domain") ? configValue(network, "dns.domain") : "lxmgr";
    sheet.title(0, "Names");
    sheet.line(1, "Domain", domain);
    sheet.line(1, "Server", server);
    sheet.line(1, "From this host", "resolvectl dns " + network.name + " " + server + "; resolvectl domain " + network.name + " '~" + domain + "'");
}

} // namespace

ColumnSet networkColumns() { return describe<Network>("network list", "ntm46dus", kNetworkColumns); }
ColumnSet leaseColumns() { return describe<NetworkLease>("network list-leases", "hmit", kLeaseColumns); }

Result<int> networkList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", std::string(kNetworks), {}, {{"recursion", "1"}}));
    TRY(printList<Network>(context, arguments, networkColumns(), kNetworkColumns, answer.metadata));
    return 0;
}

Result<int> networkListLeases(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", client::path(kNetworks, {arguments.word(0), "leases"})));
    TRY(printList<NetworkLease>(context, arguments, leaseColumns(), kLeaseColumns, answer.metadata));
    return 0;
}

Result<int> networkShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(networkPath(arguments.word(0))))));
    return 0;
}

Result<int> networkInfo(Context &context, const Arguments &arguments)
{
    const auto network = TRY(context.client().get<Network>(networkPath(arguments.word(0))));
    const auto state = TRY(context.client().get<api::NetworkState>(client::path(kNetworks, {arguments.word(0), "state"})));
    Sheet sheet;
    sheet.line(0, "Name", network.name);
    sheet.line(0, "MAC address", state.hwaddr);
    sheet.line(0, "MTU", std::to_string(state.mtu));
    sheet.line(0, "State", state.state);
    sheet.line(0, "Type", state.type);
    sheet.title(0, "IP addresses");
    for (const api::NetworkAddress &address : state.addresses)
        sheet.line(1, address.family, address.address + "/" + address.netmask + " (" + address.scope + ")");
    sheet.title(0, "Network usage");
    sheet.line(1, "Bytes received", sizeText(state.counters.bytesReceived));
    sheet.line(1, "Bytes sent", sizeText(state.counters.bytesSent));
    sheet.line(1, "Packets received", std::to_string(state.counters.packetsReceived));
    sheet.line(1, "Packets sent", std::to_string(state.counters.packetsSent));
    if (state.bridge) {
        sheet.title(0, "Bridge");
        sheet.line(1, "ID", state.bridge->id);
        sheet.line(1, "STP", state.bridge->stp ? "true" : "false");
        sheet.line(1, "Forward delay", std::to_string(state.bridge->forwardDelay));
        sheet.line(1, "Default VLAN ID", std::to_string(state.bridge->vlanDefault));
        sheet.line(1, "VLAN filtering", state.bridge->vlanFiltering ? "true" : "false");
        sheet.line(1, "Upper devices", join(state.bridge->upperDevices, ", "));
    }
    if (network.managed)
        describeNames(sheet, network);
    context.print(sheet.text());
    return 0;
}

Result<int> networkCreate(Context &context, const Arguments &arguments)
{
    api::NetworkPut post;
    post.name = arguments.word(0);
    post.type = arguments.value("type", "bridge");
    if (arguments.has("description"))
        post.description = arguments.value("description", "");
    post.config.emplace();
    for (const std::string &word : std::span(arguments.words).subspan(1)) {
        const KeyValue pair = TRY(keyValue(word));
        (*post.config)[pair.key] = pair.value;
    }
    TRY(context.client().request("POST", std::string(kNetworks), api::toJson(post)));
    context.say("Network " + post.name + " created");
    return 0;
}

Result<int> networkGet(Context &context, const Arguments &arguments)
{
    TRY(getKey(context, arguments, networkPath(arguments.word(0)), arguments.word(1)));
    return 0;
}
Result<int> networkSet(Context &context, const Arguments &arguments)
{
    TRY(setKeys(context, arguments, networkPath(arguments.word(0)), std::span(arguments.words).subspan(1)));
    return 0;
}
Result<int> networkUnset(Context &context, const Arguments &arguments)
{
    TRY(unsetKeys(context, arguments, networkPath(arguments.word(0)), arguments.word(0), std::span(arguments.words).subspan(1)));
    return 0;
}
Result<int> networkEdit(Context &context, const Arguments &arguments)
{
    TRY(editKeys(context, networkPath(arguments.word(0)), kEditHelp));
    return 0;
}

Result<int> networkRename(Context &context, const Arguments &arguments)
{
    api::NetworkPut post;
    post.name = arguments.word(1);
    TRY(context.client().request("POST", networkPath(arguments.word(0)), api::toJson(post)));
    context.say("Network " + arguments.word(0) + " renamed to " + post.name);
    return 0;
}

Result<int> networkDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &name : arguments.words) {
        TRY(context.client().request("DELETE", networkPath(name)));
        context.say("Network " + name + " deleted");
    }
    return 0;
}

Result<int> networkAttach(Context &context, const Arguments &arguments)
{
    TRY(instancePath(arguments.word(1)));
    TRY(attach(context, arguments, "/1.0/instances"));
    return 0;
}
Result<int> networkAttachProfile(Context &context, const Arguments &arguments)
{
    TRY(attach(context, arguments, "/1.0/profiles"));
    return 0;
}
Result<int> networkDetach(Context &context, const Arguments &arguments)
{
    TRY(instancePath(arguments.word(1)));
    TRY(detach(context, arguments, "/1.0/instances"));
    return 0;
}
Result<int> networkDetachProfile(Context &context, const Arguments &arguments)
{
    TRY(detach(context, arguments, "/1.0/profiles"));
    return 0;
}

} // namespace lxmgr::cli

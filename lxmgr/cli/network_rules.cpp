// network forward, network acl, network doctor.
#include "api/network_rules.h"
#include "api/networks.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/editing.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/sheet.h"

#include <algorithm>

namespace lxmgr::cli
{

namespace
{

using api::NetworkAcl;
using api::NetworkForward;
using api::NetworkProblem;

constexpr std::string_view kNetworks = "/1.0/networks";
constexpr std::string_view kAcls = "/1.0/network-acls";
constexpr std::string_view kForwardHelp =
    "# This is a forward of a network. Lines that begin with '#' are left out.\n"
    "# ports: a list of protocol, listen_port, target_address, target_port and description.\n";
constexpr std::string_view kAclHelp =
    "# This is an access control list. Lines that begin with '#' are left out.\n"
    "# ingress and egress: lists of action, state, source, destination, protocol, source_port,\n"
    "# destination_port, icmp_type, icmp_code and description.\n";

// clang-format off
constexpr Column<NetworkForward> kForwardColumns[] = {
    {'l', "LISTEN ADDRESS", "Where it takes packets from.", [](const NetworkForward &f) { return f.listenAddress; }},
    {'d', "DESCRIPTION", "What it is for.", [](const NetworkForward &f) { return f.description; }},
    {'D', "DEFAULT TARGET ADDRESS", "Where ports go that are not listed.", [](const NetworkForward &f) { return valueOf(f.config, "target_address"); }},
    {'p', "PORTS", "How many entries it has.", [](const NetworkForward &f) { return std::to_string(f.ports.size()); }},
};
constexpr Column<NetworkAcl> kAclColumns[] = {
    {'n', "NAME", "Its name.", [](const NetworkAcl &a) { return a.name; }},
    {'d', "DESCRIPTION", "What it is for.", [](const NetworkAcl &a) { return a.description; }},
    {'u', "USED BY", "How many networks use it.", [](const NetworkAcl &a) { return std::to_string(a.usedBy.size()); }},
};
// clang-format on

std::string forwardPath(const Arguments &arguments)
{
    return client::path(kNetworks, {arguments.word(0), "forwards", arguments.word(1)});
}
std::string aclPath(const Arguments &arguments) { return client::path(kAcls, {arguments.word(0)}); }

Result<std::map<std::string, std::string>> pairsOf(std::span<const std::string> words)
{
    std::map<std::string, std::string> pairs;
    for (const std::string &word : words) {
        KeyValue pair = TRY(keyValue(word));
        pairs[pair.key] = std::move(pair.value);
    }
    return pairs;
}

/// Written back whole, guarded by its ETag.
Status putRows(Context &context, const std::string &path, Versioned now, std::string_view field, const api::Rows &rows)
{
    api::Json document = api::Json::object();
    for (const std::string_view kept : {"config", "description", "ports", "ingress", "egress"})
        if (const api::Json *value = now.object.find(kept))
            document[kept] = *value;
    api::Json list = api::Json::array();
    for (const auto &row : rows) {
        api::Json item = api::Json::object();
        for (const auto &[key, value] : row)
            item[key] = value;
        list.append(std::move(item));
    }
    document[field] = std::move(list);
    return put(context, path, document, now.etag);
}

bool matches(const std::map<std::string, std::string> &row, const std::map<std::string, std::string> &wanted)
{
    return std::ranges::all_of(wanted, [&](const auto &pair) { return valueOf(row, pair.first) == pair.second; });
}

/// Removes the row that has all of `wanted`; several with --force only.
Status removeRows(const Arguments &arguments, api::Rows &rows, const std::map<std::string, std::string> &wanted, const std::string &what)
{
    const auto count = std::ranges::count_if(rows, [&](const auto &row) { return matches(row, wanted); });
    if (count == 0)
        return Error(Code::NotFound, "No " + what + " has that");
    if (count > 1 && !arguments.has("force"))
        return Error(Code::Usage, std::to_string(count) + " " + what + "s have that; say more, or --force for all of them");
    std::erase_if(rows, [&](const auto &row) { return matches(row, wanted); });
    return {};
}

} // namespace

ColumnSet forwardColumns() { return describe<NetworkForward>("network forward list", "ldDp", kForwardColumns); }
ColumnSet aclColumns() { return describe<NetworkAcl>("network acl list", "ndu", kAclColumns); }

Result<int> forwardList(Context &context, const Arguments &arguments)
{
    const client::Answer answer =
        TRY(context.client().request("GET", client::path(kNetworks, {arguments.word(0), "forwards"}), {}, {{"recursion", "1"}}));
    TRY(printList<NetworkForward>(context, arguments, forwardColumns(), kForwardColumns, answer.metadata));
    return 0;
}
Result<int> forwardShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(forwardPath(arguments)))));
    return 0;
}
Result<int> forwardCreate(Context &context, const Arguments &arguments)
{
    api::NetworkForwardPut post;
    post.listenAddress = arguments.word(1);
    if (arguments.has("description"))
        post.description = arguments.value("description", "");
    post.config = TRY(pairsOf(std::span(arguments.words).subspan(2)));
    TRY(context.client().request("POST", client::path(kNetworks, {arguments.word(0), "forwards"}), api::toJson(post)));
    context.say("Network forward " + post.listenAddress + " created");
    return 0;
}
Result<int> forwardGet(Context &context, const Arguments &arguments)
{
    TRY(getKey(context, arguments, forwardPath(arguments), arguments.word(2)));
    return 0;
}
Result<int> forwardSet(Context &context, const Arguments &arguments)
{
    TRY(setKeys(context, arguments, forwardPath(arguments), std::span(arguments.words).subspan(2)));
    return 0;
}
Result<int> forwardUnset(Context &context, const Arguments &arguments)
{
    TRY(unsetKeys(context, arguments, forwardPath(arguments), arguments.word(1), std::span(arguments.words).subspan(2)));
    return 0;
}
Result<int> forwardEdit(Context &context, const Arguments &arguments)
{
    TRY(editKeys(context, forwardPath(arguments), kForwardHelp));
    return 0;
}
Result<int> forwardDelete(Context &context, const Arguments &arguments)
{
    TRY(context.client().request("DELETE", forwardPath(arguments)));
    context.say("Network forward " + arguments.word(1) + " deleted");
    return 0;
}

Result<int> forwardPortAdd(Context &context, const Arguments &arguments)
{
    Versioned now = TRY(fetch(context, forwardPath(arguments)));
    api::Rows ports = TRY(context.client().get<NetworkForward>(forwardPath(arguments))).ports;
    ports.push_back({{"protocol", arguments.word(2)},       {"listen_port", arguments.word(3)}, {"target_address", arguments.word(4)},
                     {"target_port", arguments.word(5)},    {"description", arguments.value("description", "")}});
    TRY(putRows(context, forwardPath(arguments), std::move(now), "ports", ports));
    return 0;
}
Result<int> forwardPortRemove(Context &context, const Arguments &arguments)
{
    Versioned now = TRY(fetch(context, forwardPath(arguments)));
    api::Rows ports = TRY(context.client().get<NetworkForward>(forwardPath(arguments))).ports;
    std::map<std::string, std::string> wanted;
    if (!arguments.word(2).empty())
        wanted["protocol"] = arguments.word(2);
    if (!arguments.word(3).empty())
        wanted["listen_port"] = arguments.word(3);
    TRY(removeRows(arguments, ports, wanted, "port"));
    TRY(putRows(context, forwardPath(arguments), std::move(now), "ports", ports));
    return 0;
}

Result<int> aclList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", std::string(kAcls), {}, {{"recursion", "1"}}));
    TRY(printList<NetworkAcl>(context, arguments, aclColumns(), kAclColumns, answer.metadata));
    return 0;
}
Result<int> aclShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(aclPath(arguments)))));
    return 0;
}
Result<int> aclCreate(Context &context, const Arguments &arguments)
{
    api::NetworkAclPut post;
    post.name = arguments.word(0);
    if (arguments.has("description"))
        post.description = arguments.value("description", "");
    post.config = TRY(pairsOf(std::span(arguments.words).subspan(1)));
    TRY(context.client().request("POST", std::string(kAcls), api::toJson(post)));
    context.say("Network ACL " + post.name + " created");
    return 0;
}
Result<int> aclGet(Context &context, const Arguments &arguments)
{
    TRY(getKey(context, arguments, aclPath(arguments), arguments.word(1)));
    return 0;
}
Result<int> aclSet(Context &context, const Arguments &arguments)
{
    TRY(setKeys(context, arguments, aclPath(arguments), std::span(arguments.words).subspan(1)));
    return 0;
}
Result<int> aclUnset(Context &context, const Arguments &arguments)
{
    TRY(unsetKeys(context, arguments, aclPath(arguments), arguments.word(0), std::span(arguments.words).subspan(1)));
    return 0;
}
Result<int> aclEdit(Context &context, const Arguments &arguments)
{
    TRY(editKeys(context, aclPath(arguments), kAclHelp));
    return 0;
}
Result<int> aclRename(Context &context, const Arguments &arguments)
{
    api::NetworkAclPut post;
    post.name = arguments.word(1);
    TRY(context.client().request("POST", aclPath(arguments), api::toJson(post)));
    context.say("Network ACL " + arguments.word(0) + " renamed to " + post.name);
    return 0;
}
/// The kernel's log is one for all: nothing sorts by list and tenant what is in it.
Result<int> aclShowLog(Context &context, const Arguments &arguments)
{
    TRY(context.client().get<api::Json>(aclPath(arguments)));
    return Error(Code::Unsupported, "network acl show-log is not supported by this version: what rules with state=logged tell "
                                   "goes to the host's kernel log")
        .hint("on the host: journalctl -k --grep 'lxmgr acl " + arguments.word(0) + ":', or dmesg");
}

Result<int> aclDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &name : arguments.words) {
        TRY(context.client().request("DELETE", client::path(kAcls, {name})));
        context.say("Network ACL " + name + " deleted");
    }
    return 0;
}

namespace
{

Status checkDirection(const std::string &direction)
{
    if (direction == "ingress" || direction == "egress")
        return {};
    return Error(Code::Usage, quoted(direction) + " is not one of ingress, egress");
}

} // namespace

Result<int> aclRuleAdd(Context &context, const Arguments &arguments)
{
    TRY(checkDirection(arguments.word(1)));
    Versioned now = TRY(fetch(context, aclPath(arguments)));
    NetworkAcl acl = TRY(context.client().get<NetworkAcl>(aclPath(arguments)));
    api::Rows &rules = arguments.word(1) == "ingress" ? acl.ingress : acl.egress;
    rules.push_back(TRY(pairsOf(std::span(arguments.words).subspan(2))));
    TRY(putRows(context, aclPath(arguments), std::move(now), arguments.word(1), rules));
    return 0;
}
Result<int> aclRuleRemove(Context &context, const Arguments &arguments)
{
    TRY(checkDirection(arguments.word(1)));
    Versioned now = TRY(fetch(context, aclPath(arguments)));
    NetworkAcl acl = TRY(context.client().get<NetworkAcl>(aclPath(arguments)));
    api::Rows &rules = arguments.word(1) == "ingress" ? acl.ingress : acl.egress;
    TRY(removeRows(arguments, rules, TRY(pairsOf(std::span(arguments.words).subspan(2))), "rule"));
    TRY(putRows(context, aclPath(arguments), std::move(now), arguments.word(1), rules));
    return 0;
}

/// Exit status 1 where something was found, as a check in a script wants it.
Result<int> networkDoctor(Context &context, const Arguments &arguments)
{
    const FormatChoice choice = TRY(parseFormat(arguments.value("format", "table")));
    std::vector<std::string> names(arguments.words.begin(), arguments.words.end());
    if (names.empty())
        for (const api::Network &network : TRY(context.client().get<std::vector<api::Network>>(std::string(kNetworks), {{"recursion", "1"}})))
            if (network.managed)
                names.push_back(network.name);
    Table table{{"NETWORK", "WHAT", "CAUSE", "CURE"}, {}};
    std::string text;
    for (const std::string &name : names) {
        const auto problems = TRY(context.client().get<std::vector<NetworkProblem>>(client::path("/1.0/lxmgr/networks", {name, "doctor"})));
        Sheet sheet;
        sheet.line(0, name, problems.empty() ? "nothing found that keeps guests from anything" : "");
        for (const NetworkProblem &problem : problems) {
            sheet.line(1, "- What", problem.what);
            sheet.line(2, "Cause", problem.cause);
            sheet.line(2, "Cure", problem.cure);
            table.rows.push_back({name, problem.what, problem.cause, problem.cure});
        }
        text += sheet.text();
    }
    if (choice.format == Format::Json || choice.format == Format::Yaml) {
        api::Json list = api::Json::array();
        for (const std::vector<std::string> &row : table.rows) {
            api::Json item = api::Json::object();
            item["network"] = row[0];
            item["what"] = row[1];
            item["cause"] = row[2];
            item["cure"] = row[3];
            list.append(std::move(item));
        }
        TRY(printJson(context, choice.format, list.dump()));
    } else {
        context.print(choice.format == Format::Csv ? render(table, choice) : text);
    }
    return table.rows.empty() ? 0 : 1;
}

} // namespace lxmgr::cli

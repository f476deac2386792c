// list: instances as a table, narrowed by filters.
#include "api/instance_state.h"
#include "api/instances.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/terminal.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <regex.h>

namespace lxmgr::cli
{

namespace
{

using api::InstanceFull;

std::string configValue(const InstanceFull &instance, const std::string &key)
{
    const auto found = instance.expandedConfig.find(key);
    return found == instance.expandedConfig.end() ? std::string() : found->second;
}

/// Addresses that others can reach, one a line, the interface behind each.
std::string addresses(const InstanceFull &instance, std::string_view family)
{
    std::string cell;
    if (!instance.state || !instance.state->network || instance.status == "Stopped")
        return cell;
    for (const auto &[name, nic] : *instance.state->network) {
        if (nic.type == "loopback")
            continue;
        for (const api::NetworkAddress &address : nic.addresses)
            if (address.family == family && address.scope != "link" && address.scope != "local")
                cell.append(cell.empty() ? "" : "\n").append(address.address + " (" + name + ")");
    }
    return cell;
}

std::string rootPool(const InstanceFull &instance)
{
    for (const auto &[name, device] : instance.expandedDevices) {
        const auto path = device.find("path");
        const auto pool = device.find("pool");
        if (path != device.end() && path->second == "/" && pool != device.end())
            return pool->second;
    }
    return {};
}

std::string memoryShare(const InstanceFull &instance)
{
    const Result<Bytes> limit = parseBytes(configValue(instance, "limits.memory"));
    if (!instance.state || !limit || limit->count == 0)
        return {};
    char text[16];
    std::snprintf(text, sizeof text, "%.1f%%",
                  100.0 * static_cast<double>(instance.state->memory.usage) / static_cast<double>(limit->count));
    return text;
}

std::string whenRunning(const InstanceFull &instance, std::string text)
{
    return instance.state && instance.status != "Stopped" ? std::move(text) : std::string();
}

std::string diskUsage(const InstanceFull &instance)
{
    if (!instance.state)
        return {};
    const auto root = instance.state->disk.find("root");
    return root == instance.state->disk.end() || root->second.usage <= 0 ? std::string() : sizeText(root->second.usage);
}

// clang-format off
constexpr Column<InstanceFull> kColumns[] = {
    {'4', "IPV4", "IPv4 addresses.", [](const InstanceFull &i) { return addresses(i, "inet"); }},
    {'6', "IPV6", "IPv6 addresses.", [](const InstanceFull &i) { return addresses(i, "inet6"); }},
    {'a', "ARCHITECTURE", "Its processor.", [](const InstanceFull &i) { return i.architecture; }},
    {'b', "STORAGE POOL", "Where its root disk lies.", [](const InstanceFull &i) { return rootPool(i); }},
    {'c', "CREATED AT", "When it was created.", [](const InstanceFull &i) { return dateText(i.createdAt); }},
    {'d', "DESCRIPTION", "What it is for.", [](const InstanceFull &i) { return i.description; }},
    {'D', "DISK USAGE", "What its root disk takes.", [](const InstanceFull &i) { return diskUsage(i); }},
    {'e', "PROJECT", "Its project.", [](const InstanceFull &i) { return i.project; }},
    {'f', "BASE IMAGE", "The image it was made from, short.", [](const InstanceFull &i) { return configValue(i, "volatile.base_image").substr(0, 12); }},
    {'F', "BASE IMAGE", "The image it was made from.", [](const InstanceFull &i) { return configValue(i, "volatile.base_image"); }},
    {'l', "LAST USED AT", "When it was started last.", [](const InstanceFull &i) { return dateText(i.lastUsedAt); }},
    {'L', "LOCATION", "The machine it is on.", [](const InstanceFull &i) { return i.location; }},
    {'m', "MEMORY USAGE", "Memory in use.", [](const InstanceFull &i) { return whenRunning(i, i.state ? sizeText(i.state->memory.usage) : ""); }},
    {'M', "MEMORY USAGE%", "The same as a share of limits.memory.", [](const InstanceFull &i) { return whenRunning(i, memoryShare(i)); }},
    {'n', "NAME", "Its name.", [](const InstanceFull &i) { return i.name; }},
    {'N', "PROCESSES", "How many processes it has.", [](const InstanceFull &i) { return whenRunning(i, i.state ? std::to_string(i.state->processes) : ""); }},
    {'p', "PID", "Its first process, as the host sees it.", [](const InstanceFull &i) { return whenRunning(i, i.state ? std::to_string(i.state->pid) : ""); }},
    {'P', "PROFILES", "Its profiles.", [](const InstanceFull &i) { return join(i.profiles, "\n"); }},
    {'s', "STATE", "RUNNING, STOPPED, FROZEN, ...", [](const InstanceFull &i) { return upperStatus(i.status); }},
    {'S', "SNAPSHOTS", "How many snapshots it has.", [](const InstanceFull &i) { return std::to_string(i.snapshots ? i.snapshots->size() : 0); }},
    {'t', "TYPE", "CONTAINER, with (EPHEMERAL) behind it.", [](const InstanceFull &i) { return upper(i.type) + (i.ephemeral ? " (EPHEMERAL)" : ""); }},
    {'u', "CPU USAGE", "Processor time used since its start.", [](const InstanceFull &i) { return whenRunning(i, i.state ? std::to_string(i.state->cpu.usage / 1000000000) + "s" : ""); }},
};
// clang-format on

constexpr std::string_view kStandard = "ns46tS";
constexpr std::string_view kFast = "nsacPt";

/// What the cells of a column are made of: members of an instance.
struct Source {
    char letter;
    std::string_view members;
};
constexpr Source kSources[] = {
    {'4', "state"},
    {'6', "state"},
    {'D', "state"},
    {'F', "expanded_config"},
    {'L', "location"},
    {'M', "state,expanded_config"},
    {'N', "state"},
    {'P', "profiles"},
    {'S', "snapshots"},
    {'a', "architecture"},
    {'b', "expanded_devices"},
    {'c', "created_at"},
    {'d', "description"},
    {'e', "project"},
    {'f', "expanded_config"},
    {'l', "last_used_at"},
    {'m', "state"},
    {'n', "name"},
    {'p', "state"},
    {'s', "status"},
    {'t', "type,ephemeral"},
    {'u', "state"},
};
static_assert(std::ranges::all_of(kColumns, [](const Column<InstanceFull> &column) {
    return std::ranges::find(kSources, column.letter, &Source::letter) != std::end(kSources);
}));
constexpr std::string_view kAlways = "name,status,project"; ///< To sort by, and to know what there is to show.

/// A column as the user asked for it: one of the table's, or a key of the configuration or of a device.
struct Picked {
    const Column<InstanceFull> *column = nullptr;
    std::string key;
    std::string title;
    std::optional<std::size_t> width;
};

std::string keyCell(const InstanceFull &instance, const std::string &key)
{
    if (!key.starts_with("devices:"))
        return configValue(instance, key);
    const std::string rest = key.substr(8);
    const std::size_t dot = rest.find('.');
    const auto device = instance.expandedDevices.find(rest.substr(0, dot));
    if (device == instance.expandedDevices.end() || dot == std::string::npos)
        return {};
    const auto value = device->second.find(rest.substr(dot + 1));
    return value == device->second.end() ? std::string() : value->second;
}

/// "limits.memory:MEMORY:8", "devices:eth0.network"
Result<Picked> keyColumn(const std::string &text)
{
    const bool device = text.starts_with("devices:");
    const std::vector<std::string> parts = split(device ? std::string_view(text).substr(8) : text, ':');
    Picked picked;
    picked.key = (device ? "devices:" : "") + parts[0];
    picked.title = parts.size() > 1 && !parts[1].empty() ? parts[1] : upper(join(split(parts[0], '.'), " "));
    if (parts.size() > 2) {
        const std::uint64_t width = TRY_IN("column " + quoted(text), parseUnsigned(parts[2], 0, 1000));
        picked.width = width == 0 ? displayWidth(picked.title) : width;
    }
    return picked;
}

/// Letters, keys (they have a period), or both with commas between.
Result<std::vector<Picked>> pickColumns(const std::string &text)
{
    std::vector<Picked> picked;
    for (const std::string &part : split(text, ',')) {
        if (part.find('.') != std::string::npos) {
            picked.push_back(TRY(keyColumn(part)));
            continue;
        }
        for (const char letter : part) {
            const auto *const column = std::ranges::find(kColumns, letter, &Column<InstanceFull>::letter);
            if (column == std::end(kColumns))
                return unknownColumn(letter, instanceColumns());
            picked.push_back({column, {}, std::string(column->title), {}});
        }
    }
    return picked;
}

Table tableOf(const std::vector<InstanceFull> &instances, const std::vector<Picked> &picked)
{
    Table table;
    for (const Picked &column : picked)
        table.headers.push_back(column.title);
    for (const InstanceFull &instance : instances) {
        std::vector<std::string> &row = table.rows.emplace_back();
        for (const Picked &column : picked) {
            std::string cell = column.column ? column.column->cell(instance) : keyCell(instance, column.key);
            row.push_back(column.width ? clipped(cell, *column.width) : std::move(cell));
        }
    }
    return table;
}

/// Whether `text` matches the whole of `pattern`, or is the same where that is no regular expression. Case does not
/// count.
bool matches(const std::string &pattern, const std::string &text, std::string_view end)
{
    regex_t expression;
    const std::string anchored = "^(" + pattern + ")" + std::string(end);
    if (::regcomp(&expression, anchored.c_str(), REG_EXTENDED | REG_NOSUB | REG_ICASE) != 0)
        return lower(text) == lower(pattern);
    const bool found = ::regexec(&expression, text.c_str(), 0, nullptr, 0) == 0;
    ::regfree(&expression);
    return found;
}

bool inNetwork(const std::string &address, const std::string &network, int family)
{
    const std::size_t slash = network.find('/');
    std::array<unsigned char, 16> one{};
    std::array<unsigned char, 16> other{};
    if (::inet_pton(family, address.c_str(), one.data()) != 1 ||
        ::inet_pton(family, network.substr(0, slash).c_str(), other.data()) != 1)
        return false;
    const std::size_t most = family == AF_INET ? 32 : 128;
    const Result<std::uint64_t> bits =
        slash == std::string::npos ? Result<std::uint64_t>(most) : parseUnsigned(network.substr(slash + 1), 0, most);
    if (!bits)
        return false;
    for (std::size_t bit = 0; bit < *bits; ++bit)
        if (((one[bit / 8] ^ other[bit / 8]) >> (7 - bit % 8)) & 1)
            return false;
    return true;
}

bool hasAddressIn(const InstanceFull &instance, const std::string &network, int family)
{
    for (const std::string &line : split(addresses(instance, family == AF_INET ? "inet" : "inet6"), '\n'))
        if (inNetwork(line.substr(0, line.find(' ')), network, family))
            return true;
    return false;
}

/// "u.team" for "user.team": each part of a key may be shortened.
bool keyFits(const std::string &shortened, const std::string &key)
{
    const std::vector<std::string> left = split(shortened, '.');
    const std::vector<std::string> right = split(key, '.');
    if (left.size() != right.size())
        return false;
    for (std::size_t i = 0; i < left.size(); ++i)
        if (i + 1 < left.size() ? !right[i].starts_with(left[i]) : right[i] != left[i])
            return false;
    return true;
}

bool passes(const InstanceFull &instance, const std::string &filter)
{
    const std::size_t equals = filter.find('=');
    if (equals == std::string::npos)
        return matches(filter, instance.name, "");
    const std::string key = filter.substr(0, equals);
    const std::string value = filter.substr(equals + 1);
    if (key == "ipv4" || key == "ipv6")
        return hasAddressIn(instance, value, key == "ipv4" ? AF_INET : AF_INET6);
    const std::pair<std::string_view, const std::string *> fields[] = {
        {"name", &instance.name},           {"status", &instance.status},     {"state", &instance.status},
        {"type", &instance.type},           {"project", &instance.project},   {"architecture", &instance.architecture},
        {"location", &instance.location},   {"description", &instance.description},
    };
    for (const auto &[name, text] : fields)
        if (name == key)
            return matches(value, *text, "$");
    for (const auto &[name, text] : instance.expandedConfig)
        if (keyFits(key, name) && matches(value, text, "$"))
            return true;
    return false;
}

bool passesAll(const InstanceFull &instance, const std::vector<std::string> &filters)
{
    return std::ranges::all_of(filters, [&](const std::string &filter) { return passes(instance, filter); });
}

/// The elements of the daemon's list that pass, as it sent them.
Result<std::string> narrowed(const std::string &metadata, const std::vector<std::string> &filters)
{
    if (filters.empty())
        return metadata;
    const api::Json all = TRY(client::Client::parse<api::Json>(metadata));
    const std::vector<InstanceFull> instances = TRY(client::Client::parse<std::vector<InstanceFull>>(metadata));
    api::Json kept = api::Json::array();
    for (std::size_t i = 0; i < instances.size(); ++i)
        if (passesAll(instances[i], filters))
            kept.append((*all.asArray())[i]);
    return kept.dump();
}

/// The members that columns and filters look at.
api::Wanted membersFor(const std::vector<Picked> &picked, const std::vector<std::string> &filters)
{
    api::Wanted members;
    const auto add = [&](std::string_view names) {
        for (std::string &name : split(names, ','))
            members.insert(std::move(name));
    };
    add(kAlways);
    for (const Picked &one : picked) {
        if (one.column)
            add(std::ranges::find(kSources, one.column->letter, &Source::letter)->members);
        else
            add(one.key.starts_with("devices:") ? "expanded_devices" : "expanded_config");
    }
    for (const std::string &filter : filters) // by a key, which may be any
        if (filter.find('=') != std::string::npos)
            add("state,type,architecture,location,description,expanded_config");
    return members;
}

} // namespace

ColumnSet instanceColumns() { return describe<InstanceFull>("list", kStandard, kColumns); }

Result<int> listInstances(Context &context, const Arguments &arguments)
{
    const FormatChoice choice = TRY(parseFormat(arguments.value("format", "table")));
    const bool all = arguments.has("all-projects");
    const std::string standard = arguments.has("fast") ? std::string(kFast) : (all ? "e" : "") + std::string(kStandard);
    const std::vector<Picked> picked = TRY(pickColumns(arguments.value("columns", standard)));
    const bool raw = choice.format == Format::Json || choice.format == Format::Yaml;
    const api::Wanted members = membersFor(picked, arguments.words);
    const bool full = (members.contains("state") || members.contains("snapshots")) && !(raw && arguments.has("fast"));

    client::Parameters parameters{{"recursion", full ? "2" : "1"}};
    if (!raw)
        parameters.emplace_back("fields", join(std::vector(members.begin(), members.end()), ","));
    if (all)
        parameters.emplace_back("all-projects", "true");
    const client::Answer answer = TRY(context.client().request("GET", "/1.0/instances", {}, parameters));
    if (raw) {
        TRY(printJson(context, choice.format, TRY(narrowed(answer.metadata, arguments.words))));
        return 0;
    }
    std::vector<InstanceFull> instances = TRY(client::Client::parse<std::vector<InstanceFull>>(answer.metadata));
    std::erase_if(instances, [&](const InstanceFull &instance) { return !passesAll(instance, arguments.words); });
    std::ranges::stable_sort(instances, [](const InstanceFull &a, const InstanceFull &b) {
        return a.project != b.project ? a.project < b.project : naturalLess(a.name, b.name);
    });
    context.print(render(tableOf(instances, picked), choice));
    return 0;
}

} // namespace lxmgr::cli

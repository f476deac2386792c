// project create, list, show, get, set, unset, edit, rename, delete, info.
#include "api/projects.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/editing.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"

namespace lxmgr::cli
{

namespace
{

using api::Project;

constexpr std::string_view kProjects = "/1.0/projects";
constexpr std::string_view kEditHelp = "# A project. Lines that begin with '#' are left out.\n"
                                       "# restricted: \"true\" keeps its instances away from the host; lxmgr-config(5) lists the keys.\n";

std::size_t count(const Project &project, std::string_view collection)
{
    const std::string start = "/1.0/" + std::string(collection) + "/";
    return static_cast<std::size_t>(std::ranges::count_if(project.usedBy, [&](const std::string &url) { return url.starts_with(start); }));
}

std::string keyOf(const Project &project, const std::string &key, const char *otherwise)
{
    const auto found = project.config.find(key);
    return found == project.config.end() || found->second.empty() ? otherwise : found->second;
}

// clang-format off
constexpr Column<Project> kColumns[] = {
    {'n', "NAME", "Its name.", [](const Project &p) { return p.name; }},
    {'d', "DESCRIPTION", "What was said of it.", [](const Project &p) { return p.description; }},
    {'r', "RESTRICTED", "Whether its instances are kept away from the host.", [](const Project &p) { return yesNo(keyOf(p, "restricted", "false") == "true"); }},
    {'i', "INSTANCES", "How many it has.", [](const Project &p) { return std::to_string(count(p, "instances")); }},
    {'p', "PROFILES", "How many it has.", [](const Project &p) { return std::to_string(count(p, "profiles")); }},
    {'m', "IMAGES", "How many it has.", [](const Project &p) { return std::to_string(count(p, "images")); }},
    {'v', "VOLUMES", "How many custom volumes it has.", [](const Project &p) { return std::to_string(count(p, "storage-pools")); }},
    {'u', "USED BY", "How much lies in it.", [](const Project &p) { return std::to_string(p.usedBy.size()); }},
};
// clang-format on

/// A row of what 'project info' tells.
struct Resource {
    std::string name;
    std::int64_t limit = -1, usage = 0;

    std::string text(std::int64_t amount) const
    {
        const bool bytes = name == "memory" || name.starts_with("disk");
        return bytes ? humanBytes(Bytes{static_cast<std::uint64_t>(amount)}) : std::to_string(amount);
    }
};

// clang-format off
constexpr Column<Resource> kResourceColumns[] = {
    {'r', "RESOURCE", "What of: its key is limits.<resource>.", [](const Resource &r) { return r.name; }},
    {'l', "LIMIT", "The most it may have.", [](const Resource &r) { return r.limit < 0 ? "UNLIMITED" : r.text(r.limit); }},
    {'u', "USAGE", "What its instances and volumes may take by their own limits.", [](const Resource &r) { return r.text(r.usage); }},
};
// clang-format on

std::string pathOf(const std::string &name) { return client::path(kProjects, {name}); }

} // namespace

ColumnSet projectResourceColumns() { return describe<Resource>("project info", "rlu", kResourceColumns); }

ColumnSet projectColumns() { return describe<Project>("project list", "nrimvpd", kColumns); }

Result<int> projectCreate(Context &context, const Arguments &arguments)
{
    api::Json document = api::Json::object();
    document["name"] = arguments.word(0);
    document["description"] = arguments.value("description", "");
    document["config"] = api::Json::object();
    std::vector<std::string> pairs = arguments.values("config");
    pairs.insert(pairs.end(), arguments.words.begin() + 1, arguments.words.end());
    for (const std::string &word : pairs) {
        const KeyValue pair = TRY(keyValue(word));
        document["config"][pair.key] = pair.value;
    }
    TRY(context.client().request("POST", std::string(kProjects), document.dump()));
    context.say("Project " + arguments.word(0) + " created");
    return 0;
}

Result<int> projectList(Context &context, const Arguments &arguments)
{
    context.client().setProject({}); // as in projectSwitch()
    const client::Answer answer = TRY(context.client().request("GET", std::string(kProjects), {}, {{"recursion", "1"}}));
    TRY(printList<Project>(context, arguments, projectColumns(), kColumns, answer.metadata));
    return 0;
}

Result<int> projectShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(pathOf(arguments.word(0))))));
    return 0;
}

Result<int> projectInfo(Context &context, const Arguments &arguments)
{
    const FormatChoice choice = TRY(parseFormat(arguments.value("format", "table")));
    const auto state = TRY(context.client().get<api::Json>(pathOf(arguments.word(0)) + "/state"));
    if (choice.format == Format::Json || choice.format == Format::Yaml) {
        TRY(printJson(context, choice.format, state.dump()));
        return 0;
    }
    std::vector<Resource> resources;
    if (const api::Json *all = state.find("resources"); all && all->isObject())
        for (const auto &[name, each] : *all->asObject())
            resources.push_back({name, each.integer("Limit", -1), each.integer("Usage")});
    const Table table = TRY(makeTable<Resource>(projectResourceColumns(), kResourceColumns, arguments.value("columns", ""), resources));
    context.print(render(table, choice));
    return 0;
}

Result<int> projectGet(Context &context, const Arguments &arguments)
{
    TRY(getKey(context, arguments, pathOf(arguments.word(0)), arguments.word(1)));
    return 0;
}

Result<int> projectSet(Context &context, const Arguments &arguments)
{
    TRY(setKeys(context, arguments, pathOf(arguments.word(0)), std::span(arguments.words).subspan(1)));
    return 0;
}

Result<int> projectUnset(Context &context, const Arguments &arguments)
{
    TRY(unsetKeys(context, arguments, pathOf(arguments.word(0)), arguments.word(0), std::span(arguments.words).subspan(1)));
    return 0;
}

Result<int> projectEdit(Context &context, const Arguments &arguments)
{
    TRY(editKeys(context, pathOf(arguments.word(0)), kEditHelp));
    return 0;
}

Result<int> projectRename(Context &context, const Arguments &arguments)
{
    api::Json document = api::Json::object();
    document["name"] = arguments.word(1);
    TRY(runWithProgress(context, "POST", pathOf(arguments.word(0)), document.dump(), "Renaming the project"));
    context.say("Project " + arguments.word(0) + " renamed to " + arguments.word(1));
    return 0;
}

Result<int> projectSwitch(Context &context, const Arguments &arguments)
{
    const std::string name = arguments.word(0);
    context.client().setProject({}); // the one that was chosen may be gone
    TRY(context.client().request("GET", pathOf(name)));
    Remotes &remotes = *TRY(context.remotes());
    Remote remote = TRY(remotes.get(context.remote()));
    remote.project = name == "default" ? "" : name;
    remotes.set(context.remote(), std::move(remote));
    TRY(remotes.save());
    return 0;
}

Result<int> projectGetCurrent(Context &context, const Arguments &)
{
    const std::string project = TRY(context.projectAt(context.remote()));
    context.printLine(project.empty() ? "default" : project);
    return 0;
}

Result<int> projectDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &name : arguments.words) {
        TRY(context.client().request("DELETE", pathOf(name)));
        context.say("Project " + name + " deleted");
    }
    return 0;
}

} // namespace lxmgr::cli

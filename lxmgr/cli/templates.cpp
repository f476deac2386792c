// template: recipes for images.
#include "api/operations.h"
#include "api/templates.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/keys.h"
#include "cli/output.h"

namespace lxmgr::cli
{

namespace
{

constexpr std::string_view kTemplates = "/1.0/lxmgr/templates";

Table tableOf(const std::vector<api::Template> &templates)
{
    Table table{{"NAME", "RELEASES", "DESCRIPTION", "SOURCE"}, {}};
    for (const api::Template &one : templates)
        table.rows.push_back({one.name, join(one.releases, " "), one.description, one.source});
    sortNaturally(table);
    return table;
}

} // namespace

Result<int> templateList(Context &context, const Arguments &arguments)
{
    const FormatChoice choice = TRY(parseFormat(arguments.value("format", "table")));
    const client::Answer answer = TRY(context.client().request("GET", std::string(kTemplates),
                                                               {
    },
                                                               {{"recursion", "1"}}));
    if (choice.format == Format::Json || choice.format == Format::Yaml)
        TRY(printJson(context, choice.format, answer.metadata));
    else
        context.print(render(tableOf(TRY(client::Client::parse<std::vector<api::Template>>(answer.metadata))), choice));
    return 0;
}

Result<int> templateShow(Context &context, const Arguments &arguments)
{
    const api::Json object = TRY(context.client().get<api::Json>(client::path(kTemplates, {arguments.word(0)})));
    // The file itself says more than what was read from it.
    if (const std::string text = object.text("content"); !text.empty() && !arguments.has("format"))
        context.print(text);
    else
        TRY(printObject(context, arguments, object));
    return 0;
}

Result<int> templateBuild(Context &context, const Arguments &arguments)
{
    const std::string wanted = arguments.word(0);
    const std::size_t at = wanted.find_first_of("/:");
    const std::string name = wanted.substr(0, at);
    api::TemplateBuildPost post;
    if (at != std::string::npos)
        post.release = wanted.substr(at + 1);
    for (const std::string &text : arguments.values("option")) {
        const KeyValue pair = TRY(keyValue(text));
        post.options[pair.key] = pair.value;
    }
    context.say("Building " + wanted);
    const api::Operation done =
        TRY(runWithProgress(context, "POST", client::path(kTemplates, {name, "build"}), api::toJson(post), wanted));
    const std::string fingerprint = done.metadata.text("fingerprint");
    if (!fingerprint.empty())
        context.say("Image built with fingerprint: " + fingerprint);
    return 0;
}

} // namespace lxmgr::cli

// warning list, show, acknowledge, delete.
#include "cli/handlers.h"

#include "api/warnings.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/listing.h"
#include "cli/output.h"

namespace lxmgr::cli
{

namespace
{

using api::Warning;

constexpr std::string_view kWarnings = "/1.0/warnings";

/// "instances/web1", from the URL of what it is about.
std::string subjectOf(const Warning &warning)
{
    constexpr std::string_view kStart = "/1.0/";
    const std::string path = warning.entityUrl.substr(0, warning.entityUrl.find('?'));
    return path.starts_with(kStart) ? path.substr(kStart.size()) : "-";
}

// clang-format off
constexpr Column<Warning> kColumns[] = {
    {'u', "UUID", "What names it.", [](const Warning &w) { return w.uuid; }},
    {'t', "TYPE", "What is amiss.", [](const Warning &w) { return w.type; }},
    {'e', "ENTITY", "What it is about; '-' is the server itself.", [](const Warning &w) { return subjectOf(w); }},
    {'m', "MESSAGE", "What was said the last time.", [](const Warning &w) { return w.lastMessage; }},
    {'S', "STATUS", "NEW, ACKNOWLEDGED or RESOLVED.", [](const Warning &w) { return upper(w.status); }},
    {'s', "SEVERITY", "LOW, MODERATE or HIGH.", [](const Warning &w) { return upper(w.severity); }},
    {'c', "COUNT", "How often it was seen.", [](const Warning &w) { return std::to_string(w.count); }},
    {'p', "PROJECT", "Of what it is about.", [](const Warning &w) { return w.project; }},
    {'f', "FIRST SEEN", "When it was seen first.", [](const Warning &w) { return dateText(w.firstSeenAt); }},
    {'l', "LAST SEEN", "When it was seen last.", [](const Warning &w) { return dateText(w.lastSeenAt); }},
};
// clang-format on

std::string pathOf(const std::string &uuid) { return client::path(kWarnings, {uuid}); }

Result<std::vector<Warning>> all(Context &context)
{
    return context.client().get<std::vector<Warning>>(std::string(kWarnings), {{"recursion", "1"}});
}

} // namespace

ColumnSet warningColumns() { return describe<Warning>("warning list", "utSscpel", kColumns); }

Result<int> warningList(Context &context, const Arguments &arguments)
{
    api::Json shown = api::Json::array();
    for (const Warning &warning : TRY(all(context)))
        if (arguments.has("all") || warning.status == "new")
            shown.append(TRY(api::Json::parse(api::toJson(warning))));
    TRY(printList<Warning>(context, arguments, warningColumns(), kColumns, shown.dump()));
    return 0;
}

Result<int> warningShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(pathOf(arguments.word(0))))));
    return 0;
}

Result<int> warningAcknowledge(Context &context, const Arguments &arguments)
{
    for (const std::string &uuid : arguments.words)
        TRY(context.client().request("PUT", pathOf(uuid), api::toJson(api::WarningPut{"acknowledged"})));
    return 0;
}

Result<int> warningDelete(Context &context, const Arguments &arguments)
{
    std::vector<std::string> uuids = arguments.words;
    if (arguments.has("all") != uuids.empty())
        return Error(Code::Usage, uuids.empty() ? "a warning is missing (or --all)" : "--all goes with no warning");
    if (uuids.empty())
        for (const Warning &warning : TRY(all(context)))
            uuids.push_back(warning.uuid);
    for (const std::string &uuid : uuids)
        TRY(context.client().request("DELETE", pathOf(uuid)));
    return 0;
}

} // namespace lxmgr::cli

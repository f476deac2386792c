// undo list, show, apply, delete.
#include "api/undo.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/listing.h"
#include "cli/output.h"

#include "base/text.h"

namespace lxmgr::cli
{

namespace
{

using api::Undo;

constexpr std::string_view kPath = "/1.0/lxmgr/undo";

/// "3m", "5h", "2d": how long ago.
std::string ageOf(const api::Time &since)
{
    const std::int64_t seconds = std::max<std::int64_t>(api::Time::now().seconds - since.seconds, 0);
    if (seconds < 60)
        return std::to_string(seconds) + "s";
    if (seconds < 3600)
        return std::to_string(seconds / 60) + "m";
    return seconds < 2 * 86400 ? std::to_string(seconds / 3600) + "h" : std::to_string(seconds / 86400) + "d";
}

// clang-format off
constexpr Column<Undo> kColumns[] = {
    {'i', "NUMBER", "What names it.", [](const Undo &u) { return std::to_string(u.id); }},
    {'a', "AGE", "How long ago it was done.", [](const Undo &u) { return ageOf(u.createdAt); }},
    {'d', "WHAT", "What was done.", [](const Undo &u) { return u.description; }},
    {'t', "TYPE", "delete, snapshot, restore, config, profile, volume, volume-snapshot or volume-restore.", [](const Undo &u) { return u.kind; }},
    {'o', "OBJECT", "What it was done to.", [](const Undo &u) { return u.object; }},
    {'c', "DONE AT", "When it was done.", [](const Undo &u) { return dateText(u.createdAt); }},
    {'E', "EXPIRES AT", "Until when it can be undone.", [](const Undo &u) { return dateText(u.expiresAt); }},
    {'P', "POOL", "Where its files are; empty where it has none.", [](const Undo &u) { return u.pool; }},
    {'s', "STATUS", "KEPT, or WORKING while something is done with it.", [](const Undo &u) { return upperStatus(u.status); }},
};
// clang-format on

Result<std::vector<Undo>> all(Context &context)
{
    return context.client().get<std::vector<Undo>>(std::string(kPath), {
                                                                           {"recursion", "1"}
    });
}

Result<std::string> pathOf(const std::string &number)
{
    return client::path(kPath, {std::to_string(TRY_IN("number", parseSigned(number, 1, INT64_MAX)))});
}

} // namespace

ColumnSet undoColumns() { return describe<Undo>("undo list", "iadEP", kColumns); }

Result<int> undoList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", std::string(kPath), {}, {{"recursion", "1"}}));
    TRY(printList<Undo>(context, arguments, undoColumns(), kColumns, answer.metadata));
    return 0;
}

Result<int> undoShow(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(TRY(pathOf(arguments.word(0)))))));
    return 0;
}

Result<int> undoApply(Context &context, const Arguments &arguments)
{
    std::string number = arguments.word(0);
    if (number.empty()) {
        for (const Undo &one : TRY(all(context)))
            if (one.status == "Kept")
                number = std::to_string(one.id);
        if (number.empty())
            return Error(Code::NotFound, "there is nothing to undo");
    }
    const std::string path = TRY(pathOf(number));
    const Undo undo = TRY(context.client().get<Undo>(path));
    TRY(runWithProgress(context, "POST", path, api::toJson(api::UndoPost{arguments.word(1)}), "Undoing the " + undo.description));
    context.say("Undone: " + undo.description);
    return 0;
}

Result<int> undoDelete(Context &context, const Arguments &arguments)
{
    if (arguments.has("all") == !arguments.words.empty())
        return Error(Code::Usage, "either the numbers of what to free, or --all");
    std::vector<std::string> numbers = arguments.words;
    if (arguments.has("all"))
        for (const Undo &one : TRY(all(context)))
            numbers.push_back(std::to_string(one.id));
    for (const std::string &number : numbers)
        TRY(runWithProgress(context, "DELETE", TRY(pathOf(number)), {}, "Forgetting number " + number));
    return 0;
}

} // namespace lxmgr::cli

// Operations: what there is, and cancelling.
#include "api/operations.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/listing.h"
#include "cli/output.h"

namespace lxmgr::cli
{

namespace
{

using api::Operation;

// clang-format off
constexpr Column<Operation> kOperationColumns[] = {
    {'i', "ID", "What names it.", [](const Operation &o) { return o.id; }},
    {'t', "TYPE", "TASK, WEBSOCKET or TOKEN.", [](const Operation &o) { return upper(o.operationClass); }},
    {'d', "DESCRIPTION", "What it does.", [](const Operation &o) { return o.description; }},
    {'s', "STATUS", "How far it is.", [](const Operation &o) { return upperStatus(o.status); }},
    {'c', "CANCELABLE", "Whether it can be cancelled.", [](const Operation &o) { return yesNo(o.mayCancel); }},
    {'C', "CREATED", "When it began.", [](const Operation &o) { return dateText(o.createdAt); }},
};
// clang-format on

template <class T, std::size_t N>
Result<int> list(Context &context, const Arguments &arguments, const std::string &path, const ColumnSet &set,
                 const Column<T> (&columns)[N])
{
    const client::Answer answer = TRY(context.client().request("GET", path, {}, {{"recursion", "1"}}));
    TRY(printList<T>(context, arguments, set, columns, answer.metadata));
    return 0;
}

Result<int> show(Context &context, const Arguments &arguments, std::string_view collection)
{
    TRY(printObject(context, arguments,
                    TRY(context.client().get<api::Json>(client::path(collection, {arguments.word(0)})))));
    return 0;
}

} // namespace

ColumnSet operationColumns() { return describe<Operation>("operation list", "itdscC", kOperationColumns); }

Result<int> operationList(Context &context, const Arguments &arguments)
{
    // The API groups them by status; a list is what people want.
    const api::Json groups = TRY(context.client().get<api::Json>("/1.0/operations", {{"recursion", "1"}}));
    api::Json all = api::Json::array();
    if (const api::Json::Object *members = groups.asObject())
        for (const auto &[status, operations] : *members)
            if (const api::Json::Array *items = operations.asArray())
                for (const api::Json &operation : *items)
                    all.append(operation);
    TRY(printList<Operation>(context, arguments, operationColumns(), kOperationColumns, all.dump()));
    return 0;
}
Result<int> operationShow(Context &context, const Arguments &arguments)
{
    return show(context, arguments, "/1.0/operations");
}

Result<int> operationDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &id : arguments.words) {
        TRY(context.client().request("DELETE", client::path("/1.0/operations", {id})));
        context.say("Operation " + id + " deleted");
    }
    return 0;
}

} // namespace lxmgr::cli

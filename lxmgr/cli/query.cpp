// query: a request as it is.
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/terminal.h"

namespace lxmgr::cli
{

Result<int> query(Context &context, const Arguments &arguments)
{
    client::Request request;
    request.method = upper(arguments.value("request", arguments.has("data") ? "POST" : "GET"));
    request.target = context.client().target(arguments.word(0));
    if (!request.target.starts_with('/'))
        return Error(Code::Usage,
                     quoted(arguments.word(0)) + " is no path of the API: it begins with /, as in /1.0/instances");
    request.body = arguments.value("data", "");
    if (request.body == "-")
        request.body = TRY(readStandardInput());
    request.sink = [&](const http::ResponseHead &) -> client::Sink {
        return [&](std::string_view piece) -> Status {
            context.print(piece);
            return {};
        };
    };
    client::Response response = TRY(context.client().exchange(request));
    if (response.body.empty() && response.head.status == 200)
        return 0; // went to standard output as it came
    if (arguments.has("raw")) {
        context.print(response.body);
        return response.head.status < 300 ? Result<int>(0) : client::refusal(response);
    }
    const client::Answer answer = TRY(client::openEnvelope(std::move(response)));
    if (!answer.operation.empty() && arguments.has("wait"))
        context.printLine(api::toJson(TRY(context.client().wait(answer.operation))));
    else
        context.printLine(answer.metadata);
    return 0;
}

} // namespace lxmgr::cli

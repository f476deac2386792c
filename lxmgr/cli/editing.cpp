#include "cli/editing.h"

#include "base/text.h"
#include "cli/terminal.h"
#include "cli/yaml.h"

#include <unistd.h>

namespace lxmgr::cli
{

Result<Versioned> fetch(Context &context, const std::string &path)
{
    const client::Answer answer = TRY(context.client().request("GET", path));
    return Versioned{TRY(client::Client::parse<api::Json>(answer.metadata)), answer.etag};
}

Status put(Context &context, const std::string &path, const api::Json &object, const std::string &etag)
{
    http::Headers headers;
    if (!etag.empty())
        headers.set("If-Match", etag);
    TRY(runWithProgress(context, "PUT", path, object.dump(), "Updating", std::move(headers)));
    return {};
}

std::string valueText(const api::Json &value)
{
    const std::string *text = value.asString();
    return text ? *text : value.isNull() ? std::string() : value.dump();
}

Status edit(Context &context, const std::string &path, std::string_view help, const api::Json &document,
            const std::string &etag)
{
    if (!isTerminal(STDIN_FILENO)) {
        const api::Json edited = TRY(fromYaml(TRY(readStandardInput()), "standard input"));
        if (!edited.asObject())
            return Error(Code::Invalid, "standard input: no keys in it");
        return put(context, path, edited, {});
    }
    const std::string before = std::string(help) + toYaml(document);
    std::string text = before;
    for (;;) {
        text = TRY(editText(text, ".yaml"));
        if (text == before)
            return {};
        const Result<api::Json> edited = fromYaml(text, "line");
        const Status done = edited ? put(context, path, *edited, etag) : Status(edited.error());
        if (done || done.error().code == Code::Precondition)
            return done;
        context.warn("Error: " + escaped(done.error().message) + "\nPress enter to edit again, <ctrl>+c to give up");
        char key = 0;
        if (::read(STDIN_FILENO, &key, 1) <= 0)
            return done;
    }
}

} // namespace lxmgr::cli

#include "cli/editing.h"

#include "base/text.h"
#include "cli/keys.h"
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

namespace
{

/// What a user may write back.
api::Json writable(const api::Json &object)
{
    api::Json document = api::Json::object();
    for (const std::string_view field : {"config", "description", "ports", "ingress", "egress"})
        if (const api::Json *value = object.find(field))
            document[field] = *value;
    return document;
}

Status checkField(const std::string &key)
{
    if (key != "description")
        return Error(Code::Usage, quoted(key) + " is no field that can be set: description");
    return {};
}

} // namespace

Status getKey(Context &context, const Arguments &arguments, const std::string &path, const std::string &key)
{
    const api::Json object = TRY(context.client().get<api::Json>(path));
    const api::Json *holder = arguments.has("property") ? &object : object.find("config");
    const api::Json *value = holder ? holder->find(key) : nullptr;
    context.printLine(value ? valueText(*value) : "");
    return {};
}

Status setKeys(Context &context, const Arguments &arguments, const std::string &path, std::span<const std::string> pairs)
{
    api::Json changes = api::Json::object();
    for (const KeyValue &pair : TRY(keyValues(pairs))) {
        if (!arguments.has("property")) {
            changes["config"][pair.key] = pair.value;
            continue;
        }
        TRY(checkField(pair.key));
        changes[pair.key] = pair.value;
    }
    const client::Answer answer = TRY(context.client().request("PATCH", path, changes.dump()));
    tellRestarts(context, answer.metadata);
    return {};
}

Status unsetKeys(Context &context, const Arguments &arguments, const std::string &path, const std::string &name,
                 std::span<const std::string> keys)
{
    const Versioned now = TRY(fetch(context, path));
    api::Json document = writable(now.object);
    for (const std::string &key : keys) {
        if (arguments.has("property")) {
            TRY(checkField(key));
            document[key] = "";
            continue;
        }
        const api::Json *config = document.find("config");
        if (!config || !config->find(key))
            return Error(Code::NotFound, quoted(key) + " is not set on " + quoted(name));
        document["config"].remove(key);
    }
    return put(context, path, document, now.etag);
}

Status editKeys(Context &context, const std::string &path, std::string_view help)
{
    const Versioned now = TRY(fetch(context, path));
    return edit(context, path, help, writable(now.object), now.etag);
}

} // namespace lxmgr::cli

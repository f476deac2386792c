#include "api/envelope.h"

#include "api/operations.h"
#include "base/text.h"

#include <cstdio>

namespace lxmgr::api
{

namespace
{
/// Which code an HTTP status stands for when the server did not name one.
Code codeByStatus(int httpStatus)
{
    switch (httpStatus) {
    case 400:
        return Code::Invalid;
    case 403:
        return Code::Forbidden;
    case 404:
        return Code::NotFound;
    case 409:
        return Code::AlreadyExists;
    case 412:
        return Code::Precondition;
    case 501:
        return Code::Unsupported;
    case 503:
        return Code::Unavailable;
    default:
        return Code::Internal;
    }
}

std::string_view withoutQuotes(std::string_view text)
{
    text = trimmed(text);
    if (text.starts_with("W/"))
        text.remove_prefix(2);
    if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"'))
        text = text.substr(1, text.size() - 2);
    return text;
}

/// FNV-1a: fast, stable, and nothing here has to withstand somebody who looks for collisions.
std::uint64_t fnv(std::string_view text, std::uint64_t hash)
{
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return hash;
}

/// What a client reads of an envelope before it knows what `metadata` is.
struct Outer {
    std::string type, operation, error;
    std::int64_t errorCode = 0;
    std::string_view metadata = "null";
};

bool readOuter(JsonReader &reader, Outer &outer)
{
    std::string key;
    for (reader.enterObject(); reader.nextKey(key);) {
        if (key == "type")
            readJson(reader, outer.type);
        else if (key == "operation")
            readJson(reader, outer.operation);
        else if (key == "error")
            readJson(reader, outer.error);
        else if (key == "error_code")
            readJson(reader, outer.errorCode);
        else if (key == "metadata")
            reader.skip(&outer.metadata);
        else
            reader.skip();
    }
    return reader.end();
}
} // namespace

std::string syncEnvelope(std::string_view metadataJson)
{
    std::string out;
    out.reserve(metadataJson.size() + 128);
    out += R"({"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":)";
    out += metadataJson.empty() ? "{}" : metadataJson;
    out += '}';
    return out;
}

std::string asyncEnvelope(const Operation &operation, std::string_view url)
{
    std::string out = R"({"type":"async","status":"Operation created","status_code":100,"operation":)";
    JsonWriter(out).string(url);
    out += R"(,"error_code":0,"error":"","metadata":)";
    out += toJson(operation);
    out += '}';
    return out;
}

std::string errorEnvelope(int httpStatus, std::string_view message, std::string_view code)
{
    std::string out = R"({"type":"error","status":"","status_code":0,"operation":"","error_code":)";
    out += std::to_string(httpStatus);
    out += R"(,"error":)";
    JsonWriter(out).string(message);
    out += R"(,"metadata":{"code":)";
    JsonWriter(out).string(code);
    out += "}}";
    return out;
}

std::string errorEnvelope(const Error &error)
{
    return errorEnvelope(httpStatus(error), error.message, codeInfo(error.code).name);
}

int httpStatus(const Error &error) { return codeInfo(error.code).httpStatus; }

std::string operationUrl(std::string_view id, std::string_view project)
{
    std::string url = "/1.0/operations/" + std::string(id);
    if (!project.empty() && project != "default")
        url.append("?project=").append(project); // project names need no escape
    return url;
}

Result<Envelope> parseEnvelope(std::string_view body, int httpStatus)
{
    JsonReader reader(body);
    Outer outer;
    if (!readOuter(reader, outer))
        return reader.error().in("the answer is no envelope");
    Envelope envelope;
    envelope.operation = std::move(outer.operation);
    envelope.metadata = outer.metadata;
    if (outer.type == "sync") {
        envelope.kind = Envelope::Kind::Sync;
    } else if (outer.type == "async") {
        envelope.kind = Envelope::Kind::Async;
    } else if (outer.type == "error") {
        envelope.kind = Envelope::Kind::Error;
        envelope.error = Error(codeByStatus(outer.errorCode ? static_cast<int>(outer.errorCode) : httpStatus), outer.error);
        if (const Result<Json> metadata = Json::parse(outer.metadata); metadata && metadata->isObject())
            if (const std::string name = metadata->text("code"); !name.empty())
                envelope.error.code = codeByName(name);
    } else {
        return Error(Code::Invalid, "the answer has the unknown type " + quoted(outer.type));
    }
    return envelope;
}

Error operationError(const Operation &operation)
{
    const std::string name = operation.metadata.text("error_code");
    Code code = operation.statusCode == static_cast<int>(StatusCode::Cancelled) ? Code::Cancelled : Code::Internal;
    if (!name.empty())
        code = codeByName(name);
    return {code, operation.err.empty() ? operation.status : operation.err};
}

Code codeByName(std::string_view name)
{
    for (const CodeInfo &info : kCodes)
        if (info.name == name)
            return info.code;
    return Code::Internal;
}

std::string etagOf(std::string_view json)
{
    char text[40];
    std::snprintf(text, sizeof text, "\"%016llx%016llx\"",
                  static_cast<unsigned long long>(fnv(json, 14695981039346656037ULL)),
                  static_cast<unsigned long long>(fnv(json, 0x9E3779B97F4A7C15ULL)));
    return text;
}

Status checkEtag(std::string_view ifMatch, std::string_view etag)
{
    const std::string_view wanted = withoutQuotes(ifMatch);
    if (wanted.empty() || wanted == "*" || wanted == withoutQuotes(etag))
        return {};
    return Error(Code::Precondition,
                 "ETag doesn't match: " + std::string(withoutQuotes(etag)) + " vs " + escaped(wanted));
}

} // namespace lxmgr::api

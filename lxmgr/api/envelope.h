// The envelope around every JSON answer (all keys always), and what a client gets out of one.
#pragma once

#include "api/operations.h"

#include <string>
#include <string_view>

namespace lxmgr::api
{

/// {"type":"sync",…,"metadata":<metadataJson>}; "" gives {}.
std::string syncEnvelope(std::string_view metadataJson);
/// {"type":"async",…}; `url` is "/1.0/operations/<id>" with "?project=…" where it is not "default".
std::string asyncEnvelope(const Operation &operation, std::string_view url);
/// {"type":"error",…,"metadata":{"code":"<name in kCodes>"}}; the HTTP status is httpStatus(error).
std::string errorEnvelope(const Error &error);
std::string errorEnvelope(int httpStatus, std::string_view message, std::string_view code);
int httpStatus(const Error &error);

/// "/1.0/operations/<id>[?project=<project>]"
std::string operationUrl(std::string_view id, std::string_view project = "default");

struct Envelope {
    enum class Kind { Sync, Async, Error };
    Kind kind = Kind::Sync;
    std::string operation;     ///< Async: its URL.
    Error error;               ///< Error: code by its name where the server gave one, else by the HTTP status.
    std::string_view metadata; ///< JSON text inside the text that was parsed.

    template <class T> Result<T> as() const { return fromJson<T>(metadata); }
};

/// Takes an answer apart; `body` must outlive the result. Invalid if it is no envelope.
Result<Envelope> parseEnvelope(std::string_view body, int httpStatus = 200);

/// The error a finished operation carries: code by `metadata.error_code`, else by its status.
Error operationError(const Operation &operation);
/// Code by its name in kCodes; Internal if unknown.
Code codeByName(std::string_view name);

/// Opaque, stable text for ETag ("…" included) of what `json` says.
std::string etagOf(std::string_view json);
/// Precondition unless `ifMatch` is empty or equal to `etag` (quotes aside).
Status checkEtag(std::string_view ifMatch, std::string_view etag);

} // namespace lxmgr::api

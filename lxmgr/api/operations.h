// Operations and events as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/json.h"
#include "api/status_codes.h"
#include "api/time.h"
#include "api/types.h"

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct Operation {
    std::string id;
    std::string operationClass = "task"; ///< task, websocket, token
    std::string description;
    Time createdAt, updatedAt;
    std::string status = "Running";
    int statusCode = 103;
    std::optional<std::map<std::string, std::vector<std::string>>> resources; ///< {"instances": ["/1.0/instances/c1"]}
    Json metadata;                                                            ///< Object or null.
    bool mayCancel = false;
    std::string err;
    std::string location = "none";

    void setStatus(StatusCode code)
    {
        status = statusWord(code);
        statusCode = static_cast<int>(code);
    }
};
template <> struct Fields<Operation> {
    using T = Operation;
    static constexpr auto rows = std::tuple{
        Field{"id", &T::id},
        Field{"class", &T::operationClass},
        Field{"description", &T::description},
        Field{"created_at", &T::createdAt},
        Field{"updated_at", &T::updatedAt},
        Field{"status", &T::status},
        Field{"status_code", &T::statusCode},
        Field{"resources", &T::resources},
        Field{"metadata", &T::metadata},
        Field{"may_cancel", &T::mayCancel},
        Field{"err", &T::err},
        Field{"location", &T::location},
    };
};

struct Event {
    std::string type; ///< operation, lifecycle, logging
    Time timestamp;
    Json metadata;
    std::string location = "none";
    std::string project; ///< "" with logging.
};
template <> struct Fields<Event> {
    using T = Event;
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type},         Field{"timestamp", &T::timestamp},
        Field{"metadata", &T::metadata}, Field{"location", &T::location},
        Field{"project", &T::project, OmitEmpty{}},
    };
};

/// An operation event without the detour over Json.
struct OperationEvent {
    std::string type = "operation";
    Time timestamp;
    Operation metadata;
    std::string location = "none";
    std::string project;
};
template <> struct Fields<OperationEvent> {
    using T = OperationEvent;
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type},         Field{"timestamp", &T::timestamp},
        Field{"metadata", &T::metadata}, Field{"location", &T::location},
        Field{"project", &T::project, OmitEmpty{}},
    };
};

struct Requestor {
    std::string username, protocol, address;
    bool operator==(const Requestor &) const = default;
};
template <> struct Fields<Requestor> {
    using T = Requestor;
    static constexpr auto rows = std::tuple{Field{"username", &T::username}, Field{"protocol", &T::protocol},
                                            Field{"address", &T::address}};
};

/// `metadata` of a lifecycle event.
struct Lifecycle {
    std::string action, source;
    Json context;
    std::optional<Requestor> requestor;
};
template <> struct Fields<Lifecycle> {
    using T = Lifecycle;
    static constexpr auto rows =
        std::tuple{Field{"action", &T::action}, Field{"source", &T::source}, Field{"context", &T::context, OmitEmpty{}},
                   Field{"requestor", &T::requestor, OmitEmpty{}}};
};

/// `metadata` of a logging event.
struct LogRecord {
    std::string message, level;
    StringMap context;
};
template <> struct Fields<LogRecord> {
    using T = LogRecord;
    static constexpr auto rows =
        std::tuple{Field{"message", &T::message}, Field{"level", &T::level}, Field{"context", &T::context}};
};

} // namespace lxmgr::api

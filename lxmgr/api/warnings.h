// Warnings as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/time.h"

namespace lxmgr::api
{

struct Warning {
    std::string uuid, location, project, type;
    std::int64_t count = 0;
    Time firstSeenAt, lastSeenAt;
    std::string lastMessage;
    std::string severity;  ///< low, moderate, high
    std::string status;    ///< new, acknowledged, resolved
    std::string entityUrl; ///< "" where it is about the server itself.
};
template <> struct Fields<Warning> {
    using T = Warning;
    static constexpr auto rows = std::tuple{
        Field{"uuid", &T::uuid},
        Field{"location", &T::location},
        Field{"project", &T::project},
        Field{"type", &T::type},
        Field{"count", &T::count},
        Field{"first_seen_at", &T::firstSeenAt},
        Field{"last_seen_at", &T::lastSeenAt},
        Field{"last_message", &T::lastMessage},
        Field{"severity", &T::severity},
        Field{"status", &T::status},
        Field{"entity_url", &T::entityUrl},
    };
};

struct WarningPut {
    std::string status;
};
template <> struct Fields<WarningPut> {
    using T = WarningPut;
    static constexpr auto rows = std::tuple{Field{"status", &T::status}};
};

} // namespace lxmgr::api

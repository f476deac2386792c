// Table warnings: what the server has found amiss and nobody was there to be told. One row a kind and object, which counts how often.
#pragma once

#include "store/projects.h"

#include <vector>

namespace lxmgr::store
{

enum class WarningStatus {
    New,
    Acknowledged, ///< Somebody knows of it; stays so when it is seen again.
    Resolved,     ///< It is no longer so; new again when it comes back.
};

/// What a warning is about: the row of an object, or the server itself.
struct WarningSubject {
    enum class Kind { Server, Instance, Pool, Network, Image, Volume };
    Kind kind = Kind::Server;
    std::int64_t id = 0;
};

struct Warning {
    std::string uuid;
    std::string type;
    WarningSubject subject;
    std::string project; ///< Of the subject; "" where it is in none.
    std::string name;    ///< Of the subject as it is called now; the fingerprint of an image.
    std::string pool;    ///< Of a volume.
    WarningStatus status = WarningStatus::New;
    std::int64_t count = 1;
    std::int64_t firstSeen = 0, lastSeen = 0; ///< Unix milliseconds.
    std::string message; ///< The last one.
};

/// Counts it where it is known, and notes it where it is not.
Status noteWarning(Database &db, const std::string &uuid, const std::string &type, const WarningSubject &subject, const std::string &message);
/// It is no longer so. Writes nothing where it was not, as is usual.
Status resolveWarning(Database &db, const std::string &type, const WarningSubject &subject);
/// All of the type.
Status resolveWarnings(Database &db, const std::string &type);
/// The latest seen first.
Result<std::vector<Warning>> listWarnings(Database &db);
/// NotFound.
Result<Warning> findWarning(Database &db, const std::string &uuid);
Result<std::int64_t> countWarnings(Database &db, WarningStatus status);
/// NotFound.
Status setWarningStatus(Database &db, const std::string &uuid, WarningStatus status);
Status deleteWarning(Database &db, const std::string &uuid);
/// Those that were resolved before `time`.
Status deleteResolvedWarnings(Database &db, std::int64_t time);

} // namespace lxmgr::store

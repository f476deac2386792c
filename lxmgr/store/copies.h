// Copies of the database, one a day (UTC), read back and checked before they count: where a disk breaks, what is lost is a day at most.
#pragma once

#include "base/result.h"
#include "store/database.h"

#include <ctime>
#include <string>

namespace lxmgr::store
{

/// So many days are kept: beside the database, as "<database>.day-<year>-<month>-<day>.bak".
inline constexpr std::size_t kDailyCopies = 7;

/// When the next one is due: `now` where that day has none, else when the next day begins.
std::time_t nextCopy(const Database &db, std::time_t now);
/// Makes that of the day, and then drops those beyond kDailyCopies, the oldest first. Corrupt: the database is not sound, and no
/// copy is dropped; NoSpace. The database is locked while it is written, not while it is checked.
Status makeCopy(Database &db, std::time_t now);

} // namespace lxmgr::store

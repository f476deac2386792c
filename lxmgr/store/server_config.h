// Table server_config: the keys of the server itself.
#pragma once

#include "store/database.h"

namespace lxmgr::store
{

Result<StringMap> serverConfig(Database &db);
/// Replaces all of them.
Status setServerConfig(Database &db, const StringMap &config);

} // namespace lxmgr::store

#include "store/server_config.h"

#include "store/statement.h"

namespace lxmgr::store
{

Result<StringMap> serverConfig(Database &db)
{
    StringMap config;
    Statement row = TRY(query(db, "SELECT key, value FROM server_config"));
    while (TRY(row.next()))
        config[row.text(0)] = row.text(1);
    return config;
}

Status setServerConfig(Database &db, const StringMap &config)
{
    return db.transaction([&]() -> Status {
        TRY(run(db, "DELETE FROM server_config"));
        for (const auto &[key, value] : config)
            TRY(run(db, "INSERT INTO server_config (key, value) VALUES (?, ?)", key, value));
        return {};
    });
}

} // namespace lxmgr::store

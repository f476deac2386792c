#include "store/networks.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT n.id, p.name, n.name, n.type, n.description FROM networks n JOIN projects p ON p.id = n.project_id ";
constexpr std::string_view kInsert = "INSERT INTO networks (project_id, name, type, description) VALUES (?, ?, ?, ?)";
constexpr PartTable kConfig = {"network_config", "network_id"};

std::string missing(std::int64_t id) { return "network " + std::to_string(id) + " does not exist any more"; }

template <class... Values>
Result<std::vector<Network>> select(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<Network> networks;
    {
        Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY n.id", values...));
        while (TRY(row.next()))
            networks.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4), {}});
    }
    Follower<Network> config(networks);
    TRY(readStrings(db, kConfig, spanOf(networks), [&](std::int64_t id) {
        Network *network = config.find(id);
        return network != nullptr ? &network->config : nullptr;
    }));
    sortByName(networks);
    return networks;
}

} // namespace

Result<Network> findNetwork(Database &db, const std::string &project, const std::string &name)
{
    return onlyRow(select(db, "WHERE p.name=? AND n.name=?", project, name),
                   titled("network", project, name) + " does not exist");
}

Result<std::vector<Network>> listNetworks(Database &db, const std::string &project)
{
    return project.empty() ? select(db, "") : select(db, "WHERE p.name=?", project);
}

Result<std::int64_t> insertNetwork(Database &db, const Network &network)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, network.project));
        TRY(named(run(db, kInsert, project, network.name, network.type, network.description),
                  titled("network", network.project, network.name) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeStrings(db, kConfig, id, network.config));
        return id;
    });
}

Status updateNetwork(Database &db, const Network &network)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missing(network.id), "UPDATE networks SET description=? WHERE id=?", network.description,
                   network.id));
        return writeStrings(db, kConfig, network.id, network.config);
    });
}

Status renameNetwork(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&] {
        return named(change(db, missing(id), "UPDATE networks SET name=? WHERE id=?", name, id),
                     "network " + quoted(name) + " already exists");
    });
}

Status deleteNetwork(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missing(id), "DELETE FROM networks WHERE id=?", id); });
}

} // namespace lxmgr::store

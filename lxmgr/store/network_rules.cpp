#include "store/network_rules.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelectForwards = "SELECT id, network_id, listen_address, description FROM network_forwards ";
constexpr std::string_view kInsertForward = "INSERT INTO network_forwards (network_id, listen_address, description) VALUES (?, ?, ?)";
constexpr PartTable kForwardConfig = {"network_forward_config", "forward_id"};
constexpr PartTable kForwardPorts = {"network_forward_ports", "forward_id", "port"};

constexpr std::string_view kSelectAcls =
    "SELECT a.id, p.name, a.name, a.description FROM network_acls a JOIN projects p ON p.id = a.project_id ";
constexpr std::string_view kInsertAcl = "INSERT INTO network_acls (project_id, name, description) VALUES (?, ?, ?)";
constexpr PartTable kAclConfig = {"network_acl_config", "acl_id"};
constexpr PartTable kAclRules = {"network_acl_rules", "acl_id", "rule"};

/// Rows under names whose order is theirs. A row without a field leaves no trace, so each has its place as one.
void number(DeviceMap &named, const std::string &prefix, const std::vector<StringMap> &rows)
{
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::string place = std::to_string(10000 + i).substr(1);
        StringMap &row = named[prefix + place];
        row = rows[i];
        row["place"] = place;
    }
}

std::vector<StringMap> inOrder(DeviceMap &named, const std::string &prefix)
{
    std::vector<StringMap> rows;
    for (auto &[name, row] : named)
        if (name.starts_with(prefix)) {
            row.erase("place");
            rows.push_back(std::move(row));
        }
    return rows;
}

template <class... Values>
Result<std::vector<NetworkForward>> selectForwards(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<NetworkForward> forwards;
    {
        Statement row = TRY(query(db, std::string(kSelectForwards) + std::string(where) + " ORDER BY id", values...));
        while (TRY(row.next()))
            forwards.push_back({row.integer(0), row.integer(1), row.text(2), row.text(3), {}, {}});
    }
    for (NetworkForward &forward : forwards) {
        TRY(readStrings(db, kForwardConfig, onlyOwner(forward.id), [&](std::int64_t) { return &forward.config; }));
        DeviceMap ports;
        TRY(readDevices(db, kForwardPorts, onlyOwner(forward.id), [&](std::int64_t) { return &ports; }));
        forward.ports = inOrder(ports, "");
    }
    return forwards;
}

Status writeForwardParts(Database &db, std::int64_t id, const NetworkForward &forward)
{
    DeviceMap ports;
    number(ports, "", forward.ports);
    TRY(writeStrings(db, kForwardConfig, id, forward.config));
    return writeDevices(db, kForwardPorts, id, ports);
}

template <class... Values>
Result<std::vector<NetworkAcl>> selectAcls(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<NetworkAcl> acls;
    {
        Statement row = TRY(query(db, std::string(kSelectAcls) + std::string(where) + " ORDER BY a.id", values...));
        while (TRY(row.next()))
            acls.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), {}, {}, {}});
    }
    for (NetworkAcl &acl : acls) {
        TRY(readStrings(db, kAclConfig, onlyOwner(acl.id), [&](std::int64_t) { return &acl.config; }));
        DeviceMap rules;
        TRY(readDevices(db, kAclRules, onlyOwner(acl.id), [&](std::int64_t) { return &rules; }));
        acl.ingress = inOrder(rules, "ingress/");
        acl.egress = inOrder(rules, "egress/");
    }
    sortByName(acls);
    return acls;
}

Status writeAclParts(Database &db, std::int64_t id, const NetworkAcl &acl)
{
    DeviceMap rules;
    number(rules, "ingress/", acl.ingress);
    number(rules, "egress/", acl.egress);
    TRY(writeStrings(db, kAclConfig, id, acl.config));
    return writeDevices(db, kAclRules, id, rules);
}

std::string missingForward(std::int64_t id) { return "network forward " + std::to_string(id) + " does not exist any more"; }
std::string missingAcl(std::int64_t id) { return "network ACL " + std::to_string(id) + " does not exist any more"; }

} // namespace

Result<std::vector<NetworkForward>> listForwards(Database &db, std::int64_t networkId)
{
    return selectForwards(db, "WHERE network_id=?", networkId);
}

Result<NetworkForward> findForward(Database &db, std::int64_t networkId, const std::string &listenAddress)
{
    return onlyRow(selectForwards(db, "WHERE network_id=? AND listen_address=?", networkId, listenAddress),
                   "network forward " + quoted(listenAddress) + " does not exist");
}

Result<std::int64_t> insertForward(Database &db, const NetworkForward &forward)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        TRY(named(run(db, kInsertForward, forward.networkId, forward.listenAddress, forward.description),
                  "a network forward listens on " + quoted(forward.listenAddress) + " already"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeForwardParts(db, id, forward));
        return id;
    });
}

Status updateForward(Database &db, const NetworkForward &forward)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missingForward(forward.id), "UPDATE network_forwards SET description=? WHERE id=?", forward.description, forward.id));
        return writeForwardParts(db, forward.id, forward);
    });
}

Status deleteForward(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missingForward(id), "DELETE FROM network_forwards WHERE id=?", id); });
}

Result<std::vector<NetworkAcl>> listAcls(Database &db, const std::string &project)
{
    return project.empty() ? selectAcls(db, "") : selectAcls(db, "WHERE p.name=?", project);
}

Result<NetworkAcl> findAcl(Database &db, const std::string &project, const std::string &name)
{
    return onlyRow(selectAcls(db, "WHERE p.name=? AND a.name=?", project, name), titled("network ACL", project, name) + " does not exist");
}

Result<std::int64_t> insertAcl(Database &db, const NetworkAcl &acl)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, acl.project));
        TRY(named(run(db, kInsertAcl, project, acl.name, acl.description), titled("network ACL", acl.project, acl.name) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeAclParts(db, id, acl));
        return id;
    });
}

Status updateAcl(Database &db, const NetworkAcl &acl)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missingAcl(acl.id), "UPDATE network_acls SET description=? WHERE id=?", acl.description, acl.id));
        return writeAclParts(db, acl.id, acl);
    });
}

Status renameAcl(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&] {
        return named(change(db, missingAcl(id), "UPDATE network_acls SET name=? WHERE id=?", name, id),
                     "network ACL " + quoted(name) + " already exists");
    });
}

Status deleteAcl(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missingAcl(id), "DELETE FROM network_acls WHERE id=?", id); });
}

} // namespace lxmgr::store

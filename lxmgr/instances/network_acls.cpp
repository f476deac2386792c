// Access control lists of networks: in the database, beside it as documents, and in the firewall of the networks that use them.
#include "instances/networks.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "config/network_document.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "network/config.h"
#include "network/rules.h"
#include "store/instances.h"
#include "store/profiles.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

namespace lxmgr::instances
{

namespace
{

Status checkAcl(const store::NetworkAcl &acl)
{
    for (const auto &[key, value] : acl.config)
        if (!key.starts_with("user."))
            return Error(Code::Invalid, "Unknown key " + quoted(key) + " of a network ACL").hint("only user.*");
    return network::checkAcl({acl.name, acl.ingress, acl.egress});
}

/// Empty fields are left out, and each rule says its state.
void tidyRules(store::NetworkAcl &acl)
{
    for (std::vector<StringMap> *rules : {&acl.ingress, &acl.egress})
        for (StringMap &rule : *rules) {
            std::erase_if(rule, [](const auto &pair) { return pair.second.empty(); });
            rule.emplace("state", "enabled");
        }
}

} // namespace

Status Networks::writeAclDocument(const store::NetworkAcl &acl) const
{
    const Fd state = TRY(path::openFolder(m_paths.stateDir));
    const Fd folder = TRY(path::makeFolders(state, "network-acls", 0700, path::Scope::Beneath));
    return replaceIfOther(folder, acl.name + ".yaml",
                          config::writeAclDocument({acl.name, acl.description, acl.config, acl.ingress, acl.egress}));
}

Status Networks::removeAclDocument(const std::string &name) const
{
    const auto folder = path::openFolder(aclFolder());
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    if (Status gone = sys::unlinkat(*folder, name + ".yaml"); !gone && gone.error().errnum != ENOENT)
        return gone;
    // The folder goes with the last of them.
    const Status empty = sys::unlinkat(TRY(path::openFolder(m_paths.stateDir)), "network-acls", AT_REMOVEDIR);
    return empty || empty.error().errnum == ENOTEMPTY || empty.error().errnum == ENOENT ? Status() : empty;
}

Status Networks::recoverLostAcls(Apply apply, std::vector<Found> &found)
{
    const auto folder = path::openFolder(aclFolder());
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    for (const std::string &file : TRY(path::list(*folder))) {
        const std::string name = file.substr(0, file.rfind(".yaml"));
        if (!file.ends_with(".yaml") || store::findAcl(m_db, store::kDefaultProject, name))
            continue;
        const auto recoverOne = [&]() -> Status {
            const config::AclDocument document = TRY(config::readAclDocument(TRY(files::read(*folder, file)), file));
            const store::NetworkAcl acl{0, store::kDefaultProject, document.name, document.description, document.config, document.ingress, document.egress};
            if (document.name != name)
                return Error(Code::Corrupt, file + " is that of " + quoted(document.name));
            TRY_IN(file, checkAcl(acl));
            if (apply == Apply::Yes)
                TRY(store::insertAcl(m_db, acl));
            return {};
        };
        found.push_back(outcome({"network ACL", "", name, "", {}, {}}, recoverOne(), apply));
    }
    return {};
}

Result<std::map<std::string, std::vector<std::string>>> Networks::aclUsers()
{
    std::map<std::string, std::vector<std::string>> users;
    for (const store::Network &row : TRY(store::listNetworks(m_db, store::kDefaultProject)))
        if (const auto config = network::parseConfig(row.config))
            for (const std::string &acl : config->acls)
                users[acl].push_back(row.name);
    return users;
}

std::set<std::string> listsOf(const DeviceMap &devices)
{
    std::set<std::string> names;
    for (const auto &[device, keys] : devices)
        if (const auto found = keys.find("security.acls"); found != keys.end())
            if (const auto lists = config::Codec<config::AclNames>::parse(found->second))
                names.insert(lists->items.begin(), lists->items.end());
    return names;
}

Status Networks::checkAclUnused(const std::string &name)
{
    std::vector<std::string> users;
    auto networks = TRY(aclUsers());
    for (const std::string &network : networks[name])
        users.push_back("network " + quoted(network));
    for (const store::Instance &row : TRY(store::listInstances(m_db, "")))
        if (listsOf(row.devices).contains(name))
            users.push_back("instance " + quoted(row.name));
    for (const store::Profile &row : TRY(store::listProfiles(m_db, "")))
        if (listsOf(row.devices).contains(name))
            users.push_back("profile " + quoted(row.name));
    if (users.empty())
        return {};
    return Error(Code::WrongState, "network ACL " + quoted(name) + " is used by " + join(users, ", ")).hint("take it out of their security.acls first");
}

Status Networks::bringUsersUp(const std::string &acl)
{
    auto users = TRY(aclUsers());
    for (const std::string &name : users[acl])
        TRY(bringUp(TRY(networkOf(TRY(rowOf(name))))));
    return renewFilters([&](const network::PortFilter &filter) { return std::ranges::find(filter.acls, acl) != filter.acls.end(); });
}

Status Networks::createAcl(store::NetworkAcl wanted)
{
    const std::lock_guard lock(m_mutex);
    tidyRules(wanted);
    TRY(checkAcl(wanted));
    TRY(store::insertAcl(m_db, wanted));
    TRY(failpoint("network-acl.record"));
    return writeAclDocument(wanted);
}

Status Networks::changeAcl(store::NetworkAcl wanted)
{
    const std::lock_guard lock(m_mutex);
    const store::NetworkAcl before = TRY(store::findAcl(m_db, wanted.project, wanted.name));
    wanted.id = before.id;
    tidyRules(wanted);
    TRY(checkAcl(wanted));
    TRY(store::updateAcl(m_db, wanted));
    Undo undo;
    undo.add("bring the list back as it was", [&]() -> Status {
        TRY(store::updateAcl(m_db, before));
        TRY(bringUsersUp(before.name));
        return writeAclDocument(before);
    });
    TRY(failpoint("network-acl-update.record"));
    TRY(bringUsersUp(wanted.name));
    TRY(writeAclDocument(wanted));
    undo.keep();
    return {};
}

Status Networks::renameAcl(const std::string &project, const std::string &name, const std::string &newName)
{
    const std::lock_guard lock(m_mutex);
    store::NetworkAcl row = TRY(store::findAcl(m_db, project, name));
    TRY(config::checkAclName(newName));
    TRY(checkAclUnused(name));
    if (store::findAcl(m_db, project, newName))
        return Error(Code::AlreadyExists, "network ACL " + quoted(newName) + " already exists");
    TRY(removeAclDocument(name)); // first, or a lost database would bring it back
    TRY(store::renameAcl(m_db, row.id, newName));
    TRY(failpoint("network-acl-rename.record"));
    row.name = newName;
    return writeAclDocument(row);
}

Status Networks::removeAcl(const std::string &project, const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    const store::NetworkAcl row = TRY(store::findAcl(m_db, project, name));
    TRY(checkAclUnused(name));
    TRY(removeAclDocument(name)); // first, or a lost database would bring it back
    TRY(failpoint("network-acl-delete.document"));
    return store::deleteAcl(m_db, row.id);
}

} // namespace lxmgr::instances

// Forwards of networks: ports of the host that lead to guests, in the database and in the firewall.
#include "instances/networks.h"

#include "base/failpoint.h"
#include "base/undo.h"
#include "instances/proxies.h"
#include "network/config.h"
#include "network/rules.h"

namespace lxmgr::instances
{

namespace
{

/// Every field is there on the wire, empty or not.
void fillPorts(std::vector<StringMap> &ports)
{
    for (StringMap &port : ports)
        for (const std::string_view field : network::kPortFields)
            port.emplace(field, "");
}

} // namespace

Result<std::vector<store::NetworkForward>> Networks::forwards(const std::string &name)
{
    return store::listForwards(m_db, TRY(rowOf(name)).id);
}

Result<store::NetworkForward> Networks::findForward(const std::string &name, const std::string &listenAddress)
{
    const auto address = netlink::parseAddress(listenAddress);
    auto forward = store::findForward(m_db, TRY(rowOf(name)).id, address ? address->text() : listenAddress);
    if (!forward && forward.error().code == Code::NotFound)
        return Error(Code::NotFound, "Network forward not found");
    return forward;
}

/// Recorded, in force, and in the document; or none of it.
Status Networks::putForward(const std::string &name, const std::function<Status(const store::Network &)> &change,
                            const std::function<Status(const store::Network &)> &revert)
{
    const store::Network row = TRY(rowOf(name));
    TRY(change(row));
    Undo undo;
    undo.add("bring the forwards back", [&]() -> Status {
        TRY(revert(row));
        TRY(bringUp(TRY(networkOf(row))));
        return writeDocument(row);
    });
    TRY(failpoint("network-forward.record"));
    TRY(bringUp(TRY(networkOf(row))));
    TRY(failpoint("network-forward.up"));
    TRY(writeDocument(row));
    undo.keep();
    return {};
}

Status Networks::checkForwardFree(const network::Forward &forward) const
{
    for (const auto &[owner, owned] : m_proxies)
        TRY(instances::checkForwardFree(forward, owned.proxies, owner));
    return {};
}

Result<std::string> Networks::createForward(const std::string &name, store::NetworkForward wanted)
{
    const std::lock_guard lock(m_mutex);
    const store::Network row = TRY(rowOf(name));
    wanted.networkId = row.id;
    wanted.listenAddress = TRY(network::listenAddress(TRY(network::parseConfig(row.config)), wanted.listenAddress));
    TRY(checkForward(row, {wanted.listenAddress, wanted.config, wanted.ports}));
    TRY(checkForwardFree({wanted.listenAddress, wanted.config, wanted.ports}));
    fillPorts(wanted.ports);
    TRY(putForward(
        name,
        [&](const store::Network &) -> Status {
            wanted.id = TRY(store::insertForward(m_db, wanted));
            return {};
        },
        [&](const store::Network &) { return store::deleteForward(m_db, wanted.id); }));
    return wanted.listenAddress;
}

Status Networks::changeForward(const std::string &name, const store::NetworkForward &wanted)
{
    const std::lock_guard lock(m_mutex);
    const store::NetworkForward before = TRY(findForward(name, wanted.listenAddress));
    store::NetworkForward after = wanted;
    after.id = before.id;
    TRY(checkForward(TRY(rowOf(name)), {before.listenAddress, after.config, after.ports}));
    TRY(checkForwardFree({before.listenAddress, after.config, after.ports}));
    fillPorts(after.ports);
    return putForward(
        name, [&](const store::Network &) { return store::updateForward(m_db, after); },
        [&](const store::Network &) { return store::updateForward(m_db, before); });
}

Status Networks::removeForward(const std::string &name, const std::string &listenAddress)
{
    const std::lock_guard lock(m_mutex);
    const store::NetworkForward before = TRY(findForward(name, listenAddress));
    return putForward(
        name, [&](const store::Network &) { return store::deleteForward(m_db, before.id); },
        [&](const store::Network &) -> Status {
            TRY(store::insertForward(m_db, before));
            return {};
        });
}

} // namespace lxmgr::instances

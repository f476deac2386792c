// VLANs of the host's interfaces that instances are on. Each interface that is made is written down first, as an empty file of its name,
// so that a later daemon knows which are its own.
#include "instances/networks.h"

#include "base/log.h"
#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <fcntl.h>

namespace lxmgr::instances
{

namespace
{

constexpr const char *kFolder = "vlans";

Result<Fd> openRecords(const Paths &paths)
{
    return path::makeFolders(TRY(path::openFolder(paths.runDir)), kFolder, 0700, path::Scope::Beneath);
}

} // namespace

Status Networks::checkVlanFree(const std::string &owner, const VlanUse &use) const
{
    for (const auto &[other, uses] : m_vlans)
        for (const VlanUse &theirs : uses)
            if (other != owner && theirs.vlan == use.vlan && (theirs.whole || use.whole))
                return Error(Code::WrongState, use.vlan.text() + " is used by instance " + quoted(other.substr(other.find('/') + 1)))
                    .hint("nictype=macvlan for all of them shares it");
    return {};
}

Status Networks::ensureVlan(const network::Vlan &vlan) const
{
    if (TRY(network::hasVlan(vlan)))
        return {};
    const Fd records = TRY(openRecords(m_paths));
    TRY(sys::openat(records, vlan.name(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    Status made = network::makeVlan(vlan);
    if (!made)
        (void)sys::unlinkat(records, vlan.name()); // the first error is the one to report
    return made;
}

void Networks::dropVlan(const std::string &name) const
{
    const auto isIt = [&](const VlanUse &use) { return use.vlan.name() == name; };
    if (std::ranges::any_of(m_vlans, [&](const auto &row) { return std::ranges::any_of(row.second, isIt); }))
        return;
    const auto records = openRecords(m_paths);
    if (!records || !sys::fstatat(*records, name, AT_SYMLINK_NOFOLLOW))
        return; // it was there before
    Status gone = network::removeVlan(name);
    if (gone)
        gone = sys::unlinkat(*records, name);
    if (!gone)
        log::error("interface '" + name + "' stays: " + gone.error().message + ", ignoring");
}

Status Networks::setVlans(const std::string &owner, const std::vector<VlanUse> &wanted)
{
    const std::lock_guard lock(m_vlansMutex);
    const auto found = m_vlans.find(owner);
    const std::vector<VlanUse> before = found == m_vlans.end() ? std::vector<VlanUse>() : found->second;
    Status done;
    for (const VlanUse &use : wanted) {
        if (!done || std::ranges::find(before, use.vlan, &VlanUse::vlan) != before.end()) // it may be inside
            continue;
        done = checkVlanFree(owner, use);
        if (done)
            done = ensureVlan(use.vlan);
        if (!done)
            done = std::move(done.error()).in("device " + quoted(use.device));
    }
    if (done && wanted.empty())
        m_vlans.erase(owner);
    else if (done)
        m_vlans[owner] = wanted;
    for (const VlanUse &use : done ? before : wanted)
        dropVlan(use.vlan.name());
    return done;
}

void Networks::adoptVlans(const std::string &owner, const std::vector<VlanUse> &vlans)
{
    const std::lock_guard lock(m_vlansMutex);
    if (!vlans.empty())
        m_vlans[owner] = vlans;
}

void Networks::sweepVlans()
{
    const std::lock_guard lock(m_vlansMutex);
    const auto records = path::openFolder(m_paths.runDir + "/" + kFolder);
    if (!records)
        return; // none was ever made
    if (const auto names = path::list(*records))
        for (const std::string &name : *names)
            dropVlan(name);
}

} // namespace lxmgr::instances

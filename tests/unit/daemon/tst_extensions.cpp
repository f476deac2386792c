// What api_extensions announces: each once, and those that stand for a key only as long as the tables have it.
#include "config/device_keys.h"
#include "config/instance_keys.h"
#include "config/network_keys.h"
#include "config/project_keys.h"
#include "config/server_keys.h"
#include "config/volume_keys.h"
#include "daemon/extensions.h"

#include <QtTest/QtTest>

#include <set>

using namespace lxmgr;
using namespace lxmgr::config;

namespace
{

template <class Rows> std::set<std::string_view> namesOf(const Rows &rows)
{
    std::set<std::string_view> names;
    for (const auto &row : rows)
        names.insert(row.name);
    return names;
}

const std::set<std::string_view> kInstance = namesOf(kInstanceKeys), kNetwork = namesOf(kNetworkKeys), kProject = namesOf(kProjectKeys), kServer = namesOf(kServerKeys),
                                 kVolume = namesOf(kVolumeKeys), kNic = namesOf(kNicKeys), kDisk = namesOf(kDiskKeys), kUsb = namesOf(kUsbKeys), kProxy = namesOf(kProxyKeys),
                                 kNicType = namesOf(kNicTypes);

struct Stands {
    std::string_view extension;
    const std::set<std::string_view> &table;
    std::string_view key;
};
// clang-format off
const Stands kStandFor[] = {
    {"boot_host_shutdown_action",                     kInstance, "boot.host_shutdown_action"},
    {"cloud_init",                                    kInstance, "cloud-init.user-data"},
    {"container_host_shutdown_timeout",               kInstance, "boot.host_shutdown_timeout"},
    {"container_mount_propagation",                   kDisk,     "propagation"},
    {"container_nic_ipfilter",                        kNic,      "security.ipv4_filtering"},
    {"container_nic_routed",                          kNicType,  "routed"},
    {"container_nic_routed_gateway",                  kNic,      "ipv4.gateway"},
    {"container_nic_routed_host_address",             kNic,      "ipv4.host_address"},
    {"container_nic_routed_host_table",               kNic,      "ipv4.host_table"},
    {"container_nic_routes",                          kNic,      "ipv4.routes"},
    {"container_protection_delete",                   kInstance, "security.protection.delete"},
    {"container_protection_shift",                    kInstance, "security.protection.shift"},
    {"container_raw_mount",                           kDisk,     "raw.mount.options"},
    {"container_stop_priority",                       kInstance, "boot.stop.priority"},
    {"container_syscall_filtering",                   kInstance, "security.syscalls.deny_default"},
    {"container_syscall_intercept_sched_setscheduler", kInstance, "security.syscalls.intercept.sched_setscheduler"},
    {"container_syscall_intercept_sysinfo",           kInstance, "security.syscalls.intercept.sysinfo"},
    {"device_usb_serial",                             kUsb,      "serial"},
    {"instance_auto_restart",                         kInstance, "boot.autorestart"},
    {"instance_limits_oom",                           kInstance, "limits.memory.oom_priority"},
    {"instance_nic_bridged_port_isolation",           kNic,      "security.port_isolation"},
    {"instance_nic_bridged_vlan",                     kNic,      "vlan"},
    {"instance_nic_macvlan_mode",                     kNic,      "mode"},
    {"instance_nic_network",                          kNic,      "network"},
    {"instance_nic_txqueuelength",                    kNic,      "queue.tx.length"},
    {"instances_nic_limits_priority",                 kNic,      "limits.priority"},
    {"limits_hugepages",                              kInstance, "limits.hugepages.2MB"},
    {"network_bridge_acl",                            kNetwork,  "security.acls"},
    {"network_bridge_acl_devices",                    kNic,      "security.acls"},
    {"network_dhcp_expiry",                           kNetwork,  "ipv4.dhcp.expiry"},
    {"network_dhcp_gateway",                          kNetwork,  "ipv4.dhcp.gateway"},
    {"network_dns_search",                            kNetwork,  "dns.search"},
    {"network_firewall_filtering",                    kNetwork,  "ipv4.firewall"},
    {"network_hwaddr",                                kNetwork,  "bridge.hwaddr"},
    {"network_sriov",                                 kNicType,  "sriov"},
    {"network_vlan",                                  kNic,      "vlan"},
    {"network_vlan_physical",                         kNic,      "vlan"},
    {"numa_cpu_placement",                            kInstance, "limits.cpu.nodes"},
    {"projects_limits_disk",                          kProject,  "limits.disk"},
    {"projects_limits_disk_pool",                     kProject,  "limits.disk.pool.*"},
    {"projects_limits_instances",                     kProject,  "limits.instances"},
    {"projects_networks_restricted_access",           kProject,  "restricted.networks.access"},
    {"projects_restricted_backups_and_snapshots",     kProject,  "restricted.backups"},
    {"projects_restricted_cluster_target",            kProject,  "restricted.cluster.target"},
    {"projects_restricted_image_servers",             kProject,  "restricted.images.servers"},
    {"projects_restricted_intercept",                 kProject,  "restricted.containers.interception"},
    {"proxy_haproxy_protocol",                        kProxy,    "proxy_protocol"},
    {"proxy_nat",                                     kProxy,    "nat"},
    {"proxy_unix_dac_properties",                     kProxy,    "mode"},
    {"remote_token_expiry",                           kServer,   "core.remote_token_expiry"},
    {"snapshot_manual_expiry",                        kInstance, "snapshots.expiry.manual"},
    {"storage_initial_owner",                         kVolume,   "initial.uid"},
    {"storage_shifted",                               kVolume,   "security.shifted"},
    {"storage_unmapped",                              kVolume,   "security.unmapped"},
    {"trust_ca_certificates",                         kServer,   "core.trust_ca_certificates"},
    {"unix_priv_drop",                                kProxy,    "security.uid"},
    {"usb_optional_vendorid",                         kUsb,      "vendorid"},
    {"volume_snapshot_scheduling",                    kVolume,   "snapshots.schedule"},
};
// clang-format on

} // namespace

class TestExtensions : public QObject
{
    Q_OBJECT
private slots:
    void eachIsNamedOnce();
    void keysAreThere_data();
    void keysAreThere();
};

void TestExtensions::eachIsNamedOnce()
{
    std::set<std::string_view> seen;
    for (const std::string_view extension : daemon::kExtensions)
        QVERIFY2(seen.insert(extension).second, std::string(extension).c_str());
}

void TestExtensions::keysAreThere_data()
{
    QTest::addColumn<int>("row");
    for (int i = 0; i < int(std::size(kStandFor)); ++i)
        QTest::newRow(std::string(kStandFor[i].extension).c_str()) << i;
}

void TestExtensions::keysAreThere()
{
    QFETCH(int, row);
    const Stands &stands = kStandFor[row];
    const bool announced = std::ranges::find(daemon::kExtensions, stands.extension) != std::end(daemon::kExtensions);
    QCOMPARE(announced, stands.table.contains(stands.key));
    QVERIFY(announced);
}

QTEST_APPLESS_MAIN(TestExtensions)
#include "tst_extensions.moc"

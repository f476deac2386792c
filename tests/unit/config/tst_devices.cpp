// What config promises of devices: typed, checked for what goes together, clashes and foreign keys told by name.
#include "config/device_keys.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::config;

namespace
{

const DeviceMap kGood = {
    {"bind",
     {{"type", "disk"},
      {"path", "/srv/data"},
      {"source", "/data"},
      {"readonly", "true"},
      {"shift", "true"},
      {"recursive", "true"},
      {"propagation", "rslave"},
      {"raw.mount.options", "noexec,nodiratime"},
      {"limits.max", "10MiB"},
      {"limits.read", "500iops"},
      {"limits.write", "200iops"},
      {"required", "false"}}                                               },
    {"agent",
     {{"type", "proxy"},
      {"bind", "instance"},
      {"listen", "unix:/run/agent.sock"},
      {"connect", "unix:@agent"},
      {"uid", "1000"},
      {"gid", "1000"},
      {"mode", "0600"},
      {"security.uid", "1001"},
      {"security.gid", "1001"}}                                            },
    {"card",
     {{"type", "gpu"},
      {"gputype", "physical"},
      {"vendorid", "8086"},
      {"productid", "9bc4"},
      {"uid", "1"},
      {"gid", "44"},
      {"mode", "0666"}}                                                    },
    {"card1",  {{"type", "gpu"}, {"id", "1"}}},
    {"card2",  {{"type", "gpu"}, {"pci", "0000:00:02.0"}}},
    {"fast",   {{"type", "disk"}, {"path", "/fast"}, {"source", "tmpfs:"}, {"size", "64MiB"}, {"raw.mount.options", "mode=1777,nr_inodes=100"}}},
    {"key",
     {{"type", "usb"},
      {"vendorid", "1050"},
      {"productid", "0407"},
      {"busnum", "1"},
      {"devnum", "4"},
      {"serial", "0001 A"},
      {"uid", "1"},
      {"gid", "2"},
      {"mode", "0600"},
      {"required", "true"}}                                                },
    {"line",
     {{"type", "unix-hotplug"},
      {"vendorid", "0403"},
      {"productid", "6001"},
      {"uid", "1"},
      {"gid", "20"},
      {"mode", "0660"},
      {"required", "true"}}                                                },
    {"eth0",
     {{"type", "nic"},
      {"network", "lxmgrbr0"},
      {"name", "eth0"},
      {"hwaddr", "10:66:6a:00:00:01"},
      {"ipv4.routes", "198.51.100.0/24"},
      {"ipv6.address", "fd42::3"},
      {"ipv6.routes", "fd42:1::/64"},
      {"limits.egress", "500kbit"},
      {"limits.ingress", "10Mbit"},
      {"limits.max", "1Gbit"},
      {"limits.priority", "65543"},
      {"security.acls", "web,log"},
      {"security.acls.default.egress.action", "allow"},
      {"security.acls.default.egress.logged", "true"},
      {"security.acls.default.ingress.action", "drop"},
      {"security.acls.default.ingress.logged", "false"},
      {"security.ipv4_filtering", "true"},
      {"security.ipv6_filtering", "true"},
      {"security.mac_filtering", "true"},
      {"security.port_isolation", "true"},
      {"vlan", "none"},
      {"vlan.tagged", "5,10-12"},
      {"mtu", "1400"},
      {"host_name", "veth.web1"},
      {"ipv4.address", "10.1.2.3"}}                                        },
    {"eth1",   {{"type", "nic"}, {"nictype", "bridged"}, {"parent", "br0"}, {"queue.tx.length", "2000"}}},
    {"eth2",   {{"type", "nic"}, {"nictype", "macvlan"}, {"parent", "eno1"}, {"mode", "private"}, {"vlan", "30"}}},
    {"eth3",
     {{"type", "nic"},
      {"nictype", "routed"},
      {"ipv4.address", "192.0.2.7,192.0.2.8"},
      {"ipv4.gateway", "none"},
      {"ipv4.host_address", "192.0.2.1"},
      {"ipv4.host_table", "100"},
      {"ipv4.routes", "198.51.100.0/24"},
      {"ipv6.address", "fd42::7"},
      {"ipv6.gateway", "auto"},
      {"ipv6.host_address", "fe80::2"},
      {"ipv6.host_table", "101"},
      {"ipv6.routes", "fd42:1::/64,fd42:2::/64"}}                          },
    {"eth4",   {{"type", "nic"}, {"nictype", "p2p"}}},
    {"eth5",   {{"type", "nic"}, {"nictype", "physical"}, {"parent", "eno2"}}},
    {"eth6",   {{"type", "nic"}, {"nictype", "sriov"}, {"parent", "eno3"}}},
    {"ib",
     {{"type", "infiniband"},
      {"nictype", "physical"},
      {"parent", "ib0"},
      {"name", "ib7"},
      {"hwaddr", "a0:00:0f:c0:fe:80:00:00:00:00:00:00:4a:c8:f9:1b:aa:57:ef:19"},
      {"mtu", "65520"}}                                                    },
    {"ibv",    {{"type", "infiniband"}, {"nictype", "sriov"}, {"parent", "ib0"}, {"hwaddr", "4a:c8:f9:1b:aa:57:ef:19"}}},
    {"kvm",
     {{"type", "unix-char"},
      {"source", "/dev/kvm"},
      {"path", "/dev/kvm"},
      {"major", "10"},
      {"minor", "232"},
      {"uid", "0"},
      {"gid", "104"},
      {"mode", "0660"},
      {"required", "false"}}                                               },
    {"loop",
     {{"type", "unix-block"},
      {"source", "/dev/loop0"},
      {"path", "/dev/disk/first"},
      {"major", "7"},
      {"minor", "0"},
      {"uid", "1000"},
      {"gid", "6"},
      {"mode", "0600"},
      {"required", "true"}}                                                },
    {"masked", {{"type", "none"}}                                          },
    {"http",
     {{"type", "proxy"},
      {"bind", "host"},
      {"listen", "tcp:[::]:80,8000-8010"},
      {"connect", "tcp:127.0.0.1:80"},
      {"proxy_protocol", "true"}}                                          },
    {"natted",
     {{"type", "proxy"},
      {"listen", "udp:192.0.2.1:5060-5061"},
      {"connect", "udp:10.1.2.3:5060-5061"},
      {"nat", "true"}}                                                     },
    {"tpm",    {{"type", "tpm"}, {"path", "/dev/tpm0"}, {"pathrm", "/dev/tpmrm0"}}},
    {"root",   {{"type", "disk"}, {"path", "/"}, {"pool", "default"}, {"size", "10GiB"}}},
};

StringMap keysOf(const QByteArray &text)
{
    StringMap keys;
    for (const QByteArray &pair : text.split(' '))
        keys[pair.left(pair.indexOf('=')).toStdString()] = pair.mid(pair.indexOf('=') + 1).toStdString();
    return keys;
}

} // namespace

class TestDevices : public QObject
{
    Q_OBJECT
private slots:
    void goodOnesRoundTrip()
    {
        const auto devices = parseDevices(kGood, DeviceSet::Expanded);
        VERIFY_OK(devices);
        for (const Device &device : *devices)
            QCOMPARE(formatDevice(device), kGood.at(device.name));
        QCOMPARE(QByteArray::fromStdString(rootDisk(*devices)->name), QByteArray("root"));
    }

    void everyRowIsInTheGoodOnes()
    {
        for (const KeyInfo &info : allKeys()) {
            if (info.group == "instance" || info.group == "pool" || info.group == "volume" || info.group == "server" || info.group == "project")
                continue;
            const bool used = std::ranges::any_of(kGood, [&](const auto &device) {
                return device.second.at("type") == info.group && device.second.contains(std::string(info.name));
            });
            QVERIFY2(used, std::string(info.name).c_str());
        }
    }

    void badOnesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("keys");
        QTest::addColumn<QByteArray>("message");
        const std::pair<const char *, const char *> kBad[] = {
            {"path=/x",                                                 "device 'd': type: is missing (disk, gpu, infiniband, nic, none, proxy, tpm, unix-block, unix-char, unix-hotplug or usb)"                                            },
            {"type=disc",                                               "device 'd': type: 'disc' is not a type of device (disk, gpu, infiniband, nic, none, proxy, tpm, unix-block, unix-char, unix-hotplug or usb)"                        },
            {"type=disk path=/",                                        "device 'd': pool: is missing: the root disk (path=/) lies in a storage pool"                            },
            {"type=disk path=/x source=/x size=1GiB",                   "device 'd': size: is for the root disk; a folder of the host is as large as what it is on"              },
            {"type=disk path=/ pool=default source=/x",                 "device 'd': source: is not for the root disk (path=/)"                                                  },
            {"type=disk path=x source=/x",                              "device 'd': path: 'x' is not an absolute path"                                                          },
            {"type=disk path=/a/../b source=/x",
             "device 'd': path: '/a/../b' has a '..' in it; write the path it means"                                                                                             },
            {"type=disk path=/a",
             "device 'd': source: is missing: the folder or file of the host, with pool the name of a "
             "custom volume, or tmpfs:"                                                                                                                                                     },
            {"type=disk path=/a source=b",                              "device 'd': source: 'b' is not an absolute path"                                                        },
            {"type=disk path=/a pool=default",                          "device 'd': source: is missing: the name of the custom volume"                                          },
            {"type=disk path=/a pool=default source=v shift=true",
             "device 'd': shift: is for folders of the host; the owners in a volume are the guest's own ids "
             "(security.unmapped of the volume)"                                                                                                                                 },
            {"type=disk source=/a",                                     "device 'd': path: is missing: where it is mounted inside"                                               },
            {"type=disk path=/a source=/b readonyl=true",
             "device 'd': unknown key 'readonyl' (did you mean 'readonly'?)"                                                                                                     },
            {"type=nic",                                                "device 'd': network: is missing: a nic has network=<managed network>, or nictype=bridged and "
                         "parent=<bridge of the host>"                                                                                                   },
            {"type=nic network=n parent=br0",                           "device 'd': parent: does not go together with network"                                                  },
            {"type=nic nictype=bridged",                                "device 'd': parent: is missing: a nic has network=<managed network>, or "
                                         "nictype=bridged and parent=<bridge of the host>"                                               },
            {"type=nic nictype=token parent=x",                         "device 'd': nictype: 'token' is not a kind of nic (bridged, macvlan, p2p, physical, routed, sriov)"                                            },
            {"type=nic network=n hwaddr=01:00:00:00:00:00",             "device 'd': hwaddr: '01:00:00:00:00:00' is not the MAC "
                                                            "address of one interface (first byte even, not all zero)"},
            {"type=nic network=n name=../x",                            "device 'd': name: '../x' is not an interface name (1 to 15 of letters, "
                                             "digits and -_., starting with a letter, digit or _)"                                   },
            {"type=nic network=n name=lo",                              "device 'd': name: 'lo' is an interface name the kernel keeps for itself"                                },
            {"type=nic network=n mtu=10",                               "device 'd': mtu: '10' is not from 68 to 65535"                                                          },
            {"type=nic network=n ipv4.address=10.1.2",                  "device 'd': ipv4.address: '10.1.2' is not an IPv4 address"                                              },
            {"type=nic nictype=bridged parent=b ipv4.address=10.1.2.3",
             "device 'd': ipv4.address: needs a managed network"                                                                                                                 },
            {"type=nic nictype=macvlan",                                "device 'd': parent: is missing: the interface of the host that it is"                                   },
            {"type=nic nictype=macvlan parent=e host_name=x",
             "device 'd': host_name: is not for nictype=macvlan (it is for bridged, p2p, routed)"                                                                                },
            {"type=nic nictype=p2p parent=e",
             "device 'd': parent: is not for nictype=p2p (it is for bridged, macvlan, physical, routed, sriov)"                                                                         },
            {"type=nic network=n mode=vepa",                            "device 'd': mode: is not for nictype=bridged (it is for macvlan)"                                       },
            {"type=nic nictype=bridged parent=b ipv6.address=fd42::1",  "device 'd': ipv6.address: needs a managed network"                                                      },
            {"type=nic network=n limits.max=10Mbyte",                   "device 'd': limits.max: '10Mbyte' is not a bit rate, such as 500kbit, 10Mbit or 1Gbit"                  },
            {"type=nic nictype=macvlan parent=e limits.priority=1",
             "device 'd': limits.priority: is not for nictype=macvlan (it is for bridged, p2p, routed)"                                                                          },
            {"type=nic network=n limits.max=100bit",                    "device 'd': limits.max: '100bit' is not from 8kbit to 1Tbit"                                            },
            {"type=nic nictype=macvlan parent=e limits.max=1Gbit",
             "device 'd': limits.max: is not for nictype=macvlan (it is for bridged, p2p, routed)"                                                                               },
            {"type=nic network=n security.ipv4_filtering=true",
             "device 'd': security.ipv4_filtering: needs ipv4.address: the one address that is let through"                                                                      },
            {"type=nic network=n ipv4.address=192.0.2.1,192.0.2.2",     "device 'd': ipv4.address: is one address, or none: DHCP gives no more"                                  },
            {"type=nic nictype=macvlan parent=e mode=x",                "device 'd': mode: 'x' is none of bridge, vepa, private, passthru"                                       },
            {"type=nic nictype=p2p ipv4.routes=192.0.2.1/24",           "device 'd': ipv4.routes: '192.0.2.1/24' is not a subnet: there are bits behind its prefix"              },
            {"type=nic nictype=p2p ipv4.routes=192.0.2.1",
             "device 'd': ipv4.routes: '192.0.2.1' is not a subnet: the prefix is missing, as in 10.1.2.0/24"                                                                    },
            {"type=nic nictype=p2p ipv6.routes=fd42::/129",             "device 'd': ipv6.routes: 'fd42::/129' is not a subnet: its prefix is not from 1 to 128"                 },
            {"type=nic nictype=routed ipv4.address=192.0.2.1,192.0.2.1",
             "device 'd': ipv4.address: '192.0.2.1' is given twice"                                                                                                              },
            {"type=nic nictype=routed ipv6.address=fd42:0::1",
             "device 'd': ipv6.address: 'fd42:0::1' is not an IPv6 address in its short form (fd42::1)"                                                                          },
            {"type=nic nictype=routed ipv4.routes=192.0.2.0/24",        "device 'd': ipv4.routes: needs ipv4.address, which they go to"                                          },
            {"type=nic nictype=routed ipv4.host_table=100",             "device 'd': ipv4.host_table: needs ipv4.address"                                                        },
            {"type=nic nictype=routed ipv4.address=192.0.2.7 ipv4.host_table=254",
             "device 'd': ipv4.host_table: '254' is a table of the kernel's own (0 and 253 to 255); the main one has the routes anyway"                                          },
            {"type=nic nictype=routed ipv6.address=fd42::7 ipv6.host_address=fe80::1,fe80::2", "device 'd': ipv6.host_address: is one address"                                   },
            {"type=nic nictype=p2p ipv4.host_address=192.0.2.1",        "device 'd': ipv4.host_address: is not for nictype=p2p (it is for routed)"                               },
            {"type=nic network=n vlan=4095",                            "device 'd': vlan: '4095' is not the number of a VLAN (1 to 4094), nor none"},
            {"type=nic network=n vlan.tagged=0-5",                      "device 'd': vlan.tagged: '0-5' is no list of VLANs, such as 5,10-12 (1 to 4094)"},
            {"type=disk path=/x source=tmpfs size=1MiB",                "device 'd': source: 'tmpfs' is not an absolute path (memory is 'tmpfs:')"},
            {"type=nic nictype=routed parent=e vlan=5",                 "device 'd': vlan: is not for nictype=routed (it is for bridged, macvlan, physical)"},
            {"type=nic nictype=macvlan parent=e vlan.tagged=5",         "device 'd': vlan.tagged: is not for nictype=macvlan (it is for bridged)"},
            {"type=nic nictype=physical parent=e vlan=none",            "device 'd': vlan: 'none' is for a bridge's ports; leave it out for the parent itself"},
            {"type=nic network=n security.acls=1a",                     "device 'd': security.acls: Network ACL name '1a' is not 1 to 63 of letters, digits, \"-_.\", starting with a letter"},
            {"type=nic network=n security.acls=a,b,a",                  "device 'd': security.acls: 'a' is given twice"},
            {"type=nic network=n security.acls=a security.acls.default.ingress.action=accept",
             "device 'd': security.acls.default.ingress.action: 'accept' is none of allow, drop, reject"},
            {"type=nic network=n security.acls.default.egress.logged=true",
             "device 'd': security.acls.default.egress.logged: needs security.acls: the lists that it is beside"},
            {"type=nic nictype=macvlan parent=e security.acls=a",       "device 'd': security.acls: is not for nictype=macvlan (it is for bridged, p2p, routed)"},
            {"type=nic nictype=sriov",                                  "device 'd': parent: is missing: the interface of the host that it is a virtual function of"             },
            {"type=nic nictype=sriov parent=eno1 queue.tx.length=10",   "device 'd': queue.tx.length: is not for nictype=sriov (it is for bridged, p2p, routed)"                 },
            {"type=unix-char",                                          "device 'd': source: is missing: the device on the host, such as /dev/kvm"                               },
            {"type=unix-block",                                         "device 'd': source: is missing: the device on the host, such as /dev/loop0"                             },
            {"type=unix-block path=/dev/x major=4096 minor=0",          "device 'd': major: '4096' is above 4095"                                                                },
            {"type=unix-char source=/dev/x size=1GiB",                  "device 'd': unknown key 'size'"                                                                         },
            {"type=unix-char source=/etc/passwd",                       "device 'd': path: '/etc/passwd' is not below /dev"                                                      },
            {"type=unix-char path=/dev/x major=1",                      "device 'd': minor: is missing: major and minor go together"                                             },
            {"type=unix-char path=/dev/x mode=999",                     "device 'd': mode: '999' is not a file mode (octal, 0 to 0777)"                                          },
            {"type=disk path=/a source=/b propagation=up",
             "device 'd': propagation: 'up' is not a propagation (private, shared, slave, unbindable, or with an r before it)"                                                    },
            {"type=disk path=/a source=/b raw.mount.options=ro,suid",
             "device 'd': raw.mount.options: 'suid' is not a mount option that may be given (noatime, nodev, nodiratime, noexec, nosuid, nosymfollow, relatime, ro, strictatime, gid, mode, nr_inodes, uid)"},
            {"type=disk path=/a source=/b raw.mount.options=mode=700",  "device 'd': raw.mount.options: 'mode=700' is for a tmpfs"                                               },
            {"type=disk path=/a source=tmpfs: raw.mount.options=mode",  "device 'd': raw.mount.options: 'mode' needs a value"                                                    },
            {"type=disk path=/a source=tmpfs: raw.mount.options=mode=7777",
             "device 'd': raw.mount.options: 'mode=7777' has a value that is not octal, or too large"                                                                            },
            {"type=disk path=/a source=tmpfs: shift=true",              "device 'd': shift: is for folders of the host, not for a tmpfs"                                         },
            {"type=disk path=/a source=tmpfs: size=1kB",                "device 'd': size: '1000' is less than a page of memory (4096)"                                          },
            {"type=disk path=/a source=/b limits.read=0",               "device 'd': limits.read: '0' is not a limit of a disk (for example 10MB, in a second, or 500iops)"      },
            {"type=disk path=/a source=/b limits.read=manyiops",
             "device 'd': limits.read: 'manyiops' is not a number of operations in a second (for example 500iops)"                                                               },
            {"type=disk path=/a source=/b limits.read=1MB limits.max=2MB",
             "device 'd': limits.max: is for reading and writing both; it does not go together with one of its kind for either"                                                  },
            {"type=usb",                                                "device 'd': vendorid: is missing: a USB device has vendorid=<4 hex digits>, with productid where that is not enough, serial, or busnum and devnum"},
            {"type=usb vendorid=50",                                    "device 'd': vendorid: '50' is not four hex digits (for example 046d, as lsusb and lspci -n print them)" },
            {"type=usb busnum=1",                                       "device 'd': devnum: is missing: busnum and devnum go together"                                          },
            {"type=usb vendorid=1050 source=/dev/x",                    "device 'd': unknown key 'source'"                                                                       },
            {"type=unix-hotplug productid=0407",                        "device 'd': vendorid: is missing: the vendor of the USB device, 4 hex digits"                           },
            {"type=gpu gputype=fast",                                   "device 'd': gputype: 'fast' is not a kind of gpu (physical)"                                            },
            {"type=gpu id=0 pci=00:02.0",                               "device 'd': id: does not go together with pci, vendorid or productid: it is the one card already"       },
            {"type=gpu pci=0:2",                                        "device 'd': pci: '0:2' is not a PCI address (for example 0000:00:02.0)"                                 },
            {"type=infiniband parent=ib0",                              "device 'd': nictype: is missing: physical (the parent itself) or sriov (a free virtual function of it)"},
            {"type=infiniband nictype=macvlan parent=ib0",              "device 'd': nictype: 'macvlan' is not a kind of infiniband device (physical, sriov)"                    },
            {"type=infiniband nictype=physical",                        "device 'd': parent: is missing: the interface of the host, such as ib0"                                 },
            {"type=infiniband nictype=physical parent=ib0 mtu=10",      "device 'd': mtu: '10' is not from 68 to 65535"                                                          },
            {"type=infiniband nictype=physical parent=ib0 hwaddr=4a:c8:f9:1b:aa:57",
             "device 'd': hwaddr: '4a:c8:f9:1b:aa:57' is not the address of an InfiniBand port (20 bytes, or the 8 of its GUID: 4a:c8:f9:1b:aa:57:ef:19)"                        },
            {"type=tpm",                                                "device 'd': path: is missing: where it is inside, such as /dev/tpm0"                                    },
            {"type=tpm path=/dev/tpm0 pathrm=/run/tpmrm0",              "device 'd': pathrm: '/run/tpmrm0' is not below /dev"                                                    },
            {"type=proxy connect=tcp:127.0.0.1:80",                     "device 'd': listen: is missing: tcp:ADDRESS:PORT, udp:ADDRESS:PORT, unix:/PATH or unix:@NAME"},
            {"type=proxy listen=80 connect=tcp:127.0.0.1:80",           "device 'd': listen: '80' is none of tcp:ADDRESS:PORT, udp:ADDRESS:PORT, unix:/PATH, unix:@NAME"},
            {"type=proxy listen=tcp:localhost:80 connect=unix:@x",
             "device 'd': listen: 'localhost' is not an IPv4 address; a name is not looked up (0.0.0.0 and [::] are all addresses)"},
            {"type=proxy listen=tcp:::1:80 connect=unix:@x",
             "device 'd': listen: '::1' is not an IPv4 address; a name is not looked up (0.0.0.0 and [::] are all addresses)"},
            {"type=proxy listen=tcp:[1.2.3.4]:80 connect=unix:@x",
             "device 'd': listen: '1.2.3.4' is not an IPv6 address; a name is not looked up (0.0.0.0 and [::] are all addresses)"},
            {"type=proxy listen=tcp:1.2.3.4 connect=unix:@x",           "device 'd': listen: '1.2.3.4' is not ADDRESS:PORT (an IPv6 address in brackets)"},
            {"type=proxy listen=tcp:1.2.3.4:0 connect=unix:@x",         "device 'd': listen: '0' is no port or range of ports, like 80 or 8000-8010"},
            {"type=proxy listen=tcp:1.2.3.4:90-80 connect=unix:@x",     "device 'd': listen: '90-80' is no port or range of ports, like 80 or 8000-8010"},
            {"type=proxy listen=tcp:1.2.3.4:80, connect=unix:@x",       "device 'd': listen: '' is no port or range of ports, like 80 or 8000-8010"},
            {"type=proxy listen=tcp:1.2.3.4: connect=unix:@x",          "device 'd': listen: '' has no port"},
            {"type=proxy listen=unix:x connect=unix:@x",                "device 'd': listen: 'x' is not an absolute path"},
            {"type=proxy listen=unix:/a/../x connect=unix:@x",          "device 'd': listen: '/a/../x' has a '..' in it; write the path it means"},
            {"type=proxy listen=unix:@ connect=unix:@x",                "device 'd': listen: '@' is no name of an abstract socket (@ and some bytes that can be printed)"},
            {"type=proxy listen=tcp:1.2.3.4:80 connect=tcp:1.2.3.4:80-81",
             "device 'd': connect: has 2 ports for 1 that are listened on; give one, or as many"},
            {"type=proxy listen=tcp:1.2.3.4:1-513 connect=tcp:1.2.3.4:80", "device 'd': listen: has more than 512 ports; with nat=true it may"},
            {"type=proxy listen=udp:1.2.3.4:1 connect=udp:1.2.3.4:80 proxy_protocol=true",
             "device 'd': proxy_protocol: is for connections to a tcp server, from tcp or unix"},
            {"type=proxy listen=unix:@x connect=unix:@y mode=0600",     "device 'd': mode: is for a socket file (listen=unix:/PATH)"},
            {"type=proxy listen=unix:@x connect=unix:@y bind=both",     "device 'd': bind: 'both' is neither host nor instance"},
            {"type=proxy listen=tcp:1.2.3.4:1 connect=udp:1.2.3.4:1 nat=true", "device 'd': nat: is from tcp to tcp or from udp to udp"},
            {"type=proxy listen=tcp:1.2.3.4:1 connect=tcp:[fd42::1]:1 nat=true", "device 'd': nat: is from IPv4 to IPv4 or from IPv6 to IPv6"},
            {"type=proxy listen=tcp:0.0.0.0:1 connect=tcp:1.2.3.4:1 nat=true",
             "device 'd': listen: with nat=true is one address of the host, not all of them: all packets that pass would be taken"},
            {"type=proxy listen=tcp:127.0.0.1:1 connect=tcp:1.2.3.4:1 nat=true",
             "device 'd': listen: with nat=true is not the loopback address, which no packet from elsewhere comes to; leave nat out for it"},
            {"type=proxy listen=tcp:1.2.3.4:1 connect=tcp:1.2.3.4:1 nat=true bind=instance",
             "device 'd': nat: forwards what comes to the host: it does not go together with bind=instance"},
            {"type=proxy listen=tcp:1.2.3.4:1 connect=tcp:1.2.3.4:1 nat=true security.uid=1",
             "device 'd': security.uid: does not go together with nat=true, where no process connects"},
            {"type=none path=/x",                                       "device 'd': unknown key 'path'"                                                                         },
        };
        for (const auto &[keys, message] : kBad)
            QTest::newRow(keys) << QByteArray(keys) << QByteArray(message);
    }
    void badOnesAreRefused()
    {
        QFETCH(QByteArray, keys);
        QFETCH(QByteArray, message);
        const auto device = parseDevice("d", keysOf(keys));
        VERIFY_FAILS(Code::Invalid, device);
        QCOMPARE(QByteArray::fromStdString(device.error().message), message);
    }

    void whatOthersHaveIsRefusedByName_data()
    {
        QTest::addColumn<QByteArray>("keys");
        for (const char *keys :
             {"type=gpu gputype=mig", "type=gpu mdev=x", "type=pci address=00:02.0",
              "type=disk path=/x source=tmpfs-overlay:", "type=nic nictype=ipvlan parent=eth0",
              "type=nic nictype=physical parent=eth0 security.trusted=true",
              "type=disk path=/ pool=default size.state=10GiB", "type=disk path=/x pool=default source=vol io.bus=nvme"})
            QTest::newRow(keys) << QByteArray(keys);
    }
    void whatOthersHaveIsRefusedByName()
    {
        QFETCH(QByteArray, keys);
        const auto device = parseDevice("d", keysOf(keys));
        VERIFY_FAILS(Code::Unsupported, device);
        QVERIFY2(device.error().message.find("not supported yet by this version") != std::string::npos,
                 device.error().message.c_str());
    }

    void namesAreChecked()
    {
        VERIFY_OK(checkDeviceName("eth0.1:a_b-c"));
        for (const char *bad : {"", ".x", "a/b", "a b", "a\n"})
            VERIFY_FAILS(Code::Invalid, checkDeviceName(bad));
        VERIFY_FAILS(Code::Invalid, checkDeviceName(std::string(65, 'a')));
    }

    void clashesAreRefused()
    {
        DeviceMap devices = kGood;
        devices["root2"] = kGood.at("root");
        VERIFY_FAILS(Code::Invalid, parseDevices(devices, DeviceSet::Local));
        devices = kGood;
        devices["eth1"]["name"] = "eth0";
        VERIFY_FAILS(Code::Invalid, parseDevices(devices, DeviceSet::Local));
        devices = kGood;
        devices["eth6"] = kGood.at("eth5");
        VERIFY_FAILS(Code::Invalid, parseDevices(devices, DeviceSet::Local));
    }

    void nodesOfBothKindsClashByTheirPath()
    {
        DeviceMap devices = kGood;
        devices["again"] = {{"type", "unix-char"}, {"source", "/dev/null"}, {"path", "/dev/disk/first"}};
        const auto parsed = parseDevices(devices, DeviceSet::Local);
        VERIFY_FAILS(Code::Invalid, parsed);
        QVERIFY2(parsed.error().message.find("'again' and 'loop' have the same path") != std::string::npos, parsed.error().message.c_str());
    }

    void proxiesAtOnePlaceAreRefused()
    {
        DeviceMap devices = kGood;
        devices["other"] = {{"type", "proxy"}, {"listen", "tcp:[0::0]:8005"}, {"connect", "unix:@x"}};
        const auto taken = parseDevices(devices, DeviceSet::Local);
        VERIFY_FAILS(Code::Invalid, taken);
        QCOMPARE(QByteArray::fromStdString(taken.error().message),
                 QByteArray("devices 'http' and 'other' have the same place to listen on 'tcp:[::]:8005'"));
        devices["other"]["bind"] = "guest"; // the other side
        VERIFY_OK(parseDevices(devices, DeviceSet::Local));
        devices["other"]["listen"] = "tcp:0.0.0.0:1-512"; // with those of the others
        VERIFY_FAILS(Code::Invalid, parseDevices(devices, DeviceSet::Local));
    }

    void anExpandedSetHasARoot()
    {
        DeviceMap devices = kGood;
        devices.erase("root");
        VERIFY_OK(parseDevices(devices, DeviceSet::Local));
        VERIFY_FAILS(Code::Invalid, parseDevices(devices, DeviceSet::Expanded));
        devices["root"] = {
            {"type", "none"}
        };
        VERIFY_FAILS(Code::Invalid, parseDevices(devices, DeviceSet::Expanded));
    }
};

QTEST_APPLESS_MAIN(TestDevices)
#include "tst_devices.moc"

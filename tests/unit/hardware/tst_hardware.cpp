// The host's hardware, from trees that look like /sys and /proc of machines this one is not.
#include "hardware/hardware.h"
#include "hardware/names.h"
#include "support/verify.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <QtTest/QtTest>

using namespace lxmgr;

class TestHardware : public QObject
{
    Q_OBJECT
private slots:
    void init();
    void processorsAreInTheirSockets();
    void memoryIsInItsNodes();
    void cardsHaveFunctionsAndPorts();
    void disksHavePartitions();
    void usbDevicesHaveInterfaces();
    void theMachineIsNamed();
    void namesComeFromTheLists();
    void whatIsNotThereIsEmpty();
    void othersLearnNoSerialNumbers();
    void thisHostIsRead();

private:
    void put(const QString &path, const QByteArray &text);
    void link(const QString &path, const QString &target);
    /// A device on PCI, with the link that the bus has of it.
    void pci(const QString &address, const QByteArray &deviceClass, const QByteArray &vendor, const QByteArray &product);
    hardware::Roots roots() const;

    std::unique_ptr<QTemporaryDir> m_root;
};

void TestHardware::init() { m_root = std::make_unique<QTemporaryDir>(); }

void TestHardware::put(const QString &path, const QByteArray &text)
{
    const QString whole = m_root->path() + "/" + path;
    QVERIFY(QDir().mkpath(whole.left(whole.lastIndexOf('/'))));
    QFile file(whole);
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write(text + "\n") > 0);
}

void TestHardware::link(const QString &path, const QString &target)
{
    const QString whole = m_root->path() + "/" + path;
    QVERIFY(QDir().mkpath(whole.left(whole.lastIndexOf('/'))));
    QVERIFY(QFile::link(target, whole));
}

void TestHardware::pci(const QString &address, const QByteArray &deviceClass, const QByteArray &vendor, const QByteArray &product)
{
    const QString folder = "sys/devices/pci0000:00/" + address;
    put(folder + "/class", deviceClass);
    put(folder + "/vendor", "0x" + vendor);
    put(folder + "/device", "0x" + product);
    put(folder + "/numa_node", "-1");
    link("sys/bus/pci/devices/" + address, "../../../devices/pci0000:00/" + address);
}

hardware::Roots TestHardware::roots() const
{
    const std::string root = m_root->path().toStdString();
    return {root + "/sys", root + "/proc", root + "/dev", root + "/run", {root + "/none", root + "/names"}};
}

/// Two sockets of two cores, the first with two threads each; one thread is switched off, one kept from the scheduler.
void TestHardware::processorsAreInTheirSockets()
{
    QByteArray cpuinfo;
    const QList<std::tuple<int, int, int>> all = {{0, 0, 0}, {1, 0, 1}, {2, 1, 0}, {3, 1, 1}, {10, 0, 0}, {11, 0, 1}};
    for (const auto &[cpu, socket, core] : all) {
        const QString folder = QString("sys/devices/system/cpu/cpu%1").arg(cpu);
        put(folder + "/topology/physical_package_id", QByteArray::number(socket));
        put(folder + "/topology/core_id", QByteArray::number(core));
        put(folder + "/topology/die_id", "0");
        put(folder + "/cpufreq/scaling_cur_freq", QByteArray::number(2'000'000 + cpu * 1000));
        put(folder + "/cpufreq/cpuinfo_min_freq", "400000");
        put(folder + "/cpufreq/cpuinfo_max_freq", "3500000");
        cpuinfo += "processor\t: " + QByteArray::number(cpu) + "\nvendor_id\t: GenuineIntel\nmodel name\t: Model " + QByteArray::number(socket) + ": fast\n\n";
    }
    put("sys/devices/system/cpu/cpu12/online", "0"); // and nothing else
    put("sys/devices/system/cpu/cpufreq/x", "");
    put("sys/devices/system/cpu/isolated", "2-3");
    put("sys/devices/system/cpu/cpu0/cache/index0/level", "1");
    put("sys/devices/system/cpu/cpu0/cache/index0/type", "Data");
    put("sys/devices/system/cpu/cpu0/cache/index0/size", "32K");
    put("sys/devices/system/node/node0/cpulist", "0-1,10-11");
    put("sys/devices/system/node/node1/cpulist", "2-3");
    put("proc/cpuinfo", cpuinfo);
    const api::CpuResources cpus = hardware::read(roots()).cpu;
    QCOMPARE(cpus.total, std::uint64_t{6});
    QCOMPARE(cpus.sockets.size(), std::size_t{2});
    const api::CpuSocket &first = cpus.sockets[0], &second = cpus.sockets[1];
    QCOMPARE(first.name, std::string("Model 0: fast"));
    QCOMPARE(second.name, std::string("Model 1: fast"));
    QCOMPARE(first.vendor, std::string("GenuineIntel"));
    QCOMPARE(first.frequency, std::uint64_t{2011});
    QCOMPARE(first.frequencyMinimum, std::uint64_t{400});
    QCOMPARE(first.frequencyTurbo, std::uint64_t{3500});
    QVERIFY((first.cache == std::vector<api::CpuCache>{{1, "Data", 32768}}));
    QVERIFY((first.cores == std::vector<api::CpuCore>{{0, 0, {{0, 0, 0, true, false}, {10, 0, 1, true, false}}, 2010}, {1, 0, {{1, 0, 0, true, false}, {11, 0, 1, true, false}}, 2011}}));
    QVERIFY((second.cores == std::vector<api::CpuCore>{{0, 0, {{2, 1, 0, true, true}}, 2002}, {1, 0, {{3, 1, 0, true, true}}, 2003}}));
}

void TestHardware::memoryIsInItsNodes()
{
    put("proc/meminfo", "MemTotal:        3000 kB\nMemFree:         500 kB\nMemAvailable:    2000 kB\nHugePages_Total:       8\nHugePages_Free:        5\nHugepagesize:       2048 kB");
    put("sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:   2000 kB\nNode 1 MemUsed:    900 kB\nNode 1 FilePages:  300 kB\nNode 1 HugePages_Total:  8\nNode 1 HugePages_Free:  5");
    put("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:   1000 kB\nNode 0 MemUsed:    100 kB");
    const api::MemoryResources memory = hardware::read(roots()).memory;
    QCOMPARE(memory.total, std::uint64_t{3000 * 1024});
    QCOMPARE(memory.used, std::uint64_t{1000 * 1024});
    QCOMPARE(memory.hugepagesTotal, std::uint64_t{16 << 20});
    QCOMPARE(memory.hugepagesUsed, std::uint64_t{6 << 20});
    QCOMPARE(memory.hugepagesSize, std::uint64_t{2 << 20});
    QVERIFY((memory.nodes == std::vector<api::MemoryNode>{{0, 0, 0, 100 * 1024, 1000 * 1024}, {1, 6 << 20, 16 << 20, 600 * 1024, 2000 * 1024}}));
}

void TestHardware::cardsHaveFunctionsAndPorts()
{
    put("names/pci.ids", "# a list\n8086  Intel Corporation\n\t10fb  82599 SFI/SFP+\n\t\t8086 0002  A board\n\t10ed  82599 Virtual Function\n1002  AMD\n\t1638  Cezanne\nC 02  Network controller\n\t00  Ethernet controller");
    const auto interface = [&](const QString &device, const QString &name, const QByteArray &address) {
        put(device + "/net/" + name + "/address", address);
        put(device + "/net/" + name + "/type", "1");
        put(device + "/net/" + name + "/carrier", "1");
        put(device + "/net/" + name + "/speed", "10000");
        put(device + "/net/" + name + "/duplex", "full");
        link(device + "/net/" + name + "/device", "../..");
        link("sys/class/net/" + name, "../../" + device.mid(4) + "/net/" + name);
    };
    const QString devices = "sys/devices/pci0000:00/";
    pci("0000:00:01.0", "0x020000", "8086", "10fb");
    put(devices + "0000:00:01.0/sriov_totalvfs", "63");
    put(devices + "0000:00:01.0/sriov_numvfs", "1");
    link(devices + "0000:00:01.0/virtfn0", "../0000:00:01.1");
    link(devices + "0000:00:01.0/driver", "../../../bus/pci/drivers/ixgbe");
    put("sys/bus/pci/drivers/ixgbe/module/version", "5.1.0");
    link(devices + "0000:00:01.0/iommu_group", "../../../kernel/iommu_groups/20");
    interface(devices + "0000:00:01.0", "enp1s0", "00:16:3e:00:00:01");
    pci("0000:00:01.1", "0x020000", "8086", "10ed");
    link(devices + "0000:00:01.1/physfn", "../0000:00:01.0");
    interface(devices + "0000:00:01.1", "enp1s0v0", "00:16:3e:00:00:02");
    pci("0000:00:02.0", "0x010000", "1af4", "1041");
    interface(devices + "0000:00:02.0/virtio2", "eth0", "00:16:3e:00:00:03"); // virtio lies in between, and its class says nothing
    pci("0000:00:03.0", "0x030000", "1002", "1638");
    put(devices + "0000:00:03.0/drm/card1/dev", "226:1");
    put(devices + "0000:00:03.0/drm/card1-DP-1/enabled", "no");
    put(devices + "0000:00:03.0/drm/renderD129/dev", "226:129");
    link("sys/class/drm/card1", "../../devices/pci0000:00/0000:00:03.0/drm/card1");
    put("sys/devices/platform/soc/drm/card0/dev", "226:0");
    link("sys/devices/platform/soc/drm/card0/device", "../..");
    link("sys/class/drm/card0", "../../devices/platform/soc/drm/card0");
    put("sys/devices/virtual/net/lo/address", "00:00:00:00:00:00");
    link("sys/class/net/lo", "../../devices/virtual/net/lo");

    const api::Resources all = hardware::read(roots());
    QCOMPARE(all.network.total, std::uint64_t{2}); // no lo; the function is its card's
    const api::NetworkCard &card = all.network.cards[0];
    QCOMPARE(card.vendor + "/" + card.vendorId + "/" + card.product + "/" + card.productId, std::string("Intel Corporation/8086/82599 SFI/SFP+/10fb"));
    QCOMPARE(card.driver + " " + card.driverVersion, std::string("ixgbe 5.1.0"));
    QCOMPARE(card.ports.size(), std::size_t{1});
    QCOMPARE(card.ports[0].id + " " + card.ports[0].address + " " + card.ports[0].protocol, std::string("enp1s0 00:16:3e:00:00:01 ethernet"));
    QVERIFY(card.ports[0].linkDetected && card.ports[0].linkSpeed == 10000 && card.ports[0].linkDuplex == "full");
    QVERIFY(card.sriov && card.sriov->maximum == 63 && card.sriov->current == 1 && card.sriov->list.size() == 1);
    QCOMPARE(card.sriov->list[0].ports.at(0).id, std::string("enp1s0v0"));
    QCOMPARE(all.network.cards[1].pciAddress + " " + all.network.cards[1].ports.at(0).id, std::string("0000:00:02.0 eth0"));
    QCOMPARE(all.pci.total, std::uint64_t{4});
    QCOMPARE(all.pci.devices[0].iommuGroup, std::uint64_t{20});
    QCOMPARE(all.gpu.total, std::uint64_t{2});
    const api::GpuCard &gpu = all.gpu.cards[0];
    QCOMPARE(gpu.product, std::string("Cezanne"));
    QVERIFY(gpu.drm && gpu.drm->id == 1 && gpu.drm->cardDevice == "226:1" && gpu.drm->renderName == "renderD129" && gpu.drm->renderDevice == "226:129");
    QVERIFY(all.gpu.cards[1].pciAddress.empty() && all.gpu.cards[1].drm->cardName == "card0");
    const std::string json = api::toJson(all);
    QVERIFY2(json.find(R"("sriov":{"current_vfs":1,"maximum_vfs":63,"vfs":[{)") != std::string::npos, json.c_str());
}

void TestHardware::disksHavePartitions()
{
    const QString disk = "sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda";
    put(disk + "/dev", "8:0");
    put(disk + "/size", "1000");
    put(disk + "/ro", "0");
    put(disk + "/removable", "1");
    put(disk + "/queue/logical_block_size", "4096");
    put(disk + "/queue/rotational", "1");
    put("sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/model", "Turning  ");
    link(disk + "/device", "../..");
    for (const QString part : {"2", "10", "1"}) {
        put(disk + "/sda" + part + "/partition", part.toUtf8());
        put(disk + "/sda" + part + "/dev", "8:" + part.toUtf8());
        put(disk + "/sda" + part + "/size", "100");
        put(disk + "/sda" + part + "/ro", "1");
    }
    link("sys/block/sda", "../" + disk.mid(4));
    put("sys/devices/virtual/block/loop0/dev", "7:0");
    link("sys/block/loop0", "../devices/virtual/block/loop0");
    put("run/udev/data/b8:0", "S:disk/by-id/ata-Turning\nE:ID_SERIAL_SHORT=T1\nE:ID_ATA_ROTATION_RATE_RPM=7200\nE:ID_WWN=0x5000\nE:ID_REVISION=R2");
    link("dev/disk/by-id/wwn-0x5000", "../../sda");
    link("dev/disk/by-id/ata-Turning_T1", "../../sda");
    link("dev/disk/by-id/ata-Turning_T1-part1", "../../sda1");
    link("dev/disk/by-path/pci-0000:00:1f.2-ata-1", "../../sda");
    const api::DiskResources storage = hardware::read(roots()).storage;
    QCOMPARE(storage.disks.size(), std::size_t{1});
    QCOMPARE(storage.total, std::uint64_t{3});
    const api::Disk &found = storage.disks[0];
    QCOMPARE(found.id + " " + found.device + " " + found.model + " " + found.type, std::string("sda 8:0 Turning sata"));
    QCOMPARE(found.size, std::uint64_t{512000});
    QVERIFY(found.removable && !found.readOnly);
    QCOMPARE(found.blockSize, std::uint64_t{4096});
    QCOMPARE(found.rpm, std::uint64_t{7200});
    QCOMPARE(found.serial + " " + found.wwn + " " + found.firmwareVersion, std::string("T1 0x5000 R2"));
    QCOMPARE(found.deviceId + " " + found.devicePath + " " + found.pciAddress, std::string("ata-Turning_T1 pci-0000:00:1f.2-ata-1 0000:00:1f.2"));
    QCOMPARE(found.partitions.size(), std::size_t{3});
    QCOMPARE(found.partitions[2].id + " " + found.partitions[2].device, std::string("sda10 8:10"));
    QVERIFY(found.partitions[0].partition == 1 && found.partitions[0].size == 51200 && found.partitions[0].readOnly);
}

void TestHardware::usbDevicesHaveInterfaces()
{
    put("names/usb.ids", "0557  ATEN\n\t2221  Mouse\nC 03  Human Interface Device\n\t01  Boot Interface Subclass\n\t\t02  Mouse\nAT 0100  USB Undefined\nHID 21  HID\n\t01  nothing of ATEN's");
    const QString device = "sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2";
    put("sys/devices/pci0000:00/0000:00:14.0/usb1/idVendor", "1d6b");
    link("sys/bus/usb/devices/usb1", "../../../devices/pci0000:00/0000:00:14.0/usb1");
    put(device + "/idVendor", "0557");
    put(device + "/idProduct", "2221");
    put(device + "/busnum", "1");
    put(device + "/devnum", "7");
    put(device + "/speed", "1.5");
    put(device + "/1-1.2:1.0/bInterfaceClass", "03");
    put(device + "/1-1.2:1.0/bInterfaceSubClass", "01");
    put(device + "/1-1.2:1.0/bInterfaceNumber", "0a");
    link(device + "/1-1.2:1.0/driver", "../../../../../../../bus/usb/drivers/usbhid");
    link("sys/bus/usb/devices/1-1.2", "../../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2");
    link("sys/bus/usb/devices/1-1.2:1.0", "../../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2:1.0");
    put(device + "/1-1.2:1.0/net/usb0/address", "00:16:3e:00:00:09");
    put(device + "/1-1.2:1.0/net/usb0/type", "1");
    link(device + "/1-1.2:1.0/net/usb0/device", "../..");
    link("sys/class/net/usb0", "../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2:1.0/net/usb0");
    const api::Resources all = hardware::read(roots());
    QCOMPARE(all.usb.total, std::uint64_t{1});
    const api::UsbHardware &found = all.usb.devices[0];
    QCOMPARE(found.vendor + " " + found.product, std::string("ATEN Mouse"));
    QCOMPARE(found.speed, 1.5);
    QVERIFY(found.bus == 1 && found.device == 7 && found.interfaces.size() == 1);
    const api::UsbInterface &interface = found.interfaces[0];
    QCOMPARE(interface.className + "/" + interface.subclass + "/" + interface.driver, std::string("Human Interface Device/Boot Interface Subclass/usbhid"));
    QVERIFY(interface.classId == 3 && interface.subclassId == 1 && interface.number == 10);
    QCOMPARE(all.network.total, std::uint64_t{1});
    QCOMPARE(all.network.cards[0].usbAddress + " " + all.network.cards[0].vendor + " " + all.network.cards[0].driver, std::string("1:7 ATEN usbhid"));
}

void TestHardware::theMachineIsNamed()
{
    put("sys/class/dmi/id/sys_vendor", "LENOVO");
    put("sys/class/dmi/id/product_uuid", "ABCD");
    put("sys/class/dmi/id/chassis_type", "10");
    put("sys/class/dmi/id/board_name", "20HR");
    put("sys/class/dmi/id/bios_date", "10/14/2020");
    put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu");
    const auto type = [&] { return hardware::read(roots()).system.type; };
    const api::SystemResources system = hardware::read(roots()).system;
    QCOMPARE(system.vendor + " " + system.uuid + " " + system.type, std::string("LENOVO abcd physical"));
    QCOMPARE(system.chassis->type + " " + system.motherboard->product + " " + system.firmware->date, std::string("Notebook 20HR 10/14/2020"));
    put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor lahf_lm");
    QCOMPARE(type(), std::string("virtual-machine"));
    put("run/systemd/container", "lxc");
    QCOMPARE(type(), std::string("container"));
}

void TestHardware::namesComeFromTheLists()
{
    const hardware::NameList list("0001  A\n\t0002  B\n\t\t0003 0004  a board of it\nC 01  D\n\t02  E\nL 0001  a language\n\t01  of none");
    QCOMPARE(list.vendor("0001") + list.product("0001", "0002") + list.deviceClass("01") + list.subclass("01", "02"), std::string("ABDE"));
    QCOMPARE(list.vendor("0002") + list.product("0002", "0001") + list.product("0001", "0003") + list.subclass("01", "01"), std::string());
}

void TestHardware::whatIsNotThereIsEmpty()
{
    const api::Resources all = hardware::read(roots());
    QVERIFY(all.cpu.sockets.empty() && all.memory.total == 0 && all.network.cards.empty() && !all.system.chassis);
    const std::string json = api::toJson(all);
    for (const char *part : {R"("sockets":[])", R"("gpu":{"cards":[],"total":0})", R"("disks":[])", R"("usb":{"devices":[],"total":0})", R"("firmware":null)"})
        QVERIFY2(json.find(part) != std::string::npos, json.c_str());
}

void TestHardware::othersLearnNoSerialNumbers()
{
    api::Resources all;
    all.network.cards.emplace_back().ports.push_back({"eth0", "secret-mac", 0, "ethernet", "", "", false, false, 0, "", {}});
    all.network.cards[0].sriov.emplace().list.emplace_back().ports.push_back({"eth1", "secret-mac", 0, "ethernet", "", "", false, false, 0, "", {}});
    api::Disk &disk = all.storage.disks.emplace_back();
    disk.serial = disk.wwn = disk.deviceId = disk.devicePath = "secret-disk";
    all.system.uuid = all.system.serial = "secret-machine";
    all.system.chassis = api::Chassis{"", "", "secret-chassis", ""};
    all.system.motherboard = api::Motherboard{"", "", "secret-board", ""};
    QVERIFY(api::toJson(all).find("secret") != std::string::npos);
    const std::string shown = api::toJson(hardware::anonymous(all));
    QVERIFY2(shown.find("secret") == std::string::npos && shown.find("eth1") != std::string::npos, shown.c_str());
}

void TestHardware::thisHostIsRead()
{
    const api::Resources all = hardware::read({});
    QVERIFY(all.cpu.total >= 1 && !all.cpu.sockets.empty() && !all.cpu.architecture.empty());
    QVERIFY(all.memory.total > (64 << 20) && all.memory.used < all.memory.total);
}

QTEST_APPLESS_MAIN(TestHardware)
#include "tst_hardware.moc"

// GET /1.0/resources: the host's hardware.
#pragma once

#include "api/fields.h"

namespace lxmgr::api
{

// --- processors and memory ---

struct CpuCache {
    std::uint64_t level = 0;
    std::string type;       ///< Data, Instruction, Unified
    std::uint64_t size = 0; ///< Bytes.
    bool operator==(const CpuCache &) const = default;
};
template <> struct Fields<CpuCache> {
    static constexpr auto rows = std::tuple{Field{"level", &CpuCache::level}, Field{"type", &CpuCache::type}, Field{"size", &CpuCache::size}};
};

struct CpuThread {
    std::int64_t id = 0;
    std::uint64_t numaNode = 0, thread = 0;
    bool online = true, isolated = false;
    bool operator==(const CpuThread &) const = default;
};
template <> struct Fields<CpuThread> {
    using T = CpuThread;
    static constexpr auto rows = std::tuple{Field{"id", &T::id}, Field{"numa_node", &T::numaNode}, Field{"thread", &T::thread}, Field{"online", &T::online},
                                            Field{"isolated", &T::isolated}};
};

struct CpuCore {
    std::uint64_t core = 0, die = 0;
    std::vector<CpuThread> threads;
    std::uint64_t frequency = 0; ///< MHz, here and below.
    bool operator==(const CpuCore &) const = default;
};
template <> struct Fields<CpuCore> {
    using T = CpuCore;
    static constexpr auto rows =
        std::tuple{Field{"core", &T::core}, Field{"die", &T::die}, Field{"threads", &T::threads}, Field{"frequency", &T::frequency, OmitEmpty{}}};
};

struct CpuSocket {
    std::string name, vendor;
    std::uint64_t socket = 0;
    std::vector<CpuCache> cache;
    std::vector<CpuCore> cores;
    std::uint64_t frequency = 0, frequencyMinimum = 0, frequencyTurbo = 0;
};
template <> struct Fields<CpuSocket> {
    using T = CpuSocket;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name, E},           Field{"vendor", &T::vendor, E},       Field{"socket", &T::socket},
        Field{"cache", &T::cache, E},         Field{"cores", &T::cores},            Field{"frequency", &T::frequency, E},
        Field{"frequency_minimum", &T::frequencyMinimum, E}, Field{"frequency_turbo", &T::frequencyTurbo, E},
    };
};

struct CpuResources {
    std::string architecture;
    std::vector<CpuSocket> sockets;
    std::uint64_t total = 0; ///< Threads.
};
template <> struct Fields<CpuResources> {
    using T = CpuResources;
    static constexpr auto rows = std::tuple{Field{"architecture", &T::architecture}, Field{"sockets", &T::sockets}, Field{"total", &T::total}};
};

struct MemoryNode {
    std::uint64_t numaNode = 0, hugepagesUsed = 0, hugepagesTotal = 0, used = 0, total = 0; ///< Bytes.
    bool operator==(const MemoryNode &) const = default;
};
template <> struct Fields<MemoryNode> {
    using T = MemoryNode;
    static constexpr auto rows =
        std::tuple{Field{"numa_node", &T::numaNode}, Field{"hugepages_used", &T::hugepagesUsed}, Field{"hugepages_total", &T::hugepagesTotal},
                   Field{"used", &T::used}, Field{"total", &T::total}};
};

struct MemoryResources {
    std::vector<MemoryNode> nodes;
    std::uint64_t hugepagesTotal = 0, hugepagesUsed = 0, hugepagesSize = 0, used = 0, total = 0; ///< Bytes.
};
template <> struct Fields<MemoryResources> {
    using T = MemoryResources;
    static constexpr auto rows =
        std::tuple{Field{"nodes", &T::nodes, OmitEmpty{}}, Field{"hugepages_total", &T::hugepagesTotal}, Field{"hugepages_used", &T::hugepagesUsed},
                   Field{"hugepages_size", &T::hugepagesSize}, Field{"used", &T::used}, Field{"total", &T::total}};
};

// --- devices ---

/// What is said of a card, whatever it is for.
struct Hardware {
    std::string driver, driverVersion;
    std::uint64_t numaNode = 0;
    std::string pciAddress, usbAddress; ///< "0000:00:02.0"; "2:7": bus and device.
    std::string vendor, vendorId, product, productId;
    bool operator==(const Hardware &) const = default;
};
inline constexpr auto kHardwareRows = std::tuple{
    Field{"driver", &Hardware::driver, OmitEmpty{}},
    Field{"driver_version", &Hardware::driverVersion, OmitEmpty{}},
    Field{"numa_node", &Hardware::numaNode},
    Field{"pci_address", &Hardware::pciAddress, OmitEmpty{}},
    Field{"usb_address", &Hardware::usbAddress, OmitEmpty{}},
    Field{"vendor", &Hardware::vendor, OmitEmpty{}},
    Field{"vendor_id", &Hardware::vendorId, OmitEmpty{}},
    Field{"product", &Hardware::product, OmitEmpty{}},
    Field{"product_id", &Hardware::productId, OmitEmpty{}},
};

/// Virtual functions of a card (SR-IOV).
template <class Function> struct Functions {
    std::uint64_t current = 0, maximum = 0;
    std::vector<Function> list;
    bool operator==(const Functions &) const = default;
};
template <class Function> struct Fields<Functions<Function>> {
    using T = Functions<Function>;
    static constexpr auto rows = std::tuple{Field{"current_vfs", &T::current}, Field{"maximum_vfs", &T::maximum}, Field{"vfs", &T::list}};
};

/// Nodes of a graphics card below /dev/dri, and their device numbers ("226:0").
struct Drm {
    std::uint64_t id = 0;
    std::string cardName, cardDevice, controlName, controlDevice, renderName, renderDevice;
    bool operator==(const Drm &) const = default;
};
template <> struct Fields<Drm> {
    using T = Drm;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"id", &T::id}, Field{"card_name", &T::cardName}, Field{"card_device", &T::cardDevice}, Field{"control_name", &T::controlName, E},
        Field{"control_device", &T::controlDevice, E}, Field{"render_name", &T::renderName, E}, Field{"render_device", &T::renderDevice, E},
    };
};

struct GpuFunction : Hardware {
    std::optional<Drm> drm;
    bool operator==(const GpuFunction &) const = default;
};
template <> struct Fields<GpuFunction> {
    static constexpr auto rows = std::tuple_cat(kHardwareRows, std::tuple{Field{"drm", &GpuFunction::drm, OmitEmpty{}}});
};
struct GpuCard : GpuFunction {
    std::optional<Functions<GpuFunction>> sriov;
};
template <> struct Fields<GpuCard> {
    static constexpr auto rows = std::tuple_cat(Fields<GpuFunction>::rows, std::tuple{Field{"sriov", &GpuCard::sriov, OmitEmpty{}}});
};

/// Nodes of an InfiniBand port below /dev/infiniband.
struct InfinibandNodes {
    std::string issmName, issmDevice, madName, madDevice, verbName, verbDevice;
    bool operator==(const InfinibandNodes &) const = default;
};
template <> struct Fields<InfinibandNodes> {
    using T = InfinibandNodes;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"issm_name", &T::issmName, E}, Field{"issm_device", &T::issmDevice, E}, Field{"mad_name", &T::madName, E},
        Field{"mad_device", &T::madDevice, E}, Field{"verb_name", &T::verbName, E}, Field{"verb_device", &T::verbDevice, E},
    };
};

struct NetworkPort {
    std::string id, address;
    std::uint64_t port = 0;
    std::string protocol; ///< ethernet, infiniband
    std::string portType, transceiverType;
    bool autoNegotiation = false, linkDetected = false;
    std::uint64_t linkSpeed = 0; ///< Mbit/s
    std::string linkDuplex;
    std::optional<InfinibandNodes> infiniband;
    bool operator==(const NetworkPort &) const = default;
};
template <> struct Fields<NetworkPort> {
    using T = NetworkPort;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"id", &T::id}, Field{"address", &T::address, E}, Field{"port", &T::port}, Field{"protocol", &T::protocol},
        Field{"port_type", &T::portType, E}, Field{"transceiver_type", &T::transceiverType, E}, Field{"auto_negotiation", &T::autoNegotiation},
        Field{"link_detected", &T::linkDetected}, Field{"link_speed", &T::linkSpeed, E}, Field{"link_duplex", &T::linkDuplex, E},
        Field{"infiniband", &T::infiniband, E},
    };
};

struct NetworkFunction : Hardware {
    std::string firmwareVersion;
    std::vector<NetworkPort> ports;
    bool operator==(const NetworkFunction &) const = default;
};
template <> struct Fields<NetworkFunction> {
    static constexpr auto rows = std::tuple_cat(kHardwareRows, std::tuple{Field{"firmware_version", &NetworkFunction::firmwareVersion, OmitEmpty{}},
                                                                          Field{"ports", &NetworkFunction::ports, OmitEmpty{}}});
};
struct NetworkCard : NetworkFunction {
    std::optional<Functions<NetworkFunction>> sriov;
};
template <> struct Fields<NetworkCard> {
    static constexpr auto rows = std::tuple_cat(Fields<NetworkFunction>::rows, std::tuple{Field{"sriov", &NetworkCard::sriov, OmitEmpty{}}});
};

/// Of GPUs and network cards.
template <class Card> struct Cards {
    std::vector<Card> cards;
    std::uint64_t total = 0;
};
template <class Card> struct Fields<Cards<Card>> {
    static constexpr auto rows = std::tuple{Field{"cards", &Cards<Card>::cards}, Field{"total", &Cards<Card>::total}};
};

struct DiskPartition {
    std::string id, device;
    bool readOnly = false;
    std::uint64_t size = 0, partition = 0;
};
template <> struct Fields<DiskPartition> {
    using T = DiskPartition;
    static constexpr auto rows = std::tuple{Field{"id", &T::id}, Field{"device", &T::device}, Field{"read_only", &T::readOnly}, Field{"size", &T::size},
                                            Field{"partition", &T::partition}};
};

struct Disk {
    std::string id, device; ///< "nvme0n1", "259:0"
    std::string model, type;
    bool readOnly = false, removable = false;
    std::uint64_t size = 0; ///< Bytes.
    std::string wwn;
    std::uint64_t numaNode = 0;
    std::string devicePath, deviceId; ///< Their names in /dev/disk/by-path and by-id.
    std::uint64_t blockSize = 0;
    std::string firmwareVersion;
    std::uint64_t rpm = 0;
    std::string serial;
    std::vector<DiskPartition> partitions;
    std::string pciAddress, usbAddress;
};
template <> struct Fields<Disk> {
    using T = Disk;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"id", &T::id}, Field{"device", &T::device}, Field{"model", &T::model, E}, Field{"type", &T::type, E},
        Field{"read_only", &T::readOnly}, Field{"size", &T::size}, Field{"removable", &T::removable}, Field{"wwn", &T::wwn, E},
        Field{"numa_node", &T::numaNode}, Field{"device_path", &T::devicePath, E}, Field{"block_size", &T::blockSize},
        Field{"firmware_version", &T::firmwareVersion, E}, Field{"rpm", &T::rpm}, Field{"serial", &T::serial, E}, Field{"device_id", &T::deviceId},
        Field{"partitions", &T::partitions}, Field{"pci_address", &T::pciAddress, E}, Field{"usb_address", &T::usbAddress, E},
    };
};

struct DiskResources {
    std::vector<Disk> disks;
    std::uint64_t total = 0; ///< Partitions; a disk without counts as one.
};
template <> struct Fields<DiskResources> {
    static constexpr auto rows = std::tuple{Field{"disks", &DiskResources::disks}, Field{"total", &DiskResources::total}};
};

struct UsbInterface {
    std::string className;
    std::uint64_t classId = 0;
    std::string driver, driverVersion;
    std::uint64_t number = 0;
    std::string subclass;
    std::uint64_t subclassId = 0;
};
template <> struct Fields<UsbInterface> {
    using T = UsbInterface;
    static constexpr auto rows = std::tuple{
        Field{"class", &T::className}, Field{"class_id", &T::classId}, Field{"driver", &T::driver}, Field{"driver_version", &T::driverVersion},
        Field{"number", &T::number}, Field{"subclass", &T::subclass}, Field{"subclass_id", &T::subclassId},
    };
};

struct UsbHardware {
    std::uint64_t bus = 0, device = 0;
    std::vector<UsbInterface> interfaces;
    std::string vendor, vendorId, product, productId;
    double speed = 0; ///< Mbit/s
};
template <> struct Fields<UsbHardware> {
    using T = UsbHardware;
    static constexpr auto rows = std::tuple{
        Field{"bus_address", &T::bus}, Field{"device_address", &T::device}, Field{"interfaces", &T::interfaces}, Field{"vendor", &T::vendor},
        Field{"vendor_id", &T::vendorId}, Field{"product", &T::product}, Field{"product_id", &T::productId}, Field{"speed", &T::speed},
    };
};

struct PciHardware {
    std::string driver, driverVersion;
    std::uint64_t numaNode = 0;
    std::string address, vendor, vendorId, product, productId;
    std::uint64_t iommuGroup = 0;
};
template <> struct Fields<PciHardware> {
    using T = PciHardware;
    static constexpr auto rows = std::tuple{
        Field{"driver", &T::driver}, Field{"driver_version", &T::driverVersion}, Field{"numa_node", &T::numaNode}, Field{"pci_address", &T::address},
        Field{"vendor", &T::vendor}, Field{"vendor_id", &T::vendorId}, Field{"product", &T::product}, Field{"product_id", &T::productId},
        Field{"iommu_group", &T::iommuGroup},
    };
};

/// Of USB and PCI.
template <class Device> struct OnBus {
    std::vector<Device> devices;
    std::uint64_t total = 0;
};
template <class Device> struct Fields<OnBus<Device>> {
    static constexpr auto rows = std::tuple{Field{"devices", &OnBus<Device>::devices}, Field{"total", &OnBus<Device>::total}};
};

// --- the machine ---

struct Firmware {
    std::string vendor, date, version;
};
template <> struct Fields<Firmware> {
    static constexpr auto rows = std::tuple{Field{"vendor", &Firmware::vendor}, Field{"date", &Firmware::date}, Field{"version", &Firmware::version}};
};
struct Chassis {
    std::string vendor, type, serial, version;
};
template <> struct Fields<Chassis> {
    using T = Chassis;
    static constexpr auto rows = std::tuple{Field{"vendor", &T::vendor}, Field{"type", &T::type}, Field{"serial", &T::serial}, Field{"version", &T::version}};
};
struct Motherboard {
    std::string vendor, product, serial, version;
};
template <> struct Fields<Motherboard> {
    using T = Motherboard;
    static constexpr auto rows =
        std::tuple{Field{"vendor", &T::vendor}, Field{"product", &T::product}, Field{"serial", &T::serial}, Field{"version", &T::version}};
};

struct SystemResources {
    std::string uuid, vendor, product, family, version, sku, serial;
    std::string type; ///< physical, virtual-machine, container
    std::optional<Firmware> firmware;
    std::optional<Chassis> chassis;
    std::optional<Motherboard> motherboard;
};
template <> struct Fields<SystemResources> {
    using T = SystemResources;
    static constexpr auto rows = std::tuple{
        Field{"uuid", &T::uuid}, Field{"vendor", &T::vendor}, Field{"product", &T::product}, Field{"family", &T::family}, Field{"version", &T::version},
        Field{"sku", &T::sku}, Field{"serial", &T::serial}, Field{"type", &T::type}, Field{"firmware", &T::firmware}, Field{"chassis", &T::chassis},
        Field{"motherboard", &T::motherboard},
    };
};

struct Resources {
    CpuResources cpu;
    MemoryResources memory;
    Cards<GpuCard> gpu;
    Cards<NetworkCard> network;
    DiskResources storage;
    OnBus<UsbHardware> usb;
    OnBus<PciHardware> pci;
    SystemResources system;
};
template <> struct Fields<Resources> {
    using T = Resources;
    static constexpr auto rows = std::tuple{
        Field{"cpu", &T::cpu}, Field{"memory", &T::memory}, Field{"gpu", &T::gpu}, Field{"network", &T::network},
        Field{"storage", &T::storage}, Field{"usb", &T::usb}, Field{"pci", &T::pci}, Field{"system", &T::system},
    };
};

} // namespace lxmgr::api

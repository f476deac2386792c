// USB devices, graphics cards and files of the host that guests get while the host has them. The host here is a folder that
// looks like /sys, its news come to a socket of ours; the nodes are real ones of this kernel, so that opening them counts.
#include "support/system_test.h"

#include <QDir>

#include <csignal>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

using namespace lxmgr::test;

class TestHostDevices : public SystemTest
{
    Q_OBJECT
private slots:
    void usbComesAndGoes();
    void usbByItsPlace();
    void whatIsBehindUsbComesAndGoes();
    void usbByItsSerial();
    void infinibandIsLent();
    void infinibandComesBack_data();
    void infinibandComesBack();
    void infinibandKeepsItsNodes();
    void virtualPortsAreSharedOut();
    void virtualCardsAreSharedOut();
    void whatInfinibandCannotBeIsRefused_data();
    void whatInfinibandCannotBeIsRefused();
    void graphicsCards();
    void theShippedProfileForCards();
    void aFileComesAndGoes();
    void theDaemonIsAwayMeanwhile();
    void whatIsNotThereIsRefused();

private:
    void prepare() override
    {
        m_box.stopDaemon();
        QVERIFY(m_box.startDaemon(host()));
    }
    /// Nothing is connected.
    void emptyHost()
    {
        QDir(sysfs("")).removeRecursively();
        QDir().mkpath(sysfs("bus/usb/devices"));
    }
    QString sysfs(const QString &path) const { return m_box.directory() + "/sys/" + path; }
    void write(const QString &path, const QByteArray &text)
    {
        QDir().mkpath(QFileInfo(sysfs(path)).path());
        QFile file(sysfs(path));
        QVERIFY(file.open(QIODevice::WriteOnly) && file.write(text) == text.size());
    }
    /// As the kernel has it: the device in its place, a link to it in the folder of the bus.
    void connectUsb(const QString &port, const QByteArray &vendor, const QByteArray &product, int number, const QByteArray &majorMinor)
    {
        const QString device = "devices/pci0/usb1/" + port;
        write(device + "/idVendor", vendor + "\n");
        write(device + "/idProduct", product + "\n");
        write(device + "/busnum", "1\n");
        write(device + "/devnum", QByteArray::number(number) + "\n");
        writeNode(device, "bus/usb/001/" + QByteArray::number(number).rightJustified(3, '0'), majorMinor);
        QDir().mkpath(sysfs("bus/usb/devices"));
        QFile::link("../../../" + device, sysfs("bus/usb/devices/" + port));
    }
    void writeNode(const QString &device, const QByteArray &name, const QByteArray &majorMinor)
    {
        write(device + "/uevent", "MAJOR=" + majorMinor.split(':')[0] + "\nMINOR=" + majorMinor.split(':')[1] + "\nDEVNAME=" + name + "\n");
    }
    void connectCard(int number, int render, const QString &pci, const QByteArray &vendor)
    {
        write("devices/" + pci + "/vendor", "0x" + vendor + "\n");
        write("devices/" + pci + "/device", "0x1234\n");
        for (const QString &node : {QString("card%1").arg(number), QString("renderD%1").arg(render)}) {
            const QString place = "devices/" + pci + "/drm/" + node;
            writeNode(place, "dri/" + node.toUtf8(), "10:237");
            QFile::link("../../../" + pci, sysfs(place + "/device"));
            QDir().mkpath(sysfs("class/drm"));
            QFile::link("../../" + place, sysfs("class/drm/" + node));
        }
        write("devices/" + pci + "/drm/card" + QString::number(number) + "-DP-1/status", "connected\n");
        QFile::link("../../devices/" + pci + "/drm/card" + QString::number(number) + "-DP-1", sysfs("class/drm/card" + QString::number(number) + "-DP-1"));
    }
    /// A port of an InfiniBand card. The network interface is one of a veth pair: what this kernel has that can be moved as such
    /// a card is. That it is a port of a card, and with what nodes, only the folder that stands for /sys says.
    void connectPort(const QString &name, const QString &pci, int number, const QByteArray &majorMinor, int port = 0)
    {
        RUN_OK(run({"ip", "link", "add", name, "mtu", "1450", "type", "veth", "peer", "name", name + "p"}));
        RUN_OK(run({"ip", "link", "set", name, "up"}));
        const QString card = "devices/" + pci, unit = QString::number(number);
        QDir().mkpath(sysfs(card + "/infiniband/mlx5_" + unit));
        for (const auto &[kind, which] : {std::pair{"umad", 1}, {"issm", 1}, {"umad1", 2}}) { // the last is of the card's other port
            const QString place = card + "/infiniband_mad/" + kind + unit;
            write(place + "/port", QByteArray::number(which) + "\n");
            writeNode(place, QByteArray("infiniband/") + kind + unit.toUtf8(), "7:0");
        }
        const QString verbs = card + "/infiniband_verbs/uverbs" + unit;
        writeNode(verbs, "infiniband/uverbs" + unit.toUtf8(), majorMinor);
        QFile node(sysfs(verbs + "/uevent"));
        QVERIFY(node.open(QIODevice::Append) && node.write("DEVMODE=0666\n") > 0);
        write(card + "/net/" + name + "/type", "32\n");
        write(card + "/net/" + name + "/dev_port", QByteArray::number(port) + "\n");
        QFile::link("../..", sysfs(card + "/net/" + name + "/device"));
        QDir().mkpath(sysfs("class/net"));
        QFile::link("../../" + card + "/net/" + name, sysfs("class/net/" + name));
    }
    /// As the kernel does with the entries of an interface that is in another network namespace.
    void hidePort(const QString &name, const QString &pci)
    {
        QFile::remove(sysfs("class/net/" + name));
        QVERIFY(QDir().rename(sysfs("devices/" + pci + "/net"), sysfs("devices/" + pci + "/net.away")));
    }
    void showPort(const QString &name, const QString &pci)
    {
        QVERIFY(QDir().rename(sysfs("devices/" + pci + "/net.away"), sysfs("devices/" + pci + "/net")));
        QFile::link("../../devices/" + pci + "/net/" + name, sysfs("class/net/" + name));
    }
    void disconnectPorts(const QStringList &names)
    {
        for (const QString &name : names)
            (void)run({"ip", "link", "delete", name});
        emptyHost();
    }
    QByteArray onHost(const QString &name) { return run({"sh", "-c", "ip -o link show " + name + " 2>/dev/null | grep -oE '[<,]UP[,>]|mtu [0-9]+' | xargs"}).out.trimmed(); }
    QByteArray nodesInside(const QString &name) { return inside(name, {"sh", "-c", "ls /dev/infiniband 2>/dev/null | xargs"}); }
    void disconnectUsb(const QString &port)
    {
        QFile::remove(sysfs("bus/usb/devices/" + port));
        QDir(sysfs("devices/pci0/usb1/" + port)).removeRecursively();
    }
    /// What the kernel would say.
    void tell(const QByteArray &text)
    {
        const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        qstrncpy(address.sun_path, news().toUtf8().constData(), sizeof address.sun_path);
        QCOMPARE(::sendto(socket, text.constData(), static_cast<size_t>(text.size()), 0, reinterpret_cast<sockaddr *>(&address), sizeof address),
                 static_cast<ssize_t>(text.size()));
        ::close(socket);
    }
    void tellOfUsb(const char *action)
    {
        constexpr char kRest[] = "@/devices/pci0/usb1/1-1\0SUBSYSTEM=usb\0DEVNAME=bus/usb/001/004"; // with the zero byte at its end
        tell(action + QByteArray(kRest, sizeof kRest));
    }
    QString news() const { return m_box.directory() + "/uevents"; }
    QMap<QString, QString> host() const { return {{"LXMGR_SYSFS", sysfs("")}, {"LXMGR_UEVENTS", news()}}; }
    bool opens(const QString &path) { return exec("t1", {"/probe", "open", path}).out.trimmed() == "ok"; }
    void addDevice(const QStringList &words) { must(QStringList{"config", "device", "add", "t1"} + words); }
};

void TestHostDevices::usbComesAndGoes()
{
    emptyHost();
    launch("t1", {"-d", "key,type=usb,vendorid=1050,productid=0407,uid=3,mode=0600"});
    giveProbe("t1");
    QVERIFY(!opens("/dev/bus/usb/001/004"));
    connectUsb("1-1", "1050", "0407", 4, "10:237");
    connectUsb("1-2", "1d6b", "0002", 1, "7:0");
    tellOfUsb("add");
    QTRY_VERIFY_WITH_TIMEOUT(opens("/dev/bus/usb/001/004"), 60000);
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a %t:%T", "/dev/bus/usb/001/004"}), "3:0 600 a:ed");
    QVERIFY(!opens("/dev/bus/usb/001/001"));
    disconnectUsb("1-1");
    tellOfUsb("remove");
    QTRY_VERIFY_WITH_TIMEOUT(!opens("/dev/bus/usb/001/004"), 60000);
    // Again under another number, as the kernel counts on.
    connectUsb("1-1", "1050", "0407", 5, "10:237");
    tellOfUsb("add");
    QTRY_VERIFY_WITH_TIMEOUT(opens("/dev/bus/usb/001/005"), 60000);
    must({"restart", "t1", "--force"}); // the same at a start
    QVERIFY(opens("/dev/bus/usb/001/005"));
    must({"config", "device", "remove", "t1", "key"});
    QVERIFY(!opens("/dev/bus/usb/001/005"));
    deleteAll();
}

void TestHostDevices::usbByItsPlace()
{
    emptyHost();
    connectUsb("1-1", "1050", "0407", 4, "10:237");
    connectUsb("1-2", "1050", "0407", 6, "10:237");
    launch("t1");
    giveProbe("t1");
    addDevice({"one", "usb", "busnum=1", "devnum=6"});
    QVERIFY(opens("/dev/bus/usb/001/006"));
    QVERIFY(!opens("/dev/bus/usb/001/004"));
    addDevice({"both", "usb", "vendorid=1050"}); // the one that is there already stays as it is
    QVERIFY(opens("/dev/bus/usb/001/004"));
    QVERIFY(opens("/dev/bus/usb/001/006"));
    deleteAll();
}

void TestHostDevices::usbByItsSerial()
{
    emptyHost();
    for (const auto &[port, number, serial] : {std::tuple{"1-1", 4, "0001 A"}, {"1-2", 6, "0001 B"}}) {
        connectUsb(port, "1050", "0407", number, "10:237");
        write(QString("devices/pci0/usb1/") + port + "/serial", QByteArray(serial) + "\n");
    }
    launch("t1");
    giveProbe("t1");
    addDevice({"one", "usb", "serial=0001 B"});
    QVERIFY(opens("/dev/bus/usb/001/006"));
    QVERIFY(!opens("/dev/bus/usb/001/004"));
    must({"config", "device", "set", "t1", "one", "serial=0001 A"});
    QVERIFY(!opens("/dev/bus/usb/001/006"));
    QVERIFY(opens("/dev/bus/usb/001/004"));
    deleteAll();
}

void TestHostDevices::infinibandIsLent()
{
    emptyHost();
    connectPort("ib0", "0000:05:00.0", 0, "10:237");
    launch("t1");
    giveProbe("t1");
    addDevice({"mpi", "infiniband", "nictype=physical", "parent=ib0", "mtu=1300"});
    QCOMPARE(onHost("ib0"), "");
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/ib0/mtu"}), "1300");
    QCOMPARE(nodesInside("t1"), "issm0 umad0 uverbs0"); // not what belongs to the card's other port
    QCOMPARE(inside("t1", {"stat", "-c", "%F %u:%g %a", "/dev/infiniband/uverbs0"}), "character special file 0:0 666");
    QCOMPARE(inside("t1", {"stat", "-c", "%a", "/dev/infiniband/umad0"}), "600");
    QVERIFY(opens("/dev/infiniband/uverbs0"));
    // Another guest is told who has it, and a second device of this one that it is its own.
    must({"init", "busybox", "t2", "-d", "mpi,type=infiniband,nictype=physical,parent=ib0"});
    const Run refused = m_box.cli({"start", "t2"});
    QVERIFY2(!refused.ok() && refused.err.contains("no interface 'ib0' on this host: it is in instance 't1'"), refused.err);
    const Run twice = m_box.cli({"config", "device", "add", "t1", "more", "infiniband", "nictype=physical", "parent=ib0"});
    QVERIFY2(!twice.ok() && twice.err.contains("have the same interface of the host 'ib0'"), twice.err);
    must({"config", "device", "set", "t1", "mpi", "name=fast0"});
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/fast0/mtu"}), "1300");
    must({"config", "device", "remove", "t1", "mpi"});
    QCOMPARE(onHost("ib0"), ",UP, mtu 1450");
    QCOMPARE(nodesInside("t1"), "");
    QVERIFY(!opens("/dev/infiniband/uverbs0"));
    must({"start", "t2"});
    QCOMPARE(nodesInside("t2"), "issm0 umad0 uverbs0");
    deleteAll();
    QCOMPARE(onHost("ib0"), ",UP, mtu 1450");
    disconnectPorts({"ib0"});
}

void TestHostDevices::infinibandComesBack_data()
{
    QTest::addColumn<QString>("how");
    for (const char *how : {"stop", "delete", "its monitor dies", "its monitor dies while no daemon runs"})
        QTest::newRow(how) << QString(how);
}

void TestHostDevices::infinibandComesBack()
{
    QFETCH(QString, how);
    emptyHost();
    connectPort("ib0", "0000:05:00.0", 0, "10:237");
    launch("t1", {"-d", "mpi,type=infiniband,nictype=physical,parent=ib0,mtu=1300"});
    QCOMPARE(onHost("ib0"), "");
    hidePort("ib0", "0000:05:00.0");
    const int monitor = m_box.monitorPid("t1");
    if (how == "stop") {
        must({"stop", "--force", "t1"});
    } else if (how == "delete") {
        must({"delete", "--force", "t1"});
    } else if (how == "its monitor dies") {
        ::kill(monitor, SIGKILL);
    } else {
        m_box.killDaemon();
        ::kill(monitor, SIGKILL);
        QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(monitor); }));
        QVERIFY(m_box.startDaemon(host()));
    }
    QVERIFY2(Sandbox::eventually([&] { return onHost("ib0") == ",UP, mtu 1450"; }), onHost("ib0"));
    showPort("ib0", "0000:05:00.0");
    if (how != "delete") {
        QVERIFY(m_box.becomes("t1", "STOPPED"));
        must({"start", "t1"});
        QCOMPARE(nodesInside("t1"), "issm0 umad0 uverbs0");
    }
    deleteAll();
    disconnectPorts({"ib0"});
}

/// While the card is inside, nothing on the host says any more what belongs to it.
void TestHostDevices::infinibandKeepsItsNodes()
{
    emptyHost();
    connectPort("ib0", "0000:05:00.0", 0, "10:237");
    launch("t1", {"-d", "mpi,type=infiniband,nictype=physical,parent=ib0", "-d", "key,type=usb,vendorid=1050"});
    giveProbe("t1");
    hidePort("ib0", "0000:05:00.0");
    // Whatever makes the daemon look at nodes and limits again leaves them alone.
    must({"config", "set", "t1", "limits.processes=500"});
    connectUsb("1-1", "1050", "0407", 4, "10:229");
    tellOfUsb("add");
    QTRY_VERIFY_WITH_TIMEOUT(opens("/dev/bus/usb/001/004"), 60000);
    QVERIFY(opens("/dev/infiniband/uverbs0"));
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon(host()));
    must({"config", "set", "t1", "limits.processes=600"});
    QVERIFY(opens("/dev/infiniband/uverbs0"));
    QCOMPARE(nodesInside("t1"), "issm0 umad0 uverbs0");
    showPort("ib0", "0000:05:00.0");
    deleteAll();
    disconnectPorts({"ib0"});
}

void TestHostDevices::virtualPortsAreSharedOut()
{
    emptyHost();
    connectPort("ib0", "0000:05:00.0", 0, "10:229");
    for (int i = 1; i <= 3; ++i) {
        const QString pci = QString("0000:05:00.%1").arg(i);
        connectPort(QString("ib0v%1").arg(i), pci, i, "10:237", i == 3 ? 1 : 0); // the last is one of another port
        QFile::link("../" + pci, sysfs(QString("devices/0000:05:00.0/virtfn%1").arg(i)));
    }
    const QString device = "mpi,type=infiniband,nictype=sriov,parent=ib0";
    launch("t1", {"-d", device});
    launch("t2", {"-d", device});
    QCOMPARE(nodesInside("t1") + " " + nodesInside("t2"), "issm1 umad1 uverbs1 issm2 umad2 uverbs2");
    QCOMPARE(onHost("ib0v1") + onHost("ib0v2"), "");
    QCOMPARE(onHost("ib0"), ",UP, mtu 1450"); // the port itself stays
    must({"init", "busybox", "t3", "-d", device});
    const Run none = m_box.cli({"start", "t3"});
    QVERIFY2(!none.ok() && none.err.contains("no virtual function of 'ib0' is free") && none.err.contains("sriov_numvfs"), none.err);
    // A change keeps the function; another device takes what has become free.
    must({"config", "device", "set", "t1", "mpi", "mtu=1300"});
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/ib0/mtu"}), "1300");
    QCOMPARE(nodesInside("t1"), "issm1 umad1 uverbs1");
    must({"stop", "--force", "t2"});
    must({"start", "t3"});
    QCOMPARE(nodesInside("t3"), "issm2 umad2 uverbs2");
    must({"config", "device", "remove", "t1", "mpi"});
    must({"config", "device", "add", "t1", "mpi", "infiniband", "nictype=sriov", "parent=ib0"});
    QCOMPARE(nodesInside("t1"), "issm1 umad1 uverbs1");
    deleteAll();
    QCOMPARE(onHost("ib0v1") + onHost("ib0v2"), ",UP, mtu 1450,UP, mtu 1450");
    disconnectPorts({"ib0", "ib0v1", "ib0v2", "ib0v3"});
}

void TestHostDevices::virtualCardsAreSharedOut()
{
    emptyHost();
    for (int i = 0; i <= 2; ++i) {
        const QString name = i == 0 ? QString("lan0") : QString("lan0v%1").arg(i), pci = QString("0000:07:00.%1").arg(i);
        connectPort(name, pci, i, "10:237");
        write("devices/" + pci + "/net/" + name + "/type", "1\n");
        QVERIFY(QDir(sysfs("devices/" + pci + "/infiniband")).removeRecursively());
        if (i > 0)
            QFile::link("../" + pci, sysfs(QString("devices/0000:07:00.0/virtfn%1").arg(i - 1)));
    }
    const QByteArray itsOwn = run({"cat", "/sys/class/net/lan0v1/address"}).out.trimmed();
    const QString device = "fast,type=nic,nictype=sriov,parent=lan0,name=fast0";
    launch("t1", {"-d", device});
    launch("t2", {"-d", device});
    QCOMPARE(onHost("lan0v1") + onHost("lan0v2"), "");
    QCOMPARE(onHost("lan0"), ",UP, mtu 1450");
    const QByteArray mac = m_box.text({"config", "get", "t1", "volatile.fast.hwaddr"});
    QVERIFY(mac.startsWith("00:16:3e:"));
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/fast0/address"}), mac);
    QCOMPARE(m_box.text({"config", "get", "t1", "volatile.fast.host_name"}), "lan0v1");
    must({"init", "busybox", "t3", "-d", device});
    const Run none = m_box.cli({"start", "t3"});
    QVERIFY2(!none.ok() && none.err.contains("no virtual function of 'lan0' is free"), none.err);
    // It keeps its address with another function, and the function gets its own back.
    must({"stop", "--force", "t1", "t2"});
    QCOMPARE(run({"cat", "/sys/class/net/lan0v1/address"}).out.trimmed(), itsOwn);
    must({"start", "t3"});
    must({"start", "t1"});
    QCOMPARE(m_box.text({"config", "get", "t1", "volatile.fast.host_name"}), "lan0v2");
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/fast0/address"}), mac);
    must({"config", "device", "remove", "t1", "fast"});
    QCOMPARE(onHost("lan0v2"), ",UP, mtu 1450");
    must({"config", "device", "add", "t1", "fast", "nic", "nictype=sriov", "parent=lan0"});
    QCOMPARE(onHost("lan0v2"), "");
    const Run missing = m_box.cli({"config", "device", "add", "t1", "more", "nic", "nictype=sriov", "parent=lan9"});
    QVERIFY2(!missing.ok() && missing.err.contains("no interface 'lan9' on this host"), missing.err);
    deleteAll();
    QCOMPARE(onHost("lan0v1") + onHost("lan0v2"), ",UP, mtu 1450,UP, mtu 1450");
    disconnectPorts({"lan0", "lan0v1", "lan0v2"});
}

void TestHostDevices::whatInfinibandCannotBeIsRefused_data()
{
    QTest::addColumn<QStringList>("keys");
    QTest::addColumn<QByteArray>("reason");
    QTest::newRow("no interface") << QStringList{"nictype=physical", "parent=ib9"} << QByteArray("no interface 'ib9' on this host");
    QTest::newRow("another kind of card") << QStringList{"nictype=physical", "parent=lan0"} << QByteArray("interface 'lan0' is no InfiniBand port");
    QTest::newRow("no virtual functions") << QStringList{"nictype=sriov", "parent=ib0"} << QByteArray("no virtual function of 'ib0' is free");
}

void TestHostDevices::whatInfinibandCannotBeIsRefused()
{
    QFETCH(QStringList, keys);
    QFETCH(QByteArray, reason);
    emptyHost();
    connectPort("ib0", "0000:05:00.0", 0, "10:237");
    connectPort("lan0", "0000:06:00.0", 1, "10:237");
    write("devices/0000:06:00.0/net/lan0/type", "1\n");
    launch("t1");
    const QByteArray before = m_box.text({"config", "show", "t1"});
    const Run refused = m_box.cli(QStringList{"config", "device", "add", "t1", "mpi", "infiniband"} + keys);
    QVERIFY2(!refused.ok() && refused.err.contains(reason), refused.err);
    QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    QCOMPARE(onHost("ib0"), ",UP, mtu 1450");
    deleteAll();
    disconnectPorts({"ib0", "lan0"});
}

void TestHostDevices::whatIsBehindUsbComesAndGoes()
{
    emptyHost();
    launch("t1", {"-d", "line,type=unix-hotplug,vendorid=0403,gid=20"});
    giveProbe("t1");
    connectUsb("1-1", "0403", "6001", 4, "10:229");
    writeNode("devices/pci0/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0", "ttyUSB0", "10:237");
    tellOfUsb("add");
    QTRY_VERIFY_WITH_TIMEOUT(opens("/dev/ttyUSB0"), 60000);
    QCOMPARE(inside("t1", {"stat", "-c", "%F %u:%g %a", "/dev/ttyUSB0"}), "character special file 0:20 660");
    QVERIFY(!opens("/dev/bus/usb/001/004")); // that is a usb device's to give
    // A disk behind it is a block device.
    writeNode("devices/pci0/usb1/1-1/1-1:1.1/host0/block/sdq", "sdq", "7:0");
    QDir().mkpath(sysfs("class/block"));
    QFile::link(sysfs("class/block"), sysfs("devices/pci0/usb1/1-1/1-1:1.1/host0/block/sdq/subsystem"));
    tellOfUsb("add");
    QTRY_VERIFY_WITH_TIMEOUT(opens("/dev/sdq"), 60000);
    QCOMPARE(inside("t1", {"stat", "-c", "%F", "/dev/sdq"}), "block special file");
    disconnectUsb("1-1");
    tellOfUsb("remove");
    QTRY_VERIFY_WITH_TIMEOUT(!opens("/dev/ttyUSB0") && !opens("/dev/sdq"), 60000);
    deleteAll();
}

void TestHostDevices::graphicsCards()
{
    emptyHost();
    connectCard(0, 128, "0000:00:02.0", "8086");
    connectCard(1, 129, "0000:01:00.0", "1002");
    launch("t1", {"-d", "gpu,type=gpu,gid=44"});
    giveProbe("t1");
    const auto there = [&] { return inside("t1", {"sh", "-c", "ls /dev/dri 2>/dev/null | xargs"}); };
    QCOMPARE(there(), "card0 card1 renderD128 renderD129");
    QVERIFY(opens("/dev/dri/renderD129"));
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a", "/dev/dri/renderD128"}), "0:44 660");
    for (const auto &[key, nodes] : {std::pair{"id=1", "card1 renderD129"}, std::pair{"pci=00:02.0", "card0 renderD128"},
                                     std::pair{"vendorid=1002", "card1 renderD129"}, std::pair{"vendorid=8086", "card0 renderD128"}}) {
        must({"config", "device", "remove", "t1", "gpu"});
        QCOMPARE(there(), "");
        addDevice({"gpu", "gpu", key});
        QCOMPARE(there(), nodes);
    }
    const Run refused = m_box.cli({"config", "device", "set", "t1", "gpu", "vendorid=10de"});
    QVERIFY2(refused.status != 0 && refused.err.contains("no graphics card like that"), refused.err);
    QCOMPARE(there(), "card0 renderD128");
    deleteAll();
}

void TestHostDevices::theShippedProfileForCards()
{
    emptyHost();
    connectCard(0, 128, "0000:00:02.0", "8086");
    must({"profile", "create", "gpu", "--from", "gpu"});
    launch("t1", {"-p", "default", "-p", "gpu"});
    giveProbe("t1");
    QVERIFY(opens("/dev/dri/renderD128"));
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a", "/dev/dri/card0"}), "0:44 666");
    deleteAll();
    must({"profile", "delete", "gpu"});
}

void TestHostDevices::aFileComesAndGoes()
{
    emptyHost();
    const QString source = m_box.directory() + "/dev/later/node";
    launch("t1", {"-d", "n,type=unix-block,source=" + source + ",path=/dev/n,required=false"});
    giveProbe("t1");
    QVERIFY(!opens("/dev/n"));
    QDir().mkpath(m_box.directory() + "/dev/later"); // not even its folder was there
    QVERIFY(::mknod(source.toUtf8().constData(), S_IFBLK | 0600, makedev(7, 0)) == 0);
    QTRY_VERIFY_WITH_TIMEOUT(opens("/dev/n"), 60000);
    QVERIFY(QFile::remove(source));
    QTRY_VERIFY_WITH_TIMEOUT(!opens("/dev/n"), 60000);
    QDir(m_box.directory() + "/dev").removeRecursively();
    deleteAll();
}

void TestHostDevices::theDaemonIsAwayMeanwhile()
{
    emptyHost();
    connectUsb("1-1", "1050", "0407", 4, "10:237");
    launch("t1", {"-d", "key,type=usb,vendorid=1050"});
    giveProbe("t1");
    QVERIFY(opens("/dev/bus/usb/001/004"));
    m_box.stopDaemon();
    disconnectUsb("1-1");
    connectUsb("1-1", "1050", "0407", 5, "10:237");
    QVERIFY(m_box.startDaemon(host()));
    QTRY_VERIFY_WITH_TIMEOUT(opens("/dev/bus/usb/001/005") && !opens("/dev/bus/usb/001/004"), 60000);
    deleteAll();
}

void TestHostDevices::whatIsNotThereIsRefused()
{
    emptyHost();
    launch("t1");
    for (const auto &[words, reason] : {std::pair{QStringList{"usb", "vendorid=1050", "required=true"}, "no USB device like that is connected"},
                                        std::pair{QStringList{"unix-hotplug", "vendorid=1050", "required=true"}, "no USB device with a node"},
                                        std::pair{QStringList{"gpu"}, "no graphics card like that"}}) {
        const Run refused = m_box.cli(QStringList{"config", "device", "add", "t1", "d"} + words);
        QVERIFY2(refused.status != 0 && refused.err.contains(reason), refused.err);
        QCOMPARE(m_box.text({"config", "device", "list", "t1"}), "");
    }
    deleteAll();
}

QTEST_GUILESS_MAIN(TestHostDevices)
#include "tst_host_devices.moc"

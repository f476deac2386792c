// Devices plugged into guests that run, and taken out of them: what is seen from inside, and what is refused.
#include "support/system_test.h"

#include <QDir>
#include <QElapsedTimer>

using namespace lxmgr::test;

class TestHotplug : public SystemTest
{
    Q_OBJECT
private slots:
    void foldersComeAndGo();
    void filesComeAndGo();
    void readonlyStaysReadonly();
    void linksInsideLeadNowhereElse();
    void aChangedDiskIsMountedAnew();
    void cardsComeAndGo();
    void aCardIsPluggedFast();
    void nodesComeAndGo_data();
    void nodesComeAndGo();
    void aChangedNodeIsMadeAnew();
    void aNodeWhoseSourceIsMissing();
    void aNodeThatCannotBeMadeIsUndone();
    void nodesOfAProfile();
    void aFailingStepIsUndone();
    void rebootAndRestartKeepThem();
    void whatCannotBeIsRefused_data();
    void whatCannotBeIsRefused();

private:
    /// A guest has one name in a network, so a second card is in another one.
    void makeNetwork() { must({"network", "create", "lxmgrt2"}); }
    QString folder(const QString &name)
    {
        const QString path = m_box.directory() + "/" + name;
        QDir().mkpath(path);
        QFile file(path + "/file");
        if (file.open(QIODevice::WriteOnly))
            file.write("of " + name.toUtf8());
        return path;
    }
    void add(const QStringList &words) { must(QStringList{"config", "device", "add", "t1"} + words); }
    void remove(const QString &device) { must({"config", "device", "remove", "t1", device}); }
    QByteArray refusal(const QStringList &args)
    {
        const Run run = m_box.cli(args);
        return run.status == 0 ? QByteArray("it was done") : run.err;
    }
    QByteArray mountsAt(const QByteArray &path) { return inside("t1", {"sh", "-c", "grep -c ' " + path + " ' /proc/mounts || true"}); }
    QByteArray cards() { return inside("t1", {"ls", "/sys/class/net"}).simplified(); }
};

void TestHotplug::foldersComeAndGo()
{
    launch("t1");
    add({"src", "disk", "source=" + folder("one"), "path=/srv/new/src", "shift=true"});
    QCOMPARE(inside("t1", {"cat", "/srv/new/src/file"}), "of one");
    QCOMPARE(inside("t1", {"sh", "-c", "echo in > /srv/new/src/more; stat -c %u:%g /srv/new/src/more"}), "0:0");
    QVERIFY(QFile::exists(m_box.directory() + "/one/more"));
    remove("src");
    QCOMPARE(mountsAt("/srv/new/src"), "0");
    QCOMPARE(inside("t1", {"ls", "/srv/new/src"}), "");
    // The guest took it out itself: removing it is no error.
    add({"src", "disk", "source=" + folder("one"), "path=/srv/new/src"});
    QCOMPARE(inside("t1", {"umount", "/srv/new/src"}), "");
    remove("src");
    // Over ours lies one of the guest's: it is not taken for ours.
    add({"src", "disk", "source=" + folder("one"), "path=/srv/new/src"});
    QCOMPARE(inside("t1", {"mount", "-t", "tmpfs", "none", "/srv/new/src"}), "");
    const QByteArray refused = refusal({"config", "device", "remove", "t1", "src"});
    QVERIFY2(refused.contains("mounted something over it"), refused);
    QVERIFY(m_box.text({"config", "device", "list", "t1"}).contains("src"));
    QCOMPARE(inside("t1", {"umount", "/srv/new/src"}), "");
    remove("src");
    deleteAll();
}

void TestHotplug::filesComeAndGo()
{
    launch("t1");
    add({"f", "disk", "source=" + folder("one") + "/file", "path=/srv/one"});
    QCOMPARE(inside("t1", {"cat", "/srv/one"}), "of one");
    remove("f");
    QCOMPARE(mountsAt("/srv/one"), "0");
    QCOMPARE(inside("t1", {"cat", "/srv/one"}), "");
    deleteAll();
}

void TestHotplug::readonlyStaysReadonly()
{
    launch("t1");
    add({"src", "disk", "source=" + folder("one"), "path=/src", "readonly=true", "shift=true"});
    QVERIFY(exec("t1", {"sh", "-c", "echo x > /src/file"}).status != 0);
    QVERIFY(exec("t1", {"mount", "-o", "remount,bind,rw", "/src"}).status != 0);
    QCOMPARE(inside("t1", {"cat", "/src/file"}), "of one");
    deleteAll();
}

void TestHotplug::linksInsideLeadNowhereElse()
{
    const QString trap = m_box.directory() + "/trap";
    QDir().mkpath(trap);
    launch("t1");
    QCOMPARE(inside("t1", {"mkdir", "-p", trap}), ""); // the same path, but inside
    QCOMPARE(inside("t1", {"ln", "-s", "/../../.." + trap, "/mnt/link"}), "");
    add({"src", "disk", "source=" + folder("one"), "path=/mnt/link/src"});
    QCOMPARE(inside("t1", {"cat", "/mnt/link/src/file"}), "of one");
    QCOMPARE(inside("t1", {"cat", trap + "/src/file"}), "of one");
    QVERIFY(QDir(trap).isEmpty()); // the host's
    deleteAll();
}

void TestHotplug::aChangedDiskIsMountedAnew()
{
    launch("t1");
    add({"src", "disk", "source=" + folder("one"), "path=/src"});
    must({"config", "device", "set", "t1", "src", "source=" + folder("two")});
    QCOMPARE(inside("t1", {"cat", "/src/file"}), "of two");
    must({"config", "device", "set", "t1", "src", "path=/other"});
    QCOMPARE(inside("t1", {"cat", "/other/file"}), "of two");
    QCOMPARE(mountsAt("/src"), "0");
    deleteAll();
}

void TestHotplug::cardsComeAndGo()
{
    makeNetwork();
    launch("t1");
    const QByteArray first = inside("t1", {"cat", "/sys/class/net/eth0/address"});
    add({"aaa", "nic", "network=lxmgrt2", "hwaddr=0a:16:3e:00:00:07"}); // sorts before eth0, which stays what it is
    QCOMPARE(cards(), "eth0 eth1 lo");
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/eth1/address"}), "0a:16:3e:00:00:07");
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/eth0/address"}), first);
    must({"config", "device", "set", "t1", "aaa", "name=lan7"});
    QCOMPARE(cards(), "eth0 lan7 lo");
    remove("aaa");
    QCOMPARE(cards(), "eth0 lo");
    deleteAll();
}

void TestHotplug::aCardIsPluggedFast()
{
    makeNetwork();
    launch("t1");
    qint64 best = 1000;
    for (int round = 0; round < 5; ++round) {
        QElapsedTimer timer;
        timer.start();
        add({"eth1", "nic", "network=lxmgrt2"});
        best = std::min(best, timer.elapsed());
        remove("eth1");
    }
    qInfo("a card is plugged in %lld ms, with the command", static_cast<long long>(best));
    QVERIFY2(best < 50, QByteArray::number(best).constData());
    deleteAll();
}

void TestHotplug::nodesComeAndGo_data()
{
    QTest::addColumn<QString>("type");
    QTest::addColumn<QString>("source");
    QTest::addColumn<QByteArray>("kind");
    QTest::addColumn<QString>("numbers"); // of what has no node on the host to be read
    // Neither is in the list of what every guest may open.
    QTest::newRow("character") << "unix-char" << "/dev/loop-control" << QByteArray("character special file a:ed") << "major=10 minor=237";
    QTest::newRow("block") << "unix-block" << "/dev/loop0" << QByteArray("block special file 7:0") << "major=7 minor=0";
}

void TestHotplug::nodesComeAndGo()
{
    QFETCH(QString, type);
    QFETCH(QString, source);
    QFETCH(QByteArray, kind);
    QFETCH(QString, numbers);
    launch("t1");
    giveProbe("t1");
    add({"n", type, "source=" + source, "path=/dev/deep/er/n", "uid=5", "gid=6", "mode=0644"});
    QCOMPARE(inside("t1", {"stat", "-c", "%F %t:%T %u:%g %a", "/dev/deep/er/n"}), kind + " 5:6 644");
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/deep/er/n"}), "ok"); // the control group lets it
    // A reboot from inside has it again, and may use it.
    const int init = m_box.initPid("t1");
    (void)exec("t1", {"reboot"});
    QTRY_VERIFY_WITH_TIMEOUT(m_box.initPid("t1") > 0 && m_box.initPid("t1") != init && exec("t1", {"true"}).status == 0, 60000);
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/deep/er/n"}), "ok");
    // What the guest kept of it is of no use once it is gone.
    QCOMPARE(inside("t1", {"ln", "/dev/deep/er/n", "/dev/kept"}), "");
    remove("n");
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/deep/er/n"}), "ENOENT");
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/kept"}), "EPERM");
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/fuse"}), "ok");
    add(QStringList{"n", type, "path=/dev/kept2"} + numbers.split(' '));
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/kept2"}), "ok");
    must({"restart", "t1", "--force"}); // the same at a start
    QCOMPARE(inside("t1", {"stat", "-c", "%F %t:%T %u:%g %a", "/dev/kept2"}), kind + " 0:0 660");
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/kept2"}), "ok");
    deleteAll();
}

void TestHotplug::aChangedNodeIsMadeAnew()
{
    launch("t1");
    giveProbe("t1");
    add({"n", "unix-char", "source=/dev/loop-control"});
    must({"config", "device", "set", "t1", "n", "mode=0600"});
    QCOMPARE(inside("t1", {"stat", "-c", "%a", "/dev/loop-control"}), "600");
    must({"config", "device", "set", "t1", "n", "path=/dev/other"});
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/other"}), "ok");
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/loop-control"}), "ENOENT");
    // Limits that change beside it leave it usable.
    must({"config", "set", "t1", "limits.processes=200"});
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/other"}), "ok");
    // What the guest put in its place stays.
    QCOMPARE(inside("t1", {"sh", "-c", "rm /dev/other && echo mine > /dev/other"}), "");
    remove("n");
    QCOMPARE(inside("t1", {"cat", "/dev/other"}), "mine");
    deleteAll();
}

void TestHotplug::aNodeWhoseSourceIsMissing()
{
    launch("t1");
    add({"n", "unix-char", "source=" + m_box.directory() + "/absent", "path=/dev/n", "required=false"});
    QCOMPARE(inside("t1", {"ls", "/dev/n"}).contains("No such file"), true);
    must({"restart", "t1", "--force"});
    const QByteArray refused = refusal({"config", "device", "set", "t1", "n", "required=true"});
    QVERIFY2(refused.contains("/absent"), refused);
    deleteAll();
}

void TestHotplug::aNodeThatCannotBeMadeIsUndone()
{
    launch("t1");
    giveProbe("t1");
    QCOMPARE(inside("t1", {"sh", "-c", "ln -s /etc /dev/trap; touch /dev/taken; mkdir /dev/deep"}), "");
    const QByteArray before = m_box.text({"config", "show", "t1"});
    for (const char *path : {"/dev/trap/passwd", "/dev/trap/new", "/dev/taken", "/dev/shm/new"}) {
        const QByteArray refused = refusal({"config", "device", "add", "t1", "n", "unix-char", "source=/dev/loop-control", QString("path=") + path});
        QVERIFY2(refused.contains("device 'n'"), refused);
        QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    }
    QCOMPARE(inside("t1", {"sh", "-c", "ls /etc/new /dev/shm/new 2>/dev/null; test -f /dev/taken && test -f /etc/passwd && echo as it was"}), "as it was");
    deleteAll();
}

void TestHotplug::nodesOfAProfile()
{
    must({"profile", "create", "loops"});
    launch("t1", {"-p", "default", "-p", "loops"});
    giveProbe("t1");
    must({"profile", "device", "add", "loops", "n", "unix-char", "source=/dev/loop-control"});
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/loop-control"}), "ok");
    must({"profile", "device", "remove", "loops", "n"});
    QCOMPARE(inside("t1", {"/probe", "open", "/dev/loop-control"}), "ENOENT");
    deleteAll();
    must({"profile", "delete", "loops"});
}

void TestHotplug::aFailingStepIsUndone()
{
    launch("t1");
    QCOMPARE(inside("t1", {"touch", "/mnt/file"}), "");
    const QByteArray refused = refusal({"config", "device", "add", "t1", "src", "disk", "source=" + folder("one"), "path=/mnt/file"});
    QVERIFY2(refused.contains("/mnt/file") && refused.contains("is not"), refused);
    QCOMPARE(m_box.text({"config", "device", "list", "t1"}), "");
    QCOMPARE(mountsAt("/mnt/file"), "0");
    deleteAll();
}

void TestHotplug::rebootAndRestartKeepThem()
{
    makeNetwork();
    launch("t1");
    add({"src", "disk", "source=" + folder("one"), "path=/src"});
    add({"aaa", "nic", "network=lxmgrt2"});
    const QByteArray second = inside("t1", {"cat", "/sys/class/net/eth1/address"});
    must({"restart", "t1", "--force"});
    QCOMPARE(inside("t1", {"cat", "/src/file"}), "of one");
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/eth1/address"}), second);
    const QByteArray boot = inside("t1", {"stat", "-c", "%Y", "/proc/1"});
    QTest::qWait(1100); // the stamp has seconds
    (void)exec("t1", {"reboot"});
    QTRY_VERIFY_WITH_TIMEOUT(inside("t1", {"stat", "-c", "%Y", "/proc/1"}) != boot && exec("t1", {"true"}).status == 0, 60000);
    QCOMPARE(inside("t1", {"cat", "/src/file"}), "of one");
    QCOMPARE(inside("t1", {"cat", "/sys/class/net/eth1/address"}), second);
    remove("src");
    remove("aaa");
    QCOMPARE(cards(), "eth0 lo");
    deleteAll();
}

void TestHotplug::whatCannotBeIsRefused_data()
{
    QTest::addColumn<QStringList>("words");
    QTest::addColumn<QByteArray>("reason");
    const auto row = [](const char *tag, const QStringList &words, const char *reason) { QTest::newRow(tag) << words << QByteArray(reason); };
    row("source missing", {"x", "disk", "source=/nowhere", "path=/x"}, "/nowhere");
    row("path taken", {"x", "disk", "source=/etc", "path=/held"}, "same path");
    row("path above another", {"x", "disk", "source=/etc", "path=/held-below"}, "another device is mounted");
    row("interface name taken", {"x", "nic", "nictype=bridged", "parent=lxmgrt2", "name=eth9"}, "same interface name");
    row("host name taken", {"x", "nic", "nictype=bridged", "parent=lxmgrt2", "host_name=lxmgrbr0"}, "there already on the host");
    row("network taken", {"x", "nic", "network=lxmgrt2"}, "already used on network");
    row("no such network", {"x", "nic", "network=nowhere0"}, "nowhere0");
    row("no such bridge", {"x", "nic", "nictype=bridged", "parent=nowhere0"}, "nowhere0");
    row("type of others", {"x", "pci", "address=00:02.0"}, "not supported yet");
    row("no such node", {"x", "unix-char", "source=/dev/nowhere"}, "required=false");
    row("not a character device", {"x", "unix-char", "source=/dev/loop0"}, "is not a character device");
    row("not a block device", {"x", "unix-block", "source=/dev/null", "path=/dev/x"}, "is not a block device");
    row("node there already", {"x", "unix-char", "source=/dev/null"}, "something at /dev/null inside");
}

void TestHotplug::whatCannotBeIsRefused()
{
    QFETCH(QStringList, words);
    QFETCH(QByteArray, reason);
    makeNetwork();
    launch("t1", {"-d", "held,type=disk,path=/held,source=" + folder("one"), "-d",
                  "below,type=disk,path=/held-below/it,source=" + folder("two"), "-d", "eth9,type=nic,network=lxmgrt2,name=eth9"});
    const QByteArray before = m_box.text({"config", "show", "t1"});
    const QByteArray refused = refusal(QStringList{"config", "device", "add", "t1"} + words);
    QVERIFY2(refused.contains(reason), refused);
    QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    QCOMPARE(cards(), "eth0 eth9 lo");
    deleteAll();
}

QTEST_GUILESS_MAIN(TestHotplug)
#include "tst_hotplug.moc"

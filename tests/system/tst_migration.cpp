// Instances between two hosts: fetched, brought, and through a client between them; with our client and the unmodified lxc; what
// was there is sent once; and whoever dies when, nothing is lost on either side.
#include "conformance/tree_manifest.h"
#include "support/system_test.h"

#include <QDir>
#include <QElapsedTimer>
#include <QFile>
#include <QJsonDocument>
#include <QStandardPaths>

#include <csignal>

#include <algorithm>

using namespace lxmgr::test;

class TestMigration : public SystemTest
{
    Q_OBJECT
private slots:
    void copiesGoEveryWay_data();
    void copiesGoEveryWay();
    void runningGuestsAreCopied();
    void snapshotsBecomeInstances();
    void othersDriversTakeThem_data();
    void othersDriversTakeThem();
    void refreshBringsWhatIsDifferent();
    void movesKeepAddressesAndDeleteHere();
    void overridesAndRulesOfTheTargetCount();
    void lxcDrivesBoth_data();
    void lxcDrivesBoth();
    void lxcMoves();
    void volumesGoEveryWay_data();
    void volumesGoEveryWay();
    void volumesAreRefreshed();
    void volumesMove();
    void lxcDrivesVolumes_data();
    void lxcDrivesVolumes();
    void namesOfOneHostAreFound();
    void withoutAnAddressAnotherWayIsTaken();
    void secretsAndCertificatesAreLookedAt();
    void otherFormsAreNamed();
    void fullTargetsAreNamed();
    void devicesOfPrivilegedOnesGoAlong();
    void daemonsEndInTheMiddle();
    void theSourceDies();
    void theTargetDies();
    void theClientDies();
    void aMoveThatWasCutOffIsCompleted();
    void whatCameWholeStays();
    void theOtherHostIsLeftClean();

private:
    void prepare() override;
    Run far(const QStringList &args) { return m_far.cli(args); }
    QByteArray farText(const QStringList &args) { return m_far.text(args); }
    void mustFar(const QStringList &args) { RUN_OK(m_far.cli(args)); }
    Run lxc(const QStringList &args);
    void startFar(const QMap<QString, QString> &extra = {});
    void startNear(const QMap<QString, QString> &extra = {});
    void tidyFar();
    /// A stopped guest with files of all kinds and two snapshots that differ.
    void makeGuest(const QString &name);
    static Manifest filesOf(Sandbox &host, const QString &instance, const QString &snapshot);
    /// Snapshots and files of the guest are there as they are here.
    void isSame(const QString &here, const QString &there, const QStringList &snapshots);
    static quint64 bytesOnLoopback();
    /// Volume "data" here with a snapshot, other files since, and a guest "t1" that has it and runs.
    void makeVolume();
    void tidyVolumes();
    /// Custom ones and their snapshots, a line each.
    static QByteArray volumesOf(Sandbox &host);
    /// What `host` has of a volume, as a guest sees it.
    QByteArray contentOf(Sandbox &host, const QString &volume);

    Sandbox m_far;
    Holdings m_farBefore;
};

void TestMigration::startFar(const QMap<QString, QString> &extra) { QVERIFY2(m_far.startDaemon(extra), m_far.daemonLog().right(3000)); }
void TestMigration::startNear(const QMap<QString, QString> &extra) { QVERIFY2(m_box.startDaemon(extra), m_box.daemonLog().right(3000)); }

void TestMigration::prepare()
{
    must({"config", "set", "core.https_address=127.0.0.1:8443"});
    QCOMPARE(m_far.createBeside(), QString());
    m_far.setDaemonArguments({"--no-defaults"}); // one bridge in this network is enough
    startFar();
    mustFar({"storage", "create", "default", "overlay"});
    mustFar({"profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"});
    mustFar({"config", "set", "core.https_address=127.0.0.1:8444"});
    must({"remote", "add", "b", QString::fromUtf8(farText({"config", "trust", "add", "near", "-q", "--unrestricted"}))});
    must({"remote", "add", "a", QString::fromUtf8(m_box.text({"config", "trust", "add", "self", "-q", "--unrestricted"}))});
    must({"remote", "add", "hidden", "unix://" + m_far.socket()});
    must({"profile", "create", "plain"});
    must({"profile", "device", "add", "plain", "root", "disk", "path=/", "pool=default"});
    mustFar({"profile", "create", "plain"});
    mustFar({"profile", "device", "add", "plain", "root", "disk", "path=/", "pool=default"});
    if (!QStandardPaths::findExecutable("lxc").isEmpty()) {
        RUN_OK(lxc({"remote", "add", "a", QString::fromUtf8(m_box.text({"config", "trust", "add", "lxc", "-q", "--unrestricted"}))}));
        RUN_OK(lxc({"remote", "add", "b", QString::fromUtf8(farText({"config", "trust", "add", "lxc", "-q", "--unrestricted"}))}));
    }
    // What comes with the first copy is there before the first comparison.
    for (Sandbox *host : {&m_box, &m_far}) {
        RUN_OK(host->cli({"storage", "volume", "create", "default", "first"}));
        RUN_OK(host->cli({"storage", "volume", "delete", "default", "first", "--purge"}));
    }
    must({"create", "busybox", "first", "-p", "plain"});
    must({"copy", "first", "b:"});
    must({"delete", "--purge", "first"});
    tidyFar();
    m_farBefore = m_far.settledStock();
}

Run TestMigration::lxc(const QStringList &args)
{
    RunOptions options;
    options.environment = m_box.environment();
    options.environment.insert("LXD_SOCKET", m_box.socket());
    options.environment.insert("LXD_CONF", m_box.directory() + "/lxc-conf");
    options.timeoutMs = 120000;
    return run(QStringList{"lxc"} + args, options);
}

void TestMigration::tidyFar()
{
    for (const QByteArray &name : m_far.cli({"list", "-f", "csv", "-c", "n"}).out.split('\n'))
        if (!name.trimmed().isEmpty())
            mustFar({"delete", "--force", "--purge", QString::fromUtf8(name.trimmed())});
    (void)m_far.cli({"undo", "delete", "--all"});
}

void TestMigration::makeGuest(const QString &name)
{
    must({"launch", "busybox", name, "-p", "plain", "-c", "user.note=n1"});
    RUN_OK(exec(name, {"sh", "-c",
                       "mkdir -p /data/deep && echo one > /data/one && ln /data/one /data/deep/again && ln -s ../one /data/deep/link && mkfifo /data/pipe"
                       " && dd if=/dev/zero of=/data/sparse bs=1 count=1 seek=5000000 2>/dev/null && chown 1000:100 /data/deep && chmod 4755 /data/one"
                       " && head -c 700000 /dev/urandom > /data/random"}));
    must({"snapshot", "create", name, "s0"});
    RUN_OK(exec(name, {"sh", "-c", "echo two > /data/two && rm /data/pipe && head -c 500000 /dev/urandom > /data/more"}));
    must({"snapshot", "create", name, "s1"});
    RUN_OK(exec(name, {"sh", "-c", "rm -r /data/deep && echo now > /data/now && sync"}));
    must({"stop", "--force", name});
}

Manifest TestMigration::filesOf(Sandbox &host, const QString &instance, const QString &snapshot)
{
    const QByteArray place = host.text({"snapshot", "mount", instance, snapshot});
    const Manifest manifest = manifestOf(place.toStdString());
    (void)host.cli({"snapshot", "unmount", instance, snapshot});
    return manifest;
}

void TestMigration::isSame(const QString &here, const QString &there, const QStringList &snapshots)
{
    must({"snapshot", "create", here, "now"});
    mustFar({"snapshot", "create", there, "now"});
    for (const QString &snapshot : snapshots + QStringList{"now"}) {
        const QByteArray wrong = differences(filesOf(m_box, here, snapshot), filesOf(m_far, there, snapshot));
        QVERIFY2(wrong.isEmpty(), snapshot.toUtf8() + ": " + wrong);
    }
    must({"delete", "--purge", here + "/now"});
    mustFar({"delete", "--purge", there + "/now"});
}

quint64 TestMigration::bytesOnLoopback()
{
    QFile file("/proc/thread-self/net/dev");
    if (file.open(QIODevice::ReadOnly))
        for (const QByteArray &line : file.readAll().split('\n'))
            if (line.trimmed().startsWith("lo:"))
                return line.mid(line.indexOf(':') + 1).simplified().split(' ').value(0).toULongLong();
    return 0;
}

void TestMigration::copiesGoEveryWay_data()
{
    QTest::addColumn<QString>("mode");
    for (const char *mode : {"pull", "push", "relay"})
        QTest::newRow(mode) << mode;
}

void TestMigration::copiesGoEveryWay()
{
    QFETCH(QString, mode);
    makeGuest("t1");
    must({"copy", "t1", "b:", "--mode", mode});
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("t1,STOPPED,2"));
    QCOMPARE(farText({"config", "get", "t1", "user.note"}), QByteArray("n1"));
    isSame("t1", "t1", {"s0", "s1"});
    if (!QTest::currentTestFailed()) {
        mustFar({"start", "t1"});
        QCOMPARE(m_far.text({"exec", "t1", "--", "cat", "/data/now"}), QByteArray("now"));
    }
    // And back, by names alone.
    must({"copy", "b:t1", "back", "--mode", mode, "--instance-only"});
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nsS", "back"}), QByteArray("back,STOPPED,0"));
    const Run again = m_box.cli({"copy", "t1", "b:", "--mode", mode});
    QVERIFY2(again.status == 5 && again.err.contains("already exists"), again.told());
    tidyFar();
}

void TestMigration::runningGuestsAreCopied()
{
    must({"launch", "busybox", "t1", "-p", "plain"});
    RUN_OK(exec("t1", {"sh", "-c", "echo here > /root/note"}));
    must({"copy", "t1", "b:t2"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    mustFar({"start", "t2"});
    QCOMPARE(m_far.text({"exec", "t2", "--", "cat", "/root/note"}), QByteArray("here"));
    const Run move = m_box.cli({"move", "t1", "b:t3"});
    QVERIFY2(move.status == 6 && move.err.contains("Instance is running") && move.err.contains("stop it before moving it"), move.told());
    tidyFar();
}

void TestMigration::snapshotsBecomeInstances()
{
    makeGuest("t1");
    must({"copy", "t1/s0", "b:old"});
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("old,STOPPED,0"));
    mustFar({"snapshot", "create", "old", "now"});
    const QByteArray wrong = differences(filesOf(m_box, "t1", "s0"), filesOf(m_far, "old", "now"));
    QVERIFY2(wrong.isEmpty(), wrong);
    tidyFar();
}

void TestMigration::othersDriversTakeThem_data()
{
    QTest::addColumn<QStringList>("pool");
    QTest::newRow("dir") << QStringList{"dir"};
    QTest::newRow("btrfs") << QStringList{"btrfs", "size=300MiB"};
}

void TestMigration::othersDriversTakeThem()
{
    QFETCH(QStringList, pool);
    if (pool.first() == "btrfs" && QStandardPaths::findExecutable("mkfs.btrfs").isEmpty())
        QSKIP("needs mkfs.btrfs");
    mustFar(QStringList{"storage", "create", "other"} + pool);
    makeGuest("t1");
    must({"copy", "t1", "b:", "-s", "other"});
    isSame("t1", "t1", {"s0", "s1"});
    must({"start", "t1"});
    RUN_OK(exec("t1", {"sh", "-c", "rm /data/one; mkdir /data/one; echo new > /data/one/new; mv /data/random /data/moved; sync"}));
    must({"stop", "--force", "t1"});
    must({"snapshot", "create", "t1", "s2"});
    must({"copy", "t1", "b:", "--refresh"});
    isSame("t1", "t1", {"s0", "s1", "s2"});
    must(QStringList{"storage", "create", "third"} + pool);
    must({"copy", "b:t1", "t2", "-s", "third"});
    must({"snapshot", "create", "t2", "now"});
    must({"snapshot", "create", "t1", "now"});
    const QByteArray wrong = differences(filesOf(m_box, "t1", "now"), filesOf(m_box, "t2", "now"));
    QVERIFY2(wrong.isEmpty(), wrong);
    must({"delete", "--purge", "t2"});
    must({"storage", "delete", "third"});
    tidyFar();
    mustFar({"storage", "delete", "other"});
}

void TestMigration::refreshBringsWhatIsDifferent()
{
    makeGuest("t1");
    must({"copy", "t1", "b:"});
    must({"start", "t1"});
    RUN_OK(exec("t1", {"sh", "-c", "head -c 200000 /dev/urandom > /data/newest; sync"}));
    must({"stop", "--force", "t1"});
    must({"snapshot", "create", "t1", "s2"});
    must({"delete", "--purge", "t1/s0"});
    const quint64 before = bytesOnLoopback();
    must({"copy", "t1", "b:", "--refresh"});
    const quint64 moved = bytesOnLoopback() - before;
    QVERIFY2(moved > 200'000 && moved < 400'000, QByteArray::number(moved)); // once, and not the 1.2 MB of random bytes that are there
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("t1,STOPPED,2"));
    isSame("t1", "t1", {"s1", "s2"});
    mustFar({"start", "t1"});
    const Run running = m_box.cli({"copy", "t1", "b:", "--refresh"});
    QVERIFY2(running.status == 6 && running.err.contains("stop it before refreshing it"), running.told());
    QCOMPARE(m_far.stateOf("t1"), QByteArray("RUNNING"));
    tidyFar();
}

void TestMigration::movesKeepAddressesAndDeleteHere()
{
    makeGuest("t1");
    must({"config", "device", "add", "t1", "eth0", "nic", "nictype=p2p"});
    must({"start", "t1"});
    must({"stop", "--force", "t1"});
    const QByteArray address = m_box.text({"config", "get", "t1", "volatile.eth0.hwaddr"});
    const QByteArray uuid = m_box.text({"config", "get", "t1", "volatile.uuid"});
    QVERIFY2(address.count(':') == 5, address);
    must({"config", "set", "t1", "security.protection.delete=true"});
    const Run kept = m_box.cli({"move", "t1", "b:"});
    QVERIFY2(kept.status == 6 && kept.err.contains("security.protection.delete=false"), kept.told());
    must({"config", "set", "t1", "security.protection.delete=false"});
    must({"move", "t1", "b:"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("t1,STOPPED,2"));
    QCOMPARE(farText({"config", "get", "t1", "volatile.eth0.hwaddr"}), address);
    QCOMPARE(farText({"config", "get", "t1", "volatile.uuid"}), uuid);
    must({"move", "b:t1", "local:t2"});
    QCOMPARE(m_far.stateOf("t1"), QByteArray());
    QCOMPARE(m_box.text({"config", "get", "t2", "volatile.eth0.hwaddr"}), address);
    must({"copy", "t2", "b:t3"}); // a copy gets its own
    QVERIFY(farText({"config", "get", "t3", "volatile.eth0.hwaddr"}) != address);
    tidyFar();
}

void TestMigration::overridesAndRulesOfTheTargetCount()
{
    must({"create", "busybox", "t1", "-p", "plain", "-c", "limits.processes=99"});
    must({"copy", "t1", "b:t2", "-c", "user.x=1", "-d", "eth5,type=nic,nictype=p2p", "--description", "d"});
    QCOMPARE(farText({"config", "get", "t2", "user.x"}), QByteArray("1"));
    QCOMPARE(farText({"config", "get", "t2", "limits.processes"}), QByteArray("99"));
    QCOMPARE(farText({"config", "device", "get", "t2", "eth5", "nictype"}), QByteArray("p2p"));
    must({"profile", "create", "ours"});
    must({"profile", "device", "add", "ours", "root", "disk", "path=/", "pool=default"});
    must({"create", "busybox", "t4", "-p", "ours"});
    const Run unknown = m_box.cli({"copy", "t4", "b:t5"});
    QVERIFY2(unknown.status == 3 && unknown.err.contains("Profile not found: 'ours'") && unknown.err.contains("--profile"), unknown.told());
    must({"copy", "t4", "b:t5", "-p", "plain"});
    mustFar({"project", "create", "team", "restricted=true"});
    mustFar({"profile", "device", "add", "default", "root", "disk", "path=/", "pool=default", "--project", "team"});
    must({"remote", "add", "team", "unix://" + m_far.socket(), "--project", "team"});
    const Run refused = m_box.cli({"copy", "t4", "team:t5", "-p", "default", "-c", "security.privileged=true"});
    QVERIFY2(!refused.ok() && refused.err.contains("restricted.containers.privilege"), refused.told());
    must({"copy", "t4", "team:t5", "-p", "default"});
    mustFar({"delete", "--purge", "t5", "--project", "team"});
    mustFar({"project", "delete", "team"});
    must({"remote", "remove", "team"});
    must({"delete", "--purge", "t4"});
    must({"profile", "delete", "ours"});
    tidyFar();
}

void TestMigration::lxcDrivesBoth_data() { copiesGoEveryWay_data(); }

void TestMigration::lxcDrivesBoth()
{
    QFETCH(QString, mode);
    if (QStandardPaths::findExecutable("lxc").isEmpty())
        QSKIP("needs the lxc client of package lxd-client");
    makeGuest("t1");
    RUN_OK(lxc({"copy", "a:t1", "b:t2", "--mode", mode}));
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("t2,STOPPED,2"));
    isSame("t1", "t2", {"s0", "s1"});
    RUN_OK(lxc({"copy", "a:t1/s0", "b:t3", "--mode", mode}));
    must({"snapshot", "create", "t1", "s2"});
    RUN_OK(lxc({"copy", "a:t1", "b:t2", "--mode", mode, "--refresh"}));
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS", "t2"}), QByteArray("t2,STOPPED,3"));
    tidyFar();
}

void TestMigration::lxcMoves()
{
    if (QStandardPaths::findExecutable("lxc").isEmpty())
        QSKIP("needs the lxc client of package lxd-client");
    makeGuest("t1");
    RUN_OK(lxc({"move", "a:t1", "b:t2"}));
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("t2,STOPPED,2"));
    tidyFar();
}

void TestMigration::makeVolume()
{
    must({"storage", "volume", "create", "default", "data", "user.note=kept"});
    must({"launch", "busybox", "t1", "-p", "plain"});
    must({"storage", "volume", "attach", "default", "data", "t1", "/mnt"});
    RUN_OK(exec("t1", {"sh", "-c", "mkdir /mnt/deep && echo one > /mnt/deep/one && chown 1000:100 /mnt/deep && head -c 600000 /dev/urandom > /mnt/random"}));
    must({"storage", "volume", "snapshot", "create", "default", "data", "s0"});
    RUN_OK(exec("t1", {"sh", "-c", "echo two > /mnt/two && rm /mnt/deep/one && sync"}));
}

void TestMigration::tidyVolumes()
{
    tidyFar();
    deleteAll();
    for (Sandbox *host : {&m_box, &m_far})
        for (const QByteArray &name : volumesOf(*host).split('\n'))
            if (!name.isEmpty() && !name.contains('/'))
                RUN_OK(host->cli({"storage", "volume", "delete", "default", QString::fromUtf8(name), "--purge"}));
    for (Sandbox *host : {&m_box, &m_far})
        (void)host->cli({"undo", "delete", "--all"});
}

QByteArray TestMigration::volumesOf(Sandbox &host)
{
    QByteArrayList names;
    for (const QByteArray &line : host.text({"storage", "volume", "list", "default", "-f", "csv", "-c", "tn"}).split('\n'))
        if (line.startsWith("custom"))
            names += line.mid(line.indexOf(',') + 1);
    std::ranges::sort(names);
    return names.join('\n');
}

QByteArray TestMigration::contentOf(Sandbox &host, const QString &volume)
{
    (void)host.cli({"delete", "--force", "--purge", "looker"});
    QByteArray told;
    for (const QStringList &command : {QStringList{"launch", "busybox", "looker", "-p", "plain"}, {"storage", "volume", "attach", "default", volume, "looker", "/mnt"},
                                       {"exec", "looker", "--", "sh", "-c", "cd /mnt && find . -type f | sort | xargs sha256sum | cut -c1-12,65- && stat -c '%u %g %a %n' . deep"}}) {
        const Run run = host.cli(command);
        if (!run.ok())
            return run.told();
        told = run.out;
    }
    (void)host.cli({"delete", "--force", "--purge", "looker"});
    return told;
}

void TestMigration::volumesGoEveryWay_data() { copiesGoEveryWay_data(); }

void TestMigration::volumesGoEveryWay()
{
    QFETCH(QString, mode);
    makeVolume();
    must({"storage", "volume", "copy", "default/data", "b:default/data", "--mode", mode}); // of a guest that runs
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(volumesOf(m_far), QByteArray("data\ndata/s0"));
    QCOMPARE(farText({"storage", "volume", "get", "default", "data", "user.note"}), QByteArray("kept"));
    // A snapshot becomes a volume.
    must({"storage", "volume", "copy", "default/data/s0", "b:default/old", "--mode", mode});
    const Run again = m_box.cli({"storage", "volume", "copy", "default/data", "b:default/data", "--mode", mode});
    QVERIFY2(again.status == 5 && again.err.contains("exists already"), again.told());
    // And back; here there are guests to look into them.
    must({"storage", "volume", "copy", "b:default/data", "default/back", "--mode", mode});
    must({"storage", "volume", "copy", "b:default/old", "default/old", "--mode", mode});
    QCOMPARE(volumesOf(m_box), QByteArray("back\nback/s0\ndata\ndata/s0\nold"));
    const QByteArray here = contentOf(m_box, "data"), old = contentOf(m_box, "old");
    QVERIFY2(here.contains("./two") && here.contains("1000 100"), here);
    QVERIFY2(old.contains("./deep/one") && !old.contains("./two"), old);
    QCOMPARE(contentOf(m_box, "back"), here);
    must({"storage", "volume", "snapshot", "restore", "default", "back", "s0"});
    QCOMPARE(contentOf(m_box, "back"), old);
    tidyVolumes();
}

void TestMigration::volumesAreRefreshed()
{
    makeVolume();
    must({"storage", "volume", "copy", "default/data", "b:default/data"});
    RUN_OK(exec("t1", {"sh", "-c", "head -c 200000 /dev/urandom > /mnt/newest && sync"}));
    must({"storage", "volume", "snapshot", "create", "default", "data", "s1"});
    must({"storage", "volume", "snapshot", "delete", "default", "data", "s0", "--purge"});
    const quint64 before = bytesOnLoopback();
    must({"storage", "volume", "copy", "default/data", "b:default/data", "--refresh"});
    const quint64 moved = bytesOnLoopback() - before;
    QVERIFY2(moved > 200'000 && moved < 500'000, QByteArray::number(moved)); // not the 600 kB that are there
    QCOMPARE(volumesOf(m_far), QByteArray("data\ndata/s1"));
    must({"storage", "volume", "copy", "b:default/data", "default/back"});
    QCOMPARE(contentOf(m_box, "back"), contentOf(m_box, "data"));
    // Not under a guest that runs, and not onto itself.
    const Run used = m_box.cli({"storage", "volume", "copy", "b:default/data", "default/data", "--refresh"});
    QVERIFY2(used.status == 6 && used.err.contains("stop it before refreshing it"), used.told());
    const Run itself = m_box.cli({"storage", "volume", "copy", "default/back", "a:default/back", "--mode", "relay", "--refresh"});
    QVERIFY2(!itself.ok() && itself.err.contains("cannot be copied onto itself"), itself.told());
    must({"storage", "volume", "copy", "default/back", "a:default/other"}); // one daemon
    tidyVolumes();
}

void TestMigration::volumesMove()
{
    makeVolume();
    const Run used = m_box.cli({"storage", "volume", "move", "default/data", "b:default/data"});
    QVERIFY2(used.status == 6 && used.err.contains("is used by") && used.err.contains("detach"), used.told());
    must({"config", "device", "remove", "t1", "data"});
    must({"storage", "volume", "move", "default/data", "b:default/there"});
    QCOMPARE(volumesOf(m_box), QByteArray());
    QCOMPARE(volumesOf(m_far), QByteArray("there\nthere/s0"));
    const Run snapshot = m_box.cli({"storage", "volume", "move", "b:default/there/s0", "default/x"});
    QVERIFY2(snapshot.status == 2, snapshot.told());
    // An instance is no volume, whatever the two daemons are told.
    const Reply offered = m_box.rest("POST", "/1.0/instances/t1", {{"migration", true}});
    const QJsonObject secrets = offered.body["metadata"].toObject()["metadata"].toObject();
    const QJsonObject environment = m_box.rest("GET", "/1.0").body["metadata"].toObject()["environment"].toObject();
    const Reply taken = m_far.rest("POST", "/1.0/storage-pools/default/volumes/custom",
                                   {{"name", "x"}, {"source", QJsonObject{{"type", "migration"}, {"mode", "pull"}, {"secrets", secrets}, {"certificate", environment["certificate"]},
                                                                          {"operation", "https://127.0.0.1:8443" + offered.body["operation"].toString()}}}});
    const QByteArray wrong = m_far.rest("GET", taken.body["operation"].toString().toUtf8() + "/wait").body["metadata"].toObject()["err"].toString().toUtf8();
    QVERIFY2(wrong.contains("forms of their own"), wrong);
    QVERIFY(!volumesOf(m_far).split('\n').contains("x"));
    tidyVolumes();
}

void TestMigration::lxcDrivesVolumes_data() { copiesGoEveryWay_data(); }

void TestMigration::lxcDrivesVolumes()
{
    QFETCH(QString, mode);
    if (QStandardPaths::findExecutable("lxc").isEmpty())
        QSKIP("needs the lxc client of package lxd-client");
    makeVolume();
    RUN_OK(lxc({"storage", "volume", "copy", "a:default/data", "b:default/copy", "--mode", mode}));
    QCOMPARE(volumesOf(m_far), QByteArray("copy\ncopy/s0"));
    QCOMPARE(farText({"storage", "volume", "get", "default", "copy", "user.note"}), QByteArray("kept"));
    RUN_OK(exec("t1", {"sh", "-c", "echo three > /mnt/three && sync"}));
    RUN_OK(lxc({"storage", "volume", "copy", "a:default/data", "b:default/copy", "--mode", mode, "--refresh"}));
    must({"config", "device", "remove", "t1", "data"});
    RUN_OK(lxc({"storage", "volume", "move", "a:default/data", "b:default/moved", "--mode", mode}));
    QCOMPARE(volumesOf(m_far), QByteArray("copy\ncopy/s0\nmoved\nmoved/s0"));
    QCOMPARE(volumesOf(m_box), QByteArray());
    must({"storage", "volume", "copy", "b:default/copy", "default/back", "--volume-only"});
    QVERIFY(contentOf(m_box, "back").contains("./three"));
    tidyVolumes();
}

void TestMigration::namesOfOneHostAreFound()
{
    makeGuest("t1");
    const quint64 before = bytesOnLoopback();
    must({"copy", "t1", "a:t2"}); // one daemon: its own copy, nothing goes over
    QVERIFY(bytesOnLoopback() - before < 400'000);
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nsS", "t2"}), QByteArray("t2,STOPPED,2"));
    must({"copy", "t1", "a:t3", "--mode", "relay"}); // unless it is asked for
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nsS", "t3"}), QByteArray("t3,STOPPED,2"));
    const Run itself = m_box.cli({"copy", "t1", "a:t1", "--mode", "relay", "--refresh"});
    QVERIFY2(!itself.ok() && itself.err.contains("cannot be copied onto itself"), itself.told());
    const Run one = m_box.cli({"copy", "t1", "t4", "--mode", "pull"});
    QVERIFY2(one.status == 2 && one.err.contains("this is one host"), one.told());
}

void TestMigration::withoutAnAddressAnotherWayIsTaken()
{
    must({"create", "busybox", "t1", "-p", "plain"});
    must({"config", "unset", "core.https_address"});
    const Run pull = m_box.cli({"copy", "t1", "b:t2", "--mode", "pull"});
    QVERIFY2(!pull.ok() && pull.err.contains("core.https_address"), pull.told());
    must({"copy", "t1", "b:t2"}); // brought
    mustFar({"config", "unset", "core.https_address"});
    must({"copy", "t1", "hidden:t3"}); // through the client
    mustFar({"config", "set", "core.https_address=127.0.0.1:8444"});
    must({"config", "set", "core.https_address=127.0.0.1:8443"});
    QCOMPARE(farText({"list", "-f", "csv", "-c", "n"}), QByteArray("t2\nt3"));
    tidyFar();
}

void TestMigration::secretsAndCertificatesAreLookedAt()
{
    must({"create", "busybox", "t1", "-p", "plain"});
    const auto offer = [&] { return m_box.rest("POST", "/1.0/instances/t1", {{"migration", true}}); };
    const auto ask = [&](const QJsonObject &source) {
        QJsonObject whole = source;
        whole["type"] = "migration";
        whole["mode"] = "pull";
        const Reply started = m_far.rest("POST", "/1.0/instances", {{"name", "t2"}, {"profiles", QJsonArray{"plain"}}, {"source", whole}});
        if (started.status != 202)
            return started.raw;
        return m_far.rest("GET", started.body["operation"].toString().toUtf8() + "/wait").body["metadata"].toObject()["err"].toString().toUtf8();
    };
    const QJsonObject environment = m_box.rest("GET", "/1.0").body["metadata"].toObject()["environment"].toObject();
    const Reply offered = offer();
    QCOMPARE(offered.status, 202);
    const QJsonObject operation = offered.body["metadata"].toObject();
    QCOMPARE(operation["class"].toString(), QString("websocket"));
    const QString url = "https://127.0.0.1:8443" + offered.body["operation"].toString();
    QJsonObject secrets = operation["metadata"].toObject();
    QCOMPARE(QStringList(secrets.keys()), QStringList({"control", "fs"}));
    // The other host's certificate in place of this one's.
    const QString wrong = m_far.rest("GET", "/1.0").body["metadata"].toObject()["environment"].toObject()["certificate"].toString();
    const QByteArray certificate = ask({{"operation", url}, {"secrets", secrets}, {"certificate", wrong}});
    QVERIFY2(certificate.contains("another than the one agreed on"), certificate);
    const QByteArray guessed = ask({{"operation", url}, {"secrets", QJsonObject{{"control", "guess"}, {"fs", "guess"}}}, {"certificate", environment["certificate"]}});
    QVERIFY2(guessed.contains("Operation not found") || guessed.contains("not authorized"), guessed);
    for (const char *bad : {"https://127.0.0.1:8443/1.0/instances", "http://127.0.0.1:8443/1.0/operations/x", "https:///1.0/operations/x", "file:///etc/shadow"}) {
        const QByteArray refused = ask({{"operation", bad}, {"secrets", secrets}, {"certificate", environment["certificate"]}});
        QVERIFY2(refused.contains("is no URL of an operation"), refused);
    }
    // What nobody else may see: a list of operations shows none of the secrets to others.
    QCOMPARE(m_box.rest("DELETE", offered.body["operation"].toString().toUtf8()).status, 200);
    QCOMPARE(m_far.stateOf("t2"), QByteArray());
}

/// LXD begins with a message of its own; so does a later form of ours.
void TestMigration::otherFormsAreNamed()
{
    must({"create", "busybox", "t1", "-p", "plain"});
    if (QStandardPaths::findExecutable("python3").isEmpty())
        QSKIP("needs python3");
    const char *const client = R"(
import base64, json, os, socket, sys
path, operation, control, fs, first = sys.argv[1:6]
def opened(secret):
    s = socket.socket(socket.AF_UNIX); s.connect(path)
    s.send((f"GET {operation}/websocket?secret={secret} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
    assert b" 101 " in s.recv(4096)
    return s
c, d = opened(control), opened(fs)
data = bytes.fromhex(first)
c.send(bytes([0x82, 0x80 | len(data), 0, 0, 0, 0]) + data)
c.settimeout(10)
try:
    while c.recv(4096): pass
except OSError: pass
)";
    for (const auto &[bytes, words] : {std::pair<QByteArray, QByteArray>{"08001a0a", "is no lxmgr"},
                                       {QByteArray("lxmgr-migration 2\n").toHex(), "bring both to the same version"}}) {
        const Reply offered = m_box.rest("POST", "/1.0/instances/t1", {{"migration", true}});
        const QJsonObject secrets = offered.body["metadata"].toObject()["metadata"].toObject();
        const QString operation = offered.body["operation"].toString();
        RUN_OK(run({"python3", "-c", client, m_box.socket(), operation, secrets["control"].toString(), secrets["fs"].toString(), QString::fromUtf8(bytes)}));
        const QByteArray err = m_box.rest("GET", operation.toUtf8() + "/wait").body["metadata"].toObject()["err"].toString().toUtf8();
        QVERIFY2(err.contains(words), err);
    }
}

void TestMigration::fullTargetsAreNamed()
{
    if (QStandardPaths::findExecutable("mkfs.btrfs").isEmpty())
        QSKIP("needs mkfs.btrfs");
    makeGuest("t1");
    must({"start", "t1"});
    RUN_OK(exec("t1", {"sh", "-c", "head -c 150000000 /dev/urandom > /data/huge; sync"}));
    must({"stop", "--force", "t1"});
    mustFar({"storage", "create", "small", "btrfs", "size=120MiB"});
    const Run full = m_box.cli({"copy", "t1", "b:t2", "-s", "small", "--instance-only"});
    QVERIFY2(full.status == 10, full.told());
    QCOMPARE(m_far.stateOf("t2"), QByteArray());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    mustFar({"storage", "delete", "small"});
    must({"copy", "t1", "b:t2", "--instance-only"});
    tidyFar();
}

void TestMigration::devicesOfPrivilegedOnesGoAlong()
{
    must({"launch", "busybox", "t1", "-p", "plain", "-c", "security.privileged=true"});
    RUN_OK(exec("t1", {"sh", "-c", "mkdir /data && mknod -m 640 /data/node c 1 3 && touch -d '2020-01-01 00:00' /data/node && sync"}));
    must({"stop", "--force", "t1"});
    must({"copy", "t1", "b:"});
    isSame("t1", "t1", {});
    const Run left = m_box.cli({"copy", "t1", "b:t2", "-c", "security.privileged=false"});
    QVERIFY2(left.ok() && left.err.contains("1 device nodes left out"), left.told());
    tidyFar();
}

void TestMigration::daemonsEndInTheMiddle()
{
    makeGuest("t1");
    m_far.stopDaemon();
    startFar({{"LXMGR_FAIL", "migrate.take.taken=sleep:1500"}});
    QProcess client;
    client.setProcessEnvironment(m_box.environment());
    client.start(Sandbox::program("lxmgr"), {"copy", "t1", "b:t2", "--mode", "pull"});
    QVERIFY(Sandbox::eventually([&] { return !m_far.stateOf("t2").isEmpty(); }));
    // Who carries the connection has no rights, and nobody's id.
    int carriers = 0;
    for (const QString &entry : QDir("/proc").entryList(QDir::Dirs)) {
        QFile status("/proc/" + entry + "/status");
        const QByteArray text = status.open(QIODevice::ReadOnly) ? status.readAll() : QByteArray();
        if (!text.contains("PPid:\t" + QByteArray::number(m_far.daemonPid()) + "\n") || !text.startsWith("Name:\tlxmgr-tunnel"))
            continue;
        ++carriers;
        QVERIFY2(text.contains("Uid:\t65534\t65534\t65534\t65534") && text.contains("CapEff:\t0000000000000000"), text);
    }
    QCOMPARE(carriers, 2); // for clients, and to the other host
    QElapsedTimer timer;
    timer.start();
    m_far.stopDaemon();
    QVERIFY2(timer.elapsed() < 15000, QByteArray::number(timer.elapsed()));
    QVERIFY(client.waitForFinished());
    QVERIFY(client.exitCode() != 0);
    startFar();
    QCOMPARE(m_far.stateOf("t2"), QByteArray());
    must({"copy", "t1", "b:t2"});
    isSame("t1", "t2", {"s0", "s1"});
    tidyFar();
}

void TestMigration::theSourceDies()
{
    makeGuest("t1");
    m_box.stopDaemon();
    startNear({{"LXMGR_FAIL", "migrate.send.state=kill"}});
    const Run cut = m_box.cli({"copy", "t1", "b:t2"});
    QVERIFY2(!cut.ok(), cut.told());
    QVERIFY(m_box.daemonEnds());
    startNear();
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nsS", "t1"}), QByteArray("t1,STOPPED,2"));
    QVERIFY(Sandbox::eventually([&] { return m_far.stateOf("t2").isEmpty(); }));
    must({"copy", "t1", "b:t2"});
    isSame("t1", "t2", {"s0", "s1"});
    tidyFar();
}

void TestMigration::theTargetDies()
{
    makeGuest("t1");
    for (const char *point : {"migrate.take.state", "migrate.take.taken", "create.volume"}) {
        m_far.stopDaemon();
        startFar({{"LXMGR_FAIL", QString(point) + "=kill"}});
        const Run cut = m_box.cli({"move", "t1", "b:t2"});
        QVERIFY2(!cut.ok(), cut.told());
        QVERIFY(m_far.daemonEnds());
        startFar();
        QCOMPARE(m_far.stateOf("t2"), QByteArray());
        QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nsS", "t1"}), QByteArray("t1,STOPPED,2"));
    }
    must({"copy", "t1", "b:t2"});
    for (const char *point : {"migrate.take.taken", "migrate.refresh.taken", "migrate.refresh.swapped", "migrate.refresh.rows"}) {
        must({"snapshot", "create", "t1", "s2"});
        m_far.stopDaemon();
        startFar({{"LXMGR_FAIL", QString(point) + "=kill"}});
        const Run cut = m_box.cli({"copy", "t1", "b:t2", "--refresh"});
        QVERIFY2(!cut.ok(), cut.told());
        QVERIFY(m_far.daemonEnds());
        startFar();
        const bool forward = QByteArray(point) == "migrate.refresh.rows";
        QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), forward ? QByteArray("t2,STOPPED,3") : QByteArray("t2,STOPPED,2"));
        must({"copy", "t1", "b:t2", "--refresh"});
        isSame("t1", "t2", {"s0", "s1", "s2"});
        must({"delete", "--purge", "t1/s2"});
        must({"copy", "t1", "b:t2", "--refresh"});
    }
    tidyFar();
}

void TestMigration::theClientDies()
{
    makeGuest("t1");
    QProcess client;
    client.setProcessEnvironment(m_box.environment());
    m_far.stopDaemon();
    startFar({{"LXMGR_FAIL", "migrate.take.taken=sleep:2000"}});
    client.start(Sandbox::program("lxmgr"), {"move", "t1", "b:t2", "--mode", "relay"});
    QVERIFY(client.waitForStarted());
    QVERIFY(Sandbox::eventually([&] { return !m_far.stateOf("t2").isEmpty(); }));
    client.kill();
    client.waitForFinished();
    QVERIFY(Sandbox::eventually([&] { return m_far.rest("GET", "/1.0/operations").body["metadata"].toObject()["running"].toArray().isEmpty(); }, 60000));
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nsS", "t1"}), QByteArray("t1,STOPPED,2"));
    m_far.stopDaemon();
    startFar();
    must({"copy", "t1", "b:t2", "--refresh"});
    isSame("t1", "t2", {"s0", "s1"});
    tidyFar();
}

/// All of it is there, and it was not deleted here.
void TestMigration::aMoveThatWasCutOffIsCompleted()
{
    makeGuest("t1");
    const QString uuid = "volatile.uuid=" + QString::fromUtf8(m_box.text({"config", "get", "t1", "volatile.uuid"}));
    must({"copy", "t1", "b:t2", "-c", uuid}); // as a move does it
    mustFar({"start", "t2"});
    mustFar({"stop", "--force", "t2"});
    const Run refused = m_box.cli({"move", "t1", "b:t2"});
    QVERIFY2(!refused.ok() && refused.err.contains("was started there since"), refused.told());
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nsS", "t1"}), QByteArray("t1,STOPPED,2"));
    mustFar({"delete", "--purge", "t2"});
    must({"copy", "t1", "b:t2"});
    const Run taken = m_box.cli({"move", "t1", "b:t2"});
    QVERIFY2(!taken.ok() && taken.err.contains("already exists"), taken.told()); // it is another one
    mustFar({"delete", "--purge", "t2"});
    must({"copy", "t1", "b:t2", "-c", uuid});
    must({"move", "t1", "b:t2"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("t2,STOPPED,2"));
    tidyFar();
}

void TestMigration::whatCameWholeStays()
{
    makeGuest("t1");
    m_box.stopDaemon();
    startNear({{"LXMGR_FAIL", "migrate.send.now=error"}}); // s0 and s1 have gone by then
    const Run cut = m_box.cli({"copy", "t1", "b:t2"});
    QVERIFY2(!cut.ok() && cut.err.contains("2 snapshots are here already") && cut.err.contains("--refresh"), cut.told());
    QCOMPARE(farText({"list", "-f", "csv", "-c", "nsS"}), QByteArray("t2,STOPPED,2"));
    const Run start = far({"start", "t2"});
    QVERIFY2(!start.ok() && start.err.contains("has not come whole"), start.told());
    QCOMPARE(farText({"config", "get", "t2", "volatile.migration.unfinished"}), QByteArray("t1"));
    m_box.stopDaemon();
    startNear();
    const quint64 before = bytesOnLoopback();
    must({"copy", "t1", "b:t2", "--refresh"});
    QVERIFY(bytesOnLoopback() - before < 500'000); // s0 and s1 have 1.2 MB of random bytes
    isSame("t1", "t2", {"s0", "s1"});
    mustFar({"start", "t2"});
    tidyFar();
    // What came can be used as it is, too.
    m_box.stopDaemon();
    startNear({{"LXMGR_FAIL", "migrate.send.now=error"}});
    QVERIFY(!m_box.cli({"copy", "t1", "b:t2"}).ok());
    mustFar({"restore", "t2", "s1"});
    mustFar({"start", "t2"});
    QCOMPARE(m_far.text({"exec", "t2", "--", "cat", "/data/two"}), QByteArray("two"));
    m_box.stopDaemon();
    startNear();
    tidyFar();
}

void TestMigration::theOtherHostIsLeftClean()
{
    tidyFar();
    const QStringList left = m_far.leftSince(m_farBefore);
    QVERIFY2(left.isEmpty(), qPrintable("left behind:\n" + left.join('\n')));
    const QStringList forced = m_far.destroy();
    m_before = m_box.settledStock(); // the other's processes were in it
    QVERIFY2(forced.isEmpty(), qPrintable(forced.join('\n')));
}

QTEST_GUILESS_MAIN(TestMigration)
#include "tst_migration.moc"

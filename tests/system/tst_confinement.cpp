// Confinement as a guest sees it, and what other users of the host may not see: asked of the kernel.
#include "support/system_test.h"

#include <sys/stat.h>

using namespace lxmgr::test;

class TestSecurity : public SystemTest
{
    Q_OBJECT
private slots:
    void deniedCallsAreDenied_data();
    void deniedCallsAreDenied();
    void capabilitiesAreBounded();
    void allNamespacesAreItsOwn();
    void hostDevicesAndKernelFilesAreOutOfReach_data();
    void hostDevicesAndKernelFilesAreOutOfReach();
    void otherUsersOfTheHostSeeNothing();
    void socketIsForRoot();
    void monitorSocketIsForRoot();
    void filesKeepTheImagesOwners();
    void guestDoesNotSeeTheHostsMounts();
    void programsOfTheHostCannotBeOverwritten();

private:
    void prepare() override
    {
        launch("t1");
        giveProbe("t1");
        m_keep << "t1";
    }
};

void TestSecurity::deniedCallsAreDenied_data()
{
    QTest::addColumn<QByteArrayList>("answers");
    QTest::newRow("init_module") << QByteArrayList{"ENOSYS"};
    QTest::newRow("kexec_load") << QByteArrayList{"ENOSYS"};
    QTest::newRow("open_by_handle_at") << QByteArrayList{"ENOSYS"};
    QTest::newRow("perf_event_open") << QByteArrayList{"ENOSYS"};
    QTest::newRow("swapon") << QByteArrayList{"ENOSYS"};
    QTest::newRow("bpf") << QByteArrayList{"EPERM"};
    QTest::newRow("clock_settime") << QByteArrayList{"ENOSYS", "EPERM"};
    QTest::newRow("af_alg") << QByteArrayList{"EAFNOSUPPORT"};
    QTest::newRow("af_vsock") << QByteArrayList{"EAFNOSUPPORT"};
    QTest::newRow("umount_force") << QByteArrayList{"EACCES"};
    QTest::newRow("mknod") << QByteArrayList{"EPERM"};
}

void TestSecurity::deniedCallsAreDenied()
{
    QFETCH(QByteArrayList, answers);
    const QByteArray answer = inside("t1", {"/probe", "call", QTest::currentDataTag()});
    QVERIFY2(answers.contains(answer), answer);
}

void TestSecurity::capabilitiesAreBounded()
{
    const QByteArray bounding = inside("t1", {"sh", "-c", "grep CapBnd /proc/1/status | cut -f2"});
    const quint64 bits = bounding.toULongLong(nullptr, 16);
    QVERIFY2(bits != 0, bounding);
    // capabilities(7): sys_module 16, sys_rawio 17, sys_time 25, mac_override 32, mac_admin 33, wake_alarm 35, block_suspend 36
    for (const int dropped : {16, 17, 25, 32, 33, 35, 36})
        QVERIFY2(!(bits >> dropped & 1), (bounding + " has " + QByteArray::number(dropped)).constData());
    QVERIFY(bits & 1);
}

void TestSecurity::allNamespacesAreItsOwn()
{
    const int init = m_box.initPid("t1");
    for (const char *name : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
        struct stat host {
        }, guest{};
        QCOMPARE(::stat(qPrintable(QString("/proc/self/ns/%1").arg(name)), &host), 0);
        QCOMPARE(::stat(qPrintable(QString("/proc/%1/ns/%2").arg(init).arg(name)), &guest), 0);
        QVERIFY2(host.st_ino != guest.st_ino, name);
    }
}

void TestSecurity::hostDevicesAndKernelFilesAreOutOfReach_data()
{
    QTest::addColumn<QString>("mode");
    for (const char *path : {"/dev/vda", "/dev/sda", "/dev/mem", "/dev/kmsg", "/proc/kcore", "/dev/loop0"})
        QTest::newRow(path) << "";
    for (const char *path : {"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                             "/sys/kernel/uevent_helper", "/proc/sys/vm/panic_on_oom", "/sys/power/state"})
        QTest::newRow(path) << "w";
}

void TestSecurity::hostDevicesAndKernelFilesAreOutOfReach()
{
    QFETCH(QString, mode);
    QStringList command{"/probe", "open", QTest::currentDataTag()};
    if (!mode.isEmpty())
        command << mode;
    const QByteArray answer = inside("t1", command);
    QVERIFY2(answer != "ok", answer);
}

void TestSecurity::otherUsersOfTheHostSeeNothing()
{
    for (const QString &path : {m_box.stateDir() + "/storage-pools/default/containers", m_box.stateDir() + "/lxmgr.db",
                                m_box.stateDir() + "/logs", m_box.runDir() + "/instances/t1"}) {
        const Run read = run({"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", "cat \"$1\" || ls \"$1\"/.", "sh", path});
        QVERIFY2(!read.ok(), read.told());
    }
}

void TestSecurity::socketIsForRoot()
{
    struct stat status {
    };
    QCOMPARE(::stat(m_box.socket().toUtf8().constData(), &status), 0);
    QCOMPARE(status.st_mode & 0007, mode_t(0));
}

void TestSecurity::monitorSocketIsForRoot()
{
    struct stat status {
    };
    QCOMPARE(::stat((m_box.runDir() + "/instances/t1").toUtf8().constData(), &status), 0);
    QCOMPARE(status.st_mode & 0777, mode_t(0700));
    QCOMPARE(status.st_uid, uid_t(0));
}

void TestSecurity::filesKeepTheImagesOwners()
{
    must({"exec", "t1", "--", "sh", "-c", "echo x > /root/owned; chown 1000:1000 /root/owned; sync"});
    const Run found = run({"find", m_box.stateDir() + "/storage-pools", "-name", "owned", "-printf", "%U:%G\n"});
    QCOMPARE(found.out.trimmed(), QByteArray("1000:1000"));
}

void TestSecurity::guestDoesNotSeeTheHostsMounts()
{
    QByteArray mounts = inside("t1", {"cat", "/proc/1/mountinfo"});
    // But for the folder of its own API, read-only, with nothing in it but a socket.
    for (const char *target : {"/dev/lxd", "/dev/incus"})
        mounts.replace(m_box.directory().toUtf8() + "/run/instances/t1/guestapi " + target + " ro,nosuid,nodev,", "own");
    QCOMPARE(mounts.count("own"), 2);
    QVERIFY2(!mounts.contains(m_box.directory().toUtf8() + "/run"), mounts);
    const QByteArray environment = inside("t1", {"sh", "-c", "tr '\\0' '\\n' < /proc/1/environ"});
    QVERIFY2(!environment.contains("LXMGR_") && environment.contains("container="), environment);
}

void TestSecurity::programsOfTheHostCannotBeOverwritten()
{
    // /proc/PID/exe of a process entered from outside must not be the host's binary.
    const QByteArray exe = inside("t1", {"sh", "-c", "for p in /proc/[0-9]*; do readlink $p/exe; done | sort -u"});
    QVERIFY2(!exe.contains("lxmgr-monitor") && !exe.contains("/build"), exe);
}

QTEST_GUILESS_MAIN(TestSecurity)
#include "tst_confinement.moc"

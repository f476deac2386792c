// security.syscalls.intercept.*: what the kernel refuses a guest and is carried out for it, measured from inside.
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QProcess>
#include <QScopeGuard>
#include <csignal>
#include <sched.h>
#include <sys/xattr.h>

using namespace lxmgr::test;

class TestIntercepts : public SystemTest
{
    Q_OBJECT
private slots:
    void nodesAreMadeAndOpen();
    void nodesThatReachTheHostAreNot_data();
    void nodesThatReachTheHostAreNot();
    void onlyWhoMayMakesThem();
    void pathsMeanWhatTheyMeanInside();
    void opaqueFoldersAreMade();
    void sysinfoTellsItsOwn();
    void threadsAreScheduledByTheGuestsRoot();
    void onlyThreadsOfTheGuestAreScheduled();
    void fileSystemsOfItsDevicesAreMounted();
    void onlyItsOwnDevicesAreMounted();
    void placesOfMountsMeanWhatTheyMeanInside();
    void changingArgumentsGainNothing();
    void stopsWhileMountsAreUnderWay();
    void mountsAreDoneByItsOwnProgram();
    void mountsGoOnUnlessAskedFor();
    void goesOnWithoutDaemonAndWithAStoppedMonitor();
    void isOffUnlessAskedFor();
    void badCombinationsAreRefused();

private:
    /// A loop device over a new file, with `make` done to it; of `detachAll`.
    QString newDisk(const QString &name, const QStringList &make, const QString &size = "40M")
    {
        const QString image = m_box.directory() + "/" + name + ".img";
        (void)run({"truncate", "-s", size, image});
        const Run attached = run({"losetup", "--find", "--show", image});
        const QString device = attached.out.trimmed();
        m_disks << device;
        const Run made = run(make + QStringList{device});
        if (!attached.ok() || !made.ok())
            qWarning("%s %s", attached.told().constData(), made.told().constData());
        return device;
    }
    void detachAll()
    {
        deleteAll();
        for (const QString &device : m_disks)
            (void)run({"losetup", "-d", device});
        m_disks.clear();
    }
    static QByteArray numberOf(const QString &device) { return "7:" + device.mid(QString("/dev/loop").size()).toUtf8(); }
    /// Options of `target` in the guest, as the kernel tells them.
    QByteArray mounted(const QString &name, const QString &target)
    {
        return inside(name, {"sh", "-c", "grep ' " + target + " ' /proc/mounts; exit 0"});
    }
    void launchWithMounts(const QStringList &extra)
    {
        QStringList keys = {"-c", "security.syscalls.intercept.mount=true"};
        for (const QString &key : extra)
            keys << "-c" << "security.syscalls.intercept.mount." + key;
        launch("t1", keys);
        giveProbe("t1");
        must({"exec", "t1", "--", "mkdir", "-p", "/srv", "/root", "/mnt"});
    }
    void give(const QString &device, const QString &path = "/dev/disk")
    {
        must({"config", "device", "add", "t1", path.mid(5).replace('/', '-'), "unix-block", "source=" + device, "path=" + path});
    }
    QByteArray mountIt(const QString &source, const QString &target, const QString &type = "ext4", const QString &flags = "0", const QString &data = {})
    {
        return probe("t1", {"mount", source, target, type, flags, data});
    }
    QStringList m_disks;

    QByteArray probe(const QString &name, const QStringList &words) { return inside(name, QStringList{"/probe"} + words); }
    void launchWith(const QString &name, const QStringList &calls, const QStringList &extra = {})
    {
        QStringList keys = extra;
        for (const QString &call : calls)
            keys << "-c" << "security.syscalls.intercept." + call + "=true";
        launch(name, keys);
        giveProbe(name);
        must({"exec", name, "--", "mkdir", "-p", "/srv", "/root"});
    }
    /// The processes that carry out calls of the guest: children of its monitor that are called so.
    QList<int> interceptors(const QString &name)
    {
        const QByteArray parent = "PPid:\t" + QByteArray::number(m_box.monitorPid(name)) + "\n";
        QList<int> found;
        for (const QString &pid : QDir("/proc").entryList({"[0-9]*"}, QDir::Dirs)) {
            QFile status("/proc/" + pid + "/status");
            const QByteArray text = status.open(QIODevice::ReadOnly) ? status.readAll() : QByteArray();
            if (text.startsWith("Name:\tlxmgr-intercept\n") && text.contains(parent))
                found << pid.toInt();
        }
        return found;
    }
};

void TestIntercepts::nodesAreMadeAndOpen()
{
    launchWith("t1", {"mknod"});
    QCOMPARE(inside("t1", {"sh", "-c", "umask 022; cd /root && mknod null c 1 3 && echo gone >null && stat -c '%F %t:%T %a %U' null"}),
             QByteArray("character special file 1:3 644 root"));
    QCOMPARE(inside("t1", {"sh", "-c", "mknod -m 666 /root/zero c 1 5 && head -c 3 /root/zero | od -An -tx1"}), QByteArray("00 00 00"));
    QCOMPARE(inside("t1", {"mount", "-t", "tmpfs", "none", "/srv"}), QByteArray()); // an overlay has none itself
    QCOMPARE(probe("t1", {"node", "white", "0", "0", "/srv"}), QByteArray("done")); // below a descriptor
    QCOMPARE(inside("t1", {"stat", "-c", "%F %t:%T", "/srv/white"}), QByteArray("character special file 0:0"));
    // PID 1 and what it starts, not only what exec brings in.
    QCOMPARE(inside("t1", {"sh", "-c", "printf '#!/bin/sh\\nmknod /root/boot c 1 9\\n' >/etc/init.d/S10node; chmod +x /etc/init.d/S10node"}), QByteArray());
    must({"restart", "--force", "t1"});
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"test", "-c", "/root/boot"}).ok(); }));
    // And after a reboot of its own.
    const int init = m_box.initPid("t1");
    must({"exec", "t1", "--", "sh", "-c", "rm /root/boot; kill -TERM 1; exit 0"});
    QVERIFY(Sandbox::eventually([&] { return m_box.initPid("t1") != 0 && m_box.initPid("t1") != init; }));
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"test", "-c", "/root/boot"}).ok(); }));
    QCOMPARE(probe("t1", {"nodes", "50", "/root/many"}), QByteArray("0")); // four at a time
    QCOMPARE(interceptors("t1").size(), 1);
    must({"stop", "--force", "t1"});
}

void TestIntercepts::nodesThatReachTheHostAreNot_data()
{
    QTest::addColumn<QString>("major");
    QTest::addColumn<QString>("minor");
    QTest::newRow("memory") << "1" << "1";
    QTest::newRow("kernel log") << "1" << "11";
    QTest::newRow("first terminal") << "4" << "1";
    QTest::newRow("loop control") << "10" << "237";
    QTest::newRow("zero of another kind") << "0" << "1";
}

void TestIntercepts::nodesThatReachTheHostAreNot()
{
    QFETCH(QString, major);
    QFETCH(QString, minor);
    launchWith("t1", {"mknod"});
    QCOMPARE(probe("t1", {"node", "/root/x", major, minor}), QByteArray("EPERM"));
    QCOMPARE(inside("t1", {"sh", "-c", "mknod /root/disk b 7 0 2>&1 | grep -o 'not permitted'"}), QByteArray("not permitted"));
    // A console is the guest's own, whatever its number says.
    QCOMPARE(probe("t1", {"node", "/root/console", "5", "1"}), QByteArray("done"));
    QVERIFY(!exec("t1", {"sh", "-c", "echo x >/root/console"}).ok());
}

void TestIntercepts::onlyWhoMayMakesThem()
{
    launchWith("t1", {"mknod", "setxattr"});
    QCOMPARE(inside("t1", {"sh", "-c", "mkdir -m 777 /open; mkdir -m 700 /closed; chown 1000 /closed"}), QByteArray());
    const Run user = m_box.cli({"exec", "t1", "--user", "1000", "--", "/probe", "node", "/open/x", "1", "3"});
    QCOMPARE(user.out.trimmed(), QByteArray("EPERM"));
    const Run attribute = m_box.cli({"exec", "t1", "--user", "1000", "--", "/probe", "attribute", "/closed", "trusted.overlay.opaque", "y"});
    QCOMPARE(attribute.out.trimmed(), QByteArray("EPERM"));
    // Its root may write where its users may; the owner is who made it.
    QCOMPARE(probe("t1", {"node", "/closed/x", "1", "3"}), QByteArray("done"));
    QCOMPARE(inside("t1", {"stat", "-c", "%U", "/closed/x"}), QByteArray("root"));
    // In a user namespace made inside there are other ids.
    QCOMPARE(inside("t1", {"unshare", "-U", "-r", "/probe", "node", "/open/y", "1", "3"}), QByteArray("EPERM"));
}

void TestIntercepts::pathsMeanWhatTheyMeanInside()
{
    launchWith("t1", {"mknod"});
    const QString canary = m_box.directory() + "/canary";
    QVERIFY(QDir().mkpath(canary));
    QCOMPARE(inside("t1", {"sh", "-c", "mkdir -p /srv/real " + canary + "; ln -s /srv/real /link; ln -s /../../.." + canary + " /out; ln -s nowhere /dangling"}), QByteArray());
    const QList<std::pair<QStringList, QByteArray>> cases = {
        {{"/link/a", "1", "3"}, "done"},
        {{"/../../link/b", "1", "3"}, "done"},
        {{"/out/c", "1", "3"}, "done"}, // in the guest's folder of that name
        {{"d", "1", "3", "/link"}, "done"},
        {{"/dangling", "1", "3"}, "EEXIST"},
        {{"/srv/real/a", "1", "3"}, "EEXIST"},
        {{"/nowhere/x", "1", "3"}, "ENOENT"},
        {{"/srv/real/", "1", "3"}, "ENOENT"},
        {{"", "1", "3"}, "ENOENT"},
        {{"/srv/real/..", "1", "3"}, "EEXIST"},
        {{"/etc/passwd/x", "1", "3"}, "ENOTDIR"},
        {{QString(5000, 'x'), "1", "3"}, "ENAMETOOLONG"},
        {{QString(300, 'x'), "1", "3"}, "ENAMETOOLONG"},
        {{"/proc/x", "1", "3"}, "EACCES"},
        {{"x", "1", "3", "/nowhere"}, "EBADF"},
    };
    for (const auto &[words, answer] : cases)
        QVERIFY2(probe("t1", QStringList{"node"} + words) == answer, qPrintable(words.join(' ').left(40) + ": " + probe("t1", QStringList{"node"} + words)));
    QCOMPARE(inside("t1", {"ls", "/srv/real"}), QByteArray("a\nb\nd"));
    QCOMPARE(inside("t1", {"ls", canary}), QByteArray("c"));
    QCOMPARE(QDir(canary).entryList(QDir::AllEntries | QDir::System | QDir::NoDotAndDotDot), QStringList());
    // From a root of its own inside, and from another mount namespace.
    QCOMPARE(inside("t1", {"sh", "-c", "mkdir -p /jail/sub; cp /probe /jail; chroot /jail /probe node /sub/e 1 3; test -c /jail/sub/e && echo there"}), QByteArray("done\nthere"));
    QCOMPARE(inside("t1", {"unshare", "-m", "sh", "-c", "mount -t tmpfs none /srv/real && /probe node /srv/real/f 1 3 && test -c /srv/real/f && echo there"}), QByteArray("done\nthere"));
    QVERIFY(!exec("t1", {"test", "-e", "/srv/real/f"}).ok());
    must({"config", "device", "add", "t1", "host", "disk", "source=" + canary, "path=/host", "readonly=true", "shift=true"});
    QCOMPARE(probe("t1", {"node", "/host/g", "1", "3"}), QByteArray("EROFS"));
}

void TestIntercepts::opaqueFoldersAreMade()
{
    launchWith("t1", {"setxattr"});
    // Where the guest's root can have such at all: not every overlay can itself.
    QCOMPARE(inside("t1", {"sh", "-c", "mkdir /mem; mount -t tmpfs none /mem; mkdir /mem/folder; touch /mem/file; ln -s folder /mem/link"}), QByteArray());
    const auto set = [&](const QStringList &words) { return probe("t1", QStringList{"attribute"} + words); };
    QCOMPARE(set({"/mem/folder", "trusted.overlay.opaque", "y"}), QByteArray("done"));
    QCOMPARE(set({"/mem/link", "trusted.overlay.opaque", "y"}), QByteArray("done"));
    QCOMPARE(set({"/mem/folder", "trusted.overlay.opaque", "y", "f"}), QByteArray("done"));
    const QByteArray host = "/proc/" + QByteArray::number(m_box.initPid("t1")) + "/root/mem/folder";
    char value = 0;
    QCOMPARE(::getxattr(host.constData(), "trusted.overlay.opaque", &value, 1), ssize_t(1));
    QCOMPARE(value, 'y');
    // Everything else is the kernel's to say.
    QCOMPARE(set({"/mem/file", "trusted.overlay.opaque", "y"}), QByteArray("EPERM"));
    QCOMPARE(set({"/mem/folder", "trusted.overlay.opaque", "n"}), QByteArray("EPERM"));
    QCOMPARE(set({"/mem/folder", "trusted.overlay.redirect", "y"}), QByteArray("EPERM"));
    QCOMPARE(set({"/mem/folder", "trusted.x", "y"}), QByteArray("EPERM"));
    QCOMPARE(set({"/mem/nothing", "trusted.overlay.opaque", "y"}), QByteArray("ENOENT"));
    QCOMPARE(set({"/root", "user.note", "y"}), QByteArray("done"));
}

void TestIntercepts::sysinfoTellsItsOwn()
{
    launchWith("t1", {"sysinfo"}, {"-c", "limits.memory=128MiB"});
    const QByteArrayList told = probe("t1", {"resources"}).split(' ');
    QCOMPARE(told.size(), 4);
    QCOMPARE(told[0], QByteArray("128"));
    QVERIFY2(told[1].toInt() > 0 && told[1].toInt() < 128, told[1]);
    QVERIFY2(told[2].toInt() > 0 && told[2].toInt() < 60, told[2]);
    QVERIFY2(told[3].toInt() < 60, told[3]);
    must({"config", "set", "t1", "limits.memory=200MiB"}); // live
    QCOMPARE(probe("t1", {"resources"}).split(' ').value(0), QByteArray("200"));
    QVERIFY2(inside("t1", {"uptime"}).contains("up 0 min"), inside("t1", {"uptime"}));
}

void TestIntercepts::threadsAreScheduledByTheGuestsRoot()
{
    launchWith("t1", {"sched_setscheduler"});
    // As without: its own, downwards.
    QCOMPARE(probe("t1", {"schedule", "0", "batch", "0"}), QByteArray("batch 0"));
    QCOMPARE(probe("t1", {"schedule", "0", "idle", "0"}), QByteArray("idle 0"));
    // What the kernel refuses a root that is none: another user's.
    QCOMPARE(inside("t1", {"sh", "-c", "su -s /bin/sh nobody -c 'sleep 300 & echo $!' >/srv/pid; /probe schedule $(cat /srv/pid) idle 0; /probe schedule $(cat /srv/pid) other 0"}),
             QByteArray("idle 0\nother 0"));
    // The kernel's own answers stay.
    QCOMPARE(probe("t1", {"schedule", "0", "fifo", "100"}), QByteArray("EINVAL"));
    QCOMPARE(probe("t1", {"schedule", "0", "other", "3"}), QByteArray("EINVAL"));
    QCOMPARE(probe("t1", {"schedule", "0", "bad", "0"}), QByteArray("EINVAL"));
    QCOMPARE(probe("t1", {"schedule", "-5", "other", "0"}), QByteArray("EINVAL"));
    QCOMPARE(probe("t1", {"schedule", "999999", "other", "0"}), QByteArray("ESRCH"));
    QCOMPARE(probe("t1", {"schedule", "0", "other", "0", "bad"}), QByteArray("EFAULT"));
    // Real time: a kernel that shares it out by control group wants some for the guest's.
    const QString group = "/sys/fs/cgroup/cpu/" + m_box.scope().cgroupBase;
    if (QFile::exists(group + "/t1/cpu.rt_runtime_us")) {
        QCOMPARE(probe("t1", {"schedule", "0", "fifo", "7"}), QByteArray("EPERM"));
        for (const QString &folder : {group, group + "/t1"}) {
            QFile share(folder + "/cpu.rt_runtime_us");
            QVERIFY(share.open(QIODevice::WriteOnly | QIODevice::Unbuffered));
            QCOMPARE(share.write("50000"), qint64(5));
        }
    }
    QCOMPARE(probe("t1", {"schedule", "0", "fifo", "7"}), QByteArray("fifo 7"));
    QCOMPARE(probe("t1", {"schedule", "0", "rr", "99"}), QByteArray("rr 99"));
    QCOMPARE(inside("t1", {"sh", "-c", "/probe schedule $(cat /srv/pid) rr 3; /probe schedule $(cat /srv/pid) other 0"}), QByteArray("rr 3\nother 0"));
    const Run user = m_box.cli({"exec", "t1", "--user", "1000", "--", "/probe", "schedule", "0", "fifo", "1"});
    QCOMPARE(user.out.trimmed(), QByteArray("EPERM"));
    QCOMPARE(inside("t1", {"unshare", "-U", "-r", "/probe", "schedule", "0", "fifo", "1"}), QByteArray("EPERM"));
    // By its number in a pid namespace made inside, where 1 is another than the guest's init.
    QCOMPARE(inside("t1", {"unshare", "-p", "-f", "/probe", "schedule", "1", "fifo", "2"}), QByteArray("fifo 2"));
    QCOMPARE(probe("t1", {"schedule", "1", "other", "0"}), QByteArray("other 0"));
    must({"config", "unset", "t1", "security.syscalls.intercept.sched_setscheduler"});
    must({"restart", "--force", "t1"});
    QCOMPARE(probe("t1", {"schedule", "0", "fifo", "7"}), QByteArray("EPERM"));
}

void TestIntercepts::onlyThreadsOfTheGuestAreScheduled()
{
    launchWith("t1", {"sched_setscheduler"});
    launch("t2");
    QProcess own;
    own.start("sleep", {"300"});
    QVERIFY(own.waitForStarted());
    const int other = m_box.initPid("t2"), monitor = m_box.monitorPid("t1");
    for (const int pid : {static_cast<int>(own.processId()), other, monitor, interceptors("t1").value(0)}) {
        const QByteArray number = QByteArray::number(pid);
        // Their numbers on the host mean nothing inside, or another.
        if (inside("t1", {"sh", "-c", "test -d /proc/" + QString(number) + " && echo there; exit 0"}).isEmpty())
            QCOMPARE(probe("t1", {"schedule", number, "idle", "0"}), QByteArray("ESRCH"));
        QCOMPARE(::sched_getscheduler(pid), SCHED_OTHER);
    }
    own.kill();
    own.waitForFinished();
    // Whoever asks dies meanwhile: nobody is held up.
    QCOMPARE(inside("t1", {"sh", "-c", "for i in $(seq 40); do /probe schedule 0 batch 0 >/dev/null & kill -9 $! 2>/dev/null; done; wait; /probe schedule 0 batch 0"}),
             QByteArray("batch 0"));
}

void TestIntercepts::fileSystemsOfItsDevicesAreMounted()
{
    const auto end = qScopeGuard([&] { detachAll(); });
    launchWithMounts({"allowed=ext4,squashfs,xfs", "shift=true"});
    const QString ext4 = newDisk("ext4", {"mkfs.ext4", "-q"});
    RUN_OK(run({"tune2fs", "-e", "panic", ext4}));
    give(ext4);
    QCOMPARE(mountIt("/dev/disk", "/mnt"), QByteArray("done"));
    const QByteArray told = mounted("t1", "/mnt");
    QVERIFY2(told.startsWith("/dev/disk /mnt ext4 rw,nosuid,nodev,relatime,"), told);
    // Damage is no end of the host, whatever the superblock says.
    QFile options("/proc/fs/ext4/" + ext4.mid(5) + "/options");
    QVERIFY(options.open(QIODevice::ReadOnly));
    QVERIFY(options.readAll().contains("errors=remount-ro"));
    // Ids are the guest's, on the disk too.
    QCOMPARE(inside("t1", {"sh", "-c", "cd /mnt && echo mine >file && chown 5:6 file && stat -c %u:%g . file"}), QByteArray("0:0\n5:6"));
    QVERIFY(!exec("t1", {"mount", "-o", "remount,bind,dev", "/mnt"}).ok());
    QVERIFY(!exec("t1", {"mount", "-o", "remount,errors=panic", "/mnt"}).ok());
    QVERIFY(mounted("t1", "/mnt").contains("nodev"));
    must({"exec", "t1", "--", "umount", "/mnt"});
    const Run onDisk = run({"debugfs", "-R", "stat /file", ext4});
    QVERIFY2(onDisk.out.contains("User:     5   Group:     6"), onDisk.told());
    QCOMPARE(inside("t1", {"mount", "-t", "ext4", "-o", "ro,noatime,noload", "/dev/disk", "/mnt"}), QByteArray());
    QVERIFY2(mounted("t1", "/mnt").startsWith("/dev/disk /mnt ext4 ro,nosuid,nodev,noatime,"), mounted("t1", "/mnt"));
    QVERIFY(!exec("t1", {"touch", "/mnt/x"}).ok());
    must({"exec", "t1", "--", "umount", "/mnt"});
    QCOMPARE(mountIt("/dev/disk", "/mnt", "ext4", "0xC0ED0001"), QByteArray("done")); // as programs of old say it
    QVERIFY2(mounted("t1", "/mnt").startsWith("/dev/disk /mnt ext4 ro,"), mounted("t1", "/mnt"));
    must({"exec", "t1", "--", "umount", "/mnt"});
    const QString xfs = newDisk("xfs", {"mkfs.xfs", "-q", "-f"}, "400M");
    give(xfs, "/dev/deep/x");
    QCOMPARE(mountIt("/dev/deep/x", "/mnt", "xfs"), QByteArray("done"));
    QCOMPARE(inside("t1", {"sh", "-c", "echo in >/mnt/f && cat /mnt/f && stat -c %u /mnt/f"}), QByteArray("in\n0"));
    must({"exec", "t1", "--", "umount", "/mnt"});
    const QString squashed = m_box.directory() + "/x.squashfs";
    RUN_OK(run({"mksquashfs", "/etc/hostname", squashed, "-quiet", "-no-progress"}));
    RUN_OK(run({"truncate", "-s", "%1M", squashed}));
    const QString squashfs = QString::fromUtf8(run({"losetup", "--find", "--show", "-r", squashed}).out.trimmed());
    m_disks << squashfs;
    give(squashfs, "/dev/s");
    QCOMPARE(mountIt("/dev/s", "/mnt", "squashfs", "1"), QByteArray("done"));
    QCOMPARE(inside("t1", {"ls", "/mnt"}), QByteArray("hostname"));
    // It goes with the guest, and the host never saw it.
    QVERIFY(!run({"cat", "/proc/self/mountinfo"}).out.contains(numberOf(squashfs) + " "));
}

void TestIntercepts::onlyItsOwnDevicesAreMounted()
{
    const auto end = qScopeGuard([&] { detachAll(); });
    launchWithMounts({"allowed=ext4,xfs", "shift=true"});
    const QString given = newDisk("given", {"mkfs.ext4", "-q"}), other = newDisk("other", {"mkfs.ext4", "-q"});
    RUN_OK(run({"debugfs", "-w", "-R", "mknod node b " + QString(numberOf(other)).replace(':', ' '), given}));
    give(given);
    QCOMPARE(mountIt("/dev/disk", "/mnt"), QByteArray("done"));
    QCOMPARE(inside("t1", {"stat", "-c", "%F", "/mnt/node"}), QByteArray("block special file"));
    QCOMPARE(mountIt("/mnt/node", "/srv"), QByteArray("EACCES")); // a node that the disk brought
    must({"exec", "t1", "--", "umount", "/mnt"});
    QCOMPARE(mountIt("/dev/null", "/mnt"), QByteArray("ENOTBLK"));
    QCOMPARE(mountIt("/etc/passwd", "/mnt"), QByteArray("ENOTBLK"));
    QCOMPARE(mountIt("/etc", "/mnt"), QByteArray("EISDIR"));
    QCOMPARE(mountIt(other, "/mnt"), QByteArray("ENOENT"));
    QCOMPARE(mountIt("", "/mnt"), QByteArray("EINVAL"));
    QCOMPARE(mountIt("/dev/disk", "/mnt", "xfs"), QByteArray("EINVAL")); // it has another
    for (const char *data : {"errors=panic", "journal_dev=0x701", "context=x", "source=/dev/null"})
        QCOMPARE(mountIt("/dev/disk", "/mnt", "ext4", "0", data), QByteArray("EPERM"));
    QCOMPARE(mountIt("/dev/disk", "/mnt", "ext4", "0", "nonsense"), QByteArray("EINVAL"));
    QCOMPARE(mountIt("/dev/disk", "/mnt", "ext4", "0", QString(5000, 'x')), QByteArray("ENAMETOOLONG"));
    // What the kernel mounts for nobody else stays so; what it does mount goes on.
    QCOMPARE(mountIt("/dev/disk", "/mnt", "ext3"), QByteArray("EPERM"));
    QCOMPARE(mountIt("/dev/disk", "/mnt", "btrfs"), QByteArray("EPERM"));
    QCOMPARE(mountIt("none", "/mnt", "tmpfs"), QByteArray("done"));
    QCOMPARE(inside("t1", {"sh", "-c", "mkdir /mnt/a /mnt/b && mount --bind /mnt/a /mnt/b && /probe mount none /mnt tmpfs 33 '' && umount /mnt/b /mnt"}), QByteArray("done")); // 33: remount, ro
    // Only who may mount at all.
    const Run user = m_box.cli({"exec", "t1", "--user", "1000", "--", "/probe", "mount", "/dev/disk", "/mnt", "ext4", "0", ""});
    QCOMPARE(user.out.trimmed(), QByteArray("EPERM"));
    QCOMPARE(inside("t1", {"unshare", "-U", "-r", "-m", "/probe", "mount", "/dev/disk", "/mnt", "ext4", "0", ""}), QByteArray("EPERM"));
    // The journal is on a device that the superblock names by its number: the guest's control group is asked.
    const QString log = newDisk("log", {"mke2fs", "-q", "-b", "1024", "-O", "journal_dev"});
    const QString split = newDisk("split", {"mkfs.ext4", "-q", "-b", "1024", "-J", "device=" + log});
    give(split, "/dev/split");
    const QByteArray without = mountIt("/dev/split", "/mnt");
    QVERIFY2(without != "done", without);
    give(log, "/dev/log2");
    QCOMPARE(mountIt("/dev/split", "/mnt"), QByteArray("done"));
    must({"exec", "t1", "--", "umount", "/mnt"});
    // One that was taken away again.
    QCOMPARE(inside("t1", {"ln", "/dev/disk", "/dev/kept"}), QByteArray());
    must({"config", "device", "remove", "t1", "disk"});
    QCOMPARE(mountIt("/dev/kept", "/mnt"), QByteArray("EPERM"));
    // Without shift ids are those of the host's, which has no name inside.
    must({"config", "unset", "t1", "security.syscalls.intercept.mount.shift"});
    must({"restart", "--force", "t1"});
    must({"exec", "t1", "--", "mkdir", "-p", "/mnt"});
    QCOMPARE(mountIt("/dev/split", "/mnt"), QByteArray("done"));
    QCOMPARE(inside("t1", {"stat", "-c", "%u", "/mnt"}), QByteArray("65534"));
    QVERIFY(!exec("t1", {"touch", "/mnt/x"}).ok());
}

void TestIntercepts::placesOfMountsMeanWhatTheyMeanInside()
{
    const auto end = qScopeGuard([&] { detachAll(); });
    launchWithMounts({"allowed=ext4", "shift=true"});
    const QString canary = m_box.directory() + "/canary";
    QVERIFY(QDir().mkpath(canary));
    give(newDisk("disk", {"mkfs.ext4", "-q"}));
    QCOMPARE(inside("t1", {"sh", "-c", "mkdir -p /srv/real /jail/dev " + canary + "; ln -s /../../srv/real /link; ln -s /../../.." + canary + " /out; ln /dev/disk /dev/other; "
                           "touch /srv/file; cp /probe /jail; mkdir /jail/here"}), QByteArray());
    const auto at = [&](const QString &target) { return inside("t1", {"sh", "-c", "grep -c ' " + target + " ext4' /proc/mounts; umount " + target}); };
    QCOMPARE(mountIt("/dev/disk", "/link"), QByteArray("done"));
    QCOMPARE(at("/srv/real"), QByteArray("1"));
    QCOMPARE(mountIt("/dev/disk", "/../../srv/./real/../real"), QByteArray("done"));
    QCOMPARE(at("/srv/real"), QByteArray("1"));
    QCOMPARE(mountIt("/dev/disk", "/out"), QByteArray("done")); // the guest's folder of that name
    QCOMPARE(at(canary), QByteArray("1"));
    QCOMPARE(mountIt("/dev/disk", "/proc/fs"), QByteArray("done")); // its own view of it alone
    QCOMPARE(at("/proc/fs"), QByteArray("1"));
    QVERIFY(!run({"cat", "/proc/mounts"}).out.contains(canary.toUtf8()));
    QCOMPARE(inside("t1", {"sh", "-c", "cd /dev && /probe mount disk ../srv/real ext4 0 '' && grep -c '^/dev/block/7:.* /srv/real' /proc/mounts; umount /srv/real"}),
             QByteArray("done\n1"));
    QCOMPARE(mountIt("/dev/disk", "/nowhere"), QByteArray("ENOENT"));
    QCOMPARE(mountIt("/dev/disk", ""), QByteArray("ENOENT"));
    QCOMPARE(mountIt("/dev/disk", "/srv/file"), QByteArray("ENOTDIR"));
    for (const char *magic : {"/proc/1/root", "/proc/1/cwd", "/proc/1/root/srv/real"})
        QCOMPARE(mountIt("/dev/disk", magic), QByteArray("ELOOP"));
    QCOMPARE(mountIt("/proc/1/root/dev/disk", "/srv/real"), QByteArray("ELOOP"));
    // From a root of its own inside, and in a mount namespace of its own.
    QCOMPARE(inside("t1", {"sh", "-c", "mount --bind /dev /jail/dev && chroot /jail /probe mount /dev/disk /here ext4 0 '' && grep -c ' /jail/here ext4' /proc/mounts; umount /jail/here /jail/dev"}),
             QByteArray("done\n1"));
    QCOMPARE(inside("t1", {"unshare", "-m", "sh", "-c", "/probe mount /dev/disk /srv/real ext4 0 '' && grep -c ' /srv/real ext4' /proc/mounts"}), QByteArray("done\n1"));
    QCOMPARE(mounted("t1", "/srv/real"), QByteArray());
}

void TestIntercepts::changingArgumentsGainNothing()
{
    const auto end = qScopeGuard([&] { detachAll(); });
    launchWithMounts({"allowed=ext4", "shift=true"});
    const QString given = newDisk("given", {"mkfs.ext4", "-q"}), other = newDisk("other", {"mkfs.ext4", "-q"});
    give(given);
    give(other, "/dev/other");
    QCOMPARE(inside("t1", {"ln", "/dev/other", "/dev/kept"}), QByteArray());
    must({"config", "device", "remove", "t1", "other"});
    const auto lastMounted = [](const QString &device) {
        const QByteArray text = run({"dumpe2fs", "-h", device}).out;
        return text.mid(text.indexOf("Mount count:"), 30).simplified().split(' ').value(2).toInt();
    };
    QCOMPARE(lastMounted(other), 0);
    const QByteArray times = probe("t1", {"changing", "80", "/dev/disk", "/dev/kept", "ext4", "ext3", "/mnt"});
    QVERIFY2(times.toInt() > 0, times);
    QCOMPARE(lastMounted(other), 0); // nobody has mounted it
    QVERIFY(lastMounted(given) >= times.toInt());
    // Who asks dies in the middle: nothing stays but what it had mounted.
    QCOMPARE(inside("t1", {"sh", "-c", "for i in $(seq 40); do /probe mount /dev/disk /mnt ext4 0 '' >/dev/null & kill -9 $! 2>/dev/null; done; wait; "
                           "while umount /mnt 2>/dev/null; do :; done; /probe mount /dev/disk /mnt ext4 0 ''"}), QByteArray("done"));
    QCOMPARE(interceptors("t1").size(), 1);
}

void TestIntercepts::stopsWhileMountsAreUnderWay()
{
    const auto end = qScopeGuard([&] { detachAll(); });
    launchWithMounts({"allowed=ext4", "shift=true"});
    QStringList devices;
    for (const char *name : {"one", "two"}) {
        devices << newDisk(name, {"mkfs.ext4", "-q"});
        give(devices.last(), QString("/dev/") + name);
        const QString words = QString("mkdir -p /mnt/%1; setsid /probe changing 100000000 /dev/%1 /dev/%1 ext4 ext4 /mnt/%1 >/dev/null 2>&1 &").arg(name);
        QCOMPARE(inside("t1", {"sh", "-c", words}), QByteArray());
    }
    const auto mountsOf = [](const QString &device) { return QDir("/proc/fs/ext4/" + device.mid(5)).exists(); };
    for (const QString &device : devices)
        QTRY_VERIFY_WITH_TIMEOUT(mountsOf(device), 20'000);
    must({"stop", "--force", "t1"});
    QCOMPARE(interceptors("t1").size(), 0);
    for (const QString &device : devices) // nobody has them mounted or open any more
        QTRY_VERIFY_WITH_TIMEOUT(!mountsOf(device), 20'000);
    RUN_OK(run(QStringList{"losetup", "-d"} + devices));
    for (const QString &device : devices)
        QTRY_VERIFY_WITH_TIMEOUT(!QFile::exists("/sys/block/" + device.mid(5) + "/loop/backing_file"), 20'000);
    m_disks.clear();
}

void TestIntercepts::mountsAreDoneByItsOwnProgram()
{
    launchWithMounts({"fuse=ext4=tellfs,ntfs=/opt/ntfs"});
    // Stands for fuse2fs: what is run, as whom and where.
    const QByteArray program = "#!/bin/sh\n{ echo \"$@\"; id -u; pwd; grep -E '^(Seccomp|CapBnd|NoNewPrivs)' /proc/self/status; ls /proc/self/fd | wc -l; readlink /proc/self/fd/1; } >/root/told\n"
                               "case \"$1\" in bad) exit 3;; esac\nmount -t tmpfs told \"$2\"\n";
    RUN_OK(exec("t1", {"sh", "-c", "cat >/bin/tellfs; chmod 755 /bin/tellfs; mkdir -p /opt; grep -E '^(Seccomp|CapBnd|NoNewPrivs)' /proc/self/status >/root/own"}, program));
    QCOMPARE(inside("t1", {"sh", "-c", "cd /srv && /probe mount image /mnt ext4 1025 user_id=0"}), QByteArray("done")); // ro, noatime
    QVERIFY2(mounted("t1", "/mnt").startsWith("told /mnt tmpfs"), mounted("t1", "/mnt"));
    const QByteArrayList told = inside("t1", {"cat", "/root/told"}).split('\n');
    QCOMPARE(told.value(0), QByteArray("image /mnt -o ro,noatime,user_id=0"));
    QCOMPARE(told.value(1), QByteArray("0"));
    QCOMPARE(told.value(2), QByteArray("/srv"));
    const QByteArrayList own = inside("t1", {"cat", "/root/own"}).split('\n');
    QCOMPARE(told.mid(3, 3), own.mid(0, 3));
    QVERIFY2(told.value(4).startsWith("NoNewPrivs:\t0") && told.value(5).startsWith("Seccomp:\t2"), told.join(' '));
    QCOMPARE(told.last(), QByteArray("/root/told"));
    QVERIFY2(told.value(told.size() - 2).trimmed().toInt() <= 4, told.join(' ')); // nothing of ours is open in it
    must({"exec", "t1", "--", "umount", "/mnt"});
    // No more rights than the caller could get by itself.
    QCOMPARE(inside("t1", {"sh", "-c", "cd /srv && setpriv --nnp /probe mount image /mnt ext4 0 ''"}), QByteArray("done"));
    QVERIFY(inside("t1", {"cat", "/root/told"}).contains("NoNewPrivs:\t1"));
    must({"exec", "t1", "--", "umount", "/mnt"});
    QCOMPARE(mountIt("/dev/x", "/mnt", "ntfs"), QByteArray("ENODEV")); // not there
    QCOMPARE(mountIt("bad", "/mnt"), QByteArray("EINVAL"));
    QCOMPARE(mountIt("-x", "/mnt"), QByteArray("EINVAL"));
    const Run user = m_box.cli({"exec", "t1", "--user", "1000", "--", "/probe", "mount", "image", "/mnt", "ext4", "0", ""});
    QCOMPARE(user.out.trimmed(), QByteArray("EPERM"));
    QCOMPARE(interceptors("t1").size(), 1);
}

void TestIntercepts::mountsGoOnUnlessAskedFor()
{
    const auto end = qScopeGuard([&] { detachAll(); });
    launch("t1");
    giveProbe("t1");
    must({"exec", "t1", "--", "mkdir", "-p", "/mnt"});
    give(newDisk("disk", {"mkfs.ext4", "-q"}));
    QCOMPARE(mountIt("/dev/disk", "/mnt"), QByteArray("EPERM"));
    must({"config", "set", "t1", "security.syscalls.intercept.mount.allowed=ext4"}); // means nothing by itself
    must({"restart", "--force", "t1"});
    QCOMPARE(interceptors("t1").size(), 0);
    QCOMPARE(mountIt("/dev/disk", "/mnt"), QByteArray("EPERM"));
    const Run other = m_box.cli({"config", "set", "t1", "security.syscalls.intercept.mount.allowed=btrfs"});
    QVERIFY2(!other.ok() && other.err.contains("mount.fuse"), other.told());
    const Run both = m_box.cli({"config", "set", "t1", "security.syscalls.intercept.mount.fuse=ext4=fuse2fs"});
    QVERIFY2(!both.ok() && both.err.contains("one way only"), both.told());
    for (const char *value : {"ext4", "ext4=", "=x", "ext4=-x", "ext4=a b", "ext4=./x", "ext4=a,ext4=b"})
        QVERIFY2(!m_box.cli({"config", "set", "t1", QString("security.syscalls.intercept.mount.fuse=") + value}).ok(), value);
}

void TestIntercepts::goesOnWithoutDaemonAndWithAStoppedMonitor()
{
    launchWith("t1", {"mknod", "sysinfo"});
    const int init = m_box.initPid("t1"), monitor = m_box.monitorPid("t1");
    QCOMPARE(inside("t1", {"sh", "-c", "(while :; do rm -f /srv/n; mknod /srv/n c 1 3 && echo >>/srv/count; sleep 0.05; done) >/dev/null 2>&1 &"}), QByteArray());
    QFile count("/proc/" + QString::number(init) + "/root/srv/count");
    const auto grows = [&] {
        const qint64 before = count.size();
        return Sandbox::eventually([&] { return count.size() >= before + 3; });
    };
    QVERIFY(grows());
    m_box.killDaemon();
    QVERIFY(grows());
    QCOMPARE(::kill(monitor, SIGSTOP), 0);
    const bool went = grows();
    QCOMPARE(::kill(monitor, SIGCONT), 0);
    QVERIFY(went);
    QVERIFY(m_box.startDaemon());
    QVERIFY(grows());
    QCOMPARE(probe("t1", {"node", "/srv/later", "1", "3"}), QByteArray("done"));
    // Without who carries them out the calls are refused; the guest goes on.
    const QList<int> carriers = interceptors("t1");
    QCOMPARE(carriers.size(), 1);
    QCOMPARE(::kill(carriers[0], SIGKILL), 0);
    QVERIFY(Sandbox::eventually([&] { return probe("t1", {"node", "/srv/never", "1", "3"}) == "ENOSYS"; }));
    QCOMPARE(inside("t1", {"echo", "alive"}), QByteArray("alive"));
    must({"restart", "--force", "t1"});
    QCOMPARE(probe("t1", {"node", "/srv/never", "1", "3"}), QByteArray("done"));
}

void TestIntercepts::isOffUnlessAskedFor()
{
    launch("t1");
    giveProbe("t1");
    must({"exec", "t1", "--", "mkdir", "-p", "/srv"});
    QCOMPARE(probe("t1", {"node", "/srv/x", "1", "3"}), QByteArray("EPERM"));
    QCOMPARE(interceptors("t1").size(), 0);
    QVERIFY(inside("t1", {"sh", "-c", "grep ' / / ' /proc/self/mountinfo"}).contains("nodev"));
    must({"config", "set", "t1", "security.syscalls.intercept.mknod=true"});
    QCOMPARE(probe("t1", {"node", "/srv/x", "1", "3"}), QByteArray("EPERM")); // from the next start
    must({"restart", "--force", "t1"});
    QCOMPARE(probe("t1", {"node", "/srv/x", "1", "3"}), QByteArray("done"));
    must({"config", "set", "t1", "security.syscalls.intercept.mknod=false"});
    must({"restart", "--force", "t1"});
    QCOMPARE(probe("t1", {"node", "/srv/y", "1", "3"}), QByteArray("EPERM"));
    QVERIFY(!exec("t1", {"sh", "-c", "echo >/srv/x"}).ok()); // what is left of before opens nothing
}

void TestIntercepts::badCombinationsAreRefused()
{
    const Run privileged = m_box.cli({"create", "busybox", "t1", "-c", "security.privileged=true", "-c", "security.syscalls.intercept.mknod=true"});
    RUN_ENDS(privileged, 4);
    QVERIFY2(privileged.err.contains("security.syscalls.intercept.mknod"), privileged.told());
    for (const char *key : {"bpf", "bpf.devices"}) {
        const Run refused = m_box.cli({"create", "busybox", "t1", "-c", QString("security.syscalls.intercept.%1=true").arg(key)});
        RUN_ENDS(refused, 9);
        QVERIFY2(refused.err.contains(key), refused.told());
    }
}

QTEST_GUILESS_MAIN(TestIntercepts)
#include "tst_intercepts.moc"

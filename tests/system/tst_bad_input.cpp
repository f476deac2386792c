// Bad input: one clear line with cause and remedy, the exit status of base/error.h, and nothing left behind.
#include "support/require.h"
#include "support/system_test.h"

#include <QRandomGenerator>
#include <QRegularExpression>
#include <QStandardPaths>
#include <QStorageInfo>
#include <functional>

using namespace lxmgr::test;

static const QStringList kExt4{"mkfs.ext4", "-q", "-m", "0"};

class TestBadInput : public SystemTest
{
    Q_OBJECT
private slots:
    void oneLineAndAStatus_data();
    void oneLineAndAStatus();
    void usageErrorsAreTwo_data();
    void usageErrorsAreTwo();
    void takenNameIsSaid();
    void nearestKeyIsOffered();
    void brokenProfileHasLineAndColumn();
    void brokenTemplateHasLineAndColumn();
    void unknownTemplateSectionIsRefusedByName();
    void withoutRootItSaysSo();
    void withoutADaemonItSaysSo();
    void unreachableMirrorIsNamed();
    void missingHelperIsNamed();
    void fullDiskIsSaidAndUndone_data();
    void fullDiskIsSaidAndUndone();
    void whatRunsOutOfSpaceLeavesTheOldState_data();
    void whatRunsOutOfSpaceLeavesTheOldState();
    void howMuchIsMissingIsSaid();
    void imageThatDoesNotFitIsSaidAndUndone();
    void withoutUserNamespacesItSaysSo();

private:
    void onASmallDisk(const QString &size, const std::function<void(const QString &small)> &work, const QStringList &make = kExt4);
    void fill(const QString &small);
    void fillInodes(const QString &small);
};

void TestBadInput::oneLineAndAStatus_data()
{
    QTest::addColumn<QStringList>("args");
    QTest::addColumn<int>("status");
    QTest::addColumn<QString>("says");
    QTest::newRow("unknown image") << QStringList{"launch", "no-such-image", "t1"} << 3 << "no-such-image";
    QTest::newRow("unknown release") << QStringList{"launch", "debian/no-such-release", "t1"} << 3 << "no-such-release";
    QTest::newRow("unknown instance") << QStringList{"start", "nobody"} << 3 << "nobody";
    QTest::newRow("unknown profile") << QStringList{"launch", "busybox", "t1", "-p", "nope"} << 3 << "nope";
    QTest::newRow("name with space") << QStringList{"launch", "busybox", "a b"} << 4 << "a b";
    QTest::newRow("name with slash") << QStringList{"launch", "busybox", "../t1"} << 4 << "../t1";
    QTest::newRow("name that is long") << QStringList{"launch", "busybox", QString(64, 'a')} << 4 << "63";
    QTest::newRow("name from a digit") << QStringList{"launch", "busybox", "1abc"} << 4 << "1abc";
    QTest::newRow("bad size") << QStringList{"launch", "busybox", "t1", "-c", "limits.memory=12 potatoes"} << 4 << "limits.memory";
    QTest::newRow("negative size") << QStringList{"launch", "busybox", "t1", "-c", "limits.memory=-1"} << 4 << "limits.memory";
    QTest::newRow("unknown key") << QStringList{"launch", "busybox", "t1", "-c", "limits.memroy=1GiB"} << 4 << "limits.memory";
    QTest::newRow("bad bool") << QStringList{"launch", "busybox", "t1", "-c", "security.nesting=perhaps"} << 4 << "security.nesting";
    QTest::newRow("bad cpu set") << QStringList{"launch", "busybox", "t1", "-c", "limits.cpu=all-of-them"} << 4 << "limits.cpu";
    QTest::newRow("bad allowance") << QStringList{"launch", "busybox", "t1", "-c", "limits.cpu.allowance=fast"} << 4 << "limits.cpu.allowance";
    QTest::newRow("key we do not carry out") << QStringList{"launch", "busybox", "t1", "-c", "raw.lxc=lxc.net=0"} << 9 << "raw.lxc";
    QTest::newRow("bad device type") << QStringList{"launch", "busybox", "t1", "-d", "x,type=teapot"} << 4 << "teapot";
    QTest::newRow("missing bind source") << QStringList{"launch", "busybox", "t1", "-d", "x,type=disk,source=/no/such/dir,path=/mnt"} << 4 << "/no/such/dir";
    QTest::newRow("missing bridge") << QStringList{"launch", "busybox", "t1", "-d", "eth0,type=nic,nictype=bridged,parent=nobr9"} << 3 << "nobr9";
    // What would get into a file or a rule that is written from it.
    const auto injects = [](const char *tag, const QStringList &more, const char *says) {
        QTest::newRow(tag) << QStringList{"launch", "busybox", "t1"} + more << 4 << says;
    };
    injects("line in an interface's name", {"-d", "eth0,name=eth0\ninterface=x"}, "name");
    injects("quote in an interface's name", {"-d", "eth0,name=a\" accept"}, "name");
    injects("quote in the name on the host", {"-d", "eth0,host_name=a\" drop"}, "host_name");
    injects("line in a MAC address", {"-d", "eth0,hwaddr=00:16:3e:00:00:01\n10.0.0.1"}, "hwaddr");
    injects("line in an address", {"-d", "eth0,ipv4.address=10.0.0.9\n10.0.0.10"}, "ipv4.address");
    injects("line in a device's name", {"-d", "a\nb,type=none"}, "a");
    injects("line in a path inside", {"-d", "x,type=disk,source=/etc,path=/a\nb/../.."}, "path");
    injects("way out in a sysctl's name", {"-c", "linux.sysctl.net/../kernel/core_pattern=x"}, "linux.sysctl");
    injects("line in a sysctl's name", {"-c", "linux.sysctl.net.ipv4.ip_forward\nkernel.x=1"}, "linux.sysctl");
    injects("line in a variable's name", {"-c", "environment.A\nB=1"}, "environment");
    injects("line in a module's name", {"-c", "linux.kernel_modules=a\ninstall x /bin/sh"}, "linux.kernel_modules");
    injects("line in a system call", {"-c", "security.syscalls.deny=mkdir\n\" x"}, "security.syscalls.deny");
    injects("line in an id map", {"-c", "raw.idmap=both 1000 1000\n0 0 4294967295"}, "raw.idmap");
    QTest::newRow("line in a profile's name") << QStringList{"profile", "create", "a\nb"} << 4 << "a";
    QTest::newRow("line in a snapshot pattern") << QStringList{"launch", "busybox", "t1", "-c", "snapshots.pattern=a\n/b"} << 4 << "snapshots.pattern";
    QTest::newRow("CPU that is not there") << QStringList{"launch", "busybox", "t1", "-c", "limits.cpu=4095-4095"} << 9 << "limits.cpu";
    QTest::newRow("node that is not there") << QStringList{"launch", "busybox", "t1", "-c", "limits.cpu.nodes=1000"} << 9 << "limits.cpu.nodes";
    QTest::newRow("profile twice") << QStringList{"launch", "busybox", "t1", "-p", "default", "-p", "default"} << 5 << "twice";
    QTest::newRow("no process at all") << QStringList{"launch", "busybox", "t1", "-c", "limits.processes=0"} << 4 << "limits.processes";
    QTest::newRow("two on one path") << QStringList{"launch", "busybox", "t1", "-d", "a,type=disk,source=/etc,path=/x", "-d", "b,type=disk,source=/usr,path=/x"} << 4 << "/x";
    QTest::newRow("missing import file") << QStringList{"image", "import", "/no/such/file"} << 3 << "/no/such/file";
    QTest::newRow("unknown template") << QStringList{"template", "build", "no-such-template"} << 3 << "no-such-template";
}

void TestBadInput::oneLineAndAStatus()
{
    QFETCH(QStringList, args);
    QFETCH(int, status);
    QFETCH(QString, says);
    const Run refused = m_box.cli(args);
    RUN_ENDS(refused, status);
    const QByteArray last = refused.err.trimmed().split('\n').last();
    QVERIFY2(last.startsWith("Error: "), refused.told());
    QVERIFY2(last.contains(says.toUtf8()), refused.told());
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n"}), QByteArray());
}

void TestBadInput::usageErrorsAreTwo_data()
{
    QTest::addColumn<QStringList>("args");
    QTest::newRow("unknown command") << QStringList{"lunch"};
    QTest::newRow("unknown flag") << QStringList{"list", "--colour"};
    QTest::newRow("argument missing") << QStringList{"start"};
    QTest::newRow("image missing") << QStringList{"launch"};
    QTest::newRow("bad format") << QStringList{"list", "-f", "xml"};
    QTest::newRow("key without value") << QStringList{"launch", "busybox", "t1", "-c", "limits.memory"};
    QTest::newRow("bad column") << QStringList{"list", "-c", "!"};
}

void TestBadInput::usageErrorsAreTwo()
{
    QFETCH(QStringList, args);
    const Run refused = m_box.cli(args);
    RUN_ENDS(refused, 2);
    QVERIFY2(!refused.err.isEmpty() && refused.out.isEmpty(), refused.told());
}

void TestBadInput::takenNameIsSaid()
{
    must({"create", "busybox", "t1"});
    const Run taken = m_box.cli({"create", "busybox", "t1"});
    RUN_ENDS(taken, 5);
    QVERIFY2(taken.err.contains("t1"), taken.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
}

void TestBadInput::nearestKeyIsOffered()
{
    must({"create", "busybox", "t1"});
    const Run refused = m_box.cli({"config", "set", "t1", "limits.proceses=3"});
    RUN_ENDS(refused, 4);
    QVERIFY2(refused.err.contains("limits.processes"), refused.told());
}

void TestBadInput::brokenProfileHasLineAndColumn()
{
    must({"create", "busybox", "t1"});
    const Run refused = m_box.cli({"config", "edit", "t1"}, "config:\n\tuser.a: b\n");
    RUN_ENDS(refused, 4);
    QVERIFY2(QRegularExpression("line \\d+|\\d+:\\d+").match(QString::fromUtf8(refused.err)).hasMatch(), refused.told());
}

void TestBadInput::brokenTemplateHasLineAndColumn()
{
    QFile file(m_box.configDir() + "/templates.d/broken.yaml");
    QVERIFY(file.open(QIODevice::WriteOnly));
    file.write("image:\n  distribution: broken\nsource: [1, 2\n");
    file.close();
    const Run refused = m_box.cli({"template", "build", "broken"});
    QFile::remove(file.fileName());
    RUN_ENDS(refused, 4);
    QVERIFY2(refused.err.contains("broken.yaml"), refused.told());
    QVERIFY2(QRegularExpression("line \\d+|\\d+:\\d+").match(QString::fromUtf8(refused.err)).hasMatch(), refused.told());
}

void TestBadInput::unknownTemplateSectionIsRefusedByName()
{
    QFile file(m_box.configDir() + "/templates.d/strange.yaml");
    QVERIFY(file.open(QIODevice::WriteOnly));
    file.write("image:\n  distribution: strange\n  release: one\nsource:\n  downloader: busybox\nteapots:\n- one\n");
    file.close();
    const Run refused = m_box.cli({"template", "build", "strange"});
    QFile::remove(file.fileName());
    QVERIFY2(refused.status == 4 || refused.status == 9, refused.told());
    QVERIFY2(refused.err.contains("teapots"), refused.told());
}

void TestBadInput::withoutRootItSaysSo()
{
    RunOptions options;
    options.environment = m_box.environment();
    options.environment.insert("HOME", "/tmp");
    const Run refused = run({"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", Sandbox::program("lxmgr"), "list"}, options);
    RUN_ENDS(refused, 7);
    QVERIFY2(refused.err.startsWith("Error: ") && refused.err.contains("sudo"), refused.told());
    const Run daemon = run({"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", Sandbox::program("lxmgrd")}, options);
    RUN_ENDS(daemon, 7);
    QVERIFY2(daemon.err.contains("root"), daemon.told());
}

void TestBadInput::withoutADaemonItSaysSo()
{
    RunOptions options;
    options.environment = m_box.environment();
    options.environment.insert("LXMGR_RUN_DIR", m_box.directory() + "/nobody-here");
    options.environment.insert("LXMGRD", "/no/such/lxmgrd");
    const Run refused = run({Sandbox::program("lxmgr"), "list"}, options);
    RUN_ENDS(refused, 8);
    QVERIFY2(refused.err.startsWith("Error: ") && refused.err.trimmed().count('\n') == 0, refused.told());
}

void TestBadInput::unreachableMirrorIsNamed()
{
    NEEDS("mmdebstrap", !QStandardPaths::findExecutable("mmdebstrap").isEmpty());
    const Run refused = m_box.cli({"template", "build", "debian/13", "-o", "mirror=http://127.0.0.1:9/debian"}, {}, 60000);
    RUN_ENDS(refused, 8);
    QVERIFY2(refused.err.contains("127.0.0.1"), refused.told());
}

void TestBadInput::missingHelperIsNamed()
{
    const QString helper = QStandardPaths::findExecutable("mmdebstrap");
    NEEDS("mmdebstrap", !helper.isEmpty()); // to take it away
    m_box.stopDaemon();
    // In the daemon's own mount namespace it is no program any more.
    QVERIFY2(m_box.startDaemon({}, {"unshare", "-m", "--propagation", "private", "sh", "-c",
                                    "mount --bind /dev/null " + helper + " && exec \"$0\""}),
             m_box.daemonLog());
    const Run refused = m_box.cli({"template", "build", "debian/13", "-o", "mirror=http://127.0.0.1:9/debian"});
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon());
    QVERIFY2(refused.status == 8 || refused.status == 9, refused.told());
    QVERIFY2(refused.err.contains("mmdebstrap"), refused.told());
}

/// Runs `work` with a daemon whose state lies in `small`, on a file system of `size`.
void TestBadInput::onASmallDisk(const QString &size, const std::function<void(const QString &small)> &work, const QStringList &make)
{
    m_box.stopDaemon();
    const QString small = m_box.directory() + "/small", image = m_box.directory() + "/small.img";
    QDir().mkpath(small);
    RUN_OK(run({"truncate", "-s", size, image}));
    RUN_OK(run(make + QStringList{image}));
    RUN_OK(run({"mount", "-o", "loop", image, small}));
    const bool started = m_box.startDaemon({{"LXMGR_DIR", small}});
    if (started)
        work(small);
    const QByteArray log = m_box.daemonLog().right(4000);
    for (const QString &name :
         QString::fromUtf8(m_box.text({"list", "-f", "csv", "-c", "n"})).split('\n', Qt::SkipEmptyParts))
        (void)m_box.cli({"delete", "--force", name});
    m_box.stopDaemon();
    const Run unmounted = run({"umount", small});
    QFile::remove(image);
    QVERIFY(m_box.startDaemon());
    if (QTest::currentTestFailed() || !started)
        qWarning("%s", log.constData());
    QVERIFY(started);
    RUN_OK(unmounted);
}

/// To the last block.
void TestBadInput::fill(const QString &small)
{
    (void)run({"dd", "if=/dev/zero", "of=" + small + "/fill", "bs=4k", "oflag=append", "conv=notrunc"}); // ends full
    RUN_OK(run({"sync", "-f", small}));
}

void TestBadInput::fullDiskIsSaidAndUndone_data()
{
    QTest::addColumn<QString>("size");
    QTest::newRow("small") << "24M";
    QTest::newRow("larger") << "160M";
}

void TestBadInput::fullDiskIsSaidAndUndone()
{
    QFETCH(QString, size);
    onASmallDisk(size, [&](const QString &small) {
        RUN_OK(m_box.cli({"launch", "busybox", "runs", "-d", "eth0,type=none"})); // a network would keep the disk busy
        RUN_OK(m_box.cli({"create", "busybox", "t1"}));
        fill(small);
        const Run imported = m_box.cli({"image", "import", Sandbox::program("lxmgr-probe"), "--alias", "x"});
        QVERIFY2(!imported.ok(), imported.told());
        // An empty layer may still find room in what the database and the folders have; then the disk is as full as
        // before.
        const Run created = m_box.cli({"create", "busybox", "t2"});
        QVERIFY2(created.ok() || created.status == 10, created.told());
        fill(small);
        RUN_OK(m_box.cli({"list"}));
        QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
        RUN_OK(m_box.cli({"stop", "runs", "--timeout", "20"}));
        QCOMPARE(m_box.stateOf("runs"), QByteArray("STOPPED"));
        fill(small);
        m_box.killDaemon(); // the next one finds the disk as it is
        QVERIFY2(m_box.startDaemon({{"LXMGR_DIR", small}}), m_box.daemonLog());
        fill(small);
        for (const char *name : {"t1", "runs"}) {
            RUN_OK(m_box.cli({"delete", "--force", name}));
            QCOMPARE(m_box.stateOf(name), QByteArray());
            fill(small);
        }
    });
}

/// What cannot be done says so with figures, and nothing of it is there afterwards, not even a row.
/// To the last inode.
void TestBadInput::fillInodes(const QString &small)
{
    const QString folder = small + "/fill-inodes";
    QVERIFY(QDir().mkpath(folder));
    static int number = 0;
    for (QFile file; file.setFileName(folder + "/" + QString::number(number)), file.open(QIODevice::WriteOnly); ++number)
        file.close();
}

void TestBadInput::whatRunsOutOfSpaceLeavesTheOldState_data()
{
    QTest::addColumn<QStringList>("make");
    QTest::addColumn<QString>("size");
    QTest::addColumn<bool>("inodes");
    QTest::newRow("no block is free") << kExt4 << "60M" << false;
    QTest::newRow("no inode is free") << kExt4 << "60M" << true;
    QTest::newRow("no block of a btrfs is free") << QStringList{"mkfs.btrfs", "-q"} << "160M" << false;
}

void TestBadInput::whatRunsOutOfSpaceLeavesTheOldState()
{
    QFETCH(QStringList, make);
    QFETCH(QString, size);
    QFETCH(bool, inodes);
    if (QStandardPaths::findExecutable(make.first()).isEmpty())
        QSKIP(qPrintable("needs " + make.first()));
    const auto fill = [&](const QString &small) { inodes ? fillInodes(small) : this->fill(small); };
    onASmallDisk(size, [&](const QString &small) {
        const QString archive = m_box.directory() + "/t1.tar.gz";
        RUN_OK(m_box.cli({"launch", "busybox", "runs", "-d", "eth0,type=none"})); // a network would keep the disk busy
        RUN_OK(m_box.cli({"create", "busybox", "t1"}));
        RUN_OK(m_box.cli({"file", "push", "-", "t1/state"}, QByteArray(100000, 'x')));
        for (const char *name : {"t1", "runs"})
            RUN_OK(m_box.cli({"snapshot", name, "a"}));
        RUN_OK(m_box.cli({"copy", "t1", "t2"}));
        RUN_OK(m_box.cli({"file", "push", "-", "t1/state"}, "new"));
        RUN_OK(m_box.cli({"export", "t1", archive}));
        const auto state = [&] {
            QByteArray all = m_box.text({"list", "-f", "csv", "-c", "nsS"});
            for (const char *name : {"t1", "t2", "runs"})
                all += m_box.text({"snapshot", "list", name, "-f", "csv", "-c", "n"}) + m_box.text({"config", "show", name});
            return inodes ? all : all + m_box.text({"file", "pull", "t1/state", "-"}); // an overlay takes an inode to be mounted
        };
        const QByteArray before = state();
        const QList<QStringList> refusals = {
            {"snapshot", "t1", "new"}, {"snapshot", "runs", "new"},       {"copy", "t1", "t3"},
            {"copy", "runs", "t3"},    {"copy", "t1", "t2", "--refresh"}, {"import", archive, "t4"},
            {"restore", "t1", "a"},    {"config", "set", "t1", "user.x=1"},
        };
        for (const QStringList &command : refusals) {
            fill(small);
            const Run refused = m_box.cli(command);
            RUN_ENDS(refused, 10);
            QVERIFY2(command[0] == "import" || refused.err.contains(" free"), refused.told());
            QVERIFY2(state() == before, refused.told() + state() + "\nbefore:\n" + before);
        }
        const QList<QStringList> relief = {{"delete", "runs/a"}, {"stop", "runs", "--timeout", "20"}, {"delete", "runs"}, {"delete", "t1"}};
        for (const QStringList &command : relief) {
            fill(small);
            RUN_OK(m_box.cli(command));
        }
        QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n"}), QByteArray("t2"));
        QCOMPARE(QDir(small + "/storage-pools/default/containers").entryList(QDir::Dirs | QDir::NoDotAndDotDot), QStringList{"t2"});
        RUN_OK(m_box.cli({"delete", "t2"}));
    }, make);
    QFile::remove(m_box.directory() + "/t1.tar.gz");
}

/// A snapshot and a copy that are too large for what is free, and an archive.
void TestBadInput::howMuchIsMissingIsSaid()
{
    onASmallDisk("120M", [&](const QString &small) {
        const QString archive = m_box.directory() + "/large.tar.gz";
        RUN_OK(m_box.cli({"storage", "create", "plain", "dir"}));
        RUN_OK(m_box.cli({"create", "busybox", "t1", "--storage", "plain"}));
        QByteArray noise(40'000'000, '\0');
        for (char &byte : noise)
            byte = static_cast<char>(QRandomGenerator::global()->bounded(16));
        RUN_OK(m_box.cli({"file", "push", "-", "t1/large"}, noise));
        RUN_OK(m_box.cli({"export", "t1", archive, "--compression", "gzip"}));
        const qint64 free = QStorageInfo(small).bytesAvailable();
        RUN_OK(run({"fallocate", "-l", QString::number(free - 25'000'000), small + "/ballast"}));
        const QRegularExpression figures("it takes some [45]\\d(\\.\\d+)?MiB, [12]\\d(\\.\\d+)?MiB more than there are.*free in storage pool");
        for (const QStringList &command : QList<QStringList>{{"snapshot", "t1", "s"}, {"copy", "t1", "t2"}}) {
            const Run refused = m_box.cli(command);
            RUN_ENDS(refused, 10);
            QVERIFY2(figures.match(QString::fromUtf8(refused.err)).hasMatch(), refused.told());
        }
        const Run refused = m_box.cli({"import", archive, "t3", "--storage", "plain"});
        RUN_ENDS(refused, 10);
        QVERIFY2(QRegularExpression("some [234]\\d(\\.\\d+)?MiB more are needed").match(QString::fromUtf8(refused.err)).hasMatch(), refused.told());
        QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "nS"}), QByteArray("t1,0"));
        QFile::remove(archive);
        RUN_OK(m_box.cli({"delete", "t1", "--purge"}));
        RUN_OK(m_box.cli({"storage", "delete", "plain"}));
    });
}

void TestBadInput::imageThatDoesNotFitIsSaidAndUndone()
{
    onASmallDisk("4M", [&](const QString &small) {
        RUN_OK(m_box.cli({"create", "--empty", "t1"}));
        const Run refused = m_box.cli({"launch", "busybox", "t2"});
        RUN_ENDS(refused, 10);
        QVERIFY2(refused.err.contains("free in storage pool") || refused.err.contains("No space left"), refused.told());
        QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n"}), QByteArray("t1"));
        QCOMPARE(m_box.text({"image", "list", "-f", "csv", "-c", "f"}), QByteArray());
        for (const char *folder : {"images", "scratch"}) {
            const QDir in(small + "/storage-pools/default/" + folder);
            QTRY_COMPARE(in.entryList(QDir::AllEntries | QDir::Hidden | QDir::NoDotAndDotDot), QStringList());
        }
        fill(small);
        RUN_OK(m_box.cli({"delete", "t1"}));
        QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n"}), QByteArray());
    });
}

void TestBadInput::withoutUserNamespacesItSaysSo()
{
    // user.max_user_namespaces is per user namespace and restored at once; the launch sees none left.
    const QString path = "/proc/sys/user/max_user_namespaces";
    QFile limit(path);
    QVERIFY(limit.open(QIODevice::ReadOnly));
    const QByteArray saved = limit.readAll().trimmed();
    limit.close();
    must({"create", "busybox", "t1"});
    if (!run({"sh", "-c", "echo 0 > " + path}).ok())
        QSKIP("needs the right to write user.max_user_namespaces (CAP_SYS_RESOURCE)");
    const Run refused = m_box.cli({"start", "t1"});
    RUN_OK(run({"sh", "-c", "echo " + QString::fromUtf8(saved) + " > " + path}));
    RUN_ENDS(refused, 9);
    QVERIFY2(refused.err.contains("user namespace") || refused.err.contains("max_user_namespaces"), refused.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
}

QTEST_GUILESS_MAIN(TestBadInput)
#include "tst_bad_input.moc"

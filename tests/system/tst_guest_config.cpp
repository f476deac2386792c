// Configuration: keys set, read, unset and edited, live where the key says so; profiles merge in order.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>
#include <QRegularExpression>
#include <sys/stat.h>
#include <unistd.h>

using namespace lxmgr::test;

class TestConfig : public SystemTest
{
    Q_OBJECT
private slots:
    void setGetUnset();
    void showIsYamlInTheKnownOrder();
    void editFromStandardInput();
    void editedYamlErrorsHaveLineAndColumn();
    void profileKeysAreInheritedAndOverridden();
    void diskDeviceSharesAFolder();
    void sysctlAndRlimitReachTheGuest();
    void privilegedGuestHasNoIdMap();
    void isolatedGuestsHaveRangesOfTheirOwn();
    void limitChangesApplyLive();
    void idsOfTheHostMayBeIdsInside();
    void idsOfAnotherGuestMayNot();
    void kernelModulesAreThereOrRefused();
};

void TestConfig::kernelModulesAreThereOrRefused()
{
    const QStringList present = QDir("/sys/module").entryList({"overlay", "fuse", "loop", "ipv6", "kvm"}, QDir::Dirs);
    NEEDS("a module that the kernel names", !present.isEmpty());
    launch("t1", {"-c", "linux.kernel_modules=" + present.first()});
    const Run refused = m_box.cli({"config", "set", "t1", "linux.kernel_modules=no_such_module_of_lxmgr"});
    QVERIFY2(!refused.ok() && refused.err.contains("'no_such_module_of_lxmgr'"), refused.told());
    QCOMPARE(m_box.text({"config", "get", "t1", "linux.kernel_modules"}).trimmed(), present.first().toUtf8());
    must({"stop", "--force", "t1"});
    must({"config", "set", "t1", "linux.kernel_modules=no_such_module_of_lxmgr"});
    const Run start = m_box.cli({"start", "t1"});
    QVERIFY2(!start.ok() && start.err.contains("linux.kernel_modules"), start.told());
}

void TestConfig::idsOfTheHostMayBeIdsInside()
{
    const QString shared = m_box.directory() + "/shared";
    QVERIFY(QDir().mkpath(shared));
    QVERIFY(::chown(shared.toUtf8(), 4321, 4322) == 0);
    launch("t1", {"-c", "raw.idmap=uid 4321 1000\ngid 4322 1001"});
    must({"config", "device", "add", "t1", "home", "disk", "source=" + shared, "path=/home/me"});
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g", "/home/me"}), QByteArray("1000:1001"));
    must({"exec", "t1", "--user", "1000", "--group", "1001", "--", "sh", "-c", "echo mine > /home/me/file"});
    struct stat made {
    };
    QVERIFY(::stat((shared + "/file").toUtf8(), &made) == 0);
    QCOMPARE(made.st_uid, 4321U);
    QCOMPARE(made.st_gid, 4322U);
    // All others are where they were, and its own files keep their owners.
    must({"exec", "t1", "--", "sh", "-c", "touch /own /root-own && chown 1000:1001 /own"});
    must({"restart", "--force", "t1"});
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g", "/own", "/root-own", "/bin"}), QByteArray("1000:1001\n0:0\n0:0"));
    must({"stop", "--force", "t1"});
    must({"config", "unset", "t1", "raw.idmap"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g", "/own", "/home/me"}), QByteArray("1000:1001\n65534:65534"));
}

void TestConfig::idsOfAnotherGuestMayNot()
{
    launch("t1");
    launch("t2");
    const QByteArray map = inside("t1", {"cat", "/proc/self/uid_map"});
    const QByteArray base = map.simplified().split(' ').value(1);
    QVERIFY2(base.toInt() > 0, map);
    const Run refused = m_box.cli({"config", "set", "t2", "raw.idmap=both " + QString::fromUtf8(base) + " 1000"});
    QVERIFY2(!refused.ok() && refused.err.contains("'t1'"), refused.told());
    const Run root = m_box.cli({"config", "set", "t2", "raw.idmap=both 0 1000"});
    QVERIFY2(!root.ok() && root.err.contains("root"), root.told());
}

void TestConfig::setGetUnset()
{
    must({"create", "busybox", "t1"});
    must({"config", "set", "t1", "limits.memory=64MiB", "user.a=b"});
    QCOMPARE(m_box.text({"config", "get", "t1", "limits.memory"}), QByteArray("64MiB"));
    must({"config", "set", "t1", "user.a", "two-argument form"});
    QCOMPARE(m_box.text({"config", "get", "t1", "user.a"}), QByteArray("two-argument form"));
    must({"config", "unset", "t1", "user.a"});
    QCOMPARE(m_box.text({"config", "get", "t1", "user.a"}), QByteArray());
}

void TestConfig::showIsYamlInTheKnownOrder()
{
    must({"create", "busybox", "t1", "-c", "user.x=1"});
    const QByteArray yaml = m_box.text({"config", "show", "t1"});
    qsizetype last = -1;
    for (const char *key : {"architecture:", "config:", "devices:", "ephemeral:", "profiles:"}) {
        const qsizetype at = yaml.indexOf(key);
        QVERIFY2(at > last, yaml);
        last = at;
    }
    QVERIFY2(yaml.contains("user.x: \"1\"") || yaml.contains("user.x: '1'"), yaml);
    QVERIFY(m_box.text({"config", "show", "t1", "--expanded"}).contains("eth0"));
}

void TestConfig::editFromStandardInput()
{
    must({"create", "busybox", "t1"});
    const QByteArray yaml = m_box.text({"config", "show", "t1"});
    QByteArray changed = yaml;
    changed.replace("config:", "config:\n  user.edited: \"yes\"");
    must({"config", "edit", "t1"}, changed + "\n");
    QCOMPARE(m_box.text({"config", "get", "t1", "user.edited"}), QByteArray("yes"));
}

void TestConfig::editedYamlErrorsHaveLineAndColumn()
{
    must({"create", "busybox", "t1"});
    const Run broken = m_box.cli({"config", "edit", "t1"}, "config:\n  user.a: [1, 2\ndevices: {}\n");
    RUN_ENDS(broken, 4);
    QVERIFY2(QRegularExpression("line \\d+|\\d+:\\d+").match(QString::fromUtf8(broken.err)).hasMatch(), broken.told());
}

void TestConfig::profileKeysAreInheritedAndOverridden()
{
    const Reply made = m_box.rest("POST", "/1.0/profiles",
                                  QJsonObject{{"name", "web"}, {"config", QJsonObject{{"environment.A", "profile"}, {"environment.B", "profile"}}}});
    QVERIFY2(made.status == 200 || made.status == 201, made.raw);
    launch("t1", {"-p", "default", "-p", "web", "-c", "environment.B=own"});
    QCOMPARE(inside("t1", {"sh", "-c", "echo $A $B"}), QByteArray("profile own"));
    QCOMPARE(m_box.text({"config", "get", "t1", "environment.A"}), QByteArray());
    QCOMPARE(m_box.text({"config", "get", "--expanded", "t1", "environment.A"}), QByteArray("profile"));
    must({"delete", "--force", "t1"});
    QCOMPARE(m_box.rest("DELETE", "/1.0/profiles/web").status, 200);
}

void TestConfig::diskDeviceSharesAFolder()
{
    const QString shared = m_box.directory() + "/shared";
    QDir().mkpath(shared);
    QFile file(shared + "/from-host");
    QVERIFY(file.open(QIODevice::WriteOnly));
    file.write("hello");
    file.close();
    launch("t1", {"-d", "src,type=disk,source=" + shared + ",path=/srv/shared,readonly=true,shift=true"});
    QCOMPARE(inside("t1", {"cat", "/srv/shared/from-host"}), QByteArray("hello"));
    QCOMPARE(inside("t1", {"stat", "-c", "%u", "/srv/shared/from-host"}), QByteArray("0"));
    QVERIFY(!exec("t1", {"touch", "/srv/shared/x"}).ok());
    // Nor does the guest's root make it writable, or its device nodes work.
    for (const char *flags : {"remount,bind,rw", "remount,bind,ro,dev"})
        QVERIFY2(!exec("t1", {"mount", "-o", flags, "/srv/shared"}).ok(), flags);
    QVERIFY(!exec("t1", {"touch", "/srv/shared/x"}).ok());
    QVERIFY(!exec("t1", {"mount", "-o", "remount,bind,dev", "/"}).ok()); // an image may hold nodes too
    QVERIFY(inside("t1", {"sh", "-c", "grep ' / / ' /proc/self/mountinfo"}).contains("nodev"));
}

void TestConfig::sysctlAndRlimitReachTheGuest()
{
    launch("t1", {"-c", "linux.sysctl.net.ipv4.ip_forward=1", "-c", "limits.kernel.nofile=345:678"});
    QCOMPARE(inside("t1", {"cat", "/proc/sys/net/ipv4/ip_forward"}), QByteArray("1"));
    QCOMPARE(inside("t1", {"sh", "-c", "ulimit -Sn; ulimit -Hn"}), QByteArray("345\n678"));
}

void TestConfig::privilegedGuestHasNoIdMap()
{
    launch("t1", {"-c", "security.privileged=true"});
    QCOMPARE(inside("t1", {"sh", "-c", "tr -s ' ' < /proc/self/uid_map"}), QByteArray("0 0 4294967295"));
}

void TestConfig::isolatedGuestsHaveRangesOfTheirOwn()
{
    launch("t1");
    launch("t2");
    const QByteArray command = "tr -s ' ' < /proc/self/uid_map";
    const QByteArray one = inside("t1", {"sh", "-c", command}), two = inside("t2", {"sh", "-c", command});
    const auto base = [](const QByteArray &map) { return map.split(' ').value(1).toLongLong(); };
    QVERIFY2(qAbs(base(one) - base(two)) >= 65536, (one + " and " + two).constData());
}

void TestConfig::limitChangesApplyLive()
{
    launch("t1");
    giveProbe("t1");
    must({"config", "set", "t1", "limits.processes=25"});
    const QByteArray got = inside("t1", {"/probe", "forks", "60"});
    QVERIFY2(got.endsWith("EAGAIN") && got.split(' ').first().toInt() < 25, got);
    must({"config", "unset", "t1", "limits.processes"});
    QCOMPARE(inside("t1", {"/probe", "forks", "60"}), QByteArray("60 all"));
}

QTEST_GUILESS_MAIN(TestConfig)
#include "tst_guest_config.moc"

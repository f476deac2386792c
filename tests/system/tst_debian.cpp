// Debian 12 and 13 with systemd as PID 1, unprivileged: running, nothing failed, network, packages, reboot, poweroff, login.
#include "support/system_test.h"

#include <QRegularExpression>

using namespace lxmgr::test;

class TestDebian : public SystemTest
{
    Q_OBJECT
private slots:
    void isRunningWithNothingFailed_data() { releases(); }
    void isRunningWithNothingFailed();
    void knowsItsNameAddressAndResolver_data() { releases(); }
    void knowsItsNameAddressAndResolver();
    void addressesComeByDhcp6Too_data() { releases(); }
    void addressesComeByDhcp6Too();
    void devicesAreThere_data() { releases(); }
    void devicesAreThere();
    void consoleLoginWorks_data() { releases(); }
    void consoleLoginWorks();
    void execUsersAndServicesWork_data() { releases(); }
    void execUsersAndServicesWork();
    void memoryHogIsKilledAndTheGuestLives_data() { releases(); }
    void memoryHogIsKilledAndTheGuestLives();
    void nginxFromTheArchiveAnswersTheHost_data() { releases(); }
    void nginxFromTheArchiveAnswersTheHost();
    void rebootInsideRestarts_data() { releases(); }
    void rebootInsideRestarts();
    void daemonKillIsNotNoticed_data() { releases(); }
    void daemonKillIsNotNoticed();
    void stopIsCleanAndQuick_data() { releases(); }
    void stopIsCleanAndQuick();
    void poweroffInsideStops_data() { releases(); }
    void poweroffInsideStops();
    void secondLaunchNeedsNoArchive_data() { releases(); }
    void secondLaunchNeedsNoArchive();

private:
    void prepare() override;
    static void releases();
    /// The guest of this row, skipped where its image could not be had.
    QString guest();
    QByteArray systemState(const QString &name);
    QByteArray address(const QString &name);

    QMap<QString, QString> m_lack; ///< release → why there is no image
};

void TestDebian::releases()
{
    QTest::addColumn<QString>("release");
    QTest::newRow("12") << "12";
    QTest::newRow("13") << "13";
}

void TestDebian::prepare()
{
    for (const QString &release : {QString("12"), QString("13")}) {
        m_lack[release] = provideImage(m_box, "debian/" + release);
        if (!m_lack[release].isEmpty())
            continue;
        must({"launch", "debian/" + release, "d" + release, "--wait"}, {}, 180000);
        m_keep << "d" + release;
    }
}

#define GUEST(name)                                                                                                    \
    const QString name = guest();                                                                                      \
    if (name.isEmpty())                                                                                                \
    QSKIP(qPrintable("no image of this release: " + m_lack.value(QTest::currentDataTag())))

QString TestDebian::guest()
{
    QFETCH(QString, release);
    if (!m_lack[release].isEmpty())
        return {};
    if (m_box.stateOf("d" + release) == "STOPPED")
        (void)m_box.cli({"start", "d" + release, "--wait"});
    return "d" + release;
}

QByteArray TestDebian::systemState(const QString &name)
{
    // --wait: until the boot is through, whatever comes of it.
    return m_box.cli({"exec", name, "--", "systemctl", "is-system-running", "--wait"}).out.trimmed();
}

QByteArray TestDebian::address(const QString &name)
{
    QByteArray found;
    Sandbox::eventually([&] {
        found = inside(name, {"sh", "-c", "ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'"});
        return QRegularExpression("^\\d+\\.\\d+\\.\\d+\\.\\d+$").match(QString::fromUtf8(found)).hasMatch();
    });
    return found;
}

void TestDebian::isRunningWithNothingFailed()
{
    GUEST(name);
    QCOMPARE(systemState(name), QByteArray("running"));
    QCOMPARE(inside(name, {"systemctl", "--failed", "--no-legend", "--plain"}), QByteArray());
    QCOMPARE(inside(name, {"cat", "/proc/1/comm"}), QByteArray("systemd"));
    const QByteArray map = inside(name, {"cat", "/proc/self/uid_map"}).simplified();
    QVERIFY2(map.startsWith("0 ") && map.split(' ').value(1).toLongLong() >= 65536, map);
    QCOMPARE(exec(name, {"systemd-detect-virt", "--container", "--quiet"}).status, 0);
}

void TestDebian::knowsItsNameAddressAndResolver()
{
    GUEST(name);
    QFETCH(QString, release);
    QCOMPARE(inside(name, {"hostname"}), name.toUtf8());
    const QByteArray hosts = inside(name, {"cat", "/etc/hosts"});
    QVERIFY2(hosts.contains(name.toUtf8()) && hosts.contains("localhost"), hosts);
    QVERIFY2(inside(name, {"cat", "/etc/os-release"}).contains("VERSION_ID=\"" + release.toUtf8() + "\""), hosts);
    const QByteArray own = address(name);
    QVERIFY2(own.startsWith("10."), own);
    QVERIFY2(inside(name, {"getent", "hosts", name}).contains(name.toUtf8()), hosts);
    const QByteArray resolver = inside(name, {"cat", "/etc/resolv.conf"});
    QVERIFY2(resolver.contains("nameserver"), resolver);
}

void TestDebian::addressesComeByDhcp6Too()
{
    GUEST(name);
    must({"network", "set", "lxmgrbr0", "ipv6.dhcp.stateful=true"});
    RUN_OK(exec(name, {"systemctl", "restart", "systemd-networkd"}));
    const QString prefix = QString::fromUtf8(m_box.text({"network", "get", "lxmgrbr0", "ipv6.address"})).section(':', 0, 2);
    QByteArray own;
    const bool given = Sandbox::eventually([&] {
        // A whole address of 128 bits is one that was handed out.
        own = inside(name, {"sh", "-c", "ip -6 -o addr show eth0 scope global | sed -n 's/.*inet6 \\([0-9a-f:]*\\)\\/128.*/\\1/p' | head -1"});
        return own.startsWith(prefix.toUtf8());
    }, 60000);
    const QByteArray leases = m_box.text({"network", "list-leases", "lxmgrbr0", "-f", "csv"});
    const QByteArray answer = run({"busybox", "nslookup", "-type=aaaa", name + ".lxmgr", QString::fromUtf8(m_box.text({"network", "get", "lxmgrbr0", "ipv4.address"})).section('/', 0, 0)}).out;
    must({"network", "unset", "lxmgrbr0", "ipv6.dhcp.stateful"});
    RUN_OK(exec(name, {"systemctl", "restart", "systemd-networkd"}));
    QVERIFY2(given, inside(name, {"ip", "-6", "addr"}));
    QVERIFY2(leases.contains(name.toUtf8() + ",") && leases.contains("," + own + ",DYNAMIC"), leases);
    QVERIFY2(answer.contains(own), answer);
}

void TestDebian::devicesAreThere()
{
    GUEST(name);
    for (const char *node : {"/dev/net/tun", "/dev/fuse", "/dev/null", "/dev/console", "/dev/ptmx"})
        QCOMPARE(exec(name, {"test", "-c", node}).status, 0);
    QCOMPARE(exec(name, {"sh", "-c", "exec 3<>/dev/fuse && exec 4<>/dev/net/tun"}).status, 0);
}

void TestDebian::consoleLoginWorks()
{
    GUEST(name);
    must({"exec", name, "--", "sh", "-c", "useradd -m -s /bin/bash visitor 2>/dev/null; echo visitor:open-sesame | chpasswd"});
    Terminal terminal({Sandbox::program("lxmgr"), "console", name}, m_box.environment());
    QVERIFY2(terminal.expect("<ctrl>+a q"), terminal.seen());
    terminal.type("\r");
    QVERIFY2(terminal.expect("login:"), terminal.seen());
    terminal.type("visitor\r");
    QVERIFY2(terminal.expect("assword:"), terminal.seen());
    terminal.type("open-sesame\r");
    QVERIFY2(terminal.expect("visitor@" + name.toUtf8()), terminal.seen()); // login(1) throws away what is typed before
    terminal.type("echo logged-in-as-$(id -un)\r");
    QVERIFY2(terminal.expect("logged-in-as-visitor"), terminal.seen());
    terminal.type("exit\r");
    QVERIFY2(terminal.expect("login:"), terminal.seen());
    terminal.type("\x01q");
    QCOMPARE(terminal.finish(), 0);
}

void TestDebian::execUsersAndServicesWork()
{
    GUEST(name);
    QCOMPARE(inside(name, {"systemd-run", "--quiet", "--wait", "--pipe", "echo", "from-a-unit"}), QByteArray("from-a-unit"));
    QVERIFY2(inside(name, {"journalctl", "-b", "--no-pager", "-n", "5"}).size() > 10, "the journal is empty");
    RUN_ENDS(exec(name, {"sh", "-c", "exit 42"}), 42);
    QCOMPARE(inside(name, {"su", "-l", "-c", "echo $HOME"}), QByteArray("/root"));
}

void TestDebian::memoryHogIsKilledAndTheGuestLives()
{
    GUEST(name);
    giveProbe(name);
    must({"config", "set", name, "limits.memory=300MiB"});
    const int init = m_box.initPid(name);
    RUN_ENDS(exec(name, {"/probe", "eat", "800"}), 137);
    QCOMPARE(m_box.initPid(name), init);
    QCOMPARE(systemState(name), QByteArray("running"));
    must({"config", "unset", name, "limits.memory"});
}

void TestDebian::nginxFromTheArchiveAnswersTheHost()
{
    GUEST(name);
    const QString why = m_box.connectUplink();
    if (!why.isEmpty())
        QSKIP(qPrintable("no way to the archive: " + why));
    // A list that cannot be fetched is no more than a warning to apt-get unless it is told so.
    const Run update = m_box.cli({"exec", name, "--", "apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "APT::Update::Error-Mode=any", "update"}, {}, 300000);
    if (!update.ok() && (update.out + update.err).contains("Failed to fetch"))
        QSKIP("the archive does not answer");
    RUN_OK(update);
    const Run install = m_box.cli({"exec", name, "--env", "DEBIAN_FRONTEND=noninteractive", "--", "apt-get", "-q", "-o", "Acquire::Retries=3", "install", "-y",
                                   "--no-install-recommends", "nginx"},
                                  {}, 600000);
    if (!install.ok() && (install.out + install.err).contains("Failed to fetch")) // it had the list a moment ago, and not what is in it
        QSKIP("the archive does not answer");
    RUN_OK(install);
    QVERIFY(Sandbox::eventually([&] { return inside(name, {"systemctl", "is-active", "nginx"}) == "active"; }));
    const Run page = run({"curl", "-s", "--max-time", "10", "http://" + address(name) + "/"});
    RUN_OK(page);
    QVERIFY2(page.out.contains("nginx"), page.told());
    QCOMPARE(systemState(name), QByteArray("running"));
}

void TestDebian::rebootInsideRestarts()
{
    GUEST(name);
    const int before = m_box.initPid(name);
    (void)exec(name, {"systemctl", "reboot"});
    QVERIFY(Sandbox::eventually([&] {
        const int now = m_box.initPid(name);
        return now > 0 && now != before;
    }, 60000));
    QVERIFY(Sandbox::eventually([&] { return systemState(name) == "running"; }, 60000));
    QVERIFY(address(name).startsWith("10."));
}

void TestDebian::daemonKillIsNotNoticed()
{
    GUEST(name);
    const int init = m_box.initPid(name);
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    QCOMPARE(m_box.stateOf(name), QByteArray("RUNNING"));
    QCOMPARE(m_box.initPid(name), init);
    QCOMPARE(systemState(name), QByteArray("running"));
}

void TestDebian::stopIsCleanAndQuick()
{
    GUEST(name);
    QCOMPARE(systemState(name), QByteArray("running"));
    must({"exec", name, "--", "sh", "-c",
          "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\nExecStop=/bin/touch /was-clean\\n' "
          "> /run/systemd/system/last.service; systemctl daemon-reload; systemctl start last"});
    must({"stop", name, "--timeout", "60"});
    QCOMPARE(m_box.stateOf(name), QByteArray("STOPPED"));
    must({"start", name, "--wait"});
    QCOMPARE(systemState(name), QByteArray("running"));
    QCOMPARE(exec(name, {"test", "-e", "/was-clean"}).status, 0);
}

void TestDebian::poweroffInsideStops()
{
    GUEST(name);
    (void)exec(name, {"systemctl", "poweroff"});
    QVERIFY(m_box.becomes(name, "STOPPED", 60000));
}

void TestDebian::secondLaunchNeedsNoArchive()
{
    QFETCH(QString, release);
    GUEST(name);
    m_box.disconnectUplink();
    must({"launch", "debian/" + release, "again", "--wait"}, {}, 60000);
    QCOMPARE(inside("again", {"hostname"}), QByteArray("again"));
}

#undef GUEST

QTEST_GUILESS_MAIN(TestDebian)
#include "tst_debian.moc"

// The units that an installation brings, under the host's own systemd: they run as they are, but for names and paths of
// a sandbox.
#include "support/require.h"
#include "support/sandbox.h"

#include <QFile>
#include <QFileInfo>
#include <QtTest/QtTest>
#include <unistd.h>

using namespace lxmgr::test;

namespace
{
constexpr const char *kUnits[] = {"lxmgrd.socket", "lxmgrd.service", "lxmgr-guests.service"};
constexpr const char *kFolder = "/run/systemd/system/"; // gone with the next boot, whatever happens
} // namespace

class TestSystemd : public QObject
{
    Q_OBJECT
private slots:
    void initTestCase();
    void cleanupTestCase();
    void firstCommandStartsTheDaemon();
    void restartLeavesGuestsRunning();
    void killedDaemonComesBack();
    void hostThatGoesDownStopsGuestsAndStartsThemAgain();

private:
    QString renamed(QString text) const;
    QString sandboxed(const QString &unit) const;
    void systemctl(const QStringList &words) { RUN_OK(lxmgr::test::run(QStringList{"systemctl"} + words)); }
    QByteArray activity(const char *unit) const
    {
        return lxmgr::test::run({"systemctl", "is-active", renamed(unit)}).out.trimmed();
    }

    Sandbox m_box;
    const QString m_prefix = "lxmgrt" + QString::number(::getpid());
    int m_init = 0;
};

/// Names of our units become those of this test's.
QString TestSystemd::renamed(QString text) const
{
    return text.replace("lxmgr-guests.service", m_prefix + "-guests.service").replace("lxmgrd.s", m_prefix + "d.s");
}

/// The text of a unit with the sandbox's paths, variables and network.
QString TestSystemd::sandboxed(const QString &unit) const
{
    const QString folder = Sandbox::sourceDir() + "/packaging/" + unit;
    QFile file(QFile::exists(folder) ? folder : folder + ".in");
    if (!file.open(QIODevice::ReadOnly))
        return {};
    QString text = renamed(QString::fromUtf8(file.readAll()));
    for (const char *variable : {"@CMAKE_INSTALL_FULL_SBINDIR@", "@CMAKE_INSTALL_FULL_BINDIR@"})
        text.replace(variable, QFileInfo(Sandbox::program("lxmgrd")).path());
    text.replace("/run/lxmgr/unix.socket", m_box.socket());
    if (!unit.endsWith(".service"))
        return text;
    QString service = QString("[Service]\nNetworkNamespacePath=/proc/%1/ns/net\n").arg(::getpid());
    const QProcessEnvironment variables = m_box.environment();
    for (const QString &name : variables.keys())
        if (name.startsWith("LXMGR") || name == "PATH")
            service += QString("Environment=\"%1=%2\"\n").arg(name, variables.value(name));
    return text.replace("[Service]\n", service);
}

void TestSystemd::initTestCase()
{
    NEEDS("systemd", QFile::exists("/run/systemd/system"));
    REQUIRE_SANDBOX(m_box);
    for (const char *unit : kUnits) {
        const QString text = sandboxed(unit);
        QVERIFY2(text.contains("[Unit]"), unit);
        QVERIFY2(!text.contains('@'), qPrintable(text));
        QFile file(kFolder + renamed(unit));
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(text.toUtf8());
    }
    systemctl({"daemon-reload"});
    RUN_OK(lxmgr::test::run(
        {"systemd-analyze", "--man=no", "verify", renamed("lxmgrd.service"), renamed("lxmgr-guests.service")}));
    systemctl({"start", renamed("lxmgrd.socket")});
}

void TestSystemd::cleanupTestCase()
{
    if (m_box.directory().isEmpty())
        return;
    m_box.cli({"delete", "--force", "s1"});
    for (const char *unit : kUnits) {
        lxmgr::test::run({"systemctl", "stop", renamed(unit)});
        QFile::remove(kFolder + renamed(unit));
    }
    systemctl({"daemon-reload"});
    const QStringList forced = m_box.destroy();
    QVERIFY2(forced.isEmpty(), qPrintable("had to be removed by force:\n" + forced.join('\n')));
}

void TestSystemd::firstCommandStartsTheDaemon()
{
    QCOMPARE(activity("lxmgrd.service"), QByteArray("inactive"));
    RUN_OK(m_box.cli({"launch", "busybox", "s1"}));
    QCOMPARE(activity("lxmgrd.service"), QByteArray("active"));
    m_init = m_box.initPid("s1");
    QVERIFY(m_init > 0);
}

void TestSystemd::restartLeavesGuestsRunning()
{
    systemctl({"restart", renamed("lxmgrd.service")});
    QCOMPARE(m_box.stateOf("s1"), QByteArray("RUNNING"));
    QCOMPARE(m_box.initPid("s1"), m_init);
    RUN_OK(m_box.cli({"exec", "s1", "--", "true"}));
}

void TestSystemd::killedDaemonComesBack()
{
    systemctl({"kill", "--kill-whom=main", "--signal=KILL", renamed("lxmgrd.service")});
    QVERIFY(Sandbox::eventually([this] { return m_box.stateOf("s1") == "RUNNING"; }));
    QCOMPARE(activity("lxmgrd.service"), QByteArray("active"));
    QCOMPARE(m_box.initPid("s1"), m_init);
}

void TestSystemd::hostThatGoesDownStopsGuestsAndStartsThemAgain()
{
    systemctl({"start", renamed("lxmgr-guests.service")});
    systemctl({"stop", renamed("lxmgr-guests.service")});
    QVERIFY(!Sandbox::isAlive(m_init));
    systemctl({"start", renamed("lxmgr-guests.service")});
    QCOMPARE(m_box.stateOf("s1"), QByteArray("RUNNING"));
}

QTEST_GUILESS_MAIN(TestSystemd)
#include "tst_systemd.moc"

#include "support/system_test.h"

namespace lxmgr::test
{

void SystemTest::initTestCase()
{
    REQUIRE_SANDBOX(m_box);
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog().constData());
    // What comes into being on first use (image, bridge, DHCP server) is there before the first comparison.
    launch("first");
    if (QTest::currentTestFailed())
        return;
    deleteAll();
    m_first = m_box.settledStock();
    prepare();
}

void SystemTest::init()
{
    if (m_keep.isEmpty())
        m_before = m_box.settledStock();
}

void SystemTest::cleanup()
{
    if (QTest::currentTestFailed())
        qWarning("the daemon's log:\n%s", m_box.daemonLog().right(4000).constData());
    deleteAll();
    if (m_keep.isEmpty()) // guests that stay change things of their own: compared once, at the end
        NOTHING_LEFT_SINCE(m_box, m_before);
}

void SystemTest::cleanupTestCase()
{
    if (!m_keep.isEmpty()) {
        m_keep.clear();
        deleteAll();
        m_box.disconnectUplink();
        NOTHING_LEFT_SINCE(m_box, m_first);
    }
    const QStringList forced = m_box.destroy();
    QVERIFY2(forced.isEmpty(), qPrintable("had to be removed by force:\n" + forced.join('\n')));
}

void SystemTest::must(const QStringList &args, const QByteArray &input, int timeoutMs)
{
    RUN_OK(m_box.cli(args, input, timeoutMs));
}

Run SystemTest::exec(const QString &instance, const QStringList &command, const QByteArray &input)
{
    return m_box.cli(QStringList{"exec", instance, "--"} + command, input);
}

QByteArray SystemTest::inside(const QString &instance, const QStringList &command)
{
    const Run result = exec(instance, command);
    return result.ok() ? result.out.trimmed() : result.told();
}

void SystemTest::launch(const QString &name, const QStringList &extra) { must(QStringList{"launch", "busybox", name} + extra); }

void SystemTest::giveProbe(const QString &name)
{
    must({"file", "push", "--mode", "0755", Sandbox::program("lxmgr-probe"), name + "/probe"});
}

void SystemTest::deleteAll()
{
    const Run list = m_box.cli({"list", "-f", "csv", "-c", "n"});
    QStringList names;
    for (const QByteArray &line : list.out.split('\n'))
        if (!line.trimmed().isEmpty() && !m_keep.contains(QString::fromUtf8(line.trimmed())))
            names << QString::fromUtf8(line.trimmed());
    if (!names.isEmpty())
        must(QStringList{"delete", "--force"} + names);
    (void)m_box.cli({"undo", "delete", "--all"}); // no daemon, nothing kept
    for (const QByteArray &line : m_box.cli({"network", "list", "-f", "csv", "-c", "nm"}).out.split('\n'))
        if (line.endsWith(",YES") && !line.startsWith("lxmgrbr0,"))
            (void)m_box.cli({"network", "delete", QString::fromUtf8(line.split(',').value(0))}); // one that a profile uses stays
}

} // namespace lxmgr::test

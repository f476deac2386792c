// The console: a login prompt, keys both ways, detaching, the log, and a guest that prints without end.
#include "support/system_test.h"

using namespace lxmgr::test;

class TestConsole : public SystemTest
{
    Q_OBJECT
private slots:
    void promptAnswers();
    void detachKeysLeaveTheGuestRunning();
    void logKeepsWhatWasPrinted();
    void floodDoesNotStopTheGuest();
    void stoppedGuestIsRefused();
    void startWithConsoleShowsTheBoot();
};

void TestConsole::promptAnswers()
{
    launch("t1", {"--wait"});
    Terminal terminal({Sandbox::program("lxmgr"), "console", "t1"}, m_box.environment());
    QVERIFY2(terminal.expect("<ctrl>+a q"), terminal.seen());
    terminal.type("\r\r");
    terminal.type("echo answer-$((6*7))\r");
    QVERIFY2(terminal.expect("answer-42"), terminal.seen());
    terminal.type("\x01q");
    QCOMPARE(terminal.finish(), 0);
}

void TestConsole::detachKeysLeaveTheGuestRunning()
{
    launch("t1", {"--wait"});
    for (int round = 0; round < 2; ++round) {
        Terminal terminal({Sandbox::program("lxmgr"), "console", "t1"}, m_box.environment());
        QVERIFY2(terminal.expect("<ctrl>+a q"), terminal.seen());
        terminal.type("\x01q");
        QCOMPARE(terminal.finish(), 0);
    }
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
}

void TestConsole::logKeepsWhatWasPrinted()
{
    launch("t1", {"--wait"});
    must({"exec", "t1", "--", "sh", "-c", "echo line-on-console > /dev/console"});
    QVERIFY(m_box.text({"console", "t1", "--show-log"}).contains("line-on-console"));
}

void TestConsole::floodDoesNotStopTheGuest()
{
    launch("t1", {"--wait"});
    // 8 MiB with nobody attached: more than any buffer on the way.
    must({"exec", "t1", "--", "sh", "-c", "yes 0123456789abcdef | head -c 8388608 > /dev/console; echo the-end > /dev/console"}, {}, 60000);
    const QByteArray log = m_box.text({"console", "t1", "--show-log"});
    QVERIFY(log.contains("the-end"));
    QVERIFY(log.size() <= (1 << 20) + 4096);
}

void TestConsole::stoppedGuestIsRefused()
{
    must({"create", "busybox", "t1"});
    RUN_ENDS(m_box.cli({"console", "t1"}), 6);
}

void TestConsole::startWithConsoleShowsTheBoot()
{
    must({"create", "busybox", "t1"});
    Terminal terminal({Sandbox::program("lxmgr"), "start", "t1", "--console"}, m_box.environment());
    QVERIFY2(terminal.expect("<ctrl>+a q"), terminal.seen());
    terminal.type("\r\r");
    terminal.type("echo answer-$((6*7))\r");
    QVERIFY2(terminal.expect("answer-42"), terminal.seen());
    terminal.type("\x01q");
    QCOMPARE(terminal.finish(), 0);
}

QTEST_GUILESS_MAIN(TestConsole)
#include "tst_console.moc"

// exec: exit statuses, streams, users, terminals, and what a process entered from outside may not keep.
#include "support/system_test.h"

#include <memory>
#include <vector>

using namespace lxmgr::test;

class TestExec : public SystemTest
{
    Q_OBJECT
private slots:
    void exitStatusIsPassedOn_data();
    void exitStatusIsPassedOn();
    void streamsStayApart();
    void bytesPassUnchanged();
    void inputReachesItsEnd();
    void noInputWhenDisabled();
    void environmentIsTheInstancesOwn();
    void folderAndUserAreChosen();
    void processIsInsideTheLimitsAndNamespaces();
    void noDescriptorComesAlong();
    void terminalHasTheRightSize();
    void interruptReachesTheProgram();
    void backgroundProcessOutlivesItsSession();
    void stoppedGuestIsRefused();
    void manyAtOnce();
    void shellIsALoginShell();

private:
    void prepare() override
    {
        launch("t1");
        giveProbe("t1");
        m_keep << "t1";
    }
};

void TestExec::exitStatusIsPassedOn_data()
{
    QTest::addColumn<QStringList>("command");
    QTest::addColumn<int>("status");
    QTest::newRow("true") << QStringList{"true"} << 0;
    QTest::newRow("false") << QStringList{"false"} << 1;
    QTest::newRow("42") << QStringList{"sh", "-c", "exit 42"} << 42;
    QTest::newRow("255") << QStringList{"sh", "-c", "exit 255"} << 255;
    QTest::newRow("SIGTERM") << QStringList{"/probe", "die", "15"} << 143;
    QTest::newRow("SIGKILL") << QStringList{"/probe", "die", "9"} << 137;
    QTest::newRow("no such program") << QStringList{"no-such-program"} << 127;
    QTest::newRow("not a program") << QStringList{"/etc/passwd"} << 126;
}

void TestExec::exitStatusIsPassedOn()
{
    QFETCH(QStringList, command);
    QFETCH(int, status);
    RUN_ENDS(exec("t1", command), status);
}

void TestExec::streamsStayApart()
{
    const Run both = exec("t1", {"sh", "-c", "echo out; echo err >&2"});
    RUN_OK(both);
    QCOMPARE(both.out, QByteArray("out\n"));
    QCOMPARE(both.err, QByteArray("err\n"));
}

void TestExec::bytesPassUnchanged()
{
    QByteArray bytes;
    for (int i = 0; i < 3'000'000; ++i)
        bytes.append(static_cast<char>(i * 31 + i / 253));
    const Run echoed = exec("t1", {"cat"}, bytes);
    RUN_OK(echoed);
    QCOMPARE(echoed.out.size(), bytes.size());
    QVERIFY(echoed.out == bytes);
}

void TestExec::inputReachesItsEnd()
{
    const Run counted = exec("t1", {"wc", "-c"}, QByteArray(100'000, 'x'));
    RUN_OK(counted);
    QCOMPARE(counted.out.trimmed(), QByteArray("100000"));
}

void TestExec::noInputWhenDisabled()
{
    const Run none = m_box.cli({"exec", "-n", "t1", "--", "cat"}, "unseen");
    RUN_OK(none);
    QCOMPARE(none.out, QByteArray());
}

void TestExec::environmentIsTheInstancesOwn()
{
    const Run env = m_box.cli({"exec", "t1", "--env", "COLOUR=red", "--", "env"});
    RUN_OK(env);
    QVERIFY2(env.out.contains("COLOUR=red\n"), env.out);
    QVERIFY2(env.out.contains("PATH=") && env.out.contains("HOME=/root\n"), env.out);
    QVERIFY2(!env.out.contains("LXMGR_"), env.out);
}

void TestExec::folderAndUserAreChosen()
{
    QCOMPARE(m_box.text({"exec", "t1", "--cwd", "/etc", "--", "pwd"}), QByteArray("/etc"));
    const QByteArray id = m_box.text({"exec", "t1", "--user", "1234", "--group", "5678", "--", "id"});
    QVERIFY2(id.startsWith("uid=1234 gid=5678"), id);
    QVERIFY2(!id.contains("0(root)"), id);
    const QByteArray caps = m_box.text({"exec", "t1", "--user", "1234", "--", "grep", "Cap[EPIA]", "/proc/self/status"});
    for (const char *set : {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"})
        QVERIFY2(caps.contains(QByteArray(set) + "\t0000000000000000"), caps);
}

void TestExec::processIsInsideTheLimitsAndNamespaces()
{
    const auto namespacesOf = [this](const QString &process) {
        return inside("t1", {"sh", "-c", "for n in pid net user cgroup; do readlink /proc/" + process + "/ns/$n; done"});
    };
    const QByteArray ofInit = namespacesOf("1"), ofExec = namespacesOf("self");
    QVERIFY2(ofInit.count('\n') == 3, ofInit);
    QCOMPARE(ofExec, ofInit);
    // A folder outside shows as "/.." in a cgroup namespace: the process would be beyond the guest's limits.
    const QByteArray cgroups = inside("t1", {"cat", "/proc/self/cgroup"});
    QVERIFY2(!cgroups.contains("/.."), cgroups);
    QCOMPARE(inside("t1", {"grep", "Seccomp:", "/proc/self/status"}), QByteArray("Seccomp:\t2"));
    const QByteArray inherited = inside("t1", {"grep", "CapInh", "/proc/self/status"});
    QCOMPARE(inherited, QByteArray("CapInh:\t0000000000000000"));
    QCOMPARE(inside("t1", {"sh", "-c", "grep CapBnd /proc/self/status | cut -f2"}),
             inside("t1", {"sh", "-c", "grep CapBnd /proc/1/status | cut -f2"}));
}

void TestExec::noDescriptorComesAlong()
{
    QCOMPARE(inside("t1", {"/probe", "fds"}), QByteArray("0 1 2"));
}

void TestExec::terminalHasTheRightSize()
{
    Terminal terminal({Sandbox::program("lxmgr"), "exec", "t1", "--", "sh", "-c", "tty; stty size; read line; stty size"},
                      m_box.environment(), 91, 37);
    QVERIFY2(terminal.expect("/dev/pts/"), terminal.seen());
    QVERIFY2(terminal.expect("37 91"), terminal.seen());
    terminal.resize(102, 41);
    QTest::qWait(200);
    terminal.type("\r");
    QVERIFY2(terminal.expect("41 102"), terminal.seen());
    QCOMPARE(terminal.finish(), 0);
}

void TestExec::interruptReachesTheProgram()
{
    Terminal terminal({Sandbox::program("lxmgr"), "exec", "t1", "--", "sh", "-c", "trap 'echo got-it; exit 7' INT; echo ready; sleep 100 & wait"},
                      m_box.environment());
    QVERIFY2(terminal.expect("ready"), terminal.seen());
    terminal.type("\x03");
    QVERIFY2(terminal.expect("got-it"), terminal.seen());
    QCOMPARE(terminal.finish(), 7);
}

void TestExec::backgroundProcessOutlivesItsSession()
{
    must({"exec", "t1", "--", "sh", "-c", "(sleep 1; echo late > /late) >/dev/null 2>&1 </dev/null &"}, {}, 10000);
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"test", "-e", "/late"}).ok(); }));
}

void TestExec::stoppedGuestIsRefused()
{
    must({"create", "busybox", "t2"});
    const Run refused = exec("t2", {"true"});
    RUN_ENDS(refused, 6);
    QVERIFY2(refused.err.contains("running"), refused.told());
    RUN_ENDS(exec("no-such-guest", {"true"}), 3);
}

void TestExec::manyAtOnce()
{
    std::vector<std::unique_ptr<QProcess>> all;
    for (int i = 0; i < 20; ++i) {
        auto process = std::make_unique<QProcess>();
        process->setProcessEnvironment(m_box.environment());
        process->start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "sh", "-c", QString("echo %1; exit %1").arg(i)});
        all.push_back(std::move(process));
    }
    for (int i = 0; i < 20; ++i) {
        QVERIFY(all[static_cast<size_t>(i)]->waitForFinished());
        QCOMPARE(all[static_cast<size_t>(i)]->exitCode(), i);
        QCOMPARE(all[static_cast<size_t>(i)]->readAllStandardOutput().trimmed(), QByteArray::number(i));
    }
}

void TestExec::shellIsALoginShell()
{
    Terminal terminal({Sandbox::program("lxmgr"), "shell", "t1"}, m_box.environment());
    terminal.type("echo user-$(id -u)\r");
    QVERIFY2(terminal.expect("user-0"), terminal.seen());
    terminal.type("exit 3\r");
    QCOMPARE(terminal.finish(), 3);
}

QTEST_GUILESS_MAIN(TestExec)
#include "tst_exec.moc"

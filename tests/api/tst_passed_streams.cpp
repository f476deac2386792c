// Descriptors that go with a request on the unix socket: a command's streams, and the bytes of a file.
#include "client/passed_streams.h"
#include "support/system_test.h"

#include <QFile>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::test;

class TestPassedStreams : public SystemTest
{
    Q_OBJECT
private slots:
    void onlyPipesAreHandedOver_data();
    void onlyPipesAreHandedOver();
    void aGuestGetsNoPipeOfTheCaller();
    void standardOutputCanBeOpenedAnew();
    void whatGoesOnInTheBackgroundHoldsUpNobody();
    void outputIsAppended();
    void streamsThatTheCallerHasClosed_data();
    void streamsThatTheCallerHasClosed();
    void aReaderThatGoesEndsTheCommand();
    void aKilledClientEndsItsCommand();
    void signalsReachTheCommand();
    void aDaemonThatDiesTakesNoCommandAlong();
    void filesOnlyComeThroughPipes();
    void filesThatTheKernelMakesUpArePulled();
    void whatComesInIsAppended();
    void aCutOffPushIsSeen();

private:
    void prepare() override
    {
        launch("t1");
        m_keep << "t1";
    }
    client::Client client();
    /// The status and text of an answer to a request with these descriptors.
    QByteArray send(const std::string &method, const std::string &path, const std::string &body, const std::vector<int> &fds,
                    const http::Headers &headers = {});
    bool runsInside(const QByteArray &command);
};

client::Client TestPassedStreams::client()
{
    client::Client::Options options;
    options.paths.runDir = m_box.runDir().toStdString();
    options.autostart = client::Client::Autostart::No;
    return client::Client(options);
}

QByteArray TestPassedStreams::send(const std::string &method, const std::string &path, const std::string &body, const std::vector<int> &fds,
                                   const http::Headers &headers)
{
    client::Client there = client();
    client::Request request;
    request.method = method;
    request.target = path;
    request.headers = headers;
    request.body = body;
    request.fds = fds;
    const auto response = there.exchange(request);
    return response ? QByteArray::number(response->head.status) + " " + QByteArray::fromStdString(response->body)
                    : QByteArray::fromStdString(response.error().message);
}

/// Whether a process with these words runs in the guest.
bool TestPassedStreams::runsInside(const QByteArray &command) { return inside("t1", {"ps", "-o", "args"}).contains(command); }

namespace
{

struct Pipe {
    Fd read, write;
    Pipe()
    {
        int ends[2] = {-1, -1};
        if (::pipe2(ends, O_CLOEXEC) == 0)
            read = Fd(ends[0]), write = Fd(ends[1]);
    }
};

struct Pair {
    Fd ours, theirs;
    explicit Pair(int type)
    {
        int ends[2] = {-1, -1};
        if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0)
            ours = Fd(ends[0]), theirs = Fd(ends[1]);
    }
};

} // namespace

void TestPassedStreams::onlyPipesAreHandedOver_data()
{
    QTest::addColumn<QString>("what");
    QTest::addColumn<QByteArray>("reason");
    QTest::newRow("three") << "three" << QByteArray("4 descriptors");
    QTest::newRow("none") << "none" << QByteArray("4 descriptors");
    QTest::newRow("a file") << "file" << QByteArray("standard output is no pipe");
    QTest::newRow("a folder") << "folder" << QByteArray("standard input is no pipe");
    QTest::newRow("a terminal") << "terminal" << QByteArray("standard error is no pipe");
    QTest::newRow("a named pipe") << "fifo" << QByteArray("standard input is no pipe");
    QTest::newRow("a socket") << "socket" << QByteArray("standard output is no pipe");
    QTest::newRow("the wrong end") << "end" << QByteArray("wrong end");
    QTest::newRow("control that is a stream") << "control" << QByteArray("no unix socket of packets");
    QTest::newRow("interactive") << "interactive" << QByteArray("neither interactive nor record-output");
}

void TestPassedStreams::onlyPipesAreHandedOver()
{
    QFETCH(QString, what);
    QFETCH(QByteArray, reason);
    const Pipe in, out, err;
    const Pair packets(SOCK_SEQPACKET), stream(SOCK_STREAM);
    const Fd file(::open((m_box.directory() + "/mine").toUtf8().constData(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const Fd folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), terminal(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    const QByteArray fifoPath = (m_box.directory() + "/fifo").toUtf8();
    ::mkfifo(fifoPath.constData(), 0600);
    const Fd fifo(::open(fifoPath.constData(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    std::vector<int> fds = {in.read.get(), out.write.get(), err.write.get(), packets.theirs.get()};
    if (what == "three")
        fds.pop_back();
    if (what == "none")
        fds.clear();
    if (what == "file")
        fds[1] = file.get();
    if (what == "folder")
        fds[0] = folder.get();
    if (what == "terminal")
        fds[2] = terminal.get();
    if (what == "fifo")
        fds[0] = fifo.get();
    if (what == "socket")
        fds[1] = stream.theirs.get();
    if (what == "end")
        fds[0] = in.write.get();
    if (what == "control")
        fds[3] = stream.theirs.get();
    const std::string interactive = what == "interactive" ? "true" : "false";
    const QByteArray answer = send("POST", "/1.0/instances/t1/exec",
                                   R"({"command":["touch","/ran"],"wait-for-websocket":true,"lxmgr-pass-streams":true,"interactive":)" + interactive + "}", fds);
    QVERIFY2(answer.startsWith("400 ") && answer.contains(reason), answer);
    QVERIFY(!exec("t1", {"test", "-e", "/ran"}).ok());
}

void TestPassedStreams::aGuestGetsNoPipeOfTheCaller()
{
    QProcess process;
    process.setProcessEnvironment(m_box.environment());
    process.start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "sh", "-c", "ls -l /proc/$$/fd; exec cat"});
    QByteArray inside;
    while (inside.count("pipe:[") < 3 && process.waitForReadyRead(10000))
        inside += process.readAllStandardOutput();
    QCOMPARE(inside.count("pipe:["), 3);
    for (const int fd : {0, 1, 2}) {
        const QByteArray own = QFile::symLinkTarget(QString("/proc/%1/fd/%2").arg(process.processId()).arg(fd)).toUtf8();
        QVERIFY2(own.contains("pipe:[") && !inside.contains(own.mid(own.lastIndexOf('/') + 1)), inside + own);
    }
    process.closeWriteChannel();
    QVERIFY(process.waitForFinished());
}

void TestPassedStreams::standardOutputCanBeOpenedAnew()
{
    for (const QStringList &user : {QStringList{}, QStringList{"--user", "1234", "--group", "5678"}}) {
        const Run run = m_box.cli(QStringList{"exec", "t1"} + user + QStringList{"--", "sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin"}, "in\n");
        RUN_OK(run);
        QCOMPARE(run.out, QByteArray("out\nin\n"));
        QCOMPARE(run.err, QByteArray("err\n"));
    }
}

void TestPassedStreams::whatGoesOnInTheBackgroundHoldsUpNobody()
{
    const Run run = m_box.cli({"exec", "t1", "--", "sh", "-c", "sleep 8765 & echo started"}, {}, 20000);
    RUN_OK(run); // the pipe to us has ended, though the sleeping one has its own end open
    QCOMPARE(run.out, QByteArray("started\n"));
    QVERIFY(runsInside("sleep 8765"));
    RUN_OK(exec("t1", {"killall", "sleep"}));
}

void TestPassedStreams::outputIsAppended()
{
    const QString path = m_box.directory() + "/log";
    for (const char *word : {"one", "two"}) {
        QProcess process;
        process.setProcessEnvironment(m_box.environment());
        process.setStandardOutputFile(path, QIODevice::Append);
        process.start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "echo", word});
        QVERIFY(process.waitForFinished());
        QCOMPARE(process.exitCode(), 0);
    }
    QFile log(path);
    QVERIFY(log.open(QIODevice::ReadOnly));
    QCOMPARE(log.readAll(), QByteArray("one\ntwo\n"));
}

void TestPassedStreams::streamsThatTheCallerHasClosed_data()
{
    QTest::addColumn<QString>("how");
    QTest::addColumn<QByteArray>("out");
    QTest::addColumn<QByteArray>("err");
    QTest::newRow("input") << "<&-" << QByteArray("out\n") << QByteArray("err\n");
    QTest::newRow("a folder as input") << "</" << QByteArray("out\n") << QByteArray("err\n");
    QTest::newRow("output") << "</dev/null >&-" << QByteArray() << QByteArray("err\n");
    QTest::newRow("error") << "</dev/null 2>&-" << QByteArray("out\n") << QByteArray();
    QTest::newRow("all") << "<&- >&- 2>&-" << QByteArray() << QByteArray();
}

/// The command ends with its own status, its input at its end, and what nobody takes is gone.
void TestPassedStreams::streamsThatTheCallerHasClosed()
{
    QFETCH(QString, how);
    RunOptions options;
    options.environment = m_box.environment();
    const Run run = lxmgr::test::run({"sh", "-c", "exec \"$0\" exec t1 -- sh -c 'cat; echo out; echo err >&2; exit 7' " + how, Sandbox::program("lxmgr")}, options);
    QCOMPARE(run.status, 7);
    QTEST(run.out, "out");
    QTEST(run.err, "err");
}

void TestPassedStreams::aReaderThatGoesEndsTheCommand()
{
    RunOptions options;
    options.environment = m_box.environment();
    const Run run = lxmgr::test::run({"sh", "-c", "{ \"$0\" exec t1 -- yes over; echo $? >&2; } | head -n 1", Sandbox::program("lxmgr")}, options);
    QCOMPARE(run.out, QByteArray("over\n"));
    QCOMPARE(run.err.trimmed(), QByteArray("141")); // as of a command of this host: 128 + SIGPIPE
    QVERIFY(!runsInside("yes over"));
}

void TestPassedStreams::aKilledClientEndsItsCommand()
{
    QProcess process;
    process.setProcessEnvironment(m_box.environment());
    process.start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "sh", "-c", "echo here; exec sleep 7654"});
    QVERIFY(process.waitForReadyRead(10000));
    QVERIFY(runsInside("sleep 7654"));
    process.kill();
    QVERIFY(process.waitForFinished());
    QVERIFY(Sandbox::eventually([&] { return !runsInside("sleep 7654"); }));
}

void TestPassedStreams::signalsReachTheCommand()
{
    QProcess process;
    process.setProcessEnvironment(m_box.environment());
    process.start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "sh", "-c", "trap 'exit 9' TERM; echo here; while :; do read line; done"});
    QVERIFY(process.waitForReadyRead(10000));
    process.terminate();
    QVERIFY(process.waitForFinished());
    QCOMPARE(process.exitCode(), 9);
}

void TestPassedStreams::aDaemonThatDiesTakesNoCommandAlong()
{
    QProcess process;
    process.setProcessEnvironment(m_box.environment());
    process.start(Sandbox::program("lxmgr"), {"exec", "t1", "--", "sh", "-c", "echo here; sleep 1; echo done > /survived"});
    QVERIFY(process.waitForReadyRead(10000));
    m_box.killDaemon();
    QVERIFY(process.waitForFinished());
    QVERIFY2(process.exitCode() != 0, "the end of the command cannot be known");
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"test", "-s", "/survived"}).ok(); }));
}

void TestPassedStreams::filesOnlyComeThroughPipes()
{
    http::Headers headers;
    headers.set("X-LXD-type", "file");
    const Fd file(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    const Pipe pipe;
    const std::string path = "/1.0/instances/t1/files?path=/pushed";
    for (const auto &[fds, reason] : {std::pair{std::vector{file.get()}, "no pipe"}, {std::vector{pipe.write.get()}, "wrong end"},
                                      {std::vector{pipe.read.get(), pipe.read.get()}, "one descriptor"}}) {
        const QByteArray answer = send("POST", path, {}, fds, headers);
        QVERIFY2(answer.startsWith("400 ") && answer.contains(reason), answer);
    }
    QVERIFY(!exec("t1", {"test", "-e", "/pushed"}).ok());
    const QByteArray answer = send("GET", "/1.0/instances/t1/files?path=/etc/passwd", {}, {pipe.read.get()});
    QVERIFY2(answer.startsWith("400 ") && answer.contains("wrong end"), answer);
}

void TestPassedStreams::filesThatTheKernelMakesUpArePulled()
{
    const QByteArray pulled = m_box.text({"file", "pull", "t1/proc/sys/kernel/ostype", "-"});
    QCOMPARE(pulled, QByteArray("Linux"));
}

void TestPassedStreams::whatComesInIsAppended()
{
    Pipe pipe;
    QCOMPARE(::write(pipe.write.get(), "second\n", 7), ssize_t(7));
    pipe.write.reset();
    must({"file", "push", "-", "t1/appended"}, "first\n");
    http::Headers headers;
    headers.set("X-LXD-type", "file");
    headers.set("X-LXD-write", "append");
    const QByteArray answer = send("POST", "/1.0/instances/t1/files?path=/appended", {}, {pipe.read.get()}, headers);
    QVERIFY2(answer.startsWith("200 "), answer);
    QCOMPARE(inside("t1", {"cat", "/appended"}), QByteArray("first\nsecond"));
}

void TestPassedStreams::aCutOffPushIsSeen()
{
    must({"exec", "t1", "--", "sh", "-c", "mkdir /small && mount -t tmpfs -o size=1m none /small"});
    QFile big(m_box.directory() + "/big");
    QVERIFY(big.open(QIODevice::WriteOnly));
    big.write(QByteArray(4 << 20, 'x'));
    big.close();
    const Run full = m_box.cli({"file", "push", big.fileName(), "t1/small/big"});
    QVERIFY2(!full.ok() && full.err.contains("No space left"), full.told());
    const Run there = m_box.cli({"file", "push", big.fileName(), "t1/nowhere/big"});
    QVERIFY2(!there.ok() && there.err.contains("does not exist"), there.told());
    must({"file", "push", big.fileName(), "t1/root/big"});
    QCOMPARE(inside("t1", {"sh", "-c", "wc -c < /root/big; umount /small; rmdir /small"}), QByteArray::number(4 << 20));
}

QTEST_GUILESS_MAIN(TestPassedStreams)
#include "tst_passed_streams.moc"

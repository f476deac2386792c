// SFTP version 3 as a client speaks it: files below one folder, which nothing leads out of, and packets that are no packets.
#include "kernel/path.h"
#include "monitor/sftp.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <QtEndian>
#include <QtTest/QtTest>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace lxmgr;
using monitor::SftpSession;

namespace
{

QByteArray number(quint32 value)
{
    QByteArray bytes(4, '\0');
    qToBigEndian(value, bytes.data());
    return bytes;
}
QByteArray big(quint64 value)
{
    QByteArray bytes(8, '\0');
    qToBigEndian(value, bytes.data());
    return bytes;
}
QByteArray text(const QByteArray &value) { return number(static_cast<quint32>(value.size())) + value; }
QByteArray packet(int type, const QByteArray &fields) { return number(static_cast<quint32>(fields.size() + 1)) + static_cast<char>(type) + fields; }
QByteArray noAttributes() { return number(0); }

enum : int { Init = 1, Open = 3, Close = 4, Read = 5, Write = 6, Lstat = 7, Setstat = 9, Opendir = 11, Readdir = 12, Remove = 13, Mkdir = 14, Rmdir = 15, Realpath = 16, Stat = 17, Rename = 18, Readlink = 19, Symlink = 20, StatusReply = 101, HandleReply = 102, DataReply = 103, NameReply = 104, AttrsReply = 105, Extended = 200 };
enum : quint32 { Ok = 0, End = 1, NoSuchFile = 2, Failure = 4, BadMessage = 5, Unsupported = 8 };
constexpr quint32 kRead = 1, kWrite = 2, kCreate = 8, kTruncate = 16, kNew = 32;

struct Answer {
    int type = 0;
    QByteArray fields; ///< Behind the request's number.
    quint32 code() const { return type == StatusReply ? qFromBigEndian<quint32>(fields.constData()) : 999; }
    QByteArray first() const { return fields.mid(4, static_cast<qsizetype>(qFromBigEndian<quint32>(fields.constData()))); }
};

} // namespace

class TestSftp : public QObject
{
    Q_OBJECT
private slots:
    void init();
    void filesAreWrittenAndRead();
    void foldersAreListedInPieces();
    void nothingLeadsOut();
    void namesAreMadeAbsolute();
    void renameReplacesNothingUnlessAsked();
    void specialFilesAreNotOpened();
    void handlesAreBounded();
    void cutOffRequestsDoNothing_data();
    void cutOffRequestsDoNothing();
    void whatIsNoSftpEndsTheSession_data();
    void whatIsNoSftpEndsTheSession();
    void readsAreBounded();
    void aConnectionIsServedUntilItsEnd();

private:
    QByteArray take(const QByteArray &bytes);
    Answer ask(int type, const QByteArray &fields);
    Answer open(const QByteArray &path, quint32 how) { return ask(Open, text(path) + number(how) + noAttributes()); }

    std::unique_ptr<QTemporaryDir> m_folder;
    Fd m_root;
    std::unique_ptr<SftpSession> m_session;
};

void TestSftp::init()
{
    m_session.reset();
    m_folder = std::make_unique<QTemporaryDir>();
    QVERIFY(QDir(m_folder->path()).mkdir("root"));
    QFile outside(m_folder->filePath("outside"));
    QVERIFY(outside.open(QIODevice::WriteOnly) && outside.write("secret") == 6);
    m_root = Fd(::open(qPrintable(m_folder->filePath("root")), O_PATH | O_DIRECTORY | O_CLOEXEC));
    QVERIFY(m_root);
    m_session = std::make_unique<SftpSession>(m_root);
    QCOMPARE(take(packet(Init, number(3))).mid(4, 5), static_cast<char>(2) + number(3));
}

/// The whole of the answers; "ended" where the session ends.
QByteArray TestSftp::take(const QByteArray &bytes)
{
    std::string output;
    const auto used = m_session->take({bytes.constData(), static_cast<std::size_t>(bytes.size())}, output);
    return used ? QByteArray::fromStdString(output) : QByteArray("ended");
}

Answer TestSftp::ask(int type, const QByteArray &fields)
{
    const QByteArray answer = take(packet(type, number(77) + fields));
    if (answer.size() < 9 || qFromBigEndian<quint32>(answer.constData() + 5) != 77)
        return {};
    return {static_cast<unsigned char>(answer[4]), answer.mid(9)};
}

void TestSftp::filesAreWrittenAndRead()
{
    if (::geteuid() != 0)
        QSKIP("needs root: new files are given to it");
    const Answer made = open("/file", kRead | kWrite | kCreate | kTruncate);
    QCOMPARE(made.type, int(HandleReply));
    QCOMPARE(ask(Write, text(made.first()) + big(3) + text("abc")).code(), Ok);
    QCOMPARE(ask(Read, text(made.first()) + big(0) + number(100)).first(), QByteArray("\0\0\0abc", 6));
    QCOMPARE(ask(Read, text(made.first()) + big(6) + number(100)).code(), End);
    QCOMPARE(ask(Close, text(made.first())).code(), Ok);
    QVERIFY(ask(Close, text(made.first())).code() == Failure);
    QCOMPARE(ask(Setstat, text("file") + number(4) + number(0100640)).code(), Ok);
    struct stat info {
    };
    QCOMPARE(::fstatat(m_root.get(), "file", &info, 0), 0);
    QCOMPARE(info.st_mode, mode_t(S_IFREG | 0640));
    QCOMPARE(open("file", kWrite | kCreate | kNew).code(), Failure);
    QCOMPARE(open("nothing", kRead).code(), NoSuchFile);
    QCOMPARE(ask(Remove, text("file")).code(), Ok);
    QCOMPARE(ask(Remove, text("file")).code(), NoSuchFile);
    QCOMPARE(ask(Mkdir, text("folder") + noAttributes()).code(), Ok);
    QCOMPARE(open("folder", kRead).type, int(HandleReply)); // clients ask so what it is
    QCOMPARE(ask(Remove, text("folder")).code(), Failure);
    QCOMPARE(ask(Rmdir, text("folder")).code(), Ok);
}

void TestSftp::foldersAreListedInPieces()
{
    for (int i = 0; i < 150; ++i)
        QVERIFY(QDir(m_folder->filePath("root")).mkdir(QString::number(i)));
    const Answer folder = ask(Opendir, text("/"));
    QCOMPARE(folder.type, int(HandleReply));
    quint32 seen = 0;
    for (;;) {
        const Answer piece = ask(Readdir, text(folder.first()));
        if (piece.code() == End)
            break;
        QCOMPARE(piece.type, int(NameReply));
        const quint32 count = qFromBigEndian<quint32>(piece.fields.constData());
        QVERIFY(count > 0 && count <= 64);
        seen += count;
    }
    QCOMPARE(seen, 150U);
}

void TestSftp::nothingLeadsOut()
{
    QCOMPARE(ask(Stat, text("/../outside")).code(), NoSuchFile);
    QCOMPARE(ask(Symlink, text("../outside") + text("up")).code(), Ok);
    QCOMPARE(ask(Symlink, text(m_folder->filePath("outside").toUtf8()) + text("absolute")).code(), Ok);
    QCOMPARE(ask(Symlink, text("/proc/self/root" + m_folder->filePath("outside").toUtf8()) + text("magic")).code(), Ok);
    for (const char *link : {"up", "absolute", "magic"}) {
        QCOMPARE(open(link, kRead).code(), NoSuchFile);
        QCOMPARE(ask(Stat, text(link)).code(), NoSuchFile);
        QCOMPARE(ask(Setstat, text(link) + number(4) + number(0777)).code(), NoSuchFile);
        QCOMPARE(ask(Lstat, text(link)).type, int(AttrsReply));
    }
    QCOMPARE(ask(Readlink, text("up")).type, int(NameReply));
    QCOMPARE(ask(Rename, text("/../outside") + text("mine")).code(), NoSuchFile);
    QFile outside(m_folder->filePath("outside"));
    QVERIFY(outside.open(QIODevice::ReadOnly));
    QCOMPARE(outside.readAll(), QByteArray("secret"));
    QCOMPARE(ask(Stat, text(QByteArray("a\0b", 3))).code(), Failure);
    QCOMPARE(ask(Stat, text(QByteArray(5000, 'x'))).code(), Failure);
}

void TestSftp::namesAreMadeAbsolute()
{
    const auto whole = [&](const QByteArray &path) {
        const Answer answer = ask(Realpath, text(path));
        return answer.type == NameReply ? answer.fields.mid(8, static_cast<qsizetype>(qFromBigEndian<quint32>(answer.fields.constData() + 4))) : QByteArray("?");
    };
    QCOMPARE(whole(""), QByteArray("/"));
    QCOMPARE(whole("."), QByteArray("/"));
    QCOMPARE(whole("../../a/./b//c/.."), QByteArray("/a/b"));
}

void TestSftp::renameReplacesNothingUnlessAsked()
{
    QVERIFY(QDir(m_folder->filePath("root")).mkdir("a"));
    QVERIFY(QDir(m_folder->filePath("root")).mkdir("b"));
    QCOMPARE(ask(Rename, text("a") + text("b")).code(), Failure);
    QCOMPARE(ask(Extended, text("posix-rename@openssh.com") + text("a") + text("b")).code(), Ok);
    QCOMPARE(ask(Extended, text("nothing@openssh.com")).code(), Unsupported);
}

void TestSftp::specialFilesAreNotOpened()
{
    QCOMPARE(::mkfifoat(m_root.get(), "fifo", 0600), 0);
    QCOMPARE(open("fifo", kRead).code(), Failure);
    QCOMPARE(open("fifo", kWrite | kCreate).code(), Failure);
    QCOMPARE(ask(Setstat, text("fifo") + number(4) + number(0777)).code(), Failure);
}

void TestSftp::handlesAreBounded()
{
    for (std::size_t i = 0; i < SftpSession::kMostHandles; ++i)
        QCOMPARE(ask(Opendir, text("/")).type, int(HandleReply));
    QCOMPARE(ask(Opendir, text("/")).code(), Failure);
    QCOMPARE(open("/", kRead).code(), Failure);
}

void TestSftp::cutOffRequestsDoNothing_data()
{
    QTest::addColumn<int>("type");
    QTest::addColumn<QByteArray>("fields");
    QTest::newRow("open") << int(Open) << text("new") + number(kWrite | kCreate);
    QTest::newRow("mkdir") << int(Mkdir) << text("new");
    QTest::newRow("symlink") << int(Symlink) << text("new");
    QTest::newRow("a longer text than there is") << int(Stat) << number(0xffffffff) + "x";
    QTest::newRow("nothing") << int(Rename) << QByteArray();
    QTest::newRow("extended") << int(Extended) << text("hardlink@openssh.com") + text("a") + number(9);
}

void TestSftp::cutOffRequestsDoNothing()
{
    QFETCH(int, type);
    QFETCH(QByteArray, fields);
    QCOMPARE(ask(type, fields).code(), BadMessage);
    QVERIFY(QDir(m_folder->filePath("root")).isEmpty());
}

void TestSftp::whatIsNoSftpEndsTheSession_data()
{
    QTest::addColumn<QByteArray>("bytes");
    QTest::newRow("an empty packet") << number(0);
    QTest::newRow("a packet too long") << number(256 * 1024 + 1);
    QTest::newRow("the longest length") << number(0xffffffff);
    QTest::newRow("no number") << packet(Stat, "ab");
}

void TestSftp::whatIsNoSftpEndsTheSession()
{
    QFETCH(QByteArray, bytes);
    QCOMPARE(take(bytes), QByteArray("ended"));
    m_session = std::make_unique<SftpSession>(m_root);
    QCOMPARE(take(packet(Stat, number(1) + text("/"))), QByteArray("ended")); // before it has said what it speaks
    m_session = std::make_unique<SftpSession>(m_root);
    QCOMPARE(take(packet(Init, number(2))), QByteArray("ended"));
}

void TestSftp::readsAreBounded()
{
    QFile large(m_folder->filePath("root/large"));
    QVERIFY(large.open(QIODevice::WriteOnly) && large.resize(2 << 20));
    const Answer opened = open("large", kRead);
    QCOMPARE(opened.type, int(HandleReply));
    QCOMPARE(ask(Read, text(opened.first()) + big(0) + number(0xffffffff)).first().size(), qsizetype(SftpSession::kMostRead));
    QCOMPARE(ask(Read, text(opened.first()) + big(~0ULL) + number(1)).code(), Failure);
    // Answers are not heaped up: what is left of the requests waits.
    QByteArray many;
    for (int i = 0; i < 100; ++i)
        many += packet(Read, number(1) + text(opened.first()) + big(0) + number(0xffffffff));
    std::string output;
    const auto used = m_session->take({many.constData(), static_cast<std::size_t>(many.size())}, output);
    QVERIFY(used && *used < static_cast<std::size_t>(many.size()));
    QVERIFY(output.size() < (1U << 20));
}

void TestSftp::aConnectionIsServedUntilItsEnd()
{
    int ends[2] = {-1, -1}, daemon[2] = {-1, -1};
    QCOMPARE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    QCOMPARE(::pipe2(daemon, O_CLOEXEC), 0);
    Fd ours(ends[0]), theirs(ends[1]), reading(daemon[0]), writing(daemon[1]);
    const QByteArray hello = packet(Init, number(3));
    Status ended = Error(Code::Internal, "it has not ended");
    std::thread server([&] { ended = monitor::serveSftp(m_root, theirs, hello.left(3).toStdString(), {reading.get(), -1}); });
    QCOMPARE(::write(ours.get(), hello.constData() + 3, static_cast<std::size_t>(hello.size() - 3)), ssize_t(hello.size() - 3));
    char byte = 0;
    QCOMPARE(::read(ours.get(), &byte, 1), ssize_t(1)); // the beginning of its answer
    writing.reset(); // as when the daemon goes
    server.join();
    QVERIFY(ended);
}

QTEST_GUILESS_MAIN(TestSftp)
#include "tst_sftp.moc"

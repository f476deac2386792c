// Messages with descriptors over a socket, small and large, and what the end of a stream looks like.
#include "spec/channel.h"
#include "support/verify.h"

#include <QTemporaryDir>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

using namespace lxmgr;
using namespace lxmgr::spec;

class tst_channel : public QObject
{
    Q_OBJECT
private slots:
    void bodiesOfAnySizeComeWhole_data()
    {
        QTest::addColumn<int>("size");
        for (const int size : {0, 1, 32768, 32769, 5'000'000})
            QTest::addRow("%d bytes", size) << size;
    }

    void bodiesOfAnySizeComeWhole()
    {
        QFETCH(int, size);
        auto pair = Channel::pair();
        VERIFY_OK(pair);
        std::string body(static_cast<std::size_t>(size), 'x');
        if (size > 0)
            body.back() = 'y';
        VERIFY_OK(pair->first.send(MessageType::ConsoleLogReply, body));
        auto packet = pair->second.receive();
        VERIFY_OK(packet);
        QVERIFY(packet->has_value());
        QVERIFY((*packet)->type == MessageType::ConsoleLogReply);
        QVERIFY((*packet)->body == body);
        QVERIFY((*packet)->fds.empty());
    }

    void descriptorsComeCloseOnExec()
    {
        auto pair = Channel::pair();
        VERIFY_OK(pair);
        VERIFY_OK(pair->first.send(MessageType::Exec, std::string(100'000, 'z'), {0, 1, 2}));
        auto packet = pair->second.receive();
        VERIFY_OK(packet);
        QCOMPARE((*packet)->fds.size(), std::size_t(3));
        for (const Fd &fd : (*packet)->fds)
            QVERIFY(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
    }

    void endOfStreamIsNoError()
    {
        auto pair = Channel::pair();
        VERIFY_OK(pair);
        pair->first = Channel();
        const auto packet = pair->second.receive();
        VERIFY_OK(packet);
        QVERIFY(!packet->has_value());
        VERIFY_FAILS(Code::Unavailable, pair->second.send(MessageType::Info));
    }

    void nothingYetOnANonBlockingSocket()
    {
        auto pair = Channel::pair();
        VERIFY_OK(pair);
        QCOMPARE(::fcntl(pair->second.fd(), F_SETFL, O_NONBLOCK), 0);
        const auto packet = pair->second.receive();
        VERIFY_FAILS(Code::Unavailable, packet);
        QCOMPARE(packet.error().errnum, EAGAIN);
    }

    void neitherSideWaitsBeyondTheDeadline()
    {
        auto pair = Channel::pair();
        VERIFY_OK(pair);
        pair->first.setDeadline(std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
        VERIFY_OK(pair->first.send(MessageType::Info));
        VERIFY_FAILS(Code::Timeout, pair->first.receive());
        Status sent;
        while (sent) // until the peer, which reads nothing, has no room
            sent = pair->first.send(MessageType::Info, std::string(16'000, 'x'));
        VERIFY_FAILS(Code::Timeout, sent);
        // What is there already is given out even late.
        VERIFY_OK(pair->second.send(MessageType::Done));
        const auto late = pair->first.receive();
        VERIFY_OK(late);
        QVERIFY((*late)->type == MessageType::Done);
    }

    void strangersAreCorrupt()
    {
        auto pair = Channel::pair();
        VERIFY_OK(pair);
        QCOMPARE(::send(pair->first.fd(), "GET / HTTP/1.1\r\n\r\n", 18, 0), ssize_t(18));
        VERIFY_FAILS(Code::Corrupt, pair->second.receive());
    }

    void socketsOfLongPathsArePrivate()
    {
        QTemporaryDir dir;
        const std::string folder = dir.path().toStdString() + "/" + std::string(120, 'd');
        QCOMPARE(::mkdir(folder.c_str(), 0700), 0);
        const std::string path = folder + "/monitor.sock";
        VERIFY_FAILS(Code::Unavailable, Channel::connect(path));
        const auto listener = Channel::listen(path);
        VERIFY_OK(listener);
        struct stat info {
        };
        QCOMPARE(::stat(path.c_str(), &info), 0);
        QCOMPARE(info.st_mode & 07777U, 0600U);
        VERIFY_OK(Channel::connect(path));
        VERIFY_OK(Channel::listen(path)); // a leftover is replaced
    }
};

QTEST_APPLESS_MAIN(tst_channel)
#include "tst_channel.moc"

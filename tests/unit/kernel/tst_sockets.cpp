// Places to listen on: what is taken is told with who has it, and what was left behind is replaced.
#include "kernel/sockets.h"
#include "support/verify.h"

#include <QFile>
#include <QTemporaryDir>
#include <netinet/in.h>
#include <sys/stat.h>

using namespace lxmgr;
using namespace lxmgr::sockets;

namespace
{

// As /proc/net/tcp and tcp6 print them on a little-endian machine: 127.0.0.1:80 listens, 10.0.0.1:80 is a connection, 0.0.0.0:22
// and [::1]:8080 listen.
constexpr const char *kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1111 1 x\n"
    "   1: 0100000A:0050 0200000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2222 1 x\n"
    "   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3333 1 x\n"
    "   3: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4444 1 x\n";

} // namespace

class tst_sockets : public QObject
{
    Q_OBJECT
private slots:
    void tablesAreUnderstood()
    {
        using Kind = Place::Kind;
        QCOMPARE(socketIn(kTable, {Kind::Tcp, "127.0.0.1", 80}), std::string("1111"));
        QCOMPARE(socketIn(kTable, {Kind::Tcp, "0.0.0.0", 80}), std::string("1111"));
        QCOMPARE(socketIn(kTable, {Kind::Tcp, "10.0.0.1", 80}), std::string());
        QCOMPARE(socketIn(kTable, {Kind::Tcp, "10.0.0.1", 22}), std::string("3333"));
        QCOMPARE(socketIn(kTable, {Kind::Tcp, "::1", 8080}), std::string("4444"));
        QCOMPARE(socketIn(kTable, {Kind::Tcp, "::2", 8080}), std::string());
        QCOMPARE(socketIn(kTable, {Kind::Udp, "10.0.0.1", 80}), std::string("2222")); // of UDP all count
        QCOMPARE(socketIn("junk\n: :\n", {Kind::Tcp, "::2", 8080}), std::string());
    }

    void placesAreWritten()
    {
        QCOMPARE((Place{Place::Kind::Tcp, "::1", 80}.text()), std::string("tcp [::1]:80"));
        QCOMPARE((Place{Place::Kind::Udp, "1.2.3.4", 80}.text()), std::string("udp 1.2.3.4:80"));
        QCOMPARE((Place{Place::Kind::Unix, "@x", 0}.text()), std::string("unix '@x'"));
    }

    void whoHasAPlaceIsNamed_data()
    {
        QTest::addColumn<int>("kind");
        QTest::addColumn<QString>("address");
        QTest::newRow("tcp") << int(Place::Kind::Tcp) << "127.0.0.1";
        QTest::newRow("udp") << int(Place::Kind::Udp) << "127.0.0.1";
        QTest::newRow("abstract") << int(Place::Kind::Unix) << "@lxmgr-tst-sockets";
        QTest::newRow("file") << int(Place::Kind::Unix) << "file";
    }
    void whoHasAPlaceIsNamed()
    {
        QFETCH(int, kind);
        QFETCH(QString, address);
        const QTemporaryDir dir;
        Place place{static_cast<Place::Kind>(kind), address.toStdString(), 0};
        if (address == "file")
            place.address = dir.filePath("s").toStdString();
        const auto first = listen(place, {});
        VERIFY_OK(first);
        if (place.kind != Place::Kind::Unix) {
            sockaddr_in bound{};
            socklen_t length = sizeof bound;
            QCOMPARE(::getsockname(first->get(), reinterpret_cast<sockaddr *>(&bound), &length), 0);
            place.port = ntohs(bound.sin_port);
        }
        const auto second = listen(place, {});
        VERIFY_FAILS(Code::AlreadyExists, second);
        QCOMPARE(QString::fromStdString(second.error().message),
                 QString::fromStdString(place.text()) + " is taken by tst_sockets (process " + QString::number(::getpid()) + ")");
    }

    void whatADeadOneLeftIsReplaced()
    {
        const QTemporaryDir dir;
        const Place place{Place::Kind::Unix, dir.filePath("s").toStdString(), 0};
        VERIFY_OK(listen(place, {}));
        struct stat info {
        };
        QCOMPARE(::stat(place.address.c_str(), &info), 0);
        ListenOptions options;
        options.mode = 0600;
        const auto again = listen(place, options);
        VERIFY_OK(again);
        QCOMPARE(::stat(place.address.c_str(), &info), 0);
        QCOMPARE(info.st_mode & 07777U, 0600U);
        // What is no socket is nobody's to remove.
        QFile other(dir.filePath("file"));
        QVERIFY(other.open(QIODevice::WriteOnly));
        VERIFY_FAILS(Code::AlreadyExists, listen({Place::Kind::Unix, dir.filePath("file").toStdString(), 0}, {}));
        QVERIFY(other.exists());
    }
};

QTEST_APPLESS_MAIN(tst_sockets)
#include "tst_sockets.moc"

// What a relay promises: nothing grows without bound, each direction ends by itself, datagrams find their peer.
#include "kernel/sockets.h"
#include "monitor/relay.h"
#include "support/verify.h"

#include <QTemporaryDir>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>

using namespace lxmgr;
using monitor::Relay;
using sockets::Place;

namespace
{

/// A relay that runs on a thread of its own until it goes out of scope.
class Running
{
public:
    Running(const Place &from, const Place &to, Relay::Limits limits, bool proxyProtocol = false)
    {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
            return;
        m_control = Fd(ends[0]);
        m_other = Fd(ends[1]);
        Relay::Plan plan;
        plan.title = "test";
        plan.listen = from.kind;
        plan.proxyProtocol = proxyProtocol;
        plan.limits = limits;
        auto listener = sockets::listen(from, {});
        if (!listener)
            return;
        sockaddr_in bound{};
        socklen_t length = sizeof bound;
        ::getsockname(listener->get(), reinterpret_cast<sockaddr *>(&bound), &length);
        port = ntohs(bound.sin_port);
        plan.routes.push_back({std::move(*listener), to});
        auto relay = Relay::create(m_other.get(), std::move(plan));
        if (!relay)
            return;
        m_relay = std::move(*relay);
        m_thread = std::thread([this] { (void)m_relay->run(); });
        isRunning = true;
    }
    ~Running()
    {
        m_control.reset();
        if (m_thread.joinable())
            m_thread.join();
    }
    bool isRunning = false;
    std::uint16_t port = 0;

private:
    Fd m_control, m_other;
    std::unique_ptr<Relay> m_relay;
    std::thread m_thread;
};

bool isReady(int fd, int timeoutMs = 5000)
{
    pollfd poller{fd, POLLIN, 0};
    return ::poll(&poller, 1, timeoutMs) == 1;
}

QByteArray hear(int fd)
{
    char text[100];
    const ssize_t length = isReady(fd) ? ::recv(fd, text, sizeof text, 0) : -1;
    return length < 0 ? QByteArray("nothing") : QByteArray(text, length);
}

Fd accepted(const Fd &listener) { return isReady(listener.get()) ? Fd(::accept(listener.get(), nullptr, nullptr)) : Fd(); }

void say(const Fd &fd, const char *text) { QCOMPARE(::send(fd.get(), text, std::strlen(text), MSG_NOSIGNAL), ssize_t(std::strlen(text))); }

} // namespace

class tst_relay : public QObject
{
    Q_OBJECT
private:
    QTemporaryDir m_dir;
    Place file(const char *name) const { return {Place::Kind::Unix, m_dir.path().toStdString() + "/" + name, 0}; }
    Fd client(const Place &place)
    {
        const auto address = sockets::addressOf(place);
        auto fd = address ? sockets::connect(place.kind, *address) : Result<Fd>(address.error());
        return fd ? std::move(*fd) : Fd();
    }

private slots:
    void eachDirectionEndsByItself()
    {
        const auto server = sockets::listen(file("server"), {});
        VERIFY_OK(server);
        Running relay(file("front"), file("server"), {});
        QVERIFY(relay.isRunning);
        const Fd one = client(file("front"));
        const Fd other = accepted(*server);
        QVERIFY(other);
        say(one, "question");
        QCOMPARE(hear(other.get()), "question");
        QCOMPARE(::shutdown(one.get(), SHUT_WR), 0);
        QCOMPARE(hear(other.get()), ""); // its end
        say(other, "answer");
        QCOMPARE(hear(one.get()), "answer");
        QCOMPARE(::shutdown(other.get(), SHUT_WR), 0);
        QCOMPARE(hear(one.get()), "");
    }

    void aSlowReaderHoldsTheWriterUp()
    {
        const auto server = sockets::listen(file("slow"), {});
        VERIFY_OK(server);
        Running relay(file("slow-front"), file("slow"), {});
        const Fd one = client(file("slow-front"));
        const Fd other = accepted(*server);
        QVERIFY(other);
        const std::string block(65536, 'x');
        std::size_t sent = 0, heard = 0;
        pollfd room{one.get(), POLLOUT, 0};
        while (::poll(&room, 1, 500) == 1) { // until nobody has room
            const ssize_t length = ::send(one.get(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            sent += length > 0 ? static_cast<std::size_t>(length) : 0;
            QVERIFY2(sent < 64U << 20, "it takes all there is");
        }
        QCOMPARE(::shutdown(one.get(), SHUT_WR), 0);
        std::string part(65536, '\0');
        for (ssize_t length; isReady(other.get()) && (length = ::recv(other.get(), part.data(), part.size(), 0)) > 0;)
            heard += static_cast<std::size_t>(length);
        QCOMPARE(heard, sent);
    }

    void thoseBeyondTheBoundWait()
    {
        const auto server = sockets::listen(file("bound"), {});
        VERIFY_OK(server);
        Relay::Limits limits;
        limits.connections = 2;
        Running relay(file("bound-front"), file("bound"), limits);
        Fd first = client(file("bound-front"));
        const Fd second = client(file("bound-front")), third = client(file("bound-front"));
        say(third, "late");
        Fd one = accepted(*server);
        const Fd two = accepted(*server);
        QVERIFY(one && two);
        QVERIFY(!isReady(server->get(), 200));
        first.reset();
        one.reset();
        const Fd three = accepted(*server);
        QVERIFY(three);
        QCOMPARE(hear(three.get()), "late");
    }

    void nobodyBehindEndsTheClient()
    {
        Running relay(file("none-front"), file("none"), {});
        const Fd one = client(file("none-front"));
        QCOMPARE(hear(one.get()), "");
    }

    void theFirstLineComesFirst()
    {
        const auto server = sockets::listen(file("line"), {});
        VERIFY_OK(server);
        Running relay(file("line-front"), file("line"), {}, true);
        const Fd one = client(file("line-front"));
        const Fd other = accepted(*server);
        QCOMPARE(hear(other.get()), "PROXY UNKNOWN\r\n");
    }

    void datagramsFindTheirPeer()
    {
        const auto server = sockets::listen({Place::Kind::Udp, "127.0.0.1", 0}, {});
        VERIFY_OK(server);
        sockaddr_in at{};
        socklen_t length = sizeof at;
        QCOMPARE(::getsockname(server->get(), reinterpret_cast<sockaddr *>(&at), &length), 0);
        Relay::Limits limits;
        limits.sessions = 2;
        limits.silence = std::chrono::milliseconds(1000);
        Running relay({Place::Kind::Udp, "127.0.0.1", 0}, {Place::Kind::Udp, "127.0.0.1", ntohs(at.sin_port)}, limits);
        QVERIFY(relay.isRunning);
        const Place front{Place::Kind::Udp, "127.0.0.1", relay.port};
        const Fd clients[] = {client(front), client(front), client(front)};
        const auto receive = [&](sockaddr_in &from) {
            char text[100];
            socklen_t size = sizeof from;
            const ssize_t got = isReady(server->get()) ? ::recvfrom(server->get(), text, sizeof text, 0, reinterpret_cast<sockaddr *>(&from), &size) : -1;
            return got < 0 ? QByteArray("nothing") : QByteArray(text, got);
        };
        sockaddr_in from[5];
        for (int i = 0; i < 3; ++i) {
            say(clients[i], QByteArray::number(i).constData());
            QCOMPARE(receive(from[i]), QByteArray::number(i));
        }
        QVERIFY(from[0].sin_port != from[1].sin_port);
        // The third took the place of the first, which was silent for longest.
        for (int i = 1; i < 3; ++i) {
            QCOMPARE(::sendto(server->get(), "back", 4, 0, reinterpret_cast<sockaddr *>(&from[i]), sizeof from[i]), ssize_t(4));
            QCOMPARE(hear(clients[i].get()), "back");
        }
        (void)::sendto(server->get(), "back", 4, 0, reinterpret_cast<sockaddr *>(&from[0]), sizeof from[0]);
        QVERIFY(!isReady(clients[0].get(), 200));
        // Silence ends the others: who comes back is a new one.
        QTRY_VERIFY_WITH_TIMEOUT([&] {
            Fd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            return ::bind(probe.get(), reinterpret_cast<sockaddr *>(&from[2]), sizeof from[2]) == 0; // its socket is free again
        }(), 5000);
        say(clients[2], "again");
        QCOMPARE(receive(from[3]), "again");
        QCOMPARE(::sendto(server->get(), "back", 4, 0, reinterpret_cast<sockaddr *>(&from[3]), sizeof from[3]), ssize_t(4));
        QCOMPARE(hear(clients[2].get()), "back");
    }

    void streamsAndDatagramsMix()
    {
        const auto server = sockets::listen(file("mixed"), {});
        VERIFY_OK(server);
        Running relay({Place::Kind::Udp, "127.0.0.1", 0}, file("mixed"), {});
        const Fd one = client({Place::Kind::Udp, "127.0.0.1", relay.port});
        say(one, "question");
        const Fd other = accepted(*server);
        QCOMPARE(hear(other.get()), "question");
        say(other, "answer");
        QCOMPARE(hear(one.get()), "answer");
    }
};

QTEST_APPLESS_MAIN(tst_relay)
#include "tst_relay.moc"

#include "tunnel/gate.h"

#include "base/log.h"

#include <QCoreApplication>
#include <QHostAddress>
#include <QSslCertificate>
#include <QSslKey>
#include <QTcpServer>
#include <QTimer>

#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::tunnel
{

namespace
{
using namespace std::chrono_literals;

constexpr auto kHandshakeTime = 10s;
constexpr std::size_t kMostVisitors = 64; // who have not shaken hands
constexpr std::size_t kMostPerAddress = 16; // of them
constexpr std::size_t kMostPipes = 1024;

std::string text(const QHostAddress &address, quint16 port)
{
    bool mapped = false;
    const quint32 v4 = address.toIPv4Address(&mapped);
    const std::string host = (mapped ? QHostAddress(v4) : address).toString().toStdString();
    return (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + std::to_string(port);
}
} // namespace

class Gate::Listener : public QTcpServer
{
public:
    explicit Listener(Gate &gate) : m_gate(gate)
    {
        // Without a descriptor left accept(2) fails for as long as that lasts, and the loop would spin.
        QObject::connect(this, &QTcpServer::acceptError, this, [this] {
            pauseAccepting();
            QTimer::singleShot(1s, this, [this] { resumeAccepting(); });
        });
    }

protected:
    void incomingConnection(qintptr socket) override { m_gate.arrived(socket); }

private:
    Gate &m_gate;
};

struct Gate::Visitor {
    std::unique_ptr<QSslSocket> socket;
    QHostAddress address;
    QObject life; ///< What the timer is for: the socket lives on when the handshake is done, and another visitor may get this address.
};

Gate::Gate(Control &control) : m_control(control) {}
Gate::~Gate() = default;

Result<std::unique_ptr<Gate>> Gate::open(Control &control, const std::string &certificate, const std::string &key, std::vector<Fd> listeners)
{
    std::unique_ptr<Gate> gate(new Gate(control));
    QSslConfiguration &configuration = gate->m_configuration;
    configuration = QSslConfiguration::defaultConfiguration();
    configuration.setProtocol(QSsl::TlsV1_3OrLater);
    configuration.setCaCertificates({});
    configuration.setPeerVerifyMode(QSslSocket::QueryPeer); // asked for, not demanded; the daemon looks at it
    configuration.setSslOption(QSsl::SslOptionDisableSessionTickets, true); // a resumed session would show no certificate
    configuration.setSslOption(QSsl::SslOptionDisableSessionPersistence, true);
    configuration.setAllowedNextProtocols({"http/1.1"});
    const QByteArray keyText = QByteArray::fromStdString(key);
    QSslKey privateKey(keyText, QSsl::Ec);
    if (privateKey.isNull())
        privateKey = QSslKey(keyText, QSsl::Rsa);
    configuration.setLocalCertificate(QSslCertificate(QByteArray::fromStdString(certificate)));
    configuration.setPrivateKey(privateKey);
    if (privateKey.isNull() || configuration.localCertificate().isNull())
        return Error(Code::Corrupt, "the server's certificate and its key cannot be read");
    for (Fd &fd : listeners) {
        auto listener = std::make_unique<Listener>(*gate);
        if (!listener->setSocketDescriptor(fd.get()))
            return Error(Code::Internal, "take over a listening socket: " + listener->errorString().toStdString());
        (void)fd.release(); // the listener's now
        gate->m_listeners.push_back(std::move(listener));
    }
    return gate;
}

void Gate::retire()
{
    m_retired = true;
    m_listeners.clear();
    if (m_visitors.empty() && m_pipes.empty())
        QCoreApplication::quit();
}

void Gate::arrived(qintptr descriptor)
{
    auto visitor = std::make_unique<Visitor>();
    Visitor *const key = visitor.get();
    visitor->socket = std::make_unique<QSslSocket>();
    QSslSocket *const socket = visitor->socket.get();
    if (!socket->setSocketDescriptor(descriptor)) {
        ::close(static_cast<int>(descriptor));
        return;
    }
    visitor->address = socket->peerAddress();
    std::size_t ofAddress = 0;
    for (const auto &[other, value] : m_visitors)
        ofAddress += other->address == visitor->address;
    if (m_visitors.size() >= kMostVisitors || ofAddress >= kMostPerAddress || m_pipes.size() >= kMostPipes)
        return socket->abort();
    socket->setSocketOption(QAbstractSocket::LowDelayOption, 1);
    socket->setSocketOption(QAbstractSocket::KeepAliveOption, 1);
    socket->setSslConfiguration(m_configuration);
    m_visitors.emplace(key, std::move(visitor));
    QObject::connect(socket, &QSslSocket::encrypted, socket, [this, key] { shaken(key); });
    QObject::connect(socket, &QAbstractSocket::disconnected, socket, [this, key] { drop(key); });
    QObject::connect(socket, &QAbstractSocket::errorOccurred, socket, [this, key] { drop(key); });
    QTimer::singleShot(kHandshakeTime, &key->life, [this, key] { drop(key); });
    socket->startServerEncryption();
}

void Gate::drop(Visitor *visitor)
{
    const auto found = m_visitors.find(visitor);
    if (found == m_visitors.end())
        return;
    found->second->socket->disconnect();
    found->second->socket.release()->deleteLater(); // we may be in one of its signals
    m_visitors.erase(found);
    if (m_retired && m_visitors.empty() && m_pipes.empty())
        QCoreApplication::quit();
}

void Gate::shaken(Visitor *visitor)
{
    const auto found = m_visitors.find(visitor);
    if (found == m_visitors.end())
        return;
    std::unique_ptr<QSslSocket> socket = std::move(found->second->socket);
    m_visitors.erase(found);
    socket->disconnect();
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        log::warning(std::string("a client is turned away: socketpair: ") + std::strerror(errno));
        socket.release()->deleteLater();
        return;
    }
    Fd near(ends[0]);
    const Fd far(ends[1]);
    m_control.reply({{}, {}, socket->peerCertificate().toPem().toStdString(), {}, text(socket->peerAddress(), socket->peerPort())}, far.get());
    auto key = std::make_shared<Pipe *>(nullptr);
    auto pipe = std::make_unique<Pipe>(std::move(socket), std::move(near), [this, key] { pipeEnded(*key); });
    *key = pipe.get();
    m_pipes.emplace(*key, std::move(pipe));
}

void Gate::pipeEnded(Pipe *pipe)
{
    m_pipes.erase(pipe);
    if (m_retired && m_visitors.empty() && m_pipes.empty())
        QCoreApplication::quit();
}

} // namespace lxmgr::tunnel

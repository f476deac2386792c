#include "tunnel/dial.h"

#include "base/text.h"
#include "tls/certificate.h"
#include "tunnel/pipe.h"

#include <QSslCertificate>
#include <QSslConfiguration>
#include <QSslKey>
#include <QTimer>

#include <chrono>
#include <unistd.h>

namespace lxmgr::tunnel
{

namespace
{
using namespace std::chrono_literals;

constexpr auto kHandshakeTime = 10s;

std::string placeOf(const api::TunnelRequest &request)
{
    const bool bare = request.host.find(':') != std::string::npos;
    return (bare ? "[" + request.host + "]" : request.host) + ":" + std::to_string(request.port);
}

std::string fingerprintText(const QSslCertificate &certificate)
{
    return certificate.isNull() ? "no certificate" : certificate.digest(QCryptographicHash::Sha256).toHex().toStdString();
}

/// A handshake under way; it deletes itself.
class Dialling
{
public:
    using Done = std::function<void(Result<std::unique_ptr<QSslSocket>>)>;

    /// `believe`: whether the certificate is looked at.
    static void start(const api::TunnelRequest &request, const QSslConfiguration &configuration, const QSslCertificate &expected, bool believe, Done done)
    {
        new Dialling(request, configuration, expected, believe, std::move(done));
    }

private:
    Dialling(const api::TunnelRequest &request, const QSslConfiguration &configuration, const QSslCertificate &expected, bool believe, Done done)
        : m_place(placeOf(request)), m_expected(expected), m_believe(believe), m_done(std::move(done)), m_tls(new QSslSocket)
    {
        m_tls->setSslConfiguration(configuration);
        QObject::connect(m_tls.get(), &QSslSocket::sslErrors, m_tls.get(), [this](const QList<QSslError> &errors) {
            if (!m_believe || (!m_expected.isNull() && m_tls->peerCertificate() == m_expected))
                m_tls->ignoreSslErrors(); // it is exactly the one that was agreed on: who signed it does not matter
            else if (!errors.isEmpty())
                m_doubt = errors.front().errorString().toStdString();
        });
        QObject::connect(m_tls.get(), &QSslSocket::encrypted, m_tls.get(), [this] { shaken(); });
        QObject::connect(m_tls.get(), &QAbstractSocket::errorOccurred, m_tls.get(), [this] { failed(); });
        const auto patience = request.timeout > 0 ? std::chrono::milliseconds(request.timeout) : std::chrono::milliseconds(kHandshakeTime);
        QTimer::singleShot(patience, &m_life, [this, patience] {
            end(Error(Code::Unavailable, m_place + " did not answer within " + std::to_string((patience.count() + 999) / 1000) + " seconds"));
        });
        m_tls->connectToHostEncrypted(QString::fromStdString(request.host), static_cast<quint16>(request.port));
    }

    void shaken()
    {
        if (m_believe && !m_expected.isNull() && m_tls->peerCertificate() != m_expected)
            return end(otherCertificate());
        end(std::move(m_tls));
    }

    void failed()
    {
        const QSslCertificate shown = m_tls->peerCertificate();
        if (m_believe && !m_expected.isNull() && !shown.isNull() && shown != m_expected)
            return end(otherCertificate());
        if (!m_doubt.empty())
            return end(Error(Code::Forbidden, "the certificate of " + m_place + " is not vouched for: " + m_doubt + " (its fingerprint is " +
                                                  fingerprintText(shown) + ")"));
        end(Error(Code::Unavailable, "cannot reach " + m_place + ": " + m_tls->errorString().toStdString()));
    }

    Error otherCertificate() const
    {
        return {Code::Forbidden, "the certificate of " + m_place + " is another than the one agreed on: " + fingerprintText(m_tls->peerCertificate()) +
                                     " instead of " + fingerprintText(m_expected) + " (if the server was set up anew, remove the remote and add it again)"};
    }

    void end(Result<std::unique_ptr<QSslSocket>> result)
    {
        if (std::exchange(m_ended, true))
            return;
        if (m_tls) {
            m_tls->disconnect();
            m_tls.release()->deleteLater();
        } else if (result) {
            (*result)->disconnect();
        }
        m_done(std::move(result));
        delete this;
    }

    std::string m_place;
    QSslCertificate m_expected;
    bool m_believe;
    Done m_done;
    std::unique_ptr<QSslSocket> m_tls;
    QObject m_life; ///< What the timer is for: the socket lives on when the handshake is done.
    std::string m_doubt;
    bool m_ended = false;
};

Result<QSslConfiguration> configurationFor(const api::TunnelRequest &request)
{
    QSslConfiguration configuration = QSslConfiguration::defaultConfiguration();
    configuration.setProtocol(request.oldTls ? QSsl::TlsV1_2OrLater : QSsl::TlsV1_3OrLater);
    if (request.certificate.empty())
        configuration.setCaCertificates(authorities());
    configuration.setAllowedNextProtocols({"http/1.1"});
    if (!request.folder.empty()) {
        const tls::Identity identity = TRY(ownIdentity(request.folder));
        configuration.setLocalCertificate(QSslCertificate(QByteArray::fromStdString(identity.certificate)));
        configuration.setPrivateKey(QSslKey(QByteArray::fromStdString(identity.key), QSsl::Ec));
        if (configuration.privateKey().isNull())
            configuration.setPrivateKey(QSslKey(QByteArray::fromStdString(identity.key), QSsl::Rsa));
        if (configuration.localCertificate().isNull() || configuration.privateKey().isNull())
            return Error(Code::Corrupt, request.folder + "/client.crt and client.key are no certificate with its key (take them away: new ones are made)");
    }
    return configuration;
}

} // namespace

const QList<QSslCertificate> &authorities()
{
    static const QList<QSslCertificate> all = [] {
        const QString named = qEnvironmentVariable("SSL_CERT_FILE");
        return named.isEmpty() ? QSslConfiguration::defaultConfiguration().caCertificates() : QSslCertificate::fromPath(named);
    }();
    return all;
}

Dialler::Dialler() = default;
Dialler::~Dialler() = default;

void Dialler::dial(const api::TunnelRequest &request, Fd plain, std::function<void(Status)> done)
{
    Result<QSslConfiguration> configuration = configurationFor(request);
    if (!configuration)
        return done(std::move(configuration.error()));
    QSslCertificate expected;
    if (!request.certificate.empty()) {
        expected = QSslCertificate(QByteArray::fromStdString(request.certificate));
        if (expected.isNull())
            return done(Error(Code::Corrupt, "what is kept as the certificate of " + placeOf(request) + " is none"));
        configuration->setCaCertificates({expected});
    }
    auto near = std::make_shared<Fd>(std::move(plain)); // std::function copies
    Dialling::start(request, *configuration, expected, true, [this, near, done = std::move(done)](Result<std::unique_ptr<QSslSocket>> socket) {
        if (!socket)
            return done(std::move(socket.error()));
        done({});
        auto key = std::make_shared<Pipe *>(nullptr);
        auto pipe = std::make_unique<Pipe>(std::move(*socket), std::move(*near), [this, key] { m_pipes.erase(*key); });
        *key = pipe.get();
        m_pipes.emplace(*key, std::move(pipe));
    });
}

void askCertificate(const api::TunnelRequest &request, std::function<void(Result<std::string>)> done)
{
    Result<QSslConfiguration> configuration = configurationFor(request);
    if (!configuration)
        return done(std::move(configuration.error()));
    configuration->setCaCertificates({}); // it is not to be judged here
    Dialling::start(request, *configuration, QSslCertificate(), false, [done = std::move(done)](Result<std::unique_ptr<QSslSocket>> socket) {
        if (!socket)
            return done(std::move(socket.error()));
        const std::string pem = (*socket)->peerCertificate().toPem().toStdString();
        socket->release()->deleteLater();
        done(pem);
    });
}

Result<tls::Identity> ownIdentity(const std::string &folder)
{
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    return tls::identityIn(folder, "client", std::to_string(::getuid()) + "@" + host, {});
}

} // namespace lxmgr::tunnel

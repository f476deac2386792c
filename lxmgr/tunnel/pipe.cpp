#include "tunnel/pipe.h"

#include <QTimer>

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

namespace lxmgr::tunnel
{

namespace
{
constexpr qint64 kPiece = 64 << 10;
constexpr qint64 kMost = 256 << 10; // on its way in either direction
} // namespace

Pipe::Pipe(std::unique_ptr<QSslSocket> tls, Fd plain, std::function<void()> ended)
    : m_tls(std::move(tls)), m_plain(std::move(plain)), m_ended(std::move(ended)), m_readable(m_plain.get(), QSocketNotifier::Read),
      m_writable(m_plain.get(), QSocketNotifier::Write), m_buffer(kPiece, Qt::Uninitialized)
{
    ::fcntl(m_plain.get(), F_SETFL, O_NONBLOCK);
    m_writable.setEnabled(false);
    m_tls->setReadBufferSize(kMost);
    QObject::connect(&m_readable, &QSocketNotifier::activated, &m_readable, [this] { toTls(); });
    QObject::connect(&m_writable, &QSocketNotifier::activated, &m_writable, [this] {
        m_writable.setEnabled(false);
        toPlain();
    });
    QObject::connect(m_tls.get(), &QIODevice::readyRead, &m_readable, [this] { toPlain(); });
    QObject::connect(m_tls.get(), &QAbstractSocket::disconnected, &m_readable, [this] { toPlain(); });
    const auto sent = [this] {
        if (!m_finished && waiting() < kMost / 2)
            m_readable.setEnabled(true);
    };
    QObject::connect(m_tls.get(), &QSslSocket::encryptedBytesWritten, &m_readable, sent);
    QObject::connect(m_tls.get(), &QIODevice::bytesWritten, &m_readable, sent);
    QTimer::singleShot(0, &m_readable, [this] { toPlain(); }); // what came with the end of the handshake
}

Pipe::~Pipe()
{
    m_tls->disconnect();
    // Its parent is nobody and it may be in the middle of a signal of its own.
    m_tls.release()->deleteLater();
}

void Pipe::toPlain()
{
    while (!m_finished) {
        if (m_pending.isEmpty())
            m_pending = m_tls->read(kPiece);
        if (m_pending.isEmpty()) {
            if (m_tls->state() == QAbstractSocket::UnconnectedState)
                finish();
            return;
        }
        const ssize_t count = ::send(m_plain.get(), m_pending.constData(), static_cast<std::size_t>(m_pending.size()), MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN) {
            m_writable.setEnabled(true);
            return;
        }
        if (count < 0)
            return finish();
        m_pending.remove(0, count);
    }
}

void Pipe::toTls()
{
    if (m_finished)
        return;
    if (waiting() >= kMost) {
        m_readable.setEnabled(false); // until some of it is sent
        return;
    }
    const ssize_t count = ::recv(m_plain.get(), m_buffer.data(), static_cast<std::size_t>(m_buffer.size()), 0);
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (count <= 0) {
        m_readable.setEnabled(false);
        if (m_tls->state() != QAbstractSocket::ConnectedState)
            return finish();
        m_tls->disconnectFromHost(); // after what is still to be sent, with a close_notify; `disconnected` comes then
        return;
    }
    m_tls->write(m_buffer.constData(), count);
}

void Pipe::finish()
{
    if (std::exchange(m_finished, true))
        return;
    m_readable.setEnabled(false);
    m_writable.setEnabled(false);
    ::shutdown(m_plain.get(), SHUT_RDWR);
    QTimer::singleShot(0, m_tls.get(), [ended = m_ended] { ended(); });
}

} // namespace lxmgr::tunnel

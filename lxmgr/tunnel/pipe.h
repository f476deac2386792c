// Pipe: carries bytes between a TLS connection and a local stream socket until either ends.
#pragma once

#include "base/fd.h"

#include <QByteArray>
#include <QSocketNotifier>
#include <QSslSocket>

#include <functional>
#include <memory>

namespace lxmgr::tunnel
{

class Pipe
{
public:
    /// `tls` has shaken hands. `ended` is called once, from the event loop, and may destroy the pipe.
    Pipe(std::unique_ptr<QSslSocket> tls, Fd plain, std::function<void()> ended);
    ~Pipe();
    Pipe(const Pipe &) = delete;
    Pipe &operator=(const Pipe &) = delete;

private:
    void toPlain();
    void toTls();
    void finish();
    qint64 waiting() const { return m_tls->bytesToWrite() + m_tls->encryptedBytesToWrite(); }

    std::unique_ptr<QSslSocket> m_tls;
    Fd m_plain;
    std::function<void()> m_ended;
    QSocketNotifier m_readable, m_writable;
    QByteArray m_buffer;  ///< For what is read from `plain`.
    QByteArray m_pending; ///< Decrypted, not taken by `plain` yet.
    bool m_finished = false;
};

} // namespace lxmgr::tunnel

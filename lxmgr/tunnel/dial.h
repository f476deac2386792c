// Outgoing connections: a TLS handshake with a host whose certificate is known, or vouched for.
#pragma once

#include "api/tunnel.h"
#include "base/fd.h"
#include "base/result.h"
#include "tls/certificate.h"

#include <QList>
#include <QSslCertificate>

#include <functional>
#include <map>
#include <memory>

namespace lxmgr::tunnel
{
class Pipe;

/// Makes connections and carries what goes over them. It goes before the QCoreApplication does, which has Qt's TLS unloaded.
class Dialler
{
public:
    Dialler();
    ~Dialler();
    Dialler(const Dialler &) = delete;
    Dialler &operator=(const Dialler &) = delete;

    /// Connects as `request` says; `plain` is the near end. `done` is called once, from the event loop, before a byte is carried.
    void dial(const api::TunnelRequest &request, Fd plain, std::function<void(Status)> done);

private:
    std::map<Pipe *, std::unique_ptr<Pipe>> m_pipes;
};

/// What a host shows, PEM, without believing it.
void askCertificate(const api::TunnelRequest &request, std::function<void(Result<std::string>)> done);
/// Who vouches for hosts that no certificate is given of: SSL_CERT_FILE, as for OpenSSL's own programs, else the system's. Read once.
const QList<QSslCertificate> &authorities();
/// Our certificate and its key in `folder`; made when missing.
Result<tls::Identity> ownIdentity(const std::string &folder);

} // namespace lxmgr::tunnel

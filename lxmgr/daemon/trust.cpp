#include "daemon/trust.h"

#include "base/log.h"
#include "base/text.h"
#include "kernel/files.h"
#include "tls/certificate.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>

namespace lxmgr::daemon
{

namespace
{
constexpr std::size_t kMostFailures = 10; // a minute, from one address
constexpr std::size_t kMostAddresses = 4096;

Result<std::string> readOptional(const std::string &path)
{
    Result<std::string> text = files::read(path, 1 << 20);
    if (!text && text.error().errnum == ENOENT)
        return std::string();
    return text;
}

bool same(const std::string &a, const std::string &b) { return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }
} // namespace

std::string sourceOf(const std::string &address)
{
    std::string host = address.substr(0, address.rfind(':'));
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    in6_addr bytes{};
    char text[INET6_ADDRSTRLEN] = {};
    if (::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &bytes) != 1 || IN6_IS_ADDR_V4MAPPED(&bytes))
        return host;
    std::fill(std::begin(bytes.s6_addr) + 8, std::end(bytes.s6_addr), 0);
    return std::string(::inet_ntop(AF_INET6, &bytes, text, sizeof text)) + "/64";
}

Result<std::unique_ptr<Trust>> Trust::create(store::Database &db, const std::string &stateDir)
{
    std::unique_ptr<Trust> trust(new Trust(db, TRY(readOptional(stateDir + "/server.ca")), TRY(readOptional(stateDir + "/ca.crl"))));
    TRY(trust->refresh());
    return trust;
}

Status Trust::refresh()
{
    auto certificates = TRY(store::listCertificates(m_db));
    const std::lock_guard lock(m_mutex);
    m_certificates = std::move(certificates);
    return {};
}

void Trust::setTrustAuthority(bool trust)
{
    const std::lock_guard lock(m_mutex);
    m_trustAuthority = trust;
}

Principal Trust::identify(const Peer &peer) const
{
    if (peer.uid != static_cast<uid_t>(-1))
        return {Principal::Kind::Trusted, {}};
    if (peer.certificate.empty() || !tls::checkTime(peer.certificate))
        return {};
    const bool vouchedFor = !m_authority.empty() && tls::checkSignedBy(peer.certificate, m_authority, m_revoked);
    if (!m_authority.empty() && !vouchedFor)
        return {}; // with an authority nothing else counts, not even what was listed before
    const std::lock_guard lock(m_mutex);
    for (const store::Certificate &certificate : m_certificates) {
        if (!same(certificate.fingerprint, peer.fingerprint))
            continue;
        if (certificate.type == "metrics")
            return {Principal::Kind::Metrics, {}};
        if (certificate.restricted)
            return {Principal::Kind::Restricted, {certificate.projects.begin(), certificate.projects.end()}};
        return {Principal::Kind::Trusted, {}};
    }
    return vouchedFor && m_trustAuthority ? Principal{Principal::Kind::Trusted, {}} : Principal{};
}

std::vector<store::Certificate> Trust::list() const
{
    const std::lock_guard lock(m_mutex);
    return m_certificates;
}

Result<store::Certificate> Trust::find(const std::string &prefix) const
{
    std::vector<store::Certificate> found;
    for (store::Certificate &certificate : list())
        if (!prefix.empty() && certificate.fingerprint.starts_with(prefix))
            found.push_back(std::move(certificate));
    if (found.empty())
        return Error(Code::NotFound, "Certificate not found");
    if (found.size() > 1)
        return Error(Code::Invalid, std::to_string(found.size()) + " certificates begin with " + quoted(prefix));
    return std::move(found.front());
}

Status Trust::add(const store::Certificate &certificate)
{
    TRY(store::insertCertificate(m_db, certificate));
    return refresh();
}

Status Trust::update(const store::Certificate &certificate)
{
    TRY(store::updateCertificate(m_db, certificate));
    return refresh();
}

Status Trust::remove(const store::Certificate &certificate)
{
    TRY(store::deleteCertificate(m_db, certificate.id));
    return refresh();
}

Status Trust::reload() { return refresh(); }

Status Trust::checkFailures(const std::string &address) const
{
    const auto now = std::chrono::steady_clock::now();
    const std::lock_guard lock(m_mutex);
    const auto found = m_failures.find(sourceOf(address));
    std::size_t recent = 0;
    if (found != m_failures.end())
        for (const auto when : found->second)
            recent += now - when < std::chrono::minutes(1);
    if (recent >= kMostFailures)
        return Error(Code::Forbidden, "not authorized: too many wrong tokens or passwords from " + sourceOf(address) + " (wait a minute)");
    return {};
}

Status Trust::countFailure(const std::string &address)
{
    log::warning("a wrong token or password came from " + address);
    const auto now = std::chrono::steady_clock::now();
    {
        const std::lock_guard lock(m_mutex);
        if (m_failures.size() >= kMostAddresses)
            m_failures.clear(); // bounded; whoever owns so many addresses gains ten tries
        auto &times = m_failures[sourceOf(address)];
        times.push_back(now);
        if (times.size() > kMostFailures)
            times.pop_front();
    }
    return checkFailures(address);
}

} // namespace lxmgr::daemon

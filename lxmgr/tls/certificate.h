// Certificates as this project uses them: made by ourselves, named by the SHA-256 of their DER, believed because that is known.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::tls
{

/// Both PEM.
struct Identity {
    std::string certificate;
    std::string key;
};

/// A self-signed certificate over a new key (ECDSA P-384), valid for ten years from a day ago; `names` are DNS names and addresses of
/// a server (RFC 5280 4.2.1.6), none for a client.
Result<Identity> makeIdentity(const std::string &commonName, const std::vector<std::string> &names);
/// <folder>/<stem>.crt and .key (0600); both are made where the first is missing. Corrupt: what lies there is no certificate.
Result<Identity> identityIn(const std::string &folder, const std::string &stem, const std::string &commonName,
                            const std::vector<std::string> &names);

/// SHA-256 of the DER, 64 lower-case hex digits. Invalid: no certificate.
Result<std::string> fingerprintOf(std::string_view pem);
/// The same certificate as clean PEM, from PEM or from base64 of its DER (what LXD's clients send). Invalid: neither.
Result<std::string> toPem(std::string_view text);
/// Subject's common name, "" for none.
std::string commonNameOf(std::string_view pem);
/// Forbidden where the certificate is not valid at this time.
Status checkTime(std::string_view pem);
/// Forbidden unless one of `authorities` (PEM, one or more) signed it, directly or through others of them, and `revoked` (a CRL as PEM,
/// may be empty) does not list it.
Status checkSignedBy(std::string_view pem, std::string_view authorities, std::string_view revoked);

} // namespace lxmgr::tls

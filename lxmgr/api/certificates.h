// Certificates as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/time.h"

namespace lxmgr::api
{

struct Certificate {
    std::string fingerprint, name, description;
    std::string type = "client";
    std::string certificate; ///< PEM
    bool restricted = false;
    std::vector<std::string> projects;
};
template <> struct Fields<Certificate> {
    using T = Certificate;
    static constexpr auto rows = std::tuple{
        Field{"fingerprint", &T::fingerprint}, Field{"name", &T::name},             Field{"description", &T::description}, Field{"type", &T::type},
        Field{"certificate", &T::certificate}, Field{"restricted", &T::restricted}, Field{"projects", &T::projects},
    };
};

struct CertificatesPost {
    std::string name, description;
    std::string type = "client";
    std::string certificate; ///< Base64 of the DER, or PEM; "": the one the caller shows.
    bool restricted = false;
    std::optional<std::vector<std::string>> projects;
    bool token = false;        ///< Make a token instead.
    std::string password;      ///< Of a stranger: core.trust_password, or the token, as clients of LXD 5.0 send it.
    std::string trustToken;    ///< The same, as clients of Incus do.
};
template <> struct Fields<CertificatesPost> {
    using T = CertificatesPost;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name, E}, Field{"description", &T::description, E}, Field{"type", &T::type, E}, Field{"certificate", &T::certificate, E},
        Field{"restricted", &T::restricted, E}, Field{"projects", &T::projects, E}, Field{"token", &T::token, E},
        Field{"password", &T::password, E}, Field{"trust_token", &T::trustToken, E},
    };
};

/// PUT and PATCH; what is unset stays, in a PUT too, for a certificate has no sensible default for any of them.
struct CertificatePut {
    std::optional<std::string> name, description, type, certificate;
    std::optional<bool> restricted;
    std::optional<std::vector<std::string>> projects;
};
template <> struct Fields<CertificatePut> {
    using T = CertificatePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name, E}, Field{"description", &T::description, E}, Field{"type", &T::type, E},
        Field{"certificate", &T::certificate, E}, Field{"restricted", &T::restricted, E}, Field{"projects", &T::projects, E},
    };
};

/// What a person carries from the server to the client: base64 of this as JSON.
struct TrustToken {
    std::string clientName, fingerprint;
    std::vector<std::string> addresses;
    std::string secret;
    Time expiresAt;
};
template <> struct Fields<TrustToken> {
    using T = TrustToken;
    static constexpr auto rows = std::tuple{
        Field{"client_name", &T::clientName}, Field{"fingerprint", &T::fingerprint}, Field{"addresses", &T::addresses},
        Field{"secret", &T::secret},          Field{"expires_at", &T::expiresAt},
    };
};

} // namespace lxmgr::api

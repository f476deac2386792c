// Tables certificates, certificate_projects.
#pragma once

#include "store/projects.h"

#include <vector>

namespace lxmgr::store
{

struct Certificate {
    std::int64_t id = 0;
    std::string fingerprint; ///< SHA-256 of the DER, 64 hex digits.
    std::string type = "client"; ///< "client", "metrics"
    std::string name;
    std::string description;
    bool restricted = false;
    std::vector<std::string> projects; ///< In the order of their names.
    std::string certificate; ///< PEM
};

Result<std::vector<Certificate>> listCertificates(Database &db);
/// AlreadyExists: that fingerprint is known; NotFound: no such project.
Status insertCertificate(Database &db, const Certificate &certificate);
/// Replaces all but the fingerprint of `certificate.id`.
Status updateCertificate(Database &db, const Certificate &certificate);
Status deleteCertificate(Database &db, std::int64_t id);

} // namespace lxmgr::store

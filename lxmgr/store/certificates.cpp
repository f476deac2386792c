#include "store/certificates.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

Status writeProjects(Database &db, const Certificate &certificate)
{
    TRY(run(db, "DELETE FROM certificate_projects WHERE certificate_id=?", certificate.id));
    for (const std::string &name : certificate.projects) {
        const Project project = TRY(findProject(db, name));
        TRY(run(db, "INSERT OR IGNORE INTO certificate_projects (certificate_id, project_id) VALUES (?, ?)", certificate.id, project.id));
    }
    return {};
}

} // namespace

Result<std::vector<Certificate>> listCertificates(Database &db)
{
    std::vector<Certificate> certificates;
    {
        Statement row = TRY(query(db, "SELECT id, fingerprint, type, name, description, restricted, certificate FROM certificates ORDER BY id"));
        while (TRY(row.next()))
            certificates.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4), row.integer(5) != 0, {}, row.text(6)});
    }
    for (Certificate &certificate : certificates) {
        Statement row = TRY(query(db,
                                  "SELECT projects.name FROM certificate_projects JOIN projects ON projects.id = project_id"
                                  " WHERE certificate_id=? ORDER BY projects.name",
                                  certificate.id));
        while (TRY(row.next()))
            certificate.projects.push_back(row.text(0));
    }
    return certificates;
}

Status insertCertificate(Database &db, const Certificate &certificate)
{
    return db.transaction([&]() -> Status {
        TRY(named(run(db, "INSERT INTO certificates (fingerprint, type, name, description, restricted, certificate) VALUES (?, ?, ?, ?, ?, ?)",
                      certificate.fingerprint, certificate.type, certificate.name, certificate.description, certificate.restricted, certificate.certificate),
                  "Certificate already in trust store"));
        Certificate written = certificate;
        written.id = db.lastInsertId();
        return writeProjects(db, written);
    });
}

Status updateCertificate(Database &db, const Certificate &certificate)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, "Certificate not found", "UPDATE certificates SET type=?, name=?, description=?, restricted=?, certificate=? WHERE id=?",
                   certificate.type, certificate.name, certificate.description, certificate.restricted, certificate.certificate, certificate.id));
        return writeProjects(db, certificate);
    });
}

Status deleteCertificate(Database &db, std::int64_t id) { return change(db, "Certificate not found", "DELETE FROM certificates WHERE id=?", id); }

} // namespace lxmgr::store

-- Whom the server believes over TLS. A restricted certificate may use the projects it is joined with, and no others.
CREATE TABLE certificates (
    id          INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    type        TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    restricted  INTEGER NOT NULL,
    certificate TEXT NOT NULL
) STRICT;

CREATE TABLE certificate_projects (
    certificate_id INTEGER NOT NULL REFERENCES certificates ON DELETE CASCADE,
    project_id     INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    PRIMARY KEY (certificate_id, project_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX certificate_projects_by_project ON certificate_projects (project_id);

-- Keys of projects: what instances in them may be, and how many.
CREATE TABLE project_config (
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (project_id, key)
) STRICT, WITHOUT ROWID;

-- What can be undone. A document is YAML: what an instance, with its snapshots, or a profile was before. Files that belong
-- to it lie aside in the pool, which is a name here: it may be detached meanwhile.
CREATE TABLE undo (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,           -- Never given twice: people type it.
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('delete', 'snapshot', 'restore', 'config', 'profile')),
    status     TEXT NOT NULL CHECK (status IN ('keeping', 'kept', 'applying')),
    object     TEXT NOT NULL,                               -- Name of the instance, web1/snap0, or of the profile.
    uuid       TEXT NOT NULL,                               -- volatile.uuid of the instance, '' for a profile.
    pool       TEXT NOT NULL,                               -- '' where no files belong to it.
    aside      TEXT NOT NULL,                               -- Id of the files in the pool.
    target     TEXT NOT NULL,                               -- While it is applied: the instance it becomes.
    document   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX undo_by_expiry ON undo (expires_at);
CREATE INDEX undo_by_pool ON undo (pool) WHERE pool <> '';

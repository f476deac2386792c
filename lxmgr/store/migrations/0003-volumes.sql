-- Custom volumes and their snapshots. A pool's name is not repeated: volumes go where their pool goes.
CREATE TABLE volumes (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects,
    pool_id     INTEGER NOT NULL REFERENCES storage_pools ON DELETE RESTRICT,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('creating', 'ready', 'deleting')),
    created_at  INTEGER NOT NULL,
    UNIQUE (pool_id, project_id, name)
) STRICT;

CREATE TABLE volume_config (
    volume_id INTEGER NOT NULL REFERENCES volumes ON DELETE CASCADE,
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (volume_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE volume_snapshots (
    id          INTEGER PRIMARY KEY,
    volume_id   INTEGER NOT NULL REFERENCES volumes ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('creating', 'ready', 'deleting')),
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    UNIQUE (volume_id, name)
) STRICT;

CREATE TABLE volume_snapshot_config (
    snapshot_id INTEGER NOT NULL REFERENCES volume_snapshots ON DELETE CASCADE,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, key)
) STRICT, WITHOUT ROWID;

-- Exports that the server keeps ("backups" in the API): each is the file backups/<file> of the state folder. The row of an
-- instance goes while it can be brought back, so its exports are found again by its volatile.uuid.
CREATE TABLE exports (
    id            INTEGER PRIMARY KEY,
    instance_id   INTEGER REFERENCES instances ON DELETE SET NULL,
    volume_id     INTEGER REFERENCES volumes ON DELETE SET NULL,
    uuid          TEXT NOT NULL,                            -- volatile.uuid of the instance, '' of a volume.
    name          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('creating', 'ready', 'deleting')),
    file          TEXT NOT NULL UNIQUE,
    without_snapshots INTEGER NOT NULL,
    optimized     INTEGER NOT NULL,                         -- Streams of the storage driver, not files.
    compression   TEXT NOT NULL,
    size          INTEGER NOT NULL,                         -- Bytes.
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX exports_by_instance ON exports (instance_id, name) WHERE instance_id IS NOT NULL;
CREATE UNIQUE INDEX exports_by_volume ON exports (volume_id, name) WHERE volume_id IS NOT NULL;
CREATE INDEX exports_by_expiry ON exports (expires_at) WHERE expires_at > 0;

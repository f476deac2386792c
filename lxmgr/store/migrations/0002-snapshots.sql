-- Snapshots of instances. Each keeps the definition its instance had, and what the profiles made of it then, so that it can
-- be restored after the profiles have changed or gone: profiles are names here, not references.
CREATE TABLE snapshots (
    id           INTEGER PRIMARY KEY,
    instance_id  INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    architecture TEXT NOT NULL,
    ephemeral    INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
    status       TEXT NOT NULL CHECK (status IN ('creating', 'ready', 'deleting')),
    schedule     TEXT NOT NULL,                             -- Which schedule made it, '' for none.
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    UNIQUE (instance_id, name)
) STRICT;
CREATE INDEX snapshots_by_expiry ON snapshots (expires_at) WHERE expires_at > 0;

CREATE TABLE snapshot_config (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots ON DELETE CASCADE,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot_devices (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots ON DELETE CASCADE,
    device      TEXT NOT NULL,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, device, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot_expanded_config (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots ON DELETE CASCADE,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot_expanded_devices (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots ON DELETE CASCADE,
    device      TEXT NOT NULL,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, device, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot_profiles (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, position)
) STRICT, WITHOUT ROWID;

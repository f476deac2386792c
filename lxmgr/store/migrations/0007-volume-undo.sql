-- Custom volumes: a uuid, which undoing knows them by whatever they are called, and who asked for a snapshot. More can be
-- undone: undo keeps its numbers.
ALTER TABLE volumes ADD COLUMN uuid TEXT NOT NULL DEFAULT '';
UPDATE volumes SET uuid = lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' ||
                                substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)));
ALTER TABLE volume_snapshots ADD COLUMN schedule TEXT NOT NULL DEFAULT '';
CREATE INDEX volume_snapshots_by_expiry ON volume_snapshots (expires_at) WHERE expires_at > 0;

CREATE TABLE undo_next (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,           -- Never given twice: people type it.
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('delete', 'snapshot', 'restore', 'config', 'profile',
                                             'volume', 'volume-snapshot', 'volume-restore')),
    status     TEXT NOT NULL CHECK (status IN ('keeping', 'kept', 'applying')),
    object     TEXT NOT NULL,                               -- Name of the instance or volume, web1/snap0, or of the profile.
    uuid       TEXT NOT NULL,                               -- Of the instance or volume, '' for a profile.
    pool       TEXT NOT NULL,                               -- '' where no files belong to it.
    aside      TEXT NOT NULL,                               -- Id of the files in the pool.
    target     TEXT NOT NULL,                               -- While it is applied: what it becomes.
    document   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
INSERT INTO undo_next SELECT * FROM undo;
DELETE FROM sqlite_sequence WHERE name = 'undo_next';
INSERT INTO sqlite_sequence (name, seq) SELECT 'undo_next', seq FROM sqlite_sequence WHERE name = 'undo';
DROP TABLE undo;
ALTER TABLE undo_next RENAME TO undo;
CREATE INDEX undo_by_expiry ON undo (expires_at);
CREATE INDEX undo_by_pool ON undo (pool) WHERE pool <> '';

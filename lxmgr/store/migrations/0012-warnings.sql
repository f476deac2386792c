-- What the server has found amiss and nobody was there to be told: at most one row a kind and object, which counts.
-- No object: the server itself.
CREATE TABLE warnings (
    id          INTEGER PRIMARY KEY,
    uuid        TEXT NOT NULL UNIQUE,
    type        TEXT NOT NULL,
    instance_id INTEGER REFERENCES instances ON DELETE CASCADE,
    pool_id     INTEGER REFERENCES storage_pools ON DELETE CASCADE,
    network_id  INTEGER REFERENCES networks ON DELETE CASCADE,
    image_id    INTEGER REFERENCES images ON DELETE CASCADE,
    volume_id   INTEGER REFERENCES volumes ON DELETE CASCADE,
    status      TEXT NOT NULL CHECK (status IN ('new', 'acknowledged', 'resolved')),
    count       INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL, -- of the status
    message     TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX warnings_by_subject ON warnings
    (type, ifnull(instance_id, 0), ifnull(pool_id, 0), ifnull(network_id, 0), ifnull(image_id, 0), ifnull(volume_id, 0));
CREATE INDEX warnings_of_instances ON warnings (instance_id) WHERE instance_id IS NOT NULL;

-- The first schema. Every object lives in a project; times are Unix milliseconds, 0 means never.
PRAGMA application_id = 1819831655; -- "lxmg"

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE profiles (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (project_id, name)
) STRICT;

CREATE TABLE profile_config (
    profile_id INTEGER NOT NULL REFERENCES profiles ON DELETE CASCADE,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (profile_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE profile_devices (
    profile_id INTEGER NOT NULL REFERENCES profiles ON DELETE CASCADE,
    device     TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (profile_id, device, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE instances (
    id           INTEGER PRIMARY KEY,
    project_id   INTEGER NOT NULL REFERENCES projects,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    architecture TEXT NOT NULL,
    ephemeral    INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
    stateful     INTEGER NOT NULL CHECK (stateful IN (0, 1)),
    status       TEXT NOT NULL CHECK (status IN ('creating', 'ready', 'deleting')),
    pool         TEXT NOT NULL,
    image        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    UNIQUE (project_id, name)
) STRICT;
CREATE INDEX instances_by_image ON instances (image);

CREATE TABLE instance_config (
    instance_id INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (instance_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE instance_devices (
    instance_id INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    device      TEXT NOT NULL,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (instance_id, device, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE instance_profiles (
    instance_id INTEGER NOT NULL REFERENCES instances ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    profile_id  INTEGER NOT NULL REFERENCES profiles ON DELETE RESTRICT,
    PRIMARY KEY (instance_id, position),
    UNIQUE (instance_id, profile_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX instance_profiles_by_profile ON instance_profiles (profile_id);

-- Host ids are handed out in slots of 65 536. A range takes every slot it touches, so the primary key of id_slots is what
-- keeps two instances apart, whatever the sizes.
CREATE TABLE id_ranges (
    instance_id INTEGER PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    base        INTEGER NOT NULL UNIQUE,
    size        INTEGER NOT NULL CHECK (size >= 65536)
) STRICT;
CREATE TABLE id_slots (
    slot        INTEGER PRIMARY KEY,
    instance_id INTEGER NOT NULL REFERENCES id_ranges ON DELETE CASCADE
) STRICT;
CREATE INDEX id_slots_by_instance ON id_slots (instance_id);

CREATE TABLE images (
    id           INTEGER PRIMARY KEY,
    project_id   INTEGER NOT NULL REFERENCES projects,
    fingerprint  TEXT NOT NULL,
    filename     TEXT NOT NULL,
    architecture TEXT NOT NULL,
    format       TEXT NOT NULL,
    size         INTEGER NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('creating', 'ready', 'deleting')),
    public       INTEGER NOT NULL CHECK (public IN (0, 1)),
    cached       INTEGER NOT NULL CHECK (cached IN (0, 1)),
    auto_update  INTEGER NOT NULL CHECK (auto_update IN (0, 1)),
    source       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    uploaded_at  INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    UNIQUE (project_id, fingerprint)
) STRICT;
CREATE INDEX images_by_source ON images (source);

CREATE TABLE image_properties (
    image_id INTEGER NOT NULL REFERENCES images ON DELETE CASCADE,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (image_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE image_aliases (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    image_id    INTEGER NOT NULL REFERENCES images ON DELETE CASCADE,
    UNIQUE (project_id, name)
) STRICT;
CREATE INDEX image_aliases_by_image ON image_aliases (image_id);

CREATE TABLE networks (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects,
    name        TEXT NOT NULL,
    type        TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (project_id, name)
) STRICT;

CREATE TABLE network_config (
    network_id INTEGER NOT NULL REFERENCES networks ON DELETE CASCADE,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (network_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE storage_pools (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects,
    name        TEXT NOT NULL UNIQUE,
    driver      TEXT NOT NULL,
    description TEXT NOT NULL
) STRICT;

CREATE TABLE storage_pool_config (
    pool_id INTEGER NOT NULL REFERENCES storage_pools ON DELETE CASCADE,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (pool_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE operations (
    id         TEXT NOT NULL PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    type       TEXT NOT NULL,
    object     TEXT NOT NULL,
    arguments  TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('running', 'success', 'failure', 'cancelled')),
    error      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX operations_by_status ON operations (status);

CREATE TABLE operation_steps (
    operation_id TEXT NOT NULL REFERENCES operations ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    name         TEXT NOT NULL,
    undo         TEXT NOT NULL,
    PRIMARY KEY (operation_id, position)
) STRICT, WITHOUT ROWID;

INSERT INTO projects (id, name, description, created_at)
    VALUES (1, 'default', 'Default project', CAST(strftime('%s', 'now') AS INTEGER) * 1000);
INSERT INTO profiles (id, project_id, name, description) VALUES (1, 1, 'default', 'Default profile');

-- Forwards of networks, and access control lists. Ports and rules are in the order of their names ("0001").
CREATE TABLE network_forwards (
    id             INTEGER PRIMARY KEY,
    network_id     INTEGER NOT NULL REFERENCES networks ON DELETE CASCADE,
    listen_address TEXT NOT NULL UNIQUE,
    description    TEXT NOT NULL
) STRICT;
CREATE INDEX network_forwards_by_network ON network_forwards (network_id);

CREATE TABLE network_forward_config (
    forward_id INTEGER NOT NULL REFERENCES network_forwards ON DELETE CASCADE,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (forward_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE network_forward_ports (
    forward_id INTEGER NOT NULL REFERENCES network_forwards ON DELETE CASCADE,
    port       TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (forward_id, port, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE network_acls (
    id          INTEGER PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES projects,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (project_id, name)
) STRICT;

CREATE TABLE network_acl_config (
    acl_id INTEGER NOT NULL REFERENCES network_acls ON DELETE CASCADE,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (acl_id, key)
) STRICT, WITHOUT ROWID;

-- "ingress/0001", "egress/0001"
CREATE TABLE network_acl_rules (
    acl_id INTEGER NOT NULL REFERENCES network_acls ON DELETE CASCADE,
    rule   TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (acl_id, rule, key)
) STRICT, WITHOUT ROWID;

-- Where an image was fetched from, for looking there again.
CREATE TABLE image_sources (
    image_id    INTEGER NOT NULL PRIMARY KEY REFERENCES images ON DELETE CASCADE,
    server      TEXT NOT NULL,
    protocol    TEXT NOT NULL,
    alias       TEXT NOT NULL,
    certificate TEXT NOT NULL,
    checked_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX image_sources_by_alias ON image_sources (alias);

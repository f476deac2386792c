-- Profiles that instances of an image get where nobody names any: of each project that has the image, its own.
CREATE TABLE image_profiles (
    image_id   INTEGER NOT NULL REFERENCES images ON DELETE CASCADE,
    profile_id INTEGER NOT NULL REFERENCES profiles ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    PRIMARY KEY (image_id, profile_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_profiles_by_profile ON image_profiles (profile_id);

#include "store/images.h"

#include "base/text.h"
#include "store/parts.h"
#include "store/profiles.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT m.id, p.name, m.fingerprint, m.filename, m.architecture, m.format, m.size, m.status, m.public, m.cached, "
    "m.auto_update, m.source, "
    "m.created_at, m.uploaded_at, m.expires_at, m.last_used_at FROM images m JOIN projects p ON p.id = m.project_id ";
constexpr std::string_view kInsert =
    "INSERT INTO images (project_id, fingerprint, filename, architecture, format, size, status, public, cached, "
    "auto_update, source, created_at, "
    "uploaded_at, expires_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view kUpdate =
    "UPDATE images SET public=?, auto_update=?, cached=?, expires_at=?, source=? WHERE id=?";
constexpr std::string_view kSelectAlias = "SELECT a.id, p.name, a.name, a.description, m.fingerprint FROM "
                                          "image_aliases a JOIN projects p ON p.id = a.project_id "
                                          "JOIN images m ON m.id = a.image_id ";
constexpr std::string_view kInsertAlias =
    "INSERT INTO image_aliases (project_id, name, description, image_id) VALUES (?, ?, ?, ?)";
constexpr std::string_view kInsertOrigin =
    "INSERT OR REPLACE INTO image_sources (image_id, server, protocol, alias, certificate, checked_at) VALUES (?, ?, ?, ?, ?, ?)";
constexpr PartTable kProperties = {"image_properties", "image_id"};

constexpr std::pair<ImageStatus, std::string_view> kStatusNames[] = {
    {ImageStatus::Creating, "creating"},
    {ImageStatus::Ready,    "ready"   },
    {ImageStatus::Deleting, "deleting"},
};
std::string_view statusName(ImageStatus status)
{
    return std::ranges::find(kStatusNames, status, &std::pair<ImageStatus, std::string_view>::first)->second;
}
ImageStatus statusFrom(const std::string &name) // the column's CHECK lets no other name in
{
    return std::ranges::find(kStatusNames, name, &std::pair<ImageStatus, std::string_view>::second)->first;
}

std::string missing(std::int64_t id) { return "image " + std::to_string(id) + " does not exist any more"; }
std::string missingAlias(const std::string &project, const std::string &name)
{
    return titled("image alias", project, name) + " does not exist";
}

Image readRow(const Statement &row)
{
    Image image;
    image.id = row.integer(0);
    image.project = row.text(1);
    image.fingerprint = row.text(2);
    image.filename = row.text(3);
    image.architecture = row.text(4);
    image.format = row.text(5);
    image.size = static_cast<std::uint64_t>(row.integer(6));
    image.status = statusFrom(row.text(7));
    image.isPublic = row.flag(8);
    image.cached = row.flag(9);
    image.autoUpdate = row.flag(10);
    image.source = row.text(11);
    image.createdAt = row.integer(12);
    image.uploadedAt = row.integer(13);
    image.expiresAt = row.integer(14);
    image.lastUsedAt = row.integer(15);
    return image;
}

constexpr std::string_view kSelectProfiles = "SELECT a.image_id, f.name, p.name FROM image_profiles a JOIN profiles f ON f.id = a.profile_id "
                                             "JOIN projects p ON p.id = f.project_id ";

/// `asker`: the project whose profiles are meant, "" for that of each image.
Status readProfiles(Database &db, std::vector<Image> &images, const std::string &asker)
{
    const OwnerSpan owners = spanOf(images);
    Follower<Image> follower(images);
    std::map<std::string, std::string> homeOfProject; // asked for where there are any
    Statement row = TRY(query(db, std::string(kSelectProfiles) + "WHERE a.image_id BETWEEN ? AND ? ORDER BY a.image_id, a.position",
                                    owners.first, owners.last));
    while (TRY(row.next())) {
        Image *image = follower.find(row.integer(0));
        if (!image)
            continue;
        if (homeOfProject.empty())
            homeOfProject = TRY(homes(db, Shared::Profiles));
        if (homeOfProject[asker.empty() ? image->project : asker] == row.text(2))
            image->profiles.push_back(row.text(1));
    }
    return {};
}

Status readParts(Database &db, std::vector<Image> &images, const std::string &asker)
{
    const OwnerSpan owners = spanOf(images);
    Follower<Image> properties(images), aliases(images), origins(images);
    TRY(readStrings(db, kProperties, owners, [&](std::int64_t id) {
        Image *image = properties.find(id);
        return image != nullptr ? &image->properties : nullptr;
    }));
    Statement row =
        TRY(query(db, "SELECT image_id, name FROM image_aliases WHERE image_id BETWEEN ? AND ? ORDER BY image_id, name",
                  owners.first, owners.last));
    while (TRY(row.next()))
        if (Image *image = aliases.find(row.integer(0)))
            image->aliases.push_back(row.text(1));
    Statement origin = TRY(query(db,
                                 "SELECT image_id, server, protocol, alias, certificate, checked_at FROM image_sources "
                                 "WHERE image_id BETWEEN ? AND ? ORDER BY image_id",
                                 owners.first, owners.last));
    while (TRY(origin.next()))
        if (Image *image = origins.find(origin.integer(0)))
            image->origin = ImageOrigin{origin.text(1), origin.text(2), origin.text(3), origin.text(4), origin.integer(5)};
    return readProfiles(db, images, asker);
}

template <class... Values>
Result<std::vector<Image>> select(Database &db, const std::string &asker, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<Image> images;
    {
        Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY m.id", values...));
        while (TRY(row.next()))
            images.push_back(readRow(row));
    }
    TRY(readParts(db, images, asker));
    return images;
}

template <class... Values>
Result<std::vector<ImageAlias>> selectAliases(Database &db, std::string_view where, const Values &...values)
{
    Statement row = TRY(query(db, std::string(kSelectAlias) + std::string(where) + " ORDER BY a.name", values...));
    std::vector<ImageAlias> aliases;
    while (TRY(row.next()))
        aliases.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4)});
    return aliases;
}

Result<std::int64_t> imageId(Database &db, const std::string &project, const std::string &fingerprint)
{
    Statement row = TRY(
        query(db, "SELECT m.id FROM images m JOIN projects p ON p.id = m.project_id WHERE p.name=? AND m.fingerprint=?",
              TRY(homeOf(db, project, Shared::Images)), fingerprint));
    if (!TRY(row.next()))
        return Error(Code::NotFound, titled("image", project, fingerprint) + " does not exist");
    return row.integer(0);
}

} // namespace

Result<std::int64_t> insertImage(Database &db, const Image &image)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, TRY(homeOf(db, image.project, Shared::Images))));
        const std::int64_t uploaded = image.uploadedAt != 0 ? image.uploadedAt : unixMillis();
        TRY(named(run(db, kInsert, project, image.fingerprint, image.filename, image.architecture, image.format,
                      static_cast<std::int64_t>(image.size), statusName(image.status), image.isPublic, image.cached,
                      image.autoUpdate, image.source, image.createdAt, uploaded, image.expiresAt, image.lastUsedAt),
                  titled("image", image.project, image.fingerprint) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeStrings(db, kProperties, id, image.properties));
        if (image.origin)
            TRY(setImageOrigin(db, id, *image.origin));
        return id;
    });
}

Result<Image> findImage(Database &db, const std::string &project, const std::string &fingerprint)
{
    const std::string title = titled("image", project, fingerprint);
    if (fingerprint.empty() || fingerprint.find_first_not_of("0123456789abcdef") != std::string::npos)
        return Error(Code::NotFound, title + " does not exist");
    auto images =
        TRY(select(db, project, "WHERE p.name=?1 AND substr(m.fingerprint, 1, length(?2)) = ?2", TRY(homeOf(db, project, Shared::Images)), fingerprint));
    if (images.size() > 1)
        return Error(Code::Invalid,
                     title + " fits " + std::to_string(images.size()) + " images; write more of the fingerprint");
    return onlyRow<Image>(std::move(images), title + " does not exist");
}

Result<Image> findImageBySource(Database &db, const std::string &project, const std::string &source)
{
    auto images = TRY(select(db, project, "WHERE p.name=? AND m.source=? AND m.status='ready'", TRY(homeOf(db, project, Shared::Images)), source));
    if (images.empty())
        return Error(Code::NotFound, titled("image of", project, source) + " does not exist");
    return *std::ranges::max_element(images, {}, &Image::uploadedAt);
}

Result<Image> findImageByOrigin(Database &db, const std::string &project, const ImageOrigin &origin)
{
    auto images = TRY(select(db, project,
                             "JOIN image_sources o ON o.image_id = m.id "
                             "WHERE p.name=? AND o.alias=? AND o.server=? AND o.protocol=? AND m.status='ready'",
                             TRY(homeOf(db, project, Shared::Images)), origin.alias, origin.server, origin.protocol));
    if (images.empty())
        return Error(Code::NotFound, titled("image of", project, origin.alias) + " does not exist");
    return *std::ranges::max_element(images, {}, &Image::uploadedAt);
}

Result<std::vector<Image>> listAutoUpdated(Database &db)
{
    auto images = TRY(select(db, "", "JOIN image_sources o ON o.image_id = m.id WHERE m.auto_update=1 AND m.status='ready' AND o.alias<>''"));
    std::ranges::sort(images, {}, [](const Image &image) { return image.origin ? image.origin->checkedAt : 0; });
    return images;
}

Result<std::vector<Image>> listCached(Database &db)
{
    auto images = TRY(select(db, "", "WHERE m.cached=1 AND m.status='ready'"));
    std::ranges::sort(images, {}, [](const Image &image) { return std::max(image.lastUsedAt, image.uploadedAt); });
    return images;
}

Result<Image> resolveImage(Database &db, const std::string &project, const std::string &aliasOrFingerprint)
{
    const auto guard = db.lock();
    const Result<ImageAlias> alias = findAlias(db, project, aliasOrFingerprint);
    if (alias)
        return findImage(db, project, alias->fingerprint);
    if (alias.error().code != Code::NotFound)
        return alias.error();
    return findImage(db, project, aliasOrFingerprint);
}

Result<std::vector<Image>> listImages(Database &db, const std::string &project)
{
    return project.empty() ? select(db, "", "") : select(db, project, "WHERE p.name=?", TRY(homeOf(db, project, Shared::Images)));
}

Result<std::vector<Image>> listImagesIn(Database &db, ImageStatus status)
{
    return select(db, "", "WHERE m.status=?", statusName(status));
}

Status updateImage(Database &db, const Image &image)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missing(image.id), kUpdate, image.isPublic, image.autoUpdate, image.cached, image.expiresAt,
                   image.source, image.id));
        return writeStrings(db, kProperties, image.id, image.properties);
    });
}

Status setImageStatus(Database &db, std::int64_t id, ImageStatus status)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE images SET status=? WHERE id=?", statusName(status), id); });
}

Status setImageUsed(Database &db, std::int64_t id, std::int64_t at)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE images SET last_used_at=? WHERE id=?", at, id); });
}

Status setImageOrigin(Database &db, std::int64_t id, const ImageOrigin &origin)
{
    return db.transaction([&] { return run(db, kInsertOrigin, id, origin.server, origin.protocol, origin.alias, origin.certificate, origin.checkedAt); });
}

Status setImageChecked(Database &db, std::int64_t id, std::int64_t at)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE image_sources SET checked_at=? WHERE image_id=?", at, id); });
}

Status setImageProfiles(Database &db, std::int64_t id, const std::string &project, const std::vector<std::string> &profiles)
{
    return db.transaction([&]() -> Status {
        const std::int64_t home = TRY(projectId(db, TRY(homeOf(db, project, Shared::Profiles))));
        TRY(run(db, "DELETE FROM image_profiles WHERE image_id=? AND profile_id IN (SELECT id FROM profiles WHERE project_id=?)", id, home));
        std::int64_t position = 0;
        for (const std::string &name : profiles)
            TRY(named(run(db, "INSERT INTO image_profiles (image_id, profile_id, position) VALUES (?, ?, ?)", id,
                          TRY(findProfile(db, project, name)).id, position++),
                      "profile " + quoted(name) + " is given twice"));
        return {};
    });
}

Status copyImageProfiles(Database &db, std::int64_t from, std::int64_t to)
{
    return db.transaction([&]() -> Status {
        TRY(run(db, "DELETE FROM image_profiles WHERE image_id=?", to));
        return run(db, "INSERT INTO image_profiles (image_id, profile_id, position) "
                       "SELECT ?, profile_id, position FROM image_profiles WHERE image_id=?",
                   to, from);
    });
}

Result<std::map<std::string, std::vector<std::string>>> profilesOfImage(Database &db, std::int64_t id)
{
    std::map<std::string, std::vector<std::string>> all;
    Statement row = TRY(query(db, std::string(kSelectProfiles) + "WHERE a.image_id=? ORDER BY a.position", id));
    while (TRY(row.next()))
        all[row.text(2)].push_back(row.text(1));
    return all;
}

Result<std::vector<std::string>> imagesWithProfile(Database &db, std::int64_t profile)
{
    std::vector<std::string> fingerprints;
    Statement row = TRY(query(db, "SELECT DISTINCT m.fingerprint FROM image_profiles a JOIN images m ON m.id = a.image_id WHERE a.profile_id=?", profile));
    while (TRY(row.next()))
        fingerprints.push_back(row.text(0));
    return fingerprints;
}

Result<bool> isImageShared(Database &db, const Image &image)
{
    Statement row = TRY(query(db, "SELECT 1 FROM images WHERE fingerprint=? AND id<>? AND status<>'deleting'",
                              image.fingerprint, image.id));
    return row.next();
}

Status deleteImage(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missing(id), "DELETE FROM images WHERE id=?", id); });
}

Result<ImageAlias> findAlias(Database &db, const std::string &project, const std::string &name)
{
    return onlyRow(selectAliases(db, "WHERE p.name=? AND a.name=?", TRY(homeOf(db, project, Shared::Images)), name), missingAlias(project, name));
}

Result<std::vector<ImageAlias>> listAliases(Database &db, const std::string &project)
{
    return project.empty() ? selectAliases(db, "") : selectAliases(db, "WHERE p.name=?", TRY(homeOf(db, project, Shared::Images)));
}

Result<std::int64_t> insertAlias(Database &db, const ImageAlias &alias)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, TRY(homeOf(db, alias.project, Shared::Images))));
        const std::int64_t image = TRY(imageId(db, alias.project, alias.fingerprint));
        TRY(named(run(db, kInsertAlias, project, alias.name, alias.description, image),
                  titled("image alias", alias.project, alias.name) + " already exists"));
        return db.lastInsertId();
    });
}

Status updateAlias(Database &db, const ImageAlias &alias)
{
    return db.transaction([&]() -> Status {
        const std::int64_t image = TRY(imageId(db, alias.project, alias.fingerprint));
        return change(db, missingAlias(alias.project, alias.name),
                      "UPDATE image_aliases SET description=?, image_id=? WHERE id=?", alias.description, image,
                      alias.id);
    });
}

Status renameAlias(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&] {
        return named(change(db, "image alias " + std::to_string(id) + " does not exist any more",
                            "UPDATE image_aliases SET name=? WHERE id=?", name, id),
                     "image alias " + quoted(name) + " already exists");
    });
}

Status deleteAlias(Database &db, const std::string &project, const std::string &name)
{
    return db.transaction([&]() -> Status {
        const ImageAlias alias = TRY(findAlias(db, project, name));
        return change(db, missingAlias(project, name), "DELETE FROM image_aliases WHERE id=?", alias.id);
    });
}

} // namespace lxmgr::store

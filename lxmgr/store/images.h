// Tables images, image_properties, image_aliases, image_sources, image_profiles.
#pragma once

#include "store/projects.h"

#include <optional>

namespace lxmgr::store
{

enum class ImageStatus { Creating, Ready, Deleting };

/// The server that an image was fetched from, and what it was asked for.
struct ImageOrigin {
    std::string server;   ///< URL
    std::string protocol; ///< "lxd", "incus", "simplestreams".
    std::string alias;    ///< "": asked for by its fingerprint, so that there is nothing newer.
    std::string certificate; ///< PEM, the only one believed; "" for what certification authorities vouch for.
    std::int64_t checkedAt = 0; ///< When the server was last asked for something newer.
    bool operator==(const ImageOrigin &) const = default;
};

struct Image {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string fingerprint; ///< 64 hex digits.
    std::string filename;
    std::string architecture;
    std::string format;     ///< How the files lie in the image store, its room's own word: "unified", "split".
    std::uint64_t size = 0; ///< Bytes.
    ImageStatus status = ImageStatus::Ready;
    bool isPublic = false;
    bool cached = false;
    bool autoUpdate = false;
    std::string
        source; ///< What it was made or fetched from, as the resolver writes it ("template:debian/13"); "" for none.
    std::int64_t createdAt = 0; ///< Of the image itself (its metadata).
    std::int64_t uploadedAt = 0;
    std::int64_t expiresAt = 0; ///< 0: never.
    std::int64_t lastUsedAt = 0;
    StringMap properties;
    std::vector<std::string> aliases; ///< Read only.
    /// That its instances get where nobody names any; empty: "default". Those of the project that asked, where none did of its own. Read only.
    std::vector<std::string> profiles;
    std::optional<ImageOrigin> origin;
};

struct ImageAlias {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string name;
    std::string description;
    std::string fingerprint;
};

// Each of these looks in the project's home for images (homeOf()).

/// Fills uploadedAt when 0. AlreadyExists.
Result<std::int64_t> insertImage(Database &db, const Image &image);
/// By the whole fingerprint or the start of it. NotFound; Invalid where the start fits several.
Result<Image> findImage(Database &db, const std::string &project, const std::string &fingerprint);
/// The newest ready image of that source. NotFound.
Result<Image> findImageBySource(Database &db, const std::string &project, const std::string &source);
/// The newest ready image that was fetched as `origin.alias` from there. NotFound.
Result<Image> findImageByOrigin(Database &db, const std::string &project, const ImageOrigin &origin);
/// By alias, else by fingerprint: what people type.
Result<Image> resolveImage(Database &db, const std::string &project, const std::string &aliasOrFingerprint);
Result<std::vector<Image>> listImages(Database &db, const std::string &project);
Result<std::vector<Image>> listImagesIn(Database &db, ImageStatus status);
/// Images that are updated by themselves, the one whose server was asked longest ago first.
Result<std::vector<Image>> listAutoUpdated(Database &db);
/// Cached images, the one used longest ago first.
Result<std::vector<Image>> listCached(Database &db);
/// Replaces properties, isPublic, autoUpdate, cached, expiresAt, source of `image.id`.
Status updateImage(Database &db, const Image &image);
Status setImageStatus(Database &db, std::int64_t id, ImageStatus status);
Status setImageUsed(Database &db, std::int64_t id, std::int64_t at);
/// In place of the one it has, if it has one.
Status setImageOrigin(Database &db, std::int64_t id, const ImageOrigin &origin);
Status setImageChecked(Database &db, std::int64_t id, std::int64_t at);
/// Those that its instances in `project` get where nobody names any; none: "default". NotFound: there is no such profile; AlreadyExists: it is
/// named twice.
Status setImageProfiles(Database &db, std::int64_t id, const std::string &project, const std::vector<std::string> &profiles);
/// Of all projects: one image takes the place of another.
Status copyImageProfiles(Database &db, std::int64_t from, std::int64_t to);
/// By the project whose profiles they are.
Result<std::map<std::string, std::vector<std::string>>> profilesOfImage(Database &db, std::int64_t id);
/// Fingerprints of those that bring the profile.
Result<std::vector<std::string>> imagesWithProfile(Database &db, std::int64_t profile);
/// Whether another project has it too, and is not about to delete it: the files of an image lie there once for all.
Result<bool> isImageShared(Database &db, const Image &image);
/// With its aliases.
Status deleteImage(Database &db, std::int64_t id);

Result<ImageAlias> findAlias(Database &db, const std::string &project, const std::string &name);
Result<std::vector<ImageAlias>> listAliases(Database &db, const std::string &project);
/// AlreadyExists; NotFound where no image has the fingerprint.
Result<std::int64_t> insertAlias(Database &db, const ImageAlias &alias);
/// New description and image.
Status updateAlias(Database &db, const ImageAlias &alias);
Status renameAlias(Database &db, std::int64_t id, const std::string &name);
Status deleteAlias(Database &db, const std::string &project, const std::string &name);

} // namespace lxmgr::store

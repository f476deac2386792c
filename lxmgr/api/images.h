// Images and their aliases as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/time.h"
#include "api/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct ImageAlias { ///< As an image lists it.
    std::string name, description;
    bool operator==(const ImageAlias &) const = default;
};
template <> struct Fields<ImageAlias> {
    static constexpr auto rows =
        std::tuple{Field{"name", &ImageAlias::name}, Field{"description", &ImageAlias::description}};
};

struct ImageUpdateSource {
    std::string alias, certificate, protocol, server, imageType;
    bool operator==(const ImageUpdateSource &) const = default;
};
template <> struct Fields<ImageUpdateSource> {
    using T = ImageUpdateSource;
    static constexpr auto rows =
        std::tuple{Field{"alias", &T::alias}, Field{"certificate", &T::certificate}, Field{"protocol", &T::protocol},
                   Field{"server", &T::server}, Field{"image_type", &T::imageType}};
};

struct Image {
    bool autoUpdate = false;
    StringMap properties;
    bool isPublic = false;
    Time expiresAt;
    std::vector<std::string> profiles;
    std::vector<ImageAlias> aliases;
    std::string architecture;
    bool cached = false;
    std::string filename, fingerprint;
    std::int64_t size = 0;
    std::optional<ImageUpdateSource> updateSource;
    std::string type = "container";
    std::string project = "default";
    Time createdAt, lastUsedAt, uploadedAt;
};
template <> struct Fields<Image> {
    using T = Image;
    static constexpr auto rows = std::tuple{
        Field{"auto_update", &T::autoUpdate},
        Field{"properties", &T::properties},
        Field{"public", &T::isPublic},
        Field{"expires_at", &T::expiresAt},
        Field{"profiles", &T::profiles},
        Field{"aliases", &T::aliases},
        Field{"architecture", &T::architecture},
        Field{"cached", &T::cached},
        Field{"filename", &T::filename},
        Field{"fingerprint", &T::fingerprint},
        Field{"project", &T::project},
        Field{"size", &T::size},
        Field{"update_source", &T::updateSource, OmitEmpty{}},
        Field{"type", &T::type},
        Field{"created_at", &T::createdAt},
        Field{"last_used_at", &T::lastUsedAt},
        Field{"uploaded_at", &T::uploadedAt},
    };
};

struct ImagePut {
    std::optional<bool> autoUpdate, isPublic;
    std::optional<StringMap> properties;
    std::optional<Time> expiresAt;
    std::optional<std::vector<std::string>> profiles;
};
template <> struct Fields<ImagePut> {
    using T = ImagePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"auto_update", &T::autoUpdate, E}, Field{"public", &T::isPublic, E},
        Field{"properties", &T::properties, E},  Field{"expires_at", &T::expiresAt, E},
        Field{"profiles", &T::profiles, E},
    };
};

struct ImageSource {
    std::string type, name, project; ///< instance, container, snapshot: publish
    std::string mode, server, protocol, alias, fingerprint, secret, certificate, url;
    std::string imageType;
};
template <> struct Fields<ImageSource> {
    using T = ImageSource;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type, E},
        Field{"name", &T::name, E},
        Field{"project", &T::project, E},
        Field{"mode", &T::mode, E},
        Field{"server", &T::server, E},
        Field{"protocol", &T::protocol, E},
        Field{"alias", &T::alias, E},
        Field{"fingerprint", &T::fingerprint, E},
        Field{"secret", &T::secret, E},
        Field{"certificate", &T::certificate, E},
        Field{"url", &T::url, E},
        Field{"image_type", &T::imageType, E},
    };
};

/// POST /1.0/images as JSON (publish, copy); an upload has its fields in headers.
struct ImagesPost {
    std::string filename;
    bool isPublic = false, autoUpdate = false;
    std::optional<StringMap> properties;
    std::optional<Time> expiresAt;
    std::optional<std::vector<std::string>> profiles;
    std::vector<ImageAlias> aliases;
    std::string compressionAlgorithm;
    ImageSource source;
};
template <> struct Fields<ImagesPost> {
    using T = ImagesPost;
    static constexpr auto rows = std::tuple{
        Field{"filename", &T::filename},
        Field{"public", &T::isPublic},
        Field{"auto_update", &T::autoUpdate},
        Field{"properties", &T::properties},
        Field{"expires_at", &T::expiresAt},
        Field{"profiles", &T::profiles},
        Field{"aliases", &T::aliases},
        Field{"compression_algorithm", &T::compressionAlgorithm},
        Field{"source", &T::source},
    };
};

/// POST /1.0/images/<fingerprint>/export
struct ImageExportPost {
    std::string target, secret, certificate, project;
};
template <> struct Fields<ImageExportPost> {
    using T = ImageExportPost;
    static constexpr auto rows =
        std::tuple{Field{"target", &T::target}, Field{"secret", &T::secret}, Field{"certificate", &T::certificate}, Field{"project", &T::project}};
};

struct ImageAliasEntry { ///< /1.0/images/aliases/<name>; POST body too.
    std::string name, description, target;
    std::string type = "container";
};
template <> struct Fields<ImageAliasEntry> {
    using T = ImageAliasEntry;
    static constexpr auto rows = std::tuple{Field{"description", &T::description}, Field{"target", &T::target},
                                            Field{"name", &T::name}, Field{"type", &T::type}};
};

struct ImageAliasPut { ///< PUT and PATCH
    std::optional<std::string> description, target;
};
template <> struct Fields<ImageAliasPut> {
    using T = ImageAliasPut;
    static constexpr auto rows = std::tuple{Field{"description", &T::description, OmitEmpty{}},
                                            Field{"target", &T::target, OmitEmpty{}}};
};

} // namespace lxmgr::api

// What the server's own keys say, typed; the table is in server_keys.h.
#pragma once

#include "config/keys.h"
#include "config/snapshots.h"

namespace lxmgr::config
{

/// trash.expiry: how long something is kept, or "0" for not at all.
struct KeepFor {
    std::optional<SnapshotExpiry> span;
    bool operator==(const KeepFor &) const = default;
};
template <> struct Codec<KeepFor> {
    static constexpr std::string_view kType = "time span";
    static Result<KeepFor> parse(std::string_view text);
    static std::string format(const KeepFor &value);
};

/// An image server by the name that people write in front of an image's.
struct ImageServerName {
    std::string name;
    std::string url;
    bool operator==(const ImageServerName &) const = default;
};
/// What is asked where nothing else is said; the client's remotes of these names are the same.
inline constexpr std::string_view kUsualImageServers = "images=https://images.linuxcontainers.org ubuntu=https://cloud-images.ubuntu.com/releases";

/// images.servers: "name=https://… name=https://…", in the order they are asked; "none".
struct ImageServers {
    std::vector<ImageServerName> list;
    bool operator==(const ImageServers &) const = default;
};
template <> struct Codec<ImageServers> {
    static constexpr std::string_view kType = "servers";
    static Result<ImageServers> parse(std::string_view text);
    static std::string format(const ImageServers &value);
};

/// core.trust_password as it is kept: what tls::hashPassword() made of it.
struct PasswordHash {
    std::string text;
    bool operator==(const PasswordHash &) const = default;
};
template <> struct Codec<PasswordHash> {
    static constexpr std::string_view kType = "password";
    static Result<PasswordHash> parse(std::string_view text);
    static std::string format(const PasswordHash &value);
};
inline constexpr std::string_view kTrustPassword = "core.trust_password";

struct ServerConfig {
    std::optional<std::string> backupsCompression; ///< Read by images::parseExportCompression().
    std::optional<AbsolutePath> backupsPassphraseFile;
    std::optional<AbsolutePath> backupsRepository;
    std::optional<std::string> backupsRetention; ///< Read by backup::parseRetention().
    std::optional<std::string> httpsAddress; ///< Read by daemon::parseHttpsAddress().
    std::optional<bool> imagesAutoUpdateCached;
    std::optional<std::uint32_t> imagesAutoUpdateInterval; ///< Hours; 0: never.
    std::optional<std::uint32_t> imagesCacheExpiry;        ///< Days; 0: never.
    std::optional<ImageServers> imageServers;
    std::optional<SnapshotExpiry> remoteTokenExpiry;
    std::optional<bool> trustCaCertificates;
    std::optional<PasswordHash> trustPassword;
    std::optional<KeepFor> trashExpiry;
    std::map<std::string, std::string> user;
    bool operator==(const ServerConfig &) const = default;

    /// When something that is kept from `now` on expires, in Unix seconds; nullopt: it is not kept.
    std::optional<std::time_t> keptUntil(std::time_t now) const;
    /// Those of images.servers, or the usual ones.
    std::vector<ImageServerName> imageServerList() const;
    std::uint32_t autoUpdateHours() const { return imagesAutoUpdateInterval.value_or(6); }
    std::uint32_t cacheDays() const { return imagesCacheExpiry.value_or(10); }
};

/// Checks and types every key. Invalid or Unsupported with all that is wrong, each by its name, with the nearest key where
/// it is unknown.
Result<ServerConfig> parseServerConfig(const StringMap &config);

} // namespace lxmgr::config

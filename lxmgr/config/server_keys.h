// The table of the server's own keys.
#pragma once

#include "config/server_config.h"

#include <algorithm>

namespace lxmgr::config
{

// clang-format off
inline constexpr Key<ServerConfig> kServerKeys[] = {
    {"backups.compression_algorithm", field<&ServerConfig::backupsCompression>, Apply::Live, "gzip", "Compression of exports that the server keeps: gzip, zstd, xz, bzip2, lzma or none."},
    {"backups.passphrase_file", field<&ServerConfig::backupsPassphraseFile>, Apply::Live, "", "File with the passphrase of the backup repository, for root alone. Set before the first backup, the repository is made encrypted."},
    {"backups.repository", field<&ServerConfig::backupsRepository>, Apply::Live, "below the state folder", "Folder of the backup repository, best on another disk; made with the first backup, or one that borg made."},
    {"backups.retention", field<&ServerConfig::backupsRetention>, Apply::Live, "", "Which backups 'lxmgr backup prune' keeps of each instance unless told: daily=7 weekly=4 monthly=12; also last, hourly and yearly."},
    {"core.https_address", field<&ServerConfig::httpsAddress>, Apply::Live, "", "Where clients of the network are answered over TLS: :8443 for all addresses of the host, or 192.0.2.1:8443. Unset: nowhere."},
    {"core.remote_token_expiry", field<&ServerConfig::remoteTokenExpiry>, Apply::Live, "1d", "How long a token of 'lxmgr config trust add' can be used: 15M, 1d (as snapshots.expiry)."},
    {"core.trust_ca_certificates", field<&ServerConfig::trustCaCertificates>, Apply::Live, "false", "Whether every certificate that the authority in server.ca of the state folder signed is trusted without being listed."},
    {"core.trust_password", field<&ServerConfig::trustPassword>, Apply::Live, "", "Password by which clients of the network make themselves trusted without restriction, for clients that know no tokens. Kept as a hash, shown as true. Tokens ('lxmgr config trust add') work once, expire and can be restricted: prefer them."},
    {"images.auto_update_cached", field<&ServerConfig::imagesAutoUpdateCached>, Apply::Live, "true", "Whether images that were fetched for an instance are kept up to date as long as they are used."},
    {"images.auto_update_interval", field<&ServerConfig::imagesAutoUpdateInterval>, Apply::Live, "6", "Hours between two looks for newer versions of images with auto_update; 0: never."},
    {"images.remote_cache_expiry", field<&ServerConfig::imagesCacheExpiry>, Apply::Live, "10", "Days after its last use at which an image that was fetched for an instance is deleted; 0: never."},
    {"images.servers", field<&ServerConfig::imageServers>, Apply::Live, "images=https://images.linuxcontainers.org ubuntu=https://cloud-images.ubuntu.com/releases", "Servers (simplestreams) asked for an image that is not in the local store, one after the other, before it is built from a template; none: no server is asked."},
    {"trash.expiry", field<&ServerConfig::trashExpiry>, Apply::Live, "7d", "How long what 'lxmgr undo' can bring back is kept: 3d, or 1d 12H (as snapshots.expiry); 0: from now on nothing is."},
    {"user.*", field<&ServerConfig::user>, Apply::Live, "",   "Free text for people and tools."},
};
// clang-format on
static_assert(std::ranges::is_sorted(kServerKeys, {}, &Key<ServerConfig>::name));

// Known elsewhere, not carried out here; "*" ends a prefix.
inline constexpr std::string_view kUnsupportedServerKeys[] = {
    "acme.*", "candid.*", "cluster.*", "core.*", "images.*", "instances.*", "loki.*",
    "maas.*", "network.*", "oidc.*", "openfga.*", "rbac.*", "storage.*",
};
static_assert(std::ranges::is_sorted(kUnsupportedServerKeys));

} // namespace lxmgr::config

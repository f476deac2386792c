// Resources below …/volumes/custom/<v>/backups: exports of volumes that the server keeps.
#pragma once

#include "api/fields.h"
#include "api/time.h"

#include <cstdint>
#include <string>
#include <tuple>

namespace lxmgr::api
{

/// An export of a volume that the server keeps.
struct StorageVolumeBackup {
    std::string name;
    Time createdAt, expiresAt;
    bool volumeOnly = false, optimizedStorage = false;
    std::string compressionAlgorithm; ///< Ours, as `size`.
    std::int64_t size = 0;            ///< Bytes.
};
template <> struct Fields<StorageVolumeBackup> {
    using T = StorageVolumeBackup;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"created_at", &T::createdAt},
        Field{"expires_at", &T::expiresAt},
        Field{"volume_only", &T::volumeOnly},
        Field{"optimized_storage", &T::optimizedStorage},
        Field{"compression_algorithm", &T::compressionAlgorithm},
        Field{"size", &T::size},
    };
};

struct StorageVolumeBackupsPost {
    std::string name;
    Time expiresAt;
    bool volumeOnly = false, optimizedStorage = false;
    std::string compressionAlgorithm;
};
template <> struct Fields<StorageVolumeBackupsPost> {
    using T = StorageVolumeBackupsPost;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"expires_at", &T::expiresAt},
        Field{"volume_only", &T::volumeOnly},
        Field{"optimized_storage", &T::optimizedStorage},
        Field{"compression_algorithm", &T::compressionAlgorithm},
    };
};

} // namespace lxmgr::api

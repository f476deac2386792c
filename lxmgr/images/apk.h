// Indexes and packages of Alpine's apk, version 2 of their format (apk-v2(5), "Apk spec" of Alpine's wiki): gzip
// members one after the other, first the signatures, then what they sign. Nothing is read before its signature is
// checked.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace lxmgr::images
{

/// Public keys (PEM) by the file names that signatures name them by.
using ApkKeys = std::map<std::string, std::string>;

inline constexpr std::size_t kMostApkIndex = 64U << 20; ///< Bytes of an index, packed and unpacked.
inline constexpr std::size_t kMostApk = 32U << 20;      ///< Bytes of a package, and of the program taken out of it.

/// A package as a repository's index knows it.
struct ApkEntry {
    std::string name, version;
    std::string checksum; ///< As it stands there: "Q1" and SHA-1 of the control member in base 64.
    std::uint64_t size = 0;
    bool operator==(const ApkEntry &) const = default;
};
/// "NAME VERSION CHECKSUM SIZE", the way from the confined reader to the planner and back.
std::string formatApkEntry(const ApkEntry &entry);
Result<ApkEntry> parseApkEntry(std::string_view line);

/// `package` in the index APKINDEX.tar.gz, whose signature by one of `keys` is checked first. Invalid: a damaged,
/// unsigned or wrongly signed index, or one that is too large; NotFound: it has no such package.
Result<ApkEntry> findInApkIndex(std::string_view index, const ApkKeys &keys, const std::string &package);

/// The file `path` (or usr/`path`) of a package that must be `entry`: its size, its control member (against the index's
/// checksum and by a signature of its own) and its data (against the hash in the control member) are checked first.
/// Invalid otherwise.
Result<std::string> fileOfApk(std::string_view package, const ApkKeys &keys, const ApkEntry &entry,
                              const std::string &path);

} // namespace lxmgr::images

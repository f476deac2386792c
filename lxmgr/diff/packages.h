// Installed packages by the databases of dpkg, apk and rpm: text and tables a guest may have written anything into.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "diff/changes.h"

#include <compare>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::diff
{

struct Package {
    std::string name;
    std::string architecture;
    std::string version;
    auto operator<=>(const Package &) const = default;
};
using PackageSet = std::set<Package>; ///< rpm keeps several versions of one package side by side (kernels).

inline constexpr std::size_t kLongestPackageWord = 512; ///< A name, version or architecture beyond is no package.
inline constexpr std::size_t kMostPackages = 200'000;

/// /var/lib/dpkg/status, or a file of status.d, which has no Status fields. Packages that are installed or half so.
void parseDpkg(std::string_view text, PackageSet &packages);
/// /lib/apk/db/installed.
void parseApk(std::string_view text, PackageSet &packages);
/// The header of one installed package as rpm's database keeps it. Corrupt where it is none.
Status parseRpmHeader(std::string_view blob, PackageSet &packages);
/// A whole rpmdb.sqlite. Corrupt, Unsupported.
Status parseRpmDatabase(std::string file, PackageSet &packages);

/// Versions that follow one another are a change; all else came or went.
std::vector<PackageChange> comparePackages(const PackageSet &before, const PackageSet &after);

/// Of every package manager that has a database below `before` or `after`.
std::vector<Packages> comparePackagesIn(const Fd &before, const Fd &after);

} // namespace lxmgr::diff

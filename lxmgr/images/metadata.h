// What an image says of itself: metadata.yaml, or a guess from os-release where an archive has none.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::images
{

/// One file that is written into an instance when something happens to it.
struct TemplateRule {
    std::string target;                            ///< Absolute path inside the instance.
    std::vector<std::string> when;                 ///< create, copy, rename, start.
    bool createOnly = false;                       ///< Leave an existing file alone.
    std::string source;                            ///< One name below templates/.
    std::map<std::string, std::string> properties; ///< Given to the template as `properties`.
    std::optional<std::uint32_t> uid, gid, mode;
};

struct Metadata {
    std::string architecture;      ///< As uname -m says it: "x86_64".
    std::int64_t creationDate = 0; ///< Seconds since 1970.
    std::int64_t expiryDate = 0;   ///< 0: never.
    std::map<std::string, std::string> properties; ///< os, release, variant, serial, description, requirements.*, …
    std::vector<TemplateRule> templates;
};

/// Reads metadata.yaml. Invalid with line and column; keys we do not know are passed over, as newer makers add some.
Result<Metadata> parseMetadata(std::string_view text);
/// metadata.yaml again; parseMetadata gives back the same.
std::string formatMetadata(const Metadata &metadata);
/// What can be known of a root file system without metadata.yaml, from its os-release(5).
Metadata guessMetadata(std::string_view osRelease, const std::string &architecture, std::int64_t now);
/// "amd64", "arm64", "i386" … as uname -m says it; others unchanged.
std::string kernelArchitecture(const std::string &name);

} // namespace lxmgr::images

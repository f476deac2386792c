// Image templates: files like /etc/hostname that are rendered for an instance, in a small language without any file access.
//
// {{ expression }}, {% if %} {% elif %} {% else %} {% endif %}, {% for x in list %} {% for k, v in map %} {% endfor %}, {# comment #},
// a.b and a["b"] access, and or not in == != < > <= >= + - *, "text" and numbers, config_get("key", "default"), filters
// (default, default_if_none, length, lower, upper, capfirst, trim, join, split, cut, first, last, integer, yesno, addslashes, safe).
// {% include %} and its kin do not exist. Steps, depth and output are bounded.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "images/metadata.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::images
{

/// What a template may see.
struct RenderContext {
    std::string trigger;                                                 ///< create, copy, rename or start.
    std::map<std::string, std::string> instance;                         ///< name, architecture, privileged, ephemeral, type.
    std::map<std::string, std::string> config;                           ///< Expanded.
    std::map<std::string, std::map<std::string, std::string>> devices;   ///< Expanded.
    std::map<std::string, std::map<std::string, std::string>> values;    ///< Further names: "image" while an image is built.
};

/// A file to be written by the guest's root before its init starts (instances turns it into spec::GuestFile).
struct RenderedFile {
    std::string path;
    std::string content;
    bool createOnly = false;
    std::uint32_t uid = 0, gid = 0, mode = 0644;
};

/// Renders one text. `path` and `properties` are the rule's. Invalid with line and column.
Result<std::string> renderText(std::string_view text, const RenderContext &context, const std::string &path,
                               const std::map<std::string, std::string> &properties);

/// Renders every rule of `metadata` that `context.trigger` asks for; sources lie below templates/ of the image's folder.
/// Invalid: names the template.
Result<std::vector<RenderedFile>> renderTemplates(const Metadata &metadata, const Fd &imageDirectory, const RenderContext &context);

/// Reads and parses metadata.yaml of an image's folder (storage::Driver::openImage).
Result<Metadata> readMetadata(const Fd &imageDirectory);

} // namespace lxmgr::images

// <fingerprint>.yaml beside an image's file: what the database knows of the image and the file does not say.
#pragma once

#include "config/yaml.h"

#include <cstdint>

namespace lxmgr::config
{

struct ImageAliasDocument {
    std::string name;
    std::string description;
    bool operator==(const ImageAliasDocument &) const = default;
};
/// The image as one project has it.
struct ImageRecord {
    std::string project;
    std::string filename;
    std::string source;
    bool isPublic = false;
    std::int64_t uploadedAt = 0; ///< Unix milliseconds.
    std::int64_t expiresAt = 0;  ///< 0: never.
    StringMap properties;
    std::vector<ImageAliasDocument> aliases;
    bool cached = false;
    bool autoUpdate = false;
    std::map<std::string, std::vector<std::string>> profiles; ///< That its instances get, by project.
    StringMap origin; ///< server, protocol, alias, certificate; empty: it was fetched from nowhere.
    bool operator==(const ImageRecord &) const = default;
};
struct ImageDocument {
    std::string fingerprint;
    std::vector<ImageRecord> projects;
    bool operator==(const ImageDocument &) const = default;
};
std::string writeImageDocument(const ImageDocument &document);
/// Corrupt with file:line:column; Unsupported where a newer lxmgr wrote it in another form.
Result<ImageDocument> readImageDocument(std::string_view text, const std::string &file);

} // namespace lxmgr::config

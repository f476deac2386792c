// YAML in and out: a bounded reader without aliases whose errors say file:line:column, and the documents people edit.
#pragma once

#include "base/result.h"
#include "base/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lxmgr::config
{

struct YamlLimits {
    std::size_t bytes = 1 << 20;
    std::size_t depth = 32;
    std::size_t nodes = 100'000;
};

/// One node of a document, map entries in the order written.
struct YamlNode {
    enum class Kind { Null, Scalar, Sequence, Map };
    Kind kind = Kind::Null;
    std::string scalar;
    bool plain = false; ///< Scalar without quotes: `true`, `12` and such may mean more than text.
    std::vector<YamlNode> items;
    std::vector<std::pair<std::string, YamlNode>> entries;
    std::uint32_t line = 0, column = 0;       ///< From 1; 0: not from a file.
    std::uint32_t keyLine = 0, keyColumn = 0; ///< Of the key this node is the value of.

    static YamlNode text(std::string value); ///< Written with quotes where YAML would read something else.
    static YamlNode word(std::string value); ///< Written as it stands: true, 12.
    static YamlNode sequence(std::vector<YamlNode> items = {});
    static YamlNode map();
    static YamlNode map(const StringMap &entries);
    static YamlNode map(const DeviceMap &entries);
    YamlNode &add(std::string key, YamlNode value); ///< Appends an entry; returns this.
    const YamlNode *find(std::string_view key) const;
};

/// Reads exactly one document. Invalid as "<file>:<line>:<column>: what". Refused: aliases, anchors, tags other than
/// the standard ones, doubled keys, keys that are not scalars, more than the limits.
Result<YamlNode> parseYaml(std::string_view text, const std::string &file, const YamlLimits &limits = {});
/// Whether it is YAML at all, with what parseYaml() refuses of it. Invalid as "<file>:<line>:<column>: what".
Status checkYaml(std::string_view text, const std::string &file);
/// Block style, two spaces, strings quoted only where needed, text of several lines as "|" blocks.
std::string formatYaml(const YamlNode &node);

/// "<file>:<line>:<column>: what" for a node that is well-formed but not acceptable.
Error yamlError(const std::string &file, const YamlNode &at, const std::string &what);
/// The same, at the key whose value `at` is.
Error yamlKeyError(const std::string &file, const YamlNode &at, const std::string &what);
/// The text of a scalar; null gives "". `what` names it in errors, here and below.
Result<std::string> yamlText(const YamlNode &node, const std::string &file, const std::string &what);
Result<bool> yamlBool(const YamlNode &node, const std::string &file, const std::string &what);
/// A sequence of scalars; null gives {}.
Result<std::vector<std::string>> yamlStrings(const YamlNode &node, const std::string &file, const std::string &what);
/// A map of scalars ("config:"); null gives {}.
Result<StringMap> yamlStringMap(const YamlNode &node, const std::string &file, const std::string &what);
/// A map of maps of scalars ("devices:").
Result<DeviceMap> yamlDeviceMap(const YamlNode &node, const std::string &file);

/// What `config show` prints and `config edit` reads, in this order of keys.
struct InstanceDocument {
    std::string architecture;
    StringMap config;
    DeviceMap devices;
    bool ephemeral = false;
    std::vector<std::string> profiles;
    bool stateful = false;
    std::string description;
    std::optional<std::string> name; ///< Read where present (export, recover); not written by writeInstance.
    bool operator==(const InstanceDocument &) const = default;
};
/// Keys and devices are checked too, with the position of what is wrong. Read-only API fields are passed over; other
/// unknown keys are refused.
Result<InstanceDocument> readInstance(std::string_view text, const std::string &file);
std::string writeInstance(const InstanceDocument &document);

struct ProfileDocument {
    std::string name;
    std::string description;
    StringMap config;
    DeviceMap devices;
    std::vector<std::string> usedBy; ///< Written only.
    bool operator==(const ProfileDocument &) const = default;
};
Result<ProfileDocument> readProfile(std::string_view text, const std::string &file);
std::string writeProfile(const ProfileDocument &document);

} // namespace lxmgr::config

#include "images/metadata.h"

#include "base/text.h"

#include <algorithm>
#include <sys/utsname.h>
#include <yaml-cpp/yaml.h>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kLongestText = 1 << 20;
constexpr std::size_t kMostTemplates = 100;
constexpr std::size_t kMostProperties = 1000;
constexpr std::string_view kTriggers[] = {"create", "copy", "rename", "start"};

Error bad(const YAML::Mark &mark, const std::string &why)
{
    if (mark.is_null())
        return {Code::Invalid, "metadata.yaml: " + why};
    return {Code::Invalid, "metadata.yaml:" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1) + ": " + why};
}

Result<std::string> text(const YAML::Node &node, const std::string &what)
{
    if (node.IsNull())
        return std::string();
    if (!node.IsScalar())
        return bad(node.Mark(), what + " must be a text");
    if (node.Scalar().find('\0') != std::string::npos)
        return bad(node.Mark(), what + " holds a NUL byte");
    return node.Scalar();
}

Result<std::map<std::string, std::string>> texts(const YAML::Node &node, const std::string &what)
{
    std::map<std::string, std::string> found;
    if (!node || node.IsNull())
        return found;
    if (!node.IsMap())
        return bad(node.Mark(), what + " must be a map of texts");
    for (const auto &entry : node) {
        if (found.size() >= kMostProperties)
            return bad(node.Mark(), what + " has more than " + std::to_string(kMostProperties) + " entries");
        const std::string key = TRY(text(entry.first, what));
        found[key] = TRY(text(entry.second, what + "." + escaped(key)));
    }
    return found;
}

Result<std::int64_t> date(const YAML::Node &node, const std::string &what)
{
    if (!node || node.IsNull())
        return std::int64_t(0);
    // Some makers write seconds as a float ("1700000000.0").
    std::string digits = TRY(text(node, what));
    if (const auto point = digits.find('.'); point != std::string::npos && digits.find_first_not_of("0", point + 1) == std::string::npos)
        digits.resize(point);
    const auto seconds = parseSigned(digits, 0);
    if (!seconds)
        return bad(node.Mark(), what + " must be seconds since 1970");
    return *seconds;
}

Result<std::vector<std::string>> triggers(const YAML::Node &node)
{
    std::vector<std::string> found;
    if (!node || node.IsNull())
        return found;
    if (!node.IsSequence())
        return bad(node.Mark(), "'when' must be a list");
    for (const auto &entry : node) {
        std::string word = TRY(text(entry, "'when'"));
        if (std::ranges::find(kTriggers, word) == std::end(kTriggers))
            return bad(entry.Mark(), quoted(word) + " is not one of create, copy, rename, start");
        if (std::ranges::find(found, word) == found.end())
            found.push_back(std::move(word));
    }
    return found;
}

Result<std::optional<std::uint32_t>> number(const YAML::Node &node, const std::string &what, int base, std::uint32_t most)
{
    if (!node || node.IsNull())
        return std::optional<std::uint32_t>();
    const std::string digits = TRY(text(node, what));
    const std::string_view allowed = base == 8 ? "01234567" : "0123456789";
    if (digits.empty() || digits.size() > 10 || digits.find_first_not_of(allowed) != std::string::npos)
        return bad(node.Mark(), what + " is not a number");
    const unsigned long value = std::stoul(digits, nullptr, base);
    if (value > most)
        return bad(node.Mark(), what + " is too large");
    return std::optional<std::uint32_t>(static_cast<std::uint32_t>(value));
}

Status checkTarget(const YAML::Node &node, const std::string &target)
{
    if (target.empty() || target.front() != '/' || target.size() > 4096)
        return bad(node.Mark(), "template target " + quoted(target) + " must be an absolute path");
    for (const std::string &part : split(target, '/'))
        if (part == "..")
            return bad(node.Mark(), "template target " + quoted(target) + " must not contain '..'");
    return {};
}

Status checkSource(const YAML::Node &node, const std::string &source)
{
    const bool good = !source.empty() && source.size() <= 255 && source.find('/') == std::string::npos && source != "." && source != "..";
    return good ? Status() : Status(bad(node.Mark(), "template " + quoted(source) + " must be the name of one file below templates/"));
}

Result<TemplateRule> templateRule(const YAML::Node &target, const YAML::Node &node)
{
    if (!node.IsMap())
        return bad(node.Mark(), "a template must be a map");
    TemplateRule rule;
    rule.target = TRY(text(target, "template target"));
    TRY(checkTarget(target, rule.target));
    rule.when = TRY(triggers(node["when"]));
    if (const YAML::Node once = node["create_only"]) {
        const auto flag = parseBool(TRY(text(once, "'create_only'")));
        if (!flag)
            return bad(once.Mark(), "'create_only': " + flag.error().message);
        rule.createOnly = *flag;
    }
    const YAML::Node source = node["template"];
    if (!source)
        return bad(node.Mark(), "template of " + quoted(rule.target) + " names no file ('template' is missing)");
    rule.source = TRY(text(source, "'template'"));
    TRY(checkSource(source, rule.source));
    rule.properties = TRY(texts(node["properties"], "'properties'"));
    rule.uid = TRY(number(node["uid"], "'uid'", 10, 65535));
    rule.gid = TRY(number(node["gid"], "'gid'", 10, 65535));
    rule.mode = TRY(number(node["mode"], "'mode'", 8, 07777));
    return rule;
}

Result<std::vector<TemplateRule>> templateRules(const YAML::Node &node)
{
    std::vector<TemplateRule> rules;
    if (!node || node.IsNull())
        return rules;
    if (!node.IsMap())
        return bad(node.Mark(), "'templates' must be a map");
    if (node.size() > kMostTemplates)
        return bad(node.Mark(), "more than " + std::to_string(kMostTemplates) + " templates");
    for (const auto &entry : node)
        rules.push_back(TRY(templateRule(entry.first, entry.second)));
    return rules;
}

Result<Metadata> fromYaml(const YAML::Node &root)
{
    if (!root.IsMap())
        return bad(root.Mark(), "must be a map with 'architecture' and 'creation_date'");
    Metadata metadata;
    const YAML::Node architecture = root["architecture"];
    if (!architecture)
        return bad(root.Mark(), "'architecture' is missing");
    metadata.architecture = kernelArchitecture(TRY(text(architecture, "'architecture'")));
    if (metadata.architecture.empty())
        return bad(architecture.Mark(), "'architecture' is empty");
    metadata.creationDate = TRY(date(root["creation_date"], "'creation_date'"));
    metadata.expiryDate = TRY(date(root["expiry_date"], "'expiry_date'"));
    metadata.properties = TRY(texts(root["properties"], "'properties'"));
    metadata.templates = TRY(templateRules(root["templates"]));
    return metadata;
}

void emitTexts(YAML::Emitter &out, const std::map<std::string, std::string> &values)
{
    out << YAML::BeginMap;
    for (const auto &[key, value] : values)
        out << YAML::Key << YAML::DoubleQuoted << key << YAML::Value << YAML::DoubleQuoted << value;
    out << YAML::EndMap;
}

void emitRule(YAML::Emitter &out, const TemplateRule &rule)
{
    out << YAML::Key << YAML::DoubleQuoted << rule.target << YAML::Value << YAML::BeginMap;
    out << YAML::Key << "when" << YAML::Value << YAML::Flow << rule.when;
    if (rule.createOnly)
        out << YAML::Key << "create_only" << YAML::Value << true;
    out << YAML::Key << "template" << YAML::Value << YAML::DoubleQuoted << rule.source;
    if (!rule.properties.empty()) {
        out << YAML::Key << "properties" << YAML::Value;
        emitTexts(out, rule.properties);
    }
    if (rule.uid)
        out << YAML::Key << "uid" << YAML::Value << *rule.uid;
    if (rule.gid)
        out << YAML::Key << "gid" << YAML::Value << *rule.gid;
    if (rule.mode) {
        char digits[16];
        std::snprintf(digits, sizeof digits, "%04o", *rule.mode);
        out << YAML::Key << "mode" << YAML::Value << YAML::DoubleQuoted << std::string(digits);
    }
    out << YAML::EndMap;
}

/// The value of an os-release(5) line, unquoted: a subset of shell quoting, never evaluated.
std::string unquoted(std::string_view value)
{
    value = trimmed(value);
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front())
        value = value.substr(1, value.size() - 2);
    std::string plain;
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (value[i] == '\\' && i + 1 < value.size())
            ++i;
        plain.push_back(value[i]);
    }
    return plain;
}

std::map<std::string, std::string> parseOsRelease(std::string_view osRelease)
{
    std::map<std::string, std::string> values;
    for (const std::string &line : split(osRelease, '\n')) {
        const std::string_view shown = trimmed(line);
        const auto equals = shown.find('=');
        if (!shown.empty() && shown.front() != '#' && equals != std::string_view::npos)
            values[std::string(shown.substr(0, equals))] = unquoted(shown.substr(equals + 1));
    }
    return values;
}

struct ArchitectureName {
    std::string_view given;
    std::string_view kernel;
};

/// Debian's, Go's and OCI's names → uname -m.
constexpr ArchitectureName kArchitectures[] = {
    {"amd64", "x86_64"},   {"arm64", "aarch64"}, {"armel", "armv7l"},   {"armhf", "armv7l"},      {"i386", "i686"},
    {"ppc64el", "ppc64le"}, {"x86", "i686"},      {"riscv", "riscv64"}, {"loong64", "loongarch64"}, {"x86-64", "x86_64"},
};

} // namespace

std::string kernelArchitecture(const std::string &name)
{
    for (const ArchitectureName &row : kArchitectures)
        if (row.given == name)
            return std::string(row.kernel);
    return name;
}

Result<Metadata> parseMetadata(std::string_view yaml)
{
    if (yaml.size() > kLongestText)
        return Error(Code::Invalid, "metadata.yaml is longer than 1 MiB");
    try {
        return fromYaml(YAML::Load(std::string(yaml)));
    } catch (const YAML::Exception &problem) {
        return bad(problem.mark, problem.msg);
    }
}

std::string formatMetadata(const Metadata &metadata)
{
    YAML::Emitter out;
    out << YAML::BeginMap;
    out << YAML::Key << "architecture" << YAML::Value << YAML::DoubleQuoted << metadata.architecture;
    out << YAML::Key << "creation_date" << YAML::Value << metadata.creationDate;
    if (metadata.expiryDate != 0)
        out << YAML::Key << "expiry_date" << YAML::Value << metadata.expiryDate;
    out << YAML::Key << "properties" << YAML::Value;
    emitTexts(out, metadata.properties);
    out << YAML::Key << "templates" << YAML::Value << YAML::BeginMap;
    for (const TemplateRule &rule : metadata.templates)
        emitRule(out, rule);
    out << YAML::EndMap << YAML::EndMap;
    return std::string(out.c_str()) + "\n";
}

Metadata guessMetadata(std::string_view osRelease, const std::string &architecture, std::int64_t now)
{
    auto values = parseOsRelease(osRelease);
    Metadata metadata;
    metadata.architecture = kernelArchitecture(architecture);
    metadata.creationDate = now;
    auto &properties = metadata.properties;
    properties["os"] = values.contains("ID") ? values["ID"] : "linux";
    properties["release"] = values.contains("VERSION_CODENAME") ? values["VERSION_CODENAME"] : values["VERSION_ID"];
    properties["version"] = values["VERSION_ID"];
    properties["architecture"] = metadata.architecture;
    properties["description"] = values.contains("PRETTY_NAME") ? values["PRETTY_NAME"] : properties["os"];
    std::erase_if(properties, [](const auto &entry) { return entry.second.empty(); });
    return metadata;
}

} // namespace lxmgr::images

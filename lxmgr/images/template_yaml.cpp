#include "images/template_yaml.h"

#include <algorithm>
#include <charconv>

namespace lxmgr::images::yaml
{

namespace
{
constexpr std::size_t kMostText = 1 << 20;
}

std::string Reader::place(const YAML::Mark &mark) const
{
    if (mark.is_null())
        return m_file + ": ";
    return m_file + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1) + ": ";
}

Error Reader::wrong(const YAML::Node &node, const std::string &what) const
{
    return {Code::Invalid, place(node.Mark()) + what};
}

Error Reader::refused(const YAML::Node &node, const std::string &what) const
{
    return {Code::Unsupported, place(node.Mark()) + "not supported: " + what};
}

Result<YAML::Node> Reader::load(const std::string &text) const
{
    if (text.size() > kMostText)
        return Error(Code::Invalid, m_file + ": longer than 1MiB");
    try {
        YAML::Node root = YAML::Load(text);
        if (!root.IsMap())
            return wrong(root, "there is no map of sections");
        return root;
    } catch (const YAML::Exception &error) {
        return Error(Code::Invalid, place(error.mark) + error.msg);
    }
}

Result<std::string> Reader::text(const YAML::Node &node) const
{
    if (node.IsNull())
        return std::string();
    if (!node.IsScalar())
        return wrong(node, "a text is expected here");
    std::string value = node.Scalar();
    if (value.find('\0') != std::string::npos)
        return wrong(node, "a NUL byte in a text");
    return value;
}

Result<bool> Reader::boolean(const YAML::Node &node) const
{
    auto value = parseBool(TRY(text(node)));
    if (!value)
        return wrong(node, value.error().message);
    return *value;
}

Result<std::uint64_t> Reader::number(const YAML::Node &node, int base, std::uint64_t most) const
{
    const std::string value = TRY(text(node));
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number, base);
    if (value.empty() || error != std::errc() || end != value.data() + value.size() || number > most)
        return wrong(node,
                     quoted(value) + (base == 8 ? " is no octal number in its range" : " is no number in its range"));
    return number;
}

Status Reader::list(const YAML::Node &node, const std::function<Status(const YAML::Node &entry)> &each) const
{
    if (node.IsNull())
        return {};
    if (!node.IsSequence())
        return wrong(node, "a list is expected here");
    for (const auto &entry : node)
        TRY(each(entry));
    return {};
}

Result<std::vector<std::string>> Reader::textList(const YAML::Node &node) const
{
    std::vector<std::string> all;
    if (node.IsScalar()) { // distrobuilder takes one text for a list of one
        all.push_back(TRY(text(node)));
        return all;
    }
    TRY(list(node, [&](const YAML::Node &entry) -> Status {
        all.push_back(TRY(text(entry)));
        return {};
    }));
    return all;
}

Result<std::map<std::string, std::string>> Reader::textMap(const YAML::Node &node) const
{
    std::map<std::string, std::string> all;
    if (node.IsNull())
        return all;
    TRY(checkMap("entry", node));
    for (const auto &entry : node)
        all[TRY(text(entry.first))] = TRY(text(entry.second));
    return all;
}

Status Reader::checkMap(std::string_view section, const YAML::Node &node) const
{
    if (!node.IsMap())
        return wrong(node, (section.empty() ? std::string("the document") : quoted(section)) + " is no map of keys");
    return {};
}

Error Reader::unknownKey(std::string_view section, const YAML::Node &node, const std::string &key,
                         const std::vector<std::string_view> &known) const
{
    Error error =
        refused(node, section.empty() ? "section " + quoted(key) : "key " + quoted(key) + " in " + quoted(section));
    if (const auto near = nearest(key, known))
        return std::move(error).hint("did you mean " + quoted(*near) + "?");
    return error;
}

} // namespace lxmgr::images::yaml

#include "config/yaml.h"

#include "base/text.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace lxmgr::config
{

namespace
{

/// Thrown out of yaml-cpp's parser by the builder below, caught in parseYaml.
struct Refused {
    YAML::Mark mark;
    std::string what;
};

Error at(const std::string &file, std::uint32_t line, std::uint32_t column, const std::string &what)
{
    if (line == 0)
        return {Code::Invalid, escaped(file) + ": " + what};
    return {Code::Invalid, escaped(file) + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + what};
}

Error at(const std::string &file, const YAML::Mark &mark, const std::string &what)
{
    return at(file, static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1), what);
}

/// Builds the tree out of the parser's events, so that limits bite while it is being read and an alias is never
/// followed.
class Builder : public YAML::EventHandler
{
public:
    explicit Builder(const YamlLimits &limits) : m_limits(limits) {}

    YamlNode take() { return std::move(m_root); }

    void OnDocumentStart(const YAML::Mark &) override {}
    void OnDocumentEnd() override {}
    void OnAlias(const YAML::Mark &mark, YAML::anchor_t) override
    {
        throw Refused{mark, "aliases (*name) are not taken"};
    }

    void OnNull(const YAML::Mark &mark, YAML::anchor_t anchor) override
    {
        checkAnchor(mark, anchor);
        put(mark, YamlNode{});
    }
    void OnScalar(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                  const std::string &value) override
    {
        checkAnchor(mark, anchor);
        checkTag(mark, tag);
        YamlNode node;
        node.kind = YamlNode::Kind::Scalar;
        node.scalar = value;
        node.plain = tag == "?";
        put(mark, std::move(node));
    }
    void OnSequenceStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override
    {
        open(mark, tag, anchor, YamlNode::Kind::Sequence);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override
    {
        open(mark, tag, anchor, YamlNode::Kind::Map);
    }
    void OnMapEnd() override { close(); }

private:
    struct Open {
        YamlNode node;
        bool haveKey = false;
        std::string key;
        YAML::Mark keyMark;
        std::set<std::string> keys;
    };

    static void checkAnchor(const YAML::Mark &mark, YAML::anchor_t anchor)
    {
        if (anchor != 0)
            throw Refused{mark, "anchors (&name) are not taken"};
    }
    static void checkTag(const YAML::Mark &mark, const std::string &tag)
    {
        if (!tag.empty() && tag != "?" && tag != "!" && !tag.starts_with("tag:yaml.org,2002:"))
            throw Refused{mark, "the tag " + quoted(tag) + " is not known"};
    }

    void open(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, YamlNode::Kind kind)
    {
        checkAnchor(mark, anchor);
        checkTag(mark, tag);
        if (m_open.size() >= m_limits.depth)
            throw Refused{mark, "it is nested deeper than " + std::to_string(m_limits.depth) + " levels"};
        if (!m_open.empty() && m_open.back().node.kind == YamlNode::Kind::Map && !m_open.back().haveKey)
            throw Refused{mark, "a key must be plain text"};
        Open level;
        level.node.kind = kind;
        place(level.node, mark);
        m_open.push_back(std::move(level));
    }
    void close()
    {
        YamlNode node = std::move(m_open.back().node);
        m_open.pop_back();
        attach(std::move(node));
    }
    void put(const YAML::Mark &mark, YamlNode node)
    {
        place(node, mark);
        if (!m_open.empty() && m_open.back().node.kind == YamlNode::Kind::Map && !m_open.back().haveKey) {
            takeKey(mark, node);
            return;
        }
        attach(std::move(node));
    }
    void takeKey(const YAML::Mark &mark, const YamlNode &node)
    {
        Open &map = m_open.back();
        if (node.kind != YamlNode::Kind::Scalar)
            throw Refused{mark, "a key must be plain text"};
        if (!map.keys.insert(node.scalar).second)
            throw Refused{mark, "the key " + quoted(node.scalar) + " is there twice"};
        map.key = node.scalar;
        map.keyMark = mark;
        map.haveKey = true;
    }
    void attach(YamlNode node)
    {
        if (m_open.empty()) {
            m_root = std::move(node);
            return;
        }
        Open &parent = m_open.back();
        if (parent.node.kind == YamlNode::Kind::Sequence) {
            parent.node.items.push_back(std::move(node));
            return;
        }
        node.keyLine = static_cast<std::uint32_t>(parent.keyMark.line + 1);
        node.keyColumn = static_cast<std::uint32_t>(parent.keyMark.column + 1);
        parent.node.entries.emplace_back(std::move(parent.key), std::move(node));
        parent.haveKey = false;
    }
    void place(YamlNode &node, const YAML::Mark &mark)
    {
        if (++m_nodes > m_limits.nodes)
            throw Refused{mark, "it has more than " + std::to_string(m_limits.nodes) + " values"};
        node.line = static_cast<std::uint32_t>(mark.line + 1);
        node.column = static_cast<std::uint32_t>(mark.column + 1);
    }

    const YamlLimits &m_limits;
    std::vector<Open> m_open;
    YamlNode m_root;
    std::size_t m_nodes = 0;
};

/// Passes over everything. The parser itself ends at a depth of some hundreds.
class Nothing : public YAML::EventHandler
{
public:
    void OnDocumentStart(const YAML::Mark &) override {}
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark &, YAML::anchor_t) override {}
    void OnAlias(const YAML::Mark &, YAML::anchor_t) override {}
    void OnScalar(const YAML::Mark &, const std::string &, YAML::anchor_t, const std::string &) override {}
    void OnSequenceStart(const YAML::Mark &, const std::string &, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark &, const std::string &, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}
};

/// Bytes YAML 1.2 does not allow in a stream (section 5.1), told before the parser sees them.
Status checkBytes(std::string_view text, const std::string &file, const YamlLimits &limits)
{
    if (text.size() > limits.bytes)
        return Error(Code::Invalid, escaped(file) + ": is larger than " + formatBytes(Bytes{limits.bytes}));
    std::uint32_t line = 1, column = 1;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7F)
            return at(file, line, column, "control byte " + escaped(std::string_view(&c, 1)));
        column = c == '\n' ? 1 : column + 1;
        line += c == '\n' ? 1 : 0;
    }
    if (!isValidUtf8(text))
        return Error(Code::Invalid, escaped(file) + ": is not UTF-8 text");
    return {};
}

} // namespace

Result<YamlNode> parseYaml(std::string_view text, const std::string &file, const YamlLimits &limits)
{
    TRY(checkBytes(text, file, limits));
    try {
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        Builder first(limits), second(limits);
        if (!parser.HandleNextDocument(first))
            return YamlNode{};
        if (parser.HandleNextDocument(second))
            return at(file, YAML::Mark{}, "it has a second document (---); one is taken");
        return first.take();
    } catch (const Refused &refused) {
        return at(file, refused.mark, refused.what);
    } catch (const YAML::Exception &e) {
        return at(file, e.mark, e.msg);
    } catch (const std::exception &e) {
        return Error(Code::Invalid, escaped(file) + ": " + e.what());
    }
}

Status checkYaml(std::string_view text, const std::string &file)
{
    try {
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        Nothing nothing;
        while (parser.HandleNextDocument(nothing)) {
        }
        return {};
    } catch (const YAML::Exception &e) {
        return at(file, e.mark, e.msg);
    } catch (const std::exception &e) {
        return Error(Code::Invalid, escaped(file) + ": " + e.what());
    }
}

Error yamlError(const std::string &file, const YamlNode &node, const std::string &what)
{
    return at(file, node.line, node.column, what);
}

Error yamlKeyError(const std::string &file, const YamlNode &node, const std::string &what)
{
    return node.keyLine == 0 ? yamlError(file, node, what) : at(file, node.keyLine, node.keyColumn, what);
}

const YamlNode *YamlNode::find(std::string_view key) const
{
    const auto entry = std::ranges::find_if(entries, [&](const auto &each) { return each.first == key; });
    return entry == entries.end() ? nullptr : &entry->second;
}

Result<std::string> yamlText(const YamlNode &node, const std::string &file, const std::string &what)
{
    if (node.kind == YamlNode::Kind::Null)
        return std::string();
    if (node.kind != YamlNode::Kind::Scalar)
        return yamlError(file, node, what + " must be plain text");
    return node.scalar;
}

Result<bool> yamlBool(const YamlNode &node, const std::string &file, const std::string &what)
{
    const Result<bool> value = parseBool(node.scalar);
    if (node.kind != YamlNode::Kind::Scalar || !value)
        return yamlError(file, node, what + " must be true or false");
    return *value;
}

Result<std::vector<std::string>> yamlStrings(const YamlNode &node, const std::string &file, const std::string &what)
{
    std::vector<std::string> texts;
    if (node.kind == YamlNode::Kind::Null)
        return texts;
    if (node.kind != YamlNode::Kind::Sequence)
        return yamlError(file, node, what + " must be a list");
    for (const YamlNode &item : node.items)
        texts.push_back(TRY(yamlText(item, file, what + "'s entry")));
    return texts;
}

Result<StringMap> yamlStringMap(const YamlNode &node, const std::string &file, const std::string &what)
{
    StringMap map;
    if (node.kind == YamlNode::Kind::Null)
        return map;
    if (node.kind != YamlNode::Kind::Map)
        return yamlError(file, node, what + " must be a map of keys and values");
    for (const auto &[key, value] : node.entries)
        map[key] = TRY(yamlText(value, file, quoted(key)));
    return map;
}

Result<DeviceMap> yamlDeviceMap(const YamlNode &node, const std::string &file)
{
    DeviceMap devices;
    if (node.kind == YamlNode::Kind::Null)
        return devices;
    if (node.kind != YamlNode::Kind::Map)
        return yamlError(file, node, "devices must be a map of device names");
    for (const auto &[name, keys] : node.entries)
        devices[name] = TRY(yamlStringMap(keys, file, "device " + quoted(name)));
    return devices;
}

} // namespace lxmgr::config

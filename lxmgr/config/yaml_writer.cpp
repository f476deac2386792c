// Writing YAML: the look people know from config show, and every text read back as the same text.
#include "base/text.h"
#include "config/yaml.h"

#include <algorithm>

namespace lxmgr::config
{

namespace
{

constexpr std::string_view kWords[] = {"~",  "false", "n", "no",  "null", "off",
                                       "on", "true",  "y", "yes", ".inf", ".nan"};
constexpr std::string_view kSafe =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./@%+=,:;()*&!?|<>~^$'[]{} ";
constexpr std::string_view kSafeFirst = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/(.+-";

bool isDigit(char c) { return c >= '0' && c <= '9'; }

/// Numbers in any base, dates and times all begin like one; text that goes on in letters ("512MiB") is none of them.
bool looksLikeNumber(std::string_view text)
{
    const std::size_t sign = text.front() == '-' || text.front() == '+' || text.front() == '.' ? 1 : 0;
    if (text.size() <= sign || (!isDigit(text[sign]) && text[sign] != '.'))
        return sign == 1 && text.size() == 1;
    if (text.find(':') != std::string_view::npos)
        return true;
    const bool otherBase = text.size() > sign + 1 && text[sign] == '0' &&
                           (text[sign + 1] == 'x' || text[sign + 1] == 'o' || text[sign + 1] == 'b');
    const bool letters =
        std::ranges::any_of(text, [](char c) { return (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '/'; });
    return otherBase || !letters;
}

bool isPlain(std::string_view text)
{
    if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':')
        return false;
    if (kSafeFirst.find(text.front()) == std::string_view::npos ||
        text.find_first_not_of(kSafe) != std::string_view::npos)
        return false;
    if (text.starts_with("- ") || text.starts_with("--") || text.starts_with("..") || text == "-" ||
        text.find(": ") != std::string_view::npos)
        return false;
    return std::ranges::find(kWords, lower(text)) == std::end(kWords) && !looksLikeNumber(text);
}

bool isPrintable(std::string_view text)
{
    // U+0085, U+2028, U+2029 break lines in YAML 1.1 and U+FEFF is a mark: escaped() knows C1, the rest is looked for
    // here.
    std::string plain(text);
    std::erase_if(plain, [](char c) { return c == '\n' || c == '\t'; });
    return escaped(plain) == plain && plain.find("\xE2\x80\xA8") == std::string::npos &&
           plain.find("\xE2\x80\xA9") == std::string::npos && plain.find("\xEF\xBB\xBF") == std::string::npos;
}

std::string doubleQuoted(std::string_view text)
{
    const auto special = [](std::string_view rest) -> std::pair<std::string_view, std::string_view> {
        static constexpr std::pair<std::string_view, std::string_view> kEscapes[] = {
            {"\"",           "\\\""   },
            {"\\",           "\\\\"   },
            {"\n",           "\\n"    },
            {"\t",           "\\t"    },
            {"\r",           "\\r"    },
            {"\xE2\x80\xA8", "\\L"    },
            {"\xE2\x80\xA9", "\\P"    },
            {"\xEF\xBB\xBF", "\\uFEFF"},
        };
        for (const auto &each : kEscapes)
            if (rest.starts_with(each.first))
                return each;
        return {};
    };
    static constexpr char kHex[] = "0123456789abcdef";
    std::string out = "\"";
    while (!text.empty()) {
        const auto [from, to] = special(text);
        const auto byte = static_cast<unsigned char>(text.front());
        std::size_t taken = 1;
        if (!from.empty()) {
            out += to;
            taken = from.size();
        } else if (byte < 0x20 || byte == 0x7F) {
            out += std::string("\\x") + kHex[byte >> 4] + kHex[byte & 15];
        } else if (byte == 0xC2 && text.size() > 1 && static_cast<unsigned char>(text[1]) < 0xA0) {
            const auto second = static_cast<unsigned char>(text[1]);
            out += std::string("\\x") + kHex[second >> 4] + kHex[second & 15];
            taken = 2;
        } else {
            out += text.front();
        }
        text.remove_prefix(taken);
    }
    return out + "\"";
}

bool isBlock(std::string_view text)
{
    return text.find('\n') != std::string_view::npos && text.front() != '\n' && text.front() != ' ' &&
           text.front() != '\t' && isPrintable(text);
}

void indent(std::string &out, std::size_t depth) { out.append(2 * depth, ' '); }

/// "|" keeps lines as they are; "-" means no newline at the end, "+" all of several.
void writeBlock(std::string &out, std::string_view text, std::size_t depth)
{
    out += text.ends_with("\n\n") ? "|+\n" : text.ends_with('\n') ? "|\n" : "|-\n";
    const std::string_view body = text.ends_with('\n') ? text.substr(0, text.size() - 1) : text;
    for (const std::string &line : split(body, '\n')) {
        if (!line.empty())
            indent(out, depth);
        out += line + "\n";
    }
}

std::string keyText(const std::string &key) { return isPlain(key) ? key : doubleQuoted(key); }

void writeNode(std::string &out, const YamlNode &node, std::size_t depth);

void writeScalar(std::string &out, const YamlNode &node, std::size_t depth)
{
    if (node.plain)
        out += node.scalar + "\n";
    else if (isBlock(node.scalar))
        writeBlock(out, node.scalar, std::max<std::size_t>(depth, 1));
    else
        out += (isPlain(node.scalar) ? node.scalar : doubleQuoted(node.scalar)) + "\n";
}

/// `out` ends behind "key:" or "-"; what follows on the same line is set off by a space.
void writeValue(std::string &out, const YamlNode &node, std::size_t depth)
{
    const bool nested = (node.kind == YamlNode::Kind::Map && !node.entries.empty()) ||
                        (node.kind == YamlNode::Kind::Sequence && !node.items.empty());
    out += nested ? "\n" : " ";
    writeNode(out, node, depth);
}

void writeSequence(std::string &out, const YamlNode &node, std::size_t depth)
{
    for (const YamlNode &item : node.items) {
        indent(out, depth);
        out += "-";
        // A map starts on the dash's own line: its first key stands where the others do.
        if (item.kind == YamlNode::Kind::Map && !item.entries.empty()) {
            std::string map;
            writeNode(map, item, depth + 1);
            out += " " + map.substr(2 * (depth + 1));
        } else {
            writeValue(out, item, depth + 1);
        }
    }
}

void writeMap(std::string &out, const YamlNode &node, std::size_t depth)
{
    for (const auto &[key, value] : node.entries) {
        indent(out, depth);
        out += keyText(key) + ":";
        writeValue(out, value, value.kind == YamlNode::Kind::Sequence ? depth : depth + 1);
    }
}

void writeNode(std::string &out, const YamlNode &node, std::size_t depth)
{
    switch (node.kind) {
    case YamlNode::Kind::Null:
        out += "null\n";
        return;
    case YamlNode::Kind::Scalar:
        writeScalar(out, node, depth);
        return;
    case YamlNode::Kind::Sequence:
        if (node.items.empty())
            out += "[]\n";
        else
            writeSequence(out, node, depth);
        return;
    case YamlNode::Kind::Map:
        if (node.entries.empty())
            out += "{}\n";
        else
            writeMap(out, node, depth);
        return;
    }
}

} // namespace

std::string formatYaml(const YamlNode &node)
{
    std::string out;
    writeNode(out, node, 0);
    return out;
}

YamlNode YamlNode::text(std::string value)
{
    YamlNode node;
    node.kind = Kind::Scalar;
    node.scalar = std::move(value);
    return node;
}

YamlNode YamlNode::word(std::string value)
{
    YamlNode node = text(std::move(value));
    node.plain = true;
    return node;
}

YamlNode YamlNode::sequence(std::vector<YamlNode> items)
{
    YamlNode node;
    node.kind = Kind::Sequence;
    node.items = std::move(items);
    return node;
}

YamlNode YamlNode::map()
{
    YamlNode node;
    node.kind = Kind::Map;
    return node;
}

YamlNode YamlNode::map(const StringMap &entries)
{
    YamlNode node = map();
    for (const auto &[key, value] : entries)
        node.add(key, text(value));
    return node;
}

YamlNode YamlNode::map(const DeviceMap &entries)
{
    YamlNode node = map();
    for (const auto &[key, value] : entries)
        node.add(key, map(value));
    return node;
}

YamlNode &YamlNode::add(std::string key, YamlNode value)
{
    entries.emplace_back(std::move(key), std::move(value));
    return *this;
}

} // namespace lxmgr::config

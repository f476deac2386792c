#include "cli/yaml.h"

#include "base/text.h"

#include <yaml-cpp/yaml.h>

#include <charconv>

namespace lxmgr::cli
{

namespace
{

constexpr int kDeepest = 64;

/// What a YAML 1.1 or 1.2 reader could take for a boolean, null, number or date when it is not quoted.
bool looksSpecial(const std::string &text)
{
    static constexpr std::string_view kWords[] = {"true", "false", "yes",  "no",   "on",    "off", "y", "n",
                                                  "null", "~",     ".nan", ".inf", "-.inf", "<<",  "="};
    const std::string word = lower(text);
    for (const std::string_view special : kWords)
        if (word == special)
            return true;
    const char first = text.front();
    return (first >= '0' && first <= '9') || ((first == '-' || first == '+' || first == '.') && text.size() > 1);
}

/// Whether it is written as a block of lines, behind which no comment can stand.
bool isBlock(const std::string &text)
{
    const std::string lines = join(split(text, '\n'), "");
    return escaped(text) != text && text.ends_with('\n') && !text.ends_with("\n\n") && !text.starts_with(' ') && !text.starts_with('\n') &&
           escaped(lines) == lines;
}

/// What is said of the members of a map: by their names below `path`, or of all of them `origin`.
struct Remarks {
    const Origins *origins = nullptr;
    std::string path, origin;

    std::string of(const std::string &name) const
    {
        if (!origins || (path != "config" && path != "devices"))
            return origin;
        const auto found = origins->find(path + "." + name);
        return found == origins->end() ? std::string() : found->second;
    }
};

void emit(YAML::Emitter &out, const api::Json &value, const Remarks &remarks = {})
{
    if (const std::string *text = value.asString()) {
        const bool printable = escaped(*text) == *text;
        if (isBlock(*text))
            out << YAML::Literal << text->substr(0, text->size() - 1); // the reader puts the last line feed back
        else if (text->empty() || !printable || looksSpecial(*text))
            out << YAML::DoubleQuoted << *text;
        else
            out << *text;
    } else if (const api::Json::Object *members = value.asObject()) {
        if (members->empty())
            out << YAML::Flow;
        out << YAML::BeginMap;
        for (const auto &[name, member] : *members) {
            const std::string remark = remarks.of(name);
            const std::string *line = member.asString();
            const bool block = line && isBlock(*line);
            if (block && !remark.empty())
                out << YAML::Comment(remark);
            out << YAML::Key;
            emit(out, api::Json(name));
            out << YAML::Value;
            emit(out, member, {remarks.origins, remarks.path.empty() ? name : remarks.path + "." + name, remark});
            if (line && !block && !remark.empty())
                out << YAML::Comment(remark);
        }
        out << YAML::EndMap;
    } else if (const api::Json::Array *items = value.asArray()) {
        if (items->empty())
            out << YAML::Flow;
        out << YAML::BeginSeq;
        for (const api::Json &item : *items)
            emit(out, item);
        out << YAML::EndSeq;
    } else {
        out << value.dump(); // null, booleans and numbers are spelled as in JSON
    }
}

enum class Scalars { Typed, Text };

api::Json scalar(const YAML::Node &node, Scalars scalars)
{
    const std::string &text = node.Scalar();
    // "!" is the tag yaml-cpp gives to quoted scalars, "?" to plain ones.
    if (scalars == Scalars::Text || node.Tag() == "!")
        return text;
    if (text.empty() || text == "~" || text == "null")
        return {};
    if (text == "true" || text == "false")
        return text == "true";
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc{} && end == text.data() + text.size())
        return number;
    return text;
}

Error at(const YAML::Mark &mark, const std::string &source, const std::string &message)
{
    const std::string where =
        mark.is_null() ? "" : ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
    return {Code::Invalid, source + where + ": " + message};
}

Result<api::Json> convert(const YAML::Node &node, Scalars scalars, const std::string &source, int depth)
{
    // Aliases could make a small document an endless one; depth also bounds those that contain themselves.
    if (depth > kDeepest)
        return at(node.Mark(), source, "nested too deeply");
    switch (node.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
        return scalars == Scalars::Text ? api::Json("") : api::Json();
    case YAML::NodeType::Scalar:
        return scalar(node, scalars);
    case YAML::NodeType::Sequence: {
        api::Json items = api::Json::array();
        for (const YAML::Node &item : node)
            items.append(TRY(convert(item, scalars, source, depth + 1)));
        return items;
    }
    case YAML::NodeType::Map:
        break;
    }
    api::Json::Object members;
    for (const auto &member : node) {
        if (!member.first.IsScalar())
            return at(member.first.Mark(), source, "a key must be plain text");
        const std::string &name = member.first.Scalar();
        for (const api::Json::Member &before : members)
            if (before.first == name)
                return at(member.first.Mark(), source, "the key " + quoted(name) + " is there twice");
        const bool text = scalars == Scalars::Text || name == "config" || name == "devices";
        members.emplace_back(name, TRY(convert(member.second, text && !member.second.IsNull() ? Scalars::Text : scalars,
                                               source, depth + 1)));
    }
    return api::Json(std::move(members));
}

} // namespace

std::string toYaml(const api::Json &value)
{
    YAML::Emitter out;
    emit(out, value);
    return std::string(out.c_str(), out.size()) + "\n";
}

std::string toYaml(const api::Json &value, const Origins &origins)
{
    YAML::Emitter out;
    emit(out, value, {&origins, {}, {}});
    return std::string(out.c_str(), out.size()) + "\n";
}

Result<api::Json> fromYaml(const std::string &text, const std::string &source)
{
    try {
        return convert(YAML::Load(text), Scalars::Typed, source, 0);
    } catch (const YAML::Exception &error) {
        return at(error.mark, source, error.msg);
    }
}

} // namespace lxmgr::cli

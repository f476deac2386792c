// The parts that instance, profile and backup documents share.
#pragma once

#include "config/yaml.h"

#include <span>
#include <string_view>

namespace lxmgr::config
{

/// A row of a document: the key and what takes its value.
template <class Document> struct DocumentKey {
    std::string_view name;
    Status (*read)(Document &document, const YamlNode &value, const std::string &file);
};

/// Hands each entry of the map `root` to its row. Keys in `passedOver` are not looked at; others are Invalid, at the
/// key.
template <class Document>
Status readDocument(Document &document, const YamlNode &root, const std::string &file,
                    std::span<const DocumentKey<Document>> rows, std::span<const std::string_view> passedOver);

/// "unknown key 'x' (did you mean 'y'?)" at the key of `value`.
Error unknownDocumentKey(const std::string &file, const std::string &key, const YamlNode &value,
                         std::span<const std::string_view> known);

/// Whether `root` is a document of ours, as `name` calls it, in a form this version reads (up to `newest`) and whole: its
/// last line is "complete: true", for a cut file can still be good YAML with half a name at its end. Unsupported where a
/// newer lxmgr wrote it.
Status checkDocument(const YamlNode &root, const std::string &file, std::string_view name, std::uint64_t newest);
/// A time in Unix milliseconds, not negative.
Result<std::int64_t> yamlMillis(const YamlNode &node, const std::string &file);

/// What is wrong with a document of ours is damage.
template <class Document> Result<Document> asCorrupt(Result<Document> document)
{
    if (!document && document.error().code != Code::Unsupported)
        return std::move(document.error()).as(Code::Corrupt);
    return document;
}

/// A whole document of ours. Its rows need none for "version" and "complete", which are seen to here.
template <class Document>
Result<Document> readWhole(std::string_view text, const std::string &file, std::string_view name, std::uint64_t newest,
                           std::span<const DocumentKey<Document>> rows)
{
    constexpr std::string_view kSeenTo[] = {"version", "complete"};
    const YamlNode root = TRY(parseYaml(text, file));
    TRY(checkDocument(root, file, name, newest));
    Document document;
    TRY(readDocument<Document>(document, root, file, rows, kSeenTo));
    return document;
}

/// The text of a key goes into a member; what it is of is told by the position.
template <auto Member, class Document> Status readText(Document &document, const YamlNode &value, const std::string &file)
{
    document.*Member = TRY(yamlText(value, file, "the value"));
    return {};
}
/// The same of a map of texts.
template <auto Member, class Document> Status readTexts(Document &document, const YamlNode &value, const std::string &file)
{
    document.*Member = TRY(yamlStringMap(value, file, "the value"));
    return {};
}
/// The same of a time in Unix milliseconds.
template <auto Member, class Document> Status readMillis(Document &document, const YamlNode &value, const std::string &file)
{
    document.*Member = TRY(yamlMillis(value, file));
    return {};
}

YamlNode stringsNode(const std::vector<std::string> &texts);
YamlNode instanceNode(const InstanceDocument &document);
YamlNode profileNode(const ProfileDocument &document);

template <class Document>
Status readDocument(Document &document, const YamlNode &root, const std::string &file,
                    std::span<const DocumentKey<Document>> rows, std::span<const std::string_view> passedOver)
{
    if (root.kind != YamlNode::Kind::Map)
        return yamlError(file, root,
                         root.kind == YamlNode::Kind::Null ? "it is empty" : "it is not a map of keys and values");
    std::vector<std::string_view> known;
    for (const DocumentKey<Document> &row : rows)
        known.push_back(row.name);
    for (const auto &[key, value] : root.entries) {
        bool done = false;
        for (const DocumentKey<Document> &row : rows) {
            if (row.name != key)
                continue;
            TRY(row.read(document, value, file));
            done = true;
        }
        for (const std::string_view each : passedOver)
            done = done || each == key;
        if (!done)
            return unknownDocumentKey(file, key, value, known);
    }
    return {};
}

} // namespace lxmgr::config

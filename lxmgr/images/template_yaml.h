// Reading YAML by tables of keys: what is not in a table is refused by name, with file, line and column.
#pragma once

#include "base/result.h"
#include "base/text.h"

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>
#include <yaml-cpp/yaml.h>

namespace lxmgr::images::yaml
{

class Reader;

/// A key and what reads its value.
template <class T> struct Row {
    std::string_view key;
    Status (*read)(const Reader &in, const YAML::Node &node, T &out);
};

class Reader
{
public:
    explicit Reader(std::string file) : m_file(std::move(file)) {}

    /// Parses at most 1 MiB of YAML into a map; Invalid with the place.
    Result<YAML::Node> load(const std::string &text) const;

    /// "file:line:column: what", Invalid.
    Error wrong(const YAML::Node &node, const std::string &what) const;
    /// "file:line:column: what is not supported", Unsupported.
    Error refused(const YAML::Node &node, const std::string &what) const;

    Result<std::string> text(const YAML::Node &node) const;
    Result<bool> boolean(const YAML::Node &node) const;
    Result<std::uint64_t> number(const YAML::Node &node, int base, std::uint64_t most) const;
    Result<std::vector<std::string>> textList(const YAML::Node &node) const;
    Result<std::map<std::string, std::string>> textMap(const YAML::Node &node) const;
    Status list(const YAML::Node &node, const std::function<Status(const YAML::Node &entry)> &each) const;

    /// Reads each key of a map by its row in `rows` or `more`; another key is refused. `section` names the map in
    /// errors.
    template <class T>
    Status map(std::string_view section, const YAML::Node &node, std::span<const Row<T>> rows, T &out,
               std::span<const Row<T>> more = {}) const
    {
        TRY(checkMap(section, node));
        for (const auto &entry : node) {
            const std::string key = TRY(text(entry.first));
            const Row<T> *row = find(rows, key);
            if (!row)
                row = find(more, key);
            if (!row)
                return unknownKey(section, entry.first, key, names(rows, more));
            TRY(row->read(*this, entry.second, out));
        }
        return {};
    }
    /// Reads only the keys that have a row.
    template <class T> Status mapPart(const YAML::Node &node, std::span<const Row<T>> rows, T &out) const
    {
        TRY(checkMap("entry", node));
        for (const auto &entry : node)
            if (const Row<T> *row = find(rows, TRY(text(entry.first))))
                TRY(row->read(*this, entry.second, out));
        return {};
    }

private:
    template <class T> static const Row<T> *find(std::span<const Row<T>> rows, std::string_view key)
    {
        for (const Row<T> &row : rows)
            if (row.key == key)
                return &row;
        return nullptr;
    }
    template <class T>
    static std::vector<std::string_view> names(std::span<const Row<T>> rows, std::span<const Row<T>> more)
    {
        std::vector<std::string_view> all;
        for (const auto &part : {rows, more})
            for (const Row<T> &row : part)
                all.push_back(row.key);
        return all;
    }
    Status checkMap(std::string_view section, const YAML::Node &node) const;
    Error unknownKey(std::string_view section, const YAML::Node &node, const std::string &key,
                     const std::vector<std::string_view> &known) const;
    std::string place(const YAML::Mark &mark) const;

    std::string m_file;
};

} // namespace lxmgr::images::yaml

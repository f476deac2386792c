// How lists and objects are printed: table, compact, csv, json, yaml, the same for every command.
#pragma once

#include "api/json.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/context.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::cli
{

enum class Format { Table, Compact, Csv, Json, Yaml };

struct FormatChoice {
    Format format = Format::Table;
    bool header = true; ///< csv has none unless "csv,header" asks for it.
};
/// "table", "csv,header", …; Usage otherwise.
Result<FormatChoice> parseFormat(std::string_view text);

/// Headers and rows; a cell may have several lines.
struct Table {
    std::vector<std::string> headers;
    std::vector<std::vector<std::string>> rows;
};
/// Table, compact or csv. Control bytes are escaped except in csv's quoted line feeds: what a guest says must not steer
/// the terminal.
std::string render(const Table &table, FormatChoice choice);
/// "c2" before "c10", column by column.
void sortNaturally(Table &table);
bool naturalLess(std::string_view a, std::string_view b);

/// One column of a list: the letter that picks it, its header, and what its cells say.
template <class T> struct Column {
    char letter;
    std::string_view title;
    std::string_view meaning;
    std::string (*cell)(const T &object);
};

/// What help, manual and completion say of a list's columns.
struct ColumnInfo {
    char letter;
    std::string_view title;
    std::string_view meaning;
};
struct ColumnSet {
    std::string_view command;
    std::string_view standard; ///< The letters without -c.
    std::vector<ColumnInfo> columns;
};
/// Of every list command that has -c.
std::vector<ColumnSet> columnSets();

template <class T>
ColumnSet describe(std::string_view command, std::string_view standard, std::span<const Column<T>> columns)
{
    ColumnSet set{command, standard, {}};
    for (const Column<T> &column : columns)
        set.columns.push_back({column.letter, column.title, column.meaning});
    return set;
}

Error unknownColumn(char letter, const ColumnSet &set);

/// The table of `objects` with the columns that `letters` name (or the standard ones).
template <class T>
Result<Table> makeTable(const ColumnSet &set, std::span<const Column<T>> columns, std::string_view letters,
                        const std::vector<T> &objects)
{
    Table table;
    std::vector<const Column<T> *> picked;
    for (const char letter : letters.empty() ? set.standard : letters) {
        if (letter == ',')
            continue;
        const auto column = std::ranges::find(columns, letter, &Column<T>::letter);
        if (column == columns.end())
            return unknownColumn(letter, set);
        picked.push_back(&*column);
        table.headers.emplace_back(column->title);
    }
    for (const T &object : objects) {
        std::vector<std::string> &row = table.rows.emplace_back();
        for (const Column<T> *column : picked)
            row.push_back(column->cell(object));
    }
    return table;
}

/// Prints an object as --format says: yaml (the default) or json, from the JSON the daemon sent.
Status printObject(Context &context, const Arguments &arguments, const api::Json &object);
/// The same for one line of JSON or a YAML list, as `format` says.
Status printJson(Context &context, Format format, std::string_view json);

/// List commands: json and yaml print what the daemon sent, the others the table made of it.
template <class T>
Status printList(Context &context, const Arguments &arguments, const ColumnSet &set, std::span<const Column<T>> columns,
                 const std::string &metadata)
{
    const FormatChoice choice = TRY(parseFormat(arguments.value("format", "table")));
    if (choice.format == Format::Json || choice.format == Format::Yaml)
        return printJson(context, choice.format, metadata);
    const std::vector<T> objects = TRY(client::Client::parse<std::vector<T>>(metadata));
    Table table = TRY(makeTable(set, columns, arguments.value("columns", ""), objects));
    sortNaturally(table);
    context.print(render(table, choice));
    return {};
}

// How values are written in cells.
std::string yesNo(bool value);
/// "2026/11/23 02:37 UTC", empty for "never" and "no value".
std::string dateText(const api::Time &time);
/// "0.99MiB"
std::string sizeText(std::int64_t bytes);
std::string upperStatus(std::string_view status);

} // namespace lxmgr::cli

#include "cli/output.h"

#include "cli/terminal.h"
#include "cli/yaml.h"

#include <cctype>
#include <ctime>

namespace lxmgr::cli
{

namespace
{

struct FormatName {
    std::string_view name;
    Format format;
};
constexpr FormatName kFormats[] = {
    {"table",   Format::Table  },
    {"compact", Format::Compact},
    {"csv",     Format::Csv    },
    {"json",    Format::Json   },
    {"yaml",    Format::Yaml   },
};

/// The lines of each cell, and how wide each column gets.
struct Layout {
    std::vector<std::vector<std::vector<std::string>>> rows; // row, column, line
    std::vector<std::size_t> widths;
};

Layout layOut(const Table &table, bool header)
{
    Layout layout;
    layout.widths.assign(table.headers.size(), 0);
    for (std::size_t column = 0; header && column < table.headers.size(); ++column)
        layout.widths[column] = displayWidth(table.headers[column]);
    for (const std::vector<std::string> &row : table.rows) {
        auto &cells = layout.rows.emplace_back();
        for (std::size_t column = 0; column < row.size(); ++column) {
            std::vector<std::string> &lines = cells.emplace_back();
            for (const std::string &line : split(row[column], '\n'))
                lines.push_back(escaped(line));
            for (const std::string &line : lines)
                layout.widths[column] = std::max(layout.widths[column], displayWidth(line));
        }
    }
    return layout;
}

std::string leftAligned(std::string_view text, std::size_t width)
{
    return std::string(text).append(width - displayWidth(text), ' ');
}

std::string centred(std::string_view text, std::size_t width)
{
    const std::size_t gap = width - displayWidth(text);
    return std::string(gap / 2, ' ').append(text).append(gap - gap / 2, ' ');
}

/// The lines of one row, `separator` around and between its cells.
std::string rowText(const std::vector<std::vector<std::string>> &cells, const std::vector<std::size_t> &widths,
                    std::string_view outer, std::string_view between)
{
    std::size_t height = 1;
    for (const auto &lines : cells)
        height = std::max(height, lines.size());
    std::string text;
    for (std::size_t line = 0; line < height; ++line) {
        text.append(outer);
        for (std::size_t column = 0; column < cells.size(); ++column) {
            const auto &lines = cells[column];
            text.append(column > 0 ? between : "").append(" ");
            text.append(leftAligned(line < lines.size() ? lines[line] : "", widths[column])).append(" ");
        }
        text.append(outer).append("\n");
    }
    return text;
}

std::string headerText(const Table &table, const std::vector<std::size_t> &widths, std::string_view outer,
                       std::string_view between)
{
    std::string text(outer);
    for (std::size_t column = 0; column < table.headers.size(); ++column)
        text.append(column > 0 ? between : "")
            .append(" ")
            .append(centred(table.headers[column], widths[column]))
            .append(" ");
    return text.append(outer).append("\n");
}

std::string boxed(const Table &table, bool header)
{
    const Layout layout = layOut(table, header);
    std::string line = "+";
    for (const std::size_t width : layout.widths)
        line.append(width + 2, '-').append("+");
    line.append("\n");
    std::string text = line;
    if (header)
        text.append(headerText(table, layout.widths, "|", "|")).append(line);
    for (const auto &row : layout.rows)
        text.append(rowText(row, layout.widths, "|", "|")).append(line);
    return text;
}

std::string compact(const Table &table, bool header)
{
    const Layout layout = layOut(table, header);
    std::string text = header ? headerText(table, layout.widths, " ", "") : "";
    for (const auto &row : layout.rows)
        text.append(rowText(row, layout.widths, " ", ""));
    return text;
}

std::string csvField(std::string_view text)
{
    std::string safe;
    for (const std::string &line : split(text, '\n'))
        safe.append(safe.empty() ? "" : "\n").append(escaped(line));
    const bool plain = safe.find_first_of(",\"\n") == std::string::npos && !safe.starts_with(' ');
    if (plain)
        return safe;
    std::string field = "\"";
    for (const char c : safe)
        field.append(c == '"' ? 2 : 1, c);
    return field + "\"";
}

std::string csv(const Table &table, bool header)
{
    std::string text;
    const auto addRow = [&](const std::vector<std::string> &row) {
        for (std::size_t column = 0; column < row.size(); ++column)
            text.append(column > 0 ? "," : "").append(csvField(row[column]));
        text.append("\n");
    };
    if (header)
        addRow(table.headers);
    for (const auto &row : table.rows)
        addRow(row);
    return text;
}

bool isDigit(char c) { return c >= '0' && c <= '9'; }

} // namespace

Result<FormatChoice> parseFormat(std::string_view text)
{
    const std::vector<std::string> parts = split(text, ',');
    const auto *const known = std::ranges::find(kFormats, parts.empty() ? "" : parts[0], &FormatName::name);
    const bool suffixKnown =
        parts.size() < 2 || (parts.size() == 2 && (parts[1] == "header" || parts[1] == "noheader"));
    if (known == std::end(kFormats) || !suffixKnown)
        return Error(Code::Usage,
                     quoted(text) +
                         " is no format: table, compact, csv, json or yaml, with ',header' or ',noheader' behind it");
    const bool header = parts.size() == 2 ? parts[1] == "header" : known->format != Format::Csv;
    return FormatChoice{known->format, header};
}

std::string render(const Table &table, FormatChoice choice)
{
    switch (choice.format) {
    case Format::Csv:
        return csv(table, choice.header);
    case Format::Compact:
        return compact(table, choice.header);
    default:
        return boxed(table, choice.header);
    }
}

bool naturalLess(std::string_view a, std::string_view b)
{
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < a.size() && j < b.size()) {
        if (isDigit(a[i]) && isDigit(b[j])) {
            const auto number = [](std::string_view text, std::size_t &at) {
                while (at < text.size() && text[at] == '0')
                    ++at;
                const std::size_t from = at;
                while (at < text.size() && isDigit(text[at]))
                    ++at;
                return text.substr(from, at - from);
            };
            const std::string_view left = number(a, i);
            const std::string_view right = number(b, j);
            if (left.size() != right.size())
                return left.size() < right.size();
            if (left != right)
                return left < right;
        } else if (a[i] != b[j]) {
            return a[i] < b[j];
        } else {
            ++i;
            ++j;
        }
    }
    return a.size() - i < b.size() - j;
}

void sortNaturally(Table &table)
{
    std::ranges::stable_sort(table.rows, [](const auto &a, const auto &b) {
        for (std::size_t column = 0; column < a.size() && column < b.size(); ++column)
            if (a[column] != b[column])
                return naturalLess(a[column], b[column]);
        return false;
    });
}

Error unknownColumn(char letter, const ColumnSet &set)
{
    std::string known;
    for (const ColumnInfo &column : set.columns)
        known.append(known.empty() ? "" : " ").append(1, column.letter).append("=").append(column.title);
    return {Code::Usage, "'lxmgr " + std::string(set.command) + "' has no column " + quoted(std::string(1, letter)) +
                             " (" + known + ")"};
}

Status printJson(Context &context, Format format, std::string_view json)
{
    const api::Json value = TRY(client::Client::parse<api::Json>(json));
    context.print(format == Format::Json ? value.dump() + "\n" : toYaml(value));
    return {};
}

Status printObject(Context &context, const Arguments &arguments, const api::Json &object)
{
    const std::string format = arguments.value("format", "yaml");
    if (format != "yaml" && format != "json")
        return Error(Code::Usage, quoted(format) + " is no format of one object: yaml or json");
    context.print(format == "json" ? object.dump() + "\n" : toYaml(object));
    return {};
}

std::string yesNo(bool value) { return value ? "YES" : "NO"; }

std::string dateText(const api::Time &time)
{
    if (!time.isSet())
        return {};
    const auto seconds = static_cast<std::time_t>(time.seconds);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[40];
    return {text, std::strftime(text, sizeof text, "%Y/%m/%d %H:%M UTC", &utc)};
}

std::string sizeText(std::int64_t bytes)
{
    return humanBytes({static_cast<std::uint64_t>(std::max<std::int64_t>(0, bytes))});
}

std::string upperStatus(std::string_view status) { return upper(status); }

} // namespace lxmgr::cli

// The engine below render.h: values, parsing and running of template texts. Knows no files and no instances.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lxmgr::images::template_text
{

/// What an expression gives: nothing, truth, number, text, list or map (sorted by key).
class Value
{
public:
    using List = std::vector<Value>;
    using Map = std::map<std::string, Value>;

    Value() = default;
    explicit Value(bool truth) : m_value(truth) {}
    explicit Value(std::int64_t number) : m_value(number) {}
    explicit Value(std::string text) : m_value(std::move(text)) {}
    explicit Value(List list) : m_value(std::make_shared<const List>(std::move(list))) {}
    explicit Value(Map map) : m_value(std::make_shared<const Map>(std::move(map))) {}

    bool isNothing() const { return std::holds_alternative<std::monostate>(m_value); }
    const bool *truth() const { return std::get_if<bool>(&m_value); }
    const std::int64_t *number() const { return std::get_if<std::int64_t>(&m_value); }
    const std::string *text() const { return std::get_if<std::string>(&m_value); }
    const List *list() const
    {
        const auto *held = std::get_if<std::shared_ptr<const List>>(&m_value);
        return held ? held->get() : nullptr;
    }
    const Map *map() const
    {
        const auto *held = std::get_if<std::shared_ptr<const Map>>(&m_value);
        return held ? held->get() : nullptr;
    }

    /// Empty texts, lists and maps, zero, false and nothing are not true.
    bool isTrue() const;
    /// As it appears in the output: "True" and "False" for truth, "" for nothing.
    std::string shown() const;
    /// By content; different kinds are never equal.
    bool equals(const Value &other) const;

private:
    std::variant<std::monostate, bool, std::int64_t, std::string, std::shared_ptr<const List>, std::shared_ptr<const Map>> m_value;
};

struct Program;
struct DeleteProgram {
    void operator()(const Program *program) const;
};
using ProgramPtr = std::unique_ptr<const Program, DeleteProgram>;

/// Invalid with line and column.
Result<ProgramPtr> parse(std::string_view text);

/// Runs with these names defined, and config_get(key, default) reading the map "config". Invalid with line and column; also when it
/// takes too many steps or makes more than 1 MiB.
Result<std::string> run(const Program &program, const Value::Map &globals);

} // namespace lxmgr::images::template_text

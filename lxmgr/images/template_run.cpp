#include "base/text.h"
#include "images/template_tree.h"

#include <algorithm>
#include <limits>

namespace lxmgr::images::template_text
{

namespace
{

constexpr std::size_t kMostSteps = 200'000; ///< Well below a second.
constexpr std::size_t kLoopCost = 8;        ///< Steps that setting up one round of a loop is worth.
constexpr std::size_t kLongest = 1 << 20; ///< Of the output, and of any text on the way.

using Kind = Expression::Kind;

struct FilterRow {
    std::string_view name;
    /// `argument` is nothing where none was given.
    Result<Value> (*apply)(const Value &value, const Value &argument);
};

Result<Value> length(const Value &value, const Value &)
{
    const std::size_t count = value.list() ? value.list()->size() : value.map() ? value.map()->size() : value.shown().size();
    return Value(static_cast<std::int64_t>(count));
}

Result<Value> capitalized(const Value &value, const Value &)
{
    std::string text = value.shown();
    if (!text.empty())
        text.replace(0, 1, upper(text.substr(0, 1)));
    return Value(std::move(text));
}

Result<Value> joined(const Value &value, const Value &argument)
{
    if (!value.list())
        return value;
    std::string text;
    for (const Value &item : *value.list()) {
        text.append(&item == &value.list()->front() ? "" : argument.shown()).append(item.shown());
        if (text.size() > kLongest)
            return Error(Code::Invalid, "the joined text is longer than 1 MiB");
    }
    return Value(std::move(text));
}

Result<Value> splitUp(const Value &value, const Value &argument)
{
    const std::string separator = argument.shown();
    const std::string text = value.shown();
    if (separator.empty())
        return Error(Code::Invalid, "'split' needs a separator");
    Value::List parts;
    for (std::size_t from = 0;;) {
        const std::size_t to = text.find(separator, from);
        parts.emplace_back(text.substr(from, to - from));
        if (to == std::string::npos)
            return Value(std::move(parts));
        from = to + separator.size();
    }
}

Result<Value> without(const Value &value, const Value &argument)
{
    std::string text = value.shown();
    const std::string gone = argument.shown();
    for (std::size_t at = 0; !gone.empty() && (at = text.find(gone, at)) != std::string::npos;)
        text.erase(at, gone.size());
    return Value(std::move(text));
}

Result<Value> first(const Value &value, const Value &)
{
    if (value.list())
        return value.list()->empty() ? Value() : value.list()->front();
    return Value(value.shown().substr(0, 1));
}

Result<Value> last(const Value &value, const Value &)
{
    if (value.list())
        return value.list()->empty() ? Value() : value.list()->back();
    const std::string text = value.shown();
    return Value(text.empty() ? text : text.substr(text.size() - 1));
}

Result<Value> yesOrNo(const Value &value, const Value &argument)
{
    const auto words = argument.isNothing() ? std::vector<std::string>{"yes", "no", "maybe"} : split(argument.shown(), ',');
    if (words.size() < 2)
        return Error(Code::Invalid, "'yesno' needs two or three words parted by commas");
    return Value(words[value.isNothing() ? words.size() - 1 : value.isTrue() ? 0 : 1]);
}

Result<Value> whole(const Value &value, const Value &)
{
    const auto number = parseSigned(value.shown());
    return Value(number ? *number : std::int64_t(0));
}

Result<Value> withSlashes(const Value &value, const Value &)
{
    std::string text;
    for (const char c : value.shown()) {
        if (c == '\\' || c == '"' || c == '\'')
            text.push_back('\\');
        text.push_back(c);
    }
    return Value(std::move(text));
}

constexpr FilterRow kFilters[] = {
    {"addslashes", &withSlashes},
    {"capfirst", &capitalized},
    {"cut", &without},
    {"default", [](const Value &value, const Value &argument) { return Result<Value>(value.isTrue() ? value : argument); }},
    {"default_if_none", [](const Value &value, const Value &argument) { return Result<Value>(value.isNothing() ? argument : value); }},
    {"first", &first},
    {"integer", &whole},
    {"join", &joined},
    {"last", &last},
    {"length", &length},
    {"lower", [](const Value &value, const Value &) { return Result<Value>(Value(lower(value.shown()))); }},
    {"safe", [](const Value &value, const Value &) { return Result<Value>(value); }},
    {"split", &splitUp},
    {"trim", [](const Value &value, const Value &) { return Result<Value>(Value(std::string(trimmed(value.shown())))); }},
    {"upper", [](const Value &value, const Value &) { return Result<Value>(Value(upper(value.shown()))); }},
    {"yesno", &yesOrNo},
};

/// A number, or a text that is one: configuration values are texts.
std::optional<std::int64_t> asNumber(const Value &value)
{
    if (value.number())
        return *value.number();
    if (value.text())
        if (const auto number = parseSigned(*value.text()))
            return *number;
    return {};
}

class Runner
{
public:
    explicit Runner(const Value::Map &globals) : m_names(globals) {}
    Status run(const Block &block);
    std::string takeOutput() { return std::move(m_output); }

private:
    Status run(const Statement &statement);
    Status runIf(const Statement &statement);
    Status runFor(const Statement &statement);
    Status runLoop(const Statement &statement, const std::vector<std::pair<Value, Value>> &items);
    Result<Value> value(const Expression &expression);
    Result<Value> call(const Expression &expression);
    Result<Value> filter(const Expression &expression);
    Result<Value> binary(const Expression &expression);
    Result<Value> arithmetic(const Expression &expression, const Value &left, const Value &right);
    Value lookUp(const std::string &name) const;
    Status step(Place place, std::size_t cost = 1);
    Status put(Place place, const std::string &text);

    Value::Map m_names;
    std::string m_output;
    std::size_t m_steps = 0;
};

Status Runner::step(Place place, std::size_t cost)
{
    m_steps += cost;
    return m_steps <= kMostSteps ? Status() : Status(wrong(place, "the template takes too many steps"));
}

Status Runner::put(Place place, const std::string &text)
{
    if (m_output.size() + text.size() > kLongest)
        return wrong(place, "the output is longer than 1 MiB");
    m_output += text;
    return step(place, 1 + text.size() / 64);
}

Status Runner::run(const Block &block)
{
    for (const Statement &statement : block)
        TRY(run(statement));
    return {};
}

Status Runner::run(const Statement &statement)
{
    TRY(step(statement.place));
    switch (statement.kind) {
    case Statement::Kind::Plain:
        return put(statement.place, statement.text);
    case Statement::Kind::Output:
        return put(statement.place, TRY(value(*statement.expression)).shown());
    case Statement::Kind::If:
        return runIf(statement);
    case Statement::Kind::For:
        return runFor(statement);
    case Statement::Kind::Set:
        m_names[statement.names.front()] = TRY(value(*statement.expression));
        return {};
    case Statement::Kind::Group:
        return run(statement.branches.front().body);
    }
    return {};
}

Status Runner::runIf(const Statement &statement)
{
    for (const Branch &branch : statement.branches)
        if (!branch.condition || TRY(value(*branch.condition)).isTrue())
            return run(branch.body);
    return {};
}

Status Runner::runFor(const Statement &statement)
{
    const Value over = TRY(value(*statement.expression));
    std::vector<std::pair<Value, Value>> items;
    if (over.list())
        for (const Value &item : *over.list())
            items.emplace_back(item, Value());
    if (over.map())
        for (const auto &[key, item] : *over.map())
            items.emplace_back(Value(key), item);
    if (statement.reversed)
        std::ranges::reverse(items);
    if (!items.empty())
        return runLoop(statement, items);
    return statement.branches.size() > 1 ? run(statement.branches[1].body) : Status();
}

Status Runner::runLoop(const Statement &statement, const std::vector<std::pair<Value, Value>> &items)
{
    const Value::Map outside = m_names; // names of the loop end with it
    for (std::size_t i = 0; i < items.size(); ++i) {
        TRY(step(statement.place, kLoopCost));
        m_names[statement.names[0]] = items[i].first;
        if (statement.names.size() > 1)
            m_names[statement.names[1]] = items[i].second;
        const Value counter(static_cast<std::int64_t>(i + 1));
        const Value isFirst(i == 0);
        const Value isLast(i + 1 == items.size());
        // Go's and Django's spelling.
        m_names["forloop"] = Value(Value::Map{{"Counter", counter}, {"counter", counter}, {"First", isFirst}, {"first", isFirst},
                                              {"Last", isLast}, {"last", isLast}});
        TRY(run(statement.branches.front().body));
    }
    m_names = outside;
    return {};
}

Value Runner::lookUp(const std::string &name) const
{
    const auto found = m_names.find(name);
    return found == m_names.end() ? Value() : found->second;
}

Value memberOf(const Value &value, const std::string &name)
{
    if (value.map()) {
        const auto found = value.map()->find(name);
        return found == value.map()->end() ? Value() : found->second;
    }
    const auto index = parseUnsigned(name);
    return value.list() && index && *index < value.list()->size() ? (*value.list())[*index] : Value();
}

Result<Value> Runner::value(const Expression &expression)
{
    TRY(step(expression.place));
    switch (expression.kind) {
    case Kind::Literal:
        return expression.value;
    case Kind::Name:
        return lookUp(expression.name);
    case Kind::Member:
        return memberOf(TRY(value(*expression.children[0])), expression.name);
    case Kind::Index:
        return memberOf(TRY(value(*expression.children[0])), TRY(value(*expression.children[1])).shown());
    case Kind::Call:
        return call(expression);
    case Kind::Filter:
        return filter(expression);
    case Kind::Not:
        return Value(!TRY(value(*expression.children[0])).isTrue());
    case Kind::Negate: {
        const auto number = asNumber(TRY(value(*expression.children[0])));
        if (!number || *number == std::numeric_limits<std::int64_t>::min())
            return wrong(expression.place, "'-' needs a number");
        return Value(-*number);
    }
    default:
        return binary(expression);
    }
}

Result<Value> Runner::call(const Expression &expression)
{
    if (expression.name != "config_get")
        return wrong(expression.place, "the function " + quoted(expression.name) + " does not exist (there is: config_get)");
    if (expression.children.empty() || expression.children.size() > 2)
        return wrong(expression.place, "config_get takes a key and a default");
    const Value found = memberOf(lookUp("config"), TRY(value(*expression.children[0])).shown());
    if (!found.isNothing() || expression.children.size() == 1)
        return found;
    return value(*expression.children[1]);
}

Result<Value> Runner::filter(const Expression &expression)
{
    const auto row = std::ranges::find(kFilters, expression.name, &FilterRow::name);
    if (row == std::end(kFilters))
        return wrong(expression.place, "the filter " + quoted(expression.name) + " does not exist");
    const Value input = TRY(value(*expression.children[0]));
    const Value argument = expression.children.size() > 1 ? TRY(value(*expression.children[1])) : Value();
    TRY(step(expression.place, 1 + (input.text() ? input.text()->size() / 64 : 0)));
    auto result = row->apply(input, argument);
    return result ? std::move(result) : Result<Value>(wrong(expression.place, result.error().message));
}

bool contains(const Value &in, const Value &what)
{
    if (in.map())
        return in.map()->contains(what.shown());
    if (in.list())
        return std::ranges::any_of(*in.list(), [&](const Value &item) { return item.equals(what); });
    return in.shown().find(what.shown()) != std::string::npos;
}

Result<bool> isLess(const Expression &expression, const Value &left, const Value &right)
{
    const auto a = asNumber(left);
    const auto b = asNumber(right);
    if (a && b)
        return *a < *b;
    if (left.text() && right.text())
        return *left.text() < *right.text();
    return wrong(expression.place, "these two cannot be compared");
}

Result<Value> Runner::binary(const Expression &expression)
{
    const Value left = TRY(value(*expression.children[0]));
    if (expression.kind == Kind::And && !left.isTrue())
        return left;
    if (expression.kind == Kind::Or && left.isTrue())
        return left;
    const Value right = TRY(value(*expression.children[1]));
    switch (expression.kind) {
    case Kind::And:
    case Kind::Or:
        return right;
    case Kind::Equal:
        return Value(left.equals(right));
    case Kind::Unequal:
        return Value(!left.equals(right));
    case Kind::Less:
        return Value(TRY(isLess(expression, left, right)));
    case Kind::GreaterEqual:
        return Value(!TRY(isLess(expression, left, right)));
    case Kind::Greater:
        return Value(TRY(isLess(expression, right, left)));
    case Kind::LessEqual:
        return Value(!TRY(isLess(expression, right, left)));
    case Kind::In:
        return Value(contains(right, left));
    case Kind::NotIn:
        return Value(!contains(right, left));
    default:
        return arithmetic(expression, left, right);
    }
}

Result<Value> Runner::arithmetic(const Expression &expression, const Value &left, const Value &right)
{
    const bool texts = expression.kind == Kind::Add && (left.text() || right.text());
    if (texts) {
        std::string text = left.shown() + right.shown();
        TRY(step(expression.place, 1 + text.size() / 64));
        return text.size() <= kLongest ? Result<Value>(Value(std::move(text))) : Result<Value>(wrong(expression.place, "a text is longer than 1 MiB"));
    }
    const auto a = asNumber(left);
    const auto b = asNumber(right);
    if (!a || !b)
        return wrong(expression.place, "a number is needed here");
    std::int64_t result = 0;
    bool bad = false;
    switch (expression.kind) {
    case Kind::Add:
        bad = __builtin_add_overflow(*a, *b, &result);
        break;
    case Kind::Subtract:
        bad = __builtin_sub_overflow(*a, *b, &result);
        break;
    case Kind::Multiply:
        bad = __builtin_mul_overflow(*a, *b, &result);
        break;
    default:
        bad = *b == 0 || (*b == -1 && *a == std::numeric_limits<std::int64_t>::min());
        if (!bad)
            result = expression.kind == Kind::Divide ? *a / *b : *a % *b;
    }
    return bad ? Result<Value>(wrong(expression.place, "the result is no number")) : Result<Value>(Value(result));
}

} // namespace

bool Value::isTrue() const
{
    if (truth())
        return *truth();
    if (number())
        return *number() != 0;
    if (text())
        return !text()->empty();
    if (list())
        return !list()->empty();
    return map() && !map()->empty();
}

std::string Value::shown() const
{
    if (truth())
        return *truth() ? "True" : "False";
    if (number())
        return std::to_string(*number());
    return text() ? *text() : std::string(); // lists and maps are shown by their parts
}

bool Value::equals(const Value &other) const
{
    if (m_value.index() != other.m_value.index())
        return false;
    if (list())
        return std::ranges::equal(*list(), *other.list(), [](const Value &a, const Value &b) { return a.equals(b); });
    if (map())
        return std::ranges::equal(*map(), *other.map(),
                                  [](const auto &a, const auto &b) { return a.first == b.first && a.second.equals(b.second); });
    return m_value == other.m_value;
}

Result<std::string> run(const Program &program, const Value::Map &globals)
{
    Runner runner(globals);
    TRY(runner.run(program.body));
    return runner.takeOutput();
}

} // namespace lxmgr::images::template_text

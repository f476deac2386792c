#include "api/filter.h"

#include "base/text.h"

#include <regex.h>

namespace lxmgr::api
{

namespace
{

constexpr std::size_t kMostText = 8192;
constexpr std::size_t kMostClauses = 32;

/// Words at white space; a value in double quotes is one word.
Result<std::vector<std::string>> tokens(std::string_view text)
{
    std::vector<std::string> found;
    std::string word;
    bool quotedWord = false, open = false;
    const auto flush = [&] {
        if (!word.empty() || quotedWord)
            found.push_back(word);
        word.clear();
        quotedWord = false;
    };
    for (const char c : text) {
        if (c == '"') {
            open = !open;
            quotedWord = true;
        } else if (!open && (c == ' ' || c == '\t' || c == '\n')) {
            flush();
        } else {
            word.push_back(c);
        }
    }
    if (open)
        return Error(Code::Invalid, "filter: a double quote is not closed");
    flush();
    return found;
}

/// The member a dotted path names; below a map of strings the rest of the path is one key, dots included.
const Json *lookUp(const Json &object, std::string_view path)
{
    if (const Json *whole = object.find(path))
        return whole;
    for (std::size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', dot + 1))
        if (const Json *inner = object.find(path.substr(0, dot)))
            if (const Json *found = lookUp(*inner, path.substr(dot + 1)))
                return found;
    return nullptr;
}

std::string textOf(const Json &value)
{
    if (const std::string *text = value.asString())
        return *text;
    return value.isNull() ? std::string() : value.dump();
}

} // namespace

/// regcomp(3): glibc's automaton does not backtrack without back references, which are refused by what follows a backslash.
struct Filter::Pattern {
    regex_t compiled{};
    bool ok = false;

    explicit Pattern(const std::string &value)
    {
        const bool anchored = value.find('^') != std::string::npos || value.find('$') != std::string::npos;
        const std::string expression = anchored ? value : "^" + value + "$";
        for (std::size_t i = 0; i + 1 < expression.size(); ++i)
            if (expression[i] == '\\' && expression[i + 1] >= '1' && expression[i + 1] <= '9')
                return;
        ok = ::regcomp(&compiled, expression.c_str(), REG_EXTENDED | REG_ICASE | REG_NOSUB) == 0;
    }
    Pattern(const Pattern &) = delete;
    Pattern &operator=(const Pattern &) = delete;
    ~Pattern()
    {
        if (ok)
            ::regfree(&compiled);
    }
};

Result<Filter> Filter::parse(std::string_view text)
{
    Filter filter;
    if (text.size() > kMostText)
        return Error(Code::Invalid, "filter: longer than 8192 bytes");
    const std::vector<std::string> words = TRY(tokens(text));
    std::size_t at = 0;
    bool isOr = false;
    while (at < words.size()) {
        Clause clause;
        clause.isOr = isOr;
        if (lower(words[at]) == "not") {
            clause.negated = true;
            ++at;
        }
        if (at + 3 > words.size())
            return Error(Code::Invalid, "filter: expected '<field> eq|ne <value>' at " + quoted(at < words.size() ? words[at] : "the end"));
        const std::string how = lower(words[at + 1]);
        if (how != "eq" && how != "ne")
            return Error(Code::Invalid, "filter: " + quoted(words[at + 1]) + " is neither eq nor ne");
        clause.field = words[at];
        clause.differs = how == "ne";
        clause.value = words[at + 2];
        auto pattern = std::make_shared<const Pattern>(clause.value);
        if (pattern->ok)
            clause.pattern = std::move(pattern);
        filter.m_clauses.push_back(std::move(clause));
        at += 3;
        if (at == words.size())
            break;
        const std::string join = lower(words[at]);
        if (join != "and" && join != "or")
            return Error(Code::Invalid, "filter: " + quoted(words[at]) + " is neither and nor or");
        isOr = join == "or";
        if (++at == words.size() || filter.m_clauses.size() == kMostClauses)
            return Error(Code::Invalid, "filter: ends in " + quoted(join) + " or has more than 32 clauses");
    }
    return filter;
}

bool Filter::holds(const Clause &clause, const Json &object)
{
    const Json *found = lookUp(object, clause.field);
    const std::string value = found ? textOf(*found) : std::string();
    const bool equal = clause.pattern ? ::regexec(&clause.pattern->compiled, value.c_str(), 0, nullptr, 0) == 0
                                      : lower(value) == lower(clause.value);
    return (equal != clause.differs) != clause.negated;
}

bool Filter::matches(const Json &object) const
{
    bool result = true;
    for (std::size_t i = 0; i < m_clauses.size(); ++i) {
        const bool one = holds(m_clauses[i], object);
        result = i == 0 ? one : m_clauses[i].isOr ? result || one : result && one;
    }
    return result;
}

} // namespace lxmgr::api

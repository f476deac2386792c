#include "base/text.h"
#include "images/template_tree.h"

#include <algorithm>
#include <initializer_list>

namespace lxmgr::images::template_text
{

namespace
{

constexpr unsigned kDeepest = 64;

using Kind = Expression::Kind;

struct Operator {
    std::string_view sign;
    Kind kind;
};

/// By how tightly they bind, loosest first; operators of one row associate to the left.
struct Level {
    std::initializer_list<Operator> operators;
};
const Level kLevels[] = {
    {{{"or", Kind::Or}, {"||", Kind::Or}}},
    {{{"and", Kind::And}, {"&&", Kind::And}}},
    {{{"==", Kind::Equal}, {"!=", Kind::Unequal}, {"<>", Kind::Unequal}, {"<", Kind::Less}, {"<=", Kind::LessEqual}, {">", Kind::Greater},
      {">=", Kind::GreaterEqual}, {"in", Kind::In}}},
    {{{"+", Kind::Add}, {"-", Kind::Subtract}}},
    {{{"*", Kind::Multiply}, {"/", Kind::Divide}, {"%", Kind::Modulo}}},
};
constexpr std::size_t kNotLevel = 2; ///< "not" binds looser than comparisons, tighter than "and".

class ExpressionParser
{
public:
    explicit ExpressionParser(const std::vector<Word> &words, std::size_t from) : m_words(words), m_at(from) {}

    Result<ExpressionPtr> expression() { return level(0); }
    const Word &now() const { return m_words[m_at]; }
    bool take(std::string_view text);
    Result<std::string> name(const std::string &what);
    Status end() const;

private:
    Result<ExpressionPtr> level(std::size_t at);
    Result<ExpressionPtr> unary();
    Result<ExpressionPtr> postfix();
    Result<ExpressionPtr> primary();
    Result<ExpressionPtr> member(ExpressionPtr of);
    Result<ExpressionPtr> filter(ExpressionPtr of);
    Result<ExpressionPtr> call(std::string function);
    ExpressionPtr make(Kind kind) const;
    Status deeper() const { return m_depth > kDeepest ? Status(wrong(now().place, "nested too deeply")) : Status(); }

    const std::vector<Word> &m_words;
    std::size_t m_at;
    unsigned m_depth = 0;
};

ExpressionPtr ExpressionParser::make(Kind kind) const
{
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->place = now().place;
    return made;
}

bool ExpressionParser::take(std::string_view text)
{
    const Word &word = now();
    if ((word.kind != Word::Kind::Name && word.kind != Word::Kind::Sign) || word.text != text)
        return false;
    ++m_at;
    return true;
}

Result<std::string> ExpressionParser::name(const std::string &what)
{
    if (now().kind != Word::Kind::Name)
        return wrong(now().place, "expected " + what);
    return m_words[m_at++].text;
}

Status ExpressionParser::end() const
{
    return now().kind == Word::Kind::End ? Status() : Status(wrong(now().place, quoted(now().text) + " is not expected here"));
}

Result<ExpressionPtr> ExpressionParser::level(std::size_t at)
{
    if (at == std::size(kLevels))
        return unary();
    ++m_depth;
    TRY(deeper());
    if (at == kNotLevel && (take("not") || take("!"))) {
        ExpressionPtr negated = make(Kind::Not);
        negated->children.push_back(TRY(level(at)));
        --m_depth;
        return negated;
    }
    ExpressionPtr left = TRY(level(at + 1));
    for (bool found = true; found;) {
        found = false;
        ExpressionPtr joined = make(Kind::Not);
        const bool notIn = at == kNotLevel && now().kind == Word::Kind::Name && now().text == "not" && m_words[m_at + 1].text == "in";
        m_at += notIn ? 1 : 0;
        for (const Operator &row : kLevels[at].operators) {
            if (found || !take(row.sign))
                continue;
            found = true;
            joined->kind = notIn ? Kind::NotIn : row.kind;
        }
        if (!found)
            break;
        joined->children.push_back(std::move(left));
        joined->children.push_back(TRY(level(at + 1)));
        left = std::move(joined);
    }
    --m_depth;
    return left;
}

Result<ExpressionPtr> ExpressionParser::unary()
{
    if (now().kind != Word::Kind::Sign || now().text != "-")
        return postfix();
    ++m_depth;
    TRY(deeper());
    ExpressionPtr negated = make(Kind::Negate);
    ++m_at;
    negated->children.push_back(TRY(unary()));
    --m_depth;
    return negated;
}

Result<ExpressionPtr> ExpressionParser::postfix()
{
    ExpressionPtr value = TRY(primary());
    for (;;) {
        if (take(".")) {
            value = TRY(member(std::move(value)));
        } else if (take("[")) {
            ExpressionPtr indexed = make(Kind::Index);
            indexed->children.push_back(std::move(value));
            indexed->children.push_back(TRY(level(0)));
            if (!take("]"))
                return wrong(now().place, "expected ']'");
            value = std::move(indexed);
        } else if (take("|")) {
            value = TRY(filter(std::move(value)));
        } else {
            return value;
        }
    }
}

Result<ExpressionPtr> ExpressionParser::member(ExpressionPtr of)
{
    ExpressionPtr found = make(Kind::Member);
    if (now().kind != Word::Kind::Name && now().kind != Word::Kind::Number)
        return wrong(now().place, "expected a name after '.'");
    found->name = m_words[m_at++].text;
    found->children.push_back(std::move(of));
    return found;
}

Result<ExpressionPtr> ExpressionParser::filter(ExpressionPtr of)
{
    ExpressionPtr filtered = make(Kind::Filter);
    filtered->name = TRY(name("the name of a filter"));
    filtered->children.push_back(std::move(of));
    if (take(":"))
        filtered->children.push_back(TRY(primary()));
    return filtered;
}

Result<ExpressionPtr> ExpressionParser::call(std::string function)
{
    ExpressionPtr called = make(Kind::Call);
    called->name = std::move(function);
    while (!take(")")) {
        if (!called->children.empty() && !take(","))
            return wrong(now().place, "expected ',' or ')'");
        called->children.push_back(TRY(level(0)));
    }
    return called;
}

Result<ExpressionPtr> ExpressionParser::primary()
{
    ExpressionPtr literal = make(Kind::Literal);
    const Word word = now();
    if (take("(")) {
        ExpressionPtr inner = TRY(level(0));
        if (!take(")"))
            return wrong(now().place, "expected ')'");
        return inner;
    }
    ++m_at;
    switch (word.kind) {
    case Word::Kind::Text:
        literal->value = Value(word.text);
        return literal;
    case Word::Kind::Number: {
        const auto number = parseSigned(word.text);
        if (!number)
            return wrong(word.place, number.error().message);
        literal->value = Value(*number);
        return literal;
    }
    case Word::Kind::Name:
        break;
    default:
        return wrong(word.place, word.kind == Word::Kind::End ? "an expression is missing" : quoted(word.text) + " is not expected here");
    }
    const std::string lowered = lower(word.text);
    if (lowered == "true" || lowered == "false") {
        literal->value = Value(lowered == "true");
        return literal;
    }
    if (lowered == "none" || lowered == "nil")
        return literal;
    if (take("("))
        return call(word.text);
    literal->kind = Kind::Name;
    literal->name = word.text;
    return literal;
}

/// Statements up to a tag that ends the block.
class BlockParser
{
public:
    explicit BlockParser(std::vector<Piece> pieces) : m_pieces(std::move(pieces)) {}

    /// Stops at a tag whose name is one of `ends` (which is then the current piece) or, without any, at the end.
    Result<Block> block(std::initializer_list<std::string_view> ends, Place opened, const std::string &what);

private:
    bool atEnd() const { return m_at == m_pieces.size(); }
    const Piece &now() const { return m_pieces[m_at]; }
    std::string tagName() const { return now().words.front().text; }
    Result<Statement> statement();
    Result<Statement> tag();
    Result<Statement> ifTag();
    Result<Statement> forTag();
    Result<Statement> setTag();
    Result<Statement> groupTag(std::string_view end);
    Status finishTag(const ExpressionParser &parser);

    std::vector<Piece> m_pieces;
    std::size_t m_at = 0;
    unsigned m_depth = 0;
};

Result<Block> BlockParser::block(std::initializer_list<std::string_view> ends, Place opened, const std::string &what)
{
    if (++m_depth > kDeepest)
        return wrong(opened, "nested too deeply");
    Block statements;
    while (!atEnd()) {
        if (now().kind == Piece::Kind::Tag && std::ranges::find(ends, tagName()) != ends.end()) {
            --m_depth;
            return statements;
        }
        statements.push_back(TRY(statement()));
    }
    if (ends.size() != 0)
        return wrong(opened, "'" + what + "' has no '" + std::string(*(ends.end() - 1)) + "'");
    --m_depth;
    return statements;
}

Result<Statement> BlockParser::statement()
{
    Statement made;
    made.place = now().place;
    if (now().kind == Piece::Kind::Tag)
        return tag();
    if (now().kind == Piece::Kind::Plain) {
        made.text = now().plain;
    } else {
        made.kind = Statement::Kind::Output;
        ExpressionParser parser(now().words, 0);
        made.expression = TRY(parser.expression());
        TRY(parser.end());
    }
    ++m_at;
    return made;
}

Result<Statement> BlockParser::tag()
{
    const std::string name = tagName();
    if (name == "if")
        return ifTag();
    if (name == "for")
        return forTag();
    if (name == "set")
        return setTag();
    if (name == "autoescape")
        return groupTag("endautoescape"); // nothing is ever escaped: these are not web pages
    if (name == "spaceless")
        return groupTag("endspaceless");
    return wrong(now().place, "the tag " + quoted(name) + " does not exist here (there are: if, for, set)");
}

Status BlockParser::finishTag(const ExpressionParser &parser)
{
    TRY(parser.end());
    ++m_at;
    return {};
}

Result<Statement> BlockParser::ifTag()
{
    Statement made;
    made.kind = Statement::Kind::If;
    made.place = now().place;
    for (bool hasCondition = true; hasCondition || tagName() != "endif";) {
        Branch branch;
        if (hasCondition) {
            ExpressionParser parser(now().words, 1);
            branch.condition = TRY(parser.expression());
            TRY(finishTag(parser));
            branch.body = TRY(block({"elif", "else", "endif"}, made.place, "if"));
        } else { // at "else"
            ++m_at;
            branch.body = TRY(block({"endif"}, made.place, "if"));
        }
        made.branches.push_back(std::move(branch));
        hasCondition = tagName() == "elif";
    }
    ++m_at;
    return made;
}

Result<Statement> BlockParser::forTag()
{
    Statement made;
    made.kind = Statement::Kind::For;
    made.place = now().place;
    ExpressionParser parser(now().words, 1);
    made.names.push_back(TRY(parser.name("the name of a variable")));
    if (parser.take(","))
        made.names.push_back(TRY(parser.name("the name of a variable")));
    if (!parser.take("in"))
        return wrong(parser.now().place, "expected 'in'");
    made.expression = TRY(parser.expression());
    made.reversed = parser.take("reversed");
    (void)parser.take("sorted"); // maps are sorted as it is
    TRY(finishTag(parser));
    made.branches.push_back({nullptr, TRY(block({"else", "empty", "endfor"}, made.place, "for"))});
    if (tagName() != "endfor") {
        ++m_at;
        made.branches.push_back({nullptr, TRY(block({"endfor"}, made.place, "for"))});
    }
    ++m_at;
    return made;
}

Result<Statement> BlockParser::setTag()
{
    Statement made;
    made.kind = Statement::Kind::Set;
    made.place = now().place;
    ExpressionParser parser(now().words, 1);
    made.names.push_back(TRY(parser.name("the name of a variable")));
    if (!parser.take("="))
        return wrong(parser.now().place, "expected '='");
    made.expression = TRY(parser.expression());
    TRY(finishTag(parser));
    return made;
}

Result<Statement> BlockParser::groupTag(std::string_view end)
{
    Statement made;
    made.kind = Statement::Kind::Group;
    made.place = now().place;
    const std::string name = tagName();
    ++m_at;
    made.branches.push_back({nullptr, TRY(block({end}, made.place, name))});
    ++m_at;
    return made;
}

} // namespace

void DeleteProgram::operator()(const Program *program) const { delete program; }

Result<ProgramPtr> parse(std::string_view text)
{
    BlockParser parser(TRY(scan(text)));
    auto program = std::make_unique<Program>();
    program->body = TRY(parser.block({}, {}, {}));
    return ProgramPtr(program.release());
}

} // namespace lxmgr::images::template_text

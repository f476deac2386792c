#include "images/template_scan.h"

#include "base/text.h"

#include <algorithm>

namespace lxmgr::images::template_text
{

namespace
{

bool isNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool isDigit(char c) { return c >= '0' && c <= '9'; }

/// Longer signs first: "<=" is not "<" and "=".
constexpr std::string_view kSigns[] = {"==", "!=", "<>", "<=", ">=", "&&", "||", "<", ">", "(", ")", "[", "]",
                                       ",",  ".",  "|",  ":",  "+",  "-",  "*",  "/", "%", "!", "="};

class Scanner
{
public:
    explicit Scanner(std::string_view text) : m_rest(text) {}
    Result<std::vector<Piece>> run();

private:
    std::string take(std::size_t count);
    Status tag(Piece::Kind kind, std::string_view end);
    Result<Word> word();
    Result<Word> quotedText();
    Status comment();

    std::string_view m_rest;
    Place m_place;
    std::vector<Piece> m_pieces;
};

/// Moves on by `count` bytes and returns them.
std::string Scanner::take(std::size_t count)
{
    std::string taken(m_rest.substr(0, count));
    for (const char c : taken) {
        m_place.column = c == '\n' ? 1 : m_place.column + 1;
        m_place.line += c == '\n' ? 1 : 0;
    }
    m_rest.remove_prefix(taken.size());
    return taken;
}

Result<std::vector<Piece>> Scanner::run()
{
    while (!m_rest.empty()) {
        if (m_rest.starts_with("{{")) {
            TRY(tag(Piece::Kind::Output, "}}"));
        } else if (m_rest.starts_with("{%")) {
            TRY(tag(Piece::Kind::Tag, "%}"));
        } else if (m_rest.starts_with("{#")) {
            TRY(comment());
        } else {
            std::size_t end = m_rest.find('{', 1);
            while (end != std::string_view::npos && (end + 1 >= m_rest.size() || std::string_view("{%#").find(m_rest[end + 1]) == std::string_view::npos))
                end = m_rest.find('{', end + 1);
            const Place place = m_place;
            m_pieces.push_back({Piece::Kind::Plain, take(std::min(end, m_rest.size())), {}, place});
        }
    }
    return std::move(m_pieces);
}

Status Scanner::comment()
{
    const auto end = m_rest.find("#}");
    if (end == std::string_view::npos)
        return wrong(m_place, "the comment has no '#}'");
    (void)take(end + 2);
    return {};
}

Status Scanner::tag(Piece::Kind kind, std::string_view end)
{
    Piece piece{kind, {}, {}, m_place};
    (void)take(2);
    // "{%-" and "-%}" strip white space around, as Jinja's do.
    if (m_rest.starts_with("-")) {
        (void)take(1);
        if (!m_pieces.empty() && m_pieces.back().kind == Piece::Kind::Plain) {
            std::string &before = m_pieces.back().plain;
            before.erase(before.find_last_not_of(" \t\r\n") + 1);
        }
    }
    for (;;) {
        const std::size_t space = m_rest.find_first_not_of(" \t\r\n");
        (void)take(space == std::string_view::npos ? m_rest.size() : space);
        const bool strips = m_rest.starts_with("-") && m_rest.substr(1).starts_with(end);
        if (strips || m_rest.starts_with(end)) {
            piece.words.push_back({Word::Kind::End, {}, m_place});
            (void)take(end.size() + (strips ? 1 : 0));
            const std::size_t after = m_rest.find_first_not_of(" \t\r\n");
            if (strips)
                (void)take(after == std::string_view::npos ? m_rest.size() : after);
            m_pieces.push_back(std::move(piece));
            return {};
        }
        if (m_rest.empty())
            return wrong(piece.place, "the tag has no '" + std::string(end) + "'");
        piece.words.push_back(TRY(word()));
    }
}

Result<Word> Scanner::word()
{
    const Place place = m_place;
    const char first = m_rest.front();
    if (first == '"' || first == '\'')
        return quotedText();
    std::size_t length = 0;
    if (isDigit(first)) {
        while (length < m_rest.size() && isDigit(m_rest[length]))
            ++length;
        return Word{Word::Kind::Number, take(length), place};
    }
    if (isNameStart(first)) {
        while (length < m_rest.size() && (isNameStart(m_rest[length]) || isDigit(m_rest[length])))
            ++length;
        return Word{Word::Kind::Name, take(length), place};
    }
    for (const std::string_view sign : kSigns)
        if (m_rest.starts_with(sign))
            return Word{Word::Kind::Sign, take(sign.size()), place};
    return wrong(place, quoted(m_rest.substr(0, 1)) + " is not understood here");
}

Result<Word> Scanner::quotedText()
{
    Word word{Word::Kind::Text, {}, m_place};
    const char end = m_rest.front();
    (void)take(1);
    while (!m_rest.empty() && m_rest.front() != end) {
        if (m_rest.front() != '\\' || m_rest.size() < 2) {
            word.text += take(1);
            continue;
        }
        const char escape = take(2)[1];
        word.text += escape == 'n' ? '\n' : escape == 't' ? '\t' : escape;
    }
    if (m_rest.empty())
        return wrong(word.place, "the text has no closing quote");
    (void)take(1);
    return word;
}

} // namespace

Error wrong(Place place, const std::string &why)
{
    return {Code::Invalid, "line " + std::to_string(place.line) + ", column " + std::to_string(place.column) + ": " + why};
}

Result<std::vector<Piece>> scan(std::string_view text) { return Scanner(text).run(); }

} // namespace lxmgr::images::template_text

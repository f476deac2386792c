// HTTP/1.1 parsing: bytes in, events out (Boost.Beast's parser, with limits of our own in front).
#pragma once

#include "base/result.h"
#include "http/message.h"

#include <functional>
#include <memory>

namespace lxmgr::http
{

struct Limits {
    std::size_t head = 64 << 10; ///< Start line and fields together.
    std::size_t fields = 100;
    std::size_t target = 16 << 10;
};

/// What a parser calls. An Error that a call returns stops the parsing and comes out of feed().
template <class Head> struct Events {
    std::function<Status(Head)> head;
    std::function<Status(std::string_view)> body; ///< A piece, chunks already joined.
    std::function<Status()> end;
};

/// Reads one message after another. Refused: both lengths at once, folded fields, any transfer coding but chunked.
/// Errors: Invalid, with what was wrong; after one the connection has to end.
class RequestParser
{
public:
    explicit RequestParser(Events<RequestHead> events, Limits limits = {});
    ~RequestParser();
    RequestParser(RequestParser &&) noexcept;
    RequestParser &operator=(RequestParser &&) noexcept;

    /// Takes bytes up to the end of the current message at most; how many is the result. The rest belongs to the next
    /// message, or to another protocol after an upgrade.
    Result<std::size_t> feed(std::string_view bytes);
    /// Between two messages, nothing of the next one seen yet.
    bool idle() const;

private:
    class Impl;
    std::unique_ptr<Impl> m_impl;
};

class ResponseParser
{
public:
    explicit ResponseParser(Events<ResponseHead> events, Limits limits = {});
    ~ResponseParser();
    ResponseParser(ResponseParser &&) noexcept;
    ResponseParser &operator=(ResponseParser &&) noexcept;

    /// The next answer is one to HEAD: it has no body whatever its length says.
    void expectNoBody();
    /// As RequestParser::feed. 1xx answers other than 101 are passed over.
    Result<std::size_t> feed(std::string_view bytes);
    /// The peer closed: ends a body without length; an Error (Unavailable) in the middle of a message.
    Status finish();
    bool idle() const;

private:
    class Impl;
    std::unique_ptr<Impl> m_impl;
};

} // namespace lxmgr::http

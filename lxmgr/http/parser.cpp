#include "http/parser.h"

#include "base/text.h"

// Beast 1.74 asserts that a last chunk seen for the second time has five bytes, which "0\r\n\r" has not; nothing depends
// on it. A peer must not be able to end the program with four bytes, in whatever build.
#define BOOST_DISABLE_ASSERTS
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/optional.hpp>

#include <optional>
#include <type_traits>

namespace lxmgr::http
{

namespace
{
namespace beast = boost::beast;

/// A chunk's size line, its extensions included, or the trailer must fit in here.
constexpr std::size_t kCarryLimit = 16 << 10;

std::string text(beast::string_view view) { return {view.data(), view.size()}; }

Error invalid(std::string_view why) { return {Code::Invalid, "HTTP: " + std::string(why)}; }

/// Rules that are stricter than the parser's: what two readers could read differently is refused.
Status checkHead(std::string_view head)
{
    if (head.find('\0') != std::string_view::npos)
        return invalid("a NUL in the header");
    if (head.find("\r\n ") != std::string_view::npos || head.find("\r\n\t") != std::string_view::npos)
        return invalid("a folded header field");
    return {};
}

template <bool isRequest> using HeadOf = std::conditional_t<isRequest, RequestHead, ResponseHead>;

/// Beast's parser with its calls turned into our head and body.
template <bool isRequest> class Core final : public beast::http::basic_parser<isRequest>
{
public:
    using Head = HeadOf<isRequest>;

    Core(const Events<Head> &events, const Limits &limits) : m_events(events), m_limits(limits)
    {
        this->header_limit(static_cast<std::uint32_t>(limits.head));
        // Bodies are bounded by who takes them. Beast 1.74 takes "none" for "nothing at all".
        this->body_limit(UINT64_MAX);
    }

    Head head;
    std::optional<Error> error; ///< From a call of ours, or from a rule of ours.

private:
    void refuse(beast::error_code &ec, Error why)
    {
        error = std::move(why);
        ec = beast::http::error::bad_field; // only stops the parser; `error` is what counts
    }
    void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target, int version,
                         beast::error_code &ec) override
    {
        if constexpr (isRequest) {
            if (target.size() > m_limits.target)
                return refuse(ec, invalid("the request target is too long"));
            if (version != 10 && version != 11)
                return refuse(ec, invalid("only HTTP/1.0 and HTTP/1.1 are spoken here"));
            head.method = text(method);
            head.target = text(target);
            head.minorVersion = version % 10;
        }
    }
    void on_response_impl(int code, beast::string_view reason, int, beast::error_code &) override
    {
        if constexpr (!isRequest) {
            head.status = code;
            head.reason = text(reason);
        }
    }
    void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                       beast::error_code &ec) override
    {
        if (head.headers.size() >= m_limits.fields)
            return refuse(ec, invalid("too many header fields"));
        if (field == beast::http::field::transfer_encoding && lower(text(value)) != "chunked")
            return refuse(ec, invalid("a transfer coding other than chunked"));
        const bool isLength = field == beast::http::field::content_length;
        if (isLength && (head.headers.find("Content-Length") || value.find(',') != beast::string_view::npos))
            return refuse(ec, invalid("more than one Content-Length"));
        head.headers.add(text(name), text(value));
    }
    void on_header_impl(beast::error_code &ec) override
    {
        head.keepAlive = this->keep_alive();
        head.chunked = this->chunked();
        if (const auto length = this->content_length())
            head.contentLength = *length;
        if constexpr (isRequest) {
            if (head.chunked && head.minorVersion == 0)
                return refuse(ec, invalid("chunks in HTTP/1.0"));
            head.expectContinue = head.headers.hasToken("Expect", "100-continue");
            if (head.headers.hasToken("Connection", "upgrade"))
                head.upgrade = lower(head.headers.value("Upgrade"));
        }
    }
    void on_body_init_impl(const boost::optional<std::uint64_t> &, beast::error_code &) override {}
    std::size_t on_body_impl(beast::string_view body, beast::error_code &ec) override { return piece(body, ec); }
    void on_chunk_header_impl(std::uint64_t, beast::string_view, beast::error_code &) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, beast::error_code &ec) override
    {
        return piece(body, ec);
    }
    void on_finish_impl(beast::error_code &) override {}

    std::size_t piece(beast::string_view body, beast::error_code &ec)
    {
        if (m_events.body && !body.empty())
            if (Status status = m_events.body({body.data(), body.size()}); !status)
                refuse(ec, std::move(status.error()));
        return body.size();
    }

    const Events<Head> &m_events;
    const Limits &m_limits;
};

/// One message after another: collects the head, then passes the body on as it comes.
template <bool isRequest> class Reader
{
public:
    using Head = HeadOf<isRequest>;

    Reader(Events<Head> events, Limits limits) : m_events(std::move(events)), m_limits(limits) {}

    bool idle() const { return !m_core && m_buffer.empty(); }
    void expectNoBody() { m_noBody = true; }

    Result<std::size_t> feed(std::string_view bytes)
    {
        std::size_t used = 0;
        if (!m_core) {
            used = TRY(takeHead(bytes));
            if (!m_core || m_core->is_done()) // more to come, or a message without a body
                return m_core ? TRY(ended(used)) : used;
        }
        used += TRY(takeBody(bytes.substr(used)));
        return m_core->is_done() ? TRY(ended(used)) : used;
    }

    Status finish()
    {
        if (idle())
            return {};
        beast::error_code ec;
        if (m_core)
            m_core->put_eof(ec);
        if (!m_core || ec || !m_core->is_done())
            return Error(Code::Unavailable, "HTTP: the connection ended in the middle of a message");
        TRY(ended(0));
        return {};
    }

private:
    Result<std::size_t> takeHead(std::string_view bytes)
    {
        const std::size_t before = m_buffer.size();
        m_buffer.append(bytes.substr(0, m_limits.head + 1 - std::min(before, m_limits.head)));
        const std::size_t end = m_buffer.find("\r\n\r\n", before < 3 ? 0 : before - 3);
        if (end == std::string::npos) {
            if (m_buffer.size() > m_limits.head)
                return invalid("the header is too long");
            return bytes.size();
        }
        m_buffer.resize(end + 4);
        TRY(checkHead(m_buffer));
        m_core.emplace(m_events, m_limits);
        if (m_noBody)
            m_core->skip(true);
        TRY(put(m_buffer));
        const std::size_t used = m_buffer.size() - before;
        m_buffer.clear();
        if (!m_core->is_header_done())
            return invalid("the header is not complete");
        if (isInterim()) {
            m_core.reset();
            return used;
        }
        m_core->eager(true);
        if (m_events.head)
            TRY(m_events.head(std::move(m_core->head)));
        return used;
    }

    Result<std::size_t> takeBody(std::string_view bytes)
    {
        std::size_t left = bytes.size();
        while (left > 0 && !m_core->is_done()) {
            const std::string_view fresh = bytes.substr(bytes.size() - left);
            if (m_buffer.empty()) {
                const std::size_t used = TRY(put(fresh));
                left -= used;
                if (used == 0) { // the line of a chunk is not whole yet
                    m_buffer = fresh;
                    left = 0;
                }
                continue;
            }
            m_buffer.append(fresh);
            const std::size_t used = TRY(put(m_buffer));
            const std::size_t rest = m_buffer.size() - used;
            if (used == 0) {
                left = 0;
            } else {
                left = rest; // what was carried is a beginning, so it goes first
                m_buffer.clear();
            }
        }
        if (m_buffer.size() > kCarryLimit)
            return invalid("a chunk's header is too long");
        return bytes.size() - left;
    }

    Result<std::size_t> put(std::string_view bytes)
    {
        beast::error_code ec;
        const std::size_t used = m_core->put(boost::asio::buffer(bytes.data(), bytes.size()), ec);
        if (ec && ec != beast::http::error::need_more)
            return m_core->error ? std::move(*m_core->error) : invalid(ec.message());
        return used;
    }

    Result<std::size_t> ended(std::size_t used)
    {
        m_core.reset();
        m_buffer.clear();
        m_noBody = false;
        if (m_events.end)
            TRY(m_events.end());
        return used;
    }

    bool isInterim() const
    {
        if constexpr (isRequest)
            return false;
        else
            return m_core->head.status >= 100 && m_core->head.status < 200 && m_core->head.status != 101;
    }

    Events<Head> m_events;
    Limits m_limits;
    std::optional<Core<isRequest>> m_core; ///< Set from the end of the head on.
    std::string m_buffer;                  ///< A head, or the line of a chunk, that has not come whole.
    bool m_noBody = false;
};
} // namespace

class RequestParser::Impl : public Reader<true>
{
public:
    using Reader::Reader;
};

RequestParser::RequestParser(Events<RequestHead> events, Limits limits)
    : m_impl(std::make_unique<Impl>(std::move(events), limits))
{
}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser &&) noexcept = default;
RequestParser &RequestParser::operator=(RequestParser &&) noexcept = default;
Result<std::size_t> RequestParser::feed(std::string_view bytes) { return m_impl->feed(bytes); }
bool RequestParser::idle() const { return m_impl->idle(); }

class ResponseParser::Impl : public Reader<false>
{
public:
    using Reader::Reader;
};

ResponseParser::ResponseParser(Events<ResponseHead> events, Limits limits)
    : m_impl(std::make_unique<Impl>(std::move(events), limits))
{
}
ResponseParser::~ResponseParser() = default;
ResponseParser::ResponseParser(ResponseParser &&) noexcept = default;
ResponseParser &ResponseParser::operator=(ResponseParser &&) noexcept = default;
void ResponseParser::expectNoBody() { m_impl->expectNoBody(); }
Result<std::size_t> ResponseParser::feed(std::string_view bytes) { return m_impl->feed(bytes); }
Status ResponseParser::finish() { return m_impl->finish(); }
bool ResponseParser::idle() const { return m_impl->idle(); }

} // namespace lxmgr::http

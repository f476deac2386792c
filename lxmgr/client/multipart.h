// multipart/form-data (RFC 7578) as far as images use it: two big parts, streamed both ways.
#pragma once

#include "base/result.h"
#include "client/connection.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::client
{

struct FormPart {
    std::string name;
    std::string fileName;
    Source source;
    std::uint64_t size = 0;
};

struct Form {
    std::string contentType;
    Source source;
    std::uint64_t size = 0;
};

Form makeForm(std::vector<FormPart> parts);

/// Splits a form that arrives piece by piece.
class FormReader
{
public:
    using Open = std::function<Result<Sink>(const std::string &name, const std::string &fileName)>;

    FormReader(std::string_view contentType, Open open);
    /// Of a form whose first `position` bytes came another time: what comes now belongs to a part that was opened then.
    FormReader(std::string_view contentType, Open open, Sink sink, std::uint64_t position);
    Status feed(std::string_view piece);
    /// While a part is opened: of the form's bytes, where its content begins.
    std::uint64_t position() const { return m_fed - m_buffer.size(); }
    /// Corrupt where the end is missing.
    Status finish() const;

private:
    enum class State { Preamble, Head, Body, Done };

    Result<bool> step();
    Status beginPart(std::string_view head);

    Open m_open;
    std::string m_delimiter; ///< CRLF, two dashes and the boundary.
    std::string m_buffer;
    std::uint64_t m_fed = 0; ///< Bytes of the form, to the end of the buffer.
    State m_state = State::Preamble;
    Sink m_sink;
};

} // namespace lxmgr::client

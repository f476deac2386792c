// multipart/form-data bodies (RFC 7578) that lie in a file: where each part is, without copying any.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "http/message.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lxmgr::http
{

struct Part {
    std::string name;
    std::string filename;
    std::uint64_t offset = 0; ///< Of its content in the file.
    std::uint64_t size = 0;
};

/// The boundary in a Content-Type of multipart/form-data; Invalid for another type or without one.
Result<std::string> multipartBoundary(std::string_view contentType);
/// Finds the parts of the body in `file` (`size` bytes from its start; seeks are not needed). Invalid when it is
/// malformed or has more than 16 parts.
Result<std::vector<Part>> findParts(const Fd &file, std::uint64_t size, const std::string &boundary);

/// Finds parts in bytes as they come; findParts() and its fuzz target feed it.
class PartFinder
{
public:
    explicit PartFinder(const std::string &boundary);
    Status feed(std::string_view bytes);
    /// Invalid unless the closing boundary was seen.
    Result<std::vector<Part>> finish();

private:
    enum class Where { Preamble, AfterBoundary, Fields, Content, End };
    Status step(bool &more);
    void drop(std::size_t count);
    Status readFields(std::string_view fields);

    std::string m_delimiter; ///< "\r\n--boundary"
    std::string m_buffer;    ///< Not yet looked at.
    std::uint64_t m_at = 0;  ///< Offset of m_buffer in the body.
    Where m_where = Where::Preamble;
    std::vector<Part> m_parts;
};

} // namespace lxmgr::http

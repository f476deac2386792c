// multipart/form-data (RFC 7578) as images travel in it: two files, found by offset in a body that lies in a file.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::daemon
{

struct FormPart {
    std::string name;
    std::string filename;
    std::uint64_t offset = 0; ///< Of its content, in the body.
    std::uint64_t size = 0;
};

/// The boundary parameter of a Content-Type; Invalid where there is none or it is no boundary.
Result<std::string> formBoundary(std::string_view contentType);
/// Parts of the body of `size` bytes in `file`, at most 8. Invalid where it is malformed or cut short.
Result<std::vector<FormPart>> parseForm(const Fd &file, std::uint64_t size, const std::string &boundary);

} // namespace lxmgr::daemon

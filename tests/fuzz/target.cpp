// Request targets: what is accepted holds no NUL and no way out of its path.
#include "http/target.h"

#include <cstdint>
#include <cstdlib>

using namespace lxmgr;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const Result<http::Target> target = http::parseTarget({reinterpret_cast<const char *>(data), size});
    if (!target)
        return 0;
    std::string again;
    for (const std::string &segment : target->segments) {
        if (segment.empty() || segment == "." || segment == ".." || segment.find('\0') != std::string::npos)
            std::abort();
        again += "/" + http::percentEncode(segment);
    }
    const Result<http::Target> second = http::parseTarget(again.empty() ? "/" : again);
    if (!second || second->segments != target->segments)
        std::abort();
    return 0;
}

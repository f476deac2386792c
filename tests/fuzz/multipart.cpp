// Multipart bodies: every part lies inside the body, however the bytes arrive.
#include "http/multipart.h"

#include <cstdint>
#include <cstdlib>

using namespace lxmgr;
using namespace lxmgr::http;

namespace
{
Result<std::vector<Part>> parts(std::string_view body, std::size_t step)
{
    PartFinder finder("boundary");
    for (; !body.empty(); body.remove_prefix(std::min(step, body.size())))
        TRY(finder.feed(body.substr(0, step)));
    return finder.finish();
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const std::string_view body(reinterpret_cast<const char *>(data), size);
    (void)multipartBoundary(body); // only must not crash
    const Result<std::vector<Part>> whole = parts(body, size + 1), pieces = parts(body, 1);
    if (!whole || !pieces)
        return 0;
    if (whole->size() != pieces->size())
        std::abort();
    for (std::size_t i = 0; i < whole->size(); ++i) {
        const Part &part = whole->at(i);
        if (part.offset > size || part.size > size - part.offset || part.offset != pieces->at(i).offset ||
            part.size != pieces->at(i).size)
            std::abort();
    }
    return 0;
}

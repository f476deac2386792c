// Requests and responses: any split of the bytes must give the same events as all of them at once.
#include "http/parser.h"

#include <cstdint>
#include <cstdlib>

using namespace lxmgr;
using namespace lxmgr::http;

namespace
{
template <class Parser, class Head> std::string events(std::string_view bytes, std::size_t step)
{
    std::string log;
    Parser parser({[&](Head head) -> Status {
                       log += "H" + std::to_string(head.headers.size()) + (head.chunked ? "c" : "") + (head.keepAlive ? "k" : "") + ":";
                       return {};
                   },
                   [&](std::string_view piece) -> Status {
                       log += piece;
                       return {};
                   },
                   [&]() -> Status {
                       log += ":E";
                       return {};
                   }});
    while (!bytes.empty()) {
        std::string_view part = bytes.substr(0, step);
        bytes.remove_prefix(part.size());
        while (!part.empty()) {
            const Result<std::size_t> used = parser.feed(part);
            if (!used)
                return log + "!";
            if (*used == 0 || *used > part.size())
                std::abort(); // would never end
            part.remove_prefix(*used);
        }
    }
    return log;
}

/// What was said before an error may be more or less, depending on the split; that there is one must not.
void compare(const std::string &whole, const std::string &pieces)
{
    const bool failed = whole.ends_with('!');
    if (failed != pieces.ends_with('!') || (!failed && whole != pieces))
        std::abort();
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char *>(data), size);
    compare(events<RequestParser, RequestHead>(bytes, size + 1), events<RequestParser, RequestHead>(bytes, 1));
    compare(events<ResponseParser, ResponseHead>(bytes, size + 1), events<ResponseParser, ResponseHead>(bytes, 3));
    return 0;
}

// Frames in both roles, whole and byte by byte.
#include "http/websocket.h"

#include <cstdint>
#include <cstdlib>

using namespace lxmgr;
using namespace lxmgr::http;

namespace
{
std::string events(Role role, std::string_view bytes, std::size_t step)
{
    std::string log;
    Framer framer(role, {[&](Opcode opcode, std::string_view piece, bool last) {
                             log += piece;
                             if (last)
                                 log += opcode == Opcode::Text ? "|T" : "|B";
                         },
                         [&](std::uint16_t code, std::string_view) { log += "|C" + std::to_string(code); },
                         [&](std::string_view) { log += "|P"; }});
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size())))
        if (!framer.feed(bytes.substr(0, step)))
            return log + "!";
    framer.send(Opcode::Binary, "after");
    framer.close();
    return log;
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char *>(data), size);
    for (const Role role : {Role::Server, Role::Client}) {
        const std::string whole = events(role, bytes, size + 1), pieces = events(role, bytes, 1);
        if (!whole.ends_with('!') && whole != pieces)
            std::abort();
    }
    return 0;
}

#include "base/base64.h"

#include <cstdint>

namespace lxmgr
{

namespace
{
constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string base64Encode(std::string_view bytes)
{
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k)
            group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
        for (std::size_t k = 0; k < 4; ++k)
            out += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

Result<std::string> base64Decode(std::string_view text)
{
    std::string out;
    std::uint32_t bits = 0;
    unsigned count = 0;
    bool ended = false;
    for (const char c : text) {
        if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
            continue;
        const std::size_t digit = kDigits.find(c);
        if (c == '=') {
            ended = true;
            continue;
        }
        if (digit == kDigits.npos || ended)
            return Error(Code::Invalid, "no base64");
        bits = bits << 6 | static_cast<std::uint32_t>(digit);
        if (++count % 4 == 0)
            for (const unsigned shift : {16U, 8U, 0U})
                out += static_cast<char>(bits >> shift & 0xFF);
    }
    if (count % 4 == 1)
        return Error(Code::Invalid, "no base64: its end is missing");
    if (count % 4 == 2)
        out += static_cast<char>(bits >> 4 & 0xFF);
    if (count % 4 == 3)
        for (const unsigned shift : {10U, 2U})
            out += static_cast<char>(bits >> shift & 0xFF);
    return out;
}

} // namespace lxmgr

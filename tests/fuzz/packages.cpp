// Package databases of a guest: the first byte says whose, the rest is the file.
#include "diff/packages.h"

#include <cstdint>

using namespace lxmgr::diff;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    if (size == 0)
        return 0;
    const std::string_view bytes(reinterpret_cast<const char *>(data) + 1, size - 1);
    PackageSet packages;
    switch (data[0] % 4) { // only must not crash or hang
    case 0:
        parseDpkg(bytes, packages);
        break;
    case 1:
        parseApk(bytes, packages);
        break;
    case 2:
        (void)parseRpmHeader(bytes, packages);
        break;
    default:
        (void)parseRpmDatabase(std::string(bytes), packages);
        break;
    }
    for (const Package &package : packages)
        if (package.name.empty() || package.version.empty())
            __builtin_trap();
    return 0;
}

// An image server's index and lists: what is read can be fetched from there, and from nowhere else.
#include "servers/simplestreams.h"

#include <cstdint>
#include <cstdlib>

using namespace lxmgr;
using namespace lxmgr::servers;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const auto within = [](const std::string &path) {
        if (path.empty() || path.front() == '/' || ("/" + path + "/").find("/../") != std::string::npos)
            std::abort();
    };
    if (const auto paths = readStreamsIndex(text))
        for (const std::string &path : *paths)
            within(path);
    if (const auto offers = readProducts(text, "x86_64"))
        for (const Offer &offer : *offers) {
            if (offer.image.fingerprint.size() != 64 || offer.files.empty() || offer.files.size() > 2)
                std::abort();
            for (const OfferedFile &file : offer.files)
                within(file.path);
        }
    return 0;
}

// What another host's helper says while it sends a tree: entries are read to the first that is none.
#include "migrate/stream.h"

#include <cstdint>
#include <cstdlib>
#include <unistd.h>

using namespace lxmgr;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    int ends[2];
    if (size > 60'000 || ::pipe(ends) < 0)
        return 0;
    const Fd read(ends[0]);
    {
        const Fd write(ends[1]);
        if (::write(write.get(), data, size) != static_cast<ssize_t>(size))
            return 0;
    }
    migrate::Stream stream(read);
    for (;;) {
        const auto entry = migrate::takeEntry(stream);
        if (!entry)
            return 0;
        if (entry->kind == migrate::Kind::TreeEnd)
            return 0;
        // What is taken can be sent again.
        int again[2];
        if (::pipe(again) < 0)
            return 0;
        const Fd back(again[0]);
        {
            const Fd forth(again[1]);
            migrate::Stream copy(forth);
            if (!migrate::putEntry(copy, *entry) || copy.sent() > 60'000 || !copy.flush())
                continue;
        }
        migrate::Stream copied(back);
        const auto same = migrate::takeEntry(copied);
        if (!same || same->name != entry->name || same->mode != entry->mode || same->modified.tv_sec != entry->modified.tv_sec ||
            same->attributes != entry->attributes)
            std::abort();
    }
}

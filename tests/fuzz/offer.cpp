// What another daemon says of the instance that it hands over.
#include "instances/migration.h"

#include <cstdint>
#include <sys/socket.h>

using namespace lxmgr;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    int ends[2];
    if (size > 60'000 || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return 0;
    const Fd ours(ends[0]);
    {
        const Fd theirs(ends[1]);
        if (::send(theirs.get(), data, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size))
            return 0;
    }
    instances::MigrationLine line(ours, -1);
    (void)line.takeOffer(); // only must not crash, hang or take all memory
    (void)line.nextAsked();
    return 0;
}

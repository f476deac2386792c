// SFTP: packets of any kind never crash, and answers stay bounded. The folder they work on is removed: nothing can be made in it.
#include "monitor/sftp.h"

#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>

using namespace lxmgr;

namespace
{

const Fd &removedFolder()
{
    static const Fd folder = [] {
        char path[] = "/tmp/fuzz-sftp-XXXXXX";
        if (!::mkdtemp(path))
            std::abort();
        Fd opened(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
        ::rmdir(path);
        return opened;
    }();
    return folder;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    monitor::SftpSession session(removedFolder());
    std::string_view input(reinterpret_cast<const char *>(data), size);
    for (;;) {
        std::string output;
        const auto used = session.take(input, output);
        if (output.size() > 1 << 20)
            std::abort();
        if (!used || *used == 0)
            return 0;
        if (*used > input.size())
            std::abort();
        input.remove_prefix(*used);
    }
}

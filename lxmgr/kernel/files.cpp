#include "kernel/files.h"

#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <unistd.h>

namespace lxmgr::files
{

Result<std::string> readAll(const Fd &fd, std::size_t most)
{
    std::string content;
    for (;;) {
        const std::size_t have = content.size();
        const std::size_t room = have == 0 ? 4096 : have;
        content.resize(have + room);
        const long length = TRY(sys::call("read", {}, [&] { return ::read(fd.get(), content.data() + have, room); }));
        content.resize(have + static_cast<std::size_t>(length));
        if (length == 0)
            return content;
        if (content.size() > most)
            return Error(Code::Invalid, "the file is longer than " + formatBytes({most}));
    }
}

Status writeAll(const Fd &fd, std::string_view data)
{
    while (!data.empty()) {
        const long length = TRY(sys::call("write", {}, [&] { return ::write(fd.get(), data.data(), data.size()); }));
        data.remove_prefix(static_cast<std::size_t>(length));
    }
    return {};
}

Result<std::string> read(const std::string &path, std::size_t most) { return read(sys::cwd(), path, most); }

Result<std::string> read(const Fd &dir, const std::string &path, std::size_t most)
{
    const Fd fd = TRY(sys::openat(dir, path, O_RDONLY));
    return TRY_IN("read " + quoted(path), readAll(fd, most));
}

Status put(const std::string &path, std::string_view value) { return put(sys::cwd(), path, value); }

Status put(const Fd &dir, const std::string &path, std::string_view value)
{
    const Fd fd = TRY(sys::openat(dir, path, O_WRONLY));
    const long length = TRY(sys::call("write", path, [&] { return ::write(fd.get(), value.data(), value.size()); }));
    if (static_cast<std::size_t>(length) != value.size())
        return Error(Code::Internal, "write " + quoted(path) + ": only a part was taken");
    return {};
}

namespace
{

enum class Sync { No, Yes };

Status replaceFile(const Fd &dir, const std::string &name, std::string_view content, mode_t mode, Sync sync)
{
    const std::string temporary = "." + name + ".new";
    // A leftover of a crash is ours to overwrite: only we write in this folder.
    (void)sys::unlinkat(dir, temporary);
    const Fd fd = TRY(sys::openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
    TRY(sys::fchmod(fd, mode));
    Status written = writeAll(fd, content);
    if (written && sync == Sync::Yes)
        written = sys::fsync(fd);
    if (written)
        written = sys::renameat2(dir, temporary, dir, name);
    if (!written) {
        (void)sys::unlinkat(dir, temporary); // the first error is the one to tell
        return std::move(written.error()).in("write " + quoted(name));
    }
    if (sync == Sync::Yes)
        return sys::fsync(TRY(sys::openat(dir, ".", O_RDONLY | O_DIRECTORY)));
    return {};
}

} // namespace

Status replace(const Fd &dir, const std::string &name, std::string_view content, mode_t mode)
{
    return replaceFile(dir, name, content, mode, Sync::Yes);
}

Status replace(const std::string &path, std::string_view content, mode_t mode)
{
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos)
        return Error(Code::Invalid, quoted(path) + " is not absolute");
    const Fd dir = TRY(path::openFolder(path.substr(0, slash + 1)));
    return replace(dir, path.substr(slash + 1), content, mode);
}

Status replaceVolatile(const Fd &dir, const std::string &name, std::string_view content, mode_t mode)
{
    return replaceFile(dir, name, content, mode, Sync::No);
}

} // namespace lxmgr::files

#include "kernel/mount.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/process.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <linux/mount.h>
#include <memory>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::mount
{

Options parseOptions(const std::string &text)
{
    Options options;
    for (const std::string &part : split(text, ',')) {
        const std::size_t equals = part.find('=');
        if (!part.empty())
            options.emplace_back(part.substr(0, equals), equals == std::string::npos ? "" : part.substr(equals + 1));
    }
    return options;
}

std::string unescaped(std::string_view text)
{
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

Result<std::vector<std::string>> pointsAt(const std::string &folder)
{
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(folder.c_str(), nullptr), &std::free);
    if (!real)
        return Error::fromErrno(errno, "realpath", folder);
    const std::string top = real.get();
    std::vector<std::string> points;
    for (const std::string &line : split(TRY(files::read("/proc/self/mountinfo")), '\n')) {
        const auto fields = words(line);
        if (fields.size() < 5)
            continue;
        const std::string point = unescaped(fields[4]);
        if (point == top || point.starts_with(top + "/"))
            points.insert(points.begin(), point);
    }
    return points;
}

Result<Fd> create(const std::string &type, const Options &options, unsigned attributes)
{
    const Fd fs = TRY_IN(type, sys::fsopen(type));
    for (const auto &[key, value] : options) {
        if (value.empty())
            TRY_IN(type, sys::fsconfig_set_flag(fs, key));
        else
            TRY_IN(type, sys::fsconfig_set_string(fs, key, value));
    }
    TRY_IN(type, sys::fsconfig_create(fs));
    return TRY_IN(type, sys::fsmount(fs, attributes));
}

namespace
{

/// While it lives, files are made as `uid`, `gid`, with all capabilities kept.
class FileIdentity
{
public:
    static Result<FileIdentity> take(uid_t uid, gid_t gid)
    {
        FileIdentity identity;
        if (uid == 0 && gid == 0)
            return identity;
        // Without the fix-up of setfsuid(2), which would take the file capabilities away.
        const long bits = TRY(sys::call("prctl", "PR_GET_SECUREBITS", [] { return ::prctl(PR_GET_SECUREBITS); }));
        identity.m_securebits = bits;
        TRY(sys::prctl("PR_SET_SECUREBITS", PR_SET_SECUREBITS,
                       static_cast<unsigned long>(bits) | SECBIT_NO_SETUID_FIXUP));
        ::setfsgid(gid);
        ::setfsuid(uid);
        identity.m_taken = true;
        return identity;
    }
    FileIdentity(FileIdentity &&other) noexcept
        : m_securebits(other.m_securebits), m_taken(std::exchange(other.m_taken, false))
    {
    }
    FileIdentity &operator=(FileIdentity &&) = delete;
    ~FileIdentity()
    {
        if (!m_taken)
            return;
        ::setfsuid(::geteuid());
        ::setfsgid(::getegid());
        ::prctl(PR_SET_SECUREBITS, static_cast<unsigned long>(m_securebits), 0UL, 0UL, 0UL);
    }

private:
    FileIdentity() = default;
    long m_securebits = 0;
    bool m_taken = false;
};

std::string fdPath(const Fd &fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

/// What overlay would keep in a layer only for some others of it or this kernel's defaults is off: a layer must show
/// the same on every host, and when it is a lower one later. Rename of a lower folder is EXDEV then, as it is by
/// default, and programs copy it.
const Options kPlainLayers = {
    {"source",       "overlay"},
    {"redirect_dir", "off"    },
    {"metacopy",     "off"    },
    {"index",        "off"    },
};

constexpr std::size_t kLongestValue = 255; ///< Of an option in fsconfig(2).

/// The layers by path, which must be short; more than one option holds go one by one, which needs Linux 6.5.
Result<Fd> overlayOf(const std::vector<std::string> &lower, const std::string &layer, unsigned attributes)
{
    Options options = kPlainLayers;
    if (std::string all = join(lower, ":"); all.size() <= kLongestValue)
        options.emplace_back("lowerdir", std::move(all));
    else
        for (const std::string &one : lower)
            options.emplace_back("lowerdir+", one);
    if (!layer.empty()) {
        options.emplace_back("upperdir", layer + "/upper");
        options.emplace_back("workdir", layer + "/work");
    }
    return create("overlay", options, attributes);
}

Status sendFd(int socket, const Fd &fd)
{
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd.get();
    std::memcpy(CMSG_DATA(head), &number, sizeof number);
    TRY(sys::call("sendmsg", {}, [&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); }));
    return {};
}

Result<Fd> receiveFd(int socket)
{
    char text[512];
    iovec part{text, sizeof text};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const long length = TRY(sys::call("recvmsg", {}, [&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); }));
    const cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_type != SCM_RIGHTS)
        return Error(Code::Internal,
                     length > 0 ? std::string(text, static_cast<std::size_t>(length)) : "the child gave no answer");
    int fd;
    std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return Fd(fd);
}

/// In a child: a mount namespace of its own, and a tmpfs to attach mounts at as its working directory.
Status enterScratchMounts()
{
    TRY(sys::unshare(CLONE_NEWNS));
    TRY(sys::mount("none", "/", {}, MS_REC | MS_PRIVATE));
    // Some folder that every system has; hidden here only, in a namespace that ends with this process.
    TRY(sys::mount("lxmgr", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755"));
    return sys::chdir("/proc");
}

/// `count` mounts made by `make` in a child of ours, which hands them over one by one.
Result<std::vector<Fd>> madeInChild(std::size_t count, const std::function<Result<std::vector<Fd>>()> &make)
{
    int ends[2];
    TRY(sys::call("socketpair", {}, [&] { return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }));
    const Fd ours(ends[0]);
    Fd theirs(ends[1]);
    const process::Child child = TRY(process::clone(0, Fd(), [&] {
        const Result<std::vector<Fd>> made = make();
        if (!made)
            return ::send(theirs.get(), made.error().message.data(), made.error().message.size(), MSG_NOSIGNAL) < 0 ? 2 : 1;
        for (const Fd &fd : *made)
            if (!sendFd(theirs.get(), fd))
                return 2;
        return 0;
    }));
    theirs.reset();
    std::vector<Fd> made;
    Status received;
    while (received && made.size() < count) {
        Result<Fd> fd = receiveFd(ours.get());
        received = fd ? Status() : Status(fd.error());
        if (fd)
            made.push_back(std::move(*fd));
    }
    TRY(process::wait(child.pid));
    TRY(received);
    return made;
}

Result<std::vector<Fd>> lockedCopies(std::span<const Fd> trees, const Fd &userns)
{
    TRY(enterScratchMounts());
    for (std::size_t i = 0; i < trees.size(); ++i) {
        const std::string place = std::to_string(i);
        if (S_ISDIR(TRY(sys::fstat(trees[i])).st_mode))
            TRY(sys::mkdirat(sys::cwd(), place, 0755));
        else
            TRY(sys::mknodat(sys::cwd(), place, S_IFREG | 0600, 0));
        TRY(sys::move_mount(trees[i], sys::cwd(), place));
    }
    TRY(sys::setns(userns, CLONE_NEWUSER));
    TRY(sys::unshare(CLONE_NEWNS)); // the copy that a namespace of less privileged owners gets is locked
    std::vector<Fd> copies;
    for (std::size_t i = 0; i < trees.size(); ++i)
        copies.push_back(TRY(sys::open_tree(sys::cwd(), std::to_string(i), sys::Recursive::Yes)));
    return copies;
}

/// The layers are attached at folders of a tmpfs.
Result<Fd> overlayAttached(std::span<const Fd> lower, const Fd *layer, uid_t uid, gid_t gid, unsigned attributes)
{
    TRY(enterScratchMounts());
    std::vector<std::string> places; // relative, so that 80 fit into one option
    for (std::size_t i = 0; i < lower.size() + (layer ? 1 : 0); ++i) {
        places.push_back(std::to_string(i));
        TRY(sys::mkdirat(sys::cwd(), places.back(), 0755));
        TRY(sys::move_mount(i < lower.size() ? lower[i] : *layer, sys::cwd(), places.back()));
    }
    std::string layerPath;
    if (layer) {
        layerPath = places.back();
        places.pop_back();
    }
    const FileIdentity identity = TRY(FileIdentity::take(uid, gid));
    return overlayOf(places, layerPath, attributes);
}

} // namespace

Result<Fd> overlayInChild(std::span<const Fd> lower, const Fd *layer, uid_t uid, gid_t gid, unsigned attributes)
{
    auto made = TRY(madeInChild(1, [&]() -> Result<std::vector<Fd>> {
        std::vector<Fd> one;
        one.push_back(TRY(overlayAttached(lower, layer, uid, gid, attributes)));
        return one;
    }));
    return std::move(made.front());
}

Result<std::vector<Fd>> lockFlags(std::span<const Fd> trees, const Fd &userns)
{
    return madeInChild(trees.size(), [&] { return lockedCopies(trees, userns); });
}

Result<Fd> overlay(std::span<const Fd> lower, const Fd *layer, uid_t uid, gid_t gid, unsigned attributes)
{
    std::vector<std::string> places;
    for (const Fd &tree : lower)
        places.push_back(fdPath(tree));
    {
        const FileIdentity identity = TRY(FileIdentity::take(uid, gid));
        Result<Fd> made = overlayOf(places, layer ? fdPath(*layer) : "", attributes);
        if (made || made.error().errnum != EINVAL)
            return made;
    }
    return overlayInChild(lower, layer, uid, gid, attributes);
}

Result<Fd> layersForReading(std::span<const std::string> layers)
{
    constexpr std::uint64_t kForReading = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    std::vector<Fd> trees;
    for (const std::string &layer : layers) {
        trees.push_back(TRY(sys::open_tree(sys::cwd(), layer, sys::Recursive::No)));
        TRY(sys::mount_setattr(trees.back(), sys::Recursive::No, kForReading));
    }
    // Of one layer with nothing to write to, overlay would make nothing else, and refuses to.
    return trees.size() == 1 ? std::move(trees.front())
                             : TRY(overlay(trees, nullptr, 0, 0, static_cast<unsigned>(kForReading)));
}

Result<Fd> openLayers(std::span<const std::string> layers)
{
    const Fd tree = TRY(layersForReading(layers));
    // open_tree(2) and fsmount(2) give descriptors that only paths can start from.
    return sys::openat(tree, ".", O_RDONLY | O_DIRECTORY);
}

} // namespace lxmgr::mount

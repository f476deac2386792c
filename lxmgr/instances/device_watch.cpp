#include "instances/device_watch.h"

#include "base/text.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace lxmgr::instances
{

namespace
{

/// NETLINK_KOBJECT_UEVENT has two groups: 1 is the kernel's, 2 udev's.
Result<Fd> openKernelNews()
{
    Fd socket = TRY(sys::callFd("socket", "NETLINK_KOBJECT_UEVENT", [] {
        return ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    }));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = 1;
    TRY(sys::call("bind", "NETLINK_KOBJECT_UEVENT", [&] { return ::bind(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address); }));
    return socket;
}

Result<Fd> openNews(const std::string &path)
{
    if (path.empty())
        return openKernelNews();
    Fd socket = TRY(sys::callFd("socket", path, [] { return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return Error(Code::Invalid, "LXMGR_UEVENTS: " + quoted(path) + " is too long for a socket");
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    (void)::unlink(path.c_str()); // of the daemon before
    TRY(sys::call("bind", path, [&] { return ::bind(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address); }));
    TRY(sys::call("chmod", path, [&] { return ::chmod(path.c_str(), 0600); }));
    return socket;
}

bool isFolder(const std::string &path)
{
    struct stat info {
    };
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string nearestFolder(std::string path)
{
    while (path.size() > 1 && !isFolder(path))
        path.erase(path.rfind('/'));
    return path.empty() ? "/" : path;
}

} // namespace

bool isOfNode(std::string_view message)
{
    const std::size_t first = message.find('\0');
    if (first == std::string_view::npos || message.substr(0, first).find('@') == std::string_view::npos)
        return false;
    for (const std::string &line : split(message.substr(first + 1), '\0'))
        if (line.starts_with("DEVNAME="))
            return true;
    return false;
}

Result<std::unique_ptr<DeviceWatch>> DeviceWatch::create(const std::string &socket, std::function<void()> changed)
{
    std::unique_ptr<DeviceWatch> watch(new DeviceWatch(std::move(changed)));
    watch->m_news = TRY(openNews(socket));
    watch->m_files = TRY(sys::callFd("inotify_init1", {}, [] { return ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }));
    watch->m_quit = TRY(sys::callFd("eventfd", {}, [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }));
    watch->m_thread = std::thread([self = watch.get()] { self->loop(); });
    return watch;
}

DeviceWatch::~DeviceWatch()
{
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(m_quit.get(), &one, sizeof one);
    if (m_thread.joinable())
        m_thread.join();
}

void DeviceWatch::watch(const std::set<std::string> &folders)
{
    const auto nearest = [&] {
        std::set<std::string> found;
        for (const std::string &folder : folders)
            found.insert(nearestFolder(folder));
        return found;
    };
    constexpr std::uint32_t kComesOrGoes = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    const std::lock_guard lock(m_mutex);
    std::map<std::string, int> now;
    for (std::set<std::string> wanted = nearest(), before; wanted != before; before = std::exchange(wanted, nearest()))
        for (const std::string &folder : wanted) // again also where it is watched: the folder of that name may be another one
            if (const int watch = ::inotify_add_watch(m_files.get(), folder.c_str(), kComesOrGoes); watch >= 0)
                now[folder] = watch;
    const auto isKept = [&](int watch) { return std::ranges::any_of(now, [&](const auto &each) { return each.second == watch; }); };
    for (const auto &[folder, watch] : m_watches)
        if (!isKept(watch))
            (void)::inotify_rm_watch(m_files.get(), watch); // EINVAL: its folder is gone
    m_watches = std::move(now);
}

bool DeviceWatch::takeNews()
{
    bool found = false;
    for (;;) {
        char text[8192];
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        const ssize_t size = ::recvfrom(m_news.get(), text, sizeof text, 0, reinterpret_cast<sockaddr *>(&from), &length);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return found || errno == ENOBUFS; // more came than was kept for us
        const auto *netlink = reinterpret_cast<const sockaddr_nl *>(&from);
        // Any process may send to a netlink socket; only the kernel is number 0.
        if (from.ss_family == AF_NETLINK && netlink->nl_pid != 0)
            continue;
        found = found || isOfNode({text, static_cast<std::size_t>(size)});
    }
}

bool DeviceWatch::takeFiles()
{
    bool found = false;
    alignas(inotify_event) char events[4096];
    while (::read(m_files.get(), events, sizeof events) > 0)
        found = true;
    return found;
}

void DeviceWatch::loop()
{
    pollfd ready[] = {
        {m_quit.get(),  POLLIN, 0},
        {m_news.get(),  POLLIN, 0},
        {m_files.get(), POLLIN, 0},
    };
    for (;;) {
        if (::poll(ready, 3, -1) < 0)
            continue; // a signal
        if (ready[0].revents)
            return;
        const bool news = ready[1].revents && takeNews(), files = ready[2].revents && takeFiles();
        if (news || files)
            m_changed();
    }
}

} // namespace lxmgr::instances

#include "monitor/console.h"

#include "kernel/sys.h"

#include <algorithm>
#include <cstring>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::monitor
{

Ring::Ring(std::size_t capacity) : m_capacity(std::max<std::size_t>(capacity, 4096))
{
    void *memory =
        ::mmap(nullptr, m_capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        std::abort(); // one mebibyte of address space: the machine is beyond help
    m_data = static_cast<char *>(memory);
}

Ring::~Ring() { ::munmap(m_data, m_capacity); }

void Ring::append(std::string_view text)
{
    while (!text.empty()) {
        const std::size_t offset = m_end % m_capacity;
        const std::size_t length = std::min(text.size(), m_capacity - offset);
        std::memcpy(m_data + offset, text.data(), length);
        text.remove_prefix(length);
        m_end += length;
    }
    if (m_end - m_begin > m_capacity)
        m_begin = m_end - m_capacity;
}

std::string_view Ring::at(std::uint64_t position) const
{
    position = std::clamp(position, m_begin, m_end);
    const std::size_t offset = position % m_capacity;
    return {m_data + offset, std::min<std::size_t>(m_end - position, m_capacity - offset)};
}

std::string Ring::all() const
{
    std::string text;
    for (std::uint64_t position = m_begin; position < m_end; position = m_begin + text.size())
        text += at(position);
    return text;
}

namespace
{

constexpr std::string_view kPrompts[] = {"login: ", "activate this console"};
constexpr std::size_t kLongestPrompt = 21;
constexpr std::size_t kMostTyped = 4096;

bool wouldBlock() { return errno == EAGAIN || errno == EINTR; }

} // namespace

Console::Console(uv_loop_t &loop, std::size_t capacity, std::function<void()> onPrompt)
    : m_loop(loop), m_ring(capacity), m_onPrompt(std::move(onPrompt))
{
}

Status Console::open(Fd master)
{
    m_poll = Poll();
    m_master = std::move(master);
    m_tail.clear();
    m_hangups = 0;
    const long flags = TRY(sys::call("fcntl", "console", [&] { return ::fcntl(m_master.get(), F_GETFL); }));
    TRY(sys::call("fcntl", "console", [&] { return ::fcntl(m_master.get(), F_SETFL, flags | O_NONBLOCK); }));
    reopenTerminal();
    m_poll = Poll(m_loop, m_master.get(), [this](int events) { onMaster(events); });
    watch();
    return {};
}

void Console::close()
{
    if (!m_master)
        return;
    while (readMaster()) {
    }
    feedAll();
    m_poll = Poll();
    m_terminal.reset();
    m_master.reset();
}

/// A hang-up (agetty does one on /dev/console) turns our end dead too; a new one makes the pty whole again.
void Console::reopenTerminal() { m_terminal = Fd(::ioctl(m_master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)); }

void Console::onMaster(int events)
{
    if (events & UV_WRITABLE)
        for (Client &client : m_clients)
            typeIn(client);
    // Bounded, so that a guest that prints without end cannot keep us from our other work.
    for (int rounds = 0; (events & UV_READABLE) && rounds < 16 && readMaster(); ++rounds) {
    }
    feedAll();
    watch();
}

bool Console::readMaster()
{
    char buffer[4096];
    const ssize_t length = ::read(m_master.get(), buffer, sizeof buffer);
    if (length > 0) {
        m_hangups = 0;
        const std::string_view text(buffer, static_cast<std::size_t>(length));
        m_ring.append(text);
        lookForPrompt(text);
        return true;
    }
    if (length < 0 && errno == EIO && ++m_hangups < 64)
        reopenTerminal();
    return false;
}

void Console::lookForPrompt(std::string_view text)
{
    m_tail += text;
    const bool found = std::any_of(std::begin(kPrompts), std::end(kPrompts),
                                   [&](std::string_view prompt) { return m_tail.find(prompt) != std::string::npos; });
    if (m_tail.size() > kLongestPrompt)
        m_tail.erase(0, m_tail.size() - kLongestPrompt);
    if (!found)
        return;
    m_tail.clear();
    m_onPrompt();
}

Result<Fd> Console::attach()
{
    int ends[2];
    TRY(sys::call("socketpair", {}, [&] { return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }));
    Fd theirs(ends[1]);
    Client &client = m_clients.emplace_back();
    client.socket = Fd(ends[0]);
    client.position = m_ring.end();
    TRY(sys::call("fcntl", {}, [&] { return ::fcntl(client.socket.get(), F_SETFL, O_NONBLOCK); }));
    client.poll = Poll(m_loop, client.socket.get(), [this, &client](int events) { onClient(client, events); });
    client.poll.want(UV_READABLE);
    return theirs;
}

Status Console::resize(unsigned width, unsigned height)
{
    if (width == 0 || height == 0 || !m_master)
        return {};
    winsize size{};
    size.ws_col = static_cast<unsigned short>(std::min(width, 65535U));
    size.ws_row = static_cast<unsigned short>(std::min(height, 65535U));
    TRY(sys::call("ioctl", "TIOCSWINSZ", [&] { return ::ioctl(m_master.get(), TIOCSWINSZ, &size); }));
    return {};
}

void Console::onClient(Client &client, int events)
{
    if (events & UV_READABLE)
        readTyped(client);
    if (events & UV_WRITABLE)
        feed(client);
    m_clients.remove_if([](const Client &each) { return each.gone; }); // `client` may be gone after this
    watch();
}

void Console::readTyped(Client &client)
{
    char buffer[kMostTyped];
    const ssize_t length = ::read(client.socket.get(), buffer, sizeof buffer);
    if (length > 0) {
        client.typed.append(buffer, static_cast<std::size_t>(length));
        typeIn(client);
    } else if (length == 0 || !wouldBlock()) {
        client.gone = true;
    }
}

void Console::typeIn(Client &client)
{
    if (!m_master) {
        client.typed.clear(); // between two boots nobody reads
        return;
    }
    while (!client.typed.empty()) {
        const ssize_t length = ::write(m_master.get(), client.typed.data(), client.typed.size());
        if (length <= 0)
            return; // the guest does not read: later, and the client is not read either meanwhile
        client.typed.erase(0, static_cast<std::size_t>(length));
    }
}

/// One that is slower than the ring is long misses what has gone from it.
void Console::feed(Client &client)
{
    client.position = std::max(client.position, m_ring.begin());
    while (client.position < m_ring.end()) {
        const std::string_view part = m_ring.at(client.position);
        const ssize_t length = ::send(client.socket.get(), part.data(), part.size(), MSG_NOSIGNAL);
        if (length < 0) {
            client.gone = !wouldBlock();
            return;
        }
        client.position += static_cast<std::uint64_t>(length);
    }
}

void Console::feedAll()
{
    for (Client &client : m_clients)
        feed(client);
    m_clients.remove_if([](const Client &client) { return client.gone; });
}

/// Waits for exactly what can go on.
void Console::watch()
{
    bool typed = false;
    for (Client &client : m_clients) {
        typed = typed || !client.typed.empty();
        client.poll.want((client.typed.empty() ? UV_READABLE : 0) | (client.position < m_ring.end() ? UV_WRITABLE : 0));
    }
    m_poll.want(m_hangups < 64 ? UV_READABLE | (typed ? UV_WRITABLE : 0) : 0);
}

} // namespace lxmgr::monitor

#include "monitor/proxies.h"

#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "kernel/sys.h"
#include "monitor/monitor.h"
#include "spec/codec.h"
#include "spec/spawn.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <sys/prctl.h>
#include <unistd.h>

namespace lxmgr::monitor
{

namespace
{

constexpr std::chrono::seconds kPatience(10);
constexpr std::int64_t kShortLife = 1000; ///< Milliseconds: what ends sooner is not started again at once.

std::string contextOf(const spec::Proxy &proxy) { return "device " + quoted(proxy.device); }

/// In the child. Comes back only where it could not.
int become(const spec::Channel &channel, std::string instance, std::string device)
{
    process::resetSignals();
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0UL, 0UL, 0UL); // said again once its ids are settled
    if (channel.fd() == 3 ? ::fcntl(3, F_SETFD, 0) < 0 : ::dup2(channel.fd(), 3) < 0)
        return 1;
    std::string name = "lxmgr-monitor", mode = "proxy";
    char *const argv[] = {name.data(), mode.data(), instance.data(), device.data(), nullptr};
    ::execve("/proc/self/exe", argv, environ);
    return 1;
}

} // namespace

Status Proxies::listen(Item &item)
{
    item.listeners = TRY_IN(contextOf(item.proxy), runtime::openListeners(m_spec, m_guest, item.proxy));
    return {};
}

Status Proxies::serve(Item &item)
{
    TRY(item.channel.send(spec::MessageType::ProxyServe, spec::encode(item.proxy), {m_guest.initPidfd.get()}));
    const std::vector<Fd> &sockets = item.listeners.sockets;
    for (std::size_t at = 0; at < sockets.size(); at += spec::Channel::kMaxFds) {
        std::vector<int> fds;
        for (std::size_t i = at; i < std::min(at + spec::Channel::kMaxFds, sockets.size()); ++i)
            fds.push_back(sockets[i].get());
        TRY(item.channel.send(spec::MessageType::ProxyListener, {}, fds));
    }
    auto answer = TRY(item.channel.receive());
    if (!answer)
        return Error(Code::Internal, "the process that is to forward died");
    return answer->type == spec::MessageType::Done ? Status() : Status(spec::failureOf(*answer));
}

Status Proxies::forward(Item &item)
{
    auto [ours, theirs] = TRY(spec::Channel::pair());
    item.child = TRY(process::clone(0, Fd(), [&, &theirs = theirs] { return become(theirs, m_spec.instance, item.proxy.device); }));
    theirs = spec::Channel();
    item.channel = std::move(ours);
    item.channel.setDeadline(std::chrono::steady_clock::now() + kPatience);
    item.startedAt = wallClock();
    Status served = serve(item);
    if (!served)
        stop(item);
    return served ? Status() : std::move(served.error()).in(contextOf(item.proxy));
}

void Proxies::stop(Item &item)
{
    item.again = Ticker();
    if (item.child.pid != 0) {
        process::killChild(item.child.pid);
        (void)process::wait(item.child.pid); // ours: nobody else can have reaped it
    }
    item.child = {};
    item.channel = spec::Channel();
}

void Proxies::close(Item &item)
{
    stop(item);
    const Status closed = runtime::closeListeners(m_spec, m_guest, item.proxy, std::move(item.listeners));
    item.listeners = {};
    if (!closed)
        log::warning(contextOf(item.proxy) + ": remove socket: " + closed.error().message + ", ignoring");
}

Status Proxies::open(const std::vector<spec::Proxy> &proxies)
{
    for (const spec::Proxy &proxy : proxies) {
        if (proxy.nat)
            continue; // the daemon's firewall rules do it
        m_items.push_back(std::make_unique<Item>());
        m_items.back()->proxy = proxy;
        if (proxy.inside)
            continue;
        if (Status listens = listen(*m_items.back()); !listens) {
            closeAll();
            return listens;
        }
    }
    return {};
}

Status Proxies::begin(bool first)
{
    for (const auto &item : m_items) {
        Status begun = item->proxy.inside ? listen(*item) : Status();
        if (begun)
            begun = forward(*item);
        if (!begun && first)
            return begun;
        if (!begun)
            log::error(begun.error().message);
    }
    return {};
}

void Proxies::onBooted()
{
    for (const auto &item : m_items) {
        if (!item->proxy.inside || !item->listeners.file)
            continue;
        const auto there = runtime::isThere(m_spec, m_guest, item->proxy, item->listeners);
        if (!there || *there)
            continue;
        close(*item);
        Status begun = listen(*item);
        if (begun)
            begun = forward(*item);
        if (!begun)
            log::error(begun.error().message);
    }
}

void Proxies::onGuestEnded()
{
    for (const auto &item : m_items) {
        if (item->proxy.inside)
            close(*item);
        else
            stop(*item);
    }
}

void Proxies::closeAll()
{
    for (const auto &item : m_items)
        close(*item);
    m_items.clear();
}

Status Proxies::add(const spec::Proxy &proxy)
{
    auto item = std::make_unique<Item>();
    item->proxy = proxy;
    TRY(listen(*item));
    Status forwards = forward(*item);
    if (!forwards) {
        close(*item);
        return forwards;
    }
    m_items.push_back(std::move(item));
    return {};
}

void Proxies::remove(const spec::Proxy &proxy)
{
    const auto found = std::ranges::find_if(m_items, [&](const auto &item) { return item->proxy.device == proxy.device; });
    if (found == m_items.end())
        return;
    close(**found);
    m_items.erase(found);
}

Status Proxies::change(const std::vector<spec::Proxy> &close, const std::vector<spec::Proxy> &open)
{
    Undo undo;
    for (const spec::Proxy &proxy : close) {
        if (proxy.nat)
            continue;
        remove(proxy); // first: another may come in its place
        undo.add(contextOf(proxy), [&] { return add(proxy); });
    }
    for (const spec::Proxy &proxy : open) {
        if (proxy.nat)
            continue;
        TRY(add(proxy));
        undo.add(contextOf(proxy), [&]() -> Status {
            remove(proxy);
            return {};
        });
    }
    undo.keep();
    return {};
}

void Proxies::restart(Item &item)
{
    item.again = Ticker();
    if (const Status forwards = forward(item); !forwards) {
        log::error(forwards.error().message + "; tried again in a moment");
        item.again = Ticker(m_loop, kShortLife, [this, &item] { restart(item); });
    }
}

bool Proxies::reap(pid_t pid, int status)
{
    const auto found = std::ranges::find_if(m_items, [&](const auto &item) { return item->child.pid == pid; });
    if (found == m_items.end())
        return false;
    Item &item = **found;
    item.child = {};
    item.channel = spec::Channel();
    if (m_guest.initPid == 0)
        return true;
    log::warning(contextOf(item.proxy) + ": what forwards for it ended with status " + std::to_string(process::exitCode(status)) +
                 " and is started again");
    if (wallClock() - item.startedAt >= kShortLife)
        restart(item);
    else
        item.again = Ticker(m_loop, kShortLife, [this, &item] { restart(item); });
    return true;
}

} // namespace lxmgr::monitor

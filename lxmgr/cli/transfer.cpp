#include "cli/transfer.h"

#include "api/operations.h"
#include "base/text.h"
#include "cli/progress.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

constexpr std::string_view kStreams[] = {"control", "fs"};
constexpr std::size_t kMost = 256 << 10; ///< On its way in either direction.

/// What an operation has to say to who connects to its streams.
struct Offered {
    std::string url; ///< Path of the operation.
    api::StringMap secrets;
};

Result<Offered> offeredBy(const client::Answer &answer)
{
    const auto operation = TRY(client::Client::parse<api::Operation>(answer.metadata));
    Offered offered{answer.operation.substr(0, answer.operation.find('?')), {}};
    for (const std::string_view name : kStreams) {
        offered.secrets[std::string(name)] = operation.metadata.text(name);
        if (offered.secrets[std::string(name)].empty())
            return Error(Code::Corrupt, "the daemon offers no stream called " + quoted(name));
    }
    return offered;
}

/// Nobody waits for it any more.
void cancel(Host &host, const std::string &operation)
{
    (void)host.client.request("DELETE", operation); // it may have ended by itself
}

/// Neither side did anything yet, and another way may do.
bool isUnreachable(const Error &error)
{
    const bool certificate = error.code == Code::Forbidden && error.message.find("the certificate of") != std::string::npos;
    return certificate || (error.code == Code::Unavailable && (error.message.find("cannot reach") != std::string::npos ||
                                                               error.message.find("did not answer within") != std::string::npos));
}

class Transfer
{
public:
    Transfer(Context &context, Host &source, Host &target, const Parcel &parcel) : m_context(context), m_source(source), m_target(target), m_parcel(parcel) {}

    Status run(const std::string &mode)
    {
        if (mode == "relay")
            return relay();
        if (mode == "push")
            return m_target.addresses.empty() ? unreachable(m_target, "push") : push();
        if (mode == "pull")
            return m_source.addresses.empty() ? unreachable(m_source, "pull") : pull();
        if (!mode.empty())
            return Error(Code::Usage, "mode " + quoted(mode) + " is none of pull, push and relay");
        // What is quickest first; a way that nothing can go is no failure.
        if (!m_source.addresses.empty())
            if (Status done = pull(); done || !isUnreachable(done.error()))
                return done;
        if (!m_target.addresses.empty())
            if (Status done = push(); done || !isUnreachable(done.error()))
                return done;
        return relay();
    }

private:
    static Error unreachable(const Host &host, const std::string &mode)
    {
        return Error(Code::Unsupported, quoted(host.name) + " listens for no other hosts, which --mode " + mode + " needs")
            .hint("set where, there: lxmgr config set " + host.name + ": core.https_address=:8443; or take --mode relay");
    }

    Result<client::Answer> leave(const api::Json &target)
    {
        return m_source.client.request("POST", m_parcel.from, m_parcel.leaving(target));
    }

    Result<client::Answer> arrive(const Handover &handover)
    {
        return m_target.client.request("POST", m_parcel.to, m_parcel.arriving(handover));
    }

    Status waitFor(Host &host, const std::string &operation)
    {
        Progress progress(m_context, m_parcel.what);
        const api::Operation done = TRY(host.client.wait(operation, progress.watcher()));
        if (const std::string warnings = done.metadata.text("warnings"); !warnings.empty())
            m_context.warn("Warning: " + escaped(warnings));
        return {};
    }

    /// The target fetches it.
    Status pull()
    {
        const client::Answer answer = TRY(leave({}));
        const Offered offered = TRY(offeredBy(answer));
        Status done;
        for (const std::string &address : m_source.addresses) {
            const auto started = arrive({"pull", address + offered.url, m_source.certificate, offered.secrets});
            done = started ? waitFor(m_target, started->operation) : Status(started.error());
            if (done || !isUnreachable(done.error()))
                break;
        }
        if (!done)
            cancel(m_source, offered.url);
        return done;
    }

    /// The source brings it.
    Status push()
    {
        const client::Answer answer = TRY(arrive({"push", {}, {}, {}}));
        const Offered offered = TRY(offeredBy(answer));
        api::Json target = api::Json::object();
        target["certificate"] = m_target.certificate;
        target["secrets"] = api::Json::object();
        for (const auto &[name, secret] : offered.secrets)
            target["secrets"][name] = secret;
        Status done;
        for (const std::string &address : m_target.addresses) {
            target["operation"] = address + offered.url;
            const auto started = leave(target);
            done = started ? waitFor(m_source, started->operation) : Status(started.error());
            if (done || !isUnreachable(done.error()))
                break;
        }
        if (!done && isUnreachable(done.error())) {
            cancel(m_target, offered.url);
            return done;
        }
        // The target's word counts: it has all of it, or says why not.
        Status arrived = waitFor(m_target, answer.operation);
        const bool here = !arrived && !done && !done.error().message.starts_with("the other server");
        return here ? done : arrived;
    }

    struct Side {
        std::optional<client::WebSocket> socket;
        bool ended = false;
    };
    /// One stream of either operation. Stays where it is: the sockets call back.
    struct Pair {
        Side source, target;
    };

    static Status openSide(Host &host, const Offered &offered, const std::string &name, Side &side, Side &other)
    {
        side.socket = TRY(host.client.openOperationSocket(offered.url, offered.secrets.at(name), [&other](http::Opcode opcode, std::string_view piece, bool) {
            if (other.socket && !other.ended && opcode == http::Opcode::Binary)
                other.socket->send(http::Opcode::Binary, piece);
        }));
        return {};
    }

    /// Everything goes through here.
    Status relay()
    {
        const client::Answer leaves = TRY(leave({}));
        const Offered from = TRY(offeredBy(leaves));
        const auto arrives = arrive({"push", {}, {}, {}});
        const auto to = arrives ? offeredBy(*arrives) : Result<Offered>(arrives.error());
        if (!to) {
            cancel(m_source, from.url);
            return to.error();
        }
        std::vector<std::unique_ptr<Pair>> pairs;
        const Status opened = [&]() -> Status {
            for (const std::string_view name : kStreams) {
                auto pair = std::make_unique<Pair>();
                TRY(openSide(m_source, from, std::string(name), pair->source, pair->target));
                TRY(openSide(m_target, *to, std::string(name), pair->target, pair->source));
                TRY(pair->source.socket->finishOpening());
                TRY(pair->target.socket->finishOpening());
                pairs.push_back(std::move(pair));
            }
            return {};
        }();
        if (!opened) {
            cancel(m_source, from.url);
            cancel(m_target, to->url);
            return opened;
        }
        const Fd stop(::eventfd(0, EFD_CLOEXEC));
        std::thread shuttle([&] { carry(pairs, stop); });
        const Status done = waitFor(m_target, arrives->operation);
        const std::uint64_t one = 1;
        if (::write(stop.get(), &one, sizeof one) < 0)
            m_context.warn(std::string("Warning: ") + std::strerror(errno));
        shuttle.join();
        return done;
    }

    static void step(Side &side, Side &other, short events)
    {
        if (!side.ended && (events & (POLLIN | POLLHUP | POLLERR)) != 0)
            if (const Result<bool> open = side.socket->receive(); !open || !*open) {
                side.ended = true;
                if (!other.ended)
                    other.socket->close();
            }
        if (!side.ended && !side.socket->flush())
            side.ended = true;
    }

    /// Until all sockets have ended, or the target's operation has.
    static void carry(std::vector<std::unique_ptr<Pair>> &pairs, const Fd &stop)
    {
        for (;;) {
            std::vector<pollfd> waits{{stop.get(), POLLIN, 0}};
            bool open = false;
            for (const auto &pair : pairs)
                for (const auto &[side, other] : {std::pair{&pair->source, &pair->target}, std::pair{&pair->target, &pair->source}}) {
                    const bool reads = other->ended || other->socket->pending() < kMost; // a slow side stops the other
                    const short events = static_cast<short>((reads ? POLLIN : 0) | (side->socket->pending() > 0 ? POLLOUT : 0));
                    waits.push_back({side->ended ? -1 : side->socket->fd().get(), events, 0});
                    open = open || !side->ended;
                }
            if (!open || (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) || waits[0].revents != 0)
                return;
            for (std::size_t i = 0; i < pairs.size(); ++i) {
                step(pairs[i]->source, pairs[i]->target, waits[1 + 2 * i].revents);
                step(pairs[i]->target, pairs[i]->source, waits[2 + 2 * i].revents);
                if (!pairs[i]->source.ended)
                    (void)pairs[i]->source.socket->flush(); // its end is seen when it is read next
                if (!pairs[i]->target.ended)
                    (void)pairs[i]->target.socket->flush();
            }
        }
    }

    Context &m_context;
    Host &m_source, &m_target;
    const Parcel &m_parcel;
};

} // namespace

Result<Host> hostAt(Context &context, const std::string &name, const Wares &wares)
{
    const Remotes &remotes = *TRY(context.remotes());
    Host host{name, TRY(context.clientOf(name)), {}, {}, {}};
    host.server = TRY(host.client.get<api::Server>("/1.0"));
    host.client.setAutostart(client::Client::Autostart::No); // one that ends in the middle of it is not started by the way
    const auto &extensions = host.server.apiExtensions;
    if (std::ranges::find(extensions, wares.extension) == extensions.end())
        return Error(Code::Unsupported, quoted(name) + " is no lxmgr that hands " + std::string(wares.name) +
                                            " over: LXD, Incus and older versions have forms of their own")
            .hint("export it there and import it here: " + std::string(wares.exportCommand));
    const Remote remote = TRY(remotes.get(name));
    if (!remote.isUnix())
        host.addresses.push_back(remote.address);
    if (!host.server.environment)
        return host;
    host.certificate = host.server.environment->certificate;
    for (const std::string &address : host.server.environment->addresses)
        if (const std::string url = "https://" + address; std::ranges::find(host.addresses, url) == host.addresses.end())
            host.addresses.push_back(url);
    return host;
}

Status transfer(Context &context, Host &source, Host &target, const Parcel &parcel, const std::string &mode)
{
    return Transfer(context, source, target, parcel).run(mode);
}

} // namespace lxmgr::cli

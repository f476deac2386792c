#include "cli/between.h"

#include "api/instances.h"
#include "api/operations.h"
#include "api/server.h"
#include "api/snapshots.h"
#include "api/types.h"
#include "base/text.h"
#include "base/types.h"
#include "cli/new_instance.h"
#include "cli/progress.h"
#include "cli/snapshots.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

constexpr std::string_view kExtension = "lxmgr_migration";
constexpr std::string_view kStreams[] = {"control", "fs"};
constexpr std::size_t kMost = 256 << 10; ///< On its way in either direction.

struct Host {
    std::string name;
    client::Client client;
    api::Server server;
    std::string certificate;
    std::vector<std::string> addresses; ///< "https://192.0.2.7:8443": where another host may reach it.
};

Result<Host> hostAt(Context &context, const std::string &name)
{
    const Remotes &remotes = *TRY(context.remotes());
    Host host{name, TRY(context.clientOf(name)), {}, {}, {}};
    host.server = TRY(host.client.get<api::Server>("/1.0"));
    host.client.setAutostart(client::Client::Autostart::No); // one that ends in the middle of it is not started by the way
    const auto &extensions = host.server.apiExtensions;
    if (std::ranges::find(extensions, kExtension) == extensions.end())
        return Error(Code::Unsupported, quoted(name) + " is no lxmgr that hands instances over: LXD, Incus and older versions have forms of their own")
            .hint("export it there and import it here: lxmgr export " + name + ":<instance> - | lxmgr import <remote>: -");
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
    Transfer(Context &context, Host source, Host target, std::string path, api::InstancesPost post, bool instanceOnly, std::string what)
        : m_context(context), m_source(std::move(source)), m_target(std::move(target)), m_path(std::move(path)), m_post(std::move(post)),
          m_instanceOnly(instanceOnly), m_what(std::move(what))
    {
    }

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

    Host &source() { return m_source; }

private:
    static Error unreachable(const Host &host, const std::string &mode)
    {
        return Error(Code::Unsupported, quoted(host.name) + " listens for no other hosts, which --mode " + mode + " needs")
            .hint("set where, there: lxmgr config set " + host.name + ": core.https_address=:8443; or take --mode relay");
    }

    std::string leaving(const api::Json &target) const
    {
        api::InstancePost post;
        post.migration = true;
        post.instanceOnly = m_instanceOnly;
        post.target = target;
        return api::toJson(post);
    }

    Result<client::Answer> arrive(const std::string &mode)
    {
        m_post.source.mode = mode;
        return m_target.client.request("POST", "/1.0/instances", api::toJson(m_post));
    }

    Status waitFor(Host &host, const std::string &operation)
    {
        Progress progress(m_context, m_what);
        const api::Operation done = TRY(host.client.wait(operation, progress.watcher()));
        if (const std::string warnings = done.metadata.text("warnings"); !warnings.empty())
            m_context.warn("Warning: " + escaped(warnings));
        return {};
    }

    /// The target fetches it.
    Status pull()
    {
        const client::Answer answer = TRY(m_source.client.request("POST", m_path, leaving({})));
        const Offered offered = TRY(offeredBy(answer));
        m_post.source.secrets = offered.secrets;
        m_post.source.certificate = m_source.certificate;
        Status done;
        for (const std::string &address : m_source.addresses) {
            m_post.source.operation = address + offered.url;
            const auto started = arrive("pull");
            done = started ? waitFor(m_target, started->operation) : Status(started.error());
            if (done || !isUnreachable(done.error()))
                break;
        }
        m_post.source.secrets.reset();
        m_post.source.certificate.clear();
        m_post.source.operation.clear();
        if (!done)
            cancel(m_source, offered.url);
        return done;
    }

    /// The source brings it.
    Status push()
    {
        const client::Answer answer = TRY(arrive("push"));
        const Offered offered = TRY(offeredBy(answer));
        api::Json target = api::Json::object();
        target["certificate"] = m_target.certificate;
        target["secrets"] = api::Json::object();
        for (const auto &[name, secret] : offered.secrets)
            target["secrets"][name] = secret;
        Status done;
        for (const std::string &address : m_target.addresses) {
            target["operation"] = address + offered.url;
            const auto started = m_source.client.request("POST", m_path, leaving(target));
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
        const client::Answer leaves = TRY(m_source.client.request("POST", m_path, leaving({})));
        const Offered from = TRY(offeredBy(leaves));
        const auto arrives = arrive("push");
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
    Host m_source, m_target;
    const std::string m_path; ///< Of what leaves.
    api::InstancesPost m_post;
    const bool m_instanceOnly;
    const std::string m_what;
};

/// What the source is, as far as it is a matter of its definition.
struct Definition {
    api::StringMap config;
    api::Devices devices, expandedDevices;
    std::vector<std::string> profiles;
    std::string description, architecture;
    bool ephemeral = false;
};

/// Of what is here only what is nobody else's: a copy has addresses and ids of its own, a moved one keeps its own.
enum class Identity { New, Kept };

Status complete(api::InstancesPost &post, const Definition &source, const Arguments &arguments, Identity identity)
{
    TRY(addOptions(post, arguments));
    TRY(completeDevices(post, source.expandedDevices));
    for (const auto &[key, value] : source.config)
        if (identity == Identity::Kept || !key.starts_with("volatile."))
            post.config.emplace(key, value);
    for (const auto &[name, keys] : source.devices)
        post.devices.emplace(name, keys);
    if (!post.profiles)
        post.profiles = source.profiles;
    post.architecture = source.architecture;
    if (identity == Identity::New)
        return {};
    if (post.description.empty())
        post.description = source.description;
    post.ephemeral = post.ephemeral || source.ephemeral;
    return {};
}

/// What can be said of it here where the other host lacks something.
Error withCure(Error error, const std::string &to)
{
    if (error.message.find("Profile not found") != std::string::npos)
        return std::move(error).hint("make it on " + quoted(to) + ", or give others: --profile <profile>, --no-profiles");
    if (error.message.find("torage pool not found") != std::string::npos)
        return std::move(error).hint("give one of " + quoted(to) + ": --storage <pool>");
    return error;
}

/// Whether `post` names what an earlier move of `source` has brought there, which was cut off before it was deleted here: it is then
/// brought up to date. WrongState where it has a life of its own by now.
Result<bool> cameBefore(client::Client &target, const api::InstancesPost &post, const Definition &source, const std::string &host)
{
    const auto there = target.get<api::Instance>(TRY(instancePath(post.name)));
    if (!there)
        return there.error().code == Code::NotFound ? Result<bool>(false) : there.error();
    const auto uuid = source.config.find("volatile.uuid"), other = there->config.find("volatile.uuid");
    if (uuid == source.config.end() || other == there->config.end() || uuid->second != other->second)
        return false; // another one, whose name is taken
    if (there->lastUsedAt.isSet())
        return Error(Code::WrongState, quoted(post.name) + " has come to " + quoted(host) +
                                           " by a move that was cut off before it was deleted here, and was started there since")
            .hint("delete the one that is not wanted, here or there");
    return true;
}

Result<Transfer> transferOf(Context &context, const Arguments &arguments, const std::string &to, Identity identity, std::string what)
{
    const std::string from = arguments.word(0);
    const auto snapshot = snapshotWord(from);
    const std::string path = snapshot ? TRY(snapshotPath(snapshot->instance, snapshot->snapshot)) : TRY(instancePath(from));
    Host source = TRY(hostAt(context, context.remote())), target = TRY(hostAt(context, to));
    if (const auto project = arguments.value("target-project"))
        target.client.setProject(*project);
    Definition definition;
    if (snapshot) {
        auto was = TRY(source.client.get<api::Snapshot>(path));
        definition = {std::move(was.config), std::move(was.devices), std::move(was.expandedDevices), std::move(was.profiles), {}, was.architecture, false};
    } else {
        auto is = TRY(source.client.get<api::Instance>(path));
        if (identity == Identity::Kept && is.statusCode != static_cast<int>(api::StatusCode::Stopped))
            return Error(Code::WrongState, "Instance is running: " + quoted(from) + " (stop it before moving it)");
        if (const auto protection = is.expandedConfig.find("security.protection.delete");
            identity == Identity::Kept && protection != is.expandedConfig.end() && parseBool(protection->second).value_or(false))
            return Error(Code::WrongState, "The instance is protected from being deleted: " + quoted(from))
                .hint("copy it, or: lxmgr config set " + context.remote() + ":" + from + " security.protection.delete=false");
        definition = {std::move(is.config),   std::move(is.devices), std::move(is.expandedDevices), std::move(is.profiles), is.description,
                      is.architecture, is.ephemeral};
    }
    api::InstancesPost post;
    post.type = "container";
    post.name = arguments.words.size() > 1 ? arguments.word(1) : snapshot ? snapshot->instance : from;
    TRY(checkInstanceName(post.name));
    TRY(complete(post, definition, arguments, identity));
    post.source.type = "migration";
    post.source.instanceOnly = arguments.has("instance-only");
    post.source.refresh = arguments.has("refresh") || (identity == Identity::Kept && TRY(cameBefore(target.client, post, definition, to)));
    const bool only = post.source.instanceOnly;
    return Transfer(context, std::move(source), std::move(target), path, std::move(post), only, std::move(what));
}

} // namespace

Result<std::string> destinationOf(Context &context, const Arguments &arguments)
{
    if (!arguments.bareRemote.empty())
        return arguments.bareRemote;
    if (arguments.words.size() < 2)
        return context.remote();
    const std::string named = arguments.remoteOf(1);
    return named.empty() ? TRY(context.remotes())->defaultName() : named;
}

Result<bool> isOneHost(Context &context, const Arguments &arguments, const std::string &to)
{
    const std::string &one = context.remote(), &other = to;
    if (one == other)
        return true;
    if (arguments.has("mode"))
        return false;
    std::string fingerprints[2];
    for (const auto &[name, fingerprint] : {std::pair{one, &fingerprints[0]}, std::pair{other, &fingerprints[1]}}) {
        client::Client client = TRY(context.clientOf(name));
        const auto server = TRY(client.get<api::Server>("/1.0"));
        if (server.environment)
            *fingerprint = server.environment->certificateFingerprint;
    }
    return !fingerprints[0].empty() && fingerprints[0] == fingerprints[1];
}

Status checkOneHost(const Arguments &arguments)
{
    if (arguments.has("mode"))
        return Error(Code::Usage, "--mode says how an instance gets to another host, and this is one host");
    return {};
}

Result<int> copyBetween(Context &context, const Arguments &arguments, const std::string &to)
{
    Transfer transfer = TRY(transferOf(context, arguments, to, Identity::New, "Copying " + arguments.word(0) + " to " + to));
    if (Status done = transfer.run(arguments.value("mode", "")); !done)
        return withCure(std::move(done.error()), to);
    return 0;
}

Result<int> moveBetween(Context &context, const Arguments &arguments, const std::string &to)
{
    const std::string from = arguments.word(0);
    if (snapshotWord(from))
        return Error(Code::Usage, "a snapshot lies where its instance does (lxmgr copy makes an instance of it elsewhere)");
    Transfer transfer = TRY(transferOf(context, arguments, to, Identity::Kept, "Moving " + from + " to " + to));
    if (Status done = transfer.run(arguments.value("mode", "")); !done)
        return withCure(std::move(done.error()), to);
    // All of it is there and recorded: only now does it go here.
    Progress progress(context, "Deleting " + from);
    const auto deleted = transfer.source().client.run("DELETE", TRY(instancePath(from)), {}, progress.watcher());
    if (!deleted)
        return Error(deleted.error()).in("it is on " + quoted(to) + " now, and still here: delete " + quoted(from));
    return 0;
}

} // namespace lxmgr::cli

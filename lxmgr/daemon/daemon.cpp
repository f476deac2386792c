#include "daemon/daemon.h"

#include "api/envelope.h"
#include "api/operations.h"
#include "base/log.h"
#include "base/text.h"
#include "config/server_config.h"
#include "daemon/actions.h"
#include "daemon/audit.h"
#include "daemon/context.h"
#include "daemon/guest_api.h"
#include "daemon/scheduler.h"
#include "daemon/file_sessions.h"
#include "instances/warnings.h"
#include "kernel/lock.h"
#include "store/copies.h"
#include "store/server_config.h"
#include "tls/certificate.h"

#include <QCoreApplication>
#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <grp.h>
#include <set>
#include <sys/stat.h>
#include <sys/utsname.h>

namespace lxmgr::daemon
{

namespace
{

Status makeFolder(const std::string &path, mode_t mode)
{
    std::string parent = path.substr(0, path.rfind('/'));
    if (!parent.empty() && ::access(parent.c_str(), F_OK) < 0)
        TRY(makeFolder(parent, 0755));
    if (::mkdir(path.c_str(), mode) < 0 && errno != EEXIST)
        return Error::fromErrno(errno, "mkdir", path);
    return {};
}

/// <state>/lock: let go by the kernel however this process ends.
Result<Fd> lockState(const std::string &stateDir)
{
    const std::string path = stateDir + "/lock";
    Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock)
        return Error::fromErrno(errno, "open", path);
    if (!TRY_IN(path, files::lockExclusively(lock)))
        return Error(Code::AlreadyExists, "another lxmgrd uses " + quoted(stateDir) + " (stop it first, or set LXMGR_DIR and LXMGR_RUN_DIR)");
    return lock;
}

Result<gid_t> groupId(const std::string &name)
{
    if (name.empty())
        return static_cast<gid_t>(-1);
    const group *entry = ::getgrnam(name.c_str());
    if (!entry)
        return Error(Code::Invalid, "group " + quoted(name) + " does not exist (make it with groupadd, or leave --group out)");
    return entry->gr_gid;
}

/// Gives profile `default` a root disk and a NIC, as every instance gets them unless told otherwise. Only before the
/// first pool is made: later the profile is its owner's, who may have emptied it on purpose.
Status fillDefaultProfile(store::Database &db)
{
    if (!TRY(store::listPools(db)).empty())
        return {};
    store::Profile profile = TRY(store::findProfile(db, store::kDefaultProject, "default"));
    if (!profile.devices.empty() || !profile.config.empty())
        return {};
    profile.devices["root"] = {{"type", "disk"}, {"path", "/"}, {"pool", "default"}};
    profile.devices["eth0"] = {{"type", "nic"}, {"name", "eth0"}, {"network", instances::kDefaultNetwork}};
    return store::updateProfile(db, profile);
}

/// A copy of the database waits until those who come first have been served, and after one that failed.
constexpr std::time_t kCopySettles = 60, kCopyAgain = 3600;

/// After these a snapshot may fall due at another time, or something be kept that expires.
const std::set<std::string, std::less<>> kReschedules = {"instance-created", "instance-updated", "instance-restored", "instance-deleted"};

/// After these the tree of an instance that did not run is no longer what it was, or is no longer there.
const std::set<std::string, std::less<>> kOtherTree = {"instance-started", "instance-restored", "instance-deleted", "instance-renamed"};

} // namespace

class Daemon::Impl
{
public:
    explicit Impl(DaemonOptions options) : m_options(std::move(options)) {}

    Status start()
    {
        const Paths &paths = m_options.paths;
        TRY(makeFolder(paths.stateDir, 0711));
        TRY(makeFolder(paths.runDir, 0711));
        m_lock = TRY(lockState(paths.stateDir));
        m_db = TRY(store::Database::open(paths.database()));
        instances::warnOfHost(*m_db);
        m_pools = std::make_unique<instances::Pools>(paths, *m_db);
        TRY(m_pools->recover());
        m_undo = std::make_unique<instances::UndoLog>(*m_pools, *m_db);
        m_exports = TRY(instances::KeptExports::open(paths, *m_db));
        m_volumes = std::make_unique<instances::Volumes>(
            instances::Volumes::Services{*m_pools, *m_db, *m_undo, [this](const instances::VolumeEvent &event) { publish(event); }});
        TRY(m_volumes->recover());
        m_networks = std::make_unique<instances::Networks>(paths, *m_db);
        if (m_options.defaults) {
            TRY(fillDefaultProfile(*m_db));
            TRY(m_pools->ensureDefault());
            TRY(m_networks->ensureDefault());
        }
        m_imageFiles = std::make_unique<images::ImageStore>(TRY(images::ImageStore::open(paths)));
        m_images = std::make_unique<instances::ImageService>(paths, *m_db, *m_imageFiles, *m_pools);
        TRY(recoverImages());
        TRY(startServer());
        return {};
    }

    void quit(bool stopGuests)
    {
        if (m_ending)
            return;
        m_ending = true;
        if (!stopGuests) {
            QCoreApplication::quit();
            return;
        }
        log::info("stopping all instances");
        m_server->runOnPool([this] {
            m_manager->shutdown();
            m_server->runOnServerThread([] { QCoreApplication::quit(); });
        });
    }

    ~Impl()
    {
        log::setSink({});
        if (m_server)
            m_server->stopListening();
        if (m_operations)
            for (const auto &task : m_operations->list())
                (void)task->cancel(); // those that cannot be cancelled come to their end
        if (m_server)
            m_server->finish(); // handlers use all that goes next; threads of that still come to the server with work
        m_fileSessions.reset();
        m_https.reset();
        m_imageScheduler.reset();
        m_copyScheduler.reset();
        m_scheduler.reset();
        m_clock.reset();
        m_backups.reset();
        m_guestApi.reset();
        m_manager.reset();
        m_networks.reset(); // its thread uses the database
    }

private:
    Status startServer()
    {
        ServerOptions options;
        options.socketPath = m_options.paths.socket();
        options.spoolDir = m_options.paths.stateDir;
        options.group = TRY(groupId(m_options.group));
        m_trust = TRY(Trust::create(*m_db, m_options.paths.stateDir));
        m_audit = TRY(Audit::open(m_options.paths.stateDir + "/logs", [this](const std::string &trouble) {
            instances::warn(*m_db, instances::WarningType::AuditIncomplete, instances::kAboutServer, trouble);
        }));
        instances::resolve(*m_db, instances::WarningType::AuditIncomplete, instances::kAboutServer);
        options.identify = [this](const Peer &peer) { return m_trust->identify(peer); };
        options.admit = [this](const Request &request) -> std::optional<Principal> {
            if (!pushTokenOf(*m_context, request))
                return std::nullopt;
            return Principal{Principal::Kind::Restricted, {request.project()}};
        };
        options.refused = [this](const Peer &peer, const http::RequestHead &head, int status) {
            m_audit->refused(peer, head.method, head.target.substr(0, head.target.find('?')), status);
        };
        m_server = std::make_unique<Server>(options, [this](Request request, const Responder &responder) { handle(std::move(request), responder); });
        m_events = std::make_unique<Events>();
        m_images->setListener([this](const char *action, const store::Image &image) { publishImage(action, image); });
        m_operations = std::make_unique<Operations>(*m_events, *m_server, [this](const Task &task) {
            m_audit->operation(task.publicSnapshot(), task.project(), *task.owner());
        });
        const tls::Identity identity = TRY(serverIdentity());
        m_https = std::make_unique<Https>(*m_server, identity, TRY(tls::fingerprintOf(identity.certificate)));
        instances::Manager::Services services{m_options.paths, *m_db, *m_pools, *m_volumes, *m_networks, *m_images, *m_undo, *m_exports,
                                              [this](const instances::Lifecycle &event) { publish(event); },
                                              [this](std::function<void()> work) { m_server->runOnPool(std::move(work)); },
                                              [this](const instances::InstanceKey &key) { m_guestApi->serve(key); }};
        m_manager = TRY(instances::Manager::create(std::move(services)));
        m_guestApi = TRY(GuestApi::create(*m_manager, m_options.paths));
        m_volumeExchange = std::make_unique<instances::VolumeExchange>(m_options.paths, *m_db, *m_volumes, *m_exports);
        m_volumeTransfer = std::make_unique<instances::VolumeTransfer>(m_options.paths, *m_volumes);
        m_backups = std::make_unique<instances::Backups>(m_options.paths, *m_db, *m_manager);
        m_context.reset(new Context{m_options.paths, *m_db, *m_pools, *m_volumes, *m_networks, *m_images, *m_undo, *m_exports, *m_manager,
                                    *m_backups, *m_volumeExchange, *m_volumeTransfer,
                                    *m_operations, *m_events, *m_server, *m_trust, *m_https,
                                    false, {}, {}, {}});
        m_fileSessions = std::make_unique<FileSessions>(*m_server);
        m_context->fileSessions = m_fileSessions.get();
        m_context->quit = [this](bool stop) { m_server->runOnServerThread([this, stop] { quit(stop); }); };
        m_context->whenReady = [this](std::function<void()> callback) { whenReady(std::move(callback)); };
        m_context->schedulesChanged = [this] { reschedule(); };
        m_handlers = TRY(handlerTable());
        // Adopted before the socket opens: nobody is ever told that a running instance is stopped.
        TRY(m_backups->recover([this](std::function<void()> work) { m_server->runOnPool(std::move(work)); }));
        TRY(m_manager->recover());
        m_clock = std::make_unique<BelievedClock>(m_options.paths.stateDir + "/clock", [this](const std::string &why) { followClock(why); });
        m_scheduler = TRY(Scheduler::create(*m_server, *m_clock, {"snapshot schedules", [this](std::time_t done) { return m_manager->nextScheduled(done); },
                                                        [this](std::time_t since, std::time_t now) { m_manager->runScheduled(since, now); }}));
        m_noCopyBefore = m_clock->look().now + kCopySettles;
        const auto nextCopy = [this](std::time_t done) { return std::max(store::nextCopy(*m_db, done), m_noCopyBefore.load()); };
        m_copyScheduler = TRY(Scheduler::create(
            *m_server, *m_clock, {"copies of the database", nextCopy, [this](std::time_t, std::time_t now) { copyDatabase(now); }}));
        // One of its own: a download may take long, and a snapshot waits for none.
        m_imageScheduler = TRY(Scheduler::create(*m_server, *m_clock, {"images", [this](std::time_t) { return m_images->nextScheduled(); },
                                                             [this](std::time_t, std::time_t now) { m_images->runScheduled(now); }}));
        TRY(m_server->listen());
        listenOnNetwork();
        log::setSink([this](log::Level level, const std::string &line) { m_events->logging(level, line); });
        log::info("lxmgrd is listening on " + options.socketPath);
        m_server->runOnPool([this] {
            m_networks->recover();
            if (const Status watched = m_networks->watchRules(); !watched)
                log::warning("changes of firewall rules are not seen: " + watched.error().message + ", ignoring");
            m_manager->autostart();
            becomeReady();
        });
        return {};
    }

    /// Made at the first start; who has pinned it must find the same one for years.
    Result<tls::Identity> serverIdentity()
    {
        utsname host{};
        ::uname(&host);
        return tls::identityIn(m_options.paths.stateDir, "server", "root@" + std::string(host.nodename), {host.nodename, "127.0.0.1", "::1"});
    }

    /// An address that is not to be had at boot must not keep the guests from coming up.
    void listenOnNetwork()
    {
        const auto stored = store::serverConfig(*m_db);
        const auto config = stored ? config::parseServerConfig(*stored) : Result<config::ServerConfig>(stored.error());
        if (!config)
            return log::error("the server's configuration: " + config.error().message + ", ignoring");
        m_trust->setTrustAuthority(config->trustCaCertificates.value_or(false));
        instances::follow(*m_db, instances::WarningType::HttpsUnavailable, instances::kAboutServer, m_https->listen(config->httpsAddress.value_or("")),
                          "core.https_address");
    }

    /// Images that were being deleted are; none is half made, for a file is named only when whole.
    Status recoverImages()
    {
        for (const store::Image &image : TRY(store::listImagesIn(*m_db, store::ImageStatus::Deleting)))
            if (Status gone = m_images->remove(image.project, image.fingerprint); !gone)
                log::error("image '" + image.fingerprint.substr(0, 12) + "': " + gone.error().message + ", ignoring");
        return {};
    }

    void handle(Request request, const Responder &responder)
    {
        const auto peer = std::make_shared<const Peer>(request.peer);
        const OnBehalfOf whom(peer);
        follow(request, responder, peer);
        // Which projects there are beside his own is not for a stranger or a restricted client to find out.
        const bool outside = !request.caller.mayUse(request.project()) && request.project() != store::kDefaultProject;
        const auto project = store::findProject(*m_db, request.project());
        if ((!project || outside) && !(outside && showsPublicImages(request.id()))) {
            responder.error(Error(Code::NotFound, "Project not found: " + quoted(request.project())));
            return;
        }
        if (Status mine = checkHome(request); !mine) {
            responder.error(mine.error());
            return;
        }
        const RouteHandler handler = m_handlers[static_cast<std::size_t>(request.id())];
        if (Status done = handler(*m_context, request, responder); !done)
            responder.error(done.error());
    }

    /// Images that are public, or whose secret is shown, are for everybody, whatever project they are in. Their handlers find nothing in
    /// one that is not there, so that it is told from one that shows nothing by nothing.
    static bool showsPublicImages(api::RouteId route)
    {
        using enum api::RouteId;
        return route == ImageList || route == ImageGet || route == ImageExport || route == ImageAliasGet;
    }

    /// What a project shares with another (features.*) is changed by who may change it there.
    Status checkHome(const Request &request)
    {
        if (request.caller.trusted() || request.route->access != api::Access::Manage)
            return {};
        const std::string_view pattern = request.route->pattern;
        const bool profiles = pattern.starts_with("/1.0/profiles");
        if (!profiles && !pattern.starts_with("/1.0/images"))
            return {};
        const std::string home = TRY(store::homeOf(*m_db, request.project(), profiles ? store::Shared::Profiles : store::Shared::Images));
        if (request.caller.mayUse(home))
            return {};
        return Error(Code::Forbidden, "not authorized: project " + quoted(request.project()) + " uses the " + (profiles ? "profiles" : "images") +
                                          " of project " + quoted(home));
    }

    /// What changes something, or takes something out of a guest, is written down and told of.
    void follow(const Request &request, const Responder &responder, const std::shared_ptr<const Peer> &peer)
    {
        const std::optional<Action> action = Action::of(request);
        const bool changes = request.route->verb != api::Verb::Get && request.route->verb != api::Verb::Head;
        if (!action && !changes)
            return;
        const std::string path = request.head.target.substr(0, request.head.target.find('?'));
        responder.onAnswer([this, peer, action, route = request.route, path, project = request.project()](int status, const std::string &location) {
            m_audit->request(*peer, *route, path, project, status);
            if (action && status < 300)
                m_events->lifecycle(action->event(location), action->project());
        });
    }

    void publish(const instances::Lifecycle &event)
    {
        api::Lifecycle lifecycle;
        lifecycle.action = event.action;
        lifecycle.source = urlOf("instances", event.key.name, event.key.project);
        for (const auto &[name, value] : event.context)
            lifecycle.context[name] = value;
        if (const auto peer = OnBehalfOf::current())
            lifecycle.requestor = peer->requestor();
        m_events->lifecycle(lifecycle, event.key.project);
        if (m_fileSessions && kOtherTree.contains(event.action))
            m_fileSessions->endStopped(event.key);
        if (event.action == "instance-updated")
            m_guestApi->serve(event.key);
        if (m_imageScheduler && (kReschedules.contains(event.action) || event.action.starts_with("instance-snapshot-") ||
                            event.action.starts_with("instance-backup-")))
            reschedule();
    }

    void copyDatabase(std::time_t now)
    {
        const Status copied = store::makeCopy(*m_db, now);
        if (!copied)
            m_noCopyBefore = now + kCopyAgain;
        instances::follow(*m_db, instances::WarningType::DatabaseCopy, instances::kAboutServer, copied, "copy of the database");
    }

    void followClock(const std::string &doubt)
    {
        using instances::WarningType;
        if (doubt.empty())
            instances::resolve(*m_db, WarningType::ClockLeap, instances::kAboutServer);
        else
            instances::warn(*m_db, WarningType::ClockLeap, instances::kAboutServer, doubt);
    }

    void reschedule()
    {
        m_scheduler->changed();
        m_imageScheduler->changed();
    }

    void publishImage(const char *action, const store::Image &image)
    {
        api::Lifecycle lifecycle;
        lifecycle.action = action;
        lifecycle.source = urlOf("images", image.fingerprint, image.project);
        lifecycle.context["type"] = "container";
        if (const auto peer = OnBehalfOf::current())
            lifecycle.requestor = peer->requestor();
        m_events->lifecycle(lifecycle, image.project);
    }

    void publish(const instances::VolumeEvent &event)
    {
        if (!m_context)
            return;
        const auto peer = OnBehalfOf::current();
        publishVolume(*m_context, peer ? peer->requestor() : api::Requestor{}, event);
    }

    void whenReady(std::function<void()> callback)
    {
        {
            const std::lock_guard lock(m_readyMutex);
            if (!m_context->ready) {
                m_waiting.push_back(std::move(callback));
                return;
            }
        }
        callback();
    }

    void becomeReady()
    {
        std::vector<std::function<void()>> waiting;
        {
            const std::lock_guard lock(m_readyMutex);
            m_context->ready = true;
            waiting.swap(m_waiting);
        }
        for (const auto &callback : waiting)
            callback();
    }

    const DaemonOptions m_options;
    Fd m_lock;
    std::unique_ptr<store::Database> m_db;
    std::unique_ptr<instances::Pools> m_pools;
    std::unique_ptr<instances::UndoLog> m_undo;
    std::unique_ptr<instances::KeptExports> m_exports;
    std::unique_ptr<instances::Volumes> m_volumes;
    std::unique_ptr<instances::Networks> m_networks;
    std::unique_ptr<images::ImageStore> m_imageFiles;
    std::unique_ptr<instances::ImageService> m_images;
    std::unique_ptr<instances::VolumeExchange> m_volumeExchange;
    std::unique_ptr<instances::VolumeTransfer> m_volumeTransfer;
    std::unique_ptr<Events> m_events;
    std::unique_ptr<FileSessions> m_fileSessions;
    std::unique_ptr<Trust> m_trust;
    std::unique_ptr<Audit> m_audit;
    std::unique_ptr<Server> m_server;
    std::unique_ptr<Https> m_https;
    std::unique_ptr<Operations> m_operations;
    std::unique_ptr<instances::Manager> m_manager;
    std::unique_ptr<GuestApi> m_guestApi;
    std::unique_ptr<instances::Backups> m_backups;
    std::unique_ptr<BelievedClock> m_clock;
    std::unique_ptr<Scheduler> m_scheduler;
    std::unique_ptr<Scheduler> m_imageScheduler;
    std::unique_ptr<Scheduler> m_copyScheduler;
    std::atomic<std::time_t> m_noCopyBefore = 0;
    std::unique_ptr<Context> m_context;
    HandlerTable m_handlers{};
    std::mutex m_readyMutex;
    std::vector<std::function<void()>> m_waiting;
    bool m_ending = false;
};

Daemon::Daemon(std::unique_ptr<Impl> impl) : m_impl(std::move(impl)) {}
Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>> Daemon::create(const DaemonOptions &options)
{
    auto impl = std::make_unique<Impl>(options);
    TRY(impl->start());
    return std::unique_ptr<Daemon>(new Daemon(std::move(impl)));
}

void Daemon::quit(bool stopGuests) { m_impl->quit(stopGuests); }

} // namespace lxmgr::daemon

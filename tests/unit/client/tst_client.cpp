// The client against a scripted daemon on a real unix socket: answers, errors, operations, streams.
#include "api/instances.h"
#include "api/operations.h"
#include "api/profiles.h"
#include "api/server.h"
#include "client/client.h"

#include "client/session.h"
#include "http/parser.h"
#include "support/verify.h"

#include <QTemporaryDir>
#include <QTemporaryFile>

#include <atomic>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

using namespace lxmgr;
using namespace lxmgr::client;

namespace
{

/// Answers each request by "METHOD target" from a table; a websocket is handed to its script.
class FakeDaemon
{
public:
    struct Seen {
        http::RequestHead head;
        std::string body;
    };
    using Script = std::function<void(const Fd &)>;

    explicit FakeDaemon(const std::string &path)
    {
        m_listener = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        if (::bind(m_listener.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0 ||
            ::listen(m_listener.get(), 16) < 0)
            qFatal("the fake daemon cannot listen");
        m_accepting = std::thread([this] { acceptAll(); });
    }
    ~FakeDaemon()
    {
        m_stop = true;
        ::shutdown(m_listener.get(), SHUT_RDWR);
        m_accepting.join();
        for (std::thread &thread : m_threads)
            thread.join();
    }

    std::map<std::string, std::string> answers; ///< Whole answers, head and body.
    std::map<std::string, Script> upgrades;     ///< After the 101.
    /// The first is answered only after the second has been asked.
    std::pair<std::string, std::string> heldUntil;
    std::atomic<int> connections = 0;

    std::vector<Seen> seen()
    {
        const std::lock_guard lock(m_mutex);
        return m_seen;
    }

private:
    void acceptAll()
    {
        for (;;) {
            Fd fd(::accept4(m_listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!fd)
                return;
            ++connections;
            m_threads.emplace_back([this, peer = std::make_shared<Fd>(std::move(fd))] { serve(*peer); });
        }
    }
    void serve(const Fd &fd)
    {
        Seen current;
        bool upgraded = false;
        http::RequestParser parser({
            [&](http::RequestHead head) -> Status {
                current = {std::move(head), {}};
                return {};
            },
            [&](std::string_view piece) -> Status {
                current.body.append(piece);
                return {};
            },
            [&]() -> Status {
                upgraded = answer(fd, current);
                return {};
            },
        });
        char buffer[65536];
        while (!upgraded && !m_stop) {
            pollfd wait{fd.get(), POLLIN, 0};
            if (::poll(&wait, 1, 50) == 0)
                continue;
            const ssize_t got = ::recv(fd.get(), buffer, sizeof buffer, 0);
            if (got <= 0)
                return;
            std::string_view bytes(buffer, static_cast<std::size_t>(got));
            while (!bytes.empty()) {
                const auto used = parser.feed(bytes);
                if (!used)
                    return;
                bytes.remove_prefix(*used);
            }
        }
    }
    bool answer(const Fd &fd, const Seen &request)
    {
        {
            const std::lock_guard lock(m_mutex);
            m_seen.push_back(request);
        }
        const std::string key = request.head.method + " " + request.head.target;
        if (const auto script = upgrades.find(key); script != upgrades.end()) {
            const auto headers = http::webSocketAnswer(request.head);
            (void)sendAll(fd, http::writeResponse(101, *headers));
            script->second(fd);
            return true;
        }
        if (key == heldUntil.first)
            m_opened.wait(false);
        if (key == heldUntil.second) {
            m_opened = true;
            m_opened.notify_all();
        }
        const auto found = answers.find(key);
        (void)sendAll(fd, found != answers.end()
                              ? found->second
                              : reply(404, api::errorEnvelope(404, "no answer for " + key, "not-found")));
        return false;
    }

public:
    static std::string reply(int status, const std::string &body, http::Headers headers = {})
    {
        headers.set("Content-Type", "application/json");
        headers.set("Content-Length", std::to_string(body.size()));
        return http::writeResponse(status, headers) + body;
    }
    static std::string operation(api::StatusCode status, const std::string &metadata = "{}",
                                 const std::string &err = {})
    {
        api::Operation operation;
        operation.id = "op1";
        operation.setStatus(status);
        operation.err = err;
        operation.metadata = *api::Json::parse(metadata);
        return api::toJson(operation);
    }
    static std::string started(const std::string &metadata = "{}")
    {
        return reply(202,
                     api::asyncEnvelope(*api::fromJson<api::Operation>(operation(api::StatusCode::Running, metadata)),
                                        "/1.0/operations/op1"));
    }

private:
    Fd m_listener;
    std::thread m_accepting;
    std::vector<std::thread> m_threads;
    std::mutex m_mutex;
    std::vector<Seen> m_seen;
    std::atomic<bool> m_stop = false;
    std::atomic<bool> m_opened = false;
};

/// Sends frames, then what the client sends back until its end of stream (an empty text frame) or close.
std::string talk(const Fd &fd, const std::vector<std::pair<http::Opcode, std::string>> &frames)
{
    std::string got;
    bool ended = false;
    http::Framer framer(http::Role::Server, {[&](http::Opcode opcode, std::string_view piece, bool) {
                                                 got.append(piece);
                                                 ended = ended || (opcode == http::Opcode::Text && piece.empty());
                                             },
                                             [&](std::uint16_t, std::string_view) { ended = true; },
                                             {}});
    for (const auto &[opcode, payload] : frames)
        framer.send(opcode, payload);
    (void)sendAll(fd, framer.output());
    framer.output().clear();
    char buffer[65536];
    while (!ended) {
        const ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, 0);
        if (count <= 0 || !framer.feed(std::string_view(buffer, static_cast<std::size_t>(count))))
            break;
    }
    return got;
}

} // namespace

class TestClient : public QObject
{
    Q_OBJECT
private slots:
    void init()
    {
        m_folder = std::make_unique<QTemporaryDir>();
        Paths paths;
        paths.runDir = m_folder->path().toStdString();
        paths.stateDir = "/var/lib/lxmgr";
        m_daemon = std::make_unique<FakeDaemon>(paths.socket());
        m_client = std::make_unique<Client>(
            Client::Options{.paths = paths, .project = {}, .autostart = Client::Autostart::No});
    }
    void cleanup()
    {
        m_client.reset();
        m_daemon.reset();
        m_folder.reset();
    }

    void oneConnectionServesManyRequests()
    {
        m_daemon->answers["GET /1.0/profiles/default"] =
            FakeDaemon::reply(200, api::syncEnvelope(R"({"name":"default","config":{"limits.cpu":"2"}})"));
        for (int i = 0; i < 3; ++i) {
            const auto profile = m_client->get<api::Profile>(path("/1.0/profiles", {"default"}));
            VERIFY_OK(profile);
            QCOMPARE(profile->config.at("limits.cpu"), std::string("2"));
        }
        QCOMPARE(m_daemon->connections.load(), 1);
    }
    void aConnectionThatTheDaemonClosesIsReplaced()
    {
        m_daemon->answers["GET /1.0"] = FakeDaemon::reply(200, api::syncEnvelope("{}"), {{"Connection", "close"}});
        for (int i = 0; i < 2; ++i)
            VERIFY_OK(m_client->get<api::Server>("/1.0"));
        QCOMPARE(m_daemon->connections.load(), 2);
    }
    void answersMayBeChunked()
    {
        const std::string body = api::syncEnvelope(R"({"name":"p"})");
        m_daemon->answers["GET /1.0/profiles/p"] =
            http::writeResponse(200,
                                {
                                    {"Content-Type",      "application/json"},
                                    {"Transfer-Encoding", "chunked"         }
        }) +
            http::chunkStart(10) + body.substr(0, 10) + "\r\n" + http::chunkStart(body.size() - 10) + body.substr(10) +
            "\r\n0\r\n\r\n";
        const auto profile = m_client->get<api::Profile>("/1.0/profiles/p");
        VERIFY_OK(profile);
        QCOMPARE(profile->name, std::string("p"));
    }
    void errorsKeepTheirCode_data()
    {
        QTest::addColumn<int>("status");
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<int>("code");
        QTest::newRow("named") << 400 << QByteArray("wrong-state") << int(Code::WrongState);
        QTest::newRow("by status 404") << 404 << QByteArray() << int(Code::NotFound);
        QTest::newRow("by status 409") << 409 << QByteArray() << int(Code::AlreadyExists);
        QTest::newRow("by status 412") << 412 << QByteArray() << int(Code::Precondition);
        QTest::newRow("by status 500") << 500 << QByteArray() << int(Code::Internal);
    }
    void errorsKeepTheirCode()
    {
        QFETCH(int, status);
        QFETCH(QByteArray, name);
        QFETCH(int, code);
        std::string body = api::errorEnvelope(status, "the reason", name.toStdString());
        if (name.isEmpty()) // as other daemons say it
            body = R"({"type":"error","error":"the reason","error_code":)" + std::to_string(status) +
                   R"(,"metadata":null})";
        m_daemon->answers["GET /1.0/instances/x"] = FakeDaemon::reply(status, body);
        const auto instance = m_client->get<api::Instance>("/1.0/instances/x");
        VERIFY_FAILS(Code(code), instance);
        QCOMPARE(instance.error().message, std::string("the reason"));
    }
    void anAnswerThatIsNoneIsAnError()
    {
        m_daemon->answers["GET /1.0"] = FakeDaemon::reply(502, "<html>");
        VERIFY_FAILS(Code::Unavailable, m_client->get<api::Server>("/1.0"));
    }
    void operationsAreWaitedFor()
    {
        m_daemon->answers["PUT /1.0/instances/c/state"] = FakeDaemon::started();
        m_daemon->answers["GET /1.0/operations/op1/wait"] = FakeDaemon::reply(
            200, api::syncEnvelope(FakeDaemon::operation(api::StatusCode::Success, R"({"fingerprint":"abc"})")));
        const auto done = m_client->run("PUT", "/1.0/instances/c/state", R"({"action":"start"})");
        VERIFY_OK(done);
        QCOMPARE(done->metadata.text("fingerprint"), std::string("abc"));
        QCOMPARE(m_daemon->connections.load(), 1);
    }
    void aFailedOperationIsAnErrorWithItsCode()
    {
        m_daemon->answers["PUT /1.0/instances/c/state"] = FakeDaemon::started();
        m_daemon->answers["GET /1.0/operations/op1/wait"] =
            FakeDaemon::reply(200, api::syncEnvelope(FakeDaemon::operation(
                                       api::StatusCode::Failure, R"({"error_code":"no-space"})", "disk full")));
        const auto done = m_client->run("PUT", "/1.0/instances/c/state", "{}");
        VERIFY_FAILS(Code::NoSpace, done);
        QCOMPARE(done.error().message, std::string("disk full"));
    }
    void progressIsFollowedAndCancelled()
    {
        m_daemon->answers["POST /1.0/instances"] = FakeDaemon::started();
        m_daemon->answers["GET /1.0/operations/op1"] = FakeDaemon::reply(
            200, api::syncEnvelope(FakeDaemon::operation(api::StatusCode::Running, R"({"x_progress":"10%"})")));
        m_daemon->answers["DELETE /1.0/operations/op1"] = FakeDaemon::reply(200, api::syncEnvelope("{}"));
        m_daemon->answers["GET /1.0/operations/op1/wait"] =
            FakeDaemon::reply(200, api::syncEnvelope(FakeDaemon::operation(
                                       api::StatusCode::Cancelled, R"({"error_code":"cancelled"})", "cancelled")));
        m_daemon->heldUntil = {"GET /1.0/operations/op1/wait", "DELETE /1.0/operations/op1"};
        m_daemon->upgrades["GET /1.0/events?type=operation"] = [](const Fd &fd) {
            talk(fd, {
                         {http::Opcode::Text,
                          R"({"type":"operation","timestamp":"2026-11-23T07:00:00Z","metadata":)" +
                              FakeDaemon::operation(api::StatusCode::Running, R"({"x_progress":"50%"})") + "}"}
            });
        };
        int ends[2];
        QCOMPARE(::pipe2(ends, O_CLOEXEC), 0);
        const Fd readEnd(ends[0]);
        const Fd writeEnd(ends[1]);
        std::vector<std::string> texts;
        bool told = false;
        Watcher watcher;
        watcher.cancelFd = readEnd.get();
        watcher.cancelling = [&] { told = true; };
        watcher.update = [&](const api::Operation &operation) {
            texts.push_back(operation.metadata.text("x_progress"));
            if (texts.back() == "50%")
                QCOMPARE(::write(writeEnd.get(), "x", 1), ssize_t{1}); // as <ctrl>+c would
        };
        VERIFY_FAILS(Code::Cancelled, m_client->run("POST", "/1.0/instances", "{}", watcher));
        QCOMPARE(texts.back(), std::string("50%"));
        QVERIFY(told);
    }
    void withoutADaemonTheCauseAndTheCureAreNamed()
    {
        m_daemon.reset();
        QFile::remove(m_folder->filePath("unix.socket"));
        const auto server = m_client->get<api::Server>("/1.0");
        VERIFY_FAILS(Code::Unavailable, server);
        QVERIFY2(QByteArray::fromStdString(server.error().message).contains("lxmgrd is not running"),
                 server.error().message.c_str());
    }
    void bodiesAreStreamedBothWays()
    {
        m_daemon->answers["POST /1.0/instances/c/files?path=%2Fx"] = FakeDaemon::reply(200, api::syncEnvelope("{}"));
        Request request;
        request.method = "POST";
        request.target = m_client->target("/1.0/instances/c/files", {{"path", "/x"}});
        std::size_t left = 600000;
        request.source = [&](char *buffer, std::size_t size) -> Result<std::size_t> {
            const std::size_t count = std::min(size, left);
            std::fill_n(buffer, count, 'z');
            left -= count;
            return count;
        };
        VERIFY_OK(openEnvelope(*m_client->exchange(request)));
        QCOMPARE(m_daemon->seen().back().body.size(), std::size_t{600000});
        QVERIFY(m_daemon->seen().back().head.chunked);

        const std::string big(700000, 'q');
        m_daemon->answers["GET /1.0/instances/c/files?path=%2Fx"] =
            http::writeResponse(
                200,
                {
                    {"Content-Type",   "application/octet-stream"},
                    {"Content-Length", std::to_string(big.size())}
        }) +
            big;
        Request get;
        get.target = request.target;
        std::string got;
        get.sink = [&](const http::ResponseHead &) -> Sink {
            return [&](std::string_view piece) -> Status {
                got.append(piece);
                return {};
            };
        };
        const auto response = m_client->exchange(get);
        VERIFY_OK(response);
        QVERIFY(response->body.empty());
        QVERIFY(got == big);
    }
    void execCarriesThreeStreamsAndTheStatus()
    {
        m_daemon->answers["GET /1.0/operations/op1/wait"] = FakeDaemon::reply(
            200, api::syncEnvelope(FakeDaemon::operation(api::StatusCode::Success, R"({"return":7})")));
        std::string input;
        const std::string base = "GET /1.0/operations/op1/websocket?secret=";
        m_daemon->upgrades[base + "c"] = [](const Fd &fd) { talk(fd, {}); };
        m_daemon->upgrades[base + "s0"] = [&](const Fd &fd) { input = talk(fd, {}); };
        m_daemon->upgrades[base + "s1"] = [](const Fd &fd) {
            talk(fd, {
                         {http::Opcode::Binary, std::string(300000, 'o')},
                         {http::Opcode::Text,                    ""                    }
            });
        };
        m_daemon->upgrades[base + "s2"] = [](const Fd &fd) {
            talk(fd, {
                         {http::Opcode::Binary, "err"},
                         {http::Opcode::Text,   ""   }
            });
        };

        QTemporaryFile in;
        QTemporaryFile out;
        QTemporaryFile err;
        QVERIFY(in.open() && out.open() && err.open());
        in.write("typed");
        in.seek(0);
        in.flush();
        const StreamPlan plan{.operation = "/1.0/operations/op1",
                              .control = "c",
                              .streams = {{"s0", in.handle(), -1}, {"s1", -1, out.handle()}, {"s2", -1, err.handle()}},
                              .detach = {},
                              .signalFd = -1,
                              .onSignal = {}};
        const auto end = runStreams(*m_client, plan);
        VERIFY_OK(end);
        QCOMPARE(end->operation.metadata.integer("return"), std::int64_t{7});
        m_client.reset();
        m_daemon.reset(); // its threads are done with `input` then
        QCOMPARE(input, std::string("typed"));
        QVERIFY(QFile(out.fileName()).size() == 300000);
        QVERIFY(QFile(err.fileName()).size() == 3);
    }
    void detachKeysAreTakenOut()
    {
        DetachFilter filter{DetachKeys{}};
        QCOMPARE(filter.pass("ab\x01\x01" "c"), std::string("ab\x01" "c"));
        QCOMPARE(filter.pass("x\x01"), std::string("x"));
        QVERIFY(!filter.detached());
        QCOMPARE(filter.pass("qrest"), std::string());
        QVERIFY(filter.detached());
        DetachFilter other{DetachKeys{}};
        QCOMPARE(other.pass("\x01z"), std::string("\x01z"));
    }
    void pathsAndParametersAreEncoded()
    {
        QCOMPARE(path("/1.0/images/aliases", {"debian/13"}), std::string("/1.0/images/aliases/debian%2F13"));
        QCOMPARE(m_client->target("/1.0/x", {{"path", "/a b"}}), std::string("/1.0/x?path=%2Fa%20b"));
        Client other(Client::Options{.paths = {}, .project = "p1"});
        QCOMPARE(other.target("/1.0/instances"), std::string("/1.0/instances?project=p1"));
        QCOMPARE(other.target("/1.0/instances?recursion=1"), std::string("/1.0/instances?recursion=1&project=p1"));
        QCOMPARE(other.target("/1.0/operations/x/wait"), std::string("/1.0/operations/x/wait"));
    }

    /// A daemon that ended took its operations along.
    void whoWaitsStartsNoDaemon()
    {
        if (::geteuid() != 0)
            QSKIP("only root's client starts one");
        QTemporaryDir folder;
        Paths paths;
        paths.runDir = folder.path().toStdString() + "/run";
        paths.stateDir = folder.path().toStdString() + "/state";
        paths.daemon = "/nonexistent/lxmgrd";
        Client client(Client::Options{.paths = paths, .project = {}, .autostart = Client::Autostart::Yes});
        VERIFY_FAILS(Code::Unavailable, client.wait("/1.0/operations/x"));
        QVERIFY(!QDir(folder.path() + "/state").exists());
        QVERIFY(!client.get<api::Server>("/1.0"));
        QVERIFY(QDir(folder.path() + "/state/logs").exists()); // it has tried
    }

private:
    std::unique_ptr<QTemporaryDir> m_folder;
    std::unique_ptr<FakeDaemon> m_daemon;
    std::unique_ptr<Client> m_client;
};

QTEST_GUILESS_MAIN(TestClient)
#include "tst_client.moc"

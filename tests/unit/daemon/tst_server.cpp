// The server from the outside: a blocking client in a thread of its own against a real socket.
#include "api/operations.h"
#include "api/types.h"
#include "daemon/server.h"

#include "http/parser.h"
#include "support/verify.h"

#include <QTemporaryDir>
#include <QTimer>

#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <fstream>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

using namespace lxmgr;
using namespace lxmgr::daemon;

namespace
{
struct Reply {
    int status = 0;
    http::Headers headers;
    std::string body;
};

/// A blocking client on a connection of its own.
class Client
{
public:
    explicit Client(const std::string &path) : m_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        m_connected = ::connect(m_fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0;
        const timeval limit{20, 0};
        ::setsockopt(m_fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    bool connected() const { return m_connected; }
    int fd() const { return m_fd.get(); }
    void close() { m_fd.reset(); }

    void send(std::string_view bytes)
    {
        while (!bytes.empty()) {
            const ssize_t count = ::send(m_fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0)
                return;
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
    }

    /// The next answer; status 0 if the connection ended instead.
    Reply read(bool head = false)
    {
        Reply reply;
        bool done = false;
        http::ResponseParser parser({[&](http::ResponseHead got) -> Status {
                                         reply.status = got.status;
                                         reply.headers = got.headers;
                                         return {};
                                     },
                                     [&](std::string_view piece) -> Status {
                                         reply.body += piece;
                                         return {};
                                     },
                                     [&]() -> Status {
                                         done = true;
                                         return {};
                                     }});
        if (head)
            parser.expectNoBody();
        while (!done) {
            if (m_buffer.empty() && !fill())
                return done ? reply : Reply{};
            const Result<std::size_t> used = parser.feed(m_buffer);
            if (!used)
                return {};
            m_buffer.erase(0, *used);
        }
        return reply;
    }

    Reply ask(const std::string &method, const std::string &target, const std::string &body = {}, http::Headers headers = {})
    {
        if (!body.empty())
            headers.set("Content-Length", std::to_string(body.size()));
        send(http::writeRequest(method, target, headers) + body);
        return read(method == "HEAD");
    }

    bool fill()
    {
        char bytes[65536];
        const ssize_t count = ::recv(m_fd.get(), bytes, sizeof bytes, 0);
        if (count <= 0)
            return false;
        m_buffer.append(bytes, static_cast<std::size_t>(count));
        return true;
    }
    std::string &buffer() { return m_buffer; }

private:
    Fd m_fd;
    bool m_connected = false;
    std::string m_buffer;
};

/// The client's half of a websocket.
class SocketClient
{
public:
    SocketClient(const std::string &path, const std::string &target) : m_client(path)
    {
        const std::string key = http::newWebSocketKey();
        m_client.send(http::writeRequest("GET", target, http::webSocketRequestHeaders(key)));
        m_status = m_client.read().status;
    }
    int status() const { return m_status; }
    Client &client() { return m_client; }

    void send(http::Opcode opcode, std::string_view bytes)
    {
        m_framer.send(opcode, bytes);
        m_client.send(std::exchange(m_framer.output(), {}));
    }
    void close()
    {
        m_framer.close();
        m_client.send(std::exchange(m_framer.output(), {}));
    }
    /// Reads until `enough` says so or the peer closed.
    template <class F> void readUntil(F enough)
    {
        if (!std::exchange(m_client.buffer(), {}).empty())
            QFAIL("bytes were lost");
        while (!enough() && !m_framer.closeReceived()) {
            if (!m_client.fill())
                return;
            (void)m_framer.feed(std::exchange(m_client.buffer(), {})); // a broken frame shows in what was received
            m_client.send(std::exchange(m_framer.output(), {}));
        }
    }
    std::string binary;
    std::vector<std::string> texts;
    bool closed() const { return m_framer.closeReceived(); }

    void takeFirstBytes()
    {
        (void)m_framer.feed(std::exchange(m_client.buffer(), {})); // as above
        m_client.send(std::exchange(m_framer.output(), {}));
    }

private:
    Client m_client;
    int m_status = 0;
    std::string m_text;
    http::Framer m_framer{http::Role::Client,
                          {[this](http::Opcode opcode, std::string_view piece, bool last) {
                               if (opcode == http::Opcode::Binary) {
                                   binary += piece;
                               } else {
                                   m_text += piece;
                                   if (last)
                                       texts.push_back(std::exchange(m_text, {}));
                               }
                           },
                           {},
                           {}}};
};

std::string pattern(std::size_t size)
{
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>(i * 2654435761U >> 13);
    return text;
}

struct Pipe {
    Fd read, write;
    Pipe()
    {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) == 0) {
            read = Fd(ends[0]);
            write = Fd(ends[1]);
        }
    }
};
} // namespace

class tst_server : public QObject
{
    Q_OBJECT

    QTemporaryDir m_folder;
    std::unique_ptr<Server> m_server;
    Handler m_handler; ///< Of the current test.

    std::string path() const { return m_folder.filePath("unix.socket").toStdString(); }
    std::string spool() const { return m_folder.path().toStdString(); }

    ServerOptions options() const
    {
        ServerOptions options;
        options.socketPath = path();
        options.spoolDir = spool();
        options.uploadLimit = 8 << 20;
        return options;
    }

    /// Runs `client` in a thread of its own while this thread serves.
    template <class F> void serve(F client)
    {
        std::atomic<bool> done = false;
        std::thread thread([&] {
            client();
            done = true;
            m_server->runOnServerThread([] {}); // wakes the loop below
        });
        while (!done)
            QCoreApplication::processEvents(QEventLoop::WaitForMoreEvents);
        thread.join();
    }
    bool settles()
    {
        return QTest::qWaitFor([this] { return m_server->connectionCount() == 0; }, 5000);
    }

private slots:
    void init()
    {
        m_handler = [](Request, Responder responder) { responder.sync("[1]"); };
        m_server = std::make_unique<Server>(options(), [this](Request request, Responder responder) {
            m_handler(std::move(request), std::move(responder));
        });
        VERIFY_OK(m_server->listen());
    }
    void cleanup()
    {
        m_server.reset();
        QVERIFY(!QFile::exists(QString::fromStdString(path())));
    }

    void oneConnectionTakesManyRequests()
    {
        m_handler = [](Request request, Responder responder) {
            responder.sync(api::toJson(std::vector<std::string>{request.param("name"), request.project(),
                                                               std::to_string(request.recursion())}),
                           "\"tag\"");
        };
        serve([&] {
            Client client(path());
            const Reply first = client.ask("GET", "/1.0/instances/c1?recursion=1&project=p1");
            QCOMPARE(first.status, 200);
            QCOMPARE(first.body, std::string("{\"type\":\"sync\",\"status\":\"Success\",\"status_code\":200,\"operation\":\"\","
                                             "\"error_code\":0,\"error\":\"\",\"metadata\":[\"c1\",\"p1\",\"1\"]}"));
            QCOMPARE(std::string(first.headers.value("Content-Type")), std::string("application/json"));
            QCOMPARE(std::string(first.headers.value("Etag")), std::string("\"tag\""));
            for (int i = 0; i < 100; ++i)
                QCOMPARE(client.ask("GET", "/1.0").status, 200);
        });
        QVERIFY(settles());
    }

    void pipelinedRequestsAreAnsweredInOrder()
    {
        m_handler = [](Request request, Responder responder) { responder.sync("\"" + request.param("name") + "\""); };
        serve([&] {
            Client client(path());
            std::string all;
            for (int i = 0; i < 2000; ++i)
                all += http::writeRequest("GET", (i % 2 ? "/1.0/instances/c" : "/nowhere/c") + std::to_string(i), {});
            std::thread writer([&] { client.send(all); });
            for (int i = 0; i < 2000; ++i) {
                const Reply reply = client.read();
                QCOMPARE(reply.status, i % 2 ? 200 : 404);
                if (i % 2)
                    QVERIFY(reply.body.find("\"c" + std::to_string(i) + "\"") != std::string::npos);
            }
            writer.join();
        });
    }

    void connectionCloseIsKept()
    {
        serve([&] {
            Client client(path());
            const Reply reply = client.ask("GET", "/1.0", {}, {{"Connection", "close"}});
            QCOMPARE(reply.status, 200);
            QCOMPARE(std::string(reply.headers.value("Connection")), std::string("close"));
            QVERIFY(!client.fill());
        });
        QVERIFY(settles());
    }

    void mistakesAreToldWithAnEnvelope_data()
    {
        QTest::addColumn<QByteArray>("method");
        QTest::addColumn<QByteArray>("target");
        QTest::addColumn<int>("status");
        QTest::newRow("unknown path") << QByteArray("GET") << QByteArray("/1.0/nothing") << 404;
        QTest::newRow("unknown verb") << QByteArray("DELETE") << QByteArray("/1.0/instances") << 501;
        QTest::newRow("invented verb") << QByteArray("BREW") << QByteArray("/1.0") << 501;
        QTest::newRow("dots") << QByteArray("GET") << QByteArray("/1.0/../etc") << 400;
        QTest::newRow("slash in a name") << QByteArray("GET") << QByteArray("/1.0/instances/a%2Fb") << 404;
    }
    void mistakesAreToldWithAnEnvelope()
    {
        QFETCH(QByteArray, method);
        QFETCH(QByteArray, target);
        QFETCH(int, status);
        serve([&] {
            Client client(path());
            const Reply reply = client.ask(method.toStdString(), target.toStdString(), "{}");
            QCOMPARE(reply.status, status);
            const Result<api::Envelope> envelope = api::parseEnvelope(reply.body, reply.status);
            VERIFY_OK(envelope);
            QVERIFY(envelope->kind == api::Envelope::Kind::Error);
            QCOMPARE(std::string(reply.headers.value("X-Content-Type-Options")), std::string("nosniff"));
            QCOMPARE(client.ask("GET", "/1.0").status, 200); // the connection lives on
        });
    }

    void nonsenseIsRefusedAndTheConnectionEnds()
    {
        serve([&] {
            Client client(path());
            client.send("\x16\x03\x01 hello\r\n\r\nmore of the same");
            QCOMPARE(client.read().status, 400);
            QVERIFY(!client.fill());
        });
        QVERIFY(settles());
    }

    void errorsCarryTheirCode()
    {
        m_handler = [](Request, Responder responder) { responder.error(Error(Code::NotFound, "Instance not found")); };
        serve([&] {
            Client client(path());
            const Reply reply = client.ask("GET", "/1.0/instances/x");
            QCOMPARE(reply.status, 404);
            QCOMPARE(reply.body, std::string("{\"type\":\"error\",\"status\":\"\",\"status_code\":0,\"operation\":\"\",\"error_code\":404,"
                                             "\"error\":\"Instance not found\",\"metadata\":{\"code\":\"not-found\"}}"));
        });
    }

    void anOperationIsAcceptedWithItsPlace()
    {
        m_handler = [](Request, Responder responder) {
            api::Operation operation;
            operation.id = "0c1d";
            responder.async(operation, "p1");
        };
        serve([&] {
            Client client(path());
            const Reply reply = client.ask("POST", "/1.0/instances", "{}");
            QCOMPARE(reply.status, 202);
            QCOMPARE(std::string(reply.headers.value("Location")), std::string("/1.0/operations/0c1d?project=p1"));
            const Result<api::Envelope> envelope = api::parseEnvelope(reply.body);
            VERIFY_OK(envelope);
            QVERIFY(envelope->kind == api::Envelope::Kind::Async);
            VERIFY_OK(envelope->as<api::Operation>());
        });
    }

    void aForgottenAnswerIsAnError()
    {
        m_handler = [](Request, Responder) {};
        serve([&] { QCOMPARE(Client(path()).ask("GET", "/1.0").status, 500); });
    }

    void anExceptionIsAnError()
    {
        m_handler = [](Request, Responder) { throw std::runtime_error("oops"); };
        serve([&] { QCOMPARE(Client(path()).ask("GET", "/1.0").status, 500); });
    }

    void answersMayComeFromAnyThreadMuchLater()
    {
        std::vector<std::thread> threads;
        std::mutex mutex;
        m_handler = [&](Request request, Responder responder) {
            const std::lock_guard lock(mutex);
            threads.emplace_back([name = request.param("name"), responder] {
                std::this_thread::sleep_for(std::chrono::milliseconds(50));
                responder.sync("\"" + name + "\"");
                responder.sync("\"twice\"");
            });
        };
        serve([&] {
            std::vector<std::thread> clients;
            for (int i = 0; i < 20; ++i)
                clients.emplace_back([&, i] {
                    const Reply reply = Client(path()).ask("GET", "/1.0/instances/c" + std::to_string(i));
                    QVERIFY(reply.body.find("\"c" + std::to_string(i) + "\"") != std::string::npos);
                });
            for (std::thread &client : clients)
                client.join();
        });
        for (std::thread &thread : threads)
            thread.join();
    }

    void aWaitingHandlerLearnsThatTheClientLeft()
    {
        std::atomic<bool> told = false;
        std::optional<Responder> kept;
        m_handler = [&](Request, Responder responder) {
            kept = responder;
            responder.onGone([&] { told = true; });
        };
        serve([&] {
            Client client(path());
            client.send(http::writeRequest("GET", "/1.0/operations/x/wait", {}));
            while (m_server->connectionCount() == 0)
                std::this_thread::yield();
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        });
        QTRY_VERIFY(told);
        QVERIFY(kept->gone());
        kept->sync("{}"); // to nobody
        kept.reset();
        QVERIFY(settles());
    }

    void theEndOfTheServerFreesWaitingHandlers()
    {
        std::atomic<bool> waiting = false;
        m_handler = [&](Request, Responder responder) {
            waiting = true;
            while (!responder.gone())
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
        };
        std::optional<Client> client;
        serve([&] {
            client.emplace(path());
            client->send(http::writeRequest("GET", "/1.0/operations/x/wait", {}));
            while (!waiting)
                std::this_thread::yield();
        });
        m_server.reset();
        QVERIFY(!client->fill());
    }

    void smallBodiesAreHandedOverWhole_data()
    {
        QTest::addColumn<bool>("chunked");
        QTest::newRow("with a length") << false;
        QTest::newRow("in chunks") << true;
    }
    void smallBodiesAreHandedOverWhole()
    {
        QFETCH(bool, chunked);
        m_handler = [](Request request, Responder responder) {
            const Result<api::RenamePost> post = request.json<api::RenamePost>();
            post ? responder.sync(*post) : responder.error(post.error());
        };
        const std::string body = "{\"name\":\"" + std::string(900'000, 'x') + "\"}";
        serve([&] {
            Client client(path());
            if (chunked) {
                client.send(http::writeRequest("POST", "/1.0/profiles/p", {{"Transfer-Encoding", "chunked"}}));
                for (std::size_t at = 0; at < body.size(); at += 10'000)
                    client.send(http::chunkStart(std::min<std::size_t>(10'000, body.size() - at)) + body.substr(at, 10'000) + "\r\n");
                client.send(http::kLastChunk);
            } else {
                client.send(http::writeRequest("POST", "/1.0/profiles/p", {{"Content-Length", std::to_string(body.size())}}) + body);
            }
            const Reply reply = client.read();
            QCOMPARE(reply.status, 200);
            QVERIFY(reply.body.find(body) != std::string::npos);
            QCOMPARE(client.ask("POST", "/1.0/profiles/p", "{\"name\":1}").status, 400);
        });
    }

    void jsonBodiesHaveALimit()
    {
        serve([&] {
            Client client(path());
            QCOMPARE(client.ask("POST", "/1.0/profiles", std::string(3 << 20, ' ')).status, 413);
            QCOMPARE(client.ask("GET", "/1.0").status, 200);
        });
    }

    void aRefusedBodyIsNotWaitedFor()
    {
        serve([&] {
            Client client(path());
            client.send("POST /1.0/nothing HTTP/1.1\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n\r\n");
            QCOMPARE(client.read().status, 404);
            QVERIFY(!client.fill());
        });
    }

    void bigUploadsGoToAFile()
    {
        const std::string body = pattern(5'000'000);
        std::string got;
        m_handler = [&](Request request, Responder responder) {
            got.resize(request.bodySize);
            const bool whole = request.body.empty() && request.bodyFile &&
                               ::read(request.bodyFile.get(), got.data(), got.size()) == static_cast<ssize_t>(got.size());
            responder.sync(whole ? "true" : "false");
        };
        serve([&] {
            Client client(path());
            client.send("POST /1.0/images HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
            client.fill();
            QCOMPARE(client.buffer(), std::string("HTTP/1.1 100 Continue\r\n\r\n"));
            client.buffer().clear();
            for (std::size_t at = 0; at < body.size(); at += 100'000)
                client.send(http::chunkStart(100'000) + body.substr(at, 100'000) + "\r\n");
            client.send(http::kLastChunk);
            QVERIFY(client.read().body.ends_with("\"metadata\":true}"));
            QVERIFY(got == body);
            QCOMPARE(client.ask("POST", "/1.0/images", std::string(9 << 20, 'x')).status, 413); // uploadLimit is 8 MiB
        });
    }

    void anUploadCanGoStraightToItsPlace()
    {
        const std::string target = spool() + "/target";
        const std::string body = pattern(3'000'000);
        m_server->setUploadSink(api::RouteId::InstanceFilePost, [&](const Request &request) -> Result<Fd> {
            if (request.query.value("path") == "/forbidden")
                return Error(Code::Forbidden, "not there");
            if (request.query.value("path") == "/folder")
                return Fd();
            return Fd(::open(target.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600));
        });
        m_handler = [](Request request, Responder responder) { responder.sync(request.bodyFile ? "true" : "false"); };
        serve([&] {
            Client client(path());
            QVERIFY(client.ask("POST", "/1.0/instances/c1/files?path=/x", body).body.ends_with("\"metadata\":true}"));
            std::ifstream file(target, std::ios::binary);
            QVERIFY(std::string(std::istreambuf_iterator<char>(file), {}) == body);
            QCOMPARE(Client(path()).ask("POST", "/1.0/instances/c1/files?path=/forbidden", body).status, 403); // and closes
            QVERIFY(client.ask("POST", "/1.0/instances/c1/files?path=/folder", "abc").body.ends_with("\"metadata\":false}"));
            QVERIFY(client.ask("POST", "/1.0/instances/c1/files?path=/folder").body.ends_with("\"metadata\":false}"));
        });
    }

    void downloadsComeFromFilesPartByPart()
    {
        const std::string content = pattern(7'000'000);
        const std::string file = spool() + "/download";
        std::ofstream(file, std::ios::binary) << content;
        m_handler = [&](Request request, Responder responder) {
            if (request.id() == api::RouteId::InstanceLogGet)
                return responder.stream(200, {{"Content-Type", "application/octet-stream"}},
                                        Fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)));
            std::vector<BodyPart> parts;
            parts.emplace_back(std::string("<"));
            parts.emplace_back(FileRange{Fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)), 0, content.size()});
            parts.emplace_back(std::string("|"));
            parts.emplace_back(FileRange{Fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)), 10, 5});
            parts.emplace_back(std::string(">"));
            responder.raw(200, {{"Content-Type", "application/octet-stream"}}, std::move(parts));
        };
        serve([&] {
            Client client(path());
            for (int round = 0; round < 3; ++round) {
                const Reply reply = client.ask("GET", "/1.0/images/f/export");
                QVERIFY(reply.body == "<" + content + "|" + content.substr(10, 5) + ">");
                QVERIFY(client.ask("GET", "/1.0/instances/c1/logs/x").body == content);
            }
            const Reply head = client.ask("HEAD", "/1.0/images/f/export");
            QCOMPARE(std::string(head.headers.value("Content-Length")), std::to_string(content.size() + 8));
            QCOMPARE(client.ask("HEAD", "/1.0/images/f/export").status, 200);
        });
    }

    void descriptorsComeWithTheRequest()
    {
        Pipe pipe;
        m_handler = [](Request request, Responder responder) {
            const bool wrote = request.fds.size() == 1 && ::write(request.fds[0].get(), "hi", 2) == 2;
            responder.sync(wrote && ::fcntl(request.fds[0].get(), F_GETFD) == FD_CLOEXEC ? "true" : "false");
        };
        serve([&] {
            Client client(path());
            std::string text = http::writeRequest("POST", "/1.0/instances/c1/exec", {});
            iovec piece{text.data(), text.size()};
            alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
            msghdr message{};
            message.msg_iov = &piece;
            message.msg_iovlen = 1;
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            cmsghdr *part = CMSG_FIRSTHDR(&message);
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(sizeof(int));
            const int fd = pipe.write.get();
            std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
            QVERIFY(::sendmsg(client.fd(), &message, 0) > 0);
            QVERIFY(client.read().body.ends_with("\"metadata\":true}"));
            char got[2];
            QCOMPARE(::read(pipe.read.get(), got, 2), ssize_t(2));
        });
    }

    void secondServerOnTheSamePathIsRefused()
    {
        Server second(options(), [](Request, Responder) {});
        VERIFY_FAILS(Code::AlreadyExists, second.listen());
    }

    void aDeadSocketIsReplaced()
    {
        m_server.reset();
        {
            const Fd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            sockaddr_un address{};
            address.sun_family = AF_UNIX;
            path().copy(address.sun_path, sizeof address.sun_path - 1);
            QCOMPARE(::bind(dead.get(), reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
        }
        init();
        serve([&] { QCOMPARE(Client(path()).ask("GET", "/1.0").status, 200); });
        const QFile::Permissions permissions = QFile::permissions(QString::fromStdString(path()));
        QVERIFY(!(permissions & (QFile::ReadOther | QFile::WriteOther)));
        QVERIFY(permissions & QFile::WriteGroup);
    }

    void tooManyConnectionsAreTurnedAway()
    {
        m_server.reset();
        ServerOptions few = options();
        few.connections = 2;
        m_server = std::make_unique<Server>(few, [](Request, Responder responder) { responder.sync(); });
        VERIFY_OK(m_server->listen());
        serve([&] {
            Client first(path()), second(path());
            QCOMPARE(first.ask("GET", "/1.0").status, 200);
            QCOMPARE(second.ask("GET", "/1.0").status, 200);
            QCOMPARE(Client(path()).read().status, 503);
            first.close();
            while (m_server->connectionCount() > 1)
                std::this_thread::yield();
            QCOMPARE(Client(path()).ask("GET", "/1.0").status, 200);
        });
    }

    // --- websockets ---

    void websocketMessagesPassBothWays()
    {
        std::atomic<bool> closed = false;
        std::shared_ptr<WebSocket> kept;
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) {
                kept = socket;
                socket->onText = [weak = std::weak_ptr(socket)](std::string_view text) {
                    weak.lock()->sendText("you said " + std::string(text));
                };
                socket->onClose = [&] { closed = true; };
                socket->sendFrame(sharedTextFrame("welcome"));
            });
        };
        serve([&] {
            SocketClient socket(path(), "/1.0/events");
            QCOMPARE(socket.status(), 101);
            socket.takeFirstBytes();
            socket.send(http::Opcode::Text, "hello");
            socket.readUntil([&] { return socket.texts.size() == 2; });
            QCOMPARE(socket.texts, (std::vector<std::string>{"welcome", "you said hello"}));
            socket.close();
            socket.readUntil([] { return false; });
            QVERIFY(socket.closed());
        });
        QVERIFY(closed);
        QVERIFY(!kept->isOpen());
        kept->sendText("to nobody");
        QVERIFY(settles());
    }

    void aPlainRequestForAWebsocketIsRefused()
    {
        m_handler = [](Request, Responder responder) { responder.websocket([](std::shared_ptr<WebSocket>) {}); };
        serve([&] { QCOMPARE(Client(path()).ask("GET", "/1.0/events").status, 400); });
    }

    void aReaderThatDoesNotKeepUpIsClosed()
    {
        std::atomic<bool> closed = false;
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) {
                socket->onClose = [&] { closed = true; };
                const SharedFrame frame = sharedTextFrame(std::string(10'000, 'x'));
                for (int i = 0; i < 1000; ++i)
                    socket->sendFrame(frame);
            });
        };
        serve([&] {
            SocketClient socket(path(), "/1.0/events");
            while (!closed)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
        QVERIFY(settles());
    }

    void aPumpCarriesEverythingBothWays()
    {
        // What the client sends goes through one pipe to a thread that sends it back through another.
        Pipe in, out;
        std::atomic<int> ended = 0;
        const std::string content = pattern(20'000'000);
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) {
                PumpOptions options;
                options.source = std::move(out.read);
                options.sink = std::move(in.write);
                socket->pump(std::move(options), [&](PumpEnd how) { ended = how == PumpEnd::SourceEnded ? 1 : 2; });
            });
        };
        std::thread echo([&] {
            char bytes[70'000];
            for (ssize_t count; (count = ::read(in.read.get(), bytes, sizeof bytes)) > 0;)
                for (ssize_t at = 0; at < count;)
                    at += ::write(out.write.get(), bytes + at, static_cast<std::size_t>(count - at));
            out.write.reset();
        });
        serve([&] {
            SocketClient socket(path(), "/1.0/operations/x/websocket");
            socket.takeFirstBytes();
            // Writing and reading at once, or both sides' backpressure would end in a standstill.
            std::size_t at = 0;
            while (socket.binary.size() < content.size()) {
                if (at < content.size()) {
                    const std::size_t part = std::min<std::size_t>(50'000, content.size() - at);
                    socket.send(http::Opcode::Binary, std::string_view(content).substr(at, part));
                    at += part;
                    if (at == content.size())
                        socket.send(http::Opcode::Text, "");
                }
                const std::size_t wanted = at < content.size() ? (at > 100'000 ? at - 100'000 : 0) : content.size();
                socket.readUntil([&] { return socket.binary.size() >= wanted; });
                if (socket.closed())
                    break;
            }
            QVERIFY(socket.binary == content);
            socket.readUntil([] { return false; });
            QCOMPARE(socket.texts, (std::vector<std::string>{""})); // end of stream
            QVERIFY(socket.closed());
        });
        echo.join();
        QTRY_COMPARE(ended.load(), 1);
        QVERIFY(settles());
    }

    void dataThatComesBeforeThePumpIsKept()
    {
        Pipe in;
        std::shared_ptr<WebSocket> kept;
        std::atomic<bool> ended = false;
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) { kept = socket; });
        };
        serve([&] {
            SocketClient socket(path(), "/1.0/operations/x/websocket");
            socket.send(http::Opcode::Binary, "early ");
            socket.send(http::Opcode::Binary, "bird");
            socket.send(http::Opcode::Text, "");
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            PumpOptions options;
            options.sink = std::move(in.write);
            kept->pump(std::move(options), [&](PumpEnd how) { ended = how == PumpEnd::SinkEnded; });
            char bytes[100];
            std::string got;
            for (ssize_t count; (count = ::read(in.read.get(), bytes, sizeof bytes)) > 0;)
                got.append(bytes, static_cast<std::size_t>(count));
            QCOMPARE(got, std::string("early bird"));
        });
        QTRY_VERIFY(ended);
        kept.reset();
        QVERIFY(settles());
    }

    void aSlowClientStopsTheSource()
    {
        Pipe out;
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) {
                PumpOptions options;
                options.source = std::move(out.read);
                socket->pump(std::move(options), [](PumpEnd) {});
            });
        };
        serve([&] {
            SocketClient socket(path(), "/1.0/operations/x/websocket");
            ::fcntl(out.write.get(), F_SETFL, O_NONBLOCK);
            std::size_t written = 0;
            int idle = 0;
            const std::string block = pattern(65536);
            while (idle < 100) { // until 100 ms long nothing more went in
                const ssize_t count = ::write(out.write.get(), block.data(), block.size());
                if (count > 0)
                    written += static_cast<std::size_t>(count);
                idle = count > 0 ? 0 : idle + 1;
                if (count <= 0)
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            QVERIFY2(written < 2'000'000, qPrintable(QString::number(written)));
            out.write.reset();
            socket.takeFirstBytes();
            socket.readUntil([] { return false; });
            QCOMPARE(socket.binary.size(), written);
        });
        QVERIFY(settles());
    }

    void drainingEndsAPumpWhoseSourceStaysOpen()
    {
        Pipe out; // its write end stays open, as a background process of the command would keep it
        QCOMPARE(::fcntl(out.write.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
        const std::string content = pattern(700'000);
        std::atomic<bool> ended = false;
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) {
                PumpOptions options;
                options.source = std::move(out.read);
                socket->pump(std::move(options), [&](PumpEnd how) { ended = how == PumpEnd::SourceEnded; });
                socket->drainPump();
            });
        };
        QCOMPARE(::write(out.write.get(), content.data(), content.size()), ssize_t(content.size()));
        serve([&] {
            SocketClient socket(path(), "/1.0/operations/x/websocket");
            socket.takeFirstBytes();
            socket.readUntil([] { return false; });
            QVERIFY(socket.binary == content);
            QCOMPARE(socket.texts, (std::vector<std::string>{""}));
        });
        QVERIFY(ended);
        QVERIFY(settles());
    }

    void drainingGoesOnWhenASlowClientReadsAgain_data()
    {
        // In one of them the connection fills up with the last of the source.
        QTest::addColumn<int>("pieces");
        for (int pieces = 1; pieces <= 15; ++pieces)
            QTest::addRow("%d KiB", pieces * 64) << pieces;
    }
    void drainingGoesOnWhenASlowClientReadsAgain()
    {
        QFETCH(int, pieces);
        Pipe out;
        QCOMPARE(::fcntl(out.write.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
        const std::string content = pattern(static_cast<std::size_t>(pieces) * 65536);
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) {
                PumpOptions options;
                options.source = std::move(out.read);
                socket->pump(std::move(options), [](PumpEnd) {});
                socket->drainPump();
            });
        };
        QCOMPARE(::write(out.write.get(), content.data(), content.size()), ssize_t(content.size()));
        serve([&] {
            SocketClient socket(path(), "/1.0/operations/x/websocket");
            int before = -1, left = 0;
            for (int same = 0; same < 20; ++same) { // until 20 ms long nothing more was taken
                ::ioctl(out.write.get(), FIONREAD, &left);
                if (std::exchange(before, left) != left)
                    same = 0;
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            socket.takeFirstBytes();
            socket.readUntil([] { return false; });
            QVERIFY(socket.closed());
            QVERIFY(socket.binary == content);
        });
        QVERIFY(settles());
    }

    void aClientThatVanishesEndsThePump()
    {
        Pipe out;
        std::atomic<bool> gone = false;
        m_handler = [&](Request, Responder responder) {
            responder.websocket([&](std::shared_ptr<WebSocket> socket) {
                PumpOptions options;
                options.source = std::move(out.read);
                socket->pump(std::move(options), [&](PumpEnd how) { gone = how == PumpEnd::ClientGone; });
            });
        };
        serve([&] { SocketClient socket(path(), "/1.0/operations/x/websocket"); });
        QTRY_VERIFY(gone);
        QVERIFY(settles());
    }

    // --- cost ---

    void aRoundTripIsQuick()
    {
        serve([&] {
            Client client(path());
            client.ask("GET", "/1.0");
            std::vector<double> times;
            for (int i = 0; i < 500; ++i) {
                const auto start = std::chrono::steady_clock::now();
                client.ask("GET", "/1.0");
                times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
            }
            std::ranges::sort(times);
            qInfo("GET round trip: best %.0f us, median %.0f us", times.front(), times[times.size() / 2]);
        });
    }

    void nobodyConnectedMeansNoWork()
    {
        serve([&] { Client(path()).ask("GET", "/1.0"); });
        QVERIFY(settles());
        QCoreApplication::processEvents();
        QTimer stop; // the only thing that may wake the loop
        stop.setSingleShot(true);
        stop.start(300);
        int turns = 0;
        for (; stop.isActive(); ++turns)
            QCoreApplication::processEvents(QEventLoop::WaitForMoreEvents);
        QVERIFY2(turns < 5, qPrintable(QString::number(turns)));
    }
};

QTEST_GUILESS_MAIN(tst_server)
#include "tst_server.moc"

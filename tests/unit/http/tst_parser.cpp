#include "http/parser.h"

#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::http;

namespace
{
/// Collects what a parser says.
struct Log {
    std::vector<RequestHead> heads;
    std::string body;
    int ended = 0;
    RequestParser parser{{[this](RequestHead head) -> Status {
                              heads.push_back(std::move(head));
                              return {};
                          },
                          [this](std::string_view piece) -> Status {
                              body += piece;
                              return {};
                          },
                          [this]() -> Status {
                              ++ended;
                              return {};
                          }}};

    /// Feeds all of it, message after message, `step` bytes at a time.
    Status feed(std::string_view bytes, std::size_t step)
    {
        while (!bytes.empty()) {
            std::string_view part = bytes.substr(0, step);
            bytes.remove_prefix(part.size());
            while (!part.empty())
                part.remove_prefix(TRY(parser.feed(part)));
        }
        return {};
    }
};

constexpr std::string_view kChunked = "POST /1.0/images HTTP/1.1\r\nHost: unix.socket\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\nTrailer: x\r\n\r\n";
constexpr std::string_view kPlain = "PUT /1.0 HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
} // namespace

class tst_parser : public QObject
{
    Q_OBJECT

private slots:
    void anySplitGivesTheSameMessages_data()
    {
        QTest::addColumn<int>("step");
        for (const int step : {1, 2, 3, 7, 50, 100000})
            QTest::addRow("%d bytes at a time", step) << step;
    }
    void anySplitGivesTheSameMessages()
    {
        QFETCH(int, step);
        Log log;
        VERIFY_OK(log.feed(std::string(kChunked) + std::string(kPlain) + "GET / HTTP/1.0\r\n\r\n", static_cast<std::size_t>(step)));
        QCOMPARE(log.ended, 3);
        QCOMPARE(log.body, std::string("hello, worldabc"));
        QCOMPARE(log.heads[0].method, std::string("POST"));
        QVERIFY(log.heads[0].chunked);
        QVERIFY(log.heads[0].keepAlive);
        QCOMPARE(log.heads[1].contentLength.value_or(0), std::uint64_t(3));
        QVERIFY(!log.heads[1].keepAlive);
        QVERIFY(!log.heads[2].keepAlive); // HTTP/1.0
        QVERIFY(log.parser.idle());
    }

    void ambiguousMessagesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::newRow("both lengths") << QByteArray("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
        QTest::newRow("both lengths, swapped") << QByteArray("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n");
        QTest::newRow("two lengths") << QByteArray("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n");
        QTest::newRow("list of lengths") << QByteArray("POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n");
        QTest::newRow("negative length") << QByteArray("POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n");
        QTest::newRow("length too big") << QByteArray("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n");
        QTest::newRow("folded field") << QByteArray("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n");
        QTest::newRow("other coding") << QByteArray("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
        QTest::newRow("chunks in 1.0") << QByteArray("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        QTest::newRow("space before colon") << QByteArray("GET / HTTP/1.1\r\nHost : x\r\n\r\n");
        QTest::newRow("NUL") << QByteArray("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 27);
        QTest::newRow("HTTP/2") << QByteArray("GET / HTTP/2.0\r\n\r\n");
        QTest::newRow("no request") << QByteArray("\x16\x03\x01\x02\r\n\r\n");
        QTest::newRow("bad chunk size") << QByteArray("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
        QTest::newRow("chunk size overflow") << QByteArray("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n");
        QTest::newRow("long target") << "GET /" + QByteArray(20000, 'a') + " HTTP/1.1\r\n\r\n";
        QTest::newRow("long head") << "GET / HTTP/1.1\r\nA: " + QByteArray(70000, 'a');
        QTest::newRow("many fields") << "GET / HTTP/1.1\r\n" + QByteArray("A: b\r\n").repeated(101) + "\r\n";
        QTest::newRow("long chunk line") << "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;" + QByteArray(20000, 'a');
    }
    void ambiguousMessagesAreRefused()
    {
        QFETCH(QByteArray, text);
        Log log;
        VERIFY_FAILS(Code::Invalid, log.feed(std::string_view(text.constData(), static_cast<std::size_t>(text.size())), 1000));
    }

    void aLastChunkMayComeInPieces()
    {
        Log log;
        VERIFY_OK(log.feed("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1));
        QCOMPARE(log.ended, 1);
        QCOMPARE(log.body, std::string());
    }

    void upgradeLeavesTheRestAlone()
    {
        Log log;
        const std::string head = "GET /1.0/events HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
        const Result<std::size_t> used = log.parser.feed(head + "\x81\x00");
        VERIFY_OK(used);
        QCOMPARE(*used, head.size());
        QCOMPARE(log.heads.at(0).upgrade, std::string("websocket"));
    }

    void anErrorOfTheOwnerComesOut()
    {
        RequestParser parser({{}, [](std::string_view) { return Status(Error(Code::NoSpace, "full")); }, {}});
        VERIFY_FAILS(Code::NoSpace, parser.feed(kPlain));
    }

    void responsesOfEveryLengthAreRead()
    {
        std::vector<int> statuses;
        std::string body;
        ResponseParser parser({[&](ResponseHead head) -> Status {
                                   statuses.push_back(head.status);
                                   return {};
                               },
                               [&](std::string_view piece) -> Status {
                                   body += piece;
                                   return {};
                               },
                               {}});
        std::string_view bytes = "HTTP/1.1 100 Continue\r\n\r\n"
                                 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
                                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\n\r\n"
                                 "HTTP/1.1 200 OK\r\n\r\nto the end";
        while (!bytes.empty()) {
            const Result<std::size_t> used = parser.feed(bytes);
            VERIFY_OK(used);
            bytes.remove_prefix(*used);
        }
        VERIFY_OK(parser.finish());
        QCOMPARE(statuses, (std::vector<int>{200, 200, 200}));
        QCOMPARE(body, std::string("abcdto the end"));
    }

    void anAnswerToHeadHasNoBody()
    {
        ResponseParser parser({});
        parser.expectNoBody();
        const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
        const Result<std::size_t> used = parser.feed(head);
        VERIFY_OK(used);
        QCOMPARE(*used, head.size());
        QVERIFY(parser.idle());
    }

    void anAnswerCutShortIsAnError()
    {
        ResponseParser parser({});
        VERIFY_OK(parser.feed("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc"));
        VERIFY_FAILS(Code::Unavailable, parser.finish());
    }

    void lineBreaksCannotBeSmuggledIntoAHead()
    {
        const std::string text = writeResponse(200, {{"Location", "/a\r\nEvil: 1"}, {"Good", "2"}});
        QCOMPARE(text, std::string("HTTP/1.1 200 OK\r\nGood: 2\r\n\r\n"));
    }
};

QTEST_GUILESS_MAIN(tst_parser)
#include "tst_parser.moc"

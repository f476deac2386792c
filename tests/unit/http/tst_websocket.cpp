#include "http/websocket.h"

#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::http;

namespace
{
struct Message {
    Opcode opcode;
    std::string bytes;
    bool operator==(const Message &) const = default;
};

/// One end that collects whole messages.
struct End {
    std::vector<Message> messages;
    std::string current;
    int closes = 0;
    std::uint16_t closeCode = 0;
    std::string closeReason;
    Framer framer;

    explicit End(Role role)
        : framer(role, {[this](Opcode opcode, std::string_view piece, bool last) {
                            current += piece;
                            if (last)
                                messages.push_back({opcode, std::exchange(current, {})});
                        },
                        [this](std::uint16_t code, std::string_view reason) {
                            ++closes;
                            closeCode = code;
                            closeReason = reason;
                        },
                        {}})
    {
    }
};

Status carry(End &from, End &to, std::size_t step)
{
    const std::string bytes = std::exchange(from.framer.output(), {});
    for (std::size_t at = 0; at < bytes.size(); at += step)
        TRY(to.framer.feed(std::string_view(bytes).substr(at, step)));
    return {};
}
} // namespace

class tst_websocket : public QObject
{
    Q_OBJECT

private slots:
    void messagesPassBothWaysInAnyPieces_data()
    {
        QTest::addColumn<int>("step");
        for (const int step : {1, 3, 1000, 1000000})
            QTest::addRow("%d bytes at a time", step) << step;
    }
    void messagesPassBothWaysInAnyPieces()
    {
        QFETCH(int, step);
        End server(Role::Server), client(Role::Client);
        const std::vector<Message> messages = {{Opcode::Text, "hello"},
                                               {Opcode::Text, ""}, // end of a stream
                                               {Opcode::Binary, std::string(125, 'a')},
                                               {Opcode::Binary, std::string(126, 'b')},
                                               {Opcode::Binary, std::string(65535, 'c')},
                                               {Opcode::Binary, std::string(65536, 'd')},
                                               {Opcode::Binary, ""}};
        for (const Message &message : messages) {
            server.framer.send(message.opcode, message.bytes);
            client.framer.send(message.opcode, message.bytes);
        }
        const auto size = static_cast<std::size_t>(step);
        VERIFY_OK(carry(server, client, size));
        VERIFY_OK(carry(client, server, size));
        QVERIFY(client.messages == messages);
        QVERIFY(server.messages == messages);
    }

    void fragmentsMakeOneMessageEvenWhenTheLastIsEmpty()
    {
        End client(Role::Client);
        VERIFY_OK(client.framer.feed(std::string_view("\x02\x02" "ab" "\x00\x02" "cd" "\x89\x00" "\x80\x00", 12)));
        QCOMPARE(client.messages.size(), std::size_t(1));
        QCOMPARE(client.messages[0].bytes, std::string("abcd"));
    }

    void pingsAreAnswered()
    {
        End server(Role::Server), client(Role::Client);
        server.framer.send(Opcode::Ping, "keepalive");
        VERIFY_OK(carry(server, client, 1000));
        QVERIFY(!client.framer.output().empty());
        VERIFY_OK(carry(client, server, 1000));
        QVERIFY(server.messages.empty());
    }

    void closingIsAnsweredAndEndsBothSides()
    {
        End server(Role::Server), client(Role::Client);
        client.framer.close(1000, "bye");
        client.framer.send(Opcode::Text, "too late");
        VERIFY_OK(carry(client, server, 1000));
        QCOMPARE(server.closes, 1);
        QCOMPARE(server.closeCode, std::uint16_t(1000));
        QCOMPARE(server.closeReason, std::string("bye"));
        QVERIFY(server.messages.empty());
        VERIFY_OK(carry(server, client, 1000));
        QVERIFY(client.framer.closeReceived() && client.framer.closeSent());
        QVERIFY(server.framer.closeReceived() && server.framer.closeSent());
    }

    void brokenFramesAreErrors_data()
    {
        QTest::addColumn<QByteArray>("bytes");
        QTest::newRow("unmasked from a client") << QByteArray("\x81\x01x", 3);
        QTest::newRow("reserved bit") << QByteArray("\xc1\x80\0\0\0\0", 6);
        QTest::newRow("unknown opcode") << QByteArray("\x83\x80\0\0\0\0", 6);
        QTest::newRow("long control frame") << QByteArray("\x89\xfe\x00\x80\0\0\0\0", 8);
        QTest::newRow("continuation of nothing") << QByteArray("\x80\x80\0\0\0\0", 6);
        QTest::newRow("text that is not UTF-8") << QByteArray("\x81\x81\0\0\0\0\xff", 7);
    }
    void brokenFramesAreErrors()
    {
        QFETCH(QByteArray, bytes);
        End server(Role::Server);
        const Status status = server.framer.feed(std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
        VERIFY_FAILS(Code::Invalid, status);
        QVERIFY(server.framer.closeSent());
    }

    void handshakeAgrees()
    {
        // RFC 6455 §1.3
        RequestHead request;
        request.method = "GET";
        request.upgrade = "websocket";
        request.headers = webSocketRequestHeaders("dGhlIHNhbXBsZSBub25jZQ==");
        const Result<Headers> answer = webSocketAnswer(request);
        VERIFY_OK(answer);
        QCOMPARE(std::string(answer->value("Sec-WebSocket-Accept")), std::string("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        ResponseHead response;
        response.status = 101;
        response.headers = *answer;
        VERIFY_OK(checkWebSocketAnswer(response, "dGhlIHNhbXBsZSBub25jZQ=="));
        VERIFY_FAILS(Code::Invalid, checkWebSocketAnswer(response, newWebSocketKey()));
        request.upgrade.clear();
        VERIFY_FAILS(Code::Invalid, webSocketAnswer(request));
    }
};

QTEST_GUILESS_MAIN(tst_websocket)
#include "tst_websocket.moc"

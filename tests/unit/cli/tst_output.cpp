// Lists as cli.md's section on formats has them, byte for byte; and YAML both ways.
#include "cli/output.h"
#include "client/multipart.h"

#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/terminal.h"
#include "cli/yaml.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::cli;

namespace
{

Table sample()
{
    return {{"NAME", "STATE", "IPV4", "TYPE"},
            {{"web1", "RUNNING", "10.0.3.12 (eth0)\n10.9.0.1 (wg0)", "CONTAINER"}, {"t", "STOPPED", "", "CONTAINER"}}};
}

QByteArray rendered(const char *format)
{
    const auto choice = parseFormat(format);
    return choice ? QByteArray::fromStdString(render(sample(), *choice)) : QByteArray();
}

} // namespace

class TestOutput : public QObject
{
    Q_OBJECT
private slots:
    void tableHasBoxes()
    {
        QCOMPARE(rendered("table"), QByteArray("+------+---------+------------------+-----------+\n"
                                               "| NAME |  STATE  |       IPV4       |   TYPE    |\n"
                                               "+------+---------+------------------+-----------+\n"
                                               "| web1 | RUNNING | 10.0.3.12 (eth0) | CONTAINER |\n"
                                               "|      |         | 10.9.0.1 (wg0)   |           |\n"
                                               "+------+---------+------------------+-----------+\n"
                                               "| t    | STOPPED |                  | CONTAINER |\n"
                                               "+------+---------+------------------+-----------+\n"));
    }
    void compactHasNone()
    {
        QCOMPARE(rendered("compact"), QByteArray("  NAME   STATE         IPV4          TYPE     \n"
                                                 "  web1  RUNNING  10.0.3.12 (eth0)  CONTAINER  \n"
                                                 "                 10.9.0.1 (wg0)               \n"
                                                 "  t     STOPPED                    CONTAINER  \n"));
    }
    void csvHasNoHeaderUnlessAsked()
    {
        QCOMPARE(rendered("csv"),
                 QByteArray("web1,RUNNING,\"10.0.3.12 (eth0)\n10.9.0.1 (wg0)\",CONTAINER\nt,STOPPED,,CONTAINER\n"));
        QVERIFY(rendered("csv,header").startsWith("NAME,STATE,IPV4,TYPE\nweb1,"));
        QVERIFY(rendered("table,noheader").startsWith("+---"));
        QVERIFY(!rendered("table,noheader").contains("NAME"));
    }
    void csvQuotesAsRfc4180()
    {
        const Table table{{"A"}, {{"say \"hi\", twice"}}};
        QCOMPARE(QByteArray::fromStdString(render(table, {Format::Csv, false})),
                 QByteArray("\"say \"\"hi\"\", twice\"\n"));
    }
    void unknownFormatsAreRefused()
    {
        for (const char *bad : {"", "xml", "csv,headers", "table,header,x"})
            VERIFY_FAILS(Code::Usage, parseFormat(bad));
    }
    void aGuestCannotSteerTheTerminal()
    {
        const Table table{{"A"}, {{"\x1b[2Jgone"}}};
        for (const Format format : {Format::Table, Format::Compact, Format::Csv})
            QVERIFY(render(table, {format, false}).find('\x1b') == std::string::npos);
    }
    void wideCharactersKeepTheBoxesStraight()
    {
        const Table table{{"NAME"}, {{"日本"}, {"é"}}};
        QCOMPARE(QString::fromStdString(render(table, {Format::Table, true})),
                 QString::fromUtf8("+------+\n| NAME |\n+------+\n| 日本 |\n+------+\n| é    |\n+------+\n"));
    }
    void namesSortByTheirNumbers()
    {
        QVERIFY(naturalLess("c2", "c10"));
        QVERIFY(!naturalLess("c10", "c2"));
        QVERIFY(naturalLess("c", "c1"));
        QVERIFY(naturalLess("a9b2", "a9b10"));
        QVERIFY(!naturalLess("c2", "c2"));
    }
    void listColumnsAreThoseUsersKnow()
    {
        const auto letters = [](const ColumnSet &set) {
            std::string all;
            for (const ColumnInfo &column : set.columns)
                all.push_back(column.letter);
            return all;
        };
        QCOMPARE(letters(instanceColumns()), std::string("46abcdDefFlLmMnNpPsStu"));
        QCOMPARE(letters(imageColumns()), std::string("lLfFpdatsu"));
        for (const ColumnSet &set : columnSets()) {
            for (const char letter : set.standard)
                QVERIFY2(letters(set).find(letter) != std::string::npos, std::string(set.command).c_str());
            for (const ColumnInfo &column : set.columns)
                QVERIFY2(!column.title.empty() && column.meaning.ends_with('.'), std::string(set.command).c_str());
        }
    }
    void yamlQuotesWhatItWouldMisread()
    {
        api::Json config = api::Json::object();
        config["limits.cpu"] = "2";
        config["boot.autostart"] = "true";
        config["user.empty"] = "";
        config["user.colon"] = "a: b";
        config["user.text"] = "first\nsecond\n";
        api::Json object = api::Json::object();
        object["config"] = config;
        object["devices"] = api::Json::object();
        object["ephemeral"] = false;
        object["profiles"] = api::Json::Array{"default"};
        const std::string yaml = toYaml(object);
        QCOMPARE(QByteArray::fromStdString(yaml), QByteArray("config:\n"
                                                             "  limits.cpu: \"2\"\n"
                                                             "  boot.autostart: \"true\"\n"
                                                             "  user.empty: \"\"\n"
                                                             "  user.colon: \"a: b\"\n"
                                                             "  user.text: |\n    first\n    second\n"
                                                             "devices: {}\n"
                                                             "ephemeral: false\n"
                                                             "profiles:\n  - default\n"));
        const auto again = fromYaml(yaml, "test");
        VERIFY_OK(again);
        QVERIFY(*again == object);
    }
    void configurationIsTextWhateverItLooksLike()
    {
        const auto document = fromYaml("config:\n  limits.cpu: 2\n  boot.autostart: true\nephemeral: true\n", "test");
        VERIFY_OK(document);
        QCOMPARE(document->find("config")->text("limits.cpu"), std::string("2"));
        QCOMPARE(document->find("config")->text("boot.autostart"), std::string("true"));
        QVERIFY(*document->find("ephemeral") == api::Json(true));
    }
    void brokenYamlSaysWhere_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("where");
        QTest::newRow("tab") << QByteArray("config:\n\tlimits.cpu: 2\n") << QByteArray("web.yaml:2:");
        QTest::newRow("bracket") << QByteArray("profiles: [a, b\nconfig: {}\n") << QByteArray("web.yaml:");
        QTest::newRow("twice") << QByteArray("config: {}\nconfig: {}\n")
                               << QByteArray("web.yaml:2:1: the key 'config' is there twice");
    }
    void brokenYamlSaysWhere()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, where);
        const auto document = fromYaml(text.toStdString(), "web.yaml");
        VERIFY_FAILS(Code::Invalid, document);
        QVERIFY2(QByteArray::fromStdString(document.error().message).startsWith(where),
                 document.error().message.c_str());
    }
    void keysAndValues()
    {
        const auto pairs = keyValues(std::vector<std::string>{"a=1", "b=x=y", "c="});
        VERIFY_OK(pairs);
        QCOMPARE((*pairs)[1].value, std::string("x=y"));
        QCOMPARE((*pairs)[2].value, std::string());
        const auto old = keyValues(std::vector<std::string>{"limits.cpu", "2"});
        VERIFY_OK(old);
        QCOMPARE((*old)[0].key, std::string("limits.cpu"));
        VERIFY_FAILS(Code::Usage, keyValues(std::vector<std::string>{"a"}));
        VERIFY_FAILS(Code::Usage, keyValue("=x"));
    }
    void formsArriveWhole_data()
    {
        QTest::addColumn<int>("piece");
        for (const int piece : {1, 7, 64, 100000})
            QTest::addRow("pieces of %d", piece) << piece;
    }
    void formsArriveWhole()
    {
        QFETCH(int, piece);
        const std::string bodies[] = {std::string(5000, 'm') + "\r\n--", std::string(70000, 'r')};
        std::vector<client::FormPart> parts;
        for (int i = 0; i < 2; ++i)
            parts.push_back({i == 0 ? "metadata" : "rootfs", "file",
                             [text = bodies[i]](char *buffer, std::size_t size) mutable -> Result<std::size_t> {
                                 const std::size_t count = text.copy(buffer, size);
                                 text.erase(0, count);
                                 return count;
                             },
                             bodies[i].size()});
        client::Form form = client::makeForm(std::move(parts));
        std::map<std::string, std::string> got;
        client::FormReader reader(form.contentType, [&](const std::string &name, const std::string &) -> Result<client::Sink> {
            return client::Sink([&got, name](std::string_view bytes) -> Status {
                got[name].append(bytes);
                return {};
            });
        });
        std::string buffer(static_cast<std::size_t>(piece), '\0');
        std::uint64_t total = 0;
        for (;;) {
            const auto count = form.source(buffer.data(), buffer.size());
            VERIFY_OK(count);
            if (*count == 0)
                break;
            total += *count;
            VERIFY_OK(reader.feed(std::string_view(buffer).substr(0, *count)));
        }
        VERIFY_OK(reader.finish());
        QCOMPARE(total, form.size);
        QVERIFY(got["metadata"] == bodies[0]);
        QVERIFY(got["rootfs"] == bodies[1]);
    }
    void formsGoOnWhereverTheyWereCut()
    {
        const std::string type = "multipart/form-data; boundary=b", metadata = "one\r\n-", rootfs = "two\r\n--c\r\n";
        const auto part = [](const std::string &name, const std::string &content) {
            return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + content + "\r\n";
        };
        const std::string whole = part("metadata", metadata) + part("rootfs", rootfs) + "--b--\r\n";
        for (std::size_t cut = 0; cut < whole.size(); ++cut) {
            std::vector<std::string> got;
            std::vector<std::uint64_t> starts;
            const client::Sink sink = [&](std::string_view bytes) -> Status {
                got.back().append(bytes);
                return {};
            };
            std::optional<client::FormReader> reader;
            const auto open = [&](const std::string &, const std::string &) -> Result<client::Sink> {
                got.emplace_back();
                starts.push_back(reader->position());
                return sink;
            };
            reader.emplace(type, open);
            VERIFY_OK(reader->feed(whole.substr(0, cut)));
            const std::size_t from = got.empty() ? 0 : starts.back() + got.back().size();
            QVERIFY(from <= cut);
            if (got.empty())
                reader.emplace(type, open);
            else
                reader.emplace(type, open, sink, from);
            VERIFY_OK(reader->feed(whole.substr(from)));
            VERIFY_OK(reader->finish());
            QCOMPARE(got.size(), std::size_t{2});
            QVERIFY(got[0] == metadata && got[1] == rootfs);
            QCOMPARE(starts[0], whole.find(metadata));
            QCOMPARE(starts[1], whole.find(rootfs));
        }
    }
    void textIsClippedByColumns()
    {
        QCOMPARE(displayWidth("日本"), std::size_t{4});
        QCOMPARE(clipped("日本", 3), std::string("日"));
        QCOMPARE(clipped("abc", 2), std::string("ab"));
    }
};

QTEST_APPLESS_MAIN(TestOutput)
#include "tst_output.moc"

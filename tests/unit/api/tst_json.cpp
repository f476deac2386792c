#include "api/json.h"

#include "api/fields.h"
#include "api/time.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::api;

class tst_json : public QObject
{
    Q_OBJECT

private slots:
    void valuesRoundTrip_data()
    {
        QTest::addColumn<QByteArray>("text");
        for (const char *text : {"null", "true", "-12", "9223372036854775807", "1.5", "\"a\\\"b\\\\c\\n\\u0001\"", "[]", "{}",
                                 "[1,[2,{\"a\":null}]]", "{\"b\":1,\"a\":{\"x.y\":\"z\"}}", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""})
            QTest::newRow(text) << QByteArray(text);
    }
    void valuesRoundTrip()
    {
        QFETCH(QByteArray, text);
        const Result<Json> value = Json::parse(text.toStdString());
        VERIFY_OK(value);
        QCOMPARE(value->dump(), text.toStdString());
    }

    /// Plain text goes another way, eight bytes at a time: each byte that is not, at each place of a word and behind one.
    void everyByteAtEveryPlaceRoundTrips()
    {
        for (int byte = 1; byte < 0x80; ++byte)
            for (std::size_t size = 1; size < 20; ++size)
                for (std::size_t at = 0; at < size; ++at) {
                    std::string text(size, 'x');
                    text[at] = static_cast<char>(byte);
                    std::string json;
                    JsonWriter writer(json);
                    writer.beginArray();
                    writer.string(text);
                    writer.string("next");
                    writer.endArray();
                    JsonReader reader(json);
                    std::string first, second;
                    QVERIFY2(reader.enterArray() && reader.nextElement() && reader.read(first) && reader.nextElement() &&
                                 reader.read(second) && !reader.nextElement() && reader.end(),
                             json.c_str());
                    QVERIFY2(first == text && second == "next", json.c_str());
                    const bool plain = byte >= 0x20 && byte != '"' && byte != '\\';
                    QVERIFY2((json.size() == size + std::string_view(R"(["","next"])").size()) == plain, json.c_str());
                }
    }
    void stringsThatDoNotEndAreRefused()
    {
        for (const char *text : {"\"", "\"abcdefghijk", "\"abcdefg\\", "\"abc\ndef\"", "\"abcdefgh\x01\"", "\"abcdefgh\xff\""}) {
            JsonReader reader(text);
            std::string value;
            QVERIFY2(!(reader.read(value) && reader.end()), text);
        }
    }

    void escapesAreUnderstood()
    {
        const Result<Json> value = Json::parse("\"\\u00e4 \\ud83d\\ude00 \\ud83d \\/ \\b\\f\\t\"");
        VERIFY_OK(value);
        QCOMPARE(*value->asString(), std::string("\xc3\xa4 \xf0\x9f\x98\x80 \xef\xbf\xbd / \b\f\t"));
    }

    void halfASurrogatePairIsReplaced_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("means");
        QTest::newRow("first half") << QByteArray(R"("\ud83d")") << QByteArray("\xef\xbf\xbd");
        QTest::newRow("second half") << QByteArray(R"("\uDE00")") << QByteArray("\xef\xbf\xbd");
        QTest::newRow("first half twice") << QByteArray(R"("\ud83d\ud83d\ude00")") << QByteArray("\xef\xbf\xbd\xf0\x9f\x98\x80");
        QTest::newRow("behind a backslash") << QByteArray(R"("\\\ude00")") << QByteArray("\\\xef\xbf\xbd");
        QTest::newRow("no escape") << QByteArray(R"("\\ude00")") << QByteArray("\\ude00");
    }
    void halfASurrogatePairIsReplaced()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, means);
        const Result<Json> value = Json::parse(text.toStdString());
        VERIFY_OK(value);
        QCOMPARE(QByteArray::fromStdString(*value->asString()), means);
    }

    void whatIsPassedOverIsCheckedAndGivenAsItStands()
    {
        JsonReader good(R"([ {"a": "\ud83d" , "b":[1e3]} ])");
        std::string_view text;
        QVERIFY(good.enterArray() && good.nextElement() && good.skip(&text) && !good.nextElement() && good.end());
        QCOMPARE(text, std::string_view(R"({"a": "\ud83d" , "b":[1e3]})"));
        for (const char *bad : {"[1,]", "[tru]", "{\"a\" 1}", "[\"\\u0000\"]", "[\"\xff\"]"})
            QVERIFY2(!JsonReader(bad).skip(), bad);
    }
    void textBehindANulIsNotForgotten() { VERIFY_FAILS(Code::Invalid, Json::parse(std::string_view("[1]\0x", 5))); }

    void badTextIsRefused_data()
    {
        QTest::addColumn<QByteArray>("text");
        const QByteArray deep = QByteArray("[").repeated(65) + QByteArray("]").repeated(65);
        for (const char *text : {"", " ", "nul", "tru", "01", "-", "1.", "1e", "+1", ".5", "\"a", "\"\\x\"", "\"\\u12\"", "\"\\u0000\"",
                                 "\"\n\"", "[1,]", "[,1]", "[1 2]", "{\"a\":1,}", "{a:1}", "{\"a\"}", "{\"a\":1 \"b\":2}", "[1]x",
                                 "{\"a\":1,\"a\":2}", "99999999999999999999999e999", "\"\xff\"", "\"\xed\xa0\x80\"", "[", "{", "]"})
            QTest::newRow(text) << QByteArray(text);
        QTest::newRow("too deep") << deep;
        QByteArray twice = "{";
        for (int i = 0; i < 30; ++i)
            twice += "\"k" + QByteArray::number(i) + "\":0,";
        QTest::newRow("twice in a big object") << twice + "\"k29\":0}";
    }
    void badTextIsRefused()
    {
        QFETCH(QByteArray, text);
        VERIFY_FAILS(Code::Invalid, Json::parse(text.toStdString()));
    }

    void bytesThatAreNoTextAreReplaced()
    {
        QCOMPARE(toJson(std::string("a\xff\xc3")), std::string("\"a\xef\xbf\xbd\xef\xbf\xbd\""));
    }

    void numbersKeepTheirRange()
    {
        VERIFY_OK(fromJson<int>("2147483647"));
        VERIFY_FAILS(Code::Invalid, fromJson<int>("2147483648"));
        VERIFY_FAILS(Code::Invalid, fromJson<std::uint32_t>("-1"));
        VERIFY_FAILS(Code::Invalid, fromJson<std::int64_t>("1.5"));
        VERIFY_FAILS(Code::Invalid, fromJson<std::int64_t>("9223372036854775808"));
        VERIFY_OK(fromJson<std::uint64_t>("18446744073709551615"));
    }

    void timesRoundTrip_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<qint64>("seconds");
        QTest::newRow("nothing") << QByteArray("0001-01-01T00:00:00Z") << qint64(-62135596800);
        QTest::newRow("never") << QByteArray("1970-01-01T00:00:00Z") << qint64(0);
        QTest::newRow("leap day") << QByteArray("2024-02-29T23:59:59.000000001Z") << qint64(1709251199);
        QTest::newRow("now") << QByteArray("2026-11-23T06:30:00.123456789Z") << qint64(1795415400);
    }
    void timesRoundTrip()
    {
        QFETCH(QByteArray, text);
        QFETCH(qint64, seconds);
        const Result<Time> time = Time::parse(text.toStdString());
        VERIFY_OK(time);
        QCOMPARE(qint64(time->seconds), seconds);
        QCOMPARE(time->format(), text.toStdString());
    }
    void timesWithAnOffsetAreUnderstood()
    {
        QCOMPARE(Time::parse("2026-11-23T08:30:00+02:00")->format(), std::string("2026-11-23T06:30:00Z"));
        VERIFY_FAILS(Code::Invalid, Time::parse("tomorrow"));
        VERIFY_FAILS(Code::Invalid, Time::parse("2026-11-23"));
    }
};

QTEST_GUILESS_MAIN(tst_json)
#include "tst_json.moc"

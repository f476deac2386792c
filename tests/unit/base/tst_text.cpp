// What base/text promises of numbers, sizes and safe text.
#include "base/text.h"

#include "support/verify.h"

using namespace lxmgr;

class TestText : public QObject
{
    Q_OBJECT
private slots:
    void sizesParse_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<qulonglong>("bytes");
        QTest::newRow("plain") << QByteArray("1048576") << 1048576ULL;
        QTest::newRow("decimal") << QByteArray("2GB") << 2000000000ULL;
        QTest::newRow("binary") << QByteArray("512MiB") << 536870912ULL;
        QTest::newRow("one byte") << QByteArray("1B") << 1ULL;
    }
    void sizesParse()
    {
        QFETCH(QByteArray, text);
        QFETCH(qulonglong, bytes);
        const auto size = parseBytes(text.toStdString());
        VERIFY_OK(size);
        QCOMPARE(size->count, bytes);
        const auto again = parseBytes(formatBytes(*size));
        VERIFY_OK(again);
        QCOMPARE(again->count, bytes);
    }
    void badSizesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("text");
        for (const char *bad : {"", "abc", "-1", "1.5GB", "12 MB", "99999999999999EiB", "MiB", "1mib"})
            QTest::newRow(bad) << QByteArray(bad);
    }
    void badSizesAreRefused()
    {
        QFETCH(QByteArray, text);
        VERIFY_FAILS(Code::Invalid, parseBytes(text.toStdString()));
    }
    void controlBytesAreEscaped()
    {
        QCOMPARE(QByteArray::fromStdString(escaped("a\x1b[2Jb\nc\xc2\x9b")), QByteArray("a\\x1b[2Jb\\x0ac\\xc2\\x9b"));
        QCOMPARE(QByteArray::fromStdString(escaped("gr\xc3\xbc\xc3\x9f")), QByteArray("gr\xc3\xbc\xc3\x9f"));
        QCOMPARE(QByteArray::fromStdString(escaped("\xff\xc0\x80")), QByteArray("\\xff\\xc0\\x80"));
    }
    void instanceNamesAreChecked_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<bool>("good");
        QTest::newRow("usual") << QByteArray("web1") << true;
        QTest::newRow("longest") << QByteArray(63, 'a') << true;
        QTest::newRow("too long") << QByteArray(64, 'a') << false;
        for (const char *bad : {"", "-a", "1a", "a-", "a_b", "a.b", "a b", "a/b", "..", "\xc3\xbc"})
            QTest::newRow(bad) << QByteArray(bad) << false;
    }
    void instanceNamesAreChecked()
    {
        QFETCH(QByteArray, name);
        QFETCH(bool, good);
        QCOMPARE(bool(InstanceName::create(name.toStdString())), good);
    }
    void nearestSuggests()
    {
        const std::string_view keys[] = {"limits.memory", "limits.cpu"};
        QCOMPARE(nearest("limits.memroy", keys).value_or(""), std::string("limits.memory"));
        QVERIFY(!nearest("zzz", keys));
    }
};

QTEST_APPLESS_MAIN(TestText)
#include "tst_text.moc"

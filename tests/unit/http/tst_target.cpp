#include "http/target.h"

#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::http;

class tst_target : public QObject
{
    Q_OBJECT

private slots:
    void targetsComeApart()
    {
        const Result<Target> target = parseTarget("/1.0/images/aliases/debian%2F12/?recursion=1&filter=status+eq%20running&x");
        VERIFY_OK(target);
        QCOMPARE(target->segments, (std::vector<std::string>{"1.0", "images", "aliases", "debian/12"}));
        QVERIFY(target->query.flag("recursion"));
        QCOMPARE(std::string(target->query.value("filter")), std::string("status eq running"));
        QVERIFY(target->query.find("x"));
        QVERIFY(!target->query.find("y"));
        QVERIFY(parseTarget("/")->segments.empty());
    }

    void badTargetsAreRefused_data()
    {
        QTest::addColumn<QByteArray>("text");
        for (const char *text : {"", "1.0", "http://host/1.0", "/1.0/../etc", "/1.0/./x", "/1.0/%2e%2E/x", "//1.0", "/1.0//x",
                                 "/1.0/%00", "/1.0/%zz", "/1.0/%4", "/1.0?a=%", "/1.0?a=%00"})
            QTest::newRow(*text ? text : "empty") << QByteArray(text);
    }
    void badTargetsAreRefused()
    {
        QFETCH(QByteArray, text);
        VERIFY_FAILS(Code::Invalid, parseTarget(text.toStdString()));
    }

    void escapesRoundTrip()
    {
        std::string all;
        for (int byte = 1; byte < 256; ++byte)
            all += static_cast<char>(byte);
        const Result<std::string> back = percentDecode(percentEncode(all));
        VERIFY_OK(back);
        QCOMPARE(*back, all);
    }
};

QTEST_GUILESS_MAIN(tst_target)
#include "tst_target.moc"

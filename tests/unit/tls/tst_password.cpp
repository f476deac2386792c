// What is kept of a password.
#include "support/verify.h"
#include "tls/password.h"

#include <QtTest/QtTest>

using namespace lxmgr;

class TestPassword : public QObject
{
    Q_OBJECT
private slots:
    void onlyTheSameOneFits();
    void otherFormsFitNothing_data();
    void otherFormsFitNothing();
};

void TestPassword::onlyTheSameOneFits()
{
    const auto hash = tls::hashPassword("correct horse");
    const auto again = tls::hashPassword("correct horse");
    VERIFY_OK(hash);
    VERIFY_OK(again);
    QVERIFY(*hash != *again); // each has a salt of its own
    QVERIFY(hash->find("horse") == std::string::npos);
    for (const std::string &each : {*hash, *again}) {
        QVERIFY(tls::isPassword("correct horse", each));
        for (const std::string_view wrong : {std::string_view(), std::string_view("correct horsf"), std::string_view("correct horse "), std::string_view("Correct horse")})
            QVERIFY(!tls::isPassword(wrong, each));
    }
}

void TestPassword::otherFormsFitNothing_data()
{
    QTest::addColumn<QString>("hash");
    QTest::newRow("none") << "";
    QTest::newRow("the password itself") << "x";
    QTest::newRow("cheaper rounds") << "$scrypt$ln=1,r=8,p=1$AAAA$AAAA";
    QTest::newRow("no key") << "$scrypt$ln=15,r=8,p=1$AAAA";
    QTest::newRow("an empty key") << "$scrypt$ln=15,r=8,p=1$AAAA$";
    QTest::newRow("no base64") << "$scrypt$ln=15,r=8,p=1$A-$!";
    QTest::newRow("more") << "$scrypt$ln=15,r=8,p=1$AAAA$AAAA$AAAA";
}

void TestPassword::otherFormsFitNothing()
{
    QFETCH(QString, hash);
    QVERIFY(!tls::isPassword("x", hash.toStdString()));
}

QTEST_APPLESS_MAIN(TestPassword)
#include "tst_password.moc"

// When a clock is believed: readings as a machine could give them.
#include "daemon/believed_clock.h"

#include "support/verify.h"

#include <QFile>
#include <QTemporaryDir>
#include <QTest>

using namespace lxmgr::daemon;
using Reading = BelievedClock::Reading;

class tst_believed_clock : public QObject
{
    Q_OBJECT

    static constexpr std::int64_t kHour = 3600, kDay = 24 * kHour, kNow = 1'800'000'000;

    QTemporaryDir m_dir;
    QStringList m_said;

    std::unique_ptr<BelievedClock> clock()
    {
        m_said.clear();
        return std::make_unique<BelievedClock>(m_dir.filePath("clock").toStdString(), [this](const std::string &why) { m_said << QString::fromStdString(why); });
    }

private slots:
    void init() { QFile::remove(m_dir.filePath("clock")); }

    void oneThatGoesIsBelieved()
    {
        const auto clock = this->clock();
        for (const std::int64_t gone : {std::int64_t{0}, kHour, 3 * kDay, 400 * kDay}) {
            const auto told = clock->look({"a", 100 + gone, kNow + gone, false});
            QCOMPARE(told.now, kNow + gone);
            QCOMPARE(told.ahead, 0);
            QVERIFY(!told.lookAgain);
        }
        QCOMPARE(clock->look({"a", 100 + 400 * kDay, kNow + 401 * kDay, false}).now, kNow + 401 * kDay); // a day is no leap
        QCOMPARE(m_said, QStringList{""});
    }

    void oneThatIsSetBackIsBelieved()
    {
        const auto clock = this->clock();
        clock->look({"a", 100, kNow, false});
        QCOMPARE(clock->look({"a", 101, kNow - 900 * kDay, false}).now, kNow - 900 * kDay);
        // And not when it comes back at once.
        QVERIFY(clock->look({"a", 102, kNow, false}).lookAgain);
    }

    void aLeapIsBelievedAfterAnHour()
    {
        const auto clock = this->clock();
        clock->look({"a", 100, kNow, false});
        const std::int64_t leapt = kNow + 3650 * kDay;
        auto told = clock->look({"a", 160, leapt, true}); // synchronised: with a wrong one
        QCOMPARE(told.now, kNow + 60);
        QCOMPARE(told.ahead, leapt - kNow - 60);
        QVERIFY(told.lookAgain && *told.lookAgain > leapt && *told.lookAgain <= leapt + kHour);
        told = clock->look({"a", 160 + kHour - 1, leapt + kHour - 1, true});
        QCOMPARE(told.now, kNow + 60 + kHour - 1);
        QCOMPARE(*told.lookAgain, leapt + kHour);
        QCOMPARE(m_said.size(), 2);
        QVERIFY2(m_said[1].contains("2037"), qPrintable(m_said[1])); // ten years from 2027
        told = clock->look({"a", 160 + kHour, leapt + kHour, true});
        QCOMPARE(told.now, leapt + kHour);
        QVERIFY(!told.lookAgain);
        QCOMPARE(m_said.size(), 3);
        QCOMPARE(m_said[2], QString());
    }

    void oneThatIsSetRightWasNeverBelieved()
    {
        const auto clock = this->clock();
        clock->look({"a", 100, kNow, false});
        clock->look({"a", 100, kNow + 3650 * kDay, false});
        QCOMPARE(clock->look({"a", 1000, kNow + 900, false}).now, kNow + 900);
        QCOMPARE(m_said.size(), 3);
        // The next leap has its own hour.
        QVERIFY(clock->look({"a", 100 + kHour, kNow + 3650 * kDay, false}).lookAgain);
    }

    void anotherLeapBeginsAnew()
    {
        const auto clock = this->clock();
        clock->look({"a", 100, kNow, false});
        clock->look({"a", 100, kNow + 10 * kDay, false});
        QVERIFY(clock->look({"a", 100 + kHour - 10, kNow + 900 * kDay, false}).lookAgain);
        QVERIFY(clock->look({"a", 100 + kHour, kNow + 900 * kDay + 10, false}).lookAgain);
        QVERIFY(!clock->look({"a", 100 + 2 * kHour, kNow + 900 * kDay + kHour + 10, false}).lookAgain);
    }

    void aServerThatStartsAgainKnows()
    {
        clock()->look({"a", 100, kNow, false});
        QVERIFY(clock()->look({"a", 200, kNow + 2 * kDay, false}).lookAgain);
        QVERIFY(!clock()->look({"a", 100 + 2 * kDay, kNow + 2 * kDay, false}).lookAgain);
    }

    void aMachineThatWasOff()
    {
        clock()->look({"a", 100, kNow, false});
        // Three days by a clock that nobody vouches for; then somebody does.
        const auto clock = this->clock();
        const auto told = clock->look({"b", 50, kNow + 3 * kDay, false});
        QCOMPARE(told.now, kNow + 50);
        QVERIFY(told.lookAgain);
        QCOMPARE(clock->look({"b", 110, kNow + 3 * kDay + 60, true}).now, kNow + 3 * kDay + 60);
        QCOMPARE(m_said.last(), QString());
    }

    void aBrokenFileIsNone()
    {
        QFile file(m_dir.filePath("clock"));
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write("a b c");
        file.close();
        QVERIFY(!clock()->look({"a", 100, kNow, false}).lookAgain);
        QVERIFY(clock()->look({"a", 100, kNow + 2 * kDay, false}).lookAgain); // it is written anew
    }

    void theMachineIsRead()
    {
        const Reading now = BelievedClock::read();
        QCOMPARE(now.boot.size(), 36U);
        QVERIFY(now.sinceBoot > 0);
        QVERIFY(qAbs(now.wall - QDateTime::currentSecsSinceEpoch()) <= 1);
    }
};

QTEST_GUILESS_MAIN(tst_believed_clock)
#include "tst_believed_clock.moc"

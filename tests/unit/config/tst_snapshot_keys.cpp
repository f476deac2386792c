// snapshots.*: what cron lines, aliases, time spans and name patterns mean.
#include "config/instance_config.h"
#include "support/verify.h"

#include <cstdlib>

using namespace lxmgr;
using namespace lxmgr::config;

namespace
{

std::time_t at(const char *text)
{
    std::tm time{};
    ::strptime(text, "%Y-%m-%d %H:%M:%S", &time);
    time.tm_isdst = -1;
    return std::mktime(&time);
}

QByteArray textOf(std::time_t time)
{
    std::tm local{};
    ::localtime_r(&time, &local);
    char text[64];
    return QByteArray(text, static_cast<int>(std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local)));
}

} // namespace

class TestSnapshotKeys : public QObject
{
    Q_OBJECT
private slots:
    void initTestCase()
    {
        qputenv("TZ", "Europe/Berlin"); // has changes of clocks
        ::tzset();
    }

    void cronNamesTheNextTime_data()
    {
        QTest::addColumn<QByteArray>("line");
        QTest::addColumn<QByteArray>("after");
        QTest::addColumn<QByteArray>("next");
        QTest::newRow("each minute") << QByteArray("* * * * *") << QByteArray("2026-11-25 18:46:40") << QByteArray("2026-11-25 18:47:00");
        QTest::newRow("now is past") << QByteArray("47 18 * * *") << QByteArray("2026-11-25 18:47:00") << QByteArray("2026-11-26 18:47:00");
        QTest::newRow("daily") << QByteArray("0 6 * * *") << QByteArray("2026-11-25 18:46:40") << QByteArray("2026-11-26 06:00:00");
        QTest::newRow("steps") << QByteArray("*/20 * * * *") << QByteArray("2026-11-25 18:46:40") << QByteArray("2026-11-25 19:00:00");
        QTest::newRow("list and range") << QByteArray("5,35 8-10/2 * * *") << QByteArray("2026-11-25 08:10:00") << QByteArray("2026-11-25 08:35:00");
        QTest::newRow("weekday by name") << QByteArray("0 0 * * sun") << QByteArray("2026-11-25 18:46:40") << QByteArray("2026-11-29 00:00:00");
        QTest::newRow("7 is Sunday") << QByteArray("0 0 * * 7") << QByteArray("2026-11-25 18:46:40") << QByteArray("2026-11-29 00:00:00");
        QTest::newRow("month by name") << QByteArray("0 0 1 feb *") << QByteArray("2026-11-25 18:46:40") << QByteArray("2027-02-01 00:00:00");
        QTest::newRow("day of month or of week") << QByteArray("0 0 13 * fri") << QByteArray("2026-11-25 00:00:00") << QByteArray("2026-11-27 00:00:00");
        QTest::newRow("leap day") << QByteArray("0 0 29 2 *") << QByteArray("2096-03-01 00:00:00") << QByteArray("2104-02-29 00:00:00");
        QTest::newRow("clocks go forward") << QByteArray("30 2 * * *") << QByteArray("2027-03-28 00:00:00") << QByteArray("2027-03-28 03:30:00");
        QTest::newRow("clocks go back") << QByteArray("0 4 * * *") << QByteArray("2026-10-25 00:00:00") << QByteArray("2026-10-25 04:00:00");
    }
    void cronNamesTheNextTime()
    {
        QFETCH(QByteArray, line);
        QFETCH(QByteArray, after);
        QFETCH(QByteArray, next);
        const auto cron = Cron::parse(line.toStdString());
        VERIFY_OK(cron);
        const auto time = cron->next(at(after.constData()));
        QVERIFY(time);
        QCOMPARE(textOf(*time), next);
    }

    void aDayThatNeverComesHasNoNext()
    {
        const auto cron = Cron::parse("0 0 30 2 *");
        VERIFY_OK(cron);
        QVERIFY(!cron->next(at("2026-01-01 00:00:00")));
    }

    void everyTimeMatchesAndNoneIsPassedOver()
    {
        // Against the plain way: each minute of ten days looked at.
        for (const char *line : {"*/7 3,9-11 * * *", "0 0 * * 1-5", "15 12 10-20/3 11 *"}) {
            const auto cron = Cron::parse(line);
            VERIFY_OK(cron);
            std::time_t last = at("2026-11-05 00:00:00");
            const std::time_t end = last + 10 * 86400;
            for (std::time_t minute = last + 60; minute < end; minute += 60) {
                std::tm local{};
                ::localtime_r(&minute, &local);
                const bool matches = cron->minutes[local.tm_min] && cron->hours[local.tm_hour] && cron->days[local.tm_mday] &&
                                     cron->months[local.tm_mon + 1] && cron->weekdays[local.tm_wday];
                if (!matches)
                    continue;
                QCOMPARE(textOf(cron->next(last).value_or(0)), textOf(minute));
                last = minute;
            }
        }
    }

    void aliasesAreSpread()
    {
        const auto list = Codec<ScheduleList>::parse("@hourly, @daily");
        VERIFY_OK(list);
        QCOMPARE(list->schedules.size(), 2U);
        const Schedule &hourly = list->schedules[0], &daily = list->schedules[1];
        QCOMPARE(textOf(*hourly.next(at("2026-11-25 18:46:40"), 7)), QByteArray("2026-11-25 19:07:00"));
        QCOMPARE(textOf(*hourly.next(at("2026-11-25 18:46:40"), 67)), QByteArray("2026-11-25 19:07:00"));
        QCOMPARE(textOf(*daily.next(at("2026-11-25 18:46:40"), 7)), QByteArray("2026-11-26 00:07:00"));
        QCOMPARE(textOf(*daily.next(at("2026-11-25 18:46:40"), 127)), QByteArray("2026-11-26 02:07:00"));
    }

    void schedulesComeBackAsWritten_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("again");
        QTest::newRow("cron") << QByteArray("0 6 * * *") << QByteArray("0 6 * * *");
        QTest::newRow("commas in fields") << QByteArray("0,30 8-18 * * 1,3,5") << QByteArray("0,30 8-18 * * 1,3,5");
        QTest::newRow("aliases") << QByteArray("@hourly, @daily,@startup") << QByteArray("@hourly; @daily; @startup");
        QTest::newRow("names and keep") << QByteArray("night: 0 3 * * * keep=7 expiry=2w+1d; @hourly keep=24")
                                        << QByteArray("night: 0 3 * * * keep=7 expiry=2w+1d; @hourly keep=24");
        QTest::newRow("lines") << QByteArray("a: @daily\nb: @weekly\n") << QByteArray("a: @daily; b: @weekly");
    }
    void schedulesComeBackAsWritten()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, again);
        const auto list = Codec<ScheduleList>::parse(text.toStdString());
        VERIFY_OK(list);
        const std::string written = Codec<ScheduleList>::format(*list);
        QCOMPARE(QByteArray::fromStdString(written), again);
        const auto read = Codec<ScheduleList>::parse(written);
        VERIFY_OK(read);
        QVERIFY(*read == *list);
    }

    void wrongOnesAreRefusedWithTheReason_data()
    {
        QTest::addColumn<QByteArray>("key");
        QTest::addColumn<QByteArray>("value");
        QTest::addColumn<QByteArray>("says");
        QTest::newRow("four fields") << QByteArray("snapshots.schedule") << QByteArray("0 6 * *") << QByteArray("five fields");
        QTest::newRow("minute 60") << QByteArray("snapshots.schedule") << QByteArray("60 6 * * *") << QByteArray("minute (0 to 59)");
        QTest::newRow("backwards") << QByteArray("snapshots.schedule") << QByteArray("5-1 6 * * *") << QByteArray("ends before it begins");
        QTest::newRow("no step") << QByteArray("snapshots.schedule") << QByteArray("*/0 6 * * *") << QByteArray("has no step");
        QTest::newRow("alias") << QByteArray("snapshots.schedule") << QByteArray("@fortnightly") << QByteArray("@hourly, @daily");
        QTest::newRow("twice") << QByteArray("snapshots.schedule") << QByteArray("@daily; @daily") << QByteArray("names two schedules");
        QTest::newRow("option") << QByteArray("snapshots.schedule") << QByteArray("@daily kept=3") << QByteArray("keep=<number>");
        QTest::newRow("unit") << QByteArray("snapshots.expiry") << QByteArray("3x") << QByteArray("M minutes");
        QTest::newRow("unit twice") << QByteArray("snapshots.expiry") << QByteArray("3d 2d") << QByteArray("names a unit twice");
        QTest::newRow("no number") << QByteArray("snapshots.expiry") << QByteArray("d") << QByteArray("is not a time span");
        QTest::newRow("slash in the name") << QByteArray("snapshots.pattern") << QByteArray("a/%d") << QByteArray("snapshot");
        QTest::newRow("open braces") << QByteArray("snapshots.pattern") << QByteArray("{{ creation_date") << QByteArray("without its }}");
        QTest::newRow("unknown word") << QByteArray("snapshots.pattern") << QByteArray("{{ user }}") << QByteArray("creation_date");
        QTest::newRow("blank in the date") << QByteArray("snapshots.pattern") << QByteArray("{{ creation_date|date:'2006 01' }}") << QByteArray("snapshot");
    }
    void wrongOnesAreRefusedWithTheReason()
    {
        QFETCH(QByteArray, key);
        QFETCH(QByteArray, value);
        QFETCH(QByteArray, says);
        const Status checked = checkInstanceKey(key.toStdString(), value.toStdString());
        QVERIFY(!checked);
        QVERIFY2(checked.error().message.find(says.toStdString()) != std::string::npos, checked.error().message.c_str());
    }

    void expiryCountsByTheCalendar()
    {
        const auto expiry = [](const char *span) { return *Codec<SnapshotExpiry>::parse(span); };
        QCOMPARE(textOf(expiry("1M 2H").after(at("2026-11-25 18:46:40"))), QByteArray("2026-11-25 20:47:40"));
        QCOMPARE(textOf(expiry("1w 1d").after(at("2026-11-25 18:46:40"))), QByteArray("2026-12-03 18:46:40"));
        QCOMPARE(textOf(expiry("1y 2m").after(at("2026-11-25 18:46:40"))), QByteArray("2028-01-25 18:46:40"));
        QCOMPARE(textOf(expiry("1d").after(at("2026-10-24 12:00:00"))), QByteArray("2026-10-25 12:00:00")); // 25 hours
        QCOMPARE(Codec<SnapshotExpiry>::format(expiry(" 1y  2m ")), std::string("1y 2m"));
    }

    void patternsName()
    {
        const auto name = [](const char *text, const std::vector<std::string> &taken) {
            const auto pattern = Codec<SnapshotPattern>::parse(text);
            return pattern ? pattern->name(at("2026-11-25 18:46:40"), taken).value_or("error") : std::string("refused");
        };
        QCOMPARE(name("snap%d", {}), std::string("snap0"));
        QCOMPARE(name("snap%d", {"snap0", "snap9", "snapx", "snap"}), std::string("snap10"));
        QCOMPARE(name("a-%d-b", {"a-3-b", "a--b", "a-b"}), std::string("a-4-b"));
        QCOMPARE(name("fixed", {}), std::string("fixed"));
        QCOMPARE(name("fixed", {"fixed"}), std::string("fixed-0"));
        QCOMPARE(name("fixed", {"fixed", "fixed-0"}), std::string("fixed-1"));
        QCOMPARE(name("{{ creation_date|date:'2006-01-02_15-04-05' }}", {}), std::string("2026-11-25_18-46-40"));
        QCOMPARE(name("{{creation_date|date:\"20060102\"}}-%d", {"20261125-0"}), std::string("20261125-1"));
        QCOMPARE(name("{{ creation_date }}", {}), std::string("2026-11-25_18-46-40"));
    }
};

QTEST_APPLESS_MAIN(TestSnapshotKeys)
#include "tst_snapshot_keys.moc"

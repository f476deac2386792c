// The copies of the database that each day brings.
#include "store/copies.h"
#include "store/statement.h"
#include "store_fixture.h"

#include <QtCore/QDir>
#include <QtCore/QFile>

using namespace lxmgr;
using namespace lxmgr::store;

class tst_database_copies : public QObject
{
    Q_OBJECT

    static constexpr std::time_t kDay = 24 * 3600;
    static constexpr std::time_t kNoon = 20'000 * kDay + kDay / 2; // of 2024-10-04

    static QStringList copies(const StoreFixture &fixture)
    {
        return QDir(fixture.folder.path()).entryList({"*.bak*"}, QDir::Files, QDir::Name);
    }

private slots:
    void eachDayHasOne()
    {
        const StoreFixture fixture;
        QCOMPARE(nextCopy(*fixture.db, kNoon), kNoon);
        VERIFY_OK(makeCopy(*fixture.db, kNoon));
        QCOMPARE(copies(fixture), QStringList{"lxmgr.db.day-2024-10-04.bak"});
        QCOMPARE(nextCopy(*fixture.db, kNoon), kNoon + kDay / 2);
        QCOMPARE(nextCopy(*fixture.db, kNoon + kDay / 2), kNoon + kDay / 2);
        VERIFY_OK(makeCopy(*fixture.db, kNoon)); // again: the same
        QCOMPARE(copies(fixture).size(), 1);
    }

    void sevenAreKept()
    {
        const StoreFixture fixture;
        QFile other(fixture.folder.filePath("lxmgr.db.schema-3.bak"));
        QVERIFY(other.open(QIODevice::WriteOnly));
        for (int day = 0; day < 10; ++day)
            VERIFY_OK(makeCopy(*fixture.db, kNoon + day * kDay));
        const QStringList kept = copies(fixture);
        QCOMPARE(kept.size(), 8);
        QCOMPARE(kept.first(), "lxmgr.db.day-2024-10-07.bak");
        QVERIFY(kept.contains("lxmgr.db.day-2024-10-13.bak"));
        QVERIFY(kept.contains("lxmgr.db.schema-3.bak")); // no business of ours
    }

    void oneCanTakeTheDatabasesPlace()
    {
        StoreFixture fixture;
        VERIFY_OK(run(*fixture.db, "INSERT INTO meta (key, value) VALUES ('kept', 'yes')"));
        VERIFY_OK(makeCopy(*fixture.db, kNoon));
        fixture.db.reset();
        for (const char *ending : {"", "-wal"})
            QFile::remove(QString::fromStdString(fixture.path) + ending);
        QVERIFY(QFile::copy(fixture.folder.filePath("lxmgr.db.day-2024-10-04.bak"), QString::fromStdString(fixture.path)));
        const auto again = Database::open(fixture.path);
        VERIFY_OK(again);
        auto row = query(**again, "SELECT value FROM meta WHERE key='kept'");
        VERIFY_OK(row);
        QVERIFY(row->next().value_or(false));
        QCOMPARE(row->text(0), std::string("yes"));
    }

    void aBrokenDatabaseCostsNoCopy()
    {
        StoreFixture fixture;
        // More than SQLite keeps in memory.
        VERIFY_OK(fixture.db->transaction([&]() -> Status {
            for (int i = 0; i < 6000; ++i)
                TRY(run(*fixture.db, "INSERT INTO meta (key, value) VALUES (?, ?)", "k" + std::to_string(i), std::string(1000, 'x')));
            return {};
        }));
        for (int day = 0; day < 7; ++day)
            VERIFY_OK(makeCopy(*fixture.db, kNoon + day * kDay));
        const QStringList before = copies(fixture);
        fixture.db.reset(); // all of it in one file
        QFile file(QString::fromStdString(fixture.path));
        QVERIFY(file.open(QIODevice::ReadWrite));
        auto opened = Database::open(fixture.path);
        VERIFY_OK(opened);
        for (qint64 at = 5 * 4096; at + 4096 <= file.size(); at += 4096)
            QVERIFY(file.seek(at) && file.write(QByteArray(4096, '\7')) == 4096);
        file.close();
        const Status copied = makeCopy(**opened, kNoon + 7 * kDay);
        QVERIFY(!copied);
        QCOMPARE(copied.error().code, Code::Corrupt);
        QCOMPARE(copies(fixture), before);
    }
};

QTEST_GUILESS_MAIN(tst_database_copies)
#include "tst_database_copies.moc"

// What the database promises: whole transactions, refused foreign and newer files, migrations with a copy, life on a
// full disk.
#include "base/fd.h"
#include "store/projects.h"
#include "store/statement.h"
#include "store_fixture.h"

#include <QtCore/QDir>
#include <QtCore/QFile>
#include <QtCore/QScopeGuard>
#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <random>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::store;

namespace
{

QByteArray bytesOf(const std::string &path)
{
    QFile file(QString::fromStdString(path));
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray("unreadable");
}

std::string textOf(Database &db, const std::string &sql)
{
    auto row = query(db, sql);
    const auto there = row ? row->next() : Result<bool>(row.error());
    return !there ? there.error().message : *there ? row->text(0) : std::string();
}

Status writeMeta(Database &db, const std::string &key, const std::string &value)
{
    return run(db, "INSERT INTO meta (key, value) VALUES (?, ?)", key, value);
}

std::vector<Migration> withMore(std::string_view sql)
{
    std::vector<Migration> all(migrations().begin(), migrations().end());
    all.push_back({all.back().version + 1, "test", sql});
    return all;
}

/// A mount namespace of our own, so that a small file system can be had; false where the machine does not allow it.
bool ownMounts()
{
    static const bool own = [] {
        const uid_t uid = ::getuid();
        if (::unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0)
            return false;
        return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    }();
    return own;
}

void fill(const std::string &path)
{
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::vector<char> block(4096, 'x');
    while (::write(fd, block.data(), block.size()) > 0)
        ;
    ::close(fd);
}

Status writeFile(const std::string &path, const std::string &content)
{
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
        return Error::fromErrno(ENOSPC, "write", path);
    return {};
}

/// In a child: makes or opens the database and tells each write that was acknowledged. Exits only when it fails.
[[noreturn]] void writeUntilKilled(const std::string &path, const std::string &name, int acknowledge)
{
    auto db = Database::open(path);
    for (int i = 0; db; ++i) {
        if (!(*db)->transaction([&] { return writeMeta(**db, name + "/" + std::to_string(i), "x"); },
                                i % 3 != 0 ? Durability::Relaxed : Durability::Full))
            break;
        if (::write(acknowledge, "x", 1) != 1)
            break;
    }
    ::_exit(1);
}

} // namespace

class TestDatabase : public QObject
{
    Q_OBJECT
private slots:
    void aFreshOneHasTheSettings()
    {
        StoreFixture fixture;
        QCOMPARE(textOf(*fixture.db, "PRAGMA journal_mode"), std::string("wal"));
        QCOMPARE(textOf(*fixture.db, "PRAGMA synchronous"), std::string("2"));
        QCOMPARE(textOf(*fixture.db, "PRAGMA foreign_keys"), std::string("1"));
        QCOMPARE(textOf(*fixture.db, "PRAGMA trusted_schema"), std::string("0"));
        QCOMPARE(textOf(*fixture.db, "SELECT name FROM projects"), std::string("default"));
        QCOMPARE(QFile::permissions(QString::fromStdString(fixture.path)) & 0x0FF, QFile::Permissions(0));
        VERIFY_OK(fixture.db->check());
        QCOMPARE(fixture.db->schemaVersion(), migrations().back().version);
    }

    void everyTableIsStrict()
    {
        StoreFixture fixture;
        QCOMPARE(textOf(*fixture.db, "SELECT group_concat(name) FROM pragma_table_list WHERE schema='main' AND "
                                     "type='table' AND strict=0 AND name NOT LIKE 'sqlite_%'"),
                 std::string());
    }

    void whatWasCommittedIsThereAgain()
    {
        StoreFixture fixture;
        VERIFY_OK(writeMeta(*fixture.db, "a", "1"));
        fixture.db.reset();
        auto again = Database::open(fixture.path);
        VERIFY_OK(again);
        QCOMPARE(textOf(**again, "SELECT value FROM meta WHERE key='a'"), std::string("1"));
    }

    void anErrorRollsAllBack()
    {
        StoreFixture fixture;
        const Status done = fixture.db->transaction([&]() -> Status {
            TRY(writeMeta(*fixture.db, "a", "1"));
            return Error(Code::Cancelled, "no");
        });
        VERIFY_FAILS(Code::Cancelled, done);
        QCOMPARE(textOf(*fixture.db, "SELECT count(*) FROM meta WHERE key='a'"), std::string("0"));
    }

    void aPartRollsBackAlone()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        const Result<int> done = db.transaction([&]() -> Result<int> {
            TRY(writeMeta(db, "outer", "1"));
            const Status inner = db.transaction([&]() -> Status {
                TRY(writeMeta(db, "inner", "1"));
                return Error(Code::Cancelled, "no");
            });
            return inner ? 0 : 42;
        });
        VERIFY_OK(done);
        QCOMPARE(*done, 42);
        QCOMPARE(textOf(db, "SELECT group_concat(key) FROM meta WHERE key IN ('outer', 'inner')"),
                 std::string("outer"));
    }

    void takenKeysAndDanglingOnesAreTold()
    {
        StoreFixture fixture;
        VERIFY_OK(writeMeta(*fixture.db, "a", "1"));
        VERIFY_FAILS(Code::AlreadyExists, writeMeta(*fixture.db, "a", "2"));
        VERIFY_FAILS(Code::WrongState,
                     run(*fixture.db, "INSERT INTO profiles (project_id, name, description) VALUES (99, 'x', '')"));
    }

    void aStatementMayBeUsedInsideItself()
    {
        StoreFixture fixture;
        auto outer = query(*fixture.db, "SELECT key FROM meta");
        VERIFY_OK(outer);
        QVERIFY(*outer->next());
        auto inner = query(*fixture.db, "SELECT key FROM meta");
        VERIFY_OK(inner);
        QVERIFY(*inner->next());
        QCOMPARE(inner->text(0), outer->text(0));
    }

    void threadsTakeTurns()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        std::atomic<int> failures = 0;
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (int i = 0; i < 100; ++i)
                    if (!db.transaction([&] { return writeMeta(db, std::to_string(t) + "/" + std::to_string(i), "x"); },
                                        Durability::Relaxed))
                        ++failures;
            });
        for (std::thread &thread : threads)
            thread.join();
        QCOMPARE(failures.load(), 0);
        QCOMPARE(textOf(db, "SELECT count(*) FROM meta WHERE value='x'"), std::string("400"));
        QCOMPARE(textOf(db, "PRAGMA synchronous"), std::string("2"));
    }

    void aNewerSchemaIsRefusedUntouched()
    {
        StoreFixture fixture;
        VERIFY_OK(run(*fixture.db, "UPDATE meta SET value='9.9.9' WHERE key='lxmgr_version'"));
        VERIFY_OK(run(*fixture.db, "PRAGMA user_version=99"));
        fixture.db.reset();
        const QByteArray before = bytesOf(fixture.path);
        const auto opened = Database::open(fixture.path);
        VERIFY_FAILS(Code::Unsupported, opened);
        QVERIFY2(opened.error().message.find("schema 99 of lxmgr 9.9.9") != std::string::npos,
                 opened.error().message.c_str());
        QCOMPARE(bytesOf(fixture.path), before);
    }

    void aForeignFileIsRefusedUntouched()
    {
        QTemporaryDir folder;
        const QString path = folder.filePath("x.db");
        QFile file(path);
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write("This is a letter, not a database.");
        file.close();
        VERIFY_FAILS(Code::Corrupt, Database::open(path.toStdString()));
        QCOMPARE(bytesOf(path.toStdString()), QByteArray("This is a letter, not a database."));

        StoreFixture fixture;
        VERIFY_OK(run(*fixture.db, "PRAGMA application_id=7"));
        fixture.db.reset();
        VERIFY_FAILS(Code::Corrupt, Database::open(fixture.path));
    }

    void damageIsToldWithWhatToDo()
    {
        StoreFixture fixture;
        for (int i = 0; i < 2000; ++i)
            VERIFY_OK(fixture.db->transaction(
                [&] { return writeMeta(*fixture.db, "key" + std::to_string(i), std::string(100, 'v')); },
                Durability::Relaxed));
        fixture.db.reset();
        const QByteArray good = bytesOf(fixture.path);
        int refused = 0;
        for (qsizetype page = 0; page < good.size() / 4096; ++page) {
            QByteArray bad = good;
            bad.replace(page * 4096, 64, QByteArray(64, '\xA5'));
            QFile file(QString::fromStdString(fixture.path));
            QVERIFY(file.open(QIODevice::WriteOnly));
            file.write(bad);
            file.close();
            const auto opened = Database::open(fixture.path);
            if (opened)
                continue; // a free page, or bytes nobody reads
            ++refused;
            VERIFY_FAILS(Code::Corrupt, opened);
            QVERIFY2(opened.error().message.find("good copy") != std::string::npos, opened.error().message.c_str());
        }
        QVERIFY2(refused > good.size() / 4096 / 2, std::to_string(refused).c_str());
    }

    void cutFilesAreRefusedOrWhole()
    {
        StoreFixture fixture;
        fixture.db.reset();
        const QByteArray good = bytesOf(fixture.path);
        for (qsizetype size = 4096; size < good.size(); size += 4096 * 5) {
            QFile file(QString::fromStdString(fixture.path));
            QVERIFY(file.open(QIODevice::WriteOnly | QIODevice::Truncate));
            file.write(good.left(size));
            file.close();
            VERIFY_FAILS(Code::Corrupt, Database::open(fixture.path));
        }
    }

    void aMigrationLeavesACopy()
    {
        StoreFixture fixture;
        VERIFY_OK(writeMeta(*fixture.db, "kept", "1"));
        const int before = fixture.db->schemaVersion();
        fixture.db.reset();
        const auto more = withMore("ALTER TABLE projects ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey';");
        auto opened = Database::open(fixture.path, more);
        VERIFY_OK(opened);
        QCOMPARE((*opened)->schemaVersion(), before + 1);
        QCOMPARE(textOf(**opened, "SELECT colour FROM projects"), std::string("grey"));
        QCOMPARE(textOf(**opened, "PRAGMA foreign_keys"), std::string("1"));
        opened->reset();
        // The copy is a database of the old schema, ready to be put back.
        auto copy = Database::open(fixture.path + ".schema-" + std::to_string(before) + ".bak");
        VERIFY_OK(copy);
        QCOMPARE(textOf(**copy, "SELECT value FROM meta WHERE key='kept'"), std::string("1"));
    }

    void aFailedMigrationChangesNothing()
    {
        StoreFixture fixture;
        const int before = fixture.db->schemaVersion();
        fixture.db.reset();
        const auto bad = withMore("CREATE TABLE half (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1);");
        const auto opened = Database::open(fixture.path, bad);
        QVERIFY(!opened);
        QVERIFY2(opened.error().message.find("migration " + std::to_string(before + 1) + " (test)") != std::string::npos,
                 opened.error().message.c_str());
        const auto dangling = withMore("INSERT INTO profile_config VALUES (77, 'a', 'b');");
        VERIFY_FAILS(Code::Corrupt, Database::open(fixture.path, dangling));
        auto again = Database::open(fixture.path);
        VERIFY_OK(again);
        QCOMPARE((*again)->schemaVersion(), before);
        QCOMPARE(textOf(**again, "SELECT count(*) FROM sqlite_schema WHERE name='half'"), std::string("0"));
    }

    void migrationsAreNumberedWithoutGaps()
    {
        int expected = 1;
        for (const Migration &migration : migrations())
            QCOMPARE(migration.version, expected++);
    }

    void aCopyIsWhole()
    {
        StoreFixture fixture;
        VERIFY_OK(writeMeta(*fixture.db, "a", "1"));
        VERIFY_OK(fixture.db->copyTo(fixture.path + ".bak"));
        VERIFY_OK(fixture.db->copyTo(fixture.path + ".bak")); // replaces
        auto copy = Database::open(fixture.path + ".bak");
        VERIFY_OK(copy);
        QCOMPARE(textOf(**copy, "SELECT value FROM meta WHERE key='a'"), std::string("1"));
    }

    void acknowledgedWritesSurviveAKill()
    {
        QTemporaryDir folder;
        const std::string path = folder.filePath("lxmgr.db").toStdString();
        std::mt19937 random(11);
        int acknowledged = 0;
        for (int round = 0; round < 30; ++round) {
            int pipe[2];
            QCOMPARE(::pipe2(pipe, O_CLOEXEC), 0);
            const pid_t child = ::fork();
            if (child == 0)
                writeUntilKilled(path, std::to_string(round), pipe[1]);
            ::close(pipe[1]);
            char buffer[4096];
            if (round % 2 == 1) // else it may be killed on its way to the first write, too
                acknowledged += static_cast<int>(::read(pipe[0], buffer, 1));
            ::usleep(random() % 30000);
            ::kill(child, SIGKILL);
            int status = 0;
            ::waitpid(child, &status, 0);
            QVERIFY(WIFSIGNALED(status)); // it could open what the last one left
            for (ssize_t got; (got = ::read(pipe[0], buffer, sizeof buffer)) > 0;)
                acknowledged += static_cast<int>(got);
            ::close(pipe[0]);
        }
        auto db = Database::open(path);
        VERIFY_OK(db);
        VERIFY_OK((*db)->check());
        const int found = std::stoi(textOf(**db, "SELECT count(*) FROM meta WHERE value='x'"));
        QVERIFY2(found >= acknowledged && acknowledged > 0,
                 (std::to_string(found) + " of " + std::to_string(acknowledged)).c_str());
    }

    void aKilledCreationIsTakenUpAgain()
    {
        std::mt19937 random(7);
        for (int round = 0; round < 100; ++round) {
            QTemporaryDir folder;
            const std::string path = folder.filePath("lxmgr.db").toStdString();
            const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
            for (int kills = 0; kills < 2; ++kills) {
                const pid_t child = ::fork();
                if (child == 0)
                    writeUntilKilled(path, std::to_string(kills), null.get());
                ::usleep(random() % 8000);
                ::kill(child, SIGKILL);
                int status = 0;
                ::waitpid(child, &status, 0);
                QVERIFY(WIFSIGNALED(status));
            }
            auto db = Database::open(path);
            VERIFY_OK(db);
            VERIFY_OK((*db)->check());
        }
    }

    void deletingWorksOnAFullDisk_data()
    {
        QTest::addColumn<QByteArray>("size");
        QTest::addColumn<qint64>("reserve");
        QTest::newRow("of any size") << QByteArray("96m") << qint64(8 << 20);
        QTest::newRow("that is small") << QByteArray("24m") << qint64(2 << 20);
        QTest::newRow("that is tiny") << QByteArray("4m") << qint64(256 << 10);
    }

    void deletingWorksOnAFullDisk()
    {
        QFETCH(QByteArray, size);
        QFETCH(qint64, reserve);
        if (!ownMounts())
            QSKIP("no mount namespace of our own here");
        QTemporaryDir folder;
        const std::string at = folder.path().toStdString();
        if (::mount("tmpfs", at.c_str(), "tmpfs", 0, ("mode=700,size=" + size).constData()) != 0)
            QSKIP("no tmpfs here");
        const auto gone = qScopeGuard([&] { ::umount2(at.c_str(), MNT_DETACH); });
        const QString reserveFile = QString::fromStdString(at + "/reserve");
        {
            auto opened = Database::open(at + "/lxmgr.db");
            VERIFY_OK(opened);
            Database &db = **opened;
            QVERIFY2(QFile(reserveFile).size() >= reserve, QByteArray::number(QFile(reserveFile).size()));
            for (int i = 0; i < 500; ++i)
                VERIFY_OK(db.transaction([&] { return writeMeta(db, "k" + std::to_string(i), std::string(1000, 'v')); },
                                         Durability::Relaxed));
            fill(at + "/big");

            Status full;
            for (int i = 0; full && i < 20000; ++i)
                full =
                    db.transaction([&] { return writeMeta(db, "more" + std::to_string(i), std::string(1000, 'v')); });
            VERIFY_FAILS(Code::NoSpace, full);
            QVERIFY(QFile::exists(reserveFile)); // not for making more
            QCOMPARE(textOf(db, "SELECT count(*) FROM meta WHERE key='k1'"), std::string("1"));

            const auto removeLike = [&](const std::string &pattern) {
                FreeingSpace freeing(db);
                return db.transaction([&] { return run(db, "DELETE FROM meta WHERE key LIKE ?", pattern); });
            };
            {
                FreeingSpace freeing(db);
                VERIFY_OK(freeing.attempt([&] { return writeFile(at + "/listing", std::string(16384, 'x')); }));
                QVERIFY(!QFile::exists(reserveFile));
                VERIFY_OK(removeLike("k1%"));
            }
            QVERIFY(QFile::exists(reserveFile)); // what nobody needed is kept for the next time
            QFile::remove(reserveFile);
            fill(at + "/rest");
            VERIFY_OK(removeLike("more1%")); // and without it, when another was quicker to take what it left
            QFile::remove(QString::fromStdString(at + "/rest"));
            VERIFY_OK(removeLike("more2%"));
            QVERIFY(QFile::exists(reserveFile)); // there again when there is room
            VERIFY_OK(db.transaction([&] { return writeMeta(db, "after", "1"); }));
            VERIFY_OK(db.check());
        }
        {
            fill(at + "/rest");
            auto opened = Database::open(at + "/lxmgr.db"); // the daemon must start on a full disk too
            VERIFY_OK(opened);
            QCOMPARE(textOf(**opened, "SELECT value FROM meta WHERE key='after'"), std::string("1"));
            QVERIFY(QFile::exists(reserveFile)); // what was not needed is kept for the next time
            FreeingSpace freeing(**opened);
            VERIFY_OK((*opened)->transaction([&] { return run(**opened, "DELETE FROM meta WHERE key='after'"); }));
        }
    }
};

QTEST_APPLESS_MAIN(TestDatabase)
#include "tst_database.moc"

// Rows of what can be undone, and the server's own keys.
#include "store/server_config.h"
#include "store/undo.h"
#include "store_fixture.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::store;

namespace
{

constexpr std::int64_t kLater = 2'000'000'000'000;

UndoEntry entryOf(UndoKind kind, const std::string &object, const std::string &pool)
{
    UndoEntry entry;
    entry.kind = kind;
    entry.object = object;
    entry.pool = pool;
    entry.aside = pool.empty() ? "" : "0123456789abcdef";
    entry.document = "name: " + object + "\n";
    entry.expiresAt = kLater;
    return entry;
}

std::vector<std::string> objectsOf(const std::vector<UndoEntry> &entries)
{
    std::vector<std::string> objects;
    for (const UndoEntry &entry : entries)
        objects.push_back(entry.object);
    return objects;
}

} // namespace

class TestUndoRows : public QObject
{
    Q_OBJECT
private slots:
    /// A newer version rebuilds the table: what is kept stays, under its number, and no number is given twice.
    void numbersOutliveANewVersion()
    {
        QTemporaryDir folder;
        const std::string path = folder.filePath("lxmgr.db").toStdString();
        {
            auto older = Database::open(path, migrations().first(6));
            VERIFY_OK(older);
            for (const char *object : {"web1", "web2", "web3"})
                VERIFY_OK(insertUndo(**older, entryOf(UndoKind::Delete, object, "p1")));
            VERIFY_OK(deleteUndo(**older, 3));
        }
        auto db = Database::open(path);
        VERIFY_OK(db);
        QCOMPARE(objectsOf(*listUndo(**db, "")), (std::vector<std::string>{"web1", "web2"}));
        QCOMPARE(findUndo(**db, 2)->object, std::string("web2"));
        QCOMPARE(*insertUndo(**db, entryOf(UndoKind::Volume, "data", "p1")), std::int64_t{4});
    }

    void entriesComeBack()
    {
        StoreFixture f;
        for (const UndoKind kind : {UndoKind::Delete, UndoKind::Snapshot, UndoKind::Restore, UndoKind::Config, UndoKind::Profile,
                                    UndoKind::Volume, UndoKind::VolumeSnapshot, UndoKind::VolumeRestore}) {
            const auto id = insertUndo(*f.db, entryOf(kind, "web1", "p1"));
            VERIFY_OK(id);
            const auto found = findUndo(*f.db, *id);
            VERIFY_OK(found);
            QVERIFY(found->kind == kind && found->status == UndoStatus::Kept && found->createdAt > 0);
            QCOMPARE(found->document, std::string("name: web1\n"));
        }
        VERIFY_FAILS(Code::NotFound, findUndo(*f.db, 99));
    }

    void numbersAreNotGivenTwice()
    {
        StoreFixture f;
        const auto first = insertUndo(*f.db, entryOf(UndoKind::Config, "a", ""));
        VERIFY_OK(first);
        VERIFY_OK(deleteUndo(*f.db, *first));
        const auto second = insertUndo(*f.db, entryOf(UndoKind::Config, "b", ""));
        VERIFY_OK(second);
        QVERIFY(*second > *first);
    }

    void definitionsPushOutNoFiles()
    {
        StoreFixture f;
        VERIFY_OK(insertUndo(*f.db, entryOf(UndoKind::Delete, "deleted", "p1")));
        for (int i = 0; i < 5; ++i)
            VERIFY_OK(insertUndo(*f.db, entryOf(UndoKind::Config, "key" + std::to_string(i), "")));
        const auto beyond = listExpiredUndo(*f.db, kLater - 1, 2);
        VERIFY_OK(beyond);
        QCOMPARE(objectsOf(*beyond), (std::vector<std::string>{"key0", "key1", "key2"}));
        const auto expired = listExpiredUndo(*f.db, kLater, 2);
        VERIFY_OK(expired);
        QCOMPARE(expired->size(), std::size_t(6));
    }

    void whatIsBeingDoneDoesNotExpire()
    {
        StoreFixture f;
        const auto id = insertUndo(*f.db, entryOf(UndoKind::Delete, "web1", "p1"));
        VERIFY_OK(id);
        VERIFY_OK(setUndoStatus(*f.db, *id, UndoStatus::Applying, "web2"));
        QCOMPARE(findUndo(*f.db, *id)->target, std::string("web2"));
        QVERIFY(listExpiredUndo(*f.db, kLater, 1000)->empty());
        QVERIFY(*anyUndoFiles(*f.db));
        VERIFY_OK(deleteUndoIn(*f.db, "p1"));
        QVERIFY(!*anyUndoFiles(*f.db));
    }

    void serverKeysAreReplacedWhole()
    {
        StoreFixture f;
        VERIFY_OK(setServerConfig(*f.db, {{"trash.expiry", "3d"}, {"user.a", "1"}}));
        VERIFY_OK(setServerConfig(*f.db, {{"user.b", "2"}}));
        QCOMPARE(*serverConfig(*f.db), (StringMap{{"user.b", "2"}}));
    }
};

QTEST_APPLESS_MAIN(TestUndoRows)
#include "tst_undo_rows.moc"

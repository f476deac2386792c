// Rows of exports that the server keeps: whose they are, while their instance is there, gone, and back.
#include "store/exports.h"
#include "store/instances.h"
#include "store_fixture.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::store;

namespace
{

constexpr const char *kUuid = "5b6f1f0e-0c67-4a43-9f5f-0d9ac0f1f001";

std::int64_t addInstance(StoreFixture &f, const std::string &name)
{
    Instance row;
    row.name = name;
    row.architecture = "x86_64";
    row.pool = "default";
    return insertInstance(*f.db, row).value_or(0);
}

Export exportOf(std::int64_t instance, const std::string &name, const std::string &uuid = kUuid)
{
    Export row;
    row.owner = {ExportOwner::Kind::Instance, instance};
    row.uuid = uuid;
    row.name = name;
    row.file = "file-of-" + std::to_string(instance) + name;
    row.compression = "gzip";
    return row;
}

} // namespace

class TestExportRows : public QObject
{
    Q_OBJECT
private slots:
    void rowsComeBack()
    {
        StoreFixture f;
        const ExportOwner owner{ExportOwner::Kind::Instance, addInstance(f, "web1")};
        Export wanted = exportOf(owner.id, "b0");
        wanted.withoutSnapshots = true;
        wanted.expiresAt = 77;
        const auto id = insertExport(*f.db, wanted);
        VERIFY_OK(id);
        VERIFY_FAILS(Code::AlreadyExists, insertExport(*f.db, wanted));
        VERIFY_OK(finishExport(*f.db, *id, 1234));
        const auto found = findExport(*f.db, owner, "b0");
        VERIFY_OK(found);
        QVERIFY(found->status == ExportStatus::Ready && found->size == 1234 && found->createdAt > 0);
        QVERIFY(found->withoutSnapshots && !found->optimized && found->owner.id == owner.id && found->uuid == kUuid);
        QCOMPARE(nextExportExpiry(*f.db).value_or(-1), std::int64_t{77});
        QCOMPARE(listExpiredExports(*f.db, 76)->size(), std::size_t(0));
        QCOMPARE(listExpiredExports(*f.db, 77)->size(), std::size_t(1));
        VERIFY_OK(renameExport(*f.db, *id, "b1"));
        VERIFY_FAILS(Code::NotFound, findExport(*f.db, owner, "b0"));
        VERIFY_FAILS(Code::NotFound, findExport(*f.db, {ExportOwner::Kind::Volume, owner.id}, "b1"));
        VERIFY_OK(dropExport(*f.db, *id));
        QVERIFY(listExports(*f.db, owner)->empty());
        QCOMPARE(listExportsIn(*f.db, ExportStatus::Deleting)->size(), std::size_t(1));
        VERIFY_OK(deleteExport(*f.db, *id));
        QVERIFY(listExports(*f.db)->empty());
    }

    void namesAreThoseOfOneInstance()
    {
        StoreFixture f;
        const std::int64_t one = addInstance(f, "web1"), other = addInstance(f, "web2");
        const auto first = insertExport(*f.db, exportOf(one, "a"));
        VERIFY_OK(first);
        VERIFY_OK(insertExport(*f.db, exportOf(one, "b")));
        VERIFY_OK(insertExport(*f.db, exportOf(other, "a", "another")));
        VERIFY_FAILS(Code::AlreadyExists, renameExport(*f.db, *first, "b"));
        QCOMPARE(listExports(*f.db, {ExportOwner::Kind::Instance, one})->size(), std::size_t(2));
        VERIFY_OK(dropExportsOf(*f.db, {ExportOwner::Kind::Instance, one}));
        QCOMPARE(listExportsIn(*f.db, ExportStatus::Deleting)->size(), std::size_t(2));
        QCOMPARE(listExports(*f.db, {ExportOwner::Kind::Instance, other})->size(), std::size_t(1));
    }

    void theyWaitForTheirInstance()
    {
        StoreFixture f;
        const std::int64_t before = addInstance(f, "web1");
        VERIFY_OK(insertExport(*f.db, exportOf(before, "a")));
        VERIFY_OK(deleteInstance(*f.db, before));
        QCOMPARE(listExports(*f.db)->size(), std::size_t(1));
        const std::int64_t stranger = addInstance(f, "web1");
        VERIFY_OK(adoptExports(*f.db, "", stranger));
        VERIFY_OK(adoptExports(*f.db, "another", stranger));
        QVERIFY(listExports(*f.db, {ExportOwner::Kind::Instance, stranger})->empty());
        VERIFY_OK(adoptExports(*f.db, kUuid, stranger));
        QCOMPARE(listExports(*f.db, {ExportOwner::Kind::Instance, stranger})->size(), std::size_t(1));
        VERIFY_OK(dropExportsOfGone(*f.db, kUuid)); // it is there
        QVERIFY(listExportsIn(*f.db, ExportStatus::Deleting)->empty());
        VERIFY_OK(deleteInstance(*f.db, stranger));
        VERIFY_OK(dropExportsOfGone(*f.db, kUuid));
        QCOMPARE(listExportsIn(*f.db, ExportStatus::Deleting)->size(), std::size_t(1));
    }
};

QTEST_APPLESS_MAIN(TestExportRows)
#include "tst_export_rows.moc"

// Rows of warnings: counted, acknowledged, resolved and back, and what becomes of them when their object is renamed or goes.
#include "store/instances.h"
#include "store/warnings.h"
#include "store_fixture.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::store;

namespace
{

using Kind = WarningSubject::Kind;
const std::string kType = "Failed to autostart instance";

std::int64_t addInstance(StoreFixture &f, const std::string &name)
{
    Instance row;
    row.name = name;
    row.architecture = "x86_64";
    row.pool = "default";
    return insertInstance(*f.db, row).value_or(0);
}

Warning only(StoreFixture &f)
{
    const auto all = listWarnings(*f.db).value_or(std::vector<Warning>{});
    return all.size() == 1 ? all.front() : Warning{"", std::to_string(all.size()) + " warnings", {}, "", "", "", {}, 0, 0, 0, ""};
}

} // namespace

class TestWarningRows : public QObject
{
    Q_OBJECT
private slots:
    void theSameIsCounted();
    void oneThatIsKnownStaysKnown();
    void whatIsResolvedComesBackAsNew();
    void itGoesByItsObject();
    void theServersOwn();
    void whatWasResolvedLongAgoGoes();
};

void TestWarningRows::theSameIsCounted()
{
    StoreFixture f;
    const WarningSubject subject{Kind::Instance, addInstance(f, "web1")};
    VERIFY_OK(noteWarning(*f.db, "u1", kType, subject, "first"));
    VERIFY_OK(noteWarning(*f.db, "u2", kType, subject, "second"));
    const Warning row = only(f);
    QCOMPARE(row.uuid, std::string("u1"));
    QCOMPARE(row.type, kType);
    QCOMPARE(row.count, std::int64_t(2));
    QCOMPARE(row.message, std::string("second"));
    QCOMPARE(row.name, std::string("web1"));
    QCOMPARE(row.project, kDefaultProject);
    QVERIFY(row.status == WarningStatus::New);
    QVERIFY(row.firstSeen > 0 && row.firstSeen <= row.lastSeen);
    VERIFY_OK(noteWarning(*f.db, "u3", "something else", subject, "other"));
    VERIFY_OK(noteWarning(*f.db, "u4", kType, {Kind::Instance, addInstance(f, "web2")}, "other"));
    QCOMPARE(countWarnings(*f.db, WarningStatus::New).value_or(0), std::int64_t(3));
}

void TestWarningRows::oneThatIsKnownStaysKnown()
{
    StoreFixture f;
    const WarningSubject subject{Kind::Instance, addInstance(f, "web1")};
    VERIFY_OK(noteWarning(*f.db, "u1", kType, subject, "first"));
    VERIFY_OK(setWarningStatus(*f.db, "u1", WarningStatus::Acknowledged));
    VERIFY_OK(noteWarning(*f.db, "u2", kType, subject, "second"));
    QVERIFY(only(f).status == WarningStatus::Acknowledged);
    QCOMPARE(only(f).count, std::int64_t(2));
    QCOMPARE(setWarningStatus(*f.db, "u2", WarningStatus::New).error().code, Code::NotFound);
}

void TestWarningRows::whatIsResolvedComesBackAsNew()
{
    StoreFixture f;
    const WarningSubject subject{Kind::Instance, addInstance(f, "web1")};
    VERIFY_OK(resolveWarning(*f.db, kType, subject)); // there is none
    VERIFY_OK(noteWarning(*f.db, "u1", kType, subject, "first"));
    VERIFY_OK(resolveWarning(*f.db, "something else", subject));
    QVERIFY(only(f).status == WarningStatus::New);
    VERIFY_OK(resolveWarning(*f.db, kType, subject));
    QVERIFY(only(f).status == WarningStatus::Resolved);
    VERIFY_OK(noteWarning(*f.db, "u2", kType, subject, "again"));
    QVERIFY(only(f).status == WarningStatus::New);
    QCOMPARE(only(f).uuid, std::string("u1"));
}

void TestWarningRows::itGoesByItsObject()
{
    StoreFixture f;
    const std::int64_t id = addInstance(f, "web1");
    VERIFY_OK(noteWarning(*f.db, "u1", kType, {Kind::Instance, id}, "first"));
    VERIFY_OK(renameInstance(*f.db, id, "web2"));
    QCOMPARE(only(f).name, std::string("web2"));
    VERIFY_OK(deleteInstance(*f.db, id));
    QCOMPARE(listWarnings(*f.db)->size(), std::size_t(0));
}

void TestWarningRows::theServersOwn()
{
    StoreFixture f;
    VERIFY_OK(noteWarning(*f.db, "u1", kType, {}, "first"));
    VERIFY_OK(noteWarning(*f.db, "u2", kType, {}, "second"));
    const Warning row = only(f);
    QVERIFY(row.subject.kind == Kind::Server);
    QCOMPARE(row.name + row.project + row.pool, std::string());
    QCOMPARE(row.count, std::int64_t(2));
    VERIFY_OK(deleteWarning(*f.db, "u1"));
    QCOMPARE(deleteWarning(*f.db, "u1").error().code, Code::NotFound);
}

void TestWarningRows::whatWasResolvedLongAgoGoes()
{
    StoreFixture f;
    VERIFY_OK(noteWarning(*f.db, "u1", "open", {}, "still so"));
    VERIFY_OK(noteWarning(*f.db, "u2", "over", {}, "put right"));
    VERIFY_OK(resolveWarnings(*f.db, "over"));
    VERIFY_OK(deleteResolvedWarnings(*f.db, unixMillis() - 60'000));
    QCOMPARE(listWarnings(*f.db)->size(), std::size_t(2));
    VERIFY_OK(deleteResolvedWarnings(*f.db, unixMillis() + 60'000));
    QCOMPARE(only(f).type, std::string("open"));
}

QTEST_GUILESS_MAIN(TestWarningRows)
#include "tst_warning_rows.moc"

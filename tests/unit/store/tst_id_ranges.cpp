// What the id ranges promise: no two instances share a host id, nothing the host uses or promised is taken.
#include "store/instances.h"
#include "store_fixture.h"

#include <map>
#include <random>
#include <set>

using namespace lxmgr;
using namespace lxmgr::store;

namespace
{

std::int64_t make(Database &db, const std::string &name)
{
    Instance instance;
    instance.name = name;
    const auto id = insertInstance(db, instance);
    return id ? *id : -1;
}

bool meet(const IdRange &a, const IdRange &b)
{
    return a.base < std::uint64_t{b.base} + b.size && b.base < std::uint64_t{a.base} + a.size;
}

} // namespace

class TestIdRanges : public QObject
{
    Q_OBJECT
private slots:
    void theHostsPromisesAreRead()
    {
        const IdPool pool = IdPool::fromHost("root:100000:65536\nlxmgr:1000000:1000000000\nalice:1000000:65536\n# "
                                             "bob:5:5\nbroken\ncarl:x:1\ndora:2000000:0\n"
                                             "1001:1065536:65536\n",
                                             "alice:1065000:70000\n",
                                             "root:x:0:0:root:/root:/bin/sh\nbig:x:1500000:1500000::/:/bin/sh\n",
                                             "root:x:0:\nstaff:x:50:a,b\n");
        QCOMPARE(pool.taken, (std::vector<IdRange>{
                                 {0,       1     },
                                 {50,      1     },
                                 {1000000, 135000},
                                 {1500000, 1     }
        }));
        QCOMPARE(IdPool::fromHost("a:4294967294:9999999999999\nb:1:4294967295\n", "", "", "").taken,
                 (std::vector<IdRange>{
                     {1, 4294967294U}
        }));
        QVERIFY(IdPool::fromHost("", "", "", "").taken.empty());
    }

    void theFirstIsTheBase()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        const IdPool pool;
        const auto first = allocateIdRange(db, make(db, "a"), pool);
        const auto second = allocateIdRange(db, make(db, "b"), pool);
        VERIFY_OK(first);
        VERIFY_OK(second);
        QCOMPARE(*first, (IdRange{1000000, 65536}));
        QCOMPARE(*second, (IdRange{1065536, 65536}));
        QCOMPARE(findInstance(db, "default", "b")->idRange, *second);
    }

    void promisedIdsArePassedOver()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        const IdPool pool = IdPool::fromHost("alice:1000000:65536\nbob:1131072:1\n", "", "", "");
        QCOMPARE(*allocateIdRange(db, make(db, "a"), pool), (IdRange{1065536, 65536}));
        QCOMPARE(*allocateIdRange(db, make(db, "b"), pool), (IdRange{1196608, 65536}));
        VERIFY_FAILS(Code::Invalid, allocateIdRange(db, make(db, "c"), pool, 65536, 1131000));
    }

    void aBaseMayBeAskedFor()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        const IdPool pool;
        const std::int64_t a = make(db, "a"), b = make(db, "b");
        QCOMPARE(*allocateIdRange(db, a, pool, 100000, 500000), (IdRange{500000, 100000}));
        VERIFY_FAILS(Code::AlreadyExists, allocateIdRange(db, b, pool, 65536, 599999));
        VERIFY_FAILS(Code::Invalid, allocateIdRange(db, b, pool, 65536, 0));
        VERIFY_FAILS(Code::Invalid, allocateIdRange(db, b, pool, 65536, 4294967295U));
        VERIFY_FAILS(Code::Invalid, allocateIdRange(db, b, pool, 1000));
        VERIFY_OK(releaseIdRange(db, a));
        VERIFY_OK(allocateIdRange(db, b, pool, 65536, 599999));
    }

    void anInstanceHasOneRange()
    {
        StoreFixture fixture;
        const std::int64_t a = make(*fixture.db, "a");
        VERIFY_OK(allocateIdRange(*fixture.db, a, {}));
        QVERIFY(!allocateIdRange(*fixture.db, a, {}));
    }

    void whenNoneIsLeftItSaysSo()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        IdPool pool;
        pool.count = 3 * 65536 + 100;
        for (const char *name : {"a", "b", "c"})
            VERIFY_OK(allocateIdRange(db, make(db, name), pool));
        const auto none = allocateIdRange(db, make(db, "d"), pool);
        VERIFY_FAILS(Code::NoSpace, none);
        VERIFY_OK(deleteInstance(db, findInstance(db, "default", "b")->id));
        QCOMPARE(*allocateIdRange(db, findInstance(db, "default", "d")->id, pool), (IdRange{1065536, 65536}));
    }

    void tenThousandRandomCreatesAndDeletesNeverMeet()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        std::mt19937 random(3);
        const IdPool pool =
            IdPool::fromHost("alice:1200000:65536\nbob:3000000:300000\n", "", "x:x:2000000:1::/:\n", "");
        std::map<std::int64_t, IdRange> live; // the model
        for (int i = 0; i < 10000; ++i) {
            if (live.size() > 40 || (!live.empty() && random() % 2 == 0)) {
                const auto victim = std::next(live.begin(), static_cast<long>(random() % live.size()));
                VERIFY_OK(db.transaction([&] { return deleteInstance(db, victim->first); }, Durability::Relaxed));
                live.erase(victim);
                continue;
            }
            const std::uint32_t size =
                random() % 3 == 0 ? static_cast<std::uint32_t>(65536 + random() % 300000) : 65536;
            std::optional<std::uint32_t> base;
            if (random() % 5 == 0)
                base = static_cast<std::uint32_t>(100000 + random() % 5000000);
            std::int64_t id = 0;
            const auto range = db.transaction(
                [&]() -> Result<IdRange> {
                    Instance instance;
                    instance.name = "i" + std::to_string(i);
                    id = TRY(insertInstance(db, instance));
                    return allocateIdRange(db, id, pool, size, base);
                },
                Durability::Relaxed);
            if (!range) {
                QVERIFY2(base, range.error().message.c_str()); // only what was asked for by number may be refused here
                continue;
            }
            QCOMPARE(range->size, size);
            for (const auto &[other, taken] : live)
                QVERIFY(!meet(*range, taken));
            for (const IdRange &taken : pool.taken)
                QVERIFY(!meet(*range, taken));
            live[id] = *range;
        }
        const auto all = listInstances(db, "default");
        VERIFY_OK(all);
        QCOMPARE(all->size(), live.size());
        for (const Instance &instance : *all)
            QCOMPARE(instance.idRange, live.at(instance.id));
        VERIFY_OK(db.check());
    }
};

QTEST_APPLESS_MAIN(TestIdRanges)
#include "tst_id_ranges.moc"

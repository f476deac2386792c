// Rows of custom volumes and their snapshots.
#include "store/statement.h"
#include "store/storage_pools.h"
#include "store/volumes.h"
#include "store_fixture.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::store;

namespace
{

Volume volumeNamed(const std::string &pool, const std::string &name)
{
    Volume volume;
    volume.pool = pool;
    volume.name = name;
    volume.description = "for a test";
    volume.config = {
        {"user.a", "1"},
        {"user.b", "2"}
    };
    return volume;
}

struct Fixture : StoreFixture {
    Fixture()
    {
        for (const char *name : {"p1", "p2"})
            if (!insertPool(*db, {0, kDefaultProject, name, "dir", "", {}}))
                qFatal("no pool");
    }
};

} // namespace

class TestVolumeRows : public QObject
{
    Q_OBJECT
private slots:
    void volumeComesBack()
    {
        Fixture f;
        VERIFY_OK(insertVolume(*f.db, volumeNamed("p1", "data")));
        const auto found = findVolume(*f.db, "p1", "default", "data");
        VERIFY_OK(found);
        QVERIFY(found->status == VolumeStatus::Creating);
        QCOMPARE(found->config, (StringMap{
                                    {"user.a", "1"},
                                    {"user.b", "2"}
        }));
        QVERIFY(found->createdAt > 0);
        VERIFY_FAILS(Code::NotFound, findVolume(*f.db, "p2", "default", "data"));
    }

    void namesAreTakenWithinAPool()
    {
        Fixture f;
        VERIFY_OK(insertVolume(*f.db, volumeNamed("p1", "data")));
        VERIFY_FAILS(Code::AlreadyExists, insertVolume(*f.db, volumeNamed("p1", "data")));
        VERIFY_OK(insertVolume(*f.db, volumeNamed("p2", "data")));
        VERIFY_FAILS(Code::NotFound, insertVolume(*f.db, volumeNamed("p3", "data")));
        QCOMPARE(listVolumes(*f.db, "", "")->size(), std::size_t{2});
        QCOMPARE(listVolumes(*f.db, "p2", "default")->size(), std::size_t{1});
        QCOMPARE(listVolumes(*f.db, "", "other")->size(), std::size_t{0});
    }

    void changesAreKept()
    {
        Fixture f;
        Volume volume = volumeNamed("p1", "data");
        volume.id = *insertVolume(*f.db, volume);
        volume.description = "other";
        volume.config = {
            {"user.c", "3"}
        };
        VERIFY_OK(updateVolume(*f.db, volume));
        VERIFY_OK(setVolumeStatus(*f.db, volume.id, VolumeStatus::Ready));
        VERIFY_OK(renameVolume(*f.db, volume.id, "moved"));
        const auto found = findVolume(*f.db, "p1", "default", "moved");
        VERIFY_OK(found);
        QVERIFY(found->status == VolumeStatus::Ready);
        QCOMPARE(found->description, std::string("other"));
        QCOMPARE(found->config, (StringMap{
                                    {"user.c", "3"}
        }));
        VERIFY_OK(insertVolume(*f.db, volumeNamed("p1", "data")));
        VERIFY_FAILS(Code::AlreadyExists, renameVolume(*f.db, volume.id, "data"));
    }

    void snapshotsGoWithTheirVolume()
    {
        Fixture f;
        const std::int64_t id = *insertVolume(*f.db, volumeNamed("p1", "data"));
        VolumeSnapshot snapshot;
        snapshot.volumeId = id;
        snapshot.name = "s1";
        snapshot.config = {
            {"user.a", "1"}
        };
        snapshot.id = *insertVolumeSnapshot(*f.db, snapshot);
        VERIFY_FAILS(Code::AlreadyExists, insertVolumeSnapshot(*f.db, snapshot));
        snapshot.description = "first";
        snapshot.expiresAt = 5;
        VERIFY_OK(updateVolumeSnapshot(*f.db, snapshot));
        VERIFY_OK(setVolumeSnapshotStatus(*f.db, snapshot.id, VolumeStatus::Ready));
        VERIFY_OK(renameVolumeSnapshot(*f.db, snapshot.id, "s2"));
        const auto found = findVolumeSnapshot(*f.db, id, "s2");
        VERIFY_OK(found);
        QCOMPARE(found->description, std::string("first"));
        QCOMPARE(found->expiresAt, std::int64_t{5});
        QCOMPARE(found->config, (StringMap{
                                    {"user.a", "1"}
        }));
        VERIFY_OK(deleteVolume(*f.db, id));
        QVERIFY(!f.db->prepare("SELECT 1 FROM volume_snapshots")->next().value_or(true));
        QVERIFY(!f.db->prepare("SELECT 1 FROM volume_snapshot_config")->next().value_or(true));
        VERIFY_FAILS(Code::NotFound, deleteVolume(*f.db, id));
    }

    void volumesMove()
    {
        Fixture f;
        Volume volume = volumeNamed("p1", "data");
        volume.uuid = "u1";
        volume.id = *insertVolume(*f.db, volume);
        VERIFY_OK(insertVolume(*f.db, volumeNamed("p2", "taken")));
        VERIFY_FAILS(Code::AlreadyExists, moveVolume(*f.db, volume.id, "p2", "default", "taken"));
        VERIFY_FAILS(Code::NotFound, moveVolume(*f.db, volume.id, "p3", "default", "data"));
        VERIFY_FAILS(Code::NotFound, moveVolume(*f.db, volume.id, "p2", "other", "data"));
        VERIFY_OK(moveVolume(*f.db, volume.id, "p2", "default", "moved"));
        QCOMPARE(findVolume(*f.db, "p2", "default", "moved")->uuid, std::string("u1"));
        QCOMPARE(findVolume(*f.db, volume.id)->name, std::string("moved"));
        VERIFY_FAILS(Code::NotFound, findVolume(*f.db, 99));
    }

    void theClockFindsItsRows()
    {
        Fixture f;
        Volume volume = volumeNamed("p1", "data");
        const std::int64_t id = *insertVolume(*f.db, volume);
        QCOMPARE(listScheduledVolumes(*f.db)->size(), std::size_t{0});
        QCOMPARE(*nextVolumeSnapshotExpiry(*f.db), std::int64_t{0});
        volume.name = "other";
        volume.config["snapshots.schedule"] = "@daily";
        VERIFY_OK(insertVolume(*f.db, volume));
        QCOMPARE(listScheduledVolumes(*f.db)->front().name, std::string("other"));
        for (const std::int64_t at : {0, 30, 20}) { // the last was made first
            VolumeSnapshot snapshot;
            snapshot.volumeId = id;
            snapshot.name = "s" + std::to_string(at);
            snapshot.status = VolumeStatus::Ready;
            snapshot.createdAt = 100 - at;
            snapshot.expiresAt = at;
            snapshot.schedule = "nightly";
            VERIFY_OK(insertVolumeSnapshot(*f.db, snapshot));
        }
        QCOMPARE(*nextVolumeSnapshotExpiry(*f.db), std::int64_t{20});
        QCOMPARE(listExpiredVolumeSnapshots(*f.db, 25)->size(), std::size_t{1});
        QCOMPARE(listExpiredVolumeSnapshots(*f.db, 30)->size(), std::size_t{2});
        const auto all = listVolumeSnapshots(*f.db, id);
        VERIFY_OK(all);
        QCOMPARE(all->front().name, std::string("s30")); // by age
        QCOMPARE(all->front().schedule, std::string("nightly"));
    }

    void poolsWithVolumesStay()
    {
        Fixture f;
        const std::int64_t id = *insertVolume(*f.db, volumeNamed("p1", "data"));
        const std::int64_t pool = findPool(*f.db, "p1")->id;
        VERIFY_FAILS(Code::WrongState, deletePool(*f.db, pool));
        VERIFY_OK(deleteVolume(*f.db, id));
        VERIFY_OK(deletePool(*f.db, pool));
    }
};

QTEST_APPLESS_MAIN(TestVolumeRows)
#include "tst_volume_rows.moc"

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

// What zfs and zpool print, and the names they are given.
#include "storage/zfs_dataset.h"
#include "storage/zfs_pool.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::storage;

class TestZfsOutput : public QObject
{
    Q_OBJECT
private slots:
    void errorsSayWhatTheyMean_data()
    {
        QTest::addColumn<QString>("said");
        QTest::addColumn<int>("code");
        QTest::addColumn<QString>("message");
        const auto row = [](const char *said, Code code, const char *message) {
            QTest::newRow(message) << said << int(code) << message;
        };
        row("cannot open 'tank/x': dataset does not exist\n", Code::NotFound, "zfs: cannot open 'tank/x': dataset does not exist");
        row("cannot create 'tank/x': dataset already exists\n", Code::AlreadyExists,
            "zfs: cannot create 'tank/x': dataset already exists");
        row("cannot create 'tank/x': no such pool 'tank'\n", Code::NotFound, "zfs: cannot create 'tank/x': no such pool 'tank'");
        row("cannot unmount '/m': pool or dataset is busy\n", Code::WrongState, "zfs: cannot unmount '/m': pool or dataset is busy");
        row("cannot destroy 'tank/x': filesystem has children\nuse '-r' to destroy the following datasets:\ntank/x/a\n",
            Code::WrongState, "zfs: cannot destroy 'tank/x': filesystem has children; tank/x/a");
        row("invalid vdev specification\nuse '-f' to override the following errors:\n/dev/sdb is part of active pool 'tank'\n",
            Code::WrongState, "zfs: invalid vdev specification; /dev/sdb is part of active pool 'tank'");
        row("cannot create 'tank/x': out of space\n", Code::NoSpace, "zfs: cannot create 'tank/x': out of space");
        row("cannot set property for 'tank/x': size is less than current used or reserved space\n", Code::WrongState,
            "zfs: cannot set property for 'tank/x': size is less than current used or reserved space (more is stored than that)");
        row("The ZFS modules cannot be auto-loaded.\nTry running 'modprobe zfs' as root to manually load them.\n",
            Code::Unsupported,
            "zfs: The ZFS modules cannot be auto-loaded. (install zfs-dkms, or the kernel's own package of the module)");
        row("The ZFS modules are not loaded.\nTry running 'modprobe zfs' as root to load them.\n", Code::Unsupported,
            "zfs: The ZFS modules are not loaded. (modprobe zfs)");
        row("something new\nof \x1b[1mtwo lines\n", Code::Internal, "zfs: something new; of \\x1b[1mtwo lines");
    }
    void errorsSayWhatTheyMean()
    {
        QFETCH(QString, said);
        QFETCH(int, code);
        QFETCH(QString, message);
        const Error error = zfs::errorOf("zfs", said.toStdString());
        QCOMPARE(QString::fromStdString(error.message), message);
        QCOMPARE(int(error.code), code);
    }

    void rowsAreRead()
    {
        const auto rows = zfs::parseRows("tank/a b\t1\ntank/c\t-\n", 2);
        VERIFY_OK(rows);
        QCOMPARE(*rows, (std::vector<std::vector<std::string>>{{"tank/a b", "1"}, {"tank/c", "-"}}));
        QVERIFY(zfs::parseRows("", 2)->empty());
        VERIFY_FAILS(Code::Corrupt, zfs::parseRows("tank/a\n", 2));
        VERIFY_FAILS(Code::Corrupt, zfs::parseRows("tank/a\t1\t2\n", 2));
        QCOMPARE(*zfs::parseNumber("1006632960"), std::uint64_t(1006632960));
        QCOMPARE(*zfs::parseNumber("-"), std::uint64_t(0));
        QCOMPARE(*zfs::parseNumber("none"), std::uint64_t(0));
        VERIFY_FAILS(Code::Invalid, zfs::parseNumber("960M"));
    }

    void snapshotsAreReadWithTheirClones()
    {
        const auto snapshots = zfs::parseSnapshots("tank/a@b\ttank/b\ntank/a@c\t-\ntank/a@d\ttank/d,tank/e\n");
        VERIFY_OK(snapshots);
        QCOMPARE(snapshots->size(), std::size_t(3));
        QCOMPARE((*snapshots)[0].name, std::string("tank/a@b"));
        QCOMPARE((*snapshots)[0].clones, std::vector<std::string>{"tank/b"});
        QVERIFY((*snapshots)[1].clones.empty());
        QCOMPARE((*snapshots)[2].clones, (std::vector<std::string>{"tank/d", "tank/e"}));
    }

    void zpoolsToBeImportedAreFound()
    {
        QCOMPARE(zfs::parseImportable("   pool: tank\n     id: 1\n  state: ONLINE\nconfig:\n\n\ttank  ONLINE\n\n"
                                      "   pool: other\n     id: 2\n"),
                 (std::vector<std::string>{"tank", "other"}));
        QVERIFY(zfs::parseImportable("no pools available to import\n").empty());
    }

    void datasetNamesAreChecked_data()
    {
        QTest::addColumn<QString>("name");
        QTest::addColumn<bool>("good");
        for (const char *good : {"tank", "tank/a", "tank/lxmgr/x_1-2.3:4"})
            QTest::newRow(good) << good << true;
        for (const char *bad : {"", "/tank", "tank/", "tank//a", "1tank", "tank/a b", "tank@a", "tank/a@b", "tank/../x",
                                "-f", "tank/$(x)", "tank\n"})
            QTest::newRow(bad) << bad << false;
        QTest::newRow("long") << QString(181, 'a') << false;
    }
    void datasetNamesAreChecked()
    {
        QFETCH(QString, name);
        QFETCH(bool, good);
        QCOMPARE(bool(zfs::checkDatasetName(name.toStdString())), good);
    }

    void aPoolLivesBelowAZpoolOrOnTheDatasetNamed()
    {
        QCOMPARE(zfs::homeIn("tank"), std::string("tank/lxmgr"));
        QCOMPARE(zfs::homeIn("tank/guests"), std::string("tank/guests"));
        QCOMPARE(zfs::poolOf("tank/guests/a"), std::string("tank"));
        QCOMPARE(zfs::poolOf("tank"), std::string("tank"));
    }

    void theDatasetOfAFolderIsFoundInMountinfo()
    {
        const char *mountinfo = "25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
                                "90 25 0:45 / /pool rw,noatime shared:2 master:3 - zfs tank/lxmgr rw,xattr,posixacl\n"
                                "91 25 0:46 / /btrfs rw - btrfs /dev/loop0 rw\n";
        QCOMPARE(zfs::sourceOf(mountinfo, "0:45"), std::string("tank/lxmgr"));
        QCOMPARE(zfs::sourceOf(mountinfo, "0:46"), std::string());
        QCOMPARE(zfs::sourceOf(mountinfo, "0:4"), std::string());
    }
};

QTEST_GUILESS_MAIN(TestZfsOutput)
#include "tst_zfs_output.moc"

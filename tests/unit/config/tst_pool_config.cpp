// Keys of storage pools, and pool.yaml.
#include "config/pool_config.h"
#include "config/pool_keys.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::config;

class TestPoolConfig : public QObject
{
    Q_OBJECT
private slots:
    void keysAreTyped();
    void keysAreRefusedByName_data();
    void keysAreRefusedByName();
    void allThatIsWrongIsTold();
    void documentComesBack();
    void brokenDocumentsAreRefused_data();
    void brokenDocumentsAreRefused();
};

void TestPoolConfig::keysAreTyped()
{
    const auto config = parsePoolConfig("btrfs", {
                                                     {"source",              "/dev/sdb"     },
                                                     {"size",                "2GiB"         },
                                                     {"source.wipe",         "true"         },
                                                     {"btrfs.mount_options", "compress=zstd"},
                                                     {"user.x",              "y"            }
    });
    VERIFY_OK(config);
    QCOMPARE(config->source, std::optional<std::string>("/dev/sdb"));
    QCOMPARE(config->size->count, std::uint64_t{2} << 30);
    QCOMPARE(config->wipe, std::optional(true));
    QCOMPARE(config->user.at("x"), std::string("y"));
    const auto defaults = parsePoolConfig("dir", {{"volume.size", "10GiB"}, {"volume.initial.mode", "0700"}});
    VERIFY_OK(defaults);
    QCOMPARE(defaults->volume, (StringMap{{"initial.mode", "0700"}, {"size", "10GiB"}}));
    VERIFY_OK(parsePoolConfig("dir", {
                                         {"source", ""}
    }));
    const auto group = parsePoolConfig("lvm", {
                                                  {"source",                  "vg0" },
                                                  {"volume.block.filesystem", "xfs" },
                                                  {"lvm.use_thinpool",        "true"}
    });
    VERIFY_OK(group);
    QCOMPARE(group->source, std::optional<std::string>("vg0"));
    VERIFY_FAILS(Code::Invalid, parsePoolConfig("lvm", {
                                                           {"source",      "vg0"},
                                                           {"lvm.vg_name", "vg1"}
    }));
    const auto zfs = parsePoolConfig("zfs", {
                                                {"source",         "tank/guests"},
                                                {"zfs.pool_name",  "tank/guests"},
                                                {"zfs.clone_copy", "true"       },
                                                {"zfs.export",     "no"         }
    });
    VERIFY_OK(zfs);
    QCOMPARE(*zfs->source, std::string("tank/guests"));
    QCOMPARE(zfs->zpoolExport, std::optional(false));
}

void TestPoolConfig::keysAreRefusedByName_data()
{
    QTest::addColumn<QString>("driver");
    QTest::addColumn<QString>("key");
    QTest::addColumn<QString>("value");
    QTest::addColumn<int>("code");
    QTest::addColumn<QString>("told");
    const auto row = [](const char *tag, const char *driver, const char *key, const char *value, Code code,
                        const char *told) { QTest::newRow(tag) << driver << key << value << int(code) << told; };
    row("unknown", "dir", "sizes", "1", Code::Invalid, "did you mean 'size'?");
    row("other driver", "dir", "size", "1GiB", Code::Invalid, "not for the driver 'dir'");
    row("unsupported", "dir", "rsync.bwlimit", "1", Code::Unsupported, "'rsync.bwlimit'");
    row("value", "btrfs", "size", "much", Code::Invalid, "size: ");
    row("relative", "dir", "source", "a/b", Code::Invalid, "source: ");
    row("parent", "dir", "source", "/a/../b", Code::Invalid, "source: ");
    row("default of a volume", "dir", "volume.size", "much", Code::Invalid, "volume: size: ");
    row("unknown default", "dir", "volume.sise", "1GiB", Code::Invalid, "did you mean 'size'?");
    row("unsupported default", "dir", "volume.zfs.blocksize", "8KiB", Code::Unsupported, "'zfs.blocksize'");
    row("text as default", "dir", "volume.user.x", "1", Code::Invalid, "'volume.user.x'");
    row("lvm for others", "btrfs", "lvm.vg_name", "x", Code::Invalid, "not for the driver 'btrfs' (lvm)");
    row("thick volumes", "lvm", "lvm.use_thinpool", "false", Code::Unsupported, "lvm.use_thinpool: ");
    row("file system", "lvm", "volume.block.filesystem", "btrfs", Code::Unsupported, "volume.block.filesystem: ");
    row("file system for others", "dir", "volume.block.filesystem", "ext4", Code::Invalid, "not for the driver 'dir'");
    row("reuse", "lvm", "lvm.vg.force_reuse", "true", Code::Unsupported, "'lvm.vg.force_reuse'");
    row("name of a dataset", "btrfs", "source", "tank/lxmgr", Code::Invalid, "source: ");
    row("whole copies", "zfs", "zfs.clone_copy", "false", Code::Unsupported, "zfs.clone_copy: ");
    row("no such zfs key", "zfs", "zfs.poolname", "x", Code::Invalid, "did you mean 'zfs.pool_name'?");
    row("key of zfs", "lvm", "zfs.export", "true", Code::Invalid, "not for the driver 'lvm' (zfs)");
    row("bare prefix", "dir", "user.", "x", Code::Invalid, "'user.'");
}

void TestPoolConfig::keysAreRefusedByName()
{
    QFETCH(QString, driver);
    QFETCH(QString, key);
    QFETCH(QString, value);
    QFETCH(int, code);
    QFETCH(QString, told);
    const auto config = parsePoolConfig(driver.toStdString(), {
                                                                  {key.toStdString(), value.toStdString()}
    });
    VERIFY_FAILS(Code(code), config);
    QVERIFY2(config.error().message.find(told.toStdString()) != std::string::npos, config.error().message.c_str());
}

void TestPoolConfig::allThatIsWrongIsTold()
{
    const auto config = parsePoolConfig("dir", {
                                                   {"zfs.pool_name", "x" },
                                                   {"sorce",         "/x"}
    });
    VERIFY_FAILS(Code::Invalid, config);
    QVERIFY(config.error().message.find("zfs.pool_name") != std::string::npos);
    QVERIFY(config.error().message.find("sorce") != std::string::npos);
}

void TestPoolConfig::documentComesBack()
{
    const PoolDocument document{
        "fast", "btrfs", "Quick: \"and\"\nsmall", {{"size", "2GiB"}, {"user.x", "true"}}
    };
    const auto read = readPoolDocument(writePoolDocument(document), "pool.yaml");
    VERIFY_OK(read);
    QCOMPARE(*read, document);
}

void TestPoolConfig::brokenDocumentsAreRefused_data()
{
    QTest::addColumn<QString>("text");
    QTest::addColumn<int>("code");
    QTest::newRow("empty") << "" << int(Code::Corrupt);
    QTest::newRow("cut") << "version: 1\nname: a\ndriver: dir\n" << int(Code::Corrupt);
    QTest::newRow("newer") << "version: 2\nname: a\ncomplete: true\n" << int(Code::Unsupported);
    QTest::newRow("a path for a name") << "version: 1\nname: ../a\ndriver: dir\ncomplete: true\n" << int(Code::Corrupt);
    QTest::newRow("unknown key") << "version: 1\nname: a\ncolour: red\ncomplete: true\n" << int(Code::Corrupt);
    QTest::newRow("not YAML") << "version: [" << int(Code::Corrupt);
}

void TestPoolConfig::brokenDocumentsAreRefused()
{
    QFETCH(QString, text);
    QFETCH(int, code);
    VERIFY_FAILS(Code(code), readPoolDocument(text.toStdString(), "pool.yaml"));
}

QTEST_APPLESS_MAIN(TestPoolConfig)
#include "tst_pool_config.moc"

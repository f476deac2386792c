// Keys of projects: typed, refused by name, and what folders and ids they allow.
#include "config/project_config.h"
#include "config/project_keys.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::config;

class TestProjectConfig : public QObject
{
    Q_OBJECT
private slots:
    void keysAreTyped();
    void keysAreRefusedByName_data();
    void keysAreRefusedByName();
    void idsAreAllowedInSpans();
    void theNearestFolderCounts();
};

void TestProjectConfig::keysAreTyped()
{
    const auto config = parseProjectConfig({
        {"limits.memory",                 "2GiB"       },
        {"limits.disk.pool.fast",         "1MiB"       },
        {"limits.cpu",                    "4"          },
        {"restricted.devices.disk.paths", "/srv/a/,/b" },
        {"restricted.idmap.uid",          "7, 1000-1009"},
        {"restricted.devices.pci",        "block"      },
        {"user.x",                        "y"          }
    });
    VERIFY_OK(config);
    QCOMPARE(config->limitsMemory->count, std::uint64_t{2} << 30);
    QCOMPARE(config->limitsDiskPool.at("fast").count, std::uint64_t{1} << 20);
    QCOMPARE(*config->limitsCpu, 4U);
    QCOMPARE(config->diskPaths->paths, (std::vector<std::string>{"/srv/a", "/b"}));
    QCOMPARE(Codec<IdList>::format(*config->users), std::string("7,1000-1009"));
}

void TestProjectConfig::keysAreRefusedByName_data()
{
    QTest::addColumn<QString>("key");
    QTest::addColumn<QString>("value");
    QTest::addColumn<int>("code");
    const auto row = [](const char *key, const char *value, Code code) {
        QTest::newRow(qPrintable(QString(key) + "=" + value)) << QString(key) << QString(value) << static_cast<int>(code);
    };
    row("restricted.nonsense", "block", Code::Invalid);
    row("restricted.cluster.groups", "a", Code::Unsupported);
    row("restricted.devices.infiniband", "sometimes", Code::Invalid);
    row("restricted.devices.pci", "allow", Code::Unsupported);
    row("restricted.devices.disk", "sometimes", Code::Invalid);
    row("restricted.devices.disk.paths", "srv", Code::Invalid);
    row("restricted.devices.disk.paths", "/srv/../etc", Code::Invalid);
    row("restricted.devices.disk.paths", "/srv,", Code::Invalid);
    row("restricted.idmap.uid", "0", Code::Invalid);
    row("restricted.idmap.gid", "9-8", Code::Invalid);
    row("limits.memory", "50%", Code::Invalid);
    row("limits.disk.pool.", "1GiB", Code::Unsupported);
    row("features.networks.zones", "true", Code::Unsupported);
    row("features.networks.zones", "sometimes", Code::Invalid);
}

void TestProjectConfig::keysAreRefusedByName()
{
    QFETCH(QString, key);
    QFETCH(QString, value);
    QFETCH(int, code);
    const auto config = parseProjectConfig({
        {key.toStdString(), value.toStdString()}
    });
    VERIFY_FAILS(static_cast<Code>(code), config);
    QVERIFY2(QByteArray::fromStdString(config.error().message).contains(key.toUtf8()), config.error().message.c_str());
}

void TestProjectConfig::idsAreAllowedInSpans()
{
    const auto ids = Codec<IdList>::parse("5,10-19,20-29");
    VERIFY_OK(ids);
    QVERIFY(ids->contains(5, 1) && ids->contains(10, 10) && ids->contains(19, 1));
    QVERIFY(!ids->contains(5, 2) && !ids->contains(9, 2) && !ids->contains(0, 1) && !ids->contains(29, 0xffffffff));
}

void TestProjectConfig::theNearestFolderCounts()
{
    const auto config = parseProjectConfig({
        {"restricted",                    "true"                },
        {"restricted.devices.disk.paths", "/srv,/srv/team,/data"}
    });
    VERIFY_OK(config);
    QCOMPARE(*folderAbove(*config, "/srv/team/x"), std::string("/srv/team"));
    QCOMPARE(*folderAbove(*config, "//srv//teams"), std::string("/srv"));
    QCOMPARE(*folderAbove(*config, "/data"), std::string("/data"));
    VERIFY_FAILS(Code::Forbidden, folderAbove(*config, "/database"));
    VERIFY_FAILS(Code::Forbidden, folderAbove(*config, "/"));
    VERIFY_FAILS(Code::Invalid, folderAbove(*config, "/srv/../etc"));
    ProjectConfig open = *config;
    open.restricted = false;
    QCOMPARE(*folderAbove(open, "/etc"), std::string());
}

QTEST_GUILESS_MAIN(TestProjectConfig)
#include "tst_project_config.moc"

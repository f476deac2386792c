// What config promises of index.yaml and backup.yaml of an export: what is written reads back, what others wrote is
// read.
#include "config/export.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::config;

namespace
{

ExportedInstance instanceNamed(const std::string &name)
{
    ExportedInstance instance;
    instance.name = name;
    instance.createdAt = 1'800'000'000'123;
    instance.definition.architecture = "x86_64";
    instance.definition.config = {
        {"limits.memory",       "64MiB"     },
        {"user.note",           "a: 'b'\n#c"},
        {"volatile.base_image", ""          },
    };
    instance.definition.devices = {
        {"root", {{"path", "/"}, {"pool", "default"}, {"type", "disk"}}}
    };
    instance.definition.profiles = {"default", "web"};
    instance.definition.description = "front";
    instance.expandedConfig = {
        {"limits.cpu", "2"}
    };
    instance.expandedDevices = instance.definition.devices;
    return instance;
}

ExportIndex someIndex()
{
    ExportIndex index;
    index.name = "web1";
    index.pool = "default";
    index.poolDriver = "overlay";
    index.instance = instanceNamed("web1");
    index.instance.project = "default";
    for (const char *name : {"older", "newer"}) {
        ExportedInstance snapshot = instanceNamed(name);
        snapshot.definition.description.clear(); // a snapshot has none there
        snapshot.expiresAt = 1'900'000'000'000;
        index.snapshots.push_back(snapshot);
    }
    index.profiles = {
        {"default", "usual", {},                    {{"eth0", {{"type", "nic"}}}}, {}},
        {"web",     "",      {{"limits.cpu", "2"}}, {},                            {}}
    };
    return index;
}

} // namespace

class TestExportIndex : public QObject
{
    Q_OBJECT

private slots:
    void whatIsWrittenReadsBack()
    {
        const ExportIndex index = someIndex();
        const auto again = readExport(writeExportIndex(index), "");
        VERIFY_OK(again);
        QVERIFY(*again == index);
    }

    void theConfigurationMayComeFromBackupYaml()
    {
        const ExportIndex index = someIndex();
        const std::string bare = "name: web1\nbackend: overlay\npool: default\nsnapshots: [older, newer]\n";
        const auto has = exportHasConfig(bare, "index.yaml");
        VERIFY_OK(has);
        QVERIFY(!*has);
        const auto again = readExport(bare, writeExportBackup(index));
        VERIFY_OK(again);
        QVERIFY(*again == index);
    }

    void aSnapshotsBackupHoldsItAlone()
    {
        const ExportIndex index = someIndex();
        const auto alone =
            readExport("name: web1\nsnapshots: [newer]\n", writeExportBackup(index, &index.snapshots[1]));
        VERIFY_OK(alone);
        QCOMPARE(alone->snapshots.size(), std::size_t(1));
        QVERIFY(alone->instance.definition.config == index.snapshots[1].definition.config);
    }

    void timesOfOthersAreRead_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<qint64>("millis");
        QTest::newRow("nanoseconds") << QByteArray("2026-11-25T18:57:43.361102599Z") << qint64(1795633063361);
        QTest::newRow("seconds") << QByteArray("2026-11-25T18:57:43Z") << qint64(1795633063000);
        QTest::newRow("offset") << QByteArray("2026-11-25T19:57:43.5+01:00") << qint64(1795633063500);
        QTest::newRow("never used") << QByteArray("1970-01-01T00:00:00Z") << qint64(0);
        QTest::newRow("no value") << QByteArray("0001-01-01T00:00:00Z") << qint64(0);
        QTest::newRow("spaces") << QByteArray("2026-11-25 18:57:43.361 +00:00") << qint64(1795633063361);
    }
    void timesOfOthersAreRead()
    {
        QFETCH(QByteArray, text);
        QFETCH(qint64, millis);
        const auto index =
            readExport(("name: a\nconfig:\n  container:\n    created_at: " + text + "\n").toStdString(), "");
        VERIFY_OK(index);
        QCOMPARE(qint64(index->instance.createdAt), millis);
    }

    void unknownKeysArePassedOver()
    {
        const auto index = readExport(
            "name: a\nnewer: [1]\nconfig:\n  bucket: {x: y}\n  container:\n    name: a\n    restore: x\n", "");
        VERIFY_OK(index);
        QCOMPARE(index->instance.name, std::string("a"));
    }

    void whatIsWrongIsNamed_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("why");
        QTest::newRow("no instance") << QByteArray("name: a\nconfig: {pool: {}}\n")
                                     << QByteArray("describes no instance");
        QTest::newRow("no name") << QByteArray("config: {container: {}}\n") << QByteArray("name");
        QTest::newRow("config is a list")
            << QByteArray("name: a\nconfig:\n  container:\n    config: [x]\n") << QByteArray("index.yaml:4:");
        QTest::newRow("bad time") << QByteArray("name: a\nconfig:\n  container:\n    created_at: yesterday\n")
                                  << QByteArray("yesterday");
        QTest::newRow("profile is a path")
            << QByteArray("name: a\nconfig:\n  container:\n    profiles: [../x]\n") << QByteArray("profile");
        QTest::newRow("kind unknown") << QByteArray("name: a\ntype: pod\n") << QByteArray("pod");
    }
    void whatIsWrongIsNamed()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, why);
        const auto index = readExport(text.toStdString(), "");
        QVERIFY(!index);
        QVERIFY2(QByteArray::fromStdString(index.error().message).contains(why), index.error().message.c_str());
    }
};

QTEST_APPLESS_MAIN(TestExportIndex)
#include "tst_export_index.moc"

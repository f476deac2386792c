// Keys of custom storage volumes, and volume.yaml.
#include "config/volume_keys.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::config;

class TestVolumeConfig : public QObject
{
    Q_OBJECT
private slots:
    void keysAreTyped();
    void keysAreRefusedByName_data();
    void keysAreRefusedByName();
    void documentComesBack();
    void brokenDocumentsAreRefused_data();
    void brokenDocumentsAreRefused();
};

void TestVolumeConfig::keysAreTyped()
{
    const auto config = parseVolumeConfig({
        {"initial.uid",       "33"  },
        {"initial.gid",       "34"  },
        {"initial.mode",      "0750"},
        {"security.unmapped", "true"},
        {"snapshots.pattern", "s-%d"},
        {"user.x",            "y"   }
    });
    VERIFY_OK(config);
    QCOMPARE(config->uid, std::optional<std::uint32_t>(33));
    const auto clock = parseVolumeConfig({{"snapshots.schedule", "night: 0 3 * * * keep=7"}, {"snapshots.expiry", "2w"}, {"snapshots.expiry.manual", "1d"}});
    VERIFY_OK(clock);
    QCOMPARE(clock->snapshotsSchedule->schedules.front().keep, std::optional<std::uint32_t>(7));
    QVERIFY(clock->snapshotsExpiry && clock->snapshotsExpiryManual);
    QCOMPARE(config->mode->bits, 0750U);
    QCOMPARE(config->unmapped, std::optional(true));
    QCOMPARE(config->user.at("x"), std::string("y"));
    VERIFY_OK(parseVolumeConfig({
        {"security.shifted", "true"}
    }));
}

void TestVolumeConfig::keysAreRefusedByName_data()
{
    QTest::addColumn<QString>("key");
    QTest::addColumn<QString>("value");
    QTest::addColumn<int>("code");
    QTest::addColumn<QString>("told");
    const auto row = [](const char *tag, const char *key, const char *value, Code code, const char *told) {
        QTest::newRow(tag) << key << value << int(code) << told;
    };
    row("unknown", "initial.user", "1", Code::Invalid, "unknown storage volume key 'initial.user'");
    row("unsupported", "zfs.delegate", "true", Code::Unsupported, "'zfs.delegate'");
    row("not shifted", "security.shifted", "false", Code::Unsupported, "security.shifted");
    row("value", "initial.mode", "rwx", Code::Invalid, "initial.mode: ");
    row("startup", "snapshots.schedule", "@daily, @startup", Code::Invalid, "a volume does not start");
    row("span", "snapshots.expiry", "3q", Code::Invalid, "snapshots.expiry: ");
    row("pattern", "snapshots.pattern", "a/b", Code::Invalid, "snapshots.pattern: ");
}

void TestVolumeConfig::keysAreRefusedByName()
{
    QFETCH(QString, key);
    QFETCH(QString, value);
    QFETCH(int, code);
    QFETCH(QString, told);
    const auto config = parseVolumeConfig({
        {key.toStdString(), value.toStdString()}
    });
    VERIFY_FAILS(Code(code), config);
    QVERIFY2(config.error().message.find(told.toStdString()) != std::string::npos, config.error().message.c_str());
}

void TestVolumeConfig::documentComesBack()
{
    const VolumeDocument document{
        "default",
        "data",
        "Uploads: \"all\"",
        12,
        {{"user.x", "true"}                    },
        { {"s1", "first", 13, 0, {}, {}}, {"s2", "", 14, 15, {{"user.x", "1"}}, "nightly"}},
        "620d0de5-6df3-4ca9-b760-b5fb450bf6c2"
    };
    const auto read = readVolumeDocument(writeVolumeDocument(document), "volume.yaml");
    VERIFY_OK(read);
    QCOMPARE(*read, document);
}

void TestVolumeConfig::brokenDocumentsAreRefused_data()
{
    QTest::addColumn<QString>("text");
    QTest::addColumn<int>("code");
    QTest::newRow("empty") << "" << int(Code::Corrupt);
    QTest::newRow("cut") << "version: 1\nproject: default\nname: a\n" << int(Code::Corrupt);
    QTest::newRow("newer") << "version: 3\nname: a\ncomplete: true\n" << int(Code::Unsupported);
    QTest::newRow("a path for a name") << "version: 1\nproject: default\nname: ../a\ncomplete: true\n"
                                       << int(Code::Corrupt);
    QTest::newRow("a path for a snapshot")
        << "version: 1\nproject: default\nname: a\nsnapshots:\n- name: ../x\ncomplete: true\n"
        << int(Code::Corrupt);
}

void TestVolumeConfig::brokenDocumentsAreRefused()
{
    QFETCH(QString, text);
    QFETCH(int, code);
    VERIFY_FAILS(Code(code), readVolumeDocument(text.toStdString(), "volume.yaml"));
}

QTEST_APPLESS_MAIN(TestVolumeConfig)
#include "tst_volume_config.moc"

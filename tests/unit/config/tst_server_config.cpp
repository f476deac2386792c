// Keys of the server itself.
#include "config/server_config.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::config;

class TestServerConfig : public QObject
{
    Q_OBJECT
private slots:
    void keysAreTyped();
    void imageServersAreNamed();
    void keysAreRefusedByName_data();
    void keysAreRefusedByName();
    void keptFor_data();
    void keptFor();
};

void TestServerConfig::keysAreTyped()
{
    const auto config = parseServerConfig({{"backups.repository", "/mnt/backup"}, {"backups.passphrase_file", ""}, {"user.x", "y"}});
    VERIFY_OK(config);
    QCOMPARE(config->backupsRepository->text, std::string("/mnt/backup"));
    QVERIFY(!config->backupsPassphraseFile && !config->trashExpiry);
    QCOMPARE(config->user.at("x"), std::string("y"));
}

void TestServerConfig::imageServersAreNamed()
{
    QCOMPARE(ServerConfig().imageServerList().size(), std::size_t{2});
    QCOMPARE(ServerConfig().imageServerList()[0].name, std::string("images"));
    const auto own = parseServerConfig({{"images.servers", "a=https://a.example/x,b=https://b.example"}});
    VERIFY_OK(own);
    QCOMPARE(own->imageServerList()[0].url, std::string("https://a.example/x"));
    QCOMPARE(Codec<ImageServers>::format(*own->imageServers), std::string("a=https://a.example/x b=https://b.example"));
    const auto none = parseServerConfig({{"images.servers", "none"}, {"images.auto_update_interval", "0"}});
    VERIFY_OK(none);
    QVERIFY(none->imageServerList().empty());
    QCOMPARE(none->autoUpdateHours(), 0U);
    for (const char *bad : {"a", "a=http://a.example", "=https://a", "a=https://a a=https://b", "a b=https://x", ","})
        VERIFY_FAILS(Code::Invalid, parseServerConfig({{"images.servers", bad}}));
}

void TestServerConfig::keysAreRefusedByName_data()
{
    QTest::addColumn<QString>("key");
    QTest::addColumn<QString>("value");
    QTest::addColumn<int>("code");
    QTest::addColumn<QString>("told");
    const auto row = [](const char *key, const char *value, Code code, const char *told) {
        QTest::newRow(key) << key << value << int(code) << told;
    };
    row("trash.expire", "3d", Code::Invalid, "did you mean 'trash.expiry'?");
    row("trash.expiry", "3q", Code::Invalid, "trash.expiry: ");
    row("backups.repository", "relative", Code::Invalid, "backups.repository: ");
    row("core.metrics_address", "x", Code::Unsupported, "'core.metrics_address'");
    row("core.trust_password", "plain", Code::Invalid, "core.trust_password: the password is not kept as a hash");
    row("user.", "x", Code::Invalid, "'user.'");
}

void TestServerConfig::keysAreRefusedByName()
{
    QFETCH(QString, key);
    QFETCH(QString, value);
    QFETCH(int, code);
    QFETCH(QString, told);
    const auto config = parseServerConfig({{key.toStdString(), value.toStdString()}});
    QVERIFY(!config);
    QCOMPARE(int(config.error().code), code);
    QVERIFY2(QString::fromStdString(config.error().message).contains(told), config.error().message.c_str());
}

void TestServerConfig::keptFor_data()
{
    QTest::addColumn<QString>("value");
    QTest::addColumn<qint64>("seconds"); // -1: not at all
    QTest::newRow("unset") << "" << qint64(7 * 86400);
    QTest::newRow("nothing") << "0" << qint64(-1);
    QTest::newRow("hours") << "5H" << qint64(5 * 3600);
    QTest::newRow("both") << "1d 2H" << qint64(26 * 3600);
}

void TestServerConfig::keptFor()
{
    QFETCH(QString, value);
    QFETCH(qint64, seconds);
    ::setenv("TZ", "UTC", 1);
    constexpr std::time_t kNow = 1'800'000'000;
    const auto config = parseServerConfig({{"trash.expiry", value.toStdString()}});
    VERIFY_OK(config);
    const auto until = config->keptUntil(kNow);
    QCOMPARE(until ? qint64(*until - kNow) : qint64(-1), seconds);
}

QTEST_APPLESS_MAIN(TestServerConfig)
#include "tst_server_config.moc"

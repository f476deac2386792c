// Remotes: the user's file of them, their addresses, and what is taken off the words of a command.
#include "cli/remote_words.h"

#include "base/base64.h"
#include "base/text.h"
#include "cli/parse.h"
#include "support/verify.h"

#include <QFile>
#include <QFileInfo>
#include <QTemporaryDir>

using namespace lxmgr;
using namespace lxmgr::cli;

namespace
{

/// local, images and ubuntu as built in, and host2.
Remotes someRemotes()
{
    Remotes remotes = *Remotes::load({});
    remotes.set("host2", {"https://192.0.2.7:8443", "lxd", false, "web"});
    remotes.set("host3", {"https://192.0.2.8:8443", "lxd", false, {}});
    return remotes;
}

struct Taken {
    std::string target;
    Arguments arguments;
};
Result<Taken> take(const QString &line)
{
    std::vector<std::string> words;
    for (const QString &word : line.split(' '))
        words.push_back(word.toStdString());
    Invocation invocation = TRY(parseCommandLine(words));
    Taken taken;
    taken.target = TRY(takeRemotes(*invocation.command, invocation.arguments, someRemotes()));
    taken.arguments = invocation.arguments;
    return taken;
}

QByteArray fileIn(const QTemporaryDir &folder, const QString &name)
{
    QFile file(folder.filePath(name));
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

} // namespace

class TestRemoteWords : public QObject
{
    Q_OBJECT
private slots:
    void init() { qunsetenv("LXMGR_REMOTE"); }
    void remotesAreTakenOffTheWordsThatNameObjects_data();
    void remotesAreTakenOffTheWordsThatNameObjects();
    void oneCommandWorksOnOneHost_data();
    void oneCommandWorksOnOneHost();
    void whatIsNoObjectKeepsItsColons_data();
    void whatIsNoObjectKeepsItsColons();
    void theEnvironmentChoosesTheDefault();
    void addressesBecomeUrls_data();
    void addressesBecomeUrls();
    void whatIsNoAddressIsRefused_data();
    void whatIsNoAddressIsRefused();
    void theFileKeepsWhatWasSaid();
    void theFileIsForTheUserAlone();
    void localStays();
    void aBrokenFileIsNamedWithItsPlace_data();
    void aBrokenFileIsNamedWithItsPlace();
    void base64IsReadAsPeoplePasteIt();
};

void TestRemoteWords::remotesAreTakenOffTheWordsThatNameObjects_data()
{
    QTest::addColumn<QString>("target");
    QTest::addColumn<QString>("words");
    QTest::newRow("list") << "local" << "";
    QTest::newRow("list host2:") << "host2" << "";
    QTest::newRow("list host2:web") << "host2" << "web";
    QTest::newRow("list host2: web db") << "host2" << "web db";
    QTest::newRow("start host2:web1") << "host2" << "web1";
    QTest::newRow("start host2:web1 host2:web2") << "host2" << "web1 web2";
    QTest::newRow("start local:web1 web2") << "local" << "web1 web2";
    QTest::newRow("stop --all host2:") << "host2" << "";
    QTest::newRow("delete host2:web1/snap0") << "host2" << "web1/snap0";
    QTest::newRow("launch debian host2:web1") << "host2" << "debian web1";
    QTest::newRow("launch debian host2:") << "host2" << "debian";
    QTest::newRow("launch images:debian/13 web1") << "local" << "debian/13 web1";
    QTest::newRow("launch images:debian/13 host2:web1") << "host2" << "debian/13 web1";
    QTest::newRow("launch ubuntu: web1") << "local" << " web1";
    QTest::newRow("create --empty host2:blank") << "host2" << "blank";
    QTest::newRow("exec host2:web1 -- cat a:b") << "host2" << "web1 cat a:b";
    QTest::newRow("file push a:b host2:web1/etc/c:d") << "host2" << "a:b web1/etc/c:d";
    QTest::newRow("file pull host2:web1/etc/hosts x:y") << "host2" << "web1/etc/hosts x:y";
    QTest::newRow("config get host2:web1 user.note") << "host2" << "web1 user.note";
    QTest::newRow("config get host2: trash.expiry") << "host2" << "trash.expiry";
    QTest::newRow("config set host2:web1 user.note=a:b") << "host2" << "web1 user.note=a:b";
    QTest::newRow("config show host2:") << "host2" << "";
    QTest::newRow("config device add host2:web1 http proxy listen=tcp:0.0.0.0:80") << "host2" << "web1 http proxy listen=tcp:0.0.0.0:80";
    QTest::newRow("profile add host2:web1 small") << "host2" << "web1 small";
    QTest::newRow("profile assign host2:web1 default small") << "host2" << "web1 default small";
    QTest::newRow("profile list host2:") << "host2" << "";
    QTest::newRow("network attach host2:net1 web1 eth1") << "host2" << "net1 web1 eth1";
    QTest::newRow("storage volume copy host2:default/a host2:default/b") << "host2" << "default/a default/b";
    QTest::newRow("image import a.tar host2: os=debian") << "host2" << "a.tar os=debian";
    QTest::newRow("import host2: web.tar web1") << "host2" << "web.tar web1";
    QTest::newRow("import web.tar host2:web1") << "host2" << "web.tar web1";
    QTest::newRow("image alias create host2:x/y 0123456789ab") << "host2" << "x/y 0123456789ab";
    QTest::newRow("rename host2:a b") << "host2" << "a b";
    QTest::newRow("copy host2:a host2:b") << "host2" << "a b";
    QTest::newRow("copy host2:a") << "host2" << "a";
    QTest::newRow("copy host2:a b") << "host2" << "a b";
    QTest::newRow("copy a host2:b") << "local" << "a b";
    QTest::newRow("copy host2:a/s0 host3:b") << "host2" << "a/s0 b";
    QTest::newRow("move host2:a host3:") << "host2" << "a";
    QTest::newRow("move host2:a --storage fast") << "host2" << "a";
    QTest::newRow("query host2:/1.0/instances") << "host2" << "/1.0/instances";
    QTest::newRow("operation delete host2:0b5c3c35") << "host2" << "0b5c3c35";
    QTest::newRow("undo apply host2: ") << "host2" << "";
    QTest::newRow("monitor host2:") << "host2" << "";
    QTest::newRow("image list images: debian") << "images" << "debian";
}

void TestRemoteWords::remotesAreTakenOffTheWordsThatNameObjects()
{
    QFETCH(QString, target);
    QFETCH(QString, words);
    const auto taken = take(QString(QTest::currentDataTag()).trimmed());
    VERIFY_OK(taken);
    QCOMPARE(QString::fromStdString(taken->target), target);
    QCOMPARE(QString::fromStdString(join(taken->arguments.words, " ")), words);
}

void TestRemoteWords::oneCommandWorksOnOneHost_data()
{
    QTest::addColumn<QByteArray>("says");
    QTest::newRow("start host2:web1 host3:web2") << QByteArray("'host2' and 'host3'");
    QTest::newRow("delete host2:web1 web2") << QByteArray("write host2:web2");
    QTest::newRow("delete web1 host2:web2") << QByteArray("write host2:web1");
    QTest::newRow("rename host2:a host3:b") << QByteArray("'host2' and 'host3'");
    QTest::newRow("profile add host2:web1 host3:p") << QByteArray("'host2' and 'host3'");
    QTest::newRow("import host2: web.tar host3:web1") << QByteArray("'host2' and 'host3'");
    QTest::newRow("start nowhere:web1") << QByteArray("no remote is called 'nowhere'");
    QTest::newRow("start hst2:web1") << QByteArray("did you mean 'host2'?");
    QTest::newRow("list nowhere:") << QByteArray("no remote is called 'nowhere'");
    QTest::newRow("profile show host2:") << QByteArray("a name is missing");
    QTest::newRow("start images:debian") << QByteArray("is an image server");
    QTest::newRow("list images:") << QByteArray("is an image server");
}

void TestRemoteWords::oneCommandWorksOnOneHost()
{
    QFETCH(QByteArray, says);
    const auto taken = take(QTest::currentDataTag());
    QVERIFY(!taken);
    QVERIFY2(QByteArray::fromStdString(taken.error().message).contains(says), taken.error().message.c_str());
}

void TestRemoteWords::whatIsNoObjectKeepsItsColons_data()
{
    QTest::addColumn<QString>("words");
    QTest::newRow("launch debian:12 web1") << "debian:12 web1";
    QTest::newRow("config set user.note=host2:x") << "user.note=host2:x";
    QTest::newRow("image list description=host2:x") << "description=host2:x";
    QTest::newRow("image info debian:12") << "debian:12";
    QTest::newRow("publish web1 description=images:x") << "web1 description=images:x";
    QTest::newRow("network forward create net1 host2:1") << "net1 host2:1";
}

void TestRemoteWords::whatIsNoObjectKeepsItsColons()
{
    QFETCH(QString, words);
    const auto taken = take(QTest::currentDataTag());
    VERIFY_OK(taken);
    QCOMPARE(QString::fromStdString(join(taken->arguments.words, " ")), words);
    QCOMPARE(taken->target, std::string("local"));
}

void TestRemoteWords::theEnvironmentChoosesTheDefault()
{
    qputenv("LXMGR_REMOTE", "host2");
    QCOMPARE(take("list")->target, std::string("host2"));
    QCOMPARE(take("start web1")->target, std::string("host2"));
    QCOMPARE(take("start local:web1")->target, std::string("local"));
    QVERIFY(!take("start local:web1 web2")); // the second is on host2
    qputenv("LXMGR_REMOTE", "nowhere");
    QVERIFY(!take("list"));
    QVERIFY(take("list local:"));
}

void TestRemoteWords::addressesBecomeUrls_data()
{
    QTest::addColumn<QByteArray>("protocol");
    QTest::addColumn<QByteArray>("url");
    QTest::newRow("host2") << QByteArray("lxd") << QByteArray("https://host2:8443");
    QTest::newRow("192.0.2.7:9443") << QByteArray("lxd") << QByteArray("https://192.0.2.7:9443");
    QTest::newRow("fd00::2") << QByteArray("lxd") << QByteArray("https://[fd00::2]:8443");
    QTest::newRow("[fd00::2]:443") << QByteArray("incus") << QByteArray("https://[fd00::2]:443");
    QTest::newRow("https://host2/") << QByteArray("lxd") << QByteArray("https://host2:8443");
    QTest::newRow("unix:/run/x") << QByteArray("lxd") << QByteArray("unix:///run/x");
    QTest::newRow("https://images.example.org/a/") << QByteArray("simplestreams") << QByteArray("https://images.example.org/a");
    QTest::newRow("http://127.0.0.1:8000") << QByteArray("simplestreams") << QByteArray("http://127.0.0.1:8000");
}

void TestRemoteWords::addressesBecomeUrls()
{
    QFETCH(QByteArray, protocol);
    QFETCH(QByteArray, url);
    const auto made = remoteUrl(QTest::currentDataTag(), protocol.toStdString());
    VERIFY_OK(made);
    QCOMPARE(QByteArray::fromStdString(*made), url);
}

void TestRemoteWords::whatIsNoAddressIsRefused_data()
{
    QTest::addColumn<QByteArray>("protocol");
    for (const char *word : {"", "http://host2", "ftp://host2", "https://", "https://host2:0", "https://host2:70000", "https://host2/path", "ho st", "unix:relative"})
        QTest::newRow(word) << QByteArray("lxd");
    QTest::newRow("http://images.example.org") << QByteArray("simplestreams");
    QTest::newRow("http://127.0.0.1.example.org") << QByteArray("simplestreams");
    QTest::newRow("unix:/run/x") << QByteArray("simplestreams");
}

void TestRemoteWords::whatIsNoAddressIsRefused()
{
    QFETCH(QByteArray, protocol);
    QVERIFY(!remoteUrl(QTest::currentDataTag(), protocol.toStdString()));
}

void TestRemoteWords::theFileKeepsWhatWasSaid()
{
    QTemporaryDir folder;
    const std::string where = folder.path().toStdString() + "/a/b";
    {
        Remotes remotes = *Remotes::load(where);
        QVERIFY(remotes.find("images") && remotes.find("ubuntu") && remotes.find("local"));
        remotes.set("host2", {"https://192.0.2.7:8443", "incus", true, "web"});
        VERIFY_OK(remotes.pin("host2", "PEM"));
        VERIFY_OK(remotes.remove("images"));
        remotes.setDefault("host2");
        VERIFY_OK(remotes.save());
    }
    {
        QFile file(folder.filePath("a/b/config.yml"));
        QVERIFY(file.open(QIODevice::Append));
        file.write("aliases:\n  ll: list -c ns\n"); // another program's
    }
    Remotes again = *Remotes::load(where);
    QVERIFY(!again.find("images"));
    QCOMPARE(again.defaultName(), std::string("host2"));
    QCOMPARE(again.find("host2")->address, std::string("https://192.0.2.7:8443"));
    QCOMPARE(again.find("host2")->protocol, std::string("incus"));
    QCOMPARE(again.find("host2")->project, std::string("web"));
    QVERIFY(again.find("host2")->isPublic);
    QVERIFY(!again.remove("host2")); // the default
    VERIFY_OK(again.rename("host2", "store"));
    QCOMPARE(*again.certificateOf("store"), std::string("PEM"));
    QCOMPARE(*again.certificateOf("host2"), std::string());
    QCOMPARE(again.defaultName(), std::string("store"));
    VERIFY_OK(again.save());
    QVERIFY(fileIn(folder, "a/b/config.yml").contains("ll: list -c ns"));
    again.setDefault("local");
    VERIFY_OK(again.remove("store"));
    QVERIFY(!QFile::exists(folder.filePath("a/b/servercerts/store.crt")));
}

void TestRemoteWords::theFileIsForTheUserAlone()
{
    QTemporaryDir folder;
    const Remotes remotes = *Remotes::load(folder.path().toStdString() + "/conf");
    VERIFY_OK(remotes.save());
    VERIFY_OK(remotes.pin("host2", "PEM"));
    const auto mode = [&](const char *name) { return static_cast<int>(QFileInfo(folder.filePath(name)).permissions() & 0x0FFF); };
    QCOMPARE(mode("conf") & 0x077, 0);
    QCOMPARE(mode("conf/servercerts") & 0x077, 0);
    QCOMPARE(mode("conf/config.yml") & 0x177, 0);
    QCOMPARE(mode("conf/servercerts/host2.crt") & 0x177, 0);
    QCOMPARE(QDir(folder.filePath("conf")).entryList(QDir::Files | QDir::Hidden), QStringList{"config.yml"}); // no temporary file
}

void TestRemoteWords::localStays()
{
    Remotes remotes = someRemotes();
    QVERIFY(!remotes.remove("local"));
    QVERIFY(!remotes.rename("local", "here"));
    QVERIFY(!*remotes.dialTo("local")); // the ordinary way
    QVERIFY(!remotes.dialTo("nowhere"));
}

void TestRemoteWords::aBrokenFileIsNamedWithItsPlace_data()
{
    QTest::addColumn<QByteArray>("text");
    QTest::addColumn<QByteArray>("says");
    QTest::newRow("no YAML") << QByteArray("remotes: [") << QByteArray("config.yml:");
    QTest::newRow("a list") << QByteArray("- a\n") << QByteArray("this file has");
    QTest::newRow("protocol") << QByteArray("remotes:\n  a:\n    addr: https://h:1\n    protocol: oci\n") << QByteArray("protocol 'oci'");
    QTest::newRow("address") << QByteArray("remotes:\n  a:\n    addr: http://h:1\n") << QByteArray("remote 'a'");
    QTest::newRow("name") << QByteArray("remotes:\n  ../a:\n    addr: https://h:1\n") << QByteArray("'../a' is no remote");
}

void TestRemoteWords::aBrokenFileIsNamedWithItsPlace()
{
    QFETCH(QByteArray, text);
    QFETCH(QByteArray, says);
    QTemporaryDir folder;
    QFile file(folder.filePath("config.yml"));
    QVERIFY(file.open(QIODevice::WriteOnly));
    file.write(text);
    file.close();
    const auto remotes = Remotes::load(folder.path().toStdString());
    QVERIFY(!remotes);
    const QByteArray message = QByteArray::fromStdString(remotes.error().message);
    QVERIFY2(message.contains(says) && message.contains("config.yml"), message.constData());
}

void TestRemoteWords::base64IsReadAsPeoplePasteIt()
{
    QCOMPARE(base64Decode("eyJhIjoxfQ==").value_or("?"), std::string("{\"a\":1}"));
    QCOMPARE(base64Decode("eyJhIjoxfQ").value_or("?"), std::string("{\"a\":1}"));
    QCOMPARE(base64Decode("").value_or("?"), std::string());
    QVERIFY(!base64Decode("eyJhIjoxf"));
    QVERIFY(!base64Decode("host2.example.org"));
}

QTEST_GUILESS_MAIN(TestRemoteWords)
#include "tst_remote_words.moc"

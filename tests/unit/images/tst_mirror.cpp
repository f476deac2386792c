// Which archive a build uses, and what is said when it cannot be had.
#include "images/mirror.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{

Template debian()
{
    Template definition;
    definition.name = "debian";
    definition.distribution = "debian";
    definition.hostMirror = definition.updatesSuite = definition.securitySuite = true;
    definition.securityMirror = "http://security.example/debian-security";
    definition.source.url = "http://deb.example/debian";
    return definition;
}

HostArchives host()
{
    HostArchives host;
    host.distribution = "debian";
    host.codename = "bookworm";
    host.sources = parseSourceStanzas(
        "Types: deb\nURIs: http://mirror.lan/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        "Types: deb\nURIs: http://mirror.lan/debian-security\nSuites: bookworm-security\nComponents: main\n");
    host.aptOptions = {"Acquire::Check-Date \"false\";"};
    return host;
}

} // namespace

class TestMirror : public QObject
{
    Q_OBJECT
private slots:
    void bothFormatsOfSourcesAreRead()
    {
        QCOMPARE(parseSourceLines("# deb http://no/ x main\ndeb [arch=amd64 signed-by=/a] http://a/debian trixie main "
                                  "contrib # end\ndeb-src http://b c d\ndeb short\n"),
                 (std::vector<AptSource>{
                     {{"http://a/debian"}, {"trixie"}, {"main", "contrib"}}
        }));
        QCOMPARE(parseSourceStanzas("Enabled: no\nTypes: deb\nURIs: http://no\nSuites: x\n\nTypes: deb deb-src\nURIs: "
                                    "http://a\n# words\nSuites: s\n  t\n"
                                    "Components: main\n\nTypes: deb-src\nURIs: http://b\nSuites: x\n"),
                 (std::vector<AptSource>{
                     {{"http://a"}, {"s", "t"}, {"main"}}
        }));
    }

    void theHostsArchiveIsUsedForItsDistribution()
    {
        const auto archive = chooseArchive(debian(), "trixie", "x86_64", "", "", host());
        VERIFY_OK(archive);
        QCOMPARE(archive->url, std::string("http://mirror.lan/debian"));
        QCOMPARE(archive->securityUrl, std::string("http://mirror.lan/debian-security"));
        QVERIFY(archive->updates);
        QVERIFY(!archive->probe);
        QCOMPARE(archive->aptOptions.size(), std::size_t(1));
    }

    void otherHostsUseTheDistributionsArchive()
    {
        HostArchives other = host();
        other.distribution = "ubuntu";
        const auto archive = chooseArchive(debian(), "trixie", "x86_64", "", "", other);
        VERIFY_OK(archive);
        QCOMPARE(archive->url, std::string("http://deb.example/debian"));
        QCOMPARE(archive->securityUrl, std::string("http://security.example/debian-security"));
    }

    void aGivenMirrorWinsAndIsAskedWhatItHas()
    {
        Template definition = debian();
        definition.mirror = "http://from.file/debian/";
        QCOMPARE(chooseArchive(definition, "trixie", "x86_64", "", "", host())->url,
                 std::string("http://from.file/debian"));
        const auto archive = chooseArchive(definition, "trixie", "x86_64", "https://given/debian", "sid", host());
        VERIFY_OK(archive);
        QCOMPARE(archive->url, std::string("https://given/debian"));
        QCOMPARE(archive->suite, std::string("sid"));
        QVERIFY(!archive->updates); // sid has neither
        QVERIFY(archive->securityUrl.empty());
        QVERIFY(archive->probe);
    }

    void anArchitectureMayHaveAnArchiveOfItsOwn()
    {
        Template definition = debian();
        definition.archives["aarch64"] = "http://ports.example/debian";
        definition.hostMirror = false;
        QCOMPARE(chooseArchive(definition, "trixie", "aarch64", "", "", host())->url,
                 std::string("http://ports.example/debian"));
        QCOMPARE(chooseArchive(definition, "trixie", "x86_64", "", "", host())->url,
                 std::string("http://deb.example/debian"));
    }

    void mirrorsAndSuitesAreChecked_data()
    {
        QTest::addColumn<QByteArray>("mirror");
        QTest::addColumn<QByteArray>("suite");
        QTest::newRow("file") << QByteArray("file:///srv") << QByteArray();
        QTest::newRow("no host") << QByteArray("http:///x") << QByteArray();
        QTest::newRow("space") << QByteArray("http://a/b c") << QByteArray();
        QTest::newRow("quote") << QByteArray("http://a/\"b") << QByteArray();
        QTest::newRow("newline") << QByteArray("http://a/\ndeb http://b") << QByteArray();
        QTest::newRow("option as suite") << QByteArray("http://a/b") << QByteArray("--mode=x");
        QTest::newRow("path as suite") << QByteArray("http://a/b") << QByteArray("../x");
    }
    void mirrorsAndSuitesAreChecked()
    {
        QFETCH(QByteArray, mirror);
        QFETCH(QByteArray, suite);
        VERIFY_FAILS(Code::Invalid,
                     chooseArchive(debian(), "trixie", "x86_64", mirror.toStdString(), suite.toStdString(), host()));
    }

    void sourcesAreWrittenInBothFormats()
    {
        Archive archive;
        archive.url = archive.securityUrl = "http://a/u";
        archive.suite = "noble";
        archive.components = {"main", "universe"};
        archive.updates = true;
        QCOMPARE(sourceLines(archive, ""),
                 std::string("deb http://a/u noble main universe\ndeb http://a/u noble-updates main universe\n"
                             "deb http://a/u noble-security main universe\n"));
        QCOMPARE(sourceStanzas(archive, "/k.gpg"),
                 std::string("Types: deb\nURIs: http://a/u\nSuites: noble noble-updates noble-security\n"
                             "Components: main universe\nSigned-By: /k.gpg\n"));
        QCOMPARE(parseSourceStanzas(sourceStanzas(archive, "")).at(0).suites.size(), std::size_t(3));
    }

    void failuresNameHostReasonAndCure_data()
    {
        QTest::addColumn<QByteArray>("said");
        QTest::addColumn<QByteArray>("reason");
        QTest::newRow("name") << QByteArray("Err:1 http://m trixie InRelease  Temporary failure resolving 'm'")
                              << QByteArray("its name cannot be resolved");
        QTest::newRow("refused") << QByteArray(
                                        "Could not connect to m:80 (127.0.0.1). - connect (111: Connection refused)")
                                 << QByteArray("it refuses the connection");
        QTest::newRow("unsigned") << QByteArray("E: The repository 'http://m trixie InRelease' is not signed.")
                                  << QByteArray("it is not signed");
        QTest::newRow("key") << QByteArray("GPG error: the public key is not available: NO_PUBKEY 871920D1991BC93C")
                             << QByteArray("a key that is not trusted");
        QTest::newRow("suite") << QByteArray("E: The repository 'http://m zzz Release' does not have a Release file.")
                               << QByteArray("it has no such suite");
        QTest::newRow("changed") << QByteArray(
                                        "E: Failed to fetch http://m/Packages.gz  File has unexpected size (2 != 1).")
                                 << QByteArray("a file differs from what was signed");
        QTest::newRow("too large") << QByteArray("E: Error writing to file - write (27: File too large)")
                                   << QByteArray("a file is larger");
        QTest::newRow("apk key") << QByteArray("E: APKINDEX.tar.gz has a signature by an unknown key: 'RSA.x'")
                                 << QByteArray("a key that is not trusted");
        QTest::newRow("apk signature") << QByteArray("E: APKINDEX.tar.gz has a wrong signature, said to be by 'x'")
                                       << QByteArray("its signature is wrong");
        QTest::newRow("apk data") << QByteArray("E: x.apk differs from what was signed: it has 2 bytes, not 4")
                                  << QByteArray("a file differs from what was signed");
        QTest::newRow("other of apk") << QByteArray("ERROR: something else") << QByteArray("failed: something else");
        QTest::newRow("other") << QByteArray("E: something new") << QByteArray("something new");
    }
    void failuresNameHostReasonAndCure()
    {
        QFETCH(QByteArray, said);
        QFETCH(QByteArray, reason);
        Archive archive;
        archive.url = "http://user:secret@m/debian";
        archive.suite = "trixie";
        const Error error = explainFailure({"I: running apt-get update...", said.toStdString()}, archive, "debian");
        QCOMPARE(error.code, Code::Unavailable);
        const auto message = QByteArray::fromStdString(error.message);
        QVERIFY2(message.contains("'m'") && message.contains(reason), message);
        QVERIFY2(!message.contains("secret"), message);
    }

    void aFullDiskIsSaidSo()
    {
        Archive archive;
        archive.url = "http://m/debian";
        QCOMPARE(explainFailure({"dpkg: error: cannot write: No space left on device"}, archive, "debian").code,
                 Code::NoSpace);
    }

    void onlyWhatABuildNeedsIsTakenFromAptsConfiguration()
    {
        QCOMPARE(
            usefulAptOptions("Acquire \"\";\nAcquire::http::Proxy \"http://p:3142\";\nAcquire::Check-Date "
                             "\"false\";\nAcquire::Languages \"\";\n"
                             "DPkg::Post-Invoke:: \"rm -rf /\";\n"),
            (std::vector<std::string>{"Acquire::http::Proxy \"http://p:3142\";", "Acquire::Check-Date \"false\";"}));
    }
};

QTEST_GUILESS_MAIN(TestMirror)
#include "tst_mirror.moc"

// What image servers say of themselves: their index and their lists of products.
#include "api/images.h"
#include "servers/simplestreams.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::servers;

namespace
{

const std::string kOne(64, '1'), kTwo(64, '2'), kThree(64, '3');

std::string item(const std::string &ftype, const std::string &path, int size, const std::string &more = "")
{
    return "\"" + ftype + "\":{\"ftype\":\"" + ftype + "\",\"path\":\"" + path + "\",\"size\":" + std::to_string(size) + more + "}";
}

std::string products(const std::string &versions, const std::string &more = "\"aliases\":\"debian/12,debian/bookworm\",\"arch\":\"amd64\"")
{
    return R"({"format":"products:1.0","products":{"debian:12:amd64":{)" + more +
           R"(,"os":"Debian","release":"bookworm","release_title":"12","support_eol":"2028-06-30","requirements":{"nesting":"true"},"versions":{)" + versions + "}}}}";
}

std::string splitVersion(const std::string &serial, const std::string &fingerprint)
{
    return "\"" + serial + "\":{\"label\":\"release\",\"items\":{" +
           item("lxd.tar.xz", "images/" + serial + "/lxd.tar.xz", 10, ",\"combined_squashfs_sha256\":\"" + fingerprint + "\"") + "," +
           item("squashfs", "images/" + serial + "/rootfs.squashfs", 100) + "," + item("squashfs.vcdiff", "images/x.vcdiff", 5) + "," + item("disk1.img", "images/x.img", 5) + "}}";
}

std::vector<std::string> names(const Offer &offer)
{
    std::vector<std::string> all;
    for (const api::ImageAlias &alias : offer.image.aliases)
        all.push_back(alias.name);
    return all;
}

} // namespace

class TestSimplestreams : public QObject
{
    Q_OBJECT
private slots:
    void theIndexNamesListsOfImages();
    void theNewestVersionHasTheNames();
    void unifiedImagesAreOneFile();
    void tarballsStandIn();
    void otherArchitecturesAreNamedInFull();
    void whatCannotBeFetchedIsPassedOver_data();
    void whatCannotBeFetchedIsPassedOver();
    void otherDocumentsAreRefused();
};

void TestSimplestreams::theIndexNamesListsOfImages()
{
    const auto paths = readStreamsIndex(R"({"format":"index:1.0","updated":"x","index":{
        "images":{"datatype":"image-downloads","path":"streams/v1/images.json","format":"products:1.0","products":["a"]},
        "empty":{"datatype":"image-downloads","path":"streams/v1/empty.json","products":[]},
        "ids":{"datatype":"image-ids","path":"streams/v1/ids.json","products":["a"]},
        "out":{"datatype":"image-downloads","path":"../../etc/passwd","products":["a"]}}})");
    VERIFY_OK(paths);
    QCOMPARE(*paths, std::vector<std::string>{"streams/v1/images.json"});
}

void TestSimplestreams::theNewestVersionHasTheNames()
{
    const auto offers = readProducts(products(splitVersion("20260101_05:24", kOne) + "," + splitVersion("20260301_05:24", kTwo)), "x86_64");
    VERIFY_OK(offers);
    QCOMPARE(offers->size(), std::size_t{2});
    const Offer &newest = offers->front();
    QCOMPARE(newest.image.fingerprint, kTwo);
    QCOMPARE(names(newest), (std::vector<std::string>{"debian/12", "debian/12/amd64", "debian/bookworm", "debian/bookworm/amd64"}));
    QCOMPARE(names(offers->back()), std::vector<std::string>());
    QCOMPARE(newest.files.size(), std::size_t{2});
    QCOMPARE(newest.files[1].path, std::string("images/20260301_05:24/rootfs.squashfs"));
    QCOMPARE(newest.image.size, std::int64_t{110});
    QCOMPARE(newest.image.architecture, std::string("x86_64"));
    QCOMPARE(newest.image.properties.at("description"), std::string("Debian 12 amd64 (release) (20260301_05:24)"));
    QCOMPARE(newest.image.properties.at("requirements.nesting"), std::string("true"));
    QCOMPARE(newest.image.createdAt.format(), std::string("2026-03-01T00:00:00Z"));
    QCOMPARE(newest.image.expiresAt.format(), std::string("2028-06-30T00:00:00Z"));
    QVERIFY(newest.image.isPublic);
}

void TestSimplestreams::unifiedImagesAreOneFile()
{
    const auto offers = readProducts(products("\"1\":{\"items\":{" + item("incus_combined.tar.gz", "a/b.tar.gz", 7, ",\"sha256\":\"" + kThree + "\"") + "}}"), "x86_64");
    VERIFY_OK(offers);
    QCOMPARE(offers->size(), std::size_t{1});
    QCOMPARE(offers->front().image.fingerprint, kThree);
    QCOMPARE(offers->front().files.size(), std::size_t{1});
    QCOMPARE(offers->front().image.filename, std::string("b.tar.gz"));
}

void TestSimplestreams::tarballsStandIn()
{
    const auto offers = readProducts(products("\"1\":{\"items\":{" + item("lxd.tar.xz", "a/m", 7, ",\"combined_sha256\":\"" + kOne + "\"") + "," +
                                              item("root.tar.xz", "a/r", 8) + "}}"),
                                     "x86_64");
    VERIFY_OK(offers);
    QCOMPARE(offers->at(0).image.fingerprint, kOne);
    QCOMPARE(offers->at(0).files[1].path, std::string("a/r"));
}

void TestSimplestreams::otherArchitecturesAreNamedInFull()
{
    const auto offers = readProducts(products(splitVersion("20260101", kOne), R"("aliases":"debian/12","arch":"arm64")"), "x86_64");
    VERIFY_OK(offers);
    QCOMPARE(names(offers->at(0)), std::vector<std::string>{"debian/12/arm64"});
    QCOMPARE(offers->at(0).image.architecture, std::string("aarch64"));
}

void TestSimplestreams::whatCannotBeFetchedIsPassedOver_data()
{
    QTest::addColumn<QString>("path");
    QTest::addColumn<QString>("size");
    QTest::addColumn<QString>("hash");
    const QString hash = QString(64, 'a');
    QTest::newRow("path that leads out") << "a/../../b" << "5" << hash;
    QTest::newRow("absolute path") << "/etc/shadow" << "5" << hash;
    QTest::newRow("another server") << "https://elsewhere/x" << "5" << hash;
    QTest::newRow("empty path") << "" << "5" << hash;
    QTest::newRow("query") << "a?b" << "5" << hash;
    QTest::newRow("no size") << "a" << "0" << hash;
    QTest::newRow("too large") << "a" << "99999999999999" << hash;
    QTest::newRow("short hash") << "a" << "5" << "abc";
    QTest::newRow("hash that is a path") << "a" << "5" << QString(61, '.') + "/..";
}

void TestSimplestreams::whatCannotBeFetchedIsPassedOver()
{
    QFETCH(QString, path);
    QFETCH(QString, size);
    QFETCH(QString, hash);
    const QString version = QString("\"1\":{\"items\":{\"x\":{\"ftype\":\"lxd_combined.tar.gz\",\"path\":\"%1\",\"size\":%2,\"sha256\":\"%3\"}}}").arg(path, size, hash);
    const auto offers = readProducts(products(version.toStdString()), "x86_64");
    VERIFY_OK(offers);
    QVERIFY(offers->empty());
}

void TestSimplestreams::otherDocumentsAreRefused()
{
    VERIFY_FAILS(Code::Invalid, readStreamsIndex("{}"));
    VERIFY_FAILS(Code::Invalid, readStreamsIndex("<html>"));
    VERIFY_FAILS(Code::Invalid, readProducts(R"({"format":"products:2.0"})", "x86_64"));
    VERIFY_FAILS(Code::Invalid, readProducts(R"({"format":"products:1.0","products":[]})", "x86_64"));
    VERIFY_FAILS(Code::Invalid, readProducts(R"({"format":"products:1.0","products":{"a":{},"a":{}}})", "x86_64"));
}

QTEST_GUILESS_MAIN(TestSimplestreams)
#include "tst_simplestreams.moc"

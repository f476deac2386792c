// Documents that a lost database is rebuilt from: they come back as they were written, and damage is told.
#include "config/image_document.h"
#include "config/network_document.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::config;

class TestDocuments : public QObject
{
    Q_OBJECT
private slots:
    void networkComesBack();
    void imageComesBack();
    void cutDocumentsAreDamage();
    void newerDocumentsAreNotRead();
};

namespace
{

const NetworkDocument kNetwork{"lxmgrbr0", "of: the \"host\"", {{"ipv4.address", "10.1.2.1/24"}, {"ipv6.address", "none"}, {"user.x", "line\nline"}}};
const ImageDocument kImage{std::string(64, 'a'),
                           {{"default", "a.tar.zst", "template:debian/13", true, 1700000000123, 0, {{"os", "debian"}}, {{"debian", ""}, {"debian/13", "the stable one"}}, false, false, {{"default", {"web", "default"}}, {"other", {"db"}}}, {}},
                            {"other", "", "", false, 1, 1900000000000, {}, {}, true, true, {}, {{"server", "https://a.example"}, {"protocol", "simplestreams"}, {"alias", "debian/12"}, {"certificate", "line\nline\n"}}}}};

} // namespace

void TestDocuments::networkComesBack()
{
    const auto read = readNetworkDocument(writeNetworkDocument(kNetwork), "network.yaml");
    VERIFY_OK(read);
    QVERIFY(*read == kNetwork);
}

void TestDocuments::imageComesBack()
{
    const auto read = readImageDocument(writeImageDocument(kImage), "image.yaml");
    VERIFY_OK(read);
    QVERIFY(*read == kImage);
}

void TestDocuments::cutDocumentsAreDamage()
{
    const std::string network = writeNetworkDocument(kNetwork), image = writeImageDocument(kImage);
    for (std::size_t size = 0; size + 1 < network.size(); ++size) { // the last byte is a line's end
        const auto read = readNetworkDocument(network.substr(0, size), "network.yaml");
        QVERIFY2(!read && read.error().code == Code::Corrupt, qPrintable(QString::number(size)));
    }
    for (std::size_t size = 0; size + 1 < image.size(); ++size) {
        const auto read = readImageDocument(image.substr(0, size), "image.yaml");
        QVERIFY2(!read && read.error().code == Code::Corrupt, qPrintable(QString::number(size)));
    }
}

void TestDocuments::newerDocumentsAreNotRead()
{
    std::string text = writeNetworkDocument(kNetwork);
    text.replace(text.find("version: 1"), 10, "version: 9");
    const auto read = readNetworkDocument(text, "network.yaml");
    QVERIFY(!read && read.error().code == Code::Unsupported);
}

QTEST_APPLESS_MAIN(TestDocuments)
#include "tst_documents.moc"

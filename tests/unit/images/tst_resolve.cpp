// What image names mean, with the shipped templates and the host's own.
#include "images/template.h"
#include "support/verify.h"

#include <QTemporaryDir>

using namespace lxmgr;
using namespace lxmgr::images;

class TestResolve : public QObject
{
    Q_OBJECT

    QTemporaryDir m_folder;
    Paths m_paths;

    void put(const QString &path, const QByteArray &text)
    {
        QVERIFY(QDir(m_folder.path()).mkpath(QFileInfo(path).path()));
        QFile file(m_folder.path() + "/" + path);
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(text);
    }

private slots:
    void init()
    {
        m_paths.dataDir = (m_folder.path() + "/data").toStdString();
        m_paths.configDir = (m_folder.path() + "/etc").toStdString();
        QDir(m_folder.path() + "/etc").removeRecursively();
        put("data/templates/debian.yaml",
            "image: {distribution: debian}\n"
            "lxmgr: {title: Debian, releases: {trixie: '13', bookworm: '12', sid: ''}, variants: [default, cloud]}\n"
            "source: {downloader: debootstrap}\nmappings: {architecture_map: debian}\n");
        put("data/templates/busybox.yaml", "image: {distribution: busybox}\nsource: {downloader: busybox}\n");
    }

    void namesMeanTheSame_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<QByteArray>("release");
        QTest::addColumn<QByteArray>("variant");
        for (const char *name : {"debian", "debian/13", "debian:13", "debian/trixie", "images:debian/13",
                                 "images:debian/13/default", "debian/TRIXIE"})
            QTest::newRow(name) << QByteArray(name) << QByteArray("trixie") << QByteArray("default");
        for (const char *name : {"debian/12", "debian:12", "images:debian/bookworm", "debian/12/default"})
            QTest::newRow(name) << QByteArray(name) << QByteArray("bookworm") << QByteArray("default");
        QTest::newRow("variant") << QByteArray("debian/13/cloud") << QByteArray("trixie") << QByteArray("cloud");
        QTest::newRow("no release") << QByteArray("busybox") << QByteArray("") << QByteArray("default");
    }
    void namesMeanTheSame()
    {
        QFETCH(QByteArray, name);
        QFETCH(QByteArray, release);
        QFETCH(QByteArray, variant);
        const auto image = resolveImageName(m_paths, name.toStdString());
        VERIFY_OK(image);
        QCOMPARE(image->release, release.toStdString());
        QCOMPARE(image->variant, variant.toStdString());
    }

    void missesSayWhatThereIs_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<QByteArray>("message");
        QTest::newRow("template") << QByteArray("debain")
                                  << QByteArray(
                                         "no template 'debain'; there are busybox, debian (did you mean 'debian'?)");
        QTest::newRow("release") << QByteArray("debian/11")
                                 << QByteArray("has no release '11'; there are 13 (trixie), 12 (bookworm), sid");
        QTest::newRow("variant") << QByteArray("debian/13/gui")
                                 << QByteArray("has no variant 'gui'; there are default, cloud");
        QTest::newRow("remote") << QByteArray("elsewhere:x") << QByteArray("no template 'elsewhere'");
        QTest::newRow("path") << QByteArray("../../etc") << QByteArray("no template '..'");
        QTest::newRow("empty") << QByteArray("") << QByteArray("no image ''");
    }
    void missesSayWhatThereIs()
    {
        QFETCH(QByteArray, name);
        QFETCH(QByteArray, message);
        const auto image = resolveImageName(m_paths, name.toStdString());
        VERIFY_FAILS(Code::NotFound, image);
        QVERIFY2(QByteArray::fromStdString(image.error().message).contains(message), image.error().message.c_str());
    }

    void anotherArchitectureIsUnsupported()
    {
        VERIFY_FAILS(Code::Unsupported, resolveImageName(m_paths, "debian/13/default/s390x"));
    }

    void aliasesNameTheDefaultOnly()
    {
        QCOMPARE(resolveImageName(m_paths, "debian")->aliases,
                 (std::vector<std::string>{"debian/13", "debian/trixie", "debian"}));
        QCOMPARE(resolveImageName(m_paths, "debian/12")->aliases,
                 (std::vector<std::string>{"debian/12", "debian/bookworm"}));
        QCOMPARE(resolveImageName(m_paths, "debian/13/cloud")->aliases,
                 (std::vector<std::string>{"debian/13/cloud", "debian/trixie/cloud"}));
    }

    void theHostsOwnWinAndChangeTheKey()
    {
        const std::string before = resolveImageName(m_paths, "debian")->cacheKey;
        put("etc/templates.d/debian.yaml", "mirror: http://mirror.invalid/debian\n");
        const auto overridden = loadTemplate(m_paths, "debian");
        VERIFY_OK(overridden);
        QCOMPARE(overridden->mirror, std::string("http://mirror.invalid/debian"));
        QVERIFY(resolveImageName(m_paths, "debian")->cacheKey != before);
        put("etc/templates.d/debian.yaml", "image: {distribution: mine}\nsource: {downloader: busybox}\n");
        QCOMPARE(loadTemplate(m_paths, "debian")->distribution, std::string("mine"));
    }

    void brokenFilesAreListedWithTheirProblem()
    {
        put("etc/templates.d/odd.yaml", "image: {distribution: x}\nsource: {downloader: ftp}\n");
        put("etc/templates.d/alone.yaml", "mirror: http://x/y\n");
        const auto all = listTemplates(m_paths);
        VERIFY_OK(all);
        QCOMPARE(all->size(), std::size_t(4));
        QCOMPARE(all->at(3).name, std::string("odd"));
        QVERIFY(QByteArray::fromStdString(all->at(3).problem).contains("downloader 'ftp'"));
        QVERIFY(!all->at(0).problem.empty());
        VERIFY_FAILS(Code::Invalid, loadTemplate(m_paths, "alone"));
    }

    void everyShippedTemplateIsRead()
    {
        m_paths.dataDir = QT_TESTCASE_SOURCEDIR "/..";
        const auto all = listTemplates(m_paths);
        VERIFY_OK(all);
        QVERIFY(all->size() >= 4);
        for (const TemplateSummary &summary : *all)
            QCOMPARE(summary.problem, std::string());
    }
};

QTEST_GUILESS_MAIN(TestResolve)
#include "tst_resolve.moc"

// Alpine's way without Alpine's archive: a small signed repository in its layout, made and served here, brings the apk
// that the host has not, makes an image and boots; what was not signed gets nowhere.
#include "support/system_test.h"

#include <QStandardPaths>

using namespace lxmgr::test;

class TestAlpine : public SystemTest
{
    Q_OBJECT
private slots:
    void repositoryInAlpinesLayoutBoots();
    void whatWasNotSignedIsRefused_data();
    void whatWasNotSignedIsRefused();
    void aStrangersKeyIsNotTrusted();

private:
    void prepare() override;
    void writeOverride(const QByteArray &text);
    QString repository() const;

    QString m_archive;
};

namespace
{
constexpr const char *kHost = "127.0.0.1:8098";

/// The repository's web server, for as long as this lives.
class Serving
{
public:
    explicit Serving(const QString &folder)
    {
        m_server.start("busybox", {"httpd", "-f", "-p", kHost, "-h", folder});
        m_server.waitForStarted();
    }
    ~Serving()
    {
        m_server.kill();
        m_server.waitForFinished();
    }

private:
    QProcess m_server;
};

/// What a file was is back when this ends.
class Changed
{
public:
    explicit Changed(const QString &path) : m_path(path)
    {
        QFile file(path);
        if (file.open(QIODevice::ReadOnly))
            m_was = file.readAll();
    }
    ~Changed() { write(m_was); }
    QByteArray was() const { return m_was; }
    void write(const QByteArray &bytes)
    {
        QFile file(m_path);
        if (file.open(QIODevice::WriteOnly))
            file.write(bytes);
    }

private:
    QString m_path;
    QByteArray m_was;
};

QByteArray withOneBitChanged(QByteArray bytes, qsizetype at)
{
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    return bytes;
}
} // namespace

void TestAlpine::writeOverride(const QByteArray &text)
{
    QFile placed(m_box.configDir() + "/templates.d/alpine.yaml");
    QVERIFY(placed.open(QIODevice::WriteOnly));
    placed.write(text);
}

QString TestAlpine::repository() const
{
    return m_archive + "/alpine/v3.22/main/" + QSysInfo::buildCpuArchitecture().replace("arm64", "aarch64");
}

void TestAlpine::prepare()
{
    for (const char *tool : {"openssl", "/usr/lib/apt/apt-helper"})
        if (QStandardPaths::findExecutable(tool).isEmpty())
            QSKIP(qPrintable(QString("needs %1").arg(tool)));
    if (QFile::exists("/sbin/apk"))
        QSKIP("this host has an apk of its own");
    m_archive = m_box.directory() + "/archive";
    RUN_OK(run({"sh", Sandbox::sourceDir() + "/tests/support/alpine-archive.sh", m_archive,
                Sandbox::program("lxmgr-apk-standin")}));
    QFile made(m_archive + "/override.yaml");
    QVERIFY(made.open(QIODevice::ReadOnly));
    writeOverride(made.readAll().replace("@URL@", QByteArray("http://") + kHost + "/alpine"));
}

void TestAlpine::repositoryInAlpinesLayoutBoots()
{
    const Serving serving(m_archive);
    const Run launched = m_box.cli({"launch", "alpine", "a1", "--wait"}, {}, 120000);
    RUN_OK(launched);
    QVERIFY2(launched.err.contains("is built here from template 'alpine' (image server 'images'"), launched.told());
    const QByteArray release = inside("a1", {"cat", "/etc/os-release"});
    QVERIFY2(release.contains("ID=alpine") && release.contains("3.22"), release);
    QCOMPARE(inside("a1", {"hostname"}), QByteArray("a1"));
    QVERIFY(Sandbox::eventually([&] { return inside("a1", {"cat", "/run/levels"}) == "sysinit\nboot\ndefault"; }));
    // What apk was told, and what later runs of it find.
    QCOMPARE(inside("a1", {"cat", "/etc/apk/world"}), QByteArray("alpine-base\nca-certificates\ntzdata"));
    QCOMPARE(inside("a1", {"cat", "/etc/apk/arch"}), repository().section('/', -1).toUtf8());
    const QByteArray url = QByteArray("http://") + kHost + "/alpine/v3.22/";
    QCOMPARE(inside("a1", {"cat", "/etc/apk/repositories"}), url + "main\n" + url + "community");
    const QByteArray key = inside("a1", {"cat", "/etc/apk/keys/test@invalid-00000000.rsa.pub"});
    QVERIFY2(key.startsWith("-----BEGIN PUBLIC KEY-----"), key);
}

void TestAlpine::whatWasNotSignedIsRefused_data()
{
    QTest::addColumn<QString>("file");
    QTest::addColumn<qsizetype>("changedAt"); ///< From the end; 0: the file is `replaced`.
    QTest::addColumn<QByteArray>("replaced");
    QTest::addColumn<QByteArray>("reason");
    const QString index = "APKINDEX.tar.gz", package = "apk-tools-static-2.14.9-r2.apk";
    QTest::newRow("index") << index << qsizetype(40) << QByteArray() << QByteArray("its signature is wrong");
    QTest::newRow("package") << package << qsizetype(1000) << QByteArray()
                             << QByteArray("a file differs from what was signed");
    QTest::newRow("another package") << package << qsizetype(0) << QByteArray("x")
                                     << QByteArray("a file differs from what was signed");
    QTest::newRow("a page in place of the index")
        << index << qsizetype(0) << QByteArray("<html>log in</html>") << QByteArray("a file is damaged");
    QTest::newRow("index without end") << index << qsizetype(0) << QByteArray((64 << 20) + 1, 'x')
                                       << QByteArray("a file is larger than such a file may be");
    QTest::newRow("package without end") << package << qsizetype(0) << QByteArray((32 << 20) + 1, 'x')
                                         << QByteArray("a file is larger than such a file may be");
}

void TestAlpine::whatWasNotSignedIsRefused()
{
    QFETCH(QString, file);
    QFETCH(qsizetype, changedAt);
    QFETCH(QByteArray, replaced);
    QFETCH(QByteArray, reason);
    const Serving serving(m_archive);
    Changed changed(repository() + "/" + file);
    QVERIFY(changed.was().size() > changedAt);
    changed.write(changedAt ? withOneBitChanged(changed.was(), changed.was().size() - changedAt) : replaced);
    (void)m_box.cli({"image", "delete", "alpine"});
    const Run refused = m_box.cli({"template", "build", "alpine"});
    QVERIFY2(refused.status > 0, refused.told());
    QVERIFY2(refused.err.contains(kHost) && refused.err.contains(reason), refused.told());
}

void TestAlpine::aStrangersKeyIsNotTrusted()
{
    const Serving serving(m_archive);
    // The mirror without the key: what counts are Alpine's own, which come with lxmgr.
    writeOverride(QByteArray("mirror: http://") + kHost + "/alpine\n");
    (void)m_box.cli({"image", "delete", "alpine"});
    const Run refused = m_box.cli({"template", "build", "alpine"});
    QVERIFY2(refused.status > 0, refused.told());
    QVERIFY2(refused.err.contains("a key that is not trusted") && refused.err.contains("test@invalid-00000000.rsa.pub"),
             refused.told());
    QFile::remove(m_box.configDir() + "/templates.d/alpine.yaml");
}

QTEST_GUILESS_MAIN(TestAlpine)
#include "tst_alpine.moc"

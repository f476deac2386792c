// Ubuntu's way without Ubuntu's archive: a small signed archive in its layout, made and served here, is bootstrapped and boots.
#include "support/system_test.h"

#include <QStandardPaths>

using namespace lxmgr::test;

class TestUbuntu : public SystemTest
{
    Q_OBJECT
private slots:
    void archiveInUbuntusLayoutBoots();
    void unsignedArchiveIsRefused();

private:
    void prepare() override;

    QString m_archive;
};

namespace
{
/// The archive's web server, for as long as this lives.
class Serving
{
public:
    explicit Serving(const QString &folder)
    {
        m_server.start("busybox", {"httpd", "-f", "-p", "127.0.0.1:8099", "-h", folder});
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
} // namespace

void TestUbuntu::prepare()
{
    for (const char *tool : {"gpg", "dpkg-deb", "apt-ftparchive", "mmdebstrap"})
        if (QStandardPaths::findExecutable(tool).isEmpty())
            QSKIP(qPrintable(QString("needs %1").arg(tool)));
    m_archive = m_box.directory() + "/archive";
    const QString pool = Sandbox::cacheDir() + "/ubuntu-pool";
    if (!QFile::exists(pool + "/complete")) {
        const QString why = m_box.connectUplink();
        if (!why.isEmpty())
            QSKIP(qPrintable("no way to an archive for the packages: " + why));
    }
    RunOptions patient;
    patient.timeoutMs = 600000;
    RUN_OK(run({"sh", Sandbox::sourceDir() + "/tests/support/ubuntu-archive.sh", m_archive, pool}, patient));
    m_box.disconnectUplink();
    QFile made(m_archive + "/override.yaml"), placed(m_box.configDir() + "/templates.d/ubuntu.yaml");
    QVERIFY(made.open(QIODevice::ReadOnly) && placed.open(QIODevice::WriteOnly));
    placed.write(made.readAll().replace("@URL@", "http://127.0.0.1:8099/ubuntu"));
}

void TestUbuntu::archiveInUbuntusLayoutBoots()
{
    const Serving serving(m_archive);
    const Run launched = m_box.cli({"launch", "ubuntu/24.04", "u1", "--wait"}, {}, 300000);
    RUN_OK(launched);
    const QByteArray release = inside("u1", {"cat", "/etc/os-release"});
    QVERIFY2(release.contains("ID=ubuntu") && release.contains("24.04"), release);
    QCOMPARE(inside("u1", {"hostname"}), QByteArray("u1"));
    QCOMPARE(m_box.cli({"exec", "u1", "--", "systemctl", "is-system-running", "--wait"}).out.trimmed(), QByteArray("running"));
    QCOMPARE(inside("u1", {"systemctl", "--failed", "--no-legend", "--plain"}), QByteArray());
}

void TestUbuntu::unsignedArchiveIsRefused()
{
    const Serving serving(m_archive);
    // One byte of the index changes: its hash no longer agrees with what was signed.
    RUN_OK(run({"sh", "-c", "find \"$1\" -path '*/dists/*' -name 'Packages*' -exec sh -c 'echo >> \"$0\"' {} \\;", "sh", m_archive}));
    (void)m_box.cli({"image", "delete", "ubuntu/24.04"});
    const Run refused = m_box.cli({"template", "build", "ubuntu/24.04"}, {}, 120000);
    QVERIFY2(refused.status > 0, refused.told());
    QFile::remove(m_box.configDir() + "/templates.d/ubuntu.yaml");
}

QTEST_GUILESS_MAIN(TestUbuntu)
#include "tst_ubuntu.moc"

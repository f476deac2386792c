// What every build promises: its scripts are nobody on the host, its files are owned as the archive says, and nothing
// of it is left when it fails, is cancelled or its helper is killed.
#include "images/build.h"
#include "support/require.h"
#include "support/verify.h"

#include <QDirIterator>
#include <QTemporaryDir>
#include <atomic>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{

class Watch : public Progress
{
public:
    void report(const std::string &text) override { lines.push_back(text); }
    bool cancelled() const override { return stop; }
    std::vector<std::string> lines;
    std::atomic<bool> stop{false};
};

QByteArray read(const QString &path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

} // namespace

class TestBuild : public QObject
{
    Q_OBJECT

    std::unique_ptr<QTemporaryDir> m_folder;
    Paths m_paths;

    Result<BuiltImage> run(const std::string &script, Progress &progress = Progress::none(),
                           const std::string &more = {})
    {
        const Template definition =
            TRY(parseTemplate("t",
                              "image: {distribution: t}\nsource: {downloader: busybox}\nactions:\n- trigger: "
                              "post-files\n  action: |-\n    #!/bin/sh\n    " +
                                  script + "\n" + more,
                              "t.yaml"));
        BuildOptions options;
        options.directory = (m_folder->path() + "/result").toStdString();
        return build(m_paths, definition, TRY(resolveTemplate(definition, {})), options, progress);
    }
    QString tree(const QString &path) const { return m_folder->path() + "/result/rootfs/" + path; }
    bool resultIsEmpty() const
    {
        return QDir(m_folder->path() + "/result").isEmpty(QDir::AllEntries | QDir::NoDotAndDotDot | QDir::Hidden);
    }

private slots:
    void init()
    {
        NEEDS("root", ::geteuid() == 0);
        NEEDS("busybox-static", QFile::exists("/bin/busybox"));
        m_folder = std::make_unique<QTemporaryDir>();
        m_paths = Paths::fromEnvironment();
        m_paths.stateDir = (m_folder->path() + "/state").toStdString();
        m_paths.helper = LXMGR_TEST_BIN "/lxmgr-helper";
        QDir().mkpath(m_folder->path() + "/state");
    }

    void filesAreOwnedAsTheyAreInside()
    {
        VERIFY_OK(run("touch /a; chown 1000:1001 /a; chmod 4755 /a; mkdir -m 700 /b"));
        struct stat info {
        };
        QCOMPARE(::stat(tree("a").toUtf8().constData(), &info), 0);
        QCOMPARE(info.st_uid, 1000U);
        QCOMPARE(info.st_gid, 1001U);
        QCOMPARE(info.st_mode & 07777, 04755U);
        QCOMPARE(::stat(tree("b").toUtf8().constData(), &info), 0);
        QCOMPARE(info.st_uid, 0U);
        QVERIFY(read(m_folder->path() + "/result/metadata.yaml").contains("x86_64") ||
                read(m_folder->path() + "/result/metadata.yaml").contains("aarch64"));
    }

    void scriptsAreNobodyOnTheHost()
    {
        VERIFY_OK(run("cat /proc/self/uid_map /proc/self/gid_map > /map; ls /proc | grep -c '^[0-9]' > /processes; cat "
                      "/proc/1/comm > /init; "
                      "hostname changed; mkdir -p /m && mount -t tmpfs none /m && echo yes > /mounted; "
                      "mknod /dev/sda b 8 0 2>/dev/null && echo yes > /made; echo 1 > /proc/sys/kernel/panic && echo "
                      "yes > /wrote; true"));
        QVERIFY(read(tree("map")).contains("1879048192"));
        QVERIFY(read(tree("processes")).toInt() < 10);
        QVERIFY(QFile::exists(tree("mounted"))); // in its own mount namespace it may
        QVERIFY(!QFile::exists(tree("made")));
        QVERIFY(!QFile::exists(tree("wrote")));
    }

    void theHostsFilesAreNotThere()
    {
        QFile canary(m_folder->path() + "/canary");
        QVERIFY(canary.open(QIODevice::WriteOnly));
        VERIFY_OK(run("cp /proc/1/root" + m_folder->path().toStdString() +
                      "/canary /stolen; ls /proc/1/root/etc/shadow /proc/1/root/root/.ssh /proc/1/root/home/* "
                      "2>/dev/null > /seen; "
                      "echo x > /proc/1/root/usr/bin/lxmgr-was-here && echo yes > /wrote; true"));
        QVERIFY(!QFile::exists(tree("stolen")));
        QCOMPARE(read(tree("seen")), QByteArray());
        QVERIFY(!QFile::exists(tree("wrote")));
    }

    void linksOfAScriptLeadNowhere()
    {
        const QByteArray before = read("/etc/hostname");
        const auto result =
            run("true", Progress::none(), "files:\n- {path: /etc/hostname, generator: dump, content: trap}\n");
        VERIFY_OK(result);
        m_folder = std::make_unique<QTemporaryDir>();
        VERIFY_OK(run("ln -s / /up; ln -s ../../../../../../etc /dots"));
        QCOMPARE(read("/etc/hostname"), before);
    }

    void aFailingScriptSaysWhatItSaidAndLeavesNothing()
    {
        const auto result = run("echo could not find the flux >&2; exit 3");
        VERIFY_FAILS(Code::Internal, result);
        const auto message = QByteArray::fromStdString(result.error().message);
        QVERIFY2(message.contains("status 3") && message.contains("could not find the flux"), message);
        QVERIFY(resultIsEmpty());
    }

    void strayProcessesEndWithTheirStep()
    {
        VERIFY_OK(run("setsid sleep 1000 & setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & echo started "
                      "> /started"));
        QVERIFY(QFile::exists(tree("started")));
    }

    void cancellingEndsAllOfIt()
    {
        Watch watch;
        std::thread canceller([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(400));
            watch.stop = true;
        });
        const auto result = run("echo $$ > /pid; trap '' TERM INT HUP; while :; do sleep 0.1; done", watch);
        canceller.join();
        VERIFY_FAILS(Code::Cancelled, result);
        QVERIFY(resultIsEmpty());
    }

    void aFolderInUseIsRefusedAndKept()
    {
        QDir().mkpath(m_folder->path() + "/result/mine");
        VERIFY_FAILS(Code::Invalid, run("true"));
        QVERIFY(QDir(m_folder->path() + "/result/mine").exists());
    }

    void mirrorsMeanNothingToATemplateWithoutArchive()
    {
        const auto definition =
            parseTemplate("t", "image: {distribution: t}\nsource: {downloader: busybox}\n", "t.yaml");
        VERIFY_OK(definition);
        BuildOptions options;
        options.directory = (m_folder->path() + "/result").toStdString();
        options.mirror = "http://192.0.2.1/";
        VERIFY_FAILS(Code::Invalid, build(m_paths, *definition, *resolveTemplate(*definition, {}), options));
        QVERIFY(resultIsEmpty());
    }

    void aMirrorThatDoesNotAnswerIsNamed_data()
    {
        QTest::addColumn<QByteArray>("program");
        QTest::addColumn<QByteArray>("definition");
        QTest::newRow("debian") << QByteArray("/usr/bin/mmdebstrap")
                                << QByteArray(
                                       "image: {distribution: debian}\nsource: {downloader: debootstrap, variant: "
                                       "minbase}\nlxmgr: {updates_suite: true}\nmappings: {architecture_map: "
                                       "debian}\n");
        QTest::newRow("alpine") << QByteArray("/usr/lib/apt/apt-helper")
                                << QByteArray("image: {distribution: alpine}\nsource:\n  downloader: apk\n  keys:\n  - "
                                              "|\n    k.rsa.pub\n    -----BEGIN PUBLIC KEY-----\nmappings: "
                                              "{architecture_map: alpinelinux}\n");
    }
    void aMirrorThatDoesNotAnswerIsNamed()
    {
        QFETCH(QByteArray, program);
        QFETCH(QByteArray, definition);
        NEEDS("mmdebstrap", !program.endsWith("mmdebstrap") || QFile::exists(program));
        NEEDS("apt-helper", !program.endsWith("apt-helper") || QFile::exists(program));
        NEEDS("a host without apk", !program.endsWith("apt-helper") || !QFile::exists("/sbin/apk"));
        const auto parsed = parseTemplate("t", definition.toStdString(), "t.yaml");
        VERIFY_OK(parsed);
        BuildOptions options;
        options.directory = (m_folder->path() + "/result").toStdString();
        options.mirror = "http://127.0.0.1:9/archive"; // discard: nobody listens
        const auto result = build(m_paths, *parsed, *resolveTemplate(*parsed, "trixie"), options);
        VERIFY_FAILS(Code::Unavailable, result);
        const auto message = QByteArray::fromStdString(result.error().message);
        QVERIFY2(message.contains("127.0.0.1:9") && message.contains("refuses the connection") &&
                     message.contains("-o mirror="),
                 message);
        QVERIFY(resultIsEmpty());
    }
};

QTEST_GUILESS_MAIN(TestBuild)
#include "tst_build.moc"

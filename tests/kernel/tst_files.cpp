// Files of a running and of a stopped guest through the helper, and a guest that tries to lead it out.
#include "guest_fixture.h"
#include "spec/files_client.h"

#include <fcntl.h>
#include <sys/stat.h>

using namespace lxmgr;
using namespace lxmgr::test;
using spec::FilesClient;
using spec::FileStat;

class tst_files : public QObject
{
    Q_OBJECT
    std::unique_ptr<GuestFixture> m_guest;
    std::optional<FilesClient> m_files;

    QByteArray content(const std::string &path)
    {
        const auto opened = m_files->open(path, O_RDONLY);
        if (!opened)
            return QByteArray::fromStdString(opened.error().message);
        QByteArray text(100, 0);
        text.resize(static_cast<qsizetype>(std::max<ssize_t>(0, ::read(opened->fd.get(), text.data(), 100))));
        return text;
    }

private slots:
    void init_data() {}
    void initTestCase_data()
    {
        QTest::addColumn<bool>("running");
        QTest::newRow("running") << true;
        QTest::newRow("stopped") << false;
    }
    void init()
    {
        QFETCH_GLOBAL(bool, running);
        NEEDS("root", ::geteuid() == 0);
        NEEDS("busybox", GuestFixture::hasBusybox());
        m_guest = std::make_unique<GuestFixture>();
        Paths paths;
        paths.monitor = m_guest->monitor();
        Result<FilesClient> files = [&]() -> Result<FilesClient> {
            if (!running)
                return FilesClient::forStopped(paths, m_guest->spec().rootfs, m_guest->spec().idmap);
            TRY(m_guest->start());
            return FilesClient::forRunning(paths, TRY(TRY(m_guest->connect()).info()).initPidfd);
        }();
        VERIFY_OK(files);
        m_files.emplace(std::move(*files));
    }
    void cleanup()
    {
        m_files.reset();
        m_guest.reset();
    }

    void newFilesHaveOwnerAndMode()
    {
        const auto opened = m_files->open("/root/new", O_WRONLY | O_CREAT | O_TRUNC, 0640, 1000, 29);
        VERIFY_OK(opened);
        QVERIFY(opened->created);
        QCOMPARE(::write(opened->fd.get(), "text", 4), ssize_t(4));
        const auto stat = m_files->stat("/root/new");
        VERIFY_OK(stat);
        QVERIFY(stat->type == FileStat::Type::File);
        QCOMPARE(stat->mode, 0640U);
        QCOMPARE(stat->uid, 1000U);
        QCOMPARE(stat->gid, 29U);
        QCOMPARE(stat->size, std::uint64_t(4));
        struct stat info {
        };
        QCOMPARE(::stat(qPrintable(m_guest->path("layer/upper/root/new")), &info), 0);
        QCOMPARE(info.st_uid, 1000U);
        QCOMPARE(content("/root/new"), QByteArray("text"));
    }

    void existingFilesKeepThem()
    {
        VERIFY_OK(m_files->open("/etc/group", O_WRONLY | O_CREAT | O_TRUNC));
        QCOMPARE(m_files->stat("/etc/group")->size, std::uint64_t(0));
        const auto again = m_files->open("/etc/group", O_WRONLY | O_CREAT);
        VERIFY_OK(again);
        QVERIFY(!again->created);
        VERIFY_FAILS(Code::AlreadyExists, m_files->open("/etc/group", O_WRONLY | O_CREAT | O_EXCL));
    }

    void foldersAndLinks()
    {
        VERIFY_FAILS(Code::NotFound, m_files->mkdir("/root/a/b"));
        VERIFY_OK(m_files->mkdir("/root/a/b", 0700, 5, 6, true));
        VERIFY_FAILS(Code::AlreadyExists, m_files->mkdir("/root/a/b"));
        QCOMPARE(m_files->stat("/root/a/b")->gid, 6U);
        VERIFY_OK(m_files->symlink("/root/a/link", "/etc/passwd"));
        QCOMPARE(*m_files->readlink("/root/a/link"), std::string("/etc/passwd"));
        QVERIFY(m_files->stat("/root/a/link")->type == FileStat::Type::Symlink);
        QVERIFY(content("/root/a/link").startsWith("root:"));
        const auto entries = m_files->list("/root/a");
        VERIFY_OK(entries);
        QCOMPARE(entries->size(), std::size_t(2));
        QCOMPARE((*entries)[0].name, std::string("b"));
        VERIFY_OK(m_files->rename("/root/a/b", "/root/c"));
        VERIFY_FAILS(Code::WrongState, m_files->remove("/root/a"));
        VERIFY_OK(m_files->remove("/root/a", true));
        VERIFY_OK(m_files->remove("/root/c"));
        VERIFY_FAILS(Code::NotFound, m_files->remove("/root/c"));
        VERIFY_OK(m_files->open("/root/odd", O_WRONLY | O_CREAT));
        VERIFY_OK(m_files->change("/root/odd", 04755, 0, 0));
        QCOMPARE(m_files->stat("/root/odd")->mode, 04755U);
    }

    void linksLeadNowhereOutside()
    {
        QFile canary(m_guest->path("canary"));
        QVERIFY(canary.open(QIODevice::WriteOnly) && canary.write("outside") == 7);
        canary.close();
        VERIFY_OK(m_files->symlink("/root/out", m_guest->path("canary").toStdString()));
        VERIFY_OK(m_files->symlink("/root/up", "../../../../../../../.." + m_guest->path("canary").toStdString()));
        VERIFY_OK(m_files->symlink("/root/proc", "/proc/self/root" + m_guest->path("canary").toStdString()));
        for (const char *path : {"/root/out", "/root/up", "/root/proc", "/../../canary"})
            QVERIFY2(!content(path).contains("outside"), path);
        (void)m_files->open("/root/out", O_WRONLY | O_CREAT | O_TRUNC); // makes, at most, a file inside
        VERIFY_OK([&]() -> Status {
            QFile again(m_guest->path("canary"));
            return again.open(QIODevice::ReadOnly) && again.readAll() == "outside" ? Status()
                                                                                   : Error(Code::Internal, "changed");
        }());
    }

    void specialFilesAreNotOpened()
    {
        QFETCH_GLOBAL(bool, running);
        if (running) {
            VERIFY_FAILS(Code::Invalid, m_files->open("/dev/null", O_RDONLY));
            QCOMPARE(m_guest->run("mkfifo /root/fifo; echo $?").text, QByteArray("0\n"));
            VERIFY_FAILS(Code::Invalid, m_files->open("/root/fifo", O_WRONLY | O_CREAT));
        }
        VERIFY_OK(m_files->open("/root", O_RDONLY));
        QVERIFY(!m_files->open("/root", O_WRONLY));
    }

    void rightsAreTheGuestsOnly()
    {
        QFETCH_GLOBAL(bool, running);
        if (!running)
            return;
        QVERIFY(!m_files->open("/proc/sysrq-trigger", O_WRONLY));
        QVERIFY(!m_files->change("/proc/version", 0666, -1, -1));
    }
};

QTEST_GUILESS_MAIN(tst_files)
#include "tst_files.moc"

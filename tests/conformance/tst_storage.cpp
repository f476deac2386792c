// What every storage driver promises, asked of each in turn on the file system that holds /var/tmp (or LXMGR_TEST_POOL).
#include "storage/driver.h"
#include "storage/tree.h"

#include "support/require.h"
#include "support/verify.h"

#include <QtCore/QElapsedTimer>
#include <QtCore/QTemporaryDir>
#include <QtCore/QDir>
#include <QtCore/QFile>
#include <atomic>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <thread>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::storage;

namespace
{

const std::string kImage(64, 'a');
const std::string kOther(64, 'b');

struct Pool {
    QTemporaryDir folder{qEnvironmentVariable("LXMGR_TEST_POOL", "/var/tmp") + "/lxmgr-storage-XXXXXX"};
    std::string driverName;
    std::unique_ptr<Driver> driver;

    explicit Pool(std::string name) : driverName(std::move(name)) {}
    Status open()
    {
        driver = TRY(Driver::open({"default", driverName, {}}, folder.path().toStdString()));
        return driver->prepare();
    }
};

Status put(const Fd &at, const char *name, const std::string &content)
{
    const Fd file(::openat(at.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    for (std::size_t done = 0; done < content.size();) { // a full disk shows in the second write
        const ssize_t written = ::write(file.get(), content.data() + done, content.size() - done);
        if (written < 0)
            return Error::fromErrno(errno, "write", name);
        done += static_cast<std::size_t>(written);
    }
    return file ? Status() : Status(Error::fromErrno(errno, "create", name));
}

/// metadata.yaml and a root file system with one of each kind of file.
Status fillImage(const Fd &folder)
{
    TRY(put(folder, "metadata.yaml", "architecture: x86_64\ncreation_date: 1\n"));
    const Fd rootfs = TRY(makeFolder(folder, "rootfs", 0755));
    const Fd bin = TRY(makeFolder(rootfs, "bin", 0751));
    TRY(put(bin, "sh", "#!"));
    if (::fchownat(bin.get(), "sh", 0, 5, 0) < 0 || ::fchmodat(bin.get(), "sh", 04755, 0) < 0)
        return Error::fromErrno(errno, "setuid");
    if (::linkat(bin.get(), "sh", rootfs.get(), "sh-again", 0) < 0 || ::symlinkat("bin/sh", rootfs.get(), "link") < 0)
        return Error::fromErrno(errno, "link");
    if (::mkfifoat(rootfs.get(), "fifo", 0600) < 0 || ::fchownat(bin.get(), "", 1000, 1000, AT_EMPTY_PATH) < 0)
        return Error::fromErrno(errno, "fifo");
    return ::fsetxattr(rootfs.get(), "user.test", "x", 1, 0) == 0 ? Status() : Status(Error::fromErrno(errno, "setxattr"));
}

/// The root file system as a guest sees it; overlay is mounted for that in this (private) mount namespace.
class Mounted
{
public:
    explicit Mounted(const RootTree &tree) : m_overlay(tree.kind == RootTree::Kind::Overlay), m_path(tree.directory)
    {
        if (!m_overlay)
            return;
        m_path = m_folder.path().toStdString();
        const std::string options = "lowerdir=" + tree.lower.front() + ",upperdir=" + tree.layer + "/upper,workdir=" + tree.layer + "/work";
        m_ok = ::mount("overlay", m_path.c_str(), "overlay", 0, options.c_str()) == 0;
    }
    ~Mounted()
    {
        if (m_overlay)
            ::umount2(m_path.c_str(), MNT_DETACH);
    }
    bool ok() const { return m_ok; }
    std::string at(const std::string &path) const { return m_path + "/" + path; }

private:
    bool m_overlay;
    bool m_ok = true;
    QTemporaryDir m_folder;
    std::string m_path;
};

struct stat statOf(const std::string &path)
{
    struct stat info{};
    ::lstat(path.c_str(), &info);
    return info;
}

QStringList entriesOf(const std::string &path) { return QDir(QString::fromStdString(path)).entryList(QDir::AllEntries | QDir::Hidden | QDir::NoDotAndDotDot); }

} // namespace

class TestStorage : public QObject
{
    Q_OBJECT

    void drivers()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const auto name : Driver::driverNames())
            QTest::newRow(std::string(name).c_str()) << QByteArray(name.data(), static_cast<int>(name.size()));
    }
    static std::string driver()
    {
        QFETCH(QByteArray, driver);
        return driver.toStdString();
    }

private slots:
    void initTestCase()
    {
        NEEDS("root", ::geteuid() == 0);
        // Mounts of the tests reach nobody else.
        QVERIFY(::unshare(CLONE_NEWNS) == 0);
        QVERIFY(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    }

    void unknownDriverNamesThoseThereAre()
    {
        const auto opened = Driver::open({"default", "zfs", {}}, "/nowhere");
        VERIFY_FAILS(Code::Invalid, opened);
        QVERIFY(opened.error().message.find("overlay") != std::string::npos);
    }

    void nobodyElseMayLookIn_data() { drivers(); }
    void nobodyElseMayLookIn()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        QCOMPARE(statOf(pool.driver->directory()).st_mode & 07777, 0700U);
        ::chmod(pool.driver->directory().c_str(), 0755);
        VERIFY_OK(pool.driver->prepare());
        QCOMPARE(statOf(pool.driver->directory()).st_mode & 07777, 0700U);
    }

    void volumeShowsTheImage_data() { drivers(); }
    void volumeShowsTheImage()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        QVERIFY(pool.driver->hasVolume("default", "web1"));
        const auto tree = pool.driver->root("default", "web1");
        VERIFY_OK(tree);
        const Mounted mounted(*tree);
        QVERIFY(mounted.ok());
        const struct stat shell = statOf(mounted.at("bin/sh"));
        QCOMPARE(shell.st_mode, static_cast<mode_t>(S_IFREG | 04755));
        QCOMPARE(shell.st_gid, 5U);
        QCOMPARE(statOf(mounted.at("sh-again")).st_ino, shell.st_ino);
        QCOMPARE(statOf(mounted.at("bin")).st_uid, 1000U);
        QCOMPARE(statOf(mounted.at("bin")).st_mode & 07777, 0751U);
        QVERIFY(S_ISFIFO(statOf(mounted.at("fifo")).st_mode));
        QVERIFY(S_ISLNK(statOf(mounted.at("link")).st_mode));
        QCOMPARE(statOf(mounted.at("")).st_mode & 07777, 0755U);
        char value = 0;
        QCOMPARE(::getxattr(mounted.at("").c_str(), "user.test", &value, 1), ssize_t(1));
    }

    void volumesDoNotSeeEachOther_data() { drivers(); }
    void volumesDoNotSeeEachOther()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->createVolume("default", "b", kImage));
        const Mounted a(*pool.driver->root("default", "a"));
        const Mounted b(*pool.driver->root("default", "b"));
        QVERIFY(::unlink(a.at("bin/sh").c_str()) == 0);
        QVERIFY(::mkdir(a.at("new").c_str(), 0755) == 0);
        QVERIFY(::access(b.at("bin/sh").c_str(), F_OK) == 0);
        QVERIFY(::access(b.at("new").c_str(), F_OK) != 0);
        QVERIFY(::access((pool.driver->directory() + "/images/" + kImage + "/rootfs/bin/sh").c_str(), F_OK) == 0);
    }

    void createTwiceSaysSo_data() { drivers(); }
    void createTwiceSaysSo()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "web1", {}));
        VERIFY_FAILS(Code::AlreadyExists, pool.driver->createVolume("default", "web1", {}));
        VERIFY_FAILS(Code::NotFound, pool.driver->createVolume("default", "web2", kImage));
        QVERIFY(!pool.driver->hasVolume("default", "web2"));
        VERIFY_FAILS(Code::Invalid, pool.driver->createVolume("default", "../x", {}));
        VERIFY_FAILS(Code::Invalid, pool.driver->createVolume("..", "x", {}));
        QVERIFY(entriesOf(pool.driver->directory() + "/scratch").isEmpty());
    }

    void projectsKeepNamesApart_data() { drivers(); }
    void projectsKeepNamesApart()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "web1", {}));
        VERIFY_OK(pool.driver->createVolume("other", "web1", {}));
        QCOMPARE(pool.driver->listVolumes().value_or(std::vector<std::string>()), (std::vector<std::string>{"other_web1", "web1"}));
        VERIFY_OK(pool.driver->deleteVolume("other", "web1"));
        QVERIFY(pool.driver->hasVolume("default", "web1"));
    }

    void deleteIsIdempotentAndRemovesAll_data() { drivers(); }
    void deleteIsIdempotentAndRemovesAll()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        VERIFY_FAILS(Code::NotFound, pool.driver->root("default", "web1"));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.driver->directory() + "/trash").isEmpty());
        QVERIFY(entriesOf(pool.driver->directory() + "/containers").isEmpty());
    }

    void renameMovesEverything_data() { drivers(); }
    void renameMovesEverything()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->createVolume("default", "b", {}));
        VERIFY_FAILS(Code::AlreadyExists, pool.driver->renameVolume("default", "a", "b"));
        VERIFY_FAILS(Code::NotFound, pool.driver->renameVolume("default", "x", "y"));
        VERIFY_OK(pool.driver->renameVolume("default", "a", "c"));
        QVERIFY(!pool.driver->hasVolume("default", "a"));
        QCOMPARE(*pool.driver->volumeImage("default", "c"), std::optional<std::string>(kImage));
        const Mounted mounted(*pool.driver->root("default", "c"));
        QVERIFY(::access(mounted.at("bin/sh").c_str(), F_OK) == 0);
    }

    void imageIsThereWholeOrNotAtAll_data() { drivers(); }
    void imageIsThereWholeOrNotAtAll()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_FAILS(Code::Invalid, pool.driver->addImage("../x", &fillImage));
        VERIFY_FAILS(Code::Corrupt, pool.driver->addImage(kImage, [](const Fd &folder) -> Status {
            TRY(fillImage(folder));
            return Error(Code::Corrupt, "stopped half way");
        }));
        QVERIFY(!pool.driver->hasImage(kImage));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.driver->directory() + "/scratch").isEmpty());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->addImage(kImage, [](const Fd &) -> Status { return Error(Code::Internal, "not to be called"); }));
        QCOMPARE(pool.driver->listImages().value_or(std::vector<std::string>()), std::vector<std::string>{kImage});
    }

    void builtTreeIsMovedIn_data() { drivers(); }
    void builtTreeIsMovedIn()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        auto scratch = pool.driver->newScratch();
        VERIFY_OK(scratch);
        VERIFY_OK(fillImage(scratch->directory()));
        const ino_t inode = statOf(scratch->path() + "/rootfs").st_ino;
        VERIFY_OK(pool.driver->addImage(kImage, std::move(*scratch)));
        QCOMPARE(statOf(pool.driver->directory() + "/images/" + kImage + "/rootfs").st_ino, inode);
        auto unused = pool.driver->newScratch();
        VERIFY_OK(unused);
        const std::string path = unused->path();
        {
            const Scratch dropped = std::move(*unused);
        }
        QVERIFY(::access(path.c_str(), F_OK) != 0);
    }

    void imageStaysWhileItIsUsed_data() { drivers(); }
    void imageStaysWhileItIsUsed()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->addImage(kOther, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->createVolume("default", "b", kImage));
        VERIFY_OK(pool.driver->deleteImage(kImage));
        VERIFY_OK(pool.driver->deleteImage(kImage));
        QVERIFY(!pool.driver->hasImage(kImage));
        {
            const Mounted mounted(*pool.driver->root("default", "a"));
            QVERIFY(::access(mounted.at("bin/sh").c_str(), F_OK) == 0);
        }
        VERIFY_OK(pool.driver->deleteVolume("default", "a"));
        {
            const Mounted mounted(*pool.driver->root("default", "b"));
            QVERIFY(::access(mounted.at("bin/sh").c_str(), F_OK) == 0);
        }
        VERIFY_OK(pool.driver->deleteVolume("default", "b"));
        QVERIFY(::access((pool.driver->directory() + "/images/" + kImage).c_str(), F_OK) != 0);
        QVERIFY(pool.driver->hasImage(kOther));
    }

    void forgottenImageComesBack_data() { drivers(); }
    void forgottenImageComesBack()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->deleteImage(kImage));
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        QVERIFY(pool.driver->hasImage(kImage));
        VERIFY_OK(pool.driver->deleteVolume("default", "a"));
        QVERIFY(pool.driver->hasImage(kImage));
    }

    void emptyVolumeHasARoot_data() { drivers(); }
    void emptyVolumeHasARoot()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "web1", {}));
        const auto tree = pool.driver->root("default", "web1");
        VERIFY_OK(tree);
        QVERIFY(tree->kind == RootTree::Kind::Directory);
        QVERIFY(S_ISDIR(statOf(tree->directory).st_mode));
        QVERIFY(!pool.driver->volumeImage("default", "web1")->has_value());
    }

    void prepareDropsWhatACrashLeft_data() { drivers(); }
    void prepareDropsWhatACrashLeft()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        const std::string left = pool.driver->directory() + "/scratch/left";
        const std::string rubbish = pool.driver->directory() + "/trash/rubbish";
        QVERIFY(::mkdir(left.c_str(), 0700) == 0 && ::mkdir(rubbish.c_str(), 0700) == 0);
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(::access(left.c_str(), F_OK) != 0 && ::access(rubbish.c_str(), F_OK) != 0);
    }

    /// Deeper than descriptors or a path could reach in one go.
    void deepTreesAreRemoved_data() { drivers(); }
    void deepTreesAreRemoved()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "deep", {}));
        Fd at(::open(pool.driver->root("default", "deep")->directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        for (int level = 0; level < 5000; ++level) {
            QVERIFY(::mkdirat(at.get(), "d", 0700) == 0);
            at = Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        }
        at.reset();
        VERIFY_OK(pool.driver->deleteVolume("default", "deep"));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.driver->directory() + "/trash").isEmpty());
    }

    void usageCountsTheVolumeOnly_data() { drivers(); }
    void usageCountsTheVolumeOnly()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        const auto before = pool.driver->usage("default", "web1");
        VERIFY_OK(before);
        {
            const Mounted mounted(*pool.driver->root("default", "web1"));
            QFile file(QString::fromStdString(mounted.at("big")));
            QVERIFY(file.open(QIODevice::WriteOnly));
            file.write(QByteArray(1 << 20, 'x'));
        }
        const auto after = pool.driver->usage("default", "web1");
        VERIFY_OK(after);
        QVERIFY2(after->count - before->count >= 1 << 20 && after->count - before->count < 2 << 20, QByteArray::number(qulonglong(after->count)));
        VERIFY_OK(pool.driver->space());
    }

    void fullPoolSaysSoAndKeepsWorking_data() { drivers(); }
    void fullPoolSaysSoAndKeepsWorking()
    {
        QTemporaryDir folder;
        const std::string state = folder.path().toStdString();
        QVERIFY(::mount("tmpfs", state.c_str(), "tmpfs", 0, "size=4m,nr_inodes=500") == 0);
        {
            auto opened = Driver::open({"default", driver(), {}}, state);
            VERIFY_OK(opened);
            const auto &pool = *opened;
            VERIFY_OK(pool->prepare());
            VERIFY_OK(pool->createVolume("default", "old", {}));
            const Status added = pool->addImage(kImage, [](const Fd &at) { return put(at, "big", std::string(8 << 20, 'x')); });
            VERIFY_FAILS(Code::NoSpace, added);
            QVERIFY2(added.error().message.find("free in storage pool 'default'") != std::string::npos, added.error().message.c_str());
            QVERIFY(!pool->hasImage(kImage));
            VERIFY_OK(pool->emptyTrash());
            QVERIFY(entriesOf(pool->directory() + "/scratch").isEmpty());
            VERIFY_OK(put(Fd(::open(state.c_str(), O_RDONLY)), "filler", std::string(3 << 20, 'x')));
            QVERIFY(pool->listVolumes().has_value());
            VERIFY_OK(pool->deleteVolume("default", "old"));
        }
        QVERIFY(::umount2(state.c_str(), MNT_DETACH) == 0);
    }

    void overlayOnOverlayIsRefused()
    {
        Pool pool("overlay");
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        const Mounted mounted(*pool.driver->root("default", "web1"));
        QVERIFY(mounted.ok());
        auto inner = Driver::open({"default", "overlay", {}}, mounted.at("state"));
        VERIFY_OK(inner);
        VERIFY_FAILS(Code::Unsupported, (*inner)->prepare());
    }

    void threadsMayWorkAtOnce_data() { drivers(); }
    void threadsMayWorkAtOnce()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        std::atomic<int> failures = 0;
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 4; ++thread)
            threads.emplace_back([&, thread] {
                for (int round = 0; round < 25; ++round) {
                    const std::string name = "v" + std::to_string(thread) + "-" + std::to_string(round);
                    failures += !pool.driver->createVolume("default", name, kImage);
                    failures += !pool.driver->root("default", name);
                    failures += !pool.driver->deleteVolume("default", name);
                }
            });
        for (std::thread &thread : threads)
            thread.join();
        QCOMPARE(failures.load(), 0);
        VERIFY_OK(pool.driver->emptyTrash());
    }

    void timesArePrinted_data() { drivers(); }
    void timesArePrinted()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        QElapsedTimer timer;
        timer.start();
        constexpr int kVolumes = 100;
        for (int i = 0; i < kVolumes; ++i)
            VERIFY_OK(pool.driver->createVolume("default", "v" + std::to_string(i), kImage));
        const auto created = timer.nsecsElapsed();
        for (int i = 0; i < kVolumes; ++i)
            VERIFY_OK(pool.driver->deleteVolume("default", "v" + std::to_string(i)));
        qInfo("create %.3f ms, delete %.3f ms a volume", double(created) / 1e6 / kVolumes, double(timer.nsecsElapsed() - created) / 1e6 / kVolumes);
        VERIFY_OK(pool.driver->emptyTrash());
    }
};

QTEST_APPLESS_MAIN(TestStorage)
#include "tst_storage.moc"

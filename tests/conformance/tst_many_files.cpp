// Volumes of very many small files: nothing is lost, skipped or run out of on the way through image, volume, snapshot, copy,
// restore and removal, and each says how long it took. 20 000 files in memory; LXMGR_TEST_FILES=1000000 with a folder on a
// disk in LXMGR_TEST_POOL (40 GB free) is the real size, which takes a quarter of an hour.
#include "base/text.h"
#include "conformance/file_systems.h"
#include "conformance/mounted_tree.h"
#include "kernel/sys.h"
#include "storage/driver.h"
#include "storage/tree.h"
#include "support/require.h"
#include "support/verify.h"

#include <QtCore/QDir>
#include <QtCore/QElapsedTimer>
#include <QtCore/QTemporaryDir>
#include <QtTest/QTest>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::storage;
using lxmgr::test::Mounted;

namespace
{

constexpr std::size_t kInFolder = 1000;
const std::string kImage(64, 'c');

test::FileSystems g_fileSystems;

std::size_t wanted() { return static_cast<std::size_t>(std::max(qEnvironmentVariableIntValue("LXMGR_TEST_FILES"), 20'000)); }

/// Qt Test ends a function after five minutes unless told before it begins.
const bool g_patient = wanted() < 100'000 || qputenv("QTEST_FUNCTION_TIMEOUT", "7200000");

std::string folderName(std::size_t number) { return "d" + std::to_string(number / kInFolder); }
std::string fileName(std::size_t number) { return folderName(number) + "/f" + std::to_string(number); }

Status write(const Fd &at, const std::string &name, const std::string &content)
{
    const Fd file = TRY(sys::openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    return ::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size())
               ? Status()
               : Status(Error::fromErrno(errno, "write"));
}

Status makeFiles(const Fd &image)
{
    const Fd rootfs = TRY(makeFolder(image, "rootfs", 0755));
    for (std::size_t i = 0; i < wanted(); ++i) {
        if (i % kInFolder == 0)
            TRY(makeFolder(rootfs, folderName(i), 0755));
        TRY(write(rootfs, fileName(i), std::to_string(i)));
    }
    return {};
}

/// How many files there are and what they hold, in one number each: of a file path, mode, owner, size, time and content count.
struct Sum {
    std::size_t files = 0;
    std::size_t all = 0;
    bool operator==(const Sum &) const = default;
};

Status addTo(Sum &sum, const Fd &folder, const std::string &path)
{
    DIR *stream = ::fdopendir(TRY(sys::openat(folder, ".", O_RDONLY | O_DIRECTORY)).release());
    if (!stream)
        return Error::fromErrno(errno, "fdopendir");
    Status done;
    while (const dirent *entry = done ? ::readdir(stream) : nullptr) {
        const std::string name = entry->d_name;
        if (name == "." || name == "..")
            continue;
        const auto one = [&]() -> Status {
            if (entry->d_type == DT_DIR)
                return addTo(sum, TRY(sys::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)), path + name + "/");
            const Fd file = TRY(sys::openat(folder, name, O_RDONLY | O_NOFOLLOW));
            const struct stat info = TRY(sys::fstat(file));
            char content[64];
            const ssize_t length = ::read(file.get(), content, sizeof content);
            std::string text = path + name + " " + std::to_string(info.st_mode) + " " + std::to_string(info.st_uid) + " " +
                               std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
                               std::to_string(info.st_mtim.tv_nsec) + " ";
            text.append(content, length < 0 ? 0 : static_cast<std::size_t>(length));
            ++sum.files;
            sum.all += std::hash<std::string>()(text);
            return {};
        };
        done = one();
    }
    ::closedir(stream);
    return done;
}

Sum sumOf(const Result<RootTree> &tree)
{
    Sum sum;
    if (!tree)
        return sum;
    const Mounted mounted(*tree);
    const auto top = sys::open(mounted.path(), O_RDONLY | O_DIRECTORY);
    if (const Status added = top ? addTo(sum, *top, "") : Status(top.error()); !added)
        qWarning("%s", added.error().message.c_str());
    return sum;
}

} // namespace

class TestManyFiles : public QObject
{
    Q_OBJECT
private slots:
    void initTestCase()
    {
        NEEDS("root", ::geteuid() == 0);
        VERIFY_OK(g_fileSystems.begin(qgetenv("LXMGR_TEST_POOL").toStdString()));
    }
    void allComeThrough_data();
    void allComeThrough();

private:
    template <class Work> void timed(const char *what, Work work)
    {
        QElapsedTimer timer;
        timer.start();
        const Status done = work();
        qInfo("%s: %lld ms", what, static_cast<long long>(timer.elapsed()));
        VERIFY_OK(done);
    }
};

void TestManyFiles::allComeThrough_data()
{
    QTest::addColumn<QByteArray>("driver");
    QTest::addColumn<QByteArray>("fileSystem");
    QTest::newRow("overlay/ext4") << QByteArray("overlay") << QByteArray("ext4");
    QTest::newRow("overlay/xfs") << QByteArray("overlay") << QByteArray("xfs");
    QTest::newRow("dir/ext4") << QByteArray("dir") << QByteArray("ext4");
    QTest::newRow("btrfs/btrfs") << QByteArray("btrfs") << QByteArray("btrfs");
}

void TestManyFiles::allComeThrough()
{
    QFETCH(QByteArray, driver);
    QFETCH(QByteArray, fileSystem);
    const std::string bed = (driver + "-" + fileSystem + "-many").toStdString();
    const auto kinds = test::fileSystemKinds();
    test::FileSystemKind kind = *std::ranges::find_if(kinds, [&](const auto &one) { return one.name == fileSystem; });
    if (fileSystem == "ext4")
        kind.make = {"mkfs.ext4", "-q", "-F", "-N", QString::number(wanted() * 7 + 20'000)};
    const bool ext4 = fileSystem != "ext4" || g_fileSystems.lack("ext4").empty();
    const bool btrfs = fileSystem != "btrfs" || g_fileSystems.lack("btrfs").empty();
    const bool xfs = fileSystem != "xfs" || g_fileSystems.lack("xfs").empty();
    NEEDS("ext4", ext4);
    NEEDS("btrfs", btrfs);
    NEEDS("xfs", xfs);
    VERIFY_OK(g_fileSystems.make(kind, bed, wanted() >= 100'000 ? "40G" : "2G"));
    const std::string state = g_fileSystems.path(bed);
    auto opened = Driver::open({"default", driver.toStdString(), state + "/pool", VolumeKind::Instance}, state);
    VERIFY_OK(opened);
    Driver &pool = **opened;
    VERIFY_OK(pool.prepare());

    timed("image", [&] { return pool.addImage(kImage, makeFiles); });
    timed("volume", [&] { return pool.createVolume("default", "v", kImage); });
    const Sum first = sumOf(pool.root("default", "v"));
    QCOMPARE(first.files, wanted());
    timed("snapshot", [&] { return pool.createSnapshot("default", "v", "s", InUse::No); });
    timed("edits", [&]() -> Status {
        const Mounted mounted(TRY(pool.root("default", "v")));
        const Fd top = TRY(sys::open(mounted.path(), O_RDONLY | O_DIRECTORY));
        for (std::size_t i = 0; i < wanted(); i += kInFolder) {
            TRY(sys::unlinkat(top, fileName(i)));
            TRY(write(top, fileName(i + 1), "changed"));
            TRY(write(top, folderName(i) + "/new", "new"));
        }
        return {};
    });
    const Sum edited = sumOf(pool.root("default", "v"));
    QCOMPARE(edited.files, wanted());
    QVERIFY(!(edited == first));
    timed("copy with its snapshot", [&] { return pool.copyVolume({"default", "v", std::nullopt, InUse::No}, "default", "c", WithSnapshots::Yes); });
    timed("restore", [&] { return pool.restoreSnapshot("default", "v", "s"); });
    QVERIFY(sumOf(pool.root("default", "v")) == first);
    QVERIFY(sumOf(pool.snapshotRoot("default", "c", "s")) == first);
    QVERIFY(sumOf(pool.root("default", "c")) == edited);
    timed("delete", [&] { return pool.deleteVolume("default", "v"); });
    timed("removal", [&] { return pool.emptyTrash(); });
    VERIFY_OK(pool.deleteVolume("default", "c"));
    VERIFY_OK(pool.deleteImage(kImage));
    VERIFY_OK(pool.emptyTrash());
    for (const char *part : {"containers", "images", "layers", "scratch", "trash"})
        QVERIFY2(QDir(QString::fromStdString(pool.directory() + "/" + part)).isEmpty(), part);
}

QTEST_GUILESS_MAIN(TestManyFiles)
#include "tst_many_files.moc"

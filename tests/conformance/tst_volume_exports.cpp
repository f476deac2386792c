// What exported storage volumes promise: trees come back, hostile archives are refused and touch nothing; and who packs is
// shut in.
#include "config/volume_export.h"
#include "images/export_job.h"
#include "images/sandbox.h"
#include "images/unpack.h"
#include "support/require.h"
#include "support/tar_bytes.h"
#include "support/verify.h"

#include <QtCore/QDir>
#include <QtCore/QFile>
#include <QtCore/QTemporaryDir>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::images;
using namespace lxmgr::test;

namespace
{

const QByteArray kIndex = R"(name: v1
backend: dir
pool: default
snapshots:
- s0
optimized: false
type: custom
config:
  volume:
    config: {user.note: hello}
    description: what it is for
    name: v1
    type: custom
    content_type: filesystem
    project: default
  volume_snapshots:
  - name: s0
    config: {user.note: before}
    created_at: 2026-11-25T18:57:43.553954483Z
)";
const TarEntry kIndexEntry{"backup/index.yaml", '0', kIndex};
const TarEntry kSnapshot{"backup/volume-snapshots/s0", '5', {}, {}, 0711};
const TarEntry kVolume{"backup/volume", '5', {}, {}, 0711};

QByteArray volumeWith(const QList<TarEntry> &more = {})
{
    return tar(QList<TarEntry>{kIndexEntry, kSnapshot, kVolume} + more);
}

TarEntry indexWith(const char *old, const char *now)
{
    return {"backup/index.yaml", '0', QByteArray(kIndex).replace(old, now)};
}

struct House {
    QTemporaryDir folder;
    const std::string helper = LXMGR_TEST_BIN "/lxmgr-helper";
    House()
    {
        QDir(folder.path()).mkpath("target/container/rootfs");
        QDir(folder.path()).mkpath("target/snapshots/s0/rootfs");
    }
    std::string at(const QString &name) const { return folder.filePath(name).toStdString(); }
    std::string write(const QString &name, const QByteArray &bytes) const
    {
        QFile file(folder.filePath(name));
        if (!file.open(QIODevice::WriteOnly) || file.write(bytes) != bytes.size())
            qFatal("cannot write a test file");
        return at(name);
    }
    QByteArray read(const QString &name) const
    {
        QFile file(folder.filePath(name));
        return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray("(missing)");
    }
    Result<Unpacked> unpack(const std::string &file) const
    {
        const Fd from(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
        const Fd to(::open(at("target").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return unpackArchive({helper, from, nullptr, &to, {}, UnpackWork::VolumeExport}, Progress::none());
    }
};

/// In a child of its own: what `work` answers is its exit status.
int inChild(const std::function<int()> &work)
{
    const pid_t pid = ::fork();
    if (pid == 0)
        ::_exit(work());
    int status = -1;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

} // namespace

class TestVolumeExports : public QObject
{
    Q_OBJECT
private slots:
    void initTestCase() { NEEDS("root", ::geteuid() == 0); }

    void anIndexComesBack()
    {
        config::VolumeExportIndex index{"dir", "default", {"default", "v1", "text: 'quoted'", 5000, {{"user.a", "b"}}, {}}};
        index.volume.snapshots.push_back({"s0", "first", 1000, 2000, {{"user.a", "old"}}});
        index.volume.snapshots.push_back({"s1", "", 3000, 0, {}});
        const auto back = config::readVolumeExport(config::writeVolumeExport(index));
        VERIFY_OK(back);
        QVERIFY(*back == index);
    }

    void treesComeBack()
    {
        House house;
        QDir(house.folder.path()).mkpath("volume/deep/er");
        QDir(house.folder.path()).mkpath("s0");
        house.write("volume/deep/er/file", "now");
        house.write("s0/file", "before");
        ExportJob job{Compression::Zstd, kIndex.toStdString(), {}, Layout::VolumeExport};
        job.parts.push_back({"volume-snapshots/s0", {}, {}, {}, {house.at("s0")}});
        job.parts.push_back({"volume", {}, {}, {}, {house.at("volume")}});
        Fd out(::open(house.at("out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        const auto packed = packExport(house.helper, job, out, Progress::none());
        VERIFY_OK(packed);
        VERIFY_OK(verifyExport(house.helper, out, *packed, Progress::none()));
        VERIFY_OK(house.unpack(house.at("out")));
        QCOMPARE(house.read("target/container/rootfs/deep/er/file"), QByteArray("now"));
        QCOMPARE(house.read("target/snapshots/s0/rootfs/file"), QByteArray("before"));
    }

    void everyCompressionPacksShutIn_data()
    {
        QTest::addColumn<int>("compression");
        for (const Compression one : {Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz,
                                      Compression::Bzip2, Compression::Lzma})
            QTest::addRow("%d", static_cast<int>(one)) << static_cast<int>(one);
    }
    void everyCompressionPacksShutIn()
    {
        QFETCH(int, compression);
        House house;
        QDir(house.folder.path()).mkpath("volume");
        QByteArray bytes;
        for (quint32 i = 0; i < 50'000; ++i)
            bytes.append(QByteArray::number(i * 7919U));
        house.write("volume/file", bytes);
        ::chmod(house.at("volume/file").c_str(), 0); // who packs may read what a guest has closed
        QByteArray index = QByteArray(kIndex).replace("snapshots:\n- s0\n", "");
        index = index.left(index.indexOf("  volume_snapshots:"));
        ExportJob job{static_cast<Compression>(compression), index.toStdString(), {}, Layout::VolumeExport};
        job.parts.push_back({"volume", {}, {}, {}, {house.at("volume")}});
        Fd out(::open(house.at("out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        const auto packed = packExport(house.helper, job, out, Progress::none());
        VERIFY_OK(packed);
        VERIFY_OK(verifyExport(house.helper, out, *packed, Progress::none()));
    }

    void thePackerCanReachNothingElse()
    {
        House house;
        QDir(house.folder.path()).mkpath("tree");
        QDir(house.folder.path()).mkpath("other");
        house.write("tree/file", "x");
        house.write("other/file", "secret");
        const Fd tree(::open(house.at("tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const Fd other(::open(house.at("other").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const int answer = inChild([&] {
            if (!shutInPacker({&tree}))
                return 1;
            if (::openat(tree.get(), "file", O_RDONLY | O_CLOEXEC) < 0)
                return 2; // this it may
            if (::openat(tree.get(), "file", O_WRONLY | O_CLOEXEC) >= 0)
                return 3;
            if (::openat(tree.get(), "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0)
                return 4;
            if (::open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0)
                return 5; // its root is empty
            if (::openat(other.get(), "file", O_RDONLY | O_CLOEXEC) >= 0)
                return 6; // open before, and yet closed to it (Landlock)
            if (::openat(tree.get(), "../other/file", O_RDONLY | O_CLOEXEC) >= 0)
                return 7;
            if (::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 || errno != ENOSYS)
                return 8; // the filter
            if (::fork() >= 0)
                return 9; // threads, not processes
            if (::unlinkat(tree.get(), "file", 0) == 0)
                return 10;
            return ::geteuid() == 0 ? 11 : 0;
        });
        QCOMPARE(answer, 0);
        QCOMPARE(house.read("tree/file"), QByteArray("x"));
    }

    void hostileArchivesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<QByteArray>("why");
        const auto row = [](const char *name, const TarEntry &more, const char *why) {
            QTest::newRow(name) << volumeWith({more}) << QByteArray(why);
        };
        const auto alone = [](const char *name, const QList<TarEntry> &entries, const char *why) {
            QTest::newRow(name) << tar(entries) << QByteArray(why);
        };
        row("dot-dot", {"backup/volume/../../canary", '0', "x"}, "'..'");
        row("dot-dot in a snapshot", {"backup/volume-snapshots/s0/../../../canary", '0', "x"}, "'..'");
        row("snapshot named dot-dot", {"backup/volume-snapshots/../x", '0', "x"}, "'..'");
        row("snapshot with an odd name", {"backup/volume-snapshots/-rf/", '5', {}, {}, 0755}, "snapshot");
        row("snapshot not listed", {"backup/volume-snapshots/s9/", '5', {}, {}, 0755}, "not listed");
        row("the volume becomes a link", {"backup/volume", '2', {}, "/tmp"}, "backup/volume");
        row("snapshots become a link", {"backup/volume-snapshots", '2', {}, "/tmp"}, "not a folder");
        row("outside the layout", {"etc/passwd", '0', "x"}, "outside of backup/");
        row("unknown part", {"backup/other/x", '0', "x"}, "no part");
        row("part of an instance", {"backup/container/rootfs/x", '0', "x"}, "lxmgr import");
        row("stream of a driver", {"backup/volume.bin", '0', "x"}, "--optimized-storage");
        row("stream of a snapshot", {"backup/volume-snapshots/s0.bin", '0', "x"}, "--optimized-storage");
        row("blocks", {"backup/volume.img", '0', "x"}, "blocks");
        row("hard link out of the volume", {"backup/volume/x", '1', {}, "/etc/passwd"}, "absolute");
        row("hard link to a snapshot", {"backup/volume/x", '1', {}, "backup/volume-snapshots/s0/x"}, "hard link");
        row("id too large", {"backup/volume/x", '0', "x", {}, 0644, 70000}, "65535");
        row("index twice", kIndexEntry, "twice");
        alone("no index", {kVolume}, "no export of a storage volume");
        alone("index names a path", {indexWith("name: v1\nbackend", "name: ../v1\nbackend"), kSnapshot, kVolume}, "name");
        alone("index lists a path", {indexWith("- s0", "- ../s0"), kSnapshot, kVolume}, "snapshot");
        alone("index lists one twice", {indexWith("- s0", "- s0\n- s0"), kSnapshot, kVolume}, "twice");
        alone("index of an instance", {indexWith("type: custom\nconfig", "type: container\nconfig"), kSnapshot, kVolume}, "lxmgr import");
        alone("index of blocks", {indexWith("content_type: filesystem", "content_type: block"), kSnapshot, kVolume}, "block");
        alone("optimized", {indexWith("optimized: false", "optimized: true"), kSnapshot, kVolume}, "--optimized-storage");
        alone("snapshot is missing", {kIndexEntry, kVolume}, "not in the archive");
        alone("volume is missing", {kIndexEntry, kSnapshot}, "no files of the volume");
        QTest::newRow("cut off") << volumeWith({{"backup/volume/x", '0', QByteArray(5000, 'x')}}).left(4096)
                                 << QByteArray("archive");
        QTest::newRow("not an archive") << QByteArray(4096, 'x') << QByteArray("not a tar archive");
    }
    void hostileArchivesAreRefused()
    {
        QFETCH(QByteArray, bytes);
        QFETCH(QByteArray, why);
        House house;
        const auto taken = house.unpack(house.write("archive", bytes));
        QVERIFY2(!taken, "was taken");
        QVERIFY2(taken.error().code == Code::Invalid || taken.error().code == Code::Unsupported, taken.error().message.c_str());
        QVERIFY2(QByteArray::fromStdString(taken.error().message).contains(why), taken.error().message.c_str());
        QVERIFY(!QFile::exists(house.folder.filePath("canary")));
    }

    void goodOnesAreTaken()
    {
        House house; // else the rows above would prove nothing
        VERIFY_OK(house.unpack(house.write("archive", volumeWith({{"backup/volume/x", '0', "x"}}))));
        QCOMPARE(house.read("target/container/rootfs/x"), QByteArray("x"));
    }
};

QTEST_APPLESS_MAIN(TestVolumeExports)
#include "tst_volume_exports.moc"

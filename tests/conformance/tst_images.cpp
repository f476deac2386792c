// What the image store promises of any image file: good ones unpack to the same tree, hostile ones are refused and touch nothing.
#include "images/metadata.h"
#include "images/sandbox.h"
#include "images/store.h"
#include "kernel/path.h"
#include "storage/driver.h"

#include "support/require.h"
#include "support/tar_bytes.h"
#include "support/verify.h"

#include <QtCore/QCryptographicHash>
#include <QtCore/QDir>
#include <QtCore/QElapsedTimer>
#include <QtCore/QFile>
#include <QtCore/QProcess>
#include <QtCore/QTemporaryDir>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::images;
using namespace lxmgr::test;

namespace
{

const QByteArray kMetadata = "architecture: x86_64\ncreation_date: 1700000000\nproperties: {os: test, release: one}\n";

const TarEntry kMeta{"metadata.yaml", '0', kMetadata};
const TarEntry kRoot{"rootfs/", '5', {}, {}, 0755};
const TarEntry kEtc{"rootfs/etc/", '5', {}, {}, 0755};

struct stat statOf(const QString &path)
{
    struct stat info{};
    ::lstat(path.toLocal8Bit().constData(), &info);
    return info;
}

bool isThere(const QString &path) { return ::faccessat(AT_FDCWD, path.toLocal8Bit().constData(), F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

/// A store and a pool with folders of their own, and a file outside that must never change.
struct House {
    QTemporaryDir folder{"/var/tmp/lxmgr-images-XXXXXX"};
    Paths paths;
    std::optional<ImageStore> store;
    std::unique_ptr<storage::Driver> pool;

    Status open()
    {
        paths = Paths::fromEnvironment();
        paths.stateDir = folder.path().toStdString();
        if (qEnvironmentVariableIsEmpty("LXMGR_HELPER"))
            paths.helper = LXMGR_TEST_BIN "/lxmgr-helper";
        store.emplace(TRY(ImageStore::open(paths)));
        pool = TRY(storage::Driver::open({}, paths.stateDir));
        TRY(pool->prepare());
        write("canary", "untouched");
        return {};
    }
    QString at(const QString &path) const { return folder.filePath(path); }
    std::string write(const QString &name, const QByteArray &bytes) const
    {
        QFile file(at(name));
        if (file.open(QIODevice::WriteOnly | QIODevice::Truncate))
            file.write(bytes);
        return at(name).toStdString();
    }
    /// Imports and unpacks, as the daemon does.
    Result<QString> take(const std::vector<std::string> &files, const UnpackLimits &limits = {})
    {
        const Image image = TRY(store->importFiles(files));
        TRY(pool->addImage(image.fingerprint, [&](const Fd &to) { return store->unpack(image.fingerprint, to, limits); }));
        return at("storage-pools/default/images/" + QString::fromStdString(image.fingerprint));
    }
    bool isUntouched() const
    {
        QFile canary(at("canary"));
        return canary.open(QIODevice::ReadOnly) && canary.readAll() == "untouched";
    }
    QStringList storeFiles() const { return QDir(at("images")).entryList(QDir::Files | QDir::Hidden, QDir::Name); }
    QStringList poolImages() const { return QDir(at("storage-pools/default/images")).entryList(QDir::NoDotAndDotDot | QDir::AllEntries); }
};

bool run(const QString &program, const QStringList &arguments, const QString &folder = {})
{
    QProcess process;
    process.setWorkingDirectory(folder);
    process.start(program, arguments);
    return process.waitForFinished(60000) && process.exitStatus() == QProcess::NormalExit && process.exitCode() == 0;
}

bool hasProgram(const char *path) { return ::access(path, X_OK) == 0; }

} // namespace

class TestImages : public QObject
{
    Q_OBJECT

private slots:
    void initTestCase()
    {
        NEEDS("root", ::geteuid() == 0);
        QVERIFY(::unshare(CLONE_NEWNS) == 0);
        QVERIFY(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    }

    void unifiedTarUnpacks_data()
    {
        QTest::addColumn<QString>("compressor");
        for (const char *name : {"", "gzip", "bzip2", "xz", "zstd", "lzma"})
            QTest::newRow(*name ? name : "plain") << QString(name);
    }
    void unifiedTarUnpacks()
    {
        QFETCH(QString, compressor);
        House house;
        VERIFY_OK(house.open());
        const QByteArray bytes = tar({kMeta, {"templates/hosts.tpl", '0', "127.0.0.1 {{ instance.name }}\n"}, kRoot, kEtc,
                                      {"rootfs/etc/passwd", '0', "root:x:0:0::/:/bin/sh\n"},
                                      {"rootfs/etc/shadow", '0', "secret", {}, 0640, 42},
                                      {"rootfs/bin", '2', {}, "usr/bin"},
                                      {"rootfs/etc/again", '1', {}, "rootfs/etc/passwd"},
                                      {"rootfs/fifo", '6', {}, {}, 0600},
                                      {"rootfs/null", '3', {}, {}, 0666}});
        std::string file = house.write("image.tar", bytes);
        if (!compressor.isEmpty()) {
            const QString program = compressor == "lzma" ? QString("xz") : compressor;
            const QStringList options = compressor == "lzma" ? QStringList{"-k", "--format=lzma"} : QStringList{"-k"};
            if (!run(program, options + QStringList{QString::fromStdString(file)}))
                QSKIP("the compressor is not installed");
            const QMap<QString, QString> ends{{"gzip", ".gz"}, {"bzip2", ".bz2"}, {"xz", ".xz"}, {"zstd", ".zst"}, {"lzma", ".lzma"}};
            file += ends[compressor].toStdString();
        }
        const auto imported = house.store->importFiles({file});
        VERIFY_OK(imported);
        QFile again(QString::fromStdString(file));
        QVERIFY(again.open(QIODevice::ReadOnly));
        QCOMPARE(QByteArray::fromStdString(imported->fingerprint), QCryptographicHash::hash(again.readAll(), QCryptographicHash::Sha256).toHex());
        QCOMPARE(imported->metadata.properties.at("os"), std::string("test"));
        const auto tree = house.take({file});
        VERIFY_OK(tree);
        QCOMPARE(statOf(*tree + "/rootfs/etc/shadow").st_uid, 42U);
        QCOMPARE(statOf(*tree + "/rootfs/etc/shadow").st_mode & 07777, 0640U);
        QCOMPARE(statOf(*tree + "/rootfs/etc/passwd").st_uid, 0U);
        QCOMPARE(statOf(*tree + "/rootfs/etc/passwd").st_mtime, time_t(1600000000));
        QCOMPARE(statOf(*tree + "/rootfs/etc").st_mtime, time_t(1600000000));
        QCOMPARE(statOf(*tree + "/rootfs/etc/again").st_ino, statOf(*tree + "/rootfs/etc/passwd").st_ino);
        QVERIFY(S_ISLNK(statOf(*tree + "/rootfs/bin").st_mode));
        QVERIFY(S_ISFIFO(statOf(*tree + "/rootfs/fifo").st_mode));
        QVERIFY2(!isThere(*tree + "/rootfs/null"), "device nodes stay out");
        QVERIFY(isThere(*tree + "/templates/hosts.tpl"));
    }

    void splitTarUnpacks()
    {
        House house;
        VERIFY_OK(house.open());
        const QByteArray meta = tar({kMeta, {"templates/x.tpl", '0', "x"}});
        const QByteArray rootfs = tar({{"./", '5', {}, {}, 0755}, {"./etc/", '5', {}, {}, 0755}, {"./etc/hostname", '0', "h"}});
        const std::vector<std::string> files{house.write("meta.tar", meta), house.write("rootfs.tar", rootfs)};
        const auto imported = house.store->importFiles(files);
        VERIFY_OK(imported);
        QVERIFY(imported->split);
        QCOMPARE(QByteArray::fromStdString(imported->fingerprint), QCryptographicHash::hash(meta + rootfs, QCryptographicHash::Sha256).toHex());
        const auto tree = house.take(files);
        VERIFY_OK(tree);
        QVERIFY(isThere(*tree + "/rootfs/etc/hostname") && isThere(*tree + "/templates/x.tpl") && isThere(*tree + "/metadata.yaml"));
        const auto out = house.store->exportFiles(imported->fingerprint);
        VERIFY_OK(out);
        QCOMPARE(out->size(), std::size_t(2));
        QCOMPARE(out->front().part + out->back().part, std::string("metadatarootfs"));
        QCOMPARE(out->front().size.count + out->back().size.count, std::uint64_t(meta.size() + rootfs.size()));
    }

    void squashfsUnpacks_data()
    {
        QTest::addColumn<QString>("form");
        QTest::newRow("split") << "split";
        QTest::newRow("unified") << "unified";
        QTest::newRow("plain") << "plain";
    }
    void squashfsUnpacks()
    {
        QFETCH(QString, form);
        NEEDS("squashfs-tools", hasProgram("/usr/bin/mksquashfs") && hasProgram("/usr/bin/unsquashfs"));
        House house;
        VERIFY_OK(house.open());
        const QString root = house.at(form == "unified" ? "src/rootfs" : "src");
        QVERIFY(QDir().mkpath(root + "/usr/lib") && QDir().mkpath(root + "/usr/bin"));
        QVERIFY(QFile::copy("/usr/lib/os-release", root + "/usr/lib/os-release") && QFile::copy("/usr/bin/env", root + "/usr/bin/env"));
        QVERIFY(::chown((root + "/usr/bin/env").toLocal8Bit(), 7, 8) == 0 && ::chmod((root + "/usr/bin/env").toLocal8Bit(), 04755) == 0);
        QVERIFY(::mknod((root + "/null").toLocal8Bit(), S_IFCHR | 0666, makedev(1, 3)) == 0);
        if (form == "unified")
            house.write("src/metadata.yaml", kMetadata);
        QVERIFY(run("mksquashfs", {house.at("src"), house.at("image.squashfs"), "-quiet", "-no-progress"}));
        std::vector<std::string> files{house.at("image.squashfs").toStdString()};
        if (form == "split")
            files.insert(files.begin(), house.write("meta.tar", tar({kMeta})));
        const auto imported = house.store->importFiles(files);
        VERIFY_OK(imported);
        QCOMPARE(imported->metadata.architecture, std::string("x86_64"));
        const auto tree = house.take(files);
        VERIFY_OK(tree);
        const struct stat program = statOf(*tree + "/rootfs/usr/bin/env");
        QCOMPARE(program.st_uid, 7U);
        QCOMPARE(program.st_mode & 07777, 04755U);
        QVERIFY(!isThere(*tree + "/rootfs/null"));
        QVERIFY(isThere(*tree + "/metadata.yaml") && isThere(*tree + "/templates"));
    }

    void plainRootfsIsUnderstood()
    {
        House house;
        VERIFY_OK(house.open());
        QFile program("/usr/bin/env");
        QVERIFY(program.open(QIODevice::ReadOnly));
        const auto imported = house.store->importFiles(
            {house.write("rootfs.tar", tar({{"./", '5', {}, {}, 0755},
                                            {"./usr/bin/env", '0', program.readAll(), {}, 0755},
                                            {"./usr/lib/os-release", '0', "ID=debian\nVERSION_CODENAME=trixie\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian 13\"\n"},
                                            {"./etc/os-release", '2', {}, "../usr/lib/os-release"}}))});
        VERIFY_OK(imported);
        QCOMPARE(imported->metadata.properties.at("os"), std::string("debian"));
        QCOMPARE(imported->metadata.properties.at("release"), std::string("trixie"));
        QCOMPARE(imported->metadata.architecture, std::string("x86_64"));
        const auto tree = house.take({house.at("rootfs.tar").toStdString()});
        VERIFY_OK(tree);
        QFile written(*tree + "/metadata.yaml");
        QVERIFY(written.open(QIODevice::ReadOnly));
        const auto metadata = parseMetadata(written.readAll().toStdString());
        VERIFY_OK(metadata);
        QCOMPARE(metadata->properties.at("release"), std::string("trixie"));
    }

    void capabilitiesAndAttributesSurvive()
    {
        House house;
        VERIFY_OK(house.open());
        const QString source = house.at("src");
        QVERIFY(QDir().mkpath(source + "/rootfs/bin") && QDir().mkpath(source + "/templates"));
        house.write("src/metadata.yaml", kMetadata);
        house.write("src/rootfs/bin/ping", "x");
        const QByteArray file = (source + "/rootfs/bin/ping").toLocal8Bit();
        // cap_net_raw=ep, version 2 (capabilities(7)).
        const char capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        QVERIFY(::setxattr(file, "security.capability", capability, sizeof capability, 0) == 0);
        QVERIFY(::setxattr(file, "user.note", "hello", 5, 0) == 0);
        QVERIFY(::setxattr(file, "trusted.other", "no", 2, 0) == 0);
        const auto packed = house.store->pack(source.toStdString());
        VERIFY_OK(packed);
        VERIFY_OK(house.pool->addImage(packed->fingerprint, [&](const Fd &to) { return house.store->unpack(packed->fingerprint, to); }));
        const QByteArray out = house.at("storage-pools/default/images/" + QString::fromStdString(packed->fingerprint) + "/rootfs/bin/ping").toLocal8Bit();
        char value[64];
        QCOMPARE(::getxattr(out, "user.note", value, sizeof value), ssize_t(5));
        QCOMPARE(::getxattr(out, "security.capability", value, sizeof value), ssize_t(20));
        QVERIFY(std::memcmp(value, capability, 20) == 0);
        QVERIFY(::getxattr(out, "trusted.other", value, sizeof value) < 0);
    }

    void packAndUnpackGiveTheSameTree()
    {
        House house;
        VERIFY_OK(house.open());
        const QString source = house.at("src/rootfs");
        QVERIFY(QDir().mkpath(source + "/a/b/c") && QDir().mkpath(house.at("src/templates")));
        house.write("src/metadata.yaml", kMetadata);
        house.write("src/templates/t", "t");
        for (int i = 0; i < 50; ++i)
            house.write("src/rootfs/a/file" + QString::number(i), QByteArray(i * 997, char('a' + i % 26)));
        house.write("src/rootfs/a/b/\xc3\xa4\xff odd \n name", "odd");
        QVERIFY(::link((source + "/a/file1").toLocal8Bit(), (source + "/a/b/c/hard").toLocal8Bit()) == 0);
        QVERIFY(::chown((source + "/a/file2").toLocal8Bit(), 1000, 65534) == 0);
        const auto packed = house.store->pack(house.at("src").toStdString());
        VERIFY_OK(packed);
        const auto again = house.store->pack(house.at("src").toStdString());
        VERIFY_OK(again);
        QCOMPARE(again->fingerprint, packed->fingerprint);
        VERIFY_OK(house.pool->addImage(packed->fingerprint, [&](const Fd &to) { return house.store->unpack(packed->fingerprint, to); }));
        const QString out = house.at("storage-pools/default/images/" + QString::fromStdString(packed->fingerprint));
        QVERIFY(run("diff", {"-r", "--no-dereference", house.at("src"), out}));
        QCOMPARE(statOf(out + "/rootfs/a/b/c/hard").st_ino, statOf(out + "/rootfs/a/file1").st_ino);
        QCOMPARE(statOf(out + "/rootfs/a/file2").st_gid, 65534U);
        const auto files = house.store->exportFiles(packed->fingerprint);
        VERIFY_OK(files);
        QCOMPARE(files->front().filename, packed->fingerprint + ".tar.zst");
    }

    void hostileArchivesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<QByteArray>("why");
        const auto row = [](const char *name, const QList<TarEntry> &entries, const char *why) {
            QTest::newRow(name) << tar(entries) << QByteArray(why);
        };
        row("dot-dot", {kMeta, kRoot, {"rootfs/../../../canary", '0', "x"}}, "'..'");
        row("dot-dot at the top", {kMeta, kRoot, {"../canary", '0', "x"}}, "'..'");
        row("absolute", {kMeta, kRoot, {"/etc/lxmgr-canary", '0', "x"}}, "absolute");
        row("through a link", {kMeta, kRoot, {"rootfs/out", '2', {}, "../../../.."}, {"rootfs/out/canary", '0', "x"}}, "rootfs/out/canary");
        row("through an absolute link", {kMeta, kRoot, {"rootfs/out", '2', {}, "/tmp"}, {"rootfs/out/lxmgr-canary", '0', "x"}}, "rootfs/out");
        row("folder over a link", {kMeta, kRoot, {"rootfs/out", '2', {}, "/tmp"}, {"rootfs/out/", '5', {}, {}, 0777}, {"rootfs/out/x", '0', "x"}}, "rootfs/out");
        row("hard link outside", {kMeta, kRoot, {"rootfs/x", '1', {}, "../canary"}}, "'..'");
        row("hard link absolute", {kMeta, kRoot, {"rootfs/x", '1', {}, "/etc/passwd"}}, "absolute");
        row("hard link to metadata", {kMeta, kRoot, {"rootfs/x", '1', {}, "metadata.yaml"}}, "hard link");
        row("hard link through a link", {kMeta, kRoot, {"rootfs/out", '2', {}, "/etc"}, {"rootfs/x", '1', {}, "rootfs/out/passwd"}}, "rootfs/x");
        row("hard link to a link", {kMeta, kRoot, {"rootfs/out", '2', {}, "/etc/passwd"}, {"rootfs/x", '1', {}, "rootfs/out"}}, "rootfs/x");
        row("hard link to nothing", {kMeta, kRoot, {"rootfs/x", '1', {}, "rootfs/none"}}, "rootfs/x");
        row("below a file", {kMeta, kRoot, {"rootfs/x", '0', "x"}, {"rootfs/x/y", '0', "y"}}, "rootfs/x/y");
        row("rootfs is a link", {kMeta, {"rootfs", '2', {}, "/tmp"}, {"rootfs/lxmgr-canary", '0', "x"}}, "rootfs");
        row("rootfs is a file", {kMeta, {"rootfs", '0', "x"}, {"rootfs/x", '0', "x"}}, "rootfs");
        row("metadata is a link", {{"metadata.yaml", '2', {}, "/etc/passwd"}, kRoot}, "metadata.yaml");
        row("metadata is a hard link", {kRoot, {"rootfs/x", '0', kMetadata}, {"metadata.yaml", '1', {}, "rootfs/x"}}, "metadata.yaml");
        row("metadata twice", {kMeta, kRoot, kMeta}, "twice");
        row("metadata is a fifo", {{"metadata.yaml", '6'}, kRoot}, "metadata.yaml");
        row("template is a link", {kMeta, {"templates/t", '2', {}, "/etc/passwd"}, kRoot}, "templates/t");
        row("templates is a link", {kMeta, {"templates", '2', {}, "/etc"}, kRoot}, "templates");
        row("template twice", {kMeta, {"templates/t", '0', "x"}, {"templates/t", '0', "x"}, kRoot}, "templates/t");
        row("id too large", {kMeta, kRoot, {"rootfs/x", '0', "x", {}, 0644, 70000}}, "65535");
        row("long part", {kMeta, kRoot, pax("path", "rootfs/" + QByteArray(300, 'x')), {"x", '0', "x"}}, "255");
        row("long name", {kMeta, kRoot, pax("path", "rootfs/" + QByteArray("abcdefg/").repeated(600) + "x"), {"x", '0', "x"}}, "4096");
        row("deep", {kMeta, kRoot, pax("path", "rootfs/" + QByteArray("d/").repeated(1100) + "x"), {"x", '0', "x"}}, "deeper");
        row("no rootfs", {kMeta}, "no root file system");
        row("rootfs without metadata", {kRoot, {"rootfs/x", '0', "x"}}, "metadata.yaml");
        row("nothing of a system", {{"notes.txt", '0', "hello"}}, "not an image");
        row("empty archive", {}, "empty");
        row("broken metadata", {{"metadata.yaml", '0', "architecture: [\n"}, kRoot}, "metadata.yaml:");
        row("metadata with a template outside", {{"metadata.yaml", '0', "architecture: x86_64\ntemplates: {/etc/x: {template: ../x}}\n"}, kRoot}, "metadata.yaml:2:");
        row("metadata nested", {{"metadata.yaml", '0', "architecture: x86_64\nx: " + QByteArray(200000, '[')}, kRoot}, "metadata.yaml");
        row("cut off", {kMeta, kRoot, {"rootfs/x", '0', "x", {}, 0644, 0, 1 << 20}}, "archive");
        QTest::newRow("not an archive") << QByteArray(4096, 'x') << QByteArray("not a tar archive");
        QTest::newRow("empty file") << QByteArray() << QByteArray("empty");
        QTest::newRow("a disk image") << QByteArray("QFI\xfb") + QByteArray(508, '\0') << QByteArray("virtual machine");
        QTest::newRow("a broken squashfs") << QByteArray("hsqs") + QByteArray(4096, '\x55') << QByteArray("");
        QTest::newRow("gzip of rubbish") << QByteArray("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10) + QByteArray(512, '\x55') << QByteArray("");
    }
    void hostileArchivesAreRefused()
    {
        QFETCH(QByteArray, bytes);
        QFETCH(QByteArray, why);
        House house;
        VERIFY_OK(house.open());
        const auto taken = house.take({house.write("image", bytes)});
        QVERIFY2(!taken, "was taken");
        const Code code = taken.error().code;
        QVERIFY2(code == Code::Invalid || code == Code::Unsupported, taken.error().message.c_str());
        QVERIFY2(QByteArray::fromStdString(taken.error().message).contains(why), taken.error().message.c_str());
        QVERIFY(house.isUntouched());
        QVERIFY(!isThere("/tmp/lxmgr-canary") && !isThere("/etc/lxmgr-canary"));
        QVERIFY(house.poolImages().isEmpty());
        VERIFY_OK(house.pool->emptyTrash());
        QVERIFY(QDir(house.at("storage-pools/default/scratch")).isEmpty());
        for (const QString &name : house.storeFiles())
            QVERIFY2(!name.startsWith('.'), qPrintable(name));
    }

    void bombsAreStopped_data()
    {
        QTest::addColumn<QString>("limit");
        QTest::newRow("total") << "total";
        QTest::newRow("per file") << "perFile";
        QTest::newRow("entries") << "entries";
        QTest::newRow("ratio") << "ratio";
    }
    void bombsAreStopped()
    {
        QFETCH(QString, limit);
        NEEDS("zstd", hasProgram("/usr/bin/zstd"));
        House house;
        VERIFY_OK(house.open());
        QList<TarEntry> entries{kMeta, kRoot};
        const int size = limit == "ratio" ? 64 << 20 : 1 << 20;
        for (int i = 0; i < (limit == "ratio" ? 20 : 40); ++i)
            entries.append({"rootfs/f" + QByteArray::number(i), '0', QByteArray(size, '\0')});
        const std::string file = house.write("image.tar", tar(entries));
        QVERIFY(run("zstd", {"-q", "--rm", "-1", QString::fromStdString(file)}));
        UnpackLimits limits;
        if (limit == "total")
            limits.total = Bytes{8 << 20};
        if (limit == "perFile")
            limits.perFile = Bytes{1 << 19};
        if (limit == "entries")
            limits.entries = 10;
        const auto taken = house.take({file + ".zst"}, limits);
        VERIFY_FAILS(Code::Invalid, taken);
        QVERIFY(house.poolImages().isEmpty());
    }

    void sandboxShutsOut()
    {
        House house;
        VERIFY_OK(house.open());
        QVERIFY(::mkdir(house.at("target").toLocal8Bit(), 0700) == 0);
        const Fd target(::open(house.at("target").toLocal8Bit(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const Fd outside(::open(house.at("").toLocal8Bit(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const pid_t child = ::fork();
        if (child == 0) {
            const auto box = enterSandbox(SandboxUse::Library, &target, {}, {});
            if (!box || !box->ownIds)
                ::_exit(1);
            int held = 2; // the number of the first that does not hold
            for (const bool fine : {::mkdirat(box->target->get(), "inside", 0755) == 0, ::getuid() == 0,
                                    ::open("/etc/passwd", O_RDONLY) < 0, ::openat(outside.get(), "canary", O_RDWR) < 0,
                                    ::mkdirat(outside.get(), "made", 0755) < 0, ::openat(target.get(), "../canary", O_RDONLY) < 0,
                                    ::socket(AF_INET, SOCK_STREAM, 0) < 0, ::unshare(CLONE_NEWUSER) < 0, ::fork() < 0,
                                    ::mknodat(box->target->get(), "null", S_IFCHR | 0666, makedev(1, 3)) < 0}) {
                if (!fine)
                    ::_exit(held);
                ++held;
            }
            ::_exit(0);
        }
        int status = 0;
        QVERIFY(::waitpid(child, &status, 0) == child);
        QVERIFY2(WIFEXITED(status) && WEXITSTATUS(status) == 0, QByteArray::number(WEXITSTATUS(status)));
        QCOMPARE(statOf(house.at("target/inside")).st_uid, 0U); // on disk, whoever made it
    }

    void aReaderCanOnlyCompute()
    {
#if defined(__SANITIZE_ADDRESS__)
        QSKIP("under AddressSanitizer there is no filter of system calls");
#endif
        int ends[2];
        QCOMPARE(::pipe(ends), 0);
        const Fd outside(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const pid_t child = ::fork();
        if (child == 0) {
            if (!shutInReader())
                ::_exit(1);
            int held = 2; // the number of the first that does not hold
            for (const bool fine : {::write(ends[1], "x", 1) == 1, ::open("/etc/passwd", O_RDONLY) < 0,
                                    ::openat(outside.get(), "made", O_WRONLY | O_CREAT, 0600) < 0,
                                    ::mkdirat(outside.get(), "made", 0755) < 0, ::socket(AF_INET, SOCK_STREAM, 0) < 0,
                                    ::fork() < 0, ::unshare(CLONE_NEWUSER) < 0, ::execl("/bin/true", "true", nullptr) < 0,
                                    ::kill(::getppid(), 0) < 0}) {
                if (!fine)
                    ::_exit(held);
                ++held;
            }
            ::_exit(0);
        }
        int status = 0;
        QVERIFY(::waitpid(child, &status, 0) == child);
        const Fd readEnd(ends[0]), writeEnd(ends[1]);
        QVERIFY2(WIFEXITED(status) && WEXITSTATUS(status) == 0, QByteArray::number(WEXITSTATUS(status)));
    }

    void wrongFingerprintIsRefused()
    {
        House house;
        VERIFY_OK(house.open());
        const std::string file = house.write("image.tar", tar({kMeta, kRoot, kEtc}));
        ImportOptions options;
        options.expectedFingerprint = std::string(64, '0');
        VERIFY_FAILS(Code::Corrupt, house.store->importFiles({file}, options));
        QVERIFY(house.storeFiles().isEmpty());
    }

    void fullDiskSaysHowMuch()
    {
        House house;
        VERIFY_OK(house.open());
        const std::string file = house.write("image.tar", tar({kMeta, kRoot, {"rootfs/big", '0', QByteArray(6 << 20, 'x')}}));
        const QByteArray small = house.at("small").toLocal8Bit();
        QVERIFY(::mkdir(small, 0700) == 0);
        QVERIFY(::mount("tmpfs", small, "tmpfs", 0, "size=4m") == 0);
        Paths paths = house.paths;
        paths.stateDir = small.toStdString();
        {
            auto store = ImageStore::open(paths);
            VERIFY_OK(store);
            const auto imported = store->importFiles({file});
            VERIFY_FAILS(Code::NoSpace, imported);
            QVERIFY2(imported.error().message.find("free at") != std::string::npos, imported.error().message.c_str());
            QVERIFY(QDir(QString(small) + "/images").isEmpty());
            // And while it is being unpacked: compressed it fits, unpacked it does not.
            QVERIFY(run("zstd", {"-q", "-k", QString::fromStdString(file)}));
            const auto good = store->importFiles({file + ".zst"});
            VERIFY_OK(good);
            auto pool = storage::Driver::open({}, paths.stateDir);
            VERIFY_OK(pool);
            VERIFY_OK((*pool)->prepare());
            const Status added = (*pool)->addImage(good->fingerprint, [&](const Fd &to) { return store->unpack(good->fingerprint, to); });
            VERIFY_FAILS(Code::NoSpace, added);
            VERIFY_OK((*pool)->emptyTrash());
        }
        ::umount2(small, MNT_DETACH);
    }

    void cancellingLeavesNothing()
    {
        struct AtOnce : Progress {
            void report(const std::string &) override {}
            bool cancelled() const override { return true; }
        } atOnce;
        House house;
        VERIFY_OK(house.open());
        ImportOptions options;
        options.progress = &atOnce;
        VERIFY_FAILS(Code::Cancelled, house.store->importFiles({house.write("image.tar", tar({kMeta, kRoot}))}, options));
        QVERIFY(house.storeFiles().isEmpty());
    }

    void removeForgetsTheFiles()
    {
        House house;
        VERIFY_OK(house.open());
        const auto image = house.store->importFiles({house.write("image.tar", tar({kMeta, kRoot, kEtc}))});
        VERIFY_OK(image);
        QVERIFY(house.store->has(image->fingerprint));
        VERIFY_OK(house.store->remove(image->fingerprint));
        VERIFY_OK(house.store->remove(image->fingerprint));
        QVERIFY(!house.store->has(image->fingerprint));
        VERIFY_FAILS(Code::NotFound, house.store->exportFiles(image->fingerprint));
        VERIFY_FAILS(Code::Invalid, house.store->remove("../canary"));
        QVERIFY(house.isUntouched());
    }

    void fallsBackWithoutIdmappedMounts()
    {
        House house;
        VERIFY_OK(house.open());
        const QByteArray place = house.at("ramfs").toLocal8Bit();
        QVERIFY(::mkdir(place, 0700) == 0);
        QVERIFY(::mount("ramfs", place, "ramfs", 0, nullptr) == 0);
        const auto image = house.store->importFiles({house.write("image.tar", tar({kMeta, kRoot, {"rootfs/x", '0', "x", {}, 0600, 33}}))});
        VERIFY_OK(image);
        QVERIFY(::mkdir(place + "/t", 0700) == 0);
        const Fd target(::open(place + "/t", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        VERIFY_OK(house.store->unpack(image->fingerprint, target));
        QCOMPARE(statOf(QString(place) + "/t/rootfs/x").st_uid, 33U);
        ::umount2(place, MNT_DETACH);
    }

    void timesArePrinted()
    {
        House house;
        VERIFY_OK(house.open());
        QList<TarEntry> entries{kMeta, kRoot};
        for (int i = 0; i < 155; ++i)
            entries.append({"rootfs/f" + QByteArray::number(i), '0', QByteArray(1 << 20, char(i))});
        const std::string file = house.write("image.tar", tar(entries));
        QElapsedTimer timer;
        timer.start();
        const auto image = house.store->importFiles({file});
        VERIFY_OK(image);
        const auto imported = timer.restart();
        VERIFY_OK(house.pool->addImage(image->fingerprint, [&](const Fd &to) { return house.store->unpack(image->fingerprint, to); }));
        const auto unpacked = timer.restart();
        const auto packed = house.store->pack(house.at("storage-pools/default/images/" + QString::fromStdString(image->fingerprint)).toStdString());
        VERIFY_OK(packed);
        qInfo("155 MB: import %lld ms, unpack %lld ms, pack %lld ms", imported, unpacked, timer.elapsed());
    }
};

QTEST_APPLESS_MAIN(TestImages)
#include "tst_images.moc"

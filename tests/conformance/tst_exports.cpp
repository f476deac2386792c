// What exported instances promise: a tree comes back as it was, archives of LXD and Incus are read, hostile and cut
// ones are refused and touch nothing.
#include "config/export.h"
#include "images/export_job.h"
#include "images/unpack.h"
#include "kernel/path.h"
#include "support/require.h"
#include "support/tar_bytes.h"
#include "support/verify.h"
#include "tree_manifest.h"

#include <QtCore/QCryptographicHash>
#include <QtCore/QDir>
#include <QtCore/QFile>
#include <QtCore/QProcess>
#include <QtCore/QRandomGenerator>
#include <QtCore/QTemporaryDir>
#include <clocale>
#include <fcntl.h>
#include <regex>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::images;
using namespace lxmgr::test;

namespace
{

const QByteArray kIndex = R"(name: web1
backend: dir
pool: default
snapshots:
- s0
optimized: false
type: container
config:
  container:
    name: web1
    architecture: x86_64
    config: {user.note: hello}
    devices: {}
    profiles: [default]
  snapshots:
  - name: s0
    architecture: x86_64
    config: {}
    devices: {}
    created_at: 2026-11-25T18:57:43.553954483Z
  profiles:
  - name: default
    config: {}
    devices: {}
)";
const TarEntry kIndexEntry{"backup/index.yaml", '0', kIndex};
const TarEntry kSnapshot{"backup/snapshots/s0/", '5', {}, {}, 0100};
const TarEntry kSnapshotRoot{"backup/snapshots/s0/rootfs/", '5', {}, {}, 0755};
const TarEntry kContainer{"backup/container/", '5', {}, {}, 0100};
const TarEntry kRoot{"backup/container/rootfs/", '5', {}, {}, 0755};

/// Everything a good archive has, and `more` at its end.
QByteArray exportOf(const QList<TarEntry> &more = {})
{
    return tar(QList<TarEntry>{kIndexEntry, kSnapshot, kSnapshotRoot, kContainer, kRoot} + more);
}

struct House {
    QTemporaryDir folder{"/var/tmp/lxmgr-exports-XXXXXX"};
    std::string helper = qEnvironmentVariable("LXMGR_HELPER", LXMGR_TEST_BIN "/lxmgr-helper").toStdString();

    House()
    {
        write("canary", "untouched");
        QDir().mkpath(at("target"));
        ::chmod(pathOf("target").c_str(), 0700);
    }
    House(const House &) = delete;
    House &operator=(const House &) = delete;
    ~House()
    {
        const Fd top(::open(folder.path().toLocal8Bit(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        for (const char *name : {"source", "source2", "target", "out"}) // they hold names that QDir cannot remove
            (void)lxmgr::path::removeTree(top, name);            // a leftover of a test, below /var/tmp
    }
    QString at(const QString &name) const { return folder.filePath(name); }
    std::string pathOf(const QString &name) const { return at(name).toStdString(); }
    std::string write(const QString &name, const QByteArray &bytes) const
    {
        QFile file(at(name));
        if (file.open(QIODevice::WriteOnly | QIODevice::Truncate))
            file.write(bytes);
        return pathOf(name);
    }
    bool isUntouched() const
    {
        QFile canary(at("canary"));
        return canary.open(QIODevice::ReadOnly) && canary.readAll() == "untouched" &&
               QDir(folder.path()).entryList(QDir::AllEntries | QDir::Hidden | QDir::NoDotAndDotDot).size() <= 3;
    }
    Fd target() const { return Fd(::open(pathOf("target").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }
    Result<Unpacked> unpack(const std::string &file, const UnpackLimits &limits = {}) const
    {
        const Fd from(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
        const Fd to = target();
        return unpackArchive({helper, from, nullptr, &to, limits, UnpackWork::Export}, Progress::none());
    }
    Result<config::ExportIndex> look(const std::string &file) const
    {
        const Fd from(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
        const Unpacked texts =
            TRY(unpackArchive({helper, from, nullptr, nullptr, {}, UnpackWork::ExportTexts}, Progress::none()));
        return config::readExport(texts.metadata, texts.backup);
    }
    Result<std::string> contentHash(const std::string &file) const
    {
        const Fd from(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
        return TRY(unpackArchive({helper, from, nullptr, nullptr, {}, UnpackWork::ContentHash}, Progress::none())).hash;
    }
};

bool run(const QString &program, const QStringList &arguments)
{
    QProcess process;
    process.start(program, arguments);
    return process.waitForFinished(60000) && process.exitStatus() == QProcess::NormalExit && process.exitCode() == 0;
}

struct stat statOf(const std::string &path)
{
    struct stat info {
    };
    ::lstat(path.c_str(), &info);
    return info;
}

std::string attribute(const std::string &path, const char *name)
{
    char value[256];
    const ssize_t size = ::lgetxattr(path.c_str(), name, value, sizeof value);
    return size < 0 ? std::string("none") : std::string(value, static_cast<std::size_t>(size));
}

std::string content(const std::string &path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char text[4096];
    const ssize_t length = ::read(file.get(), text, sizeof text);
    return length < 0 ? std::string("unreadable") : std::string(text, static_cast<std::size_t>(length));
}

/// A tree with one of each kind.
std::string oddTree(const House &house)
{
    for (const char *name : {"bin", "etc", "root"})
        QDir().mkpath(house.at("source/") + name);
    return run(LXMGR_SOURCE_DIR "/tests/support/odd-tree.py", {house.at("source")}) ? house.pathOf("source")
                                                                                    : std::string();
}

Result<Exported> write(const std::string &tree, const Fd &to, Compression compression)
{
    const Fd root(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto writer = TRY(ExportWriter::open(to, compression, kIndex.toStdString(), Progress::none()));
    TRY(writer->add({"snapshots/s0", "pool: {}\n", "architecture: x86_64\ncreation_date: 1\n", nullptr, root}));
    TRY(writer->add({"container", "pool: {}\n", "architecture: x86_64\ncreation_date: 1\n", nullptr, root}));
    return writer->close();
}

Fd create(const std::string &path) { return Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)); }

} // namespace

class TestExports : public QObject
{
    Q_OBJECT

private slots:
    void initTestCase()
    {
        NEEDS("root", ::geteuid() == 0);
        std::setlocale(LC_CTYPE, "C.UTF-8"); // as the daemon has it
    }

    void archivesOfOthersUnpack_data()
    {
        QTest::addColumn<QString>("file");
        QTest::newRow("LXD 5.0.2") << "lxd-5.0.2.tar.gz";
        QTest::newRow("Incus 6.0.4") << "incus-6.0.4.tar.gz";
    }
    void archivesOfOthersUnpack()
    {
        QFETCH(QString, file);
        House house;
        const std::string from = LXMGR_SOURCE_DIR "/tests/data/exports/" + file.toStdString();
        const auto index = house.look(from);
        VERIFY_OK(index);
        QCOMPARE(index->name, std::string("t1"));
        QCOMPARE(index->poolDriver, std::string("dir"));
        QCOMPARE(index->instance.definition.config.at("user.note"), std::string("later"));
        QCOMPARE(index->instance.definition.profiles, std::vector<std::string>{"default"});
        QCOMPARE(index->snapshots.size(), std::size_t(2));
        QCOMPARE(index->snapshots.front().name, std::string("s0"));
        QCOMPARE(index->snapshots.front().definition.config.at("user.note"), std::string("first: 'quoted'"));
        QVERIFY(index->snapshots.front().createdAt > 1'700'000'000'000 && index->snapshots.front().expiresAt == 0);
        QCOMPARE(index->profiles.front().devices.at("root").at("path"), std::string("/"));

        const auto unpacked = house.unpack(from);
        VERIFY_OK(unpacked);
        for (const std::string &warning : unpacked->warnings)
            QFAIL(warning.c_str());
        QCOMPARE(content(house.pathOf("target/snapshots/s0/rootfs/etc/app.conf")), std::string("first\n"));
        QCOMPARE(content(house.pathOf("target/snapshots/s1/rootfs/etc/app.conf")), std::string("second\n"));
        const std::string root = house.pathOf("target/container/rootfs/");
        QCOMPARE(content(root + "etc/app.conf"), std::string("third\n"));
        QCOMPARE(attribute(root + "bin/cap", "security.capability"),
                 std::string("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
        QCOMPARE(attribute(house.pathOf("target/snapshots/s0/rootfs/root/attr"), "user.note"),
                 std::string("\0\1bin\xff", 6));
        QCOMPARE(attribute(root + "root/acl", "system.posix_acl_access").size(), std::size_t(44));
        QCOMPARE(statOf(root + "root/owned").st_uid, 1000U);
        QCOMPARE(statOf(root + "root/owned").st_gid, 65535U);
        QCOMPARE(statOf(root + "root/owned").st_mode & 07777, 04755U);
        QCOMPARE(statOf(root + "root/owned").st_ino, statOf(root + "root/second").st_ino);
        QCOMPARE(statOf(root + "root/sparse").st_size, 3 << 20);
        QVERIFY2(statOf(root + "root/sparse").st_blocks < 64, "a hole was filled");
        QVERIFY(S_ISFIFO(statOf(root + "root/fifo").st_mode));
        QVERIFY(S_ISCHR(statOf(root + "root/whiteout").st_mode) && statOf(root + "root/whiteout").st_rdev == 0);
        QCOMPARE(linkText(root + "root/link"), std::string("../../outside"));
        QCOMPARE(content(root + "root/\xff\xfe raw\nname"), std::string("bytes\n"));
        QCOMPARE(content(root + "root/gr\xc3\xbc\xc3\x9f"
                                "e"),
                 std::string("text\n"));
        QCOMPARE(content(root + "root/" + std::string(120, 'n')), std::string("long name\n"));
        QVERIFY(QFile::exists(house.at("target/container/templates/hostname.tpl")) &&
                QFile::exists(house.at("target/container/metadata.yaml")));
        // The sandbox cannot make /dev/null's like; whoever unpacks may.
        QCOMPARE(unpacked->devices.size(), std::size_t(3));
        QCOMPARE(unpacked->devices.back().path, std::string("container/rootfs/root/null"));
        QCOMPARE(unpacked->devices.back().major, 1U);
        QCOMPARE(unpacked->devices.back().minor, 3U);
        QCOMPARE(unpacked->devices.back().mode, unsigned(S_IFCHR | 0600));
    }

    void aTreeComesBackAsItWas_data()
    {
        QTest::addColumn<QString>("compression");
        for (const char *name : {"none", "gzip", "zstd", "xz", "bzip2", "lzma"})
            QTest::newRow(name) << name;
    }
    void aTreeComesBackAsItWas()
    {
        QFETCH(QString, compression);
        House house;
        const std::string tree = oddTree(house);
        NEEDS("python3", !tree.empty());
        ::unlink((tree + "/root/null").c_str()); // not for the sandbox to make
        const Manifest before = manifestOf(tree);
        const Fd file = create(house.pathOf("out"));
        const auto kind = parseExportCompression(compression.toStdString());
        VERIFY_OK(kind);
        const auto exported = write(tree, file, *kind);
        VERIFY_OK(exported);
        QCOMPARE(std::uint64_t(statOf(house.pathOf("out")).st_size), exported->size.count);
        const auto read = house.contentHash(house.pathOf("out"));
        VERIFY_OK(read);
        QCOMPARE(*read, exported->content);
        const auto unpacked = house.unpack(house.pathOf("out"));
        VERIFY_OK(unpacked);
        for (const char *part : {"snapshots/s0", "container"}) {
            const QByteArray found =
                differences(before, manifestOf(house.pathOf("target/" + QString(part) + "/rootfs")));
            QVERIFY2(found.isEmpty(), found);
            QVERIFY2(statOf(house.pathOf("target/" + QString(part) + "/rootfs/root/sparse")).st_blocks < 64,
                     "a hole was filled");
        }
        if (compression == "none")
            QVERIFY2(exported->size.count < 1 << 20, "holes were written out");
    }

    void aPipeGetsTheSame()
    {
        House house;
        const std::string tree = oddTree(house);
        NEEDS("python3", !tree.empty());
        QProcess reader;
        reader.setStandardOutputFile(house.at("piped"));
        int ends[2];
        QVERIFY(::pipe2(ends, O_CLOEXEC) == 0);
        const Fd file = create(house.pathOf("out"));
        const auto one = write(tree, file, Compression::Gzip);
        VERIFY_OK(one);
        Fd into(ends[1]);
        reader.setStandardInputFile("/proc/" + QString::number(::getpid()) + "/fd/" + QString::number(ends[0]));
        reader.start("cat", QStringList{});
        QVERIFY(reader.waitForStarted());
        const auto other = write(tree, into, Compression::Gzip);
        VERIFY_OK(other);
        into.reset();
        ::close(ends[0]);
        QVERIFY(reader.waitForFinished());
        QCOMPARE(other->content, one->content);
        const auto read = house.contentHash(house.pathOf("piped"));
        VERIFY_OK(read);
        QCOMPARE(*read, other->content);
    }

    void theHelperPacksLayers()
    {
        House house;
        const std::string tree = oddTree(house);
        NEEDS("python3", !tree.empty());
        // An upper layer that has one file more and takes one away.
        QDir().mkpath(house.at("source2/root"));
        house.write("source2/root/more", "more");
        QVERIFY(::mknod(house.pathOf("source2/root/owned").c_str(), S_IFCHR, makedev(0, 0)) == 0);
        ExportJob job{Compression::Zstd, kIndex.toStdString(), {}};
        job.parts.push_back({"snapshots/s0", "a: b\n", "architecture: x86_64\n", "", {tree}});
        job.parts.push_back({
            "container",
            "c: d\n",
            "architecture: x86_64\n",
            house.pathOf("source/etc"),
            {house.pathOf("source2"), tree}
        });
        const auto again = decodeExportJob(encodeExportJob(job));
        VERIFY_OK(again);
        QCOMPARE(again->parts[1].layers, job.parts[1].layers);
        const Fd file = create(house.pathOf("out"));
        const auto packed = packExport(house.helper, job, file, Progress::none());
        VERIFY_OK(packed);
        VERIFY_OK(verifyExport(house.helper, file, *packed, Progress::none()));
        const auto unpacked = house.unpack(house.pathOf("out"));
        VERIFY_OK(unpacked);
        const std::string root = house.pathOf("target/container/rootfs/root/");
        QCOMPARE(content(root + "more"), std::string("more"));
        QVERIFY(!QFile::exists(QString::fromStdString(root + "owned")) &&
                QFile::exists(QString::fromStdString(root + "second")));
        QCOMPARE(content(house.pathOf("target/container/templates/app.conf")), std::string("first\n"));
        QVERIFY(QFile::exists(house.at("target/snapshots/s0/rootfs/root/owned")));

        // What does not come back as it went is noticed, on the disk and in the archive.
        const std::uint8_t other = 0x55;
        QVERIFY(::pwrite(file.get(), &other, 1, statOf(house.pathOf("out")).st_size / 2) == 1);
        VERIFY_FAILS(Code::Corrupt, verifyExport(house.helper, file, *packed, Progress::none()));
        Exported wrong = *packed;
        const Fd good = create(house.pathOf("out"));
        const auto second = packExport(house.helper, job, good, Progress::none());
        VERIFY_OK(second);
        wrong = *second;
        wrong.content = std::string(64, '0');
        VERIFY_FAILS(Code::Corrupt, verifyExport(house.helper, good, wrong, Progress::none()));
    }

    void nobodyReadsAnyMore()
    {
        House house;
        QDir().mkpath(house.at("source"));
        house.write("source/big", QByteArray(4 << 20, 'x'));
        int ends[2];
        QVERIFY(::pipe2(ends, O_CLOEXEC) == 0);
        const Fd into(ends[1]);
        ::close(ends[0]);
        ExportJob job{Compression::None, kIndex.toStdString(), {{"container", "", "", "", {house.pathOf("source")}}}};
        VERIFY_FAILS(Code::Cancelled, packExport(house.helper, job, into, Progress::none()));
    }

    void aFullDiskIsNamed()
    {
        House house;
        QDir().mkpath(house.at("source"));
        house.write("source/big", QByteArray(4 << 20, 'x'));
        const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
        ExportJob job{Compression::None, kIndex.toStdString(), {{"container", "", "", "", {house.pathOf("source")}}}};
        VERIFY_FAILS(Code::NoSpace, packExport(house.helper, job, full, Progress::none()));
    }

    void tarReadsWhatWeWrite()
    {
        House house;
        const std::string tree = oddTree(house);
        NEEDS("python3", !tree.empty());
        const Manifest before = manifestOf(tree);
        const Fd file = create(house.pathOf("out"));
        VERIFY_OK(write(tree, file, Compression::Zstd));
        QProcess list;
        list.start("tar", {"-tf", house.at("out")});
        QVERIFY(list.waitForFinished() && list.exitCode() == 0);
        // Only for what is no UTF-8, which pax has no other word for.
        const QByteArray complaints = list.readAllStandardError();
        QVERIFY2(complaints.count('\n') <= 2 && complaints.count("hdrcharset") == complaints.count('\n'),
                 complaints.left(300));
        const QByteArray names = list.readAllStandardOutput();
        QVERIFY2(names.startsWith("backup/index.yaml\nbackup/snapshots/s0/\nbackup/snapshots/s0/backup.yaml\n"),
                 names.left(200));
        QVERIFY(run("tar", {"--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", house.at("target"), "-xf",
                            house.at("out")}));
        const QByteArray found = differences(before, manifestOf(house.pathOf("target/backup/container/rootfs")));
        QVERIFY2(found.isEmpty(), found);
    }

    void socketsAreLeftOutAndCounted()
    {
        House house;
        QDir().mkpath(house.at("source"));
        const int made = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        qstrncpy(address.sun_path, house.pathOf("source/socket").c_str(), sizeof address.sun_path);
        QVERIFY(::bind(made, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
        ::close(made);
        const Fd file = create(house.pathOf("out"));
        const auto exported = write(house.pathOf("source"), file, Compression::None);
        VERIFY_OK(exported);
        QCOMPARE(exported->socketsLeftOut, std::uint64_t(2));
    }

    void oldFormsAreRead()
    {
        House house;
        const QByteArray index = "name: old\nbackend: dir\nprivileged: false\npool: default\nsnapshots: [old-1]\n";
        const QByteArray backup =
            "container:\n  name: old\n  config: {user.a: b}\n  devices: {}\n  profiles: [default]\n"
            "snapshots:\n- name: old/old-1\n  config: {}\n  devices: {}\n  created_at: 2019-05-01T10:00:00Z\n";
        const std::string file = house.write("old.tar", tar({
                                                            {"backup/index.yaml",       '0', index   },
                                                            {"backup/snapshots/old-1/", '5', {},       {}, 0100},
                                                            {"backup/snapshots/old-1/rootfs/",                     '5',                        {}, {}, 0755},
                                                            kContainer,
                                                            {"backup/container/backup.yaml",                       '0', backup    },
                                                            kRoot
        }));
        const auto looked = house.look(file);
        VERIFY_OK(looked);
        QCOMPARE(looked->instance.definition.config.at("user.a"), std::string("b"));
        QCOMPARE(looked->snapshots.front().name, std::string("old-1"));
        QCOMPARE(looked->snapshots.front().createdAt, std::int64_t(1556704800000));
        VERIFY_OK(house.unpack(file));
    }

    void hostileArchivesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<QByteArray>("why");
        const auto row = [](const char *name, const QList<TarEntry> &more, const char *why) {
            QTest::newRow(name) << exportOf(more) << QByteArray(why);
        };
        const auto alone = [](const char *name, const QList<TarEntry> &entries, const char *why) {
            QTest::newRow(name) << tar(entries) << QByteArray(why);
        };
        const QByteArray root = "backup/container/rootfs/";
        row("dot-dot",
            {
                {root + "../../../canary", '0', "x"}
        },
            "'..'");
        row("dot-dot at the top",
            {
                {"../canary", '0', "x"}
        },
            "'..'");
        row("absolute",
            {
                {"/etc/lxmgr-canary", '0', "x"}
        },
            "absolute");
        row("through a link",
            {
                {root + "out", '2',     {},             "../../.."},
                {root + "out/canary",            '0', "x"}
        },
            "out/canary");
        row("through an absolute link",
            {
                {root + "out", '2',           {},             "/tmp"},
                {root + "out/lxmgr-canary",            '0', "x"}
        },
            "out");
        row("folder over a link",
            {
                {root + "out", '2', {},           "/tmp"},
                {root + "out/",            '5',   {}, {}, 0777},
                {root + "out/x",          '0',         "x"                    }
        },
            "out");
        row("hard link outside",
            {
                {root + "x", '1', {}, "../canary"}
        },
            "'..'");
        row("hard link absolute",
            {
                {root + "x", '1', {}, "/etc/passwd"}
        },
            "absolute");
        row("hard link to index",
            {
                {root + "x", '1', {}, "backup/index.yaml"}
        },
            "hard link");
        row("hard link into a snapshot",
            {
                {"backup/snapshots/s0/rootfs/f", '0', "x"                           },
                { root + "x",                           '1',  {}, "backup/snapshots/s0/rootfs/f"}
        },
            "hard link");
        row("hard link through a link",
            {
                {root + "out", '2', {}, "/etc"             },
                {root + "x",   '1', {}, root + "out/passwd"}
        },
            "rootfs/x");
        row("hard link to a link",
            {
                {root + "out", '2', {}, "/etc/passwd"},
                {root + "x",   '1', {}, root + "out" }
        },
            "rootfs/x");
        row("rootfs becomes a link",
            {
                {"backup/container/rootfs", '2', {},                   "/tmp"},
                {root + "lxmgr-canary",                         '0',        "x"}
        },
            "rootfs");
        row("a part becomes a link",
            {
                {"backup/container", '2', {}, "/tmp"}
        },
            "not a folder");
        row("snapshots becomes a link",
            {
                {"backup/snapshots", '2', {}, "/tmp"}
        },
            "not a folder");
        row("snapshot named dot-dot",
            {
                {"backup/snapshots/../x", '0', "x"}
        },
            "'..'");
        row("snapshot with an odd name",
            {
                {"backup/snapshots/-rf/rootfs/", '5', {}, {}, 0755}
        },
            "snapshot");
        row("snapshot not listed",
            {
                {"backup/snapshots/s9/rootfs/", '5', {}, {}, 0755}
        },
            "not listed");
        row("outside the layout",
            {
                {"etc/passwd", '0', "x"}
        },
            "outside of backup/");
        row("unknown part",
            {
                {"backup/other/x", '0', "x"}
        },
            "no part");
        row("unknown file in a part",
            {
                {"backup/container/other", '0', "x"}
        },
            "no part");
        row("stream of a driver",
            {
                {"backup/container.bin", '0', "x"}
        },
            "--optimized-storage");
        row("stream of a snapshot",
            {
                {"backup/snapshots/s0.bin", '0', "x"}
        },
            "--optimized-storage");
        row("virtual machine",
            {
                {"backup/virtual-machine.img", '0', "x"}
        },
            "virtual machine");
        row("index twice", {kIndexEntry}, "twice");
        row("index is a link",
            {
                {"backup/index.yaml", '2', {}, "/etc/passwd"}
        },
            "twice");
        row("metadata is a link",
            {
                {"backup/container/metadata.yaml", '2', {}, "/etc/passwd"}
        },
            "not a regular file");
        row("backup.yaml is a hard link",
            {
                {root + "x", '0', "x"       },
                { "backup/container/backup.yaml",       '1',  {}, root + "x"}
        },
            "not a regular file");
        row("template is a link",
            {
                {"backup/container/templates/t", '2', {}, "/etc/passwd"}
        },
            "templates/t");
        row("id too large",
            {
                {root + "x", '0', "x", {}, 0644, 70000}
        },
            "65535");
        row("long part",
            {
                pax("path", root + QByteArray(300, 'x')), {"x", '0', "x"}
        },
            "255");
        row("deep",
            {
                pax("path", root + QByteArray("d/").repeated(1100) + "x"), {"x", '0', "x"}
        },
            "deeper");
        row("cut off in a file",
            {
                {root + "x", '0', "x", {}, 0644, 0, 1 << 20}
        },
            "archive");
        alone("no index", {kContainer, kRoot}, "index.yaml");
        alone("index is no file",
              {
                  {"backup/index.yaml", '2', {}, "/etc/passwd"},
                  kContainer, kRoot
        },
              "not a regular file");
        alone("index is broken",
              {
                  {"backup/index.yaml", '0', "name: [\n"},
                  kContainer, kRoot
        },
              "backup/index.yaml:");
        alone("index is another thing",
              {
                  {"backup/index.yaml", '0', "- a\n"},
                  kContainer, kRoot
        },
              "index");
        alone("index with aliases",
              {
                  {"backup/index.yaml", '0', "name: &a web1\npool: *a\n"},
                  kContainer, kRoot
        },
              "backup/index.yaml:");
        alone("index names a path",
              {
                  {"backup/index.yaml", '0', QByteArray(kIndex).replace("name: web1", "name: ../web1")},
                  kContainer,
                  kRoot
        },
              "name");
        alone("index lists a path",
              {
                  {"backup/index.yaml", '0', QByteArray(kIndex).replace("- s0", "- ../s0")},
                  kContainer, kRoot
        },
              "snapshot");
        alone("index lists one twice",
              {
                  {"backup/index.yaml", '0', QByteArray(kIndex).replace("- s0", "- s0\n- s0")},
                  kContainer, kRoot
        },
              "twice");
        alone("snapshot is missing", {kIndexEntry, kContainer, kRoot}, "not in the archive");
        alone("instance is missing", {kIndexEntry, kSnapshot, kSnapshotRoot}, "no root file system");
        alone("optimized",
              {
                  {"backup/index.yaml", '0', QByteArray(kIndex).replace("optimized: false", "optimized: true")},
                  kContainer,
                  kRoot
        },
              "--optimized-storage");
        alone("a machine's index",
              {
                  {"backup/index.yaml", '0', QByteArray(kIndex).replace("type: container", "type: virtual-machine")},
                  kContainer,
                  kRoot
        },
              "virtual machine");
        alone("a volume's index",
              {
                  {"backup/index.yaml", '0', QByteArray(kIndex).replace("type: container", "type: custom")},
                  kContainer,
                  kRoot
        },
              "volume");
        QTest::newRow("not an archive") << QByteArray(4096, 'x') << QByteArray("not a tar archive");
        QTest::newRow("empty file") << QByteArray() << QByteArray("empty");
        QTest::newRow("squashfs") << QByteArray("hsqs") + QByteArray(4096, '\x55') << QByteArray("squashfs");
        QTest::newRow("an image") << tar({
                                         {"metadata.yaml", '0', "architecture: x86_64\n"},
                                         {"rootfs/",               '5'         }
        })
                                  << QByteArray("no export");
    }
    void hostileArchivesAreRefused()
    {
        QFETCH(QByteArray, bytes);
        QFETCH(QByteArray, why);
        House house;
        const std::string file = house.write("archive", bytes);
        const auto taken = house.unpack(file);
        QVERIFY2(!taken, "was taken");
        QVERIFY2(taken.error().code == Code::Invalid || taken.error().code == Code::Unsupported,
                 taken.error().message.c_str());
        QVERIFY2(QByteArray::fromStdString(taken.error().message).contains(why), taken.error().message.c_str());
        QVERIFY(house.isUntouched());
        QVERIFY(!QFile::exists("/tmp/lxmgr-canary") && !QFile::exists("/etc/lxmgr-canary"));
    }

    void goodOnesAreTaken()
    {
        House house; // else the rows above would prove nothing
        const auto taken = house.unpack(house.write("archive", exportOf({
                                                                   {"backup/container/rootfs/x", '0', "x"}
        })));
        VERIFY_OK(taken);
        QCOMPARE(content(house.pathOf("target/container/rootfs/x")), std::string("x"));
    }

    void cutArchivesAreRefused_data()
    {
        QTest::addColumn<bool>("packed");
        QTest::newRow("plain, at every record") << false;
        QTest::newRow("gzip") << true;
    }
    void cutArchivesAreRefused()
    {
        QFETCH(bool, packed);
        House house;
        const QByteArray whole = exportOf({
            {"backup/container/rootfs/x", '0', QByteArray(1500, 'x') },
            {"backup/container/rootfs/y", '0', QByteArray(700,  '\0')}
        });
        std::string file = house.write("archive", whole);
        QByteArray bytes = whole;
        if (packed) {
            QVERIFY(run("gzip", {"-f", house.at("archive")}));
            QFile read(house.at("archive.gz"));
            QVERIFY(read.open(QIODevice::ReadOnly));
            bytes = read.readAll();
        }
        const int step = packed ? bytes.size() / 10 : 512;
        // The last two records of a plain one are its end, of which one is enough.
        const int last = packed ? bytes.size() - 12 : whole.size() - 1024;
        for (int size = step; size <= last; size += step) {
            file = house.write("archive", bytes.left(size));
            const auto taken = house.unpack(file);
            QVERIFY2(!taken,
                     QByteArray("taken with ") + QByteArray::number(size) + " of " + QByteArray::number(bytes.size()));
            QDir(house.at("target")).removeRecursively();
            QDir().mkpath(house.at("target"));
        }
    }

    void bombsAreStopped_data()
    {
        QTest::addColumn<QString>("limit");
        for (const char *name : {"total", "perFile", "entries", "devices"})
            QTest::newRow(name) << name;
    }
    void bombsAreStopped()
    {
        QFETCH(QString, limit);
        House house;
        QList<TarEntry> more;
        for (int i = 0; i < (limit == "devices" ? 5000 : 40); ++i)
            more.append(limit == "devices" ? TarEntry{"backup/container/rootfs/d" + QByteArray::number(i), '3'}
                                           : TarEntry{"backup/container/rootfs/f" + QByteArray::number(i), '0',
                                                      QByteArray(1 << 20, 'x')});
        if (limit == "devices")
            for (TarEntry &entry : more)
                entry.mode = 0600;
        QByteArray bytes = exportOf(more);
        if (limit == "devices") // of a kind that is no whiteout: major number 1
            for (int at = 0; at + 512 <= bytes.size(); at += 512)
                if (bytes[at + 156] == '3') {
                    bytes.replace(at + 329, 8, QByteArray("0000001\0", 8));
                    bytes.replace(at + 148, 8, "        ");
                    unsigned sum = 0;
                    for (int i = 0; i < 512; ++i)
                        sum += static_cast<unsigned char>(bytes[at + i]);
                    bytes.replace(at + 148, 8,
                                  QByteArray::number(sum, 8).rightJustified(6, '0') + QByteArray("\0 ", 2));
                }
        UnpackLimits limits;
        if (limit == "total")
            limits.total = Bytes{8 << 20};
        if (limit == "perFile")
            limits.perFile = Bytes{1 << 19};
        if (limit == "entries")
            limits.entries = 10;
        VERIFY_FAILS(Code::Invalid, house.unpack(house.write("archive", bytes), limits));
    }

    void zerosCostNothing()
    {
        House house;
        NEEDS("zstd", ::access("/usr/bin/zstd", X_OK) == 0);
        const std::string file =
            house.write("archive", exportOf({
                                       {"backup/container/rootfs/zeros", '0', QByteArray(64 << 20, '\0')}
        }));
        QVERIFY(run("zstd", {"-q", "--rm", house.at("archive")}));
        UnpackLimits limits;
        limits.total = Bytes{1 << 20};
        VERIFY_OK(house.unpack(file + ".zst", limits));
        const struct stat info = statOf(house.pathOf("target/container/rootfs/zeros"));
        QVERIFY(info.st_size == 64 << 20 && info.st_blocks < 64);
    }

    void cancellingEndsIt()
    {
        struct AtOnce : Progress {
            void report(const std::string &) override {}
            bool cancelled() const override { return true; }
        } atOnce;
        House house;
        const std::string file = house.write("archive", exportOf());
        const Fd from(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
        const Fd to = house.target();
        VERIFY_FAILS(Code::Cancelled,
                     unpackArchive({house.helper, from, nullptr, &to, {}, UnpackWork::Export}, atOnce));
    }

    /// An image of the tree `source`, as a squashfs in `to`.
    static Result<Exported> squash(const House &house, const char *source, const Fd &to, Progress &progress = Progress::none())
    {
        ExportJob job{Compression::Squashfs, {}, {{"", "", "architecture: x86_64\ncreation_date: 1\n", "", {house.pathOf(source)}}}};
        job.layout = Layout::Unified;
        return packExport(house.helper, job, to, progress);
    }

    void anImageCanBeASquashfs()
    {
        NEEDS("root", ::geteuid() == 0);
        House house;
        QVERIFY(!oddTree(house).empty());
        const Fd file = create(house.pathOf("image"));
        const auto packed = squash(house, "source", file);
        VERIFY_OK(packed);
        QCOMPARE(packed->size.count, static_cast<std::uint64_t>(statOf(house.pathOf("image")).st_size));
        QFile written(house.at("image"));
        QVERIFY(written.open(QIODevice::ReadOnly));
        QCOMPARE(QCryptographicHash::hash(written.readAll(), QCryptographicHash::Sha256).toHex().toStdString(), packed->hash);
        QCOMPARE(statOf(house.pathOf("image")).st_uid, 0U);
        QVERIFY(run("unsquashfs", {"-quiet", "-no-progress", "-dest", house.at("out"), house.at("image")}));
        // What a squashfs has no place for: sockets (no tar archive has), access lists, parts of a second.
        const auto squashed = [](Manifest manifest) {
            static const std::regex rest(" system\\.posix_acl_[a-z]+=[0-9a-f]*|(:[0-9]+ [0-9]+)\\.[0-9]+");
            std::erase_if(manifest, [](const auto &entry) { return S_ISSOCK(static_cast<mode_t>(std::stoul(entry.second))); });
            for (auto &[path, text] : manifest)
                text = std::regex_replace(text, rest, "$1");
            return manifest;
        };
        const Manifest before = squashed(manifestOf(house.pathOf("source")));
        QVERIFY(before.size() > 10);
        const QByteArray found = differences(before, squashed(manifestOf(house.pathOf("out/rootfs"))));
        QVERIFY2(found.isEmpty(), found);
    }

    void aSquashfsThatFindsNoRoomSaysSo()
    {
        NEEDS("root", ::geteuid() == 0);
        House house;
        QDir().mkpath(house.at("source"));
        QByteArray noise(4 << 20, '\0');
        QRandomGenerator(7).generate(reinterpret_cast<quint32 *>(noise.begin()), reinterpret_cast<quint32 *>(noise.end()));
        house.write("source/big", noise);
        QDir().mkpath(house.at("small"));
        QVERIFY(::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        QVERIFY(::mount("none", house.pathOf("small").c_str(), "tmpfs", 0, "size=1m") == 0);
        const Fd file = create(house.pathOf("small/image"));
        VERIFY_FAILS(Code::NoSpace, squash(house, "source", file));
        ::umount2(house.pathOf("small").c_str(), MNT_DETACH);
    }

    void aSquashfsThatIsCancelledLeavesNoProgram()
    {
        struct AfterAWhile : Progress {
            void report(const std::string &) override { m_reported = true; }
            bool cancelled() const override { return m_reported; }
            bool m_reported = false;
        } afterAWhile;
        House house;
        QDir().mkpath(house.at("source"));
        for (int i = 0; i < 40; ++i)
            house.write(("source/" + std::to_string(i)).c_str(), QByteArray(4 << 20, static_cast<char>(i)));
        const Fd file = create(house.pathOf("image"));
        VERIFY_FAILS(Code::Cancelled, squash(house, "source", file, afterAWhile));
        const auto running = [&] { // somebody else has the file open
            for (const QString &process : QDir("/proc").entryList({"[0-9]*"}, QDir::Dirs)) {
                const QDir files("/proc/" + process + "/fd");
                for (const QString &each : files.entryList(QDir::Files | QDir::System))
                    if (process.toInt() != ::getpid() && linkText(files.filePath(each).toStdString()) == house.pathOf("image"))
                        return true;
            }
            return false;
        };
        QTRY_VERIFY(!running());
    }

    void squashfsIsNoChoice()
    {
        VERIFY_FAILS(Code::Unsupported, parseExportCompression("squashfs"));
        const auto usual = parseExportCompression("");
        VERIFY_OK(usual);
        QVERIFY(*usual == Compression::Gzip);
    }
};

QTEST_APPLESS_MAIN(TestExports)
#include "tst_exports.moc"

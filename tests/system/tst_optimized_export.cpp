// Exports in the form of the storage driver: streams of btrfs, of ours and of LXD, exact, shared as before, and whatever
// somebody has put into one.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QtEndian>
#include <sys/stat.h>
#include <sys/xattr.h>

using namespace lxmgr::test;

namespace
{

/// CRC-32C as the commands of a stream have it: from 0, not inverted (btrfs send format).
quint32 crc32c(const QByteArray &bytes)
{
    quint32 crc = 0;
    for (const char byte : bytes) {
        crc ^= static_cast<quint8>(byte);
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78U : 0U);
    }
    return crc;
}

template <class T> QByteArray little(T value)
{
    value = qToLittleEndian(value);
    return {reinterpret_cast<const char *>(&value), sizeof value};
}

/// A stream of version 1 as anybody can write one: <linux/btrfs.h> of btrfs-progs, send.h.
class Stream
{
public:
    enum Command : quint16 { Subvolume = 1, MakeFile = 3, MakeFolder = 4, MakeNode = 5, MakeLink = 8, Rename = 9, HardLink = 10, Write = 15, Chown = 19, End = 21 };
    enum Attribute : quint16 { Uuid = 1, Ctransid = 2, Inode = 3, Mode = 5, Uid = 6, Gid = 7, Rdev = 8, Path = 15, PathTo = 16, PathLink = 17, Offset = 18, Data = 19 };

    explicit Stream(const QByteArray &name) : m_bytes(QByteArray("btrfs-stream\0", 13) + little(quint32(1)))
    {
        add(Subvolume, {{Path, name}, {Uuid, QByteArray(16, '\7')}, {Ctransid, little(quint64(9))}});
    }
    Stream &add(Command command, const QList<std::pair<Attribute, QByteArray>> &attributes)
    {
        QByteArray data;
        for (const auto &[attribute, value] : attributes)
            data += little(quint16(attribute)) + little(quint16(value.size())) + value;
        const QByteArray head = little(quint32(data.size())) + little(quint16(command));
        m_bytes += head + little(crc32c(head + little(quint32(0)) + data)) + data;
        return *this;
    }
    Stream &folder(const QByteArray &path)
    {
        // Made under a number, then renamed, as the kernel does.
        const QByteArray made = "o" + QByteArray::number(++m_inode) + "-1-0";
        add(MakeFolder, {{Path, made}, {Inode, little(quint64(256 + m_inode))}});
        return add(Rename, {{Path, made}, {PathTo, path}});
    }
    Stream &file(const QByteArray &path, const QByteArray &text)
    {
        add(MakeFile, {{Path, path}, {Inode, little(quint64(256 + ++m_inode))}});
        return add(Write, {{Path, path}, {Offset, little(quint64(0))}, {Data, text}});
    }
    Stream &link(const QByteArray &path, const QByteArray &to)
    {
        return add(MakeLink, {{Path, path}, {Inode, little(quint64(256 + ++m_inode))}, {PathLink, to}});
    }
    QByteArray end() { return add(End, {}).m_bytes; }

private:
    QByteArray m_bytes;
    int m_inode = 0;
};

} // namespace

class TestOptimizedExport : public SystemTest
{
    Q_OBJECT
private slots:
    void anInstanceComesBackWithItsSnapshots();
    void aRunningGuestIsExportedAsItWas();
    void theServerKeepsThem();
    void setIdBitsSurviveAChangeOfOwner();
    void thoseOfLxdAreImported();
    void poolsOfOtherDriversRefuse();
    void subvolumesInsideAreNotLost();
    void badStreamsLeaveNothing_data();
    void badStreamsLeaveNothing();
    void aFullPoolLeavesNothing();

private:
    /// A pool in a file, which is there as long as this is.
    class Pool
    {
    public:
        Pool(TestOptimizedExport &test, const QString &name, const QString &size) : m_test(test), m_name(name)
        {
            m_test.must({"storage", "create", name, "btrfs", "size=" + size});
        }
        Pool(const Pool &) = delete;
        Pool &operator=(const Pool &) = delete;
        ~Pool()
        {
            m_test.deleteAll();
            m_test.must({"storage", "delete", m_name});
        }
        QString folder() const { return m_test.m_box.stateDir() + "/storage-pools/" + m_name; }

    private:
        TestOptimizedExport &m_test;
        QString m_name;
    };

    QString path(const QString &name) const { return m_box.directory() + "/" + name; }
    QString sample() const { return Sandbox::sourceDir() + "/tests/data/exports/lxd-5.0.2-optimized.tar.gz"; }
    QStringList names(const QString &instance)
    {
        return QString::fromUtf8(m_box.text({"snapshot", "list", instance, "-c", "n", "-f", "csv"})).split('\n', Qt::SkipEmptyParts);
    }
};

#define NEEDS_POOL()                                                                                                   \
    if (!m_box.text({"storage", "drivers", "-f", "csv"}).contains("btrfs,YES"))                                        \
        QSKIP("btrfs: not available here (lxmgr storage drivers says why)");                                           \
    const Pool pool(*this, "p1", "1GiB")

void TestOptimizedExport::anInstanceComesBackWithItsSnapshots()
{
    NEEDS_POOL();
    launch("t1", {"--storage", "p1", "-c", "user.state=first"});
    must({"exec", "t1", "--", "sh", "-c",
          "mkdir -m 1777 /srv; dd if=/dev/urandom of=/srv/large bs=1M count=40 2>/dev/null; echo one > /srv/a; chown 33:44 /srv/a; chmod 4750 "
          "/srv/a; ln /srv/a /srv/b; ln -s nowhere /srv/l; mkfifo /srv/p; sync"});
    must({"snapshot", "t1", "s0"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /srv/c; rm /etc/hostname; mv /srv/b /srv/d; sync"});
    must({"config", "set", "t1", "user.state=second"});
    must({"snapshot", "t1", "s1"});
    must({"exec", "t1", "--", "sh", "-c", "echo three > /srv/c; sync"});
    const QByteArray sum = inside("t1", {"sha256sum", "/srv/large"});
    must({"stop", "--force", "t1"});
    must({"export", "t1", path("t1.tar"), "--optimized-storage", "--compression", "none"});
    const Run list = run({"tar", "-tf", path("t1.tar")});
    QCOMPARE(QString::fromUtf8(list.out).split('\n', Qt::SkipEmptyParts),
             (QStringList{"backup/index.yaml", "backup/optimized_header.yaml", "backup/snapshots/s0.bin", "backup/snapshots/s1.bin",
                          "backup/container.bin"}));
    QVERIFY(QFileInfo(path("t1.tar")).size() < 60'000'000); // 40 of them once, not three times
    must({"delete", "t1", "--purge"});
    QTRY_VERIFY(QDir(pool.folder() + "/scratch").isEmpty());

    must({"import", path("t1.tar")});
    // They share it again: its blocks are the same ones in all three.
    const Run blocks = run({"sh", "-c", "for f in $(find " + pool.folder() + " -path '*/srv/large'); do filefrag -v $f | grep -E '^ +[0-9]+:' | tr -d ' \\n'; echo; done"});
    const QByteArrayList each = blocks.out.trimmed().split('\n');
    QVERIFY2(each.size() == 3 && each[0].size() > 20 && each[0] == each[1] && each[1] == each[2], blocks.out + blocks.err);
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    QCOMPARE(names("t1"), (QStringList{"s0", "s1"}));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.state"}), QByteArray("second"));
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/srv/c"}), QByteArray("three"));
    QCOMPARE(inside("t1", {"sha256sum", "/srv/large"}), sum);
    QCOMPARE(inside("t1", {"stat", "-c", "%a %u %g %h", "/srv/d"}), QByteArray("4750 33 44 2"));
    QCOMPARE(inside("t1", {"readlink", "/srv/l"}), QByteArray("nowhere"));
    QCOMPARE(exec("t1", {"test", "-p", "/srv/p"}).status, 0);
    must({"restore", "t1", "s0"});
    QCOMPARE(m_box.text({"config", "get", "t1", "user.state"}), QByteArray("first"));
    QCOMPARE(inside("t1", {"stat", "-c", "%a %u %g %h", "/srv/b"}), QByteArray("4750 33 44 2"));
    QCOMPARE(exec("t1", {"test", "-e", "/srv/c"}).status, 1);
    QCOMPARE(exec("t1", {"test", "-e", "/etc/hostname"}).status, 0);
    must({"snapshot", "t1", "s2"});
    // What was received is sent again like any other.
    must({"export", "t1", path("again.tar.zst"), "--optimized-storage", "--compression", "zstd"});
    must({"import", path("again.tar.zst"), "t2", "--storage", "p1"});
    QCOMPARE(names("t2"), (QStringList{"s0", "s1", "s2"}));
    QCOMPARE(m_box.text({"file", "pull", "t2/srv/a", "-"}), QByteArray("one"));
    QTRY_VERIFY(QDir(pool.folder() + "/scratch").isEmpty());
}

void TestOptimizedExport::aRunningGuestIsExportedAsItWas()
{
    NEEDS_POOL();
    launch("t1", {"--storage", "p1"});
    must({"exec", "t1", "--", "sh", "-c", "echo early > /srv-file; sync"});
    const int init = m_box.initPid("t1");
    const Run streamed = m_box.cli({"export", "t1", "-", "--optimized-storage", "--compression", "zstd"});
    RUN_OK(streamed);
    QCOMPARE(m_box.initPid("t1"), init);
    RUN_OK(m_box.cli({"import", "-", "t2"}, streamed.out));
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"cat", "/srv-file"}), QByteArray("early"));
}

void TestOptimizedExport::theServerKeepsThem()
{
    NEEDS_POOL();
    must({"create", "busybox", "t1", "--storage", "p1"});
    must({"export", "keep", "t1", "--optimized-storage"});
    QVERIFY(m_box.rest("GET", "/1.0/instances/t1/backups/backup0").body["metadata"].toObject()["optimized_storage"].toBool());
    must({"export", "get", "t1/backup0", path("kept.tar.gz")});
    must({"import", path("kept.tar.gz"), "t2"});
}

void TestOptimizedExport::setIdBitsSurviveAChangeOfOwner()
{
    NEEDS_POOL();
    launch("t1", {"--storage", "p1"});
    must({"exec", "t1", "--", "sh", "-c", "echo x > /root/tool; chown 5:6 /root/tool; chmod 6755 /root/tool; sync"});
    must({"snapshot", "t1", "s0"});
    must({"exec", "t1", "--", "sh", "-c", "chown 7:8 /root/tool; chmod 6755 /root/tool; sync"});
    must({"export", "t1", path("t1.tar.gz"), "--optimized-storage"});
    must({"import", path("t1.tar.gz"), "t2"});
    must({"start", "t2"});
    QCOMPARE(inside("t2", {"stat", "-c", "%a %u %g", "/root/tool"}), QByteArray("6755 7 8"));
}

/// Of its snapshots two have the ids that are seen inside on disk, the third and the instance those of its host.
void TestOptimizedExport::thoseOfLxdAreImported()
{
    NEEDS_POOL();
    must({"import", sample(), "t1", "--storage", "p1"});
    QCOMPARE(names("t1"), (QStringList{"s0", "s1", "shifted"}));
    QCOMPARE(m_box.text({"config", "get", "t1", "user.note"}), QByteArray("later"));
    const QDir tree(pool.folder() + "/containers/t1");
    for (const char *state : {"", "snapshots/s0/", "snapshots/shifted/"}) {
        const QString root = tree.path() + "/" + state + "tree/rootfs";
        const Run foreign = run({"find", root, "-uid", "+65535", "-o", "-gid", "+65535"});
        RUN_OK(foreign);
        QCOMPARE(foreign.out, QByteArray());
        struct stat owned {
        };
        QCOMPARE(::stat(qPrintable(root + "/root/owned"), &owned), 0);
        QCOMPARE(owned.st_uid, 1000U);
        QCOMPARE(owned.st_gid, 65535U);
        char capability[64];
        const ssize_t size = ::getxattr(qPrintable(root + "/bin/cap"), "security.capability", capability, sizeof capability);
        QVERIFY2(size == ssize_t(20), qPrintable(QString("%1: %2").arg(state).arg(size))); // without a root of its own: it counts for the guest's
    }
    struct stat pushed {
    };
    QCOMPARE(::stat(qPrintable(tree.path() + "/tree/rootfs/root/pushed"), &pushed), 0);
    QCOMPARE(pushed.st_uid, 33U);
    QCOMPARE(pushed.st_gid, 44U);
    QVERIFY(!QFile::exists(tree.path() + "/tree/backup.yaml"));
    must({"diff", "t1", "s0", "s1"});
    must({"restore", "t1", "s0"});
    QCOMPARE(m_box.text({"file", "pull", "t1/etc/app.conf", "-"}), QByteArray("first"));
}

void TestOptimizedExport::poolsOfOtherDriversRefuse()
{
    NEEDS_POOL();
    must({"create", "busybox", "t1"});
    const Run sent = m_box.cli({"export", "t1", path("refused"), "--optimized-storage"});
    QVERIFY2(!sent.ok() && sent.err.contains("storage pool 'default' is of the driver 'overlay'"), sent.told());
    QVERIFY(!QFile::exists(path("refused")));
    const Run taken = m_box.cli({"import", sample(), "t2", "--storage", "default"});
    QVERIFY2(!taken.ok() && taken.err.contains("streams of the storage driver 'btrfs'") && taken.err.contains("--storage"), taken.told());
    QCOMPARE(m_box.stateOf("t2"), QByteArray());
}

void TestOptimizedExport::subvolumesInsideAreNotLost()
{
    NEEDS_POOL();
    must({"create", "busybox", "t1", "--storage", "p1"});
    RUN_OK(run({"btrfs", "subvolume", "create", pool.folder() + "/containers/t1/tree/rootfs/srv-inside"}));
    const Run refused = m_box.cli({"export", "t1", path("refused"), "--optimized-storage"});
    QVERIFY2(!refused.ok() && refused.err.contains("subvolumes inside"), refused.told());
    QVERIFY(!QFile::exists(path("refused")));
    must({"export", "t1", path("t1.tar.gz")});
}

void TestOptimizedExport::badStreamsLeaveNothing_data()
{
    QTest::addColumn<QByteArray>("stream");
    QTest::addColumn<QByteArray>("why");
    const QByteArray good = Stream("t").folder("rootfs").file("rootfs/a", "a").end();
    QTest::newRow("nothing") << QByteArray() << QByteArray("stream");
    QTest::newRow("no stream") << QByteArray(4096, 'x') << QByteArray("btrfs receive");
    QTest::newRow("cut") << good.left(good.size() - 30) << QByteArray("btrfs receive");
    QTest::newRow("damaged") << QByteArray(good).replace("rootfs/a", "rootfs/b") << QByteArray("btrfs receive");
    QTest::newRow("no root file system") << Stream("t").folder("other").end() << QByteArray("rootfs");
    QTest::newRow("link for a root file system") << Stream("t").link("rootfs", "/").end() << QByteArray("rootfs");
    QTest::newRow("more beside it") << Stream("t").folder("rootfs").folder("other").end() << QByteArray("other");
    QTest::newRow("link for the metadata") << Stream("t").folder("rootfs").link("metadata.yaml", "/etc/shadow").end() << QByteArray("metadata.yaml");
    QTest::newRow("link for the templates") << Stream("t").folder("rootfs").link("templates", "/etc").end() << QByteArray("templates");
    QTest::newRow("link among the templates")
        << Stream("t").folder("rootfs").folder("templates").link("templates/x.tpl", "/etc/shadow").end() << QByteArray("x.tpl");
    QTest::newRow("file above") << Stream("t").folder("rootfs").file("../escaped", "a").end() << QByteArray("");
    QTest::newRow("file far above") << Stream("t").folder("rootfs").file("../../../../../../../escaped", "a").end() << QByteArray("");
    QTest::newRow("file by a link") << Stream("t").folder("rootfs").link("rootfs/up", "/").file("rootfs/up/escaped", "a").end() << QByteArray("");
    QTest::newRow("subvolume above") << Stream("../../escaped").folder("rootfs").end() << QByteArray("");
    // 1:7 is /dev/full: writing to it would say that there is no space.
    QTest::newRow("device") << Stream("t")
                                   .folder("rootfs")
                                   .add(Stream::MakeNode, {{Stream::Path, "rootfs/full"}, {Stream::Inode, little(quint64(300))},
                                                           {Stream::Rdev, little(quint64((1 << 8) | 7))}, {Stream::Mode, little(quint64(S_IFCHR | 0666))}})
                                   .add(Stream::Write, {{Stream::Path, "rootfs/full"}, {Stream::Offset, little(quint64(0))}, {Stream::Data, "a"}})
                                   .end()
                            << QByteArray("btrfs receive");
}

void TestOptimizedExport::badStreamsLeaveNothing()
{
    NEEDS_POOL();
    QFETCH(QByteArray, stream);
    QFETCH(QByteArray, why);
    const QDir folder(path("forged"));
    QVERIFY(folder.mkpath("backup"));
    const auto write = [&](const QString &name, const QByteArray &bytes) {
        QFile file(folder.filePath("backup/" + name));
        return file.open(QIODevice::WriteOnly) && file.write(bytes) == bytes.size();
    };
    QVERIFY(write("index.yaml", "name: t1\nbackend: btrfs\npool: p1\noptimized: true\noptimized_header: true\ntype: container\n"
                                "config:\n  container:\n    name: t1\n    architecture: x86_64\n    profiles: [default]\n"));
    QVERIFY(write("optimized_header.yaml", "subvolumes:\n- path: /\n  snapshot: \"\"\n  readonly: false\n"));
    QVERIFY(write("container.bin", stream));
    RUN_OK(run({"tar", "-C", folder.path(), "-cf", path("forged.tar"), "backup/index.yaml", "backup/optimized_header.yaml", "backup/container.bin"}));
    const QString seen = m_box.directory();
    const auto escaped = [&] { return run({"find", seen, "/tmp", "-maxdepth", "6", "-name", "escaped"}).out; };
    const Run imported = m_box.cli({"import", path("forged.tar")});
    if (imported.ok()) { // what it wrote outside of its folder went with that
        QVERIFY2(why.isEmpty(), imported.told());
        must({"delete", "t1", "--purge"});
    } else {
        QVERIFY2(imported.err.contains("Error: ") && imported.err.contains(why), imported.told());
    }
    QCOMPARE(m_box.stateOf("t1"), QByteArray());
    QTRY_COMPARE(escaped(), QByteArray());
    QVERIFY(!QFile::exists("/escaped"));
    QTRY_VERIFY(QDir(pool.folder() + "/scratch").isEmpty());
    must({"import", sample(), "t1", "--storage", "p1"}); // the name and everything else is free
}

void TestOptimizedExport::aFullPoolLeavesNothing()
{
    NEEDS_POOL();
    const Pool small(*this, "small", "180MiB");
    launch("t1", {"--storage", "p1"});
    must({"exec", "t1", "--", "sh", "-c", "dd if=/dev/urandom of=/large bs=1M count=110 2>/dev/null; sync"});
    must({"export", "t1", path("t1.tar"), "--optimized-storage", "--compression", "none"});
    const Run refused = m_box.cli({"import", path("t1.tar"), "t2", "--storage", "small"});
    RUN_ENDS(refused, 10);
    QVERIFY2(refused.err.contains("free") || refused.err.contains("No space"), refused.told());
    QCOMPARE(m_box.stateOf("t2"), QByteArray());
    QTRY_VERIFY(QDir(small.folder() + "/scratch").isEmpty());
}

QTEST_GUILESS_MAIN(TestOptimizedExport)
#include "tst_optimized_export.moc"

// Storage volumes as archives, as a user has them: exported, kept, imported here and there, refused.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>

using namespace lxmgr::test;

class TestVolumeExchange : public SystemTest
{
    Q_OBJECT
private slots:
    void aVolumeComesBackWithItsSnapshots();
    void oneInUseIsExportedAsItIs();
    void theServerKeepsThem();
    void archivesOfLxdAreImported();
    void theOthersImportOurs();
    void badArchivesLeaveNothing();
    void anInstanceIsNoVolume();

private:
    /// The folders for custom volumes come with the first one and stay.
    void prepare() override
    {
        must({"storage", "volume", "create", "default", "first"});
        must({"storage", "volume", "delete", "default", "first", "--purge"});
    }
    QString path(const QString &name) const { return m_box.directory() + "/" + name; }
    QString sample(const QString &name) const { return Sandbox::sourceDir() + "/tests/data/exports/" + name; }
    QStringList files() const { return QDir(m_box.stateDir() + "/backups").entryList(QDir::Files); }
    QByteArray snapshots(const QString &volume)
    {
        return m_box.text({"storage", "volume", "snapshot", "list", "default", volume, "-c", "n", "-f", "csv"});
    }
    /// What a guest sees of /data/<name>.
    QByteArray seen(const QString &volume, const QString &name);
    void put(const QString &volume, const QString &name, const QString &text);
    void withGuest(const QString &volume, const QStringList &command, QByteArray &out);
};

void TestVolumeExchange::withGuest(const QString &volume, const QStringList &command, QByteArray &out)
{
    must({"create", "busybox", "g"});
    must({"storage", "volume", "attach", "default", volume, "g", "/data"});
    must({"start", "g"});
    out = inside("g", command);
    must({"delete", "--force", "--purge", "g"});
}

QByteArray TestVolumeExchange::seen(const QString &volume, const QString &name)
{
    QByteArray out;
    withGuest(volume, {"cat", "/data/" + name}, out);
    return out;
}

void TestVolumeExchange::put(const QString &volume, const QString &name, const QString &text)
{
    QByteArray out;
    withGuest(volume, {"sh", "-c", "echo " + text + " > /data/" + name + "; sync"}, out);
}

void TestVolumeExchange::aVolumeComesBackWithItsSnapshots()
{
    must({"storage", "volume", "create", "default", "v1", "user.note=hello"});
    put("v1", "file", "first");
    must({"storage", "volume", "snapshot", "create", "default", "v1", "s0"});
    put("v1", "file", "second");
    must({"storage", "volume", "export", "default", "v1", path("")});
    must({"storage", "volume", "import", "default", path("v1.tar.gz"), "v2"});
    QCOMPARE(snapshots("v2"), QByteArray("s0"));
    QCOMPARE(m_box.text({"storage", "volume", "get", "default", "v2", "user.note"}), QByteArray("hello"));
    QCOMPARE(seen("v2", "file"), QByteArray("second"));
    must({"storage", "volume", "snapshot", "restore", "default", "v2", "s0"});
    QCOMPARE(seen("v2", "file"), QByteArray("first"));

    RunOptions options;
    options.environment = m_box.environment();
    const QString client = Sandbox::program("lxmgr") + " storage volume ";
    RUN_OK(run({"sh", "-c", client + "export default v1 - --volume-only --compression zstd | " + client + "import default - v3"}, options));
    QCOMPARE(snapshots("v3"), QByteArray());
    const Run taken = m_box.cli({"storage", "volume", "import", "default", path("v1.tar.gz")});
    QVERIFY2(taken.status == 5 && taken.err.contains("<name>"), taken.told());
    for (const char *volume : {"v1", "v2", "v3"})
        must({"storage", "volume", "delete", "default", volume});
    QFile::remove(path("v1.tar.gz"));
}

void TestVolumeExchange::oneInUseIsExportedAsItIs()
{
    must({"storage", "volume", "create", "default", "v1"});
    launch("t1");
    must({"stop", "--force", "t1"});
    must({"storage", "volume", "attach", "default", "v1", "t1", "/data"});
    must({"start", "t1"});
    must({"exec", "t1", "--", "sh", "-c", "echo running > /data/file; sync"});
    must({"storage", "volume", "export", "default", "v1", path("live.tar.gz")});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    must({"storage", "volume", "import", "default", path("live.tar.gz"), "v2"});
    QCOMPARE(seen("v2", "file"), QByteArray("running"));
    must({"delete", "--force", "--purge", "t1"});
    for (const char *volume : {"v1", "v2"})
        must({"storage", "volume", "delete", "default", volume});
    QFile::remove(path("live.tar.gz"));
}

void TestVolumeExchange::theServerKeepsThem()
{
    must({"storage", "volume", "create", "default", "v1"});
    must({"storage", "volume", "export", "keep", "default", "v1"});
    must({"storage", "volume", "export", "keep", "default", "v1", "second", "--volume-only", "--expires", "2w"});
    QCOMPARE(m_box.text({"storage", "volume", "export", "list", "default", "v1", "-c", "nS", "-f", "csv"}),
             QByteArray("backup0,YES\nsecond,NO"));
    const QByteArray url = "/1.0/storage-pools/default/volumes/custom/v1/backups";
    QCOMPARE(m_box.rest("GET", url).body["metadata"].toArray().first().toString(), QString::fromUtf8(url + "/backup0"));
    const QJsonObject one = m_box.rest("GET", url + "/second").body["metadata"].toObject();
    QVERIFY(one["volume_only"].toBool() && one["size"].toInteger() > 100 && !one.contains("instance_only"));
    QCOMPARE(m_box.rest("GET", url + "/second/export").raw.size(), one["size"].toInteger());
    must({"storage", "volume", "export", "rename", "default", "v1", "backup0", "first"});
    must({"storage", "volume", "export", "get", "default", "v1", "first", path("kept.tar.gz")});
    must({"storage", "volume", "import", "default", path("kept.tar.gz"), "v2"});
    must({"storage", "volume", "rename", "default", "v1", "v3"});
    must({"storage", "volume", "export", "delete", "default", "v3", "first"});
    QCOMPARE(files().size(), 1);
    must({"storage", "volume", "delete", "default", "v2"});
    must({"storage", "volume", "delete", "default", "v3"});
    QVERIFY(files().isEmpty());
    QFile::remove(path("kept.tar.gz"));
}

void TestVolumeExchange::archivesOfLxdAreImported()
{
    const Run imported = m_box.cli({"storage", "volume", "import", "default", sample("volume-lxd-5.0.2.tar.gz")});
    RUN_OK(imported);
    QVERIFY2(imported.err.contains("device nodes left out"), imported.told());
    QCOMPARE(snapshots("v1"), QByteArray("s0\ns1"));
    QCOMPARE(m_box.text({"storage", "volume", "get", "default", "v1", "user.note"}), QByteArray("later"));
    QCOMPARE(seen("v1", "etc/app.conf"), QByteArray("third"));
    must({"storage", "volume", "snapshot", "restore", "default", "v1", "s0"});
    QCOMPARE(seen("v1", "etc/app.conf"), QByteArray("first"));
    must({"storage", "volume", "delete", "default", "v1"});
}

/// LXD itself takes what we write, and makes of it what it made of its own, but for the device nodes.
void TestVolumeExchange::theOthersImportOurs()
{
    NEEDS("lxd", QFile::exists("/usr/bin/lxd") && QFile::exists("/usr/bin/lxc"));
    NEEDS("jq", QFile::exists("/usr/bin/jq"));
    must({"storage", "volume", "import", "default", sample("volume-lxd-5.0.2.tar.gz"), "v1"});
    must({"storage", "volume", "export", "default", "v1", path("ours.tar.gz")});
    must({"storage", "volume", "delete", "default", "v1"});
    const QStringList import{Sandbox::sourceDir() + "/tests/support/peer-export.sh", "importVolume", path("peer")};
    RunOptions options;
    options.timeoutMs = 180000;
    const Run theirs = run(import + QStringList{sample("volume-lxd-5.0.2.tar.gz")}, options);
    const Run ours = run(import + QStringList{path("ours.tar.gz")}, options);
    RUN_OK(theirs);
    RUN_OK(ours);
    QByteArrayList expected;
    for (const QByteArray &line : theirs.out.split('\n'))
        if (!line.contains("root/null"))
            expected << line;
    QCOMPARE(ours.out, expected.join('\n'));
    RUN_OK(run({"rm", "-r", path("peer"), path("ours.tar.gz")}));
}

void TestVolumeExchange::badArchivesLeaveNothing()
{
    for (const char *change : {"head -c 6000", "head -c -40", "base64", "head -c 0"}) {
        RUN_OK(run({"sh", "-c", QString(change) + " < " + sample("volume-lxd-5.0.2.tar.gz") + " > " + path("bad")}));
        const Run refused = m_box.cli({"storage", "volume", "import", "default", path("bad")});
        QVERIFY2(!refused.ok() && refused.err.contains("Error: "), refused.told());
        RUN_ENDS(m_box.cli({"storage", "volume", "show", "default", "v1"}), 3);
    }
    QFile::remove(path("bad"));
}

void TestVolumeExchange::anInstanceIsNoVolume()
{
    const Run instance = m_box.cli({"storage", "volume", "import", "default", sample("lxd-5.0.2.tar.gz")});
    QVERIFY2(instance.status == 9 && instance.err.contains("lxmgr import"), instance.told());
    const Run volume = m_box.cli({"import", sample("volume-lxd-5.0.2.tar.gz")});
    QVERIFY2(volume.status == 9 && volume.err.contains("lxmgr storage volume import"), volume.told());
}

QTEST_GUILESS_MAIN(TestVolumeExchange)
#include "tst_volume_exchange.moc"

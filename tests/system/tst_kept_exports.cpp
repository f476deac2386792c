// Exports that the server keeps: made, listed, fetched, renamed, deleted, expired, with their instance gone and back.
#include "support/require.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <sys/mount.h>

using namespace lxmgr::test;

class TestKeptExports : public SystemTest
{
    Q_OBJECT
private slots:
    void oneIsKeptFetchedAndDeleted();
    void snapshotsAndCompressionAreChosen();
    void namesAreGivenOrChecked();
    void clientsSeeThem();
    void theyAreRenamedWithTheirInstance();
    void theyGoWithTheirInstance();
    void theyComeBackWithTheirInstance();
    void theyExpire();
    void oneThatIsBeingMadeIsNobodys();
    void cancellingLeavesNothing();
    void aFullDiskLeavesNothing();
    void whatCannotBeReadBackIsNotKept();

private:
    QString path(const QString &name) const { return m_box.directory() + "/" + name; }
    QStringList files() const { return QDir(m_box.stateDir() + "/backups").entryList(QDir::Files); }
    QByteArray names(const QString &instance) { return m_box.text({"export", "list", instance, "-c", "n", "-f", "csv"}); }
    void restartDaemon(const QMap<QString, QString> &extra = {});
    QString startKeeping();
};

void TestKeptExports::restartDaemon(const QMap<QString, QString> &extra)
{
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon(extra), m_box.daemonLog());
}

/// URL of the operation.
QString TestKeptExports::startKeeping()
{
    const Reply begun = m_box.rest("POST", "/1.0/instances/t1/backups", {{"name", ""}});
    return begun.status == 202 ? begun.body["operation"].toString() : QString();
}

void TestKeptExports::oneIsKeptFetchedAndDeleted()
{
    must({"create", "busybox", "t1", "-c", "user.state=first"});
    must({"snapshot", "t1", "s0"});
    const Run kept = m_box.cli({"export", "keep", "t1"});
    RUN_OK(kept);
    QVERIFY2(kept.out.startsWith("Keeping export t1/backup0: "), kept.told());
    QCOMPARE(files().size(), 1);
    must({"config", "set", "t1", "user.state=second"});
    const Run info = m_box.cli({"info", "t1"});
    QVERIFY2(info.out.contains("Exports:") && info.out.contains("backup0"), info.told());

    must({"export", "get", "t1/backup0", path("")});
    must({"import", path("t1.tar.gz"), "t2"});
    QCOMPARE(m_box.text({"config", "get", "t2", "user.state"}), QByteArray("first"));
    QCOMPARE(m_box.text({"snapshot", "list", "t2", "-c", "n", "-f", "csv"}), QByteArray("s0"));
    RunOptions options;
    options.environment = m_box.environment();
    const QString client = Sandbox::program("lxmgr");
    RUN_OK(run({"sh", "-c", client + " export get t1/backup0 - | " + client + " import - t3"}, options));
    QCOMPARE(m_box.text({"export", "list", "-c", "in", "-f", "csv"}), QByteArray("t1,backup0"));

    must({"export", "rename", "t1/backup0", "good"});
    QCOMPARE(names("t1"), QByteArray("good"));
    must({"export", "delete", "t1/good"});
    QCOMPARE(names("t1"), QByteArray());
    QVERIFY(files().isEmpty());
    QFile::remove(path("t1.tar.gz"));
}

void TestKeptExports::snapshotsAndCompressionAreChosen()
{
    must({"create", "busybox", "t1"});
    must({"snapshot", "t1", "s0"});
    must({"config", "set", "backups.compression_algorithm=zstd"});
    must({"export", "keep", "t1", "quick", "--instance-only"});
    must({"export", "keep", "t1", "plain", "--compression", "none"});
    must({"config", "unset", "backups.compression_algorithm"});
    QCOMPARE(m_box.text({"export", "list", "t1", "-c", "ncS", "-f", "csv"}), QByteArray("plain,none,YES\nquick,zstd,NO"));
    must({"export", "get", "t1/quick", path("")});
    must({"import", path("t1.tar.zst"), "t2"});
    QCOMPARE(m_box.text({"snapshot", "list", "t2", "-c", "n", "-f", "csv"}), QByteArray());
    const Run wrong = m_box.cli({"config", "set", "backups.compression_algorithm=squash"});
    QVERIFY2(wrong.status == 4 && wrong.err.contains("squash") && wrong.err.contains("zstd"), wrong.told());
    QFile::remove(path("t1.tar.zst"));
}

void TestKeptExports::namesAreGivenOrChecked()
{
    must({"create", "busybox", "t1"});
    must({"export", "keep", "t1"});
    must({"export", "keep", "t1", "backup7"});
    must({"export", "keep", "t1"});
    QCOMPARE(names("t1"), QByteArray("backup0\nbackup7\nbackup8"));
    RUN_ENDS(m_box.cli({"export", "keep", "t1", "backup7"}), 5);
    RUN_ENDS(m_box.cli({"export", "rename", "t1/backup0", "backup7"}), 5);
    RUN_ENDS(m_box.cli({"export", "keep", "t1", "a/b"}), 4);
    RUN_ENDS(m_box.cli({"export", "keep", "none"}), 3);
    RUN_ENDS(m_box.cli({"export", "delete", "t1/none"}), 3);
    RUN_ENDS(m_box.cli({"export", "delete", "t1"}), 2);
    QCOMPARE(files().size(), 3);
}

void TestKeptExports::clientsSeeThem()
{
    must({"create", "busybox", "t1"});
    QVERIFY(m_box.rest("GET", "/1.0/instances/t1?recursion=1").body["metadata"].toObject()["backups"].isNull());
    must({"export", "keep", "t1", "b", "--expires", "2w"});
    const Reply list = m_box.rest("GET", "/1.0/instances/t1/backups");
    QCOMPARE(list.body["metadata"].toArray(), QJsonArray{"/1.0/instances/t1/backups/b"});
    const QJsonObject one = m_box.rest("GET", "/1.0/instances/t1/backups/b").body["metadata"].toObject();
    QCOMPARE(one["name"].toString(), QString("b"));
    QVERIFY(one["size"].toInteger() > 1000 && one["expires_at"].toString() > one["created_at"].toString());
    QVERIFY(!one["instance_only"].toBool() && !one["container_only"].toBool() && !one["optimized_storage"].toBool());
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1/backups?recursion=1").body["metadata"].toArray().first().toObject(), one);
    QCOMPARE(m_box.rest("GET", "/1.0/instances?recursion=2").body["metadata"].toArray().first().toObject()["backups"].toArray().first().toObject(), one);
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1?recursion=1").body["metadata"].toObject()["backups"].toArray().size(), 1);
    const Reply whole = m_box.rest("GET", "/1.0/instances/t1/backups/b/export");
    QCOMPARE(whole.status, 200);
    QCOMPARE(whole.raw.size(), one["size"].toInteger());
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1/backups/c/export").status, 404);
    const Reply optimized = m_box.rest("POST", "/1.0/instances/t1/backups", {{"name", "o"}, {"optimized_storage", true}});
    QVERIFY2(optimized.status == 400 && optimized.raw.contains("optimized_storage"), optimized.raw);
}

void TestKeptExports::theyAreRenamedWithTheirInstance()
{
    must({"create", "busybox", "t1"});
    must({"export", "keep", "t1"});
    must({"rename", "t1", "t2"});
    QCOMPARE(names("t2"), QByteArray("backup0"));
    must({"export", "get", "t2/backup0", path("renamed.tar.gz")});
    must({"export", "delete", "t2/backup0"});
    QFile::remove(path("renamed.tar.gz"));
}

void TestKeptExports::theyGoWithTheirInstance()
{
    must({"create", "busybox", "t1"});
    must({"export", "keep", "t1"});
    must({"delete", "--purge", "t1"});
    QVERIFY(files().isEmpty());
    must({"create", "busybox", "t1"});
    QCOMPARE(names("t1"), QByteArray()); // it is another one
}

void TestKeptExports::theyComeBackWithTheirInstance()
{
    must({"create", "busybox", "t1"});
    must({"export", "keep", "t1"});
    must({"delete", "t1"});
    QCOMPARE(files().size(), 1);
    restartDaemon();
    must({"undo", "apply"});
    QCOMPARE(names("t1"), QByteArray("backup0"));
    must({"export", "get", "t1/backup0", path("back.tar.gz")});
    must({"delete", "t1"});
    must({"undo", "delete", "--all"});
    QVERIFY(files().isEmpty());
    QFile::remove(path("back.tar.gz"));
}

void TestKeptExports::theyExpire()
{
    must({"create", "busybox", "t1"});
    must({"export", "keep", "t1", "stays"});
    const QString soon = QDateTime::currentDateTimeUtc().addSecs(1).toString(Qt::ISODate);
    const Reply begun = m_box.rest("POST", "/1.0/instances/t1/backups", {{"name", "goes"}, {"expires_at", soon}});
    QCOMPARE(begun.status, 202);
    QVERIFY(Sandbox::eventually([this] { return names("t1") == "stays" && files().size() == 1; }));
}

void TestKeptExports::oneThatIsBeingMadeIsNobodys()
{
    must({"create", "busybox", "t1"});
    restartDaemon({{"LXMGR_FAIL", "kept-export.written=sleep:1500"}});
    const QString operation = startKeeping();
    QVERIFY(!operation.isEmpty());
    QCOMPARE(names("t1"), QByteArray());
    const Run early = m_box.cli({"export", "delete", "t1/backup0"});
    QVERIFY2(early.status == 6 && early.err.contains("is being made"), early.told());
    QCOMPARE(m_box.rest("GET", operation.toUtf8() + "/wait").body["metadata"].toObject()["status"].toString(), QString("Success"));
    QCOMPARE(names("t1"), QByteArray("backup0"));
    restartDaemon();
}

void TestKeptExports::cancellingLeavesNothing()
{
    must({"create", "busybox", "t1"});
    restartDaemon({{"LXMGR_FAIL", "kept-export.record=sleep:1000"}});
    const QString operation = startKeeping();
    QCOMPARE(m_box.rest("DELETE", operation.toUtf8()).status, 200);
    const Reply ended = m_box.rest("GET", operation.toUtf8() + "/wait");
    QCOMPARE(ended.body["metadata"].toObject()["status"].toString(), QString("Cancelled"));
    QVERIFY(files().isEmpty());
    QCOMPARE(names("t1"), QByteArray());
    restartDaemon();
    must({"export", "keep", "t1"});
    QCOMPARE(names("t1"), QByteArray("backup0"));
}

void TestKeptExports::aFullDiskLeavesNothing()
{
    must({"create", "busybox", "t1"});
    const QByteArray folder = (m_box.stateDir() + "/backups").toUtf8();
    m_box.stopDaemon();
    QCOMPARE(::mount("none", folder.constData(), "tmpfs", 0, "size=256k"), 0);
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    const Run full = m_box.cli({"export", "keep", "t1"});
    const bool nothing = files().isEmpty();
    m_box.stopDaemon();
    QCOMPARE(::umount(folder.constData()), 0);
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QVERIFY2(full.status == 10 && full.err.contains("are needed, 256") && full.err.contains("are free at"), full.told());
    QVERIFY(nothing);
    must({"export", "keep", "t1"});
}

void TestKeptExports::whatCannotBeReadBackIsNotKept()
{
    must({"create", "busybox", "t1"});
    restartDaemon({{"LXMGR_FAIL", "kept-export.written=error:EIO"}});
    const Run failed = m_box.cli({"export", "keep", "t1"});
    QVERIFY2(!failed.ok() && failed.err.contains("kept-export.written"), failed.told());
    QVERIFY(files().isEmpty());
    QCOMPARE(names("t1"), QByteArray());
    restartDaemon();
}

QTEST_GUILESS_MAIN(TestKeptExports)
#include "tst_kept_exports.moc"

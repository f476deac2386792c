// The backup repository as a user has it: stored once, restored exactly, encrypted, pruned, damaged, cut off.
#include "support/system_test.h"

#include <QDir>
#include <QDirIterator>
#include <QFile>
#include <QStandardPaths>

using namespace lxmgr::test;

class TestBackups : public SystemTest
{
    Q_OBJECT
private slots:
    void everyKindOfFileComesBack_data();
    void everyKindOfFileComesBack();
    void aRunningGuestComesBackWithItsSnapshots();
    void whatIsTheSameIsStoredOnce();
    void anEncryptedRepositoryNeedsItsPassphrase();
    void pruneKeepsWhatItIsTold();
    void damageIsNoticed();
    void aDaemonThatDiesLeavesTheRepositoryWhole();
    void cancellingLeavesTheRepositoryWhole();
    void aFolderOfSomethingElseIsLeftAlone();
    void whatIsNotThereIsNamed();
    void namesAreMadeUpAndChecked();

private:
    void prepare() override;
    QString path(const QString &name) const { return m_box.directory() + "/" + name; }
    /// A repository of this test's own.
    void useRepository(const QString &name) { must({"config", "set", "backups.repository=" + path(name)}); }
    QStringList names(const QString &instance);
    QByteArray shown(const QString &pool, const QString &instance);
};

void TestBackups::prepare()
{
    if (QStandardPaths::findExecutable("borg").isEmpty())
        QSKIP("needs borg (package borgbackup)");
}

QStringList TestBackups::names(const QString &instance)
{
    return QString::fromUtf8(m_box.text({"backup", "list", instance, "-c", "n", "-f", "csv"})).split('\n', Qt::SkipEmptyParts);
}

/// All that is to be known of the tree of an instance in a pool of driver dir.
QByteArray TestBackups::shown(const QString &pool, const QString &instance)
{
    const QString root = m_box.stateDir() + "/storage-pools/" + pool + "/containers/" + instance + "/tree/rootfs";
    const Run ran = run({Sandbox::sourceDir() + "/tests/support/odd-tree.py", "--show", root, "x"});
    return ran.ok() ? ran.out : ran.told();
}

void TestBackups::everyKindOfFileComesBack_data()
{
    QTest::addColumn<bool>("privileged");
    QTest::newRow("privileged") << true;
    QTest::newRow("unprivileged") << false;
}

void TestBackups::everyKindOfFileComesBack()
{
    QFETCH(bool, privileged);
    useRepository("odd");
    must({"storage", "create", "p1", "dir"});
    must({"create", "--empty", "t1", "-s", "p1", "-c", privileged ? "security.privileged=true" : "user.x=1"});
    const QString root = m_box.stateDir() + "/storage-pools/p1/containers/t1/tree/rootfs";
    for (const char *folder : {"bin", "etc", "root"})
        QVERIFY(QDir(root).mkdir(folder));
    RUN_OK(run({Sandbox::sourceDir() + "/tests/support/odd-tree.py", root}));
    must({"backup", "t1", "b"});
    const Run restored = m_box.cli({"backup", "restore", "t1/b", "t2"});
    RUN_OK(restored);
    QByteArrayList before = shown("p1", "t1").split('\n'), after = shown("p1", "t2").split('\n');
    if (!privileged) {
        QVERIFY2(restored.err.contains("1 device nodes left out"), restored.told());
        before.removeIf([](const QByteArray &line) { return line.contains("'root/null'"); });
    }
    QVERIFY(before.size() > 15);
    QCOMPARE(after, before);
    deleteAll();
    must({"storage", "delete", "p1"});
    must({"backup", "delete", "t1/b"});
}

void TestBackups::aRunningGuestComesBackWithItsSnapshots()
{
    useRepository("running");
    launch("t1", {"-c", "user.state=first"});
    must({"exec", "t1", "--", "sh", "-c", "echo one > /srv-a; ln /srv-a /srv-b; sync"});
    must({"snapshot", "t1", "s0"});
    must({"exec", "t1", "--", "sh", "-c", "echo two > /srv-c; sync"});
    must({"config", "set", "t1", "user.state=second"});
    const int init = m_box.initPid("t1");
    must({"backup", "t1", "b", "--description", "before the change"});
    QCOMPARE(m_box.initPid("t1"), init);
    const QByteArray show = m_box.text({"backup", "show", "t1/b"});
    QVERIFY2(show.contains("before the change") && show.contains("- s0") && show.contains("user.state: second"), show);
    must({"delete", "--force", "t1"});
    must({"backup", "restore", "t1"});
    QCOMPARE(m_box.text({"config", "get", "t1", "user.state"}), QByteArray("second"));
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/srv-c"}), QByteArray("two"));
    QCOMPARE(inside("t1", {"stat", "-c", "%h", "/srv-a"}), QByteArray("2"));
    must({"restore", "t1", "s0"});
    QCOMPARE(m_box.text({"config", "get", "t1", "user.state"}), QByteArray("first"));
    QCOMPARE(exec("t1", {"test", "-e", "/srv-c"}).status, 1);
    must({"backup", "t1", "alone", "--instance-only"});
    must({"backup", "restore", "t1/alone", "t2"});
    QCOMPARE(m_box.text({"snapshot", "list", "t2", "-c", "n", "-f", "csv"}), QByteArray());
    const Run taken = m_box.cli({"backup", "restore", "t1"});
    QVERIFY2(taken.status == 5 && taken.err.contains("<new-name>"), taken.told());
}

void TestBackups::whatIsTheSameIsStoredOnce()
{
    useRepository("once");
    launch("t1");
    must({"backup", "t1", "a"});
    must({"backup", "t1", "b"});
    const auto added = [this] {
        qint64 size = 0;
        QDirIterator files(path("once/data"), QDir::Files, QDirIterator::Subdirectories);
        while (files.hasNext())
            size += QFileInfo(files.next()).size();
        return size;
    };
    const qint64 two = added();
    must({"copy", "t1", "t2"});
    must({"backup", "t2", "a"});
    QVERIFY(two > 500'000);
    QVERIFY2(added() - two < 100'000, qPrintable(QString::number(added() - two)));
    QCOMPARE(names("t1"), (QStringList{"a", "b"}));
    must({"backup", "verify"});
    must({"backup", "verify", "t1/a", "t2"});
}

void TestBackups::anEncryptedRepositoryNeedsItsPassphrase()
{
    QFile file(path("passphrase"));
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write("right\n") > 0);
    file.close();
    const auto unset = [this] { (void)m_box.cli({"config", "unset", "backups.passphrase_file"}); };
    must({"config", "set", "backups.repository=" + path("secret"), "backups.passphrase_file=" + path("passphrase")});
    must({"create", "busybox", "t1"});
    QFile::setPermissions(path("passphrase"), QFile::ReadOwner | QFile::ReadOther);
    const Run open = m_box.cli({"backup", "t1"});
    QFile::setPermissions(path("passphrase"), QFile::ReadOwner);
    must({"backup", "t1", "b"});
    const QByteArray info = m_box.text({"backup", "info"});
    QVERIFY(QFile::remove(path("passphrase")));
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write("wrong\n") > 0);
    file.close();
    QFile::setPermissions(path("passphrase"), QFile::ReadOwner);
    const Run wrong = m_box.cli({"backup", "restore", "t1", "t2"});
    unset();
    const Run none = m_box.cli({"backup", "list"});
    QVERIFY2(open.status == 4 && open.err.contains("chmod 600"), open.told());
    QVERIFY2(info.contains("repokey-blake2"), info);
    QVERIFY2(wrong.status == 7 && wrong.err.contains("not that of the repository"), wrong.told());
    QVERIFY2(none.status == 7 && none.err.contains("backups.passphrase_file"), none.told());
}

void TestBackups::pruneKeepsWhatItIsTold()
{
    useRepository("pruned");
    must({"create", "busybox", "t1"});
    for (const char *name : {"a", "b", "c"}) {
        must({"backup", "t1", name, "--no-verify"});
        QTest::qWait(1100); // borg knows the second, no more
    }
    const Run unsaid = m_box.cli({"backup", "prune"});
    QVERIFY2(unsaid.status == 4 && unsaid.err.contains("--keep-last"), unsaid.told());
    const Run dry = m_box.cli({"backup", "prune", "--keep-last", "2", "--dry-run"});
    QVERIFY2(dry.ok() && dry.out.contains("Would delete t1/a") && dry.out.contains("Keeping t1/c"), dry.told());
    QCOMPARE(names("t1").size(), 3);
    must({"config", "set", "backups.retention=last=2"});
    must({"backup", "prune", "t1"});
    QCOMPARE(names("t1"), (QStringList{"b", "c"}));
    must({"config", "unset", "backups.retention"});
    const Run bad = m_box.cli({"config", "set", "backups.retention=nightly=2"});
    QVERIFY2(bad.status == 4 && bad.err.contains("nightly"), bad.told());
    must({"backup", "delete", "t1/b"});
    QCOMPARE(names("t1"), (QStringList{"c"}));
}

void TestBackups::damageIsNoticed()
{
    useRepository("damaged");
    must({"create", "busybox", "t1"});
    must({"backup", "t1", "b"});
    QDirIterator files(path("damaged/data"), QDir::Files, QDirIterator::Subdirectories);
    QString largest;
    for (qint64 size = 0; files.hasNext();) {
        const QFileInfo info(files.next());
        if (info.size() > size) {
            size = info.size();
            largest = info.filePath();
        }
    }
    QFile segment(largest);
    QVERIFY(segment.open(QIODevice::ReadWrite) && segment.seek(segment.size() / 2));
    QVERIFY(segment.write("damage") == 6);
    segment.close();
    const Run one = m_box.cli({"backup", "verify", "t1"});
    QVERIFY2(one.status == 14, one.told());
    const Run restored = m_box.cli({"backup", "restore", "t1", "t2"});
    QVERIFY2(!restored.ok(), restored.told());
    QCOMPARE(m_box.stateOf("t2"), QByteArray());
    const Run all = m_box.cli({"backup", "verify"});
    QVERIFY2(!all.ok(), all.told());
}

void TestBackups::aDaemonThatDiesLeavesTheRepositoryWhole()
{
    useRepository("cut");
    must({"create", "busybox", "t1"});
    must({"backup", "t1", "a"});
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon({{"LXMGR_FAIL", "backup.recorded=hang"}}), m_box.daemonLog());
    QProcess cut;
    cut.setProcessEnvironment(m_box.environment());
    cut.start(Sandbox::program("lxmgr"), {"backup", "t1", "b"});
    QTest::qWait(700);
    m_box.killDaemon();
    cut.waitForFinished();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog());
    QVERIFY2(m_box.daemonLog().contains("backup 'b' of 't1' was cut off"), m_box.daemonLog());
    QCOMPARE(names("t1"), (QStringList{"a"}));
    must({"backup", "t1", "b"});
    must({"backup", "verify"});
    QCOMPARE(names("t1"), (QStringList{"a", "b"}));
}

/// While borg writes: it is seen at work before it is called off.
void TestBackups::cancellingLeavesTheRepositoryWhole()
{
    useRepository("cancelled");
    must({"storage", "create", "p1", "dir"});
    must({"create", "--empty", "t1", "-s", "p1"});
    must({"backup", "t1", "b0"});
    const QString file = m_box.stateDir() + "/storage-pools/p1/containers/t1/tree/rootfs/large";
    RUN_OK(run({"dd", "if=/dev/urandom", "of=" + file, "bs=1M", "count=120", "status=none"}));
    const Reply begun = m_box.rest("POST", "/1.0/lxmgr/backups", {{"instance", "t1"}, {"name", "b1"}});
    QCOMPARE(begun.status, 202);
    const QByteArray operation = begun.body["operation"].toString().toUtf8();
    QVERIFY(Sandbox::eventually([&] {
        return m_box.rest("GET", operation).body["metadata"].toObject()["metadata"].toObject().contains("backup_progress");
    }));
    QCOMPARE(m_box.rest("DELETE", operation).status, 200);
    const QJsonObject ended = m_box.rest("GET", operation + "/wait").body["metadata"].toObject();
    QCOMPARE(ended["status"].toString(), QString("Cancelled"));
    QCOMPARE(names("t1"), QStringList("b0"));
    RUN_OK(m_box.cli({"backup", "verify"})); // nobody holds it locked
    must({"backup", "t1", "b1"});
    QCOMPARE(names("t1"), (QStringList{"b0", "b1"}));
    for (const char *name : {"t1/b0", "t1/b1"})
        must({"backup", "delete", name});
    deleteAll();
    must({"storage", "delete", "p1"});
}

void TestBackups::aFolderOfSomethingElseIsLeftAlone()
{
    QVERIFY(QDir().mkpath(path("mine")));
    QFile file(path("mine/letter"));
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write("dear") > 0);
    file.close();
    useRepository("mine");
    must({"create", "busybox", "t1"});
    const Run refused = m_box.cli({"backup", "t1"});
    QVERIFY2(refused.status == 4 && refused.err.contains("no repository of borg"), refused.told());
    QCOMPARE(QDir(path("mine")).entryList(QDir::AllEntries | QDir::NoDotAndDotDot), (QStringList{"letter"}));
}

void TestBackups::whatIsNotThereIsNamed()
{
    useRepository("none");
    must({"create", "busybox", "t1"});
    QCOMPARE(names("t1"), QStringList());
    for (const QStringList &command : {QStringList{"backup", "show", "t1"}, {"backup", "restore", "t1/b"}, {"backup", "delete", "t1/b"}, {"backup", "verify", "t1"}}) {
        const Run missing = m_box.cli(command);
        QVERIFY2(missing.status == 3 && missing.err.contains("backup"), missing.told());
    }
    const Run nobody = m_box.cli({"backup", "t9"});
    QVERIFY2(nobody.status == 3, nobody.told());
    must({"backup", "t1", "b"});
    const Run twice = m_box.cli({"backup", "t1", "b"});
    QVERIFY2(twice.status == 5 && twice.err.contains("give another name"), twice.told());
}

void TestBackups::namesAreMadeUpAndChecked()
{
    useRepository("names");
    must({"create", "busybox", "t1"});
    for (int i = 0; i < 3; ++i)
        must({"backup", "t1", "--no-verify"}); // some of them within a second
    QCOMPARE(names("t1").size(), 3);
    for (const char *name : {"latest", "daily.checkpoint", "daily.checkpoint.1", "-x", "a*"}) {
        const Run refused = m_box.cli({"query", "-X", "POST", "-d", QString(R"({"instance":"t1","name":"%1"})").arg(name), "/1.0/lxmgr/backups"});
        RUN_ENDS(refused, 4);
    }
    QCOMPARE(names("t1").size(), 3);
}

QTEST_GUILESS_MAIN(TestBackups)
#include "tst_backups.moc"

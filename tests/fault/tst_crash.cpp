// Crash at each step: an operation is run once to learn its steps, then the daemon is killed at each; the next one puts
// everything right, the same command succeeds, and nothing is left.
#include "support/system_test.h"

#include <QDir>
#include <QDirIterator>
#include <QRegularExpression>
#include <QSet>

using namespace lxmgr::test;

namespace
{

/// An operation as a user gives it, and what must be there before.
struct Operation {
    const char *name;
    QList<QStringList> before;
    QStringList command;
    QByteArrayList statesAfter; ///< what t1 may be after the crash and the recovery ("" is gone)
};

QList<Operation> operations()
{
    const QStringList create{"create", "busybox", "t1"}, launch{"launch", "busybox", "t1"};
    const QStringList wire{"copy", "t1", "wire:t2", "--mode", "relay"};
    const QStringList snapshot{"snapshot", "t1", "s0"}, backup{"backup", "t1"}, profile{"profile", "set", "default", "limits.processes=40"};
    const QStringList volume{"storage", "volume", "create", "p1", "v1"};
    const QStringList snapshotOfVolume{"storage", "volume", "snapshot", "create", "p1", "v1", "s0"};
    const QStringList copyOfVolume{"storage", "volume", "copy", "p1/v1", "default/v2"}, copyBeside{"storage", "volume", "copy", "p1/v1", "p1/v2"};
    const QStringList deleteVolume{"storage", "volume", "delete", "p1", "v1"};
    const QStringList deleteSnapshot{"storage", "volume", "snapshot", "delete", "p1", "v1", "s0"};
    const QStringList restoreVolume{"storage", "volume", "snapshot", "restore", "p1", "v1", "s0"}, undo{"undo", "apply"}, purge{"--purge"};
    const QStringList other{"project", "create", "other", "features.images=false", "features.profiles=false"};
    const QStringList network{"network", "create", "n1"}, acl{"network", "acl", "create", "a1"}, pool{"storage", "create", "p1", "dir"}, file{"storage", "create", "p1", "btrfs", "size=300MiB"};
    return {
        {"pool", {}, pool, {""}},
        {"pool of a volume", {pool}, {"storage", "volume", "create", "p1", "v1"}, {""}},
        {"pool of a changed volume", {pool, volume}, {"storage", "volume", "set", "p1", "v1", "user.x=1"}, {""}},
        {"pool of a renamed volume", {pool, volume}, {"storage", "volume", "rename", "p1", "v1", "v2"}, {""}},
        {"pool of a deleted volume", {pool, volume}, {"storage", "volume", "delete", "p1", "v1"}, {""}},
        {"pool of a copied volume", {pool, volume, snapshotOfVolume}, {"storage", "volume", "copy", "p1/v1", "p1/v2"}, {""}},
        {"pool of a copied volume to another", {pool, volume, snapshotOfVolume}, {"storage", "volume", "copy", "p1/v1", "default/v2"}, {""}},
        {"pool of a snapshot", {pool, volume}, snapshotOfVolume, {""}},
        {"pool of a renamed snapshot", {pool, volume, snapshotOfVolume}, {"storage", "volume", "snapshot", "rename", "p1", "v1", "s0", "s1"}, {""}},
        {"pool of a deleted snapshot", {pool, volume, snapshotOfVolume}, {"storage", "volume", "snapshot", "delete", "p1", "v1", "s0"}, {""}},
        {"pool of a restored volume", {pool, volume, snapshotOfVolume}, {"storage", "volume", "snapshot", "restore", "p1", "v1", "s0"}, {""}},
        {"pool of a new limited volume", {file}, {"storage", "volume", "create", "p1", "v1", "size=50MiB"}, {""}},
        {"pool of a limited volume", {file, volume}, {"storage", "volume", "set", "p1", "v1", "size=50MiB"}, {""}},
        {"pool of a new limited one", {file}, {"create", "busybox", "t1", "-s", "p1", "-d", "root,size=50MiB"}, {"", "STOPPED"}},
        {"pool of a limited one", {file, {"create", "busybox", "t1", "-s", "p1"}}, {"config", "device", "set", "t1", "root", "size=50MiB"}, {"STOPPED"}},
        {"pool of an exported volume", {pool, volume, snapshotOfVolume}, {"storage", "volume", "export", "p1", "v1", "/dev/null"}, {""}},
        {"pool of a kept volume", {pool, volume, snapshotOfVolume}, {"storage", "volume", "export", "keep", "p1", "v1", "b1"}, {""}},
        {"pool of an imported volume", {pool}, {"storage", "volume", "import", "p1", LXMGR_SOURCE_DIR "/tests/data/exports/volume-lxd-5.0.2.tar.gz", "v1"}, {""}},
        {"pool of a volume deleted for good", {pool, volume}, deleteVolume + purge, {""}},
        {"pool of a refreshed volume", {pool, volume, snapshotOfVolume, copyOfVolume}, copyOfVolume + QStringList{"--refresh"}, {""}},
        {"pool of a volume refreshed in it", {pool, volume, snapshotOfVolume, copyBeside}, copyBeside + QStringList{"--refresh", "--volume-only"}, {""}},
        {"pool of a volume over the wire", {pool, volume, snapshotOfVolume}, {"storage", "volume", "copy", "p1/v1", "wire:default/v2", "--mode", "relay"}, {""}},
        {"pool of a volume refreshed over the wire", {pool, volume, snapshotOfVolume, copyOfVolume},
         {"storage", "volume", "copy", "p1/v1", "wire:default/v2", "--mode", "relay", "--refresh"}, {""}},
        {"pool of a moved volume", {pool, volume, snapshotOfVolume}, {"storage", "volume", "move", "p1/v1", "default/v2"}, {""}},
        {"pool of a snapshot with another text", {pool, volume, snapshotOfVolume},
         {"query", "-X", "PATCH", "-d", R"({"description":"x"})", "/1.0/storage-pools/p1/volumes/custom/v1/snapshots/s0"}, {""}},
        {"pool of an undone delete", {pool, volume, snapshotOfVolume, deleteVolume}, undo, {""}},
        {"pool of a snapshot's undone delete", {pool, volume, snapshotOfVolume, deleteSnapshot}, undo, {""}},
        {"pool of an undone restore", {pool, volume, snapshotOfVolume, restoreVolume}, undo, {""}},
        {"pool in a file", {}, file, {""}},
        {"pool change", {file}, {"storage", "set", "p1", "size=400MiB"}, {""}},
        {"pool delete", {pool}, {"storage", "delete", "p1"}, {""}},
        {"pool in a file delete", {file}, {"storage", "delete", "p1"}, {""}},
        {"pool delete with what could be undone", {pool, {"create", "busybox", "t1", "--storage", "p1"}, {"delete", "t1"}},
         {"storage", "delete", "p1"}, {""}},
        {"network create", {}, {"network", "create", "n1"}, {""}},
        {"network change", {network}, {"network", "set", "n1", "ipv4.nat=false", "dns.domain=other"}, {""}},
        {"network forward", {network}, {"network", "forward", "create", "n1", "198.51.100.77"}, {""}},
        {"network ACL", {}, {"network", "acl", "create", "a1"}, {""}},
        {"network ACL change", {acl}, {"network", "acl", "rule", "add", "a1", "ingress", "action=allow"}, {""}},
        {"network ACL rename", {acl}, {"network", "acl", "rename", "a1", "a2"}, {""}},
        {"network ACL delete", {acl}, {"network", "acl", "delete", "a1"}, {""}},
        {"network rename", {network}, {"network", "rename", "n1", "n2"}, {""}},
        {"network delete", {network}, {"network", "delete", "n1"}, {""}},
        {"pool detach", {pool}, {"storage", "detach", "p1"}, {""}},
        {"image", {}, {"template", "build", "busybox"}, {""}},
        {"import", {}, {"image", "import", "kept.image", "--alias", "kept"}, {""}},
        {"create with its image", {}, create, {"", "STOPPED"}},
        {"create", {}, create, {"", "STOPPED"}},
        {"launch", {}, launch, {"", "STOPPED", "RUNNING"}},
        {"start", {create}, {"start", "t1"}, {"STOPPED", "RUNNING"}},
        {"stop", {launch}, {"stop", "t1", "--timeout", "20"}, {"STOPPED", "RUNNING"}},
        {"stop by force", {launch}, {"stop", "--force", "t1"}, {"STOPPED", "RUNNING"}},
        {"restart", {launch}, {"restart", "--force", "t1"}, {"STOPPED", "RUNNING"}},
        {"config", {create}, {"config", "set", "t1", "limits.processes=50"}, {"STOPPED"}},
        {"profile", {profile, create}, {"profile", "set", "default", "limits.processes=50"}, {"STOPPED"}},
        {"profile of a running one", {profile, launch}, {"profile", "set", "default", "limits.processes=50"}, {"RUNNING"}},
        {"rename", {create}, {"rename", "t1", "t2"}, {"STOPPED", ""}},
        {"snapshot", {create}, {"snapshot", "t1", "s1"}, {"STOPPED"}},
        {"snapshot of a running one", {launch}, {"snapshot", "t1", "s1"}, {"RUNNING"}},
        {"snapshot rename", {create, snapshot}, {"rename", "t1/s0", "t1/s1"}, {"STOPPED"}},
        {"snapshot expiry", {create, snapshot},
         {"query", "--wait", "-X", "PATCH", "-d", R"({"expires_at":"2090-01-01T00:00:00Z"})", "/1.0/instances/t1/snapshots/s0"}, {"STOPPED"}},
        {"snapshot delete", {create, snapshot}, {"delete", "t1/s0"}, {"STOPPED"}},
        {"restore", {create, snapshot}, {"restore", "t1", "s0"}, {"STOPPED"}},
        {"restore of files", {launch, snapshot}, {"restore", "t1", "s0", "--files", "/etc"}, {"RUNNING"}},
        {"restore of a running one", {launch, snapshot}, {"restore", "t1", "s0"}, {"STOPPED", "RUNNING"}},
        {"export", {create}, {"export", "t1", "/dev/null"}, {"STOPPED"}},
        {"export of a running one", {launch}, {"export", "t1", "/dev/null"}, {"RUNNING"}},
        {"kept export", {create}, {"export", "keep", "t1", "b1"}, {"STOPPED"}},
        {"kept export of a running one", {launch}, {"export", "keep", "t1", "b1"}, {"RUNNING"}},
        {"kept export's delete", {create, {"export", "keep", "t1", "b0"}}, {"export", "delete", "t1/b0"}, {"STOPPED"}},
        {"delete for good with a kept export", {create, {"export", "keep", "t1", "b0"}}, {"delete", "--purge", "t1"}, {"", "STOPPED"}},
        {"publish", {create}, {"publish", "t1", "--alias", "pub"}, {"STOPPED"}},
        {"publish of a running one", {launch}, {"publish", "t1", "--alias", "pub"}, {"RUNNING"}},
        {"import of an instance", {}, {"import", LXMGR_SOURCE_DIR "/tests/data/exports/lxd-5.0.2.tar.gz", "t1"}, {"", "STOPPED"}},
        {"pool of an instance imported from streams", {file}, {"import", LXMGR_SOURCE_DIR "/tests/data/exports/lxd-5.0.2-optimized.tar.gz", "t1", "-s", "p1"}, {"", "STOPPED"}},
        {"backup", {create}, {"backup", "t1"}, {"STOPPED"}},
        {"backup of a running one", {launch}, {"backup", "t1"}, {"RUNNING"}},
        {"backup restore", {create, backup}, {"backup", "restore", "t1", "t2"}, {"STOPPED"}},
        {"backup delete", {create, {"backup", "t1", "b0"}}, {"backup", "delete", "t1/b0"}, {"STOPPED"}},
        {"backup prune", {create, backup}, {"backup", "prune", "--keep-last", "1"}, {"STOPPED"}},
        {"copy", {create, snapshot}, {"copy", "t1", "t2"}, {"STOPPED"}},
        {"copy of a running one", {launch}, {"copy", "t1", "t2"}, {"RUNNING"}},
        {"rebuild", {create}, {"query", "--wait", "-X", "POST", "-d", R"({"source":{"type":"none"}})", "/1.0/instances/t1/rebuild"}, {"STOPPED"}},
        {"refresh", {create, snapshot, {"copy", "t1", "t2"}}, {"copy", "t1", "t2", "--refresh"}, {"STOPPED"}},
        {"refresh of the files", {create, snapshot, {"copy", "t1", "t2"}}, {"copy", "t1/s0", "t2", "--refresh"}, {"STOPPED"}},
        {"copy over the wire", {create, snapshot}, wire, {"STOPPED"}},
        {"copy without its image over the wire", {{"init", "--empty", "t1"}, snapshot}, wire, {"STOPPED"}},
        {"refresh over the wire", {create, snapshot, {"copy", "t1", "t2"}, {"snapshot", "t1", "s1"}}, wire + QStringList{"--refresh"}, {"STOPPED"}},
        {"move over the wire", {create, snapshot}, {"move", "t1", "wire:t2", "--mode", "relay"}, {"STOPPED", ""}},
        {"pool of a copy", {pool, create, snapshot}, {"copy", "t1", "t2", "-s", "p1"}, {"STOPPED"}},
        {"pool of a refreshed copy", {pool, create, snapshot, {"copy", "t1", "t2", "-s", "p1"}}, {"copy", "t1", "t2", "--refresh"}, {"STOPPED"}},
        {"pool of a moved one", {pool, create, snapshot}, {"move", "t1", "-s", "p1"}, {"STOPPED"}},
        {"project move", {other, create, snapshot}, {"move", "t1", "--target-project", "other"}, {"STOPPED", ""}},
        {"delete", {create}, {"delete", "t1"}, {"", "STOPPED"}},
        {"delete for good", {create}, {"delete", "--purge", "t1"}, {"", "STOPPED"}},
        {"undo of a delete", {create, snapshot, {"delete", "t1"}}, {"undo", "apply"}, {"", "STOPPED"}},
        {"undo of a snapshot's delete", {create, snapshot, {"delete", "t1/s0"}}, {"undo", "apply"}, {"STOPPED"}},
        {"undo of a restore", {create, snapshot, {"restore", "t1", "s0"}}, {"undo", "apply"}, {"STOPPED"}},
        {"undo of a running one's restore", {launch, snapshot, {"restore", "t1", "s0"}}, {"undo", "apply"}, {"STOPPED", "RUNNING"}},
        {"undo of a change", {create, {"config", "set", "t1", "user.x=1"}}, {"undo", "apply"}, {"STOPPED"}},
        {"undo is given up", {create, {"delete", "t1"}}, {"undo", "delete", "--all"}, {""}},
        {"delete by force", {launch}, {"delete", "--force", "t1"}, {"", "STOPPED", "RUNNING"}},
    };
}

const Operation &operationNamed(const QString &name)
{
    static const QList<Operation> all = operations();
    for (const Operation &operation : all)
        if (name == operation.name)
            return operation;
    return all.first();
}

/// The command again, after a crash: it succeeds, or says that it is done already (taken name, wrong state, gone).
bool succeedsOrIsDone(const Run &again) { return again.ok() || again.status == 3 || again.status == 5 || again.status == 6; }

} // namespace

class TestCrash : public SystemTest
{
    Q_OBJECT
private slots:
    void everyOperationHasSteps_data();
    void everyOperationHasSteps();
    void everyNamedPointIsPassed();
    void killedAtEachStep_data() { rows(); }
    void killedAtEachStep();
    void failedAtEachStep_data() { rows(); }
    void failedAtEachStep();
    void killedInTheRecoveryToo_data();
    void killedInTheRecoveryToo();

private:
    void prepare() override;
    void rows();
    void prepareFor(const Operation &operation);
    void withFailpoints(const QString &rules, const std::function<void()> &work);
    QStringList pointsPassed(const std::function<void()> &work);
    void isWholeOrGone(const Operation &operation);
    void deleteRest(const Operation &operation);

    QMap<QString, QStringList> m_steps; ///< operation → points passed, in order
    QStringList m_recovery;             ///< points that a start after a crash passes
};

/// Runs `work` with a daemon that has these failpoints, and puts a plain daemon in its place afterwards.
void TestCrash::withFailpoints(const QString &rules, const std::function<void()> &work)
{
    m_box.stopDaemon();
    QVERIFY2(m_box.startDaemon({{"LXMGR_FAIL", rules}}), m_box.daemonLog().right(4000));
    work();
    m_box.killDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog().right(4000));
}

QStringList TestCrash::pointsPassed(const std::function<void()> &work)
{
    const QString list = m_box.directory() + "/points";
    QFile::remove(list);
    withFailpoints("*=list:" + list, work);
    QFile file(list);
    QStringList points;
    if (file.open(QIODevice::ReadOnly))
        points = QString::fromUtf8(file.readAll()).split('\n', Qt::SkipEmptyParts);
    points.removeDuplicates();
    return points;
}

void TestCrash::prepareFor(const Operation &operation)
{
    // Without images a build or an import has something to do. All others find theirs: their steps are the same then,
    // whatever ran before.
    static const QStringList makers{"image", "import", "create with its image"};
    if (makers.contains(operation.name))
        for (const QByteArray &print : m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n'))
            (void)m_box.cli({"image", "delete", QString::fromUtf8(print)});
    else if (m_box.rest("GET", "/1.0/images/aliases/busybox").status == 404)
        must({"template", "build", "busybox"});
    for (const QStringList &command : operation.before)
        must(command);
}

void TestCrash::prepare()
{
    const QString folder = m_box.directory() + "/export";
    QDir().mkpath(folder);
    must({"image", "export", "busybox", folder + "/"});
    must({"remote", "add", "wire", "unix://" + m_box.socket()}); // the same daemon, as another host
    QVERIFY(QFile::rename(folder + "/" + QDir(folder).entryList(QDir::Files).value(0), m_box.directory() + "/kept.image"));
    for (const Operation &operation : operations()) {
        prepareFor(operation);
        m_steps[operation.name] = pointsPassed([&] { must(operation.command); });
        deleteAll();
        deleteRest(operation);
    }
    // What a start passes that finds a half-made instance.
    const QStringList launchSteps = m_steps["launch"];
    if (!launchSteps.isEmpty()) {
        m_box.stopDaemon();
        m_box.startDaemon({{"LXMGR_FAIL", launchSteps.value(launchSteps.size() / 2) + "=kill"}});
        (void)m_box.cli({"launch", "busybox", "t1"});
        m_box.daemonEnds();
        m_recovery = pointsPassed([] {});
    }
    deleteAll();
}

void TestCrash::rows()
{
    QTest::addColumn<QString>("operation");
    QTest::addColumn<QString>("point");
    for (auto steps = m_steps.cbegin(); steps != m_steps.cend(); ++steps)
        for (const QString &point : steps.value())
            QTest::newRow(qPrintable(steps.key() + " at " + point)) << steps.key() << point;
    if (m_steps.isEmpty())
        QTest::newRow("none") << "create" << "none";
}

void TestCrash::everyOperationHasSteps_data()
{
    QTest::addColumn<QString>("name");
    for (const Operation &operation : operations())
        QTest::newRow(operation.name) << QString(operation.name);
}

void TestCrash::everyOperationHasSteps()
{
    QFETCH(QString, name);
    QVERIFY(!m_steps[name].isEmpty());
}

void TestCrash::everyNamedPointIsPassed()
{
    QSet<QString> named, passed;
    static const QRegularExpression call(R"re(failpoint\("([a-z.-]+)"\))re");
    QDirIterator files(QStringLiteral(LXMGR_SOURCE_DIR "/lxmgr"), {"*.cpp"}, QDir::Files, QDirIterator::Subdirectories);
    while (files.hasNext()) {
        QFile file(files.next());
        if (!file.open(QIODevice::ReadOnly))
            continue;
        auto match = call.globalMatch(QString::fromUtf8(file.readAll()));
        while (match.hasNext())
            named << match.next().captured(1);
    }
    for (const QStringList &steps : m_steps)
        passed += QSet<QString>(steps.begin(), steps.end());
    const QSet<QString> missed = named - passed - QSet<QString>(m_recovery.begin(), m_recovery.end());
    QVERIFY2(missed.isEmpty(), qPrintable("no test passes: " + QStringList(missed.begin(), missed.end()).join(", ")));
}

/// What an operation leaves beside instances: an image, or the pool p1, which may be there, be gone, or be detached.
void TestCrash::deleteRest(const Operation &operation)
{
    if (QByteArray(operation.name) == "backup delete")
        (void)m_box.cli({"backup", "delete", "t1/b0"}); // the next preparation makes it anew
    if (QByteArray(operation.name).startsWith("publish"))
        (void)m_box.cli({"image", "delete", "pub"});
    if (QByteArray(operation.name).startsWith("network"))
        for (const char *name : {"1", "2"}) {
            (void)m_box.cli({"network", "delete", QString("n") + name});
            (void)m_box.cli({"network", "acl", "delete", QString("a") + name});
        }
    if (QByteArray(operation.name) == "project move") {
        (void)m_box.cli({"delete", "--force", "t1", "--project", "other"});
        (void)m_box.cli({"undo", "delete", "--all", "--project", "other"});
        must({"project", "delete", "other"});
    }
    if (!QByteArray(operation.name).startsWith("pool"))
        return;
    (void)m_box.cli({"storage", "create", "p1", "dir"});
    for (const char *instance : {"t1", "t2"})
        (void)m_box.cli({"delete", "--force", instance});
    for (const char *place : {"p1 v1", "p1 v2", "default v2"})
        (void)m_box.cli(QStringList{"storage", "volume", "delete", "--purge"} + QString(place).split(' '));
    must({"storage", "delete", "p1"});
}

void TestCrash::isWholeOrGone(const Operation &operation)
{
    const QByteArray state = m_box.stateOf("t1");
    QVERIFY2(operation.statesAfter.contains(state), ("after the crash t1 is '" + state + "'").constData());
    if (state == "RUNNING")
        RUN_OK(exec("t1", {"true"}));
    if (QByteArray(operation.name) == "project move" && state.isEmpty()) // then it is whole there
        must({"restore", "t1", "s0", "--project", "other"});
    else if (QByteArray(operation.name) == "project move")
        must({"restore", "t1", "s0"});
    const Run again = m_box.cli(operation.command);
    QVERIFY2(succeedsOrIsDone(again), again.told());
    deleteRest(operation);
}

void TestCrash::killedAtEachStep()
{
    QFETCH(QString, operation);
    QFETCH(QString, point);
    const Operation &one = operationNamed(operation);
    prepareFor(one);
    withFailpoints(point + "=kill", [&] {
        const Run cut = m_box.cli(one.command, {}, 30000);
        QVERIFY2(!cut.ok(), "the point was not passed: " + cut.told());
        // Steps of the monitor and of the guest's first process are killed there; the daemon sees it and goes on.
        if (!point.startsWith("parent.") && !point.startsWith("child."))
            QVERIFY2(m_box.daemonEnds(), cut.told());
    });
    if (!QTest::currentTestFailed())
        isWholeOrGone(one);
}

void TestCrash::failedAtEachStep()
{
    QFETCH(QString, operation);
    QFETCH(QString, point);
    const Operation &one = operationNamed(operation);
    prepareFor(one);
    withFailpoints(point + "=error:EIO", [&] {
        const Run failed = m_box.cli(one.command, {}, 60000);
        // A step that may fail without harm passes; another's failure is told in one line.
        QVERIFY2(failed.ok() || failed.err.contains("Error: "), failed.told());
        QVERIFY2(m_box.cli({"list"}).ok(), "the daemon does not answer");
    });
    if (!QTest::currentTestFailed())
        isWholeOrGone(one);
}

void TestCrash::killedInTheRecoveryToo_data()
{
    QTest::addColumn<QString>("point");
    for (const QString &point : m_recovery)
        QTest::newRow(qPrintable(point)) << point;
    if (m_recovery.isEmpty())
        QTest::newRow("no point in the recovery") << QString();
}

void TestCrash::killedInTheRecoveryToo()
{
    QFETCH(QString, point);
    if (point.isEmpty())
        QSKIP("the recovery passes no failpoint");
    const Operation &one = operationNamed("launch");
    const QString middle = m_steps["launch"].value(m_steps["launch"].size() / 2);
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon({{"LXMGR_FAIL", middle + "=kill"}}));
    (void)m_box.cli(one.command, {}, 30000);
    QVERIFY(m_box.daemonEnds());
    (void)m_box.startDaemon({{"LXMGR_FAIL", point + "=kill"}});
    m_box.killDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog().right(4000));
    isWholeOrGone(one);
}

QTEST_GUILESS_MAIN(TestCrash)
#include "tst_crash.moc"

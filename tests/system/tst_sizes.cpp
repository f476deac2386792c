// Sizes of root disks and custom volumes, in a pool that counts (btrfs in a file): they hold inside, change at once, and
// what cannot be is refused with its figures while all stays as it was.
#include "support/system_test.h"

#include <QFile>

using namespace lxmgr::test;

namespace
{
constexpr double kMiB = 1 << 20;
}

class TestSizes : public SystemTest
{
    Q_OBJECT
private slots:
    void aRootDiskIsLimitedFromItsLaunch();
    void aRunningGuestGetsAnotherSize();
    void whatAProfileSaysActsAtOnce();
    void aRestoreKeepsTheSize();
    void copiesHaveTheirOwnSize();
    void aRefreshThatDoesNotFitLeavesTheCopy();
    void importsAreLimited();
    void volumesAreLimited();
    void poolsHaveDefaults();
    void whatCannotBeLimitedSaysWhy();
    void sizesComeBackAfterTheDaemon();

private:
    /// The pool p1, which is there as long as this is.
    class Pool
    {
    public:
        explicit Pool(TestSizes &test) : m_test(test) { m_test.must({"storage", "create", "p1", "btrfs", "size=1GiB"}); }
        Pool(const Pool &) = delete;
        Pool &operator=(const Pool &) = delete;
        ~Pool()
        {
            m_test.deleteAll();
            m_test.must({"storage", "delete", "p1"});
        }

    private:
        TestSizes &m_test;
    };
    bool hasBtrfs() { return m_box.text({"storage", "drivers", "-f", "csv"}).contains("btrfs,YES"); }
    void limited(const QString &name, const QString &size)
    {
        launch(name, {"-s", "p1", "-d", "root,size=" + size});
    }
    QByteArray refusal(const QStringList &args)
    {
        const Run run = m_box.cli(args);
        return run.ok() ? QByteArray("it was not refused") : run.err;
    }
    QJsonObject rootState(const QString &name)
    {
        return m_box.rest("GET", "/1.0/instances/" + name.toUtf8() + "/state")
            .body["metadata"].toObject()["disk"].toObject()["root"].toObject();
    }
    double limitOf(const QString &name) { return rootState(name)["total"].toDouble() / kMiB; }
    /// Whether `mebibytes` can be written inside; they are taken away again.
    bool fits(const QString &name, int mebibytes, const QString &folder = "/root")
    {
        const QString file = folder + "/big";
        const Run wrote = exec(name, {"dd", "if=/dev/zero", "of=" + file, "bs=1M", QString("count=%1").arg(mebibytes)});
        const Run synced = exec(name, {"sync"});
        const bool whole = wrote.ok() && synced.ok();
        (void)exec(name, {"rm", "-f", file});
        (void)exec(name, {"sync"});
        if (!whole && !wrote.err.contains("quota") && !wrote.err.contains("space"))
            qWarning("%s", wrote.told().constData());
        return whole;
    }
    void keep(const QString &name, int mebibytes)
    {
        RUN_OK(exec(name, {"dd", "if=/dev/urandom", "of=/root/kept", "bs=1M", QString("count=%1").arg(mebibytes)}));
        RUN_OK(exec(name, {"sync"}));
    }
};

#define NEEDS_POOL()                                                                                                   \
    if (!hasBtrfs())                                                                                                   \
        QSKIP("btrfs: not available here (lxmgr storage drivers says why)");                                           \
    const Pool pool(*this)

void TestSizes::aRootDiskIsLimitedFromItsLaunch()
{
    NEEDS_POOL();
    limited("c1", "60MiB");
    QVERIFY(!fits("c1", 80));
    QVERIFY(fits("c1", 30));
    QCOMPARE(limitOf("c1"), 60.0);
    const double used = rootState("c1")["usage"].toDouble();
    QVERIFY2(used > 0 && used < 60 * kMiB, QByteArray::number(used));
    const QByteArray info = m_box.text({"info", "c1"});
    QVERIFY2(info.contains("of 60.00MiB"), info);
    // Full inside is full inside only.
    (void)exec("c1", {"dd", "if=/dev/zero", "of=/root/full", "bs=1M", "count=80"});
    must({"snapshot", "c1", "s1"});
    must({"restart", "--force", "c1"});
    RUN_OK(exec("c1", {"true"}));
}

void TestSizes::aRunningGuestGetsAnotherSize()
{
    NEEDS_POOL();
    launch("c1", {"-s", "p1"});
    QVERIFY(fits("c1", 80));
    must({"config", "device", "set", "c1", "root", "size=60MiB"});
    QVERIFY(!fits("c1", 80));
    must({"config", "device", "set", "c1", "root", "size=120MiB"});
    QVERIFY(fits("c1", 80));
    keep("c1", 70);
    const QByteArray small = refusal({"config", "device", "set", "c1", "root", "size=60MiB"});
    QVERIFY2(small.contains("60.00MiB") && small.contains("7") && small.contains("below the"), small);
    QCOMPARE(m_box.text({"config", "device", "get", "c1", "root", "size"}), "120MiB");
    QCOMPARE(limitOf("c1"), 120.0);
    QVERIFY(!fits("c1", 80));
    const QByteArray wrong = refusal({"config", "device", "set", "c1", "root", "size=much"});
    QVERIFY2(wrong.contains("size") && wrong.contains("'much'"), wrong);
    must({"config", "device", "unset", "c1", "root", "size"});
    QVERIFY(fits("c1", 80));
    QCOMPARE(limitOf("c1"), 0.0);
}

void TestSizes::whatAProfileSaysActsAtOnce()
{
    NEEDS_POOL();
    const auto profile = [&](const char *verb, const char *path, const char *size) {
        const QJsonObject root{{"type", "disk"}, {"path", "/"}, {"pool", "p1"}, {"size", size}};
        QJsonObject body{{"devices", QJsonObject{{"root", root}}}};
        if (QByteArray(verb) == "POST")
            body["name"] = "small";
        return m_box.rest(verb, path, body);
    };
    QCOMPARE(profile("POST", "/1.0/profiles", "60MiB").status, 201);
    launch("c1", {"-p", "small"});
    QCOMPARE(limitOf("c1"), 60.0);
    const Reply larger = profile("PUT", "/1.0/profiles/small", "100MiB");
    QVERIFY2(larger.status == 200, larger.raw);
    QCOMPARE(limitOf("c1"), 100.0);
    keep("c1", 70);
    const Reply refused = profile("PUT", "/1.0/profiles/small", "60MiB");
    QVERIFY2(refused.status == 400 && refused.raw.contains("'c1'") && refused.raw.contains("60.00MiB"), refused.raw);
    QVERIFY(m_box.text({"profile", "show", "small"}).contains("100MiB"));
    QCOMPARE(limitOf("c1"), 100.0);
    must({"delete", "--force", "--purge", "c1"});
    QCOMPARE(m_box.rest("DELETE", "/1.0/profiles/small").status, 200);
}

void TestSizes::aRestoreKeepsTheSize()
{
    NEEDS_POOL();
    limited("c1", "60MiB");
    must({"snapshot", "c1", "s1"});
    must({"restore", "c1", "s1"});
    QVERIFY(!fits("c1", 80));
    QCOMPARE(limitOf("c1"), 60.0);
    must({"config", "device", "set", "c1", "root", "size=100MiB"});
    must({"restore", "c1", "s1"}); // and the definition of then with it
    QCOMPARE(limitOf("c1"), 60.0);
    must({"undo", "apply"});
    QCOMPARE(limitOf("c1"), 100.0);
    must({"stop", "--force", "c1"});
    must({"rename", "c1", "c2"});
    QCOMPARE(limitOf("c2"), 100.0);
}

void TestSizes::copiesHaveTheirOwnSize()
{
    NEEDS_POOL();
    limited("c1", "60MiB");
    must({"copy", "c1", "c2"});
    QCOMPARE(limitOf("c2"), 60.0);
    must({"copy", "c1", "c3", "-d", "root,size=90MiB"});
    QCOMPARE(limitOf("c3"), 90.0);
    must({"start", "c3"});
    QVERIFY(fits("c3", 70));
    keep("c1", 30);
    const QByteArray tight = refusal({"copy", "c1", "c4", "-d", "root,size=20MiB"});
    QVERIFY2(tight.contains("20.00MiB"), tight);
    QCOMPARE(m_box.stateOf("c4"), QByteArray());
    QVERIFY(!m_box.text({"storage", "volume", "list", "p1", "-f", "csv", "-c", "n"}).split('\n').contains("c4"));
}

void TestSizes::aRefreshThatDoesNotFitLeavesTheCopy()
{
    NEEDS_POOL();
    launch("c1", {"-s", "p1"});
    must({"copy", "c1", "c2"});
    must({"config", "device", "set", "c2", "root", "size=40MiB"});
    keep("c1", 60);
    const QByteArray tight = refusal({"copy", "c1", "c2", "--refresh"});
    QVERIFY2(tight.contains("40.00MiB") && tight.contains("below the 6"), tight);
    must({"start", "c2"});
    QVERIFY(!exec("c2", {"test", "-e", "/root/kept"}).ok());
    QCOMPARE(limitOf("c2"), 40.0);
    must({"stop", "--force", "c2"});
    must({"config", "device", "set", "c2", "root", "size=100MiB"});
    must({"copy", "c1", "c2", "--refresh"});
    QCOMPARE(limitOf("c2"), 100.0);
    must({"start", "c2"});
    QVERIFY(exec("c2", {"test", "-e", "/root/kept"}).ok());
    QVERIFY(!fits("c2", 60));
}

void TestSizes::importsAreLimited()
{
    NEEDS_POOL();
    must({"create", "busybox", "c1", "-s", "p1", "-d", "root,size=60MiB"});
    const QString file = m_box.directory() + "/c1.tar";
    must({"export", "c1", file});
    must({"import", file, "c2"});
    QCOMPARE(limitOf("c2"), 60.0);
    const QByteArray elsewhere = refusal({"import", file, "c3", "-s", "default"});
    QVERIFY2(elsewhere.contains("size") && elsewhere.contains("cannot be limited"), elsewhere);
    const QByteArray moved = refusal({"move", "c1", "-s", "default"});
    QVERIFY2(moved.contains("size") && moved.contains("cannot be limited"), moved);
    QCOMPARE(limitOf("c1"), 60.0);
    QFile::remove(file);
}

void TestSizes::volumesAreLimited()
{
    NEEDS_POOL();
    must({"storage", "volume", "create", "p1", "v1", "size=40MiB"});
    const auto total = [&](const char *volume) {
        return m_box.rest("GET", QByteArray("/1.0/storage-pools/p1/volumes/custom/") + volume + "/state")
                   .body["metadata"].toObject()["usage"].toObject()["total"].toDouble() / kMiB;
    };
    QCOMPARE(total("v1"), 40.0);
    launch("c1", {"-s", "p1", "-d", "data,type=disk,pool=p1,source=v1,path=/data"});
    QVERIFY(!fits("c1", 60, "/data"));
    QVERIFY(fits("c1", 60));
    must({"storage", "volume", "set", "p1", "v1", "size=100MiB"});
    QVERIFY(fits("c1", 60, "/data"));
    QVERIFY(m_box.text({"storage", "volume", "info", "p1", "v1"}).contains("of 100.00MiB"));
    RUN_OK(exec("c1", {"dd", "if=/dev/zero", "of=/data/kept", "bs=1M", "count=60"}));
    const QByteArray small = refusal({"storage", "volume", "set", "p1", "v1", "size=40MiB"});
    QVERIFY2(small.contains("40.00MiB") && small.contains("below the 6"), small);
    QCOMPARE(m_box.text({"storage", "volume", "get", "p1", "v1", "size"}), "100MiB");
    must({"storage", "volume", "copy", "p1/v1", "p1/v2"});
    QCOMPARE(total("v2"), 100.0);
    must({"delete", "--force", "--purge", "c1"});
    must({"storage", "volume", "delete", "p1", "v1"});
    must({"storage", "volume", "delete", "p1", "v2"});
}

void TestSizes::poolsHaveDefaults()
{
    NEEDS_POOL();
    must({"storage", "set", "p1", "volume.size=80MiB", "volume.snapshots.pattern=x%d", "volume.initial.mode=0700"});
    must({"storage", "volume", "create", "p1", "v1"});
    must({"storage", "volume", "create", "p1", "v2", "size=50MiB"});
    QCOMPARE(m_box.text({"storage", "volume", "get", "p1", "v1", "size"}), "80MiB");
    QCOMPARE(m_box.text({"storage", "volume", "get", "p1", "v1", "initial.mode"}), "0700");
    QCOMPARE(m_box.text({"storage", "volume", "get", "p1", "v2", "size"}), "50MiB");
    must({"storage", "volume", "snapshot", "create", "p1", "v1"});
    QVERIFY(m_box.text({"storage", "volume", "snapshot", "list", "p1", "v1", "-f", "csv"}).startsWith("x0"));
    must({"create", "busybox", "c1", "-s", "p1"});
    QCOMPARE(limitOf("c1"), 80.0);
    must({"create", "busybox", "c2", "-s", "p1", "-d", "root,size=0"});
    QCOMPARE(limitOf("c2"), 0.0);
    for (const char *key : {"volume.zfs.blocksize=8KiB", "volume.user.x=1", "volume.sise=1GiB", "volume.size=much"}) {
        const QByteArray refused = refusal({"storage", "set", "p1", key});
        QVERIFY2(refused.contains(QByteArray(key).split('.').last().split('=').first()), refused);
    }
    must({"storage", "unset", "p1", "volume.size"});
    must({"create", "busybox", "c3", "-s", "p1"});
    QCOMPARE(limitOf("c3"), 0.0);
    QCOMPARE(limitOf("c1"), 80.0); // taken when it was made
    must({"storage", "unset", "p1", "volume.snapshots.pattern"});
    must({"storage", "unset", "p1", "volume.initial.mode"});
    must({"storage", "volume", "delete", "p1", "v1"});
    must({"storage", "volume", "delete", "p1", "v2"});
}

void TestSizes::whatCannotBeLimitedSaysWhy()
{
    must({"storage", "create", "p2", "dir"});
    const auto refused = [&](const QStringList &args) {
        const QByteArray said = refusal(args);
        QVERIFY2(said.contains("size") && said.contains("cannot be limited") && said.contains("driver btrfs"), said);
    };
    refused({"launch", "busybox", "c1", "-s", "p2", "-d", "root,size=1GiB"});
    QCOMPARE(m_box.stateOf("c1"), QByteArray());
    refused({"storage", "volume", "create", "p2", "v1", "size=1GiB"});
    refused({"storage", "set", "p2", "volume.size=1GiB"});
    QCOMPARE(m_box.text({"storage", "get", "p2", "volume.size"}), "");
    must({"create", "busybox", "c1", "-s", "p2"});
    refused({"config", "device", "set", "c1", "root", "size=1GiB"});
    QCOMPARE(m_box.text({"config", "device", "get", "c1", "root", "size"}), "");
    must({"storage", "volume", "create", "p2", "v1"});
    refused({"storage", "volume", "set", "p2", "v1", "size=1GiB"});
    must({"storage", "volume", "delete", "p2", "v1"});
    must({"delete", "--purge", "c1"});
    must({"storage", "delete", "p2"});
}

void TestSizes::sizesComeBackAfterTheDaemon()
{
    NEEDS_POOL();
    limited("c1", "60MiB");
    m_box.killDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog().right(4000));
    QCOMPARE(limitOf("c1"), 60.0);
    QVERIFY(!fits("c1", 80));
}

QTEST_GUILESS_MAIN(TestSizes)
#include "tst_sizes.moc"

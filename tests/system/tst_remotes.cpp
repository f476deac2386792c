// Remotes: one host under another name, by its socket; every kind of command finds its way there and back.
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QJsonDocument>

using namespace lxmgr::test;

class TestRemotes : public SystemTest
{
    Q_OBJECT
private slots:
    void guestsOfARemoteAreWorkedOn();
    void listsAndServerKeysTakeABareRemote();
    void exportsOfARemoteComeWithoutDescriptors();
    void theDefaultCanBeAnother();
    void twoNamesOfOneHostAreOne();
    void whoDoesNotAnswerIsNamed();

protected:
    void prepare() override
    {
        must({"remote", "add", "here", "unix://" + m_box.socket()});
        must({"storage", "volume", "create", "default", "first"}); // the pool's folder of volumes comes with the first
        must({"storage", "volume", "delete", "default", "first", "--purge"});
    }
};

void TestRemotes::guestsOfARemoteAreWorkedOn()
{
    must({"launch", "busybox", "here:r1", "-c", "user.note=a:b"});
    QVERIFY(m_box.becomes("r1", "RUNNING"));
    QCOMPARE(m_box.text({"exec", "here:r1", "--", "echo", "x:y"}), QByteArray("x:y"));
    QCOMPARE(m_box.text({"config", "get", "here:r1", "user.note"}), QByteArray("a:b"));
    must({"file", "push", "-", "here:r1/root/a:b"}, "content");
    QCOMPARE(m_box.text({"file", "pull", "here:r1/root/a:b", "-"}), QByteArray("content"));
    must({"snapshot", "create", "here:r1", "s0"});
    must({"delete", "here:r1/s0"});
    must({"stop", "--force", "--all", "here:"});
    must({"rename", "here:r1", "r2"});
    must({"copy", "here:r2", "here:r3"});
    QCOMPARE(m_box.text({"list", "here:", "-c", "n", "-f", "csv"}), QByteArray("r2\nr3"));
    QCOMPARE(m_box.text({"list", "here:r3", "-c", "n", "-f", "csv"}), QByteArray("r3"));
}

void TestRemotes::listsAndServerKeysTakeABareRemote()
{
    must({"config", "set", "here:", "user.x=1"});
    QCOMPARE(m_box.text({"config", "get", "here:", "user.x"}), QByteArray("1"));
    must({"config", "unset", "here:", "user.x"});
    for (const QStringList &list : {QStringList{"profile", "list"}, {"network", "list"}, {"storage", "list"}, {"operation", "list"}, {"image", "list"}, {"image", "alias", "list"},
                                    {"undo", "list"}, {"template", "list"}, {"export", "list"}, {"config", "show"}, {"info"}})
        QCOMPARE(m_box.text(list + QStringList{"here:"}), m_box.text(list));
    QVERIFY(m_box.text({"query", "here:/1.0"}).contains("\"api_version\":\"1.0\""));
    QVERIFY(m_box.text({"version", "here:"}).contains("Server version"));
}

void TestRemotes::exportsOfARemoteComeWithoutDescriptors()
{
    must({"create", "busybox", "r1"});
    const QString file = m_box.directory() + "/r1.tar.zst";
    must({"export", "here:r1", file, "--compression", "zstd"});
    QCOMPARE(m_box.text({"export", "list", "-f", "csv"}), QByteArray()); // what was kept meanwhile is gone
    must({"import", "here:", file, "r2"});
    QCOMPARE(m_box.text({"list", "-c", "n", "-f", "csv"}), QByteArray("r1\nr2"));
    must({"storage", "volume", "create", "here:default", "v1"});
    must({"storage", "volume", "export", "here:default", "v1", m_box.directory() + "/v1.tar.gz"});
    QCOMPARE(m_box.text({"storage", "volume", "export", "list", "default", "v1", "-f", "csv"}), QByteArray());
    must({"storage", "volume", "delete", "here:default", "v1"});
    QVERIFY(QFile::remove(file) && QFile::remove(m_box.directory() + "/v1.tar.gz"));
}

void TestRemotes::theDefaultCanBeAnother()
{
    must({"remote", "switch", "here:"});
    QCOMPARE(m_box.text({"remote", "get-default"}), QByteArray("here"));
    QVERIFY(m_box.text({"remote", "list"}).contains("here (current)"));
    must({"create", "busybox", "r1"});
    RUN_ENDS(m_box.cli({"remote", "remove", "here"}), 4);
    must({"remote", "switch", "local"});
    QCOMPARE(m_box.text({"list", "-c", "n", "-f", "csv"}), QByteArray("r1"));
    RUN_ENDS(m_box.cli({"remote", "remove", "local"}), 4);
    RUN_ENDS(m_box.cli({"remote", "add", "here", "unix:///x"}), 5);
}

void TestRemotes::twoNamesOfOneHostAreOne()
{
    must({"create", "busybox", "r1"});
    must({"copy", "here:r1", "local:r2"});
    must({"move", "local:r2", "here:r3"});
    QCOMPARE(m_box.text({"list", "-c", "n", "-f", "csv"}), QByteArray("r1\nr3"));
    const Run mixed = m_box.cli({"start", "here:r1", "r1"});
    QVERIFY2(!mixed.ok() && mixed.err.contains("one command works on one host"), mixed.told());
    QCOMPARE(m_box.stateOf("r1"), QByteArray("STOPPED"));
}

void TestRemotes::whoDoesNotAnswerIsNamed()
{
    const Run refused = m_box.cli({"remote", "add", "gone", "127.0.0.1:9"});
    QVERIFY2(!refused.ok() && refused.err.contains("127.0.0.1:9"), refused.told());
    const Run unknown = m_box.cli({"start", "gone:r1"});
    QVERIFY2(unknown.status == 3 && unknown.err.contains("no remote is called 'gone'"), unknown.told());
}

QTEST_GUILESS_MAIN(TestRemotes)
#include "tst_remotes.moc"

// Publishing: an instance, running or not, or a snapshot becomes an image that others start from.
#include "support/system_test.h"

#include <QCryptographicHash>
#include <QFile>
#include <QJsonDocument>
#include <QJsonObject>

using namespace lxmgr::test;

class TestPublish : public SystemTest
{
    Q_OBJECT
private slots:
    void theImageHoldsTheFilesAndNoConfiguration();
    void aRunningInstanceRunsOn();
    void withForceItIsStoppedAndStartedAgain();
    void aSnapshotIsPublishedAsItWas();
    void theImageSaysWhereItComesFrom();
    void aNameThatIsTakenGoesOverWithReuse();
    void eachCompressionStarts_data();
    void eachCompressionStarts();
    void aSquashfsHoldsTheSame();
    void whatCannotBeIsRefused_data();
    void whatCannotBeIsRefused();

private:
    QJsonObject image(const QString &alias)
    {
        const QByteArray print = m_box.text({"query", "/1.0/images/aliases/" + alias});
        const QString target = QJsonDocument::fromJson(print)["target"].toString();
        return QJsonDocument::fromJson(m_box.text({"query", "/1.0/images/" + target})).object();
    }
    int images() { return m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n').size(); }
};

void TestPublish::theImageHoldsTheFilesAndNoConfiguration()
{
    launch("t1");
    must({"config", "set", "t1", "user.secret=seen"});
    inside("t1", {"sh", "-c", "mkdir /srv; echo one > /srv/file; ln /srv/file /srv/other; rm -rf /root; chown 1000:1001 /srv/file"});
    must({"stop", "--force", "t1"});
    must({"publish", "t1", "--alias", "pub"});
    must({"launch", "pub", "t2"});
    QCOMPARE(inside("t2", {"cat", "/srv/other"}), QByteArray("one"));
    QCOMPARE(inside("t2", {"stat", "-c", "%u %g %h", "/srv/file"}), QByteArray("1000 1001 2"));
    RUN_ENDS(m_box.cli({"exec", "t2", "--", "test", "-e", "/root"}), 1);
    QCOMPARE(inside("t2", {"hostname"}), QByteArray("t2"));
    QVERIFY(!m_box.text({"config", "show", "t2"}).contains("user.secret"));
    must({"image", "delete", "pub"});
}

void TestPublish::aRunningInstanceRunsOn()
{
    launch("t1");
    const QByteArray started = inside("t1", {"cat", "/proc/sys/kernel/random/boot_id"}) + inside("t1", {"stat", "-c", "%Y", "/proc/1"});
    inside("t1", {"sh", "-c", "echo two > /file"});
    must({"publish", "t1", "--alias", "pub"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(inside("t1", {"cat", "/proc/sys/kernel/random/boot_id"}) + inside("t1", {"stat", "-c", "%Y", "/proc/1"}), started);
    must({"launch", "pub", "t2"});
    QCOMPARE(inside("t2", {"cat", "/file"}), QByteArray("two"));
    must({"image", "delete", "pub"});
}

void TestPublish::withForceItIsStoppedAndStartedAgain()
{
    launch("t1");
    const QByteArray before = m_box.text({"list", "t1", "-f", "csv", "-c", "p"});
    must({"publish", "t1", "--force", "--alias", "pub"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QVERIFY(m_box.text({"list", "t1", "-f", "csv", "-c", "p"}) != before);
    must({"stop", "--force", "t1"});
    must({"publish", "t1", "--force"});
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED")); // it did not run before
    must({"image", "delete", "pub"});
}

void TestPublish::aSnapshotIsPublishedAsItWas()
{
    launch("t1");
    inside("t1", {"sh", "-c", "echo before > /file"});
    must({"snapshot", "t1", "s0"});
    inside("t1", {"sh", "-c", "echo after > /file"});
    must({"publish", "t1/s0", "--alias", "pub"});
    must({"launch", "pub", "t2"});
    QCOMPARE(inside("t2", {"cat", "/file"}), QByteArray("before"));
    must({"image", "delete", "pub"});
    must({"delete", "t1/s0"}); // nothing holds it any more
}

void TestPublish::theImageSaysWhereItComesFrom()
{
    launch("t1");
    must({"publish", "t1", "--alias", "pub", "--public", "--expire", "2030-01-31T00:00:00Z", "role=web", "variant="});
    const QJsonObject shown = image("pub");
    QCOMPARE(shown["public"].toBool(), true);
    QCOMPARE(shown["expires_at"].toString(), QString("2030-01-31T00:00:00Z"));
    QCOMPARE(shown["properties"]["role"].toString(), QString("web"));
    QCOMPARE(shown["properties"]["os"].toString(), QString("busybox"));
    QVERIFY(!shown["properties"].toObject().contains("variant"));
    QVERIFY(!shown["properties"].toObject().contains("serial"));

    // So it says to another server, too.
    must({"image", "export", "pub", m_box.directory() + "/pub.tar.zst"});
    must({"image", "delete", "pub"});
    must({"image", "import", m_box.directory() + "/pub.tar.zst", "--alias", "pub"});
    QCOMPARE(image("pub")["properties"].toObject(), shown["properties"].toObject());
    QCOMPARE(image("pub")["expires_at"].toString(), shown["expires_at"].toString());
    must({"image", "delete", "pub"});
}

void TestPublish::aNameThatIsTakenGoesOverWithReuse()
{
    launch("t1");
    must({"publish", "t1", "--alias", "pub", "--alias", "first"});
    const QString first = image("pub")["fingerprint"].toString();
    const int before = images();
    const Run taken = m_box.cli({"publish", "t1", "--alias", "pub", "n=2"});
    RUN_ENDS(taken, 5);
    QCOMPARE(images(), before);
    must({"publish", "t1", "--alias", "pub", "--reuse", "n=2"});
    QVERIFY(image("pub")["fingerprint"].toString() != first);
    QCOMPARE(image("first")["fingerprint"].toString(), first); // it has a name left
    must({"publish", "t1", "--alias", "pub", "--alias", "first", "--reuse", "n=3"});
    QCOMPARE(image("pub")["fingerprint"].toString(), image("first")["fingerprint"].toString());
    QCOMPARE(images(), before); // those without a name are gone
    must({"image", "delete", "pub"});
}

void TestPublish::eachCompressionStarts_data()
{
    QTest::addColumn<QString>("name");
    for (const char *name : {"none", "gzip", "zstd", "xz", "bzip2", "lzma", "squashfs"})
        QTest::newRow(name) << name;
}

void TestPublish::eachCompressionStarts()
{
    QFETCH(QString, name);
    launch("t1");
    must({"publish", "t1", "--compression", name, "--alias", "pub"});
    must({"launch", "pub", "t2"});
    QCOMPARE(inside("t2", {"hostname"}), QByteArray("t2"));
    must({"image", "delete", "pub"});
}

void TestPublish::aSquashfsHoldsTheSame()
{
    launch("t1");
    inside("t1", {"sh", "-c", "mkdir /srv; cd /srv; echo one > file; ln file other; chown 1000:60001 file; chmod 4750 file; mkfifo fifo; "
                              "truncate -s 5M holes; echo end >> holes; ln -s /etc/hostname link; echo x > \"$(printf 'a\\nb\\377')\""});
    const QStringList look{"sh", "-c", "cd /srv; ls -lanb --full-time | grep -v total; md5sum holes"};
    const QByteArray before = inside("t1", look);
    QVERIFY(before.contains("holes"));
    must({"stop", "--force", "t1"});
    must({"publish", "t1", "--alias", "pub", "--compression", "squashfs"});
    const QString file = m_box.directory() + "/pub.squashfs";
    must({"image", "export", "pub", file});
    QFile written(file);
    QVERIFY2(written.open(QIODevice::ReadOnly), qPrintable(written.fileName()));
    QCOMPARE(written.peek(4), QByteArray("hsqs"));
    const QByteArray content = written.readAll();
    QCOMPARE(QCryptographicHash::hash(content, QCryptographicHash::Sha256).toHex(), image("pub")["fingerprint"].toString().toUtf8());
    QCOMPARE(image("pub")["size"].toInteger(), content.size());
    must({"launch", "pub", "t2"});
    QCOMPARE(inside("t2", look), before);
    must({"image", "delete", "pub"});
}

void TestPublish::whatCannotBeIsRefused_data()
{
    QTest::addColumn<QStringList>("arguments");
    QTest::addColumn<int>("status");
    QTest::addColumn<QByteArray>("words");
    QTest::newRow("no instance") << QStringList{"nosuch"} << 3 << QByteArray("nosuch");
    QTest::newRow("no snapshot") << QStringList{"t1/nosuch"} << 3 << QByteArray("nosuch");
    QTest::newRow("compression") << QStringList{"t1", "--compression", "rot13"} << 4 << QByteArray("there are: ");
    QTest::newRow("date") << QStringList{"t1", "--expire", "soon"} << 2 << QByteArray("2030-01-31");
    QTest::newRow("alias") << QStringList{"t1", "--alias", "two words"} << 4 << QByteArray("two words");
    QTest::newRow("forced snapshot") << QStringList{"t1/s0", "--force"} << 2 << QByteArray("does not run");
}

void TestPublish::whatCannotBeIsRefused()
{
    QFETCH(QStringList, arguments);
    QFETCH(int, status);
    QFETCH(QByteArray, words);
    launch("t1");
    const int before = images();
    const Run refused = m_box.cli(QStringList{"publish"} + arguments);
    RUN_ENDS(refused, status);
    QVERIFY2(refused.err.contains(words), refused.told());
    QCOMPARE(images(), before);
}

QTEST_GUILESS_MAIN(TestPublish)
#include "tst_publish.moc"

// Images and templates: listed, named, exported, imported again, deleted; what is broken is refused.
#include "support/system_test.h"

#include <QCryptographicHash>
#include <QDir>
#include <QJsonArray>
#include <QJsonDocument>

using namespace lxmgr::test;

class TestImages : public SystemTest
{
    Q_OBJECT
private slots:
    void theTemplatesAreListed();
    void aBuiltImageIsKeptForTheSecondLaunch();
    void exportAndImportGiveTheSameImage();
    void importedImageStarts();
    void plainRootfsTarIsAnImage();
    void aliasesPointAndMove();
    void deleteOfAnImageLeavesItsInstances();
    void brokenFilesAreRefused_data();
    void brokenFilesAreRefused();
    void hostilePathsAreRefused();
    void infoShowsItsProperties();

private:
    QString fingerprint(const QString &alias);
    void addImage(const QString &alias);
};

QString TestImages::fingerprint(const QString &alias)
{
    const QJsonArray images = QJsonDocument::fromJson(m_box.text({"image", "list", "-f", "json"})).array();
    for (const QJsonValue &image : images)
        for (const QJsonValue &name : image["aliases"].toArray())
            if (name["name"].toString() == alias)
                return image["fingerprint"].toString();
    return {};
}

void TestImages::theTemplatesAreListed()
{
    const QByteArray list = m_box.text({"template", "list"});
    for (const char *name : {"alpine", "busybox", "debian", "ubuntu"})
        QVERIFY2(list.contains(name), list);
    const QByteArray shown = m_box.text({"template", "show", "debian"});
    QVERIFY2(shown.contains("image:") && shown.contains("source:"), shown);
    RUN_ENDS(m_box.cli({"template", "show", "no-such-template"}), 3);
}

void TestImages::aBuiltImageIsKeptForTheSecondLaunch()
{
    const QByteArray before = m_box.text({"image", "list", "-f", "csv", "-c", "F"});
    QCOMPARE(before.split('\n').size(), 1);
    launch("t1");
    launch("t2");
    QCOMPARE(m_box.text({"image", "list", "-f", "csv", "-c", "F"}), before);
}

void TestImages::exportAndImportGiveTheSameImage()
{
    must({"template", "build", "busybox"});
    const QByteArray all = m_box.text({"image", "list", "-f", "csv", "-c", "F"});
    const QString print = QString::fromUtf8(all.split('\n').first());
    QVERIFY2(print.size() == 64, all);
    QDir(m_box.directory()).mkpath("out");
    must({"image", "export", print, m_box.directory() + "/out/"});
    const QStringList files = QDir(m_box.directory() + "/out").entryList(QDir::Files);
    QCOMPARE(files.size(), 1);
    const QString path = m_box.directory() + "/out/" + files.first();
    QFile file(path);
    QVERIFY(file.open(QIODevice::ReadOnly));
    QCryptographicHash hash(QCryptographicHash::Sha256);
    QVERIFY(hash.addData(&file));
    QCOMPARE(QString::fromLatin1(hash.result().toHex()), print);

    const Run again = m_box.cli({"image", "import", path, "--alias", "again"});
    QVERIFY2(!again.ok(), again.told()); // it is there already
    RUN_ENDS(again, 5);
}

void TestImages::importedImageStarts()
{
    const QString print = QString::fromUtf8(m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n').first());
    QDir(m_box.directory()).mkpath("out2");
    must({"image", "export", print, m_box.directory() + "/out2/"});
    must({"image", "delete", print});
    QVERIFY(!m_box.text({"image", "list", "-f", "csv", "-c", "F"}).contains(print.toUtf8()));
    const QString file = m_box.directory() + "/out2/" + QDir(m_box.directory() + "/out2").entryList(QDir::Files).first();
    const Run imported = m_box.cli({"image", "import", file, "--alias", "mine"});
    RUN_OK(imported);
    QVERIFY2(imported.out.contains(print.toUtf8()), imported.told());
    must({"launch", "mine", "t1"});
    QCOMPARE(inside("t1", {"hostname"}), QByteArray("t1"));
    must({"delete", "--force", "t1"});
    must({"image", "alias", "delete", "mine"});
}

void TestImages::plainRootfsTarIsAnImage()
{
    const QString tree = m_box.directory() + "/tree";
    QDir().mkpath(tree);
    const Run made = run({"sh", "-ec",
                          "cd \"$1\"; mkdir -p bin sbin etc proc sys dev tmp run root; cp \"$(command -v busybox)\" bin/busybox; "
                          "for a in sh ls cat hostname sleep id; do ln -s busybox bin/$a; done; ln -s ../bin/busybox sbin/init; "
                          "printf 'ID=plain\\nPRETTY_NAME=Plain\\n' > etc/os-release; "
                          "printf 'null::respawn:/bin/sleep 100000\\n' > etc/inittab; "
                          "echo root:x:0:0:root:/root:/bin/sh > etc/passwd; echo root:x:0: > etc/group; "
                          "tar -C \"$1\" -czf ../plain.tar.gz .",
                          "sh", tree});
    RUN_OK(made);
    must({"image", "import", m_box.directory() + "/plain.tar.gz", "--alias", "plain"});
    must({"launch", "plain", "t1"});
    QCOMPARE(inside("t1", {"cat", "/etc/os-release"}).left(8), QByteArray("ID=plain"));
    must({"delete", "--force", "t1"});
    must({"image", "delete", "plain"});
}

void TestImages::aliasesPointAndMove()
{
    const QString print = QString::fromUtf8(m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n').first());
    must({"image", "alias", "create", "bb-test", print});
    QCOMPARE(fingerprint("bb-test"), print);
    RUN_ENDS(m_box.cli({"image", "alias", "create", "bb-test", print}), 5);
    must({"image", "alias", "rename", "bb-test", "bb-moved"});
    QCOMPARE(fingerprint("bb-moved"), print);
    QVERIFY(m_box.text({"image", "alias", "list"}).contains("bb-moved"));
    must({"launch", "bb-moved", "t1"});
    must({"image", "alias", "delete", "bb-moved"});
    QCOMPARE(fingerprint("bb-moved"), QString());
}

void TestImages::deleteOfAnImageLeavesItsInstances()
{
    launch("t1");
    const QString print = QString::fromUtf8(m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n').first());
    must({"image", "delete", print});
    QCOMPARE(inside("t1", {"hostname"}), QByteArray("t1"));
    must({"restart", "--force", "t1"});
    QCOMPARE(inside("t1", {"hostname"}), QByteArray("t1"));
    must({"delete", "--force", "t1"});
    must({"template", "build", "busybox"});
}

void TestImages::brokenFilesAreRefused_data()
{
    QTest::addColumn<QByteArray>("content");
    QTest::newRow("empty") << QByteArray();
    QTest::newRow("text") << QByteArray("this is no archive\n");
    QTest::newRow("cut gzip") << QByteArray::fromHex("1f8b0800000000000003edd1310a");
    QTest::newRow("zeros") << QByteArray(10240, '\0');
}

void TestImages::brokenFilesAreRefused()
{
    QFETCH(QByteArray, content);
    QFile file(m_box.directory() + "/broken");
    QVERIFY(file.open(QIODevice::WriteOnly));
    file.write(content);
    file.close();
    const Run refused = m_box.cli({"image", "import", file.fileName(), "--alias", "broken"});
    QVERIFY2(refused.status > 0, refused.told());
    QVERIFY2(refused.err.trimmed().count('\n') == 0 && refused.err.startsWith("Error: "), refused.told());
    QCOMPARE(fingerprint("broken"), QString());
}

void TestImages::hostilePathsAreRefused()
{
    // "rootfs/../../escape" by tar's own --transform; what an unpacker must never follow.
    const Run made = run({"sh", "-ec",
                          "cd \"$1\"; mkdir -p h/rootfs/etc; printf 'architecture: x86_64\\ncreation_date: 1\\n' > h/metadata.yaml; "
                          "echo x > h/rootfs/etc/evil; "
                          "tar -P -C h --transform 's,rootfs/etc/evil,rootfs/../../../lxmgr-escaped,' -cf hostile.tar metadata.yaml rootfs",
                          "sh", m_box.directory()});
    RUN_OK(made);
    const Run refused = m_box.cli({"image", "import", m_box.directory() + "/hostile.tar", "--alias", "hostile"});
    if (refused.ok()) // taken as a file: then it fails, or stays inside, when it is unpacked
        (void)m_box.cli({"create", "hostile", "t1"});
    const Run found = run({"find", m_box.directory(), "/tmp", "/var", "-maxdepth", "5", "-name", "lxmgr-escaped", "-not", "-path", "*/rootfs/*"});
    QCOMPARE(found.out, QByteArray());
    (void)m_box.cli({"delete", "--force", "t1"});
    (void)m_box.cli({"image", "delete", "hostile"});
}

void TestImages::infoShowsItsProperties()
{
    const QString print = QString::fromUtf8(m_box.text({"image", "list", "-f", "csv", "-c", "F"}).split('\n').first());
    const QByteArray info = m_box.text({"image", "info", print});
    for (const char *part : {"Fingerprint: ", "Architecture: ", "Size: ", "Type: container"})
        QVERIFY2(info.contains(part), info);
}

QTEST_GUILESS_MAIN(TestImages)
#include "tst_image_commands.moc"

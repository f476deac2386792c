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
    void imagesBringProfiles();
    void profilesOfImagesAreOfTheProject();
    void newImagesAreGivenProfiles();
    void imagesAreEdited();

private:
    QString fingerprint(const QString &alias);
    /// "default,web"
    QByteArray profilesOf(const QString &image, const QString &project = "default")
    {
        QStringList names;
        const QJsonValue list = m_box.rest("GET", "/1.0/images/" + fingerprint(image).toUtf8() + "?project=" + project.toUtf8()).body["metadata"].toObject()["profiles"];
        for (const QJsonValue &name : list.toArray())
            names << name.toString();
        return names.join(',').toUtf8();
    }
    Reply setProfiles(const QString &image, const QStringList &profiles, const QByteArray &verb = "PATCH", const QByteArray &project = "default")
    {
        return m_box.rest(verb, "/1.0/images/" + fingerprint(image).toUtf8() + "?project=" + project, {{"profiles", QJsonArray::fromStringList(profiles)}});
    }
    QByteArray profilesOfInstance(const QString &name, const QStringList &more = {})
    {
        return m_box.text(QStringList{"list", name, "-f", "csv", "-c", "P"} + more).replace("\n", ",").replace("\"", "");
    }
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

void TestImages::imagesBringProfiles()
{
    must({"template", "build", "busybox"});
    must({"profile", "create", "web", "limits.processes=77"});
    must({"profile", "device", "add", "web", "scratch", "disk", "source=tmpfs:", "path=/scratch"});
    must({"profile", "create", "alone"});
    must({"profile", "device", "add", "alone", "root", "disk", "path=/", "pool=default"});
    QCOMPARE(profilesOf("busybox"), QByteArray("default"));
    const Reply none = setProfiles("busybox", {"default", "nothere"}), twice = setProfiles("busybox", {"web", "web"});
    QVERIFY2(none.status == 404 && none.raw.contains("'nothere'"), none.raw);
    QVERIFY2(twice.status == 400 && twice.raw.contains("given twice"), twice.raw);
    QCOMPARE(setProfiles("busybox", {"default", "web"}).status, 200);
    QCOMPARE(profilesOf("busybox"), QByteArray("default,web"));
    QVERIFY(m_box.text({"image", "info", "busybox"}).contains("    - default\n    - web"));
    const auto made = [&](const QStringList &more) {
        must(QStringList{"init", "busybox", "t1"} + more);
        const QByteArray profiles = profilesOfInstance("t1");
        must({"delete", "--purge", "t1"});
        return profiles;
    };
    QCOMPARE(made({}), QByteArray("default,web"));
    QCOMPARE(made({"-p", "default"}), QByteArray("default"));
    QCOMPARE(made({"--no-profiles", "-s", "default"}), QByteArray());
    QCOMPARE(made({"-d", "scratch,size=1MiB"}), QByteArray("default,web")); // the device is that of the image's profile
    must({"init", fingerprint("busybox"), "t1"});
    QCOMPARE(profilesOfInstance("t1"), QByteArray("default,web"));
    must({"delete", "--purge", "t1"});
    QCOMPARE(setProfiles("busybox", {"alone"}).status, 200);
    QCOMPARE(made({}), QByteArray("alone"));
    // By their order, and by their names whatever these become.
    QCOMPARE(setProfiles("busybox", {"web", "default"}).status, 200);
    must({"init", "busybox", "t2"});
    must({"profile", "rename", "web", "www"});
    QCOMPARE(profilesOf("busybox"), QByteArray("www,default"));
    QFile note(m_box.stateDir() + "/images/" + fingerprint("busybox") + ".yaml");
    QVERIFY(note.open(QIODevice::ReadOnly));
    const QByteArray noted = note.readAll();
    QVERIFY2(noted.contains("www") && !noted.contains("- web"), noted);
    // Built anew, it brings them too.
    must({"template", "build", "busybox"});
    QCOMPARE(profilesOf("busybox"), QByteArray("www,default"));
    // A profile that instances have stays; one that images alone bring goes, and they bring it no more.
    const Run used = m_box.cli({"profile", "delete", "www"});
    QVERIFY2(!used.ok() && used.err.contains("t2"), used.told());
    must({"delete", "--purge", "t2"});
    must({"profile", "delete", "www"});
    QCOMPARE(profilesOf("busybox"), QByteArray("default"));
    QCOMPARE(made({}), QByteArray("default"));
    QCOMPARE(setProfiles("busybox", {"alone"}).status, 200);
    QCOMPARE(m_box.rest("PUT", "/1.0/images/" + fingerprint("busybox").toUtf8(), {{"properties", QJsonObject{{"os", "busybox"}}}}).status, 200);
    QCOMPARE(profilesOf("busybox"), QByteArray("default")); // not said is none
    must({"profile", "delete", "alone"});
}

void TestImages::profilesOfImagesAreOfTheProject()
{
    must({"template", "build", "busybox"});
    must({"project", "create", "team", "features.images=false"}); // whose own default profile is empty
    const Run rootless = m_box.cli({"init", "busybox", "t1", "--project", "team"});
    QVERIFY2(!rootless.ok() && rootless.err.contains("no root disk"), rootless.told());
    must({"profile", "create", "disky", "--project", "team"});
    must({"profile", "device", "add", "disky", "root", "disk", "path=/", "pool=default", "--project", "team"});
    QCOMPARE(setProfiles("busybox", {"disky"}, "PATCH", "team").status, 200);
    QCOMPARE(profilesOf("busybox", "team"), QByteArray("disky"));
    QCOMPARE(profilesOf("busybox"), QByteArray("default"));
    must({"init", "busybox", "t1", "--project", "team"});
    QCOMPARE(profilesOfInstance("t1", {"--project", "team"}), QByteArray("disky"));
    must({"delete", "--purge", "t1", "--project", "team"});
    must({"profile", "delete", "disky", "--project", "team"});
    must({"project", "delete", "team"});
}

void TestImages::newImagesAreGivenProfiles()
{
    must({"template", "build", "busybox"});
    must({"profile", "create", "web"});
    must({"init", "busybox", "t1"});
    must({"publish", "t1", "--alias", "published", "-p", "default", "-p", "web"});
    QCOMPARE(profilesOf("published"), QByteArray("default,web"));
    const QString file = m_box.directory() + "/given.tar.zst";
    must({"image", "export", "published", file});
    must({"image", "delete", "published"});
    must({"image", "import", file, "--alias", "plain"}); // the file says nothing of them
    QCOMPARE(profilesOf("plain"), QByteArray("default"));
    must({"image", "delete", "plain"});
    must({"image", "import", file, "--alias", "given", "-p", "web", "-p", "default"});
    QCOMPARE(profilesOf("given"), QByteArray("web,default"));
    const Run none = m_box.cli({"image", "import", file, "-p", "nothere"});
    QVERIFY2(!none.ok() && none.err.contains("'nothere'"), none.told());
    const Run never = m_box.cli({"publish", "t1", "-p", "nothere"});
    QVERIFY2(!never.ok() && never.err.contains("'nothere'"), never.told());
    must({"image", "delete", "given"});
    must({"profile", "delete", "web"});
}

void TestImages::imagesAreEdited()
{
    must({"template", "build", "busybox"});
    must({"profile", "create", "web"});
    must({"image", "edit", "busybox"}, "profiles: [default, web]\nproperties: {os: mine}\npublic: true\n");
    const QByteArray info = m_box.text({"image", "info", "busybox"});
    QVERIFY2(info.contains("    - web") && info.contains("os: mine") && info.contains("Public: yes"), info);
    must({"profile", "delete", "web"});
    must({"template", "build", "busybox"});
}

QTEST_GUILESS_MAIN(TestImages)
#include "tst_image_commands.moc"

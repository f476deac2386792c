// Files in and out of guests, running and stopped; a guest's links never lead out of it.
#include "support/system_test.h"

#include <QDir>

#include <sys/stat.h>

using namespace lxmgr::test;

class TestFiles : public SystemTest
{
    Q_OBJECT
private slots:
    void pushAndPullKeepBytesAndMode_data();
    void pushAndPullKeepBytesAndMode();
    void standardStreamsAreDashes();
    void ownerIsChosenInside();
    void foldersGoRecursively();
    void mkdirAndDelete();
    void missingFileIsNotFound();
    void linksOfAGuestDoNotLeadOut_data();
    void linksOfAGuestDoNotLeadOut();
    void editTakesStandardInput();
    void deviceAndPipeDoNotHang();

private:
    QString fileWith(const QString &name, const QByteArray &content);
};

QString TestFiles::fileWith(const QString &name, const QByteArray &content)
{
    QFile file(m_box.directory() + "/" + name);
    if (file.open(QIODevice::WriteOnly))
        file.write(content);
    return file.fileName();
}

void TestFiles::pushAndPullKeepBytesAndMode_data()
{
    QTest::addColumn<bool>("running");
    QTest::newRow("running") << true;
    QTest::newRow("stopped") << false;
}

void TestFiles::pushAndPullKeepBytesAndMode()
{
    QFETCH(bool, running);
    must({running ? "launch" : "create", "busybox", "t1"});
    QByteArray bytes;
    for (int i = 0; i < 2'000'000; ++i)
        bytes.append(static_cast<char>(i * 7 + i / 251));
    const QString source = fileWith("source", bytes);
    ::chmod(source.toUtf8().constData(), 0751);
    must({"file", "push", source, "t1/root/copy"});
    const QString back = m_box.directory() + "/back";
    must({"file", "pull", "t1/root/copy", back});
    QFile result(back);
    QVERIFY(result.open(QIODevice::ReadOnly));
    QVERIFY(result.readAll() == bytes);
    struct stat status {
    };
    QCOMPARE(::stat(back.toUtf8().constData(), &status), 0);
    QCOMPARE(status.st_mode & 07777, mode_t(0751));
    if (running)
        QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a %s", "/root/copy"}), QByteArray("0:0 751 2000000"));
}

void TestFiles::standardStreamsAreDashes()
{
    launch("t1");
    must({"file", "push", "-", "t1/root/note"}, "from a pipe\n");
    QCOMPARE(m_box.text({"file", "pull", "t1/root/note", "-"}), QByteArray("from a pipe"));
}

void TestFiles::ownerIsChosenInside()
{
    launch("t1");
    must({"file", "push", "--uid", "1000", "--gid", "1001", "--mode", "0640", "-", "t1/tmp/theirs"}, "x");
    QCOMPARE(inside("t1", {"stat", "-c", "%u:%g %a", "/tmp/theirs"}), QByteArray("1000:1001 640"));
}

void TestFiles::foldersGoRecursively()
{
    launch("t1");
    QDir(m_box.directory()).mkpath("tree/a/b");
    fileWith("tree/one", "1");
    fileWith("tree/a/b/two", "2");
    must({"file", "push", "-r", "-p", m_box.directory() + "/tree", "t1/srv/deep"});
    QCOMPARE(inside("t1", {"cat", "/srv/deep/tree/one", "/srv/deep/tree/a/b/two"}), QByteArray("12"));
    QDir(m_box.directory()).mkpath("pulled");
    must({"file", "pull", "-r", "t1/srv/deep/tree", m_box.directory() + "/pulled"});
    QFile two(m_box.directory() + "/pulled/tree/a/b/two");
    QVERIFY(two.open(QIODevice::ReadOnly));
    QCOMPARE(two.readAll(), QByteArray("2"));
}

void TestFiles::mkdirAndDelete()
{
    launch("t1");
    must({"file", "mkdir", "-p", "t1/srv/x/y"});
    QCOMPARE(exec("t1", {"test", "-d", "/srv/x/y"}).status, 0);
    must({"file", "delete", "t1/srv/x/y"});
    QCOMPARE(exec("t1", {"test", "-e", "/srv/x/y"}).status, 1);
}

void TestFiles::missingFileIsNotFound()
{
    launch("t1");
    const Run missing = m_box.cli({"file", "pull", "t1/no/such/file", "-"});
    RUN_ENDS(missing, 3);
    QVERIFY2(missing.err.contains("/no/such/file") || missing.err.contains("no/such/file"), missing.told());
    RUN_ENDS(m_box.cli({"file", "pull", "nobody/etc/passwd", "-"}), 3);
}

void TestFiles::linksOfAGuestDoNotLeadOut_data()
{
    QTest::addColumn<QString>("make");
    QTest::addColumn<QString>("path");
    QTest::newRow("absolute link") << "ln -s /etc/lxmgr-host-secret /l" << "l";
    QTest::newRow("upward link") << "ln -s ../../../../../../../../etc/lxmgr-host-secret /l" << "l";
    QTest::newRow("folder link") << "ln -s ../../../../../../../../etc /l" << "l/lxmgr-host-secret";
    QTest::newRow("dots in the path") << "true" << "../../../../../etc/lxmgr-host-secret";
    QTest::newRow("through /proc") << "ln -s /proc/1/root/../../../etc /l" << "l/lxmgr-host-secret";
}

void TestFiles::linksOfAGuestDoNotLeadOut()
{
    QFETCH(QString, make);
    QFETCH(QString, path);
    // The host's file of that name is made where a path that leads out would end.
    QFile secret("/etc/lxmgr-host-secret");
    QVERIFY(secret.open(QIODevice::WriteOnly));
    secret.write("content-outside");
    secret.close();
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", make});
    const Run running = m_box.cli({"file", "pull", "t1/" + path, "-"});
    must({"file", "push", "-", "t1/tmp/harmless"}, "x");
    const Run pushed = m_box.cli({"file", "push", "-", "t1/" + path}, "guest");
    must({"stop", "--force", "t1"});
    const Run stopped = m_box.cli({"file", "pull", "t1/" + path, "-"});
    QFile after(secret.fileName());
    const bool readable = after.open(QIODevice::ReadOnly);
    const QByteArray content = after.readAll();
    QFile::remove(secret.fileName());
    QVERIFY2(!running.out.contains("content-outside"), running.told());
    QVERIFY2(!stopped.out.contains("content-outside"), stopped.told());
    QVERIFY2(readable && content == "content-outside", pushed.told());
}

void TestFiles::editTakesStandardInput()
{
    launch("t1");
    must({"exec", "t1", "--", "sh", "-c", "echo old > /root/f; chmod 600 /root/f"});
    must({"file", "edit", "t1/root/f"}, "new\n");
    QCOMPARE(inside("t1", {"cat", "/root/f"}), QByteArray("new"));
    QCOMPARE(inside("t1", {"stat", "-c", "%a", "/root/f"}), QByteArray("600"));
}

void TestFiles::deviceAndPipeDoNotHang()
{
    launch("t1");
    must({"exec", "t1", "--", "mkfifo", "/root/pipe"});
    const Run pipe = m_box.cli({"file", "pull", "t1/root/pipe", "-"}, {}, 10000);
    QVERIFY2(pipe.status > 0, pipe.told());
}

QTEST_GUILESS_MAIN(TestFiles)
#include "tst_guest_files.moc"

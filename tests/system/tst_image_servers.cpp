// Images of other servers: fetched, resumed, refused when they are not what was promised, kept up to date, and copied between daemons.
#include "support/cut_line.h"
#include "support/image_server.h"
#include "support/system_test.h"

#include <QCryptographicHash>
#include <QDir>
#include <QDirIterator>
#include <QFile>
#include <QStandardPaths>
#include <sqlite3.h>

using namespace lxmgr::test;

namespace
{

QByteArray contentOf(const QString &path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

} // namespace

class TestImageServers : public SystemTest
{
    Q_OBJECT
private slots:
    void whatAServerHasIsShown();
    void oldTlsIsGoodEnough();
    void instancesAreMadeOfWhatAServerHas();
    void whatWasCutOffIsGoneOnWith_data();
    void whatWasCutOffIsGoneOnWith();
    void aSplitImageOfADaemonIsGoneOnWith_data();
    void aSplitImageOfADaemonIsGoneOnWith();
    void aKilledDaemonGoesOn();
    void aKilledDaemonGoesOnWithASplitImageOfADaemon();
    void otherBytesAreRefused();
    void cancelledDownloadsEndAtOnce();
    void oneDownloadServesAll();
    void newerVersionsTakeThePlaceOfOlderOnes();
    void imagesAreKeptUpToDate();
    void cachedImagesGoWhenUnused();
    void namesAreLookedForEverywhere();
    void addressesLeadToImages();
    void restrictedProjectsAskNobodyElse();
    void lxcTakesImagesFromServers();
    void imagesGoFromDaemonToDaemon();
    void aSplitImageSurvivesItsDaemon();
    void aPrivateImageGoesOnWithTheNextSecret();
    void imagesAreCarriedOver();

private:
    void prepare() override;
    /// A small busybox system that says `tag` in /etc/tag.
    QByteArray unified(const QByteArray &tag);
    QList<StreamItem> split(const QByteArray &tag, const QString &folder);
    void tree(const QByteArray &tag);
    QByteArray pack(const QString &folder, const QString &compression, const QStringList &entries);
    QByteArray offer(const QString &version, const QByteArray &tag);
    /// The same of no list, but as a daemon has it.
    QString putSplit(const QByteArray &tag, const QByteArray &etag);
    Reply pull(const QString &server, const QString &fingerprint, const QByteArray &certificate = {});
    Reply ended(const Reply &begun);
    QByteArray property(const QString &image, const QByteArray &line);
    QStringList partial();
    void removeImages();
    void sql(const QByteArray &statement);
    Run lxc(const QStringList &args);
    Run far(const QStringList &args);
    void imagesOfAnotherProject();
    bool startFar();
    void stopFar();

    std::unique_ptr<ImageServer> m_server;
    QJsonObject m_products;
    QList<StreamItem> m_last; ///< What was offered last.
    QString m_work;
    QProcess m_far;
};

void TestImageServers::prepare()
{
    for (const char *program : {"curl", "openssl", "tar", "xz"})
        if (QStandardPaths::findExecutable(program).isEmpty())
            QSKIP(program);
    m_work = m_box.directory() + "/work";
    QDir().mkpath(m_work + "/tree");
    QDir().mkpath(m_box.directory() + "/lxc-conf");
    m_server = std::make_unique<ImageServer>(m_work);
    qputenv("SSL_CERT_FILE", m_server->authority().toUtf8());
    m_box.stopDaemon();
    QVERIFY(m_box.startDaemon());
    must({"image", "export", "busybox", m_work + "/busybox.tar.zst"});
    RUN_OK(run({"tar", "-C", m_work + "/tree", "--numeric-owner", "-xaf", m_work + "/busybox.tar.zst"}));
    must({"remote", "add", "acme", m_server->url(), "--protocol", "simplestreams"});
    must({"config", "set", "images.servers=acme=" + m_server->url()});
    const QByteArray noise = QCryptographicHash::hash("lxmgr", QCryptographicHash::Sha256);
    QByteArray large; // that no compression makes small
    for (int i = 0; large.size() < 400'000; ++i)
        large += QCryptographicHash::hash(noise + QByteArray::number(i), QCryptographicHash::Sha256);
    QFile file(m_work + "/tree/rootfs/noise");
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write(large) == large.size());
}

void TestImageServers::tree(const QByteArray &tag)
{
    QFile file(m_work + "/tree/rootfs/etc/tag");
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write(tag) == tag.size());
}

QByteArray TestImageServers::pack(const QString &folder, const QString &compression, const QStringList &entries)
{
    const QString file = m_work + "/packed";
    const Run packed = run(QStringList{"tar", "-C", folder, "--numeric-owner", compression, "-cf", file} + entries);
    if (!packed.ok())
        qWarning("%s", packed.told().constData());
    return contentOf(file);
}

QByteArray TestImageServers::unified(const QByteArray &tag)
{
    tree(tag);
    return pack(m_work + "/tree", "-z", {"metadata.yaml", "templates", "rootfs"});
}

QList<StreamItem> TestImageServers::split(const QByteArray &tag, const QString &folder)
{
    tree(tag);
    return {{"lxd.tar.xz", folder + "/lxd.tar.xz", pack(m_work + "/tree", "-J", {"metadata.yaml", "templates"})},
            {"root.tar.xz", folder + "/root.tar.xz", pack(m_work + "/tree/rootfs", "-J", {"."})}};
}

/// One more version of "test/1", in two files.
QByteArray TestImageServers::offer(const QString &version, const QByteArray &tag)
{
    m_last = split(tag, "images/" + version);
    const QByteArray fingerprint = putProduct(*m_server, m_products, "test:1:amd64", "test/1,test", version, m_last);
    putIndex(*m_server, m_products);
    m_server->takeRequests();
    return fingerprint;
}

QString TestImageServers::putSplit(const QByteArray &tag, const QByteArray &etag)
{
    const QList<StreamItem> items = split(tag, "x");
    const QString fingerprint = QString::fromUtf8(QCryptographicHash::hash(items[0].content + items[1].content, QCryptographicHash::Sha256).toHex());
    const QJsonObject shown{{"fingerprint", fingerprint}, {"size", items[0].content.size() + items[1].content.size()}, {"type", "container"}, {"public", true}};
    const auto answer = [&](const QString &path, const QJsonObject &metadata) {
        m_server->put(path, QJsonDocument(QJsonObject{{"type", "sync"}, {"status", "Success"}, {"status_code", 200}, {"metadata", metadata}}).toJson());
    };
    answer("1.0/images/aliases/" + fingerprint, {{"name", fingerprint}, {"target", fingerprint}});
    answer("1.0/images/" + fingerprint, shown);
    m_server->putForm("1.0/images/" + fingerprint + "/export", items[0].content, items[1].content, etag);
    m_server->takeRequests();
    return fingerprint;
}

Reply TestImageServers::pull(const QString &server, const QString &fingerprint, const QByteArray &certificate)
{
    return m_box.rest("POST", "/1.0/images", {{"source", QJsonObject{{"type", "image"}, {"mode", "pull"}, {"protocol", "lxd"}, {"server", server},
                                                                        {"fingerprint", fingerprint}, {"certificate", QString::fromUtf8(certificate)}}}});
}

Reply TestImageServers::ended(const Reply &begun) { return m_box.rest("GET", begun.body.value("operation").toString().toUtf8() + "/wait?timeout=60"); }

QByteArray TestImageServers::property(const QString &image, const QByteArray &line)
{
    for (const QByteArray &each : m_box.text({"image", "info", image}).split('\n'))
        if (each.trimmed().startsWith(line + ":"))
            return each.trimmed().mid(line.size() + 1).trimmed();
    return {};
}

QStringList TestImageServers::partial() { return QDir(m_box.stateDir() + "/images").entryList({".part-*"}, QDir::Files | QDir::Hidden); }

/// All but busybox.
void TestImageServers::removeImages()
{
    for (const QByteArray &line : m_box.text({"image", "list", "-f", "csv", "-c", "Fl"}).split('\n'))
        if (!line.isEmpty() && !line.contains("busybox"))
            must({"image", "delete", QString::fromUtf8(line.left(64))});
    m_products = {};
    m_server->clear();
}

void TestImageServers::sql(const QByteArray &statement)
{
    sqlite3 *db = nullptr;
    char *why = nullptr;
    sqlite3_open((m_box.stateDir() + "/lxmgr.db").toUtf8().constData(), &db);
    const int done = sqlite3_exec(db, statement.constData(), nullptr, nullptr, &why);
    sqlite3_close(db);
    QVERIFY2(done == SQLITE_OK, why ? why : "");
}

void TestImageServers::whatAServerHasIsShown()
{
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    QCOMPARE(m_box.text({"image", "list", "acme:", "-f", "csv", "-c", "lFat"}), "test/1 (3 more)," + fingerprint + ",x86_64,CONTAINER");
    QCOMPARE(m_box.text({"image", "list", "acme:", "os=other", "-f", "csv"}), QByteArray());
    const QByteArray info = m_box.text({"image", "info", "acme:test"});
    QVERIFY2(info.contains("Fingerprint: " + fingerprint) && info.contains("serial: 20260101_00:00"), info);
    const Run none = m_box.cli({"image", "info", "acme:other"});
    QVERIFY2(none.status == 3 && none.err.contains("'other'"), none.told());
    const Run wrong = m_box.cli({"list", "acme:"});
    QVERIFY2(!wrong.ok() && wrong.err.contains("image server"), wrong.told());
    removeImages();
}

void TestImageServers::oldTlsIsGoodEnough()
{
    ImageServer old(m_work, ImageServer::Tls::Old);
    QJsonObject products;
    const QByteArray fingerprint = putProduct(old, products, "old:1:amd64", "old", "1", {{"lxd_combined.tar.gz", "old.tar.gz", "no image"}});
    putIndex(old, products);
    must({"remote", "add", "old", old.url(), "--protocol", "simplestreams"});
    QCOMPARE(m_box.text({"image", "list", "old:", "-f", "csv", "-c", "F"}), fingerprint);
    const Run none = m_box.cli({"image", "copy", "old:old", "local:"}); // what has the right hash, and is no image
    QVERIFY2(!none.ok() && !none.err.contains("reach"), none.told());
    QCOMPARE(partial(), QStringList());
    must({"remote", "remove", "old"});
}

void TestImageServers::instancesAreMadeOfWhatAServerHas()
{
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    must({"launch", "acme:test/1", "t1"});
    QCOMPARE(inside("t1", {"cat", "/etc/tag"}), QByteArray("one"));
    QCOMPARE(property(fingerprint.left(12), "Cached"), QByteArray("yes"));
    QCOMPARE(property(fingerprint.left(12), "Auto update"), QByteArray("enabled"));
    QCOMPARE(property(fingerprint.left(12), "Alias"), QByteArray("test/1"));
    QCOMPARE(m_server->takeRequests().filter("root.tar.xz").size(), 1);
    // The next one asks nobody; and it works where there is nobody to ask.
    must({"create", "acme:test/1", "t2"});
    QCOMPARE(m_server->takeRequests(), QStringList());
    putProduct(*m_server, m_products, "whole:1:amd64", "whole", "1", {{"lxd_combined.tar.gz", "whole.tar.gz", unified("whole")}});
    putIndex(*m_server, m_products);
    must({"launch", "acme:whole", "t3"});
    QCOMPARE(inside("t3", {"cat", "/etc/tag"}), QByteArray("whole"));
    deleteAll();
    removeImages();
}

void TestImageServers::whatWasCutOffIsGoneOnWith_data()
{
    QTest::addColumn<bool>("whole");
    QTest::newRow("by the server") << false;
    QTest::newRow("by a server that knows no ranges") << true;
}

void TestImageServers::whatWasCutOffIsGoneOnWith()
{
    QFETCH(bool, whole);
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    m_server->ignoreRanges(whole);
    m_server->cutAfter(150'000, whole ? 1 : 2);
    must({"image", "copy", "acme:test/1", "local:", "--alias", "mine"});
    QCOMPARE(property("mine", "Fingerprint"), fingerprint);
    const QStringList parts = m_server->takeRequests().filter("root.tar.xz");
    QCOMPARE(parts.size(), whole ? 2 : 3);
    QVERIFY2(parts[1].endsWith("bytes=150000-"), qPrintable(parts.join('\n')));
    QVERIFY2(whole || parts[2].endsWith("bytes=300000-"), qPrintable(parts.join('\n')));
    QCOMPARE(partial(), QStringList());
    removeImages();
}

void TestImageServers::aKilledDaemonGoesOn()
{
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    m_server->stall(true);
    QProcess copy;
    copy.setProcessEnvironment(m_box.environment());
    copy.start(Sandbox::program("lxmgr"), {"image", "copy", "acme:test/1", "local:"});
    const QString part = m_box.stateDir() + "/images/.part-" + QString::fromUtf8(fingerprint) + ".rootfs";
    QVERIFY(Sandbox::eventually([&] { return QFile(part).size() > 0; }));
    m_server->takeRequests();
    m_box.killDaemon();
    QVERIFY(copy.waitForFinished());
    QVERIFY(copy.exitCode() != 0);
    m_server->stall(false);
    m_server->cutAfter(200'000, 100);
    QVERIFY(m_box.startDaemon());
    const qint64 had = QFile(part).size();
    must({"image", "copy", "acme:test/1", "local:", "--alias", "mine"});
    QCOMPARE(property("mine", "Fingerprint"), fingerprint);
    const QStringList asked = m_server->takeRequests().filter("tar.xz");
    QVERIFY2(asked[0].endsWith(QString("root.tar.xz bytes=%1-").arg(had)), qPrintable(asked.join('\n')));
    removeImages();
}

void TestImageServers::aSplitImageOfADaemonIsGoneOnWith_data()
{
    QTest::addColumn<QByteArray>("etag");
    QTest::addColumn<bool>("whole");
    QTest::newRow("in the middle of its form") << QByteArray("one") << false;
    QTest::newRow("by one that sends all again") << QByteArray("one") << true;
    QTest::newRow("by one that does not say whether it is the same") << QByteArray() << true;
}

void TestImageServers::aSplitImageOfADaemonIsGoneOnWith()
{
    QFETCH(QByteArray, etag);
    QFETCH(bool, whole);
    const QString fingerprint = putSplit(QTest::currentDataTag(), etag);
    m_server->ignoreRanges(whole);
    m_server->cutAfter(150'000, whole ? 1 : 2);
    const Reply done = ended(pull(m_server->url(), fingerprint));
    QVERIFY2(done.raw.contains("\"err\":\"\""), done.raw);
    QCOMPARE(property(fingerprint, "Fingerprint"), fingerprint.toUtf8());
    const QStringList asked = m_server->takeRequests().filter("/export");
    QCOMPARE(asked.size(), whole ? 2 : 3);
    const auto from = [&](int i) { return asked[i].section("bytes=", 1).chopped(1).toLongLong(); };
    // What could be the beginning of a boundary has not been taken for a part's content yet, and comes again.
    QVERIFY2(etag.isEmpty() ? !asked[1].contains("bytes=") : from(1) > 149'900 && from(1) <= 150'000, qPrintable(asked.join('\n')));
    QVERIFY2(whole || (from(2) > 299'800 && from(2) <= 300'000), qPrintable(asked.join('\n')));
    QCOMPARE(partial(), QStringList());
    must({"launch", fingerprint, "t1"});
    QCOMPARE(inside("t1", {"cat", "/etc/tag"}), QByteArray(QTest::currentDataTag()));
    deleteAll();
    removeImages();
}

void TestImageServers::aKilledDaemonGoesOnWithASplitImageOfADaemon()
{
    const QString fingerprint = putSplit("killed", "one");
    m_server->stall(true, 100'000);
    QVERIFY(pull(m_server->url(), fingerprint).raw.contains("\"status_code\":100"));
    const QString part = m_box.stateDir() + "/images/.part-" + fingerprint + ".rootfs";
    QVERIFY(Sandbox::eventually([&] { return QFile(part).size() > 90'000; }));
    m_box.killDaemon();
    m_server->stall(false);
    m_server->takeRequests();
    QVERIFY(m_box.startDaemon());
    const Reply done = ended(pull(m_server->url(), fingerprint));
    QVERIFY2(done.raw.contains("\"err\":\"\""), done.raw);
    const QStringList asked = m_server->takeRequests().filter("/export");
    QVERIFY2(asked.size() == 1 && asked[0].section("bytes=", 1).chopped(1).toLongLong() > 90'000, qPrintable(asked.join('\n')));
    QCOMPARE(partial(), QStringList());
    // Another one in its place with the same name: what is here is of no use, and that is noticed at the end at the latest.
    removeImages();
    const QString lied = putSplit("lied", "one");
    QVERIFY(QDir(m_box.stateDir() + "/images").exists());
    for (const QString &end : {QString(), QString(".rootfs"), QString(".note")}) {
        QFile file(m_box.stateDir() + "/images/.part-" + lied + end);
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(end == ".note" ? "1\n1000\n\"one\"\nmultipart/form-data; boundary=boundary-of-the-test" : "something else");
    }
    const Reply noticed = ended(pull(m_server->url(), lied));
    QVERIFY2(noticed.raw.contains("\"err\":\"\""), noticed.raw);
    QCOMPARE(m_server->takeRequests().filter("/export").size(), 2);
    QCOMPARE(partial(), QStringList());
    removeImages();
}

void TestImageServers::otherBytesAreRefused()
{
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    const QByteArray good = m_last[1].content;
    QByteArray bad = good;
    bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
    m_server->put("images/20260101_00:00/root.tar.xz", bad);
    const Run changed = m_box.cli({"image", "copy", "acme:test/1", "local:"});
    QVERIFY2(changed.status == 14 && changed.err.contains("fingerprint"), changed.told());
    m_server->put("images/20260101_00:00/root.tar.xz", good + "more");
    const Run longer = m_box.cli({"image", "copy", "acme:test/1", "local:"});
    QVERIFY2(longer.status == 14 && longer.err.contains("more comes"), longer.told());
    m_server->put("images/20260101_00:00/root.tar.xz", good.left(1000));
    const Run shorter = m_box.cli({"image", "copy", "acme:test/1", "local:"});
    QVERIFY2(!shorter.ok(), shorter.told());
    QVERIFY(!m_box.text({"image", "list", "-f", "csv", "-c", "F"}).contains(fingerprint));
    m_server->put("images/20260101_00:00/root.tar.xz", bad);
    QVERIFY(!m_box.cli({"image", "copy", "acme:test/1", "local:"}).ok()); // from what the short one left, then anew
    QCOMPARE(partial(), QStringList());
    // Somebody in between, whom no authority vouches for.
    QFile::rename(m_server->authority(), m_work + "/away");
    RUN_OK(run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=other", "-keyout",
                m_work + "/other.key", "-out", m_server->authority()}));
    const Run unknown = m_box.cli({"image", "copy", "acme:test/1", "local:"});
    QFile::remove(m_server->authority());
    QFile::rename(m_work + "/away", m_server->authority());
    QVERIFY2(unknown.status == 7 && unknown.err.contains("not vouched for"), unknown.told());
    const Run plain = m_box.cli({"remote", "add", "plain", "http://192.0.2.1", "--protocol", "simplestreams"});
    QVERIFY2(!plain.ok() && plain.err.contains("https"), plain.told());
    removeImages();
}

void TestImageServers::cancelledDownloadsEndAtOnce()
{
    offer("20260101_00:00", "one");
    m_server->stall(true);
    const Reply begun = m_box.rest("POST", "/1.0/images", {{"source", QJsonObject{{"type", "image"}, {"mode", "pull"}, {"server", m_server->url()},
                                                                                     {"protocol", "simplestreams"}, {"alias", "test/1"}}}});
    QCOMPARE(begun.status, 202);
    const QByteArray operation = begun.body.value("operation").toString().toUtf8();
    QVERIFY(Sandbox::eventually([&] { return !partial().isEmpty(); }));
    QCOMPARE(m_box.rest("DELETE", operation).status, 200);
    const Reply ended = m_box.rest("GET", operation + "/wait?timeout=10");
    QCOMPARE(ended.body.value("metadata").toObject().value("status").toString(), QString("Cancelled"));
    QCOMPARE(partial(), QStringList());
    removeImages();
}

void TestImageServers::oneDownloadServesAll()
{
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    m_server->stall(true);
    std::vector<std::unique_ptr<QProcess>> copies;
    for (const char *alias : {"a", "b", "c"}) {
        copies.push_back(std::make_unique<QProcess>());
        copies.back()->setProcessEnvironment(m_box.environment());
        copies.back()->start(Sandbox::program("lxmgr"), {"image", "copy", "acme:test/1", "local:", "--alias", alias});
    }
    QVERIFY(Sandbox::eventually([&] { return !partial().isEmpty(); }));
    // All three have asked what there is.
    QStringList asked;
    QVERIFY(Sandbox::eventually([&] { return (asked += m_server->takeRequests()).filter("images.json").size() == 3; }));
    m_server->stall(false);
    for (const auto &copy : copies) {
        QVERIFY(copy->waitForFinished(60'000));
        QVERIFY2(copy->exitCode() == 0, copy->readAllStandardError());
    }
    asked += m_server->takeRequests();
    QCOMPARE(asked.filter("tar.xz").size(), 2);
    for (const char *alias : {"a", "b", "c"})
        QCOMPARE(property(alias, "Fingerprint"), fingerprint);
    removeImages();
    // The one at work gives up: the other goes on.
    offer("20260101_00:00", "one");
    m_server->stall(true);
    const QJsonObject wanted{{"source", QJsonObject{{"type", "image"}, {"server", m_server->url()}, {"protocol", "simplestreams"}, {"alias", "test/1"}}}};
    const QByteArray first = m_box.rest("POST", "/1.0/images", wanted).body.value("operation").toString().toUtf8();
    QVERIFY(Sandbox::eventually([&] { return !partial().isEmpty(); }));
    m_server->takeRequests();
    const QByteArray second = m_box.rest("POST", "/1.0/images", wanted).body.value("operation").toString().toUtf8();
    QVERIFY(Sandbox::eventually([&] { return m_server->takeRequests().filter("images.json").size() == 1; }));
    QCOMPARE(m_box.rest("DELETE", first).status, 200);
    m_server->stall(false);
    QCOMPARE(m_box.rest("GET", second + "/wait?timeout=30").body.value("metadata").toObject().value("status").toString(), QString("Success"));
    removeImages();
}

void TestImageServers::newerVersionsTakeThePlaceOfOlderOnes()
{
    const QByteArray first = offer("20260101_00:00", "one");
    must({"image", "copy", "acme:test/1", "local:", "--alias", "mine", "--copy-aliases"});
    must({"create", "mine", "t1"});
    QVERIFY(m_box.text({"image", "refresh", "mine"}).contains("is the newest there is"));
    const QByteArray second = offer("20260201_00:00", "two");
    QVERIFY(m_box.text({"image", "refresh", "mine"}).contains("is now " + second.left(12)));
    QCOMPARE(property("mine", "Fingerprint"), second);
    QCOMPARE(property("test", "Fingerprint"), second);
    RUN_ENDS(m_box.cli({"image", "info", QString::fromUtf8(first)}), 3);
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/etc/tag"}), QByteArray("one"));
    must({"launch", "mine", "t2"});
    QCOMPARE(inside("t2", {"cat", "/etc/tag"}), QByteArray("two"));
    const Run own = m_box.cli({"image", "refresh", "busybox"});
    QVERIFY2(own.status == 6 && own.err.contains("template build"), own.told());
    deleteAll();
    removeImages();
}

void TestImageServers::imagesAreKeptUpToDate()
{
    offer("20260101_00:00", "one");
    must({"image", "copy", "acme:test/1", "local:", "--alias", "mine", "--auto-update"});
    QCOMPARE(property("mine", "Auto update"), QByteArray("enabled"));
    const QByteArray second = offer("20260201_00:00", "two");
    m_box.stopDaemon();
    sql("UPDATE image_sources SET checked_at = 1");
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return property("mine", "Fingerprint") == second; }));
    // By hand it can be had no more than by itself, and back.
    const QByteArray path = "/1.0/images/" + second;
    QCOMPARE(m_box.rest("PATCH", path, {{"auto_update", false}}).status, 200);
    QCOMPARE(property("mine", "Auto update"), QByteArray("disabled"));
    QCOMPARE(m_box.rest("PATCH", path, {{"auto_update", true}}).status, 200);
    const QByteArray busybox = property("busybox", "Fingerprint");
    QCOMPARE(m_box.rest("PATCH", "/1.0/images/" + busybox, {{"auto_update", true}}).status, 400);
    removeImages();
}

void TestImageServers::cachedImagesGoWhenUnused()
{
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    must({"create", "acme:test/1", "t1"});
    deleteAll();
    m_box.stopDaemon();
    sql("UPDATE images SET last_used_at = 1000, uploaded_at = 1000 WHERE cached = 1");
    QVERIFY(m_box.startDaemon());
    QVERIFY(Sandbox::eventually([&] { return !m_box.text({"image", "list", "-f", "csv", "-c", "F"}).contains(fingerprint); }));
    removeImages();
}

void TestImageServers::namesAreLookedForEverywhere()
{
    offer("20260101_00:00", "one");
    const Run taken = m_box.cli({"launch", "test", "t1"});
    RUN_OK(taken);
    QVERIFY2(taken.err.contains("of image server 'acme' (" + m_server->url().toUtf8()), taken.told());
    QCOMPARE(inside("t1", {"cat", "/etc/tag"}), QByteArray("one"));
    m_server->takeRequests();
    must({"create", "test", "t2"});
    must({"create", "busybox", "t3"});
    QCOMPARE(m_server->takeRequests(), QStringList());
    const Run none = m_box.cli({"launch", "nosuch", "t4"});
    QVERIFY2(none.status == 3 && none.err.contains("local store") && none.err.contains("image server 'acme'") && none.err.contains("template"), none.told());
    // Servers that cannot be reached cost no time; a template is what is left.
    must({"config", "set", "images.servers=far=https://images.example.org acme=https://127.0.0.1:9"});
    const Run away = m_box.cli({"launch", "alpine", "t4"});
    QVERIFY2(!away.ok() && away.err.contains("no route to the network") && away.err.contains("'acme' (https://127.0.0.1:9): cannot reach"), away.told());
    QVERIFY2(away.err.contains("template"), away.told());
    must({"config", "set", "images.servers=none"});
    QVERIFY(!m_box.cli({"launch", "nosuch", "t4"}).err.contains("image server"));
    must({"config", "set", "images.servers=acme=" + m_server->url()});
    deleteAll();
    removeImages();
}

void TestImageServers::addressesLeadToImages()
{
    const QByteArray image = unified("linked");
    const QByteArray fingerprint = QCryptographicHash::hash(image, QCryptographicHash::Sha256).toHex();
    m_server->put("files/linked.tar.gz", image);
    m_server->putLink("linked", fingerprint, "/files/linked.tar.gz");
    m_server->cutAfter(100'000, 1);
    must({"image", "import", m_server->url() + "/linked", "--alias", "mine", "note=kept"});
    QCOMPARE(property("mine", "Fingerprint"), fingerprint);
    QCOMPARE(property("mine", "note"), QByteArray("kept"));
    const Run none = m_box.cli({"image", "import", m_server->url() + "/files/linked.tar.gz"});
    QVERIFY2(none.status == 4 && none.err.contains("LXD-Image-Hash"), none.told());
    m_server->putLink("lying", QByteArray(64, '0'), m_server->url().toUtf8() + "/files/linked.tar.gz");
    RUN_ENDS(m_box.cli({"image", "import", m_server->url() + "/lying"}), 14);
    removeImages();
}

void TestImageServers::restrictedProjectsAskNobodyElse()
{
    offer("20260101_00:00", "one");
    must({"project", "create", "team1", "restricted=true", "restricted.images.servers=images.example.org"});
    const Run refused = m_box.cli({"image", "copy", "acme:test/1", "local:", "--project", "team1"});
    QVERIFY2(refused.status == 7 && refused.err.contains("restricted.images.servers"), refused.told());
    QCOMPARE(m_server->takeRequests(), QStringList());
    must({"project", "unset", "team1", "restricted.images.servers"}); // those of images.servers
    must({"image", "copy", "acme:test/1", "local:", "--project", "team1"});
    for (const QByteArray &line : m_box.text({"image", "list", "-f", "csv", "-c", "F", "--project", "team1"}).split('\n'))
        must({"image", "delete", QString::fromUtf8(line), "--project", "team1"});
    must({"project", "delete", "team1"});
    removeImages();
}

Run TestImageServers::lxc(const QStringList &args)
{
    RunOptions options;
    options.environment = m_box.environment();
    options.environment.insert("LXD_SOCKET", m_box.socket());
    options.environment.insert("LXD_CONF", m_box.directory() + "/lxc-conf");
    options.timeoutMs = 120000;
    return run(QStringList{"lxc"} + args, options);
}

void TestImageServers::lxcTakesImagesFromServers()
{
    if (QStandardPaths::findExecutable("lxc").isEmpty())
        QSKIP("needs the lxc client of package lxd-client");
    const QByteArray fingerprint = offer("20260101_00:00", "one");
    RUN_OK(lxc({"remote", "add", "acme", m_server->url(), "--protocol", "simplestreams"}));
    RUN_OK(lxc({"launch", "acme:test/1", "t1"}));
    QCOMPARE(inside("t1", {"cat", "/etc/tag"}), QByteArray("one"));
    RUN_OK(lxc({"image", "copy", "acme:test/1", "local:", "--alias", "mine", "--auto-update"}));
    QCOMPARE(property("mine", "Fingerprint"), fingerprint);
    QCOMPARE(property("mine", "Cached"), QByteArray("no"));
    RUN_OK(lxc({"image", "refresh", "mine"}));
    deleteAll();
    removeImages();
}

/// `lxmgr args…` to another daemon of this network.
Run TestImageServers::far(const QStringList &args)
{
    RunOptions options;
    options.environment = m_box.environment();
    options.environment.insert("LXMGR_DIR", m_box.directory() + "/far");
    options.environment.insert("LXMGR_RUN_DIR", m_box.directory() + "/far-run");
    options.environment.insert("LXMGR_CONF", m_box.directory() + "/far-conf");
    options.environment.insert("LXMGR_CGROUP", "lxmgr-far" + QString::number(::getpid()));
    options.timeoutMs = 120000;
    if (args.isEmpty()) {
        m_far.setProcessEnvironment(options.environment);
        m_far.setStandardOutputFile(m_box.directory() + "/far.log", QIODevice::Append);
        m_far.setProcessChannelMode(QProcess::MergedChannels);
        m_far.start(Sandbox::program("lxmgrd"), {"--no-defaults"});
        m_far.waitForStarted();
        return {};
    }
    return run(QStringList{Sandbox::program("lxmgr")} + args, options);
}

bool TestImageServers::startFar()
{
    if (m_far.state() != QProcess::Running)
        far({});
    return Sandbox::eventually([&] { return QFile::exists(m_box.directory() + "/far-run/unix.socket") && far({"version"}).out.contains("Server"); });
}

void TestImageServers::stopFar()
{
    m_far.terminate();
    QVERIFY(m_far.waitForFinished(20'000));
}

/// One image private and one public, each in a project of its server that is not default.
void TestImageServers::imagesOfAnotherProject()
{
    RUN_OK(far({"project", "create", "crew"}));
    QFile file(m_work + "/crew.tar.gz");
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write(unified("crew")) > 0);
    file.close();
    RUN_OK(far({"image", "import", file.fileName(), "--alias", "ours", "--project", "crew"}));
    const QByteArray print = far({"image", "list", "-f", "csv", "-c", "F", "--project", "crew"}).out.trimmed();
    must({"remote", "add", "crew", "https://127.0.0.1:8447", "--accept-certificate", "--project", "crew"});
    must({"image", "copy", "crew:ours", "local:", "--alias", "ours"});
    QCOMPARE(m_box.text({"image", "list", "ours", "-f", "csv", "-c", "F"}), print);
    must({"image", "delete", "ours"});
    RUN_OK(far({"query", "-X", "PATCH", "-d", "{\"public\":true}", "/1.0/images/" + QString::fromUtf8(print) + "?project=crew"}));
    const Run updated = m_box.cli({"image", "copy", "crew:ours", "local:", "--auto-update"});
    QVERIFY2(!updated.ok() && updated.err.contains("project default"), updated.told());
    must({"image", "copy", "crew:ours", "local:", "--alias", "ours"});
    QCOMPARE(property("ours", "Auto update"), QByteArray("disabled"));
    must({"launch", "crew:ours", "t9"});
    QCOMPARE(inside("t9", {"cat", "/etc/tag"}), QByteArray("crew"));
    const Run elsewhere = m_box.cli({"image", "copy", "far:ours", "local:"});
    QVERIFY2(!elsewhere.ok() && elsewhere.err.contains("no image is called 'ours'"), elsewhere.told());
    must({"delete", "--force", "--purge", "t9"});
    must({"image", "delete", "ours"});
    must({"remote", "remove", "crew"});
}

void TestImageServers::imagesGoFromDaemonToDaemon()
{
    QVERIFY(startFar());
    QFile file(m_work + "/whole.tar.gz");
    QVERIFY(file.open(QIODevice::WriteOnly) && file.write(unified("far")) > 0);
    file.close();
    RUN_OK(far({"image", "import", file.fileName(), "--alias", "whole", "note=kept"}));
    for (const StreamItem &item : split("parts", "x")) {
        QFile part(m_work + "/" + item.ftype);
        QVERIFY(part.open(QIODevice::WriteOnly) && part.write(item.content) == item.content.size());
    }
    RUN_OK(far({"image", "import", m_work + "/lxd.tar.xz", m_work + "/root.tar.xz", "--alias", "parts", "--public"}));
    RUN_OK(far({"config", "set", "core.https_address=127.0.0.1:8447"}));
    const QByteArray token = far({"config", "trust", "add", "box", "--unrestricted", "-q"}).out.trimmed();
    must({"remote", "add", "far", QString::fromUtf8(token)});
    // A private one by its secret, a public one by its name.
    must({"profile", "create", "web"});
    must({"image", "copy", "far:whole", "local:", "--copy-aliases", "-p", "default", "-p", "web"});
    QVERIFY2(m_box.text({"image", "info", "whole"}).contains("    - default\n    - web"), m_box.text({"image", "info", "whole"}));
    QVERIFY2(m_box.text({"image", "info", "whole"}).contains("note: kept"), m_box.text({"image", "info", "whole"}));
    QCOMPARE(property("whole", "Public"), QByteArray("no"));
    must({"launch", "whole", "t1"});
    QCOMPARE(inside("t1", {"cat", "/etc/tag"}), QByteArray("far"));
    QCOMPARE(m_box.text({"list", "t1", "-f", "csv", "-c", "P"}).replace("\n", " ").replace("\"", ""), QByteArray("default web"));
    must({"launch", "far:parts", "t2"});
    QCOMPARE(inside("t2", {"cat", "/etc/tag"}), QByteArray("parts"));
    must({"image", "copy", "far:parts", "local:", "--alias", "mine", "--auto-update", "--public"});
    QCOMPARE(property("mine", "Auto update"), QByteArray("enabled"));
    QCOMPARE(property("mine", "Public"), QByteArray("yes"));
    QVERIFY(m_box.text({"image", "refresh", "mine"}).contains("newest"));
    QVERIFY(!m_box.cli({"image", "copy", "far:nosuch", "local:"}).ok());
    imagesOfAnotherProject();
    if (!QStandardPaths::findExecutable("lxc").isEmpty()) {
        must({"image", "delete", "whole"});
        RUN_OK(lxc({"remote", "add", "far", QString::fromUtf8(far({"config", "trust", "add", "lxc", "--unrestricted", "-q"}).out.trimmed())}));
        RUN_OK(lxc({"image", "copy", "far:whole", "local:", "--copy-aliases"}));
        RUN_OK(lxc({"launch", "far:parts", "t3"}));
        QCOMPARE(inside("t3", {"cat", "/etc/tag"}), QByteArray("parts"));
        QCOMPARE(property("whole", "Public"), QByteArray("no"));
    }
    must({"delete", "--force", "--purge", "t1"});
    must({"profile", "delete", "web"});
    // Who shows another certificate than the one that was agreed on is not asked.
    const Reply other = m_box.rest("POST", "/1.0/images", {{"source", QJsonObject{{"type", "image"}, {"server", "https://127.0.0.1:8447"}, {"protocol", "lxd"},
                                                                                     {"alias", "parts"}, {"certificate", QString::fromUtf8(contentOf(m_server->authority()))}}}});
    const Reply ended = m_box.rest("GET", other.body.value("operation").toString().toUtf8() + "/wait?timeout=20");
    QVERIFY2(ended.raw.contains("another than the one agreed on"), ended.raw);
    deleteAll();
    removeImages();
    stopFar();
}

/// Byte for byte from where it was, though the daemon that has it was killed meanwhile.
void TestImageServers::aSplitImageSurvivesItsDaemon()
{
    QVERIFY(startFar());
    const QByteArray fingerprint = far({"image", "list", "parts", "-f", "csv", "-c", "F"}).out.trimmed();
    const qint64 size = QFile(m_work + "/lxd.tar.xz").size() + QFile(m_work + "/root.tar.xz").size();
    const QByteArray certificate = QJsonDocument::fromJson(far({"query", "/1.0"}).out).object()["environment"].toObject()["certificate"].toString().toUtf8();
    QVERIFY(size > 350'000 && !certificate.isEmpty());
    CutLine line(8447, 200'000);
    const Reply begun = pull(QString("https://127.0.0.1:%1").arg(line.port()), QString::fromUtf8(fingerprint), certificate);
    QVERIFY2(Sandbox::eventually([&] { return line.isCut(); }), begun.raw);
    m_far.kill();
    QVERIFY(m_far.waitForFinished());
    QVERIFY(startFar());
    line.mend();
    const Reply done = ended(begun);
    QVERIFY2(done.raw.contains("\"err\":\"\""), done.raw);
    QCOMPARE(property(QString::fromUtf8(fingerprint), "Fingerprint"), fingerprint);
    QVERIFY2(line.carried() > size && line.carried() < size + 50'000, QByteArray::number(line.carried()) + " for " + QByteArray::number(size));
    // A range of the form is for who has its beginning; what is not of it any more is refused.
    const auto ask = [&](const QStringList &headers) {
        QStringList command{"curl", "-sk", "--max-time", "20", "-o", m_work + "/form", "-D", "-"};
        for (const QString &header : headers)
            command << "-H" << header;
        return run(command << "https://127.0.0.1:8447/1.0/images/" + QString::fromUtf8(fingerprint) + "/export").out;
    };
    const QByteArray first = ask({});
    const QByteArray form = contentOf(m_work + "/form"), etag = first.mid(first.toLower().indexOf("etag: ") + 6).split('\r')[0];
    QVERIFY2(first.contains(" 200 ") && etag.startsWith('"'), first);
    QVERIFY(ask({"Range: bytes=1000-"}).contains(" 200 ") && contentOf(m_work + "/form") == form);
    QVERIFY(ask({"Range: bytes=1000-", "If-Range: \"other\""}).contains(" 200 ") && contentOf(m_work + "/form") == form);
    for (const qint64 from : {qint64(1), qint64(70), qint64(1000), form.size() - 90, form.size() - 1}) {
        const QByteArray head = ask({"Range: bytes=" + QString::number(from) + "-", "If-Range: " + QString::fromUtf8(etag)});
        QVERIFY2(head.contains(" 206 ") && head.contains("bytes " + QByteArray::number(from) + "-" + QByteArray::number(form.size() - 1) + "/"), head);
        QVERIFY(contentOf(m_work + "/form") == form.mid(from));
    }
    QVERIFY(ask({"Range: bytes=" + QString::number(form.size()) + "-", "If-Range: " + QString::fromUtf8(etag)}).contains(" 416 "));
    removeImages();
    stopFar();
}

/// A secret is good for one time: what a cut line has left is gone on with by the next copy, with a secret of its own.
void TestImageServers::aPrivateImageGoesOnWithTheNextSecret()
{
    QVERIFY(startFar());
    const QString fingerprint = QString::fromUtf8(far({"image", "list", "whole", "-f", "csv", "-c", "F"}).out.trimmed());
    const qint64 size = QFile(m_work + "/whole.tar.gz").size();
    const QString certificate = QJsonDocument::fromJson(far({"query", "/1.0"}).out).object()["environment"].toObject()["certificate"].toString();
    QVERIFY(size > 350'000 && fingerprint.size() == 64);
    CutLine line(8447, 200'000);
    const auto copy = [&] {
        const QByteArray made = far({"query", "-X", "POST", "/1.0/images/" + fingerprint + "/secret"}).out;
        const QString secret = QString::fromUtf8(made.mid(made.indexOf("\"secret\":\"") + 10, 64));
        return ended(m_box.rest("POST", "/1.0/images", {{"source", QJsonObject{{"type", "image"}, {"mode", "pull"}, {"server", QString("https://127.0.0.1:%1").arg(line.port())},
                                                                                    {"protocol", "lxd"}, {"fingerprint", fingerprint}, {"secret", secret}, {"certificate", certificate}}}}));
    };
    const Reply cut = copy();
    QVERIFY2(line.isCut() && !cut.raw.contains("\"err\":\"\""), cut.raw);
    line.mend();
    const Reply done = copy();
    QVERIFY2(done.raw.contains("\"err\":\"\""), done.raw);
    QCOMPARE(property(fingerprint, "Public"), QByteArray("no"));
    QVERIFY2(line.carried() > size && line.carried() < size + 50'000, QByteArray::number(line.carried()) + " for " + QByteArray::number(size));
    removeImages();
    stopFar();
}

void TestImageServers::imagesAreCarriedOver()
{
    QVERIFY(startFar());
    must({"image", "copy", "busybox", "far:", "--alias", "carried"}); // this daemon answers nobody on the network
    QCOMPARE(far({"image", "list", "carried", "-f", "csv", "-c", "F"}).out.trimmed(), property("busybox", "Fingerprint"));
    must({"image", "copy", "far:parts", "local:", "--mode", "relay", "--copy-aliases"});
    QCOMPARE(property("parts", "Public"), QByteArray("no"));
    must({"launch", "parts", "t1"});
    QCOMPARE(inside("t1", {"cat", "/etc/tag"}), QByteArray("parts"));
    const Run pull = m_box.cli({"image", "copy", "busybox", "far:", "--mode", "pull"});
    QVERIFY2(!pull.ok() && pull.err.contains("core.https_address"), pull.told());
    deleteAll();
    removeImages();
    // Uploaded by the daemon that has it, with a secret that is good for this image once.
    RUN_OK(far({"image", "delete", "carried"}));
    RUN_OK(far({"profile", "create", "web"}));
    must({"image", "copy", "busybox", "far:", "--mode", "push", "--alias", "carried", "-p", "web"});
    QVERIFY(far({"image", "info", "carried"}).out.contains("    - web"));
    RUN_OK(far({"profile", "delete", "web"}));
    QCOMPARE(far({"image", "list", "carried", "-f", "csv", "-c", "F"}).out.trimmed(), property("busybox", "Fingerprint"));
    RUN_ENDS(m_box.cli({"image", "copy", "busybox", "far:", "--mode", "push"}), 5);
    RUN_OK(far({"image", "delete", "carried"}));
    const QByteArray fingerprint = property("busybox", "Fingerprint");
    const QByteArray asked = far({"query", "-X", "POST", "-d", "{\"source\":{\"mode\":\"push\",\"fingerprint\":\"" + fingerprint + "\"}}", "/1.0/images"}).out;
    const QByteArray secret = asked.mid(asked.indexOf("\"secret\":\"") + 10, 64);
    const auto upload = [&](const QByteArray &print, const QByteArray &shown, const QStringList &more) {
        return run(QStringList{"curl", "-sk", "--max-time", "20", "-X", "POST", "-H", "X-LXD-fingerprint: " + print, "-H", "X-LXD-secret: " + shown} + more +
                   QStringList{"https://127.0.0.1:8447/1.0/images"})
            .out;
    };
    const QStringList bytes{"-H", "Content-Type: application/octet-stream", "--data-binary", "@" + m_work + "/busybox.tar.zst"};
    QVERIFY(upload(fingerprint, "guess", bytes).contains("\"error_code\":403"));
    QVERIFY(upload(fingerprint, "", bytes).contains("\"error_code\":403"));
    QVERIFY(upload(QByteArray(64, 'a'), secret, bytes).contains("\"error_code\":403"));
    const QByteArray image = "https://127.0.0.1:8447/1.0/images/" + fingerprint; // it is none to read with
    QVERIFY(run({"curl", "-sk", "--max-time", "20", image + "?secret=" + secret}).out.contains("\"type\":\"error\""));
    QVERIFY(upload(fingerprint, secret, bytes).contains("\"status_code\":100"));
    QVERIFY(Sandbox::eventually([&] { return far({"image", "list", "-f", "csv", "-c", "F"}).out.contains(fingerprint); }));
    QVERIFY(upload(fingerprint, secret, bytes).contains("\"error_code\":403"));
    if (!QStandardPaths::findExecutable("lxc").isEmpty()) {
        for (const QString mode : {"push", "relay"}) {
            RUN_OK(far({"image", "delete", QString::fromUtf8(fingerprint)}));
            RUN_OK(lxc({"image", "copy", "busybox", "far:", "--mode", mode}));
            QVERIFY(far({"image", "list", "-f", "csv", "-c", "F"}).out.contains(fingerprint));
        }
    }
    QVERIFY(!m_box.text({"operation", "list"}).contains("TOKEN"));
    stopFar();
}

QTEST_GUILESS_MAIN(TestImageServers)
#include "tst_image_servers.moc"

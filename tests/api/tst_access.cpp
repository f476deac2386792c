// Every route of the table, asked by a certificate that is restricted to a project of its own: it can neither see nor change what
// belongs to others, and what is there and what is not look alike to it.
#include "api/routes.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QSslConfiguration>
#include <QSslKey>
#include <QSslSocket>

#include <algorithm>

using namespace lxmgr;
using namespace lxmgr::test;

namespace
{

/// Names that stand nowhere else: of what others have, and of what nobody has.
constexpr const char *kTheirs = "zebra", *kNobodys = "gnarl";

struct Told {
    int status = 0;
    QByteArray body;
};

} // namespace

class TestAccess : public SystemTest
{
    Q_OBJECT
private slots:
    void everyRouteHasARule();
    void othersAreOutOfSight_data();
    void othersAreOutOfSight();
    void othersAreOutOfReachOfBodies_data();
    void othersAreOutOfReachOfBodies();
    void eventsOfOthersAreNotHeard();
    void nothingOfOthersHasChanged();

private:
    void prepare() override;
    void makeObjects(const QString &project);
    Told ask(const QByteArray &verb, const QByteArray &path, const QByteArray &body = {});
    /// All that others have, as an administrator sees it.
    QByteArray everything();
    QString path(const api::Route &route, bool theirs) const;
    QByteArray alike(QByteArray text) const;

    QSslSocket m_socket;
    QMap<QString, QString> m_theirs, m_nobodys; ///< Parameter of a route → value.
    QByteArray m_before;
};

void TestAccess::makeObjects(const QString &project)
{
    const QStringList in = {"--project", project};
    if (project != "default")
        must(QStringList{"profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"} + in);
    must(QStringList{"create", "busybox", kTheirs} + in);
    must(QStringList{"snapshot", "create", kTheirs, kTheirs} + in);
    must(QStringList{"profile", "create", kTheirs} + in);
    must(QStringList{"storage", "volume", "create", "default", kTheirs} + in);
    must(QStringList{"storage", "volume", "snapshot", "create", "default", kTheirs, kTheirs} + in);
    must(QStringList{"query", "-X", "POST", "-d", "{\"name\":\"zebra\"}", "/1.0/instances/zebra/backups?project=" + project, "--wait"});
    const QString print = QString::fromUtf8(m_box.text(QStringList{"image", "list", "-f", "csv", "-c", "F"} + in));
    must(QStringList{"image", "alias", "create", kTheirs, print} + in);
    m_theirs["fingerprint"] = print;
}

void TestAccess::prepare()
{
    // The folders that the first volume of a pool brings with it stay.
    must({"storage", "volume", "create", "default", "first"});
    must({"storage", "volume", "delete", "default", "first"});
    deleteAll();
    m_first = m_box.settledStock();
    must({"config", "set", "core.https_address=127.0.0.1:8443"});
    must({"project", "create", "own"});
    must({"profile", "device", "add", "default", "root", "disk", "path=/", "pool=default", "--project", "own"});
    must({"init", "--empty", "mover", "--project", "own"});
    must({"storage", "volume", "create", "default", "mover", "--project", "own"});
    must({"project", "create", kTheirs});
    makeObjects("default");
    makeObjects(kTheirs); // last: the image is this one's
    const QByteArray secret = m_box.text({"query", "-X", "POST", "/1.0/images/" + m_theirs["fingerprint"] + "/secret?project=zebra"});
    const QByteArray id = QRegularExpression("[0-9a-f]{8}-[0-9a-f-]{27}").match(QString::fromUtf8(secret)).captured().toUtf8();
    QVERIFY2(!id.isEmpty(), secret);
    m_theirs["id"] = QString::fromUtf8(id);
    m_nobodys["id"] = "00000000-0000-4000-8000-000000000000";
    m_nobodys["fingerprint"] = QString(64, '0');

    RunOptions options;
    options.environment = m_box.environment();
    const QString folder = m_box.directory() + "/conf-member";
    options.environment.insert("LXMGR_CONF", folder);
    const QString token = QString::fromUtf8(m_box.text({"config", "trust", "add", "member", "-q", "--projects", "own"}));
    RUN_OK(run({Sandbox::program("lxmgr"), "remote", "add", "far", token}, options));
    QFile certificate(folder + "/client.crt"), key(folder + "/client.key");
    QVERIFY(certificate.open(QIODevice::ReadOnly) && key.open(QIODevice::ReadOnly));
    QSslConfiguration tls = QSslConfiguration::defaultConfiguration();
    tls.setLocalCertificate(QSslCertificate(certificate.readAll()));
    tls.setPrivateKey(QSslKey(key.readAll(), QSsl::Ec));
    tls.setPeerVerifyMode(QSslSocket::VerifyNone);
    tls.setProtocol(QSsl::TlsV1_3OrLater);
    m_socket.setSslConfiguration(tls);
    m_keep = {kTheirs};
    m_before = everything();
}

/// Over one connection for all, opened anew when the server has ended it.
Told TestAccess::ask(const QByteArray &verb, const QByteArray &path, const QByteArray &body)
{
    const QByteArray request = verb + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: " +
                               QByteArray::number(body.size()) + "\r\n\r\n" + body;
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (m_socket.state() != QAbstractSocket::ConnectedState) {
            m_socket.abort();
            m_socket.connectToHostEncrypted("127.0.0.1", 8443);
            if (!m_socket.waitForEncrypted(10000))
                return {};
        }
        m_socket.write(request);
        QByteArray answer;
        qsizetype end = -1;
        while ((end = answer.indexOf("\r\n\r\n")) < 0 && m_socket.waitForReadyRead(10000))
            answer += m_socket.readAll();
        if (end < 0) {
            m_socket.abort();
            continue;
        }
        const QByteArray head = answer.left(end).toLower();
        const qsizetype at = head.indexOf("content-length: ");
        const qsizetype size = verb == "HEAD" || at < 0 ? 0 : head.mid(at + 16, head.indexOf("\r\n", at) < 0 ? -1 : head.indexOf("\r\n", at) - at - 16).toLongLong();
        while (answer.size() < end + 4 + size && m_socket.waitForReadyRead(10000))
            answer += m_socket.readAll();
        if (head.contains("connection: close") || at < 0)
            m_socket.abort();
        return {answer.mid(9, 3).toInt(), answer.mid(end + 4)};
    }
    return {};
}

QByteArray TestAccess::everything()
{
    QByteArray all;
    for (const char *what : {"/1.0", "/1.0/projects?recursion=1", "/1.0/networks?recursion=1", "/1.0/storage-pools?recursion=1", "/1.0/certificates?recursion=1"})
        all += m_box.text({"query", what}) + "\n";
    for (const QString project : {"default", kTheirs})
        for (const char *what : {"/1.0/instances/zebra", "/1.0/instances/zebra/snapshots?recursion=1", "/1.0/instances/zebra/backups", "/1.0/instances/zebra/metadata",
                                 "/1.0/profiles?recursion=1", "/1.0/storage-pools/default/volumes?recursion=1", "/1.0/images?recursion=1",
                                 "/1.0/images/aliases?recursion=1", "/1.0/network-acls?recursion=1"})
            all += m_box.text({"query", QString(what) + (QByteArray(what).contains('?') ? "&" : "?") + "project=" + project}) + "\n";
    // What is told of use is not what they have.
    return QString::fromUtf8(all).remove(QRegularExpression("\"last_used_at\":\"[^\"]*\"|\"used_by\":\\[[^]]*\\]")).toUtf8();
}

QString TestAccess::path(const api::Route &route, bool theirs) const
{
    QString text = QString::fromUtf8(route.pattern.data(), qsizetype(route.pattern.size())).replace("...}", "}");
    text.replace("{type}", "custom").replace("/storage-pools/{name}/", "/storage-pools/default/").replace("/storage-pools/{pool}/", "/storage-pools/default/");
    const QMap<QString, QString> &values = theirs ? m_theirs : m_nobodys;
    for (auto each = values.begin(); each != values.end(); ++each)
        text.replace("{" + each.key() + "}", each.value());
    return text.replace(QRegularExpression("\\{[a-z]+\\}"), theirs ? kTheirs : kNobodys);
}

/// Theirs as nobody's, and what is another in every answer taken out.
QByteArray TestAccess::alike(QByteArray text) const
{
    text.replace(kTheirs, kNobodys);
    for (auto each = m_theirs.begin(); each != m_theirs.end(); ++each)
        text.replace(each.value().toUtf8(), m_nobodys[each.key()].toUtf8());
    return QString::fromUtf8(text)
        .replace(QRegularExpression("[0-9a-f]{8}-[0-9a-f-]{27}"), "ID")
        .replace(QRegularExpression("\"used\":\\d+"), "USED")
        .replace(QRegularExpression("\\d{4}-\\d\\d-\\d\\dT[0-9:.]+Z"), "TIME")
        .toUtf8();
}

void TestAccess::everyRouteHasARule()
{
    for (const api::Route &route : api::kRoutes) {
        if (route.access != api::Access::Public)
            continue;
        // These show strangers what they may see, each by a rule of its own.
        const std::initializer_list<api::RouteId> known = {
            api::RouteId::Root,      api::RouteId::ServerGet,   api::RouteId::OperationWait,     api::RouteId::OperationWebsocket,
            api::RouteId::ImageList, api::RouteId::ImageGet,    api::RouteId::ImageExport,       api::RouteId::MetadataConfiguration,
            api::RouteId::CertificateCreate, api::RouteId::InternalReady, api::RouteId::ImageAliasGet,
        };
        QVERIFY2(std::ranges::find(known, route.id) != known.end(), std::string(route.pattern).c_str());
    }
}

void TestAccess::othersAreOutOfSight_data()
{
    QTest::addColumn<int>("route");
    for (const api::Route &route : api::kRoutes)
        QTest::newRow((std::string(api::verbName(route.verb)) + " " + std::string(route.pattern)).c_str()) << int(route.id);
}

void TestAccess::othersAreOutOfSight()
{
    QFETCH(int, route);
    const api::Route &row = api::kRoutes[route];
    const QByteArray verb = QByteArray::fromStdString(std::string(api::verbName(row.verb)));
    const bool changes = verb == "POST" || verb == "PUT" || verb == "PATCH";
    const QByteArray body = changes ? "{}" : "";
    for (const QString project : {"zebra", "default", "", "own"}) {
        for (const char *more : {"", "&all-projects=true&recursion=2"}) {
            if (*more && (verb != "GET" || project == "own"))
                continue;
            const QString query = "?project=" + project + more;
            const Told theirs = ask(verb, (path(row, true) + query).toUtf8(), body);
            const Told nobodys = ask(verb, (path(row, false) + QString(query).replace(kTheirs, kNobodys)).toUtf8(), body);
            const QByteArray told = query.toUtf8() + ": " + QByteArray::number(theirs.status) + " " + theirs.body.left(400);
            QVERIFY2(theirs.status != 0 && nobodys.status != 0, told);
            QVERIFY2(theirs.status < 500 || theirs.status == 501 || theirs.body.contains("not clustered"), told);
            if (row.access == api::Access::Admin)
                QVERIFY2(theirs.status == 403, told);
            else if (row.access != api::Access::Public && row.scope == api::Scope::Project && project != "own" && !*more)
                QVERIFY2(theirs.status == 404, told);
            if (row.pattern.find('{') == std::string_view::npos)
                QVERIFY2(!QByteArray(theirs.body).replace("Project not found: 'zebra'", "").contains(kTheirs), told);
            else if (project == "default" || project.isEmpty())
                QCOMPARE(alike(theirs.body), alike(nobodys.body)); // project default is there for all to know of
            else
                QCOMPARE(QByteArray::number(theirs.status) + alike(theirs.body), QByteArray::number(nobodys.status) + alike(nobodys.body));
        }
    }
}

void TestAccess::othersAreOutOfReachOfBodies_data()
{
    QTest::addColumn<QByteArray>("path");
    QTest::addColumn<QByteArray>("body");
    const auto row = [](const char *name, const QByteArray &path, const QByteArray &body) { QTest::newRow(name) << path << body; };
    row("copy of an instance", "/1.0/instances?project=own", R"({"name":"c1","source":{"type":"copy","source":"zebra","project":"zebra"}})");
    row("copy from project default", "/1.0/instances?project=own", R"({"name":"c1","source":{"type":"copy","source":"zebra","project":"default"}})");
    row("copy of a snapshot", "/1.0/instances?project=own", R"({"name":"c1","source":{"type":"copy","source":"zebra/zebra","project":"zebra"}})");
    row("instance of an image of theirs", "/1.0/instances?project=own", R"({"name":"c1","source":{"type":"image","alias":"zebra"}})");
    row("instance into a project of theirs", "/1.0/instances/mover?project=own", R"({"name":"c1","project":"zebra","migration":false})");
    row("image of an instance", "/1.0/images?project=own", R"({"source":{"type":"instance","name":"zebra","project":"zebra"}})");
    row("copy of a volume", "/1.0/storage-pools/default/volumes/custom?project=own", R"({"name":"c1","source":{"type":"copy","name":"zebra","pool":"default","project":"zebra"}})");
    row("volume into a project of theirs", "/1.0/storage-pools/default/volumes/custom/mover?project=own", R"({"name":"mover","project":"zebra"})");
    row("alias of an image of theirs", "/1.0/images/aliases?project=own", R"({"name":"mine","target":"FINGERPRINT"})");
    row("trust", "/1.0/certificates", R"({"type":"client","token":true,"name":"friend"})");
    row("trust in all projects", "/1.0/certificates", R"({"type":"client","restricted":false,"projects":["zebra"],"certificate":"x"})");
}

void TestAccess::othersAreOutOfReachOfBodies()
{
    QFETCH(QByteArray, path);
    QFETCH(QByteArray, body);
    body.replace("FINGERPRINT", m_theirs["fingerprint"].toUtf8());
    Told reply = ask("POST", path, body);
    if (reply.status == 202) { // it is told at the operation's end
        const QString id = QRegularExpression("/1.0/operations/[0-9a-f-]{36}").match(QString::fromUtf8(reply.body)).captured();
        reply = ask("GET", (id + "/wait?project=own").toUtf8());
        QVERIFY2(reply.body.contains("\"status_code\":400"), reply.body);
    } else {
        QVERIFY2(reply.status == 400 || reply.status == 403 || reply.status == 404, QByteArray::number(reply.status) + reply.body);
    }
    QCOMPARE(ask("GET", "/1.0/instances?project=own").body.contains("c1"), false);
}

void TestAccess::eventsOfOthersAreNotHeard()
{
    const QStringList member = {"monitor", "far:", "--format", "json", "--project", "own"};
    QProcess listener;
    QProcessEnvironment environment = m_box.environment();
    environment.insert("LXMGR_CONF", m_box.directory() + "/conf-member");
    listener.setProcessEnvironment(environment);
    listener.start(Sandbox::program("lxmgr"), QStringList(member) << "--all-projects");
    QVERIFY(listener.waitForStarted());
    QByteArray heard;
    int note = 0;
    const auto hears = [&](const char *what) {
        return Sandbox::eventually([&] {
            must({"profile", "set", "default", QString("user.note=%1").arg(++note), "--project", "own"}); // until it listens
            listener.waitForReadyRead(100);
            heard += listener.readAllStandardOutput();
            return heard.contains(what);
        });
    };
    QVERIFY2(hears("profile-updated"), listener.readAllStandardError());
    must({"config", "set", "user.note=2"});
    must({"profile", "set", kTheirs, "user.note=1", "--project", kTheirs});
    must({"profile", "set", kTheirs, "user.note=1"});
    must({"profile", "unset", kTheirs, "user.note", "--project", kTheirs});
    must({"profile", "unset", kTheirs, "user.note"});
    must({"config", "unset", "user.note"});
    must({"template", "build", "busybox", "--project", "own"});
    must({"image", "delete", QString::fromUtf8(m_box.text({"image", "list", "-f", "csv", "-c", "F", "--project", "own"})), "--project", "own"});
    must({"project", "set", "own", "user.last=1"});
    QVERIFY2(hears("project-updated"), heard);
    for (const char *of : {"image-created", "image-deleted"}) // of its own project it hears
        QVERIFY2(heard.contains(of), heard);
    QVERIFY2(!heard.contains(kTheirs) && !heard.contains("config-updated"), heard);
    listener.terminate();
    QVERIFY(listener.waitForFinished());
}

void TestAccess::nothingOfOthersHasChanged()
{
    must({"profile", "unset", "default", "user.note", "--project", "own"});
    must({"project", "unset", "own", "user.last"});
    const QByteArrayList before = m_before.split('\n'), after = everything().split('\n');
    QCOMPARE(after.size(), before.size());
    for (qsizetype i = 0; i < before.size(); ++i)
        QVERIFY2(after[i] == before[i], before[i] + "\nis now\n" + after[i]);
    m_socket.abort();
    for (const QString project : {kTheirs, "default"})
        for (const QStringList &gone : {QStringList{"delete", "--force", "--purge", kTheirs}, {"storage", "volume", "delete", "default", kTheirs}})
            must(gone + QStringList{"--project", project});
    must({"delete", "--purge", "mover", "--project", "own"});
    must({"storage", "volume", "delete", "default", "mover", "--purge", "--project", "own"});
    must({"undo", "delete", "--all", "--project", kTheirs});
    must({"config", "unset", "core.https_address"}); // the tunnel ends
    m_keep = {"nothing"}; // compared at the end
}

QTEST_GUILESS_MAIN(TestAccess)
#include "tst_access.moc"

// Requests and replies as recorded in recorded.txt, one story through every route: what is answered today has the same status and
// the same form, member by member.
//
// A pair is a request line, its body or "-", the status, and the form of the JSON reply ("-" for what is none): strings are "s",
// numbers 0, booleans true, lists have their first entry; what an operation has to say so early is left out. null and [] stand for whatever comes. The envelope's own words are kept.
// $fingerprint, $published, $operation and $undo stand for what was seen before. LXMGR_RECORD=1 writes the file anew.
#include "api/routes.h"
#include "support/system_test.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QLocalSocket>

#include <algorithm>
#include <set>

using namespace lxmgr;
using namespace lxmgr::test;

namespace
{

struct Pair {
    QByteArray comment, request, body, status, form;
};

QJsonValue formOf(const QJsonValue &value)
{
    switch (value.type()) {
    case QJsonValue::Object: {
        QJsonObject form;
        const QJsonObject object = value.toObject();
        for (auto each = object.begin(); each != object.end(); ++each)
            form.insert(each.key(), formOf(each.value()));
        return form;
    }
    case QJsonValue::Array:
        return value.toArray().isEmpty() ? QJsonArray() : QJsonArray{formOf(value.toArray().first())};
    case QJsonValue::String:
        return "s";
    case QJsonValue::Double:
        return 0;
    case QJsonValue::Bool:
        return true;
    default:
        return value;
    }
}

/// The envelope with its own words, the metadata as a form.
QJsonValue formOfReply(const QByteArray &body)
{
    QJsonParseError error{};
    const QJsonDocument document = QJsonDocument::fromJson(body, &error);
    if (error.error != QJsonParseError::NoError || !document.isObject())
        return QJsonValue(QJsonValue::Undefined);
    QJsonObject reply = document.object();
    reply["metadata"] = formOf(reply["metadata"]);
    if (reply["operation"].toString().startsWith("/1.0/operations/")) {
        reply["operation"] = "/1.0/operations/ID";
        QJsonObject operation = reply["metadata"].toObject();
        operation["metadata"] = QJsonValue::Null; // how far it has come by now is another each time
        reply["metadata"] = operation;
    }
    return reply;
}

/// Where `now` differs from what was recorded, "" where it does not.
QString difference(const QJsonValue &was, const QJsonValue &now, const QString &place)
{
    if (was.isNull() || now.isNull())
        return {};
    if (was.type() != now.type())
        return place + ": another type";
    if (was.isArray()) {
        if (was.toArray().isEmpty() || now.toArray().isEmpty())
            return {};
        return difference(was.toArray().first(), now.toArray().first(), place + "[0]");
    }
    if (was.isObject()) {
        const QJsonObject before = was.toObject(), after = now.toObject();
        for (const QString &key : before.keys())
            if (!after.contains(key))
                return place + "." + key + " is no longer there";
        for (const QString &key : after.keys())
            if (!before.contains(key))
                return place + "." + key + " is new";
        for (const QString &key : before.keys())
            if (const QString inside = difference(before[key], after[key], place + "." + key); !inside.isEmpty())
                return inside;
        return {};
    }
    return was == now ? QString() : place + ": " + now.toVariant().toString() + " instead of " + was.toVariant().toString();
}

/// What depends on the host, or on what happens to be going on: how many disks it has, which operation comes first.
bool isTheHosts(const QByteArray &request)
{
    return request.startsWith("GET /1.0/operations?") || request == "GET /1.0/operations" || request == "GET /1.0/resources" || request == "GET /1.0/metadata/configuration" || request.endsWith("/doctor");
}

} // namespace

class TestRecorded : public SystemTest
{
    Q_OBJECT
private slots:
    void everyRouteIsRecorded();
    void repliesAreAsRecorded();

private:
    void prepare() override;
    QByteArray filledIn(QByteArray text) const;
    std::pair<int, QByteArray> send(const QByteArray &request, const QByteArray &body);
    void see(const QByteArray &request, const QByteArray &reply);
    std::vector<Pair> pairs();

    QMap<QByteArray, QByteArray> m_seen;
};

void TestRecorded::prepare()
{
    must({"storage", "volume", "create", "default", "first"}); // brings folders that stay
    must({"storage", "volume", "delete", "default", "first"});
    deleteAll();
    m_first = m_box.settledStock();
}

std::vector<Pair> TestRecorded::pairs()
{
    QFile file(LXMGR_SOURCE_DIR "/tests/api/recorded.txt");
    std::vector<Pair> all;
    if (!file.open(QIODevice::ReadOnly))
        return all;
    Pair pair;
    QByteArrayList lines;
    const auto take = [&] {
        if (lines.isEmpty())
            return;
        lines.resize(4);
        all.push_back({pair.comment, lines[0], lines[1], lines[2], lines[3]});
        lines.clear();
        pair = {};
    };
    while (!file.atEnd()) {
        const QByteArray line = file.readLine().trimmed();
        if (line.isEmpty())
            take();
        else if (line.startsWith('#'))
            pair.comment += line + "\n";
        else
            lines.append(line);
    }
    take();
    return all;
}

QByteArray TestRecorded::filledIn(QByteArray text) const
{
    for (auto each = m_seen.begin(); each != m_seen.end(); ++each)
        text.replace(each.key(), each.value());
    return text;
}

std::pair<int, QByteArray> TestRecorded::send(const QByteArray &request, const QByteArray &body)
{
    QLocalSocket client;
    client.connectToServer(m_box.socket());
    if (!client.waitForConnected(5000))
        return {};
    client.write(request + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nX-LXD-type: file\r\nContent-Length: " +
                 QByteArray::number(body.size()) + "\r\n\r\n" + body);
    QByteArray answer;
    while (client.waitForReadyRead(30000))
        answer += client.readAll();
    return {answer.mid(9, 3).toInt(), answer.mid(answer.indexOf("\r\n\r\n") + 4)};
}

void TestRecorded::see(const QByteArray &request, const QByteArray &reply)
{
    const QString text = QString::fromUtf8(reply);
    const auto note = [&](const char *name, const char *pattern) {
        for (auto all = QRegularExpression(pattern).globalMatch(text); all.hasNext();)
            m_seen[name] = all.next().captured(1).toUtf8(); // the last and newest
    };
    if (request == "GET /1.0/images")
        note("$fingerprint", "/1.0/images/([0-9a-f]{64})");
    if (request == "GET /1.0/images/aliases/published")
        note("$published", "\"target\":\"([0-9a-f]{64})");
    if (request == "GET /1.0/lxmgr/undo?recursion=1")
        for (const QJsonValue &each : QJsonDocument::fromJson(reply).object()["metadata"].toArray())
            if (const QJsonObject entry = each.toObject(); entry["object"].toString() == "r2")
                m_seen["$undo"] = QByteArray::number(static_cast<qlonglong>(entry["id"].toDouble())); // its deletion
    note("$operation", "\"operation\":\"/1.0/operations/([0-9a-f-]{36})");
}

void TestRecorded::everyRouteIsRecorded()
{
    // What has no reply to record, or ends the host's daemon; each has tests of its own.
    const std::set<api::RouteId> elsewhere = {
        api::RouteId::Events,          api::RouteId::OperationWebsocket, api::RouteId::InstanceSftp, api::RouteId::InternalShutdown,
        api::RouteId::InternalRecover, api::RouteId::InstanceFileHead,   api::RouteId::CertificateCreate,
        api::RouteId::CertificateGet,  api::RouteId::CertificatePut,     api::RouteId::CertificatePatch, api::RouteId::CertificateDelete,
        // of the repository, which borg has to be there for
        api::RouteId::BackupCreate, api::RouteId::BackupGet, api::RouteId::BackupDelete, api::RouteId::BackupRestore, api::RouteId::BackupVerify,
        api::RouteId::BackupList, api::RouteId::RepositoryGet, api::RouteId::RepositoryVerify, api::RouteId::RepositoryPrune,
    };
    std::set<api::RouteId> seen = elsewhere;
    for (const Pair &pair : pairs()) {
        const QByteArray path = pair.request.mid(pair.request.indexOf(' ') + 1);
        std::vector<std::string> segments;
        for (const QByteArray &segment : path.left(path.indexOf('?') < 0 ? path.size() : path.indexOf('?')).split('/'))
            if (!segment.isEmpty())
                segments.push_back(segment.toStdString());
        api::Match match;
        const auto miss = api::matchRoute(pair.request.left(pair.request.indexOf(' ')).toStdString(), segments, match);
        if (miss == api::Miss::None)
            seen.insert(match.route->id); // else it is one of a path that there is not
    }
    QByteArrayList missing;
    for (const api::Route &route : api::kRoutes)
        if (!seen.contains(route.id))
            missing << QByteArray::fromStdString(std::string(api::verbName(route.verb)) + " " + std::string(route.pattern));
    QVERIFY2(missing.isEmpty(), missing.join("\n"));
}

void TestRecorded::repliesAreAsRecorded()
{
    const bool record = qEnvironmentVariableIsSet("LXMGR_RECORD");
    QByteArray written;
    QByteArrayList wrong;
    for (const Pair &pair : pairs()) {
        const QByteArray request = filledIn(pair.request), body = pair.body == "-" || pair.body.isEmpty() ? QByteArray() : filledIn(pair.body);
        const auto [status, reply] = send(request, body);
        see(pair.request, reply);
        QJsonValue form = formOfReply(reply);
        if (isTheHosts(pair.request) && form.isObject()) {
            QJsonObject whole = form.toObject(), parts;
            for (const QString &key : whole["metadata"].toObject().keys())
                parts.insert(key, QJsonValue::Null);
            whole["metadata"] = pair.request.contains("operations") ? QJsonValue() : QJsonValue(parts);
            form = whole;
        }
        if (status == 202 && !pair.comment.contains("by itself")) { // and what it was for has to succeed
            const auto [ended, operation] = send("GET /1.0/operations/" + m_seen["$operation"] + "/wait?timeout=60", {});
            const int code = QJsonDocument::fromJson(operation).object()["metadata"].toObject()["status_code"].toInt();
            if (code != (pair.comment.contains("it fails") ? 400 : 200))
                wrong << pair.request + ": " + operation.left(600);
        }
        const QByteArray text = form.isUndefined() ? "-" : QJsonDocument(form.toObject()).toJson(QJsonDocument::Compact);
        written += pair.comment + pair.request + "\n" + (pair.body.isEmpty() ? "-" : pair.body) + "\n" + QByteArray::number(status) + "\n" + text + "\n\n";
        if (record)
            continue;
        if (QByteArray::number(status) != pair.status)
            wrong << pair.request + ": status " + QByteArray::number(status) + " instead of " + pair.status + " " + reply.left(300);
        else if (const QString differs = difference(QJsonDocument::fromJson(pair.form).object(), QJsonDocument::fromJson(text).object(), "reply"); !differs.isEmpty())
            wrong << pair.request + ": " + differs.toUtf8();
    }
    if (record) {
        QFile file(LXMGR_SOURCE_DIR "/tests/api/recorded.txt");
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(written.trimmed() + "\n");
    }
    QDir(m_box.stateDir() + "/storage-pools/rpool").removeRecursively(); // detaching leaves it
    QVERIFY2(wrong.isEmpty(), wrong.join("\n"));
}

QTEST_GUILESS_MAIN(TestRecorded)
#include "tst_recorded.moc"

#include "api/envelope.h"
#include "api/execution.h"
#include "api/filter.h"
#include "api/instance_state.h"
#include "api/instances.h"
#include "api/operations.h"
#include "support/verify.h"

#include <QElapsedTimer>

using namespace lxmgr;
using namespace lxmgr::api;

namespace
{
InstanceFull sample(int number)
{
    InstanceFull instance;
    instance.name = "web" + std::to_string(number);
    instance.architecture = "x86_64";
    instance.createdAt = instance.lastUsedAt = Time::now();
    instance.setStatus(StatusCode::Running);
    instance.profiles = {"default"};
    for (const char *key : {"image.architecture", "image.description", "image.os", "image.release", "image.serial", "image.variant",
                            "volatile.base_image", "volatile.cloud-init.instance-id", "volatile.eth0.hwaddr",
                            "volatile.eth0.host_name", "volatile.idmap.base", "volatile.idmap.current", "volatile.last_state.power",
                            "volatile.uuid", "limits.memory", "limits.cpu"})
        instance.config[key] = "a value of middling length, " + std::to_string(number);
    instance.expandedConfig = instance.config;
    instance.expandedDevices["root"] = {{"type", "disk"}, {"path", "/"}, {"pool", "default"}};
    instance.expandedDevices["eth0"] = {{"type", "nic"}, {"name", "eth0"}, {"network", "lxmgrbr0"}};
    InstanceState state;
    state.pid = 1000 + number;
    state.setStatus(StatusCode::Running);
    NicState nic;
    nic.addresses = {{"inet", "10.1.2.3", "24", "global"}, {"inet6", "fd42::3", "64", "global"}, {"inet6", "fe80::1", "64", "link"}};
    state.network.emplace();
    (*state.network)["eth0"] = nic;
    (*state.network)["lo"] = nic;
    state.disk["root"].usage = 12345678;
    instance.state = state;
    return instance;
}
} // namespace

class tst_objects : public QObject
{
    Q_OBJECT

private slots:
    void everyKeyOfAnInstanceIsThere()
    {
        const Result<Json> json = Json::parse(toJson(InstanceFull()));
        VERIFY_OK(json);
        for (const char *key : {"name", "description", "type", "architecture", "status", "status_code", "created_at", "last_used_at",
                                "ephemeral", "stateful", "profiles", "config", "devices", "expanded_config", "expanded_devices",
                                "location", "project", "state", "snapshots", "backups"})
            QVERIFY2(json->find(key), key);
        QVERIFY(json->find("state")->isNull());
        QCOMPARE(json->text("last_used_at"), std::string("1970-01-01T00:00:00Z"));
        QVERIFY(json->find("config")->isObject());
    }

    void everyKeyOfAnOperationIsThere()
    {
        const std::string text = toJson(Operation());
        QCOMPARE(text, std::string("{\"id\":\"\",\"class\":\"task\",\"description\":\"\",\"created_at\":\"0001-01-01T00:00:00Z\","
                                   "\"updated_at\":\"0001-01-01T00:00:00Z\",\"status\":\"Running\",\"status_code\":103,"
                                   "\"resources\":null,\"metadata\":null,\"may_cancel\":false,\"err\":\"\",\"location\":\"none\"}"));
    }

    void instancesRoundTrip()
    {
        const InstanceFull instance = sample(7);
        const Result<InstanceFull> back = fromJson<InstanceFull>(toJson(instance));
        VERIFY_OK(back);
        QCOMPARE(toJson(*back), toJson(instance));
        QCOMPARE(back->state->network->at("eth0").addresses.size(), std::size_t(3));
    }

    void nullProfilesAreNotNoProfiles()
    {
        QVERIFY(!fromJson<InstancesPost>("{\"profiles\":null}")->profiles);
        QVERIFY(!fromJson<InstancesPost>("{}")->profiles);
        QVERIFY(fromJson<InstancesPost>("{\"profiles\":[]}")->profiles->empty());
        QCOMPARE(fromJson<InstancesPost>("{\"source\":{\"type\":\"image\",\"alias\":\"debian\",\"unknown\":[{}]}}")->source.alias,
                 std::string("debian"));
    }

    void requestsOfOtherClientsAreUnderstood()
    {
        // pylxd sends null for ids, lxc strings for sizes
        const Result<InstanceExecPost> exec = fromJson<InstanceExecPost>(
            "{\"command\":[\"true\"],\"wait-for-websocket\":true,\"user\":null,\"group\":null,\"cwd\":null,\"environment\":null}");
        VERIFY_OK(exec);
        QVERIFY(exec->waitForWebsocket);
        const Result<ControlMessage> resize =
            fromJson<ControlMessage>("{\"command\":\"window-resize\",\"args\":{\"width\":\"80\",\"height\":\"24\"}}");
        VERIFY_OK(resize);
        QCOMPARE(resize->args.at("width"), std::string("80"));
        VERIFY_OK(fromJson<InstanceStatePut>("null"));
    }

    void wrongOnesAreRefused_data()
    {
        QTest::addColumn<QByteArray>("text");
        for (const char *text : {"[]", "{\"name\":1}", "{\"config\":{\"a\":1}}", "{\"name\":\"a\",\"name\":\"b\"}",
                                 "{\"config\":{\"a\":\"1\",\"a\":\"2\"}}", "{\"devices\":[]}", "{\"start\":\"yes\"}", "{} {}"})
            QTest::newRow(text) << QByteArray(text);
    }
    void wrongOnesAreRefused()
    {
        QFETCH(QByteArray, text);
        VERIFY_FAILS(Code::Invalid, fromJson<InstancesPost>(text.toStdString()));
    }

    void envelopesComeApart()
    {
        const std::string sync = syncEnvelope(toJson(sample(1)));
        const Result<Envelope> answer = parseEnvelope(sync);
        VERIFY_OK(answer);
        QVERIFY(answer->kind == Envelope::Kind::Sync);
        VERIFY_OK(answer->as<InstanceFull>());

        Operation operation;
        operation.id = "abc";
        const std::string async = asyncEnvelope(operation, operationUrl(operation.id, "p"));
        QCOMPARE(parseEnvelope(async)->operation, std::string("/1.0/operations/abc?project=p"));

        for (const CodeInfo &info : kCodes) {
            const std::string text = errorEnvelope(Error(info.code, "it \"failed\""));
            const Result<Envelope> failed = parseEnvelope(text, info.httpStatus);
            VERIFY_OK(failed);
            QVERIFY(failed->kind == Envelope::Kind::Error);
            QVERIFY(failed->error.code == info.code);
            QCOMPARE(failed->error.message, std::string("it \"failed\""));
        }
        // another server's error has no code of ours
        QVERIFY(parseEnvelope("{\"type\":\"error\",\"error\":\"x\",\"error_code\":404,\"metadata\":null}")->error.code == Code::NotFound);
        VERIFY_FAILS(Code::Invalid, parseEnvelope("<html>"));
        VERIFY_FAILS(Code::Invalid, parseEnvelope("{}"));
    }

    void etagsFollowTheContent()
    {
        const std::string one = etagOf("{\"a\":1}");
        QCOMPARE(one, etagOf("{\"a\":1}"));
        QVERIFY(one != etagOf("{\"a\":2}"));
        QVERIFY(one.starts_with('"') && one.ends_with('"'));
        VERIFY_OK(checkEtag("", one));
        VERIFY_OK(checkEtag(one, one));
        VERIFY_OK(checkEtag(one.substr(1, one.size() - 2), one));
        VERIFY_FAILS(Code::Precondition, checkEtag("\"other\"", one));
    }

    void filtersChoose_data()
    {
        QTest::addColumn<QByteArray>("filter");
        QTest::addColumn<bool>("chosen");
        QTest::newRow("nothing asked") << QByteArray("") << true;
        QTest::newRow("name") << QByteArray("name eq web7") << true;
        QTest::newRow("whole name only") << QByteArray("name eq web") << false;
        QTest::newRow("expression") << QByteArray("name eq web.*") << true;
        QTest::newRow("what lxc list web sends") << QByteArray("name eq (web|^web.*)") << true;
        QTest::newRow("case") << QByteArray("status eq RUNNING") << true;
        QTest::newRow("ne") << QByteArray("status ne running") << false;
        QTest::newRow("not ne") << QByteArray("not status ne running") << true;
        QTest::newRow("key with dots") << QByteArray("config.limits.memory eq \"a value of middling length, 7\"") << true;
        QTest::newRow("device") << QByteArray("expanded_devices.root.path eq /") << true;
        QTest::newRow("number") << QByteArray("state.pid eq 1007") << true;
        QTest::newRow("missing field") << QByteArray("config.user.x eq y") << false;
        QTest::newRow("missing field, ne") << QByteArray("config.user.x ne y") << true;
        QTest::newRow("and") << QByteArray("name eq web7 and status eq stopped") << false;
        QTest::newRow("left to right") << QByteArray("name eq web7 or name eq x and status eq stopped") << false;
        QTest::newRow("no expression") << QByteArray("name eq web7( or name eq web7") << true;
    }
    void filtersChoose()
    {
        QFETCH(QByteArray, filter);
        QFETCH(bool, chosen);
        const Result<Filter> parsed = Filter::parse(filter.toStdString());
        VERIFY_OK(parsed);
        QCOMPARE(parsed->matches(sample(7)), chosen);
    }

    void badFiltersAreRefused_data()
    {
        QTest::addColumn<QByteArray>("filter");
        for (const char *text : {"name", "name eq", "name is x", "name eq x name eq y", "name eq x and", "name eq \"x", "not", "eq eq"})
            QTest::newRow(text) << QByteArray(text);
        QTest::newRow("long") << QByteArray(9000, 'a');
    }
    void badFiltersAreRefused()
    {
        QFETCH(QByteArray, filter);
        VERIFY_FAILS(Code::Invalid, Filter::parse(filter.toStdString()));
    }

    void aLongListIsWrittenAndReadInMilliseconds()
    {
        std::vector<InstanceFull> list;
        for (int i = 0; i < 500; ++i)
            list.push_back(sample(i));
        QElapsedTimer clock;
        clock.start();
        const std::string text = syncEnvelope(toJson(list));
        const qint64 writing = clock.nsecsElapsed();
        clock.restart();
        const Result<Envelope> envelope = parseEnvelope(text);
        VERIFY_OK(envelope);
        const auto back = envelope->as<std::vector<InstanceFull>>();
        const qint64 reading = clock.nsecsElapsed();
        VERIFY_OK(back);
        QCOMPARE(back->size(), list.size());
        qInfo("500 full instances: %zu bytes, written in %.1f ms, read in %.1f ms", text.size(), double(writing) / 1e6,
              double(reading) / 1e6);
    }
};

QTEST_GUILESS_MAIN(tst_objects)
#include "tst_objects.moc"

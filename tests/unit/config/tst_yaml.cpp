// What config promises of YAML: bounded reading with positions, writing that reads back the same, documents people
// edit.
#include "config/backup.h"
#include "config/yaml.h"
#include "support/verify.h"

#include <random>

using namespace lxmgr;
using namespace lxmgr::config;

namespace
{

QByteArray messageOf(const QByteArray &text)
{
    const auto node = parseYaml(text.toStdString(), "f.yaml");
    return node ? QByteArray("accepted") : QByteArray::fromStdString(node.error().message);
}

InstanceDocument someInstance()
{
    InstanceDocument document;
    document.architecture = "x86_64";
    document.config = {
        {"limits.cpu",       "2"                                    },
        {"limits.memory",    "512MiB"                               },
        {"security.nesting", "true"                                 },
        {"user.user-data",   "#cloud-config\npackages:\n  - nginx\n"}
    };
    document.devices = {
        {"root", {{"path", "/"}, {"pool", "default"}, {"type", "disk"}}}
    };
    document.profiles = {"default", "web"};
    document.description = "front";
    return document;
}

} // namespace

class TestYaml : public QObject
{
    Q_OBJECT
private slots:
    void badTextIsRefusedWithItsPlace_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("message");
        QTest::newRow("open list") << QByteArray("a: [1, 2\nb: 3\n") << QByteArray("f.yaml:");
        QTest::newRow("tab") << QByteArray("a:\n\tb: 1\n") << QByteArray("f.yaml:2:");
        QTest::newRow("doubled key") << QByteArray("a: 1\nb: 2\na: 3\n")
                                     << QByteArray("f.yaml:3:1: the key 'a' is there twice");
        QTest::newRow("alias") << QByteArray("a: &x [1]\nb: *x\n")
                               << QByteArray("f.yaml:1:4: anchors (&name) are not taken");
        QTest::newRow("unknown anchor") << QByteArray("b: *x\n") << QByteArray("f.yaml:1:4: ");
        QTest::newRow("tag") << QByteArray("a: !exec ls\n") << QByteArray("f.yaml:1:4: the tag '!exec' is not known");
        QTest::newRow("list as key") << QByteArray("? [a]\n: b\n")
                                     << QByteArray("f.yaml:1:3: a key must be plain text");
        QTest::newRow("two documents") << QByteArray("a: 1\n---\nb: 2\n")
                                       << QByteArray("f.yaml:1:1: it has a second document (---); one is taken");
        QTest::newRow("control byte") << QByteArray("a: \x01\n") << QByteArray("f.yaml:1:4: control byte \\x01");
        QTest::newRow("not UTF-8") << QByteArray("a: \xff\n") << QByteArray("f.yaml: is not UTF-8 text");
        QTest::newRow("too deep") << QByteArray(40, '[') + QByteArray(40, ']')
                                  << QByteArray("f.yaml:1:33: it is nested deeper than 32 levels");
        QTest::newRow("very deep") << QByteArray(200000, '[') << QByteArray("f.yaml:1:");
        QTest::newRow("too long") << QByteArray((1 << 20) + 1, ' ') << QByteArray("f.yaml: is larger than 1MiB");
        QTest::newRow("too many") << "[" + QByteArray("1,").repeated(100001) + "]" << QByteArray("f.yaml:1:");
    }
    void badTextIsRefusedWithItsPlace()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, message);
        const QByteArray got = messageOf(text);
        QVERIFY2(got.startsWith(message), got);
    }

    void writingReadsBackTheSame()
    {
        std::mt19937 random(7);
        const std::vector<std::string> kParts = {"a",
                                                 "Z",
                                                 "0",
                                                 "9",
                                                 " ",
                                                 "\n",
                                                 "\t",
                                                 ":",
                                                 "#",
                                                 "-",
                                                 "'",
                                                 "\"",
                                                 "\\",
                                                 "{",
                                                 "}",
                                                 "[",
                                                 "]",
                                                 ",",
                                                 "&",
                                                 "*",
                                                 "!",
                                                 "|",
                                                 ">",
                                                 "%",
                                                 "@",
                                                 "`",
                                                 "?",
                                                 "=",
                                                 "~",
                                                 ".",
                                                 "+",
                                                 "e",
                                                 "x",
                                                 "_",
                                                 "\r",
                                                 "\x1b",
                                                 "\x7f",
                                                 "\xc3\xbc",
                                                 "\xc2\x85",
                                                 "\xe2\x80\xa8",
                                                 "\xef\xbb\xbf",
                                                 "\xf0\x9f\x90\xa7",
                                                 "null",
                                                 "true",
                                                 "no",
                                                 ": ",
                                                 " #",
                                                 "---",
                                                 "...",
                                                 "12",
                                                 "0x1"};
        for (int round = 0; round < 4000; ++round) {
            StringMap map;
            for (int i = 0; i < 3; ++i) {
                std::string text, key = "k" + std::to_string(i);
                for (unsigned n = random() % 7; n > 0; --n)
                    text += kParts[random() % kParts.size()];
                if (random() % 4 == 0)
                    key += text;
                map[key] = text;
            }
            YamlNode list = YamlNode::sequence({YamlNode::map(map), YamlNode::text(map.begin()->second)});
            YamlNode root = YamlNode::map();
            root.add("devices", YamlNode::map(DeviceMap{
                                    {"d", map}
            }))
                .add("list", std::move(list))
                .add("flag", YamlNode::word("true"));
            const std::string text = formatYaml(root);
            const auto read = parseYaml(text, "f");
            QVERIFY2(read, (read ? text : read.error().message + "\n" + text).c_str());
            const auto devices = yamlDeviceMap(*read->find("devices"), "f");
            VERIFY_OK(devices);
            QVERIFY2(devices->at("d") == map, text.c_str());
            const auto inList = yamlStringMap(read->find("list")->items[0], "f", "item");
            VERIFY_OK(inList);
            QVERIFY2(*inList == map, text.c_str());
            QVERIFY2(read->find("list")->items[1].scalar == map.begin()->second || map.begin()->second.empty(),
                     text.c_str());
        }
    }

    void stringsThatLookLikeOtherThingsAreQuoted()
    {
        const std::pair<const char *, const char *> kTexts[] = {
            {"true",       "\"true\""      },
            {"2",          "\"2\""         },
            {"512MiB",     "512MiB"        },
            {"no",         "\"no\""        },
            {"",           "\"\""          },
            {"/",          "/"             },
            {"0x10",       "\"0x10\""      },
            {"1e5",        "\"1e5\""       },
            {"a: b",       "\"a: b\""      },
            {"1:20",       "\"1:20\""      },
            {"~",          "\"~\""         },
            {"2026-11-23", "\"2026-11-23\""},
            {"web one",    "web one"       },
            {"25ms/100ms", "25ms/100ms"    },
            {"#x",         "\"#x\""        },
        };
        for (const auto &[text, yaml] : kTexts)
            QCOMPARE(QByteArray::fromStdString(formatYaml(YamlNode::text(text))), QByteArray(yaml) + "\n");
    }

    void anInstanceLooksAsPeopleKnowIt()
    {
        QCOMPARE(QByteArray::fromStdString(writeInstance(someInstance())), QByteArray(R"(architecture: x86_64
config:
  limits.cpu: "2"
  limits.memory: 512MiB
  security.nesting: "true"
  user.user-data: |
    #cloud-config
    packages:
      - nginx
devices:
  root:
    path: /
    pool: default
    type: disk
ephemeral: false
profiles:
- default
- web
stateful: false
description: front
)"));
    }

    void documentsRoundTrip()
    {
        const auto instance = readInstance(writeInstance(someInstance()), "i");
        VERIFY_OK(instance);
        QVERIFY(*instance == someInstance());

        ProfileDocument profile;
        profile.name = "web";
        profile.config = {
            {"limits.cpu", "2"}
        };
        profile.devices = {
            {"eth0", {{"type", "nic"}, {"network", "lxmgrbr0"}}}
        };
        const auto again = readProfile(writeProfile(profile), "p");
        VERIFY_OK(again);
        QVERIFY(*again == profile);
    }

    void aBackupRoundTrips()
    {
        BackupDocument backup;
        backup.project = "default";
        backup.name = "web1";
        backup.createdAt = 1795415264123;
        backup.instance = someInstance();
        backup.instance.config["some.future.key"] = "kept";
        backup.idBase = 1000000;
        backup.idSize = 65536;
        backup.pool = "default";
        backup.poolDriver = "overlay";
        backup.image = std::string(64, 'a');
        backup.expandedConfig = backup.instance.config;
        backup.expandedDevices = backup.instance.devices;
        backup.profiles.push_back({"default", "text", {{"user.a", "b"}}, backup.instance.devices, {}});
        BackupSnapshot snapshot{"snap0", 1795415264124, 1795415264125, "nightly", someInstance(), backup.expandedDevices, backup.expandedConfig};
        backup.snapshots = {snapshot};
        const auto again = readBackup(writeBackup(backup), "backup.yaml");
        VERIFY_OK(again);
        QVERIFY(*again == backup);

        std::string newer = writeBackup(backup);
        newer.replace(newer.find("version: 2"), 10, "version: 9");
        VERIFY_FAILS(Code::Unsupported, readBackup(newer, "backup.yaml"));
        std::string older = writeBackup(backup); // before there were snapshots
        older.replace(older.find("version: 2"), 10, "version: 1");
        older.erase(older.find("snapshots:"), older.find("complete:") - older.find("snapshots:"));
        const auto withoutSnapshots = readBackup(older, "backup.yaml");
        VERIFY_OK(withoutSnapshots);
        QCOMPARE(withoutSnapshots->snapshots.size(), 0U);
        QCOMPARE(withoutSnapshots->profiles.size(), 1U);
        backup.snapshots[0].name = "../etc";
        VERIFY_FAILS(Code::Corrupt, readBackup(writeBackup(backup), "backup.yaml"));
        backup.snapshots.clear();
        backup.name = "../etc";
        VERIFY_FAILS(Code::Corrupt, readBackup(writeBackup(backup), "backup.yaml"));
        VERIFY_FAILS(Code::Corrupt, readBackup("", "backup.yaml"));
        VERIFY_FAILS(Code::Corrupt, readBackup("version: 1\nname: [", "backup.yaml"));
    }

    void cutBackupsNeverPass()
    {
        BackupDocument backup;
        backup.project = "default";
        backup.name = "web1";
        backup.pool = "default";
        backup.instance = someInstance();
        const std::string text = writeBackup(backup);
        for (std::size_t cut = 0; cut < text.size(); ++cut) {
            const auto read = readBackup(text.substr(0, cut), "b"); // must return, whatever it says
            QVERIFY2(!read || cut + 1 == text.size(), "only the last newline may be missing");
        }
    }

    void wrongKeysAreToldWithTheirPlace_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("message");
        QTest::newRow("value")
            << QByteArray("config:\n  limits.cpu: 2\n  limits.memory: lots\n")
            << QByteArray("e.yaml:3:3: limits.memory: 'lots' is not a size (for example 512MiB, 2GB or 1048576)");
        QTest::newRow("key") << QByteArray("config:\n  limit.cpu: 2\n")
                             << QByteArray(
                                    "e.yaml:2:3: unknown configuration key 'limit.cpu' (did you mean 'limits.cpu'?)");
        QTest::newRow("device key") << QByteArray("devices:\n  eth0:\n    type: nic\n    netwrk: x\n")
                                    << QByteArray(
                                           "e.yaml:4:5: device 'eth0': unknown key 'netwrk' (did you mean 'network'?)");
        QTest::newRow("missing in a device") << QByteArray("devices:\n  eth0:\n    type: nic\n")
                                             << QByteArray("e.yaml:2:3: device 'eth0': network: is missing");
        QTest::newRow("top key") << QByteArray("confg: {}\n")
                                 << QByteArray("e.yaml:1:1: unknown key 'confg' (did you mean 'config'?)");
        QTest::newRow("config is a list")
            << QByteArray("config:\n- a\n") << QByteArray("e.yaml:2:1: config must be a map of keys and values");
        QTest::newRow("ephemeral") << QByteArray("ephemeral: perhaps\n")
                                   << QByteArray("e.yaml:1:12: ephemeral must be true or false");
        QTest::newRow("empty") << QByteArray("") << QByteArray("e.yaml: it is empty");
        QTest::newRow("a list") << QByteArray("- a\n") << QByteArray("e.yaml:1:1: it is not a map of keys and values");
    }
    void wrongKeysAreToldWithTheirPlace()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, message);
        const auto document = readInstance(text.toStdString(), "e.yaml");
        VERIFY_FAILS(Code::Invalid, document);
        QVERIFY2(QByteArray::fromStdString(document.error().message).startsWith(message),
                 document.error().message.c_str());
    }

    void readOnlyFieldsArePassedOver()
    {
        const auto document = readInstance(
            "architecture: x86_64\ncreated_at: 2026-01-01T00:00:00Z\nstatus: Running\nname: web1\n", "e.yaml");
        VERIFY_OK(document);
        QCOMPARE(QByteArray::fromStdString(document->name.value_or("")), QByteArray("web1"));
        VERIFY_OK(
            readProfile("name: a\nconfig: {}\ndescription: ''\ndevices: {}\nused_by:\n- /1.0/instances/x\n", "p"));
    }
};

QTEST_APPLESS_MAIN(TestYaml)
#include "tst_yaml.moc"

// #cloud-config without cloud-init: what is read, what is refused with its place, what is only warned of, and the program made of it.
#include "config/cloud_config.h"
#include "support/verify.h"

#include <QFile>
#include <QProcess>
#include <QTemporaryDir>

using namespace lxmgr;
using namespace lxmgr::config;

namespace
{

CloudTexts userData(const std::string &text) { return CloudTexts::of({{"cloud-init.user-data", text}}); }
Result<CloudConfig> read(const std::string &text) { return readCloudConfig(userData("#cloud-config\n" + text)); }

} // namespace

class tst_cloud_config : public QObject
{
    Q_OBJECT
private slots:
    void newSpellingGoesBeforeTheOld()
    {
        const CloudTexts both = CloudTexts::of({{"cloud-init.user-data", "new"}, {"user.user-data", "old"}, {"user.vendor-data", "v"}});
        QCOMPARE(both.user.value, std::string("new"));
        QCOMPARE(both.user.key, std::string("cloud-init.user-data"));
        QCOMPARE(both.vendor.key, std::string("user.vendor-data"));
        QVERIFY(both.network.value.empty());
        QVERIFY(both.any());
        QCOMPARE(CloudTexts::of({{"cloud-init.user-data", ""}, {"user.user-data", "old"}}).user.value, std::string("old"));
        QVERIFY(!CloudTexts::of({{"cloud-init.network-config", "version: 2"}}).any());
    }

    void usersAndGroups()
    {
        const auto config = read(R"(
groups: [admins, {web: [alice, bob]}]
users:
  - default
  - name: alice
    gecos: Alice A.
    groups: sudo, web
    shell: /bin/sh
    lock_passwd: false
    passwd: $6$salt$hash
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys:
      - ssh-ed25519 AAAA alice@host
    uid: 1234
  - name: bob
    sudo: false
    no_create_home: true
  - carol
)");
        VERIFY_OK(config);
        QCOMPARE(config->warnings.size(), std::size_t(0));
        QCOMPARE(config->groups, (std::vector<CloudGroup>{{"admins", {}}, {"web", {"alice", "bob"}}}));
        QCOMPARE(config->users.size(), std::size_t(3));
        CloudUser alice;
        alice.name = "alice";
        alice.gecos = "Alice A.";
        alice.shell = "/bin/sh";
        alice.groups = {"sudo", "web"};
        alice.sudo = {"ALL=(ALL) NOPASSWD:ALL"};
        alice.keys = {"ssh-ed25519 AAAA alice@host"};
        alice.passwordHash = "$6$salt$hash";
        alice.locked = false;
        alice.uid = 1234;
        QVERIFY(config->users[0] == alice);
        QVERIFY(config->users[1].sudo.empty() && !config->users[1].createHome && config->users[1].locked);
        QCOMPARE(config->users[2].name, std::string("carol"));
    }

    void filesAreDecoded()
    {
        const auto config = read(R"(
write_files:
  - {path: /a, content: "plain\n"}
  - {path: /b, content: aGVsbG8=, encoding: b64, owner: "alice:web", permissions: '0640'}
  - {path: /c, encoding: gz+b64, append: true, content: H4sIAAAAAAACA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA==}
)");
        VERIFY_OK(config);
        QCOMPARE(config->files.size(), std::size_t(3));
        QVERIFY((config->files[0] == CloudFile{"/a", "plain\n", "root", "root", 0644, false}));
        QVERIFY((config->files[1] == CloudFile{"/b", "hello", "alice", "web", 0640, false}));
        QCOMPARE(config->files[2].content, std::string("hello world"));
        QVERIFY(config->files[2].append);
    }

    void userDataGoesBeforeVendorDataModuleByModule()
    {
        const auto config = readCloudConfig(CloudTexts::of({{"cloud-init.user-data", "#cloud-config\nruncmd: [mine]\n"},
                                                            {"cloud-init.vendor-data", "#cloud-config\nruncmd: [theirs]\nhostname: v\n"}}));
        VERIFY_OK(config);
        QCOMPARE(config->runcmd.size(), std::size_t(1));
        QCOMPARE(config->runcmd[0].line, std::string("mine"));
        QCOMPARE(config->hostname, std::string("v"));
    }

    void aProgramIsTakenAsItIs()
    {
        const auto config = readCloudConfig(userData("#!/bin/sh\necho hi\n"));
        VERIFY_OK(config);
        const CloudScript script = cloudScript(*config);
        QCOMPARE(script.program, std::string("#!/bin/sh\necho hi\n"));
        QCOMPARE(script.steps.size(), std::size_t(1));
    }

    void whatIsNotAppliedIsWarnedOfWithItsLine()
    {
        const auto config = read("ntp: {enabled: true}\nruncmd: [x]\nusers:\n  - {name: a, ssh_import_id: [gh:x]}\n");
        VERIFY_OK(config);
        QCOMPARE(config->warnings.size(), std::size_t(2));
        QVERIFY2(config->warnings[0].starts_with("cloud-init.user-data:2:1: 'ntp'"), config->warnings[0].c_str());
        QVERIFY2(config->warnings[1].starts_with("cloud-init.user-data:5:") && config->warnings[1].find("'ssh_import_id'") != std::string::npos,
                 config->warnings[1].c_str());
    }

    void whatIsWrongIsRefusedWithItsPlace_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("error");
        QTest::newRow("no YAML") << "#cloud-config\nruncmd: [a\n" << "cloud-init.user-data:";
        QTest::newRow("no map") << "#cloud-config\n- a\n" << "cloud-init.user-data:2:1: must be a map";
        QTest::newRow("runcmd is a text") << "#cloud-config\nruncmd: ls\n" << "cloud-init.user-data:2:9: runcmd must be a list";
        QTest::newRow("command is a map") << "#cloud-config\nruncmd:\n  - echo: hi\n" << "cloud-init.user-data:3:5: runcmd: a command";
        QTest::newRow("name of a user") << "#cloud-config\nusers:\n  - name: 'a:b'\n" << "cloud-init.user-data:3:11: name 'a:b' is no name";
        QTest::newRow("user without name") << "#cloud-config\nusers:\n  - gecos: x\n" << "cloud-init.user-data:3:5: users: an entry has no 'name'";
        QTest::newRow("relative path") << "#cloud-config\nwrite_files:\n  - {path: etc/x, content: y}\n" << "must be an absolute path, not 'etc/x'";
        QTest::newRow("encoding") << "#cloud-config\nwrite_files:\n  - {path: /x, encoding: rot13, content: y}\n" << "'rot13' is unknown";
        QTest::newRow("base64") << "#cloud-config\nwrite_files:\n  - {path: /x, encoding: b64, content: '!'}\n" << "content is no base64";
        QTest::newRow("gzip") << "#cloud-config\nwrite_files:\n  - {path: /x, encoding: gz+b64, content: aGVsbG8=}\n" << "content is no gzip";
        QTest::newRow("mode") << "#cloud-config\nwrite_files:\n  - {path: /x, permissions: '9', content: y}\n" << "permissions";
        QTest::newRow("host name") << "#cloud-config\nhostname: 'a b'\n" << "cloud-init.user-data:2:11: hostname 'a b' is no host name";
        QTest::newRow("package") << "#cloud-config\npackages: ['--x']\n" << "'--x' is no name of a package";
        QTest::newRow("time zone") << "#cloud-config\ntimezone: /etc/shadow\n" << "is no name such as";
        QTest::newRow("other form") << "#include\nhttp://example.org/\n" << "begins with '#include'";
        QTest::newRow("parts") << "Content-Type: multipart/mixed\n" << "begins with 'Content-Type";
    }
    void whatIsWrongIsRefusedWithItsPlace()
    {
        QFETCH(QString, text);
        QFETCH(QString, error);
        const auto config = readCloudConfig(userData(text.toStdString()));
        QVERIFY(!config);
        QVERIFY2(config.error().message.find(error.toStdString()) != std::string::npos, config.error().message.c_str());
    }

    void nothingToRunIsNoProgram()
    {
        const auto config = read("hostname: x\n");
        VERIFY_OK(config);
        QVERIFY(cloudScript(*config).text.empty());
    }

    /// Run here, with its folder and log elsewhere: each step's end is told, whatever is in it.
    void programTellsHowEachStepEnded_data()
    {
        QTest::addColumn<QString>("commands");
        QTest::addColumn<QString>("output");
        QTest::addColumn<QString>("failure");
        QTest::newRow("all well") << "[echo one, [echo, two words]]" << "one\ntwo words\n" << "";
        QTest::newRow("one shell") << "['cd /tmp && x=5', 'echo $x in $PWD']" << "5 in /tmp\n" << "";
        QTest::newRow("goes on after a failure") << "[false, echo after, [sh, -c, exit 7]]" << "after\n"
                                                 << "runcmd 1 (false) ended with status 1; runcmd 3 (sh -c exit 7) ended with status 7";
        QTest::newRow("exit") << "[exit 9, echo never]" << "" << "runcmd 1 (exit 9) ended with status 9";
        QTest::newRow("quotes") << R"(["echo it\\'s", [echo, "it's; $HOME"]])" << "it's\nit's; $HOME\n" << "";
        QTest::newRow("not there") << "[[/nonexistent/program]]" << "/nonexistent/program" << "runcmd 1 (/nonexistent/program) ended with status 127";
        QTest::newRow("several lines") << "[\"for i in 1 2\\ndo echo $i\\ndone\"]" << "1\n2\n" << "";
    }
    void programTellsHowEachStepEnded()
    {
        QFETCH(QString, commands);
        QFETCH(QString, output);
        QFETCH(QString, failure);
        const QTemporaryDir folder;
        const auto config = read("runcmd: " + commands.toStdString() + "\n");
        VERIFY_OK(config);
        const CloudScript script = cloudScript(*config);
        QByteArray text = QByteArray::fromStdString(script.text);
        text.replace(kCloudFolder.data(), folder.path().toUtf8()).replace("/var/log", folder.path().toUtf8());
        QFile file(folder.filePath("script"));
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write(text);
        file.close();
        QProcess shell;
        shell.start("/bin/sh", {file.fileName()});
        QVERIFY(shell.waitForFinished());
        QFile log(folder.filePath("cloud-init-output.log")), status(folder.filePath("status"));
        QVERIFY(log.open(QIODevice::ReadOnly) && status.open(QIODevice::ReadOnly));
        const QByteArray said = log.readAll();
        QVERIFY2(output.isEmpty() ? said.isEmpty() : said.contains(output.toUtf8()), said);
        const CloudStatus ended = readCloudStatus(status.readAll().toStdString(), script.steps);
        QVERIFY(ended.ended);
        QCOMPARE(QString::fromStdString(ended.failure), failure);
    }

    void statusOfTheGuestsOwnMakingIsPassedOver()
    {
        const CloudStatus status = readCloudStatus("9 1\n-1 1\n1 x\n1 0\nhello\n1 1 1\n", {"a"});
        QVERIFY(!status.ended);
        QVERIFY(status.failure.empty());
    }
};

QTEST_APPLESS_MAIN(tst_cloud_config)
#include "tst_cloud_config.moc"

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
        alice.newPasswordHash = "$6$salt$hash";
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
        QCOMPARE(script.programs, (std::vector<std::string>{"#!/bin/sh\necho hi\n"}));
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
        QTest::newRow("address to fetch") << "#include\nhttp://example.org/\n" << "lxmgr fetches nothing on behalf of a guest";
        QTest::newRow("template") << "## template: jinja\n#cloud-config\n" << "its variables are those of cloud-init";
        QTest::newRow("no boundary") << "Content-Type: multipart/mixed\n\n" << "cloud-init.user-data:1:1: a MIME message of parts whose Content-Type has no boundary";
        QTest::newRow("no part") << "Content-Type: multipart/mixed; boundary=x\n\nhello\n" << "it has no part: there is no line '--x'";
        QTest::newRow("cut off") << "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n" << "cloud-init.user-data:5:1: part 1 has no end";
        QTest::newRow("no header") << "MIME-Version: 1.0\nhello\n\n" << "cloud-init.user-data:2:1: not a MIME header";
        QTest::newRow("part to fetch") << "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/x-include-url\n\nhttp://e/\n--x--\n"
                                       << "(part 1) is of type 'text/x-include-url', which is not applied without the image's own cloud-init: lxmgr fetches nothing";
        QTest::newRow("part of another kind") << "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: image/png\n\n\n--x--\n" << "is of type 'image/png'";
        QTest::newRow("part's encoding") << "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: rot13\n\n\n--x--\n"
                                         << "part 1: Content-Transfer-Encoding 'rot13' is unknown";
        QTest::newRow("line of a part") << "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/cloud-config\n\n#cloud-config\nruncmd: ls\n--x--\n"
                                        << "cloud-init.user-data:7:9: runcmd must be a list";
        QTest::newRow("chpasswd is a list") << "#cloud-config\nchpasswd: [a]\n" << "cloud-init.user-data:2:11: chpasswd must be a map";
        QTest::newRow("type of a password") << "#cloud-config\nchpasswd: {users: [{name: a, password: x, type: rot13}]}\n" << "type 'rot13' is unknown (hash, text, RANDOM)";
        QTest::newRow("password without name") << "#cloud-config\nchpasswd: {users: [{password: secret}]}\n" << "an entry has no 'name'";
        QTest::newRow("name without password") << "#cloud-config\nchpasswd: {users: [{name: a}]}\n" << "an entry has no 'password'";
        QTest::newRow("password for a hash") << "#cloud-config\nchpasswd: {users: [{name: a, password: secret}]}\n" << "is no hash as crypt(3) makes them (type: text";
        QTest::newRow("passwd that is none") << "#cloud-config\nusers: [{name: a, passwd: secret}]\n" << "plain_text_passwd takes the password itself";
        QTest::newRow("entry of a list") << "#cloud-config\nchpasswd: {list: [secret]}\n" << "chpasswd: list: an entry is no 'name:password'";
        QTest::newRow("expire") << "#cloud-config\nchpasswd: {expire: maybe}\n" << "chpasswd: expire must be true or false";
        QTest::newRow("ssh_pwauth") << "#cloud-config\nssh_pwauth: maybe\n" << "ssh_pwauth must be true or false";
    }
    void whatIsWrongIsRefusedWithItsPlace()
    {
        QFETCH(QString, text);
        QFETCH(QString, error);
        const auto config = readCloudConfig(userData(text.toStdString()));
        QVERIFY(!config);
        QVERIFY2(config.error().message.find(error.toStdString()) != std::string::npos, config.error().message.c_str());
        QVERIFY2(config.error().message.find("secret") == std::string::npos, config.error().message.c_str());
    }

    void passwordsInAllTheirForms()
    {
        using Kind = CloudPassword::Kind;
        const auto config = read(R"(
users:
  - {name: a, passwd: $6$s$h, plain_text_passwd: 'one two', hashed_passwd: $5$s$h, lock_passwd: false}
chpasswd:
  expire: false
  users:
    - {name: b, password: $6$s$b}
    - {name: c, password: 'in: clear', type: text}
    - {name: d, type: RANDOM}
  list: |
    e:secret
    f:$6$s$f
    g:R
ssh_pwauth: true
)");
        VERIFY_OK(config);
        QCOMPARE(config->users[0].newPasswordHash, std::string("$6$s$h"));
        QCOMPARE(config->users[0].passwordHash, std::string("$5$s$h"));
        QCOMPARE(config->users[0].password, std::string("one two"));
        QVERIFY((config->passwords == std::vector<CloudPassword>{{"b", Kind::Hash, "$6$s$b"}, {"c", Kind::Text, "in: clear"}, {"d", Kind::Random, ""},
                                                                 {"e", Kind::Text, "secret"}, {"f", Kind::Hash, "$6$s$f"}, {"g", Kind::Random, ""}}));
        QVERIFY(!config->expirePasswords && config->sshPasswords == true);
        QCOMPARE(config->warnings.size(), std::size_t(2));
        QVERIFY2(config->warnings[0].find("'d' is in /root/cloud-init-passwords") != std::string::npos, config->warnings[0].c_str());
        const auto unchanged = read("ssh_pwauth: unchanged\nchpasswd: {list: ['a:x']}\npassword: secret\n");
        VERIFY_OK(unchanged);
        QVERIFY(unchanged->expirePasswords && !unchanged->sshPasswords);
        QCOMPARE(unchanged->warnings.size(), std::size_t(1));
        QVERIFY2(unchanged->warnings[0].starts_with("cloud-init.user-data:4:1: 'password'") && unchanged->warnings[0].find("secret") == std::string::npos,
                 unchanged->warnings[0].c_str());
    }

    void partsOfAMessageAreAllApplied()
    {
        // As tools write it: headers folded, parts encoded each in their way, lines ended as in mail.
        const std::string text =
               "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"===x==\"\n\nfor people\n"
               "--===x==\nContent-Type: text/cloud-config; charset=\"us-ascii\"\n\nruncmd: [first]\nhostname: one\n"
               "--===x==\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\nIyEvYmluL3NoCmVjaG8gYQo=\n"
               "--===x==\nContent-Type: text/cloud-config\nContent-Transfer-Encoding: quoted-printable\n\n#cloud-config\nruncmd: [second,=20=\nthird]\n"
               "--===x==\nContent-Type: text/plain\n\n#!/bin/sh\necho b\n"
               "--===x==\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
               "H4sIAAAAAAACA1NOzskvTdFNzs9Ly0znKsnMTa3Kz0u1UnAtSdYPDXHmAgA3wjAiIAAAAA==\n" // timezone: Etc/UTC
               "--===x==--\nbehind\n";
        for (const bool mail : {false, true}) {
            std::string sent;
            for (const char c : text)
                sent += mail && c == '\n' ? std::string("\r\n") : std::string(1, c);
            const auto config = readCloudConfig(userData(sent));
            VERIFY_OK(config);
            QCOMPARE(config->hostname, std::string("one"));
            QCOMPARE(config->timezone, std::string("Etc/UTC"));
            QCOMPARE(config->runcmd.size(), std::size_t(2)); // of the last part that has some
            QCOMPARE(config->runcmd[0].line, std::string("second"));
            QCOMPARE(config->programs, (std::vector<std::string>{"#!/bin/sh\necho a\n", "#!/bin/sh\necho b\n"}));
            const CloudScript script = cloudScript(*config);
            QCOMPARE(script.steps.back(), std::string("program 2 in user data"));
            QVERIFY(script.text.find("/run/lxmgr-cloud-init/user-data-2'") != std::string::npos);
        }
    }

    void gzipInBase64IsUnpacked()
    {
        // printf '#cloud-config\nhostname: z\n' | gzip -n | base64
        const std::string kPacked = "H4sIAAAAAAACA1NOzskvTdFNzs9Ly0znysgvLslLzE21UqjiAgDLF4UnGgAAAA==";
        const auto config = readCloudConfig(userData(kPacked));
        VERIFY_OK(config);
        QCOMPARE(config->hostname, std::string("z"));
        const auto broken = readCloudConfig(userData(kPacked.substr(0, 24)));
        QVERIFY(!broken && broken.error().code == Code::Invalid);
    }

    void whatNoCloudInitTakesIsRefusedWhenItIsSet_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("error"); // "" where an image's own cloud-init may take it
        QTest::newRow("good") << "#cloud-config\nruncmd: [ls]\n" << "";
        QTest::newRow("no YAML") << "#cloud-config\nruncmd: [a\n" << "cloud-init.user-data:";
        QTest::newRow("indent") << "#cloud-config\nusers:\n  - name: a\n gecos: x\n" << "cloud-init.user-data:4:";
        QTest::newRow("no map") << "#cloud-config\n- a\n" << "cloud-init.user-data:2:1: must be a map";
        QTest::newRow("member") << "#cloud-config\nruncmd: ls\n" << "cloud-init.user-data:2:9: runcmd must be a list";
        QTest::newRow("cut off") << "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n" << "part 1 has no end";
        QTest::newRow("in a part") << "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/cloud-config\n\na: [\n--x--\n" << "cloud-init.user-data:";
        QTest::newRow("aliases") << "#cloud-config\na: &x [1]\nb: *x\n" << "";
        QTest::newRow("aliases, and broken") << "#cloud-config\na: &x [1]\nb: [\n" << "cloud-init.user-data:";
        QTest::newRow("another name") << "#cloud-config\nusers: [{name: user@example.org}]\n" << "";
        QTest::newRow("to fetch") << "#include\nhttp://example.org/\n" << "";
        QTest::newRow("template") << "## template: jinja\n#cloud-config\na: {{ b }}\n" << "";
        QTest::newRow("program") << "#!/bin/sh\n{{{\n" << "";
        QTest::newRow("deep") << "#cloud-config\na: " + QString(20000, '[') + "\n" << "cloud-init.user-data:";
    }
    void whatNoCloudInitTakesIsRefusedWhenItIsSet()
    {
        QFETCH(QString, text);
        QFETCH(QString, error);
        const StringMap after = {{"cloud-init.user-data", text.toStdString()}, {"limits.cpu", "1"}};
        const Status checked = checkCloudTexts({}, after);
        QCOMPARE(bool(checked), error.isEmpty());
        if (!checked)
            QVERIFY2(checked.error().code == Code::Invalid && checked.error().message.find(error.toStdString()) != std::string::npos, checked.error().message.c_str());
        QVERIFY(bool(checkCloudTexts(after, after))); // it was there before
        const Status old = checkCloudTexts({}, {{"user.vendor-data", text.toStdString()}});
        QCOMPARE(bool(old), error.isEmpty());
        QVERIFY(bool(checkCloudTexts({}, {{"cloud-init.network-config", "version: 2\n"}})));
        QVERIFY(!checkCloudTexts({}, {{"user.network-config", "version: [\n"}}));
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

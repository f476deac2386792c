// cloud-init.user-data: applied by lxmgr where the image has no cloud-init, handed to it where it has.
#include "support/system_test.h"

#include <QFile>
#include <crypt.h>

using namespace lxmgr::test;

class TestCloudInit : public SystemTest
{
    Q_OBJECT
private slots:
    void accountsFilesAndNameAreThereBeforeInit();
    void commandsRunOnceForAnInstance();
    void failingCommandFailsTheLaunch();
    void whatIsMalformedKeepsTheGuestFromRunning();
    void whatIsMalformedIsRefusedWhenItIsSet();
    void passwordsLetInAndAreToldNowhere();
    void partsOfAMessageAreAllRun();
    void whatIsNotAppliedIsWarnedOf();
    void profileAndOldSpellingWork();
    void copyAndNewTextAreAnotherInstance();
    void commandsOutliveTheDaemon();
    void commandsThatAreCutOffAreToldAndNotRunAgain();
    void imageWithCloudInitGetsASeed();

private:
    QString result(const QString &name) { return QString::fromUtf8(m_box.text({"config", "get", name, "volatile.cloud-init.result"})); }
    QByteArray idOf(const QString &name) { return m_box.text({"config", "get", name, "volatile.cloud-init.instance-id"}); }
};

namespace
{

QStringList userData(const QString &text) { return {"-c", "cloud-init.user-data=#cloud-config\n" + text}; }

} // namespace

void TestCloudInit::accountsFilesAndNameAreThereBeforeInit()
{
    launch("t1", userData(R"yaml(
hostname: box
fqdn: box.example.org
manage_etc_hosts: true
groups: [web]
ssh_authorized_keys: [ssh-ed25519 ROOT root@host]
users:
  - name: alice
    gecos: Alice A.
    groups: [web, audio]
    sudo: ALL=(ALL) NOPASSWD:ALL
    passwd: $6$salt$hash
    lock_passwd: false
    ssh_authorized_keys: [ssh-ed25519 AAAA alice@host]
  - {name: daemon2, system: true, no_create_home: true, shell: /bin/false}
write_files:
  - {path: /srv/deep/file, content: "one\n", owner: 'alice:web', permissions: '0640'}
  - {path: /etc/shells, content: "/bin/ash\n", append: true}
  - path: /etc/init.d/S10seen
    permissions: '0755'
    content: |
      #!/bin/sh
      echo "$(hostname) $(id -un alice) $(cat /srv/deep/file)" >/run/seen
)yaml") + QStringList{"--wait"});
    QCOMPARE(inside("t1", {"cat", "/run/seen"}), QByteArray("box alice one"));
    QCOMPARE(inside("t1", {"id", "alice"}), QByteArray("uid=1000(alice) gid=1001(alice) groups=1001(alice),1000(web),1002(audio)"));
    QCOMPARE(inside("t1", {"grep", "-h", "-e", "^alice:", "-e", "^daemon2:", "/etc/passwd", "/etc/shadow"}),
             QByteArray("alice:x:1000:1001:Alice A.:/home/alice:/bin/sh\ndaemon2:x:999:999::/home/daemon2:/bin/false\n"
                        "alice:$6$salt$hash::0:99999:7:::\ndaemon2:*::0:99999:7:::"));
    QCOMPARE(inside("t1", {"stat", "-c", "%n %a %U:%G", "/etc/passwd", "/etc/shadow", "/home/alice", "/home/alice/.ssh", "/home/alice/.ssh/authorized_keys",
                           "/root/.ssh/authorized_keys", "/etc/sudoers.d/90-cloud-init-users", "/srv/deep", "/srv/deep/file"}),
             QByteArray("/etc/passwd 644 root:root\n/etc/shadow 600 root:root\n/home/alice 750 alice:alice\n/home/alice/.ssh 700 alice:alice\n"
                        "/home/alice/.ssh/authorized_keys 600 alice:alice\n/root/.ssh/authorized_keys 600 root:root\n"
                        "/etc/sudoers.d/90-cloud-init-users 440 root:root\n/srv/deep 755 root:root\n/srv/deep/file 640 alice:web"));
    QCOMPARE(inside("t1", {"cat", "/home/alice/.ssh/authorized_keys", "/root/.ssh/authorized_keys", "/etc/sudoers.d/90-cloud-init-users", "/etc/shells"}),
             QByteArray("ssh-ed25519 AAAA alice@host\nssh-ed25519 ROOT root@host\nalice ALL=(ALL) NOPASSWD:ALL\n/bin/sh\n/bin/ash"));
    QVERIFY(inside("t1", {"cat", "/etc/hosts"}).contains("127.0.1.1 box.example.org box"));
    QCOMPARE(inside("t1", {"ls", "/home"}), QByteArray("alice"));
    QCOMPARE(result("t1"), QString("done"));
    // A reboot of its own and a start by us make nothing again: appended files say so.
    must({"restart", "t1"});
    QCOMPARE(inside("t1", {"cat", "/etc/shells"}), QByteArray("/bin/sh\n/bin/ash"));
    QCOMPARE(inside("t1", {"hostname"}), QByteArray("box"));
    const int init = m_box.initPid("t1");
    must({"exec", "t1", "--", "sh", "-c", "kill -TERM 1; exit 0"});
    QVERIFY(Sandbox::eventually([&] { return m_box.initPid("t1") != 0 && m_box.initPid("t1") != init; }));
    QCOMPARE(inside("t1", {"cat", "/etc/shells"}), QByteArray("/bin/sh\n/bin/ash"));
}

void TestCloudInit::commandsRunOnceForAnInstance()
{
    launch("t1", userData("bootcmd: ['echo boot >>/order']\nruncmd:\n  - 'cd /etc; x=5'\n  - 'echo $PWD $x $HOME >>/order'\n"
                          "  - [sh, -c, 'echo \"$0\" >>/order', \"it's\"]\n  - echo said\n") +
                     QStringList{"-c", "environment.COLOUR=blue", "--wait"});
    QCOMPARE(inside("t1", {"cat", "/order"}), QByteArray("boot\n/etc 5 /root\nit's"));
    QVERIFY(inside("t1", {"cat", "/var/log/cloud-init-output.log"}).contains("said"));
    QCOMPARE(inside("t1", {"stat", "-c", "%a", "/run/lxmgr-cloud-init"}), QByteArray("700"));
    QCOMPARE(result("t1"), QString("done"));
    const QByteArray id = idOf("t1");
    QCOMPARE(id.size(), 36);
    must({"restart", "t1"});
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t1/wait?for=cloud-init").body["metadata"].toObject()["status"].toString(), QString("done"));
    QCOMPARE(inside("t1", {"cat", "/order"}), QByteArray("boot\n/etc 5 /root\nit's"));
    QCOMPARE(idOf("t1"), id);
}

void TestCloudInit::failingCommandFailsTheLaunch()
{
    const Run failed = m_box.cli(QStringList{"launch", "busybox", "t1", "--wait"} + userData("runcmd: [[sh, -c, exit 7], echo on >/on]\npackages: [nginx]\n"));
    QVERIFY(!failed.ok());
    QVERIFY2(failed.err.contains("runcmd 1 (sh -c exit 7) ended with status 7"), failed.told());
    QVERIFY2(failed.err.contains("packages (nginx) ended with status 1"), failed.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("RUNNING"));
    QCOMPARE(inside("t1", {"cat", "/on"}), QByteArray("on"));
    QVERIFY(inside("t1", {"cat", "/var/log/cloud-init-output.log"}).contains("no package manager"));
    QVERIFY2(result("t1").startsWith("failed: "), qPrintable(result("t1")));
    must({"restart", "t1"}); // it is told, not tried again
    QVERIFY2(result("t1").startsWith("failed: "), qPrintable(result("t1")));
}

void TestCloudInit::whatIsMalformedKeepsTheGuestFromRunning()
{
    // What an image's own cloud-init may take is refused only by a start without one.
    const Run refused = m_box.cli(QStringList{"launch", "busybox", "t1"} + userData("users:\n  - name: a@b\n"));
    RUN_ENDS(refused, 9);
    QVERIFY2(refused.err.contains("cloud-init.user-data:3:11: "), refused.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    // The guest's own files have a say, too: then it is not started either.
    must({"config", "set", "t1", "cloud-init.user-data=#cloud-config\nwrite_files:\n  - {path: /x, owner: nosuch, content: y}\n"});
    const Run unknown = m_box.cli({"start", "t1"});
    QVERIFY(!unknown.ok());
    QVERIFY2(unknown.err.contains("write '/x': the guest has no user 'nosuch'"), unknown.told());
    QCOMPARE(m_box.stateOf("t1"), QByteArray("STOPPED"));
    must({"config", "set", "t1", "cloud-init.user-data=#cloud-config\nwrite_files:\n  - {path: /x, content: y}\n"});
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/x"}), QByteArray("y"));
}

void TestCloudInit::whatIsMalformedIsRefusedWhenItIsSet()
{
    const QString broken = "cloud-init.user-data=#cloud-config\nusers:\n  - name: 'a:b'\n";
    const auto isRefused = [&](const QStringList &command) {
        const Run refused = m_box.cli(command);
        return refused.status == 4 && refused.err.contains("cloud-init.user-data:3:11: ");
    };
    QVERIFY(isRefused({"launch", "busybox", "t1", "-c", broken}));
    QVERIFY(!m_box.cli({"info", "t1"}).ok()); // nothing was made
    must({"create", "busybox", "t1"});
    QVERIFY(isRefused({"config", "set", "t1", broken}));
    QCOMPARE(m_box.text({"config", "get", "t1", "cloud-init.user-data"}), QByteArray());
    must({"profile", "create", "cloudy"});
    QVERIFY(isRefused({"profile", "set", "cloudy", broken}));
    const Run edited = m_box.cli({"profile", "edit", "cloudy"}, "config:\n  user.vendor-data: |\n    #cloud-config\n    runcmd: [\n");
    RUN_ENDS(edited, 4);
    QVERIFY2(edited.err.contains("user.vendor-data:"), edited.told());
    const Run parts = m_box.cli({"config", "set", "t1", "user.user-data=Content-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n"});
    RUN_ENDS(parts, 4);
    QVERIFY2(parts.err.contains("user.user-data:5:1: part 1 has no end"), parts.told());
    must({"delete", "t1"});
    must({"profile", "delete", "cloudy"});
}

void TestCloudInit::passwordsLetInAndAreToldNowhere()
{
    launch("t1", userData(R"yaml(
users:
  - {name: alice, plain_text_passwd: open-sesame-1, lock_passwd: false}
  - {name: bob, hashed_passwd: $6$salt$bobs}
  - {name: carol}
  - {name: root, passwd: $6$salt$not-for-one-that-is-there, lock_passwd: false}
chpasswd:
  users:
    - {name: carol, password: open-sesame-2, type: text}
    - {name: root, type: RANDOM}
  list: ['bob:$6$salt$newer']
ssh_pwauth: false
)yaml") + QStringList{"--wait"});
    const QByteArrayList shadow = inside("t1", {"cat", "/etc/shadow"}).split('\n');
    QMap<QByteArray, QByteArrayList> rows;
    for (const QByteArray &line : shadow)
        rows[line.split(':').value(0)] = line.split(':');
    const auto fits = [&](const QByteArray &user, const QByteArray &password) {
        const QByteArray hash = rows[user].value(1);
        return hash.startsWith("$6$") && hash == QByteArray(::crypt(password, hash));
    };
    QVERIFY(fits("alice", "open-sesame-1"));
    QVERIFY(fits("carol", "open-sesame-2"));
    QVERIFY(!fits("carol", "open-sesame-1"));
    QCOMPARE(rows["carol"].value(2), QByteArray("0")); // to be changed at the first login
    QVERIFY(rows["alice"].value(2) != "0");
    QCOMPARE(rows["bob"].value(1), QByteArray("$6$salt$newer"));
    const QByteArray made = inside("t1", {"cat", "/root/cloud-init-passwords"});
    QVERIFY2(made.startsWith("root:") && made.size() == 25, made);
    QVERIFY(fits("root", made.mid(5)));
    QCOMPARE(inside("t1", {"stat", "-c", "%a %U", "/root/cloud-init-passwords"}), QByteArray("600 root"));
    QCOMPARE(inside("t1", {"cat", "/etc/ssh/sshd_config.d/50-cloud-init.conf"}), QByteArray("PasswordAuthentication no"));
    // Nobody else has heard of them: not the logs, not the events, not a process's arguments.
    QProcess search;
    search.start("grep", {"-rlaE", "open-sesame|" + QString::fromLatin1(made.mid(5)), m_box.stateDir() + "/logs", m_box.directory() + "/daemon.log"});
    QVERIFY(search.waitForFinished());
    QCOMPARE(search.readAllStandardOutput(), QByteArray());
    QVERIFY(!m_box.daemonLog().contains("open-sesame"));
    must({"restart", "t1"}); // made once
    QCOMPARE(inside("t1", {"cat", "/root/cloud-init-passwords"}), made);
}

void TestCloudInit::partsOfAMessageAreAllRun()
{
    launch("t1", {"--wait", "-c",
                  "cloud-init.user-data=MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n"
                  "--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho one >>/order\n"
                  "--x\nContent-Type: text/cloud-config\n\nruncmd: ['echo zero >>/order']\n"
                  "--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho two >>/order\nexit 0\n--x--\n"});
    QCOMPARE(inside("t1", {"cat", "/order"}), QByteArray("zero\none\ntwo"));
    // Of an address nothing is fetched, and who says so is not the log.
    const Run fetched = m_box.cli({"launch", "busybox", "t2", "-c", "cloud-init.user-data=#include\nhttp://127.0.0.1:9/\n"});
    RUN_ENDS(fetched, 9);
    QVERIFY2(fetched.err.contains("begins with '#include': lxmgr fetches nothing on behalf of a guest"), fetched.told());
}

void TestCloudInit::whatIsNotAppliedIsWarnedOf()
{
    const Run launched = m_box.cli(QStringList{"launch", "busybox", "t1"} + userData("ntp: {enabled: true}\n"));
    RUN_OK(launched);
    QVERIFY2(launched.err.contains("cloud-init.user-data:2:1: 'ntp' is not applied without the image's own cloud-init"), launched.told());
}

void TestCloudInit::profileAndOldSpellingWork()
{
    must({"profile", "create", "cloudy"});
    must({"profile", "set", "cloudy", "user.user-data=#cloud-config\nruncmd: ['echo old >/which']\n"});
    launch("t1", {"-p", "default", "-p", "cloudy", "--wait"});
    QCOMPARE(inside("t1", {"cat", "/which"}), QByteArray("old"));
    launch("t2", QStringList{"-p", "default", "-p", "cloudy", "--wait"} + userData("runcmd: ['echo new >/which']\n"));
    QCOMPARE(inside("t2", {"cat", "/which"}), QByteArray("new"));
    // A program instead of #cloud-config.
    launch("t3", {"--wait", "-c", "cloud-init.user-data=#!/bin/sh\necho \"$0\" >/which\n"});
    QCOMPARE(inside("t3", {"cat", "/which"}), QByteArray("/run/lxmgr-cloud-init/user-data"));
    must({"delete", "--force", "t1", "t2", "t3"});
    must({"profile", "delete", "cloudy"});
}

void TestCloudInit::copyAndNewTextAreAnotherInstance()
{
    launch("t1", userData("runcmd: ['echo ran >>/runs']\n") + QStringList{"--wait"});
    must({"stop", "--force", "t1"});
    must({"copy", "t1", "t2"});
    must({"start", "t2"});
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t2/wait?for=cloud-init").body["metadata"].toObject()["status"].toString(), QString("done"));
    QCOMPARE(inside("t2", {"cat", "/runs"}), QByteArray("ran\nran"));
    QVERIFY(idOf("t1") != idOf("t2"));
    const QByteArray before = idOf("t2");
    must({"config", "set", "t2", "cloud-init.user-data=#cloud-config\nruncmd: ['echo again >>/runs']\n"});
    must({"restart", "t2"});
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t2/wait?for=cloud-init").body["metadata"].toObject()["status"].toString(), QString("done"));
    QCOMPARE(inside("t2", {"cat", "/runs"}), QByteArray("ran\nran\nagain"));
    QVERIFY(idOf("t2") != before);
}

void TestCloudInit::commandsOutliveTheDaemon()
{
    launch("t1", userData("runcmd: ['echo begun >>/runs', 'while [ ! -e /go ]; do sleep 0.1; done', 'exit 3']\n"));
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"test", "-e", "/runs"}).ok(); }));
    m_box.killDaemon();
    QVERIFY2(m_box.startDaemon(), m_box.daemonLog().constData());
    QCOMPARE(result("t1"), QString("running"));
    must({"exec", "t1", "--", "touch", "/go"});
    const QJsonObject ended = m_box.rest("GET", "/1.0/instances/t1/wait?for=cloud-init").body["metadata"].toObject();
    QCOMPARE(ended["status"].toString(), QString("failed"));
    QCOMPARE(ended["message"].toString(), QString("runcmd 3 (exit 3) ended with status 3"));
    QCOMPARE(inside("t1", {"cat", "/runs"}), QByteArray("begun"));
}

void TestCloudInit::commandsThatAreCutOffAreToldAndNotRunAgain()
{
    launch("t1", userData("runcmd: ['echo begun >>/runs', 'while :; do sleep 0.1; done']\n"));
    QVERIFY(Sandbox::eventually([&] { return exec("t1", {"test", "-e", "/runs"}).ok(); }));
    const Run late = m_box.cli({"query", "/1.0/instances/t1/wait?for=cloud-init&timeout=0"});
    QVERIFY(!late.ok());
    QVERIFY2(late.told().contains("not done yet"), late.told());
    must({"stop", "--force", "t1"});
    QVERIFY(Sandbox::eventually([&] { return result("t1").startsWith("interrupted: "); }));
    must({"start", "t1"});
    QCOMPARE(inside("t1", {"cat", "/runs"}), QByteArray("begun"));
    QVERIFY2(result("t1").startsWith("interrupted: "), qPrintable(result("t1")));
}

void TestCloudInit::imageWithCloudInitGetsASeed()
{
    must(QStringList{"create", "busybox", "t1", "-c", "user.meta-data=extra: 1\n", "-c", "cloud-init.network-config=version: 2\n"} +
         userData("runcmd: [touch /ran]\n"));
    // What matters of cloud-init here is that it is there, and how it answers.
    must({"file", "push", "--mode", "0755", "-", "t1/usr/bin/cloud-init"}, "#!/bin/sh\necho \"status: $*\"\nexit $(cat /status 2>/dev/null || echo 0)\n");
    must({"start", "t1"});
    const QString seed = "/var/lib/cloud/seed/nocloud-net/";
    const QByteArray id = idOf("t1");
    QCOMPARE(inside("t1", {"cat", seed + "meta-data"}), "#cloud-config\ninstance-id: " + id + "\nlocal-hostname: t1\nextra: 1");
    QCOMPARE(inside("t1", {"cat", seed + "user-data"}), QByteArray("#cloud-config\nruncmd: [touch /ran]"));
    QCOMPARE(inside("t1", {"cat", seed + "vendor-data"}), QByteArray("#cloud-config\n{}"));
    QCOMPARE(inside("t1", {"cat", seed + "network-config"}), QByteArray("version: 2"));
    QCOMPARE(inside("t1", {"stat", "-c", "%a", seed + "user-data"}), QByteArray("600"));
    QCOMPARE(result("t1"), QString());
    QVERIFY(!exec("t1", {"test", "-e", "/ran"}).ok());
    const auto told = [&] { return m_box.rest("GET", "/1.0/instances/t1/wait?for=cloud-init").body["metadata"].toObject(); };
    QCOMPARE(told()["status"].toString(), QString("done"));
    must({"file", "push", "-", "t1/status"}, "1\n");
    QCOMPARE(told()["status"].toString(), QString("failed"));
    QCOMPARE(told()["message"].toString(), QString("cloud-init: status: status --wait --long"));
    // What it got over is a warning.
    must({"file", "push", "-", "t1/status"}, "2\n");
    must({"stop", "--force", "t1"});
    must({"publish", "t1", "--alias", "degraded"});
    const Run degraded = m_box.cli({"launch", "degraded", "t3", "--wait"});
    RUN_OK(degraded);
    QVERIFY2(degraded.err.contains("Warning: cloud-init: status: status --wait --long"), degraded.told());
    QVERIFY(idOf("t3") != id);
    must({"delete", "--force", "t3"});
    must({"image", "delete", "degraded"});
    // Without it, nothing of the kind is written.
    launch("t2", {"--wait"});
    QVERIFY(!exec("t2", {"test", "-e", "/var/lib/cloud"}).ok());
    QCOMPARE(m_box.rest("GET", "/1.0/instances/t2/wait?for=cloud-init").body["metadata"].toObject()["status"].toString(), QString("none"));
}

QTEST_GUILESS_MAIN(TestCloudInit)
#include "tst_cloud_init.moc"

// Debian's own Docker inside an unprivileged guest with the shipped profile "docker": it works, and its containers do.
#include "support/system_test.h"

using namespace lxmgr::test;

class TestDocker : public SystemTest
{
    Q_OBJECT
private slots:
    void isInstalledFromTheArchive();
    void saysWhatItRunsOn();
    void runsAContainerFromALocalTarball();
    void limitsItsContainers();
    void containersHaveANetwork();
    void buildsAnImage();
    void comesBackAfterAReboot();
    void goesWithItsVolume();

private:
    void prepare() override;
    /// Standard output of `docker args…` inside; all it said where it failed.
    QByteArray docker(const QStringList &args);

    QString m_lack;
};

void TestDocker::prepare()
{
    m_lack = provideImage(m_box, "debian/13");
    if (!m_lack.isEmpty())
        return;
    must({"profile", "create", "docker", "--from", "docker"});
    // Its layers are overlays, and an overlay (the root in the default pool) holds no other's upper layer; a volume does.
    must({"storage", "volume", "create", "default", "docker-of-d1"});
    must({"storage", "volume", "delete", "default", "docker-of-d1", "--purge"});
    m_first = m_box.settledStock(); // the pool has its folders for volumes now
    must({"storage", "volume", "create", "default", "docker-of-d1"});
    must({"create", "debian/13", "d1", "-p", "default", "-p", "docker"}, {}, 180000);
    must({"storage", "volume", "attach", "default", "docker-of-d1", "d1", "/var/lib/docker"});
    must({"start", "d1", "--wait"}, {}, 180000);
    m_keep << "d1";
}

QByteArray TestDocker::docker(const QStringList &args) { return inside("d1", QStringList{"docker"} + args); }

void TestDocker::isInstalledFromTheArchive()
{
    if (!m_lack.isEmpty())
        QSKIP(qPrintable("no image of Debian 13: " + m_lack));
    m_lack = m_box.connectUplink();
    if (!m_lack.isEmpty())
        QSKIP(qPrintable("no way to the archive: " + m_lack));
    m_lack = "Docker is not installed";
    // A list that cannot be fetched is no more than a warning to apt-get unless it is told so.
    const Run update = m_box.cli({"exec", "d1", "--", "apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "APT::Update::Error-Mode=any", "update"}, {}, 300000);
    if (!update.ok() && (update.out + update.err).contains("Failed to fetch"))
        QSKIP("the archive does not answer");
    RUN_OK(update);
    const Run install = m_box.cli({"exec", "d1", "--env", "DEBIAN_FRONTEND=noninteractive", "--", "apt-get", "-q", "-o", "Acquire::Retries=3", "install", "-y",
                                   "--no-install-recommends", "docker.io", "docker-cli", "iptables", "busybox-static"},
                                  {}, 600000);
    if (!install.ok() && (install.out + install.err).contains("Failed to fetch")) // it had the list a moment ago, and not what is in it
        QSKIP("the archive does not answer");
    RUN_OK(install);
    m_box.disconnectUplink();
    m_lack.clear();
}

#define NEEDS_DOCKER()                                                                                                 \
    if (!m_lack.isEmpty())                                                                                             \
    QSKIP(qPrintable(m_lack))

void TestDocker::saysWhatItRunsOn()
{
    NEEDS_DOCKER();
    QVERIFY(Sandbox::eventually([&] { return inside("d1", {"systemctl", "is-active", "docker"}) == "active"; }));
    const QByteArray info = docker({"info"});
    QVERIFY2(info.contains("Storage Driver: overlay2"), info);
    QVERIFY2(info.contains("Cgroup Version: 2"), info);
    QCOMPARE(inside("d1", {"systemctl", "is-system-running"}), QByteArray("running"));
}

void TestDocker::runsAContainerFromALocalTarball()
{
    NEEDS_DOCKER();
    must({"exec", "d1", "--", "sh", "-c",
          "mkdir -p /t/bin /t/etc /t/opt && touch /t/opt/old && cp /bin/busybox /t/bin/ && for c in sh cat echo ip id sleep touch ls ping nproc; do ln -sf busybox /t/bin/$c; done && "
          "echo root:x:0:0::/:/bin/sh > /t/etc/passwd && tar -C /t -c . | docker import - tiny"});
    QCOMPARE(docker({"run", "--rm", "tiny", "/bin/sh", "-c", "echo hello from $(id -u)"}), QByteArray("hello from 0"));
    // Its own layer, with what overlayfs needs whiteouts and opaque folders for.
    QCOMPARE(docker({"run", "--name", "c1", "tiny", "/bin/sh", "-c",
                     "busybox rm -r /opt /bin/nproc && busybox mkdir /opt && echo new > /opt/x"}),
             QByteArray(""));
    const QByteArray changes = docker({"diff", "c1"});
    QVERIFY2(changes.contains("D /bin/nproc") && changes.contains("A /opt/x"), changes);
    QVERIFY2(docker({"commit", "c1", "second"}).startsWith("sha256:"), "commit");
    QCOMPARE(docker({"run", "--rm", "second", "/bin/sh", "-c", "ls /opt; test -e /bin/nproc || echo gone"}), QByteArray("x\ngone"));
    QCOMPARE(docker({"rm", "c1"}), QByteArray("c1"));
}

void TestDocker::limitsItsContainers()
{
    NEEDS_DOCKER();
    // Where the guest's own tree carries the controller: on a host with v1 controllers it does not, and Docker says so.
    if (!inside("d1", {"cat", "/sys/fs/cgroup/cgroup.controllers"}).split(' ').contains("pids"))
        QSKIP("the guest has no pids controller to hand on (control groups v1 of the host)");
    QCOMPARE(docker({"run", "--rm", "--pids-limit", "20", "tiny", "/bin/cat", "/sys/fs/cgroup/pids.max"}), QByteArray("20"));
}

void TestDocker::containersHaveANetwork()
{
    NEEDS_DOCKER();
    const QByteArray gateway = inside("d1", {"sh", "-c", "ip -4 -br address show docker0 | grep -o '[0-9.]*/' | tr -d /"});
    QVERIFY2(docker({"run", "--rm", "tiny", "/bin/ping", "-c", "1", "-w", "5", QString::fromUtf8(gateway)}).contains("1 packets received"), gateway);
    // A published port answers in the guest.
    must({"exec", "d1", "--", "docker", "run", "-d", "--rm", "--name", "web", "-p", "8080:80", "tiny", "/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/etc"});
    QVERIFY(Sandbox::eventually([&] { return inside("d1", {"busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/passwd"}).startsWith("root:x:0"); }));
    QCOMPARE(docker({"kill", "web"}), QByteArray("web"));
}

void TestDocker::buildsAnImage()
{
    NEEDS_DOCKER();
    must({"exec", "d1", "--", "sh", "-c",
          "mkdir -p /b && cp /bin/busybox /b/ && printf 'FROM tiny\\nCOPY busybox /bin/second\\nRUN touch /built\\nCMD [\"/bin/ls\", \"/built\"]\\n' > /b/Dockerfile && "
          "DOCKER_BUILDKIT=0 docker build -q -t built /b"},
         {}, 120000);
    QCOMPARE(docker({"run", "--rm", "built"}), QByteArray("/built"));
}

void TestDocker::comesBackAfterAReboot()
{
    NEEDS_DOCKER();
    must({"exec", "d1", "--", "docker", "run", "-d", "--restart", "always", "--name", "stays", "tiny", "/bin/sleep", "1000000"});
    must({"restart", "d1"}, {}, 120000);
    QVERIFY(Sandbox::eventually([&] { return docker({"ps", "--format", "{{.Names}}"}) == "stays"; }, 60000));
    QCOMPARE(docker({"rm", "-f", "stays"}), QByteArray("stays"));
}

void TestDocker::goesWithItsVolume()
{
    if (m_keep.isEmpty())
        QSKIP(qPrintable(m_lack));
    must({"delete", "--force", "--purge", "d1"});
    must({"storage", "volume", "delete", "default", "docker-of-d1", "--purge"});
    must({"profile", "delete", "docker"});
    must({"undo", "delete", "--all"});
}

QTEST_GUILESS_MAIN(TestDocker)
#include "tst_docker.moc"

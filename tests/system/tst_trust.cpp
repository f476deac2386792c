// The way in over TLS: strangers, tokens, restricted certificates, projects that keep away from the host, and the record of it all.
#include "support/system_test.h"

#include <QCryptographicHash>
#include <QDir>
#include <QElapsedTimer>
#include <QFile>
#include <QJsonObject>
#include <QLocalSocket>
#include <QStandardPaths>

#include <algorithm>
#include <memory>
#include <vector>

using namespace lxmgr::test;

class TestTrust : public SystemTest
{
    Q_OBJECT
private slots:
    void strangersSeeThePublicPartOnly();
    void oldTlsIsRefused();
    void secretsShowOneImage();
    void tokensAreUsedOnce();
    void guestsAreWorkedOnOverTls();
    void restrictedClientsStayInTheirProjects();
    void takenTrustEndsConnections();
    void restrictedProjectsKeepAwayFromTheHost();
    void limitsOfProjectsCount();
    void projectsShareWithDefault();
    void volumesAreWorkedOnThroughAProject();
    void aProjectIsChosenForTheNextCommands();
    void takenAddressesAreNamed();
    void theTunnelComesBack();
    void anAuthorityVouchesForClients();
    void thePasswordMakesTrusted();
    void aCrowdStallsNobody();
    void changesAreWrittenDown();

private:
    void prepare() override
    {
        if (QStandardPaths::findExecutable("curl").isEmpty())
            QSKIP("needs curl");
        must({"config", "set", "core.https_address=127.0.0.1:8443"});
        must({"storage", "volume", "create", "default", "first"}); // the folders that the first volume of a pool brings with it stay
        must({"storage", "volume", "delete", "default", "first", "--purge"});
    }
    /// `lxmgr args…` of a user with a configuration folder of his own.
    Run as(const QString &user, const QStringList &args, const QByteArray &input = {});
    QByteArray token(const QStringList &flags, const QString &name);
    QByteArray curl(const QStringList &args);

    QByteArray m_secret; ///< Of an image: it must show up in no log.
};

Run TestTrust::as(const QString &user, const QStringList &args, const QByteArray &input)
{
    RunOptions options;
    options.environment = m_box.environment();
    options.environment.insert("LXMGR_CONF", m_box.directory() + "/conf-" + user);
    options.input = input;
    options.timeoutMs = 120000;
    return run(QStringList{Sandbox::program("lxmgr")} + args, options);
}

QByteArray TestTrust::token(const QStringList &flags, const QString &name) { return m_box.text(QStringList{"config", "trust", "add", name, "-q"} + flags); }

QByteArray TestTrust::curl(const QStringList &args)
{
    return run(QStringList{"curl", "-sk", "--max-time", "20"} + args).out;
}

void TestTrust::strangersSeeThePublicPartOnly()
{
    const QByteArray root = curl({"https://127.0.0.1:8443/1.0"});
    QVERIFY2(root.contains("\"auth\":\"untrusted\"") && !root.contains("server_name"), root);
    for (const char *path : {"/1.0/instances", "/1.0/profiles", "/1.0/certificates", "/1.0/operations", "/1.0/events", "/1.0/networks", "/1.0/metrics", "/internal/recover"}) {
        const QByteArray answer = curl({QString("https://127.0.0.1:8443") + path});
        QVERIFY2(answer.contains("\"error_code\":403") || answer.contains("\"error_code\":501"), QByteArray(path) + ": " + answer);
    }
    QVERIFY(curl({"https://127.0.0.1:8443/1.0/images"}).contains("\"metadata\":[]"));
    // Which projects there are shows in nothing.
    must({"project", "create", "hidden"});
    QByteArray shown;
    QByteArrayList prints; // two private ones there that begin alike, and one for all to see
    const QString work = m_box.directory() + "/pictures";
    QVERIFY(QDir().mkpath(work + "/tree/rootfs"));
    for (int i = 0; prints.size() < 2; ++i) {
        QFile metadata(work + "/tree/metadata.yaml"), archive(work + "/picture.tar");
        QVERIFY(metadata.open(QIODevice::WriteOnly) && metadata.write("architecture: x86_64\ncreation_date: " + QByteArray::number(1000 + i) + "\n") > 0);
        metadata.close();
        RUN_OK(run({"tar", "-C", work + "/tree", "-cf", archive.fileName(), "."}));
        QVERIFY(archive.open(QIODevice::ReadOnly));
        const QByteArray print = QCryptographicHash::hash(archive.readAll(), QCryptographicHash::Sha256).toHex();
        if (i == 0) {
            must({"image", "import", archive.fileName(), "--public"});
            shown = print;
        } else if (print.startsWith('a')) {
            must({"image", "import", archive.fileName(), "--project", "hidden"});
            prints += print;
        }
    }
    QVERIFY(curl({"https://127.0.0.1:8443/1.0/images?project=nothere&all-projects=true"}).contains("/1.0/images/"));
    for (const QString path : {"images?", "images?all-projects=true&recursion=1&", "images?filter=nonsense&", "images/a?", "images/a/export?", "images?recursion=1&", "images/abcdef?", "images/abcdef/export?", "images/abcdef?secret=guess&", "images/aliases/x?", "images/aliases/x/y?", "instances?"}) {
        const QByteArray there = curl({"https://127.0.0.1:8443/1.0/" + path + "project=hidden"});
        const QByteArray none = curl({"https://127.0.0.1:8443/1.0/" + path + "project=nothere"});
        QVERIFY2(!there.isEmpty() && QByteArray(there).replace("hidden", "nothere") == none, there + none);
    }
    for (const QByteArray &print : prints)
        must({"image", "delete", QString::fromUtf8(print), "--project", "hidden"});
    must({"image", "delete", QString::fromUtf8(shown)});
    must({"project", "delete", "hidden"});
    // A page of another site gets nothing done with the certificate of whoever looks at it.
    QVERIFY(curl({"-H", "Origin: https://elsewhere.example", "https://127.0.0.1:8443/1.0"}).contains("\"error_code\":403"));
    QVERIFY(curl({"-H", "Sec-Fetch-Site: cross-site", "https://127.0.0.1:8443/1.0"}).contains("\"error_code\":403"));
    QVERIFY(curl({"-H", "Origin: https://127.0.0.1:8443", "https://127.0.0.1:8443/1.0"}).contains("untrusted"));
    // A name that somebody else had lead here makes his page no page of ours.
    QVERIFY(curl({"-H", "Origin: https://elsewhere.example:8443", "-H", "Host: elsewhere.example:8443", "https://127.0.0.1:8443/1.0"}).contains("\"error_code\":403"));
    QVERIFY(curl({"-H", "Host: elsewhere.example:8443", "https://127.0.0.1:8443/1.0"}).contains("untrusted")); // a program's name for us is its own affair
    QVERIFY(curl({"-X", "POST", "-d", "{\"type\":\"client\",\"password\":\"guess\"}", "https://127.0.0.1:8443/1.0/certificates"}).contains("\"type\":\"error\""));
}

void TestTrust::secretsShowOneImage()
{
    must({"launch", "busybox", "pic"}); // there is an image from here on, and it is nobody's but ours
    const QByteArray print = m_box.text({"image", "list", "-f", "csv", "-c", "F"});
    const QString image = "https://127.0.0.1:8443/1.0/images/" + QString::fromUtf8(print);
    for (const char *secret : {"", "?secret=", "?secret=guess", "?secret=%00"})
        QVERIFY2(curl({image + secret}).contains("\"type\":\"error\""), secret);
    const QByteArray made = m_box.text({"query", "-X", "POST", "/1.0/images/" + QString::fromUtf8(print) + "/secret"});
    const QByteArray secret = m_secret = made.mid(made.indexOf("\"secret\":\"") + 10, 64);
    QVERIFY2(curl({image + "?secret=" + QString::fromUtf8(secret)}).contains(print), made);
    // It is good for this image once, and no way to be trusted.
    const QByteArray server = m_box.text({"query", "/1.0"});
    const QByteArray own = server.mid(server.indexOf("\"certificate_fingerprint\":\"") + 27, 64);
    const QByteArray token = QByteArray("{\"client_name\":\"\",\"fingerprint\":\"" + own + "\",\"addresses\":[\"127.0.0.1:8443\"],\"secret\":\"" + secret +
                                        "\",\"expires_at\":\"2100-01-01T00:00:00Z\"}").toBase64();
    const Run joined = as("thief", {"remote", "add", "far", "https://127.0.0.1:8443", "--accept-certificate", "--token", token});
    QVERIFY2(!joined.ok() && joined.err.contains("not authorized"), joined.told());
    QCOMPARE(m_box.text({"config", "trust", "list", "-f", "csv", "-c", "n"}), QByteArray());
    const QString fetch = image + "/export?secret=" + QString::fromUtf8(secret);
    QVERIFY(curl({"-o", "/dev/null", "-w", "%{http_code}", fetch}) == "200");
    QVERIFY(curl({"-o", "/dev/null", "-w", "%{http_code}", fetch}) == "404");
}

void TestTrust::oldTlsIsRefused() { QVERIFY(curl({"--tls-max", "1.2", "https://127.0.0.1:8443/1.0"}).isEmpty()); }

void TestTrust::tokensAreUsedOnce()
{
    const QByteArray once = token({"--unrestricted"}, "laptop");
    QVERIFY2(once.size() > 100, once);
    QVERIFY(m_box.text({"config", "trust", "list-tokens", "-f", "csv", "-c", "n"}).contains("laptop"));
    RUN_OK(as("laptop", {"remote", "add", "far", once}));
    RUN_OK(as("laptop", {"list", "far:"}));
    const Run again = as("other", {"remote", "add", "far", once});
    QVERIFY2(!again.ok() && again.err.contains("not authorized"), again.told());
    QCOMPARE(m_box.text({"config", "trust", "list-tokens", "-f", "csv", "-c", "n"}), QByteArray());
    QCOMPARE(m_box.text({"config", "trust", "list", "-f", "csv", "-c", "nr"}), QByteArray("laptop,NO"));
    const QByteArray revoked = token({}, "gone");
    must({"config", "trust", "revoke-token", "gone"});
    QVERIFY(!as("other", {"remote", "add", "far", revoked}).ok());
}

void TestTrust::guestsAreWorkedOnOverTls()
{
    RUN_OK(as("laptop", {"launch", "busybox", "far:t1"}));
    QCOMPARE(as("laptop", {"exec", "far:t1", "--", "echo", "over", "there"}).out, QByteArray("over there\n"));
    QCOMPARE(as("laptop", {"exec", "far:t1", "--", "sh", "-c", "exit 7"}).status, 7);
    const QByteArray big(300000, 'x');
    QCOMPARE(as("laptop", {"exec", "far:t1", "--", "wc", "-c"}, big).out.trimmed(), QByteArray("300000"));
    RUN_OK(as("laptop", {"file", "push", "-", "far:t1/root/note"}, big));
    QCOMPARE(as("laptop", {"file", "pull", "far:t1/root/note", "-"}).out, big);
    RUN_OK(as("laptop", {"delete", "--force", "far:t1"}));
}

void TestTrust::restrictedClientsStayInTheirProjects()
{
    must({"project", "create", "team1", "restricted=true"});
    must({"project", "create", "team2"});
    launch("mine");
    RUN_OK(as("member", {"remote", "add", "far", token({"--projects", "team1"}, "member")}));
    RUN_OK(as("member", {"list", "far:", "--project", "team1"}));
    for (const QStringList &args : {QStringList{"list", "far:"}, {"list", "far:", "--project", "team2"}, {"config", "show", "far:mine"}, {"delete", "--force", "far:mine"},
                                    {"config", "set", "far:", "user.x=1"}, {"project", "create", "far:team3"}, {"project", "set", "far:team1", "restricted=false"},
                                    {"storage", "create", "far:p", "dir"}, {"network", "create", "far:n"}, {"config", "trust", "add", "far:", "friend"}}) {
        const Run run = as("member", args);
        QVERIFY2(!run.ok(), run.told());
    }
    // What is not there and what is not for him look alike.
    const QByteArray there = as("member", {"list", "far:", "--project", "team2"}).err;
    QCOMPARE(QByteArray(there).replace("team2", "team9"), as("member", {"list", "far:", "--project", "team9"}).err);
    QCOMPARE(as("member", {"project", "list", "far:", "-f", "csv", "-c", "n"}).out.trimmed(), QByteArray("team1"));
    QCOMPARE(as("member", {"config", "trust", "list", "far:", "-f", "csv", "-c", "n"}).out.trimmed(), QByteArray("member"));
    QVERIFY(!as("member", {"storage", "show", "far:default"}).out.contains("used_by:\n- "));
    QCOMPARE(as("member", {"query", "far:/1.0/instances?all-projects=true&recursion=1"}).out.trimmed(), QByteArray("[]"));
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "ns"}), QByteArray("mine,RUNNING"));
    for (const QByteArray &line : m_box.text({"config", "trust", "list", "-f", "csv", "-c", "nF"}).split('\n'))
        if (line.startsWith("member,"))
            must({"config", "trust", "remove", QString::fromUtf8(line.mid(7))});
    must({"project", "delete", "team1", "team2"});
}

void TestTrust::takenTrustEndsConnections()
{
    launch("t2");
    const QString fingerprint = QString::fromUtf8(m_box.text({"config", "trust", "list", "-f", "csv", "-c", "F"}));
    QCOMPARE(fingerprint.size(), 64);
    must({"config", "trust", "remove", fingerprint.left(10)});
    const Run after = as("laptop", {"list", "far:"});
    QVERIFY2(!after.ok(), after.told());
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "ns"}), QByteArray("t2,RUNNING"));
}

void TestTrust::restrictedProjectsKeepAwayFromTheHost()
{
    must({"project", "create", "team1", "restricted=true"});
    must({"profile", "device", "add", "default", "root", "disk", "path=/", "pool=default", "--project", "team1"});
    RUN_OK(m_box.cli({"launch", "busybox", "g1", "--project", "team1"}));
    const auto refused = [&](const QStringList &args, const QByteArray &key) {
        const Run run = m_box.cli(args + QStringList{"--project", "team1"});
        QVERIFY2(!run.ok() && run.err.contains(key), run.told());
    };
    refused({"launch", "busybox", "g2", "-c", "security.privileged=true"}, "restricted.containers.privilege");
    refused({"config", "set", "g1", "security.nesting=true"}, "restricted.containers.nesting");
    refused({"config", "set", "g1", "raw.idmap=both 1000 1000"}, "restricted.containers.lowlevel");
    refused({"config", "device", "add", "g1", "etc", "disk", "source=/etc", "path=/mnt"}, "restricted.devices.disk");
    refused({"config", "device", "add", "g1", "null", "unix-char", "source=/dev/null", "path=/dev/null2"}, "restricted.devices.unix-char");
    refused({"config", "device", "add", "g1", "mpi", "infiniband", "nictype=physical", "parent=ib0"}, "restricted.devices.infiniband");
    refused({"config", "device", "add", "g1", "tpm", "tpm", "path=/dev/tpm0"}, "restricted.devices.unix-char");
    refused({"config", "device", "add", "g1", "p", "proxy", "listen=tcp:127.0.0.1:7777", "connect=tcp:127.0.0.1:7"}, "restricted.devices.proxy");
    refused({"profile", "device", "add", "default", "etc", "disk", "source=/etc", "path=/mnt"}, "restricted.devices.disk");
    refused({"snapshot", "create", "g1", "s0"}, "restricted.snapshots");
    refused({"export", "g1", "-"}, "restricted.backups");
    refused({"copy", "g1", "g3", "-c", "security.nesting=true"}, "restricted.containers.nesting");
    must({"project", "set", "team1", "restricted.snapshots=allow"});
    RUN_OK(m_box.cli({"snapshot", "create", "g1", "s0", "--project", "team1"}));
    RUN_OK(m_box.cli({"delete", "--force", "--purge", "g1", "--project", "team1"}));
    const Run unknown = m_box.cli({"project", "set", "team1", "restricted.nonsense=1"});
    QVERIFY2(!unknown.ok() && unknown.err.contains("restricted.nonsense"), unknown.told());
    must({"image", "delete", QString::fromUtf8(m_box.text({"image", "list", "-f", "csv", "-c", "F", "--project", "team1"})), "--project", "team1"});
    must({"project", "delete", "team1"});
}

void TestTrust::limitsOfProjectsCount()
{
    must({"project", "create", "small", "limits.instances=1"});
    must({"profile", "device", "add", "default", "root", "disk", "path=/", "pool=default", "--project", "small"});
    RUN_OK(m_box.cli({"init", "--empty", "one", "--project", "small"}));
    const Run second = m_box.cli({"init", "--empty", "two", "--project", "small"});
    QVERIFY2(!second.ok() && second.err.contains("limits.instances"), second.told());
    const Run full = m_box.cli({"project", "delete", "small"});
    QVERIFY2(!full.ok() && full.err.contains("not empty"), full.told());
    RUN_OK(m_box.cli({"delete", "--purge", "one", "--project", "small"}));
    must({"project", "rename", "small", "smaller"});
    must({"project", "delete", "smaller"});
}

void TestTrust::projectsShareWithDefault()
{
    launch("plain");
    const QByteArray images = m_box.text({"image", "list", "-f", "csv", "-c", "F"});
    must({"project", "create", "shared", "-c", "features.images=false", "-c", "features.profiles=no"});
    QCOMPARE(m_box.text({"project", "get", "shared", "features.profiles"}), QByteArray("false"));
    QCOMPARE(m_box.text({"image", "list", "-f", "csv", "-c", "F", "--project", "shared"}), images);
    must({"launch", "busybox", "guest", "--project", "shared"}); // of the image and with the profile that default has
    QCOMPARE(m_box.text({"image", "list", "-f", "csv", "-c", "F"}), images);
    QVERIFY(m_box.text({"profile", "show", "default"}).contains("/1.0/instances/guest?project=shared"));
    must({"profile", "set", "default", "limits.memory=77MiB"});
    QVERIFY(m_box.text({"config", "show", "-e", "guest", "--project", "shared"}).contains("limits.memory: \"77MiB\""));
    QVERIFY(m_box.text({"exec", "guest", "--project", "shared", "--", "sh", "-c", "cat /sys/fs/cgroup/memory.max 2>/dev/null || echo none"}).size() > 0);
    must({"profile", "unset", "default", "limits.memory"});
    const Run late = m_box.cli({"project", "set", "shared", "features.profiles=true"});
    QVERIFY2(!late.ok() && late.err.contains("empty"), late.told());
    const Run own = m_box.cli({"project", "set", "default", "features.images=false"});
    QVERIFY2(!own.ok() && own.err.contains("default"), own.told());
    // Who may work on it shows; to himself alone where he is restricted.
    const QByteArray there = m_box.text({"query", "/1.0/instances/guest/access?project=shared"});
    QVERIFY2(!there.contains("\"operator\""), there);
    // Who is at home in it uses what is shared, and changes nothing of it.
    RUN_OK(as("guestmember", {"remote", "add", "far", token({"--projects", "shared"}, "guestmember")}));
    QVERIFY(m_box.text({"query", "/1.0/instances/guest/access?project=shared"}).contains("\"operator\""));
    QCOMPARE(as("guestmember", {"query", "far:/1.0/instances/guest/access?project=shared"}).out.count("identifier"), 1);
    const Run seen = as("guestmember", {"profile", "show", "far:default", "--project", "shared"});
    QVERIFY2(seen.ok() && seen.out.contains("guest") && !seen.out.contains("plain"), seen.told());
    const Run changed = as("guestmember", {"profile", "set", "far:default", "user.x=1", "--project", "shared"});
    QVERIFY2(!changed.ok() && changed.err.contains("project 'default'"), changed.told());
    const Run removed = as("guestmember", {"image", "delete", "far:" + QString::fromUtf8(images.split('\n').value(0)), "--project", "shared"});
    QVERIFY2(!removed.ok() && removed.err.contains("project 'default'"), removed.told());
    must({"delete", "--force", "--purge", "guest", "--project", "shared"});
    must({"project", "set", "shared", "features.profiles=true"}); // empty again: it gets a profile of its own
    QVERIFY(!m_box.text({"profile", "show", "default", "--project", "shared"}).contains("root:"));
    must({"project", "delete", "shared"});
    for (const QByteArray &line : m_box.text({"config", "trust", "list", "-f", "csv", "-c", "nF"}).split('\n'))
        if (line.startsWith("guestmember,"))
            must({"config", "trust", "remove", QString::fromUtf8(line.mid(12))});
}

/// A client that is restricted to a project with features.storage.volumes=false.
void TestTrust::volumesAreWorkedOnThroughAProject()
{
    must({"storage", "volume", "create", "default", "data"});
    must({"init", "busybox", "plain"});
    must({"storage", "volume", "attach", "default", "data", "plain", "/mnt"});
    must({"project", "create", "shared", "features.images=false", "features.profiles=false", "features.storage.volumes=false"});
    RUN_OK(as("volumer", {"remote", "add", "far", token({"--projects", "shared"}, "volumer")}));
    const auto member = [&](const QStringList &args) { return as("volumer", args + QStringList{"--project", "shared"}); };
    const Run list = member({"storage", "volume", "list", "far:default", "-f", "csv", "-c", "n"});
    QVERIFY2(list.out.split('\n').contains("data") && !list.out.contains("plain"), list.told());
    RUN_OK(member({"init", "busybox", "far:guest"}));
    RUN_OK(member({"storage", "volume", "attach", "far:default", "data", "guest", "/mnt"}));
    const Run shown = member({"storage", "volume", "show", "far:default", "data"});
    QVERIFY2(shown.ok() && shown.out.contains("guest") && !shown.out.contains("plain"), shown.told());
    const Run urls = member({"query", "far:/1.0/storage-pools/default/volumes?project=shared"});
    QVERIFY2(urls.out.contains("/volumes/custom/data?project=shared"), urls.told());
    RUN_OK(member({"config", "device", "remove", "far:guest", "data"}));
    const Run used = member({"storage", "volume", "delete", "far:default", "data"});
    QVERIFY2(!used.ok() && used.err.contains("another project") && !used.err.contains("plain"), used.told());
    // He does with them what he likes, and waits for what he has begun.
    RUN_OK(member({"storage", "volume", "create", "far:default", "mine"}));
    RUN_OK(member({"storage", "volume", "snapshot", "create", "far:default", "mine", "s0"}));
    RUN_OK(member({"storage", "volume", "copy", "far:default/mine", "far:default/other"}));
    RUN_OK(member({"storage", "volume", "snapshot", "restore", "far:default", "mine", "s0"}));
    RUN_OK(member({"storage", "volume", "delete", "far:default", "mine"}));
    const Run undo = member({"undo", "list", "far:", "-f", "csv"});
    QVERIFY2(undo.out.contains("mine"), undo.told());
    QVERIFY(m_box.text({"storage", "volume", "list", "default", "-f", "csv", "-c", "n"}).contains("other"));
    // Not through project default, and not what is deeper in the host.
    const Run straight = as("volumer", {"storage", "volume", "show", "far:default", "data"});
    QVERIFY2(!straight.ok() && straight.err.contains("Project not found"), straight.told());
    const Run elsewhere = member({"query", "-X", "POST", "-d", "{\"name\":\"c\",\"source\":{\"type\":\"copy\",\"name\":\"data\",\"pool\":\"default\",\"project\":\"default\"}}",
                                  "far:/1.0/storage-pools/default/volumes/custom?project=shared"});
    QVERIFY2(!elsewhere.ok() && elsewhere.err.contains("Project not found"), elsewhere.told());
    must({"delete", "--purge", "guest", "--project", "shared"});
    must({"delete", "--purge", "plain"});
    must({"project", "delete", "shared"});
    must({"storage", "volume", "delete", "default", "data", "--purge"});
    must({"storage", "volume", "delete", "default", "other", "--purge"});
    for (const QByteArray &line : m_box.text({"config", "trust", "list", "-f", "csv", "-c", "nF"}).split('\n'))
        if (line.startsWith("volumer,"))
            must({"config", "trust", "remove", QString::fromUtf8(line.mid(8))});
}

void TestTrust::aProjectIsChosenForTheNextCommands()
{
    must({"project", "create", "chosen"});
    launch("elsewhere");
    const auto names = [&](const QStringList &more = {}) { return as("chooser", QStringList{"list", "-f", "csv", "-c", "n"} + more).out.trimmed(); };
    QCOMPARE(names(), QByteArray("elsewhere"));
    RUN_OK(as("chooser", {"project", "switch", "chosen"}));
    QCOMPARE(as("chooser", {"project", "get-current"}).out, QByteArray("chosen\n"));
    QCOMPARE(names(), QByteArray());
    QCOMPARE(names({"--project", "default"}), QByteArray("elsewhere"));
    RUN_OK(as("chooser", {"init", "--empty", "inside", "-s", "default"}));
    QCOMPARE(names(), QByteArray("inside"));
    QCOMPARE(m_box.text({"list", "-f", "csv", "-c", "n"}), QByteArray("elsewhere")); // another user's choice is his own
    QVERIFY(!as("chooser", {"project", "switch", "nothere"}).ok());
    RUN_OK(as("chooser", {"delete", "--purge", "inside"}));
    must({"project", "delete", "chosen"});
    QVERIFY(!as("chooser", {"list"}).ok()); // it is gone
    RUN_OK(as("chooser", {"project", "switch", "default"}));
    QCOMPARE(names(), QByteArray("elsewhere"));
}

void TestTrust::takenAddressesAreNamed()
{
    const Run elsewhere = m_box.cli({"config", "set", "core.https_address=192.0.2.1:8443"});
    QVERIFY2(!elsewhere.ok() && elsewhere.err.contains("192.0.2.1:8443"), elsewhere.told());
    const Run nonsense = m_box.cli({"config", "set", "core.https_address=a b"});
    QVERIFY2(!nonsense.ok(), nonsense.told());
    QCOMPARE(m_box.text({"config", "get", "core.https_address"}), QByteArray("127.0.0.1:8443"));
    QVERIFY(curl({"https://127.0.0.1:8443/"}).contains("/1.0"));
}

void TestTrust::theTunnelComesBack()
{
    const QByteArray before = m_box.text({"query", "/1.0"});
    m_box.killDaemon();
    QVERIFY(m_box.startDaemon());
    QVERIFY(curl({"--retry", "20", "--retry-all-errors", "--retry-delay", "1", "https://127.0.0.1:8443/1.0"}).contains("untrusted"));
    const auto fingerprint = [](const QByteArray &text) { return text.mid(text.indexOf("certificate_fingerprint"), 90); };
    QCOMPARE(fingerprint(m_box.text({"query", "/1.0"})), fingerprint(before)); // who has pinned it finds the same one
}

/// `openssl args…` in `folder`.
#define OPENSSL(folder, ...) RUN_OK(run({"sh", "-c", "cd \"$0\" && exec openssl \"$@\" 2>&1", folder, __VA_ARGS__}))

void TestTrust::anAuthorityVouchesForClients()
{
    if (QStandardPaths::findExecutable("openssl").isEmpty())
        QSKIP("needs openssl");
    const QString folder = m_box.directory() + "/authority";
    QVERIFY(QDir().mkpath(folder));
    QFile configuration(folder + "/ca.cnf");
    QVERIFY(configuration.open(QIODevice::WriteOnly));
    configuration.write("[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=30\n");
    configuration.close();
    QVERIFY(QFile(folder + "/index").open(QIODevice::WriteOnly));
    OPENSSL(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority", "-days", "30");
    for (const QString name : {"good", "revoked"}) {
        OPENSSL(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name);
        OPENSSL(folder, "x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", name + ".crt", "-days", "30");
    }
    OPENSSL(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "stranger.key", "-out", "stranger.crt", "-subj", "/CN=stranger", "-days", "30");
    OPENSSL(folder, "ca", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.crt", "-revoke", "revoked.crt");
    OPENSSL(folder, "ca", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.crt", "-gencrl", "-out", "ca.crl");
    const auto trusted = [&](const QString &name) {
        const QString file = folder + "/" + name;
        const QByteArray answer = curl({"--cert", file + ".crt", "--key", file + ".key", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "https://127.0.0.1:8443/1.0"});
        return answer.contains("\"auth\":\"trusted\"") ? "trusted" : answer.contains("\"auth\":\"untrusted\"") ? "untrusted" : "neither";
    };
    const auto restart = [&] {
        m_box.killDaemon();
        return m_box.startDaemon();
    };
    const auto forget = [&](const QByteArray &name) {
        for (const QByteArray &line : m_box.text({"config", "trust", "list", "-f", "csv", "-c", "nF"}).split('\n'))
            if (line.startsWith(name + ','))
                must({"config", "trust", "remove", QString::fromUtf8(line.mid(name.size() + 1))});
    };
    // Listed before there was an authority: it counts no more then.
    must({"config", "trust", "add-certificate", folder + "/stranger.crt"});
    QCOMPARE(trusted("stranger"), "trusted");
    QVERIFY(QFile::copy(folder + "/ca.crt", m_box.stateDir() + "/server.ca") && QFile::copy(folder + "/ca.crl", m_box.stateDir() + "/ca.crl"));
    QVERIFY(restart());
    QCOMPARE(trusted("stranger"), "untrusted");
    QCOMPARE(trusted("good"), "untrusted"); // vouched for, and not listed
    must({"config", "trust", "add-certificate", folder + "/good.crt"});
    QCOMPARE(trusted("good"), "trusted");
    forget("good");
    must({"config", "set", "core.trust_ca_certificates=true"});
    QCOMPARE(trusted("good"), "trusted");
    QCOMPARE(trusted("revoked"), "untrusted");
    QCOMPARE(trusted("stranger"), "untrusted");
    must({"config", "unset", "core.trust_ca_certificates"});
    QCOMPARE(trusted("good"), "untrusted");
    QVERIFY(QFile::remove(m_box.stateDir() + "/server.ca") && QFile::remove(m_box.stateDir() + "/ca.crl"));
    QVERIFY(restart());
    QCOMPARE(trusted("stranger"), "trusted");
    forget("stranger");
}

/// core.trust_password, for clients that know no tokens.
void TestTrust::thePasswordMakesTrusted()
{
    const QString password = "a planted \"secret\"";
    const auto join = [&](const QString &user, const QString &said) { return as(user, {"remote", "add", "far", "https://127.0.0.1:8443", "--accept-certificate", "--token", said}); };
    const Run none = join("early", password);
    QVERIFY2(!none.ok() && none.err.contains("not authorized"), none.told());
    const Run shown = m_box.cli({"config", "set", "core.trust_password=true"});
    QVERIFY2(!shown.ok() && shown.err.contains("shown in place of a password"), shown.told());
    must({"config", "set", "core.trust_password", password});
    // It is shown to nobody, and what is shown can be written back.
    QCOMPARE(m_box.text({"config", "get", "core.trust_password"}), QByteArray("true"));
    const QByteArray all = m_box.text({"config", "show"});
    QVERIFY2(all.contains("core.trust_password: \"true\""), all);
    must({"config", "edit"}, all);
    must({"config", "set", "user.other=1"});
    const Run wrong = join("visitor", password + "x");
    QVERIFY2(!wrong.ok() && wrong.err.contains("not authorized"), wrong.told());
    RUN_OK(join("visitor", password));
    RUN_OK(as("visitor", {"project", "create", "far:whole"}));
    RUN_OK(as("visitor", {"project", "delete", "far:whole"}));
    // He gets what he holds the key of, and as little as he asks for.
    const auto post = [&](const QString &user, const QString &from, const QString &body) {
        const QString folder = m_box.directory() + "/conf-" + user;
        return curl({"--interface", from, "--cert", folder + "/client.crt", "--key", folder + "/client.key", "-d", body, "https://127.0.0.1:8443/1.0/certificates"});
    };
    const QString right = "\"password\":\"a planted \\\"secret\\\"\"";
    const QString other = QString::fromUtf8(m_box.rest("GET", "/1.0").body["metadata"].toObject()["environment"].toObject()["certificate"].toString().toUtf8().replace("\n", "\\n"));
    const QByteArray anothers = post("early", "127.0.0.1", "{\"type\":\"client\",\"name\":\"anothers\",\"certificate\":\"" + other + "\"," + right + "}");
    QVERIFY2(anothers.contains("not the one that the client shows"), anothers);
    const QByteArray modest = post("early", "127.0.0.1", "{\"type\":\"client\",\"name\":\"modest\",\"restricted\":true,\"projects\":[\"default\"]," + right + "}");
    QVERIFY2(modest.contains("\"type\":\"sync\""), modest);
    QVERIFY(m_box.text({"config", "trust", "list", "-f", "csv", "-c", "nr"}).contains("modest,YES"));
    // Guesses that come together are tried ten times, from this address; then the right one is refused, too.
    (void)as("guesser", {"remote", "add", "far", "https://127.0.0.1:8443", "--accept-certificate", "--token", "x"});
    const QString folder = m_box.directory() + "/conf-guesser";
    const Run guesses = run({"sh", "-c", "for i in $(seq 14); do curl -sk --max-time 20 --interface 127.0.0.2 --cert \"$0/client.crt\" --key \"$0/client.key\" -d '{\"type\":\"client\",\"password\":\"guess\"}' "
                                         "https://127.0.0.1:8443/1.0/certificates & done; wait", folder});
    QCOMPARE(guesses.out.count("\"error_code\":403"), 14);
    QCOMPARE(guesses.out.count("\"not authorized\""), 9); // the tenth hears already that it was the last
    const QByteArray late = post("guesser", "127.0.0.2", "{\"type\":\"client\"," + right + "}");
    QVERIFY2(late.contains("too many"), late);
    QVERIFY(post("guesser", "127.0.0.3", "{\"type\":\"client\",\"name\":\"guesser\"," + right + "}").contains("\"type\":\"sync\""));
    // Neither password nor guess is written down anywhere.
    const Run found = run({"grep", "-rlFs", "-D", "skip", "a planted", m_box.stateDir()});
    QVERIFY2(found.out.isEmpty(), found.out);
    must({"config", "unset", "core.trust_password"});
    QCOMPARE(m_box.text({"config", "get", "core.trust_password"}), QByteArray());
    QVERIFY(!join("later", password).ok());
    for (const QByteArray &line : m_box.text({"config", "trust", "list", "-f", "csv", "-c", "F"}).split('\n'))
        must({"config", "trust", "remove", QString::fromUtf8(line)});
    must({"config", "unset", "user.other"});
}

/// Connections that say nothing, and some that say a byte now and then, on both ways in.
void TestTrust::aCrowdStallsNobody()
{
    std::vector<std::unique_ptr<QLocalSocket>> crowd;
    for (int i = 0; i < 250; ++i) {
        auto socket = std::make_unique<QLocalSocket>();
        socket->connectToServer(m_box.socket());
        QVERIFY(socket->waitForConnected(5000));
        if (i % 5 == 0)
            socket->write("POST /1.0/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
        crowd.push_back(std::move(socket));
    }
    QList<qint64> took;
    for (int i = 0; i < 10; ++i) {
        for (int slow = 0; slow < 250; slow += 5) {
            crowd[size_t(slow)]->write(" ");
            crowd[size_t(slow)]->flush();
        }
        QElapsedTimer timer;
        timer.start();
        RUN_OK(m_box.cli({"list"}, {}, 5000));
        took << timer.elapsed();
    }
    std::ranges::sort(took);
    qInfo("beside 200 idle and 50 slow connections 'lxmgr list' takes %lld to %lld ms, with the client", took.first(), took.last());
    QVERIFY2(took.first() < 20, qPrintable(QString::number(took.first()) + " ms"));
    QVERIFY(curl({"https://127.0.0.1:8443/1.0"}).contains("untrusted"));
}

void TestTrust::changesAreWrittenDown()
{
    must({"config", "set", "user.note=1"});
    launch("t3");
    QFile log(m_box.stateDir() + "/logs/audit.log");
    QVERIFY(log.open(QIODevice::ReadOnly));
    const QByteArray text = log.readAll();
    QVERIFY2(text.contains("\"requestor\":{\"username\":\"root\",\"protocol\":\"unix\""), text.right(500));
    QVERIFY(text.contains("\"protocol\":\"tls\""));
    QVERIFY(text.contains("\"description\":\"Creating instance\"") && text.contains("\"result\":\"Success\""));
    QVERIFY(text.contains("\"result\":\"refused\""));
    QVERIFY(!m_secret.isEmpty() && !text.contains(m_secret) && !text.contains("\"secret\""));
    QCOMPARE(QFile::permissions(log.fileName()) & (QFile::ReadGroup | QFile::ReadOther), QFile::Permissions());
}

QTEST_GUILESS_MAIN(TestTrust)
#include "tst_trust.moc"

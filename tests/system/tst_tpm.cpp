// TPM devices. This kernel has no /dev/vtpmx, and swtpm is optional: both are stood in for. What stands for /dev/vtpmx is a socket of
// ours that gives a descriptor and device numbers as that would; what stands for swtpm is a script that takes its command line and keeps
// a file in its folder. The nodes are others of this kernel, so that opening them counts. The refusals at the end are real.
#include "support/system_test.h"

#include <QDir>
#include <QStandardPaths>
#include <QTemporaryDir>

#include <atomic>
#include <memory>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace lxmgr::test;

namespace
{

const QByteArray kRandom = QByteArray::fromHex("8001" "0000000c" "0000017b" "0008"); // TPM2_GetRandom of 8 bytes, no sessions

/// Gives devices 0, 1, …, one by one, as the module tpm_vtpm_proxy does, and has /sys tell of them. Their numbers take turns.
class StandIn
{
public:
    StandIn(const QString &socket, const QString &sysfs) : m_sysfs(sysfs), m_socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        qstrncpy(address.sun_path, socket.toUtf8().constData(), sizeof address.sun_path);
        m_works = ::bind(m_socket, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 && ::listen(m_socket, 8) == 0;
        m_thread = std::thread([this] { serve(); });
    }
    ~StandIn()
    {
        m_done = true;
        m_thread.join();
        ::close(m_socket);
        for (const int end : m_ends)
            ::close(end);
    }
    bool works() const { return m_works; }
    int given() const { return m_given; }
    /// What answers for the last device says to `command`, as the kernel would ask.
    QByteArray ask(const QByteArray &command)
    {
        const int end = m_ends.back();
        if (::send(end, command.constData(), static_cast<size_t>(command.size()), MSG_NOSIGNAL) != command.size())
            return "nobody is there";
        pollfd ready{end, POLLIN, 0};
        char answer[256];
        const ssize_t size = ::poll(&ready, 1, 10000) > 0 ? ::recv(end, answer, sizeof answer, 0) : 0;
        return QByteArray(answer, static_cast<int>(std::max<ssize_t>(size, 0)));
    }

private:
    void serve()
    {
        while (!m_done) {
            pollfd ready{m_socket, POLLIN, 0};
            if (::poll(&ready, 1, 50) <= 0)
                continue;
            const int peer = ::accept4(m_socket, nullptr, nullptr, SOCK_CLOEXEC);
            give(peer);
            ::close(peer);
        }
    }
    void tell(const QString &kind, int number, const QByteArray &device)
    {
        const QString folder = m_sysfs + "/class/" + kind + "/" + kind + QString::number(number);
        QDir().mkpath(folder);
        QFile file(folder + "/dev");
        if (file.open(QIODevice::WriteOnly))
            file.write(device + "\n");
    }
    void give(int peer)
    {
        const int number = m_given++;
        const std::uint32_t minor = number % 2 == 0 ? 237 : 234;
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            return;
        m_ends.push_back(ends[0]);
        std::uint32_t numbers[3] = {static_cast<std::uint32_t>(number), 10, minor};
        iovec part{numbers, sizeof numbers};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
        (void)::sendmsg(peer, &message, 0);
        ::close(ends[1]);
        // As the kernel: there is a device once what answers for it has answered.
        if (ask(kRandom).isEmpty())
            return;
        tell("tpmrm", number, "1:7");
        tell("tpm", number, "10:" + QByteArray::number(minor)); // last: this is what is waited for
    }

    QString m_sysfs;
    int m_socket;
    bool m_works = false;
    std::atomic<bool> m_done{false};
    std::atomic<int> m_given{0};
    std::vector<int> m_ends;
    std::thread m_thread;
};

constexpr const char *kEmulator = "#!/bin/sh\n"
                                  "echo \"$$ $(id -u) $*\" > words\n"
                                  "echo x >> tpm2-00.permall\n"
                                  "[ -e fail ] && { echo 'TPM state is corrupt' >&2; exit 1; }\n"
                                  "exec cat <&3 >&3\n"; // any answer will do

} // namespace

class TestTpm : public SystemTest
{
    Q_OBJECT
private slots:
    void itComesWithTheGuest_data();
    void itComesWithTheGuest();
    void itHasNoRights();
    void itNeedsNoDaemon();
    void itGoesWithTheGuest_data();
    void itGoesWithTheGuest();
    void aRebootBeginsItAnew();
    void whatItKnowsStays();
    void aDeviceThatIsGoneIsForgotten();
    void itComesAndGoesOnlyWhileStopped();
    void theRealOneAnswers();
    void oneThatCannotBeginIsNamed();
    void oneThatDiesIsLogged();
    void withoutSwtpmItIsRefused();
    void withoutTheKernelsPartItIsRefused();

private:
    void prepare() override
    {
        // Where everybody may read it: who runs it has no rights of root's.
        QVERIFY(m_folder.isValid());
        QFile program(m_program);
        QVERIFY(program.open(QIODevice::WriteOnly) && program.write(kEmulator) > 0);
        program.close();
        QVERIFY(::chmod(QFile::encodeName(m_folder.path()).constData(), 0755) == 0);
        QVERIFY(::chmod(QFile::encodeName(m_program).constData(), 0755) == 0);
        m_standIn = std::make_unique<StandIn>(path("vtpmx"), path("sys"));
        QVERIFY(m_standIn->works());
        again();
    }
    void again(const QMap<QString, QString> &other = {})
    {
        QMap<QString, QString> all = {{"LXMGR_SYSFS", path("sys")}, {"LXMGR_VTPMX", path("vtpmx")}, {"LXMGR_SWTPM", m_program}};
        for (auto each = other.begin(); each != other.end(); ++each)
            all[each.key()] = each.value();
        m_box.stopDaemon();
        QVERIFY(m_box.startDaemon(all));
    }
    QString path(const QString &name) const { return m_box.directory() + "/" + name; }
    QString folder(const QString &instance, const QString &pool = "default") const
    {
        return m_box.stateDir() + "/storage-pools/" + pool + "/containers/" + instance + "/tpm.tpm";
    }
    QByteArray file(const QString &name)
    {
        QFile file(name);
        return file.open(QIODevice::ReadOnly) ? file.readAll().trimmed() : QByteArray();
    }
    /// What the emulator wrote of itself: its process, its user, its arguments.
    QList<QByteArray> words(const QString &instance = "t1") { return file(folder(instance) + "/words").split(' '); }
    int emulator(const QString &instance = "t1") { return words(instance).value(0).toInt(); }
    bool opens(const QString &node) { return exec("t1", {"/probe", "open", node}).out.trimmed() == "ok"; }
    QByteArray refusal(const QStringList &args)
    {
        const Run run = m_box.cli(args);
        return run.ok() ? QByteArray("it was done") : run.err;
    }
    static QByteArray statusOf(int pid, const QByteArray &field)
    {
        QFile status("/proc/" + QString::number(pid) + "/status");
        if (status.open(QIODevice::ReadOnly))
            for (const QByteArray &line : status.readAll().split('\n'))
                if (line.startsWith(field + ":"))
                    return line.mid(field.size() + 1).simplified();
        return {};
    }

    const QString m_device = "tpm,type=tpm,path=/dev/tpm0,pathrm=/dev/tpmrm0";
    QTemporaryDir m_folder;
    const QString m_program = m_folder.path() + "/swtpm";
    std::unique_ptr<StandIn> m_standIn;
};

void TestTpm::itComesWithTheGuest_data()
{
    QTest::addColumn<QStringList>("options");
    QTest::newRow("unprivileged") << QStringList{};
    QTest::newRow("privileged") << QStringList{"-c", "security.privileged=true"};
}

void TestTpm::itComesWithTheGuest()
{
    QFETCH(QStringList, options);
    launch("t1", QStringList{"-d", m_device} + options);
    giveProbe("t1");
    QVERIFY(opens("/dev/tpm0"));
    QVERIFY(opens("/dev/tpmrm0"));
    QCOMPARE(inside("t1", {"stat", "-c", "%F %u:%g %a", "/dev/tpm0"}), "character special file 0:0 660");
    QCOMPARE(inside("t1", {"stat", "-c", "%t:%T", "/dev/tpmrm0"}), "1:7");
    QCOMPARE(words().mid(2).join(' '), "chardev --tpm2 --fd 3 --tpmstate dir=.,mode=0600 --flags not-need-init,startup-clear --locality allow-set-locality");
    // Limits that change, a new daemon, and the node is still the guest's.
    must({"config", "set", "t1", "limits.processes=500"});
    again();
    must({"config", "set", "t1", "limits.processes=600"});
    QVERIFY(opens("/dev/tpm0"));
    must({"config", "device", "add", "t1", "zero", "unix-char", "source=/dev/zero", "path=/dev/other"});
    QVERIFY(opens("/dev/tpm0") && opens("/dev/other"));
    deleteAll();
}

void TestTpm::itHasNoRights()
{
    launch("t1", {"-d", m_device});
    const int pid = emulator();
    QVERIFY(Sandbox::isAlive(pid));
    const QByteArray last = QByteArray::number(m_box.text({"config", "get", "t1", "volatile.idmap.base"}).toLongLong() + 65535);
    QCOMPARE(words().value(1), last);
    QCOMPARE(statusOf(pid, "Uid"), QList<QByteArray>(4, last).join(' '));
    QCOMPARE(statusOf(pid, "Gid"), QList<QByteArray>(4, last).join(' '));
    QCOMPARE(statusOf(pid, "Groups"), "");
    QCOMPARE(statusOf(pid, "NoNewPrivs"), "1");
    for (const char *set : {"CapEff", "CapPrm", "CapInh", "CapAmb"})
        QCOMPARE(statusOf(pid, set).count('0'), 16);
    QVERIFY(QFile::symLinkTarget("/proc/" + QString::number(pid) + "/ns/net") != QFile::symLinkTarget("/proc/self/ns/net"));
    QCOMPARE(QDir("/proc/" + QString::number(pid) + "/fd").entryList(QDir::NoDotAndDotDot | QDir::AllEntries | QDir::System).size(), 4);
    struct stat info {
    };
    QVERIFY(::stat(folder("t1").toUtf8().constData(), &info) == 0);
    QCOMPARE(info.st_mode & 07777, 0700U);
    QCOMPARE(QByteArray::number(info.st_uid), last);
    QVERIFY(::stat((folder("t1") + "/tpm2-00.permall").toUtf8().constData(), &info) == 0);
    QCOMPARE(info.st_mode & 07777, 0600U);
    deleteAll();
}

void TestTpm::itNeedsNoDaemon()
{
    launch("t1", {"-d", m_device});
    giveProbe("t1");
    const int pid = emulator();
    m_box.killDaemon();
    QVERIFY(Sandbox::isAlive(pid));
    again();
    QCOMPARE(emulator(), pid);
    QVERIFY(Sandbox::isAlive(pid));
    QVERIFY(opens("/dev/tpm0"));
    deleteAll();
}

void TestTpm::itGoesWithTheGuest_data()
{
    QTest::addColumn<QString>("how");
    for (const char *how : {"stop", "delete", "the guest ends", "its monitor dies"})
        QTest::newRow(how) << QString(how);
}

void TestTpm::itGoesWithTheGuest()
{
    QFETCH(QString, how);
    launch("t1", {"-d", m_device});
    const int pid = emulator();
    QVERIFY(Sandbox::isAlive(pid));
    if (how == "stop")
        must({"stop", "--force", "t1"});
    else if (how == "delete")
        must({"delete", "--force", "t1"});
    else if (how == "the guest ends")
        QCOMPARE(::kill(m_box.initPid("t1"), SIGKILL), 0);
    else
        QCOMPARE(::kill(m_box.monitorPid("t1"), SIGKILL), 0);
    QVERIFY(Sandbox::eventually([&] { return !Sandbox::isAlive(pid); }));
    QVERIFY(how == "delete" || m_box.becomes("t1", "STOPPED"));
    deleteAll();
}

void TestTpm::aRebootBeginsItAnew()
{
    launch("t1", {"-d", m_device});
    giveProbe("t1");
    const int pid = emulator(), before = m_standIn->given();
    const QByteArray node = inside("t1", {"stat", "-c", "%T", "/dev/tpm0"}), other = node == "ed" ? "ea" : "ed";
    const int init = m_box.initPid("t1");
    m_box.killDaemon(); // nobody but its monitor is there
    QVERIFY(init > 0 && ::kill(init, SIGTERM) == 0); // busybox init reboots
    QVERIFY(Sandbox::eventually([&] { return m_standIn->given() == before + 1 && emulator() != pid && Sandbox::isAlive(emulator()); }));
    QVERIFY(!Sandbox::isAlive(pid));
    again();
    QTRY_COMPARE_WITH_TIMEOUT(inside("t1", {"stat", "-c", "%T", "/dev/tpm0"}), other, 60000);
    QVERIFY(opens("/dev/tpm0"));
    // The one before is not its any more: another guest's TPM may have that number now.
    QFile spec(m_box.runDir() + "/instances/t1/spec");
    QVERIFY(spec.open(QIODevice::ReadOnly));
    const QByteArray rules = spec.readAll();
    QCOMPARE(rules.count("c 10:237 rwm"), other == "ed" ? 1 : 0);
    QCOMPARE(rules.count("c 10:234 rwm"), other == "ea" ? 1 : 0);
    deleteAll();
}

void TestTpm::whatItKnowsStays()
{
    launch("t1", {"-d", m_device});
    const auto starts = [&](const QString &name, const QString &pool = "default") { return file(folder(name, pool) + "/tpm2-00.permall").count('x'); };
    QCOMPARE(starts("t1"), 1);
    must({"snapshot", "create", "t1", "s1"});
    must({"restart", "--force", "t1"});
    QCOMPARE(starts("t1"), 2);
    must({"stop", "--force", "t1"});
    must({"snapshot", "restore", "t1", "s1"});
    must({"rename", "t1", "t2"});
    must({"start", "t2"});
    QCOMPARE(starts("t2"), 3);
    must({"stop", "--force", "t2"});
    must({"storage", "create", "other", "dir"});
    must({"move", "t2", "-s", "other"});
    QVERIFY(!QFile::exists(folder("t2")));
    QCOMPARE(starts("t2", "other"), 3);
    must({"start", "t2"});
    QCOMPARE(starts("t2", "other"), 4);
    // A copy is another machine, with another TPM.
    must({"copy", "t2", "t3"});
    must({"start", "t3"});
    QVERIFY(starts("t3") + starts("t3", "other") == 1);
    deleteAll();
    must({"storage", "delete", "other"});
}

void TestTpm::aDeviceThatIsGoneIsForgotten()
{
    launch("t1", {"-d", m_device});
    must({"stop", "--force", "t1"});
    must({"config", "device", "remove", "t1", "tpm"});
    QVERIFY(QFile::exists(folder("t1"))); // it may be brought back
    must({"start", "t1"});
    QVERIFY(!QFile::exists(folder("t1")));
    deleteAll();
}

void TestTpm::itComesAndGoesOnlyWhileStopped()
{
    launch("t1");
    QByteArray said = refusal({"config", "device", "add", "t1", "tpm", "tpm", "path=/dev/tpm0"});
    QVERIFY2(said.contains("only while it is stopped") && said.contains("lxmgr stop t1"), said);
    must({"stop", "--force", "t1"});
    must({"config", "device", "add", "t1", "tpm", "tpm", "path=/dev/tpm0"});
    must({"start", "t1"});
    giveProbe("t1");
    QVERIFY(opens("/dev/tpm0"));
    QVERIFY(!exec("t1", {"ls", "/dev/tpmrm0"}).ok()); // which it was not asked for
    said = refusal({"config", "device", "remove", "t1", "tpm"});
    QVERIFY2(said.contains("only while it is stopped"), said);
    QVERIFY(opens("/dev/tpm0"));
    deleteAll();
}

/// swtpm itself, where it is installed; the kernel's part is stood in for all the same.
void TestTpm::theRealOneAnswers()
{
    const QString program = QStandardPaths::findExecutable("swtpm");
    if (program.isEmpty())
        QSKIP("swtpm is not installed");
    again({{"LXMGR_SWTPM", program}});
    launch("t1", {"-d", m_device});
    const QByteArray answer = m_standIn->ask(kRandom);
    QCOMPARE(answer.left(12).toHex(), QByteArray("800100000014000000000008"));
    struct stat info {
    };
    QVERIFY(::stat((folder("t1") + "/tpm2-00.permall").toUtf8().constData(), &info) == 0);
    QCOMPARE(info.st_mode & 07777, 0600U);
    must({"restart", "--force", "t1"});
    QVERIFY(m_standIn->ask(kRandom).left(12) == answer.left(12));
    deleteAll();
    again();
}

void TestTpm::oneThatCannotBeginIsNamed()
{
    launch("t1", {"-d", m_device});
    must({"stop", "--force", "t1"});
    QFile fail(folder("t1") + "/fail");
    QVERIFY(fail.open(QIODevice::WriteOnly));
    const QByteArray said = refusal({"start", "t1"});
    QVERIFY2(said.contains("device 'tpm'") && said.contains("swtpm has ended: TPM state is corrupt"), said);
    QVERIFY(m_box.becomes("t1", "STOPPED"));
    QVERIFY(fail.remove());
    must({"start", "t1"});
    deleteAll();
}

void TestTpm::oneThatDiesIsLogged()
{
    launch("t1", {"-d", m_device});
    const int pid = emulator();
    QVERIFY(pid > 0 && ::kill(pid, SIGKILL) == 0);
    QVERIFY(Sandbox::eventually([&] { return file(m_box.stateDir() + "/logs/t1/lxmgr.log").contains("device 'tpm': swtpm has ended (137)"); }));
    QCOMPARE(m_box.stateOf("t1"), "RUNNING");
    must({"restart", "--force", "t1"});
    QVERIFY(emulator() != pid && Sandbox::isAlive(emulator()));
    deleteAll();
}

void TestTpm::withoutSwtpmItIsRefused()
{
    if (!QStandardPaths::findExecutable("swtpm").isEmpty())
        QSKIP("swtpm is installed");
    again({{"LXMGR_SWTPM", ""}});
    const QByteArray said = refusal({"init", "busybox", "t1", "-d", m_device});
    QVERIFY2(said.contains("device 'tpm': the program 'swtpm' is not installed (apt-get install swtpm)"), said);
    QVERIFY(m_box.text({"list", "-f", "csv"}).isEmpty());
    again();
}

void TestTpm::withoutTheKernelsPartItIsRefused()
{
    if (QFile::exists("/dev/vtpmx") || QFile::exists("/lib/modules/" + QSysInfo::kernelVersion() + "/kernel/drivers/char/tpm/tpm_vtpm_proxy.ko"))
        QSKIP("this kernel has /dev/vtpmx, or a module for it");
    launch("t1");
    must({"stop", "--force", "t1"});
    again({{"LXMGR_VTPMX", ""}});
    const QByteArray before = m_box.text({"config", "show", "t1"}), said = refusal({"config", "device", "add", "t1", "tpm", "tpm", "path=/dev/tpm0"});
    QVERIFY2(said.contains("this host has no /dev/vtpmx") && said.contains("CONFIG_TCG_VTPM_PROXY"), said);
    QCOMPARE(m_box.text({"config", "show", "t1"}), before);
    again();
    deleteAll();
}

QTEST_GUILESS_MAIN(TestTpm)
#include "tst_tpm.moc"

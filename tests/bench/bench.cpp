// Benchmarks: lxmgr and LXC's own tools do the same in turn, on the same root file systems, overlay and bridge.
// Medians, minima and ratios as a table; every sample as a JSON line in bench.jsonl beside the program.
#include "kernel/sys.h"
#include "support/sandbox.h"

#include <QCoreApplication>
#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QStandardPaths>
#include <QThread>
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::test;

namespace
{

double nowMs()
{
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

QByteArray readFile(const QString &path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

/// The figures of one row, by peer.
struct Row {
    QString what, unit;
    QMap<QString, QList<double>> samples;
    QString goal;
};

double median(QList<double> values)
{
    std::sort(values.begin(), values.end());
    const qsizetype middle = values.size() / 2;
    return values.isEmpty() ? NAN : values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double least(const QList<double> &values)
{
    return values.isEmpty() ? NAN : *std::min_element(values.begin(), values.end());
}

class Bench
{
public:
    explicit Bench(int rounds, const QStringList &sections) : m_rounds(rounds), m_sections(sections) {}
    int runAll();

private:
    bool setUp();
    void setUpLxc();
    void lxcBase(const QString &name, const QString &imageAlias);
    void section(const char *name, void (Bench::*body)());
    void clientStart();
    void startAndStop();
    void launchAndDelete(const QString &image, const QString &goal);
    void launches();
    void exec();
    void boot();
    void list();
    void burst();
    void memory();
    void printTable();

    /// Runs a command with its output thrown away; its wall time in ms, NaN where it failed (told on stderr).
    double timed(const QStringList &argv);
    double ours(const QStringList &args) { return timed(QStringList{Sandbox::program("lxmgr")} + args); }
    double lxc(const QString &tool, const QStringList &args)
    {
        return timed(QStringList{"lxc-" + tool, "-P", m_lxcPath} + args);
    }
    bool quietly(const QStringList &argv) { return !std::isnan(timed(argv)); }
    void add(const QString &what, const QString &peer, double value, const QString &goal = {},
             const QString &unit = "ms");
    int lxcInit(const QString &name);
    double toRunning(int init, double since);

    Sandbox m_box;
    int m_rounds;
    QStringList m_sections;
    QList<Row> m_rows;
    QString m_lxcPath;
    bool m_haveLxc = false, m_haveDebian = false;
    QFile m_json;
};

double Bench::timed(const QStringList &argv)
{
    std::vector<QByteArray> arguments, variables;
    for (const QString &argument : argv)
        arguments.push_back(argument.toUtf8());
    for (const QString &variable : m_box.environment().toStringList())
        variables.push_back(variable.toUtf8());
    std::vector<char *> argumentPointers, variablePointers;
    for (QByteArray &argument : arguments)
        argumentPointers.push_back(argument.data());
    for (QByteArray &variable : variables)
        variablePointers.push_back(variable.data());
    argumentPointers.push_back(nullptr);
    variablePointers.push_back(nullptr);
    const QByteArray log = (m_box.directory() + "/bench.log").toUtf8();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.constData(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid = 0;
    int status = 0;
    const double start = nowMs();
    const int error =
        ::posix_spawnp(&pid, argumentPointers[0], &actions, nullptr, argumentPointers.data(), variablePointers.data());
    if (error == 0)
        ::waitpid(pid, &status, 0);
    const double took = nowMs() - start;
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return took;
    std::fprintf(stderr, "failed: %s\n%s\n", qPrintable(argv.join(' ')),
                 readFile(QString::fromUtf8(log)).right(600).constData());
    return NAN;
}

void Bench::add(const QString &what, const QString &peer, double value, const QString &goal, const QString &unit)
{
    if (std::isnan(value))
        return;
    auto row = std::find_if(m_rows.begin(), m_rows.end(), [&](const Row &one) { return one.what == what; });
    if (row == m_rows.end())
        row = m_rows.insert(m_rows.end(), Row{what, unit, {}, goal});
    row->samples[peer] << value;
    m_json.write(QString("{\"what\":\"%1\",\"peer\":\"%2\",\"value\":%3,\"unit\":\"%4\"}\n")
                     .arg(what, peer)
                     .arg(value)
                     .arg(unit)
                     .toUtf8());
}

// --- setting up

bool Bench::setUp()
{
    const QString lack = m_box.create();
    if (!lack.isEmpty() || !m_box.startDaemon()) {
        std::fprintf(stderr, "%s\n%s\n", qPrintable(lack), m_box.daemonLog().constData());
        return false;
    }
    m_json.setFileName(QCoreApplication::applicationDirPath() + "/bench.jsonl");
    if (!m_json.open(QIODevice::WriteOnly))
        return false;
    if (!quietly({Sandbox::program("lxmgr"), "launch", "busybox", "first"}) ||
        !quietly({Sandbox::program("lxmgr"), "delete", "-f", "first"}))
        return false;
    const QString why = provideImage(m_box, "debian/13");
    m_haveDebian = why.isEmpty();
    if (!m_haveDebian)
        std::fprintf(stderr, "no debian/13, its rows are left out: %s\n", qPrintable(why));
    m_haveLxc = !QStandardPaths::findExecutable("lxc-start").isEmpty();
    if (m_haveLxc)
        setUpLxc();
    return true;
}

Status bind(const QString &from, const QString &to)
{
    if (::mount(qPrintable(from), qPrintable(to), nullptr, MS_BIND, nullptr) != 0)
        return Error::fromErrno(errno, "bind mount", to.toStdString());
    return {};
}

/// What LXC wants of its host, for this process and its children only. Where newuidmap(1) is installed it insists that
/// root has a range in /etc/subuid; and it looks for its bridge in /sys, which must be that of our network namespace.
Status prepareHostForLxc(const QString &folder)
{
    TRY(sys::call("unshare", {}, [] { return ::unshare(CLONE_NEWNS); }));
    TRY(sys::call("mount", "/", [] { return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr); }));
    for (const QString &path : {QString("/etc/subuid"), QString("/etc/subgid")}) {
        QFile ranges(folder + "/" + QFileInfo(path).fileName());
        if (!ranges.open(QIODevice::WriteOnly) || ranges.write("root:100000:65536\n") < 0)
            return Error(Code::Internal, "cannot write " + ranges.fileName().toStdString());
        ranges.close();
        if (QFile::exists(path))
            TRY(bind(ranges.fileName(), path));
    }
    const QByteArray cgroups = (folder + "/cgroup").toUtf8();
    QDir().mkpath(folder + "/cgroup");
    const auto mount = [](const char *from, const char *to, const char *type, unsigned long flags) {
        return sys::call("mount", to, [&] { return ::mount(from, to, type, flags, nullptr); });
    };
    TRY(mount("/sys/fs/cgroup", cgroups.constData(), nullptr, MS_BIND | MS_REC));
    TRY(mount("sysfs", "/sys", "sysfs", 0)); // as a whole: with a part of it covered, a guest could not mount its own
    TRY(mount(cgroups.constData(), "/sys/fs/cgroup", nullptr, MS_MOVE));
    return {};
}

/// Base containers on which lxc-copy makes overlay clones: the root file systems of our own images, owners shifted on
/// disk, because LXC 5.0 id-maps no overlay.
void Bench::setUpLxc()
{
    if (const Status prepared = prepareHostForLxc(m_box.directory()); !prepared) {
        std::fprintf(stderr, "%s\n", prepared.error().message.c_str());
        m_haveLxc = false;
        return;
    }
    m_lxcPath = m_box.directory() + "/lxc";
    QDir().mkpath(m_lxcPath);
    lxmgr::test::run({"chmod", "711", m_box.directory(), m_lxcPath}); // a mapped root walks through them
    lxcBase("bb", "busybox");
    if (m_haveDebian)
        lxcBase("deb", "debian/13");
}

void Bench::lxcBase(const QString &name, const QString &imageAlias)
{
    const QString folder = m_lxcPath + "/" + name;
    QDir().mkpath(folder + "/image");
    QDir().mkpath(folder + "/rootfs");
    RunOptions patient;
    patient.timeoutMs = 600000;
    const Run exported = m_box.cli({"image", "export", imageAlias, folder + "/image/"}, {}, 300000);
    const Run unpacked = lxmgr::test::run(
        {"sh", "-ec",
         "cd \"$1\"; chmod 711 .; chown 100000:100000 rootfs; file=$(ls image/*); "
         "case $file in *.zst) unzip='zstd -dc';; *.xz) unzip='xz -dc';; *.gz) unzip='gzip -dc';; *) unzip='cat';; "
         "esac; "
         "$unzip \"$file\" | lxc-usernsexec -m b:0:100000:65536 -- "
         "tar -C rootfs --numeric-owner --strip-components=1 --exclude='rootfs/dev/*' -xf - rootfs; rm -r image",
         "sh", folder},
        patient);
    QFile config(folder + "/config");
    if (!exported.ok() || !unpacked.ok() || !config.open(QIODevice::WriteOnly)) {
        std::fprintf(stderr, "%s%s", exported.told().constData(), unpacked.told().constData());
        m_haveLxc = false;
        return;
    }
    config.write("lxc.include = /usr/share/lxc/config/common.conf\nlxc.include = /usr/share/lxc/config/userns.conf\n"
                 "lxc.apparmor.profile = unconfined\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"
                 "lxc.net.0.type = veth\nlxc.net.0.link = lxmgrbr0\nlxc.net.0.flags = up\nlxc.net.0.name = eth0\n");
    config.write(QString("lxc.rootfs.path = dir:%1/rootfs\nlxc.uts.name = %2\n").arg(folder, name).toUtf8());
}

int Bench::lxcInit(const QString &name)
{
    return lxmgr::test::run({"lxc-info", "-P", m_lxcPath, "-n", name, "-p", "-H"}).out.trimmed().toInt();
}

// --- sections

void Bench::section(const char *name, void (Bench::*body)())
{
    if (!m_sections.isEmpty() && !m_sections.contains(name))
        return;
    std::fprintf(stderr, "%s…\n", name);
    (this->*body)();
}

void Bench::clientStart()
{
    for (int i = 0; i < m_rounds * 3; ++i) {
        add("client start-up (--version)", "lxmgr", ours({"--version"}), "≤ 6 ms");
        if (m_haveLxc)
            add("client start-up (--version)", "lxc", timed({"lxc-start", "--version"}));
    }
}

void Bench::startAndStop()
{
    quietly({Sandbox::program("lxmgr"), "create", "busybox", "s1"});
    if (m_haveLxc)
        lxc("copy", {"-s", "-B", "overlay", "-n", "bb", "-N", "s1"});
    for (int i = 0; i < m_rounds; ++i) {
        add("start to PID 1, unprivileged, NIC", "lxmgr", ours({"start", "s1"}), "≤ 25 ms");
        add("forced stop", "lxmgr", ours({"stop", "-f", "s1"}), "≤ 50 ms");
        if (!m_haveLxc)
            continue;
        add("start to PID 1, unprivileged, NIC", "lxc", lxc("start", {"-n", "s1"}));
        add("forced stop", "lxc", lxc("stop", {"-k", "-n", "s1"}));
    }
    quietly({Sandbox::program("lxmgr"), "delete", "-f", "s1"});
    if (m_haveLxc)
        lxc("destroy", {"-f", "-n", "s1"});
}

void Bench::launchAndDelete(const QString &image, const QString &goal)
{
    const QString base = image == "busybox" ? "bb" : "deb";
    const QString launchRow = "launch " + image + " from a cached image", deleteRow = "forced delete, running " + image;
    for (int i = 0; i < m_rounds; ++i) {
        add(launchRow, "lxmgr", ours({"launch", image, "l1"}), goal);
        add(deleteRow, "lxmgr", ours({"delete", "-f", "l1"}), "≤ 70 ms");
        if (!m_haveLxc)
            continue;
        const double copy = lxc("copy", {"-s", "-B", "overlay", "-n", base, "-N", "l1"});
        add(launchRow, "lxc", copy + lxc("start", {"-n", "l1"}));
        add(deleteRow, "lxc", lxc("destroy", {"-f", "-n", "l1"}));
    }
}

void Bench::launches()
{
    launchAndDelete("busybox", {});
    if (m_haveDebian)
        launchAndDelete("debian/13", "≤ 45 ms");
}

void Bench::exec()
{
    quietly({Sandbox::program("lxmgr"), "launch", "busybox", "e1"});
    if (m_haveLxc) {
        lxc("copy", {"-s", "-B", "overlay", "-n", "bb", "-N", "e1"});
        lxc("start", {"-n", "e1"});
    }
    for (int i = 0; i < m_rounds * 3; ++i) {
        add("exec of true", "lxmgr", ours({"exec", "e1", "--", "true"}), "≤ 6 ms");
        if (m_haveLxc)
            add("exec of true", "lxc", lxc("attach", {"-n", "e1", "--", "true"}));
    }
    quietly({Sandbox::program("lxmgr"), "delete", "-f", "e1"});
    if (m_haveLxc)
        lxc("destroy", {"-f", "-n", "e1"});
}

/// From `since` until systemd inside says that the boot is through, asked in the guest's namespaces the same way for
/// both.
double Bench::toRunning(int init, double since)
{
    const QString socket = QString("/proc/%1/root/run/dbus/system_bus_socket").arg(init);
    for (int i = 0; i < 4000 && !QFile::exists(socket); ++i)
        QThread::msleep(2);
    const QString pid = QString::number(init);
    for (int i = 0; i < 50; ++i) {
        const QByteArray state =
            lxmgr::test::run({"nsenter", "-a", "-t", pid, "/usr/bin/systemctl", "is-system-running", "--wait"})
                .out.trimmed();
        if (state == "running" || state == "degraded")
            return nowMs() - since;
        QThread::msleep(10);
    }
    return NAN;
}

void Bench::boot()
{
    if (!m_haveDebian)
        return;
    quietly({Sandbox::program("lxmgr"), "launch", "debian/13", "b1", "--wait"});
    quietly({Sandbox::program("lxmgr"), "stop", "b1"});
    if (m_haveLxc) {
        lxc("copy", {"-s", "-B", "overlay", "-n", "deb", "-N", "b1"});
        lxc("start", {"-n", "b1"});
        toRunning(lxcInit("b1"), 0);
        lxc("stop", {"-n", "b1"});
    }
    for (int i = 0; i < m_rounds; ++i) {
        const double start = nowMs();
        if (!std::isnan(ours({"start", "b1"})))
            add("debian/13 to running after start", "lxmgr", toRunning(m_box.initPid("b1"), start), "≤ 400 ms");
        add("clean stop of debian/13", "lxmgr", ours({"stop", "b1"}));
        if (!m_haveLxc)
            continue;
        const double lxcStart = nowMs();
        if (!std::isnan(lxc("start", {"-n", "b1"})))
            add("debian/13 to running after start", "lxc", toRunning(lxcInit("b1"), lxcStart));
        add("clean stop of debian/13", "lxc", lxc("stop", {"-n", "b1"}));
    }
    quietly({Sandbox::program("lxmgr"), "delete", "-f", "b1"});
    if (m_haveLxc)
        lxc("destroy", {"-f", "-n", "b1"});
}

void Bench::list()
{
    constexpr int kCount = 500;
    const QString program = Sandbox::program("lxmgr");
    lxmgr::test::run({"sh", "-c", QString("seq %1 | xargs -P 4 -I@ %2 -q create busybox li@").arg(kCount).arg(program)},
                     {{}, 600000, m_box.environment(), {}});
    const QString lxcList = m_box.directory() + "/lxc-list";
    const QByteArray config = readFile(m_lxcPath + "/bb/config");
    for (int i = 0; m_haveLxc && i < kCount; ++i) {
        const QString name = QString("li%1").arg(i);
        QDir().mkpath(lxcList + "/" + name);
        QFile file(lxcList + "/" + name + "/config");
        if (file.open(QIODevice::WriteOnly))
            file.write(QByteArray(config).replace("/lxc/bb/", "/lxc-list/" + name.toUtf8() + "/"));
    }
    const int have = static_cast<int>(m_box.text({"list", "-f", "csv", "-c", "n"}).split('\n').size());
    std::fprintf(stderr, "%d instances\n", have);
    for (int i = 0; i < m_rounds; ++i) {
        add("list, 500 instances, full", "lxmgr", ours({"list"}), "≤ 60 ms");
        add("list, 500 instances, names and states", "lxmgr", ours({"list", "-f", "csv", "-c", "ns"}));
        if (!m_haveLxc)
            continue;
        add("list, 500 instances, full", "lxc", timed({"lxc-ls", "-P", lxcList, "-f"}));
        add("list, 500 instances, names and states", "lxc", timed({"lxc-ls", "-P", lxcList, "-F", "NAME,STATE", "-f"}));
    }
    const QByteArray pid = QByteArray::number(m_box.daemonPid());
    for (const QByteArray &line : readFile("/proc/" + QString::fromUtf8(pid) + "/smaps_rollup").split('\n'))
        if (line.startsWith("Pss:"))
            add("daemon with 500 instances, PSS", "lxmgr",
                line.mid(4).simplified().split(' ').first().toDouble() / 1024, "≤ 40 MiB", "MiB");
    const double start = nowMs();
    lxmgr::test::run({"sh", "-c", QString("%1 list -f csv -c n | xargs -n 100 %1 -q delete -f").arg(program)},
                     {{}, 600000, m_box.environment(), {}});
    add("delete of 500 stopped, each", "lxmgr", (nowMs() - start) / kCount);
}

void Bench::burst()
{
    constexpr int kCount = 20;
    const QString program = Sandbox::program("lxmgr");
    for (int i = 0; i < std::max(2, m_rounds / 2); ++i) {
        add("20 launches, 4 at a time", "lxmgr",
            timed({"sh", "-c", QString("seq %1 | xargs -P 4 -I@ %2 -q launch busybox bu@").arg(kCount).arg(program)}),
            "≤ 480 ms");
        timed({"sh", "-c", QString("seq %1 | sed s/^/bu/ | xargs -P 4 -n 1 %2 -q delete -f").arg(kCount).arg(program)});
        if (!m_haveLxc)
            continue;
        add("20 launches, 4 at a time", "lxc",
            timed({"sh", "-c",
                   QString("seq %1 | xargs -P 4 -I@ sh -c 'lxc-copy -P %2 -s -B overlay -n bb -N bu@ && lxc-start -P "
                           "%2 -n bu@'")
                       .arg(kCount)
                       .arg(m_lxcPath)}));
        timed({"sh", "-c",
               QString("seq %1 | sed s/^/bu/ | xargs -P 4 -n 1 lxc-destroy -P %2 -f -n").arg(kCount).arg(m_lxcPath)});
    }
}

double pssMiB(int pid)
{
    for (const QByteArray &line : readFile(QString("/proc/%1/smaps_rollup").arg(pid)).split('\n'))
        if (line.startsWith("Pss:"))
            return line.mid(4).simplified().split(' ').first().toDouble() / 1024;
    return NAN;
}

int parentOf(int pid)
{
    const QByteArray status = readFile(QString("/proc/%1/status").arg(pid));
    const qsizetype at = status.indexOf("\nPPid:");
    return at < 0 ? 0 : status.mid(at + 6, 12).split('\n').first().trimmed().toInt();
}

void Bench::memory()
{
    constexpr int kCount = 10; // the shared pages of a monitor's binary are spread over as many
    for (int i = 0; i < kCount; ++i) {
        quietly({Sandbox::program("lxmgr"), "launch", "busybox", QString("m%1").arg(i)});
        if (m_haveLxc && lxc("copy", {"-s", "-B", "overlay", "-n", "bb", "-N", QString("m%1").arg(i)}) > 0)
            lxc("start", {"-n", QString("m%1").arg(i)});
    }
    QThread::sleep(12); // threads of the daemon's pool end
    for (int i = 0; i < kCount; ++i) {
        const QString name = QString("m%1").arg(i);
        add("memory of one guest's monitor, PSS", "lxmgr", pssMiB(m_box.monitorPid(name)), "≤ 0.6 MiB", "MiB");
        if (m_haveLxc)
            add("memory of one guest's monitor, PSS", "lxc", pssMiB(parentOf(lxcInit(name))), {}, "MiB");
    }
    add("daemon idle, PSS", "lxmgr", pssMiB(static_cast<int>(m_box.daemonPid())), "≤ 20 MiB", "MiB");
    for (int i = 0; i < kCount; ++i) {
        quietly({Sandbox::program("lxmgr"), "delete", "-f", QString("m%1").arg(i)});
        if (m_haveLxc)
            lxc("destroy", {"-f", "-n", QString("m%1").arg(i)});
    }
}

// --- the table

QString figure(double value)
{
    return std::isnan(value) ? QString("–") : QString::number(value, 'f', value < 10 ? 2 : value < 100 ? 1 : 0);
}

void Bench::printTable()
{
    const QByteArray version =
        m_haveLxc ? lxmgr::test::run({"lxc-start", "--version"}).out.trimmed() : QByteArray("not here");
    std::printf("| what (median [min]) | lxmgr | LXC %s | ratio of medians | goal |\n|---|---|---|---|---|\n",
                version.constData());
    for (const Row &row : m_rows) {
        const auto cell = [&](const QString &peer) {
            const QList<double> values = row.samples.value(peer);
            return values.isEmpty()
                       ? QString("–")
                       : QString("%1 %2 [%3]").arg(figure(median(values)), row.unit, figure(least(values)));
        };
        const double ratio = median(row.samples.value("lxmgr")) / median(row.samples.value("lxc"));
        std::printf("| %s | %s | %s | %s | %s |\n", qPrintable(row.what), qPrintable(cell("lxmgr")),
                    qPrintable(cell("lxc")), qPrintable(figure(ratio)), qPrintable(row.goal));
    }
}

int Bench::runAll()
{
    if (!setUp())
        return 1;
    section("client", &Bench::clientStart);
    section("start", &Bench::startAndStop);
    section("launch", &Bench::launches);
    section("exec", &Bench::exec);
    section("boot", &Bench::boot);
    section("memory", &Bench::memory);
    section("burst", &Bench::burst);
    section("list", &Bench::list);
    printTable();
    if (m_haveLxc)
        lxmgr::test::run(
            {"sh", "-c",
             QString("for n in $(lxc-ls -P %1 --running -1); do lxc-stop -k -P %1 -n $n; done").arg(m_lxcPath)});
    return 0;
}

} // namespace

/// lxmgr-bench [ROUNDS [SECTION...]]
int main(int argc, char **argv)
{
    QCoreApplication application(argc, argv);
    const QStringList arguments = application.arguments().mid(1);
    const int rounds = arguments.value(0).toInt();
    return Bench(rounds > 0 ? rounds : 9, arguments.mid(1)).runAll();
}

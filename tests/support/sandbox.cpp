#include "support/sandbox.h"

#include "support/uplink.h"

#include <QCryptographicHash>
#include <QDeadlineTimer>
#include <QDir>
#include <QDirIterator>
#include <QFile>
#include <QFileInfo>
#include <QJsonArray>
#include <QJsonDocument>

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace lxmgr::test
{

namespace
{

constexpr int kPollMs = 10;
constexpr int kTrashStuckMs = 30000;

/// All that lies in the trash of any pool, counted.
qsizetype trashSize(const QString &stateDir)
{
    qsizetype count = 0;
    for (const QFileInfo &pool : QDir(stateDir + "/storage-pools").entryInfoList(QDir::Dirs | QDir::NoDotAndDotDot))
        for (const QString &trash : {pool.filePath() + "/trash", pool.filePath() + "/custom/trash"})
            for (QDirIterator it(trash, QDir::AllEntries | QDir::Hidden | QDir::System | QDir::NoDotAndDotDot,
                                 QDirIterator::Subdirectories);
                 it.hasNext(); it.next())
                ++count;
    return count;
}

/// Waits for the daemon's removals for as long as they go on: how long a tree takes is the disk's business. One that
/// stands still is what the comparison after this is there to find.
void emptiedTrash(const QString &stateDir)
{
    qsizetype before = trashSize(stateDir);
    QDeadlineTimer stuck(kTrashStuckMs);
    while (before > 0 && !stuck.hasExpired()) {
        ::poll(nullptr, 0, 5 * kPollMs);
        const qsizetype now = trashSize(stateDir);
        if (now != before)
            stuck.setRemainingTime(kTrashStuckMs);
        before = now;
    }
}

void writeFile(const QString &path, const QByteArray &content)
{
    QFile file(path);
    if (file.open(QIODevice::WriteOnly))
        file.write(content);
}

QByteArray readFile(const QString &path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

int connectTo(const QString &path)
{
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const QByteArray bytes = path.toUtf8();
    std::copy_n(bytes.constData(), std::min<size_t>(static_cast<size_t>(bytes.size()), sizeof address.sun_path - 1),
                address.sun_path);
    if (fd >= 0 && ::connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0)
        return fd;
    ::close(fd);
    return -1;
}

QByteArray exchange(int fd, const QByteArray &request, int timeoutMs)
{
    [[maybe_unused]] const ssize_t written = ::send(fd, request.constData(), static_cast<size_t>(request.size()), MSG_NOSIGNAL);
    QByteArray answer;
    const QDeadlineTimer deadline(timeoutMs);
    pollfd wait{fd, POLLIN, 0};
    while (::poll(&wait, 1, static_cast<int>(deadline.remainingTime())) > 0) {
        char buffer[65536];
        const ssize_t count = ::read(fd, buffer, sizeof buffer);
        if (count <= 0)
            break;
        answer.append(buffer, count);
    }
    return answer;
}

QByteArray withoutChunks(const QByteArray &body)
{
    QByteArray plain;
    qsizetype at = 0;
    while (at < body.size()) {
        const qsizetype end = body.indexOf("\r\n", at);
        const qsizetype size = end < 0 ? 0 : body.mid(at, end - at).toLongLong(nullptr, 16);
        if (size <= 0)
            break;
        plain += body.mid(end + 2, size);
        at = end + 2 + size + 2;
    }
    return plain;
}

/// A fresh namespace has only lo, which must be up for local servers.
bool enterOwnNetwork()
{
    return ::unshare(CLONE_NEWNET) == 0 && run({"ip", "link", "set", "lo", "up"}).ok();
}

} // namespace

Sandbox::Sandbox() = default;
Sandbox::~Sandbox() { destroy(); }

QString Sandbox::program(const QString &name)
{
    const QString folder = qEnvironmentVariable("LXMGR_TEST_BIN", LXMGR_TEST_BIN);
    return folder + "/" + name;
}

QString Sandbox::sourceDir() { return qEnvironmentVariable("LXMGR_TEST_SOURCE", LXMGR_TEST_SOURCE); }
QString Sandbox::cacheDir() { return qEnvironmentVariable("LXMGR_TEST_CACHE", "/var/cache/lxmgr-tests"); }

QString Sandbox::create()
{
    if (::geteuid() != 0)
        return "needs root";
    if (!QFileInfo(program("lxmgrd")).isExecutable() || !QFileInfo(program("lxmgr")).isExecutable())
        return "lxmgr and lxmgrd are not in " + program("");
    if (m_machineNetwork < 0) {
        m_machineNetwork = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (!enterOwnNetwork())
            return "cannot make a network namespace (ip of iproute2, unshare(2))";
    }
    return makeFolders("lxmgr-t" + QString::number(::getpid()));
}

QString Sandbox::createBeside()
{
    m_beside = true;
    return makeFolders("lxmgr-t" + QString::number(::getpid()) + "-beside");
}

QString Sandbox::makeFolders(const QString &cgroup)
{
    // Not QTemporaryDir: it would remove the folder while a mount of a failed test may still be below it.
    QByteArray pattern = (QDir::tempPath() + "/lxmgr-t.XXXXXX").toUtf8();
    if (!::mkdtemp(pattern.data()))
        return "no temporary folder";
    m_directory = QString::fromUtf8(pattern);
    ::chmod(pattern.constData(), 0711);
    m_cgroupBase = cgroup;
    for (const char *folder : {"state", "run", "etc", "etc/templates.d", "etc/profiles.d"})
        QDir(m_directory).mkpath(folder);
    // What tests/run.sh needs to clear away after a test that was killed.
    writeFile(m_directory + "/sandbox",
              QString("%1 %2\n").arg(::getpid()).arg(m_cgroupBase).toUtf8());
    return {};
}

QString Sandbox::connectUplink()
{
    if (m_uplink)
        return {};
    m_uplink = std::make_unique<Uplink>(QString("/proc/%1/fd/%2").arg(::getpid()).arg(m_machineNetwork));
    const QString why = m_uplink->connect();
    if (!why.isEmpty())
        m_uplink.reset();
    else
        keepFromImageServers();
    return why;
}

void Sandbox::disconnectUplink() { m_uplink.reset(); }

QProcessEnvironment Sandbox::environment() const
{
    QProcessEnvironment all = QProcessEnvironment::systemEnvironment();
    for (const char *name : {"LXMGR_FAIL", "LXMGR_CONF", "LXMGR_REMOTE", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "SSH_AUTH_SOCK"})
        all.remove(name);
    all.insert("LXMGR_DIR", stateDir());
    all.insert("LXMGR_RUN_DIR", runDir());
    all.insert("LXMGR_CONFIG_DIR", configDir());
    all.insert("LXMGR_DATA_DIR", sourceDir());
    all.insert("LXMGR_CGROUP", m_cgroupBase);
    all.insert("LXMGRD", program("lxmgrd"));
    all.insert("LXMGR_MONITOR", program("lxmgr-monitor"));
    all.insert("LC_ALL", "C.UTF-8");
    all.insert("HOME", m_directory);
    all.insert("XDG_CONFIG_HOME", m_directory + "/home");
    return all;
}

AuditScope Sandbox::scope() const { return {m_directory, stateDir(), m_cgroupBase, !m_beside}; }

bool Sandbox::startDaemon(const QMap<QString, QString> &extra, const QStringList &wrapper)
{
    QProcessEnvironment all = environment();
    for (auto variable = extra.cbegin(); variable != extra.cend(); ++variable)
        all.insert(variable.key(), variable.value());
    m_daemon = std::make_unique<QProcess>();
    m_daemon->setProcessEnvironment(all);
    m_daemon->setProcessChannelMode(QProcess::MergedChannels);
    m_daemon->setStandardOutputFile(m_directory + "/daemon.log", QIODevice::Append);
    m_daemon->setStandardInputFile(QProcess::nullDevice());
    // A test that dies takes its daemon along; the daemon's monitors are its guests' business.
    m_daemon->setChildProcessModifier([] { ::prctl(PR_SET_PDEATHSIG, SIGKILL); });
    const QStringList command = wrapper + QStringList{program("lxmgrd")} + m_daemonArguments;
    m_daemon->start(command.first(), command.mid(1));
    if (!m_daemon->waitForStarted())
        return false;
    const bool ready = eventually([this] {
        return m_daemon->waitForFinished(0) || rest("GET", "/internal/ready").status == 200;
    }) && m_daemon->state() == QProcess::Running;
    if (ready)
        keepFromImageServers();
    return ready;
}

/// Only archives of packages are reached from tests.
void Sandbox::keepFromImageServers()
{
    if (m_daemon && m_uplink)
        cli({"config", "set", "images.servers=none"});
}

namespace
{
/// A wrapper of a daemon ends by what it was sent, or by what it sends its child.
bool isFault(int signal) { return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGILL || signal == SIGFPE; }
} // namespace

void Sandbox::stopDaemon()
{
    if (!m_daemon)
        return;
    m_daemon->terminate();
    if (!m_daemon->waitForFinished(20000)) {
        m_faults << "daemon: did not end within 20 seconds of SIGTERM";
        m_daemon->kill();
        m_daemon->waitForFinished(5000);
    } else if (m_daemon->exitStatus() == QProcess::CrashExit && isFault(m_daemon->exitCode())) {
        m_faults << "daemon: ended by signal " + QString::number(m_daemon->exitCode());
    }
    m_daemon.reset();
}

void Sandbox::killDaemon()
{
    if (!m_daemon)
        return;
    m_daemon->kill();
    m_daemon->waitForFinished(5000);
    m_daemon.reset();
}

bool Sandbox::daemonEnds(int timeoutMs)
{
    const bool ended = !m_daemon || m_daemon->state() == QProcess::NotRunning || m_daemon->waitForFinished(timeoutMs);
    if (ended)
        m_daemon.reset();
    return ended;
}

qint64 Sandbox::daemonPid() const { return m_daemon ? m_daemon->processId() : 0; }

QStringList Sandbox::destroy()
{
    if (m_directory.isEmpty())
        return {};
    const bool runs = m_daemon && m_daemon->state() == QProcess::Running;
    if (runs)
        rest("PUT", "/internal/shutdown", QJsonObject{{"force", true}}, 40000);
    stopDaemon();

    // Network helpers outlive the daemon by design. Whatever else is there should not be.
    QStringList forced = std::exchange(m_faults, {});
    if (daemonLog().contains("was ended by a signal"))
        forced << "a process of the daemon's was ended by a signal:\n" + daemonLog().right(2000);
    const QMap<int, QString> left = processesOf(scope());
    for (auto process = left.cbegin(); process != left.cend(); ++process) {
        if (!process.value().contains("dnsmasq"))
            forced << "process: " + process.value();
        ::kill(process.key(), SIGKILL);
    }
    const AuditScope ours = scope();
    eventually([&] { return processesOf(ours).isEmpty(); }, 5000);
    const Holdings remains = takeStock(ours);
    for (const QString &mount : remains["mount"])
        forced << "mount: " + mount;
    QStringList cgroups = remains["cgroup"];
    if (runs)
        cgroups << cgroupBases(ours); // a daemon that ends leaves none behind that is empty
    for (const QString &cgroup : cgroups)
        forced << "cgroup: " + cgroup;
    const Run sweep = run({"sh", sourceDir() + "/tests/support/sweep.sh", m_directory});
    if (!sweep.ok())
        forced << QString::fromUtf8(sweep.told());
    m_uplink.reset();
    m_directory.clear();
    return forced;
}

Run Sandbox::cli(const QStringList &args, const QByteArray &input, int timeoutMs)
{
    RunOptions options;
    options.environment = environment();
    options.input = input;
    options.timeoutMs = timeoutMs;
    options.workingDirectory = m_directory;
    return run(QStringList{program("lxmgr")} + args, options);
}

QByteArray Sandbox::text(const QStringList &args, int timeoutMs)
{
    const Run result = cli(args, {}, timeoutMs);
    return result.ok() ? result.out.trimmed() : result.told();
}

Reply Sandbox::rest(const QByteArray &verb, const QByteArray &path, const QJsonObject &body, int timeoutMs)
{
    Reply reply;
    const int fd = connectTo(socket());
    if (fd < 0)
        return reply;
    const QByteArray content = body.isEmpty() ? QByteArray() : QJsonDocument(body).toJson(QJsonDocument::Compact);
    QByteArray request = verb + " " + path + " HTTP/1.1\r\nHost: lxmgr\r\nConnection: close\r\n";
    if (!content.isEmpty())
        request += "Content-Type: application/json\r\nContent-Length: " + QByteArray::number(content.size()) + "\r\n";
    const QByteArray answer = exchange(fd, request + "\r\n" + content, timeoutMs);
    ::close(fd);
    const qsizetype head = answer.indexOf("\r\n\r\n");
    if (head < 0)
        return reply;
    reply.status = answer.mid(9, 3).toInt();
    reply.raw = answer.mid(head + 4);
    if (answer.left(head).toLower().contains("transfer-encoding: chunked"))
        reply.raw = withoutChunks(reply.raw);
    reply.body = QJsonDocument::fromJson(reply.raw).object();
    return reply;
}

bool Sandbox::eventually(const std::function<bool()> &check, int timeoutMs)
{
    const QDeadlineTimer deadline(timeoutMs);
    for (;;) {
        if (check())
            return true;
        if (deadline.hasExpired())
            return false;
        ::poll(nullptr, 0, kPollMs);
    }
}

bool Sandbox::isAlive(int pid)
{
    const QByteArray status = readFile(QString("/proc/%1/status").arg(pid));
    return !status.isEmpty() && !status.contains("State:\tZ");
}

QByteArray Sandbox::stateOf(const QString &instance)
{
    const Run list = cli({"list", "-f", "csv", "-c", "ns"});
    for (const QByteArray &line : list.out.split('\n'))
        if (line.startsWith(instance.toUtf8() + ","))
            return line.mid(instance.size() + 1).trimmed();
    return list.ok() ? QByteArray() : "list failed: " + list.told();
}

bool Sandbox::becomes(const QString &instance, const QByteArray &state, int timeoutMs)
{
    return eventually([&] { return stateOf(instance) == state; }, timeoutMs);
}

int Sandbox::initPid(const QString &instance)
{
    const Reply reply = rest("GET", "/1.0/instances/" + instance.toUtf8() + "/state");
    const int pid = reply.body["metadata"].toObject()["pid"].toInt();
    return pid > 0 ? pid : 0;
}

int Sandbox::monitorPid(const QString &instance)
{
    const QByteArray status = readFile(QString("/proc/%1/status").arg(initPid(instance)));
    const qsizetype at = status.indexOf("\nPPid:");
    return at < 0 ? 0 : status.mid(at + 6, 12).split('\n').first().trimmed().toInt();
}

Holdings Sandbox::settledStock() const
{
    emptiedTrash(stateDir());
    Holdings last = stock();
    eventually([&] {
        ::poll(nullptr, 0, 200);
        const Holdings now = stock();
        const bool same = difference(last, now).isEmpty();
        last = now;
        return same;
    }, 10000);
    return last;
}

QStringList Sandbox::leftSince(const Holdings &before, int timeoutMs)
{
    emptiedTrash(stateDir());
    QStringList changes;
    eventually([&] { return (changes = difference(before, stock())).isEmpty(); }, timeoutMs);
    return changes;
}

QByteArray Sandbox::daemonLog() const { return readFile(m_directory + "/daemon.log"); }

// --- images kept between runs

namespace
{

struct CachedImage {
    QString file;
    bool whole = false; ///< Its bytes still have the hash that was written beside it.
};

QByteArray sha256Of(const QString &path)
{
    QFile file(path);
    QCryptographicHash hash(QCryptographicHash::Sha256);
    return file.open(QIODevice::ReadOnly) && hash.addData(&file) ? hash.result().toHex() : QByteArray();
}

CachedImage cached(const QString &templateName)
{
    const QString text = Sandbox::sourceDir() + "/templates/" + templateName.section('/', 0, 0) + ".yaml";
    CachedImage image;
    image.file = Sandbox::cacheDir() + "/" + QString(templateName).replace('/', '-') + "-" + sha256Of(text).left(16)
                 + ".image";
    const QByteArray kept = readFile(image.file + ".sha256").trimmed();
    image.whole = !kept.isEmpty() && sha256Of(image.file) == kept;
    return image;
}

/// The one file that `image export` made in `folder`.
QString onlyFile(const QString &folder)
{
    const QStringList files = QDir(folder).entryList(QDir::Files);
    return files.size() == 1 ? folder + "/" + files.first() : QString();
}

QString fillCache(Sandbox &sandbox, const QString &templateName, const CachedImage &image)
{
    const QString why = sandbox.connectUplink();
    if (!why.isEmpty())
        return why;
    const Run build = sandbox.cli({"template", "build", templateName}, {}, 900000);
    sandbox.disconnectUplink();
    if (!build.ok())
        return QString::fromUtf8(build.told());
    const QString folder = sandbox.directory() + "/export";
    QDir().mkpath(folder);
    const Run exported = sandbox.cli({"image", "export", templateName, folder + "/"}, {}, 300000);
    const QString file = onlyFile(folder);
    if (!exported.ok() || file.isEmpty())
        return "image export: " + QString::fromUtf8(exported.told());
    // Keyed by the template's text and checked before use; another filesystem is possible, so copy, then rename.
    QDir().mkpath(Sandbox::cacheDir());
    const QString part = image.file + "." + QString::number(::getpid());
    QFile::remove(part);
    if (!QFile::copy(file, part))
        return {}; // no cache, but the image is there
    writeFile(image.file + ".sha256", sha256Of(part));
    QFile::remove(image.file);
    QFile::rename(part, image.file);
    QFile::remove(file);
    return {};
}

} // namespace

QString provideImage(Sandbox &sandbox, const QString &templateName)
{
    const CachedImage image = cached(templateName);
    if (!image.whole)
        return fillCache(sandbox, templateName, image);
    const Run imported = sandbox.cli({"image", "import", image.file, "--alias", templateName}, {}, 300000);
    return imported.ok() ? QString() : QString::fromUtf8(imported.told());
}

} // namespace lxmgr::test

// Guests without a daemon: a busybox tree, a launch spec for it, and its monitor.
#pragma once

#include "kernel/caps.h"
#include "kernel/cgroup.h"
#include "spec/monitor_client.h"
#include "support/require.h"
#include "support/verify.h"

#include <QDir>
#include <QFile>
#include <QProcess>
#include <QTemporaryDir>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <unistd.h>

namespace lxmgr::test
{

/// What one command printed, and how it ended.
struct Output {
    QByteArray text;
    int exitCode = -1;
    std::string error;
};

class GuestFixture
{
public:
    GuestFixture()
    {
        // Everything of ours has this process's number in it, and goes with it.
        m_base = "lxmgr-t" + std::to_string(::getpid());
        makeTree();
    }
    ~GuestFixture()
    {
        killGuest();
        if (const auto layout = cgroup::Layout::probe())
            (void)cgroup::remove(*layout, m_base); // a test that fails has said so already
    }

    static bool hasBusybox() { return QFile::exists("/bin/busybox"); }
    QString path(const QString &name) const { return m_dir.filePath(name); }
    std::string runDir() const { return path("run").toStdString(); }
    std::string cgroupPath() const { return m_base + "/t1"; }
    std::string monitor() const { return LXMGR_TEST_BIN "/lxmgr-monitor"; }

    spec::LaunchSpec spec() const
    {
        spec::LaunchSpec spec;
        spec.project = "default";
        spec.instance = "t1";
        spec.runDir = runDir();
        spec.consoleLog = path("logs/console.log").toStdString();
        spec.cgroup = cgroupPath();
        spec.idmap.uids = spec.idmap.gids = {
            {0, 1000000, 65536}
        };
        spec.rootfs.kind = spec::Rootfs::Kind::Overlay;
        spec.rootfs.lower = {path("image").toStdString()};
        spec.rootfs.layer = path("layer").toStdString();
        spec.hostname = "t1";
        spec.init = {"/sbin/init"};
        spec.environment = {
            {"container",     "lxc"             },
            {"PATH",          "/bin:/sbin"      },
            {"NOTIFY_SOCKET", "/run/host/notify"}
        };
        spec.boundingSet = ~(1ULL << 16 | 1ULL << 17); // without sys_module, sys_rawio
        return spec;
    }

    Result<spec::StartedGuest> start(const spec::LaunchSpec &launch) { return spec::startMonitor(monitor(), launch); }
    Result<spec::StartedGuest> start() { return start(spec()); }
    Result<spec::MonitorClient> connect() const { return spec::MonitorClient::connect(spec::monitorSocket(runDir())); }

    void killGuest()
    {
        if (auto client = connect())
            (void)client->kill(); // gone is what is wanted
    }

    /// Runs a shell line inside.
    Output run(const std::string &line, spec::ExecRequest request = {})
    {
        request.argv = {"/bin/sh", "-c", line};
        if (request.environment.empty())
            request.environment = {
                {"PATH", "/bin:/sbin"},
                {"HOME", "/root"     }
            };
        return exec(request);
    }

    Output exec(const spec::ExecRequest &request)
    {
        Output output;
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            qFatal("pipe2");
        Fd reader(ends[0]), writer(ends[1]);
        const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
        auto client = connect();
        if (!client) {
            output.error = client.error().message;
            return output;
        }
        const auto started = client->exec(request, null.get(), writer.get(), writer.get());
        if (!started) {
            output.error = started.error().message;
            return output;
        }
        writer.reset();
        char buffer[4096];
        for (ssize_t length; (length = ::read(reader.get(), buffer, sizeof buffer)) > 0;)
            output.text.append(buffer, static_cast<qsizetype>(length));
        if (const auto end = client->waitExec()) {
            output.exitCode = end->exitCode;
            output.error = end->error;
        }
        return output;
    }

    /// What is left on the host of a guest that has ended.
    QStringList leftovers() const
    {
        QStringList left = QDir(path("run")).entryList(QDir::AllEntries | QDir::System | QDir::NoDotAndDotDot);
        left.removeAll("exit");
        const auto layout = cgroup::Layout::probe();
        if (!layout || cgroup::exists(*layout, cgroupPath()))
            left.append("control group");
        QFile mounts("/proc/self/mountinfo");
        if (mounts.open(QIODevice::ReadOnly) && mounts.readAll().contains(m_dir.path().toUtf8()))
            left.append("mount");
        return left;
    }

private:
    void makeTree()
    {
        QDir dir(m_dir.path());
        for (const char *folder : {"run", "logs", "layer/upper", "layer/work", "image/bin", "image/sbin", "image/etc",
                                   "image/root", "image/tmp"})
            dir.mkpath(folder);
        // The temporary folder is 0700, which the guest's root cannot pass; its mounts are made with our rights.
        QFile::copy("/bin/busybox", path("image/bin/busybox"));
        QProcess list;
        list.start("/bin/busybox", {"--list"});
        list.waitForFinished();
        for (const QByteArray &name : list.readAllStandardOutput().split('\n'))
            if (!name.isEmpty() && name != "busybox")
                QFile::link("busybox", path("image/bin/" + QString::fromUtf8(name)));
        QFile::link("../bin/busybox", path("image/sbin/init"));
        QFile::copy(LXMGR_TEST_BIN "/lxmgr-probe", path("image/bin/probe"));
        write("image/etc/inittab", "console::askfirst:/bin/sh\n::restart:/bin/init\n");
        write("image/etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n");
        write("image/etc/group", "root:x:0:\nuser:x:1000:\naudio:x:29:user,other\ntty:x:5:root\n");
    }
    void write(const QString &name, const QByteArray &content)
    {
        QFile file(path(name));
        if (!file.open(QIODevice::WriteOnly) || file.write(content) != content.size())
            qFatal("cannot write %s", qPrintable(name));
    }

    QTemporaryDir m_dir;
    std::string m_base;
};

} // namespace lxmgr::test

// File systems of each kind that a pool may lie on, made on loop devices in a mount namespace of the test's own:
// nothing stays.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/sys.h"

#include <QtCore/QDir>
#include <QtCore/QProcess>
#include <QtCore/QTemporaryDir>
#include <QtCore/QTemporaryFile>
#include <fcntl.h>
#include <linux/loop.h>
#include <map>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <vector>

namespace lxmgr::test
{

struct FileSystemKind {
    const char *name;
    QStringList make; ///< Program and options; none: mounted without a device.
    const char *type = nullptr;   ///< Of the file system, where that is not its name.
    const char *options = "";     ///< Of its mount.
};

inline const std::vector<FileSystemKind> &fileSystemKinds()
{
    static const std::vector<FileSystemKind> kinds = {
        {"ext4",  {"mkfs.ext4", "-q", "-F", "-N", "400000"}},
        {"xfs",   {"mkfs.xfs", "-q", "-f"}                 },
        {"btrfs", {"mkfs.btrfs", "-q", "-f"}               },
        {"tmpfs", {}                                       },
        {"ext4-projects",
         {"mkfs.ext4", "-q", "-F", "-N", "400000", "-O", "project,quota", "-E", "quotatype=prjquota"},
         "ext4", "prjquota"                                },
        {"xfs-projects", {"mkfs.xfs", "-q", "-f"}, "xfs", "prjquota"},
    };
    return kinds;
}

/// Of the zpool that is the bed of "zfs": each pool has a dataset of its own in it, and its state in a folder in memory.
inline const std::string &zpoolName()
{
    static const std::string name = "lxmgr-test-" + std::to_string(::getpid()); // a child of ours has its parent's
    return name;
}

class FileSystems
{
public:
    /// Takes this process into a mount namespace of its own. The files lie in memory, or below `folder` if it is not
    /// empty.
    Status begin(const std::string &folder)
    {
        TRY(sys::unshare(CLONE_NEWNS));
        TRY(sys::mount("none", "/", {}, MS_REC | MS_PRIVATE));
        m_folder = std::make_unique<QTemporaryDir>(QString::fromStdString(folder.empty() ? "/tmp" : folder) +
                                                   "/lxmgr-beds-XXXXXX");
        if (folder.empty())
            TRY(sys::mount("beds", top(), "tmpfs", 0, "size=8g"));
        for (const FileSystemKind &kind : fileSystemKinds())
            if (const Status made = make(kind, kind.name, "2G"); !made)
                m_lacks[kind.name] = made.error().message;
        if (const Status made = makeZpool(); !made)
            qInfo("no zfs: %s", (m_lacks["zfs"] = made.error().message).c_str());
        return {};
    }
    ~FileSystems()
    {
        for (auto path = m_mounted.rbegin(); path != m_mounted.rend(); ++path)
            ::umount2(path->c_str(), MNT_DETACH);
        if (!m_zpool.empty())
            (void)run({"zpool", "destroy", "-f", QString::fromStdString(m_zpool)});
        if (m_folder)
            ::umount2(top().c_str(), MNT_DETACH);
    }
    std::string path(const std::string &name) const { return top() + "/" + name; }
    /// What keeps the kind from being used here, or "".
    std::string lack(const std::string &name) const
    {
        const auto found = m_lacks.find(name);
        return found == m_lacks.end() ? "" : found->second;
    }
    Status make(const FileSystemKind &kind, const std::string &name, const std::string &size)
    {
        TRY(sys::mkdirat(sys::cwd(), path(name), 0755));
        if (kind.make.isEmpty()) {
            TRY(sys::mount("bed", path(name), kind.name, 0, "nr_inodes=400k,size=" + size));
        } else {
            const std::string device = TRY(attach(kind, path(name) + ".img", size));
            TRY(mount(kind, device, name));
            m_devices[name] = device;
        }
        m_mounted.push_back(path(name));
        return {};
    }

    /// As a power cut leaves the file system: what its journal has committed is there after this, what waited to be
    /// written is not. Nothing on it may be open. Unsupported where it cannot be stopped like that (tmpfs, btrfs).
    Status cutPower(const FileSystemKind &kind, const std::string &name)
    {
        constexpr unsigned long kShutdown = _IOR('X', 125, __u32); // EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
        __u32 withoutLog = 2;
        {
            const Fd folder = TRY(sys::open(path(name), O_RDONLY | O_DIRECTORY));
            Result<long> stopped =
                sys::call("shutdown", name, [&] { return ::ioctl(folder.get(), kShutdown, &withoutLog); });
            if (!stopped)
                return std::move(stopped.error()).as(Code::Unsupported);
        }
        TRY(sys::umount2(path(name), 0));
        return mount(kind, m_devices.at(name), name);
    }

private:
    Status makeZpool()
    {
        TRY(sys::mkdirat(sys::cwd(), path("zfs"), 0755));
        // The kernel opens the file by its path in the host's mount namespace, which has none of ours.
        m_zpoolFile = std::make_unique<QTemporaryFile>(QDir::tempPath() + "/lxmgr-zpool-XXXXXX");
        if (!m_zpoolFile->open() || !m_zpoolFile->resize(qint64(2) << 30))
            return Error(Code::Unsupported, m_zpoolFile->errorString().toStdString());
        const QString file = m_zpoolFile->fileName();
        // Figures of what is stored are compared with what was written.
        TRY(run({"zpool", "create", "-m", "none", "-o", "cachefile=none", "-O", "compression=off", QString::fromStdString(zpoolName()), file}));
        m_zpool = zpoolName();
        return {};
    }

    Status mount(const FileSystemKind &kind, const std::string &device, const std::string &name) const
    {
        return sys::mount(device, path(name), kind.type ? kind.type : kind.name, 0, kind.options);
    }

    std::string top() const { return m_folder->path().toStdString(); }

    static Status run(QStringList command)
    {
        QProcess process;
        const QString program = command.takeFirst();
        process.start(program, command);
        if (process.waitForFinished(120000) && process.exitStatus() == QProcess::NormalExit && process.exitCode() == 0)
            return {};
        return Error(Code::Unsupported,
                     (program + ": " + process.errorString() + process.readAllStandardError()).toStdString());
    }

    /// Makes the file system in a new sparse file; the loop device goes with its last mount.
    static Result<std::string> attach(const FileSystemKind &kind, const std::string &file, const std::string &size)
    {
        const QString path = QString::fromStdString(file);
        TRY(run({"truncate", "-s", QString::fromStdString(size), path}));
        TRY(run(kind.make + QStringList{path}));
        const Fd content = TRY(sys::open(file, O_RDWR));
        const Fd control = TRY(sys::open("/dev/loop-control", O_RDWR));
        for (int attempt = 0;; ++attempt) {
            const long number =
                TRY(sys::call("LOOP_CTL_GET_FREE", {}, [&] { return ::ioctl(control.get(), LOOP_CTL_GET_FREE); }));
            std::string name = "/dev/loop" + std::to_string(number);
            const Fd device = TRY(sys::open(name, O_RDWR));
            loop_config config{};
            config.fd = static_cast<__u32>(content.get());
            config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
            const Status set = [&]() -> Status {
                TRY(sys::call("LOOP_CONFIGURE", name, [&] { return ::ioctl(device.get(), LOOP_CONFIGURE, &config); }));
                return {};
            }();
            if (set) // held open until it is mounted, or it would clear itself
                return held(std::move(name), TRY(sys::open("/proc/self/fd/" + std::to_string(device.get()), O_RDWR)));
            if (set.error().errnum != EBUSY || attempt == 20) // somebody else may take the same free one
                return set.error();
        }
    }
    static std::string held(std::string name, Fd device)
    {
        static std::vector<Fd> devices;
        devices.push_back(std::move(device));
        return name;
    }

    std::unique_ptr<QTemporaryDir> m_folder;
    std::vector<std::string> m_mounted;
    std::map<std::string, std::string> m_lacks;
    std::map<std::string, std::string> m_devices;
    std::string m_zpool;
    std::unique_ptr<QTemporaryFile> m_zpoolFile;
};

} // namespace lxmgr::test

// What every storage driver promises, asked of each in turn on each file system that carries it. These lie on loop
// devices in memory, or in the folder LXMGR_TEST_POOL names, for times as a disk has them. LXMGR_TEST_SEED repeats a
// run of random edits.
#include "conformance/file_systems.h"
#include "conformance/folder_trees.h"
#include "conformance/mounted_tree.h"
#include "conformance/tree_manifest.h"
#include "kernel/mount.h"
#include "storage/available.h"
#include "storage/backing.h"
#include "storage/btrfs_subvolume.h"
#include "storage/driver.h"
#include "storage/lvm_group.h"
#include "storage/tree.h"
#include "storage/zfs_pool.h"
#include "support/require.h"
#include "support/verify.h"

#include <QtCore/QDir>
#include <QtCore/QElapsedTimer>
#include <QtCore/QFile>
#include <QtCore/QTemporaryDir>
#include <atomic>
#include <fcntl.h>
#include <linux/capability.h>
#include <functional>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <thread>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::storage;
using lxmgr::test::Mounted;

namespace
{

const std::string kImage(64, 'a');
const std::string kOther(64, 'b');

test::FileSystems g_fileSystems;

/// A dataset of the zpool that is the bed of "zfs".
Backing datasetFor(const std::string &state)
{
    Backing backing;
    backing.kind = Backing::Kind::Dataset;
    backing.source = backing.dataset = test::zpoolName() + state.substr(state.rfind('/'));
    backing.folder = state + "/storage-pools/default";
    return backing;
}

/// "separate" is the frame of drivers whose trees are file systems of their own, over mounted folders.
Result<std::unique_ptr<Driver>> openDriver(const std::string &driverName, const std::string &state,
                                           VolumeKind kind = VolumeKind::Instance)
{
    const std::string folder = state + "/storage-pools/default" + (kind == VolumeKind::Custom ? "/custom" : "");
    if (driverName == "separate")
        return makeSeparateTreesDriver({"default", folder, state, kind},
                                       std::make_unique<test::FolderTrees>(state + "/trees"));
    const std::string fileSystem = driverName == "lvm-xfs" ? "xfs" : "";
    if (driverName == "zfs" && kind == VolumeKind::Instance) {
        TRY(zfs::makePlace(datasetFor(state), Wipe::No));
        TRY(zfs::mountPlace(datasetFor(state)));
    }
    return Driver::open({"default", driverName.substr(0, driverName.find('-')), folder, kind, fileSystem, "discard"}, state);
}

/// A pool of driver lvm has a volume group of its own, in a file.
Backing groupIn(const std::string &state)
{
    Backing backing;
    backing.kind = Backing::Kind::File;
    backing.source = state + "/pool.img";
    backing.folder = state + "/storage-pools/default";
    backing.group = "lxmgr-test" + state.substr(state.rfind('-') + 1);
    backing.thinPool = lvm::kThinPool;
    return backing;
}

std::string lackOf(std::string_view driverName, const std::string &state)
{
    for (const DriverState &each : driverStates(state))
        if (each.name == driverName)
            return each.reason;
    return {};
}

/// A driver on a file system: the tag of a data row, "overlay/xfs".
struct Pool {
    std::string driverName;
    QTemporaryDir folder;
    std::unique_ptr<Driver> driver;

    explicit Pool(const std::string &tag)
        : driverName(tag.substr(0, tag.find('/'))),
          folder(QString::fromStdString(g_fileSystems.path(tag.substr(tag.find('/') + 1)) + "/lxmgr-storage-XXXXXX"))
    {
    }
    ~Pool()
    {
        if (driver)
            clear(); // QTemporaryDir removes no read-only subvolumes and no names that are not UTF-8
        driver.reset();
        if (driverName == "zfs") {
            const Backing backing = datasetFor(folder.path().toStdString());
            for (const auto &step : {&unmountBacking, &zfs::removePlace})
                if (const Status gone = step(backing); !gone)
                    qWarning("%s", gone.error().message.c_str());
        }
        if (!isLvm())
            return;
        const Backing backing = groupIn(folder.path().toStdString());
        for (const auto &step : {&unmountBacking, &lvm::removePlace})
            if (const Status gone = step(backing); !gone)
                qWarning("%s", gone.error().message.c_str());
    }
    bool isLvm() const { return driverName.starts_with("lvm"); }
    Status open()
    {
        driver.reset(); // as after a restart: waits for its thread
        const std::string state = folder.path().toStdString();
        if (isLvm() && ::access((state + "/pool.img").c_str(), F_OK) != 0) {
            TRY(makeFile(state + "/pool.img", Bytes{8ULL << 30}));
            TRY(lvm::makePlace(groupIn(state), Wipe::No, Bytes{}));
            TRY(mountBacking(groupIn(state)));
        }
        driver = TRY(openDriver(driverName, folder.path().toStdString()));
        return driver->prepare();
    }
    std::string path(const std::string &below) const { return driver->directory() + "/" + below; }
    /// Where a tree lies in the folder that holds it.
    std::string inHolder() const { return driverName == "separate" || driverName == "zfs" || isLvm() ? "/fs" : ""; }
    std::string imagePath(const std::string &image) const { return path("images/" + image) + inHolder(); }

private:
    void clear()
    {
        const auto images = driver->listImages();
        for (const std::string &image : images.value_or(std::vector<std::string>()))
            (void)driver->deleteImage(image); // what stays is in memory that goes with the test
        const Fd trash(::open(path("trash").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        for (const char *part : {"containers", "aside", "layers"}) {
            const Fd parent(::open(path(part).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            const auto names = parent ? namesIn(parent) : Result<std::vector<std::string>>();
            for (const std::string &name : names.value_or(std::vector<std::string>()))
                (void)renameNew(parent, name, trash, randomName());
        }
        (void)driver->emptyTrash();
    }
};

Status put(const Fd &at, const char *name, const std::string &content)
{
    const Fd file(::openat(at.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    for (std::size_t done = 0; done < content.size();) { // a full disk shows in the second write
        const ssize_t written = ::write(file.get(), content.data() + done, content.size() - done);
        if (written < 0)
            return Error::fromErrno(errno, "write", name);
        done += static_cast<std::size_t>(written);
    }
    return file ? Status() : Status(Error::fromErrno(errno, "create", name));
}

/// metadata.yaml and a root file system with one of each kind of file.
Status fillImage(const Fd &folder)
{
    TRY(put(folder, "metadata.yaml", "architecture: x86_64\ncreation_date: 1\n"));
    const Fd rootfs = TRY(makeFolder(folder, "rootfs", 0755));
    const Fd bin = TRY(makeFolder(rootfs, "bin", 0751));
    TRY(put(bin, "sh", "#!"));
    if (::fchownat(bin.get(), "sh", 0, 5, 0) < 0 || ::fchmodat(bin.get(), "sh", 04755, 0) < 0)
        return Error::fromErrno(errno, "setuid");
    if (::linkat(bin.get(), "sh", rootfs.get(), "sh-again", 0) < 0 || ::symlinkat("bin/sh", rootfs.get(), "link") < 0)
        return Error::fromErrno(errno, "link");
    if (::mkfifoat(rootfs.get(), "fifo", 0600) < 0 || ::fchownat(bin.get(), "", 1000, 1000, AT_EMPTY_PATH) < 0)
        return Error::fromErrno(errno, "fifo");
    return ::fsetxattr(rootfs.get(), "user.test", "x", 1, 0) == 0 ? Status()
                                                                  : Status(Error::fromErrno(errno, "setxattr"));
}

struct stat statOf(const std::string &path)
{
    struct stat info {
    };
    ::lstat(path.c_str(), &info);
    return info;
}

QStringList entriesOf(const std::string &path)
{
    return QDir(QString::fromStdString(path)).entryList(QDir::AllEntries | QDir::Hidden | QDir::NoDotAndDotDot);
}

} // namespace

/// Everything that a tree can hold and a copy can lose.
Status fillZoo(const std::string &top)
{
    const Fd at = TRY(sys::open(top, O_RDONLY | O_DIRECTORY));
    const auto must = [](const char *what, long result) {
        return result == 0 ? Status() : Status(Error::fromErrno(errno, what));
    };
    TRY(put(at, "new\nline", "1"));
    TRY(put(at, "\xff\xfe not UTF-8", "2"));
    TRY(put(at, "capable", "3"));
    // VFS_CAP_REVISION_2 with cap_net_raw permitted and effective.
    const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
    TRY(must("capability", ::fsetxattr(TRY(sys::openat(at, "capable", O_RDONLY)).get(), "security.capability",
                                       capability, sizeof capability, 0)));
    TRY(put(at, "foreign", "4"));
    TRY(must("chown", ::fchownat(at.get(), "foreign", 3'000'000'000, 70'000, 0)));
    TRY(must("attribute", ::setxattr((top + "/foreign").c_str(), "user.empty", "", 0, 0)));
    TRY(must("attribute", ::setxattr((top + "/foreign").c_str(), "trusted.binary", "\0\n\xff", 3, 0)));
    TRY(must("link", ::linkat(at.get(), "foreign", at.get(), "foreign too", 0)));
    TRY(must("symlink", ::symlinkat("/nowhere\n", at.get(), "dangling")));
    TRY(must("attribute", ::lsetxattr((top + "/dangling").c_str(), "trusted.link", "x", 1, 0)));
    TRY(must("link", ::linkat(at.get(), "dangling", at.get(), "dangling too", 0)));
    TRY(must("chown", ::fchownat(at.get(), "dangling", 12, 13, AT_SYMLINK_NOFOLLOW)));
    TRY(must("fifo", ::mkfifoat(at.get(), "pipe", 0622)));
    TRY(must("socket", ::mknodat(at.get(), "socket", S_IFSOCK | 0755, 0)));
    TRY(must("device", ::mknodat(at.get(), "device", S_IFCHR | 0640, makedev(10, 300))));
    TRY(must("attribute", ::setxattr((top + "/device").c_str(), "trusted.device", "y", 1, 0)));
    TRY(must("device", ::mknodat(at.get(), "block", S_IFBLK | 0604, makedev(259, 70000))));
    const Fd sparse = TRY(sys::openat(at, "sparse", O_WRONLY | O_CREAT | O_EXCL, 06755));
    TRY(must("write", ::pwrite(sparse.get(), "in the middle", 13, 3'000'000) - 13));
    TRY(must("truncate", ::ftruncate(sparse.get(), 8 << 20)));
    const Fd sticky = TRY(makeFolder(at, "sticky", 03777));
    TRY(put(sticky, "inside", std::string(100'000, 'z')));
    const timespec old[2] = {
        {5, 6          },
        {1, 999'999'999}
    };
    return must("times", ::futimens(sticky.get(), old));
}

/// Runs `work` in a child that dies before its `number`th call that changes something. False: it came to its end before
/// that.
bool dieAtChange(int number, const std::string &driverName, const std::string &state,
                 const std::function<Status(Driver &)> &work)
{
    const pid_t child = ::fork();
    if (child == 0) {
        const auto driver = openDriver(driverName, state);
        if (!driver || !(*driver)->prepare())
            ::_exit(2);
        ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        ::raise(SIGSTOP);
        ::_exit(work(**driver) ? 0 : 1);
    }
    static constexpr long kChanges[] = {SYS_renameat2, SYS_mkdirat,   SYS_symlinkat, SYS_mknodat,
                                        SYS_linkat,    SYS_unlinkat,  SYS_ioctl,     SYS_syncfs,
                                        SYS_fsync,     SYS_fsetxattr, SYS_utimensat, SYS_copy_file_range,
                                        SYS_move_mount, SYS_umount2,   SYS_quotactl_fd};
    int status = 0;
    ::waitpid(child, &status, 0);
    ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (int changes = 0;;) {
        ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
        ::waitpid(child, &status, 0);
        if (WIFEXITED(status) || WIFSIGNALED(status))
            return false;
        __ptrace_syscall_info info{};
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80) ||
            ::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0)
            continue;
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && std::ranges::count(kChanges, static_cast<long>(info.entry.nr)) &&
            ++changes == number) {
            ::kill(child, SIGKILL);
            ::waitpid(child, &status, 0);
            return true;
        }
    }
}

test::Manifest manifestOf(const Result<RootTree> &tree)
{
    return tree ? Mounted(*tree).manifest()
                : test::Manifest{
                      {"", tree.error().message}
    };
}

/// While it is there this thread has no CAP_SYS_RESOURCE, which lets the host's root go beyond quotas of ext4.
class AsGuest
{
public:
    AsGuest()
    {
        ::syscall(SYS_capget, &m_header, m_all);
        __user_cap_data_struct fewer[2] = {m_all[0], m_all[1]};
        fewer[0].effective &= ~(1U << CAP_SYS_RESOURCE);
        ::syscall(SYS_capset, &m_header, fewer);
    }
    AsGuest(const AsGuest &) = delete;
    AsGuest &operator=(const AsGuest &) = delete;
    ~AsGuest() { ::syscall(SYS_capset, &m_header, m_all); }

private:
    __user_cap_header_struct m_header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct m_all[2] = {};
};

/// Writes `mebibytes` through to the disk as the volume's guest would, and takes them away again.
Status writeInside(Driver &driver, const std::string &volume, unsigned mebibytes)
{
    const Mounted mounted(TRY(driver.root("default", volume)));
    const Fd top = TRY(sys::open(mounted.path(), O_RDONLY | O_DIRECTORY));
    const auto written = [&]() -> Status {
        const AsGuest guest;
        const std::string piece(1 << 20, 'q');
        const Fd file = TRY(sys::openat(top, "big", O_WRONLY | O_CREAT | O_EXCL, 0644));
        for (unsigned i = 0; i < mebibytes; ++i)
            TRY(sys::call("write", "big", [&] { return ::write(file.get(), piece.data(), piece.size()); }));
        return sys::fsync(file);
    }();
    (void)sys::unlinkat(top, "big");
    TRY(sys::call("syncfs", {}, [&] { return ::syncfs(top.get()); }));
    return written;
}

RootTree treeOr(const Result<RootTree> &tree) { return tree ? *tree : RootTree(); }
Fd fdOr(Result<Fd> fd) { return fd ? std::move(*fd) : Fd(); }

/// COMPARE_TREES(expected, found): manifests, printing what differs.
#define COMPARE_TREES(expected, found)                                                                                 \
    do {                                                                                                               \
        const QByteArray differs = test::differences(expected, found);                                                 \
        QVERIFY2(differs.isEmpty(), differs.constData());                                                              \
    } while (false)

class TestStorage : public QObject
{
    Q_OBJECT

    /// Where each driver is tried.
    void drivers()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"dir/ext4", "dir/xfs", "dir/btrfs", "dir/tmpfs", "overlay/ext4", "overlay/xfs",
                                "overlay/btrfs", "overlay/tmpfs", "btrfs/btrfs", "separate/ext4", "lvm/ext4", "lvm-xfs/ext4", "zfs/zfs"})
            QTest::newRow(tag) << QByteArray(tag);
        // Everything holds as well where trees are counted by projects; without such a kernel one set of skips is enough.
        for (const char *kind : {"ext4-projects", "xfs-projects"})
            for (const char *name : {"dir/", "overlay/"})
                if (g_fileSystems.lack(kind).empty())
                    QTest::newRow((std::string(name) + kind).c_str()) << QByteArray(name) + kind;
    }
    /// Where volumes can be limited.
    void limited()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"dir/ext4-projects", "dir/xfs-projects", "overlay/ext4-projects", "overlay/xfs-projects",
                                "btrfs/btrfs"})
            QTest::newRow(tag) << QByteArray(tag);
    }
    static std::string driver()
    {
        QFETCH(QByteArray, driver);
        return driver.toStdString();
    }

private slots:
    void initTestCase()
    {
        NEEDS("root", ::geteuid() == 0);
        VERIFY_OK(g_fileSystems.begin(qgetenv("LXMGR_TEST_POOL").toStdString()));
    }

    void init()
    {
        const std::string tag = QTest::currentDataTag() ? QTest::currentDataTag() : "";
        const auto can = [&](const char *kind) {
            return !tag.ends_with("/" + std::string(kind)) || g_fileSystems.lack(kind).empty();
        };
        NEEDS("ext4", can("ext4"));
        NEEDS("xfs", can("xfs"));
        NEEDS("btrfs", can("btrfs"));
        NEEDS("tmpfs", can("tmpfs"));
        NEEDS("project quotas of ext4", can("ext4-projects"));
        NEEDS("project quotas of xfs", can("xfs-projects"));
        if (tag.find("lvm") != std::string::npos)
            NEEDS("lvm", lackOf("lvm", "/").empty());
        NEEDS("zfs", can("zfs"));
        const QByteArray wanted = qgetenv("LXMGR_TEST_DRIVER"); // slow beds are asked for one
        if (!wanted.isEmpty() && tag.find(wanted.toStdString() + "/") == std::string::npos)
            QSKIP("not asked for");
    }

    void unknownDriverNamesThoseThereAre()
    {
        const auto opened = Driver::open({"default", "zebra", {}}, "/nowhere");
        VERIFY_FAILS(Code::Invalid, opened);
        QVERIFY(opened.error().message.find("overlay") != std::string::npos);
    }

    void fileCarriesABtrfsThatGrows_data()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"file/ext4", "file/xfs", "file/btrfs", "file/tmpfs"})
            QTest::newRow(tag) << QByteArray(tag);
    }
    void fileCarriesABtrfsThatGrows()
    {
        NEEDS("btrfs", g_fileSystems.lack("btrfs").empty());
        const std::string bed = g_fileSystems.path(driver().substr(5));
        const Backing backing{Backing::Kind::File, bed + "/pool.img", bed + "/mounted", "compress=zstd,noatime"};
        VERIFY_OK(makeFile(backing.source, Bytes{200 << 20}));
        VERIFY_FAILS(Code::AlreadyExists, makeFile(backing.source, Bytes{200 << 20}));
        QVERIFY(!*holdsBtrfs(backing.source));
        VERIFY_OK(makeBtrfs(backing.source, "pool", Wipe::No));
        QVERIFY(*holdsBtrfs(backing.source));
        VERIFY_FAILS(Code::WrongState, makeBtrfs(backing.source, "pool", Wipe::No));
        VERIFY_OK(makeBtrfs(backing.source, "pool", Wipe::Yes));

        VERIFY_OK(unmountBacking(backing));
        VERIFY_OK(mountBacking(backing));
        VERIFY_OK(mountBacking(backing)); // found there
        QVERIFY(isMountPoint(backing.folder));
        {
            const Fd folder(::open(backing.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            VERIFY_OK(put(folder, "kept", "1"));
            QCOMPARE(btrfs::deviceOf(folder)->size.count, std::uint64_t{200 << 20});
            VERIFY_OK(growFile(backing, Bytes{300 << 20}));
            VERIFY_OK(growFile(backing, Bytes{300 << 20}));
            QCOMPARE(btrfs::deviceOf(folder)->size.count, std::uint64_t{300 << 20});
            VERIFY_FAILS(Code::Invalid, growFile(backing, Bytes{250 << 20}));
            VERIFY_FAILS(Code::WrongState, unmountBacking(backing)); // somebody is in there
        }
        VERIFY_OK(unmountBacking(backing));
        QVERIFY(!isMountPoint(backing.folder));
        VERIFY_OK(mountBacking(backing));
        QCOMPARE(::access((backing.folder + "/kept").c_str(), F_OK), 0);
        VERIFY_OK(unmountBacking(backing));
        ::unlink(backing.source.c_str());
        VERIFY_FAILS(Code::Unavailable, mountBacking(backing));
    }

    void treesBecomeAVolume_data() { drivers(); }
    void treesBecomeAVolume()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        auto trees = pool.driver->newVolumeTrees({"s0", "s1"});
        VERIFY_OK(trees);
        std::vector<test::Manifest> expected;
        for (const char *part : {"snapshots/s0", "snapshots/s1", "container"}) {
            const std::string root = trees->path() + "/" + part + "/rootfs";
            QVERIFY(::mkdir(root.c_str(), 0751) == 0);
            VERIFY_OK(fillZoo(root));
            const Fd at(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            VERIFY_OK(put(at, "which", part));
            expected.push_back(test::manifestOf(root));
        }
        {
            const Fd beside(::open((trees->path() + "/container").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            VERIFY_OK(put(beside, "metadata.yaml", "architecture: x86_64\n"));
            VERIFY_OK(put(fdOr(makeFolder(beside, "templates", 0755)), "t.tpl", "x"));
        }
        VERIFY_OK(pool.driver->createVolume("default", "web1", std::move(*trees)));

        COMPARE_TREES(expected[0], manifestOf(pool.driver->snapshotRoot("default", "web1", "s0")));
        COMPARE_TREES(expected[1], manifestOf(pool.driver->snapshotRoot("default", "web1", "s1")));
        COMPARE_TREES(expected[2], manifestOf(pool.driver->root("default", "web1")));
        QCOMPARE(pool.driver->listSnapshots("default", "web1").value_or(std::vector<std::string>()),
                 (std::vector<std::string>{"s0", "s1"}));
        const auto image = pool.driver->volumeImage("default", "web1");
        QVERIFY(image && !*image);
        for (const char *volume : {"web1", "copy"}) { // metadata goes along with a copy
            if (volume == std::string("copy"))
                VERIFY_OK(pool.driver->copyVolume({"default", "web1", {}, InUse::No}, "default", "copy", WithSnapshots::Yes));
            QCOMPARE(entriesOf(pool.path("containers/") + volume),
                     (QStringList{"metadata.yaml", "snapshots", "templates", "tree"}));
            VERIFY_OK(pool.driver->root("default", volume));
            QCOMPARE(entriesOf(pool.path("containers/") + volume + "/tree" + pool.inHolder()), QStringList{"rootfs"});
        }
        // It is a volume like any other.
        VERIFY_OK(pool.driver->createSnapshot("default", "web1", "s2", InUse::No));
        VERIFY_OK(pool.driver->restoreSnapshot("default", "web1", "s0"));
        COMPARE_TREES(expected[0], manifestOf(pool.driver->root("default", "web1")));
        COMPARE_TREES(expected[2], manifestOf(pool.driver->snapshotRoot("default", "web1", "s2")));
        VERIFY_OK(pool.open());
        COMPARE_TREES(expected[1], manifestOf(pool.driver->snapshotRoot("default", "web1", "s1")));
        for (const char *volume : {"web1", "copy"})
            VERIFY_OK(pool.driver->deleteVolume("default", volume));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.path("scratch")).isEmpty() && entriesOf(pool.path("trash")).isEmpty());
    }

    void incompleteTreesAreRefused_data() { drivers(); }
    void incompleteTreesAreRefused()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_FAILS(Code::Invalid, pool.driver->newVolumeTrees({"../x"}));
        {
            auto trees = pool.driver->newVolumeTrees({"s0"});
            VERIFY_OK(trees);
            QVERIFY(::mkdir((trees->path() + "/container/rootfs").c_str(), 0755) == 0);
            VERIFY_FAILS(Code::Invalid, pool.driver->createVolume("default", "web1", std::move(*trees)));
        }
        QVERIFY(!pool.driver->hasVolume("default", "web1"));
        {
            auto trees = pool.driver->newVolumeTrees({});
            VERIFY_OK(trees);
            QVERIFY(::mkdir((trees->path() + "/container/rootfs").c_str(), 0755) == 0);
            VERIFY_OK(pool.driver->createVolume("default", "web1", std::nullopt));
            VERIFY_FAILS(Code::AlreadyExists, pool.driver->createVolume("default", "web1", std::move(*trees)));
        }
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.path("scratch")).isEmpty());
    }

    void treesSurviveAnyMoment_data() { drivers(); }
    void treesSurviveAnyMoment()
    {
        int died = 0;
        for (int number = 1;; ++number) {
            Pool pool(driver());
            VERIFY_OK(pool.open());
            pool.driver.reset();
            const bool dead = dieAtChange(number, pool.driverName, pool.folder.path().toStdString(), [](Driver &victim) -> Status {
                auto trees = TRY(victim.newVolumeTrees({"s0"}));
                for (const char *part : {"container", "snapshots/s0"}) {
                    const Fd at = TRY(sys::open(trees.path() + "/" + part, O_RDONLY | O_DIRECTORY));
                    TRY(put(TRY(makeFolder(at, "rootfs", 0755)), "file", part));
                }
                return victim.createVolume("default", "web1", std::move(trees));
            });
            VERIFY_OK(pool.open());
            if (pool.driver->hasVolume("default", "web1")) { // whole, or not there
                Mounted volume(treeOr(pool.driver->root("default", "web1")));
                QVERIFY(S_ISREG(statOf(volume.at("file")).st_mode));
                Mounted snapshot(treeOr(pool.driver->snapshotRoot("default", "web1", "s0")));
                QVERIFY(S_ISREG(statOf(snapshot.at("file")).st_mode));
                VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
            }
            VERIFY_OK(pool.driver->emptyTrash());
            QVERIFY(entriesOf(pool.path("scratch")).isEmpty());
            if (!dead)
                break;
            ++died;
        }
        QVERIFY2(died > 5, QByteArray::number(died));
    }

    void aHeldVolumeStaysAsItWas_data() { drivers(); }
    void aHeldVolumeStaysAsItWas()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        for (const InUse inUse : {InUse::No, InUse::Yes, InUse::Yes}) {
            const auto before = [&] {
                Mounted volume(treeOr(pool.driver->root("default", "web1")));
                const Fd at(::open(volume.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
                (void)put(at, randomName().c_str(), "new"); // compared below
                return volume.manifest();
            }();
            auto held = pool.driver->hold("default", "web1", inUse);
            VERIFY_OK(held);
            COMPARE_TREES(before, manifestOf((*held)->tree()));
            QVERIFY((*held)->tree().layer.empty());
            {
                Mounted volume(treeOr(pool.driver->root("default", "web1")));
                const Fd at(::open(volume.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
                VERIFY_OK(put(at, randomName().c_str(), "later"));
            }
            VERIFY_OK(pool.driver->createSnapshot("default", "web1", "s", InUse::No));
            VERIFY_OK(pool.driver->deleteSnapshot("default", "web1", "s"));
            COMPARE_TREES(before, manifestOf((*held)->tree()));
            held->reset();
            VERIFY_OK(pool.driver->emptyTrash());
            QVERIFY(entriesOf(pool.path("scratch")).isEmpty());
        }
        VERIFY_FAILS(Code::NotFound, pool.driver->hold("default", "web2", InUse::No));
        VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        VERIFY_OK(pool.driver->emptyTrash());
        if (pool.driverName == "overlay")
            QVERIFY(entriesOf(pool.path("layers")).isEmpty());
    }

    void customVolumesAreApart_data() { drivers(); }
    void customVolumesAreApart()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        const auto custom = openDriver(pool.driverName, pool.folder.path().toStdString(), VolumeKind::Custom);
        VERIFY_OK(custom);
        Driver &volumes = **custom;
        VERIFY_OK(volumes.prepare());
        // Names that no instance may have, and two that meet nowhere.
        for (const auto &[project, name] : {
                 std::pair{"default", "a_b.c"},
                 {"a",       "b_c"  },
                 {"a_b",     "c"    }
        })
            VERIFY_OK(volumes.createVolume(project, name, std::nullopt));
        QCOMPARE(*volumes.listVolumes(), (std::vector<std::string>{"a:b_c", "a_b:c", "default:a_b.c"}));
        QCOMPARE(*pool.driver->listVolumes(), std::vector<std::string>{});
        VERIFY_FAILS(Code::Invalid, volumes.createVolume("default", "../x", std::nullopt));

        const RootTree tree = *volumes.root("a", "b_c");
        QVERIFY(tree.kind == RootTree::Kind::Directory);
        VERIFY_OK(fillZoo(tree.directory));
        const test::Manifest before = test::manifestOf(tree.directory);
        VERIFY_OK(volumes.createSnapshot("a", "b_c", "s1", InUse::Yes));
        QCOMPARE(::unlink((tree.directory + "/capable").c_str()), 0);
        VERIFY_OK(volumes.copyVolume({"a", "b_c", "s1", InUse::No}, "b", "copy", WithSnapshots::No));
        COMPARE_TREES(before, manifestOf(volumes.root("b", "copy")));
        VERIFY_OK(volumes.restoreSnapshot("a", "b_c", "s1"));
        COMPARE_TREES(before, manifestOf(volumes.root("a", "b_c")));
        VERIFY_OK(volumes.renameVolume("a", "b_c", "d"));
        QVERIFY(volumes.hasSnapshot("a", "d", "s1"));
        for (const auto &[project, name] : {
                 std::pair{"default", "a_b.c"},
                 {"a",       "d"    },
                 {"a_b",     "c"    },
                 {"b",       "copy" }
        })
            VERIFY_OK(volumes.deleteVolume(project, name));
        VERIFY_OK(volumes.emptyTrash());
        QCOMPARE(*volumes.listVolumes(), std::vector<std::string>{});
    }

    void treesAreCopiedBetweenFileSystems_data()
    {
        QTest::addColumn<QByteArray>("driver");
        QTest::addColumn<QByteArray>("to");
        for (const char *from : {"ext4", "xfs", "btrfs", "tmpfs"})
            for (const char *to : {"ext4", "xfs", "btrfs", "tmpfs"})
                if (from != std::string(to))
                    QTest::newRow((std::string(from) + "/" + to).c_str()) << QByteArray(from) << QByteArray(to);
    }
    void treesAreCopiedBetweenFileSystems()
    {
        QFETCH(QByteArray, to);
        NEEDS("both file systems",
              g_fileSystems.lack(driver()).empty() && g_fileSystems.lack(to.toStdString()).empty());
        QTemporaryDir one(QString::fromStdString(g_fileSystems.path(driver()) + "/XXXXXX"));
        QTemporaryDir other(QString::fromStdString(g_fileSystems.path(to.toStdString()) + "/XXXXXX"));
        const std::string from = one.path().toStdString(), copy = other.path().toStdString();
        VERIFY_OK(fillZoo(from));
        VERIFY_OK(copyTree(*sys::open(from, O_RDONLY | O_DIRECTORY), *sys::open(copy, O_RDONLY | O_DIRECTORY)));
        COMPARE_TREES(test::manifestOf(from), test::manifestOf(copy));
    }

    void nobodyElseMayLookIn_data() { drivers(); }
    void nobodyElseMayLookIn()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        QCOMPARE(statOf(pool.driver->directory()).st_mode & 07777, 0700U);
        ::chmod(pool.driver->directory().c_str(), 0755);
        VERIFY_OK(pool.driver->prepare());
        QCOMPARE(statOf(pool.driver->directory()).st_mode & 07777, 0700U);
    }

    void volumeShowsTheImage_data() { drivers(); }
    void volumeShowsTheImage()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        QVERIFY(pool.driver->hasVolume("default", "web1"));
        const auto tree = pool.driver->root("default", "web1");
        VERIFY_OK(tree);
        const Mounted mounted(*tree);
        QVERIFY(mounted.ok());
        const struct stat shell = statOf(mounted.at("bin/sh"));
        QCOMPARE(shell.st_mode, static_cast<mode_t>(S_IFREG | 04755));
        QCOMPARE(shell.st_gid, 5U);
        QCOMPARE(statOf(mounted.at("sh-again")).st_ino, shell.st_ino);
        QCOMPARE(statOf(mounted.at("bin")).st_uid, 1000U);
        QCOMPARE(statOf(mounted.at("bin")).st_mode & 07777, 0751U);
        QVERIFY(S_ISFIFO(statOf(mounted.at("fifo")).st_mode));
        QVERIFY(S_ISLNK(statOf(mounted.at("link")).st_mode));
        QCOMPARE(statOf(mounted.at("")).st_mode & 07777, 0755U);
        char value = 0;
        QCOMPARE(::getxattr(mounted.at("").c_str(), "user.test", &value, 1), ssize_t(1));
    }

    void volumesDoNotSeeEachOther_data() { drivers(); }
    void volumesDoNotSeeEachOther()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->createVolume("default", "b", kImage));
        const Mounted a(*pool.driver->root("default", "a"));
        const Mounted b(*pool.driver->root("default", "b"));
        QVERIFY(::unlink(a.at("bin/sh").c_str()) == 0);
        QVERIFY(::mkdir(a.at("new").c_str(), 0755) == 0);
        QVERIFY(::access(b.at("bin/sh").c_str(), F_OK) == 0);
        QVERIFY(::access(b.at("new").c_str(), F_OK) != 0);
        QVERIFY(::access((pool.imagePath(kImage) + "/rootfs/bin/sh").c_str(), F_OK) == 0);
    }

    void createTwiceSaysSo_data() { drivers(); }
    void createTwiceSaysSo()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "web1", {}));
        VERIFY_FAILS(Code::AlreadyExists, pool.driver->createVolume("default", "web1", {}));
        VERIFY_FAILS(Code::NotFound, pool.driver->createVolume("default", "web2", kImage));
        QVERIFY(!pool.driver->hasVolume("default", "web2"));
        VERIFY_FAILS(Code::Invalid, pool.driver->createVolume("default", "../x", {}));
        VERIFY_FAILS(Code::Invalid, pool.driver->createVolume("..", "x", {}));
        QVERIFY(entriesOf(pool.driver->directory() + "/scratch").isEmpty());
    }

    void projectsKeepNamesApart_data() { drivers(); }
    void projectsKeepNamesApart()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "web1", {}));
        VERIFY_OK(pool.driver->createVolume("other", "web1", {}));
        QCOMPARE(pool.driver->listVolumes().value_or(std::vector<std::string>()),
                 (std::vector<std::string>{"other_web1", "web1"}));
        VERIFY_OK(pool.driver->deleteVolume("other", "web1"));
        QVERIFY(pool.driver->hasVolume("default", "web1"));
    }

    void deleteIsIdempotentAndRemovesAll_data() { drivers(); }
    void deleteIsIdempotentAndRemovesAll()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        VERIFY_FAILS(Code::NotFound, pool.driver->root("default", "web1"));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.driver->directory() + "/trash").isEmpty());
        QVERIFY(entriesOf(pool.driver->directory() + "/containers").isEmpty());
    }

    void renameMovesEverything_data() { drivers(); }
    void renameMovesEverything()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->createVolume("default", "b", {}));
        VERIFY_FAILS(Code::AlreadyExists, pool.driver->renameVolume("default", "a", "b"));
        VERIFY_FAILS(Code::NotFound, pool.driver->renameVolume("default", "x", "y"));
        VERIFY_OK(pool.driver->renameVolume("default", "a", "c"));
        QVERIFY(!pool.driver->hasVolume("default", "a"));
        QCOMPARE(*pool.driver->volumeImage("default", "c"), std::optional<std::string>(kImage));
        const Mounted mounted(*pool.driver->root("default", "c"));
        QVERIFY(::access(mounted.at("bin/sh").c_str(), F_OK) == 0);
    }

    void swapChangesPlacesWithSnapshots_data() { drivers(); }
    void swapChangesPlacesWithSnapshots()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->createSnapshot("default", "a", "s", InUse::No));
        VERIFY_OK(pool.driver->createVolume("default", "b", {}));
        VERIFY_FAILS(Code::NotFound, pool.driver->swapVolumes("default", "a", "x"));
        VERIFY_OK(pool.driver->swapVolumes("default", "a", "b"));
        QVERIFY(pool.driver->hasSnapshot("default", "b", "s") && !pool.driver->hasSnapshot("default", "a", "s"));
        QCOMPARE(*pool.driver->volumeImage("default", "b"), std::optional<std::string>(kImage));
        QCOMPARE(*pool.driver->volumeImage("default", "a"), std::optional<std::string>());
        VERIFY_OK(pool.driver->deleteVolume("default", "a"));
        VERIFY_OK(pool.driver->restoreSnapshot("default", "b", "s"));
        const Mounted mounted(*pool.driver->root("default", "b"));
        QVERIFY(::access(mounted.at("bin/sh").c_str(), F_OK) == 0);
    }

    void imageIsThereWholeOrNotAtAll_data() { drivers(); }
    void imageIsThereWholeOrNotAtAll()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_FAILS(Code::Invalid, pool.driver->addImage("../x", &fillImage));
        VERIFY_FAILS(Code::Corrupt, pool.driver->addImage(kImage, [](const Fd &folder) -> Status {
            TRY(fillImage(folder));
            return Error(Code::Corrupt, "stopped half way");
        }));
        QVERIFY(!pool.driver->hasImage(kImage));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.driver->directory() + "/scratch").isEmpty());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->addImage(
            kImage, [](const Fd &) -> Status { return Error(Code::Internal, "not to be called"); }));
        QCOMPARE(pool.driver->listImages().value_or(std::vector<std::string>()), std::vector<std::string>{kImage});
    }

    void builtTreeIsMovedIn_data() { drivers(); }
    void builtTreeIsMovedIn()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        auto scratch = pool.driver->newScratch();
        VERIFY_OK(scratch);
        VERIFY_OK(fillImage(scratch->directory()));
        const ino_t inode = statOf(scratch->path() + "/rootfs").st_ino;
        VERIFY_OK(pool.driver->addImage(kImage, std::move(*scratch)));
        QCOMPARE(statOf(pool.imagePath(kImage) + "/rootfs").st_ino, inode);
        auto unused = pool.driver->newScratch();
        VERIFY_OK(unused);
        const std::string path = unused->path();
        {
            const Scratch dropped = std::move(*unused);
        }
        QVERIFY(::access(path.c_str(), F_OK) != 0);
    }

    void imageStaysWhileItIsUsed_data() { drivers(); }
    void imageStaysWhileItIsUsed()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->addImage(kOther, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->createVolume("default", "b", kImage));
        VERIFY_OK(pool.driver->deleteImage(kImage));
        VERIFY_OK(pool.driver->deleteImage(kImage));
        QVERIFY(!pool.driver->hasImage(kImage));
        {
            const Mounted mounted(*pool.driver->root("default", "a"));
            QVERIFY(::access(mounted.at("bin/sh").c_str(), F_OK) == 0);
        }
        VERIFY_OK(pool.driver->deleteVolume("default", "a"));
        {
            const Mounted mounted(*pool.driver->root("default", "b"));
            QVERIFY(::access(mounted.at("bin/sh").c_str(), F_OK) == 0);
        }
        VERIFY_OK(pool.driver->deleteVolume("default", "b"));
        QVERIFY(::access((pool.driver->directory() + "/images/" + kImage).c_str(), F_OK) != 0);
        QVERIFY(pool.driver->hasImage(kOther));
    }

    void forgottenImageComesBack_data() { drivers(); }
    void forgottenImageComesBack()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
        VERIFY_OK(pool.driver->deleteImage(kImage));
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        QVERIFY(pool.driver->hasImage(kImage));
        VERIFY_OK(pool.driver->deleteVolume("default", "a"));
        QVERIFY(pool.driver->hasImage(kImage));
    }

    void emptyVolumeHasARoot_data() { drivers(); }
    void emptyVolumeHasARoot()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "web1", {}));
        const auto tree = pool.driver->root("default", "web1");
        VERIFY_OK(tree);
        QVERIFY(tree->kind == RootTree::Kind::Directory);
        QVERIFY(S_ISDIR(statOf(tree->directory).st_mode));
        QVERIFY(!pool.driver->volumeImage("default", "web1")->has_value());
    }

    void prepareDropsWhatACrashLeft_data() { drivers(); }
    void prepareDropsWhatACrashLeft()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        const std::string left = pool.driver->directory() + "/scratch/left";
        const std::string rubbish = pool.driver->directory() + "/trash/rubbish";
        QVERIFY(::mkdir(left.c_str(), 0700) == 0 && ::mkdir(rubbish.c_str(), 0700) == 0);
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(::access(left.c_str(), F_OK) != 0 && ::access(rubbish.c_str(), F_OK) != 0);
    }

    /// Deeper than descriptors or a path could reach in one go.
    void deepTreesAreRemoved_data() { drivers(); }
    void deepTreesAreRemoved()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "deep", {}));
        Fd at(::open(pool.driver->root("default", "deep")->directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        for (int level = 0; level < 5000; ++level) {
            QVERIFY(::mkdirat(at.get(), "d", 0700) == 0);
            at = Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        }
        at.reset();
        VERIFY_OK(pool.driver->deleteVolume("default", "deep"));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.driver->directory() + "/trash").isEmpty());
    }

    void usageCountsTheVolumeOnly_data() { drivers(); }
    void usageCountsTheVolumeOnly()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        const auto before = pool.driver->usage("default", "web1");
        VERIFY_OK(before);
        {
            const Mounted mounted(*pool.driver->root("default", "web1"));
            QFile file(QString::fromStdString(mounted.at("big")));
            QVERIFY(file.open(QIODevice::WriteOnly));
            file.write(QByteArray(8 << 20, 'x'));
        }
        if (pool.isLvm())
            ::sync(); // it counts blocks of the volume, to a hundredth of a percent
        const auto after = pool.driver->usage("default", "web1");
        VERIFY_OK(after);
        const std::uint64_t least = pool.isLvm() ? 7 << 20 : 8 << 20, most = pool.isLvm() ? 24 << 20 : 9 << 20;
        QVERIFY2(after->count - before->count >= least && after->count - before->count < most,
                 QByteArray::number(qulonglong(after->count)));
        VERIFY_OK(pool.driver->space());
    }

    void fullPoolSaysSoAndKeepsWorking_data()
    {
        QTest::addColumn<QByteArray>("driver");
        QTest::addColumn<QByteArray>("kind");
        QTest::addColumn<int>("mebibytes");
        QTest::newRow("dir/tmpfs") << QByteArray("dir") << QByteArray("tmpfs") << 4;
        QTest::newRow("overlay/tmpfs") << QByteArray("overlay") << QByteArray("tmpfs") << 4;
        QTest::newRow("btrfs/btrfs") << QByteArray("btrfs") << QByteArray("btrfs") << 128;
    }
    void fullPoolSaysSoAndKeepsWorking()
    {
        QFETCH(QByteArray, kind);
        QFETCH(int, mebibytes);
        for (const test::FileSystemKind &one : test::fileSystemKinds())
            if (kind == one.name)
                VERIFY_OK(g_fileSystems.make(one, "small-" + driver(), std::to_string(mebibytes) + "M"));
        const std::string state = g_fileSystems.path("small-" + driver());
        const std::size_t all = static_cast<std::size_t>(mebibytes) << 20;
        auto opened = Driver::open({"default", driver(), {}}, state);
        VERIFY_OK(opened);
        const auto &pool = *opened;
        VERIFY_OK(pool->prepare());
        VERIFY_OK(pool->createVolume("default", "old", {}));
        VERIFY_OK(pool->createSnapshot("default", "old", "s", InUse::No));
        const Status added =
            pool->addImage(kImage, [&](const Fd &at) { return put(at, "big", std::string(2 * all, 'x')); });
        VERIFY_FAILS(Code::NoSpace, added);
        QVERIFY2(added.error().message.find("free in storage pool 'default'") != std::string::npos,
                 added.error().message.c_str());
        QVERIFY(!pool->hasImage(kImage));
        VERIFY_OK(pool->emptyTrash());
        QVERIFY(entriesOf(pool->directory() + "/scratch").isEmpty());
        QVERIFY(!put(Fd(::open(state.c_str(), O_RDONLY)), "filler", std::string(2 * all, 'x')));
        QVERIFY(pool->listVolumes().has_value());
        QVERIFY(pool->listSnapshots("default", "old").has_value());
        VERIFY_OK(pool->deleteSnapshot("default", "old", "s"));
        VERIFY_OK(pool->deleteVolume("default", "old"));
        VERIFY_OK(pool->emptyTrash());
    }

    void snapshotHoldsEverything_data()
    {
        QTest::addColumn<QByteArray>("driver");
        QTest::addColumn<bool>("inUse");
        QTest::addColumn<bool>("image");
        for (const char *tag : {"dir/ext4", "dir/xfs", "dir/btrfs", "dir/tmpfs", "overlay/ext4", "overlay/xfs",
                                "overlay/btrfs", "overlay/tmpfs", "btrfs/btrfs", "separate/ext4", "lvm/ext4", "lvm-xfs/ext4", "zfs/zfs"})
            for (const auto &[name, inUse, image] : {
                     std::tuple("stopped ", false, true), {"running ",  true,  true },
                        {"no image ", false, false}
            })
                QTest::newRow((std::string(name) + tag).c_str()) << QByteArray(tag) << inUse << image;
    }
    void snapshotHoldsEverything()
    {
        QFETCH(bool, inUse);
        QFETCH(bool, image);
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", image ? std::optional(kImage) : std::nullopt));
        auto mounted = std::make_unique<Mounted>(*pool.driver->root("default", "web1"));
        QVERIFY(mounted->ok());
        if (const Status filled = fillZoo(mounted->path());
            !filled && filled.error().errnum == EOPNOTSUPP && driver().ends_with("tmpfs"))
            QSKIP("needs user attributes on tmpfs");
        else
            VERIFY_OK(filled);
        ::rename(mounted->at("bin").c_str(), mounted->at("moved").c_str()); // a folder of the image: overlay may refuse
        ::unlink(mounted->at("sh-again").c_str());
        const test::Manifest full = mounted->manifest();
        if (!inUse)
            mounted.reset();
        VERIFY_OK(pool.driver->createSnapshot("default", "web1", "s", inUse ? InUse::Yes : InUse::No));
        COMPARE_TREES(full, manifestOf(pool.driver->snapshotRoot("default", "web1", "s")));
        mounted.reset();
        COMPARE_TREES(full, manifestOf(pool.driver->root("default", "web1")));
        const std::string copied = Mounted(*pool.driver->snapshotRoot("default", "web1", "s")).at("sparse");
        QVERIFY(statOf(copied).st_blocks < 1000);
        {
            const Mounted again(*pool.driver->root("default", "web1"));
            std::mt19937 random(1);
            test::Editor editor(random, again.path());
            for (int i = 0; i < 50; ++i)
                editor.edit();
            QVERIFY(::unlink(again.at("capable").c_str()) == 0 || errno == ENOENT);
        }
        COMPARE_TREES(full, manifestOf(pool.driver->snapshotRoot("default", "web1", "s")));
        VERIFY_OK(pool.driver->restoreSnapshot("default", "web1", "s"));
        COMPARE_TREES(full, manifestOf(pool.driver->root("default", "web1")));
        QVERIFY(pool.driver->hasSnapshot("default", "web1", "s"));
        VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        VERIFY_OK(pool.driver->emptyTrash());
        QVERIFY(entriesOf(pool.path("trash")).isEmpty());
        QVERIFY(entriesOf(pool.path("layers")).isEmpty());
    }

    void snapshotsHaveNames_data() { drivers(); }
    void snapshotsHaveNames()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_FAILS(Code::NotFound, d.createSnapshot("default", "web1", "s", InUse::No));
        VERIFY_FAILS(Code::NotFound, d.listSnapshots("default", "web1"));
        VERIFY_OK(d.deleteSnapshot("default", "web1", "s"));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        QVERIFY(d.listSnapshots("default", "web1").value().empty());
        VERIFY_FAILS(Code::Invalid, d.createSnapshot("default", "web1", "../x", InUse::No));
        VERIFY_FAILS(Code::Invalid, d.createSnapshot("default", "web1", "..", InUse::No));
        VERIFY_OK(d.createSnapshot("default", "web1", "b", InUse::No));
        VERIFY_OK(d.createSnapshot("default", "web1", "a.1_x", InUse::Yes));
        VERIFY_FAILS(Code::AlreadyExists, d.createSnapshot("default", "web1", "b", InUse::No));
        QCOMPARE(d.listSnapshots("default", "web1").value(), (std::vector<std::string>{"a.1_x", "b"}));
        VERIFY_FAILS(Code::AlreadyExists, d.renameSnapshot("default", "web1", "b", "a.1_x"));
        VERIFY_FAILS(Code::NotFound, d.renameSnapshot("default", "web1", "no", "yes"));
        VERIFY_FAILS(Code::NotFound, d.restoreSnapshot("default", "web1", "no"));
        VERIFY_FAILS(Code::NotFound, d.snapshotRoot("default", "web1", "no"));
        VERIFY_FAILS(Code::NotFound, d.openSnapshot("default", "web1", "no"));
        VERIFY_OK(d.renameSnapshot("default", "web1", "b", "c"));
        QVERIFY(d.hasSnapshot("default", "web1", "c") && !d.hasSnapshot("default", "web1", "b"));
        // What the manager puts beside a snapshot stays with it.
        VERIFY_OK(put(*d.openSnapshot("default", "web1", "c"), "backup.yaml", "x"));
        VERIFY_OK(d.renameVolume("default", "web1", "web2"));
        QCOMPARE(d.listSnapshots("default", "web2").value(), (std::vector<std::string>{"a.1_x", "c"}));
        QVERIFY(exists(*d.openSnapshot("default", "web2", "c"), "backup.yaml"));
        VERIFY_OK(d.restoreSnapshot("default", "web2", "c"));
        VERIFY_OK(d.deleteSnapshot("default", "web2", "c"));
        VERIFY_OK(d.deleteSnapshot("default", "web2", "c"));
        QCOMPARE(d.listSnapshots("default", "web2").value(), std::vector<std::string>{"a.1_x"});
        VERIFY_OK(d.deleteVolume("default", "web2"));
        VERIFY_OK(d.createVolume("default", "web2", kImage));
        QVERIFY(d.listSnapshots("default", "web2").value().empty());
        QVERIFY(entriesOf(pool.path("scratch")).isEmpty());
        QVERIFY(entriesOf(pool.path("layers")).isEmpty());
    }

    void copiesStandOnTheirOwn_data() { drivers(); }
    void copiesStandOnTheirOwn()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "a", kImage));
        const auto write = [&](const std::string &volume, const char *name) {
            const Mounted mounted(*d.root("default", volume));
            return put(Fd(::open(mounted.path().c_str(), O_RDONLY | O_CLOEXEC)), name, name);
        };
        VERIFY_OK(write("a", "one"));
        VERIFY_OK(d.createSnapshot("default", "a", "s1", InUse::No));
        VERIFY_OK(write("a", "two"));
        const test::Manifest ofS1 = manifestOf(d.snapshotRoot("default", "a", "s1"));
        const test::Manifest ofA = manifestOf(d.root("default", "a"));
        VERIFY_FAILS(Code::NotFound, d.copyVolume({"default", "x", {}}, "default", "b", WithSnapshots::No));
        VERIFY_FAILS(Code::NotFound, d.copyVolume({"default", "a", "x"}, "default", "b", WithSnapshots::No));
        VERIFY_FAILS(Code::Invalid, d.copyVolume({"default", "a", "s1"}, "default", "b", WithSnapshots::Yes));
        VERIFY_OK(d.copyVolume({"default", "a", {}}, "other", "b", WithSnapshots::Yes));
        VERIFY_FAILS(Code::AlreadyExists, d.copyVolume({"default", "a", {}}, "other", "b", WithSnapshots::No));
        VERIFY_OK(d.copyVolume({"default", "a", "s1"}, "default", "c", WithSnapshots::No));
        {
            const Mounted running(*d.root("default", "a"));
            VERIFY_OK(d.copyVolume({"default", "a", {}, InUse::Yes}, "default", "e", WithSnapshots::No));
        }
        QCOMPARE(d.listSnapshots("other", "b").value(), std::vector<std::string>{"s1"});
        QVERIFY(d.listSnapshots("default", "c").value().empty());
        QCOMPARE(*d.volumeImage("other", "b"), std::optional<std::string>(kImage));
        VERIFY_OK(write("c", "three"));
        VERIFY_OK(d.deleteVolume("default", "a"));
        VERIFY_OK(d.deleteImage(kImage));
        VERIFY_OK(pool.open()); // what is left keeps what it needs
        VERIFY_OK(pool.driver->emptyTrash());
        Driver &again = *pool.driver;
        COMPARE_TREES(ofA, manifestOf(again.root("other", "b")));
        COMPARE_TREES(ofA, manifestOf(again.root("default", "e")));
        COMPARE_TREES(ofS1, manifestOf(again.snapshotRoot("other", "b", "s1")));
        test::Manifest ofC = manifestOf(again.root("default", "c"));
        QCOMPARE(ofC.erase("/three"), std::size_t(1));
        ofC[""] = ofS1.at("");
        COMPARE_TREES(ofS1, ofC);
        VERIFY_OK(again.restoreSnapshot("other", "b", "s1"));
        COMPARE_TREES(ofS1, manifestOf(again.root("other", "b")));
        for (const auto &[project, name] : {
                 std::pair("other", "b"), {"default", "c"},
                   {"default", "e"}
        })
            VERIFY_OK(again.deleteVolume(project, name));
        QVERIFY(entriesOf(pool.path("layers")).isEmpty());
        QVERIFY(entriesOf(pool.path("images")).isEmpty());
    }

    void randomEditsComeBack_data() { drivers(); }
    void randomEditsComeBack()
    {
        bool given = false;
        const uint fixed = qEnvironmentVariableIntValue("LXMGR_TEST_SEED", &given);
        const uint seed = given ? fixed : std::random_device()() % 1'000'000;
        qInfo("LXMGR_TEST_SEED=%u", seed);
        std::mt19937 random(seed);
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        std::map<std::string, test::Manifest> snapshots;
        for (int round = 0; round < 10; ++round) {
            auto mounted = std::make_unique<Mounted>(*d.root("default", "web1"));
            QVERIFY(mounted->ok());
            test::Editor editor(random, mounted->path());
            for (int i = 0; i < 40; ++i)
                editor.edit();
            const test::Manifest now = mounted->manifest();
            const bool inUse = random() % 3 == 0;
            if (!inUse)
                mounted.reset();
            const std::string name = "s" + std::to_string(round);
            VERIFY_OK(d.createSnapshot("default", "web1", name, inUse ? InUse::Yes : InUse::No));
            snapshots[name] = now;
            mounted.reset();
            COMPARE_TREES(now, manifestOf(d.root("default", "web1")));
            auto some = std::next(snapshots.begin(), static_cast<long>(random() % snapshots.size()));
            if (random() % 4 == 0) {
                VERIFY_OK(d.deleteSnapshot("default", "web1", some->first));
                snapshots.erase(some);
            } else if (random() % 2 == 0) {
                VERIFY_OK(d.restoreSnapshot("default", "web1", some->first));
                COMPARE_TREES(some->second, manifestOf(d.root("default", "web1")));
            } else {
                VERIFY_OK(d.copyVolume({"default", "web1", some->first}, "default", "copy", WithSnapshots::No));
                COMPARE_TREES(some->second, manifestOf(d.root("default", "copy")));
                VERIFY_OK(d.deleteVolume("default", "copy"));
            }
        }
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->emptyTrash());
        for (const auto &[name, manifest] : snapshots)
            COMPARE_TREES(manifest, manifestOf(pool.driver->snapshotRoot("default", "web1", name)));
        VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        QVERIFY(entriesOf(pool.path("layers")).isEmpty());
    }

    void statesComeFromAnotherPool_data()
    {
        QTest::addColumn<QByteArray>("driver");
        QTest::addColumn<QByteArray>("to");
        for (const char *from : {"dir/ext4", "overlay/xfs", "btrfs/btrfs", "separate/ext4", "lvm/ext4", "zfs/zfs"})
            for (const char *to : {"dir/tmpfs", "dir/xfs", "overlay/ext4", "btrfs/btrfs", "separate/xfs", "lvm/ext4", "zfs/zfs"})
                for (const char *kind : {"image", "empty"})
                    QTest::addRow("%s %s to %s", kind, from, to) << QByteArray(from) << QByteArray(to);
    }
    void statesComeFromAnotherPool()
    {
        QFETCH(QByteArray, to);
        for (const std::string &tag : {driver(), to.toStdString()})
            NEEDS("file system", g_fileSystems.lack(tag.substr(tag.find('/') + 1)).empty());
        bool given = false;
        const uint fixed = qEnvironmentVariableIntValue("LXMGR_TEST_SEED", &given);
        const uint seed = given ? fixed : std::random_device()() % 1'000'000;
        qInfo("LXMGR_TEST_SEED=%u", seed);
        std::mt19937 random(seed);
        Pool here(driver());
        Pool there(to.toStdString());
        VERIFY_OK(here.open());
        VERIFY_OK(there.open());
        std::optional<std::string> image;
        if (QByteArray(QTest::currentDataTag()).startsWith("image"))
            image = kImage;
        VERIFY_OK(here.driver->addImage(kImage, &fillImage));
        VERIFY_OK(there.driver->addImage(kImage, [&](const Fd &folder) {
            return copyTree(fdOr(here.driver->openImage(kImage)), folder);
        }));
        VERIFY_OK(here.driver->createVolume("default", "web1", image));
        std::map<std::string, test::Manifest> states;
        std::vector<std::string> order;
        for (int round = 0; round < 6; ++round) {
            {
                const Mounted mounted(*here.driver->root("default", "web1"));
                QVERIFY(mounted.ok());
                if (round == 0)
                    VERIFY_OK(fillZoo(mounted.path()));
                test::Editor editor(random, mounted.path());
                for (int i = round == 4 ? 0 : 60; i > 0; --i)
                    editor.edit();
                states[""] = mounted.manifest();
            }
            Arrival arrival;
            arrival.image = image;
            for (const std::string &snapshot : order)
                arrival.snapshots.push_back({snapshot, *here.driver->snapshotRoot("default", "web1", snapshot),
                                             round % 2 == 0 && snapshot != order.back()});
            std::unique_ptr<Held> held;
            arrival.now.tree = *here.driver->root("default", "web1");
            if (arrival.now.tree.kind == RootTree::Kind::Overlay) {
                held = *here.driver->hold("default", "web1", InUse::No);
                arrival.now.tree = held->tree();
            }
            if (round > 0)
                arrival.like = "copy";
            VERIFY_OK(there.driver->receiveVolume("default", round > 0 ? "beside" : "copy", arrival, Progress::none()));
            if (round > 0) {
                VERIFY_OK(there.driver->swapVolumes("default", "copy", "beside"));
                VERIFY_OK(there.driver->deleteVolume("default", "beside"));
            }
            COMPARE_TREES(states[""], manifestOf(there.driver->root("default", "copy")));
            for (const std::string &snapshot : order)
                COMPARE_TREES(states[snapshot], manifestOf(there.driver->snapshotRoot("default", "copy", snapshot)));
            QCOMPARE(there.driver->volumeImage("default", "copy").value(), image);
            held.reset();
            const std::string name = "s" + std::to_string(round);
            VERIFY_OK(here.driver->createSnapshot("default", "web1", name, InUse::No));
            states[name] = states[""];
            order.push_back(name);
            if (round == 3) {
                VERIFY_OK(here.driver->deleteSnapshot("default", "web1", order[1]));
                order.erase(order.begin() + 1);
            }
        }
        // It may go back to each of them, and is no part of where it came from.
        VERIFY_OK(here.driver->deleteVolume("default", "web1"));
        VERIFY_OK(there.open());
        VERIFY_OK(there.driver->restoreSnapshot("default", "copy", "s0"));
        COMPARE_TREES(states["s0"], manifestOf(there.driver->root("default", "copy")));
        // An earlier state in place of the present one, with the snapshots that there are.
        Arrival back;
        back.image = image;
        back.now.tree = *there.driver->snapshotRoot("default", "copy", "s2");
        back.like = "copy";
        back.withSnapshotsOfLike = WithSnapshots::Yes;
        VERIFY_OK(there.driver->receiveVolume("default", "beside", back, Progress::none()));
        COMPARE_TREES(states["s2"], manifestOf(there.driver->root("default", "beside")));
        QCOMPARE(*there.driver->listSnapshots("default", "beside"), *there.driver->listSnapshots("default", "copy"));
        COMPARE_TREES(states["s0"], manifestOf(there.driver->snapshotRoot("default", "beside", "s0")));
        for (const char *name : {"copy", "beside"})
            VERIFY_OK(there.driver->deleteVolume("default", name));
        VERIFY_OK(there.driver->emptyTrash());
        QVERIFY(entriesOf(there.path("layers")).isEmpty());
        QVERIFY(entriesOf(there.path("scratch")).isEmpty());
    }

    void deathAtAnyCallHarmsNothing_data()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"dir/ext4", "overlay/ext4", "btrfs/btrfs", "separate/ext4", "lvm/ext4", "zfs/zfs"}) // the calls are the same on any other
            QTest::newRow(tag) << QByteArray(tag);
    }
    void deathAtAnyCallHarmsNothing()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        const std::string state = pool.folder.path().toStdString();
        struct Operation {
            const char *name;
            std::function<Status(Driver &)> run;
            bool changesContent = false;
        };
        const Operation operations[] = {
            {"snapshot",                  [](Driver &d) { return d.createSnapshot("default", "a", "new", InUse::No); }},
            {"snapshot of a running one",
             [](Driver &d) { return d.createSnapshot("default", "a", "new", InUse::Yes); }                            },
            {"restore",                   [](Driver &d) { return d.restoreSnapshot("default", "a", "old"); },           true},
            {"delete",                           [](Driver &d) { return d.deleteSnapshot("default", "a", "gone"); }                                                                                               },
            {"copy",
             [](Driver &d) {
                 return d.copyVolume({"default", "a", {}}, "default", "b", WithSnapshots::Yes);
             }  },
            {"copy of a snapshot",
             [](Driver &d) {
                 return d.copyVolume({"default", "a", "old"}, "default", "b", WithSnapshots::No);
             }                                                                                 },
        };
        for (const Operation &operation : operations) {
            bool died = true;
            int step = 0;
            while (died) {
                ++step;
                const QByteArray where = QByteArray(operation.name) + ", step " + QByteArray::number(step);
                VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
                const auto write = [&](const char *name) {
                    const Mounted mounted(*pool.driver->root("default", "a"));
                    return put(Fd(::open(mounted.path().c_str(), O_RDONLY | O_CLOEXEC)), name, name);
                };
                VERIFY_OK(pool.driver->createSnapshot("default", "a", "gone", InUse::No));
                VERIFY_OK(write("one"));
                VERIFY_OK(pool.driver->createSnapshot("default", "a", "old", InUse::No));
                VERIFY_OK(write("two"));
                const test::Manifest now = manifestOf(pool.driver->root("default", "a"));
                const test::Manifest old = manifestOf(pool.driver->snapshotRoot("default", "a", "old"));
                VERIFY_OK(pool.driver->emptyTrash());
                pool.driver.reset();
                died = dieAtChange(step, pool.driverName, state, operation.run);
                VERIFY_OK(pool.open());
                Driver &d = *pool.driver;
                const test::Manifest after = manifestOf(d.root("default", "a"));
                if (const QByteArray differs = test::differences(now, after);
                    !differs.isEmpty() && (!operation.changesContent || !test::differences(old, after).isEmpty()))
                    QFAIL(where + ": " + differs);
                for (const auto &[name, manifest] : {
                         std::pair("old", old), {"new", now}
                })
                    if (d.hasSnapshot("default", "a", name))
                        COMPARE_TREES(manifest, manifestOf(d.snapshotRoot("default", "a", name)));
                const Status again = operation.run(d);
                QVERIFY2(again || again.error().code == Code::AlreadyExists,
                         (where + (again ? "" : again.error().message.c_str())).constData());
                if (operation.changesContent)
                    COMPARE_TREES(old, manifestOf(d.root("default", "a")));
                if (d.hasVolume("default", "b"))
                    COMPARE_TREES(d.hasSnapshot("default", "b", "old")    ? now
                                  : operation.name == std::string("copy") ? now
                                                                          : old,
                                  manifestOf(d.root("default", "b")));
                VERIFY_OK(d.deleteVolume("default", "a"));
                VERIFY_OK(d.deleteVolume("default", "b"));
                QVERIFY2(entriesOf(pool.path("layers")).isEmpty(), where);
                QVERIFY2(entriesOf(pool.path("scratch")).isEmpty(), where);
            }
            QVERIFY(step > 1);
        }
    }

    void whatLiesAsideComesBack_data() { drivers(); }
    void whatLiesAsideComesBack()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        Driver &d = *pool.driver;
        const std::string volumeId(16, '1'), snapshotId(16, '2'), beforeId(16, '3'), afterId(16, '4');
        VERIFY_FAILS(Code::NotFound, d.setVolumeAside("default", "web1", volumeId));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        const auto write = [&](const char *name) {
            const Mounted mounted(*d.root("default", "web1"));
            return put(Fd(::open(mounted.path().c_str(), O_RDONLY | O_CLOEXEC)), name, std::string(200'000, 'x'));
        };
        VERIFY_OK(write("one"));
        VERIFY_OK(d.createSnapshot("default", "web1", "s", InUse::No));
        VERIFY_OK(write("two"));
        const test::Manifest one = manifestOf(d.snapshotRoot("default", "web1", "s")), two = manifestOf(d.root("default", "web1"));
        VERIFY_FAILS(Code::Invalid, d.setVolumeAside("default", "web1", "../web2"));

        // A restore, there and back.
        VERIFY_OK(d.restoreSnapshot("default", "web1", "s", beforeId));
        VERIFY_OK(d.restoreSnapshot("default", "web1", "s", beforeId)); // done already
        COMPARE_TREES(one, manifestOf(d.root("default", "web1")));
        QVERIFY(d.asideUsage(beforeId)->count >= 200'000);
        VERIFY_OK(d.bringContentBack(beforeId, "default", "web1", afterId));
        VERIFY_OK(d.bringContentBack(beforeId, "default", "web1", afterId));
        COMPARE_TREES(two, manifestOf(d.root("default", "web1")));
        VERIFY_OK(d.bringContentBack(afterId, "default", "web1", beforeId));
        COMPARE_TREES(one, manifestOf(d.root("default", "web1")));

        // A snapshot, also under another name, and a volume without an image left.
        VERIFY_OK(d.setSnapshotAside("default", "web1", "s", snapshotId));
        VERIFY_OK(d.setSnapshotAside("default", "web1", "s", snapshotId));
        QVERIFY(!d.hasSnapshot("default", "web1", "s"));
        VERIFY_FAILS(Code::NotFound, d.setSnapshotAside("default", "web1", "other", volumeId));
        VERIFY_OK(d.setVolumeAside("default", "web1", volumeId));
        VERIFY_OK(d.setVolumeAside("default", "web1", volumeId));
        QVERIFY(!d.hasVolume("default", "web1"));
        QCOMPARE(d.listVolumes().value(), std::vector<std::string>{});
        QCOMPARE(d.listAside()->size(), std::size_t(3));
        VERIFY_OK(d.deleteImage(kImage));
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->emptyTrash());
        Driver &again = *pool.driver;
        VERIFY_OK(again.createVolume("default", "taken", {}));
        VERIFY_FAILS(Code::AlreadyExists, again.bringVolumeBack(volumeId, "default", "taken"));
        VERIFY_OK(again.bringVolumeBack(volumeId, "other", "web2"));
        VERIFY_OK(again.bringVolumeBack(volumeId, "other", "web2"));
        COMPARE_TREES(one, manifestOf(again.root("other", "web2")));
        VERIFY_OK(again.bringSnapshotBack(snapshotId, "other", "web2", "t"));
        VERIFY_OK(again.bringSnapshotBack(snapshotId, "other", "web2", "t"));
        COMPARE_TREES(one, manifestOf(again.snapshotRoot("other", "web2", "t")));
        VERIFY_OK(again.bringContentBack(beforeId, "other", "web2", afterId));
        COMPARE_TREES(two, manifestOf(again.root("other", "web2")));
        VERIFY_FAILS(Code::NotFound, again.bringContentBack(beforeId, "other", "web2", volumeId));

        // What is freed takes along what nobody else needs.
        VERIFY_OK(again.deleteVolume("other", "web2"));
        VERIFY_OK(again.deleteVolume("default", "taken"));
        VERIFY_OK(again.deleteAside(afterId));
        VERIFY_OK(again.deleteAside(afterId));
        QVERIFY(again.listAside()->empty());
        VERIFY_OK(again.emptyTrash());
        QVERIFY(entriesOf(pool.path("layers")).isEmpty());
        QVERIFY(entriesOf(pool.path("images")).isEmpty());
    }

    void deathAtAnyCallLosesNothingAside_data()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"dir/ext4", "overlay/ext4", "btrfs/btrfs", "separate/ext4", "lvm/ext4", "zfs/zfs"}) // the calls are the same on any other
            QTest::newRow(tag) << QByteArray(tag);
    }
    void deathAtAnyCallLosesNothingAside()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        const std::string state = pool.folder.path().toStdString();
        static const std::string kId(16, '1'), kBefore(16, '2');
        struct Operation {
            const char *name;
            std::function<Status(Driver &)> prepare, run;
        };
        const auto nothing = [](Driver &) { return Status(); };
        const auto away = [](Driver &d) { return d.setVolumeAside("default", "a", kId); };
        const auto snapshotAway = [](Driver &d) { return d.setSnapshotAside("default", "a", "s", kId); };
        const auto restore = [](Driver &d) { return d.restoreSnapshot("default", "a", "s", kBefore); };
        const Operation operations[] = {
            {"volume aside", nothing, away},
            {"volume back", away, [](Driver &d) { return d.bringVolumeBack(kId, "default", "a"); }},
            {"snapshot aside", nothing, snapshotAway},
            {"snapshot back", snapshotAway, [](Driver &d) { return d.bringSnapshotBack(kId, "default", "a", "s"); }},
            {"restore", nothing, restore},
            {"content back", restore, [](Driver &d) { return d.bringContentBack(kBefore, "default", "a", kId); }},
        };
        for (const Operation &operation : operations) {
            int step = 0;
            for (bool died = true; died;) {
                ++step;
                const QByteArray where = QByteArray(operation.name) + ", step " + QByteArray::number(step);
                Driver &before = *pool.driver;
                VERIFY_OK(before.createVolume("default", "a", kImage));
                VERIFY_OK(before.createSnapshot("default", "a", "s", InUse::No));
                const test::Manifest old = manifestOf(before.root("default", "a"));
                {
                    const Mounted mounted(*before.root("default", "a"));
                    VERIFY_OK(put(Fd(::open(mounted.path().c_str(), O_RDONLY | O_CLOEXEC)), "two", "two"));
                }
                const test::Manifest now = manifestOf(before.root("default", "a"));
                VERIFY_OK(operation.prepare(before));
                VERIFY_OK(before.emptyTrash());
                pool.driver.reset();
                died = dieAtChange(step, pool.driverName, state, operation.run);
                VERIFY_OK(pool.open());
                Driver &d = *pool.driver;
                QVERIFY2(d.hasVolume("default", "a") != (d.hasAside(kId) && QByteArray(operation.name).startsWith("volume")), where);
                const Status again = operation.run(d); // as the next daemon does
                QVERIFY2(again, (where + ": " + (again ? "" : again.error().message.c_str())).constData());
                // Whatever lies aside comes back, and is what it was.
                if (operation.run(d) && d.hasAside(kId) && QByteArray(operation.name) == "volume aside")
                    VERIFY_OK(d.bringVolumeBack(kId, "default", "a"));
                if (QByteArray(operation.name) == "snapshot aside")
                    VERIFY_OK(d.bringSnapshotBack(kId, "default", "a", "s"));
                if (QByteArray(operation.name) == "restore") {
                    COMPARE_TREES(old, manifestOf(d.root("default", "a")));
                    VERIFY_OK(d.bringContentBack(kBefore, "default", "a", kId));
                }
                COMPARE_TREES(now, manifestOf(d.root("default", "a")));
                COMPARE_TREES(old, manifestOf(d.snapshotRoot("default", "a", "s")));
                VERIFY_OK(d.deleteVolume("default", "a"));
                VERIFY_OK(d.deleteAside(kId));
                QVERIFY2(d.listAside()->empty(), where);
                QVERIFY2(entriesOf(pool.path("layers")).isEmpty(), where);
                QVERIFY2(entriesOf(pool.path("scratch")).isEmpty(), where);
            }
            QVERIFY(step > 1);
        }
    }

    void poolOfAnOlderVersionIsTakenOver_data()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"dir/ext4", "overlay/ext4"})
            QTest::newRow(tag) << QByteArray(tag);
    }
    void poolOfAnOlderVersionIsTakenOver()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->createVolume("default", "old", {}));
        const Fd volume = *pool.driver->openVolume("default", "old");
        VERIFY_OK(put(*openFolder(*openFolder(volume, "tree"), "rootfs"), "data", "x"));
        // As it was: the tree in the folder of the volume, the fingerprint in a file.
        VERIFY_OK(renameNew(*openFolder(volume, "tree"), "rootfs", volume, "rootfs"));
        QVERIFY(::unlinkat(volume.get(), "tree", AT_REMOVEDIR) == 0);
        if (pool.driverName == "dir")
            VERIFY_OK(writeNewFile(volume, "image", kImage));
        VERIFY_OK(pool.open());
        QVERIFY(::access(Mounted(*pool.driver->root("default", "old")).at("data").c_str(), F_OK) == 0);
        if (pool.driverName == "dir")
            QCOMPARE(*pool.driver->volumeImage("default", "old"), std::optional<std::string>(kImage));
        VERIFY_OK(pool.driver->createSnapshot("default", "old", "s", InUse::No));
        VERIFY_OK(pool.driver->restoreSnapshot("default", "old", "s"));
        VERIFY_OK(pool.open());
        QVERIFY(::access(Mounted(*pool.driver->root("default", "old")).at("data").c_str(), F_OK) == 0);
    }

    /// The database on the same file system commits last, and takes along what was only renamed and linked until then.
    void powerCutAfterTheCommitLosesNothing_data()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"dir/ext4", "dir/xfs", "overlay/ext4", "overlay/xfs"})
            QTest::newRow(tag) << QByteArray(tag);
    }
    void powerCutAfterTheCommitLosesNothing()
    {
        const std::string tag = driver();
        const std::string driverName = tag.substr(0, tag.find('/'));
        const std::string bed = "cut-" + driverName + "-" + tag.substr(tag.find('/') + 1);
        const auto kind =
            std::ranges::find_if(test::fileSystemKinds(), [&](const auto &one) { return tag.ends_with("/" + std::string(one.name)); });
        VERIFY_OK(g_fileSystems.make(*kind, bed, "400M"));
        const std::string state = g_fileSystems.path(bed);
        test::Manifest now, old;
        {
            auto opened = Driver::open({"default", driverName, {}}, state);
            VERIFY_OK(opened);
            Driver &d = **opened;
            VERIFY_OK(d.prepare());
            VERIFY_OK(d.addImage(kImage, &fillImage));
            VERIFY_OK(d.createVolume("default", "a", kImage));
            const auto write = [&](const char *name) {
                const Mounted mounted(*d.root("default", "a"));
                return put(Fd(::open(mounted.path().c_str(), O_RDONLY | O_CLOEXEC)), name, std::string(100'000, 'x'));
            };
            VERIFY_OK(write("one"));
            VERIFY_OK(d.createSnapshot("default", "a", "s", InUse::No));
            old = manifestOf(d.snapshotRoot("default", "a", "s"));
            VERIFY_OK(write("two"));
            VERIFY_OK(d.copyVolume({"default", "a", {}}, "default", "b", WithSnapshots::Yes));
            now = manifestOf(d.root("default", "b"));
            VERIFY_OK(d.copyVolume({"default", "b", "s"}, "default", "c", WithSnapshots::No));
            VERIFY_OK(write("lost"));
            VERIFY_OK(d.restoreSnapshot("default", "a", "s"));
            VERIFY_OK(d.deleteSnapshot("default", "a", "s"));
            VERIFY_OK(d.emptyTrash());
            VERIFY_OK(d.createVolume("default", "fresh", kImage));
            const Fd database(::open((state + "/lxmgr.db").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
            QVERIFY(::write(database.get(), "x", 1) == 1 && ::fsync(database.get()) == 0);
        }
        VERIFY_OK(g_fileSystems.cutPower(*kind, bed));
        auto opened = Driver::open({"default", driverName, {}}, state);
        VERIFY_OK(opened);
        Driver &d = **opened;
        VERIFY_OK(d.prepare());
        for (const char *volume : {"a", "b", "c", "fresh"})
            QCOMPARE(d.volumeImage("default", volume).value_or(std::nullopt), std::optional<std::string>(kImage));
        COMPARE_TREES(old, manifestOf(d.root("default", "a")));
        COMPARE_TREES(now, manifestOf(d.root("default", "b")));
        COMPARE_TREES(old, manifestOf(d.root("default", "c")));
        COMPARE_TREES(old, manifestOf(d.snapshotRoot("default", "b", "s")));
        QVERIFY(d.listSnapshots("default", "a").value().empty());
    }

    void longChainsAreMadeShorter_data()
    {
        QTest::addColumn<QByteArray>("driver");
        QTest::newRow("overlay/ext4") << QByteArray("overlay/ext4");
    }
    void longChainsAreMadeShorter()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        std::mt19937 random(7);
        std::map<int, test::Manifest> kept;
        for (int round = 0; round < 100; ++round) {
            test::Manifest now;
            {
                const Mounted mounted(*d.root("default", "web1"));
                QVERIFY(mounted.ok());
                test::Editor editor(random, mounted.path());
                for (int i = 0; i < 8; ++i)
                    editor.edit();
                now = mounted.manifest();
            }
            VERIFY_OK(d.createSnapshot("default", "web1", "s" + std::to_string(round), InUse::No));
            if (round % 20 == 0)
                kept[round] = now;
            else
                VERIFY_OK(d.deleteSnapshot("default", "web1", "s" + std::to_string(round)));
            COMPARE_TREES(now, manifestOf(d.root("default", "web1")));
            QVERIFY(d.root("default", "web1")->lower.size() <= 65);
            if (round == 62) { // the longest, also as older kernels have to mount it
                const auto tree = d.root("default", "web1");
                QCOMPARE(tree->lower.size(), std::size_t(64));
                std::vector<Fd> lower;
                for (const std::string &path : tree->lower) {
                    auto layer = sys::open_tree(sys::cwd(), path, sys::Recursive::No);
                    VERIFY_OK(layer);
                    lower.push_back(std::move(*layer));
                }
                VERIFY_OK(mount::overlayInChild(lower, nullptr, 0, 0, 0));
            }
        }
        for (const auto &[round, manifest] : kept)
            COMPARE_TREES(manifest, manifestOf(d.snapshotRoot("default", "web1", "s" + std::to_string(round))));
        VERIFY_OK(d.deleteVolume("default", "web1"));
        QVERIFY(entriesOf(pool.path("layers")).isEmpty());
    }

    void subvolumesOfGuestsComeAlongAndGo()
    {
        NEEDS("btrfs", g_fileSystems.lack("btrfs").empty());
        Pool pool("btrfs/btrfs");
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        const Fd root(::open(d.root("default", "web1")->directory.c_str(), O_RDONLY | O_CLOEXEC));
        VERIFY_OK(btrfs::createSubvolume(root, "outer\nname"));
        auto outer = openFolder(root, "outer\nname");
        VERIFY_OK(outer);
        const Fd folder = *makeFolder(*outer, "folder", 0755);
        VERIFY_OK(btrfs::createSubvolume(folder, "inner"));
        VERIFY_OK(put(*openFolder(folder, "inner"), "data", "deep inside"));
        VERIFY_OK(btrfs::snapshot(*openFolder(folder, "inner"), *outer, "frozen", btrfs::Access::ReadOnly));
        const test::Manifest full = manifestOf(d.root("default", "web1"));
        QVERIFY(full.contains("/outer\nname/frozen/data"));
        VERIFY_OK(d.createSnapshot("default", "web1", "s", InUse::Yes));
        COMPARE_TREES(full, manifestOf(d.snapshotRoot("default", "web1", "s")));
        VERIFY_OK(put(*openFolder(folder, "inner"), "more", "x"));
        VERIFY_OK(d.restoreSnapshot("default", "web1", "s"));
        COMPARE_TREES(full, manifestOf(d.root("default", "web1")));
        VERIFY_OK(d.copyVolume({"default", "web1", {}}, "default", "web2", WithSnapshots::Yes));
        VERIFY_OK(d.deleteVolume("default", "web1"));
        COMPARE_TREES(full, manifestOf(d.snapshotRoot("default", "web2", "s")));
        VERIFY_OK(d.deleteVolume("default", "web2"));
        VERIFY_OK(d.emptyTrash());
        QVERIFY(entriesOf(pool.path("trash")).isEmpty());
    }

    void snapshotUsageIsItsOwn_data() { drivers(); }
    void snapshotUsageIsItsOwn()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        {
            const Mounted mounted(*d.root("default", "web1"));
            VERIFY_OK(put(Fd(::open(mounted.path().c_str(), O_RDONLY | O_CLOEXEC)), "big", std::string(1 << 20, 'x')));
        }
        VERIFY_OK(d.createSnapshot("default", "web1", "s", InUse::No));
        const auto shared = d.snapshotUsage("default", "web1", "s");
        VERIFY_OK(shared);
        if (pool.driverName == "overlay")
            QVERIFY(shared->count < 1 << 18); // the volume stands on that layer as well
        QVERIFY(d.usage("default", "web1")->count >= 1 << 20);
        VERIFY_OK(d.createVolume("default", "other", kImage));
        VERIFY_OK(d.createSnapshot("default", "web1", "t", InUse::Yes));
        VERIFY_OK(d.restoreSnapshot("default", "web1", "t"));
        VERIFY_OK(d.deleteSnapshot("default", "web1", "t"));
        if (!pool.isLvm()) // which counts all blocks of the file system
            QVERIFY(d.snapshotUsage("default", "web1", "s")->count < 2 << 20);
    }

    void snapshotTimesArePrinted_data()
    {
        QTest::addColumn<QByteArray>("driver");
        QTest::addColumn<int>("files");
        // A copy of each file takes a while: fewer of them where each call makes one.
        QTest::newRow("dir/ext4") << QByteArray("dir/ext4") << 5'000;
        QTest::newRow("dir/xfs") << QByteArray("dir/xfs") << 2'000;
        QTest::newRow("overlay/ext4") << QByteArray("overlay/ext4") << 100'000;
        QTest::newRow("overlay/xfs") << QByteArray("overlay/xfs") << 2'000;
        QTest::newRow("overlay/btrfs") << QByteArray("overlay/btrfs") << 2'000;
        QTest::newRow("btrfs/btrfs") << QByteArray("btrfs/btrfs") << 100'000;
    }
    void snapshotTimesArePrinted()
    {
        QFETCH(int, files);
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, [&](const Fd &at) -> Status {
            TRY(fillImage(at));
            const Fd rootfs = TRY(makeFolder(at, "rootfs", 0755));
            for (int i = 0; i < files; ++i) {
                static Fd folder;
                if (i % 500 == 0)
                    folder = TRY(makeFolder(rootfs, "d" + std::to_string(i), 0755));
                TRY(put(folder, std::to_string(i).c_str(), std::to_string(i)));
            }
            return {};
        }));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        std::map<std::string, double> least;
        const auto timed = [&](const char *name, auto &&work) -> Status {
            QElapsedTimer timer;
            timer.start();
            TRY(work());
            const double took = double(timer.nsecsElapsed()) / 1e6;
            least[name] = least.contains(name) ? std::min(least[name], took) : took;
            return {};
        };
        for (int round = 0; round < 3; ++round) {
            {
                const Mounted mounted(*d.root("default", "web1"));
                const Fd root(::open(mounted.path().c_str(), O_RDONLY | O_CLOEXEC));
                for (int i = 0; i < 200; ++i)
                    VERIFY_OK(put(root, ("changed-" + std::to_string(round) + "-" + std::to_string(i)).c_str(),
                                  std::string(5000, 'x')));
            }
            VERIFY_OK(timed("snapshot running", [&] { return d.createSnapshot("default", "web1", "r", InUse::Yes); }));
            VERIFY_OK(timed("snapshot", [&] { return d.createSnapshot("default", "web1", "s", InUse::No); }));
            VERIFY_OK(timed("restore", [&] { return d.restoreSnapshot("default", "web1", "s"); }));
            VERIFY_OK(timed("copy", [&] {
                return d.copyVolume({"default", "web1", {}}, "default", "web2", WithSnapshots::No);
            }));
            VERIFY_OK(timed("delete snapshot", [&] { return d.deleteSnapshot("default", "web1", "s"); }));
            VERIFY_OK(timed("delete volume", [&] { return d.deleteVolume("default", "web2"); }));
            VERIFY_OK(d.deleteSnapshot("default", "web1", "r"));
            VERIFY_OK(d.emptyTrash());
        }
        QByteArray text;
        for (const auto &[name, milliseconds] : least)
            text += ", " + QByteArray::fromStdString(name) + " " + QByteArray::number(milliseconds, 'f', 2);
        qInfo("%d files, 200 changed, least of 3 in ms%s", files, text.constData());
    }

    void overlayOnOverlayIsRefused()
    {
        NEEDS("ext4", g_fileSystems.lack("ext4").empty());
        Pool pool("overlay/ext4");
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        const Mounted mounted(*pool.driver->root("default", "web1"));
        QVERIFY(mounted.ok());
        auto inner = Driver::open({"default", "overlay", {}}, mounted.at("state"));
        VERIFY_OK(inner);
        VERIFY_FAILS(Code::Unsupported, (*inner)->prepare());
    }

    void aLimitThatCannotBeChangesNothing_data() { drivers(); }
    void aLimitThatCannotBeChangesNothing()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        QVERIFY(!*pool.driver->limit("default", "web1"));
        VERIFY_OK(pool.driver->setLimit("default", "web1", std::nullopt));
        VERIFY_FAILS(Code::NotFound, pool.driver->limit("default", "web2"));
        VERIFY_FAILS(Code::NotFound, pool.driver->setLimit("default", "web2", Bytes{1 << 30}));
        if (pool.driver->canLimit())
            return;
        const QStringList before = entriesOf(pool.driver->volumeDir("default", "web1"));
        VERIFY_FAILS(Code::Unsupported, pool.driver->setLimit("default", "web1", Bytes{1 << 30}));
        QVERIFY(!*pool.driver->limit("default", "web1"));
        QCOMPARE(entriesOf(pool.driver->volumeDir("default", "web1")), before);
    }

    void aLimitHoldsWhateverBecomesOfTheVolume_data() { limited(); }
    void aLimitHoldsWhateverBecomesOfTheVolume()
    {
        constexpr Bytes kLimit{20 << 20};
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.canLimit());
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        VERIFY_OK(d.createSnapshot("default", "web1", "before", InUse::No));
        VERIFY_OK(d.setLimit("default", "web1", kLimit));
        QVERIFY(*d.limit("default", "web1") == kLimit);
        const auto holds = [&](const char *volume) {
            VERIFY_FAILS(Code::NoSpace, writeInside(*pool.driver, volume, 30));
            VERIFY_OK(writeInside(*pool.driver, volume, 10));
            QVERIFY(*pool.driver->limit("default", volume) == kLimit);
        };
        holds("web1");
        VERIFY_OK(d.createSnapshot("default", "web1", "s1", InUse::Yes));
        VERIFY_OK(d.createSnapshot("default", "web1", "s2", InUse::No));
        holds("web1");
        VERIFY_OK(d.restoreSnapshot("default", "web1", "before"));
        holds("web1");
        VERIFY_OK(d.renameVolume("default", "web1", "web2"));
        holds("web2");
        // A copy has none, and two that change places take theirs along.
        VERIFY_OK(d.copyVolume({"default", "web2", {}}, "default", "web3", WithSnapshots::Yes));
        QVERIFY(!*d.limit("default", "web3"));
        VERIFY_OK(writeInside(d, "web3", 30));
        VERIFY_OK(d.swapVolumes("default", "web2", "web3"));
        QVERIFY(!*d.limit("default", "web2"));
        VERIFY_OK(writeInside(d, "web2", 30));
        holds("web3");
        VERIFY_OK(d.setVolumeAside("default", "web3", "00000000000000aa"));
        VERIFY_OK(d.bringVolumeBack("00000000000000aa", "default", "web3"));
        holds("web3");
        VERIFY_OK(pool.open());
        holds("web3");
        VERIFY_OK(pool.driver->setLimit("default", "web3", std::nullopt));
        QVERIFY(!*pool.driver->limit("default", "web3"));
        VERIFY_OK(writeInside(*pool.driver, "web3", 30));
        VERIFY_OK(pool.driver->restoreSnapshot("default", "web3", "before"));
        VERIFY_OK(writeInside(*pool.driver, "web3", 30));
    }

    void aLimitBelowWhatIsUsedIsRefused_data() { limited(); }
    void aLimitBelowWhatIsUsedIsRefused()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        {
            const Mounted mounted(*d.root("default", "web1"));
            VERIFY_OK(put(fdOr(sys::open(mounted.path(), O_RDONLY)), "kept", std::string(30 << 20, 'q')));
        }
        const Status small = d.setLimit("default", "web1", Bytes{20 << 20});
        VERIFY_FAILS(Code::Invalid, small);
        for (const char *figure : {"20.00MiB", "30."})
            QVERIFY2(small.error().message.find(figure) != std::string::npos, small.error().message.c_str());
        QVERIFY(!*d.limit("default", "web1"));
        VERIFY_OK(d.setLimit("default", "web1", Bytes{60 << 20}));
        VERIFY_FAILS(Code::Invalid, d.setLimit("default", "web1", Bytes{20 << 20}));
        QVERIFY(*d.limit("default", "web1") == Bytes{60 << 20});
        const auto used = d.usage("default", "web1");
        VERIFY_OK(used);
        QVERIFY2(used->count >= 30 << 20 && used->count < 32 << 20, std::to_string(used->count).c_str());
        VERIFY_FAILS(Code::NoSpace, writeInside(d, "web1", 40));
        VERIFY_OK(writeInside(d, "web1", 20));
    }

    /// Content that comes back is under the limit of today, whatever it had when it went.
    void contentThatComesBackIsLimited_data() { limited(); }
    void contentThatComesBackIsLimited()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        Driver &d = *pool.driver;
        VERIFY_OK(d.addImage(kImage, &fillImage));
        VERIFY_OK(d.createVolume("default", "web1", kImage));
        VERIFY_OK(d.createSnapshot("default", "web1", "s", InUse::No));
        VERIFY_OK(d.setLimit("default", "web1", Bytes{20 << 20}));
        VERIFY_OK(d.restoreSnapshot("default", "web1", "s", "00000000000000aa"));
        VERIFY_OK(d.setLimit("default", "web1", std::nullopt));
        VERIFY_OK(d.bringContentBack("00000000000000aa", "default", "web1", "00000000000000bb"));
        VERIFY_OK(writeInside(d, "web1", 30));
        VERIFY_OK(d.setLimit("default", "web1", Bytes{20 << 20}));
        VERIFY_OK(d.bringContentBack("00000000000000bb", "default", "web1", "00000000000000cc"));
        VERIFY_FAILS(Code::NoSpace, writeInside(d, "web1", 30));
    }

    void aLimitSurvivesAnyMoment_data() { limited(); }
    void aLimitSurvivesAnyMoment()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "keep", kImage));
        VERIFY_OK(pool.driver->setLimit("default", "keep", Bytes{40 << 20})); // counting is on
        const std::string state = pool.folder.path().toStdString();
        struct Operation {
            const char *name;
            std::function<Status(Driver &)> run;
            bool limitedBefore = false;
            std::optional<bool> limitedAfter = std::nullopt; ///< none: as before.
        };
        const Operation operations[] = {
            {"set", [](Driver &d) { return d.setLimit("default", "a", Bytes{20 << 20}); }, false, true},
            {"lift", [](Driver &d) { return d.setLimit("default", "a", std::nullopt); }, true, false},
            {"restore", [](Driver &d) { return d.restoreSnapshot("default", "a", "s"); }, true},
            {"snapshot", [](Driver &d) { return d.createSnapshot("default", "a", "new", InUse::No); }, true},
        };
        for (const Operation &operation : operations) {
            bool died = true;
            for (int step = 1; died; ++step) {
                const QByteArray where = QByteArray(operation.name) + ", step " + QByteArray::number(step);
                VERIFY_OK(pool.driver->createVolume("default", "a", kImage));
                VERIFY_OK(pool.driver->createSnapshot("default", "a", "s", InUse::No));
                if (operation.limitedBefore)
                    VERIFY_OK(pool.driver->setLimit("default", "a", Bytes{20 << 20}));
                VERIFY_OK(pool.driver->emptyTrash());
                pool.driver.reset();
                died = dieAtChange(step, pool.driverName, state, operation.run);
                VERIFY_OK(pool.open());
                Driver &d = *pool.driver;
                const bool limited = d.limit("default", "a")->has_value();
                QVERIFY2(limited == operation.limitedBefore || limited == operation.limitedAfter, where);
                QVERIFY2(bool(writeInside(d, "a", 30)) == !limited, where);
                const Status again = operation.run(d);
                QVERIFY2(again || again.error().code == Code::AlreadyExists, where);
                const bool wanted = operation.limitedAfter.value_or(operation.limitedBefore);
                QVERIFY2(d.limit("default", "a")->has_value() == wanted, where);
                QVERIFY2(bool(writeInside(d, "a", 30)) == !wanted, where);
                VERIFY_OK(d.deleteVolume("default", "a"));
            }
        }
    }

    void whereNothingCanBeLimitedTheReasonIsSaid_data()
    {
        QTest::addColumn<QByteArray>("driver");
        QTest::addColumn<QByteArray>("reason");
        QTest::newRow("dir/tmpfs") << QByteArray("dir/tmpfs") << QByteArray("has no project quotas");
        QTest::newRow("dir/btrfs") << QByteArray("dir/btrfs") << QByteArray("a pool of driver btrfs");
        QTest::newRow("overlay/ext4") << QByteArray("overlay/ext4") << QByteArray("ext4");
        QTest::newRow("dir/xfs") << QByteArray("dir/xfs") << QByteArray("xfs");
    }
    void whereNothingCanBeLimitedTheReasonIsSaid()
    {
        QFETCH(QByteArray, reason);
        Pool pool(driver());
        VERIFY_OK(pool.open());
        const Status can = pool.driver->canLimit();
        VERIFY_FAILS(Code::Unsupported, can);
        QVERIFY2(can.error().message.find(reason.toStdString()) != std::string::npos, can.error().message.c_str());
        qInfo("%s", can.error().message.c_str());
    }

    void threadsMayWorkAtOnce_data() { drivers(); }
    void threadsMayWorkAtOnce()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        std::atomic<int> failures = 0;
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 4; ++thread)
            threads.emplace_back([&, thread] {
                for (int round = 0; round < (pool.isLvm() ? 4 : 25); ++round) {
                    const std::string name = "v" + std::to_string(thread) + "-" + std::to_string(round);
                    failures += !pool.driver->createVolume("default", name, kImage);
                    failures += !pool.driver->root("default", name);
                    failures += !pool.driver->deleteVolume("default", name);
                }
            });
        for (std::thread &thread : threads)
            thread.join();
        QCOMPARE(failures.load(), 0);
        VERIFY_OK(pool.driver->emptyTrash());
    }

    void timesArePrinted_data() { drivers(); }
    void timesArePrinted()
    {
        Pool pool(driver());
        VERIFY_OK(pool.open());
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        QElapsedTimer timer;
        timer.start();
        constexpr int kVolumes = 100;
        for (int i = 0; i < kVolumes; ++i)
            VERIFY_OK(pool.driver->createVolume("default", "v" + std::to_string(i), kImage));
        const auto created = timer.nsecsElapsed();
        for (int i = 0; i < kVolumes; ++i)
            VERIFY_OK(pool.driver->deleteVolume("default", "v" + std::to_string(i)));
        qInfo("create %.3f ms, delete %.3f ms a volume", double(created) / 1e6 / kVolumes,
              double(timer.nsecsElapsed() - created) / 1e6 / kVolumes);
        VERIFY_OK(pool.driver->emptyTrash());
    }
};

QTEST_APPLESS_MAIN(TestStorage)
#include "tst_storage.moc"

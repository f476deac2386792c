// Trees that go from one helper to another: what is taken, laid on what was there, is what was sent, byte for byte; and only what
// is different goes over. LXMGR_TEST_SEED repeats a run of random edits.
#include "conformance/tree_manifest.h"
#include "kernel/sys.h"
#include "migrate/job.h"
#include "migrate/stream.h"
#include "storage/tree.h"
#include "support/require.h"
#include "support/verify.h"

#include <QTemporaryDir>
#include <QtTest>

#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <thread>

using namespace lxmgr;

namespace
{

constexpr const char *kHelper = LXMGR_TEST_BIN "/lxmgr-helper";

void write(const std::string &path, const std::string &text) { std::ofstream(path, std::ios::binary) << text; }

/// What no guest can have made, or what stays behind, goes.
void makePlain(const std::string &top)
{
    std::vector<std::string> all{top};
    for (const auto &entry : std::filesystem::recursive_directory_iterator(top))
        all.push_back(entry.path());
    for (const std::string &path : all) {
        struct stat info {
        };
        if (::lstat(path.c_str(), &info) < 0)
            continue;
        if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
            ::unlink(path.c_str());
            continue;
        }
        if (info.st_uid > 65535 || info.st_gid > 65535) {
            (void)!::lchown(path.c_str(), info.st_uid % 65536, info.st_gid % 65536);
            if (!S_ISLNK(info.st_mode))
                ::chmod(path.c_str(), info.st_mode & 07777);
        }
        for (char name = 'a'; name < 'e'; ++name) {
            ::lremovexattr(path.c_str(), (std::string("trusted.") + name).c_str());
            if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
                ::lremovexattr(path.c_str(), (std::string("user.") + name).c_str());
        }
    }
}

struct Transferred {
    Result<migrate::TreeResult> sent = Error(Code::Internal, "not begun");
    Result<migrate::TreeResult> taken = Error(Code::Internal, "not begun");
    std::uint64_t bytes = 0; ///< That went from the sender to the taker.
};

/// Both helpers, with a copyist between their sockets who counts.
Transferred transfer(const std::string &tree, const std::string &before, const std::string &base, const std::string &to)
{
    int left[2], right[2];
    Transferred done;
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, left) < 0 || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, right) < 0)
        return done;
    std::thread there([&] {
        char buffer[65536];
        for (ssize_t got = 0; (got = ::read(left[1], buffer, sizeof buffer)) > 0;) {
            done.bytes += static_cast<std::uint64_t>(got);
            if (::send(right[1], buffer, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
                break;
        }
        ::shutdown(right[1], SHUT_WR);
    });
    std::thread back([&] {
        char buffer[65536];
        for (ssize_t got = 0; (got = ::read(right[1], buffer, sizeof buffer)) > 0;)
            if (::send(left[1], buffer, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
                break;
        ::shutdown(left[1], SHUT_WR);
    });
    std::thread sender([&] {
        const Fd socket(left[0]);
        migrate::TreeJob job;
        job.layers = {tree};
        if (!before.empty())
            job.before = {before};
        done.sent = migrate::runSender(kHelper, job, socket, Progress::none());
        ::shutdown(socket.get(), SHUT_RDWR);
    });
    {
        const Fd socket(right[0]);
        const Fd folder(::open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        migrate::TreeJob job;
        if (!base.empty())
            job.layers = {base};
        images::UnpackLimits limits;
        done.taken = migrate::runTaker(kHelper, job, socket, folder, limits, Progress::none());
        ::shutdown(socket.get(), SHUT_RDWR);
    }
    sender.join();
    there.join();
    back.join();
    ::close(left[1]);
    ::close(right[1]);
    return done;
}

} // namespace

class TestTreeTransfer : public QObject
{
    Q_OBJECT
private slots:
    void initTestCase() { NEEDS("root", ::geteuid() == 0); }
    void init();
    void cleanup() { std::filesystem::remove_all(m_folder->path().toStdString()); } // Qt cannot: names that are no UTF-8
    void wholeTreesArrive();
    void onlyDifferencesGoOver();
    void sameTimesAreLookedInto();
    void namesOfOneFileStayTogether();
    void randomEditsArrive();
    void strangersAreRefused_data();
    void strangersAreRefused();
    void fullDisksAreNamed();

private:
    std::string path(const char *name) const { return m_folder->path().toStdString() + "/" + name; }
    std::string make(const char *name) const
    {
        std::filesystem::create_directory(path(name));
        return path(name);
    }
    /// `tree` arrives over a copy of `base`, and is then the same.
    void arrives(const std::string &tree, const std::string &base);

    std::unique_ptr<QTemporaryDir> m_folder;
    Transferred m_last;
};

void TestTreeTransfer::init() { m_folder = std::make_unique<QTemporaryDir>(); }

void TestTreeTransfer::arrives(const std::string &tree, const std::string &base)
{
    static int count = 0;
    const std::string copy = path(("copy" + std::to_string(++count)).c_str()), layer = path(("layer" + std::to_string(count)).c_str());
    std::filesystem::create_directory(copy);
    std::filesystem::create_directory(layer);
    const Fd copyFd(::open(copy.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), layerFd(::open(layer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!base.empty()) {
        const Fd baseFd(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        VERIFY_OK(storage::copyTree(baseFd, copyFd));
    }
    m_last = transfer(tree, "", base.empty() ? "" : copy, layer);
    VERIFY_OK(m_last.sent);
    VERIFY_OK(m_last.taken);
    VERIFY_OK(storage::applyDifference(layerFd, copyFd));
    const QByteArray wrong = test::differences(test::manifestOf(tree), test::manifestOf(copy));
    QVERIFY2(wrong.isEmpty(), wrong);
}

void TestTreeTransfer::wholeTreesArrive()
{
    const std::string tree = make("tree");
    write(tree + "/plain", "text");
    write(tree + "/empty", "");
    std::filesystem::create_directories(tree + "/a/b/c");
    write(tree + "/a/b/c/deep", std::string(300'000, 'd'));
    QVERIFY(::link((tree + "/plain").c_str(), (tree + "/a/again").c_str()) == 0);
    QVERIFY(::symlink("../plain", (tree + "/a/link").c_str()) == 0);
    QVERIFY(::mknod((tree + "/pipe").c_str(), S_IFIFO | 0640, 0) == 0);
    ::chmod((tree + "/plain").c_str(), 04711);
    QVERIFY(::lchown((tree + "/a/link").c_str(), 1000, 1001) == 0);
    QVERIFY(::chown((tree + "/a/b").c_str(), 65534, 12) == 0);
    ::setxattr((tree + "/plain").c_str(), "user.note", "x\0y", 3, 0);
    ::setxattr((tree + "/a").c_str(), "user.folder", "1", 1, 0);
    const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0};
    QVERIFY(::setxattr((tree + "/empty").c_str(), "security.capability", capability, 20, 0) == 0);
    const int fd = ::open((tree + "/sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    QVERIFY(::pwrite(fd, "middle", 6, 8 << 20) == 6 && ::ftruncate(fd, 64 << 20) == 0);
    ::close(fd);
    arrives(tree, "");
    if (QTest::currentTestFailed())
        return;
    QVERIFY2(m_last.bytes < 400'000, QByteArray::number(m_last.bytes)); // holes are not sent
    struct stat info {
    };
    QVERIFY(::stat((path("layer1") + "/sparse").c_str(), &info) < 0); // it was moved over
    bool sparse = false;
    for (const auto &entry : std::filesystem::directory_iterator(m_folder->path().toStdString()))
        if (entry.path().filename().string().starts_with("copy"))
            sparse = ::stat((entry.path().string() + "/sparse").c_str(), &info) == 0 && info.st_blocks < 2048;
    QVERIFY(sparse);
}

void TestTreeTransfer::onlyDifferencesGoOver()
{
    const std::string tree = make("tree"), base = make("base");
    for (int i = 0; i < 300; ++i)
        write(tree + "/file" + std::to_string(i), std::string(20'000, static_cast<char>('a' + i % 26)));
    const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0};
    QVERIFY(::setxattr((tree + "/file3").c_str(), "security.capability", capability, 20, 0) == 0);
    const unsigned char list[28] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255};
    QVERIFY(::setxattr((tree + "/file4").c_str(), "system.posix_acl_access", list, 28, 0) == 0);
    {
        const Fd from(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), to(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        VERIFY_OK(storage::copyTree(from, to));
    }
    write(tree + "/file7", std::string(20'001, 'z'));
    std::filesystem::remove(tree + "/file8");
    std::filesystem::create_directory(tree + "/new");
    arrives(tree, base);
    QVERIFY2(m_last.bytes < 60'000, QByteArray::number(m_last.bytes));
    QCOMPARE(m_last.taken->data, std::uint64_t(20'001));
}

/// A package that is built anew has files of the same size and time.
void TestTreeTransfer::sameTimesAreLookedInto()
{
    const std::string tree = make("tree"), base = make("base");
    const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    for (const std::string &top : {tree, base}) {
        write(top + "/library", std::string(100'000, top == tree ? 'n' : 'o'));
        write(top + "/other", std::string(100'000, 's'));
        ::utimensat(AT_FDCWD, (top + "/library").c_str(), times, 0);
        ::utimensat(AT_FDCWD, (top + "/other").c_str(), times, 0);
    }
    arrives(tree, base);
    QCOMPARE(m_last.taken->data, std::uint64_t(100'000));
}

void TestTreeTransfer::namesOfOneFileStayTogether()
{
    const std::string tree = make("tree"), base = make("base");
    std::filesystem::create_directory(tree + "/folder");
    write(tree + "/one", "shared");
    QVERIFY(::link((tree + "/one").c_str(), (tree + "/folder/two").c_str()) == 0);
    {
        const Fd from(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), to(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        VERIFY_OK(storage::copyTree(from, to));
    }
    QVERIFY(::link((tree + "/one").c_str(), (tree + "/zz").c_str()) == 0); // a third name, and the first two as they were
    arrives(tree, base);
}

void TestTreeTransfer::randomEditsArrive()
{
    const auto seed = qEnvironmentVariableIsSet("LXMGR_TEST_SEED") ? qEnvironmentVariableIntValue("LXMGR_TEST_SEED") : 7;
    std::mt19937 random(static_cast<unsigned>(seed));
    const std::string tree = make("tree");
    test::Editor editor(random, tree);
    std::string base;
    for (int round = 0; round < 12; ++round) {
        for (int i = 0; i < 60; ++i)
            editor.edit();
        makePlain(tree);
        arrives(tree, base);
        if (QTest::currentTestFailed()) {
            qWarning("round %d, LXMGR_TEST_SEED=%d", round, seed);
            return;
        }
        base = path(("base" + std::to_string(round)).c_str());
        std::filesystem::create_directory(base);
        const Fd from(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), to(::open(base.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        VERIFY_OK(storage::copyTree(from, to));
    }
}

void TestTreeTransfer::strangersAreRefused_data()
{
    using migrate::Entry;
    using migrate::Kind;
    QTest::addColumn<QByteArray>("bytes");
    const auto row = [](const char *name, const std::vector<Entry> &entries) {
        int ends[2];
        QVERIFY(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        {
            const Fd socket(ends[0]);
            migrate::Stream stream(socket);
            for (const Entry &entry : entries)
                VERIFY_OK(migrate::putEntry(stream, entry));
            VERIFY_OK(stream.flush());
        }
        QByteArray bytes;
        char buffer[4096];
        for (ssize_t got = 0; (got = ::read(ends[1], buffer, sizeof buffer)) > 0;)
            bytes.append(buffer, got);
        ::close(ends[1]);
        QTest::newRow(name) << bytes;
    };
    Entry root;
    root.kind = Kind::Enter;
    root.mode = S_IFDIR | 0755;
    Entry leave, end;
    leave.kind = Kind::Leave;
    end.kind = Kind::TreeEnd;
    const auto named = [](Kind kind, mode_t mode, const char *name) {
        Entry entry;
        entry.kind = kind;
        entry.mode = mode;
        entry.name = name;
        entry.target = "x";
        return entry;
    };
    row("a path", {root, named(Kind::File, S_IFREG | 0600, "a/b"), leave, end});
    row("upwards", {root, named(Kind::Enter, S_IFDIR | 0700, ".."), leave, leave, end});
    row("no name", {root, named(Kind::Link, S_IFLNK | 0777, ""), leave, end});
    row("a link that is a file", {root, named(Kind::Link, S_IFREG | 0600, "l"), leave, end});
    row("through a link", {root, named(Kind::Link, S_IFLNK | 0777, "l"), named(Kind::Enter, S_IFDIR | 0700, "l"), named(Kind::Link, S_IFLNK | 0777, "k"), leave, leave, end});
    row("twice", {root, named(Kind::Link, S_IFLNK | 0777, "l"), named(Kind::Link, S_IFLNK | 0777, "l"), leave, end});
    row("out of the root", {root, leave, leave, end});
    row("no end", {root, end});
    row("no root", {named(Kind::Link, S_IFLNK | 0777, "l"), end});
    Entry attribute = root;
    attribute.attributes["trusted.overlay.opaque"] = "y";
    row("an attribute of ours", {attribute, leave, end});
    QTest::newRow("noise") << QByteArray(5000, '\xff');
    QTest::newRow("zeros") << QByteArray(5000, '\0');
}

void TestTreeTransfer::strangersAreRefused()
{
    QFETCH(QByteArray, bytes);
    const std::string to = make("to");
    int ends[2];
    QVERIFY(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const Fd socket(ends[0]), far(ends[1]);
    const Fd folder(::open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    QCOMPARE(::send(far.get(), bytes.constData(), static_cast<std::size_t>(bytes.size()), MSG_NOSIGNAL), bytes.size());
    ::shutdown(far.get(), SHUT_WR);
    const auto taken = migrate::runTaker(kHelper, {}, socket, folder, {}, Progress::none());
    QVERIFY(!taken);
    QVERIFY2(taken.error().code == Code::Invalid || taken.error().errnum == EEXIST, taken.error().message.c_str());
}

void TestTreeTransfer::fullDisksAreNamed()
{
    const std::string tree = make("tree"), to = make("to");
    write(tree + "/large", std::string(3 << 20, 'x'));
    int ends[2];
    QVERIFY(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    std::thread sender([&] {
        const Fd socket(ends[0]);
        migrate::TreeJob job;
        job.layers = {tree};
        const auto sent = migrate::runSender(kHelper, job, socket, Progress::none());
        if (sent)
            qWarning("it was sent whole");
    });
    Result<migrate::TreeResult> taken = Error(Code::Internal, "");
    {
        const Fd socket(ends[1]);
        const Fd folder(::open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        images::UnpackLimits limits;
        limits.room = Bytes{1 << 20};
        taken = migrate::runTaker(kHelper, {}, socket, folder, limits, Progress::none());
    }
    sender.join();
    QVERIFY(!taken);
    QCOMPARE(taken.error().code, Code::NoSpace);
}

QTEST_GUILESS_MAIN(TestTreeTransfer)
#include "tst_tree_transfer.moc"

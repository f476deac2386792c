// States of volumes compared by lxmgr-helper, for every storage driver: what it finds is what two whole manifests of the
// trees say, whichever way it took to find it. LXMGR_TEST_SEED repeats a run of random edits.
#include "conformance/file_systems.h"
#include "conformance/tree_manifest.h"
#include "diff/run.h"
#include "kernel/mount.h"
#include "storage/driver.h"
#include "storage/tree.h"
#include "support/require.h"
#include "support/verify.h"

#include <QElapsedTimer>
#include <QTemporaryDir>
#include <fstream>
#include <regex>
#include <set>

using namespace lxmgr;
using namespace lxmgr::storage;

namespace
{

const std::string kImage(64, 'a');
test::FileSystems g_fileSystems;

struct Pool {
    QTemporaryDir folder;
    std::unique_ptr<Driver> driver;

    explicit Pool(const std::string &tag)
        : folder(QString::fromStdString(g_fileSystems.path(tag.substr(tag.find('/') + 1)) + "/lxmgr-diff-XXXXXX"))
    {
        auto opened = Driver::open({"default", tag.substr(0, tag.find('/')), {}}, folder.path().toStdString());
        if (opened && (*opened)->prepare())
            driver = std::move(*opened);
    }
    ~Pool()
    {
        if (!driver)
            return;
        (void)driver->deleteVolume("default", "web1");
        (void)driver->deleteImage(kImage);
        (void)driver->emptyTrash();
    }
};

/// The root file system of the volume as its guest would write to it.
class Written
{
public:
    explicit Written(const RootTree &tree) : m_overlay(tree.kind == RootTree::Kind::Overlay), m_path(tree.directory)
    {
        if (!m_overlay)
            return;
        m_path = m_folder.path().toStdString();
        if (const Status mounted = mount(tree); !mounted)
            qWarning("%s", mounted.error().message.c_str());
    }
    ~Written()
    {
        if (m_overlay)
            ::umount2(m_path.c_str(), 0);
    }
    Written(const Written &) = delete;
    Written &operator=(const Written &) = delete;
    const std::string &path() const { return m_path; }

private:
    Status mount(const RootTree &tree)
    {
        std::vector<Fd> lower;
        for (const std::string &layer : tree.lower)
            lower.push_back(TRY(sys::open_tree(sys::cwd(), layer, sys::Recursive::No)));
        const Fd layer = TRY(sys::open_tree(sys::cwd(), tree.layer, sys::Recursive::No));
        return sys::move_mount(TRY(mount::overlay(lower, &layer, 0, 0, 0)), sys::cwd(), m_path);
    }
    bool m_overlay;
    QTemporaryDir m_folder;
    std::string m_path;
};

diff::Place placeOf(const RootTree &tree)
{
    diff::Place place;
    place.directory = tree.directory;
    if (!tree.layer.empty())
        place.layers.push_back(tree.layer + "/upper");
    place.layers.insert(place.layers.end(), tree.lower.begin(), tree.lower.end());
    return place;
}

/// What counts for a comparison: with the number of names, without a folder's time and what only the host's root sees.
test::Manifest comparable(const Fd &tree)
{
    static const std::regex hidden(" trusted\\.[a-z.]+=[0-9a-f]*");
    static const std::regex folderTime("^(\\S+ \\S+) \\S+");
    const std::string top = "/proc/self/fd/" + std::to_string(tree.get()) + "/.";
    test::Manifest manifest = test::manifestOf(top);
    for (auto &[path, line] : manifest) {
        struct stat info {
        };
        ::lstat((top + path).c_str(), &info);
        if (const auto same = line.find(" same as "); same != std::string::npos && !S_ISLNK(info.st_mode))
            line.erase(same);
        line = std::regex_replace(line, hidden, "");
        if (S_ISDIR(info.st_mode))
            line = std::regex_replace(line, folderTime, "$1");
        else
            line += " names " + std::to_string(info.st_nlink);
    }
    return manifest;
}

std::string percent(const std::string &path) { return QByteArray::fromStdString(path).toPercentEncoding("/").toStdString(); }

std::set<std::string> expected(const test::Manifest &before, const test::Manifest &after)
{
    std::set<std::string> all;
    for (const auto &[path, line] : before)
        if (const auto other = after.find(path); other == after.end())
            all.insert("deleted " + percent(path));
        else if (other->second != line)
            all.insert("changed " + percent(path.empty() ? "/" : path));
    for (const auto &[path, line] : after)
        if (!before.contains(path))
            all.insert("added " + percent(path));
    return all;
}

std::set<std::string> told(const diff::Comparison &comparison)
{
    std::set<std::string> all;
    for (const diff::Change &change : comparison.changes)
        all.insert((change.kind == diff::ChangeKind::Added     ? "added "
                    : change.kind == diff::ChangeKind::Deleted ? "deleted "
                                                               : "changed ") +
                   percent(change.path));
    return all;
}

QByteArray unlike(const std::set<std::string> &one, const std::set<std::string> &other)
{
    QByteArray text;
    for (const std::string &line : one)
        if (!other.contains(line))
            text += "\n  missing: " + QByteArray::fromStdString(line);
    for (const std::string &line : other)
        if (!one.contains(line))
            text += "\n  too many: " + QByteArray::fromStdString(line);
    return text;
}

Result<diff::Comparison> compare(const RootTree &before, const RootTree &after)
{
    const diff::Job job{LXMGR_TEST_BIN "/lxmgr-helper", placeOf(before), placeOf(after)};
    return diff::run(job, Progress::none(), [] {});
}

/// "" when lxmgr-helper finds what differs, no more and no less.
QByteArray wrong(const Result<RootTree> &before, const Result<RootTree> &after, std::uint64_t &changes)
{
    if (!before || !after)
        return "no such state";
    const auto found = compare(*before, *after);
    if (!found)
        return QByteArray::fromStdString(found.error().message);
    changes += found->counts.all();
    if (!found->warnings.empty())
        return QByteArray::fromStdString(found->warnings.front());
    const diff::Job job{"", placeOf(*before), placeOf(*after)};
    const auto trees = diff::open(job);
    if (!trees)
        return QByteArray::fromStdString(trees.error().message);
    if ((before->kind == RootTree::Kind::Overlay) != trees->layers.has_value())
        return "layers are shared on overlay, and nowhere else";
    return unlike(expected(comparable(trees->before.root), comparable(trees->after.root)), told(*found));
}

void write(const std::string &path, const std::string &content)
{
    std::ofstream(path, std::ios::binary) << content;
}

Status fillImage(const Fd &folder)
{
    const std::string top = "/proc/self/fd/" + std::to_string(folder.get());
    write(top + "/metadata.yaml", "architecture: x86_64\ncreation_date: 1\n");
    TRY(makeFolder(folder, "rootfs", 0755));
    std::mt19937 random(1);
    test::Editor editor(random, top + "/rootfs");
    for (int i = 0; i < 80; ++i)
        editor.edit();
    return {};
}

} // namespace

class TestDiff : public QObject
{
    Q_OBJECT

    void drivers()
    {
        QTest::addColumn<QByteArray>("driver");
        for (const char *tag : {"dir/ext4", "overlay/ext4", "overlay/xfs", "overlay/btrfs", "overlay/tmpfs", "btrfs/btrfs"})
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
    }

    void randomEditsAreAllFound_data() { drivers(); }
    void randomEditsAreAllFound()
    {
        const unsigned first = qEnvironmentVariableIsSet("LXMGR_TEST_SEED") ? qEnvironmentVariableIntValue("LXMGR_TEST_SEED") : 1;
        const unsigned count = qEnvironmentVariableIsSet("LXMGR_TEST_SEED") ? 1 : 12;
        Pool pool(driver());
        QVERIFY(pool.driver);
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        std::uint64_t changes = 0;
        for (unsigned seed = first; seed < first + count; ++seed) {
            std::mt19937 random(seed);
            VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
            const auto edit = [&](int edits) {
                const Written written(*pool.driver->root("default", "web1"));
                test::Editor editor(random, written.path());
                for (int i = 0; i < edits; ++i)
                    editor.edit();
            };
            const auto state = [&](const char *snapshot) { return pool.driver->snapshotRoot("default", "web1", snapshot); };
            VERIFY_OK(pool.driver->createSnapshot("default", "web1", "zero", InUse::No));
            edit(40);
            VERIFY_OK(pool.driver->createSnapshot("default", "web1", "one", InUse::No));
            edit(40);
            VERIFY_OK(pool.driver->createSnapshot("default", "web1", "two", InUse::Yes));
            edit(30);
            const auto now = pool.driver->root("default", "web1");
            for (const auto &[before, after] : {std::pair{state("zero"), state("one")}, {state("one"), state("two")},
                                                {state("two"), now}, {state("zero"), now}, {state("two"), state("zero")},
                                                {now, now}}) {
                const QByteArray differs = wrong(before, after, changes);
                QVERIFY2(differs.isEmpty(), (QByteArray("seed ") + QByteArray::number(seed) + ": " + differs).constData());
            }
            VERIFY_OK(pool.driver->deleteVolume("default", "web1"));
        }
        QVERIFY(changes > 50 * count);
    }

    void theHelperLeavesNothingToReach()
    {
        // Links out of the tree, in place of files and folders that are compared.
        Pool pool("overlay/tmpfs");
        QVERIFY(pool.driver);
        VERIFY_OK(pool.driver->addImage(kImage, &fillImage));
        VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
        VERIFY_OK(pool.driver->createSnapshot("default", "web1", "zero", InUse::No));
        {
            const Written written(*pool.driver->root("default", "web1"));
            QCOMPARE(::symlink("/etc", (written.path() + "/var").c_str()), 0);
            QCOMPARE(::symlink("../../../../../../etc/passwd", (written.path() + "/passwd").c_str()), 0);
            QCOMPARE(::mkfifo((written.path() + "/pipe").c_str(), 0600), 0);
        }
        const auto found = compare(*pool.driver->snapshotRoot("default", "web1", "zero"), *pool.driver->root("default", "web1"));
        VERIFY_OK(found);
        QCOMPARE(found->counts.all(), std::uint64_t(3));
        QVERIFY(found->packages.empty());
    }

    void aStateThatIsNotThereIsAnError()
    {
        const RootTree missing{RootTree::Kind::Directory, "/no/such/tree", {}, {}, {}};
        const auto found = compare(missing, missing);
        QVERIFY(!found);
        QVERIFY2(found.error().message.find("/no/such/tree") != std::string::npos, found.error().message.c_str());
    }

    void timeIsThatOfTheChanges()
    {
        // 10000 files in 500 folders, of which ten change; printed, not judged.
        for (const char *tag : {"overlay/ext4", "dir/ext4"}) {
            Pool pool(tag);
            QVERIFY(pool.driver);
            VERIFY_OK(pool.driver->addImage(kImage, [](const Fd &folder) -> Status {
                const std::string top = "/proc/self/fd/" + std::to_string(folder.get());
                write(top + "/metadata.yaml", "architecture: x86_64\ncreation_date: 1\n");
                TRY(makeFolder(folder, "rootfs", 0755));
                for (int i = 0; i < 500; ++i) {
                    const std::string path = top + "/rootfs/" + std::to_string(i);
                    ::mkdir(path.c_str(), 0755);
                    for (int j = 0; j < 20; ++j)
                        write(path + "/" + std::to_string(j), std::string(30'000, static_cast<char>(i * j)));
                }
                return {};
            }));
            VERIFY_OK(pool.driver->createVolume("default", "web1", kImage));
            VERIFY_OK(pool.driver->createSnapshot("default", "web1", "zero", InUse::No));
            {
                const Written written(*pool.driver->root("default", "web1"));
                for (int i = 0; i < 10; ++i)
                    write(written.path() + "/" + std::to_string(i * 50) + "/3", "changed");
            }
            const auto before = pool.driver->snapshotRoot("default", "web1", "zero"), after = pool.driver->root("default", "web1");
            qint64 best = -1;
            for (int round = 0; round < 5; ++round) {
                QElapsedTimer timer;
                timer.start();
                const auto found = compare(*before, *after);
                VERIFY_OK(found);
                QCOMPARE(found->counts.modified, std::uint64_t(10));
                best = best < 0 ? timer.nsecsElapsed() : std::min(best, timer.nsecsElapsed());
            }
            qInfo("%s: %.1f ms", tag, double(best) / 1e6);
        }
    }
};

QTEST_GUILESS_MAIN(TestDiff)
#include "tst_tree_diff.moc"

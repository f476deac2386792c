// Two trees compared by their descriptors: each thing that may differ is found and named, hostile trees do no harm.
#include "diff/attributes.h"
#include "diff/walk.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "support/require.h"
#include "support/verify.h"

#include <QTemporaryDir>
#include <QtTest/QtTest>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::diff;

namespace
{

Fd open(const std::string &path) { return std::move(*sys::open(path, O_RDONLY | O_DIRECTORY)); }

void write(const std::string &path, const std::string &content)
{
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (::write(file.get(), content.data(), content.size()) < 0)
        qWarning("write failed");
}

/// The same time on everything, so that only what is meant differs.
void age(const std::string &path)
{
    const timespec times[2] = {
        {1000, 0},
        {1000, 0}
    };
    ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

std::string aspectsText(std::uint32_t aspects)
{
    std::string text;
    for (const AspectName &row : kAspects)
        if (aspects & row.aspect)
            text += " " + std::string(row.name);
    return text;
}

} // namespace

class TestWalk : public QObject
{
    Q_OBJECT

    std::unique_ptr<QTemporaryDir> m_dir;
    std::vector<std::string> m_warnings;
    std::string a(const std::string &name = "") const { return m_dir->path().toStdString() + "/a" + name; }
    std::string b(const std::string &name = "") const { return m_dir->path().toStdString() + "/b" + name; }

    /// Path → "kind aspect…".
    std::map<std::string, std::string> compare(std::optional<std::vector<Fd>> layers = {}, Ids after = {})
    {
        std::map<std::string, std::string> found;
        m_warnings.clear();
        const Trees trees{{open(a()), {}}, {open(b()), after}, std::move(layers)};
        const Listener listener{[&](const Change &change) {
                                    if (found.contains(change.path))
                                        m_warnings.push_back(change.path + " was told twice");
                                    found[change.path] =
                                        std::string(changeName(change.kind)) + aspectsText(change.aspects);
                                },
                                [&](const std::string &warning) { m_warnings.push_back(warning); }};
        if (const Status done = compareTrees(trees, listener); !done)
            m_warnings.push_back(done.error().message);
        return found;
    }
    void both(const std::string &name, const std::string &content)
    {
        for (const std::string &path : {a(name), b(name)}) {
            write(path, content);
            age(path);
        }
    }

private slots:
    void cleanup()
    {
        // QTemporaryDir removes no names that are not UTF-8.
        const Fd top = open(m_dir->path().toStdString());
        for (const char *side : {"a", "b"})
            VERIFY_OK(path::removeTree(top, side));
    }
    void init()
    {
        m_dir = std::make_unique<QTemporaryDir>();
        ::mkdir(a().c_str(), 0755);
        ::mkdir(b().c_str(), 0755);
    }

    void sameTreesDoNotDiffer()
    {
        both("/x", "1");
        ::mkdir(a("/d").c_str(), 0755);
        ::mkdir(b("/d").c_str(), 0755);
        both("/d/y", std::string(1'000'000, 'y'));
        QVERIFY(compare().empty());
        QVERIFY(m_warnings.empty());
    }

    void eachAspectIsNamed_data()
    {
        QTest::addColumn<QString>("expected");
        for (const char *row : {"content", "size", "time put back", "mode", "time", "attributes", "links", "type", "target",
                                "end of a long file", "hole filled", "set-user-id"})
            QTest::newRow(row) << QString(row);
    }
    void eachAspectIsNamed()
    {
        const std::string what = QTest::currentDataTag();
        both("/f", "1234");
        std::string expected;
        if (what == "content") {
            write(b("/f"), "1235");
            expected = "modified content time";
        } else if (what == "size") {
            write(b("/f"), "12345");
            age(b("/f"));
            expected = "modified content";
        } else if (what == "time put back") {
            write(b("/f"), "1235");
            age(b("/f"));
            expected = "modified content";
        } else if (what == "mode") {
            ::chmod(b("/f").c_str(), 0600);
            expected = "metadata mode";
        } else if (what == "set-user-id") {
            ::chmod(b("/f").c_str(), 04644);
            expected = "metadata mode";
        } else if (what == "time") {
            write(b("/f"), "1234");
            expected = "metadata time";
        } else if (what == "attributes") {
            QCOMPARE(::setxattr(b("/f").c_str(), "user.x", "1", 1, 0), 0);
            expected = "metadata attributes";
        } else if (what == "links") {
            QCOMPARE(::link(b("/f").c_str(), b("/g").c_str()), 0);
            both("/g2", "");
            expected = "metadata links";
        } else if (what == "type") {
            ::unlink(b("/f").c_str());
            QCOMPARE(::symlink("f", b("/f").c_str()), 0);
            expected = "modified type mode";
        } else if (what == "target") {
            for (const auto &path : {a("/f"), b("/f")}) {
                ::unlink(path.c_str());
                QCOMPARE(::symlink(path == a("/f") ? "one" : "two", path.c_str()), 0);
                age(path);
            }
            expected = "modified target";
        } else if (what == "end of a long file") {
            both("/f", std::string(3'000'000, 'x'));
            const Fd file(::open(b("/f").c_str(), O_WRONLY | O_CLOEXEC));
            QCOMPARE(::pwrite(file.get(), "y", 1, 2'999'999), ssize_t(1));
            age(b("/f"));
            expected = "modified content";
        } else if (what == "hole filled") {
            for (const auto &path : {a("/f"), b("/f")})
                QCOMPARE(::truncate(path.c_str(), off_t(1) << 40), 0);
            const Fd file(::open(b("/f").c_str(), O_WRONLY | O_CLOEXEC));
            QCOMPARE(::pwrite(file.get(), "y", 1, off_t(1) << 39), ssize_t(1));
            age(a("/f"));
            age(b("/f"));
            expected = "modified content";
        }
        auto found = compare();
        QCOMPARE(found["/f"], expected);
        found.erase("/f");
        if (what == "links")
            QCOMPARE(found["/g"], std::string("added"));
        else
            QVERIFY(found.empty());
        QVERIFY2(m_warnings.empty(), m_warnings.empty() ? "" : m_warnings.front().c_str());
    }

    void ownersAndDevicesAreCompared()
    {
        NEEDS("root", ::geteuid() == 0);
        both("/owned", "");
        QCOMPARE(::chown(b("/owned").c_str(), 3'000'000'000, 0), 0);
        for (const auto &path : {a("/device"), b("/device")}) {
            if (::mknod(path.c_str(), S_IFCHR | 0600, makedev(10, path == a("/device") ? 200 : 201)) < 0)
                QSKIP("needs mknod");
            age(path);
        }
        auto found = compare();
        QCOMPARE(found["/owned"], std::string("metadata owner"));
        QCOMPARE(found["/device"], std::string("modified device"));
    }

    void whichNamesAreOneFileIsCompared()
    {
        for (const std::string &side : {a(), b()}) {
            write(side + "/1", "same");
            write(side + "/2", "same");
        }
        // 1=3, 2=4 becomes 1=4, 2=3: each has two names as before.
        QCOMPARE(::link(a("/1").c_str(), a("/3").c_str()), 0);
        QCOMPARE(::link(a("/2").c_str(), a("/4").c_str()), 0);
        QCOMPARE(::link(b("/1").c_str(), b("/4").c_str()), 0);
        QCOMPARE(::link(b("/2").c_str(), b("/3").c_str()), 0);
        for (const char *name : {"/1", "/2"}) {
            age(a(name));
            age(b(name));
        }
        const auto found = compare();
        QVERIFY(!found.empty());
        for (const auto &[path, text] : found)
            QCOMPARE(text, std::string("metadata links"));
    }

    void wholeFoldersComeAndGo()
    {
        ::mkdir(a("/old").c_str(), 0755);
        write(a("/old/file"), "1");
        ::mkdir(b("/new").c_str(), 0755);
        ::mkdir(b("/new/deep").c_str(), 0755);
        write(b("/new/deep/file"), "1");
        write(a("/turned"), "");
        ::mkdir(b("/turned").c_str(), 0755);
        write(b("/turned/inside"), "");
        const std::map<std::string, std::string> expected = {
            {"/old",            "deleted"          },
            {"/old/file",       "deleted"          },
            {"/new",            "added"            },
            {"/new/deep",       "added"            },
            {"/new/deep/file",  "added"            },
            {"/turned",         "modified type mode"},
            {"/turned/inside",  "added"            },
        };
        QVERIFY(compare() == expected);
    }

    void namesAreBytes()
    {
        for (const char *name : {"/new\nline", "/\xff\xfe", "/ ", "/-rf", "/\x1b[2J"})
            write(b(name), "1");
        const auto found = compare();
        QCOMPARE(found.size(), std::size_t(5));
        QVERIFY(found.contains("/\xff\xfe") && found.contains("/new\nline"));
    }

    void nothingSpecialIsOpened()
    {
        QCOMPARE(::mkfifo(a("/pipe").c_str(), 0600), 0);
        QCOMPARE(::mkfifo(b("/pipe").c_str(), 0600), 0);
        age(a("/pipe"));
        age(b("/pipe"));
        QVERIFY(compare().empty()); // an opened pipe would wait for ever
    }

    void linksAreNotFollowed()
    {
        QCOMPARE(::symlink("/etc", a("/l").c_str()), 0);
        ::mkdir(b("/l").c_str(), 0755);
        write(b("/l/hosts"), "");
        const auto found = compare();
        QCOMPARE(found.size(), std::size_t(2));
        QCOMPARE(found.at("/l/hosts"), std::string("added"));
    }

    void folderWithManyEntries()
    {
        for (int i = 0; i < 20'000; ++i) {
            const std::string name = "/" + std::to_string(i);
            if (::symlink("x", a(name).c_str()) < 0 || (i % 1000 != 0 && ::symlink("x", b(name).c_str()) < 0))
                QFAIL("symlink");
            age(a(name));
            age(b(name));
        }
        QCOMPARE(compare().size(), std::size_t(20));
    }

    void endlesslyNestedFoldersAreToldNotEntered()
    {
        for (const std::string &side : {a(), b()}) {
            Fd at = open(side);
            for (unsigned i = 0; i < kDeepest + 50; ++i) {
                QCOMPARE(::mkdirat(at.get(), "d", 0755), 0);
                at = Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            }
            if (side == b())
                QCOMPARE(::mkdirat(at.get(), "below", 0755), 0);
        }
        QVERIFY(compare().empty());
        QCOMPARE(m_warnings.size(), std::size_t(1));
        QVERIFY(m_warnings.front().find("nested deeper") != std::string::npos);
    }

    void onlyWhatLayersNameIsLookedAt()
    {
        // The lists differ in "hidden", the layer names "named"; "same" is taken for what it says.
        both("/same", "1");
        write(b("/same"), "2");
        both("/named", "1");
        write(b("/named"), "2");
        write(a("/hidden"), "1");
        ::mkdir((m_dir->path().toStdString() + "/layer").c_str(), 0755);
        write(m_dir->path().toStdString() + "/layer/named", "whatever");
        std::vector<Fd> layers;
        layers.push_back(open(m_dir->path().toStdString() + "/layer"));
        const auto found = compare(std::move(layers));
        QCOMPARE(found.size(), std::size_t(2));
        QVERIFY(found.contains("/named") && found.contains("/hidden"));
    }

    void idsOfAGuestAreItsOwn()
    {
        NEEDS("root", ::geteuid() == 0);
        both("/five", "");
        both("/foreign", "");
        QCOMPARE(::chown(a("/five").c_str(), 5, 5), 0);
        QCOMPARE(::chown(b("/five").c_str(), 1'000'005, 1'000'005), 0);
        // Beyond the guest's ids: it and we see nobody there.
        QCOMPARE(::chown(a("/foreign").c_str(), 70'000, 0), 0);
        QCOMPARE(::chown(b("/foreign").c_str(), 65534, 1'000'000), 0);
        QCOMPARE(::chown(b().c_str(), 1'000'000, 1'000'000), 0);
        const auto found = compare({}, {1'000'000, 65536});
        QVERIFY2(found.empty(), found.empty() ? "" : (found.begin()->first + found.begin()->second).c_str());
    }

    void ownersInAttributesAreTheGuestsOwn()
    {
        // capabilities(7): revision 3 with the guest's root is revision 2 inside.
        const std::string caps("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
        std::string guest = caps + std::string("\x40\x42\x0f\0", 4); // 1000000
        guest[3] = 3;
        QCOMPARE(valueSeen("security.capability", guest, {1'000'000, 65536}, 65536), caps);
        QCOMPARE(valueSeen("security.capability", caps, {}, 65536), caps);
        const std::string list("\x02\0\0\0\x02\0\x06\0\x05\0\0\0\x04\0\x06\0\xff\xff\xff\xff", 20); // user 5, owning group
        std::string ofGuest = list;
        ofGuest.replace(8, 4, std::string("\x45\x42\x0f\0", 4));
        QCOMPARE(valueSeen("system.posix_acl_access", ofGuest, {1'000'000, 65536}, 65536),
                 valueSeen("system.posix_acl_access", list, {}, 65536));
        QCOMPARE(valueSeen("user.x", guest, {1'000'000, 65536}, 65536), guest);
        QCOMPARE(valueSeen("security.capability", "short", {1, 1}, 1), std::string("short"));
    }
};

QTEST_GUILESS_MAIN(TestWalk)
#include "tst_walk.moc"

// The path primitive: what a hostile tree can do with links, and what stays reachable.
#include "kernel/files.h"
#include "kernel/host_path.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "support/verify.h"

#include <QTemporaryDir>
#include <algorithm>

using namespace lxmgr;
using path::Scope;

class tst_path : public QObject
{
    Q_OBJECT
    QTemporaryDir m_dir;
    Fd m_outside, m_root;

private slots:
    void init()
    {
        m_outside = *path::openFolder(m_dir.path().toStdString());
        VERIFY_OK(path::removeTree(m_outside, "root"));
        VERIFY_OK(sys::mkdirat(m_outside, "root", 0755));
        VERIFY_OK(files::replaceVolatile(m_outside, "canary", "outside"));
        m_root = *path::open(m_outside, "root", O_PATH | O_DIRECTORY, Scope::NoSymlink);
        VERIFY_OK(sys::mkdirat(m_root, "etc", 0755));
        VERIFY_OK(files::replaceVolatile(m_root, "canary", "inside"));
        VERIFY_OK(sys::symlinkat("/canary", m_root, "absolute"));
        VERIFY_OK(sys::symlinkat("../../../canary", m_root, "etc/up"));
        VERIFY_OK(sys::symlinkat("/proc/self/root/etc/passwd", m_root, "magic"));
        VERIFY_OK(sys::symlinkat("/etc", m_root, "folder"));
    }

    void linksMeanWhatTheyMeanInside()
    {
        for (const char *name : {"absolute", "etc/up", "/canary", "../../canary", "//canary//"}) {
            const auto fd = path::open(m_root, name, O_RDONLY, Scope::InRoot);
            VERIFY_OK(fd);
            QCOMPARE(*files::readAll(*fd), std::string("inside"));
        }
    }

    void escapesAreRefused()
    {
        for (const char *name : {"absolute", "etc/up", "../canary", "magic"})
            QVERIFY(!path::open(m_root, name, O_RDONLY, Scope::Beneath));
        for (const char *name : {"absolute", "folder", "folder/up"})
            QVERIFY(!path::open(m_root, name, O_RDONLY, Scope::NoSymlink));
        QVERIFY(!path::open(m_root, "magic", O_RDONLY, Scope::InRoot));
    }

    void foldersOfTheHostAreNotLeft()
    {
        const std::string top = m_dir.path().toStdString(), root = top + "/root";
        VERIFY_OK(sys::symlinkat("canary", m_root, "near"));
        for (const char *name : {"/canary", "/near", "/etc", ""})
            VERIFY_OK(path::openOnHost(root + name, root));
        for (const char *name : {"/absolute", "/etc/up", "/magic", "/folder"})
            VERIFY_FAILS(Code::Forbidden, path::openOnHost(root + name, root));
        VERIFY_FAILS(Code::Forbidden, path::openOnHost(top + "/canary", root));
        VERIFY_FAILS(Code::Forbidden, path::openOnHost(root + "-too", root));
        VERIFY_OK(path::openOnHost(root + "/etc/../canary", "")); // its administrator's own affair
        VERIFY_OK(path::openOnHost(root, "/"));
        QCOMPARE(path::openOnHost(root + "/none", root).error().errnum, ENOENT);
    }

    void parentsAreNamedFiles()
    {
        const auto parent = path::openParent(m_root, "/folder/new", Scope::InRoot);
        VERIFY_OK(parent);
        QCOMPARE(parent->name, std::string("new"));
        VERIFY_OK(sys::mkdirat(parent->folder, parent->name, 0700));
        VERIFY_OK(path::open(m_root, "etc/new", O_PATH, Scope::NoSymlink));
        for (const char *name : {"", "/", ".", "..", "etc/..", "etc/."})
            VERIFY_FAILS(Code::Invalid, path::openParent(m_root, name, Scope::InRoot));
    }

    void foldersAreMadeThroughLinksInside()
    {
        VERIFY_OK(path::makeFolders(m_root, "/folder/a/b", 0755, Scope::InRoot));
        VERIFY_OK(path::open(m_root, "etc/a/b", O_PATH | O_DIRECTORY, Scope::NoSymlink));
        VERIFY_OK(path::makeFolders(m_root, "/folder/a/b", 0755, Scope::InRoot)); // again is fine
        QVERIFY(!path::makeFolders(m_root, "folder/x", 0755, Scope::NoSymlink));
        QVERIFY(!path::makeFolders(m_root, "canary/x", 0755, Scope::InRoot));
    }

    void removingFollowsNoLink()
    {
        VERIFY_OK(sys::mkdirat(m_root, "tree", 0700));
        VERIFY_OK(sys::mkdirat(m_root, "tree/deep", 0700));
        VERIFY_OK(sys::symlinkat("/", m_root, "tree/host"));
        VERIFY_OK(sys::symlinkat("../canary", m_root, "tree/deep/up"));
        VERIFY_OK(path::removeTree(m_root, "tree"));
        VERIFY_OK(path::removeTree(m_root, "tree")); // absent is fine
        QCOMPARE(*files::read(m_root, "canary"), std::string("inside"));
        QCOMPARE(*files::read(m_outside, "canary"), std::string("outside"));
        for (const char *name : {"", ".", "..", "etc/up"})
            VERIFY_FAILS(Code::Invalid, path::removeTree(m_root, name));
    }

    void walkingSeesAllOnce()
    {
        QStringList seen;
        VERIFY_OK(path::walk(m_root, [&](const path::Entry &entry) -> Status {
            seen.append(QString::fromStdString(entry.path));
            return {};
        }));
        seen.sort();
        QCOMPARE(seen, (QStringList{"absolute", "canary", "etc", "etc/up", "folder", "magic"}));
    }

    void normalizedPaths()
    {
        QCOMPARE(*path::normalized("/a//./b/"), std::string("a/b"));
        VERIFY_FAILS(Code::Invalid, path::normalized("a/../b"));
    }

    void replacingLeavesNoTemporaryFile()
    {
        VERIFY_OK(files::replace(m_root, "canary", "new", 0640));
        QCOMPARE(*files::read(m_root, "canary"), std::string("new"));
        QCOMPARE(sys::fstatat(m_root, "canary")->st_mode & 07777U, 0640U);
        const auto names = path::list(m_root);
        QVERIFY(std::none_of(names->begin(), names->end(), [](const std::string &name) { return name[0] == '.'; }));
    }
};

QTEST_APPLESS_MAIN(tst_path)
#include "tst_path.moc"

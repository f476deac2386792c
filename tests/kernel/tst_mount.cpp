// Id-mapped overlays, made both ways: of detached layers, and of layers attached in a child for older kernels.
#include "kernel/files.h"
#include "kernel/idmap.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "support/require.h"
#include "support/verify.h"

#include <QDir>
#include <QTemporaryDir>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lxmgr;

class tst_mount : public QObject
{
    Q_OBJECT
    QTemporaryDir m_dir;

    Result<Fd> mapped(const QString &name, const Fd &userns)
    {
        Fd tree = TRY(sys::open_tree(sys::cwd(), m_dir.filePath(name).toStdString(), sys::Recursive::No));
        TRY(sys::mount_setattr(tree, sys::Recursive::No, 0, 0, &userns));
        return tree;
    }

private slots:
    void overlayOfMappedLayersIsWritable_data()
    {
        QTest::addColumn<bool>("inChild");
        QTest::newRow("detached layers") << false;
        QTest::newRow("attached layers") << true;
    }
    void overlayOfMappedLayersIsWritable()
    {
        QFETCH(bool, inChild);
        NEEDS("root", ::geteuid() == 0);
        QDir(m_dir.path()).removeRecursively();
        for (const char *folder : {"lower", "second", "layer/upper", "layer/work"})
            QDir(m_dir.path()).mkpath(m_dir.filePath(folder));
        VERIFY_OK(files::replaceVolatile(*path::openFolder(m_dir.filePath("lower").toStdString()), "file", "top"));
        VERIFY_OK(files::replaceVolatile(*path::openFolder(m_dir.filePath("second").toStdString()), "file", "below"));
        const std::vector<idmap::Range> ranges = {
            {0, 1'000'000, 65536}
        };
        const auto userns = idmap::makeNamespace(ranges, ranges);
        VERIFY_OK(userns);
        std::vector<Fd> lower;
        for (const char *name : {"lower", "second"}) {
            auto tree = mapped(name, *userns);
            VERIFY_OK(tree);
            lower.push_back(std::move(*tree));
        }
        const auto layer = mapped("layer", *userns);
        VERIFY_OK(layer);
        const auto root = inChild ? mount::overlayInChild(lower, &*layer, 1'000'000, 1'000'000, 0)
                                  : mount::overlay(lower, &*layer, 1'000'000, 1'000'000, 0);
        VERIFY_OK(root);
        QCOMPARE(*files::read(*root, "file"), std::string("top"));
        QCOMPARE(sys::fstatat(*root, "file")->st_uid, 1'000'000U);
        // Host root has no name in the mapped layers; the guest's root has.
        VERIFY_OK(sys::fchownat(*root, "file", 1'000'005, 1'000'005));
        QCOMPARE(sys::fstatat(*root, "file")->st_uid, 1'000'005U);
        struct stat info {
        };
        QCOMPARE(::stat(qPrintable(m_dir.filePath("layer/upper/file")), &info), 0);
        QCOMPARE(info.st_uid, 5U);
        QFile mounts("/proc/self/mountinfo");
        QVERIFY(mounts.open(QIODevice::ReadOnly));
        QVERIFY(!mounts.readAll().contains(m_dir.path().toUtf8()));
    }

    void optionsAreParsed()
    {
        const mount::Options options = mount::parseOptions("size=1M,ro,mode=755,");
        QCOMPARE(options.size(), std::size_t(3));
        QCOMPARE(options[1].first, std::string("ro"));
        QCOMPARE(options[1].second, std::string());
        QCOMPARE(options[2].second, std::string("755"));
    }

    void unknownOptionsAreTold()
    {
        NEEDS("root", ::geteuid() == 0);
        const auto made = mount::create("tmpfs",
                                        {
                                            {"nonsense", "1"}
        },
                                        0);
        QVERIFY(!made);
        QVERIFY2(made.error().message.find("nonsense") != std::string::npos, made.error().message.c_str());
    }
};

QTEST_GUILESS_MAIN(tst_mount)
#include "tst_mount.moc"

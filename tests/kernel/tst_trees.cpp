// Root file systems as the monitor mounts them, from layers alone: what a snapshot is, there to be read.
#include "kernel/files.h"
#include "kernel/idmap.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "runtime/trees.h"
#include "support/require.h"
#include "support/verify.h"

#include <QDir>
#include <QTemporaryDir>
#include <unistd.h>

using namespace lxmgr;

class tst_trees : public QObject
{
    Q_OBJECT
private slots:
    void layersWithoutOneToWriteToAreReadOnly_data()
    {
        QTest::addColumn<QStringList>("layers");
        QTest::addColumn<bool>("privileged");
        for (const bool privileged : {false, true}) {
            const char *whose = privileged ? "privileged" : "unprivileged";
            QTest::addRow("one, %s", whose) << QStringList{"bottom"} << privileged;
            QTest::addRow("two, %s", whose) << QStringList{"top", "bottom"} << privileged;
            QTest::addRow("three, %s", whose) << QStringList{"top", "middle", "bottom"} << privileged;
        }
    }
    void layersWithoutOneToWriteToAreReadOnly()
    {
        QFETCH(QStringList, layers);
        QFETCH(bool, privileged);
        NEEDS("root", ::geteuid() == 0);
        QTemporaryDir dir;
        spec::Rootfs rootfs;
        rootfs.kind = spec::Rootfs::Kind::Overlay;
        for (const QString &layer : layers) {
            QVERIFY(QDir().mkpath(dir.filePath(layer)));
            const Fd folder = *path::openFolder(dir.filePath(layer).toStdString());
            VERIFY_OK(files::replaceVolatile(folder, "file", layer.toStdString()));
            VERIFY_OK(files::replaceVolatile(folder, layer.toStdString(), "own"));
            rootfs.lower.push_back(dir.filePath(layer).toStdString());
        }
        runtime::Ids ids;
        Fd userns;
        if (!privileged) {
            ids.uids = ids.gids = {
                {0, 1'000'000, 65536}
            };
            userns = *idmap::makeNamespace(ids.uids, ids.gids);
        }
        runtime::Leftovers leftovers;
        const auto root = runtime::makeRoot(rootfs, ids, userns, leftovers);
        VERIFY_OK(root);
        QCOMPARE(*files::read(*root, "file"), layers.front().toStdString());
        for (const QString &layer : layers)
            QCOMPARE(*files::read(*root, layer.toStdString()), std::string("own"));
        QCOMPARE(sys::fstatat(*root, "file")->st_uid, privileged ? 0U : 1'000'000U);
        const auto written = sys::openat(*root, "file", O_WRONLY);
        QVERIFY(!written);
        QCOMPARE(written.error().errnum, EROFS);
    }
};

QTEST_GUILESS_MAIN(tst_trees)
#include "tst_trees.moc"

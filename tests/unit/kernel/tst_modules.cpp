// Which modules count as there: loaded ones and built-in ones, however their names are spelled.
#include "kernel/modules.h"
#include "support/verify.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>

#include <sys/utsname.h>

using namespace lxmgr;

class TestModules : public QObject
{
    Q_OBJECT
private slots:
    void loadedAndBuiltInOnesAreThere();
    void anUnknownOneIsRefusedByName();
};

void TestModules::loadedAndBuiltInOnesAreThere()
{
    QTemporaryDir folder;
    const std::string root = folder.path().toStdString();
    utsname info{};
    QVERIFY(::uname(&info) == 0);
    const QString modules = folder.path() + "/lib/modules/" + info.release;
    QVERIFY(QDir().mkpath(folder.path() + "/sys/module/ip_tables") && QDir().mkpath(modules));
    QFile builtin(modules + "/modules.builtin");
    QVERIFY(builtin.open(QIODevice::WriteOnly));
    builtin.write("kernel/fs/overlayfs/overlay.ko\nkernel/net/netfilter/xt-mark.ko\n");
    builtin.close();
    for (const char *there : {"ip_tables", "ip-tables", "overlay", "xt_mark", "xt-mark"})
        QVERIFY2(modules::isPresent(there, root), there);
    for (const char *missing : {"tables", "over", "lay", "mark", "ip_tables2"})
        QVERIFY2(!modules::isPresent(missing, root), missing);
}

void TestModules::anUnknownOneIsRefusedByName()
{
    const Status loaded = modules::load("no_such_module_of_lxmgr");
    VERIFY_FAILS(Code::Unsupported, loaded);
    QVERIFY2(QByteArray(loaded.error().message.c_str()).contains("'no_such_module_of_lxmgr'"), loaded.error().message.c_str());
}

QTEST_GUILESS_MAIN(TestModules)
#include "tst_modules.moc"

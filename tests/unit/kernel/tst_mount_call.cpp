// What is made of a guest's mount(2): flags and options that are taken, and those that never are.
#include "kernel/mount_call.h"
#include "support/verify.h"

#include <cerrno>
#include <linux/mount.h>
#include <sys/mount.h>

#include <QtTest/QtTest>

using namespace lxmgr;

namespace
{

std::string textOf(const mount::Options &options)
{
    std::string text;
    for (const auto &[key, value] : options)
        text += (text.empty() ? "" : ",") + key + (value.empty() ? "" : "=" + value);
    return text;
}

constexpr unsigned kAlways = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

} // namespace

class TestMountCall : public QObject
{
    Q_OBJECT
private slots:
    void flagsAndOptionsAreTaken_data()
    {
        QTest::addColumn<QString>("type");
        QTest::addColumn<qulonglong>("flags");
        QTest::addColumn<QString>("data");
        QTest::addColumn<QString>("options");
        QTest::addColumn<unsigned>("attributes");
        const auto row = [](const char *name, const char *type, qulonglong flags, const char *data, const char *options, unsigned attributes) {
            QTest::newRow(name) << type << flags << data << options << attributes;
        };
        row("plain", "squashfs", 0, "", "", kAlways | MOUNT_ATTR_RELATIME);
        row("its number is not looked at", "xfs", 0, "", "nouuid", kAlways);
        row("said already", "xfs", 0, "nouuid", "nouuid", kAlways);
        row("never a panic", "ext4", 0, "", "errors=remount-ro", kAlways);
        row("its own errors", "ext4", 0, "errors=continue", "errors=continue", kAlways);
        row("read-only", "ext4", MS_RDONLY, "noload", "ro,noload,errors=remount-ro", kAlways | MOUNT_ATTR_RDONLY);
        row("times", "squashfs", MS_NOATIME | MS_NODIRATIME | MS_LAZYTIME, "", "lazytime", kAlways | MOUNT_ATTR_NOATIME | MOUNT_ATTR_NODIRATIME);
        row("strict", "squashfs", MS_STRICTATIME | MS_NOATIME, "", "", kAlways | MOUNT_ATTR_STRICTATIME);
        row("in step", "squashfs", MS_SYNCHRONOUS | MS_DIRSYNC | MS_NOEXEC, "threads=1", "sync,dirsync,threads=1", kAlways | MOUNT_ATTR_NOEXEC);
        row("of old programs", "squashfs", 0xC0ED0000 | MS_RDONLY, "", "ro", kAlways | MOUNT_ATTR_RDONLY);
        row("unknown flags", "squashfs", 1ULL << 40, "", "", kAlways);
    }

    void flagsAndOptionsAreTaken()
    {
        QFETCH(QString, type);
        QFETCH(qulonglong, flags);
        QFETCH(QString, data);
        QFETCH(QString, options);
        QFETCH(unsigned, attributes);
        const auto plan = mount::planCall(type.toStdString(), flags, data.toStdString());
        VERIFY_OK(plan);
        QCOMPARE(QString::fromStdString(textOf(plan->options)), options);
        QCOMPARE(plan->attributes, attributes);
        QCOMPARE(plan->readOnly, (attributes & MOUNT_ATTR_RDONLY) != 0);
    }

    void theLastWordSaysWhetherTheDeviceIsWrittenTo()
    {
        const std::tuple<unsigned long, const char *, bool> cases[] = {{0, "ro", true},        {0, "rw", false},         {MS_RDONLY, "", true},
                                                                       {MS_RDONLY, "rw", false}, {0, "ro,noload,rw", false}, {0, "rw,ro", true}};
        for (const auto &[flags, data, readOnly] : cases) {
            const auto plan = mount::planCall("ext4", flags, data);
            VERIFY_OK(plan);
            QCOMPARE(plan->readOnly, readOnly);
        }
    }

    void onlyNewMountsAreMeant()
    {
        for (const unsigned long flags : std::initializer_list<unsigned long>{0, MS_RDONLY, MS_NOSUID | MS_NODEV, 0xC0ED0000, 0xC0ED0000 | MS_RDONLY})
            QVERIFY2(mount::makesNewMount(flags), QByteArray::number(static_cast<qulonglong>(flags), 16));
        for (const unsigned long flags : std::initializer_list<unsigned long>{MS_REMOUNT, MS_BIND, MS_MOVE, MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, 0xC0ED0000 | MS_BIND})
            QVERIFY2(!mount::makesNewMount(flags), QByteArray::number(static_cast<qulonglong>(flags), 16));
    }

    void whatReachesFurtherIsRefused()
    {
        const std::pair<const char *, const char *> cases[] = {
            {"ext4", "errors=panic"},         {"ext2", "ro,errors=panic"},     {"squashfs", "errors=panic"},      {"ext4", "journal_dev=0x700"},
            {"ext3", "journal_path=/dev/sda"}, {"xfs", "logdev=/dev/sda"},      {"xfs", "rtdev=/dev/sda"},         {"xfs", "source=/dev/sda"},
            {"ext4", "context=system_u:x"},   {"ext4", "rootcontext=x"},       {"ext4", "smackfsroot=x"},         {"ext4", "acl,fscontext=x"},
        };
        for (const auto &[type, data] : cases) {
            const auto plan = mount::planCall(type, 0, data);
            QVERIFY2(!plan && plan.error().errnum == EPERM, data);
        }
        const auto other = mount::planCall("btrfs", 0, "");
        QVERIFY(!other && other.error().errnum == ENODEV);
    }

    void programsGetThemAsText()
    {
        QCOMPARE(mount::optionText(0, ""), std::string());
        QCOMPARE(mount::optionText(MS_RDONLY | MS_NOATIME, "uid=0"), std::string("ro,noatime,uid=0"));
    }
};

QTEST_APPLESS_MAIN(TestMountCall)
#include "tst_mount_call.moc"

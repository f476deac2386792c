// What the programs of LVM print and say.
#include "storage/lvm_command.h"
#include "storage/lvm_group.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::storage;

class TestLvm : public QObject
{
    Q_OBJECT
private slots:
    void volumesAreRead();
    void brokenListsAreRefused_data();
    void brokenListsAreRefused();
    void wordsHaveMeanings_data();
    void wordsHaveMeanings();
    void namesAreChecked_data();
    void namesAreChecked();
    void mapperNamesComeApart_data();
    void mapperNamesComeApart();
    void treesHaveIds();
};

void TestLvm::volumesAreRead()
{
    const auto volumes = lvm::parseVolumes("  lxmgr-0123456789abcdef|10737418240|0.07||lxmgr-thin|\n"
                                           "  lxmgr-pool|1073741824|3.25||lxmgr-thin|lxmgr,mine\n"
                                           "  lxmgr-thin|4282384384|50.00|11.82||lxmgr\n"
                                           "  root|1073741824||||\n");
    VERIFY_OK(volumes);
    QCOMPARE(volumes->size(), std::size_t{4});
    QCOMPARE((*volumes)[0].name, std::string("lxmgr-0123456789abcdef"));
    QCOMPARE((*volumes)[0].size.count, std::uint64_t{10} << 30);
    QCOMPARE((*volumes)[0].pool, std::string("lxmgr-thin"));
    QVERIFY((*volumes)[0].tags.empty());
    QCOMPARE((*volumes)[1].tags, (std::vector<std::string>{"lxmgr", "mine"}));
    QCOMPARE((*volumes)[2].used().count, std::uint64_t{4282384384} / 2);
    QCOMPARE((*volumes)[2].metadataPercent, 11.82);
    QCOMPARE((*volumes)[3].used().count, std::uint64_t{0}); // not thin
    QVERIFY(lvm::parseVolumes("")->empty());
}

void TestLvm::brokenListsAreRefused_data()
{
    QTest::addColumn<QByteArray>("text");
    QTest::newRow("fewer columns") << QByteArray("a|1|2|3|b\n");
    QTest::newRow("more columns") << QByteArray("a|1|2|3|b|c|d\n");
    QTest::newRow("no name") << QByteArray("|1|2|3|b|c\n");
    QTest::newRow("size") << QByteArray("a|1g|||b|\n");
    QTest::newRow("negative size") << QByteArray("a|-1|||b|\n");
    QTest::newRow("percent") << QByteArray("a|1|101||b|\n");
    QTest::newRow("no percent") << QByteArray("a|1|nan||b|\n");
    QTest::newRow("message") << QByteArray("WARNING: something\n");
}

void TestLvm::brokenListsAreRefused()
{
    QFETCH(QByteArray, text);
    VERIFY_FAILS(Code::Corrupt, lvm::parseVolumes(text.toStdString()));
}

void TestLvm::wordsHaveMeanings_data()
{
    QTest::addColumn<QByteArray>("said");
    QTest::addColumn<int>("code");
    QTest::addColumn<QByteArray>("told");
    const auto row = [](const char *tag, const char *said, Code code, const char *told) {
        QTest::newRow(tag) << QByteArray(said) << int(code) << QByteArray(told);
    };
    row("missing", "  Failed to find logical volume \"vg0/a\"\n", Code::NotFound, "Failed to find logical volume \"vg0/a\"");
    row("no group", "  Volume group \"vg0\" not found\n  Cannot process volume group vg0\n", Code::NotFound, "; Cannot");
    row("no pool", "  Pool nopool not found in Volume group vg0.\n", Code::NotFound, "nopool");
    row("twice", "  Logical Volume \"a\" already exists in volume group \"vg0\"\n", Code::AlreadyExists, "already");
    row("mounted", "  Logical volume vg0/a contains a filesystem in use.\n", Code::WrongState, "filesystem in use");
    row("open", "  Logical volume vg0/a in use.\n", Code::WrongState, "in use");
    row("full group", "  Volume group \"vg0\" has insufficient free space (0 extents): 1 required.\n", Code::NoSpace, "0 extents");
    row("no mapper", "  /dev/mapper/control: open failed: No such device\n", Code::Unsupported, "modprobe dm_mod");
    row("warnings aside", "  WARNING: Sum of all sizes\n  Something broke.\n", Code::Internal, "lvcreate: Something broke.");
    row("silent", "", Code::Internal, "without a word");
}

void TestLvm::wordsHaveMeanings()
{
    QFETCH(QByteArray, said);
    QFETCH(int, code);
    QFETCH(QByteArray, told);
    const Error error = lvm::errorOf("lvcreate", said.toStdString());
    QCOMPARE(int(error.code), code);
    QVERIFY2(error.message.find(told.toStdString()) != std::string::npos, error.message.c_str());
    QVERIFY2(error.message.find("WARNING") == std::string::npos, error.message.c_str());
}

void TestLvm::namesAreChecked_data()
{
    QTest::addColumn<QByteArray>("name");
    QTest::addColumn<bool>("good");
    for (const char *name : {"vg0", "Main.group", "a-b_c+d"})
        QTest::newRow(name) << QByteArray(name) << true;
    for (const char *name : {"", "-a", ".", "..", "a/b", "a b", "a|b", "--help", "a\nb"})
        QTest::newRow(name) << QByteArray(name) << false;
    QTest::newRow("long") << QByteArray(101, 'a') << false;
}

void TestLvm::namesAreChecked()
{
    QFETCH(QByteArray, name);
    QFETCH(bool, good);
    QCOMPARE(bool(lvm::checkName("volume group", name.toStdString())), good);
}

void TestLvm::mapperNamesComeApart_data()
{
    QTest::addColumn<QByteArray>("text");
    QTest::addColumn<QByteArray>("group");
    QTest::addColumn<QByteArray>("volume");
    QTest::newRow("plain") << QByteArray("vg0-root") << QByteArray("vg0") << QByteArray("root");
    QTest::newRow("hyphens") << QByteArray("my--vg-lxmgr--pool") << QByteArray("my-vg") << QByteArray("lxmgr-pool");
    QTest::newRow("two") << QByteArray("a----b-c") << QByteArray("a--b") << QByteArray("c");
    for (const char *bad : {"", "vg0", "vg0-", "-root", "a-b-c", "luks--1"})
        QTest::newRow(bad) << QByteArray(bad) << QByteArray() << QByteArray();
}

void TestLvm::mapperNamesComeApart()
{
    QFETCH(QByteArray, text);
    QFETCH(QByteArray, group);
    QFETCH(QByteArray, volume);
    const auto parts = lvm::parseMapperName(text.toStdString());
    QCOMPARE(bool(parts), !group.isEmpty());
    if (parts)
        QCOMPARE(*parts, std::pair(group.toStdString(), volume.toStdString()));
}

void TestLvm::treesHaveIds()
{
    QCOMPARE(lvm::idOf(lvm::volumeOf("0123456789abcdef")), std::optional<std::string>("0123456789abcdef"));
    for (const char *other : {"lxmgr-pool", "lxmgr-thin", "lxmgr-0123456789ABCDEF", "lxmgr-0123456789abcde", "root", ""})
        QVERIFY(!lvm::idOf(other));
}

QTEST_GUILESS_MAIN(TestLvm)
#include "tst_lvm.moc"

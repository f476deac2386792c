// metadata.yaml: what is read, what is refused and where, and that writing it gives the same again.
#include "images/metadata.h"

#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::images;

class TestMetadata : public QObject
{
    Q_OBJECT
private slots:
    void usualFileIsRead()
    {
        const auto metadata = parseMetadata("architecture: amd64\n"
                                            "creation_date: 1700000000\n"
                                            "expiry_date: 1800000000\n"
                                            "properties:\n  os: Debian\n  release: trixie\n  requirements.cgroup: v1\n  serial: 20260101\n"
                                            "templates:\n"
                                            "  /etc/hostname:\n    when: [create, copy, rename]\n    template: hostname.tpl\n"
                                            "    create_only: true\n    properties: {a: b}\n    mode: \"0600\"\n    uid: 5\n"
                                            "of_the_future: {x: [1, 2]}\n");
        VERIFY_OK(metadata);
        QCOMPARE(metadata->architecture, std::string("x86_64"));
        QCOMPARE(metadata->creationDate, std::int64_t(1700000000));
        QCOMPARE(metadata->properties.at("serial"), std::string("20260101"));
        QCOMPARE(metadata->templates.size(), std::size_t(1));
        const TemplateRule &rule = metadata->templates.front();
        QCOMPARE(rule.target, std::string("/etc/hostname"));
        QCOMPARE(rule.when, (std::vector<std::string>{"create", "copy", "rename"}));
        QVERIFY(rule.createOnly);
        QCOMPARE(rule.mode.value_or(0), 0600U);
        QCOMPARE(rule.uid.value_or(0), 5U);
        QVERIFY(!rule.gid);
        const auto again = parseMetadata(formatMetadata(*metadata));
        VERIFY_OK(again);
        QCOMPARE(formatMetadata(*again), formatMetadata(*metadata));
    }

    void oddTextsSurvive()
    {
        Metadata metadata;
        metadata.architecture = "x86_64";
        metadata.properties = {{"description", "a: \"b\" # c\nd\te\\"}, {"empty", ""}, {"yes", "no"}, {"gr\xc3\xbc\xc3\x9f", "~"}};
        const auto again = parseMetadata(formatMetadata(metadata));
        VERIFY_OK(again);
        QVERIFY(again->properties == metadata.properties);
    }

    void badFilesSayWhere_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("where");
        QTest::newRow("not yaml") << QByteArray("architecture: [x\n") << QByteArray("metadata.yaml:");
        QTest::newRow("not a map") << QByteArray("- a\n") << QByteArray("must be a map");
        QTest::newRow("no architecture") << QByteArray("creation_date: 1\n") << QByteArray("'architecture' is missing");
        QTest::newRow("architecture a list") << QByteArray("architecture: [a]\n") << QByteArray("metadata.yaml:1:15:");
        QTest::newRow("date") << QByteArray("architecture: a\ncreation_date: soon\n") << QByteArray("metadata.yaml:2:16:");
        QTest::newRow("trigger") << QByteArray("architecture: a\ntemplates:\n  /x: {when: [boot], template: t}\n") << QByteArray("metadata.yaml:3:15:");
        QTest::newRow("relative target") << QByteArray("architecture: a\ntemplates:\n  x: {template: t}\n") << QByteArray("absolute path");
        QTest::newRow("target with ..") << QByteArray("architecture: a\ntemplates:\n  /a/../b: {template: t}\n") << QByteArray("'..'");
        QTest::newRow("source outside") << QByteArray("architecture: a\ntemplates:\n  /b: {template: ../t}\n") << QByteArray("one file");
        QTest::newRow("source missing") << QByteArray("architecture: a\ntemplates:\n  /b: {when: [start]}\n") << QByteArray("names no file");
        QTest::newRow("mode") << QByteArray("architecture: a\ntemplates:\n  /b: {template: t, mode: 99999}\n") << QByteArray("'mode'");
        QTest::newRow("too long") << QByteArray("architecture: a\n#") + QByteArray(1 << 20, 'x') << QByteArray("1 MiB");
        QTest::newRow("too deep") << QByteArray(100000, '[') << QByteArray("metadata.yaml");
    }
    void badFilesSayWhere()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, where);
        const auto metadata = parseMetadata(text.toStdString());
        VERIFY_FAILS(Code::Invalid, metadata);
        QVERIFY2(QByteArray::fromStdString(metadata.error().message).contains(where), metadata.error().message.c_str());
    }

    void osReleaseIsUnderstood()
    {
        const Metadata metadata = guessMetadata("# x\nNAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.1\nPRETTY_NAME='Alpine Linux v3.20'\n", "arm64", 5);
        QCOMPARE(metadata.architecture, std::string("aarch64"));
        QCOMPARE(metadata.properties.at("os"), std::string("alpine"));
        QCOMPARE(metadata.properties.at("release"), std::string("3.20.1"));
        QCOMPARE(metadata.properties.at("description"), std::string("Alpine Linux v3.20"));
        QCOMPARE(guessMetadata("", "x86_64", 5).properties.at("os"), std::string("linux"));
    }
};

QTEST_APPLESS_MAIN(TestMetadata)
#include "tst_metadata.moc"

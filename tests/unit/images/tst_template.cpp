// What is read of a definition, and what is refused by name with its place.
#include "images/template.h"
#include "support/verify.h"

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{

const std::string kSmall = "image:\n  distribution: debian\nsource:\n  downloader: debootstrap\n";

Result<Template> parsed(const std::string &more) { return parseTemplate("t", kSmall + more, "t.yaml"); }

QByteArray messageOf(const std::string &more)
{
    const auto result = parsed(more);
    return result ? QByteArray("accepted") : QByteArray::fromStdString(result.error().message);
}

} // namespace

class TestTemplate : public QObject
{
    Q_OBJECT
private slots:
    void aSmallDefinitionGetsTheDistributionsDefaults()
    {
        const auto definition = parsed("");
        VERIFY_OK(definition);
        QCOMPARE(definition->source.url, std::string("http://deb.debian.org/debian"));
        QCOMPARE(definition->keyrings, std::vector<std::string>{"debian-archive-keyring.gpg"});
        QCOMPARE(definition->variants, std::vector<std::string>{"default"});
    }

    void whatIsNotCarriedOutIsRefusedByNameAndPlace_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("message");
        QTest::newRow("section") << QByteArray("hooks: {}\n")
                                 << QByteArray("t.yaml:5:1: not supported: section 'hooks'");
        QTest::newRow("misspelt section") << QByteArray("file: []\n") << QByteArray("did you mean 'files'?");
        QTest::newRow("generator") << QByteArray("files:\n- path: /x\n  generator: copy\n")
                                   << QByteArray("t.yaml:6:3: not supported: generator 'copy'");
        QTest::newRow("key of a file") << QByteArray("files:\n- path: /x\n  generator: dump\n  source: /etc/shadow\n")
                                       << QByteArray("t.yaml:8:3: not supported: key 'source' in 'files'");
        QTest::newRow("manager") << QByteArray("packages:\n  manager: dnf\n")
                                 << QByteArray("t.yaml:6:12: not supported: package manager 'dnf'");
        QTest::newRow("manager of its own")
            << QByteArray("packages:\n  custom_manager: {}\n") << QByteArray("key 'custom_manager' in 'packages'");
        QTest::newRow("trigger") << QByteArray("actions:\n- trigger: pre-unpack\n  action: x\n")
                                 << QByteArray("trigger 'pre-unpack'");
        QTest::newRow("mapping") << QByteArray("mappings:\n  architecture_map: plan9\n")
                                 << QByteArray("architecture_map 'plan9'");
    }
    void whatIsNotCarriedOutIsRefusedByNameAndPlace()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, message);
        VERIFY_FAILS(Code::Unsupported, parsed(text.toStdString()));
        QVERIFY2(messageOf(text.toStdString()).contains(message), messageOf(text.toStdString()));
    }

    void unsignedArchivesAreRefused()
    {
        const auto result = parseTemplate("t", kSmall + "  skip_verification: true\n", "t.yaml");
        VERIFY_FAILS(Code::Unsupported, result);
        QVERIFY(QByteArray::fromStdString(result.error().message).contains("t.yaml:5:22"));
        VERIFY_OK(parseTemplate("t", kSmall + "  skip_verification: false\n", "t.yaml"));
    }

    void brokenYamlHasAPlace()
    {
        VERIFY_FAILS(Code::Invalid, parsed("files: [\n"));
        QVERIFY2(messageOf("files: [\n").startsWith("t.yaml:6:1: "), messageOf("files: [\n"));
        VERIFY_FAILS(Code::Invalid, parseTemplate("t", "just words", "t.yaml"));
        VERIFY_FAILS(Code::Invalid, parseTemplate("t", std::string(2 << 20, '#'), "t.yaml"));
    }

    void wrongValuesAreInvalid_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::newRow("mode") << QByteArray("files:\n- path: /x\n  generator: dump\n  mode: 0999\n");
        QTest::newRow("uid") << QByteArray("files:\n- path: /x\n  generator: dump\n  uid: 70000\n");
        QTest::newRow("path") << QByteArray("files:\n- path: x\n  generator: dump\n");
        QTest::newRow("no path") << QByteArray("files:\n- generator: dump\n");
        QTest::newRow("template name") << QByteArray("files:\n- path: /x\n  generator: template\n  name: ../x\n");
        QTest::newRow("when") << QByteArray(
            "files:\n- path: /x\n  generator: template\n  name: x\n  template:\n    when: [later]\n");
        QTest::newRow("option as package")
            << QByteArray("packages:\n  manager: apt\n  sets:\n  - packages: [--force]\n    action: install\n");
        QTest::newRow("action of a set") << QByteArray(
            "packages:\n  manager: apt\n  sets:\n  - packages: [a]\n    action: purge\n");
        QTest::newRow("repository name") << QByteArray(
            "packages:\n  manager: apt\n  repositories:\n  - name: a/b\n    url: x\n");
        QTest::newRow("no manager") << QByteArray("packages:\n  update: true\n");
    }
    void wrongValuesAreInvalid()
    {
        QFETCH(QByteArray, text);
        VERIFY_FAILS(Code::Invalid, parsed(text.toStdString()));
    }

    void entriesForVirtualMachinesOnlyAreLeftOut()
    {
        const auto definition = parsed(
            "files:\n- generator: fstab\n  types: [vm]\n- name: agent\n  generator: incus-agent\n  types: [vm]\n"
            "- path: /x\n  generator: dump\n  types: [container, vm]\n"
            "packages:\n  manager: apt\n  sets:\n  - packages: [grub-efi]\n    action: install\n    types: [vm]\n"
            "actions:\n- trigger: post-files\n  action: update-grub\n  types: [vm]\n");
        VERIFY_OK(definition);
        QCOMPARE(definition->files.size(), std::size_t(1));
        QVERIFY(definition->packages.empty());
        QVERIFY(definition->actions.empty());
    }

    void olderSpellingsAreRead()
    {
        const auto definition = parsed("packages:\n  manager: apt\n  install: [vim]\n  remove: [nano]\nactions:\n  "
                                       "post-files: |-\n    #!/bin/sh\n");
        VERIFY_OK(definition);
        QCOMPARE(definition->packages.size(), std::size_t(2));
        QVERIFY(definition->packages[1].remove);
        QCOMPARE(definition->actions.at(0).trigger, std::string("post-files"));
    }

    void variantsAreThoseThatEntriesAreLimitedTo()
    {
        const auto definition = parsed("files:\n- path: /x\n  generator: dump\n  variants: [cloud]\n- path: /y\n  "
                                       "generator: dump\n  variants: [default, cloud]\n");
        VERIFY_OK(definition);
        QCOMPARE(definition->variants, (std::vector<std::string>{"default", "cloud"}));
    }

    void overridesSayOnlyWhatTheyMay()
    {
        auto definition = parsed("");
        VERIFY_OK(definition);
        const std::string before = definition->digest;
        VERIFY_OK(applyOverrides(*definition, "mirror: http://m/debian\nsuite: sid\nkeys:\n- AAAA\n", "o.yaml"));
        QCOMPARE(definition->mirror, std::string("http://m/debian"));
        QCOMPARE(definition->suite, std::string("sid"));
        QVERIFY(definition->ownKeys);
        QVERIFY(definition->digest != before);
        const auto refused = applyOverrides(*definition, "mirrors: x\n", "o.yaml");
        VERIFY_FAILS(Code::Unsupported, refused);
        QVERIFY(QByteArray::fromStdString(refused.error().message).startsWith("o.yaml:1:1: "));
    }
};

QTEST_GUILESS_MAIN(TestTemplate)
#include "tst_template.moc"

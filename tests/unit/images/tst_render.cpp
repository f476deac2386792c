// The template language: what images in the wild write, and what a hostile one may not do.
#include "images/render.h"

#include "support/verify.h"

#include <QtCore/QDir>
#include <QtCore/QFile>
#include <QtCore/QTemporaryDir>
#include <fcntl.h>
#include <unistd.h>

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{

RenderContext context()
{
    RenderContext made;
    made.trigger = "create";
    made.instance = {{"name", "web1"}, {"architecture", "x86_64"}, {"privileged", "false"}};
    made.config = {{"user.data", "#cloud-config\n"}, {"limits.cpu", "2"}, {"user.empty", ""}};
    made.devices = {{"eth0", {{"type", "nic"}}}, {"root", {{"type", "disk"}}}};
    return made;
}

} // namespace

class TestRender : public QObject
{
    Q_OBJECT
private slots:
    void textsRender_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("result");
        const auto row = [](const char *text, const char *result) { QTest::newRow(text) << QByteArray(text) << QByteArray(result); };
        row("plain { text } {", "plain { text } {");
        row("", "");
        row("{{ instance.name }}\n", "web1\n");
        row("{{ container.name }}{{ trigger }}{{ path }}", "web1create/etc/x");
        row("{{ nothing.at.all }}", "");
        row("{{ properties.default }}", "dhcp");
        row("a{# {{ no }} #}b", "ab");
        row("{{ config_get(\"user.data\", \"\") }}", "#cloud-config\n");
        row("{{ config_get(\"user.none\", properties.default) }}", "dhcp");
        row("{{ config_get('user.none') }}", "");
        row("{{ config[\"limits.cpu\"] }}", "2");
        row("{% if config_get(\"user.network\", \"\") == \"\" %}version: 1{% else %}other{% endif %}", "version: 1");
        row("{% if not config_get('user.empty','') and instance.name != 'x' %}y{% endif %}", "y");
        row("{% if 1 > 2 %}a{% elif 'e' in instance.name %}b{% else %}c{% endif %}", "b");
        row("{% if 'q' not in instance.name %}a{% endif %}", "a");
        row("{% if config['limits.cpu'] >= 2 %}many{% endif %}", "many");
        row("{% for name, device in devices %}{{ name }}={{ device.type }};{% endfor %}", "eth0=nic;root=disk;");
        row("{% for key in config %}{{ forloop.Counter }}{{ key }} {% endfor %}", "1limits.cpu 2user.data 3user.empty ");
        row("{% for x in nothing %}a{% empty %}none{% endfor %}", "none");
        row("{% for x in 'c,a'|split:',' reversed %}{{ x }}{% endfor %}", "ac");
        row("{{ instance.name|upper }}{{ ''|default:'x' }}{{ 'abc'|length }}{{ 'abc'|capfirst }}", "WEB1x3Abc");
        row("{{ 'a,b'|split:','|join:'-' }}", "a-b");
        row("{{ ' x '|trim }}|{{ true|yesno:'on,off' }}", "x|on");
        row("{{ 1 + 2 * 3 - -4 }}{{ 7 / 2 }}{{ 7 % 4 }}", "1133");
        row("{{ 'a' + 1 }}", "a1");
        row("{% set x = 'y' %}{{ x }}", "y");
        row("{% autoescape off %}<{{ instance.name }}>{% endautoescape %}", "<web1>");
        row("a \n {%- if true -%} \n b {% endif %}", "ab ");
        row("{{ \"{{ not a tag }}\" }}", "{{ not a tag }}");
        row("{{ 'it\\'s \\n' }}", "it's \n");
    }
    void textsRender()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, result);
        const auto rendered = renderText(text.toStdString(), context(), "/etc/x", {{"default", "dhcp"}});
        VERIFY_OK(rendered);
        QCOMPARE(QByteArray::fromStdString(*rendered), result);
    }

    void badTextsSayWhere_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("why");
        const auto row = [](const char *text, const char *why) { QTest::newRow(text) << QByteArray(text) << QByteArray(why); };
        row("a\n  {{ x", "line 2, column 3");
        row("{% include \"/etc/shadow\" %}", "'include' does not exist");
        row("{% import 'x' %}", "does not exist");
        row("{% extends 'x' %}", "does not exist");
        row("{% ssi '/etc/passwd' %}", "does not exist");
        row("{% if x %}", "has no 'endif'");
        row("{% endif %}", "does not exist");
        row("{% for x in y %}", "has no 'endfor'");
        row("{% for in y %}", "line 1");
        row("{{ }}", "expression is missing");
        row("{{ a b }}", "not expected");
        row("{{ x|nofilter }}", "'nofilter' does not exist");
        row("{{ open('/etc/passwd') }}", "'open' does not exist");
        row("{{ config_get() }}", "config_get takes");
        row("{{ 1 / 0 }}", "no number");
        row("{{ 'abc }}", "closing quote");
        row("{{ ; }}", "not understood");
        row("{# x", "no '#}'");
        row("{{ 9223372036854775807 + 1 }}", "no number");
    }
    void badTextsSayWhere()
    {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, why);
        const auto rendered = renderText(text.toStdString(), context(), "/etc/x", {});
        VERIFY_FAILS(Code::Invalid, rendered);
        QVERIFY2(QByteArray::fromStdString(rendered.error().message).contains(why), rendered.error().message.c_str());
        QVERIFY(rendered.error().message.starts_with("line "));
    }

    void nothingRunsForever_data()
    {
        QTest::addColumn<QByteArray>("text");
        QByteArray loops = "{% set l = 'a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a'|split:',' %}";
        QByteArray ends;
        for (int i = 0; i < 10; ++i) {
            loops += "{% for i" + QByteArray::number(i) + " in l %}";
            ends += "{% endfor %}";
        }
        QTest::newRow("nested loops") << loops + "x" + ends;
        QTest::newRow("doubling") << QByteArray("{% set x = 'aaaaaaaa' %}") + QByteArray("{% set x = x + x %}").repeated(100);
        QTest::newRow("much output") << "{% set x = '" + QByteArray(4096, 'a') + "' %}" + QByteArray("{{ x }}").repeated(1000);
        QTest::newRow("deep expression") << "{{ " + QByteArray(10000, '(') + "1" + QByteArray(10000, ')') + " }}";
        QTest::newRow("deep nots") << "{{ " + QByteArray("not ").repeated(10000) + "1 }}";
        QTest::newRow("deep minuses") << "{{ " + QByteArray("-").repeated(10000) + "1 }}";
        QTest::newRow("deep blocks") << QByteArray("{% if 1 %}").repeated(10000) + QByteArray("{% endif %}").repeated(10000);
        QTest::newRow("long") << QByteArray((1 << 20) + 1, 'a');
    }
    void nothingRunsForever()
    {
        QFETCH(QByteArray, text);
        VERIFY_FAILS(Code::Invalid, renderText(text.toStdString(), context(), "/etc/x", {}));
    }

    void rulesOfTheTriggerAreRendered()
    {
        QTemporaryDir folder;
        QVERIFY(QDir(folder.path()).mkdir("templates"));
        QFile file(folder.filePath("templates/hostname.tpl"));
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write("{{ instance.name }}\n");
        file.close();
        Metadata metadata;
        metadata.templates = {{"/etc/hostname", {"create", "copy"}, true, "hostname.tpl", {}, {}, {}, 0600U},
                              {"/etc/other", {"start"}, false, "missing.tpl", {}, {}, {}, {}}};
        const Fd image(::open(folder.path().toLocal8Bit(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        RenderContext now = context();
        const auto rendered = renderTemplates(metadata, image, now);
        VERIFY_OK(rendered);
        QCOMPARE(rendered->size(), std::size_t(1));
        QCOMPARE(rendered->front().content, std::string("web1\n"));
        QVERIFY(rendered->front().createOnly);
        QCOMPARE(rendered->front().mode, 0600U);
        now.trigger = "start";
        const auto missing = renderTemplates(metadata, image, now);
        QVERIFY(!missing && missing.error().message.find("missing.tpl") != std::string::npos);
    }

    void linksAreNotRead()
    {
        QTemporaryDir folder;
        QVERIFY(QDir(folder.path()).mkdir("templates"));
        QVERIFY(QFile::link("/etc/passwd", folder.filePath("templates/t")));
        Metadata metadata;
        metadata.templates = {{"/x", {"create"}, false, "t", {}, {}, {}, {}}};
        const Fd image(::open(folder.path().toLocal8Bit(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        QVERIFY(!renderTemplates(metadata, image, context()));
    }
};

QTEST_APPLESS_MAIN(TestRender)
#include "tst_render.moc"

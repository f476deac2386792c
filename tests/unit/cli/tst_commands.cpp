// The command table: every row is complete, and what users type finds its row.
#include "cli/command.h"

#include "base/text.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "support/verify.h"

#include <set>

using namespace lxmgr;
using namespace lxmgr::cli;

namespace
{

std::vector<std::string> line(const char *text) { return words(text); }

} // namespace

class TestCommands : public QObject
{
    Q_OBJECT
private slots:
    void everyCommandHasSummaryExampleAndHelp()
    {
        for (const Command &command : commands()) {
            const std::string path(command.path);
            QVERIFY2(!command.summary.empty() && command.summary.size() < 75, path.c_str());
            QVERIFY2(!examplesOf(command).empty(), path.c_str());
            const std::string help = helpText(command.path);
            QVERIFY2(help.find(usageLine(command)) == 0, path.c_str());
            for (const Flag &flag : flagsOf(command)) {
                QVERIFY2(!flag.help.empty() && flag.help.ends_with('.'),
                         (path + " " + std::string(flag.names)).c_str());
                QVERIFY2(flag.names.find("--") != std::string_view::npos, path.c_str());
                QVERIFY2(help.find(flagUsage(flag)) != std::string::npos, path.c_str());
            }
        }
    }
    void pathsAndFlagsAreUnique()
    {
        std::set<std::string> paths;
        for (const Command &command : commands()) {
            const std::string parent(command.path.substr(0, command.path.size() - lastWord(command.path).size()));
            std::vector<std::string> names = split(command.aliases, ',');
            names.emplace_back(lastWord(command.path));
            for (const std::string &name : names)
                QVERIFY2(paths.insert(parent + name).second, (parent + name).c_str());
            std::set<std::string> flags;
            for (const std::span<const Flag> list : {flagsOf(command), globalFlags()})
                for (const Flag &flag : list)
                    for (const std::string &name : split(flag.names, ','))
                        QVERIFY2(flags.insert(name).second, (std::string(command.path) + " " + name).c_str());
        }
    }
    void everyExampleParses()
    {
        for (const Command &command : commands()) {
            for (const Example &example : examplesOf(command)) {
                // As a shell would: up to a redirection, behind a pipe, quotes taken away.
                std::string text(example.line);
                text = text.substr(text.find("lxmgr ") + 6);
                text = text.substr(0, text.find_first_of("<>|"));
                std::erase(text, '\'');
                const auto invocation = parseCommandLine(line(text.c_str()));
                QVERIFY2(invocation.has_value(),
                         (std::string(example.line) + ": " + (invocation ? "" : invocation.error().message)).c_str());
                QVERIFY2(invocation->command == &command, std::string(example.line).c_str());
            }
        }
    }
    void aliasesFindTheirCommand_data()
    {
        QTest::addColumn<QByteArray>("typed");
        QTest::addColumn<QByteArray>("path");
        QTest::newRow("init") << QByteArray("init debian c1") << QByteArray("create");
        QTest::newRow("ls") << QByteArray("ls") << QByteArray("list");
        QTest::newRow("rm") << QByteArray("rm c1") << QByteArray("delete");
        QTest::newRow("nested") << QByteArray("image alias ls") << QByteArray("image alias list");
        QTest::newRow("cancel") << QByteArray("operation cancel x") << QByteArray("operation delete");
        QTest::newRow("version flag") << QByteArray("--version") << QByteArray("version");
        QTest::newRow("global flags first") << QByteArray("--debug --project p -q list") << QByteArray("list");
    }
    void aliasesFindTheirCommand()
    {
        QFETCH(QByteArray, typed);
        QFETCH(QByteArray, path);
        const auto invocation = parseCommandLine(line(typed.constData()));
        VERIFY_OK(invocation);
        QCOMPARE(QByteArray::fromStdString(std::string(invocation->command->path)), path);
    }
    void flagsAreReadAsPeopleWriteThem()
    {
        const auto invocation =
            parseCommandLine({"launch", "debian", "web1", "-c", "limits.cpu=2", "--config=limits.memory=1GiB",
                              "-cuser.a=b=c", "-pdefault", "-ep", "web", "--project", "p"});
        VERIFY_OK(invocation);
        const Arguments &arguments = invocation->arguments;
        QCOMPARE(arguments.words, (std::vector<std::string>{"debian", "web1"}));
        QCOMPARE(arguments.values("config"),
                 (std::vector<std::string>{"limits.cpu=2", "limits.memory=1GiB", "user.a=b=c"}));
        QCOMPARE(arguments.values("profile"), (std::vector<std::string>{"default", "web"}));
        QVERIFY(arguments.has("ephemeral"));
        QCOMPARE(invocation->globals.project, std::string("p"));
    }
    void aValueIsTakenAsItStands_data()
    {
        QTest::addColumn<QStringList>("typed");
        QTest::addColumn<QByteArray>("value");
        QTest::newRow("empty") << QStringList{"--project="} << QByteArray("");
        QTest::newRow("empty of its own") << QStringList{"--project", ""} << QByteArray("");
        QTest::newRow("equals sign") << QStringList{"--project=="} << QByteArray("=");
        QTest::newRow("another flag") << QStringList{"--project", "--quiet="} << QByteArray("--quiet=");
        QTest::newRow("two dashes") << QStringList{"--project", "--"} << QByteArray("--");
        QTest::newRow("brackets") << QStringList{"--project=[a,b]"} << QByteArray("[a,b]");
    }
    void aValueIsTakenAsItStands()
    {
        QFETCH(QStringList, typed);
        QFETCH(QByteArray, value);
        std::vector<std::string> arguments{"stop"};
        for (const QString &one : typed)
            arguments.push_back(one.toStdString());
        arguments.insert(arguments.end(), {"", "[web,1]"});
        const auto invocation = parseCommandLine(arguments);
        VERIFY_OK(invocation);
        QCOMPARE(QByteArray::fromStdString(invocation->globals.project), value);
        QCOMPARE(invocation->arguments.words, (std::vector<std::string>{"", "[web,1]"}));
    }
    void aShortFlagsValueMayFollowAnEqualsSign()
    {
        const auto invocation = parseCommandLine({"list", "-f=json"});
        VERIFY_OK(invocation);
        QCOMPARE(invocation->arguments.value("format", ""), std::string("json"));
    }
    void aTimeoutMayBeNegative()
    {
        const auto invocation = parseCommandLine({"stop", "web1", "--timeout", "-1"});
        VERIFY_OK(invocation);
        QCOMPARE(invocation->arguments.value("timeout", ""), std::string("-1"));
    }
    void whatFollowsExecIsTheOtherProgrammes_data()
    {
        QTest::addColumn<QByteArray>("typed");
        QTest::addColumn<QByteArray>("command");
        QTest::newRow("dashes") << QByteArray("exec web1 -- ls -la --help") << QByteArray("ls -la --help");
        QTest::newRow("no dashes") << QByteArray("exec web1 ls -la -t") << QByteArray("ls -la -t");
        QTest::newRow("flags before") << QByteArray("exec -T web1 --user 7 -- id -u") << QByteArray("id -u");
        QTest::newRow("dashes inside") << QByteArray("exec web1 -- sh -c -- x") << QByteArray("sh -c -- x");
        QTest::newRow("brackets") << QByteArray("exec web1 [ -f /x ]") << QByteArray("[ -f /x ]");
        QTest::newRow("equals signs") << QByteArray("exec web1 dd --if= -a=b") << QByteArray("dd --if= -a=b");
        QTest::newRow("a dash") << QByteArray("exec web1 - --help") << QByteArray("- --help");
        QTest::newRow("dashes first") << QByteArray("exec -- web1 ls -l") << QByteArray("ls -l");
    }
    void whatFollowsExecIsTheOtherProgrammes()
    {
        QFETCH(QByteArray, typed);
        QFETCH(QByteArray, command);
        const auto invocation = parseCommandLine(line(typed.constData()));
        VERIFY_OK(invocation);
        std::vector<std::string> rest = invocation->arguments.words;
        QCOMPARE(rest.front(), std::string("web1"));
        rest.erase(rest.begin());
        QCOMPARE(QByteArray::fromStdString(join(rest, " ")), command);
    }
    void mistakesAreNamed_data()
    {
        QTest::addColumn<QByteArray>("typed");
        QTest::addColumn<QByteArray>("says");
        QTest::newRow("command") << QByteArray("lunch debian") << QByteArray("did you mean 'lxmgr launch'");
        QTest::newRow("subcommand") << QByteArray("config gets x") << QByteArray("did you mean 'lxmgr config get'");
        QTest::newRow("group alone") << QByteArray("image alias") << QByteArray("create, list, delete, rename");
        QTest::newRow("flag") << QByteArray("list --fats") << QByteArray("did you mean '--fast'");
        QTest::newRow("short flag") << QByteArray("list -z") << QByteArray("has no flag '-z'");
        QTest::newRow("no value") << QByteArray("list --format") << QByteArray("--format <format>");
        QTest::newRow("value for a switch") << QByteArray("list --fast=yes") << QByteArray("takes no value");
        QTest::newRow("missing word") << QByteArray("rename web1") << QByteArray("lxmgr rename <instance>[/<snapshot>] <new-name>");
        QTest::newRow("extra word") << QByteArray("rename a b c") << QByteArray("'c' is too much");
        QTest::newRow("names and --all") << QByteArray("stop --all web1") << QByteArray("not both");
        QTest::newRow("nothing to start") << QByteArray("start") << QByteArray("<instance>...");
    }
    void mistakesAreNamed()
    {
        QFETCH(QByteArray, typed);
        QFETCH(QByteArray, says);
        const auto invocation = parseCommandLine(line(typed.constData()));
        VERIFY_FAILS(Code::Usage, invocation);
        QVERIFY2(QByteArray::fromStdString(invocation.error().message).contains(says),
                 invocation.error().message.c_str());
    }
    void aGroupMayMeanOneOfItsCommands()
    {
        const auto left = parseCommandLine(line("snapshot web1 before --no-expiry"));
        VERIFY_OK(left);
        QCOMPARE(left->command->path, std::string_view("snapshot create"));
        QCOMPARE(left->arguments.words, (std::vector<std::string>{"web1", "before"}));
        QVERIFY(left->arguments.has("no-expiry"));
        const auto written = parseCommandLine(line("snapshot list web1"));
        VERIFY_OK(written);
        QCOMPARE(written->command->path, std::string_view("snapshot list"));
        VERIFY_FAILS(Code::Usage, parseCommandLine(line("snapshot")));
        for (const char *flagsFirst : {"export --instance-only web1", "-q export --compression zstd web1", "--project p export web1",
                                       "-q export web1 x.tar"}) {
            const auto found = parseCommandLine(line(flagsFirst));
            VERIFY_OK(found);
            QVERIFY2(found->command && found->command->path == "export create" && found->arguments.word(0) == "web1", flagsFirst);
        }
        const auto named = parseCommandLine(line("-q export list web1"));
        VERIFY_OK(named);
        QCOMPARE(named->command->path, std::string_view("export list"));
    }
    void helpIsForCommandsGroupsAndEverything()
    {
        for (const char *typed : {"launch --help", "config --help", "--help", "", "config device -h"}) {
            const auto invocation = parseCommandLine(line(typed));
            VERIFY_OK(invocation);
            QVERIFY(invocation->globals.help);
            QVERIFY(!helpText(invocation->topic).empty());
        }
        for (const Command &command : commands())
            QVERIFY2(helpText("").find("  " + std::string(command.path.substr(0, command.path.find(' ')))) !=
                         std::string::npos,
                     std::string(command.path).c_str());
    }
};

QTEST_APPLESS_MAIN(TestCommands)
#include "tst_commands.moc"

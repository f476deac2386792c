// Manual pages and completions: every table exists, every table is used, nothing is left unfilled.
#include "api/routes.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/docs.h"
#include "support/verify.h"

#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QProcess>
#include <QStandardPaths>
#include <QTemporaryFile>

using namespace lxmgr;
using namespace lxmgr::cli;

namespace
{

QByteArray readPage(const QString &name)
{
    QFile file(QStringLiteral(QT_TESTCASE_SOURCEDIR "/../man/") + name);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

} // namespace

class TestDocs : public QObject
{
    Q_OBJECT
private slots:
    void everyRouteIsInTheApiDescription()
    {
        const QJsonObject document = QJsonDocument::fromJson(QByteArray::fromStdString(openApi())).object();
        QCOMPARE(document["openapi"].toString(), QString("3.0.3"));
        const QJsonObject paths = document["paths"].toObject();
        std::size_t operations = 0;
        for (const QJsonValue path : paths)
            for (const QString &verb : path.toObject().keys())
                operations += verb == "parameters" ? 0 : 1;
        QCOMPARE(operations, api::kRouteCount);
        for (const api::Route &route : api::kRoutes) {
            const QString pattern = QString::fromUtf8(route.pattern.data(), qsizetype(route.pattern.size())).replace("...}", "}");
            const QJsonObject path = paths[pattern].toObject();
            const QString verb = QString::fromUtf8(api::verbName(route.verb).data(), qsizetype(api::verbName(route.verb).size())).toLower();
            QVERIFY2(path[verb].toObject()["summary"].toString().size() > 3, qPrintable(verb + " " + pattern));
            QVERIFY2(path[verb].toObject()["responses"].toObject().size() > 1, qPrintable(verb + " " + pattern));
            QCOMPARE(path["parameters"].toArray().size(), pattern.count('{')); // each "{name}" is described
        }
    }
    void pagesAreFilled_data()
    {
        QTest::addColumn<QString>("page");
        for (const char *page : {"lxmgr.1.in", "lxmgrd.8.in", "lxmgr-config.5.in", "lxmgr-profiles.5.in", "lxmgr-templates.5.in"})
            QTest::newRow(page) << QString::fromLatin1(page);
    }
    void pagesAreFilled()
    {
        QFETCH(QString, page);
        const QByteArray text = readPage(page);
        QVERIFY2(!text.isEmpty(), qPrintable(page));
        const auto filled = fillPage(text.toStdString());
        VERIFY_OK(filled);
        QVERIFY(filled->find("\n@TABLE ") == std::string::npos && filled->find("@VERSION@") == std::string::npos);
        QVERIFY(filled->starts_with(".TH "));
    }
    void theManualHasEveryCommandAndFlag()
    {
        const auto filled = fillPage(readPage("lxmgr.1.in").toStdString());
        VERIFY_OK(filled);
        for (const Command &command : commands()) {
            QByteArray title = "\n.SS lxmgr " + QByteArray(command.path.data(), qsizetype(command.path.size()));
            title.replace("-", "\\-"); // as roff has it
            QVERIFY2(filled->find(title.toStdString()) != std::string::npos, title);
        }
        for (const std::string_view table : docTables())
            if (table != "command-list")
                QVERIFY2(readPage("lxmgr.1.in")
                             .contains(QByteArray("@TABLE ") + QByteArray(table.data(), qsizetype(table.size())) + "@"),
                         table.data());
    }
    void anUnknownTableIsAnErrorWithItsLine()
    {
        const auto filled = fillPage(".TH X 1\n@TABLE nosuch@\n");
        VERIFY_FAILS(Code::Usage, filled);
        QVERIFY(QByteArray::fromStdString(filled.error().message).startsWith("line 2: "));
    }
    void groffHasNothingToComplainOf()
    {
        if (QStandardPaths::findExecutable("groff").isEmpty())
            QSKIP("groff is not installed");
        for (const char *page : {"lxmgr.1.in", "lxmgrd.8.in", "lxmgr-config.5.in", "lxmgr-profiles.5.in", "lxmgr-templates.5.in"}) {
            const auto filled = fillPage(readPage(page).toStdString());
            VERIFY_OK(filled);
            QProcess groff;
            groff.start("groff", {"-man", "-ww", "-Tutf8", "-z"});
            QVERIFY(groff.waitForStarted());
            groff.write(QByteArray::fromStdString(*filled));
            groff.closeWriteChannel();
            QVERIFY(groff.waitForFinished());
            QCOMPARE(groff.readAllStandardError(), QByteArray());
        }
    }
    void scriptsAreAcceptedByTheirShells_data()
    {
        QTest::addColumn<QString>("shell");
        for (const char *shell : {"bash", "zsh", "fish"})
            QTest::newRow(shell) << QString::fromLatin1(shell);
    }
    void scriptsAreAcceptedByTheirShells()
    {
        QFETCH(QString, shell);
        const auto script = completionScript(shell.toStdString());
        VERIFY_OK(script);
        for (const Command &command : commands())
            QVERIFY(script->find(std::string(lastWord(command.path))) != std::string::npos);
        if (QStandardPaths::findExecutable(shell).isEmpty())
            QSKIP("this shell is not installed");
        QTemporaryFile file;
        QVERIFY(file.open());
        file.write(QByteArray::fromStdString(*script));
        file.flush();
        QCOMPARE(QProcess::execute(shell, {"-n", file.fileName()}), 0);
    }
    void shellsComplete_data()
    {
        QTest::addColumn<QString>("shell");
        QTest::addColumn<QString>("typed");
        QTest::addColumn<QString>("offers");
        for (const char *shell : {"bash", "zsh", "fish"}) {
            const auto row = [&](const char *name, const char *typed, const char *offers) {
                QTest::addRow("%s: %s", shell, name) << shell << typed << offers;
            };
            row("command", "lxmgr lau", "launch");
            row("subcommand", "lxmgr config device ad", "add");
            row("key", "lxmgr config set web1 limits.mem", "limits.memory limits.memory.enforce limits.memory.oom_priority limits.memory.swap limits.memory.swap.priority");
            row("flag", "lxmgr list --fas", "--fast");
            row("nothing for another program", "lxmgr exec web1 -- --fo", "");
        }
    }
    void shellsComplete()
    {
        QFETCH(QString, shell);
        QFETCH(QString, typed);
        QFETCH(QString, offers);
        if (QStandardPaths::findExecutable(shell).isEmpty())
            QSKIP("this shell is not installed");
        QString driver = QString::fromStdString(*completionScript(shell.toStdString()));
        if (shell == "bash")
            driver += QStringLiteral(
                "COMP_WORDS=(%1); COMP_CWORD=%2; COMPREPLY=(); _lxmgr; printf '%s\\n' \"${COMPREPLY[@]}\"");
        else if (shell == "zsh") // its line editor's own parts played by functions
            driver = "compdef() { }; _default() { }\n"
                     "compadd() { shift; print -l -- ${(M)@:#${words[CURRENT]}*} }\n" +
                     driver + "words=(%1); CURRENT=$((%2 + 1)); _lxmgr";
        else
            driver += "complete -C '%1'";
        driver.replace("%1", typed).replace("%2", QString::number(typed.count(' ')));
        QProcess process; // away from an lxmgr that may be installed here
        QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
        environment.insert("LXMGR_DIR", "/nonexistent");
        process.setProcessEnvironment(environment);
        process.start(shell, {"-c", driver});
        QVERIFY(process.waitForFinished());
        QCOMPARE(process.readAllStandardError(), QByteArray());
        QStringList words;
        for (const QString &line : QString::fromUtf8(process.readAllStandardOutput()).split('\n', Qt::SkipEmptyParts))
            words << line.section('\t', 0, 0); // fish adds the description
        QCOMPARE(words.join(' '), offers);
    }
};

QTEST_GUILESS_MAIN(TestDocs)
#include "tst_docs.moc"

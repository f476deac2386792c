// The map of rooms, held against the text of the tree: who includes whom, who may touch paths, that failpoints are tested.
#include <QDirIterator>
#include <QFile>
#include <QMap>
#include <QRegularExpression>
#include <QSet>
#include <QtTest/QtTest>

namespace
{

struct SourceFile {
    QString room;
    QString path; ///< below lxmgr/
    QStringList lines;
};

/// From "base: kernel:base runtime:kernel,spec": what each room may include.
QMap<QString, QSet<QString>> roomUses()
{
    QMap<QString, QSet<QString>> uses;
    for (const QString &entry : QStringLiteral(LXMGR_ROOMS).split(' ', Qt::SkipEmptyParts)) {
        const QString room = entry.section(':', 0, 0);
        uses[room] = {room, "base"};
        for (const QString &used : entry.section(':', 1).split(',', Qt::SkipEmptyParts))
            uses[room] += used;
    }
    return uses;
}

QList<SourceFile> sources()
{
    QList<SourceFile> all;
    const QString top = QStringLiteral(LXMGR_SOURCE_DIR "/lxmgr/");
    QDirIterator files(top, {"*.h", "*.cpp"}, QDir::Files, QDirIterator::Subdirectories);
    while (files.hasNext()) {
        const QString path = files.next();
        QFile file(path);
        if (!file.open(QIODevice::ReadOnly))
            continue;
        const QString relative = path.mid(top.size());
        all.append({relative.section('/', 0, 0), relative, QString::fromUtf8(file.readAll()).split('\n')});
    }
    return all;
}

/// The line without its comment and without what is in quotes.
QString code(QString line)
{
    static const QRegularExpression quotes(R"("(\\.|[^"\\])*"|'(\\.|[^'\\])*')");
    line.replace(quotes, "\"\"");
    return line.section("//", 0, 0);
}

QString place(const SourceFile &file, qsizetype line) { return QString("%1:%2").arg(file.path).arg(line + 1); }

struct Lint {
    const char *name;
    const char *pattern;
    QStringList allowed; ///< rooms ("kernel/") or files that may
};

QList<Lint> lints()
{
    return {
        // A shell reads what it is given as a language: helpers get an argv.
        {"shell", R"((?<![\w.>:])(::|std::)?(system|popen|execl|execlp|execle)\s*\()", {}},
        // The daemon has threads and a monitor's child has rules: processes are made in these places only.
        {"fork", R"((?<![\w.>])(::)?v?fork\s*\(\s*\))", {"kernel/", "runtime/", "monitor/", "helper/"}},
        // Mounts are descriptors (open_tree, move_mount) made by the kernel room's wrappers.
        {"mount by path", R"((?<![\w.>:])::u?mount2?\s*\()", {"kernel/"}},
        // A path with a part that a guest or an image controls must go through openat2. Folders of the daemon's own are
        // opened once, by the files named here.
        {"open by path", R"((?<![\w.>:])::open\s*\(|(?<!\w)fopen\s*\(|std::[io]?fstream|QFile\b|QSaveFile|QDir\b)",
         {"kernel/", "base/failpoint.cpp", "base/paths.cpp", "cli/", "client/", "daemon/audit.cpp", "daemon/spool.cpp", "daemon/daemon.cpp",
          "daemon/handlers_execution.cpp", "daemon/listener.cpp", "daemon/server.cpp", "spec/channel.cpp",
          "spec/monitor_client.cpp", "store/database.cpp"}},
        {"std::filesystem", R"(std::filesystem|<filesystem>)", {"cli/"}},
        // Found in one place and never by pid alone: a pid may be a stranger's by now (R10 of every reused number).
        {"kill by pid", R"((?<![\w.>:])::kill\s*\()", {"base/failpoint.cpp", "kernel/", "helper/build_sandbox.cpp"}}, // the last: everybody in a PID namespace that it is the init of
        // libuv's thread pool must never start in the monitor: clone3 needs a single thread.
        {"uv thread pool", R"(\buv_(fs_|queue_work|getaddrinfo|getnameinfo))", {}},
        // SQL is the store's.
        {"sqlite", R"(<sqlite3\.h>)", {"store/", "diff/rpm.cpp"}},
        // The bounds on JSON are api/json's; its header is everywhere.
        {"rapidjson", R"(<rapidjson/)", {"api/json.cpp"}},
    };
}

} // namespace

class TestLayers : public QObject
{
    Q_OBJECT
private slots:
    void everyRoomIsNamedInTheMap();
    void includesFollowTheArrows();
    void lowerRoomsDoNotKnowQt();
    void forbiddenCallsStayOut_data();
    void forbiddenCallsStayOut();
    void headersAreGuarded();
    void everyFileSaysWhatItIsFor();
    void linesAreOfReadableWidth();
    void typesAreDefinedOnce();
};

void TestLayers::everyRoomIsNamedInTheMap()
{
    const QStringList rooms = roomUses().keys();
    QVERIFY(rooms.contains("base"));
    for (const SourceFile &file : sources())
        QVERIFY2(rooms.contains(file.room), qPrintable(file.path + " is in a folder that is no lxmgr_room()"));
}

void TestLayers::includesFollowTheArrows()
{
    static const QRegularExpression include(R"(^\s*#\s*include\s+"([a-z]+)/)");
    const auto uses = roomUses();
    QStringList wrong;
    for (const SourceFile &file : sources())
        for (qsizetype i = 0; i < file.lines.size(); ++i) {
            const auto match = include.match(file.lines[i]);
            if (match.hasMatch() && uses.contains(match.captured(1)) && !uses[file.room].contains(match.captured(1)))
                wrong << place(file, i) + ": " + file.room + " does not use " + match.captured(1);
        }
    QVERIFY2(wrong.isEmpty(), qPrintable(wrong.join('\n')));
}

void TestLayers::lowerRoomsDoNotKnowQt()
{
    static const QSet<QString> plain{"base", "kernel", "spec", "runtime", "monitor", "config", "http", "store"};
    static const QRegularExpression qt(R"(^\s*#\s*include\s+<(Q[A-Z]|Qt))");
    QStringList wrong;
    for (const SourceFile &file : sources())
        for (qsizetype i = 0; plain.contains(file.room) && i < file.lines.size(); ++i)
            if (qt.match(file.lines[i]).hasMatch())
                wrong << place(file, i);
    QVERIFY2(wrong.isEmpty(), qPrintable(wrong.join('\n')));
}

void TestLayers::forbiddenCallsStayOut_data()
{
    QTest::addColumn<QString>("pattern");
    QTest::addColumn<QStringList>("allowed");
    for (const Lint &lint : lints())
        QTest::newRow(lint.name) << QString(lint.pattern) << lint.allowed;
}

void TestLayers::forbiddenCallsStayOut()
{
    QFETCH(QString, pattern);
    QFETCH(QStringList, allowed);
    const QRegularExpression call(pattern);
    QVERIFY2(call.isValid(), qPrintable(call.errorString()));
    QStringList wrong;
    for (const SourceFile &file : sources()) {
        const bool may = std::any_of(allowed.begin(), allowed.end(),
                                     [&](const QString &start) { return file.path.startsWith(start); });
        for (qsizetype i = 0; !may && i < file.lines.size(); ++i)
            if (call.match(code(file.lines[i])).hasMatch())
                wrong << place(file, i) + ": " + file.lines[i].trimmed();
    }
    QVERIFY2(wrong.isEmpty(), qPrintable(wrong.join('\n')));
}

void TestLayers::headersAreGuarded()
{
    for (const SourceFile &file : sources())
        QVERIFY2(!file.path.endsWith(".h") || file.lines.contains("#pragma once"), qPrintable(file.path));
}

void TestLayers::everyFileSaysWhatItIsFor()
{
    for (const SourceFile &file : sources())
        QVERIFY2(!file.path.endsWith(".h") || file.lines.first().startsWith("//"),
                 qPrintable(file.path + " does not open with a line on what it is for"));
}

void TestLayers::linesAreOfReadableWidth()
{
    QStringList wide;
    for (const SourceFile &file : sources())
        for (qsizetype i = 0; i < file.lines.size(); ++i)
            // A row of a table stays a line, and so does a sentence of its help.
            if (const QString line = file.lines[i].trimmed(); file.lines[i].size() > 160 && !line.startsWith('{') && !line.startsWith('"'))
                wide << place(file, i);
    QVERIFY2(wide.isEmpty(), qPrintable(wide.join('\n')));
}

/// Two structs of one name in one namespace make a program that the linker takes and that crashes: each translation unit has its own
/// idea of the functions that belong to them (C++ [basic.def.odr]).
void TestLayers::typesAreDefinedOnce()
{
    static const QRegularExpression kSpace("^namespace ([\\w:]+)$"), kType("^(?:struct|class|enum class|union) (\\w+)(?: final)?(?: : [^;]*)?(?: \\{.*)?$");
    QMap<QString, QString> seen;
    QStringList twice;
    for (const SourceFile &file : sources()) {
        if (!file.path.endsWith(".h"))
            continue;
        QString space;
        for (qsizetype i = 0; i < file.lines.size(); ++i) {
            if (const auto opened = kSpace.match(file.lines[i]); opened.hasMatch())
                space = opened.captured(1);
            const auto type = kType.match(file.lines[i]);
            if (!type.hasMatch() || (i > 0 && file.lines[i - 1].startsWith("template")))
                continue;
            const QString name = space + "::" + type.captured(1);
            if (seen.contains(name))
                twice << place(file, i) + ": " + name + " is in " + seen[name] + ", too";
            seen[name] = file.path;
        }
    }
    QVERIFY(seen.size() > 300);
    QVERIFY2(twice.isEmpty(), qPrintable(twice.join('\n')));
}

QTEST_GUILESS_MAIN(TestLayers)
#include "tst_layers.moc"

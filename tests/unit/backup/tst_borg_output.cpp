// What borg prints, and what is to be kept.
#include "backup/output.h"
#include "backup/retention.h"
#include "support/verify.h"

#include <QtTest/QtTest>

using namespace lxmgr;
using namespace lxmgr::backup;

class TestBorgOutput : public QObject
{
    Q_OBJECT
private slots:
    void linesHaveTheirKind_data();
    void linesHaveTheirKind();
    void errorsSayWhatTheyMean_data();
    void errorsSayWhatTheyMean();
    void archivesAreRead();
    void sizesAreRead();
    void somethingElseIsRefused();
    void pruneSaysWhatStays();
    void retentionIsReadAndWritten();
    void badRetentionIsNamed_data();
    void badRetentionIsNamed();
};

void TestBorgOutput::linesHaveTheirKind_data()
{
    QTest::addColumn<QString>("line");
    QTest::addColumn<int>("kind");
    QTest::addColumn<QString>("text");
    using Kind = Line::Kind;
    QTest::newRow("progress") << R"({"message": "Checking segments 16.7%", "msgid": "repository.check", "type": "progress_percent", "finished": false})"
                              << int(Kind::Progress) << "Checking segments 16.7%";
    QTest::newRow("stored") << R"({"original_size": 2048, "compressed_size": 1, "deduplicated_size": 1024, "nfiles": 3, "path": "x", "type": "archive_progress", "finished": false})"
                            << int(Kind::Progress) << "2.00KiB in 3 files, 1.00KiB of it new";
    QTest::newRow("end") << R"({"operation": 1, "msgid": "repository.check", "type": "progress_percent", "finished": true})" << int(Kind::Other) << "";
    QTest::newRow("error") << R"({"type": "log_message", "message": "Archive x already exists", "levelname": "ERROR", "name": "borg.archiver", "msgid": "Archive.AlreadyExists"})"
                           << int(Kind::Error) << "Archive x already exists";
    QTest::newRow("listed") << R"({"type": "log_message", "message": "Would prune: x", "levelname": "INFO", "name": "borg.output.list"})"
                            << int(Kind::Listed) << "Would prune: x";
    QTest::newRow("warning") << R"({"type": "log_message", "message": "a: file changed while we backed it up", "levelname": "WARNING", "name": "borg"})"
                             << int(Kind::Warning) << "a: file changed while we backed it up";
    QTest::newRow("first backup") << R"({"type": "log_message", "message": "The files cache can't be read. [[Errno 2]]", "levelname": "WARNING", "name": "borg"})"
                                  << int(Kind::Other) << "";
    QTest::newRow("a question before it") << R"(Enter passphrase for key /r: {"type": "log_message", "message": "no", "levelname": "ERROR", "name": "borg", "msgid": "NoPassphraseFailure"})"
                                          << int(Kind::Error) << "no";
    QTest::newRow("Python") << "ImportError: no module" << int(Kind::Warning) << "ImportError: no module";
}

void TestBorgOutput::linesHaveTheirKind()
{
    QFETCH(QString, line);
    QFETCH(int, kind);
    QFETCH(QString, text);
    const Line said = parseLine(line.toStdString());
    QCOMPARE(int(said.kind), kind);
    QCOMPARE(QString::fromStdString(said.text), text);
}

void TestBorgOutput::errorsSayWhatTheyMean_data()
{
    QTest::addColumn<QString>("id");
    QTest::addColumn<QString>("text");
    QTest::addColumn<int>("code");
    QTest::addColumn<QString>("words");
    QTest::newRow("locked") << "LockTimeout" << "Failed to create/acquire the lock" << int(Code::WrongState) << "in use";
    QTest::newRow("missing") << "Archive.DoesNotExist" << "Archive nope does not exist" << int(Code::NotFound) << "no such backup";
    QTest::newRow("passphrase") << "PassphraseWrong" << "passphrase supplied is incorrect" << int(Code::Forbidden) << "backups.passphrase_file";
    QTest::newRow("damage") << "IntegrityError" << "Data integrity error: Segment entry checksum mismatch" << int(Code::Corrupt) << "checksum";
    QTest::newRow("full") << "" << "Local Exception\nTraceback (most recent call last):\n  File \"x\"\nOSError: [Errno 28] No space left on device\n\nPlatform: Linux"
                          << int(Code::NoSpace) << "No space left";
    QTest::newRow("others") << "" << "Something new" << int(Code::Internal) << "borg: Something new";
}

void TestBorgOutput::errorsSayWhatTheyMean()
{
    QFETCH(QString, id);
    QFETCH(QString, text);
    QFETCH(int, code);
    QFETCH(QString, words);
    const Error error = errorOf({{Line::Kind::Error, text.toStdString(), id.toStdString()}}, 2 << 8);
    QCOMPARE(int(error.code), code);
    QVERIFY2(error.message.find(words.toStdString()) != std::string::npos, error.message.c_str());
    QVERIFY(error.message.find('\n') == std::string::npos);
}

void TestBorgOutput::archivesAreRead()
{
    const auto archives = parseArchives(R"({"archives": [{"name": "web1@a", "comment": "c", "start": "2026-11-25T23:58:06.250000"},
        {"name": "b", "comment": "", "start": "1970-01-02T00:00:00.000000"}], "encryption": {"mode": "none"}})");
    VERIFY_OK(archives);
    QCOMPARE(archives->size(), std::size_t(2));
    QVERIFY((archives->front() == Archive{"web1@a", "c", 1795651086250}));
    QCOMPARE(archives->back().createdAt, std::int64_t(86'400'000));
}

void TestBorgOutput::sizesAreRead()
{
    const auto created = parseCreated(
        R"({"archive": {"name": "x", "stats": {"compressed_size": 476, "deduplicated_size": 400, "nfiles": 1, "original_size": 512}}})");
    VERIFY_OK(created);
    QVERIFY((*created == Sizes{512, 476, 400, 1}));
    const auto info = parseRepositoryInfo(R"({"cache": {"stats": {"total_csize": 6, "total_size": 30, "unique_csize": 5}},
        "encryption": {"mode": "repokey-blake2"}, "repository": {"id": "98"}})");
    VERIFY_OK(info);
    QVERIFY((info->sizes == Sizes{30, 6, 5, 0}));
    QCOMPARE(info->encryption, std::string("repokey-blake2"));
}

void TestBorgOutput::somethingElseIsRefused()
{
    for (const char *text : {"", "[]", "{}", "{\"archives\": 3}", "no JSON"}) {
        QVERIFY(!parseArchives(text) && parseArchives(text).error().code == Code::Corrupt);
        QVERIFY(!parseCreated(text));
        QVERIFY(!parseArchiveInfo(text));
        QVERIFY(!parseRepositoryInfo(text));
    }
}

void TestBorgOutput::pruneSaysWhatStays()
{
    const auto kept = parsePruned("Keeping archive (rule: daily #1):     web1@x      Wed, 2026-11-25 23:58:06 [eece]");
    QVERIFY(kept && (*kept == Pruned{"web1@x", true, "daily #1"}));
    const auto would = parsePruned("Would prune:     web1@y      Wed, 2026-11-25 23:58:06 [eece]");
    QVERIFY(would && (*would == Pruned{"web1@y", false, ""}));
    const auto gone = parsePruned("Pruning archive (1/2):     web1@z      Wed, 2026-11-25 23:58:06 [eece]");
    QVERIFY(gone && (*gone == Pruned{"web1@z", false, ""}));
    QVERIFY(!parsePruned("Something else: x"));
}

void TestBorgOutput::retentionIsReadAndWritten()
{
    const auto retention = parseRetention(" last=3  daily=7 yearly=1");
    VERIFY_OK(retention);
    QCOMPARE(formatRetention(*retention), std::string("last=3 daily=7 yearly=1"));
    QVERIFY(parseRetention("")->empty());
}

void TestBorgOutput::badRetentionIsNamed_data()
{
    QTest::addColumn<QString>("text");
    for (const char *text : {"daily", "daily=", "daily=0", "daily=-1", "nightly=3", "daily=7 daily=8", "7"})
        QTest::newRow(text) << QString(text);
}

void TestBorgOutput::badRetentionIsNamed()
{
    QFETCH(QString, text);
    const auto retention = parseRetention(text.toStdString());
    QVERIFY(!retention && retention.error().code == Code::Invalid);
}

QTEST_GUILESS_MAIN(TestBorgOutput)
#include "tst_borg_output.moc"

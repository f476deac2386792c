// The helper's report: all comes through as it was, and bytes that are none are refused.
#include "diff/report.h"
#include "diff/run.h"
#include "support/verify.h"

#include <QTemporaryFile>
#include <random>

using namespace lxmgr;
using namespace lxmgr::diff;

namespace
{

/// What a Reporter wrote.
template <class Tell> std::string written(Tell tell)
{
    QTemporaryFile file;
    if (!file.open())
        return {};
    const Fd pipe(::dup(file.handle()));
    Reporter reporter(pipe);
    tell(reporter);
    file.seek(0);
    return file.readAll().toStdString();
}

Change sample(int number)
{
    FileState state;
    state.type = FileType::Link;
    state.mode = 0777;
    state.uid = 3'000'000'000;
    state.gid = static_cast<std::uint32_t>(number);
    state.modified = -5;
    state.modifiedNanos = 999'999'999;
    state.target = "\xff\n";
    Change change{ChangeKind::Modified, "/new\nline/\xfe" + std::to_string(number), kTarget | kTime, state, state};
    change.after->target = "other";
    return change;
}

} // namespace

class TestReport : public QObject
{
    Q_OBJECT
private slots:
    void everythingComesThrough()
    {
        const Packages packages{"dpkg", {{ChangeKind::Added, "x", "all", "", "1\xff"}}, "a note"};
        const std::string bytes = written([&](Reporter &reporter) {
            reporter.opened();
            reporter.change(sample(1));
            reporter.change({ChangeKind::Added, "/a", 0, {}, FileState()});
            reporter.change({ChangeKind::Deleted, "/d", 0, FileState(), {}});
            reporter.warning("a warning");
            reporter.packages(packages);
            reporter.done();
        });
        ReportReader reader;
        for (const char byte : bytes) // in the smallest pieces a pipe may give
            VERIFY_OK(reader.feed(&byte, 1));
        QVERIFY(reader.isOpened() && reader.isDone() && !reader.error());
        const Comparison found = std::move(reader).take();
        QCOMPARE(found.changes.size(), std::size_t(3));
        QVERIFY(found.changes[0] == sample(1));
        QVERIFY(found.packages == std::vector{packages});
        QCOMPARE(found.warnings.front(), std::string("a warning"));
        QVERIFY((found.counts == Counts{1, 1, 1, 0}));
    }

    void errorsComeThrough()
    {
        const std::string bytes =
            written([](Reporter &reporter) { reporter.failed(Error(Code::NotFound, "there is nothing", ENOENT)); });
        ReportReader reader;
        VERIFY_OK(reader.feed(bytes.data(), bytes.size()));
        QVERIFY(reader.error() && reader.error()->code == Code::NotFound && reader.error()->errnum == ENOENT);
        QCOMPARE(reader.error()->message, std::string("there is nothing"));
        QVERIFY(!reader.isDone());
    }

    void allAreCountedAndTheFirstListed()
    {
        constexpr int kAll = int(kMostChanges) + 1000;
        const std::string bytes = written([](Reporter &reporter) {
            for (int i = 0; i < kAll; ++i)
                reporter.change(sample(i));
            for (int i = 0; i < 1000; ++i)
                reporter.warning("w");
            reporter.done();
        });
        ReportReader reader;
        VERIFY_OK(reader.feed(bytes.data(), bytes.size()));
        const Comparison found = std::move(reader).take();
        QCOMPARE(found.changes.size(), kMostChanges);
        QVERIFY(found.changes.back() == sample(int(kMostChanges) - 1));
        QCOMPARE(found.counts.modified, std::uint64_t(kAll));
        QCOMPARE(found.warnings.size(), kMostWarnings);
    }

    void longNamesDoNotBurstIt()
    {
        const std::string bytes = written([](Reporter &reporter) {
            Change change = sample(1);
            change.path.assign(100'000, 'x');
            for (int i = 0; i < 1000; ++i)
                reporter.change(change);
            reporter.done();
        });
        QVERIFY(bytes.size() < 2 * kMostText);
        ReportReader reader;
        VERIFY_OK(reader.feed(bytes.data(), bytes.size()));
        QCOMPARE(std::move(reader).take().counts.modified, std::uint64_t(1000));
    }

    void otherBytesAreRefused()
    {
        const std::string whole = written([](Reporter &reporter) {
            reporter.opened();
            reporter.change(sample(1));
            reporter.packages({"apk", {{ChangeKind::Deleted, "x", "", "1", ""}}, ""});
            reporter.done();
        });
        std::mt19937 random(3);
        int refused = 0;
        for (int round = 0; round < 20'000; ++round) {
            std::string bytes = whole;
            bytes[random() % bytes.size()] ^= static_cast<char>(1 + random() % 255);
            ReportReader reader;
            refused += reader.feed(bytes.data(), bytes.size()) ? 0 : 1;
        }
        QVERIFY(refused > 1000);
        // More than was promised.
        const std::string twice = whole + whole;
        ReportReader reader;
        VERIFY_FAILS(Code::Corrupt, reader.feed(twice.data(), twice.size()));
    }

    void placesAreArguments()
    {
        Job job;
        job.before.layers = {"/pool/with space/upper", "/pool/rootfs"};
        job.after.directory = "/pool/tree=x/rootfs";
        std::vector<std::string> texts = argumentsOf(job);
        std::vector<char *> arguments;
        for (std::string &text : texts)
            arguments.push_back(text.data());
        Job back;
        VERIFY_OK(parseArguments(arguments, back));
        QVERIFY(back.before.layers == job.before.layers && back.before.directory.empty());
        QCOMPARE(back.after.directory, job.after.directory);
        VERIFY_FAILS(Code::Usage, parseArguments({}, back = Job()));
    }
};

QTEST_GUILESS_MAIN(TestReport)
#include "tst_report.moc"

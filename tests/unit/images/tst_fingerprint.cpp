// Fingerprints, kinds of files and what the helper says, without any helper.
#include "images/archive.h"
#include "images/elf_machine.h"
#include "images/fingerprint.h"
#include "images/report.h"
#include "images/unpack.h"

#include "support/verify.h"

#include <QtCore/QTemporaryFile>
#include <fcntl.h>

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{

Fd fileWith(const QByteArray &bytes)
{
    QTemporaryFile file;
    if (!file.open())
        return {};
    file.write(bytes);
    file.flush();
    return Fd(::fcntl(file.handle(), F_DUPFD_CLOEXEC, 0));
}

} // namespace

class TestFingerprint : public QObject
{
    Q_OBJECT
private slots:
    void sha256IsThatOfTheStandard()
    {
        Sha256 hash;
        hash.update(std::as_bytes(std::span("abc", 3)));
        QCOMPARE(hash.finish(), std::string("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        Sha256 nothing;
        QCOMPARE(nothing.finish(), std::string("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    }

    void twoFilesHashAsOne()
    {
        Sha256 parts;
        VERIFY_OK(hashFile(fileWith("ab"), parts));
        VERIFY_OK(hashFile(fileWith("c"), parts));
        QCOMPARE(parts.finish().substr(0, 8), std::string("ba7816bf"));
    }

    void fingerprintsAreChecked()
    {
        QVERIFY(isFingerprint(std::string(64, 'a')));
        for (const std::string &bad : {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'), std::string(64, 'g'), std::string("../") + std::string(61, 'a')})
            QVERIFY(!isFingerprint(bad));
        QVERIFY(isFingerprintPrefix("0a") && !isFingerprintPrefix("") && !isFingerprintPrefix("x"));
    }

    void extensionsFollowTheBytes()
    {
        QCOMPARE(fileExtension(fileWith("\x28\xb5\x2f\xfd rest")).value_or(""), std::string(".tar.zst"));
        QCOMPARE(fileExtension(fileWith("hsqs rest")).value_or(""), std::string(".squashfs"));
        QCOMPARE(fileExtension(fileWith("whatever")).value_or(""), std::string(".tar"));
        VERIFY_FAILS(Code::Invalid, fileKind(fileWith("")));
    }

    void namesOfEntriesAreChecked()
    {
        QCOMPARE(checkedParts("./a//b/./c/", 10)->size(), std::size_t(3));
        QVERIFY(checkedParts("./", 10)->empty());
        VERIFY_FAILS(Code::Invalid, checkedParts("/a", 10));
        VERIFY_FAILS(Code::Invalid, checkedParts("a/../b", 10));
        VERIFY_FAILS(Code::Invalid, checkedParts("a/b/c", 2));
        VERIFY_OK(checkedParts("a/..b/c..", 10));
    }

    void machinesAreTold()
    {
        QByteArray program("\x7f" "ELF\x02\x01\x01", 7);
        program.resize(20, '\0');
        program[18] = 62;
        QCOMPARE(elfMachine(program.toStdString()), std::string("x86_64"));
        program[18] = char(183);
        QCOMPARE(elfMachine(program.toStdString()), std::string("aarch64"));
        QVERIFY(elfMachine("#!/bin/sh").empty());
    }

    void reportsSurviveAnyCut()
    {
        int ends[2];
        QVERIFY(::pipe2(ends, O_CLOEXEC) == 0);
        Fd from(ends[0]);
        Fd to(ends[1]);
        sendReport(to, ReportKind::Progress, "12 MiB");
        sendError(to, Error(Code::NoSpace, "no\nroom", ENOSPC));
        to.reset();
        std::string bytes(4096, '\0');
        bytes.resize(static_cast<std::size_t>(::read(from.get(), bytes.data(), bytes.size())));
        ReportReader reader;
        std::vector<std::pair<ReportKind, std::string>> got;
        for (const char c : bytes)
            VERIFY_OK(reader.feed(&c, 1, [&](ReportKind kind, std::string text) { got.emplace_back(kind, std::move(text)); }));
        QCOMPARE(got.size(), std::size_t(2));
        QCOMPARE(got[0].second, std::string("12 MiB"));
        const Error error = parseError(got[1].second);
        QVERIFY(error.code == Code::NoSpace && error.errnum == ENOSPC);
        QCOMPARE(error.message, std::string("no\\x0aroom"));
    }

    void foreignReportsAreRefused()
    {
        ReportReader reader;
        const std::string bytes("\xff\xff\xff\xff\xff\xff\xff\xff", 8);
        VERIFY_FAILS(Code::Corrupt, reader.feed(bytes.data(), bytes.size(), [](ReportKind, std::string) {}));
        QVERIFY(parseError("rubbish").code == Code::Corrupt);
    }

    void limitsGoOverTheCommandLine()
    {
        UnpackLimits limits;
        limits.total = Bytes{123};
        limits.entries = 45;
        limits.ratio = 6;
        UnpackLimits back;
        for (const std::string &argument : limitArguments(limits))
            VERIFY_OK(parseLimitArgument(argument, back));
        QCOMPARE(back.total.count, std::uint64_t(123));
        QCOMPARE(back.entries, std::uint64_t(45));
        QCOMPARE(back.ratio, 6U);
        VERIFY_FAILS(Code::Usage, parseLimitArgument("x=1", back));
    }

    void compressionsAreNamed()
    {
        QVERIFY(parseCompression("zstd").has_value());
        VERIFY_FAILS(Code::Invalid, parseCompression("rar; rm -rf /"));
    }
};

QTEST_APPLESS_MAIN(TestFingerprint)
#include "tst_fingerprint.moc"

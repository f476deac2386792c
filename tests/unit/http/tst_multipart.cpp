#include "http/multipart.h"

#include "support/verify.h"

#include <QTemporaryFile>

using namespace lxmgr;
using namespace lxmgr::http;

class tst_multipart : public QObject
{
    Q_OBJECT

private slots:
    void partsAreFoundWhereverTheBodyIsCut_data()
    {
        QTest::addColumn<int>("step");
        for (const int step : {1, 2, 5, 64, 100000})
            QTest::addRow("%d bytes at a time", step) << step;
    }
    void partsAreFoundWhereverTheBodyIsCut()
    {
        QFETCH(int, step);
        const std::string metadata = "meta\r\n--bound but not quite\r\n-";
        const std::string rootfs(100'000, '-');
        const std::string body = "--boundary\r\nContent-Disposition: form-data; name=\"metadata\"; filename=\"a.tar\"\r\n"
                                 "Content-Type: application/octet-stream\r\n\r\n" +
                                 metadata + "\r\n--boundary\r\ncontent-disposition: form-data; name=rootfs; filename=b\r\n\r\n" + rootfs +
                                 "\r\n--boundary\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--boundary--\r\n";
        PartFinder finder("boundary");
        for (std::size_t at = 0; at < body.size(); at += static_cast<std::size_t>(step))
            VERIFY_OK(finder.feed(std::string_view(body).substr(at, static_cast<std::size_t>(step))));
        const Result<std::vector<Part>> parts = finder.finish();
        VERIFY_OK(parts);
        QCOMPARE(parts->size(), std::size_t(3));
        QCOMPARE(parts->at(0).name, std::string("metadata"));
        QCOMPARE(parts->at(0).filename, std::string("a.tar"));
        QVERIFY(body.substr(parts->at(0).offset, parts->at(0).size) == metadata);
        QCOMPARE(parts->at(1).name, std::string("rootfs"));
        QVERIFY(body.substr(parts->at(1).offset, parts->at(1).size) == rootfs);
        QCOMPARE(parts->at(2).size, std::uint64_t(0));

        QTemporaryFile file;
        QVERIFY(file.open());
        file.write(body.data(), static_cast<qint64>(body.size()));
        file.flush();
        const Result<std::vector<Part>> again = findParts(Fd(::dup(file.handle())), body.size(), "boundary");
        VERIFY_OK(again);
        QCOMPARE(again->at(1).offset, parts->at(1).offset);
    }

    void brokenBodiesAreRefused()
    {
        PartFinder cut("b");
        VERIFY_OK(cut.feed("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nabc"));
        VERIFY_FAILS(Code::Invalid, cut.finish());
        PartFinder many("b");
        std::string body;
        for (int i = 0; i < 20; ++i)
            body += "--b\r\nA: b\r\n\r\nx\r\n";
        VERIFY_FAILS(Code::Invalid, many.feed(body));
        VERIFY_FAILS(Code::Invalid, multipartBoundary("application/json"));
        VERIFY_FAILS(Code::Invalid, multipartBoundary("multipart/form-data"));
        QCOMPARE(*multipartBoundary("multipart/form-data; boundary=\"a b\""), std::string("a b"));
        QCOMPARE(*multipartBoundary("multipart/form-data; charset=x; boundary=abc"), std::string("abc"));
    }
};

QTEST_GUILESS_MAIN(tst_multipart)
#include "tst_multipart.moc"

// Whom wrong tokens and passwords are counted of.
#include "daemon/trust.h"

#include <QTest>

class tst_trust_sources : public QObject
{
    Q_OBJECT
private slots:
    void whoHasOneAddressHasItsNeighbours_data()
    {
        QTest::addColumn<QByteArray>("address");
        QTest::addColumn<QByteArray>("source");
        const auto row = [](const char *address, const char *source) { QTest::newRow(address) << QByteArray(address) << QByteArray(source); };
        row("192.0.2.7:40000", "192.0.2.7");
        row("[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64");
        row("[2001:db8:1:2:ffff::]:9", "2001:db8:1:2::/64");
        row("[2001:db8:1:3::1]:9", "2001:db8:1:3::/64");
        row("[fe80::1%eth0]:9", "fe80::/64");
        row("[::1]:9", "::/64");
        row("[::ffff:192.0.2.7]:9", "::ffff:192.0.2.7"); // an IPv4 address is one
        row("@", "@");
    }
    void whoHasOneAddressHasItsNeighbours()
    {
        QFETCH(QByteArray, address);
        QFETCH(QByteArray, source);
        QCOMPARE(QByteArray::fromStdString(lxmgr::daemon::sourceOf(address.toStdString())), source);
    }
};

QTEST_GUILESS_MAIN(tst_trust_sources)
#include "tst_trust_sources.moc"

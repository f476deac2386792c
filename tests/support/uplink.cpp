#include "support/uplink.h"

#include <QFile>
#include <QStringList>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace lxmgr::test
{

namespace
{

constexpr const char *kLockFile = "/run/lxmgr-tests.uplink";
constexpr const char *kTable = "lxmgr_tests";
// A /30 from the range for benchmarks (RFC 2544): nobody's own network, and free in a fresh namespace.
constexpr const char *kOutside = "198.18.255.1";
constexpr const char *kInside = "198.18.255.2";

QString firstFailure(const QList<Run> &runs)
{
    for (const Run &one : runs)
        if (!one.ok())
            return QString::fromUtf8(one.told());
    return {};
}

} // namespace

Run Uplink::outside(const QStringList &argv, const QByteArray &input)
{
    RunOptions options;
    options.input = input;
    return run(QStringList{"nsenter", "--net=" + m_machine, "--"} + argv, options);
}

QString Uplink::forwardingOf(const QString &link)
{
    return QString::fromUtf8(outside({"cat", "/proc/sys/net/ipv4/conf/" + link + "/forwarding"}).out.trimmed());
}

void Uplink::setForwarding(const QString &link, const QString &value)
{
    outside({"sh", "-c", "echo \"$1\" > /proc/sys/net/ipv4/conf/\"$2\"/forwarding", "sh", value, link});
}

QString Uplink::defaultLink()
{
    const QList<QByteArray> words = outside({"ip", "-4", "route", "show", "default"}).out.simplified().split(' ');
    const qsizetype at = words.indexOf("dev");
    return at < 0 || at + 1 >= words.size() ? QString() : QString::fromUtf8(words[at + 1]);
}

QString Uplink::connect()
{
    m_lock = ::open(kLockFile, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (m_lock < 0 || ::flock(m_lock, LOCK_EX) != 0)
        return "no lock on " + QString(kLockFile);
    m_link = defaultLink();
    if (m_link.isEmpty())
        return "the machine has no default route";

    // The lock file keeps "link value" while the sysctl is changed: a killed test is put right by the next one.
    char kept[64] = {};
    if (::pread(m_lock, kept, sizeof kept - 1, 0) > 0)
        m_savedForwarding = QString::fromUtf8(kept).section(' ', 1).trimmed();
    else
        m_savedForwarding = forwardingOf(m_link);
    const QByteArray record = (m_link + " " + m_savedForwarding).toUtf8();
    if (::pwrite(m_lock, record.constData(), static_cast<size_t>(record.size()), 0) < 0)
        return "cannot write " + QString(kLockFile);

    outside({"ip", "link", "delete", "lxmgr-up"}); // of a killed test
    QList<Run> steps;
    steps << run({"ip", "link", "add", "uplink", "type", "veth", "peer", "name", "lxmgr-up", "netns", m_machine})
          << run({"ip", "address", "add", QString(kInside) + "/30", "dev", "uplink"})
          << run({"ip", "link", "set", "uplink", "up"})
          << outside({"ip", "address", "add", QString(kOutside) + "/30", "dev", "lxmgr-up"})
          << outside({"ip", "link", "set", "lxmgr-up", "up"})
          << run({"ip", "route", "add", "default", "via", kOutside});
    // Only this link goes out, and nothing for a private or invented address leaves the machine but its own resolver's.
    const QString rules = QString("add table ip %1\ndelete table ip %1\n"
                          "table ip %1 {\n"
                          " chain post { type nat hook postrouting priority 100; ip saddr %2 masquerade; }\n"
                          " chain fwd_ { type filter hook forward priority 0;\n"
                          "  iifname \"lxmgr-up\" ip saddr != %2 drop;\n"
                          "  iifname \"lxmgr-up\" udp dport 53 accept;\n"
                          "  iifname \"lxmgr-up\" tcp dport { 53, 80, 443 } accept;\n"
                          "  iifname \"lxmgr-up\" drop;\n"
                          " }\n}\n")
                              .arg(kTable, kInside);
    steps << outside({"nft", "-f", "-"}, rules.toUtf8());
    setForwarding("lxmgr-up", "1");
    setForwarding(m_link, "1");
    return firstFailure(steps);
}

Uplink::~Uplink()
{
    if (m_lock < 0)
        return;
    if (!m_savedForwarding.isEmpty())
        setForwarding(m_link, m_savedForwarding);
    outside({"nft", "delete", "table", "ip", kTable});
    outside({"ip", "link", "delete", "lxmgr-up"});
    ::unlink(kLockFile);
    ::close(m_lock);
}

} // namespace lxmgr::test

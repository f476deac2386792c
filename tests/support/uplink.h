// Uplink: a masqueraded veth from the test's network namespace to the machine's network, one test at a time.
#pragma once

#include "support/process.h"

#include <QString>

namespace lxmgr::test
{

class Uplink
{
public:
    /// `machine`: path of the machine's own network namespace (nsfs), kept open by the caller.
    explicit Uplink(QString machine) : m_machine(std::move(machine)) {}
    ~Uplink();
    /// Connects the calling thread's network namespace with the machine's. Returns why not, "" when connected.
    QString connect();

private:
    Run outside(const QStringList &argv, const QByteArray &input = {}); ///< A command in the machine's own namespace.
    QString forwardingOf(const QString &link);
    void setForwarding(const QString &link, const QString &value);
    QString defaultLink();

    QString m_machine;
    int m_lock = -1;
    QString m_link;
    QString m_savedForwarding;
};

} // namespace lxmgr::test

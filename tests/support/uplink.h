// Uplink: a masqueraded veth from the test's network namespace to the machine's network, one test at a time.
#pragma once

#include <QString>

namespace lxmgr::test
{

class Uplink
{
public:
    ~Uplink();
    /// Connects the calling thread's network namespace with the machine's. Returns why not, "" when connected.
    QString connect();

private:
    int m_lock = -1;
    QString m_link;
    QString m_savedForwarding;
};

} // namespace lxmgr::test

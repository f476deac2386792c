// CutLine: a TCP line to a port of this host that is cut after so many bytes, and dead until it is mended.
#pragma once

#include <QThread>

#include <atomic>
#include <memory>

namespace lxmgr::test
{

class CutLine
{
public:
    /// To `port` of 127.0.0.1, in the network namespace of the calling thread; cut once `most` bytes have come from there.
    CutLine(quint16 port, qint64 most);
    ~CutLine();
    CutLine(const CutLine &) = delete;
    CutLine &operator=(const CutLine &) = delete;

    quint16 port() const { return m_port; }
    bool isCut() const { return m_cut; }
    /// Never cut again.
    void mend() { m_most = -1; m_cut = false; }
    qint64 carried() const { return m_carried; } ///< Bytes that came from there and were passed on.

private:
    void serve();

    const quint16 m_to;
    std::atomic<quint16> m_port = 0;
    std::atomic<qint64> m_most, m_carried = 0;
    std::atomic<bool> m_cut = false;
    std::unique_ptr<QThread> m_thread;
};

} // namespace lxmgr::test

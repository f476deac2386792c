#include "support/cut_line.h"

#include <QEventLoop>
#include <QTcpServer>
#include <QTcpSocket>

namespace lxmgr::test
{

CutLine::CutLine(quint16 port, qint64 most) : m_to(port), m_most(most)
{
    m_thread.reset(QThread::create([this] { serve(); }));
    m_thread->start();
    while (m_port == 0)
        QThread::msleep(5);
}

CutLine::~CutLine()
{
    m_thread->requestInterruption();
    m_thread->wait();
}

void CutLine::serve()
{
    QTcpServer server;
    if (!server.listen(QHostAddress::LocalHost))
        qFatal("the line cannot listen");
    m_port = server.serverPort();
    QObject::connect(&server, &QTcpServer::newConnection, &server, [&] {
        QTcpSocket *near = server.nextPendingConnection();
        if (m_cut)
            return near->abort();
        auto *far = new QTcpSocket(near);
        far->connectToHost(QHostAddress::LocalHost, m_to);
        QObject::connect(near, &QIODevice::readyRead, far, [near, far] { far->write(near->readAll()); });
        QObject::connect(far, &QIODevice::readyRead, near, [this, near, far] {
            const QByteArray bytes = far->readAll();
            const qint64 room = m_most < 0 ? bytes.size() : std::max<qint64>(0, m_most - m_carried);
            m_carried += near->write(bytes.left(room));
            if (room < bytes.size()) {
                m_cut = true;
                near->disconnectFromHost(); // once that is sent
            }
        });
        QObject::connect(far, &QAbstractSocket::disconnected, near, &QAbstractSocket::disconnectFromHost);
        QObject::connect(near, &QAbstractSocket::disconnected, near, &QObject::deleteLater);
    });
    QEventLoop loop;
    while (!QThread::currentThread()->isInterruptionRequested())
        loop.processEvents(QEventLoop::WaitForMoreEvents | QEventLoop::AllEvents, 50), QThread::msleep(1);
}

} // namespace lxmgr::test

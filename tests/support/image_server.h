// ImageServer: an HTTPS server of files in the test itself, which cuts connections, lies and refuses as it is told.
#pragma once

#include <QByteArray>
#include <QJsonObject>
#include <QList>
#include <QMap>
#include <QMutex>
#include <QString>
#include <QStringList>
#include <QThread>

#include <memory>

namespace lxmgr::test
{

class ImageServer
{
public:
    enum class Tls { Any, Old };
    /// Makes a certificate of its own authority in `folder` ("server.crt") where there is none. In the network namespace of the calling
    /// thread. Old: TLS 1.2 is all it speaks.
    explicit ImageServer(const QString &folder, Tls tls = Tls::Any);
    ~ImageServer();
    ImageServer(const ImageServer &) = delete;
    ImageServer &operator=(const ImageServer &) = delete;

    QString url() const { return QString("https://127.0.0.1:%1").arg(m_port); }
    /// PEM file: the authority that vouches for it.
    QString authority() const { return m_folder + "/server.crt"; }

    void put(const QString &path, const QByteArray &content);
    /// A page that says in the head of its answer where an image is.
    void putLink(const QString &path, const QByteArray &fingerprint, const QByteArray &url);
    /// An image in two files as the API of daemons sends it: one form. With `etag`, it may be had from the middle, too.
    void putForm(const QString &path, const QByteArray &metadata, const QByteArray &rootfs, const QByteArray &etag);
    void clear();
    /// Of what is longer than that, only so many bytes come of each answer, `times` times; then the connection is cut.
    void cutAfter(qint64 bytes, int times);
    /// Whole files are sent, whatever part is asked for.
    void ignoreRanges(bool ignore);
    /// Answers stand still after their first `after` bytes until false.
    void stall(bool stall, qint64 after = 1000);
    /// "GET /path bytes=5-" of every request since the last call.
    QStringList takeRequests();

private:
    class Loop;
    QString m_folder;
    Tls m_tls;
    quint16 m_port = 0;
    QMutex m_mutex;
    QMap<QString, QByteArray> m_files;
    QMap<QString, QByteArray> m_headers; ///< More lines of an answer's head.
    qint64 m_cutAfter = 0;
    int m_cutTimes = 0;
    bool m_ignoreRanges = false;
    bool m_stall = false;
    qint64 m_stallAfter = 0;
    QStringList m_requests;
    std::unique_ptr<QThread> m_thread;
};

/// streams/v1/index.json and images.json of products that are put together here.
struct StreamItem {
    QString ftype;
    QString path;
    QByteArray content;
};
/// Puts one version of one product there, with its files; alias "debian/12". What was there stays. Gives the fingerprint.
QByteArray putProduct(ImageServer &server, QJsonObject &products, const QString &id, const QString &aliases, const QString &version,
                      const QList<StreamItem> &items);
void putIndex(ImageServer &server, const QJsonObject &products);

} // namespace lxmgr::test

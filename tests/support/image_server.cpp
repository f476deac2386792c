#include "support/image_server.h"

#include "support/process.h"

#include <QCryptographicHash>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QPointer>
#include <QSslCertificate>
#include <QSslConfiguration>
#include <QSslKey>
#include <QSslServer>
#include <QSslSocket>

#include <atomic>
#include <memory>

namespace lxmgr::test
{

constexpr const char *kBoundary = "--boundary-of-the-test";

class ImageServer::Loop : public QThread
{
public:
    explicit Loop(ImageServer &owner) : m_owner(owner) {}

    void run() override
    {
        QSslServer server;
        QFile certificate(m_owner.m_folder + "/server.crt"), key(m_owner.m_folder + "/server.key");
        if (!certificate.open(QIODevice::ReadOnly) || !key.open(QIODevice::ReadOnly))
            qFatal("no certificate for the image server");
        QSslConfiguration configuration = QSslConfiguration::defaultConfiguration();
        configuration.setLocalCertificate(QSslCertificate(certificate.readAll()));
        configuration.setPrivateKey(QSslKey(key.readAll(), QSsl::Ec));
        configuration.setProtocol(m_owner.m_tls == Tls::Old ? QSsl::TlsV1_2 : QSsl::TlsV1_2OrLater);
        server.setSslConfiguration(configuration);
        if (!server.listen(QHostAddress::LocalHost))
            qFatal("the image server cannot listen");
        m_owner.m_port = server.serverPort();
        QObject::connect(&server, &QTcpServer::pendingConnectionAvailable, &server, [&] {
            while (QTcpSocket *socket = server.nextPendingConnection()) {
                auto buffer = std::make_shared<QByteArray>();
                QObject::connect(socket, &QIODevice::readyRead, socket, [this, socket, buffer] {
                    buffer->append(socket->readAll());
                    for (qsizetype end; (end = buffer->indexOf("\r\n\r\n")) >= 0; buffer->remove(0, end + 4))
                        answer(socket, buffer->left(end));
                });
                QObject::connect(socket, &QAbstractSocket::disconnected, socket, &QObject::deleteLater);
            }
        });
        m_server = &server;
        m_ready = true;
        exec();
    }
    /// What stands still goes on; any thread.
    void release()
    {
        QMetaObject::invokeMethod(m_server, [this] {
            for (auto &[socket, rest] : m_held)
                if (socket)
                    socket->write(rest);
            m_held.clear();
        });
    }
    std::atomic<bool> m_ready = false;

private:
    QSslServer *m_server = nullptr;
    QList<std::pair<QPointer<QTcpSocket>, QByteArray>> m_held;

    void answer(QTcpSocket *socket, const QByteArray &head)
    {
        const QMutexLocker lock(&m_owner.m_mutex);
        const QString path = QString::fromUtf8(head.split(' ').value(1));
        QByteArray range, ifRange;
        for (const QByteArray &line : head.split('\n')) {
            if (line.toLower().startsWith("range:"))
                range = line.mid(6).trimmed();
            else if (line.toLower().startsWith("if-range:"))
                ifRange = line.mid(9).trimmed();
        }
        m_owner.m_requests << QString::fromUtf8(head.split(' ').value(0)) + " " + path + (range.isEmpty() ? "" : " " + QString::fromUtf8(range));
        if (!m_owner.m_files.contains(path)) {
            socket->write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        const QByteArray whole = m_owner.m_files.value(path);
        const bool form = whole.startsWith(kBoundary);
        const bool another = form && (ifRange.isEmpty() || !m_owner.m_headers.value(path).contains(ifRange));
        const qint64 from = m_owner.m_ignoreRanges || another || range.isEmpty() ? 0 : range.mid(6, range.indexOf('-') - 6).toLongLong();
        const bool part = from > 0;
        QByteArray body = whole.mid(from);
        socket->write(part ? "HTTP/1.1 206 Partial Content\r\n" : "HTTP/1.1 200 OK\r\n");
        if (part)
            socket->write("Content-Range: bytes " + QByteArray::number(from) + "-" + QByteArray::number(whole.size() - 1) + "/" + QByteArray::number(whole.size()) + "\r\n");
        const QByteArray type = form ? "multipart/form-data; boundary=" + QByteArray(kBoundary).mid(2) : "application/octet-stream";
        socket->write("Content-Type: " + (path.endsWith(".json") ? "application/json" : type) + "\r\nContent-Length: " +
                      QByteArray::number(body.size()) + "\r\n" + m_owner.m_headers.value(path) + "\r\n");
        if (head.startsWith("HEAD "))
            return;
        const bool image = !path.endsWith(".json");
        if (image && m_owner.m_stall) {
            socket->write(body.left(m_owner.m_stallAfter));
            m_held.append({socket, body.mid(m_owner.m_stallAfter)});
        } else if (image && m_owner.m_cutTimes > 0 && body.size() > m_owner.m_cutAfter) {
            --m_owner.m_cutTimes;
            socket->write(body.left(m_owner.m_cutAfter));
            socket->disconnectFromHost(); // once that is sent
        } else {
            socket->write(body);
        }
    }

    ImageServer &m_owner;
};

ImageServer::ImageServer(const QString &folder, Tls tls) : m_folder(folder), m_tls(tls)
{
    const Run made = QFile::exists(authority()) ? Run{0, {}, {}, {}} : run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                          "subjectAltName=IP:127.0.0.1", "-keyout", folder + "/server.key", "-out", folder + "/server.crt"});
    if (!made.ok())
        qFatal("%s", made.told().constData());
    auto loop = std::make_unique<Loop>(*this);
    Loop *const waited = loop.get();
    m_thread = std::move(loop);
    m_thread->start();
    while (!waited->m_ready)
        QThread::msleep(5);
}

ImageServer::~ImageServer()
{
    m_thread->quit();
    m_thread->wait();
}

void ImageServer::put(const QString &path, const QByteArray &content)
{
    const QMutexLocker lock(&m_mutex);
    m_files.insert("/" + path, content);
}

void ImageServer::putLink(const QString &path, const QByteArray &fingerprint, const QByteArray &url)
{
    put(path, "see the head");
    const QMutexLocker lock(&m_mutex);
    m_headers.insert("/" + path, "LXD-Image-Hash: " + fingerprint + "\r\nLXD-Image-URL: " + url + "\r\n");
}

void ImageServer::putForm(const QString &path, const QByteArray &metadata, const QByteArray &rootfs, const QByteArray &etag)
{
    const auto part = [](const QByteArray &name, const QByteArray &content) {
        return kBoundary + QByteArray("\r\nContent-Disposition: form-data; name=\"") + name + "\"; filename=\"" + name + "\"\r\n\r\n" + content + "\r\n";
    };
    put(path, part("metadata", metadata) + part("rootfs", rootfs) + kBoundary + "--\r\n");
    const QMutexLocker lock(&m_mutex);
    m_headers.insert("/" + path, etag.isEmpty() ? QByteArray() : "ETag: \"" + etag + "\"\r\n");
}

void ImageServer::clear()
{
    const QMutexLocker lock(&m_mutex);
    m_files.clear();
    m_headers.clear();
    m_requests.clear();
    m_cutTimes = 0;
    m_ignoreRanges = m_stall = false;
}

void ImageServer::cutAfter(qint64 bytes, int times)
{
    const QMutexLocker lock(&m_mutex);
    m_cutAfter = bytes;
    m_cutTimes = times;
}

void ImageServer::ignoreRanges(bool ignore)
{
    const QMutexLocker lock(&m_mutex);
    m_ignoreRanges = ignore;
}

void ImageServer::stall(bool stall, qint64 after)
{
    const QMutexLocker lock(&m_mutex);
    m_stall = stall;
    m_stallAfter = after;
    if (!stall)
        static_cast<Loop *>(m_thread.get())->release();
}

QStringList ImageServer::takeRequests()
{
    const QMutexLocker lock(&m_mutex);
    return std::exchange(m_requests, {});
}

QByteArray putProduct(ImageServer &server, QJsonObject &products, const QString &id, const QString &aliases, const QString &version,
                      const QList<StreamItem> &items)
{
    const auto hash = [](const QByteArray &bytes) { return QCryptographicHash::hash(bytes, QCryptographicHash::Sha256).toHex(); };
    QJsonObject listed;
    QByteArray metadata, fingerprint;
    for (const StreamItem &item : items) {
        server.put(item.path, item.content);
        QJsonObject entry{{"ftype", item.ftype}, {"path", item.path}, {"size", item.content.size()}, {"sha256", QString::fromUtf8(hash(item.content))}};
        if (item.ftype == "lxd.tar.xz")
            metadata = item.content;
        else if (item.ftype == "lxd_combined.tar.gz")
            fingerprint = hash(item.content);
        else
            fingerprint = hash(metadata + item.content);
        listed.insert(item.ftype, entry);
    }
    if (listed.contains("lxd.tar.xz")) {
        QJsonObject first = listed.value("lxd.tar.xz").toObject();
        first.insert(listed.contains("squashfs") ? "combined_squashfs_sha256" : "combined_rootxz_sha256", QString::fromUtf8(fingerprint));
        listed.insert("lxd.tar.xz", first);
    }
    QJsonObject product = products.value(id).toObject();
    QJsonObject versions = product.value("versions").toObject();
    versions.insert(version, QJsonObject{{"items", listed}});
    product.insert("aliases", aliases);
    product.insert("arch", "amd64");
    product.insert("os", "Test");
    product.insert("release", "r1");
    product.insert("release_title", "R1");
    product.insert("versions", versions);
    products.insert(id, product);
    return fingerprint;
}

void putIndex(ImageServer &server, const QJsonObject &products)
{
    QJsonArray names;
    for (const QString &name : products.keys())
        names.append(name);
    const QJsonObject stream{{"datatype", "image-downloads"}, {"path", "streams/v1/images.json"}, {"format", "products:1.0"}, {"products", names}};
    server.put("streams/v1/index.json", QJsonDocument(QJsonObject{{"format", "index:1.0"}, {"index", QJsonObject{{"images", stream}}}}).toJson());
    server.put("streams/v1/images.json",
               QJsonDocument(QJsonObject{{"format", "products:1.0"}, {"datatype", "image-downloads"}, {"products", products}}).toJson());
}

} // namespace lxmgr::test

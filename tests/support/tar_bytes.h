// Tar archives byte by byte, as hostile as wanted.
#pragma once

#include <QtCore/QByteArray>
#include <QtCore/QList>

namespace lxmgr::test
{

struct TarEntry {
    QByteArray name;
    char type = '0';
    QByteArray content = {};
    QByteArray link = {};
    int mode = 0644;
    int uid = 0;
    qint64 claimedSize = -1; ///< Instead of the content's.
};

inline QByteArray octal(qint64 value, int width)
{
    return QByteArray::number(value, 8).rightJustified(width - 1, '0') + '\0';
}

inline QByteArray tarHeader(const TarEntry &entry)
{
    QByteArray header(512, '\0');
    const auto put = [&](int at, const QByteArray &text, int most) {
        header.replace(at, std::min<int>(text.size(), most), text.left(most));
    };
    put(0, entry.name, 100);
    put(100, octal(entry.mode, 8), 8);
    put(108, octal(entry.uid, 8), 8);
    put(116, octal(entry.uid, 8), 8);
    put(124, octal(entry.claimedSize >= 0 ? entry.claimedSize : entry.content.size(), 12), 12);
    put(136, octal(1600000000, 12), 12);
    put(148, "        ", 8);
    header[156] = entry.type;
    put(157, entry.link, 100);
    put(257,
        QByteArray("ustar\0"
                   "00",
                   8),
        8);
    unsigned sum = 0;
    for (const char c : header)
        sum += static_cast<unsigned char>(c);
    put(148, QByteArray::number(sum, 8).rightJustified(6, '0') + '\0' + ' ', 8);
    return header;
}

inline QByteArray tar(const QList<TarEntry> &entries)
{
    QByteArray bytes;
    for (const TarEntry &entry : entries) {
        bytes += tarHeader(entry) + entry.content;
        bytes += QByteArray((512 - entry.content.size() % 512) % 512, '\0');
    }
    return bytes + QByteArray(1024, '\0');
}

/// A pax header before an entry: "length key=value\n".
inline TarEntry pax(const QByteArray &key, const QByteArray &value)
{
    const QByteArray rest = " " + key + "=" + value + "\n";
    int length = rest.size() + 1;
    while (QByteArray::number(length).size() + rest.size() != length)
        ++length;
    return {"pax", 'x', QByteArray::number(length) + rest};
}

} // namespace lxmgr::test

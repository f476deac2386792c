// What a tree is, byte for byte, as text to be compared; and random edits of one.
#pragma once

#include <QtCore/QByteArray>
#include <QtCore/QCryptographicHash>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <random>
#include <string>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

namespace lxmgr::test
{

using Manifest = std::map<std::string, std::string>; ///< Path → all about it.

inline std::string linkText(const std::string &path)
{
    char text[4096];
    const ssize_t length = ::readlink(path.c_str(), text, sizeof text);
    return std::string(text, length < 0 ? 0 : static_cast<std::size_t>(length));
}

inline std::string hashOf(const std::string &path)
{
    QCryptographicHash hash(QCryptographicHash::Sha256);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return std::string("unreadable: ") + std::strerror(errno);
    static char data[1 << 16];
    for (ssize_t length; (length = ::read(fd, data, sizeof data)) > 0;)
        hash.addData(QByteArrayView(data, length));
    ::close(fd);
    return hash.result().toHex().toStdString();
}

inline std::string attributesText(const std::string &path)
{
    std::string names(65536, '\0');
    const ssize_t length = ::llistxattr(path.c_str(), names.data(), names.size());
    std::map<std::string, std::string> sorted;
    for (const char *name = names.c_str(); length > 0 && name < names.c_str() + length; name += std::strlen(name) + 1) {
        std::string value(65536, '\0');
        const ssize_t size = ::lgetxattr(path.c_str(), name, value.data(), value.size());
        sorted[name] = size < 0 ? std::strerror(errno) : QByteArray(value.data(), size).toHex().toStdString();
    }
    std::string text;
    for (const auto &[name, value] : sorted)
        text += " " + name + "=" + value;
    return text;
}

inline void addToManifest(const std::string &top, const std::string &relative, Manifest &manifest,
                          std::map<ino_t, std::vector<std::string>> &names)
{
    const std::string path = top + relative;
    struct stat info {
    };
    if (::lstat(path.c_str(), &info) < 0) {
        manifest[relative] = std::strerror(errno);
        return;
    }
    std::string text = std::to_string(info.st_mode) + " " + std::to_string(info.st_uid) + ":" +
                       std::to_string(info.st_gid) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
                       std::to_string(info.st_mtim.tv_nsec) + attributesText(path);
    if (S_ISREG(info.st_mode))
        text += " size " + std::to_string(info.st_size) + " " + hashOf(path);
    if (S_ISLNK(info.st_mode))
        text += " -> " + linkText(path);
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode))
        text += " device " + std::to_string(info.st_rdev);
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1)
        names[info.st_ino].push_back(relative);
    manifest[relative] = text;
    if (!S_ISDIR(info.st_mode))
        return;
    std::vector<std::string> entries;
    if (DIR *stream = ::opendir(path.c_str())) {
        while (const dirent *entry = ::readdir(stream))
            if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
                entries.emplace_back(entry->d_name);
        ::closedir(stream);
    }
    for (const std::string &name : entries)
        addToManifest(top, relative + "/" + name, manifest, names);
}

inline Manifest manifestOf(const std::string &top)
{
    Manifest manifest;
    std::map<ino_t, std::vector<std::string>> names;
    addToManifest(top, "", manifest, names);
    for (auto &[inode, same] : names) {
        std::sort(same.begin(), same.end());
        for (std::size_t i = 0; same.size() > 1 && i < same.size(); ++i)
            manifest[same[i]] += " same as " + same.front();
    }
    return manifest;
}

/// The first few differences, or "".
inline QByteArray differences(const Manifest &expected, const Manifest &found)
{
    QByteArray text;
    int count = 0;
    for (const auto &[path, line] : expected)
        if (const auto other = found.find(path); other == found.end() || other->second != line) {
            if (++count <= 4)
                text +=
                    "\n'" + QByteArray::fromStdString(path).toPercentEncoding("/") + "'\n  expected " +
                    QByteArray::fromStdString(line).left(600) + "\n  found    " +
                    (other == found.end() ? QByteArray("nothing") : QByteArray::fromStdString(other->second).left(600));
        }
    for (const auto &[path, line] : found)
        if (!expected.contains(path) && ++count <= 8)
            text += "\n'" + QByteArray::fromStdString(path).toPercentEncoding("/") +
                    "' is too many: " + QByteArray::fromStdString(line).left(200);
    return count == 0 ? QByteArray() : QByteArray::number(count) + " differences:" + text;
}

/// Edits a mounted tree as a guest might, with every call that changes one. A refusal (EXDEV, ENOTEMPTY …) is no
/// matter.
class Editor
{
public:
    Editor(std::mt19937 &random, std::string top) : m_random(random), m_top(std::move(top)) {}

    void edit()
    {
        using Edit = void (Editor::*)();
        static constexpr Edit kEdits[] = {&Editor::create,    &Editor::create,      &Editor::create, &Editor::overwrite,
                                          &Editor::truncate,  &Editor::append,      &Editor::remove, &Editor::remove,
                                          &Editor::folder,    &Editor::folder,      &Editor::rename, &Editor::rename,
                                          &Editor::link,      &Editor::symlink,     &Editor::mode,   &Editor::owner,
                                          &Editor::attribute, &Editor::noAttribute, &Editor::node,   &Editor::times,
                                          &Editor::replace,   &Editor::sparse};
        (this->*kEdits[number(std::size(kEdits))])();
    }

private:
    std::size_t number(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(m_random); }
    static void list(const std::string &path, std::vector<std::string> &all)
    {
        DIR *stream = ::opendir(path.c_str());
        if (!stream)
            return;
        std::vector<std::string> here;
        while (const dirent *entry = ::readdir(stream))
            if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
                here.push_back(path + "/" + entry->d_name);
        ::closedir(stream);
        std::sort(here.begin(), here.end()); // the same seed does the same on every file system
        for (const std::string &one : here) {
            all.push_back(one);
            struct stat info {
            };
            if (::lstat(one.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
                list(one, all);
        }
    }
    std::string some(bool (*fits)(mode_t))
    {
        std::vector<std::string> all;
        list(m_top, all);
        std::erase_if(all, [&](const std::string &path) {
            struct stat info {
            };
            return ::lstat(path.c_str(), &info) < 0 || !fits(info.st_mode);
        });
        return all.empty() ? m_top + "/missing" : all[number(all.size())];
    }
    std::string anything()
    {
        return some([](mode_t) { return true; });
    }
    std::string file()
    {
        return some([](mode_t mode) { return S_ISREG(mode); });
    }
    std::string place()
    {
        static const char *const kNames[] = {"a", "b", "c", "new\nline", "\xff\xfe", "space d", "e", ".hidden"};
        const std::string folder = number(3) == 0 ? m_top : some([](mode_t mode) { return S_ISDIR(mode); });
        return folder + "/" + kNames[number(std::size(kNames))];
    }
    void write(const std::string &path, int flags, off_t at, std::size_t size)
    {
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
        std::string data(size, '\0');
        for (char &byte : data)
            byte = static_cast<char>(m_random());
        if (fd >= 0 && ::pwrite(fd, data.data(), data.size(), at) < 0)
            std::perror("pwrite");
        ::close(fd);
    }
    void create() { write(place(), O_WRONLY | O_CREAT | O_EXCL, 0, number(20'000)); }
    void overwrite() { write(file(), O_WRONLY, static_cast<off_t>(number(5000)), number(3000)); }
    void append() { write(file(), O_WRONLY | O_APPEND, 0, number(3000)); }
    void sparse()
    {
        write(place(), O_WRONLY | O_CREAT | O_EXCL, static_cast<off_t>(number(3'000'000)), 1 + number(3000));
    }
    void truncate() { (void)!::truncate(file().c_str(), static_cast<off_t>(number(30'000))); }
    void folder() { ::mkdir(place().c_str(), 0700 | static_cast<mode_t>(number(0100))); }
    void link() { (void)!::link(file().c_str(), place().c_str()); }
    void symlink() { (void)!::symlink(anything().c_str(), place().c_str()); }
    void mode()
    {
        (void)!::fchmodat(AT_FDCWD, some([](mode_t kind) { return !S_ISLNK(kind); }).c_str(),
                          static_cast<mode_t>(number(010000)), 0);
    }
    void owner()
    {
        (void)!::lchown(anything().c_str(), static_cast<uid_t>(number(4'000'000'000)),
                        static_cast<gid_t>(number(200'000)));
    }
    void node()
    {
        static constexpr mode_t kKinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
        ::mknod(place().c_str(), kKinds[number(4)] | 0600, makedev(1 + number(200), number(300)));
    }
    void attribute()
    {
        const std::string name =
            (number(2) ? "user." : "trusted.") + std::string(1, static_cast<char>('a' + number(4)));
        const std::string value(number(300), static_cast<char>(number(256)));
        ::lsetxattr(anything().c_str(), name.c_str(), value.data(), value.size(), 0);
    }
    void noAttribute() { ::lremovexattr(anything().c_str(), number(2) ? "user.a" : "trusted.b"); }
    void times()
    {
        const timespec when[2] = {
            {static_cast<time_t>(number(2'000'000'000)), 5                                       },
            {static_cast<time_t>(number(2'000'000'000)), static_cast<long>(number(1'000'000'000))}
        };
        ::utimensat(AT_FDCWD, anything().c_str(), when, AT_SYMLINK_NOFOLLOW);
    }
    static void removeAll(const std::string &path)
    {
        std::vector<std::string> all{path};
        list(path, all);
        for (auto one = all.rbegin(); one != all.rend(); ++one)
            ::remove(one->c_str());
    }
    void remove() { removeAll(anything()); }
    void rename() { ::rename(anything().c_str(), place().c_str()); }
    /// Another kind of thing under the same name: an opaque folder, or a file on a folder.
    void replace()
    {
        const std::string path = anything();
        struct stat info {
        };
        ::lstat(path.c_str(), &info);
        removeAll(path);
        if (S_ISDIR(info.st_mode) && number(3) == 0)
            return write(path, O_WRONLY | O_CREAT | O_EXCL, 0, number(2000));
        ::mkdir(path.c_str(), 0755);
        write(path + "/inside", O_WRONLY | O_CREAT | O_EXCL, 0, number(2000));
    }

    std::mt19937 &m_random;
    std::string m_top;
};

} // namespace lxmgr::test

#include "support/audit.h"

#include <QDir>
#include <QDirIterator>
#include <QFile>
#include <QFileInfo>
#include <QTemporaryDir>

#include <net/if.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::test
{

namespace
{

QByteArray readAll(const QString &path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

QStringList linesWith(const QString &path, const QString &text)
{
    QStringList found;
    for (const QByteArray &line : readAll(path).split('\n'))
        if (line.contains(text.toUtf8()))
            found << QString::fromUtf8(line);
    return found;
}

/// Mount points of ours; the numbers in front of a mountinfo line differ from run to run.
QStringList mounts(const AuditScope &scope)
{
    QStringList found;
    for (const QString &line : linesWith("/proc/self/mountinfo", scope.directory))
        found << line.section(' ', 3, 4) + " " + line.section(" - ", 1);
    return found;
}

QStringList cgroups(const AuditScope &scope)
{
    QStringList found;
    for (const QString &base : cgroupBases(scope)) {
        QDirIterator folders(base, QDir::Dirs | QDir::NoDotAndDotDot, QDirIterator::Subdirectories);
        while (folders.hasNext())
            found << folders.next();
    }
    return found;
}

QStringList links()
{
    QStringList found;
    struct if_nameindex *list = ::if_nameindex();
    for (struct if_nameindex *entry = list; entry && entry->if_index; ++entry)
        found << entry->if_name;
    ::if_freenameindex(list);
    return found;
}

QStringList loops(const AuditScope &scope)
{
    QStringList found;
    for (const QString &name : QDir("/sys/block").entryList({"loop*"})) {
        const QString file = QString::fromUtf8(readAll("/sys/block/" + name + "/loop/backing_file").trimmed());
        if (file.startsWith(scope.directory))
            found << file;
    }
    return found;
}

QStringList sockets(const AuditScope &scope)
{
    QStringList found;
    for (const QString &line : linesWith("/proc/net/unix", scope.directory))
        found << line.section(' ', -1);
    found.removeDuplicates();
    return found;
}

QStringList namedNetns()
{
    return QDir("/run/netns").entryList({"*lxmgr*"}, QDir::AllEntries | QDir::System | QDir::NoDotAndDotDot);
}

/// Files of the state folder without what is allowed to come and go: caches, images, backups, logs, SQLite's side files, the
/// copy of the day. A guest's own tree counts as one entry.
QStringList stateFiles(const AuditScope &scope)
{
    QStringList found;
    QStringList pending{scope.stateDir};
    while (!pending.isEmpty()) {
        const QString folder = pending.takeFirst();
        for (const QFileInfo &entry :
             QDir(folder).entryInfoList(QDir::AllEntries | QDir::Hidden | QDir::System | QDir::NoDotAndDotDot)) {
            const QString path = entry.filePath().mid(scope.stateDir.size() + 1);
            // A whole image is named by its fingerprint; anything else among images is a build or import that was left.
            const bool image = path.contains("images/") && entry.fileName().section('.', 0, 0).size() == 64;
            if (image || path == "logs/lxmgrd.log" || path == "borg" || path == "backup-repository" || path.endsWith("-cache"))
                continue;
            if (path.endsWith("-wal") || path.endsWith("-shm") || path.startsWith("networks/") || path.startsWith("run") ||
                path.startsWith("lxmgr.db.day-"))
                continue;
            found << path;
            const bool tree = path.count('/') >= 4;
            if (entry.isDir() && !entry.isSymLink() && !tree)
                pending << entry.filePath();
        }
    }
    return found;
}

QStringList rowsOf(sqlite3 *database, const char *query)
{
    QStringList rows;
    sqlite3_stmt *statement = nullptr;
    if (sqlite3_prepare_v2(database, query, -1, &statement, nullptr) != SQLITE_OK)
        return rows; // a table that is not there holds nothing
    while (sqlite3_step(statement) == SQLITE_ROW)
        rows << QString::fromUtf8(reinterpret_cast<const char *>(sqlite3_column_text(statement, 0)));
    sqlite3_finalize(statement);
    return rows;
}

/// Rows that belong to instances: none may outlive its instance. Read from a copy, as a daemon has its database for itself.
QStringList rows(const AuditScope &scope)
{
    QStringList found;
    const QTemporaryDir copy;
    for (const char *name : {"lxmgr.db", "lxmgr.db-wal"})
        QFile::copy(scope.stateDir + "/" + name, copy.filePath(name));
    sqlite3 *database = nullptr;
    const QByteArray path = copy.filePath("lxmgr.db").toUtf8();
    if (sqlite3_open_v2(path.constData(), &database, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK) {
        found << rowsOf(database, "SELECT 'instance ' || name FROM instances");
        found << rowsOf(database, "SELECT 'id range ' || base FROM id_ranges");
        found << rowsOf(database, "SELECT 'storage pool ' || name FROM storage_pools");
        found << rowsOf(database, "SELECT 'storage volume ' || name FROM volumes");
        found << rowsOf(database, "SELECT 'config of ' || instance_id FROM instance_config "
                                  "WHERE instance_id NOT IN (SELECT id FROM instances)");
        found << rowsOf(database, "SELECT 'integrity: ' || integrity_check FROM pragma_integrity_check "
                                  "WHERE integrity_check <> 'ok'");
        found << rowsOf(database, "SELECT 'foreign key: ' || \"table\" FROM pragma_foreign_key_check");
    }
    sqlite3_close(database);
    return found;
}

} // namespace

QMap<int, QString> processesOf(const AuditScope &scope)
{
    struct stat own {
    };
    ::stat("/proc/thread-self/ns/net", &own);
    QMap<int, QString> found;
    for (const QString &entry : QDir("/proc").entryList(QDir::Dirs)) {
        bool isPid = false;
        const int pid = entry.toInt(&isPid);
        if (!isPid || pid == ::getpid())
            continue;
        const QString folder = "/proc/" + entry;
        const QByteArray command = readAll(folder + "/cmdline").replace('\0', ' ').trimmed();
        if (command.isEmpty()) // kernel threads and zombies
            continue;
        struct stat theirs {
        };
        ::stat((folder + "/ns/net").toUtf8().constData(), &theirs);
        const bool ours = (scope.network && theirs.st_ino == own.st_ino && theirs.st_dev == own.st_dev)
                          || readAll(folder + "/cgroup").contains(("/" + scope.cgroupBase + "/").toUtf8())
                          || readAll(folder + "/environ").contains(("LXMGR_DIR=" + scope.stateDir).toUtf8());
        if (ours)
            found.insert(pid, QString::fromUtf8(command));
    }
    return found;
}

QStringList cgroupBases(const AuditScope &scope)
{
    QStringList found;
    QStringList hierarchies{"/sys/fs/cgroup"};
    for (const QString &name : QDir("/sys/fs/cgroup").entryList(QDir::Dirs | QDir::NoDotAndDotDot))
        hierarchies << "/sys/fs/cgroup/" + name;
    for (const QString &hierarchy : hierarchies)
        if (QFileInfo::exists(hierarchy + "/" + scope.cgroupBase))
            found << hierarchy + "/" + scope.cgroupBase;
    return found;
}

Holdings takeStock(const AuditScope &scope)
{
    Holdings all;
    all["mount"] = mounts(scope);
    all["cgroup"] = cgroups(scope);
    all["link"] = links();
    all["loop"] = loops(scope);
    all["socket"] = sockets(scope);
    all["netns"] = namedNetns();
    all["file"] = stateFiles(scope);
    all["row"] = rows(scope);
    all["process"] = processesOf(scope).values();
    for (QStringList &items : all)
        items.sort();
    return all;
}

QStringList difference(const Holdings &before, const Holdings &after)
{
    QStringList changes;
    for (auto category = before.cbegin(); category != before.cend(); ++category) {
        QStringList gone = category.value();
        for (const QString &item : after.value(category.key()))
            if (!gone.removeOne(item))
                changes << "+ " + category.key() + ": " + item;
        for (const QString &item : gone)
            changes << "- " + category.key() + ": " + item;
    }
    return changes;
}

} // namespace lxmgr::test

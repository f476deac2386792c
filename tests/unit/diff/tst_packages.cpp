// Databases of package managers: what they hold is found, and what is no database does no harm.
#include "diff/packages.h"
#include "kernel/sys.h"
#include "support/verify.h"

#include <QDir>
#include <QTemporaryDir>
#include <random>
#include <sqlite3.h>

using namespace lxmgr;
using namespace lxmgr::diff;

namespace
{

using List = std::vector<std::string>;

List told(const PackageSet &packages)
{
    List all;
    for (const Package &package : packages)
        all.push_back(package.name + "/" + package.architecture + "/" + package.version);
    return all;
}

List told(const std::vector<PackageChange> &changes)
{
    List all;
    for (const PackageChange &change : changes)
        all.push_back(std::string(changeName(change.kind)) + " " + change.name + "/" + change.architecture + " " +
                      change.before + ">" + change.after);
    return all;
}

QByteArray shown(const List &list)
{
    QByteArray text;
    for (const std::string &line : list)
        text += QByteArray::fromStdString(line) + "\n";
    return text;
}

#define COMPARE_LISTS(found, ...) QCOMPARE(shown(found), shown(List __VA_ARGS__))

void number(std::string &bytes, std::uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes.push_back(static_cast<char>(value >> shift));
}

/// A header as rpm writes it into its database.
std::string rpmHeader(const std::string &name, const std::string &version, const std::string &release,
                      const std::string &architecture, int epoch = -1)
{
    std::string index, data;
    std::uint32_t entries = 0;
    const auto add = [&](std::uint32_t tag, std::uint32_t type, const std::string &value) {
        for (const std::uint32_t part : {tag, type, static_cast<std::uint32_t>(data.size()), 1U})
            number(index, part);
        data += value;
        ++entries;
    };
    const std::string end(1, '\0');
    add(1000, 6, name + end);
    add(1001, 6, version + end);
    add(1002, 6, release + end);
    std::string epochBytes;
    number(epochBytes, static_cast<std::uint32_t>(epoch));
    if (epoch >= 0)
        add(1003, 4, epochBytes);
    add(1022, 6, architecture + end);
    std::string blob;
    number(blob, entries);
    number(blob, static_cast<std::uint32_t>(data.size()));
    return blob + index + data;
}

/// The file of a database with `headers`.
std::string rpmDatabase(const QString &path, const List &headers, const char *mode = "DELETE")
{
    QFile::remove(path);
    sqlite3 *database = nullptr;
    sqlite3_open(path.toUtf8().constData(), &database);
    const std::string journal = std::string("PRAGMA journal_mode = ") + mode;
    sqlite3_exec(database, journal.c_str(), nullptr, nullptr, nullptr);
    sqlite3_exec(database, "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)", nullptr,
                 nullptr, nullptr);
    sqlite3_exec(database, "BEGIN", nullptr, nullptr, nullptr);
    for (const std::string &header : headers) {
        sqlite3_stmt *statement = nullptr;
        sqlite3_prepare_v2(database, "INSERT INTO Packages (blob) VALUES (?)", -1, &statement, nullptr);
        sqlite3_bind_blob(statement, 1, header.data(), static_cast<int>(header.size()), SQLITE_STATIC);
        sqlite3_step(statement);
        sqlite3_finalize(statement);
    }
    sqlite3_exec(database, "COMMIT", nullptr, nullptr, nullptr);
    sqlite3_close(database);
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll().toStdString() : std::string();
}

void write(const QString &path, const std::string &content)
{
    QDir().mkpath(QFileInfo(path).path());
    QFile file(path);
    if (file.open(QIODevice::WriteOnly))
        file.write(QByteArray::fromStdString(content));
}

Fd folder(const QString &path)
{
    QDir().mkpath(path);
    return std::move(*sys::open(path.toStdString(), O_RDONLY | O_DIRECTORY));
}

} // namespace

class TestPackages : public QObject
{
    Q_OBJECT
private slots:
    void dpkgStatusIsRead()
    {
        PackageSet packages;
        parseDpkg("Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.134\n"
                  "Description: add users\n Package: not-this\n Version: 9\n\n"
                  "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
                  "Package: purged\nStatus: purge ok not-installed\n\n"
                  "Package: half\nStatus: install reinstreq half-installed\nArchitecture: amd64\nVersion: 2:1~rc1-1\n\n"
                  "Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36\n\n"
                  "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n",
                  packages);
        COMPARE_LISTS(told(packages), {"adduser/all/3.134", "half/amd64/2:1~rc1-1", "libc6/amd64/2.36", "libc6/i386/2.36"});
    }

    void apkInstalledIsRead()
    {
        PackageSet packages;
        parseApk("C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nS:1\nF:lib\nR:ld-musl.so\n\nP:busybox\nV:1.36-r2\nA:x86_64\n\n",
                 packages);
        COMPARE_LISTS(told(packages), {"busybox/x86_64/1.36-r2", "musl/x86_64/1.2.5-r0"});
    }

    void rpmHeadersAreRead()
    {
        PackageSet packages;
        VERIFY_OK(parseRpmHeader(rpmHeader("bash", "5.2", "1.fc40", "x86_64"), packages));
        VERIFY_OK(parseRpmHeader(rpmHeader("grub2", "2.06", "9", "x86_64", 1), packages));
        VERIFY_OK(parseRpmHeader(rpmHeader("gpg-pubkey", "a15b", "642e", ""), packages));
        COMPARE_LISTS(told(packages), {"bash/x86_64/5.2-1.fc40", "grub2/x86_64/1:2.06-9"});
    }

    void cutHeadersAreRefused()
    {
        const std::string whole = rpmHeader("bash", "5.2", "1.fc40", "x86_64");
        for (std::size_t length = 0; length < whole.size(); ++length) {
            PackageSet packages;
            VERIFY_FAILS(Code::Corrupt, parseRpmHeader(std::string_view(whole).substr(0, length), packages));
            QVERIFY(packages.empty());
        }
    }

    void rpmDatabaseIsRead_data()
    {
        QTest::addColumn<QByteArray>("mode");
        QTest::newRow("rollback journal") << QByteArray("DELETE");
        QTest::newRow("write-ahead log, which is empty") << QByteArray("WAL");
    }
    void rpmDatabaseIsRead()
    {
        QFETCH(QByteArray, mode);
        QTemporaryDir dir;
        List headers;
        for (int i = 0; i < 500; ++i)
            headers.push_back(rpmHeader("package" + std::to_string(i), "1", std::string(200, 'r'), "noarch"));
        PackageSet packages;
        VERIFY_OK(parseRpmDatabase(rpmDatabase(dir.filePath("db"), headers, mode.constData()), packages));
        QCOMPARE(packages.size(), std::size_t(500));
    }

    void whatIsNoDatabaseIsRefused_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTemporaryDir dir;
        const std::string whole = rpmDatabase(dir.filePath("db"), {rpmHeader("a", "1", "1", "noarch")});
        QTest::newRow("empty") << QByteArray();
        QTest::newRow("text") << QByteArray("not a database at all");
        QTest::newRow("cut") << QByteArray::fromStdString(whole.substr(0, whole.size() / 2));
        QTest::newRow("no header inside") << QByteArray::fromStdString(rpmDatabase(dir.filePath("db"), {"x"}));
    }
    void whatIsNoDatabaseIsRefused()
    {
        QFETCH(QByteArray, file);
        PackageSet packages;
        VERIFY_FAILS(Code::Corrupt, parseRpmDatabase(file.toStdString(), packages));
    }

    void aViewThatNeverEndsIsStopped()
    {
        QTemporaryDir dir;
        const QString path = dir.filePath("db");
        sqlite3 *database = nullptr;
        sqlite3_open(path.toUtf8().constData(), &database);
        sqlite3_exec(database,
                     "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT blob + 1 FROM n) "
                     "SELECT blob FROM n WHERE blob < 0",
                     nullptr, nullptr, nullptr);
        sqlite3_close(database);
        QFile file(path);
        QVERIFY(file.open(QIODevice::ReadOnly));
        PackageSet packages;
        VERIFY_FAILS(Code::Corrupt, parseRpmDatabase(file.readAll().toStdString(), packages));
    }

    void mutationsOfADatabaseDoNoHarm()
    {
        QTemporaryDir dir;
        const std::string whole = rpmDatabase(dir.filePath("db"), {rpmHeader("a", "1", "1", "noarch"), rpmHeader("b", "2", "1", "noarch")});
        std::mt19937 random(7);
        for (int round = 0; round < 500; ++round) {
            std::string file = whole;
            for (int i = 0; i < 1 + round % 20; ++i)
                file[random() % file.size()] = static_cast<char>(random());
            PackageSet packages;
            (void)parseRpmDatabase(std::move(file), packages); // must only come back
        }
    }

    void changesAreTold()
    {
        const PackageSet before = {{"bash", "amd64", "1"}, {"gone", "all", "3"},          {"kernel", "x86_64", "5"},
                                   {"kernel", "x86_64", "6"}, {"libc", "amd64", "1"}, {"libc", "i386", "1"},
                                   {"moved", "amd64", "1"}, {"same", "all", "1"}};
        const PackageSet after = {{"bash", "amd64", "2"}, {"come", "all", "1"},           {"kernel", "x86_64", "6"},
                                  {"kernel", "x86_64", "7"}, {"libc", "amd64", "2"}, {"libc", "i386", "2"},
                                  {"moved", "all", "2"}, {"same", "all", "1"}};
        COMPARE_LISTS(told(comparePackages(before, after)),
                      {"modified bash/amd64 1>2", "added come/all >1", "deleted gone/all 3>", "modified kernel/x86_64 5>7",
                       "modified libc/amd64 1>2", "modified libc/i386 1>2", "modified moved/all 1>2"});
    }

    void databasesAreFoundInTrees()
    {
        QTemporaryDir dir;
        const QString a = dir.filePath("a"), b = dir.filePath("b");
        write(a + "/var/lib/dpkg/status", "Package: x\nVersion: 1\n");
        write(b + "/var/lib/dpkg/status", "Package: x\nVersion: 2\n");
        // Where /lib is a link, as on systems whose /usr holds everything.
        write(a + "/usr/lib/apk/db/installed", "P:y\nV:1\n");
        write(b + "/usr/lib/apk/db/installed", "P:y\nV:1\nx:\n");
        QFile::link("usr/lib", b + "/lib");
        write(a + "/var/lib/rpm/Packages", "old");
        const auto all = comparePackagesIn(folder(a), folder(b));
        QCOMPARE(all.size(), std::size_t(3));
        COMPARE_LISTS(told(all[0].changes), {"modified x/ 1>2"});
        QCOMPARE(all[1].manager, std::string("rpm"));
        QVERIFY2(all[1].note.find("of a form that this version does not read") != std::string::npos, all[1].note.c_str());
        QVERIFY(all[2].changes.empty());
        QVERIFY(all[2].note.empty());
    }

    void aJournalThatHoldsSomethingIsTold()
    {
        QTemporaryDir dir;
        const QString path = dir.filePath("a") + "/usr/lib/sysimage/rpm/rpmdb.sqlite";
        write(path, "");
        (void)rpmDatabase(path, {rpmHeader("a", "1", "1", "noarch")});
        write(path + "-wal", "frames");
        const auto all = comparePackagesIn(folder(dir.filePath("a")), folder(dir.filePath("b")));
        QCOMPARE(all.size(), std::size_t(1));
        COMPARE_LISTS(told(all[0].changes), {"deleted a/noarch 1-1>"});
        QVERIFY2(all[0].note.find("journal") != std::string::npos, all[0].note.c_str());
    }

    void linksOutOfTheTreeLeadNowhere()
    {
        QTemporaryDir dir;
        write(dir.filePath("secret"), "Package: secret\nVersion: 1\n");
        QDir().mkpath(dir.filePath("a/var/lib/dpkg"));
        QFile::link(dir.filePath("secret"), dir.filePath("a/var/lib/dpkg/status"));
        QDir().mkpath(dir.filePath("a/lib/apk/db"));
        QFile::link("../../../../../../../../../.." + dir.filePath("secret"), dir.filePath("a/lib/apk/db/installed"));
        QVERIFY(comparePackagesIn(folder(dir.filePath("a")), folder(dir.filePath("b"))).empty());
    }

    void pipesAreNotWaitedFor()
    {
        QTemporaryDir dir;
        QDir().mkpath(dir.filePath("a/var/lib/dpkg"));
        QCOMPARE(::mkfifo(dir.filePath("a/var/lib/dpkg/status").toUtf8().constData(), 0600), 0);
        QVERIFY(comparePackagesIn(folder(dir.filePath("a")), folder(dir.filePath("b"))).empty());
    }
};

QTEST_GUILESS_MAIN(TestPackages)
#include "tst_packages.moc"

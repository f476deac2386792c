#include "diff/packages.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <span>
#include <sys/stat.h>

namespace lxmgr::diff
{

namespace
{

constexpr std::size_t kLargestDatabase = 256U << 20;

bool isWord(std::string_view text) { return !text.empty() && text.size() <= kLongestPackageWord; }

void add(Package &package, PackageSet &packages)
{
    if (isWord(package.name) && isWord(package.version) && package.architecture.size() <= kLongestPackageWord &&
        packages.size() < kMostPackages)
        packages.insert(std::move(package));
    package = {};
}

/// Calls `line` for each, without its line feed; empty ones too, and one at the end.
template <class Line> void eachLine(std::string_view text, Line line)
{
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        line(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    line(std::string_view());
}

/// What is behind `field` if the line begins with it.
std::optional<std::string_view> valueOf(std::string_view line, std::string_view field)
{
    if (!line.starts_with(field))
        return std::nullopt;
    return trimmed(line.substr(field.size()));
}

/// deb-status(5): "want flag status". Anything but these two has files on the disk.
bool isOnDisk(std::string_view status)
{
    return !status.ends_with(" not-installed") && !status.ends_with(" config-files");
}

/// A regular file of the tree, resolved as inside it; nothing where there is none.
Result<std::optional<std::string>> readFile(const Fd &root, const std::string &path)
{
    using Text = std::optional<std::string>;
    const auto there = path::open(root, path, O_PATH, path::Scope::InRoot);
    if (!there && (there.error().errnum == ENOENT || there.error().errnum == ENOTDIR))
        return Text();
    if (!there)
        return there.error();
    if (!S_ISREG(TRY(sys::fstat(*there)).st_mode))
        return Text();
    const Fd file = TRY(path::open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, path::Scope::InRoot));
    return Text(TRY(files::readAll(file, kLargestDatabase)));
}

/// The text of all files in a folder such as status.d, one stanza after the other.
Result<std::optional<std::string>> readFolder(const Fd &root, const std::string &path)
{
    const auto folder = path::open(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, path::Scope::InRoot);
    if (!folder)
        return std::optional<std::string>();
    std::vector<std::string> names = TRY(path::list(*folder));
    std::sort(names.begin(), names.end());
    std::string all;
    for (const std::string &name : names) {
        if (name.ends_with(".md5sums"))
            continue;
        if (const auto text = TRY(readFile(*folder, name)); text && all.size() + text->size() <= kLargestDatabase)
            all += *text + "\n\n";
    }
    return all.empty() ? std::optional<std::string>() : std::optional(std::move(all));
}

Status parseText(void (*parse)(std::string_view, PackageSet &), const std::string &text, PackageSet &packages)
{
    parse(text, packages);
    return {};
}

struct Database {
    std::string_view manager;
    const char *path;
    Result<std::optional<std::string>> (*read)(const Fd &root, const std::string &path);
    Status (*parse)(std::string text, PackageSet &packages); ///< nullptr: a form that is not read.
};

constexpr auto kDpkg = [](std::string text, PackageSet &packages) { return parseText(&parseDpkg, text, packages); };
constexpr auto kApk = [](std::string text, PackageSet &packages) { return parseText(&parseApk, text, packages); };

const Database kDatabases[] = {
    {"dpkg", "var/lib/dpkg/status",                   &readFile,   kDpkg             },
    {"dpkg", "var/lib/dpkg/status.d",                 &readFolder, kDpkg             },
    {"apk",  "lib/apk/db/installed",                  &readFile,   kApk              },
    {"apk",  "usr/lib/apk/db/installed",              &readFile,   kApk              },
    {"rpm",  "usr/lib/sysimage/rpm/rpmdb.sqlite",     &readFile,   &parseRpmDatabase },
    {"rpm",  "var/lib/rpm/rpmdb.sqlite",              &readFile,   &parseRpmDatabase },
    {"rpm",  "usr/lib/sysimage/rpm/Packages.db",      &readFile,   nullptr           },
    {"rpm",  "var/lib/rpm/Packages.db",               &readFile,   nullptr           },
    {"rpm",  "var/lib/rpm/Packages",                  &readFile,   nullptr           },
};

/// What a database has not yet taken over from its journal, which this program does not read.
constexpr const char *kJournal = "-wal";

/// Of one manager on one side.
struct Installed {
    PackageSet packages;
    std::string raw; ///< The bytes that `packages` is to be read from.
    const Database *database = nullptr;
    std::string note;
};

Status find(const Fd &root, std::string_view manager, Installed &installed)
{
    for (const Database &row : kDatabases) {
        if (row.manager != manager || installed.database)
            continue;
        auto text = TRY_IN(row.path, row.read(root, row.path));
        if (!text)
            continue;
        installed.database = &row;
        installed.raw = std::move(*text);
        if (manager == "rpm" && row.parse)
            if (const auto journal = TRY(readFile(root, std::string(row.path) + kJournal)); journal && !journal->empty())
                installed.note = std::string(row.path) + " has a journal that rpm has not taken into it yet; what is "
                                                         "there is not counted";
    }
    return {};
}

Status parse(Installed &installed)
{
    if (!installed.database)
        return {};
    if (!installed.database->parse)
        return Error(Code::Unsupported, std::string(installed.database->path) +
                                            ": rpm database of a form that this version does not read (only sqlite)");
    return TRY_IN(installed.database->path, installed.database->parse(std::move(installed.raw), installed.packages)), Status();
}

void compareManager(const Fd &before, const Fd &after, std::string_view manager, std::vector<Packages> &all)
{
    Packages result{std::string(manager), {}, {}};
    Installed one, other;
    const auto both = [&]() -> Status {
        TRY(find(before, manager, one));
        TRY(find(after, manager, other));
        if (one.database == other.database && one.raw == other.raw)
            return {}; // the same bytes, or on neither side
        TRY(parse(one));
        TRY(parse(other));
        result.changes = comparePackages(one.packages, other.packages);
        return {};
    };
    if (const Status done = both(); !done)
        result.note = done.error().message;
    else
        result.note = !one.note.empty() ? one.note : other.note;
    if (one.database || other.database || !result.note.empty())
        all.push_back(std::move(result));
}

} // namespace

void parseDpkg(std::string_view text, PackageSet &packages)
{
    Package package;
    bool onDisk = true;
    eachLine(text, [&](std::string_view line) {
        if (line.empty()) {
            if (!onDisk)
                package = {};
            add(package, packages);
            onDisk = true;
        } else if (const auto name = valueOf(line, "Package:")) {
            package.name = *name;
        } else if (const auto version = valueOf(line, "Version:")) {
            package.version = *version;
        } else if (const auto architecture = valueOf(line, "Architecture:")) {
            package.architecture = *architecture;
        } else if (const auto status = valueOf(line, "Status:")) {
            onDisk = isOnDisk(*status);
        }
    });
}

void parseApk(std::string_view text, PackageSet &packages)
{
    Package package;
    eachLine(text, [&](std::string_view line) {
        if (line.empty())
            add(package, packages);
        else if (const auto name = valueOf(line, "P:"))
            package.name = *name;
        else if (const auto version = valueOf(line, "V:"))
            package.version = *version;
        else if (const auto architecture = valueOf(line, "A:"))
            package.architecture = *architecture;
    });
}

std::vector<PackageChange> comparePackages(const PackageSet &before, const PackageSet &after)
{
    std::vector<Package> gone, come;
    std::set_difference(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(gone));
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(come));
    std::map<std::string_view, std::pair<std::vector<const Package *>, std::vector<const Package *>>> byName;
    for (const Package &package : gone)
        byName[package.name].first.push_back(&package);
    for (const Package &package : come)
        byName[package.name].second.push_back(&package);
    std::vector<PackageChange> changes;
    for (const auto &[name, sides] : byName) {
        const auto &[left, right] = sides;
        // Of one architecture to begin with; what remains is paired only where it is one and one.
        std::set<const Package *> paired;
        const auto pair = [&](const Package *one, const Package *other) {
            changes.push_back({ChangeKind::Modified, other->name, other->architecture, one->version, other->version});
            paired.insert({one, other});
        };
        const auto ofArchitecture = [&](const std::vector<const Package *> &list, const std::string &architecture) {
            return std::ranges::count(list, architecture, [](const Package *p) { return p->architecture; });
        };
        for (const Package *one : left)
            for (const Package *other : right)
                if (one->architecture == other->architecture && ofArchitecture(left, one->architecture) == 1 &&
                    ofArchitecture(right, one->architecture) == 1)
                    pair(one, other);
        if (left.size() == 1 && right.size() == 1 && paired.empty())
            pair(left.front(), right.front());
        for (const Package *one : left)
            if (!paired.contains(one))
                changes.push_back({ChangeKind::Deleted, one->name, one->architecture, one->version, {}});
        for (const Package *other : right)
            if (!paired.contains(other))
                changes.push_back({ChangeKind::Added, other->name, other->architecture, {}, other->version});
    }
    return changes;
}

std::vector<Packages> comparePackagesIn(const Fd &before, const Fd &after)
{
    std::vector<Packages> all;
    for (const std::string_view manager : {"dpkg", "rpm", "apk"})
        compareManager(before, after, manager, all);
    return all;
}

} // namespace lxmgr::diff

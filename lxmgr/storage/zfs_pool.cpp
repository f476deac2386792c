#include "storage/zfs_pool.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "storage/tree.h"
#include "storage/zfs_dataset.h"

#include <algorithm>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace lxmgr::storage::zfs
{

namespace
{

// User properties of zfs(8): they go with the dataset to another host.
constexpr const char *kHome = "lxmgr:pool";     ///< Of the dataset of a storage pool.
constexpr const char *kMade = "lxmgr:made";     ///< Of such a one that was not there before.
constexpr const char *kOwnPool = "lxmgr:zpool"; ///< Of the top dataset of a zpool of our own.
constexpr const char *kYes = "yes";

/// Whether the dataset has the property itself: those below it inherit it.
Result<bool> hasMark(const std::string &dataset, const char *property)
{
    const auto text = run("zfs", {"get", "-H", "-s", "local,received", "-o", "value", property, dataset});
    if (!text && text.error().code == Code::NotFound)
        return false;
    return trimmed(TRY(text)) == kYes;
}

bool hasOwnPool(const Backing &backing) { return backing.kind != Backing::Kind::Dataset; }

Status makePool(const std::string &pool, const std::string &path, Wipe wipe)
{
    if (TRY(hasPool(pool)))
        return TRY(isOwnPool(pool, path)) ? Status()
                                          : Status(Error(Code::AlreadyExists, "this host has a zpool " + quoted(pool) +
                                                                                  " (zfs.pool_name=… is another name)"));
    std::vector<std::string> words{"create", "-m", "none", "-o", "cachefile=none", "-O", "compression=on",
                                   "-O",     std::string(kOwnPool) + "=" + kYes};
    if (wipe == Wipe::Yes)
        words.emplace_back("-f");
    words.insert(words.end(), {pool, path});
    return command("zpool", words);
}

Status importPool(const std::string &pool, const std::string &path)
{
    if (TRY(hasPool(pool)))
        return TRY(isOwnPool(pool, path)) ? Status()
                                          : Status(Error(Code::AlreadyExists, "this host has another zpool " + quoted(pool) +
                                                                                  " than that in " + quoted(path)));
    TRY(command("zpool", {"import", "-N", "-o", "cachefile=none", "-d", path, pool}));
    if (TRY(isOwnPool(pool, path)))
        return {};
    TRY(command("zpool", {"export", pool}));
    return Error(Code::WrongState, quoted(path) + " holds the zpool " + quoted(pool) +
                                       ", which lxmgr did not make (import it, and give it or a dataset in it as source)");
}

/// The dataset without what is in it.
Status makeHome(const std::string &dataset)
{
    if (TRY(isHome(dataset)))
        return {};
    std::vector<Property> properties{
        {"mountpoint", "legacy"}, {"canmount", "noauto"}, {"atime", "off"}, {"readonly", "off"}, {kHome, kYes}};
    if (TRY(hasDataset(dataset))) {
        if (!TRY(childrenOf(dataset)).empty())
            return Error(Code::WrongState, "the dataset " + quoted(dataset) + " has others below it and is no storage "
                                                                              "pool of lxmgr (give an empty one)");
        const Fd content = TRY(mountDataset(dataset, MountAs::ReadOnly));
        if (!TRY(isEmpty(content)))
            return Error(Code::WrongState,
                         "the dataset " + quoted(dataset) + " is not empty and no storage pool of lxmgr");
        return setProperties(dataset, properties);
    }
    if (!TRY(hasPool(poolOf(dataset))))
        return Error(Code::NotFound, "this host has no zpool " + quoted(poolOf(dataset)) + " (zpool import)");
    properties.push_back({kMade, kYes});
    return createDataset(dataset, properties);
}

Status removeHome(const std::string &dataset)
{
    if (!TRY(isHome(dataset)))
        return {}; // gone, or no more ours
    if (TRY(hasMark(dataset, kMade)))
        return command("zfs", {"destroy", "-r", dataset});
    for (const std::string &below : TRY(childrenOf(dataset)))
        TRY(command("zfs", {"destroy", "-r", dataset + "/" + below}));
    for (const char *property : {"mountpoint", "canmount", "atime", "readonly"})
        TRY(command("zfs", {"inherit", property, dataset}));
    return command("zfs", {"inherit", kHome, dataset}); // last: a crash before it comes here again
}

} // namespace

Result<bool> hasPool(const std::string &pool)
{
    const auto found = run("zpool", {"list", "-H", "-o", "name", pool});
    if (!found && found.error().code == Code::NotFound)
        return false;
    (void)TRY(found);
    return true;
}

std::vector<std::string> parseImportable(std::string_view text)
{
    constexpr std::string_view kName = "pool: ";
    std::vector<std::string> names;
    for (const std::string &line : split(text, '\n'))
        if (const std::string_view said = trimmed(line); said.starts_with(kName))
            names.emplace_back(trimmed(said.substr(kName.size())));
    return names;
}

Result<std::vector<std::string>> poolsOn(const std::string &path)
{
    const auto listed = run("zpool", {"import", "-d", path});
    if (!listed && listed.error().message.find("no pools available") != std::string::npos)
        return std::vector<std::string>();
    return parseImportable(TRY(listed));
}

std::string poolOf(const std::string &dataset) { return dataset.substr(0, dataset.find('/')); }

std::string homeIn(const std::string &source)
{
    return source.find('/') == std::string::npos ? source + "/lxmgr" : source;
}

std::string treesIn(const std::string &home) { return home + "/trees"; }

Result<bool> isHome(const std::string &dataset) { return hasMark(dataset, kHome); }

Result<bool> isOwnPool(const std::string &pool, const std::string &path)
{
    if (!TRY(hasMark(pool, kOwnPool)))
        return false;
    const auto isPart = [&](const std::string &field) {
        return field == path || (path.starts_with("/dev/") && field.starts_with(path)); // "/dev/sdb1" of a whole disk
    };
    for (const auto &row : TRY(parseRows(TRY(run("zpool", {"list", "-v", "-H", "-P", "-o", "name", pool})), 0)))
        if (std::ranges::any_of(row, isPart))
            return true;
    return false;
}

Status makePlace(const Backing &backing, Wipe wipe)
{
    TRY(checkDatasetName(backing.dataset));
    if (hasOwnPool(backing))
        TRY(makePool(poolOf(backing.dataset), backing.source, wipe));
    TRY(makeHome(backing.dataset));
    Status made = createDataset(treesIn(backing.dataset), treeProperties());
    return !made && made.error().code == Code::AlreadyExists ? Status() : made;
}

Status mountPlace(const Backing &backing)
{
    if (isMountPoint(backing.folder))
        return {};
    const std::string pool = poolOf(backing.dataset);
    if (hasOwnPool(backing))
        TRY(importPool(pool, backing.source));
    else if (!TRY(hasPool(pool)))
        return Error(Code::Unavailable, "this host has no zpool " + quoted(pool) + " (zpool import)");
    if (!TRY(isHome(backing.dataset)))
        return Error(Code::WrongState, "there is no storage pool of lxmgr on the dataset " + quoted(backing.dataset));
    const Fd home = TRY(mountDataset(backing.dataset, MountAs::ReadWrite));
    return sys::move_mount(home, TRY(makeFolderPath(backing.folder, 0700)), "");
}

Status removePlace(const Backing &backing)
{
    const std::string pool = poolOf(backing.dataset);
    if (!hasOwnPool(backing))
        return removeHome(backing.dataset);
    const bool imported = TRY(hasPool(pool));
    if (imported && !TRY(isOwnPool(pool, backing.source)))
        return {}; // one of the same name: ours was never made
    if (!imported) {
        const auto there = poolsOn(backing.source);
        if (!there || std::ranges::count(*there, pool) == 0)
            return {};
        TRY(importPool(pool, backing.source));
    }
    TRY(removeHome(backing.dataset));
    return command("zpool", {TRY(childrenOf(pool)).empty() ? "destroy" : "export", pool});
}

Status leavePlace(const Backing &backing)
{
    const std::string pool = poolOf(backing.dataset);
    if (!hasOwnPool(backing) || !backing.exports || !TRY(hasPool(pool)) || !TRY(isOwnPool(pool, backing.source)))
        return {};
    return command("zpool", {"export", pool});
}

Status growPlace(const Backing &backing)
{
    return command("zpool", {"online", "-e", poolOf(backing.dataset), backing.source});
}

std::string sourceOf(std::string_view mountinfo, std::string_view device)
{
    // proc_pid_mountinfo(5): id parent major:minor root point options optional… - type source super-options
    for (const std::string &line : split(mountinfo, '\n')) {
        const std::vector<std::string> fields = words(line);
        const auto dash = std::ranges::find(fields, "-");
        if (fields.size() > 3 && fields[2] == device && fields.end() - dash > 2 && *(dash + 1) == "zfs")
            return *(dash + 2);
    }
    return {};
}

Result<std::string> datasetAt(const Fd &folder)
{
    const struct stat info = TRY(sys::fstat(folder));
    const std::string device = std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
    std::string source = sourceOf(TRY(files::read("/proc/self/mountinfo", 64 << 20)), device);
    if (source.empty())
        return Error(Code::Unsupported, "this is no zfs (give a zpool, a dataset or a block device as source, or none for "
                                        "a pool in a file)");
    return source;
}

} // namespace lxmgr::storage::zfs

#include "storage/zfs_dataset.h"

#include "base/text.h"
#include "kernel/mount.h"

#include <linux/mount.h>

namespace lxmgr::storage::zfs
{

namespace
{

std::string lastPart(const std::string &dataset) { return dataset.substr(dataset.rfind('/') + 1); }

std::vector<std::string> withOptions(std::vector<std::string> words, const std::vector<Property> &properties)
{
    for (const Property &property : properties) {
        words.emplace_back("-o");
        words.push_back(property.name + "=" + property.value);
    }
    return words;
}

/// From the oldest to the newest.
Result<std::vector<Snapshot>> snapshotsOf(const std::string &dataset)
{
    return parseSnapshots(TRY(run("zfs", {"list", "-H", "-p", "-t", "snapshot", "-d", "1", "-s", "createtxg", "-o",
                                          "name,clones", dataset})));
}

/// Snapshots that an administrator took have other names.
bool isOfCopy(const std::string &snapshot)
{
    const std::string name = snapshot.substr(snapshot.find('@') + 1);
    return name.size() == 16 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Status ignoring(Code code, Status status)
{
    return !status && status.error().code == code ? Status() : status;
}

} // namespace

const std::vector<Property> &treeProperties()
{
    static const std::vector<Property> kProperties = {
        {"mountpoint", "legacy"}, // nobody mounts it behind our back
        {"canmount", "off"},      // of the parent alone: it holds nothing
        {"acltype", "posixacl"},
        {"xattr", "sa"},
        {"dnodesize", "auto"}, // attributes fit in there
        {"atime", "on"},
        {"relatime", "on"},
        {"devices", "on"}, // what a guest may open is for its cgroup and its mounts to say
        {"exec", "on"},
        {"setuid", "on"},
        {"readonly", "off"},
        {"casesensitivity", "sensitive"}, // settled when a dataset is made, and inherited
        {"normalization", "none"},
        {"utf8only", "off"},
    };
    return kProperties;
}

Result<bool> hasDataset(const std::string &dataset)
{
    const auto found = run("zfs", {"list", "-H", "-o", "name", dataset});
    if (!found && found.error().code == Code::NotFound)
        return false;
    (void)TRY(found);
    return true;
}

Status createDataset(const std::string &dataset, const std::vector<Property> &properties)
{
    std::vector<std::string> words = withOptions({"create"}, properties);
    words.push_back(dataset);
    return command("zfs", words);
}

Result<std::vector<std::string>> childrenOf(const std::string &dataset)
{
    const std::string text = TRY(run("zfs", {"list", "-H", "-t", "filesystem", "-d", "1", "-o", "name", dataset}));
    std::vector<std::string> names;
    for (const auto &row : TRY(parseRows(text, 1)))
        if (row[0] != dataset)
            names.push_back(lastPart(row[0]));
    return names;
}

Status copyDataset(const std::string &dataset, const std::string &copy, const std::vector<Property> &properties)
{
    const std::string snapshot = dataset + "@" + lastPart(copy);
    if (!TRY(hasDataset(copy))) {
        TRY(ignoring(Code::AlreadyExists, command("zfs", {"snapshot", snapshot})));
        std::vector<std::string> words = withOptions({"clone"}, properties);
        words.insert(words.end(), {snapshot, copy});
        if (Status made = command("zfs", words); !made) {
            (void)command("zfs", {"destroy", snapshot}); // else prepare() finds it
            return made;
        }
    }
    // The mark is gone from here where the dataset has handed the snapshot over meanwhile.
    return ignoring(Code::NotFound, command("zfs", {"destroy", "-d", snapshot}));
}

Status destroyDataset(const std::string &dataset)
{
    for (;;) {
        const auto snapshots = snapshotsOf(dataset);
        if (!snapshots && snapshots.error().code == Code::NotFound)
            return {};
        TRY(snapshots);
        const auto newest = std::find_if(snapshots->rbegin(), snapshots->rend(),
                                         [](const Snapshot &each) { return !each.clones.empty(); });
        if (newest == snapshots->rend())
            break;
        // The older ones go along.
        TRY(command("zfs", {"promote", newest->clones.front()}));
    }
    return ignoring(Code::NotFound, command("zfs", {"destroy", "-r", dataset}));
}

Status destroyLoneSnapshots(const std::string &parent)
{
    const std::string text =
        TRY(run("zfs", {"list", "-H", "-p", "-t", "snapshot", "-r", "-o", "name,defer_destroy", parent}));
    for (const auto &row : TRY(parseRows(text, 2)))
        if (row[1] != "on" && isOfCopy(row[0]))
            TRY(ignoring(Code::NotFound, command("zfs", {"destroy", "-d", row[0]})));
    return {};
}

Result<std::vector<std::string>> valuesOf(const std::string &dataset, const std::vector<std::string> &names)
{
    const std::string text = TRY(run("zfs", {"list", "-H", "-p", "-o", join(names, ","), dataset}));
    const auto rows = TRY(parseRows(text, names.size()));
    if (rows.size() != 1)
        return Error(Code::Corrupt, "zfs lists " + std::to_string(rows.size()) + " datasets of the name " + quoted(dataset));
    return rows.front();
}

Status setProperties(const std::string &dataset, const std::vector<Property> &properties)
{
    std::vector<std::string> words{"set"};
    for (const Property &property : properties)
        words.push_back(property.name + "=" + property.value);
    words.push_back(dataset);
    return command("zfs", words);
}

Result<Fd> mountDataset(const std::string &dataset, MountAs as)
{
    // The mount is read-only, not the file system: that can be mounted in one of both ways only at a time.
    return TRY_IN(dataset, mount::create("zfs", {{"source", dataset}}, as == MountAs::ReadOnly ? MOUNT_ATTR_RDONLY : 0U));
}

Result<std::vector<Snapshot>> parseSnapshots(std::string_view text)
{
    std::vector<Snapshot> snapshots;
    for (auto &row : TRY(parseRows(text, 2))) {
        Snapshot snapshot{std::move(row[0]), {}};
        if (row[1] != "-" && !row[1].empty())
            snapshot.clones = split(row[1], ',');
        snapshots.push_back(std::move(snapshot));
    }
    return snapshots;
}

} // namespace lxmgr::storage::zfs

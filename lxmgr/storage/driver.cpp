#include "storage/driver.h"

#include "base/text.h"
#include "storage/folder_pool.h"

namespace lxmgr::storage
{

namespace
{

struct DriverRow {
    std::string_view name;
    std::unique_ptr<Driver> (*make)(Place place);
};

constexpr DriverRow kDrivers[] = {
    {"btrfs",   &makeBtrfsDriver  },
    {"dir",     &makeDirDriver    },
    {"lvm",     &makeLvmDriver    },
    {"overlay", &makeOverlayDriver},
    {"zfs",     &makeZfsDriver    },
};

std::string knownDrivers()
{
    std::string names;
    for (const DriverRow &row : kDrivers)
        names.append(names.empty() ? "" : ", ").append(row.name);
    return names;
}

/// The folder without slashes at its end.
Result<std::string> poolFolder(const PoolConfig &config, const std::string &stateDir)
{
    std::string folder = config.source.empty() ? stateDir + "/storage-pools/" + config.name : config.source;
    while (folder.size() > 1 && folder.back() == '/')
        folder.pop_back();
    if (folder.front() != '/' || folder == "/")
        return Error(Code::Invalid, "storage pool " + quoted(config.name) + ": source " + quoted(config.source) +
                                        " must be an absolute path to a folder of its own");
    return folder;
}

} // namespace

Result<std::unique_ptr<Driver>> Driver::open(const PoolConfig &config, const std::string &stateDir)
{
    TRY(checkObjectName("storage pool", config.name));
    std::string folder = TRY(poolFolder(config, stateDir));
    for (const DriverRow &row : kDrivers)
        if (row.name == config.driver)
            return row.make({config.name, std::move(folder), stateDir, config.kind, config.treeFileSystem,
                             config.treeOptions});
    return Error(Code::Invalid,
                 "storage driver " + quoted(config.driver) + " is not known (there are: " + knownDrivers() + ")");
}

std::vector<std::string_view> Driver::driverNames()
{
    std::vector<std::string_view> names;
    for (const DriverRow &row : kDrivers)
        names.push_back(row.name);
    return names;
}

} // namespace lxmgr::storage

#include "instances/tpms.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/modules.h"
#include "kernel/path.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::instances
{

namespace
{

constexpr std::string_view kPrefix = "tpm.";
constexpr std::uint32_t kNobody = 65534;

Result<std::string> programOf(const Paths &paths)
{
    if (!paths.swtpm.empty())
        return paths.swtpm;
    auto found = program::find("swtpm");
    if (!found)
        return std::move(found.error()).as(Code::Unsupported).hint("apt-get install swtpm");
    return found;
}

/// None of a guest's processes has it: the last of its ids. Of a privileged one all are the host's.
std::uint32_t idOf(const store::Instance &instance)
{
    return instance.idRange.size == 0 ? kNobody : instance.idRange.base + instance.idRange.size - 1;
}

Status giveTo(const Fd &folder, std::uint32_t id)
{
    for (const std::string &name : TRY(path::list(folder)))
        TRY(sys::call("fchownat", name, [&] { return ::fchownat(folder.get(), name.c_str(), id, id, AT_SYMLINK_NOFOLLOW); }));
    TRY(sys::call("fchown", {}, [&] { return ::fchown(folder.get(), id, id); }));
    return {};
}

Result<Fd> openFolder(const Fd &volume, const std::string &name) { return sys::openat(volume, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW); }

} // namespace

Status checkTpmSupport(const Paths &paths)
{
    TRY(programOf(paths));
    if (::access(paths.vtpmx.c_str(), F_OK) == 0)
        return {};
    const Status loaded = modules::load("tpm_vtpm_proxy");
    if (loaded && ::access(paths.vtpmx.c_str(), F_OK) == 0)
        return {};
    return Error(Code::Unsupported, "this host has no " + paths.vtpmx + ", by which the kernel makes a TPM of swtpm's" +
                                        (loaded ? "" : " (" + loaded.error().message + ")"))
        .hint("boot a kernel with CONFIG_TCG_VTPM_PROXY");
}

Result<std::vector<spec::Tpm>> planTpms(const store::Instance &instance, const config::Effective &effective, const std::string &volume, const Paths &paths)
{
    const auto below = [](const std::optional<config::AbsolutePath> &path) {
        return path ? path->text.substr(std::string_view("/dev/").size()) : std::string();
    };
    std::vector<spec::Tpm> tpms;
    for (const config::Device &device : effective.devices) {
        const auto *tpm = device.as<config::TpmDevice>();
        if (!tpm)
            continue;
        TRY_IN("device " + quoted(device.name), checkTpmSupport(paths));
        tpms.push_back({device.name, below(tpm->path), below(tpm->pathRm), volume + "/" + std::string(kPrefix) + device.name, TRY(programOf(paths)),
                        paths.vtpmx, paths.sysfs, idOf(instance)});
    }
    return tpms;
}

Status makeTpmFolders(const std::vector<spec::Tpm> &tpms, const Fd &volume)
{
    for (const std::string &name : TRY(path::list(volume))) {
        const auto isIts = [&](const spec::Tpm &tpm) { return name == std::string(kPrefix) + tpm.device; };
        if (name.starts_with(kPrefix) && std::ranges::none_of(tpms, isIts))
            TRY(path::removeTree(volume, name));
    }
    for (const spec::Tpm &tpm : tpms) {
        const std::string name = std::string(kPrefix) + tpm.device;
        if (Status made = sys::mkdirat(volume, name, 0700); !made && made.error().errnum != EEXIST)
            return made;
        TRY_IN(name, giveTo(TRY(openFolder(volume, name)), tpm.id));
    }
    return {};
}

Status copyTpms(const Fd &from, const Fd &to)
{
    for (const std::string &name : TRY(path::list(from))) {
        if (!name.starts_with(kPrefix))
            continue;
        const Fd source = TRY(openFolder(from, name));
        if (Status made = sys::mkdirat(to, name, 0700); !made && made.error().errnum != EEXIST)
            return made;
        const Fd target = TRY(openFolder(to, name));
        for (const std::string &file : TRY(path::list(source)))
            TRY_IN(name, files::replace(target, file, TRY(files::read(source, file))));
    }
    return {};
}

} // namespace lxmgr::instances

#include "kernel/modules.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/program.h"

#include <algorithm>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::modules
{

namespace
{

/// "ip-tables" and "ip_tables" are the same module, and sysfs has the second.
std::string underscored(std::string name)
{
    std::ranges::replace(name, '-', '_');
    return name;
}

std::string release()
{
    utsname info{};
    return ::uname(&info) == 0 ? info.release : "";
}

} // namespace

bool isPresent(const std::string &name, const std::string &root)
{
    if (::access((root + "/sys/module/" + underscored(name)).c_str(), F_OK) == 0)
        return true;
    const auto builtin = files::read(root + "/lib/modules/" + release() + "/modules.builtin");
    const std::string wanted = "/" + underscored(name) + ".ko";
    for (const std::string &line : split(builtin ? *builtin : "", '\n'))
        if (underscored(line).ends_with(wanted))
            return true;
    return false;
}

Status load(const std::string &name)
{
    if (isPresent(name))
        return {};
    const auto modprobe = program::find("modprobe");
    if (!modprobe)
        return Error(Code::Unsupported, "module " + quoted(name) + " is not loaded, and this host has no modprobe to do it");
    const program::Output output = TRY(program::run({*modprobe, "--use-blacklist", "--", name}, {}, program::Errors::Keep));
    if (WIFEXITED(output.status) && WEXITSTATUS(output.status) == 0)
        return {};
    return Error(Code::Unsupported, "module " + quoted(name) + " cannot be loaded: " + std::string(trimmed(output.text)))
        .hint("install it for the running kernel (" + release() + "), or take it out");
}

} // namespace lxmgr::modules

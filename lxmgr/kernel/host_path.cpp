#include "kernel/host_path.h"

#include "base/host_path.h"
#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"

namespace lxmgr::path
{

Result<Fd> openOnHost(const std::string &hostPath, const std::string &beneath)
{
    if (beneath.empty())
        return sys::open(hostPath, O_PATH);
    if (!isAtOrBelow(hostPath, beneath))
        return Error(Code::Forbidden, quoted(hostPath) + " is not below " + quoted(beneath));
    const Fd folder = TRY(openFolder(beneath));
    auto found = open(folder, hostPath.substr(beneath.size()), O_PATH, Scope::Beneath);
    if (!found && (found.error().errnum == EXDEV || found.error().errnum == ELOOP))
        return std::move(found.error()).as(Code::Forbidden).hint("a link in it leads out of " + quoted(beneath));
    return found;
}

} // namespace lxmgr::path

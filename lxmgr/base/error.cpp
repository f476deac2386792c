#include "base/error.h"

#include "base/text.h"

#include <cerrno>

namespace lxmgr
{

Error Error::fromErrno(int errnum, std::string_view call, std::string_view object)
{
    std::string text(call);
    if (!object.empty())
        text.append(" ").append(quoted(object));
    text.append(": ").append(strerrordesc_np(errnum) ? strerrordesc_np(errnum) : "unknown error");
    const bool full = errnum == ENOSPC || errnum == EDQUOT;
    return {full ? Code::NoSpace : Code::Internal, std::move(text), errnum};
}

} // namespace lxmgr

// Principal: what the caller of a request may do, as far as that follows from who he is.
#pragma once

#include <set>
#include <string>

namespace lxmgr::daemon
{

struct Principal {
    enum class Kind {
        Stranger,   ///< Over TLS, with no certificate that is known.
        Metrics,    ///< Reads metrics, nothing else.
        Restricted, ///< Uses certain projects.
        Trusted,    ///< As good as the host's root: the unix socket, or an unrestricted certificate.
    };
    Kind kind = Kind::Stranger;
    std::set<std::string, std::less<>> projects; ///< Of Restricted.

    bool trusted() const { return kind == Kind::Trusted; }
    /// He has been let in at all.
    bool known() const { return kind == Kind::Trusted || kind == Kind::Restricted; }
    bool mayUse(std::string_view project) const { return trusted() || (kind == Kind::Restricted && projects.contains(project)); }
};

} // namespace lxmgr::daemon

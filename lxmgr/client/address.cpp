#include "client/address.h"

#include "base/text.h"

#include <algorithm>

namespace lxmgr::client
{

Result<HostPort> hostOf(const std::string &address)
{
    const bool tls = address.starts_with("https://");
    if (!tls && !address.starts_with("http://"))
        return Error(Code::Invalid, quoted(address) + " is no address that begins with https://");
    const std::string_view rest = std::string_view(address).substr(tls ? 8 : 7);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
    HostPort end;
    end.port = tls ? 443 : 80;
    std::string_view host = authority;
    std::string_view port;
    const std::size_t colon = authority.starts_with('[') ? authority.find("]:") : authority.rfind(':');
    if (colon != std::string_view::npos) {
        host = authority.substr(0, colon + (authority.starts_with('[') ? 1 : 0));
        port = authority.substr(authority.find(':', colon) + 1);
        end.port = static_cast<std::uint16_t>(TRY_IN("port of " + quoted(address), parseUnsigned(port, 1, 65535)));
    }
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    const bool good = !host.empty() && host.size() <= 253 &&
                      std::ranges::all_of(host, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '-' || c == ':' || c == '_'; });
    if (!good)
        return Error(Code::Invalid, quoted(address) + " names no host");
    end.host = std::string(host);
    return end;
}

bool isThisHost(std::string_view host)
{
    return host == "localhost" || host == "::1" || (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

} // namespace lxmgr::client

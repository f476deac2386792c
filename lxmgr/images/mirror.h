// Which archive a build takes its packages from, and what to tell the user when it cannot be had.
#pragma once

#include "base/result.h"
#include "images/template.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::images
{

/// One source of apt's (sources.list(5)), of either format.
struct AptSource {
    std::vector<std::string> uris, suites, components;
    bool operator==(const AptSource &) const = default;
};
/// Enabled "deb" lines of the one-line format; lines that are not understood are passed over.
std::vector<AptSource> parseSourceLines(std::string_view text);
/// Enabled "deb" stanzas of the deb822 format.
std::vector<AptSource> parseSourceStanzas(std::string_view text);

/// What the host knows about archives. Read once per build; the rest here is pure.
struct HostArchives {
    std::string distribution; ///< ID of os-release(5).
    std::string codename;     ///< VERSION_CODENAME.
    std::vector<AptSource> sources;
    std::vector<std::string>
        aptOptions; ///< "Acquire::http::Proxy \"…\";" and checks of dates that the host has switched off.
};
HostArchives readHostArchives();
/// The lines of `apt-config dump` that a build on this host needs too.
std::vector<std::string> usefulAptOptions(std::string_view dump);

/// The archive of one build.
struct Archive {
    std::string url;
    std::string suite;
    std::vector<std::string> components;
    bool updates = false;    ///< <suite>-updates is there too.
    std::string securityUrl; ///< "" for none; its suite is <suite>-security.
    bool probe = false;      ///< Given by the user: which suites it has is to be asked.
    std::vector<std::string> aptOptions;
    std::string origin; ///< For people: "the host's own", "given", "the distribution's".
};

/// Invalid for a mirror that is no http or https address.
Result<Archive> chooseArchive(const Template &definition, const std::string &release, const std::string &architecture,
                              const std::string &mirror, const std::string &suite, const HostArchives &host);

/// "deb [signed-by=…] http://… trixie main" for every suite. `signedBy` may be empty.
std::string sourceLines(const Archive &archive, const std::string &signedBy);
/// The same as deb822 stanzas, as a distribution's installer leaves them.
std::string sourceStanzas(const Archive &archive, const std::string &signedBy);

/// "deb.debian.org" of "http://deb.debian.org/debian".
std::string hostOf(std::string_view url);
/// "http://mirror/x" of "http://user:password@mirror/x".
std::string withoutPassword(const std::string &url);

/// Finds the reason in what apt or mmdebstrap printed: which host was tried, why it failed, what to do.
Error explainFailure(const std::vector<std::string> &output, const Archive &archive, const std::string &templateName);

} // namespace lxmgr::images

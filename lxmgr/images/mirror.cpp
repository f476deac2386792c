#include "images/mirror.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cstdlib>
#include <map>

namespace lxmgr::images
{

namespace
{

/// "[a=b c=d]" is taken off the front of `rest`.
std::string takeOptions(std::vector<std::string> &rest)
{
    std::string options;
    if (rest.empty() || !rest.front().starts_with('['))
        return options;
    while (!rest.empty()) {
        const std::string word = rest.front();
        rest.erase(rest.begin());
        options += word + " ";
        if (word.ends_with(']'))
            break;
    }
    return options;
}

bool hasWord(const std::vector<std::string> &list, std::string_view word)
{
    return std::ranges::find(list, word) != list.end();
}

std::vector<AptSource> readSources(const std::string &path)
{
    const auto text = files::read(path, 1 << 20);
    if (!text)
        return {};
    return path.ends_with(".sources") ? parseSourceStanzas(*text) : parseSourceLines(*text);
}

std::map<std::string, std::string> readOsRelease()
{
    std::map<std::string, std::string> values;
    const auto text = files::read("/etc/os-release", 1 << 16);
    if (!text)
        return values;
    for (const std::string &line : split(*text, '\n')) {
        const std::size_t equals = line.find('=');
        if (equals == std::string::npos)
            continue;
        std::string value = line.substr(equals + 1);
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
            value = value.substr(1, value.size() - 2);
        values[line.substr(0, equals)] = value;
    }
    return values;
}

std::string withoutSlash(std::string url)
{
    while (url.ends_with('/'))
        url.pop_back();
    return url;
}

Status checkUrl(const std::string &url)
{
    const bool scheme = url.starts_with("http://") || url.starts_with("https://");
    const bool plain =
        std::ranges::all_of(url, [](unsigned char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; });
    if (!scheme || !plain || hostOf(url).empty())
        return Error(Code::Invalid, "mirror " + quoted(url) + " is no address that starts with http:// or https://");
    return {};
}

Status checkSuite(const std::string &suite)
{
    const bool plain = std::ranges::all_of(
        suite, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '+'; });
    if (suite.empty() || !plain || suite.starts_with('-') || suite.starts_with('.'))
        return Error(Code::Invalid, "suite " + quoted(suite) + " is no name of a suite");
    return {};
}

bool needsComponents(const AptSource &source, const std::string &component)
{
    return source.components.empty() || hasWord(source.components, component);
}

/// Takes over what the host itself is configured for; false when the host has no archive of that distribution.
bool takeHostArchive(Archive &archive, const HostArchives &host)
{
    const AptSource *base = nullptr, *security = nullptr;
    bool updates = false;
    for (const AptSource &source : host.sources) {
        if (source.uris.empty() || !needsComponents(source, "main") ||
            !(source.uris[0].starts_with("http://") || source.uris[0].starts_with("https://")))
            continue;
        if (!base && (hasWord(source.suites, host.codename) || hasWord(source.suites, "stable") ||
                      hasWord(source.suites, "testing")))
            base = &source;
        if (!security &&
            (hasWord(source.suites, host.codename + "-security") || hasWord(source.suites, "stable-security")))
            security = &source;
        updates =
            updates || hasWord(source.suites, host.codename + "-updates") || hasWord(source.suites, "stable-updates");
    }
    if (!base)
        return false;
    archive.url = withoutSlash(base->uris[0]);
    archive.updates = updates;
    archive.securityUrl = security ? withoutSlash(security->uris[0]) : std::string();
    archive.aptOptions = host.aptOptions;
    archive.origin = "the host's own";
    return true;
}

/// sid and its kin have no updates and no security suite.
bool rolling(const std::string &suite) { return suite == "sid" || suite == "unstable" || suite == "experimental"; }

struct Reason {
    std::string_view said; ///< By apt.
    std::string_view meaning;
    std::string_view cure;
};

constexpr std::string_view kOtherMirror = "check the network, or give another archive with -o mirror=URL";

constexpr Reason kReasons[] = {
    {"Temporary failure resolving",     "its name cannot be resolved",                  kOtherMirror                                                 },
    {"Could not resolve",               "its name cannot be resolved",                  kOtherMirror                                                 },
    {"Connection refused",              "it refuses the connection",                    kOtherMirror                                                 },
    {"connection timed out",            "it does not answer",                           kOtherMirror                                                 },
    {"Connection timed out",            "it does not answer",                           kOtherMirror                                                 },
    {"Connection failed",               "the connection failed",                        kOtherMirror                                                 },
    {"Network is unreachable",          "the network is unreachable",                   kOtherMirror                                                 },
    {"No route to host",                "there is no route to it",                      kOtherMirror                                                 },
    {"Cannot initiate the connection",  "the network is unreachable",                   kOtherMirror                                                 },
    {"Could not connect",               "no connection is made",                        kOtherMirror                                                 },
    {"Could not handshake",             "TLS fails",                                    "is ca-certificates installed?"                              },
    {"Certificate verification failed", "its certificate is not trusted",
     "is ca-certificates installed and is its authority in it?"                                                                                      },
    {"NO_PUBKEY",                       "it is signed with a key that is not trusted",
     "install the archive's keyring package, or give its key in templates.d"                                                                         },
    {"is not signed",                   "it is not signed",                             "give another archive with -o mirror=URL"                    },
    {"BADSIG",                          "its signature is wrong",                       "give another archive with -o mirror=URL"                    },
    {"EXPKEYSIG",                       "its signing key has expired",                  "update the archive's keyring package"                       },
    {"unexpected size",                 "a file differs from what was signed",
     "try again later, or give another archive with -o mirror=URL"                                                                                   },
    {"Hash Sum mismatch",               "a file differs from what was signed",
     "try again later, or give another archive with -o mirror=URL"                                                                                   },
    {"is expired",                      "its index is out of date",                     "give another archive with -o mirror=URL"                    },
    {"is not valid yet",                "its index is dated in the future",             "is this machine's clock right?"                             },
    {"has a signature by an unknown",   "it is signed with a key that is not trusted",  "give its key in templates.d"                                },
    {"UNTRUSTED signature",             "it is signed with a key that is not trusted",  "give its key in templates.d"                                },
    {"has a wrong signature",           "its signature is wrong",                       "give another archive with -o mirror=URL"                    },
    {"BAD signature",                   "its signature is wrong",                       "give another archive with -o mirror=URL"                    },
    {"differs from what was signed",    "a file differs from what was signed",
     "try again later, or give another archive with -o mirror=URL"                                                                                   },
    {"is larger than",                  "a file is larger than such a file may be",     "give another archive with -o mirror=URL"                    },
    {"the file is longer than",         "a file is larger than such a file may be",     "give another archive with -o mirror=URL"                    },
    {"File too large",                  "a file is larger than such a file may be",     "give another archive with -o mirror=URL"                    },
    {"is damaged",                      "a file is damaged",                            "try again later, or give another archive with -o mirror=URL"},
    {"knows no package",                "it does not have a package that is asked for", "is the template right for this release?"                    },
    {"unable to select packages",       "it does not have a package that is asked for",
     "is the template right for this release?"                                                                                                       },
    {"does not have a Release file",    "it has no such suite",                         "is the release right? -o suite=NAME names another"          },
    {"404",                             "it has no such suite or file",                 "is the release right? -o suite=NAME names another"          },
    {"403",                             "it forbids the request",                       "give another archive with -o mirror=URL"                    },
    {"Unable to locate package",        "it does not have a package that is asked for",
     "is the template right for this release?"                                                                                                       },
    {"has no installation candidate",   "it does not have a package that is asked for",
     "is the template right for this release?"                                                                                                       },
};

} // namespace

std::vector<AptSource> parseSourceLines(std::string_view text)
{
    std::vector<AptSource> all;
    for (std::string line : split(text, '\n')) {
        line.resize(std::min(line.size(), line.find('#')));
        std::vector<std::string> rest = words(line);
        if (rest.empty() || rest.front() != "deb")
            continue;
        rest.erase(rest.begin());
        takeOptions(rest);
        if (rest.size() < 2)
            continue;
        all.push_back({
            {rest[0]},
            {                rest[1]      },
            { rest.begin() + 2,       rest.end()}
        });
    }
    return all;
}

std::vector<AptSource> parseSourceStanzas(std::string_view text)
{
    std::vector<AptSource> all;
    std::map<std::string, std::string> fields;
    std::string last;
    const auto finish = [&] {
        AptSource source{words(fields["uris"]), words(fields["suites"]), words(fields["components"])};
        const auto enabled = fields.contains("enabled") ? parseBool(trimmed(fields["enabled"])) : Result<bool>(true);
        if (hasWord(words(fields["types"]), "deb") && !source.uris.empty() && !source.suites.empty() &&
            enabled.value_or(true))
            all.push_back(std::move(source));
        fields.clear();
        last.clear();
    };
    for (const std::string &line : split(text, '\n')) {
        if (line.starts_with('#'))
            continue;
        if (trimmed(line).empty()) {
            finish();
        } else if (line.front() == ' ' || line.front() == '\t') {
            fields[last] += " " + std::string(trimmed(line));
        } else if (const std::size_t colon = line.find(':'); colon != std::string::npos) {
            last = lower(line.substr(0, colon));
            fields[last] = trimmed(std::string_view(line).substr(colon + 1));
        }
    }
    finish();
    return all;
}

std::vector<std::string> usefulAptOptions(std::string_view dump)
{
    constexpr std::string_view kUseful[] = {"Acquire::Check-Date ", "Acquire::Check-Valid-Until ",
                                            "Acquire::http::Proxy", "Acquire::https::Proxy"};
    std::vector<std::string> options;
    for (const std::string &line : split(dump, '\n'))
        for (const std::string_view useful : kUseful)
            if (line.starts_with(useful) && !line.ends_with("\"\";"))
                options.push_back(line);
    return options;
}

HostArchives readHostArchives()
{
    HostArchives host;
    const auto release = readOsRelease();
    const auto value = [&](const char *key) { return release.contains(key) ? release.at(key) : std::string(); };
    host.distribution = value("ID");
    host.codename = value("VERSION_CODENAME");
    host.sources = readSources("/etc/apt/sources.list");
    const auto folder = path::openFolder("/etc/apt/sources.list.d");
    const auto names = folder ? path::list(*folder) : Result<std::vector<std::string>>(std::vector<std::string>());
    for (const std::string &name : names.value_or(std::vector<std::string>()))
        if (name.ends_with(".list") || name.ends_with(".sources"))
            std::ranges::move(readSources("/etc/apt/sources.list.d/" + name), std::back_inserter(host.sources));
    return host;
}

std::string hostOf(std::string_view url)
{
    const std::size_t scheme = url.find("://");
    if (scheme == std::string_view::npos)
        return {};
    url.remove_prefix(scheme + 3);
    url = url.substr(0, url.find('/'));
    if (const std::size_t at = url.rfind('@'); at != std::string_view::npos)
        url.remove_prefix(at + 1); // a password is nobody's business
    return std::string(url);
}

std::string withoutPassword(const std::string &url)
{
    const std::size_t scheme = url.find("://");
    const std::size_t at = url.substr(0, url.find('/', scheme == std::string::npos ? 0 : scheme + 3)).rfind('@');
    return scheme == std::string::npos || at == std::string::npos ? url
                                                                  : url.substr(0, scheme + 3) + url.substr(at + 1);
}

Result<Archive> chooseArchive(const Template &definition, const std::string &release, const std::string &architecture,
                              const std::string &mirror, const std::string &suite, const HostArchives &host)
{
    Archive archive;
    archive.components =
        definition.source.components.empty() ? std::vector<std::string>{"main"} : definition.source.components;
    archive.suite = !suite.empty()                     ? suite
                    : !definition.suite.empty()        ? definition.suite
                    : !definition.source.suite.empty() ? definition.source.suite
                                                       : release;
    const std::string given = !mirror.empty() ? mirror : definition.mirror;
    if (!given.empty()) {
        archive.url = withoutSlash(given);
        archive.origin = "given";
        archive.probe = definition.updatesSuite || definition.securitySuite;
        archive.updates = definition.updatesSuite;
        if (definition.securitySuite)
            archive.securityUrl = definition.securityMirror == "none" ? std::string() : archive.url;
        if (host.distribution == definition.distribution)
            archive.aptOptions = host.aptOptions;
    } else if (!(definition.hostMirror && host.distribution == definition.distribution &&
                 takeHostArchive(archive, host))) {
        const auto own = definition.archives.find(architecture);
        archive.url = withoutSlash(own == definition.archives.end() ? definition.source.url : own->second);
        archive.origin = "the distribution's";
        archive.updates = definition.updatesSuite;
        if (definition.securitySuite && definition.securityMirror != "none")
            archive.securityUrl = definition.securityMirror.empty() || own != definition.archives.end()
                                      ? archive.url
                                      : withoutSlash(definition.securityMirror);
        archive.aptOptions = host.aptOptions; // its proxies count here too
    }
    TRY(checkUrl(archive.url));
    if (!archive.securityUrl.empty())
        TRY(checkUrl(archive.securityUrl));
    TRY(checkSuite(archive.suite));
    if (rolling(archive.suite)) {
        archive.updates = false;
        archive.securityUrl.clear();
    }
    return archive;
}

std::string sourceLines(const Archive &archive, const std::string &signedBy)
{
    const std::string options = signedBy.empty() ? "" : "[signed-by=" + signedBy + "] ";
    const std::string components = " " + join(archive.components, " ") + "\n";
    std::string lines = "deb " + options + archive.url + " " + archive.suite + components;
    if (archive.updates)
        lines += "deb " + options + archive.url + " " + archive.suite + "-updates" + components;
    if (!archive.securityUrl.empty())
        lines += "deb " + options + archive.securityUrl + " " + archive.suite + "-security" + components;
    return lines;
}

std::string sourceStanzas(const Archive &archive, const std::string &signedBy)
{
    const auto stanza = [&](const std::string &url, const std::string &suites) {
        return "Types: deb\nURIs: " + url + "\nSuites: " + suites + "\nComponents: " + join(archive.components, " ") +
               (signedBy.empty() ? "" : "\nSigned-By: " + signedBy) + "\n";
    };
    std::string suites = archive.suite;
    if (archive.updates)
        suites += " " + archive.suite + "-updates";
    std::string text;
    if (archive.securityUrl == archive.url) {
        text = stanza(archive.url, suites + " " + archive.suite + "-security");
    } else {
        text = stanza(archive.url, suites);
        if (!archive.securityUrl.empty())
            text += "\n" + stanza(archive.securityUrl, archive.suite + "-security");
    }
    return text;
}

Error explainFailure(const std::vector<std::string> &output, const Archive &archive, const std::string &templateName)
{
    const std::string tried = "archive " + quoted(hostOf(archive.url)) + " (" + withoutPassword(archive.url) +
                              ", suite " + quoted(archive.suite) + ")";
    for (const Reason &reason : kReasons)
        for (const std::string &line : output)
            if (line.find(reason.said) != std::string::npos) {
                Error error(Code::Unavailable, "template " + quoted(templateName) + ": " + tried + ": " +
                                                   std::string(reason.meaning) + ": " + std::string(trimmed(line)));
                return std::move(error).hint(reason.cure);
            }
    for (const std::string &line : output)
        if (line.find("No space left on device") != std::string::npos)
            return {Code::NoSpace, "template " + quoted(templateName) + ": the disk is full", ENOSPC};
    std::string last;
    for (const std::string &line : output) // the first is the cause, those of mmdebstrap itself are its echo
        for (const std::string_view prefix : {"E: ", "ERROR: "}) // apt's and apk's
            if (last.empty() && line.starts_with(prefix) && line.find("mmdebstrap failed") == std::string::npos)
                last = line.substr(prefix.size());
    if (last.empty() && !output.empty())
        last = output.back();
    return {Code::Unavailable, "template " + quoted(templateName) + ": bootstrap from " + tried + " failed: " + last};
}

} // namespace lxmgr::images

#include "cli/remotes.h"

#include "base/text.h"
#include "cli/yaml.h"
#include "client/connection.h"
#include "client/tunnel.h"
#include "config/server_config.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

constexpr std::size_t kMostConfig = 1 << 20;
constexpr std::string_view kProtocols[] = {"incus", "lxd", "simplestreams"};

std::map<std::string, Remote> builtIn()
{
    std::map<std::string, Remote> all = {
        {std::string(kLocalRemote), {"unix://", "lxd", false, {}}}
    };
    for (const config::ImageServerName &server : config::ServerConfig().imageServerList())
        all[server.name] = {server.url, "simplestreams", true, {}};
    return all;
}

/// Nothing where there is no such file.
Result<std::optional<std::string>> readSmall(const std::string &path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file && errno == ENOENT)
        return std::optional<std::string>();
    if (!file)
        return Error::fromErrno(errno, "open", path);
    std::string text;
    char buffer[8192];
    for (;;) {
        const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return Error::fromErrno(errno, "read", path);
        if (got == 0)
            return std::optional(std::move(text));
        text.append(buffer, static_cast<std::size_t>(got));
        if (text.size() > kMostConfig)
            return Error(Code::Invalid, path + " is larger than 1 MiB");
    }
}

/// `folder` and those on the way to it, for the user alone.
Status makeFolder(const std::string &folder)
{
    for (std::size_t slash = folder.find('/', 1);; slash = folder.find('/', slash + 1)) {
        const std::string part = folder.substr(0, slash);
        if (::mkdir(part.c_str(), 0700) < 0 && errno != EEXIST)
            return Error::fromErrno(errno, "make folder", part);
        if (slash == std::string::npos)
            return {};
    }
}

/// The old file or the new one, whatever happens in between.
Status replaceFile(const std::string &path, std::string_view text)
{
    std::string temporary = path + ".XXXXXX";
    const Fd file(::mkostemp(temporary.data(), O_CLOEXEC)); // 0600
    if (!file)
        return Error::fromErrno(errno, "write", temporary);
    Status done;
    while (done && !text.empty()) {
        const ssize_t written = ::write(file.get(), text.data(), text.size());
        if (written < 0 && errno != EINTR)
            done = Error::fromErrno(errno, "write", temporary);
        text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
    if (done && ::fsync(file.get()) < 0)
        done = Error::fromErrno(errno, "fsync", temporary);
    if (done && ::rename(temporary.c_str(), path.c_str()) < 0)
        done = Error::fromErrno(errno, "rename to", path);
    if (!done)
        ::unlink(temporary.c_str());
    return done;
}

Result<Remote> readRemote(const std::string &name, const api::Json &value, const std::string &where)
{
    if (!isRemoteName(name) || !value.asObject())
        return Error(Code::Invalid, where + ": " + quoted(name) + " is no remote");
    Remote remote;
    remote.address = value.text("addr");
    if (const std::string protocol = value.text("protocol"); !protocol.empty())
        remote.protocol = protocol;
    if (std::ranges::find(kProtocols, remote.protocol) == std::end(kProtocols))
        return Error(Code::Invalid, where + ": remote " + quoted(name) + ": protocol " + quoted(remote.protocol) + " is none of incus, lxd, simplestreams");
    if (!remote.isUnix())
        TRY_IN(where + ": remote " + quoted(name), remoteUrl(remote.address, remote.protocol));
    if (const api::Json *flag = value.find("public"); flag && flag->asBool())
        remote.isPublic = *flag->asBool();
    remote.project = value.text("project");
    return remote;
}

} // namespace

bool isRemoteName(std::string_view name)
{
    return !name.empty() && name.size() <= 63 && name.front() != '-' && name.front() != '.' &&
           std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

Result<std::string> remoteUrl(const std::string &word, std::string_view protocol)
{
    std::string url = word;
    if (url.starts_with("unix:")) {
        if (protocol == "simplestreams")
            return Error(Code::Invalid, quoted(word) + ": an image server has an https address");
        const std::string path = url.substr(url.starts_with("unix://") ? 7 : 5);
        if (!path.empty() && path.front() != '/')
            return Error(Code::Invalid, quoted(word) + ": the path of a socket begins with /");
        return "unix://" + path;
    }
    const std::size_t scheme = url.find("://");
    if (scheme == std::string::npos) {
        if (std::ranges::count(url, ':') > 1 && !url.starts_with('['))
            url = "[" + url + "]";
        url = "https://" + url;
    }
    while (url.ends_with('/'))
        url.pop_back();
    const HostPort end = TRY(hostOf(url));
    if (url.starts_with("http://") && (protocol != "simplestreams" || !client::isThisHost(end.host)))
        return Error(Code::Invalid, quoted(word) + ": http is not protected on its way; use https");
    const std::string authority = url.substr(8, url.find('/', 8) == std::string::npos ? std::string::npos : url.find('/', 8) - 8);
    if (protocol == "simplestreams")
        return url;
    if (url.size() > 8 + authority.size())
        return Error(Code::Invalid, quoted(word) + ": the address of a server has no path");
    const bool hasPort = authority.ends_with(']') ? false : authority.find(':') != std::string::npos;
    return hasPort ? url : url + ":8443";
}

std::string Remotes::userFolder()
{
    if (const char *given = std::getenv("LXMGR_CONF"); given && *given)
        return given;
    const char *home = std::getenv("HOME");
    return home && *home ? std::string(home) + "/.config/lxmgr" : std::string();
}

Result<Remotes> Remotes::load(std::string folder)
{
    Remotes remotes;
    remotes.m_folder = std::move(folder);
    remotes.m_all = builtIn();
    if (remotes.m_folder.empty())
        return remotes;
    const std::string path = remotes.m_folder + "/config.yml";
    const std::optional<std::string> text = TRY(readSmall(path));
    if (!text)
        return remotes;
    const api::Json document = TRY(fromYaml(*text, path));
    if (!document.isNull() && !document.asObject())
        return Error(Code::Invalid, path + ": this file has 'default-remote:' and 'remotes:'");
    if (const api::Json *list = document.find("remotes"); list && list->asObject()) {
        const Remote local = remotes.m_all[std::string(kLocalRemote)];
        remotes.m_all = {
            {std::string(kLocalRemote), local}
        };
        for (const auto &[name, value] : *list->asObject()) {
            if (name != kLocalRemote)
                remotes.m_all[name] = TRY(readRemote(name, value, path));
            else // built in, but for what was chosen with `project switch`
                remotes.m_all[name].project = value.text("project");
        }
    }
    if (const std::string chosen = document.text("default-remote"); !chosen.empty())
        remotes.m_default = chosen;
    if (document.asObject())
        for (const auto &[name, value] : *document.asObject())
            if (name != "remotes" && name != "default-remote")
                remotes.m_rest[name] = value;
    return remotes;
}

Status Remotes::save() const
{
    if (m_folder.empty())
        return Error(Code::Invalid, "there is no place for remotes: neither LXMGR_CONF nor HOME is set");
    api::Json document = api::Json::object();
    document["default-remote"] = m_default;
    api::Json list = api::Json::object();
    for (const auto &[name, remote] : m_all) {
        if (name == kLocalRemote && remote.project.empty())
            continue;
        api::Json value = api::Json::object();
        value["addr"] = remote.address;
        value["protocol"] = remote.protocol;
        value["public"] = remote.isPublic;
        if (!remote.project.empty())
            value["project"] = remote.project;
        list[name] = std::move(value);
    }
    document["remotes"] = std::move(list);
    for (const auto &[name, value] : *m_rest.asObject())
        document[name] = value;
    TRY(makeFolder(m_folder));
    return replaceFile(m_folder + "/config.yml", toYaml(document));
}

const Remote *Remotes::find(std::string_view name) const
{
    const auto found = m_all.find(std::string(name));
    return found == m_all.end() ? nullptr : &found->second;
}

Result<Remote> Remotes::get(const std::string &name) const
{
    if (const Remote *found = find(name))
        return *found;
    std::vector<std::string_view> names;
    for (const auto &[known, remote] : m_all)
        names.push_back(known);
    const auto meant = nearest(name, names);
    return Error(Code::NotFound, "no remote is called " + quoted(name))
        .hint(meant ? "did you mean '" + *meant + "'?" : "'lxmgr remote list' shows those there are");
}

std::string Remotes::defaultName() const
{
    const char *given = std::getenv("LXMGR_REMOTE");
    return given && *given ? given : m_default;
}

Status Remotes::remove(const std::string &name)
{
    TRY(get(name));
    if (name == kLocalRemote)
        return Error(Code::Invalid, "remote 'local' is this host itself and stays");
    if (name == m_default)
        return Error(Code::Invalid, "remote " + quoted(name) + " is the default: choose another first (lxmgr remote switch local)");
    m_all.erase(name);
    if (::unlink(certificateFile(name).c_str()) < 0 && errno != ENOENT)
        return Error::fromErrno(errno, "delete", certificateFile(name));
    return {};
}

Status Remotes::rename(const std::string &from, const std::string &to)
{
    const Remote remote = TRY(get(from));
    if (from == kLocalRemote)
        return Error(Code::Invalid, "remote 'local' is this host itself and keeps its name");
    if (find(to))
        return Error(Code::AlreadyExists, "remote " + quoted(to) + " already exists");
    if (::rename(certificateFile(from).c_str(), certificateFile(to).c_str()) < 0 && errno != ENOENT)
        return Error::fromErrno(errno, "rename", certificateFile(from));
    m_all[to] = remote;
    m_all.erase(from);
    if (m_default == from)
        m_default = to;
    return {};
}

Result<std::string> Remotes::certificateOf(const std::string &name) const
{
    return TRY(readSmall(certificateFile(name))).value_or(std::string());
}

Status Remotes::pin(const std::string &name, const std::string &certificate) const
{
    if (m_folder.empty())
        return Error(Code::Invalid, "there is no place for certificates: neither LXMGR_CONF nor HOME is set");
    TRY(makeFolder(m_folder + "/servercerts"));
    return replaceFile(certificateFile(name), certificate);
}

Result<std::function<Result<Fd>()>> Remotes::dialTo(const std::string &name) const
{
    const Remote remote = TRY(get(name));
    if (remote.isUnix()) {
        const std::string path = remote.address.substr(std::string_view("unix://").size());
        if (path.empty())
            return std::function<Result<Fd>()>();
        return std::function<Result<Fd>()>([path] { return client::connectUnix(path); });
    }
    const HostPort end = TRY(hostOf(remote.address));
    const client::FarEnd far{end.host, end.port, TRY(certificateOf(name)), remote.isPublic ? std::string() : m_folder};
    return std::function<Result<Fd>()>([far, name, tunnel = std::make_shared<std::optional<client::Tunnel>>()]() -> Result<Fd> {
        if (!*tunnel)
            *tunnel = TRY(client::Tunnel::start());
        return TRY_IN("remote " + quoted(name), (*tunnel)->connect(far));
    });
}

} // namespace lxmgr::cli

// Remotes: other hosts and image servers by name, as the user's own configuration folder has them.
#pragma once

#include "api/json.h"
#include "base/fd.h"
#include "base/result.h"
#include "client/address.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace lxmgr::cli
{

inline constexpr std::string_view kLocalRemote = "local";

struct Remote {
    std::string address;           ///< "unix://", "unix:///path", "https://host:8443".
    std::string protocol = "lxd";  ///< lxd, incus or simplestreams.
    bool isPublic = false;         ///< Nothing but its public images is asked for.
    std::string project;           ///< Worked in unless --project says another; empty: the server's default.

    bool isImageServer() const { return protocol == "simplestreams"; }
    bool isUnix() const { return address.starts_with("unix:"); }
};

using client::HostPort;
using client::hostOf;
/// "host", "host:port", "[::1]:port" and URLs as the URL that is kept. Invalid: none of these, or plain http to another host.
Result<std::string> remoteUrl(const std::string &word, std::string_view protocol);
/// Letters, digits, '.', '_' and '-', not beginning with '-' or '.'.
bool isRemoteName(std::string_view name);

class Remotes
{
public:
    /// $LXMGR_CONF, else ~/.config/lxmgr; empty where neither is known.
    static std::string userFolder();
    /// Without a file: what is built in. Invalid with file, line and column.
    static Result<Remotes> load(std::string folder);
    Status save() const;

    const std::map<std::string, Remote> &all() const { return m_all; }
    const Remote *find(std::string_view name) const;
    /// NotFound with what there is.
    Result<Remote> get(const std::string &name) const;
    /// $LXMGR_REMOTE, else what was chosen with `remote switch`.
    std::string defaultName() const;
    const std::string &folder() const { return m_folder; }

    void set(const std::string &name, Remote remote) { m_all[name] = std::move(remote); }
    /// With its certificate. The default must be another.
    Status remove(const std::string &name);
    Status rename(const std::string &from, const std::string &to);
    void setDefault(const std::string &name) { m_default = name; }

    /// The certificate that was agreed on, PEM; empty for what certification authorities vouch for.
    Result<std::string> certificateOf(const std::string &name) const;
    Status pin(const std::string &name, const std::string &certificate) const;

    /// Opens connections to `name`: empty for the daemon of this host. One lxmgr-tunnel serves all of a command's.
    Result<std::function<Result<Fd>()>> dialTo(const std::string &name) const;

private:
    std::string certificateFile(const std::string &name) const { return m_folder + "/servercerts/" + name + ".crt"; }

    std::string m_folder;
    std::string m_default{kLocalRemote};
    std::map<std::string, Remote> m_all;
    api::Json m_rest = api::Json::object(); ///< Members of the file that belong to others; they stay.
};

} // namespace lxmgr::cli

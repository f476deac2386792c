// Context: what every handler has at hand — the client, what the global flags said, and where to print.
#pragma once

#include "api/operations.h"
#include "cli/command.h"
#include "cli/remotes.h"
#include "client/client.h"

#include <optional>
#include <string>
#include <string_view>

namespace lxmgr::cli
{

struct Globals {
    bool quiet = false;
    bool debug = false;
    bool help = false;
    std::string project;
};

class Context
{
public:
    Context(Paths paths, Globals globals);

    client::Client &client() { return m_client; }
    /// The remotes of this user, read at the first call.
    Result<Remotes *> remotes();
    /// From now on client() is that of `remote`.
    Status use(const std::string &remote);
    /// Worked in where nothing else is said: --project, $LXMGR_PROJECT, what was chosen with `project switch`. Empty: the server's.
    Result<std::string> projectAt(const std::string &remote);
    /// A client of its own, for commands between two.
    Result<client::Client> clientOf(const std::string &remote);
    /// Of the remote in use.
    const std::string &remote() const { return m_remote; }
    const Globals &globals() const { return m_globals; }
    const Paths &paths() const { return m_client.options().paths; }

    /// Results, on standard output.
    void print(std::string_view text) { m_out.append(text); flushLarge(); }
    void printLine(std::string_view text) { print(text); print("\n"); }
    /// What is going on ("Creating web1"), on standard output at once; not with --quiet.
    void say(std::string_view text);
    /// Something the user should know although the command goes on, on standard error.
    void warn(std::string_view text);
    /// Writes what print() gathered; an Error where standard output takes no more (a full disk).
    Status flush();

private:
    void flushLarge();

    Globals m_globals;
    client::Client m_client;
    std::optional<Remotes> m_remotes;
    std::string m_remote{kLocalRemote};
    std::string m_out;
    Status m_written;
};

/// "/1.0/instances/<name>[/<sub>]"; refuses what can be no instance before anything is sent.
Result<std::string> instancePath(const std::string &name, std::string_view sub = {});

/// Carries out `method path`, showing progress until the operation it starts has ended.
Result<api::Operation> runWithProgress(Context &context, const std::string &method, const std::string &path,
                                       std::string body, std::string_view what, http::Headers headers = {});
/// Warns of keys that running instances take only when they are started again, as `metadata`, JSON, says.
void tellRestarts(Context &context, const std::string &metadata);
/// The same for an operation that runs already.
Result<api::Operation> waitWithProgress(Context &context, const std::string &operationUrl, std::string_view what);

} // namespace lxmgr::cli

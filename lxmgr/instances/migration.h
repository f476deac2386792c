// What two daemons say to each other while an instance or a volume goes from one to the other: on the control stream the words below, on
// the data stream what their helpers say (migrate/stream.h), for one state after the other, as the taker asks for them.
//
//   both     the greeting; each hears at once whether the other speaks this
//   sender   the Offer
//   taker    ask(state), and the taker's helper at work on the data stream
//   sender   Sent, once its helper has sent all of it
//   taker    … the next state …, Done once all is on its disk and recorded
//
// Failed, with an Error, ends it on either side.
#pragma once

#include "base/fd.h"
#include "base/pieces.h"
#include "base/result.h"
#include "store/snapshots.h"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// Both are stream sockets. Whoever closes them ends the transfer.
struct MigrationChannel {
    Fd control;
    Fd data;
};

/// Each has a greeting of its own, so that the one is never taken for the other.
enum class Carried { Instance, Volume };

/// Of this run of the daemon: a transfer between two names of one host is recognized by it.
const std::string &serverId();

/// What the sender has. Of a volume there are neither image, metadata nor templates, and its config is the client's to carry.
struct Offer {
    std::string server;        ///< serverId() there.
    std::string project, name; ///< Of a volume "<pool>/<project>".
    std::string snapshot; ///< Of it, "" for the instance as it is.
    std::string image;    ///< Fingerprint of what it was made from, "" for none.
    std::int64_t createdAt = 0;
    std::vector<store::Snapshot> snapshots; ///< The oldest first.
    std::string metadata; ///< metadata.yaml
    std::vector<std::pair<std::string, std::string>> templates;
};

/// Names one state for ask(): a snapshot, or "" for what was offered.
struct Asked {
    std::string state;
    std::optional<std::string> before; ///< A snapshot that the taker has for certain, or kImageState.
};
inline constexpr const char *kImageState = "@image"; ///< No snapshot can be called so.

/// The control stream. Cancelled; Timeout; Unavailable: the other side has gone. An Error of the other side comes back as one.
class MigrationLine
{
public:
    /// `cancelFd`: readable when the transfer is not wanted any more (Interrupt).
    MigrationLine(const Fd &socket, int cancelFd) : m_socket(socket), m_cancelFd(cancelFd) {}

    /// Unsupported: the other side speaks another form, or another version of this one.
    Status greet(Carried what);
    Status offer(const Offer &offer);
    Result<Offer> takeOffer();
    Status ask(const Asked &asked);
    Status sent();
    Status awaitSent();
    /// What the taker wants next; nothing: it is done.
    Result<std::optional<Asked>> nextAsked();
    Status done();
    /// Tells the other side, where it can still be told.
    void fail(const Error &error);
    /// The Error that the other side has sent, or is about to, where `own` only says that it has gone.
    Error reasonFor(Error own);

private:
    Status await(std::chrono::steady_clock::time_point deadline) const;
    Status put(std::string_view bytes);
    Status get(char *bytes, std::size_t size);
    Status say(std::uint64_t word, std::string_view pieces = {});
    /// The next word; Failed is an Error.
    Result<std::pair<std::uint64_t, std::string>> hear();

    const Fd &m_socket;
    const int m_cancelFd;
};

} // namespace lxmgr::instances

// What goes from one host to another: both daemons are told what to do, and this program stands between them where neither can reach
// the other.
#pragma once

#include "api/server.h"
#include "cli/context.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::cli
{

/// A kind of what hosts hand over.
struct Wares {
    std::string_view extension; ///< By which both say that they do.
    std::string_view name;      ///< "instances"
    std::string_view exportCommand; ///< What does it by way of an archive.
};
inline constexpr Wares kInstanceWares{"lxmgr_migration", "instances", "lxmgr export <remote>:<instance> - | lxmgr import <remote>: -"};
inline constexpr Wares kVolumeWares{"lxmgr_volume_migration", "storage volumes",
                                    "lxmgr storage volume export <remote>:<pool> <volume> <file>, lxmgr storage volume import <remote>:<pool> <file>"};

struct Host {
    std::string name;
    client::Client client;
    api::Server server;
    std::string certificate;
    std::vector<std::string> addresses; ///< "https://192.0.2.7:8443": where another host may reach it.
};
/// A remote. Unsupported: it does not hand such things over.
Result<Host> hostAt(Context &context, const std::string &remote, const Wares &wares);

/// How the target gets it: it fetches it from an operation of the source ("pull"), or waits for it ("push").
struct Handover {
    std::string mode;
    std::string operation, certificate;
    std::optional<api::StringMap> secrets;
};

/// `post` as the body of a request that says so.
template <class Post> std::string bodyWith(Post post, const Handover &handover)
{
    post.source.mode = handover.mode;
    post.source.operation = handover.operation;
    post.source.certificate = handover.certificate;
    post.source.secrets = handover.secrets;
    return api::toJson(post);
}

/// Requests to both: where they go, and their bodies.
struct Parcel {
    std::string from; ///< Path of what leaves.
    std::function<std::string(const api::Json &target)> leaving;
    std::string to;
    std::function<std::string(const Handover &)> arriving;
    std::string what; ///< "Copying web1 to far", for people who wait.
};
/// `mode`: pull, push, relay; "": what is quickest and can be done.
Status transfer(Context &context, Host &source, Host &target, const Parcel &parcel, const std::string &mode);

} // namespace lxmgr::cli
